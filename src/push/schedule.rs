//! What is pushed where, and in which order: blobs first, then manifests, children before parents and subjects before what
//! refers to them, and tags last.
//!
//! Pure: nothing is read or sent here.

use std::collections::{BTreeMap, BTreeSet};

use super::PushedBlob;
use super::contents::Contents;
use super::routes::{Route, routes};
use super::target::{PushTarget, Repository};
use super::verifiable::require_verifiable;
use crate::error::{Code, Error, Hint, Result};
use crate::graph::document::{Document, Shape};
use crate::graph::pointer::Pointer;
use crate::image::Digest;
use crate::json::View;
use crate::location::{Location, Role};

/// Where containerd notes the repositories that a blob was pulled from. The registry follows.
const SOURCES: &str = "containerd.io/distribution.source.";

/// Everything that is to be pushed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Schedule {
    /// The contents of each repository. All of them are pushed before the first tag.
    pub(super) repositories: Vec<Work>,
    pub(super) tags: Vec<Tag>,
}

/// The contents of one repository.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Work {
    pub(super) repository: Repository,
    /// The largest first, or one of them could be left over at the end with nothing beside it.
    pub(super) blobs: Vec<BlobStep>,
    /// The manifests and indexes. Those of one level need nothing but blobs and what earlier levels have.
    pub(super) levels: Vec<Vec<ManifestStep>>,
    /// What the output lacks, and the repository has to have already.
    pub(super) absent: Vec<Absent>,
    /// The manifests and indexes that were listed in `index.json`.
    pub(super) roots: Vec<Digest>,
}

/// A blob to push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BlobStep {
    pub(super) digest: Digest,
    pub(super) len: u64,
    /// Repositories of the same registry that may have it.
    pub(super) sources: Vec<String>,
}

/// A manifest or index to push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ManifestStep {
    pub(super) digest: Digest,
    pub(super) media_type: String,
    pub(super) len: u64,
    /// What it refers to.
    pub(super) subject: Option<Digest>,
}

/// Something that the output lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Absent {
    pub(super) digest: Digest,
    pub(super) len: u64,
    pub(super) is_manifest: bool,
    /// Where it is named.
    pub(super) location: Location,
    /// Repositories of the same registry that may have it.
    pub(super) sources: Vec<String>,
}

/// A tag to set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tag {
    pub(super) repository: Repository,
    pub(super) tag: String,
    pub(super) digest: Digest,
    pub(super) media_type: String,
}

impl Schedule {
    /// Schedules the push of all contents: to the target, or to the names that the images have.
    ///
    /// # Errors
    /// Those of [`routes`]; a digest that cannot be verified; documents that refer to each other in a circle.
    pub(super) fn new(contents: &Contents<'_>, target: Option<&PushTarget>) -> Result<Self> {
        require_verifiable(contents, target)?;
        let types = media_types(contents);
        let mut repositories = Vec::new();
        let mut tags = Vec::new();
        for route in routes(contents, target)? {
            repositories.push(work(contents, &route, &types)?);
            tags.extend(route.tags.into_iter().map(|(tag, digest)| Tag {
                repository: route.repository.clone(),
                tag,
                digest: digest.clone(),
                media_type: types.get(digest).cloned().unwrap_or_default(),
            }));
        }
        Ok(Schedule { repositories, tags })
    }

    /// Every blob and manifest of each repository, in the order in which they are pushed.
    pub(super) fn contents(&self) -> Vec<PushedBlob> {
        let works = self.repositories.iter();
        let contents = works.flat_map(|work| {
            let blobs = work.blobs.iter().map(|blob| (&blob.digest, None, blob.len));
            let manifests = work.levels.iter().flatten();
            let manifests =
                manifests.map(|step| (&step.digest, Some(step.media_type.clone()), step.len));
            blobs
                .chain(manifests)
                .map(|(digest, media_type, len)| PushedBlob {
                    repository: work.repository.to_string(),
                    digest: digest.clone(),
                    media_type,
                    len,
                    state: None,
                })
        });
        contents.collect()
    }

    /// How many blobs there are in all repositories, without manifests, and their length in bytes.
    pub(super) fn blobs(&self) -> (u64, u64) {
        let blobs = self.repositories.iter().flat_map(|work| &work.blobs);
        blobs.fold((0, 0), |(count, len), blob| {
            (count + 1, u64::saturating_add(len, blob.len))
        })
    }
}

/// The media type of each document: its own, or that of a descriptor.
fn media_types<'a>(contents: &'a Contents<'_>) -> BTreeMap<&'a Digest, String> {
    let all = std::iter::once(&contents.root).chain(contents.documents.values());
    let mut types = BTreeMap::new();
    for pointer in all.flat_map(|document| &document.pointers) {
        if let Some(document) = contents.documents.get(&pointer.digest) {
            types.entry(&pointer.digest).or_insert_with(|| {
                let own = document.media_type.clone();
                own.unwrap_or_else(|| pointer.media_type.to_string())
            });
        }
    }
    types
}

fn work(
    contents: &Contents<'_>,
    route: &Route<'_>,
    types: &BTreeMap<&Digest, String>,
) -> Result<Work> {
    let mut found = Found {
        contents,
        registry: &route.repository.registry,
        blobs: BTreeMap::new(),
        documents: BTreeMap::new(),
        absent: BTreeMap::new(),
    };
    let root = &contents.root;
    let listed = root.pointers_in(Role::Manifests);
    for pointer in listed.filter(|pointer| route.roots.contains(&&pointer.digest)) {
        found.follow(root, pointer);
    }
    let levels = levels(&found.documents)?;
    let step = |digest: &Digest| ManifestStep {
        digest: digest.clone(),
        media_type: types.get(digest).cloned().unwrap_or_default(),
        len: contents.blobs.get(digest).map_or(0, |blob| blob.len),
        subject: found.documents.get(digest).and_then(|document| {
            let mut subjects = document.pointers_in(Role::Subject);
            subjects.next().map(|subject| subject.digest.clone())
        }),
    };
    let levels = levels
        .iter()
        .map(|level| level.iter().map(|digest| step(digest)).collect());
    let levels = levels.collect();
    let mut blobs: Vec<BlobStep> = found.blobs.into_values().collect();
    blobs.sort_by_key(|blob| std::cmp::Reverse(blob.len));
    Ok(Work {
        repository: route.repository.clone(),
        blobs,
        levels,
        absent: found.absent.into_values().collect(),
        roots: route.roots.iter().copied().cloned().collect(),
    })
}

/// What one repository needs.
struct Found<'a> {
    contents: &'a Contents<'a>,
    registry: &'a str,
    blobs: BTreeMap<&'a Digest, BlobStep>,
    documents: BTreeMap<&'a Digest, &'a Document>,
    absent: BTreeMap<&'a Digest, Absent>,
}

impl<'a> Found<'a> {
    /// Adds what a descriptor leads to.
    fn follow(&mut self, owner: &'a Document, pointer: &'a Pointer) {
        let mut open = vec![(owner, pointer)];
        while let Some((owner, pointer)) = open.pop() {
            let digest = &pointer.digest;
            let is_manifest = Shape::of(pointer.kind).is_some();
            let sources = || sources(owner, pointer, self.registry);
            if let Some(document) = self.contents.documents.get(digest).filter(|_| is_manifest) {
                if self.documents.insert(digest, document).is_none() {
                    let parts = document.pointers.iter();
                    let parts = parts.filter(|pointer| pointer.role != Role::Subject);
                    open.extend(parts.map(|pointer| (document, pointer)));
                }
            } else if pointer.is_foreign() && pointer.has_urls {
                // Registries accept it without its bytes, and some refuse these.
            } else if let Some(blob) = self.contents.blobs.get(digest) {
                let sources = sources();
                let step = self.blobs.entry(digest).or_insert_with(|| BlobStep {
                    digest: digest.clone(),
                    len: blob.len,
                    sources: Vec::new(),
                });
                add_new(&mut step.sources, sources);
            } else if !pointer.has_urls && !pointer.is_foreign() {
                let sources = sources();
                let absent = self.absent.entry(digest).or_insert_with(|| Absent {
                    digest: digest.clone(),
                    len: pointer.size,
                    is_manifest,
                    location: Location::of(&owner.path, pointer.step()),
                    sources: Vec::new(),
                });
                add_new(&mut absent.sources, sources);
            }
        }
    }
}

fn add_new(known: &mut Vec<String>, others: Vec<String>) {
    for other in others {
        if !known.contains(&other) {
            known.push(other);
        }
    }
}

/// The repositories of a registry that an annotation of a descriptor names as the origins of its content.
fn sources(owner: &Document, pointer: &Pointer, registry: &str) -> Vec<String> {
    if !owner.text.contains(SOURCES) {
        return Vec::new();
    }
    let descriptor = View::at(&owner.text, &pointer.places.descriptor);
    let annotations = descriptor.get("annotations").and_then(View::strings);
    let key = format!("{SOURCES}{registry}");
    let values = annotations.into_iter().flatten();
    let values = values.filter(|(name, _)| *name == key);
    values
        .flat_map(|(_, value)| value.split(',').map(str::to_owned).collect::<Vec<_>>())
        .filter(|name| !name.is_empty())
        .collect()
}

/// The documents by levels: each needs only what earlier levels have.
fn levels<'a>(documents: &BTreeMap<&'a Digest, &'a Document>) -> Result<Vec<Vec<&'a Digest>>> {
    let mut needed: BTreeMap<&Digest, usize> = BTreeMap::new();
    let mut needed_by: BTreeMap<&Digest, Vec<&'a Digest>> = BTreeMap::new();
    for (digest, document) in documents {
        let roles = [Role::Manifests, Role::Subject];
        let pointers = roles
            .into_iter()
            .flat_map(|role| document.pointers_in(role));
        let needs: BTreeSet<&Digest> = pointers
            .map(|pointer| &pointer.digest)
            .filter(|needs| documents.contains_key(needs))
            .collect();
        needed.insert(digest, needs.len());
        for needs in needs {
            needed_by.entry(needs).or_default().push(digest);
        }
    }
    let mut levels = Vec::new();
    let ready = documents
        .keys()
        .filter(|digest| needed.get(*digest) == Some(&0));
    let mut level: Vec<&'a Digest> = ready.copied().collect();
    let mut left = documents.len();
    while !level.is_empty() {
        left -= level.len();
        let mut next = BTreeSet::new();
        for digest in &level {
            for parent in needed_by.get(digest).into_iter().flatten() {
                if let Some(count) = needed.get_mut(parent) {
                    *count -= 1;
                    if *count == 0 {
                        next.insert(*parent);
                    }
                }
            }
        }
        levels.push(std::mem::replace(&mut level, next.into_iter().collect()));
    }
    match left {
        0 => Ok(levels),
        _ => Err(Error::new(
            Code::InvalidDocument,
            "manifests refer to each other in a circle",
        )
        .with_hint(Hint::BuildAgain)),
    }
}

#[cfg(test)]
mod tests;

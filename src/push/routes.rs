//! Which images go to which repositories, under which tags.

use std::collections::{BTreeMap, BTreeSet};

use super::contents::Contents;
use super::target::{PushTarget, Repository};
use crate::error::{Code, Error, Hint, Result, show_list};
use crate::graph::document::Document;
use crate::graph::pointer::{EntryKind, Pointer};
use crate::image::{Digest, Reference, is_tag};
use crate::location::{Location, Role};

/// The tag that an image without a name gets, as in Docker.
const DEFAULT_TAG: &str = "latest";

/// What goes to one repository.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Route<'a> {
    pub(super) repository: Repository,
    /// The entries of `index.json`, in their order.
    pub(super) roots: Vec<&'a Digest>,
    pub(super) tags: BTreeMap<String, &'a Digest>,
}

/// Something that `index.json` lists, with everything that its entries say of it.
struct Item<'a> {
    digest: &'a Digest,
    /// Where its first entry is.
    location: Location,
    names: Vec<Reference>,
    /// Tags without a repository, and those that follow from what it is about.
    tags: Vec<String>,
    /// The documents of the output that it is about; none for an image.
    about: BTreeSet<&'a Digest>,
}

/// Routes everything that `index.json` lists.
///
/// # Errors
/// An image without a name is pushed without a target; a target with a tag is given for several images; or several images have one tag.
pub(super) fn routes<'a>(
    contents: &'a Contents,
    target: Option<&PushTarget>,
) -> Result<Vec<Route<'a>>> {
    let items = items(contents);
    let mut routes = Routes {
        shown: items
            .iter()
            .map(|item| (item.digest, item.shown()))
            .collect(),
        ..Routes::default()
    };
    match target {
        None => {
            for item in &items {
                routes.by_names(item)?;
            }
        }
        Some(target) => routes.all_to(&items, target)?,
    }
    routes.follow(&items, contents);
    for item in &items {
        if !routes.routed.contains(item.digest) {
            return Err(unnamed(item));
        }
    }
    Ok(routes.all)
}

/// Everything that `index.json` lists, in its order.
fn items(contents: &Contents) -> Vec<Item<'_>> {
    let mut items: Vec<Item<'_>> = Vec::new();
    let mut by_digest: BTreeMap<&Digest, usize> = BTreeMap::new();
    let root = &contents.root;
    for pointer in root.pointers_in(Role::Manifests) {
        let number = *by_digest.entry(&pointer.digest).or_insert(items.len());
        if number == items.len() {
            items.push(Item {
                digest: &pointer.digest,
                location: Location::of(&root.path, pointer.step()),
                names: Vec::new(),
                tags: Vec::new(),
                about: BTreeSet::new(),
            });
        }
        let item = &mut items[number];
        let saved = pointer.is_saved_evidence().then(|| subjects(root, pointer));
        match saved {
            // It has the name of what it is about.
            Some(subjects) => {
                item.tags.extend(evidence_tags(pointer, &subjects));
                item.about.extend(subjects);
            }
            None => match (pointer.name(), &pointer.ref_name) {
                (Some(name), _) => item.names.push(name),
                (None, Some(tag)) if is_tag(tag) => item.tags.push(tag.clone()),
                _ => {}
            },
        }
        let about = about(contents.documents.get(&pointer.digest), pointer);
        item.about.extend(about.filter(|digest| {
            *digest != &pointer.digest && contents.documents.contains_key(*digest)
        }));
    }
    items
}

/// What a document is about: its subject, and what annotations say.
fn about<'a>(
    document: Option<&'a Document>,
    pointer: &'a Pointer,
) -> impl Iterator<Item = &'a Digest> {
    let inside = document.into_iter().flat_map(|document| {
        let links = document.links.iter().filter(|link| link.is_about());
        let subjects = document.pointers_in(Role::Subject);
        let subjects = subjects.map(|subject| &subject.digest);
        subjects.chain(links.map(|link| &link.digest))
    });
    let links = pointer.links.iter().filter(|link| link.is_about());
    inside.chain(links.map(|link| &link.digest))
}

/// The images that evidence is about which was saved under their name: those of the name, or the only one.
fn subjects<'a>(root: &'a Document, evidence: &Pointer) -> Vec<&'a Digest> {
    let images = root.pointers_in(Role::Manifests);
    let images: Vec<&Pointer> = images
        .filter(|pointer| pointer.entry_kind == Some(EntryKind::Image))
        .collect();
    let is_same = |image: &&&Pointer| image.name().is_some() && image.name() == evidence.name();
    let named: Vec<&Digest> = images
        .iter()
        .filter(is_same)
        .map(|image| &image.digest)
        .collect();
    match (named.is_empty(), images.as_slice()) {
        (true, [only]) => vec![&only.digest],
        _ => named,
    }
}

/// The tags under which cosign looks for evidence about these images.
fn evidence_tags(evidence: &Pointer, subjects: &[&Digest]) -> Vec<String> {
    let suffix = match evidence.entry_kind {
        Some(EntryKind::Signature) => "sig",
        Some(EntryKind::Attestation) => "att",
        _ => return Vec::new(),
    };
    let tags = subjects.iter();
    tags.map(|digest| format!("{}.{suffix}", digest.referrers_tag()))
        .collect()
}

#[derive(Default)]
struct Routes<'a> {
    all: Vec<Route<'a>>,
    by_repository: BTreeMap<Repository, usize>,
    routed: BTreeSet<&'a Digest>,
    /// How messages call each item.
    shown: BTreeMap<&'a Digest, String>,
}

impl<'a> Routes<'a> {
    fn route(&mut self, repository: Repository) -> &mut Route<'a> {
        let next = self.all.len();
        let number = *self.by_repository.entry(repository.clone()).or_insert(next);
        if number == next {
            self.all.push(Route {
                repository,
                roots: Vec::new(),
                tags: BTreeMap::new(),
            });
        }
        &mut self.all[number]
    }

    fn add(&mut self, repository: Repository, digest: &'a Digest, tag: Option<&str>) -> Result<()> {
        self.routed.insert(digest);
        let route = self.route(repository.clone());
        if !route.roots.contains(&digest) {
            route.roots.push(digest);
        }
        let Some(tag) = tag else {
            return Ok(());
        };
        let known = *route.tags.entry(tag.to_owned()).or_insert(digest);
        match known == digest {
            true => Ok(()),
            false => Err(self.tag_taken(&format!("{repository}:{tag}"), [known, digest])),
        }
    }

    fn tag_taken(&self, name: &str, both: [&Digest; 2]) -> Error {
        let [one, other] = both.map(|digest| match self.shown.get(digest) {
            Some(shown) if *shown != digest.to_string() => format!("{shown} ({digest})"),
            _ => digest.to_string(),
        });
        let message = format!("several manifests would have the name {name}: {one}, {other}");
        Error::new(Code::NameTaken, message)
            .with_found(name)
            .with_hint(Hint::PushApart)
    }

    /// Routes an item to the repositories of its own names.
    fn by_names(&mut self, item: &Item<'a>) -> Result<()> {
        for name in &item.names {
            self.add(Repository::of(name), item.digest, name.tag())?;
        }
        Ok(())
    }

    /// Routes all items to one repository.
    fn all_to(&mut self, items: &[Item<'a>], target: &PushTarget) -> Result<()> {
        let repository = Repository::of(target.reference());
        let images: Vec<&Item<'_>> = items.iter().filter(|item| item.about.is_empty()).collect();
        if target.has_tag() && images.len() > 1 {
            let shown: Vec<String> = images.iter().map(|image| image.shown()).collect();
            let found = show_list(&shown);
            let message =
                format!("{target} can name only one image, and there are several: {found}");
            return Err(Error::new(Code::SeveralImages, message)
                .with_found(found)
                .with_hint(Hint::ChooseImageToPush));
        }
        for item in items {
            let own = item.names.iter().filter_map(Reference::tag);
            let mut tags: Vec<&str> = own.chain(item.tags.iter().map(String::as_str)).collect();
            if item.about.is_empty() {
                match target.has_tag() {
                    true => tags = target.reference().tag().into_iter().collect(),
                    false if item.names.is_empty() && tags.is_empty() => {
                        if images.len() > 1 {
                            return Err(untagged(item, target));
                        }
                        tags.push(DEFAULT_TAG);
                    }
                    false => {}
                }
            }
            self.add(repository.clone(), item.digest, None)?;
            for tag in tags {
                self.add(repository.clone(), item.digest, Some(tag))?;
            }
        }
        Ok(())
    }

    /// Routes what has no name of its own to the repositories of what it is about.
    fn follow(&mut self, items: &[Item<'a>], contents: &'a Contents) {
        let mut owners: BTreeMap<&Digest, BTreeSet<&Digest>> = BTreeMap::new();
        for item in items {
            for digest in within(contents, item.digest) {
                owners.entry(digest).or_default().insert(item.digest);
            }
        }
        let mut open: Vec<&Item<'_>> = items
            .iter()
            .filter(|item| item.names.is_empty() && !self.routed.contains(item.digest))
            .collect();
        loop {
            let mut rest = Vec::new();
            let before = open.len();
            for item in open {
                let targets = item.about.iter().filter_map(|digest| owners.get(digest));
                let targets: BTreeSet<&Digest> = targets.flatten().copied().collect();
                let routes = self.all.iter();
                let routes =
                    routes.filter(|route| route.roots.iter().any(|root| targets.contains(root)));
                let found: Vec<Repository> = routes.map(|route| route.repository.clone()).collect();
                if found.is_empty() {
                    rest.push(item);
                    continue;
                }
                for repository in found {
                    // No other item has a tag made of a digest.
                    let _ = self.add(repository.clone(), item.digest, None);
                    for tag in &item.tags {
                        let _ = self.add(repository.clone(), item.digest, Some(tag));
                    }
                }
            }
            if rest.len() == before {
                return;
            }
            open = rest;
        }
    }
}

impl Item<'_> {
    /// How messages call it.
    fn shown(&self) -> String {
        match (self.names.first(), self.tags.first()) {
            (Some(name), _) => name.familiar(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => self.digest.to_string(),
        }
    }
}

/// A document and all that it lists.
fn within<'a>(contents: &'a Contents, digest: &'a Digest) -> BTreeSet<&'a Digest> {
    let mut found = BTreeSet::new();
    let mut open = vec![digest];
    while let Some(digest) = open.pop() {
        if found.insert(digest)
            && let Some(document) = contents.documents.get(digest)
        {
            let listed = document.pointers_in(Role::Manifests);
            open.extend(listed.map(|pointer| &pointer.digest));
        }
    }
    found
}

/// The error of one of several images without a name, which all go to one repository.
fn untagged(item: &Item<'_>, target: &PushTarget) -> Error {
    let (location, digest) = (&item.location, item.digest);
    let message = format!("{location} has no name, so it would have no tag in {target}: {digest}");
    Error::new(Code::NameMissing, message)
        .with_location(location)
        .with_found(digest)
        .with_hint(Hint::PushApart)
}

fn unnamed(item: &Item<'_>) -> Error {
    let message = match item.tags.first() {
        Some(tag) => format!(
            "{} has the tag {tag}, but no repository to push it to",
            item.location
        ),
        None => format!(
            "{} has no name to push it to: {}",
            item.location, item.digest
        ),
    };
    Error::new(Code::NameMissing, message)
        .with_location(&item.location)
        .with_found(item.digest)
        .with_hint(Hint::GiveRepository)
}

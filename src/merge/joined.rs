//! The inputs of a merge as one source.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::conflict::settle;
use super::copies::{Copies, input_of};
use super::part::{Part, chosen};
use super::replaced::Replaced;
use super::root::{Names, root};
use crate::error::{Code, Error, Hint, IoContext, Result};
use crate::fix::{Fix, Run};
use crate::graph::Graph;
use crate::graph::needed_by::{blob_of, refused};
use crate::image::{Digest, Platform, Reference, sniff};
use crate::input::Source;
use crate::inventory::{BlobEntry, BlobSource, DataLocation, Inventory, RootFile};
use crate::location::{Role, RootName};
use crate::plan::rules::Rule;
use crate::plan::{Body, OutputEntry, Plan, Summary};

/// A source that contains everything of several, and what it means.
pub(super) struct Joined {
    pub(super) source: Source,
    pub(super) graph: Graph,
    /// The paths of the inputs.
    pub(super) inputs: Vec<PathBuf>,
    /// What the plan leaves out, because other content has its names.
    pub(super) superseded: BTreeSet<Digest>,
    /// What is wrong with documents, in the words of the first input that has them.
    faults: BTreeMap<Digest, Error>,
    /// The same of what is missing.
    missing: BTreeMap<Digest, Error>,
    /// More copies of its blobs.
    pub(super) copies: Copies,
    replaced: Replaced,
    /// What was changed and left out when images were chosen before they were joined into one index.
    chosen: Option<Summary>,
}

impl Joined {
    /// The same error, in the words of an input if it is about one of its documents or blobs.
    pub(super) fn placed(&self, error: Error) -> Error {
        let graph = &self.graph;
        let about = refused(&error);
        let stated = about.and_then(|digest| {
            let fault = self.faults.get_key_value(&digest);
            fault.or_else(|| self.missing.get_key_value(&digest))
        });
        if let Some((digest, error)) = stated {
            return graph.with_images_of(error.clone(), digest);
        }
        let blob = blob_of(&error).and_then(|digest| graph.inventory.blobs.get(&digest));
        match blob.and_then(|blob| self.inputs.get(input_of(&blob.data)?)) {
            Some(input) => graph.with_images(error).within(input),
            None => graph.with_images(error),
        }
    }

    /// The fix that writes the output.
    pub(super) fn fix(&self, fix: &Fix) -> Fix {
        let fix = fix.clone().without(self.superseded.clone());
        match self.chosen {
            Some(_) => fix.of_everything(),
            None => fix,
        }
    }

    /// Adds what was left out before the output was planned.
    pub(super) fn report(&self, summary: &mut Summary) {
        self.replaced.report(summary);
        if let Some(chosen) = &self.chosen {
            let changes = chosen.changes.iter();
            let left_out = changes.filter(|change| {
                matches!(
                    change.rule,
                    Rule::PlatformChoice | Rule::ImageChoice | Rule::Superseded
                )
            });
            summary.changes.extend(left_out.cloned());
            summary.dropped.blobs += chosen.dropped.blobs;
            summary.dropped.bytes += chosen.dropped.bytes;
        }
    }
}

/// The digests that ocify computed when it planned the inputs, and that no input states.
fn computed(parts: &[Part]) -> BTreeSet<Digest> {
    let all: Vec<BTreeSet<&Digest>> = parts.iter().map(Part::computed).collect();
    let mut computed: BTreeSet<&Digest> = all.iter().flatten().copied().collect();
    if computed.is_empty() {
        return BTreeSet::new();
    }
    for (part, own) in parts.iter().zip(&all) {
        let stated = part.plan.entries.iter().filter_map(OutputEntry::digest);
        for digest in stated.filter(|digest| !own.contains(digest)) {
            computed.remove(digest);
        }
    }
    computed.into_iter().cloned().collect()
}

/// Documents that no input contains, in a temporary file.
struct Documents {
    file: File,
    len: u64,
}

impl Documents {
    fn add(&mut self, bytes: &[u8], directory: &Path) -> Result<DataLocation> {
        self.file.write_all(bytes).context("write to", directory)?;
        let at = self.len;
        self.len += bytes.len() as u64;
        Ok(DataLocation::Offset(at))
    }
}

/// Joins the inputs. Each blob is taken from the first input that has it, or if others have one of another length, from the first
/// whose content has the digest.
pub(super) fn join(parts: Vec<Part>, names: Names<'_>, run: &Run<'_>) -> Result<Joined> {
    let text = root(&parts, names)?;
    let directory = run.spool_directory();
    let file = tempfile::tempfile_in(&directory).map_err(|error| {
        Error::io("create a temporary file in", &directory, error)
            .with_hint(Hint::ChooseSpoolDirectory)
    })?;
    let mut documents = Documents { file, len: 0 };
    let mut inventory = Inventory::default();
    let mut copies = Copies::default();
    for (number, part) in parts.iter().enumerate() {
        let mut blobs = Blobs {
            inventory: &mut inventory,
            documents: &mut documents,
            copies: &mut copies,
        };
        blobs.add(part, number, &directory)?;
    }
    let computed = computed(&parts);
    let mut file = |bytes: Vec<u8>| -> Result<RootFile> {
        let data = documents.add(&bytes, &directory)?;
        Ok(RootFile { bytes, data })
    };
    inventory.root_index = Some(file(text.into_bytes())?);
    let layouts = parts.iter();
    let layouts = layouts.filter_map(|part| root_bytes(&part.plan, RootName::OciLayout));
    let layout = layouts.min();
    inventory.oci_layout = layout.map(|layout| file(layout.to_owned())).transpose()?;
    inventory.entry_count = inventory.blobs.len();
    let orphans = parts
        .iter()
        .flat_map(|part| &part.orphans)
        .cloned()
        .collect();
    let first = |of: fn(&Part) -> &[(Digest, Error)]| {
        let mut errors = BTreeMap::new();
        for (digest, error) in parts.iter().flat_map(of) {
            let error = || Error::clone(error);
            errors.entry(digest.clone()).or_insert_with(error);
        }
        errors
    };
    let faults = first(|part| &part.faults);
    let missing = first(|part| &part.missing);
    let inputs = parts
        .iter()
        .map(|part| part.source.path().to_owned())
        .collect();
    let mut incomplete = parts.iter().filter_map(|part| part.incomplete.clone());
    let incomplete = incomplete.next();
    let mut sources = Vec::new();
    for (number, part) in parts.into_iter().enumerate() {
        sources.push(part.source);
        for (digest, data) in part.copies.in_input(number) {
            copies.add(digest, data);
        }
    }
    let source = Source::of(documents.file, Path::new("the merged inputs"))?.with_inputs(sources);
    let graph = run.meaning(inventory, &source);
    let mut graph = graph.map_err(|error| match incomplete {
        Some(incomplete) if matches!(error.code(), Code::MissingBlob | Code::NotAnImage) => {
            incomplete
        }
        _ => error,
    })?;
    graph.computed = computed;
    let replaced = Replaced::take(&mut graph, &orphans);
    if let Some(name) = names.index {
        check_joined(&graph, name)?;
    }
    Ok(Joined {
        source,
        graph,
        inputs,
        superseded: names.settled.superseded.clone(),
        faults,
        missing,
        copies,
        replaced,
        chosen: None,
    })
}

/// Joins images into one index of that name, of those that are chosen from inputs that were joined without it.
pub(super) fn join_chosen(joined: Joined, name: &Reference, run: &Run<'_>) -> Result<Joined> {
    let (inputs, faults) = (joined.inputs.clone(), joined.faults.clone());
    let missing = joined.missing.clone();
    let part = chosen(joined, run)?;
    let summary = part.plan.summary.clone();
    let parts = vec![part];
    let names = Names {
        settled: &settle(&parts, None, true)?,
        index: Some(name),
    };
    let joined = join(parts, names, run)?;
    Ok(Joined {
        inputs,
        faults,
        missing,
        chosen: Some(summary),
        ..joined
    })
}

/// The blobs of a source that is joined.
struct Blobs<'a> {
    inventory: &'a mut Inventory,
    documents: &'a mut Documents,
    copies: &'a mut Copies,
}

impl Blobs<'_> {
    /// Adds the blobs of an input.
    fn add(&mut self, part: &Part, number: usize, directory: &Path) -> Result<()> {
        for entry in &part.plan.entries {
            let Some(digest) = Digest::from_any_blob_name(&entry.name) else {
                continue;
            };
            let in_input = |data: DataLocation| DataLocation::Input {
                number,
                data: Box::new(data),
            };
            if let Some(known) = self.inventory.blobs.get(&digest) {
                if known.len == entry.len {
                    if let Body::Blob { data, .. } = &entry.body {
                        self.copies.add(digest, in_input(data.clone()));
                    }
                    continue;
                }
                if !has_digest(part, entry, &digest)? {
                    continue;
                }
                self.copies.forget(&digest);
            }
            let blob = match &entry.body {
                Body::Directory => continue,
                Body::Bytes(bytes) => BlobEntry {
                    len: entry.len,
                    data: self.documents.add(bytes, directory)?,
                    content: sniff(bytes),
                },
                Body::Blob { data, .. } => {
                    let found = part.source.identify(data, entry.len)?;
                    BlobEntry {
                        data: in_input(found.data),
                        ..found
                    }
                }
            };
            self.inventory.blobs.insert(digest, blob);
        }
        Ok(())
    }
}

/// Whether the content of a blob has its digest, as far as that can be verified. One of two blobs of different length is damaged,
/// and must not take the place of the other.
fn has_digest(part: &Part, entry: &OutputEntry, digest: &Digest) -> Result<bool> {
    let Some(algorithm) = digest.algorithm() else {
        return Ok(false);
    };
    match &entry.body {
        Body::Directory => Ok(false),
        Body::Bytes(bytes) => Ok(Digest::of(algorithm, bytes) == *digest),
        Body::Blob { data, .. } => {
            let blob = part.source.identify(data, entry.len)?;
            Ok(part.source.digest_of(&blob, algorithm)? == *digest)
        }
    }
}

fn root_bytes(plan: &Plan, name: RootName) -> Option<&[u8]> {
    let mut entries = plan.entries.iter();
    match &entries.find(|entry| entry.name == name.name())?.body {
        Body::Bytes(bytes) => Some(bytes),
        _ => None,
    }
}

/// Refuses images that are not in the one index of that name.
fn check_joined(graph: &Graph, name: &Reference) -> Result<()> {
    let root = graph.root.pointers_in(Role::Manifests);
    let named = root.filter(|pointer| pointer.name().as_ref() == Some(name));
    let digests: BTreeSet<&Digest> = named.map(|pointer| &pointer.digest).collect();
    if digests.len() < 2 {
        return Ok(());
    }
    let mut seen: BTreeMap<_, &Platform> = BTreeMap::new();
    let mut fault = None;
    for (image, stated) in digests.iter().flat_map(|digest| images(graph, digest)) {
        let facts = graph.manifests.get(image);
        let platform = stated.or_else(|| facts?.platform.as_ref());
        let Some(platform) = platform else {
            fault = Some("the platform of one of them is not known".to_owned());
            break;
        };
        let identity = (platform.identity(), &platform.os_features);
        if let Some(other) = seen.insert(identity, platform) {
            let [one, other] = [platform, other].map(Platform::specifier);
            fault = Some(match one == other {
                true => format!("two of them are for {one}"),
                false => format!("one is for {other} and another for {one}"),
            });
            break;
        }
    }
    let name = name.familiar();
    let fault = fault
        .as_deref()
        .unwrap_or("they do not belong into one index");
    let message = format!("cannot join images into the index {name}: {fault}");
    Err(Error::new(Code::NameTaken, message)
        .with_found(name)
        .with_hint(Hint::ChoosePlatform))
}

/// The images below an entry, with the platforms that their index states.
fn images<'g>(graph: &'g Graph, digest: &'g Digest) -> Vec<(&'g Digest, Option<&'g Platform>)> {
    let index = graph.document(digest);
    let listed = index
        .into_iter()
        .flat_map(|index| index.pointers_in(Role::Manifests));
    let stated: BTreeMap<&Digest, &Platform> = listed
        .filter_map(|pointer| Some((&pointer.digest, pointer.platform.as_deref()?)))
        .collect();
    let images = graph.images_below(digest).into_iter();
    images
        .map(|image| (image, stated.get(image).copied()))
        .collect()
}

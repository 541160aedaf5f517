//! The inputs of a merge as one source.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::path::Path;

use super::part::Part;
use super::root::{Names, root};
use crate::error::{Code, Error, Hint, IoContext, Result};
use crate::fix::Run;
use crate::graph::Graph;
use crate::image::{Digest, Platform, Reference, sniff};
use crate::input::Source;
use crate::inventory::{BlobEntry, BlobSource, DataLocation, Inventory, RootFile};
use crate::location::{Role, RootName};
use crate::plan::{Body, Plan};

/// A source that contains everything of several, and what it means.
pub(super) struct Joined {
    pub(super) source: Source,
    pub(super) graph: Graph,
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

/// Joins the inputs. Each blob is taken from the first input that has it.
pub(super) fn join(parts: Vec<Part>, names: Names<'_>, run: &Run<'_>) -> Result<Joined> {
    let mut kept = Vec::new();
    for (number, part) in parts.into_iter().enumerate() {
        let left_out = &names.settled.left_out[number];
        let part = match left_out.is_empty() {
            true => Some(part),
            false => part.without(left_out, run)?,
        };
        kept.extend(part.map(|part| (number, part)));
    }
    let plans: Vec<(usize, &Plan)> = kept
        .iter()
        .map(|(number, part)| (*number, &part.plan))
        .collect();
    let text = root(&plans, names)?;
    let directory = run.spool_directory();
    let file = tempfile::tempfile_in(&directory).map_err(|error| {
        Error::io("create a temporary file in", &directory, error)
            .with_hint(Hint::ChooseSpoolDirectory)
    })?;
    let mut documents = Documents { file, len: 0 };
    let mut inventory = Inventory::default();
    let mut computed = BTreeSet::new();
    for (number, (_, part)) in kept.iter().enumerate() {
        add_blobs(&mut inventory, &mut documents, part, number, &directory)?;
        let proofs = part.plan.proofs.iter().filter(|proof| proof.is_only_proof);
        computed.extend(proofs.map(|proof| proof.digest.clone()));
    }
    let mut file = |bytes: Vec<u8>| -> Result<RootFile> {
        let data = documents.add(&bytes, &directory)?;
        Ok(RootFile { bytes, data })
    };
    inventory.root_index = Some(file(text.into_bytes())?);
    let layout = kept
        .iter()
        .find_map(|(_, part)| root_bytes(&part.plan, RootName::OciLayout));
    inventory.oci_layout = layout.map(|layout| file(layout.to_owned())).transpose()?;
    inventory.entry_count = inventory.blobs.len();
    let sources = kept.into_iter().map(|(_, part)| part.source).collect();
    let source = Source::of(documents.file, Path::new("the merged inputs"))?.with_inputs(sources);
    let mut graph = run.meaning(inventory, &source)?;
    graph.computed = computed;
    if let Some(name) = names.index {
        check_joined(&graph, name)?;
    }
    Ok(Joined { source, graph })
}

fn add_blobs(
    inventory: &mut Inventory,
    documents: &mut Documents,
    part: &Part,
    number: usize,
    directory: &Path,
) -> Result<()> {
    for entry in &part.plan.entries {
        let digest = match &entry.body {
            Body::Blob { digest, .. } => Some(digest.clone()),
            _ => digest_of(&entry.name),
        };
        let Some(digest) = digest else { continue };
        if let Some(known) = inventory.blobs.get(&digest) {
            if known.len != entry.len {
                let message = format!(
                    "{} has {} bytes, and {} bytes in another input",
                    entry.name, entry.len, known.len
                );
                return Err(Error::new(Code::SizeMismatch, message)
                    .with_entry(&entry.name)
                    .within(part.source.path()));
            }
            continue;
        }
        let blob = match &entry.body {
            Body::Directory => continue,
            Body::Bytes(bytes) => BlobEntry {
                len: entry.len,
                data: documents.add(bytes, directory)?,
                content: sniff(bytes),
            },
            Body::Blob { data, .. } => {
                let found = part.source.identify(data, entry.len)?;
                BlobEntry {
                    data: DataLocation::Input {
                        number,
                        data: Box::new(found.data),
                    },
                    ..found
                }
            }
        };
        inventory.blobs.insert(digest, blob);
    }
    Ok(())
}

/// The digest in a blob's name.
fn digest_of(name: &str) -> Option<Digest> {
    let (algorithm, hex) = name.strip_prefix("blobs/")?.split_once('/')?;
    format!("{algorithm}:{hex}").parse().ok()
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
    let images = digests.iter().flat_map(|digest| graph.images_below(digest));
    let mut seen: BTreeSet<String> = BTreeSet::new();
    let repeated = images.into_iter().find_map(|image| {
        let platform = graph.manifests.get(image)?.platform.as_ref();
        let platform = platform.map(Platform::specifier)?;
        (!seen.insert(platform.clone())).then_some(platform)
    });
    let name = name.familiar();
    let message = match repeated {
        Some(platform) => {
            format!("cannot join images into the index {name}: two of them are for {platform}")
        }
        None => format!(
            "cannot join images into the index {name}: the platform of one of them is not known"
        ),
    };
    Err(Error::new(Code::NameTaken, message).with_found(name))
}

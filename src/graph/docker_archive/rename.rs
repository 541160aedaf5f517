//! Files that `manifest.json` names get the digests that image layouts know them by.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Code, Error, Hint, Lenient, Result};
use crate::graph::budget::Budget;
use crate::graph::docker_archive::{DockerArchiveItem, ItemFaults};
use crate::graph::document::{DocumentReader, MAX_DOCUMENT_LEN, refuse_large};
use crate::graph::fault::is_of_one_document;
use crate::graph::image;
use crate::image::{Algorithm, Content, DiffId, Digest, StatedDiffId};
use crate::inventory::{BlobEntry, BlobSource, DataLocation, ExtraKind, Inventory, Strictness};
use crate::location::Location;

/// How many links may lead from one to the next.
const MAX_LINKS: usize = 16;

/// A file that was not named by its digest.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RenamedFile {
    /// The entry's name in the source.
    pub name: String,
    /// The digest that it is known by now.
    pub digest: Digest,
    /// Whether the source states that digest: in the file's name, or as the diff ID of a plain layer. Otherwise
    /// ocify computed it from the file's bytes.
    pub is_stated: bool,
}

/// Finds the config and the layers of each item, gives each its digest, and moves the files among
/// them from the inventory's extra entries to its blobs.
///
/// A plain tar is assumed to have the config's diff ID, which copying verifies; any other file
/// is hashed here.
pub(crate) fn rename_to_digests(
    items: &mut [DockerArchiveItem],
    inventory: &mut Inventory,
    blobs: &dyn BlobSource,
    reader: &mut DocumentReader,
) -> Result<(Vec<RenamedFile>, ItemFaults)> {
    let mut faults = ItemFaults::new();
    let mut renamer = Renamer {
        inventory,
        blobs,
        reader,
        files: BTreeMap::new(),
        digests: BTreeMap::new(),
        own: BTreeSet::new(),
        budget: Budget::default(),
    };
    for (position, item) in items.iter_mut().enumerate() {
        match renamer.item(item, position) {
            Err(error) if is_of_one_document(&error) && !renamer.budget.is_spent() => {
                faults.insert(position, error.about_item(position));
            }
            result => result?,
        }
    }
    Ok((renamer.finish(), faults))
}

struct Renamer<'a> {
    inventory: &'a mut Inventory,
    blobs: &'a dyn BlobSource,
    reader: &'a mut DocumentReader,
    /// The digest of each file that was examined, by its own name, never that of a link.
    files: BTreeMap<String, Digest>,
    /// The digest of each name that was used, links included, and whether the source states it.
    digests: BTreeMap<String, (Digest, bool)>,
    /// The digests of which the inventory had no blob.
    own: BTreeSet<Digest>,
    budget: Budget,
}

/// Where an entry's name leads.
enum Found {
    Blob(Digest),
    File {
        names: Vec<String>,
        data: DataLocation,
        len: u64,
    },
    Nothing,
}

impl Renamer<'_> {
    fn item(&mut self, item: &mut DockerArchiveItem, position: usize) -> Result<()> {
        let mut diff_ids = Vec::new();
        if let Some((digest, found)) = self.config(&item.config, item.layers.len(), position)? {
            item.config_digest = Some(digest);
            diff_ids = found;
        }
        for (number, entry) in item.layers.iter().enumerate() {
            let diff_id = diff_ids.get(number).and_then(StatedDiffId::valid);
            let location = || Location::Item {
                position,
                property: "Layers",
                index: Some(number),
                entry: Some(entry.clone()),
            };
            let digest = self.layer(entry, diff_id, location)?;
            item.layer_digests.push(digest);
        }
        item.diff_ids = diff_ids;
        Ok(())
    }

    /// The config's digest and its diff IDs; `None` if it is not in the source.
    fn config(
        &mut self,
        entry: &str,
        layers: usize,
        position: usize,
    ) -> Result<Option<(Digest, Vec<StatedDiffId>)>> {
        let location = Location::Item {
            position,
            property: "Config",
            index: None,
            entry: Some(entry.to_owned()),
        };
        let (blob, names) = match self.find(entry) {
            Found::Nothing => return Ok(None),
            Found::Blob(digest) => {
                let len = self.inventory.blobs.get(&digest).map_or(0, |blob| blob.len);
                self.budget.read(len, || location.clone())?;
                let diff_ids = self.blob_diff_ids(&digest, layers, &location);
                return Ok(Some((digest, diff_ids)));
            }
            Found::File { names, data, len } => (self.blobs.identify(&data, len)?, names),
        };
        self.budget.read(blob.len, || location.clone())?;
        let bytes = self.document(&blob, &location)?;
        let digest = Digest::of(Algorithm::Sha256, &bytes);
        let claimed = claimed_digest(entry);
        let is_stated = claimed.as_ref() == Some(&digest);
        if let Some(claimed) = claimed
            && !is_stated
            && self.reader.strictness == Strictness::Strict
        {
            return Err(Error::new(
                Code::DigestMismatch,
                format!("{location} has the digest {digest}, which does not match its name"),
            )
            .with_location(location)
            .with_expected(claimed)
            .with_found(digest)
            .with_hint(Hint::UseLenient(Lenient::Config)));
        }
        let config = image::config(bytes, &location, layers, self.reader)?;
        self.take(names, &digest, is_stated, blob);
        Ok(Some((digest, config.diff_ids)))
    }

    /// The diff IDs that a config states; none if it cannot be read, because then the walk that follows
    /// says so.
    fn blob_diff_ids(
        &self,
        digest: &Digest,
        layers: usize,
        location: &Location,
    ) -> Vec<StatedDiffId> {
        let blob = self.inventory.blobs.get(digest);
        let bytes = blob.and_then(|blob| self.blobs.read_blob(blob, MAX_DOCUMENT_LEN).ok());
        let whole = bytes.filter(|bytes| digest.recompute(bytes).as_ref() == Some(digest));
        whole
            .and_then(|bytes| {
                let mut reader = DocumentReader::new(Strictness::Lenient);
                image::config(bytes, location, layers, &mut reader).ok()
            })
            .map_or_else(Vec::new, |config| config.diff_ids)
    }

    fn document(&self, blob: &BlobEntry, location: &Location) -> Result<Vec<u8>> {
        refuse_large(blob, location)?;
        self.blobs.read_blob(blob, MAX_DOCUMENT_LEN)
    }

    /// The layer's digest; `None` if it is not in the source and its name does not state it.
    fn layer(
        &mut self,
        entry: &str,
        diff_id: Option<&DiffId>,
        location: impl Fn() -> Location,
    ) -> Result<Option<Digest>> {
        let (names, data, len) = match self.find(entry) {
            Found::Nothing => return Ok(Digest::from_any_blob_name(&clean(entry))),
            Found::Blob(digest) => return Ok(Some(digest)),
            Found::File { names, data, len } => (names, data, len),
        };
        let diff_id = diff_id
            .map(|diff_id| &diff_id.0)
            .filter(|digest| digest.algorithm() == Some(Algorithm::Sha256));
        let known = names.last().and_then(|name| self.files.get(name)).cloned();
        let blob = self.blobs.identify(&data, len)?;
        // The digest of an uncompressed layer is its diff ID.
        let digest = match (blob.content, diff_id, known) {
            (Content::Tar, Some(diff_id), _) => diff_id.clone(),
            (_, _, Some(known)) => known,
            _ => self.blobs.digest_of(&blob, Algorithm::Sha256)?,
        };
        let claimed = compressed_digest(entry);
        let is_diff_id = !blob.content.is_compressed() && diff_id == Some(&digest);
        let is_stated = is_diff_id || claimed.as_ref() == Some(&digest);
        if let Some(claimed) = claimed
            && blob.content != Content::Tar
            && claimed != digest
            && Some(&claimed) != diff_id
            && self.reader.strictness == Strictness::Strict
        {
            return Err(Error::new(
                Code::DigestMismatch,
                format!(
                    "{} has the digest {digest}, which does not match its name",
                    location()
                ),
            )
            .with_location(location())
            .with_expected(claimed)
            .with_found(digest)
            .with_hint(Hint::UseLenient(Lenient::Layer)));
        }
        self.take(names, &digest, is_stated, blob);
        Ok(Some(digest))
    }

    fn take(&mut self, names: Vec<String>, digest: &Digest, is_stated: bool, blob: BlobEntry) {
        // A blob of that name states it too.
        let is_own = !self.inventory.blobs.contains_key(digest) || self.own.contains(digest);
        if is_own {
            self.own.insert(digest.clone());
        }
        let is_stated = is_stated || !is_own;
        if let Some(file) = names.last() {
            self.files.insert(file.clone(), digest.clone());
        }
        for name in names {
            let known = self.digests.entry(name);
            let (_, stated) = known.or_insert_with(|| (digest.clone(), false));
            *stated |= is_stated;
        }
        self.inventory.blobs.entry(digest.clone()).or_insert(blob);
    }

    /// Follows the links that an entry may be, within the source.
    fn find(&self, entry: &str) -> Found {
        let mut name = clean(entry);
        let mut names = Vec::new();
        for _ in 0..MAX_LINKS {
            if let Some(digest) = Digest::from_any_blob_name(&name)
                && self.inventory.blobs.contains_key(&digest)
            {
                return Found::Blob(digest);
            }
            let Some(extra) = self.inventory.extra.get(&name) else {
                return Found::Nothing;
            };
            names.push(name.clone());
            name = match &extra.kind {
                ExtraKind::File(data) => {
                    return Found::File {
                        names,
                        data: data.clone(),
                        len: extra.len,
                    };
                }
                ExtraKind::Symlink(target) if target.starts_with('/') => clean(target),
                ExtraKind::Symlink(target) => {
                    let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
                    clean(&format!("{folder}/{target}"))
                }
                ExtraKind::Hardlink(target) => clean(target),
                ExtraKind::Directory | ExtraKind::Other => return Found::Nothing,
            };
        }
        Found::Nothing
    }

    fn finish(self) -> Vec<RenamedFile> {
        let taken: BTreeSet<&String> = self.digests.keys().collect();
        self.inventory.extra.retain(|name, _| !taken.contains(name));
        self.digests
            .into_iter()
            .map(|(name, (digest, is_stated))| RenamedFile {
                name,
                digest,
                is_stated,
            })
            .collect()
    }
}

/// An entry's name as the inventory has it: relative, without parts that mean nothing. `..` goes up
/// one part, and at the top stays there.
fn clean(name: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// The digest that a config's name states: `<hex>.json` as docker writes it, `sha256:<hex>` as crane does.
fn claimed_digest(entry: &str) -> Option<Digest> {
    let name = clean(entry);
    let file = name.rsplit('/').next().unwrap_or_default();
    let stem = file.strip_suffix(".json").unwrap_or(file);
    match stem.contains(':') {
        true => stem.parse().ok(),
        false => format!("sha256:{stem}").parse().ok(),
    }
}

/// The digest that the name of a compressed layer states: `<hex>.tar.gz` as crane, ko and jib write
/// it. Other writers put the diff ID there.
fn compressed_digest(entry: &str) -> Option<Digest> {
    let name = clean(entry);
    let file = name.rsplit('/').next().unwrap_or_default();
    let stem = file.strip_suffix(".tar.gz")?;
    format!("sha256:{stem}").parse().ok()
}

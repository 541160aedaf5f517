//! OCI documents for sources that have none: what Docker's forms say, as documents of an image layout.
//!
//! The texts are those that Docker 25 and later write when they save the same image.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use oci_spec::image::{Descriptor, ImageIndexBuilder, ImageManifestBuilder, SCHEMA_VERSION};

use crate::error::{Code, Error, Hint, Result, escape};
use crate::graph::budget::Budget;
use crate::graph::docker_archive::{DockerArchiveItem, ItemFaults, RenamedFile};
use crate::image::media_type::{self, Kind};
use crate::image::oci::{descriptor, text};
use crate::image::{Algorithm, Compression, Digest};
use crate::inventory::{BlobSource, ExtraKind, Inventory};
use crate::json::View;
use crate::location::{Location, RootName};

/// Documents that the source does not contain.
#[derive(Debug, Default)]
pub(crate) struct Synthesized {
    /// The text of the top-level index.
    pub(crate) root: Vec<u8>,
    /// The manifests, by digest.
    pub(crate) documents: BTreeMap<Digest, Vec<u8>>,
}

/// What skopeo's `dir:` form becomes.
#[derive(Debug)]
pub(crate) struct DirectoryTransport {
    pub(crate) documents: Synthesized,
    /// The files that are blobs now.
    pub(crate) renamed: Vec<RenamedFile>,
}

/// The documents for a Docker archive, whose files were renamed before. Items that differ only in
/// their names become one image, and an item whose config or layers are not in the source none.
///
/// # Errors
/// A limit was exceeded.
pub(crate) fn from_docker_archive(
    items: &[DockerArchiveItem],
    inventory: &Inventory,
    faults: &mut ItemFaults,
) -> Result<Synthesized> {
    let mut synthesized = Synthesized::default();
    let mut descriptors = Vec::new();
    let mut budget = Budget::default();
    for (position, item) in items.iter().enumerate() {
        if faults.contains_key(&position) {
            continue;
        }
        let (digest, text) = match manifest(item, position, inventory) {
            Err(error) if error.code() == Code::MissingBlob => {
                faults.insert(position, error.about_item(position));
                continue;
            }
            found => found?,
        };
        budget.keep(text.len(), item.layers.len() + 1, || {
            RootName::DockerManifest.into()
        })?;
        let descriptor = descriptor(media_type::OCI_MANIFEST, &digest, text.len() as u64)?;
        if synthesized.documents.insert(digest, text).is_none() {
            descriptors.push(descriptor);
        }
    }
    synthesized.root = index(descriptors)?;
    Ok(synthesized)
}

/// The text of an index of these descriptors.
///
/// # Errors
/// It cannot be built.
pub(crate) fn index(manifests: Vec<Descriptor>) -> Result<Vec<u8>> {
    text(
        ImageIndexBuilder::default()
            .schema_version(SCHEMA_VERSION)
            .media_type(media_type::OCI_INDEX)
            .manifests(manifests)
            .build(),
    )
}

/// The entry of an index for a document, as JSON text.
///
/// # Errors
/// It cannot be built.
pub(crate) fn entry(media_type: &str, digest: &Digest, len: u64) -> Result<String> {
    let bytes = text(Ok(descriptor(media_type, digest, len)?))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The manifest of an item, with its digest. `position` is the item's, for errors.
///
/// # Errors
/// The config or a layer is not in the source.
pub(crate) fn manifest(
    item: &DockerArchiveItem,
    position: usize,
    inventory: &Inventory,
) -> Result<(Digest, Vec<u8>)> {
    let absent = |property: &'static str, index: Option<usize>, entry: &str| {
        let location = Location::Item {
            position,
            property,
            index,
            entry: None,
        };
        Error::new(
            Code::MissingBlob,
            format!(
                "{location} is {}, which is not in the archive",
                escape(entry)
            ),
        )
        .with_location(location)
        .with_entry(entry)
        .with_hint(Hint::SaveAgain)
    };
    let config = item
        .config_digest
        .as_ref()
        .and_then(|digest| Some((digest, inventory.blobs.get(digest)?)));
    let Some((config, config_blob)) = config else {
        return Err(absent("Config", None, &item.config));
    };
    let mut layers = Vec::with_capacity(item.layers.len());
    for (number, (entry, digest)) in item.layers.iter().zip(&item.layer_digests).enumerate() {
        let found = digest
            .as_ref()
            .and_then(|digest| Some((digest, inventory.blobs.get(digest)?)));
        let Some((digest, blob)) = found else {
            return Err(absent("Layers", Some(number), entry));
        };
        let compression = Compression::of_content(blob.content);
        let media_type =
            media_type::oci_layer(compression.unwrap_or(Compression::Uncompressed), true);
        layers.push(descriptor(media_type, digest, blob.len)?);
    }
    let text = text(
        ImageManifestBuilder::default()
            .schema_version(SCHEMA_VERSION)
            .media_type(media_type::OCI_MANIFEST)
            .config(descriptor(media_type::OCI_CONFIG, config, config_blob.len)?)
            .layers(layers)
            .build(),
    )?;
    Ok((Digest::of(Algorithm::Sha256, &text), text))
}

/// Whether `manifest.json` is an image's own manifest, as skopeo's `dir:` form has it, and not
/// Docker's list.
pub(crate) fn is_directory_transport(docker_manifest: &[u8]) -> bool {
    std::str::from_utf8(docker_manifest)
        .ok()
        .and_then(View::parse)
        .is_some_and(|root| root.get("schemaVersion").is_some())
}

/// The digest that the name of a file of skopeo's `dir:` form states.
fn stated_digest(name: &str) -> Option<Digest> {
    let stem = [".manifest.json", ".tar"]
        .into_iter()
        .find_map(|suffix| name.strip_suffix(suffix))
        .unwrap_or(name);
    let (algorithm, hex) = stem.split_once('-').unwrap_or(("sha256", stem));
    format!("{algorithm}:{hex}").parse().ok()
}

/// The documents for skopeo's `dir:` form: `manifest.json` is the manifest or index, its blobs are
/// files named by their hexadecimal digest, and the manifests of an index are `<hex>.manifest.json`
/// (container-libs, `directory/directory_dest.go`). Version 1.0 called the blobs `<hex>.tar`, and digests that are
/// not SHA-256 have their algorithm before the hash.
///
/// The files move from the inventory's extra entries to its blobs; copying verifies their names.
pub(crate) fn from_directory_transport(
    text: &[u8],
    inventory: &mut Inventory,
    blobs: &dyn BlobSource,
) -> Result<DirectoryTransport> {
    let mut named = Vec::new();
    let mut renamed = Vec::new();
    for (name, entry) in &inventory.extra {
        if let (Some(digest), ExtraKind::File(data)) = (stated_digest(name), &entry.kind) {
            named.push((name.clone(), digest, data.clone(), entry.len));
        }
    }
    for (name, digest, data, len) in named {
        if let Entry::Vacant(place) = inventory.blobs.entry(digest.clone()) {
            place.insert(blobs.identify(&data, len)?);
            inventory.extra.remove(&name);
            renamed.push(RenamedFile {
                name,
                digest,
                is_stated: true,
            });
        }
    }
    let root = std::str::from_utf8(text).ok().and_then(View::parse);
    let stated = root.and_then(|root| root.get("mediaType")?.string());
    let is_index = root.is_some_and(|root| root.get("manifests").is_some());
    let media_type = stated.unwrap_or_else(|| {
        let inferred = if is_index {
            media_type::OCI_INDEX
        } else {
            media_type::OCI_MANIFEST
        };
        inferred.to_owned()
    });
    let known = matches!(
        media_type::kind(&media_type),
        Kind::Index | Kind::Manifest | Kind::Schema1
    );
    if !known {
        return Err(Error::new(
            Code::InvalidDocument,
            format!(
                "manifest.json is neither Docker's list of images nor a manifest: its media type is {}",
                escape(&media_type)
            ),
        )
        .with_location(RootName::DockerManifest)
        .with_found(media_type)
        .with_hint(Hint::CorrectDockerManifest));
    }
    let digest = Digest::of(Algorithm::Sha256, text);
    let root = index(vec![descriptor(&media_type, &digest, text.len() as u64)?])?;
    Ok(DirectoryTransport {
        documents: Synthesized {
            root,
            documents: BTreeMap::from([(digest, text.to_vec())]),
        },
        renamed,
    })
}

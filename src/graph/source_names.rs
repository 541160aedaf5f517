//! Errors about a source without `index.json`: they name the entries that it has.
//!
//! A Docker archive and skopeo's `dir:` form become an index and blobs before they are read further, and what is found
//! then is located there. Users know only their own files.

use std::collections::HashSet;

use crate::error::{Code, Error, Hint, Place, escape};
use crate::graph::Graph;
use crate::graph::docker_archive::{DockerArchiveItem, RenamedFile};
use crate::image::Digest;
use crate::location::{DocumentPath, Location, Role, RootName, Step};

/// What a source without an index calls its images and blobs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SourceNames<'a> {
    /// The items of `manifest.json`; `None` for skopeo's form, where that is the manifest.
    pub(crate) items: Option<&'a [DockerArchiveItem]>,
    pub(crate) renamed: &'a [RenamedFile],
}

impl Graph {
    /// The same error, in the words of the source.
    pub(crate) fn restated(&self, error: Error) -> Error {
        if !self.is_root_synthesized {
            return error;
        }
        let names = SourceNames {
            items: self.docker_archive.as_deref(),
            renamed: &self.renamed,
        };
        names.restated(error)
    }
}

impl SourceNames<'_> {
    /// The same error, in the words of the source.
    pub(crate) fn restated(self, error: Error) -> Error {
        if let Some(error) = self.misordered(&error) {
            return error;
        }
        let location = error.place().and_then(Place::location).cloned();
        let error = match location {
            Some(location) => self.with_location(error, &location),
            None => error,
        };
        self.with_entry(error)
    }

    /// The error for a plain layer with the bytes of another: its diff ID was taken for its digest, and the bytes are
    /// not damaged.
    fn misordered(self, error: &Error) -> Option<Error> {
        if error.code() != Code::DigestMismatch {
            return None;
        }
        let (expected, found) = (error.expected()?, error.found()?);
        let items = self.items.unwrap_or_default().iter().enumerate();
        items.into_iter().find_map(|(position, item)| {
            let is = |digest: &str| {
                let mut diff_ids = item.diff_ids.iter();
                diff_ids.position(|diff_id| diff_id.to_string() == digest)
            };
            let (number, other) = (is(expected)?, is(found)?);
            let location = Location::Item {
                position,
                property: "Layers",
                index: Some(number),
                entry: item.layers.get(number).cloned(),
            };
            let error = Error::new(
                Code::DiffIdMismatch,
                format!(
                    "{location} has the diff ID {found}, which the config states for layer {other} and not for layer {number}: expected {expected}"
                ),
            );
            let error = error
                .with_location(location)
                .with_expected(expected)
                .with_found(found);
            Some(error.with_hint(Hint::SaveWrongAgain))
        })
    }

    fn with_location(self, error: Error, location: &Location) -> Error {
        let Some(entry) = entry_of(location) else {
            return error;
        };
        let before = format!("{}, manifests[{entry}]", RootName::Index.name());
        let Some(items) = self.items else {
            let error = error.restated(&before, RootName::DockerManifest.name());
            return match moved(location) {
                Some(location) => error.with_location(location),
                None => error,
            };
        };
        let Some(position) = nth_image(items, entry) else {
            return error;
        };
        let after = format!("{}[{position}]", RootName::DockerManifest.name());
        let error = error
            .restated(&format!("{before}, config"), &format!("{after}, Config"))
            .restated(&format!("{before}, layers["), &format!("{after}, Layers["))
            .restated(&before, &after);
        let step = match location {
            Location::Descriptor { step, .. } => Some(*step),
            _ => None,
        };
        let item = &items[position];
        error.with_location(match step {
            Some(Step {
                role: Role::Config, ..
            }) => Location::Item {
                position,
                property: "Config",
                index: None,
                entry: Some(item.config.clone()),
            },
            Some(Step {
                role: Role::Layers,
                position: number,
            }) => Location::Item {
                position,
                property: "Layers",
                index: Some(number),
                entry: item.layers.get(number).cloned(),
            },
            _ => RootName::DockerManifest.into(),
        })
    }

    fn with_entry(self, error: Error) -> Error {
        let text = error.to_string();
        let mut error = error;
        for renamed in self.renamed {
            let blob = renamed.digest.blob_name();
            if text.contains(&blob) {
                let is_its_entry = error.place().and_then(Place::entry) == Some(&*blob);
                error = error.restated(&blob, &escape(&renamed.name));
                if is_its_entry {
                    error = error.with_entry(&renamed.name);
                }
            }
        }
        // What is absent has no name but the one that it should have.
        if self.items.is_none() {
            let entry = error.place().and_then(Place::entry).map(str::to_owned);
            let absent = entry.as_deref().and_then(Digest::from_blob_name);
            if let (Some(entry), Some(digest)) = (entry, absent) {
                let name = directory_name(&digest);
                error = error.restated(&entry, &name).with_entry(name);
            }
        }
        error
    }
}

/// The name of a blob in skopeo's form.
fn directory_name(digest: &Digest) -> String {
    match digest.algorithm_name() {
        "sha256" => digest.hex(),
        algorithm => format!("{algorithm}-{}", digest.hex()),
    }
}

/// The position of the entry of `index.json` that leads to a location.
fn entry_of(location: &Location) -> Option<usize> {
    let mut path = location.document()?;
    if let (None, Location::Descriptor { step, .. }) = (path.parent(), location) {
        return (path.root() == RootName::Index).then_some(step.position);
    }
    loop {
        let (parent, step) = path.parent()?;
        if parent.parent().is_none() {
            return (parent.root() == RootName::Index).then_some(step.position);
        }
        path = parent;
    }
}

/// The first item of the image at this position, of which several items may give names.
fn nth_image(items: &[DockerArchiveItem], wanted: usize) -> Option<usize> {
    let parts = |item: &DockerArchiveItem| (item.config_digest.clone(), item.layer_digests.clone());
    let mut images = HashSet::new();
    for (position, item) in items.iter().enumerate() {
        let is_new = images.insert(parts(item));
        if is_new && images.len() == wanted + 1 {
            return Some(position);
        }
    }
    None
}

/// A location below the only entry of `index.json` as one below `manifest.json`.
fn moved(location: &Location) -> Option<Location> {
    let path = |path: &DocumentPath| {
        let mut steps = Vec::new();
        let mut at = path;
        while let Some((parent, step)) = at.parent() {
            steps.push(step);
            at = parent;
        }
        // The step from the index to the manifest.
        steps.pop()?;
        let root = DocumentPath::from(RootName::DockerManifest);
        let steps = steps.into_iter().rev();
        Some(steps.fold(root, |path, step| path.child(step)))
    };
    Some(match location {
        Location::Descriptor { document, .. } if document.parent().is_none() => {
            RootName::DockerManifest.into()
        }
        Location::Descriptor {
            document,
            step,
            annotation,
        } => Location::Descriptor {
            document: path(document)?,
            step: *step,
            annotation: *annotation,
        },
        Location::Property { document, property } => Location::Property {
            document: path(document)?,
            property,
        },
        Location::Document(document) => path(document)?.into(),
        _ => return None,
    })
}

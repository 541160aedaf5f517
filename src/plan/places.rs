//! Where changes and findings are, for programs: the digest of a document of the input, its name, and a JSON pointer.

use std::collections::{HashMap, HashSet};

use serde::Serialize;

use crate::graph::Graph;
use crate::graph::document::Document;
use crate::image::{Algorithm, Digest};
use crate::inventory::DataLocation;
use crate::location::{DocumentPath, Location, RootName, Step};
use crate::plan::rules::{FindingRule, Rule};
use crate::plan::{Change, Finding};

/// A value in a document of the input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DocumentPlace {
    /// The SHA-256 digest of a file at the root, or the digest that names a blob.
    pub document: Digest,
    /// The name of the entry or file.
    pub path: String,
    /// A JSON pointer (RFC 6901) to the value, or to where a value would be that the document lacks.
    pub pointer: String,
}

/// The documents that locations are in.
#[derive(Clone, Debug, Default)]
pub struct Places {
    documents: HashMap<DocumentPath, Source>,
    /// The directory that the archive was packed in, with a slash at its end.
    wrapper: Option<String>,
}

/// A document of the input.
#[derive(Clone, Debug)]
struct Source {
    digest: Digest,
    name: Name,
    /// Whether values are where locations say. If not, only the document is known.
    is_as_read: bool,
}

/// The name of a document. There may be tens of thousands, so that of a blob is not kept beside its digest.
#[derive(Clone, Debug)]
enum Name {
    Root(RootName),
    Blob,
    Other(Box<str>),
}

/// Which `index.json` locations are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IndexRead {
    /// The one of the input.
    AsItIs,
    /// The one of the graph, which may list other things.
    AsInGraph,
}

impl Places {
    /// The documents that these locations are in.
    pub(crate) fn of<'l>(
        graph: &Graph,
        locations: impl Iterator<Item = &'l Location>,
        index: IndexRead,
    ) -> Self {
        let mentioned: HashSet<DocumentPath> = locations.filter_map(document_of).collect();
        if mentioned.is_empty() {
            return Places::default();
        }
        let wrapper = graph.inventory.names.wrapper.as_deref();
        let mut places = Places {
            documents: HashMap::with_capacity(mentioned.len()),
            wrapper: wrapper.map(|wrapper| format!("{}/", wrapper.trim_end_matches('/'))),
        };
        let reader = Reader::new(graph, index);
        for root in [
            RootName::Index,
            RootName::DockerManifest,
            RootName::OciLayout,
        ] {
            let path = DocumentPath::from(root);
            if mentioned.contains(&path)
                && let Some(source) = reader.root(root)
            {
                places.documents.insert(path, source);
            }
        }
        for (digest, document) in &graph.documents {
            if mentioned.contains(&document.path)
                && let Some(source) = reader.document(digest, document)
            {
                places.documents.insert(document.path.clone(), source);
            }
        }
        places
    }

    /// Where a change is; `None` if that is not in a document of the input.
    pub fn of_change(&self, change: &Change) -> Option<DocumentPlace> {
        self.place(&change.location, member_of_rule(change.rule))
    }

    /// Where a finding is; `None` if that is not in a document of the input.
    pub fn of_finding(&self, finding: &Finding) -> Option<DocumentPlace> {
        let member = match finding.rule {
            FindingRule::UnknownMediaType => Some("mediaType"),
            FindingRule::UnverifiedDigest => Some("digest"),
            _ => None,
        };
        self.place(finding.location.as_ref()?, member)
    }

    /// Where a location is, or this member of the descriptor there.
    pub(crate) fn place(
        &self,
        location: &Location,
        member: Option<&'static str>,
    ) -> Option<DocumentPlace> {
        let source = self.documents.get(&document_of(location)?)?;
        Some(DocumentPlace {
            document: source.digest.clone(),
            path: self.path(source),
            pointer: match source.is_as_read {
                true => pointer(location, member),
                false => String::new(),
            },
        })
    }

    /// The name of the entry or file that a document is.
    fn path(&self, source: &Source) -> String {
        let mut path = self.wrapper.clone().unwrap_or_default();
        match &source.name {
            Name::Root(root) => path.push_str(root.name()),
            Name::Blob => path.push_str(&source.digest.blob_name()),
            Name::Other(name) => path.push_str(name),
        }
        path
    }
}

/// Which member of a descriptor a change replaces.
fn member_of_rule(rule: Rule) -> Option<&'static str> {
    match rule {
        Rule::IndexType
        | Rule::ManifestType
        | Rule::ConfigType
        | Rule::LayerType
        | Rule::DockerType => Some("mediaType"),
        Rule::Size => Some("size"),
        Rule::DescriptorPlatform | Rule::IncompletePlatform => Some("platform"),
        Rule::Descriptor | Rule::Subject | Rule::Recompressed | Rule::Unwrapped => Some("digest"),
        _ => None,
    }
}

/// The document that a location is in.
fn document_of(location: &Location) -> Option<DocumentPath> {
    match location {
        Location::Item { .. } => Some(RootName::DockerManifest.into()),
        other => other.document().cloned(),
    }
}

fn pointer(location: &Location, member: Option<&'static str>) -> String {
    match location {
        Location::Archive | Location::Entry(_) | Location::Document(_) => String::new(),
        // Annotations are the only properties of documents whose names have a dot.
        Location::Property { property, .. } if property.contains('.') => {
            format!("/annotations/{}", escaped(property))
        }
        Location::Property { property, .. } => format!("/{}", escaped(property)),
        Location::Descriptor {
            step, annotation, ..
        } => {
            let descriptor = descriptor(*step);
            match (annotation, member) {
                (Some(key), _) => format!("{descriptor}/annotations/{}", escaped(key)),
                (None, Some(member)) => format!("{descriptor}/{member}"),
                (None, None) => descriptor,
            }
        }
        Location::Item {
            position,
            property,
            index,
            ..
        } => match index {
            Some(index) => format!("/{position}/{property}/{index}"),
            None => format!("/{position}/{property}"),
        },
    }
}

fn descriptor(step: Step) -> String {
    let property = step.role.property();
    match step.role.is_list() {
        true => format!("/{property}/{}", step.position),
        false => format!("/{property}"),
    }
}

/// A key as a part of a pointer.
fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// Finds documents in the input.
struct Reader<'a> {
    graph: &'a Graph,
    index: IndexRead,
    /// Blobs that have another name than that of their digest.
    renamed: HashMap<&'a Digest, &'a str>,
    /// Whether the graph is of several inputs, which have no `index.json` together.
    is_joined: bool,
}

impl<'a> Reader<'a> {
    fn new(graph: &'a Graph, index: IndexRead) -> Self {
        let renamed = graph.renamed.iter();
        let mut blobs = graph.inventory.blobs.values();
        Reader {
            graph,
            index,
            renamed: renamed
                .map(|file| (&file.digest, file.name.as_str()))
                .collect(),
            is_joined: blobs.any(|blob| matches!(blob.data, DataLocation::Input { .. })),
        }
    }

    fn root(&self, root: RootName) -> Option<Source> {
        let (graph, inventory) = (self.graph, &self.graph.inventory);
        let file = match root {
            _ if self.is_joined => None,
            RootName::Index => inventory.root_index.as_ref(),
            RootName::DockerManifest => inventory.docker_manifest.as_ref(),
            RootName::OciLayout => inventory.oci_layout.as_ref(),
        }?;
        let is_same = root == RootName::Index && graph.root.text.as_bytes() == file.bytes;
        let is_part = !graph.root.found_at.is_empty();
        let is_as_read = match root {
            // Only a part of the file is known.
            RootName::Index if is_part => return None,
            RootName::Index => is_same || self.index == IndexRead::AsItIs,
            RootName::DockerManifest => {
                let mut items = graph.docker_archive.iter().flatten();
                items.all(|item| !item.is_respelled)
            }
            RootName::OciLayout => true,
        };
        Some(Source {
            digest: match is_same {
                true => graph.root.digest.clone(),
                false => Digest::of(Algorithm::Sha256, &file.bytes),
            },
            name: Name::Root(root),
            is_as_read,
        })
    }

    fn document(&self, digest: &Digest, document: &Document) -> Option<Source> {
        let blob = self.graph.inventory.blobs.get(digest);
        let is_there =
            |data: &DataLocation| !self.is_joined || matches!(data, DataLocation::Input { .. });
        let is_there = blob.is_some_and(|blob| is_there(&blob.data));
        // In a directory of skopeo's, it is manifest.json.
        let manifest = self.graph.inventory.docker_manifest.as_ref();
        let is_manifest =
            || manifest.is_some_and(|file| document.text.as_bytes() == file.bytes.as_slice());
        let name = match self.renamed.get(digest) {
            _ if self.graph.is_created(digest) => return None,
            Some(name) => Name::Other((*name).into()),
            None if is_there && *digest == document.digest => Name::Blob,
            None if is_there => Name::Other(digest.blob_name().into()),
            None if is_manifest() => Name::Root(RootName::DockerManifest),
            None => return None,
        };
        Some(Source {
            digest: document.digest.clone(),
            name,
            is_as_read: !document.is_changed() && document.original.is_none(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::location::Role;

    #[test]
    fn pointers_name_values() {
        let document = DocumentPath::from(RootName::Index);
        let step = |role, position| Step { role, position };
        let layer = Location::of(&document, step(Role::Layers, 3));
        let config = Location::of(&document, step(Role::Config, 0));
        let annotation = |key| Location::Descriptor {
            document: document.clone(),
            step: step(Role::Manifests, 0),
            annotation: Some(key),
        };
        let property = |property| Location::Property {
            document: document.clone(),
            property,
        };
        let item = |index| Location::Item {
            position: 2,
            property: "Layers",
            index,
            entry: None,
        };
        for (location, member, expected) in [
            (layer.clone(), Some("mediaType"), "/layers/3/mediaType"),
            (layer, None, "/layers/3"),
            (config, Some("size"), "/config/size"),
            (
                annotation("a.b/c~d"),
                None,
                "/manifests/0/annotations/a.b~1c~0d",
            ),
            (property("mediaType"), None, "/mediaType"),
            (property("a.key"), None, "/annotations/a.key"),
            (Location::from(&document), None, ""),
            (item(Some(1)), None, "/2/Layers/1"),
            (item(None), None, "/2/Layers"),
        ] {
            assert_eq!(pointer(&location, member), expected, "{location}");
        }
    }
}

//! Where in an archive something is: a value that reports and errors display.

use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use crate::text::escape;

/// The files at the root that make up the image layout and the Docker archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RootName {
    /// `index.json`.
    Index,
    /// `manifest.json`.
    DockerManifest,
    /// `oci-layout`.
    OciLayout,
}

impl RootName {
    /// The root file with this name, if it is one of the three.
    pub fn of(name: &str) -> Option<Self> {
        let all = [Self::Index, Self::DockerManifest, Self::OciLayout];
        all.into_iter().find(|root| root.name() == name)
    }

    /// The file's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Index => "index.json",
            Self::DockerManifest => "manifest.json",
            Self::OciLayout => "oci-layout",
        }
    }
}

/// In which property of its document a descriptor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// An item of an index's `manifests`.
    Manifests,
    /// A manifest's `config`.
    Config,
    /// An item of a manifest's `layers`.
    Layers,
    /// The `subject` of a manifest or index.
    Subject,
    /// An item of an old artifact manifest's `blobs`.
    Blobs,
}

impl Role {
    /// The property's name.
    pub fn property(self) -> &'static str {
        match self {
            Role::Manifests => "manifests",
            Role::Config => "config",
            Role::Layers => "layers",
            Role::Subject => "subject",
            Role::Blobs => "blobs",
        }
    }

    pub(crate) fn is_list(self) -> bool {
        matches!(self, Role::Manifests | Role::Layers | Role::Blobs)
    }
}

/// A descriptor within its document, displayed as `config` or `layers[2]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Step {
    /// The property that contains the descriptor.
    pub role: Role,
    /// The position in that property, from 0; 0 for a property that is not a list.
    pub position: usize,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.role.property())?;
        if self.role.is_list() {
            write!(f, "[{}]", self.position)?;
        }
        Ok(())
    }
}

/// The path from a file at the root, descriptor by descriptor, to a document. It is displayed as
/// `index.json, manifests[0]`, and cloning it is cheap.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DocumentPath(Node);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Node {
    Root(RootName),
    Child(Arc<(DocumentPath, Step)>),
}

impl DocumentPath {
    /// The path of the document that a descriptor of this one points at.
    pub fn child(&self, step: Step) -> Self {
        DocumentPath(Node::Child(Arc::new((self.clone(), step))))
    }

    /// The document that names this one, and where in it; `None` for a file at the root.
    pub fn parent(&self) -> Option<(&DocumentPath, Step)> {
        match &self.0 {
            Node::Root(_) => None,
            Node::Child(child) => Some((&child.0, child.1)),
        }
    }

    /// The file at the root that the path begins with.
    pub fn root(&self) -> RootName {
        match &self.0 {
            Node::Root(root) => *root,
            Node::Child(child) => child.0.root(),
        }
    }
}

impl From<RootName> for DocumentPath {
    fn from(root: RootName) -> Self {
        DocumentPath(Node::Root(root))
    }
}

impl fmt::Display for DocumentPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Node::Root(root) => f.write_str(root.name()),
            Node::Child(child) => write!(f, "{}, {}", child.0, child.1),
        }
    }
}

/// Where in an archive something is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Location {
    /// The archive as a whole.
    Archive,
    /// An entry that is not a document, by its name as it is shown.
    Entry(String),
    /// A document as a whole.
    Document(DocumentPath),
    /// A property of a document, such as `mediaType`.
    Property {
        /// The document.
        document: DocumentPath,
        /// The property's name.
        property: &'static str,
    },
    /// A descriptor in a document, or one of its annotations.
    Descriptor {
        /// The document.
        document: DocumentPath,
        /// Where in it the descriptor is.
        step: Step,
        /// The annotation's key, if it is about an annotation.
        annotation: Option<&'static str>,
    },
    /// A property of an item of `manifest.json`, displayed as `manifest.json[0], RepoTags`.
    Item {
        /// The item's position, from 0.
        position: usize,
        /// The property's name.
        property: &'static str,
        /// The position in the property's list, from 0, if it is about one of its items.
        index: Option<usize>,
        /// The entry that the property names, if it is about that entry.
        entry: Option<String>,
    },
}

impl Location {
    /// An entry by its name in the archive, which may have characters that a terminal must not get.
    pub(crate) fn entry(name: &str) -> Self {
        Location::Entry(escape(name))
    }

    /// A descriptor in a document.
    pub(crate) fn of(document: &DocumentPath, step: Step) -> Self {
        Location::Descriptor {
            document: document.clone(),
            step,
            annotation: None,
        }
    }

    /// The document that it is in.
    pub fn document(&self) -> Option<&DocumentPath> {
        match self {
            Location::Document(document)
            | Location::Property { document, .. }
            | Location::Descriptor { document, .. } => Some(document),
            Location::Archive | Location::Entry(_) | Location::Item { .. } => None,
        }
    }
}

impl From<DocumentPath> for Location {
    fn from(document: DocumentPath) -> Self {
        Location::Document(document)
    }
}

impl From<RootName> for Location {
    fn from(root: RootName) -> Self {
        Location::Document(root.into())
    }
}

impl From<&DocumentPath> for Location {
    fn from(document: &DocumentPath) -> Self {
        Location::Document(document.clone())
    }
}

impl From<&Location> for Location {
    fn from(location: &Location) -> Self {
        location.clone()
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Location::Archive => f.write_str("the whole archive"),
            Location::Entry(name) => f.write_str(name),
            Location::Document(document) => document.fmt(f),
            Location::Property { document, property } => write!(f, "{document}, {property}"),
            Location::Descriptor {
                document,
                step,
                annotation,
            } => {
                write!(f, "{document}, {step}")?;
                match annotation {
                    Some(key) => write!(f, ", {key}"),
                    None => Ok(()),
                }
            }
            Location::Item {
                position,
                property,
                index,
                entry,
            } => {
                let root = RootName::DockerManifest.name();
                write!(f, "{root}[{position}], {property}")?;
                if let Some(index) = index {
                    write!(f, "[{index}]")?;
                }
                match entry {
                    Some(entry) => write!(f, " {}", escape(entry)),
                    None => Ok(()),
                }
            }
        }
    }
}

/// As it is displayed.
impl Serialize for Location {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_displayed_as_a_path_from_the_root() {
        let step = |role, position| Step { role, position };
        let index = DocumentPath::from(RootName::Index);
        let manifest = index.child(step(Role::Manifests, 2));
        let descriptor = |document: &DocumentPath, step, annotation| Location::Descriptor {
            document: document.clone(),
            step,
            annotation,
        };
        let item = |index, entry: Option<&str>| Location::Item {
            position: 1,
            property: "Config",
            index,
            entry: entry.map(str::to_owned),
        };
        for (location, expected) in [
            (Location::Archive, "the whole archive"),
            (Location::entry("a\nb"), "a\\u{a}b"),
            (RootName::OciLayout.into(), "oci-layout"),
            (manifest.clone().into(), "index.json, manifests[2]"),
            (
                Location::Property {
                    document: manifest.clone(),
                    property: "mediaType",
                },
                "index.json, manifests[2], mediaType",
            ),
            (
                descriptor(&manifest, step(Role::Layers, 10), None),
                "index.json, manifests[2], layers[10]",
            ),
            (
                descriptor(&manifest, step(Role::Config, 0), None),
                "index.json, manifests[2], config",
            ),
            (
                descriptor(&index, step(Role::Manifests, 0), Some("a.key")),
                "index.json, manifests[0], a.key",
            ),
            (item(None, None), "manifest.json[1], Config"),
            (item(Some(2), None), "manifest.json[1], Config[2]"),
            (
                item(None, Some("c\n.json")),
                "manifest.json[1], Config c\\u{a}.json",
            ),
        ] {
            assert_eq!(location.to_string(), expected);
            assert_eq!(serde_json::to_value(&location).unwrap(), expected);
        }
    }

    #[test]
    fn paths_lead_back_to_their_root() {
        let index = DocumentPath::from(RootName::Index);
        let step = Step {
            role: Role::Manifests,
            position: 3,
        };
        let child = index.child(step);
        assert_eq!(child.parent(), Some((&index, step)));
        assert_eq!((index.parent(), child.root()), (None, RootName::Index));
        let of_child = Location::Property {
            document: child.clone(),
            property: "layers",
        };
        assert_eq!(of_child.document(), Some(&child));
        assert_eq!(Location::Archive.document(), None);
    }
}

//! What the planned `index.json` of an input lists, and under which names.

use std::collections::BTreeSet;
use std::fmt;

use crate::error::Result;
use crate::graph::document::DocumentReader;
use crate::graph::link::DigestTag;
use crate::graph::pointer::{Pointer, REF_NAME};
use crate::image::{Digest, Reference};
use crate::inventory::Strictness;
use crate::location::Role;
use crate::plan::annotations;

/// What an entry of `index.json` is called.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Name {
    Full(Reference),
    /// A tag alone, or what is not a valid name.
    Text(String),
}

impl Name {
    fn of(pointer: &Pointer) -> Option<Self> {
        let text = || Some(Name::Text(pointer.stated_name()?.to_owned()));
        pointer.name().map(Name::Full).or_else(text)
    }

    /// The annotations that give an entry this name.
    pub(super) fn annotations(&self) -> Vec<(&'static str, String)> {
        match self {
            Name::Full(name) => annotations(name),
            Name::Text(text) => vec![(REF_NAME, text.clone())],
        }
    }

    /// The same with a number at its end; `None` if that would not be a name. A tag that is made of a digest still says what
    /// its content is about.
    pub(super) fn numbered(&self, number: usize) -> Option<Self> {
        let text = self.to_string();
        let separator = match DigestTag::of(&text) {
            Some(_) => '.',
            None => '-',
        };
        let suffix = format!("{separator}{number}");
        match self {
            Name::Full(name) => name.with_tag_suffix(&suffix).map(Name::Full),
            Name::Text(text) => Some(Name::Text(format!("{text}{suffix}"))),
        }
    }

    /// The name as users write it.
    pub(super) fn familiar(&self) -> String {
        match self {
            Name::Full(name) => name.familiar(),
            Name::Text(text) => text.clone(),
        }
    }
}

/// In full.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Name::Full(name) => f.write_str(&name.full()),
            Name::Text(text) => f.write_str(text),
        }
    }
}

/// An entry of the index.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    pub(super) text: String,
    pub(super) digest: Digest,
    pub(super) name: Option<Name>,
    pub(super) is_image: bool,
    /// Whether it is about the image whose name it shares.
    pub(super) shares_name: bool,
}

/// The entries of a planned index.
///
/// # Errors
/// None if ocify wrote the text.
pub(super) fn listed(index: &str, images: &BTreeSet<&Digest>) -> Result<Vec<Listed>> {
    let mut reader = DocumentReader::new(Strictness::Lenient);
    let root = crate::graph::root(index.as_bytes().to_vec(), &mut reader)?;
    let entries = root.pointers_in(Role::Manifests).map(|pointer| {
        let is_image = images.contains(&pointer.digest);
        Listed {
            text: root.text[pointer.places.descriptor.clone()].to_owned(),
            digest: pointer.digest.clone(),
            name: Name::of(pointer),
            is_image,
            shares_name: !is_image && pointer.is_saved_evidence(),
        }
    });
    Ok(entries.collect())
}

//! Names that inputs give to different images.

use std::collections::{BTreeMap, BTreeSet};

use super::part::Part;
use super::{NameConflict, OnConflict};
use crate::error::{Code, Error, Hint, Result, escape};
use crate::image::{Digest, Reference};

/// What becomes of the names of each input's images.
#[derive(Debug, Default)]
pub(super) struct Settled {
    /// For each input: the names that its images lose, and what they get instead.
    pub(super) lost: Vec<BTreeMap<Reference, Option<Reference>>>,
    /// The images that lost all their names in every input, and are left out.
    pub(super) superseded: BTreeSet<Digest>,
}

impl Settled {
    /// What was done, for each input.
    pub(super) fn conflicts(&self) -> impl Iterator<Item = Vec<NameConflict>> {
        self.lost.iter().map(|lost| {
            let conflicts = lost.iter().map(|(name, renamed)| NameConflict {
                name: name.clone(),
                renamed: renamed.clone(),
            });
            conflicts.collect()
        })
    }
}

/// Decides which image has each name.
///
/// # Errors
/// Inputs give a name to different images, and nothing says which of them has it.
pub(super) fn settle(
    parts: &[Part],
    choice: Option<OnConflict>,
    are_names_replaced: bool,
) -> Result<Settled> {
    let mut settled = Settled {
        lost: vec![BTreeMap::new(); parts.len()],
        superseded: BTreeSet::new(),
    };
    if are_names_replaced {
        return Ok(settled);
    }
    let mut holders: BTreeMap<&Reference, Vec<(usize, &Digest)>> = BTreeMap::new();
    for (number, part) in parts.iter().enumerate() {
        for (name, digest) in part.images() {
            holders.entry(name).or_default().push((number, digest));
        }
    }
    let mut taken: BTreeSet<Reference> = holders.keys().copied().cloned().collect();
    for (name, holders) in &holders {
        let keeper = match choice {
            Some(OnConflict::Last) => holders.last(),
            _ => holders.first(),
        };
        let Some((keeper, kept)) = keeper else {
            continue;
        };
        let others: Vec<_> = holders
            .iter()
            .filter(|(_, digest)| digest != kept)
            .collect();
        let Some((other, _)) = others.first() else {
            continue;
        };
        match choice {
            None => return Err(different(name, &parts[*keeper].name, &parts[*other].name)),
            Some(OnConflict::First | OnConflict::Last) => {
                for (number, _) in others {
                    settled.lost[*number].insert(Reference::clone(name), None);
                }
            }
            Some(OnConflict::Rename) => {
                let mut renamed: BTreeMap<&Digest, Reference> = BTreeMap::new();
                for (number, digest) in others {
                    let new = match renamed.get(digest) {
                        Some(new) => new.clone(),
                        None => free_name(name, &taken)?,
                    };
                    taken.insert(new.clone());
                    renamed.insert(digest, new.clone());
                    settled.lost[*number].insert(Reference::clone(name), Some(new));
                }
            }
        }
    }
    let mut kept: BTreeSet<&Digest> = BTreeSet::new();
    for (part, lost) in parts.iter().zip(&settled.lost) {
        for image in &part.plan.summary.images {
            let is_lost = |name: &Reference| lost.get(name).is_some_and(Option::is_none);
            if image.names.is_empty() || !image.names.iter().all(is_lost) {
                kept.extend(&image.digest);
            } else {
                settled.superseded.extend(image.digest.clone());
            }
        }
    }
    settled.superseded.retain(|image| !kept.contains(image));
    Ok(settled)
}

fn different(name: &Reference, first: &str, second: &str) -> Error {
    let (name, first, second) = (name.familiar(), escape(first), escape(second));
    let message = format!("{first} and {second} contain different images named {name}");
    Error::new(Code::NameTaken, message)
        .with_found(name)
        .with_hint(Hint::ResolveConflict)
}

/// The name with a number at the end of its tag, as low as possible, so that no other image has it.
fn free_name(name: &Reference, taken: &BTreeSet<Reference>) -> Result<Reference> {
    let numbers = 2..=taken.len() + 2;
    let mut names = numbers.filter_map(|number| name.with_tag_suffix(&format!("-{number}")));
    names.find(|name| !taken.contains(name)).ok_or_else(|| {
        let name = name.familiar();
        let message =
            format!("cannot rename a second image named {name}: its tag is too long, or a digest");
        Error::new(Code::NameTaken, message)
            .with_found(name)
            .with_hint(Hint::ResolveConflict)
    })
}

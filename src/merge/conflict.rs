//! Names that inputs give to different content.

use std::collections::{BTreeMap, BTreeSet};

use super::listed::{Listed, Name};
use super::part::Part;
use super::{NameConflict, OnConflict};
use crate::error::{Code, Error, Hint, Result, escape};
use crate::image::Digest;

/// What becomes of the names that each input's entries have.
#[derive(Debug, Default)]
pub(super) struct Settled {
    /// For each input: the names that its entries lose, and what they get instead.
    pub(super) lost: Vec<BTreeMap<Name, Option<Name>>>,
    /// What lost all its names in every input, and is left out.
    pub(super) superseded: BTreeSet<Digest>,
}

impl Settled {
    /// What was done, for each input.
    pub(super) fn conflicts(&self) -> impl Iterator<Item = Vec<NameConflict>> {
        self.lost.iter().map(|lost| {
            let conflicts = lost.iter().map(|(name, renamed)| NameConflict {
                name: name.to_string(),
                renamed: renamed.as_ref().map(Name::to_string),
            });
            conflicts.collect()
        })
    }
}

/// Decides which content has each name: images, artifacts, signatures and whatever else `index.json` lists.
///
/// # Errors
/// Inputs give a name to different content, and nothing says which of it has the name.
pub(super) fn settle(
    parts: &[Part],
    choice: Option<OnConflict>,
    are_images_renamed: bool,
) -> Result<Settled> {
    let mut settled = Settled {
        lost: vec![BTreeMap::new(); parts.len()],
        superseded: BTreeSet::new(),
    };
    let mut holders: BTreeMap<&Name, Vec<(usize, &Listed)>> = BTreeMap::new();
    for (number, part) in parts.iter().enumerate() {
        for listed in &part.listed {
            let is_exempt = listed.shares_name || are_images_renamed && listed.is_image;
            if let Some(name) = listed.name.as_ref().filter(|_| !is_exempt) {
                holders.entry(name).or_default().push((number, listed));
            }
        }
    }
    let mut taken: BTreeSet<Name> = holders.keys().copied().cloned().collect();
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
            .filter(|(_, listed)| listed.digest != kept.digest)
            .collect();
        let Some((other, differing)) = others.first() else {
            continue;
        };
        match choice {
            None => {
                let what = match kept.is_image && differing.is_image {
                    true => "images",
                    false => "manifests",
                };
                let [one, other] = [keeper, other].map(|number| &*parts[*number].name);
                return Err(different(what, name, one, other));
            }
            Some(OnConflict::First | OnConflict::Last) => {
                for (number, _) in others {
                    settled.lost[*number].insert(Name::clone(name), None);
                }
            }
            Some(OnConflict::Rename) => {
                let mut renamed: BTreeMap<&Digest, Name> = BTreeMap::new();
                let mut free = FreeNames::of(name);
                for (number, listed) in others {
                    let new = match renamed.get(&listed.digest) {
                        Some(new) => new.clone(),
                        None => free.next(&taken)?,
                    };
                    taken.insert(new.clone());
                    renamed.insert(&listed.digest, new.clone());
                    settled.lost[*number].insert(Name::clone(name), Some(new));
                }
            }
        }
    }
    let mut kept: BTreeSet<&Digest> = BTreeSet::new();
    for (part, lost) in parts.iter().zip(&settled.lost) {
        for listed in &part.listed {
            let lost = listed.name.as_ref().and_then(|name| lost.get(name));
            match lost {
                Some(None) => settled.superseded.insert(listed.digest.clone()),
                _ => kept.insert(&listed.digest),
            };
        }
    }
    settled.superseded.retain(|digest| !kept.contains(digest));
    Ok(settled)
}

fn different(what: &str, name: &Name, first: &str, second: &str) -> Error {
    let (name, first, second) = (name.familiar(), escape(first), escape(second));
    let message = format!(
        "{first} and {second} contain different {what} named {}",
        escape(&name)
    );
    Error::new(Code::NameTaken, message)
        .with_found(name)
        .with_hint(Hint::ResolveConflict)
}

/// A name with numbers at the end of its tag.
struct FreeNames<'a> {
    name: &'a Name,
    /// Lower numbers are taken.
    next: usize,
}

impl<'a> FreeNames<'a> {
    fn of(name: &'a Name) -> Self {
        FreeNames { name, next: 2 }
    }

    /// The name with the lowest number that nothing else has.
    fn next(&mut self, taken: &BTreeSet<Name>) -> Result<Name> {
        for number in self.next..=taken.len() + 2 {
            let Some(name) = self.name.numbered(number) else {
                break;
            };
            if !taken.contains(&name) {
                self.next = number + 1;
                return Ok(name);
            }
        }
        let name = self.name.familiar();
        let message = format!(
            "cannot rename a second one named {}: its tag is too long, or a digest",
            escape(&name)
        );
        Err(Error::new(Code::NameTaken, message)
            .with_found(name)
            .with_hint(Hint::ResolveConflict))
    }
}

//! Duplicate entries.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;

use super::Contents;
use super::listing::Listed;
use crate::error::{Code, Error, Hint, Lenient, Result, escape, show_path};
use crate::input::classify::Item;
use crate::input::form::FormCheck;
use crate::inventory::{Inventory, Strictness};

/// One item per name; of different ones the last, if that is allowed.
pub(super) fn without_duplicates(
    contents: &dyn Contents,
    items: Vec<Listed>,
    strictness: Strictness,
    inventory: &mut Inventory,
    form: &mut FormCheck,
) -> Result<Vec<Item>> {
    let mut seen = HashSet::with_capacity(items.len());
    if items.iter().all(|listed| seen.insert(listed.key())) {
        return Ok(items.into_iter().map(|listed| listed.item).collect());
    }
    let mut places: HashMap<Vec<u8>, usize> = HashMap::with_capacity(items.len());
    let mut kept: Vec<Item> = Vec::with_capacity(items.len());
    let mut passed_over = BTreeSet::new();
    for listed in items {
        let Some(&place) = places.get(listed.name_bytes()) else {
            places.insert(listed.name_bytes().to_vec(), kept.len());
            kept.push(listed.item);
            continue;
        };
        let item = listed.item;
        form.differs(&item.name, "is duplicated");
        let earlier = &mut kept[place];
        if contents.is_equal(earlier, &item)? {
            continue;
        }
        if strictness == Strictness::Strict {
            return Err(stands_twice(contents.path(), &item.name));
        }
        form.hides_entry();
        if passed_over.insert(place) {
            inventory.skipped.push(item.name.clone());
        }
        *earlier = item;
    }
    Ok(kept)
}

/// Says that two entries of one name differ.
pub(in crate::input) fn stands_twice(path: &Path, name: &str) -> Error {
    Error::new(
        Code::DuplicateEntry,
        format!(
            "{} is duplicated in {} with different content",
            escape(name),
            show_path(path)
        ),
    )
    .with_path(path)
    .with_entry(name)
    .with_hint(Hint::UseLenient(Lenient::LastEntry))
}

//! Entries that stand more than once.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use super::Contents;
use crate::error::{Code, Error, Result, escape, show_path};
use crate::inventory::Inventory;
use crate::read::ScanOptions;
use crate::read::classify::Item;
use crate::read::form::FormCheck;

/// One item per name; of different ones the last, if that is allowed.
pub(super) fn without_duplicates(
    contents: &dyn Contents,
    items: Vec<(Vec<u8>, Item)>,
    options: ScanOptions,
    inventory: &mut Inventory,
    form: &mut FormCheck,
) -> Result<Vec<Item>> {
    let mut places: HashMap<Vec<u8>, usize> = HashMap::with_capacity(items.len());
    let mut kept: Vec<Item> = Vec::with_capacity(items.len());
    let mut passed_over = BTreeSet::new();
    for (key, item) in items {
        let Some(&place) = places.get(&key) else {
            places.insert(key, kept.len());
            kept.push(item);
            continue;
        };
        form.differs(&item.name, "stands twice");
        let earlier = &mut kept[place];
        if contents.is_equal(earlier, &item)? {
            continue;
        }
        if !options.lenient {
            return Err(stands_twice(contents.path(), &item.name));
        }
        if passed_over.insert(place) {
            inventory.passed_over.push(item.name.clone());
        }
        *earlier = item;
    }
    Ok(kept)
}

/// Says that two entries of one name differ.
pub(in crate::read) fn stands_twice(path: &Path, name: &str) -> Error {
    Error::new(
        Code::DuplicateEntry,
        format!(
            "{} stands twice in {}, with different content",
            escape(name),
            show_path(path)
        ),
    )
    .with_hint("--lenient takes the last one, as docker does")
}

//! Entries that stand more than once.

use std::collections::{BTreeSet, HashMap};

use crate::error::{Code, Error, Result, escape, show_path};
use crate::inventory::{ExtraKind, Inventory, Location};
use crate::read::classify::Item;
use crate::read::form::FormCheck;
use crate::read::{ScanOptions, Source};

/// One item per name; of different ones the last, if that is allowed.
pub(super) fn without_duplicates(
    source: &Source,
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
        if is_equal(source, earlier, &item)? {
            continue;
        }
        if !options.lenient {
            return Err(Error::new(
                Code::DuplicateEntry,
                format!(
                    "{} stands twice in {}, with different content",
                    escape(&item.name),
                    show_path(source.path())
                ),
            )
            .with_hint("--lenient takes the last one, as docker does"));
        }
        if passed_over.insert(place) {
            inventory.passed_over.push(item.name.clone());
        }
        *earlier = item;
    }
    Ok(kept)
}

fn is_equal(source: &Source, a: &Item, b: &Item) -> Result<bool> {
    let (ExtraKind::File(Location::Offset(a_at)), ExtraKind::File(Location::Offset(b_at))) =
        (&a.kind, &b.kind)
    else {
        return Ok(a.kind == b.kind);
    };
    if a.len != b.len {
        return Ok(false);
    }
    const PIECE: u64 = 128 << 10;
    let mut done = 0;
    while done < a.len {
        let count = PIECE.min(a.len - done);
        let left = source.read_range(&Location::Offset(a_at + done), count)?;
        if left != source.read_range(&Location::Offset(b_at + done), count)? {
            return Ok(false);
        }
        done += count;
    }
    Ok(true)
}

//! Blobs and root files that are links: they get the content of the file that they lead to.
//!
//! Readers that unpack an archive follow its links; containerd does not find a hard link. Only links within the archive
//! are followed, and only to a file that every reader finds there; others are refused.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use crate::error::Result;
use crate::input::classify::{self, Item};
use crate::input::form::FormCheck;
use crate::inventory::{ExtraKind, Inventory, LinkKind};
use crate::location::RootName;

/// How many links may lead from one to the next.
pub(in crate::input) const MAX_LINKS: usize = 16;

/// Why a link leads to no file of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::input) enum BrokenLink {
    Absolute,
    Outside,
    Missing,
    Circular,
    TooLong,
    Directory,
    Special,
    OtherBlob,
    Nowhere,
}

impl BrokenLink {
    /// What is wrong with the target, to follow its name.
    pub(in crate::input) fn words(self) -> &'static str {
        match self {
            BrokenLink::Absolute => "an absolute path",
            BrokenLink::Outside => "which leads out of it",
            BrokenLink::Missing => "which it does not contain",
            BrokenLink::Circular => "which leads back to the link",
            BrokenLink::TooLong => "the first of too many links",
            BrokenLink::Directory => "which is a directory",
            BrokenLink::Special => "which is a special file",
            BrokenLink::OtherBlob => "which is another blob",
            BrokenLink::Nowhere => "which leads to no file",
        }
    }
}

/// Gives blobs and root files that are links the content of their targets, and notes them.
///
/// # Errors
/// A link cannot be followed.
pub(super) fn follow(
    path: &Path,
    items: &mut [Item],
    inventory: &mut Inventory,
    form: &mut FormCheck,
) -> Result<()> {
    if !items.iter().any(is_needed_link) {
        return Ok(());
    }
    for (position, target) in targets(path, items)? {
        let target = items[target].clone();
        let item = &mut items[position];
        form.differs(&item.name, "is a link");
        inventory.links.insert(item.name.clone(), target.name);
        item.kind = target.kind;
        item.len = target.len;
        item.content = target.content;
    }
    Ok(())
}

/// All links, by their names.
pub(super) fn all(items: &[Item]) -> BTreeMap<String, LinkKind> {
    let links = items.iter().filter_map(|item| {
        let kind = match &item.kind {
            ExtraKind::Symlink(target) => {
                let target = beside(&item.name, target).unwrap_or_else(|_| target.clone());
                LinkKind::Symbolic(target)
            }
            ExtraKind::Hardlink(_) => LinkKind::Hard,
            _ => return None,
        };
        Some((item.name.clone(), kind))
    });
    links.collect()
}

/// The first symbolic link that leads to no file or link.
pub(super) fn dangling(items: &[Item]) -> Option<String> {
    let mut links = items.iter().filter_map(|item| match &item.kind {
        ExtraKind::Symlink(target) => Some((item, beside(&item.name, target).ok())),
        _ => None,
    });
    let mut links = links.by_ref().peekable();
    links.peek()?;
    let files = items
        .iter()
        .filter(|item| item.kind != ExtraKind::Directory);
    let names: HashSet<&str> = files.map(|item| item.name.as_str()).collect();
    let (link, _) = links.find(|(_, target)| {
        let target = target.as_deref();
        !target.is_some_and(|target| names.contains(target))
    })?;
    Some(link.name.clone())
}

/// The position of the first hard link that leads to no item before it.
pub(super) fn early<'a>(items: impl Iterator<Item = &'a Item> + Clone) -> Option<usize> {
    let is_hard = |item: &Item| matches!(item.kind, ExtraKind::Hardlink(_));
    if !items.clone().any(is_hard) {
        return None;
    }
    let mut names: HashSet<&str> = HashSet::new();
    for (position, item) in items.enumerate() {
        if let ExtraKind::Hardlink(target) = &item.kind
            && !beneath("", target).is_ok_and(|target| names.contains(target.as_str()))
        {
            return Some(position);
        }
        names.insert(&item.name);
    }
    None
}

/// The positions of links, each with that of the file that it leads to.
fn targets(path: &Path, items: &[Item]) -> Result<Vec<(usize, usize)>> {
    let names = items.iter().enumerate();
    let by_name: HashMap<&str, usize> = names
        .map(|(position, item)| (item.name.as_str(), position))
        .collect();
    let links = items.iter().enumerate();
    links
        .filter(|(_, item)| is_needed_link(item))
        .map(|(position, link)| match target(items, &by_name, link) {
            Ok(target) => Ok((position, target)),
            Err(why) => Err(classify::broken_link(path, false, link, why)),
        })
        .collect()
}

/// Whether an item is a link in the place of a blob or a root file.
pub(in crate::input) fn is_needed_link(item: &Item) -> bool {
    matches!(item.kind, ExtraKind::Symlink(_) | ExtraKind::Hardlink(_))
        && (item.digest.is_some() || RootName::of(&item.name).is_some())
}

/// The position of the file that a link leads to. A blob may not be a link to a blob of another digest.
fn target(
    items: &[Item],
    by_name: &HashMap<&str, usize>,
    link: &Item,
) -> Result<usize, BrokenLink> {
    let mut at = link;
    for _ in 0..MAX_LINKS {
        let name = match &at.kind {
            ExtraKind::Symlink(target) => beside(&at.name, target)?,
            ExtraKind::Hardlink(target) => beneath("", target)?,
            ExtraKind::Directory => return Err(BrokenLink::Directory),
            ExtraKind::File(_) | ExtraKind::Other => return Err(BrokenLink::Special),
        };
        if name == link.name {
            return Err(BrokenLink::Circular);
        }
        let position = *by_name.get(name.as_str()).ok_or(BrokenLink::Missing)?;
        at = &items[position];
        if let ExtraKind::File(_) = at.kind {
            return match at.digest.is_some() && link.digest.is_some() {
                true => Err(BrokenLink::OtherBlob),
                false => Ok(position),
            };
        }
    }
    Err(BrokenLink::TooLong)
}

/// Where a symbolic link leads, by its name and its target, if that is within the archive.
pub(in crate::input) fn beside(name: &str, target: &str) -> Result<String, BrokenLink> {
    let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
    match target.starts_with('/') {
        true => Err(BrokenLink::Absolute),
        false => beneath(folder, target),
    }
}

/// A path from a directory of the archive, without parts that mean nothing, if it is within the archive.
fn beneath(folder: &str, path: &str) -> Result<String, BrokenLink> {
    let mut parts: Vec<&str> = Vec::new();
    for part in folder.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop().ok_or(BrokenLink::Outside)?),
            part => parts.push(part),
        }
    }
    Ok(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_stay_within_the_archive() {
        for (name, target, expected) in [
            ("blobs/sha256/a", "b", Ok("blobs/sha256/b")),
            ("blobs/sha256/a", "../../real/b", Ok("real/b")),
            ("blobs/sha256/a", "./.././../real//b", Ok("real/b")),
            ("index.json", "real/index.json", Ok("real/index.json")),
            ("blobs/sha256/a", "../../../b", Err(BrokenLink::Outside)),
            ("index.json", "../index.json", Err(BrokenLink::Outside)),
            ("blobs/sha256/a", "/b", Err(BrokenLink::Absolute)),
            (
                "blobs/sha256/a",
                "../../x/../../b",
                Err(BrokenLink::Outside),
            ),
        ] {
            let expected = expected.map(str::to_owned);
            assert_eq!(beside(name, target), expected, "{name} {target}");
        }
        assert_eq!(beneath("", "./real/b").as_deref(), Ok("real/b"));
        assert_eq!(beneath("", "/real/b").as_deref(), Ok("real/b"));
    }
}

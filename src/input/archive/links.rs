//! Blobs and root files that are links: they get the content of the file that they lead to.
//!
//! Readers that unpack an archive follow its links; containerd does not find a hard link. Only links within the archive
//! are followed, and only to a file that every reader finds there.

use std::collections::HashMap;

use crate::input::classify::Item;
use crate::input::form::FormCheck;
use crate::inventory::{ExtraKind, Inventory};
use crate::location::RootName;

/// How many links may lead from one to the next.
pub(in crate::input) const MAX_LINKS: usize = 16;

/// Gives blobs and root files that are links the content of their targets, and notes them. A link that cannot be
/// followed stays what it is.
pub(super) fn follow(items: &mut [Item], inventory: &mut Inventory, form: &mut FormCheck) {
    if !items.iter().any(is_needed_link) {
        return;
    }
    for (position, target) in targets(items) {
        let target = items[target].clone();
        let item = &mut items[position];
        form.differs(&item.name, "is a link");
        inventory.links.insert(item.name.clone(), target.name);
        item.kind = target.kind;
        item.len = target.len;
        item.content = target.content;
    }
}

/// The positions of links that can be followed, each with that of the file that it leads to.
fn targets(items: &[Item]) -> Vec<(usize, usize)> {
    let names = items.iter().enumerate();
    let by_name: HashMap<&str, usize> = names
        .map(|(position, item)| (item.name.as_str(), position))
        .collect();
    let links = items.iter().enumerate();
    links
        .filter(|(_, item)| is_needed_link(item))
        .filter_map(|(position, link)| Some((position, target(items, &by_name, link)?)))
        .collect()
}

/// Whether an item is a link in the place of a blob or a root file.
pub(in crate::input) fn is_needed_link(item: &Item) -> bool {
    matches!(item.kind, ExtraKind::Symlink(_) | ExtraKind::Hardlink(_))
        && (item.digest.is_some() || RootName::of(&item.name).is_some())
}

/// The position of the file that a link leads to; `None` if it is not in the archive, and if it is a blob of another
/// digest.
fn target(items: &[Item], by_name: &HashMap<&str, usize>, link: &Item) -> Option<usize> {
    let mut at = link;
    for _ in 0..MAX_LINKS {
        let name = match &at.kind {
            ExtraKind::Symlink(target) => beside(&at.name, target)?,
            ExtraKind::Hardlink(target) => beneath("", target)?,
            ExtraKind::File(_) | ExtraKind::Directory | ExtraKind::Other => return None,
        };
        let position = *by_name.get(name.as_str())?;
        at = &items[position];
        if let ExtraKind::File(_) = at.kind {
            let is_other = at.digest.is_some() && link.digest.is_some();
            return (!is_other).then_some(position);
        }
    }
    None
}

/// Where a symbolic link leads, by its name and its target; `None` if that is not within the archive.
pub(in crate::input) fn beside(name: &str, target: &str) -> Option<String> {
    let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
    (!target.starts_with('/')).then(|| beneath(folder, target))?
}

/// A path from a directory of the archive, without parts that mean nothing; `None` if it leads out of the archive.
fn beneath(folder: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in folder.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_stay_within_the_archive() {
        for (name, target, expected) in [
            ("blobs/sha256/a", "b", Some("blobs/sha256/b")),
            ("blobs/sha256/a", "../../real/b", Some("real/b")),
            ("blobs/sha256/a", "./.././../real//b", Some("real/b")),
            ("index.json", "real/index.json", Some("real/index.json")),
            ("blobs/sha256/a", "../../../b", None),
            ("index.json", "../index.json", None),
            ("blobs/sha256/a", "/b", None),
            ("blobs/sha256/a", "../../x/../../b", None),
        ] {
            assert_eq!(beside(name, target).as_deref(), expected, "{name} {target}");
        }
        assert_eq!(beneath("", "./real/b").as_deref(), Some("real/b"));
        assert_eq!(beneath("", "/real/b").as_deref(), Some("real/b"));
    }
}

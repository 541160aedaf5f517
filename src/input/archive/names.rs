//! Entry names: cleaned, and without the one directory that an archive was packed in.

use std::borrow::Cow;
use std::collections::HashSet;
use std::path::Path;

use super::listing::Listed;
use crate::error::{self, Result, entry_text, escape};
use crate::image::Digest;
use crate::input::classify::Item;
use crate::input::form::FormCheck;
use crate::inventory::ExtraKind;
use crate::tar::invalid;

/// No file system has longer names, and quadratic work on names stays small.
const NAME_CAP: usize = 4096;

/// The name without the parts that mean nothing; `.` for the root.
pub(super) fn clean(name: &[u8]) -> Result<Cow<'_, [u8]>, &'static str> {
    if name.contains(&0) {
        return Err("contains a NUL byte");
    }
    if name.len() > NAME_CAP {
        return Err("is longer than 4096 bytes");
    }
    let is_clean = |part: &[u8]| !matches!(part, b"" | b"." | b"..");
    if name.split(|&byte| byte == b'/').all(is_clean) {
        return Ok(Cow::Borrowed(name));
    }
    let parts: Vec<&[u8]> = name
        .split(|&byte| byte == b'/')
        .filter(|part| !matches!(*part, b"" | b"."))
        .collect();
    if parts.contains(&&b".."[..]) {
        return Err("leads outside the archive with \"..\"");
    }
    if parts.is_empty() {
        return Ok(Cow::Borrowed(b"."));
    }
    Ok(Cow::Owned(parts.join(&b'/')))
}

/// Strips the one directory that an archive was packed in.
pub(super) fn unwrap_directory(wrapper: &str, items: &mut [Listed], form: &mut FormCheck) {
    form.differs(wrapper, "is a directory that contains the whole image");
    form.hides_entry();
    // Below the wrapper, the raw name keeps its own bytes.
    let prefix = wrapper.len() + 1;
    for Listed { raw_name, item } in items {
        if item.name.len() < prefix {
            *raw_name = None;
            item.name = ".".to_owned();
        } else {
            if let Some(raw_name) = raw_name {
                raw_name.drain(..prefix);
            }
            item.name.drain(..prefix);
            item.digest = Digest::from_blob_name(&item.name);
        }
        unwrap_target(&mut item.kind, wrapper);
    }
}

/// What a link leads to, if that is stated from the top of the archive.
fn unwrap_target(kind: &mut ExtraKind, wrapper: &str) {
    let (target, is_absolute) = match kind {
        ExtraKind::Hardlink(target) => (target, false),
        ExtraKind::Symlink(target) if target.starts_with('/') => (target, true),
        _ => return,
    };
    let Ok(cleaned) = clean(target.as_bytes()) else {
        return;
    };
    let cleaned = entry_text(&cleaned);
    let inner = cleaned.strip_prefix(wrapper);
    if let Some(inner) = inner.and_then(|inner| inner.strip_prefix('/')) {
        *target = if is_absolute {
            format!("/{inner}")
        } else {
            inner.to_owned()
        };
    }
}

/// The directory that contains everything else, including `index.json` or `manifest.json`.
pub(super) fn wrapper(items: &[Listed]) -> Option<String> {
    let top = |name: &str| name.split('/').next().unwrap_or_default().to_owned();
    let mut named = items.iter().filter(|listed| listed.item.name != ".");
    let wrapper = top(&named.next()?.item.name);
    let mut has_root = false;
    for Listed { raw_name, item } in items {
        // A directory whose name is not text would have another length than its bytes.
        if (raw_name.as_ref()).is_some_and(|raw| !raw.starts_with(wrapper.as_bytes())) {
            return None;
        }
        match item.name.strip_prefix(&wrapper) {
            _ if item.name == "." => {}
            Some("") if item.kind == ExtraKind::Directory => {}
            Some(inner) if inner.starts_with('/') => {
                has_root |= matches!(inner, "/index.json" | "/manifest.json");
            }
            _ => return None,
        }
    }
    has_root.then_some(wrapper)
}

/// Gives entries whose names are not text, and whose escaped names are those of other entries, texts of their own.
pub(super) fn distinguish(items: &mut [Listed]) {
    if items.iter().all(|listed| listed.raw_name.is_none()) {
        return;
    }
    let named = items.iter().filter(|listed| listed.raw_name.is_none());
    let taken: HashSet<String> = named.map(|listed| listed.item.name.clone()).collect();
    for Listed { raw_name, item } in items {
        if raw_name.is_some() {
            error::distinguish(&mut item.name, &taken);
        }
    }
}

/// Refuses entries below a link or a file. A reader that unpacks would follow the link, or replace
/// one by the other; a reader that goes by names does neither.
pub(super) fn refuse_nested(path: &Path, items: &[Item]) -> Result<()> {
    let mut parents = HashSet::new();
    let mut longest = 0;
    let mut last = None;
    for item in items {
        let mut name = item.name.as_str();
        while let Some((parent, _)) = name.rsplit_once('/') {
            // Thousands of blobs are in one directory.
            if last == Some(parent) || !parents.insert(parent) {
                break;
            }
            longest = longest.max(parent.len());
            name = parent;
        }
        last = item.name.rsplit_once('/').map(|(parent, _)| parent);
    }
    let is_nested = |item: &&Item| {
        item.kind != ExtraKind::Directory
            && item.name.len() <= longest
            && parents.contains(item.name.as_str())
    };
    match items.iter().find(is_nested) {
        None => Ok(()),
        Some(item) => {
            let name = escape(&item.name);
            let what = format!("{name} is not a directory, but other entries are below it");
            Err(invalid(path, &what).with_entry(&item.name))
        }
    }
}

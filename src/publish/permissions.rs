//! The permissions of what replaces something else.

use std::fs::File;
use std::io;

use rustix::fs::{Gid, Mode, fchmod, fchown, fstat};
use rustix::process::geteuid;

use super::acl::Acl;
use crate::beneath::{FileStat, HeldPath};
use crate::error::{IoContext, Result};

/// What a file or directory may allow its owner, its group and all others.
const PERMISSIONS: u32 = 0o777;

/// Gives a new file or directory the permissions of the old one at a place: what only its owner could read must not become
/// readable to all.
///
/// It belongs to the user who runs, and never gets set-user-ID, set-group-ID or sticky bits of the old one. What the old one
/// allowed its group is allowed if the new one can belong to that group too, or all others may do it. An access control list is
/// kept if the old one belongs to the same user. Someone else may have created the old one to get at the new one, so then the
/// new one allows no more than a new file does.
pub(super) fn keep_permissions(new: &File, old: &FileStat, place: &HeldPath) -> Result<()> {
    keep(new, old, place).context("set the mode of", place.path())
}

fn keep(new: &File, old: &FileStat, place: &HeldPath) -> io::Result<()> {
    let found = FileStat::from(fstat(new)?);
    let inherited = Acl::of(new)?;
    let kept = Acl::at(place);
    // Without /proc, nobody knows what the old one allowed its group.
    let is_known = kept.is_ok();
    let kept = kept.ok().flatten();
    let is_own = old.owner == geteuid().as_raw();
    let is_of_group = found.group == old.group
        || is_own && fchown(new, None, Some(Gid::from_raw(old.group))).is_ok();
    let has_group = is_known && is_of_group;
    let created = mode(&found, inherited.as_ref());
    let replaced = mode(old, kept.as_ref());
    if let Some(kept) = kept.filter(|_| is_own) {
        let most = if has_group { 0o7 } else { replaced };
        if kept.with_group(most).set(new).is_ok() {
            return Ok(());
        }
    }
    if inherited.is_some() {
        Acl::remove(new)?;
    }
    let mode = permissions(created, replaced, is_own, has_group);
    Ok(fchmod(new, Mode::from_raw_mode(mode))?)
}

/// The permissions of a temporary file or directory that may replace what is at a place later. Until then, it allows no more than
/// that does.
pub(super) fn until_published(created: u32, place: &HeldPath) -> u32 {
    const OWNER: u32 = 0o700;
    match place.look_up() {
        Ok(old) => created & (mode(&old, Acl::at(place).ok().flatten().as_ref()) | OWNER),
        Err(_) => created,
    }
}

/// The mode of a file with this access control list. The system shows what the list allows at most in place of what its group
/// may do.
fn mode(found: &FileStat, acl: Option<&Acl>) -> u32 {
    acl.map_or(found.mode, |acl| found.mode & !0o070 | acl.group() << 3)
}

/// The mode of something that was created with `new` and replaces something with `old`.
fn permissions(new: u32, old: u32, is_own: bool, has_group: bool) -> u32 {
    let mut kept = old & PERMISSIONS;
    if !has_group {
        kept &= 0o707 | (kept & 0o007) << 3;
    }
    if !is_own {
        kept &= new;
    }
    // A new directory has the set-group-ID bit of the directory that it is in.
    new & !PERMISSIONS | kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_allowed_that_neither_owner_nor_system_allowed() {
        const DIRECTORY: u32 = 0o040_000;
        #[rustfmt::skip]
        let cases = [
            // Created with, replaces, whether the owner and the group are the same, and what it gets.
            (0o644, 0o600, true, true, 0o600),
            (0o600, 0o666, true, true, 0o666),
            (0o644, 0o6755, true, true, 0o755),
            (0o644, 0o1777, true, true, 0o777),
            (0o644, 0o640, true, false, 0o600),
            (0o644, 0o664, true, false, 0o644),
            (0o644, 0o660, true, false, 0o600),
            (0o644, 0o675, true, false, 0o655),
            (0o644, 0o666, false, true, 0o644),
            (0o644, 0o600, false, true, 0o600),
            (0o644, 0o6755, false, true, 0o644),
            (0o644, 0o640, false, false, 0o600),
            (DIRECTORY | 0o2755, DIRECTORY | 0o711, true, true, DIRECTORY | 0o2711),
            (DIRECTORY | 0o755, DIRECTORY | 0o7700, true, true, DIRECTORY | 0o700),
        ];
        for (new, old, is_own, has_group, expected) in cases {
            let found = permissions(new, old, is_own, has_group);
            assert_eq!(found, expected, "{new:o} {old:o} {is_own} {has_group}");
        }
    }
}

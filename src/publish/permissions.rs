//! The permissions of what replaces something else.

use std::fs::File;
use std::path::Path;

use rustix::fs::{Gid, Mode, fchmod, fchown, fstat};
use rustix::process::geteuid;

use crate::beneath::FileStat;
use crate::error::{IoContext, Result};

/// What a file or directory may allow its owner, its group and all others.
const PERMISSIONS: u32 = 0o777;

/// Gives a new file or directory the permissions of the old one at `path`: what only its owner could read must not become
/// readable to all.
///
/// It belongs to the user who runs, and never gets set-user-ID, set-group-ID or sticky bits of the old one. What the old one
/// allowed its group is allowed if the new one can belong to that group too, or all others may do it. Someone else
/// may have created the old one to get at the new one, so then the new one allows no more than a new file does.
pub(super) fn keep_permissions(new: &File, old: &FileStat, path: &Path) -> Result<()> {
    let kept = || -> rustix::io::Result<()> {
        let found = FileStat::from(fstat(new)?);
        let is_own = old.owner == geteuid().as_raw();
        let has_group = found.group == old.group
            || is_own && fchown(new, None, Some(Gid::from_raw(old.group))).is_ok();
        let mode = permissions(found.mode, old.mode, is_own, has_group);
        fchmod(new, Mode::from_raw_mode(mode))
    };
    kept().map_err(Into::into).context("set the mode of", path)
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

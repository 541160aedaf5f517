//! Access control lists (POSIX ACLs), in the form in which the system stores them.
//!
//! Four bytes with the version come first, then eight for each entry: a tag, its permissions and an ID, in little-endian order.
//! A file with a list shows the entry that limits all others, the mask, where its mode has the permissions of its group.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use rustix::fs::{Mode, OFlags, XattrFlags, fgetxattr, fremovexattr, fsetxattr, getxattr};
use rustix::io::Errno;

use crate::beneath::HeldPath;

const NAME: &str = "system.posix_acl_access";
const HEADER: usize = 4;
const ENTRY: usize = 8;
/// The entry of the file's own group.
const GROUP: u16 = 0x04;
/// The entry that limits those of groups and other users.
const MASK: u16 = 0x10;
/// More than any list has: the system stores at most 64 KiB.
const MAX_LEN: usize = 64 << 10;

/// The access control list of a file or directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Acl(Vec<u8>);

impl Acl {
    /// That of an open file or directory; `None` if it has none.
    ///
    /// # Errors
    /// The system refuses.
    pub(super) fn of(file: &File) -> io::Result<Option<Acl>> {
        read(|buffer| fgetxattr(file, NAME, buffer))
    }

    /// That of what has a name, which need not be readable.
    ///
    /// # Errors
    /// Nothing has it, or the system refuses.
    pub(super) fn at(place: &HeldPath) -> io::Result<Option<Acl>> {
        let file = place.open(OFlags::PATH, Mode::empty())?;
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        read(|buffer| getxattr(&path, NAME, buffer))
    }

    /// Gives a file this list. Its mode changes with it.
    ///
    /// # Errors
    /// The system refuses.
    pub(super) fn set(&self, file: &File) -> io::Result<()> {
        Ok(fsetxattr(file, NAME, &self.0, XattrFlags::empty())?)
    }

    /// Removes the list of a file. Its mode stays.
    ///
    /// # Errors
    /// It has none, or the system refuses.
    pub(super) fn remove(file: &File) -> io::Result<()> {
        Ok(fremovexattr(file, NAME)?)
    }

    /// What the file's own group may do, as the last three bits.
    pub(super) fn group(&self) -> u32 {
        let permissions = |tag| self.find(tag).map(|at| u32::from(self.0[at + 2]));
        // Without a mask nothing limits it.
        permissions(GROUP).unwrap_or(0) & permissions(MASK).unwrap_or(0o7)
    }

    /// The same list, in which the file's own group may do no more than this.
    pub(super) fn with_group(mut self, most: u32) -> Acl {
        if let Some(at) = self.find(GROUP) {
            self.0[at + 2] &= (most & 0o7) as u8;
        }
        self
    }

    /// Where the entry with this tag begins.
    fn find(&self, tag: u16) -> Option<usize> {
        let starts = (HEADER..self.0.len()).step_by(ENTRY);
        let mut starts = starts.filter(|at| at + ENTRY <= self.0.len());
        starts.find(|at| self.0[*at..at + 2] == tag.to_le_bytes())
    }
}

fn read(get: impl FnOnce(&mut [u8]) -> rustix::io::Result<usize>) -> io::Result<Option<Acl>> {
    let mut bytes = vec![0; MAX_LEN];
    match get(&mut bytes) {
        Ok(len) => {
            bytes.truncate(len);
            Ok(Some(Acl(bytes)))
        }
        Err(Errno::NODATA | Errno::NOTSUP) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A list of these entries.
    fn acl(entries: &[(u16, u8, u32)]) -> Acl {
        let mut bytes = vec![2, 0, 0, 0];
        for (tag, permissions, id) in entries {
            bytes.extend(tag.to_le_bytes());
            bytes.extend([*permissions, 0]);
            bytes.extend(id.to_le_bytes());
        }
        Acl(bytes)
    }

    #[test]
    fn the_group_is_limited_by_the_mask() {
        const USER: u16 = 0x02;
        for (entries, expected) in [
            (&[(USER, 6, 7), (GROUP, 0, 0), (MASK, 6, 0)][..], 0),
            (&[(GROUP, 6, 0), (MASK, 4, 0)], 4),
            (&[(GROUP, 5, 0)], 5),
            (&[(USER, 7, 1)], 0),
            (&[], 0),
        ] {
            assert_eq!(acl(entries).group(), expected, "{entries:?}");
        }
        let full = acl(&[(USER, 6, 7), (GROUP, 6, 0), (MASK, 6, 0)]);
        let less = acl(&[(USER, 6, 7), (GROUP, 4, 0), (MASK, 6, 0)]);
        assert_eq!(full.with_group(0o4), less);
        // What the system never stores does no harm.
        for len in 0..20 {
            assert_eq!(Acl(vec![4; len]).with_group(7).group(), 0);
        }
    }
}

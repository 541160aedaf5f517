//! What the system says about a file.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

use rustix::fs::{FileType, Stat};

/// What the system says about a file, a directory or a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStat {
    /// What it is.
    pub kind: FileType,
    /// Its type, its permissions and the bits beside them.
    pub mode: u32,
    /// The device that it is on.
    pub device: u64,
    /// Its inode number.
    pub inode: u64,
    /// The ID of the user that it belongs to.
    pub owner: u32,
    /// The ID of the group that it belongs to.
    pub group: u32,
    /// Its length in bytes.
    pub len: u64,
    /// The time of the last change of its content, in nanoseconds since 1970.
    pub modified: i64,
}

impl FileStat {
    /// The device and the inode number, which no two files share at one time.
    pub fn identity(&self) -> (u64, u64) {
        (self.device, self.inode)
    }
}

impl From<&Metadata> for FileStat {
    fn from(found: &Metadata) -> Self {
        FileStat {
            kind: FileType::from_raw_mode(found.mode()),
            mode: found.mode(),
            device: found.dev(),
            inode: found.ino(),
            owner: found.uid(),
            group: found.gid(),
            len: found.len(),
            modified: nanoseconds(found.mtime(), found.mtime_nsec()),
        }
    }
}

impl From<Stat> for FileStat {
    fn from(found: Stat) -> Self {
        let part = i64::try_from(found.st_mtime_nsec).unwrap_or(0);
        FileStat {
            kind: FileType::from_raw_mode(found.st_mode),
            mode: found.st_mode,
            device: found.st_dev,
            inode: found.st_ino,
            owner: found.st_uid,
            group: found.st_gid,
            len: u64::try_from(found.st_size).unwrap_or(0),
            modified: nanoseconds(found.st_mtime, part),
        }
    }
}

fn nanoseconds(seconds: i64, part: i64) -> i64 {
    seconds.saturating_mul(1_000_000_000).saturating_add(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_to_ask_agree() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, "12345").unwrap();
        let found = FileStat::from(&std::fs::metadata(&path).unwrap());
        assert_eq!(FileStat::from(rustix::fs::stat(&path).unwrap()), found);
        assert_eq!(found.len, 5);
        assert!(found.kind.is_file() && found.modified > 1_000_000_000_000_000_000);
    }
}

//! Free space for the output.

use rustix::fs::fstatvfs;

use super::target::Target;
use crate::beneath::Directory;
use crate::error::{Code, Error, Hint, Result, show_path};

/// Refuses early an output that would otherwise fail after gigabytes.
pub(super) fn check_for(target: &Target<'_>, needed: u64) -> Result<()> {
    target
        .directory()
        .map_or(Ok(()), |directory| check(directory, needed))
}

fn check(directory: &Directory, needed: u64) -> Result<()> {
    // A filesystem that does not say, or says that it has no blocks, may still have space.
    let Some(space) = fstatvfs(directory).ok().filter(|space| space.f_blocks > 0) else {
        return Ok(());
    };
    let available = space.f_bavail.saturating_mul(space.f_frsize);
    if needed <= available {
        return Ok(());
    }
    Err(Error::new(
        Code::NoSpace,
        format!(
            "not enough space in {}: {needed} bytes needed, {available} available",
            show_path(directory.path())
        ),
    )
    .with_path(directory.path())
    .with_expected(needed)
    .with_found(available)
    .with_hint(Hint::FreeSpace))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_little_space_is_seen_first() {
        let dir = tempfile::tempdir().unwrap();
        let directory = Directory::open(dir.path()).unwrap();
        check(&directory, 1).unwrap();
        let error = check(&directory, u64::MAX).unwrap_err();
        assert_eq!(error.code(), Code::NoSpace);
        check(&Directory::open("/proc").unwrap(), u64::MAX).unwrap();
    }
}

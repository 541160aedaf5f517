//! Free space for the output.

use std::path::Path;

use rustix::fs::statvfs;

use crate::error::{Code, Error, Hint, Result, show_path};

/// Refuses early an output that would otherwise fail after gigabytes.
pub(super) fn check(parent: &Path, needed: u64) -> Result<()> {
    // A filesystem that does not say, or says that it has no blocks, may still have space.
    let Some(space) = statvfs(parent).ok().filter(|space| space.f_blocks > 0) else {
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
            show_path(parent)
        ),
    )
    .with_path(parent)
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
        check(dir.path(), 1).unwrap();
        let error = check(dir.path(), u64::MAX).unwrap_err();
        assert_eq!(error.code(), Code::NoSpace);
        check(Path::new("/proc"), u64::MAX).unwrap();
    }
}

//! Files that are not archives, copied unchanged.

use std::fs::{FileTimes, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use ocify::{Result, command::HeldPath, command::InputPath, command::IoContext};

/// Copies a regular file to a new one, with its permissions and its time. No link below a directory that is walked is
/// followed, not even one that replaced the file.
///
/// # Errors
/// The file cannot be read or written, or it is no longer a regular file.
pub(crate) fn copy_file(from: &InputPath, to: &HeldPath) -> Result<()> {
    let mut source = from.read().context("open", from.path())?;
    let metadata = source.metadata().context("read", from.path())?;
    let mut copy = to.create_new().context("create", to.path())?;
    let times = metadata
        .modified()
        .map(|time| FileTimes::new().set_modified(time));
    io::copy(&mut source, &mut copy)
        .and_then(|_| copy.set_permissions(permissions(&metadata)))
        .and_then(|()| copy.set_times(times?))
        .inspect_err(|_| drop(to.remove()))
        .context("copy", from.path())
}

/// Those that its owner gave it: a copy belongs to the user who runs, whose rights set-user-ID and set-group-ID bits would
/// give to everyone.
fn permissions(found: &Metadata) -> Permissions {
    Permissions::from_mode(found.mode() & 0o777)
}

/// Creates a link with the target of another.
///
/// # Errors
/// It cannot be read or created.
pub(crate) fn copy_link(from: &InputPath, to: &HeldPath) -> Result<()> {
    let target = from.link_target().context("read", from.path())?;
    to.create_link(&target).context("create", to.path())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::batch::fingerprint::Fingerprint;

    #[test]
    fn files_and_links_are_copied_as_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let held = |name: &str| HeldPath::of(&at(name)).unwrap();
        let from = |name: &str| InputPath::Held(held(name));
        fs::write(at("a"), "text").unwrap();
        fs::set_permissions(at("a"), Permissions::from_mode(0o6640)).unwrap();
        copy_file(&from("a"), &held("b")).unwrap();
        assert_eq!(fs::read(at("b")).unwrap(), b"text");
        let fingerprint = |name: &str| Fingerprint::of(&at(name)).unwrap();
        assert_eq!(fingerprint("a"), fingerprint("b"));
        assert_eq!(fs::metadata(at("b")).unwrap().mode() & 0o7777, 0o640);

        std::os::unix::fs::symlink("nowhere", at("link")).unwrap();
        copy_link(&from("link"), &held("same")).unwrap();
        assert_eq!(fs::read_link(at("same")).unwrap(), Path::new("nowhere"));
        assert!(copy_file(&from("link"), &held("c")).is_err());
        assert!(!at("c").exists());
        // A directory that the user named may contain links.
        std::os::unix::fs::symlink("a", at("to-a")).unwrap();
        copy_file(&InputPath::Named(at("to-a")), &held("d")).unwrap();
        assert_eq!(fs::read(at("d")).unwrap(), b"text");
    }
}

//! Gives something that is complete its final name.

use std::io;

use rustix::fs::{AtFlags, RenameFlags, linkat, renameat, renameat_with, unlinkat};
use rustix::io::Errno;

use super::link::is_link;
use super::permissions::keep_permissions;
use super::sync::sync_tree;
use super::temporary::Names;
use crate::beneath::HeldPath;
use crate::error::{Error, Hint, IoContext, Result};

/// An error after the output got its name.
pub(super) fn complete(error: Error) -> Error {
    error.with_hint(Hint::OutputComplete)
}

/// Renames a file, a directory or a link to where nothing is. An empty directory counts as nothing on
/// filesystems that can neither rename without replacing nor link a directory.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`] if something is there; the system refuses.
pub fn rename_new(from: &HeldPath, to: &HeldPath) -> io::Result<()> {
    match rename_with(from, to, RenameFlags::NOREPLACE) {
        Err(Errno::NOSYS | Errno::INVAL) => {}
        other => return Ok(other?),
    }
    let empty = AtFlags::empty();
    match linkat(
        from.directory(),
        from.name(),
        to.directory(),
        to.name(),
        empty,
    ) {
        Ok(()) => return Ok(unlinkat(from.directory(), from.name(), empty)?),
        // There are no links, and directories never can be linked.
        Err(Errno::PERM | Errno::NOTSUP | Errno::NOSYS | Errno::INVAL) => {}
        Err(error) => return Err(error.into()),
    }
    match to.look_up() {
        Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => rename(from, to),
        Err(error) => Err(error),
    }
}

/// Renames something, and replaces a file with a file and an empty directory with a directory.
pub(super) fn rename(from: &HeldPath, to: &HeldPath) -> io::Result<()> {
    Ok(renameat(
        from.directory(),
        from.name(),
        to.directory(),
        to.name(),
    )?)
}

fn rename_with(from: &HeldPath, to: &HeldPath, flags: RenameFlags) -> rustix::io::Result<()> {
    renameat_with(
        from.directory(),
        from.name(),
        to.directory(),
        to.name(),
        flags,
    )
}

/// Renames a file, a directory or a link over something else, which is removed. The new one gets the
/// permissions of the old one, unless both are links. Only a link replaces a link.
///
/// # Errors
/// A link is there, or the system refuses; then what was there stays.
pub fn replace(from: &HeldPath, to: &HeldPath, syncs: bool) -> Result<()> {
    let new = from.look_up().context("look up", from.path())?;
    let old = to.look_up().context("look up", to.path())?;
    let kinds = [new.kind, old.kind];
    if old.kind.is_symlink() && !new.kind.is_symlink() {
        return Err(is_link(&to.path(), "a file or directory"));
    }
    if !kinds.iter().any(|kind| kind.is_symlink()) {
        let file = match kinds[0].is_dir() {
            true => from
                .read_directory()
                .and_then(|directory| directory.readable()),
            false => from.read(),
        };
        keep_permissions(&file.context("open", from.path())?, &old, to)?;
    }
    if syncs {
        sync_tree(from)?;
    }
    if !kinds.iter().any(|kind| kind.is_dir()) {
        return rename(from, to).context("replace", to.path());
    }
    // A directory cannot be replaced in one step unless both change places.
    match rename_with(from, to, RenameFlags::EXCHANGE) {
        Ok(()) => from
            .remove()
            .context("remove", from.path())
            .map_err(complete),
        Err(Errno::INVAL | Errno::NOSYS) => {
            replace_in_steps(from, to).context("replace", to.path())
        }
        Err(error) => Err(Error::io("replace", &to.path(), error.into())),
    }
}

/// Moves what is there aside first, and back if the other cannot replace it.
fn replace_in_steps(from: &HeldPath, to: &HeldPath) -> io::Result<()> {
    let ((), mut aside) = Names::of(from)?.create(|path| rename_new(to, path))?;
    if let Err(error) = rename(from, to) {
        aside.keep();
        rename(aside.path(), to)?;
        return Err(error);
    }
    // It is removed with everything in it.
    drop(aside);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::Path;

    use super::*;
    use crate::error::Code;

    fn held(path: &Path) -> HeldPath {
        HeldPath::of(path).unwrap()
    }

    fn make(path: &Path, kind: &str, text: &str) {
        match kind {
            "file" => fs::write(path, text).unwrap(),
            "link" => symlink(text, path).unwrap(),
            _ => {
                fs::create_dir(path).unwrap();
                fs::write(path.join("in"), text).unwrap();
            }
        }
    }

    fn text(path: &Path) -> String {
        if path.is_symlink() {
            return fs::read_link(path).unwrap().to_str().unwrap().to_owned();
        }
        let file = if path.is_dir() {
            path.join("in")
        } else {
            path.to_owned()
        };
        fs::read_to_string(file).unwrap()
    }

    const KINDS: [&str; 3] = ["file", "link", "directory"];

    #[test]
    fn nothing_is_replaced_unless_it_is_to_be() {
        for new in KINDS {
            for old in KINDS {
                let dir = tempfile::tempdir().unwrap();
                let (from, to) = (dir.path().join("from"), dir.path().join("to"));
                make(&from, new, "new");
                make(&to, old, "old");
                let error = rename_new(&held(&from), &held(&to)).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::AlreadyExists, "{new} {old}");
                assert_eq!((text(&from), text(&to)), ("new".into(), "old".into()));
                let replaced = replace(&held(&from), &held(&to), true);
                if old == "link" && new != "link" {
                    assert_eq!(replaced.unwrap_err().code(), Code::OutputExists);
                    assert_eq!((text(&from), text(&to)), ("new".into(), "old".into()));
                    continue;
                }
                replaced.unwrap();
                assert_eq!(text(&to), "new", "{new} {old}");
                assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
                rename_new(&held(&to), &held(&from)).unwrap();
                assert_eq!(text(&from), "new", "{new}");
            }
        }
    }

    #[test]
    fn a_directory_is_replaced_without_an_exchange_too() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        make(&from, "directory", "new");
        make(&to, "directory", "old");
        replace_in_steps(&held(&from), &held(&to)).unwrap();
        assert_eq!(text(&to), "new");
        // A failed replacement leaves it unchanged.
        replace_in_steps(&held(&from), &held(&to)).unwrap_err();
        assert_eq!(text(&to), "new");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn permissions_are_kept() {
        for kind in ["file", "directory"] {
            let dir = tempfile::tempdir().unwrap();
            let (from, to) = (dir.path().join("from"), dir.path().join("to"));
            make(&from, kind, "new");
            make(&to, kind, "old");
            fs::set_permissions(&to, fs::Permissions::from_mode(0o710)).unwrap();
            replace(&held(&from), &held(&to), false).unwrap();
            let mode = fs::metadata(&to).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o710, "{kind}");
        }
    }
}

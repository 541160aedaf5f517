//! Gives something that is complete its final name.

use std::fs::{self, File, Metadata};
use std::io;
use std::path::Path;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use tempfile::{PathPersistError, TempPath};

use super::sync::sync_tree;
use super::temporary::Names;
use crate::error::{Error, IoContext, Result};

/// Renames a file, a directory or a link to where nothing is. An empty directory counts as nothing on
/// filesystems that can neither rename without replacing nor link a directory.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`] if something is there; the system refuses.
pub fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    let renamed = TempPath::try_from_path(from)?.persist_noclobber(to);
    let Err(PathPersistError { error, mut path }) = renamed else {
        return Ok(());
    };
    // The run that created it still needs it.
    path.disable_cleanup(true);
    // It could neither be renamed without replacing nor be linked. Directories never can be linked.
    let has_no_links = matches!(
        Errno::from_io_error(&error),
        Some(Errno::PERM | Errno::NOTSUP | Errno::NOSYS | Errno::INVAL)
    );
    if !has_no_links {
        return Err(error);
    }
    match fs::symlink_metadata(to) {
        Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => fs::rename(from, to),
        Err(error) => Err(error),
    }
}

/// Renames a file, a directory or a link over something else, which is removed. The new one gets the
/// permissions of the old one, unless either is a link.
///
/// # Errors
/// The system refuses; then what was there stays.
pub fn replace(from: &Path, to: &Path, syncs: bool) -> Result<()> {
    let new = fs::symlink_metadata(from).context("look up", from)?;
    let old = fs::symlink_metadata(to).context("look up", to)?;
    if !new.is_symlink() && !old.is_symlink() {
        keep_permissions(&File::open(from).context("open", from)?, &old, to)?;
    }
    if syncs {
        sync_tree(from)?;
    }
    if !new.is_dir() && !old.is_dir() {
        return fs::rename(from, to).context("replace", to);
    }
    // A directory cannot be replaced in one step unless both change places.
    match renameat_with(CWD, from, CWD, to, RenameFlags::EXCHANGE) {
        Ok(()) => remove(from).context("remove", from),
        Err(Errno::INVAL | Errno::NOSYS) => replace_in_steps(from, to).context("replace", to),
        Err(error) => Err(Error::io("replace", to, error.into())),
    }
}

/// Moves what is there aside first, and back if the other cannot replace it.
fn replace_in_steps(from: &Path, to: &Path) -> io::Result<()> {
    let aside = Names::of(from)?.create(|path| fs::rename(to, path))?;
    let mut aside = aside.into_temp_path();
    // It may be a directory, which it would not remove.
    aside.disable_cleanup(true);
    if let Err(error) = fs::rename(from, to) {
        fs::rename(&aside, to)?;
        return Err(error);
    }
    remove(&aside)
}

/// Gives a new file or directory the permissions of the old one at `path`: what only its owner could read must
/// not become readable to all.
pub(super) fn keep_permissions(new: &File, old: &Metadata, path: &Path) -> Result<()> {
    let kept = new.set_permissions(old.permissions());
    kept.context("set the mode of", path)
}

/// Removes a file, a link or a directory with everything below it, if there is one.
///
/// # Errors
/// The system refuses.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

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
                let error = rename_new(&from, &to).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::AlreadyExists, "{new} {old}");
                assert_eq!((text(&from), text(&to)), ("new".into(), "old".into()));
                replace(&from, &to, true).unwrap();
                assert_eq!(text(&to), "new", "{new} {old}");
                assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
                rename_new(&to, &from).unwrap();
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
        replace_in_steps(&from, &to).unwrap();
        assert_eq!(text(&to), "new");
        // A failed replacement leaves it unchanged.
        replace_in_steps(&from, &to).unwrap_err();
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
            replace(&from, &to, false).unwrap();
            let mode = fs::metadata(&to).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o710, "{kind}");
        }
    }
}

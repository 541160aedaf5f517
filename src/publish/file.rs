//! Small files that an option asks for: reports, metadata, lists.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use super::destination::Destination;
use super::link::is_link;
use super::special::{self, Special};
use super::staged::{PublishOptions, Published, StagedFile};
use super::temporary::Names;
use super::unnamed::PUBLIC;
use crate::beneath::HeldPath;
use crate::error::{Code, Error, Result, show_path};

/// Writes a complete file, with the bytes that `content` writes.
///
/// A regular file is replaced when everything is written, and keeps its permissions. A device, a FIFO or a file that a process
/// has open (`/dev/stdout`) is written to. Any other symbolic link is refused. `doing` says what for in the error, such as `write metadata file`. Where the reader of a
/// FIFO is waited for, `is_stopped` ends the wait.
///
/// # Errors
/// The file cannot be written; what was there is left as it was. [`Code::Interrupted`] if the wait was
/// stopped.
pub fn write_file(
    path: &Path,
    doing: &str,
    is_stopped: &(dyn Fn() -> bool + Sync),
    content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<()> {
    let failed = |error| failed(path, doing, error);
    let special = match Destination::of(path).map_err(failed)? {
        Destination::Link => return Err(is_link(path, "a regular file")),
        Destination::File => {
            // The name may be new, and a run that replaced a file of this name may have been killed before.
            let held = HeldPath::of(path).map_err(failed)?;
            Names::of(&held).map_err(failed)?.remove_abandoned();
            let staged = StagedFile::create_held(held).map_err(failed)?;
            fill(staged.file(), content).map_err(failed)?;
            let options = PublishOptions {
                replace: true,
                sync: false,
            };
            return match staged.publish(options)? {
                Published::Done => Ok(()),
                // It was a regular file, or nothing, a moment ago.
                Published::Exists | Published::NotEmpty => {
                    Err(failed(io::ErrorKind::AlreadyExists.into()))
                }
            };
        }
        Destination::Special => Special::open(path, is_stopped),
        Destination::OpenFile => Special::open_again(path, is_stopped),
    };
    special.and_then(|file| fill(file, content)).map_err(failed)
}

/// Opens a file that grows during the run. A regular file is emptied first; anything else is
/// written to or refused, as with [`write_file`].
///
/// # Errors
/// The file cannot be opened. [`Code::Interrupted`] if the wait for a reader was stopped.
pub fn open_log(
    path: &Path,
    doing: &str,
    is_stopped: impl Fn() -> bool + Send + 'static,
) -> Result<Box<dyn Write + Send>> {
    let opened: io::Result<Box<dyn Write + Send>> = match Destination::of(path) {
        Ok(Destination::Link) => return Err(is_link(path, "a regular file")),
        Ok(Destination::File) => create(path).map(|file| Box::new(file) as _),
        Ok(Destination::Special) => Special::open(path, is_stopped).map(|file| Box::new(file) as _),
        Ok(Destination::OpenFile) => {
            Special::open_again(path, is_stopped).map(|file| Box::new(file) as _)
        }
        Err(error) => Err(error),
    };
    opened.map_err(|error| failed(path, doing, error))
}

/// Creates or empties a regular file. A link is not followed.
fn create(path: &Path) -> io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NONBLOCK | OFlags::NOCTTY;
    HeldPath::of(path)?.open(flags, Mode::from_raw_mode(PUBLIC))
}

fn fill(
    file: impl Write,
    content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let mut out = BufWriter::new(file);
    content(&mut out)?;
    out.flush()
}

fn failed(path: &Path, doing: &str, error: io::Error) -> Error {
    if special::is_stopped(&error) {
        return Error::new(
            Code::Interrupted,
            format!(
                "the run was stopped while it waited for a reader of {}",
                show_path(path)
            ),
        )
        .with_path(path);
    }
    Error::io(doing, path, error)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;
    use crate::error::Hint;

    fn write(path: &Path, text: &str) -> Result<()> {
        let content = |out: &mut dyn Write| out.write_all(text.as_bytes());
        write_file(path, "write", &|| panic!("nobody waits"), content)
    }

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().permissions().mode()
    }

    #[test]
    fn a_file_is_replaced_and_keeps_its_permissions() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        write(&path, "new").unwrap();
        let fresh = mode(&path);
        let reference = dir.path().join("reference");
        File::create(&reference).unwrap();
        assert_eq!(fresh, mode(&reference), "the umask decides");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let reader = File::open(&path).unwrap();
        write(&path, "newer").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"newer");
        assert_eq!(io::read_to_string(reader).unwrap(), "new");
        assert_eq!(mode(&path) & 0o777, 0o640);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_link_is_refused_and_stays() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("sub")).unwrap();
        fs::write(at("sub/file"), "old").unwrap();
        symlink("sub/file", at("link")).unwrap();
        symlink("link", at("chain")).unwrap();
        symlink("sub/new", at("dangling")).unwrap();
        symlink("/dev/null", at("null")).unwrap();
        for name in ["link", "chain", "dangling", "null"] {
            let log = open_log(&at(name), "create", || panic!("nobody waits"));
            for error in [write(&at(name), "new").unwrap_err(), log.err().unwrap()] {
                assert_eq!(error.code(), Code::OutputExists, "{name}");
                assert_eq!(error.hint(), Some(&Hint::RemoveLink), "{name}");
            }
            assert!(at(name).is_symlink());
        }
        assert_eq!(fs::read(at("sub/file")).unwrap(), b"old");
        assert_eq!(fs::read_dir(at("sub")).unwrap().count(), 1);
        assert!(create(&at("link")).is_err(), "it appeared in the meantime");
        assert_eq!(fs::read(at("sub/file")).unwrap(), b"old");
    }

    #[test]
    fn what_fails_leaves_everything_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "old").unwrap();
        let fails = |out: &mut dyn Write| {
            out.write_all(b"half")?;
            Err(io::ErrorKind::InvalidData.into())
        };
        write_file(&path, "write", &|| false, fails).unwrap_err();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        write(dir.path(), "").unwrap_err();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_log_empties_a_file_and_then_grows() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        fs::write(&path, "from an earlier run").unwrap();
        let mut log = open_log(&path, "create", || false).unwrap();
        for line in ["one\n", "two\n"] {
            log.write_all(line.as_bytes()).unwrap();
            assert!(fs::read_to_string(&path).unwrap().ends_with(line));
        }
        assert_eq!(fs::read(&path).unwrap(), b"one\ntwo\n");
        assert!(open_log(&dir.path().join("none/log"), "create", || false).is_err());
    }
}

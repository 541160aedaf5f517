//! Walks directories for archives and image layouts. No link is followed out of them, and only
//! regular files are opened.

use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use ocify::{
    Error, command::InputKind, command::identify_file, command::is_image_layout,
    command::is_journal, command::publish::is_temporary,
};
use walkdir::{DirEntry, IntoIter, WalkDir};

use super::fingerprint::Fingerprint;

/// Something that was found below a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// Its path below the directory.
    pub(crate) relative: PathBuf,
    /// What it is.
    pub(crate) kind: FoundKind,
    /// Its fingerprint; that of links and special files is empty.
    pub(crate) fingerprint: Fingerprint,
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FoundKind {
    /// A file that begins like a tar archive, compressed or not.
    Archive,
    /// A directory with an image layout, with all below it.
    Layout,
    /// Any other regular file.
    File,
    /// A symbolic link, wherever it leads.
    Link,
    /// A device, a fifo or a socket, which is not opened.
    Special,
}

/// A walk in the order of names, the same every time.
pub(crate) struct Walk<'a> {
    root: PathBuf,
    entries: IntoIter,
    enters: &'a dyn Fn(&Path) -> bool,
    takes: &'a dyn Fn(&Path) -> bool,
}

impl std::fmt::Debug for Walk<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Walk").field("root", &self.root).finish()
    }
}

impl<'a> Walk<'a> {
    /// A walk below a directory, which may be a link. Directories that are not to be entered
    /// and files and layouts that are not to be taken, by their relative path, are skipped unread.
    pub(crate) fn new(
        root: &Path,
        enters: &'a dyn Fn(&Path) -> bool,
        takes: &'a dyn Fn(&Path) -> bool,
    ) -> Self {
        let entries = WalkDir::new(root)
            .follow_links(false)
            .sort_by_file_name()
            .into_iter();
        Walk {
            root: root.to_owned(),
            entries,
            enters,
            takes,
        }
    }

    fn relative(&self, entry: &DirEntry) -> PathBuf {
        let relative = entry.path().strip_prefix(&self.root);
        relative.unwrap_or(entry.path()).to_owned()
    }

    /// What the entry is; nothing if it is skipped, or only leads to others.
    fn look(&mut self, entry: DirEntry) -> Result<Option<Found>, Error> {
        let relative = self.relative(&entry);
        let file_type = entry.file_type();
        // The root may be a link, and is walked anyway.
        if file_type.is_dir() || entry.depth() == 0 {
            if entry.depth() > 0 && (is_own(&relative) || !(self.enters)(&relative)) {
                self.entries.skip_current_dir();
                return Ok(None);
            }
            if !is_image_layout(entry.path()) {
                return Ok(None);
            }
            self.entries.skip_current_dir();
            if !(self.takes)(&relative) {
                return Ok(None);
            }
            let path = entry.into_path();
            let fingerprint =
                Fingerprint::of(&path).map_err(|error| Error::io("list", &path, error))?;
            return Ok(Some(Found {
                path,
                relative,
                kind: FoundKind::Layout,
                fingerprint,
            }));
        }
        if is_own(&relative) || !(self.takes)(&relative) {
            return Ok(None);
        }
        let path = entry.into_path();
        let (kind, fingerprint) = if file_type.is_file() {
            match look_into(&path) {
                Ok(Some(found)) => found,
                // Something else replaced it, or it was removed.
                Ok(None) => return Ok(None),
                Err(error) if is_gone(&error) => return Ok(None),
                Err(error) => return Err(Error::io("read", &path, error)),
            }
        } else if file_type.is_symlink() {
            (FoundKind::Link, Fingerprint::default())
        } else {
            (FoundKind::Special, Fingerprint::default())
        };
        Ok(Some(Found {
            path,
            relative,
            kind,
            fingerprint,
        }))
    }
}

/// What a regular file is; nothing if it is not one any more.
fn look_into(path: &Path) -> io::Result<Option<(FoundKind, Fingerprint)>> {
    let found = identify_file(path)?;
    Ok(found.map(|(kind, metadata)| {
        let kind = match kind {
            InputKind::Archive | InputKind::CompressedArchive => FoundKind::Archive,
            _ => FoundKind::File,
        };
        (kind, Fingerprint::of_metadata(&metadata))
    }))
}

fn is_gone(error: &io::Error) -> bool {
    let is_link = error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error());
    is_link || error.kind() == io::ErrorKind::NotFound
}

impl Iterator for Walk<'_> {
    /// What was found, or the path that could not be read and why.
    type Item = Result<Found, (PathBuf, Error)>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.entries.next()? {
                Ok(entry) => {
                    let path = entry.path().to_owned();
                    match self.look(entry) {
                        Ok(None) => {}
                        Ok(Some(found)) => return Some(Ok(found)),
                        Err(error) => return Some(Err((path, error))),
                    }
                }
                Err(error) => {
                    let path = error.path().unwrap_or(&self.root).to_owned();
                    let cause = error
                        .into_io_error()
                        .unwrap_or_else(|| io::Error::other("directory loop"));
                    if cause.kind() != io::ErrorKind::NotFound || path == self.root {
                        let error = Error::io("list", &path, cause);
                        return Some(Err((path, error)));
                    }
                }
            }
        }
    }
}

/// The first regular file below a directory, in no particular order, of which `is_it` is true.
pub(crate) fn find_file(
    directory: &Path,
    follows: bool,
    is_it: &dyn Fn(&Metadata) -> bool,
) -> Option<PathBuf> {
    let entries = WalkDir::new(directory).follow_links(follows).into_iter();
    let mut files = entries
        .flatten()
        .filter(|entry| entry.file_type().is_file());
    let found = files.find(|entry| entry.metadata().is_ok_and(|found| is_it(&found)));
    found.map(DirEntry::into_path)
}

/// Whether a file or directory is one that ocify keeps for itself beside its inputs or outputs.
pub(crate) fn is_own(relative: &Path) -> bool {
    let name = relative.file_name().unwrap_or_default();
    name.as_bytes().starts_with(b".ocify-") || is_temporary(name) || is_journal(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    /// The header of an archive with an empty file.
    fn tar() -> Vec<u8> {
        let mut header = tar::Header::new_ustar();
        header.set_path("a").unwrap();
        header.set_size(0);
        header.set_cksum();
        header.as_bytes().to_vec()
    }

    fn tree() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, bytes: &[u8]| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        };
        let tar = tar();
        put("a.tar", &tar);
        put("notes.txt", b"notes");
        put("deep/er/b", &tar);
        put("deep/layout/index.json", b"{}");
        put("deep/layout/blobs/sha256/x", b"12345");
        put("deep/layout/blobs/sha256/tar", &tar);
        put("z/c.tar", &tar);
        put(".ocify-state", b"state");
        put(".ocify-work-1-of-2/half.tar", &tar);
        put(".a.tar.12.0123abcd.ocify-tmp", &tar);
        symlink("a.tar", dir.path().join("link.tar")).unwrap();
        symlink("/", dir.path().join("out")).unwrap();
        symlink("..", dir.path().join("deep/loop")).unwrap();
        let socket = std::os::unix::net::UnixListener::bind(dir.path().join("socket"));
        drop(socket.unwrap());
        dir
    }

    fn found(
        root: &Path,
        enters: impl Fn(&Path) -> bool,
        takes: impl Fn(&Path) -> bool,
    ) -> Vec<(String, FoundKind)> {
        Walk::new(root, &enters, &takes)
            .map(|found| found.unwrap())
            .map(|found| (found.relative.display().to_string(), found.kind))
            .collect()
    }

    #[test]
    fn a_tree_is_walked_in_order_and_no_link_is_followed() {
        let dir = tree();
        let expected = [
            ("a.tar", FoundKind::Archive),
            ("deep/er/b", FoundKind::Archive),
            ("deep/layout", FoundKind::Layout),
            ("deep/loop", FoundKind::Link),
            ("link.tar", FoundKind::Link),
            ("notes.txt", FoundKind::File),
            ("out", FoundKind::Link),
            ("socket", FoundKind::Special),
            ("z/c.tar", FoundKind::Archive),
        ];
        let expected = expected.map(|(name, kind)| (name.to_owned(), kind));
        assert_eq!(found(dir.path(), |_| true, |_| true), expected);
        // A link to the directory is followed, because the user named it.
        let link = dir.path().with_extension("link");
        symlink(dir.path(), &link).unwrap();
        assert_eq!(found(&link, |_| true, |_| true), expected);
        fs::remove_file(link).unwrap();
    }

    #[test]
    fn what_is_not_wanted_is_passed_over() {
        let dir = tree();
        let names = found(
            dir.path(),
            |path| path != Path::new("deep/er"),
            |path| path.extension().is_none(),
        );
        let names: Vec<&str> = names.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["deep/layout", "deep/loop", "out", "socket"]);
    }

    #[test]
    fn a_layout_is_one_thing_with_all_its_bytes() {
        let dir = tree();
        let layout = dir.path().join("deep/layout");
        let before = Fingerprint::of(&layout).unwrap();
        assert_eq!(before.len, 2 + 5 + 512);
        let blob = layout.join("blobs/sha256/x");
        let later = std::time::SystemTime::now() + std::time::Duration::from_secs(5);
        let file = fs::File::options().write(true).open(blob).unwrap();
        file.set_modified(later).unwrap();
        let after = Fingerprint::of(&layout).unwrap();
        assert!(after.modified > before.modified && after.len == before.len);
        let only = Walk::new(&layout, &|_| true, &|_| true);
        let only: Vec<Found> = only.map(Result::unwrap).collect();
        assert_eq!(only.len(), 1);
        assert_eq!(
            (&only[0].relative, only[0].kind),
            (&PathBuf::new(), FoundKind::Layout)
        );
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let gone = dir.path().join("gone");
        let (path, error) = Walk::new(&gone, &|_| true, &|_| true)
            .next()
            .unwrap()
            .unwrap_err();
        assert_eq!(path, gone);
        assert!(error.to_string().contains("cannot list"), "{error}");
    }
}

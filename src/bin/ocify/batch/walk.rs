//! Walks directories for archives and image layouts. Unless links are to be followed, nothing is opened through one, and only
//! regular files are opened.

use std::collections::HashSet;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use ocify::{
    Code, Directory, Error, Hint, Result, command::ArchiveSuffix, command::FileStat,
    command::InputKind, command::IoContext, command::Links, command::identify_file,
    command::is_image_layout_at, command::is_journal, command::publish::is_temporary,
    command::show_path,
};
use rustix::io::Errno;
use walkdir::{DirEntry, IntoIter, WalkDir};

use super::fingerprint::Fingerprint;
use super::source::changed;
use crate::args::Fix;

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

impl Found {
    /// Whether its name has the suffix of an archive. What a link leads to is not looked at.
    pub(crate) fn is_named_like_archive(&self) -> bool {
        ArchiveSuffix::of(self.path.file_name().unwrap_or_default()).is_some()
    }

    /// Why a link is skipped, and how to fix what it leads to.
    pub(crate) fn not_followed(&self, args: &Fix) -> Error {
        let path = &self.path;
        let target = fs::read_link(path).unwrap_or_default();
        let (shown, target) = (show_path(path), show_path(&target));
        let message = format!("{shown} is a symbolic link to {target}");
        let error = Error::new(Code::LinkEntry, message)
            .with_path(path)
            .with_expected("a regular file")
            .with_found("a symbolic link");
        match args.links() {
            Links::Follow => error.with_hint(Hint::ReplaceLink),
            Links::Refuse if args.in_place => {
                error.with_hint("give the file that it leads to as INPUT")
            }
            Links::Refuse => error.with_hint(Hint::AllowLinks),
        }
    }
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
    /// A symbolic link that is not followed, or leads nowhere, or to a directory that was or is being walked.
    Link,
    /// A device, a fifo or a socket, which is not opened.
    Special,
}

/// A walk in the order of names, the same every time.
pub(crate) struct Walk<'a> {
    path: PathBuf,
    root: Directory,
    entries: IntoIter,
    links: Links,
    followed: Followed,
    enters: &'a dyn Fn(&Path) -> bool,
    takes: &'a dyn Fn(&Path) -> bool,
}

/// The directories that were reached through links. Each is walked once, because many directories with links to each other
/// would take forever.
#[derive(Debug, Default)]
struct Followed {
    /// How deep the link is that the walk is below of.
    depth: Option<usize>,
    seen: HashSet<(u64, u64)>,
}

impl std::fmt::Debug for Walk<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Walk").field("root", &self.root).finish()
    }
}

impl<'a> Walk<'a> {
    /// A walk below a directory, which may be a link and is held open. Directories that are not to be entered
    /// and files and layouts that are not to be taken, by their relative path, are skipped unread.
    ///
    /// # Errors
    /// The directory cannot be opened.
    pub(crate) fn new(
        root: &Path,
        links: Links,
        enters: &'a dyn Fn(&Path) -> bool,
        takes: &'a dyn Fn(&Path) -> bool,
    ) -> Result<Self> {
        let entries = WalkDir::new(root)
            .follow_links(links == Links::Follow)
            .sort_by_file_name()
            .into_iter();
        Ok(Walk {
            path: root.to_owned(),
            root: Directory::open(root).context("list", root)?,
            entries,
            links,
            followed: Followed::default(),
            enters,
            takes,
        })
    }

    /// The directory that is walked. What was found is opened relative to it.
    pub(crate) fn root(&self) -> &Directory {
        &self.root
    }

    fn relative(&self, path: &Path) -> PathBuf {
        path.strip_prefix(&self.path).unwrap_or(path).to_owned()
    }

    /// What the entry is; nothing if it is skipped, or only leads to others.
    fn look(&mut self, entry: DirEntry) -> Result<Option<Found>> {
        let relative = self.relative(entry.path());
        let file_type = entry.file_type();
        // The root may be a link, and is walked anyway.
        if file_type.is_dir() || entry.depth() == 0 {
            return self.look_into_directory(entry, relative);
        }
        if is_own(&relative) || !(self.takes)(&relative) {
            return Ok(None);
        }
        let path = entry.into_path();
        let (kind, fingerprint) = if file_type.is_file() {
            match self.look_into(&relative) {
                Ok(Some(found)) => found,
                Ok(None) => return Err(changed(&path)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) if is_replaced(&error) => return Err(changed(&path)),
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

    fn look_into_directory(&mut self, entry: DirEntry, relative: PathBuf) -> Result<Option<Found>> {
        if entry.depth() > 0 && (is_own(&relative) || !(self.enters)(&relative)) {
            self.entries.skip_current_dir();
            return Ok(None);
        }
        let directory = match self.root.below_with(&relative, self.links) {
            Ok(directory) => directory,
            Err(error) => {
                self.entries.skip_current_dir();
                return match error.kind() {
                    io::ErrorKind::NotFound => Ok(None),
                    _ if is_replaced(&error) => Err(changed(entry.path())),
                    _ => Err(Error::io("list", entry.path(), error)),
                };
            }
        };
        let found = |kind, fingerprint| Found {
            path: entry.path().to_owned(),
            relative: relative.clone(),
            kind,
            fingerprint,
        };
        let stat = |directory: &Directory| directory.stat().context("list", entry.path());
        if self.links == Links::Follow && !self.followed.is_new(&entry, || stat(&directory))? {
            self.entries.skip_current_dir();
            return Ok(Some(found(FoundKind::Link, Fingerprint::default())));
        }
        let is_layout = is_image_layout_at(&directory).inspect_err(|_| {
            self.entries.skip_current_dir();
        });
        if !is_layout.context("list", entry.path())? {
            return Ok(None);
        }
        self.entries.skip_current_dir();
        if !(self.takes)(&relative) {
            return Ok(None);
        }
        let fingerprint = Fingerprint::of_layout(&directory, self.links);
        let fingerprint = fingerprint.context("list", entry.path())?;
        Ok(Some(found(FoundKind::Layout, fingerprint)))
    }

    /// What a regular file is; nothing if it is not one any more.
    fn look_into(&self, relative: &Path) -> io::Result<Option<(FoundKind, Fingerprint)>> {
        let found = identify_file(&self.root, relative, self.links)?;
        Ok(found.map(|(kind, stat)| {
            let kind = match kind {
                InputKind::Archive | InputKind::CompressedArchive => FoundKind::Archive,
                _ => FoundKind::File,
            };
            (kind, Fingerprint::of_stat(&stat))
        }))
    }

    /// What could not be looked at; nothing if it was removed.
    fn failed(&self, error: walkdir::Error) -> Option<Result<Found, (PathBuf, Error)>> {
        let path = error.path().unwrap_or(&self.path).to_owned();
        let is_loop = error.loop_ancestor().is_some();
        let is_link = is_loop || path != self.path && fs::read_link(&path).is_ok();
        if is_link && self.links == Links::Follow {
            let relative = self.relative(&path);
            let is_taken = !is_own(&relative) && (self.takes)(&relative);
            return is_taken.then_some(Ok(Found {
                path,
                relative,
                kind: FoundKind::Link,
                fingerprint: Fingerprint::default(),
            }));
        }
        let cause = error
            .into_io_error()
            .unwrap_or_else(|| io::Error::other("directory loop"));
        if cause.kind() == io::ErrorKind::NotFound && path != self.path {
            return None;
        }
        let error = Error::io("list", &path, cause);
        Some(Err((path, error)))
    }
}

impl Followed {
    /// Whether a directory is to be walked.
    fn is_new(&mut self, entry: &DirEntry, stat: impl Fn() -> Result<FileStat>) -> Result<bool> {
        if self.depth.is_some_and(|depth| entry.depth() <= depth) {
            self.depth = None;
        }
        if self.depth.is_none() {
            if entry.depth() == 0 || !entry.path_is_symlink() {
                return Ok(true);
            }
            self.depth = Some(entry.depth());
        }
        Ok(self.seen.insert(stat()?.identity()))
    }
}

/// Whether something else, such as a link that is not followed, is in the place of a file or directory that was listed, or of
/// one that it is in.
fn is_replaced(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::LOOP | Errno::NOTDIR)
    )
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
                    if let Some(failed) = self.failed(error) {
                        return Some(failed);
                    }
                }
            }
        }
    }
}

/// The first regular file below a directory, in no particular order, for which `is_it` is true.
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
        Walk::new(root, Links::Refuse, &enters, &takes)
            .unwrap()
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
        let only = Walk::new(&layout, Links::Refuse, &|_| true, &|_| true);
        let only: Vec<Found> = only.unwrap().map(Result::unwrap).collect();
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
        let error = Walk::new(&gone, Links::Refuse, &|_| true, &|_| true).unwrap_err();
        assert!(error.to_string().contains("cannot list"), "{error}");
    }

    #[test]
    fn links_are_followed_once_and_loops_end() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let root = at("root");
        for name in ["root/a", "root/b", "outside/deep"] {
            fs::create_dir_all(at(name)).unwrap();
            fs::write(at(name).join("x.tar"), tar()).unwrap();
        }
        for (target, link) in [
            ("../outside", "root/out"),
            ("../outside/deep", "root/same"),
            ("a/x.tar", "root/file.tar"),
            ("nowhere", "root/dangling"),
            ("..", "root/a/up"),
            ("../b", "root/a/to-b"),
            ("../a", "root/b/to-a"),
        ] {
            symlink(target, at(link)).unwrap();
        }
        let walk = Walk::new(&root, Links::Follow, &|_| true, &|_| true).unwrap();
        let found: Vec<(String, FoundKind)> = walk
            .map(|found| found.unwrap())
            .map(|found| (found.relative.display().to_string(), found.kind))
            .collect();
        let expected = [
            // What is reached through links is walked once, and what is there without them always.
            ("a/to-b/to-a", FoundKind::Link),
            ("a/to-b/x.tar", FoundKind::Archive),
            ("a/up", FoundKind::Link),
            ("a/x.tar", FoundKind::Archive),
            ("b/to-a/to-b", FoundKind::Link),
            ("b/to-a/up", FoundKind::Link),
            ("b/to-a/x.tar", FoundKind::Archive),
            ("b/x.tar", FoundKind::Archive),
            ("dangling", FoundKind::Link),
            ("file.tar", FoundKind::Archive),
            ("out/deep/x.tar", FoundKind::Archive),
            ("same", FoundKind::Link),
        ];
        assert_eq!(found, expected.map(|(name, kind)| (name.to_owned(), kind)));
    }

    #[test]
    fn a_directory_that_became_a_link_is_not_entered() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("root/b")).unwrap();
        fs::create_dir_all(at("outside")).unwrap();
        for name in ["root/a.tar", "root/b/x.tar", "outside/secret.tar"] {
            fs::write(at(name), tar()).unwrap();
        }
        let mut walk = Walk::new(&at("root"), Links::Refuse, &|_| true, &|_| true).unwrap();
        let first = walk.next().unwrap().unwrap();
        assert_eq!(first.relative, Path::new("a.tar"));
        fs::rename(at("root/b"), at("moved")).unwrap();
        symlink(at("outside"), at("root/b")).unwrap();
        let (path, error) = walk.next().unwrap().unwrap_err();
        assert_eq!((path, error.code()), (at("root/b"), Code::SourceChanged));
        assert!(walk.next().is_none());
    }

    #[test]
    fn a_file_that_became_something_else_is_not_lost_without_a_word() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for name in ["a", "b", "c", "d", "e"] {
            fs::write(at(name), tar()).unwrap();
        }
        let mut walk = Walk::new(dir.path(), Links::Refuse, &|_| true, &|_| true).unwrap();
        walk.next().unwrap().unwrap();
        for name in ["b", "c", "d"] {
            fs::remove_file(at(name)).unwrap();
        }
        symlink("a", at("b")).unwrap();
        fs::create_dir(at("c")).unwrap();
        for name in ["b", "c"] {
            let (path, error) = walk.next().unwrap().unwrap_err();
            assert_eq!((path, error.code()), (at(name), Code::SourceChanged));
        }
        // What was removed is not there.
        assert_eq!(walk.next().unwrap().unwrap().relative, Path::new("e"));
    }
}

//! Where the outputs of a batch go: made in a folder of their own, and moved to their place when
//! they are whole.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::{Shard, abandoned};
use crate::error::{Code, Error, IoContext, Result, show_path};
use crate::temporary::linkable;

/// Suffixes of compressions that are read and not written, and what takes their place.
const UNWRITTEN: [(&str, &str); 6] = [
    (".tar.xz", ".tar"),
    (".tar.bz2", ".tar"),
    (".txz", ".tar"),
    (".tbz2", ".tar"),
    (".xz", ""),
    (".bz2", ""),
];
/// One read while comparing.
const PIECE: usize = 64 << 10;

/// The relative path of the output for an archive: its own, but for the suffix of a compression that
/// is not written, because the output is a plain tar then.
pub fn output_name(relative: &Path) -> PathBuf {
    let name = relative.file_name().unwrap_or_default().as_bytes();
    for (suffix, instead) in UNWRITTEN {
        if let Some(stem) = name.strip_suffix(suffix.as_bytes())
            && !stem.is_empty()
        {
            let name = [stem, instead.as_bytes()].concat();
            return relative.with_file_name(std::ffi::OsStr::from_bytes(&name));
        }
    }
    relative.to_owned()
}

/// Another file beside an input that would have the same output, if there is one.
pub fn contender(path: &Path) -> Option<PathBuf> {
    let plain = output_name(path);
    if plain == path {
        return None;
    }
    let bytes = plain.as_os_str().as_bytes();
    let stem = bytes.strip_suffix(b".tar").unwrap_or(bytes);
    let variants = UNWRITTEN
        .iter()
        .map(|(suffix, _)| [stem, suffix.as_bytes()].concat())
        .map(|bytes| PathBuf::from(std::ffi::OsStr::from_bytes(&bytes)))
        .filter(|variant| variant < &path.to_owned() && output_name(variant) == plain);
    std::iter::once(plain.clone())
        .chain(variants)
        .find(|other| fs::symlink_metadata(other).is_ok())
}

/// What may happen to something that stands where an output goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Nothing was there a moment ago; what is there now is compared.
    Absent,
    /// An earlier run wrote it, and can do so again.
    Replace,
    /// It is to be replaced, and the new one must be on the disk before it goes.
    ReplaceSynced,
    /// It stays if it is the same, and is refused otherwise.
    Compare,
}

/// How an output got its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Published {
    /// Nothing was there.
    New,
    /// Something else was there.
    Replaced,
    /// The very same was there, and stayed.
    Same,
}

/// The output directory, and the folder in it where unfinished outputs are.
#[derive(Debug)]
pub struct Workshop {
    output: PathBuf,
    folder: PathBuf,
    has_linkable: bool,
    /// Directories that are there.
    found: Mutex<HashSet<PathBuf>>,
}

impl Workshop {
    /// Takes the output directory, and removes what an earlier run of the same share left unfinished, and
    /// what shares of another number did whose run has ended.
    /// No two may have the same share at one time, which [`State`](super::State) sees to.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn open(output: &Path, shard: Option<Shard>) -> Result<Workshop> {
        let folder = output.join(own_name("work", shard));
        clear(&folder)?;
        abandoned::clear(output, shard);
        fs::create_dir(&folder).context("create", &folder)?;
        Ok(Workshop {
            output: output.to_owned(),
            has_linkable: linkable(&folder).is_some(),
            folder,
            found: Mutex::default(),
        })
    }

    /// The directory in which one of several workers makes its outputs.
    ///
    /// # Errors
    /// It cannot be made, or was made already.
    pub fn bench(&self, worker: usize) -> Result<PathBuf> {
        let bench = self.folder.join(worker.to_string());
        fs::create_dir(&bench).context("create", &bench)?;
        Ok(bench)
    }

    /// Whether an archive may be made at its place, where nothing is: what is unfinished has no name and
    /// so leaves nothing.
    pub fn is_open(&self, place: &Path) -> bool {
        let Some(parent) = place.parent().filter(|_| self.has_linkable) else {
            return false;
        };
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        // A directory for nothing is not made: the work may fail.
        found.contains(parent) || parent.is_dir() && found.insert(parent.to_owned())
    }

    /// Where the output for this path goes in the end.
    pub fn place(&self, relative: &Path) -> PathBuf {
        self.output.join(relative)
    }

    /// Moves what was made to its place.
    ///
    /// # Errors
    /// Something else is there that must not be replaced, or the system refuses.
    pub fn publish(&self, made: &Path, relative: &Path, existing: Existing) -> Result<Published> {
        let place = self.place(relative);
        let moved = match rename_new(made, &place) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if let Some(parent) = place.parent() {
                    fs::create_dir_all(parent).context("create", parent)?;
                }
                rename_new(made, &place)
            }
            other => other,
        };
        match moved {
            Ok(()) => return Ok(Published::New),
            Err(error) if is_taken(&error) => {}
            Err(error) => return Err(Error::io("create", &place, error)),
        }
        if matches!(existing, Existing::Absent | Existing::Compare) {
            let is_same = same(made, &place).context("compare", &place)?;
            clear(made)?;
            if is_same {
                return Ok(Published::Same);
            }
            return Err(Error::new(
                Code::OutputExists,
                format!("the output {} exists", show_path(&place)),
            )
            .with_path(&place)
            .with_hint("no earlier run is known to have written it; replace it with --force"));
        }
        replace(made, &place, existing)?;
        Ok(Published::Replaced)
    }

    /// Removes the folder and all that is unfinished.
    ///
    /// # Errors
    /// The system refuses.
    pub fn close(self) -> Result<()> {
        clear(&self.folder)
    }
}

/// The name of a file or folder that a share keeps for itself in the output directory.
pub(super) fn own_name(what: &str, shard: Option<Shard>) -> String {
    match shard {
        None => format!(".ocify-{what}"),
        Some(shard) => format!(".ocify-{what}-{}-of-{}", shard.number, shard.count),
    }
}

fn clear(path: &Path) -> Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    };
    removed.context("remove", path)
}

fn is_taken(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::AlreadyExists
            | io::ErrorKind::DirectoryNotEmpty
            | io::ErrorKind::IsADirectory
    )
}

/// Renames without replacing anything.
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // A filesystem without that. Nobody else makes outputs here.
        Err(Errno::INVAL | Errno::NOSYS) => match fs::symlink_metadata(to) {
            Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => fs::rename(from, to),
            Err(error) => Err(error),
        },
        other => Ok(other?),
    }
}

fn replace(made: &Path, place: &Path, existing: Existing) -> Result<()> {
    let old = fs::symlink_metadata(place).context("look up", place)?;
    let is_link = fs::symlink_metadata(made).is_ok_and(|found| found.is_symlink());
    if !old.is_symlink() && !is_link {
        // What only its owner could read must not become readable to all.
        let kept = fs::set_permissions(made, old.permissions());
        kept.context("set the mode of", place)?;
    }
    if existing == Existing::ReplaceSynced && !is_link {
        let synced = File::open(made).and_then(|file| file.sync_all());
        synced.context("sync", made)?;
    }
    if !old.is_dir() && !made.is_dir() {
        return fs::rename(made, place).context("replace", place);
    }
    // A directory cannot be replaced in one step unless both change places.
    match renameat_with(CWD, made, CWD, place, RenameFlags::EXCHANGE) {
        Ok(()) => clear(made),
        Err(Errno::INVAL | Errno::NOSYS) => {
            clear(place)?;
            fs::rename(made, place).context("replace", place)
        }
        Err(error) => Err(Error::io("replace", place, error.into())),
    }
}

/// Whether two files or directories hold the same.
fn same(left: &Path, right: &Path) -> io::Result<bool> {
    let (of_left, of_right) = (fs::symlink_metadata(left)?, fs::symlink_metadata(right)?);
    if of_left.is_dir() && of_right.is_dir() {
        let names = |path: &Path| -> io::Result<Vec<_>> {
            let entries = fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.file_name()));
            let mut names = entries.collect::<io::Result<Vec<_>>>()?;
            names.sort();
            Ok(names)
        };
        let entries = names(left)?;
        if entries != names(right)? {
            return Ok(false);
        }
        for name in entries {
            if !same(&left.join(&name), &right.join(&name))? {
                return Ok(false);
            }
        }
        return Ok(true);
    }
    if of_left.is_symlink() && of_right.is_symlink() {
        return Ok(fs::read_link(left)? == fs::read_link(right)?);
    }
    if !of_left.is_file() || !of_right.is_file() || of_left.len() != of_right.len() {
        return Ok(false);
    }
    let (mut left, mut right) = (File::open(left)?, File::open(right)?);
    let (mut ours, mut theirs) = (vec![0; PIECE], vec![0; PIECE]);
    loop {
        let count = left.read(&mut ours)?;
        if count == 0 {
            return Ok(true);
        }
        match right.read_exact(&mut theirs[..count]) {
            Ok(()) if ours[..count] == theirs[..count] => {}
            Ok(()) => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (input, expected) in [
            ("a/b.tar", "a/b.tar"),
            ("a/b.tar.gz", "a/b.tar.gz"),
            ("a/b.tzst", "a/b.tzst"),
            ("a/b.tar.xz", "a/b.tar"),
            ("a/b.txz", "a/b.tar"),
            ("a/b.tbz2", "a/b.tar"),
            ("a/b.bz2", "a/b"),
            ("a/.xz", "a/.xz"),
            ("b", "b"),
        ] {
            assert_eq!(output_name(Path::new(input)), Path::new(expected));
        }
    }

    #[test]
    fn inputs_with_one_output_are_seen() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::write(path("a.tar.xz"), "").unwrap();
        assert_eq!(contender(&path("a.tar.xz")), None);
        fs::write(path("a.tar.bz2"), "").unwrap();
        assert_eq!(contender(&path("a.tar.xz")), Some(path("a.tar.bz2")));
        assert_eq!(contender(&path("a.tar.bz2")), None);
        fs::write(path("a.tar"), "").unwrap();
        assert_eq!(contender(&path("a.tar.bz2")), Some(path("a.tar")));
        assert_eq!(contender(&path("a.tar")), None);
    }

    fn names_in(path: &Path) -> Vec<String> {
        let entries = fs::read_dir(path).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn files_and_directories_are_published() {
        let dir = tempfile::tempdir().unwrap();
        let shop = Workshop::open(dir.path(), None).unwrap();
        let bench = shop.bench(3).unwrap();
        let make = |text: &str, is_dir: bool| {
            let bench = bench.join("item");
            if is_dir {
                fs::create_dir_all(bench.join("blobs")).unwrap();
                fs::write(bench.join("blobs/file"), text).unwrap();
            } else {
                fs::write(&bench, text).unwrap();
            }
            bench
        };
        for is_dir in [false, true] {
            let relative = Path::new(if is_dir { "x/dir" } else { "x/file" });
            let at = |text: &str, existing| {
                let made = make(text, is_dir);
                let result = shop.publish(&made, relative, existing);
                assert!(!made.exists(), "{text}");
                result.map_err(|error| error.code())
            };
            assert_eq!(at("one", Existing::Compare), Ok(Published::New));
            assert_eq!(at("one", Existing::Compare), Ok(Published::Same));
            assert_eq!(at("two", Existing::Compare), Err(Code::OutputExists));
            assert_eq!(at("two", Existing::Replace), Ok(Published::Replaced));
            assert_eq!(
                at("three", Existing::ReplaceSynced),
                Ok(Published::Replaced)
            );
            assert_eq!(at("three", Existing::Compare), Ok(Published::Same));
        }
        // A file takes a directory's place as well.
        let made = make("file", false);
        let published = shop.publish(&made, Path::new("x/dir"), Existing::Replace);
        assert_eq!(published.unwrap(), Published::Replaced);
        assert_eq!(fs::read(dir.path().join("x/dir")).unwrap(), b"file");
        shop.close().unwrap();
        assert_eq!(names_in(dir.path()), ["x"]);
    }

    #[test]
    fn what_was_left_unfinished_goes() {
        let dir = tempfile::tempdir().unwrap();
        let shard = Some(Shard {
            number: 2,
            count: 4,
        });
        let other = Some(Shard {
            number: 3,
            count: 4,
        });
        for share in [other, shard] {
            let shop = Workshop::open(dir.path(), share).unwrap();
            fs::write(shop.bench(0).unwrap().join("a"), "half").unwrap();
        }
        let both = [".ocify-work-2-of-4", ".ocify-work-3-of-4"];
        assert_eq!(names_in(dir.path()), both);
        Workshop::open(dir.path(), shard).unwrap().close().unwrap();
        assert_eq!(names_in(dir.path()), [".ocify-work-3-of-4"]);
        Workshop::open(dir.path(), None).unwrap().close().unwrap();
        assert_eq!(names_in(dir.path()), [""; 0]);
    }
}

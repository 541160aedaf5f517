//! Temporary files and directories: how they are named, and which of them are abandoned.
//!
//! `.app.tar.1f2e3d4c-Xy12Ab34.ocify-tmp` will be `app.tar`. A process ID would say nothing: in a container it
//! is 1 every time. The run that fills the file holds a lock on it instead, which ends with the run, however
//! that ends. Not every filesystem shows the locks of one machine to another. So the hexadecimal digits name
//! the kernel and the mounted filesystem: unless only one kernel can use the filesystem at a time, a free lock
//! proves nothing about a file with other digits.

use std::ffi::OsStr;
use std::fs::{self, File, Metadata, TryLockError};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use rustix::fs::{OFlags, statfs};
use rustix::process::geteuid;
use sha2::{Digest, Sha256};
use tempfile::{Builder, NamedTempFile, TempDir};

use super::destination::parent;
use super::rename::remove;

const SUFFIX: &str = ".ocify-tmp";
/// A name must stay within the filesystem's limit, whatever the output is called.
const MAX_CHARS: usize = 40;
const TAG_CHARS: usize = 8;
const RANDOM_CHARS: usize = 8;
/// How often something is created under another name after the first one was taken for abandoned.
const ATTEMPTS: usize = 100;
/// What may belong to another machine is abandoned if it has not changed for this long.
const ABANDONED_AFTER: Duration = Duration::from_secs(24 * 60 * 60);
/// Filesystems that one kernel uses at a time, by their magic numbers: bcachefs, btrfs, ext2 to ext4, f2fs,
/// overlayfs, tmpfs, XFS, ZFS.
const LOCAL: [u32; 8] = [
    0xca45_1a4e,
    0x9123_683e,
    0xef53,
    0xf2f5_2010,
    0x794c_7630,
    0x0102_1994,
    0x5846_5342,
    0x2fc1_2fc1,
];

/// The kernel that runs, which is another one after a restart. Empty if it does not say.
static BOOT: LazyLock<String> =
    LazyLock::new(|| fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default());

/// The names of temporary files and directories for one output.
#[derive(Debug)]
pub(super) struct Names {
    directory: PathBuf,
    /// `.app.tar.`
    prefix: String,
    tag: String,
}

impl Names {
    /// For an output that will have this path.
    ///
    /// # Errors
    /// The path has no name, or its directory cannot be looked up.
    pub(super) fn of(destination: &Path) -> io::Result<Names> {
        let name = destination.file_name().ok_or(io::ErrorKind::IsADirectory)?;
        let directory = parent(destination).to_owned();
        Ok(Names {
            tag: tag(&fs::metadata(&directory)?),
            directory,
            prefix: prefix(name),
        })
    }

    /// Creates something under a name that nothing has, which `make` does or refuses with
    /// [`io::ErrorKind::AlreadyExists`]. It is removed as a file when it is dropped.
    ///
    /// # Errors
    /// `make` fails.
    pub(super) fn create<T>(
        &self,
        mut make: impl FnMut(&Path) -> io::Result<T>,
    ) -> io::Result<NamedTempFile<T>> {
        let prefix = format!("{}{}-", self.prefix, self.tag);
        let mut attempts = 0;
        builder(&prefix).make_in(&self.directory, |path| {
            attempts += 1;
            make(path).map_err(|error| match attempts {
                ATTEMPTS => io::Error::other(error),
                _ => error,
            })
        })
    }

    /// Creates a directory, and opens it to hold its lock.
    ///
    /// # Errors
    /// The system refuses.
    pub(super) fn create_directory(&self) -> io::Result<(TempDir, File)> {
        let prefix = format!("{}{}-", self.prefix, self.tag);
        for _ in 0..ATTEMPTS {
            let directory = builder(&prefix).tempdir_in(&self.directory)?;
            let held = File::open(directory.path()).and_then(|open| {
                hold(&open, directory.path())?;
                Ok(open)
            });
            match held {
                Ok(open) => return Ok((directory, open)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// Removes what earlier runs left for this output when they were killed.
    pub(super) fn remove_abandoned(&self) {
        let is_local = is_local(&self.directory);
        for (name, path) in entries(&self.directory) {
            if let Some(tag) = tag_of(&name, &self.prefix) {
                let evidence = match is_local || tag == self.tag && !BOOT.is_empty() {
                    true => Evidence::FreeLock,
                    false => Evidence::Age,
                };
                // A leftover does no harm.
                let _ = remove_if_abandoned(&path, evidence);
            }
        }
    }
}

fn builder(prefix: &str) -> Builder<'_, 'static> {
    let mut builder = Builder::new();
    builder
        .prefix(prefix)
        .suffix(SUFFIX)
        .rand_bytes(RANDOM_CHARS);
    builder
}

/// Takes the lock of a new temporary file or directory. A run that looks for abandoned ones may have been
/// faster; then another name is needed, which [`io::ErrorKind::AlreadyExists`] asks for.
pub(super) fn hold(file: &File, path: &Path) -> io::Result<()> {
    match file.try_lock() {
        // Without locks, the time of the last change has to do.
        Ok(()) | Err(TryLockError::Error(_)) if is_at(file, path) => Ok(()),
        _ => Err(io::ErrorKind::AlreadyExists.into()),
    }
}

/// Whether an open file or directory is the one that a path leads to.
pub fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(open), Ok(named)) = (file.metadata(), fs::metadata(path)) else {
        return false;
    };
    (open.dev(), open.ino()) == (named.dev(), named.ino())
}

/// Whether a file or directory of this name is, or may be, a temporary one.
pub fn is_temporary(name: &OsStr) -> bool {
    let name = name.as_bytes();
    name.starts_with(b".") && name.ends_with(SUFFIX.as_bytes())
}

/// The temporary directories in a directory whose outputs have this beginning of a name, with the names of
/// these outputs. Names that are cut short are left out.
pub fn staged_directories(
    directory: &Path,
    beginning: &str,
) -> impl Iterator<Item = (String, PathBuf)> {
    entries(directory).filter_map(move |(name, path)| {
        let output = output_of(&name).filter(|output| output.starts_with(beginning))?;
        let is_directory = fs::symlink_metadata(&path).is_ok_and(|found| found.is_dir());
        is_directory.then(|| (output.to_owned(), path))
    })
}

/// Removes a temporary directory that is known to be abandoned, unless its lock shows otherwise.
pub fn remove_unheld(directory: &Path) {
    // A leftover does no harm.
    let _ = remove_if_abandoned(directory, Evidence::Caller);
}

/// What shows that a temporary file is abandoned, besides that no held lock is seen.
#[derive(Clone, Copy, Debug)]
enum Evidence {
    /// The caller knows it.
    Caller,
    /// Its lock is free, and would be seen.
    FreeLock,
    /// It is old.
    Age,
}

fn remove_if_abandoned(path: &Path, evidence: Evidence) -> io::Result<()> {
    let found = fs::symlink_metadata(path)?;
    let is_ours = found.uid() == geteuid().as_raw() && (found.is_file() || found.is_dir());
    if !is_ours {
        return Ok(());
    }
    let file = File::options()
        .read(true)
        // Network filesystems give locks to those only who may write.
        .write(found.is_file())
        .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32)
        .open(path)?;
    let is_abandoned = match (file.try_lock(), evidence) {
        (Err(TryLockError::WouldBlock), _) => false,
        (_, Evidence::Caller) | (Ok(()), Evidence::FreeLock) => true,
        (Ok(()) | Err(TryLockError::Error(_)), _) => is_old(path)?,
    };
    if is_abandoned && is_at(&file, path) {
        remove(path)?;
    }
    Ok(())
}

/// Whether a file, or a directory with everything below it, has not changed for long.
fn is_old(path: &Path) -> io::Result<bool> {
    let found = fs::symlink_metadata(path)?;
    let age = SystemTime::now().duration_since(found.modified()?);
    if !age.is_ok_and(|age| age > ABANDONED_AFTER) {
        return Ok(false);
    }
    if found.is_dir() {
        for entry in fs::read_dir(path)? {
            if !is_old(&entry?.path())? {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

fn entries(directory: &Path) -> impl Iterator<Item = (String, PathBuf)> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())))
}

/// Whether only one kernel can use the filesystem that a directory is in.
fn is_local(directory: &Path) -> bool {
    // The type of the number depends on the architecture, and its upper half may be copies of the sign.
    statfs(directory).is_ok_and(|found| LOCAL.contains(&(found.f_type as u32)))
}

/// How the temporary files for an output begin.
fn prefix(name: &OsStr) -> String {
    let name = name.to_string_lossy();
    let short: String = name.chars().take(MAX_CHARS).collect();
    let dot = if short.starts_with('.') { "" } else { "." };
    format!("{dot}{short}.")
}

/// Which kernel and which mounted filesystem the locks in a directory belong to.
fn tag(directory: &Metadata) -> String {
    let hash = Sha256::digest(format!("{} {}", BOOT.trim(), directory.dev()));
    let digits = hash.iter().map(|byte| format!("{byte:02x}"));
    digits.take(TAG_CHARS / 2).collect()
}

/// The tag in the name of a temporary file that begins so; `None` for all other names.
fn tag_of<'a>(name: &'a str, prefix: &str) -> Option<&'a str> {
    let rest = name.strip_prefix(prefix)?.strip_suffix(SUFFIX)?;
    let (tag, random) = rest.split_once('-')?;
    let is_tag = tag.len() == TAG_CHARS && tag.bytes().all(|b| b.is_ascii_hexdigit());
    let is_random =
        random.len() == RANDOM_CHARS && random.bytes().all(|b| b.is_ascii_alphanumeric());
    (is_tag && is_random).then_some(tag)
}

/// The output of a temporary file, with the dot in front.
fn output_of(name: &str) -> Option<&str> {
    let (output, _) = name.strip_suffix(SUFFIX)?.rsplit_once('.')?;
    tag_of(name, &format!("{output}.")).map(|_| output)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names_in(path: &Path) -> Vec<String> {
        let mut names: Vec<String> = entries(path).map(|(name, _)| name).collect();
        names.sort();
        names
    }

    fn names(directory: &Path, output: &str) -> Names {
        Names::of(&directory.join(output)).unwrap()
    }

    fn age(path: &Path, hours: u64) {
        let time = SystemTime::now() - Duration::from_secs(hours * 3600);
        File::open(path).unwrap().set_modified(time).unwrap();
    }

    fn create(names: &Names) -> NamedTempFile<File> {
        let create = |path: &Path| {
            let file = File::create_new(path)?;
            hold(&file, path).map(|()| file)
        };
        names.create(create).unwrap()
    }

    #[test]
    fn what_a_killed_run_left_goes_and_what_a_live_one_holds_stays() {
        let dir = tempfile::tempdir().unwrap();
        let names = names(dir.path(), "out.tar");
        let (_, left) = create(&names).keep().unwrap();
        let (directory, _) = names.create_directory().unwrap();
        let left_directory = directory.keep();
        fs::write(left_directory.join("half"), "").unwrap();
        let live = create(&names);
        let (live_directory, _open) = names.create_directory().unwrap();
        names.remove_abandoned();
        assert!(!left.exists() && !left_directory.exists());
        assert!(live.path().exists() && live_directory.path().exists());
        drop((live, live_directory));
        assert_eq!(names_in(dir.path()), [""; 0]);
    }

    #[test]
    fn of_another_machine_only_what_is_old_goes() {
        let dir = tempfile::tempdir().unwrap();
        let at = |random: &str| dir.path().join(format!(".a.00000000-{random}.ocify-tmp"));
        for (random, hours) in [("fresh000", 1), ("today000", 23), ("old00000", 25)] {
            fs::write(at(random), "half").unwrap();
            age(&at(random), hours);
            let random = random.replace("00", "DD");
            fs::create_dir_all(at(&random).join("sub")).unwrap();
            fs::write(at(&random).join("sub/file"), "half").unwrap();
            age(&at(&random).join("sub/file"), hours);
            age(&at(&random).join("sub"), 30);
            age(&at(&random), 30);
        }
        // A lock that is seen counts, whatever the time.
        let held = at("held0000");
        fs::write(&held, "half").unwrap();
        age(&held, 25);
        let lock = File::open(&held).unwrap();
        lock.lock().unwrap();
        for (_, path) in entries(dir.path()) {
            remove_if_abandoned(&path, Evidence::Age).unwrap();
        }
        let expected = ["freshDD0", "fresh000", "held0000", "todayDD0", "today000"];
        let mut expected = expected.map(|random| format!(".a.00000000-{random}.ocify-tmp"));
        expected.sort();
        assert_eq!(names_in(dir.path()), expected);
    }

    #[test]
    fn the_locks_of_this_filesystem_are_known() {
        let dir = tempfile::tempdir().unwrap();
        assert!(is_local(dir.path()), "tests run on a local filesystem");
        assert!(!is_local(Path::new("/proc")));
        // After a restart the tag is another one, and the lock is still free.
        let left = dir.path().join(".a.00000000-aaaaaaaa.ocify-tmp");
        fs::write(&left, "half").unwrap();
        names(dir.path(), "a").remove_abandoned();
        assert!(!left.exists());
    }

    #[test]
    fn what_ocify_did_not_create_stays() {
        let dir = tempfile::tempdir().unwrap();
        let own = names(dir.path(), "a");
        let here = &own.tag;
        let others = [
            format!(".b.a.{here}-aaaaaaaa.ocify-tmp"),
            format!(".a.b.{here}-aaaaaaaa.ocify-tmp"),
            format!(".a.{here}-aaaaaaa.ocify-tmp"),
            format!(".a.{here}-aaaa-aaa.ocify-tmp"),
            format!(".a.{here}aaaaaaaa.ocify-tmp"),
            format!("a.{here}-aaaaaaaa.ocify-tmp"),
            format!(".a.{here}-aaaaaaaa.tmp"),
            ".a.1".to_owned(),
            ".a.1.ocify-tmp".to_owned(),
        ];
        for name in &others {
            fs::write(dir.path().join(name), "").unwrap();
        }
        let link = dir.path().join(format!(".a.{here}-bbbbbbbb.ocify-tmp"));
        std::os::unix::fs::symlink("a", &link).unwrap();
        own.remove_abandoned();
        assert_eq!(names_in(dir.path()).len(), others.len() + 1);
    }

    #[test]
    fn another_users_file_stays() {
        if !geteuid().is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let left = dir.path().join(".a.00000000-aaaaaaaa.ocify-tmp");
        fs::write(&left, "half").unwrap();
        std::os::unix::fs::chown(&left, Some(65534), None).unwrap();
        names(dir.path(), "a").remove_abandoned();
        assert!(left.exists());
    }

    #[test]
    fn names_fit_and_say_what_they_are_for() {
        let dir = tempfile::tempdir().unwrap();
        let long = "ä".repeat(127);
        for (output, shown) in [
            ("app.tar", ".app.tar"),
            (".ocify-state", ".ocify-state"),
            (&long, &format!(".{}", "ä".repeat(MAX_CHARS))),
        ] {
            let staged = create(&names(dir.path(), output));
            let name = staged.path().file_name().unwrap().to_str().unwrap();
            assert_eq!(output_of(name), Some(shown));
            assert!(name.len() < 128, "{name}");
        }
    }

    #[test]
    fn staged_directories_are_found_by_their_outputs() {
        let dir = tempfile::tempdir().unwrap();
        let mut held = Vec::new();
        for output in [".work-1", ".work-2", ".other"] {
            held.push(names(dir.path(), output).create_directory().unwrap());
        }
        let _file = create(&names(dir.path(), ".work-3"));
        let mut found: Vec<String> = staged_directories(dir.path(), ".work-")
            .map(|(output, path)| {
                remove_unheld(&path);
                assert!(path.exists(), "its lock is held");
                output
            })
            .collect();
        found.sort();
        assert_eq!(found, [".work-1", ".work-2"]);
    }
}

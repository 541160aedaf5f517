//! Temporary files and directories: how they are named, and which of them are abandoned.
//!
//! `.app.tar.1f2e3d4c-Xy12Ab34.ocify-tmp` will be `app.tar`. A process ID would say nothing: in a container it
//! is 1 every time. The run that fills the file holds a lock on it instead, which ends with the run, however
//! that ends. Not every filesystem shows the locks of one machine to another. So the hexadecimal digits name
//! the kernel and the mounted filesystem: unless only one kernel can use the filesystem at a time, a free lock
//! proves nothing about a file with other digits.

use std::collections::hash_map::RandomState;
use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use rustix::fs::{Mode, OFlags, fstatfs};
use rustix::process::geteuid;
use sha2::{Digest, Sha256};

use crate::beneath::{Directory, FileStat, HeldPath};

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
    directory: Directory,
    /// `.app.tar.`
    prefix: String,
    tag: String,
}

impl Names {
    /// For an output that will have this path.
    ///
    /// # Errors
    /// Its directory cannot be looked up.
    pub(super) fn of(destination: &HeldPath) -> io::Result<Names> {
        let directory = destination.directory();
        Ok(Names {
            tag: tag(&directory.stat()?),
            directory: directory.clone(),
            prefix: prefix(destination.name()),
        })
    }

    /// Creates something under a name that nothing has, which `make` does or refuses with
    /// [`io::ErrorKind::AlreadyExists`]. It is removed when it is dropped.
    ///
    /// # Errors
    /// `make` fails.
    pub(super) fn create<T>(
        &self,
        mut make: impl FnMut(&HeldPath) -> io::Result<T>,
    ) -> io::Result<(T, Temporary)> {
        for _ in 0..ATTEMPTS {
            let name = format!("{}{}-{}{SUFFIX}", self.prefix, self.tag, random());
            let path = HeldPath::new(&self.directory, name.as_ref())?;
            match make(&path) {
                Ok(made) => {
                    let is_kept = false;
                    return Ok((made, Temporary { path, is_kept }));
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::other("every temporary name is in use"))
    }

    /// Creates a directory with these permissions, from which the umask takes some, and opens it to hold its lock.
    ///
    /// # Errors
    /// The system refuses.
    pub(super) fn create_directory(&self, mode: u32) -> io::Result<(File, Temporary)> {
        self.create(|path| {
            path.create_directory_with(mode)?;
            let open = path.read_directory().and_then(|open| open.readable());
            let open = open.map_err(|error| match error.kind() {
                // A run that looks for abandoned ones may have been faster.
                io::ErrorKind::NotFound => io::ErrorKind::AlreadyExists.into(),
                _ => {
                    remove(path);
                    error
                }
            })?;
            hold(&open, path)?;
            Ok(open)
        })
    }

    /// Removes what earlier runs left in the directory when they were killed, for this output or another. What a batch
    /// left there is its own to remove: it knows more about its shares.
    pub(super) fn remove_abandoned(&self) {
        let is_local = is_local(&self.directory);
        // What cannot be listed does no harm.
        for (name, _) in self.directory.entries().unwrap_or_default() {
            let found = name.to_str().and_then(temporary);
            let is_ours = |output: &str| {
                self.prefix.strip_suffix('.') == Some(output) || !output.starts_with(".ocify-")
            };
            if let Some((_, tag)) = found.filter(|(output, _)| is_ours(output))
                && let Ok(path) = HeldPath::new(&self.directory, &name)
            {
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

/// A temporary file or directory, which is removed when this is dropped, unless it is to be kept.
#[derive(Debug)]
pub(super) struct Temporary {
    path: HeldPath,
    is_kept: bool,
}

impl Temporary {
    /// Its path.
    pub(super) fn path(&self) -> &HeldPath {
        &self.path
    }

    /// It has its final name now, or none.
    pub(super) fn keep(&mut self) {
        self.is_kept = true;
    }

    /// Removes it now.
    ///
    /// # Errors
    /// The system refuses.
    pub(super) fn remove(mut self) -> io::Result<()> {
        self.keep();
        self.path.remove()
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.is_kept {
            // A leftover does no harm.
            let _ = self.path.remove();
        }
    }
}

/// Characters that differ every time.
fn random() -> String {
    const CHARS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    // Every new one has other keys.
    let mut number = RandomState::new().build_hasher().finish();
    let mut text = String::new();
    for _ in 0..RANDOM_CHARS {
        text.push(char::from(CHARS[(number % CHARS.len() as u64) as usize]));
        number /= CHARS.len() as u64;
    }
    text
}

/// Takes the lock of a new temporary file or directory. A run that looks for abandoned ones may have been
/// faster; then another name is needed, which [`io::ErrorKind::AlreadyExists`] asks for.
pub(super) fn hold(file: &File, path: &HeldPath) -> io::Result<()> {
    let is_held = match file.try_lock() {
        // Without locks, the time of the last change has to do.
        Ok(()) | Err(TryLockError::Error(_)) => path.names(file).inspect_err(|_| remove(path))?,
        // Whoever has locked it removes it.
        Err(TryLockError::WouldBlock) => false,
    };
    match is_held {
        true => Ok(()),
        false => Err(io::ErrorKind::AlreadyExists.into()),
    }
}

/// Removes something that was created a moment ago.
fn remove(path: &HeldPath) {
    // A leftover does no harm.
    let _ = path.remove();
}

/// Whether an open file or directory is the one at a path, which is not followed if it is a link.
pub fn is_at(file: &File, path: &Path) -> bool {
    HeldPath::of(path).is_ok_and(|path| path.is(file))
}

/// Whether a file or directory of this name is, or may be, a temporary one.
pub fn is_temporary(name: &OsStr) -> bool {
    let name = name.as_bytes();
    name.starts_with(b".") && name.ends_with(SUFFIX.as_bytes())
}

/// The temporary directories in a directory whose outputs have this beginning of a name, with the names of
/// these outputs. Names that are cut short are left out.
pub fn staged_directories(directory: &Path, beginning: &str) -> Vec<(String, HeldPath)> {
    let mut found = Vec::new();
    // What cannot be listed does no harm.
    let Ok(directory) = Directory::open(directory) else {
        return found;
    };
    for (name, kind) in directory.entries().unwrap_or_default() {
        let output = name.to_str().and_then(temporary).map(|(output, _)| output);
        let is_wanted = |output: &&str| kind.is_dir() && output.starts_with(beginning);
        if let Some(output) = output.filter(is_wanted)
            && let Ok(path) = HeldPath::new(&directory, &name)
        {
            found.push((output.to_owned(), path));
        }
    }
    found
}

/// Removes a temporary directory that is known to be abandoned, unless its lock shows otherwise.
pub fn remove_unheld(directory: &HeldPath) {
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

fn remove_if_abandoned(path: &HeldPath, evidence: Evidence) -> io::Result<()> {
    let found = path.look_up()?;
    let kind = found.kind;
    let is_ours = found.owner == geteuid().as_raw() && (kind.is_file() || kind.is_dir());
    if !is_ours {
        return Ok(());
    }
    // Network filesystems give locks to those only who may write.
    let access = match kind.is_file() {
        true => OFlags::RDWR,
        false => OFlags::RDONLY | OFlags::DIRECTORY,
    };
    let file = path.open(access | OFlags::NONBLOCK, Mode::empty())?;
    let is_abandoned = match (file.try_lock(), evidence) {
        (Err(TryLockError::WouldBlock), _) => false,
        (_, Evidence::Caller) | (Ok(()), Evidence::FreeLock) => true,
        (Ok(()) | Err(TryLockError::Error(_)), _) => is_old(path)?,
    };
    if is_abandoned && path.is(&file) {
        path.remove()?;
    }
    Ok(())
}

/// Whether a file, or a directory with everything below it, has not changed for long.
fn is_old(path: &HeldPath) -> io::Result<bool> {
    let found = path.look_up()?;
    let modified = Duration::from_nanos(u64::try_from(found.modified).unwrap_or(0));
    let age = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH + modified);
    if !age.is_ok_and(|age| age > ABANDONED_AFTER) {
        return Ok(false);
    }
    if found.kind.is_dir() {
        let directory = path.read_directory()?;
        for (name, _) in directory.entries()? {
            if !is_old(&HeldPath::new(&directory, &name)?)? {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// Whether only one kernel can use the filesystem that a directory is in.
fn is_local(directory: &Directory) -> bool {
    // The type of the number depends on the architecture, and its upper half may be copies of the sign.
    fstatfs(directory).is_ok_and(|found| LOCAL.contains(&(found.f_type as u32)))
}

/// How the temporary files for an output begin.
fn prefix(name: &OsStr) -> String {
    let name = name.to_string_lossy();
    let short: String = name.chars().take(MAX_CHARS).collect();
    let dot = if short.starts_with('.') { "" } else { "." };
    format!("{dot}{short}.")
}

/// Which kernel and which mounted filesystem the locks in a directory belong to.
fn tag(directory: &FileStat) -> String {
    let hash = Sha256::digest(format!("{} {}", BOOT.trim(), directory.device));
    let digits = hash.iter().map(|byte| format!("{byte:02x}"));
    digits.take(TAG_CHARS / 2).collect()
}

/// The output of a temporary file of this name, with the dot in front, and its tag; `None` for all other names.
fn temporary(name: &str) -> Option<(&str, &str)> {
    let (output, rest) = name.strip_suffix(SUFFIX)?.rsplit_once('.')?;
    let (tag, random) = rest.split_once('-')?;
    let is_tag = tag.len() == TAG_CHARS && tag.bytes().all(|b| b.is_ascii_hexdigit());
    let is_random =
        random.len() == RANDOM_CHARS && random.bytes().all(|b| b.is_ascii_alphanumeric());
    (output.starts_with('.') && is_tag && is_random).then_some((output, tag))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn names_in(path: &Path) -> Vec<String> {
        let entries = fs::read_dir(path).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn names(directory: &Path, output: &str) -> Names {
        Names::of(&HeldPath::of(&directory.join(output)).unwrap()).unwrap()
    }

    fn age(path: &Path, hours: u64) {
        let time = SystemTime::now() - Duration::from_secs(hours * 3600);
        File::open(path).unwrap().set_modified(time).unwrap();
    }

    fn create(names: &Names) -> (File, Temporary) {
        let create = |path: &HeldPath| {
            let file = path.create_new()?;
            hold(&file, path).map(|()| file)
        };
        names.create(create).unwrap()
    }

    /// What a killed run leaves: no lock is held.
    fn kill((_, mut temporary): (File, Temporary)) -> PathBuf {
        temporary.keep();
        temporary.path().path()
    }

    #[test]
    fn what_a_killed_run_left_goes_and_what_a_live_one_holds_stays() {
        let dir = tempfile::tempdir().unwrap();
        let names = names(dir.path(), "out.tar");
        let left = kill(create(&names));
        let left_directory = kill(names.create_directory(0o777).unwrap());
        fs::create_dir(left_directory.join("blobs")).unwrap();
        fs::write(left_directory.join("blobs/half"), "").unwrap();
        let of_another = kill(
            self::names(dir.path(), "other")
                .create_directory(0o777)
                .unwrap(),
        );
        let live = [create(&names), names.create_directory(0o777).unwrap()];
        let live_other = create(&self::names(dir.path(), "other"));
        names.remove_abandoned();
        for gone in [left, left_directory, of_another] {
            assert!(!gone.exists(), "{gone:?}");
        }
        for (_, live) in live.iter().chain([&live_other]) {
            assert!(live.path().exists(), "{live:?}");
        }
        drop((live, live_other));
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
        for name in names_in(dir.path()) {
            let path = HeldPath::of(&dir.path().join(name)).unwrap();
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
        let is_local = |path: &Path| is_local(&Directory::open(path).unwrap());
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
            let (_, staged) = create(&names(dir.path(), output));
            let name = staged.path().name().to_str().unwrap();
            assert_eq!(temporary(name).unwrap().0, shown);
            assert!(name.len() < 128, "{name}");
        }
    }

    #[test]
    fn staged_directories_are_found_by_their_outputs() {
        let dir = tempfile::tempdir().unwrap();
        let mut held = Vec::new();
        for output in [".work-1", ".work-2", ".other"] {
            held.push(names(dir.path(), output).create_directory(0o777).unwrap());
        }
        let _file = create(&names(dir.path(), ".work-3"));
        let mut found: Vec<String> = staged_directories(dir.path(), ".work-")
            .into_iter()
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

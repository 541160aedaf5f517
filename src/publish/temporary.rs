//! Temporary files: how they are named, and which of them belong to nobody any more.
//!
//! `.app.tar.1f2e3d4c-Xy12Ab34.ocify-tmp` will be `app.tar`. A process ID would say nothing: in a container it
//! is 1 every time. The run that fills the file holds a lock on it instead, which ends with the run
//! however that ends. The hexadecimal digits name the kernel and the mounted filesystem, because not
//! every filesystem shows the locks of one machine to another: only a file with the same digits is known
//! to belong to nobody when its lock is free.

use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use rustix::fs::OFlags;
use rustix::process::geteuid;
use sha2::{Digest, Sha256};
use tempfile::{Builder, NamedTempFile};

const SUFFIX: &str = ".ocify-tmp";
/// A name must stay within the filesystem's limit, whatever the output is called.
const MAX_CHARS: usize = 40;
const PLACE_CHARS: usize = 8;
const RANDOM_CHARS: usize = 8;
/// A file of another machine that nothing was written to for so long belongs to nobody.
const ABANDONED_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// The kernel that runs, which is another one after a restart. Empty if it does not say.
static BOOT: LazyLock<String> =
    LazyLock::new(|| fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default());

/// Creates a temporary file for the output `name` in a directory. It is locked as long as it is open, and
/// removed unless it is renamed.
///
/// # Errors
/// The system refuses.
pub(super) fn create(directory: &Path, name: &OsStr) -> io::Result<NamedTempFile> {
    let prefix = format!("{}{}-", prefix(name), place(directory)?);
    Builder::new()
        .prefix(&prefix)
        .suffix(SUFFIX)
        .rand_bytes(RANDOM_CHARS)
        .make_in(directory, |path| {
            let file = File::create_new(path)?;
            hold(&file, path)?;
            Ok(file)
        })
}

/// Takes the lock of a new temporary file. A run that looks for abandoned files may have been faster;
/// then another name is needed, which the error asks for.
fn hold(file: &File, path: &Path) -> io::Result<()> {
    match file.try_lock() {
        // Without locks, the time of the last change has to do.
        Ok(()) | Err(TryLockError::Error(_)) if is_at(file, path) => Ok(()),
        _ => Err(io::ErrorKind::AlreadyExists.into()),
    }
}

/// Removes temporary files for the output `name` that earlier runs left in a directory when they were
/// killed.
pub(super) fn remove_abandoned(directory: &Path, name: &OsStr) {
    let (Ok(entries), Ok(here)) = (fs::read_dir(directory), place(directory)) else {
        return;
    };
    let prefix = prefix(name);
    for entry in entries.flatten() {
        let file_name = entry.file_name();
        let file_name = file_name.to_string_lossy();
        if let Some(place) = place_of(&file_name, &prefix) {
            // One that stays is in nobody's way.
            let _ = remove_if_abandoned(&entry.path(), place == here && !BOOT.is_empty());
        }
    }
}

fn remove_if_abandoned(path: &Path, is_here: bool) -> io::Result<()> {
    let found = fs::symlink_metadata(path)?;
    if !found.is_file() || found.uid() != geteuid().as_raw() {
        return Ok(());
    }
    // Network filesystems give locks to those only who may write.
    let file = File::options()
        .read(true)
        .write(true)
        .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32)
        .open(path)?;
    let is_free = match file.try_lock() {
        Ok(()) => is_here,
        Err(TryLockError::WouldBlock) => return Ok(()),
        Err(TryLockError::Error(_)) => false,
    };
    let is_old = || {
        let modified = file.metadata().and_then(|found| found.modified());
        let age = modified.map(|time| SystemTime::now().duration_since(time));
        age.is_ok_and(|age| age.is_ok_and(|age| age > ABANDONED_AFTER))
    };
    if (is_free || is_old()) && is_at(&file, path) {
        fs::remove_file(path)?;
    }
    Ok(())
}

/// Whether an open file is the one at a path.
fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(open), Ok(named)) = (file.metadata(), fs::symlink_metadata(path)) else {
        return false;
    };
    (open.dev(), open.ino()) == (named.dev(), named.ino())
}

/// How the temporary files for an output begin.
fn prefix(name: &OsStr) -> String {
    let name = name.to_string_lossy();
    let short: String = name.chars().take(MAX_CHARS).collect();
    format!(".{short}.")
}

/// Which kernel and which mounted filesystem locks in a directory belong to.
fn place(directory: &Path) -> io::Result<String> {
    let device = fs::metadata(directory)?.dev();
    let hash = Sha256::digest(format!("{} {device}", BOOT.trim()));
    let digits = hash.iter().map(|byte| format!("{byte:02x}"));
    Ok(digits.take(PLACE_CHARS / 2).collect())
}

/// The place in the name of a temporary file that begins so; `None` for all other names.
fn place_of<'a>(name: &'a str, prefix: &str) -> Option<&'a str> {
    let tag = name.strip_prefix(prefix)?.strip_suffix(SUFFIX)?;
    let (place, random) = tag.split_once('-')?;
    let is_place = place.len() == PLACE_CHARS && place.bytes().all(|b| b.is_ascii_hexdigit());
    let is_random =
        random.len() == RANDOM_CHARS && random.bytes().all(|b| b.is_ascii_alphanumeric());
    (is_place && is_random).then_some(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names_in(path: &Path) -> Vec<String> {
        let entries = fs::read_dir(path).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn age(path: &Path, hours: u64) {
        let time = SystemTime::now() - Duration::from_secs(hours * 3600);
        let file = File::options().write(true).open(path).unwrap();
        file.set_modified(time).unwrap();
    }

    #[test]
    fn what_a_killed_run_left_goes_and_what_a_live_one_holds_stays() {
        let dir = tempfile::tempdir().unwrap();
        let name = OsStr::new("out.tar");
        let left = create(dir.path(), name).unwrap();
        let (_, left) = left.keep().unwrap();
        let live = create(dir.path(), name).unwrap();
        remove_abandoned(dir.path(), name);
        assert!(!left.exists());
        assert!(live.path().exists());
        let live_path = live.path().to_owned();
        drop(live);
        assert!(!live_path.exists());
    }

    #[test]
    fn of_another_machine_only_what_is_old_goes() {
        let dir = tempfile::tempdir().unwrap();
        let at = |random: &str| dir.path().join(format!(".a.00000000-{random}.ocify-tmp"));
        for (random, hours) in [("aaaaaaaa", 1), ("bbbbbbbb", 23), ("cccccccc", 25)] {
            fs::write(at(random), "half").unwrap();
            age(&at(random), hours);
        }
        // A lock that is seen counts, whatever the time.
        let held = at("dddddddd");
        fs::write(&held, "half").unwrap();
        age(&held, 25);
        let lock = File::open(&held).unwrap();
        lock.lock().unwrap();
        remove_abandoned(dir.path(), OsStr::new("a"));
        let expected = ["aaaaaaaa", "bbbbbbbb", "dddddddd"];
        let expected = expected.map(|random| format!(".a.00000000-{random}.ocify-tmp"));
        assert_eq!(names_in(dir.path()), expected);
    }

    #[test]
    fn what_ocify_did_not_create_stays() {
        let dir = tempfile::tempdir().unwrap();
        let here = place(dir.path()).unwrap();
        let names = [
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
        for name in &names {
            fs::write(dir.path().join(name), "").unwrap();
        }
        let link = dir.path().join(format!(".a.{here}-bbbbbbbb.ocify-tmp"));
        std::os::unix::fs::symlink("a", &link).unwrap();
        remove_abandoned(dir.path(), OsStr::new("a"));
        assert_eq!(names_in(dir.path()).len(), names.len() + 1);
    }

    #[test]
    fn names_fit() {
        let dir = tempfile::tempdir().unwrap();
        let long = "ä".repeat(127);
        let staged = create(dir.path(), OsStr::new(&long)).unwrap();
        let name = staged.path().file_name().unwrap().to_str().unwrap();
        assert!(
            place_of(name, &prefix(OsStr::new(&long))).is_some(),
            "{name}"
        );
        assert!(name.len() < 128, "{name}");
    }
}

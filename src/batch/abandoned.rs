//! What runs with another number of shares left unfinished when they were killed.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;

use super::Shard;
use super::output::own_name;

/// Removes the folders of shares of another number, unless their run goes on. Those of the same number
/// belong to shares that may begin at this moment, and find what they left themselves.
pub(super) fn clear(output: &Path, own: Option<Shard>) {
    let count = |share: Option<Shard>| share.map(|share| share.count);
    for entry in fs::read_dir(output).into_iter().flatten().flatten() {
        let name = entry.file_name();
        // Its run holds the lock of its state.
        if let Some(share) = name.to_str().and_then(share_of)
            && count(share) != count(own)
            && let Some(_lock) = lock(&output.join(own_name("state", share)))
        {
            // What cannot be removed is in nobody's way.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Whose folder for unfinished outputs has this name.
fn share_of(name: &str) -> Option<Option<Shard>> {
    let rest = name.strip_prefix(&own_name("work", None))?;
    if rest.is_empty() {
        return Some(None);
    }
    let (number, count) = rest.strip_prefix('-')?.split_once("-of-")?;
    let (number, count) = (number.parse().ok()?, count.parse().ok()?);
    Some(Some(Shard { number, count }))
}

/// What shows that nobody holds the state: its lock, or that there is no state.
fn lock(state: &Path) -> Option<Option<File>> {
    match File::open(state) {
        Ok(file) => match file.try_lock() {
            Ok(()) => Some(Some(file)),
            // Where there are no locks, nobody can tell.
            Err(TryLockError::WouldBlock | TryLockError::Error(_)) => None,
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Some(None),
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_works_on_goes() {
        let dir = tempfile::tempdir().unwrap();
        let make = |share: &str, has_state: bool| {
            let folder = dir.path().join(format!(".ocify-work{share}"));
            fs::create_dir_all(folder.join("0")).unwrap();
            fs::write(folder.join("0/half"), "half").unwrap();
            let state = dir.path().join(format!(".ocify-state{share}"));
            has_state.then(|| File::create(state).unwrap())
        };
        for share in ["", "-1-of-2", "-3-of-4", "-4-of-4", "ing", "-7"] {
            make(share, true);
        }
        make("-2-of-2", false);
        let running = make("-1-of-4", true).unwrap();
        running.try_lock().unwrap();
        let left = || {
            let entries = fs::read_dir(dir.path()).unwrap();
            let mut names: Vec<String> = entries
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .filter_map(|name| name.strip_prefix(".ocify-work").map(str::to_owned))
                .collect();
            names.sort();
            names
        };
        let own = Shard {
            number: 1,
            count: 2,
        };
        clear(dir.path(), Some(own));
        assert_eq!(left(), ["-1-of-2", "-1-of-4", "-2-of-2", "-7", "ing"]);
        make("", true);
        clear(dir.path(), None);
        assert_eq!(left(), ["", "-1-of-4", "-7", "ing"]);
    }
}

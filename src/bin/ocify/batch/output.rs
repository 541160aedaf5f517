//! Where the outputs of a batch go: written in a staging directory, and renamed into place when
//! they are complete.

use std::fs::{File, TryLockError};
use std::io::{self, Read};
use std::path::Path;

use ocify::command::publish::{
    self, PublishOptions, StagedDirectory, StagedFile, remove_unheld, rename_new, replace,
    staged_directories, sync_group, sync_held, sync_tree,
};
use ocify::{
    Code, Directory, Error, Result, command::HeldPath, command::IoContext,
    command::refuse_irreplaceable, command::show_path,
};
use rustix::fs::FileType;

use super::fingerprint::Fingerprint;
use super::places::Places;
use super::queue::Task;
use super::shard::{Shard, own_name};
use super::state::{Known, OutputState, Recorded, open_existing};

/// One read while comparing.
const PIECE: usize = 64 << 10;

/// What may be done with a file that exists under the name of an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Existing {
    /// Nothing was there a moment ago; what is there now is compared.
    Absent,
    /// An earlier run wrote it, so it is replaced.
    Replace,
    /// It is to be replaced, if it is something that the output may replace.
    Force,
    /// It stays if it is the same, and is refused otherwise.
    Compare,
}

impl Existing {
    /// What may happen to the output that is at a place, or what was recorded about it if it is finished.
    ///
    /// # Errors
    /// It is not finished.
    pub(crate) fn of(
        known: &Known,
        force: bool,
        task: &Task,
        source: Option<Fingerprint>,
        place: Option<&HeldPath>,
    ) -> std::result::Result<Recorded, Existing> {
        if force {
            return Err(match place.is_some_and(HeldPath::exists) {
                true => Existing::Force,
                false => Existing::Absent,
            });
        }
        match known.output_state(&task.relative, source, place) {
            OutputState::Finished(recorded) => Ok(recorded),
            OutputState::Outdated => Err(Existing::Replace),
            OutputState::Absent => Err(Existing::Absent),
            OutputState::Foreign => Err(Existing::Compare),
        }
    }

    fn is_replaced(self) -> bool {
        matches!(self, Existing::Replace | Existing::Force)
    }
}

/// How an output was renamed into place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Published {
    /// Nothing was there.
    New,
    /// Something else was there.
    Replaced,
    /// An identical one was there, and stayed.
    Same,
}

/// The output directory, which is held open, and the staging directory in it where unfinished outputs are.
#[derive(Debug)]
pub(crate) struct OutputDir {
    places: Places,
    folder: StagedDirectory,
}

impl OutputDir {
    /// Opens the output directory, and removes what an earlier run of the same shard left unfinished, and
    /// what shards of another number did whose run has ended.
    /// No two may have the same shard at one time, which [`State`](super::State) sees to.
    ///
    /// # Errors
    /// The staging directory cannot be created.
    pub(crate) fn open(output: &Path, shard: Option<Shard>) -> Result<OutputDir> {
        let places = Places::open(output)?;
        remove_abandoned(output, shard);
        let name = own_name("work", shard);
        // Outputs there are complete before they get the permissions of what they replace.
        let folder = HeldPath::new(places.root(), name.as_ref());
        let folder = folder.and_then(StagedDirectory::create_private);
        Ok(OutputDir {
            folder: folder.context("create", output.join(name))?,
            places,
        })
    }

    /// Where outputs go.
    pub(crate) fn places(&self) -> &Places {
        &self.places
    }

    /// The directory in which one of several workers writes its outputs.
    ///
    /// # Errors
    /// It cannot be created, or was created already.
    pub(crate) fn staging_dir(&self, worker: usize) -> Result<Directory> {
        let name = worker.to_string();
        let created = HeldPath::new(self.folder.directory(), name.as_ref())
            .and_then(|path| path.create_directory())
            .and_then(|()| self.folder.directory().below(&name));
        created.context("create", self.folder.path().join(name))
    }

    /// Makes staged outputs survive a power failure, except for their names. The results are in the order of the paths.
    pub(crate) fn sync(&self, staged: &[&HeldPath]) -> Vec<Result<()>> {
        sync_group(self.folder.directory(), staged)
    }

    /// The paths of the directories whose names lead to an output: its own, and those above it.
    pub(crate) fn directories(relative: &Path) -> impl Iterator<Item = &Path> {
        relative.ancestors().skip(1)
    }

    /// Makes the names in a directory of outputs survive a power failure.
    ///
    /// # Errors
    /// It is another directory now, or the system refuses.
    pub(crate) fn sync_directory(&self, relative: &Path) -> Result<()> {
        sync_held(&self.places.directory(relative)?)
    }

    /// Renames a finished output into place, and returns that. It must be on disk.
    ///
    /// # Errors
    /// Something else is there that must not be replaced, or the system refuses.
    pub(crate) fn publish(
        &self,
        staged: &HeldPath,
        relative: &Path,
        existing: Existing,
    ) -> Result<(Published, HeldPath)> {
        let place = self.places.created(relative)?;
        if existing == Existing::Force {
            // It may be something else by now.
            refuse_irreplaceable(&place, kind(staged)?)?;
        }
        let published = name(staged, &place, existing)?;
        Ok((published, place))
    }

    /// Removes the staging directory and all unfinished outputs.
    ///
    /// # Errors
    /// The system refuses.
    pub(crate) fn close(self) -> Result<()> {
        let path = self.folder.path().to_owned();
        self.folder.remove().context("remove", path)
    }
}

fn name(staged: &HeldPath, place: &HeldPath, existing: Existing) -> Result<Published> {
    match rename_new(staged, place) {
        Ok(()) => return Ok(Published::New),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices && kind(staged)?.is_file() => {
            return across(staged, place, existing);
        }
        Err(error) => return Err(Error::io("create", &place.path(), error)),
    }
    if existing.is_replaced() {
        replace(staged, place, false)?;
        return Ok(Published::Replaced);
    }
    let is_same = same(staged, place).context("compare", place.path())?;
    let kind = kind(staged)?;
    staged.remove().context("remove", staged.path())?;
    if is_same {
        // Whoever wrote it may not have synced it.
        sync_tree(place)?;
        return Ok(Published::Same);
    }
    Err(not_ours(place, kind))
}

/// What a staged output is.
fn kind(staged: &HeldPath) -> Result<FileType> {
    let found = staged.look_up().context("look up", staged.path())?;
    Ok(found.kind)
}

/// Copies an archive or another file to a filesystem that is mounted in the output directory.
fn across(staged: &HeldPath, place: &HeldPath, existing: Existing) -> Result<Published> {
    let path = &place.path();
    let copy = StagedFile::create_held(place.clone()).context("create", path)?;
    let mut source = staged.read().context("open", staged.path())?;
    let times = source.metadata().and_then(|found| found.modified());
    io::copy(&mut source, &mut copy.file())
        .and_then(|_| copy.file().set_modified(times?))
        .context("write", path)?;
    let options = PublishOptions {
        replace: existing.is_replaced(),
        sync: true,
    };
    let is_new = !place.exists();
    let published = match copy.publish(options)? {
        publish::Published::Done if is_new => Published::New,
        publish::Published::Done => Published::Replaced,
        _ if same(staged, place).context("compare", path)? => Published::Same,
        _ => return Err(not_ours(place, FileType::RegularFile)),
    };
    staged.remove().context("remove", staged.path())?;
    Ok(published)
}

/// The error for something that exists and that ocify may not replace with an output of this kind.
pub(super) fn not_ours(place: &HeldPath, kind: FileType) -> Error {
    // The hint is to replace it.
    if let Err(error) = refuse_irreplaceable(place, kind) {
        return error;
    }
    let place = &place.path();
    Error::new(
        Code::OutputExists,
        format!("the output {} already exists", show_path(place)),
    )
    .with_path(place)
    .with_hint("ocify has no record of writing it; replace it with --force")
}

/// Removes abandoned staging directories: that of this shard, whose state the caller has locked, and those of
/// runs with another number of shards, unless such a run is still alive. Other shards of the same run may be
/// starting now, and each removes its own.
fn remove_abandoned(output: &Path, own: Option<Shard>) {
    let count = |shard: Option<Shard>| shard.map(|shard| shard.count);
    for (name, path) in staged_directories(output, &own_name("work", None)) {
        let Some(shard) = shard_of(&name) else {
            continue;
        };
        if shard == own {
            remove_unheld(&path);
        } else if count(shard) != count(own)
            // Its run holds the lock of its state, which every machine sees that sees any lock.
            && let Some(_lock) = lock_of_ended(&output.join(own_name("state", shard)))
        {
            remove_unheld(&path);
        }
    }
}

/// The shard whose staging directory has this name.
fn shard_of(name: &str) -> Option<Option<Shard>> {
    let rest = name.strip_prefix(&own_name("work", None))?;
    if rest.is_empty() {
        return Some(None);
    }
    let (number, count) = rest.strip_prefix('-')?.split_once("-of-")?;
    let (number, count) = (number.parse().ok()?, count.parse().ok()?);
    Some(Some(Shard { number, count }))
}

/// Proof that no run uses the state: its lock, or `Some(None)` if there is no state file.
fn lock_of_ended(state: &Path) -> Option<Option<File>> {
    let Some(file) = open_existing(state).ok()? else {
        return Some(None);
    };
    match file.try_lock() {
        Ok(()) => Some(Some(file)),
        // Without locks, a run that is still alive cannot be ruled out.
        Err(TryLockError::WouldBlock | TryLockError::Error(_)) => None,
    }
}

/// Whether two files or directories have the same contents.
pub(super) fn same(left: &HeldPath, right: &HeldPath) -> io::Result<bool> {
    let (of_left, of_right) = (left.look_up()?, right.look_up()?);
    if of_left.kind.is_dir() && of_right.kind.is_dir() {
        let (left, right) = (left.read_directory()?, right.read_directory()?);
        let names = |directory: &Directory| -> io::Result<Vec<_>> {
            let entries = directory.entries()?.into_iter();
            Ok(entries.map(|(name, _)| name).collect())
        };
        let entries = names(&left)?;
        if entries != names(&right)? {
            return Ok(false);
        }
        for name in entries {
            if !same(
                &HeldPath::new(&left, &name)?,
                &HeldPath::new(&right, &name)?,
            )? {
                return Ok(false);
            }
        }
        return Ok(true);
    }
    if of_left.kind.is_symlink() && of_right.kind.is_symlink() {
        return Ok(left.link_target()? == right.link_target()?);
    }
    if !of_left.kind.is_file() || !of_right.kind.is_file() || of_left.len != of_right.len {
        return Ok(false);
    }
    let (mut left, mut right) = (left.read()?, right.read()?);
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
pub(super) mod tests {
    use std::fs;

    use super::*;

    pub(in crate::batch) fn names_in(path: &Path) -> Vec<String> {
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
        let output_dir = OutputDir::open(dir.path(), None).unwrap();
        let staging_dir = output_dir.staging_dir(3).unwrap();
        let make = |text: &str, is_dir: bool| {
            let staged = HeldPath::new(&staging_dir, "item".as_ref()).unwrap();
            let path = staged.path();
            if is_dir {
                fs::create_dir_all(path.join("blobs")).unwrap();
                fs::write(path.join("blobs/file"), text).unwrap();
                fs::write(path.join("index.json"), "").unwrap();
            } else {
                fs::write(&path, text).unwrap();
            }
            staged
        };
        for is_dir in [false, true] {
            let relative = Path::new(if is_dir { "x/dir" } else { "x/file" });
            let at = |text: &str, existing| {
                let made = make(text, is_dir);
                assert!(output_dir.sync(&[&made])[0].is_ok());
                let result = output_dir.publish(&made, relative, existing);
                assert!(!made.exists(), "{text}");
                let published = result.map(|(published, _)| published);
                published.map_err(|error| error.code())
            };
            assert_eq!(at("one", Existing::Compare), Ok(Published::New));
            assert_eq!(at("one", Existing::Compare), Ok(Published::Same));
            assert_eq!(at("two", Existing::Compare), Err(Code::OutputExists));
            assert_eq!(at("two", Existing::Replace), Ok(Published::Replaced));
            assert_eq!(at("two", Existing::Force), Ok(Published::Replaced));
            assert_eq!(at("two", Existing::Absent), Ok(Published::Same));
            assert_eq!(at("one", Existing::Absent), Err(Code::OutputExists));
        }
        // A file replaces a directory only if an earlier run wrote that.
        for is_dir in [false, true] {
            let made = make("other", is_dir);
            let relative = Path::new(if is_dir { "x/file" } else { "x/dir" });
            let refused = output_dir.publish(&made, relative, Existing::Force);
            assert_eq!(refused.unwrap_err().code(), Code::OutputExists);
            made.remove().unwrap();
        }
        let made = make("file", false);
        let published = output_dir.publish(&made, Path::new("x/dir"), Existing::Replace);
        let (published, place) = published.unwrap();
        assert_eq!(published, Published::Replaced);
        assert_eq!(fs::read(place.path()).unwrap(), b"file");
        let directories: Vec<&Path> = OutputDir::directories(Path::new("x/dir")).collect();
        assert_eq!(directories, [Path::new("x"), Path::new("")]);
        for directory in directories {
            output_dir.sync_directory(directory).unwrap();
        }
        output_dir.close().unwrap();
        assert_eq!(names_in(dir.path()), ["x"]);
    }

    /// Opens the output directory and leaves it the way a killed run does.
    fn kill(output: &Path, shard: Option<Shard>) {
        let output_dir = OutputDir::open(output, shard).unwrap();
        let staging_dir = output_dir.staging_dir(0).unwrap();
        fs::write(staging_dir.path().join("half"), "half").unwrap();
        let (path, aside) = (output_dir.folder.path().to_owned(), output.join("aside"));
        fs::rename(&path, &aside).unwrap();
        drop(output_dir);
        fs::rename(&aside, &path).unwrap();
    }

    /// The shards that have a staging directory.
    fn unfinished(output: &Path) -> Vec<String> {
        let names = names_in(output).into_iter();
        let shards = names.filter_map(|name| {
            let (shard, _) = name.strip_prefix(".ocify-work")?.split_once('.')?;
            Some(shard.to_owned())
        });
        shards.collect()
    }

    fn shard(number: u64, count: u64) -> Option<Shard> {
        Some(Shard { number, count })
    }

    #[test]
    fn what_was_left_unfinished_goes() {
        let dir = tempfile::tempdir().unwrap();
        let open = |shard| OutputDir::open(dir.path(), shard).unwrap();
        for shard in [shard(3, 4), shard(2, 4)] {
            kill(dir.path(), shard);
        }
        assert_eq!(unfinished(dir.path()), ["-2-of-4", "-3-of-4"]);
        open(shard(2, 4)).close().unwrap();
        assert_eq!(unfinished(dir.path()), ["-3-of-4"]);
        open(None).close().unwrap();
        assert_eq!(names_in(dir.path()), [""; 0]);
        drop(open(None));
        assert_eq!(names_in(dir.path()), [""; 0]);
    }

    #[test]
    fn what_somebody_works_on_stays() {
        let dir = tempfile::tempdir().unwrap();
        let state = |shard| {
            let name = own_name("state", shard);
            File::create(dir.path().join(name)).unwrap()
        };
        // In this order, so that none removes another.
        let (running, starting) = (state(shard(1, 4)), state(shard(3, 4)));
        for state in [&running, &starting] {
            state.lock().unwrap();
        }
        for shard in [shard(1, 4), shard(3, 4), shard(4, 4)] {
            kill(dir.path(), shard);
        }
        drop(starting);
        for name in ["ing", "-7"] {
            fs::create_dir(dir.path().join(format!(".ocify-work{name}.x"))).unwrap();
        }
        let output_dir = OutputDir::open(dir.path(), shard(1, 2)).unwrap();
        let expected = ["-1-of-2", "-1-of-4", "-7", "ing"];
        assert_eq!(unfinished(dir.path()), expected);
        // Whoever else has the same shard, by an error of the user, is not disturbed either.
        OutputDir::open(dir.path(), shard(1, 2))
            .unwrap()
            .close()
            .unwrap();
        assert_eq!(unfinished(dir.path()), expected);
        output_dir.close().unwrap();
    }
}

//! Simulates power failures at every step, on a model of a disk that loses unsynced data and on real files.

use std::path::{Path, PathBuf};

use super::disk::Disk;
use super::format::Journal;
use super::steps::{self, Write, rewrite};
use super::*;

/// One rewrite: the bytes before, the writes, and the bytes after.
struct Case {
    name: &'static str,
    old: Vec<u8>,
    writes: Vec<Write>,
    new: Vec<u8>,
}

fn cases() -> Vec<Case> {
    let bytes = |len: usize, seed: usize| -> Vec<u8> {
        (0..len)
            .map(|at| (at * 7 + at / 251 + seed) as u8 | 1)
            .collect()
    };
    let case = |name, old_len: usize, zeros: usize, ranges: &[(usize, usize)], new_len: usize| {
        let mut old = bytes(old_len, 0);
        old.resize(old_len + zeros, 0);
        let mut new = old.clone();
        let mut writes = Vec::new();
        for (number, &(at, len)) in ranges.iter().enumerate() {
            let changed = bytes(len, number + 3);
            new.resize(new.len().max(at + len), 0);
            new[at..at + len].copy_from_slice(&changed);
            writes.push(Write {
                at: at as u64,
                bytes: changed,
            });
        }
        new.resize(new_len, 0);
        Case {
            name,
            old,
            writes,
            new,
        }
    };
    vec![
        case("one write", 2000, 100, &[(512, 700)], 2100),
        case(
            "three writes and a longer file",
            3000,
            100,
            &[(0, 40), (900, 512), (2800, 900)],
            3700,
        ),
        case(
            "a shorter file",
            3000,
            9000,
            &[(600, 512), (2500, 500)],
            3000 + 24,
        ),
        case(
            "truncated within the last write",
            3000,
            500,
            &[(1500, 1500)],
            2000,
        ),
        case("a complete small file", 100, 0, &[(0, 300)], 300),
        case("only the end", 1000, 5000, &[(900, 100)], 1000),
    ]
}

/// A file and its journal in memory. Unsynced changes are kept separately, because a crash can preserve any
/// subset of them.
#[derive(Clone, Debug, Default)]
struct Model {
    /// The synced contents of the file.
    file: Vec<u8>,
    /// Unsynced changes of the file.
    pending: Vec<Step>,
    /// Whether the synced directory contains the journal, and the unsynced change of that.
    has_name: bool,
    pending_name: Option<bool>,
    /// The synced and the unsynced contents of the journal.
    journal: Vec<u8>,
    pending_journal: Option<Vec<u8>>,
}

#[derive(Clone, Debug)]
enum Step {
    Write(u64, Vec<u8>),
    SetLen(u64),
}

impl Step {
    fn apply(&self, file: &mut Vec<u8>) {
        match self {
            Step::Write(at, bytes) => {
                let at = *at as usize;
                file.resize(file.len().max(at + bytes.len()), 0);
                file[at..at + bytes.len()].copy_from_slice(bytes);
            }
            Step::SetLen(len) => file.resize(*len as usize, 0),
        }
    }
}

impl Model {
    fn now(&self) -> Vec<u8> {
        let mut file = self.file.clone();
        self.pending.iter().for_each(|step| step.apply(&mut file));
        file
    }

    fn is_named(&self) -> bool {
        self.pending_name.unwrap_or(self.has_name)
    }

    /// Every state that a crash can leave: any subset of the unsynced steps, each complete or torn.
    fn crashes(&self) -> Vec<Model> {
        let mut files = Vec::new();
        for kept in 0_u32..1 << self.pending.len() {
            for torn in 0..=self.pending.len() {
                let mut file = self.file.clone();
                for (number, step) in self.pending.iter().enumerate() {
                    match step {
                        Step::Write(at, bytes) if number == torn => {
                            Step::Write(*at, bytes[..bytes.len() / 2].to_vec()).apply(&mut file);
                        }
                        _ if kept & 1 << number != 0 => step.apply(&mut file),
                        _ => {}
                    }
                }
                files.push(file);
            }
        }
        files.sort();
        files.dedup();
        let mut journals = vec![self.journal.clone()];
        if let Some(whole) = &self.pending_journal {
            // The length and the bytes can reach the disk in either order.
            journals.extend([whole.clone(), vec![0; whole.len()]]);
            journals.push(whole[..whole.len() / 2].to_vec());
        }
        let mut names = vec![self.has_name];
        names.extend(self.pending_name);
        let mut states = Vec::new();
        for file in files {
            for journal in &journals {
                for &has_name in &names {
                    states.push(Model {
                        file: file.clone(),
                        has_name,
                        journal: journal.clone(),
                        ..Model::default()
                    });
                }
            }
        }
        states
    }
}

impl Disk for Model {
    fn inode(&mut self) -> Result<u64> {
        Ok(1)
    }
    fn len(&mut self) -> Result<u64> {
        Ok(self.now().len() as u64)
    }
    fn read_at(&mut self, buffer: &mut [u8], at: u64) -> Result<()> {
        let file = self.now();
        buffer.copy_from_slice(&file[at as usize..at as usize + buffer.len()]);
        Ok(())
    }
    fn read_journal(&mut self) -> Result<Option<Vec<u8>>> {
        let bytes = self.pending_journal.as_ref().unwrap_or(&self.journal);
        Ok(self.is_named().then(|| bytes.clone()))
    }
    fn create_journal(&mut self) -> Result<()> {
        assert!(!self.is_named(), "the journal exists");
        self.pending_name = Some(true);
        self.journal.clear();
        self.pending_journal = None;
        Ok(())
    }
    fn write_journal(&mut self, bytes: &[u8]) -> Result<()> {
        self.pending_journal = Some(bytes.to_vec());
        Ok(())
    }
    fn sync_journal(&mut self) -> Result<()> {
        self.journal = self.pending_journal.take().unwrap();
        Ok(())
    }
    fn remove_journal(&mut self) -> Result<()> {
        assert!(self.is_named(), "there is no journal");
        self.pending_name = Some(false);
        Ok(())
    }
    fn sync_directory(&mut self) -> Result<()> {
        self.has_name = self.is_named();
        self.pending_name = None;
        Ok(())
    }
    fn write_at(&mut self, bytes: &[u8], at: u64) -> Result<()> {
        self.pending.push(Step::Write(at, bytes.to_vec()));
        Ok(())
    }
    fn set_len(&mut self, len: u64) -> Result<()> {
        self.pending.push(Step::SetLen(len));
        Ok(())
    }
    fn sync(&mut self) -> Result<()> {
        self.file = self.now();
        self.pending.clear();
        Ok(())
    }
    fn path(&self) -> &Path {
        Path::new("model")
    }
    fn journal_path(&self) -> &Path {
        Path::new("journal")
    }
}

/// A disk that fails at one step.
struct FailingDisk<D> {
    disk: D,
    /// The number of steps before the failure.
    left: usize,
    /// Whether all later steps fail too, as after a power failure.
    is_final: bool,
    /// How many quarters of its data the failing step writes.
    quarters: usize,
    has_failed: bool,
}

impl<D: Disk> FailingDisk<D> {
    fn power_failure(disk: D, left: usize, quarters: usize) -> Self {
        FailingDisk {
            disk,
            left,
            is_final: true,
            quarters,
            has_failed: false,
        }
    }

    fn step(&mut self) -> Result<()> {
        let error = || {
            Error::io(
                "use",
                Path::new("the disk"),
                io::ErrorKind::StorageFull.into(),
            )
        };
        if self.has_failed && self.is_final {
            return Err(error());
        }
        match self.left.checked_sub(1) {
            Some(left) => self.left = left,
            None if self.has_failed => {}
            None => {
                self.has_failed = true;
                return Err(error());
            }
        }
        Ok(())
    }
}

impl<D: Disk> Disk for FailingDisk<D> {
    fn inode(&mut self) -> Result<u64> {
        self.disk.inode()
    }
    fn len(&mut self) -> Result<u64> {
        self.disk.len()
    }
    fn read_at(&mut self, buffer: &mut [u8], at: u64) -> Result<()> {
        self.disk.read_at(buffer, at)
    }
    fn read_journal(&mut self) -> Result<Option<Vec<u8>>> {
        self.disk.read_journal()
    }
    fn create_journal(&mut self) -> Result<()> {
        self.step().and_then(|()| self.disk.create_journal())
    }
    fn write_journal(&mut self, bytes: &[u8]) -> Result<()> {
        let had_failed = self.has_failed;
        self.step().inspect_err(|_| {
            if !had_failed {
                let part = bytes.len() * self.quarters / 4;
                self.disk.write_journal(&bytes[..part]).unwrap();
            }
        })?;
        self.disk.write_journal(bytes)
    }
    fn sync_journal(&mut self) -> Result<()> {
        self.step().and_then(|()| self.disk.sync_journal())
    }
    fn remove_journal(&mut self) -> Result<()> {
        self.step().and_then(|()| self.disk.remove_journal())
    }
    fn sync_directory(&mut self) -> Result<()> {
        self.step().and_then(|()| self.disk.sync_directory())
    }
    fn write_at(&mut self, bytes: &[u8], at: u64) -> Result<()> {
        let had_failed = self.has_failed;
        self.step().inspect_err(|_| {
            if !had_failed {
                let part = bytes.len() * self.quarters / 4;
                self.disk.write_at(&bytes[..part], at).unwrap();
            }
        })?;
        self.disk.write_at(bytes, at)
    }
    fn set_len(&mut self, len: u64) -> Result<()> {
        self.step().and_then(|()| self.disk.set_len(len))
    }
    fn sync(&mut self) -> Result<()> {
        self.step().and_then(|()| self.disk.sync())
    }
    fn path(&self) -> &Path {
        self.disk.path()
    }
    fn journal_path(&self) -> &Path {
        self.disk.journal_path()
    }
}

impl Case {
    fn model(&self) -> Model {
        Model {
            file: self.old.clone(),
            ..Model::default()
        }
    }

    fn new_len(&self) -> u64 {
        self.new.len() as u64
    }

    /// The number of steps of a complete rewrite.
    fn steps(&self) -> usize {
        let mut disk = FailingDisk::power_failure(self.model(), usize::MAX, 0);
        rewrite(&mut disk, &self.writes, self.new_len()).unwrap();
        assert_eq!(disk.disk.now(), self.new, "{}", self.name);
        usize::MAX - disk.left
    }

    #[track_caller]
    fn check(&self, found: &[u8], when: &str) {
        assert!(
            found == self.old || found == self.new,
            "{}, {when}: neither the old file nor the new one",
            self.name
        );
    }
}

#[test]
fn a_power_failure_at_any_step_leaves_the_old_or_the_new_file() {
    for case in cases() {
        let steps = case.steps();
        // Create, write and sync the journal; sync the directory; the writes; set the length; sync the file;
        // remove the journal; sync the directory.
        assert_eq!(steps, 8 + case.writes.len(), "{}", case.name);
        let mut states = 0;
        for left in 0..=steps {
            for quarters in [0, 1, 3] {
                let mut disk = FailingDisk::power_failure(case.model(), left, quarters);
                let result = rewrite(&mut disk, &case.writes, case.new_len());
                assert_eq!(result.is_ok(), left == steps, "{}, {left}", case.name);
                for crashed in disk.disk.crashes() {
                    states += 1;
                    let when = format!("power failure after {left} steps");
                    let mut recovered = crashed.clone();
                    steps::recover(&mut recovered).unwrap();
                    case.check(&recovered.now(), &when);
                    assert!(!recovered.is_named(), "{}, {when}", case.name);
                    if result.is_ok() {
                        assert_eq!(recovered.now(), case.new, "{}, {when}", case.name);
                    }
                    fail_during_recovery(&case, &crashed, &when);
                }
            }
        }
        assert!(states > 90, "{}: {states}", case.name);
    }
}

/// The power fails again, at every step of the recovery.
fn fail_during_recovery(case: &Case, crashed: &Model, when: &str) {
    for left in 0.. {
        let mut disk = FailingDisk::power_failure(crashed.clone(), left, 2);
        let is_done = steps::recover(&mut disk).is_ok();
        for mut crashed in disk.disk.crashes() {
            steps::recover(&mut crashed).unwrap();
            case.check(&crashed.now(), &format!("{when}, and {left} steps later"));
        }
        if is_done {
            return;
        }
    }
}

#[test]
fn a_rewrite_with_a_failing_step_is_undone() {
    for case in cases() {
        let steps = case.steps();
        for left in 0..steps {
            let mut disk = FailingDisk {
                is_final: false,
                ..FailingDisk::power_failure(case.model(), left, 2)
            };
            rewrite(&mut disk, &case.writes, case.new_len()).unwrap_err();
            // If only the last sync fails, the rewrite is complete and is not undone.
            let expected = if left == steps - 1 {
                &case.new
            } else {
                &case.old
            };
            assert!(disk.disk.now() == *expected, "{}, {left}", case.name);
            assert!(!disk.disk.is_named(), "{}, {left}", case.name);
        }
    }
}

/// Replaces a file with another. The second argument is the file's old contents.
type Replace = fn(&Real, &[u8]);

/// A real file in its own directory.
struct Real {
    dir: tempfile::TempDir,
}

impl Real {
    fn new(bytes: &[u8]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a.tar"), bytes).unwrap();
        Real { dir }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("a.tar")
    }

    fn journal(&self) -> PathBuf {
        self.dir.path().join(".a.tar.ocify-journal")
    }

    fn rewrite_until(&self, case: &Case, left: usize, quarters: usize) -> bool {
        let file = open_writable(&self.path()).unwrap();
        let path = self.path();
        let mut disk =
            FailingDisk::power_failure(Files::new(&file, &path).unwrap(), left, quarters);
        rewrite(&mut disk, &case.writes, case.new_len()).is_ok()
    }
}

#[test]
fn real_files_are_restored_after_any_step() {
    for case in cases() {
        let steps = case.steps();
        for left in 0..=steps {
            for quarters in 0..4 {
                let real = Real::new(&case.old);
                let is_done = real.rewrite_until(&case, left, quarters);
                assert_eq!(is_done, left == steps);
                let has_journal = real.journal().exists();
                // A file with a journal must not be read.
                let opened = crate::input::Source::open(real.path());
                let code = opened.err().map(|error| error.code());
                assert_eq!(code, has_journal.then_some(Code::UnfinishedFix));
                let found = recover(&real.path()).unwrap();
                let is_whole = left > 1 || quarters == 4;
                let expected = match has_journal {
                    false => Recovery::Nothing,
                    true if is_whole => Recovery::Restored,
                    true => Recovery::Removed,
                };
                assert_eq!(found, expected, "{}, {left}, {quarters}", case.name);
                let bytes = fs::read(real.path()).unwrap();
                case.check(&bytes, &format!("after {left} steps"));
                assert_eq!(
                    bytes == case.new,
                    left + 1 >= steps,
                    "{}, {left}",
                    case.name
                );
                assert!(!real.journal().exists());
                assert_eq!(recover(&real.path()).unwrap(), Recovery::Nothing);
            }
        }
    }
}

#[test]
fn a_replaced_file_is_left_unchanged() {
    let case = &cases()[1];
    let replace: [(&str, Replace); 4] = [
        ("another file with the same name", |real, old| {
            let beside = real.dir.path().join("new");
            fs::write(&beside, old).unwrap();
            fs::rename(beside, real.path()).unwrap();
        }),
        ("other contents", |real, old| {
            let mut other = old.to_vec();
            other[800..890].fill(b'x');
            fs::write(real.path(), other).unwrap();
        }),
        ("shorter", |real, _| {
            fs::write(real.path(), b"short").unwrap();
        }),
        ("longer", |real, old| {
            let mut longer = old.to_vec();
            longer.resize(old.len() + 9000, 0);
            fs::write(real.path(), longer).unwrap();
        }),
    ];
    for (name, replace) in replace {
        let real = Real::new(&case.old);
        assert!(!real.rewrite_until(case, 6, 2));
        replace(&real, &case.old);
        let before = fs::read(real.path()).unwrap();
        let error = recover(&real.path()).unwrap_err();
        assert_eq!(error.code(), Code::ForeignJournal, "{name}");
        assert_eq!(fs::read(real.path()).unwrap(), before, "{name}");
        assert!(real.journal().exists(), "{name}");
    }
}

#[test]
fn untrusted_journals_are_refused() {
    let case = &cases()[0];
    let real = Real::new(&case.old);
    std::os::unix::fs::symlink("/etc/passwd", real.journal()).unwrap();
    assert!(recover(&real.path()).is_err());
    fs::remove_file(real.journal()).unwrap();
    fs::create_dir(real.journal()).unwrap();
    assert_eq!(
        recover(&real.path()).unwrap_err().code(),
        Code::ForeignJournal
    );
    fs::remove_dir(real.journal()).unwrap();
    assert_eq!(fs::read(real.path()).unwrap(), case.old);
    // A complete journal of another file.
    fs::write(real.journal(), Journal::default().encode()).unwrap();
    assert_eq!(
        recover(&real.path()).unwrap_err().code(),
        Code::ForeignJournal
    );
}

#[test]
fn a_running_rewrite_is_not_disturbed() {
    let case = &cases()[0];
    let real = Real::new(&case.old);
    assert!(!real.rewrite_until(case, 5, 0));
    let locked = open_writable(&real.path()).unwrap();
    exclusive(&locked, &real.path()).unwrap();
    for error in [
        recover(&real.path()).unwrap_err(),
        crate::input::Source::open(real.path()).unwrap_err(),
        crate::input::Source::open_in_place(&real.path()).unwrap_err(),
    ] {
        assert_eq!(error.code(), Code::FileBusy);
    }
    assert!(real.journal().exists());
    drop(locked);
    assert_eq!(recover(&real.path()).unwrap(), Recovery::Restored);
    // Readers exclude writers, but not each other.
    let reader = crate::input::Source::open(real.path()).unwrap();
    crate::input::Source::open(real.path()).unwrap();
    let error = crate::input::Source::open_in_place(&real.path()).unwrap_err();
    assert_eq!(error.code(), Code::FileBusy);
    drop(reader);
    crate::input::Source::open_in_place(&real.path()).unwrap();
}

#[test]
fn a_link_and_its_target_share_a_journal() {
    let case = &cases()[0];
    let real = Real::new(&case.old);
    let elsewhere = tempfile::tempdir().unwrap();
    let link = elsewhere.path().join("link");
    std::os::unix::fs::symlink(real.path(), &link).unwrap();
    assert!(!real.rewrite_until(case, 6, 0));
    assert_eq!(recover(&link).unwrap(), Recovery::Restored);
    assert_eq!(fs::read(real.path()).unwrap(), case.old);
}

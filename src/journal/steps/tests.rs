//! Power failures at every step of a rewrite and of its recovery, on a model of a disk that loses any part of what
//! was not synced.
//!
//! `OCIFY_CRASHES=COUNT` adds that many random rewrites, and `OCIFY_SEED=N` begins with that one.
#![expect(
    clippy::print_stdout,
    reason = "the number of states is part of the result"
)]

use std::env;
use std::io;
use std::path::{Path, PathBuf};

use super::*;
use crate::error::Code;

/// One rewrite: the bytes before, the writes, and the bytes after.
#[derive(Clone, Debug)]
pub(in crate::journal) struct Case {
    pub(in crate::journal) name: String,
    pub(in crate::journal) old: Vec<u8>,
    pub(in crate::journal) writes: Vec<Write>,
    pub(in crate::journal) new: Vec<u8>,
}

impl Case {
    fn of(name: &str, old_len: usize, zeros: usize, ranges: &[(usize, usize)], len: usize) -> Self {
        let bytes = |len: usize, seed: usize| -> Vec<u8> {
            (0..len)
                .map(|at| (at * 7 + at / 251 + seed) as u8 | 1)
                .collect()
        };
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
        new.resize(len, 0);
        Case {
            name: name.to_owned(),
            old,
            writes,
            new,
        }
    }

    /// A random rewrite of up to four ranges.
    fn random(seed: u64) -> Self {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut below = |limit: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % limit.max(1) as u64) as usize
        };
        let (old_len, zeros) = (1 + below(3000), below(2000));
        let mut ranges = Vec::new();
        let mut at = 0;
        for _ in 0..1 + below(4) {
            at += below(900);
            let len = 1 + below(900);
            // A range begins within the file or at its end.
            if at > old_len + zeros {
                break;
            }
            ranges.push((at, len));
            at += len;
        }
        // Only zeros are cut off.
        let least = old_len.max(at.min(old_len + zeros));
        let len = least.max(at) + below(2) * below(1000);
        // No write ends after both the old and the new end.
        let is_cut = below(3) == 0 && at <= old_len + zeros;
        let len = if is_cut { least } else { len };
        Self::of(&format!("seed {seed}"), old_len, zeros, &ranges, len)
    }

    pub(in crate::journal) fn model(&self) -> Model {
        Model {
            file: self.old.clone(),
            ..Model::default()
        }
    }

    pub(in crate::journal) fn rewrite(&self, disk: &mut impl Disk) -> Result<()> {
        let read = disk.stamp()?;
        rewrite(disk, &self.writes, self.new.len() as u64, &read)
    }

    /// The number of steps of a complete rewrite.
    pub(in crate::journal) fn steps(&self) -> usize {
        let mut disk = FailingDisk::power_failure(self.model(), usize::MAX, 0);
        self.rewrite(&mut disk).unwrap();
        assert_eq!(disk.disk.now(), self.new, "{}", self.name);
        usize::MAX - disk.left
    }

    #[track_caller]
    pub(in crate::journal) fn check(&self, found: &[u8], when: &str) {
        assert!(
            found == self.old || found == self.new,
            "{}, {when}: neither the old file nor the new one",
            self.name
        );
    }
}

pub(in crate::journal) fn cases() -> Vec<Case> {
    vec![
        Case::of("one write", 2000, 100, &[(512, 700)], 2100),
        Case::of(
            "three writes and a longer file",
            3000,
            100,
            &[(0, 40), (900, 512), (2800, 900)],
            3700,
        ),
        Case::of(
            "a shorter file",
            3000,
            9000,
            &[(600, 512), (2500, 500)],
            3000 + 24,
        ),
        Case::of(
            "truncated within the last write",
            3000,
            500,
            &[(1500, 1500)],
            2000,
        ),
        Case::of("a complete small file", 100, 0, &[(0, 300)], 300),
        Case::of("only the end", 1000, 5000, &[(900, 100)], 1000),
    ]
}

/// The name of a journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::journal) enum Name {
    #[default]
    None,
    Journal,
    /// That of one that cannot be used.
    Kept,
}

/// A file and its journal in memory. Unsynced changes are kept separately, because a crash can preserve any
/// subset of them.
#[derive(Clone, Debug, Default)]
pub(in crate::journal) struct Model {
    /// The synced contents of the file.
    pub(in crate::journal) file: Vec<u8>,
    /// Unsynced changes of the file.
    pending: Vec<Step>,
    /// The journal's name in the synced directory, and the unsynced change of that.
    pub(in crate::journal) name: Name,
    pending_name: Option<Name>,
    /// The synced and the unsynced contents of the journal.
    pub(in crate::journal) journal: Vec<u8>,
    pending_journal: Option<Vec<u8>>,
    /// How often the file was changed.
    changes: i64,
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

/// Of the states after a crash, so many have a second crash during the recovery.
const NESTED: usize = 12;
/// Of a torn write, so many quarters are on disk.
const TORN: [usize; 3] = [1, 2, 3];

impl Model {
    /// A file beside a journal, both on disk.
    pub(in crate::journal) fn left_by_crash(file: Vec<u8>, journal: Vec<u8>) -> Self {
        Model {
            file,
            name: Name::Journal,
            journal,
            ..Model::default()
        }
    }

    pub(in crate::journal) fn now(&self) -> Vec<u8> {
        let mut file = self.file.clone();
        self.pending.iter().for_each(|step| step.apply(&mut file));
        file
    }

    pub(in crate::journal) fn name(&self) -> Name {
        self.pending_name.unwrap_or(self.name)
    }

    /// Every state that a crash can leave: any subset of the unsynced steps, each complete or torn.
    pub(in crate::journal) fn crashes(&self, quarters: &[usize]) -> Vec<Model> {
        let mut files = Vec::new();
        for kept in 0_u32..1 << self.pending.len() {
            for torn in 0..=self.pending.len() {
                for quarters in quarters {
                    let mut file = self.file.clone();
                    for (number, step) in self.pending.iter().enumerate() {
                        match step {
                            Step::Write(at, bytes) if number == torn => {
                                let len = bytes.len() * quarters / 4;
                                Step::Write(*at, bytes[..len].to_vec()).apply(&mut file);
                            }
                            _ if kept & 1 << number != 0 => step.apply(&mut file),
                            _ => {}
                        }
                    }
                    files.push(file);
                    if torn == self.pending.len() {
                        break;
                    }
                }
            }
        }
        files.sort();
        files.dedup();
        let mut journals = vec![self.journal.clone()];
        if let Some(whole) = &self.pending_journal {
            // The length and the bytes can reach the disk in either order.
            journals.extend([whole.clone(), vec![0; whole.len()]]);
            journals.extend(
                quarters
                    .iter()
                    .map(|q| whole[..whole.len() * q / 4].to_vec()),
            );
        }
        let mut names = vec![self.name];
        names.extend(self.pending_name.filter(|name| *name != self.name));
        let mut states = Vec::new();
        for file in files {
            for &name in &names {
                // Without a name it is gone.
                let journals = match name {
                    Name::None => &[Vec::new()][..],
                    _ => &journals,
                };
                for journal in journals {
                    states.push(Model {
                        file: file.clone(),
                        name,
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
    fn stamp(&mut self) -> Result<Stamp> {
        Ok(Stamp {
            len: self.len()?,
            written: (self.changes, 0),
            changed: (self.changes, 0),
        })
    }
    fn is_named(&mut self) -> Result<bool> {
        Ok(true)
    }
    fn journal_len(&mut self) -> Result<Option<u64>> {
        let bytes = self.pending_journal.as_ref().unwrap_or(&self.journal);
        Ok((self.name() == Name::Journal).then_some(bytes.len() as u64))
    }
    fn read_journal_at(&mut self, buffer: &mut [u8], at: u64) -> Result<()> {
        let bytes = self.pending_journal.as_ref().unwrap_or(&self.journal);
        buffer.copy_from_slice(&bytes[at as usize..at as usize + buffer.len()]);
        Ok(())
    }
    fn create_journal(&mut self) -> Result<()> {
        assert!(self.name() == Name::None, "a journal exists");
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
    fn name_journal(&mut self) -> Result<()> {
        assert!(self.name() == Name::None, "a journal exists");
        self.pending_name = Some(Name::Journal);
        Ok(())
    }
    fn remove_journal(&mut self) -> Result<()> {
        assert!(self.name() == Name::Journal, "there is no journal");
        self.pending_name = Some(Name::None);
        Ok(())
    }
    fn keep_journal(&mut self) -> Result<PathBuf> {
        assert!(self.name() == Name::Journal, "there is no journal");
        self.pending_name = Some(Name::Kept);
        Ok("kept".into())
    }
    fn sync_directory(&mut self) -> Result<()> {
        self.name = self.name();
        self.pending_name = None;
        Ok(())
    }
    fn write_at(&mut self, bytes: &[u8], at: u64) -> Result<()> {
        self.pending.push(Step::Write(at, bytes.to_vec()));
        self.changes += 1;
        Ok(())
    }
    fn set_len(&mut self, len: u64) -> Result<()> {
        self.pending.push(Step::SetLen(len));
        self.changes += 1;
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

/// What happens at a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    /// It fails, and so does every later one.
    Power,
    /// Only it fails.
    Step,
}

/// A disk that fails at some steps.
pub(in crate::journal) struct FailingDisk<D> {
    pub(in crate::journal) disk: D,
    /// The number of steps before the failure.
    left: usize,
    failure: Failure,
    /// How many steps there are from a failed step to the failure of the power, if that follows.
    then: Option<usize>,
    /// How many quarters of its data the failing step writes.
    quarters: usize,
    is_down: bool,
}

impl<D: Disk> FailingDisk<D> {
    pub(in crate::journal) fn power_failure(disk: D, left: usize, quarters: usize) -> Self {
        FailingDisk {
            disk,
            left,
            failure: Failure::Power,
            then: None,
            quarters,
            is_down: false,
        }
    }

    fn failed_step(disk: D, left: usize, quarters: usize, then: Option<usize>) -> Self {
        FailingDisk {
            failure: Failure::Step,
            then,
            ..Self::power_failure(disk, left, quarters)
        }
    }

    /// Counts a step; the error if it fails, and whether a part of it is done then.
    fn step(&mut self) -> Result<(), (Error, bool)> {
        let error = || {
            let cause = io::ErrorKind::StorageFull.into();
            Error::io("use", Path::new("the disk"), cause)
        };
        if self.is_down {
            return Err((error(), false));
        }
        if let Some(left) = self.left.checked_sub(1) {
            self.left = left;
            return Ok(());
        }
        match (self.failure, self.then.take()) {
            (Failure::Power, _) => self.is_down = true,
            (Failure::Step, None) => self.left = usize::MAX,
            (Failure::Step, Some(then)) => {
                self.left = then;
                self.failure = Failure::Power;
            }
        }
        Err((error(), true))
    }

    fn simple<T>(&mut self, work: impl FnOnce(&mut D) -> Result<T>) -> Result<T> {
        self.step().map_err(|(error, _)| error)?;
        work(&mut self.disk)
    }

    fn partly(&mut self, bytes: &[u8], work: impl Fn(&mut D, &[u8]) -> Result<()>) -> Result<()> {
        match self.step() {
            Ok(()) => work(&mut self.disk, bytes),
            Err((error, has_part)) => {
                if has_part {
                    work(&mut self.disk, &bytes[..bytes.len() * self.quarters / 4]).unwrap();
                }
                Err(error)
            }
        }
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
    fn stamp(&mut self) -> Result<Stamp> {
        self.disk.stamp()
    }
    fn is_named(&mut self) -> Result<bool> {
        self.disk.is_named()
    }
    fn journal_len(&mut self) -> Result<Option<u64>> {
        self.disk.journal_len()
    }
    fn read_journal_at(&mut self, buffer: &mut [u8], at: u64) -> Result<()> {
        self.disk.read_journal_at(buffer, at)
    }
    fn create_journal(&mut self) -> Result<()> {
        self.simple(Disk::create_journal)
    }
    fn write_journal(&mut self, bytes: &[u8]) -> Result<()> {
        self.partly(bytes, Disk::write_journal)
    }
    fn sync_journal(&mut self) -> Result<()> {
        self.simple(Disk::sync_journal)
    }
    fn name_journal(&mut self) -> Result<()> {
        self.simple(Disk::name_journal)
    }
    fn remove_journal(&mut self) -> Result<()> {
        self.simple(Disk::remove_journal)
    }
    fn keep_journal(&mut self) -> Result<PathBuf> {
        self.simple(Disk::keep_journal)
    }
    fn sync_directory(&mut self) -> Result<()> {
        self.simple(Disk::sync_directory)
    }
    fn write_at(&mut self, bytes: &[u8], at: u64) -> Result<()> {
        self.partly(bytes, |disk, bytes| disk.write_at(bytes, at))
    }
    fn set_len(&mut self, len: u64) -> Result<()> {
        self.simple(|disk| disk.set_len(len))
    }
    fn sync(&mut self) -> Result<()> {
        self.simple(Disk::sync)
    }
    fn path(&self) -> &Path {
        self.disk.path()
    }
    fn journal_path(&self) -> &Path {
        self.disk.journal_path()
    }
}

fn variable(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// The fixed cases, and random ones.
fn all_cases() -> Vec<Case> {
    let first = variable("OCIFY_SEED", 1);
    let mut all = cases();
    all.extend((first..first + variable("OCIFY_CRASHES", 4)).map(Case::random));
    all
}

/// Restores the file in every state that a crash left, and again after every crash of that. Returns the number of
/// states.
fn recover_all(case: &Case, crashed: &Model, quarters: &[usize], when: &str) -> usize {
    let mut states = 0;
    let crashes = crashed.crashes(quarters);
    let every = crashes.len().div_ceil(NESTED);
    for (number, crashed) in crashes.into_iter().enumerate() {
        states += 1;
        let mut recovered = crashed.clone();
        let recovery = recover(&mut recovered).unwrap();
        assert_ne!(recovery, Recovery::Removed, "{}, {when}", case.name);
        case.check(&recovered.now(), when);
        assert_eq!(recovered.name(), Name::None, "{}, {when}", case.name);
        if number % every != 0 {
            continue;
        }
        for left in 0.. {
            let mut disk = FailingDisk::power_failure(crashed.clone(), left, 2);
            let is_done = recover(&mut disk).is_ok();
            for mut crashed in disk.disk.crashes(&[2]) {
                states += 1;
                recover(&mut crashed).unwrap();
                case.check(&crashed.now(), &format!("{when}, and {left} steps later"));
                assert_eq!(crashed.name(), Name::None, "{}, {when}", case.name);
            }
            if is_done {
                break;
            }
        }
    }
    states
}

#[test]
fn a_power_failure_at_any_step_leaves_the_old_or_the_new_file() {
    let mut states = 0;
    for case in all_cases() {
        let steps = case.steps();
        // Create, write, sync and name the journal; sync the directory; the writes; set the length; sync the file;
        // remove the journal; sync the directory.
        assert_eq!(steps, 9 + case.writes.len(), "{}", case.name);
        for left in 0..=steps {
            for quarters in [0, 1, 3] {
                let mut disk = FailingDisk::power_failure(case.model(), left, quarters);
                let result = case.rewrite(&mut disk);
                assert_eq!(result.is_ok(), left == steps, "{}, {left}", case.name);
                let when = format!("power failure after {left} steps");
                states += recover_all(&case, &disk.disk, &TORN, &when);
                if result.is_ok() {
                    assert_eq!(disk.disk.now(), case.new, "{}, {when}", case.name);
                    let durable = disk.disk.crashes(&TORN);
                    assert!(durable.iter().all(|crashed| crashed.file == case.new));
                }
            }
        }
    }
    println!("{states} states after power failures");
    assert!(states >= 15_000, "{states}");
}

/// A step fails, and the power fails while the rewrite is undone.
#[test]
fn a_power_failure_after_a_failed_step_leaves_the_old_or_the_new_file() {
    let mut states = 0;
    for case in all_cases() {
        for left in 0..case.steps() {
            for then in 0.. {
                let mut disk = FailingDisk::failed_step(case.model(), left, 2, Some(then));
                case.rewrite(&mut disk).unwrap_err();
                let when = format!("failure of step {left}, and of the power {then} steps later");
                states += disk.disk.crashes(&[2]).len();
                for mut crashed in disk.disk.crashes(&[2]) {
                    recover(&mut crashed).unwrap();
                    case.check(&crashed.now(), &when);
                    assert_eq!(crashed.name(), Name::None, "{}, {when}", case.name);
                }
                if !disk.is_down {
                    break;
                }
            }
        }
    }
    println!("{states} states after failed steps");
    assert!(states >= 2_500, "{states}");
}

#[test]
fn a_rewrite_with_a_failing_step_is_undone() {
    for case in cases() {
        let steps = case.steps();
        for left in 0..steps {
            let mut disk = FailingDisk::failed_step(case.model(), left, 2, None);
            let error = case.rewrite(&mut disk).unwrap_err();
            // If only the last sync fails, the rewrite is complete and is not undone.
            let is_complete = left == steps - 1;
            let expected = if is_complete { &case.new } else { &case.old };
            assert!(disk.disk.now() == *expected, "{}, {left}", case.name);
            assert_eq!(disk.disk.name(), Name::None, "{}, {left}", case.name);
            let says_so = error.hint() == Some(&crate::error::Hint::OutputComplete);
            assert_eq!(says_so, is_complete, "{}, {left}", case.name);
        }
    }
}

/// A damaged journal is kept, and the file is left unchanged, also if the power fails in between.
#[test]
fn a_power_failure_while_a_damaged_journal_is_kept_loses_nothing() {
    let mut states = 0;
    for case in all_cases() {
        for left in 4..case.steps() {
            let mut disk = FailingDisk::power_failure(case.model(), left, 1);
            case.rewrite(&mut disk).unwrap_err();
            let crashes = disk.disk.crashes(&TORN).into_iter();
            for mut crashed in crashes.filter(|crashed| crashed.name == Name::Journal) {
                let at = (left * 7919 + states) % crashed.journal.len();
                crashed.journal[at] ^= 1 << (states % 8);
                let (file, journal) = (crashed.file.clone(), crashed.journal.clone());
                for left in 0.. {
                    let mut disk = FailingDisk::power_failure(crashed.clone(), left, 2);
                    let error = recover(&mut disk).unwrap_err();
                    for crashed in disk.disk.crashes(&TORN) {
                        states += 1;
                        assert_ne!(crashed.name, Name::None, "{}", case.name);
                        assert!(crashed.file == file && crashed.journal == journal);
                        let mut again = crashed.clone();
                        let is_kept = crashed.name == Name::Kept;
                        assert_eq!(recover(&mut again).is_ok(), is_kept, "{}", case.name);
                        assert!(again.now() == file, "{}", case.name);
                    }
                    // A flip of the version looks like a newer journal.
                    if !disk.is_down {
                        let codes = [Code::DamagedJournal, Code::ForeignJournal];
                        assert!(codes.contains(&error.code()), "{error}");
                        break;
                    }
                }
            }
        }
    }
    println!("{states} states with a damaged journal");
    assert!(states >= 1_000, "{states}");
}

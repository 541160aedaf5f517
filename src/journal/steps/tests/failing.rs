//! A disk on which steps fail.

use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::journal::disk::Disk;
use crate::journal::stamp::Stamp;

/// What a disk around another, its field `disk`, leaves to that one: everything that is not a step.
macro_rules! forward_reads {
    () => {
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
        fn path(&self) -> &Path {
            self.disk.path()
        }
        fn journal_path(&self) -> &Path {
            self.disk.journal_path()
        }
    };
}

pub(in crate::journal) use forward_reads;

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
    pub(super) left: usize,
    failure: Failure,
    /// How many steps there are from a failed step to the failure of the power, if that follows.
    then: Option<usize>,
    /// How many quarters of its data the failing step writes.
    quarters: usize,
    pub(super) is_down: bool,
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

    pub(super) fn failed_step(disk: D, left: usize, quarters: usize, then: Option<usize>) -> Self {
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
    forward_reads!();

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
}

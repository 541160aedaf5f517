//! A file and its journal on a disk that loses any part of what was not synced.

use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::journal::disk::Disk;
use crate::journal::stamp::Stamp;

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

/// Of a torn write, so many quarters are on disk.
pub(super) const TORN: [usize; 3] = [1, 2, 3];

impl Model {
    /// A file without a journal, on disk.
    pub(super) fn of(file: Vec<u8>) -> Self {
        Model {
            file,
            ..Model::default()
        }
    }

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
        assert!(self.name() == Name::Journal, "the journal does not exist");
        self.pending_name = Some(Name::None);
        Ok(())
    }
    fn keep_journal(&mut self) -> Result<PathBuf> {
        assert!(self.name() == Name::Journal, "the journal does not exist");
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

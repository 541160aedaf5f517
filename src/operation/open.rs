//! From an input to a graph: the steps that every operation begins with.

use std::path::{Path, PathBuf};

use super::{Notice, Observer, SpoolReason, Stage};
use crate::beneath::{Directory, InputPath};
use crate::codec::Limits;
use crate::error::{Code, IoContext, Result};
use crate::graph::{Graph, resolve_beside_others, resolve_incomplete, resolve_with};
use crate::input::{Source, SpoolOptions, Stream, scan_with};
use crate::inventory::{Inventory, Strictness};
use crate::journal::{Lock, Recovery, place, recover_locked};
use crate::threads::{Jobs, Workers};

/// How inputs are opened and read.
#[derive(Clone, Copy)]
pub(crate) struct Opener<'a> {
    pub(crate) strictness: Strictness,
    /// Limits on decompression.
    pub(crate) limits: Limits,
    /// Where temporary files are; the system's directory for them if there is none.
    pub(crate) spool_directory: Option<&'a Path>,
    /// Whether an input whose in-place fix was interrupted is restored first.
    pub(crate) recovers: bool,
    /// How many threads work.
    pub(crate) jobs: Jobs,
    pub(crate) observer: &'a dyn Observer,
    /// Whether symbolic links in a layout are followed wherever they lead.
    pub(crate) follows_links: bool,
    /// Whether no image needs to be complete, because what they lack may be where they go.
    pub(crate) allows_incomplete: bool,
}

impl Opener<'_> {
    /// The file or directory at a path.
    pub(crate) fn open(&self, path: &InputPath) -> Result<Source> {
        match Source::open_at(path) {
            Err(error) if error.code() == Code::UnfinishedFix && self.recovers => {
                self.recover(path)?;
                Source::open_at(path)
            }
            other => other,
        }
    }

    /// The archive at a path, to be rewritten there.
    pub(crate) fn open_in_place(&self, path: &InputPath) -> Result<Source> {
        let place = match path {
            InputPath::Held(place) => place.clone(),
            InputPath::Named(path) => place(path)?,
        };
        if self.recovers {
            self.recover(&InputPath::Held(place.clone()))?;
        }
        let source = Source::open_in_place_at(&place)?;
        if source.lacks_lock() {
            let path = source.path();
            self.observer.notice(&Notice::Unlocked { path });
        }
        Ok(source)
    }

    fn recover(&self, path: &InputPath) -> Result<()> {
        let (recovery, lock) = recover_locked(path)?;
        let path = &path.path();
        if lock == Lock::Unsupported {
            self.observer.notice(&Notice::Unlocked { path });
        }
        if recovery != Recovery::Nothing {
            self.observer.notice(&Notice::Recovered { path, recovery });
        }
        Ok(())
    }

    /// The directory for temporary files.
    pub(crate) fn spool_directory(&self) -> PathBuf {
        self.spool_directory
            .map_or_else(std::env::temp_dir, Path::to_owned)
    }

    /// The directory that an output is in, or the one for temporary files if it is a stream.
    pub(crate) fn spool_beside(&self, output: Option<&Directory>) -> Result<Directory> {
        let path = self.spool_directory();
        match output {
            Some(directory) => Ok(directory.clone()),
            None => Directory::open(&path).context("open", path),
        }
    }

    /// The source itself, in which links are followed if they are to be, or the archive that it is compressed from.
    pub(crate) fn decompressed(&self, source: Source) -> Result<Source> {
        let source = match self.follows_links {
            true => source.follow_links(true),
            false => source,
        };
        let Some(content) = source.outer_compression()? else {
            return Ok(source);
        };
        let options = SpoolOptions {
            directory: &self.spool_directory(),
            limits: self.limits,
        };
        let progress = self.observer.stage(Stage::Decompressing);
        source.decompress(content, options, &*progress)
    }

    /// An archive that can be read once.
    pub(crate) fn stream(&self, stream: super::Stream) -> Result<Stream> {
        let options = SpoolOptions {
            directory: &self.spool_directory(),
            limits: self.limits,
        };
        Stream::open(stream.reader, &stream.name, options)
    }

    /// A stream as a file that can be read as often as needed.
    pub(crate) fn spooled(&self, stream: Stream, reason: &SpoolReason) -> Result<Source> {
        self.observer.notice(&Notice::Spooled {
            name: stream.path(),
            directory: &self.spool_directory(),
            reason,
        });
        stream.spool(&*self.observer.stage(Stage::Reading))
    }

    fn workers(&self) -> Workers<'_> {
        Workers {
            jobs: self.jobs,
            idle_threads: self.observer.idle_threads(),
        }
    }

    /// What a source contains and means.
    pub(crate) fn resolved(&self, source: &Source) -> Result<Graph> {
        self.meaning(self.scanned(source)?, source)
    }

    /// What a source contains.
    pub(crate) fn scanned(&self, source: &Source) -> Result<Inventory> {
        scan_with(source, self.strictness, self.workers())
    }

    /// What an inventory of a source means.
    pub(crate) fn meaning(&self, inventory: Inventory, source: &Source) -> Result<Graph> {
        let resolve = match self.allows_incomplete {
            true => resolve_incomplete,
            false => resolve_with,
        };
        resolve(inventory, source, self.strictness, self.workers())
    }

    /// What an inventory of one of several sources means. The others may have what its images lack, or the only images.
    pub(crate) fn meaning_beside_others(
        &self,
        inventory: Inventory,
        source: &Source,
    ) -> Result<Graph> {
        resolve_beside_others(inventory, source, self.strictness, self.workers())
    }
}

//! The outputs of a batch that are written, and what is known of earlier ones.

use std::io::Write;
use std::path::{Path, PathBuf};

use ocify::{Result, command::show_path};

use super::options::options_key;
use super::output::OutputDir;
use super::preview::PlannedOutputs;
use super::shard::Shard;
use super::state::{State, StateOptions};
use super::unsynced::UnsyncedNames;
use crate::args::Fix;
use crate::notices;

/// Where outputs go, or would go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct To<'a> {
    /// `None` in place and on a dry run.
    pub(crate) outputs: Option<&'a Outputs>,
    /// On a dry run, the output directory if it exists.
    pub(crate) planned: Option<&'a PlannedOutputs>,
}

/// Where a batch puts its outputs, and what it knows of earlier ones.
#[derive(Debug)]
pub(crate) struct Outputs {
    pub(crate) output_dir: OutputDir,
    pub(crate) state: State,
    /// With --sync: where names are that this run did not sync otherwise.
    unsynced: Option<UnsyncedNames>,
}

impl Outputs {
    /// Opens the output directory for a shard.
    ///
    /// # Errors
    /// Another run has the shard, or something cannot be created or read.
    pub(crate) fn open(output: &Path, args: &Fix, shard: Option<Shard>) -> Result<Outputs> {
        let options = StateOptions {
            shard,
            options: &options_key(args)?,
            syncs: args.sync,
        };
        // A trailing slash would be doubled in paths.
        let output: &Path = &output.components().collect::<PathBuf>();
        // First the state, whose lock keeps others away.
        let state = State::open(output, options)?;
        if state.lacks_lock() {
            notices::show_unlocked(output);
        }
        if state.is_upgraded() {
            let _ = writeln!(
                std::io::stderr(),
                "note: {} was written by an older version of ocify; ocify will rewrite the outputs that it lists",
                show_path(state.path())
            );
        }
        let output_dir = OutputDir::open(output, shard)?;
        Ok(Outputs {
            output_dir,
            state,
            unsynced: args.sync.then(UnsyncedNames::default),
        })
    }

    /// An output has its name, which is to be on disk when the run ends if --sync was given.
    pub(super) fn has_name(&self, relative: &Path) {
        if let Some(unsynced) = &self.unsynced {
            unsynced.add(relative);
        }
    }

    /// Syncs what is still to be synced, and removes everything that is unfinished.
    ///
    /// # Errors
    /// The first error of the system; the rest is done nevertheless.
    pub(crate) fn close(self) -> Result<()> {
        let names = match &self.unsynced {
            Some(unsynced) => unsynced.sync(&self.output_dir),
            None => Ok(()),
        };
        let lines = self.state.sync();
        let closed = self.output_dir.close();
        self.state.close();
        names.and(lines).and(closed)
    }
}

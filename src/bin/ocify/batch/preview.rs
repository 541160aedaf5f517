//! What a dry run of a batch finds in the output directory: what the run would keep, replace or refuse.

use std::path::{Path, PathBuf};

use ocify::{Result, command::HeldPath, command::refuse_irreplaceable};
use rustix::fs::FileType;

use super::options::options_key;
use super::output::{Existing, not_ours};
use super::places::Places;
use super::shard::Shard;
use super::state::{Known, StateOptions};
use crate::args::{CommandName, Fix};
use crate::destination::planned_directory;

/// An output directory that exists. Nothing in it is created or locked.
#[derive(Debug)]
pub(crate) struct PlannedOutputs {
    pub(crate) places: Places,
    pub(crate) known: Known,
}

impl PlannedOutputs {
    /// Opens the output directory; `None` if the run would create it.
    ///
    /// # Errors
    /// The run would refuse it.
    pub(crate) fn open(output: &Path, args: &Fix, shard: Option<Shard>) -> Result<Option<Self>> {
        if !planned_directory(output, CommandName::Fix)? {
            return Ok(None);
        }
        let options = StateOptions {
            shard,
            options: &options_key(args)?,
            syncs: args.sync,
        };
        let output: PathBuf = output.components().collect();
        Ok(Some(PlannedOutputs {
            known: Known::look(&output, options)?,
            places: Places::open(&output)?,
        }))
    }
}

/// Refuses an output under whose name something exists that the run would not replace. `is_same` says whether it has the bytes
/// that the run would write, as far as a dry run knows them.
///
/// # Errors
/// It would be refused.
pub(super) fn refuse(
    existing: Existing,
    place: Option<&HeldPath>,
    kind: FileType,
    is_same: impl FnOnce(&HeldPath) -> bool,
) -> Result<()> {
    let Some(place) = place else {
        return Ok(());
    };
    match existing {
        Existing::Absent | Existing::Replace => Ok(()),
        Existing::Force => refuse_irreplaceable(place, kind),
        Existing::Compare if is_same(place) => Ok(()),
        Existing::Compare => Err(not_ours(place, kind)),
    }
}

//! Who watches an operation, and what it says while it runs.

use std::fmt;
use std::path::Path;

use crate::error::{Result, escape};
use crate::input::Obstacle;
use crate::journal::Recovery;
use crate::progress::{Hidden, Progress};
use crate::threads::IdleThreads;

/// Watches an operation. Every method has a default that does nothing, so an observer implements only
/// what it needs to know.
pub trait Observer: Sync {
    /// A stage begins; what this returns receives its progress, and can stop it.
    fn stage(&self, _stage: Stage) -> Box<dyn Progress + '_> {
        Box::new(Hidden)
    }

    /// Something a user should know happened. It does not change the result.
    fn notice(&self, _notice: &Notice<'_>) {}

    /// Called when the file of an archive is complete, right before it is renamed into place. After an error it
    /// is not renamed, and nothing is left behind.
    ///
    /// # Errors
    /// Whatever should keep the output from appearing.
    fn confirm(&self) -> Result<()> {
        Ok(())
    }

    /// Threads of the caller that may help while they are idle.
    fn idle_threads(&self) -> Option<&IdleThreads> {
        None
    }
}

/// An observer that ignores everything.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unobserved;

impl Observer for Unobserved {}

/// Part of an operation that takes time in proportion to bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// A compressed archive is decompressed into a temporary file. Counts compressed bytes.
    Decompressing,
    /// A stream is kept in a temporary file. Counts the bytes of the stream.
    Reading,
    /// A stream passes from the input to the output. Counts the bytes of blobs.
    Streaming,
    /// Layers are recompressed. Counts the bytes that they had before.
    Compressing,
    /// Blobs are verified where they are. Counts their bytes.
    Verifying,
    /// A new output is written. Counts the bytes of blobs.
    Writing,
    /// Blobs are sent to registries. Counts their bytes, also of those that a registry has already.
    Sending,
}

impl Stage {
    /// What the operation is doing, in lower case: `decompressing`.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Decompressing => "decompressing",
            Stage::Reading => "reading",
            Stage::Streaming => "streaming",
            Stage::Compressing => "compressing",
            Stage::Verifying => "verifying",
            Stage::Writing => "writing",
            Stage::Sending => "sending",
        }
    }
}

/// Something that a user should know, and that is not in the result.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Notice<'a> {
    /// An in-place fix of the input was interrupted, and the file was restored.
    #[non_exhaustive]
    Recovered {
        /// The input.
        path: &'a Path,
        /// What was found; not [`Recovery::Nothing`].
        recovery: Recovery,
    },
    /// The filesystem has no locks, so nothing keeps other processes away from an input that is fixed in place or
    /// restored.
    #[non_exhaustive]
    Unlocked {
        /// The input.
        path: &'a Path,
    },
    /// A stream cannot be processed in one pass, and is kept in a temporary file first.
    #[non_exhaustive]
    Spooled {
        /// What messages call the stream.
        name: &'a Path,
        /// The directory that holds the temporary file.
        directory: &'a Path,
        /// Why.
        reason: &'a SpoolReason,
    },
}

/// Why a stream was kept in a temporary file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SpoolReason {
    /// The output is not a stream.
    SortedOutput,
    /// Layers may have to be recompressed.
    Recompression,
    /// Images may have to be left out.
    Selection,
    /// Attestations may have to be left out.
    Attestations,
    /// Blobs that nothing refers to may have to be left out.
    Orphans,
    /// Images that lack content may have to be left out.
    MissingContent,
    /// A file that is not a blob comes before any blob, as in an archive of `docker save` before 25.
    FileBeforeBlobs(String),
    /// The first blob comes late.
    LateBlob,
    /// It is merged with other inputs.
    Merge,
    /// It is checked, which needs documents whose place is not known.
    Check,
    /// Its contents are listed, which needs documents whose place is not known.
    Inspect,
    /// It is divided among several outputs.
    Split,
    /// It is pushed, which reads a blob again if a connection breaks.
    Push,
}

impl SpoolReason {
    /// What keeps a stream from being processed in one pass.
    pub(crate) fn of(obstacle: Obstacle) -> Self {
        match obstacle {
            Obstacle::FileBeforeBlobs(name) => SpoolReason::FileBeforeBlobs(name),
            Obstacle::LateBlob => SpoolReason::LateBlob,
        }
    }
}

impl fmt::Display for SpoolReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SpoolReason::SortedOutput => "the output is not a stream, so ocify sorts its entries",
            SpoolReason::Recompression => "layers may have to be recompressed",
            SpoolReason::Selection => "images may have to be removed",
            SpoolReason::Attestations => "attestations may have to be removed",
            SpoolReason::Orphans => "blobs that nothing refers to may have to be removed",
            SpoolReason::MissingContent => "images with missing content may have to be removed",
            SpoolReason::FileBeforeBlobs(name) => {
                return write!(f, "the file {} comes before the first blob", escape(name));
            }
            SpoolReason::LateBlob => "its first blob comes too late",
            SpoolReason::Merge => "it is merged with other inputs",
            SpoolReason::Check | SpoolReason::Inspect => "it is read several times",
            SpoolReason::Split => "it is split into several outputs",
            SpoolReason::Push => "it is pushed to a registry",
        })
    }
}

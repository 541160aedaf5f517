//! The metadata file.

use std::path::Path;

use ocify::{Hint, Result, Summary, command::metadata};

use crate::files;
use crate::interrupt::Interrupt;

/// Writes the metadata of an output that is complete.
pub(crate) fn write(path: &Path, plan: &Summary, interrupt: &Interrupt) -> Result<()> {
    let written = files::write(path, "write metadata file", interrupt, |out| {
        metadata::render(plan, out)
    });
    written.map_err(|error| error.with_hint(Hint::OutputComplete))
}

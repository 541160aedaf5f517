//! The metadata file.

use std::io;
use std::path::Path;

use ocify::{Hint, Result, Summary, command::metadata::Metadata};

use crate::files;
use crate::interrupt::Interrupt;

/// Writes the metadata of an output that is complete.
pub(crate) fn write(path: &Path, plan: &Summary, interrupt: &Interrupt) -> Result<()> {
    let written = files::write(path, "write metadata file", interrupt, |out| {
        serde_json::to_writer_pretty(&mut *out, &Metadata::from(plan)).map_err(io::Error::from)?;
        out.write_all(b"\n")
    });
    written.map_err(|error| error.with_hint(Hint::OutputComplete))
}

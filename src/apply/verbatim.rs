//! Writes the input's own bytes, where nothing in them has to change.

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::target::Target;
use super::{ApplyOptions, Verify, archive, verify};
use crate::error::{Error, IoContext, Result};
use crate::input::{Source, archive_ended};
use crate::plan::Plan;
use crate::progress::Progress;

/// How many bytes are copied at a time.
const PIECE: usize = 128 << 10;

pub(super) fn write(
    plan: &Plan,
    source: &Source,
    input: &File,
    target: &Target,
    options: &ApplyOptions,
    progress: &dyn Progress,
) -> Result<()> {
    if options.verify != Verify::Documents {
        verify::verify(plan, source, options, progress)?;
    }
    let output = archive::create(target)?;
    let len = input.metadata().context("read", source.path())?.len();
    let mut buffer = vec![0; PIECE];
    let mut at = 0;
    while at < len {
        if progress.is_stopped() {
            return Err(Error::interrupted());
        }
        let count = usize::try_from(len - at).unwrap_or(PIECE).min(PIECE);
        let read = input.read_at(&mut buffer[..count], at);
        let count = read.context("read", source.path())?;
        if count == 0 {
            return Err(archive_ended(source.path(), at));
        }
        let written = output.file().write_all_at(&buffer[..count], at);
        written.context("write", target.path())?;
        at += count as u64;
    }
    archive::publish(output, target, options)
}

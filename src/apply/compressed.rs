//! Writes a new archive that is compressed as a whole: entries in order, through one encoder.

use super::sequence::Sequence;
use super::target::Target;
use super::{ApplyOptions, archive};
use crate::codec::{Encoder, EncoderOptions};
use crate::error::{IoContext, Result};
use crate::image::Compression;
use crate::input::Source;
use crate::plan::Plan;
use crate::progress::Progress;

pub(super) fn write(
    plan: &Plan,
    source: &Source,
    target: &Target,
    compression: Compression,
    options: &ApplyOptions<'_>,
    progress: &dyn Progress,
) -> Result<()> {
    let path = &target.path();
    let output = archive::create(target)?;
    let file = output.file().try_clone().context("write", path)?;
    let encoder_options = EncoderOptions {
        threads: options.jobs.get(),
        idle_threads: options.idle_threads,
        ..EncoderOptions::default()
    };
    let encoder = Encoder::new(compression, encoder_options, file);
    let encoder = encoder.context("write", path)?;
    let encoder =
        Sequence::new(encoder, path, options).write_all(plan, source, options, progress)?;
    encoder.finish().context("write", path)?;
    archive::publish(output, target, options)
}

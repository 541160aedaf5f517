//! Writes a new archive that is compressed as a whole: entries in order, through one encoder.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

use super::archive::Output;
use super::copy::{changed_len, check_digest};
use super::target::Target;
use super::{ApplyOptions, Verify, body_len};
use crate::compression::Compression;
use crate::compression::{Encoder, EncoderOptions};
use crate::digest::{Digest, Hasher};
use crate::error::{Error, IoContext, Result};
use crate::header::{END_LEN, canonical, padding};
use crate::inventory::Location;
use crate::plan::{Body, Plan};
use crate::progress::Progress;
use crate::read::Source;

/// One read.
const PIECE: usize = 128 << 10;

pub(super) fn write(
    plan: &Plan,
    source: &Source,
    target: &Target,
    compression: Compression,
    options: &ApplyOptions<'_>,
    progress: &dyn Progress,
) -> Result<()> {
    let output = Output::create(target)?;
    let file = output.file().try_clone().context("write", target.path())?;
    let encoder_options = EncoderOptions {
        threads: options.jobs,
        spare: options.spare,
        ..EncoderOptions::default()
    };
    let encoder = Encoder::new(compression, encoder_options, file);
    let mut writer = Writer {
        encoder: encoder.context("write", target.path())?,
        source,
        target,
        progress,
        verify: options.verify,
    };
    for entry in &plan.entries {
        let len = body_len(entry);
        writer.bytes(&canonical(&entry.name, entry.body == Body::Directory, len))?;
        match &entry.body {
            Body::Directory => {}
            Body::Bytes(bytes) => writer.bytes(bytes)?,
            Body::Blob { digest, location } => writer.blob(&entry.name, digest, location, len)?,
        }
        writer.zeros(padding(len))?;
    }
    writer.zeros(END_LEN)?;
    writer.encoder.finish().context("write", target.path())?;
    output.publish(target, options)
}

struct Writer<'a> {
    encoder: Encoder<'a, File>,
    source: &'a Source,
    target: &'a Target,
    progress: &'a dyn Progress,
    verify: Verify,
}

impl Writer<'_> {
    fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        let written = self.encoder.write_all(bytes);
        written.context("write", self.target.path())
    }

    fn zeros(&mut self, len: u64) -> Result<()> {
        self.bytes(&vec![0; usize::try_from(len).unwrap_or(0)])
    }

    fn blob(&mut self, name: &str, digest: &Digest, location: &Location, len: u64) -> Result<()> {
        let (input, start) = self.source.open_blob(location)?;
        let mut hasher = Hasher::new(digest.algorithm());
        let mut buffer = vec![0; PIECE];
        let mut done = 0;
        while done < len {
            if self.progress.is_stopped() {
                return Err(Error::interrupted());
            }
            let piece = PIECE.min(usize::try_from(len - done).unwrap_or(PIECE));
            let count = match input.read_at(&mut buffer[..piece], start + done) {
                Ok(0) => return Err(changed_len(name, location, len, done)),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Error::io("read", self.source.path(), error)),
            };
            if self.verify == Verify::Full {
                hasher.update(&buffer[..count]);
            }
            self.bytes(&buffer[..count])?;
            self.progress.advance(count as u64);
            done += count as u64;
        }
        match self.verify {
            Verify::Full => check_digest(name, digest, &hasher.finish()),
            Verify::Documents => Ok(()),
        }
    }
}

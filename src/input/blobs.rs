//! The blobs of an archive or a layout directory, as a graph reads them.

use std::os::unix::fs::FileExt;

use super::{HASH_PIECE, Source, content_inside};
use crate::error::{Code, Error, Hint, Result, show_path};
use crate::image::{Algorithm, Content, Digest, Hasher, sniff};
use crate::inventory::{BlobEntry, BlobSource, DataLocation};

impl BlobSource for Source {
    fn read_blob(&self, blob: &BlobEntry, max_len: u64) -> Result<Vec<u8>> {
        if blob.len > max_len {
            let error = Error::new(
                Code::DocumentTooLarge,
                format!(
                    "{} in {} has {} bytes, expected at most {max_len}",
                    self.describe(&blob.data),
                    show_path(&self.path),
                    blob.len
                ),
            )
            .with_path(&self.path)
            .with_expected(max_len)
            .with_found(blob.len)
            .with_hint(Hint::ShrinkDocument);
            return Err(match &blob.data {
                DataLocation::Offset(offset) => error.with_byte(*offset),
                DataLocation::File(name) => error.with_entry(name),
                _ => error,
            });
        }
        self.read_range(&blob.data, blob.len)
    }

    fn identify(&self, data: &DataLocation, len: u64) -> Result<BlobEntry> {
        let head = self.head(data, len)?;
        Ok(BlobEntry {
            len,
            data: data.clone(),
            content: sniff(&head),
        })
    }

    fn shared(&self) -> Option<&(dyn BlobSource + Sync)> {
        Some(self)
    }

    fn content_inside(&self, _digest: &Digest, blob: &BlobEntry) -> Result<Option<Content>> {
        content_inside(blob, |len| self.read_range(&blob.data, len))
    }

    fn digest_of(&self, blob: &BlobEntry, algorithm: Algorithm) -> Result<Digest> {
        let (file, mut offset) = self.open_blob(&blob.data)?;
        let mut hasher = Hasher::new(algorithm);
        let mut buffer = vec![0; HASH_PIECE];
        let end = offset + blob.len;
        while offset < end {
            let count = usize::try_from(end - offset)
                .unwrap_or(usize::MAX)
                .min(HASH_PIECE);
            file.read_exact_at(&mut buffer[..count], offset)
                .map_err(|error| self.short(&blob.data, error))?;
            hasher.update(&buffer[..count]);
            offset += count as u64;
        }
        Ok(hasher.finish())
    }
}

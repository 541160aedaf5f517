//! The bytes of layers, and their digests.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use walkdir::WalkDir;

use super::{MIB, Result};

/// The bytes of this machine's files, over and over.
pub(crate) struct Files {
    paths: Vec<PathBuf>,
    next: usize,
}

impl Files {
    pub(crate) fn new(root: &Path) -> Self {
        let entries = WalkDir::new(root).sort_by_file_name().into_iter().flatten();
        let paths = entries
            .filter(|entry| entry.file_type().is_file())
            .map(walkdir::DirEntry::into_path)
            .collect();
        Files { paths, next: 0 }
    }

    /// Writes a tar of at least `len` bytes of files. `prefix` makes it unlike the others.
    pub(crate) fn write_tar(&mut self, prefix: &str, len: u64, out: impl Write) -> Result<()> {
        let mut tar = tar::Builder::new(out);
        let mut written = 0;
        while written < len {
            let path = self.paths.get(self.next % self.paths.len().max(1));
            let path = path.ok_or_else(|| io::Error::other("/usr has no files"))?;
            self.next += 1;
            let mut bytes = Vec::new();
            // A file that vanished or may not be read is no reason to stop.
            if File::open(path)
                .and_then(|mut file| file.read_to_end(&mut bytes))
                .is_err()
            {
                continue;
            }
            // No single file makes the sizes of layers uneven.
            bytes.truncate(usize::try_from((len - written).min(64 * MIB)).unwrap_or(usize::MAX));
            let mut header = tar::Header::new_gnu();
            header.set_mode(0o644);
            header.set_size(bytes.len() as u64);
            written += 1024 + bytes.len() as u64;
            tar.append_data(
                &mut header,
                format!("{prefix}/{}", self.next),
                bytes.as_slice(),
            )?;
        }
        tar.into_inner()?.flush()
    }
}

/// Hashes what passes.
pub(crate) struct Hashing<W> {
    inner: W,
    hasher: Sha256,
    pub(crate) len: u64,
}

impl<W: Write> Hashing<W> {
    pub(crate) fn new(inner: W) -> Self {
        Hashing {
            inner,
            hasher: Sha256::new(),
            len: 0,
        }
    }

    pub(crate) fn descriptor(self, media_type: &str) -> (W, Descriptor) {
        let hex: String = self
            .hasher
            .finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        (
            self.inner,
            Descriptor {
                media_type: media_type.to_owned(),
                hex,
                len: self.len,
            },
        )
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.len += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> Result<()> {
        self.inner.flush()
    }
}

pub(crate) struct Descriptor {
    pub(crate) media_type: String,
    pub(crate) hex: String,
    pub(crate) len: u64,
}

impl Descriptor {
    pub(crate) fn of(bytes: &[u8], media_type: &str) -> Result<Self> {
        let mut hashing = Hashing::new(io::sink());
        hashing.write_all(bytes)?;
        Ok(hashing.descriptor(media_type).1)
    }

    pub(crate) fn json(&self, more: &str) -> String {
        format!(
            r#"{{"mediaType":"{}","digest":"sha256:{}","size":{}{more}}}"#,
            self.media_type, self.hex, self.len
        )
    }
}

//! An archive that passes by once, as standard input does.
//!
//! Blobs that cannot be documents go to a sink as they come, and what may be one is buffered. What
//! cannot be done in one pass is kept in a temporary file first.

mod held;
mod incoming;
mod passing;
mod refused;

use std::collections::{HashMap, HashSet};
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

use self::held::Held;
pub(super) use self::incoming::Incoming;
pub(crate) use self::passing::PassingBlob;
use self::passing::{PIECE, Passing, may_be_document};
use super::archive::{Contents, Listing, check_end, kind};
use super::classify::{self, Item};
use super::form::Order;
use super::other_format::refuse_other_formats;
use super::outer::Outer;
use super::spool::spool;
use super::{DOCUMENT_CAP, Source, SpoolOptions, content_inside, require_root};
use crate::codec::Limits;
use crate::error::{Error, IoContext, Result, show_path};
use crate::image::{Algorithm, Content, Digest, Hasher, SNIFF_LEN, sniff, sniff_compression};
use crate::inventory::{BlobEntry, BlobSource, DataLocation, ExtraKind, Inventory, Strictness};
use crate::location::RootName;
use crate::progress::Progress;
use crate::tar::{self, BLOCK, Entries, Input};

/// How far to search for the first blob. Everything before it is kept in memory.
const AHEAD: usize = 8 << 20;

/// An archive that passes by once.
#[derive(Debug)]
pub(crate) struct Stream {
    path: PathBuf,
    directory: PathBuf,
    limits: Limits,
    /// What the archive is compressed with as a whole.
    outer: Option<Content>,
    incoming: Incoming,
    held: Held,
    /// What compressed blobs that have passed decompress to, if that is not a tar.
    not_tars: HashMap<Digest, Content>,
    /// Whether blobs that were written were verified.
    verifies: bool,
}

/// Why an archive cannot be processed in one pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Obstacle {
    /// The file of this name, which is not a blob, comes before any blob.
    FileBeforeBlobs(String),
    /// The first blob comes late.
    LateBlob,
}

/// Takes blobs while an archive passes.
pub(crate) trait BlobSink {
    /// Takes one blob: reads it to its end, and verifies it if requested.
    ///
    /// # Errors
    /// The blob is damaged or ends early; it cannot be written.
    fn take(&mut self, digest: &Digest, blob: &mut PassingBlob<'_>) -> Result<()>;

    /// Whether it verifies each blob against its digest.
    fn verifies(&self) -> bool;
}

impl Stream {
    /// Begins to read an archive, whose first bytes show how it is compressed as a whole. `path` is
    /// what messages call it; the options are for decompression, and for what has to be kept.
    ///
    /// # Errors
    /// It cannot be read, or does not begin like an archive.
    pub(crate) fn open(
        mut input: impl Read + Send + 'static,
        path: &Path,
        options: SpoolOptions<'_>,
    ) -> Result<Stream> {
        let mut head = Vec::new();
        (&mut input)
            .take(SNIFF_LEN as u64)
            .read_to_end(&mut head)
            .context("read", path)?;
        let compression = sniff_compression(&head);
        let whole = Cursor::new(head).chain(input);
        let outer = Outer::new(
            path,
            compression.unwrap_or(Content::Other),
            whole,
            None,
            options.limits,
        )?;
        let mut incoming = Incoming::new(path, outer);
        let mut head = [0; SNIFF_LEN];
        let count = incoming.fill(&mut head)?;
        refuse_other_formats(path, &head[..count], compression)?;
        Ok(Stream {
            path: path.to_owned(),
            directory: options.directory.to_owned(),
            limits: options.limits,
            outer: compression,
            incoming,
            held: Held::new(path, options),
            not_tars: HashMap::new(),
            verifies: false,
        })
    }

    /// What messages call the archive.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Why this archive cannot be handled in one pass: layers are known by their digests only if
    /// they are named so. The first file that is not a root file shows it.
    ///
    /// # Errors
    /// The archive is damaged there.
    pub(crate) fn obstacle(&mut self) -> Result<Option<Obstacle>> {
        self.incoming.rewind();
        let first = self.first_file();
        self.incoming.rewind();
        first.map_err(|error| self.incoming.explain(error))
    }

    fn first_file(&mut self) -> Result<Option<Obstacle>> {
        let mut listing = Listing::new(Order::BlobsFirst);
        let mut entries = Entries::new(&mut self.incoming);
        while let Some(entry) = entries.next()? {
            let name = listing.header(&self.path, &entry)?;
            if RootName::of(&name.text).is_some() {
                classify::refuse_large_root(&self.path, &name.text, entry.len)?;
            } else if !matches!(
                kind(&entry, DataLocation::Written),
                ExtraKind::Directory | ExtraKind::Other
            ) {
                let is_blob = Digest::from_any_blob_name(&name.text).is_some();
                return Ok((!is_blob).then_some(Obstacle::FileBeforeBlobs(name.text)));
            }
            if entries.input().ahead_len() > AHEAD {
                return Ok(Some(Obstacle::LateBlob));
            }
        }
        Ok(None)
    }

    /// Keeps the archive in a temporary file, from where it can be read as often as needed.
    ///
    /// # Errors
    /// The data is damaged, ends early or becomes larger than the limits allow; the directory has no
    /// space.
    pub(crate) fn spool(self, progress: &dyn Progress) -> Result<Source> {
        let Stream {
            path,
            directory,
            limits,
            outer,
            mut incoming,
            ..
        } = self;
        incoming.settle();
        progress.start(0);
        let file = spool(&directory, |buffer| {
            let count = incoming.take(buffer)?;
            if incoming.offset() > limits.max_size {
                return Err(limits.kept_error(show_path(&path)).with_path(&path));
            }
            progress.advance(incoming.take_count());
            Ok(count)
        });
        progress.finish();
        Ok(Source {
            outer,
            ..Source::of(file?, &path)?
        })
    }

    /// Lists everything in the archive while it passes, and hands blobs that cannot be documents to
    /// the sink. Afterwards the stream returns what it buffered.
    ///
    /// # Errors
    /// Those of [`scan`](super::scan), those of the sink, and an archive that has to be in a file.
    pub(crate) fn scan(
        &mut self,
        strictness: Strictness,
        sink: &mut dyn BlobSink,
    ) -> Result<Inventory> {
        self.verifies = sink.verifies();
        let scanned = self.scan_entries(strictness, sink);
        scanned.map_err(|error| self.incoming.explain(error))
    }

    fn scan_entries(
        &mut self,
        strictness: Strictness,
        sink: &mut dyn BlobSink,
    ) -> Result<Inventory> {
        let Stream {
            path,
            incoming,
            held,
            not_tars,
            ..
        } = self;
        incoming.settle();
        let mut listing = Listing::new(Order::BlobsFirst);
        let mut written = HashSet::new();
        let mut entries = Entries::new(incoming);
        while let Some(entry) = entries.next()? {
            let name = listing.header(path, &entry)?;
            let mut content = None;
            let mut kind = kind(&entry, DataLocation::Written);
            let mut passing = Passing {
                incoming: entries.input(),
                held,
                not_tars,
                written: &mut written,
                entry: &entry,
                name: &name.text,
                digest: name.digest.as_ref(),
            };
            match &mut kind {
                ExtraKind::File(data) => {
                    (*data, content) = passing.file(strictness, sink)?;
                }
                // Bytes that mean nothing here may still follow.
                ExtraKind::Other => drop(passing.passed(Algorithm::Sha256)?),
                _ => {}
            }
            let mut padding = [0; BLOCK];
            let expected = tar::padding(entry.len) as usize;
            let found =
                (entries.input()).read(&mut padding[..expected], entry.data_at + entry.len)?;
            listing.padding(&padding[..found], expected);
            listing.add(name, kind, entry.len, content);
        }
        let end = entries.position();
        let position = incoming.offset();
        let outer = incoming.compression();
        check_end(incoming, end, position, outer)?;
        let len = incoming.offset();
        let mut inventory = listing.finish(self, strictness, end, len)?;
        inventory.outer_compression = self.outer;
        require_root(&inventory, self, &self.path)?;
        Ok(inventory)
    }

    fn passed_by(&self, what: &str) -> Error {
        refused::passed_by(&self.path, what)
    }

    /// A file that was kept, to be read.
    ///
    /// # Errors
    /// It was not kept.
    pub(crate) fn kept(&self, data: &DataLocation) -> Result<KeptFile<'_>> {
        match data {
            DataLocation::Buffered(number) => Ok(KeptFile {
                held: &self.held,
                number: *number,
                from: 0,
            }),
            _ => Err(self.passed_by("a file that is needed again")),
        }
    }

    /// Whether a blob that was kept would have gone to the sink if it had come under its own name.
    ///
    /// # Errors
    /// It was not kept, or cannot be read.
    pub(crate) fn may_pass(&self, data: &DataLocation, len: u64) -> Result<bool> {
        let mut head = [0; SNIFF_LEN];
        let count = self.kept(data)?.read(&mut head)?;
        let head = &head[..count];
        Ok(len > DOCUMENT_CAP || !may_be_document(sniff(head), head))
    }

    fn held_digest(&self, number: usize, algorithm: Algorithm) -> Result<Digest> {
        let mut hasher = Hasher::new(algorithm);
        let mut buffer = vec![0; PIECE];
        let mut kept = self.kept(&DataLocation::Buffered(number))?;
        loop {
            match kept.read(&mut buffer)? {
                0 => return Ok(hasher.finish()),
                count => hasher.update(&buffer[..count]),
            }
        }
    }
}

/// A file that a stream has kept.
#[derive(Debug)]
pub(crate) struct KeptFile<'a> {
    held: &'a Held,
    number: usize,
    from: u64,
}

impl KeptFile<'_> {
    /// Fills the buffer with the next bytes; with fewer only at the end.
    ///
    /// # Errors
    /// The temporary file cannot be read.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let count = self.held.read_at(self.number, buffer, self.from)?;
        self.from += count as u64;
        Ok(count)
    }
}

impl Contents for Stream {
    fn path(&self) -> &Path {
        &self.path
    }

    fn is_equal(&self, a: &Item, b: &Item) -> Result<bool> {
        if a.len != b.len {
            return Ok(false);
        }
        match (&a.kind, &b.kind) {
            (
                ExtraKind::File(DataLocation::Buffered(a_number)),
                ExtraKind::File(DataLocation::Buffered(b_number)),
            ) => {
                let digest = |number: &usize| self.held_digest(*number, Algorithm::Sha256);
                Ok(digest(a_number)? == digest(b_number)?)
            }
            // Blobs of one name that were written both had its digest.
            (a, b) => Ok(a == b),
        }
    }

    fn may_rename(&self) -> bool {
        false
    }
}

impl BlobSource for Stream {
    fn read_blob(&self, blob: &BlobEntry, max_len: u64) -> Result<Vec<u8>> {
        match &blob.data {
            DataLocation::Buffered(number) if blob.len <= max_len => {
                self.held.read(*number, usize::MAX)
            }
            DataLocation::Buffered(_) => Err(refused::too_large(&self.path, blob, max_len)),
            DataLocation::Written => Err(refused::no_document(&self.path, blob)),
            _ => Err(self.passed_by("a file that is needed again")),
        }
    }

    fn identify(&self, data: &DataLocation, len: u64) -> Result<BlobEntry> {
        let DataLocation::Buffered(number) = data else {
            return Err(self.passed_by("a file that manifest.json names"));
        };
        Ok(BlobEntry {
            len,
            data: data.clone(),
            content: sniff(&self.held.read(*number, SNIFF_LEN)?),
        })
    }

    fn content_inside(&self, digest: &Digest, blob: &BlobEntry) -> Result<Option<Content>> {
        match &blob.data {
            // Reached through a link or by manifest.json.
            DataLocation::Buffered(number) => content_inside(blob, |len| {
                let len = usize::try_from(len).unwrap_or(usize::MAX);
                self.held.read(*number, len)
            }),
            _ => Ok(self.not_tars.get(digest).copied()),
        }
    }

    fn digest_of(&self, blob: &BlobEntry, algorithm: Algorithm) -> Result<Digest> {
        match &blob.data {
            DataLocation::Buffered(number) => self.held_digest(*number, algorithm),
            _ => Err(self.passed_by("a blob that is needed again")),
        }
    }

    fn has_verified(&self, blob: &BlobEntry) -> bool {
        self.verifies && blob.data == DataLocation::Written
    }
}

#[cfg(test)]
mod tests;

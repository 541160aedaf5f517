//! An archive that passes by once, as standard input does.
//!
//! Blobs that cannot be documents go to a sink as they come, and what may be one is buffered. What
//! cannot be done in one pass is kept in a temporary file first.

mod held;
mod incoming;
mod refused;

use std::collections::HashSet;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

use self::held::Held;
pub(super) use self::incoming::Incoming;
use super::archive::{Contents, Listing, check_end, kind, refuse_other_formats, stands_twice};
use super::classify::{self, Item};
use super::form::Order;
use super::outer::Outer;
use super::spool::spool;
use super::{DOCUMENT_CAP, Source, SpoolOptions, require_root};
use crate::error::{Code, Error, IoContext, Result, escape};
use crate::image::{Algorithm, Content, Digest, Hasher, SNIFF_LEN, sniff, sniff_compression};
use crate::inventory::{BlobEntry, BlobSource, DataLocation, ExtraKind, Inventory, Strictness};
use crate::location::RootName;
use crate::progress::Progress;
use crate::tar::{self, BLOCK, Entries, Entry, Input, ends_inside};

/// How many bytes are hashed at a time.
const PIECE: usize = 64 << 10;
/// How far to search for the first blob. Everything before it is kept in memory.
const AHEAD: usize = 8 << 20;

/// An archive that passes by once.
#[derive(Debug)]
pub(crate) struct Stream {
    path: PathBuf,
    directory: PathBuf,
    /// What the archive is compressed with as a whole.
    outer: Option<Content>,
    incoming: Incoming,
    held: Held,
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
}

/// A blob that is passing.
#[derive(Debug)]
pub(crate) struct PassingBlob<'a> {
    incoming: &'a mut Incoming,
    name: &'a str,
    head: &'a [u8],
    data_at: u64,
    len: u64,
    done: u64,
}

impl PassingBlob<'_> {
    /// The length in bytes, as the archive states it.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Fills the buffer with the next bytes; with fewer only at the blob's end.
    ///
    /// # Errors
    /// The archive ends first, or cannot be read.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let left = usize::try_from(self.len - self.done).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        let given = usize::try_from(self.done).unwrap_or(usize::MAX);
        let head = self.head.get(given..).unwrap_or_default();
        let count = head.len().min(wanted);
        buffer[..count].copy_from_slice(&head[..count]);
        let found = count + self.incoming.fill(&mut buffer[count..wanted])?;
        self.done += found as u64;
        if found < wanted {
            let path = self.incoming.path();
            return Err(ends_inside(
                path,
                self.name,
                self.len,
                self.data_at,
                self.done,
            ));
        }
        Ok(found)
    }
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
        refuse_other_formats(path, &head[..count])?;
        Ok(Stream {
            path: path.to_owned(),
            directory: options.directory.to_owned(),
            outer: compression,
            incoming,
            held: Held::new(options.directory.to_owned()),
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
        first
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
                let is_blob = name.digest.is_some();
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
    /// The data is damaged, ends early or becomes larger than the ratio allows; the directory has no
    /// space.
    pub(crate) fn spool(self, progress: &dyn Progress) -> Result<Source> {
        let Stream {
            path,
            directory,
            outer,
            mut incoming,
            ..
        } = self;
        incoming.settle();
        progress.start(0);
        let file = spool(&directory, |buffer| {
            let count = incoming.take(buffer)?;
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
        let Stream {
            path,
            incoming,
            held,
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
        check_end(incoming, end, position)?;
        let len = incoming.offset();
        let mut inventory = listing.finish(self, strictness, end, len)?;
        inventory.outer_compression = self.outer;
        require_root(&inventory, &self.path)?;
        Ok(inventory)
    }

    fn passed_by(&self, what: &str) -> Error {
        refused::passed_by(&self.path, what)
    }
}

/// One entry whose bytes come next.
struct Passing<'a> {
    incoming: &'a mut Incoming,
    held: &'a mut Held,
    /// The blobs that went to the sink.
    written: &'a mut HashSet<Digest>,
    entry: &'a Entry,
    name: &'a str,
    /// The digest that a blob's name states.
    digest: Option<&'a Digest>,
}

impl Passing<'_> {
    /// Where the bytes of a file go, and what a blob's first ones say.
    fn file(
        &mut self,
        strictness: Strictness,
        sink: &mut dyn BlobSink,
    ) -> Result<(DataLocation, Option<Content>)> {
        if RootName::of(self.name).is_some() {
            classify::refuse_large_root(self.incoming.path(), self.name, self.entry.len)?;
            return Ok((self.hold(&[])?, None));
        }
        let Some(digest) = self.digest else {
            return Ok((
                DataLocation::Skipped(Box::new(self.passed(Algorithm::Sha256)?)),
                None,
            ));
        };
        let mut head = [0; SNIFF_LEN];
        let count = self.blob(&[]).read(&mut head)?;
        let head = &head[..count];
        let content = sniff(head);
        if self.entry.len <= DOCUMENT_CAP && may_be_document(content, head) {
            return Ok((self.hold(head)?, Some(content)));
        }
        if self.written.contains(digest) {
            self.again(digest, head, strictness)?;
            return Ok((DataLocation::Written, Some(content)));
        }
        let mut blob = self.blob(head);
        sink.take(digest, &mut blob)?;
        if blob.done < blob.len {
            return Err(Error::new(
                Code::SizeMismatch,
                format!("{} was not read to the end", escape(self.name)),
            )
            .with_entry(self.name));
        }
        self.written.insert(digest.clone());
        Ok((DataLocation::Written, Some(content)))
    }

    /// A blob with the name of an earlier one: only one that matches the digest can be the same.
    fn again(&mut self, digest: &Digest, head: &[u8], strictness: Strictness) -> Result<()> {
        let found = hashed(self.blob(head), digest.algorithm())?;
        if found == *digest {
            return Ok(());
        }
        let path = self.incoming.path();
        if strictness == Strictness::Strict {
            return Err(stands_twice(path, self.name));
        }
        Err(refused::differs(path, self.name, digest, &found))
    }

    fn blob<'a>(&'a mut self, head: &'a [u8]) -> PassingBlob<'a> {
        PassingBlob {
            incoming: self.incoming,
            name: self.name,
            head,
            data_at: self.entry.data_at,
            len: self.entry.len,
            done: 0,
        }
    }

    fn hold(&mut self, head: &[u8]) -> Result<DataLocation> {
        let mut bytes = vec![0; usize::try_from(self.entry.len).unwrap_or(usize::MAX)];
        self.blob(head).read(&mut bytes)?;
        Ok(DataLocation::Buffered(self.held.push(bytes)?))
    }

    /// The digest of bytes that go nowhere.
    fn passed(&mut self, algorithm: Algorithm) -> Result<Digest> {
        hashed(self.blob(&[]), algorithm)
    }
}

fn hashed(mut blob: PassingBlob<'_>, algorithm: Algorithm) -> Result<Digest> {
    let mut hasher = Hasher::new(algorithm);
    let mut buffer = vec![0; PIECE];
    loop {
        match blob.read(&mut buffer)? {
            0 => return Ok(hasher.finish()),
            count => hasher.update(&buffer[..count]),
        }
    }
}

/// Documents are JSON objects: all other bytes can go out as they are.
fn may_be_document(content: Content, head: &[u8]) -> bool {
    let is_space = |byte: &&u8| matches!(**byte, b' ' | b'\t' | b'\n' | b'\r');
    content == Content::Other
        && head
            .iter()
            .find(|byte| !is_space(byte))
            .is_none_or(|byte| *byte == b'{')
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
                Ok(self.held.read(*a_number, usize::MAX)?
                    == self.held.read(*b_number, usize::MAX)?)
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

    fn digest_of(&self, blob: &BlobEntry) -> Result<Digest> {
        match &blob.data {
            DataLocation::Buffered(number) => {
                let bytes = self.held.read(*number, usize::MAX)?;
                Ok(Digest::of(Algorithm::Sha256, &bytes))
            }
            DataLocation::Skipped(digest) => Ok(Digest::clone(digest)),
            _ => Err(self.passed_by("a blob that is needed again")),
        }
    }
}

#[cfg(test)]
mod tests;

//! One entry while it passes: what becomes of its bytes.

use std::collections::{HashMap, HashSet};

use super::BlobSink;
use super::held::Held;
use super::incoming::Incoming;
use super::refused;
use crate::error::{Code, Error, Result, escape};
use crate::image::{Algorithm, Content, Digest, Hasher, SNIFF_LEN, sniff};
use crate::input::DOCUMENT_CAP;
use crate::input::archive::stands_twice;
use crate::input::classify;
use crate::input::inside::{Inside, PREFIXES, inside};
use crate::inventory::{DataLocation, Strictness};
use crate::location::RootName;
use crate::tar::{Entry, Input, ends_inside};

/// How many bytes are hashed at a time.
pub(super) const PIECE: usize = 64 << 10;

/// A blob that is passing.
#[derive(Debug)]
pub(crate) struct PassingBlob<'a> {
    incoming: &'a mut Incoming,
    name: &'a str,
    content: Content,
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

    /// What its first bytes indicate.
    pub(crate) fn content(&self) -> Content {
        self.content
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

/// One entry whose bytes come next.
pub(super) struct Passing<'a> {
    pub(super) incoming: &'a mut Incoming,
    pub(super) held: &'a mut Held,
    pub(super) not_tars: &'a mut HashMap<Digest, Content>,
    /// The blobs that went to the sink.
    pub(super) written: &'a mut HashSet<Digest>,
    pub(super) entry: &'a Entry,
    pub(super) name: &'a str,
    /// The digest that a blob's name states.
    pub(super) digest: Option<&'a Digest>,
}

impl Passing<'_> {
    /// Where the bytes of a file go, and what a blob's first ones say.
    pub(super) fn file(
        &mut self,
        strictness: Strictness,
        sink: &mut dyn BlobSink,
    ) -> Result<(DataLocation, Option<Content>)> {
        if RootName::of(self.name).is_some() {
            classify::refuse_large_root(self.incoming.path(), self.name, self.entry.len)?;
            return Ok((self.hold(&[])?, None));
        }
        let Some(digest) = self.digest else {
            // manifest.json, or a link, may lead here.
            return Ok((self.hold(&[])?, None));
        };
        let mut head = Vec::new();
        self.look_ahead(&mut head, SNIFF_LEN)?;
        let content = sniff(&head);
        if self.entry.len <= DOCUMENT_CAP && may_be_document(content, &head) {
            return Ok((self.hold(&head)?, Some(content)));
        }
        if self.written.contains(digest) {
            self.again(digest, &head, strictness)?;
            return Ok((DataLocation::Written, Some(content)));
        }
        if content.is_compressed() {
            self.look_inside(digest, content, &mut head)?;
        }
        let mut blob = PassingBlob {
            content,
            ..self.blob(&head)
        };
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
        let algorithm = digest.algorithm().unwrap_or(Algorithm::Sha256);
        let found = hashed(self.blob(head), algorithm)?;
        if found == *digest {
            return Ok(());
        }
        let path = self.incoming.path();
        if strictness == Strictness::Strict {
            return Err(stands_twice(path, self.name));
        }
        Err(refused::differs(path, self.name, digest, &found))
    }

    /// Extends the beginning of the blob that was read to `len` bytes, or to all there are.
    fn look_ahead(&mut self, head: &mut Vec<u8>, len: usize) -> Result<()> {
        let len = usize::try_from(self.entry.len).map_or(len, |all| len.min(all));
        let mut longer = vec![0; len];
        self.blob(head).read(&mut longer)?;
        *head = longer;
        Ok(())
    }

    /// Notes what a compressed blob decompresses to, if that is not a tar.
    fn look_inside(&mut self, digest: &Digest, content: Content, head: &mut Vec<u8>) -> Result<()> {
        for len in PREFIXES {
            self.look_ahead(head, len)?;
            match inside(content, head, head.len() as u64 == self.entry.len) {
                Inside::Content(Content::Tar) | Inside::Unknown => break,
                Inside::Content(found) => {
                    self.not_tars.insert(digest.clone(), found);
                    break;
                }
                Inside::TooShort => {}
            }
        }
        Ok(())
    }

    fn blob<'a>(&'a mut self, head: &'a [u8]) -> PassingBlob<'a> {
        self.parts(head).0
    }

    /// The entry's bytes, after `head`, and where they can be kept.
    fn parts<'a>(&'a mut self, head: &'a [u8]) -> (PassingBlob<'a>, &'a mut Held) {
        let blob = PassingBlob {
            incoming: self.incoming,
            name: self.name,
            content: Content::Other,
            head,
            data_at: self.entry.data_at,
            len: self.entry.len,
            done: 0,
        };
        (blob, self.held)
    }

    fn hold(&mut self, head: &[u8]) -> Result<DataLocation> {
        let len = self.entry.len;
        let (mut blob, held) = self.parts(head);
        let number = held.push(len, |buffer| blob.read(buffer))?;
        Ok(DataLocation::Buffered(number))
    }

    /// The digest of bytes that go nowhere.
    pub(super) fn passed(&mut self, algorithm: Algorithm) -> Result<Digest> {
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
pub(super) fn may_be_document(content: Content, head: &[u8]) -> bool {
    let is_space = |byte: &&u8| matches!(**byte, b' ' | b'\t' | b'\n' | b'\r');
    content == Content::Other
        && head
            .iter()
            .find(|byte| !is_space(byte))
            .is_none_or(|byte| *byte == b'{')
}

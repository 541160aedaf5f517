//! What a planned output contains, as a registry stores it: documents, and blobs.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;

use super::origin::Origin;
use crate::error::{Code, Error, Result};
use crate::graph::document::{Document, DocumentReader, Shape};
use crate::graph::link::complete_tag_links;
use crate::graph::pointer::Pointer;
use crate::graph::root;
use crate::image::Digest;
use crate::image::media_type::Kind;
use crate::inventory::Strictness;
use crate::location::{DocumentPath, RootName};
use crate::plan::{BlobKind, Body, OutputEntry};

/// The documents and blobs of an output.
#[derive(Debug)]
pub(super) struct Contents<'a> {
    /// `index.json`.
    pub(super) root: Document,
    /// Every index and manifest that it leads to.
    pub(super) documents: BTreeMap<Digest, Document>,
    /// Everything else, and the bytes of the documents.
    pub(super) blobs: BTreeMap<Digest, Blob>,
    /// Those that are configs of images.
    configs: BTreeSet<Digest>,
    /// The documents that were not read, because they are absent or cannot be verified.
    unread: BTreeSet<Digest>,
    /// How all of this differs from the input.
    pub(super) origin: Origin<'a>,
}

/// A blob of an output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Blob {
    /// Its length in bytes.
    pub(super) len: u64,
    pub(super) bytes: BlobBytes,
}

/// Where the bytes of a blob are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum BlobBytes {
    /// In the entry at this position of the plan.
    Entry(usize),
    /// In the descriptor that names the blob.
    Embedded(Vec<u8>),
}

impl<'a> Contents<'a> {
    /// The contents of an output with these entries. `read` reads one of them.
    ///
    /// # Errors
    /// Those of `read`; a document is not valid.
    pub(super) fn new(
        entries: &[OutputEntry],
        origin: Origin<'a>,
        read: &dyn Fn(&OutputEntry) -> Result<Vec<u8>>,
    ) -> Result<Self> {
        let (mut blobs, mut configs) = (BTreeMap::new(), BTreeSet::new());
        let mut index = None;
        for (number, entry) in entries.iter().enumerate() {
            if entry.body == Body::Directory {
                continue;
            }
            if let Some(digest) = Digest::from_any_blob_name(&entry.name) {
                if matches!(entry.kind, BlobKind::Config | BlobKind::UnprovenConfig) {
                    configs.insert(digest.clone());
                }
                let bytes = BlobBytes::Entry(number);
                let len = entry.len;
                blobs.insert(digest, Blob { len, bytes });
            } else if entry.name == RootName::Index.name() {
                index = Some(entry);
            }
        }
        let Some(index) = index else {
            return Err(Error::new(Code::Internal, "the plan lacks index.json"));
        };
        let mut contents = Contents {
            root: root(read(index)?, &mut reader())?,
            documents: BTreeMap::new(),
            blobs,
            configs,
            unread: BTreeSet::new(),
            origin,
        };
        contents.read_documents(entries, read)?;
        complete_tag_links(&mut contents.root.pointers, &contents.documents);
        Ok(contents)
    }

    /// Whether a document is the manifest of an image, as far as anyone knows: one that was not read may be.
    pub(super) fn may_be_image(&self, digest: &Digest) -> bool {
        let Some(document) = self.documents.get(digest) else {
            return self.unread.contains(digest);
        };
        let Some(config) = document.config() else {
            return false;
        };
        match self.blobs.get(&config.digest).map(|blob| &blob.bytes) {
            Some(BlobBytes::Entry(_)) => self.configs.contains(&config.digest),
            // The plan does not say what it is.
            _ => matches!(config.kind, Kind::Config | Kind::OctetStream),
        }
    }

    /// Reads every document from the root down.
    fn read_documents(
        &mut self,
        entries: &[OutputEntry],
        read: &dyn Fn(&OutputEntry) -> Result<Vec<u8>>,
    ) -> Result<()> {
        let mut open = Vec::new();
        self.follow(None, &mut open);
        while let Some((digest, shape, path)) = open.pop() {
            if self.documents.contains_key(&digest) {
                continue;
            }
            // What cannot be verified is not read.
            let blob = self.blobs.get(&digest);
            let blob = blob.filter(|_| digest.is_verifiable());
            let bytes = match blob.map(|blob| &blob.bytes) {
                Some(BlobBytes::Entry(number)) => read(&entries[*number])?,
                Some(BlobBytes::Embedded(bytes)) => bytes.clone(),
                None => {
                    self.unread.insert(digest);
                    continue;
                }
            };
            let document = Document::parse(bytes, digest.clone(), shape, path, &mut reader())?;
            self.documents.insert(digest.clone(), document);
            self.follow(Some(&digest), &mut open);
        }
        Ok(())
    }

    /// Adds the documents that a document names to `open`, and what its descriptors embed to the blobs.
    fn follow(&mut self, of: Option<&Digest>, open: &mut Vec<(Digest, Shape, DocumentPath)>) {
        let document = match of {
            Some(digest) => self.documents.get(digest),
            None => Some(&self.root),
        };
        for pointer in document.into_iter().flat_map(|found| &found.pointers) {
            if let Some(blob) = embedded(pointer) {
                self.blobs.entry(pointer.digest.clone()).or_insert(blob);
            }
            if let (Some(document), Some(shape)) = (document, Shape::of(pointer.kind)) {
                let path = document.path.child(pointer.step());
                open.push((pointer.digest.clone(), shape, path));
            }
        }
    }
}

/// The blob that a descriptor embeds.
fn embedded(pointer: &Pointer) -> Option<Blob> {
    let data = pointer.data.as_ref()?;
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(data)
        .ok()?;
    let is_right = |found: Digest| found == pointer.digest;
    let is_right = pointer.digest.recompute(&bytes).is_some_and(is_right);
    is_right.then_some(Blob {
        len: bytes.len() as u64,
        bytes: BlobBytes::Embedded(bytes),
    })
}

fn reader() -> DocumentReader {
    DocumentReader::new(Strictness::Lenient)
}

//! The walk from `index.json` down.

mod facts;

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Code, Error, Hint, Result};
use crate::graph::Missing;
use crate::graph::ahead::{Ahead, BATCH, Manifest};
use crate::graph::budget::Budget;
use crate::graph::descriptor::{actual_size, data_len};
use crate::graph::docker_archive::DockerArchiveItem;
use crate::graph::document::{
    Document, DocumentReader, Shape, read_verified, refuse_large, schema1,
};
use crate::graph::fault::{Faults, is_of_one_document};
use crate::graph::image::ManifestFacts;
use crate::graph::pointer::Pointer;
use crate::graph::restore::restored;
use crate::image::Digest;
use crate::image::media_type::Kind;
use crate::inventory::{BlobEntry, BlobSource, Inventory};
use crate::location::{self, DocumentPath, Location};

/// How deep indexes, manifests and subjects may be nested.
const MAX_DEPTH: usize = 32;

/// Where a walk begins, and what it may find besides blobs.
#[derive(Clone, Copy)]
pub(crate) struct Start<'a> {
    pub(crate) inventory: &'a Inventory,
    /// Documents that the source does not contain.
    pub(crate) synthesized: &'a BTreeMap<Digest, Vec<u8>>,
    /// The items of `manifest.json`.
    pub(crate) items: &'a [DockerArchiveItem],
}

/// What a walk found; [`Graph`](crate::graph::Graph) documents the fields.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) documents: BTreeMap<Digest, Document>,
    pub(crate) manifests: BTreeMap<Digest, ManifestFacts>,
    pub(crate) faults: Faults,
    pub(crate) missing: Vec<Missing>,
}

/// Follows every pointer from the root, and notes in each what the source contains.
pub(crate) fn walk(
    root: &mut Document,
    start: Start<'_>,
    blobs: &dyn BlobSource,
    ahead: Option<Ahead<'_>>,
    reader: &mut DocumentReader,
) -> Result<Found> {
    let mut by_config = BTreeMap::new();
    for (position, item) in start.items.iter().enumerate() {
        if let Some(config) = &item.config_digest {
            by_config.entry(config.clone()).or_insert(position);
        }
    }
    let mut walk = Walk {
        start,
        blobs,
        ahead,
        reader,
        budget: Budget::default(),
        ancestors: Vec::new(),
        children: BTreeMap::new(),
        proven: BTreeSet::new(),
        by_config,
        found: Found::default(),
    };
    walk.follow_all(root)?;
    Ok(walk.found)
}

struct Walk<'a> {
    start: Start<'a>,
    blobs: &'a dyn BlobSource,
    ahead: Option<Ahead<'a>>,
    reader: &'a mut DocumentReader,
    budget: Budget,
    ancestors: Vec<Digest>,
    /// Documents already read, and the shape that they were read as.
    children: BTreeMap<Digest, Shape>,
    /// Blobs whose bytes were proven because a descriptor states another length.
    proven: BTreeSet<Digest>,
    /// The first item of `manifest.json` with each config.
    by_config: BTreeMap<Digest, usize>,
    found: Found,
}

impl<'a> Walk<'a> {
    fn follow_all(&mut self, document: &mut Document) -> Result<()> {
        for pointers in document.pointers.chunks_mut(BATCH) {
            if document.shape == Shape::Index {
                self.read_ahead(&document.path, pointers);
            }
            for pointer in pointers {
                let blob = self.start.inventory.blobs.get(&pointer.digest);
                pointer.content = blob.map(|blob| blob.content);
                match self.actual_size(&document.path, pointer, blob) {
                    Ok(size) => pointer.actual_size = size,
                    Err(error) => {
                        self.note_of_pointer(pointer, error)?;
                        continue;
                    }
                }
                self.follow(&document.path, pointer, blob)?;
            }
        }
        Ok(())
    }

    fn read_ahead(&mut self, parent: &DocumentPath, pointers: &[Pointer]) {
        if let Some(ahead) = &mut self.ahead {
            let (synthesized, children) = (self.start.synthesized, &self.children);
            ahead.read(parent, pointers, |digest| {
                synthesized.contains_key(digest) || children.contains_key(digest)
            });
        }
    }

    /// The length of a pointer's content, if the pointer states another one.
    fn actual_size(
        &mut self,
        parent: &DocumentPath,
        pointer: &Pointer,
        blob: Option<&BlobEntry>,
    ) -> Result<Option<u64>> {
        // Computed only on errors: most pointers are valid.
        let location = || Location::of(parent, pointer.step());
        let data_len = data_len(pointer, location)?;
        if self.start.synthesized.contains_key(&pointer.digest) {
            return Ok(None);
        }
        let len = blob.map(|blob| blob.len).or(data_len);
        if len.is_none_or(|len| len == pointer.size) {
            return Ok(None);
        }
        // Thousands of descriptors may be of one blob.
        if let Some(blob) = blob
            && !self.proven.contains(&pointer.digest)
        {
            actual_size(blob, pointer, self.blobs, location)?;
            self.proven.insert(pointer.digest.clone());
        }
        Ok(len)
    }

    fn follow(
        &mut self,
        parent: &DocumentPath,
        pointer: &Pointer,
        blob: Option<&BlobEntry>,
    ) -> Result<()> {
        if self.found.faults.of(&pointer.digest).is_some() {
            return Ok(());
        }
        match self.check(parent, pointer, blob) {
            Ok(None) => Ok(()),
            Ok(Some(shape)) => {
                let result = self.read(parent, pointer, shape, blob);
                result.or_else(|error| self.note(Some(&pointer.digest), error))
            }
            Err(error) => self.note_of_pointer(pointer, error),
        }
    }

    /// Notes what is wrong with a pointer: with the document that it leads to, or with the one that it is in.
    fn note_of_pointer(&mut self, pointer: &Pointer, error: Error) -> Result<()> {
        let whose = match pointer.role {
            location::Role::Manifests => Some(pointer.digest.clone()),
            _ => self.ancestors.last().cloned(),
        };
        self.note(whose.as_ref(), error)
    }

    /// Notes what is wrong with a document, if it is wrong with that one alone.
    fn note(&mut self, digest: Option<&Digest>, error: Error) -> Result<()> {
        match digest {
            Some(digest) if is_of_one_document(&error) && !self.budget.is_spent() => {
                self.found.faults.add(digest, error);
                Ok(())
            }
            _ => Err(error),
        }
    }

    /// Checks a pointer against the blob that it names. Returns the shape of the document that has to be
    /// read.
    fn check(
        &mut self,
        parent: &DocumentPath,
        pointer: &Pointer,
        blob: Option<&BlobEntry>,
    ) -> Result<Option<Shape>> {
        // Computed only on errors: most pointers are valid.
        let location = || Location::of(parent, pointer.step());
        let shape = match pointer.kind {
            Kind::Index => Some(Shape::Index),
            Kind::Manifest => Some(Shape::Manifest),
            Kind::Schema1 => return Err(schema1(&location())),
            _ => None,
        };
        match blob {
            _ if self.start.synthesized.contains_key(&pointer.digest) => {}
            Some(_) => {}
            None => {
                self.found.missing.push(missing(pointer, location()));
                return Ok(None);
            }
        }
        // What cannot be verified is not read.
        Ok(shape.filter(|_| pointer.digest.is_verifiable()))
    }

    /// Reads a document, and follows what it names.
    fn read(
        &mut self,
        parent: &DocumentPath,
        pointer: &Pointer,
        shape: Shape,
        blob: Option<&BlobEntry>,
    ) -> Result<()> {
        let location = Location::of(parent, pointer.step());
        if let Some(known) = self.children.get(&pointer.digest) {
            return if *known == shape {
                Ok(())
            } else {
                Err(two_shapes(&location))
            };
        }
        if self.ancestors.len() >= MAX_DEPTH {
            return Err(Error::new(
                Code::DocumentTooDeep,
                format!("{location} is nested deeper than {MAX_DEPTH} documents"),
            )
            .with_location(location)
            .with_expected(MAX_DEPTH)
            .with_hint(Hint::BuildAgain));
        }
        let mut config = None;
        let mut document = match (self.start.synthesized.get(&pointer.digest), blob) {
            (Some(bytes), _) => self.parse(bytes.clone(), parent, pointer, shape)?,
            (None, Some(blob)) => {
                self.count_document(blob, &location)?;
                match self.take_ahead(&pointer.digest, shape) {
                    Some(manifest) => {
                        config = manifest.config;
                        manifest.document.take(self.reader)?
                    }
                    None => {
                        let bytes = read_verified(self.blobs, &pointer.digest, blob, &location)?;
                        self.parse(bytes, parent, pointer, shape)?
                    }
                }
            }
            (None, None) => return Ok(()),
        };
        self.children.insert(pointer.digest.clone(), shape);
        let (len, descriptors) = (document.text.len(), document.pointers.len());
        self.budget.keep(len, descriptors, || location.clone())?;
        if shape == Shape::Manifest
            && let Some(item) = self.docker_archive_item(&document)
            && let Some(text) = restored(&document, item, self.start.inventory)
        {
            let (respelled, original) = (document.respelled, document.text);
            document = Document::parse(
                text.into_bytes(),
                document.digest,
                shape,
                document.path,
                self.reader,
            )?;
            document.is_restored = true;
            document.original = Some(original);
            document.respelled = respelled;
        }
        self.ancestors.push(pointer.digest.clone());
        let missing = self.found.missing.len();
        self.follow_all(&mut document)?;
        let is_complete = self.found.missing.len() == missing;
        self.ancestors.pop();
        if shape == Shape::Manifest {
            let facts = self.manifest_facts(&document, config, pointer, is_complete)?;
            self.found.manifests.insert(pointer.digest.clone(), facts);
        }
        self.found
            .documents
            .insert(pointer.digest.clone(), document);
        Ok(())
    }

    /// The item of `manifest.json` that has the config of a manifest.
    fn docker_archive_item(&self, document: &Document) -> Option<&'a DockerArchiveItem> {
        let position = self.by_config.get(&document.config()?.digest)?;
        self.start.items.get(*position)
    }

    fn parse(
        &mut self,
        bytes: Vec<u8>,
        parent: &DocumentPath,
        pointer: &Pointer,
        shape: Shape,
    ) -> Result<Document> {
        let path = parent.child(pointer.step());
        Document::parse(bytes, pointer.digest.clone(), shape, path, self.reader)
    }

    fn take_ahead(&mut self, digest: &Digest, shape: Shape) -> Option<Manifest> {
        let ahead = self.ahead.as_mut().filter(|_| shape == Shape::Manifest)?;
        ahead.take(digest)
    }

    /// Counts a document before it is read.
    fn count_document(&mut self, blob: &BlobEntry, location: &Location) -> Result<()> {
        refuse_large(blob, location)?;
        self.budget.read(blob.len, || location.clone())
    }
}

fn missing(pointer: &Pointer, location: Location) -> Missing {
    Missing {
        location,
        digest: pointer.digest.clone(),
        is_child: matches!(
            pointer.role,
            location::Role::Manifests | location::Role::Subject
        ) && matches!(pointer.kind, Kind::Index | Kind::Manifest),
        is_expected: pointer.is_optional() || pointer.role == location::Role::Subject,
    }
}

fn two_shapes(location: &Location) -> Error {
    Error::new(
        Code::AmbiguousDocument,
        format!("{location} and another descriptor give the same document different types"),
    )
    .with_location(location)
    .with_hint(Hint::SaveFromTrusted)
}

//! The contents of a source, as plain data that [`scan`](crate::scan) returns.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use crate::error::Result;
use crate::image::{Algorithm, Content, Digest};
use crate::location::RootName;
use crate::tar::BLOCK;

/// Everything in an archive or an image layout directory.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Inventory {
    /// Blobs by digest: entries named `blobs/<algorithm>/<hex>`. The digest is from the name and not verified.
    pub blobs: BTreeMap<Digest, BlobEntry>,
    /// The top-level index, `index.json`.
    pub root_index: Option<RootFile>,
    /// Docker's archive manifest, `manifest.json`.
    pub docker_manifest: Option<RootFile>,
    /// The `oci-layout` file.
    pub oci_layout: Option<RootFile>,
    /// All other files and links, by cleaned name.
    pub extra: BTreeMap<String, ExtraEntry>,
    /// The names of blobs and root files that are links, with the names of the files that they lead to.
    pub links: BTreeMap<String, String>,
    /// The cleaned names of duplicate entries, of which only the last was used.
    pub skipped: Vec<String>,
    /// The compression of the complete archive, if it is compressed.
    pub outer_compression: Option<Content>,
    /// How entries are named that are not named plainly, and which are links.
    pub(crate) names: EntryNames,
    /// How an archive differs from the form that ocify writes; `None` if it does not, and for a directory.
    pub(crate) form: Option<FormDifference>,
    /// Whether the source has the input's own bytes, and not only what was decompressed from them.
    pub(crate) has_original: bool,
    /// The number of entries, including directories.
    pub entry_count: usize,
    /// The layout of an archive's file; empty for a directory.
    pub(crate) archive: ArchiveMap,
}

/// How to treat ambiguities that container engines resolve differently. Blobs are verified in both cases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Strictness {
    /// Refuse them.
    #[default]
    Strict,
    /// Resolve them the way `docker load` does: use the last of several entries with the same name, and the
    /// last of several identical keys.
    Lenient,
}

/// Reads blobs while the documents are being resolved.
pub trait BlobSource {
    /// Reads a blob of at most `max_len` bytes.
    ///
    /// # Errors
    /// The blob cannot be read or is longer.
    fn read_blob(&self, blob: &BlobEntry, max_len: u64) -> Result<Vec<u8>>;

    /// Detects the content of the `len` bytes at a location from its first bytes.
    ///
    /// # Errors
    /// The bytes cannot be read.
    fn identify(&self, data: &DataLocation, len: u64) -> Result<BlobEntry>;

    /// The same source, if several threads may read it at once.
    fn shared(&self) -> Option<&(dyn BlobSource + Sync)> {
        None
    }

    /// Detects the content that a compressed blob decompresses to, from its first bytes;
    /// [`Content::Other`] if it cannot be decompressed, and `None` if the content is not known.
    ///
    /// # Errors
    /// The blob cannot be read.
    fn content_inside(&self, _digest: &Digest, _blob: &BlobEntry) -> Result<Option<Content>> {
        Ok(None)
    }

    /// Computes a digest of a blob by reading all of it.
    ///
    /// # Errors
    /// The blob cannot be read.
    fn digest_of(&self, blob: &BlobEntry, algorithm: Algorithm) -> Result<Digest>;

    /// Whether the blob's bytes were verified already against the digest that names them.
    fn has_verified(&self, _blob: &BlobEntry) -> bool {
        false
    }
}

/// A blob: the location and content of its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BlobEntry {
    /// Length in bytes.
    pub len: u64,
    /// Where the bytes are.
    pub data: DataLocation,
    /// The content that its first bytes indicate.
    pub content: Content,
}

/// The location of an entry's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DataLocation {
    /// At this byte offset of the archive.
    Offset(u64),
    /// In this file, relative to the layout directory.
    File(String),
    /// In a temporary file that belongs to the source.
    Spooled {
        /// The index of the file.
        file: usize,
        /// The offset in it, in bytes.
        offset: u64,
    },
    /// In one of the inputs of a source that has several.
    Input {
        /// The number of the input.
        number: usize,
        /// Where it is in that input.
        data: Box<DataLocation>,
    },
    /// Buffered by the input stream, under this number.
    Buffered(usize),
    /// Already written to the output, and verified if that was requested.
    Written,
}

impl DataLocation {
    /// Whether it is a whole file of a layout directory.
    pub(crate) fn is_file(&self) -> bool {
        match self {
            DataLocation::File(_) => true,
            DataLocation::Input { data, .. } => data.is_file(),
            _ => false,
        }
    }
}

/// What the names of an archive's entries were before they were cleaned, and what links were before they were followed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct EntryNames {
    /// The directory that the archive was packed in.
    pub(crate) wrapper: Option<String>,
    /// The cleaned names that were absolute.
    pub(crate) absolute: BTreeSet<String>,
    /// The cleaned names of files that had another form that is not absolute, such as one that begins with `./`.
    pub(crate) renamed: BTreeSet<String>,
    /// The first entry with an extended attribute in a namespace that Linux does not have, such as macOS' own.
    pub(crate) foreign_xattrs: Option<String>,
    /// The links, by their cleaned names.
    pub(crate) links: BTreeMap<String, LinkKind>,
    /// The first hard link that leads to no entry before it.
    pub(crate) early_link: Option<String>,
    /// The first symbolic link that leads to no file or link.
    pub(crate) dangling_link: Option<String>,
    /// The first entry of a type that not all readers know, if the image does not need it.
    pub(crate) other_type: Option<String>,
    /// Whether an entry is the root of the archive itself, such as `./`.
    pub(crate) has_root: bool,
    /// The first file that comes before any entry for its directory.
    pub(crate) before_directory: Option<String>,
}

/// A link in an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LinkKind {
    /// A symbolic link, to this entry if it is within the archive.
    Symbolic(String),
    /// A hard link.
    Hard,
}

/// The layout of an archive's file. All offsets and lengths are in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ArchiveMap {
    /// All entries in file order, including duplicates.
    pub entries: Vec<EntryLayout>,
    /// The offset after the last entry and its padding. Only zeros follow.
    pub end: u64,
    /// The length of the file.
    pub len: u64,
    /// The extended attributes of the archive's own entries, in file order.
    pub xattrs: Vec<EntryXattr>,
}

/// An extended attribute of an entry of the archive, which is not one of a file in a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EntryXattr {
    /// The name of the entry, which may have thousands of them.
    pub entry: Arc<str>,
    /// Whether it is in a global header before the entry, so that some readers apply it to all entries that
    /// follow.
    pub is_global: bool,
    /// Where its record is in the file.
    pub record: Range<u64>,
}

impl ArchiveMap {
    /// Whether the archive has an end-of-archive marker, without which it may be truncated. POSIX requires
    /// two blocks of zeros, but one is enough here. Always true for a directory.
    pub(crate) fn is_ended(&self) -> bool {
        self.end == 0 || self.len >= self.end + BLOCK as u64
    }
}

/// The location of an entry in its archive, and what in-place fixes need to know to replace it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EntryLayout {
    /// The offset of its first header.
    pub start: u64,
    /// The offset of its main header, which follows its extension headers.
    pub header: u64,
    /// The offset of its data.
    pub data: u64,
    /// The length of its data.
    pub len: u64,
    /// What the entry is according to its name and type.
    pub kind: EntryKind,
    /// Whether its main header contains its name and length, and no extension header overrides them.
    pub is_simple: bool,
    /// Whether all readers interpret its name in the same way.
    pub is_well_named: bool,
}

/// What an entry is according to its name and type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EntryKind {
    /// A file named `blobs/<algorithm>/<hex>`.
    Blob,
    /// One of the three files at the root.
    Root(RootName),
    /// A directory.
    Directory,
    /// A link, a device, or an unknown type.
    Special,
    /// Any other file.
    File,
}

/// One of the three files at the root, with its contents.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RootFile {
    /// The contents.
    pub bytes: Vec<u8>,
    /// Where they are in the source.
    pub data: DataLocation,
}

/// A file or link that is neither a blob nor one of the three root files.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExtraEntry {
    /// What it is.
    pub kind: ExtraKind,
    /// Length in bytes; 0 for links.
    pub len: u64,
}

/// What an extra entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExtraKind {
    /// A regular file, with the location of its bytes.
    File(DataLocation),
    /// A symbolic link, with its target.
    Symlink(String),
    /// A hard link, with its target.
    Hardlink(String),
    /// A directory that is part of neither the image layout nor the Docker archive.
    Directory,
    /// A device, a FIFO or an unknown type.
    Other,
}

impl Inventory {
    /// The first entry of an archive that engines refuse or take for something else.
    pub(crate) fn misread(&self) -> Option<&FormDifference> {
        self.form.as_ref().filter(|form| form.is_misread)
    }
}

/// A difference between an archive and the form that ocify writes: the first entry that engines misread, else the first that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FormDifference {
    /// The name of the entry.
    pub entry: String,
    /// What differs, as a predicate that follows the entry's name.
    pub what: String,
    /// Whether some readers do not find an entry of the image, or use another one: because of its name,
    /// of the directory that it is in, or of a duplicate. Always true if engines misread the entry.
    pub hides_entries: bool,
    /// Whether engines refuse the entry, or take it for something else.
    pub is_misread: bool,
}

//! What a source holds: plain data that [`scan`](crate::scan) returns.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::image::{Content, Digest};
use crate::tar::BLOCK;

/// Everything that was found in an archive or an image layout directory.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    /// Blobs by digest: entries named `blobs/<algorithm>/<hex>`. The digest is what the name claims.
    pub blobs: BTreeMap<Digest, BlobEntry>,
    /// The top-level index, `index.json`.
    pub root_index: Option<RootFile>,
    /// Docker's archive manifest, `manifest.json`.
    pub docker_manifest: Option<RootFile>,
    /// The `oci-layout` file.
    pub oci_layout: Option<RootFile>,
    /// All other files and links, by cleaned name.
    pub extra: BTreeMap<String, ExtraEntry>,
    /// Entries whose name stood more than once, by cleaned name, when all but the last were passed over.
    pub passed_over: Vec<String>,
    /// What the source was compressed with as a whole, if it was.
    pub outer_compression: Option<Content>,
    /// How the source differs from the form that ocify writes; `None` if it does not, or is no archive.
    pub form: Option<FormDifference>,
    /// How many entries there are, directories included.
    pub entry_count: usize,
    /// How the file of an archive is laid out; empty for a directory.
    pub archive: ArchiveMap,
}

/// How to treat what container engines read differently. The bytes of blobs are verified either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Strictness {
    /// Refuse it.
    #[default]
    Strict,
    /// Resolve it the way `docker load` does: the last of several entries with one name, the last of
    /// several keys with one name.
    Lenient,
}

/// Reads blobs that may be documents.
pub trait BlobSource {
    /// The bytes of a blob of at most `max_len` bytes.
    ///
    /// # Errors
    /// The blob cannot be read, or is longer.
    fn read_blob(&self, blob: &BlobEntry, max_len: u64) -> Result<Vec<u8>>;

    /// What the first bytes at a place say about the `len` bytes there.
    ///
    /// # Errors
    /// They cannot be read.
    fn identify(&self, data: &DataLocation, len: u64) -> Result<BlobEntry>;

    /// The SHA-256 digest of a blob, which is read whole.
    ///
    /// # Errors
    /// It cannot be read.
    fn digest_of(&self, blob: &BlobEntry) -> Result<Digest>;
}

/// A blob: where its bytes are and what they look like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobEntry {
    /// Length in bytes.
    pub len: u64,
    /// Where the bytes are.
    pub data: DataLocation,
    /// What the first bytes say.
    pub content: Content,
}

/// Where an entry's bytes are in its source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataLocation {
    /// At this byte offset of the archive.
    Offset(u64),
    /// In this file, relative to the layout directory.
    File(String),
    /// In a temporary file that belongs to the source.
    Spooled {
        /// The file's number.
        file: usize,
        /// Where in it, in bytes.
        offset: u64,
    },
    /// Kept by the stream that it came in, by its number.
    Held(usize),
    /// In the output already, verified or taken at its word as was asked for.
    Written,
    /// Nowhere: it came in a stream and was passed over. Its SHA-256 digest is known.
    Passed(Box<Digest>),
}

/// How the file of an archive is laid out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ArchiveMap {
    /// All entries in the order of the file, duplicates included.
    pub places: Vec<Place>,
    /// Where the last entry and its padding end. Whatever follows is zeros.
    pub end: u64,
    /// How many bytes the file has.
    pub len: u64,
}

impl ArchiveMap {
    /// Whether something tells that the archive was read to its end: a block of zeros after the last
    /// entry, where POSIX wants two. A directory has an end of its own.
    pub fn is_ended(&self) -> bool {
        self.end == 0 || self.len >= self.end + BLOCK as u64
    }
}

/// Where an entry stands in its archive, and whether another one could take its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Where the first of its headers begins.
    pub start: u64,
    /// Where its own header begins, after those that extend it.
    pub header: u64,
    /// Where its bytes begin.
    pub data: u64,
    /// How many bytes it has.
    pub len: u64,
    /// What it is by its own name.
    pub kind: PlaceKind,
    /// Whether its own header states its name and length, and no header before it does.
    pub is_simple: bool,
    /// Whether its name is written such that all readers understand it alike.
    pub is_well_named: bool,
}

/// What an entry is by its own name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlaceKind {
    /// A blob, named by its digest.
    Blob,
    /// One of the three files at the root.
    Root(RootName),
    /// A directory.
    Directory,
    /// A link, a device, or something unknown.
    Special,
    /// Any other file.
    File,
}

/// The files at the root that have a meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RootName {
    /// `index.json`.
    Index,
    /// `manifest.json`.
    DockerManifest,
    /// `oci-layout`.
    OciLayout,
}

impl RootName {
    /// The file of that name.
    pub fn of(name: &str) -> Option<Self> {
        let all = [Self::Index, Self::DockerManifest, Self::OciLayout];
        all.into_iter().find(|root| root.name() == name)
    }

    /// The file's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Index => "index.json",
            Self::DockerManifest => "manifest.json",
            Self::OciLayout => "oci-layout",
        }
    }
}

/// One of the three files at the root, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootFile {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Where they are in the source.
    pub data: DataLocation,
}

/// A file or link that is neither a blob nor one of the three root files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtraEntry {
    /// What it is.
    pub kind: ExtraKind,
    /// Length in bytes; 0 for links.
    pub len: u64,
}

/// What an extra entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExtraKind {
    /// A regular file, and where its bytes are.
    File(DataLocation),
    /// A symbolic link and its target.
    Symlink(String),
    /// A hard link and its target.
    Hardlink(String),
    /// A directory that belongs to neither form.
    Directory,
    /// A device, a fifo or something unknown.
    Other,
}

/// The first way in which an archive differs from the form that ocify writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormDifference {
    /// The entry where the difference was seen first.
    pub entry: String,
    /// What differs, in words that read on after the entry's name.
    pub what: String,
}

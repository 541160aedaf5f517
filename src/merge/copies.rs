//! Blobs that several inputs have. If the copy that is used is damaged, another one may be intact.

use std::collections::BTreeMap;

use crate::error::{Code, Result};
use crate::image::{Digest, Hasher};
use crate::input::{BlobAt, BlobName, Piece, Source};
use crate::inventory::DataLocation;
use crate::progress::Progress;

/// One read.
const PIECE: usize = 128 << 10;

/// Where blobs are that are also in an earlier input, with the same length.
#[derive(Debug, Default)]
pub(super) struct Copies(BTreeMap<Digest, Vec<DataLocation>>);

impl Copies {
    /// Adds a copy of a blob, in the order of the inputs.
    pub(super) fn add(&mut self, digest: Digest, data: DataLocation) {
        self.0.entry(digest).or_default().push(data);
    }

    /// Forgets the copies of a blob.
    pub(super) fn forget(&mut self, digest: &Digest) {
        self.0.remove(digest);
    }

    /// Whether there is another copy of a blob.
    pub(super) fn has(&self, digest: &Digest) -> bool {
        self.0.contains_key(digest)
    }

    /// The blobs of which there are several copies.
    pub(super) fn digests(&self) -> impl Iterator<Item = &Digest> {
        self.0.keys()
    }

    /// The copies of a blob besides the one that is used.
    pub(super) fn of(&self, digest: &Digest) -> impl Iterator<Item = &DataLocation> {
        self.0.get(digest).into_iter().flatten()
    }

    /// The same copies, for a source that has this one as its input of that number.
    pub(super) fn in_input(self, number: usize) -> impl Iterator<Item = (Digest, DataLocation)> {
        let all = self.0.into_iter();
        all.flat_map(move |(digest, copies)| {
            let copies = copies.into_iter();
            copies.map(move |data| {
                let data = Box::new(data);
                (digest.clone(), DataLocation::Input { number, data })
            })
        })
    }
}

/// The number of the input that a location is in; `None` if it is in none.
pub(super) fn input_of(data: &DataLocation) -> Option<usize> {
    match data {
        // Inputs that were joined twice are inputs of the only input.
        DataLocation::Input { number, data } => Some(input_of(data).unwrap_or(*number)),
        _ => None,
    }
}

/// Whether the bytes at a location have their digest. What cannot be read does not.
///
/// # Errors
/// The progress stops the work.
pub(super) fn is_intact(
    source: &Source,
    digest: &Digest,
    data: &DataLocation,
    len: u64,
    progress: &dyn Progress,
) -> Result<bool> {
    match has_digest(source, digest, data, len, progress) {
        Err(error) if error.code() != Code::Interrupted => Ok(false),
        result => result,
    }
}

fn has_digest(
    source: &Source,
    digest: &Digest,
    data: &DataLocation,
    len: u64,
    progress: &dyn Progress,
) -> Result<bool> {
    let Some(algorithm) = digest.algorithm() else {
        return Ok(false);
    };
    let name = digest.blob_name();
    let name = BlobName::Entry(&name);
    let mut reader = source.reader(BlobAt { name, data, len }, progress)?;
    let mut hasher = Hasher::new(algorithm);
    let mut buffer = vec![0; PIECE];
    loop {
        match reader.next(&mut buffer)? {
            Piece::Bytes(0) => return Ok(hasher.finish() == *digest),
            Piece::Bytes(count) => hasher.update(&buffer[..count]),
            Piece::Hole(len) => hasher.update_zeros(len),
        }
    }
}

//! Compares what layers decompress to with the diff IDs that configs state.

use std::io::BufReader;

use super::decode::Compressed;
use super::pieces::{self, Piece};
use super::transcode::Direct;
use super::verified::wrong_digest;
use super::{ApplyOptions, Verify};
use crate::codec::{Buffers, Limits};
use crate::error::{Code, Error, Hint, Result};
use crate::image::{Algorithm, Content, DiffId, Digest, Hasher};
use crate::input::{BlobAt, BlobName, Source};
use crate::inventory::DataLocation;
use crate::plan::{Body, LayerProof, OutputEntry, Plan, Transcode};
use crate::progress::Progress;

/// One decompressed block.
pub(super) const BLOCK: usize = 256 << 10;

/// The diff IDs of a layer that are to be verified.
#[derive(Clone, Copy, Debug)]
pub(super) struct Proof<'a> {
    /// The first of them.
    layer: &'a LayerProof,
    /// Those that other images state for the same layer.
    others: &'a [LayerProof],
    /// The diff IDs of all layers, to say which of them a layer has instead.
    all: &'a [LayerProof],
    /// The layer's length in bytes.
    len: u64,
    limits: Limits,
}

impl<'a> Proof<'a> {
    /// The diff IDs of an entry that are verified with these options, if it is a compressed layer.
    pub(super) fn of(
        plan: &'a Plan,
        entry: &OutputEntry,
        options: &ApplyOptions<'_>,
    ) -> Option<Self> {
        let Body::Blob { digest, data } = &entry.body else {
            return None;
        };
        // Those of a temporary file of ours were verified when it was written.
        if matches!(data, DataLocation::Spooled { .. }) {
            return None;
        }
        let proofs = match options.verify {
            Verify::Documents => return None,
            Verify::Digests | Verify::Full => plan.proofs_of(digest),
        };
        let is_verified =
            options.verify == Verify::Full || proofs.iter().any(|proof| proof.is_only_proof);
        match proofs {
            [layer, others @ ..] if is_verified => Some(Proof {
                layer,
                others,
                all: &plan.proofs,
                len: entry.len,
                limits: options.limits,
            }),
            _ => None,
        }
    }

    /// The layer, to be decompressed.
    pub(super) fn compressed(&self) -> Compressed<'a> {
        Compressed {
            name: BlobName::Document(&self.layer.location),
            content: self.layer.content,
            inside: None,
            len: self.len,
            limits: self.limits,
        }
    }

    /// Compares with the digest of what the layer decompresses to.
    pub(super) fn check(&self, found: &Digest) -> Result<()> {
        let mut proofs = [self.layer].into_iter().chain(self.others);
        proofs.try_for_each(|proof| check_proof(proof, found, self.all))
    }

    /// Verifies a layer that is in memory.
    pub(super) fn check_bytes(&self, bytes: &[u8], blocks: &Buffers) -> Result<()> {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        self.compressed().decode(bytes, blocks, &mut |block| {
            hasher.update(block.filled());
            blocks.give(block);
            true
        })?;
        self.check(&hasher.finish())
    }
}

/// The same for one layer. `all` are the diff IDs of all layers.
pub(super) fn check_proof(proof: &LayerProof, found: &Digest, all: &[LayerProof]) -> Result<()> {
    let name = BlobName::Document(&proof.location);
    if *found == proof.diff_id.0 {
        return Ok(());
    }
    // The layers may be in the wrong order.
    match all.iter().find(|other| other.diff_id.0 == *found) {
        None => check_diff_id(name, proof.content, &proof.diff_id, found, proof.inside),
        Some(other) => {
            let is_found = verb(proof.content);
            let error = Error::new(
                Code::DiffIdMismatch,
                format!(
                    "{name} {is_found} {found}, which is the diff ID of {}, but its own diff ID is {}",
                    other.location, proof.diff_id
                ),
            )
            .with_expected(&proof.diff_id)
            .with_found(found)
            .with_hint(Hint::BuildRefusedAgain);
            Err(name.place(error))
        }
    }
}

/// How messages say which digest a layer of this content has without its compression.
fn verb(content: Content) -> &'static str {
    match content.is_compressed() {
        true => "decompresses to",
        false => "has the digest",
    }
}

/// Says which layer decompresses to something else than its diff ID states. `inside` is what it decompresses
/// to, if that is not a tar.
pub(super) fn check_diff_id(
    name: BlobName<'_>,
    content: Content,
    expected: &DiffId,
    found: &Digest,
    inside: Option<Content>,
) -> Result<()> {
    if *found == expected.0 {
        return Ok(());
    }
    let error = Error::new(
        Code::DiffIdMismatch,
        format!(
            "{name} {} {found}, but the config's diff ID is {expected}",
            verb(content)
        ),
    )
    .with_expected(expected)
    .with_found(found)
    .with_hint(match inside.is_some_and(Content::is_compressed) {
        true => Hint::DecompressTwice,
        false => Hint::BuildRefusedAgain,
    });
    Err(name.place(error))
}

/// Verifies layers that would be recompressed, against their digests and their diff IDs.
///
/// # Errors
/// A layer is damaged, is not what its diff ID says, or cannot be read. Of several errors the one of the first
/// layer is returned.
pub(super) fn prove(
    transcodes: &[Transcode],
    source: &Source,
    options: &ApplyOptions<'_>,
    progress: &dyn Progress,
) -> Result<()> {
    let mut layers: Vec<Layer<'_>> = transcodes
        .iter()
        .enumerate()
        .map(|(place, work)| Layer { work, place })
        .collect();
    // The largest first, or one thread would end long after the others.
    layers.sort_by_key(|layer| std::cmp::Reverse(layer.work.len));
    pieces::each(&layers, options, progress, |layer, progress, _| {
        second_compression(layer.work, source, options.limits, progress).map(drop)
    })
}

/// A layer that would be recompressed.
struct Layer<'a> {
    work: &'a Transcode,
    place: usize,
}

impl Piece for Layer<'_> {
    fn place(&self) -> usize {
        self.place
    }

    fn len(&self) -> u64 {
        self.work.len
    }
}

/// Whether a layer that is compressed twice has to be decompressed twice: then this is the second
/// compression. Its diff ID says so. The layer is verified against its digest, and against its diff ID either
/// way.
///
/// # Errors
/// The layer is damaged, or its diff ID is that of neither content.
pub(super) fn second_compression(
    work: &Transcode,
    source: &Source,
    limits: Limits,
    progress: &dyn Progress,
) -> Result<Option<Content>> {
    let once = content_digest(work, None, source, limits, progress)?;
    let inside = work.inside.filter(|content| content.is_compressed());
    if once == work.diff_id.0 || inside.is_none() {
        let name = BlobName::Document(&work.location);
        return check_diff_id(name, work.content, &work.diff_id, &once, None).map(|()| None);
    }
    let twice = content_digest(work, inside, source, limits, &Uncounted(progress));
    let is_inside = |error: &Error| {
        matches!(
            error.code(),
            Code::DamagedLayer | Code::CompressionRatio | Code::SizeLimit | Code::WindowTooLarge
        )
    };
    match twice {
        Ok(twice) if twice == work.diff_id.0 => Ok(inside),
        Err(error) if !is_inside(&error) => Err(error),
        _ => {
            let name = BlobName::Document(&work.location);
            check_diff_id(name, work.content, &work.diff_id, &once, None).map(|()| None)
        }
    }
}

/// The progress of work that is done again.
pub(super) struct Uncounted<'a>(pub(super) &'a dyn Progress);

impl Progress for Uncounted<'_> {
    fn advance(&self, _len: u64) {}

    fn is_stopped(&self) -> bool {
        self.0.is_stopped()
    }
}

/// The digest of what a layer decompresses to, once its own digest is verified.
fn content_digest(
    work: &Transcode,
    inside: Option<Content>,
    source: &Source,
    limits: Limits,
    progress: &dyn Progress,
) -> Result<Digest> {
    let name = BlobName::Document(&work.location);
    let blob = BlobAt {
        name,
        data: &work.data,
        len: work.len,
    };
    let layer = Compressed {
        name,
        content: work.content,
        inside,
        len: work.len,
        limits,
    };
    let blocks = Buffers::new(BLOCK);
    let mut hasher = Hasher::new(Algorithm::Sha256);
    let algorithm = work.digest.algorithm().unwrap_or(Algorithm::Sha256);
    let direct = Direct::new(source.reader(blob, progress)?, algorithm);
    let mut input = BufReader::with_capacity(BLOCK, direct);
    let decoded = layer.decode(&mut input, &blocks, &mut |block| {
        hasher.update(block.filled());
        blocks.give(block);
        true
    });
    let found = input.into_inner().finish(true)?;
    if found != work.digest && work.digest.is_verifiable() {
        let error = wrong_digest(name, &work.digest, &found);
        return Err(name.place(error));
    }
    decoded?;
    Ok(hasher.finish())
}

#[cfg(test)]
mod tests;

//! The layers of an image against the diff IDs that its config states.

use crate::error::{Code, Error, Hint, Result, count, escape};
use crate::graph::document::Document;
use crate::graph::image::Config;
use crate::graph::pointer::Pointer;
use crate::image::media_type::Kind;
use crate::image::{Algorithm, Content, Digest, StatedDiffId};

/// Whether each diff ID is that of the layer in its position. Layers that are not tars, such as EROFS images,
/// need not have any, and then which layer the others belong to is not known.
///
/// # Errors
/// The numbers differ otherwise, a diff ID is not a digest, or a layer that is not compressed has another digest.
pub(super) fn check(document: &Document, layers: &[&Pointer], config: &Config) -> Result<bool> {
    let count = config.diff_id_count;
    let are_valid = || require_valid(document, &config.diff_ids);
    if layers.len() != count {
        let is_opaque = |layer: &&&Pointer| layer.kind == Kind::OpaqueLayer;
        let opaque_count = layers.iter().filter(is_opaque).count();
        let are_of_the_others = count < layers.len() && layers.len() - count <= opaque_count;
        return match are_of_the_others {
            true => are_valid().map(|()| false),
            false => Err(count_mismatch(document, layers.len(), count)),
        };
    }
    are_valid()?;
    let layers = layers.iter().zip(&config.diff_ids);
    for (layer, diff_id) in layers.filter(|(layer, id)| !id.is_of(&layer.digest)) {
        // The digest of an uncompressed layer is its diff ID, so a difference shows
        // without reading it. Bytes of no known form are either not compressed or not a layer.
        let what = match layer.content {
            Some(Content::Tar) => "a plain tar",
            Some(Content::Empty) => "empty",
            Some(Content::Other) => "not compressed in a known format",
            _ => continue,
        };
        if layer.digest.algorithm() == Some(Algorithm::Sha256)
            && matches!(layer.kind, Kind::Layer { .. })
        {
            return Err(Error::new(
                Code::DiffIdMismatch,
                format!(
                    "{} is {what} and has the digest {}, but the config's diff ID is {}",
                    document.location_of(layer),
                    layer.digest,
                    escape(&diff_id.to_string())
                ),
            )
            .with_location(document.location_of(layer))
            .with_expected(diff_id)
            .with_found(&layer.digest)
            .with_hint(Hint::SaveWrongAgain));
        }
    }
    Ok(true)
}

/// Refuses diff IDs that are not digests: no content has one.
fn require_valid(document: &Document, diff_ids: &[StatedDiffId]) -> Result<()> {
    for (position, diff_id) in diff_ids.iter().enumerate() {
        if let StatedDiffId::Invalid(text) = diff_id
            && let Err(error) = Digest::stated(text)
        {
            let config = document.config();
            let location = config.map(|config| document.location_of(config));
            let location = location.unwrap_or_else(|| document.path.clone().into());
            return Err(Error::new(
                error.code(),
                format!("{location}, rootfs, diff_ids[{position}]: {error}"),
            )
            .with_location(location)
            .with_found(text)
            .with_hint(Hint::BuildAgain));
        }
    }
    Ok(())
}

fn count_mismatch(document: &Document, layers: usize, diff_ids: usize) -> Error {
    Error::new(
        Code::LayerCountMismatch,
        format!(
            "{} lists {}, but its config has {}",
            document.path,
            count(layers as u64, "layer", "layers"),
            count(diff_ids as u64, "diff ID", "diff IDs")
        ),
    )
    .with_location(&document.path)
    .with_expected(diff_ids)
    .with_found(layers)
    .with_hint(Hint::BuildAgain)
}

//! Refuses what would be sent without its digest being verified.

use std::collections::BTreeSet;

use super::contents::Contents;
use super::item::{Item, items, within};
use super::target::PushTarget;
use crate::error::{Error, Hint, Result};
use crate::graph::document::Document;
use crate::graph::pointer::Pointer;
use crate::image::Digest;

/// Refuses contents that have a digest which cannot be verified.
///
/// # Errors
/// There is one.
pub(super) fn require_verifiable(
    contents: &Contents<'_>,
    target: Option<&PushTarget>,
) -> Result<()> {
    let documents = std::iter::once(&contents.root).chain(contents.documents.values());
    for document in documents {
        if let Some(pointer) = unverifiable(contents, document) {
            let (location, error) = (document.location_of(pointer), pointer.digest.unsupported());
            let message = format!("{location}: {error}, so its content cannot be pushed");
            let error = Error::new(error.code(), message).with_location(location);
            let error = error.with_found(pointer.digest.algorithm_name());
            return Err(error.with_hint(way_out(contents, target)));
        }
    }
    Ok(())
}

/// The first descriptor of a document whose content would be sent and cannot be verified.
fn unverifiable<'d>(contents: &Contents<'_>, document: &'d Document) -> Option<&'d Pointer> {
    document.pointers.iter().find(|pointer| {
        contents.blobs.contains_key(&pointer.digest)
            && !(pointer.is_foreign() && pointer.has_urls)
            && !pointer.digest.is_verifiable()
    })
}

/// The hint to push the other images.
fn way_out(contents: &Contents<'_>, target: Option<&PushTarget>) -> Hint {
    let is_refused = |digest: &&Digest| match contents.documents.get(digest) {
        Some(document) => unverifiable(contents, document).is_some(),
        None => !digest.is_verifiable(),
    };
    let items = items(contents);
    let (refused, mut others): (Vec<&Item<'_>>, Vec<&Item<'_>>) = items
        .iter()
        .partition(|item| within(contents, item.digest).iter().any(is_refused));
    // What refers to an image goes with it.
    let about: BTreeSet<&Digest> = refused
        .iter()
        .flat_map(|item| item.about.iter().copied())
        .collect();
    others
        .retain(|item| item.is_independent() && within(contents, item.digest).is_disjoint(&about));
    let image = match others.as_slice() {
        [] => return Hint::BuildVerifiable,
        [only] => only.choice(&items, &contents.origin),
        _ => None,
    };
    Hint::PushVerifiable {
        target: target.map(PushTarget::to_string),
        image,
    }
}

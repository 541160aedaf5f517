//! What is not usable because the archive lacks something that it needs.

use super::closure::Item;
use super::is_attestation;
use crate::graph::link::LinkKind;
use crate::graph::pointer::Pointer;
use crate::graph::referrers::{Listing, Referrers};
use crate::graph::{Graph, ManifestRole};
use crate::image::Digest;
use crate::image::media_type::Kind;
use crate::location::Role;

/// What cannot be used without absent content: manifests that lack a part, what is listed and absent, and
/// what is about an absent manifest and useless without it.
pub(super) fn unusable<'a>(graph: &'a Graph, referrers: &Referrers<'a>) -> Vec<Item<'a>> {
    let is_absent = |digest: &Digest| {
        !graph.inventory.blobs.contains_key(digest) && !graph.synthesized.contains_key(digest)
    };
    let manifests = graph.manifests.iter();
    let incomplete = manifests
        .filter(|(digest, facts)| !facts.is_whole && absent_layers(graph, digest).is_empty());
    let mut items: Vec<Item<'_>> = incomplete
        .map(|(digest, _)| Item::Document(digest))
        .collect();
    for (number, listing) in referrers.listings.iter().enumerate() {
        let pointer = listing.pointer;
        if is_absent(&pointer.digest) {
            items.push(Item::Document(&pointer.digest));
        }
        let mut links = pointer.links.iter();
        let is_unlinked = links.any(|link| link.kind == LinkKind::About && is_absent(&link.digest));
        // Other referrers may have a subject elsewhere.
        let document = graph.document(&pointer.digest);
        let subject = document
            .filter(|_| is_attestation(pointer, graph))
            .and_then(|document| document.pointers_in(Role::Subject).next());
        if is_unlinked || subject.is_some_and(|subject| is_absent(&subject.digest)) {
            items.push(Item::Listing(number));
        }
    }
    items.extend(useless_lists(graph).map(Item::Document));
    items
}

/// The layers that a build cache lacks, if it has others: its config names them by digest, and a reader ignores
/// those that the manifest does not list.
pub(super) fn absent_layers<'a>(graph: &'a Graph, digest: &Digest) -> Vec<Listing<'a>> {
    let Some((owner, document)) = graph.documents.get_key_value(digest) else {
        return Vec::new();
    };
    let facts = graph.manifests.get(digest);
    let is_cache = facts.is_some_and(|facts| facts.role == ManifestRole::Cache);
    let config = document.config().and_then(|config| config.content);
    let layers = document.pointers.iter().enumerate();
    let layers = layers.filter(|(_, pointer)| pointer.role == Role::Layers);
    let (present, absent): (Vec<_>, Vec<_>) =
        layers.partition(|(_, layer)| layer.content.is_some() || layer.is_optional());
    if !is_cache || config.is_none() || present.is_empty() {
        return Vec::new();
    }
    let absent = absent.into_iter();
    absent
        .map(|(position, pointer)| Listing {
            owner: Some(owner),
            document,
            position,
            pointer,
        })
        .collect()
}

/// Build caches in the form of an index that lack their config or all layers.
fn useless_lists(graph: &Graph) -> impl Iterator<Item = &Digest> {
    let indexes = graph.documents.iter();
    let useless = indexes.filter(|(_, document)| {
        let (configs, others): (Vec<&Pointer>, Vec<&Pointer>) = document
            .pointers_in(Role::Manifests)
            .partition(|pointer| pointer.kind == Kind::CacheConfig);
        let is_absent = |pointer: &&Pointer| pointer.content.is_none();
        let lacks_layers = !others.is_empty() && others.iter().all(is_absent);
        !configs.is_empty() && (configs.iter().any(is_absent) || lacks_layers)
    });
    useless.map(|(digest, _)| digest)
}

//! Blobs that nothing refers to.

use crate::graph::Graph;
use crate::graph::opaque::annotated;
use crate::image::Digest;

/// What became known about blobs that nothing refers to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Orphans {
    /// Their digests, sorted.
    pub(crate) digests: Vec<Digest>,
    /// Others that must stay.
    pub(crate) held: Vec<Digest>,
    /// Why they, and what a fix replaces, must stay in a layout that is fixed where it is.
    pub(crate) held_because: Option<HeldBecause>,
    /// A document that may name such blobs and cannot be read. `digests` is empty then.
    pub(crate) unreadable: Option<Digest>,
}

/// Why blobs must stay in a layout that is fixed where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeldBecause {
    /// A build may be running, so nothing may be removed.
    Building,
    /// They have changed in so many seconds, so a build may have written them that is not complete.
    YoungerThan(u64),
}

impl Orphans {
    /// The blobs that neither `index.json` nor `manifest.json` leads to, through documents of the graph and
    /// [others](crate::graph::Opaque).
    pub(crate) fn of(graph: &Graph) -> Self {
        let mut referred: Vec<(u64, &Digest)> = Vec::with_capacity(graph.inventory.blobs.len());
        // A layer may be named millions of times.
        let mut enough = 2 * graph.inventory.blobs.len() + 4096;
        for digest in stated(graph).chain(graph.opaque.named()) {
            if referred.len() == enough {
                referred.sort_unstable();
                referred.dedup();
                enough = 2 * referred.len().max(enough / 2);
            }
            referred.push(key(digest));
        }
        // The first bytes decide nearly always, and comparing them needs no look at the documents.
        referred.sort_unstable();
        let inventory = graph.inventory.blobs.keys();
        let others = inventory.filter(|digest| referred.binary_search(&key(digest)).is_err());
        let others: Vec<Digest> = others.cloned().collect();
        match graph.opaque.unreadable().first() {
            Some(unreadable) if !others.is_empty() => Orphans {
                unreadable: Some(unreadable.clone()),
                ..Self::default()
            },
            _ => Orphans {
                digests: others,
                ..Self::default()
            },
        }
    }

    /// Holds those of which this is true.
    pub(crate) fn hold(&mut self, because: HeldBecause, is_held: impl FnMut(&mut Digest) -> bool) {
        self.held = self.digests.extract_if(.., is_held).collect();
        if because == HeldBecause::Building || !self.held.is_empty() {
            self.held_because = Some(because);
        }
    }
}

fn key(digest: &Digest) -> (u64, &Digest) {
    (digest.first_bytes(), digest)
}

/// Every digest that a document or `manifest.json` states.
fn stated(graph: &Graph) -> impl Iterator<Item = &Digest> {
    let documents = std::iter::once(&graph.root).chain(graph.documents.values());
    let of_documents = documents.flat_map(|document| {
        let pointers = document.pointers.iter().map(|pointer| &pointer.digest);
        pointers.chain(annotated(document))
    });
    let items = graph.docker_archive.iter().flatten();
    let of_items = items.flat_map(|item| {
        let layers = item.layer_digests.iter().flatten();
        layers.chain(&item.config_digest)
    });
    of_documents.chain(of_items)
}

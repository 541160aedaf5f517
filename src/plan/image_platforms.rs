//! The platforms that images are for.

use std::collections::{BTreeMap, BTreeSet};

use crate::graph::Graph;
use crate::graph::referrers::Listing;
use crate::image::{Digest, Platform};

/// The platforms of each image: those that indexes state for it, else the one that its config states. An index can list one
/// manifest for several platforms.
#[derive(Debug, Default)]
pub(crate) struct ImagePlatforms<'a> {
    first: BTreeMap<&'a Digest, &'a Platform>,
    /// Those after the first. Few images have any.
    others: BTreeMap<&'a Digest, BTreeSet<&'a Platform>>,
}

impl<'a> ImagePlatforms<'a> {
    /// What these entries of indexes say.
    pub(super) fn of(graph: &'a Graph, listings: impl Iterator<Item = Listing<'a>>) -> Self {
        let mut found = ImagePlatforms::default();
        for listing in listings {
            if let Some(platform) = listing.pointer.platform.as_deref() {
                found.add(&listing.pointer.digest, platform);
            }
        }
        for (image, facts) in &graph.manifests {
            if let Some(platform) = &facts.platform {
                found.first.entry(image).or_insert(platform);
            }
        }
        found
    }

    fn add(&mut self, image: &'a Digest, platform: &'a Platform) {
        let first = self.first.entry(image).or_insert(platform);
        let later = match platform < *first {
            true => std::mem::replace(first, platform),
            false => platform,
        };
        if later != *first {
            self.others.entry(image).or_default().insert(later);
        }
    }

    /// The platforms of an image, in their order.
    pub(crate) fn get(&self, image: &Digest) -> impl Iterator<Item = &'a Platform> {
        let others = self.others.get(image).into_iter().flatten();
        self.first(image).into_iter().chain(others.copied())
    }

    /// The first of them.
    pub(crate) fn first(&self, image: &Digest) -> Option<&'a Platform> {
        self.first.get(image).copied()
    }
}

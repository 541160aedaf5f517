//! Which image of each entry `manifest.json` describes.

use std::cell::LazyCell;
use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Error, Result};
use crate::graph::ManifestFacts;
use crate::graph::pointer::Pointer;
use crate::graph::referrers::{Listing, listings};
use crate::image::media_type::Kind;
use crate::image::{Content, Digest, Platform, Reference};
use crate::location::Role;
use crate::plan::entries::NamedEntry;
use crate::plan::image_platforms::ImagePlatforms;
use crate::plan::planner::Planner;
use crate::plan::selection::platforms::not_found;

/// An image of an entry that could be described.
struct Candidate<'a> {
    image: &'a Digest,
    platforms: Vec<&'a Platform>,
    config: &'a Digest,
    /// Whether `manifest.json` can describe it: Docker refuses the archive if a layer has no diff ID.
    is_describable: bool,
    /// Whether Docker can run what `manifest.json` says of it.
    is_runnable: bool,
}

impl<'a> Candidate<'a> {
    /// Its platforms, or `None` once if it has none.
    fn each_platform(&self) -> impl Iterator<Item = Option<&'a Platform>> + Clone {
        let unknown = self.platforms.is_empty().then_some(None);
        self.platforms.iter().copied().map(Some).chain(unknown)
    }
}

/// The image of an entry that `manifest.json` describes.
#[derive(Clone, Copy)]
struct Choice<'a> {
    image: &'a Digest,
    /// Whether it gives way to images of other entries that Docker can run.
    is_last_resort: bool,
}

impl<'a> Planner<'a> {
    /// Chooses the image of each entry that `manifest.json` describes: the requested platform,
    /// else what `manifest.json` described before, else this machine's platform, else the first image.
    /// An image that Docker cannot run is described only if all of them are like that, and one with layers that
    /// lack a diff ID never.
    ///
    /// # Errors
    /// Images have several platforms, and none of them the requested one.
    pub(crate) fn describe(&mut self) -> Result<()> {
        self.platforms = self.platforms_of_images();
        let items = self.graph.docker_archive.iter().flatten();
        let described_before: BTreeSet<&Digest> = items
            .filter_map(|item| item.config_digest.as_ref())
            .collect();
        let with_features = self.listed_with_features();
        let tagged = LazyCell::new(|| self.tagged());
        let asked = self.options.docker_platform.as_ref();
        let mut is_found = false;
        // Images with several platforms, none of which was requested.
        let mut others_only = Vec::new();
        let mut by_digest: BTreeMap<&Digest, Option<Choice<'_>>> = BTreeMap::new();
        let mut choices = Vec::with_capacity(self.entries.len());
        for entry in &self.entries {
            let choice = *by_digest.entry(entry.digest).or_insert_with(|| {
                let candidates = self.candidates(entry, &with_features);
                let platforms = candidates.iter().flat_map(Candidate::each_platform);
                // A single platform leaves no choice.
                let asked = asked.filter(|_| !is_single(platforms));
                let is_asked =
                    |platform: &Platform| asked.is_some_and(|asked| platform.matches(asked));
                let has_asked = find(&candidates, is_asked).is_some();
                is_found |= has_asked;
                let (runnable, others): (Vec<_>, Vec<_>) = candidates
                    .into_iter()
                    .filter(|candidate| candidate.is_describable)
                    .partition(|candidate| candidate.is_runnable);
                let found = find(&runnable, is_asked).or_else(|| find(&others, is_asked));
                if has_asked && found.is_none() {
                    return None;
                }
                let among = if runnable.is_empty() {
                    &others
                } else {
                    &runnable
                };
                let before = || {
                    let described =
                        |candidate: &&Candidate<'_>| described_before.contains(candidate.config);
                    let described: Vec<_> = among.iter().filter(described).collect();
                    if described.len() < 2 {
                        return described.first().copied();
                    }
                    // Other images may have the same platforms. An input that describes several under a name of
                    // this image has not chosen one.
                    let names = entry.names.iter();
                    let tagged: BTreeSet<&Digest> = names
                        .filter_map(|name| tagged.get(name))
                        .flatten()
                        .copied()
                        .collect();
                    let own = described.into_iter();
                    let mut own = own.filter(|found| tagged.contains(found.config));
                    own.next().filter(|_| own.next().is_none())
                };
                let host = || {
                    let host = self.host?;
                    find(among, |platform| {
                        platform.os == "linux" && platform.architecture == host
                    })
                };
                let chosen = found.or_else(before).or_else(host).or(among.first());
                if asked.is_some() && found.is_none() {
                    let platform = chosen.and_then(|chosen| self.platforms.first(chosen.image));
                    others_only.push((entry.position, platform));
                }
                chosen.map(|candidate| Choice {
                    image: candidate.image,
                    is_last_resort: !candidate.is_runnable && found.is_none(),
                })
            });
            choices.push(choice);
        }
        let has_others = choices
            .iter()
            .flatten()
            .any(|choice| !choice.is_last_resort);
        self.described = choices
            .into_iter()
            .map(|choice| {
                let choice = choice.filter(|choice| !(has_others && choice.is_last_resort));
                choice.map(|choice| choice.image)
            })
            .collect();
        let Some(asked) = asked.filter(|_| !others_only.is_empty()) else {
            return Ok(());
        };
        if !is_found {
            return Err(self.platform_not_found(asked));
        }
        self.lacking_platform = others_only;
        Ok(())
    }

    /// The configs that `manifest.json` gives each name.
    fn tagged(&self) -> BTreeMap<Reference, BTreeSet<&'a Digest>> {
        let mut tagged: BTreeMap<Reference, BTreeSet<&Digest>> = BTreeMap::new();
        for item in self.graph.docker_archive.iter().flatten() {
            let names = item
                .repo_tags
                .iter()
                .filter_map(|tag| Reference::parse(tag));
            for name in names {
                tagged.entry(name).or_default().extend(&item.config_digest);
            }
        }
        tagged
    }

    /// The complete images of an entry that engines can load.
    fn candidates(
        &self,
        entry: &NamedEntry<'a>,
        with_features: &BTreeSet<&Digest>,
    ) -> Vec<Candidate<'a>> {
        let images = entry.images.iter();
        let whole = images.filter_map(|image| {
            let facts = self.graph.manifests.get(image);
            let is_loadable = self.graph.faults.of(image).is_none();
            let facts = facts.filter(|facts| facts.is_whole && is_loadable)?;
            let needs_features = facts.needs_os_features || with_features.contains(image);
            Some(Candidate {
                image,
                platforms: self.platforms.get(image).collect(),
                config: &facts.config,
                is_describable: self.has_all_diff_ids(image, facts),
                is_runnable: !needs_features && self.has_tar_layers(image, facts),
            })
        });
        whole.collect()
    }

    /// Whether the config states a diff ID for each layer.
    fn has_all_diff_ids(&self, image: &Digest, facts: &ManifestFacts) -> bool {
        self.layers_of(image).count() == facts.diff_ids.len()
    }

    /// Whether all layers of an image are tars with diff IDs that may be theirs, as far as types and first bytes say.
    fn has_tar_layers(&self, image: &Digest, facts: &ManifestFacts) -> bool {
        let is_repaired = |layer: &Pointer| self.decisions.new_compression(&layer.digest).is_some();
        self.layers_of(image).all(|layer| {
            layer.kind != Kind::OpaqueLayer
                && layer.content != Some(Content::Other)
                && !facts.has_diff_id_of_bytes(layer)
                && (!self.graph.not_tars.contains_key(&layer.digest) || is_repaired(layer))
        })
    }

    fn layers_of(&self, image: &Digest) -> impl Iterator<Item = &'a Pointer> {
        let document = self.graph.document(image).into_iter();
        document.flat_map(|document| document.pointers_in(Role::Layers))
    }

    /// The images of which an entry that stays says that they require features of the operating system.
    fn listed_with_features(&self) -> BTreeSet<&'a Digest> {
        self.kept_listings()
            .filter(|listing| listing.pointer.needs_os_features)
            .map(|listing| &listing.pointer.digest)
            .collect()
    }

    fn platform_not_found(&self, platform: &Platform) -> Error {
        let none = BTreeSet::new();
        let mut available: BTreeSet<&Platform> = BTreeSet::new();
        for entry in &self.entries {
            let candidates = self.candidates(entry, &none);
            let platforms = candidates.iter().flat_map(Candidate::each_platform);
            if !is_single(platforms.clone()) {
                available.extend(platforms.flatten());
            }
        }
        not_found(
            "no image with several platforms",
            platform,
            available.into_iter(),
        )
    }

    /// The platforms of each image, without what is stated in entries that are left out.
    pub(crate) fn platforms_of_images(&self) -> ImagePlatforms<'a> {
        ImagePlatforms::of(self.graph, self.kept_listings())
    }

    /// The entries of indexes that stay, in their index or in its place.
    fn kept_listings(&self) -> impl Iterator<Item = Listing<'a>> {
        let selection = &self.selection;
        let unwrapped = selection.unwrapped.values();
        let unwrapped: BTreeSet<(&Digest, usize)> = unwrapped
            .map(|found| (&found.index.digest, found.pointer.position))
            .collect();
        listings(self.graph).filter(move |listing| {
            let entry = listing.owner.map(|owner| (owner, listing.pointer.position));
            selection.keeps(listing) || entry.is_some_and(|entry| unwrapped.contains(&entry))
        })
    }
}

/// Whether these are all the same, or there are none.
fn is_single<'p>(mut platforms: impl Iterator<Item = Option<&'p Platform>>) -> bool {
    let first = platforms.next();
    platforms.all(|platform| Some(platform) == first)
}

/// The first candidate with such a platform.
fn find<'c, 'a>(
    candidates: &'c [Candidate<'a>],
    is_wanted: impl Fn(&Platform) -> bool,
) -> Option<&'c Candidate<'a>> {
    candidates.iter().find(|candidate| {
        candidate
            .platforms
            .iter()
            .any(|platform| is_wanted(platform))
    })
}

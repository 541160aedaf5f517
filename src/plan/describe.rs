//! Which image of each entry `manifest.json` describes.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Code, Error, Result, show_list};
use crate::image::{Digest, Platform};
use crate::location::Role;
use crate::plan::entries::NamedEntry;
use crate::plan::planner::Planner;

/// An image of an entry that could be described.
struct Candidate<'a> {
    image: &'a Digest,
    platform: Option<&'a Platform>,
    config: &'a Digest,
}

impl<'a> Planner<'a> {
    /// Chooses the image of each entry that `manifest.json` describes: the requested platform,
    /// else what `manifest.json` described before, else this machine's platform, else the first image.
    ///
    /// # Errors
    /// No image has the requested platform.
    pub(crate) fn describe(&mut self) -> Result<()> {
        self.platforms = self.platforms_of_images();
        let items = self.graph.docker_archive.iter().flatten();
        let described_before: BTreeSet<&Digest> = items
            .filter_map(|item| item.config_digest.as_ref())
            .collect();
        let asked = self.options.platform.as_ref();
        let mut is_found = asked.is_none();
        let mut by_digest: BTreeMap<&Digest, Option<&Digest>> = BTreeMap::new();
        let mut described = Vec::with_capacity(self.entries.len());
        for entry in &self.entries {
            let image = *by_digest.entry(entry.digest).or_insert_with(|| {
                let candidates = self.candidates(entry);
                let find = |is_wanted: &dyn Fn(&Platform) -> bool| {
                    candidates
                        .iter()
                        .find(|candidate| candidate.platform.is_some_and(is_wanted))
                };
                let asked = asked.and_then(|asked| find(&|platform| platform.matches(asked)));
                is_found |= asked.is_some();
                let before = || {
                    candidates
                        .iter()
                        .find(|candidate| described_before.contains(candidate.config))
                };
                let host = || {
                    let host = self.host?;
                    find(&|platform| platform.os == "linux" && platform.architecture == host)
                };
                let chosen = asked.or_else(before).or_else(host).or(candidates.first());
                chosen.map(|candidate| candidate.image)
            });
            described.push(image);
        }
        self.described = described;
        match asked {
            Some(platform) if !is_found => Err(self.platform_not_found(platform)),
            _ => Ok(()),
        }
    }

    /// The images of an entry that are complete.
    fn candidates(&self, entry: &NamedEntry<'a>) -> Vec<Candidate<'a>> {
        let images = entry.images.iter();
        let whole = images.filter_map(|image| {
            let facts = self.graph.manifests.get(image);
            Some(Candidate {
                image,
                platform: self.platforms.get(image).copied(),
                config: &facts.filter(|facts| facts.is_whole)?.config,
            })
        });
        whole.collect()
    }

    fn platform_not_found(&self, platform: &Platform) -> Error {
        let candidates = self.entries.iter().flat_map(|entry| self.candidates(entry));
        let available: BTreeSet<String> = candidates
            .filter_map(|candidate| Some(candidate.platform?.to_string()))
            .collect();
        let available: Vec<_> = available.into_iter().collect();
        let found = show_list(&available);
        Error::new(
            Code::PlatformNotFound,
            format!("no image in the archive has the platform {platform}; available: {found}"),
        )
        .with_expected(platform)
        .with_found(found)
    }

    /// The platform of each image: what its index says, else what its config says.
    fn platforms_of_images(&self) -> BTreeMap<&'a Digest, &'a Platform> {
        let graph = self.graph;
        let manifests = graph.manifests.iter();
        let of_configs =
            manifests.filter_map(|(digest, facts)| Some((digest, facts.platform.as_ref()?)));
        let mut platforms: BTreeMap<&Digest, &Platform> = of_configs.collect();
        for document in std::iter::once(&graph.root).chain(graph.documents.values()) {
            for pointer in document.pointers_in(Role::Manifests) {
                if let Some(platform) = &pointer.platform {
                    platforms.insert(&pointer.digest, platform);
                }
            }
        }
        platforms
    }
}

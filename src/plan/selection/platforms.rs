//! The platforms that were requested, and the images that go because they are for others.

use std::collections::{BTreeMap, BTreeSet};

use super::closure::Item;
use crate::error::{Code, Error, Hint, Result, show_list};
use crate::graph::referrers::Referrers;
use crate::image::platform::NormalForm;
use crate::image::{Digest, Platform};
use crate::plan::planner::Planner;

/// The operating system of what is not an image.
pub(in crate::plan) const UNKNOWN: &str = "unknown";

/// Platforms that were requested, or that images have. There may be thousands of both.
#[derive(Debug, Default)]
pub(in crate::plan) struct Platforms<'p> {
    by_form: BTreeMap<NormalForm, Vec<&'p Platform>>,
}

impl<'p> Platforms<'p> {
    pub(in crate::plan) fn of(platforms: impl IntoIterator<Item = &'p Platform>) -> Self {
        let distinct: BTreeSet<&Platform> = platforms.into_iter().collect();
        let mut by_form: BTreeMap<NormalForm, Vec<&Platform>> = BTreeMap::new();
        for platform in distinct {
            by_form
                .entry(platform.normal_form())
                .or_default()
                .push(platform);
        }
        Platforms { by_form }
    }

    fn like(&self, platform: &Platform) -> impl Iterator<Item = &'p Platform> {
        let like = self.by_form.get(&platform.normal_form());
        like.into_iter().flatten().copied()
    }

    /// Whether an image for this platform is for one of these.
    pub(in crate::plan) fn want(&self, platform: &Platform) -> bool {
        let mut wanted = self.like(platform);
        wanted.any(|wanted| platform.matches_strictly(wanted))
    }

    /// Those of these for which there is an image, if there are images for these platforms.
    pub(in crate::plan) fn wanting<'i>(
        &self,
        platforms: impl Iterator<Item = &'i Platform>,
    ) -> BTreeSet<&'p Platform> {
        if self.by_form.is_empty() {
            return BTreeSet::new();
        }
        let platforms: BTreeSet<&Platform> = platforms.collect();
        let wanted = platforms.into_iter().flat_map(|platform| {
            let like = self.like(platform);
            like.filter(|wanted| platform.matches_strictly(wanted))
        });
        wanted.collect()
    }

    /// Whether an image for one of these satisfies a request for that platform.
    pub(in crate::plan) fn satisfy(&self, wanted: &Platform) -> bool {
        let mut platforms = self.like(wanted);
        platforms.any(|platform| platform.matches_strictly(wanted))
    }
}

impl<'a> Planner<'a> {
    /// What to leave out because it is for platforms that were not requested. `chosen` has the images that other options
    /// keep; `None` stands for all. An image whose platform is not known goes too, and so does an entry of another
    /// platform whose manifest is absent or cannot be read, or is that of an image that is also listed for a requested one.
    ///
    /// # Errors
    /// A requested platform is that of no chosen image.
    pub(super) fn other_platforms(
        &self,
        referrers: &Referrers<'a>,
        chosen: Option<&BTreeSet<&'a Digest>>,
    ) -> Result<Vec<Item<'a>>> {
        let wanted = &self.options.platforms;
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        // An index can have thousands of names, and thousands of images.
        let mut seen = BTreeSet::new();
        let entries = self.entries.iter();
        let distinct = entries.filter(|entry| seen.insert(entry.digest));
        let images: BTreeSet<&Digest> = distinct
            .flat_map(|entry| entry.images.iter().copied())
            .filter(|image| chosen.is_none_or(|chosen| chosen.contains(image)))
            .collect();
        // What an archive without images has is not for any platform.
        if images.is_empty() {
            return Ok(Vec::new());
        }
        let platforms = self.platforms_of_images();
        let requested = Platforms::of(wanted);
        let is_wanted = |platform: &Platform| requested.want(platform);
        let others = images.iter().copied().filter(|image| {
            let mut platforms = platforms.get(image);
            !platforms.any(is_wanted)
        });
        let mut others: Vec<Item<'_>> = others.map(Item::Document).collect();
        let leading = self.graph.leading_to_images();
        let listings = referrers.listings.iter().enumerate();
        let listed_for_others = listings.filter(|(_, listing)| {
            let (digest, platform) = (&listing.pointer.digest, &listing.pointer.platform);
            let is_other = |platform: &Platform| platform.os != UNKNOWN && !is_wanted(platform);
            platform.as_deref().is_some_and(is_other)
                && (images.contains(digest) || !leading.contains(digest))
        });
        others.extend(listed_for_others.map(|(number, _)| Item::Listing(number)));
        let available = || images.iter().flat_map(|image| platforms.get(image));
        let satisfying = Platforms::of(available());
        let mut absent = wanted.iter().filter(|wanted| !satisfying.satisfy(wanted));
        match absent.next() {
            None => Ok(others),
            Some(platform) => {
                let what = "no image in the archive";
                Err(not_found(what, platform, available()))
            }
        }
    }
}

/// The error for a platform that none of these images has; `what` says of which.
pub(in crate::plan) fn not_found<'p>(
    what: &str,
    platform: &Platform,
    available: impl Iterator<Item = &'p Platform>,
) -> Error {
    let available: BTreeSet<String> = available.map(Platform::specifier).collect();
    let available: Vec<_> = available.into_iter().collect();
    let platform = platform.specifier();
    let message = format!("{what} has the platform {platform}");
    let error = match available.is_empty() {
        true => Error::new(Code::PlatformNotFound, message),
        false => {
            let found = show_list(&available);
            let message = format!("{message}; available: {found}");
            Error::new(Code::PlatformNotFound, message).with_found(found)
        }
    };
    error
        .with_expected(platform)
        .with_hint(Hint::ChooseOtherPlatform)
}

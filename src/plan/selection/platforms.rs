//! The platforms that were requested, and the images that go because they are for others.

use std::collections::BTreeSet;

use super::closure::Item;
use crate::error::{Code, Error, Hint, Result, show_list};
use crate::image::{Digest, Platform};
use crate::plan::planner::Planner;

impl<'a> Planner<'a> {
    /// The images to leave out because they are for platforms that were not requested. `chosen` has the images that
    /// other options keep; `None` stands for all. An image whose platform is not known goes too.
    ///
    /// # Errors
    /// A requested platform is that of no chosen image.
    pub(super) fn other_platforms(
        &self,
        chosen: Option<&BTreeSet<&'a Digest>>,
    ) -> Result<Vec<Item<'a>>> {
        let wanted = &self.options.platforms;
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let images = self.entries.iter().flat_map(|entry| entry.images.iter());
        let images: BTreeSet<&Digest> = images
            .copied()
            .filter(|image| chosen.is_none_or(|chosen| chosen.contains(image)))
            .collect();
        // What an archive without images has is not for any platform.
        if images.is_empty() {
            return Ok(Vec::new());
        }
        let platforms = self.platforms_of_images();
        let mut is_found = vec![false; wanted.len()];
        let mut others = Vec::new();
        for image in &images {
            let mut is_wanted = false;
            for (wanted, is_found) in wanted.iter().zip(&mut is_found) {
                let platform = platforms.get(image);
                if platform.is_some_and(|platform| platform.matches_strictly(wanted)) {
                    (is_wanted, *is_found) = (true, true);
                }
            }
            if !is_wanted {
                others.push(Item::Document(image));
            }
        }
        let absent = wanted.iter().zip(is_found).find(|(_, is_found)| !is_found);
        match absent {
            None => Ok(others),
            Some((platform, _)) => {
                let available = images.iter().filter_map(|image| platforms.get(image));
                let what = "no image in the archive";
                Err(not_found(what, platform, available.copied()))
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

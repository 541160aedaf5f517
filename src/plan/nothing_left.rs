//! Requests that would leave nothing of the input.

use crate::error::{Code, Error, Hint, Result};
use crate::image::Digest;
use crate::location::Role;
use crate::plan::MissingPolicy;
use crate::plan::planner::Planner;

impl Planner<'_> {
    /// Refuses an output without an image, if the input has images, and an output of nothing.
    ///
    /// # Errors
    /// That is what would be left.
    pub(crate) fn refuse_nothing_left(&self, had_images: bool) -> Result<()> {
        if self.options.is_joined {
            return Ok(());
        }
        let allows_incomplete =
            self.options.allows_incomplete || self.options.missing == MissingPolicy::Prune;
        if had_images && !allows_incomplete {
            self.refuse_incomplete()?;
        }
        let is_left = match had_images {
            true => self.entries.iter().any(|entry| !entry.images.is_empty()),
            false => self.lists_anything(),
        };
        if is_left {
            return self.refuse_absent_part();
        }
        let (why, hint) = match self.options.missing {
            MissingPolicy::Prune => (
                "all of it lacks content that is not in the archive",
                Hint::SaveAgain,
            ),
            MissingPolicy::Keep | MissingPolicy::Error => (
                "the archive contains only attestations",
                Hint::KeepAttestations,
            ),
        };
        let message = format!("nothing would be left: {why}");
        Err(Error::new(Code::NothingLeft, message).with_hint(hint))
    }

    /// Refuses images of which none is complete, if others are left out: the next reader would refuse them.
    fn refuse_incomplete(&self) -> Result<()> {
        let mut images = self.entries.iter().flat_map(|entry| entry.images.iter());
        let is_whole = |image: &&Digest| {
            let facts = self.graph.manifests.get(*image);
            facts.is_some_and(|facts| facts.is_whole)
        };
        let missing = &self.graph.missing;
        let missing = missing.iter().find(|missing| {
            !missing.is_expected
                && !missing.is_child
                && !self.selection.left_out.contains(&missing.digest)
        });
        match missing {
            Some(missing) if !images.any(is_whole) => Err(missing.no_complete_image()),
            _ => Ok(()),
        }
    }

    /// Refuses a part of a divided input of which nothing is there.
    fn refuse_absent_part(&self) -> Result<()> {
        if self.part.is_none() {
            return Ok(());
        }
        let is_kept = |digest: &Digest| !self.selection.left_out.contains(digest);
        if self.graph.documents.keys().any(is_kept) {
            return Ok(());
        }
        let mut missing = self.graph.missing.iter();
        match missing.find(|missing| is_kept(&missing.digest)) {
            Some(missing) => Err(missing.no_complete_image()),
            None => Ok(()),
        }
    }

    fn lists_anything(&self) -> bool {
        let pointers = self.graph.root.pointers.iter().enumerate();
        let mut listed = pointers.filter(|(_, pointer)| pointer.role == Role::Manifests);
        listed.any(|(position, _)| !self.selection.root.contains(&position))
    }
}

//! Requests that would leave nothing of the input.

use crate::error::{Code, Error, Hint, Result};
use crate::location::Role;
use crate::plan::MissingPolicy;
use crate::plan::planner::Planner;

impl Planner<'_> {
    /// Refuses an output without an image, if the input has images, and an output of nothing.
    ///
    /// # Errors
    /// That is what would be left.
    pub(crate) fn refuse_nothing_left(&self, had_images: bool) -> Result<()> {
        let is_left = match had_images {
            true => self.entries.iter().any(|entry| !entry.images.is_empty()),
            false => self.lists_anything(),
        };
        if is_left {
            return Ok(());
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

    fn lists_anything(&self) -> bool {
        let pointers = self.graph.root.pointers.iter().enumerate();
        let mut listed = pointers.filter(|(_, pointer)| pointer.role == Role::Manifests);
        listed.any(|(position, _)| !self.selection.root.contains(&position))
    }
}

//! What the images of an output are called in the input, as `--image` needs it.

use crate::image::{Digest, Reference};
use crate::plan::{DigestChange, PlanOptions};

/// How an output differs from its input.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin<'a> {
    /// What was requested of it.
    pub(super) options: &'a PlanOptions,
    /// The digests that documents have in the input, if they have others.
    pub(super) changes: &'a [DigestChange],
}

impl Origin<'_> {
    /// Whether the output has what the input has, under the same names.
    pub(super) fn is_same(&self) -> bool {
        let PlanOptions {
            images, platforms, ..
        } = self.options;
        images.is_empty() && platforms.is_empty() && self.new_names().next().is_none()
    }

    /// Whether a name of the output is one of the input.
    pub(super) fn has_name(&self, name: &Reference) -> bool {
        self.new_names().all(|new| new != name)
    }

    /// The digest in the input of a document of the output; `None` if only the output has it.
    pub(super) fn digest_of<'d>(&'d self, digest: &'d Digest) -> Option<&'d Digest> {
        let is_own = |change: &&DigestChange| change.after.as_ref() == Some(digest);
        match self.changes.iter().find(is_own) {
            Some(change) => Some(&change.before),
            // Until all are known, this one may stand for another.
            None => {
                let is_known = self.changes.iter().all(|change| change.after.is_some());
                is_known.then_some(digest)
            }
        }
    }

    /// The names that options give.
    fn new_names(&self) -> impl Iterator<Item = &Reference> {
        let renamed = self.options.renames.iter().map(|(_, new)| new);
        self.options.names.iter().chain(renamed)
    }
}

//! Findings about content that the archive lacks.

use std::collections::BTreeSet;

use crate::error::Hint;
use crate::graph::{ManifestRole, Missing};
use crate::image::Digest;
use crate::image::media_type::Kind;
use crate::plan::Finding;
use crate::plan::planner::Planner;
use crate::plan::rules::FindingRule;

impl<'a> Planner<'a> {
    pub(super) fn missing(&self, findings: &mut Vec<Finding>) {
        let is_needed = |missing: &&Missing| !self.selection.left_out.contains(&missing.digest);
        let of_caches = self.of_caches();
        for missing in self.graph.missing.iter().filter(is_needed) {
            let location = Some(missing.location.clone());
            let digest = &missing.digest;
            findings.push(if missing.is_expected {
                FindingRule::AbsentContent.finding(
                    location,
                    format!("{digest} is not in the archive and may be fetched from elsewhere"),
                    None,
                )
            } else if missing.is_child {
                FindingRule::MissingManifest.finding(
                    location,
                    format!("the index lists {digest}, which is not in the archive; readers that require all platforms refuse the archive"),
                    Some(Hint::SaveAllPlatforms),
                )
            } else {
                let effect = match of_caches.contains(digest) {
                    true => "BuildKit runs the step again whose result it is",
                    false => "an image that needs it does not load",
                };
                FindingRule::MissingBlob.finding(
                    location,
                    format!("{digest} is not in the archive, and {effect}"),
                    None,
                )
            });
        }
    }

    /// What build caches list.
    fn of_caches(&self) -> BTreeSet<&'a Digest> {
        let caches = self.documents.iter().filter(|input| {
            let mut pointers = input.document.pointers.iter();
            input.role() == Some(ManifestRole::Cache)
                || pointers.any(|pointer| pointer.kind == Kind::CacheConfig)
        });
        let pointers = caches.flat_map(|input| &input.document.pointers);
        pointers.map(|pointer| &pointer.digest).collect()
    }
}

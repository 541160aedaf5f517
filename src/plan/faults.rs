//! Which faults of documents matter: those of documents that go out.

use std::collections::BTreeSet;

use crate::error::{Code, Error, Hint, Place, Result, escape, show_list};
use crate::graph::fault::is_refused;
use crate::graph::{Graph, ManifestRole};
use crate::image::Digest;
use crate::plan::planner::Planner;
use crate::plan::rules::FindingRule;
use crate::plan::{Finding, MissingPolicy, PlanOptions};

impl<'a> Planner<'a> {
    /// Refuses what must not go out: damage, and what readers understand differently. What no engine loads is
    /// refused only if nothing else goes out that one can load.
    ///
    /// # Errors
    /// The first of these faults.
    pub(crate) fn refuse_faults(&self) -> Result<()> {
        if self.options.is_joined {
            return Ok(());
        }
        let mut faults = self.faults();
        let refused = refused_item(self.graph, self.options).map(|(_, error)| error);
        let refused = refused.or_else(|| faults.find(|error| refuses(self.options, error)));
        let refused = refused.or_else(|| {
            let first = self.faults().next();
            first.filter(|_| !self.has_loadable_image())
        });
        refused.map_or(Ok(()), |error| Err(error.clone()))
    }

    /// What is wrong with documents that go out, as they are or with the choices of this plan.
    fn faults(&self) -> impl Iterator<Item = &Error> {
        let of_input = self.graph.faults.iter();
        let of_plan = self
            .unsupported
            .iter()
            .map(|(digest, error)| (*digest, error));
        let faults = of_input.chain(of_plan);
        let kept = faults.filter(|(digest, _)| !self.selection.left_out.contains(*digest));
        kept.map(|(_, error)| error)
    }

    /// What is wrong with items of `manifest.json` that would go out: an image that was requested is
    /// another one.
    fn item_faults(&self) -> impl Iterator<Item = (usize, &Error)> {
        let is_wanted = self.options.images.is_empty();
        let faults = self.graph.item_faults.iter();
        let faults = faults.filter(move |_| is_wanted);
        faults.map(|(position, error)| (*position, error))
    }

    fn has_loadable_image(&self) -> bool {
        // Thousands of names may lead to one index.
        let mut seen = BTreeSet::new();
        let entries = self.entries.iter();
        let distinct = entries.filter(|entry| seen.insert(entry.digest));
        let mut images = distinct.flat_map(|entry| entry.images.iter().copied());
        images.any(|image| {
            let facts = self.graph.manifests.get(image);
            facts.is_some_and(|facts| facts.role == ManifestRole::Image && facts.is_whole)
                && !self.unsupported.contains_key(image)
                && self.graph.faults.of(image).is_none()
        })
    }

    /// Keeps the layers of an image as they are, since one has no OCI media type or cannot be recompressed.
    pub(crate) fn keep_unsupported(&mut self, digest: &'a Digest, error: Error) {
        self.unsupported.entry(digest).or_insert(error);
    }

    /// What no engine can load, kept beside what one can.
    pub(crate) fn about_faults(&self, findings: &mut Vec<Finding>) {
        self.about_faults_of_items(findings);
        self.about_faults_of_documents(findings);
    }

    /// Images of `manifest.json` that the output lacks.
    pub(crate) fn about_faults_of_items(&self, findings: &mut Vec<Finding>) {
        for (position, error) in self.item_faults() {
            let rule = match error.code() {
                Code::MissingBlob => FindingRule::MissingBlob,
                _ => FindingRule::UnloadableImage,
            };
            let hint = error.hint().cloned();
            let names = self.graph.names_of_item(position).into_iter();
            let names: Vec<String> = names.map(|name| escape(&name)).collect();
            let what = match names.is_empty() {
                true => "the image".to_owned(),
                false => show_list(&names),
            };
            let verb = if names.len() > 1 { "were" } else { "was" };
            let why = format!("{what} {verb} left out");
            findings.push(finding(rule, error, &why, hint));
        }
    }

    fn about_faults_of_documents(&self, findings: &mut Vec<Finding>) {
        for error in self.faults() {
            let (rule, why, hint) = match error.code() {
                Code::UnsupportedCompression => (
                    FindingRule::UnsupportedCompression,
                    match error.hint() {
                        // Its diff ID is wrong too.
                        Some(Hint::BuildRefusedAgain) => {
                            "its type was kept, and no engine loads it"
                        }
                        _ => "its type was kept, and only docker load before Docker 29 reads it",
                    },
                    error.hint().cloned(),
                ),
                _ => (
                    FindingRule::UnloadableImage,
                    "most engines do not load it, and manifest.json omits it",
                    Some(Hint::ChooseOtherImages),
                ),
            };
            findings.push(finding(rule, error, why, hint));
        }
    }
}

/// What is wrong with an item of `manifest.json` that would go out and must not, with its position.
pub(crate) fn refused_item<'g>(
    graph: &'g Graph,
    options: &PlanOptions,
) -> Option<(usize, &'g Error)> {
    let is_wanted = options.images.is_empty();
    let mut faults = graph.item_faults.iter();
    let found = faults.find(|(_, error)| is_wanted && refuses(options, error));
    found.map(|(position, error)| (*position, error))
}

fn refuses(options: &PlanOptions, error: &Error) -> bool {
    let is_missing_refused = options.missing == MissingPolicy::Error;
    is_refused(error) || is_missing_refused && error.code() == Code::MissingBlob
}

fn finding(rule: FindingRule, error: &Error, why: &str, hint: Option<Hint>) -> Finding {
    let location = error.place().and_then(Place::location).cloned();
    rule.finding(location, format!("{error}; {why}"), hint)
}

//! Names with a digest that is not the image's: a rewritten manifest has a new one.

use crate::error::escape;
use crate::graph::Graph;
use crate::graph::pointer::{IMAGE_NAME, Pointer, REF_NAME};
use crate::image::Reference;
use crate::location::{Location, RootName};
use crate::plan::entries::NamedEntry;
use crate::plan::findings::naming;
use crate::plan::planner::Planner;
use crate::plan::rules::FindingRule;

impl NamedEntry<'_> {
    /// Whether a text is a name with a digest that the image does not have in the output.
    pub(crate) fn has_stale_digest(&self, text: &str) -> bool {
        text.contains('@') && Reference::parse(text).is_some_and(|name| self.is_stale(&name))
    }

    fn is_stale(&self, name: &Reference) -> bool {
        let digest = name.digest();
        digest.is_some_and(|digest| self.stable_digest != Some(digest))
    }
}

impl<'a> Planner<'a> {
    /// Takes names whose digest is not that of the image in the output. Annotations that state them stay, but
    /// nothing new repeats them.
    pub(crate) fn drop_false_names(&mut self) {
        let has_digest = |entry: &NamedEntry<'a>| {
            let pointer = self.graph.root.pointers.get(entry.position);
            let ref_name = pointer.and_then(|pointer| pointer.ref_name.as_deref());
            ref_name.is_some_and(|name| name.contains('@'))
                || entry.names.iter().any(Reference::is_digest)
        };
        if !self.entries.iter().any(has_digest) {
            return;
        }
        let changed = &self.rewritten.documents;
        let is_single = self.has_single_image();
        let mut findings = Vec::new();
        for entry in &mut self.entries {
            if changed.contains_key(entry.digest) {
                entry.stable_digest = None;
            }
            let names = std::mem::take(&mut entry.names);
            let (stale, names) = names.into_iter().partition(|name| entry.is_stale(name));
            entry.names = names;
            let stale: Vec<Reference> = stale;
            for name in stale {
                entry.has_false_name = true;
                let pointer = self.graph.root.pointers.get(entry.position);
                let location = match pointer {
                    Some(pointer) => location(self.graph, pointer, &name),
                    None => RootName::DockerManifest.into(),
                };
                let message = format!(
                    "the name {} has a digest that the image does not have in the output",
                    escape(&name.full())
                );
                findings.push(FindingRule::StaleDigestName.finding(
                    Some(location),
                    message,
                    Some(naming(entry, is_single)),
                ));
            }
        }
        self.name_findings.extend(findings);
    }
}

/// Where a name is stated.
fn location(graph: &Graph, pointer: &Pointer, name: &Reference) -> Location {
    let annotations = [
        (IMAGE_NAME, &pointer.image_name),
        (REF_NAME, &pointer.ref_name),
    ];
    let stated = annotations.into_iter().find(|(_, stated)| {
        let stated = stated.as_deref().and_then(Reference::parse);
        stated.as_ref() == Some(name)
    });
    match stated {
        Some((key, _)) => graph.root.location_of_annotation(pointer, key),
        None => RootName::DockerManifest.into(),
    }
}

//! Errors about damage say which images it concerns, because the others can do without.

use std::collections::BTreeSet;

use crate::error::{Code, Error, Hint, Place, escape, show_list};
use crate::graph::{Graph, ManifestRole};
use crate::image::Digest;
use crate::location::Role;

impl Graph {
    /// The same error, if it is about a damaged blob that some of the images need and others do not. It names those
    /// that need it, and its hint is to choose the others.
    pub(crate) fn with_images(&self, error: Error) -> Error {
        let is_replaceable = matches!(
            error.hint(),
            Some(Hint::ReplaceDamaged | Hint::CopyAgain | Hint::CopyCutShort)
        );
        let Some(digest) = damaged(&error).filter(|_| is_replaceable) else {
            return error;
        };
        let leading = self.leading_to_damage(&digest);
        if !self.has_another_image(&leading) {
            return error;
        }
        let listed = self.root.pointers_in(Role::Manifests);
        let listed = listed.filter(|pointer| leading.contains(&pointer.digest));
        let names: BTreeSet<String> = listed
            .map(|pointer| match pointer.name() {
                Some(name) => name.familiar(),
                None => pointer.digest.to_string(),
            })
            .collect();
        if names.is_empty() {
            return error;
        }
        let verb = match names.len() {
            1 => "needs",
            _ => "need",
        };
        let names: Vec<String> = names.iter().map(|name| escape(name)).collect();
        let suffix = format!("; {} {verb} it", show_list(&names));
        error.with_suffix(&suffix).with_hint(Hint::LeaveOutDamaged)
    }

    /// A blob, and the manifests and indexes that lead to it.
    fn leading_to_damage<'a>(&'a self, digest: &'a Digest) -> BTreeSet<&'a Digest> {
        let mut leading = BTreeSet::from([digest]);
        for document in &self.children_first {
            let named = self.document(document).map(|document| &document.pointers);
            let mut parts = named.into_iter().flatten().filter(|pointer| {
                matches!(pointer.role, Role::Manifests | Role::Config | Role::Layers)
            });
            if parts.any(|pointer| leading.contains(&pointer.digest)) {
                leading.insert(document);
            }
        }
        leading
    }

    /// Whether an image is complete without this content.
    fn has_another_image(&self, leading: &BTreeSet<&Digest>) -> bool {
        self.manifests.iter().any(|(digest, facts)| {
            facts.role == ManifestRole::Image
                && facts.is_whole
                && !leading.contains(digest)
                && self.faults.of(digest).is_none()
        })
    }
}

/// The blob that an error says is damaged.
fn damaged(error: &Error) -> Option<Digest> {
    let is_damage = matches!(
        error.code(),
        Code::DigestMismatch | Code::SizeMismatch | Code::DiffIdMismatch | Code::DamagedLayer
    );
    if !is_damage {
        return None;
    }
    blob_of(error)
}

/// The blob that an error is about.
pub(crate) fn blob_of(error: &Error) -> Option<Digest> {
    let entry = error.place().and_then(Place::entry);
    let stated = || {
        let is_of_digest = error.code() == Code::DigestMismatch;
        error.expected().filter(|_| is_of_digest)?.parse().ok()
    };
    entry.and_then(Digest::from_any_blob_name).or_else(stated)
}

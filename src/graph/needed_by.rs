//! Errors about damaged and missing content say which images it concerns, because the others can do without.

use std::collections::BTreeSet;

use crate::error::{Code, Error, Hint, Place, escape, show_list};
use crate::graph::{Graph, ManifestRole};
use crate::image::{Digest, Reference};
use crate::location::Role;

impl Graph {
    /// The same error, if it is about content that some of the images need and others do not. It names those that need it, and
    /// its hint says how to keep the others.
    pub(crate) fn with_images(&self, error: Error) -> Error {
        if let Some(position) = error.item() {
            return match self.has_another_image(&BTreeSet::new()) {
                true => self.with_item(error, position),
                false => error,
            };
        }
        match refused(&error).or_else(|| damaged(&error)) {
            Some(digest) => self.with_images_of(error, &digest),
            None => error,
        }
    }

    /// The same for an error that is known to be about this document or blob.
    pub(crate) fn with_images_of(&self, error: Error, digest: &Digest) -> Error {
        let leading = self.leading_to_damage(digest);
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
        match names.is_empty() {
            true => error,
            false => with_names(error, &names),
        }
    }

    /// The same for an error about an item of `manifest.json`, if there are other images.
    pub(crate) fn with_item(&self, error: Error, position: usize) -> Error {
        with_names(error, &self.names_of_item(position))
    }

    /// The names that an item of `manifest.json` gives its image, as they are shown.
    pub(crate) fn names_of_item(&self, position: usize) -> BTreeSet<String> {
        let items = self.docker_archive.as_deref().unwrap_or_default();
        let tags = items.get(position).map(|item| item.repo_tags.as_slice());
        let tags = tags.unwrap_or_default().iter();
        tags.map(|tag| match Reference::parse(tag) {
            Some(name) => name.familiar(),
            None => tag.clone(),
        })
        .collect()
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

/// The same error with the images that it concerns, if others are not concerned.
fn with_names(error: Error, names: &BTreeSet<String>) -> Error {
    let hint = match error.hint() {
        Some(Hint::ReplaceDamaged | Hint::CopyAgain | Hint::CopyCutShort) => {
            Some(Hint::LeaveOutDamaged)
        }
        // Beside others it is refused only on request.
        Some(Hint::SaveAgain) => Some(Hint::ChooseMissing),
        Some(Hint::UseLenient(lenient)) => Some(Hint::UseLenientOrLeaveOut(*lenient)),
        _ => None,
    };
    let verb = match names.len() {
        1 => "needs",
        _ => "need",
    };
    let names: Vec<String> = names.iter().map(|name| escape(name)).collect();
    let error = match names.is_empty() {
        true => error,
        false => error.with_suffix(&format!("; {} {verb} it", show_list(&names))),
    };
    match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
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

/// The document that an error is about or the missing blob, if others can go out without it.
pub(crate) fn refused(error: &Error) -> Option<Digest> {
    error.blob()?.parse().ok()
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

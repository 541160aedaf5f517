//! Which image of an entry of `index.json` an engine takes, if it has several platforms.

use std::collections::BTreeSet;

use crate::engines::Archive;
use crate::engines::habit::Habit;
use crate::engines::image::Image;
use crate::engines::judge::Judge;
use crate::engines::machine::Fit;
use crate::graph::document::{Document, Shape};
use crate::graph::pointer::Pointer;
use crate::image::media_type::{self, Family};
use crate::location::Role;

/// What an engine takes of an entry.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Choice<'a> {
    /// A manifest, which need not be that of an image.
    Manifest(Image<'a>),
    /// Nothing is for the machine.
    Nothing,
    /// An index that an index lists.
    Index(&'a Document, &'a Pointer),
    /// What the archive does not contain.
    Absent(&'a Document, &'a Pointer),
}

/// What containerd takes, and Docker with containerd.
///
/// Source: containerd, `images/image.go`, `Manifest`; moby, `daemon/containerd/image.go`.
pub(crate) fn by_containerd<'a>(judge: &mut Judge<'a>, entry: &'a Pointer) -> Choice<'a> {
    let archive = judge.archive;
    let takes_others = judge.has(Habit::RunsOtherPlatforms);
    let needs_present = takes_others && judge.has(Habit::ChoosesPresent);
    let fit = |pointer: &Pointer| match archive.machine.fit(pointer) {
        // Docker then asks the config.
        Fit::Unstated if needs_present => match is_run(archive, pointer) {
            true => Fit::Runs(0),
            false => Fit::Other,
        },
        fit => fit,
    };
    if needs_present {
        // It walks all manifests that are there, also those of indexes within indexes.
        let manifests = archive.manifests_below(entry).into_iter();
        let best = manifests.min_by_key(|manifest| fit(manifest.pointer));
        return best.map_or(Choice::Nothing, Choice::Manifest);
    }
    let Some(mut document) = archive.document(&entry.digest) else {
        return Choice::Nothing;
    };
    let mut pointer = entry;
    let mut seen = BTreeSet::new();
    while document.shape == Shape::Index {
        let children = document.pointers_in(Role::Manifests);
        let children = children.filter(|child| takes_others || fit(child) != Fit::Other);
        let Some(best) = children.min_by_key(|child| fit(child)) else {
            return Choice::Nothing;
        };
        let Some(child) = archive.document(&best.digest) else {
            return Choice::Absent(document, best);
        };
        if child.shape == Shape::Index && (takes_others || !seen.insert(&child.digest)) {
            return Choice::Index(document, best);
        }
        let is_other = child.shape == Shape::Manifest && fit(best) == Fit::Unstated;
        if is_other && !takes_others && !is_run(archive, best) {
            return Choice::Nothing;
        }
        (document, pointer) = (child, best);
    }
    Choice::Manifest(Image {
        manifest: document,
        pointer,
    })
}

/// Whether the machine runs an image, by what its config states.
fn is_run(archive: &Archive<'_>, manifest: &Pointer) -> bool {
    let config = archive
        .document(&manifest.digest)
        .and_then(Document::config);
    let facts = config.and_then(|config| archive.config(&config.digest));
    facts.is_some_and(|facts| archive.machine.runs(facts.stated(), true))
}

/// What a reader with container-libs takes that does not take all platforms.
///
/// Source: container-libs, `image/internal/manifest/oci_index.go`, `chooseInstance`.
pub(crate) fn by_container_libs<'a>(archive: &'a Archive<'_>, entry: &'a Pointer) -> Choice<'a> {
    let Some(document) = archive.document(&entry.digest) else {
        return Choice::Nothing;
    };
    let stated = document.media_type.as_deref().unwrap_or(&entry.media_type);
    let is_docker = media_type::family(stated) == Some(Family::Docker);
    let fit = |pointer: &Pointer| match archive.machine.strict_fit(pointer) {
        // Docker's lists state all platforms.
        Fit::Unstated if is_docker => Fit::Other,
        fit => fit,
    };
    if document.shape == Shape::Manifest {
        return Choice::Manifest(Image {
            manifest: document,
            pointer: entry,
        });
    }
    let children = document.pointers_in(Role::Manifests);
    let children = children.filter(|child| fit(child) != Fit::Other);
    let Some(best) = children.min_by_key(|child| fit(child)) else {
        return Choice::Nothing;
    };
    match archive.document(&best.digest) {
        None => Choice::Absent(document, best),
        Some(child) if child.shape == Shape::Index => Choice::Index(document, best),
        Some(manifest) => Choice::Manifest(Image {
            manifest,
            pointer: best,
        }),
    }
}

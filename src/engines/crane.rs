//! go-containerregistry's reader of Docker archives: `crane push` and `crane validate --tarball`, trivy, and apptainer since 1.4.
//!
//! Source: go-containerregistry, `pkg/v1/tarball/image.go`. Only `manifest.json` is read, of one image. The first layer decides
//! for all of them whether they are compressed. If they are not, a layer is found by its diff ID, so of layers with the same one, the
//! first is read each time. Names do not matter: the target of a push is an argument.

use std::collections::HashSet;

use crate::engines::config::is_decoded;
use crate::engines::docker::{is_unreadable, listed_items, note_unlisted};
use crate::engines::habit::Habit;
use crate::engines::image::{item_config, item_place, match_diff_ids, reads_content};
use crate::engines::judge::Judge;
use crate::engines::verdict::Tally;
use crate::engines::{Obstacle, Reader};
use crate::graph::docker_archive::DockerArchiveItem;
use crate::image::{Content, StatedDiffId};
use crate::inventory::LinkKind;
use crate::location::{Location, RootName};

/// What is read of the only image.
pub(crate) fn tarball<'a>(judge: &mut Judge<'a>) -> Tally<'a> {
    let mut tally = Tally::default();
    if is_unreadable(judge) {
        return tally;
    }
    let list = || RootName::DockerManifest.into();
    let archive = judge.archive;
    let is_renamed = archive
        .names
        .renamed
        .contains(RootName::DockerManifest.name());
    // Whatever it lists is not found then.
    if is_renamed && judge.fails_at(Obstacle::UncleanPath, list) {
        return tally;
    }
    let absent = (Obstacle::NoDockerManifest, list());
    let Some(items) = listed_items(judge, false, absent) else {
        return tally;
    };
    // Its callers cannot choose one.
    if items.len() > 1 && judge.fails_at(Obstacle::SeveralImages, list) {
        return tally;
    }
    for (position, item) in items.iter().enumerate() {
        if !is_read(judge, item, position) {
            tally.has_failed = true;
            continue;
        }
        tally.configs.extend(item.config_digest.as_ref());
    }
    note_unlisted(judge, &mut tally);
    tally
}

fn is_read(judge: &mut Judge<'_>, item: &DockerArchiveItem, position: usize) -> bool {
    let archive = judge.archive;
    let config = || item_place(position, "Config", None, &item.config);
    let digest = match item_config(judge, item, position) {
        Ok(digest) => digest,
        Err(is_passed) => return is_passed,
    };
    let mut is_read = is_decoded(judge, digest, config);
    is_read &= finds(judge, &item.config, position, ("Config", None));
    is_read &= has_known_digests(judge, &item.diff_ids, config);
    let content = |index: usize| {
        let digest = item.layer_digests.get(index)?.as_ref()?;
        archive.content(digest)
    };
    let is_first_compressed = content(0).is_some_and(is_compressed);
    let unread = match is_first_compressed {
        true => HashSet::new(),
        false => repetitions(&item.diff_ids),
    };
    let layers = item.layer_digests.iter().enumerate();
    let layers = layers.map(|(index, digest)| digest.as_ref().filter(|_| !unread.contains(&index)));
    let is_right = match judge.has(Habit::VerifiesDiffIds) {
        true => match_diff_ids(archive, layers, &item.diff_ids),
        false => item.layers.len() == item.diff_ids.len(),
    };
    if !is_right {
        is_read &= !judge.fails_at(Obstacle::WrongLayers, config);
    }
    if item.layers.is_empty() {
        is_read &= !judge.fails_at(Obstacle::NoLayers, config);
    }
    for (index, (name, digest)) in item.layers.iter().zip(&item.layer_digests).enumerate() {
        if unread.contains(&index) {
            continue;
        }
        let location = || item_place(position, "Layers", Some(index), name);
        is_read &= finds(judge, name, position, ("Layers", Some(index)));
        let content = content(index);
        if content.is_none() {
            is_read &= !judge.fails_at(Obstacle::MissingContent, location);
        }
        // trivy and apptainer decompress each layer by its own first bytes once the first one is compressed.
        let is_like_first = content.is_none_or(|content| {
            is_compressed(content) == is_first_compressed
                || is_first_compressed
                    && matches!(judge.reader, Reader::Trivy | Reader::ApptainerDocker)
        });
        if !is_like_first {
            is_read &= !judge.fails_at(Obstacle::MixedCompression, location);
        }
        is_read &= reads_content(judge, digest.as_ref(), location);
    }
    is_read
}

/// Whether a reader knows the algorithm of all diff IDs.
pub(crate) fn has_known_digests(
    judge: &mut Judge<'_>,
    diff_ids: &[StatedDiffId],
    location: impl FnOnce() -> Location,
) -> bool {
    let is_known = |diff_id: &StatedDiffId| {
        let known = diff_id.valid();
        known.is_some_and(|known| known.0.algorithm_name() == "sha256")
    };
    diff_ids.iter().all(is_known) || !judge.fails_at(Obstacle::OtherDigest, location)
}

/// The indexes of the diff IDs that are there before, too.
fn repetitions(diff_ids: &[StatedDiffId]) -> HashSet<usize> {
    let mut seen = HashSet::new();
    let repeated = diff_ids.iter().enumerate();
    let repeated = repeated.filter(|(_, diff_id)| !seen.insert(*diff_id));
    repeated.map(|(index, _)| index).collect()
}

/// Whether the file that a path names is found: neither its name nor the path is cleaned, and a hard link is taken for a path
/// from the link's own directory.
fn finds(
    judge: &mut Judge<'_>,
    path: &str,
    position: usize,
    (property, index): (&'static str, Option<usize>),
) -> bool {
    let archive = judge.archive;
    let names = &archive.names;
    let location = || item_place(position, property, index, path);
    let clean = path.strip_prefix("./").unwrap_or(path);
    let mut is_found = true;
    if names.absolute.contains(clean) {
        is_found &= !judge.fails_at(Obstacle::UncleanName, location);
    } else if names.renamed.contains(clean) == (clean == path) {
        is_found &= !judge.fails_at(Obstacle::UncleanPath, location);
    }
    if clean.contains('/') && names.links.get(clean) == Some(&LinkKind::Hard) {
        is_found &= !judge.fails_at(Obstacle::HardLink, location);
    }
    is_found
}

fn is_compressed(content: Content) -> bool {
    matches!(content, Content::Gzip | Content::Zstd)
}

//! The `docker-archive` transport of container-libs.
//!
//! Source: container-libs, `image/docker/internal/tarfile`.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::engines::config::is_decoded;
use crate::engines::docker::{is_tagged_name, is_unreadable, listed_items, note_unlisted};
use crate::engines::habit::Habit;
use crate::engines::image::{item_config, item_place, match_diff_ids, reads_content};
use crate::engines::judge::Judge;
use crate::engines::verdict::Tally;
use crate::engines::{Obstacle, Reader};
use crate::graph::docker_archive::DockerArchiveItem;
use crate::image::{Content, Reference, StatedDiffId};
use crate::inventory::LinkKind;
use crate::location::{Location, RootName};

/// What is copied from `docker-archive:FILE`. Entries are found by their cleaned names, and links are not followed
/// when layers are measured. Layers whose diff IDs are in the engine's store already are not read again.
pub(crate) fn docker_archive<'a>(
    judge: &mut Judge<'a>,
    stored: &HashSet<&StatedDiffId>,
) -> Tally<'a> {
    let mut tally = Tally::default();
    let is_gzip = judge.archive.outer == Some(Content::Gzip);
    if is_unreadable(judge)
        || is_gzip && judge.fails_at(Obstacle::OuterGzipDocker, || Location::Archive)
    {
        return tally;
    }
    let absent = (Obstacle::NoDockerManifest, RootName::DockerManifest.into());
    let Some(items) = listed_items(judge, false, absent) else {
        return tally;
    };
    // podman loads all of them.
    if items.len() > 1
        && matches!(
            judge.reader,
            Reader::SkopeoDocker | Reader::BuildahDocker | Reader::ApptainerDocker
        )
        && judge.fails_at(Obstacle::SeveralImages, || RootName::DockerManifest.into())
    {
        tally.must_choose = true;
    }
    for (position, item) in items.iter().enumerate() {
        let is_read = is_item_copied(judge, item, position, items.len() == 1, stored);
        tally.add_item(item, is_read);
    }
    note_unlisted(judge, &mut tally);
    // podman stops at the first image that it cannot load.
    if tally.has_failed && judge.reader == Reader::Podman && items.len() > 1 {
        tally.configs.clear();
    }
    tally
}

fn is_item_copied(
    judge: &mut Judge<'_>,
    item: &DockerArchiveItem,
    position: usize,
    is_only: bool,
    stored: &HashSet<&StatedDiffId>,
) -> bool {
    let archive = judge.archive;
    let config = || item_place(position, "Config", None, &item.config);
    let digest = match item_config(judge, item, position) {
        Ok(digest) => digest,
        Err(is_passed) => return is_passed,
    };
    let mut is_read = is_named_plainly(judge, &item.config, config);
    is_read &= is_decoded(judge, digest, config);
    let layers = item.layer_digests.iter().map(Option::as_ref);
    if !match_diff_ids(archive, layers, &item.diff_ids) {
        is_read &= !judge.fails_at(Obstacle::WrongLayers, config);
    }
    let mut seen = BTreeSet::new();
    let mut files: BTreeMap<String, &StatedDiffId> = BTreeMap::new();
    let mut measured: BTreeSet<&str> = BTreeSet::new();
    for (index, (name, digest)) in item.layers.iter().zip(&item.layer_digests).enumerate() {
        // A layer that the image has twice is read once.
        let Some(diff_id) = item.diff_ids.get(index) else {
            continue;
        };
        if !seen.insert(diff_id.to_string()) {
            continue;
        }
        let location = || item_place(position, "Layers", Some(index), name);
        if files.insert(name.clone(), diff_id).is_some() {
            is_read &= !judge.fails_at(Obstacle::SharedFile, location);
        }
        let content = digest.as_ref().and_then(|digest| archive.content(digest));
        is_read &= is_named_plainly(judge, name, location);
        let is_stored = stored.contains(diff_id);
        match archive.names.links.get(plain(name)).filter(|_| !is_stored) {
            Some(LinkKind::Hard) => is_read &= !judge.fails_at(Obstacle::HardLink, location),
            Some(LinkKind::Symbolic(target)) if !measured.contains(target.as_str()) => {
                is_read &= !judge.fails_at(Obstacle::SymbolicLink, location);
            }
            _ if content.is_none() => {
                is_read &= !judge.fails_at(Obstacle::MissingContent, location);
            }
            _ => {}
        }
        measured.insert(plain(name));
        let is_twice = digest
            .as_ref()
            .is_some_and(|digest| archive.other_than_tar(digest) == Some(Obstacle::LayerTwice));
        if !is_stored && (!is_twice || !judge.has(Habit::DecompressesTwice)) {
            is_read &= reads_content(judge, digest.as_ref(), location);
        }
    }
    for tag in &item.repo_tags {
        // skopeo compares names with the requested one, and needs none for an only image.
        let is_read_at_all = match judge.reader {
            Reader::SkopeoDocker | Reader::BuildahDocker | Reader::ApptainerDocker => {
                !is_only && Reference::parse(tag).is_none()
            }
            _ => true,
        };
        if is_read_at_all && !is_tagged_name(tag) {
            let place = || item_place(position, "RepoTags", None, tag);
            is_read &= !judge.fails_at(Obstacle::InvalidTag, place);
        }
    }
    is_read
}

/// A path of `manifest.json` without what precedes a plain name.
pub(crate) fn plain(path: &str) -> &str {
    path.trim_start_matches("./")
}

/// Whether a reader that does not find absolute names finds what a path of `manifest.json` names.
pub(crate) fn is_named_plainly(
    judge: &mut Judge<'_>,
    path: &str,
    location: impl FnOnce() -> Location,
) -> bool {
    let is_absolute = judge.archive.names.absolute.contains(plain(path));
    !is_absolute || !judge.fails_at(Obstacle::UncleanName, location)
}

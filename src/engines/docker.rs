//! `docker load` with a graph driver.
//!
//! Source: moby, `image/tarexport/load.go` and `pkg/archive`. The archive is unpacked, so links, absolute names and `./`
//! do no harm. `manifest.json` is the only list of images, and media types are not read.

use crate::engines::Obstacle;
use crate::engines::archive::DockerManifest;
use crate::engines::config::is_decoded;
use crate::engines::image::{item_config, item_place, match_diff_ids, reads_content};
use crate::engines::judge::Judge;
use crate::engines::verdict::Tally;
use crate::graph::docker_archive::DockerArchiveItem;
use crate::image::{Digest, Reference};
use crate::location::{Location, RootName};

/// What the engine loads.
pub(crate) fn load<'a>(judge: &mut Judge<'a>) -> Tally<'a> {
    if is_unreadable(judge) || is_not_unpacked(judge) {
        return Tally::default();
    }
    let absent = (Obstacle::NoDockerManifest, RootName::DockerManifest.into());
    let Some(items) = listed_items(judge, true, absent) else {
        return Tally::default();
    };
    let mut tally = Tally::default();
    for (position, item) in items.iter().enumerate() {
        let is_read = is_loaded(judge, item, position);
        tally.add_item(item, is_read);
    }
    note_unlisted(judge, &mut tally);
    tally
}

/// The images that `manifest.json` lists, for a reader that needs that file and fails with `absent` without it.
pub(crate) fn listed_items<'a>(
    judge: &mut Judge<'a>,
    finds_absolute: bool,
    absent: (Obstacle, Location),
) -> Option<&'a [DockerArchiveItem]> {
    let archive = judge.archive;
    let is_found = archive.finds(RootName::DockerManifest.name(), finds_absolute);
    let location = RootName::DockerManifest.into();
    let (obstacle, location) = match &archive.docker {
        DockerManifest::Items(items) if is_found && !items.is_empty() => return Some(items),
        DockerManifest::Items(_) if is_found => (Obstacle::NothingListed, location),
        DockerManifest::Other { .. } if is_found => (Obstacle::OtherDockerManifest, location),
        _ => absent,
    };
    judge.fails_at(obstacle, || location);
    None
}

/// Whether the engine cannot read the archive, whatever is in it.
pub(crate) fn is_unreadable(judge: &mut Judge<'_>) -> bool {
    let archive = judge.archive;
    let outer = archive.outer.and_then(Obstacle::of_outer);
    let is_closed = outer.is_some_and(|outer| judge.fails_at(outer, || Location::Archive));
    let is_misread = archive
        .misread
        .is_some_and(|name| judge.fails_at(Obstacle::MisreadEntry, || Location::entry(name)));
    is_closed || is_misread
}

/// Whether an engine that unpacks the complete archive refuses one of its entries.
pub(crate) fn is_not_unpacked(judge: &mut Judge<'_>) -> bool {
    let names = &judge.archive.names;
    let entries = [
        (Obstacle::OtherType, &names.other_type),
        (Obstacle::EarlyLink, &names.early_link),
        (Obstacle::EntryXattrs, &names.foreign_xattrs),
    ];
    let mut is_refused = false;
    for (obstacle, entry) in entries {
        if let Some(entry) = entry {
            is_refused |= judge.fails_at(obstacle, || Location::entry(entry));
        }
    }
    is_refused
}

fn is_loaded(judge: &mut Judge<'_>, item: &DockerArchiveItem, position: usize) -> bool {
    let archive = judge.archive;
    let place = |property, index, entry: &str| item_place(position, property, index, entry);
    let config = || place("Config", None, &item.config);
    let digest = match item_config(judge, item, position) {
        Ok(digest) => digest,
        Err(is_passed) => return is_passed,
    };
    let mut is_read = !is_for_another_system(judge, digest, config);
    is_read &= is_decoded(judge, digest, config);
    let layers = item.layer_digests.iter().map(Option::as_ref);
    if !match_diff_ids(archive, layers, &item.diff_ids) {
        is_read &= !judge.fails_at(Obstacle::WrongLayers, config);
    }
    for (index, (name, digest)) in item.layers.iter().zip(&item.layer_digests).enumerate() {
        let location = || place("Layers", Some(index), name);
        let content = digest.as_ref().and_then(|digest| archive.content(digest));
        let is_foreign = item.layer_sources.iter().any(|source| source.is_foreign);
        if content.is_none() && !is_foreign {
            is_read &= !judge.fails_at(Obstacle::MissingContent, location);
        }
        is_read &= reads_content(judge, digest.as_ref(), location);
    }
    for tag in &item.repo_tags {
        if !is_tagged_name(tag) {
            is_read &= !judge.fails_at(Obstacle::InvalidTag, || place("RepoTags", None, tag));
        }
    }
    is_read
}

/// Whether the engine, on Linux, refuses an image because of its operating system.
fn is_for_another_system(
    judge: &mut Judge<'_>,
    config: &Digest,
    location: impl Fn() -> Location,
) -> bool {
    let facts = judge.archive.config(config);
    let platform = facts.and_then(|facts| facts.platform.as_ref());
    match platform.map(|platform| platform.os.as_str()) {
        None | Some("linux") => false,
        Some("windows") => judge.fails_at(Obstacle::WindowsImage, location),
        Some(_) => judge.fails_at(Obstacle::OtherSystem, location),
    }
}

/// Whether it is a name with a tag.
pub(crate) fn is_tagged_name(name: &str) -> bool {
    let parsed = Reference::parse(name);
    parsed.is_some_and(|parsed| {
        let after = name.rsplit('/').next().unwrap_or_default();
        !parsed.is_digest() && after.contains(':')
    })
}

impl<'a> Tally<'a> {
    /// Counts an item of `manifest.json`.
    pub(crate) fn add_item(&mut self, item: &'a DockerArchiveItem, is_read: bool) {
        let config = item.config_digest.as_ref();
        let (true, Some(config)) = (is_read, config) else {
            self.has_failed = true;
            return;
        };
        self.configs.insert(config);
        self.has_unnamed |= item.repo_tags.is_empty();
        let names = item.repo_tags.iter();
        self.names
            .extend(names.map(|name| match Reference::parse(name) {
                Some(name) => name.full(),
                None => name.clone(),
            }));
    }
}

/// Notes an image that only `index.json` lists, for a reader of `manifest.json`.
pub(crate) fn note_unlisted(judge: &mut Judge<'_>, tally: &mut Tally<'_>) {
    if let Some((index, entry)) = judge.archive.only_in_index() {
        let location = || index.location_of(entry);
        tally.has_failed |= judge.fails_at(Obstacle::UnlistedImage, location);
    }
}

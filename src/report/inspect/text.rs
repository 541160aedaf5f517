//! The report of one inspection for people.

mod rows;

use std::collections::{BTreeSet, HashSet};
use std::io::{self, Write};

use self::rows::{digits, rows};
use super::{InspectReport, InspectStatus};
use crate::error::escape;
use crate::image::Reference;
use crate::inspect::{BlobCount, Inspected, InspectedChild, InspectedEntry, InspectedManifest};
use crate::location::RootName;
use crate::report::check::{Layout, layer_forms, shortened, wrapped};
use crate::report::text::{BOLD, YELLOW, bytes, count, verified};

/// How many layers of a manifest, names of an entry and missing blobs are shown.
const SHOWN: usize = 32;

/// Writes the report, with escape sequences for styles. Nothing is written if nothing could be read.
pub fn render(report: &InspectReport<'_>, layout: Layout, out: &mut dyn Write) -> io::Result<()> {
    let Some(inspected) = report.inspected else {
        return Ok(());
    };
    let input = escape(report.input);
    writeln!(out, "{BOLD}{input}: {}{BOLD:#}", contents(inspected))?;
    details(report, inspected, layout, out)
}

/// Writes what belongs below the first line of a report, or below the line of one of many inputs.
pub(super) fn details(
    report: &InspectReport<'_>,
    inspected: &Inspected,
    layout: Layout,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut facts = facts(inspected);
    if report.blobs.count > 0 && report.status == InspectStatus::Listed {
        facts += &format!("; {}", verified(&report.blobs, "found"));
    }
    writeln!(out, "{}", wrapped(&facts, 0, 2, layout.width))?;
    let mut page = Page {
        inspected,
        layout,
        shown: BTreeSet::new(),
        out,
    };
    for entry in &inspected.entries {
        page.entry(entry)?;
    }
    page.others()?;
    page.missing()?;
    for fault in &inspected.faults {
        let message = escape(&report.wording.error(fault));
        let text = format!("{message} [{}]", fault.code().name());
        let text = wrapped(&text, 9, 2, layout.width);
        writeln!(page.out, "\n{YELLOW}warning:{YELLOW:#} {text}")?;
    }
    if let Some(orphans) = inspected.orphans.filter(|orphans| orphans.count > 0) {
        let refers = "that nothing refers to";
        writeln!(page.out, "\norphans: {} {refers}", counted(orphans))?;
    }
    Ok(())
}

/// What there is, in short.
pub(super) fn contents(inspected: &Inspected) -> String {
    let images = || {
        let manifests = inspected.manifests.iter();
        manifests.filter(|manifest| manifest.kind.name() == "image")
    };
    if inspected.is_cache {
        return format!("a BuildKit cache, {}", counted(inspected.blobs));
    }
    if images().next().is_none() {
        let number = count(inspected.manifests.len() as u64, "artifact", "artifacts");
        return format!("no image, {number}");
    }
    let entries = inspected.entries.iter();
    let names = entries.clone().flat_map(|entry| &entry.names);
    let names = distinct(names.map(|name| familiar(name)));
    let tags = entries.filter(|entry| leads_to_image(inspected, entry));
    let tags = tags.flat_map(|entry| &entry.tags);
    let tags = distinct(tags.map(|tag| format!("tag {}", escape(tag))));
    let platforms = images().filter_map(|image| image.platform.as_ref());
    let platforms = distinct(platforms.map(|platform| escape(&platform.to_string())));
    let layers = images().flat_map(|image| &image.layers);
    let mut parts = vec![match (names.is_empty(), tags.is_empty()) {
        (false, _) => shortened(&names),
        (true, false) => shortened(&tags),
        (true, true) => "without a name".to_owned(),
    }];
    if !platforms.is_empty() {
        parts.push(shortened(&platforms));
    }
    parts.push(layer_forms(
        layers.map(|layer| (&layer.digest, layer.content)),
    ));
    parts.push(bytes(inspected.blobs.bytes));
    parts.join(", ")
}

/// The texts, each once.
fn distinct(texts: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen = HashSet::new();
    texts.filter(|text| seen.insert(text.clone())).collect()
}

/// Whether an entry leads to an image, or to an index that lists one.
fn leads_to_image(inspected: &Inspected, entry: &InspectedEntry) -> bool {
    let is_image = |position: usize| {
        let manifest = inspected.manifests.get(position);
        manifest.is_some_and(|manifest| manifest.kind.name() == "image")
    };
    let index = entry.index.and_then(|index| inspected.indexes.get(index));
    let children = index.into_iter().flat_map(|index| &index.manifests);
    let listed = children.filter_map(|child| child.manifest);
    entry.manifest.into_iter().chain(listed).any(is_image)
}

/// The name in the form that Docker shows.
fn familiar(name: &str) -> String {
    match Reference::parse(name) {
        Some(name) => escape(&name.familiar()),
        None => escape(name),
    }
}

fn counted(blobs: BlobCount) -> String {
    let number = count(blobs.count, "blob", "blobs");
    format!("{number} ({})", bytes(blobs.bytes))
}

/// Which form the input has.
fn facts(inspected: &Inspected) -> String {
    let files: Vec<&str> = inspected.files.iter().map(|file| file.name()).collect();
    let has_digests = inspected.entries.iter().any(|entry| entry.digest.is_some());
    let what = match inspected.files.contains(&RootName::Index) {
        true => "image layout",
        false if has_digests => "directory as skopeo writes it to dir:,",
        false => "Docker archive",
    };
    let mut text = format!(
        "{what} with {}, {}",
        files.join(", "),
        counted(inspected.blobs)
    );
    if let Some(compression) = inspected.compression {
        text += &format!(", compressed with {}", compression.name());
    }
    text
}

struct Page<'a> {
    inspected: &'a Inspected,
    layout: Layout,
    /// The positions of the manifests and indexes that were shown.
    shown: BTreeSet<(bool, usize)>,
    out: &'a mut dyn Write,
}

impl Page<'_> {
    fn limit(&self, len: usize) -> usize {
        match self.layout.is_full {
            true => len,
            false => len.min(SHOWN),
        }
    }

    fn line(&mut self, text: &str) -> io::Result<()> {
        let text = wrapped(text, 2, 4, self.layout.width);
        writeln!(self.out, "  {text}")
    }

    /// A line that may be copied, and so is never broken.
    fn value(&mut self, label: &str, value: &str) -> io::Result<()> {
        rows::value(label, value, self.out)
    }

    fn and_more(&mut self, len: usize, shown: usize) -> io::Result<()> {
        match len - shown {
            0 => Ok(()),
            more => writeln!(self.out, "    and {more} more"),
        }
    }

    fn entry(&mut self, entry: &InspectedEntry) -> io::Result<()> {
        writeln!(self.out)?;
        let limit = self.limit(entry.names.len());
        for name in entry.names.iter().take(limit) {
            writeln!(self.out, "{BOLD}{}{BOLD:#}", familiar(name))?;
        }
        self.and_more(entry.names.len(), limit)?;
        for tag in &entry.tags {
            let tag = escape(tag);
            writeln!(self.out, "{BOLD}tag {tag}{BOLD:#}, without a name")?;
        }
        if entry.names.is_empty() && entry.tags.is_empty() {
            writeln!(self.out, "{BOLD}without a name{BOLD:#}")?;
        }
        match (entry.index, entry.manifest, &entry.digest) {
            (Some(index), ..) => self.index(index),
            (_, Some(manifest), _) => self.manifest(manifest),
            (None, None, Some(digest)) => {
                if let Some(media_type) = &entry.media_type {
                    self.value("type", media_type)?;
                }
                self.value("digest", &digest.to_string())
            }
            (None, None, None) => Ok(()),
        }
    }

    fn index(&mut self, position: usize) -> io::Result<()> {
        // An index may be listed by another.
        let mut open = vec![position];
        while let Some(position) = open.pop() {
            let Some(index) = self.inspected.indexes.get(position) else {
                continue;
            };
            self.value("index", &index.digest.to_string())?;
            if !self.shown.insert((true, position)) {
                self.line("as above")?;
                continue;
            }
            if let Some(media_type) = &index.media_type {
                self.value("type", media_type)?;
            }
            let mut nested = Vec::new();
            let is_listed = self.layout.is_full || !self.inspected.is_cache;
            let mut unlisted = BlobCount::default();
            for child in &index.manifests {
                match (child.index, child.manifest) {
                    // Older caches list their layers here.
                    (None, None) if !is_listed => {
                        unlisted.count += 1;
                        unlisted.bytes = unlisted.bytes.saturating_add(child.len);
                    }
                    (Some(index), _) => nested.push(index),
                    (_, Some(manifest)) => {
                        writeln!(self.out)?;
                        self.manifest(manifest)?;
                    }
                    (None, None) => self.child(child)?,
                }
            }
            if unlisted.count > 0 {
                self.line(&format!("cache: {}", counted(unlisted)))?;
            }
            open.extend(nested.into_iter().rev());
        }
        Ok(())
    }

    /// Something in an index that is neither an index nor a manifest that could be read.
    fn child(&mut self, child: &InspectedChild) -> io::Result<()> {
        let what = match &child.platform {
            Some(platform) => escape(&platform.to_string()),
            None => escape(&child.media_type),
        };
        let absent = match child.is_present {
            true => "",
            false => ", not in the archive",
        };
        writeln!(self.out)?;
        self.line(&format!("{what}: {}{absent}", bytes(child.len)))?;
        self.value("digest", &child.digest.to_string())
    }

    fn manifest(&mut self, position: usize) -> io::Result<()> {
        let Some(manifest) = self.inspected.manifests.get(position) else {
            return Ok(());
        };
        let is_new = self.shown.insert((false, position));
        let heading = heading(manifest);
        match is_new {
            true => self.line(&heading)?,
            false => self.line(&format!("{heading}, as above"))?,
        }
        if let Some(digest) = &manifest.digest {
            self.value("digest", &digest.to_string())?;
        }
        if !is_new {
            return Ok(());
        }
        // That of an artifact says more than the type of its manifest.
        let artifact_type = manifest.artifact_type.as_ref();
        if let Some(media_type) = artifact_type.or(manifest.media_type.as_ref()) {
            self.value("type", media_type)?;
        }
        if manifest.kind.name() == "image" {
            self.value("config", &manifest.config.digest.to_string())?;
        }
        self.layers(manifest)
    }

    fn layers(&mut self, manifest: &InspectedManifest) -> io::Result<()> {
        let layers = &manifest.layers;
        let limit = match manifest.kind.name() {
            // There may be thousands, and they say little.
            "cache" if !self.layout.is_full => return Ok(()),
            _ => self.limit(layers.len()),
        };
        rows(&layers[..limit], self.layout, self.out)?;
        self.and_more(layers.len(), limit)
    }

    /// Manifests that only others name as what they are about.
    fn others(&mut self) -> io::Result<()> {
        let all = 0..self.inspected.manifests.len();
        let shown = &self.shown;
        let others: Vec<usize> = all
            .filter(|position| !shown.contains(&(false, *position)))
            .collect();
        for position in others {
            writeln!(self.out, "\n{BOLD}not listed in index.json{BOLD:#}")?;
            self.manifest(position)?;
        }
        Ok(())
    }

    fn missing(&mut self) -> io::Result<()> {
        let missing = &self.inspected.missing;
        if missing.is_empty() {
            return Ok(());
        }
        let number = count(missing.len() as u64, "blob", "blobs");
        writeln!(self.out, "\nmissing: {number} not in the archive")?;
        let limit = self.limit(missing.len());
        for missing in missing.iter().take(limit) {
            let expected = match missing.is_expected {
                true => ", which may be fetched from elsewhere",
                false => "",
            };
            let location = escape(&missing.location.to_string());
            self.line(&format!("{location}{expected}"))?;
        }
        self.and_more(missing.len(), limit)
    }
}

/// What a manifest is.
fn heading(manifest: &InspectedManifest) -> String {
    let kind = manifest.kind.name();
    let parts = match kind {
        "image" => count(manifest.layers.len() as u64, "layer", "layers"),
        _ => count(manifest.layers.len() as u64, "blob", "blobs"),
    };
    let mut what = match &manifest.platform {
        Some(platform) => format!("{} {kind}", escape(&platform.to_string())),
        None => kind.to_owned(),
    };
    if let [about] = manifest.about.as_slice() {
        what += &format!(" about {}", digits(about));
    }
    format!("{what}: {parts} ({})", bytes(manifest.layer_bytes()))
}

//! The images that `index.json` lists and their names, joined with what `manifest.json` says.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::error::{Code, Error, Hint, Result, count, escape, show_list};
use crate::graph::docker_archive::DockerArchiveItem;
use crate::graph::document::Document;
use crate::graph::pointer::{IMAGE_NAME, Pointer};
use crate::graph::{Graph, ManifestRole};
use crate::image::{Digest, Reference};
use crate::location::{Location, Role, RootName};

/// An entry of `index.json` that leads to images.
#[derive(Clone, Debug)]
pub(crate) struct NamedEntry<'a> {
    /// The position in the root's pointers.
    pub(crate) position: usize,
    /// The digest that the entry points at.
    pub(crate) digest: &'a Digest,
    /// The images, in order; one list for all entries of one digest.
    pub(crate) images: Rc<[&'a Digest]>,
    /// The names; none if the entry is unnamed. More than one if `manifest.json` added some.
    pub(crate) names: Vec<Reference>,
    /// Whether the first name replaces what the entry's annotations say.
    pub(crate) is_renamed: bool,
    /// Whether another image has the first of its names in the output.
    pub(crate) loses_first_name: bool,
    /// Whether other images have all of its names in the output, so that its annotations are removed.
    pub(crate) loses_name: bool,
    /// Whether a name was taken from it because its digest is not the image's.
    pub(crate) has_false_name: bool,
    /// The digest that a name may have: the entry's own, unless the document changes.
    pub(crate) stable_digest: Option<&'a Digest>,
    /// Names that are invalid according to the grammar of references.
    pub(crate) bad_names: Vec<BadName<'a>>,
}

/// A name that readers refuse, or that no user can type.
#[derive(Clone, Debug)]
pub(crate) struct BadName<'a> {
    pub(crate) name: &'a str,
    pub(crate) location: Location,
}

/// The name in a descriptor's annotations, if it is invalid according to the grammar.
pub(crate) fn bad_name_of<'a>(parent: &Document, pointer: &'a Pointer) -> Option<BadName<'a>> {
    let name = pointer.image_name.as_deref()?;
    Reference::parse(name).is_none().then(|| BadName {
        location: parent.location_of_annotation(pointer, IMAGE_NAME),
        name,
    })
}

/// How many steps it may take to find the images of all entries and items. An archive of 100,000 images takes a million; indexes that
/// list each other can make it the product of their lengths.
const MAX_STEPS: usize = 1 << 23;

/// Joins the names of both roots.
///
/// # Errors
/// `manifest.json` describes an image that `index.json` does not, or gives a name to another image; the entries lead to the same
/// images in too many ways.
pub(crate) fn join(graph: &Graph) -> Result<Vec<NamedEntry<'_>>> {
    let mut join = Join {
        graph,
        entries: Vec::new(),
        by_digest: BTreeMap::new(),
        by_name: BTreeMap::new(),
        by_config: BTreeMap::new(),
        other_configs: BTreeSet::new(),
        has_unreadable: false,
        holders: BTreeMap::new(),
        steps: MAX_STEPS,
    };
    for (position, pointer) in graph.root.pointers.iter().enumerate() {
        if pointer.role == Role::Manifests {
            join.add_entry(position, pointer)?;
        }
    }
    let items = graph.docker_archive.as_deref().unwrap_or_default();
    if !items.is_empty() {
        join.index_images();
    }
    for (position, item) in items.iter().enumerate() {
        if !graph.item_faults.contains_key(&position) {
            join.add_item(position, item)?;
        }
    }
    Ok(join.entries)
}

/// The names of each entry of the root that leads to images, by its position: what both roots say, in full, and then invalid
/// names as they are written.
///
/// # Errors
/// Those of [`join`].
pub(crate) fn named_entries(graph: &Graph) -> Result<BTreeMap<usize, Vec<String>>> {
    let entries = join(graph)?.into_iter().map(|entry| {
        let names = entry.names.iter().map(Reference::full);
        let invalid = entry.bad_names.iter().map(|bad| bad.name.to_owned());
        (entry.position, names.chain(invalid).collect())
    });
    Ok(entries.collect())
}

fn disagreement(what: String) -> Error {
    Error::new(
        Code::RootDisagreement,
        format!("index.json and manifest.json disagree: {what}"),
    )
    .with_hint(Hint::SaveFromTrusted)
}

/// The entries so far, and what finds them without going through all: thousands of names may lead
/// to thousands of images.
struct Join<'a> {
    graph: &'a Graph,
    entries: Vec<NamedEntry<'a>>,
    /// The entries that point at a digest.
    by_digest: BTreeMap<&'a Digest, Vec<usize>>,
    /// The digests that the entries of a name point at. Like the two below, only where `manifest.json` may ask for it.
    by_name: BTreeMap<Reference, BTreeSet<&'a Digest>>,
    /// The images of a config.
    by_config: BTreeMap<&'a Digest, Vec<&'a Digest>>,
    /// The configs of manifests that are not images.
    other_configs: BTreeSet<&'a Digest>,
    /// Whether there is a document that cannot be read.
    has_unreadable: bool,
    /// The digests that entries point at, by the images below.
    holders: BTreeMap<&'a Digest, Vec<&'a Digest>>,
    /// How many steps are left.
    steps: usize,
}

/// The entries that lead to the images of an item of `manifest.json`.
struct Leading<'a> {
    /// What they point at.
    digests: BTreeSet<&'a Digest>,
    /// Their numbers, in order.
    entries: Vec<usize>,
    /// How many of them are known to have names. Names are only added.
    named: usize,
}

impl Leading<'_> {
    /// The entry that a further name goes to: one without a name takes the first; the others become entries of their own.
    fn next(&mut self, entries: &[NamedEntry<'_>]) -> Option<usize> {
        while let Some(number) = self.entries.get(self.named) {
            if entries[*number].names.is_empty() {
                return Some(*number);
            }
            self.named += 1;
        }
        self.entries.first().copied()
    }
}

impl<'a> Join<'a> {
    fn add_entry(&mut self, position: usize, pointer: &'a Pointer) -> Result<()> {
        let known = self.by_digest.get(&pointer.digest);
        let images = match known.and_then(|known| known.first()) {
            Some(first) => Rc::clone(&self.entries[*first].images),
            None => {
                let images = (self.graph).images_below_within(&pointer.digest, &mut self.steps);
                let location = || self.graph.root.location_of(pointer);
                images.ok_or_else(|| too_many_ways(location()))?.into()
            }
        };
        if images.is_empty() {
            return Ok(());
        }
        let of_digest = self.by_digest.entry(&pointer.digest);
        of_digest.or_default().push(self.entries.len());
        self.entries.push(NamedEntry {
            position,
            digest: &pointer.digest,
            images,
            names: pointer.name().into_iter().collect(),
            is_renamed: false,
            loses_first_name: false,
            loses_name: false,
            has_false_name: false,
            stable_digest: Some(&pointer.digest),
            bad_names: bad_name_of(&self.graph.root, pointer).into_iter().collect(),
        });
        Ok(())
    }

    /// Counts the steps that an item takes.
    fn take_steps(&mut self, count: usize, position: usize) -> Result<()> {
        let left = self.steps.checked_sub(count);
        self.steps = left.ok_or_else(|| too_many_ways(item_location(position, "Config")))?;
        Ok(())
    }

    /// Fills in what finds entries by what an item of `manifest.json` says.
    fn index_images(&mut self) {
        let manifests = self.graph.manifests.values();
        let others = manifests.filter(|facts| facts.role != ManifestRole::Image);
        self.other_configs = others.map(|facts| &facts.config).collect();
        let mut faults = self.graph.faults.iter();
        self.has_unreadable = faults.any(|(digest, _)| self.graph.document(digest).is_none());
        let mut seen: BTreeSet<&Digest> = BTreeSet::new();
        for (number, entry) in self.entries.iter().enumerate() {
            for name in &entry.names {
                let of_name = self.by_name.entry(name.clone()).or_default();
                of_name.insert(entry.digest);
            }
            let is_first = self.by_digest[entry.digest].first() == Some(&number);
            for image in entry.images.iter().filter(|_| is_first) {
                let holders = self.holders.entry(image).or_default();
                holders.push(entry.digest);
                if let Some(facts) = self.graph.manifests.get(image) {
                    let of_config = self.by_config.entry(&facts.config).or_default();
                    if seen.insert(*image) {
                        of_config.push(image);
                    }
                }
            }
        }
    }

    fn add_item(&mut self, position: usize, item: &'a DockerArchiveItem) -> Result<()> {
        let config = item.config_digest.as_ref();
        let Some(images) = config.and_then(|config| self.by_config.get(config)) else {
            return match self.is_of_no_image(item) {
                true => Ok(()),
                false => Err(no_such_config(self.graph, position, item)),
            };
        };
        let images: Vec<&Digest> = images.clone();
        self.take_steps(images.len() * (item.layers.len() + 1), position)?;
        // One config can belong to several manifests: the same layers in two compressions, or the
        // same layers and other annotations, which the item cannot distinguish.
        let mut described = Vec::new();
        let mut first_error = None;
        for image in images {
            // What manifest.json says of an image that no engine loads is not written.
            if self.graph.faults.of(image).is_some() {
                described.push(image);
                continue;
            }
            match check_layers(self.graph, position, item, image) {
                Ok(()) => described.push(image),
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        if described.is_empty() {
            let unknown = || no_such_config(self.graph, position, item);
            return Err(first_error.unwrap_or_else(unknown));
        }
        if item.repo_tags.is_empty() {
            return Ok(());
        }
        let mut leading = self.leading_to(&described, position)?;
        for tag in &item.repo_tags {
            match Reference::parse(tag) {
                Some(name) => self.add_tag(name, tag, &mut leading)?,
                None => {
                    let bad = BadName {
                        name: tag,
                        location: item_location(position, "RepoTags"),
                    };
                    if let Some(entry) = leading.next(&self.entries) {
                        self.entries[entry].bad_names.push(bad);
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether an item describes something that is not an image, as containerd's exporter writes for every
    /// manifest, or may describe one that cannot be read.
    fn is_of_no_image(&self, item: &DockerArchiveItem) -> bool {
        let config = item.config_digest.as_ref();
        config.is_some_and(|config| self.other_configs.contains(config)) || self.has_unreadable
    }

    /// Adds a name to the first of these images, unless one of them has it. Without `index.json` several
    /// images may get one name.
    fn add_tag(&mut self, name: Reference, tag: &str, leading: &mut Leading<'a>) -> Result<()> {
        if let Some(known) = self.by_name.get(&name) {
            let (few, many) = match known.len() < leading.digests.len() {
                true => (known, &leading.digests),
                false => (&leading.digests, known),
            };
            if few.iter().any(|digest| many.contains(digest)) {
                return Ok(());
            }
            if !self.graph.is_root_synthesized {
                return Err(name_given_twice(self.graph, tag));
            }
        }
        if let Some(number) = leading.next(&self.entries) {
            let entry = &mut self.entries[number];
            // Most entries have one name, and a list that grows by itself has space for four.
            entry
                .names
                .reserve_exact(usize::from(entry.names.is_empty()));
            entry.names.push(name.clone());
            self.by_name.entry(name).or_default().insert(entry.digest);
        }
        Ok(())
    }

    /// The entries that lead to one of these images of an item.
    fn leading_to(&mut self, images: &[&Digest], position: usize) -> Result<Leading<'a>> {
        let holders = images.iter().filter_map(|image| self.holders.get(image));
        let digests: BTreeSet<&Digest> = holders.flatten().copied().collect();
        let entries = digests
            .iter()
            .filter_map(|digest| self.by_digest.get(digest));
        let mut entries: Vec<usize> = entries.flatten().copied().collect();
        entries.sort_unstable();
        self.take_steps(entries.len(), position)?;
        Ok(Leading {
            digests,
            entries,
            named: 0,
        })
    }
}

fn item_location(position: usize, property: &'static str) -> Location {
    Location::Item {
        position,
        property,
        index: None,
        entry: None,
    }
}

/// The error for entries and items that lead to the same images in too many ways.
fn too_many_ways(location: Location) -> Error {
    let message =
        format!("{location} and what precedes it lead to images in more than {MAX_STEPS} ways");
    Error::new(Code::DocumentTooLarge, message)
        .with_location(location)
        .with_expected(MAX_STEPS)
        .with_hint(Hint::SaveFewer)
}

/// The error for a name that readers give to different images.
pub(crate) fn name_given_twice(graph: &Graph, tag: &str) -> Error {
    let what = format!("the name {} to different images", escape(tag));
    if !graph.is_root_synthesized {
        return disagreement(format!("they give {what}"));
    }
    Error::new(
        Code::RootDisagreement,
        format!("manifest.json gives {what}"),
    )
    .with_location(RootName::DockerManifest)
    .with_hint(Hint::SaveApart)
}

fn no_such_config(graph: &Graph, position: usize, item: &DockerArchiveItem) -> Error {
    let configs: BTreeSet<&Digest> = graph
        .manifests
        .values()
        .filter(|facts| facts.role == ManifestRole::Image)
        .map(|facts| &facts.config)
        .collect();
    let configs: Vec<_> = configs.into_iter().collect();
    let known = if configs.is_empty() {
        "none".to_owned()
    } else {
        show_list(&configs)
    };
    disagreement(format!(
        "manifest.json[{position}] has the config {}, but the images of index.json have {known}",
        escape(&item.config)
    ))
    .with_location(item_location(position, "Config"))
    .with_expected(known)
    .with_found(&item.config)
}

fn check_layers(
    graph: &Graph,
    position: usize,
    item: &DockerArchiveItem,
    image: &Digest,
) -> Result<()> {
    let Some(document) = graph.document(image) else {
        return Ok(());
    };
    let layers: Vec<&Pointer> = document.pointers_in(Role::Layers).collect();
    if layers.len() != item.layers.len() {
        return Err(disagreement(format!(
            "manifest.json[{position}] has {}, {} has {}",
            count(item.layers.len() as u64, "layer", "layers"),
            document.path,
            layers.len()
        )));
    }
    for (number, layer) in layers.into_iter().enumerate() {
        let found = item.layer_digests.get(number).and_then(Option::as_ref);
        // Docker saves a foreign layer as a plain tar beside the descriptor of the remote one.
        let diff_id = item.diff_ids.get(number);
        let is_local_copy = layer.is_foreign()
            && match (found, diff_id) {
                (Some(found), Some(diff_id)) => diff_id.is_of(found),
                (found, diff_id) => found.is_none() && diff_id.is_none(),
            };
        if found != Some(&layer.digest) && !is_local_copy {
            return Err(disagreement(format!(
                "manifest.json[{position}], Layers[{number}] is {}, {}, layers[{number}] is {}",
                escape(&item.layers[number]),
                document.path,
                layer.digest
            )));
        }
    }
    Ok(())
}

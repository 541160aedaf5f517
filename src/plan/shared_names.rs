//! Names that several entries of `index.json` have. Each name stays with one of them, as it does in every engine.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Hint, Result, escape};
use crate::graph::docker_archive::DockerArchiveItem;
use crate::graph::pointer::{IMAGE_NAME, Pointer, REF_NAME};
use crate::image::{Digest, Reference};
use crate::location::Role;
use crate::plan::entries::{NamedEntry, name_given_twice};
use crate::plan::planner::Planner;
use crate::plan::rules::{FindingRule, Rule};

/// Who has a name.
#[derive(Clone, Copy)]
struct Holder<'a> {
    /// The position in the root's pointers.
    position: usize,
    digest: &'a Digest,
    /// Its number among the entries that lead to images, if it is one.
    entry: Option<usize>,
    /// Whether the name says what it is evidence about.
    is_tagged_evidence: bool,
}

/// A name of several holders.
struct Shared<'a> {
    /// As users write it.
    shown: String,
    /// `None` if it is a tag, or not a valid name.
    name: Option<Reference>,
    holders: Vec<Holder<'a>>,
}

impl<'a> Planner<'a> {
    /// Leaves each name with one entry: the last image that has it, to which docker and containerd give it.
    /// A tag made of a digest stays with the last evidence. An entry that repeats a name of the same image is left out.
    ///
    /// # Errors
    /// `index.json` and `manifest.json` disagree on which image is the last.
    pub(crate) fn separate_names(&mut self) -> Result<()> {
        // It was decided for the whole input which image has a name.
        if self.part.is_some() {
            return Ok(());
        }
        let all = self.shared();
        if all.is_empty() {
            return Ok(());
        }
        let described = self.last_items();
        let tagged = self.tagged_evidence();
        // What each entry loses: names, or what is not one.
        let mut lost: BTreeMap<usize, BTreeSet<Reference>> = BTreeMap::new();
        for shared in all {
            let Some(last) = shared.last() else { continue };
            let is_kept = |holder: &&Holder<'_>| !self.selection.root.contains(&holder.position);
            let mut holders = shared.holders.iter().filter(is_kept);
            let keeper = holders.find(|holder| holder.digest == last.digest);
            let keeper = *keeper.unwrap_or(&last);
            let others = shared.holders.iter().filter(is_kept);
            let others = others.filter(|holder| holder.position != keeper.position);
            let others: Vec<Holder<'_>> = others.copied().collect();
            if others.is_empty() {
                continue;
            }
            let mut all = shared.holders.iter();
            if all.any(|holder| holder.digest != keeper.digest) {
                let name = shared.name.as_ref();
                if let Some(item) = name.and_then(|name| described.get(name)) {
                    self.check_last(&shared.shown, item, keeper)?;
                }
                self.report_shared(&shared, keeper);
            }
            for holder in others {
                match holder.entry {
                    Some(number) => lost.entry(number).or_default().extend(shared.name.clone()),
                    None if holder.digest == keeper.digest
                        || self.has_other_tag(holder, &tagged) =>
                    {
                        let change = self.leave_out(holder.position, shared.name.as_ref());
                        self.changes.extend(change);
                    }
                    None => self.take_annotations(holder.position),
                }
            }
        }
        for (number, names) in &lost {
            if let Some(entry) = self.entries.get_mut(*number) {
                let first = entry.names.first();
                entry.loses_first_name |= first.is_some_and(|first| names.contains(first));
                entry.names.retain(|name| !names.contains(name));
                entry.loses_name = entry.names.is_empty();
            }
        }
        self.leave_out_repeated(lost.into_keys());
        Ok(())
    }

    /// The last item of `manifest.json` with each name.
    fn last_items(&self) -> BTreeMap<Reference, &'a DockerArchiveItem> {
        let items = self.graph.docker_archive.iter().flatten();
        let tags = items.flat_map(|item| item.repo_tags.iter().map(move |tag| (tag, item)));
        tags.filter_map(|(tag, item)| Some((Reference::parse(tag)?, item)))
            .collect()
    }

    /// The names and tags that several entries have.
    fn shared(&self) -> Vec<Shared<'a>> {
        let mut by_name: BTreeMap<Reference, Vec<Holder<'a>>> = BTreeMap::new();
        // Tags and what is not a name.
        let mut by_text: BTreeMap<&str, Vec<Holder<'a>>> = BTreeMap::new();
        let mut entries = self.entries.iter().enumerate().peekable();
        for (position, pointer) in self.graph.root.pointers.iter().enumerate() {
            let entry = entries.next_if(|(_, entry)| entry.position == position);
            let is_tagged_evidence = pointer.is_tagged_evidence();
            // Whether a tag says what an entry is depends on all that have it, and so does who keeps it.
            let is_left_out = self.selection.root.contains(&position) && !is_tagged_evidence;
            if pointer.role != Role::Manifests || pointer.is_saved_evidence() || is_left_out {
                continue;
            }
            let holder = Holder {
                position,
                digest: &pointer.digest,
                entry: entry.map(|(number, _)| number),
                is_tagged_evidence,
            };
            let names = match entry {
                Some((_, entry)) => entry.names.clone(),
                None => pointer.name().into_iter().collect(),
            };
            if let Some(text) = pointer.stated_name().filter(|_| names.is_empty()) {
                by_text.entry(text).or_default().push(holder);
            }
            for name in names {
                by_name.entry(name).or_default().push(holder);
            }
        }
        let names = by_name.into_iter().map(|(name, holders)| Shared {
            shown: name.familiar(),
            name: Some(name),
            holders,
        });
        let texts = by_text.into_iter().map(|(text, holders)| Shared {
            shown: text.to_owned(),
            name: None,
            holders,
        });
        let mut shared: Vec<Shared<'_>> = names
            .chain(texts)
            .filter(|shared| shared.holders.len() > 1)
            .collect();
        shared.sort_by_key(|shared| shared.holders.first().map(|holder| holder.position));
        shared
    }

    fn pointer_at(&self, position: usize) -> Option<&'a Pointer> {
        self.graph.root.pointers.get(position)
    }

    /// Whether another tag says what this evidence is about, so that an entry without a tag says nothing more.
    fn has_other_tag(&self, holder: Holder<'a>, tagged: &BTreeMap<&Digest, Vec<usize>>) -> bool {
        let mut positions = tagged.get(holder.digest).into_iter().flatten();
        holder.is_tagged_evidence
            && positions.any(|position| {
                *position != holder.position
                    && !self.selection.root.contains(position)
                    && !self.nameless.contains(position)
            })
    }

    /// The positions in the root's pointers of evidence under a tag made of a digest, by its own digest.
    fn tagged_evidence(&self) -> BTreeMap<&'a Digest, Vec<usize>> {
        let mut tagged: BTreeMap<&Digest, Vec<usize>> = BTreeMap::new();
        let pointers = self.graph.root.pointers.iter().enumerate();
        for (position, pointer) in pointers.filter(|(_, pointer)| pointer.is_tagged_evidence()) {
            tagged.entry(&pointer.digest).or_default().push(position);
        }
        tagged
    }

    /// Refuses a name that readers of `manifest.json` would give to another image.
    fn check_last(&self, name: &str, last: &DockerArchiveItem, keeper: Holder<'a>) -> Result<()> {
        let entry = keeper.entry.and_then(|number| self.entries.get(number));
        let mut images = entry.into_iter().flat_map(|entry| entry.images.iter());
        let is_same = images.any(|image| {
            let facts = self.graph.manifests.get(image);
            facts.is_some_and(|facts| Some(&facts.config) == last.config_digest.as_ref())
        });
        match is_same {
            true => Ok(()),
            false => Err(name_given_twice(self.graph, name)),
        }
    }

    fn report_shared(&mut self, shared: &Shared<'a>, keeper: Holder<'a>) {
        let pointer = self.pointer_at(keeper.position);
        let location = pointer.map(|pointer| self.graph.root.location_of(pointer));
        let images = shared.digests(|holder| holder.entry.is_some());
        let all = shared.digests(|_| true);
        let message = if all == images {
            format!(
                "{images} images have the name {}; like docker and containerd, ocify gives it to the last one, {}",
                escape(&shared.shown),
                keeper.digest
            )
        } else {
            let keeper_is = match (keeper.entry, images) {
                (Some(_), 1) => "the image",
                (Some(_), _) => "the last image",
                (None, _) => "the last one that is not an image",
            };
            format!(
                "{all} manifests have the name {}, {images} of them images; ocify gives it to {keeper_is}, {}",
                escape(&shared.shown),
                keeper.digest
            )
        };
        let hint = Some(Hint::SaveApart);
        let finding = FindingRule::SharedName.finding(location, message, hint);
        self.name_findings.push(finding);
    }

    /// Leaves out the entries without a name whose image has another entry.
    fn leave_out_repeated(&mut self, losers: impl Iterator<Item = usize>) {
        let keeps_name = |entry: &&NamedEntry<'a>| !entry.loses_name;
        let kept = self.entries.iter().filter(keeps_name);
        let mut kept: BTreeSet<&Digest> = kept.map(|entry| entry.digest).collect();
        let mut repeated = BTreeSet::new();
        for number in losers {
            let (position, digest, loses_name) = match self.entries.get(number) {
                Some(entry) => (entry.position, entry.digest, entry.loses_name),
                None => continue,
            };
            if loses_name && kept.insert(digest) {
                self.take_annotations(position);
            } else if loses_name {
                repeated.insert(position);
            }
        }
        self.entries
            .retain(|entry| !repeated.contains(&entry.position));
        for position in repeated {
            let name = self.pointer_at(position).and_then(Pointer::name);
            let change = self.leave_out(position, name.as_ref());
            self.changes.extend(change);
        }
    }

    /// Takes the annotations that name an entry.
    fn take_annotations(&mut self, position: usize) {
        let Some(pointer) = self.pointer_at(position) else {
            return;
        };
        let annotations = [
            (IMAGE_NAME, &pointer.image_name),
            (REF_NAME, &pointer.ref_name),
        ];
        for (key, stated) in annotations {
            if let Some(stated) = stated {
                let location = self.graph.root.location_of_annotation(pointer, key);
                let change = Rule::NameRemoved.change(location, Some(stated.clone()), None);
                self.changes.push(change);
                self.nameless.insert(position);
            }
        }
    }
}

impl<'a> Shared<'a> {
    /// How many manifests and indexes these holders are.
    fn digests(&self, is_counted: impl Fn(&Holder<'a>) -> bool) -> usize {
        let counted = self.holders.iter().filter(|holder| is_counted(holder));
        let digests: BTreeSet<&Digest> = counted.map(|holder| holder.digest).collect();
        digests.len()
    }

    /// The last evidence whose tag it is, else the last image that has the name, else the last of the others.
    fn last(&self) -> Option<Holder<'a>> {
        let mut all = self.holders.iter().rev();
        let evidence = all.clone().find(|holder| holder.is_tagged_evidence);
        let image = || all.find(|holder| holder.entry.is_some());
        evidence.or_else(image).or(self.holders.last()).copied()
    }
}

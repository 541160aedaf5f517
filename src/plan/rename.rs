//! The requested names, which replace those in the archive.

use std::collections::BTreeSet;

use crate::error::{Code, Error, Hint, Result, show_list};
use crate::image::Reference;
use crate::location::Role;
use crate::plan::entries::NamedEntry;
use crate::plan::planner::Planner;
use crate::plan::rules::Rule;
use crate::plan::{Change, Severity};

impl Planner<'_> {
    /// Gives images and artifacts the requested names. Entries that become superfluous are left out.
    ///
    /// # Errors
    /// Names for an archive of several images; a name to replace that nothing has; one name for two.
    pub(crate) fn rename(&mut self) -> Result<()> {
        let options = self.options;
        if options.names.is_empty() && options.renames.is_empty() {
            return Ok(());
        }
        self.artifacts = self.nameable_artifacts();
        if !options.names.is_empty() {
            self.replace_all()?;
        }
        for (old, new) in &options.renames {
            self.rename_one(old, new)?;
        }
        let renamed = options.renames.iter().map(|(_, new)| new);
        for name in options.names.iter().chain(renamed) {
            self.check_free(name)?;
        }
        Ok(())
    }

    /// Leaves an entry of the index out, which had that name. Returns the change, if there is one.
    pub(crate) fn leave_out(
        &mut self,
        position: usize,
        name: Option<&Reference>,
    ) -> Option<Change> {
        let pointer = self.graph.root.pointers.get(position)?;
        let is_new = self.selection.root.insert(position);
        is_new.then(|| {
            let location = self.graph.root.location_of(pointer);
            let change = Rule::NameEntry.change(location, name.map(Reference::full), None);
            change.with_severity(Severity::Warns)
        })
    }

    /// Refuses a name that something has which cannot be renamed, such as evidence, or that two have.
    fn check_free(&self, name: &Reference) -> Result<()> {
        let named = self.entries.iter().chain(&self.artifacts);
        let positions: BTreeSet<usize> = named.clone().map(|entry| entry.position).collect();
        let mut holders = named.filter(|entry| entry.names.contains(name));
        let holder = holders.next().map(|entry| entry.digest);
        let second = holders.find(|entry| Some(entry.digest) != holder);
        let mut pointers = self.graph.root.pointers.iter().enumerate();
        let other = pointers.find(|(position, pointer)| {
            second.is_some_and(|second| second.position == *position)
                || pointer.role == Role::Manifests
                    && pointer.name().as_ref() == Some(name)
                    && !self.selection.root.contains(position)
                    && !self.nameless.contains(position)
                    && !positions.contains(position)
        });
        match other {
            None => Ok(()),
            Some((_, pointer)) => Err(Error::new(
                Code::NameTaken,
                format!(
                    "cannot give the name {}: {} has it",
                    name.familiar(),
                    self.graph.root.location_of(pointer)
                ),
            )
            .with_location(self.graph.root.location_of(pointer))
            .with_found(name.familiar())
            .with_hint(Hint::ChooseOtherName)),
        }
    }

    /// Replaces the names of the only image, or of the only artifact of an archive without images.
    fn replace_all(&mut self) -> Result<()> {
        let are_images = !self.entries.is_empty();
        let mut entries = match are_images {
            true => std::mem::take(&mut self.entries),
            false => {
                let artifacts = std::mem::take(&mut self.artifacts).into_iter();
                // Evidence goes with what it is about, which has the name.
                let (evidence, others) =
                    artifacts.partition(|entry| self.is_about_kept(entry.digest, entry.position));
                self.artifacts = evidence;
                others
            }
        };
        let Some(first) = entries.first() else {
            return Err(Error::new(
                Code::ImageNotFound,
                "the archive does not contain an image or artifact to name",
            )
            .with_hint(Hint::OmitName));
        };
        if let Some(other) = entries.iter().find(|entry| entry.digest != first.digest) {
            let names = names(&entries);
            let shown = if names.is_empty() {
                format!("{}, {}", first.digest, other.digest)
            } else {
                show_list(&names)
            };
            let what = match are_images {
                true => "image",
                false => "artifact",
            };
            return Err(Error::new(
                Code::SeveralImages,
                format!(
                    "a name requires a single {what}, but the archive contains several: {shown}"
                ),
            )
            .with_found(shown)
            .with_hint(Hint::ChooseImage));
        }
        for entry in entries.split_off(1) {
            let change = self.leave_out(entry.position, entry.names.first());
            self.changes.extend(change.map(Change::requested));
        }
        for entry in &mut entries {
            entry.is_renamed = true;
            entry.names.clear();
            for name in &self.options.names {
                if !entry.names.contains(name) {
                    entry.names.push(name.clone());
                }
            }
            entry.bad_names.clear();
        }
        match are_images {
            true => self.entries = entries,
            false => self.artifacts.append(&mut entries),
        }
        Ok(())
    }

    fn rename_one(&mut self, old: &Reference, new: &Reference) -> Result<()> {
        let has = |name| move |entry: &NamedEntry<'_>| entry.names.contains(name);
        let is_image = self.entries.iter().any(has(old));
        let (entries, others) = match is_image {
            true => (&mut self.entries, &self.artifacts),
            false => (&mut self.artifacts, &self.entries),
        };
        let Some(holder) = entries.iter().position(has(old)) else {
            return Err(name_not_found(
                old,
                &[names(others), names(entries)].concat(),
            ));
        };
        let digest = entries[holder].digest;
        let is_other = |entry: &NamedEntry<'_>| entry.digest != digest && has(new)(entry);
        let is_taken = entries.iter().any(is_other);
        if is_taken || others.iter().any(is_other) {
            let holder = match (is_image, is_taken) {
                (true, true) => "another image",
                (false, true) => "another artifact",
                (true, false) => "an artifact",
                (false, false) => "an image",
            };
            return Err(Error::new(
                Code::NameTaken,
                format!(
                    "cannot rename {} to {}: {holder} in the archive has that name",
                    old.familiar(),
                    new.familiar()
                ),
            )
            .with_found(new.familiar())
            .with_hint(Hint::RenameOtherFirst));
        }
        let is_there_already = old != new && entries.iter().any(has(new));
        let entry = &mut entries[holder];
        if !is_there_already {
            for name in &mut entry.names {
                if name == old {
                    *name = new.clone();
                }
            }
            entry.is_renamed |= entry.names.first() == Some(new);
            return Ok(());
        }
        entry.is_renamed |= entry.names.first() == Some(old);
        entry.names.retain(|name| name != old);
        if entry.names.is_empty() {
            let superfluous = entries.remove(holder);
            let change = self.leave_out(superfluous.position, Some(old));
            self.changes.extend(change.map(Change::requested));
        }
        Ok(())
    }
}

fn name_not_found(old: &Reference, names: &[String]) -> Error {
    let old = old.familiar();
    let error = |what: String| {
        Error::new(Code::ImageNotFound, what)
            .with_expected(&old)
            .with_hint(Hint::ChooseName)
    };
    if names.is_empty() {
        return error(format!(
            "cannot rename {old}: no image or artifact in the archive has a name"
        ));
    }
    let found = show_list(names);
    error(format!(
        "no image or artifact in the archive has the name {old}; available: {found}"
    ))
    .with_found(found)
}

/// All names, as users write them.
fn names(entries: &[NamedEntry<'_>]) -> Vec<String> {
    let names = entries.iter().flat_map(|entry| &entry.names);
    names.map(Reference::familiar).collect()
}

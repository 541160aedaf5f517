//! The requested names, which replace those in the archive.

use crate::error::{Code, Error, Hint, Result, show_list};
use crate::image::Reference;
use crate::location::Role;
use crate::plan::entries::NamedEntry;
use crate::plan::planner::Planner;
use crate::plan::rules::Rule;
use crate::plan::{Change, Severity};

impl Planner<'_> {
    /// Gives images the requested names. Entries that become superfluous are left out.
    ///
    /// # Errors
    /// Names for an archive of several images; a name to replace that no image has; one name for two.
    pub(crate) fn rename(&mut self) -> Result<()> {
        if !self.options.names.is_empty() {
            self.replace_all()?;
        }
        for (old, new) in &self.options.renames {
            self.rename_one(old, new)?;
        }
        let renamed = self.options.renames.iter().map(|(_, new)| new);
        for name in self.options.names.iter().chain(renamed) {
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

    /// Refuses a name that something else than an image has, such as an artifact.
    fn check_free(&self, name: &Reference) -> Result<()> {
        let mut pointers = self.graph.root.pointers.iter().enumerate();
        let other = pointers.find(|(position, pointer)| {
            pointer.role == Role::Manifests
                && pointer.name().as_ref() == Some(name)
                && !self.selection.root.contains(position)
                && !self.nameless.contains(position)
                && self.entries.iter().all(|entry| entry.position != *position)
        });
        match other {
            None => Ok(()),
            Some((_, pointer)) => Err(Error::new(
                Code::NameTaken,
                format!(
                    "cannot name an image {}: {} has that name",
                    name.familiar(),
                    self.graph.root.location_of(pointer)
                ),
            )
            .with_location(self.graph.root.location_of(pointer))
            .with_found(name.familiar())
            .with_hint(Hint::ChooseOtherName)),
        }
    }

    fn replace_all(&mut self) -> Result<()> {
        let Some(first) = self.entries.first() else {
            return Err(Error::new(
                Code::ImageNotFound,
                "the archive does not contain an image to name",
            )
            .with_hint(Hint::OmitName));
        };
        if let Some(other) = self
            .entries
            .iter()
            .find(|entry| entry.digest != first.digest)
        {
            let names = names(&self.entries);
            let shown = if names.is_empty() {
                format!("{}, {}", first.digest, other.digest)
            } else {
                show_list(&names)
            };
            return Err(Error::new(
                Code::SeveralImages,
                format!(
                    "a name requires a single image, but the archive contains several: {shown}"
                ),
            )
            .with_found(shown)
            .with_hint(Hint::ChooseImage));
        }
        for entry in self.entries.split_off(1) {
            let change = self.leave_out(entry.position, entry.names.first());
            self.changes.extend(change.map(Change::requested));
        }
        for entry in &mut self.entries {
            entry.is_renamed = true;
            entry.names.clear();
            for name in &self.options.names {
                if !entry.names.contains(name) {
                    entry.names.push(name.clone());
                }
            }
            entry.bad_names.clear();
        }
        Ok(())
    }

    fn rename_one(&mut self, old: &Reference, new: &Reference) -> Result<()> {
        let entries = &mut self.entries;
        let holder = entries.iter().position(|entry| entry.names.contains(old));
        let Some(holder) = holder else {
            return Err(name_not_found(old, &names(entries)));
        };
        let digest = entries[holder].digest;
        if entries
            .iter()
            .any(|entry| entry.digest != digest && entry.names.contains(new))
        {
            return Err(Error::new(
                Code::NameTaken,
                format!(
                    "cannot rename {} to {}: another image in the archive has that name",
                    old.familiar(),
                    new.familiar()
                ),
            )
            .with_found(new.familiar())
            .with_hint(Hint::RenameOtherFirst));
        }
        let is_there_already = old != new && entries.iter().any(|entry| entry.names.contains(new));
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
            "cannot rename {old}: no image in the archive has a name"
        ));
    }
    let found = show_list(names);
    error(format!(
        "no image in the archive has the name {old}; available: {found}"
    ))
    .with_found(found)
}

/// All names, as users write them.
fn names(entries: &[NamedEntry<'_>]) -> Vec<String> {
    let names = entries.iter().flat_map(|entry| &entry.names);
    names.map(Reference::familiar).collect()
}

//! An archive as a few writes: entries that change replace the old ones, and
//! those that do not fit go into a new tail. ocify computes or refuses all of it before the first write.

mod clone;
mod place;
mod tail;

use std::os::unix::fs::FileExt;

use self::place::Places;
use super::target::Target;
use super::{ApplyOptions, Outcome, Verify, archive, check_entries, verify};
use crate::error::{Code, Error, Hint, IoContext, Result, escape, show_path};
use crate::input::Source;
use crate::inventory::{EntryKind, ExtraKind, FormDifference, Inventory};
use crate::journal::{self, Write};
use crate::plan::{Body, Draft, Plan};
use crate::progress::Progress;

/// What to write into an archive's file so that it becomes a plan's output.
#[derive(Debug)]
pub struct Patch {
    /// In order, without overlap.
    writes: Vec<Write>,
    /// How many bytes precede a new tail; all of them if there is none.
    kept_len: u64,
    old_len: u64,
    new_len: u64,
    /// What it is if only documents are verified.
    outcome: Outcome,
}

impl Patch {
    /// Whether the file is already what it should be.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty() && self.new_len == self.old_len
    }
}

/// Computes the patch that turns the archive into the output of a plan, which was made for
/// [`Form::Patch`](crate::plan::Form::Patch).
///
/// # Errors
/// Something would have to change that cannot be changed in the existing file.
pub fn patch(draft: &Draft<'_>, source: &Source) -> Result<Patch> {
    let inventory = &draft.graph().inventory;
    let plan = refuse(draft, source)?;
    let options = ApplyOptions::default().with_verify(Verify::Documents);
    let outcome = check_entries(plan, &options)?;
    if plan.keeps_bytes {
        let len = inventory.archive.len;
        return Ok(Patch {
            writes: Vec::new(),
            kept_len: len,
            old_len: len,
            new_len: len,
            outcome,
        });
    }
    let mut places = Places::new(inventory, source);
    for entry in &plan.entries {
        match &entry.body {
            Body::Directory => {}
            Body::Blob { data, .. } => places.keep(&entry.name, data)?,
            Body::Bytes(bytes) => places.put(entry, bytes)?,
        }
    }
    refuse_special(inventory, source)?;
    places.finish(plan, outcome)
}

/// Rewrites the archive in place. `source` has its file open for writing.
///
/// # Errors
/// A blob is not what its digest says, if that is verified; another program changed the file; the file or its
/// journal cannot be written. ocify has then not changed the file, unless the other program wrote to it at the
/// same time.
pub fn apply_in_place(
    patch: &Patch,
    plan: &Plan,
    source: &Source,
    options: &ApplyOptions,
    progress: &dyn Progress,
) -> Result<Outcome> {
    let outcome = match options.verify {
        Verify::Documents => patch.outcome,
        Verify::Digests | Verify::Full => verify::verify(plan, source, options, progress)?,
    };
    if !patch.is_empty() {
        let (place, read) = (source.held_path()?, source.stamp());
        journal::rewrite(source.file(), &place, &patch.writes, patch.new_len, &read)?;
    }
    Ok(outcome)
}

/// Writes the patched archive to a new file: a clone of the old one if the filesystem can do that,
/// otherwise a copy made by the system.
///
/// # Errors
/// The output cannot be written. Nothing is left behind then.
pub fn apply_patched(
    patch: &Patch,
    source: &Source,
    target: &Target,
    options: &ApplyOptions,
    progress: &dyn Progress,
) -> Result<Outcome> {
    let output = archive::create(target)?;
    refuse_changed(patch, source)?;
    progress.start(patch.kept_len);
    let cloned = clone::clone(patch, source, target, output.file(), options, progress);
    progress.finish();
    cloned?;
    for write in &patch.writes {
        let written = output.file().write_all_at(&write.bytes, write.at);
        written.context("write", target.path())?;
    }
    let cut = output.file().set_len(patch.new_len);
    cut.context("write", target.path())?;
    archive::publish(output, target, options)?;
    Ok(patch.outcome)
}

fn refuse_changed(patch: &Patch, source: &Source) -> Result<()> {
    let found = source
        .file()
        .metadata()
        .context("read", source.path())?
        .len();
    if found == patch.old_len {
        return Ok(());
    }
    Err(Error::new(
        Code::TruncatedArchive,
        format!(
            "{} changed while it was being read: expected {} bytes, found {found}",
            show_path(source.path()),
            patch.old_len
        ),
    )
    .with_path(source.path())
    .with_expected(patch.old_len)
    .with_found(found)
    .with_hint(Hint::RetryWhenIdle))
}

/// Refuses what no patch can do, whatever the entries are.
fn refuse<'a>(draft: &'a Draft<'_>, source: &Source) -> Result<&'a Plan> {
    if source.is_directory() {
        return Err(refused(source, "it is a directory"));
    }
    let Some(plan) = draft.ready() else {
        let first = draft.transcodes().first();
        let place = first.map_or_else(|| "a layer".to_owned(), |first| first.location.to_string());
        let error = refused(source, &format!("{place} must be recompressed"));
        return Err(match first {
            Some(first) => error.with_location(&first.location),
            None => error,
        });
    };
    if let Some((name, _)) = draft.graph().inventory.links.first_key_value() {
        let what = format!(
            "{} is a link, which some readers do not follow",
            escape(name)
        );
        return Err(refused(source, &what).with_entry(name));
    }
    if let Some(FormDifference { entry, what, .. }) = draft.graph().inventory.misread() {
        let what = format!("{} {what}, so engines refuse or misread it", escape(entry));
        return Err(refused(source, &what).with_entry(entry));
    }
    if let Some(name) = draft.graph().inventory.skipped.first() {
        let what = format!("{} appears in it more than once", escape(name));
        return Err(refused(source, &what).with_entry(name));
    }
    Ok(plan)
}

/// Some readers do not unpack links that lead nowhere, and special files.
fn refuse_special(inventory: &Inventory, source: &Source) -> Result<()> {
    let places = &inventory.archive.entries;
    if !places.iter().any(|place| place.kind == EntryKind::Special) {
        return Ok(());
    }
    let is_special = |kind: &ExtraKind| !matches!(kind, ExtraKind::File(_) | ExtraKind::Directory);
    let mut extra = inventory.extra.iter();
    let name = extra.find(|(_, entry)| is_special(&entry.kind));
    let shown = name.map_or_else(|| "an entry".to_owned(), |(name, _)| escape(name));
    let what = format!("{shown} is a link or a special file, which some readers refuse");
    let error = refused(source, &what);
    Err(match name {
        Some((name, _)) => error.with_entry(name),
        None => error,
    })
}

/// The error for an archive that has to be rewritten.
fn refused(source: &Source, why: &str) -> Error {
    Error::new(
        Code::InPlaceRefused,
        format!(
            "{} cannot be fixed in place: {why}",
            show_path(source.path())
        ),
    )
    .with_path(source.path())
    .with_hint(Hint::WriteElsewhere)
}

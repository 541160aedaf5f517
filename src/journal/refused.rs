//! The errors of rewrites and recoveries.

use std::path::Path;

use super::format::{MAX_LEN, VERSION};
use crate::error::{Code, Error, Hint, show_path};

fn error(code: Code, path: &Path, message: String, hint: Hint) -> Error {
    Error::new(code, message).with_path(path).with_hint(hint)
}

/// The error for a file whose rewrite was interrupted. `what` is the consequence or the cause.
pub(crate) fn unfinished(path: &Path, what: &str) -> Error {
    let shown = show_path(path);
    error(
        Code::UnfinishedFix,
        path,
        format!("an in-place fix of {shown} was interrupted: {what}"),
        Hint::Recover(path.to_owned()),
    )
}

/// Nothing is written through a link.
pub(super) fn link(path: &Path) -> Error {
    let message = format!("{} is a symbolic link", show_path(path));
    error(Code::LinkEntry, path, message, Hint::GiveOwnName)
        .with_expected("a regular file")
        .with_found("a symbolic link")
}

/// Another program wrote to the file before ocify did.
pub(super) fn changed(path: &Path) -> Error {
    let shown = show_path(path);
    error(
        Code::SourceChanged,
        path,
        format!("another program changed {shown} before ocify wrote to it; ocify did not write"),
        Hint::RetryWhenIdle,
    )
}

/// Another program wrote to the file while ocify did. `kept` is the journal's new name.
pub(super) fn mixed(path: &Path, kept: &Path) -> Error {
    let (shown, kept) = (show_path(path), show_path(kept));
    error(
        Code::SourceChanged,
        path,
        format!(
            "another program changed {shown} while ocify wrote to it, so it may be damaged; the bytes that ocify overwrote were kept in {kept}"
        ),
        Hint::ReplaceMixed(path.to_owned()),
    )
}

/// The path leads to another file now.
pub(super) fn replaced(path: &Path) -> Error {
    let shown = show_path(path);
    error(
        Code::SourceChanged,
        path,
        format!("{shown} was replaced while ocify fixed it; neither file was changed"),
        Hint::RetryWhenIdle,
    )
}

/// Only syncing the directory failed.
pub(super) fn complete(error: Error) -> Error {
    error.with_hint(Hint::OutputComplete)
}

pub(super) fn too_large(path: &Path) -> Error {
    let shown = show_path(path);
    error(
        Code::InPlaceRefused,
        path,
        format!("{shown} cannot be fixed in place: more than {MAX_LEN} bytes of it would change"),
        Hint::WriteElsewhere,
    )
}

/// The journal is in the file's directory, and the file is not the one that it was written for.
pub(super) fn foreign(path: &Path, journal: &Path) -> Error {
    let (shown, journal) = (show_path(path), show_path(journal));
    error(
        Code::ForeignJournal,
        path,
        format!(
            "{shown} has changed since its in-place fix was interrupted, so the journal {journal} does not apply"
        ),
        Hint::RemoveJournal,
    )
}

/// The same, if the file is another one with this name.
pub(super) fn copied(path: &Path, journal: &Path) -> Error {
    let (shown, journal) = (show_path(path), show_path(journal));
    error(
        Code::ForeignJournal,
        path,
        format!(
            "the journal {journal} is of an in-place fix of another file; {shown} may be a copy of it"
        ),
        Hint::RecoverOriginal,
    )
}

pub(super) fn newer(path: &Path, journal: &Path, version: u8) -> Error {
    let (shown, journal) = (show_path(path), show_path(journal));
    let (expected, found) = (
        format!("format {VERSION} or older"),
        format!("format {version}"),
    );
    error(
        Code::ForeignJournal,
        path,
        format!(
            "an in-place fix of {shown} was interrupted, and a newer version of ocify wrote the journal {journal}: expected {expected}, found {found}"
        ),
        Hint::RecoverWithNewer,
    )
    .with_expected(expected)
    .with_found(found)
}

/// `kept` is the journal's new name.
pub(super) fn damaged(path: &Path, kept: &Path) -> Error {
    let (shown, kept) = (show_path(path), show_path(kept));
    error(
        Code::DamagedJournal,
        path,
        format!(
            "{shown} may be half rewritten: its in-place fix was interrupted, and the journal that would restore it is damaged; the journal was kept as {kept}"
        ),
        Hint::ReplaceMixed(path.to_owned()),
    )
}

//! The one error type of the library.
//!
//! Rules: a message is a lowercase fragment without a final period that says what was being done,
//! to what, where in the archive, and what was expected and found. What it states of these can be
//! asked for: [`Error::path`], [`Error::place`], [`Error::expected`], [`Error::found`]. The next
//! step is in [`Error::hint`], and the cause in `source()`; neither is in the message. Text that
//! comes from the archive is escaped before it is shown. Every error has a stable [`Error::code`]
//! and a [`Class`]; programs read these, people read the message.

mod about;
mod code;
mod hint;
mod pipeline;
mod place;
mod registry_hint;

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use code::{Class, Code};
pub use hint::{Hint, Lenient};
pub use pipeline::Pipeline;
pub use place::Place;
pub use registry_hint::RegistryHint;

use self::about::About;
use crate::location::Location;
pub(crate) use crate::text::{count, distinguish, entry_text, show_list};
pub use crate::text::{escape, path_text, shell_word, show_path};

/// The library's result type.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, where, and what to do next.
///
/// `Display` shows the message alone. [`Error::message_with_causes`] adds what the message leaves to
/// `source()`.
#[derive(Clone, Debug)]
pub struct Error(Box<Facts>);

/// In a box, so that a `Result` stays small.
#[derive(Clone, Debug)]
struct Facts {
    code: Code,
    message: String,
    path: Option<PathBuf>,
    place: Option<Place>,
    about: Option<About>,
    expected: Option<String>,
    found: Option<String>,
    hint: Option<Hint>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of `code` with a message that follows the rules above.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Error(Box::new(Facts {
            code,
            message: message.into(),
            path: None,
            place: None,
            about: None,
            expected: None,
            found: None,
            hint: None,
            source: None,
        }))
    }

    /// An operating system error while `doing` something to `path`.
    pub fn io(doing: &str, path: &Path, source: io::Error) -> Self {
        let code = match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Code::NoSpace,
            io::ErrorKind::BrokenPipe => Code::OutputClosed,
            _ => Code::Io,
        };
        let error = Error::new(code, format!("cannot {doing} {}", show_path(path)))
            .with_path(path)
            .with_source(source);
        match code {
            Code::NoSpace => error.with_hint(Hint::FreeSpace),
            _ => error,
        }
    }

    /// The error of work that was asked to stop.
    pub(crate) fn interrupted() -> Self {
        Error::new(
            Code::Interrupted,
            "the run was stopped before the output was complete",
        )
    }

    /// The same error about this file or directory, which the message names.
    #[must_use]
    pub fn with_path(mut self, path: impl Into<PathBuf>) -> Self {
        self.0.path = Some(path.into());
        self
    }

    /// The same error at this location in a document, which the message names.
    #[must_use]
    pub fn with_location(mut self, location: impl Into<Location>) -> Self {
        self.place_mut().set_location(location.into());
        self
    }

    /// The same error in this entry of the archive, which the message names.
    #[must_use]
    pub fn with_entry(mut self, entry: impl Into<String>) -> Self {
        self.place_mut().set_entry(entry.into());
        self
    }

    /// The same error at this byte of the archive, which the message states.
    #[must_use]
    pub fn with_byte(mut self, byte: u64) -> Self {
        self.place_mut().set_byte(byte);
        self
    }

    /// The same error with what should have been there, as the message states it.
    #[must_use]
    pub fn with_expected(mut self, expected: impl fmt::Display) -> Self {
        self.0.expected = Some(expected.to_string());
        self
    }

    /// The same error with what was there instead, as the message states it.
    #[must_use]
    pub fn with_found(mut self, found: impl fmt::Display) -> Self {
        self.0.found = Some(found.to_string());
        self
    }

    /// The same error with the next step for the user.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<Hint>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// The same error with its cause, which the message does not repeat.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        let source: Box<dyn StdError + Send + Sync> = source.into();
        self.0.source = Some(source.into());
        self
    }

    /// The same error with other words for what its message names.
    pub(crate) fn restated(mut self, before: &str, after: &str) -> Self {
        if self.0.message.contains(before) {
            self.0.message = self.0.message.replace(before, after);
        }
        self
    }

    /// The same error with more at the end of its message.
    pub(crate) fn with_suffix(mut self, suffix: &str) -> Self {
        self.0.message.push_str(suffix);
        self
    }

    /// The same error of one of several inputs, which the message names unless it does already.
    pub(crate) fn within(mut self, path: &Path) -> Self {
        if self.0.path.is_none() {
            self.0.message = format!("{}: {}", show_path(path), self.0.message);
            self.0.path = Some(path.to_owned());
        }
        self
    }

    fn place_mut(&mut self) -> &mut Place {
        self.0.place.get_or_insert_default()
    }

    /// The stable code.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// The class of the code.
    pub fn class(&self) -> Class {
        self.0.code.class()
    }

    /// The file or directory that the error is about: the archive if it is about something
    /// in it. `None` if the message names none.
    pub fn path(&self) -> Option<&Path> {
        self.0.path.as_deref()
    }

    /// Where in the archive it is, if that is known.
    pub fn place(&self) -> Option<&Place> {
        self.0.place.as_ref()
    }

    /// What should have been there, if the message states it: a digest, a media type, or a number
    /// without its unit (lengths are in bytes).
    pub fn expected(&self) -> Option<&str> {
        self.0.expected.as_deref()
    }

    /// What was there instead, in the same form as [`Error::expected`].
    pub fn found(&self) -> Option<&str> {
        self.0.found.as_deref()
    }

    /// The next step for the user, if there is one worth naming.
    pub fn hint(&self) -> Option<&Hint> {
        self.0.hint.as_ref()
    }

    /// The message and what caused it, joined by `: `, for people.
    pub fn message_with_causes(&self) -> String {
        let mut text = self.to_string();
        if let Some(source) = &self.0.source {
            text.push_str(": ");
            // A system error's message is complete without its causes.
            match source.downcast_ref::<Error>() {
                Some(error) => text.push_str(&error.message_with_causes()),
                None => text.push_str(&source.to_string()),
            }
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_ref().map(|source| &**source as _)
    }
}

/// Adds what was being done, and to which path, to an operating system error.
pub trait IoContext<T> {
    /// The library error for `doing` something to `path`.
    ///
    /// # Errors
    /// The operation failed.
    fn context(self, doing: &str, path: impl Into<PathBuf>) -> Result<T>;
}

impl<T> IoContext<T> for io::Result<T> {
    fn context(self, doing: &str, path: impl Into<PathBuf>) -> Result<T> {
        self.map_err(|source| Error::io(doing, &path.into(), source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::location::RootName;

    #[test]
    fn errors_pass_between_threads_and_stay_small() {
        fn passes<T: Send + Sync + 'static>() {}
        passes::<Error>();
        assert_eq!(size_of::<Error>(), size_of::<usize>());
    }

    #[test]
    fn no_room_has_its_own_code_and_a_hint() {
        let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
        for kind in full {
            let error = Error::io("write", Path::new("out.tar"), kind.into());
            assert_eq!(
                (error.code(), error.hint()),
                (Code::NoSpace, Some(&Hint::FreeSpace))
            );
        }
        let error = Error::io(
            "write",
            Path::new("out.tar"),
            io::ErrorKind::NotFound.into(),
        );
        assert_eq!((error.code(), error.hint()), (Code::Io, None));
    }

    #[test]
    fn the_message_does_not_repeat_the_cause() {
        let error = Error::io("open", Path::new("a.tar"), io::ErrorKind::NotFound.into());
        assert_eq!(error.to_string(), "cannot open a.tar");
        assert_eq!(error.source().unwrap().to_string(), "entity not found");
        assert_eq!(
            error.message_with_causes(),
            "cannot open a.tar: entity not found"
        );
        assert_eq!(error.path(), Some(Path::new("a.tar")));
        let outer = Error::new(Code::Io, "the run ended").with_source(error);
        let all = "the run ended: cannot open a.tar: entity not found";
        assert_eq!(outer.message_with_causes(), all);
    }

    #[test]
    fn an_error_has_the_facts_that_it_was_given() {
        let error = Error::new(Code::SizeMismatch, "a message")
            .with_location(RootName::Index)
            .with_entry("blobs/sha256/ab")
            .with_byte(7)
            .with_expected(5)
            .with_found(6);
        let place = error.place().unwrap();
        assert_eq!(
            (place.location(), place.entry(), place.byte()),
            (
                Some(&RootName::Index.into()),
                Some("blobs/sha256/ab"),
                Some(7)
            )
        );
        assert_eq!((error.expected(), error.found()), (Some("5"), Some("6")));
        let bare = Error::interrupted();
        assert!(bare.path().is_none() && bare.place().is_none());
        assert!(bare.expected().is_none() && bare.found().is_none());
    }
}

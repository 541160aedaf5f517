//! Inputs that were skipped, and why.

use super::Wording;
use crate::error::{Code, Error, escape};

/// How many inputs of a run were skipped for which reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Skipped {
    /// Archives that contain no image.
    pub archives: u64,
    /// Symbolic links that were not followed.
    pub links: u64,
}

impl Skipped {
    /// Counts an input that was skipped for this reason.
    pub(super) fn count(&mut self, why: Option<&Error>) {
        match why.is_some_and(is_link) {
            true => self.links += 1,
            false => self.archives += 1,
        }
    }

    /// How many were skipped for any reason.
    pub fn total(self) -> u64 {
        self.archives + self.links
    }

    /// What the summary of a run says of them.
    pub(super) fn named(self) -> [(u64, &'static str); 2] {
        let links = match self.links {
            1 => "symbolic link skipped",
            _ => "symbolic links skipped",
        };
        [(self.archives, "not an image archive"), (self.links, links)]
    }
}

/// Why an input was skipped, in one line.
pub(super) fn skipped_text(error: &Error, wording: &dyn Wording) -> String {
    match error.hint().filter(|_| is_link(error)) {
        Some(hint) => format!("a symbolic link; {}", escape(&wording.hint(hint))),
        None if is_link(error) => "a symbolic link".to_owned(),
        None => "not an image archive".to_owned(),
    }
}

fn is_link(error: &Error) -> bool {
    error.code() == Code::LinkEntry
}

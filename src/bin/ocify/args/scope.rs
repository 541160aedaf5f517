//! Which of fix's options each command has.

use super::{check, merge, split};

/// A command that takes options of `fix`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CommandName {
    Fix,
    Merge,
    Split,
    Check,
}

impl CommandName {
    /// The options of `fix` that the command does not have, by their ids.
    pub(crate) fn without(self) -> &'static [&'static str] {
        match self {
            CommandName::Fix => &[],
            CommandName::Merge => &merge::WITHOUT,
            CommandName::Split => &split::WITHOUT,
            CommandName::Check => &check::WITHOUT,
        }
    }

    /// Whether the command does not have this option of `fix`.
    pub(crate) fn lacks(self, option: &str) -> bool {
        self.without().contains(&option)
    }
}

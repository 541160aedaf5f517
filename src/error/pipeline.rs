//! Commands that make an archive readable.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::text::shell_word;

/// Commands for a shell. The first reads an archive, and the last writes one that ocify can read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pipeline {
    path: PathBuf,
    commands: Vec<String>,
}

impl Pipeline {
    pub(crate) fn new(path: &Path, commands: impl IntoIterator<Item = String>) -> Self {
        Pipeline {
            path: path.to_owned(),
            commands: commands.into_iter().collect(),
        }
    }

    /// What messages call the archive that the first command reads.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The commands joined by ` | `, for an archive on standard input.
    pub fn filter(&self) -> String {
        self.commands.join(" | ")
    }
}

/// The commands with the path of the archive: `gzip -dc app.tar | head -c 10240`.
impl fmt::Display for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = shell_word(&self.path);
        for (number, command) in self.commands.iter().enumerate() {
            match number {
                0 => write!(f, "{command} {path}")?,
                _ => write!(f, " | {command}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_command_reads_the_archive() {
        let commands = ["gzip -dc", "head -c 512"].map(str::to_owned);
        let pipeline = Pipeline::new(Path::new("my app.tar"), commands);
        assert_eq!(pipeline.to_string(), "gzip -dc 'my app.tar' | head -c 512");
        assert_eq!(pipeline.filter(), "gzip -dc | head -c 512");
    }
}

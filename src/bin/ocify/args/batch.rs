//! The options for many inputs.

use std::path::PathBuf;

use clap::Args;
use globset::{Glob, GlobBuilder};

use crate::batch::ShardChoice;

/// The options that only a batch has.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Many inputs")]
pub(crate) struct Many {
    /// Read further inputs from this file, one path a line; `-` is standard input
    ///
    /// Each output has the path of its input, as it is listed, below OUTPUT.
    #[arg(long, value_name = "FILE|-")]
    pub(crate) files_from: Option<PathBuf>,

    /// Paths in --files-from end with a zero byte, as `find -print0` writes them
    #[arg(short = '0', long, requires = "files_from")]
    pub(crate) null: bool,

    /// Take only what a pattern matches, such as `*.tar`; can be repeated
    ///
    /// A pattern without `/` is for names, and one with `/` for whole paths below the directory.
    /// `*` and `?` match no `/`, and `**` does.
    #[arg(long, value_name = "GLOB", value_parser = glob)]
    pub(crate) include: Vec<Pattern>,

    /// Leave out what a pattern matches, and everything below a directory of that name; can be repeated
    #[arg(long, value_name = "GLOB", value_parser = glob)]
    pub(crate) exclude: Vec<Pattern>,

    /// Copy files that are no image archives as they are, and links as links
    #[arg(long)]
    pub(crate) copy_others: bool,

    /// Stop at the first failure
    #[arg(long)]
    pub(crate) fail_fast: bool,

    /// Do only share K of N, or the one that the environment names; auto/N if it does not say how many
    ///
    /// A share is chosen by a hash of the path, so that workers on one tree need not know of each
    /// other. auto knows Kubernetes Indexed Jobs, Slurm arrays, GitLab, CircleCI and Buildkite.
    #[arg(long, value_name = "K/N|auto")]
    pub(crate) shard: Option<ShardChoice>,

    /// Write the report for programs to this file, one JSON object a line; `-` is standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,

    /// Write old and new digest of every changed manifest to this file, one JSON object a line; `-` is standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) digest_map: Option<PathBuf>,
}

impl Many {
    /// The options that were given and mean nothing for a single input, as they are written.
    pub(crate) fn given(&self) -> Vec<&'static str> {
        let all = [
            ("--files-from", self.files_from.is_some()),
            ("--include", !self.include.is_empty()),
            ("--exclude", !self.exclude.is_empty()),
            ("--copy-others", self.copy_others),
            ("--fail-fast", self.fail_fast),
            ("--shard", self.shard.is_some()),
            ("--report", self.report.is_some()),
            ("--digest-map", self.digest_map.is_some()),
        ];
        let given = all.iter().filter(|(_, is_given)| *is_given);
        given.map(|(name, _)| *name).collect()
    }
}

/// A pattern for names or for whole paths.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    pub(crate) glob: Glob,
    /// Whether it is for the last part of a path only.
    pub(crate) is_for_names: bool,
}

fn glob(text: &str) -> Result<Pattern, String> {
    let is_for_names = !text.contains('/');
    let glob = GlobBuilder::new(text.strip_prefix('/').unwrap_or(text))
        .literal_separator(true)
        .build()
        .map_err(|error| error.kind().to_string())?;
    Ok(Pattern { glob, is_for_names })
}

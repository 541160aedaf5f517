//! The options for many inputs.

use std::path::PathBuf;

use clap::Args;
use globset::{Glob, GlobBuilder};

use crate::batch::ShardChoice;

/// The options for many inputs.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Many inputs")]
pub(crate) struct Many {
    /// Read more inputs from this file, one path per line; `-` is standard input
    ///
    /// Each output is written below OUTPUT, under the path of its input as listed.
    #[arg(long, value_name = "FILE|-")]
    pub(crate) files_from: Option<PathBuf>,

    /// Paths in --files-from are separated by zero bytes, as `find -print0` writes them
    #[arg(short = '0', long, requires = "files_from")]
    pub(crate) null: bool,

    /// Process only files that match a pattern, such as `*.tar`; can be repeated
    ///
    /// A pattern without `/` matches file names. A pattern with `/` matches entire paths relative to
    /// the directory. `*` and `?` do not match `/`; `**` does.
    #[arg(long, value_name = "GLOB", value_parser = glob)]
    pub(crate) include: Vec<Pattern>,

    /// Skip files that match a pattern, and everything below a directory that matches; can be repeated
    #[arg(long, value_name = "GLOB", value_parser = glob)]
    pub(crate) exclude: Vec<Pattern>,

    /// Also copy files that are not image archives, unchanged, and symbolic links as links
    #[arg(long)]
    pub(crate) copy_others: bool,

    /// Stop at the first failure
    #[arg(long)]
    pub(crate) fail_fast: bool,

    /// Fail if no image archive or layout is found
    ///
    /// Without it, this is only a warning. A shard of a tree that has some may be empty.
    #[arg(long)]
    pub(crate) fail_if_empty: bool,

    /// Process only shard K of N; `auto` reads both from the environment, and `auto/N` only K
    ///
    /// A hash of its path assigns each input to a shard, so workers on the same tree do not need to
    /// coordinate. `auto` supports Slurm and Grid Engine arrays, AWS Batch, Google Batch, Cloud Run jobs, GitLab,
    /// CircleCI and Buildkite; `auto/N` also Kubernetes Indexed Jobs, PBS and LSF, which do not say N.
    #[arg(long, value_name = "K/N|auto")]
    pub(crate) shard: Option<ShardChoice>,

    /// Write a machine-readable report to FILE, one JSON object per line; `-` is standard output
    ///
    /// The lines are the same for one input as for many: one for each input, then a summary.
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,

    /// Write the old and new digest of every changed manifest to FILE, one JSON object per line; `-` is standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) digest_map: Option<PathBuf>,
}

impl Many {
    /// The options given that have no effect on a single input, as the user writes them.
    pub(crate) fn only_for_many(&self) -> Vec<&'static str> {
        let all = [
            ("--files-from", self.files_from.is_some()),
            ("--include", !self.include.is_empty()),
            ("--exclude", !self.exclude.is_empty()),
            ("--copy-others", self.copy_others),
            ("--fail-fast", self.fail_fast),
            ("--fail-if-empty", self.fail_if_empty),
            ("--shard", self.shard.is_some()),
        ];
        let given = all.iter().filter(|(_, is_given)| *is_given);
        given.map(|(name, _)| *name).collect()
    }

    /// The first option given that has an effect only in directories that are searched, as the user writes it.
    pub(crate) fn only_for_directories(&self) -> Option<&'static str> {
        let all = [
            ("--include", !self.include.is_empty()),
            ("--exclude", !self.exclude.is_empty()),
            ("--copy-others", self.copy_others),
        ];
        let given = all.iter().find(|(_, is_given)| *is_given);
        given.map(|(name, _)| *name)
    }
}

/// A pattern for names or for whole paths.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    pub(crate) glob: Glob,
    /// Whether it matches only the last component of a path.
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

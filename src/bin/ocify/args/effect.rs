//! Options that would have no effect beside the others. They are refused, because whoever gives one expects something of it.

use ocify::Compression;

use super::{Fix, Format, LayerCompression, Orphans};
use crate::destination::{Destination, ImageKind, is_known};

impl Fix {
    /// An option that would have no effect on any input, in words for the user.
    pub(super) fn without_effect(&self) -> Option<String> {
        let what = if self.compression_level.is_some() && !self.may_recompress() {
            "--compression-level has no effect: it applies to layers that --compression or --for recompresses"
        } else if self.gzip_members.is_some() && !self.may_write_gzip() {
            "--gzip-members has no effect: it applies to layers that --compression gzip or --for recompresses"
        } else if self.orphans_older_than.is_some()
            && !(self.in_place && self.orphans == Orphans::Drop)
        {
            "--orphans-older-than has no effect: it applies to blobs that --orphans drop removes with --in-place"
        } else if self.verbose && self.format == Format::Json {
            "--verbose has no effect: the JSON report always shows everything"
        } else if self.quiet && self.format == Format::Json {
            "--quiet shows no report: leave out --format json, or --quiet"
        } else if self.force && self.is_for_stream() {
            "--force has no effect on standard output"
        } else if self.layout && self.is_for_stream() {
            "--layout requires an OUTPUT that can be a directory, not standard output"
        } else if self.link.is_some() && (self.archive || self.is_for_stream()) {
            NO_LINK
        } else {
            return None;
        };
        Some(what.to_owned())
    }

    /// The same for a single input with this destination.
    pub(crate) fn without_effect_on(&self, destination: Option<&Destination>) -> Option<String> {
        if !is_known(self.input()) {
            return None;
        }
        let from = ImageKind::of_input(self.input());
        let to = destination.map_or(self.output_kind().unwrap_or(from), Destination::kind);
        let is_linked = from == ImageKind::Layout && to == ImageKind::Layout;
        let what = if self.link.is_some() && !is_linked {
            NO_LINK
        } else if self.follow && from != ImageKind::Layout {
            NO_FOLLOW
        } else {
            return None;
        };
        Some(what.to_owned())
    }

    /// Whether a layer may be compressed.
    fn may_recompress(&self) -> bool {
        self.compression != LayerCompression::Keep || !self.engines.is_empty()
    }

    /// Whether a layer may be compressed with gzip.
    fn may_write_gzip(&self) -> bool {
        match self.compression() {
            None => !self.engines.is_empty(),
            Some(compression) => compression == Compression::Gzip,
        }
    }
}

const NO_FOLLOW: &str = "--follow has no effect: it applies to directories";
const NO_LINK: &str = "--link has no effect: it applies to blobs that are copied from one layout directory to another";

#[cfg(test)]
mod tests {
    use clap::Parser;

    use crate::args::{Cli, Command, CommandName, Fix};

    fn fix(line: &[&str]) -> Fix {
        let line = ["ocify", "fix"].iter().chain(line);
        let Command::Fix(fix) = Cli::try_parse_from(line).unwrap().command else {
            panic!("another command");
        };
        fix
    }

    #[test]
    fn options_without_effect_are_refused() {
        let lines: [(&[&str], &str); 20] = [
            (&["--orphans-older-than", "0"], "--orphans-older-than"),
            (
                &["--orphans", "drop", "--orphans-older-than", "7d"],
                "--orphans-older-than",
            ),
            (&["--compression-level", "9"], "--compression-level"),
            (
                &["--compression-level", "9", "--compression", "keep"],
                "--compression-level",
            ),
            (&["--compression-level", "9", "--compression", "gzip"], ""),
            (&["--compression-level", "9", "--compression", "zstd"], ""),
            (&["--compression-level", "9", "--for", "docker@20.10"], ""),
            (&["--gzip-members", "single"], "--gzip-members"),
            (&["--gzip-members", "multi"], "--gzip-members"),
            (
                &["--gzip-members", "single", "--compression", "zstd"],
                "--gzip-members",
            ),
            (
                &["--gzip-members", "single", "--compression", "uncompressed"],
                "--gzip-members",
            ),
            (&["--gzip-members", "single", "--compression", "gzip"], ""),
            (&["--gzip-members", "single", "--for", "docker@20.10"], ""),
            (&["--link", "hard", "--archive"], "--link"),
            (&["--verbose", "--format", "json"], "--verbose"),
            (&["--verbose"], ""),
            (&["--quiet", "--format", "json"], "--quiet"),
            (&["--quiet"], ""),
            (&["--force"], ""),
            (&["--layout"], ""),
        ];
        for (options, expected) in lines {
            for output in ["x", "x.tar.gz"] {
                let line = [&["app.tar", "-o", output], options].concat();
                let found = fix(&line)
                    .contradiction(CommandName::Fix)
                    .unwrap_or_default();
                assert_eq!(found.is_empty(), expected.is_empty(), "{line:?}: {found}");
                assert!(found.starts_with(expected), "{line:?}: {found}");
            }
        }
        for option in ["--force", "--layout", "--link=auto"] {
            for line in [&["-", option][..], &["app.tar", "-o", "-", option]] {
                let found = fix(line)
                    .contradiction(CommandName::Fix)
                    .unwrap_or_default();
                let name = option.split('=').next().unwrap();
                assert!(found.starts_with(name), "{line:?}: {found}");
            }
        }
    }

    #[test]
    fn links_require_two_layouts() {
        let dir = tempfile::tempdir().unwrap();
        let layout = dir.path().to_str().unwrap();
        for (line, is_refused) in [
            (&[layout, "-o", "x"][..], false),
            (&[layout, "-o", "x.tar", "--layout"], false),
            (&[layout, "--dry-run"], false),
            (&[layout, "-o", "x.tar"], true),
            (&["app.tar", "-o", "x"], true),
            (&["app.tar", "-o", "x", "--layout"], true),
            (&["app.tar", "--dry-run"], true),
        ] {
            let args = fix(&[line, &["--link", "auto"]].concat());
            let destination = crate::destination::Destination::of(&args).unwrap();
            let found = args.without_effect_on(destination.as_ref());
            assert_eq!(found.is_some(), is_refused, "{line:?}");
        }
    }
}

//! The values that options take.

use std::num::NonZeroUsize;
use std::time::Duration;

use clap::ValueEnum;
use ocify::{Engine, Link, MissingPolicy, Reference, ReferenceFault, Verify};
use serde::Serialize;

/// The formats of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Readable text
    Text,
    /// One JSON object, also on failure
    Json,
}

/// What to do with attestations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Attestations {
    /// Keep them and update their links to the new digests
    Keep,
    /// Remove them
    Drop,
}

/// What to do with blobs that nothing refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Orphans {
    /// Keep them and report them
    Keep,
    /// Remove them
    Drop,
}

/// What layers are compressed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LayerCompression {
    /// Keep the compression that each layer has
    Keep,
    /// Gzip
    Gzip,
    /// Zstandard, which Docker before 23.0 cannot read
    Zstd,
    /// Plain tar
    Uncompressed,
}

/// How gzip is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Members {
    /// Members of 1 MiB, compressed on all processors
    Multi,
    /// One member, compressed on one processor, for readers that stop after the first member
    Single,
}

/// What to do about missing content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Missing {
    /// Keep it and report it
    Keep,
    /// Remove it
    Prune,
    /// Refuse the input
    Error,
}

impl Missing {
    /// The library's type for it.
    pub(crate) fn policy(self) -> MissingPolicy {
        match self {
            Missing::Keep => MissingPolicy::Keep,
            Missing::Prune => MissingPolicy::Prune,
            Missing::Error => MissingPolicy::Error,
        }
    }
}

/// The value of `--for`.
pub(super) fn engine(text: &str) -> Result<Engine, String> {
    text.parse().map_err(|error| match meant_engine(text) {
        Some(meant) => format!("did you mean {meant}?"),
        None => format!("{error}"),
    })
}

/// The engine that was probably meant: the version follows another separator, as in `docker:20.10`, or letters are upper case.
fn meant_engine(text: &str) -> Option<Engine> {
    let text = text.to_ascii_lowercase();
    let ends = text.char_indices().map(|(end, _)| end);
    let candidates = ends.map(|end| {
        let (name, rest) = text.split_at(end);
        format!(
            "{name}@{}",
            rest.trim_start_matches([':', '=', '-', '_', ' '])
        )
    });
    let mut candidates = std::iter::once(text.clone()).chain(candidates);
    candidates.find_map(|candidate| candidate.parse().ok())
}

/// The value of `--jobs`.
pub(super) fn jobs(text: &str) -> Result<NonZeroUsize, String> {
    text.parse().map_err(|_| {
        "expected a number of threads from 1 on; without --jobs, ocify uses one per processor"
            .to_owned()
    })
}

/// The value of `--max-ratio`.
pub(super) fn ratio(text: &str) -> Result<u64, String> {
    let ratio: Option<u64> = text.parse().ok();
    ratio.filter(|ratio| *ratio > 0).ok_or_else(|| {
        "expected a number from 1 on, such as 1100; a larger one allows more".to_owned()
    })
}

/// The value of `--max-window`.
pub(super) fn window(text: &str) -> Result<u64, String> {
    let window: Option<u64> = text.parse().ok();
    window
        .filter(|window| (1..=4096).contains(window))
        .ok_or_else(|| "expected 1 to 4096 (MiB)".to_owned())
}

/// The value of `--orphans-older-than`.
pub(super) fn age(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: Option<u64> = number.parse().ok();
    let seconds = match (number, unit) {
        (Some(0), "") | (Some(_), "s") => Some(1),
        (Some(_), "m") => Some(60),
        (Some(_), "h") => Some(60 * 60),
        (Some(_), "d") => Some(24 * 60 * 60),
        (Some(_), "w") => Some(7 * 24 * 60 * 60),
        _ => None,
    };
    let seconds = number.zip(seconds);
    let seconds = seconds.and_then(|(number, factor)| number.checked_mul(factor));
    let age = seconds.map(Duration::from_secs);
    age.ok_or_else(|| "expected a number and s, m, h, d or w, such as 24h, or 0".to_owned())
}

/// A number of bytes, with or without a unit, as GNU's programs read it. The case of units does not matter.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let factor: Option<u64> = match unit.trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => Some(1),
        "k" | "kib" => Some(1 << 10),
        "m" | "mib" => Some(1 << 20),
        "g" | "gib" => Some(1 << 30),
        "t" | "tib" => Some(1 << 40),
        "kb" => Some(1000),
        "mb" => Some(1_000_000),
        "gb" => Some(1_000_000_000),
        "tb" => Some(1_000_000_000_000),
        _ => None,
    };
    let number = number.parse::<u64>().ok();
    let bytes = number
        .zip(factor)
        .map(|(number, factor)| number.checked_mul(factor));
    match bytes {
        Some(Some(bytes)) if bytes > 0 => Ok(bytes),
        Some(None) => Err("it is too large".to_owned()),
        _ => {
            Err("expected a number of bytes greater than 0, such as 4096, 512MiB or 2GB".to_owned())
        }
    }
}

/// A name to give to an image: it has a tag and no digest.
pub(crate) fn image_name(text: &str) -> Result<Reference, String> {
    match text.parse::<Reference>() {
        Ok(name) if name.is_digest() => Err(
            "expected a name with a tag and without a digest, such as example.com/app:1.0"
                .to_owned(),
        ),
        Ok(name) => Ok(name),
        Err(error) => Err(match (error.fault(), error.meant()) {
            (ReferenceFault::Transport, Some(name)) => {
                format!("expected a name such as {}", name.familiar())
            }
            (_, Some(_)) => error.to_string(),
            (_, None) => "expected a name such as example.com/app:1.0".to_owned(),
        }),
    }
}

pub(crate) fn renaming(text: &str) -> Result<(Reference, Reference), String> {
    let (old, new) = text
        .split_once('=')
        .ok_or("expected OLD=NEW, such as app:latest=example.com/app:1.0")?;
    let old = old
        .parse()
        .map_err(|_| format!("{old} is not an image name"))?;
    Ok((old, image_name(new)?))
}

/// How to show progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgressMode {
    /// A bar after a second if standard error is a terminal, and otherwise a line every ten seconds
    Auto,
    /// A line every few seconds
    Plain,
    /// A bar, immediately
    Tty,
    /// Nothing
    Quiet,
    /// JSON lines
    Rawjson,
}

/// What is verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verification {
    /// Indexes, manifests and image configs; layers are trusted without verification
    Documents,
    /// Every blob against its digest. A layer without a digest in INPUT is decompressed and verified against its diff ID
    Digests,
    /// Also every layer of an image against its diff ID, by decompressing it
    Full,
}

impl Verification {
    /// Its name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Verification::Documents => "documents",
            Verification::Digests => "digests",
            Verification::Full => "full",
        }
    }

    /// The library's type for it.
    pub(crate) fn verify(self) -> Verify {
        match self {
            Verification::Documents => Verify::Documents,
            Verification::Digests => Verify::Digests,
            Verification::Full => Verify::Full,
        }
    }
}

/// Whether files share their bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Linking {
    /// Share blocks (reflinks) if the filesystem supports it; otherwise copy
    Auto,
    /// Create hard links if possible; changing a file of the input later then changes the output too
    Hard,
    /// Copy every byte
    Never,
}

impl Linking {
    pub(crate) fn link(self) -> Link {
        match self {
            Linking::Auto => Link::Auto,
            Linking::Hard => Link::Hard,
            Linking::Never => Link::Never,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_with_another_separator_is_recognized() {
        for (text, expected) in [
            ("docker:20.10", "did you mean docker@20.10?"),
            (
                "docker:20.10/containerd",
                "did you mean docker@20.10/containerd?",
            ),
            ("docker20", "did you mean docker@20?"),
            ("Docker", "did you mean docker?"),
            ("podman-5.4.2", "did you mean podman@5.4.2?"),
            ("k3s:v1.30", "did you mean k3s@1.30?"),
            ("k3s1.30", "did you mean k3s@1.30?"),
            ("kubernetes", "expected one of docker, "),
            ("docker@", "expected a version"),
            ("", "expected one of docker, "),
        ] {
            let error = engine(text).unwrap_err();
            assert!(error.starts_with(expected), "{text}: {error}");
        }
        assert_eq!(engine("docker@20.10").unwrap().to_string(), "docker@20.10");
    }

    #[test]
    fn ages_have_units() {
        for (text, seconds) in [
            ("0", 0),
            ("0h", 0),
            ("90s", 90),
            ("30m", 1800),
            ("24h", 86_400),
            ("7d", 604_800),
            ("2w", 1_209_600),
        ] {
            assert_eq!(age(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in [
            "",
            "1",
            "24",
            "h",
            "-1h",
            "1.5h",
            "1h30m",
            "1 h",
            "1y",
            "99999999999999999999h",
            "9999999999999999999d",
        ] {
            assert!(age(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_have_units() {
        for (text, expected) in [
            ("1", 1),
            ("4096B", 4096),
            ("1k", 1024),
            ("2KiB", 2048),
            ("3 MiB", 3 << 20),
            ("4M", 4 << 20),
            ("5g", 5 << 30),
            ("6GiB", 6 << 30),
            ("7TiB", 7 << 40),
            ("1KB", 1000),
            ("2mb", 2_000_000),
            ("3GB", 3_000_000_000),
            ("4TB", 4_000_000_000_000),
        ] {
            assert_eq!(size(text), Ok(expected), "{text}");
        }
        for text in [
            "", "0", "0MiB", "-1", "+1", "1.5G", "x", "MiB", "1 M B", "1PiB", "1e3",
        ] {
            assert!(size(text).is_err(), "{text}");
        }
        assert_eq!(
            size("18446744073709551615T"),
            Err("it is too large".to_owned())
        );
        // The default of the option is that of the library.
        assert_eq!(size("128GiB"), Ok(ocify::Limits::default().max_size));
    }
}

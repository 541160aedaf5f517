//! The values that options take.

use clap::ValueEnum;
use ocify::apply::{Link, Verify};
use ocify::image::{Reference, ReferenceFault};
use ocify::plan::MissingPolicy;
use serde::Serialize;

/// The forms of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Text,
    /// For programs: one JSON object, also on failure
    Json,
}

/// What happens to attestations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Attestations {
    /// Keep them, and move their links to the new digests
    Keep,
    /// Leave them out
    Drop,
}

/// What layers are compressed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LayerCompression {
    /// As they are
    Keep,
    /// Gzip
    Gzip,
    /// Zstandard, which Docker before 23.0 cannot read
    Zstd,
    /// Not at all
    Uncompressed,
}

/// How gzip is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Members {
    /// Members of 1 MiB, on all processors
    Multi,
    /// One member, on one processor, for readers that stop after the first
    Single,
}

/// What happens to what lacks content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Missing {
    /// Keep it, and report it
    Keep,
    /// Leave it out
    Prune,
    /// Refuse the input
    Error,
}

impl Missing {
    /// The library's word for it.
    pub(crate) fn policy(self) -> MissingPolicy {
        match self {
            Missing::Keep => MissingPolicy::Keep,
            Missing::Prune => MissingPolicy::Prune,
            Missing::Error => MissingPolicy::Error,
        }
    }
}

/// A name that an image can be given: it has a tag, and no digest.
pub(crate) fn image_name(text: &str) -> Result<Reference, String> {
    match text.parse::<Reference>() {
        Ok(name) if name.is_digest() => {
            Err("a name to give has a tag and no digest, such as example.com/app:1.0".to_owned())
        }
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

/// The ways to show progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgressMode {
    /// A bar on a terminal, once the work has taken a second; otherwise nothing
    Auto,
    /// A line every few seconds
    Plain,
    /// A bar at once
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
    /// Every blob
    Full,
    /// Documents and configs; layers are taken at their word
    Documents,
}

impl Verification {
    /// The library's word for it.
    pub(crate) fn verify(self) -> Verify {
        match self {
            Verification::Full => Verify::Full,
            Verification::Documents => Verify::Documents,
        }
    }
}

/// Whether files share their bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Linking {
    /// Share blocks where the filesystem can (reflinks), else copy
    Auto,
    /// Hard links where they can be: what changes a file of the input later changes the output
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

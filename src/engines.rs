//! Which layer compression each container engine can read: the facts behind `--for ENGINE[@VERSION]`.

use std::fmt;
use std::str::FromStr;

use crate::image::Content;

/// An engine that loads image archives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Name {
    Docker,
    Containerd,
    Podman,
    Skopeo,
    K3s,
    Kind,
}

/// The first version of an engine that supports each format, with evidence. Every engine reads plain tars
/// and gzip, including gzip with several members. OCI and Docker have no media types for bzip2 and xz.
struct Fact {
    engine: Name,
    name: &'static str,
    /// The oldest version that can read an archive written by ocify.
    oldest: Version,
    /// The first version that reads layers compressed with zstd.
    zstd: Version,
    /// The source for `zstd`.
    evidence: &'static str,
    /// The first version that recognizes zstd data that starts with a skippable frame; `None` if every
    /// version mistakes it for a plain tar.
    skippable: Option<Version>,
    /// The source for `skippable`.
    skippable_evidence: &'static str,
}

/// Major and minor version number.
type Version = (u32, u32);

const FACTS: &[Fact] = &[
    Fact {
        engine: Name::Docker,
        name: "docker",
        oldest: (1, 10),
        zstd: (23, 0),
        evidence: "moby 23.0 release notes, moby/moby#41759; 20.10.24 fails with \"invalid tar header\"",
        skippable: Some((23, 0)),
        skippable_evidence: "moby 23.0 release notes, moby/moby#42862",
    },
    Fact {
        engine: Name::Containerd,
        name: "containerd",
        oldest: (1, 2),
        zstd: (1, 5),
        evidence: "containerd/containerd#4809, in 1.5; tested with 1.6.20 and 1.7.24",
        skippable: Some((1, 6)),
        skippable_evidence: "containerd/containerd#6177, in 1.6",
    },
    Fact {
        engine: Name::Podman,
        name: "podman",
        oldest: (1, 0),
        zstd: (1, 8),
        evidence: "containers/image#639, in version 5, which podman uses since 1.8; tested with 4.3.1 and 5.4.2",
        skippable: None,
        skippable_evidence: "container-libs, image/pkg/compression checks only the main magic number",
    },
    Fact {
        engine: Name::Skopeo,
        name: "skopeo",
        oldest: (0, 1),
        zstd: (0, 2),
        evidence: "containers/image#639, in version 5, which skopeo uses since 0.2; tested with 1.9.3 and 1.18.0",
        skippable: None,
        skippable_evidence: "container-libs, image/pkg/compression checks only the main magic number; 1.9.3 fails",
    },
    Fact {
        engine: Name::K3s,
        name: "k3s",
        oldest: (1, 0),
        zstd: (1, 22),
        evidence: "k3s release notes: 1.21 embeds containerd 1.4, and 1.22 embeds 1.5",
        skippable: Some((1, 25)),
        skippable_evidence: "k3s release notes: every 1.25 embeds containerd 1.6 or later",
    },
    Fact {
        engine: Name::Kind,
        name: "kind",
        oldest: (0, 1),
        zstd: (0, 11),
        evidence: "the node images of kind 0.11 contain containerd 1.5",
        skippable: Some((0, 15)),
        skippable_evidence: "kind 0.15 release notes: containerd 1.6.7",
    },
];

/// An engine, optionally with a version. Its text form is `ENGINE[@VERSION]`, such as `docker@20.10`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Engine {
    name: Name,
    /// `None` stands for the current version.
    version: Option<Version>,
}

impl Engine {
    fn fact(self) -> Option<&'static Fact> {
        FACTS.iter().find(|fact| fact.engine == self.name)
    }

    /// Whether the engine can read layers with this content.
    pub fn reads(self, content: Content) -> bool {
        let Some(fact) = self.fact() else {
            return true;
        };
        let has = |since: Version| self.version.is_none_or(|version| version >= since);
        match content {
            Content::Zstd => has(fact.zstd),
            Content::ZstdAfterSkippable => has(fact.zstd) && fact.skippable.is_some_and(has),
            Content::Bzip2 | Content::Xz => false,
            Content::Empty | Content::Tar | Content::Gzip | Content::Other => true,
        }
    }

    /// The source for what [`reads`](Self::reads) returns for this content.
    pub fn evidence(self, content: Content) -> &'static str {
        let fact = self.fact();
        match content {
            Content::Zstd => fact.map_or("", |fact| fact.evidence),
            Content::ZstdAfterSkippable => fact.map_or("", |fact| fact.skippable_evidence),
            Content::Bzip2 | Content::Xz => "OCI and Docker have no media type for it",
            Content::Empty | Content::Tar | Content::Gzip | Content::Other => {
                "image-spec, media-types.md"
            }
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.fact().map_or("", |fact| fact.name))?;
        match self.version {
            Some((major, minor)) => write!(f, "@{major}.{minor}"),
            None => Ok(()),
        }
    }
}

/// Why a text is not an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParseEngineError {
    /// The name is not that of an engine that ocify knows.
    Unknown,
    /// This is not a version.
    Version(String),
    /// The version is too old to read what ocify writes.
    TooOld {
        /// The requested engine.
        engine: Engine,
        /// The oldest version that reads what ocify writes.
        oldest: String,
    },
}

impl fmt::Display for ParseEngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ParseEngineError::Unknown => {
                let known: Vec<&str> = FACTS.iter().map(|fact| fact.name).collect();
                write!(f, "expected one of {}", known.join(", "))
            }
            ParseEngineError::Version(text) if text.is_empty() => {
                f.write_str("expected a version after @, such as 20.10")
            }
            ParseEngineError::Version(text) => write!(f, "{text} is not a version such as 20.10"),
            ParseEngineError::TooOld { engine, oldest } => write!(
                f,
                "{engine} cannot read the archives that ocify writes; use {oldest} or later"
            ),
        }
    }
}

impl std::error::Error for ParseEngineError {}

/// Parses `ENGINE` or `ENGINE@VERSION`, such as `docker@20.10`.
impl FromStr for Engine {
    type Err = ParseEngineError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, version) = match text.split_once('@') {
            Some((name, version)) => (name, Some(version)),
            None => (text, None),
        };
        let Some(fact) = FACTS.iter().find(|fact| fact.name == name) else {
            return Err(ParseEngineError::Unknown);
        };
        let version = version.map(parse_version).transpose()?;
        let engine = Engine {
            name: fact.engine,
            version,
        };
        if version.is_some_and(|version| version < fact.oldest) {
            let (major, minor) = fact.oldest;
            return Err(ParseEngineError::TooOld {
                engine,
                oldest: format!("{major}.{minor}"),
            });
        }
        Ok(engine)
    }
}

/// Parses versions such as `23`, `v1.7.24`, `20.10.24+dfsg1` and `1.22.17-k3s1`. Only the major and minor
/// numbers are kept.
fn parse_version(text: &str) -> Result<Version, ParseEngineError> {
    let invalid = || ParseEngineError::Version(text.to_owned());
    let numbers = text.strip_prefix('v').unwrap_or(text);
    let numbers = numbers.split(['-', '+', '~']).next().unwrap_or_default();
    let mut parts = numbers.split('.').map(str::parse);
    let mut next = || parts.next().transpose().map_err(|_| invalid());
    let (major, minor) = (next()?, next()?);
    if next().is_err() {
        return Err(invalid());
    }
    Ok((major.ok_or_else(invalid)?, minor.unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn support_depends_on_the_version() {
        // Engine, zstd, zstd that starts with a skippable frame.
        for (text, zstd, skippable) in [
            ("docker@20.10", false, false),
            ("docker@20.10.24", false, false),
            ("docker@20.10.24+dfsg1", false, false),
            ("docker@v23.0.1", true, true),
            ("docker@23", true, true),
            ("docker", true, true),
            ("containerd@1.4", false, false),
            ("containerd@1.5.18", true, false),
            ("containerd@v1.6", true, true),
            ("containerd@1.6.20~ds1", true, true),
            ("podman@1.7", false, false),
            ("podman@4.3.1", true, false),
            ("podman", true, false),
            ("skopeo@0.1", false, false),
            ("skopeo", true, false),
            ("k3s@1.21", false, false),
            ("k3s@v1.22.17+k3s1", true, false),
            ("k3s@1.25", true, true),
            ("kind@0.10", false, false),
            ("kind@0.11", true, false),
            ("kind@0.20", true, true),
        ] {
            let engine: Engine = text.parse().unwrap();
            assert_eq!(engine.reads(Content::Zstd), zstd, "{text}");
            let found = engine.reads(Content::ZstdAfterSkippable);
            assert_eq!(found, skippable, "{text}");
            assert!(engine.reads(Content::Gzip) && engine.reads(Content::Tar));
            assert!(!engine.reads(Content::Bzip2) && !engine.reads(Content::Xz));
        }
    }

    #[test]
    fn facts_have_evidence_and_ordered_versions() {
        for fact in FACTS {
            let engine: Engine = fact.name.parse().unwrap();
            for content in [Content::Zstd, Content::ZstdAfterSkippable] {
                assert!(!engine.evidence(content).is_empty(), "{}", fact.name);
            }
            assert!(fact.oldest <= fact.zstd, "{}", fact.name);
            assert!(fact.skippable.is_none_or(|since| fact.zstd <= since));
        }
    }

    #[test]
    fn invalid_engines_are_refused() {
        for text in [
            "",
            "lxc",
            "docker@",
            "docker@x",
            "docker@1.9",
            "Docker",
            "docker@20.x",
            "docker@20.10.x",
            "docker@-1",
            "docker@20..1",
        ] {
            assert!(text.parse::<Engine>().is_err(), "{text}");
        }
    }
}

//! What container engines read: the facts behind `--for ENGINE[@VERSION]`.

use std::fmt;
use std::str::FromStr;

use crate::compression::Compression;

/// An engine that archives are made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Name {
    Docker,
    Containerd,
    Podman,
    Skopeo,
    K3s,
    Kind,
}

/// From which version on an engine does something, and how that is known.
struct Fact {
    engine: Name,
    name: &'static str,
    /// The first version that this crate writes archives for.
    oldest: (u32, u32),
    /// The first version that reads layers compressed with zstd.
    zstd: (u32, u32),
    /// Where the version of `zstd` is from.
    evidence: &'static str,
}

const FACTS: &[Fact] = &[
    Fact {
        engine: Name::Docker,
        name: "docker",
        oldest: (1, 10),
        zstd: (23, 0),
        evidence: "moby 23.0 release notes: zstd in pkg/archive; 20.10.24 was seen to fail with \"invalid tar header\"",
    },
    Fact {
        engine: Name::Containerd,
        name: "containerd",
        oldest: (1, 2),
        zstd: (1, 5),
        evidence: "containerd 1.5 release notes: zstd layers; 1.6.20 and 1.7.24 were seen to run them",
    },
    Fact {
        engine: Name::Podman,
        name: "podman",
        oldest: (1, 0),
        zstd: (1, 8),
        evidence: "containers/image 5.0 reads zstd, which podman 1.8 took up; 4.3.1 and 5.4.2 were seen to run them",
    },
    Fact {
        engine: Name::Skopeo,
        name: "skopeo",
        oldest: (0, 1),
        zstd: (0, 2),
        evidence: "containers/image 5.0 reads zstd, which skopeo 0.2 took up; 1.9.3 and 1.18.0 were seen to copy them",
    },
    Fact {
        engine: Name::K3s,
        name: "k3s",
        oldest: (1, 0),
        zstd: (1, 22),
        evidence: "k3s 1.22 embeds containerd 1.5",
    },
    Fact {
        engine: Name::Kind,
        name: "kind",
        oldest: (0, 1),
        zstd: (0, 11),
        evidence: "the node images of kind 0.11 hold containerd 1.5",
    },
];

/// An engine, and its version if that was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Engine {
    name: Name,
    /// Major and minor; the current one if there is none.
    version: Option<(u32, u32)>,
}

impl Engine {
    fn fact(self) -> Option<&'static Fact> {
        FACTS.iter().find(|fact| fact.engine == self.name)
    }

    /// Whether the engine reads layers so compressed.
    pub fn reads(self, compression: Compression) -> bool {
        match (compression, self.version, self.fact()) {
            (Compression::Zstd, Some(version), Some(fact)) => version >= fact.zstd,
            _ => true,
        }
    }

    /// How it is known since when the engine reads zstd.
    pub fn evidence(self) -> &'static str {
        self.fact().map_or("", |fact| fact.evidence)
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

impl FromStr for Engine {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, version) = match text.split_once('@') {
            Some((name, version)) => (name, Some(version)),
            None => (text, None),
        };
        let Some(fact) = FACTS.iter().find(|fact| fact.name == name) else {
            let known: Vec<&str> = FACTS.iter().map(|fact| fact.name).collect();
            return Err(format!("the engines are {}", known.join(", ")));
        };
        let version = version.map(parse_version).transpose()?;
        let engine = Engine {
            name: fact.engine,
            version,
        };
        if version.is_some_and(|version| version < fact.oldest) {
            let (major, minor) = fact.oldest;
            return Err(format!(
                "{engine} reads no archive that ocify writes; {major}.{minor} is the oldest that does"
            ));
        }
        Ok(engine)
    }
}

/// Major and minor of `20.10`, `v1.7.24` or `23`.
fn parse_version(text: &str) -> Result<(u32, u32), String> {
    let invalid = || format!("{text} is no version such as 20.10");
    let mut parts = text.strip_prefix('v').unwrap_or(text).split('.');
    let mut number = |default: Option<u32>| match (parts.next(), default) {
        (Some(part), _) => part.parse().map_err(|_| invalid()),
        (None, Some(default)) => Ok(default),
        (None, None) => Err(invalid()),
    };
    Ok((number(None)?, number(Some(0))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zstd_by_version() {
        for (text, expected) in [
            ("docker@20.10", false),
            ("docker@20.10.24", false),
            ("docker@v23.0.1", true),
            ("docker@23", true),
            ("docker", true),
            ("containerd@1.4", false),
            ("containerd@1.6", true),
            ("podman@4.3.1", true),
            ("k3s@1.21", false),
            ("kind@0.20", true),
        ] {
            let engine: Engine = text.parse().unwrap();
            assert_eq!(engine.reads(Compression::Zstd), expected, "{text}");
            assert!(engine.reads(Compression::Gzip), "{text}");
            assert!(!engine.evidence().is_empty());
        }
    }

    #[test]
    fn what_is_no_engine() {
        for text in [
            "",
            "lxc",
            "docker@",
            "docker@x",
            "docker@1.9",
            "Docker",
            "docker@20.x",
        ] {
            assert!(text.parse::<Engine>().is_err(), "{text}");
        }
    }
}

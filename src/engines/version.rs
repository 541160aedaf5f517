//! Versions of engines: what decides what an engine can read.

use std::fmt;

use serde::{Serialize, Serializer};

/// The version of a release: major, minor and patch number, such as `20.10.24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32, pub u32);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// As it is displayed.
impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The beginning of a version: `20`, `20.10` and `20.10.24` are beginnings of `20.10.24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Series {
    major: u32,
    minor: Option<u32>,
    patch: Option<u32>,
}

impl Series {
    /// Parses versions such as `23`, `v1.7.24`, `20.10.24+dfsg1` and `1.22.17-k3s1`. `None` if it is not a version.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let numbers = text.strip_prefix('v').unwrap_or(text);
        let numbers = numbers.split(['-', '+', '~']).next().unwrap_or_default();
        let parts: Result<Vec<u32>, _> = numbers.split('.').map(str::parse).collect();
        let (major, minor, patch) = match parts.ok()?[..] {
            [major] => (major, None, None),
            [major, minor] => (major, Some(minor), None),
            [major, minor, patch] => (major, Some(minor), Some(patch)),
            _ => return None,
        };
        Some(Series {
            major,
            minor,
            patch,
        })
    }

    pub(crate) fn contains(self, version: Version) -> bool {
        version.0 == self.major
            && self.minor.is_none_or(|minor| version.1 == minor)
            && self.patch.is_none_or(|patch| version.2 == patch)
    }

    /// The version, if all its numbers are given.
    pub(crate) fn exact(self) -> Option<Version> {
        Some(Version(self.major, self.minor?, self.patch?))
    }

    /// The last version of the series that there may be.
    pub(crate) fn last(self) -> Version {
        Version(
            self.major,
            self.minor.unwrap_or(u32::MAX),
            self.patch.unwrap_or(u32::MAX),
        )
    }
}

impl From<Version> for Series {
    fn from(version: Version) -> Self {
        Series {
            major: version.0,
            minor: Some(version.1),
            patch: Some(version.2),
        }
    }
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.major)?;
        for number in [self.minor, self.patch].into_iter().flatten() {
            write!(f, ".{number}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_releases_and_packages() {
        for (text, expected) in [
            ("23", Some("23")),
            ("20.10", Some("20.10")),
            ("20.10.24", Some("20.10.24")),
            ("20.10.24+dfsg1", Some("20.10.24")),
            ("v1.7.24", Some("1.7.24")),
            ("1.6.20~ds1", Some("1.6.20")),
            ("v1.22.17+k3s1", Some("1.22.17")),
            ("1.22.17-k3s1", Some("1.22.17")),
            ("", None),
            ("x", None),
            ("20.x", None),
            ("20.10.x", None),
            ("-1", None),
            ("20..1", None),
            ("1.2.3.4", None),
        ] {
            let found = Series::parse(text).map(|series| series.to_string());
            assert_eq!(found.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_series_contains_its_versions() {
        let contains = |series: &str| {
            let series = Series::parse(series).unwrap();
            series.contains(Version(20, 10, 24))
        };
        assert!(contains("20") && contains("20.10") && contains("20.10.24"));
        assert!(!contains("2") && !contains("20.1") && !contains("20.10.2"));
    }
}

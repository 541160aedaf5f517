//! Versions of engines: the numbers that decide what an engine can read.

use std::fmt;

use serde::{Serialize, Serializer};

/// A major and a minor version number, such as `20.10`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32);

impl Version {
    /// Parses versions such as `23`, `v1.7.24`, `20.10.24+dfsg1` and `1.22.17-k3s1`. Only the major and minor
    /// numbers are kept. `None` if it is not a version.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let numbers = text.strip_prefix('v').unwrap_or(text);
        let numbers = numbers.split(['-', '+', '~']).next().unwrap_or_default();
        let parts: Result<Vec<u32>, _> = numbers.split('.').map(str::parse).collect();
        match parts.ok()?[..] {
            [major] => Some(Version(major, 0)),
            [major, minor] | [major, minor, _] => Some(Version(major, minor)),
            _ => None,
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// As it is displayed.
impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_releases_and_packages() {
        for (text, expected) in [
            ("23", Some(Version(23, 0))),
            ("20.10", Some(Version(20, 10))),
            ("20.10.24", Some(Version(20, 10))),
            ("20.10.24+dfsg1", Some(Version(20, 10))),
            ("v1.7.24", Some(Version(1, 7))),
            ("1.6.20~ds1", Some(Version(1, 6))),
            ("v1.22.17+k3s1", Some(Version(1, 22))),
            ("1.22.17-k3s1", Some(Version(1, 22))),
            ("", None),
            ("x", None),
            ("20.x", None),
            ("20.10.x", None),
            ("-1", None),
            ("20..1", None),
        ] {
            assert_eq!(Version::parse(text), expected, "{text}");
        }
    }
}

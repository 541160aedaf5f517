//! Platforms in the form `os/architecture[/variant]`, normalized the way containerd does.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// The platform that an image runs on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Platform {
    /// The operating system, as in Go's `GOOS`.
    pub os: String,
    /// The architecture, as in Go's `GOARCH`.
    pub architecture: String,
    /// The variant of the architecture, such as `v7`.
    pub variant: Option<String>,
    /// The version of the operating system, which Windows images specify.
    pub os_version: Option<String>,
}

/// The text is not a platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParsePlatformError;

impl fmt::Display for ParsePlatformError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected os/architecture or os/architecture/variant, such as linux/arm64")
    }
}

impl std::error::Error for ParsePlatformError {}

impl Platform {
    /// Whether an image for this platform satisfies a request for `wanted`.
    ///
    /// Both are normalized first: `arm64` equals `arm64/v8`, and `arm` equals `arm/v7`. The version of the
    /// operating system is compared only if `wanted` has one, which may be a prefix that ends at a dot, such
    /// as `10.0.17763`.
    pub fn matches(&self, wanted: &Platform) -> bool {
        let version_matches = match (&self.os_version, &wanted.os_version) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(found), Some(wanted)) => found
                .strip_prefix(wanted.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.')),
        };
        self.normal_form() == wanted.normal_form() && version_matches
    }

    /// What two platforms have in common if an index has space for only one of them.
    pub(crate) fn identity(&self) -> (String, String, String, Option<&str>) {
        let (os, architecture, variant) = self.normal_form();
        (os, architecture, variant, self.os_version.as_deref())
    }

    fn normal_form(&self) -> (String, String, String) {
        let os = self.os.to_ascii_lowercase();
        let os = if os == "macos" {
            "darwin".to_owned()
        } else {
            os
        };
        let variant = self.variant.as_deref().unwrap_or_default();
        let (architecture, variant) = normal_architecture(&self.architecture, variant);
        (os, architecture, variant)
    }
}

/// Normalizes an architecture and its variant.
fn normal_architecture(architecture: &str, variant: &str) -> (String, String) {
    let architecture = architecture.to_ascii_lowercase();
    let variant = variant.to_ascii_lowercase();
    let (architecture, variant) = match (architecture.as_str(), variant.as_str()) {
        ("i386", _) => ("386", ""),
        ("x86_64" | "x86-64" | "amd64", "" | "v1") => ("amd64", ""),
        ("x86_64" | "x86-64", variant) => ("amd64", variant),
        ("aarch64" | "arm64", "" | "8" | "v8") => ("arm64", ""),
        ("aarch64", variant) => ("arm64", variant),
        ("armhf", _) => ("arm", "v7"),
        ("armel", _) => ("arm", "v6"),
        ("arm", "" | "7") => ("arm", "v7"),
        ("arm", "5") => ("arm", "v5"),
        ("arm", "6") => ("arm", "v6"),
        ("arm", "8") => ("arm", "v8"),
        other => other,
    };
    (architecture.to_owned(), variant.to_owned())
}

impl FromStr for Platform {
    type Err = ParsePlatformError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_part = |part: &str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
        };
        let parts: Vec<&str> = text.split('/').collect();
        if !parts.iter().all(|part| is_part(part)) {
            return Err(ParsePlatformError);
        }
        let (os, architecture, variant) = match parts[..] {
            [os, architecture] => (os, architecture, None),
            [os, architecture, variant] => (os, architecture, Some(variant.to_owned())),
            _ => return Err(ParsePlatformError),
        };
        let mut platform = Platform {
            os: os.to_owned(),
            architecture: architecture.to_owned(),
            variant,
            os_version: None,
        };
        let (os, architecture, variant) = platform.normal_form();
        platform.os = os;
        platform.architecture = architecture;
        // Keep the variant that the user gave, and only add a missing one.
        if platform.variant.is_none() && !variant.is_empty() {
            platform.variant = Some(variant);
        }
        Ok(platform)
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

/// As it is displayed.
impl Serialize for Platform {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(text: &str) -> Platform {
        text.parse().unwrap_or_else(|_| panic!("{text}"))
    }

    #[test]
    fn platforms_are_normalized() {
        for (text, shown) in [
            ("linux/amd64", "linux/amd64"),
            ("linux/x86_64", "linux/amd64"),
            ("Linux/aarch64", "linux/arm64"),
            ("linux/arm64/v8", "linux/arm64/v8"),
            ("linux/arm", "linux/arm/v7"),
            ("linux/arm/v6", "linux/arm/v6"),
            ("macos/arm64", "darwin/arm64"),
        ] {
            assert_eq!(platform(text).to_string(), shown, "{text}");
        }
    }

    #[test]
    fn invalid_platforms_are_refused() {
        for text in [
            "",
            "amd64",
            "linux/",
            "/amd64",
            "linux/arm/v7/x",
            "linux/a b",
            "linux//v8",
        ] {
            assert_eq!(text.parse::<Platform>(), Err(ParsePlatformError), "{text}");
        }
    }

    #[test]
    fn equivalent_platforms_match() {
        for (found, wanted, expected) in [
            ("linux/amd64", "linux/x86_64", true),
            ("linux/amd64/v1", "linux/amd64", true),
            ("linux/amd64/v2", "linux/amd64", false),
            ("linux/arm64/v8", "linux/arm64", true),
            ("linux/arm64", "linux/arm64/v8", true),
            ("linux/arm/v7", "linux/arm", true),
            ("linux/arm/v6", "linux/arm", false),
            ("linux/arm64", "linux/arm/v8", false),
            ("windows/amd64", "linux/amd64", false),
        ] {
            assert_eq!(
                platform(found).matches(&platform(wanted)),
                expected,
                "{found} {wanted}"
            );
        }
    }

    #[test]
    fn operating_system_versions_match_by_prefix() {
        let with = |version: Option<&str>| Platform {
            os_version: version.map(str::to_owned),
            ..platform("windows/amd64")
        };
        for (found, wanted, expected) in [
            (Some("10.0.17763.1"), None, true),
            (Some("10.0.17763.1"), Some("10.0.17763"), true),
            (Some("10.0.17763.1"), Some("10.0.1"), false),
            (None, Some("10.0.17763"), false),
        ] {
            assert_eq!(
                with(found).matches(&with(wanted)),
                expected,
                "{found:?} {wanted:?}"
            );
        }
    }
}

//! Platforms in the form `os[(version+feature…)]/architecture[/variant]`, parsed and normalized the way containerd does
//! (containerd/platforms, `platforms.go`).

use std::collections::BTreeSet;
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
    /// The features of the operating system that an image requires, such as `win32k` or `erofs`.
    pub os_features: BTreeSet<String>,
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

/// A normalized operating system, architecture and variant.
pub(crate) type NormalForm = (String, String, String);

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

    /// The same for a request that must be met exactly: the image may require only features of the operating
    /// system that `wanted` has.
    pub fn matches_strictly(&self, wanted: &Platform) -> bool {
        self.matches(wanted) && self.os_features.is_subset(&wanted.os_features)
    }

    /// What two platforms have in common if an index has space for only one of them.
    pub(crate) fn identity(&self) -> (String, String, String, Option<&str>) {
        let (os, architecture, variant) = self.normal_form();
        (os, architecture, variant, self.os_version.as_deref())
    }

    /// The operating system, architecture and variant of all platforms that [match](Self::matches) this one.
    pub(crate) fn normal_form(&self) -> NormalForm {
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

impl Platform {
    /// The platform as it is displayed, with the version and features of the operating system: what
    /// [`from_str`](Self::from_str) reads, such as `windows(10.0.17763+win32k)/amd64`.
    pub fn specifier(&self) -> String {
        let encode = |detail: &String| {
            let mut encoded = String::with_capacity(detail.len());
            for c in detail.chars() {
                match c {
                    '%' | '+' | '(' | ')' | '/' => encoded.push_str(&format!("%{:02X}", c as u32)),
                    c => encoded.push(c),
                }
            }
            encoded
        };
        let mut details = self.os_version.as_ref().map(encode).unwrap_or_default();
        for feature in &self.os_features {
            details.push('+');
            details.push_str(&encode(feature));
        }
        let shown = self.to_string();
        match details.is_empty() {
            true => shown,
            false => format!("{}({details}){}", self.os, &shown[self.os.len()..]),
        }
    }
}

fn is_part(text: &str) -> bool {
    let is_allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    !text.is_empty() && text.bytes().all(is_allowed)
}

/// A version or feature of an operating system, in which `%XX` stands for one byte.
fn os_detail(text: &str) -> Result<String, ParsePlatformError> {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (code, rest) = part.split_at_checked(2).ok_or(ParsePlatformError)?;
        bytes.push(u8::from_str_radix(code, 16).map_err(|_| ParsePlatformError)?);
        bytes.extend(rest.bytes());
    }
    let is_clean = text.split('%').all(|part| part.is_empty() || is_part(part));
    let detail = String::from_utf8(bytes).map_err(|_| ParsePlatformError)?;
    match detail.is_empty() || !is_clean {
        true => Err(ParsePlatformError),
        false => Ok(detail),
    }
}

impl FromStr for Platform {
    type Err = ParsePlatformError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts: Vec<&str> = text.split('/').collect();
        let (os, details) = match parts[0].split_once('(') {
            Some((os, details)) => (os, details.strip_suffix(')').ok_or(ParsePlatformError)?),
            None => (parts[0], ""),
        };
        if !is_part(os) || !parts[1..].iter().all(|part| is_part(part)) {
            return Err(ParsePlatformError);
        }
        let mut details = details.split('+');
        let os_version = details.next().filter(|version| !version.is_empty());
        let os_version = os_version.map(os_detail).transpose()?;
        let os_features = details.map(os_detail).collect::<Result<_, _>>()?;
        let parts: Vec<&str> = std::iter::once(os)
            .chain(parts[1..].iter().copied())
            .collect();
        let (os, architecture, variant) = match parts[..] {
            [os, architecture] => (os, architecture, None),
            [os, architecture, variant] => (os, architecture, Some(variant.to_owned())),
            _ => return Err(ParsePlatformError),
        };
        let mut platform = Platform {
            os: os.to_owned(),
            architecture: architecture.to_owned(),
            variant,
            os_version,
            os_features,
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
            ("windows(10.0.17763)/amd64", "windows/amd64"),
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
            "windows(10/amd64",
            "windows(10.0 1)/amd64",
            "windows(+)/amd64",
            "windows(%2)/amd64",
            "linux/amd64(1)",
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
    fn versions_and_features_are_parsed() {
        let parsed = platform("windows(10.0.17763+win32k+a%2Bb)/amd64");
        assert_eq!(parsed.os_version.as_deref(), Some("10.0.17763"));
        let features: Vec<&str> = parsed.os_features.iter().map(String::as_str).collect();
        assert_eq!(features, ["a+b", "win32k"]);
        assert_eq!(parsed.specifier(), "windows(10.0.17763+a%2Bb+win32k)/amd64");
        assert_eq!(parsed.to_string(), "windows/amd64");
        let parsed = platform("linux(+erofs)/arm64/v8");
        assert_eq!(parsed.os_version, None);
        assert_eq!(parsed.variant.as_deref(), Some("v8"));
        assert!(parsed.os_features.contains("erofs"));
    }

    #[test]
    fn a_strict_match_requires_no_other_features() {
        for (found, wanted, expected) in [
            ("linux/amd64", "linux/amd64", true),
            ("linux(+erofs)/amd64", "linux/amd64", false),
            ("linux(+erofs)/amd64", "linux(+erofs)/amd64", true),
            ("linux/amd64", "linux(+erofs)/amd64", true),
            ("linux(+a+b)/amd64", "linux(+a)/amd64", false),
            ("windows(10.0.17763.1)/amd64", "windows/amd64", true),
            (
                "windows(10.0.17763.1)/amd64",
                "windows(10.0.17763)/amd64",
                true,
            ),
            (
                "windows(10.0.17763.1)/amd64",
                "windows(10.0.20348)/amd64",
                false,
            ),
        ] {
            let found_platform = platform(found);
            let matches = found_platform.matches_strictly(&platform(wanted));
            assert_eq!(matches, expected, "{found} {wanted}");
            assert!(!matches || found_platform.matches(&platform(wanted)));
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

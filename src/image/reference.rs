//! Image references, with the grammar and the defaults of distribution's `reference` package.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::image::Digest;

const DEFAULT_DOMAIN: &str = "docker.io";
const LEGACY_DEFAULT_DOMAIN: &str = "index.docker.io";
const OFFICIAL_PREFIX: &str = "library/";
const DEFAULT_TAG: &str = "latest";
/// Docker refuses this name for a repository, because an image ID begins with it.
const DIGEST_ALGORITHM: &str = "sha256";
const MAX_NAME_LEN: usize = 255;
const MAX_TAG_LEN: usize = 128;

/// A complete image reference: a domain, a path, and a tag, a digest or both.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    domain: String,
    path: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// Like [`from_str`](Self::from_str), for callers that do not need the reason for a failure.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::checked(text).ok()
    }

    fn checked(text: &str) -> Result<Self, ReferenceFault> {
        if is_image_id(text) {
            return Err(ReferenceFault::ImageId);
        }
        let (named, digest) = match text.split_once('@') {
            Some((named, digest)) => {
                let digest = digest.parse::<Digest>();
                (named, Some(digest.map_err(|_| ReferenceFault::Digest)?))
            }
            None => (text, None),
        };
        let (domain, rest) = split_domain(named);
        let (path, tag) = match rest.split_once(':') {
            Some((path, tag)) => (path, Some(tag)),
            None => (rest, None),
        };
        let path = if domain == DEFAULT_DOMAIN && !path.contains('/') {
            format!("{OFFICIAL_PREFIX}{path}")
        } else {
            path.to_owned()
        };
        if !is_domain(domain) {
            return Err(ReferenceFault::Domain);
        }
        if !path.split('/').all(is_path_component) {
            return Err(ReferenceFault::Repository);
        }
        if path.len() > MAX_NAME_LEN {
            return Err(ReferenceFault::TooLong);
        }
        let official = path.strip_prefix(OFFICIAL_PREFIX);
        if domain == DEFAULT_DOMAIN && official == Some(DIGEST_ALGORITHM) {
            return Err(ReferenceFault::DigestAlgorithm);
        }
        if !tag.is_none_or(is_tag) {
            return Err(ReferenceFault::Tag);
        }
        let tag = match (tag, &digest) {
            (Some(tag), _) => Some(tag.to_owned()),
            (None, Some(_)) => None,
            (None, None) => Some(DEFAULT_TAG.to_owned()),
        };
        Ok(Reference {
            domain: domain.to_owned(),
            path,
            tag,
            digest,
        })
    }

    /// Suggests a valid reference for an invalid text: without a transport such as `docker://`, and with the
    /// repository in lower case. The tag is kept, because tags may contain upper case.
    pub(crate) fn suggest(text: &str) -> Option<Self> {
        let bare = text.split_once("://").map_or(text, |(_, bare)| bare);
        let path = bare.rfind('/').map_or(0, |slash| slash + 1);
        let end = bare[path..]
            .find([':', '@'])
            .map_or(bare.len(), |end| path + end);
        let (repository, rest) = bare.split_at(end);
        Reference::parse(&format!("{}{rest}", repository.to_lowercase()))
    }

    /// The full form: `docker.io/library/app:latest`.
    pub fn full(&self) -> String {
        self.with_suffix(&format!("{}/{}", self.domain, self.path))
    }

    /// The short form that Docker displays: `app:latest`. It parses to the same reference.
    pub fn familiar(&self) -> String {
        if self.domain == DEFAULT_DOMAIN {
            let official = self.path.strip_prefix(OFFICIAL_PREFIX);
            for name in official.into_iter().chain([self.path.as_str()]) {
                let short = self.with_suffix(name);
                // Without docker.io, a path such as `example.com/app` would parse as a domain.
                if Reference::parse(&short).as_ref() == Some(self) {
                    return short;
                }
            }
        }
        self.full()
    }

    /// The registry, with its port if it has one: `docker.io`.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The repository in its registry: `library/app`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The tag; `None` if the reference has only a digest.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest; `None` if the reference has only a tag.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Whether the reference has a digest.
    pub fn is_digest(&self) -> bool {
        self.digest.is_some()
    }

    /// The same with this at the end of the tag; `None` for a reference with a digest, and if the tag would not be valid.
    pub(crate) fn with_tag_suffix(&self, suffix: &str) -> Option<Reference> {
        let tag = self.tag.as_ref().filter(|_| self.digest.is_none())?;
        let renamed = Reference {
            tag: Some(format!("{tag}{suffix}")),
            ..self.clone()
        };
        Reference::parse(&renamed.full()).filter(|parsed| *parsed == renamed)
    }

    fn with_suffix(&self, name: &str) -> String {
        let mut text = name.to_owned();
        if let Some(tag) = &self.tag {
            text.push(':');
            text.push_str(tag);
        }
        if let Some(digest) = &self.digest {
            text.push('@');
            text.push_str(&digest.to_string());
        }
        text
    }
}

/// Parses a reference and fills in defaults the way Docker does: `app` becomes
/// `docker.io/library/app:latest`.
impl FromStr for Reference {
    type Err = ParseReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::checked(text).map_err(|fault| {
            let meant = Self::suggest(text);
            let fault = match &meant {
                _ if text.contains("://") => ReferenceFault::Transport,
                Some(_) => ReferenceFault::UpperCase,
                None => fault,
            };
            ParseReferenceError { fault, meant }
        })
    }
}

/// Why a text is not an image reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseReferenceError {
    fault: ReferenceFault,
    meant: Option<Reference>,
}

/// What is wrong with a text that is not an image reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReferenceFault {
    /// It starts with a transport, such as `docker://`.
    Transport,
    /// The repository contains upper-case letters.
    UpperCase,
    /// It consists of 64 hexadecimal digits, with or without `sha256:`, which Docker treats as an image ID.
    ImageId,
    /// The repository is called `sha256`, which Docker refuses.
    DigestAlgorithm,
    /// The text after `@` is not a digest.
    Digest,
    /// The domain is not a host name or an address, optionally with a port.
    Domain,
    /// A component of the repository is empty, or contains characters other than letters, digits and single
    /// separators.
    Repository,
    /// The repository is longer than 255 characters.
    TooLong,
    /// The tag is empty, is longer than 128 characters, or contains characters other than letters, digits,
    /// `_`, `.` and `-`.
    Tag,
    /// It has a digest, and is to name what is pushed, whose digest follows from its content.
    DigestInTarget,
}

impl ParseReferenceError {
    /// The error for a reference that is valid, but not for its purpose.
    #[cfg(feature = "push")]
    pub(crate) fn unsuitable(fault: ReferenceFault) -> Self {
        ParseReferenceError { fault, meant: None }
    }

    /// What is wrong.
    pub fn fault(&self) -> ReferenceFault {
        self.fault
    }

    /// The valid reference that was probably intended.
    pub fn meant(&self) -> Option<&Reference> {
        self.meant.as_ref()
    }
}

impl fmt::Display for ParseReferenceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.fault {
            ReferenceFault::Transport => "image names do not include a transport",
            ReferenceFault::UpperCase => "repository names must be lower case",
            ReferenceFault::ImageId => "64 hexadecimal digits are an image ID, not a name",
            ReferenceFault::DigestAlgorithm => "docker refuses a repository called sha256",
            ReferenceFault::Digest => "the text after @ is not a digest",
            ReferenceFault::Domain => "the domain is not a host, optionally with a port",
            ReferenceFault::Repository => {
                "the repository has an empty component or an invalid character"
            }
            ReferenceFault::TooLong => "the repository is longer than 255 characters",
            ReferenceFault::Tag => "the tag is empty, too long or contains an invalid character",
            ReferenceFault::DigestInTarget => {
                "the digest of what is pushed follows from its content, and cannot be chosen"
            }
        })?;
        match &self.meant {
            Some(meant) => write!(f, "; did you mean {}?", meant.familiar()),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ParseReferenceError {}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.full())
    }
}

/// The whole reference, as it is displayed.
impl Serialize for Reference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Docker treats 64 hexadecimal digits as an image ID, never as a name.
fn is_image_id(text: &str) -> bool {
    let prefixed = text.strip_prefix(DIGEST_ALGORITHM);
    let hex = prefixed.and_then(|rest| rest.strip_prefix(':'));
    let hex = hex.unwrap_or(text);
    hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn split_domain(named: &str) -> (&str, &str) {
    match named.split_once('/') {
        Some((LEGACY_DEFAULT_DOMAIN, rest)) => (DEFAULT_DOMAIN, rest),
        Some((first, rest)) if looks_like_domain(first) => (first, rest),
        _ => (DEFAULT_DOMAIN, named),
    }
}

fn looks_like_domain(first: &str) -> bool {
    first == "localhost"
        || first.contains(['.', ':'])
        || first.bytes().any(|b| b.is_ascii_uppercase())
}

fn is_domain(domain: &str) -> bool {
    let (host, port) = match domain.rsplit_once(':') {
        // An IPv6 address without a port: the last colon is part of the address.
        Some(_) if domain.ends_with(']') => (domain, None),
        Some((host, port)) => (host, Some(port)),
        None => (domain, None),
    };
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    is_host(host) && port.is_none_or(is_port)
}

fn is_host(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[') {
        return address.strip_suffix(']').is_some_and(|address| {
            !address.is_empty() && address.bytes().all(|b| b.is_ascii_hexdigit() || b == b':')
        });
    }
    host.split('.').all(|label| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
    })
}

/// Runs of lower-case letters and digits, separated by `.`, `_`, `__` or any number of `-`.
fn is_path_component(component: &str) -> bool {
    let is_run = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if !component.starts_with(is_run) || !component.ends_with(is_run) {
        return false;
    }
    component
        .split(is_run)
        .all(|gap| matches!(gap, "" | "." | "_" | "__") || gap.bytes().all(|b| b == b'-'))
}

/// Whether the text is a valid tag.
pub(crate) fn is_tag(tag: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    tag.len() <= MAX_TAG_LEN
        && tag.bytes().next().is_some_and(is_word)
        && tag.bytes().all(|b| is_word(b) || matches!(b, b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn defaults_are_filled_in() {
        let cases = [
            ("app", "docker.io/library/app:latest", "app:latest"),
            ("app:v1", "docker.io/library/app:v1", "app:v1"),
            ("app:5000", "docker.io/library/app:5000", "app:5000"),
            ("team/app", "docker.io/team/app:latest", "team/app:latest"),
            ("library/app", "docker.io/library/app:latest", "app:latest"),
            (
                "docker.io/app",
                "docker.io/library/app:latest",
                "app:latest",
            ),
            (
                "index.docker.io/app:v1",
                "docker.io/library/app:v1",
                "app:v1",
            ),
            (
                "library/a/b",
                "docker.io/library/a/b:latest",
                "library/a/b:latest",
            ),
            (
                "localhost/app",
                "localhost/app:latest",
                "localhost/app:latest",
            ),
            (
                "host:5000/app",
                "host:5000/app:latest",
                "host:5000/app:latest",
            ),
            ("Host/app", "Host/app:latest", "Host/app:latest"),
            (
                "example.com/a/b:V.1-x",
                "example.com/a/b:V.1-x",
                "example.com/a/b:V.1-x",
            ),
            (
                "[::1]:5000/app",
                "[::1]:5000/app:latest",
                "[::1]:5000/app:latest",
            ),
            (
                "[fe80::1]/app",
                "[fe80::1]/app:latest",
                "[fe80::1]/app:latest",
            ),
            (
                "a__b.c_d--e",
                "docker.io/library/a__b.c_d--e:latest",
                "a__b.c_d--e:latest",
            ),
            (
                "docker.io/example.com/app",
                "docker.io/example.com/app:latest",
                "docker.io/example.com/app:latest",
            ),
            (
                "docker.io/library/host.name",
                "docker.io/library/host.name:latest",
                "host.name:latest",
            ),
        ];
        for (text, full, familiar) in cases {
            let reference = Reference::parse(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(reference.full(), full, "{text}");
            assert_eq!(reference.familiar(), familiar, "{text}");
            assert_eq!(
                Reference::parse(&reference.familiar()),
                Some(reference.clone())
            );
            assert!(!reference.is_digest(), "{text}");
        }
    }

    #[test]
    fn references_may_have_digests() {
        let reference = Reference::parse(&format!("app@{DIGEST}")).unwrap();
        assert_eq!(reference.full(), format!("docker.io/library/app@{DIGEST}"));
        assert_eq!(reference.tag(), None);
        assert!(reference.is_digest());

        let both = Reference::parse(&format!("app:v1@{DIGEST}")).unwrap();
        assert_eq!(both.familiar(), format!("app:v1@{DIGEST}"));
        assert_eq!(both.tag(), Some("v1"));
    }

    #[test]
    fn invalid_references_are_refused() {
        let hex = &DIGEST[7..];
        let image_id = format!("sha256:{hex}");
        let long_tag = format!("app:{}", "t".repeat(129));
        let long_name = format!("example.com/{}", "n".repeat(256));
        let cases = [
            "",
            "/",
            "/app",
            "app/",
            "a//b",
            "App",
            "example.com/App",
            "team/App",
            ":tag",
            "app:",
            "app:-x",
            "app:.x",
            "app:a b",
            "app:a/b",
            "-app",
            "app-",
            "a..b",
            "a___b",
            "a_.b",
            "a.-b",
            "host:port/app",
            "host:/app",
            "-host.com/app",
            "host-.com/app",
            "a..com/app",
            "[]/app",
            "[::g]/app",
            "[::1/app",
            "app@",
            "app@sha256:00",
            "app@@",
            "äpp",
            "app:ä",
            hex,
            image_id.as_str(),
            "sha256",
            "sha256:v1",
            "docker.io/library/sha256:v1",
            long_tag.as_str(),
            long_name.as_str(),
        ];
        for text in cases {
            assert_eq!(Reference::parse(text), None, "{text}");
        }
    }

    #[test]
    fn valid_references_are_suggested_for_invalid_ones() {
        for (text, expected) in [
            ("App:RC1", Some("app:RC1")),
            ("App", Some("app:latest")),
            (
                "Host.com:5000/Team/App:V1",
                Some("host.com:5000/team/app:V1"),
            ),
            ("docker://Example.com/app:V1", Some("example.com/app:V1")),
            ("ocidir://app", Some("app:latest")),
            ("app:-v1", None),
            ("app: v1", None),
            ("://", None),
            ("", None),
        ] {
            let found = Reference::suggest(text).map(|name| name.familiar());
            assert_eq!(found.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn the_longest_tag_and_name_are_accepted() {
        assert!(Reference::parse(&format!("app:{}", "t".repeat(128))).is_some());
        assert!(Reference::parse(&format!("example.com/{}", "n".repeat(255))).is_some());
        // 64 digits are an image ID only if nothing follows.
        assert!(Reference::parse(&format!("{}:v1", &DIGEST[7..])).is_some());
        // Only Docker's own repository of that name could be taken for an image ID.
        for name in [
            "team/sha256",
            "example.com/sha256:v1",
            "sha256/app",
            "sha512",
        ] {
            assert!(Reference::parse(name).is_some(), "{name}");
        }
    }

    #[test]
    fn an_error_says_what_is_wrong() {
        let long = "a".repeat(256);
        for (text, fault, meant) in [
            (
                "docker://app",
                ReferenceFault::Transport,
                Some("app:latest"),
            ),
            ("docker:// ", ReferenceFault::Transport, None),
            ("App:V1", ReferenceFault::UpperCase, Some("app:V1")),
            (&"0".repeat(64), ReferenceFault::ImageId, None),
            (DIGEST, ReferenceFault::ImageId, None),
            ("sha256:v1", ReferenceFault::DigestAlgorithm, None),
            ("app@sha256:0", ReferenceFault::Digest, None),
            ("-.com/app", ReferenceFault::Domain, None),
            ("a//b", ReferenceFault::Repository, None),
            ("", ReferenceFault::Repository, None),
            (&long, ReferenceFault::TooLong, None),
            ("app:", ReferenceFault::Tag, None),
        ] {
            let error = text.parse::<Reference>().unwrap_err();
            assert_eq!(error.fault(), fault, "{text}");
            let found = error.meant().map(Reference::familiar);
            assert_eq!(found.as_deref(), meant, "{text}");
        }
        let error = "App".parse::<Reference>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "repository names must be lower case; did you mean app:latest?"
        );
    }
}

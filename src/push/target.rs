//! Where a push goes.

use std::fmt;
use std::str::FromStr;

use crate::image::{ParseReferenceError, Reference, ReferenceFault};

/// A repository in a registry.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Repository {
    /// The registry, with its port if it has one.
    pub(crate) registry: String,
    pub(crate) name: String,
}

impl Repository {
    /// The repository of a name.
    pub(crate) fn of(name: &Reference) -> Self {
        Repository {
            registry: name.domain().to_owned(),
            name: name.path().to_owned(),
        }
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.name)
    }
}

/// Where a push goes: a repository, with or without a tag.
///
/// With a tag, one image is pushed under that name. Without one, every image is pushed under the tags that it has.
///
/// ```
/// use ocify::PushTarget;
///
/// let target: PushTarget = "registry.example.com/team/app".parse()?;
/// assert!(!target.has_tag());
/// assert_eq!(target.to_string(), "registry.example.com/team/app");
/// # Ok::<(), ocify::ParseReferenceError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PushTarget {
    /// The tag is `latest` if none was given.
    reference: Reference,
    has_tag: bool,
}

impl PushTarget {
    /// Whether it has a tag.
    pub fn has_tag(&self) -> bool {
        self.has_tag
    }

    /// The name that the target stands for if it has a tag, and otherwise the repository's name with the tag `latest`.
    pub fn reference(&self) -> &Reference {
        &self.reference
    }
}

/// Parses a name and fills in the registry as Docker does: `app` is `docker.io/library/app`. Unlike other names, it does not get a tag.
impl FromStr for PushTarget {
    type Err = ParseReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let reference: Reference = text.parse()?;
        if reference.is_digest() {
            return Err(ParseReferenceError::unsuitable(
                ReferenceFault::DigestInTarget,
            ));
        }
        // A colon before the last slash is that of a port.
        let last = text.rsplit('/').next().unwrap_or(text);
        Ok(PushTarget {
            has_tag: last.contains(':'),
            reference,
        })
    }
}

impl fmt::Display for PushTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.has_tag {
            true => self.reference.fmt(f),
            false => Repository::of(&self.reference).fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_has_the_tag_that_was_given_and_no_other() {
        for (text, shown, has_tag) in [
            ("app", "docker.io/library/app", false),
            ("app:v1", "docker.io/library/app:v1", true),
            ("localhost:5000/app", "localhost:5000/app", false),
            ("localhost:5000/a/b:v1", "localhost:5000/a/b:v1", true),
            ("[::1]:5000/app", "[::1]:5000/app", false),
        ] {
            let target: PushTarget = text.parse().unwrap();
            assert_eq!(
                (target.to_string().as_str(), target.has_tag()),
                (shown, has_tag)
            );
        }
    }

    #[test]
    fn what_is_not_a_repository_or_tag_is_refused() {
        let digest = format!("app@sha256:{}", "0".repeat(64));
        for (text, expected) in [
            ("https://example.com/app", ReferenceFault::Transport),
            ("example.com/App", ReferenceFault::UpperCase),
            (digest.as_str(), ReferenceFault::DigestInTarget),
            ("example.com/app:", ReferenceFault::Tag),
        ] {
            assert_eq!(text.parse::<PushTarget>().unwrap_err().fault(), expected);
        }
    }
}

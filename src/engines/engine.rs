//! Engines as users name them: `ENGINE[@VERSION][/STORE]`.

use std::fmt;
use std::str::FromStr;

use crate::engines::compared::compared;
use crate::engines::facts::{Fact, fact};
use crate::engines::reader::Product;
use crate::engines::version::Series;
use crate::engines::{Obstacle, Reader, Version};
use crate::image::Content;

/// An engine, optionally with a version and an image store or transport. Its text form is `ENGINE[@VERSION][/STORE]`,
/// such as `docker@20.10` and `docker@26.1/containerd`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Engine {
    product: Product,
    /// `None` stands for the newest version that is known.
    version: Option<Series>,
    /// `None` stands for all stores or transports.
    reader: Option<Reader>,
}

impl Engine {
    /// This version of a reader alone.
    pub(crate) fn of(reader: Reader, version: Version) -> Self {
        let product = reader.product();
        let is_one_of_many = product.readers().nth(1).is_some();
        Engine {
            product,
            version: Some(Series::from(version)),
            reader: is_one_of_many.then_some(reader),
        }
    }

    /// The readers that are meant.
    pub fn readers(self) -> impl Iterator<Item = Reader> {
        let readers = self.product.readers();
        readers.filter(move |reader| match self.reader {
            Some(only) => only == *reader,
            None => self
                .version
                .is_none_or(|series| series.last() >= reader.since()),
        })
    }

    /// The known versions of one of its readers that are meant, in order. A version whose source was compared with that of a
    /// known one does what that one does.
    pub(crate) fn versions(self, reader: Reader) -> Vec<Version> {
        let Some(series) = self.version else {
            return reader.newest().into_iter().collect();
        };
        let known = reader.known().filter(|version| series.contains(*version));
        let known: Vec<Version> = known.collect();
        match series.exact() {
            Some(exact) if known.is_empty() => compared(reader, exact).into_iter().collect(),
            _ => known,
        }
    }

    /// The contents of layers that some engines cannot read.
    pub(crate) const COMPRESSED: [Content; 4] = [
        Content::Zstd,
        Content::ZstdAfterSkippable,
        Content::Bzip2,
        Content::Xz,
    ];

    /// Those of [`COMPRESSED`](Self::COMPRESSED) that all of these engines can read.
    pub(crate) fn read_by_all(engines: &[Self]) -> Vec<Content> {
        let is_read = |content: &Content| engines.iter().all(|engine| engine.reads(*content));
        Self::COMPRESSED.into_iter().filter(is_read).collect()
    }

    /// Whether the engine can read layers with this content.
    pub fn reads(self, content: Content) -> bool {
        // OCI and Docker have no media types for these.
        if matches!(content, Content::Bzip2 | Content::Xz) {
            return false;
        }
        let Some(obstacle) = Obstacle::of_layer(content) else {
            return true;
        };
        let zstd = Some(Obstacle::ZstdLayer);
        let is_zstd = obstacle == Obstacle::SkippableFrame;
        let obstacles = [Some(obstacle), zstd.filter(|_| is_zstd)];
        let mut obstacles = obstacles.into_iter().flatten();
        !obstacles.any(|obstacle| self.facts(obstacle).next().is_some())
    }

    /// What is in the way of the versions that are meant. For a version that is not known, the table is asked with its own
    /// number, so that layers are recompressed for a version between two known ones.
    fn facts(self, obstacle: Obstacle) -> impl Iterator<Item = &'static Fact> {
        self.readers().filter_map(move |reader| {
            let versions = match self.version {
                None => reader.newest().into_iter().collect(),
                Some(series) => match self.versions(reader) {
                    versions if versions.is_empty() => vec![series.last()],
                    versions => versions,
                },
            };
            let mut facts = versions
                .into_iter()
                .map(|version| fact(reader, version, obstacle));
            facts.find_map(|fact| fact)
        })
    }

    /// The source for what [`reads`](Self::reads) returns for this content; empty if no version of the engine has a
    /// problem with it.
    pub fn evidence(self, content: Content) -> String {
        let Some(obstacle) = Obstacle::of_layer(content) else {
            return "image-spec, media-types.md".to_owned();
        };
        let mut facts = self.facts(obstacle);
        match facts.next() {
            Some(fact) => fact.evidence.to_string(),
            None if self.reads(content) => String::new(),
            None => "OCI and Docker have no media type for it".to_owned(),
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.product.name())?;
        if let Some(version) = self.version {
            write!(f, "@{version}")?;
        }
        match self.reader.and_then(Reader::store) {
            Some(store) => write!(f, "/{store}"),
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
    /// The engine has no such image store or transport.
    Store {
        /// What was given.
        found: String,
        /// Those that the engine has.
        known: Vec<&'static str>,
    },
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
                let known = Product::ALL.map(Product::name);
                write!(f, "expected one of {}", known.join(", "))
            }
            ParseEngineError::Version(text) if text.is_empty() => {
                f.write_str("expected a version after @, such as 20.10")
            }
            ParseEngineError::Version(text) => write!(f, "{text} is not a version such as 20.10"),
            ParseEngineError::Store { known, .. } if known.is_empty() => {
                f.write_str("this engine has only one image store, so nothing can follow a slash")
            }
            ParseEngineError::Store { known, .. } => {
                write!(f, "expected one of {} after the slash", known.join(", "))
            }
            ParseEngineError::TooOld { engine, oldest } => write!(
                f,
                "{engine} cannot read the archives that ocify writes; use {oldest} or later"
            ),
        }
    }
}

impl std::error::Error for ParseEngineError {}

/// Parses `ENGINE[@VERSION][/STORE]`, such as `docker@20.10`.
impl FromStr for Engine {
    type Err = ParseEngineError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (rest, store) = match text.split_once('/') {
            Some((rest, store)) => (rest, Some(store)),
            None => (text, None),
        };
        let (name, version) = match rest.split_once('@') {
            Some((name, version)) => (name, Some(version)),
            None => (rest, None),
        };
        let mut products = Product::ALL.into_iter();
        let product = products.find(|product| product.name() == name);
        let product = product.ok_or(ParseEngineError::Unknown)?;
        let version = version
            .map(|text| {
                Series::parse(text).ok_or_else(|| ParseEngineError::Version(text.to_owned()))
            })
            .transpose()?;
        let reader = store
            .map(|store| {
                let mut readers = product.readers();
                let found = readers.find(|reader| reader.store() == Some(store));
                found.ok_or_else(|| ParseEngineError::Store {
                    found: store.to_owned(),
                    known: product.readers().filter_map(Reader::store).collect(),
                })
            })
            .transpose()?;
        let engine = Engine {
            product,
            version,
            reader,
        };
        let oldest = product.oldest();
        match version {
            Some(version) if version.last() < oldest => Err(ParseEngineError::TooOld {
                engine,
                oldest: format!("{}.{}", oldest.0, oldest.1),
            }),
            _ => Ok(engine),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn support_depends_on_the_version() {
        // Engine, zstd, zstd that starts with a skippable frame.
        for (text, zstd, skippable) in [
            ("docker@20.10", false, false),
            ("docker@20.10/graphdriver", false, false),
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
            ("skopeo/oci-archive", true, true),
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
            for content in [Content::Zstd, Content::ZstdAfterSkippable] {
                let has_evidence = !engine.evidence(content).is_empty();
                assert_eq!(has_evidence, !engine.reads(content), "{text}");
            }
        }
    }

    #[test]
    fn engines_are_displayed_as_they_are_written() {
        for text in [
            "docker",
            "docker@20.10",
            "docker@26.1/containerd",
            "skopeo/oci-archive",
        ] {
            assert_eq!(text.parse::<Engine>().unwrap().to_string(), text);
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
            "docker/",
            "docker/overlay2",
            "podman/oci-archive",
        ] {
            assert!(text.parse::<Engine>().is_err(), "{text}");
        }
    }
}

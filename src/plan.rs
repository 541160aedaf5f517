//! What to do: `plan` turns a graph into changes, findings and the complete list of output entries.
//!
//! Pure: no file, clock, environment or terminal is touched here.

mod annotate;
mod artifacts;
mod blobs;
mod corrected;
mod decide;
mod describe;
mod division;
mod docker_manifest;
mod docker_type;
mod draft;
mod entries;
mod faults;
mod findings;
mod form;
mod image_platforms;
mod nothing_left;
mod oci_type;
mod orphans;
mod output;
mod places;
mod planner;
mod preserve;
mod recompress;
mod rename;
mod rewrite;
pub(crate) mod rules;
mod selection;
mod severity;
mod shared_names;
mod stale_names;
mod summary;

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use crate::error::Result;
use crate::graph::Graph;
use crate::image::media_type::Family;
use crate::image::{Compression, Content, Digest, Platform, Reference};
use crate::inventory::DataLocation;
pub(crate) use annotate::annotations;
pub(crate) use blobs::{BlobKind, LayerProof};
pub use blobs::{Unverified, Verified};
pub use division::SplitBy;
pub(crate) use division::{Division, Part, Unusable, divide};
pub(crate) use draft::Request;
pub use draft::{Draft, NewLayers};
pub(crate) use entries::named_entries;
pub(crate) use faults::refused_item;
pub use form::Form;
pub(crate) use places::IndexRead;
pub use places::{DocumentPlace, Places};
pub use recompress::{NewLayer, Transcode};
pub use summary::{Change, DigestChange, Dropped, Finding, Image, Severity, Summary};

/// What a user may choose.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct PlanOptions {
    /// The platform that `manifest.json` describes of an image with several.
    pub docker_platform: Option<Platform>,
    /// Whether attestations are left out.
    pub drop_attestations: bool,
    /// Whether blobs are left out that nothing refers to.
    pub drop_orphans: bool,
    /// The images and artifacts to keep; all if there is none.
    pub images: Vec<ImageChoice>,
    /// The platforms to keep; all if there is none.
    pub platforms: Vec<Platform>,
    /// Whether an index with one image becomes that image's manifest.
    pub unwrap: bool,
    /// What is done about content that the input lacks.
    pub missing: MissingPolicy,
    /// The names of the only image, instead of its own; unchanged if there is none.
    pub names: Vec<Reference>,
    /// Whose media types documents and what they name get.
    pub family: Family,
    /// What layers are compressed with; unchanged if there is none.
    pub compression: Option<Compression>,
    /// What some reader cannot read: such layers become gzip unless another compression is requested.
    pub avoid: Vec<Content>,
    /// Contents that every requested engine reads. Findings do not mention them.
    pub(crate) read_by_all: Vec<Content>,
    /// Names to replace: old and new.
    pub renames: Vec<(Reference, Reference)>,
    /// Whether manifests and indexes below `index.json` stay as they are.
    pub preserve_digests: bool,
    /// Whether no image needs to be complete, because what they lack may be where they go.
    pub(crate) allows_incomplete: bool,
    /// What is left out of a merge, because other content has its names.
    pub(crate) superseded: BTreeSet<Digest>,
    /// Whether the plan is of one input of a merge. What is wrong with single images matters only for those that the output
    /// contains.
    pub(crate) is_joined: bool,
}

impl PlanOptions {
    /// Whether these options choose some of the images.
    pub(crate) fn chooses_images(&self) -> bool {
        !self.images.is_empty()
            || !self.platforms.is_empty()
            || !self.superseded.is_empty()
            || self.unwrap
    }

    /// Whether these options may leave something out.
    pub(crate) fn leaves_out(&self) -> bool {
        self.chooses_images() || self.drop_attestations || self.missing == MissingPolicy::Prune
    }

    /// The same with this platform in `manifest.json`.
    #[must_use]
    pub fn with_docker_platform(mut self, platform: Platform) -> Self {
        self.docker_platform = Some(platform);
        self
    }

    /// The same, with attestations left out or not.
    #[must_use]
    pub fn with_drop_attestations(mut self, drop: bool) -> Self {
        self.drop_attestations = drop;
        self
    }

    /// The same, with blobs that nothing refers to left out or not.
    #[must_use]
    pub fn with_drop_orphans(mut self, drop: bool) -> Self {
        self.drop_orphans = drop;
        self
    }

    /// The same with one more image to keep.
    #[must_use]
    pub fn with_image(mut self, image: ImageChoice) -> Self {
        self.images.push(image);
        self
    }

    /// The same with one more platform to keep.
    #[must_use]
    pub fn with_platform(mut self, platform: Platform) -> Self {
        self.platforms.push(platform);
        self
    }

    /// The same, with indexes of one image replaced by its manifest or not.
    #[must_use]
    pub fn with_unwrap(mut self, unwrap: bool) -> Self {
        self.unwrap = unwrap;
        self
    }

    /// The same with this policy for absent content.
    #[must_use]
    pub fn with_missing(mut self, missing: MissingPolicy) -> Self {
        self.missing = missing;
        self
    }

    /// The same with one more name for the image.
    #[must_use]
    pub fn with_name(mut self, name: Reference) -> Self {
        self.names.push(name);
        self
    }

    /// The same with media types of this family.
    #[must_use]
    pub fn with_family(mut self, family: Family) -> Self {
        self.family = family;
        self
    }

    /// The same with layers compressed like this.
    #[must_use]
    pub fn with_compression(mut self, compression: Compression) -> Self {
        self.compression = Some(compression);
        self
    }

    /// The same, recompressing one more kind of content.
    #[must_use]
    pub fn with_avoid(mut self, content: Content) -> Self {
        self.avoid.push(content);
        self
    }

    /// The same with one more name to replace.
    #[must_use]
    pub fn with_rename(mut self, old: Reference, new: Reference) -> Self {
        self.renames.push((old, new));
        self
    }

    /// The same, with manifests and indexes left as they are or not.
    #[must_use]
    pub fn with_preserve_digests(mut self, preserve: bool) -> Self {
        self.preserve_digests = preserve;
        self
    }
}

/// Which image or artifact is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ImageChoice {
    /// The one of that name.
    Name(Reference),
    /// The one whose manifest, index or config has that digest.
    Digest(Digest),
    /// The image at that position among the images, counted from 1.
    Number(usize),
}

impl fmt::Display for ImageChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ImageChoice::Name(name) => f.write_str(&name.familiar()),
            ImageChoice::Digest(digest) => write!(f, "{digest}"),
            ImageChoice::Number(number) => write!(f, "number {number}"),
        }
    }
}

/// Why a text does not say which image is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParseImageChoiceError {
    /// Images are counted from 1.
    Zero,
    /// It is neither a name nor a digest nor a number.
    Other,
}

impl fmt::Display for ParseImageChoiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ParseImageChoiceError::Zero => "image numbers start at 1",
            ParseImageChoiceError::Other => "expected a name, a digest, an image ID or a number",
        })
    }
}

impl std::error::Error for ParseImageChoiceError {}

/// Reads a number, a digest, an image ID without its algorithm, or a name.
impl FromStr for ImageChoice {
    type Err = ParseImageChoiceError;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        if let Ok(number) = text.parse::<usize>() {
            return match number {
                0 => Err(ParseImageChoiceError::Zero),
                number => Ok(ImageChoice::Number(number)),
            };
        }
        let id = (text.len() == 64).then(|| format!("sha256:{text}").parse());
        if let Ok(digest) = id.unwrap_or_else(|| text.parse()) {
            return Ok(ImageChoice::Digest(digest));
        }
        let name = text.parse().map(ImageChoice::Name);
        name.map_err(|_| ParseImageChoiceError::Other)
    }
}

/// What is done about content that documents name and the input lacks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum MissingPolicy {
    /// Keep the documents unchanged, and report it.
    #[default]
    Keep,
    /// Leave out the manifests that need it, and what refers to these.
    Prune,
    /// Refuse the input.
    Error,
}

/// Decides everything: what changes and why, and the complete output.
///
/// `host` is the architecture of the machine that the output is for, by Go's name, such as `amd64`: of
/// an image with several platforms `manifest.json` describes the one for it if nothing else decides.
///
/// # Errors
/// `index.json` and `manifest.json` that disagree, a document that is damaged or ambiguous, no image that an
/// engine can load, a layer in a compression that OCI does not name,
/// a requested image, name or platform that is not there; a request that would change digests that are to
/// be preserved.
pub fn plan<'a>(
    graph: &'a Graph,
    options: &'a PlanOptions,
    form: Form,
    host: Option<&'a str>,
) -> Result<Draft<'a>> {
    plan_part(graph, options, form, host, None)
}

/// The same for a part of an input that was divided.
///
/// # Errors
/// Those of [`plan`].
pub(crate) fn plan_part<'a>(
    graph: &'a Graph,
    options: &'a PlanOptions,
    form: Form,
    host: Option<&'a str>,
    part: Option<&'a Part<'a>>,
) -> Result<Draft<'a>> {
    Draft::new(Request {
        graph,
        options,
        form,
        host,
        part,
    })
}

/// Everything that `apply` carries out and `report` shows.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Plan {
    /// What is changed.
    pub summary: Summary,
    /// The entries of the output, complete and in order.
    pub entries: Vec<OutputEntry>,
    pub(crate) form: Form,
    /// Whether the output is the input's own bytes. The entries say what it holds.
    pub(crate) keeps_bytes: bool,
    /// The diff IDs of compressed layers, sorted by the layers' digests.
    pub(crate) proofs: Vec<LayerProof>,
}

impl Plan {
    /// The form of the output that the plan was made for.
    pub fn form(&self) -> Form {
        self.form
    }

    /// The diff IDs that a compressed layer must have: several only if images disagree about it.
    pub(crate) fn proofs_of(&self, layer: &Digest) -> &[LayerProof] {
        let start = self.proofs.partition_point(|proof| proof.digest < *layer);
        let rest = &self.proofs[start..];
        &rest[..rest.partition_point(|proof| proof.digest == *layer)]
    }
}

/// One entry of the output, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OutputEntry {
    /// The name, relative and clean; directories end in `/`.
    pub name: String,
    /// Length in bytes; 0 for directories.
    pub len: u64,
    /// Where the bytes come from.
    pub body: Body,
    /// Where the input has the bytes that these replace.
    pub replaces: Option<DataLocation>,
    /// What it is if it is a blob.
    pub(crate) kind: BlobKind,
}

impl OutputEntry {
    /// The digest of a blob that is copied from the source.
    pub(crate) fn digest(&self) -> Option<&Digest> {
        match &self.body {
            Body::Blob { digest, .. } => Some(digest),
            Body::Directory | Body::Bytes(_) => None,
        }
    }
}

/// Where the bytes of an output entry come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// A directory has none.
    Directory,
    /// Copied from the source, and verified against this digest.
    Blob {
        /// What the bytes must hash to.
        digest: Digest,
        /// Where they are in the source.
        data: DataLocation,
    },
    /// A document whose bytes are known.
    Bytes(Vec<u8>),
}

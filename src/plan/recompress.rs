//! Which layers are recompressed, and how that changes their descriptors.

use crate::error::{Code, Error, Hint, Result, escape};
use crate::graph::pointer::Pointer;
use crate::graph::{ManifestFacts, ManifestRole};
use crate::image::media_type::{self, Kind};
use crate::image::{Algorithm, Compression, Content, DiffId, Digest, StatedDiffId};
use crate::inventory::DataLocation;
use crate::location::{Location, Role};
use crate::plan::docker_type;
use crate::plan::planner::{InputDocument, Planner};
use crate::plan::rules::Rule;
use crate::plan::{Change, PlanOptions, Severity};

/// A layer to recompress.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Transcode {
    /// The layer's digest in the input.
    pub digest: Digest,
    /// Where its bytes are.
    pub data: DataLocation,
    /// Its length in bytes.
    pub len: u64,
    /// What its bytes are.
    pub content: Content,
    /// What it decompresses to, if that is not a tar. It is then recompressed only if its diff ID shows that it is
    /// compressed twice.
    pub(crate) inside: Option<Content>,
    /// What they are to become.
    pub to: Compression,
    /// The digest that they have without compression.
    pub diff_id: DiffId,
    /// Where its first descriptor is.
    pub location: Location,
}

/// A layer that was recompressed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NewLayer {
    /// The digest of the new bytes.
    pub digest: Digest,
    /// Their length.
    pub len: u64,
    /// The digest that they have without compression.
    pub diff_id: DiffId,
    /// What they are compressed with.
    pub compression: Compression,
    /// Where they are.
    pub data: DataLocation,
    /// Whether the old ones were compressed twice, against the diff ID.
    pub(crate) was_compressed_twice: bool,
}

impl NewLayer {
    /// A layer that stays what it is.
    pub(crate) fn kept(work: &Transcode) -> Self {
        NewLayer {
            digest: work.digest.clone(),
            len: work.len,
            diff_id: work.diff_id.clone(),
            compression: work.to,
            data: work.data.clone(),
            was_compressed_twice: false,
        }
    }
}

/// What becomes of one layer's descriptor.
pub(crate) struct Recompressed<'a> {
    pub(crate) media_type: &'static str,
    pub(crate) transcode: Transcode,
    /// Known once the work has been done.
    pub(crate) new: Option<&'a NewLayer>,
    /// Whether an engine that the output is for cannot read the layer.
    is_avoided: bool,
}

impl Recompressed<'_> {
    /// The change that a report shows.
    pub(crate) fn change(&self) -> Change {
        let transcode = &self.transcode;
        let before = format!("{} {}", transcode.content.name(), transcode.digest);
        let name = transcode.to.short_name();
        let after = match self.new {
            Some(new) => format!("{name} {}", new.digest),
            None => name.to_owned(),
        };
        let location = transcode.location.clone();
        let change = Rule::Recompressed.change(location, Some(before), Some(after));
        match self.is_avoided {
            true => change.with_severity(Severity::Breaks),
            false => change,
        }
    }
}

/// Whether any layers may have to be recompressed.
pub(crate) fn is_wanted(options: &PlanOptions) -> bool {
    options.compression.is_some() || !options.avoid.is_empty()
}

impl<'a> Planner<'a> {
    /// The work that a layer of an image needs; `None` if it stays unchanged.
    ///
    /// # Errors
    /// It is to have a type that Docker lacks; its diff ID cannot be verified.
    pub(crate) fn recompressed(
        &self,
        input: InputDocument<'a>,
        pointer: &Pointer,
    ) -> Result<Option<Recompressed<'a>>> {
        let options = self.options;
        let is_image = |facts: &&ManifestFacts| facts.role == ManifestRole::Image;
        let facts = input.facts.filter(is_image);
        let is_layer = pointer.role == Role::Layers
            && matches!(pointer.kind, Kind::Layer { .. })
            && !pointer.is_foreign();
        let (Some(facts), true, true) = (facts, is_layer, is_wanted(options)) else {
            return Ok(None);
        };
        // Of an image with opaque layers it may not be known which diff ID belongs to which layer.
        let is_known = self.graph.faults.of(&input.document.digest).is_none()
            && pointer.position < facts.diff_ids.len();
        if !is_known {
            return Ok(None);
        }
        let inside = self.graph.not_tars.get(&pointer.digest).copied();
        let may_be_twice = inside.is_some_and(Content::is_compressed);
        let wanted_form = pointer.content.and_then(|content| wanted(content, options));
        // Only decompressing it shows whether that is a mistake.
        let repaired = options.compression.unwrap_or(Compression::Gzip);
        let Some(to) = wanted_form.or(may_be_twice.then_some(repaired)) else {
            return Ok(None);
        };
        let Some(blob) = self.graph.inventory.blobs.get(&pointer.digest) else {
            return Ok(None);
        };
        let location = input.document.location_of(pointer);
        let stated = facts.diff_ids.get(pointer.position);
        let diff_id = stated
            .and_then(StatedDiffId::valid)
            .filter(|diff_id| diff_id.0.algorithm() == Some(Algorithm::Sha256));
        let Some(diff_id) = diff_id else {
            if wanted_form.is_none() {
                return Ok(None);
            }
            let stated = stated.map_or_else(String::new, StatedDiffId::to_string);
            return Err(Error::new(
                Code::InvalidDigest,
                format!(
                    "{location} has the diff ID \"{}\", which cannot be verified",
                    escape(&stated)
                ),
            )
            .with_location(&location)
            .with_found(stated)
            .with_hint(Hint::KeepCompression));
        };
        let Some(media_type) = media_type::layer_type(options.family, to, true) else {
            let error = docker_type::none(&location, to.name());
            return Err(error.with_hint(Hint::CompressForDocker));
        };
        Ok(Some(Recompressed {
            media_type,
            new: self.layers.get(&pointer.digest),
            is_avoided: options.avoid.contains(&blob.content),
            transcode: Transcode {
                digest: pointer.digest.clone(),
                data: blob.data.clone(),
                len: blob.len,
                content: blob.content,
                inside,
                to,
                diff_id: diff_id.clone(),
                location,
            },
        }))
    }
}

/// What a layer of these bytes is to become; `None` if it is that, or stays.
pub(crate) fn wanted(content: Content, options: &PlanOptions) -> Option<Compression> {
    if matches!(content, Content::Empty | Content::Other) {
        return None;
    }
    let is_avoided = options.avoid.contains(&content);
    match options.compression {
        Some(to) => (is_avoided || Compression::of_content(content) != Some(to)).then_some(to),
        None => is_avoided.then_some(Compression::Gzip),
    }
}

//! Which layers are recompressed, and how that changes their descriptors.

use std::borrow::Cow;

use crate::error::{Code, Error, Hint, Result, escape};
use crate::graph::pointer::Pointer;
use crate::graph::{ManifestFacts, ManifestRole};
use crate::image::media_type::{self, Kind};
use crate::image::{Algorithm, Compression, Content, DiffId, Digest, StatedDiffId};
use crate::inventory::DataLocation;
use crate::location::{Location, Role};
use crate::plan::decide::PointerDecision;
use crate::plan::docker_type;
use crate::plan::planner::{InputDocument, Planner};
use crate::plan::preserve;
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

impl Transcode {
    /// What a plan has instead of the layer until that is recompressed: a digest that stands for the new one, and what the
    /// new bytes will be.
    pub(crate) fn stand_in(&self) -> (Digest, Content) {
        let content = match self.to {
            Compression::Uncompressed => Content::Tar,
            Compression::Gzip => Content::Gzip,
            Compression::Zstd => Content::Zstd,
        };
        (NewLayer::pending(self).digest, content)
    }
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
    /// Whether the layer is still to be recompressed: the digest only stands for that of the new bytes, the length is
    /// 0, and the place is that of the old bytes.
    pub(crate) is_pending: bool,
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
            is_pending: false,
        }
    }

    /// A layer that is still to be recompressed. Two that will have the same bytes have the same digest.
    fn pending(work: &Transcode) -> Self {
        let digest = match work.to {
            Compression::Uncompressed => work.diff_id.0.clone(),
            to => {
                let text = format!("{} of {}", to.short_name(), work.diff_id);
                Digest::of(Algorithm::Sha256, text.as_bytes())
            }
        };
        NewLayer {
            digest,
            len: 0,
            is_pending: true,
            ..Self::kept(work)
        }
    }
}

/// What becomes of one layer's descriptor.
struct Recompressed<'a> {
    media_type: &'static str,
    transcode: Transcode,
    /// What the work results in.
    new: Cow<'a, NewLayer>,
    /// Whether an engine that the output is for cannot read the layer.
    is_avoided: bool,
}

impl Recompressed<'_> {
    /// The change that a report shows.
    fn change(&self) -> Change {
        let transcode = &self.transcode;
        let before = format!("{} {}", transcode.content.name(), transcode.digest);
        let name = transcode.to.short_name();
        let after = match self.new.is_pending {
            true => name.to_owned(),
            false => format!("{name} {}", self.new.digest),
        };
        let location = transcode.location.clone();
        let change = Rule::Recompressed.change(location, Some(before), Some(after));
        let change = Change {
            is_pending: self.new.is_pending,
            ..change
        };
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
    /// Whether the pointer leads to a layer that is recompressed.
    pub(crate) fn recompress(
        &mut self,
        input: InputDocument<'a>,
        pointer: &'a Pointer,
        decision: &mut PointerDecision<'a>,
    ) -> Result<bool> {
        let found = match self.recompressed(input, pointer) {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(false),
            Err(error) if error.code() == Code::InvalidDigest => {
                self.keep_unsupported(&input.document.digest, error);
                return Ok(false);
            }
            Err(error) => return Err(error),
        };
        let new = &found.new;
        if !new.is_pending && new.digest == pointer.digest {
            return Ok(false);
        }
        let is_created = self.graph.is_created(&input.document.digest);
        if self.options.preserve_digests && !is_created {
            let location = found.transcode.location;
            return Err(preserve::refused(location, "must be recompressed"));
        }
        self.changes.push(found.change());
        decision.media_type = Some(found.media_type);
        decision.layer = Some(found.new.clone());
        if found.new.is_pending {
            self.add_transcode(&pointer.digest, found.transcode)?;
        }
        self.decisions.replaced.insert(&pointer.digest, found.new);
        Ok(true)
    }

    fn add_transcode(&mut self, layer: &'a Digest, transcode: Transcode) -> Result<()> {
        let transcodes = &mut self.decisions.transcodes;
        match transcodes.get(layer) {
            Some(known) if known.diff_id != transcode.diff_id => Err(Error::new(
                Code::DiffIdMismatch,
                format!(
                    "{} has a different diff ID than the same layer at {}",
                    transcode.location, known.location
                ),
            )
            .with_location(transcode.location)
            .with_hint(Hint::BuildAgain)),
            Some(_) => Ok(()),
            None => {
                transcodes.insert(layer, transcode);
                Ok(())
            }
        }
    }

    /// The work that a layer of an image needs; `None` if it stays unchanged.
    ///
    /// # Errors
    /// It is to have a type that Docker lacks; its diff ID cannot be verified.
    fn recompressed(
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
        let transcode = Transcode {
            digest: pointer.digest.clone(),
            data: blob.data.clone(),
            len: blob.len,
            content: blob.content,
            inside,
            to,
            diff_id: diff_id.clone(),
            location,
        };
        let done = self.layers.get(&pointer.digest);
        Ok(Some(Recompressed {
            media_type,
            new: done.map_or_else(|| Cow::Owned(NewLayer::pending(&transcode)), Cow::Borrowed),
            is_avoided: options.avoid.contains(&blob.content),
            transcode,
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

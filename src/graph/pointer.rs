//! The one list of ways in which a document names another blob.
//!
//! Resolving walks this list and rewriting edits the byte ranges in it, so the two cannot drift apart.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::error::{Code, Error, Hint, Result, escape};
use crate::graph::link::{DigestTag, Link, LinkKind, last, links, tag_links};
use crate::image::media_type::{self, Kind};
use crate::image::{Content, Digest, Platform, Reference};
use crate::json::{Member, View, find};
use crate::location::{DocumentPath, Location, Role, Step};

const REFERENCE_TYPE: &str = "vnd.docker.reference.type";
const ATTESTATION: &str = "attestation-manifest";
/// What cosign's layouts say that an entry of `index.json` is.
const KIND: &str = "kind";
/// The full name of an image, as containerd and docker read it.
pub(crate) const IMAGE_NAME: &str = "io.containerd.image.name";
/// The tag of an image, or its full name, as the image layout specification has it.
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// A descriptor, and where its parts are in the document's text.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Pointer {
    /// The property that contains the descriptor.
    pub role: Role,
    /// The position in that property, 0 for `config` and `subject`.
    pub position: usize,
    /// The declared media type.
    pub media_type: Cow<'static, str>,
    /// What that media type names.
    pub kind: Kind,
    /// The digest of the content.
    pub digest: Digest,
    /// The stated length of the content in bytes.
    pub size: u64,
    /// The length of the content in bytes, if the stated one is wrong. The digest proves that the content is right.
    pub actual_size: Option<u64>,
    /// `io.containerd.image.name`.
    pub image_name: Option<String>,
    /// `org.opencontainers.image.ref.name`.
    pub ref_name: Option<String>,
    /// The platform, if one is stated.
    pub platform: Option<Box<Platform>>,
    /// The platform, if it lacks only the operating system, which then is an empty text.
    pub(crate) platform_without_os: Option<Box<Platform>>,
    /// Whether the platform requires features of the operating system (`os.features`).
    pub(crate) needs_os_features: bool,
    /// Whether the descriptor has a `platform`, whatever it says.
    pub(crate) has_platform: bool,
    /// Whether an annotation calls this an attestation manifest.
    pub is_attestation: bool,
    /// The manifests and layers that annotations name, with the byte ranges of the annotations' values.
    pub links: Vec<Link>,
    /// What annotations of an entry of `index.json` say that it is.
    pub(crate) entry_kind: Option<EntryKind>,
    /// What the first bytes of the content say; `None` if the source does not contain it.
    pub content: Option<Content>,
    /// Whether the content may be fetched elsewhere and so be absent.
    pub has_urls: bool,
    /// The embedded content, in base64, if there is any.
    pub data: Option<String>,
    /// The keys of annotations that belong to one compressed form.
    pub form_annotations: Vec<String>,
    pub(crate) places: Places,
}

/// What annotations of an entry of `index.json` say that it is: cosign's layouts have the annotation `kind`,
/// and its tags an ending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EntryKind {
    /// What the other entries of the same name are about.
    Image,
    Signature,
    Attestation,
    /// Anything else that is about an image, such as a bill of materials.
    Note,
}

impl EntryKind {
    fn of_annotation(kind: &str) -> Option<Self> {
        match kind.rsplit_once('/')?.1 {
            "image" | "imageIndex" => Some(EntryKind::Image),
            "sigs" => Some(EntryKind::Signature),
            "atts" => Some(EntryKind::Attestation),
            "sboms" => Some(EntryKind::Note),
            _ => None,
        }
    }

    fn of_name(name: &str) -> Option<Self> {
        match DigestTag::of(name)?.suffix {
            "" => None,
            ".sig" => Some(EntryKind::Signature),
            ".att" => Some(EntryKind::Attestation),
            _ => Some(EntryKind::Note),
        }
    }
}

/// Byte ranges of a descriptor's values in its document.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    pub(crate) descriptor: Range<usize>,
    pub(crate) media_type: Range<usize>,
    pub(crate) digest: Range<usize>,
    pub(crate) size: Range<usize>,
    pub(crate) data: Option<Range<usize>>,
}

impl Pointer {
    /// Where in its document the descriptor is.
    pub fn step(&self) -> Step {
        Step {
            role: self.role,
            position: self.position,
        }
    }

    /// Whether it is a layer that must not be pushed to another registry, by its media type.
    pub fn is_foreign(&self) -> bool {
        self.kind.is_foreign()
    }

    /// The name that the annotations give. A tag alone is not one.
    pub(crate) fn name(&self) -> Option<Reference> {
        let full = self.image_name.as_deref().and_then(Reference::parse);
        full.or_else(|| {
            let ref_name = self.ref_name.as_deref()?;
            ref_name
                .contains(['/', ':'])
                .then(|| Reference::parse(ref_name))?
        })
    }

    /// Whether annotations mark this as evidence about an image whose name it shares. Evidence under a tag made
    /// of a digest has a name of its own.
    pub(crate) fn is_saved_evidence(&self) -> bool {
        let has_tag = self.links.iter().any(|link| link.kind == LinkKind::Tag);
        matches!(self.entry_kind, Some(kind) if kind != EntryKind::Image) && !has_tag
    }

    /// Whether this is evidence under a tag made of the digest of what it is about.
    pub(crate) fn is_tagged_evidence(&self) -> bool {
        matches!(self.entry_kind, Some(kind) if kind != EntryKind::Image)
            && !self.is_saved_evidence()
            && self.tag_kind().is_some()
    }

    /// The name, and what its tag says that the content is.
    fn tag_kind(&self) -> Option<(String, EntryKind)> {
        let stated = [&self.image_name, &self.ref_name].into_iter().flatten();
        // Few names have such a tag, and there may be thousands.
        let may_be = |name: &&String| name.contains("sha256-") || name.contains("sha512-");
        stated.clone().find(may_be)?;
        let name = match self.name() {
            Some(name) => name.full(),
            None => self.stated_name()?.to_owned(),
        };
        let kind = EntryKind::of_name(&name)?;
        Some((name, kind))
    }

    /// What the annotations state as a name, valid or not.
    pub(crate) fn stated_name(&self) -> Option<&str> {
        let stated = [&self.image_name, &self.ref_name].into_iter().flatten();
        stated.map(String::as_str).find(|name| !name.is_empty())
    }

    /// The tag that is the only name in the annotations, as skopeo writes it.
    pub(crate) fn bare_tag(&self) -> Option<&str> {
        let ref_name = self.ref_name.as_deref()?;
        let is_tag = !ref_name.is_empty() && !ref_name.contains(['/', ':', '@']);
        (is_tag && self.image_name.is_none()).then_some(ref_name)
    }

    /// Whether an archive may lack the content, since it can be fetched elsewhere.
    pub fn is_optional(&self) -> bool {
        self.has_urls || self.is_foreign()
    }
}

/// All pointers of a document in `roles`, in that order. `path` is the document's, for errors.
pub(crate) fn pointers(
    root: View<'_>,
    roles: &[Role],
    path: &DocumentPath,
) -> Result<Vec<Pointer>> {
    let members = root.members().unwrap_or_default();
    let values = roles
        .iter()
        .filter_map(|role| Some((*role, find(&members, role.property())?)));
    let lists: Vec<(Role, Option<Vec<View<'_>>>)> = values
        .map(|(role, value)| match role.is_list() {
            true => (role, value.items()),
            false => (role, Some(vec![value])),
        })
        .collect();
    // There may be a thousand documents, and a list that grows copies its items and leaves unused space.
    let count = lists.iter().flat_map(|(_, items)| items).map(Vec::len);
    let mut pointers = Vec::with_capacity(count.sum());
    for (role, items) in lists {
        let items = items.ok_or_else(|| {
            let location = Location::Property {
                document: path.clone(),
                property: role.property(),
            };
            invalid(location, "is not a list")
        })?;
        for (position, item) in items.into_iter().enumerate() {
            pointers.push(pointer(item, Step { role, position }, path)?);
        }
    }
    if path.parent().is_none() {
        set_tag_kinds(&mut pointers, &|_| false);
    }
    Ok(pointers)
}

/// Removes the marks of evidence from entries of `index.json` that lead to images. Other entries under such a tag may
/// then keep it.
pub(crate) fn unmark_images(pointers: &mut [Pointer], is_image: &dyn Fn(&Digest) -> bool) {
    let mut has_images = false;
    for pointer in pointers.iter_mut() {
        let is_evidence = matches!(pointer.entry_kind, Some(kind) if kind != EntryKind::Image);
        if is_evidence && is_image(&pointer.digest) {
            pointer.entry_kind = None;
            has_images = true;
        }
    }
    if has_images {
        set_tag_kinds(pointers, is_image);
    }
}

/// Sets what the tags of entries say that they are. Of several under one tag only the last keeps it in the
/// output, so the tag says nothing of what has no other.
fn set_tag_kinds(pointers: &mut [Pointer], is_image: &dyn Fn(&Digest) -> bool) {
    let mut tagged = Vec::new();
    let mut last: BTreeMap<String, Digest> = BTreeMap::new();
    for (number, pointer) in pointers.iter_mut().enumerate() {
        let Some((tag, kind)) = pointer.tag_kind().filter(|_| !is_image(&pointer.digest)) else {
            continue;
        };
        if pointer.entry_kind.is_none() {
            pointer.entry_kind = Some(kind);
            tagged.push(number);
        }
        if pointer.is_tagged_evidence() {
            last.insert(tag, pointer.digest.clone());
        }
    }
    let keepers: BTreeSet<Digest> = last.into_values().collect();
    for number in tagged {
        if let Some(pointer) = pointers.get_mut(number)
            && pointer.is_tagged_evidence()
            && !keepers.contains(&pointer.digest)
        {
            pointer.entry_kind = None;
        }
    }
}

fn invalid(location: Location, what: &str) -> Error {
    Error::new(Code::InvalidDocument, format!("{location} {what}"))
        .with_location(location)
        .with_hint(Hint::BuildAgain)
}

fn pointer<'a>(view: View<'a>, step: Step, path: &DocumentPath) -> Result<Pointer> {
    let fail = |what: &str| invalid(Location::of(path, step), what);
    let members = view.members().ok_or_else(|| fail("is not a descriptor"))?;
    let required = |key: &str| find(&members, key).ok_or_else(|| fail(&format!("lacks {key}")));
    let text = |view: Option<Cow<'a, str>>, key: &str| {
        view.ok_or_else(|| fail(&format!("has a {key} that is not a string")))
    };
    let media_type = required("mediaType")?;
    let digest_view = required("digest")?;
    let size = required("size")?;
    let data = find(&members, "data");
    let annotations = find(&members, "annotations");
    let values = match annotations {
        Some(view) => view
            .strings()
            .ok_or_else(|| fail("has annotations that are not strings"))?,
        None => Vec::new(),
    };
    let value_of = |key: &str| last(&values, key);
    let digest = Digest::stated(&text(digest_view.str(), "digest")?).map_err(|error| {
        let location = Location::of(path, step);
        Error::new(error.code(), format!("{location}: {error}"))
            .with_location(location)
            .with_found(error.found().unwrap_or_default())
            .with_hint(Hint::BuildAgain)
    })?;
    let mut links = annotations.map_or_else(Vec::new, |view| links(view, &values));
    let mut entry_kind = None;
    // Names have a meaning in index.json only.
    if let Some(view) = annotations.filter(|_| path.parent().is_none()) {
        links.extend(tag_links(view, &values, &digest));
        entry_kind = value_of(KIND).and_then(EntryKind::of_annotation);
    }
    let declared = media_type::shared(text(media_type.str(), "mediaType")?);
    let stated_platform = find(&members, "platform").and_then(View::members);
    let stated_platform = stated_platform.as_deref();
    Ok(Pointer {
        role: step.role,
        position: step.position,
        kind: media_type::kind(&declared),
        media_type: declared,
        digest,
        size: size.size().ok_or_else(|| {
            fail(&format!(
                "has the size {}, expected a length in bytes",
                escape(size.text())
            ))
        })?,
        image_name: value_of(IMAGE_NAME).map(str::to_owned),
        ref_name: value_of(REF_NAME).map(str::to_owned),
        platform: stated_platform.and_then(platform).map(Box::new),
        platform_without_os: stated_platform
            .filter(|members| stated_text(members, "os").is_none())
            .and_then(|members| platform_on(members, String::new()))
            .map(Box::new),
        needs_os_features: stated_platform.is_some_and(needs_os_features),
        has_platform: members.iter().any(|member| member.key == "platform"),
        is_attestation: value_of(REFERENCE_TYPE) == Some(ATTESTATION),
        links,
        entry_kind,
        // Set when the pointer is followed.
        actual_size: None,
        content: None,
        has_urls: find(&members, "urls")
            .and_then(View::items)
            .is_some_and(|urls| !urls.is_empty()),
        data: data
            .map(|view| text(view.str(), "data").map(Cow::into_owned))
            .transpose()?,
        form_annotations: values
            .iter()
            .filter(|(key, _)| belongs_to_one_form(key))
            .map(|(key, _)| key.clone().into_owned())
            .collect(),
        places: Places {
            descriptor: view.span(),
            media_type: media_type.span(),
            digest: digest_view.span(),
            size: size.span(),
            data: data.map(View::span),
        },
    })
}

/// Whether an annotation describes one compressed form, as in lazily pulled layers: estargz,
/// zstd:chunked in both spellings, overlaybd.
pub(crate) fn belongs_to_one_form(key: &str) -> bool {
    key == "io.containers.estargz.uncompressed-size"
        || [
            "containerd.io/snapshot/stargz/",
            "containerd.io/snapshot/overlaybd/",
            "io.github.containers.zstd-chunked.",
            "io.containers.zstd-chunked.",
        ]
        .iter()
        .any(|prefix| key.starts_with(prefix))
}

/// A platform as an index, or an image config, states it.
pub(crate) fn platform(members: &[Member<'_>]) -> Option<Platform> {
    platform_on(members, stated_text(members, "os")?)
}

/// The same for this operating system.
fn platform_on(members: &[Member<'_>], os: String) -> Option<Platform> {
    let text = |key| stated_text(members, key);
    Some(Platform {
        os,
        architecture: text("architecture")?,
        variant: text("variant"),
        os_version: text("os.version"),
        os_features: os_features(members).filter_map(View::string).collect(),
    })
}

/// The text under a key, if it is not empty.
pub(crate) fn stated_text(members: &[Member<'_>], key: &str) -> Option<String> {
    let text = find(members, key).and_then(View::string);
    text.filter(|text| !text.is_empty())
}

/// Whether a platform, in an index or an image config, requires features of the operating system.
pub(crate) fn needs_os_features(members: &[Member<'_>]) -> bool {
    os_features(members).next().is_some()
}

fn os_features<'t>(members: &[Member<'t>]) -> impl Iterator<Item = View<'t>> {
    let features = find(members, "os.features").and_then(View::items);
    features.unwrap_or_default().into_iter()
}

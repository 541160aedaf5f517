//! One index or manifest: its text, and what the text says.

use std::fmt;
use std::ops::Range;

use crate::error::{Code, Error, Hint, Lenient, Result, escape};
use crate::graph::fields::DOCUMENT;
use crate::graph::link::{Link, links};
use crate::graph::pointer::{Pointer, pointers};
use crate::image::Digest;
use crate::image::media_type::{self, Kind};
use crate::inventory::{BlobEntry, BlobSource, Strictness};
use crate::json::{Fault, Mismatch, Type, View, check, find, respelled};
use crate::location::{DocumentPath, Location, Role};

/// The largest document that is read, in bytes: what container-libs accepts.
pub(crate) const MAX_DOCUMENT_LEN: u64 = 4 * 1024 * 1024;

/// How many duplicate keys are accepted, because each is reported.
const MAX_REPEATED_KEYS: usize = 100_000;

/// Whether a document is an index or a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// It lists manifests.
    Index,
    /// It names a config and layers.
    Manifest,
}

impl Shape {
    /// The shape of documents with a media type of that kind; `None` if it is neither.
    pub(crate) fn of(kind: Kind) -> Option<Self> {
        match kind {
            Kind::Index => Some(Shape::Index),
            Kind::Manifest => Some(Shape::Manifest),
            _ => None,
        }
    }

    /// The property that lists what makes up a document of this shape.
    pub(crate) fn list(self) -> Role {
        match self {
            Shape::Index => Role::Manifests,
            Shape::Manifest => Role::Layers,
        }
    }
}

/// An index or a manifest.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Document {
    /// The digest of the text.
    pub digest: Digest,
    /// The text, byte for byte.
    pub text: String,
    /// Index or manifest.
    pub shape: Shape,
    /// The document's own `mediaType`, if it states one.
    pub media_type: Option<String>,
    /// `artifactType`, if stated.
    pub artifact_type: Option<String>,
    /// Everything that the document points at.
    pub pointers: Vec<Pointer>,
    /// The manifests that the document's own annotations name.
    pub(crate) links: Vec<Link>,
    /// The path from the root.
    pub path: DocumentPath,
    /// Whether the text is not the one that the digest is of, but one with its layers restored.
    pub is_restored: bool,
    /// The text that the digest is of, if the layers were restored.
    pub(crate) original: Option<String>,
    /// The positions that the pointers had in a document from which this is a part; none if it is not one.
    pub(crate) found_at: Vec<usize>,
    /// Whether the list that a document of this shape must have is `null`, or absent from a manifest.
    pub(crate) lacks_list: bool,
    /// Known keys that had another spelling in the text that the digest is of, and have the usual one in `text`.
    pub respelled: Vec<Respelled>,
    pub(crate) media_type_place: Option<Range<usize>>,
    /// `schemaVersion`, if it is a number that is not negative.
    pub(crate) schema_version: Option<u64>,
}

impl Document {
    /// Reads a document that its descriptor calls an index or a manifest.
    ///
    /// # Errors
    /// Invalid JSON, a key twice or in two spellings, a document that is both index and manifest or
    /// whose own media type says otherwise, a descriptor without its required properties, a value that engines cannot
    /// decode.
    pub(crate) fn parse(
        bytes: Vec<u8>,
        digest: Digest,
        shape: Shape,
        path: DocumentPath,
        reader: &mut DocumentReader,
    ) -> Result<Self> {
        let location = Location::from(path.clone());
        let Text {
            text,
            respelled,
            mismatch,
            ..
        } = reader.text(bytes, DOCUMENT, &location)?;
        let invalid = |what: &str| {
            Error::new(Code::InvalidDocument, format!("{location} {what}"))
                .with_location(&location)
                .with_hint(Hint::BuildAgain)
        };
        let root = View::of_checked(&text);
        let members = root
            .members()
            .ok_or_else(|| invalid("is not a JSON object"))?;
        let has = |key: &str| members.iter().any(|member| member.key == key);
        let media_type_view = find(&members, "mediaType");
        let media_type = media_type_view.and_then(View::string);
        let artifact_type = find(&members, "artifactType").and_then(View::string);

        if members.iter().any(|member| member.key == "fsLayers") {
            return Err(schema1(&location));
        }
        // CVE-2021-41190: readers must not be able to read one document as both.
        if has("manifests") && (has("layers") || has("config")) {
            return Err(Error::new(
                Code::AmbiguousDocument,
                format!("{location} is both an index (manifests) and a manifest (config, layers)"),
            )
            .with_location(location)
            .with_hint(Hint::SaveFromTrusted));
        }
        let contradicts = match (&media_type, shape) {
            (None, _) => false,
            (Some(text), Shape::Index) => media_type::kind(text) != Kind::Index,
            (Some(text), Shape::Manifest) => media_type::kind(text) != Kind::Manifest,
        };
        let is_other = match shape {
            Shape::Index => has("layers") || has("config"),
            Shape::Manifest => has("manifests"),
        };
        if contradicts || is_other {
            let expected = match shape {
                Shape::Index => "an index",
                Shape::Manifest => "a manifest",
            };
            let found = media_type
                .as_deref()
                .unwrap_or("properties of the other type");
            return Err(Error::new(
                Code::AmbiguousDocument,
                format!(
                    "{location} is {expected} according to its descriptor but has {}",
                    escape(found)
                ),
            )
            .with_expected(expected)
            .with_found(found)
            .with_location(location)
            .with_hint(Hint::SaveFromTrusted));
        }
        let roles: &[Role] = match shape {
            Shape::Index => &[Role::Manifests, Role::Subject],
            Shape::Manifest => &[Role::Config, Role::Layers, Role::Blobs, Role::Subject],
        };
        if shape == Shape::Manifest && find(&members, "config").is_none() {
            return Err(invalid("lacks a config"));
        }
        let list = shape.list().property();
        let lacks_list = find(&members, list).is_none();
        // Instead of the list of `index.json`, manifest.json may say what there is.
        if lacks_list && shape == Shape::Index && !has(list) && path.parent().is_some() {
            return Err(invalid("lacks manifests"));
        }
        let lacks_list = lacks_list && (shape == Shape::Manifest || has(list));
        let pointers = pointers(root, roles, &path)?;
        require_decodable(mismatch.as_ref(), &location)?;
        let media_type_place = media_type_view.map(View::span);
        let links = find(&members, "annotations")
            .and_then(|view| Some(links(view, &view.strings()?)))
            .unwrap_or_default();
        Ok(Document {
            digest,
            shape,
            media_type,
            artifact_type,
            pointers,
            links,
            path,
            is_restored: false,
            original: None,
            found_at: Vec::new(),
            lacks_list,
            respelled,
            media_type_place,
            schema_version: find(&members, "schemaVersion").and_then(View::size),
            text,
        })
    }

    /// Whether the text is not the one that the digest is of.
    pub(crate) fn is_changed(&self) -> bool {
        let is_part_of_other = !self.found_at.is_empty() && self.path.parent().is_some();
        self.is_restored || !self.respelled.is_empty() || is_part_of_other
    }

    /// The pointers in one property.
    pub fn pointers_in(&self, role: Role) -> impl Iterator<Item = &Pointer> {
        self.pointers
            .iter()
            .filter(move |pointer| pointer.role == role)
    }

    /// A manifest's config.
    pub fn config(&self) -> Option<&Pointer> {
        self.pointers_in(Role::Config).next()
    }

    /// Where one of the document's own properties is.
    pub(crate) fn location_in(&self, property: &'static str) -> Location {
        Location::Property {
            document: self.path.clone(),
            property,
        }
    }

    /// Where an annotation of one of the document's pointers is.
    pub(crate) fn location_of_annotation(&self, pointer: &Pointer, key: &'static str) -> Location {
        Location::Descriptor {
            document: self.path.clone(),
            step: self.step_to(pointer),
            annotation: Some(key),
        }
    }

    /// Where one of the document's pointers is.
    pub fn location_of(&self, pointer: &Pointer) -> Location {
        Location::of(&self.path, self.step_to(pointer))
    }
}

/// The error for a schema 1 manifest.
pub(crate) fn schema1(location: &Location) -> Error {
    Error::new(
        Code::Schema1,
        format!("{location} is a Docker schema 1 manifest, which OCI does not support"),
    )
    .with_location(location)
    .with_hint(Hint::ConvertSchema1)
}

/// A key that appears more than once in one object of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RepeatedKey {
    /// The document.
    pub location: Location,
    /// The key.
    pub key: String,
}

/// A known key of a document in an unusual spelling, which readers that ignore the case of keys find and others do not.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Respelled {
    /// The key as the document spells it.
    pub found: String,
    /// The usual spelling.
    pub known: &'static str,
}

/// The text of a document that was accepted, with the usual spelling of each known key.
#[derive(Debug)]
pub(crate) struct Text {
    pub(crate) text: String,
    /// The keys that were spelled otherwise.
    pub(crate) respelled: Vec<Respelled>,
    /// The first value that no engine can decode.
    pub(crate) mismatch: Option<Mismatch>,
    /// The first value that some engines cannot decode.
    pub(crate) partly: Option<Mismatch>,
}

/// Refuses a document with a value that engines cannot decode. What they require beyond that is checked before, since that
/// says more.
pub(crate) fn require_decodable(mismatch: Option<&Mismatch>, location: &Location) -> Result<()> {
    let Some(mismatch) = mismatch else {
        return Ok(());
    };
    let path = match mismatch.path() {
        path if path.is_empty() || path.starts_with('[') => path,
        path => format!(", {path}"),
    };
    let message = format!("{location}{} is {mismatch}", escape(&path));
    Err(Error::new(Code::InvalidDocument, message)
        .with_location(location)
        .with_expected(mismatch.expected)
        .with_found(mismatch.found)
        .with_hint(Hint::BuildAgain))
}

/// Checks the text of documents, and notes the repeated keys that it accepts.
#[derive(Clone, Debug)]
pub(crate) struct DocumentReader {
    pub(crate) strictness: Strictness,
    repeated_keys: Vec<RepeatedKey>,
}

impl DocumentReader {
    pub(crate) fn new(strictness: Strictness) -> Self {
        DocumentReader {
            strictness,
            repeated_keys: Vec::new(),
        }
    }

    /// The repeated keys that were accepted.
    pub(crate) fn into_repeated_keys(self) -> Vec<RepeatedKey> {
        let mut repeated = self.repeated_keys;
        repeated.dedup();
        repeated
    }

    /// Adds repeated keys that another reader accepted.
    ///
    /// # Errors
    /// There are too many.
    pub(crate) fn add_repeated_keys(&mut self, keys: Vec<RepeatedKey>) -> Result<()> {
        self.repeated_keys.extend(keys);
        match self.repeated_keys.get(MAX_REPEATED_KEYS) {
            Some(key) => Err(too_many_repeated(&key.location)),
            None => Ok(()),
        }
    }

    /// The text of a document that has passed the check.
    pub(crate) fn text(&mut self, bytes: Vec<u8>, root: Type, location: &Location) -> Result<Text> {
        let text = String::from_utf8(bytes).map_err(|_| {
            Error::new(
                Code::InvalidDocument,
                format!("{location} is not UTF-8 text"),
            )
            .with_location(location)
            .with_hint(Hint::SaveWrongAgain)
        })?;
        let is_lenient = self.strictness == Strictness::Lenient;
        let checked = check(&text, root, is_lenient).map_err(|fault| refused(fault, location))?;
        if self.repeated_keys.len() + checked.duplicates.len() > MAX_REPEATED_KEYS {
            return Err(too_many_repeated(location));
        }
        let repeated = checked.duplicates.into_iter().map(|key| RepeatedKey {
            location: location.clone(),
            key,
        });
        self.repeated_keys.extend(repeated);
        let (mismatch, partly) = (checked.mismatch, checked.partly);
        let (text, keys) = match checked.has_other_spelling {
            true => respelled(&text, root),
            false => (text, Vec::new()),
        };
        let keys = keys.into_iter();
        Ok(Text {
            text,
            respelled: keys
                .map(|(found, known)| Respelled { found, known })
                .collect(),
            mismatch,
            partly,
        })
    }
}

fn too_many_repeated(location: &Location) -> Error {
    Error::new(
        Code::DuplicateKey,
        format!("{location} brings the duplicate keys to more than {MAX_REPEATED_KEYS}"),
    )
    .with_location(location)
    .with_expected(MAX_REPEATED_KEYS)
    .with_hint(Hint::RemoveKey)
}

/// The error for a document that did not pass the check.
fn refused(fault: Fault, location: &Location) -> Error {
    let error =
        |code, what: String| Error::new(code, format!("{location} {what}")).with_location(location);
    match fault {
        Fault::Invalid(what) => error(Code::InvalidDocument, format!("is not valid JSON: {what}"))
            .with_hint(Hint::SaveWrongAgain),
        Fault::Duplicate(key) => {
            let what = format!(
                "has the duplicate key \"{}\" in a JSON object, and readers differ on which value they use",
                escape(&key)
            );
            let hint = Hint::UseLenient(Lenient::LastKey);
            error(Code::DuplicateKey, what)
                .with_found(key)
                .with_hint(hint)
        }
        Fault::Case { found, known } => {
            let what = format!(
                "has the key \"{}\" beside another spelling of \"{known}\", and readers differ on which value they use",
                escape(&found)
            );
            error(Code::DuplicateKey, what)
                .with_expected(known)
                .with_found(found)
                .with_hint(Hint::RemoveKey)
        }
    }
}

/// Refuses a document that is longer than what readers accept, before it is read.
///
/// # Errors
/// It is.
pub(crate) fn refuse_large(blob: &BlobEntry, location: &Location) -> Result<()> {
    if blob.len <= MAX_DOCUMENT_LEN {
        return Ok(());
    }
    Err(Error::new(
        Code::DocumentTooLarge,
        format!(
            "{location} is a document of {} bytes, expected at most {MAX_DOCUMENT_LEN}",
            blob.len
        ),
    )
    .with_location(location)
    .with_expected(MAX_DOCUMENT_LEN)
    .with_found(blob.len)
    .with_hint(Hint::ShrinkDocument))
}

/// The bytes of a document, whose digest is verified.
///
/// # Errors
/// It cannot be read, is longer than [`MAX_DOCUMENT_LEN`], or has another digest.
pub(crate) fn read_verified(
    blobs: &dyn BlobSource,
    digest: &Digest,
    blob: &BlobEntry,
    location: impl fmt::Display + Into<Location>,
) -> Result<Vec<u8>> {
    let bytes = blobs.read_blob(blob, MAX_DOCUMENT_LEN)?;
    let found = digest
        .recompute(&bytes)
        .ok_or_else(|| digest.unsupported())?;
    if found != *digest {
        return Err(Error::new(
            Code::DigestMismatch,
            format!(
                "{location} is damaged: {} has the digest {found}",
                digest.blob_name()
            ),
        )
        .with_location(location)
        .with_entry(digest.blob_name())
        .with_expected(digest)
        .with_found(found)
        .with_hint(Hint::CopyAgain));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Algorithm;
    use crate::location::RootName;

    fn parse(text: &str, shape: Shape) -> Result<Document> {
        let digest = Digest::of(Algorithm::Sha256, text.as_bytes());
        Document::parse(
            text.as_bytes().to_vec(),
            digest,
            shape,
            RootName::Index.into(),
            &mut DocumentReader::new(Strictness::Strict),
        )
    }

    #[test]
    fn documents_that_are_refused() {
        let cases = [
            (
                r#"{"manifests":[],"layers":[]}"#,
                Shape::Index,
                Code::AmbiguousDocument,
            ),
            (
                r#"{"manifests":[],"config":null}"#,
                Shape::Manifest,
                Code::AmbiguousDocument,
            ),
            (r#"{"layers":[]}"#, Shape::Index, Code::AmbiguousDocument),
            (
                r#"{"mediaType":"application/vnd.oci.image.index.v1+json","config":{}}"#,
                Shape::Manifest,
                Code::AmbiguousDocument,
            ),
            (
                r#"{"mediaType":"text/plain"}"#,
                Shape::Index,
                Code::AmbiguousDocument,
            ),
            (
                r#"{"manifests":[{"mediaType":"a","size":1}]}"#,
                Shape::Index,
                Code::InvalidDocument,
            ),
            (
                r#"{"manifests":[{"mediaType":"a","digest":"sha256:x","size":1}]}"#,
                Shape::Index,
                Code::InvalidDigest,
            ),
            (r#"{"manifests":{}}"#, Shape::Index, Code::InvalidDocument),
            (r#"{"layers":[]}"#, Shape::Manifest, Code::InvalidDocument),
            (r#"{"fsLayers":[]}"#, Shape::Manifest, Code::Schema1),
            ("[]", Shape::Index, Code::InvalidDocument),
            ("\u{feff}{}", Shape::Index, Code::InvalidDocument),
        ];
        for (text, shape, expected) in cases {
            assert_eq!(parse(text, shape).unwrap_err().code(), expected, "{text}");
        }
    }

    #[test]
    fn an_empty_index_is_one() {
        for text in [r#"{"manifests":[]}"#, r#"{"manifests":null}"#, "{}"] {
            assert!(parse(text, Shape::Index).unwrap().pointers.is_empty());
        }
    }
}

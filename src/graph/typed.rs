//! Typed views of documents, for reading only.
//!
//! A view is a copy of a document in oci-spec's types. Those lose what they do not know, so a view is never
//! written back; ocify itself reads and edits the text. Serializing the view of
//!
//! ```json
//! {"schemaVersion": 2, "config": …, "layers": […], "org.example.build": 7}
//! ```
//!
//! drops `org.example.build`, moves keys, and so changes the digest. In the same way an image config loses
//! `Healthcheck`, `Shell` and `ArgsEscaped`, and a descriptor's platform `os.version` and `os.features`.
//! oci-spec also refuses some documents that every engine reads, such as a manifest whose layers are `null`.

use oci_spec::image::{ImageConfiguration, ImageIndex, ImageManifest};
use serde::de::DeserializeOwned;

use crate::error::{Code, Error, Result, escape};
use crate::graph::document::{Document, Shape, read_verified};
use crate::graph::{Graph, ManifestRole};
use crate::image::Digest;
use crate::inventory::BlobSource;
use crate::location::{DocumentPath, Role, Step};

impl Document {
    /// The manifest as a typed view, which loses fields that oci-spec does not know: read it, and never
    /// write it. [`text`](Document::text) has everything.
    ///
    /// # Errors
    /// The document is an index, or oci-spec does not accept it.
    pub fn manifest(&self) -> Result<ImageManifest> {
        self.view(Shape::Manifest, "an OCI image manifest")
    }

    /// The index as a typed view, which loses fields that oci-spec does not know, among them `os.version`
    /// and `os.features` of platforms: read it, and never write it. [`text`](Document::text) has everything.
    ///
    /// # Errors
    /// The document is a manifest, or oci-spec does not accept it.
    pub fn index(&self) -> Result<ImageIndex> {
        self.view(Shape::Index, "an OCI image index")
    }

    fn view<T: DeserializeOwned>(&self, wanted: Shape, what: &str) -> Result<T> {
        if self.shape != wanted {
            let found = match self.shape {
                Shape::Index => "an index",
                Shape::Manifest => "a manifest",
            };
            return Err(Error::new(
                Code::InvalidDocument,
                format!("{} is {found}, not {what}", self.path),
            )
            .with_location(&self.path));
        }
        parse(self.text.as_bytes(), &self.path, what)
    }
}

impl Graph {
    /// The config of an image as a typed view, by the digest of the image's manifest. The view loses fields
    /// that oci-spec does not know, such as Docker's `Healthcheck`: read it, and never write it.
    ///
    /// The graph does not hold configs, so this reads the blob and verifies its digest.
    ///
    /// # Errors
    /// The digest is not that of an image's manifest, the config is not in the source, cannot be read or is
    /// damaged, or oci-spec does not accept it.
    pub fn config(&self, manifest: &Digest, blobs: &dyn BlobSource) -> Result<ImageConfiguration> {
        let invalid = |what: String| Error::new(Code::InvalidDocument, what);
        let document = self.document(manifest);
        let facts = self.manifests.get(manifest);
        let Some((document, facts)) = document.zip(facts) else {
            return Err(
                invalid(format!("the source has no manifest {manifest}")).with_expected(manifest)
            );
        };
        if facts.role != ManifestRole::Image {
            return Err(invalid(format!(
                "{} is not the manifest of an image, so its config is not that of an image",
                document.path
            ))
            .with_location(&document.path));
        }
        let step = Step {
            role: Role::Config,
            position: 0,
        };
        let location = document.path.child(step);
        let Some(blob) = self.inventory.blobs.get(&facts.config) else {
            return Err(Error::new(
                Code::MissingBlob,
                format!(
                    "{location} is missing: {} is not in the source",
                    facts.config.blob_name()
                ),
            )
            .with_location(&location)
            .with_entry(facts.config.blob_name()));
        };
        let bytes = read_verified(blobs, &facts.config, blob, &location)?;
        parse(&bytes, &location, "an OCI image config")
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8], location: &DocumentPath, what: &str) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| {
        Error::new(
            Code::InvalidDocument,
            format!(
                "oci-spec cannot read {location} as {what}: {}",
                escape(&error.to_string())
            ),
        )
        .with_location(location)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::document::DocumentReader;
    use crate::image::Algorithm;
    use crate::inventory::Strictness;
    use crate::location::RootName;

    const DESCRIPTOR: &str = r#"{"mediaType":"text/plain","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":0,"org.example.part":true}"#;

    fn document(text: &str, shape: Shape) -> Document {
        let digest = Digest::of(Algorithm::Sha256, text.as_bytes());
        let path = DocumentPath::from(RootName::Index).child(Step {
            role: Role::Manifests,
            position: 0,
        });
        let bytes = text.as_bytes().to_vec();
        let mut reader = DocumentReader::new(Strictness::Strict);
        Document::parse(bytes, digest, shape, path, &mut reader).unwrap()
    }

    #[test]
    fn views_lose_unknown_fields_and_the_text_does_not() {
        let text = format!(
            r#"{{"org.example.build":7,"schemaVersion":2,"config":{DESCRIPTOR},"layers":[{DESCRIPTOR}],"annotations":{{"a":"b"}}}}"#
        );
        let document = document(&text, Shape::Manifest);
        let view = document.manifest().unwrap();
        assert_eq!(view.layers().len(), 1);
        assert_eq!(view.annotations().as_ref().unwrap()["a"], "b");
        let written = view.to_string().unwrap();
        for lost in ["org.example.build", "org.example.part"] {
            assert!(document.text.contains(lost) && !written.contains(lost));
        }
    }

    #[test]
    fn documents_of_the_other_shape_are_refused() {
        let index = document(r#"{"schemaVersion":2,"manifests":[]}"#, Shape::Index);
        assert_eq!(index.index().unwrap().manifests(), &[]);
        assert_eq!(
            index.manifest().unwrap_err().to_string(),
            "index.json, manifests[0] is an index, not an OCI image manifest"
        );
        let text = format!(r#"{{"schemaVersion":2,"config":{DESCRIPTOR},"layers":[]}}"#);
        let manifest = document(&text, Shape::Manifest);
        assert_eq!(
            manifest.index().unwrap_err().to_string(),
            "index.json, manifests[0] is a manifest, not an OCI image index"
        );
    }

    #[test]
    fn documents_that_oci_spec_refuses() {
        let cases = [
            (r#"{"manifests":[]}"#, "missing field `schemaVersion`"),
            (
                r#"{"schemaVersion":2,"manifests":null}"#,
                "invalid type: null, expected a sequence",
            ),
        ];
        for (text, expected) in cases {
            let error = document(text, Shape::Index).index().unwrap_err();
            assert_eq!(error.code(), Code::InvalidDocument);
            let expected = format!(
                "oci-spec cannot read index.json, manifests[0] as an OCI image index: {expected}"
            );
            assert!(error.to_string().starts_with(&expected), "{error}");
        }
    }
}

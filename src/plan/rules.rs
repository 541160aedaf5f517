//! Every rule by which a document or an archive is changed: its stable name and its reason.

use crate::plan::Change;

/// A rule of normalization.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rule {
    /// Docker's manifest list type becomes the OCI index type.
    IndexType,
    /// Docker's manifest type becomes the OCI manifest type.
    ManifestType,
    /// Docker's config type becomes the OCI config type.
    ConfigType,
    /// A layer's type becomes the OCI type of what its bytes are.
    LayerType,
    /// A type becomes Docker's.
    DockerType,
    /// `mediaType` is added to a document.
    MediaTypeField,
    /// A descriptor follows its rewritten document.
    Descriptor,
    /// An annotation follows the rewritten manifest that it links to.
    AttestationLink,
    /// A subject follows its rewritten document.
    Subject,
    /// The full name is added as an annotation.
    ImageName,
    /// The tag is added as an annotation.
    RefName,
    /// An index entry is added for a name that only manifest.json had.
    NameEntry,
    /// manifest.json is written or corrected.
    DockerManifest,
    /// The oci-layout file is written.
    OciLayout,
    /// index.json is written for a source that has none.
    IndexAdded,
    /// A manifest is written for an image that only manifest.json describes.
    ManifestAdded,
    /// A file gets the name of its digest.
    BlobName,
    /// A manifest's layers are restored from manifest.json.
    LayersRestored,
    /// A layer is compressed anew.
    Recompressed,
    /// What needs absent content is left out on request.
    AbsentPruned,
    /// An image that was not asked for is left out.
    ImageChoice,
    /// An attestation is left out on request.
    AttestationDropped,
    /// A file of neither form is left out.
    ExtraEntry,
    /// The archive's own form is made canonical.
    ArchiveForm,
}

impl Rule {
    /// All rules, in the order of the documentation.
    pub const ALL: [Rule; 24] = [
        Rule::IndexType,
        Rule::ManifestType,
        Rule::ConfigType,
        Rule::LayerType,
        Rule::DockerType,
        Rule::MediaTypeField,
        Rule::Descriptor,
        Rule::AttestationLink,
        Rule::Subject,
        Rule::ImageName,
        Rule::RefName,
        Rule::NameEntry,
        Rule::DockerManifest,
        Rule::OciLayout,
        Rule::IndexAdded,
        Rule::ManifestAdded,
        Rule::BlobName,
        Rule::LayersRestored,
        Rule::Recompressed,
        Rule::AbsentPruned,
        Rule::ImageChoice,
        Rule::AttestationDropped,
        Rule::ExtraEntry,
        Rule::ArchiveForm,
    ];

    /// The stable name, as it stands in reports.
    pub fn name(self) -> &'static str {
        match self {
            Rule::IndexType => "index-type",
            Rule::ManifestType => "manifest-type",
            Rule::ConfigType => "config-type",
            Rule::LayerType => "layer-type",
            Rule::DockerType => "docker-type",
            Rule::MediaTypeField => "media-type-field",
            Rule::Descriptor => "descriptor",
            Rule::AttestationLink => "attestation-link",
            Rule::Subject => "subject",
            Rule::ImageName => "image-name",
            Rule::RefName => "ref-name",
            Rule::NameEntry => "name-entry",
            Rule::DockerManifest => "docker-manifest",
            Rule::OciLayout => "oci-layout",
            Rule::IndexAdded => "index-added",
            Rule::ManifestAdded => "manifest-added",
            Rule::BlobName => "blob-name",
            Rule::LayersRestored => "layers-restored",
            Rule::Recompressed => "recompressed",
            Rule::AbsentPruned => "absent-pruned",
            Rule::ImageChoice => "image-choice",
            Rule::AttestationDropped => "attestation-dropped",
            Rule::ExtraEntry => "extra-entry",
            Rule::ArchiveForm => "archive-form",
        }
    }

    /// Why, in the user's words.
    pub fn reason(self) -> &'static str {
        match self {
            Rule::IndexType => "readers of OCI archives expect an OCI index",
            Rule::ManifestType => {
                "podman and skopeo refuse a manifest whose type and layers are of different families"
            }
            Rule::ConfigType => "an OCI manifest names its config by the OCI type",
            Rule::LayerType => {
                "containerd and podman choose the decoder by this type, so it must be the OCI type of the layer's bytes"
            }
            Rule::DockerType => "asked for with --oci-mediatypes=false",
            Rule::MediaTypeField => "strict clients require mediaType in every index and manifest",
            Rule::Descriptor => "the document it points at was rewritten",
            Rule::AttestationLink => "the manifest it links to was rewritten",
            Rule::Subject => "the subject was rewritten",
            Rule::ImageName => "docker and containerd take the name from this annotation",
            Rule::RefName => "podman and skopeo take the name from this annotation",
            Rule::NameEntry => {
                "readers of the index would not see a name that only manifest.json has"
            }
            Rule::DockerManifest => "docker load before Docker 25 reads only manifest.json",
            Rule::OciLayout => "containerd takes an archive without this file for a Docker archive",
            Rule::IndexAdded => "readers of OCI archives start at index.json",
            Rule::ManifestAdded => {
                "readers of OCI archives find an image's config and layers in its manifest"
            }
            Rule::BlobName => "an image layout names its blobs by digest",
            Rule::LayersRestored => {
                "the manifest contradicted the config's diff IDs; manifest.json lists the layers that they prove"
            }
            Rule::Recompressed => {
                "asked for with --compression or --for; the tar in it is the same"
            }
            Rule::AbsentPruned => {
                "content that it needs is not in the archive, and --missing prune was asked for"
            }
            Rule::ImageChoice => "another image was asked for with --image",
            Rule::AttestationDropped => "asked for with --attestations drop",
            Rule::ExtraEntry => {
                "it belongs to neither the image layout nor the Docker archive, and no reader needs it"
            }
            Rule::ArchiveForm => {
                "entries get one order and fixed modes, owners and times, so that the same image is the same archive"
            }
        }
    }

    /// A change by this rule.
    pub(crate) fn change(
        self,
        location: impl Into<String>,
        before: Option<String>,
        after: Option<String>,
    ) -> Change {
        Change {
            rule: self.name(),
            location: location.into(),
            before,
            after,
            reason: self.reason(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = Rule::ALL.iter().map(|rule| rule.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Rule::ALL.len());
    }
}

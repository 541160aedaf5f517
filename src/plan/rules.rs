//! Every rule by which a document or an archive is changed, and every finding that no change mends:
//! stable name, what, why, and whose bug it is. `docs/rules.md` is written from here.

use std::borrow::Cow;

use crate::error::Hint;
use crate::graph::location::Location;
use crate::plan::{Change, Finding, Severity};

macro_rules! rules {
    ($(#[$doc:meta])* $type:ident; $($variant:ident = {
        name: $name:literal,
        what: $what:literal,
        why: $why:literal,
        whose: $whose:literal,
        threads: [$($thread:literal),*],
    };)*) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $type { $(#[doc = $what] $variant,)* }

        impl $type {
            /// All of them, in the order of the documentation.
            pub const ALL: &'static [$type] = &[$($type::$variant,)*];

            /// The stable name, as it stands in reports.
            pub fn name(self) -> &'static str {
                match self { $($type::$variant => $name,)* }
            }

            /// What it is, in a sentence.
            pub fn what(self) -> &'static str {
                match self { $($type::$variant => $what,)* }
            }

            /// Why, in the user's words.
            pub fn reason(self) -> &'static str {
                match self { $($type::$variant => $why,)* }
            }

            /// Whose bug or habit asks for it.
            pub fn whose(self) -> &'static str {
                match self { $($type::$variant => $whose,)* }
            }

            /// Public threads about it, as `owner/repository#number` on GitHub.
            pub fn threads(self) -> &'static [&'static str] {
                match self { $($type::$variant => &[$($thread,)*],)* }
            }
        }
    };
}

rules! {
    /// A rule of normalization.
    Rule;
    IndexType = {
        name: "index-type",
        what: "Docker's manifest list type becomes the OCI index type.",
        why: "readers of OCI archives expect an OCI index",
        whose: "nobody's: Docker's types are older",
        threads: [],
    };
    ManifestType = {
        name: "manifest-type",
        what: "Docker's manifest type becomes the OCI manifest type.",
        why: "podman and skopeo refuse a manifest whose type and layers are of different families",
        whose: "writers that mix the families",
        threads: ["containers/container-libs#977", "containers/image#2972", "opencontainers/image-spec#1150"],
    };
    ConfigType = {
        name: "config-type",
        what: "Docker's config type becomes the OCI config type.",
        why: "an OCI manifest names its config by the OCI type",
        whose: "writers that mix the families",
        threads: ["opencontainers/image-spec#1150"],
    };
    LayerType = {
        name: "layer-type",
        what: "A layer's type becomes the OCI type of what its bytes are.",
        why: "containerd and podman choose the decoder by this type, so it must be the OCI type of the layer's bytes",
        whose: "BuildKit from 0.10, which made up `diff.tar.zstd`; containerd, which calls every layer of a Docker archive gzip; tools that label by habit",
        threads: ["moby/buildkit#3968", "containers/image#2906", "containerd/containerd#9263", "containerd/containerd#14160", "containerd/containerd#10134"],
    };
    DockerType = {
        name: "docker-type",
        what: "A type becomes Docker's, on request.",
        why: "Docker's types were asked for",
        whose: "nobody's: it is asked for",
        threads: [],
    };
    MediaTypeField = {
        name: "media-type-field",
        what: "`mediaType` is added to a document.",
        why: "strict clients require mediaType in every index and manifest",
        whose: "containerd before 2.0, and BuildKit with it",
        threads: ["containerd/containerd#9867", "moby/buildkit#4595"],
    };
    Descriptor = {
        name: "descriptor",
        what: "A descriptor follows its rewritten document.",
        why: "the document it points at was rewritten",
        whose: "nobody's: it follows from another rule",
        threads: [],
    };
    AttestationLink = {
        name: "attestation-link",
        what: "An annotation follows the rewritten manifest that it links to.",
        why: "the manifest it links to was rewritten",
        whose: "nobody's: it follows from another rule",
        threads: [],
    };
    Subject = {
        name: "subject",
        what: "A subject follows its rewritten document.",
        why: "the subject was rewritten",
        whose: "nobody's: it follows from another rule",
        threads: [],
    };
    ImageName = {
        name: "image-name",
        what: "The full name is added as an annotation, or takes the place of one that is no name.",
        why: "docker and containerd take the name from this annotation",
        whose: "readers, which do not agree on one annotation",
        threads: ["containers/common#853", "containers/podman#12560", "apple/containerization#369"],
    };
    RefName = {
        name: "ref-name",
        what: "The tag is added as an annotation.",
        why: "podman and skopeo take the name from this annotation",
        whose: "readers, which do not agree on one annotation",
        threads: ["containers/common#853", "containers/podman#12560"],
    };
    NameEntry = {
        name: "name-entry",
        what: "An index entry is added for a name that only manifest.json had, or one goes whose name was replaced.",
        why: "readers of the index would not see a name that only manifest.json has",
        whose: "nobody's: an entry of the index has one name",
        threads: [],
    };
    DockerManifest = {
        name: "docker-manifest",
        what: "`manifest.json` is written or corrected.",
        why: "docker load before Docker 25 reads only manifest.json",
        whose: "BuildKit, whose `type=oci` and `tar=false` leave the file out; Docker 25, whose LayerSources some readers refuse",
        threads: ["moby/buildkit#5559", "moby/buildkit#4131", "google/go-containerregistry#1870", "GoogleContainerTools/jib#2288"],
    };
    OciLayout = {
        name: "oci-layout",
        what: "The `oci-layout` file is written.",
        why: "containerd takes an archive without this file for a Docker archive",
        whose: "writers that leave it out",
        threads: [],
    };
    IndexAdded = {
        name: "index-added",
        what: "`index.json` is written for a source that has none, or an empty one.",
        why: "readers of OCI archives start at index.json",
        whose: "Docker before 25, and Docker 25 where it saved by digest",
        threads: ["moby/moby#47210", "apple/container#1426"],
    };
    ManifestAdded = {
        name: "manifest-added",
        what: "A manifest is written for an image that only `manifest.json` describes.",
        why: "readers of OCI archives find an image's config and layers in its manifest",
        whose: "nobody's: Docker archives have none",
        threads: ["apple/container#1426"],
    };
    BlobName = {
        name: "blob-name",
        what: "A file gets the name of its digest, and takes the place of links to it.",
        why: "an image layout names its blobs by digest",
        whose: "Docker before 25, whose repeated layers are links",
        threads: ["containerd/containerd#12890", "moby/moby#24003", "regclient/regclient#451"],
    };
    LayersRestored = {
        name: "layers-restored",
        what: "A manifest's layers are restored from `manifest.json`.",
        why: "the manifest contradicted the config's diff IDs; manifest.json lists the layers that they prove",
        whose: "Docker 25.0.0",
        threads: ["moby/moby#47065", "moby/moby#47072", "moby/moby#47150"],
    };
    Recompressed = {
        name: "recompressed",
        what: "A layer is compressed anew.",
        why: "another compression was asked for; the tar in it is the same",
        whose: "Docker before 23, which cannot read zstd",
        threads: ["blakeblackshear/frigate#7308", "n8n-io/n8n#24347"],
    };
    AbsentPruned = {
        name: "absent-pruned",
        what: "What needs absent content is left out on request.",
        why: "content that it needs is not in the archive, and leaving it out was asked for",
        whose: "Docker and containerd, which save an index without all that it lists",
        threads: ["moby/moby#49473", "moby/moby#49784", "containerd/containerd#4634", "kubernetes-sigs/kind#3795"],
    };
    ImageChoice = {
        name: "image-choice",
        what: "An image that was not asked for is left out.",
        why: "another image was asked for",
        whose: "readers that take one image at a time",
        threads: ["containers/podman#29196", "containers/skopeo#2512"],
    };
    AttestationDropped = {
        name: "attestation-dropped",
        what: "An attestation is left out on request.",
        why: "images without attestations were asked for",
        whose: "readers that take an attestation for an image",
        threads: ["containerd/containerd#11344", "kubernetes-sigs/kind#3845", "k3s-io/k3s#10132"],
    };
    ExtraEntry = {
        name: "extra-entry",
        what: "A file of neither form is left out.",
        why: "it belongs to neither the image layout nor the Docker archive, and no reader needs it",
        whose: "nobody's",
        threads: [],
    };
    OuterCompression = {
        name: "outer-compression",
        what: "The archive is no longer compressed as a whole, or as OUTPUT's name says.",
        why: "containerd before 2.0 takes no archive that is compressed as a whole, and Docker before 23.0 none with zstd",
        whose: "readers that decompress only some forms, or none",
        threads: ["containerd/containerd#9981", "k3s-io/k3s#13136", "google/go-containerregistry#783", "regclient/regclient#519"],
    };
    ArchiveForm = {
        name: "archive-form",
        what: "The archive's own form is made canonical.",
        why: "entries get one order and fixed modes, owners and times, so that the same image is the same archive",
        whose: "Docker, whose archives differ from run to run; writers without entries for directories",
        threads: ["moby/moby#42766", "moby/moby#49068", "anchore/stereoscope#492"],
    };
}

rules! {
    /// What a finding is about: something that no change can mend, or that a user should know.
    FindingRule;
    DuplicateEntry = {
        name: "duplicate-entry",
        what: "An entry stands in the archive more than once with different bytes.",
        why: "readers differ on which one they take: docker the last, skopeo's docker-archive the first",
        whose: "nobody's: tar allows it",
        threads: [],
    };
    NoEndMarker = {
        name: "no-end-marker",
        what: "The archive stops after an entry, without the zero blocks that end a tar.",
        why: "it may have been cut short just there, and readers do not tell",
        whose: "a copy or download that broke off; writers that do not finish their archive",
        threads: [],
    };
    DuplicateKey = {
        name: "duplicate-key",
        what: "A key stands in one object more than once.",
        why: "parsers differ on which one they take",
        whose: "the writer of the document",
        threads: [],
    };
    UnnamedImage = {
        name: "unnamed-image",
        what: "An image has no name.",
        why: "docker loads it untagged, and ctr drops it without --digests",
        whose: "whoever saved it without a name",
        threads: ["moby/moby#45416", "moby/buildkit#1949", "docker/buildx#1659"],
    };
    BadName = {
        name: "bad-name",
        what: "A name is none by the grammar of references.",
        why: "docker refuses an archive that has it",
        whose: "tools that do not complete or check names",
        threads: ["moby/moby#12968", "google/go-containerregistry#890", "spiffe/spire#6515"],
    };
    MissingManifest = {
        name: "missing-manifest",
        what: "An index lists a manifest that is not in the archive.",
        why: "readers that want all platforms refuse it",
        whose: "Docker and containerd, which save an index without all that it lists",
        threads: ["kubernetes-sigs/kind#3795", "containerd/containerd#4634", "moby/moby#49473"],
    };
    MissingBlob = {
        name: "missing-blob",
        what: "A config or layer is not in the archive.",
        why: "what needs it does not load",
        whose: "the tool that saved it",
        threads: ["moby/moby#49784"],
    };
    AbsentContent = {
        name: "absent-content",
        what: "A layer is not in the archive and may be fetched elsewhere.",
        why: "layers may be nondistributable; ocify never fetches any",
        whose: "nobody's",
        threads: ["moby/moby#33008", "containerd/containerd#4396"],
    };
    UnknownLayerBytes = {
        name: "unknown-layer-bytes",
        what: "A layer is neither a tar nor compressed in a form that is known.",
        why: "its type cannot follow its bytes",
        whose: "the tool that made it",
        threads: [],
    };
    ZstdLayers = {
        name: "zstd-layers",
        what: "Layers are compressed with zstd.",
        why: "Docker before 23.0 cannot read it",
        whose: "Docker before 23",
        threads: ["blakeblackshear/frigate#7308", "n8n-io/n8n#24347"],
    };
    SkippableFrame = {
        name: "skippable-frame",
        what: "Layers begin with a skippable zstd frame.",
        why: "podman and skopeo know zstd by its first frame alone, and take such a layer for a plain tar",
        whose: "containers/image, which looks at one magic number",
        threads: [],
    };
    LayersLeftAlone = {
        name: "layers-left-alone",
        what: "Layers keep their compression although others are compressed anew.",
        why: "they are evidence, encrypted, a cache or an artifact's own, or are fetched elsewhere under their digest",
        whose: "nobody's: other documents name these bytes",
        threads: [],
    };
    UnknownMediaType = {
        name: "unknown-media-type",
        what: "A media type is not known and was passed over.",
        why: "the specification wants unknown types stored and copied as they are",
        whose: "nobody's",
        threads: [],
    };
    StaleSignature = {
        name: "stale-signature",
        what: "A signature is of a manifest that was rewritten.",
        why: "it does not verify the new manifest",
        whose: "nobody's: a signature is of one digest",
        threads: ["containers/skopeo#1692", "sigstore/cosign#1549"],
    };
    StaleStatement = {
        name: "stale-statement",
        what: "An attestation's statement names a manifest that was rewritten.",
        why: "the statement is evidence and is not changed",
        whose: "nobody's: a statement names one digest",
        threads: [],
    };
    MovedReferrer = {
        name: "moved-referrer",
        what: "A referrer was made for a manifest that was rewritten.",
        why: "its subject was moved, its content was not",
        whose: "nobody's",
        threads: [],
    };
}

impl Rule {
    /// A change by this rule.
    pub(crate) fn change(
        self,
        location: impl Into<Location>,
        before: Option<String>,
        after: Option<String>,
    ) -> Change {
        self.change_of(location, before.map(Cow::Owned), after.map(Cow::Owned))
    }

    /// The same, for values of which there are many alike.
    pub(crate) fn change_of(
        self,
        location: impl Into<Location>,
        before: Option<Cow<'static, str>>,
        after: Option<Cow<'static, str>>,
    ) -> Change {
        Change {
            rule: self,
            location: location.into(),
            before,
            after,
        }
    }
}

impl FindingRule {
    /// How much it matters.
    pub fn severity(self) -> Severity {
        match self {
            FindingRule::AbsentContent
            | FindingRule::LayersLeftAlone
            | FindingRule::UnknownMediaType
            | FindingRule::StaleStatement
            | FindingRule::MovedReferrer => Severity::Info,
            _ => Severity::Warning,
        }
    }

    /// A finding of this kind.
    pub(crate) fn finding(
        self,
        location: Option<Location>,
        message: String,
        hint: Option<Hint>,
    ) -> Finding {
        Finding {
            rule: self,
            location,
            message,
            hint,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let changes = Rule::ALL.iter().map(|rule| rule.name());
        let findings = FindingRule::ALL.iter().map(|rule| rule.name());
        let mut names: Vec<_> = changes.chain(findings).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}

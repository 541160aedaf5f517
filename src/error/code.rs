//! The stable codes of failures, and the classes that they belong to.

use serde::{Serialize, Serializer};

/// The broad class of a failure: what kind of thing has to change before a retry can succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Class {
    /// The bytes are damaged: they contradict a digest, a size or the format itself.
    Corrupt,
    /// The bytes mean different images to different readers.
    Ambiguous,
    /// The input is understood but not supported.
    Unsupported,
    /// The operating system refused a read or a write.
    Io,
    /// The request was refused before anything was written.
    Refused,
    /// A registry refused the request, or could not be reached.
    Registry,
    /// A fault of ocify, whatever the input.
    Internal,
}

impl Class {
    /// The name of the class in the JSON report.
    pub fn name(self) -> &'static str {
        match self {
            Class::Corrupt => "corrupt",
            Class::Ambiguous => "ambiguous",
            Class::Unsupported => "unsupported",
            Class::Io => "io",
            Class::Refused => "refused",
            Class::Registry => "registry",
            Class::Internal => "internal",
        }
    }
}

/// By its name.
impl Serialize for Class {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $class:ident;)*) => {
        /// The stable code of a failure, as it appears in the JSON report.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Code { $($(#[$doc])* $variant,)* }

        impl Code {
            /// Every code, in the order of the documentation.
            pub const ALL: &'static [Code] = &[$(Code::$variant,)*];

            /// The code as it appears in the JSON report.
            pub fn name(self) -> &'static str {
                match self { $(Code::$variant => $name,)* }
            }

            /// The class that the code belongs to.
            pub fn class(self) -> Class {
                match self { $(Code::$variant => Class::$class,)* }
            }
        }

        /// By its name.
        impl Serialize for Code {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.name())
            }
        }
    };
}

codes! {
    /// The archive ends inside an entry.
    TruncatedArchive = "truncated-archive", Corrupt;
    /// A tar header or an entry name is not valid.
    InvalidArchive = "invalid-archive", Corrupt;
    /// A blob's bytes do not have the digest that names them.
    DigestMismatch = "digest-mismatch", Corrupt;
    /// A blob's length is not the size its descriptor states.
    SizeMismatch = "size-mismatch", Corrupt;
    /// A blob that the only image needs is not in the archive.
    MissingBlob = "missing-blob", Corrupt;
    /// A document is not valid JSON, or lacks a required property.
    InvalidDocument = "invalid-document", Corrupt;
    /// A digest does not follow the specification's grammar.
    InvalidDigest = "invalid-digest", Corrupt;
    /// A manifest lists more or fewer layers than its config has diff IDs.
    LayerCountMismatch = "layer-count-mismatch", Corrupt;
    /// An uncompressed layer's digest is not the diff ID in the config.
    DiffIdMismatch = "diff-id-mismatch", Corrupt;
    /// A document is both manifest and index, or contradicts its descriptor.
    AmbiguousDocument = "ambiguous-document", Ambiguous;
    /// A document has a key twice, or in two spellings.
    DuplicateKey = "duplicate-key", Ambiguous;
    /// Two different entries have one name.
    DuplicateEntry = "duplicate-entry", Ambiguous;
    /// index.json and manifest.json describe different images.
    RootDisagreement = "root-disagreement", Ambiguous;
    /// Bytes follow the end of the archive.
    TrailingArchive = "trailing-archive", Ambiguous;
    /// Neither an image archive nor an image layout.
    NotAnImage = "not-an-image", Unsupported;
    /// The archive as a whole is compressed.
    CompressedArchive = "compressed-archive", Unsupported;
    /// Compressed data becomes larger than is allowed for its size.
    CompressionRatio = "compression-ratio", Unsupported;
    /// Compressed data, or a stream that has to be kept, has more bytes than are allowed.
    SizeLimit = "size-limit", Unsupported;
    /// Compressed data needs more memory than is allowed.
    WindowTooLarge = "window-too-large", Unsupported;
    /// A layer cannot be decompressed.
    DamagedLayer = "damaged-layer", Corrupt;
    /// A layer is compressed in a form that OCI has no media type for.
    UnsupportedCompression = "unsupported-compression", Unsupported;
    /// Something has no Docker media type, and Docker types were requested.
    NoDockerType = "no-docker-type", Unsupported;
    /// A digest uses an algorithm that cannot be verified.
    UnsupportedDigest = "unsupported-digest", Unsupported;
    /// A Docker schema 1 manifest.
    Schema1 = "schema1", Unsupported;
    /// A Docker plugin.
    Plugin = "plugin", Unsupported;
    /// A blob is stored as a sparse entry.
    SparseEntry = "sparse-entry", Unsupported;
    /// A blob or a root file is a symbolic or hard link, or not a regular file.
    LinkEntry = "link-entry", Unsupported;
    /// A document is larger than the cap.
    DocumentTooLarge = "document-too-large", Unsupported;
    /// An archive or a directory has more entries than are listed.
    TooManyEntries = "too-many-entries", Unsupported;
    /// Documents are nested deeper than the cap.
    DocumentTooDeep = "document-too-deep", Unsupported;
    /// The input passes by once, and something would have to be read again.
    NeedsFile = "needs-file", Unsupported;
    /// No image has the requested platform.
    PlatformNotFound = "platform-not-found", Unsupported;
    /// No image has the requested name, digest or number.
    ImageNotFound = "image-not-found", Unsupported;
    /// What was asked for would leave nothing.
    NothingLeft = "nothing-left", Refused;
    /// An engine that was asked for would not load the output.
    EngineRefuses = "engine-refuses", Refused;
    /// A name was given for one image, and the archive has several.
    SeveralImages = "several-images", Refused;
    /// A name was to be given to a second image.
    NameTaken = "name-taken", Refused;
    /// An image has no name under which it can be pushed.
    NameMissing = "name-missing", Refused;
    /// Digests were to be preserved, and something else that was asked for would change them.
    DigestsPreserved = "digests-preserved", Refused;
    /// The operating system reported an error.
    Io = "io", Io;
    /// The output does not fit on its filesystem.
    NoSpace = "no-space", Io;
    /// The reader of the output went away.
    OutputClosed = "output-closed", Io;
    /// The output would go to a terminal.
    OutputIsTerminal = "output-is-terminal", Refused;
    /// The output exists.
    OutputExists = "output-exists", Refused;
    /// The output is the input.
    OutputIsInput = "output-is-input", Refused;
    /// The output is inside the input.
    OutputInInput = "output-in-input", Refused;
    /// The directory for the output does not exist.
    ParentMissing = "parent-missing", Refused;
    /// The output directory is not empty.
    OutputNotEmpty = "output-not-empty", Refused;
    /// What has to change cannot be changed in the existing file.
    InPlaceRefused = "in-place-refused", Refused;
    /// The file to be fixed in place cannot be written.
    NotWritable = "not-writable", Refused;
    /// Another run works on the file.
    FileBusy = "file-busy", Refused;
    /// An in-place fix was interrupted, and the file has to be restored first.
    UnfinishedFix = "unfinished-fix", Refused;
    /// The journal of a fix in place is not the file's.
    ForeignJournal = "foreign-journal", Refused;
    /// The journal that would restore a file is damaged.
    DamagedJournal = "damaged-journal", Corrupt;
    /// Another run writes to the output directory.
    OutputBusy = "output-busy", Refused;
    /// The input changed while it was being read.
    SourceChanged = "source-changed", Io;
    /// A registry asks for credentials, or does not accept those that it got.
    RegistryUnauthorized = "registry-unauthorized", Registry;
    /// A registry does not allow what was asked for with these credentials.
    RegistryDenied = "registry-denied", Registry;
    /// A registry has no such repository or manifest.
    RegistryNotFound = "registry-not-found", Registry;
    /// A registry has too many requests or is out of service, also after all repetitions.
    RegistryBusy = "registry-busy", Registry;
    /// A registry refused a request for another reason.
    RegistryRefused = "registry-refused", Registry;
    /// The reply of a registry contradicts the protocol or a digest.
    RegistryReply = "registry-reply", Registry;
    /// A registry cannot be reached, or the connection broke each time.
    RegistryUnreachable = "registry-unreachable", Registry;
    /// The certificate of a registry is not trusted.
    RegistryUntrusted = "registry-untrusted", Registry;
    /// Credentials or certificates cannot be read, or a credential helper failed.
    Credentials = "credentials", Registry;
    /// The run was stopped before the output was complete.
    Interrupted = "interrupted", Io;
    /// ocify failed in a way that it must not fail in.
    Internal = "internal", Internal;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique() {
        let mut names: Vec<_> = Code::ALL.iter().map(|code| code.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Code::ALL.len());
    }
}

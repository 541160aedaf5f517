//! The one error type of the library.
//!
//! Rules: a message is a lowercase fragment without a final period that says what was being done,
//! to what, where in the archive, and what was expected and found. The next step stands in
//! [`Error::hint`], never in the message. Text that comes from the archive is escaped before it is
//! shown. Every error has a stable [`Error::code`] and a [`Class`]; scripts read these, people read
//! the message.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// What to do where there is no room, before the output or meanwhile.
pub(crate) const NO_SPACE_HINT: &str = "free some space or choose another OUTPUT";

/// The library's result type.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The broad class of a failure: what kind of thing has to change before a retry can succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// The bytes are damaged: they contradict a digest, a size or the format itself.
    Corrupt,
    /// The bytes mean different images to different readers.
    Ambiguous,
    /// The input is understood but not supported.
    Unsupported,
    /// The operating system refused a read or a write.
    Io,
    /// The request itself was refused before anything was written.
    Refused,
}

impl Class {
    /// The class as it stands in the JSON report.
    pub fn name(self) -> &'static str {
        match self {
            Class::Corrupt => "corrupt",
            Class::Ambiguous => "ambiguous",
            Class::Unsupported => "unsupported",
            Class::Io => "io",
            Class::Refused => "refused",
        }
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $class:ident;)*) => {
        /// The stable code of a failure, as it stands in the JSON report.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Code { $($(#[$doc])* $variant,)* }

        impl Code {
            /// Every code, in the order of the documentation.
            pub const ALL: &'static [Code] = &[$(Code::$variant,)*];

            /// The code as it stands in the JSON report.
            pub fn name(self) -> &'static str {
                match self { $(Code::$variant => $name,)* }
            }

            /// The class that the code belongs to.
            pub fn class(self) -> Class {
                match self { $(Code::$variant => Class::$class,)* }
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
    /// Compressed data becomes larger than is allowed.
    CompressionRatio = "compression-ratio", Unsupported;
    /// Compressed data asks for more memory than is allowed.
    WindowTooLarge = "window-too-large", Unsupported;
    /// A layer cannot be decompressed.
    DamagedLayer = "damaged-layer", Corrupt;
    /// A layer is compressed in a form that OCI has no media type for.
    UnsupportedCompression = "unsupported-compression", Unsupported;
    /// Something has no Docker media type, and Docker types were asked for.
    NoDockerType = "no-docker-type", Unsupported;
    /// A digest uses an algorithm that cannot be verified.
    UnsupportedDigest = "unsupported-digest", Unsupported;
    /// A Docker schema 1 manifest.
    Schema1 = "schema1", Unsupported;
    /// A Docker plugin.
    Plugin = "plugin", Unsupported;
    /// A blob is stored as a sparse entry.
    SparseEntry = "sparse-entry", Unsupported;
    /// A blob or a root file is a symbolic or hard link, or no regular file.
    LinkEntry = "link-entry", Unsupported;
    /// A document is larger than the cap.
    DocumentTooLarge = "document-too-large", Unsupported;
    /// A directory holds more files than are listed.
    TooManyEntries = "too-many-entries", Unsupported;
    /// Documents are nested deeper than the cap.
    DocumentTooDeep = "document-too-deep", Unsupported;
    /// The input passes by once, and something would have to be read again.
    NeedsFile = "needs-file", Unsupported;
    /// No image has the platform that was asked for.
    PlatformNotFound = "platform-not-found", Unsupported;
    /// No image has the name, digest or number that was asked for.
    ImageNotFound = "image-not-found", Unsupported;
    /// A name was given for one image, and the archive has several.
    SeveralImages = "several-images", Refused;
    /// A name was to be given to a second image.
    NameTaken = "name-taken", Refused;
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
    /// The output lies inside the input.
    OutputInInput = "output-in-input", Refused;
    /// The directory that is to hold the output does not exist.
    ParentMissing = "parent-missing", Refused;
    /// The output directory is not empty.
    OutputNotEmpty = "output-not-empty", Refused;
    /// What has to change cannot be changed in the file as it is.
    InPlaceRefused = "in-place-refused", Refused;
    /// The file to be fixed in place cannot be written.
    NotWritable = "not-writable", Refused;
    /// Another run works on the file.
    FileBusy = "file-busy", Refused;
    /// A fix in place did not end, and the file has to be restored first.
    UnfinishedFix = "unfinished-fix", Refused;
    /// The journal of a fix in place is not the file's.
    ForeignJournal = "foreign-journal", Refused;
    /// Another run writes to the output directory.
    OutputBusy = "output-busy", Refused;
    /// The input changed while it was read.
    SourceChanged = "source-changed", Io;
    /// The run was stopped before the output was complete.
    Interrupted = "interrupted", Io;
}

/// What went wrong, where, and what to do next.
#[derive(Debug)]
pub struct Error {
    code: Code,
    message: String,
    hint: Option<String>,
    source: Option<io::Error>,
}

impl Error {
    /// An error of `code` with a message that follows the rules above.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Error {
            code,
            message: message.into(),
            hint: None,
            source: None,
        }
    }

    /// An operating system error while `doing` something to `path`.
    pub fn io(doing: &str, path: &Path, source: io::Error) -> Self {
        let code = match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Code::NoSpace,
            io::ErrorKind::BrokenPipe => Code::OutputClosed,
            _ => Code::Io,
        };
        let hint = (code == Code::NoSpace).then(|| NO_SPACE_HINT.to_owned());
        Error {
            code,
            message: format!("cannot {doing} {}", show_path(path)),
            hint,
            source: Some(source),
        }
    }

    /// The error of work that was told to stop.
    pub(crate) fn interrupted() -> Self {
        Error::new(
            Code::Interrupted,
            "the run was stopped before the output was complete",
        )
    }

    /// The same error with the next step for the user.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The stable code.
    pub fn code(&self) -> Code {
        self.code
    }

    /// The class of the code.
    pub fn class(&self) -> Class {
        self.code.class()
    }

    /// The next step for the user, if there is one worth naming.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source as _)
    }
}

/// Text from an archive made safe for a terminal: control characters and the invisible characters
/// that reorder text are written as escapes.
pub fn escape(text: &str) -> String {
    // Nearly all of it is plain, and there may be a great deal.
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let reorders = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if c.is_control() || reorders {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

/// A path made safe for a terminal.
pub fn show_path(path: &Path) -> String {
    escape(&path.to_string_lossy())
}

/// A list for a message: the first ten, then how many more there are.
pub fn show_list<T: fmt::Display>(items: &[T]) -> String {
    const SHOWN: usize = 10;
    let mut text = items
        .iter()
        .take(SHOWN)
        .map(T::to_string)
        .collect::<Vec<_>>()
        .join(", ");
    if items.len() > SHOWN {
        text.push_str(&format!(" and {} more", items.len() - SHOWN));
    }
    text
}

/// Adds what was being done, and to which path, to an operating system error.
pub(crate) trait IoContext<T> {
    /// The library error for `doing` something to `path`.
    fn context(self, doing: &str, path: impl Into<PathBuf>) -> Result<T>;
}

impl<T> IoContext<T> for io::Result<T> {
    fn context(self, doing: &str, path: impl Into<PathBuf>) -> Result<T> {
        self.map_err(|source| Error::io(doing, &path.into(), source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_and_reordering_characters_are_escaped() {
        assert_eq!(
            escape("a\x1b[31m\u{202e}b\né"),
            "a\\u{1b}[31m\\u{202e}b\\u{a}é"
        );
    }

    #[test]
    fn lists_are_capped_at_ten() {
        let items: Vec<u32> = (0..12).collect();
        assert_eq!(show_list(&items), "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more");
        assert_eq!(show_list(&items[..2]), "0, 1");
    }

    #[test]
    fn no_room_has_its_own_code_and_a_hint() {
        let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
        for kind in full {
            let error = Error::io("write", Path::new("out.tar"), kind.into());
            assert_eq!(
                (error.code(), error.hint()),
                (Code::NoSpace, Some(NO_SPACE_HINT))
            );
        }
        let error = Error::io(
            "write",
            Path::new("out.tar"),
            io::ErrorKind::NotFound.into(),
        );
        assert_eq!((error.code(), error.hint()), (Code::Io, None));
    }

    #[test]
    fn codes_are_unique() {
        let mut names: Vec<_> = Code::ALL.iter().map(|code| code.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Code::ALL.len());
    }
}

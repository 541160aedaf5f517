//! What the options request from the library, and which of them conflict.

use ocify::{Compression, GzipMembers, Limits, MediaTypes};

use super::{Attestations, CommandName, Fix, Format, LayerCompression, Members};
use crate::destination::ImageKind;
use crate::transports;

impl Fix {
    /// What to compress layers with; `None` keeps their compression.
    pub(crate) fn compression(&self) -> Option<Compression> {
        match self.compression {
            LayerCompression::Keep => None,
            LayerCompression::Gzip => Some(Compression::Gzip),
            LayerCompression::Zstd => Some(Compression::Zstd),
            LayerCompression::Uncompressed => Some(Compression::Uncompressed),
        }
    }

    /// The family of media types to write.
    pub(crate) fn family(&self) -> MediaTypes {
        match self.oci_mediatypes {
            true => MediaTypes::Oci,
            false => MediaTypes::Docker,
        }
    }

    /// The limits for decompression.
    pub(crate) fn limits(&self) -> Limits {
        Limits::default()
            .with_max_ratio(self.max_ratio)
            .with_max_size(self.max_size)
            .with_max_window(self.max_window << 20)
    }

    /// Whether to write gzip as one member or as many.
    pub(crate) fn members(&self) -> GzipMembers {
        match self.gzip_members.unwrap_or(Members::Multi) {
            Members::Multi => GzipMembers::Multi,
            Members::Single => GzipMembers::Single,
        }
    }

    /// What outputs are to be, if an option says so.
    pub(crate) fn output_kind(&self) -> Option<ImageKind> {
        match (self.archive, self.layout) {
            (true, _) => Some(ImageKind::Archive),
            (_, true) => Some(ImageKind::Layout),
            _ => None,
        }
    }

    /// Conflicts between options that clap cannot check.
    pub(crate) fn contradiction(&self, command: CommandName) -> Option<String> {
        self.place_contradiction()
            .or_else(|| transports::output_fault(self.output()?, command))
            .or_else(|| self.stdout_contradiction())
            .or_else(|| self.digest_contradiction())
            .or_else(|| self.unwrap_contradiction())
            .or_else(|| self.form_contradiction())
            .or_else(|| self.without_effect())
    }

    /// Attestations that are to be kept, and would be lost with their index.
    fn unwrap_contradiction(&self) -> Option<String> {
        (self.unwrap && self.attestations == Some(Attestations::Keep)).then(|| {
            "--unwrap and --attestations keep conflict: BuildKit's attestations are listed only in the index".to_owned()
        })
    }

    /// Options that change digests, with one that preserves them.
    fn digest_contradiction(&self) -> Option<String> {
        let other = match (self.compression(), self.oci_mediatypes) {
            _ if !self.preserve_digests => return None,
            (Some(form), _) => format!("--compression {}", form.short_name()),
            (None, false) => "--oci-mediatypes=false".to_owned(),
            (None, true) => return None,
        };
        Some(format!(
            "--preserve-digests and {other} conflict: manifests would get new digests"
        ))
    }

    fn place_contradiction(&self) -> Option<String> {
        let says_where = self.output().is_some() || self.in_place;
        let what = if !says_where && !self.dry_run && !self.recover {
            "no output given: -o OUTPUT writes a new file, --in-place fixes INPUT in place, --dry-run only shows what would change"
        } else if self.is_stream() && self.recover {
            "standard input cannot be restored: --recover needs the file that was fixed in place"
        } else if self.is_stream() && self.in_place {
            "standard input cannot be fixed in place: give the file, or omit --in-place to write to standard output"
        } else if self.sync && self.is_to_stream() {
            "--sync requires an OUTPUT that is a file or a directory"
        } else {
            return None;
        };
        Some(what.to_owned())
    }

    /// Two outputs that would both go to standard output.
    fn stdout_contradiction(&self) -> Option<String> {
        let mut there = self.files_on_stdout();
        if there.is_empty() {
            return None;
        }
        if self.is_to_stream() {
            there.insert(0, "the OUTPUT");
        } else if self.format == Format::Json {
            there.insert(0, "--format json");
        }
        match there.as_slice() {
            [first, second, ..] => Some(format!(
                "{first} and {second} cannot both go to standard output"
            )),
            _ => None,
        }
    }

    fn form_contradiction(&self) -> Option<String> {
        let wanted = self.compression();
        let cannot = |form: Compression| self.engines.iter().find(|e| !e.reads(form.content()));
        let engine = wanted.and_then(cannot);
        if let (Some(engine), Some(form)) = (engine, wanted) {
            return Some(format!(
                "--for {engine} and --compression {} conflict: the engine cannot read this format ({})",
                form.short_name(),
                engine.evidence(form.content())
            ));
        }
        if !self.oci_mediatypes && wanted == Some(Compression::Zstd) {
            return Some(
                "--oci-mediatypes=false and --compression zstd conflict: Docker has no media type for zstd layers".to_owned(),
            );
        }
        let level = self.compression_level?;
        let form = wanted.unwrap_or(Compression::Gzip);
        let (low, high) = match form {
            Compression::Uncompressed => {
                return Some("--compression uncompressed does not have levels".to_owned());
            }
            Compression::Gzip if self.gzip_members == Some(Members::Single) => (0, 9),
            Compression::Gzip => (0, 12),
            Compression::Zstd => (1, 22),
        };
        if (low..=high).contains(&level) {
            return None;
        }
        Some(format!(
            "invalid --compression-level {level}: expected {low} to {high} for {}",
            form.short_name()
        ))
    }
}

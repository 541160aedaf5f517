//! Makes container image archives load everywhere.
//!
//! [`Fix`] does what the command `ocify fix` does, and has its options as methods. An [`Input`] is a file, a directory or a stream; an
//! [`Output`] is an archive, an image layout directory, a stream, or the input itself.
//!
//! ```rust,no_run
//! use ocify::{Compression, Fix, Input, Output};
//!
//! fn main() -> ocify::Result<()> {
//!     let fix = Fix::new().compression(Compression::Gzip);
//!     let fixed = fix.run(Input::open("app.tar")?, Output::archive("fixed.tar"))?;
//!     for change in &fixed.plan.summary.changes {
//!         println!("{}: {}", change.location, change.rule.reason());
//!     }
//!     Ok(())
//! }
//! ```
//!
//! An archive in a pipe is fixed in one pass and in constant memory. If that is not possible, for example because layers are to be recompressed, it
//! is kept in a temporary file.
//!
//! ```rust,no_run
//! use std::io::{stdin, stdout};
//!
//! use ocify::{Fix, Input, Output};
//!
//! fn main() -> ocify::Result<()> {
//!     let fixed = Fix::new().run(Input::stream(stdin()), Output::stream(stdout()))?;
//!     if let Some(reason) = fixed.spooled {
//!         eprintln!("the archive was kept in a temporary file: {reason}");
//!     }
//!     Ok(())
//! }
//! ```
//!
//! A dry run needs to know only the form that the output would have.
//!
//! ```rust,no_run
//! use ocify::{Fix, Form, Input};
//!
//! fn main() -> ocify::Result<()> {
//!     let preview = Fix::new().plan_only(Input::open("app.tar")?, Form::default())?;
//!     for finding in &preview.summary.findings {
//!         println!("{}: {}", finding.severity.name(), finding.message);
//!     }
//!     Ok(())
//! }
//! ```
//!
//! The stages of a fix are public functions too: [`scan`], [`resolve`], [`plan`], [`recompress`] and [`apply`]. The graph that [`resolve`] returns
//! gives access to the documents as text and as the types of [oci-spec](https://docs.rs/oci-spec). These views are for reading only. oci-spec
//! drops fields that it does not know, such as `Healthcheck` and a platform's `os.version`, so writing a view back would lose them and
//! change the digest.
//!
//! ```rust,no_run
//! use ocify::{Source, Strictness, resolve, scan};
//!
//! fn main() -> ocify::Result<()> {
//!     let source = Source::open("app.tar")?;
//!     let inventory = scan(&source, Strictness::Strict)?;
//!     let graph = resolve(inventory, &source, Strictness::Strict)?;
//!     for (digest, manifest) in &graph.manifests {
//!         println!("{digest}: {:?} of {} layers", manifest.role, manifest.diff_ids.len());
//!     }
//!     Ok(())
//! }
//! ```
//!
//! An [`Observer`] sees the stages of an operation and their progress. It can also stop them.
//!
//! ```rust,no_run
//! use ocify::{Fix, Input, Observer, Output, Progress, Stage};
//!
//! struct Dots;
//! impl Progress for Dots {
//!     fn advance(&self, _len: u64) {
//!         eprint!(".");
//!     }
//! }
//!
//! impl Observer for Dots {
//!     fn stage(&self, _stage: Stage) -> Box<dyn Progress + '_> {
//!         Box::new(Dots)
//!     }
//! }
//!
//! fn main() -> ocify::Result<()> {
//!     let (input, output) = (Input::open("app.tar")?, Output::layout("out"));
//!     Fix::new().run_observed(input, output, &Dots).map(drop)
//! }
//! ```

mod apply;
mod beneath;
mod check;
mod codec;
mod engines;
mod error;
mod fix;
mod graph;
mod image;
mod input;
mod inspect;
mod inventory;
mod journal;
mod json;
mod location;
mod merge;
mod operation;
mod plan;
mod progress;
mod publish;
#[cfg(feature = "push")]
mod push;
#[cfg(feature = "push")]
mod registry;
mod report;
mod split;
mod tar;
mod text;
mod threads;

// Operations.
pub use check::{Check, Checked, FailOn, Judged, ListedImage, ListedLayer, ParseFailOnError};
pub use fix::{Fix, Fixed, Preview};
pub use inspect::{
    BlobCount, Inspect, Inspected, InspectedBlob, InspectedChild, InspectedEntry, InspectedIndex,
    InspectedManifest, InspectedMissing,
};
pub use journal::{Recovery, recover};
pub use merge::{Merge, MergePreview, Merged, MergedInput, NameConflict, OnConflict};
#[cfg(feature = "push")]
pub use push::{AbsentBlob, Push, PushLog, PushState, PushTarget, Pushed, PushedBlob, PushedImage};
pub use split::{Divided, Split, SplitOutput, SplitPart};

// Registries.
#[cfg(feature = "push")]
pub use registry::{RegistryOptions, Secret};

// Inputs and outputs.
pub use apply::Output;
pub use beneath::Directory;
pub use operation::Input;
pub use plan::Form;

// What can be chosen.
pub use apply::{Link, Verify};
pub use codec::{GzipMembers, Limits};
pub use engines::{
    Engine, Evidence, Loads, Obstacle, ParseEngineError, Reader, Reason, Remedy, Verdict, Version,
};
pub use image::media_type::Family as MediaTypes;
pub use inventory::Strictness;
pub use plan::{ImageChoice, MissingPolicy, ParseImageChoiceError, SplitBy};

// Watching an operation.
pub use operation::{Notice, Observer, SpoolReason, Stage};
pub use progress::{Hidden, Progress};
pub use threads::{BorrowedThread, IdleThreads};

// The stages, for programs that compose them: scan, resolve, plan, recompress, apply.
pub use apply::{
    ApplyOptions, Confirm, Outcome, Patch, RecompressOptions, Target, apply, apply_in_place,
    apply_patched, patch, recompress, verify,
};
pub use graph::resolve;
pub use input::{Source, SpoolOptions, scan};
pub use plan::{Draft, NewLayer, NewLayers, Plan, PlanOptions, Transcode, plan};

// What an input contains.
pub use graph::docker_archive::{DockerArchiveItem, LayerSource, RenamedFile};
pub use graph::document::{Document, RepeatedKey, Respelled, Shape};
pub use graph::link::{Link as PointerLink, LinkKind as PointerLinkKind};
pub use graph::pointer::Pointer;
pub use graph::{Faults, Graph, ManifestFacts, ManifestRole, Missing};
pub use inventory::{
    BlobEntry, BlobSource, DataLocation, ExtraEntry, ExtraKind, Inventory, RootFile,
};
pub use location::{DocumentPath, Location, Role as PointerRole, RootName, Step};

// What a plan decides.
pub use plan::rules::{FindingRule, Rule};
pub use plan::{
    Body, Change, DigestChange, DocumentPlace, Dropped, Finding, Image, OutputEntry, Places,
    Severity, Summary, Unverified, Verified,
};

// The vocabulary of container images.
pub use image::media_type::Kind as MediaTypeKind;
pub use image::{
    Algorithm, Compression, Content, ConversionError, DiffId, Digest, Hasher, ParsePlatformError,
    ParseReferenceError, Platform, Reference, ReferenceFault, StatedDiffId,
};
/// The types of the typed views, such as [`Document::manifest`], and of the conversions of [`Digest`],
/// [`Platform`] and [`MediaTypeKind`]. A new minor version of oci-spec is therefore a new minor
/// version of ocify.
pub use oci_spec;

// Reports.
pub use report::{Blobs, Neutral, Report, Status, Wording};

// Errors.
pub use error::{
    Class, Code, Error, Hint, Lenient, Pipeline, Place as ErrorPlace, RegistryHint, Result,
};

/// What only the command uses. It changes without notice.
#[doc(hidden)]
pub mod command {
    pub use crate::apply::refuse_irreplaceable;
    pub use crate::beneath::{FileStat, HeldPath, InputPath, Links};
    pub use crate::error::{IoContext, escape, path_text, shell_word, show_path};
    pub use crate::image::ArchiveSuffix;
    pub use crate::input::{
        InputKind, holds_image_entry, identify_file, is_image_layout, is_image_layout_at,
        may_be_image_layout,
    };
    pub use crate::journal::{Lock, is_journal, recover_locked};
    #[cfg(feature = "push")]
    pub use crate::report::push;
    pub use crate::report::{batch, check, engines, inspect, json, merge, metadata, split, text};

    /// Naming files.
    pub mod publish {
        pub use crate::publish::{
            PublishOptions, Published, StagedDirectory, StagedFile, is_at, is_link_to_file,
            is_open_file, is_temporary, open_log, remove_unheld, rename_new, replace,
            staged_directories, sync_directory, sync_group, sync_held, sync_tree, write_file,
        };
    }
}

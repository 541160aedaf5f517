//! What to do: `plan` turns a graph into changes, findings and the complete list of output entries.
//!
//! Pure: no file, clock, environment or terminal is touched here.

mod decide;
mod docker_manifest;
mod findings;
mod names;
mod output;
mod rewrite;
pub mod rules;

use crate::digest::Digest;
use crate::error::Result;
use crate::graph::Graph;
use crate::inventory::{Inventory, Location};
use crate::platform::Platform;

/// What a user may choose.
#[derive(Clone, Debug, Default)]
pub struct PlanOptions {
    /// The platform that `manifest.json` describes of an image with several.
    pub platform: Option<Platform>,
    /// The architecture to prefer where nothing else decides, by Go's name, such as `amd64`.
    pub host_architecture: Option<String>,
    /// Whether attestations are left out.
    pub drop_attestations: bool,
}

/// Decides everything: what changes and why, and the complete output.
///
/// # Errors
/// `index.json` and `manifest.json` that disagree, a layer in a compression that OCI does not name,
/// a platform that no image has.
pub fn plan(graph: &Graph, inventory: &Inventory, options: &PlanOptions) -> Result<Plan> {
    let mut decisions = decide::decide(graph, inventory, options.drop_attestations)?;
    let entries = names::join(graph, &mut decisions)?;
    let platforms = docker_manifest::platforms(graph);
    let chosen = docker_manifest::choose(graph, &entries, &platforms, options)?;
    let items = docker_manifest::items(graph, &entries, &chosen);
    let mut rewritten = rewrite::rewrite(graph, &decisions);
    let findings = findings::findings(graph, inventory, &entries, &rewritten);
    let mut changes = std::mem::take(&mut decisions.changes);
    changes.append(&mut rewritten.changes);
    let docker_manifest = docker_manifest::text(graph, inventory, &items, &mut changes);
    let output = output::Context {
        graph,
        inventory,
        rewritten: &rewritten,
        entries: &entries,
        chosen: &chosen,
        platforms: &platforms,
        root_decision: &decisions.root,
        decisions: &decisions.documents,
    };
    Ok(Plan {
        findings,
        digests: output.digests(),
        images: output.images(),
        entries: output.output_entries(docker_manifest, &mut changes),
        changes,
    })
}

/// Everything that `apply` carries out and `report` shows.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What is changed, in the order of the documents.
    pub changes: Vec<Change>,
    /// What no change can mend, or what a user should know.
    pub findings: Vec<Finding>,
    /// The digests of manifests and indexes that change.
    pub digests: Vec<DigestChange>,
    /// The images of the output.
    pub images: Vec<Image>,
    /// The entries of the output, complete and in order.
    pub entries: Vec<OutputEntry>,
}

/// One change, with the rule that asked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The rule's stable name.
    pub rule: &'static str,
    /// Where: the path from the root, such as `index.json, manifests[0], layers[2]`.
    pub location: String,
    /// The value before, where there was one.
    pub before: Option<String>,
    /// The value after, where there is one.
    pub after: Option<String>,
    /// Why, in the user's words.
    pub reason: &'static str,
}

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// Some reader will refuse or misread the output.
    Warning,
    /// Worth knowing.
    Info,
}

impl Severity {
    /// The word in reports.
    pub fn name(self) -> &'static str {
        match self {
            Severity::Warning => "warning",
            Severity::Info => "info",
        }
    }
}

/// Something that no change can mend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The rule's stable name.
    pub rule: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// Where, if it is about one place.
    pub location: Option<String>,
    /// What was found.
    pub message: String,
    /// The next step, if there is one.
    pub hint: Option<String>,
}

/// A manifest or index whose digest changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DigestChange {
    /// Whether the document is an index; otherwise it is a manifest.
    pub is_index: bool,
    /// The digest in the input.
    pub before: Digest,
    /// The digest in the output.
    pub after: Digest,
    /// The names that lead to the document.
    pub names: Vec<String>,
    /// The platform, where one is stated.
    pub platform: Option<String>,
}

/// An image of the output: what one name, or one unnamed entry of the index, stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Full names, such as `docker.io/library/app:latest`.
    pub names: Vec<String>,
    /// Digest of the manifest, or of the index when there are several platforms.
    pub digest: Digest,
    /// Length of that document in bytes.
    pub len: u64,
    /// Media type of that document.
    pub media_type: &'static str,
    /// Digest of the config of the image that manifest.json describes: Docker's image ID.
    pub config_digest: Option<Digest>,
    /// Platform of the image that manifest.json describes.
    pub platform: Option<String>,
}

/// One entry of the output, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputEntry {
    /// The name, relative and clean; directories end in `/`.
    pub name: String,
    /// Length in bytes; 0 for directories.
    pub len: u64,
    /// Where the bytes come from.
    pub body: Body,
}

/// Where the bytes of an output entry come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// A directory has none.
    Directory,
    /// Copied from the source, and verified against this digest on the way.
    Blob {
        /// What the bytes must hash to.
        digest: Digest,
        /// Where they are in the source.
        location: Location,
    },
    /// A document, already whole.
    Bytes(Vec<u8>),
}

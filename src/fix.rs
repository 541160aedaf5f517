//! Fix: rewrites an archive or image layout so that every engine can load it.

mod host;
mod run;

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use crate::apply::{Link, Outcome, Output, Verify};
use crate::codec::{GzipMembers, Limits};
use crate::engines::Engine;
use crate::error::Result;
use crate::image::media_type::Family;
use crate::image::{Compression, Content, Digest, Platform, Reference};
use crate::inventory::Strictness;
use crate::operation::{Input, Observer, SpoolReason, Unobserved};
use crate::plan::{Form, ImageChoice, MissingPolicy, Part, Plan, PlanOptions, Summary};
pub(crate) use run::Run;

/// How to fix. The default changes only what engines refuse or misread, and verifies every blob against its
/// digest.
#[derive(Clone, Debug, Default)]
pub struct Fix {
    plan: PlanOptions,
    strictness: Strictness,
    verify: Option<Verify>,
    link: Link,
    sync: bool,
    level: Option<i32>,
    members: GzipMembers,
    limits: Limits,
    spool_directory: Option<PathBuf>,
    jobs: Option<NonZeroUsize>,
    host_architecture: Option<String>,
    keeps_unfinished: bool,
    follows_links: bool,
    orphans_older_than: Option<Duration>,
    engines: Vec<Engine>,
}

/// How long a blob of a layout in place must not have changed before it is removed because nothing refers to it.
const ORPHANS_OLDER_THAN: Duration = Duration::from_secs(24 * 60 * 60);

/// An output that was written.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Fixed {
    /// What was changed, and the entries of the output.
    pub plan: Plan,
    /// What was written.
    pub outcome: Outcome,
    /// The level at which the blobs were verified. [`Outcome::verified`] counts what was verified.
    pub verified: Verify,
    /// Why the input, a stream, was kept in a temporary file, if it was.
    pub spooled: Option<SpoolReason>,
}

/// What a fix would do.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Preview {
    /// What would be changed. It lacks digests that depend on layers which would be recompressed.
    pub summary: Summary,
    /// What was verified, if a level was chosen with [`Fix::verify`] at which more than documents is verified.
    pub outcome: Option<Outcome>,
    /// Why the input, a stream, was kept in a temporary file, if it was.
    pub spooled: Option<SpoolReason>,
}

impl Fix {
    /// The default.
    pub fn new() -> Self {
        Self::default()
    }

    /// Fixes the input and writes the output. The output appears only when it is complete; in place, a
    /// file that could not be fixed is unchanged.
    ///
    /// # Errors
    /// The input is not an image, is damaged or ambiguous; the output exists or cannot be written. The
    /// [code](crate::error::Error::code) says which.
    pub fn run(&self, input: Input, output: Output<'_>) -> Result<Fixed> {
        self.run_observed(input, output, &Unobserved)
    }

    /// The same, with an observer that is notified of its progress.
    ///
    /// # Errors
    /// Those of [`run`](Self::run), and those of the observer.
    pub fn run_observed(
        &self,
        input: Input,
        output: Output<'_>,
        observer: &dyn Observer,
    ) -> Result<Fixed> {
        Run::new(self, observer).write(input, output)
    }

    /// A dry run: what [`run`](Self::run) would do for an output of that form. It writes nothing but
    /// temporary files, and restores an input whose in-place fix was interrupted.
    ///
    /// It verifies documents and configs, or what a level that was chosen with [`verify`](Self::verify) asks
    /// for.
    ///
    /// # Errors
    /// Those of [`run`](Self::run), without those of the output and of blobs that are not verified.
    pub fn plan_only(&self, input: Input, form: Form) -> Result<Preview> {
        self.plan_only_observed(input, form, &Unobserved)
    }

    /// The same, with an observer that is notified of its progress.
    ///
    /// # Errors
    /// Those of [`plan_only`](Self::plan_only).
    pub fn plan_only_observed(
        &self,
        input: Input,
        form: Form,
        observer: &dyn Observer,
    ) -> Result<Preview> {
        Run::new(self, observer).preview(input, form, None)
    }

    /// A dry run for this output, which is refused as [`run`](Self::run) would refuse it: if it exists, for
    /// example.
    ///
    /// # Errors
    /// Those of [`run`](Self::run), without those of blobs that are not verified.
    pub fn plan_for(
        &self,
        input: Input,
        output: Output<'_>,
        observer: &dyn Observer,
    ) -> Result<Preview> {
        Run::new(self, observer).preview_for(input, output)
    }

    /// Whether symbolic links in a layout are followed wherever they lead. By default, a link that leads out of the
    /// layout is refused, because the one who wrote the layout could make the output contain any file.
    #[must_use]
    pub fn follow_links(mut self, follow: bool) -> Self {
        self.follows_links = follow;
        self
    }

    /// The platform that `manifest.json` describes, if an image has several. By default it is Linux on
    /// this machine's architecture if nothing else decides.
    #[must_use]
    pub fn docker_platform(mut self, platform: Platform) -> Self {
        self.plan.docker_platform = Some(platform);
        self
    }

    /// The architecture to use as this machine's, by Go's name, such as `amd64`: with it, an output
    /// does not depend on the machine.
    #[must_use]
    pub fn host_architecture(mut self, architecture: impl Into<String>) -> Self {
        self.host_architecture = Some(architecture.into());
        self
    }

    /// Whether attestations are left out.
    #[must_use]
    pub fn drop_attestations(mut self, drop: bool) -> Self {
        self.plan.drop_attestations = drop;
        self
    }

    /// Whether blobs are left out that nothing refers to.
    #[must_use]
    pub fn drop_orphans(mut self, drop: bool) -> Self {
        self.plan.drop_orphans = drop;
        self
    }

    /// In a layout that is fixed in place, only blobs that have not changed for so long are removed because nothing
    /// refers to them: a build may have written others that is not complete. 24 hours by default.
    #[must_use]
    pub fn orphans_older_than(mut self, age: Duration) -> Self {
        self.orphans_older_than = Some(age);
        self
    }

    /// Keeps only this image or artifact, with what refers to it; can be given several times.
    #[must_use]
    pub fn image(mut self, image: ImageChoice) -> Self {
        self.plan.images.push(image);
        self
    }

    /// Keeps only images for this platform, with what refers to them; can be given several times. An image
    /// [matches strictly](Platform::matches_strictly), and each platform must have one.
    #[must_use]
    pub fn platform(mut self, platform: Platform) -> Self {
        self.plan.platforms.push(platform);
        self
    }

    /// Whether an index with one image becomes that image's manifest, under the index's names. What only the
    /// index lists, such as BuildKit's attestations, is removed. Indexes of several images are an error.
    #[must_use]
    pub fn unwrap(mut self, unwrap: bool) -> Self {
        self.plan.unwrap = unwrap;
        self
    }

    /// What is done about content that the input lacks.
    #[must_use]
    pub fn missing(mut self, missing: MissingPolicy) -> Self {
        self.plan.missing = missing;
        self
    }

    /// Gives the only image this name instead of its own, or the only artifact of an input without images; can be given
    /// several times.
    #[must_use]
    pub fn name(mut self, name: Reference) -> Self {
        self.plan.names.push(name);
        self
    }

    /// Changes one name of an image or artifact into another; can be given several times.
    #[must_use]
    pub fn rename(mut self, old: Reference, new: Reference) -> Self {
        self.plan.renames.push((old, new));
        self
    }

    /// Whether manifests and indexes below `index.json` stay as they are, so that their digests do not
    /// change. Whatever does not need that is still fixed; the rest becomes findings. Other options that
    /// would change a digest are errors.
    #[must_use]
    pub fn preserve_digests(mut self, preserve: bool) -> Self {
        self.plan.preserve_digests = preserve;
        self
    }

    /// Whose media types are written; OCI's by default.
    #[must_use]
    pub fn media_types(mut self, family: Family) -> Self {
        self.plan.family = family;
        self
    }

    /// What layers are compressed with. Those that already use it are left unchanged.
    #[must_use]
    pub fn compression(mut self, compression: Compression) -> Self {
        self.plan.compression = Some(compression);
        self
    }

    /// How hard layers are compressed: gzip 0 to 12, zstd 1 to 22.
    #[must_use]
    pub fn compression_level(mut self, level: i32) -> Self {
        self.level = Some(level);
        self
    }

    /// Whether gzip layers are written in one member or in many.
    #[must_use]
    pub fn gzip_members(mut self, members: GzipMembers) -> Self {
        self.members = members;
        self
    }

    /// Makes the output load in this engine, or refuses; can be given several times.
    ///
    /// Layers that it cannot read are recompressed, with gzip unless a [`compression`](Self::compression) is given. If it
    /// fails on absent content or on unnamed attestations, these are left out, as with [`MissingPolicy::Prune`] and
    /// [`drop_attestations`](Self::drop_attestations).
    #[must_use]
    pub fn engine(mut self, engine: Engine) -> Self {
        self.engines.push(engine);
        for content in Engine::COMPRESSED {
            if !engine.reads(content) && !self.plan.avoid.contains(&content) {
                self.plan.avoid.push(content);
            }
        }
        let read_by_all = Engine::read_by_all(&self.engines);
        self.without_mention_of(read_by_all)
    }

    /// The same without findings that some engines cannot read these contents.
    pub(crate) fn without_mention_of(mut self, contents: Vec<Content>) -> Self {
        self.plan.read_by_all = contents;
        self
    }

    /// The same for all parts of an input that was divided.
    pub(crate) fn for_parts(mut self) -> Self {
        self.plan = self.plan.for_parts();
        self
    }

    /// The same for one of these parts.
    pub(crate) fn for_part(mut self, part: &Part<'_>) -> Self {
        self.plan = part.options(&self.plan);
        self
    }

    /// The same for a registry, which may have what the images lack. An engine that was asked for finds the image under this
    /// name.
    #[cfg(feature = "push")]
    pub(crate) fn for_registry(mut self, name: Option<&Reference>) -> Self {
        self.plan.allows_incomplete = self.plan.missing == MissingPolicy::Keep;
        if !self.engines.is_empty() && self.plan.names.is_empty() && self.plan.renames.is_empty() {
            self.plan.names.extend(name.cloned());
        }
        self
    }

    /// The same without these images, whose names other images have.
    pub(crate) fn without(mut self, superseded: BTreeSet<Digest>) -> Self {
        self.plan.superseded = superseded;
        self
    }

    /// The same for what was chosen already.
    pub(crate) fn of_everything(mut self) -> Self {
        self.plan.platforms.clear();
        self.plan.images.clear();
        self
    }

    /// What is verified before the output appears: by default [`Verify::Digests`], in place and on a dry run
    /// [`Verify::Documents`].
    ///
    /// With [`Verify::Documents`], a new archive is a clone or a copy of the old one, with the changes that a
    /// fix in place would make, if these are possible.
    #[must_use]
    pub fn verify(mut self, verify: Verify) -> Self {
        self.verify = Some(verify);
        self
    }

    /// How blobs are copied from one layout directory to another.
    #[must_use]
    pub fn link(mut self, link: Link) -> Self {
        self.link = link;
        self
    }

    /// Whether to wait until the output is on disk.
    #[must_use]
    pub fn sync(mut self, sync: bool) -> Self {
        self.sync = sync;
        self
    }

    /// How to treat what engines read differently.
    #[must_use]
    pub fn strictness(mut self, strictness: Strictness) -> Self {
        self.strictness = strictness;
        self
    }

    /// Limits on decompression of archives and layers.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The directory for temporary files; the system's by default. Recompressed layers are kept beside
    /// the output unless that is a stream.
    #[must_use]
    pub fn spool_directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.spool_directory = Some(directory.into());
        self
    }

    /// How many threads work; as many as there are processors by default. The output does not depend
    /// on it.
    #[must_use]
    pub fn jobs(mut self, jobs: NonZeroUsize) -> Self {
        self.jobs = Some(jobs);
        self
    }

    /// Whether an input whose in-place fix was interrupted is restored first, which writes to it. Otherwise
    /// it is an error. True by default.
    #[must_use]
    pub fn recover(mut self, recover: bool) -> Self {
        self.keeps_unfinished = !recover;
        self
    }
}

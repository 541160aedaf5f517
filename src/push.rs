//! Push: publishes the images of an archive or image layout to a registry.
//!
//! The input is planned as for any other output. What the plan lists is scheduled, and then sent: blobs, manifests, and at last
//! tags.

mod bytes;
mod contents;
mod item;
mod log;
mod origin;
mod parallel;
mod referrer;
mod routes;
mod schedule;
mod send;
mod session;
mod summary;
mod tags;
mod target;
mod verifiable;

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::Arc;

pub use self::log::PushLog;
pub use self::target::PushTarget;
use crate::apply::{ApplyOptions, Outcome, Verify, outcome_of, verify_decoded};
use crate::error::{Code, Error, Hint, Result};
use crate::fix::{Fix, Run};
use crate::graph::Graph;
use crate::image::{Digest, Reference};
use crate::input::Source;
use crate::location::Location;
use crate::operation::{Input, Observer, SpoolReason, Stage, Unobserved};
use crate::plan::{Draft, Form, NewLayers, OutputEntry, Plan, Summary};
use crate::registry::RegistryOptions;
use contents::Contents;
use origin::Origin;
use schedule::Schedule;
use send::{Sender, read_document};
use session::Session;
use target::Repository;

/// How many blobs are sent at a time.
const JOBS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(3);

/// How to push. The options of the [`Fix`] are those of what is pushed: for example, which platforms it has.
///
/// Clones of a push share connections and tokens, and know what the others have pushed.
///
/// ```rust,no_run
/// use ocify::{Fix, Input, Push};
///
/// fn main() -> ocify::Result<()> {
///     let push = Push::new(Fix::new());
///     let pushed = push.run(Input::open("app.tar")?)?;
///     for image in &pushed.images {
///         println!("{}: {:?}", image.repository, image.digest);
///     }
///     Ok(())
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Push {
    fix: Fix,
    target: Option<PushTarget>,
    registry: RegistryOptions,
    mount_from: Vec<Repository>,
    jobs: NonZeroUsize,
    session: Arc<Session>,
}

/// What was pushed, or would be.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Pushed {
    /// What was changed in what was pushed, and the images.
    pub summary: Summary,
    /// What can be pulled.
    pub images: Vec<PushedImage>,
    /// Every blob and manifest, in the order in which they were pushed.
    pub blobs: Vec<PushedBlob>,
    /// What the input lacks. The repositories have it; on a dry run, they would have to have it.
    pub absent: Vec<AbsentBlob>,
    /// What was verified; `None` on a dry run, unless a level was chosen at which more than documents is verified.
    pub outcome: Option<Outcome>,
    /// Why the input, a stream, was kept in a temporary file, if it was.
    pub spooled: Option<SpoolReason>,
}

/// A manifest or index that can be pulled.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PushedImage {
    /// The registry and the repository: `registry.example.com/team/app`.
    pub repository: String,
    /// The tags, sorted. What refers to another image may have none.
    pub tags: Vec<String>,
    /// The digest; `None` if it is known only once layers have been recompressed.
    pub digest: Option<Digest>,
    /// The media type.
    pub media_type: String,
    /// The length in bytes of the manifest or index.
    pub len: u64,
    /// What it refers to, if it is a signature or another referrer.
    pub subject: Option<Digest>,
}

/// A blob or a manifest in a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PushedBlob {
    /// The registry and the repository: `registry.example.com/team/app`.
    pub repository: String,
    /// The digest.
    pub digest: Digest,
    /// The media type of a manifest or index; `None` for any other blob.
    pub media_type: Option<String>,
    /// The length in bytes.
    pub len: u64,
    /// What was done; `None` on a dry run.
    pub state: Option<PushState>,
}

/// What a push did with a blob or a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PushState {
    /// It was sent.
    Sent,
    /// The registry took it from another of its repositories.
    Mounted,
    /// The repository had it.
    Exists,
    /// The push ended because it could not be sent.
    Failed,
    /// It was not sent yet, or not completely, when the push ended.
    Pending,
}

impl PushState {
    /// The word in reports for programs.
    pub fn name(self) -> &'static str {
        match self {
            PushState::Sent => "sent",
            PushState::Mounted => "mounted",
            PushState::Exists => "exists",
            PushState::Failed => "failed",
            PushState::Pending => "pending",
        }
    }
}

/// Something that an input lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AbsentBlob {
    /// The registry and the repository that it has to be in.
    pub repository: String,
    /// The digest.
    pub digest: Digest,
    /// Where it is named.
    pub location: Location,
}

impl Push {
    /// Pushes what `fix` would write, under the names that the images have.
    pub fn new(fix: Fix) -> Self {
        Push {
            fix,
            target: None,
            registry: RegistryOptions::default(),
            mount_from: Vec::new(),
            jobs: JOBS,
            session: Arc::default(),
        }
    }

    /// Where everything goes, instead of to the names that the images have.
    #[must_use]
    pub fn to(mut self, target: PushTarget) -> Self {
        self.target = Some(target);
        self
    }

    /// How registries are reached. To be called before the first run.
    #[must_use]
    pub fn registry(mut self, options: RegistryOptions) -> Self {
        self.registry = options;
        self
    }

    /// A repository that may have some of the blobs; can be given several times. A registry takes a blob from
    /// another of its repositories without it being sent. A tag has no effect.
    #[must_use]
    pub fn mount_from(mut self, repository: &PushTarget) -> Self {
        self.mount_from.push(Repository::of(repository.reference()));
        self
    }

    /// How many blobs are sent at a time; 4 by default.
    #[must_use]
    pub fn jobs(mut self, jobs: NonZeroUsize) -> Self {
        self.jobs = jobs;
        self
    }

    /// Pushes the input. Tags are set once everything that they lead to is in the registry.
    ///
    /// # Errors
    /// The input is not an image, is damaged or ambiguous, or lacks something that the registry does not have; an image has no name;
    /// a registry refuses the push or cannot be reached.
    pub fn run(&self, input: Input) -> Result<Pushed> {
        self.run_observed(input, &Unobserved)
    }

    /// The same, with an observer that is notified of its progress.
    ///
    /// # Errors
    /// Those of [`run`](Self::run), and those of the observer.
    pub fn run_observed(&self, input: Input, observer: &dyn Observer) -> Result<Pushed> {
        self.run_logged(input, observer, &PushLog::new())
    }

    /// The same, with a log that has what was sent, also after an error. What is in the registry is not sent again.
    ///
    /// # Errors
    /// Those of [`run_observed`](Self::run_observed).
    pub fn run_logged(
        &self,
        input: Input,
        observer: &dyn Observer,
        log: &PushLog,
    ) -> Result<Pushed> {
        self.with_input(input, observer, |run, graph, source| {
            self.push(run, graph, source, observer, log)
        })
    }

    /// A dry run: what [`run`](Self::run) would push where. It opens no connection.
    ///
    /// # Errors
    /// Those of [`run`](Self::run), without those of registries and of blobs that are not verified.
    pub fn plan_only(&self, input: Input) -> Result<Pushed> {
        self.plan_only_observed(input, &Unobserved)
    }

    /// The same, with an observer that is notified of its progress.
    ///
    /// # Errors
    /// Those of [`plan_only`](Self::plan_only).
    pub fn plan_only_observed(&self, input: Input, observer: &dyn Observer) -> Result<Pushed> {
        self.with_input(input, observer, |run, graph, source| {
            self.preview(run, graph, source)
        })
    }

    fn with_input(
        &self,
        input: Input,
        observer: &dyn Observer,
        work: impl FnOnce(&Run<'_>, &Graph, &mut Source) -> Result<Pushed>,
    ) -> Result<Pushed> {
        let target = self.target.as_ref().filter(|target| target.has_tag());
        let name = target.map(PushTarget::reference);
        let fix = self.fix.clone().for_registry(name);
        let run = Run::new(&fix, observer);
        let (mut source, spooled) = run.open(input, SpoolReason::Push)?;
        let graph = run.resolved(&source)?;
        let pushed = work(&run, &graph, &mut source);
        let pushed = pushed.map_err(|error| graph.restated(graph.with_images(error)))?;
        Ok(Pushed { spooled, ..pushed })
    }

    fn push(
        &self,
        run: &Run<'_>,
        graph: &Graph,
        source: &mut Source,
        observer: &dyn Observer,
        log: &PushLog,
    ) -> Result<Pushed> {
        if self.registry.has_login() && self.target.is_none() {
            let message = "a user name and a password require a target: the names in the input must not decide which registry gets them";
            return Err(Error::new(Code::Credentials, message).with_hint(Hint::GiveRepository));
        }
        let draft = run.settled(graph, source, Form::Layout)?;
        // What can be refused without it is refused before layers are recompressed.
        self.schedule(run, draft.plan(), source)?;
        let layers = run.recompressed(&draft, source, &NewLayers::default(), None)?;
        let plan = draft.complete(&layers)?;
        let options = run.apply_options(None);
        let options = ApplyOptions {
            // Whatever is sent is verified against its digest.
            verify: options.verify.max(Verify::Digests),
            ..options
        };
        verify_decoded(&plan, source, &options, &|| {
            observer.stage(Stage::Verifying)
        })?;
        let (contents, schedule) = self.schedule(run, &plan, source)?;
        let progress = observer.stage(Stage::Sending);
        let sender = Sender {
            session: &self.session,
            options: &self.registry,
            mount_from: &self.mount_from,
            plan: &plan,
            source,
            contents: &contents,
            jobs: self.jobs.get(),
            idle_threads: observer.idle_threads(),
            progress: &*progress,
            log,
        };
        sender.run(&schedule)?;
        let blobs = log.blobs();
        let is_sent = |blob: &&PushedBlob| blob.state == Some(PushState::Sent);
        let sent: BTreeSet<&Digest> = blobs
            .iter()
            .filter(is_sent)
            .map(|blob| &blob.digest)
            .collect();
        let outcome = outcome_of(&plan, &options, &|digest| sent.contains(digest));
        Ok(Pushed {
            images: images(&schedule, |_| true),
            absent: absent(&schedule, |_| true),
            summary: summary::of_push(plan.summary, self.target.is_some()),
            blobs,
            outcome: Some(outcome),
            spooled: None,
        })
    }

    fn preview(&self, run: &Run<'_>, graph: &Graph, source: &Source) -> Result<Pushed> {
        let draft = run.settled(graph, source, Form::Layout)?;
        let (contents, schedule) = self.schedule(run, draft.plan(), source)?;
        let outcome = run.verified(draft.plan(), draft.transcodes(), source)?;
        // Layers that are still to be recompressed are not there yet.
        let pending = pending(&draft, &contents);
        let blobs = schedule.contents().into_iter();
        let is_known = |blob: &PushedBlob| {
            blob.media_type.is_none() || !pending.documents.contains(&blob.digest)
        };
        let blobs = blobs.filter(is_known);
        Ok(Pushed {
            images: images(&schedule, |digest| !pending.documents.contains(digest)),
            blobs: blobs.collect(),
            absent: absent(&schedule, |digest| !pending.layers.contains(digest)),
            outcome,
            summary: summary::of_push(draft.into_summary(), self.target.is_some()),
            spooled: None,
        })
    }

    fn schedule<'a>(
        &self,
        run: &'a Run<'_>,
        plan: &'a Plan,
        source: &Source,
    ) -> Result<(Contents<'a>, Schedule)> {
        let origin = Origin {
            options: run.requested(),
            changes: &plan.summary.digests,
        };
        let read = |entry: &OutputEntry| read_document(entry, source);
        let contents = Contents::new(&plan.entries, origin, &read)?;
        let schedule = Schedule::new(&contents, self.target.as_ref())?;
        Ok((contents, schedule))
    }
}

/// Digests of a draft that stand for others, which are not known yet.
struct Pending {
    layers: BTreeSet<Digest>,
    documents: BTreeSet<Digest>,
}

fn pending(draft: &Draft<'_>, contents: &Contents<'_>) -> Pending {
    let layers = draft.transcodes().iter();
    let mut pending = Pending {
        layers: layers.map(|work| work.stand_in().0).collect(),
        documents: BTreeSet::new(),
    };
    loop {
        let before = pending.documents.len();
        for (digest, document) in &contents.documents {
            let mut named = document.pointers.iter().map(|pointer| &pointer.digest);
            if named.any(|named| pending.has(named)) {
                pending.documents.insert(digest.clone());
            }
        }
        if pending.documents.len() == before {
            return pending;
        }
    }
}

impl Pending {
    fn has(&self, digest: &Digest) -> bool {
        self.layers.contains(digest) || self.documents.contains(digest)
    }
}

fn images(schedule: &Schedule, is_known: impl Fn(&Digest) -> bool) -> Vec<PushedImage> {
    let mut images = Vec::new();
    for work in &schedule.repositories {
        let steps = || work.levels.iter().flatten();
        for root in &work.roots {
            let Some(step) = steps().find(|step| step.digest == *root) else {
                continue;
            };
            let tags = schedule.tags.iter();
            let tags = tags.filter(|tag| tag.repository == work.repository && tag.digest == *root);
            images.push(PushedImage {
                repository: work.repository.to_string(),
                tags: tags.map(|tag| tag.tag.clone()).collect(),
                digest: is_known(root).then(|| root.clone()),
                media_type: step.media_type.clone(),
                len: step.len,
                subject: step.subject.clone(),
            });
        }
    }
    images
}

fn absent(schedule: &Schedule, is_known: impl Fn(&Digest) -> bool) -> Vec<AbsentBlob> {
    let works = schedule.repositories.iter();
    let absent = works.flat_map(|work| work.absent.iter().map(move |absent| (work, absent)));
    absent
        .filter(|(_, absent)| is_known(&absent.digest))
        .map(|(work, absent)| AbsentBlob {
            repository: work.repository.to_string(),
            digest: absent.digest.clone(),
            location: absent.location.clone(),
        })
        .collect()
}

impl PushedImage {
    /// The names under which it can be pulled by tag.
    pub fn names(&self) -> impl Iterator<Item = String> {
        self.tags
            .iter()
            .map(|tag| format!("{}:{tag}", self.repository))
    }

    /// The name under which it can be pulled by digest; `None` if the digest is not known yet.
    pub fn pinned(&self) -> Option<String> {
        let digest = self.digest.as_ref()?;
        Some(format!("{}@{digest}", self.repository))
    }

    /// The names under which it can be pulled by tag.
    pub(crate) fn references(&self) -> Vec<Reference> {
        self.names()
            .filter_map(|name| Reference::parse(&name))
            .collect()
    }
}

//! Sends what is scheduled.

use std::io::{Cursor, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use super::bytes::Sent;
use super::contents::{BlobBytes, Contents};
use super::parallel::each;
use super::referrer::descriptor;
use super::schedule::{Absent, BlobStep, ManifestStep, Schedule, Tag, Work};
use super::session::Session;
use super::target::Repository;
use super::{PushLog, PushState};
use crate::apply::wrong_digest;
use crate::error::{Code, Error, Hint, Result};
use crate::image::Digest;
use crate::input::{DOCUMENT_CAP, Source};
use crate::plan::{Body, OutputEntry, Plan};
use crate::progress::Progress;
use crate::registry::{self, Mounted, RegistryOptions, Upload};
use crate::threads::IdleThreads;

/// Sends the contents of one plan.
pub(super) struct Sender<'a> {
    pub(super) session: &'a Session,
    pub(super) options: &'a RegistryOptions,
    /// Repositories that may have blobs, by their registries and names.
    pub(super) mount_from: &'a [Repository],
    pub(super) plan: &'a Plan,
    pub(super) source: &'a Source,
    pub(super) contents: &'a Contents<'a>,
    /// How many requests are made at a time.
    pub(super) jobs: usize,
    pub(super) idle_threads: Option<&'a IdleThreads>,
    pub(super) progress: &'a dyn Progress,
    /// What was done so far.
    pub(super) log: &'a PushLog,
}

/// Reads an entry of a plan that is a document.
pub(super) fn read_document(entry: &OutputEntry, source: &Source) -> Result<Vec<u8>> {
    match &entry.body {
        Body::Directory => Ok(Vec::new()),
        Body::Bytes(bytes) => Ok(bytes.clone()),
        Body::Blob { data, .. } => {
            let len = entry.len.min(DOCUMENT_CAP);
            source.read_range(data, len)
        }
    }
}

impl Sender<'_> {
    /// Pushes everything. Tags are set once everything else is there.
    ///
    /// # Errors
    /// A registry refuses something or cannot be reached; a blob is damaged; something is absent that no registry has; the
    /// run was stopped.
    pub(super) fn run(&self, schedule: &Schedule) -> Result<()> {
        for work in &schedule.repositories {
            self.require(work)?;
        }
        // What inputs list as referrers of one subject is listed together.
        let is_own = |tag: &&Tag| self.listed_referrers(tag).is_none();
        for tag in schedule.tags.iter().filter(is_own) {
            self.session.claim(&tag.repository, &tag.tag, &tag.digest)?;
        }
        self.log.begin(schedule);
        self.progress.start(schedule.blobs().1);
        let sent = self.send(schedule);
        self.progress.finish();
        sent
    }

    fn send(&self, schedule: &Schedule) -> Result<()> {
        // The position of the next blob or manifest in the log.
        let mut next = 0;
        for work in &schedule.repositories {
            self.blobs(work, next)?;
            next += work.blobs.len();
            for level in &work.levels {
                self.manifests(&work.repository, level, next)?;
                next += level.len();
            }
        }
        self.tags(&schedule.tags)
    }

    /// Does all of these with several threads, and returns the results in their order.
    pub(super) fn all<T: Sync, R: Send>(
        &self,
        items: &[T],
        work: impl Fn(&T, &AtomicBool) -> Result<R> + Sync,
    ) -> Result<Vec<R>> {
        let empty = || Mutex::new(None);
        let results: Vec<Mutex<Option<R>>> = items.iter().map(|_| empty()).collect();
        each(
            items.len(),
            self.jobs,
            self.idle_threads,
            |number, failed| {
                let result = work(&items[number], failed)?;
                let mut place = results[number]
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                *place = Some(result);
                Ok(())
            },
        )?;
        let results = results.into_iter().map(Mutex::into_inner);
        let results = results.filter_map(|result| result.unwrap_or_else(PoisonError::into_inner));
        Ok(results.collect())
    }

    /// Sends all of these with several threads, and notes what was done with each. The first is at this position in the log.
    fn log_all<T: Sync>(
        &self,
        items: &[T],
        first: usize,
        work: impl Fn(&T, &AtomicBool) -> Result<PushState> + Sync,
    ) -> Result<()> {
        let numbers: Vec<usize> = (0..items.len()).collect();
        let done = self.all(&numbers, |number, failed| {
            match work(&items[*number], failed) {
                Ok(state) => self.log.set(first + number, state),
                // Others stop because one of them failed, or with the run.
                Err(error) if error.code() == Code::Interrupted => return Err(error),
                Err(error) => {
                    self.log.set(first + number, PushState::Failed);
                    return Err(error);
                }
            }
            Ok(())
        });
        done.map(drop)
    }

    /// Refuses a push of something that neither the output nor the repository has.
    fn require(&self, work: &Work) -> Result<()> {
        let client = match work.absent.is_empty() {
            true => return Ok(()),
            false => self
                .session
                .client(&work.repository.registry, self.options)?,
        };
        let is_missing = self.all(&work.absent, |absent, _| {
            let stop = || self.progress.is_stopped();
            let remote = client.repository(&work.repository.name).stopping(&stop);
            Ok(!self.has(&remote, &work.repository, absent)?)
        })?;
        let missing = work.absent.iter().zip(is_missing);
        let missing: Vec<&Absent> = missing
            .filter(|(_, is)| *is)
            .map(|(absent, _)| absent)
            .collect();
        let Some(first) = missing.first() else {
            return Ok(());
        };
        let others = match missing.len() - 1 {
            0 => String::new(),
            1 => ", and another blob is missing too".to_owned(),
            others => format!(", and {others} other blobs are missing too"),
        };
        let name = first.digest.blob_name();
        let message = format!(
            "{} is missing: {name} is neither in the input nor in {}{others}",
            first.location, work.repository
        );
        Err(Error::new(Code::MissingBlob, message)
            .with_location(&first.location)
            .with_entry(name)
            .with_hint(Hint::PushComplete))
    }

    fn has(
        &self,
        remote: &registry::Repository<'_>,
        repository: &Repository,
        absent: &Absent,
    ) -> Result<bool> {
        let digest = &absent.digest;
        if absent.is_manifest {
            let there = remote.manifest_digest(&digest.to_string())?;
            return Ok(there.as_ref() == Some(digest));
        }
        if self.session.has(repository, digest) || remote.has_blob(digest, absent.len)? {
            return Ok(true);
        }
        match self.mount(remote, repository, digest, &absent.sources)? {
            Mounted::Yes => Ok(true),
            Mounted::No(opened) => {
                opened.iter().for_each(|unused| remote.cancel(unused));
                Ok(false)
            }
        }
    }

    /// Mounts a blob from another repository of the registry, if one has it.
    fn mount(
        &self,
        remote: &registry::Repository<'_>,
        repository: &Repository,
        digest: &Digest,
        sources: &[String],
    ) -> Result<Mounted> {
        let named = self.mount_from.iter();
        let named = named.filter(|from| from.registry == repository.registry);
        let named = named.map(|from| from.name.clone());
        let mut all = self.session.others(repository, digest);
        for name in named.chain(sources.iter().cloned()) {
            if name != repository.name && !all.contains(&name) {
                all.push(name);
            }
        }
        // At most one of the uploads that a registry opens instead is used.
        let mut opened: Option<Upload> = None;
        let cancel = |unused: Option<Upload>| unused.iter().for_each(|one| remote.cancel(one));
        for name in all {
            let from = Repository {
                registry: repository.registry.clone(),
                name,
            };
            if !self.session.may_mount(&from) {
                continue;
            }
            match remote.mount(digest, &from.name) {
                Ok(Mounted::Yes) => {
                    cancel(opened);
                    return Ok(Mounted::Yes);
                }
                Ok(Mounted::No(Some(upload))) => cancel(opened.replace(upload)),
                Ok(Mounted::No(None)) => {}
                Err(error) if error.code() == Code::Interrupted => {
                    cancel(opened);
                    return Err(error);
                }
                // Sending the blob does not need the other repository.
                Err(_) => self.session.give_up_mounting(from),
            }
        }
        Ok(Mounted::No(opened))
    }

    fn blobs(&self, work: &Work, first: usize) -> Result<()> {
        let repository = &work.repository;
        let client = self.session.client(&repository.registry, self.options)?;
        self.log_all(&work.blobs, first, |step, has_failed| {
            let stop = || self.progress.is_stopped() || has_failed.load(Ordering::Relaxed);
            let remote = client.repository(&repository.name).stopping(&stop);
            self.blob(&remote, repository, step, &stop)
        })
    }

    fn blob(
        &self,
        remote: &registry::Repository<'_>,
        repository: &Repository,
        step: &BlobStep,
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Result<PushState> {
        let digest = &step.digest;
        let busy = self.session.begin(&repository.registry, digest, stop)?;
        let is_there = self.session.has(repository, digest) || remote.has_blob(digest, step.len)?;
        let state = match is_there {
            true => PushState::Exists,
            false => match self.mount(remote, repository, digest, &step.sources)? {
                Mounted::Yes => PushState::Mounted,
                Mounted::No(opened) => {
                    self.upload(remote, step, opened, stop)?;
                    PushState::Sent
                }
            },
        };
        if state != PushState::Sent {
            self.progress.advance(step.len);
        }
        self.session.add(repository, digest);
        drop(busy);
        Ok(state)
    }

    fn upload(
        &self,
        remote: &registry::Repository<'_>,
        step: &BlobStep,
        opened: Option<Upload>,
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Result<()> {
        let open = |offset: u64| self.open(&step.digest, offset);
        let sent = |len: u64| self.progress.advance(len);
        let uploaded = remote.upload_into(opened, &step.digest, step.len, &open, &sent, stop);
        uploaded.map_err(|error| match (error.code(), error.found()) {
            // In the words of every other output.
            (Code::DigestMismatch, Some(found)) => {
                let name = step.digest.blob_name();
                wrong_digest(&name, &step.digest, found).with_entry(&name)
            }
            _ => error,
        })
    }

    /// The bytes of a blob from an offset on.
    fn open(&self, digest: &Digest, offset: u64) -> Result<Box<dyn Read + Send>> {
        let blob = self.contents.blobs.get(digest);
        let bytes = match blob.map(|blob| &blob.bytes) {
            Some(BlobBytes::Embedded(bytes)) => bytes,
            Some(BlobBytes::Entry(number)) => {
                let entry = &self.plan.entries[*number];
                match &entry.body {
                    Body::Blob { digest, data } => {
                        let sent = Sent {
                            source: self.source,
                            digest,
                            data,
                            len: entry.len,
                        };
                        return sent.open(offset);
                    }
                    Body::Bytes(bytes) => bytes,
                    Body::Directory => return Err(absent(digest)),
                }
            }
            None => return Err(absent(digest)),
        };
        let mut reader = Cursor::new(bytes.clone());
        reader.set_position(offset);
        Ok(Box::new(reader))
    }

    fn manifests(
        &self,
        repository: &Repository,
        level: &[ManifestStep],
        first: usize,
    ) -> Result<()> {
        let client = self.session.client(&repository.registry, self.options)?;
        self.log_all(level, first, |step, has_failed| {
            let stop = || self.progress.is_stopped() || has_failed.load(Ordering::Relaxed);
            let remote = client.repository(&repository.name).stopping(&stop);
            let _busy = self
                .session
                .begin(&repository.registry, &step.digest, &stop)?;
            self.manifest(&remote, step)
        })
    }

    fn manifest(
        &self,
        remote: &registry::Repository<'_>,
        step: &ManifestStep,
    ) -> Result<PushState> {
        let reference = step.digest.to_string();
        let there = remote.manifest_digest(&reference)?;
        let is_there = there.as_ref() == Some(&step.digest);
        // Only the reply to a request that puts a referrer says whether the registry will list it.
        if is_there && step.subject.is_none() {
            return Ok(PushState::Exists);
        }
        let bytes = self.document(&step.digest)?;
        let put = remote.put_manifest(&reference, &step.media_type, &bytes)?;
        // The reply does not have to state a digest.
        if there.is_some() && !is_there {
            remote.confirm_manifest(&step.digest)?;
        }
        if let Some(subject) = step.subject.as_ref().filter(|_| !put.subject) {
            let document = self.contents.documents.get(&step.digest);
            let descriptor = document.map(|document| descriptor(document, step));
            if let Some(descriptor) = descriptor {
                remote.add_referrer(subject, &descriptor)?;
            }
        }
        Ok(match is_there {
            true => PushState::Exists,
            false => PushState::Sent,
        })
    }

    /// The verified bytes of a document.
    pub(super) fn document(&self, digest: &Digest) -> Result<Vec<u8>> {
        let blob = self.contents.blobs.get(digest);
        let bytes = match blob.map(|blob| &blob.bytes) {
            Some(BlobBytes::Embedded(bytes)) => bytes.clone(),
            Some(BlobBytes::Entry(number)) => {
                read_document(&self.plan.entries[*number], self.source)?
            }
            None => return Err(absent(digest)),
        };
        match digest.recompute(&bytes) {
            Some(found) if found != *digest => {
                let name = digest.blob_name();
                Err(wrong_digest(&name, digest, &found).with_entry(&name))
            }
            _ => Ok(bytes),
        }
    }
}

fn absent(digest: &Digest) -> Error {
    Error::new(Code::Internal, format!("the plan lacks {digest}"))
}

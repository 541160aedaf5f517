//! What the pushes of one run share: connections, what was pushed already, and what is being pushed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::target::Repository;
use crate::error::{Code, Error, Hint, Result};
use crate::image::Digest;
use crate::registry::{Client, RegistryOptions};

/// How often a thread that waits for another one's blob looks whether it should stop.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// From how many repositories of this run a mount is tried. One is enough unless credentials differ.
const MAX_SOURCES: usize = 2;

/// A blob or manifest in a registry, whatever repository has it.
type Key = (String, Digest);

/// What the pushes of one run share.
#[derive(Debug, Default)]
pub(super) struct Session {
    clients: Mutex<BTreeMap<String, Arc<Client>>>,
    /// The repositories that have a blob, as far as this run knows.
    known: Mutex<BTreeMap<Key, Vec<String>>>,
    /// The repositories from which a mount failed.
    unmountable: Mutex<BTreeSet<Repository>>,
    /// What threads are pushing now.
    busy: Mutex<BTreeSet<Key>>,
    freed: Condvar,
    /// The tags that were pushed, or are being pushed.
    tags: Mutex<BTreeMap<(Repository, String), Digest>>,
}

/// A blob or manifest that one thread pushes. Others that need it wait.
pub(super) struct Busy<'a> {
    session: &'a Session,
    key: Key,
}

impl Session {
    /// The client of a registry.
    ///
    /// # Errors
    /// The options do not fit the registry.
    pub(super) fn client(&self, registry: &str, options: &RegistryOptions) -> Result<Arc<Client>> {
        let mut clients = lock(&self.clients);
        if let Some(client) = clients.get(registry) {
            return Ok(Arc::clone(client));
        }
        let client = Arc::new(Client::reaching(registry, options)?);
        clients.insert(registry.to_owned(), Arc::clone(&client));
        Ok(client)
    }

    /// Waits until no other thread pushes this blob or manifest to the registry.
    ///
    /// # Errors
    /// The wait was stopped.
    pub(super) fn begin(
        &self,
        registry: &str,
        digest: &Digest,
        is_stopped: &dyn Fn() -> bool,
    ) -> Result<Busy<'_>> {
        let key = (registry.to_owned(), digest.clone());
        let mut busy = lock(&self.busy);
        while !busy.insert(key.clone()) {
            if is_stopped() {
                return Err(Error::interrupted());
            }
            let waited = self.freed.wait_timeout(busy, LOOK_EVERY);
            busy = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(Busy { session: self, key })
    }

    /// Notes that a repository has a blob.
    pub(super) fn add(&self, repository: &Repository, digest: &Digest) {
        let key = (repository.registry.clone(), digest.clone());
        let mut known = lock(&self.known);
        let names = known.entry(key).or_default();
        if !names.contains(&repository.name) {
            names.push(repository.name.clone());
        }
    }

    /// Whether this run knows that a repository has a blob.
    pub(super) fn has(&self, repository: &Repository, digest: &Digest) -> bool {
        let names = self.names(repository, digest);
        names.contains(&repository.name)
    }

    /// Other repositories of the same registry that have a blob.
    pub(super) fn others(&self, repository: &Repository, digest: &Digest) -> Vec<String> {
        let mut names = self.names(repository, digest);
        names.retain(|name| *name != repository.name);
        names.truncate(MAX_SOURCES);
        names
    }

    /// Notes that a mount from a repository failed. The next one would probably fail too, after the same wait.
    pub(super) fn give_up_mounting(&self, from: Repository) {
        lock(&self.unmountable).insert(from);
    }

    /// Whether a mount from a repository may succeed.
    pub(super) fn may_mount(&self, from: &Repository) -> bool {
        !lock(&self.unmountable).contains(from)
    }

    fn names(&self, repository: &Repository, digest: &Digest) -> Vec<String> {
        let key = (repository.registry.clone(), digest.clone());
        lock(&self.known).get(&key).cloned().unwrap_or_default()
    }

    /// Claims a tag for a digest.
    ///
    /// # Errors
    /// Another input of this run has the tag.
    pub(super) fn claim(&self, repository: &Repository, tag: &str, digest: &Digest) -> Result<()> {
        let key = (repository.clone(), tag.to_owned());
        let mut tags = lock(&self.tags);
        let known = tags.entry(key).or_insert_with(|| digest.clone());
        if known == digest {
            return Ok(());
        }
        let message = format!(
            "another input of this run has the name {repository}:{tag}, with the digest {known}"
        );
        Err(Error::new(Code::NameTaken, message)
            .with_expected(known)
            .with_found(digest)
            .with_hint(Hint::PushApart))
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        lock(&self.session.busy).remove(&self.key);
        self.session.freed.notify_all();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! Referrers: the interface of a registry, or the fallback tag of one without it.

use std::collections::HashSet;
use std::sync::{MutexGuard, PoisonError};

use serde_json::{Value, json};
use ureq::http::Method;

use super::Repository;
use super::exchange::Ask;
use super::manifest::{Condition, Stored};
use super::reply::next_link;
use crate::error::{Code, Error, RegistryHint, Result, escape};
use crate::image::Digest;
use crate::image::media_type::OCI_INDEX;
use crate::json::{Formatting, View, append_items, apply_edits, set_member};

/// Where an index lists descriptors.
const MANIFESTS: &str = "manifests";

/// How often a change of a fallback tag is tried: others may change it at the same time.
const MAX_TRIES: u32 = 8;

/// The largest page of referrers, in bytes, and how many pages are read.
const MAX_PAGE: u64 = 4 * 1024 * 1024;
const MAX_PAGES: usize = 1000;

/// How much of all pages is read, in bytes.
const MAX_PAGES_LEN: usize = 64 << 20;

impl Repository<'_> {
    /// Adds a descriptor to the index of a subject's referrers, for a registry that does not list referrers itself.
    ///
    /// The index is read, extended, written on the condition that nobody else has created or changed it, and read
    /// again. If the registry has no such conditions, another client that writes between the last reading and its own
    /// writing can still undo the change.
    ///
    /// # Errors
    /// The registry does not take the index, the tag is of something else, or others change it all the time.
    pub(crate) fn add_referrer(&self, subject: &Digest, descriptor: &Value) -> Result<()> {
        // Some registries list it without saying so. Whatever else they reply does not matter.
        let digest = descriptor.get("digest").and_then(Value::as_str);
        if let Some(digest) = digest
            && let Ok(Some(true)) = self.lists_referrer(subject, digest)
        {
            return Ok(());
        }
        self.add_listed(&subject.referrers_tag(), descriptor)
    }

    /// Adds a descriptor to the index under a tag, whatever the registry lists.
    ///
    /// # Errors
    /// Those of [`add_referrer`](Self::add_referrer).
    pub(crate) fn add_listed(&self, tag: &str, descriptor: &Value) -> Result<()> {
        let what = format!("add a referrer to {tag}");
        let _lock = self.lock_fallback_tags();
        let mut attempts = super::retry::Attempts::new(MAX_TRIES, self.client.options.limits);
        let mut stored = self.manifest(tag)?;
        loop {
            let Some(index) = self.extended(&what, stored.as_ref(), descriptor)? else {
                return Ok(());
            };
            let condition = match &stored {
                Some(stored) => stored.condition(),
                None => Some(Condition::Absent),
            };
            let put = self.put_if(&what, tag, OCI_INDEX, &index, condition)?;
            let is_written = put.is_some();
            stored = self.manifest(tag)?;
            if is_written && self.extended(&what, stored.as_ref(), descriptor)?.is_none() {
                return Ok(());
            }
            let Some(pause) = attempts.next(None) else {
                let reason = "other clients change the tag at the same time";
                return Err(self
                    .unsent(Code::RegistryBusy, &what, reason)
                    .with_hint(RegistryHint::PushLater));
            };
            self.pause(pause)?;
        }
    }

    /// Stores an index of referrers under a tag that nothing has. Returns whether it is there now; otherwise another
    /// client was faster, and what it lists is to be added one by one.
    ///
    /// # Errors
    /// The registry does not take the index.
    pub(crate) fn create_list(&self, tag: &str, media_type: &str, index: &[u8]) -> Result<bool> {
        let what = format!("store manifest {}", escape(tag));
        let _lock = self.lock_fallback_tags();
        if self.manifest(tag)?.is_some() {
            return Ok(false);
        }
        self.put_if(&what, tag, media_type, index, Some(Condition::Absent))?;
        let stored = self.manifest(tag)?;
        Ok(stored.is_some_and(|stored| stored.bytes == index))
    }

    fn lock_fallback_tags(&self) -> MutexGuard<'_, ()> {
        let lock = self.client.fallback_tags.lock();
        lock.unwrap_or_else(PoisonError::into_inner)
    }

    /// The index with the descriptor; `None` if it is in it. Everything else in it keeps its bytes.
    fn extended(
        &self,
        what: &str,
        stored: Option<&Stored>,
        descriptor: &Value,
    ) -> Result<Option<Vec<u8>>> {
        // Some registries store what they got of a request that broke off.
        let Some(stored) = stored.filter(|stored| !stored.is_cut_off()) else {
            let index = json!({
                "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [descriptor],
            });
            return Ok(Some(index.to_string().into_bytes()));
        };
        let index = parse_index(&stored.bytes).ok_or_else(|| self.not_an_index(what))?;
        let formatting = Formatting::of(index.document());
        let edit = match index.get(MANIFESTS) {
            Some(manifests) if manifests.each_item().is_none() => {
                return Err(self.not_an_index(what));
            }
            Some(manifests) => match descriptor.get("digest").and_then(Value::as_str) {
                Some(digest) if lists(manifests, digest) => return Ok(None),
                _ => append_items(&formatting, manifests, &[descriptor.to_string()]),
            },
            None => set_member(&formatting, index, None, MANIFESTS, json!([descriptor])),
        };
        let text = apply_edits(index.document(), vec![edit]);
        Ok(Some(text.into_bytes()))
    }

    fn not_an_index(&self, what: &str) -> Error {
        self.unsent(
            Code::RegistryRefused,
            what,
            "the tag is not that of an index",
        )
    }

    /// Whether the registry's interface lists a referrer of a subject; `None` if it has no such interface.
    ///
    /// # Errors
    /// A page cannot be read.
    pub(crate) fn lists_referrer(&self, subject: &Digest, referrer: &str) -> Result<Option<bool>> {
        let what = format!("list the referrers of {subject}");
        let mut url = self.url(&format!("referrers/{subject}"));
        let mut seen = HashSet::new();
        let mut left = MAX_PAGES_LEN;
        for number in 0..MAX_PAGES {
            let mut ask = Ask::new(&what, Method::GET, url.clone());
            ask.headers.push(("accept", OCI_INDEX.to_owned()));
            ask.limit = MAX_PAGE;
            let reply = self.ask(&ask)?;
            match reply.status {
                200 => {}
                // Not the interface: distribution 2 has no such address, and others do not allow it.
                404 | 405 | 400 if number == 0 => return Ok(None),
                _ => return Err(self.refused(&what, &reply)),
            }
            let page = match reply.is_cut {
                true => None,
                false => parse_index(&reply.body),
            };
            let page = page.ok_or_else(|| self.invalid(&what, "it is not an index"))?;
            // Only one page is in memory at a time: a registry decides how many there are.
            if page
                .get(MANIFESTS)
                .is_some_and(|listed| lists(listed, referrer))
            {
                return Ok(Some(true));
            }
            let Some(next) = reply.header("link").and_then(next_link) else {
                return Ok(Some(false));
            };
            let Some(rest) = left.checked_sub(reply.body.len()) else {
                break;
            };
            left = rest;
            let next = reply.url.join(next);
            let next = next.filter(|next| self.is_own(next) && seen.insert(next.to_string()));
            url = next
                .ok_or_else(|| self.invalid(&what, "the link to its next page cannot be used"))?;
        }
        Err(self.invalid(&what, "it has too many pages"))
    }
}

/// The index that these bytes are; `None` for anything else.
fn parse_index(bytes: &[u8]) -> Option<View<'_>> {
    let index = View::parse(str::from_utf8(bytes).ok()?)?;
    index.members()?;
    let is_index = |stated: View<'_>| stated.str().as_deref() == Some(OCI_INDEX);
    let is_typed = index.get("mediaType").is_none_or(is_index);
    (is_typed && index.get("layers").is_none()).then_some(index)
}

/// Whether a list of descriptors has one with this digest.
fn lists(descriptors: View<'_>, digest: &str) -> bool {
    let is_it = |one: View<'_>| {
        let stated = one.get("digest").and_then(View::str);
        stated.as_deref() == Some(digest)
    };
    let mut items = descriptors.each_item().into_iter().flatten();
    items.any(is_it)
}

//! Referrers: the interface of a registry, or the fallback tag of one without it.

use std::collections::HashSet;
use std::sync::PoisonError;

use serde_json::{Map, Value, json};
use ureq::http::Method;

use super::Repository;
use super::exchange::Ask;
use super::manifest::Stored;
use super::reply::next_link;
use crate::error::{Code, Error, RegistryHint, Result};
use crate::image::Digest;
use crate::image::media_type::OCI_INDEX;

/// How often a change of a fallback tag is tried: others may change it at the same time.
const MAX_TRIES: u32 = 8;

/// How much of a digest's hash is in its fallback tag, in characters.
const TAG_HASH_LEN: usize = 64;

/// The largest page of referrers, in bytes, and how many pages are read.
const MAX_PAGE: u64 = 4 * 1024 * 1024;
const MAX_PAGES: usize = 1000;

/// The tag of the index of a subject's referrers.
fn fallback_tag(subject: &Digest) -> String {
    let mut hash = subject.hex();
    hash.truncate(TAG_HASH_LEN);
    format!("{}-{hash}", subject.algorithm_name())
}

impl Repository<'_> {
    /// Adds a descriptor to the index of a subject's referrers, for a registry that does not list referrers itself.
    ///
    /// The index is read, extended, written on the condition that it has not changed if the registry has such
    /// conditions, and read again. Without conditions, another client that writes between the last reading and its own
    /// writing can still undo the change.
    ///
    /// # Errors
    /// The registry does not take the index, the tag is of something else, or others change it all the time.
    pub(crate) fn add_referrer(&self, subject: &Digest, descriptor: &Value) -> Result<()> {
        // Some registries list it without saying so. Whatever else they reply does not matter.
        let digest = descriptor.get("digest");
        let is_it = |one: &Value| one.get("digest") == digest;
        if let Ok(Some(listed)) = self.referrers(subject)
            && listed.iter().any(is_it)
        {
            return Ok(());
        }
        let tag = fallback_tag(subject);
        let what = format!("add a referrer to {tag}");
        let lock = self.client.fallback_tags.lock();
        let _lock = lock.unwrap_or_else(PoisonError::into_inner);
        let mut attempts = super::retry::Attempts::new(MAX_TRIES, self.client.options.limits);
        let mut stored = self.manifest(&tag)?;
        loop {
            let Some(index) = self.extended(&what, stored.as_ref(), descriptor)? else {
                return Ok(());
            };
            let etag = stored.as_ref().and_then(|stored| stored.etag.as_deref());
            let is_written = self.put_if(&what, &tag, OCI_INDEX, &index, etag)?.is_some();
            stored = self.manifest(&tag)?;
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

    /// The index with the descriptor; `None` if it is in it.
    fn extended(
        &self,
        what: &str,
        stored: Option<&Stored>,
        descriptor: &Value,
    ) -> Result<Option<Vec<u8>>> {
        let mut index = match stored {
            Some(stored) => parse_index(&stored.bytes).ok_or_else(|| self.not_an_index(what))?,
            None => Map::from_iter([
                ("schemaVersion".to_owned(), json!(2)),
                ("mediaType".to_owned(), json!(OCI_INDEX)),
            ]),
        };
        let manifests = index.entry("manifests").or_insert_with(|| json!([]));
        let Value::Array(manifests) = manifests else {
            return Err(self.not_an_index(what));
        };
        let digest = descriptor.get("digest");
        if manifests.iter().any(|one| one.get("digest") == digest) {
            return Ok(None);
        }
        manifests.push(descriptor.clone());
        let bytes = serde_json::to_vec(&index);
        bytes.map(Some).map_err(|error| {
            Error::new(Code::Internal, "cannot write an index of referrers").with_source(error)
        })
    }

    fn not_an_index(&self, what: &str) -> Error {
        self.unsent(
            Code::RegistryRefused,
            what,
            "the tag is not that of an index",
        )
    }

    /// The descriptors of a subject's referrers, from the registry's interface; `None` if it has none.
    ///
    /// # Errors
    /// A page cannot be read.
    pub(crate) fn referrers(&self, subject: &Digest) -> Result<Option<Vec<Value>>> {
        let what = format!("list the referrers of {subject}");
        let mut url = self.url(&format!("referrers/{subject}"));
        let mut all = Vec::new();
        let mut seen = HashSet::new();
        for _ in 0..MAX_PAGES {
            let mut ask = Ask::new(&what, Method::GET, url.clone());
            ask.headers.push(("accept", OCI_INDEX.to_owned()));
            ask.limit = MAX_PAGE;
            let reply = self.ask(&ask)?;
            match reply.status {
                200 => {}
                // Not the interface: distribution 2 has no such address, and others do not allow it.
                404 | 405 | 400 if all.is_empty() => return Ok(None),
                _ => return Err(self.refused(&what, &reply)),
            }
            let page = match reply.is_cut {
                true => None,
                false => parse_index(&reply.body),
            };
            match page.as_ref().and_then(|page| page.get("manifests")) {
                Some(Value::Array(manifests)) => all.extend(manifests.iter().cloned()),
                Some(Value::Null) => {}
                _ => return Err(self.invalid(&what, "it is not an index")),
            }
            let Some(next) = reply.header("link").and_then(next_link) else {
                return Ok(Some(all));
            };
            let next = reply.url.join(next);
            let next = next.filter(|next| self.is_own(next) && seen.insert(next.to_string()));
            url = next
                .ok_or_else(|| self.invalid(&what, "the link to its next page cannot be used"))?;
        }
        Err(self.invalid(&what, "it has too many pages"))
    }
}

/// The fields of an index; `None` for anything else.
fn parse_index(bytes: &[u8]) -> Option<Map<String, Value>> {
    let Ok(Value::Object(fields)) = serde_json::from_slice(bytes) else {
        return None;
    };
    let is_other = |media_type: &Value| media_type.as_str() != Some(OCI_INDEX);
    match fields.get("mediaType").is_some_and(is_other) || fields.contains_key("layers") {
        true => None,
        false => Some(fields),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Algorithm;

    #[test]
    fn fallback_tags_have_at_most_64_characters_of_the_hash() {
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let digest = Digest::of(algorithm, b"");
            let tag = fallback_tag(&digest);
            let hash = &digest.hex()[..64];
            assert_eq!(tag, format!("{}-{hash}", algorithm.name()));
        }
    }
}

//! Manifests and indexes in a registry.

use serde::de::IgnoredAny;
use ureq::http::Method;

use super::Repository;
use super::exchange::Ask;
use super::url::percent_encoded;
use crate::error::{Result, escape};
use crate::image::media_type::MANIFEST_TYPES;
use crate::image::{Algorithm, Digest};

/// The largest manifest that is read, in bytes: the limit that the specification recommends to registries.
const MAX_LEN: u64 = 4 * 1024 * 1024;

/// A manifest or an index that a registry has.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    /// Of its bytes.
    pub(crate) digest: Digest,
    pub(crate) bytes: Vec<u8>,
    /// For a change on the condition that nobody else made one.
    pub(super) etag: Option<String>,
}

/// What has to be under a reference for a change to be made, for registries that have conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition<'a> {
    /// What was read, by the tag of the protocol that it came with.
    Same(&'a str),
    /// Nothing.
    Absent,
}

impl Condition<'_> {
    /// The header that states it.
    fn header(self) -> (&'static str, String) {
        match self {
            Condition::Same(etag) => ("if-match", etag.to_owned()),
            Condition::Absent => ("if-none-match", "*".to_owned()),
        }
    }
}

impl Stored {
    /// Whether it is only the beginning of a document.
    pub(super) fn is_cut_off(&self) -> bool {
        let parsed = serde_json::from_slice::<IgnoredAny>(&self.bytes);
        parsed.is_err_and(|error| error.is_eof())
    }

    /// The condition that this is what is there. A weak tag never matches.
    pub(super) fn condition(&self) -> Option<Condition<'_>> {
        let etag = self.etag.as_deref();
        let strong = etag.filter(|etag| !etag.starts_with("W/"));
        strong.map(Condition::Same)
    }
}

/// What a registry said about a manifest that it took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Put {
    /// Whether it lists the manifest as a referrer of its subject.
    pub(crate) subject: bool,
    /// The digest that it states.
    pub(crate) digest: Option<Digest>,
}

impl Repository<'_> {
    fn ask_manifest<'a>(&self, what: &'a str, method: Method, reference: &str) -> Ask<'a> {
        let url = self.url(&format!("manifests/{}", percent_encoded(reference)));
        let mut ask = Ask::new(what, method, url);
        ask.headers.push(("accept", MANIFEST_TYPES.join(", ")));
        ask
    }

    /// The manifest with this tag or digest, if there is one.
    ///
    /// # Errors
    /// The registry does not say, or its reply is too long or has another digest.
    pub(crate) fn manifest(&self, reference: &str) -> Result<Option<Stored>> {
        let what = format!("read manifest {}", escape(reference));
        let stored = self.read_manifest(&what, reference)?;
        if let (Some(stored), Ok(own)) = (&stored, reference.parse::<Digest>())
            && let Some(found) = other_digest(&own, &stored.bytes)
        {
            return Err(self.lie(&what, &own, &found));
        }
        Ok(stored)
    }

    /// What the registry has under this tag or digest, whatever its digest is.
    fn read_manifest(&self, what: &str, reference: &str) -> Result<Option<Stored>> {
        let mut ask = self.ask_manifest(what, Method::GET, reference);
        ask.limit = MAX_LEN;
        let reply = self.ask(&ask)?;
        match reply.status {
            200 => {}
            404 => return Ok(None),
            _ => return Err(self.refused(what, &reply)),
        }
        if reply.is_cut {
            return Err(self.invalid(what, "it has more than 4 MiB"));
        }
        if let Some(stated) = self.stated_digest(what, &reply)?
            && let Some(found) = other_digest(&stated, &reply.body)
        {
            return Err(self.lie(what, &stated, &found));
        }
        let own = reference.parse::<Digest>().ok();
        let algorithm = own.as_ref().and_then(Digest::algorithm);
        Ok(Some(Stored {
            digest: Digest::of(algorithm.unwrap_or(Algorithm::Sha256), &reply.body),
            etag: reply.header("etag").map(str::to_owned),
            bytes: reply.body,
        }))
    }

    /// The digest of the manifest with this tag or digest, if there is one. It can be another than the reference's: some registries
    /// store what they got of a manifest whose request broke off, with the reference of the request.
    ///
    /// # Errors
    /// The registry does not say.
    pub(crate) fn manifest_digest(&self, reference: &str) -> Result<Option<Digest>> {
        let what = format!("look up manifest {}", escape(reference));
        let reply = self.ask(&self.ask_manifest(&what, Method::HEAD, reference))?;
        match reply.status {
            200 => {
                let stated = self.stated_digest(&what, &reply)?;
                if let Ok(own) = reference.parse::<Digest>() {
                    let other = stated.filter(|stated| stated.contradicts(&own));
                    return Ok(Some(other.unwrap_or(own)));
                }
                match stated {
                    Some(digest) => Ok(Some(digest)),
                    None => self.digest_without_head(reference),
                }
            }
            404 => Ok(None),
            401 => Err(self.refused(&what, &reply)),
            _ => self.digest_without_head(reference),
        }
    }

    /// Makes sure that the registry has this manifest under its digest, after it had another one there.
    ///
    /// # Errors
    /// It still has another one, or none, or does not say.
    pub(crate) fn confirm_manifest(&self, digest: &Digest) -> Result<()> {
        let what = format!("look up manifest {digest}");
        match self.manifest_digest(&digest.to_string())? {
            Some(found) if found == *digest => Ok(()),
            Some(found) => Err(self.lie(&what, digest, &found)),
            None => Err(self.invalid(&what, "it took the manifest, and does not have it")),
        }
    }

    fn digest_without_head(&self, reference: &str) -> Result<Option<Digest>> {
        let what = format!("read manifest {}", escape(reference));
        let stored = self.read_manifest(&what, reference)?;
        Ok(stored.map(|stored| {
            let own = reference.parse::<Digest>().ok();
            let own = own.filter(|own| other_digest(own, &stored.bytes).is_none());
            own.unwrap_or(stored.digest)
        }))
    }

    /// Stores a manifest or an index under a tag or its digest.
    ///
    /// # Errors
    /// The registry does not take it, or states another digest.
    pub(crate) fn put_manifest(
        &self,
        reference: &str,
        media_type: &str,
        bytes: &[u8],
    ) -> Result<Put> {
        let what = format!("store manifest {}", escape(reference));
        let put = self.put_if(&what, reference, media_type, bytes, None)?;
        put.ok_or_else(|| self.invalid(&what, "a condition failed that was not sent"))
    }

    /// The same on a condition; `None` if it does not hold. A registry that refuses conditions is asked without it.
    pub(super) fn put_if(
        &self,
        what: &str,
        reference: &str,
        media_type: &str,
        bytes: &[u8],
        condition: Option<Condition<'_>>,
    ) -> Result<Option<Put>> {
        let url = self.url(&format!("manifests/{}", percent_encoded(reference)));
        let mut ask = Ask::new(what, Method::PUT, url);
        ask.headers.push(("content-type", media_type.to_owned()));
        ask.headers.extend(condition.map(Condition::header));
        ask.body = Some(bytes);
        let reply = self.ask(&ask)?;
        match reply.status {
            200..=202 | 204 => {}
            412 if condition.is_some() => return Ok(None),
            400 | 501 if condition.is_some() => {
                return self.put_if(what, reference, media_type, bytes, None);
            }
            _ => return Err(self.refused(what, &reply)),
        }
        let digest = self.stated_digest(what, &reply)?;
        if let Some(stated) = &digest
            && let Some(own) = other_digest(stated, bytes)
        {
            return Err(self.lie(what, &own, stated));
        }
        Ok(Some(Put {
            subject: reply.headers.contains_key("oci-subject"),
            digest,
        }))
    }
}

/// The digest of these bytes, if it can be computed and is another than this one.
fn other_digest(expected: &Digest, bytes: &[u8]) -> Option<Digest> {
    expected.recompute(bytes).filter(|found| found != expected)
}

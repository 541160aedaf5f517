//! Blobs that a registry has, or can take from another repository.

use ureq::http::Method;

use super::Repository;
use super::exchange::Ask;
use super::http::Reply;
use super::upload::Upload;
use crate::error::{Code, Error, Result};
use crate::image::Digest;

/// What came of a mount.
#[derive(Debug)]
pub(crate) enum Mounted {
    /// The repository has the blob now.
    Yes,
    /// It does not. The registry may have opened an upload instead.
    No(Option<Upload>),
}

impl Repository<'_> {
    /// Whether the repository has a blob.
    ///
    /// # Errors
    /// The registry's reply does not say.
    pub(crate) fn has_blob(&self, digest: &Digest, len: u64) -> Result<bool> {
        let what = format!("look up blob {digest}");
        let url = self.url(&format!("blobs/{digest}"));
        let reply = self.ask(&Ask::new(&what, Method::HEAD, url.clone()))?;
        match reply.status {
            200 => {
                self.check_digest(&what, &reply, digest)?;
                // Some registries state no length, or 0, in replies without a body.
                let stated = reply.header("content-length");
                let stated = stated.and_then(|stated| stated.parse::<u64>().ok());
                Ok(stated.is_none_or(|stated| stated == len || stated == 0))
            }
            404 => Ok(false),
            401 => Err(self.refused(&what, &reply)),
            // The reply to another request has words, and some registries, or hosts that they redirect to, have no HEAD.
            _ => self.has_blob_without_head(&what, Ask::new(&what, Method::GET, url)),
        }
    }

    fn has_blob_without_head(&self, what: &str, mut ask: Ask<'_>) -> Result<bool> {
        ask.headers.push(("range", "bytes=0-0".to_owned()));
        // A registry without ranges starts to send the whole blob, and the connection is dropped.
        ask.limit = super::reply::MAX_ERROR;
        let reply = self.ask(&ask)?;
        match reply.status {
            // No byte of an empty blob can be sent.
            200 | 206 | 416 => Ok(true),
            404 => Ok(false),
            _ => Err(self.refused(what, &reply)),
        }
    }

    /// Takes a blob from another repository of the same registry, where it is known to be.
    ///
    /// # Errors
    /// The connection or the registry failed. A registry that declines to mount the blob is not an error.
    pub(crate) fn mount(&self, digest: &Digest, from: &str) -> Result<Mounted> {
        let what = format!("mount blob {digest} from {from}");
        let url = self.url("blobs/uploads/");
        let url = url.with_parameter("mount", &digest.to_string());
        let mut ask = Ask::new(&what, Method::POST, url.with_parameter("from", from));
        ask.mount_from = Some(from);
        let reply = match self.ask(&ask) {
            Ok(reply) => reply,
            // The token server refuses a token for the other repository.
            Err(error) if error.code() == Code::RegistryUnauthorized => {
                return Ok(Mounted::No(None));
            }
            Err(error) => return Err(error),
        };
        match reply.status {
            201 => {
                self.check_digest(&what, &reply, digest)?;
                Ok(Mounted::Yes)
            }
            202 => Ok(Mounted::No(Upload::opened(&reply).ok())),
            400..=499 => Ok(Mounted::No(None)),
            _ => Err(self.refused(&what, &reply)),
        }
    }

    /// Refuses a reply that states another digest by the same algorithm.
    pub(super) fn check_digest(&self, what: &str, reply: &Reply, expected: &Digest) -> Result<()> {
        let stated = self.stated_digest(what, reply)?;
        match stated.filter(|stated| stated.contradicts(expected)) {
            Some(stated) => Err(self.lie(what, expected, &stated)),
            None => Ok(()),
        }
    }

    /// The digest that a reply states.
    pub(super) fn stated_digest(&self, what: &str, reply: &Reply) -> Result<Option<Digest>> {
        let Some(text) = reply.header("docker-content-digest") else {
            return Ok(None);
        };
        match Digest::stated(text.trim()) {
            Ok(digest) => Ok(Some(digest)),
            Err(_) => Err(self.invalid(what, "it states an invalid digest")),
        }
    }

    /// The error of a reply with another digest than the content has.
    pub(super) fn lie(&self, what: &str, expected: &Digest, found: &Digest) -> Error {
        self.invalid(what, &format!("expected digest {expected}, found {found}"))
            .with_expected(expected)
            .with_found(found)
    }
}

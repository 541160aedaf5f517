//! Uploads of blobs: one request if all goes well, and the rest from where the registry is after a failure.

mod source;
mod way;

use std::io::Read;
use std::time::Duration;

use ureq::http::Method;

use self::source::{Hashed, Source};
use self::way::Way;
use super::Repository;
use super::broken::Broken;
use super::exchange::{Ask, Unusable, following, redirect};
use super::http::{Exchange, Payload, Reply};
use super::reply::range;
use super::retry::{Attempts, is_transient, may_pass, requested_wait};
use super::url::Url;
use crate::error::{Error, Result};
use crate::image::Digest;
use crate::image::media_type::OCTET_STREAM;

/// How many bytes a second a registry may need to store a blob before it replies.
const SLOWEST: u64 = 4 * 1024 * 1024;

/// What a reply does that states where an upload goes on, after "it".
const MOVES: &str = "moves the upload";

/// An upload that a registry has opened.
#[derive(Clone, Debug)]
pub(crate) struct Upload {
    location: Url,
    /// How many bytes the registry has.
    offset: u64,
    /// The fewest bytes of a chunk that is not the last.
    chunk_min: u64,
}

impl Upload {
    /// The upload that a reply opens.
    pub(super) fn opened(reply: &Reply) -> Result<Self, Unusable> {
        Ok(Upload {
            location: location(reply).unwrap_or(Err(Unusable::Absent))?,
            offset: 0,
            chunk_min: chunk_min(reply),
        })
    }
}

/// Where a reply says that an upload goes on, if it says so.
fn location(reply: &Reply) -> Option<Result<Url, Unusable>> {
    let stated = reply.header("location")?;
    Some(following(&reply.url, stated))
}

fn chunk_min(reply: &Reply) -> u64 {
    let stated = reply.header("oci-chunk-min-length");
    stated
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(0)
}

/// A blob, and who wants to know about it.
struct Blob<'a> {
    digest: &'a Digest,
    len: u64,
    /// A reader of its bytes from an offset.
    open: &'a dyn Fn(u64) -> Result<Box<dyn Read + Send>>,
    sent: &'a dyn Fn(u64),
    stop: &'a dyn Fn() -> bool,
}

/// What came of a request of an upload.
enum Step {
    Done,
    /// The registry has more, and the upload goes on there.
    Advanced(Upload),
    /// The registry has to be asked what it has.
    Failed(Failure),
}

enum Failure {
    Reply(Reply),
    Broken(Broken),
}

impl Repository<'_> {
    /// Sends a blob, which is verified on the way: the last bytes are not sent if the digest is another one.
    ///
    /// `open` returns a reader of the blob from an offset; it is called again after a failure. `sent` is told how many
    /// bytes more have been sent, each once. `stop` ends the upload with an error. `opened` is an upload that the
    /// registry has opened instead of a mount.
    ///
    /// # Errors
    /// The blob cannot be read or is not the right one, or the registry did not take it. The upload is canceled.
    pub(crate) fn upload_into(
        &self,
        opened: Option<Upload>,
        digest: &Digest,
        len: u64,
        open: &dyn Fn(u64) -> Result<Box<dyn Read + Send>>,
        sent: &dyn Fn(u64),
        stop: &dyn Fn() -> bool,
    ) -> Result<()> {
        let stop = || stop() || (self.stop)();
        let blob = Blob {
            digest,
            len,
            open,
            sent,
            stop: &stop,
        };
        let what = format!("upload blob {digest}");
        let mut current = opened;
        let result = self.send_blob(&what, &blob, &mut current);
        if let (Err(_), Some(upload)) = (&result, &current) {
            self.cancel(upload);
        }
        result
    }

    /// Sends a blob; `current` is the upload that is open at the end.
    fn send_blob(&self, what: &str, blob: &Blob<'_>, current: &mut Option<Upload>) -> Result<()> {
        let mut attempts = self.attempts();
        // The most that the registry had, and that was reported.
        let (mut best, mut reported) = (0, 0);
        let mut way = Way::FIRST;
        let mut hashed = None;
        loop {
            if (blob.stop)() {
                return Err(Error::interrupted());
            }
            let upload = match current {
                Some(upload) => upload.clone(),
                None => current.insert(self.open_upload(what)?).clone(),
            };
            if upload.offset > best {
                best = upload.offset;
                attempts.reset();
            }
            let failure = match self.step(what, blob, &upload, way, &mut reported, &mut hashed)? {
                Step::Done => return Ok(()),
                Step::Advanced(next) => {
                    *current = Some(next);
                    continue;
                }
                Step::Failed(failure) => failure,
            };
            let status = match &failure {
                Failure::Reply(reply) => reply.status,
                Failure::Broken(_) => {
                    way.broke(&upload);
                    0
                }
            };
            let changes = way.change(status, &upload);
            // The bytes are verified, so the registry lost or mixed up what it had, or does not continue it.
            let is_mixed = upload.offset > 0 && (status == 400 || changes && status != 413);
            if !changes {
                self.pause_after(what, failure, is_mixed, &mut attempts)?;
            }
            let next = match is_mixed {
                true => None,
                false => self.state(what, &upload, blob.len)?,
            };
            // What it says that it has, it refuses to continue.
            let is_stuck = |next: &Upload| status == 416 && next.offset == upload.offset;
            let next = next.filter(|next| !is_stuck(next));
            if next.is_none() && upload.offset > 0 {
                self.cancel(&upload);
            }
            match next {
                Some(next) => *current = Some(next),
                None => {
                    // The reply to the last request may have been lost.
                    if current.take().is_some() && self.has_blob(blob.digest, blob.len)? {
                        (blob.sent)(blob.len - reported);
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Waits after a failure that may be a passing one.
    fn pause_after(
        &self,
        what: &str,
        failure: Failure,
        is_mixed: bool,
        attempts: &mut Attempts,
    ) -> Result<()> {
        let (may_pass, requested) = match &failure {
            // Of an upload that is gone, or has other bytes than this one thinks; a new token is there after 401.
            Failure::Reply(reply) => (
                is_mixed || is_transient(reply.status) || matches!(reply.status, 401 | 404 | 416),
                requested_wait(reply),
            ),
            Failure::Broken(broken) => (may_pass(broken.kind), None),
        };
        match may_pass.then(|| attempts.next(requested)).flatten() {
            Some(pause) => self.pause(pause),
            None => Err(match &failure {
                Failure::Reply(reply) => self.refused(what, reply),
                Failure::Broken(broken) => self.broken(what, broken),
            }),
        }
    }

    fn open_upload(&self, what: &str) -> Result<Upload> {
        let reply = self.ask(&Ask::new(what, Method::POST, self.url("blobs/uploads/")))?;
        if reply.status != 202 {
            return Err(self.refused(what, &reply));
        }
        Upload::opened(&reply).map_err(|unusable| self.unusable(what, MOVES, unusable))
    }

    /// Sends the next request of an upload: all of the blob, the next chunk, or the end.
    fn step(
        &self,
        what: &str,
        blob: &Blob<'_>,
        upload: &Upload,
        way: Way,
        reported: &mut u64,
        hashed: &mut Option<Hashed>,
    ) -> Result<Step> {
        let left = blob.len - upload.offset;
        let is_chunk = (upload.offset > 0 || way.in_chunks) && left > 0;
        let len = match is_chunk {
            true => left.min(way.chunk_len.max(upload.chunk_min)),
            false => left,
        };
        let (method, mut url) = match is_chunk {
            true => (Method::PATCH, upload.location.clone()),
            false => (
                Method::PUT,
                upload
                    .location
                    .with_parameter("digest", &blob.digest.to_string()),
            ),
        };
        let mut headers = vec![("content-type", OCTET_STREAM.to_owned())];
        if is_chunk {
            let end = upload.offset + len - 1;
            headers.push(("content-range", format!("{}-{end}", upload.offset)));
        }
        let patience = Duration::from_secs(blob.len / SLOWEST);
        let mut redirects = 0;
        let reply = loop {
            let mut source = Source::new(blob, upload.offset, len, *reported, hashed.take())?;
            let payload = match len {
                0 => Payload::None,
                _ => Payload::Stream(&mut source, len),
            };
            let sent = self.stream(&method, &url, &headers, payload, patience)?;
            let (end, known, error) = source.finish();
            *reported = end.max(*reported);
            *hashed = known;
            if let Some(error) = error {
                return Err(error);
            }
            let reply = match sent {
                Ok(reply) => reply,
                Err(broken) => return Ok(Step::Failed(Failure::Broken(broken))),
            };
            match redirect(&method, &reply) {
                Some(location) => {
                    redirects += 1;
                    url = self.redirected(what, &url, location, redirects)?;
                }
                None => break reply,
            }
        };
        match (is_chunk, reply.status) {
            (false, 201 | 200 | 204) => {
                self.check_digest(what, &reply, blob.digest)?;
                Ok(Step::Done)
            }
            (true, 202 | 201 | 204) => {
                let next = self.advanced(what, &reply, upload, upload.offset + len, blob.len)?;
                next.map(Step::Advanced)
                    .ok_or_else(|| self.invalid(what, "it states a range that was not sent"))
            }
            _ => Ok(Step::Failed(Failure::Reply(reply))),
        }
    }

    /// The upload after a chunk up to `end`; `None` if the reply states other bytes than were sent.
    fn advanced(
        &self,
        what: &str,
        reply: &Reply,
        upload: &Upload,
        end: u64,
        len: u64,
    ) -> Result<Option<Upload>> {
        let offset = match reply.header("range") {
            Some(stated) => range(stated)
                .filter(|range| *range.start() == 0)
                .and_then(|range| range.end().checked_add(1)),
            None => Some(end),
        };
        // Without progress, it would never end.
        let is_progress = |offset: &u64| *offset > upload.offset && *offset <= len.min(end);
        let Some(offset) = offset.filter(is_progress) else {
            return Ok(None);
        };
        self.continued(what, reply, upload, offset).map(Some)
    }

    /// The upload from this offset on, where the reply says that it goes on.
    fn continued(&self, what: &str, reply: &Reply, upload: &Upload, offset: u64) -> Result<Upload> {
        let location = location(reply).unwrap_or_else(|| Ok(upload.location.clone()));
        Ok(Upload {
            location: location.map_err(|unusable| self.unusable(what, MOVES, unusable))?,
            offset,
            chunk_min: upload.chunk_min.max(chunk_min(reply)),
        })
    }

    /// What the registry has of an upload; `None` if it has nothing that the upload could go on from. It is canceled
    /// then.
    fn state(&self, what: &str, upload: &Upload, len: u64) -> Result<Option<Upload>> {
        let reply = self.ask(&Ask::new(what, Method::GET, upload.location.clone()))?;
        if !matches!(reply.status, 200 | 202 | 204) {
            // It may be there although its state cannot be asked for.
            if reply.status != 404 {
                self.cancel(upload);
            }
            return Ok(None);
        }
        let stated = reply.header("range").and_then(range);
        // `0-0` is an empty upload to some registries and one byte to others.
        let end = stated
            .filter(|range| *range.start() == 0)
            .map_or(0, |range| *range.end());
        if end == 0 || end >= len {
            self.cancel(upload);
            return Ok(None);
        }
        self.continued(what, &reply, upload, end + 1).map(Some)
    }

    /// Tells the registry that nothing more comes. It would find out by itself, after days.
    pub(crate) fn cancel(&self, upload: &Upload) {
        let Ok(authorization) = self.authorization(&upload.location, None) else {
            return;
        };
        let exchange = Exchange {
            method: &Method::DELETE,
            url: &upload.location,
            headers: &[],
            authorization: authorization.as_ref(),
            limit: 0,
            patience: Duration::ZERO,
            // A registry that fails must not hold up the error.
            at_most: Some(self.client.options.limits.cancel),
        };
        drop(self.client.http.send(&exchange, Payload::None));
    }
}

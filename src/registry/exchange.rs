//! Requests with everything that leads to the reply that counts: authorization, redirects and repetitions.

use std::time::Duration;

use ureq::http::Method;

use super::Repository;
use super::broken::Broken;
use super::http::{Exchange, Payload, Reply};
use super::options::Secret;
use super::retry::{Attempts, is_transient, may_pass, requested_wait, wait};
use super::url::{Url, percent_encoded};
use crate::error::{Code, Error, RegistryHint, Result};

/// How many redirects are followed for one request.
const MAX_REDIRECTS: usize = 5;

/// Why a request cannot follow an address in a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unusable {
    /// There is none.
    Absent,
    /// It is not an address that may be asked.
    Invalid,
    /// It leads from TLS to plain HTTP.
    PlainHttp,
}

/// The address that `location` is in a reply from another one. Nothing that came over TLS goes on without it.
pub(super) fn following(from: &Url, location: &str) -> Result<Url, Unusable> {
    let to = from.join(location).ok_or(Unusable::Invalid)?;
    match from.is_https() && !to.is_https() {
        true => Err(Unusable::PlainHttp),
        false => Ok(to),
    }
}

/// A request whose body is in memory, so that it can be repeated.
pub(super) struct Ask<'a> {
    /// What it is for, after "cannot".
    pub(super) what: &'a str,
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Option<&'a [u8]>,
    /// How many bytes of the reply's body are read.
    pub(super) limit: u64,
    /// The other repository that this request reads from.
    pub(super) mount_from: Option<&'a str>,
}

impl<'a> Ask<'a> {
    pub(super) fn new(what: &'a str, method: Method, url: Url) -> Self {
        Ask {
            what,
            method,
            url,
            headers: Vec::new(),
            body: None,
            limit: super::reply::MAX_ERROR,
            mount_from: None,
        }
    }
}

impl Repository<'_> {
    /// The address of something in this repository: `/v2/NAME/PLACE`.
    pub(super) fn url(&self, place: &str) -> Url {
        let base = &self.client.host.base;
        base.with_path(&format!("/v2/{}/{place}", percent_encoded(&self.name)))
    }

    pub(super) fn attempts(&self) -> Attempts {
        let options = &self.client.options;
        Attempts::new(options.retries, options.limits)
    }

    /// Waits before a repetition.
    pub(super) fn pause(&self, duration: Duration) -> Result<()> {
        match wait(duration, self.stop) {
            true => Ok(()),
            false => Err(Error::interrupted()),
        }
    }

    /// The reply to a request, whatever its status. It is repeated while the status or the failure may be a passing
    /// one.
    ///
    /// # Errors
    /// The registry does not reply, or the request cannot be authorized.
    pub(super) fn ask(&self, ask: &Ask<'_>) -> Result<Reply> {
        self.repeated(ask.what, || self.once(ask))
    }

    /// The reply of a request that may be sent several times.
    pub(super) fn repeated(
        &self,
        what: &str,
        mut once: impl FnMut() -> Result<Result<Reply, Broken>>,
    ) -> Result<Reply> {
        let mut attempts = self.attempts();
        loop {
            if (self.stop)() {
                return Err(Error::interrupted());
            }
            let pause = match once()? {
                Ok(reply) if is_transient(reply.status) => {
                    let Some(pause) = attempts.next(requested_wait(&reply)) else {
                        return Ok(reply);
                    };
                    pause
                }
                Ok(reply) => return Ok(reply),
                Err(broken) => {
                    let next = may_pass(broken.kind).then(|| attempts.next(None)).flatten();
                    let Some(pause) = next else {
                        return Err(self.broken(what, &broken));
                    };
                    pause
                }
            };
            self.pause(pause)?;
        }
    }

    fn once(&self, ask: &Ask<'_>) -> Result<Result<Reply, Broken>> {
        let mut url = ask.url.clone();
        let mut authorization = self.authorization(&url, ask.mount_from)?;
        let mut is_renewed = false;
        let mut redirects = 0;
        loop {
            let payload = ask.body.map_or(Payload::None, Payload::Bytes);
            let exchange = Exchange {
                method: &ask.method,
                url: &url,
                headers: &ask.headers,
                authorization: authorization.as_ref(),
                limit: ask.limit,
                patience: Duration::ZERO,
                at_most: None,
            };
            let reply = match self.client.http.send(&exchange, payload)? {
                Ok(reply) => reply,
                Err(broken) => return Ok(Err(broken)),
            };
            if reply.status == 401 && self.is_own(&url) && !is_renewed {
                is_renewed = true;
                let renewed = self.reauthorize(&reply, authorization.as_ref(), ask.mount_from)?;
                if renewed.is_some() {
                    authorization = renewed;
                    continue;
                }
            }
            match redirect(&ask.method, &reply) {
                Some(location) => {
                    redirects += 1;
                    url = self.redirected(ask.what, &url, location, redirects)?;
                    authorization = self.authorization(&url, ask.mount_from)?;
                }
                None => return Ok(Ok(reply)),
            }
        }
    }

    /// Whether an address is the registry's own, which gets credentials.
    pub(super) fn is_own(&self, url: &Url) -> bool {
        url.is_same_origin(&self.client.host.base)
    }

    /// Where a redirect leads. Nothing is sent there that is secret, and never without TLS what came with it.
    pub(super) fn redirected(
        &self,
        what: &str,
        from: &Url,
        location: &str,
        count: usize,
    ) -> Result<Url> {
        if count > MAX_REDIRECTS {
            return Err(self.invalid(what, "it redirects too often"));
        }
        following(from, location).map_err(|unusable| self.unusable(what, "redirects", unusable))
    }

    /// The value of `Authorization` for a request to this address; `None` for another host, and as long as the registry
    /// has not asked for it.
    pub(super) fn authorization(
        &self,
        url: &Url,
        mount_from: Option<&str>,
    ) -> Result<Option<Secret>> {
        match self.is_own(url) {
            true => self.known_authorization(mount_from),
            false => Ok(None),
        }
    }

    /// A request of an upload, whose body cannot be repeated.
    pub(super) fn stream(
        &self,
        method: &Method,
        url: &Url,
        headers: &[(&'static str, String)],
        payload: Payload<'_>,
        patience: Duration,
    ) -> Result<Result<Reply, Broken>> {
        let authorization = self.authorization(url, None)?;
        let sent = self.client.http.send(
            &Exchange {
                method,
                url,
                headers,
                authorization: authorization.as_ref(),
                limit: super::reply::MAX_ERROR,
                patience,
                at_most: None,
            },
            payload,
        )?;
        if let Ok(reply) = &sent
            && reply.status == 401
            && self.is_own(url)
        {
            let renewed = self.reauthorize(reply, authorization.as_ref(), None)?;
            if renewed.is_none() {
                return Err(self.refused("upload a blob", reply));
            }
        }
        Ok(sent)
    }

    /// The error of a request that cannot be sent without exposing a secret.
    pub(super) fn exposed(&self, reason: &str) -> Error {
        let hint = match self.client.host.base.is_https() {
            true => RegistryHint::ForwardHttps,
            false => RegistryHint::UseHttps,
        };
        self.unsent(Code::RegistryUnauthorized, "send credentials", reason)
            .with_hint(hint)
    }
}

/// Where a reply sends a request that can be sent again as it is.
pub(super) fn redirect<'a>(method: &Method, reply: &'a Reply) -> Option<&'a str> {
    let is_redirect = match reply.status {
        307 | 308 => true,
        301..=303 => *method == Method::GET || *method == Method::HEAD,
        _ => false,
    };
    is_redirect.then(|| reply.header("location")).flatten()
}

//! Errors that say which registry, which repository, what was asked, what came back and what to do next.

use super::Repository;
use super::broken::{Broken, BrokenKind};
use super::exchange::Unusable;
use super::http::Reply;
use super::reply::{error_words, expects_tls};
use crate::error::{Code, Error, RegistryHint};

impl Repository<'_> {
    /// `cannot WHAT in HOST/NAME`.
    fn message(&self, what: &str) -> String {
        format!("cannot {what} in {}/{}", self.client.host.name, self.name)
    }

    /// The error of a reply with a status that is not one of those expected.
    pub(super) fn refused(&self, what: &str, reply: &Reply) -> Error {
        let mut message = format!("{}: {}", self.message(what), status_text(reply));
        if let Some(words) = error_words(&reply.body) {
            message = format!("{message}: {words}");
        }
        let host = self.client.host.name.clone();
        let (code, hint) = match reply.status {
            401 => (Code::RegistryUnauthorized, Some(RegistryHint::LogIn(host))),
            403 => (
                Code::RegistryDenied,
                Some(RegistryHint::LogInWithRights(host)),
            ),
            404 => (Code::RegistryNotFound, Some(RegistryHint::CreateRepository)),
            408 | 425 | 429 | 500 | 502 | 503 | 504 => {
                (Code::RegistryBusy, Some(RegistryHint::PushLater))
            }
            status if expects_tls(status, &String::from_utf8_lossy(&reply.body)) => {
                (Code::RegistryRefused, Some(RegistryHint::UseHttps))
            }
            _ => (Code::RegistryRefused, None),
        };
        let error = Error::new(code, message).with_found(reply.status);
        match hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }

    /// The error of a request without a reply.
    pub(super) fn broken(&self, what: &str, broken: &Broken) -> Error {
        let message = format!("{}: {}", self.message(what), broken.text);
        let host = self.client.host.name.clone();
        let (code, hint) = match broken.kind {
            BrokenKind::Unreachable | BrokenKind::NoHost => {
                (Code::RegistryUnreachable, self.check_host())
            }
            BrokenKind::Proxy => (Code::RegistryUnreachable, RegistryHint::CheckProxy),
            BrokenKind::Connection => (Code::RegistryUnreachable, RegistryHint::PushLater),
            BrokenKind::Untrusted => (
                Code::RegistryUntrusted,
                RegistryHint::TrustCertificate(host),
            ),
            BrokenKind::NotTls => (Code::RegistryUntrusted, RegistryHint::UsePlainHttp(host)),
            BrokenKind::NotHttp => (Code::RegistryReply, self.check_host()),
        };
        Error::new(code, message).with_hint(hint)
    }

    /// The error of a reply that contradicts the protocol, for this reason.
    pub(super) fn invalid(&self, what: &str, reason: &str) -> Error {
        let message = format!(
            "{}: the registry's reply is not valid: {reason}",
            self.message(what)
        );
        Error::new(Code::RegistryReply, message).with_hint(self.check_host())
    }

    /// The error of a reply that sends the request or the upload to an address that must not be followed.
    pub(super) fn unusable(&self, what: &str, does: &str, unusable: Unusable) -> Error {
        match unusable {
            Unusable::Absent => self.invalid(what, "it does not say where to upload"),
            Unusable::Invalid => self.invalid(
                what,
                &format!("it {does} to an address that cannot be used"),
            ),
            Unusable::PlainHttp => self
                .invalid(what, &format!("it {does} from HTTPS to plain HTTP"))
                .with_hint(RegistryHint::ForwardHttps),
        }
    }

    fn check_host(&self) -> RegistryHint {
        RegistryHint::CheckRegistryHost {
            host: self.client.host.name.clone(),
            url: self.client.host.base.to_string(),
        }
    }

    /// The error of a request that was not sent, for this reason.
    pub(super) fn unsent(&self, code: Code, what: &str, reason: &str) -> Error {
        Error::new(code, format!("{}: {reason}", self.message(what)))
    }
}

/// `403 Forbidden`, and which host said so if it is not the registry.
fn status_text(reply: &Reply) -> String {
    let status = ureq::http::StatusCode::from_u16(reply.status).ok();
    match status.and_then(|status| status.canonical_reason()) {
        Some(reason) => format!("{} {reason}", reply.status),
        None => reply.status.to_string(),
    }
}

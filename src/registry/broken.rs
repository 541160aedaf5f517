//! Requests that got no reply.

use std::error::Error as StdError;
use std::io;

use ureq::Timeout;

/// Why a request got no reply.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) kind: BrokenKind,
    /// What went wrong, without addresses: those of redirects may be secret.
    pub(super) text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BrokenKind {
    /// Nothing listens there, or its address cannot be looked up now.
    Unreachable,
    /// The host has no address.
    NoHost,
    /// The proxy does not connect to it.
    Proxy,
    /// The connection broke, or was silent for too long.
    Connection,
    /// The certificate is not trusted.
    Untrusted,
    /// The other side does not speak TLS.
    NotTls,
    /// What came back is not HTTP, or is too long.
    NotHttp,
}

/// The failure of a request.
pub(super) fn broken(error: ureq::Error) -> Broken {
    let (kind, text) = match error {
        ureq::Error::Io(error) => return broken_io(error),
        ureq::Error::Rustls(error) => return broken_tls(&error),
        ureq::Error::Timeout(Timeout::Connect | Timeout::Resolve) => (
            BrokenKind::Unreachable,
            "no connection within the time limit".to_owned(),
        ),
        ureq::Error::Timeout(_) => (
            BrokenKind::Connection,
            "nothing was received or sent within the time limit".to_owned(),
        ),
        ureq::Error::HostNotFound => (BrokenKind::NoHost, "the host has no address".to_owned()),
        ureq::Error::ConnectionFailed => (BrokenKind::Unreachable, "no connection".to_owned()),
        ureq::Error::ConnectProxyFailed(reason) => return broken_proxy(&reason),
        ureq::Error::Tls(text) => (BrokenKind::NotTls, text.to_owned()),
        // These have no address in them.
        ureq::Error::Protocol(error) => (BrokenKind::NotHttp, error.to_string()),
        ureq::Error::LargeResponseHeader(..) => (
            BrokenKind::NotHttp,
            "the headers of the reply are too long".to_owned(),
        ),
        _ => (
            BrokenKind::NotHttp,
            "the reply is not valid HTTP".to_owned(),
        ),
    };
    Broken { kind, text }
}

/// The failure of reading or writing.
pub(super) fn broken_io(error: io::Error) -> Broken {
    // TLS and time limits are inside errors of reads and writes.
    let inner = error.get_ref();
    if let Some(error) = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return broken_tls(error);
    }
    let is_limit =
        inner.is_some_and(|inner| matches!(inner.downcast_ref(), Some(ureq::Error::Timeout(_))));
    if is_limit {
        return broken(ureq::Error::Timeout(Timeout::PerCall));
    }
    let text = error.to_string();
    let kind = match error.kind() {
        _ if text.starts_with(LOOKUP) => match PASSING.iter().any(|words| text.contains(words)) {
            true => BrokenKind::Unreachable,
            false => BrokenKind::NoHost,
        },
        io::ErrorKind::ConnectionRefused
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable => BrokenKind::Unreachable,
        _ => BrokenKind::Connection,
    };
    Broken { kind, text }
}

/// How the standard library begins the error of a host without an address, and how glibc and musl end it if that may
/// pass. Neither has an error kind of its own.
const LOOKUP: &str = "failed to lookup address information";
const PASSING: [&str; 2] = ["Temporary failure", "Try again"];

/// The failure that ureq words as `proxy server responded 403/403`.
fn broken_proxy(reason: &str) -> Broken {
    let status = reason.rsplit('/').next().unwrap_or_default();
    let status = status.parse().ok().map(ureq::http::StatusCode::from_u16);
    match status {
        Some(Ok(status)) => Broken {
            // It says no, or it does not reach the host now.
            kind: match status.is_client_error() {
                true => BrokenKind::Proxy,
                false => BrokenKind::Unreachable,
            },
            text: format!("the proxy did not connect to it: {status}"),
        },
        _ => Broken {
            kind: BrokenKind::Unreachable,
            text: "the proxy did not reply".to_owned(),
        },
    }
}

fn broken_tls(error: &rustls::Error) -> Broken {
    let kind = match error {
        rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented => {
            BrokenKind::Untrusted
        }
        rustls::Error::InvalidMessage(_) => BrokenKind::NotTls,
        _ => BrokenKind::Connection,
    };
    // The words of the library; its causes are in them.
    let text = match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    Broken { kind, text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_without_an_address_is_told_from_a_failed_lookup() {
        for (text, expected) in [
            ("Name or service not known", BrokenKind::NoHost),
            ("No address associated with hostname", BrokenKind::NoHost),
            ("Name does not resolve", BrokenKind::NoHost),
            (
                "Temporary failure in name resolution",
                BrokenKind::Unreachable,
            ),
            ("Try again", BrokenKind::Unreachable),
        ] {
            let error = io::Error::other(format!("failed to lookup address information: {text}"));
            assert_eq!(broken_io(error).kind, expected, "{text}");
        }
        let reset = io::Error::from(io::ErrorKind::ConnectionReset);
        assert_eq!(broken_io(reset).kind, BrokenKind::Connection);
    }

    #[test]
    fn a_proxy_that_refuses_is_told_from_one_that_fails() {
        for (reason, kind, text) in [
            (
                "proxy server responded 407/407",
                BrokenKind::Proxy,
                "the proxy did not connect to it: 407 Proxy Authentication Required",
            ),
            (
                "proxy server responded 503/503",
                BrokenKind::Unreachable,
                "the proxy did not connect to it: 503 Service Unavailable",
            ),
            (
                "proxy server did not respond",
                BrokenKind::Unreachable,
                "the proxy did not reply",
            ),
        ] {
            let broken = broken_proxy(reason);
            assert_eq!((broken.kind, broken.text.as_str()), (kind, text));
        }
    }
}

//! One request on one connection, with limits for every step.

use std::error::Error as StdError;
use std::io::{self, Read};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ureq::http::{HeaderMap, Method, Request};
use ureq::{Agent, Body, SendBody, Timeout};

use super::host::{Host, is_local};
use super::options::{RegistryOptions, Secret, TimeLimits};
use super::proxy;
use super::tls;
use super::url::Url;
use crate::error::Result;

/// The longest headers of a reply, in bytes.
const MAX_HEADERS: usize = 64 * 1024;

/// A registry hears before the body of a longer request whether it takes it.
const MAX_UNASKED: u64 = 1024 * 1024;

/// Connections to a registry and to the hosts that it leads to.
#[derive(Debug)]
pub(super) struct Http {
    options: RegistryOptions,
    base: Url,
    /// With the certificates of this registry.
    own: Agent,
    /// For other hosts, which never get its client certificate. Made when first needed.
    others: Mutex<Option<Agent>>,
}

/// One request.
pub(super) struct Exchange<'a> {
    pub(super) method: &'a Method,
    pub(super) url: &'a Url,
    pub(super) headers: &'a [(&'static str, String)],
    /// The value of `Authorization`.
    pub(super) authorization: Option<&'a Secret>,
    /// How many bytes of the reply's body are read. With 0, the connection is dropped instead.
    pub(super) limit: u64,
    /// How much longer than usual the reply may take.
    pub(super) patience: Duration,
}

/// The body of a request.
pub(super) enum Payload<'a> {
    None,
    Bytes(&'a [u8]),
    Stream(&'a mut dyn Read, u64),
}

/// What came back.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    /// Whether the body is longer than was read.
    pub(super) is_cut: bool,
    /// Where it came from, after redirects.
    pub(super) url: Url,
}

impl Reply {
    /// The value of a header, if it is text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// Why a request got no reply.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) kind: BrokenKind,
    /// What went wrong, without addresses: those of redirects may be secret.
    pub(super) text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BrokenKind {
    /// The host has no address, or nothing listens there.
    Unreachable,
    /// The connection broke, or was silent for too long.
    Connection,
    /// The certificate is not trusted.
    Untrusted,
    /// The other side does not speak TLS.
    NotTls,
    /// What came back is not HTTP, or is too long.
    NotHttp,
}

impl Http {
    pub(super) fn new(host: &Host, options: &RegistryOptions) -> Result<Self> {
        let own = agent(options, &host.base, Some(&host.name))?;
        Ok(Http {
            options: options.clone(),
            base: host.base.clone(),
            own,
            others: Mutex::default(),
        })
    }

    /// Sends a request and reads the reply.
    ///
    /// # Errors
    /// The outer one: certificates cannot be read. The inner one: no complete reply came.
    pub(super) fn send(
        &self,
        exchange: &Exchange<'_>,
        payload: Payload<'_>,
    ) -> Result<Result<Reply, Broken>> {
        let agent = self.agent(exchange.url)?;
        Ok(send(&agent, &self.options.limits, exchange, payload))
    }

    fn agent(&self, url: &Url) -> Result<Agent> {
        if url.is_same_origin(&self.base) {
            return Ok(self.own.clone());
        }
        // Plain HTTP needs no certificates, and a proxy is chosen for each scheme.
        if !url.is_https() {
            return agent(&self.options, url, None);
        }
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(agent) = &*others {
            return Ok(agent.clone());
        }
        let agent = agent(&self.options, url, None)?;
        *others = Some(agent.clone());
        Ok(agent)
    }
}

/// Connections to hosts like that of `url`; with the certificates of a registry, if it is given.
fn agent(options: &RegistryOptions, url: &Url, registry: Option<&str>) -> Result<Agent> {
    let limits = &options.limits;
    let mut config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .user_agent(&options.user_agent)
        .accept("*/*")
        .timeout_connect(Some(limits.connect))
        .timeout_resolve(Some(limits.connect))
        .timeout_per_read(Some(limits.stall))
        .timeout_per_write(Some(limits.stall))
        .max_response_header_size(MAX_HEADERS)
        .max_idle_connections_per_host(8)
        .proxy(match is_local(url.host()) {
            true => None,
            false => proxy::from_environment(url.is_https()),
        });
    if url.is_https() {
        config = config.tls_config(tls::config(options, registry)?);
    }
    Ok(config.build().new_agent())
}

fn send(
    agent: &Agent,
    limits: &TimeLimits,
    exchange: &Exchange<'_>,
    payload: Payload<'_>,
) -> Result<Reply, Broken> {
    let url = exchange.url.clone();
    let until_reply = limits.reply + exchange.patience;
    let mut request = Request::builder()
        .method(exchange.method)
        .uri(url.to_string());
    for (name, value) in exchange.headers {
        request = request.header(*name, value);
    }
    if let Some(authorization) = exchange.authorization {
        request = request.header("authorization", authorization.reveal());
    }
    let mut bytes: &[u8] = &[];
    let has_body = ["POST", "PUT", "PATCH"].contains(&exchange.method.as_str());
    let body: Option<(&mut dyn Read, u64)> = match payload {
        Payload::None => has_body.then_some((&mut bytes, 0)),
        Payload::Bytes(all) => {
            bytes = all;
            Some((&mut bytes, all.len() as u64))
        }
        Payload::Stream(reader, len) => Some((reader, len)),
    };
    let len = body.as_ref().map(|(_, len)| *len);
    if let Some(len) = len {
        request = request.header("content-length", len);
    }
    if len.is_some_and(|len| len > MAX_UNASKED) {
        request = request.header("expect", "100-continue");
    }
    let empty: &'static [u8] = &[];
    let request = request.body(empty);
    let request = request.map_err(|error| broken(error.into()))?;
    let request = agent
        .configure_request(request)
        .timeout_send_request(Some(limits.reply))
        .timeout_recv_response(Some(until_reply))
        .timeout_per_read(Some(limits.stall + exchange.patience))
        .timeout_recv_body(Some(limits.reply))
        .build();
    // Only a body that lives as long as the program can be configured.
    let parts = request.into_parts().0;
    let reply = match body {
        Some((reader, _)) => agent.run(Request::from_parts(parts, SendBody::from_reader(reader))),
        None => agent.run(Request::from_parts(parts, SendBody::none())),
    };
    let (parts, mut body) = reply.map_err(broken)?.into_parts();
    let (body, is_cut) = read(&mut body, exchange.limit).map_err(broken_io)?;
    Ok(Reply {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body,
        is_cut,
        url,
    })
}

/// The first `limit` bytes of a body, and whether there are more.
fn read(body: &mut Body, limit: u64) -> io::Result<(Vec<u8>, bool)> {
    let mut bytes = Vec::new();
    if limit > 0 {
        body.as_reader().take(limit + 1).read_to_end(&mut bytes)?;
    }
    let is_cut = bytes.len() as u64 > limit;
    bytes.truncate(limit as usize);
    Ok((bytes, is_cut))
}

fn broken(error: ureq::Error) -> Broken {
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
        ureq::Error::HostNotFound => (
            BrokenKind::Unreachable,
            "the host has no address".to_owned(),
        ),
        ureq::Error::ConnectionFailed => (BrokenKind::Unreachable, "no connection".to_owned()),
        ureq::Error::ConnectProxyFailed(_) => (
            BrokenKind::Unreachable,
            "the proxy did not connect to it".to_owned(),
        ),
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

fn broken_io(error: io::Error) -> Broken {
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
    let kind = match error.kind() {
        io::ErrorKind::ConnectionRefused
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable => BrokenKind::Unreachable,
        _ => BrokenKind::Connection,
    };
    Broken {
        kind,
        text: error.to_string(),
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

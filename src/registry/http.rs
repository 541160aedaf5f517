//! One request on one connection, with limits for every step.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ureq::http::{HeaderMap, Method, Request};
use ureq::{Agent, Body, Proxy, ProxyProtocol, SendBody};

use super::broken::{Broken, BrokenKind, broken, broken_io};
use super::host::Host;
use super::options::{RegistryOptions, Secret, TimeLimits};
use super::proxy;
use super::reply::{MAX_ERROR, expects_tls};
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
    host: Host,
    /// With the client's certificate for this registry.
    own: Agent,
    /// For other hosts, which never get that certificate. Made when first needed.
    others: Mutex<BTreeMap<Others, Agent>>,
}

/// Hosts that are reached in the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Others {
    is_https: bool,
    has_proxy: bool,
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
    /// How long it may take in all.
    pub(super) at_most: Option<Duration>,
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

impl Http {
    pub(super) fn new(host: &Host, options: &RegistryOptions) -> Result<Self> {
        let own = agent(options, host, &host.base, proxy::of(&host.base)?)?;
        Ok(Http {
            options: options.clone(),
            host: host.clone(),
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

    /// Whether a registry on this machine is asked without TLS here, and speaks only TLS, as `with_tls` asks it.
    ///
    /// # Errors
    /// Those of [`send`](Self::send).
    pub(super) fn is_replaced_by(&self, with_tls: &Http) -> Result<bool> {
        let limit = self.options.limits.probe;
        match self.ask_root(limit)? {
            Ok(reply) => Ok(expects_tls(
                reply.status,
                &String::from_utf8_lossy(&reply.body),
            )),
            // Others close the connection, or reply in TLS.
            Err(broken) => match broken.kind {
                BrokenKind::NotHttp | BrokenKind::Connection => {
                    Ok(match with_tls.ask_root(limit)? {
                        Ok(_) => true,
                        Err(broken) => broken.kind == BrokenKind::Untrusted,
                    })
                }
                _ => Ok(false),
            },
        }
    }

    /// Asks the registry for nothing, without credentials: whether it is one, and how it wants to be asked.
    ///
    /// # Errors
    /// Those of [`send`](Self::send).
    pub(super) fn ask_root(&self, at_most: Duration) -> Result<Result<Reply, Broken>> {
        let exchange = Exchange {
            method: &Method::GET,
            url: &self.host.base,
            headers: &[],
            authorization: None,
            limit: MAX_ERROR,
            patience: Duration::ZERO,
            at_most: Some(at_most),
        };
        self.send(&exchange, Payload::None)
    }

    fn agent(&self, url: &Url) -> Result<Agent> {
        if url.is_same_origin(&self.host.base) {
            return Ok(self.own.clone());
        }
        let proxy = proxy::of(url)?;
        let key = Others {
            is_https: url.is_https(),
            has_proxy: proxy.is_some(),
        };
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(agent) = others.get(&key) {
            return Ok(agent.clone());
        }
        let agent = agent(&self.options, &self.host, url, proxy)?;
        others.insert(key, agent.clone());
        Ok(agent)
    }
}

/// Connections to hosts like that of `url`, with the authorities of a registry, and to the registry with the client's
/// certificate for it.
fn agent(
    options: &RegistryOptions,
    registry: &Host,
    url: &Url,
    proxy: Option<Proxy>,
) -> Result<Agent> {
    let limits = &options.limits;
    let has_tls = url.is_https()
        || proxy
            .as_ref()
            .is_some_and(|proxy| proxy.protocol() == ProxyProtocol::Https);
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
        .proxy(proxy);
    if has_tls {
        let is_own = url.is_same_origin(&registry.base);
        config = config.tls_config(tls::config(options, &registry.name, is_own)?);
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
        .timeout_global(exchange.at_most)
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
    let body = match exchange.authorization {
        // Words of errors are shown.
        Some(secret) if parts.status.as_u16() >= 400 => secret.masked(body),
        _ => body,
    };
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

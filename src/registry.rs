//! A client of registries, by the OCI distribution specification: what a push needs and nothing else.
//!
//! It opens sockets, and starts the credential helpers that a configuration file of docker or podman names. No other
//! module does either. A request goes through three layers: [`exchange`] retries, authorizes and follows redirects,
//! [`http`] makes one request on one connection, and ureq speaks HTTP.
//!
//! Credentials go to the registry's own host and to the token server that it names, never to the target of a redirect,
//! and never over plain HTTP except on this machine.

mod auth;
mod blob;
mod broken;
mod credentials;
mod exchange;
mod fail;
mod helper;
mod host;
mod http;
mod manifest;
mod options;
mod proxy;
mod referrers;
mod reply;
mod retry;
mod tls;
mod token;
mod upload;
mod url;

use std::sync::Mutex;

use self::auth::Auth;
pub(crate) use self::blob::Mounted;
use self::host::Host;
use self::http::Http;
pub use self::options::{RegistryOptions, Secret};
pub(crate) use self::upload::Upload;
use crate::error::Result;

/// One registry. Threads share it, with its connections and tokens.
#[derive(Debug)]
pub(crate) struct Client {
    host: Host,
    options: RegistryOptions,
    http: Http,
    auth: Auth,
    /// Held while a fallback tag is rewritten, so that threads of this process do not undo each other's changes.
    fallback_tags: Mutex<()>,
}

impl Client {
    /// The registry that image names call `host`, such as `docker.io` or `localhost:5000`. Nothing is sent yet.
    ///
    /// # Errors
    /// It is not a host, or a certificate file cannot be used.
    pub(crate) fn new(host: &str, options: &RegistryOptions) -> Result<Self> {
        let host = Host::new(host, options.plain_http)?;
        let http = Http::new(&host, options)?;
        Ok(Client {
            host,
            options: options.clone(),
            http,
            auth: Auth::default(),
            fallback_tags: Mutex::default(),
        })
    }

    /// The same. A registry on this machine, which need not speak TLS, is asked whether it does: it gets a request
    /// without credentials.
    ///
    /// # Errors
    /// Those of [`new`](Self::new).
    pub(crate) fn reaching(host: &str, options: &RegistryOptions) -> Result<Self> {
        let plain = Client::new(host, options)?;
        if !plain.host.is_local || options.plain_http {
            return Ok(plain);
        }
        let mut host = plain.host.clone();
        host.base = host.base.with_tls();
        let http = Http::new(&host, options)?;
        match plain.http.is_replaced_by(&http)? {
            true => Ok(Client {
                host,
                http,
                ..plain
            }),
            false => Ok(plain),
        }
    }

    /// The repository of that name, without the host: `library/debian`.
    pub(crate) fn repository(&self, name: &str) -> Repository<'_> {
        Repository {
            client: self,
            name: name.to_owned(),
            stop: &|| false,
        }
    }
}

/// A repository of a registry.
#[derive(Clone)]
pub(crate) struct Repository<'a> {
    client: &'a Client,
    name: String,
    stop: &'a (dyn Fn() -> bool + Sync),
}

impl<'a> Repository<'a> {
    /// The same, whose waits end with an error as soon as `stop` says so.
    pub(crate) fn stopping(mut self, stop: &'a (dyn Fn() -> bool + Sync)) -> Self {
        self.stop = stop;
        self
    }
}

#[cfg(test)]
mod tests;

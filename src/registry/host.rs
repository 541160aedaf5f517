//! The hosts behind the registries that image names name.

use std::net::IpAddr;

use super::url::Url;
use crate::error::{Code, Error, Hint, Result, escape};

/// The registry of names without a host.
const DOCKER_HUB: &str = "docker.io";

/// A registry's host.
#[derive(Clone, Debug)]
pub(super) struct Host {
    /// As image names and messages name it.
    pub(super) name: String,
    /// Where its interface is: the address of `/v2/`.
    pub(super) base: Url,
    /// Whether it is this machine.
    pub(super) is_local: bool,
}

impl Host {
    pub(super) fn new(name: &str, plain_http: bool) -> Result<Self> {
        let lower = name.to_ascii_lowercase();
        let (name, authority) = match lower.as_str() {
            DOCKER_HUB | "index.docker.io" | "registry-1.docker.io" => {
                (DOCKER_HUB, "registry-1.docker.io")
            }
            other => (other, other),
        };
        let https = Url::parse(&format!("https://{authority}/v2/"));
        let https = https.filter(|url| url.authority() == authority);
        let Some(https) = https else {
            return Err(Error::new(
                Code::RegistryUnreachable,
                format!(
                    "\"{}\" is not a registry: expected HOST or HOST:PORT",
                    escape(name)
                ),
            )
            .with_found(name)
            .with_hint(Hint::CorrectName));
        };
        let is_local = is_local(https.host());
        let base = match plain_http || is_local {
            true => Url::parse(&format!("http://{authority}/v2/")).unwrap_or(https),
            false => https,
        };
        Ok(Host {
            name: name.to_owned(),
            base,
            is_local,
        })
    }
}

/// Whether a host is this machine, so that nothing that is sent to it leaves it.
pub(super) fn is_local(host: &str) -> bool {
    let address = host.parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// Whether a host is an address and not a name.
pub(super) fn is_address(host: &str) -> bool {
    host.parse::<IpAddr>().is_ok()
}

/// Whether a host is an address whose first `len` bits, or all of them if there are fewer, are those of `network`.
pub(super) fn is_within(host: &str, network: &str, len: u32) -> bool {
    let bits = |text: &str| match text.parse().ok()? {
        IpAddr::V4(address) => Some((32, u128::from(u32::from(address)) << 96)),
        IpAddr::V6(address) => Some((128, u128::from(address))),
    };
    let (Some((width, host)), Some((other, network))) = (bits(host), bits(network)) else {
        return false;
    };
    let differ = host ^ network;
    width == other && differ.leading_zeros() >= len.min(width)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_reached_with_plain_http() {
        for (name, expected) in [
            ("localhost:5000", "http://localhost:5000/v2/"),
            ("127.0.0.1", "http://127.0.0.1/v2/"),
            ("127.8.9.1:80", "http://127.8.9.1:80/v2/"),
            ("[::1]:5000", "http://[::1]:5000/v2/"),
            ("128.0.0.1", "https://128.0.0.1/v2/"),
            ("localhost.example.com", "https://localhost.example.com/v2/"),
            ("127.0.0.1.example.com", "https://127.0.0.1.example.com/v2/"),
            ("docker.io", "https://registry-1.docker.io/v2/"),
            ("GHCR.io", "https://ghcr.io/v2/"),
        ] {
            assert_eq!(Host::new(name, false).unwrap().base.to_string(), expected);
        }
        let host = Host::new("r.example", true).unwrap();
        assert_eq!(host.base.to_string(), "http://r.example/v2/");
        assert!(!host.is_local);
    }

    #[test]
    fn what_is_not_a_host_is_refused() {
        for name in [
            "",
            "a/b",
            "user@a",
            "a:b",
            "a b",
            "a?b",
            "a#b",
            "https://a",
            "\u{e4}",
        ] {
            let error = Host::new(name, false).unwrap_err();
            assert_eq!(error.code(), Code::RegistryUnreachable, "{name}");
        }
    }
}

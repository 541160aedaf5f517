//! Proxies that the environment names, by the rules of docker and podman: a proxy for each scheme, and hosts that are
//! reached directly.

use std::env;

use ureq::{Proxy, ProxyProtocol};

use super::host::{is_address, is_local, is_within};
use super::url::Url;
use crate::error::{Code, Error, RegistryHint, Result};

/// The proxy for an address; `None` if it is reached directly.
///
/// # Errors
/// The environment names a proxy that cannot be used. Nothing goes past it.
pub(super) fn of(url: &Url) -> Result<Option<Proxy>> {
    from(url, &|name| env::var(name).ok())
}

fn from(url: &Url, variable: &dyn Fn(&str) -> Option<String>) -> Result<Option<Proxy>> {
    let first = |names: &[&'static str]| {
        let mut found = names
            .iter()
            .filter_map(|name| Some((*name, variable(name)?)));
        found.find(|(_, value)| !value.is_empty())
    };
    let names: &[&str] = match url.is_https() {
        true => &["HTTPS_PROXY", "https_proxy"],
        // A CGI program gets a header of its request under the name in upper case.
        false if variable("REQUEST_METHOD").is_some() => &["http_proxy"],
        false => &["HTTP_PROXY", "http_proxy"],
    };
    let Some((name, value)) = first(names).or_else(|| first(&["ALL_PROXY", "all_proxy"])) else {
        return Ok(None);
    };
    let direct = first(&["NO_PROXY", "no_proxy"]);
    if is_local(url.host()) || direct.is_some_and(|(_, list)| is_direct(url, &list)) {
        return Ok(None);
    }
    // The value may have a password.
    let message = format!(
        "cannot use the proxy in {name}: expected an address such as http://proxy.example:3128"
    );
    let error =
        || Error::new(Code::RegistryUnreachable, message).with_hint(RegistryHint::CheckProxy);
    parse(&value).map(Some).ok_or_else(error)
}

fn parse(value: &str) -> Option<Proxy> {
    let with_scheme = match value.contains("://") {
        true => value.to_owned(),
        false => format!("http://{value}"),
    };
    let proxy = Proxy::new(&with_scheme).ok()?;
    if proxy.host().is_empty() {
        return None;
    }
    let mut builder = Proxy::builder(proxy.protocol())
        .host(proxy.host())
        .port(proxy.port());
    if let Some(username) = proxy.username() {
        builder = builder.username(username);
    }
    if let Some(password) = proxy.password() {
        builder = builder.password(password);
    }
    // Names are looked up by the proxy if the protocol has a place for them.
    let resolves = matches!(proxy.protocol(), ProxyProtocol::Socks4);
    builder.resolve_target(resolves).build().ok()
}

/// Whether `NO_PROXY` lists an address: its host, a domain that it is in, or its network.
fn is_direct(url: &Url, list: &str) -> bool {
    let host = url.host();
    let entries = list.split([',', ' ']).filter(|entry| !entry.is_empty());
    let is_listed = |entry: &str| {
        if entry == "*" {
            return true;
        }
        if let Some((network, len)) = entry.split_once('/') {
            return len.parse().is_ok_and(|len| is_within(host, network, len));
        }
        let (name, port) = match entry.rsplit_once(':') {
            Some((name, port)) if !name.contains(':') || name.ends_with(']') => (name, Some(port)),
            _ => (entry, None),
        };
        if port.is_some_and(|port| port != url.port()) {
            return false;
        }
        let name = name.trim_start_matches('[').trim_end_matches(']');
        if is_address(name) {
            return is_within(host, name, u32::MAX);
        }
        let name = name.strip_prefix('*').unwrap_or(name).to_ascii_lowercase();
        match name.strip_prefix('.') {
            Some(_) => host.ends_with(&name),
            None => host == name || host.ends_with(&format!(".{name}")),
        }
    };
    entries.into_iter().any(is_listed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn hosts_that_are_listed_are_reached_directly() {
        for (host, list, expected) in [
            ("example.com", "example.com", true),
            ("a.example.com", "example.com", true),
            ("badexample.com", "example.com", false),
            ("example.com.evil", "example.com", false),
            ("x.lab", " ,.lab", true),
            ("lab", ".lab", false),
            ("a.corp", "other *.corp", true),
            ("a.corp", "A.Corp", true),
            ("r.example:5000", "r.example:5000", true),
            ("r.example:5001", "r.example:5000", false),
            ("r.example", "r.example:443", true),
            ("10.1.2.3:5000", "10.1.2.3", true),
            ("10.1.2.3", "10.0.0.0/8", true),
            ("11.1.2.3", "10.0.0.0/8", false),
            ("11.1.2.3", "10.0.0.0/0", true),
            ("10.1.2.3", "10.1.2.3/32", true),
            ("10.1.2.3", "10.1.2.2/33", false),
            ("10.example.com", "10.0.0.0/8", false),
            ("[fd00::1]:5000", "fd00::/8", true),
            ("[fd00::1]:5000", "[fd00::1]:5000", true),
            ("[fd00::1]", "fd00::1", true),
            ("[fe00::1]", "fd00::/8,10.0.0.0/8", false),
            ("anything", "*", true),
            ("anything", "", false),
        ] {
            let url = url(&format!("https://{host}/"));
            assert_eq!(is_direct(&url, list), expected, "{host} {list}");
        }
    }

    #[test]
    fn each_scheme_has_its_variables() {
        let shown = |address: &str, variables: &[(&str, &str)]| {
            let variable = |name: &str| {
                let found = variables.iter().find(|(key, _)| *key == name);
                found.map(|(_, value)| (*value).to_owned())
            };
            let proxy = from(&url(address), &variable).unwrap();
            proxy.map(|proxy| format!("{}:{}", proxy.host(), proxy.port()))
        };
        let both = [("HTTPS_PROXY", "s:1"), ("http_proxy", "p:2")];
        let found = |text: &str| Some(text.to_owned());
        assert_eq!(shown("https://r.example/", &both), found("s:1"));
        assert_eq!(shown("http://r.example/", &both), found("p:2"));
        for local in [
            "http://localhost:5000/",
            "http://127.0.0.1/",
            "https://[::1]/",
        ] {
            assert_eq!(shown(local, &both), None, "{local}");
        }
        let all = [
            ("ALL_PROXY", "socks5://a"),
            ("NO_PROXY", "r.example"),
            ("https_proxy", ""),
        ];
        assert_eq!(shown("https://q.example/", &all), found("a:1080"));
        assert_eq!(shown("https://r.example/", &all), None);
        let of_cgi = [("HTTP_PROXY", "evil:1"), ("REQUEST_METHOD", "GET")];
        assert_eq!(shown("http://r.example/", &of_cgi), None);
        assert_eq!(shown("http://r.example/", &of_cgi[..1]), found("evil:1"));
    }

    #[test]
    fn a_proxy_that_cannot_be_used_is_not_passed_by() {
        for value in ["ftp://proxy", "http://", "http://user:secret@:x/", "a b"] {
            let variable = |name: &str| (name == "HTTPS_PROXY").then(|| value.to_owned());
            let error = from(&url("https://r.example/"), &variable).unwrap_err();
            assert_eq!(error.code(), Code::RegistryUnreachable);
            let text = error.to_string();
            assert!(
                text.contains("HTTPS_PROXY") && !text.contains("secret"),
                "{text}"
            );
        }
        let proxy = parse("user:pass%20word@proxy:3128").unwrap();
        assert_eq!((proxy.host(), proxy.port()), ("proxy", 3128));
        let login = (proxy.username(), proxy.password());
        assert_eq!(login, (Some("user"), Some("pass word")));
    }
}

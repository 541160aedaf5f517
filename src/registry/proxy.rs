//! Proxies that the environment names, by the rules that docker and podman follow too: a proxy for each scheme, and
//! hosts that need none.

use std::env;

use ureq::{Proxy, ProxyProtocol};

/// The proxy for addresses with this scheme. It knows the hosts that are reached directly.
pub(super) fn from_environment(is_https: bool) -> Option<Proxy> {
    let names = match is_https {
        true => ["HTTPS_PROXY", "https_proxy"],
        // Upper case is left out: a CGI program gets a header of the request under that name.
        false => ["http_proxy", "http_proxy"],
    };
    let value = first(&names).or_else(|| first(&["ALL_PROXY", "all_proxy"]))?;
    let direct = first(&["NO_PROXY", "no_proxy"]).unwrap_or_default();
    parse(&value, &direct)
}

fn first(names: &[&str]) -> Option<String> {
    let values = names.iter().filter_map(|name| env::var(name).ok());
    values.into_iter().find(|value| !value.is_empty())
}

fn parse(value: &str, direct: &str) -> Option<Proxy> {
    let with_scheme = match value.contains("://") {
        true => value.to_owned(),
        false => format!("http://{value}"),
    };
    let proxy = Proxy::new(&with_scheme).ok()?;
    // Without it, Proxy::new would leave NO_PROXY out.
    let mut builder = Proxy::builder(proxy.protocol())
        .host(proxy.host())
        .port(proxy.port());
    if let Some(username) = proxy.username() {
        builder = builder.username(username);
    }
    if let Some(password) = proxy.password() {
        builder = builder.password(password);
    }
    for host in direct.split([',', ' ']).filter(|host| !host.is_empty()) {
        for pattern in patterns(host) {
            builder = builder.no_proxy(&pattern);
        }
    }
    let resolves = matches!(proxy.protocol(), ProxyProtocol::Socks4);
    builder.resolve_target(resolves).build().ok()
}

/// A host of `NO_PROXY` as ureq's patterns: a name means its subdomains too, and a port is left out.
fn patterns(host: &str) -> Vec<String> {
    if host == "*" {
        return vec![host.to_owned()];
    }
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') && port.parse::<u16>().is_ok() => name,
        _ => host,
    };
    let name = name.trim_start_matches('*');
    match name.strip_prefix('.') {
        Some(_) => vec![name.to_owned()],
        None => vec![name.to_owned(), format!(".{name}")],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_without_a_proxy_include_their_subdomains() {
        let proxy = parse(
            "user:pass%20word@proxy:3128",
            "example.com, .lab,10.0.0.1:5000 *.corp",
        )
        .unwrap();
        assert_eq!((proxy.host(), proxy.port()), ("proxy", 3128));
        assert_eq!(
            (proxy.username(), proxy.password()),
            (Some("user"), Some("pass word"))
        );
        let is_direct =
            |host: &str| proxy.is_no_proxy(&format!("https://{host}/").parse().unwrap());
        for host in [
            "example.com",
            "a.example.com",
            "x.lab",
            "10.0.0.1:5000",
            "a.corp",
        ] {
            assert!(is_direct(host), "{host}");
        }
        for host in ["badexample.com", "example.com.evil", "lab", "10.0.0.2"] {
            assert!(!is_direct(host), "{host}");
        }
        assert!(
            parse("http://p", "*")
                .unwrap()
                .is_no_proxy(&"https://a/".parse().unwrap())
        );
        assert!(
            parse("http://p", "")
                .is_some_and(|proxy| !proxy.is_no_proxy(&"https://a/".parse().unwrap()))
        );
    }
}

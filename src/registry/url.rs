//! Addresses that registries are asked at, and that they name in replies.

use std::fmt;

use ureq::http::Uri;

/// The longest address that is accepted, in bytes.
const MAX_LEN: usize = 16 * 1024;

/// An absolute `http` or `https` address without a user and without a fragment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Url {
    is_https: bool,
    authority: String,
    /// With the query.
    path: String,
}

impl Url {
    /// The address that `text` is; `None` if it is none that may be asked.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.split('#').next().unwrap_or_default();
        if text.len() > MAX_LEN || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        let uri: Uri = text.parse().ok()?;
        let scheme = uri.scheme_str()?;
        let is_https = scheme.eq_ignore_ascii_case("https");
        if !is_https && !scheme.eq_ignore_ascii_case("http") {
            return None;
        }
        let authority = uri.authority()?;
        // A port that is not a number is no port.
        let is_host = is_host(authority.host()) && !authority.as_str().contains('@');
        let rest = authority.as_str().strip_prefix(authority.host())?;
        let is_port = rest.is_empty() || authority.port_u16().is_some();
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let slash = match path.starts_with('/') {
            true => "",
            false => "/",
        };
        (is_host && is_port).then(|| Url {
            is_https,
            authority: authority.as_str().to_ascii_lowercase(),
            path: format!("{slash}{path}"),
        })
    }

    /// The address that `location`, absolute or relative, is in a reply from this one.
    pub(super) fn join(&self, location: &str) -> Option<Self> {
        let scheme = self.scheme();
        let own = || format!("{scheme}://{}", self.authority);
        let before_query = self.path.split('?').next().unwrap_or_default();
        let first = location.find(['/', '?', '#']).unwrap_or(location.len());
        let absolute = if location[..first].contains(':') {
            location.to_owned()
        } else if location.starts_with("//") {
            format!("{scheme}:{location}")
        } else if location.starts_with('/') {
            format!("{}{location}", own())
        } else if location.starts_with('?') {
            format!("{}{before_query}{location}", own())
        } else {
            let directory = before_query
                .rfind('/')
                .map_or("/", |at| &before_query[..=at]);
            format!("{}{directory}{location}", own())
        };
        Url::parse(&absolute)
    }

    /// The same address with TLS.
    pub(super) fn with_tls(&self) -> Self {
        Url {
            is_https: true,
            ..self.clone()
        }
    }

    /// The same address with another path on the same host.
    pub(super) fn with_path(&self, path: &str) -> Self {
        Url {
            path: path.to_owned(),
            ..self.clone()
        }
    }

    /// The same address with one more parameter in its query.
    pub(super) fn with_parameter(&self, name: &str, value: &str) -> Self {
        let separator = match self.path.contains('?') {
            true => '&',
            false => '?',
        };
        self.with_path(&format!(
            "{}{separator}{name}={}",
            self.path,
            percent_encoded(value)
        ))
    }

    fn scheme(&self) -> &'static str {
        match self.is_https {
            true => "https",
            false => "http",
        }
    }

    pub(super) fn is_https(&self) -> bool {
        self.is_https
    }

    /// The host, with the port if it is stated.
    pub(super) fn authority(&self) -> &str {
        &self.authority
    }

    /// The host without the port, and without the brackets of an IPv6 address.
    pub(super) fn host(&self) -> &str {
        let host = match self.authority.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
            _ => &self.authority,
        };
        host.trim_start_matches('[').trim_end_matches(']')
    }

    pub(super) fn port(&self) -> &str {
        let default = match self.is_https {
            true => "443",
            false => "80",
        };
        match self.authority.rsplit_once(':') {
            Some((_, port)) if !port.is_empty() && !port.ends_with(']') => port,
            _ => default,
        }
    }

    /// Whether both have the same scheme, host and port.
    pub(super) fn is_same_origin(&self, other: &Url) -> bool {
        let origin = |url: &Url| (url.is_https, url.host().to_owned(), url.port().to_owned());
        origin(self) == origin(other)
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme(), self.authority, self.path)
    }
}

/// Whether it is a name, or an address. That of IPv6 is in brackets.
fn is_host(host: &str) -> bool {
    let inner = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    match inner {
        Some(address) => {
            let is_part = |byte: u8| byte.is_ascii_hexdigit() || byte == b':' || byte == b'.';
            address.contains(':') && address.bytes().all(is_part)
        }
        None => !host.is_empty() && !host.contains(['[', ']']),
    }
}

/// The text as a value in a query or a form.
pub(super) fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' | b':' => {
                encoded.push(char::from(byte));
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_relative_or_absolute() {
        let base = Url::parse("https://r.example:5000/v2/app/blobs/uploads/?a=b").unwrap();
        for (location, expected) in [
            ("/v2/x?y=z", "https://r.example:5000/v2/x?y=z"),
            ("?y", "https://r.example:5000/v2/app/blobs/uploads/?y"),
            ("1234", "https://r.example:5000/v2/app/blobs/uploads/1234"),
            ("//other/x", "https://other/x"),
            ("http://other:80/x#part", "http://other:80/x"),
            ("HTTPS://Other/X", "https://other/X"),
            ("https://other?q", "https://other/?q"),
        ] {
            assert_eq!(base.join(location).unwrap().to_string(), expected);
        }
        for location in [
            "ftp://other/",
            "https://user:secret@other/",
            "https:///x",
            "//[]:500/v2?",
            "https://[name]/",
            "https://other:port/",
            "https://other/a b",
            "file:/etc/passwd",
            "javascript:x",
            "https://other/\u{e4}",
            "a:b",
        ] {
            assert_eq!(base.join(location), None, "{location}");
        }
    }

    #[test]
    fn origins_have_default_ports() {
        let same = |a: &str, b: &str| {
            Url::parse(a)
                .unwrap()
                .is_same_origin(&Url::parse(b).unwrap())
        };
        assert!(same("https://a/x", "https://A:443/y"));
        assert!(same("http://a:80", "http://a"));
        assert!(same("http://[::1]:5000/", "http://[::1]:5000/x"));
        assert!(!same("http://[::1]:5000/", "http://[::1]/x"));
        assert!(!same("https://a", "http://a"));
        assert!(!same("https://a", "https://a:444"));
        assert!(!same("https://a", "https://b"));
        assert_eq!(Url::parse("http://[::1]:5000/").unwrap().host(), "::1");
        assert_eq!(Url::parse("http://[::1]/").unwrap().host(), "::1");
    }

    #[test]
    fn parameters_are_encoded() {
        let url = Url::parse("https://a/x").unwrap();
        let url = url
            .with_parameter("digest", "sha256:ab")
            .with_parameter("b", "c d&e");
        assert_eq!(url.to_string(), "https://a/x?digest=sha256:ab&b=c%20d%26e");
    }
}

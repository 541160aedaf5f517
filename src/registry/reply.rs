//! What replies state: headers and the JSON of errors. Everything here may be hostile.

use std::ops::RangeInclusive;
use std::time::{Duration, SystemTime};

use http_auth::parser::ChallengeParser;
use serde_json::Value;

use crate::error::escape;

/// How much of an error's body is read, in bytes.
pub(super) const MAX_ERROR: u64 = 64 * 1024;

/// How many seconds a token is valid if nothing is stated, and at most.
const DEFAULT_LIFE: u64 = 60;
const MAX_LIFE: u64 = 24 * 3600;

/// How many of a registry's errors are shown, and how many characters of each.
const MAX_SHOWN: usize = 3;
const MAX_WORDS: usize = 300;

/// A scheme of authentication that a registry asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    Basic,
    Bearer(Bearer),
}

/// A token that a registry asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bearer {
    /// The address of the token server, as it is stated.
    pub(super) realm: String,
    pub(super) service: Option<String>,
    pub(super) scope: Option<String>,
}

/// The scheme to use among those of all values of `WWW-Authenticate`: a token, else a password.
pub(super) fn challenge<'a>(values: impl Iterator<Item = &'a str>) -> Option<Challenge> {
    let mut basic = None;
    for value in values {
        for challenge in ChallengeParser::new(value).map_while(Result::ok) {
            let parameter = |name: &str| {
                let found = challenge
                    .params
                    .iter()
                    .find(|(key, _)| key.eq_ignore_ascii_case(name));
                found.map(|(_, value)| value.to_unescaped())
            };
            if challenge.scheme.eq_ignore_ascii_case("bearer")
                && let Some(realm) = parameter("realm")
            {
                return Some(Challenge::Bearer(Bearer {
                    realm,
                    service: parameter("service"),
                    scope: parameter("scope"),
                }));
            }
            if challenge.scheme.eq_ignore_ascii_case("basic") {
                basic = Some(Challenge::Basic);
            }
        }
    }
    basic
}

/// The token in the reply of a token server, and how long it is valid.
pub(super) fn token(body: &[u8]) -> Option<(String, Duration)> {
    let fields: Value = serde_json::from_slice(body).ok()?;
    let text = |key: &str| fields.get(key)?.as_str().filter(|text| !text.is_empty());
    let token = text("token").or_else(|| text("access_token"))?;
    // It becomes a part of a header.
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    let life = fields.get("expires_in").and_then(Value::as_f64);
    let life = life.map_or(DEFAULT_LIFE, |seconds| seconds.max(0.0) as u64);
    Some((token.to_owned(), Duration::from_secs(life.min(MAX_LIFE))))
}

/// The bytes that an upload has: `0-1023`, or `bytes=0-1023` as some registries write it. An empty upload is `0-0`.
pub(super) fn range(value: &str) -> Option<RangeInclusive<u64>> {
    let value = value.trim();
    let value = value.strip_prefix("bytes").unwrap_or(value);
    let value = value.trim_start_matches(['=', ' ']);
    let (start, end) = value.split_once('-')?;
    let number = |text: &str| {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| text.parse::<u64>().ok()).flatten()
    };
    let (start, end) = (number(start)?, number(end)?);
    (start <= end).then_some(start..=end)
}

/// The target of the link to the next page.
pub(super) fn next_link(value: &str) -> Option<&str> {
    let mut rest = value;
    while let Some((_, after)) = rest.split_once('<') {
        let (target, after) = after.split_once('>')?;
        // The parameters end at the next link's target.
        let (parameters, next) = match after.find('<') {
            Some(at) => after.split_at(at),
            None => (after, ""),
        };
        let is_next = parameters.split([';', ',']).any(|parameter| {
            let Some((name, value)) = parameter.split_once('=') else {
                return false;
            };
            let value = value.trim().trim_matches('"');
            name.trim().eq_ignore_ascii_case("rel") && value.eq_ignore_ascii_case("next")
        });
        if is_next {
            return Some(target);
        }
        rest = next;
    }
    None
}

/// The wait that a value of `Retry-After` states: seconds, or a date.
pub(super) fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

/// The words of a registry's error: its codes and messages, or the start of a body of text. Escaped, and not long.
pub(super) fn error_words(body: &[u8]) -> Option<String> {
    if let Ok(Value::Object(fields)) = serde_json::from_slice::<Value>(body) {
        let listed = fields.get("errors").and_then(Value::as_array);
        let words: Vec<String> = match listed {
            Some(errors) => errors
                .iter()
                .filter_map(one_error)
                .take(MAX_SHOWN)
                .collect(),
            None => one_error(&Value::Object(fields)).into_iter().collect(),
        };
        return (!words.is_empty()).then(|| words.join("; "));
    }
    let text = str::from_utf8(body).ok()?.trim();
    let is_page = text.starts_with('<');
    let line = text.lines().next()?;
    (!is_page && !line.is_empty()).then(|| shortened(line))
}

/// Whether a reply to a request without TLS says that it must come with TLS, in the words of Go, nginx or Apache.
pub(super) fn expects_tls(status: u16, text: &str) -> bool {
    let words = ["HTTPS server", "HTTPS port", "SSL-enabled server"];
    status == 400 && words.iter().any(|words| text.contains(words))
}

/// `DENIED: requested access to the resource is denied`; token servers also have `details` or a text.
fn one_error(error: &Value) -> Option<String> {
    let text = |key: &str| {
        error
            .get(key)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
    };
    let code = text("code").or_else(|| text("error"));
    let message = text("message")
        .or_else(|| text("error_description"))
        .or_else(|| text("details"));
    match (code, message) {
        (Some(code), Some(message)) => Some(shortened(&format!("{code}: {message}"))),
        (Some(words), None) | (None, Some(words)) => Some(shortened(words)),
        (None, None) => error.as_str().map(shortened),
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(MAX_WORDS) {
        Some((end, _)) => format!("{}…", escape(&text[..end])),
        None => escape(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_preferred_among_all_challenges() {
        let one = |values: &[&str]| challenge(values.iter().copied());
        let bearer = |realm: &str, service: Option<&str>, scope: Option<&str>| {
            Some(Challenge::Bearer(Bearer {
                realm: realm.to_owned(),
                service: service.map(str::to_owned),
                scope: scope.map(str::to_owned),
            }))
        };
        let basic = r#"Basic realm="x, Bearer realm=y""#;
        assert_eq!(one(&[basic]), Some(Challenge::Basic));
        let token =
            r#"Bearer realm="https://a/t",service="s \"q\"",scope="repository:a:pull,push""#;
        let expected = bearer(
            "https://a/t",
            Some("s \"q\""),
            Some("repository:a:pull,push"),
        );
        assert_eq!(one(&[token]), expected);
        assert_eq!(one(&[basic, token]), expected);
        assert_eq!(one(&[&format!("{basic}, {token}")]), expected);
        assert_eq!(one(&["bearer REALM=https"]), bearer("https", None, None));
        assert_eq!(one(&["Bearer service=a"]), None);
        assert_eq!(
            one(&["Digest realm=\"a\"", "Negotiate", "", "\u{1}", "\"", "=,,"]),
            None
        );
        // Nothing is guessed from a header that does not follow the grammar.
        assert_eq!(one(&["Basic realm=\"a\", \""]), None);
    }

    #[test]
    fn ranges_are_read_strictly() {
        for (value, expected) in [
            ("0-0", Some(0..=0)),
            ("0-1023", Some(0..=1023)),
            ("bytes=0-9", Some(0..=9)),
            ("bytes 3-9", Some(3..=9)),
            ("9-3", None),
            ("-3", None),
            ("0-", None),
            ("0-+3", None),
            ("0-18446744073709551616", None),
            ("", None),
            ("bytes=0-9/10", None),
        ] {
            assert_eq!(range(value), expected, "{value}");
        }
    }

    #[test]
    fn the_next_page_is_found_among_links() {
        for (value, expected) in [
            (r#"</v2/a?n=1>; rel="next""#, Some("/v2/a?n=1")),
            ("</v2/a>; rel=next", Some("/v2/a")),
            (r#"<a,b>; rel="prev", <c>; title="x"; REL=Next"#, Some("c")),
            ("<a>; rel=prev", None),
            ("<a>", None),
            ("<a", None),
            ("a; rel=next", None),
            ("", None),
        ] {
            assert_eq!(next_link(value), expected, "{value}");
        }
    }

    #[test]
    fn requested_waits_are_seconds_or_dates() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:00 GMT").unwrap();
        for (value, expected) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("99999999999999999999", Some(u64::MAX)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(37)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("-1", None),
            ("1.5", None),
            ("", None),
            ("soon", None),
        ] {
            let expected = expected.map(Duration::from_secs);
            assert_eq!(retry_after(value, now), expected, "{value}");
        }
    }

    #[test]
    fn words_of_errors_are_short_and_escaped() {
        for (body, expected) in [
            (
                r#"{"errors":[{"code":"DENIED","message":"no"},{"code":"X"}]}"#,
                Some("DENIED: no; X"),
            ),
            (
                r#"{"errors":[{"code":"A","message":"\u001b[1m\n"}]}"#,
                Some("A: \\u{1b}[1m\\u{a}"),
            ),
            (
                r#"{"details":"incorrect username or password"}"#,
                Some("incorrect username or password"),
            ),
            (
                r#"{"error":"invalid_grant","error_description":"gone"}"#,
                Some("invalid_grant: gone"),
            ),
            (r#"{"errors":[]}"#, None),
            (r#"{"errors":[7,null]}"#, None),
            (r#"{"message":"a"}"#, Some("a")),
            (
                "Client sent an HTTP request to an HTTPS server.\n",
                Some("Client sent an HTTP request to an HTTPS server."),
            ),
            ("<html>no</html>", None),
            ("", None),
            ("[]", Some("[]")),
        ] {
            assert_eq!(error_words(body.as_bytes()).as_deref(), expected, "{body}");
        }
        assert_eq!(error_words(&[0xff]), None);
        let long = error_words("\u{e4}".repeat(9999).as_bytes()).unwrap();
        assert_eq!(long.chars().count(), MAX_WORDS + 1);
        let many = format!(
            r#"{{"errors":[{}]}}"#,
            vec![r#"{"code":"A"}"#; 99].join(",")
        );
        assert_eq!(error_words(many.as_bytes()).unwrap(), "A; A; A");
    }
}

//! What registries and token servers state in headers and in the bodies of replies.

/// The parsers. They are modules of the library that it does not show.
#[allow(dead_code)]
#[path = "../../src/registry/reply.rs"]
mod reply;
#[allow(dead_code)]
#[path = "../../src/registry/url.rs"]
mod url;

use std::time::SystemTime;

use self::reply::Challenge;
use self::url::Url;

/// The longest words of an error: three errors of 300 characters, each escaped.
const MAX_WORDS: usize = 3 * (300 * 10 + 10);

/// Reads a text as everything that a registry may state.
///
/// # Panics
/// Something that was read is not what the text says, or may not be shown or asked.
pub fn replies(text: &str) {
    if let Some(range) = reply::range(text) {
        assert!(range.start() <= range.end());
        let again = format!("{}-{}", range.start(), range.end());
        assert_eq!(reply::range(&again), Some(range));
    }
    if let Some(target) = reply::next_link(text) {
        assert!(text.contains(&format!("<{target}>")), "{target}");
    }
    if let Some(words) = reply::error_words(text.as_bytes()) {
        assert!(words.len() <= MAX_WORDS && !words.is_empty(), "{words}");
        assert!(!words.contains(|c: char| c.is_control()), "{words:?}");
    }
    if let Some((token, life)) = reply::token(text.as_bytes()) {
        assert!(!token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()));
        assert!(life.as_secs() <= 24 * 3600, "{life:?}");
    }
    let wait = reply::retry_after(text, SystemTime::UNIX_EPOCH);
    assert!(wait.is_none() || text.contains(|c: char| c.is_ascii_digit()));
    let base = Url::parse("https://registry.example/v2/app/").expect("it is an address");
    let challenge = reply::challenge([text].into_iter());
    let realm = match &challenge {
        Some(Challenge::Bearer(bearer)) => Url::parse(&bearer.realm),
        _ => None,
    };
    for url in [Url::parse(text), base.join(text), realm]
        .into_iter()
        .flatten()
    {
        assert_eq!(Url::parse(&url.to_string()), Some(url.clone()));
        assert!(
            !url.host().is_empty() && !url.authority().contains('@'),
            "{url}"
        );
        assert!(url.to_string().bytes().all(|byte| byte.is_ascii_graphic()));
        let next = url.with_parameter("digest", text);
        // The longest address that is accepted. Values that ocify adds are short.
        if next.to_string().len() <= 16 * 1024 {
            assert_eq!(Url::parse(&next.to_string()), Some(next.clone()), "{next}");
        }
        assert!(next.is_same_origin(&url));
    }
}

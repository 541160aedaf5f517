//! Files called `manifest.json` that Docker cannot read, which matter no more than none beside an `index.json`.

use serde::de::IgnoredAny;

use crate::graph::fields::DOCKER_ARCHIVE;
use crate::json::{Member, View, check};

const FOREIGN: &str = "another file, not a list of images";

/// What a `manifest.json` is, in a phrase, if Docker and other readers in Go fail on it: it is another tool's file,
/// such as imgpkg's, or damaged. Readers that do not need it read the `index.json` beside it, so no two of them read
/// different images. An empty list is Docker's.
pub(crate) fn unusable(bytes: &[u8]) -> Option<&'static str> {
    let whole = std::str::from_utf8(bytes).ok().and_then(View::parse);
    if let Some(root) = whole {
        return of_value(root);
    }
    if bytes.trim_ascii().is_empty() {
        return Some("an empty file");
    }
    // Go reads the first value, whatever follows, and accepts text that is not UTF-8.
    let mut values = serde_json::Deserializer::from_slice(bytes).into_iter::<IgnoredAny>();
    match values.next() {
        Some(Ok(_)) => {
            let first = &bytes[..values.byte_offset()];
            let is_list = first.trim_ascii_start().starts_with(b"[");
            let is_null = first.trim_ascii() == b"null";
            (!is_list && !is_null).then_some(FOREIGN)
        }
        // Go's decoder is not as strict about depth.
        Some(Err(error)) if error.to_string().starts_with("recursion limit") => None,
        _ => Some("text that is not valid JSON"),
    }
}

fn of_value(root: View<'_>) -> Option<&'static str> {
    let Some(items) = root.items() else {
        // `null` and `{}` are empty lists.
        let is_empty = root.members().is_some_and(|members| members.is_empty());
        return (!root.is_null() && !is_empty).then_some(FOREIGN);
    };
    let is_config = |member: &Member<'_>| member.key.eq_ignore_ascii_case("Config");
    let mut names_config = items.is_empty();
    for item in items {
        if item.is_null() {
            continue;
        }
        if !is_object(item) {
            return Some(FOREIGN);
        }
        // Go accepts escapes in keys that are not characters.
        let members = item.members()?;
        names_config |= members.iter().any(is_config);
    }
    if !names_config {
        return Some(FOREIGN);
    }
    let checked = check(root.document(), DOCKER_ARCHIVE, true);
    let has_mismatch = checked.is_ok_and(|checked| checked.mismatch.is_some());
    has_mismatch.then_some("a list with values of the wrong type")
}

fn is_object(value: View<'_>) -> bool {
    value.text().starts_with('{')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_go_fails_on_is_unusable() {
        for (text, expected) in [
            ("", "an empty file"),
            (" \n", "an empty file"),
            ("5", FOREIGN),
            ("true", FOREIGN),
            ("\"text\"", FOREIGN),
            (r#"{"images":{}}"#, FOREIGN),
            (r#"{"images":{}} and more"#, FOREIGN),
            ("[1]", FOREIGN),
            (r#"[{"Image":1}]"#, FOREIGN),
            (r#"[{"Config":"#, "text that is not valid JSON"),
            ("\u{feff}[]", "text that is not valid JSON"),
            ("<html>", "text that is not valid JSON"),
            (r#"[{"config":1}]"#, "a list with values of the wrong type"),
            (
                r#"[{"Config":"x","RepoTags":"a:b"}]"#,
                "a list with values of the wrong type",
            ),
            (
                r#"[{"Config":"x","Layers":[1]}]"#,
                "a list with values of the wrong type",
            ),
            (
                r#"[{"Config":"x","LayerSources":[]}]"#,
                "a list with values of the wrong type",
            ),
        ] {
            assert_eq!(unusable(text.as_bytes()), Some(expected), "{text}");
        }
    }

    /// Though ocify may refuse it.
    #[test]
    fn what_go_decodes_is_used() {
        let nested = format!("{}{}", "[".repeat(1000), "]".repeat(1000));
        let nested = format!(r#"[{{"Config":"x","more":{nested}}}]"#);
        for bytes in [
            &b"[]"[..],
            b"null",
            b"{}",
            br#"[{"Config":"x","RepoTags":null,"Layers":[null]}]"#,
            br#"[{"CONFIG":"x"}, {"Image":1}, null]"#,
            br#"[{"Config":"x"}] and more"#,
            b"null and more",
            b"[{\"Config\":\"\xff\"}]",
            br#"[{"Config":"\ud800"}]"#,
            nested.as_bytes(),
        ] {
            assert_eq!(unusable(bytes), None, "{}", String::from_utf8_lossy(bytes));
        }
    }
}

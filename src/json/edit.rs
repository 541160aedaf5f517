//! Edits of a document's text that follow its formatting.

use std::collections::BTreeSet;
use std::ops::Range;

use serde_json::Value;

use super::View;

/// Replaces a byte range of the document with other text. An empty range inserts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Edit {
    pub(crate) range: Range<usize>,
    pub(crate) text: String,
}

impl Edit {
    /// Replaces the value at `range` with a string.
    pub(crate) fn string(range: Range<usize>, value: &str) -> Self {
        Edit {
            range,
            text: quote(value),
        }
    }
}

/// Applies edits to a text. They must not overlap. Insertions at the same offset keep their order.
pub(crate) fn apply_edits(text: &str, mut edits: Vec<Edit>) -> String {
    edits.sort_by_key(|edit| (edit.range.start, edit.range.end));
    let mut out = String::with_capacity(text.len());
    let mut end = 0;
    for edit in edits {
        out.push_str(&text[end..edit.range.start]);
        out.push_str(&edit.text);
        end = edit.range.end;
    }
    out.push_str(&text[end..]);
    out
}

/// Inserts members that an object lacks, after the member `after` if the object has it, or else at the
/// front.
pub(crate) fn insert_members(
    formatting: &Formatting,
    object: View<'_>,
    after: Option<&str>,
    members: &[(&str, Value)],
) -> Edit {
    let style = ContainerStyle::of(formatting, object);
    let existing = object.members().unwrap_or_default();
    let rendered: Vec<String> = members
        .iter()
        .map(|(key, value)| {
            let value = style.render(value, &style.inner);
            format!("{}{}{value}", quote(key), formatting.colon)
        })
        .collect();
    let previous = after.and_then(|after| existing.iter().rev().find(|member| member.key == after));
    let start = object.span().start + 1;
    if let Some(previous) = previous {
        let text = rendered
            .iter()
            .map(|member| format!(",{}{member}", style.inner));
        let at = previous.value.span().end;
        return Edit {
            range: at..at,
            text: text.collect(),
        };
    }
    let joined = rendered.join(&format!(",{}", style.inner));
    if existing.is_empty() {
        return Edit {
            range: object.span(),
            text: format!("{{{}{joined}{}}}", style.inner, style.outer),
        };
    }
    Edit {
        range: start..start,
        text: format!("{}{joined},", style.inner),
    }
}

/// Sets a member's value: replaces the existing value, even if it is `null`, or inserts the member.
pub(crate) fn set_member(
    formatting: &Formatting,
    object: View<'_>,
    after: Option<&str>,
    key: &str,
    value: Value,
) -> Edit {
    let members = object.members().unwrap_or_default();
    match members.iter().rev().find(|member| member.key == key) {
        Some(member) => {
            let style = ContainerStyle::of(formatting, object);
            Edit {
                range: member.value.span(),
                text: style.render(&value, &style.inner),
            }
        }
        None => insert_members(formatting, object, after, &[(key, value)]),
    }
}

/// Appends items, given as JSON text, to an array.
pub(crate) fn append_items(formatting: &Formatting, array: View<'_>, items: &[String]) -> Edit {
    let style = ContainerStyle::of(formatting, array);
    // There may be millions.
    match array.each_item().and_then(Iterator::last) {
        Some(last) => {
            let at = last.span().end;
            let text = items.iter().map(|item| format!(",{}{item}", style.inner));
            Edit {
                range: at..at,
                text: text.collect(),
            }
        }
        None => {
            let items = items.join(&format!(",{}", style.inner));
            Edit {
                range: array.span(),
                text: format!("[{}{items}{}]", style.inner, style.outer),
            }
        }
    }
}

/// Removes items of an array by index.
pub(crate) fn remove_items(array: View<'_>, remove: &BTreeSet<usize>) -> Vec<Edit> {
    let items = array.items().unwrap_or_default();
    if !items.is_empty() && (0..items.len()).all(|index| remove.contains(&index)) {
        return vec![Edit {
            range: array.span(),
            text: "[]".to_owned(),
        }];
    }
    let first_kept = (0..items.len())
        .find(|index| !remove.contains(index))
        .unwrap_or(0);
    let cut = |index: &usize| {
        // An item is removed with the comma before it, or with the comma after it if no earlier item stays.
        let range = if *index < first_kept {
            items[*index].span().start..items[index + 1].span().start
        } else {
            items[index - 1].span().end..items[*index].span().end
        };
        Edit {
            range,
            text: String::new(),
        }
    };
    remove
        .iter()
        .filter(|index| **index < items.len())
        .map(cut)
        .collect()
}

/// Removes the members of an object whose keys satisfy `is_removed`.
pub(crate) fn remove_members(object: View<'_>, is_removed: impl Fn(&str) -> bool) -> Vec<Edit> {
    let members = object.members().unwrap_or_default();
    let first_kept = members.iter().position(|member| !is_removed(&member.key));
    let Some(first_kept) = first_kept else {
        let range = object.span();
        let text = "{}".to_owned();
        let is_empty = members.is_empty();
        return (!is_empty)
            .then_some(Edit { range, text })
            .into_iter()
            .collect();
    };
    let cut = |range| Edit {
        range,
        text: String::new(),
    };
    let mut edits = Vec::new();
    if first_kept > 0 {
        let start = object.span().start + 1;
        let space = leading_space(&object.document()[start..]).len();
        let end = members[first_kept - 1].value.span().end;
        edits.push(cut(start + space..after_comma(object.document(), end)));
    }
    for index in first_kept + 1..members.len() {
        if is_removed(&members[index].key) {
            let before = members[index - 1].value.span().end;
            edits.push(cut(before..members[index].value.span().end));
        }
    }
    edits
}

/// The start of the next member, given the end of the value before it.
fn after_comma(document: &str, end: usize) -> usize {
    let rest = &document[end..];
    let comma = rest.find(',').map_or(0, |at| at + 1);
    end + comma + leading_space(&rest[comma..]).len()
}

/// The formatting of a document. Compute it once for all edits, because that searches the document.
#[derive(Debug)]
pub(crate) struct Formatting {
    /// One level of indentation.
    unit: String,
    /// The text between a key and its value.
    colon: String,
}

impl Formatting {
    pub(crate) fn of(document: &str) -> Self {
        Formatting {
            unit: indentation_unit(document),
            colon: colon(document),
        }
    }
}

/// The formatting of one object or array.
struct ContainerStyle<'a> {
    formatting: &'a Formatting,
    /// White space before each member or item.
    inner: String,
    /// White space before the closing bracket.
    outer: String,
}

impl<'a> ContainerStyle<'a> {
    fn of(formatting: &'a Formatting, container: View<'_>) -> Self {
        let unit = formatting.unit.as_str();
        let own = leading_space(&container.text()[1..]);
        let is_empty = matches!(
            container.text()[1 + own.len()..].chars().next(),
            Some('}' | ']')
        );
        let (inner, outer) = if !is_empty {
            let outer = own.strip_suffix(unit).filter(|outer| outer.contains('\n'));
            (own.to_owned(), outer.unwrap_or_default().to_owned())
        } else if unit.is_empty() {
            (String::new(), String::new())
        } else {
            let line = line_indentation(container.document(), container.span().start);
            let outer = format!("\n{line}");
            (format!("{outer}{unit}"), outer)
        };
        ContainerStyle {
            formatting,
            inner,
            outer,
        }
    }

    /// Formats a value. `space` is the white space before each member of its container.
    fn render(&self, value: &Value, space: &str) -> String {
        let inner = if space.contains('\n') {
            format!("{space}{}", self.formatting.unit)
        } else {
            space.to_owned()
        };
        match value {
            Value::Object(map) if !map.is_empty() => {
                let member = |(key, value): (&String, &Value)| {
                    format!(
                        "{inner}{}{}{}",
                        quote(key),
                        self.formatting.colon,
                        self.render(value, &inner)
                    )
                };
                let members: Vec<_> = map.iter().map(member).collect();
                format!("{{{}{space}}}", members.join(","))
            }
            Value::Array(items) if !items.is_empty() => {
                let items: Vec<_> = items
                    .iter()
                    .map(|item| format!("{inner}{}", self.render(item, &inner)))
                    .collect();
                format!("[{}{space}]", items.join(","))
            }
            other => other.to_string(),
        }
    }
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

fn leading_space(text: &str) -> &str {
    &text[..text.len() - text.trim_start_matches(is_space).len()]
}

/// One level of indentation: that of the document's first member. Empty for a document on one line.
fn indentation_unit(document: &str) -> String {
    let space = document
        .find(['{', '['])
        .map_or("", |start| leading_space(&document[start + 1..]));
    space
        .rfind('\n')
        .map_or("", |newline| &space[newline + 1..])
        .to_owned()
}

fn line_indentation(document: &str, at: usize) -> &str {
    let line = document[..at].rfind('\n').map_or(0, |newline| newline + 1);
    leading_space(&document[line..at])
}

/// The text between the document's first key and its value.
fn colon(document: &str) -> String {
    let first = View::of_checked(document).first_member();
    let colon = first.and_then(|first| {
        let value = first.value.span().start;
        let key_end = document[..value].rfind('"')? + 1;
        Some(document[key_end..value].to_owned())
    });
    colon.unwrap_or_else(|| ":".to_owned())
}

fn quote(text: &str) -> String {
    let is_plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
    if text.bytes().all(is_plain) {
        let mut quoted = String::with_capacity(text.len() + 2);
        quoted.push('"');
        quoted.push_str(text);
        quoted.push('"');
        return quoted;
    }
    Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn insert(text: &str, path: &[&str], after: Option<&str>, members: &[(&str, Value)]) -> String {
        let object = path.iter().fold(View::parse(text).unwrap(), |view, key| {
            view.get(key).unwrap()
        });
        apply_edits(
            text,
            vec![insert_members(
                &Formatting::of(text),
                object,
                after,
                members,
            )],
        )
    }

    #[test]
    fn members_are_removed_with_their_comma() {
        let remove = |text: &str| {
            let root = View::parse(text).unwrap();
            apply_edits(text, remove_members(root, |key| key.starts_with('x')))
        };
        for (text, expected) in [
            ("{}", "{}"),
            (r#"{"a":1}"#, r#"{"a":1}"#),
            (r#"{"x":1}"#, "{}"),
            (r#"{ "x1" : [1,2] , "x2":{} }"#, "{}"),
            (r#"{"x":1,"a":2}"#, r#"{"a":2}"#),
            (r#"{"a":1,"x":2}"#, r#"{"a":1}"#),
            (
                r#"{"x":1,"x2":"},","a":2,"x3":3,"x4":4,"b":5}"#,
                r#"{"a":2,"b":5}"#,
            ),
            (
                "{\n  \"x\": 1,\n  \"a\": 2,\n  \"x2\": 3\n}",
                "{\n  \"a\": 2\n}",
            ),
        ] {
            assert_eq!(remove(text), expected, "{text}");
        }
    }

    #[test]
    fn inserted_members_follow_the_formatting_of_the_document() {
        let type_member = [("mediaType", json!("x"))];
        let cases = [
            (
                r#"{"schemaVersion":2,"z":1}"#,
                Some("schemaVersion"),
                r#"{"schemaVersion":2,"mediaType":"x","z":1}"#,
            ),
            (
                r#"{"z": 1}"#,
                Some("schemaVersion"),
                r#"{"mediaType": "x","z": 1}"#,
            ),
            (r#"{}"#, None, r#"{"mediaType":"x"}"#),
            (
                "{\n  \"a\": 1\n}\n",
                Some("a"),
                "{\n  \"a\": 1,\n  \"mediaType\": \"x\"\n}\n",
            ),
            (
                "{\n\t\"a\" : 1\n}",
                None,
                "{\n\t\"mediaType\" : \"x\",\n\t\"a\" : 1\n}",
            ),
        ];
        for (text, after, expected) in cases {
            assert_eq!(insert(text, &[], after, &type_member), expected);
        }
    }

    #[test]
    fn members_of_nested_objects_are_indented() {
        let text = "{\n  \"m\": {\n    \"a\": 1\n  },\n  \"e\": {}\n}";
        let members = [("n", json!({"k": "v"}))];
        assert_eq!(
            insert(text, &["m"], Some("a"), &members),
            "{\n  \"m\": {\n    \"a\": 1,\n    \"n\": {\n      \"k\": \"v\"\n    }\n  },\n  \"e\": {}\n}"
        );
        assert_eq!(
            insert(text, &["e"], None, &[("k", json!("v"))]),
            "{\n  \"m\": {\n    \"a\": 1\n  },\n  \"e\": {\n    \"k\": \"v\"\n  }\n}"
        );
    }

    #[test]
    fn items_are_removed_and_appended() {
        let text = "[1, 2,3]";
        let array = View::parse(text).unwrap();
        let remove = |positions: &[usize]| {
            let positions = positions.iter().copied().collect();
            apply_edits(text, remove_items(array, &positions))
        };
        assert_eq!(remove(&[0]), "[2,3]");
        assert_eq!(remove(&[0, 1]), "[3]");
        assert_eq!(remove(&[1]), "[1,3]");
        assert_eq!(remove(&[1, 2]), "[1]");
        assert_eq!(remove(&[0, 2]), "[2]");
        assert_eq!(remove(&[0, 1, 2]), "[]");
        assert_eq!(
            apply_edits(
                text,
                vec![append_items(
                    &Formatting::of(text),
                    array,
                    &["4".to_owned()]
                )]
            ),
            "[1, 2,3,4]"
        );
        let empty = View::parse("[]").unwrap();
        assert_eq!(
            apply_edits(
                "[]",
                vec![append_items(
                    &Formatting::of("[]"),
                    empty,
                    &["4".to_owned()]
                )]
            ),
            "[4]"
        );
    }
}

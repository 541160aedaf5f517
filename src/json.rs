//! JSON documents as text: a strict check, views that know the byte range of each value, and edits of byte
//! ranges.
//!
//! Edits preserve a document's key order, unknown fields, number spellings, escapes and indentation.
//! Typed structures and `serde_json::Value` do not.

mod check;
mod edit;
mod parts;
mod types;

use std::borrow::Cow;
use std::ops::Range;

use serde::de::IgnoredAny;

pub(crate) use check::{Fault, check, respelled};
pub(crate) use edit::{
    Edit, Formatting, append_items, apply_edits, insert_members, remove_items, remove_members,
    set_member,
};
use parts::Parts;
pub(crate) use types::{Keys, Mismatch, Type};

/// A value in a document's text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    document: &'a str,
    start: usize,
    end: usize,
}

/// A member of an object.
#[derive(Clone, Debug)]
pub(crate) struct Member<'a> {
    pub(crate) key: Cow<'a, str>,
    pub(crate) value: View<'a>,
}

impl<'a> View<'a> {
    /// The document's root value; `None` if the text is not JSON.
    pub(crate) fn parse(document: &'a str) -> Option<Self> {
        serde_json::from_str::<IgnoredAny>(document).ok()?;
        Some(Self::of_checked(document))
    }

    /// The root value of text that [`check`] has accepted, so that it is not parsed twice.
    pub(crate) fn of_checked(document: &'a str) -> Self {
        // Valid JSON has only white space around the root value.
        let is_space = [' ', '\t', '\n', '\r'];
        View {
            document,
            start: document.len() - document.trim_start_matches(is_space).len(),
            end: document.trim_end_matches(is_space).len(),
        }
    }

    /// The value at the [`span`](Self::span) that a view of the same text had.
    pub(crate) fn at(document: &'a str, span: &Range<usize>) -> Self {
        View {
            document,
            start: span.start,
            end: span.end,
        }
    }

    /// The value's byte range in the document.
    pub(crate) fn span(self) -> Range<usize> {
        self.start..self.end
    }

    /// The text of the complete document.
    pub(crate) fn document(self) -> &'a str {
        self.document
    }

    /// The text of the value, as it is in the document.
    pub(crate) fn text(self) -> &'a str {
        self.document.get(self.span()).unwrap_or_default()
    }

    fn parts(self) -> impl Iterator<Item = View<'a>> {
        let document = self.document;
        let parts = Parts::new(document, self.start, self.end);
        parts.map(move |(start, end)| View {
            document,
            start,
            end,
        })
    }

    /// The members of an object in document order; `None` for any other value.
    pub(crate) fn members(self) -> Option<Vec<Member<'a>>> {
        self.each_member()?.collect()
    }

    /// The first member of an object; `None` if it is empty or not an object.
    pub(crate) fn first_member(self) -> Option<Member<'a>> {
        self.each_member()?.next()?
    }

    fn each_member(self) -> Option<impl Iterator<Item = Option<Member<'a>>>> {
        let mut parts = self.text().starts_with('{').then(|| self.parts())?;
        Some(std::iter::from_fn(move || {
            let key = parts.next()?;
            let member = |value| {
                Some(Member {
                    key: key.str()?,
                    value,
                })
            };
            Some(parts.next().and_then(member))
        }))
    }

    /// The items of an array; `None` for any other value.
    pub(crate) fn items(self) -> Option<Vec<View<'a>>> {
        Some(self.each_item()?.collect())
    }

    /// The same, one by one.
    pub(crate) fn each_item(self) -> Option<impl Iterator<Item = View<'a>>> {
        let is_array = self.text().starts_with('[');
        is_array.then(|| self.parts())
    }

    /// The value of a member; `None` if it is missing or `null`. Of duplicates, this is the last, which is
    /// the one that Go uses.
    pub(crate) fn get(self, key: &str) -> Option<View<'a>> {
        find(&self.members()?, key)
    }

    /// The value of a string; `None` for any other value.
    pub(crate) fn string(self) -> Option<String> {
        self.str().map(Cow::into_owned)
    }

    /// Like [`string`](Self::string), but copies only strings that contain escapes.
    pub(crate) fn str(self) -> Option<Cow<'a, str>> {
        let inner = self.text().strip_prefix('"')?.strip_suffix('"')?;
        if inner.contains('\\') {
            return serde_json::from_str(self.text()).ok().map(Cow::Owned);
        }
        Some(Cow::Borrowed(inner))
    }

    /// A size in bytes: an integer from 0 to 2^63 - 1, the range of Go's `int64`; `None` for anything else.
    pub(crate) fn size(self) -> Option<u64> {
        let text = self.text();
        let text = if text == "-0" { "0" } else { text };
        let size: u64 = serde_json::from_str(text).ok()?;
        i64::try_from(size).is_ok().then_some(size)
    }

    /// The members of an object whose values are all strings, such as annotations; `None` for any other
    /// value.
    pub(crate) fn strings(self) -> Option<Vec<(Cow<'a, str>, Cow<'a, str>)>> {
        let members = self.members()?.into_iter();
        let string = |member: Member<'a>| Some((member.key, member.value.str()?));
        members.map(string).collect()
    }

    /// Whether the value is `null`.
    pub(crate) fn is_null(self) -> bool {
        self.text() == "null"
    }
}

/// The value of the last member with this key; `None` if there is none or it is `null`.
pub(crate) fn find<'a>(members: &[Member<'a>], key: &str) -> Option<View<'a>> {
    let member = members.iter().rev().find(|member| member.key == key)?;
    (!member.value.is_null()).then_some(member.value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_report_byte_ranges() {
        let text = " { \"a\" : [1.50, {\"b\":\"x\\u0079\"}] , \"n\": null}\n";
        let root = View::parse(text).unwrap();
        let items = root.get("a").unwrap().items().unwrap();
        assert_eq!(&text[items[0].span()], "1.50");
        let b = items[1].get("b").unwrap();
        assert_eq!(
            View::at(text, &items[1].span()).get("b").unwrap().span(),
            b.span()
        );
        assert_eq!(b.string().unwrap(), "xy");
        assert_eq!(&text[b.span()], "\"x\\u0079\"");
        assert!(root.get("n").is_none());
        assert!(root.get("missing").is_none());
    }

    #[test]
    fn sizes_are_non_negative_integers() {
        for (text, expected) in [
            ("0", Some(0)),
            ("9223372036854775807", Some(u64::MAX >> 1)),
            ("9223372036854775808", None),
            ("-0", Some(0)),
            ("-1", None),
            ("-0.0", None),
            ("1.0", None),
            ("\"1\"", None),
        ] {
            assert_eq!(View::parse(text).unwrap().size(), expected, "{text}");
        }
    }
}

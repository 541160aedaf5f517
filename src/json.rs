//! JSON documents as their original text: a strict check, a view that knows where each value
//! stands, and edits of byte ranges.
//!
//! A document that must change keeps its key order, unknown fields, number spellings, escapes and
//! indentation, which neither typed structures nor `serde_json::Value` do.

mod check;
mod edit;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

pub(crate) use check::{Fault, KeyCase, check, check_but_duplicates};
pub(crate) use edit::{
    Edit, HouseStyle, append_items, apply_edits, insert_members, remove_items, remove_members,
    set_member,
};

/// A value within a document's text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    document: &'a str,
    raw: &'a RawValue,
}

/// A member of an object, in the order of the text.
#[derive(Clone, Debug)]
pub(crate) struct Member<'a> {
    pub(crate) key: String,
    pub(crate) value: View<'a>,
}

impl<'a> View<'a> {
    /// The document's root value; `None` if the text is not JSON.
    pub(crate) fn parse(document: &'a str) -> Option<Self> {
        let raw = serde_json::from_str(document).ok()?;
        Some(View { document, raw })
    }

    /// The byte range of this value in the document.
    pub(crate) fn span(self) -> Range<usize> {
        let start = self.raw.get().as_ptr() as usize - self.document.as_ptr() as usize;
        start..start + self.raw.get().len()
    }

    /// The whole document that the value stands in.
    pub(crate) fn document(self) -> &'a str {
        self.document
    }

    /// The value's own text.
    pub(crate) fn text(self) -> &'a str {
        self.raw.get()
    }

    fn nested(self, raw: &'a RawValue) -> Self {
        View {
            document: self.document,
            raw,
        }
    }

    /// The members of an object; `None` for any other value.
    pub(crate) fn members(self) -> Option<Vec<Member<'a>>> {
        let Members(members) = serde_json::from_str(self.text()).ok()?;
        let member = |(key, raw)| Member {
            key,
            value: self.nested(raw),
        };
        Some(members.into_iter().map(member).collect())
    }

    /// The items of an array; `None` for any other value.
    pub(crate) fn items(self) -> Option<Vec<View<'a>>> {
        let items: Vec<&'a RawValue> = serde_json::from_str(self.text()).ok()?;
        Some(items.into_iter().map(|raw| self.nested(raw)).collect())
    }

    /// The member of that name; the last one, as Go reads it, where duplicates were let through.
    pub(crate) fn get(self, key: &str) -> Option<View<'a>> {
        find(&self.members()?, key)
    }

    /// A string's value.
    pub(crate) fn string(self) -> Option<String> {
        serde_json::from_str(self.text()).ok()
    }

    /// A number that is a size in bytes: an integer from 0 to 2^63 - 1.
    pub(crate) fn size(self) -> Option<u64> {
        let size: u64 = serde_json::from_str(self.text()).ok()?;
        i64::try_from(size).is_ok().then_some(size)
    }

    /// An object of strings, such as annotations.
    pub(crate) fn strings(self) -> Option<BTreeMap<String, String>> {
        serde_json::from_str(self.text()).ok()
    }

    /// Whether the value is `null`.
    pub(crate) fn is_null(self) -> bool {
        self.text() == "null"
    }
}

/// The last member of that name that is not null.
pub(crate) fn find<'a>(members: &[Member<'a>], key: &str) -> Option<View<'a>> {
    let member = members.iter().rev().find(|member| member.key == key)?;
    (!member.value.is_null()).then_some(member.value)
}

struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;

        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Collect)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_know_where_they_stand() {
        let text = " { \"a\" : [1.50, {\"b\":\"x\\u0079\"}] , \"n\": null}\n";
        let root = View::parse(text).unwrap();
        let items = root.get("a").unwrap().items().unwrap();
        assert_eq!(&text[items[0].span()], "1.50");
        let b = items[1].get("b").unwrap();
        assert_eq!(b.string().unwrap(), "xy");
        assert_eq!(&text[b.span()], "\"x\\u0079\"");
        assert!(root.get("n").is_none());
        assert!(root.get("missing").is_none());
    }

    #[test]
    fn sizes_are_whole_and_not_negative() {
        for (text, expected) in [
            ("0", Some(0)),
            ("9223372036854775807", Some(u64::MAX >> 1)),
            ("9223372036854775808", None),
            ("-1", None),
            ("1.0", None),
            ("\"1\"", None),
        ] {
            assert_eq!(View::parse(text).unwrap().size(), expected, "{text}");
        }
    }
}

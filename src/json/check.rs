//! The strict check that every document must pass before it is used.
//!
//! Go's decoder ignores the case of keys and uses the last duplicate. Other decoders match keys exactly,
//! and use the first duplicate or fail. A document with duplicate keys, or with a known key in two
//! spellings, therefore means different things to different readers. CVE-2021-41190 is a related attack.
//!
//! A known key in one unusual spelling means one thing to the readers that find it. [`respelled`] gives it the usual one.
//!
//! The check also finds values that readers cannot decode.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use super::types::{Keys, Mismatch, Part, Type, fold, is_time};
use super::{Edit, View, apply_edits};

/// Keys of which nothing is known.
const NO_KEYS: &Keys = &Keys(&[]);

/// Why a document was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is not valid JSON, or nested too deeply.
    Invalid(String),
    /// An object contains this key more than once.
    Duplicate(String),
    /// An object contains this key beside another spelling of the known one.
    Case { found: String, known: &'static str },
}

/// What a document that was accepted contains.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Checked {
    /// Duplicate keys, if they are allowed.
    pub(crate) duplicates: Vec<String>,
    /// Whether a known key has another spelling.
    pub(crate) has_other_spelling: bool,
    /// The first value that no reader can decode.
    pub(crate) mismatch: Option<Mismatch>,
    /// The first value that some readers cannot decode.
    pub(crate) partly: Option<Mismatch>,
}

/// Checks a document, which readers decode as `root`. The error is the first fault in it; a value that they cannot decode
/// is none.
pub(crate) fn check(text: &str, root: Type, allow_duplicates: bool) -> Result<Checked, Fault> {
    let checked = check_text(text, root, allow_duplicates)?;
    if checked.mismatch.is_none() && checked.partly.is_none() {
        return Ok(checked);
    }
    // serde_json reads the number `-0` as a float, and Go as an integer.
    match without_negative_zeros(text) {
        Some(text) => check_text(&text, root, allow_duplicates),
        None => Ok(checked),
    }
}

/// The text of a document with `0` in place of every number `-0`; `None` if it has none.
fn without_negative_zeros(text: &str) -> Option<String> {
    let mut changed = text.as_bytes().to_vec();
    let mut is_string = false;
    let mut is_escaped = false;
    let is_delimiter = |byte: Option<&u8>| byte.is_none_or(|byte| b" \t\n\r,:[]}".contains(byte));
    let bytes = text.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_string => is_escaped = true,
            b'"' => is_string = !is_string,
            b'-' if !is_string => {
                let before = at.checked_sub(1).and_then(|before| bytes.get(before));
                let is_zero = bytes.get(at + 1) == Some(&b'0');
                if is_zero && is_delimiter(before) && is_delimiter(bytes.get(at + 2)) {
                    changed[at] = b' ';
                }
            }
            _ => {}
        }
    }
    (changed != bytes).then(|| String::from_utf8(changed).ok())?
}

fn check_text(text: &str, root: Type, allow_duplicates: bool) -> Result<Checked, Fault> {
    let mut outcome = Outcome {
        allow_duplicates,
        checked: Checked::default(),
        fault: None,
    };
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let checker = Checker {
        expected: root,
        is_partly: false,
        outcome: &mut outcome,
    };
    let result = checker
        .deserialize(&mut deserializer)
        .and_then(|()| deserializer.end());
    match (outcome.fault, result) {
        (Some(fault), _) => Err(fault),
        (None, Err(error)) => Err(Fault::Invalid(error.to_string())),
        (None, Ok(())) => Ok(outcome.checked),
    }
}

/// The text of a document that was accepted with the usual spelling of each known key, and the keys that were spelled
/// otherwise: as found, and as they are known.
pub(crate) fn respelled(text: &str, root: Type) -> (String, Vec<(String, &'static str)>) {
    let mut edits = Vec::new();
    let mut found = Vec::new();
    respell(View::of_checked(text), root, &mut edits, &mut found);
    found.sort_unstable();
    found.dedup();
    (apply_edits(text, edits), found)
}

fn respell(
    view: View<'_>,
    expected: Type,
    edits: &mut Vec<Edit>,
    found: &mut Vec<(String, &'static str)>,
) {
    let keys = match expected {
        Type::Partly(inner) => return respell(view, *inner, edits, found),
        Type::List(inner) => {
            for item in view.items().unwrap_or_default() {
                respell(item, *inner, edits, found);
            }
            return;
        }
        Type::Map(inner) => {
            for member in view.members().unwrap_or_default() {
                respell(member.value, *inner, edits, found);
            }
            return;
        }
        Type::Object(keys) if view.text().starts_with('{') => keys,
        _ => return,
    };
    let mut parts = view.parts();
    while let (Some(key), Some(value)) = (parts.next(), parts.next()) {
        let Some(name) = key.str() else { continue };
        let Some(position) = keys.position(&name) else {
            continue;
        };
        let (known, inner) = keys.0[position];
        if name != known {
            edits.push(Edit::string(key.span(), known));
            found.push((name.into_owned(), known));
        }
        respell(value, inner, edits, found);
    }
}

struct Outcome {
    allow_duplicates: bool,
    checked: Checked,
    fault: Option<Fault>,
}

/// Checks one value and everything in it.
struct Checker<'o> {
    expected: Type,
    /// Whether only some readers decode it.
    is_partly: bool,
    outcome: &'o mut Outcome,
}

impl Checker<'_> {
    /// The fault of a key, or what readers decode its value as.
    fn key<'k>(&mut self, seen: &mut Seen<'k>, key: Cow<'k, str>) -> Result<Type, Fault> {
        let (keys, other) = match self.expected {
            Type::Object(keys) => (keys, Type::Any),
            Type::Map(inner) => (NO_KEYS, *inner),
            _ => (NO_KEYS, Type::Any),
        };
        let position = keys.position(&key);
        let is_other = position.is_some_and(|position| keys.0[position].0 != key);
        let first_spelling = position.is_none_or(|position| seen.known & (1 << position) == 0);
        if let Some(key) = seen.insert(key) {
            if !self.outcome.allow_duplicates {
                return Err(Fault::Duplicate(key));
            }
            self.outcome.checked.duplicates.push(key);
        } else if let (Some(position), false) = (position, first_spelling) {
            let known = keys.0[position].0;
            let found = seen.other_spelling(known);
            return Err(Fault::Case { found, known });
        }
        self.outcome.checked.has_other_spelling |= is_other;
        let Some(position) = position else {
            return Ok(other);
        };
        seen.known |= 1 << position;
        Ok(keys.0[position].1)
    }

    /// Checks a value in this one.
    fn inner(&mut self, expected: Type) -> Checker<'_> {
        Checker {
            expected,
            is_partly: self.is_partly,
            outcome: self.outcome,
        }
    }

    /// Notes the value, which is `found`, unless readers can decode it.
    fn accept(self, found: &'static str, is_right: impl FnOnce(Type) -> bool) {
        let expected = self.expected;
        if matches!(expected, Type::Any) || is_right(expected) {
            return;
        }
        let is_partly = self.is_partly;
        self.outcome.note(expected, found, is_partly);
    }

    fn accept_text(self, is_time: bool) {
        match self.expected {
            Type::Words => self.outcome.note(Type::Words, "a string", true),
            Type::Time => self.accept("a string in another format", |_| is_time),
            _ => self.accept("a string", |expected| matches!(expected, Type::Text)),
        }
    }
}

impl Outcome {
    /// Notes a value that no reader can decode, or only some.
    fn note(&mut self, expected: Type, found: &'static str, is_partly: bool) {
        let first = match is_partly {
            false => &mut self.checked.mismatch,
            true => &mut self.checked.partly,
        };
        first.get_or_insert_with(|| Mismatch {
            parts: Vec::new(),
            expected: expected.expected(),
            found,
        });
    }

    /// Which of the two kinds of mismatches were found.
    fn noted(&self) -> [bool; 2] {
        [
            self.checked.mismatch.is_some(),
            self.checked.partly.is_some(),
        ]
    }

    /// Adds a part to the path of mismatches that were found since `before`.
    fn locate(&mut self, before: [bool; 2], part: impl Fn() -> Part) {
        let both = [&mut self.checked.mismatch, &mut self.checked.partly];
        for (mismatch, was_there) in both.into_iter().zip(before) {
            if let (Some(mismatch), false) = (mismatch, was_there) {
                mismatch.parts.push(part());
            }
        }
    }
}

/// The keys of one object. Most objects have few, for which a linear search is faster than hashing.
#[derive(Default)]
struct Seen<'k> {
    few: [Cow<'k, str>; 16],
    count: usize,
    many: HashSet<Cow<'k, str>>,
    /// The positions of the known keys, as bits.
    known: u32,
}

impl<'k> Seen<'k> {
    /// A key that readers which ignore case take for a known one.
    fn other_spelling(&self, known: &str) -> String {
        let mut keys = self.few[..self.count].iter().chain(&self.many);
        let found = keys.find(|key| **key != known && fold(key).eq(fold(known)));
        found.map_or_else(|| known.to_owned(), |key| key.clone().into_owned())
    }

    /// Adds a key. Returns it if it was already present.
    fn insert(&mut self, key: Cow<'k, str>) -> Option<String> {
        if self.few[..self.count].contains(&key) || self.many.contains(&key) {
            return Some(key.into_owned());
        }
        match self.few.get_mut(self.count) {
            Some(next) => {
                *next = key;
                self.count += 1;
            }
            None => {
                self.many.insert(key);
            }
        }
        None
    }
}

/// Deserializes a key, and copies it only if it contains escapes.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(key))
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(key.to_owned()))
    }
}

impl<'de> DeserializeSeed<'de> for Checker<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(mut self, deserializer: D) -> Result<(), D::Error> {
        if let Type::Partly(inner) = self.expected {
            self.expected = *inner;
            self.is_partly = true;
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Checker<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        self.accept("a boolean", |expected| matches!(expected, Type::Flag));
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        self.accept("a number", |expected| matches!(expected, Type::Integer));
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        let is_small = i64::try_from(value).is_ok();
        self.accept("a number", |expected| {
            matches!(expected, Type::Integer) && is_small
        });
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        self.accept("a number", |_| false);
        Ok(())
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<(), E> {
        let is_time = matches!(self.expected, Type::Time) && is_time(text);
        self.accept_text(is_time);
        Ok(())
    }

    /// Text with escapes, which Go does not resolve in a time.
    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        self.accept_text(false);
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        let item = match self.expected {
            Type::List(item) => *item,
            Type::Words => Type::Text,
            _ => Type::Any,
        };
        let is_list = matches!(self.expected, Type::List(_) | Type::Words);
        self.inner(self.expected).accept("a list", |_| is_list);
        for position in 0.. {
            let before = self.outcome.noted();
            if seq.next_element_seed(self.inner(item))?.is_none() {
                break;
            }
            self.outcome.locate(before, || Part::Item(position));
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        let is_object = matches!(self.expected, Type::Map(_) | Type::Object(_));
        self.inner(self.expected).accept("an object", |_| is_object);
        let mut seen = Seen::default();
        while let Some(key) = map.next_key_seed(Key)? {
            let name = key.clone();
            let inner = self.key(&mut seen, key).map_err(|fault| {
                self.outcome.fault = Some(fault);
                A::Error::custom("key fault")
            })?;
            let before = self.outcome.noted();
            map.next_value_seed(self.inner(inner))?;
            self.outcome
                .locate(before, || Part::Key(name.clone().into_owned()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ITEM: Type = Type::Object(&Keys(&[("size", Type::Any), ("annotations", Type::Any)]));
    const ROOT: Type = Type::Object(&Keys(&[
        ("manifests", Type::List(&ITEM)),
        ("annotations", Type::Any),
    ]));

    #[test]
    fn duplicate_keys_and_two_spellings_are_faults() {
        let right = || Ok(Checked::default());
        let other_spelling = || {
            Ok(Checked {
                has_other_spelling: true,
                ..Checked::default()
            })
        };
        let case = |found: &str, known| {
            Err(Fault::Case {
                found: found.to_owned(),
                known,
            })
        };
        let duplicate = |key: &str| Err(Fault::Duplicate(key.to_owned()));
        #[rustfmt::skip]
        let cases = [
            ("valid", r#"{"manifests":[{"size":1,"other":1e2}],"x":{"X":1,"y":null}}"#, right()),
            ("duplicate", r#"{"x":1,"x":1}"#, duplicate("x")),
            ("escaped duplicate", r#"{"x":1,"\u0078":1}"#, duplicate("x")),
            ("nested duplicate", r#"{"a":{"b":{"c":{"d":1,"d":2}}}}"#, duplicate("d")),
            ("another spelling", r#"{"Manifests":[]}"#, other_spelling()),
            ("in an item", r#"{"manifests":[{"SIZE":1}]}"#, other_spelling()),
            ("in an item of another spelling", r#"{"MANIFESTS":[{"size":1,"SIZE":1}]}"#, case("SIZE", "size")),
            ("long s", "{\"manife\u{17f}ts\":[]}", other_spelling()),
            ("two spellings", r#"{"manifests":[],"Manifests":[]}"#, case("Manifests", "manifests")),
            ("the usual one last", r#"{"Manifests":[],"manifests":[]}"#, case("Manifests", "manifests")),
            ("two unusual ones", r#"{"Manifests":[],"MANIFESTS":[]}"#, case("Manifests", "manifests")),
            ("one unusual one twice", r#"{"Manifests":[],"Manifests":[]}"#, duplicate("Manifests")),
            ("user-defined keys", r#"{"annotations":{"Size":"1"}}"#, right()),
            ("in an unknown object", r#"{"a":{"Size":1,"size":2}}"#, right()),
            ("in an object of another role", r#"{"Size":1}"#, right()),
        ];
        for (name, text, expected) in cases {
            assert_eq!(check(text, ROOT, false), expected, "{name}");
        }
    }

    #[test]
    fn duplicates_can_be_allowed_and_two_spellings_cannot() {
        let found = check(r#"{"x":1,"x":2,"SIZE":1}"#, ITEM, true).unwrap();
        assert_eq!(found.duplicates, ["x"]);
        assert!(found.has_other_spelling);
        let fault = check(r#"{"SIZE":1,"size":1}"#, ITEM, true).unwrap_err();
        assert!(matches!(fault, Fault::Case { .. }));
    }

    #[test]
    fn known_keys_are_respelled_and_all_else_stays() {
        let text = " {\"Manife\u{17f}ts\" : [ {\"SIZE\":1.0,\"Size \":2}, {\"\\u0053ize\":3} ],\n \"X\": {\"SIZE\": 4}}";
        let (found, keys) = respelled(text, ROOT);
        let expected = " {\"manifests\" : [ {\"size\":1.0,\"Size \":2}, {\"size\":3} ],\n \"X\": {\"SIZE\": 4}}";
        assert_eq!(found, expected);
        let keys: Vec<(&str, &str)> = keys
            .iter()
            .map(|(found, known)| (&**found, *known))
            .collect();
        assert_eq!(
            keys,
            [
                ("Manife\u{17f}ts", "manifests"),
                ("SIZE", "size"),
                ("Size", "size")
            ]
        );
        assert_eq!(respelled(&found, ROOT), (found.clone(), vec![]));
    }

    #[test]
    fn invalid_json_is_a_fault() {
        let deep = "[".repeat(100_000);
        for text in ["", "{", "{}x", "{\"a\":01}", "\u{feff}{}", deep.as_str()] {
            assert!(matches!(check(text, ROOT, false), Err(Fault::Invalid(_))));
        }
    }

    #[test]
    fn values_that_readers_cannot_decode_are_found() {
        const LIST: Type = Type::List(&Type::Text);
        const INNER: Keys = Keys(&[("flag", Type::Flag), ("time", Type::Time)]);
        const ROOT: Type = Type::Object(&Keys(&[
            ("text", Type::Text),
            ("number", Type::Integer),
            ("inner", Type::List(&Type::Object(&INNER))),
            ("map", Type::Map(&LIST)),
            ("words", Type::Words),
            (
                "some",
                Type::Partly(&Type::Object(&Keys(&[
                    ("words", Type::Words),
                    ("flag", Type::Flag),
                ]))),
            ),
        ]));
        let none: Option<(&str, &str, &str)> = None;
        let integer = "an integer of at most 64 bits";
        let time = "a time such as 2006-01-02T15:04:05Z";
        #[rustfmt::skip]
        let cases = [
            (r#"{"text":"","number":-7,"inner":[{"flag":true}],"map":{"Text":["x"]},"words":["a"],"other":[1,{}]}"#, none, none),
            (r#"{"text":null,"number":null,"inner":[null],"map":{"a":null},"words":[null],"some":null}"#, none, none),
            (r#"{"number":9223372036854775807}"#, none, none),
            (r#"{"number":-0,"some":{"words":[]}}"#, none, none),
            (r#"{"number": -0 ,"text":5}"#, Some(("text", "a number", "a string")), none),
            (r#"{"number":-0.0}"#, Some(("number", "a number", integer)), none),
            (r#"{"number":-0e0}"#, Some(("number", "a number", integer)), none),
            (r#"{"number":-1e-999}"#, Some(("number", "a number", integer)), none),
            (r#"{"text":-0}"#, Some(("text", "a number", "a string")), none),
            (r#"{"number":-0,"a\"-0":1,"a\" 0":2,"text":5}"#, Some(("text", "a number", "a string")), none),
            ("[]", Some(("", "a list", "an object")), none),
            ("5", Some(("", "a number", "an object")), none),
            (r#"{"text":5}"#, Some(("text", "a number", "a string")), none),
            (r#"{"TEXT":["x"]}"#, Some(("TEXT", "a list", "a string")), none),
            (r#"{"number":1.0}"#, Some(("number", "a number", integer)), none),
            (r#"{"number":1e2}"#, Some(("number", "a number", integer)), none),
            (r#"{"number":9223372036854775808}"#, Some(("number", "a number", integer)), none),
            (r#"{"number":"1"}"#, Some(("number", "a string", integer)), none),
            (r#"{"inner":[{},{"flag":0}]}"#, Some(("inner[1], flag", "a number", "true or false")), none),
            (r#"{"inner":{}}"#, Some(("inner", "an object", "a list")), none),
            (r#"{"inner":[{"time":"2006-01-02"}]}"#, Some(("inner[0], time", "a string in another format", time)), none),
            (r#"{"inner":[{"time":"2006-01-02T15:04:0\u0035Z"}]}"#, Some(("inner[0], time", "a string in another format", time)), none),
            (r#"{"inner":[{"time":5}]}"#, Some(("inner[0], time", "a number", time)), none),
            (r#"{"map":{"a":["x",false]}}"#, Some(("map, a[1]", "a boolean", "a string")), none),
            (r#"{"words":"a"}"#, none, Some(("words", "a string", "a list of strings"))),
            (r#"{"words":5}"#, Some(("words", "a number", "a list of strings")), none),
            (r#"{"some":{"words":"a"}}"#, none, Some(("some, words", "a string", "a list of strings"))),
            (r#"{"some":{"flag":"a"}}"#, none, Some(("some, flag", "a string", "true or false"))),
            (r#"{"some":5,"text":[]}"#, Some(("text", "a list", "a string")), Some(("some", "a number", "an object"))),
        ];
        for (text, mismatch, partly) in cases {
            let found = check(text, ROOT, false).unwrap();
            for (found, expected) in [(found.mismatch, mismatch), (found.partly, partly)] {
                let path = found.as_ref().map(Mismatch::path);
                let found = found.as_ref().map(|found| (found.found, found.expected));
                let expected_path = expected.map(|(path, _, _)| path.to_owned());
                assert_eq!(path, expected_path, "{text}");
                assert_eq!(
                    found,
                    expected.map(|(_, found, wanted)| (found, wanted)),
                    "{text}"
                );
            }
        }
    }
}

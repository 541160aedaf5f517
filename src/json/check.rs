//! The strict check that every document must pass before it is used.
//!
//! Go's decoder ignores the case of keys and uses the last duplicate. Other decoders match keys exactly,
//! and use the first duplicate or fail. A document with duplicate keys, or with a known key in two
//! spellings, therefore means different things to different readers. CVE-2021-41190 is a related attack.
//!
//! A known key in one unusual spelling means one thing to the readers that find it. [`respelled`] gives it the usual one.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use super::{Edit, View, apply_edits};

/// The keys of an object that readers decode into fields, at most 32, with the keys of the objects that they lead to,
/// directly or in a list. Nothing is known about the keys of other objects.
#[derive(Debug)]
pub(crate) struct Keys(pub(crate) &'static [(&'static str, Option<&'static Keys>)]);

/// Keys of which nothing is known.
const NO_KEYS: &Keys = &Keys(&[]);

impl Keys {
    /// The position of the key that readers take for this one.
    fn position(&self, key: &str) -> Option<usize> {
        let exact = self.0.iter().position(|(known, _)| *known == key);
        exact.or_else(|| {
            let mut known = self.0.iter();
            known.position(|(known, _)| fold(known).eq(fold(key)))
        })
    }
}

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
}

/// Checks a document. The error is the first fault in it.
pub(crate) fn check(
    text: &str,
    keys: &'static Keys,
    allow_duplicates: bool,
) -> Result<Checked, Fault> {
    let mut outcome = Outcome {
        allow_duplicates,
        checked: Checked::default(),
        fault: None,
    };
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let checker = Checker {
        keys,
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
pub(crate) fn respelled(text: &str, keys: &'static Keys) -> (String, Vec<(String, &'static str)>) {
    let mut edits = Vec::new();
    let mut found = Vec::new();
    respell(View::of_checked(text), keys, &mut edits, &mut found);
    found.sort_unstable();
    found.dedup();
    (apply_edits(text, edits), found)
}

fn respell(
    view: View<'_>,
    keys: &'static Keys,
    edits: &mut Vec<Edit>,
    found: &mut Vec<(String, &'static str)>,
) {
    if let Some(items) = view.items() {
        for item in items {
            respell(item, keys, edits, found);
        }
        return;
    }
    if !view.text().starts_with('{') {
        return;
    }
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
        if let Some(inner) = inner {
            respell(value, inner, edits, found);
        }
    }
}

struct Outcome {
    allow_duplicates: bool,
    checked: Checked,
    fault: Option<Fault>,
}

/// Checks one value and everything in it.
struct Checker<'o> {
    keys: &'static Keys,
    outcome: &'o mut Outcome,
}

impl Checker<'_> {
    /// The fault of a key, or what is known of the object that it leads to.
    fn key<'k>(&mut self, seen: &mut Seen<'k>, key: Cow<'k, str>) -> Result<&'static Keys, Fault> {
        let position = self.keys.position(&key);
        let is_other = position.is_some_and(|position| self.keys.0[position].0 != key);
        let first_spelling = position.is_none_or(|position| seen.known & (1 << position) == 0);
        if let Some(key) = seen.insert(key) {
            if !self.outcome.allow_duplicates {
                return Err(Fault::Duplicate(key));
            }
            self.outcome.checked.duplicates.push(key);
        } else if let (Some(position), false) = (position, first_spelling) {
            let known = self.keys.0[position].0;
            let found = seen.other_spelling(known);
            return Err(Fault::Case { found, known });
        }
        self.outcome.checked.has_other_spelling |= is_other;
        let Some(position) = position else {
            return Ok(NO_KEYS);
        };
        seen.known |= 1 << position;
        Ok(self.keys.0[position].1.unwrap_or(NO_KEYS))
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

/// Folds case the way Go's encoding/json does, which maps two non-ASCII letters to ASCII.
fn fold(key: &str) -> impl Iterator<Item = char> {
    key.chars().map(|c| match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        c => c.to_ascii_lowercase(),
    })
}

impl<'de> DeserializeSeed<'de> for Checker<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Checker<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        loop {
            let checker = Checker {
                keys: self.keys,
                outcome: self.outcome,
            };
            if seq.next_element_seed(checker)?.is_none() {
                return Ok(());
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        let mut seen = Seen::default();
        while let Some(key) = map.next_key_seed(Key)? {
            let keys = self.key(&mut seen, key).map_err(|fault| {
                self.outcome.fault = Some(fault);
                A::Error::custom("key fault")
            })?;
            map.next_value_seed(Checker {
                keys,
                outcome: self.outcome,
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ITEM: Keys = Keys(&[("size", None), ("annotations", None)]);
    const KEYS: Keys = Keys(&[("manifests", Some(&ITEM)), ("annotations", None)]);

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
            assert_eq!(check(text, &KEYS, false), expected, "{name}");
        }
    }

    #[test]
    fn duplicates_can_be_allowed_and_two_spellings_cannot() {
        let found = check(r#"{"x":1,"x":2,"SIZE":1}"#, &ITEM, true).unwrap();
        assert_eq!(found.duplicates, ["x"]);
        assert!(found.has_other_spelling);
        let fault = check(r#"{"SIZE":1,"size":1}"#, &ITEM, true).unwrap_err();
        assert!(matches!(fault, Fault::Case { .. }));
    }

    #[test]
    fn known_keys_are_respelled_and_all_else_stays() {
        let text = " {\"Manife\u{17f}ts\" : [ {\"SIZE\":1.0,\"Size \":2}, {\"\\u0053ize\":3} ],\n \"X\": {\"SIZE\": 4}}";
        let (found, keys) = respelled(text, &KEYS);
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
        assert_eq!(respelled(&found, &KEYS), (found.clone(), vec![]));
    }

    #[test]
    fn invalid_json_is_a_fault() {
        let deep = "[".repeat(100_000);
        for text in ["", "{", "{}x", "{\"a\":01}", "\u{feff}{}", deep.as_str()] {
            assert!(matches!(check(text, &KEYS, false), Err(Fault::Invalid(_))));
        }
    }
}

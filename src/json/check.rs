//! The strict check that every document must pass before it is used.
//!
//! Go's decoder ignores the case of keys and uses the last duplicate. Other decoders match keys exactly,
//! and use the first duplicate or fail. A document with duplicate keys, or with a known key in unusual
//! case, therefore means different things to different readers. CVE-2021-41190 is a related attack.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

/// Which keys of a document must be spelled exactly.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyCase {
    /// The keys that readers decode into fields.
    pub(crate) known: &'static [&'static str],
    /// How many levels of objects are checked for these keys.
    pub(crate) levels: usize,
}

/// Why a document was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is not valid JSON, or nested too deeply.
    Invalid(String),
    /// An object contains this key more than once.
    Duplicate(String),
    /// A key differs from a known one only in case.
    Case { found: String, known: &'static str },
}

/// Checks a document. The error is the first fault in it.
pub(crate) fn check(text: &str, keys: KeyCase) -> Result<(), Fault> {
    match check_all(text, keys, false) {
        Ok(_) => Ok(()),
        Err(fault) => Err(fault),
    }
}

/// Checks a document, but allows duplicate keys and returns them.
pub(crate) fn check_allowing_duplicates(text: &str, keys: KeyCase) -> Result<Vec<String>, Fault> {
    check_all(text, keys, true)
}

fn check_all(text: &str, keys: KeyCase, allow_duplicates: bool) -> Result<Vec<String>, Fault> {
    let mut outcome = Outcome {
        allow_duplicates,
        duplicates: Vec::new(),
        fault: None,
    };
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let checker = Checker {
        keys,
        level: 0,
        outcome: &mut outcome,
    };
    let result = checker
        .deserialize(&mut deserializer)
        .and_then(|()| deserializer.end());
    match (outcome.fault, result) {
        (Some(fault), _) => Err(fault),
        (None, Err(error)) => Err(Fault::Invalid(error.to_string())),
        (None, Ok(())) => Ok(outcome.duplicates),
    }
}

struct Outcome {
    allow_duplicates: bool,
    duplicates: Vec<String>,
    fault: Option<Fault>,
}

/// Checks one value and everything in it.
struct Checker<'o> {
    keys: KeyCase,
    level: usize,
    outcome: &'o mut Outcome,
}

impl Checker<'_> {
    fn key_fault<'k>(&mut self, seen: &mut Seen<'k>, key: Cow<'k, str>) -> Option<Fault> {
        let known = self.keys.known;
        if self.level < self.keys.levels && !known.contains(&&*key) {
            let is_alike = |known: &&&str| fold(known).eq(fold(&key));
            if let Some(known) = known.iter().find(is_alike) {
                let found = key.into_owned();
                return Some(Fault::Case { found, known });
            }
        }
        let key = seen.insert(key)?;
        if self.outcome.allow_duplicates {
            self.outcome.duplicates.push(key);
            return None;
        }
        Some(Fault::Duplicate(key))
    }
}

/// The keys of one object. Most objects have few, for which a linear search is faster than hashing.
#[derive(Default)]
struct Seen<'k> {
    few: [Cow<'k, str>; 16],
    count: usize,
    many: HashSet<Cow<'k, str>>,
}

impl<'k> Seen<'k> {
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

/// Whether the member's value is an object with user-defined keys.
fn is_free_map(key: &str) -> bool {
    matches!(key, "annotations" | "Labels" | "LayerSources")
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
                level: self.level,
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
            let level = if is_free_map(&key) {
                usize::MAX
            } else {
                self.level.saturating_add(1)
            };
            if let Some(fault) = self.key_fault(&mut seen, key) {
                self.outcome.fault = Some(fault);
                return Err(A::Error::custom("key fault"));
            }
            map.next_value_seed(Checker {
                keys: self.keys,
                level,
                outcome: self.outcome,
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: KeyCase = KeyCase {
        known: &["manifests", "annotations", "size"],
        levels: 2,
    };

    #[test]
    fn duplicate_keys_and_case_variants_are_faults() {
        let case = |found: &str, known| {
            Err(Fault::Case {
                found: found.to_owned(),
                known,
            })
        };
        let cases = [
            (
                "valid",
                r#"{"manifests":[{"size":1,"other":1e2}],"x":{"X":1,"y":null}}"#,
                Ok(()),
            ),
            (
                "duplicate",
                r#"{"x":1,"x":1}"#,
                Err(Fault::Duplicate("x".into())),
            ),
            (
                "escaped duplicate",
                r#"{"x":1,"\u0078":1}"#,
                Err(Fault::Duplicate("x".into())),
            ),
            (
                "nested duplicate",
                r#"{"a":{"b":{"c":{"d":1,"d":2}}}}"#,
                Err(Fault::Duplicate("d".into())),
            ),
            (
                "wrong case",
                r#"{"Manifests":[]}"#,
                case("Manifests", "manifests"),
            ),
            (
                "wrong case in an item",
                r#"{"manifests":[{"SIZE":1}]}"#,
                case("SIZE", "size"),
            ),
            (
                "long s",
                "{\"manife\u{17f}ts\":[]}",
                case("manife\u{17f}ts", "manifests"),
            ),
            (
                "user-defined keys",
                r#"{"annotations":{"Size":"1"}}"#,
                Ok(()),
            ),
            (
                "below the checked levels",
                r#"{"a":{"b":{"Size":1}}}"#,
                Ok(()),
            ),
        ];
        for (name, text, expected) in cases {
            assert_eq!(check(text, KEYS), expected, "{name}");
        }
    }

    #[test]
    fn invalid_json_is_a_fault() {
        let deep = "[".repeat(100_000);
        for text in ["", "{", "{}x", "{\"a\":01}", "\u{feff}{}", deep.as_str()] {
            assert!(matches!(check(text, KEYS), Err(Fault::Invalid(_))));
        }
    }
}

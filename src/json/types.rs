//! What readers decode each value of a document as, and values that they cannot decode.
//!
//! Engines use Go's `encoding/json`: it ignores `null` and unknown keys, and refuses a document in which a known key has a
//! value of another type.

use std::fmt;

/// What readers decode a value as.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Type {
    /// They do not decode it, or take any value.
    Any,
    /// A string.
    Text,
    /// `true` or `false`.
    Flag,
    /// A whole number of 64 bits, without a point or an exponent.
    Integer,
    /// A time as RFC 3339 has it.
    Time,
    /// A list of strings. Some readers accept one string.
    Words,
    /// A list of such values.
    List(&'static Type),
    /// An object with any keys and such values.
    Map(&'static Type),
    /// An object with these keys.
    Object(&'static Keys),
    /// Such a value, which only some readers decode.
    Partly(&'static Type),
}

/// The keys of an object that readers decode, at most 32, with what they decode them as.
#[derive(Debug)]
pub(crate) struct Keys(pub(crate) &'static [(&'static str, Type)]);

impl Keys {
    /// The position of the key that readers take for this one.
    pub(super) fn position(&self, key: &str) -> Option<usize> {
        let exact = self.0.iter().position(|(known, _)| *known == key);
        exact.or_else(|| {
            let mut known = self.0.iter();
            known.position(|(known, _)| fold(known).eq(fold(key)))
        })
    }
}

/// Folds case the way Go's encoding/json does, which maps two non-ASCII letters to ASCII.
pub(super) fn fold(key: &str) -> impl Iterator<Item = char> {
    key.chars().map(|c| match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        c => c.to_ascii_lowercase(),
    })
}

impl Type {
    /// What is expected, in a message.
    pub(super) fn expected(self) -> &'static str {
        match self {
            Type::Any => "anything",
            Type::Text => "a string",
            Type::Flag => "true or false",
            Type::Integer => "an integer of at most 64 bits",
            Type::Time => "a time such as 2006-01-02T15:04:05Z",
            Type::Words => "a list of strings",
            Type::List(_) => "a list",
            Type::Map(_) | Type::Object(_) => "an object",
            Type::Partly(inner) => inner.expected(),
        }
    }
}

/// A value that readers cannot decode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mismatch {
    /// Where it is, from the innermost part to the root.
    pub(super) parts: Vec<Part>,
    /// What readers expect.
    pub(crate) expected: &'static str,
    /// What the value is.
    pub(crate) found: &'static str,
}

/// A step from a value to one in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Key(String),
    Item(usize),
}

impl Mismatch {
    /// Where the value is, such as `manifests[0], platform, os`; empty for the document.
    pub(crate) fn path(&self) -> String {
        let mut path = String::new();
        for part in self.parts.iter().rev() {
            match part {
                Part::Key(key) if path.is_empty() => path.push_str(key),
                Part::Key(key) => path.extend([", ", key]),
                Part::Item(position) => path.push_str(&format!("[{position}]")),
            }
        }
        path
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, expected {}", self.found, self.expected)
    }
}

/// Whether Go's `time.Time` can be decoded from a string.
pub(super) fn is_time(text: &str) -> bool {
    let number = |range: std::ops::Range<usize>| -> Option<u32> {
        let digits = text.get(range)?;
        let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| digits.parse().ok())?
    };
    let is_in = |range: std::ops::Range<usize>, from: u32, to: u32| {
        number(range).is_some_and(|number| (from..=to).contains(&number))
    };
    let has = |at: usize, byte: u8| text.as_bytes().get(at) == Some(&byte);
    let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    let (Some(year), Some(month)) = (number(0..4), number(5..7)) else {
        return false;
    };
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u32::from(is_leap),
        _ => return false,
    };
    let is_date = separators.into_iter().all(|(at, byte)| has(at, byte)) && is_in(8..10, 1, days);
    if !is_date || !is_in(11..13, 0, 23) || !is_in(14..16, 0, 59) || !is_in(17..19, 0, 59) {
        return false;
    }
    let mut zone = 19;
    if has(zone, b'.') {
        let fraction = text[20..].bytes().take_while(u8::is_ascii_digit).count();
        if fraction == 0 {
            return false;
        }
        zone = 20 + fraction;
    }
    match text.len() - zone {
        1 => has(zone, b'Z'),
        6 => {
            (has(zone, b'+') || has(zone, b'-'))
                && has(zone + 3, b':')
                && is_in(zone + 1..zone + 3, 0, 23)
                && is_in(zone + 4..zone + 6, 0, 59)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_that_go_decodes() {
        for text in [
            "2006-01-02T15:04:05Z",
            "0001-01-01T00:00:00Z",
            "2024-02-29T23:59:59.999999999+14:00",
            "2000-02-29T00:00:00.1-23:59",
        ] {
            assert!(is_time(text), "{text}");
        }
        for text in [
            "",
            "x",
            "2006-01-02",
            "2006-01-02T15:04:05",
            "2006-01-02 15:04:05Z",
            "2006-01-02t15:04:05z",
            "2006-01-02T15:04:05z",
            "2006-01-02T15:04:05.Z",
            "2006-01-02T15:04:05,1Z",
            "2006-01-02T5:04:05Z",
            "2006-01-02T24:00:00Z",
            "2006-01-02T15:60:05Z",
            "2006-01-02T15:04:60Z",
            "2006-02-29T15:04:05Z",
            "1900-02-29T15:04:05Z",
            "2006-00-02T15:04:05Z",
            "2006-13-02T15:04:05Z",
            "2006-01-00T15:04:05Z",
            "2006-04-31T15:04:05Z",
            "2006-01-02T15:04:05+24:00",
            "2006-01-02T15:04:05+01:60",
            "2006-01-02T15:04:05+0100",
            "2006-01-02T15:04:05Z ",
            "+006-01-02T15:04:05Z",
            "2006-01-02T15:04:05é",
        ] {
            assert!(!is_time(text), "{text}");
        }
    }
}

//! JSON for programs that a terminal may show: invisible characters are written as escapes.
//!
//! JSON itself requires escapes only for the controls of C0. A string with escapes is the same string once it is parsed.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::{CompactFormatter, Formatter, PrettyFormatter};

use super::is_hidden;

/// Writes a value on one line, which ends.
///
/// # Errors
/// It cannot be written.
pub(crate) fn json_line(value: &impl Serialize, out: &mut dyn Write) -> io::Result<()> {
    let mut serializer = Serializer::with_formatter(&mut *out, Escaped(CompactFormatter));
    value.serialize(&mut serializer)?;
    out.write_all(b"\n")
}

/// Writes a value over several lines, and ends the last one.
///
/// # Errors
/// It cannot be written.
pub(crate) fn json_pretty(value: &impl Serialize, out: &mut dyn Write) -> io::Result<()> {
    let mut serializer = Serializer::with_formatter(&mut *out, Escaped(PrettyFormatter::new()));
    value.serialize(&mut serializer)?;
    out.write_all(b"\n")
}

/// A formatter that writes invisible characters as escapes.
struct Escaped<F>(F);

impl<F: Formatter> Formatter for Escaped<F> {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        out: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let is_plain = |byte: u8| matches!(byte, b' '..=b'~');
        if fragment.bytes().all(is_plain) {
            return out.write_all(fragment.as_bytes());
        }
        let mut rest = fragment;
        while let Some((at, c)) = rest.char_indices().find(|(_, c)| is_hidden(*c)) {
            out.write_all(&rest.as_bytes()[..at])?;
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(out, "\\u{unit:04x}")?;
            }
            rest = &rest[at + c.len_utf8()..];
        }
        out.write_all(rest.as_bytes())
    }

    fn begin_array<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.begin_array(out)
    }

    fn end_array<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.end_array(out)
    }

    fn begin_array_value<W: ?Sized + Write>(
        &mut self,
        out: &mut W,
        is_first: bool,
    ) -> io::Result<()> {
        self.0.begin_array_value(out, is_first)
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.end_array_value(out)
    }

    fn begin_object<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.begin_object(out)
    }

    fn end_object<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.end_object(out)
    }

    fn begin_object_key<W: ?Sized + Write>(
        &mut self,
        out: &mut W,
        is_first: bool,
    ) -> io::Result<()> {
        self.0.begin_object_key(out, is_first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.begin_object_value(out)
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.end_object_value(out)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn invisible_characters_are_escaped_and_strings_stay_the_same() {
        let text = "a\u{1b}\u{7f}\u{9b}\u{202e}\u{2066}\u{200b}\u{2028}\u{feff}\u{e0041}\"\\é😀\n";
        let value = json!({text: [text, 1, null, {}], "plain": "x"});
        let (mut line, mut pretty) = (Vec::new(), Vec::new());
        json_line(&value, &mut line).unwrap();
        json_pretty(&value, &mut pretty).unwrap();
        for out in [&line, &pretty] {
            let shown = std::str::from_utf8(out).unwrap();
            assert!(shown.chars().all(|c| c == '\n' || !is_hidden(c)), "{shown}");
            assert!(shown.contains(
                r#"a\u001b\u007f\u009b\u202e\u2066\u200b\u2028\ufeff\udb40\udc41\"\\é😀\n"#
            ));
            assert_eq!(serde_json::from_slice::<Value>(out).unwrap(), value);
        }
        assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
    }

    #[test]
    fn all_else_is_as_serde_json_writes_it() {
        let value = json!({"a": [1, "b", {"c": null}], "d": {}, "e": []});
        let (mut line, mut pretty) = (Vec::new(), Vec::new());
        json_line(&value, &mut line).unwrap();
        json_pretty(&value, &mut pretty).unwrap();
        assert_eq!(line, format!("{value}\n").into_bytes());
        assert_eq!(pretty, format!("{value:#}\n").into_bytes());
    }
}

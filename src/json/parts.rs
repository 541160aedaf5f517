//! Locates the parts of a value in text that is known to be valid JSON.
//!
//! A document is checked once and searched often, so these functions look only for brackets, quotes and
//! commas. On invalid JSON they return `None` or some part of the text, and always terminate.

/// The offset of the first byte from `at` on that is not white space.
pub(super) fn skip_space(text: &[u8], at: usize) -> usize {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
    let rest = text.get(at..).unwrap_or_default();
    let spaces = rest.iter().position(|byte| !is_space(byte));
    at + spaces.unwrap_or(rest.len())
}

/// The end of the value that starts at offset `start`.
pub(super) fn value_end(text: &[u8], start: usize) -> Option<usize> {
    match text.get(start)? {
        b'"' => string_end(text, start),
        b'{' | b'[' => container_end(text, start),
        _ => {
            let is_end =
                |byte: &u8| matches!(byte, b',' | b']' | b'}' | b' ' | b'\t' | b'\n' | b'\r');
            let len = text[start..].iter().position(is_end);
            Some(len.map_or(text.len(), |len| start + len))
        }
    }
}

/// The offset after the closing quote.
fn string_end(text: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    loop {
        let rest = text.get(at..)?;
        at += memchr::memchr2(b'"', b'\\', rest)?;
        if text[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

/// The offset after the closing bracket.
fn container_end(text: &[u8], start: usize) -> Option<usize> {
    let mut depth = 0_usize;
    let mut at = start;
    loop {
        match text.get(at)? {
            b'"' => {
                at = string_end(text, at)?;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
        at += 1;
    }
}

/// Iterates over the byte ranges of an array's values, or of an object's keys and values alternately.
#[derive(Clone, Debug)]
pub(super) struct Parts<'a> {
    text: &'a [u8],
    at: usize,
    /// The offset of the container's closing bracket.
    end: usize,
}

impl<'a> Parts<'a> {
    /// The parts of the array or object at `start..end`.
    pub(super) fn new(text: &'a str, start: usize, end: usize) -> Self {
        Parts {
            text: text.as_bytes(),
            at: start + 1,
            end: end.saturating_sub(1),
        }
    }
}

impl Iterator for Parts<'_> {
    type Item = (usize, usize);

    fn next(&mut self) -> Option<(usize, usize)> {
        let mut start = skip_space(self.text, self.at);
        while start < self.end && matches!(self.text[start], b',' | b':') {
            start = skip_space(self.text, start + 1);
        }
        if start >= self.end {
            return None;
        }
        let end = value_end(self.text, start)?.min(self.end);
        // Always advance, so that iterating over invalid JSON terminates.
        self.at = end.max(start + 1);
        Some((start, end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> Vec<&str> {
        let parts = Parts::new(text, 0, text.len());
        parts.map(|(start, end)| &text[start..end]).collect()
    }

    #[test]
    fn parts_of_arrays_and_objects_are_found() {
        let cases: [(&str, &[&str]); 8] = [
            ("[]", &[]),
            ("{ \n}", &[]),
            ("[1]", &["1"]),
            (
                "[ 1.50 , -2e9,true , null ]",
                &["1.50", "-2e9", "true", "null"],
            ),
            (r#"{"a":1, "b" : [ ] }"#, &[r#""a""#, "1", r#""b""#, "[ ]"]),
            (
                r#"["\"", "\\", "]}", "\\\""]"#,
                &[r#""\"""#, r#""\\""#, r#""]}""#, r#""\\\"""#],
            ),
            (r#"[{"a":["}"]},[[]]]"#, &[r#"{"a":["}"]}"#, "[[]]"]),
            (r#"["é","💡,"]"#, &["\"é\"", "\"💡,\""]),
        ];
        for (text, expected) in cases {
            assert_eq!(parts(text), expected, "{text}");
        }
    }

    #[test]
    fn iterating_over_invalid_json_terminates() {
        for text in [
            "",
            "[",
            "[\"",
            "[\"\\",
            "[{]",
            "[,,",
            "}{",
            "[1 2:3,]]]",
            "[\"a\\\"]",
        ] {
            let count = Parts::new(text, 0, text.len()).count();
            assert!(count <= text.len(), "{text}");
        }
    }
}

//! Text in lines of a certain width.

/// Breaks a text between words so that its lines, the first of which starts at column `start` and the others with `indent`
/// spaces, fit the width if no word is too long. The first line has no indent.
pub(crate) fn wrapped(text: &str, start: usize, indent: usize, width: usize) -> String {
    let mut out = String::with_capacity(text.len());
    let mut column = start;
    let mut is_first = true;
    for word in text.split(' ') {
        let len = word.chars().count();
        if !is_first {
            if column + 1 + len > width {
                out.push('\n');
                out.push_str(&" ".repeat(indent));
                column = indent;
            } else {
                out.push(' ');
                column += 1;
            }
        }
        out.push_str(word);
        column += len;
        is_first = false;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_fit_and_no_word_is_lost() {
        let text = "one two three four-and-more five";
        assert_eq!(
            wrapped(text, 2, 4, 14),
            "one two\n    three\n    four-and-more\n    five"
        );
        assert_eq!(wrapped(text, 0, 2, 80), text);
        assert_eq!(wrapped("", 0, 2, 80), "");
    }
}

//! Lines that are too wide for a terminal.

use console::{Term, measure_text_width, strip_ansi_codes};

/// How much further than its line the rest of a folded one is indented.
const INDENT: usize = 4;

/// The text for a terminal, with lines folded between words to its width; unchanged for anything else.
pub(crate) fn fitted(text: Vec<u8>, is_for_terminal: bool) -> Vec<u8> {
    let size = || {
        Term::stdout()
            .size_checked()
            .or_else(|| Term::stderr().size_checked())
    };
    let size = is_for_terminal.then(size).flatten();
    let Some((_, columns)) = size else {
        return text;
    };
    match String::from_utf8(text) {
        Ok(text) => folded(&text, usize::from(columns)).into_bytes(),
        Err(other) => other.into_bytes(),
    }
}

/// Whether a line may end with a command, which a line break would spoil when it is copied.
fn has_command(line: &str) -> bool {
    let plain = strip_ansi_codes(line);
    let plain = plain.trim_start();
    let mut starts = ["hint: ", "tip: ", "fix it: "].iter();
    starts.any(|start| plain.starts_with(start)) || plain.contains("after: ocify ")
}

/// Folds lines between words, except those with commands. A word that is too long even for a line of its own, such as a digest, stays where it is.
fn folded(text: &str, columns: usize) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let trimmed = line.trim_start_matches(' ');
        if has_command(line) {
            out.push_str(line);
            continue;
        }
        let indent = line.len() - trimmed.len();
        let rest = " ".repeat(indent + INDENT);
        out.push_str(&line[..indent]);
        let mut column = indent;
        for (number, word) in trimmed.split(' ').enumerate() {
            let width = measure_text_width(word.trim_end_matches('\n'));
            let fits = column + 1 + width <= columns;
            if number > 0 && !fits && rest.len() + width <= columns {
                out.push('\n');
                out.push_str(&rest);
                column = rest.len();
            } else if number > 0 {
                out.push(' ');
                column += 1;
            }
            out.push_str(word);
            column += width;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_fit_and_keep_their_indent() {
        let text = "one two three four\n  five six seven eight\n\nnine\n";
        let expected =
            "one two\n    three\n    four\n  five six\n      seven\n      eight\n\nnine\n";
        assert_eq!(folded(text, 11), expected);
        assert_eq!(folded(text, 200), text);
        assert_eq!(folded("", 11), "");
        assert_eq!(folded("no end", 11), "no end");
    }

    #[test]
    fn styles_take_no_space_and_long_words_stay() {
        let styled = "\x1b[1mone\x1b[0m two three\n";
        assert_eq!(folded(styled, 13), styled);
        assert_eq!(folded(styled, 12), "\x1b[1mone\x1b[0m two\n    three\n");
        for whole in [
            "  digest sha256:0123456789\n",
            "  hint: ocify fix a -o b\n",
            "\x1b[1mhint:\x1b[0m docker load -i a\n",
            "fix it: ocify fix a -o b\n",
            "  tip: to check it: ocify check a\n",
            "it loads in k3s after: ocify fix a -o b\n",
        ] {
            assert_eq!(folded(whole, 12), whole);
        }
    }
}

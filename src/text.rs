//! Text for messages: made safe for a terminal, and lists of it.

use std::fmt;
use std::path::Path;

/// Text from an archive made safe for a terminal: control characters and the invisible characters
/// that reorder text are written as escapes.
pub fn escape(text: &str) -> String {
    // Nearly all of it is plain, and there may be a great deal.
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let reorders = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if c.is_control() || reorders {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

/// A path made safe for a terminal.
pub fn show_path(path: &Path) -> String {
    escape(&path.to_string_lossy())
}

/// A path as one word of a shell command, safe for a terminal. A path with control characters cannot be copied into a
/// shell.
pub fn shell_word(path: &Path) -> String {
    let shown = show_path(path);
    let is_plain = |c: char| c.is_alphanumeric() || "_./:=@%+,-".contains(c);
    let shown = match shown.starts_with('-') {
        true => format!("./{shown}"),
        false => shown,
    };
    match !shown.is_empty() && shown.chars().all(is_plain) {
        true => shown,
        false => format!("'{}'", shown.replace('\'', r"'\''")),
    }
}

/// A list for a message: the first ten, then how many more there are.
pub(crate) fn show_list<T: fmt::Display>(items: &[T]) -> String {
    const SHOWN: usize = 10;
    let mut text = items
        .iter()
        .take(SHOWN)
        .map(T::to_string)
        .collect::<Vec<_>>()
        .join(", ");
    if items.len() > SHOWN {
        text.push_str(&format!(" and {} more", items.len() - SHOWN));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_and_reordering_characters_are_escaped() {
        assert_eq!(
            escape("a\x1b[31m\u{202e}b\né"),
            "a\\u{1b}[31m\\u{202e}b\\u{a}é"
        );
    }

    #[test]
    fn paths_are_quoted_for_a_shell() {
        for (path, expected) in [
            ("images/app-1.0_x.tar", "images/app-1.0_x.tar"),
            ("-", "./-"),
            ("-x y", "'./-x y'"),
            ("it's", r"'it'\''s'"),
            ("$(reboot)", "'$(reboot)'"),
            ("~", "'~'"),
            ("a\nb", "'a\\u{a}b'"),
            ("", "''"),
            ("é", "é"),
        ] {
            assert_eq!(shell_word(Path::new(path)), expected, "{path}");
        }
    }

    #[test]
    fn lists_are_capped_at_ten() {
        let items: Vec<u32> = (0..12).collect();
        assert_eq!(show_list(&items), "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more");
        assert_eq!(show_list(&items[..2]), "0, 1");
    }
}

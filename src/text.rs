//! Text for messages and reports: names as text, text made safe for a terminal, JSON, and lists.

mod json;

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

pub(crate) use json::{json_line, json_pretty};

/// Text from an archive made safe for a terminal: control characters and invisible characters, such as
/// those that reorder text, are written as escapes.
pub fn escape(text: &str) -> String {
    // Nearly all of it is plain, and there may be a great deal.
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match is_hidden(c) {
            true => out.extend(c.escape_unicode()),
            false => out.push(c),
        }
    }
    out
}

/// Whether a character controls a terminal, or is not visible: the controls C0 and C1, line and paragraph
/// separators, interlinear annotations, and what Unicode calls default ignorable code points, except
/// variation selectors.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// A name as text. Two different names give two different texts.
///
/// A name that is UTF-8 text is that text. In any other name, each byte that is not part of such text
/// becomes `\xff`, with its two hexadecimal digits, and each backslash becomes two. So does each
/// backslash of a name in which one comes before `x`, `u{` or an invisible character, so that it looks
/// like one with escapes.
pub(crate) fn name_text(name: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(name) {
        Ok(text) if !seems_escaped(text) => Cow::Borrowed(text),
        _ => Cow::Owned(with_escapes(name)),
    }
}

/// Whether the text, or what [`escape`] makes of it, has a backslash that could begin an escape.
fn seems_escaped(text: &str) -> bool {
    let mut after = text.split('\\').skip(1);
    after.any(|rest| rest.starts_with('x') || rest.starts_with("u{") || rest.starts_with(is_hidden))
}

/// The name of an archive's entry as text: that of [`name_text`], except that a name which is UTF-8 text
/// stays what it is, because documents refer to it. [`distinguish`] makes the texts of different names different.
pub(crate) fn entry_text(name: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(name) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(with_escapes(name)),
    }
}

/// Makes the text of a name that is not UTF-8 unlike the names that are, of which `taken` has those beside it.
pub(crate) fn distinguish(text: &mut String, taken: &HashSet<String>) {
    // No name with escapes has a single backslash at its end.
    while taken.contains(text) {
        text.push('\\');
    }
}

fn with_escapes(name: &[u8]) -> String {
    let mut out = String::with_capacity(name.len() + 8);
    for chunk in name.utf8_chunks() {
        out.push_str(&chunk.valid().replace('\\', "\\\\"));
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out
}

/// A path as text for programs. Two different paths give two different texts.
///
/// A path that is UTF-8 text is that text. In any other path, each byte that is not part of such text
/// becomes `\xff`, with its two hexadecimal digits, and each backslash becomes two. So does each
/// backslash of a path in which one comes before `x`, `u{` or an invisible character, so that it looks
/// like one with escapes.
pub fn path_text(path: &Path) -> Cow<'_, str> {
    name_text(path.as_os_str().as_bytes())
}

/// A path made safe for a terminal.
pub fn show_path(path: &Path) -> String {
    escape(&path_text(path))
}

/// A path as one word of a shell command, safe for a terminal. If it is not UTF-8 text, or has control characters or
/// invisible ones, it is quoted as `$'…'`, which bash, zsh, ksh and POSIX since 2024 understand.
pub fn shell_word(path: &Path) -> String {
    let mut bytes = path.as_os_str().as_bytes();
    let dashed;
    if bytes.starts_with(b"-") {
        dashed = [b"./", bytes].concat();
        bytes = &dashed;
    }
    let is_plain = |c: char| c.is_alphanumeric() || "_./:=@%+,-".contains(c);
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.is_empty() && text.chars().all(is_plain) => text.to_owned(),
        Ok(text) if !text.contains(is_hidden) => format!("'{}'", text.replace('\'', r"'\''")),
        _ => format!("$'{}'", dollar_quoted(bytes)),
    }
}

/// What stands between the quotes of `$'…'` for these bytes. Each byte that cannot be shown is three octal digits, which
/// no digit after them changes.
fn dollar_quoted(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() + 8);
    let octal = |out: &mut String, bytes: &[u8]| {
        for byte in bytes {
            out.push_str(&format!("\\{byte:03o}"));
        }
    };
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' | '\'' => out.extend(['\\', c]),
                '\n' => out.push_str("\\n"),
                '\t' => out.push_str("\\t"),
                c if is_hidden(c) => octal(&mut out, c.encode_utf8(&mut [0; 4]).as_bytes()),
                c => out.push(c),
            }
        }
        octal(&mut out, chunk.invalid());
    }
    out
}

/// A number of things for a message, such as `1 layer` or `2 layers`.
pub(crate) fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
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
    use std::collections::BTreeSet;
    use std::ffi::OsStr;

    use super::*;

    #[test]
    fn one_is_singular() {
        let counted = [0, 1, 2].map(|number| count(number, "layer", "layers"));
        assert_eq!(counted, ["0 layers", "1 layer", "2 layers"]);
    }

    #[test]
    fn control_and_reordering_characters_are_escaped() {
        assert_eq!(
            escape("a\x1b[31m\u{202e}b\né"),
            "a\\u{1b}[31m\\u{202e}b\\u{a}é"
        );
        let hidden = "\u{0}\u{1f}\u{7f}\u{80}\u{9b}\u{9f}\u{ad}\u{61c}\u{200b}\u{200c}\u{200d}\u{200e}\u{200f}\u{2028}\u{2029}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2060}\u{2066}\u{2067}\u{2068}\u{2069}\u{feff}\u{fff9}\u{e0001}\u{e0041}\u{e007f}\u{e0100}";
        for c in hidden.chars() {
            let text = c.to_string();
            assert_eq!(escape(&text), c.escape_unicode().to_string());
        }
        // Letters of any script, marks and emoji stay what they are.
        let visible = " ~é日本語 עברית العربية e\u{301} ❤\u{fe0f}\u{fffd}\\";
        assert_eq!(escape(visible), visible);
        // What was escaped before stays so.
        assert_eq!(escape(&escape(hidden)), escape(hidden));
    }

    #[test]
    fn different_names_are_different_texts() {
        for (name, expected) in [
            (&b"a"[..], "a"),
            (b"a\\b", "a\\b"),
            (b"C:\\new", "C:\\new"),
            (b"\xff", "\\xff"),
            (b"a\xe9b\xc3\xa9", "a\\xe9b\u{e9}"),
            (b"a\\\xff", "a\\\\\\xff"),
            (b"\\xff", "\\\\xff"),
            (b"\\u{1b}", "\\\\u{1b}"),
            (b"\\\x1b", "\\\\\x1b"),
            (b"\\a\x1b", "\\a\x1b"),
            (b"\xed\xa0\x80", "\\xed\\xa0\\x80"),
        ] {
            assert_eq!(name_text(name), expected, "{name:?}");
        }
        // Every name of up to four of these parts.
        let parts: [&[u8]; 8] = [
            b"\\", b"x", b"f", b"\xff", b"\xc3", b"\xa9", b"\x1b", b"u{1b}",
        ];
        let mut names: Vec<Vec<u8>> = vec![Vec::new()];
        let mut texts = BTreeSet::new();
        let mut shown = BTreeSet::new();
        let mut all = BTreeSet::new();
        for _ in 0..4 {
            let longer = names.iter().flat_map(|name| {
                let parts = parts.iter();
                parts.map(move |part| [name, *part].concat())
            });
            names = longer.collect();
            for name in &names {
                all.insert(name.clone());
                texts.insert(name_text(name).into_owned());
                shown.insert(escape(&name_text(name)));
            }
        }
        assert_eq!((texts.len(), shown.len()), (all.len(), all.len()));
    }

    #[test]
    fn entries_that_documents_can_name_keep_their_names() {
        assert_eq!(entry_text(b"a\\xff"), "a\\xff");
        assert_eq!(entry_text(b"a\\\xff"), "a\\\\\\xff");
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
            ("a\\u{a}", "'a\\u{a}'"),
            ("a\nb\t", "$'a\\nb\\t'"),
            ("it's\\\u{1b}[1m", r"$'it\'s\\\033[1m'"),
            ("\u{202e}7", r"$'\342\200\2567'"),
            ("", "''"),
            ("é", "é"),
        ] {
            assert_eq!(shell_word(Path::new(path)), expected, "{path}");
        }
        for (path, expected) in [
            (&b"a\xff1"[..], r"$'a\3771'"),
            (b"\xc3\xa9\xe9", r"$'\u{e9}\351'"),
            (b"-\xff", r"$'./-\377'"),
            (b"$(x)'\xff", r"$'$(x)\'\377'"),
        ] {
            let expected = expected.replace("\\u{e9}", "é");
            assert_eq!(shell_word(OsStr::from_bytes(path).as_ref()), expected);
        }
    }

    #[test]
    fn lists_are_capped_at_ten() {
        let items: Vec<u32> = (0..12).collect();
        assert_eq!(show_list(&items), "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more");
        assert_eq!(show_list(&items[..2]), "0, 1");
    }
}

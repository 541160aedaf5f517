//! The names of journals.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use crate::image::{Algorithm, Digest};

const SUFFIX: &str = ".ocify-journal";
/// What follows the name of a journal that cannot be used and is kept.
const KEPT: &str = ".kept";
/// The longest file name, in bytes, that Linux filesystems support.
const NAME_LEN: usize = 255;

/// The name of the journal of a file with this name.
pub(super) fn journal_name(name: &OsStr) -> OsString {
    let mut journal = OsString::from(".");
    if name.len() + 1 + SUFFIX.len() > NAME_LEN {
        journal.push(Digest::of(Algorithm::Sha256, name.as_bytes()).hex());
    } else {
        journal.push(name);
    }
    journal.push(SUFFIX);
    journal
}

/// The name that a journal is kept under, at the given attempt to find one that nothing has.
pub(super) fn kept_name(journal: &OsStr, attempt: usize) -> OsString {
    let end = match attempt {
        1 => KEPT.to_owned(),
        more => format!("{KEPT}-{more}"),
    };
    let mut kept = journal.to_owned();
    if journal.len() + end.len() > NAME_LEN {
        kept = OsString::from(".");
        kept.push(Digest::of(Algorithm::Sha256, journal.as_bytes()).hex());
        kept.push(SUFFIX);
    }
    kept.push(end);
    kept
}

/// Whether a file of this name is a journal, or one that was kept.
pub fn is_journal(name: &OsStr) -> bool {
    let name = name.as_bytes();
    let ends = |name: &[u8]| name.ends_with(SUFFIX.as_bytes());
    let number = |byte: &u8| byte.is_ascii_digit() || *byte == b'-';
    let end = name.iter().rposition(|byte| !number(byte));
    let kept = end.and_then(|end| name[..=end].strip_suffix(KEPT.as_bytes()));
    name.starts_with(b".") && (ends(name) || kept.is_some_and(ends))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn journal_names_never_exceed_the_name_limit() {
        assert_eq!(journal_name(OsStr::new("a.tar")), ".a.tar.ocify-journal");
        let long = journal_name(OsStr::new(&"a".repeat(255)));
        assert_eq!(long.len(), 1 + 64 + SUFFIX.len());
        for len in 1..=255 {
            let journal = journal_name(OsStr::new(&"a".repeat(len)));
            let names = [kept_name(&journal, 1), kept_name(&journal, 100)];
            assert!(names.iter().all(|name| name.len() <= NAME_LEN), "{len}");
            assert!(is_journal(&journal) && names.iter().all(|name| is_journal(name)));
        }
    }

    #[test]
    fn journals_are_recognized_by_their_names() {
        let journal = OsStr::new(".a.tar.ocify-journal");
        assert_eq!(kept_name(journal, 1), ".a.tar.ocify-journal.kept");
        assert_eq!(kept_name(journal, 2), ".a.tar.ocify-journal.kept-2");
        for (name, expected) in [
            (".a.tar.ocify-journal", true),
            (".a.tar.ocify-journal.kept", true),
            (".a.tar.ocify-journal.kept-12", true),
            ("a.tar.ocify-journal", false),
            (".a.tar.ocify-journals", false),
            (".a.tar", false),
            (".a.kept", false),
            ("", false),
            (".7-7", false),
        ] {
            assert_eq!(is_journal(OsStr::new(name)), expected, "{name}");
        }
    }
}

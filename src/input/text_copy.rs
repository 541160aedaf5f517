//! Archives that a program took for text: it changed line ends, or converted bytes to UTF-8.

use std::path::Path;

use super::outer::decoding;
use crate::error::{Code, Error, Hint, show_path};
use crate::image::{Content, sniff_compression};

/// How many bytes of an input are examined.
pub(super) const COPY_LEN: usize = 1 << 20;
/// How many line feeds have to be there, each after a carriage return.
const MIN_LINES: usize = 4;
/// How many characters have to be there that only a conversion makes.
const MIN_CHARACTERS: usize = 4;

/// Looks at the first bytes of an input for what a copy as text leaves behind.
#[derive(Clone, Debug, Default)]
pub(super) struct TextCopy {
    seen: usize,
    lines: LineEnds,
    characters: Characters,
}

impl TextCopy {
    /// Looks at the next bytes of the input. After the first ones no more are needed.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        if self.seen >= COPY_LEN || self.lines.has_bare && self.characters.is_binary {
            return;
        }
        self.seen += bytes.len();
        self.lines.add(bytes);
        self.characters.add(bytes);
    }

    /// The error for an input that was copied as text, instead of another one about its damage. `outer` is the
    /// compression around the bytes.
    pub(super) fn explain(&self, error: Error, path: &Path, outer: Option<Content>) -> Error {
        let is_damage = matches!(
            error.code(),
            Code::InvalidArchive
                | Code::TruncatedArchive
                | Code::TrailingArchive
                | Code::DigestMismatch
        );
        if !is_damage {
            return error;
        }
        let shown = show_path(path);
        let (what, hint) = if let Some(conversion) = self.characters.conversion() {
            let what = format!("{shown} {}", conversion.of_archive());
            (what, conversion.hint(path, outer))
        } else if self.lines.is_text_mode() {
            let what = format!(
                "{shown} was copied in text mode: every line feed in it comes after a carriage return"
            );
            (what, Hint::CopyInBinary)
        } else {
            return error;
        };
        Error::new(error.code(), what)
            .with_path(path)
            .with_hint(hint)
            .with_source(error)
    }
}

/// Whether the line feeds of an input all come after carriage returns, as a copy in text mode leaves them.
#[derive(Clone, Copy, Debug, Default)]
struct LineEnds {
    last: u8,
    with_return: usize,
    has_bare: bool,
}

impl LineEnds {
    fn add(&mut self, bytes: &[u8]) {
        if self.has_bare {
            return;
        }
        for at in memchr::memchr_iter(b'\n', bytes) {
            let before = match at.checked_sub(1) {
                Some(at) => bytes[at],
                None => self.last,
            };
            match before {
                b'\r' => self.with_return += 1,
                _ => self.has_bare = true,
            }
        }
        self.last = bytes.last().copied().unwrap_or(self.last);
    }

    fn is_text_mode(self) -> bool {
        !self.has_bare && self.with_return >= MIN_LINES
    }
}

/// How a program converted bytes that are not text to UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Conversion {
    /// It wrote U+FFFD in place of bytes that are not UTF-8.
    Replaced,
    /// It took each byte for a character of ISO-8859-1.
    Widened,
}

impl Conversion {
    /// What happened to a tar archive.
    fn of_archive(self) -> &'static str {
        match self {
            Conversion::Replaced => {
                "was converted to UTF-8 text: bytes in it were replaced with U+FFFD"
            }
            Conversion::Widened => "was converted from ISO-8859-1 to UTF-8, as if it were text",
        }
    }

    /// What happened to compressed data.
    pub(super) fn of_compressed(self) -> &'static str {
        match self {
            Conversion::Replaced => {
                "compressed data that was converted to UTF-8 text: bytes in it were replaced with U+FFFD"
            }
            Conversion::Widened => {
                "compressed data that was converted from ISO-8859-1 to UTF-8, as if it were text"
            }
        }
    }

    /// The next step. What was replaced is lost.
    pub(super) fn hint(self, path: &Path, outer: Option<Content>) -> Hint {
        match self {
            Conversion::Replaced => Hint::CopyInBinary,
            Conversion::Widened => {
                Hint::ConvertBack(decoding(path, outer, Some("iconv -f UTF-8 -t ISO-8859-1")))
            }
        }
    }
}

/// The characters of an input, if it is UTF-8.
#[derive(Clone, Debug, Default)]
struct Characters {
    is_binary: bool,
    /// The beginning of a character that the next bytes continue.
    begun: Vec<u8>,
    /// U+FFFD.
    replaced: usize,
    /// U+0080 to U+009F, which text does not have.
    controls: usize,
    /// Characters that are not in ISO-8859-1.
    others: usize,
}

impl Characters {
    fn add(&mut self, bytes: &[u8]) {
        if self.is_binary || self.begun.is_empty() && bytes.is_ascii() {
            return;
        }
        let mut whole = std::mem::take(&mut self.begun);
        whole.extend_from_slice(bytes);
        let valid = match std::str::from_utf8(&whole) {
            Ok(_) => whole.len(),
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(_) => {
                self.is_binary = true;
                return;
            }
        };
        self.begun = whole.split_off(valid);
        for c in String::from_utf8_lossy(&whole).chars() {
            match c {
                '\0'..='\u{7f}' | '\u{a0}'..='\u{ff}' => {}
                '\u{80}'..='\u{9f}' => self.controls += 1,
                '\u{fffd}' => self.replaced += 1,
                _ => self.others += 1,
            }
        }
    }

    fn conversion(&self) -> Option<Conversion> {
        match self {
            _ if self.is_binary => None,
            _ if self.replaced >= MIN_CHARACTERS => Some(Conversion::Replaced),
            _ if self.controls >= MIN_CHARACTERS && self.replaced + self.others == 0 => {
                Some(Conversion::Widened)
            }
            _ => None,
        }
    }
}

/// How compressed data was converted, by its first bytes; `None` if that is not what they are.
pub(super) fn of_compressed(head: &[u8]) -> Option<Conversion> {
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&head[..error.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    let narrow: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(c).ok()).collect();
    if let Some(bytes) = narrow {
        let is_converted = !text.is_ascii() && sniff_compression(&bytes).is_some();
        return is_converted.then_some(Conversion::Widened);
    }
    let begins = |magic: &str| text.starts_with(magic);
    let magics = [
        "\u{1f}\u{fffd}\u{8}",
        "(\u{fffd}/\u{fffd}",
        "\u{fffd}7zXZ\0",
    ];
    magics
        .into_iter()
        .any(begins)
        .then_some(Conversion::Replaced)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conversion(bytes: &[u8], piece: usize) -> Option<Conversion> {
        let mut characters = Characters::default();
        for piece in bytes.chunks(piece) {
            characters.add(piece);
        }
        characters.conversion()
    }

    #[test]
    fn conversions_are_recognized_in_pieces_of_any_length() {
        let binary: Vec<u8> = (0..=255).cycle().take(2000).collect();
        let replaced = String::from_utf8_lossy(&binary).into_owned();
        let widened: String = binary.iter().map(|byte| char::from(*byte)).collect();
        let text = "größer als 3 €, naïve façade\n".repeat(50);
        for piece in [1, 2, 3, 7, 512, 4096] {
            for (bytes, expected) in [
                (&binary[..], None),
                (replaced.as_bytes(), Some(Conversion::Replaced)),
                (widened.as_bytes(), Some(Conversion::Widened)),
                (text.as_bytes(), None),
                (b"plain", None),
            ] {
                assert_eq!(conversion(bytes, piece), expected, "{piece}");
            }
        }
    }

    #[test]
    fn converted_compressed_data_is_recognized() {
        let data = b"some data ".repeat(100);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut gzip, &data).unwrap();
        let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
        std::io::Write::write_all(&mut xz, &data).unwrap();
        for bytes in [
            gzip.finish().unwrap(),
            zstd::encode_all(&data[..], 1).unwrap(),
            xz.finish().unwrap(),
        ] {
            assert_eq!(of_compressed(&bytes), None);
            let replaced = String::from_utf8_lossy(&bytes).into_owned();
            let widened: String = bytes.iter().map(|byte| char::from(*byte)).collect();
            for (text, expected) in [
                (replaced, Conversion::Replaced),
                (widened, Conversion::Widened),
            ] {
                let len = text.len().min(512);
                let found = of_compressed(&text.as_bytes()[..len]);
                assert_eq!(found, Some(expected), "{text:?}");
            }
        }
        for other in [&b"text"[..], "größer".as_bytes(), b"", b"BZh91AY&SY"] {
            assert_eq!(of_compressed(other), None);
        }
    }
}

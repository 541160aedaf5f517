//! Digests of content, and readers of bytes that verify them.
//!
//! The grammar is that of the OCI image specification, `descriptor.md`: an algorithm, a colon, and
//! the encoded hash. A digest also becomes part of a path, so nothing else is accepted. Only SHA-256 and SHA-512
//! can be verified here. Documents may also state other digests, which are kept and never called verified.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use sha2::{Digest as _, Sha256, Sha512};

use crate::error::{Code, Error, Hint, Result, escape};

/// A hash algorithm that digests may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// SHA-256, which every tool writes.
    Sha256,
    /// SHA-512, registered and rare.
    Sha512,
}

impl Algorithm {
    /// The algorithm's name in a digest and in a blob's path.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Sha256 => "sha256",
            Algorithm::Sha512 => "sha512",
        }
    }

    /// The algorithm of that name, if it is one that can be verified.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "sha256" => Some(Algorithm::Sha256),
            "sha512" => Some(Algorithm::Sha512),
            _ => None,
        }
    }
}

/// The digest of some content, such as `sha256:9aa5…`.
///
/// An archive may have a hundred thousand of them, each in several places, so they are kept as the
/// bytes of the hash and not as text.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest {
    hash: Hash,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Hash {
    Sha256([u8; 32]),
    Sha512(Box<[u8; 64]>),
    /// By another algorithm: the name of the blob without `blobs/`.
    Other(Box<str>),
}

/// In the order of the names of blobs.
impl Ord for Hash {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Hash::Sha256(own), Hash::Sha256(other)) => {
                // The first bytes nearly always differ, and trees compare very often.
                let first =
                    |bytes: &[u8; 32]| bytes.first_chunk().map(|&first| u64::from_be_bytes(first));
                first(own).cmp(&first(other)).then_with(|| own.cmp(other))
            }
            (Hash::Sha256(_), Hash::Sha512(_)) => Ordering::Less,
            (Hash::Sha512(_), Hash::Sha256(_)) => Ordering::Greater,
            (Hash::Sha512(own), Hash::Sha512(other)) => own.cmp(other),
            (Hash::Other(_), _) | (_, Hash::Other(_)) => {
                self.joined("", '/').cmp(&other.joined("", '/'))
            }
        }
    }
}

impl PartialOrd for Hash {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Hash {
    fn algorithm_name(&self) -> &str {
        match self {
            Hash::Sha256(_) => Algorithm::Sha256.name(),
            Hash::Sha512(_) => Algorithm::Sha512.name(),
            Hash::Other(name) => name.split_once('/').map_or("", |(algorithm, _)| algorithm),
        }
    }

    /// Adds the hash in hexadecimal, or as another algorithm encodes it.
    fn push_encoded(&self, text: &mut String) {
        let bytes = match self {
            Hash::Sha256(bytes) => &bytes[..],
            Hash::Sha512(bytes) => &bytes[..],
            Hash::Other(name) => {
                text.push_str(name.split_once('/').map_or("", |(_, encoded)| encoded));
                return;
            }
        };
        let mut digits = [[0; 2]; 64];
        for ([high, low], byte) in digits.iter_mut().zip(bytes) {
            *high = DIGITS[usize::from(byte >> 4)];
            *low = DIGITS[usize::from(byte & 0xf)];
        }
        let digits = digits[..bytes.len()].as_flattened();
        text.push_str(str::from_utf8(digits).unwrap_or_default());
    }

    /// The name of the algorithm and the hash, after `front` and with this between them.
    fn joined(&self, front: &str, between: char) -> String {
        let algorithm = self.algorithm_name();
        let len = match self {
            Hash::Sha256(_) => 64,
            Hash::Sha512(_) => 128,
            Hash::Other(name) => name.len(),
        };
        let mut text = String::with_capacity(front.len() + algorithm.len() + 1 + len);
        text.push_str(front);
        text.push_str(algorithm);
        text.push(between);
        self.push_encoded(&mut text);
        text
    }
}

impl Digest {
    /// The digest of `bytes`.
    pub fn of(algorithm: Algorithm, bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(bytes);
        hasher.finish()
    }

    /// The hash algorithm; `None` for one that cannot be verified.
    pub fn algorithm(&self) -> Option<Algorithm> {
        match self.hash {
            Hash::Sha256(_) => Some(Algorithm::Sha256),
            Hash::Sha512(_) => Some(Algorithm::Sha512),
            Hash::Other(_) => None,
        }
    }

    /// The name of the hash algorithm, such as `sha256`.
    pub fn algorithm_name(&self) -> &str {
        self.hash.algorithm_name()
    }

    /// The first bytes of the hash, which nearly always differ between two digests.
    pub(crate) fn first_bytes(&self) -> u64 {
        let first = match &self.hash {
            Hash::Sha256(bytes) => bytes.first_chunk(),
            Hash::Sha512(bytes) => bytes.first_chunk(),
            Hash::Other(_) => None,
        };
        first.map_or(0, |first| u64::from_be_bytes(*first))
    }

    /// Whether content can be verified against it.
    pub fn is_verifiable(&self) -> bool {
        self.algorithm().is_some()
    }

    /// Whether no content has both digests: they differ, and are by the same algorithm.
    #[cfg(feature = "push")]
    pub(crate) fn contradicts(&self, other: &Digest) -> bool {
        self != other && self.algorithm_name() == other.algorithm_name()
    }

    /// The digest of `bytes` by the same algorithm; `None` if that cannot be computed.
    pub(crate) fn recompute(&self, bytes: &[u8]) -> Option<Self> {
        Some(Self::of(self.algorithm()?, bytes))
    }

    /// The hash in lowercase hexadecimal, or as another algorithm encodes it.
    pub fn hex(&self) -> String {
        let mut text = String::new();
        self.hash.push_encoded(&mut text);
        text
    }

    /// The name of the blob in an image layout: `blobs/sha256/<hex>`.
    pub fn blob_name(&self) -> String {
        self.hash.joined("blobs/", '/')
    }

    /// The digest whose blob has that name in an image layout; `None` for any other name, and for a digest that cannot
    /// be verified.
    pub fn from_blob_name(name: &str) -> Option<Self> {
        let (algorithm, hex) = name.strip_prefix("blobs/")?.split_once('/')?;
        Self::from_hex(Algorithm::from_name(algorithm)?, hex)
    }

    /// The same, including digests that cannot be verified.
    pub fn from_any_blob_name(name: &str) -> Option<Self> {
        let (algorithm, encoded) = name.strip_prefix("blobs/")?.split_once('/')?;
        Self::from_parts(algorithm, encoded)
    }

    /// Reads a digest that a document states, which may use an algorithm that cannot be verified.
    ///
    /// # Errors
    /// It does not follow the grammar.
    pub fn stated(text: &str) -> Result<Self> {
        let parts = text.split_once(':');
        let digest = parts.and_then(|(algorithm, encoded)| Self::from_parts(algorithm, encoded));
        digest.ok_or_else(|| invalid(text))
    }

    fn from_parts(algorithm: &str, encoded: &str) -> Option<Self> {
        if let Some(algorithm) = Algorithm::from_name(algorithm) {
            return Self::from_hex(algorithm, encoded);
        }
        let is_component = |part: &str| {
            let is_right = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
            !part.is_empty() && part.bytes().all(is_right)
        };
        let is_encoded = |byte: u8| byte.is_ascii_alphanumeric() || b"=_-".contains(&byte);
        let is_valid = algorithm.split(['+', '.', '_', '-']).all(is_component)
            && !encoded.is_empty()
            && encoded.bytes().all(is_encoded)
            && algorithm.len() + encoded.len() <= MAX_OTHER_LEN;
        is_valid.then(|| Digest {
            hash: Hash::Other(format!("{algorithm}/{encoded}").into()),
        })
    }

    fn from_hex(algorithm: Algorithm, hex: &str) -> Option<Self> {
        let hash = match algorithm {
            Algorithm::Sha256 => Hash::Sha256(decode(hex)?),
            Algorithm::Sha512 => Hash::Sha512(Box::new(decode(hex)?)),
        };
        Some(Digest { hash })
    }

    /// The error for a digest that would have to be verified and cannot be.
    pub(crate) fn unsupported(&self) -> Error {
        let algorithm = self.algorithm_name();
        Error::new(
            Code::UnsupportedDigest,
            format!("digest algorithm \"{algorithm}\" cannot be verified"),
        )
        .with_found(algorithm)
        .with_hint(Hint::UseSupportedDigest)
    }
}

/// The longest digest by another algorithm, in bytes: no registered one is longer than SHA-512's.
const MAX_OTHER_LEN: usize = 192;

fn invalid(text: &str) -> Error {
    Error::new(
        Code::InvalidDigest,
        format!(
            "invalid digest \"{}\": expected an algorithm, a colon and a lowercase hexadecimal hash",
            escape(text)
        ),
    )
    .with_found(text)
}

/// The bytes that lowercase hexadecimal digits stand for; `None` for anything else or another length.
fn decode<const LEN: usize>(hex: &str) -> Option<[u8; LEN]> {
    if hex.len() != 2 * LEN {
        return None;
    }
    let mut bytes = [0; LEN];
    // A byte that is not a digit gets bits above the nibble, so one check at the end is enough.
    let mut seen = 0;
    for (byte, &[high, low]) in bytes.iter_mut().zip(hex.as_bytes().as_chunks().0) {
        let (high, low) = (NIBBLES[usize::from(high)], NIBBLES[usize::from(low)]);
        seen |= high | low;
        *byte = high << 4 | low & 0xf;
    }
    (seen < 16).then_some(bytes)
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// The value of each hexadecimal digit; 255 for every other byte.
const NIBBLES: [u8; 256] = {
    let mut nibbles = [u8::MAX; 256];
    let mut value = 0;
    while value < DIGITS.len() {
        nibbles[DIGITS[value] as usize] = value as u8;
        value += 1;
    }
    nibbles
};

/// Reads a digest that can be verified.
impl FromStr for Digest {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let digest = Digest::stated(text)?;
        match digest.is_verifiable() {
            true => Ok(digest),
            false => Err(digest.unsupported()),
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.hash.joined("", ':'))
    }
}

/// As it is displayed.
impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Computes a digest of bytes that come in pieces.
#[derive(Clone, Debug)]
pub struct Hasher {
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    Sha256(Sha256),
    Sha512(Sha512),
}

impl Hasher {
    /// A hasher that has seen nothing yet.
    pub fn new(algorithm: Algorithm) -> Self {
        let state = match algorithm {
            Algorithm::Sha256 => State::Sha256(Sha256::new()),
            Algorithm::Sha512 => State::Sha512(Sha512::new()),
        };
        Hasher { state }
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.state {
            State::Sha256(state) => state.update(bytes),
            State::Sha512(state) => state.update(bytes),
        }
    }

    /// Takes `len` zeros.
    pub(crate) fn update_zeros(&mut self, len: u64) {
        static ZEROS: [u8; 4096] = [0; 4096];
        let mut left = len;
        while left > 0 {
            let count = left.min(ZEROS.len() as u64);
            self.update(&ZEROS[..count as usize]);
            left -= count;
        }
    }

    /// The digest of everything seen.
    pub fn finish(self) -> Digest {
        let hash = match self.state {
            State::Sha256(state) => Hash::Sha256(state.finalize().into()),
            State::Sha512(state) => Hash::Sha512(Box::new(state.finalize().into())),
        };
        Digest { hash }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn zeros_are_hashed_like_other_bytes() {
        for len in [0, 1, 4096, 10_000] {
            let mut hasher = Hasher::new(Algorithm::Sha256);
            hasher.update(b"before");
            hasher.update_zeros(len);
            let bytes = [b"before".to_vec(), vec![0; len as usize]].concat();
            assert_eq!(hasher.finish(), Digest::of(Algorithm::Sha256, &bytes));
        }
    }

    #[test]
    fn digests_of_bytes() {
        assert_eq!(Digest::of(Algorithm::Sha256, b"").to_string(), EMPTY);
        let sha512 = Digest::of(Algorithm::Sha512, b"");
        assert_eq!(sha512.algorithm(), Some(Algorithm::Sha512));
        assert_eq!(sha512.hex().len(), 128);
        assert_eq!(sha512.to_string().parse::<Digest>().unwrap(), sha512);
    }

    #[test]
    fn the_order_is_that_of_the_names_of_blobs() {
        let others = [
            "blake3:ab",
            "blake3:aB",
            "sha2:f",
            "sha25:0",
            "sha256+b64u:x",
            "sha999:0",
        ];
        let others = others.map(|text| Digest::stated(text).unwrap());
        let mut digests: Vec<Digest> = (0..100_u8)
            .flat_map(|byte| [Algorithm::Sha512, Algorithm::Sha256].map(|a| Digest::of(a, &[byte])))
            .chain(others)
            .collect();
        digests.sort();
        assert!(digests.is_sorted_by_key(Digest::blob_name));
    }

    #[test]
    fn digests_that_cannot_be_verified() {
        for text in [
            "blake3:00",
            "md5:aF0",
            "sha256+b64u:LCa0a2j_xo-5m0U8HTBBNBNCLXBkg7==",
            "x.y:1",
        ] {
            let digest = Digest::stated(text).unwrap();
            assert_eq!((digest.algorithm(), digest.recompute(b"")), (None, None));
            assert_eq!(digest.to_string(), text);
            let (algorithm, encoded) = text.split_once(':').unwrap();
            assert_eq!(
                (digest.algorithm_name(), digest.hex()),
                (algorithm, encoded.to_owned())
            );
            let name = digest.blob_name();
            assert_eq!(name, format!("blobs/{algorithm}/{encoded}"));
            assert_eq!(Digest::from_any_blob_name(&name), Some(digest));
            assert_eq!(Digest::from_blob_name(&name), None);
        }
        for text in [
            "blake3:",
            "blake3:a/b",
            "blake3:..",
            "a..b:0",
            "-a:0",
            "A:0",
            "../x:0",
            "a:0 ",
            "é:0",
            "sha256:00",
        ] {
            assert_eq!(
                Digest::stated(text).unwrap_err().code(),
                Code::InvalidDigest,
                "{text}"
            );
        }
        assert!(Digest::stated(&format!("x:{}", "0".repeat(200))).is_err());
    }

    #[test]
    fn grammar() {
        let hex = &EMPTY[7..];
        let cases = [
            ("good", EMPTY.to_owned(), None),
            (
                "upper-case hash",
                EMPTY.replace('b', "B"),
                Some(Code::InvalidDigest),
            ),
            (
                "short hash",
                EMPTY[..70].to_owned(),
                Some(Code::InvalidDigest),
            ),
            ("long hash", format!("{EMPTY}0"), Some(Code::InvalidDigest)),
            (
                "path in hash",
                "sha256:../../index.json".to_owned(),
                Some(Code::InvalidDigest),
            ),
            ("no algorithm", format!(":{hex}"), Some(Code::InvalidDigest)),
            ("no colon", hex.to_owned(), Some(Code::InvalidDigest)),
            (
                "two colons",
                format!("sha256:{EMPTY}"),
                Some(Code::InvalidDigest),
            ),
            (
                "upper-case algorithm",
                format!("SHA256:{hex}"),
                Some(Code::InvalidDigest),
            ),
            ("empty", String::new(), Some(Code::InvalidDigest)),
            (
                "sha512 of sha256's length",
                format!("sha512:{hex}"),
                Some(Code::InvalidDigest),
            ),
            (
                "unknown algorithm",
                format!("blake3:{hex}"),
                Some(Code::UnsupportedDigest),
            ),
        ];
        for (name, text, expected) in cases {
            let found = text.parse::<Digest>().err().map(|error| error.code());
            assert_eq!(found, expected, "{name}: {text}");
            // The specification crate accepts other algorithms, but nothing that is refused here.
            if expected != Some(Code::UnsupportedDigest) {
                let found = text.parse::<oci_spec::image::Digest>();
                assert_eq!(found.is_ok(), expected.is_none(), "{name}: {text}");
            }
        }
    }

    #[test]
    fn blob_names() {
        let digest: Digest = EMPTY.parse().unwrap();
        assert_eq!(Digest::from_blob_name(&digest.blob_name()), Some(digest));
        for name in [
            "blobs/sha256/x",
            "blobs/sha256",
            "sha256/x",
            "blobs/md5/00",
            "blobs/sha256/../x",
        ] {
            assert_eq!(Digest::from_blob_name(name), None, "{name}");
        }
    }
}

//! Digests of content, and readers of bytes that verify them.
//!
//! The grammar is that of the OCI image specification, `descriptor.md`: an algorithm, a colon, and
//! the lowercase hexadecimal hash. Only the registered algorithms that can be verified here,
//! SHA-256 and SHA-512, are accepted: a digest also becomes part of a path.

use std::fmt;
use std::str::FromStr;

use oci_spec::image::Digest as SpecDigest;
use sha2::{Digest as _, Sha256, Sha512};

use crate::error::{Code, Error, Result, escape};

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
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest {
    text: Box<str>,
}

impl Digest {
    /// The digest of `bytes`.
    pub fn of(algorithm: Algorithm, bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(bytes);
        hasher.finish()
    }

    /// The hash algorithm.
    pub fn algorithm(&self) -> Algorithm {
        if self.text.starts_with("sha512") {
            Algorithm::Sha512
        } else {
            Algorithm::Sha256
        }
    }

    /// The hash in lowercase hexadecimal.
    pub fn hex(&self) -> &str {
        let colon = self.algorithm().name().len();
        &self.text[colon + 1..]
    }

    /// The whole digest.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The name of the blob in an image layout: `blobs/sha256/<hex>`.
    pub fn blob_name(&self) -> String {
        format!("blobs/{}/{}", self.algorithm().name(), self.hex())
    }

    /// The digest whose blob has that name in an image layout; `None` for any other name.
    pub fn from_blob_name(name: &str) -> Option<Self> {
        let (algorithm, hex) = name.strip_prefix("blobs/")?.split_once('/')?;
        Algorithm::from_name(algorithm)?;
        format!("{algorithm}:{hex}").parse().ok()
    }
}

impl FromStr for Digest {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let invalid = || {
            Error::new(
                Code::InvalidDigest,
                format!(
                    "invalid digest \"{}\": expected an algorithm, a colon and a lowercase hexadecimal hash",
                    escape(text)
                ),
            )
        };
        let (algorithm, hash) = text.split_once(':').ok_or_else(invalid)?;
        let is_component = |part: &str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        };
        if !algorithm.split(['+', '.', '_', '-']).all(is_component) || hash.is_empty() {
            return Err(invalid());
        }
        if Algorithm::from_name(algorithm).is_none() {
            return Err(Error::new(
                Code::UnsupportedDigest,
                format!(
                    "digest algorithm \"{}\" cannot be verified",
                    escape(algorithm)
                ),
            )
            .with_hint("only sha256 and sha512 digests are supported"));
        }
        // The specification crate knows the hash's length and alphabet.
        let digest = SpecDigest::from_str(text).map_err(|_| invalid())?;
        Ok(Digest {
            text: digest.as_ref().into(),
        })
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
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

    /// The digest of everything seen.
    pub fn finish(self) -> Digest {
        let (algorithm, hash) = match self.state {
            State::Sha256(state) => (Algorithm::Sha256, state.finalize().to_vec()),
            State::Sha512(state) => (Algorithm::Sha512, state.finalize().to_vec()),
        };
        let mut text = String::with_capacity(algorithm.name().len() + 1 + 2 * hash.len());
        text.push_str(algorithm.name());
        text.push(':');
        for byte in hash {
            for nibble in [byte >> 4, byte & 0xf] {
                text.push(char::from(b"0123456789abcdef"[usize::from(nibble)]));
            }
        }
        Digest { text: text.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn digests_of_bytes() {
        assert_eq!(Digest::of(Algorithm::Sha256, b"").as_str(), EMPTY);
        let sha512 = Digest::of(Algorithm::Sha512, b"");
        assert_eq!(sha512.algorithm(), Algorithm::Sha512);
        assert_eq!(sha512.hex().len(), 128);
        assert_eq!(sha512.as_str().parse::<Digest>().unwrap(), sha512);
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

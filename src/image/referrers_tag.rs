//! The tag of a digest, under which the distribution specification lists what refers to it.

use super::Digest;

/// How much of the algorithm's name and of the hash is in the tag, in characters.
const MAX_ALGORITHM: usize = 32;
const MAX_ENCODED: usize = 64;

impl Digest {
    /// The tag of the specification's *referrers tag schema*: `sha256-<hex>`, and `sha512-` with the first half of the
    /// hash.
    pub(crate) fn referrers_tag(&self) -> String {
        let algorithm = self.algorithm_name().chars().take(MAX_ALGORITHM);
        let encoded = self.hex();
        let encoded = encoded.chars().take(MAX_ENCODED);
        let tag = algorithm.chain(['-']).chain(encoded);
        let allowed = |c: char| match c {
            '.' | '_' => c,
            _ if c.is_ascii_alphanumeric() => c,
            _ => '-',
        };
        tag.map(allowed).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of the specification. The hash of its third one has upper case, as that of other algorithms may.
    #[test]
    fn tags_are_those_of_the_specification() {
        let a = "a".repeat(64);
        let algorithm = "test+algorithm+using+algorithm+separators+and+lots+of+characters+to+excercise+overall+truncation";
        let encoded = "alsoSome=InTheEncodedSectionToShowHyphenReplacementAndLotsAndLotsOfCharactersToExcercise";
        let tag = "test-algorithm-using-algorithm-s-alsoSome-InTheEncodedSectionToShowHyphenReplacementAndLotsAndLot";
        for (digest, expected) in [
            (format!("sha256:{a}"), format!("sha256-{a}")),
            (format!("sha512:{a}{a}"), format!("sha512-{a}")),
            (format!("{algorithm}:{encoded}"), tag.to_owned()),
            ("a.b_c:x_y".to_owned(), "a.b_c-x_y".to_owned()),
        ] {
            assert_eq!(Digest::stated(&digest).unwrap().referrers_tag(), expected);
        }
    }
}

//! The journal's file format.
//!
//! All numbers are 64-bit little-endian. In order:
//!
//! - the magic line,
//! - the file's inode number, old length and new length,
//! - the number of ranges, and for each its offset, length and old bytes,
//! - the number of witnesses, and for each its offset and length,
//! - the SHA-256 hash of the witnesses' bytes,
//! - the SHA-256 hash of everything before it.

use sha2::{Digest, Sha256};

const MAGIC: &[u8] = b"ocify undo journal 1\n";
const HASH_LEN: usize = 32;

/// What is needed to undo a rewrite of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Journal {
    /// The file's inode number.
    pub(super) inode: u64,
    pub(super) old_len: u64,
    pub(super) new_len: u64,
    /// Offset and old bytes of each overwritten range.
    pub(super) ranges: Vec<(u64, Vec<u8>)>,
    /// Offset and length of parts that the rewrite does not change, used to recognize the file.
    pub(super) witnesses: Vec<(u64, u64)>,
    /// The hash of the witnesses' concatenated bytes.
    pub(super) witness_hash: [u8; HASH_LEN],
}

impl Journal {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        let number = |out: &mut Vec<u8>, value: u64| out.extend(value.to_le_bytes());
        for value in [self.inode, self.old_len, self.new_len] {
            number(&mut out, value);
        }
        number(&mut out, self.ranges.len() as u64);
        for (at, bytes) in &self.ranges {
            number(&mut out, *at);
            number(&mut out, bytes.len() as u64);
            out.extend(bytes);
        }
        number(&mut out, self.witnesses.len() as u64);
        for (at, len) in &self.witnesses {
            number(&mut out, *at);
            number(&mut out, *len);
        }
        out.extend(self.witness_hash);
        let hash = Sha256::digest(&out);
        out.extend(hash);
        out
    }

    /// Parses a journal. `None` if it is incomplete or corrupt.
    pub(super) fn decode(bytes: &[u8]) -> Option<Journal> {
        let (body, hash) = bytes.split_at_checked(bytes.len().checked_sub(HASH_LEN)?)?;
        if Sha256::digest(body)[..] != *hash {
            return None;
        }
        let mut rest = body.strip_prefix(MAGIC)?;
        let mut journal = Journal {
            inode: number(&mut rest)?,
            old_len: number(&mut rest)?,
            new_len: number(&mut rest)?,
            ..Journal::default()
        };
        for _ in 0..number(&mut rest)? {
            let at = number(&mut rest)?;
            let len = usize::try_from(number(&mut rest)?).ok()?;
            let (bytes, after) = rest.split_at_checked(len)?;
            journal.ranges.push((at, bytes.to_vec()));
            rest = after;
        }
        for _ in 0..number(&mut rest)? {
            let witness = (number(&mut rest)?, number(&mut rest)?);
            journal.witnesses.push(witness);
        }
        journal.witness_hash = rest.try_into().ok()?;
        Some(journal)
    }
}

fn number(rest: &mut &[u8]) -> Option<u64> {
    let (number, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(u64::from_le_bytes(*number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truncated_and_corrupt_journals_are_rejected() {
        let journal = Journal {
            inode: 7,
            old_len: u64::MAX,
            new_len: 9,
            ranges: vec![(0, b"old".to_vec()), (1 << 40, Vec::new())],
            witnesses: vec![(3, 4)],
            witness_hash: [5; HASH_LEN],
        };
        let bytes = journal.encode();
        assert_eq!(Journal::decode(&bytes), Some(journal));
        for len in 0..bytes.len() {
            assert_eq!(Journal::decode(&bytes[..len]), None, "{len} bytes");
            let mut flipped = bytes.clone();
            flipped[len] ^= 1;
            assert_eq!(Journal::decode(&flipped), None, "byte {len}");
        }
        assert_eq!(Journal::decode(&vec![0; bytes.len()]), None);
    }
}

//! The journal's file format, version 2.
//!
//! All numbers are 64-bit little-endian. In order:
//!
//! - the magic line, which has the version,
//! - the journal's length in bytes,
//! - the file's inode number, old length and new length,
//! - the SHA-256 hash of everything before it,
//! - the number of ranges, and for each its offset, length and old bytes,
//! - the number of witnesses, and for each its offset and length,
//! - the SHA-256 hash of the witnesses' bytes,
//! - the SHA-256 hash of everything before it.
//!
//! Ranges are not empty, are in order and do not overlap. Version 1 lacks the journal's length and the first
//! hash.

use sha2::{Digest, Sha256};

pub(super) const HASH_LEN: usize = 32;
/// What the magic line of every version begins with.
pub(super) const MAGIC: &[u8] = b"ocify undo journal ";
/// The newest version of the format.
pub(super) const VERSION: u8 = 2;
/// The length of a magic line in bytes: a digit and a line feed follow.
pub(super) const MAGIC_LEN: usize = MAGIC.len() + 2;
/// The largest journal in bytes. A rewrite that needs a larger one is refused.
pub(super) const MAX_LEN: u64 = 1 << 30;
/// The length in bytes of a witness, the unchanged part of the file before an overwritten range.
pub(super) const WITNESS_LEN: u64 = 512;
/// The largest number of witnesses.
pub(super) const MAX_WITNESSES: usize = 16;

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
        let mut head = MAGIC.to_vec();
        head.extend([b'0' + VERSION, b'\n']);
        number(&mut head, self.encoded_len());
        for value in [self.inode, self.old_len, self.new_len] {
            number(&mut head, value);
        }
        let hash = Sha256::digest(&head);
        head.extend(hash);
        self.encode_body(head)
    }

    fn encode_body(&self, mut out: Vec<u8>) -> Vec<u8> {
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

    pub(super) fn encoded_len(&self) -> u64 {
        let ranges = self.ranges.iter().map(|(_, bytes)| 16 + bytes.len() as u64);
        let fixed = MAGIC_LEN + 4 * 8 + HASH_LEN + 2 * 8 + 2 * HASH_LEN;
        fixed as u64 + ranges.sum::<u64>() + 16 * self.witnesses.len() as u64
    }

    /// The same in version 1.
    #[cfg(test)]
    pub(super) fn encode_version_1(&self) -> Vec<u8> {
        let mut head = MAGIC.to_vec();
        head.extend(b"1\n");
        for value in [self.inode, self.old_len, self.new_len] {
            number(&mut head, value);
        }
        self.encode_body(head)
    }
}

fn number(out: &mut Vec<u8>, value: u64) {
    out.extend(value.to_le_bytes());
}

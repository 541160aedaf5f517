//! Rewrites to test: fixed ones and random ones.

use super::{FailingDisk, Model};
use crate::error::Result;
use crate::journal::Write;
use crate::journal::disk::Disk;
use crate::journal::steps::rewrite;

/// One rewrite: the bytes before, the writes, and the bytes after.
#[derive(Clone, Debug)]
pub(in crate::journal) struct Case {
    pub(in crate::journal) name: String,
    pub(in crate::journal) old: Vec<u8>,
    pub(in crate::journal) writes: Vec<Write>,
    pub(in crate::journal) new: Vec<u8>,
}

impl Case {
    fn of(name: &str, old_len: usize, zeros: usize, ranges: &[(usize, usize)], len: usize) -> Self {
        let bytes = |len: usize, seed: usize| -> Vec<u8> {
            (0..len)
                .map(|at| (at * 7 + at / 251 + seed) as u8 | 1)
                .collect()
        };
        let mut old = bytes(old_len, 0);
        old.resize(old_len + zeros, 0);
        let mut new = old.clone();
        let mut writes = Vec::new();
        for (number, &(at, len)) in ranges.iter().enumerate() {
            let changed = bytes(len, number + 3);
            new.resize(new.len().max(at + len), 0);
            new[at..at + len].copy_from_slice(&changed);
            writes.push(Write {
                at: at as u64,
                bytes: changed,
            });
        }
        new.resize(len, 0);
        Case {
            name: name.to_owned(),
            old,
            writes,
            new,
        }
    }

    /// A random rewrite of up to four ranges.
    pub(super) fn random(seed: u64) -> Self {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut below = |limit: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % limit.max(1) as u64) as usize
        };
        let (old_len, zeros) = (1 + below(3000), below(2000));
        let mut ranges = Vec::new();
        let mut at = 0;
        for _ in 0..1 + below(4) {
            at += below(900);
            let len = 1 + below(900);
            // A range begins within the file or at its end.
            if at > old_len + zeros {
                break;
            }
            ranges.push((at, len));
            at += len;
        }
        // Only zeros are cut off.
        let least = old_len.max(at.min(old_len + zeros));
        let len = least.max(at) + below(2) * below(1000);
        // No write ends after both the old and the new end.
        let is_cut = below(3) == 0 && at <= old_len + zeros;
        let len = if is_cut { least } else { len };
        Self::of(&format!("seed {seed}"), old_len, zeros, &ranges, len)
    }

    pub(in crate::journal) fn model(&self) -> Model {
        Model::of(self.old.clone())
    }

    pub(in crate::journal) fn rewrite(&self, disk: &mut impl Disk) -> Result<()> {
        let read = disk.stamp()?;
        rewrite(disk, &self.writes, self.new.len() as u64, &read)
    }

    /// The number of steps of a complete rewrite.
    pub(in crate::journal) fn steps(&self) -> usize {
        let mut disk = FailingDisk::power_failure(self.model(), usize::MAX, 0);
        self.rewrite(&mut disk).unwrap();
        assert_eq!(disk.disk.now(), self.new, "{}", self.name);
        usize::MAX - disk.left
    }

    #[track_caller]
    pub(in crate::journal) fn check(&self, found: &[u8], when: &str) {
        assert!(
            found == self.old || found == self.new,
            "{}, {when}: neither the old file nor the new one",
            self.name
        );
    }
}

pub(in crate::journal) fn cases() -> Vec<Case> {
    vec![
        Case::of("one write", 2000, 100, &[(512, 700)], 2100),
        Case::of(
            "three writes and a longer file",
            3000,
            100,
            &[(0, 40), (900, 512), (2800, 900)],
            3700,
        ),
        Case::of(
            "a shorter file",
            3000,
            9000,
            &[(600, 512), (2500, 500)],
            3000 + 24,
        ),
        Case::of(
            "truncated within the last write",
            3000,
            500,
            &[(1500, 1500)],
            2000,
        ),
        Case::of("a complete small file", 100, 0, &[(0, 300)], 300),
        Case::of("only the end", 1000, 5000, &[(900, 100)], 1000),
    ]
}

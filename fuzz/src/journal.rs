//! Undo journals that nobody wrote, beside a file.

use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use ocify::{Algorithm, Digest, Recovery, recover};

use crate::folder;

/// The length of the file in bytes.
const LEN: u64 = 4096;

/// Puts a journal beside a file and lets ocify restore the file. The first byte says whether the rest is the journal, or what is in one: see
/// [`described`].
///
/// # Panics
/// A journal that is refused changes the file; one that is accepted changes more than it says, or stays.
pub fn journal(input: &[u8]) {
    let (kind, input) = input.split_first().unwrap_or((&0, &[]));
    let directory = folder().join("journal");
    fs::create_dir_all(&directory).expect("memory takes everything");
    let path = directory.join("in.tar");
    let content: Vec<u8> = (0..LEN).map(|at| (at * 7 / 5) as u8).collect();
    fs::write(&path, &content).expect("memory takes everything");
    let beside = directory.join(".in.tar.ocify-journal");
    let (bytes, ranges) = match kind % 4 {
        0 => (input.to_owned(), None),
        _ => {
            let inode = fs::metadata(&path).expect("it was written").ino();
            let (bytes, ranges) = described(input, inode, &content);
            (bytes, Some(ranges))
        }
    };
    fs::write(&beside, bytes).expect("memory takes everything");
    let result = recover(&path);
    let found = head(&path);
    match result {
        Ok(Recovery::Restored) => check_restored(&content, &found, ranges.as_deref()),
        Ok(_) => assert!(
            found == content,
            "nothing was restored, but the file changed"
        ),
        Err(_) => assert!(
            found == content,
            "a journal that is refused changed the file"
        ),
    }
    if result.is_ok() {
        assert!(!beside.exists(), "a journal that was used is left");
        check_again(&path, &found);
    }
    fs::remove_dir_all(&directory).expect("it was made");
}

fn check_again(path: &Path, found: &[u8]) {
    let again = recover(path).expect("it was restored");
    assert!(again == Recovery::Nothing, "a file is restored twice");
    assert!(head(path) == found, "a second recovery changes the file");
}

/// The beginning of a file, which a journal can make very long.
fn head(path: &Path) -> Vec<u8> {
    let file = fs::File::open(path).expect("it is still there");
    let mut head = Vec::new();
    let mut limited = file.take(2 * LEN);
    limited.read_to_end(&mut head).expect("it can be read");
    head
}

/// Bytes outside of the ranges are what they were.
fn check_restored(content: &[u8], found: &[u8], ranges: Option<&[(u64, u64)]>) {
    let ranges = ranges.expect("no checksum is right by chance");
    for (at, (old, new)) in content.iter().zip(found).enumerate() {
        let at = at as u64;
        let is_covered = ranges
            .iter()
            .any(|(start, len)| *start <= at && at - start < *len);
        assert!(old == new || is_covered, "byte {at} is in no range");
    }
}

/// A journal with right checksums, unless it is to have wrong ones, and its ranges. Each number takes two bytes of the input: see [`number`].
fn described(input: &[u8], inode: u64, content: &[u8]) -> (Vec<u8>, Vec<(u64, u64)>) {
    let mut input = input.iter().copied();
    let mut next = || input.next().unwrap_or(0);
    let flags = next();
    let mut number = |usual: u64| match (next(), next()) {
        (0, 0) => usual,
        (0, which) => extreme(which, usual),
        (high, low) => (u64::from(high) << 8 | u64::from(low)) % (LEN + LEN / 4),
    };
    let version = if flags & 1 == 0 {
        b'2'
    } else {
        b'0' + flags % 5
    };
    let (old_len, new_len) = (number(LEN), number(LEN));
    let count = number(1);
    let mut body = count.to_le_bytes().to_vec();
    let mut ranges = Vec::new();
    let mut least = 0;
    for _ in 0..count.min(8) {
        let at = number(least);
        let len = number(512);
        body.extend(at.to_le_bytes());
        body.extend(len.to_le_bytes());
        body.extend(vec![b'x'; len.min(2 * LEN) as usize]);
        ranges.push((at, len));
        least = at.saturating_add(len);
    }
    let count = number(1);
    body.extend(count.to_le_bytes());
    let mut seen = Vec::new();
    for _ in 0..count.min(20) {
        let (at, len) = (number(least), number(64));
        body.extend(at.to_le_bytes());
        body.extend(len.to_le_bytes());
        let end = at.saturating_add(len).min(LEN) as usize;
        seen.extend(content.get(at as usize..end).unwrap_or_default());
    }
    body.extend(hash(&seen));
    let inode = if flags & 2 == 0 { inode } else { number(1) };
    let mut head = b"ocify undo journal ".to_vec();
    head.extend([version, b'\n']);
    // The length, two hashes of which the first is that of the head, and the three numbers.
    let len = (head.len() + 4 * 8 + 32 + body.len() + 32) as u64;
    if version != b'1' {
        let len = if flags & 4 == 0 { len } else { number(len) };
        head.extend(len.to_le_bytes());
    }
    for value in [inode, old_len, new_len] {
        head.extend(value.to_le_bytes());
    }
    if version != b'1' {
        let hash = hash(&head);
        head.extend(hash);
    }
    head.extend(body);
    let last = hash(&head);
    head.extend(last);
    if flags & 8 != 0 {
        let at = number(0) as usize % head.len();
        head[at] ^= 1;
    }
    (head, ranges)
}

/// A number near the end of what there is.
fn extreme(which: u8, usual: u64) -> u64 {
    let values = [
        0,
        1,
        LEN - 1,
        LEN,
        LEN + 1,
        usual.wrapping_add(1),
        u64::from(u32::MAX),
        1 << 30,
        i64::MAX as u64,
        i64::MAX as u64 + 1,
        u64::MAX - 511,
        u64::MAX - 1,
        u64::MAX,
    ];
    values[usize::from(which) % values.len()]
}

fn hash(bytes: &[u8]) -> Vec<u8> {
    let hex = Digest::of(Algorithm::Sha256, bytes).hex();
    let digit = |digit: u8| char::from(digit).to_digit(16).unwrap_or(0) as u8;
    let pairs = hex.as_bytes().chunks(2);
    let bytes = pairs.map(|pair| digit(pair[0]) << 4 | digit(pair[1]));
    bytes.collect()
}

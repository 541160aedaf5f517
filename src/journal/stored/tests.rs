//! Journals that are damaged, hostile, or of another version.
#![expect(
    clippy::print_stdout,
    reason = "the number of states is part of the result"
)]

use super::*;
use crate::error::{Code, Hint};
use crate::journal::Recovery;
use crate::journal::format::Journal;
use crate::journal::steps::recover;
use crate::journal::steps::tests::{Case, FailingDisk, Model, Name, cases};

fn journal() -> Journal {
    Journal {
        inode: 1,
        old_len: 400,
        new_len: 500,
        ranges: vec![(0, b"old".to_vec()), (300, vec![7; 100])],
        witnesses: vec![(3, 4), (100, 200)],
        witness_hash: [5; HASH_LEN],
    }
}

/// A model whose journal has these bytes, beside a file of 450 bytes.
fn model(bytes: Vec<u8>) -> Model {
    Model::left_by_crash(vec![1; 450], bytes)
}

fn verified(bytes: &[u8]) -> Option<Witnesses> {
    verify(&mut model(bytes.to_vec()), bytes.len() as u64).unwrap()
}

#[test]
fn truncated_and_corrupt_journals_are_rejected() {
    let journal = journal();
    for bytes in [journal.encode(), journal.encode_version_1()] {
        let found = verified(&bytes).unwrap();
        assert_eq!(found.parts, journal.witnesses);
        assert_eq!(found.hash, journal.witness_hash);
        for len in 0..bytes.len() {
            assert_eq!(verified(&bytes[..len]), None, "{len} bytes");
            let mut flipped = bytes.clone();
            flipped[len] ^= 1;
            assert_eq!(verified(&flipped), None, "byte {len}");
        }
        assert_eq!(verified(&vec![0; bytes.len()]), None);
        let longer = [&bytes[..], b"x"].concat();
        assert_eq!(verified(&longer), None);
    }
    assert_eq!(journal.encode().len() as u64, journal.encoded_len());
}

/// Numbers whose sums and products overflow, with hashes that match.
#[test]
fn hostile_journals_are_rejected_in_little_memory() {
    const HUGE: u64 = 1 << 63;
    type Edit = fn(&mut Journal);
    let edits: [(&str, Edit); 12] = [
        ("a witness that overflows", |journal| {
            journal.witnesses = vec![(HUGE, HUGE)]
        }),
        ("a witness at the last byte", |journal| {
            journal.witnesses = vec![(u64::MAX, 1)]
        }),
        ("a long witness", |journal| {
            (journal.old_len, journal.witnesses) = (u64::MAX, vec![(0, HUGE)]);
        }),
        ("many witnesses", |journal| {
            journal.witnesses = vec![(0, 1); 17]
        }),
        ("a range that overflows", |journal| {
            journal.ranges[1].0 = u64::MAX
        }),
        ("a range after the end", |journal| journal.ranges[1].0 = 301),
        ("ranges out of order", |journal| journal.ranges.swap(0, 1)),
        ("ranges that overlap", |journal| journal.ranges[1].0 = 2),
        ("an empty range", |journal| journal.ranges[0].1.clear()),
        ("another file", |journal| journal.inode = 2),
        ("a file that was longer", |journal| {
            (journal.old_len, journal.new_len) = (HUGE, u64::MAX);
        }),
        ("a file that was shorter", |journal| {
            (journal.old_len, journal.new_len) = (0, 1);
            journal.ranges.clear();
        }),
    ];
    for (name, edit) in edits {
        let mut journal = journal();
        edit(&mut journal);
        for bytes in [journal.encode(), journal.encode_version_1()] {
            let mut model = model(bytes);
            let before = model.file.clone();
            match recover(&mut model) {
                Err(error) => {
                    let codes = [Code::DamagedJournal, Code::ForeignJournal];
                    assert!(codes.contains(&error.code()), "{name}: {error}");
                    assert_ne!(model.name(), Name::None, "{name}");
                }
                // Only version 1 could be torn.
                Ok(recovery) => {
                    assert_eq!(recovery, Recovery::Removed, "{name}");
                    assert!(
                        model.journal.starts_with(b"ocify undo journal 1\n"),
                        "{name}"
                    );
                }
            }
            assert_eq!(model.now(), before, "{name}");
        }
    }
    // Counts and lengths that the journal's own length contradicts.
    let bytes = journal().encode();
    let ranges = MAGIC_LEN + 4 * 8 + HASH_LEN;
    for at in [ranges, ranges + 16] {
        for value in [u64::MAX, HUGE, 1 << 32] {
            let mut changed = bytes.clone();
            changed[at..at + 8].copy_from_slice(&value.to_le_bytes());
            assert_eq!(verified(&changed), None, "{at}: {value}");
        }
    }
}

/// The filesystem refuses the length, and the file is what it was.
#[test]
fn a_length_that_no_file_can_have_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.tar");
    let old = vec![1; 450];
    std::fs::write(&path, &old).unwrap();
    let mut journal = journal();
    journal.inode = std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(&path).unwrap());
    (journal.old_len, journal.witnesses) = (u64::MAX, Vec::new());
    journal.witness_hash = Sha256::digest([]).into();
    std::fs::write(dir.path().join(".a.tar.ocify-journal"), journal.encode()).unwrap();
    crate::recover(&path).unwrap_err();
    assert_eq!(std::fs::read(&path).unwrap(), old);
}

/// A disk whose journal is far longer than what is read of it.
#[test]
fn a_journal_of_another_file_is_not_read_to_its_end() {
    for bytes in [
        vec![0; 100],
        b"ocify undo journal 2\n".to_vec(),
        journal().encode(),
    ] {
        let mut model = model(bytes);
        // Whatever is after the beginning would be out of the model's bounds.
        let len = (model.journal.len() as u64).next_multiple_of(PIECE as u64) + (1 << 40);
        model.journal.resize(PIECE, 0);
        let found = header(&mut model, len).unwrap();
        assert_eq!(found, Found::Broken(Broken::Damaged));
    }
}

#[test]
fn only_a_journal_of_version_1_can_be_torn() {
    for (len, version) in [(21, Version::One), (150, Version::One), (21, Version::Two)] {
        let bytes = match version {
            Version::One => journal().encode_version_1(),
            Version::Two => journal().encode(),
        };
        let mut torn = model(bytes[..len].to_vec());
        let before = torn.file.clone();
        match (version, recover(&mut torn)) {
            (Version::One, recovery) => {
                assert_eq!(recovery.unwrap(), Recovery::Removed);
                assert_eq!(torn.name(), Name::None);
            }
            (Version::Two, recovery) => {
                let error = recovery.unwrap_err();
                assert_eq!(error.code(), Code::DamagedJournal);
                assert!(matches!(error.hint(), Some(Hint::ReplaceMixed(_))));
                assert_eq!(torn.name(), Name::Kept);
            }
        }
        assert_eq!(torn.now(), before);
    }
}

#[test]
fn a_journal_of_version_1_restores_the_file() {
    for case in cases() {
        // The journal is that of an interrupted rewrite, in the older form.
        let mut disk = FailingDisk::power_failure(case.model(), 7, 2);
        case.rewrite(&mut disk).unwrap_err();
        for mut crashed in disk.disk.crashes(&[2]) {
            crashed.journal = older(&case);
            recover(&mut crashed).unwrap();
            assert_eq!(crashed.now(), case.old, "{}", case.name);
        }
    }
}

/// The journal of a rewrite as version 1 wrote it, which did not state its own length.
fn older(case: &Case) -> Vec<u8> {
    let mut disk = FailingDisk::power_failure(case.model(), 4, 0);
    case.rewrite(&mut disk).unwrap_err();
    let newer = disk.disk.journal;
    let mut older = b"ocify undo journal 1\n".to_vec();
    older.extend(&newer[MAGIC_LEN + 8..MAGIC_LEN + 32]);
    older.extend(&newer[MAGIC_LEN + 32 + HASH_LEN..newer.len() - HASH_LEN]);
    let hash = Sha256::digest(&older);
    older.extend(hash);
    older
}

#[test]
fn a_journal_of_a_newer_version_is_left_alone() {
    for version in *b"39" {
        let mut bytes = journal().encode();
        bytes[MAGIC.len()] = version;
        let mut newer = model(bytes.clone());
        let before = newer.file.clone();
        let error = recover(&mut newer).unwrap_err();
        assert_eq!(error.code(), Code::ForeignJournal);
        assert_eq!(error.hint(), Some(&Hint::RecoverWithNewer));
        assert_eq!((newer.now(), newer.name()), (before, Name::Journal));
        assert_eq!(newer.journal, bytes);
    }
}

/// Every bit of the journal, in every state in which a crash of the rewrite can leave the file.
#[test]
fn a_flipped_bit_of_a_journal_never_changes_the_file() {
    let case = Case {
        name: "small".to_owned(),
        old: (1..=90).collect(),
        writes: vec![write(5, 20), write(40, 30), write(80, 40)],
        new: Vec::new(),
    };
    let mut new = case.old.clone();
    new.resize(120, 0);
    for write in &case.writes {
        let at = write.at as usize;
        new[at..at + write.bytes.len()].copy_from_slice(&write.bytes);
    }
    let case = Case { new, ..case };
    let (mut states, mut flips) = (0, 0);
    for left in 4..case.steps() {
        let mut disk = FailingDisk::power_failure(case.model(), left, 2);
        case.rewrite(&mut disk).unwrap_err();
        let crashes = disk.disk.crashes(&[2]).into_iter();
        for crashed in crashes.filter(|crashed| crashed.name == Name::Journal) {
            states += 1;
            for bit in 0..crashed.journal.len() * 8 {
                flips += 1;
                let mut flipped = crashed.clone();
                flipped.journal[bit / 8] ^= 1 << (bit % 8);
                let error = recover(&mut flipped).unwrap_err();
                let is_kept = match error.code() {
                    Code::DamagedJournal => Name::Kept,
                    // A newer version.
                    Code::ForeignJournal => Name::Journal,
                    _ => panic!("bit {bit}: {error}"),
                };
                assert_eq!(flipped.name(), is_kept, "bit {bit}");
                assert!(flipped.now() == crashed.file, "bit {bit}");
            }
            let mut whole = crashed;
            assert_eq!(recover(&mut whole).unwrap(), Recovery::Restored);
            assert_eq!(whole.now(), case.old);
        }
    }
    println!("{flips} flipped bits in {states} states");
    assert!(flips >= 50_000 && states >= 20, "{flips} in {states}");
}

fn write(at: u64, len: usize) -> crate::journal::Write {
    crate::journal::Write {
        at,
        bytes: vec![b'n'; len],
    }
}

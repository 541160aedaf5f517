//! Power failures at every step of a rewrite and of its recovery, on a model of a disk that loses any part of what
//! was not synced.
//!
//! `OCIFY_CRASHES=COUNT` adds that many random rewrites, and `OCIFY_SEED=N` begins with that one.
#![expect(
    clippy::print_stdout,
    reason = "the number of states is part of the result"
)]

mod case;
mod failing;
mod model;

use std::env;

pub(in crate::journal) use self::case::{Case, cases};
pub(in crate::journal) use self::failing::{FailingDisk, forward_reads};
use self::model::TORN;
pub(in crate::journal) use self::model::{Model, Name};
use super::*;
use crate::error::Code;

/// Of the states after a crash, so many have a second crash during the recovery.
const NESTED: usize = 12;

fn variable(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// The fixed cases, and random ones.
fn all_cases() -> Vec<Case> {
    let first = variable("OCIFY_SEED", 1);
    let mut all = cases();
    all.extend((first..first + variable("OCIFY_CRASHES", 4)).map(Case::random));
    all
}

/// Restores the file in every state that a crash left, and again after every crash of that. Returns the number of
/// states.
fn recover_all(case: &Case, crashed: &Model, quarters: &[usize], when: &str) -> usize {
    let mut states = 0;
    let crashes = crashed.crashes(quarters);
    let every = crashes.len().div_ceil(NESTED);
    for (number, crashed) in crashes.into_iter().enumerate() {
        states += 1;
        let mut recovered = crashed.clone();
        let recovery = recover(&mut recovered).unwrap();
        assert_ne!(recovery, Recovery::Removed, "{}, {when}", case.name);
        case.check(&recovered.now(), when);
        assert_eq!(recovered.name(), Name::None, "{}, {when}", case.name);
        if number % every != 0 {
            continue;
        }
        for left in 0.. {
            let mut disk = FailingDisk::power_failure(crashed.clone(), left, 2);
            let is_done = recover(&mut disk).is_ok();
            for mut crashed in disk.disk.crashes(&[2]) {
                states += 1;
                recover(&mut crashed).unwrap();
                case.check(&crashed.now(), &format!("{when}, and {left} steps later"));
                assert_eq!(crashed.name(), Name::None, "{}, {when}", case.name);
            }
            if is_done {
                break;
            }
        }
    }
    states
}

#[test]
fn a_power_failure_at_any_step_leaves_the_old_or_the_new_file() {
    let mut states = 0;
    for case in all_cases() {
        let steps = case.steps();
        // Create, write, sync and name the journal; sync the directory; the writes; set the length; sync the file;
        // remove the journal; sync the directory.
        assert_eq!(steps, 9 + case.writes.len(), "{}", case.name);
        for left in 0..=steps {
            for quarters in [0, 1, 3] {
                let mut disk = FailingDisk::power_failure(case.model(), left, quarters);
                let result = case.rewrite(&mut disk);
                assert_eq!(result.is_ok(), left == steps, "{}, {left}", case.name);
                let when = format!("power failure after {left} steps");
                states += recover_all(&case, &disk.disk, &TORN, &when);
                if result.is_ok() {
                    assert_eq!(disk.disk.now(), case.new, "{}, {when}", case.name);
                    let durable = disk.disk.crashes(&TORN);
                    assert!(durable.iter().all(|crashed| crashed.file == case.new));
                }
            }
        }
    }
    println!("{states} states after power failures");
    assert!(states >= 15_000, "{states}");
}

/// A step fails, and the power fails while the rewrite is undone.
#[test]
fn a_power_failure_after_a_failed_step_leaves_the_old_or_the_new_file() {
    let mut states = 0;
    for case in all_cases() {
        for left in 0..case.steps() {
            for then in 0.. {
                let mut disk = FailingDisk::failed_step(case.model(), left, 2, Some(then));
                case.rewrite(&mut disk).unwrap_err();
                let when = format!("failure of step {left}, and of the power {then} steps later");
                states += disk.disk.crashes(&[2]).len();
                for mut crashed in disk.disk.crashes(&[2]) {
                    recover(&mut crashed).unwrap();
                    case.check(&crashed.now(), &when);
                    assert_eq!(crashed.name(), Name::None, "{}, {when}", case.name);
                }
                if !disk.is_down {
                    break;
                }
            }
        }
    }
    println!("{states} states after failed steps");
    assert!(states >= 2_500, "{states}");
}

#[test]
fn a_rewrite_with_a_failing_step_is_undone() {
    for case in cases() {
        let steps = case.steps();
        for left in 0..steps {
            let mut disk = FailingDisk::failed_step(case.model(), left, 2, None);
            let error = case.rewrite(&mut disk).unwrap_err();
            // If only the last sync fails, the rewrite is complete and is not undone.
            let is_complete = left == steps - 1;
            let expected = if is_complete { &case.new } else { &case.old };
            assert!(disk.disk.now() == *expected, "{}, {left}", case.name);
            assert_eq!(disk.disk.name(), Name::None, "{}, {left}", case.name);
            let says_so = error.hint() == Some(&crate::error::Hint::OutputComplete);
            assert_eq!(says_so, is_complete, "{}, {left}", case.name);
        }
    }
}

/// A damaged journal is kept, and the file is left unchanged, also if the power fails in between.
#[test]
fn a_power_failure_while_a_damaged_journal_is_kept_loses_nothing() {
    let mut states = 0;
    for case in all_cases() {
        for left in 4..case.steps() {
            let mut disk = FailingDisk::power_failure(case.model(), left, 1);
            case.rewrite(&mut disk).unwrap_err();
            let crashes = disk.disk.crashes(&TORN).into_iter();
            for mut crashed in crashes.filter(|crashed| crashed.name == Name::Journal) {
                let at = (left * 7919 + states) % crashed.journal.len();
                crashed.journal[at] ^= 1 << (states % 8);
                let (file, journal) = (crashed.file.clone(), crashed.journal.clone());
                for left in 0.. {
                    let mut disk = FailingDisk::power_failure(crashed.clone(), left, 2);
                    let error = recover(&mut disk).unwrap_err();
                    for crashed in disk.disk.crashes(&TORN) {
                        states += 1;
                        assert_ne!(crashed.name, Name::None, "{}", case.name);
                        assert!(crashed.file == file && crashed.journal == journal);
                        let mut again = crashed.clone();
                        let is_kept = crashed.name == Name::Kept;
                        assert_eq!(recover(&mut again).is_ok(), is_kept, "{}", case.name);
                        assert!(again.now() == file, "{}", case.name);
                    }
                    // A flip of the version looks like a newer journal.
                    if !disk.is_down {
                        let codes = [Code::DamagedJournal, Code::ForeignJournal];
                        assert!(codes.contains(&error.code()), "{error}");
                        break;
                    }
                }
            }
        }
    }
    println!("{states} states with a damaged journal");
    assert!(states >= 1_000, "{states}");
}

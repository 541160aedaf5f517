//! The statistics of the benchmarks, which have no test harness themselves.

#[path = "../../benches/common/statistics.rs"]
mod statistics;

use crate::common::random::Random;
use statistics::{Comparison, median, median_interval, ratios};

/// The numbers from 1 to `count`, so that a value is its own rank, in no order.
fn ranks(count: usize) -> Vec<f64> {
    let mut ranks: Vec<f64> = (1..=count).map(|rank| rank as f64).collect();
    ranks.rotate_left(count / 3);
    ranks.reverse();
    ranks
}

#[test]
fn medians_are_the_middle_values() {
    for (values, expected) in [
        (&[][..], 0.0),
        (&[7.0], 7.0),
        (&[3.0, 1.0], 2.0),
        (&[9.0, 1.0, 2.0], 2.0),
        (&[4.0, 1.0, 3.0, 9.0], 3.5),
    ] {
        assert_eq!(median(values), expected, "{values:?}");
    }
}

#[test]
fn ratios_are_paired_by_round() {
    assert_eq!(ratios(&[2.0, 9.0, 1.0], &[1.0, 3.0, 4.0]), [2.0, 3.0, 0.25]);
}

/// The ranks are those of tables for the sign test at 5 %.
#[test]
fn intervals_have_the_tabulated_ranks() {
    for (count, expected) in [
        (0, None),
        (1, None),
        (5, None),
        (6, Some((1.0, 6.0))),
        (8, Some((1.0, 8.0))),
        (9, Some((2.0, 8.0))),
        (10, Some((2.0, 9.0))),
        (15, Some((4.0, 12.0))),
        (20, Some((6.0, 15.0))),
        (25, Some((8.0, 18.0))),
        (100, Some((40.0, 61.0))),
    ] {
        assert_eq!(median_interval(&ranks(count)), expected, "{count}");
    }
}

#[test]
fn an_interval_of_very_many_values_is_narrow() {
    // Half the width is 1.96 times half the square root of the count.
    assert_eq!(
        median_interval(&ranks(10_000)),
        Some((4902.0, 5099.0)),
        "10,000"
    );
}

#[test]
fn intervals_contain_the_median_of_a_skewed_distribution() {
    const TRIALS: u32 = 4000;
    let mut random = Random(1);
    let mut uniform = || (random.next() >> 11) as f64 / (1_u64 << 53) as f64;
    let mut held = 0;
    for _ in 0..TRIALS {
        // Its median is ln 2, and a few values are much larger.
        let values: Vec<f64> = (0..15).map(|_| -(1.0 - uniform()).ln()).collect();
        let (low, high) = median_interval(&values).unwrap();
        held += u32::from((low..=high).contains(&2.0_f64.ln()));
    }
    // The confidence with 15 values is 96.5 %; the standard deviation of this share is 0.3 %.
    let share = f64::from(held) / f64::from(TRIALS);
    assert!((0.955..0.975).contains(&share), "{share}");
}

#[test]
fn slower_means_an_interval_entirely_above_the_limit() {
    let baseline = [1.0; 15];
    let mut times = [1.05; 15];
    assert!(Comparison::of(&times, &baseline).is_slower());
    // The interval begins with the fourth value.
    times[..3].fill(0.9);
    assert!(Comparison::of(&times, &baseline).is_slower());
    times[3] = 1.03;
    assert!(!Comparison::of(&times, &baseline).is_slower());
    assert!(!Comparison::of(&[2.0; 5], &[1.0; 5]).is_slower());
    assert!(!Comparison::of(&[0.5; 15], &baseline).is_slower());
}

#[test]
fn rows_show_the_ratio_and_the_interval() {
    let row = |times: &[f64]| Comparison::of(times, &[2.0; 6]).to_string();
    assert_eq!(row(&[2.0; 3]), "1.000 | too few rounds | ");
    assert_eq!(
        row(&[1.9, 1.9, 2.0, 2.0, 2.2, 2.4]),
        "1.000 | 0.950 to 1.200 | "
    );
    assert_eq!(row(&[3.0; 6]), "1.500 | 1.500 to 1.500 | **slower**");
}

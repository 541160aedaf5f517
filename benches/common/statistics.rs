//! Medians, and confidence intervals for the ratio of two commands' times.

use std::fmt;

/// A command is slower than its baseline if the whole [`median_interval`] of its ratios is above this value.
const SLOWER: f64 = 1.03;
/// The largest probability that an interval does not contain the median.
const ERROR: f64 = 0.05;

/// The middle value, or the mean of the two middle values; 0 if there are none.
pub(crate) fn median(values: &[f64]) -> f64 {
    let sorted = sorted(values);
    let middle = sorted.len() / 2;
    match (sorted.get(middle), sorted.len() % 2) {
        (Some(value), 1) => *value,
        (Some(value), _) => f64::midpoint(sorted[middle - 1], *value),
        (None, _) => 0.0,
    }
}

/// Divides each time by the other command's time of the same round.
pub(crate) fn ratios(times: &[f64], others: &[f64]) -> Vec<f64> {
    let pairs = times.iter().zip(others);
    pairs.map(|(time, other)| time / other).collect()
}

/// The confidence interval of the median at a level of at least 95 %: the narrowest interval from the k-th smallest to the k-th largest value,
/// which does not depend on the values' distribution. `None` for fewer than six values.
///
/// Each value is below the median with a probability of 1/2. The median is below the k-th smallest value if fewer than k values are below the
/// median, so the confidence follows from the binomial distribution.
pub(crate) fn median_interval(values: &[f64]) -> Option<(f64, f64)> {
    let sorted = sorted(values);
    let count = sorted.len();
    // The logarithm of the probability that exactly `below` values are below the median, because 0.5 to a large power underflows to 0.
    let mut log_probability = count as f64 * 0.5_f64.ln();
    let mut fewer = 0.0;
    let mut interval = None;
    for below in 0..count / 2 {
        fewer += log_probability.exp();
        if 2.0 * fewer > ERROR {
            break;
        }
        interval = Some((sorted[below], sorted[count - 1 - below]));
        log_probability += ((count - below) as f64 / (below + 1) as f64).ln();
    }
    interval
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values
}

/// The comparison of a command with its baseline.
#[derive(Debug)]
pub(crate) struct Comparison {
    /// The median of the rounds' ratios.
    ratio: f64,
    interval: Option<(f64, f64)>,
}

impl Comparison {
    /// Compares times, which are paired by round.
    pub(crate) fn of(times: &[f64], baseline: &[f64]) -> Self {
        let ratios = ratios(times, baseline);
        Comparison {
            ratio: median(&ratios),
            interval: median_interval(&ratios),
        }
    }

    /// Whether the whole interval is above [`SLOWER`].
    pub(crate) fn is_slower(&self) -> bool {
        self.interval.is_some_and(|(low, _)| low > SLOWER)
    }
}

/// The last three cells of a row.
impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} | ", self.ratio)?;
        match self.interval {
            Some((low, high)) => write!(f, "{low:.3} to {high:.3}")?,
            None => write!(f, "too few rounds")?,
        }
        write!(f, " | {}", if self.is_slower() { "**slower**" } else { "" })
    }
}

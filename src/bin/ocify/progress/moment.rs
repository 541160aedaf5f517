//! How far a batch is, in words and as a share.

use ocify::{command::batch::duration, command::batch::grouped, command::text::bytes};

/// What an input costs besides its bytes, in bytes, for the time that is left.
const INPUT_COST: u64 = 64 << 10;

/// Before that many seconds, neither speed nor time left can be estimated.
pub(super) const PACE_AFTER: f64 = 0.5;

/// The speed, and the time that is left if that is known, both in words: `, 1.0 MB/s, 6 s left`. Empty at the start of a run.
pub(super) fn pace(done_len: u64, elapsed: f64, left: Option<f64>) -> String {
    if elapsed < PACE_AFTER {
        return String::new();
    }
    let speed = bytes((done_len as f64 / elapsed) as u64);
    let left = left.map(|left| {
        let left = duration(left.ceil().max(1.0)).replace(".0", "");
        format!(", {left} left")
    });
    format!(", {speed}/s{}", left.unwrap_or_default())
}

/// A moment of the run.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Moment {
    pub(super) done: u64,
    pub(super) found: u64,
    pub(super) done_len: u64,
    pub(super) found_len: u64,
    pub(super) failed: u64,
    pub(super) is_complete: bool,
    pub(super) elapsed: f64,
}

impl Moment {
    /// The time that is left, in seconds; nothing before that is known.
    pub(super) fn left(&self) -> Option<f64> {
        let cost = |number: u64, len: u64| number.saturating_mul(INPUT_COST).saturating_add(len);
        let done = cost(self.done, self.done_len) as f64;
        let total = cost(self.found, self.found_len) as f64;
        let is_telling = self.is_complete && done > 0.0 && self.elapsed >= PACE_AFTER;
        is_telling.then(|| (total - done).max(0.0) / done * self.elapsed)
    }

    /// How far the run is, from 0 to 1.
    pub(super) fn share(&self) -> f64 {
        let cost = |number: u64, len: u64| (number * INPUT_COST).saturating_add(len) as f64;
        let total = cost(self.found, self.found_len);
        if total == 0.0 {
            return 0.0;
        }
        (cost(self.done, self.done_len) / total).min(1.0)
    }

    /// The moment in words.
    pub(super) fn text(&self) -> String {
        // While the tree is still being searched, there may be more.
        let more = if self.is_complete { "" } else { "+" };
        let mut text = format!(
            "{} of {}{more} inputs, {} of {}{more}",
            grouped(self.done),
            grouped(self.found),
            bytes(self.done_len),
            bytes(self.found_len)
        );
        text.push_str(&pace(self.done_len, self.elapsed, self.left()));
        if self.failed > 0 {
            text.push_str(&format!(", {} failed", grouped(self.failed)));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment() -> Moment {
        Moment {
            done: 1000,
            found: 4000,
            done_len: 2_000_000,
            found_len: 8_000_000,
            failed: 0,
            is_complete: true,
            elapsed: 2.0,
        }
    }

    #[test]
    fn moments_in_words() {
        let text = "1,000 of 4,000 inputs, 2.0 MB of 8.0 MB, 1.0 MB/s, 6 s left";
        assert_eq!(moment().text(), text);
        let walking = Moment {
            is_complete: false,
            failed: 3,
            ..moment()
        };
        let text = "1,000 of 4,000+ inputs, 2.0 MB of 8.0 MB+, 1.0 MB/s, 3 failed";
        assert_eq!(walking.text(), text);
        let start = Moment {
            done: 0,
            done_len: 0,
            elapsed: 0.1,
            ..moment()
        };
        assert_eq!(start.text(), "0 of 4,000 inputs, 0 B of 8.0 MB");
        assert_eq!(moment().share(), 0.25);
    }
}

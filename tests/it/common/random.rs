//! Numbers that look random, with forms of them that only these tests need.

use std::time::Duration;

pub(crate) use super::shared::random::Random;

impl Random {
    /// A byte.
    pub(crate) fn byte(&mut self) -> u8 {
        (self.next() >> 56) as u8
    }

    /// A time below the limit.
    pub(crate) fn below(&mut self, limit: Duration) -> Duration {
        limit.mul_f64((self.next() >> 40) as f64 / (1_u64 << 24) as f64)
    }
}

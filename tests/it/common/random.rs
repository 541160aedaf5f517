//! Numbers that look random, the same in every run of a test.

use std::time::Duration;

/// A generator, with its seed.
#[derive(Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        // Knuth's constants.
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.0
    }

    /// A byte.
    pub(crate) fn byte(&mut self) -> u8 {
        (self.next() >> 56) as u8
    }

    /// A number below `count`, which is not 0.
    pub(crate) fn index(&mut self, count: usize) -> usize {
        ((self.next() >> 33) % count as u64) as usize
    }

    /// One of the items, if there are any.
    pub(crate) fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        (!items.is_empty()).then(|| &items[self.index(items.len())])
    }

    /// A time below the limit.
    pub(crate) fn below(&mut self, limit: Duration) -> Duration {
        limit.mul_f64((self.next() >> 40) as f64 / (1_u64 << 24) as f64)
    }
}

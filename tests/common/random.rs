//! Numbers that look random, the same in every run of a test.

/// A generator, with its seed.
#[derive(Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// A number of 64 bits, of which the upper ones are good.
    pub(crate) fn next(&mut self) -> u64 {
        // Knuth's constants.
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.0
    }

    /// A number below `count`, which is not 0.
    pub(crate) fn index(&mut self, count: usize) -> usize {
        ((self.next() >> 33) % count as u64) as usize
    }

    /// One of the items, if there are any.
    pub(crate) fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        (!items.is_empty()).then(|| &items[self.index(items.len())])
    }
}

//! Reproducible randomness: splitmix64.

#[derive(Debug, Clone)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    fn value(&self) -> u64 {
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn step(&mut self) {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
    }

    /// The next number below `bound`, without moving on.
    pub(super) fn peek_below(&self, bound: u64) -> u64 {
        ((u128::from(self.value()) * u128::from(bound)) >> 64) as u64
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.step();
        self.peek_below(bound)
    }
}

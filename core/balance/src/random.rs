//! Random numbers that a seed decides: the same seed, the same choices.
//!
//! Knows: its state. Must not: be taken for a secret.

/// Spreads a word's bits: equal words give equal ones, near words far ones.
#[inline]
pub fn mix(mut x: u64) -> u64 {
    x ^= x >> 32;
    x = x.wrapping_mul(0xd6e8_feb8_6659_fd93);
    x ^= x >> 32;
    x = x.wrapping_mul(0xd6e8_feb8_6659_fd93);
    x ^ (x >> 32)
}

/// A generator, one a worker. Seeds should differ, or all workers choose alike.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// One that begins where the seed says.
    pub fn new(seed: u64) -> Self {
        Self(mix(seed ^ 0x5851_f42d_4c95_7f2d))
    }

    /// The next 64 bits.
    #[inline]
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `end`; 0 where there is none below it.
    #[inline]
    pub fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(end)) >> 64) as u64
    }

    /// A place drawn by weight; none where no place has any. `total` is the sum of the weights.
    #[inline]
    pub fn weighted(&mut self, weights: impl Iterator<Item = u32>, total: u64) -> Option<usize> {
        let mut at = self.below(total);
        for (place, weight) in weights.enumerate() {
            if at < u64::from(weight) {
                return Some(place);
            }
            at -= u64::from(weight);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_decides_and_bounds_hold() {
        let run = |seed| {
            let mut random = Random::new(seed);
            (0..1000).map(|_| random.below(10)).collect::<Vec<_>>()
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
        for digit in 0..10 {
            let count = run(3).into_iter().filter(|drawn| *drawn == digit).count();
            assert!((60..150).contains(&count), "{digit} came {count} times");
        }
        assert_eq!(Random::new(1).below(0), 0);
    }

    #[test]
    fn places_are_drawn_by_weight() {
        let mut random = Random::new(5);
        let weights = [0u32, 3, 0, 1];
        let mut counts = [0; 4];
        for _ in 0..4000 {
            counts[random.weighted(weights.into_iter(), 4).unwrap()] += 1;
        }
        assert_eq!((counts[0], counts[2]), (0, 0));
        assert!((2850..3150).contains(&counts[1]), "{counts:?}");
        assert_eq!(random.weighted([0, 0].into_iter(), 0), None);
    }
}

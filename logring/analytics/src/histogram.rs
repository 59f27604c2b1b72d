//! A log-linear histogram of durations: exact below 16 us, 6.25 % wide above, up to 71 minutes.
//!
//! Buckets are powers of two cut into sixteen equal parts (the scheme of HdrHistogram with four
//! significant bits). Dense while a second is open, sparse once it is sealed. No clock, no IO.

/// Equal parts of each power of two.
const PARTS_BITS: u32 = 4;
const PARTS: usize = 1 << PARTS_BITS;
/// Values from here on share the last bucket: 2^32 us.
const OCTAVES: usize = 32 - PARTS_BITS as usize;
/// How many buckets there are.
pub const BUCKETS: usize = PARTS + OCTAVES * PARTS;

/// The bucket of a value in us. Costs a few instructions.
#[inline]
pub fn bucket_of(value_us: u64) -> usize {
    let value = value_us.min(u64::from(u32::MAX)) as u32;
    if value < PARTS as u32 {
        return value as usize;
    }
    let octave = 31 - value.leading_zeros() - PARTS_BITS;
    let part = (value >> octave) as usize & (PARTS - 1);
    PARTS + octave as usize * PARTS + part
}

/// The lowest value of a bucket, us.
pub fn lowest_of(bucket: usize) -> u64 {
    if bucket < PARTS {
        return bucket as u64;
    }
    let (octave, part) = ((bucket - PARTS) / PARTS, (bucket - PARTS) % PARTS);
    ((PARTS + part) as u64) << octave
}

/// The highest value of a bucket, us.
pub fn highest_of(bucket: usize) -> u64 {
    if bucket + 1 < BUCKETS { lowest_of(bucket + 1) - 1 } else { u64::from(u32::MAX) }
}

/// A dense histogram of 464 buckets of u32, 1.9 kB.
#[derive(Clone, Debug)]
pub struct Histogram {
    counts: Box<[u32; BUCKETS]>,
    max_us: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram { counts: Box::new([0; BUCKETS]), max_us: 0 }
    }
}

impl Histogram {
    /// Counts one value. A bucket saturates at 2^32 - 1.
    #[inline]
    pub fn record(&mut self, value_us: u64) {
        let count = &mut self.counts[bucket_of(value_us)];
        *count = count.saturating_add(1);
        self.max_us = self.max_us.max(value_us);
    }

    /// Adds the buckets of a sealed histogram.
    pub fn add(&mut self, sealed: &Sealed) {
        for &(bucket, count) in &sealed.buckets {
            let held = &mut self.counts[usize::from(bucket)];
            *held = held.saturating_add(count);
        }
        self.max_us = self.max_us.max(sealed.max_us);
    }

    /// The filled buckets only.
    pub fn seal(&self) -> Sealed {
        let buckets = self
            .counts
            .iter()
            .enumerate()
            .filter(|&(_, &count)| count > 0)
            .map(|(bucket, &count)| (bucket as u16, count))
            .collect();
        Sealed { buckets, max_us: self.max_us }
    }

    /// Forgets everything, keeps the memory.
    pub fn clear(&mut self) {
        self.counts.fill(0);
        self.max_us = 0;
    }

    /// Counts by bucket.
    pub fn counts(&self) -> &[u32; BUCKETS] {
        &self.counts
    }

    /// The largest value, exact, us.
    pub fn max_us(&self) -> u64 {
        self.max_us
    }

    /// How many values it holds.
    pub fn total(&self) -> u64 {
        self.counts.iter().map(|&count| u64::from(count)).sum()
    }

    /// The values at `quantiles`, which must rise from 0 to 1, each the highest of its bucket (never
    /// above the maximum); zeros if it is empty.
    pub fn quantiles_us<const N: usize>(&self, quantiles: [f64; N]) -> [u64; N] {
        let total = self.total();
        let mut found = [0; N];
        if total == 0 {
            return found;
        }
        let (mut passed, mut next) = (0u64, 0);
        for (bucket, &count) in self.counts.iter().enumerate() {
            passed += u64::from(count);
            while next < N && passed >= rank(quantiles[next], total) {
                found[next] = highest_of(bucket).min(self.max_us);
                next += 1;
            }
        }
        found
    }
}

/// The rank of a quantile among `total` values, from 1.
fn rank(quantile: f64, total: u64) -> u64 {
    ((quantile * total as f64).ceil() as u64).clamp(1, total)
}

/// A sealed histogram: filled buckets in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sealed {
    buckets: Box<[(u16, u32)]>,
    max_us: u64,
}

impl Sealed {
    /// The filled buckets in order, with their counts.
    pub fn buckets(&self) -> &[(u16, u32)] {
        &self.buckets
    }

    /// Bytes it takes.
    pub fn bytes(&self) -> usize {
        size_of::<Sealed>() + size_of_val(&*self.buckets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn buckets_tile_the_range() {
        for bucket in 0..BUCKETS {
            assert_eq!(bucket_of(lowest_of(bucket)), bucket);
            assert_eq!(bucket_of(highest_of(bucket)), bucket);
        }
        assert_eq!((bucket_of(0), bucket_of(u64::MAX)), (0, BUCKETS - 1));
    }

    #[test]
    fn an_empty_one_and_a_single_value() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantiles_us([0.5, 0.999]), [0, 0]);
        histogram.record(1_000);
        assert_eq!(histogram.quantiles_us([0.0, 0.5, 1.0]), [1_000; 3]);
        histogram.clear();
        assert_eq!((histogram.total(), histogram.max_us()), (0, 0));
    }

    proptest! {
        #[test]
        fn quantiles_are_within_a_bucket_of_the_exact_ones(
            mut values in proptest::collection::vec(0u64..u64::from(u32::MAX), 1..500),
        ) {
            let mut histogram = Histogram::default();
            for &value in &values {
                histogram.record(value);
            }
            let mut merged = Histogram::default();
            merged.add(&histogram.seal());
            values.sort_unstable();
            for (quantile, found) in [0.5, 0.9, 0.99, 0.999].iter().zip(merged.quantiles_us([0.5, 0.9, 0.99, 0.999])) {
                let exact = values[rank(*quantile, values.len() as u64) as usize - 1];
                prop_assert!(found >= exact && found as f64 <= exact as f64 * 1.0626 + 1.0, "{exact} {found}");
            }
        }
    }
}

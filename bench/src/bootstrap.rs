//! Medians and their uncertainty by the percentile bootstrap (Efron 1979): numbers in, numbers out, the same every
//! time, because the resampling has a fixed seed.

use crate::rng::Rng;

/// Resamples of an interval.
const RESAMPLES: usize = 4000;
/// Share of resampled medians that lies in the interval.
const COVERAGE: f64 = 0.95;
/// Fewest rounds a side from which an interval is drawn.
pub(crate) const ROUNDS_MIN: usize = 3;
const SEED: u64 = 0xB007;

/// The middle value, or the mean of the two middle ones. `None` if there is none.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        length if length % 2 == 1 => Some(sorted[middle]),
        _ => Some((sorted[middle - 1] + sorted[middle]) / 2.0),
    }
}

/// 95 % interval of the relative difference of medians, `b / a - 1`, with both sides resampled apart. `None` with
/// fewer than [`ROUNDS_MIN`] rounds on a side or if a median of `a` is zero.
pub(crate) fn relative_difference(a: &[f64], b: &[f64]) -> Option<(f64, f64)> {
    if a.len() < ROUNDS_MIN || b.len() < ROUNDS_MIN {
        return None;
    }
    let mut rng = Rng::new(SEED);
    let mut resample =
        |from: &[f64]| median(&(0..from.len()).map(|_| from[rng.below(from.len())]).collect::<Vec<_>>());
    let mut ratios = Vec::with_capacity(RESAMPLES);
    for _ in 0..RESAMPLES {
        let (a, b) = (resample(a)?, resample(b)?);
        if a == 0.0 {
            return None;
        }
        ratios.push(b / a - 1.0);
    }
    ratios.sort_by(f64::total_cmp);
    let at = |quantile: f64| ratios[((ratios.len() - 1) as f64 * quantile).round() as usize];
    Some((at((1.0 - COVERAGE) / 2.0), at((1.0 + COVERAGE) / 2.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn intervals_hold_the_truth_and_shrink_to_it() {
        let a = [100.0, 101.0, 99.0, 100.5, 99.5];
        let b = a.map(|value| value * 1.2);
        let (low, high) = relative_difference(&a, &b).unwrap();
        assert!(low < 0.2 && 0.2 < high && low > 0.15 && high < 0.25, "{low} {high}");
        let (low, high) = relative_difference(&[5.0; 3], &[5.0; 3]).unwrap();
        assert_eq!((low, high), (0.0, 0.0));
        assert!(relative_difference(&[1.0, 2.0], &[1.0, 2.0, 3.0]).is_none());
        assert!(relative_difference(&[0.0; 3], &[1.0; 3]).is_none());
    }
}

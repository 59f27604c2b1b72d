//! How what was measured loses its influence with time.

/// Ages, in parts of the decay time, that a short series is good enough for.
const SHORT_AGE: f64 = 0.01;

/// What is left, from 1 to 0, of the influence of a measurement of this age: it falls to 1/e in each `decay_ns`.
#[inline]
pub fn fading(age_ns: u64, decay_ns: f64) -> f64 {
    let age = age_ns as f64 / decay_ns;
    if age < SHORT_AGE {
        // The first terms of the series are within 1e-9 of it, and spare a call of the math library.
        return 1.0 - age * (1.0 - age / 2.0 * (1.0 - age / 3.0));
    }
    (-age).exp()
}

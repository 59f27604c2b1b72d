//! How long an answer waits: distributions over time, drawn from a given random source. No clock.

use std::str::FromStr;
use std::time::Duration;

use crate::rng::Rng;
use crate::units;

/// No drawn delay is longer.
const DELAY_MAX: Duration = Duration::from_secs(3600);

/// A distribution of delays.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Delay {
    /// Always the same.
    Fixed(Duration),
    /// Equally likely between two bounds.
    Uniform(Duration, Duration),
    /// Exponential with this mean.
    Exponential(Duration),
    /// Lognormal with this median and this deviation of the logarithm; the two are parted by a comma, or by a slash
    /// where commas part something else.
    Lognormal(Duration, f64),
}

impl Delay {
    /// Draws a delay, at most an hour.
    pub(crate) fn draw(&self, rng: &mut Rng) -> Duration {
        let seconds = match self {
            Self::Fixed(delay) => delay.as_secs_f64(),
            Self::Uniform(from, to) => {
                from.as_secs_f64() + (to.as_secs_f64() - from.as_secs_f64()) * rng.unit()
            }
            Self::Exponential(mean) => mean.as_secs_f64() * rng.exponential(),
            Self::Lognormal(median, sigma) => median.as_secs_f64() * (sigma * rng.normal()).exp(),
        };
        Duration::try_from_secs_f64(seconds).map_or(DELAY_MAX, |delay| delay.min(DELAY_MAX))
    }
}

impl FromStr for Delay {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((kind, rest)) = text.split_once(':') else { return units::duration(text).map(Self::Fixed) };
        match kind {
            "fixed" => units::duration(rest).map(Self::Fixed),
            "exp" | "exponential" => units::duration(rest).map(Self::Exponential),
            "uniform" => {
                let (from, to) = rest.split_once("..").ok_or("write uniform:1ms..9ms")?;
                let (from, to) = (units::duration(from)?, units::duration(to)?);
                if from > to {
                    Err(format!("`{rest}` ends before it begins"))
                } else {
                    Ok(Self::Uniform(from, to))
                }
            }
            "lognormal" => {
                const SIGMA_MAX: f64 = 5.0;
                let (median, sigma) = rest.split_once([',', '/']).ok_or("write lognormal:5ms,0.8")?;
                let sigma: f64 = sigma.trim().parse().map_err(|_| format!("`{sigma}` is not a number"))?;
                if !(0.0..=SIGMA_MAX).contains(&sigma) {
                    return Err(format!("sigma must be between 0 and {SIGMA_MAX}"));
                }
                Ok(Self::Lognormal(units::duration(median)?, sigma))
            }
            other => Err(format!("unknown distribution `{other}`; use fixed, uniform, exp or lognormal")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn parses() {
        for (text, expected) in [
            ("20ms", Some(Delay::Fixed(MS(20)))),
            ("fixed:20ms", Some(Delay::Fixed(MS(20)))),
            ("uniform:1ms..9ms", Some(Delay::Uniform(MS(1), MS(9)))),
            ("exp:5ms", Some(Delay::Exponential(MS(5)))),
            ("lognormal:5ms,0.8", Some(Delay::Lognormal(MS(5), 0.8))),
            ("lognormal:5ms/0.8", Some(Delay::Lognormal(MS(5), 0.8))),
            ("uniform:9ms..1ms", None),
            ("lognormal:5ms,9", None),
            ("lognormal:5ms", None),
            ("gauss:5ms", None),
        ] {
            assert_eq!(text.parse::<Delay>().ok(), expected, "{text}");
        }
    }

    #[test]
    fn draws_have_their_medians() {
        for (text, median_ms) in
            [("20ms", 20.0), ("uniform:10ms..30ms", 20.0), ("exp:10ms", 6.93), ("lognormal:5ms,0.8", 5.0)]
        {
            let (delay, mut rng) = (text.parse::<Delay>().unwrap(), Rng::new(8));
            let mut draws: Vec<_> = (0..20_001).map(|_| delay.draw(&mut rng).as_secs_f64() * 1e3).collect();
            draws.sort_by(f64::total_cmp);
            assert!((draws[10_000] / median_ms - 1.0).abs() < 0.03, "{text}: {}", draws[10_000]);
        }
    }
}

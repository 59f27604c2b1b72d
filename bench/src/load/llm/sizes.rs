//! Sizes in tokens, fixed or drawn. Text in, numbers out.

use std::str::FromStr;

use crate::rng::Rng;

/// Most tokens of a prompt or an answer.
const TOKENS_MAX: u32 = 100_000;

/// A distribution of sizes; what is drawn is between one token and [`TOKENS_MAX`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Sizes {
    Fixed(u32),
    Uniform(u32, u32),
    /// Exponential with this mean.
    Exponential(u32),
    /// Lognormal with this median and this deviation of the logarithm.
    Lognormal(u32, f64),
}

impl Sizes {
    /// Whether all are the same.
    pub(super) fn is_fixed(&self) -> bool {
        matches!(self, Self::Fixed(_))
    }

    /// Draws a size.
    pub(super) fn draw(&self, rng: &mut Rng) -> u32 {
        let drawn = match self {
            Self::Fixed(tokens) => f64::from(*tokens),
            Self::Uniform(from, to) => f64::from(*from) + f64::from(to - from + 1) * rng.unit() - 0.5,
            Self::Exponential(mean) => f64::from(*mean) * rng.exponential(),
            Self::Lognormal(median, sigma) => f64::from(*median) * (sigma * rng.normal()).exp(),
        };
        // The cast saturates.
        (drawn.round() as u32).clamp(1, TOKENS_MAX)
    }
}

impl FromStr for Sizes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let tokens = |text: &str| {
            text.trim()
                .parse()
                .ok()
                .filter(|tokens| (1..=TOKENS_MAX).contains(tokens))
                .ok_or_else(|| format!("`{text}` is not a number of tokens from 1 to {TOKENS_MAX}"))
        };
        let Some((kind, rest)) = text.split_once(':') else { return tokens(text).map(Self::Fixed) };
        match kind {
            "uniform" => {
                let (from, to) = rest.split_once("..").ok_or("write uniform:100..1000")?;
                let (from, to) = (tokens(from)?, tokens(to)?);
                if from > to {
                    Err(format!("`{rest}` ends before it begins"))
                } else {
                    Ok(Self::Uniform(from, to))
                }
            }
            "exp" => tokens(rest).map(Self::Exponential),
            "lognormal" => {
                const SIGMA_MAX: f64 = 5.0;
                let (median, sigma) = rest.split_once(['/', ',']).ok_or("write lognormal:500/1.2")?;
                let sigma = sigma.trim().parse().ok().filter(|sigma| (0.0..=SIGMA_MAX).contains(sigma));
                let sigma = sigma.ok_or_else(|| format!("sigma must be between 0 and {SIGMA_MAX}"))?;
                Ok(Self::Lognormal(tokens(median)?, sigma))
            }
            other => Err(format!("unknown distribution `{other}`; use uniform, exp or lognormal")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_have_their_medians_and_bounds() {
        for (text, median) in
            [("200", 200.0), ("uniform:100..301", 200.5), ("exp:200", 138.6), ("lognormal:200/1", 200.0)]
        {
            let (sizes, mut rng) = (text.parse::<Sizes>().unwrap(), Rng::new(3));
            let mut draws: Vec<_> = (0..20_001).map(|_| sizes.draw(&mut rng)).collect();
            draws.sort_unstable();
            assert!((f64::from(draws[10_000]) / median - 1.0).abs() < 0.03, "{text}: {}", draws[10_000]);
            assert!(draws[0] >= 1 && draws[20_000] <= TOKENS_MAX);
        }
        let (sizes, mut rng) = ("uniform:3..5".parse::<Sizes>().unwrap(), Rng::new(4));
        let mut seen = [false; 9];
        (0..1000).for_each(|_| seen[sizes.draw(&mut rng) as usize] = true);
        assert_eq!(seen, [false, false, false, true, true, true, false, false, false]);
    }

    #[test]
    fn what_is_no_size() {
        for text in ["0", "100001", "x", "uniform:5..1", "uniform:5", "lognormal:5/9", "gauss:5"] {
            assert!(text.parse::<Sizes>().is_err(), "{text}");
        }
    }
}

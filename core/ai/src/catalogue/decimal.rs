//! Money as integers: prices from decimal text, without a float and without rounding.

use thiserror::Error;

/// An amount of 10^-15 USD: what prices count in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct FemtoUsd(pub u64);

/// The dearest price of one unit: 1,000 USD. It keeps sums of products within 128 bits.
pub const RATE_MAX: FemtoUsd = FemtoUsd(1_000_000_000_000_000_000);

/// Why a text is not a price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DecimalError {
    /// Not digits with at most one point between them.
    #[error("not a plain decimal number (digits, and a point between digits)")]
    Form,
    /// More decimals than the unit of the program has.
    #[error("more than {0} decimals")]
    TooFine(u32),
    /// More than [`RATE_MAX`].
    #[error("more than 1000 USD a unit")]
    TooLarge,
}

impl FemtoUsd {
    /// The price of one unit from USD per 10^`per` units, in plain decimal text: `FemtoUsd::parse("0.3", 6)` is the price
    /// of one token at 0.3 USD per million.
    ///
    /// # Errors
    /// A text that has another form, or a price that cannot be held exactly.
    pub fn parse(text: &str, per: u32) -> Result<FemtoUsd, DecimalError> {
        let (whole, fraction) = match text.split_once('.') {
            Some((_, "")) => return Err(DecimalError::Form),
            Some(parts) => parts,
            None => (text, ""),
        };
        let leading_zero = whole.len() > 1 && whole.starts_with('0');
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || leading_zero || !digits(whole) || !digits(fraction) {
            return Err(DecimalError::Form);
        }
        let decimals = 15 - per.min(15);
        let fraction = fraction.trim_end_matches('0');
        let missing = decimals.checked_sub(fraction.len().try_into().unwrap_or(u32::MAX));
        let missing = missing.ok_or(DecimalError::TooFine(decimals))?;
        let value = whole
            .bytes()
            .chain(fraction.bytes())
            .try_fold(0u64, |value, digit| value.checked_mul(10)?.checked_add(u64::from(digit - b'0')))
            .and_then(|value| value.checked_mul(10u64.checked_pow(missing)?))
            .ok_or(DecimalError::TooLarge)?;
        if value > RATE_MAX.0 { Err(DecimalError::TooLarge) } else { Ok(FemtoUsd(value)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_become_integers_exactly() {
        for (text, per, femto) in [
            ("0", 6, 0),
            ("3", 6, 3_000_000_000),
            ("0.3", 6, 300_000_000),
            ("0.003625", 6, 3_625_000),
            ("0.000000001", 6, 1),
            ("18.750000000000", 6, 18_750_000_000),
            ("1000", 0, 1_000_000_000_000_000_000),
            ("0.039", 0, 39_000_000_000_000),
            ("0.000030833333333", 0, 30_833_333_333),
            ("0.000000000000001", 0, 1),
            ("1000000000", 6, 1_000_000_000_000_000_000),
        ] {
            assert_eq!(FemtoUsd::parse(text, per), Ok(FemtoUsd(femto)), "{text} per 10^{per}");
        }
    }

    #[test]
    fn what_is_not_exact_is_an_error() {
        for (text, per, error) in [
            ("", 6, DecimalError::Form),
            (".", 6, DecimalError::Form),
            ("1.", 6, DecimalError::Form),
            (".5", 6, DecimalError::Form),
            ("-1", 6, DecimalError::Form),
            ("+1", 6, DecimalError::Form),
            ("1e-7", 6, DecimalError::Form),
            ("01", 6, DecimalError::Form),
            ("1,5", 6, DecimalError::Form),
            ("1.5.0", 6, DecimalError::Form),
            (" 1", 6, DecimalError::Form),
            ("0.0000000001", 6, DecimalError::TooFine(9)),
            ("0.0000000000000001", 0, DecimalError::TooFine(15)),
            ("1000.000000000000001", 0, DecimalError::TooLarge),
            ("1000000001", 6, DecimalError::TooLarge),
            ("99999999999999999999999999", 6, DecimalError::TooLarge),
        ] {
            assert_eq!(FemtoUsd::parse(text, per), Err(error), "{text:?} per 10^{per}");
        }
    }
}

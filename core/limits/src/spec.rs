//! What a limit is as configured, and whether that makes sense.
//!
//! Knows: numbers and names of one limit. Must not: know where it stands or who is counted.

use std::time::Duration;

use crate::{calendar::CalendarWindows, clock::TICK_SHIFT, rolling, window};

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Calls.
    Requests,
    /// Body bytes: the known length is reserved at admission, the rest is booked when the call settles.
    Bytes(Direction),
    /// Calls at the same time.
    Concurrent,
    /// LLM tokens: reserved before an attempt, settled after it.
    Tokens(TokenKind),
    /// Money in nano-dollars (10^-9 USD): reserved before an attempt, settled after it.
    Usd,
}

impl Kind {
    /// Whether it is counted by [`crate::Shard::reserve`] and not by [`crate::Shard::admit`].
    #[inline]
    pub fn reserves(self) -> bool {
        matches!(self, Kind::Tokens(_) | Kind::Usd)
    }

    /// How a duration is counted where nothing is written.
    pub(crate) fn default_algorithm(self) -> Algorithm {
        if self.reserves() { Algorithm::Rolling } else { Algorithm::Gcra }
    }
}

/// Which LLM tokens count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenKind {
    /// What the caller sends.
    Input,
    /// What the model writes.
    Output,
    /// The sum.
    Both,
}

/// Which bytes count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the caller.
    Up,
    /// To the caller.
    Down,
    /// The sum.
    Both,
}

/// Over which time is counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Window {
    /// None: the kind is `Concurrent`.
    None,
    /// A duration, on the pool's steady time line.
    Duration(Duration),
    /// Hours, days or months of a time zone, by the wall clock.
    Calendar(CalendarWindows),
}

/// How a duration is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// A bucket of depth `burst` refilled evenly: the generic cell rate algorithm (ITU-T I.371, annex A).
    Gcra,
    /// Windows side by side, aligned to the wall clock of the region's creation.
    Fixed,
    /// The last 60 sub-buckets, each 1/60 of the window.
    Rolling,
}

/// Whether the limit refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Mode {
    /// It refuses.
    #[default]
    Hard,
    /// It flags and alerts only.
    Soft,
}

/// Thresholds in one `alert_at` at most.
pub const ALERTS_MAX: usize = 4;
/// Default bound of the keys of one limit.
pub const KEYS_MAX_DEFAULT: u32 = 1_000_000;
/// Longest name, bytes.
pub const NAME_BYTES_MAX: usize = 64;
/// Shortest duration of a window.
pub const PER_MIN: Duration = Duration::from_millis(10);
/// Longest duration of a window: 400 days.
pub const PER_MAX: Duration = Duration::from_secs(400 * 86_400);
/// Largest amount of a fixed or calendar window, and of tokens and money: some 18 million dollars.
pub const WINDOW_AMOUNT_MAX: u64 = window::COUNT_MAX - 1;
/// Largest number of concurrent calls.
pub const CONCURRENT_MAX: u64 = u32::MAX as u64 - 1;
/// Deepest gcra bucket in ticks (1/16 ns): some nine years of refill.
pub(crate) const DEPTH_TICKS_MAX: u128 = 1 << 62;

/// One limit as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitSpec {
    /// Stable uid of the resource that the limit stands on.
    pub owner: u128,
    /// Unique within the owner. [`default_name`] is the name where none is written.
    pub name: String,
    /// What is counted.
    pub kind: Kind,
    /// How much of it per window (or at once).
    pub amount: u64,
    /// The window.
    pub window: Window,
    /// None: the kind's default (over a duration gcra for requests and bytes, rolling for tokens and money).
    pub algorithm: Option<Algorithm>,
    /// Depth of a gcra bucket in units of the kind; none: the amount.
    pub burst: Option<u64>,
    /// Whether it refuses.
    pub mode: Mode,
    /// Percentages of the amount at whose crossing an alert is raised; at most [`ALERTS_MAX`].
    pub alert_at: Vec<u16>,
    /// Bound of the keys that have a bucket of their own.
    pub keys_max: u32,
}

/// Why a limit is refused at check time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages are the documentation")]
pub enum SpecError {
    #[error("a limit needs a name of 1 to {NAME_BYTES_MAX} bytes, printable ASCII without quotes")]
    Name,
    #[error("the amount must be at least 1")]
    ZeroAmount,
    #[error("the amount {amount} is over the greatest this kind of limit can count, {max}")]
    AmountTooLarge { amount: u64, max: u64 },
    #[error("`per` must be between 10ms and 400 days")]
    Per,
    #[error("`concurrent` has no window, algorithm or burst")]
    ConcurrentWindow,
    #[error("this kind of limit needs `per`")]
    WindowMissing,
    #[error("a calendar window has no algorithm or burst")]
    CalendarAlgorithm,
    #[error("tokens and money have no bucket; count them rolling or fixed")]
    GcraReserves,
    #[error("`burst` is for gcra only")]
    BurstWithoutGcra,
    #[error("`burst` must be at least 1")]
    ZeroBurst,
    #[error("`burst` takes longer than nine years to refill")]
    BurstTooDeep,
    #[error("more than one call each nanosecond cannot be told apart; use a smaller amount")]
    TooFast,
    #[error("`alert_at` has more than {ALERTS_MAX} thresholds, or one outside 1% to 1000%")]
    Alerts,
    #[error("`keys_max` must be at least 1")]
    ZeroKeys,
}

/// The name of a limit where none is written: kind, what it is counted by, and the window, as `requests/app/1s`.
pub fn default_name(kind: Kind, by: &str, per: &str) -> String {
    let kind = match kind {
        Kind::Requests => "requests",
        Kind::Bytes(Direction::Up) => "bytes-up",
        Kind::Bytes(Direction::Down) => "bytes-down",
        Kind::Bytes(Direction::Both) => "bytes",
        Kind::Concurrent => "concurrent",
        Kind::Tokens(TokenKind::Input) => "input_tokens",
        Kind::Tokens(TokenKind::Output) => "output_tokens",
        Kind::Tokens(TokenKind::Both) => "tokens",
        Kind::Usd => "usd",
    };
    [kind, by, per].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/")
}

impl LimitSpec {
    /// A limit with the defaults of everything that has one.
    pub fn new(owner: u128, name: &str, kind: Kind, amount: u64, window: Window) -> Self {
        Self {
            owner,
            name: name.to_owned(),
            kind,
            amount,
            window,
            algorithm: None,
            burst: None,
            mode: Mode::Hard,
            alert_at: Vec::new(),
            keys_max: KEYS_MAX_DEFAULT,
        }
    }

    /// Every reason this limit can be refused for, the first found.
    pub fn validate(&self) -> Result<(), SpecError> {
        let printable = self.name.bytes().all(|b| (0x20..0x7f).contains(&b) && b != b'"' && b != b'\\');
        if self.name.is_empty() || self.name.len() > NAME_BYTES_MAX || !printable {
            return Err(SpecError::Name);
        }
        if self.amount == 0 {
            return Err(SpecError::ZeroAmount);
        }
        if self.alert_at.len() > ALERTS_MAX || self.alert_at.iter().any(|p| !(1..=1000).contains(p)) {
            return Err(SpecError::Alerts);
        }
        if self.keys_max == 0 {
            return Err(SpecError::ZeroKeys);
        }
        match &self.window {
            _ if self.kind == Kind::Concurrent => self.validate_concurrent(),
            Window::None => Err(SpecError::WindowMissing),
            Window::Calendar(_) if self.algorithm.is_some() || self.burst.is_some() => {
                Err(SpecError::CalendarAlgorithm)
            }
            Window::Calendar(_) => self.amount_at_most(WINDOW_AMOUNT_MAX),
            Window::Duration(per) if *per < PER_MIN || *per > PER_MAX => Err(SpecError::Per),
            Window::Duration(per) => self.validate_duration(*per),
        }
    }

    fn validate_concurrent(&self) -> Result<(), SpecError> {
        if self.window != Window::None || self.algorithm.is_some() || self.burst.is_some() {
            return Err(SpecError::ConcurrentWindow);
        }
        self.amount_at_most(CONCURRENT_MAX)
    }

    fn validate_duration(&self, per: Duration) -> Result<(), SpecError> {
        let algorithm = self.algorithm.unwrap_or(self.kind.default_algorithm());
        if algorithm != Algorithm::Gcra && self.burst.is_some() {
            return Err(SpecError::BurstWithoutGcra);
        }
        match algorithm {
            Algorithm::Fixed => self.amount_at_most(WINDOW_AMOUNT_MAX),
            Algorithm::Rolling => self.amount_at_most(match self.kind {
                Kind::Requests => rolling::UNITS_MAX,
                _ => WINDOW_AMOUNT_MAX,
            }),
            Algorithm::Gcra if self.kind.reserves() => Err(SpecError::GcraReserves),
            Algorithm::Gcra => {
                let burst = self.burst.unwrap_or(self.amount);
                if burst == 0 {
                    return Err(SpecError::ZeroBurst);
                }
                if self.kind == Kind::Requests && u128::from(self.amount) > per.as_nanos() {
                    return Err(SpecError::TooFast);
                }
                let per_ticks = per.as_nanos() << TICK_SHIFT;
                let interval = per_ticks.div_ceil(u128::from(self.amount));
                if interval.saturating_mul(u128::from(burst)) > DEPTH_TICKS_MAX {
                    return Err(SpecError::BurstTooDeep);
                }
                Ok(())
            }
        }
    }

    fn amount_at_most(&self, max: u64) -> Result<(), SpecError> {
        if self.amount > max {
            return Err(SpecError::AmountTooLarge { amount: self.amount, max });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::CalendarUnit;

    fn requests(amount: u64, per: Duration) -> LimitSpec {
        LimitSpec::new(1, "r", Kind::Requests, amount, Window::Duration(per))
    }

    #[test]
    fn each_reason_is_told() {
        let s = Duration::from_secs;
        let calendar = CalendarWindows::from_starts(CalendarUnit::Day, "UTC", vec![0]).unwrap();
        let daily = LimitSpec::new(1, "d", Kind::Requests, 5, Window::Calendar(calendar));
        let concurrent = LimitSpec::new(1, "c", Kind::Concurrent, 5, Window::None);
        let rolling = LimitSpec { algorithm: Some(Algorithm::Rolling), ..requests(5, s(1)) };
        let table = [
            (requests(5, s(1)), Ok(())),
            (daily.clone(), Ok(())),
            (concurrent.clone(), Ok(())),
            (rolling.clone(), Ok(())),
            (LimitSpec { name: String::new(), ..requests(5, s(1)) }, Err(SpecError::Name)),
            (LimitSpec { name: "x".repeat(64), ..requests(5, s(1)) }, Ok(())),
            (LimitSpec { name: "x".repeat(65), ..requests(5, s(1)) }, Err(SpecError::Name)),
            (LimitSpec { name: "a\"b".into(), ..requests(5, s(1)) }, Err(SpecError::Name)),
            (requests(0, s(1)), Err(SpecError::ZeroAmount)),
            (requests(5, Duration::from_millis(9)), Err(SpecError::Per)),
            (requests(5, PER_MAX), Ok(())),
            (requests(5, PER_MAX + s(1)), Err(SpecError::Per)),
            (requests(1_000_000_001, s(1)), Err(SpecError::TooFast)),
            (LimitSpec { burst: Some(0), ..requests(5, s(1)) }, Err(SpecError::ZeroBurst)),
            (LimitSpec { burst: Some(1 << 40), ..requests(5, s(1)) }, Err(SpecError::BurstTooDeep)),
            (LimitSpec { burst: Some(5), ..rolling.clone() }, Err(SpecError::BurstWithoutGcra)),
            (LimitSpec { burst: Some(5), ..daily.clone() }, Err(SpecError::CalendarAlgorithm)),
            (
                LimitSpec { algorithm: Some(Algorithm::Gcra), ..daily.clone() },
                Err(SpecError::CalendarAlgorithm),
            ),
            (LimitSpec { window: Window::Duration(s(1)), ..concurrent }, Err(SpecError::ConcurrentWindow)),
            (LimitSpec { window: Window::None, ..requests(5, s(1)) }, Err(SpecError::WindowMissing)),
            (LimitSpec { alert_at: vec![50, 80, 90, 100], ..requests(5, s(1)) }, Ok(())),
            (LimitSpec { alert_at: vec![1; 5], ..requests(5, s(1)) }, Err(SpecError::Alerts)),
            (LimitSpec { alert_at: vec![0], ..requests(5, s(1)) }, Err(SpecError::Alerts)),
            (LimitSpec { keys_max: 0, ..requests(5, s(1)) }, Err(SpecError::ZeroKeys)),
            (LimitSpec { amount: WINDOW_AMOUNT_MAX, ..daily.clone() }, Ok(())),
            (
                LimitSpec { amount: WINDOW_AMOUNT_MAX + 1, ..daily },
                Err(SpecError::AmountTooLarge { amount: WINDOW_AMOUNT_MAX + 1, max: WINDOW_AMOUNT_MAX }),
            ),
        ];
        for (spec, expected) in table {
            assert_eq!(spec.validate(), expected, "{spec:?}");
        }
    }

    #[test]
    fn default_names_are_kind_by_per() {
        assert_eq!(default_name(Kind::Requests, "app", "1s"), "requests/app/1s");
        assert_eq!(default_name(Kind::Concurrent, "", ""), "concurrent");
    }
}

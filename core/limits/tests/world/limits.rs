//! Random limits of all kinds.

use std::time::Duration;

use penstock_limits::{
    Algorithm, CalendarUnit, CalendarWindows, Direction, Kind, LimitSpec, Window, time_zone,
};

use super::{SECOND, WALL_START, random::Random};

/// A limit as the world and its checks see it.
#[derive(Debug, Clone)]
pub(super) struct SimLimit {
    pub(super) spec: LimitSpec,
    pub(super) by_caller: bool,
}

impl SimLimit {
    pub(super) fn window_ns(&self) -> u64 {
        match &self.spec.window {
            Window::None => SECOND,
            Window::Duration(per) => per.as_nanos() as u64,
            Window::Calendar(windows) => match windows.unit() {
                CalendarUnit::Hour => 3600 * SECOND,
                _ => 86_400 * SECOND,
            },
        }
    }

    /// Mean time between two calls that just pass.
    pub(super) fn interval_ns(&self) -> u64 {
        let bytes = if matches!(self.spec.kind, Kind::Bytes(_)) { 1000 } else { 1 };
        (self.window_ns() * bytes / self.spec.amount).clamp(1000, 40 * SECOND)
    }

    /// Too small for any lease: every decision must be the reference's. (Where the interval is no whole number of
    /// sixteenths of a nanosecond it is rounded up, and a call in just that moment may differ.)
    pub(super) fn is_small(&self) -> bool {
        let whole = (self.window_ns() * 16).is_multiple_of(self.spec.amount);
        self.spec.kind == Kind::Requests && whole && self.spec.amount.max(self.spec.burst.unwrap_or(0)) < 4
    }
}

pub(super) fn calendar(unit: CalendarUnit) -> Window {
    let zone = time_zone("Europe/Zurich").unwrap();
    let from = (WALL_START / SECOND) as i64 - 10_000_000;
    Window::Calendar(CalendarWindows::compute(unit, &zone, "Europe/Zurich", from).unwrap())
}

pub(super) fn random_limit(random: &mut Random, owner: u128, short_only: bool) -> SimLimit {
    let seconds = |n| Window::Duration(Duration::from_secs(n));
    let windows = [
        seconds(1),
        seconds(1),
        seconds(1),
        seconds(60),
        seconds(7),
        Window::Duration(Duration::from_millis(500)),
    ];
    let amounts = [1, 2, 3, 10, 100, 333, 1000, 5000, 20_000, 50_000];
    let amount = amounts[random.below(10) as usize];
    let window = windows[random.below(6) as usize].clone();
    let requests = LimitSpec::new(owner, "limit", Kind::Requests, amount, window);
    let spec = match random.below(if short_only { 7 } else { 8 }) {
        0..2 => {
            let burst =
                [None, Some(1), Some(amount), Some(amount / 2 + 1), Some(amount * 2), Some(100), Some(400)];
            LimitSpec { burst: burst[random.below(7) as usize], ..requests }
        }
        2 | 3 => LimitSpec { algorithm: Some(Algorithm::Fixed), ..requests },
        4 => LimitSpec { algorithm: Some(Algorithm::Rolling), ..requests },
        5 => {
            let amount = 1 + random.below(20);
            LimitSpec { kind: Kind::Concurrent, amount, window: Window::None, ..requests }
        }
        6 => {
            let algorithm =
                [None, Some(Algorithm::Fixed), Some(Algorithm::Rolling)][random.below(3) as usize];
            let amount = 1000 * (amount + 5);
            LimitSpec { kind: Kind::Bytes(Direction::Up), amount, algorithm, ..requests }
        }
        _ => {
            let unit = [CalendarUnit::Hour, CalendarUnit::Day][random.below(2) as usize];
            LimitSpec { window: calendar(unit), ..requests }
        }
    };
    SimLimit { spec, by_caller: random.below(2) == 0 }
}

/// A limit that many calls in 10 ms pass.
pub(super) fn fast_limit(random: &mut Random) -> SimLimit {
    let amount = [2000, 5000, 20_000][random.below(3) as usize];
    let requests =
        LimitSpec::new(0, "fast", Kind::Requests, amount, Window::Duration(Duration::from_secs(1)));
    let spec = match random.below(3) {
        0 => LimitSpec { algorithm: Some(Algorithm::Fixed), ..requests },
        _ => LimitSpec { burst: Some([100, 400, 1000][random.below(3) as usize]), ..requests },
    };
    SimLimit { spec, by_caller: false }
}

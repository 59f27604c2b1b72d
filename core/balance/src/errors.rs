//! Failed and other calls over a rolling window of ten parts: for ejection and for the breaker.
//!
//! Knows: counts and time as told. Must not: decide.

const PARTS: usize = 10;

/// The window.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ErrorWindow {
    part_ns: u64,
    /// (calls, failures) of each part.
    parts: [(u32, u32); PARTS],
    /// Number of the part that was counted in last.
    latest: u64,
    /// End of that part: before it there is nothing to turn, and no division.
    latest_ends_ns: u64,
}

impl ErrorWindow {
    pub(crate) fn new(window_ns: u64) -> Self {
        let part_ns = window_ns.div_ceil(PARTS as u64).max(1);
        Self { part_ns, parts: [(0, 0); PARTS], latest: 0, latest_ends_ns: part_ns }
    }

    fn turn(&mut self, now_ns: u64) {
        if now_ns < self.latest_ends_ns {
            return;
        }
        let current = now_ns / self.part_ns;
        if current > self.latest {
            for passed in 0..(current - self.latest).min(PARTS as u64) {
                self.parts[((current - passed) % PARTS as u64) as usize] = (0, 0);
            }
            self.latest = current;
            self.latest_ends_ns = (current + 1).saturating_mul(self.part_ns);
        }
    }

    pub(crate) fn count(&mut self, now_ns: u64, failed: bool) {
        self.turn(now_ns);
        let part = &mut self.parts[(self.latest % PARTS as u64) as usize];
        part.0 = part.0.saturating_add(1);
        part.1 = part.1.saturating_add(u32::from(failed));
    }

    /// Whether at least `percent` of at least `requests_min` calls failed.
    pub(crate) fn is_over(&mut self, now_ns: u64, percent: u8, requests_min: u32) -> bool {
        self.turn(now_ns);
        let sum = |of: fn(&(u32, u32)) -> u32| self.parts.iter().map(|part| u64::from(of(part))).sum::<u64>();
        let (calls, failures) = (sum(|part| part.0), sum(|part| part.1));
        calls >= u64::from(requests_min) && failures * 100 >= calls * u64::from(percent) && failures > 0
    }

    pub(crate) fn clear(&mut self) {
        self.parts = [(0, 0); PARTS];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_counts_from_enough_calls_and_passes_with_time() {
        let mut window = ErrorWindow::new(1000);
        for call in 0..20 {
            assert!(!window.is_over(100, 50, 20));
            window.count(100, call % 2 == 0);
        }
        assert!(window.is_over(100, 50, 20));
        assert!(!window.is_over(100, 51, 20));
        assert!(!window.is_over(100, 50, 21));
        assert!(window.is_over(1099, 50, 20));
        assert!(!window.is_over(1100, 50, 20));
        assert!(!window.is_over(u64::MAX / 2, 50, 1));
    }
}

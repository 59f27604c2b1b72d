//! Time as the caller tells it, and the pool's own time line derived from it.
//!
//! Knows: two readings of clocks. Must not: read a clock.

/// One reading of both clocks, taken once per decision (or once per turn of the worker's loop).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// Nanoseconds of a clock that never steps and that all processes of one boot share (CLOCK_BOOTTIME, or
    /// CLOCK_MONOTONIC where the machine does not sleep).
    pub mono_ns: u64,
    /// Nanoseconds since 1970 UTC. It may step at any time; only calendar windows look at it.
    pub wall_ns: u64,
}

/// Fraction bits of a gcra tick: a tick is 1/16 ns, so that an interval is rounded by at most that.
pub(crate) const TICK_SHIFT: u32 = 4;

/// Nanoseconds in a second.
pub(crate) const SECOND_NS: u64 = 1_000_000_000;
/// Windows shorter than this begin empty (gcra) or closed (all others) after a power cut.
pub const POWER_CUT_WINDOW_NS: u64 = 3_600 * SECOND_NS;

/// Maps monotonic time to pool time: nanoseconds since the region was created, going on over reboots.
///
/// Windows of a duration (gcra, fixed, rolling) live on pool time only, so a step of the wall clock cannot move
/// them. `align_ns` puts window 0 where the wall clock had it when the region was created or first opened in
/// this boot.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PoolClock {
    pub(crate) mono_base_ns: u64,
    pub(crate) pool_base_ns: u64,
    pub(crate) align_ns: u64,
}

impl PoolClock {
    /// Pool time of a reading. Never before the base of this boot.
    #[inline]
    pub(crate) fn pool_ns(&self, now: Now) -> u64 {
        self.pool_base_ns + now.mono_ns.saturating_sub(self.mono_base_ns)
    }

    /// Index of the window of `per_ns` that holds `pool_ns`, and where that window ends in pool time.
    #[inline]
    pub(crate) fn window(&self, pool_ns: u64, per_ns: u64) -> (u64, u64) {
        let aligned = pool_ns + self.align_ns;
        let index = aligned / per_ns;
        (index, ((index + 1) * per_ns).saturating_sub(self.align_ns))
    }

    /// Index of the window that held the moment `ago_ns` before `pool_ns`, also if the region was not there then.
    pub(crate) fn window_before(&self, pool_ns: u64, ago_ns: u64, per_ns: u64) -> u64 {
        (pool_ns + self.align_ns).saturating_sub(ago_ns) / per_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_stand_on_the_wall_of_the_first_reading() {
        let clock = PoolClock { mono_base_ns: 500, pool_base_ns: 0, align_ns: 61 * SECOND_NS };
        let at = |mono| clock.pool_ns(Now { mono_ns: mono, wall_ns: 0 });
        assert_eq!(clock.window(at(500), 60 * SECOND_NS), (1, 59 * SECOND_NS));
        assert_eq!(clock.window(at(500 + 59 * SECOND_NS), 60 * SECOND_NS).0, 2);
        assert_eq!(at(0), 0, "a reading before the base is the base");
    }
}

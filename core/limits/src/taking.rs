//! What is asked of a node counter and what it answers, the same for every method.
//!
//! Knows: amounts. Must not: know where they are counted.

/// A request to a node counter.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ask {
    /// Units for the call at hand.
    pub(crate) amount: u64,
    /// Units to lease ahead if the counter has room for two such slices for every worker; 0: none.
    pub(crate) lease: u32,
    /// Units of the lease the asker held until now; all of them are spent.
    pub(crate) held: u32,
    /// Workers that share the counter.
    pub(crate) workers: u32,
    /// Count even beyond the limit: soft limits and what a call used beyond its reservation.
    pub(crate) force: bool,
}

impl Ask {
    /// The plain request: this many units or nothing.
    pub(crate) fn of(amount: u64) -> Self {
        Self { amount, lease: 0, held: 0, workers: 1, force: false }
    }

    /// What may be leased when `spare` units would be left after the call at hand.
    #[inline]
    pub(crate) fn lease_of(&self, spare: u64) -> u32 {
        if self.lease > 0 && spare >= 2 * u64::from(self.lease) * u64::from(self.workers) {
            self.lease
        } else {
            0
        }
    }
}

/// The counter's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taking {
    /// Counted.
    Taken(Taken),
    /// Not counted: too little is left.
    Short(Short),
    /// The slot belongs to another key by now: look the key up again.
    Gone,
    /// The counter is held by a worker that does not go on (stopped or killed in the middle).
    Busy,
}

/// Counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Taken {
    /// The window or sub-bucket it was counted in; 0 where there is none.
    pub(crate) index: u64,
    /// Units leased on top.
    pub(crate) leased: u32,
    /// Units left at the node.
    pub(crate) remaining: u64,
    /// Units used before and after, leases included.
    pub(crate) used_before: u64,
    pub(crate) used_after: u64,
}

/// Not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Short {
    /// Nanoseconds until the same request can be granted if nobody else asks; 0 if that is not known.
    pub(crate) wait_ns: u64,
    pub(crate) remaining: u64,
    pub(crate) used: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_needs_two_slices_for_every_worker() {
        let ask = Ask { lease: 5, workers: 3, ..Ask::of(1) };
        assert_eq!(ask.lease_of(30), 5);
        assert_eq!(ask.lease_of(29), 0);
        assert_eq!(Ask { lease: 0, ..ask }.lease_of(1000), 0);
    }
}

//! What a decision says.
//!
//! Knows: numbers. Must not: know HTTP beyond the codes that the design gives to refusals.

/// Limits that can apply to one call. Configuration is checked against it; a call with more is refused.
pub const APPLIED_MAX: usize = 32;

/// The answer to one call.
#[derive(Debug, Clone, Copy, PartialEq)]
#[must_use]
pub enum Verdict {
    /// All limits agree; what they count is taken.
    Admitted(Admitted),
    /// One does not; nothing is taken.
    Refused(Refusal),
}

impl Verdict {
    /// Whether the call may go on.
    pub fn is_admitted(&self) -> bool {
        matches!(self, Verdict::Admitted(_))
    }
}

/// An admitted call.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Admitted {
    /// The limit with the least share left, for the RateLimit fields; none if no limit applies.
    pub tightest: Option<Standing>,
    /// Bit i: soft limit i of the call is exceeded.
    pub soft_exceeded: u32,
}

/// How a caller stands with one limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Place of the limit in the slice that was decided on.
    pub index: u8,
    /// Units left. While the worker holds a lease this is as of the last word from the node pool, at most some
    /// 10 ms old, less what this worker used since.
    pub remaining: u64,
    /// Units of the whole: the amount; the bucket's depth for gcra.
    pub limit: u64,
    /// Nanoseconds until the window ends (fixed, calendar), until the bucket is full (gcra), the window's length
    /// (rolling); 0 for concurrent.
    pub reset_ns: u64,
    /// Length of the window in nanoseconds; 0 for concurrent.
    pub window_ns: u64,
}

/// Why a call is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RefusalKind {
    /// A rate or a window of some duration is used up.
    RateLimited,
    /// A calendar window is used up.
    QuotaExhausted,
    /// The money of a window is used up or reserved.
    BudgetExhausted,
    /// The call alone asks for more tokens or money than the whole limit holds: it can never pass. To be answered with
    /// 400.
    ExceedsLimit,
    /// Too many calls at the same time.
    TooManyConcurrent,
    /// No decision could be made within bounds: more than [`APPLIED_MAX`] limits, all permit records in use, no room
    /// for the call's reservations, the worker is fenced, or a counter is held by one that was stopped. To be answered with 503.
    Unavailable,
}

impl RefusalKind {
    /// The `code` of the problem document.
    pub fn code(self) -> &'static str {
        match self {
            RefusalKind::RateLimited => "rate_limited",
            RefusalKind::QuotaExhausted => "quota_exhausted",
            RefusalKind::BudgetExhausted => "budget_exhausted",
            RefusalKind::ExceedsLimit => "exceeds_limit",
            RefusalKind::TooManyConcurrent => "too_many_concurrent",
            RefusalKind::Unavailable => "limits_unavailable",
        }
    }
}

/// A refused call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// Place of the refusing limit in the slice that was decided on.
    pub index: u8,
    /// Why.
    pub kind: RefusalKind,
    /// Nanoseconds until the same call can be admitted if nobody else asks. For concurrent, where nobody knows,
    /// one second; 0 for a call that can never be.
    pub retry_after_ns: u64,
    /// Units left (fewer than the call needs).
    pub remaining: u64,
    /// Units used, leases of other workers and reservations of calls under way included.
    pub used: u64,
    /// Units of the whole: the amount; the bucket's depth for gcra.
    pub limit: u64,
    /// Length of the window in nanoseconds; 0 for concurrent.
    pub window_ns: u64,
}

impl Refusal {
    /// The same as a standing, for the RateLimit fields of a 429.
    pub fn standing(&self) -> Standing {
        Standing {
            index: self.index,
            remaining: self.remaining,
            limit: self.limit,
            reset_ns: self.retry_after_ns,
            window_ns: self.window_ns,
        }
    }
}

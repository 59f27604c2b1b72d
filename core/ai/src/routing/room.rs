//! What a provider has left for a key at a deployment, as its answers' headers say; shared by all workers.
//!
//! Knows: numbers and times as told. Must not: know headers.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::provider::{Headroom, Window};

/// The whole of a limit, in the unit of [`Room::score`].
pub(super) const WHOLE: u32 = 1 << 16;
/// Added to the score of room that the call at hand fits into.
const FITS: u32 = 1 << 20;
/// Time after which a limit without a reset counts as whole again: no provider counts by a longer period than a minute
/// without saying so.
const UNTOLD_RESET_NS: u64 = 60_000_000_000;

/// What a call will take of each window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Share {
    pub(super) input_tokens: u64,
    pub(super) output_tokens: u64,
}

/// One limit. Its members change one by one; a mixture of two answers is off by what one call takes.
#[derive(Debug, Default)]
struct Left {
    /// 0: nothing is known.
    limit: AtomicU64,
    remaining: AtomicU64,
    /// When it is whole again.
    reset_at_ns: AtomicU64,
}

impl Left {
    fn note(&self, now_ns: u64, told: Window) {
        let Some(remaining) = told.remaining else { return };
        // Where no limit is told, the most that was ever left stands for it.
        let limit = told.limit.unwrap_or(0).max(remaining).max(1);
        let limit = if told.limit.is_some() { limit } else { limit.max(self.limit.load(Relaxed)) };
        let reset_ns = told.reset_ms.map_or(UNTOLD_RESET_NS, |ms| ms.saturating_mul(1_000_000));
        self.limit.store(limit, Relaxed);
        self.remaining.store(remaining, Relaxed);
        self.reset_at_ns.store(now_ns.saturating_add(reset_ns), Relaxed);
    }

    /// The limit and what is left of it; none where nothing is known.
    fn now(&self, now_ns: u64) -> Option<(u64, u64)> {
        let limit = self.limit.load(Relaxed);
        if limit == 0 {
            return None;
        }
        let whole = now_ns >= self.reset_at_ns.load(Relaxed);
        Some((limit, if whole { limit } else { self.remaining.load(Relaxed).min(limit) }))
    }

    /// Takes what a call will need, until the provider's next word. Of a limit that is whole again nothing is taken: the
    /// next answer says what it is.
    fn take(&self, amount: u64) {
        if self.limit.load(Relaxed) > 0 && amount > 0 {
            let _ = self.remaining.fetch_update(Relaxed, Relaxed, |left| Some(left.saturating_sub(amount)));
        }
    }

    /// What share is left once a call has taken its part, and whether it fits.
    fn after(&self, now_ns: u64, amount: u64) -> Option<(u32, bool)> {
        let (limit, left) = self.now(now_ns)?;
        // Both without the low bits of a number that the product below would have no place for.
        let beyond = if limit >> 47 == 0 { 0 } else { 17 };
        let after = left.saturating_sub(amount) >> beyond;
        let share = after * u64::from(WHOLE) / (limit >> beyond).max(1);
        Some((u32::try_from(share).unwrap_or(WHOLE).min(WHOLE), left >= amount))
    }
}

/// All limits of one key at one deployment.
#[derive(Debug, Default)]
pub(super) struct Room {
    requests: Left,
    tokens: Left,
    input_tokens: Left,
    output_tokens: Left,
}

impl Room {
    /// Takes an answer's word.
    pub(super) fn note(&self, now_ns: u64, told: &Headroom) {
        self.requests.note(now_ns, told.requests);
        self.tokens.note(now_ns, told.tokens);
        self.input_tokens.note(now_ns, told.input_tokens);
        self.output_tokens.note(now_ns, told.output_tokens);
    }

    fn windows(&self, share: Share) -> [(&Left, u64); 4] {
        [
            (&self.requests, 1),
            (&self.tokens, share.input_tokens.saturating_add(share.output_tokens)),
            (&self.input_tokens, share.input_tokens),
            (&self.output_tokens, share.output_tokens),
        ]
    }

    /// Takes a call's part ahead of the provider's word, so that calls at the same time do not all see the same room.
    pub(super) fn take(&self, share: Share) {
        for (window, amount) in self.windows(share) {
            window.take(amount);
        }
    }

    /// How good a place it is: the smallest share left of any limit, and above all of those any that the call fits into.
    /// What is not known counts as whole.
    pub(super) fn score(&self, now_ns: u64, share: Share) -> u32 {
        let (mut least, mut fits) = (WHOLE, true);
        for (window, amount) in self.windows(share) {
            if let Some((left, enough)) = window.after(now_ns, amount) {
                least = least.min(left);
                fits &= enough;
            }
        }
        least + if fits { FITS } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARE: Share = Share { input_tokens: 100, output_tokens: 50 };

    fn window(limit: Option<u64>, remaining: u64, reset_ms: Option<u64>) -> Window {
        Window { limit, remaining: Some(remaining), reset_ms }
    }

    #[test]
    fn the_smallest_share_counts_and_what_does_not_fit_comes_last() {
        let room = Room::default();
        assert_eq!(room.score(0, SHARE), WHOLE + FITS, "nothing is known");
        let requests = window(Some(100), 51, Some(1000));
        room.note(0, &Headroom { requests, ..Headroom::default() });
        assert_eq!(room.score(0, SHARE), WHOLE / 2 + FITS);
        let tokens = window(Some(1000), 400, Some(1000));
        room.note(0, &Headroom { tokens, ..Headroom::default() });
        assert_eq!(room.score(0, SHARE), WHOLE / 4 + FITS);
        room.take(SHARE);
        assert_eq!(room.score(0, SHARE), WHOLE / 10 + FITS);
        room.take(SHARE);
        assert_eq!(room.score(0, SHARE), 0, "100 are left, 150 are needed");
        assert_eq!(room.score(1_000_000_000, SHARE), WHOLE * 85 / 100 + FITS, "whole again after the reset");
    }

    #[test]
    fn input_and_output_are_apart_where_they_are_told_apart() {
        let room = Room::default();
        let output_tokens = window(Some(100), 60, Some(1000));
        room.note(0, &Headroom { output_tokens, ..Headroom::default() });
        assert_eq!(room.score(0, SHARE), WHOLE / 10 + FITS);
        room.take(SHARE);
        assert!(room.score(0, SHARE) < FITS);
    }

    #[test]
    fn a_limit_that_is_not_told_is_the_most_that_was_left() {
        let room = Room::default();
        let told = |remaining| Headroom { requests: window(None, remaining, None), ..Headroom::default() };
        room.note(0, &told(101));
        room.note(0, &told(51));
        let score = room.score(0, Share::default());
        assert!(score > FITS && (score - FITS).abs_diff(WHOLE * 50 / 101) <= 1, "{score}");
        assert_eq!(room.score(UNTOLD_RESET_NS, Share::default()) - FITS, WHOLE * 100 / 101);
        room.note(0, &Headroom { requests: window(Some(u64::MAX), u64::MAX, Some(u64::MAX)), ..told(0) });
        assert!(room.score(0, SHARE) > FITS, "the largest numbers do no harm");
    }
}

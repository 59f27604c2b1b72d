//! A set of targets, by their places: which ones a call has tried.
//!
//! Knows: places. Must not: know what stands there.

use crate::spec::TARGETS_MAX;

const WORDS: usize = TARGETS_MAX / 64;

/// Targets a call has tried already. Copy, inline; belongs to the balancer that picked them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TargetSet([u64; WORDS]);

impl TargetSet {
    /// None tried.
    pub const EMPTY: TargetSet = TargetSet([0; WORDS]);

    /// Adds a target that was picked.
    pub fn insert(&mut self, target: crate::TargetRef) {
        self.0[usize::from(target.place) / 64] |= 1 << (target.place % 64);
    }

    /// Whether a place is in it.
    #[inline]
    pub(crate) fn has(&self, place: usize) -> bool {
        self.0[place / 64] >> (place % 64) & 1 == 1
    }
}

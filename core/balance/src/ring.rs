//! The ring for hash balancing: each target stands at points by its weight; a key goes to the next point.
//!
//! Knows: ids and weights. Must not: know who is available (the walk asks).

use crate::{random::mix, spec::TargetSpec};

/// Points per unit of weight.
const POINTS_PER_WEIGHT: u32 = 160;
/// Points of a ring at most; with more weight than they allow each unit has fewer points, and a change of the
/// total weight then moves some keys more than it must.
const POINTS_MAX: u32 = 65_536;

/// The ring. Empty until it is made.
#[derive(Debug, Default)]
pub struct Ring {
    /// (point, place of the target), ascending.
    points: Vec<(u64, u16)>,
}

impl Ring {
    /// Makes the ring anew, of places and what stands there. Costs a sort of up to 65,536 points: at a reload only.
    pub fn rebuild(&mut self, targets: impl Iterator<Item = (u16, TargetSpec)> + Clone) {
        self.points.clear();
        let total: u32 = targets.clone().map(|(_, spec)| u32::from(spec.weight)).sum();
        let per_weight = POINTS_PER_WEIGHT.min(POINTS_MAX / total.max(1));
        for (place, spec) in targets {
            let own = mix(spec.id.0 ^ 0x9e37_79b9_7f4a_7c15);
            // A unit that has no whole point gives each target one.
            for point in 0..(u32::from(spec.weight) * per_weight).max(1) {
                self.points.push((mix(own.wrapping_add(mix(u64::from(point) + 1))), place));
            }
        }
        self.points.sort_unstable();
    }

    /// The first target from the key on that `may` accept. Costs a binary search, and a step per refused point.
    pub fn find(&self, key: u64, may: impl Fn(u16) -> bool) -> Option<u16> {
        let hash = mix(key);
        let from = self.points.partition_point(|(point, _)| *point < hash);
        let (before, after) = self.points.split_at(from);
        after.iter().chain(before).map(|(_, place)| *place).find(|place| may(*place))
    }
}

//! What a shard has to tell besides verdicts: thresholds crossed, keys that had to share a bucket.
//!
//! Knows: a bounded list. Must not: send anything.

use crate::{key::Key, limit::LimitId};

/// Alerts kept between two collections; more are counted only.
pub const ALERTS_KEPT_MAX: usize = 64;

/// Something worth telling about a counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alert {
    /// Whose counter.
    pub limit: LimitId,
    /// Under which key.
    pub key: Key,
    /// What happened.
    pub kind: AlertKind,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlertKind {
    /// Use went over this threshold of `alert_at` (its place in the list). Told by the worker that crossed it;
    /// with leases up to a slice early.
    Crossed(u8),
    /// The key got the limit's shared overflow bucket, because `keys_max` keys are in use.
    Overflow,
}

/// The list.
#[derive(Debug)]
pub(crate) struct Alerts {
    kept: Vec<Alert>,
    dropped: u64,
}

impl Alerts {
    pub(crate) fn new() -> Self {
        Self { kept: Vec::with_capacity(ALERTS_KEPT_MAX), dropped: 0 }
    }

    pub(crate) fn push(&mut self, alert: Alert) {
        if self.kept.contains(&alert) {
            return;
        }
        if self.kept.len() < ALERTS_KEPT_MAX {
            self.kept.push(alert);
        } else {
            self.dropped += 1;
        }
    }

    pub(crate) fn take(&mut self, mut tell: impl FnMut(Alert)) -> u64 {
        self.kept.drain(..).for_each(&mut tell);
        std::mem::take(&mut self.dropped)
    }
}

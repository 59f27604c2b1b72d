//! What guards decided, as calls are refused by it and records tell it.

use crate::injection::Heuristic;
use crate::kind::Kind;

/// What guards made of one direction of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
#[repr(u8)]
pub enum Verdict {
    /// No guard looked.
    #[default]
    NotRun = 0,
    /// Nothing was found.
    Passed = 1,
    /// Something was found and left as it is.
    Flagged = 6,
    /// Something was to be masked and stands in a text that must not be changed, as it is signed.
    Unmasked = 7,
    /// Something was masked.
    Masked = 3,
    /// A guard could not be asked, and the call went on.
    FailedOpen = 4,
    /// A guard could not be asked, and the call was refused.
    FailedClosed = 5,
    /// Something was found for which the call was refused, or its answer ended.
    Blocked = 2,
}

impl Verdict {
    /// Its code in call records: four bits; the codes that stages of a call have too mean the same there.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The byte of a call record: input in the low half, output in the high half.
    pub const fn byte(input: Verdict, output: Verdict) -> u8 {
        input.code() | output.code() << 4
    }

    /// Of two guards on one direction what is told.
    #[must_use]
    pub fn and(self, other: Verdict) -> Verdict {
        if self.rank() >= other.rank() { self } else { other }
    }

    const fn rank(self) -> u8 {
        match self {
            Verdict::NotRun => 0,
            Verdict::Passed => 1,
            Verdict::Flagged => 2,
            Verdict::Masked => 3,
            Verdict::Unmasked => 4,
            Verdict::FailedOpen => 5,
            Verdict::FailedClosed => 6,
            Verdict::Blocked => 7,
        }
    }

    /// Its name in records and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Verdict::NotRun => "not_run",
            Verdict::Passed => "passed",
            Verdict::Flagged => "flagged",
            Verdict::Unmasked => "unmasked",
            Verdict::Masked => "masked",
            Verdict::FailedOpen => "failed_open",
            Verdict::FailedClosed => "failed_closed",
            Verdict::Blocked => "blocked",
        }
    }
}

/// How often a rule found something; never what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// The kind.
    pub kind: Kind,
    /// The rule, from 0.
    pub rule: u16,
    /// How often.
    pub count: u32,
}

/// What was found in all texts of one direction of a call.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tally {
    verdict: Verdict,
    counts: Vec<Count>,
    hits: Vec<Heuristic>,
}

impl Tally {
    /// What it comes to.
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// What was found how often: one entry for each rule and kind.
    pub fn counts(&self) -> &[Count] {
        &self.counts
    }

    /// Which heuristics of injections hit.
    pub fn hits(&self) -> &[Heuristic] {
        &self.hits
    }

    /// The names of kinds and how often each was found, for records and metrics.
    pub fn names(&self) -> impl Iterator<Item = (&'static str, u32)> {
        self.counts.iter().map(|count| (count.kind.name(), count.count))
    }

    /// Adds what another part of the direction came to.
    pub fn add(&mut self, other: &Tally) {
        self.raise(other.verdict);
        other.counts.iter().for_each(|count| self.count(count.kind, count.rule, count.count));
        for hit in &other.hits {
            if !self.hits.contains(hit) {
                self.hits.push(*hit);
            }
        }
    }

    pub(crate) fn raise(&mut self, verdict: Verdict) {
        self.verdict = self.verdict.and(verdict);
    }

    pub(crate) fn count(&mut self, kind: Kind, rule: u16, more: u32) {
        match self.counts.iter_mut().find(|count| count.kind == kind && count.rule == rule) {
            Some(own) => own.count = own.count.saturating_add(more),
            None => self.counts.push(Count { kind, rule, count: more }),
        }
    }

    pub(crate) fn hit(&mut self, hits: impl Iterator<Item = Heuristic>) {
        self.hits = hits.collect();
    }
}

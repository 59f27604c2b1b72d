//! What one call holds until it ends: concurrency permits, and byte limits to settle.
//!
//! Knows: where it was taken. Must not: outlive the shard that gave it (a reclaim frees it then).

use crate::{key::KeyWords, limit::Rule};

/// Concurrency limits that can apply to one call.
pub const CONCURRENT_HELD_MAX: usize = 16;
/// Byte limits that can apply to one call.
pub const BYTES_HELD_MAX: usize = 8;

/// A place in the worker's permit records.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Permit {
    pub(crate) slot: u32,
    pub(crate) record: u32,
}

/// A byte limit that the call is counted by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reservation {
    pub(crate) rule: Rule,
    pub(crate) slot: u32,
    pub(crate) expect: Option<KeyWords>,
    /// Window it was admitted in.
    pub(crate) index: u64,
    /// Bytes reserved or booked until now.
    pub(crate) booked: u64,
}

/// Bytes that a call has moved until now, counted from its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BytesMoved {
    /// From the caller.
    pub up: u64,
    /// To the caller.
    pub down: u64,
}

/// What a call holds. Inline, reusable, no allocation; give it back with `Shard::release` when the call ends.
#[derive(Debug, Default)]
pub struct Permits {
    pub(crate) concurrent: [Option<Permit>; CONCURRENT_HELD_MAX],
    pub(crate) concurrent_held: u8,
    pub(crate) bytes: [Option<Reservation>; BYTES_HELD_MAX],
    pub(crate) bytes_held: u8,
}

impl Permits {
    /// Holds nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.concurrent_held == 0 && self.bytes_held == 0
    }

    /// Whether the call has bytes to settle.
    pub fn counts_bytes(&self) -> bool {
        self.bytes_held > 0
    }
}

//! What one call holds until it ends: concurrency permits, byte limits to settle, and what its attempts reserved.
//!
//! Knows: where it was taken. Must not: outlive the shard that gave it (a reclaim frees it then).

use crate::{
    key::{Key, KeyWords},
    limit::Rule,
    spec::{Kind, TokenKind},
};

/// Concurrency limits that can apply to one call.
pub const CONCURRENT_HELD_MAX: usize = 16;
/// Byte limits that can apply to one call.
pub const BYTES_HELD_MAX: usize = 8;

/// Reservations of tokens and money that one call can hold at once, over all its attempts that are not settled.
pub const RESERVATIONS_HELD_MAX: usize = 64;

/// A place in the worker's permit records.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Permit {
    pub(crate) slot: u32,
    pub(crate) record: u32,
}

/// A byte limit that the call is counted by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BytesHeld {
    pub(crate) rule: Rule,
    pub(crate) slot: u32,
    pub(crate) expect: Option<KeyWords>,
    /// Window it was admitted in.
    pub(crate) index: u64,
    /// Bytes reserved or booked until now.
    pub(crate) booked: u64,
}

/// What an attempt of a call reserved at one limit. The rest is known by the shard, so that it stays small.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reservation {
    /// The attempt's number within the call.
    pub(crate) attempt: u8,
    pub(crate) ordinal: u32,
    /// Low half of the limit's id: its ordinal may be another limit's when the attempt settles.
    pub(crate) limit: u64,
    pub(crate) key: Key,
    pub(crate) slot: u32,
    /// The slot never changes hands.
    pub(crate) fixed_slot: bool,
    /// Window or sub-bucket that it was counted in.
    pub(crate) index: u64,
    pub(crate) amount: u64,
}

/// Tokens and money of one attempt of a call: what it may use, or what it used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spend {
    /// Tokens of the input.
    pub input_tokens: u64,
    /// Tokens of the output.
    pub output_tokens: u64,
    /// Cost in nano-dollars (10^-9 USD).
    pub usd_nano: u64,
}

impl Spend {
    /// What a limit of a kind counts of it; 0 for kinds that are not reserved.
    #[inline]
    pub fn of(&self, kind: Kind) -> u64 {
        match kind {
            Kind::Tokens(TokenKind::Input) => self.input_tokens,
            Kind::Tokens(TokenKind::Output) => self.output_tokens,
            Kind::Tokens(TokenKind::Both) => self.input_tokens.saturating_add(self.output_tokens),
            Kind::Usd => self.usd_nano,
            Kind::Requests | Kind::Bytes(_) | Kind::Concurrent => 0,
        }
    }
}

/// Bytes that a call has moved until now, counted from its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BytesMoved {
    /// From the caller.
    pub up: u64,
    /// To the caller.
    pub down: u64,
}

/// What a call holds. Reusable; give it back with `Shard::release` when the call ends. Inline but for the reservations,
/// for which room is made once, when a call first reserves.
#[derive(Debug, Default)]
pub struct Permits {
    pub(crate) concurrent: [Option<Permit>; CONCURRENT_HELD_MAX],
    pub(crate) concurrent_held: u8,
    pub(crate) bytes: [Option<BytesHeld>; BYTES_HELD_MAX],
    pub(crate) bytes_held: u8,
    /// At most [`RESERVATIONS_HELD_MAX`].
    pub(crate) reservations: Vec<Reservation>,
}

impl Permits {
    /// Holds nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.concurrent_held == 0 && self.bytes_held == 0 && self.reservations.is_empty()
    }

    /// Reservations that are not settled, over all attempts of the call.
    pub fn reservations(&self) -> usize {
        self.reservations.len()
    }

    /// Whether the call has bytes to settle.
    pub fn counts_bytes(&self) -> bool {
        self.bytes_held > 0
    }
}

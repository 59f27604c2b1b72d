//! The journal of money: one a worker, in memory-mapped segments, append-only, a checksum a line; it drops nothing.
//!
//! An attempt at a provider writes an [`Intent`] before its first byte goes upstream and a [`Settlement`] after. An intent
//! that cannot be written is an error ([`LedgerError::Full`]), and the caller refuses the call; whoever has an [`Entry`]
//! has room for its settlement, so that settling cannot fail. What was written is in the file when the call returns:
//! `kill -9` loses nothing.
//!
//! Three ends: the worker's is [`Journal`], the control side's is [`Keeper`] (makes segments ready, writes them to disk,
//! frees what is folded), and whoever reads, live or after a crash, has [`Cursor`] and [`Books`].
//!
//! May know files, mappings and locks. Must not know sockets, clocks, runtimes, databases or HTTP. `unsafe` stands in `map`
//! only.
#![deny(unsafe_code)]

mod books;
mod codec;
mod error;
mod folder;
mod intent;
mod journal;
mod keeper;
mod line;
mod map;
mod segment;
mod settlement;

pub use books::{Booked, Books};
pub use error::LedgerError;
pub use folder::{HeldJournal, JournalSegment, LEDGER_FOLDER, journal_numbers, lock, readable_segments};
pub use intent::{INTENT_BYTES_MAX, Intent, IntentLine};
pub use journal::{Entry, Journal};
pub use keeper::{
    Keeper, Options, SEGMENT_BYTES_DEFAULT, SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN, SEGMENTS_MAX,
    SEGMENTS_MAX_DEFAULT, SPARES, SYNC_EVERY_DEFAULT, Sync,
};
pub use line::{Cursor, Item, Kind, Line};
pub use segment::{Position, SEGMENT_HEAD_BYTES, Segment, SegmentError, SegmentId};
pub use settlement::{
    AMOUNT_MAX, Outcome, Rule, SETTLEMENT_BYTES_MAX, Settlement, SettlementLine, State, flag,
};

/// Bytes of a name (tenant, team, app, credential, service, prompt, provider, region, provider key, dialect); what is longer
/// is cut between characters, and flagged.
pub const NAME_BYTES_MAX: usize = 128;
/// Bytes of what callers and providers choose (end user, tags, model, response id); what is longer is cut and flagged.
pub const TEXT_BYTES_MAX: usize = 255;

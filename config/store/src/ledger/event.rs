//! What the ledger tells people.

use std::fmt;
use std::path::PathBuf;

use crate::error::StoreError;

/// Something that whoever runs the gateway should know.
#[derive(Debug)]
pub enum LedgerEvent {
    /// Bytes of a journal that are no whole line were passed over: what a killed process was writing, a page that a power cut
    /// kept from the disk, or damage. An attempt whose intent stood there is not booked; one whose settlement stood there is
    /// booked at its whole reservation.
    Tear {
        /// The journal.
        journal: u32,
        /// The segment.
        sequence: u64,
        /// First byte.
        from: u32,
        /// First byte behind.
        to: u32,
    },
    /// A settlement was booked without tenant and app, as its intent is lost to damage.
    Orphan {
        /// The request.
        request_id: u128,
        /// The attempt.
        attempt: u16,
    },
    /// A whole line means nothing to this version.
    Unreadable {
        /// The journal.
        journal: u32,
        /// The segment.
        sequence: u64,
        /// Where the line is.
        at: u32,
    },
    /// A file whose header is damaged was put aside.
    PutAside(PathBuf),
    /// An hour has so many different callers that end users and tags of further ones are summed as `(other)`.
    Crowded {
        /// Hours since 1970.
        hour: u64,
    },
    /// A journal of an ended process was replayed.
    Replayed(Replayed),
    /// Folding failed; it is tried again.
    FoldFailed(StoreError),
    /// A segment could not be made; it is tried again.
    PrepareFailed(StoreError),
    /// A journal does not reach the disk; it is tried again.
    SyncFailed(std::io::Error),
}

/// What was found in the journals of ended processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Replayed {
    /// Journals that had something to replay.
    pub journals: u32,
    /// Attempts that were booked.
    pub attempts: u64,
    /// Of these, attempts that were open and are booked at their whole reservation.
    pub crashed: u64,
}

impl fmt::Display for LedgerEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LedgerEvent::Tear { journal, sequence, from, to } => write!(
                f,
                "ledger: journal {journal}, segment {sequence}: bytes {from} to {to} are no whole line and were passed over"
            ),
            LedgerEvent::Orphan { request_id, attempt } => {
                write!(
                    f,
                    "ledger: attempt {attempt} of {request_id:032x} is booked without its caller: its intent is lost"
                )
            }
            LedgerEvent::Unreadable { journal, sequence, at } => write!(
                f,
                "ledger: journal {journal}, segment {sequence}: the line at byte {at} means nothing to this version"
            ),
            LedgerEvent::PutAside(path) => {
                write!(f, "ledger: {} is damaged and was put aside; it is not booked", path.display())
            }
            LedgerEvent::Crowded { hour } => {
                write!(
                    f,
                    "ledger: hour {hour} since 1970 has too many different callers; further end users and tags are summed as (other)"
                )
            }
            LedgerEvent::Replayed(Replayed { journals, attempts, crashed }) => write!(
                f,
                "ledger: replayed {journals} journals, {attempts} attempts; {crashed} were open and are booked at their reservation"
            ),
            LedgerEvent::FoldFailed(error) => {
                write!(f, "ledger: what was written is not folded yet: {error}")
            }
            LedgerEvent::PrepareFailed(error) => write!(f, "ledger: {error}"),
            LedgerEvent::SyncFailed(error) => write!(f, "ledger: a journal does not reach the disk: {error}"),
        }
    }
}

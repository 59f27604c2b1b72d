//! The worker's end of a journal: writes intents and settlements, never waits.
//!
//! The invariant that settling rests on: the segments that the worker has hold a settlement of the largest size for every
//! attempt that is open. A settlement uses one such place at most, an intent is taken only if it leaves one more than before.

use std::cell::Cell;
use std::collections::VecDeque;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Receiver;

use penstock_ai::catalogue::NanoUsd;

use crate::error::LedgerError;
use crate::intent::Intent;
use crate::keeper::{Shared, Sync};
use crate::line::{HEAD_BYTES, Kind, LINE_BYTES_MAX, line_bytes, seal, store};
use crate::segment::{Position, SEGMENT_HEAD_BYTES, Segment};
use crate::settlement::{Rule, SETTLEMENT_BYTES_MAX, Settlement, SettlementLine};

/// Bytes that are kept for each settlement.
const PLACE_BYTES: usize = line_bytes(SETTLEMENT_BYTES_MAX);

/// Tells the journals of a process apart.
static OPENED: AtomicU64 = AtomicU64::new(0);

/// An attempt that is open. It is settled once, in the journal that gave it; one that is dropped instead stays open, and is
/// booked at its whole reservation when the journal ends.
#[derive(Debug)]
#[must_use = "an attempt that is not settled is booked at its whole reservation"]
pub struct Entry {
    at: Position,
    request_id: u128,
    reservation: NanoUsd,
    opened: u64,
    attempt: u16,
}

impl Entry {
    /// The request's id.
    pub fn request_id(&self) -> u128 {
        self.request_id
    }

    /// Which attempt of the request.
    pub fn attempt(&self) -> u16 {
        self.attempt
    }

    /// What was reserved.
    pub fn reservation(&self) -> NanoUsd {
        self.reservation
    }
}

/// The single writer of a journal. May be moved to the worker's thread, not shared.
///
/// No call allocates, locks or makes a system call, but for the disk write of `sync: always`.
#[derive(Debug)]
pub struct Journal {
    shared: Arc<Shared>,
    /// Which journal of the process this is.
    opened: u64,
    current: Arc<Segment>,
    /// First free byte of it.
    offset: u32,
    /// Where segments of this journal end.
    end: u32,
    /// Taken over from the keeper, in order.
    held: VecDeque<Arc<Segment>>,
    spares: Receiver<Arc<Segment>>,
    /// Attempts that are not settled.
    open: usize,
    scratch: Box<[u8; LINE_BYTES_MAX]>,
    not_sync: PhantomData<Cell<()>>,
}

impl Journal {
    pub(crate) fn new(shared: Arc<Shared>, first: Arc<Segment>, spares: Receiver<Arc<Segment>>) -> Journal {
        Journal {
            opened: OPENED.fetch_add(1, Ordering::Relaxed),
            end: shared.options.segment_bytes,
            held: VecDeque::with_capacity(shared.options.segments_max),
            shared,
            current: first,
            offset: SEGMENT_HEAD_BYTES,
            spares,
            open: 0,
            scratch: Box::new([0; LINE_BYTES_MAX]),
            not_sync: PhantomData,
        }
    }

    /// The journal's number.
    pub fn number(&self) -> u32 {
        self.shared.held.number()
    }

    /// Attempts that are open.
    pub fn open_attempts(&self) -> usize {
        self.open
    }

    /// Says that an attempt is about to be made. When this returns, the intent is in the file, and there is room for its
    /// settlement.
    ///
    /// # Errors
    /// [`LedgerError::Full`], and [`LedgerError::Sync`] under `sync: always`: the attempt must not be made.
    #[inline]
    pub fn intent(&mut self, intent: &Intent<'_>) -> Result<Entry, LedgerError> {
        let payload = intent.encode(&mut self.scratch[HEAD_BYTES..]);
        if !self.has_room(line_bytes(payload)) && !self.find_room(line_bytes(payload)) {
            self.shared.refused.fetch_add(1, Ordering::Relaxed);
            return Err(LedgerError::Full);
        }
        let (at, synced) = self.append(Kind::Intent, payload);
        self.open += 1;
        let entry = Entry {
            at,
            request_id: intent.request_id,
            reservation: intent.reserved(),
            opened: self.opened,
            attempt: intent.attempt,
        };
        match synced {
            Ok(()) => Ok(entry),
            Err(error) => {
                self.settle(entry, &Settlement::estimated(intent.time_ns, Rule::NOT_SENT, NanoUsd(0)));
                Err(LedgerError::Sync(error))
            }
        }
    }

    /// Says what became of an attempt. When this returns, the settlement is in the file; under `sync: always` a disk that
    /// fails is counted ([`crate::Keeper::sync_failures`]).
    ///
    /// # Panics
    /// If the entry is another journal's.
    #[inline]
    pub fn settle(&mut self, entry: Entry, settlement: &Settlement<'_>) {
        assert_eq!(entry.opened, self.opened, "an attempt is settled in the journal that has its intent");
        let line =
            SettlementLine::new(entry.at, entry.request_id, entry.attempt, entry.reservation, settlement);
        let payload = line.encode(&mut self.scratch[HEAD_BYTES..]);
        if self.append(Kind::Settlement, payload).1.is_err() {
            self.shared.sync_failures.fetch_add(1, Ordering::Relaxed);
        }
        self.open -= 1;
    }

    /// Places for settlements in `bytes` free bytes and in the segments behind.
    #[inline]
    fn places(&self, bytes: usize, segments: usize) -> usize {
        bytes / PLACE_BYTES + segments * ((self.end - SEGMENT_HEAD_BYTES) as usize / PLACE_BYTES)
    }

    /// Whether a line of so many bytes leaves a place for every settlement, one more than there are now.
    #[inline]
    fn has_room(&self, bytes: usize) -> bool {
        let free = (self.end - self.offset) as usize;
        let places = match (free.checked_sub(bytes), self.held.len().checked_sub(1)) {
            (Some(rest), _) => self.places(rest, self.held.len()),
            (None, Some(behind)) => self.places((self.end - SEGMENT_HEAD_BYTES) as usize - bytes, behind),
            (None, None) => return false,
        };
        places > self.open
    }

    /// Takes over spares until there is room.
    #[cold]
    fn find_room(&mut self, bytes: usize) -> bool {
        while let Ok(spare) = self.spares.try_recv() {
            self.shared.waiting.fetch_sub(1, Ordering::AcqRel);
            self.held.push_back(spare);
            if self.has_room(bytes) {
                return true;
            }
        }
        false
    }

    /// Writes the line whose payload is in the scratch, where there is room for it.
    #[inline]
    fn append(&mut self, kind: Kind, payload: usize) -> (Position, std::io::Result<()>) {
        if line_bytes(payload) > (self.end - self.offset) as usize {
            self.advance();
        }
        let offset = self.offset;
        let bytes = seal(&mut self.scratch[..], &self.current, offset, kind, payload);
        store(&self.scratch[..bytes], &self.current, offset);
        self.offset += bytes as u32;
        self.current.set_written(self.offset);
        let synced = match self.shared.options.sync {
            Sync::Interval(_) => Ok(()),
            Sync::Always => self.current.sync_range(offset, self.offset),
        };
        (Position { sequence: self.current.id().sequence, offset }, synced)
    }

    #[cold]
    fn advance(&mut self) {
        let Some(next) = self.held.pop_front() else {
            unreachable!("room was found before the line was begun");
        };
        self.current.end();
        self.current = next;
        self.offset = SEGMENT_HEAD_BYTES;
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.current.end();
        self.shared.abandoned.store(true, Ordering::Release);
    }
}

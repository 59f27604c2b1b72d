//! The control side of a journal that is written: makes segments ready, writes lines to disk, frees what is folded.
//!
//! Knows files and disk writes. Nothing here runs on a worker.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use crate::error::LedgerError;
use crate::folder::{HeldJournal, journal_folder, lock};
use crate::journal::Journal;
use crate::line::LINE_BYTES_MAX;
use crate::segment::{SEGMENT_HEAD_BYTES, Segment, SegmentId};

/// Bytes of a segment where nothing is configured: some 13,000 attempts.
pub const SEGMENT_BYTES_DEFAULT: u32 = 4 << 20;
/// Smallest segment.
pub const SEGMENT_BYTES_MIN: u32 = 16 << 10;
/// Largest segment.
pub const SEGMENT_BYTES_MAX: u32 = 1 << 30;
/// Segments of one journal where nothing is configured: 256 MiB, some 800,000 attempts that are not folded yet.
pub const SEGMENTS_MAX_DEFAULT: usize = 64;
/// The most segments that a journal may have.
pub const SEGMENTS_MAX: usize = 4096;
/// Segments that are kept ready for the worker.
pub const SPARES: usize = 2;
/// How often lines are written to disk where nothing is configured.
pub const SYNC_EVERY_DEFAULT: Duration = Duration::from_millis(100);

/// A segment has room for an intent and its settlement.
const _: () = assert!((SEGMENT_BYTES_MIN - SEGMENT_HEAD_BYTES) as usize >= 2 * LINE_BYTES_MAX);

/// When lines are on disk. Process death loses nothing either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// A control thread writes them there this often: a power cut loses at most what came since.
    Interval(Duration),
    /// When the call that writes them returns. The worker waits for the disk, twice an attempt.
    Always,
}

/// How a journal is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Bytes of a segment; a multiple of 4096.
    pub segment_bytes: u32,
    /// Segments that there are at most, spares included. When they are full, intents are refused.
    pub segments_max: usize,
    /// When lines are on disk.
    pub sync: Sync,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            segment_bytes: SEGMENT_BYTES_DEFAULT,
            segments_max: SEGMENTS_MAX_DEFAULT,
            sync: Sync::Interval(SYNC_EVERY_DEFAULT),
        }
    }
}

impl Options {
    fn check(&self) -> Result<(), LedgerError> {
        if !(SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&self.segment_bytes)
            || !self.segment_bytes.is_multiple_of(4096)
        {
            return Err(LedgerError::Options("a segment has 16 KiB to 1 GiB, in whole pages of 4096 bytes"));
        }
        if !(1 + SPARES..=SEGMENTS_MAX).contains(&self.segments_max) {
            return Err(LedgerError::Options("a journal has 3 to 4096 segments"));
        }
        Ok(())
    }
}

/// What both ends of a journal see.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) held: HeldJournal,
    pub(crate) options: Options,
    /// Spares that the worker has not taken yet.
    pub(crate) waiting: AtomicUsize,
    /// The worker's end is gone.
    pub(crate) abandoned: AtomicBool,
    /// Intents that found no room.
    pub(crate) refused: AtomicU64,
    /// Lines that `sync: always` did not get to disk.
    pub(crate) sync_failures: AtomicU64,
}

/// The control side of one journal.
#[derive(Debug)]
pub struct Keeper {
    shared: Arc<Shared>,
    spares: SyncSender<Arc<Segment>>,
    /// All that are not freed, in order.
    segments: Vec<Arc<Segment>>,
    next_sequence: u64,
}

impl Journal {
    /// Takes a journal's lock and begins to write behind what is there.
    ///
    /// # Errors
    /// [`LedgerError::Held`] while somebody else has it, options that cannot be, and what the disk says.
    pub fn open(
        folder: &Path,
        number: u32,
        options: Options,
        now_ns: u64,
    ) -> Result<(Journal, Keeper), LedgerError> {
        let held = lock(folder, number)?
            .ok_or_else(|| LedgerError::Held { path: journal_folder(folder, number) })?;
        held.begin(options, now_ns)
    }
}

impl HeldJournal {
    /// Begins to write behind what is there: in a new segment. `now_ns` is the time since 1970.
    ///
    /// # Errors
    /// Options that cannot be, and what the disk says.
    pub fn begin(self, options: Options, now_ns: u64) -> Result<(Journal, Keeper), LedgerError> {
        options.check()?;
        let next_sequence = self.segments()?.last().map_or(1, |last| last.sequence + 1);
        let shared = Arc::new(Shared {
            held: self,
            options,
            waiting: AtomicUsize::new(0),
            abandoned: AtomicBool::new(false),
            refused: AtomicU64::new(0),
            sync_failures: AtomicU64::new(0),
        });
        let (give, take) = sync_channel(SPARES);
        let mut keeper = Keeper { shared: shared.clone(), spares: give, segments: Vec::new(), next_sequence };
        let first = keeper.create(now_ns)?;
        keeper.prepare(now_ns)?;
        Ok((Journal::new(shared, first, take), keeper))
    }
}

impl Keeper {
    /// The journal's number.
    pub fn number(&self) -> u32 {
        self.shared.held.number()
    }

    /// Makes the spares ready that are missing, as far as the bound allows. Takes some milliseconds a segment.
    ///
    /// # Errors
    /// When a segment cannot be made; it is tried again the next time, and meanwhile the worker uses what it has.
    pub fn prepare(&mut self, now_ns: u64) -> Result<(), LedgerError> {
        while !self.is_abandoned()
            && self.segments.len() < self.shared.options.segments_max
            && self.shared.waiting.load(Ordering::Acquire) < SPARES
        {
            let segment = self.create(now_ns)?;
            self.shared.waiting.fetch_add(1, Ordering::AcqRel);
            // There is room for as many as are waited for at most; a worker that has gone wants none.
            let _ = self.spares.try_send(segment);
        }
        Ok(())
    }

    fn create(&mut self, now_ns: u64) -> Result<Arc<Segment>, LedgerError> {
        let sequence = self.next_sequence;
        let id = SegmentId { journal: self.number(), sequence, created_ns: now_ns };
        let path = self.shared.held.path(sequence);
        let segment = Arc::new(Segment::create(&path, id, self.shared.options.segment_bytes)?);
        self.next_sequence += 1;
        self.segments.push(segment.clone());
        Ok(segment)
    }

    /// All segments that are not freed, in order, spares included.
    pub fn segments(&self) -> &[Arc<Segment>] {
        &self.segments
    }

    /// Whether the worker's end is gone: what is open then stays open.
    pub fn is_abandoned(&self) -> bool {
        self.shared.abandoned.load(Ordering::Acquire)
    }

    /// Intents that were refused for want of room.
    pub fn refused(&self) -> u64 {
        self.shared.refused.load(Ordering::Relaxed)
    }

    /// Lines that `sync: always` did not get to disk.
    pub fn sync_failures(&self) -> u64 {
        self.shared.sync_failures.load(Ordering::Relaxed)
    }

    /// Removes a segment that is ended and folded, so that another can be made in its place.
    ///
    /// # Errors
    /// When the file cannot be removed; the segment stays then.
    pub fn free(&mut self, sequence: u64) -> Result<(), LedgerError> {
        self.shared.held.remove(sequence)?;
        self.segments.retain(|segment| segment.id().sequence != sequence);
        Ok(())
    }

    /// Takes the journal back from a worker that has gone; every segment is ended then. The lock stays held.
    ///
    /// # Errors
    /// The keeper itself while the worker's end is there.
    pub fn into_held(self) -> Result<HeldJournal, Box<Keeper>> {
        if !self.is_abandoned() {
            return Err(Box::new(self));
        }
        let Keeper { shared, spares, segments, next_sequence } = self;
        match Arc::try_unwrap(shared) {
            Ok(shared) => Ok(shared.held),
            Err(shared) => Err(Box::new(Keeper { shared, spares, segments, next_sequence })),
        }
    }
}

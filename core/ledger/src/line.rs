//! A line: a head of eight bytes and a payload, padded to eight; and how lines are found again.
//!
//! The head has the checksum (CRC-32C over the segment's header, the line's place, length and kind, and the payload), the
//! length in words and the kind. It is stored last and at once, so that a line is there as a whole or not at all. Reading
//! believes nothing: what is not whole is passed over, up to the next line that is, and told.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::intent::INTENT_BYTES_MAX;
use crate::segment::{Position, SEGMENT_HEAD_BYTES, Segment};
use crate::settlement::SETTLEMENT_BYTES_MAX;

pub(crate) const HEAD_BYTES: usize = 8;
/// In the head's highest byte: no head is zero.
const MAGIC: u64 = 0xb1;

/// Bytes that a payload of so many takes in a segment.
pub(crate) const fn line_bytes(payload: usize) -> usize {
    HEAD_BYTES + payload.next_multiple_of(8)
}

/// Bytes of the longest line.
pub(crate) const LINE_BYTES_MAX: usize = {
    let (intent, settlement) = (line_bytes(INTENT_BYTES_MAX), line_bytes(SETTLEMENT_BYTES_MAX));
    if intent > settlement { intent } else { settlement }
};

/// What a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// An attempt is about to be made.
    Intent = 1,
    /// An attempt has ended.
    Settlement = 2,
}

impl Kind {
    fn of(code: u64) -> Option<Kind> {
        [Kind::Intent, Kind::Settlement].into_iter().find(|kind| *kind as u64 == code)
    }
}

/// The head without its checksum.
fn shape(kind: Kind, bytes: usize) -> u64 {
    MAGIC << 56 | (kind as u64) << 48 | (bytes as u64 / 8 - 1) << 32
}

/// Completes a line in `scratch`, whose payload stands behind the head, for its place in `segment`; returns its bytes.
#[inline]
pub(crate) fn seal(scratch: &mut [u8], segment: &Segment, offset: u32, kind: Kind, payload: usize) -> usize {
    let bytes = line_bytes(payload);
    scratch[HEAD_BYTES + payload..bytes].fill(0);
    let shape = shape(kind, bytes);
    scratch[..HEAD_BYTES].copy_from_slice(&(shape | u64::from(offset)).to_le_bytes());
    let sum = crc32c::crc32c_append(segment.seed(), &scratch[..bytes]);
    scratch[..HEAD_BYTES].copy_from_slice(&(shape | u64::from(sum)).to_le_bytes());
    bytes
}

/// Copies a sealed line to its place: the payload, then the head.
#[inline]
pub(crate) fn store(line: &[u8], segment: &Segment, offset: u32) {
    let first = offset as usize / 8;
    let words = &segment.words()[first..first + line.len() / 8];
    let (from, _) = line.as_chunks::<8>();
    for (word, from) in words.iter().zip(from).skip(1) {
        word.store(u64::from_le_bytes(*from), Ordering::Relaxed);
    }
    words[0].store(u64::from_le_bytes(from[0]), Ordering::Release);
}

/// A whole line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// Where it stands.
    pub at: Position,
    /// What it is.
    pub kind: Kind,
    /// Its payload, padded.
    pub payload: &'a [u8],
}

/// What a cursor found.
#[derive(Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// A line.
    Line(Line<'a>),
    /// Bytes that are no whole line: a line whose writer was killed in the middle of it, a page that did not reach the disk,
    /// or damage. Lines behind them are found.
    Tear {
        /// First byte.
        from: u32,
        /// First byte behind.
        to: u32,
    },
    /// Nothing more, for now or for good ([`Segment::is_ended`]).
    End,
}

/// Reads a segment from one place on.
#[derive(Debug)]
pub struct Cursor {
    segment: Arc<Segment>,
    offset: u32,
    payload: Vec<u8>,
}

enum Found {
    Whole { kind: Kind, bytes: u32 },
    Empty,
    Torn,
}

impl Cursor {
    /// Begins at `offset`, where a line ends, or 0 for the first.
    pub fn at(segment: Arc<Segment>, offset: u32) -> Cursor {
        let offset = offset.max(SEGMENT_HEAD_BYTES).next_multiple_of(8);
        Cursor { segment, offset, payload: Vec::with_capacity(LINE_BYTES_MAX) }
    }

    /// First byte that was not read yet.
    pub fn offset(&self) -> u32 {
        self.offset
    }

    /// The segment.
    pub fn segment(&self) -> &Arc<Segment> {
        &self.segment
    }

    /// The next line or tear.
    pub fn read_next(&mut self) -> Item<'_> {
        // Asked before the line is: an end that is seen holds for what is read after.
        let ended = self.segment.is_ended();
        let (from, file_end) = (self.offset, self.file_end());
        match self.look(from) {
            Found::Whole { kind, bytes } => self.take(from, kind, bytes),
            Found::Empty | Found::Torn if !ended => Item::End,
            Found::Empty | Found::Torn => {
                let next = (from..file_end).step_by(8).skip(1).find(|&at| self.is_whole(at));
                let behind = next.unwrap_or(self.segment.bytes().max(file_end));
                self.offset = behind;
                // Zeros up to where the file was meant to end are no tear.
                let clean = next.is_none() && file_end >= self.segment.bytes() && self.is_empty(from);
                if clean || from >= behind { Item::End } else { Item::Tear { from, to: behind } }
            }
        }
    }

    fn file_end(&self) -> u32 {
        u32::try_from(self.segment.words().len() * 8).unwrap_or(u32::MAX)
    }

    fn take(&mut self, from: u32, kind: Kind, bytes: u32) -> Item<'_> {
        self.offset = from + bytes;
        let at = Position { sequence: self.segment.id().sequence, offset: from };
        Item::Line(Line { at, kind, payload: &self.payload[HEAD_BYTES..] })
    }

    fn is_whole(&mut self, at: u32) -> bool {
        matches!(self.look(at), Found::Whole { .. })
    }

    fn is_empty(&self, from: u32) -> bool {
        let words = self.segment.words().get(from as usize / 8..).unwrap_or_default();
        words.iter().all(|word| word.load(Ordering::Relaxed) == 0)
    }

    /// Looks at what begins at `at`; a whole line is in `payload` after, with its head before it.
    fn look(&mut self, at: u32) -> Found {
        let Some((head, rest)) = self.segment.words().get(at as usize / 8..).and_then(<[_]>::split_first)
        else {
            return Found::Empty;
        };
        let head = head.load(Ordering::Acquire);
        if head == 0 {
            return Found::Empty;
        }
        let words = (head >> 32 & 0xffff) as usize;
        let (Some(kind), Some(rest)) = (Kind::of(head >> 48 & 0xff), rest.get(..words)) else {
            return Found::Torn;
        };
        let bytes = HEAD_BYTES + words * 8;
        if head >> 56 != MAGIC || bytes > LINE_BYTES_MAX {
            return Found::Torn;
        }
        self.payload.clear();
        self.payload.extend_from_slice(&(shape(kind, bytes) | u64::from(at)).to_le_bytes());
        for word in rest {
            self.payload.extend_from_slice(&word.load(Ordering::Relaxed).to_le_bytes());
        }
        if crc32c::crc32c_append(self.segment.seed(), &self.payload) != head as u32 {
            return Found::Torn;
        }
        Found::Whole { kind, bytes: bytes as u32 }
    }
}

//! The worker's end of a ring: publishes call records, never waits.
//!
//! Knows the order of stores that makes a frame visible whole. Must not know files or clocks.

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::atomic::{Ordering, fence};

use crate::ai::AiCall;
use crate::frame::{BLOCK_BYTES, FRAME_BYTES_MAX, FRAME_HEAD_BYTES, Head, Kind, block_end, next_start};
use crate::header::Ring;
use crate::payload::{encode_amend, encode_call};
use crate::record::{Amend, CallRecord};
use crate::strings::CallStrings;

/// The ring is full: the drain stalls. The record is dropped and counted in the ring's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the ring is full; the record is dropped and counted")]
pub struct Full;

/// Words of a cache line.
const LINE_WORDS: usize = 8;

/// Room for one frame and a word more, aligned so that the copy into the ring goes by whole cache lines.
#[repr(C, align(64))]
struct Scratch([u8; FRAME_BYTES_MAX + 8]);

/// The single producer of a ring. One a worker; may be moved to the worker's thread, not shared.
///
/// No call allocates, locks, waits or makes a syscall.
pub struct RingWriter {
    ring: Ring,
    capacity: u64,
    /// Where the next frame starts.
    position: u64,
    /// Where the lap of the last frame started: a multiple of the capacity. Spares a division a record.
    lap: u64,
    /// The drain's position when it was last looked at: the shared line is read only when the
    /// ring looks full.
    read_seen: u64,
    oldest: u64,
    dropped: u64,
    sequence: u64,
    scratch: Box<Scratch>,
    not_sync: PhantomData<Cell<()>>,
}

impl RingWriter {
    /// Takes the producer's end of a fresh ring. There must be no other writer of this ring: a run
    /// hands out each of its rings once.
    pub fn new(ring: Ring) -> RingWriter {
        let position = ring.written();
        let capacity = ring.identity().capacity;
        RingWriter {
            capacity,
            position,
            lap: position - position % capacity,
            read_seen: ring.read(),
            oldest: ring.oldest(),
            dropped: ring.dropped(),
            sequence: 0,
            scratch: Box::new(Scratch([0; FRAME_BYTES_MAX + 8])),
            ring,
            not_sync: PhantomData,
        }
    }

    /// Publishes one call and returns its sequence, which is also set in the record.
    ///
    /// When this returns `Ok`, every reader can see the record, also after this process is killed.
    /// A full ring drops the record, counts it, and leaves a gap of one in the sequence.
    /// Costs the encoding, one CRC-32C and one copy of some 500 bytes.
    #[inline]
    pub fn append(&mut self, record: &mut CallRecord, strings: &CallStrings<'_>) -> Result<u64, Full> {
        self.append_call(record, strings, None)
    }

    /// As [`RingWriter::append`], with the AI block of an AI call.
    #[inline]
    pub fn append_ai(
        &mut self,
        record: &mut CallRecord,
        strings: &CallStrings<'_>,
        ai: &AiCall,
    ) -> Result<u64, Full> {
        self.append_call(record, strings, Some(ai))
    }

    #[inline]
    fn append_call(
        &mut self,
        record: &mut CallRecord,
        strings: &CallStrings<'_>,
        ai: Option<&AiCall>,
    ) -> Result<u64, Full> {
        self.sequence += 1;
        record.sequence = self.sequence;
        let length = encode_call(&mut self.scratch.0[FRAME_HEAD_BYTES..], record, strings, ai);
        self.publish(Kind::Call, length)?;
        Ok(self.sequence)
    }

    /// Publishes what became of an earlier call of this ring. Costs as a small record.
    pub fn amend(&mut self, amend: &Amend) -> Result<(), Full> {
        let length = encode_amend(&mut self.scratch.0[FRAME_HEAD_BYTES..], amend);
        self.publish(Kind::Amend, length)
    }

    /// Says that the worker lives. Costs one store.
    #[inline]
    pub fn heartbeat(&mut self, now_ns: u64) {
        self.ring.set_heartbeat_ns(now_ns);
    }

    /// Sequence of the last call, published or dropped.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Calls and amendments dropped since the ring was made.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    #[inline]
    fn publish(&mut self, kind: Kind, length: usize) -> Result<(), Full> {
        let mut head = Head { position: self.position, length: length as u32, kind };
        let bytes = head.frame_bytes();
        let room = block_end(self.position) - self.position;
        let fill = bytes > room;
        if fill {
            head.position += room;
        }
        let end = next_start(head.position, bytes);
        if end - self.read_seen > self.capacity && !self.has_room(end) {
            return Err(Full);
        }
        // Padding, by a whole word: what is written too much stands behind the frame.
        let padding = FRAME_HEAD_BYTES + length;
        self.scratch.0[padding..padding + 8].copy_from_slice(&[0; 8]);
        head.seal(&mut self.scratch.0);

        self.ring.set_reserved(end);
        let oldest = end.saturating_sub(self.capacity).next_multiple_of(BLOCK_BYTES);
        if oldest != self.oldest {
            self.oldest = oldest;
            self.ring.set_oldest(oldest);
        }
        // A reader that sees any word stored below sees `reserved` too (its fence pairs with this).
        fence(Ordering::Release);
        if fill {
            let mut filler = [0; FRAME_HEAD_BYTES];
            Head { position: self.position, length: room as u32 - FRAME_HEAD_BYTES as u32, kind: Kind::Fill }
                .seal(&mut filler);
            self.store(self.position - self.lap, &filler);
        }
        // A frame ends where a block does at the latest, so it is the next one that starts a lap; a filler never does.
        if head.position - self.lap >= self.capacity {
            self.lap += self.capacity;
        }
        self.store(head.position - self.lap, &self.scratch.0[..bytes as usize]);
        self.ring.set_written(end);
        self.position = end;
        Ok(())
    }

    /// Looks at the drain's position again; counts a drop if there is still no room.
    #[cold]
    fn has_room(&mut self, end: u64) -> bool {
        self.read_seen = self.ring.read();
        let room = end.saturating_sub(self.read_seen) <= self.capacity;
        if !room {
            self.dropped += 1;
            self.ring.set_dropped(self.dropped);
        }
        room
    }

    #[inline]
    fn store(&self, offset: u64, bytes: &[u8]) {
        let first = offset as usize / 8;
        let words = &self.ring.frames()[first..first + bytes.len() / 8];
        // By whole cache lines: an atomic store is a plain one here, but no compiler joins or unrolls them.
        let (lines, words) = words.as_chunks::<LINE_WORDS>();
        let (frame, _) = bytes.as_chunks::<8>();
        let (frame_lines, frame) = frame.as_chunks::<LINE_WORDS>();
        for (line, from) in lines.iter().zip(frame_lines) {
            for at in 0..LINE_WORDS {
                line[at].store(u64::from_ne_bytes(from[at]), Ordering::Relaxed);
            }
        }
        for (word, from) in words.iter().zip(frame) {
            word.store(u64::from_ne_bytes(*from), Ordering::Relaxed);
        }
    }
}

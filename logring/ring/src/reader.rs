//! Reading a ring: copies frames, accepts only whole ones, steps over damage and laps.
//!
//! Two ways in: a [`Cursor`] reads anything still readable and writes nothing; the [`Drain`] is a
//! cursor that also moves the ring's `read` position, one a ring. Must not know files.

use std::sync::atomic::{Ordering, fence};

use crate::frame::{
    FRAME_BYTES_MAX, FRAME_HEAD_BYTES, FRAME_MAGIC, FrameError, Head, Kind, block_end, next_start,
};
use crate::header::Ring;
use crate::payload::{CallView, PayloadError, decode_amend, decode_call};
use crate::record::Amend;

/// What a reader finds next.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "an item lives on the stack for one turn; a box would allocate"
)]
pub enum Item<'a> {
    /// One call.
    Call(CallView<'a>),
    /// An amendment to an earlier call of this ring.
    Amend(Amend),
    /// The writer overwrote what was to be read next; reading goes on at `to`.
    Lapped {
        /// Where the reader stood.
        from: u64,
        /// Where it goes on.
        to: u64,
    },
    /// Bytes that are no frame, although they should be; reading goes on at `to`.
    Damage {
        /// Where they start.
        at: u64,
        /// The next block, or the end of what is published.
        to: u64,
        /// What is wrong with them.
        why: Damage,
    },
    /// Nothing more is published.
    End,
}

/// What is wrong with bytes that should be a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// The frame's head or checksum.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A whole frame with a payload that cannot be read.
    #[error(transparent)]
    Payload(#[from] PayloadError),
    /// The file ends before.
    #[error("the file is cut here")]
    Cut,
}

/// One copied frame, at a multiple of eight in memory as its payload must be.
#[repr(C, align(64))]
struct Copied([u8; FRAME_BYTES_MAX]);

/// A position in a ring from which whole frames are read. Writes nothing into the ring.
pub struct Cursor {
    ring: Ring,
    position: u64,
    copied: Box<Copied>,
}

/// What [`Cursor::load`] found at the cursor.
enum Loaded {
    Frame(Head),
    Lapped,
    Damage(Damage),
}

impl Cursor {
    /// Starts at the oldest frame that is still readable.
    pub fn oldest(ring: Ring) -> Cursor {
        let position = ring.oldest();
        Cursor::at(ring, position)
    }

    /// Starts behind the newest published frame, as `tail -f` does.
    pub fn newest(ring: Ring) -> Cursor {
        let position = ring.written();
        Cursor::at(ring, position)
    }

    /// Starts at a position that is known to be the start of a frame.
    pub fn at(ring: Ring, position: u64) -> Cursor {
        Cursor { ring, position, copied: Box::new(Copied([0; FRAME_BYTES_MAX])) }
    }

    /// Where the next frame starts.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The ring that is read.
    pub fn ring(&self) -> &Ring {
        &self.ring
    }

    /// The position that the bytes at `offset` of the frames' area claim, if they start a frame.
    pub(crate) fn position_at(ring: &Ring, offset: u64) -> Option<u64> {
        if offset + FRAME_HEAD_BYTES as u64 > ring.present() {
            return None;
        }
        let words = &ring.frames()[offset as usize / 8..];
        let first = words[0].load(Ordering::Relaxed).to_ne_bytes();
        let held = u64::from_le(words[1].load(Ordering::Relaxed));
        (first[..4] == FRAME_MAGIC).then_some(held)
    }

    /// Whether a whole frame stands at the cursor, published or not. For scans of a ring without
    /// a living writer.
    pub(crate) fn is_whole(&mut self) -> bool {
        let (head, _) = self.check();
        head.is_ok()
    }

    /// As [`Cursor::next_before`], for a ring without a living writer whose header is not trusted.
    pub(crate) fn next_unpublished(&mut self, end: u64) -> Item<'_> {
        while self.position < end {
            let at = self.position;
            match self.check().0 {
                Ok(head) => {
                    self.position = next_start(at, head.frame_bytes());
                    match head.kind {
                        Kind::Fill => {}
                        Kind::Call => return self.call(head, at),
                        Kind::Amend => return self.amend(head, at),
                    }
                }
                Err(why) => return Item::Damage { at, to: at, why },
            }
        }
        Item::End
    }

    /// Reads the next item up to what is published now.
    #[inline]
    pub fn read_next(&mut self) -> Item<'_> {
        let end = self.ring.written();
        self.next_before(end)
    }

    /// As [`Cursor::read_next`] with the end given: a caller that reads a batch looks at the
    /// writer's cache line once. `end` must have come from [`Ring::written`] or a scan.
    #[inline]
    pub fn next_before(&mut self, end: u64) -> Item<'_> {
        loop {
            if self.position >= end {
                return Item::End;
            }
            match self.load(end) {
                Loaded::Frame(head) => {
                    let at = self.position;
                    self.position = next_start(at, head.frame_bytes());
                    match head.kind {
                        Kind::Fill => {}
                        Kind::Call => return self.call(head, at),
                        Kind::Amend => return self.amend(head, at),
                    }
                }
                Loaded::Lapped => {
                    let from = self.position;
                    // Behind `oldest` by now; the maximum keeps the cursor from ever going back.
                    self.position = self.ring.oldest().max(block_end(from));
                    return Item::Lapped { from, to: self.position };
                }
                Loaded::Damage(why) => {
                    let at = self.position;
                    self.position = block_end(at).min(end);
                    return Item::Damage { at, to: self.position, why };
                }
            }
        }
    }

    fn call(&self, head: Head, at: u64) -> Item<'_> {
        match decode_call(self.payload(head)) {
            Ok(call) => Item::Call(call),
            Err(why) => Item::Damage { at, to: self.position, why: why.into() },
        }
    }

    fn amend(&self, head: Head, at: u64) -> Item<'_> {
        match decode_amend(self.payload(head)) {
            Ok(amend) => Item::Amend(amend),
            Err(why) => Item::Damage { at, to: self.position, why: why.into() },
        }
    }

    fn payload(&self, head: Head) -> &[u8] {
        &self.copied.0[FRAME_HEAD_BYTES..FRAME_HEAD_BYTES + head.length as usize]
    }

    /// Copies the frame at the cursor and checks it against the writer's progress.
    #[inline]
    fn load(&mut self, end: u64) -> Loaded {
        let (checked, lapped) = self.check();
        match checked {
            _ if lapped => Loaded::Lapped,
            Ok(head) if self.position + head.frame_bytes() <= end => Loaded::Frame(head),
            Ok(head) => Loaded::Damage(FrameError::Length(head.length).into()),
            Err(why) => Loaded::Damage(why),
        }
    }

    /// Copies the frame at the cursor; tells whether it is whole, and whether the writer may have
    /// been overwriting it meanwhile.
    #[inline]
    fn check(&mut self) -> (Result<Head, Damage>, bool) {
        let checked = self.copy_frame();
        // Pairs with the writer's fence: if any copied word was newer than the frame, `reserved`
        // is seen beyond one lap.
        fence(Ordering::Acquire);
        (checked, self.ring.reserved() > self.position + self.ring.identity().capacity)
    }

    #[inline]
    fn copy_frame(&mut self) -> Result<Head, Damage> {
        let offset = self.position % self.ring.identity().capacity;
        if offset + FRAME_HEAD_BYTES as u64 > self.ring.present() {
            return Err(Damage::Cut);
        }
        self.copy(offset, 0, FRAME_HEAD_BYTES);
        let mut first = [0; FRAME_HEAD_BYTES];
        first.copy_from_slice(&self.copied.0[..FRAME_HEAD_BYTES]);
        let head = Head::parse(&first, self.position)?;
        if head.kind != Kind::Fill {
            let bytes = head.frame_bytes();
            if offset + bytes > self.ring.present() {
                return Err(Damage::Cut);
            }
            self.copy(offset + FRAME_HEAD_BYTES as u64, FRAME_HEAD_BYTES, bytes as usize - FRAME_HEAD_BYTES);
        }
        head.verify(&self.copied.0)?;
        Ok(head)
    }

    #[inline]
    fn copy(&mut self, offset: u64, to: usize, bytes: usize) {
        let first = offset as usize / 8;
        let words = &self.ring.frames()[first..first + bytes / 8];
        for (eight, word) in self.copied.0[to..to + bytes].chunks_exact_mut(8).zip(words) {
            eight.copy_from_slice(&word.load(Ordering::Relaxed).to_ne_bytes());
        }
    }
}

/// The one reader whose progress makes room for the writer.
///
/// Its position stands in the ring's header, so that a new drain goes on where an old one had
/// committed, whatever ended the old one.
pub struct Drain {
    cursor: Cursor,
}

impl Drain {
    /// Goes on at the ring's `read` position. There must be one drain a ring: the holder of the
    /// run's lock.
    pub fn new(ring: Ring) -> Drain {
        let position = ring.read();
        Drain { cursor: Cursor::at(ring, position) }
    }

    /// Goes on at `position`, if the ring's own is behind it: for a consumer that keeps the position
    /// in one transaction with what it made of the records, and so counts each of them once.
    pub fn resume(ring: Ring, position: u64) -> Drain {
        let position = position.max(ring.read()).min(ring.written());
        Drain { cursor: Cursor::at(ring, position) }
    }

    /// As [`Cursor::read_next`].
    #[inline]
    pub fn read_next(&mut self) -> Item<'_> {
        self.cursor.read_next()
    }

    /// As [`Cursor::next_before`].
    #[inline]
    pub fn next_before(&mut self, end: u64) -> Item<'_> {
        self.cursor.next_before(end)
    }

    /// Where the next frame starts.
    pub fn position(&self) -> u64 {
        self.cursor.position
    }

    /// The ring that is drained.
    pub fn ring(&self) -> &Ring {
        &self.cursor.ring
    }

    /// Tells the writer that everything read so far may be overwritten. Call it after the batch is
    /// accounted for: what was read and not committed is read again after a crash.
    #[inline]
    pub fn commit(&self) {
        self.cursor.ring.set_read(self.cursor.position);
    }
}

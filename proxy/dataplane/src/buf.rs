//! Owned byte buffers for completion I/O, and the worker's pool of them. A buffer is given to the kernel by
//! value and comes back with the result, so it is never moved or freed while the kernel writes into it.
//! Two classes bound what a connection can hold; nothing here knows what the bytes mean.
#![allow(unsafe_code)]

use std::cell::RefCell;

use monoio::buf::{IoBuf, IoBufMut};

/// Bytes of a small buffer: a usual head, or a small message whole. 64 of them fit a core's L2.
pub const SMALL: usize = 4 * 1024;
/// Bytes of a large buffer: a head of the largest size allowed, or a piece of a streamed body. A body of 64 KiB
/// fits with its head and [`HEADROOM`].
pub const LARGE: usize = 68 * 1024;
/// Room that is kept in front of an upstream's answer, so that the client's head, which is a little longer than the
/// upstream's, can be put before the body in place.
pub const HEADROOM: usize = 512;
/// Small buffers that a worker keeps for reuse (4 MiB at most).
pub const SMALL_KEPT_MAX: usize = 1024;
/// Large buffers that a worker keeps for reuse (9 MiB at most).
pub const LARGE_KEPT_MAX: usize = 128;
/// Buffers of each class that a worker keeps even if nobody has needed them for long.
pub const IDLE_KEPT: usize = 8;

/// A buffer of fixed capacity with a readable window `head..tail`; reads append at `tail`.
#[derive(Debug, Default)]
pub struct Buf {
    mem: Box<[u8]>,
    head: usize,
    tail: usize,
    hidden: usize,
}

impl Buf {
    /// A buffer of `capacity` zeroed bytes, empty window.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { mem: vec![0; capacity].into_boxed_slice(), head: 0, tail: 0, hidden: 0 }
    }

    /// Bytes that the buffer can hold in all.
    pub fn capacity(&self) -> usize {
        self.mem.len()
    }

    /// The readable bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.mem[self.head..self.tail]
    }

    /// The readable bytes, to be changed in place (decryption).
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.mem[self.head..self.tail]
    }

    /// Number of readable bytes.
    pub fn len(&self) -> usize {
        self.tail - self.head
    }

    /// Whether there is nothing to read.
    pub fn is_empty(&self) -> bool {
        self.head == self.tail
    }

    /// Free bytes after the window.
    pub fn room(&self) -> usize {
        self.mem.len() - self.tail
    }

    /// Drops the first `n` readable bytes.
    pub fn consume(&mut self, n: usize) {
        assert!(n <= self.len(), "consume past the window");
        self.head += n;
        if self.head == self.tail && self.hidden == 0 {
            self.head = 0;
            self.tail = 0;
        }
    }

    /// Keeps only the first `n` readable bytes.
    pub fn truncate(&mut self, n: usize) {
        assert!(n <= self.len(), "truncate past the window");
        self.tail = self.head + n;
    }

    /// Keeps the first `n` bytes of an empty buffer free, for [`Buf::prepend`].
    pub fn reserve_front(&mut self, n: usize) {
        assert!(self.is_empty() && n <= self.mem.len(), "reserve in an empty buffer");
        self.head = n;
        self.tail = n;
    }

    /// Puts `data` before the readable bytes if there is room for it.
    pub fn prepend(&mut self, data: &[u8]) -> bool {
        let Some(start) = self.head.checked_sub(data.len()) else { return false };
        self.mem[start..self.head].copy_from_slice(data);
        self.head = start;
        true
    }

    /// Hides all but the first `n` readable bytes until [`Buf::unhide`], so that a part can be written.
    pub fn hide_after(&mut self, n: usize) {
        assert!(n <= self.len() && self.hidden == 0, "hide within the window, once");
        self.hidden = self.len() - n;
        self.tail -= self.hidden;
    }

    /// Makes the hidden bytes readable again.
    pub fn unhide(&mut self) {
        self.tail += self.hidden;
        self.hidden = 0;
        self.consume(0);
    }

    /// Empties the window.
    pub fn clear(&mut self) {
        self.head = 0;
        self.tail = 0;
        self.hidden = 0;
    }

    /// Moves the readable bytes to the front, so that all the free room is behind them.
    pub fn compact(&mut self) {
        if self.head > 0 {
            self.mem.copy_within(self.head..self.tail, 0);
            self.tail -= self.head;
            self.head = 0;
        }
    }

    /// Appends as much of `data` as there is room for and returns how much that was.
    pub fn push(&mut self, data: &[u8]) -> usize {
        let n = data.len().min(self.room());
        self.mem[self.tail..self.tail + n].copy_from_slice(&data[..n]);
        self.tail += n;
        n
    }

    /// The free room behind the window; what was written there is taken in by [`Buf::advance`].
    pub fn room_mut(&mut self) -> &mut [u8] {
        &mut self.mem[self.tail..]
    }

    /// Takes `n` bytes, which were written to [`Buf::room_mut`], into the window.
    pub fn advance(&mut self, n: usize) {
        assert!(n <= self.room(), "advance past the capacity");
        self.tail += n;
    }
}

// SAFETY: the pointer is into the boxed slice, whose address does not change when the `Buf` is moved; the
// window `head..tail` lies within it and is initialised (the slice is zeroed when made).
unsafe impl IoBuf for Buf {
    fn read_ptr(&self) -> *const u8 {
        self.mem[self.head..].as_ptr()
    }

    fn bytes_init(&self) -> usize {
        self.tail - self.head
    }
}

// SAFETY: as above; the kernel may write `room()` bytes from `tail` on, and `set_init(n)` tells how many it
// wrote, counted from `write_ptr`.
unsafe impl IoBufMut for Buf {
    fn write_ptr(&mut self) -> *mut u8 {
        self.mem[self.tail..].as_mut_ptr()
    }

    fn bytes_total(&mut self) -> usize {
        self.mem.len() - self.tail
    }

    unsafe fn set_init(&mut self, pos: usize) {
        debug_assert!(self.tail + pos <= self.mem.len());
        self.tail += pos;
    }
}

/// Buffers of one class that wait for use.
#[derive(Debug, Default)]
struct Kept {
    bufs: Vec<Buf>,
    /// The fewest that there were since the last look: so many nobody needed.
    spare: usize,
}

impl Kept {
    fn take(&mut self) -> Option<Buf> {
        let buf = self.bufs.pop();
        self.spare = self.spare.min(self.bufs.len());
        buf
    }

    /// Frees half of what nobody needed since the last look, but for [`IDLE_KEPT`].
    fn shrink(&mut self) {
        let unneeded = self.spare.min(self.bufs.len().saturating_sub(IDLE_KEPT));
        self.bufs.truncate(self.bufs.len() - unneeded.div_ceil(2));
        self.spare = self.bufs.len();
    }
}

/// The buffers that a worker keeps for reuse. Taking one costs no allocation once warm.
#[derive(Debug, Default)]
pub struct BufPool {
    small: RefCell<Kept>,
    large: RefCell<Kept>,
}

impl BufPool {
    /// An empty buffer of [`SMALL`] bytes.
    pub fn small(&self) -> Buf {
        self.small.borrow_mut().take().unwrap_or_else(|| Buf::with_capacity(SMALL))
    }

    /// An empty buffer of [`LARGE`] bytes.
    pub fn large(&self) -> Buf {
        self.large.borrow_mut().take().unwrap_or_else(|| Buf::with_capacity(LARGE))
    }

    /// Frees buffers that have waited for long; to be called about once a second.
    pub fn shrink(&self) {
        self.small.borrow_mut().shrink();
        self.large.borrow_mut().shrink();
    }

    /// A buffer with these parts one after another: of a class if they fit, else of their length.
    pub fn filled(&self, parts: &[&[u8]]) -> Buf {
        let len = parts.iter().map(|part| part.len()).sum();
        let mut buf = if len <= SMALL {
            self.small()
        } else if len <= LARGE {
            self.large()
        } else {
            Buf::with_capacity(len)
        };
        for part in parts {
            buf.push(part);
        }
        buf
    }

    /// Gives a buffer back; beyond the bound of its class it is freed.
    pub fn put(&self, mut buf: Buf) {
        buf.clear();
        let (list, kept_max) = match buf.capacity() {
            SMALL => (&self.small, SMALL_KEPT_MAX),
            LARGE => (&self.large, LARGE_KEPT_MAX),
            _ => return,
        };
        let bufs = &mut list.borrow_mut().bufs;
        if bufs.len() < kept_max {
            bufs.push(buf);
        }
    }

    /// Exchanges `buf` for a large one with the same readable bytes, at the front.
    pub fn grow(&self, buf: Buf) -> Buf {
        let mut large = self.large();
        large.push(buf.bytes());
        self.put(buf);
        large
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn window_moves_as_bytes_come_and_go() {
        let mut buf = Buf::with_capacity(8);
        assert_eq!(buf.push(b"abcdefghij"), 8);
        assert_eq!(buf.room(), 0);
        buf.consume(3);
        assert_eq!(buf.bytes(), b"defgh");
        buf.compact();
        assert_eq!((buf.bytes(), buf.room()), (&b"defgh"[..], 3));
        buf.consume(5);
        assert_eq!((buf.len(), buf.room()), (0, 8));
    }

    #[test]
    fn a_part_can_be_taken_and_the_rest_stays() {
        let mut buf = Buf::with_capacity(8);
        buf.push(b"abcdef");
        buf.hide_after(4);
        buf.consume(4);
        assert!(buf.is_empty());
        buf.unhide();
        assert_eq!(buf.bytes(), b"ef");
        buf.hide_after(2);
        buf.consume(2);
        buf.unhide();
        assert_eq!((buf.len(), buf.room()), (0, 8));
    }

    #[test]
    fn what_goes_before_needs_room_there() {
        let mut buf = Buf::with_capacity(16);
        buf.reserve_front(4);
        buf.push(b"HEADbody");
        buf.consume(4);
        assert!(buf.prepend(b"longhead") && buf.bytes() == b"longheadbody");
        assert!(!buf.prepend(b"x"));
    }

    #[test]
    fn pool_keeps_no_more_than_its_bound() {
        let pool = BufPool::default();
        for _ in 0..LARGE_KEPT_MAX + 5 {
            pool.put(Buf::with_capacity(LARGE));
        }
        assert_eq!(pool.large.borrow().bufs.len(), LARGE_KEPT_MAX);
        pool.put(Buf::with_capacity(10));
        assert_eq!(pool.small.borrow().bufs.len(), 0);
    }

    #[test]
    fn what_nobody_needs_is_freed_by_and_by() {
        let pool = BufPool::default();
        let kept = |pool: &BufPool| pool.small.borrow().bufs.len();
        let in_use: Vec<Buf> = (0..100).map(|_| pool.small()).collect();
        in_use.into_iter().for_each(|buf| pool.put(buf));
        pool.shrink();
        assert_eq!(kept(&pool), 100, "all of them were in use a moment ago");
        let in_use: Vec<Buf> = (0..40).map(|_| pool.small()).collect();
        in_use.into_iter().for_each(|buf| pool.put(buf));
        pool.shrink();
        assert_eq!(kept(&pool), 70);
        for _ in 0..8 {
            pool.shrink();
        }
        assert_eq!(kept(&pool), IDLE_KEPT);
    }

    #[test]
    fn grow_keeps_the_bytes() {
        let pool = BufPool::default();
        let mut small = pool.small();
        small.push(b"xxhello");
        small.consume(2);
        let large = pool.grow(small);
        assert_eq!((large.bytes(), large.capacity()), (&b"hello"[..], LARGE));
    }
}

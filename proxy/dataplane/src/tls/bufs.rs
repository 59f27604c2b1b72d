//! The worker's buffers for TLS: its common pool, and a short list of buffers that take one sealed piece. A
//! sealed piece is longer than the plaintext it came from, so a large buffer of the common pool would need a
//! second, tiny send for each full piece of a body.

use std::cell::RefCell;
use std::rc::Rc;

use crate::buf::{Buf, BufPool, LARGE, SMALL};

/// Bytes of a buffer for sealed records: a large buffer's worth of plaintext in full records, what protects
/// them, and a ticket or key update ahead of them. Bounds the ciphertext of one send.
pub(super) const SEALED: usize = LARGE + 2 * 1024;
/// Buffers for sealed records that a worker keeps for reuse (4 MiB at most).
pub(super) const SEALED_KEPT_MAX: usize = 64;

/// One worker's buffers for TLS. Taking one costs no allocation once warm.
#[derive(Debug)]
pub struct TlsBufs {
    pool: Rc<BufPool>,
    sealed: RefCell<Vec<Buf>>,
}

impl TlsBufs {
    /// Buffers beside the worker's common pool.
    pub fn new(pool: Rc<BufPool>) -> Rc<Self> {
        Rc::new(Self { pool, sealed: RefCell::new(Vec::new()) })
    }

    /// The worker's common pool.
    pub fn pool(&self) -> &BufPool {
        &self.pool
    }

    /// An empty buffer that takes `needed` bytes, or as many of them as one send may have.
    pub(super) fn outgoing(&self, needed: usize) -> Buf {
        if needed <= SMALL {
            return self.pool.small();
        }
        self.sealed.borrow_mut().pop().unwrap_or_else(|| Buf::with_capacity(SEALED))
    }

    /// Gives a buffer of any class back.
    pub(super) fn put(&self, mut buf: Buf) {
        if buf.capacity() != SEALED {
            return self.pool.put(buf);
        }
        buf.clear();
        let mut sealed = self.sealed.borrow_mut();
        if sealed.len() < SEALED_KEPT_MAX {
            sealed.push(buf);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_no_more_sealed_buffers_than_its_bound() {
        let bufs = TlsBufs::new(Rc::default());
        for _ in 0..SEALED_KEPT_MAX + 3 {
            bufs.put(Buf::with_capacity(SEALED));
        }
        assert_eq!(bufs.sealed.borrow().len(), SEALED_KEPT_MAX);
    }

    #[test]
    fn a_small_message_takes_a_small_buffer() {
        let bufs = TlsBufs::new(Rc::default());
        for (needed, capacity) in [(1, SMALL), (SMALL, SMALL), (SMALL + 1, SEALED), (10 * SEALED, SEALED)] {
            let buf = bufs.outgoing(needed);
            assert_eq!(buf.capacity(), capacity, "{needed}");
            bufs.put(buf);
        }
    }
}

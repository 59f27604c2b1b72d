//! The read side of a protected connection. A read is posted straight into the caller's own buffer and opened
//! there in place, so a connection that waits holds no buffer for TLS. Only a record that does not fit, or the
//! beginning of the next one, is kept in a pooled buffer until the rest has come.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::bufs::TlsBufs;
use super::record::RECORD_MAX;
use super::session::{Content, Fault, Session, record_len};
use crate::buf::{Buf, LARGE, SMALL};
use crate::cancel::Asked;
use crate::port::{ReadPort, ReadResult};

/// With less room than this in the caller's buffer, ciphertext is read into a buffer of our own. A parked connection
/// waits with this much and no more: when bytes come, the rest of the record is read into a pooled buffer.
const IN_PLACE_MIN: usize = 64;

const _: () = assert!(RECORD_MAX <= LARGE, "a whole record fits in a large buffer");

/// Where the posted socket read puts its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    /// The caller's buffer, which had this many readable bytes.
    Caller(usize),
    /// The buffer that keeps ciphertext.
    Held,
}

pub(super) struct TlsPort {
    inner: Box<dyn ReadPort>,
    session: Rc<RefCell<Session>>,
    bufs: Rc<TlsBufs>,
    /// The caller's buffer while a read is posted and the socket does not write into it.
    dst: Option<Buf>,
    /// Plaintext not delivered yet (the first `plain` bytes), `gap` bytes to skip, ciphertext not opened yet.
    held: Option<Buf>,
    plain: usize,
    gap: usize,
    target: Target,
    posted: bool,
    cancelled: bool,
}

impl TlsPort {
    /// A port over `inner`; `held` is what was read beyond the handshake.
    pub(super) fn new(
        inner: Box<dyn ReadPort>,
        session: Rc<RefCell<Session>>,
        bufs: Rc<TlsBufs>,
        held: Option<Buf>,
    ) -> Self {
        let target = Target::Held;
        Self {
            inner,
            session,
            bufs,
            dst: None,
            held,
            plain: 0,
            gap: 0,
            target,
            posted: false,
            cancelled: false,
        }
    }

    /// Whether bytes can be had without asking the socket.
    fn has_ready(&self) -> bool {
        if self.plain > 0 {
            return true;
        }
        let session = self.session.borrow();
        if session.has_ended() || session.fault().is_some() {
            return true;
        }
        let bytes = self.held.as_ref().map_or(&[][..], |held| &held.bytes()[self.gap..]);
        match record_len(bytes) {
            Err(_) => true,
            Ok(Some(len)) => bytes.len() >= len,
            Ok(None) => false,
        }
    }

    /// Posts a socket read: into the caller's buffer if nothing is held and it has room, else into the held one.
    fn post_socket(&mut self) {
        if self.held.is_none() {
            match self.dst.take() {
                Some(dst) if dst.room() >= IN_PLACE_MIN => {
                    self.target = Target::Caller(dst.len());
                    return self.inner.post(dst);
                }
                other => self.dst = other,
            }
        }
        let mut held = self.held.take().unwrap_or_else(|| self.bufs.pool().small());
        held.consume(self.gap);
        self.gap = 0;
        let needed = match record_len(held.bytes()) {
            Ok(Some(len)) => len - held.len(),
            _ => 1,
        };
        // Once a record outgrows the small class, more like it are likely to follow: read many at a time.
        if held.capacity() < LARGE && held.len() + needed > SMALL {
            held = self.bufs.pool().grow(held);
        } else if held.room() < needed || held.capacity() == LARGE && held.room() < LARGE / 2 {
            held.compact();
        }
        self.target = Target::Held;
        self.inner.post(held);
    }

    /// Takes the bytes that the socket gave; returns the plaintext bytes that were appended to the caller's buffer.
    fn take(&mut self, buf: Buf) -> Result<usize, Fault> {
        match self.target {
            Target::Held => {
                self.held = Some(buf);
                self.open_held()
            }
            Target::Caller(before) => {
                let mut dst = buf;
                let result = self.open_in_place(&mut dst, before);
                self.dst = Some(dst);
                result
            }
        }
    }

    /// Opens the records behind the first `before` bytes of `dst` and closes the gaps between their contents.
    fn open_in_place(&mut self, dst: &mut Buf, before: usize) -> Result<usize, Fault> {
        let mut session = self.session.borrow_mut();
        let region = &mut dst.bytes_mut()[before..];
        let (mut read, mut written) = (0, 0);
        let mut result = Ok(());
        while read < region.len() {
            let len = match record_len(&region[read..]) {
                Ok(Some(len)) if read + len <= region.len() => len,
                Ok(_) => break,
                Err(fault) => {
                    result = Err(session.fail(fault));
                    break;
                }
            };
            match session.open(&mut region[read..read + len]) {
                Ok(Content::Data { start, len }) => {
                    let start = read + start;
                    region.copy_within(start..start + len, written);
                    written += len;
                }
                Ok(Content::Control) => {}
                Ok(Content::End) => {
                    read = region.len();
                    break;
                }
                Err(fault) => {
                    result = Err(fault);
                    break;
                }
            }
            read += len;
        }
        let rest = &region[read..];
        if result.is_ok() && !rest.is_empty() {
            let large = rest.len() > SMALL || matches!(record_len(rest), Ok(Some(len)) if len > SMALL);
            let mut held = if large { self.bufs.pool().large() } else { self.bufs.pool().small() };
            held.push(rest);
            self.held = Some(held);
        }
        dst.truncate(before + written);
        // What was opened before a fault is delivered first; the fault is kept for the next read.
        if written > 0 { Ok(written) } else { result.map(|()| 0) }
    }

    /// Delivers held plaintext and opens held records while the caller's buffer has room.
    fn open_held(&mut self) -> Result<usize, Fault> {
        let (Some(dst), Some(held)) = (self.dst.as_mut(), self.held.as_mut()) else {
            return Ok(0);
        };
        let mut session = self.session.borrow_mut();
        let mut written = 0;
        let mut result = Ok(());
        loop {
            if self.plain > 0 {
                let n = dst.push(&held.bytes()[..self.plain]);
                held.consume(n);
                self.plain -= n;
                written += n;
                if self.plain > 0 {
                    break;
                }
            }
            held.consume(std::mem::take(&mut self.gap));
            if session.has_ended() || session.fault().is_some() {
                held.clear();
                break;
            }
            let len = match record_len(held.bytes()) {
                Ok(Some(len)) if len <= held.len() => len,
                Ok(_) => break,
                Err(fault) => {
                    result = Err(session.fail(fault));
                    break;
                }
            };
            let record = &mut held.bytes_mut()[..len];
            let content = if session.room_needed(len) <= dst.room() {
                let content = session.open_to(record, dst.room_mut());
                held.consume(len);
                if let Ok(Content::Data { len, .. }) = content {
                    dst.advance(len);
                    written += len;
                }
                content
            } else if written > 0 {
                break;
            } else {
                let content = session.open(record);
                match content {
                    Ok(Content::Data { start, len: plain }) => {
                        held.consume(start);
                        self.plain = plain;
                        self.gap = len - start - plain;
                    }
                    _ => held.consume(len),
                }
                content
            };
            if let Err(fault) = content {
                result = Err(fault);
                break;
            }
        }
        if held.is_empty()
            && let Some(held) = self.held.take()
        {
            self.bufs.put(held);
        }
        if written > 0 { Ok(written) } else { result.map(|()| 0) }
    }

    /// What a read gives when no bytes can be had any more.
    fn ended(&self) -> Option<io::Result<usize>> {
        let session = self.session.borrow();
        if let Some(fault) = session.fault() {
            return Some(Err(fault.into()));
        }
        session.has_ended().then_some(Ok(0))
    }

    fn finish(&mut self, result: io::Result<usize>) -> Poll<ReadResult> {
        self.posted = false;
        self.cancelled = false;
        Poll::Ready((result, self.dst.take().unwrap_or_default()))
    }
}

impl ReadPort for TlsPort {
    fn post(&mut self, buf: Buf) {
        assert!(!self.posted, "one read at a time");
        self.posted = true;
        let has_room = buf.room() > 0;
        self.dst = Some(buf);
        if has_room && !self.has_ready() {
            self.post_socket();
        }
    }

    fn is_posted(&self) -> bool {
        self.posted
    }

    fn has_more(&mut self) -> bool {
        assert!(!self.posted, "no read is posted");
        // Without room for data, only messages of TLS are taken in; a fault is kept for the next read.
        self.dst = Some(Buf::default());
        self.open_held().ok();
        self.dst = None;
        self.has_ready() || self.inner.has_more()
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<ReadResult> {
        assert!(self.posted, "a read is posted");
        loop {
            if !self.inner.is_posted() {
                // Without room nothing can be delivered, and "0 bytes" would be the peer's end.
                if self.dst.as_ref().is_some_and(|dst| dst.room() == 0) {
                    return self.finish(Err(io::ErrorKind::InvalidInput.into()));
                }
                match self.open_held() {
                    Ok(0) => {}
                    Ok(n) => return self.finish(Ok(n)),
                    Err(fault) => return self.finish(Err(fault.into())),
                }
                if let Some(result) = self.ended() {
                    return self.finish(result);
                }
                if self.cancelled {
                    return self.finish(Err(io::Error::from_raw_os_error(libc::ECANCELED)));
                }
                self.post_socket();
            }
            let (result, buf) = match self.inner.poll_read(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(ready) => ready,
            };
            let got = match self.take(buf) {
                Ok(got) => got,
                Err(fault) => return self.finish(Err(fault.into())),
            };
            match result {
                _ if got > 0 => return self.finish(Ok(got)),
                // The end of the bytes without close_notify: what came may have been cut (RFC 8446 section 6.1).
                Ok(0) if self.ended().is_none() => {
                    return self.finish(Err(io::ErrorKind::UnexpectedEof.into()));
                }
                Ok(_) => {}
                Err(error) => return self.finish(Err(error)),
            }
        }
    }

    fn cancel(&mut self) -> Asked {
        let asked = self.inner.cancel();
        self.cancelled = self.posted && asked == Asked::Ends;
        asked
    }
}

//! The read side of a socket: at most one read is posted, it owns its buffer, and it may stay posted across
//! requests. Nobody ever drops a posted read of a socket that is to be used again.

use std::future::Future;
use std::io;
use std::os::fd::RawFd;
use std::pin::Pin;
use std::task::{Context, Poll};

use monoio::io::{AsyncReadRent, CancelHandle, CancelableAsyncReadRent, Canceller, OwnedReadHalf};

use crate::buf::Buf;
use crate::cancel::{self, Asked, Way};
use crate::sys;

/// What a read gives: how many bytes were appended to the buffer (0: the peer ended), and the buffer.
pub type ReadResult = (io::Result<usize>, Buf);

/// A source of bytes with at most one read posted.
pub trait ReadPort {
    /// Posts a read that appends to `buf`. There must be none posted.
    fn post(&mut self, buf: Buf);

    /// Whether a read is posted.
    fn is_posted(&self) -> bool;

    /// Whether more may have come than the last read gave: it filled its buffer, TLS holds bytes or an end that were
    /// read with it, or, where asking is no dearer than to read (epoll), the socket says so. There must be none posted.
    fn has_more(&mut self) -> bool;

    /// Asks the posted read. After `Ready` none is posted.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<ReadResult>;

    /// Asks the posted read to end soon; it must still be awaited, and gives the bytes that raced with that. Costs a
    /// system call: not for a request's way.
    fn cancel(&mut self) -> Asked;
}

impl dyn ReadPort + '_ {
    /// Posts a read if none is posted, and waits for it.
    pub async fn read(&mut self, buf: impl FnOnce() -> Buf) -> ReadResult {
        if !self.is_posted() {
            self.post(buf());
        }
        std::future::poll_fn(|cx| self.poll_read(cx)).await
    }
}

/// The port of a half of the socket `fd`, whose reads are futures `F`.
struct SocketPort<T, F> {
    half: OwnedReadHalf<T>,
    fd: RawFd,
    canceller: Option<Canceller>,
    start: fn(OwnedReadHalf<T>, Buf, Option<CancelHandle>) -> F,
    posted: Pin<Box<Option<F>>>,
    /// The last read had no room for more.
    filled: bool,
}

/// The read port of a half of the socket `fd`. Two allocations, for the life of the socket.
pub fn socket_port<T>(half: OwnedReadHalf<T>, fd: RawFd) -> Box<dyn ReadPort>
where
    T: AsyncReadRent + CancelableAsyncReadRent + 'static,
{
    Box::new(SocketPort {
        half,
        fd,
        canceller: None,
        start: read_once::<T>,
        posted: Box::pin(None),
        filled: false,
    })
}

async fn read_once<T>(mut half: OwnedReadHalf<T>, buf: Buf, cancel: Option<CancelHandle>) -> ReadResult
where
    T: AsyncReadRent + CancelableAsyncReadRent,
{
    match cancel {
        None => half.read(buf).await,
        Some(handle) => half.cancelable_read(buf, handle).await,
    }
}

impl<T, F: Future<Output = ReadResult>> ReadPort for SocketPort<T, F> {
    fn post(&mut self, buf: Buf) {
        assert!(self.posted.is_none(), "one read at a time");
        let handle = match cancel::way() {
            Way::Handle => Some(self.canceller.get_or_insert_default().handle()),
            Way::Tell(_) | Way::None => None,
        };
        let half = OwnedReadHalf(self.half.0.clone());
        self.posted.as_mut().set(Some((self.start)(half, buf, handle)));
    }

    fn is_posted(&self) -> bool {
        self.posted.is_some()
    }

    fn has_more(&mut self) -> bool {
        self.filled || cancel::way() == Way::Handle && sys::has_come(self.fd)
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<ReadResult> {
        let posted = self.posted.as_mut().as_pin_mut().expect("a read is posted");
        let read = posted.poll(cx);
        if let Poll::Ready((_, buf)) = &read {
            self.filled = buf.room() == 0;
            self.posted.as_mut().set(None);
        }
        read
    }

    fn cancel(&mut self) -> Asked {
        match (cancel::way(), self.canceller.take()) {
            (Way::Tell(ring), _) => cancel::tell(ring, self.fd),
            (_, Some(canceller)) => {
                self.canceller = Some(canceller.cancel());
                Asked::Ends
            }
            (_, None) => Asked::Cannot,
        }
    }
}

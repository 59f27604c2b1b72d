//! The read side of a socket: at most one read is posted, it owns its buffer, and it may stay posted across
//! requests. Nobody ever drops a posted read of a socket that is to be used again.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use monoio::io::{AsyncReadRent, CancelHandle, CancelableAsyncReadRent, Canceller};

use crate::buf::Buf;

/// What a read gives: how many bytes were appended to the buffer (0: the peer ended), and the buffer.
pub type ReadResult = (io::Result<usize>, Buf);

/// A source of bytes with at most one read posted.
pub trait ReadPort {
    /// Posts a read that appends to `buf`. There must be none posted.
    fn post(&mut self, buf: Buf);

    /// Whether a read is posted.
    fn is_posted(&self) -> bool;

    /// Asks the posted read. After `Ready` none is posted.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<ReadResult>;

    /// From the next post on, reads may be cancelled. Costs each of them an entry in a small set (about 50 ns), so
    /// a connection that carries one request does without.
    fn allow_cancel(&mut self);

    /// Asks the posted read to end soon, if that was allowed before it was posted; it must still be awaited, and gives the bytes that raced with the
    /// cancellation. Costs an allocation and two ring entries: not for a request's way.
    fn cancel(&mut self);
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

/// The port of a runtime socket half `H` whose read is the future `F`.
struct SocketPort<H, F> {
    half: Option<H>,
    canceller: Option<Canceller>,
    start: fn(H, Buf, Option<CancelHandle>) -> F,
    posted: Pin<Box<Option<F>>>,
}

/// The read port of a socket half. Two allocations, for the life of the socket.
pub fn socket_port<H>(half: H) -> Box<dyn ReadPort>
where
    H: AsyncReadRent + CancelableAsyncReadRent + 'static,
{
    fn build<H, F>(half: H, start: fn(H, Buf, Option<CancelHandle>) -> F) -> Box<dyn ReadPort>
    where
        H: 'static,
        F: Future<Output = (io::Result<usize>, Buf, H)> + 'static,
    {
        Box::new(SocketPort { half: Some(half), canceller: None, start, posted: Box::pin(None) })
    }
    build(half, read_once::<H>)
}

async fn read_once<H>(mut half: H, buf: Buf, cancel: Option<CancelHandle>) -> (io::Result<usize>, Buf, H)
where
    H: AsyncReadRent + CancelableAsyncReadRent,
{
    let (result, buf) = match cancel {
        None => half.read(buf).await,
        Some(handle) => half.cancelable_read(buf, handle).await,
    };
    (result, buf, half)
}

impl<H, F> ReadPort for SocketPort<H, F>
where
    F: Future<Output = (io::Result<usize>, Buf, H)>,
{
    fn post(&mut self, buf: Buf) {
        let half = self.half.take().expect("one read at a time");
        let handle = self.canceller.as_ref().map(Canceller::handle);
        self.posted.as_mut().set(Some((self.start)(half, buf, handle)));
    }

    fn is_posted(&self) -> bool {
        self.posted.is_some()
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<ReadResult> {
        let posted = self.posted.as_mut().as_pin_mut().expect("a read is posted");
        match posted.poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready((result, buf, half)) => {
                self.posted.as_mut().set(None);
                self.half = Some(half);
                Poll::Ready((result, buf))
            }
        }
    }

    fn allow_cancel(&mut self) {
        self.canceller.get_or_insert_default();
    }

    fn cancel(&mut self) {
        if let Some(canceller) = self.canceller.take() {
            self.canceller = Some(canceller.cancel());
        }
    }
}

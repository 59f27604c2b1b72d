//! From the client to the upstream: the body of the request, then the watch for a client that goes away.
//!
//! A client that closes its side before it has its answer is taken to be gone, as one that has left looks the same:
//! its call is given up, up to the upstream. An answer that is there before the client is watched still goes to it.

use std::future::{pending, poll_fn};
use std::io;
use std::task::Poll;
use std::time::Duration;

use penstock_http::Code;
use penstock_http::body::{BodyReader, Kind, Then};

use crate::buf::{Buf, BufPool};
use crate::call::Counters;
use crate::deadline::{Action, Timer};
use crate::port::ReadPort;
use crate::stream::Writer;
use crate::sys::{self, Side};

/// Before this has passed, no floor rate is asked of a body, in nanoseconds.
pub const RATE_GRACE_NS: u64 = 10_000_000_000;

/// When a body that began at `began_ns` and has brought `content` bytes falls below `rate_min` bytes a second;
/// [`u64::MAX`]: never. Monotonic ns.
pub fn floor_ns(rate_min: Option<u64>, began_ns: u64, content: u64) -> u64 {
    match rate_min {
        Some(rate) if rate > 0 => began_ns
            .saturating_add(RATE_GRACE_NS)
            .saturating_add(content.saturating_mul(1_000_000_000) / rate),
        _ => u64::MAX,
    }
}

/// How long an answer may take before the client is watched, in nanoseconds. Most answers are there by then, and a read
/// that is posted only after them often finds the next request: it then costs the kernel no wait.
pub const WATCH_AFTER_NS: u64 = 10_000_000;
/// Bytes of the buffer with which a client is watched that says that it sends no more.
pub const LAST_BYTES: usize = 64;

/// Why the way up ended before the answer was complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// The request is at fault; nothing more of it is read.
    Refused(Code),
    /// The client has closed its side or reset the connection.
    ClientGone,
}

/// What of the body came with the head: judged before anything is sent upstream, sent with the head in one write,
/// and kept for a second try. Of a signed request it is the whole body.
#[derive(Debug, Default)]
pub struct FirstPiece {
    /// Bytes to send behind the head.
    pub bytes: Vec<u8>,
    /// Bytes of content among them.
    pub content: u64,
    digest: Option<Sha256>,
    bare: bool,
}

/// How a body is taken.
#[derive(Debug, Clone, Copy)]
pub struct Taking {
    /// The SHA-256 of its content is wanted.
    pub digested: bool,
    /// With its framing as it came, to be sent on so; else its content alone.
    pub framed: bool,
}

impl FirstPiece {
    /// Takes it from the pending bytes.
    ///
    /// # Errors
    /// The code of the answer to give: the body is malformed or too large.
    pub fn take(
        &mut self,
        pending: &mut Buf,
        body: &mut BodyReader,
        bytes_max: Option<u64>,
        taking: Taking,
    ) -> Result<(), Code> {
        self.bytes.clear();
        self.content = 0;
        self.digest = taking.digested.then(Sha256::new);
        self.bare = !taking.framed;
        self.more(pending, body, bytes_max)
    }

    /// Frees what a long signed body took, so that no scratch set keeps it.
    pub fn forget_large(&mut self) {
        if self.bytes.capacity() > crate::buf::LARGE {
            self.bytes = Vec::new();
        }
    }

    /// Takes more of it.
    ///
    /// # Errors
    /// As [`FirstPiece::take`].
    pub fn more(
        &mut self,
        pending: &mut Buf,
        body: &mut BodyReader,
        bytes_max: Option<u64>,
    ) -> Result<(), Code> {
        loop {
            let input = pending.bytes();
            let relay = match &mut self.digest {
                None if !self.bare => body.relay(input).map_err(|refusal| refusal.code)?,
                digest => {
                    let step = body.step(input).map_err(|refusal| refusal.code)?;
                    if let (Some(digest), Kind::Data) = (digest, step.kind) {
                        digest.update(&input[..step.len]);
                    }
                    step.relay(!self.bare)
                }
            };
            self.content += relay.content as u64;
            if is_too_large(body, self.content, bytes_max) {
                return Err(Code::BodyTooLarge);
            }
            self.bytes.extend_from_slice(&input[..relay.forward]);
            pending.consume(relay.forward + relay.skip);
            match relay.then {
                Then::Again => {}
                Then::Trailers => {
                    if let Some(trailers) = body.trailers().filter(|_| !self.bare) {
                        trailers.write(&mut self.bytes);
                    }
                }
                Then::NeedMore | Then::End => return Ok(()),
            }
        }
    }

    /// Whether the content that was taken has this SHA-256.
    pub fn is_digest(&mut self, expected: [u8; 32]) -> bool {
        self.digest.take().is_some_and(|digest| digest.finish() == expected)
    }
}

/// A SHA-256 under way.
struct Sha256(aws_lc_rs::digest::Context);

impl Sha256 {
    fn new() -> Self {
        Self(aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256))
    }

    fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(self) -> [u8; 32] {
        let mut out = [0; 32];
        out.copy_from_slice(self.0.finish().as_ref());
        out
    }
}

impl std::fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sha256")
    }
}

fn is_too_large(body: &BodyReader, content: u64, bytes_max: Option<u64>) -> bool {
    bytes_max.is_some_and(|max| content.max(body.announced().unwrap_or(0)) > max)
}

/// The client's side of a call that is under way.
pub struct Uplink<'a> {
    /// Reads of the client.
    pub reader: &'a mut dyn ReadPort,
    /// Their deadline.
    pub read_timer: &'a Timer,
    /// Bytes that were read and belong to what follows the head.
    pub pending: &'a mut Buf,
    /// The upstream.
    pub writer: &'a mut Writer,
    /// The deadline of the upstream's socket.
    pub upstream_timer: &'a Timer,
    /// Where the body ends.
    pub body: &'a mut BodyReader,
    /// Buffers.
    pub bufs: &'a BufPool,
    /// Counters.
    pub counters: &'a Counters,
    /// Bytes of content that were sent with the head.
    pub content: u64,
    /// No request follows on the connection.
    pub last: bool,
    /// Rules of the route.
    pub rules: BodyRules,
}

/// What a route asks of a request's body.
#[derive(Debug, Clone, Copy)]
pub struct BodyRules {
    /// Bytes of content at most.
    pub bytes_max: Option<u64>,
    /// Bytes a second at least, once [`RATE_GRACE_NS`] has passed.
    pub rate_min: Option<u64>,
    /// Between two reads of the client or writes to the upstream.
    pub idle: Duration,
    /// From the last byte of the request to the first of the answer.
    pub first_byte: Duration,
    /// When the call as a whole has taken too long, monotonic ns; [`u64::MAX`]: never.
    pub total_until_ns: u64,
}

impl Uplink<'_> {
    /// Sends what is left of the body, tells so in the counters, and then watches the client. Ends only when the
    /// call cannot go on; dropping it is safe (reads stay posted in their port).
    pub async fn run(&mut self) -> Stop {
        if !self.body.is_done() {
            match self.send_body().await {
                Ok(()) => {
                    self.upstream_has(Some(self.rules.first_byte));
                    self.counters.sent.set(true);
                }
                Err(Some(stop)) => return stop,
                // The upstream takes no more; what it answers decides.
                Err(None) => return pending().await,
            }
        }
        self.watch().await
    }

    async fn send_body(&mut self) -> Result<(), Option<Stop>> {
        let mut began_ns = sys::monotonic_ns();
        let mut content = self.content;
        loop {
            let mut buf = std::mem::take(self.pending);
            loop {
                let relay = self.body.relay(buf.bytes()).map_err(|r| Some(Stop::Refused(r.code)))?;
                content += relay.content as u64;
                self.counters.content_in.set(content);
                if is_too_large(self.body, content, self.rules.bytes_max) {
                    return Err(Some(Stop::Refused(Code::BodyTooLarge)));
                }
                if relay.forward > 0 {
                    let from_ns = sys::tick_ns();
                    buf = self.write(buf, relay.forward).await?;
                    // The time for which the upstream took nothing is not the client's.
                    began_ns += sys::tick_ns().saturating_sub(from_ns);
                }
                buf.consume(relay.skip);
                match relay.then {
                    Then::Again => {}
                    Then::Trailers => {
                        let mut lines = Vec::new();
                        if let Some(trailers) = self.body.trailers() {
                            trailers.write(&mut lines);
                        }
                        let mut out = Buf::with_capacity(lines.len());
                        out.push(&lines);
                        self.write(out, lines.len()).await?;
                    }
                    Then::NeedMore => break,
                    Then::End => {
                        // What was read behind it belongs to the next request.
                        self.counters.bytes_in.set(self.counters.bytes_in.get() - buf.len() as u64);
                        *self.pending = buf;
                        return Ok(());
                    }
                }
            }
            if buf.capacity() != crate::buf::LARGE {
                self.bufs.put(buf);
                buf = self.bufs.large();
            }
            *self.pending = self.read(buf, began_ns, content).await?;
        }
    }

    /// Gives the upstream this long, or nothing to do but to wait for the client (`None`). Once it answers, the
    /// answer's side keeps the deadline.
    fn upstream_has(&self, patience: Option<Duration>) {
        if self.counters.answering.get() {
            return;
        }
        let until_ns =
            patience.map_or(u64::MAX, |patience| sys::tick_ns().saturating_add(patience.as_nanos() as u64));
        let until_ns = until_ns.min(self.rules.total_until_ns);
        self.upstream_timer.arm(until_ns, Action::Shutdown(Side::Both));
    }

    async fn write(&mut self, buf: Buf, n: usize) -> Result<Buf, Option<Stop>> {
        self.upstream_has(Some(self.rules.idle));
        let (result, buf) = self.writer.write(buf, n).await;
        self.counters.upstream_out.set(self.counters.upstream_out.get() + n as u64);
        match result {
            Ok(()) => Ok(buf),
            Err(_) => Err(None),
        }
    }

    async fn read(&mut self, buf: Buf, began_ns: u64, content: u64) -> Result<Buf, Option<Stop>> {
        self.upstream_has(None);
        let idle_ns = sys::tick_ns() + self.rules.idle.as_nanos() as u64;
        let floor_ns = floor_ns(self.rules.rate_min, began_ns, content);
        self.read_timer.arm(idle_ns.min(floor_ns), Action::Shutdown(Side::Read));
        if !self.reader.is_posted() {
            self.reader.post(buf);
        } else {
            self.bufs.put(buf);
        }
        let reader = &mut *self.reader;
        let (result, buf) = poll_fn(|cx| reader.poll_read(cx)).await;
        match result {
            Ok(n) if n > 0 => {
                self.read_timer.disarm();
                self.counters.bytes_in.set(self.counters.bytes_in.get() + n as u64);
                Ok(buf)
            }
            _ if self.read_timer.fired() => {
                let slow = floor_ns < idle_ns;
                Err(Some(Stop::Refused(if slow { Code::BodyTooSlow } else { Code::BodyTimeout })))
            }
            _ => Err(Some(Stop::ClientGone)),
        }
    }

    /// Once the answer has taken a while, keeps a read posted: it notices a client that goes away, and becomes the read
    /// of the next head.
    async fn watch(&mut self) -> Stop {
        if !self.pending.is_empty() {
            return pending().await; // the next request is here already
        }
        self.bufs.put(std::mem::take(self.pending));
        if self.reader.is_posted() {
            self.read_timer.disarm();
        } else {
            self.read_timer.arm(sys::tick_ns() + WATCH_AFTER_NS, Action::Wake);
            let read_timer = self.read_timer;
            poll_fn(|_| if read_timer.fired() { Poll::Ready(()) } else { Poll::Pending }).await;
            // The buffer of a read that is still posted when the connection closes is lost to the pool.
            let buf = if self.last { Buf::with_capacity(LAST_BYTES) } else { self.bufs.small() };
            self.reader.post(buf);
        }
        loop {
            let (result, buf) = poll_fn(|cx| self.reader.poll_read(cx)).await;
            match result {
                Ok(n) if n > 0 => {
                    *self.pending = buf;
                    return pending().await;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => self.reader.post(buf),
                _ => return Stop::ClientGone,
            }
        }
    }
}

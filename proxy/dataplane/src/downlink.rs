//! From the upstream to the client: the answer's head, judged and written anew, and its body, in bounded buffers.

use std::future::poll_fn;
use std::io;
use std::time::Duration;

use penstock_http::body::{BodyReader, Relay, Then};
use penstock_http::write;
use penstock_http::{Asked, BodyFraming, ChunkWriter, Code, HeadLimits, Parsed, ResponseHead, Version};
use penstock_ring::CallStrings;

use crate::buf::{Buf, HEADROOM, LARGE, SMALL};
use crate::call::{Call, micros32};
use crate::deadline::{Action, Timer};
use crate::port::ReadPort;
use crate::shape::{ResponseShape, drop_names};
use crate::stream::Writer;
use crate::sys::{self, Side};
use crate::upstream::pool::Connection;
use crate::worker::Worker;

/// Interim (1xx) answers that one answer may have.
pub const INTERIM_MAX: usize = 16;
/// How long the upstream may leave an `Expect: 100-continue` unanswered before we answer it.
pub const CONTINUE_WAIT: Duration = Duration::from_secs(1);
/// What we answer it with.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// An answer that went through whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Done {
    /// The upstream's connection may carry another request.
    pub upstream_clean: bool,
    /// The client's connection may carry another request.
    pub client_keeps: bool,
    /// The answer did not fit a small buffer.
    pub large: bool,
}

/// An answer that did not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failed {
    /// Why.
    pub code: Code,
    /// Whether the client has been sent a part of the final answer, so that no other one can be given.
    pub begun: bool,
    /// Whether the upstream has sent anything at all.
    pub heard: bool,
    /// The status it answered with, where that is the failure (a retry was asked for by status).
    pub status: Option<u16>,
}

/// The answer's side of a call.
pub struct Downlink<'a> {
    /// Reads of the upstream.
    pub reader: &'a mut dyn ReadPort,
    /// The deadline of the upstream's socket.
    pub upstream_timer: &'a Timer,
    /// The client.
    pub writer: &'a mut Writer,
    /// The deadline of writes to it.
    pub write_timer: &'a Timer,
    /// The head to fill.
    pub head: &'a mut ResponseHead,
    /// Where the body ends.
    pub body: &'a mut BodyReader,
    /// A place to write heads in.
    pub out: &'a mut Vec<u8>,
    /// The call.
    pub call: &'a mut Call,
    /// Its strings, for the record.
    pub strings: CallStrings<'a>,
    /// What is changed of the answer, and what is asked of it.
    pub shape: ResponseShape<'a>,
    /// When the bytes at hand came, monotonic ns; 0 once anything else has been waited for.
    pub came_ns: u64,
    /// The answer is likely not to fit a small buffer.
    pub expects_large: bool,
    /// The worker.
    pub worker: &'a Worker,
}

/// How the body is framed for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outgoing {
    AsItCame,
    Bare,
    Chunks,
}

impl Downlink<'_> {
    /// Relays the answer.
    ///
    /// # Errors
    /// See [`Failed`].
    pub async fn run(&mut self) -> Result<Done, Failed> {
        let buf = self.read_head().await?;
        // The first byte has come. A client that is slow to read is no fault of the upstream's.
        self.call.counters.answering.set(true);
        self.upstream_timer.disarm();
        self.call.record.upstream_status = self.head.status;
        if self.shape.retry_statuses.contains(&self.head.status) {
            self.worker.bufs.put(buf);
            return Err(Failed {
                status: Some(self.head.status),
                heard: true,
                ..failed(Code::UpstreamUnavailable)
            });
        }
        self.relay(buf).await
    }

    /// Reads until the final head is complete; relays interim ones.
    pub(crate) async fn read_head(&mut self) -> Result<Buf, Failed> {
        let limits = HeadLimits::default();
        let asked = Asked { method: self.shape.method, upgrade: None };
        let mut interim = 0;
        let mut continued = false;
        let mut buf = Buf::default();
        loop {
            buf = self.read_head_bytes(buf, &mut continued).await?;
            loop {
                match self.head.parse(buf.bytes(), &limits, asked) {
                    Err(fault) => return Err(Failed { heard: true, ..failed(fault.code) }),
                    Ok(Parsed::Partial) => break,
                    Ok(Parsed::Complete) if !self.head.interim => return Ok(buf),
                    Ok(Parsed::Complete) => {
                        interim += 1;
                        if interim > INTERIM_MAX {
                            return Err(Failed { heard: true, ..failed(Code::UpstreamTooManyInterim) });
                        }
                        let again = self.head.status == 100 && std::mem::replace(&mut continued, true);
                        if !again && self.shape.client == Version::Http11 {
                            self.write_interim(buf.bytes()).await?;
                        }
                        buf.consume(self.head.head_len);
                        if buf.is_empty() {
                            break;
                        }
                    }
                }
            }
        }
    }

    async fn read_head_bytes(&mut self, mut buf: Buf, continued: &mut bool) -> Result<Buf, Failed> {
        let first = buf.is_empty();
        if buf.capacity() > 0 && buf.room() == 0 {
            buf.compact();
            if buf.room() == 0 {
                buf = self.worker.bufs.grow(buf);
            }
        }
        if self.reader.is_posted() {
            debug_assert!(buf.is_empty(), "a pooled read holds its own buffer");
        } else {
            if buf.capacity() == 0 {
                buf = Connection::answer_buf(self.expects_large, &self.worker.bufs);
            }
            self.reader.post(buf);
        }
        if self.shape.expects_continue && !*continued {
            let reader = &mut *self.reader;
            let read = poll_fn(|cx| reader.poll_read(cx));
            let wait = Box::pin(monoio::time::timeout(CONTINUE_WAIT, read)).await;
            match wait {
                Ok(read) => return self.head_bytes(read, first),
                Err(_) => {
                    *continued = true;
                    let mut out = self.worker.bufs.small();
                    out.push(CONTINUE);
                    self.write_client(out, sys::monotonic_ns()).await?;
                }
            }
        }
        let reader = &mut *self.reader;
        let read = poll_fn(|cx| reader.poll_read(cx)).await;
        self.head_bytes(read, first)
    }

    fn head_bytes(&mut self, (result, buf): (io::Result<usize>, Buf), first: bool) -> Result<Buf, Failed> {
        match result {
            Ok(n) if n > 0 => {
                self.came_ns = sys::monotonic_ns();
                if self.call.record.first_byte_us == 0 {
                    let since_ns = self.came_ns.saturating_sub(self.call.head_ns);
                    self.call.record.first_byte_us = micros32(since_ns).max(1);
                }
                self.call.record.upstream_bytes_in += n as u64;
                Ok(buf)
            }
            _ if self.upstream_timer.fired() => {
                Err(Failed { heard: !first, ..failed(self.shape.late(Code::UpstreamFirstByteTimeout)) })
            }
            Ok(_) => Err(Failed { heard: !first, ..failed(Code::UpstreamClosedEarly) }),
            Err(_) => Err(Failed { heard: !first, ..failed(Code::UpstreamReset) }),
        }
    }

    async fn write_interim(&mut self, head: &[u8]) -> Result<(), Failed> {
        self.begin_head(head);
        write::end(self.out);
        let out = self.worker.bufs.filled(&[self.out]);
        self.came_ns = 0;
        self.write_client(out, sys::monotonic_ns()).await
    }

    /// Writes into `out` what the client gets of the upstream's head as it came: the status and the fields that pass.
    fn begin_head(&mut self, head: &[u8]) {
        self.out.clear();
        write::status_line(self.out, self.head.status);
        drop_names(&mut self.head.fields, head, self.shape.drops);
        write::copy_fields(self.out, head, &self.head.fields, self.shape.drops.known);
    }

    async fn relay(&mut self, mut buf: Buf) -> Result<Done, Failed> {
        let (outgoing, client_keeps) = self.write_head(buf.bytes());
        buf.consume(self.head.head_len);
        self.body.begin_response(self.head.framing);
        self.call.record.status = self.head.status;
        let mut chunks = ChunkWriter::new();
        let mut head_left = true;
        loop {
            let mut complete = self.body.is_done();
            while !complete {
                let relay = self.judge(buf.bytes(), outgoing).map_err(|code| self.broken(code, head_left))?;
                if outgoing == Outgoing::Chunks
                    && let Some(head) = chunks.head(relay.forward)
                {
                    self.out.extend_from_slice(head.as_slice());
                    head_left = true; // what stands in `out` goes before the bytes of the buffer
                }
                complete = relay.then == Then::End || self.body.is_done();
                self.call.content_out += relay.content as u64;
                buf = self.pass(buf, relay.forward, &mut head_left, complete).await?;
                buf.consume(relay.skip);
                match relay.then {
                    Then::Again | Then::End => {}
                    Then::Trailers => {
                        if outgoing == Outgoing::AsItCame
                            && let Some(trailers) = self.body.trailers()
                        {
                            trailers.write(self.out);
                            head_left = true;
                        }
                    }
                    Then::NeedMore => break,
                }
            }
            if complete {
                if head_left {
                    buf = self.pass(buf, 0, &mut head_left, true).await?;
                }
                let upstream_clean =
                    self.head.keep_alive && self.head.framing != BodyFraming::UntilClose && buf.is_empty();
                self.worker.bufs.put(buf);
                if !self.call.is_published() {
                    // The last bytes of the body were framing that the client does not get.
                    self.publish(sys::monotonic_ns());
                }
                return Ok(Done { upstream_clean, client_keeps, large: self.is_large() });
            }
            if head_left {
                buf = self.pass(buf, 0, &mut head_left, false).await?;
            }
            debug_assert!(buf.is_empty(), "what needs more has used what there was");
            match self.read_body(buf).await? {
                Some(more) => buf = more,
                None => {
                    // The body ended with its connection.
                    if outgoing == Outgoing::Chunks {
                        self.out.clear();
                        chunks.finish(None, self.out);
                        head_left = true;
                        self.pass(Buf::default(), 0, &mut head_left, true).await?;
                    } else {
                        self.publish(sys::monotonic_ns());
                    }
                    return Ok(Done { upstream_clean: false, client_keeps, large: false });
                }
            }
        }
    }

    /// Writes the client's head into `out`; says how the body goes on and whether the connection lives on.
    fn write_head(&mut self, head: &[u8]) -> (Outgoing, bool) {
        let (framing, outgoing) = match (self.head.framing, self.shape.client) {
            (BodyFraming::UntilClose, Version::Http10) => (BodyFraming::UntilClose, Outgoing::Bare),
            (BodyFraming::UntilClose, _) => (BodyFraming::Chunked, Outgoing::Chunks),
            (BodyFraming::Chunked, Version::Http10) => (BodyFraming::UntilClose, Outgoing::Bare),
            (framing, _) => (framing, Outgoing::AsItCame),
        };
        let keeps =
            self.shape.keep_alive && framing != BodyFraming::UntilClose && !self.worker.draining.get();
        self.begin_head(head);
        write::response_framing(self.out, framing, self.head.content_length);
        self.out.extend_from_slice(self.shape.fields);
        write::connection(self.out, keeps, self.shape.client);
        write::end(self.out);
        (outgoing, keeps)
    }

    fn judge(&mut self, input: &[u8], outgoing: Outgoing) -> Result<Relay, Code> {
        if outgoing == Outgoing::AsItCame {
            return self.body.relay(input).map_err(|_| Code::UpstreamBadResponse);
        }
        let step = self.body.step(input).map_err(|_| Code::UpstreamBadResponse)?;
        Ok(step.relay(false))
    }

    /// The content at the front of these bytes, without its framing.
    pub(crate) fn content(&mut self, input: &[u8]) -> Result<Relay, Failed> {
        match self.body.step(input) {
            Ok(step) => Ok(step.relay(false)),
            Err(_) => Err(Failed { heard: true, ..failed(Code::UpstreamBadResponse) }),
        }
    }

    /// Sends what stands in `out`, if anything is left there, and then the first `n` bytes of `buf`. Publishes the
    /// record first if that completes the answer.
    async fn pass(
        &mut self,
        mut buf: Buf,
        n: usize,
        head_left: &mut bool,
        last: bool,
    ) -> Result<Buf, Failed> {
        let head_len = if *head_left { self.out.len() } else { 0 };
        if head_len + n == 0 {
            return Ok(buf);
        }
        self.call.record.bytes_out += (head_len + n) as u64;
        let now_ns = match std::mem::take(&mut self.came_ns) {
            0 => sys::monotonic_ns(),
            came_ns => came_ns, // a microsecond ago
        };
        if last {
            self.call.last_send = (head_len + n) as u64;
            self.publish(now_ns);
        }
        let result = if head_len > 0 && buf.prepend(self.out) {
            *head_left = false;
            self.out.clear();
            self.arm_write(now_ns);
            let (result, back) = self.writer.write(buf, head_len + n).await;
            self.write_timer.disarm();
            buf = back;
            result.map_err(|_| self.client_lost())
        } else if head_len > 0 && head_len + n <= LARGE {
            let out = self.worker.bufs.filled(&[self.out, &buf.bytes()[..n]]);
            *head_left = false;
            self.out.clear();
            buf.consume(n);
            self.write_client(out, now_ns).await
        } else {
            let mut head_sent = Ok(());
            if head_len > 0 {
                let out = self.worker.bufs.filled(&[self.out]);
                *head_left = false;
                self.out.clear();
                head_sent = self.write_client(out, now_ns).await;
            }
            match head_sent {
                Err(lost) => Err(lost),
                Ok(()) => {
                    self.arm_write(now_ns);
                    let (result, back) = self.writer.write(buf, n).await;
                    self.write_timer.disarm();
                    buf = back;
                    result.map_err(|_| self.client_lost())
                }
            }
        };
        if last {
            let gone = result.is_err().then_some(Code::ClientGone);
            let unsure = if gone.is_some() { self.call.last_send } else { 0 };
            self.call.sent_last(self.worker, now_ns, gone, self.call.record.bytes_out - unsure);
        }
        result.map(|()| buf)
    }

    fn is_large(&self) -> bool {
        self.call.record.upstream_bytes_in > (SMALL - HEADROOM) as u64
    }

    /// Publishes the record: what follows is the send that completes the answer.
    pub(crate) fn publish(&mut self, now_ns: u64) {
        self.call.settled_ns = now_ns;
        let bytes_out = self.call.record.bytes_out;
        self.call.publish(self.worker, &self.strings, now_ns, bytes_out);
    }

    /// Gives the write that follows its time. Taken back when it has ended: a pause of the upstream is no fault of the
    /// client's.
    fn arm_write(&self, now_ns: u64) {
        let until_ns = now_ns + self.shape.write_timeout.as_nanos() as u64;
        self.write_timer.arm(until_ns, Action::Shutdown(Side::Both));
    }

    pub(crate) async fn write_client(&mut self, out: Buf, now_ns: u64) -> Result<(), Failed> {
        self.arm_write(now_ns);
        let (result, out) = self.writer.write_all(out).await;
        self.write_timer.disarm();
        self.worker.bufs.put(out);
        result.map_err(|_| self.client_lost())
    }

    fn client_lost(&self) -> Failed {
        Failed { begun: true, heard: true, ..failed(Code::ClientGone) }
    }

    fn broken(&self, code: Code, head_left: bool) -> Failed {
        Failed { begun: !head_left || self.call.record.bytes_out > 0, heard: true, ..failed(code) }
    }

    /// The next bytes of the body; `None` where the connection's end is the body's.
    pub(crate) async fn read_body(&mut self, mut buf: Buf) -> Result<Option<Buf>, Failed> {
        if buf.capacity() != LARGE {
            self.worker.bufs.put(buf);
            buf = self.worker.bufs.large();
        }
        let until_ns = self.shape.until(sys::tick_ns(), self.shape.idle);
        self.upstream_timer.arm(until_ns, Action::Shutdown(Side::Both));
        self.reader.post(buf);
        let reader = &mut *self.reader;
        let (result, buf) = poll_fn(|cx| reader.poll_read(cx)).await;
        let code = match result {
            Ok(n) if n > 0 => {
                self.upstream_timer.disarm();
                self.call.record.upstream_bytes_in += n as u64;
                return Ok(Some(buf));
            }
            _ if self.upstream_timer.fired() => self.shape.late(Code::UpstreamIdleTimeout),
            Ok(_) if self.body.is_done_at_eof() => return Ok(None),
            Ok(_) => Code::UpstreamClosedEarly,
            Err(_) => Code::UpstreamReset,
        };
        Err(Failed { begun: true, heard: true, ..failed(code) })
    }
}

fn failed(code: Code) -> Failed {
    Failed { code, begun: false, heard: false, status: None }
}

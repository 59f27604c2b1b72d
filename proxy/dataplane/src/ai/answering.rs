//! The answer's side of an attempt: the provider's head, judged; an answer that is read whole; a stream that goes to the
//! client event by event.

use penstock_ai::dialect::Dialect;
use penstock_ai::provider::{Errors, Media};
use penstock_ai::refusal::Refusal;
use penstock_ai::relay::{Noted, Passed, StreamRelay};
use penstock_ai::routing;
use penstock_ai::sse::{EventType, write_event};
use penstock_http::body::Then;
use penstock_http::{BodyFraming, Code, FieldId, FieldTable, Version, write};

use super::attempt::Attempt;
use crate::buf::Buf;
use crate::call::micros32;
use crate::downlink::{Downlink, Failed};
use crate::sys;

/// Bytes that a provider's answer may have, if it is not a stream.
pub const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Fields of a provider's answer that callers get: what their SDKs read. Its limits and its organisation are ours.
const PASSED: [&str; 3] = ["request-id", "x-should-retry", "openai-processing-ms"];

/// An answer that is here whole; nothing of it has gone to the client.
#[derive(Debug, Default)]
pub struct Whole {
    /// Its status.
    pub status: u16,
    /// Its head, as it came, if its status is not 200.
    pub head: Vec<u8>,
    /// Its content.
    pub body: Vec<u8>,
    /// Whole field lines that the client gets.
    pub lines: Vec<u8>,
    /// Its connection may carry another request.
    pub clean: bool,
}

/// A stream that has gone to the client, as far as it came.
#[derive(Debug)]
pub struct Streamed {
    /// Its connection may carry another request.
    pub clean: bool,
    /// The client's connection may carry another request.
    pub client_keeps: bool,
    /// What went wrong on the way, told to the client in the stream.
    pub code: Option<Code>,
}

/// How an attempt ended whose answer came.
#[derive(Debug)]
pub enum Got {
    /// See [`Whole`].
    Whole(Whole),
    /// See [`Streamed`].
    Streamed(Streamed),
}

/// The answer's side.
pub struct Answering<'a, 'd, 't> {
    /// Reads and writes.
    pub down: Downlink<'d>,
    /// The stream, if one was asked for.
    pub relay: Option<&'a mut StreamRelay>,
    /// The form of the provider's stream.
    pub media: Media,
    /// How the provider tells its errors.
    pub errors: &'a Errors,
    /// The dialect of the client.
    pub to: Dialect,
    /// Patience for the first token, monotonic ns.
    pub first_token_until_ns: u64,
    /// When the request was with the provider, monotonic ns.
    pub sent_ns: u64,
    /// The attempt as routing knows it, which learns of the first token and of the provider's limits.
    pub routed: &'a routing::Attempt<'a>,
    /// The attempt, which is settled before its record is published.
    pub attempt: &'a mut Attempt<'t>,
}

impl Answering<'_, '_, '_> {
    /// Reads the answer; a stream goes to the client as it comes.
    ///
    /// # Errors
    /// See [`Failed`]; nothing has gone to the client unless it says so.
    pub async fn run(&mut self) -> Result<Got, Failed> {
        let mut buf = self.down.read_head().await?;
        self.down.call.counters.answering.set(true);
        self.down.upstream_timer.disarm();
        let status = self.down.head.status;
        self.down.call.record.upstream_status = status;
        let head_len = self.down.head.head_len;
        let head = &buf.bytes()[..head_len];
        let encoded = text(&self.down.head.fields, head, FieldId::ContentEncoding);
        if encoded.is_some_and(|encoding| !encoding.eq_ignore_ascii_case("identity")) {
            return Err(bad_answer()); // it was asked for none
        }
        let kind = text(&self.down.head.fields, head, FieldId::ContentType).unwrap_or_default();
        let media = kind.split(';').next().unwrap_or_default().trim();
        let is_stream =
            status == 200 && self.relay.is_some() && media.eq_ignore_ascii_case(self.media.media_type());
        let mut lines = Vec::new();
        for name in PASSED {
            if let Some(value) = named(&self.down.head.fields, head, name) {
                lines.extend_from_slice(name.as_bytes());
                lines.extend_from_slice(b": ");
                lines.extend_from_slice(value.as_bytes());
                lines.extend_from_slice(b"\r\n");
            }
        }
        if status == 200 {
            let kind = self.attempt.to.provider.kind;
            let value = |name: &str| named(&self.down.head.fields, head, name);
            let now_ns = sys::monotonic_ns();
            let headroom = kind.rate_limit.read(value, self.down.worker.wall_ns(now_ns) / 1_000_000);
            self.routed.headroom(now_ns, &headroom);
        }
        let head = if status == 200 { Vec::new() } else { head.to_vec() };
        buf.consume(head_len);
        self.down.body.begin_response(self.down.head.framing);
        if is_stream {
            return self.stream(buf, &lines).await.map(Got::Streamed);
        }
        let (body, clean) = self.whole(buf).await?;
        Ok(Got::Whole(Whole { status, head, body, lines, clean }))
    }

    async fn whole(&mut self, mut buf: Buf) -> Result<(Vec<u8>, bool), Failed> {
        let expected = self.down.head.content_length.unwrap_or(0);
        if expected > ANSWER_BYTES_MAX as u64 {
            return Err(bad_answer());
        }
        let mut body = Vec::with_capacity(expected as usize);
        loop {
            let mut complete = self.down.body.is_done();
            while !complete {
                let relay = self.down.content(buf.bytes())?;
                body.extend_from_slice(&buf.bytes()[..relay.forward]);
                if body.len() > ANSWER_BYTES_MAX {
                    return Err(bad_answer());
                }
                buf.consume(relay.forward + relay.skip);
                complete = relay.then == Then::End || self.down.body.is_done();
                if relay.then == Then::NeedMore {
                    break;
                }
            }
            if complete {
                let clean = self.down.head.keep_alive
                    && self.down.head.framing != BodyFraming::UntilClose
                    && buf.is_empty();
                self.down.worker.bufs.put(buf);
                return Ok((body, clean));
            }
            match self.down.read_body(buf).await {
                Ok(Some(more)) => buf = more,
                Ok(None) => return Ok((body, false)),
                Err(failed) => return Err(Failed { begun: false, ..failed }),
            }
        }
    }

    async fn stream(&mut self, mut buf: Buf, lines: &[u8]) -> Result<Streamed, Failed> {
        let mut out = Vec::with_capacity(1024);
        let (client_keeps, chunked) = self.write_head(lines);
        let mut begun = false;
        let mut piece_ns = self.sent_ns;
        loop {
            let said_before = self.noted().said;
            let mut failed = None;
            let mut complete = self.down.body.is_done();
            while !complete {
                let relay = self.down.content(buf.bytes())?;
                let content = &buf.bytes()[..relay.forward];
                self.down.call.content_out += relay.content as u64;
                if let Some(stream) = &mut self.relay {
                    match stream.take(self.errors, content, &mut out) {
                        Ok(Passed::AsItCame) => out.extend_from_slice(content),
                        Ok(Passed::Written) => {}
                        Err(_) => failed = Some(Code::UpstreamBadResponse),
                    }
                }
                buf.consume(relay.forward + relay.skip);
                complete = failed.is_some() || relay.then == Then::End || self.down.body.is_done();
                if relay.then == Then::NeedMore {
                    break;
                }
            }
            let now_ns = sys::monotonic_ns();
            if self.noted().said > said_before {
                let gap_us = micros32(now_ns.saturating_sub(piece_ns));
                match self.attempt.first_token_us {
                    0 => {
                        self.attempt.first_token_us = gap_us.max(1);
                        self.routed.first_token(now_ns);
                    }
                    _ => self.attempt.gap_us_max = self.attempt.gap_us_max.max(gap_us),
                }
                piece_ns = now_ns;
            }
            if complete && failed.is_none() && !self.is_whole() {
                failed = Some(Code::StreamCut);
            }
            if !begun && self.noted().failure.is_some() {
                return Err(Failed { heard: true, ..bad_answer() }); // nothing has gone out: it may be tried elsewhere
            }
            if complete {
                let clean = failed.is_none()
                    && self.down.head.keep_alive
                    && self.down.head.framing != BodyFraming::UntilClose
                    && buf.is_empty();
                self.down.worker.bufs.put(buf);
                if !begun && failed.is_some() && self.noted().said == 0 {
                    return Err(Failed { heard: true, ..failed_by(failed) });
                }
                self.last(&mut out, chunked, failed, begun).await?;
                return Ok(Streamed { clean, client_keeps: client_keeps && failed.is_none(), code: failed });
            }
            if !out.is_empty() {
                self.send(&mut out, chunked, !begun, false).await?;
                begun = true;
            }
            match self.next(buf).await {
                Ok(Some(more)) => buf = more,
                Ok(None) => {
                    let failed = (!self.is_whole()).then_some(Code::StreamCut);
                    self.last(&mut out, chunked, failed, begun).await?;
                    return Ok(Streamed {
                        clean: false,
                        client_keeps: client_keeps && failed.is_none(),
                        code: failed,
                    });
                }
                Err(failed) if !begun => return Err(Failed { begun: false, ..failed }),
                Err(failed) => {
                    self.last(&mut out, chunked, Some(failed.code), begun).await?;
                    return Ok(Streamed { clean: false, client_keeps: false, code: Some(failed.code) });
                }
            }
        }
    }

    fn noted(&self) -> &Noted {
        // A stream is only read where one was asked for.
        self.relay.as_ref().map(|relay| relay.noted()).expect("a stream was asked for")
    }

    /// Whether the stream came to an end of its own, good or bad.
    fn is_whole(&self) -> bool {
        let noted = self.noted();
        noted.is_complete || noted.finish > 0 || noted.failure.is_some()
    }

    /// The next bytes of the stream: the first token has a time of its own.
    async fn next(&mut self, buf: Buf) -> Result<Option<Buf>, Failed> {
        let idle = self.down.shape.idle;
        if self.attempt.first_token_us == 0 {
            let left_ns = self.first_token_until_ns.saturating_sub(sys::tick_ns()).max(1);
            self.down.shape.idle = idle.min(std::time::Duration::from_nanos(left_ns));
        }
        let read = self.down.read_body(buf).await;
        self.down.shape.idle = idle;
        match read {
            Err(failed) if failed.code == Code::UpstreamIdleTimeout && self.attempt.first_token_us == 0 => {
                Err(Failed { code: Code::UpstreamFirstByteTimeout, ..failed })
            }
            read => read,
        }
    }

    /// Writes the client's head into `out` of the downlink; says whether its connection lives on, and whether the body
    /// is chunked.
    fn write_head(&mut self, lines: &[u8]) -> (bool, bool) {
        let down = &mut self.down;
        let chunked = down.shape.client != Version::Http10;
        let keeps = down.shape.keep_alive && chunked && !down.worker.draining.get();
        down.out.clear();
        write::status_line(down.out, 200);
        down.out.extend_from_slice(
            b"Content-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-cache\r\n",
        );
        down.out.extend_from_slice(lines);
        down.out.extend_from_slice(down.shape.fields);
        if let Some(told) = &down.call.ai {
            told.write_degraded(down.out);
        }
        let framing = if chunked { BodyFraming::Chunked } else { BodyFraming::UntilClose };
        write::response_framing(down.out, framing, None);
        write::connection(down.out, keeps, down.shape.client);
        write::end(down.out);
        down.call.record.status = 200;
        (keeps, chunked)
    }

    /// Sends what is left and the end of the body; the record is published before it.
    async fn last(
        &mut self,
        out: &mut Vec<u8>,
        chunked: bool,
        failed: Option<Code>,
        begun: bool,
    ) -> Result<(), Failed> {
        if let Some(relay) = &mut self.relay {
            relay.finish(self.errors, out);
        }
        if let Some(code) = failed {
            let refusal = Refusal {
                status: code.status(),
                code: code.as_str(),
                message: code.title(),
                param: None,
                request_id: std::str::from_utf8(self.down.strings.request_id).unwrap_or_default(),
            };
            let mut data = Vec::new();
            let name = refusal.write_event(self.to, &mut data);
            write_event(out, name.and_then(EventType::new), &data);
            self.down.call.record.code = code.id();
        }
        if let Some(relay) = &self.relay {
            self.attempt.settle_stream(self.down.call, relay.noted(), failed);
        }
        self.send(out, chunked, !begun, true).await
    }

    /// Sends one piece: the head before it if it is the first, the end of the body behind it if it is the last.
    async fn send(
        &mut self,
        out: &mut Vec<u8>,
        chunked: bool,
        first: bool,
        last: bool,
    ) -> Result<(), Failed> {
        let mut size = [0; 18];
        let size = if chunked && !out.is_empty() { chunk_head(out.len(), &mut size) } else { &[] };
        let end: &[u8] = match (chunked, last, out.is_empty()) {
            (false, _, _) | (true, false, true) => b"",
            (true, false, false) => b"\r\n",
            (true, true, false) => b"\r\n0\r\n\r\n",
            (true, true, true) => b"0\r\n\r\n",
        };
        let down = &mut self.down;
        let head: &[u8] = if first { down.out } else { b"" };
        let buf = down.worker.bufs.filled(&[head, size, out, end]);
        out.clear();
        let now_ns = sys::monotonic_ns();
        let n = buf.len() as u64;
        down.call.record.bytes_out += n;
        if last {
            down.call.last_send = n;
            down.publish(now_ns);
        }
        let result = down.write_client(buf, now_ns).await;
        if last {
            let gone = result.is_err().then_some(Code::ClientGone);
            let unsure = if gone.is_some() { n } else { 0 };
            let bytes_out = down.call.record.bytes_out - unsure;
            down.call.sent_last(down.worker, now_ns, gone, bytes_out);
        }
        result
    }
}

fn chunk_head(len: usize, room: &mut [u8; 18]) -> &[u8] {
    use std::io::Write;
    let mut rest = &mut room[..];
    let written = write!(rest, "{len:x}\r\n").map(|()| 18 - rest.len()).unwrap_or(0);
    &room[..written]
}

fn bad_answer() -> Failed {
    failed_by(Some(Code::UpstreamBadResponse))
}

fn failed_by(code: Option<Code>) -> Failed {
    Failed { code: code.unwrap_or(Code::UpstreamBadResponse), begun: false, heard: true, status: None }
}

/// The value of a known field.
pub fn text<'b>(fields: &FieldTable, bytes: &'b [u8], id: FieldId) -> Option<&'b str> {
    std::str::from_utf8(fields.value(bytes, id)?).ok()
}

/// The value of a field by its name in lower case.
pub fn named<'b>(fields: &FieldTable, bytes: &'b [u8], name: &str) -> Option<&'b str> {
    let id = FieldId::lookup(name.as_bytes());
    if id != FieldId::Other {
        return text(fields, bytes, id);
    }
    let found =
        fields.all(FieldId::Other).find(|field| field.name.of(bytes).eq_ignore_ascii_case(name.as_bytes()));
    std::str::from_utf8(found?.value.of(bytes)).ok()
}

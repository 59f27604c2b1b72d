//! The life of a request on a worker, in order: head, gate, target, connection, both ways, settle, record.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use penstock_gate::spec;
use penstock_http::body::BodyReader;
use penstock_http::write;
use penstock_http::{Code, FieldSet, Refusal, RequestHead, ResponseHead};
use penstock_ring::{CallStrings, Stage, Verdict};

use crate::answer::{self, Answer};
use crate::buf::{Buf, SMALL};
use crate::call::{Call, micros32};
use crate::client::Client;
use crate::deadline::Action;
use crate::downlink::{Done, Downlink, Failed};
use crate::shape::ResponseShape;
use crate::sys::{self, Side};
use crate::uplink::{BodyRules, FirstPiece, Stop, Uplink};
use crate::upstream::pool::Connection;
use crate::upstream::{Patience, Target};
use crate::worker::{Current, Worker};

/// What becomes of a client's connection after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// The next request may come.
    Next,
    /// It is closed.
    Close,
    /// It is closed once the client has had time to read the answer.
    Linger,
}

/// What a request needs while it is under way; reused from one to the next. Kept in boxes, as it moves between
/// connections.
#[derive(Default)]
pub struct Scratch {
    /// The request's head.
    pub head: Box<RequestHead>,
    response: Box<ResponseHead>,
    call: Box<Call>,
    request_body: BodyReader,
    response_body: BodyReader,
    first: FirstPiece,
    out: Vec<u8>,
}

/// Answers a head that is malformed.
pub async fn refuse_head(
    worker: &Rc<Worker>,
    client: &mut Client,
    scratch: &mut Scratch,
    refusal: Refusal,
) -> After {
    let mut answer = Answer::last(refusal.code);
    answer.problem.detail = Some(refusal.detail);
    refuse(worker, client, scratch, answer).await
}

/// Answers a head that took too long.
pub async fn refuse_slow_head(worker: &Rc<Worker>, client: &mut Client, scratch: &mut Scratch) -> After {
    refuse(worker, client, scratch, Answer::last(Code::HeadTimeout)).await
}

async fn refuse(worker: &Worker, client: &mut Client, scratch: &mut Scratch, answer: Answer<'_>) -> After {
    client.requests += 1;
    scratch.head.reset();
    let Scratch { head, call, out, .. } = scratch;
    call.begin(client, head, sys::monotonic_ns());
    call.counters.bytes_in.set(client.pending.len() as u64);
    call.request_id.set(&worker.request_id());
    call.record.stage(Stage::Parse, Verdict::Refused, 0, 0);
    answer::give(worker, client, call, head, &CallStrings::default(), answer, out).await
}

/// Serves the request whose head is complete at the front of `client.pending`.
pub async fn serve(worker: &Rc<Worker>, client: &mut Client, scratch: &mut Scratch) -> After {
    client.requests += 1;
    let current = worker.current();
    let request = split_head(worker, client, scratch.head.head_len);
    let Scratch { head, call, .. } = scratch;
    call.begin(client, head, sys::monotonic_ns());
    call.record.revision = current.snapshot.revision;
    call.record.stage(Stage::Parse, Verdict::Allowed, 0, 0);
    call.request_id.set(&worker.request_id());
    let after = forward(worker, client, scratch, &current, &request).await;
    worker.bufs.put(request);
    after
}

/// Leaves the head alone in its buffer; what came behind it becomes the pending bytes.
fn split_head(worker: &Worker, client: &mut Client, head_len: usize) -> Buf {
    let mut request = std::mem::take(&mut client.pending);
    let rest = &request.bytes()[head_len..];
    if !rest.is_empty() {
        let mut pending = if rest.len() <= SMALL { worker.bufs.small() } else { worker.bufs.large() };
        pending.push(rest);
        client.pending = pending;
        request.truncate(head_len);
    }
    request
}

async fn forward(
    worker: &Rc<Worker>,
    client: &mut Client,
    scratch: &mut Scratch,
    current: &Current,
    request: &Buf,
) -> After {
    let upstream = current.upstreams[0].clone();
    let spec = upstream.spec.borrow().clone();
    scratch.request_body.begin_request(scratch.head.framing);
    let bytes_max = Some(spec::Body::MAX);
    let first = scratch.first.take(&mut client.pending, &mut scratch.request_body, bytes_max);
    let replayable = scratch.request_body.is_done();
    let mut tries = 0;
    let failed = loop {
        if let Err(code) = first {
            break code;
        }
        let target = match upstream.pick() {
            Ok(target) => target,
            Err(code) => break code,
        };
        let connection = match acquire(worker, scratch, &spec, &target).await {
            Ok(connection) => connection,
            Err(code) => {
                if tries < spec.retries.max && retries(&spec, spec::RetryOn::ConnectFailure) {
                    tries += 1;
                    scratch.call.record.retries = tries;
                    continue;
                }
                break code;
            }
        };
        let may_retry = tries < spec.retries.max && replayable && scratch.head.method.is_idempotent();
        match attempt(worker, client, scratch, &spec, &target, connection, request, may_retry).await {
            Attempt::After(after) => return after,
            Attempt::Again => {
                tries += 1;
                scratch.call.record.retries = tries;
            }
            Attempt::Answer(code) => break code,
        }
    };
    let body_read = scratch.request_body.is_done();
    let Scratch { head, call, out, .. } = scratch;
    let keep_alive = head.keep_alive && body_read;
    let strings = strings(head, request, &[]);
    let answer = Answer { keep_alive, ..Answer::last(failed) };
    answer::give(worker, client, call, head, &strings, answer, out).await
}

fn strings<'a>(head: &RequestHead, request: &'a Buf, target: &'a [u8]) -> CallStrings<'a> {
    let bytes = request.bytes();
    CallStrings {
        host: head.host.of(bytes),
        path: head.path.of(bytes),
        method: if head.method == penstock_http::Method::Other { head.method_text.of(bytes) } else { &[] },
        target,
        ..CallStrings::default()
    }
}

fn retries(spec: &spec::Upstream, reason: spec::RetryOn) -> bool {
    spec.retries.retry_on.contains(&reason)
}

async fn acquire(
    worker: &Worker,
    scratch: &mut Scratch,
    spec: &spec::Upstream,
    target: &Rc<Target>,
) -> Result<Connection, Code> {
    let record = &mut scratch.call.record;
    record.upstream = spec.id.0;
    record.target = target.spec.id.0;
    if let Some(connection) = target.pool.take() {
        record.flags |= penstock_ring::flag::UPSTREAM_REUSED;
        return Ok(connection);
    }
    let began_ns = sys::monotonic_ns();
    let patience =
        Patience { connect: spec.timeouts.connect, wait: spec.pool.wait, open_max: spec.pool.per_target_max };
    let acquired = target.acquire(patience, &worker.wheel).await;
    record.connect_us = micros32(sys::monotonic_ns().saturating_sub(began_ns));
    record.stage(Stage::Connect, if acquired.is_ok() { Verdict::Allowed } else { Verdict::Failed }, 0, 0);
    acquired
}

enum Attempt {
    After(After),
    Again,
    Answer(Code),
}

enum Ended {
    Answered(Result<Done, Failed>),
    Stopped(Stop),
}

#[allow(clippy::too_many_arguments)]
async fn attempt(
    worker: &Rc<Worker>,
    client: &mut Client,
    scratch: &mut Scratch,
    spec: &spec::Upstream,
    target: &Rc<Target>,
    mut connection: Connection,
    request: &Buf,
    may_retry: bool,
) -> Attempt {
    connection.requests += 1;
    let reused = connection.requests > 1;
    let Scratch { head, response, call, request_body, response_body, first, out } = scratch;
    out.clear();
    write_request_head(out, head, request);
    let idle = spec.timeouts.idle;
    let now_ns = sys::monotonic_ns();
    connection
        .stream
        .read_timer
        .arm(now_ns + spec.timeouts.first_byte.as_nanos() as u64, Action::Shutdown(Side::Both));
    let (content, first) = (first.content, &first.bytes);
    let buf = worker.bufs.filled(&[out, first]);
    call.counters.upstream_out.set(call.counters.upstream_out.get() + buf.len() as u64);
    let (written, buf) = connection.stream.writer.write_all(buf).await;
    worker.bufs.put(buf);
    if written.is_err() && reused && may_retry {
        target.discard(connection);
        return Attempt::Again;
    }
    let empty: [u16; 0] = [];
    let shape = ResponseShape {
        method: head.method,
        client: head.version,
        keep_alive: head.keep_alive,
        expects_continue: head.expect_continue,
        retry_statuses: &empty,
        drop: FieldSet::EMPTY,
        write_timeout: client.peer.listener.timeouts.write,
        idle,
        total_until_ns: u64::MAX,
    };
    let ended = {
        let upstream = &mut connection.stream;
        // The two ways share nothing but cells; each has its own side of both sockets.
        let counters = call.counters.clone();
        let up = Uplink {
            reader: &mut *client.stream.reader,
            read_timer: &client.stream.read_timer,
            pending: &mut client.pending,
            writer: &mut upstream.writer,
            upstream_timer: &upstream.read_timer,
            body: request_body,
            bufs: &worker.bufs,
            counters: &counters,
            content,
            rules: BodyRules { bytes_max: Some(spec::Body::MAX), rate_min: Some(spec::Body::RATE_MIN), idle },
        };
        let down = Downlink {
            reader: &mut *upstream.reader,
            upstream_timer: &upstream.read_timer,
            writer: &mut client.stream.writer,
            write_timer: &client.stream.write_timer,
            head: response,
            body: response_body,
            out,
            call,
            strings: strings(head, request, target.label()),
            shape,
            worker,
        };
        let (mut up, mut down) = (pin!(up.run()), pin!(down.run()));
        poll_fn(|cx| {
            if let Poll::Ready(answered) = down.as_mut().poll(cx) {
                return Poll::Ready(Ended::Answered(answered));
            }
            up.as_mut().poll(cx).map(Ended::Stopped)
        })
        .await
    };
    let sent = scratch.call.counters.sent.get();
    match ended {
        Ended::Answered(Ok(done)) => {
            if done.upstream_clean && sent {
                target.release(connection, &worker.bufs, sys::monotonic_ns());
            } else {
                target.discard(connection);
            }
            Attempt::After(match (done.client_keeps, sent) {
                (true, true) => After::Next,
                _ => After::Linger,
            })
        }
        Ended::Answered(Err(failed)) => {
            target.discard(connection);
            if !failed.begun && may_retry && reused && !failed.heard {
                return Attempt::Again;
            }
            if failed.begun {
                client.stream.reset_on_close();
                publish_failed(worker, scratch, request, target, failed.code);
                return Attempt::After(After::Close);
            }
            Attempt::Answer(failed.code)
        }
        Ended::Stopped(Stop::ClientGone) => {
            target.discard(connection);
            publish_failed(worker, scratch, request, target, Code::ClientGone);
            Attempt::After(After::Close)
        }
        Ended::Stopped(Stop::Refused(code)) => {
            target.discard(connection);
            if scratch.call.record.bytes_out > 0 {
                client.stream.reset_on_close();
                publish_failed(worker, scratch, request, target, code);
                return Attempt::After(After::Close);
            }
            Attempt::Answer(code)
        }
    }
}

fn publish_failed(worker: &Worker, scratch: &mut Scratch, request: &Buf, target: &Target, code: Code) {
    let strings = strings(&scratch.head, request, target.label());
    let call = &mut scratch.call;
    if !call.is_published() {
        call.record.code = code.id();
        if code == Code::ClientGone {
            call.record.flags |= penstock_ring::flag::CLIENT_GONE;
        }
        let bytes_out = call.record.bytes_out;
        call.publish(worker, &strings, bytes_out);
    }
}

fn write_request_head(out: &mut Vec<u8>, head: &RequestHead, request: &Buf) {
    let bytes = request.bytes();
    let query = head.query.map(|query| query.of(bytes));
    write::request_line(out, head.method_text.of(bytes), head.path.of(bytes), query).ok();
    write::copy_fields(out, bytes, &head.fields, FieldSet::EMPTY);
    write::request_framing(out, head.framing);
    write::end(out);
}

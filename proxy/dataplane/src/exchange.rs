//! The life of a request on a worker, in order: head, gate, target, connection, both ways, settle, record.

use std::future::poll_fn;
use std::ops::{Deref, DerefMut};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use penstock_ai::dialect::Dialect;
use penstock_balance::Outcome;
use penstock_gate::spec::{self, RetryOn};
use penstock_gate::{Backend, CallPlan, Forward, Request, RouteRule, Verdict};
use penstock_http::body::BodyReader;
use penstock_http::{Code, Refusal, RequestHead, ResponseHead, Upgrade};
use penstock_limits::BytesMoved;

use crate::ai::Serving;
use crate::answer;
use crate::buf::{Buf, SMALL};
use crate::call::{Call, micros32};
use crate::client::Client;
use crate::deadline::Action;
use crate::downlink::{CONTINUE, Done, Downlink, Failed};
use crate::record;
use crate::shape::{self, ResponseShape};
use crate::sys::{self, Side};
use crate::uplink::{BodyRules, FirstPiece, Stop, Taking, Uplink, floor_ns};
use crate::upstream::pool::Connection;
use crate::upstream::{Patience, Target, Tries, Upstream};
use crate::worker::Worker;

/// Bytes of a signed body on a route that sets no bound of its own. Such a body is held whole until it has proved to
/// be what was signed.
pub const SIGNED_BODY_BYTES_MAX: u64 = spec::Body::MAX;

/// What becomes of a client's connection after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// The next request may come.
    Next,
    /// It is closed.
    Close,
    /// It is closed, with the farewell that TLS owes.
    Finish,
    /// It is closed once the client has had time to read the answer.
    Linger,
}

/// What a request needs while it is under way; reused from one to the next. Kept in boxes, as it moves between
/// connections.
#[derive(Default)]
pub struct Scratch {
    /// The request's head.
    pub head: Box<RequestHead>,
    /// What the gate decided.
    pub plan: Box<CallPlan>,
    /// The call.
    pub call: Box<Call>,
    /// A place to write heads in.
    pub out: Vec<u8>,
    /// The dialect of an AI route: answers of our own are in its words.
    pub dialect: Option<Dialect>,
    pub(crate) response: Box<ResponseHead>,
    pub(crate) request_body: BodyReader,
    pub(crate) response_body: BodyReader,
    pub(crate) first: FirstPiece,
}

/// A scratch set on loan. Given back when dropped, with the permits that the call still holds and with a record of
/// it, whatever became of the task.
pub struct Lease<'w> {
    worker: &'w Worker,
    scratch: Option<Box<Scratch>>,
}

impl<'w> Lease<'w> {
    /// Takes a set from the worker.
    pub fn take(worker: &'w Worker) -> Self {
        Self { worker, scratch: Some(worker.scratch()) }
    }
}

impl Deref for Lease<'_> {
    type Target = Scratch;

    fn deref(&self) -> &Scratch {
        self.scratch.as_ref().expect("held until it is dropped")
    }
}

impl DerefMut for Lease<'_> {
    fn deref_mut(&mut self) -> &mut Scratch {
        self.scratch.as_mut().expect("held until it is dropped")
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        if let Some(mut scratch) = self.scratch.take() {
            // Either head may have been given up half-read, and the next request must not go on from there.
            scratch.head.reset();
            scratch.response.reset();
            record::abandoned(self.worker, &mut scratch);
            settle(self.worker, &mut scratch);
            scratch.first.forget_large();
            self.worker.put_scratch(scratch);
        }
    }
}

/// Gives back what the call held of its limits.
fn settle(worker: &Worker, scratch: &mut Scratch) {
    if scratch.plan.permits.is_empty() {
        return;
    }
    let moved = BytesMoved { up: scratch.call.counters.content_in.get(), down: scratch.call.content_out };
    let now = worker.both(sys::monotonic_ns());
    worker.gate.borrow_mut().shard.release(now, &mut scratch.plan.permits, moved);
}

/// Answers a head that is malformed.
pub async fn refuse_head(
    worker: &Worker,
    client: &mut Client,
    scratch: &mut Scratch,
    refusal: Refusal,
) -> After {
    refuse(worker, client, scratch, refusal.code, Some(refusal.detail)).await
}

/// Answers a head that took too long.
pub async fn refuse_slow_head(worker: &Worker, client: &mut Client, scratch: &mut Scratch) -> After {
    refuse(worker, client, scratch, Code::HeadTimeout, None).await
}

async fn refuse(
    worker: &Worker,
    client: &mut Client,
    scratch: &mut Scratch,
    code: Code,
    detail: Option<&str>,
) -> After {
    client.requests += 1;
    scratch.head.reset();
    scratch.dialect = None;
    let Scratch { head, plan, call, .. } = scratch;
    call.begin(worker, client, head, sys::monotonic_ns());
    call.counters.bytes_in.set(client.pending.len() as u64);
    call.record.revision = worker.current().snapshot.revision;
    worker.gate.borrow_mut().name_unread(plan);
    record::parse_refused(&mut call.record);
    answer::problem(worker, client, scratch, &Buf::default(), code, detail, false).await
}

/// Serves the request whose head is complete at the front of `client.pending`.
pub async fn serve(worker: &Rc<Worker>, client: &mut Client, scratch: &mut Scratch) -> After {
    client.requests += 1;
    if client.is_used_up() {
        scratch.head.keep_alive = false;
    }
    let current = worker.current();
    let request = split_head(worker, client, scratch.head.head_len);
    let began = worker.both(sys::monotonic_ns());
    let Scratch { head, plan, call, .. } = scratch;
    call.begin(worker, client, head, began.mono_ns);
    call.record.revision = current.snapshot.revision;
    let verdict = {
        let request = Request {
            head,
            buf: request.bytes(),
            peer: client.peer.ip(),
            listener: current.listener(client.peer.listener.id),
            tls: client.peer.tls(),
            now: began,
        };
        worker.gate.borrow_mut().decide(&current.snapshot, &request, plan)
    };
    let decided_ns = sys::monotonic_ns();
    record::decided(&mut call.record, plan, decided_ns.saturating_sub(began.mono_ns));
    scratch.dialect = None;
    let after = match verdict {
        Verdict::Forward(_) if head.upgrade == Some(Upgrade::WebSocket) => {
            let code = Code::WebsocketNotSupported;
            answer::problem(worker, client, scratch, &request, code, None, false).await
        }
        Verdict::Forward(forward) => match current.snapshot.route(forward.route) {
            Some(route) => {
                record::routed(&mut call.record, route);
                match &route.to {
                    Backend::Upstream(at) => {
                        let upstream = &current.upstreams[*at as usize];
                        Attempting { worker, route, upstream, request: &request }
                            .run(client, scratch, forward, decided_ns)
                            .await
                    }
                    Backend::Ai(ai) => {
                        scratch.dialect = Some(ai.endpoint.dialect());
                        let Some(directory) = current.ai.clone() else {
                            let code = Code::InternalError; // the control side makes one where there are AI routes
                            return answer::problem(worker, client, scratch, &request, code, None, false)
                                .await;
                        };
                        let serving = Serving {
                            worker,
                            current: &current,
                            directory,
                            route,
                            route_index: forward.route,
                            ai,
                            request: &request,
                        };
                        // Boxed, as it is large: the tasks of other connections stay small.
                        Box::pin(serving.run(client, scratch, forward)).await
                    }
                }
            }
            None => {
                answer::problem(worker, client, scratch, &request, Code::InternalError, None, false).await
            }
        },
        Verdict::Answer(answer) => {
            if let Some(route) = answer.route.and_then(|route| current.snapshot.route(route)) {
                record::routed(&mut call.record, route);
                if let Backend::Ai(ai) = &route.to {
                    scratch.dialect = Some(ai.endpoint.dialect());
                }
            }
            {
                let read = !scratch.head.framing.has_body();
                answer::refusal(worker, client, scratch, &request, answer, read).await
            }
        }
        Verdict::Preflight => answer::empty(worker, client, scratch, &request, 204).await,
        Verdict::Redirect => answer::empty(worker, client, scratch, &request, 308).await,
    };
    settle(worker, scratch);
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

/// Reads the body whole, without its framing, into [`Scratch::first`]; a signed one must be what was signed.
///
/// # Errors
/// The code of the answer to give.
pub(crate) async fn hold_body(
    worker: &Worker,
    route: &RouteRule,
    client: &mut Client,
    scratch: &mut Scratch,
    forward: Forward,
    bytes_max: u64,
) -> Result<(), Code> {
    scratch.request_body.begin_request(scratch.head.framing);
    let came = client.pending.len();
    let Scratch { first, request_body, call, .. } = &mut *scratch;
    let taking = Taking { digested: forward.body_digest.is_some(), framed: false };
    let taken = first.take(&mut client.pending, request_body, Some(bytes_max), taking);
    let counters = &call.counters;
    counters.bytes_in.set(counters.bytes_in.get() + (came - client.pending.len()) as u64);
    counters.content_in.set(first.content);
    taken?;
    rest_of_body(worker, route, client, scratch, Some(bytes_max)).await?;
    match forward.body_digest {
        Some(expected) if !scratch.first.is_digest(expected) => Err(Code::InvalidCredential),
        _ => Ok(()),
    }
}

/// Reads what of the body has not come yet behind what has.
async fn rest_of_body(
    worker: &Worker,
    route: &RouteRule,
    client: &mut Client,
    scratch: &mut Scratch,
    bytes_max: Option<u64>,
) -> Result<(), Code> {
    let total_until_ns = total_until_ns(route, scratch);
    let Scratch { head, first, request_body, call, .. } = scratch;
    let began_ns = sys::monotonic_ns();
    if !request_body.is_done() && std::mem::take(&mut head.expect_continue) {
        // Nothing goes upstream before the body is here, so nobody else could ask for it.
        let mut out = worker.bufs.small();
        out.push(CONTINUE);
        let until_ns = began_ns + client.peer.listener.timeouts.write.as_nanos() as u64;
        client.stream.write_timer.arm(until_ns, Action::Shutdown(Side::Both));
        let (result, out) = client.stream.writer.write_all(out).await;
        client.stream.write_timer.disarm();
        worker.bufs.put(out);
        result.map_err(|_| Code::ClientGone)?;
    }
    while !request_body.is_done() {
        let idle_ns = sys::monotonic_ns() + route.timeouts.idle.as_nanos() as u64;
        let floor_ns = floor_ns(route.body.rate_min, began_ns, first.content);
        let until_ns = idle_ns.min(floor_ns).min(total_until_ns);
        client.stream.read_timer.arm(until_ns, Action::Shutdown(Side::Read));
        let (result, buf) = client.stream.reader.read(|| worker.bufs.large()).await;
        match result {
            Ok(1..) => {}
            _ if !client.stream.read_timer.fired() => return Err(Code::ClientGone),
            _ if until_ns == total_until_ns => return Err(Code::TotalTimeout),
            _ if until_ns == floor_ns => return Err(Code::BodyTooSlow),
            _ => return Err(Code::BodyTimeout),
        }
        client.stream.read_timer.disarm();
        client.pending = buf;
        let came = client.pending.len();
        let taken = first.more(&mut client.pending, request_body, bytes_max);
        let counters = &call.counters;
        counters.bytes_in.set(counters.bytes_in.get() + (came - client.pending.len()) as u64);
        counters.content_in.set(first.content);
        taken?;
    }
    Ok(())
}

/// When the call as a whole has taken too long, monotonic ns; [`u64::MAX`]: never.
fn total_until_ns(route: &RouteRule, scratch: &Scratch) -> u64 {
    let total = route.timeouts.total;
    total.map_or(u64::MAX, |total| scratch.call.head_ns + total.as_nanos() as u64)
}

/// A call that goes upstream, and what does not change from one try to the next.
pub(crate) struct Attempting<'a> {
    pub(crate) worker: &'a Rc<Worker>,
    pub(crate) route: &'a RouteRule,
    pub(crate) upstream: &'a Rc<Upstream>,
    pub(crate) request: &'a Buf,
}

/// How a try ended.
enum Try {
    /// The client has its answer, or is gone.
    After(After),
    /// It may be tried again; else this is the answer to give.
    Failed(Code),
    /// This is the answer to give.
    Answer(Code),
}

enum Ended {
    Answered(Result<Done, Failed>),
    Stopped(Stop),
}

impl Attempting<'_> {
    async fn run(&self, client: &mut Client, scratch: &mut Scratch, forward: Forward, now_ns: u64) -> After {
        scratch.request_body.begin_request(scratch.head.framing);
        let signed = forward.body_digest.is_some();
        let bytes_max = self.route.body.max.or(signed.then_some(SIGNED_BODY_BYTES_MAX));
        let came = client.pending.len();
        let Scratch { first, request_body, call, .. } = &mut *scratch;
        let taking = Taking { digested: signed, framed: true };
        let taken = first.take(&mut client.pending, request_body, bytes_max, taking);
        let counters = &call.counters;
        counters.bytes_in.set(counters.bytes_in.get() + (came - client.pending.len()) as u64);
        counters.content_in.set(first.content);
        // Whether the next request can follow is known only where every byte of this one was taken from the pending
        // ones, and every byte behind it was put back.
        let mut body_read = false;
        let code = match taken {
            Err(code) => code,
            Ok(()) => match self.check_digest(client, scratch, forward, bytes_max).await {
                Err(code) => code,
                Ok(()) => {
                    let came_first = scratch.request_body.is_done();
                    match self.tries(client, scratch, forward, now_ns).await {
                        Ok(after) => return after,
                        Err(code) => {
                            body_read = came_first || scratch.call.counters.sent.get();
                            code
                        }
                    }
                }
            },
        };
        answer::problem(self.worker, client, scratch, self.request, code, None, body_read).await
    }

    /// A signed body is read whole before anything of it goes upstream, so that a forged one never arrives.
    async fn check_digest(
        &self,
        client: &mut Client,
        scratch: &mut Scratch,
        forward: Forward,
        bytes_max: Option<u64>,
    ) -> Result<(), Code> {
        let Some(expected) = forward.body_digest else { return Ok(()) };
        rest_of_body(self.worker, self.route, client, scratch, bytes_max).await?;
        if scratch.first.is_digest(expected) { Ok(()) } else { Err(Code::InvalidCredential) }
    }

    /// Tries targets until one answers, within the bounds of the upstream's retries.
    ///
    /// # Errors
    /// The code of the answer to give.
    async fn tries(
        &self,
        client: &mut Client,
        scratch: &mut Scratch,
        forward: Forward,
        mut now_ns: u64,
    ) -> Result<After, Code> {
        let spec = self.upstream.spec();
        let mut tries = Tries::begin(self.upstream);
        let replayable = scratch.request_body.is_done();
        let total_until_ns = total_until_ns(self.route, scratch);
        let mut left = spec.retries.max;
        // One that died in the pool says that others may have; the next try does not ask them.
        let mut pooled = true;
        loop {
            let target = tries.next(now_ns, forward.balance_hash)?;
            let connected = self.connect(scratch, &spec, &target, pooled, total_until_ns).await;
            let (connection, fresh) = match connected {
                Ok(connection) => connection,
                Err(code) => {
                    now_ns = sys::monotonic_ns();
                    if now_ns >= total_until_ns {
                        tries.ended(Outcome::Unknown, now_ns, 0);
                        return Err(Code::TotalTimeout);
                    }
                    // Places or descriptors that are lacking here are no fault of the target's.
                    let busy = matches!(code, Code::PoolExhausted | Code::Overloaded);
                    tries.ended(if busy { Outcome::Unknown } else { Outcome::Failure }, now_ns, 0);
                    // Nothing was sent, so whatever the method, it may go elsewhere.
                    if left > 0
                        && code != Code::Overloaded
                        && spec.retries.retry_on.contains(&RetryOn::ConnectFailure)
                        && tries.may_retry()
                    {
                        left -= 1;
                        scratch.call.record.retries += 1;
                        continue;
                    }
                    return Err(code);
                }
            };
            let may_retry = left > 0 && replayable && scratch.head.method.is_idempotent();
            let statuses = may_retry.then(|| self.upstream.retry_statuses());
            let statuses = statuses.as_deref().unwrap_or_default();
            if fresh {
                now_ns = sys::monotonic_ns();
            }
            let attempt = Attempt { target: &target, total_until_ns, statuses, now_ns };
            match self.attempt(client, scratch, connection, attempt, &mut tries).await {
                Try::After(after) => return Ok(after),
                Try::Answer(code) => return Err(code),
                Try::Failed(code) => {
                    let broke = matches!(code, Code::UpstreamReset | Code::UpstreamClosedEarly);
                    // A pooled connection that had died in the meantime is no fault of the target's; whatever else
                    // is tried again draws on the budget.
                    let stale = broke && !fresh;
                    let wanted = code == Code::UpstreamUnavailable
                        || stale
                        || (broke && spec.retries.retry_on.contains(&RetryOn::Reset));
                    if !may_retry || !wanted || (!stale && !tries.may_retry()) {
                        return Err(code);
                    }
                    left -= 1;
                    pooled = !stale;
                    scratch.call.record.retries += 1;
                    now_ns = sys::monotonic_ns();
                }
            }
        }
    }

    /// A pooled connection, if it may be one, or a new one (`true`).
    pub(crate) async fn connect(
        &self,
        scratch: &mut Scratch,
        spec: &penstock_gate::spec::Upstream,
        target: &Target,
        pooled: bool,
        total_until_ns: u64,
    ) -> Result<(Connection, bool), Code> {
        let record = &mut scratch.call.record;
        record.upstream = spec.id.0;
        record.target = target.spec.id.0;
        if pooled && let Some(connection) = target.pool.take() {
            record.flags |= penstock_ring::flag::UPSTREAM_REUSED;
            return Ok((connection, false));
        }
        record.flags &= !penstock_ring::flag::UPSTREAM_REUSED;
        let began_ns = sys::monotonic_ns();
        let left = Duration::from_nanos(total_until_ns.saturating_sub(began_ns));
        let patience = Patience {
            connect: self.route.timeouts.connect.min(left),
            wait: spec.pool.wait.min(left),
            open_max: spec.pool.per_target_max,
        };
        // Boxed, as it is large and rare: the tasks of connections stay small.
        let acquired = Box::pin(target.acquire(patience, self.worker, self.upstream)).await;
        let took_ns = sys::monotonic_ns().saturating_sub(began_ns);
        record.connect_us = micros32(took_ns);
        record::connected(record, acquired.is_ok(), took_ns);
        let connection = acquired?;
        let fresh = connection.requests == 0;
        if !fresh {
            // It was waited for until another request was through with it.
            record.flags |= penstock_ring::flag::UPSTREAM_REUSED;
            (record.queue_us, record.connect_us) = (micros32(took_ns), 0);
        }
        Ok((connection, fresh))
    }

    async fn attempt(
        &self,
        client: &mut Client,
        scratch: &mut Scratch,
        mut connection: Connection,
        attempt: Attempt<'_>,
        tries: &mut Tries,
    ) -> Try {
        let (worker, timeouts, target) = (self.worker, &self.route.timeouts, attempt.target);
        connection.requests += 1;
        scratch.call.counters.answering.set(false);
        let Scratch { head, plan, response, call, request_body, response_body, first, out, .. } = scratch;
        shape::write_request(out, head, self.request.bytes(), plan, self.route, self.upstream, target);
        let first_byte_ns = attempt.now_ns.saturating_add(timeouts.first_byte.as_nanos() as u64);
        let stream = &mut connection.stream;
        stream.read_timer.arm(first_byte_ns.min(attempt.total_until_ns), Action::Shutdown(Side::Both));
        let buf = worker.bufs.filled(&[out, &first.bytes]);
        call.counters.upstream_out.set(call.counters.upstream_out.get() + buf.len() as u64);
        let (written, buf) = stream.writer.write_all(buf).await;
        worker.bufs.put(buf);
        // A peer that no longer reads may have answered all the same: what it sent decides below.
        drop(written);
        call.counters.sent.set(request_body.is_done());
        let response_shape = ResponseShape {
            method: head.method,
            client: head.version,
            keep_alive: head.keep_alive,
            expects_continue: head.expect_continue,
            retry_statuses: attempt.statuses,
            drops: &self.route.response_drops,
            fields: &plan.response_fields,
            write_timeout: client.peer.listener.timeouts.write,
            idle: timeouts.idle,
            total_until_ns: attempt.total_until_ns,
        };
        let ended = {
            let upstream = &mut connection.stream;
            let counters = call.counters.clone();
            let mut up = Uplink {
                reader: &mut *client.stream.reader,
                read_timer: &client.stream.read_timer,
                pending: &mut client.pending,
                writer: &mut upstream.writer,
                upstream_timer: &upstream.read_timer,
                body: request_body,
                bufs: &worker.bufs,
                counters: &counters,
                content: first.content,
                last: !head.keep_alive,
                rules: BodyRules {
                    bytes_max: self.route.body.max,
                    rate_min: self.route.body.rate_min,
                    idle: timeouts.idle,
                    first_byte: timeouts.first_byte,
                    total_until_ns: attempt.total_until_ns,
                },
            };
            let mut down = Downlink {
                reader: &mut *upstream.reader,
                upstream_timer: &upstream.read_timer,
                writer: &mut client.stream.writer,
                write_timer: &client.stream.write_timer,
                head: response,
                body: response_body,
                out,
                call,
                strings: record::strings(head, self.request.bytes(), plan, target.label()),
                shape: response_shape,
                came_ns: 0,
                expects_large: connection.answers_large,
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
        let latency_ns = u64::from(scratch.call.record.first_byte_us) * 1000;
        let ended_ns = match scratch.call.settled_ns {
            0 => sys::monotonic_ns(),
            settled_ns => settled_ns,
        };
        match &ended {
            Ended::Answered(Ok(_)) if scratch.call.record.upstream_status < 500 => {
                tries.ended(Outcome::Success, ended_ns, latency_ns);
            }
            // Neither a client that left nor one that was slow to send is the target's fault.
            Ended::Answered(Err(failed))
                if failed.code == Code::ClientGone
                    || (failed.code == Code::TotalTimeout && !scratch.call.counters.sent.get()) =>
            {
                tries.ended(Outcome::Unknown, ended_ns, 0)
            }
            Ended::Answered(_) => tries.ended(Outcome::Failure, ended_ns, latency_ns),
            Ended::Stopped(_) => tries.ended(Outcome::Unknown, ended_ns, 0),
        }
        self.conclude(client, scratch, connection, target, ended, ended_ns)
    }

    /// What becomes of both connections.
    fn conclude(
        &self,
        client: &mut Client,
        scratch: &mut Scratch,
        mut connection: Connection,
        target: &Rc<Target>,
        ended: Ended,
        ended_ns: u64,
    ) -> Try {
        let worker = self.worker;
        let sent = scratch.call.counters.sent.get();
        let (code, begun, heard) = match ended {
            Ended::Answered(Ok(done)) => {
                connection.answers_large = done.large;
                if done.upstream_clean && sent {
                    target.release(connection, &worker.keeper, ended_ns);
                } else {
                    target.discard(connection);
                }
                return Try::After(match (done.client_keeps, sent) {
                    (true, true) => After::Next,
                    // The client said that nothing follows, so no byte of its can turn the close into a reset. Where
                    // we say so, it cannot know, and its next request may be there, read or not.
                    (false, true)
                        if !scratch.head.keep_alive && !client.is_used_up() && client.pending.is_empty() =>
                    {
                        After::Finish
                    }
                    _ => After::Linger,
                });
            }
            Ended::Answered(Err(failed)) => {
                (failed.code, failed.begun, failed.heard && failed.status.is_none())
            }
            Ended::Stopped(Stop::ClientGone) => (Code::ClientGone, true, true),
            Ended::Stopped(Stop::Refused(code)) => (code, scratch.call.record.bytes_out > 0, true),
        };
        target.discard(connection);
        if begun {
            // What the client has must not pass for a whole answer.
            client.stream.reset_on_close();
            record::broken_off(worker, scratch, self.request.bytes(), target, code);
            return Try::After(After::Close);
        }
        if heard { Try::Answer(code) } else { Try::Failed(code) }
    }
}

/// What is different from one try to the next.
#[derive(Clone, Copy)]
struct Attempt<'t> {
    target: &'t Rc<Target>,
    total_until_ns: u64,
    statuses: &'t [u16],
    now_ns: u64,
}

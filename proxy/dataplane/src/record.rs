//! From what the gate and the worker know to the fields of a call record.

use penstock_gate::{self as gate, CallPlan, RouteRule};
use penstock_http::{Code, Method, RequestHead};
use penstock_ring::{CallRecord, CallStrings, Stage, Verdict, flag};

use crate::call::micros32;
use crate::exchange::Scratch;
use crate::upstream::Target;
use crate::worker::Worker;

const STAGES: [(gate::Stage, Stage); 7] = [
    (gate::Stage::Route, Stage::Route),
    (gate::Stage::Ip, Stage::Ip),
    (gate::Stage::Cors, Stage::Cors),
    (gate::Stage::Identify, Stage::Identify),
    (gate::Stage::Authorise, Stage::Authorise),
    (gate::Stage::Limit, Stage::Limit),
    (gate::Stage::Shape, Stage::Shape),
];

/// The head could not be read.
pub fn parse_refused(record: &mut CallRecord) {
    record.stage(Stage::Parse, Verdict::Refused, 0, 0);
}

/// The gate has decided, in `took_ns`.
pub fn decided(record: &mut CallRecord, plan: &CallPlan, took_ns: u64) {
    record.stage(Stage::Parse, Verdict::Allowed, 0, 0);
    record.policy_ns = u32::try_from(took_ns).unwrap_or(u32::MAX);
    for (from, to) in STAGES {
        let (outcome, rule) = plan.stages.get(from);
        let verdict = match outcome {
            gate::Outcome::Skipped => continue,
            gate::Outcome::Allowed => Verdict::Allowed,
            gate::Outcome::Changed => Verdict::Changed,
            gate::Outcome::Refused => Verdict::Refused,
        };
        // Route, credential and subscription are told by fields of their own; which limit spoke is not.
        let rule = if to == Stage::Limit { rule.0 } else { 0 };
        record.stage(to, verdict, rule, 0);
    }
    let caller = &plan.caller;
    record.app = caller.app.map_or(0, |id| id.0);
    record.credential = caller.credential.map_or(0, |id| id.0);
    record.trace_id = plan.trace.trace_id.to_be_bytes();
    record.client_ip = match caller.address {
        std::net::IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        std::net::IpAddr::V6(address) => address.octets(),
    };
}

/// A route was found.
pub fn routed(record: &mut CallRecord, route: &RouteRule) {
    record.tenant = route.tenant.0;
    record.team = route.team.0;
    record.service = route.service.0;
    record.version = route.version.0;
    record.route = route.id.0;
}

/// A connection was opened, or was not.
pub fn connected(record: &mut CallRecord, made: bool, took_ns: u64) {
    let verdict = if made { Verdict::Allowed } else { Verdict::Failed };
    record.stage(Stage::Connect, verdict, 0, u32::try_from(took_ns).unwrap_or(u32::MAX));
    record.queue_us = if made { record.queue_us } else { micros32(took_ns) };
}

/// The strings of a call.
pub fn strings<'a>(
    head: &RequestHead,
    request: &'a [u8],
    plan: &'a CallPlan,
    target: &'a [u8],
) -> CallStrings<'a> {
    CallStrings {
        request_id: plan.request_id.as_bytes(),
        host: head.host.of(request),
        path: head.path.of(request),
        method: if head.method == Method::Other { head.method_text.of(request) } else { &[] },
        target,
        subject: plan.caller.subject.as_bytes(),
        ..CallStrings::default()
    }
}

/// The task of a call ended before the call did (a panic, the end of the worker): it is recorded as far as it came.
pub fn abandoned(worker: &Worker, scratch: &mut Scratch) {
    let Scratch { plan, call, .. } = scratch;
    if !call.is_open() {
        return;
    }
    call.record.code = Code::InternalError.id();
    if call.record.status == 0 {
        call.record.status = Code::InternalError.status();
    }
    let strings = CallStrings { request_id: plan.request_id.as_bytes(), ..CallStrings::default() };
    let bytes_out = call.record.bytes_out;
    call.publish(worker, &strings, crate::sys::monotonic_ns(), bytes_out);
}

/// The answer broke off: the record is published as far as it came, unless it has been already.
pub fn broken_off(worker: &Worker, scratch: &mut Scratch, request: &[u8], target: &Target, code: Code) {
    let Scratch { head, plan, call, .. } = scratch;
    if call.is_published() {
        // The last send was under way.
        let bytes_out = call.record.bytes_out.saturating_sub(call.last_send);
        call.sent_last(worker, call.settled_ns, Some(code), bytes_out);
        return;
    }
    call.record.code = code.id();
    call.record.stage(Stage::Stream, Verdict::Failed, 0, 0);
    if code == Code::ClientGone {
        call.record.flags |= flag::CLIENT_GONE;
        if call.record.status == 0 {
            call.record.status = code.status();
        }
    }
    let bytes_out = call.record.bytes_out;
    let now_ns = crate::sys::monotonic_ns();
    call.publish(worker, &strings(head, request, plan, target.label()), now_ns, bytes_out);
}

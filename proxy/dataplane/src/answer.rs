//! Answers that the gateway gives by itself: problem documents, preflights, redirects.

use penstock_ai::dialect::Dialect;
use penstock_ai::refusal::Refusal;
use penstock_gate::{Answer, LimitAnswer};
use penstock_http::problem::{Delivery, Member, Problem};
use penstock_http::write::{self, FieldName, FieldValue};
use penstock_http::{BodyFraming, Code, FieldId, Method};
use penstock_limits::{Kind, RefusalKind};

use crate::buf::Buf;
use crate::client::Client;
use crate::deadline::Action;
use crate::exchange::{After, Scratch};
use crate::record;
use crate::sys::{self, Side};
use crate::worker::Worker;

/// Answers with a problem document. The connection lives on only if the request's body has been `read` whole.
pub async fn problem(
    worker: &Worker,
    client: &mut Client,
    scratch: &mut Scratch,
    request: &Buf,
    code: Code,
    detail: Option<&str>,
    read: bool,
) -> After {
    if code == Code::ClientGone {
        scratch.call.record.code = code.id();
        scratch.call.record.status = code.status();
        let strings = record::strings(&scratch.head, request.bytes(), &scratch.plan, &[]);
        scratch.call.publish(worker, &strings, sys::monotonic_ns(), 0);
        return After::Close;
    }
    let problem = Problem { detail, ..Problem::new(code) };
    write_problem(worker, scratch, &problem, read);
    send(worker, client, scratch, request, code.status(), code.id(), read).await
}

/// What an AI route refuses, or a provider did.
#[derive(Debug, Clone, Copy)]
pub struct Refused<'a> {
    /// Our code of it, for the record.
    pub code: Code,
    /// The status of the answer.
    pub status: u16,
    /// The code that the client gets: ours, or the provider's own.
    pub told: &'a str,
    /// What went wrong, for people.
    pub message: &'a str,
    /// When another try is welcome.
    pub retry_after_ms: Option<u64>,
    /// The provider's own id of the call.
    pub provider_request_id: Option<&'a str>,
}

impl Refused<'_> {
    fn of(code: Code) -> Self {
        Self {
            code,
            status: code.status(),
            told: code.as_str(),
            message: code.title(),
            retry_after_ms: None,
            provider_request_id: None,
        }
    }
}

/// Answers with an error in the words of the client's dialect. The request's body has been read.
pub async fn refused(
    worker: &Worker,
    client: &mut Client,
    scratch: &mut Scratch,
    request: &Buf,
    refused: &Refused<'_>,
) -> After {
    let mut lines = Vec::new();
    if let Some(id) = refused.provider_request_id.filter(|id| FieldValue::new(id.as_bytes()).is_ok()) {
        lines.extend_from_slice(b"x-penstock-provider-request-id: ");
        lines.extend_from_slice(id.as_bytes());
        lines.extend_from_slice(b"\r\n");
    }
    if let Some(ms) = refused.retry_after_ms {
        lines.extend_from_slice(b"retry-after: ");
        write::decimal(&mut lines, ms.div_ceil(1000));
        lines.extend_from_slice(b"\r\n");
    }
    write_refused(worker, scratch, refused, &lines, true);
    send(worker, client, scratch, request, refused.status, refused.code.id(), true).await
}

fn write_refused(worker: &Worker, scratch: &mut Scratch, refused: &Refused<'_>, lines: &[u8], read: bool) {
    let request_id = std::str::from_utf8(scratch.plan.request_id.as_bytes()).unwrap_or_default().to_owned();
    let refusal = Refusal {
        status: refused.status,
        code: refused.told,
        message: refused.message,
        param: None,
        request_id: &request_id,
    };
    let mut body = Vec::new();
    refusal.write(scratch.dialect.unwrap_or(Dialect::OpenAiChat), &mut body);
    write_document(worker, scratch, refused.status, lines, body.len(), read);
    scratch.out.extend_from_slice(&body);
}

/// What limits say of themselves, in a sentence.
fn in_words(doc: &str, members: &[(&'static str, Member<'_>)]) -> String {
    let mut text = doc.trim_end_matches('.').to_owned();
    for (at, (name, member)) in members.iter().enumerate() {
        let value = match member {
            Member::Text(value) => (*value).to_owned(),
            Member::Number(value) => value.to_string(),
            Member::Flag(value) => value.to_string(),
        };
        text.push_str(if at == 0 { " (" } else { ", " });
        text.push_str(&format!("{name} {value}"));
    }
    text.push_str(if members.is_empty() { "." } else { ")." });
    text
}

/// Writes the head of a JSON document into `out`.
fn write_document(
    worker: &Worker,
    scratch: &mut Scratch,
    status: u16,
    lines: &[u8],
    length: usize,
    read: bool,
) {
    let Scratch { head, plan, out, .. } = scratch;
    out.clear();
    write::status_line(out, status);
    write::date(out, &worker.date());
    out.extend_from_slice(b"Content-Type: application/json\r\n");
    out.extend_from_slice(lines);
    out.extend_from_slice(&plan.response_fields);
    if !contains_field(&plan.response_fields, b"x-request-id:") {
        plan.request_id.write_line(out);
    }
    write::connection(out, head.keep_alive && read && !worker.draining.get(), head.version);
    write::content_length(out, length as u64);
    write::end(out);
}

/// Answers with a JSON document. The request's body has been read.
pub async fn document(
    worker: &Worker,
    client: &mut Client,
    scratch: &mut Scratch,
    request: &Buf,
    status: u16,
    lines: &[u8],
    body: &[u8],
) -> After {
    write_document(worker, scratch, status, lines, body.len(), true);
    send_with(worker, client, scratch, request, (status, 0), true, body).await
}

/// Answers as the gate says.
pub async fn refusal(
    worker: &Worker,
    client: &mut Client,
    scratch: &mut Scratch,
    request: &Buf,
    answer: Answer,
) -> After {
    let read = !scratch.head.framing.has_body();
    match answer.limit {
        None => write_problem(worker, scratch, &Problem::new(answer.code), read),
        Some(limit) => {
            scratch.call.record.limit = limit.id.0;
            scratch.call.record.limit_remaining = i64::try_from(limit.refusal.remaining).unwrap_or(i64::MAX);
            write_limited(worker, scratch, answer.code, limit, read);
        }
    }
    send(worker, client, scratch, request, answer.code.status(), answer.code.id(), read).await
}

/// Answers without a body: a preflight or a redirect, with the lines that the gate wrote.
pub async fn empty(
    worker: &Worker,
    client: &mut Client,
    scratch: &mut Scratch,
    request: &Buf,
    status: u16,
) -> After {
    let read = !scratch.head.framing.has_body();
    let Scratch { head, plan, out, .. } = scratch;
    let keep_alive = head.keep_alive && read && !worker.draining.get();
    out.clear();
    write::status_line(out, status);
    write::date(out, &worker.date());
    out.extend_from_slice(&plan.response_fields);
    let framing = if status == 204 { BodyFraming::None } else { BodyFraming::Length(0) };
    write::response_framing(out, framing, None);
    write::connection(out, keep_alive, head.version);
    write::end(out);
    send(worker, client, scratch, request, status, 0, read).await
}

fn write_limited(worker: &Worker, scratch: &mut Scratch, code: Code, limit: LimitAnswer, read: bool) {
    let refusal = limit.refusal;
    let seconds = refusal.retry_after_ns.div_ceil(1_000_000_000);
    let unit = match limit.kind {
        Kind::Tokens(_) => Some("tokens"),
        Kind::Usd => Some("nano_usd"),
        Kind::Requests | Kind::Bytes(_) | Kind::Concurrent => None,
    };
    let members = [
        ("unit", Member::Text(unit.unwrap_or_default())),
        ("limit", Member::Number(refusal.limit)),
        ("window_seconds", Member::Number(refusal.window_ns / 1_000_000_000)),
        ("used", Member::Number(refusal.used)),
        ("remaining", Member::Number(refusal.remaining)),
        ("retry_after_seconds", Member::Number(seconds)),
    ];
    // What is larger than the whole limit never passes, however much of it is used.
    let waits = refusal.kind != RefusalKind::ExceedsLimit;
    let members = &members[usize::from(unit.is_none())..if waits { 6 } else { 3 }];
    let mut digits = Vec::new();
    write::decimal(&mut digits, seconds);
    let has_retry = !waits || contains_field(&scratch.plan.response_fields, b"retry-after:");
    match FieldValue::new(&digits) {
        Ok(value) if !has_retry => {
            let fields = [(FieldName::known(FieldId::RetryAfter), value)];
            write_problem(worker, scratch, &Problem { members, fields: &fields, ..Problem::new(code) }, read);
        }
        _ => write_problem(worker, scratch, &Problem { members, ..Problem::new(code) }, read),
    }
}

fn contains_field(lines: &[u8], name: &[u8]) -> bool {
    lines
        .split(|&b| b == b'\n')
        .any(|line| line.get(..name.len()).is_some_and(|n| n.eq_ignore_ascii_case(name)))
}

fn write_problem(worker: &Worker, scratch: &mut Scratch, problem: &Problem<'_>, read: bool) {
    if scratch.dialect.is_some() {
        let code = problem.code;
        let message = match problem.detail {
            Some(detail) => detail.to_owned(),
            None => format!("{}: {}", code.title(), in_words(code.doc(), problem.members)),
        };
        let mut lines = Vec::new();
        for &(name, value) in problem.fields {
            write::field(&mut lines, name, value);
        }
        let refused = Refused { message: &message, ..Refused::of(code) };
        return write_refused(worker, scratch, &refused, &lines, read);
    }
    let Scratch { head, plan, out, .. } = scratch;
    let delivery = Delivery {
        keep_alive: head.keep_alive && read && !worker.draining.get(),
        client: head.version,
        head_only: head.method == Method::Head,
        date: Some(&worker.date()),
    };
    out.clear();
    Problem { request_id: plan.request_id.as_bytes(), lines: &plan.response_fields, ..*problem }
        .write(&delivery, out);
}

/// Sends what stands in `out`, with the record published before it.
async fn send(
    worker: &Worker,
    client: &mut Client,
    scratch: &mut Scratch,
    request: &Buf,
    status: u16,
    code: u16,
    read: bool,
) -> After {
    send_with(worker, client, scratch, request, (status, code), read, b"").await
}

/// The same, with a body behind it.
async fn send_with(
    worker: &Worker,
    client: &mut Client,
    scratch: &mut Scratch,
    request: &Buf,
    (status, code): (u16, u16),
    read: bool,
    body: &[u8],
) -> After {
    let Scratch { head, plan, call, out, .. } = scratch;
    let keep_alive = head.keep_alive && read && !worker.draining.get();
    call.record.status = status;
    call.record.code = code;
    let sent = (out.len() + body.len()) as u64;
    call.record.bytes_out = sent;
    let began_ns = sys::monotonic_ns();
    call.publish(worker, &record::strings(head, request.bytes(), plan, &[]), began_ns, sent);
    let buf = worker.bufs.filled(&[out, body]);
    let until_ns = began_ns + client.peer.listener.timeouts.write.as_nanos() as u64;
    client.stream.write_timer.arm(until_ns, Action::Shutdown(Side::Both));
    let (result, buf) = client.stream.writer.write_all(buf).await;
    worker.bufs.put(buf);
    let gone = result.is_err().then_some(Code::ClientGone);
    call.sent_last(worker, began_ns, gone, if gone.is_some() { 0 } else { sent });
    match (result, keep_alive) {
        (Err(_), _) => After::Close,
        (Ok(()), true) => After::Next,
        (Ok(()), false) => After::Linger,
    }
}

//! What is changed of a request on its way up and of an answer on its way down.

use std::time::Duration;

use penstock_gate::spec::HostHeader;
use penstock_gate::{CallPlan, Drops, RouteRule};
use penstock_http::write;
use penstock_http::{Code, FieldId, FieldSet, FieldTable, Method, RequestHead, Version};

use crate::sys;
use crate::upstream::{Target, Upstream};

/// Writes the head that goes upstream: the target that the gate made, the client's fields without those of the
/// hop, of the route's edits and of spent credentials, and the lines that the gate added.
pub fn write_request(
    out: &mut Vec<u8>,
    head: &mut RequestHead,
    request: &[u8],
    plan: &CallPlan,
    route: &RouteRule,
    upstream: &Upstream,
    target: &Target,
) {
    out.clear();
    out.extend_from_slice(head.method_text.of(request));
    out.push(b' ');
    out.extend_from_slice(&plan.target);
    out.extend_from_slice(b" HTTP/1.1\r\n");
    let mut drop = route.request_drops.known.union(plan.spent_fields).union(FieldSet::ASSERTED);
    let spec = upstream.spec();
    let host: Option<&[u8]> = match &spec.host_header {
        HostHeader::Keep if head.fields.has(FieldId::Host) => None,
        HostHeader::Keep | HostHeader::Target => Some(target.host()),
        HostHeader::Fixed(host) => Some(host.as_bytes()),
    };
    if let Some(host) = host {
        drop = drop.with(FieldId::Host);
        out.extend_from_slice(b"Host: ");
        out.extend_from_slice(host);
        out.extend_from_slice(b"\r\n");
    }
    if head.framing.has_body() && !head.expect_continue {
        drop = drop.with(FieldId::Expect); // if it was there, we have met it
    }
    drop_names(&mut head.fields, request, &route.request_drops);
    write::copy_fields(out, request, &head.fields, drop);
    out.extend_from_slice(&plan.request_fields);
    write::request_framing(out, head.framing);
    write::end(out);
}

/// Marks the fields that are dropped by name, having no id.
pub fn drop_names(fields: &mut FieldTable, bytes: &[u8], drops: &Drops) {
    for name in &drops.names {
        fields.drop_name(bytes, name.as_str().as_bytes());
    }
}

/// How an answer goes to the client.
#[derive(Debug, Clone, Copy)]
pub struct ResponseShape<'a> {
    /// The method of the request.
    pub method: Method,
    /// The version of the client.
    pub client: Version,
    /// The client's connection may live on.
    pub keep_alive: bool,
    /// The client waits for a 100 before it sends its body.
    pub expects_continue: bool,
    /// Statuses that are not relayed but tried again.
    pub retry_statuses: &'a [u16],
    /// Fields that are not relayed.
    pub drops: &'a Drops,
    /// Lines that are added.
    pub fields: &'a [u8],
    /// For a write to the client to make progress.
    pub write_timeout: Duration,
    /// Between two bytes of the body.
    pub idle: Duration,
    /// When the call as a whole has taken too long, monotonic ns; [`u64::MAX`]: never.
    pub total_until_ns: u64,
}

impl ResponseShape<'_> {
    /// `patience` from now on, or the end of the whole call if that comes first.
    pub fn until(&self, now_ns: u64, patience: Duration) -> u64 {
        now_ns.saturating_add(patience.as_nanos() as u64).min(self.total_until_ns)
    }

    /// The code of a deadline that has passed.
    pub fn late(&self, code: Code) -> Code {
        if sys::monotonic_ns() >= self.total_until_ns { Code::TotalTimeout } else { code }
    }
}

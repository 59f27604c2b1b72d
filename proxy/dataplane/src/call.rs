//! One call under way: its record, its clock, and the moment at which the record is published.

use std::cell::Cell;
use std::rc::Rc;

use penstock_http::{Code, Method, RequestHead, Version};
use penstock_ring::{Amend, AmendReason, CallRecord, CallStrings, Protocol};

use crate::ai::account::AiTold;
use crate::client::Client;
use crate::sys;
use crate::worker::Worker;

/// A last send that takes longer than this is told by an amendment, in microseconds.
pub const SLOW_SEND_US: u64 = 10_000;

/// Numbers that both directions of a call change while they run.
#[derive(Debug, Default)]
pub struct Counters {
    /// Bytes of the request as the client framed it, head included.
    pub bytes_in: Cell<u64>,
    /// Bytes of content among them, for limits.
    pub content_in: Cell<u64>,
    /// Bytes sent to the upstream.
    pub upstream_out: Cell<u64>,
    /// The request is with the upstream as a whole.
    pub sent: Cell<bool>,
    /// The final answer has begun to come; from then on its side keeps the upstream's deadline.
    pub answering: Cell<bool>,
}

/// A call.
#[derive(Default)]
pub struct Call {
    /// What is remembered of it.
    pub record: CallRecord,
    /// See [`Counters`].
    pub counters: Rc<Counters>,
    /// Bytes of content that went to the client, for limits.
    pub content_out: u64,
    /// First byte, monotonic ns.
    pub began_ns: u64,
    /// Head complete, monotonic ns.
    pub head_ns: u64,
    /// When the answer was complete but for its last send, monotonic ns; 0 before that.
    pub settled_ns: u64,
    /// What it tells of models, if it was an AI call.
    pub ai: Option<Box<AiTold>>,
    /// Bytes of the send that completes the answer.
    pub last_send: u64,
    /// The sequence under which the record was published; none if the ring was full.
    published: Option<u64>,
    /// It has been offered to the ring.
    told: bool,
    /// It has begun, and nothing tells of it yet.
    open: bool,
}

impl Call {
    /// Makes the call ready for a request whose head is complete.
    pub fn begin(&mut self, worker: &Worker, client: &Client, head: &RequestHead, now_ns: u64) {
        self.began_ns = if client.began_ns == 0 { now_ns } else { client.began_ns };
        self.head_ns = now_ns;
        self.published = None;
        self.told = false;
        self.open = true;
        self.last_send = 0;
        self.settled_ns = 0;
        self.content_out = 0;
        self.ai = None;
        let counters = &self.counters;
        counters.bytes_in.set(head.head_len as u64);
        counters.content_in.set(0);
        counters.upstream_out.set(0);
        counters.sent.set(false);
        counters.answering.set(false);
        let record = &mut self.record;
        record.reset();
        record.time_ns = worker.wall_ns(self.began_ns);
        record.head_us = micros32(now_ns.saturating_sub(self.began_ns));
        if let Some(addr) = client.peer.addr {
            record.set_client(addr);
        }
        if let Some(secured) = &client.peer.tls {
            record.tls = secured.version.code();
        }
        record.listener = client.peer.listener.id.0;
        record.protocol = match head.version {
            Version::Http10 => Protocol::Http10,
            Version::Http11 => Protocol::Http11,
            Version::Http2 => Protocol::Http2,
        }
        .code();
        record.method = method_code(head.method);
        if client.requests == 1 {
            record.flags |= penstock_ring::flag::CONNECTION_NEW;
        }
    }

    /// Publishes the record. Called before the send that carries the answer's last byte is submitted, with the
    /// bytes that will have been sent by then; so a call whose answer the client has whole is in the ring, whatever
    /// becomes of this process.
    pub fn publish(&mut self, worker: &Worker, strings: &CallStrings<'_>, now_ns: u64, bytes_out: u64) {
        self.record.bytes_in = self.counters.bytes_in.get();
        self.record.upstream_bytes_out = self.counters.upstream_out.get();
        self.record.bytes_out = bytes_out;
        self.record.duration_us = micros(now_ns.saturating_sub(self.began_ns));
        self.published = match &self.ai {
            None => worker.record(&mut self.record, strings, None),
            Some(told) => worker.record(&mut self.record, &told.strings(strings), Some(&told.block)),
        };
        self.told = true;
        self.open = false;
    }

    /// Whether the record has been published, or was dropped because the ring is full.
    pub fn is_published(&self) -> bool {
        self.told
    }

    /// Whether it has begun and has no record yet.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Tells what became of the last send, if that is worth telling: it failed, or it took long. `bytes_out` is
    /// what was sent for sure.
    pub fn sent_last(&mut self, worker: &Worker, began_ns: u64, failed: Option<Code>, bytes_out: u64) {
        let Some(sequence) = self.published else { return };
        // A clock of the kernel's ticks costs a quarter of the exact one, and one that has not moved rules it out.
        if failed.is_none() && sys::tick_ns() < began_ns {
            return;
        }
        let now_ns = sys::monotonic_ns();
        let write_us = micros(now_ns.saturating_sub(began_ns));
        if failed.is_none() && write_us < SLOW_SEND_US {
            return;
        }
        self.published = None; // told once, whoever notices it first
        worker.amend(&Amend {
            sequence,
            time_ns: worker.wall_ns(now_ns),
            bytes_out,
            duration_us: micros(now_ns.saturating_sub(self.began_ns)),
            write_us: self.record.write_us + write_us,
            code: failed.map_or(self.record.code, |code| code.id()),
            reason: if failed.is_some() { AmendReason::SendFailed } else { AmendReason::SendSlow }.code(),
            flags: if failed.is_some() { penstock_ring::flag::CLIENT_GONE } else { 0 },
            ..Amend::default()
        });
    }
}

/// Whole microseconds.
pub fn micros(ns: u64) -> u64 {
    ns / 1000
}

/// Whole microseconds, as far as the record's field counts.
pub fn micros32(ns: u64) -> u32 {
    u32::try_from(ns / 1000).unwrap_or(u32::MAX)
}

fn method_code(method: Method) -> u8 {
    penstock_ring::Method::from_bytes(method.as_str().as_bytes()).code()
}

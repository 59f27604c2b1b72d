//! One attempt of a call at one deployment: what it is sent, what came of it, what it cost.

use penstock_ai::catalogue::{Billed, NanoUsd};
use penstock_ai::json::Edits;
use penstock_ai::relay::Noted;
use penstock_ai::usage::{Account, Usage};
use penstock_http::{Code, FieldId, RequestHead, write};
use penstock_ledger::Outcome::{Estimated, Settled};
use penstock_ledger::{Rule, Settlement, flag};
use penstock_limits::Spend;
use penstock_ring::{AiAttempt, ai_flag};

use super::account::{self, AiTold, Outcome};
use super::answering::named;
use super::booking::Booking;
use super::directory::{Cost, Deployment, Directory, Shown};
use super::sigv4::Signed;
use crate::call::{Call, micros32};
use crate::sys;

/// Fields of a request that go to a provider of the same dialect: what its SDK tells of itself and of what it wants.
const PASSED: [&str; 8] = [
    "anthropic-beta",
    "anthropic-version",
    "openai-beta",
    "idempotency-key",
    "x-goog-api-client",
    "http-referer",
    "x-title",
    "user-agent",
];

/// An attempt.
#[derive(Debug)]
pub struct Attempt<'d> {
    directory: &'d Directory,
    /// Where it goes.
    pub to: Deployment<'d>,
    began_ns: u64,
    /// When it began, in seconds since 1970.
    pub unix_s: u64,
    input_bytes: usize,
    used: Option<Spend>,
    booking: Booking,
    /// The provider's id of its answer.
    pub response_id: String,
    /// The status of its answer; 0 if there was none.
    pub status: u16,
    /// When the first token came after the request was sent, in microseconds; 0: not yet.
    pub first_token_us: u32,
    /// The longest time between two pieces of the answer, in microseconds.
    pub gap_us_max: u32,
}

impl<'d> Attempt<'d> {
    /// An attempt that begins at `began_ns` (monotonic; `unix_s` on the calendar), with a request of so many bytes.
    pub fn new(
        directory: &'d Directory,
        to: Deployment<'d>,
        (began_ns, unix_s): (u64, u64),
        input_bytes: usize,
        booking: Booking,
    ) -> Self {
        Self {
            directory,
            to,
            began_ns,
            unix_s,
            input_bytes,
            used: None,
            booking,
            response_id: String::new(),
            status: 0,
            first_token_us: 0,
            gap_us_max: 0,
        }
    }

    /// Books a stream, as far as it came.
    pub fn settle_stream(&mut self, call: &mut Call, noted: &Noted, failed: Option<Code>) {
        let outcome = match (failed, &noted.failure) {
            (None, None) => Outcome::Answered,
            (None, Some(failure)) => failure.class.into(),
            (Some(Code::ClientGone), _) => Outcome::ClientGone,
            (Some(Code::UpstreamIdleTimeout | Code::UpstreamFirstByteTimeout | Code::TotalTimeout), _) => {
                Outcome::TimedOut
            }
            (Some(_), _) => Outcome::BrokenStream,
        };
        self.settle(call, &noted.account, noted.said, noted.finish, outcome);
    }

    /// Books an attempt of which nothing came.
    pub fn settle_unanswered(&mut self, call: &mut Call, outcome: Outcome) {
        self.settle(call, &Account::default(), 0, 0, outcome);
    }

    /// What it used, as limits count it; nothing if it is not booked, as nothing was sent.
    pub fn used(&self) -> Spend {
        self.used.unwrap_or_default()
    }

    /// Books the attempt, once; what it cost.
    pub fn settle(
        &mut self,
        call: &mut Call,
        account: &Account,
        said: usize,
        finish: u8,
        outcome: Outcome,
    ) -> Option<NanoUsd> {
        if self.used.is_some() {
            return None;
        }
        let usage = account.usage.unwrap_or_else(|| match said {
            0 => Usage::default(), // a provider bills nothing for an answer of which nothing came
            said => Usage {
                input: account::estimate(self.input_bytes),
                output: account::estimate(said),
                ..Usage::default()
            },
        });
        let cost = self.directory.cost(&self.to, &Billed::from(usage), self.unix_s);
        let cost = cost.ok();
        self.used = Some(Spend {
            input_tokens: usage.input_total(),
            output_tokens: usage.output_total(),
            usd_nano: cost.map_or(0, |cost| cost.nano.0),
        });
        self.book(account, usage, cost, outcome);
        let told: &mut AiTold = call.ai.get_or_insert_default();
        let now_ns = sys::monotonic_ns();
        told.block.attempt(AiAttempt {
            cost_nanodollars: cost.map_or(0, |cost| i64::try_from(cost.nano.0).unwrap_or(i64::MAX)),
            provider: self.to.provider.spec.id.0,
            key: self.to.key_id().0,
            model: self.to.model_id.0,
            price: cost.map_or(0, |cost| cost.price.0 as u32),
            first_token_us: self.first_token_us,
            duration_us: micros32(now_ns.saturating_sub(self.began_ns)),
            tokens: account::tokens(&usage),
            status: self.status,
            outcome: outcome as u8,
            settled: u8::from(account.usage.is_some()),
            spare: [0; 4],
        });
        if let Some(model) = &account.model {
            told.model_served.clone_from(model);
        }
        let head = &mut told.block.head;
        head.finish = if finish == 0 && outcome != Outcome::Answered { 6 } else { finish };
        head.first_token_us = self.first_token_us;
        head.chunk_gap_us_max = self.gap_us_max;
        let took_us = u64::from(micros32(now_ns.saturating_sub(self.began_ns)));
        let milli = usage.output_total().saturating_mul(1_000_000_000).checked_div(took_us).unwrap_or(0);
        head.tokens_per_second_milli = u32::try_from(milli).unwrap_or(u32::MAX);
        if !told.degraded.is_empty() {
            head.flags |= ai_flag::DEGRADED;
        }
        cost.map(|cost| cost.nano)
    }

    /// Writes into the ledger what it cost, by which rule.
    fn book(&mut self, account: &Account, usage: Usage, cost: Option<Cost>, outcome: Outcome) {
        let certain = account.usage.is_some() && cost.is_some();
        let rule = match (account.usage, cost) {
            (Some(_), Some(_)) => Rule::NONE,
            (_, None) => Rule::NO_PRICE,
            (None, _) if usage == Usage::default() && outcome == Outcome::ClientGone => Rule::RESERVATION,
            (None, _) if usage == Usage::default() => Rule::NO_ANSWER,
            (None, _) => Rule::COUNTED,
        };
        let served = account.model.as_deref().unwrap_or_default();
        let differs = !served.is_empty() && !served.starts_with(self.to.model);
        let mut flags = if differs { flag::MODEL_DIFFERS } else { 0 };
        flags |= if cost.is_none() { flag::PRICE_UNKNOWN } else { 0 };
        self.booking.settle(&Settlement {
            time_ns: self.unix_s.saturating_mul(1_000_000_000)
                + sys::monotonic_ns().saturating_sub(self.began_ns),
            outcome: if certain { Settled } else { Estimated(rule) },
            billed: Billed::from(usage),
            cost: cost.map_or(NanoUsd(0), |cost| cost.nano),
            price: cost.map(|cost| cost.price),
            model: served,
            response_id: &self.response_id,
            flags,
        });
    }
}

/// What of a request's head a provider is sent.
#[derive(Debug)]
pub struct Sending<'a> {
    /// Path and query.
    pub path: &'a str,
    /// `Host`.
    pub host: &'a [u8],
    /// What the key and the API add.
    pub shown: &'a Shown,
    /// When, in seconds since 1970.
    pub unix_s: u64,
    /// The body.
    pub body: (&'a [u8], &'a Edits),
    /// The client's head and its bytes, if it speaks the same dialect.
    pub client: Option<(&'a RequestHead, &'a [u8])>,
    /// Whether a stream is wanted, and of which media type.
    pub accept: &'a str,
}

impl Sending<'_> {
    /// Writes the head.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(b"POST ");
        out.extend_from_slice(self.path.as_bytes());
        let Shown { lines, query, signs } = self.shown;
        if !query.is_empty() {
            out.push(if self.path.contains('?') { b'&' } else { b'?' });
            out.extend_from_slice(query.as_bytes());
        }
        out.extend_from_slice(b" HTTP/1.1\r\nHost: ");
        out.extend_from_slice(self.host);
        out.extend_from_slice(b"\r\nContent-Type: application/json\r\nAccept: ");
        out.extend_from_slice(self.accept.as_bytes());
        out.extend_from_slice(b"\r\nAccept-Encoding: identity\r\n");
        let mut named_itself = false;
        if let Some((head, bytes)) = self.client {
            for name in PASSED {
                // What the API's own lines say, the client's saying it wins: it knows the version it was made for.
                if let Some(value) = named(&head.fields, bytes, name) {
                    named_itself |= name == "user-agent";
                    push_line(out, name, value);
                }
            }
        }
        if !named_itself {
            push_line(out, "user-agent", concat!("penstock/", env!("CARGO_PKG_VERSION")));
        }
        let said = self.client.map(|(head, bytes)| (&head.fields, bytes));
        for line in lines.split_inclusive(|&byte| byte == b'\n') {
            let name = line.split(|&byte| byte == b':').next().unwrap_or_default();
            let name = std::str::from_utf8(name).unwrap_or_default();
            let again = PASSED.contains(&name)
                && said.is_some_and(|(fields, bytes)| named(fields, bytes, name).is_some());
            if !again {
                out.extend_from_slice(line);
            }
        }
        let (document, edits) = self.body;
        if let Some((keys, service, region)) = signs {
            let host = std::str::from_utf8(self.host).unwrap_or_default();
            let signed =
                Signed { service, region, method: "POST", host, target: self.path, unix_s: self.unix_s };
            signed.write(keys, edits.pieces(document), out);
        }
        write::content_length(out, edits.len_after(document.len()) as u64);
        write::end(out);
    }
}

fn push_line(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Whether a field stands more than once or names an encoding of a request's body.
pub fn is_encoded(head: &RequestHead, bytes: &[u8]) -> bool {
    head.fields
        .value(bytes, FieldId::ContentEncoding)
        .is_some_and(|value| !value.eq_ignore_ascii_case(b"identity"))
}

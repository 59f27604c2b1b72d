//! A call's fields as users see them: the names of the contract, ids turned into names.
//!
//! One list of fields serves JSON, CSV and filters. Knows the dictionary. Must not know how a call
//! was found.

use std::borrow::Cow;

use penstock_ring::{
    AiCall, Cache, CallRecord, CallView, Dictionary, EntryKind, Method, Protocol, SLOT_NAMES, Slot, Stage,
    Tls, Verdict,
};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Value, json};

use crate::time::rfc3339;

/// All fields in the order in which they are shown.
pub const FIELDS: &[&str] = &[
    "time",
    "sequence",
    "run",
    "worker",
    "request_id",
    "trace_id",
    "revision",
    "release",
    "tenant",
    "team",
    "app",
    "credential",
    "subject",
    "client_ip",
    "tls",
    "listener",
    "protocol",
    "method",
    "host",
    "path",
    "service",
    "version",
    "route",
    "operation_id",
    "status",
    "code",
    "upstream",
    "target",
    "upstream_status",
    "retries",
    "bytes_in",
    "bytes_out",
    "upstream_bytes_in",
    "upstream_bytes_out",
    "stages",
    "duration_us",
    "head_us",
    "policy_us",
    "queue_us",
    "connect_us",
    "first_byte_us",
    "upstream_us",
    "write_us",
    "limit",
    "cache",
    "tags",
    "ai",
    "flags",
    "truncated",
];

/// The value of a field.
#[derive(Clone, Debug, PartialEq)]
pub enum Field<'a> {
    /// Nothing to say.
    Absent,
    /// A whole number.
    Number(u64),
    /// A fraction.
    Fraction(f64),
    /// Text.
    Text(Cow<'a, str>),
    /// An object or a list.
    Nested(Value),
}

impl Serialize for Field<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Field::Absent => serializer.serialize_none(),
            Field::Number(number) => serializer.serialize_u64(*number),
            Field::Fraction(number) => serializer.serialize_f64(*number),
            Field::Text(text) => serializer.serialize_str(text),
            Field::Nested(value) => value.serialize(serializer),
        }
    }
}

/// A call from a ring, with the dictionary to name its ids.
///
/// Serializes as one object with every name of [`FIELDS`], `null` where there is nothing to say.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    /// What was read.
    pub view: CallView<'a>,
    /// The run whose ring it was read from.
    pub run: u64,
    /// The worker whose ring it was read from.
    pub worker: u32,
    /// Names.
    pub dictionary: &'a Dictionary,
}

impl Serialize for Call<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(FIELDS.len()))?;
        for name in FIELDS {
            map.serialize_entry(name, &self.field(name))?;
        }
        map.end()
    }
}

impl<'a> Call<'a> {
    fn record(&self) -> &CallRecord {
        &self.view.record
    }

    /// The value of a field of [`FIELDS`]; absent for any other name.
    pub fn field(&self, name: &str) -> Field<'a> {
        let record = self.record();
        let named = |kind, id| self.named(kind, id);
        let count = Field::Number;
        let time = |us: u32| if us == 0 { Field::Absent } else { Field::Number(u64::from(us)) };
        match name {
            "time" => Field::Text(rfc3339(record.time_ns).into()),
            "sequence" => count(record.sequence),
            "run" => count(self.run),
            "worker" => count(u64::from(self.worker)),
            "request_id" => self.text(Slot::RequestId),
            "trace_id" => hex(&record.trace_id),
            "revision" => some(record.revision),
            "release" => some(u64::from(record.release)),
            "tenant" => named(EntryKind::Tenant, record.tenant),
            "team" => named(EntryKind::Team, record.team),
            "app" => named(EntryKind::App, record.app),
            "credential" => named(EntryKind::Credential, record.credential),
            "subject" => self.text(Slot::Subject),
            "client_ip" => {
                record.client_address().map_or(Field::Absent, |ip| Field::Text(ip.to_string().into()))
            }
            "tls" => coded(record.tls, Tls::from_code(record.tls).map(Tls::name)),
            "listener" => named(EntryKind::Listener, record.listener),
            "protocol" => coded(record.protocol, Protocol::from_code(record.protocol).map(Protocol::name)),
            "method" if record.method == Method::Other.code() => self.text(Slot::Method),
            "method" => coded(record.method, Method::from_code(record.method).map(Method::name)),
            "host" => self.text(Slot::Host),
            "path" => self.text(Slot::Path),
            "service" => named(EntryKind::Service, record.service),
            "version" => named(EntryKind::Version, record.version),
            "route" => named(EntryKind::Route, record.route),
            "operation_id" => named(EntryKind::Operation, record.operation),
            "status" => some(u64::from(record.status)),
            "code" => named(EntryKind::Code, u32::from(record.code)),
            "upstream" => named(EntryKind::Upstream, record.upstream),
            "target" if self.view.string(Slot::Target).is_empty() => named(EntryKind::Target, record.target),
            "target" => self.text(Slot::Target),
            "upstream_status" => some(u64::from(record.upstream_status)),
            "retries" => count(u64::from(record.retries)),
            "bytes_in" => count(record.bytes_in),
            "bytes_out" => count(record.bytes_out),
            "upstream_bytes_in" => count(record.upstream_bytes_in),
            "upstream_bytes_out" => count(record.upstream_bytes_out),
            "stages" => Field::Nested(self.stages()),
            "duration_us" => count(record.duration_us),
            "head_us" => time(record.head_us),
            "policy_us" => Field::Fraction(f64::from(record.policy_ns) / 1e3),
            "queue_us" => time(record.queue_us),
            "connect_us" => time(record.connect_us),
            "first_byte_us" => time(record.first_byte_us),
            "upstream_us" => some(record.upstream_us),
            "write_us" => some(record.write_us),
            "limit" => self.limit(),
            "cache" => coded(record.cache, Cache::from_code(record.cache).map(Cache::name)),
            "tags" => self.text(Slot::Tags),
            "ai" => self.ai(),
            "flags" => flags(record.flags),
            "truncated" => self.truncated(),
            _ => Field::Absent,
        }
    }

    fn named(&self, kind: EntryKind, id: u32) -> Field<'a> {
        match self.dictionary.name(kind, id) {
            Some(name) => Field::Text(name.into()),
            None if id == 0 => Field::Absent,
            None => Field::Text(format!("#{id}").into()),
        }
    }

    fn text(&self, slot: Slot) -> Field<'a> {
        match self.view.string(slot) {
            b"" => Field::Absent,
            bytes => Field::Text(String::from_utf8_lossy(bytes)),
        }
    }

    fn json_name(&self, kind: EntryKind, id: u32) -> Value {
        serde_json::to_value(self.named(kind, id)).unwrap_or(Value::Null)
    }

    /// Stage by stage in the order of the chain: verdict, the rules that spoke, ns where measured.
    pub fn stage_list(&self) -> Vec<(Stage, Cow<'static, str>, Vec<String>, u32)> {
        let record = self.record();
        Stage::ALL
            .iter()
            .filter(|stage| record.verdicts[stage.code() as usize] != Verdict::NotRun.code())
            .map(|&stage| {
                let code = record.verdicts[stage.code() as usize];
                let verdict = Verdict::from_code(code)
                    .map_or_else(|| Cow::Owned(format!("#{code}")), |verdict| Cow::Borrowed(verdict.name()));
                let rules = record
                    .rules_of(stage)
                    .map(|rule| {
                        crate::view::name_of(
                            self.dictionary,
                            if stage == Stage::Limit { EntryKind::Limit } else { EntryKind::Rule },
                            rule,
                        )
                    })
                    .collect();
                (stage, verdict, rules, record.stage_ns[stage.code() as usize])
            })
            .collect()
    }

    fn stages(&self) -> Value {
        let mut stages = serde_json::Map::new();
        for (stage, verdict, rules, ns) in self.stage_list() {
            let mut told = json!({ "verdict": verdict });
            if !rules.is_empty() {
                told["rules"] = rules.into();
            }
            if ns > 0 {
                told["ns"] = ns.into();
            }
            stages.insert(stage.name().into(), told);
        }
        Value::Object(stages)
    }

    fn limit(&self) -> Field<'a> {
        let record = self.record();
        if record.limit == 0 {
            return Field::Absent;
        }
        let name = self.json_name(EntryKind::Limit, record.limit);
        Field::Nested(json!({ "name": name, "remaining": record.limit_remaining }))
    }

    fn truncated(&self) -> Field<'a> {
        let bits = self.view.truncated_bits();
        let cut: Vec<&str> = SLOT_NAMES
            .iter()
            .enumerate()
            .filter(|(slot, _)| bits & (1 << slot) != 0)
            .map(|(_, name)| *name)
            .collect();
        if cut.is_empty() { Field::Absent } else { Field::Nested(json!(cut)) }
    }

    fn ai(&self) -> Field<'a> {
        let Some(AiCall { head, attempts }) = self.view.ai() else {
            return Field::Absent;
        };
        let text = |slot| serde_json::to_value(self.text(slot)).unwrap_or(Value::Null);
        let attempts: Vec<Value> = attempts[..usize::from(head.attempts).min(attempts.len())]
            .iter()
            .map(|attempt| {
                json!({
                    "provider": self.json_name(EntryKind::Provider, attempt.provider),
                    "key": self.json_name(EntryKind::Key, attempt.key),
                    "model": self.json_name(EntryKind::Model, attempt.model),
                    "price": self.json_name(EntryKind::Price, attempt.price),
                    "status": attempt.status,
                    "outcome": name_at(&OUTCOMES, attempt.outcome),
                    "first_token_us": attempt.first_token_us,
                    "duration_us": attempt.duration_us,
                    "tokens": tokens(&attempt.tokens),
                    "cost_nanodollars": attempt.cost_nanodollars,
                    "settled": attempt.settled == 1,
                })
            })
            .collect();
        Field::Nested(json!({
            "dialect_in": self.json_name(EntryKind::Dialect, u32::from(head.dialect_in)),
            "dialect_out": self.json_name(EntryKind::Dialect, u32::from(head.dialect_out)),
            "stream": head.flags & penstock_ring::ai_flag::STREAM != 0,
            "model_asked": text(Slot::ModelAsked),
            "model_served": text(Slot::ModelServed),
            "end_user": text(Slot::EndUser),
            "degraded": text(Slot::Degraded),
            "guard_in": Verdict::from_code(head.guards & 15).map(Verdict::name),
            "guard_out": Verdict::from_code(head.guards >> 4).map(Verdict::name),
            "finish": name_at(&FINISHES, head.finish),
            "first_token_us": head.first_token_us,
            "chunk_gap_us_max": head.chunk_gap_us_max,
            "tokens_per_second": f64::from(head.tokens_per_second_milli) / 1e3,
            "cost_nanodollars": head.cost_nanodollars,
            "attempts": attempts,
            "rest_attempts": head.rest_attempts,
            "rest_tokens": tokens(&head.rest_tokens),
            "rest_cost_nanodollars": head.rest_cost_nanodollars,
        }))
    }
}

/// Names of [`penstock_ring::AiAttempt::outcome`].
const OUTCOMES: [&str; 9] = [
    "answered",
    "rate_limited",
    "server_error",
    "client_error",
    "timed_out",
    "broken_stream",
    "client_gone",
    "content_policy",
    "context_window",
];

/// Names of [`penstock_ring::AiHead::finish`].
const FINISHES: [&str; 7] = ["none", "stop", "length", "tool_calls", "content_filter", "refusal", "error"];

/// Names of [`CallRecord::flags`], lowest bit first.
const FLAGS: [&str; 5] = ["stages_timed", "rules_cut", "client_gone", "connection_new", "upstream_reused"];

fn name_at(names: &[&'static str], code: u8) -> Cow<'static, str> {
    names.get(usize::from(code)).map_or_else(|| Cow::Owned(format!("#{code}")), |&name| Cow::Borrowed(name))
}

fn tokens(tokens: &penstock_ring::Tokens) -> Value {
    json!({
        "input": tokens.input,
        "cached_read": tokens.cached_read,
        "cache_write": tokens.cache_write,
        "output": tokens.output,
        "reasoning": tokens.reasoning,
        "audio": tokens.audio,
    })
}

fn some(number: u64) -> Field<'static> {
    if number == 0 { Field::Absent } else { Field::Number(number) }
}

/// A word of a closed vocabulary; zero says nothing.
fn coded(code: u8, name: Option<&'static str>) -> Field<'static> {
    match name {
        _ if code == 0 => Field::Absent,
        Some(name) => Field::Text(name.into()),
        None => Field::Text(format!("#{code}").into()),
    }
}

fn flags(bits: u8) -> Field<'static> {
    let set: Vec<&str> =
        FLAGS.iter().enumerate().filter(|(bit, _)| bits & (1 << bit) != 0).map(|(_, name)| *name).collect();
    if set.is_empty() { Field::Absent } else { Field::Nested(json!(set)) }
}

fn hex(bytes: &[u8; 16]) -> Field<'static> {
    match u128::from_be_bytes(*bytes) {
        0 => Field::Absent,
        number => Field::Text(format!("{number:032x}").into()),
    }
}

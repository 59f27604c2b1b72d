//! The mock's own bill: what every request used, by key and model, in counts that nothing else of the project takes part
//! in. Shared by all threads of the mock.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde_json::json;

use super::limits::{Allowance, Left, Window};
use crate::llm::{Dialect, Usage};

/// Keys and models that are told apart; what comes later is counted under [`OTHERS`].
const NAMES_MAX: usize = 100_000;
const OTHERS: &str = "(others)";
/// Longest key, model or id that is kept, in bytes.
const NAME_BYTES_MAX: usize = 256;

/// How far an answer came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    /// All of it was written.
    Complete,
    /// A part of its body was written.
    Partial,
    /// It was an error.
    Refused,
    /// No byte of its body was written.
    Nothing,
}

/// Whose request it is, and for what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Who<'a> {
    pub(super) key: &'a str,
    /// The model that answers and is billed.
    pub(super) model: &'a str,
    /// The model that was asked.
    pub(super) asked: &'a str,
    pub(super) id: Option<&'a str>,
}

/// What is known of a request when it begins.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) number: u64,
    key: u32,
    model: u32,
    asked: u32,
    id: Option<Box<str>>,
    dialect: Dialect,
    stream: bool,
    begun_unix_us: u64,
    /// The mark that was set when it was looked at last.
    mark_unix_us: u64,
    /// Bytes of the body that were written when a new mark was seen.
    bytes_at_mark: Option<u64>,
}

/// What is known when it ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outcome {
    pub(super) status: u16,
    pub(super) state: State,
    pub(super) usage: Usage,
    /// The client was told all of the usage.
    pub(super) told: bool,
    pub(super) body_bytes: u64,
    /// The client left before the end.
    pub(super) client_left: bool,
}

#[derive(Debug)]
struct Line {
    call: Call,
    outcome: Outcome,
    ended_unix_us: u64,
}

/// Sums of a key and a model.
#[derive(Debug, Clone, Copy, Default, Serialize)]
struct Sum {
    complete: u64,
    partial: u64,
    refused: u64,
    nothing: u64,
    client_left: u64,
    usage: Usage,
}

#[derive(Debug, Default)]
struct Key {
    /// Requests that have begun.
    calls: u64,
    window: Window,
}

#[derive(Debug, Default)]
struct Books {
    names: Vec<Box<str>>,
    by_name: HashMap<Box<str>, u32>,
    keys: HashMap<u32, Key>,
    sums: HashMap<(u32, u32), Sum>,
    lines: VecDeque<Line>,
    lines_dropped: u64,
}

/// The bill.
#[derive(Debug)]
pub(super) struct Ledger {
    books: Mutex<Books>,
    lines_max: usize,
    requests: AtomicU64,
    in_flight: AtomicU64,
    in_flight_max: AtomicU64,
    mark_unix_us: AtomicU64,
}

/// Microseconds since 1970.
pub(super) fn unix_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

impl Ledger {
    /// An empty bill that keeps the newest lines.
    pub(super) fn new(lines_max: usize) -> Self {
        Self {
            books: Mutex::default(),
            lines_max,
            requests: AtomicU64::new(0),
            in_flight: AtomicU64::new(0),
            in_flight_max: AtomicU64::new(0),
            mark_unix_us: AtomicU64::new(0),
        }
    }

    /// Notes that a request has begun, and counts it against the limit of its key.
    pub(super) fn begin(
        &self,
        who: &Who<'_>,
        (dialect, stream): (Dialect, bool),
        allowed: Allowance,
    ) -> (Call, Left) {
        let now = self.in_flight.fetch_add(1, Ordering::Relaxed) + 1;
        self.in_flight_max.fetch_max(now, Ordering::Relaxed);
        let begun_unix_us = unix_us();
        let mut books = self.books();
        let (key, model, asked) = (books.name(who.key), books.name(who.model), books.name(who.asked));
        let account = books.keys.entry(key).or_default();
        account.calls += 1;
        let left = account.window.take(allowed, begun_unix_us / 1_000_000);
        drop(books);
        let call = Call {
            number: self.requests.fetch_add(1, Ordering::Relaxed),
            key,
            model,
            asked,
            id: who.id.filter(|id| id.len() <= NAME_BYTES_MAX).map(Into::into),
            dialect,
            stream,
            begun_unix_us,
            mark_unix_us: self.mark_unix_us.load(Ordering::Relaxed),
            bytes_at_mark: None,
        };
        (call, left)
    }

    /// To be called before each write: sees whether a mark was set since the last one.
    pub(super) fn look_at_mark(&self, call: &mut Call, body_bytes: u64) {
        let mark = self.mark_unix_us.load(Ordering::Relaxed);
        if mark != call.mark_unix_us {
            call.mark_unix_us = mark;
            call.bytes_at_mark = Some(body_bytes);
        }
    }

    /// Notes how a request has ended.
    pub(super) fn end(&self, mut call: Call, outcome: Outcome) {
        self.look_at_mark(&mut call, outcome.body_bytes);
        let mut books = self.books();
        let sum = books.sums.entry((call.key, call.model)).or_default();
        match outcome.state {
            State::Complete => sum.complete += 1,
            State::Partial => sum.partial += 1,
            State::Refused => sum.refused += 1,
            State::Nothing => sum.nothing += 1,
        }
        sum.client_left += u64::from(outcome.client_left);
        sum.usage.add(&outcome.usage);
        let tokens = outcome.usage.prompt() + outcome.usage.completion();
        books.keys.entry(call.key).or_default().window.use_tokens(tokens);
        if books.lines.len() == self.lines_max {
            books.lines.pop_front();
            books.lines_dropped += 1;
        }
        books.lines.push_back(Line { call, outcome, ended_unix_us: unix_us() });
        drop(books);
        // Last, so that who sees nobody in flight sees every line.
        self.in_flight.fetch_sub(1, Ordering::Release);
    }

    /// Sets the mark; returns its time.
    pub(super) fn mark(&self) -> u64 {
        let now = unix_us();
        self.mark_unix_us.store(now, Ordering::Relaxed);
        now
    }

    /// Forgets everything but what is in flight.
    pub(super) fn reset(&self) {
        let mut books = self.books();
        // Numbers of names must stay: calls in flight have them.
        let Books { names, by_name, .. } = std::mem::take(&mut *books);
        (books.names, books.by_name) = (names, by_name);
        self.in_flight_max.store(self.in_flight.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// The totals as JSON.
    pub(super) fn totals(&self) -> String {
        let in_flight = self.in_flight.load(Ordering::Acquire);
        let books = self.books();
        let mut keys: BTreeMap<&str, (u64, BTreeMap<&str, Sum>)> = BTreeMap::new();
        for (name, key) in &books.keys {
            keys.entry(&books.names[*name as usize]).or_default().0 = key.calls;
        }
        let (mut usage, mut calls) = (Usage::default(), 0);
        for ((key, model), sum) in &books.sums {
            usage.add(&sum.usage);
            keys.entry(&books.names[*key as usize])
                .or_default()
                .1
                .insert(&books.names[*model as usize], *sum);
        }
        let keys: BTreeMap<&str, serde_json::Value> = keys
            .into_iter()
            .map(|(name, (of_key, models))| {
                calls += of_key;
                (name, json!({"calls": of_key, "models": models}))
            })
            .collect();
        let totals = json!({
            "calls": calls,
            "in_flight": in_flight,
            "in_flight_max": self.in_flight_max.load(Ordering::Relaxed),
            "lines_dropped": books.lines_dropped,
            "usage": usage,
            "keys": keys,
        });
        totals.to_string()
    }

    /// All lines as JSON, and the totals as the last.
    pub(super) fn bill(&self) -> String {
        let totals = self.totals();
        let books = self.books();
        let mut out = String::new();
        for line in &books.lines {
            let after_mark = line.call.bytes_at_mark.map(|bytes| {
                json!({
                    "us": line.ended_unix_us.saturating_sub(line.call.mark_unix_us),
                    "bytes": line.outcome.body_bytes - bytes,
                })
            });
            let shown = json!({
                "request": line.call.number,
                "id": line.call.id,
                "key": books.names[line.call.key as usize],
                "model": books.names[line.call.model as usize],
                "asked": books.names[line.call.asked as usize],
                "dialect": line.call.dialect.name(),
                "stream": line.call.stream,
                "status": line.outcome.status,
                "state": line.outcome.state,
                "usage": line.outcome.usage,
                "told": line.outcome.told,
                "body_bytes": line.outcome.body_bytes,
                "client_left": line.outcome.client_left,
                "begun_unix_us": line.call.begun_unix_us,
                "ended_unix_us": line.ended_unix_us,
                "after_mark": after_mark,
            });
            out.push_str(&shown.to_string());
            out.push('\n');
        }
        out.push_str(&format!("{{\"totals\":{totals}}}\n"));
        out
    }

    fn books(&self) -> std::sync::MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Books {
    /// The number of a name.
    fn name(&mut self, name: &str) -> u32 {
        let name = if name.len() > NAME_BYTES_MAX { OTHERS } else { name };
        if let Some(number) = self.by_name.get(name) {
            return *number;
        }
        let name = if self.names.len() >= NAMES_MAX { OTHERS } else { name };
        let number = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        *self.by_name.entry(name.into()).or_insert_with(|| {
            self.names.push(name.into());
            number
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    const FREE: Allowance = Allowance { requests: u64::MAX, tokens: u64::MAX };

    fn who(key: &str) -> Who<'_> {
        Who { key, model: "m", asked: "n", id: Some("r-1") }
    }

    fn one(ledger: &Ledger, key: &str, output: u64, state: State) {
        let (call, _) = ledger.begin(&who(key), (Dialect::Gemini, true), FREE);
        let usage = Usage { input: 10, output, ..Usage::default() };
        let outcome = Outcome {
            status: 200,
            state,
            usage,
            told: true,
            body_bytes: 5,
            client_left: state == State::Partial,
        };
        ledger.end(call, outcome);
    }

    #[test]
    fn lines_are_bounded_and_totals_are_not() {
        let ledger = Ledger::new(2);
        for output in 1..=3 {
            one(&ledger, "a", output, State::Complete);
        }
        one(&ledger, "b", 7, State::Partial);
        let lines: Vec<Value> =
            ledger.bill().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 3);
        assert_eq!((&lines[0]["usage"]["output"], &lines[1]["key"]), (&json!(3), &json!("b")));
        let totals = &lines[2]["totals"];
        assert_eq!(totals["calls"], 4);
        assert_eq!(totals["lines_dropped"], 2);
        assert_eq!(totals["usage"]["output"], 13);
        assert_eq!(totals["keys"]["a"]["models"]["m"]["complete"], 3);
        assert_eq!(totals["keys"]["b"]["models"]["m"]["client_left"], 1);
        assert_eq!((&totals["in_flight"], &totals["in_flight_max"]), (&json!(0), &json!(1)));
        ledger.reset();
        assert_eq!(serde_json::from_str::<Value>(&ledger.totals()).unwrap()["calls"], 0);
    }

    #[test]
    fn a_mark_parts_what_was_written_before_it() {
        let ledger = Ledger::new(10);
        let begin = || ledger.begin(&who("a"), (Dialect::Gemini, false), FREE).0;
        let mut call = begin();
        ledger.look_at_mark(&mut call, 100);
        ledger.mark();
        ledger.look_at_mark(&mut call, 140);
        let outcome = |body_bytes| Outcome {
            status: 200,
            state: State::Partial,
            usage: Usage::default(),
            told: false,
            body_bytes,
            client_left: true,
        };
        ledger.end(call, outcome(190));
        ledger.end(begin(), outcome(5));
        let lines: Vec<Value> =
            ledger.bill().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines[0]["after_mark"]["bytes"], 50);
        assert!(lines[1]["after_mark"].is_null());
    }

    #[test]
    fn a_limit_is_of_its_key() {
        let ledger = Ledger::new(10);
        let allowed = Allowance { requests: 1, tokens: 1000 };
        let exceeded = |key| ledger.begin(&who(key), (Dialect::Gemini, false), allowed).1.exceeded;
        // Two windows may meet within this test; a third cannot begin.
        let first = [exceeded("a"), exceeded("a"), exceeded("a")];
        assert!(!first[0] && first[1..].contains(&true), "{first:?}");
        assert!(!exceeded("b"));
    }
}

//! Reads one answer of a language model as it comes, and says what it brought or why it is none. Bytes and times in,
//! facts out.

use std::time::{Duration, Instant};

use http::{HeaderMap, StatusCode};

use super::document::{self, Brought};
use super::events::{Event, Frames, Lines, Malformed};
use crate::llm::{Dialect, Usage};

/// Longest answer in one piece that is kept.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Header with the cost of a call, where a gateway tells it.
const COST_HEADER: &str = "x-penstock-cost-usd";

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Expects {
    pub(crate) dialect: Dialect,
    pub(crate) stream: bool,
}

/// Why an answer that was complete for HTTP is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// Its media type is not what was asked for.
    MediaType,
    /// An event or the JSON is malformed, or the stream ends within an event.
    Event,
    /// The provider's error stands in it.
    Error,
    /// The stream ends without the dialect's last event.
    NoTerminal,
    /// Something came behind the last event.
    AfterTerminal,
}

impl Fault {
    /// Name in the result file.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::MediaType => "media_type",
            Self::Event => "malformed_event",
            Self::Error => "error_in_200",
            Self::NoTerminal => "no_terminal_event",
            Self::AfterTerminal => "after_terminal_event",
        }
    }
}

/// What an answer brought.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts {
    pub(crate) stream: bool,
    /// When the first and the last piece were read; streams only.
    pub(crate) first: Option<Instant>,
    pub(crate) last: Option<Instant>,
    pub(crate) usage: Option<Usage>,
    pub(crate) cost_nano_usd: Option<u64>,
}

/// Reads the answers of one connection, one after another.
#[derive(Debug, Default)]
pub(crate) struct AnswerReader {
    reading: Option<Reading>,
    lines: Lines,
    frames: Frames,
    whole: Vec<u8>,
    gaps: Vec<Duration>,
}

/// What is known of the answer that is being read.
#[derive(Debug)]
struct Reading {
    expects: Expects,
    /// A final head with 2xx has come.
    accepted: bool,
    facts: Facts,
    reason: bool,
    last: bool,
    /// `[DONE]` has come.
    done: bool,
    fault: Option<Fault>,
}

impl AnswerReader {
    /// Begins an answer.
    pub(crate) fn expect(&mut self, expects: Expects) {
        let facts =
            Facts { stream: expects.stream, first: None, last: None, usage: None, cost_nano_usd: None };
        self.reading = Some(Reading {
            expects,
            accepted: false,
            facts,
            reason: false,
            last: false,
            done: false,
            fault: None,
        });
        self.lines.reset();
        self.frames.reset();
        self.whole.clear();
        self.gaps.clear();
    }

    /// Takes the head of the answer. Only answers with 2xx are read; all others are counted by their status.
    pub(crate) fn begin(&mut self, status: StatusCode, headers: &HeaderMap) {
        let Some(reading) = &mut self.reading else { return };
        reading.accepted = status.is_success();
        if !reading.accepted {
            return;
        }
        let value = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let wanted = match reading.expects {
            Expects { stream: false, .. } => "application/json",
            Expects { dialect: Dialect::Bedrock, .. } => "application/vnd.amazon.eventstream",
            _ => "text/event-stream",
        };
        let media_type = value("content-type").unwrap_or_default().split(';').next().unwrap_or_default();
        if !media_type.trim().eq_ignore_ascii_case(wanted) {
            reading.fault = Some(Fault::MediaType);
        }
        reading.facts.cost_nano_usd = value(COST_HEADER).and_then(nano_usd);
    }

    /// Takes a piece of the body.
    pub(crate) fn take(&mut self, piece: &[u8], now: Instant) {
        let Self { reading: Some(reading), lines, frames, whole, gaps } = self else { return };
        if !reading.accepted || reading.fault.is_some() {
            return;
        }
        if !reading.expects.stream {
            if whole.len() + piece.len() > ANSWER_BYTES_MAX {
                reading.fault = Some(Fault::Event);
            } else {
                whole.extend_from_slice(piece);
            }
            return;
        }
        let dialect = reading.expects.dialect;
        let mut each = |event: Event<'_>| reading.event(event, now, gaps);
        let read = if dialect == Dialect::Bedrock {
            frames.take(piece, &mut each)
        } else {
            lines.take(piece, &mut each)
        };
        if read.is_err() {
            reading.fault = reading.fault.or(Some(Fault::Event));
        }
    }

    /// Ends the answer; `None` if its status was not 2xx.
    ///
    /// # Errors
    /// Why it is no answer of a language model.
    pub(crate) fn finish(&mut self) -> Result<Option<Facts>, Fault> {
        let Some(mut reading) = self.reading.take().filter(|reading| reading.accepted) else {
            return Ok(None);
        };
        if let Some(fault) = reading.fault {
            return Err(fault);
        }
        if !reading.expects.stream {
            let brought =
                document::read(reading.expects.dialect, "", &self.whole, None).map_err(|_| Fault::Event)?;
            if brought.error {
                return Err(Fault::Error);
            }
            if !brought.answer {
                return Err(Fault::Event);
            }
            reading.facts.usage = brought.usage;
            return Ok(Some(reading.facts));
        }
        if !self.lines.is_between_events() || !self.frames.is_between_events() {
            return Err(Fault::Event);
        }
        let ended = match reading.expects.dialect {
            Dialect::OpenAiChat | Dialect::Mistral => reading.reason && reading.done,
            // Its metadata comes behind the stop.
            Dialect::Bedrock | Dialect::Anthropic => reading.reason && reading.last,
            Dialect::OpenAiResponses | Dialect::Gemini | Dialect::Cohere => reading.last,
        };
        if ended { Ok(Some(reading.facts)) } else { Err(Fault::NoTerminal) }
    }

    /// Times between the pieces of the answer that was read last.
    pub(crate) fn gaps(&self) -> &[Duration] {
        &self.gaps
    }
}

impl Reading {
    /// Takes an event; an error ends the reading, and the fault tells it apart where it is not the event's form.
    fn event(&mut self, event: Event<'_>, now: Instant, gaps: &mut Vec<Duration>) -> Result<(), Malformed> {
        let dialect = self.expects.dialect;
        let fail = |reading: &mut Self, fault| {
            reading.fault = Some(fault);
            Err(Malformed)
        };
        if event.data == b"[DONE]" {
            let known = matches!(dialect, Dialect::OpenAiChat | Dialect::Mistral | Dialect::Cohere);
            if !known || self.done {
                return fail(self, Fault::AfterTerminal);
            }
            self.done = true;
            return Ok(());
        }
        // Google may repeat its usage behind the reason; all others are done.
        if self.done || (self.last && dialect != Dialect::Gemini) {
            return fail(self, Fault::AfterTerminal);
        }
        if event.exception {
            return fail(self, Fault::Error);
        }
        if document::repeats_name(dialect) && document::kind(event.data).as_deref() != Some(event.name) {
            return fail(self, Fault::Event);
        }
        let Ok(Brought { piece, usage, error, reason, last, .. }) =
            document::read(dialect, event.name, event.data, self.facts.usage)
        else {
            return fail(self, Fault::Event);
        };
        if error {
            return fail(self, Fault::Error);
        }
        self.facts.usage = usage.or(self.facts.usage);
        self.reason |= reason;
        self.last |= last;
        if piece {
            if let Some(before) = self.facts.last {
                gaps.push(now.saturating_duration_since(before));
            }
            self.facts.first = self.facts.first.or(Some(now));
            self.facts.last = Some(now);
        }
        Ok(())
    }
}

/// Dollars with decimals as nano-dollars, rounded down.
fn nano_usd(text: &str) -> Option<u64> {
    const DECIMALS: usize = 9;
    let (whole, fraction) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    if whole.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits = &fraction[..fraction.len().min(DECIMALS)];
    let nanos: u64 = format!("{digits:0<DECIMALS$}").parse().ok()?;
    whole.parse::<u64>().ok()?.checked_mul(1_000_000_000)?.checked_add(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(dialect: Dialect, stream: bool, media_type: &str, body: &[u8]) -> Result<Facts, Fault> {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", media_type.parse().unwrap());
        headers.insert(COST_HEADER, "0.0000125".parse().unwrap());
        let mut reader = AnswerReader::default();
        let mut found = None;
        // The reader is used again, as a connection does.
        for step in [body.len().max(1), 1] {
            reader.expect(Expects { dialect, stream });
            reader.begin(StatusCode::OK, &headers);
            for piece in body.chunks(step) {
                reader.take(piece, Instant::now());
            }
            found = Some(reader.finish().map(|facts| facts.unwrap()));
        }
        found.unwrap()
    }

    const CHAT: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"\"},\"finish_reason\":null}],\"usage\":null}\n\n\
        data: {\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":null}]}\n\n\
        data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n\
        data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":4}}\n\n\
        data: [DONE]\n\n";

    #[test]
    fn a_stream_that_is_one() {
        let facts =
            read(Dialect::OpenAiChat, true, "text/event-stream; charset=utf-8", CHAT.as_bytes()).unwrap();
        assert_eq!(facts.usage, Some(Usage { input: 9, output: 4, ..Usage::default() }));
        assert!(facts.first.is_some() && facts.first == facts.last);
        assert_eq!(facts.cost_nano_usd, Some(12_500));
    }

    #[test]
    fn every_cut_of_a_stream_is_an_error() {
        for end in 0..CHAT.len() {
            let fault =
                read(Dialect::OpenAiChat, true, "text/event-stream", &CHAT.as_bytes()[..end]).unwrap_err();
            assert!(matches!(fault, Fault::Event | Fault::NoTerminal), "{end}: {fault:?}");
        }
    }

    #[test]
    fn answers_that_are_none() {
        let sse = "text/event-stream";
        for (dialect, stream, media_type, body, fault) in [
            (Dialect::OpenAiChat, true, "application/json", CHAT, Fault::MediaType),
            (Dialect::OpenAiChat, true, sse, "data: {\"error\":{\"message\":\"x\"}}\n\n", Fault::Error),
            (Dialect::OpenAiChat, true, sse, "data: {\"choices\":[}\n\n", Fault::Event),
            (Dialect::OpenAiChat, true, sse, "data: [DONE]\n\n", Fault::NoTerminal),
            (Dialect::OpenAiChat, true, sse, "data: [DONE]\n\ndata: {}\n\n", Fault::AfterTerminal),
            (Dialect::Mistral, true, sse, "data: {\"object\":\"error\"}\n\n", Fault::Error),
            (Dialect::Anthropic, true, sse, "event: a\ndata: {\"type\":\"b\"}\n\n", Fault::Event),
            (Dialect::Anthropic, true, sse, "event: error\ndata: {\"type\":\"error\"}\n\n", Fault::Error),
            (
                Dialect::Anthropic,
                true,
                sse,
                "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
                Fault::NoTerminal,
            ),
            (
                Dialect::Gemini,
                true,
                sse,
                "data: {\"candidates\":[{\"content\":{}}]}\r\n\r\n",
                Fault::NoTerminal,
            ),
            (Dialect::OpenAiChat, false, "application/json", "{\"choices\":[]}", Fault::Event),
            (Dialect::OpenAiChat, false, "application/json", "{\"choices\":[", Fault::Event),
            (Dialect::Gemini, false, "application/json", "{\"error\":{\"code\":503}}", Fault::Error),
            (Dialect::Bedrock, false, "application/json", "{\"message\":\"x\"}", Fault::Event),
        ] {
            assert_eq!(
                read(dialect, stream, media_type, body.as_bytes()).unwrap_err(),
                fault,
                "{dialect:?} {body}"
            );
        }
    }

    #[test]
    fn other_statuses_are_not_read() {
        let mut reader = AnswerReader::default();
        reader.expect(Expects { dialect: Dialect::Gemini, stream: true });
        reader.begin(StatusCode::TOO_MANY_REQUESTS, &HeaderMap::new());
        reader.take(b"junk", Instant::now());
        assert!(reader.finish().unwrap().is_none());
    }

    #[test]
    fn dollars() {
        for (text, nanos) in [
            ("0.0000125", Some(12_500)),
            ("1", Some(1_000_000_000)),
            ("2.5", Some(2_500_000_000)),
            ("0.0000000019", Some(1)),
            ("", None),
            ("-1", None),
            ("1e-3", None),
        ] {
            assert_eq!(nano_usd(text), nanos, "{text}");
        }
    }
}

//! A stream on its way from a provider to a caller: as it came where both speak one dialect, event by event where they do
//! not; with an account of it on the side.
//!
//! Bytes go in as they arrive and nothing waits: what an event is worth to the caller is out when the event is in.

use crate::dialect::Dialect;
use crate::event_stream::{FrameError, FrameLimits, FrameReader};
use crate::form::{Event, Losses};
use crate::glance::Glance;
use crate::json::{Edits, Members, Value};
use crate::provider::{Errors, Failure, Media};
use crate::sse::{Item, SseError, SseLimits, SseReader, write_event};
use crate::translate::{NoStream, StreamPlan, StreamReader, StreamWriter, finish_code};
use crate::usage::Account;

/// Why a stream cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// Its events cannot be told apart.
    #[error(transparent)]
    Sse(#[from] SseError),
    /// Its frames cannot be told apart.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// An event is not of the dialect.
    #[error(transparent)]
    Malformed(#[from] crate::form::Malformed),
}

/// What of the bytes that came is for the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passed {
    /// All of them, as they came.
    AsItCame,
    /// What was appended.
    Written,
}

/// How a stream is relayed.
#[derive(Debug, Clone)]
pub struct RelayPlan<'a> {
    /// The dialect of the caller.
    pub to: Dialect,
    /// The form of the provider's stream.
    pub media: Media,
    /// The usage was asked for by us, and is kept from the caller.
    pub withholds_usage: bool,
    /// What the writer needs, where the dialects differ; with the provider's dialect.
    pub stream: StreamPlan<'a>,
}

#[derive(Debug)]
enum Reading {
    Sse(SseReader),
    Frames(FrameReader),
}

#[derive(Debug)]
enum Mode {
    AsItCame,
    WithoutUsage,
    Translated(Box<(StreamReader, StreamWriter)>),
}

/// What is known of a stream.
#[derive(Debug, Default)]
pub struct Noted {
    /// The model that answered and what was used.
    pub account: Account,
    /// Bytes of text, thoughts and arguments so far.
    pub said: usize,
    /// Why it ended, as a call record has it.
    pub finish: u8,
    /// Its last event has come.
    pub is_complete: bool,
    /// What the provider says went wrong within it.
    pub failure: Option<Failure>,
}

/// Relays one stream.
#[derive(Debug)]
pub struct StreamRelay {
    from: Dialect,
    reading: Reading,
    mode: Mode,
    noted: Noted,
}

impl StreamRelay {
    /// A relay at the beginning of a stream.
    ///
    /// # Errors
    /// The caller's dialect does not come as server-sent events.
    pub fn new(plan: &RelayPlan<'_>) -> Result<Self, NoStream> {
        let from = plan.stream.from;
        let mode = match (from == plan.to, plan.withholds_usage) {
            (true, false) => Mode::AsItCame,
            (true, true) => Mode::WithoutUsage,
            (false, _) => {
                let writer = StreamWriter::new(plan.to, &plan.stream)?;
                Mode::Translated(Box::new((StreamReader::new(from), writer)))
            }
        };
        let reading = match plan.media {
            Media::Sse => Reading::Sse(SseReader::new(SseLimits::default())),
            Media::AwsEventStream => Reading::Frames(FrameReader::new(FrameLimits::default())),
        };
        Ok(Self { from, reading, mode, noted: Noted::default() })
    }

    /// Takes bytes of the stream as they came; says what of them is for the caller, or appends that to `out`.
    ///
    /// # Errors
    /// The stream cannot be read on. What was complete before that is in `out`.
    pub fn take(&mut self, errors: &Errors, input: &[u8], out: &mut Vec<u8>) -> Result<Passed, RelayError> {
        let Self { from, reading, mode, noted } = self;
        let mut rest = input;
        match reading {
            Reading::Sse(reader) => {
                while !rest.is_empty() {
                    let step = reader.step(rest)?;
                    if let Some(item) = step.item {
                        pass(*from, mode, noted, errors, &item, out)?;
                    }
                    rest = &rest[step.len..];
                }
            }
            Reading::Frames(reader) => {
                while !rest.is_empty() {
                    let step = reader.step(rest)?;
                    if let Some(frame) = step.frame {
                        if let Mode::Translated(both) = mode {
                            let mut events = Vec::with_capacity(4);
                            both.0.read_frame(&frame, &mut events)?;
                            write_all(&mut both.1, noted, &events, out);
                        }
                        if frame.exception_type().is_some() && noted.failure.is_none() {
                            let document = Value::parse(frame.payload()).unwrap_or(Value::Null);
                            let kind = frame.exception_type();
                            let header = |name: &str| kind.filter(|_| name == "x-amzn-errortype");
                            noted.failure = Some(errors.read(200, header, &document));
                        }
                        note(
                            *from,
                            noted,
                            errors,
                            frame.payload(),
                            Value::parse(frame.payload()).ok().as_ref(),
                        );
                    }
                    rest = &rest[step.len..];
                }
            }
        }
        Ok(if matches!(mode, Mode::AsItCame) { Passed::AsItCame } else { Passed::Written })
    }

    /// Ends the stream: what is left of it is read, and what the caller still has to get is appended to `out`.
    pub fn finish(&mut self, errors: &Errors, out: &mut Vec<u8>) {
        let Self { from, reading, mode, noted } = self;
        if let Reading::Sse(reader) = reading
            && let Some(item) = reader.finish()
        {
            // A provider that fails late may write its error as bare JSON behind the last event.
            if let Item::Incomplete(event) = &item
                && let Ok(document) = Value::parse(event.stray)
                && errors.in_answer(&document)
            {
                noted.failure.get_or_insert_with(|| errors.read(200, |_| None, &document));
            }
            pass(*from, mode, noted, errors, &item, out).ok();
        }
        if let Mode::Translated(both) = mode {
            let mut events = Vec::new();
            both.0.finish(&mut events);
            write_all(&mut both.1, noted, &events, out);
        }
    }

    /// What is known of it so far.
    pub fn noted(&self) -> &Noted {
        &self.noted
    }

    /// What was lost in translation so far.
    pub fn losses(&self) -> Option<&Losses> {
        match &self.mode {
            Mode::Translated(both) => Some(both.1.losses()),
            Mode::AsItCame | Mode::WithoutUsage => None,
        }
    }
}

fn pass(
    from: Dialect,
    mode: &mut Mode,
    noted: &mut Noted,
    errors: &Errors,
    item: &Item<'_>,
    out: &mut Vec<u8>,
) -> Result<(), RelayError> {
    let Item::Event(event) = item else {
        if matches!(mode, Mode::WithoutUsage) {
            out.extend_from_slice(item.raw());
        }
        return Ok(());
    };
    let document = Value::parse(event.data).ok();
    note(from, noted, errors, event.data, document.as_ref());
    match mode {
        Mode::AsItCame => {}
        Mode::WithoutUsage => match document.as_ref().and_then(|document| told_usage(document)) {
            None => out.extend_from_slice(event.raw),
            Some(Told::Alone) => {}
            Some(Told::Beside) => without_usage(event.data, out),
        },
        Mode::Translated(both) => {
            let (reader, writer) = &mut **both;
            let mut events = Vec::with_capacity(4);
            reader.read(event.data, &mut events)?;
            write_all(writer, noted, &events, out);
        }
    }
    Ok(())
}

fn write_all(writer: &mut StreamWriter, noted: &mut Noted, events: &[Event<'_>], out: &mut Vec<u8>) {
    for event in events {
        if let Event::Stop { stop, .. } = event {
            noted.finish = finish_code(Some(stop));
        }
        writer.write(event, out);
    }
}

fn note(from: Dialect, noted: &mut Noted, errors: &Errors, data: &[u8], document: Option<&Value<'_>>) {
    let seen = Glance::at_event(from, data, document);
    noted.said += seen.said;
    noted.finish = noted.finish.max(seen.finish);
    noted.is_complete |= seen.is_last;
    let Some(document) = document else { return };
    noted.account.take(from, document);
    if errors.in_answer(document) && noted.failure.is_none() {
        noted.failure = Some(errors.read(200, |_| None, document));
    }
}

/// How a chunk tells of usage.
enum Told {
    /// It is there for nothing else.
    Alone,
    /// Beside what it says, mostly as `null`.
    Beside,
}

fn told_usage(document: &Value<'_>) -> Option<Told> {
    let usage = document.get("usage")?;
    let says = document.get("choices").and_then(Value::as_array).is_none_or(|choices| !choices.is_empty());
    Some(if says || usage.is_null() { Told::Beside } else { Told::Alone })
}

/// Writes the event without its member `usage`.
fn without_usage(data: &[u8], out: &mut Vec<u8>) {
    let mut edits = Edits::default();
    if let Ok(mut members) = Members::new(data) {
        while let Ok(Some(member)) = members.next() {
            if member.name.is("usage") {
                edits.replace(member.whole, b"");
                break;
            }
        }
    }
    let kept: Vec<u8> = edits.pieces(data).flatten().copied().collect();
    write_event(out, None, &kept);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openai_responses::Echo;
    use crate::provider::Providers;

    fn relay(from: Dialect, to: Dialect, withholds_usage: bool) -> StreamRelay {
        let stream = StreamPlan { from, model: "m", tells_usage: true, input: 0, echo: Echo::default() };
        StreamRelay::new(&RelayPlan { to, media: Media::Sse, withholds_usage, stream }).unwrap()
    }

    fn run(relay: &mut StreamRelay, kind: &str, text: &str, piece: usize) -> String {
        let errors = &Providers::shared().get(kind).unwrap().errors;
        let mut out = Vec::new();
        for bytes in text.as_bytes().chunks(piece) {
            if relay.take(errors, bytes, &mut out).unwrap() == Passed::AsItCame {
                out.extend_from_slice(bytes);
            }
        }
        relay.finish(errors, &mut out);
        String::from_utf8(out).unwrap()
    }

    const ASKED: &str = concat!(
        "data: {\"id\":\"a\",\"model\":\"gpt\",\"choices\":[{\"delta\":{\"content\":\"he\"}}],\"usage\":null}\n\n",
        "data: {\"id\":\"a\",\"model\":\"gpt\",\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":null}\n\n",
        "data: {\"id\":\"a\",\"model\":\"gpt\",\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":1}}\n\n",
        "data: [DONE]\n\n",
    );

    #[test]
    fn within_a_dialect_every_byte_passes_and_the_account_is_kept() {
        for piece in [1, 7, 1000] {
            let mut relay = relay(Dialect::OpenAiChat, Dialect::OpenAiChat, false);
            assert_eq!(run(&mut relay, "openai", ASKED, piece), ASKED);
            let noted = relay.noted();
            assert_eq!(noted.account.model.as_deref(), Some("gpt"));
            assert_eq!(noted.account.usage.map(|usage| (usage.input, usage.output)), Some((3, 1)));
            assert_eq!((noted.said, noted.finish, noted.is_complete), (2, 1, true));
        }
    }

    #[test]
    fn usage_that_the_caller_did_not_ask_for_is_withheld() {
        let expected = concat!(
            "data: {\"id\":\"a\",\"model\":\"gpt\",\"choices\":[{\"delta\":{\"content\":\"he\"}}]}\n\n",
            "data: {\"id\":\"a\",\"model\":\"gpt\",\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
            "data: [DONE]\n\n",
        );
        for piece in [1, 7, 1000] {
            let mut relay = relay(Dialect::OpenAiChat, Dialect::OpenAiChat, true);
            assert_eq!(run(&mut relay, "openai", ASKED, piece), expected);
            assert!(relay.noted().account.usage.is_some());
        }
    }

    #[test]
    fn between_dialects_each_event_is_out_when_it_is_in() {
        let mut relay = relay(Dialect::OpenAiChat, Dialect::Anthropic, false);
        let errors = &Providers::shared().get("openai").unwrap().errors;
        let mut out = Vec::new();
        let (first, rest) = ASKED.split_at(ASKED.find("\n\n").unwrap() + 2);
        relay.take(errors, first.as_bytes(), &mut out).unwrap();
        assert!(String::from_utf8_lossy(&out).contains("\"text\":\"he\""));
        relay.take(errors, rest.as_bytes(), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.ends_with("data: {\"type\":\"message_stop\"}\n\n"), "{text}");
        assert_eq!(relay.noted().finish, 1);
    }

    #[test]
    fn an_error_within_a_stream_is_noticed() {
        let text = "data: {\"error\":{\"message\":\"busy\",\"type\":\"server_error\"}}\n\n";
        let mut relay = relay(Dialect::OpenAiChat, Dialect::OpenAiChat, false);
        assert_eq!(run(&mut relay, "openai", text, 5), text);
        assert_eq!(relay.noted().failure.as_ref().and_then(|told| told.message.as_deref()), Some("busy"));
    }

    #[test]
    fn an_error_behind_the_last_event_is_noticed() {
        let text = concat!(
            "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a\"}]}}]}\r\n\r\n",
            "{\"error\":{\"code\":503,\"message\":\"shed\",\"status\":\"UNAVAILABLE\"}}"
        );
        let mut relay = relay(Dialect::Gemini, Dialect::Gemini, false);
        assert_eq!(run(&mut relay, "gemini", text, 9), text);
        assert_eq!(relay.noted().failure.as_ref().and_then(|told| told.message.as_deref()), Some("shed"));
    }
}

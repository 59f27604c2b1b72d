//! From a dialect to another, by way of the form: requests, whole answers, streams.

use std::borrow::Cow;

use crate::dialect::Dialect;
use crate::form::{Answer, Event, Losses, Malformed, Request, Stop};
use crate::json::Object;
use crate::sse::{EventType, write_event};
use crate::{anthropic, openai_chat};

/// Tokens of output that are allowed where neither the caller nor the catalogue says how many there may be, and the
/// dialect wants a number.
pub const MAX_OUTPUT_DEFAULT: u64 = 4096;

/// Why there is no translation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TranslateError {
    /// The document is not of its dialect.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The dialect is spoken in this direction by nobody here.
    #[error("{0} is not spoken here")]
    NotSpoken(Dialect),
}

/// What is known of the model that a request goes to.
#[derive(Debug, Clone, Copy)]
pub struct Destination<'a> {
    /// The dialect of its provider.
    pub dialect: Dialect,
    /// The model, as the provider names it.
    pub model: &'a str,
    /// Tokens of output at most, for a dialect that wants a number where the caller gives none.
    pub max_output: Option<u64>,
}

/// Reads a request of a dialect.
///
/// # Errors
/// It is none.
pub fn read_request(dialect: Dialect, body: &[u8]) -> Result<Request<'_>, TranslateError> {
    match dialect {
        Dialect::OpenAiChat => Ok(openai_chat::read_request(body)?),
        Dialect::Anthropic => Ok(anthropic::read_request(body)?),
        other => Err(TranslateError::NotSpoken(other)),
    }
}

/// Writes a request for a destination. What it has no word for is told in `losses`.
///
/// # Errors
/// Nobody writes this dialect.
pub fn write_request<'r>(
    request: &'r Request<'_>,
    to: &Destination<'r>,
    losses: &mut Losses,
) -> Result<Object<'r>, TranslateError> {
    match to.dialect {
        Dialect::OpenAiChat => Ok(openai_chat::write_request(request, to.model, losses)),
        Dialect::Anthropic => {
            let max_output = to.max_output.unwrap_or(MAX_OUTPUT_DEFAULT);
            Ok(anthropic::write_request(request, to.model, max_output, losses))
        }
        other => Err(TranslateError::NotSpoken(other)),
    }
}

/// Reads an answer of a dialect.
///
/// # Errors
/// It is none.
pub fn read_answer(dialect: Dialect, body: &[u8]) -> Result<Answer<'_>, TranslateError> {
    match dialect {
        Dialect::OpenAiChat => Ok(openai_chat::read_answer(body)?),
        Dialect::Anthropic => Ok(anthropic::read_answer(body)?),
        other => Err(TranslateError::NotSpoken(other)),
    }
}

/// Writes an answer of `model`. What the dialect has no word for is told in `losses`.
///
/// # Errors
/// Nobody writes this dialect.
pub fn write_answer<'r>(
    dialect: Dialect,
    answer: &'r Answer<'_>,
    model: &'r str,
    losses: &mut Losses,
) -> Result<Object<'r>, TranslateError> {
    match dialect {
        Dialect::OpenAiChat => Ok(openai_chat::write_answer(answer, model, losses)),
        Dialect::Anthropic => Ok(anthropic::write_answer(answer, model, losses)),
        other => Err(TranslateError::NotSpoken(other)),
    }
}

/// Reads a stream of any dialect.
#[derive(Debug)]
pub enum StreamReader {
    /// Chat Completions.
    OpenAiChat(openai_chat::StreamReader),
    /// Messages.
    Anthropic(anthropic::StreamReader),
}

impl StreamReader {
    /// A reader at the beginning of a stream.
    ///
    /// # Errors
    /// Nobody reads streams of this dialect.
    pub fn new(dialect: Dialect) -> Result<Self, TranslateError> {
        match dialect {
            Dialect::OpenAiChat => Ok(Self::OpenAiChat(openai_chat::StreamReader::default())),
            Dialect::Anthropic => Ok(Self::Anthropic(anthropic::StreamReader::default())),
            other => Err(TranslateError::NotSpoken(other)),
        }
    }

    /// Reads the data of an event; what happens by it goes to `events`.
    ///
    /// # Errors
    /// The data are not of the dialect, and where.
    pub fn read<'a>(&mut self, data: &'a [u8], events: &mut Vec<Event<'a>>) -> Result<(), Malformed> {
        match self {
            Self::OpenAiChat(reader) => reader.read(data, events),
            Self::Anthropic(reader) => reader.read(data, events),
        }
    }
}

/// What a writer of streams has to know beforehand.
#[derive(Debug, Clone, Copy)]
pub struct StreamPlan<'a> {
    /// The dialect that is read.
    pub from: Dialect,
    /// The model that callers are told.
    pub model: &'a str,
    /// Whether the caller wants to know what was used, where the dialect leaves that open.
    pub tells_usage: bool,
    /// Tokens that the request is taken to have: callers of some dialects show them before the provider tells them.
    pub input: u64,
}

/// Writes a stream of any dialect that callers speak, as server-sent events.
#[derive(Debug)]
pub enum StreamWriter {
    /// Chat Completions.
    OpenAiChat(openai_chat::StreamWriter),
    /// Messages.
    Anthropic(anthropic::StreamWriter),
}

impl StreamWriter {
    /// A writer at the beginning of a stream.
    ///
    /// # Errors
    /// Nobody writes streams of this dialect.
    pub fn new(dialect: Dialect, plan: &StreamPlan<'_>) -> Result<Self, TranslateError> {
        match dialect {
            Dialect::OpenAiChat => {
                Ok(Self::OpenAiChat(openai_chat::StreamWriter::new(plan.model, plan.tells_usage)))
            }
            Dialect::Anthropic => {
                Ok(Self::Anthropic(anthropic::StreamWriter::new(plan.model, plan.from, plan.input)))
            }
            other => Err(TranslateError::NotSpoken(other)),
        }
    }

    /// Appends the server-sent events that stand for this one.
    pub fn write(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        match self {
            Self::OpenAiChat(writer) => writer.write(event, |data| write_event(out, None, data)),
            Self::Anthropic(writer) => writer.write(event, |name, data| {
                write_event(out, EventType::new(name), data);
            }),
        }
    }

    /// What the dialect had no word for so far.
    pub fn losses(&self) -> &Losses {
        match self {
            Self::OpenAiChat(writer) => writer.losses(),
            Self::Anthropic(writer) => writer.losses(),
        }
    }
}

/// Why an answer ended, as a call record has it: 0 none, 1 stop, 2 length, 3 tool calls, 4 content filter, 5 refusal,
/// 6 error.
pub fn finish_code(stop: Option<&Stop<'_>>) -> u8 {
    match stop {
        None => 0,
        Some(Stop::End | Stop::StopSequence | Stop::Paused | Stop::Other(_)) => 1,
        Some(Stop::MaxOutput | Stop::ContextFull) => 2,
        Some(Stop::ToolCalls) => 3,
        Some(Stop::Filtered) => 4,
        Some(Stop::Refused) => 5,
    }
}

/// Names of features with commas between them, for a header and a record.
pub fn told(losses: &Losses) -> Cow<'static, str> {
    if losses.is_empty() { Cow::Borrowed("") } else { Cow::Owned(losses.to_string()) }
}

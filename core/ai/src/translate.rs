//! From a dialect to another, by way of the form: requests, whole answers, streams.

use std::borrow::Cow;

use crate::dialect::Dialect;
use crate::event_stream::Frame;
use crate::form::{Answer, Event, Losses, Malformed, Request, Stop};
use crate::json::Object;
use crate::openai_responses::{self, Echo};
use crate::sse::{EventType, write_event};
use crate::{anthropic, bedrock, cohere, gemini, mistral, openai_chat};

/// Tokens of output that are allowed where neither the caller nor the catalogue says how many there may be, and the
/// dialect wants a number.
pub const MAX_OUTPUT_DEFAULT: u64 = 4096;

/// A dialect that does not come as server-sent events, so that no caller can be answered in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no caller gets streams of {0}")]
pub struct NoStream(pub Dialect);

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
pub fn read_request(dialect: Dialect, body: &[u8]) -> Result<Request<'_>, Malformed> {
    match dialect {
        Dialect::OpenAiChat => openai_chat::read_request(body),
        Dialect::OpenAiResponses => openai_responses::read_request(body),
        Dialect::Anthropic => anthropic::read_request(body),
        Dialect::Gemini => gemini::read_request(body),
        Dialect::Bedrock => bedrock::read_request(body),
        Dialect::Cohere => cohere::read_request(body),
        Dialect::Mistral => mistral::read_request(body),
    }
}

/// Writes a request for a destination. What it has no word for is told in `losses`.
pub fn write_request<'r>(request: &'r Request<'_>, to: &Destination<'r>, losses: &mut Losses) -> Object<'r> {
    match to.dialect {
        Dialect::OpenAiChat => openai_chat::write_request(request, to.model, losses),
        Dialect::OpenAiResponses => openai_responses::write_request(request, to.model, losses),
        Dialect::Anthropic => {
            let max_output = to.max_output.unwrap_or(MAX_OUTPUT_DEFAULT);
            anthropic::write_request(request, to.model, max_output, losses)
        }
        Dialect::Gemini => gemini::write_request(request, to.model, losses),
        Dialect::Bedrock => bedrock::write_request(request, to.model, losses),
        Dialect::Cohere => cohere::write_request(request, to.model, losses),
        Dialect::Mistral => mistral::write_request(request, to.model, losses),
    }
}

/// Reads an answer of a dialect.
///
/// # Errors
/// It is none.
pub fn read_answer(dialect: Dialect, body: &[u8]) -> Result<Answer<'_>, Malformed> {
    match dialect {
        Dialect::OpenAiChat => openai_chat::read_answer(body),
        Dialect::OpenAiResponses => openai_responses::read_answer(body),
        Dialect::Anthropic => anthropic::read_answer(body),
        Dialect::Gemini => gemini::read_answer(body),
        Dialect::Bedrock => bedrock::read_answer(body),
        Dialect::Cohere => cohere::read_answer(body),
        Dialect::Mistral => mistral::read_answer(body),
    }
}

/// Writes an answer of `model` to the request that `echo` is of. What the dialect has no word for is told in `losses`.
pub fn write_answer<'r>(
    dialect: Dialect,
    answer: &'r Answer<'_>,
    model: &'r str,
    echo: &'r Echo,
    losses: &mut Losses,
) -> Object<'r> {
    match dialect {
        Dialect::OpenAiChat => openai_chat::write_answer(answer, model, losses),
        Dialect::OpenAiResponses => openai_responses::write_answer_to(echo, answer, model, losses),
        Dialect::Anthropic => anthropic::write_answer(answer, model, losses),
        Dialect::Gemini => gemini::write_answer(answer, model, losses),
        Dialect::Bedrock => bedrock::write_answer(answer, losses),
        Dialect::Cohere => cohere::write_answer(answer, losses),
        Dialect::Mistral => mistral::write_answer(answer, model, losses),
    }
}

/// Reads a stream of any dialect.
#[derive(Debug)]
pub enum StreamReader {
    /// Chat Completions.
    OpenAiChat(openai_chat::StreamReader),
    /// Responses.
    OpenAiResponses(Box<openai_responses::StreamReader>),
    /// Messages.
    Anthropic(anthropic::StreamReader),
    /// generateContent.
    Gemini(gemini::StreamReader),
    /// ConverseStream.
    Bedrock(bedrock::StreamReader),
    /// Cohere's Chat.
    Cohere(cohere::StreamReader),
    /// Mistral's chat completions.
    Mistral(mistral::StreamReader),
}

impl StreamReader {
    /// A reader at the beginning of a stream.
    pub fn new(dialect: Dialect) -> Self {
        match dialect {
            Dialect::OpenAiChat => Self::OpenAiChat(openai_chat::StreamReader::default()),
            Dialect::OpenAiResponses => Self::OpenAiResponses(Box::default()),
            Dialect::Anthropic => Self::Anthropic(anthropic::StreamReader::default()),
            Dialect::Gemini => Self::Gemini(gemini::StreamReader::default()),
            Dialect::Bedrock => Self::Bedrock(bedrock::StreamReader::default()),
            Dialect::Cohere => Self::Cohere(cohere::StreamReader::default()),
            Dialect::Mistral => Self::Mistral(mistral::StreamReader::default()),
        }
    }

    /// Reads the data of an event; what happens by it goes to `events`.
    ///
    /// # Errors
    /// The data are not of the dialect, and where.
    pub fn read<'a>(&mut self, data: &'a [u8], events: &mut Vec<Event<'a>>) -> Result<(), Malformed> {
        match self {
            Self::OpenAiChat(reader) => reader.read(data, events),
            Self::OpenAiResponses(reader) => reader.read(data, events),
            Self::Anthropic(reader) => reader.read(data, events),
            Self::Gemini(reader) => reader.read(data, events),
            Self::Bedrock(reader) => reader.read("", data, events), // comes in frames, which say what they are
            Self::Cohere(reader) => reader.read(data, events),
            Self::Mistral(reader) => reader.read(data, events),
        }
    }

    /// Reads a frame of a stream that comes in frames.
    ///
    /// # Errors
    /// It is not of the dialect.
    pub fn read_frame<'a>(
        &mut self,
        frame: &Frame<'a>,
        events: &mut Vec<Event<'a>>,
    ) -> Result<(), Malformed> {
        match self {
            Self::Bedrock(reader) => reader.read_frame(frame, events),
            other => other.read(frame.payload(), events),
        }
    }

    /// Ends a stream of a dialect in which only the end of the bytes says that it is over.
    pub fn finish(&mut self, events: &mut Vec<Event<'_>>) {
        if let Self::Gemini(reader) = self {
            reader.finish(events);
        }
    }
}

/// What a writer of streams has to know beforehand.
#[derive(Debug, Clone)]
pub struct StreamPlan<'a> {
    /// The dialect that is read.
    pub from: Dialect,
    /// The model that callers are told.
    pub model: &'a str,
    /// Whether the caller wants to know what was used, where the dialect leaves that open.
    pub tells_usage: bool,
    /// Tokens that the request is taken to have: callers of some dialects show them before the provider tells them.
    pub input: u64,
    /// What the answer repeats of its request.
    pub echo: Echo,
}

/// Writes a stream of any dialect that callers speak, as server-sent events.
#[derive(Debug)]
pub enum StreamWriter {
    /// Chat Completions.
    OpenAiChat(openai_chat::StreamWriter),
    /// Responses.
    OpenAiResponses(Box<openai_responses::StreamWriter>),
    /// Messages.
    Anthropic(anthropic::StreamWriter),
    /// generateContent.
    Gemini(gemini::StreamWriter),
    /// Cohere's Chat.
    Cohere(cohere::StreamWriter),
    /// Mistral's chat completions.
    Mistral(mistral::StreamWriter),
}

impl StreamWriter {
    /// A writer at the beginning of a stream.
    ///
    /// # Errors
    /// The dialect does not come as server-sent events.
    pub fn new(dialect: Dialect, plan: &StreamPlan<'_>) -> Result<Self, NoStream> {
        Ok(match dialect {
            Dialect::OpenAiChat => {
                let writer = openai_chat::StreamWriter::new(plan.model, plan.tells_usage);
                Self::OpenAiChat(writer.reading(plan.from))
            }
            Dialect::OpenAiResponses => {
                let writer = openai_responses::StreamWriter::new(plan.model, plan.from);
                Self::OpenAiResponses(Box::new(writer.echoing(plan.echo.clone())))
            }
            Dialect::Anthropic => {
                Self::Anthropic(anthropic::StreamWriter::new(plan.model, plan.from, plan.input))
            }
            Dialect::Gemini => Self::Gemini(gemini::StreamWriter::new(plan.model, plan.from)),
            Dialect::Cohere => Self::Cohere(cohere::StreamWriter::new(plan.from)),
            Dialect::Mistral => Self::Mistral(mistral::StreamWriter::new(plan.model).reading(plan.from)),
            Dialect::Bedrock => return Err(NoStream(dialect)),
        })
    }

    /// Appends the server-sent events that stand for this one.
    pub fn write(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        match self {
            Self::OpenAiChat(writer) => writer.write(event, |data| write_event(out, None, data)),
            Self::Gemini(writer) => writer.write(event, |data| write_event(out, None, data)),
            Self::Mistral(writer) => writer.write(event, |data| write_event(out, None, data)),
            Self::OpenAiResponses(writer) => writer.write(event, |name, data| {
                write_event(out, EventType::new(name), data);
            }),
            Self::Anthropic(writer) => writer.write(event, |name, data| {
                write_event(out, EventType::new(name), data);
            }),
            Self::Cohere(writer) => writer.write(event, |name, data| {
                write_event(out, EventType::new(name), data);
            }),
        }
    }

    /// What the dialect had no word for so far.
    pub fn losses(&self) -> &Losses {
        match self {
            Self::OpenAiChat(writer) => writer.losses(),
            Self::OpenAiResponses(writer) => writer.losses(),
            Self::Anthropic(writer) => writer.losses(),
            Self::Gemini(writer) => writer.losses(),
            Self::Cohere(writer) => writer.losses(),
            Self::Mistral(writer) => writer.losses(),
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

//! Streams: events of the dialect to events of the form, and back.

use std::collections::VecDeque;

use super::answer::{read_stop, write_stop, write_usage};
use super::request::read_block;
use crate::dialect::Dialect;
use crate::form::read::{At, Fields};
use crate::form::write::foreign;
use crate::form::{Event, Feature, Losses, Malformed, Note, Opening, Stop};
use crate::json::{Object, Str, Value};
use crate::usage::{Account, Usage};

/// Blocks that an answer may have.
pub const BLOCKS_MAX: usize = 4096;

/// Bytes that may wait for an earlier block to close. What comes beyond that is lost, and told.
pub const WAITING_BYTES_MAX: usize = 8 << 20;

/// Reads a stream, an event's data at a time; the event's type says nothing that its data do not.
#[derive(Debug, Default)]
pub struct StreamReader {
    account: Account,
    /// By index of the block: its part.
    blocks: Vec<Option<u32>>,
    parts: u32,
    is_stopped: bool,
}

impl StreamReader {
    /// Reads the data of an event; what happens by it goes to `events`.
    ///
    /// # Errors
    /// The data are not of this dialect, and where.
    pub fn read<'a>(&mut self, data: &'a [u8], events: &mut Vec<Event<'a>>) -> Result<(), Malformed> {
        let at = At::Root;
        let document = Value::parse(data)?;
        let before = self.account.usage;
        self.account.take(Dialect::Anthropic, &document);
        let mut fields = at.object(document)?;
        let kind = fields.must_string(&at, "type")?;
        match kind.text().as_ref() {
            "message_start" => {
                let message_at = at.member("message");
                let mut message = message_at.object(fields.must(&at, "message")?)?;
                events.push(Event::Start {
                    id: message.string(&message_at, "id")?.unwrap_or_default(),
                    model: message.string(&message_at, "model")?.unwrap_or_default(),
                    created: None,
                });
            }
            "content_block_start" => {
                let index = block_index(&mut fields, &at)?;
                let block = fields.must(&at, "content_block")?;
                self.open(index, block, &at.member("content_block"), events)?;
            }
            "content_block_delta" => {
                let part = self.part(block_index(&mut fields, &at)?, &at)?;
                let delta_at = at.member("delta");
                let mut delta = delta_at.object(fields.must(&at, "delta")?)?;
                let text = match delta.must_string(&delta_at, "type")?.text().as_ref() {
                    "text_delta" => delta.must_string(&delta_at, "text")?,
                    "thinking_delta" => delta.must_string(&delta_at, "thinking")?,
                    "input_json_delta" => delta.must_string(&delta_at, "partial_json")?,
                    "signature_delta" => {
                        let signature = delta.must_string(&delta_at, "signature")?;
                        events.push(Event::Signature { choice: 0, part, signature });
                        return Ok(());
                    }
                    "citations_delta" => {
                        let note = Note::Citation(delta.must(&delta_at, "citation")?);
                        events.push(Event::Note { choice: 0, part, note });
                        return Ok(());
                    }
                    _ => return Ok(()), // what is yet to come
                };
                if !text.is_empty() {
                    events.push(Event::Piece { choice: 0, part, text });
                }
            }
            "content_block_stop" => {
                let index = block_index(&mut fields, &at)?;
                let part = self.part(index, &at)?;
                self.blocks[index] = None;
                events.push(Event::Close { choice: 0, part });
            }
            "message_delta" => {
                let delta_at = at.member("delta");
                if let Some(mut delta) = fields.object(&at, "delta")?
                    && let Some(word) = delta.string(&delta_at, "stop_reason")?
                    && !std::mem::replace(&mut self.is_stopped, true)
                {
                    let sequence = delta.string(&delta_at, "stop_sequence")?;
                    events.push(Event::Stop { choice: 0, stop: read_stop(word), sequence });
                }
            }
            "message_stop" => events.push(Event::End),
            "error" => {
                let error_at = at.member("error");
                let mut error = error_at.object(fields.must(&at, "error")?)?;
                let kind = error.string(&error_at, "type")?;
                let message = error.string(&error_at, "message")?.unwrap_or_default();
                events.push(Event::Failed { kind, message });
            }
            _ => {} // `ping`, and what is yet to come
        }
        if self.account.usage != before {
            events.extend(self.account.usage.map(Event::Usage));
        }
        Ok(())
    }

    fn part(&self, index: usize, at: &At<'_>) -> Result<u32, Malformed> {
        let part = self.blocks.get(index).copied().flatten();
        part.ok_or_else(|| at.member("index").must_be("that of a block which is open"))
    }

    fn open<'a>(
        &mut self,
        index: usize,
        block: Value<'a>,
        at: &At<'_>,
        events: &mut Vec<Event<'a>>,
    ) -> Result<(), Malformed> {
        let whole = block.clone();
        let mut fields = at.object(block)?;
        let mut text = None;
        let opening = match fields.must_string(at, "type")?.text().as_ref() {
            "text" => {
                text = fields.string(at, "text")?;
                Opening::Text
            }
            "thinking" => {
                text = fields.string(at, "thinking")?;
                Opening::Thought
            }
            "redacted_thinking" => Opening::Sealed(fields.must_string(at, "data")?),
            "tool_use" => {
                // Nearly always an empty object, which is not a piece of the arguments that follow.
                if let Some(input @ Value::Object(_)) = fields.take("input")
                    && input != Object::default().into()
                {
                    text = Some(input.to_json().into());
                }
                let id = Some(fields.must_string(at, "id")?);
                Opening::ToolCall { id, name: fields.must_string(at, "name")?, is_free: false }
            }
            // One that is known and malformed is so here as well.
            _ => {
                read_block(whole.clone(), at)?;
                Opening::Foreign(whole)
            }
        };
        while self.blocks.len() <= index {
            self.blocks.push(None);
        }
        let part = self.parts;
        self.parts += 1;
        self.blocks[index] = Some(part);
        events.push(Event::Open { choice: 0, part, opening });
        if let Some(text) = text.filter(|text: &Str<'_>| !text.is_empty()) {
            events.push(Event::Piece { choice: 0, part, text });
        }
        Ok(())
    }
}

fn block_index(fields: &mut Fields<'_>, at: &At<'_>) -> Result<usize, Malformed> {
    let index = fields.whole(at, "index")?.and_then(|index| usize::try_from(index).ok());
    index.filter(|index| *index < BLOCKS_MAX).ok_or_else(|| at.member("index").must_be("a small number"))
}

/// Writes a stream, an event of the form at a time. Blocks of the dialect come one after another: what comes for a part
/// while an earlier one is open waits until that one closes.
#[derive(Debug)]
pub struct StreamWriter {
    model: String,
    from: Dialect,
    /// What the input is taken to be until the provider tells it.
    usage: Usage,
    /// The part whose block is open, and what it is.
    live: Option<(u32, Block)>,
    blocks: u64,
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
    calls: bool,
    stop: Option<(Stop<'static>, Option<Str<'static>>)>,
    losses: Losses,
}

/// What has come for a part that is not open yet.
#[derive(Debug)]
struct Waiting {
    part: u32,
    opening: Opening<'static>,
    text: String,
    signature: Option<Str<'static>>,
    is_closed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Block {
    Text,
    Thinking,
    Call,
    /// Written whole at once, or not at all.
    Whole,
}

impl StreamWriter {
    /// A writer of an answer that names `model`, read from `from`. `input` is how many tokens the request is taken to
    /// have: callers show that before the provider has told it.
    pub fn new(model: &str, from: Dialect, input: u64) -> Self {
        Self {
            model: model.to_owned(),
            from,
            usage: Usage { input, ..Usage::default() },
            live: None,
            blocks: 0,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            calls: false,
            stop: None,
            losses: Losses::default(),
        }
    }

    /// What the dialect had no word for so far.
    pub fn losses(&self) -> &Losses {
        &self.losses
    }

    /// Writes the events that stand for this one, each by `write` with its type and its data.
    pub fn write(&mut self, event: &Event<'_>, mut write: impl FnMut(&'static str, &[u8])) {
        match event {
            Event::Start { id, .. } => {
                let mut message = Object::default();
                message.push("id", id.clone());
                message.push("type", "message");
                message.push("role", "assistant");
                message.push("model", self.model.as_str());
                message.push("content", Vec::new());
                message.push("stop_reason", Value::Null);
                message.push("stop_sequence", Value::Null);
                message.push("usage", write_usage(&self.usage));
                tell("message_start", [("message", message.into())], &mut write);
            }
            Event::Open { choice: 0, part, opening } => match self.live {
                None => self.open(*part, opening, &mut write),
                Some(_) if self.waiting.len() >= BLOCKS_MAX => self.losses.tell(Feature::ParallelCalls),
                Some(_) => self.waiting.push_back(Waiting {
                    part: *part,
                    opening: opening.clone().into_owned(),
                    text: String::new(),
                    signature: None,
                    is_closed: false,
                }),
            },
            Event::Piece { choice: 0, part, text } => match self.live {
                Some((live, block)) if live == *part => self.piece(block, text.clone(), &mut write),
                _ => {
                    let text = text.text();
                    if self.waiting_bytes + text.len() > WAITING_BYTES_MAX {
                        self.losses.tell(Feature::ParallelCalls);
                    } else if let Some(waiting) = self.waiting(*part) {
                        waiting.text.push_str(&text);
                        self.waiting_bytes += text.len();
                    }
                }
            },
            Event::Signature { choice: 0, part, signature } => match self.live {
                Some((live, block)) if live == *part => self.signature(block, signature.clone(), &mut write),
                _ => {
                    if let Some(waiting) = self.waiting(*part) {
                        waiting.signature = Some(signature.clone().into_owned());
                    }
                }
            },
            Event::Close { choice: 0, part } => match self.live {
                Some((live, _)) if live == *part => self.close(&mut write),
                _ => {
                    if let Some(waiting) = self.waiting(*part) {
                        waiting.is_closed = true;
                    }
                }
            },
            Event::Stop { choice: 0, stop, sequence } => {
                self.stop = Some((stop.clone().into_owned(), sequence.clone().map(Str::into_owned)));
            }
            Event::Note { choice: 0, part, note } => self.note(*part, note, &mut write),
            Event::ServiceTier(_) => {}
            // Told with the end, as others tell it after the reason of the end.
            Event::Usage(usage) => self.usage = *usage,
            Event::End => {
                let (stop, sequence) = self.stop.take().unwrap_or((Stop::End, None));
                let stop = if self.calls && stop == Stop::End { Stop::ToolCalls } else { stop };
                let mut delta = Object::default();
                delta.push("stop_reason", write_stop(&stop, &mut self.losses));
                delta.push("stop_sequence", sequence.map_or(Value::Null, Value::String));
                let usage = write_usage(&self.usage);
                tell("message_delta", [("delta", delta.into()), ("usage", usage.into())], &mut write);
                tell("message_stop", [], &mut write);
            }
            Event::Failed { kind, message } => {
                let mut error = Object::default();
                error.push("type", kind.clone().unwrap_or_else(|| "api_error".into()));
                error.push("message", message.clone());
                tell("error", [("error", error.into())], &mut write);
            }
            Event::Open { .. }
            | Event::Piece { .. }
            | Event::Signature { .. }
            | Event::Note { .. }
            | Event::Close { .. }
            | Event::Stop { .. } => self.losses.tell(Feature::Answers),
        }
    }

    fn waiting(&mut self, part: u32) -> Option<&mut Waiting> {
        self.waiting.iter_mut().find(|waiting| waiting.part == part)
    }

    fn open(&mut self, part: u32, opening: &Opening<'_>, write: &mut impl FnMut(&'static str, &[u8])) {
        let mut block = Object::default();
        let kind = match opening {
            Opening::Text | Opening::Refusal => {
                block.push("type", "text");
                block.push("text", "");
                Block::Text
            }
            Opening::Thought => {
                block.push("type", "thinking");
                block.push("thinking", "");
                block.push("signature", "");
                Block::Thinking
            }
            Opening::Sealed(_) if !Dialect::Anthropic.reads_thoughts_of(self.from) => {
                self.losses.tell(Feature::ThinkingSealed);
                self.live = None;
                return;
            }
            Opening::Sealed(sealed) => {
                block.push("type", "redacted_thinking");
                block.push("data", sealed.clone());
                Block::Whole
            }
            Opening::ToolCall { id, name, .. } => {
                self.calls = true;
                block.push("type", "tool_use");
                block.push("id", id.clone().unwrap_or_else(|| name.clone()));
                block.push("name", name.clone());
                block.push("input", Object::default());
                Block::Call
            }
            Opening::Foreign(value) if self.from == Dialect::Anthropic => {
                let members = [("index", self.blocks.into()), ("content_block", value.clone())];
                tell("content_block_start", members, write);
                self.blocks += 1;
                self.live = Some((part, Block::Call)); // its input may follow as that of a call does
                return;
            }
            Opening::Foreign(value) => {
                self.losses.tell(foreign(value));
                self.live = None;
                return;
            }
        };
        tell("content_block_start", [("index", self.blocks.into()), ("content_block", block.into())], write);
        self.blocks += 1;
        self.live = Some((part, kind));
    }

    fn piece(&mut self, block: Block, text: Str<'_>, write: &mut impl FnMut(&'static str, &[u8])) {
        let (kind, member) = match block {
            Block::Text => ("text_delta", "text"),
            Block::Thinking => ("thinking_delta", "thinking"),
            Block::Call => ("input_json_delta", "partial_json"),
            Block::Whole => return,
        };
        self.delta(kind, member, text, write);
    }

    fn signature(&mut self, block: Block, signature: Str<'_>, write: &mut impl FnMut(&'static str, &[u8])) {
        match block {
            Block::Thinking if Dialect::Anthropic.reads_thoughts_of(self.from) => {
                self.delta("signature_delta", "signature", signature, write);
            }
            _ => self.losses.tell(Feature::ThinkingSignature),
        }
    }

    /// A source stands at its text; what waits for its block loses it.
    fn note(&mut self, part: u32, note: &Note<'_>, write: &mut impl FnMut(&'static str, &[u8])) {
        match (note, self.live) {
            (Note::Citation(source), Some((live, Block::Text)))
                if live == part && self.from == Dialect::Anthropic =>
            {
                let mut delta = Object::default();
                delta.push("type", "citations_delta");
                delta.push("citation", source.clone());
                let members = [("index", (self.blocks - 1).into()), ("delta", delta.into())];
                tell("content_block_delta", members, write);
            }
            (note, _) => {
                if let Some(feature) = note.feature() {
                    self.losses.tell(feature);
                }
            }
        }
    }

    fn delta(
        &mut self,
        kind: &'static str,
        member: &'static str,
        text: Str<'_>,
        write: &mut impl FnMut(&'static str, &[u8]),
    ) {
        let mut delta = Object::default();
        delta.push("type", kind);
        delta.push(member, text);
        tell("content_block_delta", [("index", (self.blocks - 1).into()), ("delta", delta.into())], write);
    }

    /// Closes the block that is open, and writes what waited for that.
    fn close(&mut self, write: &mut impl FnMut(&'static str, &[u8])) {
        if self.live.take().is_some() {
            tell("content_block_stop", [("index", (self.blocks - 1).into())], write);
        }
        while self.live.is_none()
            && let Some(waiting) = self.waiting.pop_front()
        {
            self.waiting_bytes -= waiting.text.len();
            self.open(waiting.part, &waiting.opening, write);
            let Some((_, block)) = self.live else { continue };
            if !waiting.text.is_empty() {
                self.piece(block, waiting.text.into(), write);
            }
            if let Some(signature) = waiting.signature {
                self.signature(block, signature, write);
            }
            if waiting.is_closed {
                self.live = None;
                tell("content_block_stop", [("index", (self.blocks - 1).into())], write);
            }
        }
    }
}

/// Writes an event: its type, which stands in its data as well, and its members.
fn tell<'a, const N: usize>(
    kind: &'static str,
    members: [(&'static str, Value<'a>); N],
    write: &mut impl FnMut(&'static str, &[u8]),
) {
    let mut data = Object::default();
    data.push("type", kind);
    for (name, value) in members {
        data.push(name, value);
    }
    let mut text = Vec::new();
    data.write(&mut text);
    write(kind, &text);
}

//! Streams: events of the dialect to events of the form, and back.

use super::answer::{is_failure, read_stop, write_stop, write_usage};
use super::request::only;
use crate::dialect::Dialect;
use crate::form::read::{At, Fields};
use crate::form::write::foreign;
use crate::form::{Event, Feature, Losses, Malformed, Note, Opening, Stop};
use crate::json::{Object, Str, Value};
use crate::openai_chat::DONE;
use crate::usage::{Account, Usage};

const OWN: Dialect = Dialect::Cohere;

/// Blocks of content, and calls, that an answer may have, each.
pub const BLOCKS_MAX: usize = 4096;

/// Reads a stream, an event's data at a time; the event's type says nothing that its data do not.
#[derive(Debug, Default)]
pub struct StreamReader {
    account: Account,
    is_over: bool,
    /// The part of the plan, while it is open.
    plan: Option<u32>,
    /// By index: the part of a block, and of a call, while it is open.
    blocks: Vec<Option<u32>>,
    calls: Vec<Option<u32>>,
    has_calls: bool,
    /// The last part of text, which sources are told of; it closes when something else opens, as they may come behind it.
    text: Option<u32>,
    parts: u32,
}

impl StreamReader {
    /// Reads the data of an event; what happens by it goes to `events`.
    ///
    /// # Errors
    /// The data are not of this dialect, and where.
    pub fn read<'a>(&mut self, data: &'a [u8], events: &mut Vec<Event<'a>>) -> Result<(), Malformed> {
        if data == DONE {
            self.end(events);
            return Ok(());
        }
        let at = At::Root;
        let document = Value::parse(data)?;
        let before = self.account.usage;
        self.account.take(OWN, &document);
        let mut fields = at.object(document)?;
        let Some(kind) = fields.string(&at, "type")? else {
            // The form of its errors.
            let message = fields.must_string(&at, "message")?;
            events.push(Event::Failed { kind: None, message });
            return Ok(());
        };
        let delta_at = at.member("delta");
        let mut delta = fields.object(&at, "delta")?;
        let message_at = delta_at.member("message");
        let mut message = match &mut delta {
            Some(delta) => delta.object(&delta_at, "message")?,
            None => None,
        };
        match (kind.text().as_ref(), &mut message) {
            ("message-start", _) => {
                let id = fields.string(&at, "id")?.unwrap_or_default();
                events.push(Event::Start { id, model: Str::default(), created: None });
            }
            ("content-start", Some(message)) => {
                let index = index(&mut fields, &at)?;
                let content_at = message_at.member("content");
                if let Some(mut content) = message.object(&message_at, "content")? {
                    self.open_block(index, &mut content, &content_at, events)?;
                }
            }
            ("content-delta", Some(message)) => {
                let index = index(&mut fields, &at)?;
                let content_at = message_at.member("content");
                let Some(mut content) = message.object(&message_at, "content")? else { return Ok(()) };
                self.block(index, &mut content, &content_at, events)?;
                if let (Some(part), Some(token)) = (self.text, fields.take("logprobs")) {
                    let note = Note::Logprobs(vec![token].into());
                    events.push(Event::Note { choice: 0, part, note });
                }
            }
            ("content-end", _) => {
                let index = index(&mut fields, &at)?;
                let block = self.blocks.get_mut(index);
                if block.as_ref().is_some_and(|part| part.is_none() || **part != self.text) {
                    close(block, events);
                }
            }
            ("tool-plan-delta", Some(message)) => {
                if let Some(text) = message.string(&message_at, "tool_plan")?.filter(|text| !text.is_empty())
                {
                    let part = match self.plan {
                        Some(part) => part,
                        None => self.open(Opening::Text, events),
                    };
                    self.plan = Some(part);
                    self.text = Some(part);
                    events.push(Event::Piece { choice: 0, part, text });
                }
            }
            ("tool-call-start", Some(message)) => {
                let index = index(&mut fields, &at)?;
                let call_at = message_at.member("tool_calls");
                let mut call = call_at.object(message.must(&message_at, "tool_calls")?)?;
                self.open_call(index, &mut call, &call_at, events)?;
            }
            ("tool-call-delta", Some(message)) => {
                let index = index(&mut fields, &at)?;
                let call_at = message_at.member("tool_calls");
                let mut call = call_at.object(message.must(&message_at, "tool_calls")?)?;
                let Some(part) = self.calls.get(index).copied().flatten() else {
                    return Err(at.member("index").must_be("that of a call which is open"));
                };
                piece(part, &mut call, &call_at, events)?;
            }
            ("tool-call-end", _) => {
                let index = index(&mut fields, &at)?;
                close(self.calls.get_mut(index), events);
            }
            ("citation-start", Some(message)) => {
                if let (Some(part), Some(source)) = (self.text, message.take("citations")) {
                    self.cite(part, source, events);
                }
            }
            ("message-end", _) => self.ended(delta.as_mut(), &delta_at, events)?,
            _ => {} // `citation-end`, `debug`, and what is yet to come
        }
        if self.account.usage != before && !self.is_over {
            events.extend(self.account.usage.map(Event::Usage));
        }
        Ok(())
    }

    fn end(&mut self, events: &mut Vec<Event<'_>>) {
        if !std::mem::replace(&mut self.is_over, true) {
            events.push(Event::End);
        }
    }

    fn open<'a>(&mut self, opening: Opening<'a>, events: &mut Vec<Event<'a>>) -> u32 {
        if let Some(text) = self.text.take() {
            close(self.blocks.iter_mut().find(|part| **part == Some(text)), events);
            close(Some(&mut self.plan), events);
        }
        let part = self.parts;
        self.parts += 1;
        events.push(Event::Open { choice: 0, part, opening });
        part
    }

    fn open_block<'a>(
        &mut self,
        index: usize,
        content: &mut Fields<'a>,
        at: &At<'_>,
        events: &mut Vec<Event<'a>>,
    ) -> Result<(), Malformed> {
        let kind = content.string(at, "type")?;
        let is_thought = kind.is_some_and(|kind| kind.is("thinking"));
        self.make_block(index, is_thought, events);
        self.block(index, content, at, events)
    }

    fn make_block(&mut self, index: usize, is_thought: bool, events: &mut Vec<Event<'_>>) -> u32 {
        close(self.blocks.get_mut(index), events);
        let part = self.open(if is_thought { Opening::Thought } else { Opening::Text }, events);
        while self.blocks.len() <= index {
            self.blocks.push(None);
        }
        self.blocks[index] = Some(part);
        if !is_thought {
            self.text = Some(part);
        }
        part
    }

    fn block<'a>(
        &mut self,
        index: usize,
        content: &mut Fields<'a>,
        at: &At<'_>,
        events: &mut Vec<Event<'a>>,
    ) -> Result<(), Malformed> {
        let thought = content.string(at, "thinking")?.filter(|text| !text.is_empty());
        let is_thought = thought.is_some();
        let text = content.string(at, "text")?.filter(|text| !text.is_empty());
        if let Some(text) = thought.or(text) {
            let part = match self.blocks.get(index).copied().flatten() {
                Some(part) => part,
                None => self.make_block(index, is_thought, events),
            };
            events.push(Event::Piece { choice: 0, part, text });
        }
        Ok(())
    }

    fn open_call<'a>(
        &mut self,
        index: usize,
        call: &mut Fields<'a>,
        at: &At<'_>,
        events: &mut Vec<Event<'a>>,
    ) -> Result<(), Malformed> {
        close(self.calls.get_mut(index), events);
        let id = call.string(at, "id")?;
        let function_at = at.member("function");
        let mut function = function_at.object(call.must(at, "function")?)?;
        let name = function.must_string(&function_at, "name")?;
        let text = function.string(&function_at, "arguments")?.filter(|text| !text.is_empty());
        let part = self.open(Opening::ToolCall { id, name, is_free: false }, events);
        self.has_calls = true;
        while self.calls.len() <= index {
            self.calls.push(None);
        }
        self.calls[index] = Some(part);
        events.extend(text.map(|text| Event::Piece { choice: 0, part, text }));
        Ok(())
    }

    /// Sources come in the middle of the text or behind it; one that is closed by then cannot get any.
    fn cite<'a>(&self, part: u32, source: Value<'a>, events: &mut Vec<Event<'a>>) {
        let is_open = self.plan == Some(part) || self.blocks.contains(&Some(part));
        let sources = match source {
            Value::Array(sources) => sources,
            source => vec![source],
        };
        for source in sources.into_iter().filter(|_| is_open) {
            events.push(Event::Note { choice: 0, part, note: Note::Citation(source) });
        }
    }

    fn ended<'a>(
        &mut self,
        delta: Option<&mut Fields<'a>>,
        at: &At<'_>,
        events: &mut Vec<Event<'a>>,
    ) -> Result<(), Malformed> {
        if self.is_over {
            return Ok(());
        }
        let (word, error) = match delta {
            Some(delta) => (delta.string(at, "finish_reason")?, delta.string(at, "error")?),
            None => (None, None),
        };
        if error.is_some() || word.as_ref().is_some_and(is_failure) {
            events.push(Event::Failed { kind: word, message: error.unwrap_or_default() });
            return Ok(());
        }
        close(Some(&mut self.plan), events);
        for open in self.blocks.iter_mut().chain(&mut self.calls) {
            close(Some(open), events);
        }
        let stop = match word.map(read_stop) {
            None | Some(Stop::End) if self.has_calls => Stop::ToolCalls,
            stop => stop.unwrap_or(Stop::End),
        };
        events.push(Event::Stop { choice: 0, stop, sequence: None });
        events.extend(self.account.usage.map(Event::Usage));
        self.end(events);
        Ok(())
    }
}

fn close(open: Option<&mut Option<u32>>, events: &mut Vec<Event<'_>>) {
    if let Some(part) = open.and_then(Option::take) {
        events.push(Event::Close { choice: 0, part });
    }
}

fn piece<'a>(
    part: u32,
    call: &mut Fields<'a>,
    at: &At<'_>,
    events: &mut Vec<Event<'a>>,
) -> Result<(), Malformed> {
    let function_at = at.member("function");
    if let Some(mut function) = call.object(at, "function")?
        && let Some(text) = function.string(&function_at, "arguments")?.filter(|text| !text.is_empty())
    {
        events.push(Event::Piece { choice: 0, part, text });
    }
    Ok(())
}

/// Which block or call; the first where that is left out.
fn index(fields: &mut Fields<'_>, at: &At<'_>) -> Result<usize, Malformed> {
    let index = fields.whole(at, "index")?.map_or(Some(0), |index| usize::try_from(index).ok());
    index.filter(|index| *index < BLOCKS_MAX).ok_or_else(|| at.member("index").must_be("a small number"))
}

/// Writes a stream, an event of the form at a time.
#[derive(Debug)]
pub struct StreamWriter {
    from: Dialect,
    id: String,
    /// By part: what it is here.
    places: Vec<Place>,
    blocks: u64,
    calls: u64,
    sources: u64,
    stop: Option<Stop<'static>>,
    usage: Option<Usage>,
    losses: Losses,
}

#[derive(Debug, Clone, Copy)]
enum Place {
    Block(u64, &'static str),
    /// A call, and whether nothing of its arguments has come.
    Call(u64, bool),
    Nowhere,
}

impl StreamWriter {
    /// A writer of an answer that was read from `from`; the dialect does not name the model.
    pub fn new(from: Dialect) -> Self {
        Self {
            from,
            id: String::new(),
            places: Vec::new(),
            blocks: 0,
            calls: 0,
            sources: 0,
            stop: None,
            usage: None,
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
                self.id = id.text().into_owned();
                let mut message = only("role", "assistant");
                for empty in ["content", "tool_calls", "citations"] {
                    message.push(empty, Vec::new());
                }
                message.push("tool_plan", "");
                let delta = only("message", message);
                let members = [("id", Value::from(self.id.clone())), ("delta", delta.into())];
                tell("message-start", members, &mut write);
            }
            Event::Open { choice: 0, opening, .. } => self.open(opening, &mut write),
            Event::Piece { choice: 0, part, text } => self.piece(*part, text, &mut write),
            Event::Signature { choice: 0, .. } => self.losses.tell(Feature::ThinkingSignature),
            Event::Note { choice: 0, part, note } => self.note(*part, note, &mut write),
            Event::Close { choice: 0, part } => self.close(*part, &mut write),
            Event::Stop { choice: 0, stop, sequence } => {
                self.losses.tell_if(sequence.is_some(), Feature::StopSequence);
                self.stop = Some(stop.clone().into_owned());
            }
            Event::Usage(usage) => self.usage = Some(*usage), // told with the end
            Event::ServiceTier(_) => self.losses.tell(Feature::ServiceTier),
            Event::End => {
                let stop = match self.stop.take() {
                    None | Some(Stop::End) if self.calls > 0 => Stop::ToolCalls,
                    stop => stop.unwrap_or(Stop::End),
                };
                let mut delta = only("finish_reason", write_stop(&stop, self.from, &mut self.losses));
                if let Some(usage) = &self.usage {
                    delta.push("usage", write_usage(usage));
                }
                self.end(delta, &mut write);
            }
            Event::Failed { message, .. } => {
                let mut delta = only("finish_reason", "ERROR");
                delta.push("error", message.clone());
                self.end(delta, &mut write);
            }
            Event::Open { .. }
            | Event::Piece { .. }
            | Event::Signature { .. }
            | Event::Note { .. }
            | Event::Close { .. }
            | Event::Stop { .. } => self.losses.tell(Feature::Answers),
        }
    }

    fn end(&self, delta: Object<'_>, write: &mut impl FnMut(&'static str, &[u8])) {
        tell("message-end", [("id", self.id.clone().into()), ("delta", delta.into())], write);
    }

    fn open(&mut self, opening: &Opening<'_>, write: &mut impl FnMut(&'static str, &[u8])) {
        let place = match opening {
            Opening::Text | Opening::Refusal | Opening::Thought => {
                let kind = if matches!(opening, Opening::Thought) { "thinking" } else { "text" };
                let mut content = only("type", kind);
                content.push(kind, "");
                let delta = only("message", only("content", content));
                self.blocks += 1;
                let index = self.blocks - 1;
                tell("content-start", [("index", index.into()), ("delta", delta.into())], write);
                Place::Block(index, kind)
            }
            Opening::ToolCall { id, name, is_free } => {
                self.losses.tell_if(*is_free, Feature::CustomTools);
                let mut function = only("name", name.clone());
                function.push("arguments", "");
                let mut call = only("id", id.clone().unwrap_or_else(|| name.clone()));
                call.push("type", "function");
                call.push("function", function);
                let delta = only("message", only("tool_calls", call));
                self.calls += 1;
                let index = self.calls - 1;
                tell("tool-call-start", [("index", index.into()), ("delta", delta.into())], write);
                Place::Call(index, true)
            }
            Opening::Sealed(_) => {
                self.losses.tell(Feature::ThinkingSealed);
                Place::Nowhere
            }
            Opening::Foreign(value) => {
                self.losses.tell(foreign(value));
                Place::Nowhere
            }
        };
        self.places.push(place);
    }

    fn piece(&mut self, part: u32, text: &Str<'_>, write: &mut impl FnMut(&'static str, &[u8])) {
        let (kind, index, message) = match self.places.get_mut(part as usize) {
            Some(Place::Block(index, kind)) => {
                ("content-delta", *index, only("content", only(kind, text.clone())))
            }
            Some(Place::Call(index, is_empty)) => {
                *is_empty = false;
                let function = only("function", only("arguments", text.clone()));
                ("tool-call-delta", *index, only("tool_calls", function))
            }
            Some(Place::Nowhere) | None => return,
        };
        tell(kind, [("index", index.into()), ("delta", only("message", message).into())], write);
    }

    fn note(&mut self, part: u32, note: &Note<'_>, write: &mut impl FnMut(&'static str, &[u8])) {
        let is_own = self.from == OWN;
        match (note, self.places.get(part as usize)) {
            (Note::Citation(source), Some(Place::Block(..))) if is_own => {
                let delta = only("message", only("citations", source.clone()));
                self.sources += 1;
                let index = self.sources - 1;
                tell("citation-start", [("index", index.into()), ("delta", delta.into())], write);
                tell("citation-end", [("index", index.into())], write);
            }
            (Note::Logprobs(Value::Array(tokens)), Some(Place::Block(index, kind))) if is_own => {
                for token in tokens {
                    let delta = only("message", only("content", only(kind, "")));
                    let members =
                        [("index", (*index).into()), ("delta", delta.into()), ("logprobs", token.clone())];
                    tell("content-delta", members, write);
                }
            }
            (note, _) => {
                if let Some(feature) = note.feature() {
                    self.losses.tell(feature);
                }
            }
        }
    }

    /// Ends a part; a call without arguments has an empty object, not nothing.
    fn close(&mut self, part: u32, write: &mut impl FnMut(&'static str, &[u8])) {
        if let Some(Place::Call(_, true)) = self.places.get(part as usize) {
            self.piece(part, &"{}".into(), write);
        }
        match self.places.get(part as usize) {
            Some(Place::Block(index, _)) => tell("content-end", [("index", (*index).into())], write),
            Some(Place::Call(index, _)) => tell("tool-call-end", [("index", (*index).into())], write),
            Some(Place::Nowhere) | None => {}
        }
    }
}

/// Writes an event: its type, which stands in its data as well, and its members.
fn tell<'a, const N: usize>(
    kind: &'static str,
    members: [(&'static str, Value<'a>); N],
    write: &mut impl FnMut(&'static str, &[u8]),
) {
    let mut data = only("type", kind);
    members.into_iter().for_each(|(name, value)| data.push(name, value));
    let mut text = Vec::new();
    data.write(&mut text);
    write(kind, &text);
}

//! Streams: events of the dialect to events of the form, and back.

use super::answer::{read_stop, write_stop, write_usage};
use crate::dialect::Dialect;
use crate::event_stream::Frame;
use crate::form::read::{At, Fields};
use crate::form::write::foreign;
use crate::form::{Event, Feature, Losses, Malformed, Note, Opening, Stop};
use crate::json::{Object, Str, Value};
use crate::usage::{Account, Usage};

/// Blocks that an answer may have.
pub const BLOCKS_MAX: usize = 4096;

/// Reads a stream, a frame at a time. It is over with the last event, `metadata`, which tells what was used.
#[derive(Debug, Default)]
pub struct StreamReader {
    account: Account,
    /// By index of the block: its part, and what it is.
    blocks: Vec<Option<(u32, Kind)>>,
    parts: u32,
    is_started: bool,
    is_stopped: bool,
    is_told: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Thought,
    Sealed,
    Call,
    Foreign,
}

impl StreamReader {
    /// Reads a frame: an event, one of the service's errors, or any other.
    ///
    /// # Errors
    /// What it carries is not of this dialect, and where.
    pub fn read_frame<'a>(
        &mut self,
        frame: &Frame<'a>,
        events: &mut Vec<Event<'a>>,
    ) -> Result<(), Malformed> {
        match frame.message_type() {
            Some("error") => {
                let kind = frame.error_code().map(Str::from);
                let message = frame.error_message().unwrap_or_default().into();
                events.push(Event::Failed { kind, message });
                Ok(())
            }
            Some("exception") => {
                self.read(frame.exception_type().unwrap_or_default(), frame.payload(), events)
            }
            _ => self.read(frame.event_type().unwrap_or_default(), frame.payload(), events),
        }
    }

    /// Reads an event of this type, or an error of the service by the type of that; what happens by it goes to `events`.
    ///
    /// # Errors
    /// The payload is not of this dialect, and where.
    pub fn read<'a>(
        &mut self,
        event_type: &'a str,
        payload: &'a [u8],
        events: &mut Vec<Event<'a>>,
    ) -> Result<(), Malformed> {
        let at = At::Root;
        let document = Value::parse(payload)?;
        let before = self.account.usage;
        self.account.take(Dialect::Bedrock, &document);
        let mut event = at.object(document)?;
        match event_type {
            "messageStart" => self.start(events),
            "contentBlockStart" => {
                let index = block_index(&mut event, &at)?;
                let start_at = at.member("start");
                if let Some(start) = event.object(&at, "start")? {
                    self.open_as_told(index, start, &start_at, events)?;
                }
            }
            "contentBlockDelta" => {
                let index = block_index(&mut event, &at)?;
                let delta_at = at.member("delta");
                let delta = delta_at.object(event.must(&at, "delta")?)?;
                self.delta(index, delta, &delta_at, events)?;
            }
            "contentBlockStop" => {
                let index = block_index(&mut event, &at)?;
                self.close(index, events);
            }
            "messageStop" => {
                (0..self.blocks.len()).for_each(|index| self.close(index, events));
                let word = event.must_string(&at, "stopReason")?;
                if !std::mem::replace(&mut self.is_stopped, true) {
                    events.push(Event::Stop { choice: 0, stop: read_stop(word), sequence: None });
                }
            }
            "metadata" => {
                let tier_at = at.member("serviceTier");
                if let Some(mut tier) = event.object(&at, "serviceTier")?
                    && let Some(tier) = tier.string(&tier_at, "type")?
                {
                    events.push(Event::ServiceTier(tier));
                }
            }
            kind if kind.ends_with("Exception") => {
                let message = event.string(&at, "message")?.unwrap_or_default();
                events.push(Event::Failed { kind: Some(kind.into()), message });
                return Ok(());
            }
            _ => {} // what is yet to come
        }
        if self.account.usage != before {
            events.extend(self.account.usage.map(Event::Usage));
        }
        if event_type == "metadata" && self.is_stopped && !std::mem::replace(&mut self.is_told, true) {
            events.push(Event::End);
        }
        Ok(())
    }

    fn start(&mut self, events: &mut Vec<Event<'_>>) {
        if !std::mem::replace(&mut self.is_started, true) {
            events.push(Event::Start { id: Str::default(), model: Str::default(), created: None });
        }
    }

    fn open<'a>(
        &mut self,
        index: usize,
        kind: Kind,
        opening: Opening<'a>,
        events: &mut Vec<Event<'a>>,
    ) -> u32 {
        self.start(events);
        self.close(index, events);
        while self.blocks.len() <= index {
            self.blocks.push(None);
        }
        let part = self.parts;
        self.parts += 1;
        self.blocks[index] = Some((part, kind));
        events.push(Event::Open { choice: 0, part, opening });
        part
    }

    fn close(&mut self, index: usize, events: &mut Vec<Event<'_>>) {
        if let Some((part, _)) = self.blocks.get_mut(index).and_then(Option::take) {
            events.push(Event::Close { choice: 0, part });
        }
    }

    /// The part of a block that is of this kind; text and thoughts begin without being announced.
    fn part_of<'a>(
        &mut self,
        index: usize,
        kind: Kind,
        opening: Opening<'a>,
        events: &mut Vec<Event<'a>>,
    ) -> u32 {
        match self.blocks.get(index).copied().flatten() {
            Some((part, open)) if open == kind => part,
            _ => self.open(index, kind, opening, events),
        }
    }

    /// Only calls, and what the provider runs itself, say what they are beforehand.
    fn open_as_told<'a>(
        &mut self,
        index: usize,
        mut start: Fields<'a>,
        at: &At<'_>,
        events: &mut Vec<Event<'a>>,
    ) -> Result<(), Malformed> {
        let call_at = at.member("toolUse");
        let Some(call) = start.object(at, "toolUse")? else {
            let rest = start.rest();
            if !rest.is_empty() {
                self.open(index, Kind::Foreign, Opening::Foreign(rest.into()), events);
            }
            return Ok(());
        };
        let mut call = call;
        let id = call.must_string(&call_at, "toolUseId")?;
        let name = call.must_string(&call_at, "name")?;
        match call.take("type") {
            None => {
                let opening = Opening::ToolCall { id: Some(id), name, is_free: false };
                self.open(index, Kind::Call, opening, events);
            }
            Some(kind) => {
                let mut inner: Object<'_> = [("toolUseId", id), ("name", name)].into_iter().collect();
                inner.push("type", kind);
                let value = [("toolUse", inner)].into_iter().collect::<Object<'_>>();
                self.open(index, Kind::Foreign, Opening::Foreign(value.into()), events);
            }
        }
        Ok(())
    }

    fn delta<'a>(
        &mut self,
        index: usize,
        mut delta: Fields<'a>,
        at: &At<'_>,
        events: &mut Vec<Event<'a>>,
    ) -> Result<(), Malformed> {
        if let Some(text) = delta.string(at, "text")? {
            let part = self.part_of(index, Kind::Text, Opening::Text, events);
            piece(part, text, events);
        }
        let call_at = at.member("toolUse");
        if let Some(mut call) = delta.object(at, "toolUse")? {
            let text = call.string(&call_at, "input")?.unwrap_or_default();
            match self.blocks.get(index).copied().flatten() {
                Some((part, Kind::Call)) => piece(part, text, events),
                Some((_, Kind::Foreign)) => {}
                _ => return Err(call_at.must_be("in a block that began as a call")),
            }
        }
        let thought_at = at.member("reasoningContent");
        if let Some(mut thought) = delta.object(at, "reasoningContent")? {
            if let Some(text) = thought.string(&thought_at, "text")? {
                let part = self.part_of(index, Kind::Thought, Opening::Thought, events);
                piece(part, text, events);
            }
            if let Some(signature) = thought.string(&thought_at, "signature")? {
                let part = self.part_of(index, Kind::Thought, Opening::Thought, events);
                events.push(Event::Signature { choice: 0, part, signature });
            }
            if let Some(sealed) = thought.string(&thought_at, "redactedContent")? {
                self.open(index, Kind::Sealed, Opening::Sealed(sealed), events);
            }
        }
        if let Some(source) = delta.take("citation") {
            let part = self.part_of(index, Kind::Text, Opening::Text, events);
            events.push(Event::Note { choice: 0, part, note: Note::Citation(source) });
        }
        Ok(())
    }
}

fn piece<'a>(part: u32, text: Str<'a>, events: &mut Vec<Event<'a>>) {
    if !text.is_empty() {
        events.push(Event::Piece { choice: 0, part, text });
    }
}

fn block_index(event: &mut Fields<'_>, at: &At<'_>) -> Result<usize, Malformed> {
    let index = event.whole(at, "contentBlockIndex")?.and_then(|index| usize::try_from(index).ok());
    index
        .filter(|index| *index < BLOCKS_MAX)
        .ok_or_else(|| at.member("contentBlockIndex").must_be("a small number"))
}

/// Writes a stream, an event of the form at a time. Blocks are numbered as the parts are.
#[derive(Debug)]
pub struct StreamWriter {
    from: Dialect,
    /// By part: what it is there.
    parts: Vec<Kind>,
    stop: Option<Stop<'static>>,
    usage: Usage,
    service_tier: Option<Str<'static>>,
    calls: bool,
    losses: Losses,
}

impl StreamWriter {
    /// A writer of an answer that was read from `from`.
    pub fn new(from: Dialect) -> Self {
        Self {
            from,
            parts: Vec::new(),
            stop: None,
            usage: Usage::default(),
            service_tier: None,
            calls: false,
            losses: Losses::default(),
        }
    }

    /// What the dialect had no word for so far.
    pub fn losses(&self) -> &Losses {
        &self.losses
    }

    /// Writes the frames that stand for this event, each by `write` with the type of an event, or of an error of the
    /// service, and its payload.
    pub fn write(&mut self, event: &Event<'_>, mut write: impl FnMut(&'static str, &[u8])) {
        match event {
            Event::Start { .. } => tell("messageStart", [("role", "assistant".into())], &mut write),
            Event::Open { choice: 0, part, opening } => self.open(*part, opening, &mut write),
            Event::Piece { choice: 0, part, text } => {
                let delta: Object<'_> = match self.kind(*part) {
                    Some(Kind::Text) => [("text", text.clone())].into_iter().collect(),
                    Some(Kind::Thought) => {
                        let inner: Object<'_> = [("text", text.clone())].into_iter().collect();
                        [("reasoningContent", inner)].into_iter().collect()
                    }
                    Some(Kind::Call) => {
                        let inner: Object<'_> = [("input", text.clone())].into_iter().collect();
                        [("toolUse", inner)].into_iter().collect()
                    }
                    Some(Kind::Sealed | Kind::Foreign) | None => return,
                };
                block_delta(*part, delta, &mut write);
            }
            Event::Signature { choice: 0, part, signature } => {
                let is_readable = Dialect::Bedrock.reads_thoughts_of(self.from);
                match self.kind(*part) {
                    Some(Kind::Thought) if is_readable => {
                        let inner: Object<'_> = [("signature", signature.clone())].into_iter().collect();
                        let delta = [("reasoningContent", inner)].into_iter().collect();
                        block_delta(*part, delta, &mut write);
                    }
                    _ => self.losses.tell(Feature::ThinkingSignature),
                }
            }
            Event::Note { choice: 0, part, note } => match (note, self.kind(*part)) {
                (Note::Citation(source), Some(Kind::Text)) if self.from == Dialect::Bedrock => {
                    block_delta(*part, [("citation", source.clone())].into_iter().collect(), &mut write);
                }
                (note, _) => note.feature().into_iter().for_each(|feature| self.losses.tell(feature)),
            },
            Event::Close { choice: 0, part } => {
                if self.kind(*part).is_some_and(|kind| kind != Kind::Foreign) {
                    let members = [("contentBlockIndex", u64::from(*part).into())];
                    tell("contentBlockStop", members, &mut write);
                }
            }
            Event::Stop { choice: 0, stop, sequence } => {
                self.losses.tell_if(sequence.is_some(), Feature::StopSequence);
                self.stop = Some(stop.clone().into_owned());
            }
            Event::Usage(usage) => self.usage = *usage,
            Event::ServiceTier(tier) => self.service_tier = Some(tier.clone().into_owned()),
            Event::End => self.end(&mut write),
            Event::Failed { kind, message } => {
                tell(exception(kind.as_ref()), [("message", message.clone().into())], &mut write);
            }
            Event::Open { .. }
            | Event::Piece { .. }
            | Event::Signature { .. }
            | Event::Note { .. }
            | Event::Close { .. }
            | Event::Stop { .. } => self.losses.tell(Feature::Answers),
        }
    }

    fn kind(&self, part: u32) -> Option<Kind> {
        self.parts.get(part as usize).copied()
    }

    fn open(&mut self, part: u32, opening: &Opening<'_>, write: &mut impl FnMut(&'static str, &[u8])) {
        let kind = match opening {
            Opening::Text | Opening::Refusal => Kind::Text,
            Opening::Thought => Kind::Thought,
            Opening::Sealed(sealed) if Dialect::Bedrock.reads_thoughts_of(self.from) => {
                let inner: Object<'_> = [("redactedContent", sealed.clone())].into_iter().collect();
                block_delta(part, [("reasoningContent", inner)].into_iter().collect(), write);
                Kind::Sealed
            }
            Opening::Sealed(_) => {
                self.losses.tell(Feature::ThinkingSealed);
                Kind::Foreign
            }
            Opening::ToolCall { id, name, is_free } => {
                self.calls = true;
                self.losses.tell_if(*is_free, Feature::CustomTools);
                let mut call = Object::default();
                call.push("toolUseId", id.clone().unwrap_or_else(|| name.clone()));
                call.push("name", name.clone());
                let start: Object<'_> = [("toolUse", call)].into_iter().collect();
                let members = [("contentBlockIndex", u64::from(part).into()), ("start", start.into())];
                tell("contentBlockStart", members, write);
                Kind::Call
            }
            Opening::Foreign(value) if self.from == Dialect::Bedrock => {
                let members = [("contentBlockIndex", u64::from(part).into()), ("start", value.clone())];
                tell("contentBlockStart", members, write);
                Kind::Foreign
            }
            Opening::Foreign(value) => {
                self.losses.tell(foreign(value));
                Kind::Foreign
            }
        };
        self.parts.push(kind);
    }

    fn end(&mut self, write: &mut impl FnMut(&'static str, &[u8])) {
        let stop = self.stop.take().unwrap_or(Stop::End);
        let stop = if self.calls && stop == Stop::End { Stop::ToolCalls } else { stop };
        let word = write_stop(&stop, self.from, &mut self.losses).into_owned();
        tell("messageStop", [("stopReason", word.into())], write);
        let mut metadata: Object<'_> = [("usage", write_usage(&self.usage))].into_iter().collect();
        metadata.push("metrics", [("latencyMs", 0)].into_iter().collect::<Object<'_>>());
        if let Some(tier) = self.service_tier.take().filter(|_| self.from == Dialect::Bedrock) {
            metadata.push("serviceTier", [("type", tier)].into_iter().collect::<Object<'_>>());
        }
        let mut text = Vec::new();
        metadata.write(&mut text);
        write("metadata", &text);
    }
}

/// The service's error for a kind of failure
/// (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStreamOutput.html>).
fn exception(kind: Option<&Str<'_>>) -> &'static str {
    const NAMES: [&str; 5] = [
        "internalServerException",
        "modelStreamErrorException",
        "serviceUnavailableException",
        "throttlingException",
        "validationException",
    ];
    let kind = kind.map(Str::text).unwrap_or_default();
    NAMES.into_iter().find(|name| *name == kind).unwrap_or("modelStreamErrorException")
}

fn block_delta(part: u32, delta: Object<'_>, write: &mut impl FnMut(&'static str, &[u8])) {
    let members = [("contentBlockIndex", u64::from(part).into()), ("delta", delta.into())];
    tell("contentBlockDelta", members, write);
}

/// Writes an event: its type and its members.
fn tell<'a, const N: usize>(
    kind: &'static str,
    members: [(&'static str, Value<'a>); N],
    write: &mut impl FnMut(&'static str, &[u8]),
) {
    let mut text = Vec::new();
    members.into_iter().collect::<Object<'_>>().write(&mut text);
    write(kind, &text);
}

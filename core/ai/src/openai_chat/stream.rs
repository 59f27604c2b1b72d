//! Streams: chunks of the dialect to events of the form, and back.

use super::answer::{has_openai_logprobs, read_stop, read_thought, told_failure, write_stop, write_usage};
use super::request::read_content;
use super::write::mistral_thought;
use crate::dialect::Dialect;
use crate::form::cite::annotations;
use crate::form::read::At;
use crate::form::write::{foreign, openai_tier};
use crate::form::{Event, Feature, Losses, Malformed, Note, Opening, Part, Stop, Thought};
use crate::json::{Object, Str, Value};
use crate::usage::{Account, Usage};

/// The data of the last event of a stream.
pub const DONE: &[u8] = b"[DONE]";
/// Choices that a stream may have.
pub const CHOICES_MAX: usize = 128;
/// Calls that a choice may have.
pub const CALLS_MAX: usize = 1024;

/// Reads a stream, an event's data at a time.
#[derive(Debug)]
pub struct StreamReader {
    dialect: Dialect,
    is_started: bool,
    is_over: bool,
    account: Account,
    has_tier: bool,
    choices: Vec<Choice>,
}

impl Default for StreamReader {
    fn default() -> Self {
        Self::of(Dialect::OpenAiChat)
    }
}

/// What is open in a choice.
#[derive(Debug, Default)]
struct Choice {
    /// Parts opened so far.
    parts: u32,
    /// The part that text, thoughts or a refusal go to.
    said: Option<(Said, u32)>,
    /// The calls by their index in the stream.
    calls: Vec<Option<Call>>,
    is_stopped: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Text,
    Thought,
    Refusal,
}

#[derive(Debug)]
struct Call {
    part: u32,
    arguments: Whole,
    is_open: bool,
}

/// Whether what has come of a JSON text is a whole object.
#[derive(Debug, Default)]
struct Whole {
    depth: u32,
    in_string: bool,
    escaped: bool,
    ended: bool,
}

impl Whole {
    fn take(&mut self, text: &str) {
        for byte in text.bytes() {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' if self.in_string => self.escaped = true,
                b'"' => self.in_string = !self.in_string,
                _ if self.in_string => {}
                b'{' | b'[' => self.depth = self.depth.saturating_add(1),
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    self.ended = self.depth == 0;
                }
                _ => {}
            }
        }
    }
}

impl StreamReader {
    /// Of Chat's or of Mistral's streams.
    pub(crate) fn of(dialect: Dialect) -> Self {
        Self {
            dialect,
            is_started: false,
            is_over: false,
            account: Account::default(),
            has_tier: false,
            choices: Vec::new(),
        }
    }

    /// Reads the data of an event; what happens by it goes to `events`.
    ///
    /// # Errors
    /// The data are not of this dialect, and where.
    pub fn read<'a>(&mut self, data: &'a [u8], events: &mut Vec<Event<'a>>) -> Result<(), Malformed> {
        if data == DONE {
            if !std::mem::replace(&mut self.is_over, true) {
                events.push(Event::End);
            }
            return Ok(());
        }
        let at = At::Root;
        let document = Value::parse(data)?;
        let had_usage = self.account.usage;
        self.account.take(self.dialect, &document);
        let mut fields = at.object(document)?;
        if let Some(error) = fields.take("error") {
            events.push(failed(error));
            return Ok(());
        }
        if !std::mem::replace(&mut self.is_started, true) {
            events.push(Event::Start {
                id: fields.string(&at, "id")?.unwrap_or_default(),
                model: fields.string(&at, "model")?.unwrap_or_default(),
                created: fields.take("created").and_then(|created| created.as_u64()),
            });
        }
        fields.each(&at, "choices", |choice, at| self.read_choice(choice, at, events))?;
        if let Some(tier) = fields.string(&at, "service_tier")?
            && !std::mem::replace(&mut self.has_tier, true)
        {
            events.push(Event::ServiceTier(tier));
        }
        if self.account.usage != had_usage {
            events.extend(self.account.usage.map(Event::Usage));
        }
        Ok(())
    }

    fn read_choice<'a>(
        &mut self,
        choice: Value<'a>,
        at: &At<'_>,
        events: &mut Vec<Event<'a>>,
    ) -> Result<(), Malformed> {
        let mut fields = at.object(choice)?;
        let index = fields.whole(at, "index")?.unwrap_or(0);
        let place = usize::try_from(index).ok().filter(|place| *place < CHOICES_MAX);
        let Some(place) = place else { return Err(at.member("index").must_be("a small number")) };
        while self.choices.len() <= place {
            self.choices.push(Choice::default());
        }
        let index = index as u32;
        let choice = &mut self.choices[place];
        let delta_at = at.member("delta");
        if let Some(mut delta) = fields.object(at, "delta")? {
            if let Some(text) = read_thought(&mut delta, &delta_at)? {
                choice.say(index, Said::Thought, text, events);
            }
            for part in read_content(delta.take("content"), &delta_at.member("content"))? {
                choice.part(index, part, events);
            }
            if let Some(text) = delta.string(&delta_at, "refusal")?.filter(|text| !text.is_empty()) {
                choice.say(index, Said::Refusal, text, events);
            }
            for source in delta.array(&delta_at, "annotations")? {
                choice.note(index, Said::Text, Note::Citation(source), events);
            }
            let calls_at = delta_at.member("tool_calls");
            for (n, call) in delta.array(&delta_at, "tool_calls")?.into_iter().enumerate() {
                choice.call(index, call, n, &calls_at.element(n), events)?;
            }
        }
        let logprobs_at = at.member("logprobs");
        if let Some(mut logprobs) = fields.object(at, "logprobs")? {
            for (kind, name) in [(Said::Text, "content"), (Said::Refusal, "refusal")] {
                let tokens = logprobs.array(&logprobs_at, name)?;
                if !tokens.is_empty() {
                    choice.note(index, kind, Note::Logprobs(tokens.into()), events);
                }
            }
        }
        if let Some(word) = fields.string(at, "finish_reason")? {
            match word.is("error") {
                true => events.push(failed(fields.take("error").unwrap_or(Value::Null))),
                false => choice.stop(index, read_stop(&word), events),
            }
        }
        Ok(())
    }
}

impl Choice {
    fn open<'a>(&mut self, choice: u32, opening: Opening<'a>, events: &mut Vec<Event<'a>>) -> u32 {
        let part = self.parts;
        self.parts += 1;
        events.push(Event::Open { choice, part, opening });
        part
    }

    /// Closes what is said, and the calls whose arguments are whole.
    fn close_said(&mut self, choice: u32, events: &mut Vec<Event<'_>>) {
        if let Some((_, part)) = self.said.take() {
            events.push(Event::Close { choice, part });
        }
    }

    fn close_calls(&mut self, choice: u32, only_whole: bool, events: &mut Vec<Event<'_>>) {
        for call in self.calls.iter_mut().flatten() {
            if call.is_open && (call.arguments.ended || !only_whole) {
                call.is_open = false;
                events.push(Event::Close { choice, part: call.part });
            }
        }
    }

    fn say<'a>(&mut self, choice: u32, kind: Said, text: Str<'a>, events: &mut Vec<Event<'a>>) {
        let part = match self.said {
            Some((open, part)) if open == kind => part,
            _ => {
                self.close_said(choice, events);
                self.close_calls(choice, true, events);
                let opening = match kind {
                    Said::Text => Opening::Text,
                    Said::Thought => Opening::Thought,
                    Said::Refusal => Opening::Refusal,
                };
                let part = self.open(choice, opening, events);
                self.said = Some((kind, part));
                part
            }
        };
        events.push(Event::Piece { choice, part, text });
    }

    /// A part of what is said, of a list of them.
    fn part<'a>(&mut self, choice: u32, part: Part<'a>, events: &mut Vec<Event<'a>>) {
        match part {
            Part::Text(text) if !text.text.is_empty() => self.say(choice, Said::Text, text.text, events),
            Part::Refusal(text) if !text.is_empty() => self.say(choice, Said::Refusal, text, events),
            Part::Thought(thought) => {
                if !thought.text.is_empty() {
                    self.say(choice, Said::Thought, thought.text, events);
                }
                if let (Some(signature), Some((Said::Thought, part))) = (thought.signature, self.said) {
                    events.push(Event::Signature { choice, part, signature });
                }
            }
            Part::Foreign(value) => {
                self.close_said(choice, events);
                self.close_calls(choice, true, events);
                let part = self.open(choice, Opening::Foreign(value), events);
                events.push(Event::Close { choice, part });
            }
            _ => {}
        }
    }

    /// Something beside what is being said.
    fn note<'a>(&mut self, choice: u32, kind: Said, note: Note<'a>, events: &mut Vec<Event<'a>>) {
        if let Some((open, part)) = self.said
            && open == kind
        {
            events.push(Event::Note { choice, part, note });
        }
    }

    fn call<'a>(
        &mut self,
        choice: u32,
        call: Value<'a>,
        n: usize,
        at: &At<'_>,
        events: &mut Vec<Event<'a>>,
    ) -> Result<(), Malformed> {
        let mut fields = at.object(call)?;
        // Some leave the index out, and then mean the place in the array.
        let index = fields.whole(at, "index")?.map_or(Some(n), |index| usize::try_from(index).ok());
        let Some(index) = index.filter(|index| *index < CALLS_MAX) else {
            return Err(at.member("index").must_be("a small number"));
        };
        let id = fields.string(at, "id")?.filter(|id| !id.is_empty());
        // Pieces that follow the first one do not say again what they are of.
        let custom = fields.object(at, "custom")?;
        let is_free = custom.is_some();
        let (member, input) = if is_free { ("custom", "input") } else { ("function", "arguments") };
        let inner_at = at.member(member);
        let inner = match custom {
            Some(custom) => Some(custom),
            None => fields.object(at, member)?,
        };
        let (name, text) = match inner {
            None => (None, None),
            Some(mut inner) => {
                let name = inner.string(&inner_at, "name")?;
                let text = match inner.take(input) {
                    Some(object @ Value::Object(_)) => Some(object.to_json().into()),
                    Some(text) => Some(inner_at.member(input).string(text)?),
                    None => None,
                };
                (name, text)
            }
        };
        while self.calls.len() <= index {
            self.calls.push(None);
        }
        if self.calls[index].is_none() {
            let Some(name) = name else {
                return Err(Malformed::Missing { path: inner_at.member("name").to_string() });
            };
            self.close_said(choice, events);
            self.close_calls(choice, true, events);
            let part = self.open(choice, Opening::ToolCall { id, name, is_free }, events);
            self.calls[index] = Some(Call { part, arguments: Whole::default(), is_open: true });
        }
        let text = text.filter(|text: &Str<'_>| !text.is_empty());
        if let (Some(text), Some(call)) = (text, &mut self.calls[index]) {
            if !call.is_open {
                return Err(inner_at.member(input).must_be("complete before the next call"));
            }
            call.arguments.take(&text.text());
            events.push(Event::Piece { choice, part: call.part, text });
        }
        Ok(())
    }

    /// The first reason counts: some send it twice.
    fn stop<'a>(&mut self, choice: u32, stop: Stop<'a>, events: &mut Vec<Event<'a>>) {
        if std::mem::replace(&mut self.is_stopped, true) {
            return;
        }
        self.close_said(choice, events);
        self.close_calls(choice, false, events);
        let calls = self.calls.iter().any(Option::is_some);
        let stop = if calls && stop == Stop::End { Stop::ToolCalls } else { stop };
        events.push(Event::Stop { choice, stop, sequence: None });
    }
}

/// An error within a stream that began well.
fn failed(error: Value<'_>) -> Event<'_> {
    let (kind, message) = told_failure(error);
    Event::Failed { kind, message }
}

/// Writes a stream, an event of the form at a time.
#[derive(Debug)]
pub struct StreamWriter {
    to: Dialect,
    from: Dialect,
    model: String,
    id: String,
    tier: Option<Str<'static>>,
    created: u64,
    /// Whether the caller wants to know what was used.
    tells_usage: bool,
    usage: Option<Usage>,
    choices: Vec<Written>,
    losses: Losses,
}

/// What has been written of a choice.
#[derive(Debug, Default)]
struct Written {
    /// By part: what it is there.
    parts: Vec<Place>,
    calls: u64,
    /// Characters of text so far, which sources count.
    length: u64,
    /// Whether thoughts have been told.
    thinks: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Text of a member; text begins at so many characters.
    Member(&'static str, u64),
    /// Thoughts within the content, as Mistral has them.
    Thinking,
    /// Arguments of a call.
    Call {
        index: u64,
        member: &'static str,
        input: &'static str,
        is_empty: bool,
    },
    Nowhere,
}

impl StreamWriter {
    /// A writer of an answer that names `model`.
    pub fn new(model: &str, tells_usage: bool) -> Self {
        Self::of(Dialect::OpenAiChat, model, tells_usage)
    }

    /// A writer of Chat's or of Mistral's streams.
    pub(crate) fn of(to: Dialect, model: &str, tells_usage: bool) -> Self {
        Self {
            to,
            from: to,
            model: model.to_owned(),
            id: String::new(),
            tier: None,
            created: 0,
            tells_usage,
            usage: None,
            choices: Vec::new(),
            losses: Losses::default(),
        }
    }

    /// Of a stream that was read from `from`, whose words its sources and probabilities are in.
    pub fn reading(mut self, from: Dialect) -> Self {
        self.from = from;
        self
    }

    /// What the dialect had no word for so far.
    pub fn losses(&self) -> &Losses {
        &self.losses
    }

    /// Writes the data of the events that stand for this one, each by `write`.
    pub fn write(&mut self, event: &Event<'_>, mut write: impl FnMut(&[u8])) {
        let chunk = match event {
            Event::Start { id, created, .. } => {
                self.id = id.text().into_owned();
                self.created = created.unwrap_or(0);
                let mut delta = Object::default();
                delta.push("role", "assistant");
                delta.push("content", "");
                self.chunk(0, delta, None)
            }
            Event::Open { choice, opening, .. } => match self.open(*choice, opening) {
                Some(delta) => self.chunk(*choice, delta, None),
                None => return,
            },
            Event::Piece { choice, part, text } => match self.piece(*choice, *part, text) {
                Some(delta) => self.chunk(*choice, delta, None),
                None => return,
            },
            Event::Signature { choice, part, signature } => {
                if self.place(*choice, *part) != Place::Thinking || self.from != self.to {
                    self.losses.tell(Feature::ThinkingSignature);
                    return;
                }
                let thought = Thought { signature: Some(signature.clone()), ..Thought::default() };
                self.chunk(*choice, content(vec![mistral_thought(&thought, true).into_owned()]), None)
            }
            Event::Note { choice, part, note } => match self.note(*choice, *part, note) {
                Some((delta, logprobs)) => self.chunk_with(*choice, delta, logprobs, None),
                None => return,
            },
            // A call without arguments has an empty object, not nothing.
            Event::Close { choice, part } => match self.place(*choice, *part) {
                Place::Call { is_empty: true, .. } => {
                    let Some(delta) = self.piece(*choice, *part, &"{}".into()) else { return };
                    self.chunk(*choice, delta, None)
                }
                _ => return,
            },
            Event::ServiceTier(tier) => {
                self.tier = Some(openai_tier(tier).into_owned()); // told with each chunk from here on
                return;
            }
            Event::Stop { choice, stop, sequence } => {
                self.losses.tell_if(sequence.is_some(), Feature::StopSequence);
                let calls = self.choices.get(*choice as usize).is_some_and(|choice| choice.calls > 0);
                let stop = if calls && *stop == Stop::End { &Stop::ToolCalls } else { stop };
                let word = write_stop(stop, self.to, &mut self.losses);
                self.chunk(*choice, Object::default(), Some(word))
            }
            Event::Usage(usage) => {
                self.usage = Some(*usage); // told at the end, once
                return;
            }
            Event::Failed { kind, message } => {
                let mut error = Object::default();
                error.push("message", message.clone());
                error.push("type", kind.clone().map_or(Value::Null, Value::String));
                error.push("param", Value::Null);
                error.push("code", Value::Null);
                let mut text = Vec::new();
                [("error", error)].into_iter().collect::<Object<'_>>().write(&mut text);
                return write(&text);
            }
            Event::End => {
                if let Some(usage) = self.usage.filter(|_| self.tells_usage) {
                    let mut chunk = self.head();
                    chunk.push("choices", Vec::new());
                    chunk.push("usage", write_usage(&usage));
                    let mut text = Vec::new();
                    chunk.write(&mut text);
                    write(&text);
                }
                return write(DONE);
            }
        };
        let mut text = Vec::new();
        chunk.write(&mut text);
        write(&text);
    }

    fn head(&self) -> Object<'_> {
        let mut chunk = Object::default();
        chunk.push("id", self.id.as_str());
        chunk.push("object", "chat.completion.chunk");
        chunk.push("created", self.created);
        chunk.push("model", self.model.as_str());
        if let Some(tier) = &self.tier {
            chunk.push("service_tier", tier.clone());
        }
        chunk
    }

    fn chunk<'c>(&'c self, choice: u32, delta: Object<'c>, finish: Option<&'static str>) -> Object<'c> {
        self.chunk_with(choice, delta, Value::Null, finish)
    }

    fn chunk_with<'c>(
        &'c self,
        choice: u32,
        delta: Object<'c>,
        logprobs: Value<'c>,
        finish: Option<&'static str>,
    ) -> Object<'c> {
        let mut written = Object::default();
        written.push("index", u64::from(choice));
        written.push("delta", delta);
        written.push("logprobs", logprobs);
        written.push("finish_reason", finish.map_or(Value::Null, Value::from));
        let mut chunk = self.head();
        chunk.push("choices", vec![Value::from(written)]);
        chunk
    }

    fn place(&self, choice: u32, part: u32) -> Place {
        let parts = self.choices.get(choice as usize).map_or(&[][..], |choice| &choice.parts);
        parts.get(part as usize).copied().unwrap_or(Place::Nowhere)
    }

    fn place_mut(&mut self, choice: u32, part: u32) -> Option<&mut Place> {
        self.choices.get_mut(choice as usize)?.parts.get_mut(part as usize)
    }

    /// What a piece of a part is as a delta.
    fn piece<'c>(&mut self, choice: u32, part: u32, text: &Str<'c>) -> Option<Object<'c>> {
        match self.place(choice, part) {
            Place::Nowhere => None,
            Place::Member(name, _) => {
                if name == "content"
                    && let Some(written) = self.choices.get_mut(choice as usize)
                {
                    written.length += text.text().chars().count() as u64;
                }
                Some([(name, Value::from(text.clone()))].into_iter().collect())
            }
            Place::Thinking => {
                let thought = Thought { text: text.clone(), ..Thought::default() };
                Some(content(vec![mistral_thought(&thought, false).into_owned()]))
            }
            Place::Call { index, member, input, .. } => {
                if let Some(Place::Call { is_empty, .. }) = self.place_mut(choice, part) {
                    *is_empty = false;
                }
                let inner: Object<'_> = [(input, Value::from(text.clone()))].into_iter().collect();
                let mut call = Object::default();
                call.push("index", index);
                call.push(member, inner);
                Some([("tool_calls", Value::from(vec![Value::from(call)]))].into_iter().collect())
            }
        }
    }

    /// What is told beside a part: a delta, and probabilities.
    fn note<'c>(&mut self, choice: u32, part: u32, note: &Note<'c>) -> Option<(Object<'c>, Value<'c>)> {
        let place = self.place(choice, part);
        match (note, place) {
            (Note::Citation(source), Place::Member("content", start)) if self.to == Dialect::OpenAiChat => {
                let len = self.choices.get(choice as usize)?.length - start;
                let source = Value::from(vec![source.clone()]);
                let (written, is_lost) = annotations(&source, self.from, self.to, start, len);
                self.losses.tell_if(is_lost, Feature::Citations);
                let delta = [("annotations", Value::from(written))].into_iter().collect();
                (!is_lost).then_some((delta, Value::Null))
            }
            (Note::Logprobs(tokens), Place::Member(name @ ("content" | "refusal"), _))
                if has_openai_logprobs(self.from) =>
            {
                let logprobs: Object<'_> = [(name, tokens.clone())].into_iter().collect();
                Some((Object::default(), logprobs.into()))
            }
            (note, _) => {
                if let Some(feature) = note.feature() {
                    self.losses.tell(feature);
                }
                None
            }
        }
    }

    /// Notes where a part goes; what is to be written at once.
    fn open<'c>(&mut self, choice: u32, opening: &Opening<'c>) -> Option<Object<'c>> {
        let choice = choice as usize;
        if choice >= CHOICES_MAX {
            return None;
        }
        while self.choices.len() <= choice {
            self.choices.push(Written::default());
        }
        let written = &mut self.choices[choice];
        let (place, delta) = match opening {
            Opening::Text => (Place::Member("content", written.length), None),
            Opening::Thought if self.to == Dialect::Mistral => (Place::Thinking, None),
            // A thought of its own is a paragraph of its own.
            Opening::Thought if std::mem::replace(&mut written.thinks, true) => (
                Place::Member("reasoning_content", 0),
                Some([("reasoning_content", Value::from("\n\n"))].into_iter().collect()),
            ),
            Opening::Thought => (Place::Member("reasoning_content", 0), None),
            Opening::Refusal if self.to == Dialect::Mistral => {
                (Place::Member("content", written.length), None)
            }
            Opening::Refusal => (Place::Member("refusal", 0), None),
            Opening::Sealed(_) => {
                self.losses.tell(Feature::ThinkingSealed);
                (Place::Nowhere, None)
            }
            Opening::Foreign(value) if self.from == self.to => {
                (Place::Nowhere, Some(content(vec![value.clone()])))
            }
            Opening::Foreign(value) => {
                self.losses.tell(foreign(value));
                (Place::Nowhere, None)
            }
            Opening::ToolCall { id, name, is_free } => {
                let is_custom = *is_free && self.to == Dialect::OpenAiChat;
                self.losses.tell_if(*is_free && !is_custom, Feature::CustomTools);
                let (member, input) = if is_custom { ("custom", "input") } else { ("function", "arguments") };
                let mut inner = Object::default();
                inner.push("name", name.clone());
                inner.push(input, "");
                let mut call = Object::default();
                call.push("index", written.calls);
                if let Some(id) = id {
                    call.push("id", id.clone());
                }
                call.push("type", member);
                call.push(member, inner);
                let delta = [("tool_calls", Value::from(vec![Value::from(call)]))].into_iter().collect();
                written.calls += 1;
                let is_empty = !is_custom;
                (Place::Call { index: written.calls - 1, member, input, is_empty }, Some(delta))
            }
        };
        written.parts.push(place);
        delta
    }
}

/// A list of parts as what is said.
fn content(parts: Vec<Value<'_>>) -> Object<'_> {
    [("content", Value::from(parts))].into_iter().collect()
}

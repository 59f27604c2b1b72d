//! Streams: answers in pieces of the dialect to events of the form, and back.

use super::answer::{SOURCES, failure, made_id, read_stop, write_stop, write_usage};
use super::names::{fields, inner};
use super::request::{MADE_ID, read_part};
use crate::dialect::Dialect;
use crate::form::read::{At, Fields};
use crate::form::shape::{arguments_object, merge};
use crate::form::write::foreign;
use crate::form::{Arguments, Event, Feature, Losses, Malformed, Note, Opening, Part, Stop};
use crate::json::{Object, Str, Value};
use crate::usage::{Account, Usage};

/// Candidates that a stream may have.
pub const CHOICES_MAX: usize = 128;
/// Parts that a candidate may have.
pub const PARTS_MAX: u32 = 65536;
/// Bytes of arguments that may wait for their call to be whole. What comes beyond that is lost, and told.
pub const WAITING_BYTES_MAX: usize = 8 << 20;

/// Reads a stream: the data of a server-sent event at a time, or an element of the array that is the other form of it.
///
/// Nothing in the stream says that it is over, and a candidate may tell its reason more than once: call
/// [`StreamReader::finish`] where the stream ends. Bytes behind the last event that are none, as an error there comes, are
/// read like one.
#[derive(Debug, Default)]
pub struct StreamReader {
    is_started: bool,
    has_failed: bool,
    account: Account,
    /// The answer's id, of which ids for calls are made.
    id: Str<'static>,
    calls: usize,
    choices: Vec<Choice>,
}

/// What is open in a candidate.
#[derive(Debug, Default)]
struct Choice {
    /// Parts opened so far.
    parts: u32,
    calls: bool,
    /// The part that text or thoughts go to.
    said: Option<(Said, u32)>,
    stop: Option<Stop<'static>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Text,
    Thought,
}

impl StreamReader {
    /// Reads a piece of the answer; what happens by it goes to `events`.
    ///
    /// # Errors
    /// The data are not of this dialect, and where.
    pub fn read<'a>(&mut self, data: &'a [u8], events: &mut Vec<Event<'a>>) -> Result<(), Malformed> {
        match Value::parse(data)? {
            Value::Array(pieces) => pieces.into_iter().try_for_each(|piece| self.piece(piece, events)),
            piece => self.piece(piece, events),
        }
    }

    /// Ends the stream: the reasons of all candidates, and that it is over if each has one. One that was cut or that
    /// failed has no end.
    pub fn finish(&mut self, events: &mut Vec<Event<'_>>) {
        if self.has_failed || self.choices.is_empty() {
            return;
        }
        let mut is_whole = true;
        for (number, choice) in self.choices.iter_mut().enumerate() {
            let number = number as u32;
            choice.close(number, events);
            match choice.stop.take() {
                Some(Stop::End) if choice.calls => {
                    events.push(Event::Stop { choice: number, stop: Stop::ToolCalls, sequence: None });
                }
                Some(stop) => events.push(Event::Stop { choice: number, stop, sequence: None }),
                None => is_whole = false,
            }
        }
        self.choices.clear();
        if is_whole {
            events.push(Event::End);
        }
    }

    fn piece<'a>(&mut self, piece: Value<'a>, events: &mut Vec<Event<'a>>) -> Result<(), Malformed> {
        let at = At::Root;
        let before = self.account.usage;
        self.account.take(Dialect::Gemini, &piece);
        let mut piece = fields(&at, piece)?;
        if let Some(error) = piece.take("error") {
            self.has_failed = true;
            let (kind, message) = failure(error);
            events.push(Event::Failed { kind, message });
            return Ok(());
        }
        if !std::mem::replace(&mut self.is_started, true) {
            let id = piece.string(&at, "responseId")?.unwrap_or_default();
            self.id = id.clone().into_owned();
            let model = piece.string(&at, "modelVersion")?.unwrap_or_default();
            events.push(Event::Start { id, model, created: None });
        }
        piece.each(&at, "candidates", |candidate, at| self.candidate(candidate, at, events))?;
        if let Some(feedback) = inner(&mut piece, &at, "promptFeedback")?
            && feedback.rest().get("blockReason").is_some()
        {
            self.choice(0).stop = Some(Stop::Filtered);
        }
        if self.account.usage != before {
            events.extend(self.account.usage.map(Event::Usage));
        }
        Ok(())
    }

    fn choice(&mut self, place: usize) -> &mut Choice {
        while self.choices.len() <= place {
            self.choices.push(Choice::default());
        }
        &mut self.choices[place]
    }

    fn candidate<'a>(
        &mut self,
        candidate: Value<'a>,
        at: &At<'_>,
        events: &mut Vec<Event<'a>>,
    ) -> Result<(), Malformed> {
        let mut candidate = fields(at, candidate)?;
        let index = candidate.whole(at, "index")?.unwrap_or(0);
        let place = usize::try_from(index).ok().filter(|place| *place < CHOICES_MAX);
        let Some(place) = place else { return Err(at.member("index").must_be("a small number")) };
        self.choice(place);
        if let Some(mut content) = inner(&mut candidate, at, "content")? {
            let at = at.member("content");
            content.each(&at, "parts", |part, at| {
                let (part, _) = read_part(part, at)?;
                self.part(place, part, at, events)
            })?;
        }
        let choice = &mut self.choices[place];
        choice.notes(place as u32, &mut candidate, events);
        if let Some(word) = candidate.string(at, "finishReason")? {
            // Older models say STOP with every piece; it is no reason beside another one.
            let stop = read_stop(word).into_owned();
            if choice.stop.is_none() || choice.stop == Some(Stop::End) {
                choice.stop = Some(stop);
            }
        }
        Ok(())
    }

    fn part<'a>(
        &mut self,
        place: usize,
        part: Part<'a>,
        at: &At<'_>,
        events: &mut Vec<Event<'a>>,
    ) -> Result<(), Malformed> {
        let choice = &mut self.choices[place];
        if choice.parts >= PARTS_MAX {
            return Err(at.must_be("one of fewer parts"));
        }
        let number = place as u32;
        match part {
            Part::Text(text) => choice.say(number, Said::Text, text.text, text.signature, events),
            Part::Thought(thought) => {
                choice.say(number, Said::Thought, thought.text, thought.signature, events);
            }
            Part::ToolCall(call) => {
                choice.calls = true;
                let id = call.id.unwrap_or_else(|| made_id(&self.id, &call.name, self.calls).into());
                self.calls += 1;
                let opening = Opening::ToolCall { id: Some(id), name: call.name, is_free: false };
                let arguments = Str::from(call.arguments.to_text());
                choice.whole(number, opening, Some(arguments), call.signature, events);
            }
            Part::Foreign(value) => choice.whole(number, Opening::Foreign(value), None, None, events),
            Part::Media(media) => {
                let value = super::write::media_part(&media, true).into_owned();
                choice.whole(number, Opening::Foreign(value), None, None, events);
            }
            Part::ToolResult(_) | Part::Refusal(_) => {}
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

    fn close(&mut self, choice: u32, events: &mut Vec<Event<'_>>) {
        if let Some((_, part)) = self.said.take() {
            events.push(Event::Close { choice, part });
        }
    }

    /// Text or thoughts. What is signed is a part of its own, as Google wants it back; a signature without text belongs to
    /// what was said before it.
    fn say<'a>(
        &mut self,
        choice: u32,
        kind: Said,
        text: Str<'a>,
        signature: Option<Str<'a>>,
        events: &mut Vec<Event<'a>>,
    ) {
        if text.is_empty() && signature.is_none() {
            return;
        }
        let part = match self.said {
            Some((open, part)) if open == kind && (signature.is_none() || text.is_empty()) => part,
            _ => self.begin(choice, kind, events),
        };
        if !text.is_empty() {
            events.push(Event::Piece { choice, part, text });
        }
        if let Some(signature) = signature {
            events.push(Event::Signature { choice, part, signature });
            self.close(choice, events);
        }
    }

    fn begin(&mut self, choice: u32, kind: Said, events: &mut Vec<Event<'_>>) -> u32 {
        self.close(choice, events);
        let opening = if kind == Said::Text { Opening::Text } else { Opening::Thought };
        let part = self.open(choice, opening, events);
        self.said = Some((kind, part));
        part
    }

    /// A part that comes at once.
    fn whole<'a>(
        &mut self,
        choice: u32,
        opening: Opening<'a>,
        text: Option<Str<'a>>,
        signature: Option<Str<'a>>,
        events: &mut Vec<Event<'a>>,
    ) {
        self.close(choice, events);
        let part = self.open(choice, opening, events);
        events.extend(text.map(|text| Event::Piece { choice, part, text }));
        events.extend(signature.map(|signature| Event::Signature { choice, part, signature }));
        events.push(Event::Close { choice, part });
    }

    /// What a candidate tells beside its text.
    fn notes<'a>(&mut self, choice: u32, candidate: &mut Fields<'a>, events: &mut Vec<Event<'a>>) {
        let sources = SOURCES.iter().filter_map(|name| {
            let value = candidate.take(name)?;
            Some(Note::Citation([(*name, value)].into_iter().collect::<Object<'_>>().into()))
        });
        let mut notes: Vec<Note<'a>> = sources.collect();
        notes.extend(candidate.take("logprobsResult").map(|tokens| Note::Logprobs(vec![tokens].into())));
        for note in notes {
            let part = match self.said {
                Some((Said::Text, part)) => part,
                _ => self.begin(choice, Said::Text, events),
            };
            events.push(Event::Note { choice, part, note });
        }
    }
}

/// Writes a stream, an event of the form at a time. A call is written once it is whole, as the dialect has its arguments as
/// a value.
#[derive(Debug)]
pub struct StreamWriter {
    model: String,
    from: Dialect,
    id: String,
    usage: Option<Usage>,
    choices: Vec<Written>,
    waiting_bytes: usize,
    losses: Losses,
}

/// What has been written of a choice.
#[derive(Debug, Default)]
struct Written {
    /// By part: what it is there.
    parts: Vec<Place>,
    stop: Option<Stop<'static>>,
    calls: bool,
}

#[derive(Debug)]
enum Place {
    Text,
    Thought,
    Call(Box<Call>),
    Nowhere,
}

#[derive(Debug)]
struct Call {
    id: Option<Str<'static>>,
    name: Str<'static>,
    is_free: bool,
    arguments: String,
    signature: Option<Str<'static>>,
}

impl StreamWriter {
    /// A writer of an answer that names `model`, read from `from`.
    pub fn new(model: &str, from: Dialect) -> Self {
        Self {
            model: model.to_owned(),
            from,
            id: String::new(),
            usage: None,
            choices: Vec::new(),
            waiting_bytes: 0,
            losses: Losses::default(),
        }
    }

    /// What the dialect had no word for so far.
    pub fn losses(&self) -> &Losses {
        &self.losses
    }

    /// Writes the pieces of the answer that stand for this event, each by `write`: the data of a server-sent event, or an
    /// element of the array that is the other form of a stream.
    pub fn write(&mut self, event: &Event<'_>, mut write: impl FnMut(&[u8])) {
        let (choice, part) = match event {
            Event::Start { id, .. } => {
                self.id = id.text().into_owned();
                return;
            }
            Event::Open { choice, opening, .. } => match self.open(*choice, opening) {
                Some(value) => (*choice, value),
                None => return,
            },
            Event::Piece { choice, part, text } => match self.piece(*choice, *part, text) {
                Some(value) => (*choice, value),
                None => return,
            },
            Event::Signature { choice, part, signature } => match self.signature(*choice, *part, signature) {
                Some(value) => (*choice, value),
                None => return,
            },
            Event::Close { choice, part } => match self.close(*choice, *part) {
                Some(value) => (*choice, value),
                None => return,
            },
            Event::Note { choice, note, .. } => return self.note(*choice, note, write),
            Event::Stop { choice, stop, sequence } => {
                self.losses.tell_if(sequence.is_some(), Feature::StopSequence);
                if let Some(written) = self.choice(*choice) {
                    written.stop = Some(stop.clone().into_owned());
                }
                return;
            }
            Event::Usage(usage) => {
                self.usage = Some(*usage); // told with the end
                return;
            }
            Event::ServiceTier(_) => return,
            Event::Failed { kind, message } => return write(&failed(kind.as_ref(), message)),
            Event::End => return write(&self.end()),
        };
        let mut content: Object<'_> = [("parts", Value::from(vec![part]))].into_iter().collect();
        content.push("role", "model");
        let mut candidate: Object<'_> = [("content", content)].into_iter().collect();
        candidate.push("index", u64::from(choice));
        write(&self.chunk(vec![candidate.into()], None));
    }

    fn chunk(&self, candidates: Vec<Value<'_>>, usage: Option<Value<'_>>) -> Vec<u8> {
        let mut chunk: Object<'_> = [("candidates", Value::from(candidates))].into_iter().collect();
        if let Some(usage) = usage {
            chunk.push("usageMetadata", usage);
        }
        chunk.push("modelVersion", self.model.as_str());
        if !self.id.is_empty() {
            chunk.push("responseId", self.id.as_str());
        }
        let mut text = Vec::new();
        chunk.write(&mut text);
        text
    }

    /// The last piece: why each candidate ended, and what was used.
    fn end(&mut self) -> Vec<u8> {
        if self.choices.is_empty() {
            self.choices.push(Written::default());
        }
        let mut candidates = Vec::new();
        for (index, choice) in self.choices.iter_mut().enumerate() {
            let stop = choice.stop.take().unwrap_or(Stop::End);
            let mut candidate = Object::default();
            let empty = [Value::from([("text", "")].into_iter().collect::<Object<'_>>())];
            let mut content: Object<'_> = [("parts", Value::from(empty.to_vec()))].into_iter().collect();
            content.push("role", "model");
            candidate.push("content", content);
            candidate.push("finishReason", write_stop(&stop, self.from, &mut self.losses).into_owned());
            candidate.push("index", index as u64);
            candidates.push(candidate.into());
        }
        self.chunk(candidates, self.usage.as_ref().map(write_usage))
    }

    fn choice(&mut self, choice: u32) -> Option<&mut Written> {
        let choice = choice as usize;
        if choice >= CHOICES_MAX {
            self.losses.tell(Feature::Answers);
            return None;
        }
        while self.choices.len() <= choice {
            self.choices.push(Written::default());
        }
        self.choices.get_mut(choice)
    }

    fn open<'c>(&mut self, choice: u32, opening: &Opening<'c>) -> Option<Value<'c>> {
        let (place, written, lost) = match opening {
            Opening::Text | Opening::Refusal => (Place::Text, None, None),
            Opening::Thought => (Place::Thought, None, None),
            Opening::Sealed(_) => (Place::Nowhere, None, Some(Feature::ThinkingSealed)),
            Opening::Foreign(value) if self.from == Dialect::Gemini => {
                (Place::Nowhere, Some(value.clone()), None)
            }
            Opening::Foreign(value) => (Place::Nowhere, None, Some(foreign(value))),
            Opening::ToolCall { id, name, is_free } => {
                let call = Call {
                    id: id.clone().map(Str::into_owned),
                    name: name.clone().into_owned(),
                    is_free: *is_free,
                    arguments: String::new(),
                    signature: None,
                };
                (Place::Call(Box::new(call)), None, is_free.then_some(Feature::CustomTools))
            }
        };
        lost.into_iter().for_each(|feature| self.losses.tell(feature));
        let choice = self.choice(choice)?;
        choice.calls |= matches!(place, Place::Call(_));
        choice.parts.push(place);
        written
    }

    fn place(&mut self, choice: u32, part: u32) -> Option<&mut Place> {
        self.choices.get_mut(choice as usize)?.parts.get_mut(part as usize)
    }

    fn piece<'c>(&mut self, choice: u32, part: u32, text: &Str<'c>) -> Option<Value<'c>> {
        let waiting_bytes = self.waiting_bytes;
        let is_thought = match self.place(choice, part)? {
            Place::Nowhere => return None,
            Place::Text => false,
            Place::Thought => true,
            Place::Call(call) => {
                let text = text.text();
                let is_held = waiting_bytes + text.len() <= WAITING_BYTES_MAX;
                if is_held {
                    call.arguments.push_str(&text);
                    self.waiting_bytes += text.len();
                }
                self.losses.tell_if(!is_held, Feature::ParallelCalls);
                return None;
            }
        };
        Some(said(text.clone(), is_thought, None))
    }

    fn signature<'c>(&mut self, choice: u32, part: u32, signature: &Str<'c>) -> Option<Value<'c>> {
        let is_readable = Dialect::Gemini.reads_thoughts_of(self.from);
        let is_thought = match self.place(choice, part)? {
            Place::Call(call) => {
                call.signature = Some(signature.clone().into_owned());
                return None;
            }
            Place::Nowhere => return None,
            Place::Text => false,
            Place::Thought => true,
        };
        if !is_readable {
            self.losses.tell(Feature::ThinkingSignature);
            return None;
        }
        Some(said(Str::default(), is_thought, Some(signature.clone())))
    }

    /// A call that is whole is written.
    fn close(&mut self, choice: u32, part: u32) -> Option<Value<'static>> {
        let place = self.place(choice, part)?;
        let Place::Call(call) = std::mem::replace(place, Place::Nowhere) else { return None };
        self.waiting_bytes -= call.arguments.len();
        let mut inner = Object::default();
        if let Some(id) = call.id.filter(|id| !id.text().starts_with(MADE_ID)) {
            inner.push("id", id);
        }
        inner.push("name", call.name);
        let arguments = Str::from(call.arguments);
        let arguments = if call.is_free { Arguments::Free(arguments) } else { Arguments::Text(arguments) };
        inner.push("args", arguments_object(&arguments).into_owned());
        let mut part: Object<'_> = [("functionCall", inner)].into_iter().collect();
        if let Some(signature) = call.signature {
            part.push("thoughtSignature", signature);
        }
        Some(part.into())
    }

    /// Where the text is from, and how likely it was, are members of the candidate.
    fn note(&mut self, choice: u32, note: &Note<'_>, mut write: impl FnMut(&[u8])) {
        let mut candidate: Object<'_> = [("index", u64::from(choice))].into_iter().collect();
        match note {
            Note::Citation(Value::Object(source)) if self.from == Dialect::Gemini => {
                merge(&mut candidate, source);
            }
            Note::Logprobs(Value::Array(told)) if self.from == Dialect::Gemini => {
                for tokens in told {
                    candidate.push("logprobsResult", tokens.clone());
                }
            }
            note => {
                note.feature().into_iter().for_each(|feature| self.losses.tell(feature));
                return;
            }
        }
        write(&self.chunk(vec![candidate.into()], None));
    }
}

fn said<'c>(text: Str<'c>, is_thought: bool, signature: Option<Str<'c>>) -> Value<'c> {
    let mut part: Object<'_> = [("text", text)].into_iter().collect();
    if is_thought {
        part.push("thought", true);
    }
    if let Some(signature) = signature {
        part.push("thoughtSignature", signature);
    }
    part.into()
}

/// An error within a stream that began well, by Google's codes
/// (<https://cloud.google.com/apis/design/errors#handling_errors>).
fn failed(kind: Option<&Str<'_>>, message: &Str<'_>) -> Vec<u8> {
    let kind = kind.map(Str::text).unwrap_or_default();
    let kind = kind.to_ascii_lowercase();
    let (code, status) = match kind.as_str() {
        kind if kind.contains("exhausted") || kind.contains("rate_limit") || kind.contains("throttling") => {
            (429, "RESOURCE_EXHAUSTED")
        }
        kind if kind.contains("unavailable") || kind.contains("overloaded") => (503, "UNAVAILABLE"),
        kind if kind.contains("deadline") || kind.contains("timeout") => (504, "DEADLINE_EXCEEDED"),
        kind if kind.contains("invalid") || kind.contains("validation") => (400, "INVALID_ARGUMENT"),
        _ => (500, "INTERNAL"),
    };
    let mut error = Object::default();
    error.push("code", code);
    error.push("message", message.clone());
    error.push("status", status);
    let mut text = Vec::new();
    [("error", error)].into_iter().collect::<Object<'_>>().write(&mut text);
    text
}

//! Events of the form, as events of the dialect.
//!
//! The last one carries the whole response, so that all of it is kept until then.

use crate::dialect::Dialect;
use crate::form::cite::annotations;
use crate::form::write::{foreign, openai_tier};
use crate::form::{Event, Feature, Losses, Note, Opening, Stop};
use crate::json::{Object, Str, Value};
use crate::openai_chat::answer::has_openai_logprobs;
use crate::openai_responses::answer::{Echo, Ending, Whole, item_id};
use crate::openai_responses::stream::ITEMS_MAX;
use crate::openai_responses::write::summary;
use crate::usage::Usage;

const OWN: Dialect = Dialect::OpenAiResponses;

/// Bytes of text of a whole response. What comes beyond that is written as it comes, but not once more at the end, and told.
pub const WHOLE_BYTES_MAX: usize = 64 << 20;

/// Writes a stream, an event of the form at a time.
#[derive(Debug)]
pub struct StreamWriter {
    model: String,
    from: Dialect,
    echo: Echo,
    id: String,
    created: u64,
    is_started: bool,
    sequence: u64,
    items: Vec<Item>,
    /// The message that text goes on in.
    message: Option<usize>,
    /// The thoughts that a thought of the same id goes on in.
    thoughts: Option<usize>,
    /// By part: what it is here.
    places: Vec<Place>,
    whole_bytes: usize,
    stop: Option<Stop<'static>>,
    usage: Option<Usage>,
    tier: Option<Str<'static>>,
    losses: Losses,
}

#[derive(Debug)]
struct Item {
    id: String,
    body: Body,
    is_done: bool,
}

#[derive(Debug, Clone)]
enum Body {
    Message(Vec<Content>),
    Thoughts { own_id: Option<Str<'static>>, summaries: Vec<Content>, sealed: Option<Str<'static>> },
    Call { id: Str<'static>, name: Str<'static>, input: String, is_free: bool },
    Foreign(Value<'static>),
}

/// A piece of a message, or a summary.
#[derive(Debug, Clone, Default)]
struct Content {
    is_refusal: bool,
    is_open: bool,
    text: String,
    length: u64,
    sources: Vec<Value<'static>>,
    logprobs: Vec<Value<'static>>,
}

#[derive(Debug, Clone)]
enum Place {
    Content(usize, usize),
    Call(usize),
    /// A thought of which nothing has come yet but its id, and what is sealed.
    Thought(Option<Str<'static>>, Option<Str<'static>>),
    /// A call of this dialect, whose own id comes right behind it.
    Opening(Body),
    Summary(usize, usize),
    Nowhere,
}

/// What is written by: an event's type and its data.
type Write<'w> = &'w mut dyn FnMut(&'static str, &[u8]);

impl StreamWriter {
    /// A writer of an answer that names `model`, read from `from`.
    pub fn new(model: &str, from: Dialect) -> Self {
        Self {
            model: model.to_owned(),
            from,
            echo: Echo::default(),
            id: String::new(),
            created: 0,
            is_started: false,
            sequence: 0,
            items: Vec::new(),
            message: None,
            thoughts: None,
            places: Vec::new(),
            whole_bytes: 0,
            stop: None,
            usage: None,
            tier: None,
            losses: Losses::default(),
        }
    }

    /// With what it repeats of its request.
    pub fn echoing(mut self, echo: Echo) -> Self {
        self.echo = echo;
        self
    }

    /// What the dialect had no word for so far.
    pub fn losses(&self) -> &Losses {
        &self.losses
    }

    /// Writes the events that stand for this one, each by `write` with its type and its data.
    pub fn write(&mut self, event: &Event<'_>, mut write: impl FnMut(&'static str, &[u8])) {
        let write: Write<'_> = &mut write;
        match event {
            Event::Start { id, created, .. } => {
                self.id = id.text().into_owned();
                self.created = created.unwrap_or(0);
                self.start(write);
            }
            Event::Open { choice: 0, opening, .. } => self.open(opening, write),
            Event::Piece { choice: 0, part, text } => self.piece(*part, text, write),
            Event::Signature { choice: 0, .. } => self.losses.tell(Feature::ThinkingSignature),
            Event::Note { choice: 0, part, note } => self.note(*part, note, write),
            Event::Close { choice: 0, part } => self.close(*part, write),
            Event::Stop { choice: 0, stop, sequence } => {
                self.losses.tell_if(sequence.is_some(), Feature::StopSequence);
                self.stop = Some(stop.clone().into_owned());
            }
            // Both are told with the whole response.
            Event::Usage(usage) => self.usage = Some(*usage),
            Event::ServiceTier(tier) => self.tier = Some(openai_tier(tier).into_owned()),
            Event::End => self.end(write),
            Event::Failed { kind, message } => self.fail(kind.as_ref(), message, write),
            Event::Open { .. }
            | Event::Piece { .. }
            | Event::Signature { .. }
            | Event::Note { .. }
            | Event::Close { .. }
            | Event::Stop { .. } => self.losses.tell(Feature::Answers),
        }
    }

    fn tell<'v, const N: usize>(
        &mut self,
        kind: &'static str,
        members: [(&'static str, Value<'v>); N],
        write: Write<'_>,
    ) {
        let mut data = Object::default();
        data.push("type", kind);
        data.push("sequence_number", self.sequence);
        members.into_iter().for_each(|(name, value)| data.push(name, value));
        self.sequence += 1;
        let mut text = Vec::new();
        data.write(&mut text);
        write(kind, &text);
    }

    /// The response with all that it has by now.
    fn response(&self, ending: Ending, error: Option<Object<'static>>) -> Value<'static> {
        let is_over = ending.status != "in_progress";
        let status = if ending.status == "incomplete" { "incomplete" } else { "completed" };
        let last = self.items.len();
        let state = |n: usize| if n + 1 == last { status } else { "completed" };
        let items = self.items.iter().enumerate().filter(|_| is_over);
        let whole = Whole {
            id: self.id.as_str().into(),
            created: self.created,
            model: &self.model,
            ending,
            error,
            output: items.map(|(n, item)| item.write(state(n))).collect(),
            usage: self.usage.as_ref().filter(|_| is_over),
            tier: self.tier.clone(),
            echo: self.echo.members().clone(),
            rest: Object::default(),
        };
        Value::from(whole.write()).into_owned()
    }

    fn start(&mut self, write: Write<'_>) {
        if !std::mem::replace(&mut self.is_started, true) {
            for kind in ["response.created", "response.in_progress"] {
                let response = self.response(Ending::new("in_progress"), None);
                self.tell(kind, [("response", response)], write);
            }
        }
    }

    /// A further item, after its event.
    fn item(&mut self, prefix: &str, id: Option<&Str<'_>>, body: Body, write: Write<'_>) -> Option<usize> {
        self.start(write);
        if self.items.len() >= ITEMS_MAX {
            self.losses.tell(Feature::Stream);
            return None;
        }
        let index = self.items.len();
        let id = id.map(|id| id.text().into_owned());
        let id = id.unwrap_or_else(|| item_id(prefix, &self.id, index));
        let item = Item { id, body, is_done: false };
        let written = item.write("in_progress");
        self.items.push(item);
        self.tell(
            "response.output_item.added",
            [("output_index", (index as u64).into()), ("item", written)],
            write,
        );
        Some(index)
    }

    /// Ends an item of which no piece is open; `status` is that of the item.
    fn finish(&mut self, index: usize, status: &'static str, write: Write<'_>) {
        let Some(item) = self.items.get_mut(index) else { return };
        if item.is_done || item.is_open() {
            return;
        }
        item.is_done = true;
        let written = item.write(status);
        let members = [("output_index", (index as u64).into()), ("item", written)];
        self.tell("response.output_item.done", members, write);
    }

    /// What comes next goes on in none of these.
    fn end_message(&mut self, write: Write<'_>) {
        if let Some(index) = self.message.take() {
            self.finish(index, "completed", write);
        }
    }

    fn end_thoughts(&mut self, write: Write<'_>) {
        if let Some(index) = self.thoughts.take() {
            self.finish(index, "completed", write);
        }
    }

    fn open(&mut self, opening: &Opening<'_>, write: Write<'_>) {
        let place = match opening {
            Opening::Text | Opening::Refusal => {
                self.end_thoughts(write);
                self.open_content(matches!(opening, Opening::Refusal), write)
            }
            Opening::Thought => {
                self.end_message(write);
                Place::Thought(None, None)
            }
            Opening::Sealed(sealed) if OWN.reads_thoughts_of(self.from) => {
                self.end_message(write);
                Place::Thought(None, Some(sealed.clone().into_owned()))
            }
            Opening::Sealed(_) => {
                self.losses.tell(Feature::ThinkingSealed);
                Place::Nowhere
            }
            Opening::ToolCall { id, name, is_free } => {
                self.end_thoughts(write);
                self.end_message(write);
                let made = || item_id("call", &self.id, self.items.len()).into();
                let body = Body::Call {
                    id: id.clone().map_or_else(made, Str::into_owned),
                    name: name.clone().into_owned(),
                    input: String::new(),
                    is_free: *is_free,
                };
                match self.from {
                    OWN => Place::Opening(body),
                    _ => self.open_call(body, None, write),
                }
            }
            Opening::Foreign(value) if self.from == OWN => {
                self.end_thoughts(write);
                self.end_message(write);
                let id = value.get("id").and_then(Value::as_text).map(|id| Str::from(id.into_owned()));
                let body = Body::Foreign(value.clone().into_owned());
                if let Some(index) = self.item("item", id.as_ref(), body, write) {
                    self.finish(index, "completed", write);
                }
                Place::Nowhere
            }
            Opening::Foreign(value) => {
                self.losses.tell(foreign(value));
                Place::Nowhere
            }
        };
        self.places.push(place);
    }

    fn open_call(&mut self, body: Body, id: Option<&Str<'_>>, write: Write<'_>) -> Place {
        let prefix = if matches!(body, Body::Call { is_free: true, .. }) { "ctc" } else { "fc" };
        self.item(prefix, id, body, write).map_or(Place::Nowhere, Place::Call)
    }

    /// Opens a call that has been waiting for its id.
    fn open_waiting(&mut self, part: u32, id: Option<&Str<'_>>, write: Write<'_>) {
        if let Some(Place::Opening(body)) = self.places.get(part as usize) {
            let body = body.clone();
            let place = self.open_call(body, id, write);
            self.places[part as usize] = place;
        }
    }

    fn open_content(&mut self, is_refusal: bool, write: Write<'_>) -> Place {
        let index = match self.message {
            Some(index) => Some(index),
            None => self.item("msg", None, Body::Message(Vec::new()), write),
        };
        let Some(index) = index else { return Place::Nowhere };
        self.message = Some(index);
        let content = Content { is_refusal, is_open: true, ..Content::default() };
        let part = content.write();
        let Body::Message(contents) = &mut self.items[index].body else { return Place::Nowhere };
        contents.push(content);
        let n = contents.len() - 1;
        self.tell_part("response.content_part.added", index, ("content_index", n), [("part", part)], write);
        Place::Content(index, n)
    }

    /// An event of a piece of an item.
    fn tell_part<'v, const N: usize>(
        &mut self,
        kind: &'static str,
        item: usize,
        (index, n): (&'static str, usize),
        members: [(&'static str, Value<'v>); N],
        write: Write<'_>,
    ) {
        let mut data = Object::default();
        data.push("type", kind);
        data.push("sequence_number", self.sequence);
        data.push("item_id", self.items[item].id.clone());
        data.push("output_index", item as u64);
        if !index.is_empty() {
            data.push(index, n as u64);
        }
        members.into_iter().for_each(|(name, value)| data.push(name, value));
        self.sequence += 1;
        let mut text = Vec::new();
        data.write(&mut text);
        write(kind, &text);
    }

    /// Makes an item of a thought, or goes on in the one of the same id.
    fn think(&mut self, part: u32, write: Write<'_>) -> Option<usize> {
        let Some(Place::Thought(id, sealed)) = self.places.get(part as usize) else { return None };
        let (id, sealed) = (id.clone().filter(|_| OWN.reads_thoughts_of(self.from)), sealed.clone());
        let goes_on = self.thoughts.filter(|index| {
            let own = match &self.items[*index].body {
                Body::Thoughts { own_id, .. } => own_id.as_ref(),
                _ => None,
            };
            own.is_some() && own == id.as_ref()
        });
        let index = match goes_on {
            Some(index) => index,
            None => {
                self.end_thoughts(write);
                let body = Body::Thoughts { own_id: id.clone(), summaries: Vec::new(), sealed: None };
                self.item("rs", id.as_ref(), body, write)?
            }
        };
        self.thoughts = Some(index);
        if let Body::Thoughts { sealed: own, .. } = &mut self.items[index].body {
            *own = sealed.or(own.take());
        }
        Some(index)
    }

    /// Whether there is room for more text of the whole response.
    fn has_room(&mut self, len: usize) -> bool {
        let has_room = self.whole_bytes + len <= WHOLE_BYTES_MAX;
        self.whole_bytes += if has_room { len } else { 0 };
        self.losses.tell_if(!has_room, Feature::Stream);
        has_room
    }

    fn piece(&mut self, part: u32, text: &Str<'_>, write: Write<'_>) {
        self.open_waiting(part, None, write);
        if let Some(Place::Thought(..)) = self.places.get(part as usize) {
            let place = match self.think(part, write) {
                Some(index) => self.open_summary(index, write),
                None => Place::Nowhere,
            };
            self.places[part as usize] = place;
        }
        let decoded = text.text();
        let has_room = self.has_room(decoded.len());
        let place = self.places.get(part as usize).cloned().unwrap_or(Place::Nowhere);
        let delta = Value::from(text.clone());
        match place {
            Place::Content(index, n) => {
                let Some(content) = self.content(index, n) else { return };
                content.length += decoded.chars().count() as u64;
                if has_room {
                    content.text.push_str(&decoded);
                }
                let at = ("content_index", n);
                if content.is_refusal {
                    return self.tell_part("response.refusal.delta", index, at, [("delta", delta)], write);
                }
                let members = [("delta", delta), ("logprobs", Vec::new().into())];
                self.tell_part("response.output_text.delta", index, at, members, write);
            }
            Place::Summary(index, n) => {
                if let Some(content) = self.content(index, n).filter(|_| has_room) {
                    content.text.push_str(&decoded);
                }
                let kind = "response.reasoning_summary_text.delta";
                self.tell_part(kind, index, ("summary_index", n), [("delta", delta)], write);
            }
            Place::Call(index) => {
                let Body::Call { input, is_free, .. } = &mut self.items[index].body else { return };
                if has_room {
                    input.push_str(&decoded);
                }
                let kind = match is_free {
                    true => "response.custom_tool_call_input.delta",
                    false => "response.function_call_arguments.delta",
                };
                self.tell_part(kind, index, ("", 0), [("delta", delta)], write);
            }
            Place::Thought(..) | Place::Opening(_) | Place::Nowhere => {}
        }
    }

    fn content(&mut self, index: usize, n: usize) -> Option<&mut Content> {
        match &mut self.items.get_mut(index)?.body {
            Body::Message(contents) | Body::Thoughts { summaries: contents, .. } => contents.get_mut(n),
            Body::Call { .. } | Body::Foreign(_) => None,
        }
    }

    fn open_summary(&mut self, index: usize, write: Write<'_>) -> Place {
        let Body::Thoughts { summaries, .. } = &mut self.items[index].body else { return Place::Nowhere };
        summaries.push(Content { is_open: true, ..Content::default() });
        let n = summaries.len() - 1;
        let members = [("part", summary(Str::default()))];
        let kind = "response.reasoning_summary_part.added";
        self.tell_part(kind, index, ("summary_index", n), members, write);
        Place::Summary(index, n)
    }

    fn note(&mut self, part: u32, note: &Note<'_>, write: Write<'_>) {
        let place = self.places.get(part as usize).cloned().unwrap_or(Place::Nowhere);
        match (note, place) {
            (Note::Id(id), Place::Thought(..)) => {
                if let Some(Place::Thought(own, _)) = self.places.get_mut(part as usize) {
                    *own = Some(id.clone().into_owned());
                }
            }
            (Note::Id(id), Place::Opening(_)) => self.open_waiting(part, Some(id), write),
            (Note::Citation(source), Place::Content(index, n)) => {
                let from = self.from;
                let Some(content) = self.content(index, n) else { return };
                let one = Value::from(vec![source.clone()]);
                let (written, is_lost) = annotations(&one, from, OWN, 0, content.length);
                let first = content.sources.len();
                let written: Vec<Value<'static>> = written.into_iter().map(Value::into_owned).collect();
                content.sources.extend(written.iter().cloned());
                self.losses.tell_if(is_lost, Feature::Citations);
                for (more, source) in written.into_iter().enumerate() {
                    let number = ((first + more) as u64).into();
                    let members = [("annotation_index", number), ("annotation", source)];
                    let kind = "response.output_text.annotation.added";
                    self.tell_part(kind, index, ("content_index", n), members, write);
                }
            }
            // Behind the piece that they are of, by one that says nothing.
            (Note::Logprobs(Value::Array(tokens)), Place::Content(index, n))
                if has_openai_logprobs(self.from) =>
            {
                let Some(content) = self.content(index, n).filter(|content| !content.is_refusal) else {
                    return self.losses.tell(Feature::Logprobs);
                };
                content.logprobs.extend(tokens.iter().map(|token| token.clone().into_owned()));
                let members = [("delta", Value::from("")), ("logprobs", tokens.clone().into())];
                self.tell_part("response.output_text.delta", index, ("content_index", n), members, write);
            }
            (note, _) => {
                if let Some(feature) = note.feature() {
                    self.losses.tell(feature);
                }
            }
        }
    }

    fn close(&mut self, part: u32, write: Write<'_>) {
        self.open_waiting(part, None, write);
        let Some(place) = self.places.get_mut(part as usize) else { return };
        match place.clone() {
            Place::Thought(..) => {
                self.think(part, write);
            }
            Place::Content(index, n) => {
                self.close_content(index, n, write);
                if self.message != Some(index) {
                    self.finish(index, "completed", write);
                }
            }
            Place::Summary(index, n) => {
                self.close_summary(index, n, write);
                if self.thoughts != Some(index) {
                    self.finish(index, "completed", write);
                }
            }
            Place::Call(index) => self.close_call(index, write),
            Place::Opening(_) | Place::Nowhere => {}
        }
        if let Some(place) = self.places.get_mut(part as usize) {
            *place = Place::Nowhere;
        }
    }

    fn close_content(&mut self, index: usize, n: usize, write: Write<'_>) {
        let Some(content) = self.content(index, n).filter(|content| content.is_open) else { return };
        content.is_open = false;
        let part = content.write();
        let text = Value::from(content.text.clone());
        let logprobs = Value::from(content.logprobs.clone());
        let at = ("content_index", n);
        match content.is_refusal {
            true => self.tell_part("response.refusal.done", index, at, [("refusal", text)], write),
            false => {
                let members = [("text", text), ("logprobs", logprobs)];
                self.tell_part("response.output_text.done", index, at, members, write);
            }
        }
        self.tell_part("response.content_part.done", index, at, [("part", part)], write);
    }

    fn close_summary(&mut self, index: usize, n: usize, write: Write<'_>) {
        let Some(content) = self.content(index, n).filter(|content| content.is_open) else { return };
        content.is_open = false;
        let text = content.text.clone();
        let at = ("summary_index", n);
        let kind = "response.reasoning_summary_text.done";
        self.tell_part(kind, index, at, [("text", text.clone().into())], write);
        let members = [("part", summary(text.into()))];
        self.tell_part("response.reasoning_summary_part.done", index, at, members, write);
    }

    /// Ends a call; one without arguments has an empty object, not nothing.
    fn close_call(&mut self, index: usize, write: Write<'_>) {
        let Body::Call { input, is_free, name, .. } = &mut self.items[index].body else { return };
        let (is_free, name) = (*is_free, name.clone());
        if input.trim().is_empty() && !is_free {
            *input = "{}".to_owned();
            let kind = "response.function_call_arguments.delta";
            self.tell_part(kind, index, ("", 0), [("delta", "{}".into())], write);
        }
        let Body::Call { input, .. } = &self.items[index].body else { return };
        let input = Value::from(input.clone());
        match is_free {
            true => {
                let kind = "response.custom_tool_call_input.done";
                self.tell_part(kind, index, ("", 0), [("input", input)], write);
            }
            false => {
                let members = [("name", name.into()), ("arguments", input)];
                self.tell_part("response.function_call_arguments.done", index, ("", 0), members, write);
            }
        }
        self.finish(index, "completed", write);
    }

    fn end(&mut self, write: Write<'_>) {
        self.start(write);
        (0..self.places.len()).for_each(|part| self.close(part as u32, write));
        let ending =
            Ending::of(Some(self.stop.as_ref().unwrap_or(&Stop::End)), self.from == OWN, &mut self.losses);
        // What was cut is the last item.
        let last = self.items.len();
        let status = if ending.status == "incomplete" { "incomplete" } else { "completed" };
        for index in 0..last {
            self.finish(index, if index + 1 == last { status } else { "completed" }, write);
        }
        let kind = match ending.status {
            "incomplete" => "response.incomplete",
            _ => "response.completed",
        };
        let response = self.response(ending, None);
        self.tell(kind, [("response", response)], write);
    }

    fn fail(&mut self, kind: Option<&Str<'_>>, message: &Str<'_>, write: Write<'_>) {
        self.start(write);
        let mut error = Object::default();
        error.push("code", kind.cloned().map_or_else(|| "server_error".into(), Str::into_owned));
        error.push("message", message.clone().into_owned());
        let response = self.response(Ending::new("failed"), Some(error));
        self.tell("response.failed", [("response", response)], write);
    }
}

impl Content {
    fn write(&self) -> Value<'static> {
        let mut written = Object::default();
        if self.is_refusal {
            written.push("type", "refusal");
            written.push("refusal", self.text.clone());
            return written.into();
        }
        written.push("type", "output_text");
        written.push("text", self.text.clone());
        written.push("annotations", self.sources.clone());
        written.push("logprobs", self.logprobs.clone());
        written.into()
    }
}

impl Item {
    fn is_open(&self) -> bool {
        match &self.body {
            Body::Message(contents) | Body::Thoughts { summaries: contents, .. } => {
                contents.iter().any(|content| content.is_open)
            }
            Body::Call { .. } | Body::Foreign(_) => false,
        }
    }

    /// As an item of the output, in this state.
    fn write(&self, status: &'static str) -> Value<'static> {
        let mut written = Object::default();
        written.push("id", self.id.clone());
        match &self.body {
            Body::Foreign(value) => return value.clone(),
            Body::Message(contents) => {
                written.push("type", "message");
                written.push("status", status);
                written.push("role", "assistant");
                written.push("content", contents.iter().map(Content::write).collect::<Vec<_>>());
            }
            Body::Thoughts { summaries, sealed, .. } => {
                let texts = summaries.iter().map(|content| summary(content.text.clone().into()));
                written.push("type", "reasoning");
                written.push("summary", texts.collect::<Vec<_>>());
                if let Some(sealed) = sealed {
                    written.push("encrypted_content", sealed.clone());
                }
            }
            Body::Call { id, name, input, is_free } => {
                written.push("type", if *is_free { "custom_tool_call" } else { "function_call" });
                if !is_free {
                    written.push("status", status);
                }
                written.push("call_id", id.clone());
                written.push("name", name.clone());
                written.push(if *is_free { "input" } else { "arguments" }, input.clone());
            }
        }
        written.into()
    }
}

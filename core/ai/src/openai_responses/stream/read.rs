//! Events of the dialect, to events of the form.

use crate::dialect::Dialect;
use crate::form::read::{At, Fields};
use crate::form::{Event, Malformed, Note, Opening, Stop};
use crate::json::{Str, Value};
use crate::openai_chat::DONE;
use crate::openai_responses::answer::{failure, read_stop, seconds};
use crate::usage::Account;

/// Items that an answer may have.
pub const ITEMS_MAX: usize = 4096;
/// Parts that an item may have.
pub const PARTS_MAX: usize = 1024;

/// Reads a stream, an event's data at a time; the event's type says nothing that its data do not. OpenAI ends a stream
/// with the whole answer; that some send `[DONE]` behind it is no fault.
#[derive(Debug, Default)]
pub struct StreamReader {
    account: Account,
    is_started: bool,
    is_over: bool,
    calls: bool,
    /// By index in the output.
    items: Vec<Option<Item>>,
    parts: u32,
}

/// What has come of an item.
#[derive(Debug, Default)]
struct Item {
    /// Its id, which thoughts need.
    id: Option<Str<'static>>,
    parts: Vec<(Key, Opened)>,
    is_done: bool,
}

/// Which part of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    Content(usize),
    Summary(usize),
    Call,
}

#[derive(Debug, Clone, Copy)]
struct Opened {
    part: u32,
    /// Whether any of its text has been told.
    is_told: bool,
    is_open: bool,
    /// How many sources have been told.
    cited: usize,
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
        self.account.take(Dialect::OpenAiResponses, &document);
        let mut fields = at.object(document)?;
        let Some(kind) = fields.string(&at, "type")? else {
            let (kind, message) = failure(Some(fields.must(&at, "error")?), &Str::default());
            events.push(Event::Failed { kind, message });
            return Ok(());
        };
        let name = kind.text();
        match name.strip_prefix("response.").unwrap_or(&name) {
            "created" | "queued" | "in_progress" => {
                let response_at = at.member("response");
                let mut response = response_at.object(fields.must(&at, "response")?)?;
                self.start(Some((&mut response, &response_at)), events)?;
            }
            "output_item.added" => self.added(&mut fields, &at, events)?,
            "content_part.added" => {
                let index = output_index(&mut fields, &at)?;
                let key = Key::Content(part_index(&mut fields, &at, "content_index")?);
                let part_at = at.member("part");
                let mut part = part_at.object(fields.must(&at, "part")?)?;
                let kind = part.must_string(&part_at, "type")?;
                if let Some(opening) = opening(&kind) {
                    self.open(index, key, opening, events)?;
                }
            }
            "output_text.delta" => {
                let index = output_index(&mut fields, &at)?;
                let key = Key::Content(part_index(&mut fields, &at, "content_index")?);
                let text = fields.must_string(&at, "delta")?;
                let part = self.piece(index, key, Opening::Text, text, events)?;
                let tokens = fields.array(&at, "logprobs")?;
                if !tokens.is_empty() {
                    let note = Note::Logprobs(tokens.into());
                    events.push(Event::Note { choice: 0, part, note });
                }
            }
            kind @ ("refusal.delta" | "reasoning_text.delta") => {
                let index = output_index(&mut fields, &at)?;
                let key = Key::Content(part_index(&mut fields, &at, "content_index")?);
                let opening = if kind == "refusal.delta" { Opening::Refusal } else { Opening::Thought };
                self.piece(index, key, opening, fields.must_string(&at, "delta")?, events)?;
            }
            "reasoning_summary_part.added" => {
                let index = output_index(&mut fields, &at)?;
                let key = Key::Summary(part_index(&mut fields, &at, "summary_index")?);
                self.open(index, key, Opening::Thought, events)?;
            }
            "reasoning_summary_text.delta" => {
                let index = output_index(&mut fields, &at)?;
                let key = Key::Summary(part_index(&mut fields, &at, "summary_index")?);
                self.piece(index, key, Opening::Thought, fields.must_string(&at, "delta")?, events)?;
            }
            "reasoning_summary_text.done" | "reasoning_summary_part.done" => {
                let index = output_index(&mut fields, &at)?;
                let key = Key::Summary(part_index(&mut fields, &at, "summary_index")?);
                if name.ends_with("part.done") {
                    self.close(index, key, events);
                } else {
                    self.whole(index, key, fields.string(&at, "text")?, events);
                }
            }
            "output_text.done" | "refusal.done" | "reasoning_text.done" => {
                let index = output_index(&mut fields, &at)?;
                let key = Key::Content(part_index(&mut fields, &at, "content_index")?);
                let member = if name.ends_with("refusal.done") { "refusal" } else { "text" };
                self.whole(index, key, fields.string(&at, member)?, events);
            }
            "output_text.annotation.added" => {
                let index = output_index(&mut fields, &at)?;
                let key = Key::Content(part_index(&mut fields, &at, "content_index")?);
                if let Some(opened) = self.opened(index, key).filter(|opened| opened.is_open)
                    && let Some(source) = fields.take("annotation")
                {
                    opened.cited += 1;
                    let note = Note::Citation(source);
                    events.push(Event::Note { choice: 0, part: opened.part, note });
                }
            }
            "content_part.done" => {
                let index = output_index(&mut fields, &at)?;
                let n = part_index(&mut fields, &at, "content_index")?;
                self.content(index, n, fields.must(&at, "part")?, &at.member("part"), events)?;
            }
            "function_call_arguments.delta" | "custom_tool_call_input.delta" => {
                let index = output_index(&mut fields, &at)?;
                let text = fields.must_string(&at, "delta")?;
                let opened = self.opened(index, Key::Call).filter(|opened| opened.is_open);
                let Some(opened) = opened else {
                    return Err(at.member("output_index").must_be("that of a call which is open"));
                };
                if !text.is_empty() {
                    opened.is_told = true;
                    events.push(Event::Piece { choice: 0, part: opened.part, text });
                }
            }
            "output_item.done" => {
                let index = output_index(&mut fields, &at)?;
                self.done(index, fields.must(&at, "item")?, &at.member("item"), events)?;
            }
            "completed" | "incomplete" => self.completed(&mut fields, &at, events)?,
            "failed" | "cancelled" => {
                let response_at = at.member("response");
                let mut response = response_at.object(fields.must(&at, "response")?)?;
                self.start(Some((&mut response, &response_at)), events)?;
                let (kind, message) = failure(response.take("error"), &Str::default());
                events.push(Event::Failed { kind, message });
            }
            "error" => {
                let error = fields.take("error").unwrap_or_else(|| fields.rest().into());
                let (kind, message) = failure(Some(error), &Str::default());
                events.push(Event::Failed { kind, message });
            }
            _ => {} // steps of the provider's own tools, whose items come whole, and what is yet to come
        }
        if self.account.usage != before && !self.is_over {
            events.extend(self.account.usage.map(Event::Usage));
        }
        Ok(())
    }

    fn start<'a>(
        &mut self,
        response: Option<(&mut Fields<'a>, &At<'_>)>,
        events: &mut Vec<Event<'a>>,
    ) -> Result<(), Malformed> {
        if std::mem::replace(&mut self.is_started, true) {
            return Ok(());
        }
        events.push(match response {
            None => Event::Start { id: Str::default(), model: Str::default(), created: None },
            Some((response, at)) => Event::Start {
                id: response.string(at, "id")?.unwrap_or_default(),
                model: response.string(at, "model")?.unwrap_or_default(),
                created: response.take("created_at").and_then(|created| seconds(&created)),
            },
        });
        Ok(())
    }

    fn end(&mut self, events: &mut Vec<Event<'_>>) {
        if !std::mem::replace(&mut self.is_over, true) {
            events.push(Event::End);
        }
    }

    fn item(&mut self, index: usize) -> &mut Item {
        while self.items.len() <= index {
            self.items.push(None);
        }
        self.items[index].get_or_insert_default()
    }

    fn opened(&mut self, index: usize, key: Key) -> Option<&mut Opened> {
        let item = self.items.get_mut(index)?.as_mut()?;
        item.parts.iter_mut().rev().find(|(own, _)| *own == key).map(|(_, opened)| opened)
    }

    /// Opens a part, unless it is known already.
    fn open<'a>(
        &mut self,
        index: usize,
        key: Key,
        opening: Opening<'a>,
        events: &mut Vec<Event<'a>>,
    ) -> Result<&mut Opened, Malformed> {
        self.start(None, events)?;
        if self.opened(index, key).is_none() {
            let part = self.parts;
            self.parts += 1;
            let is_thought = matches!(opening, Opening::Thought);
            events.push(Event::Open { choice: 0, part, opening });
            let item = self.item(index);
            item.parts.push((key, Opened { part, is_told: false, is_open: true, cited: 0 }));
            if let Some(id) = item.id.clone().filter(|_| is_thought) {
                events.push(Event::Note { choice: 0, part, note: Note::Id(id) });
            }
        }
        let item = self.item(index);
        let at = item.parts.iter().rposition(|(own, _)| *own == key).unwrap_or_default();
        Ok(&mut item.parts[at].1)
    }

    /// A piece of a part, which is opened if it has to be.
    fn piece<'a>(
        &mut self,
        index: usize,
        key: Key,
        opening: Opening<'a>,
        text: Str<'a>,
        events: &mut Vec<Event<'a>>,
    ) -> Result<u32, Malformed> {
        let opened = self.open(index, key, opening, events)?;
        if !opened.is_open {
            return Err(At::Root.member("output_index").must_be("that of an item which is open"));
        }
        let part = opened.part;
        if !text.is_empty() {
            opened.is_told = true;
            events.push(Event::Piece { choice: 0, part, text });
        }
        Ok(part)
    }

    /// The whole text of a part, which counts if it did not come in pieces.
    fn whole<'a>(&mut self, index: usize, key: Key, text: Option<Str<'a>>, events: &mut Vec<Event<'a>>) {
        if let Some(opened) = self.opened(index, key)
            && opened.is_open
            && !opened.is_told
            && let Some(text) = text.filter(|text| !text.is_empty())
        {
            opened.is_told = true;
            events.push(Event::Piece { choice: 0, part: opened.part, text });
        }
    }

    fn close(&mut self, index: usize, key: Key, events: &mut Vec<Event<'_>>) {
        if let Some(opened) = self.opened(index, key).filter(|opened| opened.is_open) {
            opened.is_open = false;
            events.push(Event::Close { choice: 0, part: opened.part });
        }
    }

    fn added<'a>(
        &mut self,
        fields: &mut Fields<'a>,
        at: &At<'_>,
        events: &mut Vec<Event<'a>>,
    ) -> Result<(), Malformed> {
        let index = output_index(fields, at)?;
        let item_at = at.member("item");
        let mut item = item_at.object(fields.must(at, "item")?)?;
        let kind = item.must_string(&item_at, "type")?;
        let id = item.string(&item_at, "id")?;
        match kind.text().as_ref() {
            kind @ ("function_call" | "custom_tool_call") => {
                self.call(index, kind == "custom_tool_call", id, &mut item, &item_at, events)?;
            }
            _ => self.item(index).id = id.map(Str::into_owned),
        }
        Ok(())
    }

    fn call<'a>(
        &mut self,
        index: usize,
        is_free: bool,
        id: Option<Str<'a>>,
        item: &mut Fields<'a>,
        at: &At<'_>,
        events: &mut Vec<Event<'a>>,
    ) -> Result<(), Malformed> {
        if self.opened(index, Key::Call).is_none() {
            self.calls = true;
            let name = item.must_string(at, "name")?;
            let call_id = item.string(at, "call_id")?;
            let part =
                self.open(index, Key::Call, Opening::ToolCall { id: call_id, name, is_free }, events)?.part;
            if let Some(id) = id {
                events.push(Event::Note { choice: 0, part, note: Note::Id(id) });
            }
        }
        let input = if is_free { "input" } else { "arguments" };
        self.whole(index, Key::Call, item.string(at, input)?, events);
        Ok(())
    }

    /// A part of a message or of thoughts, whole.
    fn content<'a>(
        &mut self,
        index: usize,
        n: usize,
        part: Value<'a>,
        at: &At<'_>,
        events: &mut Vec<Event<'a>>,
    ) -> Result<(), Malformed> {
        let whole = part.clone();
        let key = Key::Content(n);
        let mut fields = at.object(part)?;
        let kind = fields.must_string(at, "type")?;
        let Some(opening) = opening(&kind) else {
            if self.opened(index, key).is_none() {
                self.open(index, key, Opening::Foreign(whole), events)?;
                self.close(index, key, events);
            }
            return Ok(());
        };
        let opened = *self.open(index, key, opening, events)?;
        let member = if kind.is("refusal") { "refusal" } else { "text" };
        self.whole(index, key, fields.string(at, member)?, events);
        if opened.is_open {
            for source in fields.array(at, "annotations")?.into_iter().skip(opened.cited) {
                let note = Note::Citation(source);
                events.push(Event::Note { choice: 0, part: opened.part, note });
            }
        }
        self.close(index, key, events);
        Ok(())
    }

    /// An item, whole: what of it has not been told is told now.
    fn done<'a>(
        &mut self,
        index: usize,
        item: Value<'a>,
        at: &At<'_>,
        events: &mut Vec<Event<'a>>,
    ) -> Result<(), Malformed> {
        let whole = item.clone();
        let mut fields = at.object(item)?;
        if std::mem::replace(&mut self.item(index).is_done, true) {
            return Ok(());
        }
        let id = fields.string(at, "id")?;
        match fields.must_string(at, "type")?.text().as_ref() {
            "message" => {
                for (n, part) in fields.array(at, "content")?.into_iter().take(PARTS_MAX).enumerate() {
                    self.content(index, n, part, &at.member("content").element(n), events)?;
                }
                self.close_all(index, events);
            }
            "reasoning" => self.thoughts(index, id, &mut fields, at, events)?,
            kind @ ("function_call" | "custom_tool_call") => {
                self.call(index, kind == "custom_tool_call", id, &mut fields, at, events)?;
                self.close(index, Key::Call, events);
            }
            _ => {
                self.open(index, Key::Content(0), Opening::Foreign(whole), events)?;
                self.close(index, Key::Content(0), events);
            }
        }
        Ok(())
    }

    fn thoughts<'a>(
        &mut self,
        index: usize,
        id: Option<Str<'a>>,
        fields: &mut Fields<'a>,
        at: &At<'_>,
        events: &mut Vec<Event<'a>>,
    ) -> Result<(), Malformed> {
        self.item(index).id = id.clone().map(Str::into_owned);
        for (name, key) in
            [("summary", Key::Summary as fn(usize) -> Key), ("content", Key::Content as fn(usize) -> Key)]
        {
            let text = |part: Value<'a>, at: &At<'_>| at.object(part)?.must_string(at, "text");
            let texts = fields.each(at, name, text)?;
            for (n, text) in texts.into_iter().take(PARTS_MAX).enumerate() {
                self.open(index, key(n), Opening::Thought, events)?;
                self.whole(index, key(n), Some(text), events);
                self.close(index, key(n), events);
            }
        }
        self.close_all(index, events);
        let sealed = fields.string(at, "encrypted_content")?;
        let is_empty = self.item(index).parts.is_empty();
        let opening = match sealed {
            Some(sealed) => Opening::Sealed(sealed),
            None if is_empty => Opening::Thought,
            None => return Ok(()),
        };
        let is_sealed = matches!(opening, Opening::Sealed(_));
        let part = self.open(index, Key::Call, opening, events)?.part;
        if let Some(id) = id.filter(|_| is_sealed) {
            events.push(Event::Note { choice: 0, part, note: Note::Id(id) });
        }
        self.close(index, Key::Call, events);
        Ok(())
    }

    fn close_all(&mut self, index: usize, events: &mut Vec<Event<'_>>) {
        let Some(Some(item)) = self.items.get_mut(index) else { return };
        for (_, opened) in &mut item.parts {
            if std::mem::replace(&mut opened.is_open, false) {
                events.push(Event::Close { choice: 0, part: opened.part });
            }
        }
    }

    /// The end, with the whole answer: what of it has not come before is told now.
    fn completed<'a>(
        &mut self,
        fields: &mut Fields<'a>,
        at: &At<'_>,
        events: &mut Vec<Event<'a>>,
    ) -> Result<(), Malformed> {
        if self.is_over {
            return Ok(());
        }
        let response_at = at.member("response");
        let mut response = response_at.object(fields.must(at, "response")?)?;
        self.start(Some((&mut response, &response_at)), events)?;
        let output_at = response_at.member("output");
        let output = response.array(&response_at, "output")?;
        if self.items.is_empty() {
            for (n, item) in output.into_iter().take(ITEMS_MAX).enumerate() {
                self.done(n, item, &output_at.element(n), events)?;
            }
        }
        (0..self.items.len()).for_each(|index| self.close_all(index, events));
        let status = response.string(&response_at, "status")?.unwrap_or_default();
        let details = response.object(&response_at, "incomplete_details")?;
        let stop = match read_stop(&status, details)? {
            Some(Stop::End) | None if self.calls => Stop::ToolCalls,
            stop => stop.unwrap_or(Stop::End),
        };
        events.push(Event::Stop { choice: 0, stop, sequence: None });
        if let Some(tier) = response.string(&response_at, "service_tier")? {
            events.push(Event::ServiceTier(tier));
        }
        events.extend(self.account.usage.map(Event::Usage));
        self.end(events);
        Ok(())
    }
}

/// What a part of this type begins; none where only this dialect knows it.
fn opening(kind: &Str<'_>) -> Option<Opening<'static>> {
    match kind.text().as_ref() {
        "output_text" | "text" => Some(Opening::Text),
        "refusal" => Some(Opening::Refusal),
        "reasoning_text" | "summary_text" => Some(Opening::Thought),
        _ => None,
    }
}

fn output_index(fields: &mut Fields<'_>, at: &At<'_>) -> Result<usize, Malformed> {
    index(fields, at, "output_index", ITEMS_MAX)
}

fn part_index(fields: &mut Fields<'_>, at: &At<'_>, name: &str) -> Result<usize, Malformed> {
    index(fields, at, name, PARTS_MAX)
}

/// A number below `max`; the first where it is left out.
fn index(fields: &mut Fields<'_>, at: &At<'_>, name: &str, max: usize) -> Result<usize, Malformed> {
    let index = fields.whole(at, name)?.map_or(Some(0), |index| usize::try_from(index).ok());
    index.filter(|index| *index < max).ok_or_else(|| at.member(name).must_be("a small number"))
}

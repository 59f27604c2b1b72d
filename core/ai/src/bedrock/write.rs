//! Requests of the form, in the dialect.
//!
//! Converse wants the user and the assistant to take turns, one result for each call in the turn behind it, a configuration
//! of tools wherever calls stand in the conversation, and no text that is empty. The writer sees to that, unless the
//! request came in this dialect.

mod settings;
mod tools;

use super::format;
use super::model::Family;
use crate::dialect::Dialect;
use crate::form::shape::{Answered, Round, arguments_object, merge, rounds};
use crate::form::write::{foreign, tell_rest};
use crate::form::{
    Arguments, CacheMark, Feature, Losses, Media, MediaKind, MediaSource, Part, Request, ResultContent, Role,
    Text, Thought, Tool, ToolCall, ToolChoice, ToolResult, Turn,
};
use crate::json::{Object, Str, Value};

/// Marks of caching that a request may have.
pub const CACHE_POINTS_MAX: usize = 4;
/// Tokens of thinking that Claude may be asked for at least.
pub const THINKING_TOKENS_MIN: u64 = 1024;
/// Bytes of the id of a call.
const ID_BYTES_MAX: usize = 64;
/// Bytes of the name of a document.
const DOCUMENT_NAME_BYTES_MAX: usize = 200;

/// Writes a request for `model`, which itself stands in the path; what the dialect has no word for is told in `losses`.
pub fn write_request<'r>(request: &'r Request<'_>, model: &str, losses: &mut Losses) -> Object<'r> {
    let is_own = request.from == Dialect::Bedrock;
    let mut writer =
        Writer { from: request.from, is_own, family: Family::of(model), losses, skip: 0, names: Vec::new() };
    writer.skip = if is_own { 0 } else { writer.marks(request).saturating_sub(CACHE_POINTS_MAX) };
    let mut body = Object::default();
    let leading = if is_own { 1 } else { usize::MAX };
    let is_instruction = |turn: &&Turn<'_>| matches!(turn.role, Role::System | Role::Developer);
    let instructions = request.turns.iter().take(leading).take_while(is_instruction).count();
    let (system, turns) = request.turns.split_at(instructions);
    let tools = writer.tools(request);
    let mut blocks = Vec::new();
    for part in system.iter().flat_map(|turn| &turn.parts) {
        writer.block(part, &mut blocks);
    }
    if !blocks.is_empty() {
        body.push("system", blocks);
    }
    body.push("messages", if is_own { writer.turns(turns) } else { writer.rounds(request, turns) });
    let mut additional = Object::default();
    let mut output = Object::default();
    let thinks = request.thinking.as_ref().is_some_and(|thinking| {
        let refuses = calls_without_thought(turns, request.from)
            || matches!(request.tool_choice, Some(ToolChoice::Required | ToolChoice::Function(_)));
        writer.thinking(thinking, request.max_output, refuses, &mut additional, &mut output)
    });
    let config = writer.inference(request, thinks, &mut additional);
    if !config.is_empty() {
        body.push("inferenceConfig", config);
    }
    if let Some(tools) = tools {
        body.push("toolConfig", tools);
    }
    writer.betas(request, &mut additional);
    if !additional.is_empty() {
        body.push("additionalModelRequestFields", additional);
    }
    writer.output(request, &mut output);
    if !output.is_empty() {
        body.push("outputConfig", output);
    }
    if let Some(metadata) = writer.metadata(request) {
        body.push("requestMetadata", metadata);
    }
    if let Some(tier) = writer.service_tier(request) {
        body.push("serviceTier", [("type", tier)].into_iter().collect::<Object<'_>>());
    }
    writer.lost(request);
    if is_own {
        merge(&mut body, &request.rest);
    }
    body
}

/// Whether the last turn of the assistant calls functions and shows no signed thought: then Claude does not think on.
fn calls_without_thought(turns: &[Turn<'_>], from: Dialect) -> bool {
    let last = turns.iter().rev().find(|turn| turn.role == Role::Assistant);
    last.is_some_and(|turn| {
        let calls = turn.parts.iter().any(|part| matches!(part, Part::ToolCall(_)));
        let is_signed = |part: &Part<'_>| {
            matches!(part, Part::Thought(thought)
                if thought.is_bound() && thought.is_readable(from, Dialect::Bedrock))
        };
        calls && !turn.parts.iter().any(is_signed)
    })
}

struct Writer<'l> {
    from: Dialect,
    /// Whether the request came in this dialect: then it keeps its shape.
    is_own: bool,
    family: Family,
    losses: &'l mut Losses,
    /// Marks of caching that are left out: the first ones beyond [`CACHE_POINTS_MAX`], as the last reach the farthest.
    skip: usize,
    /// The names of documents, no two of which may be the same.
    names: Vec<String>,
}

impl Writer<'_> {
    /// How many marks of caching a request has that can be written.
    fn marks(&self, request: &Request<'_>) -> usize {
        let of_tool = |tool: &&Tool<'_>| matches!(tool, Tool::Function(function) if function.cache.is_some());
        let tools = request.tools.iter().filter(of_tool).count();
        let parts = request.turns.iter().flat_map(|turn| &turn.parts);
        let parts = parts.filter(|part| cache_mark(part).is_some()).count();
        let tools = if self.family.caches_tools() { tools } else { 0 };
        tools + parts + usize::from(marks_all(request).is_some())
    }

    /// Writes a mark, which is a block of its own.
    fn mark(&mut self, mark: Option<CacheMark>, blocks: &mut Vec<Value<'_>>) {
        let Some(mark) = mark else { return };
        let is_taken = self.is_own || (self.family.caches() && !blocks.is_empty());
        if !is_taken {
            self.losses.tell(Feature::CacheMark);
        } else if self.skip > 0 {
            self.skip -= 1;
            self.losses.tell(Feature::CacheMark);
        } else {
            blocks.push(cache_point(mark));
        }
    }

    /// The turns as they came.
    fn turns<'r>(&mut self, turns: &'r [Turn<'_>]) -> Vec<Value<'r>> {
        let mut messages = Vec::with_capacity(turns.len());
        for turn in turns {
            let mut blocks = Vec::new();
            turn.parts.iter().for_each(|part| self.block(part, &mut blocks));
            let role = match turn.role {
                Role::Assistant => "assistant",
                Role::System | Role::Developer => "system",
                Role::User | Role::Tool => "user",
            };
            let Value::Object(mut message) = message(role, blocks) else { continue };
            merge(&mut message, &turn.rest);
            messages.push(message.into());
        }
        messages
    }

    fn rounds<'r>(&mut self, request: &'r Request<'_>, turns: &'r [Turn<'_>]) -> Vec<Value<'r>> {
        for turn in &request.turns {
            self.losses.tell_if(turn.name.is_some(), Feature::Name);
            tell_rest(&turn.rest, self.from, Dialect::Bedrock, self.losses);
        }
        let mut messages: Vec<(bool, Vec<Value<'r>>)> = Vec::new();
        for round in rounds(turns) {
            let mut blocks = Vec::new();
            if round.is_assistant {
                self.spoken(&round, &mut blocks);
            } else {
                self.asked(&round, &mut blocks);
            }
            match messages.last_mut() {
                _ if blocks.is_empty() => {}
                // What stood between the two said nothing.
                Some((is_assistant, before)) if *is_assistant == round.is_assistant => before.extend(blocks),
                _ => messages.push((round.is_assistant, blocks)),
            }
        }
        if messages.first().is_none_or(|(is_assistant, _)| *is_assistant) {
            messages.insert(0, (false, vec![text_block(".".into())]));
        }
        if let Some((true, blocks)) = messages.last_mut() {
            trim_prefill(blocks);
            if blocks.is_empty() {
                messages.pop();
            }
        }
        if let (Some(mark), Some((_, blocks))) = (marks_all(request), messages.last_mut()) {
            self.mark(Some(mark), blocks);
        }
        let message =
            |(is_assistant, blocks)| message(if is_assistant { "assistant" } else { "user" }, blocks);
        messages.into_iter().map(message).collect()
    }

    fn spoken<'r>(&mut self, round: &Round<'r, '_>, blocks: &mut Vec<Value<'r>>) {
        for (_, part) in &round.said {
            match part {
                // Only the user shows pictures and documents.
                Part::Media(_) => self.losses.tell(Feature::Modalities),
                part => self.block(part, blocks),
            }
        }
    }

    /// What the model is told: results first, one for each call, then the rest.
    fn asked<'r>(&mut self, round: &Round<'r, '_>, blocks: &mut Vec<Value<'r>>) {
        for Answered { call, result } in &round.answered {
            match result {
                Some(result) => {
                    let written = self.result(result, id_of(call));
                    blocks.push(wrapped("toolResult", written));
                    self.mark(result.cache, blocks);
                }
                None => {
                    self.losses.tell(Feature::ParallelCalls);
                    let mut written: Object<'_> = [("toolUseId", id_of(call))].into_iter().collect();
                    written.push("content", vec![text_block("There is no result.".into())]);
                    if self.family.knows_status() {
                        written.push("status", "error");
                    }
                    blocks.push(wrapped("toolResult", written));
                }
            }
        }
        for stray in &round.strays {
            // A result without its call is refused as one.
            self.losses.tell(Feature::ParallelCalls);
            blocks.push(text_block(format!("What {} gave back:", stray.call.text()).into()));
            match &stray.content {
                ResultContent::Parts(parts) => parts.iter().for_each(|part| self.block(part, blocks)),
                ResultContent::Value(value) => blocks.push(text_block(value.to_json().into())),
            }
            self.mark(stray.cache, blocks);
        }
        for (role, part) in &round.said {
            match (role, part) {
                // To hoist it would change what the model has read before; the user's turn is the place that is left.
                (Role::System | Role::Developer, Part::Text(text)) if !is_blank(&text.text) => {
                    self.losses.tell(Feature::SystemWithin);
                    blocks.push(text_block(format!("<system>{}</system>", text.text.text()).into()));
                    self.mark(text.cache, blocks);
                }
                (_, part) => self.block(part, blocks),
            }
        }
        let has = |name: &str| blocks.iter().any(|block| block.get(name).is_some());
        if has("document") && !has("text") {
            blocks.push(text_block(".".into()));
        }
    }

    /// Writes a part, and the mark that stands at it.
    fn block<'r>(&mut self, part: &'r Part<'_>, blocks: &mut Vec<Value<'r>>) {
        match part {
            Part::Text(text) => blocks.extend(self.text(text)),
            Part::Refusal(text) if is_blank(text) => {}
            Part::Refusal(text) => blocks.push(text_block(text.clone())),
            Part::Media(media) => blocks.extend(self.media(media)),
            Part::Thought(thought) => blocks.extend(self.thought(thought)),
            Part::ToolCall(call) => blocks.push(self.call(call)),
            Part::ToolResult(result) => {
                let written = self.result(result, valid_id(&result.call, self.is_own));
                blocks.push(wrapped("toolResult", written));
            }
            Part::Foreign(value) if self.is_own => blocks.push(value.clone()),
            Part::Foreign(value) => self.losses.tell(foreign(value)),
        }
        // Also where a text said nothing: what stands before it is to be kept all the same.
        self.mark(cache_mark(part), blocks);
    }

    fn text<'r>(&mut self, text: &'r Text<'_>) -> Option<Value<'r>> {
        self.losses.tell_if(text.signature.is_some() && !self.is_own, Feature::ThinkingSignature);
        match &text.citations {
            Some(citations) if self.is_own => {
                let mut cited = Object::default();
                cited.push("content", vec![text_block(text.text.clone())]);
                cited.push("citations", citations.clone());
                return Some(wrapped("citationsContent", cited));
            }
            citations => self.losses.tell_if(citations.is_some(), Feature::Citations),
        }
        (self.is_own || !is_blank(&text.text)).then(|| text_block(text.text.clone()))
    }

    fn thought<'r>(&mut self, thought: &'r Thought<'_>) -> Option<Value<'r>> {
        if !thought.is_readable(self.from, Dialect::Bedrock) {
            self.losses.tell_if(thought.signature.is_some(), Feature::ThinkingSignature);
            self.losses.tell_if(thought.sealed.is_some(), Feature::ThinkingSealed);
            return None; // it proves nothing to this provider, which would refuse it
        }
        if !self.is_own && !thought.is_bound() {
            return None; // unsigned it is refused, and it was said for the reader's eyes only
        }
        Some(thought_block(thought))
    }

    fn media<'r>(&mut self, media: &'r Media<'_>) -> Option<Value<'r>> {
        let lost = match media.kind {
            MediaKind::Image => Feature::Image,
            MediaKind::Document => Feature::Document,
            MediaKind::Audio => Feature::Audio,
            MediaKind::Video => Feature::Video,
        };
        self.losses.tell_if(media.detail.is_some(), Feature::ImageDetail);
        let source: Object<'r> = match &media.source {
            MediaSource::Base64(data) => [("bytes", data.clone())].into_iter().collect(),
            MediaSource::Text(text) if media.kind == MediaKind::Document => {
                [("text", text.clone())].into_iter().collect()
            }
            MediaSource::Text(text) => return Some(text_block(text.clone())),
            // Of addresses it knows those of its own store.
            MediaSource::Url(url) if url.text().starts_with("s3://") => {
                let place: Object<'_> = [("uri", url.clone())].into_iter().collect();
                [("s3Location", place)].into_iter().collect()
            }
            MediaSource::Url(_) => {
                self.losses.tell(match media.kind {
                    MediaKind::Image => Feature::ImageUrl,
                    MediaKind::Document => Feature::DocumentUrl,
                    _ => lost,
                });
                return None;
            }
            MediaSource::File(_) => {
                self.losses.tell(Feature::File);
                return None;
            }
        };
        let usual = match &media.source {
            MediaSource::Text(_) => "txt",
            _ => format::usual(media.kind),
        };
        let format = match &media.media_type {
            Some(media_type) => format::format(media.kind, &media_type.text()),
            None => Some(usual),
        };
        let Some(format) = format else {
            self.losses.tell(lost);
            return None;
        };
        let mut inner: Object<'_> = [("format", format)].into_iter().collect();
        if media.kind == MediaKind::Document {
            inner.push("name", self.document_name(media.name.as_ref()));
        }
        inner.push("source", source);
        Some(wrapped(format::member(media.kind), inner))
    }

    /// A name that Converse takes: letters, digits, single spaces, hyphens, parentheses and brackets, and none twice.
    fn document_name<'r>(&mut self, name: Option<&Str<'r>>) -> Str<'r> {
        if let Some(name) = name.filter(|_| self.is_own) {
            return name.clone();
        }
        let mut valid = String::new();
        for letter in name.map(Str::text).unwrap_or_default().chars() {
            let is_taken = letter.is_ascii_alphanumeric() || matches!(letter, '-' | '(' | ')' | '[' | ']');
            match letter {
                _ if valid.len() + ID_BYTES_MAX > DOCUMENT_NAME_BYTES_MAX => break, // room for a number
                letter if is_taken => valid.push(letter),
                _ if valid.is_empty() || valid.ends_with(' ') => {}
                _ => valid.push(' '),
            }
        }
        let valid = match valid.trim_end() {
            "" => "Document",
            valid => valid,
        };
        let numbered = (2_usize..).map(|n| format!("{valid} {n}"));
        let mut candidates = std::iter::once(valid.to_owned()).chain(numbered);
        let unique = candidates.find(|name| !self.names.contains(name)).unwrap_or_default();
        self.names.push(unique.clone());
        unique.into()
    }

    fn call<'r>(&mut self, call: &'r ToolCall<'_>) -> Value<'r> {
        let mut written = Object::default();
        written
            .push("toolUseId", if self.is_own { call.id.clone().unwrap_or_default() } else { id_of(call) });
        let is_nameless = call.name.is_empty() && !self.is_own;
        written.push("name", if is_nameless { "unnamed".into() } else { call.name.clone() });
        match &call.arguments {
            Arguments::Value(input) if self.is_own => written.push("input", input.clone()),
            arguments => written.push("input", arguments_object(arguments)),
        }
        if self.is_own {
            merge(&mut written, &call.rest);
        } else {
            self.losses.tell_if(call.signature.is_some(), Feature::ThinkingSignature);
            self.losses.tell_if(matches!(call.arguments, Arguments::Free(_)), Feature::CustomTools);
            tell_rest(&call.rest, self.from, Dialect::Bedrock, self.losses);
        }
        wrapped("toolUse", written)
    }

    fn result<'r>(&mut self, result: &'r ToolResult<'_>, id: Str<'r>) -> Object<'r> {
        let mut written: Object<'_> = [("toolUseId", id)].into_iter().collect();
        let mut blocks = Vec::new();
        match &result.content {
            ResultContent::Parts(parts) => {
                for part in parts {
                    match part {
                        Part::Media(media) if media.kind == MediaKind::Audio && !self.is_own => {
                            self.losses.tell(Feature::Audio);
                        }
                        part => {
                            let marks_only = cache_mark(part).is_some() && !self.is_own;
                            self.inner(part, &mut blocks);
                            self.losses.tell_if(marks_only, Feature::CacheMark);
                        }
                    }
                }
            }
            ResultContent::Value(value) if self.is_own || value.as_object().is_some() => {
                blocks.push([("json", value.clone())].into_iter().collect::<Object<'_>>().into());
            }
            ResultContent::Value(Value::String(text)) if is_blank(text) => {}
            ResultContent::Value(Value::String(text)) => blocks.push(text_block(text.clone())),
            ResultContent::Value(value) => blocks.push(text_block(value.to_json().into())),
        }
        written.push("content", blocks);
        if let Some(is_error) = result.is_error {
            if self.is_own || self.family.knows_status() {
                written.push("status", if is_error { "error" } else { "success" });
            } else {
                self.losses.tell_if(is_error, Feature::ToolResultError);
            }
        }
        written
    }

    /// A piece of what a function gave back, in which nothing can be marked.
    fn inner<'r>(&mut self, part: &'r Part<'_>, blocks: &mut Vec<Value<'r>>) {
        match part {
            Part::Text(text) => blocks.extend(self.text(text)),
            Part::Refusal(text) if !is_blank(text) => blocks.push(text_block(text.clone())),
            Part::Media(media) => blocks.extend(self.media(media)),
            Part::Foreign(value) if self.is_own => blocks.push(value.clone()),
            Part::Foreign(value) => self.losses.tell(foreign(value)),
            Part::Refusal(_) | Part::Thought(_) | Part::ToolCall(_) | Part::ToolResult(_) => {}
        }
    }
}

/// The mark that Messages knows for a request as a whole, which caches all of it. Converse refuses such a member.
fn marks_all(request: &Request<'_>) -> Option<CacheMark> {
    let control = request.rest.get("cache_control").filter(|_| request.from == Dialect::Anthropic)?;
    let is_hour = control.get("ttl").is_some_and(|ttl| ttl.is("1h"));
    Some(if is_hour { CacheMark::Hour } else { CacheMark::Usual })
}

fn cache_mark(part: &Part<'_>) -> Option<CacheMark> {
    match part {
        Part::Text(text) => text.cache,
        Part::Media(media) => media.cache,
        Part::ToolCall(call) => call.cache,
        Part::ToolResult(result) => result.cache,
        Part::Thought(_) | Part::Refusal(_) | Part::Foreign(_) => None,
    }
}

fn cache_point(mark: CacheMark) -> Value<'static> {
    let mut point: Object<'_> = [("type", "default")].into_iter().collect();
    if mark == CacheMark::Hour {
        point.push("ttl", "1h");
    }
    wrapped("cachePoint", point)
}

fn wrapped<'r>(name: &'static str, inner: Object<'r>) -> Value<'r> {
    [(name, inner)].into_iter().collect::<Object<'_>>().into()
}

fn message<'r>(role: &'static str, blocks: Vec<Value<'r>>) -> Value<'r> {
    [("role", Value::from(role)), ("content", blocks.into())].into_iter().collect::<Object<'_>>().into()
}

/// A block that says this.
pub(super) fn text_block(text: Str<'_>) -> Value<'_> {
    [("text", text)].into_iter().collect::<Object<'_>>().into()
}

/// A block that is a thought.
pub(super) fn thought_block<'r>(thought: &'r Thought<'_>) -> Value<'r> {
    let mut inner = Object::default();
    match &thought.sealed {
        Some(sealed) => inner.push("redactedContent", sealed.clone()),
        None => {
            let mut text: Object<'_> = [("text", thought.text.clone())].into_iter().collect();
            if let Some(signature) = &thought.signature {
                text.push("signature", signature.clone());
            }
            inner.push("reasoningText", text);
        }
    }
    wrapped("reasoningContent", inner)
}

fn is_blank(text: &Str<'_>) -> bool {
    text.text().trim().is_empty()
}

/// An answer that has been begun may not end with white space.
fn trim_prefill(blocks: &mut Vec<Value<'_>>) {
    let Some(Value::Object(last)) = blocks.last_mut() else { return };
    let Some(Value::String(text)) = last.get_mut("text") else { return };
    let whole = text.text();
    let trimmed = whole.trim_end();
    if trimmed.is_empty() {
        blocks.pop();
    } else if trimmed.len() < whole.len() {
        *text = Str::Made(trimmed.to_owned());
    }
}

/// The id of a call, as its result is to name it; its function's name where it has none.
fn id_of<'r>(call: &'r ToolCall<'_>) -> Str<'r> {
    valid_id(call.id.as_ref().unwrap_or(&call.name), false)
}

/// The id as Converse and the models behind it take it: at most 64 letters, digits, `_` and `-`. Others become such a one,
/// always the same.
fn valid_id<'r>(id: &Str<'r>, is_own: bool) -> Str<'r> {
    let text = id.text();
    let is_valid = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if is_own || ((1..=ID_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_valid)) {
        return id.clone();
    }
    let mut valid = String::from("call_");
    for byte in text.bytes() {
        match byte {
            b'_' => valid.push_str("__"), // so that no two such ids become one
            byte if is_valid(byte) => valid.push(char::from(byte)),
            byte => valid.push_str(&format!("_x{byte:02x}")),
        }
    }
    if valid.len() > ID_BYTES_MAX {
        // FNV-1a, of 64 bits (RFC 9923).
        let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        });
        valid.truncate(ID_BYTES_MAX - 17);
        valid.push_str(&format!("-{hash:016x}"));
    }
    valid.into()
}

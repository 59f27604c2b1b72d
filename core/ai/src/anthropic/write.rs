//! Requests of the form, in the dialect.
//!
//! The dialect is stricter about the shape of a conversation than others: turns of the user and of the assistant take
//! turns, results come first in the turn after their calls, and no text is empty. The writer sees to that.

use crate::dialect::Dialect;
use crate::form::write::{alone, budget_of, foreign, has_function, no_parameters, tell_rest, write_rest};
use crate::form::{
    Arguments, CacheMark, Feature, Losses, Media, MediaKind, MediaSource, Output, Part, Request,
    ResultContent, Role, Text, Thinking, Tool, ToolCall, ToolChoice, ToolResult, Turn,
};
use crate::json::{Object, Str, Value};
use crate::openai_responses::chat;

/// Marks of caching that a request may have.
pub const CACHE_MARKS_MAX: usize = 4;
/// Tokens of thinking that may be asked for at least.
pub const THINKING_TOKENS_MIN: u64 = 1024;

/// Writes a request for `model`; `max_output` is what it may answer at most where the request does not say, as the
/// dialect wants that told. What the dialect has no word for is told in `losses`.
pub fn write_request<'r>(
    request: &'r Request<'_>,
    model: &'r str,
    max_output: u64,
    losses: &mut Losses,
) -> Object<'r> {
    let mut writer = Writer { from: request.from, losses, marks: marks(request) };
    let mut body = Object::default();
    body.push("model", model);
    let max_output = request.max_output.unwrap_or(max_output);
    body.push("max_tokens", max_output);
    let tools: Vec<Value<'_>> = request.tools.iter().filter_map(|tool| writer.tool(tool)).collect();
    let has_tools = !tools.is_empty();
    if has_tools {
        body.push("tools", tools);
        if let Some(choice) = writer.tool_choice(request) {
            body.push("tool_choice", choice);
        }
    }
    let instructions = request.turns.iter().take_while(|turn| is_instruction(turn)).count();
    let (system, turns) = request.turns.split_at(instructions);
    let system: Vec<Value<'_>> =
        system.iter().flat_map(|turn| &turn.parts).filter_map(|part| writer.block(part)).collect();
    if !system.is_empty() {
        body.push("system", alone(system));
    }
    body.push("messages", writer.messages(turns));
    let thinks = request.thinking.as_ref().is_some_and(|thinking| {
        writer.thinking(&mut body, thinking, max_output, calls_without_thought(turns))
    });
    writer.output(&mut body, request);
    writer.sampling(&mut body, request, thinks);
    let stop: Vec<Value<'_>> = request
        .stop
        .iter()
        .filter(|text| !text.text().trim().is_empty())
        .map(|text| text.clone().into())
        .collect();
    writer.losses.tell_if(stop.len() < request.stop.len(), Feature::Stop);
    if !stop.is_empty() {
        body.push("stop_sequences", stop);
    }
    if request.stream {
        body.push("stream", true);
    }
    if let Some(user) = &request.user {
        body.push("metadata", [("user_id", Value::from(user.clone()))].into_iter().collect::<Object<'_>>());
    }
    writer.rest(&mut body, request);
    body
}

fn is_instruction(turn: &Turn<'_>) -> bool {
    matches!(turn.role, Role::System | Role::Developer)
}

/// How many marks of caching a request has, in the order in which they are written.
fn marks(request: &Request<'_>) -> Marks {
    let of_tool = |tool: &Tool<'_>| matches!(tool, Tool::Function(function) if function.cache.is_some());
    let tools = request.tools.iter().filter(|tool| of_tool(tool)).count();
    let parts = request.turns.iter().flat_map(|turn| &turn.parts);
    let parts: usize = parts.map(|part| marks_of(part, request.from)).sum();
    Marks { skip: (tools + parts).saturating_sub(CACHE_MARKS_MAX) }
}

/// How many marks a part has, those of what is within it too; none if it is left out.
fn marks_of(part: &Part<'_>, from: Dialect) -> usize {
    let within = match part {
        Part::Text(text) if text.text.is_empty() => return 0,
        Part::Media(media) => match (media.kind, &media.source) {
            (MediaKind::Audio | MediaKind::Video, _) => return 0,
            (_, MediaSource::File(_)) if from != Dialect::Anthropic => return 0,
            _ => 0,
        },
        Part::ToolResult(ToolResult { content: ResultContent::Parts(parts), .. }) => {
            parts.iter().map(|part| marks_of(part, from)).sum()
        }
        _ => 0,
    };
    within + usize::from(cache_mark(part).is_some())
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

/// Marks of caching that are left out: the first ones beyond [`CACHE_MARKS_MAX`], as the last reach the farthest.
struct Marks {
    skip: usize,
}

/// Whether the last turn of the assistant calls functions and shows no signed thought before that: then the provider
/// refuses to think on.
fn calls_without_thought(turns: &[Turn<'_>]) -> bool {
    let last = turns.iter().rev().find(|turn| turn.role == Role::Assistant);
    last.is_some_and(|turn| {
        let calls = turn.parts.iter().any(|part| matches!(part, Part::ToolCall(_)));
        let is_signed = |part: &Part<'_>| {
            matches!(part, Part::Thought(thought) if thought.signature.is_some() || thought.sealed.is_some())
        };
        calls && !turn.parts.iter().any(is_signed)
    })
}

struct Writer<'l> {
    from: Dialect,
    losses: &'l mut Losses,
    marks: Marks,
}

impl Writer<'_> {
    fn messages<'r>(&mut self, turns: &'r [Turn<'_>]) -> Vec<Value<'r>> {
        let mut merged: Vec<(&'static str, Vec<Value<'r>>)> = Vec::new();
        for turn in turns {
            let role = if turn.role == Role::Assistant { "assistant" } else { "user" };
            self.losses.tell_if(turn.name.is_some(), Feature::Name);
            tell_rest(&turn.rest, self.from, Dialect::Anthropic, self.losses);
            // Results first, then what else is said.
            let (results, others): (Vec<_>, Vec<_>) =
                turn.parts.iter().partition(|part| matches!(part, Part::ToolResult(_)));
            let mut blocks: Vec<Value<'r>> =
                results.into_iter().filter_map(|part| self.block(part)).collect();
            let results = blocks.len();
            if is_instruction(turn) {
                // To hoist it would change what the model has read before; the user's turn is the place that is left.
                self.losses.tell(Feature::SystemWithin);
                blocks.extend(others.into_iter().filter_map(|part| self.instruction(part)));
            } else {
                blocks.extend(others.into_iter().filter_map(|part| self.block(part)));
            }
            match merged.last_mut() {
                Some((last, before)) if *last == role => {
                    let at = before.iter().take_while(|block| is_result(block)).count();
                    let texts = blocks.split_off(results);
                    before.splice(at..at, blocks);
                    before.extend(texts);
                }
                _ if blocks.is_empty() => {}
                _ => merged.push((role, blocks)),
            }
        }
        if merged.first().is_some_and(|(role, _)| *role == "assistant") {
            merged.insert(0, ("user", vec![text_block(".".into())]));
        }
        if let Some(("assistant", blocks)) = merged.last_mut() {
            trim_prefill(blocks);
            if blocks.is_empty() {
                merged.pop();
            }
        }
        let message = |(role, blocks): (&'static str, Vec<Value<'r>>)| {
            let members = [("role", Value::from(role)), ("content", alone(blocks))];
            members.into_iter().collect::<Object<'_>>().into()
        };
        merged.into_iter().map(message).collect()
    }

    /// A piece of an instruction that stands within the conversation.
    fn instruction<'r>(&mut self, part: &'r Part<'_>) -> Option<Value<'r>> {
        match part {
            Part::Text(text) if !text.text.is_empty() => {
                Some(text_block(format!("<system>{}</system>", text.text.text()).into()))
            }
            part => self.block(part),
        }
    }

    fn block<'r>(&mut self, part: &'r Part<'_>) -> Option<Value<'r>> {
        let mut block = match part {
            Part::Text(text) if text.text.is_empty() => return None,
            Part::Text(text) => cited(text, self.from, self.losses),
            Part::Refusal(text) if text.is_empty() => return None,
            Part::Refusal(text) => text_object(text.clone()),
            Part::Media(media) => self.media(media)?,
            Part::Thought(thought) => {
                if !thought.is_readable(self.from, Dialect::Anthropic) {
                    self.losses.tell_if(thought.signature.is_some(), Feature::ThinkingSignature);
                    self.losses.tell_if(thought.sealed.is_some(), Feature::ThinkingSealed);
                    return None; // it proves nothing to this provider, which would refuse it
                }
                let mut block = Object::default();
                if let Some(sealed) = &thought.sealed {
                    block.push("type", "redacted_thinking");
                    block.push("data", sealed.clone());
                } else if let Some(signature) = &thought.signature {
                    block.push("type", "thinking");
                    block.push("thinking", thought.text.clone());
                    block.push("signature", signature.clone());
                } else {
                    return None; // unsigned it is refused, and it was said for the reader's eyes only
                }
                block
            }
            Part::ToolCall(call) => self.call(call),
            Part::ToolResult(result) => self.result(result),
            Part::Foreign(value) if self.from == Dialect::Anthropic => return Some(value.clone()),
            Part::Foreign(value) => {
                self.losses.tell(foreign(value));
                return None;
            }
        };
        self.mark(&mut block, cache_mark(part));
        Some(block.into())
    }

    fn mark<'r>(&mut self, block: &mut Object<'r>, mark: Option<CacheMark>) {
        let Some(mark) = mark else { return };
        if self.marks.skip > 0 {
            self.marks.skip -= 1;
            self.losses.tell(Feature::CacheMark);
            return;
        }
        let mut control = Object::default();
        control.push("type", "ephemeral");
        if mark == CacheMark::Hour {
            control.push("ttl", "1h");
        }
        block.push("cache_control", control);
    }

    fn media<'r>(&mut self, media: &'r Media<'_>) -> Option<Object<'r>> {
        let kind = match media.kind {
            MediaKind::Image => "image",
            MediaKind::Document => "document",
            MediaKind::Audio => {
                self.losses.tell(Feature::Audio);
                return None;
            }
            MediaKind::Video => {
                self.losses.tell(Feature::Video);
                return None;
            }
        };
        self.losses.tell_if(media.detail.is_some(), Feature::ImageDetail);
        let mut source = Object::default();
        match &media.source {
            MediaSource::Base64(data) => {
                let usual = if kind == "image" { "image/png" } else { "application/pdf" };
                source.push("type", "base64");
                source.push("media_type", media.media_type.clone().unwrap_or_else(|| usual.into()));
                source.push("data", data.clone());
            }
            MediaSource::Url(url) => {
                source.push("type", "url");
                source.push("url", url.clone());
            }
            MediaSource::Text(text) => {
                source.push("type", "text");
                source.push("media_type", "text/plain");
                source.push("data", text.clone());
            }
            MediaSource::File(id) if self.from == Dialect::Anthropic => {
                source.push("type", "file");
                source.push("file_id", id.clone());
            }
            MediaSource::File(_) => {
                self.losses.tell(Feature::File);
                return None;
            }
        }
        let mut block = Object::default();
        block.push("type", kind);
        block.push("source", source);
        if kind == "document"
            && let Some(name) = &media.name
        {
            block.push("title", name.clone());
        }
        Some(block)
    }

    fn call<'r>(&mut self, call: &'r ToolCall<'_>) -> Object<'r> {
        let mut block = Object::default();
        block.push("type", "tool_use");
        block.push("id", call.id.as_ref().map_or_else(|| call.name.clone(), valid_id));
        block.push("name", call.name.clone());
        block.push("input", input(&call.arguments));
        self.losses.tell_if(call.signature.is_some(), Feature::ThinkingSignature);
        self.losses.tell_if(matches!(call.arguments, Arguments::Free(_)), Feature::CustomTools);
        match self.from {
            Dialect::Anthropic => call.rest.iter().for_each(|(name, value)| {
                block.push(name.clone(), value.clone());
            }),
            from => tell_rest(&call.rest, from, Dialect::Anthropic, self.losses),
        }
        block
    }

    fn result<'r>(&mut self, result: &'r ToolResult<'_>) -> Object<'r> {
        let mut block = Object::default();
        block.push("type", "tool_result");
        block.push("tool_use_id", valid_id(&result.call));
        let content = match &result.content {
            ResultContent::Parts(parts) => {
                let blocks: Vec<Value<'r>> = parts.iter().filter_map(|part| self.block(part)).collect();
                (!blocks.is_empty()).then(|| alone(blocks))
            }
            ResultContent::Value(Value::String(text)) if text.is_empty() => None,
            ResultContent::Value(Value::String(text)) => Some(text.clone().into()),
            ResultContent::Value(value) => Some(value.to_json().into()),
        };
        if let Some(content) = content {
            block.push("content", content);
        }
        if let Some(is_error) = result.is_error {
            block.push("is_error", is_error);
        }
        block
    }

    fn tool<'r>(&mut self, tool: &'r Tool<'_>) -> Option<Value<'r>> {
        let function = match tool {
            Tool::Function(function) => function,
            Tool::Foreign(value) if self.from == Dialect::Anthropic => return Some(value.clone()),
            Tool::Foreign(value) => {
                self.losses.tell(chat::lost_tool(value));
                return None;
            }
        };
        let mut written = Object::default();
        written.push("name", function.name.clone());
        if let Some(description) = &function.description {
            written.push("description", description.clone());
        }
        written.push("input_schema", function.parameters.clone().unwrap_or_else(|| no_parameters()));
        if let Some(strict) = function.strict {
            written.push("strict", strict);
        }
        write_rest(&mut written, &function.rest, self.from, Dialect::Anthropic, self.losses);
        self.mark(&mut written, function.cache);
        Some(written.into())
    }

    fn tool_choice<'r>(&mut self, request: &'r Request<'_>) -> Option<Object<'r>> {
        let mut written = Object::default();
        match &request.tool_choice {
            None if request.parallel_tool_calls == Some(false) => written.push("type", "auto"),
            None => return None,
            Some(ToolChoice::Auto) => written.push("type", "auto"),
            Some(ToolChoice::None) => written.push("type", "none"),
            Some(ToolChoice::Required) => written.push("type", "any"),
            // The tool that it names may be one that this provider does not have.
            Some(ToolChoice::Function(name))
                if self.from != Dialect::Anthropic && !has_function(&request.tools, name) =>
            {
                self.losses.tell(Feature::ToolChoice);
                return None;
            }
            Some(ToolChoice::Function(name)) => {
                written.push("type", "tool");
                written.push("name", name.clone());
            }
            Some(ToolChoice::Foreign(value)) => {
                self.losses.tell(chat::lost_choice(value));
                return None;
            }
        }
        if let Some(parallel) = request.parallel_tool_calls
            && request.tool_choice != Some(ToolChoice::None)
        {
            written.push("disable_parallel_tool_use", !parallel);
        }
        Some(written)
    }

    /// Writes how much is to be thought; whether anything is.
    fn thinking<'r>(
        &mut self,
        body: &mut Object<'r>,
        thinking: &'r Thinking<'_>,
        max_output: u64,
        calls_without_thought: bool,
    ) -> bool {
        let mut written = Object::default();
        let budget = match (thinking.budget, &thinking.effort) {
            (Some(budget), _) => Some(budget),
            (None, Some(effort)) if self.from != Dialect::Anthropic => Some(budget_of(&effort.text())),
            (None, _) => None,
        };
        if self.from == Dialect::Anthropic
            && let Some(effort) = &thinking.effort
        {
            body.push(
                "output_config",
                [("effort", Value::from(effort.clone()))].into_iter().collect::<Object<'_>>(),
            );
        }
        match budget {
            Some(0) => {
                written.push("type", "disabled");
                body.push("thinking", written);
                return false;
            }
            // Its budget is a part of the answer's.
            Some(_) if max_output <= THINKING_TOKENS_MIN || calls_without_thought => {
                self.losses.tell(Feature::ThinkingBudget);
                return false;
            }
            Some(budget) => {
                let most = max_output - 1;
                self.losses
                    .tell_if(thinking.budget.is_some_and(|asked| asked > most), Feature::ThinkingBudget);
                written.push("type", "enabled");
                written.push("budget_tokens", budget.clamp(THINKING_TOKENS_MIN, most));
            }
            None if thinking.effort.is_some() && thinking.shown.is_none() => return false,
            None => written.push("type", "adaptive"),
        }
        match &thinking.shown {
            Some(shown) if self.from == Dialect::Anthropic => written.push("display", shown.clone()),
            shown => self.losses.tell_if(shown.is_some(), Feature::ThinkingShown),
        }
        body.push("thinking", written);
        true
    }

    fn output<'r>(&mut self, body: &mut Object<'r>, request: &'r Request<'_>) {
        match &request.output {
            None | Some(Output::Text) => {}
            Some(Output::Json) => self.losses.tell(Feature::Json),
            Some(Output::Schema { schema, .. }) => {
                let mut format = Object::default();
                format.push("type", "json_schema");
                format.push("schema", schema.clone());
                match body.get_mut("output_config") {
                    Some(Value::Object(config)) => config.push("format", format),
                    _ => {
                        let config: Object<'_> = [("format", Value::from(format))].into_iter().collect();
                        body.push("output_config", config);
                    }
                }
            }
        }
    }

    fn sampling<'r>(&mut self, body: &mut Object<'r>, request: &'r Request<'_>, thinks: bool) {
        let sampling = &request.sampling;
        if let Some(temperature) = &sampling.temperature {
            // Others go up to 2; and whoever thinks does so at 1.
            let is_kept = temperature.as_f64() <= 1.0 && (!thinks || temperature.as_f64() == 1.0);
            self.losses.tell_if(!is_kept, Feature::Temperature);
            match is_kept {
                true => body.push("temperature", Value::Number(temperature.clone())),
                false if thinks => {}
                false => body.push("temperature", 1),
            }
        }
        if let Some(top_p) = &sampling.top_p {
            body.push("top_p", Value::Number(top_p.clone()));
        }
        match &sampling.top_k {
            Some(_) if thinks => self.losses.tell(Feature::TopK),
            Some(top_k) => body.push("top_k", Value::Number(top_k.clone())),
            None => {}
        }
        for (is_asked, feature) in [
            (sampling.seed.is_some(), Feature::Seed),
            (sampling.presence_penalty.is_some(), Feature::PresencePenalty),
            (sampling.frequency_penalty.is_some(), Feature::FrequencyPenalty),
            (sampling.logit_bias.is_some(), Feature::LogitBias),
            (request.answers.is_some_and(|answers| answers > 1), Feature::Answers),
            (request.logprobs.is_some(), Feature::Logprobs),
            (request.cache_key.is_some(), Feature::CacheKey),
            (request.verbosity.is_some(), Feature::Verbosity),
        ] {
            self.losses.tell_if(is_asked, feature);
        }
    }

    fn rest<'r>(&mut self, body: &mut Object<'r>, request: &'r Request<'_>) {
        let same = self.from == Dialect::Anthropic;
        match (&request.service_tier, same) {
            (Some(tier), true) => body.push("service_tier", tier.clone()),
            // The provider's own choice is the default.
            (Some(tier), false) if tier.is("default") => body.push("service_tier", "standard_only"),
            (Some(tier), false) => self.losses.tell_if(!tier.is("auto"), Feature::ServiceTier),
            (None, _) => {}
        }
        self.losses.tell_if(request.metadata.is_some(), Feature::Metadata);
        write_rest(body, &request.rest, self.from, Dialect::Anthropic, self.losses);
    }
}

/// A block of text with its sources, which only this dialect can read.
pub(super) fn cited<'r>(text: &'r Text<'_>, from: Dialect, losses: &mut Losses) -> Object<'r> {
    let mut block = text_object(text.text.clone());
    losses.tell_if(text.signature.is_some(), Feature::ThinkingSignature);
    match &text.citations {
        Some(citations) if from == Dialect::Anthropic => block.push("citations", citations.clone()),
        citations => losses.tell_if(citations.is_some(), Feature::Citations),
    }
    block
}

fn text_object(text: Str<'_>) -> Object<'_> {
    let mut block = Object::default();
    block.push("type", "text");
    block.push("text", text);
    block
}

pub(super) fn text_block(text: Str<'_>) -> Value<'_> {
    text_object(text).into()
}

fn is_result(block: &Value<'_>) -> bool {
    block.get("type").is_some_and(|kind| kind.is("tool_result"))
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

/// What a function is called with, as the object that the dialect wants. What is none stands in one under `arguments`.
pub(super) fn input<'r>(arguments: &'r Arguments<'_>) -> Value<'r> {
    let object = match arguments {
        Arguments::Value(value @ Value::Object(_)) => return value.clone(),
        Arguments::Value(value) => value.clone(),
        Arguments::Text(text) if text.text().trim().is_empty() => return Object::default().into(),
        Arguments::Text(text) => match parsed(text) {
            Some(object) => return object,
            None => text.clone().into(),
        },
        Arguments::Free(text) => text.clone().into(),
    };
    [("arguments", object)].into_iter().collect::<Object<'_>>().into()
}

/// The JSON object in a text, if it is one.
fn parsed<'r>(text: &Str<'_>) -> Option<Value<'r>> {
    let text = text.text();
    match Value::parse(text.as_bytes()) {
        Ok(object @ Value::Object(_)) => Some(object.into_owned()),
        _ => None,
    }
}

/// The id as the dialect takes it: letters, digits, `_` and `-`. Others become such a one, always the same.
fn valid_id<'r>(id: &Str<'r>) -> Str<'r> {
    let text = id.text();
    let is_valid = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if !text.is_empty() && text.bytes().all(is_valid) {
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
    valid.into()
}

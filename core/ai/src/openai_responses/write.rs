//! Requests of the form, in the dialect.

use super::chat;
use super::request::LOGPROBS;
use crate::dialect::Dialect;
use crate::form::write::{
    address, audio_format, effort_of, has_function, is_prefilled, no_parameters, openai_tier, schema_of,
    short_id, tell_rest, write_rest,
};
use crate::form::{
    Arguments, Feature, Losses, Media, MediaKind, MediaSource, Output, Part, Request, ResultContent, Role,
    Text, Thought, Tool, ToolCall, ToolChoice, ToolResult, Turn,
};
use crate::json::{Object, Str, Value};

const OWN: Dialect = Dialect::OpenAiResponses;

/// Bytes that an id of a call may have.
const ID_BYTES_MAX: usize = 64;

/// Writes a request for `model`; what the dialect has no word for is told in `losses`.
///
/// An answer to a request of another dialect is not to be kept by the provider, unless the request says so, as that is what
/// the others do.
pub fn write_request<'r>(request: &'r Request<'_>, model: &'r str, losses: &mut Losses) -> Object<'r> {
    let mut writer = Writer { from: request.from, losses };
    let mut body = Object::default();
    body.push("model", model);
    let mut turns = request.turns.as_slice();
    if let [Turn { role: Role::System, name: None, parts, rest }, others @ ..] = turns
        && let [Part::Text(text)] = parts.as_slice()
        && rest.is_empty()
    {
        writer.losses.tell_if(text.cache.is_some(), Feature::CacheMark);
        body.push("instructions", text.text.clone());
        turns = others;
    }
    let input = writer.items(turns);
    body.push("input", input);
    writer.losses.tell_if(is_prefilled(request), Feature::Prefill);
    writer.tools(&mut body, request);
    writer.text(&mut body, request);
    writer.reasoning(&mut body, request);
    writer.sampling(&mut body, request);
    if let Some(max) = request.max_output {
        body.push("max_output_tokens", max);
    }
    writer.losses.tell_if(!request.stop.is_empty(), Feature::Stop);
    if request.stream {
        body.push("stream", true);
    }
    let tier = request.service_tier.as_ref().map(openai_tier);
    for (name, text) in [
        ("user", request.user.clone()),
        ("prompt_cache_key", request.cache_key.clone()),
        ("service_tier", tier),
    ] {
        if let Some(text) = text {
            body.push(name, text);
        }
    }
    if let Some(metadata) = &request.metadata {
        body.push("metadata", metadata.clone());
    }
    if request.from != OWN && request.rest.get("store").is_none() {
        body.push("store", false);
    }
    writer.include(&mut body, request);
    writer.rest(&mut body, request);
    body
}

struct Writer<'l> {
    from: Dialect,
    losses: &'l mut Losses,
}

impl Writer<'_> {
    fn is_own(&self) -> bool {
        self.from == OWN
    }

    fn id<'r>(&self, id: &Str<'r>) -> Str<'r> {
        if self.is_own() { id.clone() } else { short_id(id, ID_BYTES_MAX) }
    }

    fn items<'r>(&mut self, turns: &'r [Turn<'_>]) -> Vec<Value<'r>> {
        let mut items: Vec<Value<'r>> = Vec::with_capacity(turns.len());
        // The ids of calls that take free text, as their results have a type of their own.
        let mut free: Vec<&Str<'_>> = Vec::new();
        for turn in turns {
            self.losses.tell_if(turn.name.is_some(), Feature::Name);
            let is_result = |part: &&Part<'_>| matches!(part, Part::ToolResult(_));
            for part in turn.parts.iter().filter(is_result) {
                if let Part::ToolResult(result) = part {
                    items.push(self.result(result, turn, free.contains(&&result.call)));
                }
            }
            if !self.is_own() {
                tell_rest(&turn.rest, self.from, OWN, self.losses);
            }
            let mut items_of_turn = Items { items: &mut items, message: Vec::new(), thoughts: Vec::new() };
            for part in turn.parts.iter().filter(|part| !is_result(part)) {
                match part {
                    Part::Thought(thought) => {
                        items_of_turn.end_message(turn, self.is_own());
                        if let Some(thought) = self.thought(thought) {
                            items_of_turn.think(thought);
                        }
                    }
                    Part::ToolCall(call) => {
                        items_of_turn.end_message(turn, self.is_own());
                        items_of_turn.end_thoughts();
                        if let (Arguments::Free(_), Some(id)) = (&call.arguments, &call.id) {
                            free.push(id);
                        }
                        let call = self.call(call);
                        items_of_turn.items.push(call);
                    }
                    Part::Foreign(value) if self.is_own() && turn.rest.get("type").is_some() => {
                        items_of_turn.end_message(turn, true);
                        items_of_turn.end_thoughts();
                        items_of_turn.items.push(value.clone());
                    }
                    part => {
                        items_of_turn.end_thoughts();
                        let part = self.part(part, turn.role);
                        items_of_turn.message.extend(part);
                    }
                }
            }
            items_of_turn.end_message(turn, self.is_own());
            items_of_turn.end_thoughts();
        }
        items
    }

    /// A thought goes back where this provider made it; elsewhere it was said for the reader's eyes only.
    fn thought<'r>(&mut self, thought: &'r Thought<'r>) -> Option<&'r Thought<'r>> {
        let is_readable = thought.is_readable(self.from, OWN);
        self.losses.tell_if(thought.signature.is_some(), Feature::ThinkingSignature);
        self.losses.tell_if(thought.sealed.is_some() && !is_readable, Feature::ThinkingSealed);
        let is_known = thought.id.is_some() || thought.sealed.is_some() || self.is_own();
        Some(thought).filter(|_| is_readable && is_known)
    }

    fn part<'r>(&mut self, part: &'r Part<'_>, role: Role) -> Option<Value<'r>> {
        let mut written = Object::default();
        match part {
            Part::Text(text) => {
                self.losses.tell_if(text.cache.is_some(), Feature::CacheMark);
                self.losses.tell_if(text.signature.is_some(), Feature::ThinkingSignature);
                return Some(self.text_part(text, role));
            }
            Part::Refusal(text) if role == Role::Assistant => {
                written.push("type", "refusal");
                written.push("refusal", text.clone());
            }
            Part::Refusal(text) => {
                written.push("type", "input_text");
                written.push("text", text.clone());
            }
            Part::Media(media) => return self.media(media),
            Part::Foreign(value) if self.is_own() => return Some(value.clone()),
            Part::Foreign(value) => {
                self.losses.tell(crate::form::write::foreign(value));
                return None;
            }
            Part::Thought(_) | Part::ToolCall(_) | Part::ToolResult(_) => return None,
        }
        Some(written.into())
    }

    fn text_part<'r>(&mut self, text: &'r Text<'_>, role: Role) -> Value<'r> {
        let mut written = Object::default();
        if role != Role::Assistant {
            self.losses.tell_if(text.citations.is_some(), Feature::Citations);
            written.push("type", "input_text");
            written.push("text", text.text.clone());
            return written.into();
        }
        written.push("type", "output_text");
        written.push("text", text.text.clone());
        match &text.citations {
            Some(citations) if self.is_own() => written.push("annotations", citations.clone()),
            citations => self.losses.tell_if(citations.is_some(), Feature::Citations),
        }
        written.into()
    }

    fn media<'r>(&mut self, media: &'r Media<'_>) -> Option<Value<'r>> {
        self.losses.tell_if(media.cache.is_some(), Feature::CacheMark);
        let mut written = Object::default();
        match (media.kind, &media.source) {
            (_, MediaSource::Text(text)) => {
                written.push("type", "input_text");
                written.push("text", text.clone());
                return Some(written.into());
            }
            (MediaKind::Image, MediaSource::Url(_) | MediaSource::Base64(_)) => {
                written.push("type", "input_image");
                written.push("image_url", address(media)?);
            }
            (MediaKind::Audio, MediaSource::Base64(data)) => {
                let inner = [("data", Value::from(data.clone())), ("format", audio_format(media).into())];
                written.push("type", "input_audio");
                written.push("input_audio", inner.into_iter().collect::<Object<'_>>());
                return Some(written.into());
            }
            (MediaKind::Document, MediaSource::Url(url)) => {
                written.push("type", "input_file");
                written.push("file_url", url.clone());
            }
            (MediaKind::Document, MediaSource::Base64(_)) => {
                let name = media.name.clone().unwrap_or_else(|| "document.pdf".into());
                written.push("type", "input_file");
                written.push("filename", name);
                written.push("file_data", address(media)?);
            }
            // OpenAI's files are the same for its two dialects.
            (kind, MediaSource::File(id)) if self.is_own() || self.from == Dialect::OpenAiChat => {
                written.push("type", if kind == MediaKind::Image { "input_image" } else { "input_file" });
                written.push("file_id", id.clone());
            }
            (_, MediaSource::File(_)) => self.losses.tell(Feature::File),
            (MediaKind::Audio, MediaSource::Url(_)) => self.losses.tell(Feature::Audio),
            (MediaKind::Video, _) => self.losses.tell(Feature::Video),
        }
        if written.is_empty() {
            return None;
        }
        match &media.detail {
            Some(detail) => written.push("detail", detail.clone()),
            None if media.kind == MediaKind::Image && !self.is_own() => written.push("detail", "auto"),
            None => {}
        }
        Some(written.into())
    }

    fn call<'r>(&mut self, call: &'r ToolCall<'_>) -> Value<'r> {
        self.losses.tell_if(call.signature.is_some(), Feature::ThinkingSignature);
        self.losses.tell_if(call.cache.is_some(), Feature::CacheMark);
        let mut written = write_call(call);
        if let Some(id) = &call.id {
            *written.get_mut("call_id").unwrap_or(&mut Value::Null) = self.id(id).into();
        }
        match self.is_own() {
            true => call.rest.iter().for_each(|(name, value)| written.push(name.clone(), value.clone())),
            false => tell_rest(&call.rest, self.from, OWN, self.losses),
        }
        written.into()
    }

    fn result<'r>(&mut self, result: &'r ToolResult<'_>, turn: &'r Turn<'_>, is_free: bool) -> Value<'r> {
        self.losses.tell_if(result.cache.is_some(), Feature::CacheMark);
        self.losses.tell_if(result.is_error == Some(true), Feature::ToolResultError);
        let kind = if is_free { "custom_tool_call_output" } else { "function_call_output" };
        let told = turn.rest.get("type").filter(|_| self.is_own());
        let mut written = Object::default();
        written.push("type", told.cloned().unwrap_or_else(|| kind.into()));
        written.push("call_id", self.id(&result.call));
        let output = match &result.content {
            ResultContent::Value(Value::String(text)) => text.clone().into(),
            ResultContent::Value(value) => value.to_json().into(),
            ResultContent::Parts(parts) => {
                let parts = parts.iter().filter_map(|part| self.part(part, Role::Tool));
                only_text(parts.collect())
            }
        };
        written.push("output", output);
        if self.is_own() {
            let named = result.name.iter().map(|name| ("name".into(), Value::from(name.clone())));
            let others = turn.rest.iter().filter(|(name, _)| !name.is("type"));
            named.chain(others.map(|(name, value)| (name.clone(), value.clone()))).for_each(
                |(name, value)| {
                    written.push(name, value);
                },
            );
        }
        written.into()
    }

    fn tools<'r>(&mut self, body: &mut Object<'r>, request: &'r Request<'_>) {
        let tools: Vec<Value<'_>> = request.tools.iter().filter_map(|tool| self.tool(tool)).collect();
        let has_tools = !tools.is_empty();
        if has_tools {
            body.push("tools", tools);
        }
        // A choice without tools is refused.
        if (has_tools || self.is_own())
            && let Some(choice) = request.tool_choice.as_ref().and_then(|choice| self.choice(choice, request))
        {
            body.push("tool_choice", choice);
        }
        if (has_tools || self.is_own())
            && let Some(parallel) = request.parallel_tool_calls
        {
            body.push("parallel_tool_calls", parallel);
        }
    }

    fn tool<'r>(&mut self, tool: &'r Tool<'_>) -> Option<Value<'r>> {
        let function = match tool {
            Tool::Function(function) => function,
            Tool::Foreign(value) if self.is_own() => return Some(value.clone()),
            Tool::Foreign(value) => {
                let is_chat = self.from == Dialect::OpenAiChat;
                let custom = chat::custom_tool_from_chat(value).filter(|_| is_chat);
                if custom.is_none() {
                    self.losses.tell(chat::lost_tool(value));
                }
                return custom;
            }
        };
        self.losses.tell_if(function.cache.is_some(), Feature::CacheMark);
        let mut written = Object::default();
        written.push("type", "function");
        written.push("name", function.name.clone());
        if let Some(description) = &function.description {
            written.push("description", description.clone());
        }
        match &function.parameters {
            Some(parameters) => written.push("parameters", parameters.clone()),
            None if self.is_own() => {}
            None => written.push("parameters", no_parameters()),
        }
        match function.strict {
            Some(strict) => written.push("strict", strict),
            None if self.is_own() => {}
            None => written.push("strict", false), // what is not said is strict here, and nowhere else
        }
        write_rest(&mut written, &function.rest, self.from, OWN, self.losses);
        Some(written.into())
    }

    fn choice<'r>(&mut self, choice: &'r ToolChoice<'_>, request: &'r Request<'_>) -> Option<Value<'r>> {
        Some(match choice {
            ToolChoice::Auto => "auto".into(),
            ToolChoice::None => "none".into(),
            ToolChoice::Required => "required".into(),
            ToolChoice::Function(name) if self.is_own() || has_function(&request.tools, name) => {
                let mut written = Object::default();
                written.push("type", "function");
                written.push("name", name.clone());
                written.into()
            }
            // The tool that it names is not among those that are left.
            ToolChoice::Function(_) => {
                self.losses.tell(Feature::ToolChoice);
                return None;
            }
            ToolChoice::Foreign(value) if self.is_own() => value.clone(),
            ToolChoice::Foreign(value) => {
                let is_chat = self.from == Dialect::OpenAiChat;
                let written = chat::choice_from_chat(value).filter(|_| is_chat);
                if written.is_none() {
                    self.losses.tell(chat::lost_choice(value));
                }
                return written;
            }
        })
    }

    fn text<'r>(&mut self, body: &mut Object<'r>, request: &'r Request<'_>) {
        let mut text = Object::default();
        if let Some(output) = &request.output {
            let mut format = Object::default();
            match output {
                Output::Text => format.push("type", "text"),
                Output::Json => format.push("type", "json_object"),
                output => {
                    format.push("type", "json_schema");
                    for (name, value) in schema_of(output).unwrap_or_default() {
                        format.push(name, value);
                    }
                }
            }
            text.push("format", format);
        }
        if let Some(verbosity) = &request.verbosity {
            text.push("verbosity", verbosity.clone());
        }
        if !text.is_empty() {
            body.push("text", text);
        }
    }

    fn reasoning<'r>(&mut self, body: &mut Object<'r>, request: &'r Request<'_>) {
        let Some(thinking) = &request.thinking else { return };
        let mut reasoning = Object::default();
        match (&thinking.effort, thinking.budget) {
            (Some(effort), _) => reasoning.push("effort", effort.clone()),
            (None, Some(budget)) => reasoning.push("effort", effort_of(budget)),
            (None, None) => {}
        }
        let is_off =
            thinking.budget == Some(0) || thinking.effort.as_ref().is_some_and(|effort| effort.is("none"));
        match &thinking.shown {
            Some(shown) if self.is_own() => reasoning.push("summary", shown.clone()),
            Some(shown) if shown.is("omitted") => {}
            // Messages shows thoughts unless told otherwise; other dialects do where they say so.
            None if self.from != Dialect::Anthropic => {}
            _ if is_off => {}
            _ => reasoning.push("summary", "auto"),
        }
        if !reasoning.is_empty() {
            body.push("reasoning", reasoning);
        }
    }

    fn sampling<'r>(&mut self, body: &mut Object<'r>, request: &'r Request<'_>) {
        let sampling = &request.sampling;
        if let Some(temperature) = &sampling.temperature {
            body.push("temperature", Value::Number(temperature.clone()));
        }
        if let Some(top_p) = &sampling.top_p {
            body.push("top_p", Value::Number(top_p.clone()));
        }
        let is_set = |number: &Option<crate::json::Number<'_>>| {
            number.as_ref().is_some_and(|number| number.as_f64() != 0.0)
        };
        for (is_asked, feature) in [
            (sampling.top_k.is_some(), Feature::TopK),
            (sampling.seed.is_some(), Feature::Seed),
            (is_set(&sampling.presence_penalty), Feature::PresencePenalty),
            (is_set(&sampling.frequency_penalty), Feature::FrequencyPenalty),
            (sampling.logit_bias.is_some(), Feature::LogitBias),
            (request.answers.is_some_and(|answers| answers > 1), Feature::Answers),
        ] {
            self.losses.tell_if(is_asked, feature);
        }
        if let Some(beside) = request.logprobs.filter(|beside| *beside > 0) {
            body.push("top_logprobs", beside);
        }
    }

    /// What is to be in the answer: what was asked for, probabilities, and for those who do not speak this dialect the
    /// thoughts that the provider does not keep for them.
    fn include<'r>(&mut self, body: &mut Object<'r>, request: &'r Request<'_>) {
        let mut include: Vec<Value<'r>> = match request.rest.get("include") {
            Some(Value::Array(wanted)) if self.is_own() => wanted.clone(),
            _ => Vec::new(),
        };
        if request.logprobs.is_some() {
            include.push(LOGPROBS.into());
        }
        let thinks = request.thinking.as_ref().is_some_and(|thinking| {
            thinking.budget != Some(0) && thinking.effort.as_ref().is_none_or(|effort| !effort.is("none"))
        });
        if !self.is_own() && thinks {
            include.push("reasoning.encrypted_content".into());
        }
        if !include.is_empty() {
            body.push("include", include);
        }
    }

    /// Members that no reader had a place for, those of `text` and `reasoning` where they stood.
    fn rest<'r>(&mut self, body: &mut Object<'r>, request: &'r Request<'_>) {
        let mut others = Object::default();
        write_rest(&mut others, &request.rest, self.from, OWN, self.losses);
        for (name, value) in others {
            let name_text = name.text().into_owned();
            match (name_text.as_str(), value) {
                ("include", _) => {} // written with what else is wanted
                ("text" | "reasoning", Value::Object(members)) => match body.get_mut(&name_text) {
                    Some(Value::Object(known)) => {
                        members.into_iter().for_each(|(name, value)| known.push(name, value));
                    }
                    _ => body.push(name, members),
                },
                (_, value) => body.push(name, value),
            }
        }
    }
}

/// The items of a turn as they come.
struct Items<'i, 'r> {
    items: &'i mut Vec<Value<'r>>,
    message: Vec<Value<'r>>,
    thoughts: Vec<&'r Thought<'r>>,
}

impl<'r> Items<'_, 'r> {
    /// Thoughts one after another with the same id are one item.
    fn think(&mut self, thought: &'r Thought<'r>) {
        if self.thoughts.last().is_some_and(|last| last.id.is_none() || last.id != thought.id) {
            self.end_thoughts();
        }
        self.thoughts.push(thought);
    }

    fn end_thoughts(&mut self) {
        if !self.thoughts.is_empty() {
            let id = self.thoughts[0].id.clone();
            let thoughts = std::mem::take(&mut self.thoughts);
            self.items.push(write_thoughts(id, thoughts).into());
        }
    }

    fn end_message(&mut self, turn: &'r Turn<'_>, is_own: bool) {
        if self.message.is_empty() {
            return;
        }
        let content = std::mem::take(&mut self.message);
        let mut written = Object::default();
        // What the model said has a type of its own, with an id of its own; as a plain text it needs neither.
        let is_assistant = turn.role == Role::Assistant;
        let content = if is_own && is_assistant { content.into() } else { only_text(content) };
        let is_output = is_assistant && matches!(content, Value::Array(_));
        if is_output {
            written.push("type", "message");
        }
        written.push(
            "role",
            match turn.role {
                Role::System => "system",
                Role::Developer => "developer",
                Role::User | Role::Tool => "user",
                Role::Assistant => "assistant",
            },
        );
        written.push("content", content);
        if is_own {
            turn.rest.iter().for_each(|(name, value)| written.push(name.clone(), value.clone()));
        }
        self.items.push(written.into());
    }
}

/// Content that is one text as a string.
fn only_text(mut parts: Vec<Value<'_>>) -> Value<'_> {
    let is_text = |kind: &Value<'_>| kind.is("input_text") || kind.is("output_text");
    match parts.as_mut_slice() {
        [] => "".into(),
        [Value::Object(only)] if only.len() == 2 && only.get("type").is_some_and(is_text) => {
            only.take("text").unwrap_or(Value::Null)
        }
        _ => parts.into(),
    }
}

/// An item of thoughts.
pub(super) fn write_thoughts<'r>(id: Option<Str<'r>>, thoughts: Vec<&'r Thought<'r>>) -> Object<'r> {
    let mut written = Object::default();
    written.push("type", "reasoning");
    if let Some(id) = id {
        written.push("id", id);
    }
    let shown = thoughts.iter().filter(|thought| !thought.text.is_empty());
    written.push("summary", shown.map(|thought| summary(thought.text.clone())).collect::<Vec<_>>());
    if let Some(sealed) = thoughts.iter().rev().find_map(|thought| thought.sealed.as_ref()) {
        written.push("encrypted_content", sealed.clone());
    }
    written
}

pub(super) fn summary(text: Str<'_>) -> Value<'_> {
    [("type", Value::from("summary_text")), ("text", text.into())].into_iter().collect::<Object<'_>>().into()
}

/// An item of a call, without its own id.
pub(super) fn write_call<'r>(call: &'r ToolCall<'_>) -> Object<'r> {
    let mut written = Object::default();
    let id = call.id.clone().unwrap_or_else(|| call.name.clone());
    let (kind, input, text) = match &call.arguments {
        Arguments::Free(text) => ("custom_tool_call", "input", text.clone()),
        Arguments::Text(text) if !text.text().trim().is_empty() => {
            ("function_call", "arguments", text.clone())
        }
        arguments => ("function_call", "arguments", arguments.to_text().into()),
    };
    written.push("type", kind);
    written.push("call_id", id);
    written.push("name", call.name.clone());
    written.push(input, text);
    written
}

//! Requests of the form, in the dialect.

use super::request::only;
use crate::dialect::Dialect;
use crate::form::write::{
    address, alone, budget_of, carries_on, foreign, has_function, is_prefilled, no_parameters, tell_rest,
    write_rest,
};
use crate::form::{
    Feature, Losses, Media, MediaKind, MediaSource, Output, Part, Request, ResultContent, Role, Text,
    Thought, Tool, ToolChoice, ToolResult, Turn,
};
use crate::json::{Number, Object, Str, Value};
use crate::openai_chat::write::write_call;
use crate::openai_responses::chat;

const OWN: Dialect = Dialect::Cohere;

/// Bounds of `p`, and of both penalties.
const P: (&str, &str) = ("0.01", "0.99");
const PENALTY: (&str, &str) = ("0", "1");
/// Texts that may end an answer, at most.
const STOPS_MAX: usize = 5;

/// Writes a request for `model`; what the dialect has no word for is told in `losses`.
pub fn write_request<'r>(request: &'r Request<'_>, model: &'r str, losses: &mut Losses) -> Object<'r> {
    let mut writer = Writer { from: request.from, losses, documents: Vec::new() };
    let mut body = Object::default();
    body.push("model", model);
    body.push("messages", writer.messages(request));
    if !writer.documents.is_empty() {
        body.push("documents", std::mem::take(&mut writer.documents));
    }
    let has_tools = writer.tools(&mut body, request);
    writer.output(&mut body, request, has_tools);
    writer.thinking(&mut body, request);
    writer.sampling(&mut body, request);
    if let Some(max) = request.max_output {
        body.push("max_tokens", max);
    }
    writer.losses.tell_if(request.stop.len() > STOPS_MAX, Feature::Stop);
    if !request.stop.is_empty() {
        let stop = request.stop.iter().take(STOPS_MAX);
        body.push("stop_sequences", stop.map(|text| text.clone().into()).collect::<Vec<_>>());
    }
    if let Some(beside) = request.logprobs {
        body.push("logprobs", true);
        writer.losses.tell_if(beside > 0, Feature::Logprobs);
    }
    if request.stream {
        body.push("stream", true);
    }
    let is_urgent = |tier: &Str<'_>| !["auto", "default", "standard_only"].iter().any(|usual| tier.is(usual));
    for (is_asked, feature) in [
        (request.answers.is_some_and(|answers| answers > 1), Feature::Answers),
        (request.user.is_some(), Feature::User),
        (request.cache_key.is_some(), Feature::CacheKey),
        (request.verbosity.is_some(), Feature::Verbosity),
        (request.metadata.is_some(), Feature::Metadata),
        (request.service_tier.as_ref().is_some_and(is_urgent), Feature::ServiceTier),
    ] {
        writer.losses.tell_if(is_asked, feature);
    }
    write_rest(&mut body, &request.rest, request.from, OWN, writer.losses);
    body
}

/// A message that is yet to be written, as another may carry it on.
struct Message<'r> {
    role: &'static str,
    content: Vec<Value<'r>>,
    sources: Vec<Value<'r>>,
    calls: Vec<Value<'r>>,
    rest: Object<'r>,
}

struct Writer<'l, 'r> {
    from: Dialect,
    losses: &'l mut Losses,
    /// Texts to read, which stand beside the conversation.
    documents: Vec<Value<'r>>,
}

impl<'r> Writer<'_, 'r> {
    fn is_own(&self) -> bool {
        self.from == OWN
    }

    fn messages(&mut self, request: &'r Request<'_>) -> Vec<Value<'r>> {
        let mut messages: Vec<Value<'r>> = Vec::with_capacity(request.turns.len());
        let mut last: Option<(&'r Turn<'_>, Message<'r>)> = None;
        for turn in &request.turns {
            let (results, others): (Vec<_>, Vec<_>) =
                turn.parts.iter().partition(|part| matches!(part, Part::ToolResult(_)));
            let goes_on = |before: &Turn<'_>| {
                results.is_empty() && carries_on(turn, before) && self.from == Dialect::OpenAiResponses
            };
            if last.as_ref().is_some_and(|(before, _)| goes_on(before)) {
                let more = self.message(turn, &others);
                if let Some((_, message)) = &mut last {
                    message.content.extend(more.content);
                    message.sources.extend(more.sources);
                    message.calls.extend(more.calls);
                }
                continue;
            }
            messages.extend(last.take().map(|(_, message)| message.write()));
            for part in &results {
                if let Part::ToolResult(result) = part {
                    messages.push(self.result(result));
                }
            }
            if others.is_empty() && (turn.role == Role::Tool || !results.is_empty()) {
                continue;
            }
            let message = self.message(turn, &others);
            // Nothing is left of it, and all of that has been told.
            let is_empty = message.content.is_empty() && message.calls.is_empty();
            if !(is_empty && !others.is_empty() && !self.is_own()) {
                last = Some((turn, message));
            }
        }
        messages.extend(last.map(|(_, message)| message.write()));
        self.losses.tell_if(!self.is_own() && is_prefilled(request), Feature::Prefill);
        messages
    }

    fn message(&mut self, turn: &'r Turn<'_>, parts: &[&'r Part<'_>]) -> Message<'r> {
        self.losses.tell_if(turn.name.is_some(), Feature::Name);
        let role = match turn.role {
            Role::System | Role::Developer => "system",
            Role::User | Role::Tool => "user",
            Role::Assistant => "assistant",
        };
        let (content, sources, calls) = (Vec::new(), Vec::new(), Vec::new());
        let mut message = Message { role, content, sources, calls, rest: Object::default() };
        for part in parts {
            match part {
                Part::ToolCall(call) => {
                    self.losses.tell_if(call.signature.is_some(), Feature::ThinkingSignature);
                    self.losses.tell_if(call.cache.is_some(), Feature::CacheMark);
                    let is_custom = matches!(call.arguments, crate::form::Arguments::Free(_));
                    self.losses.tell_if(is_custom, Feature::CustomTools);
                    let mut written = write_call(call, OWN);
                    match self.is_own() {
                        true => call.rest.iter().for_each(|(name, value)| {
                            written.push(name.clone(), value.clone());
                        }),
                        false => tell_rest(&call.rest, self.from, OWN, self.losses),
                    }
                    message.calls.push(written.into());
                }
                Part::Text(text) if turn.role == Role::Assistant => {
                    self.cited(text, &mut message);
                    message.content.push(text_block(text.text.clone()));
                }
                Part::Thought(thought) => message.content.extend(self.thought(thought)),
                part => message.content.extend(self.block(part)),
            }
        }
        match self.is_own() {
            true => turn.rest.iter().for_each(|(name, value)| message.rest.push(name.clone(), value.clone())),
            false => tell_rest(&turn.rest, self.from, OWN, self.losses),
        }
        message
    }

    /// A thought goes back where this provider made it; elsewhere it was said for the reader's eyes only.
    fn thought(&mut self, thought: &'r Thought<'_>) -> Option<Value<'r>> {
        self.losses.tell_if(thought.signature.is_some(), Feature::ThinkingSignature);
        self.losses.tell_if(thought.sealed.is_some(), Feature::ThinkingSealed);
        let is_back = thought.is_readable(self.from, OWN) && !thought.text.is_empty();
        is_back.then(|| thinking_block(thought.text.clone()))
    }

    fn cited(&mut self, text: &'r Text<'_>, message: &mut Message<'r>) {
        self.losses.tell_if(text.cache.is_some(), Feature::CacheMark);
        self.losses.tell_if(text.signature.is_some(), Feature::ThinkingSignature);
        match &text.citations {
            Some(Value::Array(sources)) if self.is_own() => message.sources.extend(sources.iter().cloned()),
            citations => self.losses.tell_if(citations.is_some(), Feature::Citations),
        }
    }

    fn block(&mut self, part: &'r Part<'_>) -> Option<Value<'r>> {
        match part {
            Part::Text(text) => {
                self.losses.tell_if(text.cache.is_some(), Feature::CacheMark);
                self.losses.tell_if(text.signature.is_some(), Feature::ThinkingSignature);
                self.losses.tell_if(text.citations.is_some(), Feature::Citations);
                Some(text_block(text.text.clone()))
            }
            Part::Refusal(text) => Some(text_block(text.clone())),
            Part::Media(media) => self.media(media),
            Part::Foreign(value) if self.is_own() => Some(value.clone()),
            Part::Foreign(value) => {
                self.losses.tell(foreign(value));
                None
            }
            Part::Thought(_) | Part::ToolCall(_) | Part::ToolResult(_) => None,
        }
    }

    fn media(&mut self, media: &'r Media<'_>) -> Option<Value<'r>> {
        self.losses.tell_if(media.cache.is_some(), Feature::CacheMark);
        match (media.kind, &media.source) {
            (MediaKind::Image, MediaSource::Url(_) | MediaSource::Base64(_)) => {
                let mut image = only("url", address(media)?);
                if let Some(detail) = &media.detail {
                    image.push("detail", detail.clone());
                }
                let mut written = only("type", "image_url");
                written.push("image_url", image);
                return Some(written.into());
            }
            // A text to read is a document that can be cited.
            (_, MediaSource::Text(text)) => {
                let mut data = Object::default();
                if let Some(name) = &media.name {
                    data.push("title", name.clone());
                }
                data.push("text", text.clone());
                self.documents.push(only("data", data).into());
            }
            (_, MediaSource::File(_)) => self.losses.tell(Feature::File),
            (MediaKind::Audio, _) => self.losses.tell(Feature::Audio),
            (MediaKind::Video, _) => self.losses.tell(Feature::Video),
            (MediaKind::Document, MediaSource::Url(_)) => self.losses.tell(Feature::DocumentUrl),
            (MediaKind::Document, MediaSource::Base64(_)) => self.losses.tell(Feature::Document),
        }
        None
    }

    fn result(&mut self, result: &'r ToolResult<'_>) -> Value<'r> {
        let mut message = only("role", "tool");
        message.push("tool_call_id", result.call.clone());
        self.losses.tell_if(result.cache.is_some(), Feature::CacheMark);
        self.losses.tell_if(result.is_error == Some(true), Feature::ToolResultError);
        let content = match &result.content {
            ResultContent::Value(Value::String(text)) => text.clone().into(),
            ResultContent::Value(value) => value.to_json().into(),
            ResultContent::Parts(parts) => {
                let is_media = |part: &Part<'_>| matches!(part, Part::Media(media) if !matches!(media.source, MediaSource::Text(_)));
                self.losses.tell_if(parts.iter().any(is_media), Feature::ToolResultMedia);
                let blocks: Vec<Value<'r>> = parts
                    .iter()
                    .filter(|part| !is_media(part))
                    .filter_map(|part| match part {
                        Part::Media(Media { source: MediaSource::Text(text), .. }) => {
                            Some(text_block(text.clone()))
                        }
                        part => self.block(part),
                    })
                    .collect();
                if blocks.is_empty() { "".into() } else { alone(blocks) }
            }
        };
        message.push("content", content);
        message.into()
    }

    /// Writes the functions; whether there are any. A certain one is asked for by giving it alone and requiring a call.
    fn tools(&mut self, body: &mut Object<'r>, request: &'r Request<'_>) -> bool {
        let mut choice = request.tool_choice.as_ref();
        let certain = match choice {
            Some(ToolChoice::Function(name)) if has_function(&request.tools, name) => Some(name),
            Some(ToolChoice::Function(_)) => {
                self.losses.tell(Feature::ToolChoice);
                choice = None;
                None
            }
            _ => None,
        };
        let mut stricts: Vec<Option<bool>> = Vec::new();
        let mut tools: Vec<Value<'r>> = Vec::new();
        for tool in &request.tools {
            match tool {
                Tool::Function(function) if certain.is_some_and(|name| *name != function.name) => {}
                Tool::Function(function) => {
                    self.losses.tell_if(function.cache.is_some(), Feature::CacheMark);
                    stricts.push(function.strict);
                    let mut inner = only("name", function.name.clone());
                    if let Some(description) = &function.description {
                        inner.push("description", description.clone());
                    }
                    let parameters = function.parameters.clone();
                    match parameters {
                        Some(parameters) => inner.push("parameters", parameters),
                        None if self.is_own() => {}
                        None => inner.push("parameters", no_parameters()),
                    }
                    write_rest(&mut inner, &function.rest, self.from, OWN, self.losses);
                    let mut written = only("type", "function");
                    written.push("function", inner);
                    tools.push(written.into());
                }
                Tool::Foreign(value) if self.is_own() => tools.push(value.clone()),
                Tool::Foreign(value) => self.losses.tell(chat::lost_tool(value)),
            }
        }
        let has_tools = !tools.is_empty();
        if has_tools {
            body.push("tools", tools);
        }
        // It is one for all of them.
        match stricts.first().copied().flatten() {
            Some(strict) if stricts.iter().all(|other| *other == Some(strict)) => {
                body.push("strict_tools", strict);
            }
            _ => self.losses.tell_if(stricts.contains(&Some(true)), Feature::ToolStrict),
        }
        let word = match choice {
            None | Some(ToolChoice::Auto) => None,
            Some(ToolChoice::None) => Some("NONE"),
            Some(ToolChoice::Required | ToolChoice::Function(_)) => Some("REQUIRED"),
            Some(ToolChoice::Foreign(value)) => {
                self.losses.tell(chat::lost_choice(value));
                None
            }
        };
        if let Some(word) = word.filter(|_| has_tools) {
            body.push("tool_choice", word);
        }
        self.losses
            .tell_if(has_tools && request.parallel_tool_calls == Some(false), Feature::ParallelToolCalls);
        has_tools
    }

    /// Writes what the answer must look like, which the provider does not take together with functions or documents.
    fn output(&mut self, body: &mut Object<'r>, request: &'r Request<'_>, has_tools: bool) {
        let mut written = only("type", "json_object");
        let feature = match &request.output {
            None => return,
            Some(Output::Text) if self.is_own() => {
                body.push("response_format", only("type", "text"));
                return;
            }
            Some(Output::Text) => return,
            Some(Output::Json) => Feature::Json,
            Some(Output::Schema { schema, .. }) => {
                written.push("json_schema", schema.clone());
                Feature::JsonSchema
            }
        };
        match !self.is_own() && (has_tools || body.get("documents").is_some()) {
            true => self.losses.tell(feature),
            false => body.push("response_format", written),
        }
    }

    fn thinking(&mut self, body: &mut Object<'r>, request: &'r Request<'_>) {
        let Some(thinking) = &request.thinking else { return };
        self.losses.tell_if(thinking.shown.is_some(), Feature::ThinkingShown);
        let by_word = || thinking.effort.as_ref().map(|effort| budget_of(&effort.text()));
        let mut written = Object::default();
        match thinking.budget.or_else(by_word) {
            Some(0) => written.push("type", "disabled"),
            budget => {
                written.push("type", "enabled");
                if let Some(budget) = budget {
                    written.push("token_budget", budget);
                }
            }
        }
        body.push("thinking", written);
    }

    fn sampling(&mut self, body: &mut Object<'r>, request: &'r Request<'_>) {
        let sampling = &request.sampling;
        for (name, number) in
            [("temperature", &sampling.temperature), ("k", &sampling.top_k), ("seed", &sampling.seed)]
        {
            if let Some(number) = number {
                body.push(name, Value::Number(number.clone()));
            }
        }
        for (name, number, bounds, feature) in [
            ("p", &sampling.top_p, P, Feature::TopP),
            ("presence_penalty", &sampling.presence_penalty, PENALTY, Feature::PresencePenalty),
            ("frequency_penalty", &sampling.frequency_penalty, PENALTY, Feature::FrequencyPenalty),
        ] {
            let Some(number) = number else { continue };
            body.push(name, Value::Number(self.within(number, bounds, feature)));
        }
        self.losses.tell_if(sampling.logit_bias.is_some(), Feature::LogitBias);
    }

    /// The number, or the bound that it goes beyond.
    fn within(
        &mut self,
        number: &Number<'r>,
        bounds: (&'static str, &'static str),
        lost: Feature,
    ) -> Number<'r> {
        let (least, most) = (Number::literal(bounds.0), Number::literal(bounds.1));
        let bound = match number.as_f64() {
            value if value < least.as_f64() => least,
            value if value > most.as_f64() => most,
            _ => return number.clone(),
        };
        if self.is_own() {
            return number.clone();
        }
        self.losses.tell(lost);
        bound
    }
}

impl<'r> Message<'r> {
    /// What is said before calls is the plan of them: the first text.
    fn write(self) -> Value<'r> {
        let mut written = only("role", self.role);
        let mut content = self.content;
        if !self.calls.is_empty() {
            let is_text = |block: &Value<'_>| block.get("type").is_some_and(|kind| kind.is("text"));
            if let Some(at) = content.iter().position(is_text)
                && let Value::Object(mut plan) = content.remove(at)
            {
                written.push("tool_plan", plan.take("text").unwrap_or(Value::Null));
            }
        }
        match content.is_empty() {
            true if !self.calls.is_empty() => {}
            true => written.push("content", ""),
            false => written.push("content", alone(content)),
        }
        if !self.calls.is_empty() {
            written.push("tool_calls", self.calls);
        }
        if !self.sources.is_empty() {
            written.push("citations", self.sources);
        }
        self.rest.into_iter().for_each(|(name, value)| written.push(name, value));
        written.into()
    }
}

pub(super) fn text_block(text: Str<'_>) -> Value<'_> {
    let mut block = only("type", "text");
    block.push("text", text);
    block.into()
}

pub(super) fn thinking_block(text: Str<'_>) -> Value<'_> {
    let mut block = only("type", "thinking");
    block.push("thinking", text);
    block.into()
}

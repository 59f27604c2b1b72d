//! Requests of the form, in the dialect: in OpenAI's words, in those of a provider that is compatible with it, or in
//! Mistral's.

use super::words::Words;
use crate::dialect::Dialect;
use crate::form::write::{
    address, alone, audio_format, carries_on, effort_of, foreign, has_function, is_prefilled, made_id,
    no_parameters, openai_tier, schema_of, short_id, tell_rest, write_rest,
};
use crate::form::{
    Arguments, Feature, Losses, Media, MediaKind, MediaSource, Output, Part, Request, ResultContent, Role,
    Thought, Tool, ToolCall, ToolChoice, ToolResult, Turn,
};
use crate::json::{Number, Object, Str, Value};
use crate::openai_responses::chat;
use crate::provider::Quirk;

/// Bytes that an id of a call may have.
const ID_BYTES_MAX: usize = 40;
/// The highest temperature that OpenAI takes.
const OPENAI_TEMPERATURE_MAX: &str = "2";
/// The highest temperature that Mistral takes.
const MISTRAL_TEMPERATURE_MAX: &str = "1.5";

/// Writes a request for `model`; what the dialect has no word for is told in `losses`.
pub fn write_request<'r>(request: &'r Request<'_>, model: &'r str, losses: &mut Losses) -> Object<'r> {
    write_request_for(request, model, Words::OPENAI, losses)
}

/// [`write_request`], in the words of a provider.
pub fn write_request_for<'r>(
    request: &'r Request<'_>,
    model: &'r str,
    words: Words<'_>,
    losses: &mut Losses,
) -> Object<'r> {
    let mut writer = Writer { words, from: request.from, losses };
    let mut body = Object::default();
    body.push("model", model);
    body.push("messages", writer.messages(request));
    writer.tools(&mut body, request);
    writer.output(&mut body, request.output.as_ref());
    writer.thinking(&mut body, request);
    writer.sampling(&mut body, request);
    if let Some(max) = request.max_output {
        let is_older = words.has(Quirk::MaxTokens);
        body.push(if is_older { "max_tokens" } else { "max_completion_tokens" }, max);
    }
    if !request.stop.is_empty() {
        let texts: Vec<Value<'_>> = request.stop.iter().map(|text| Value::String(text.clone())).collect();
        body.push("stop", texts);
    }
    writer.answers(&mut body, request);
    if request.stream {
        body.push("stream", true);
        if words.asks_for_usage() {
            body.push("stream_options", [("include_usage", true)].into_iter().collect::<Object<'_>>());
        }
    }
    writer.about(&mut body, request);
    write_rest(&mut body, &request.rest, request.from, words.dialect(), writer.losses);
    body
}

/// A message that is yet to be written, as another may carry it on.
struct Message<'r> {
    role: &'static str,
    name: Option<Str<'r>>,
    content: Vec<Value<'r>>,
    refusal: Option<Str<'r>>,
    /// What it thought, for those who want that back.
    thoughts: String,
    calls: Vec<Value<'r>>,
    rest: Object<'r>,
}

struct Writer<'l, 'q> {
    words: Words<'q>,
    from: Dialect,
    losses: &'l mut Losses,
}

impl Writer<'_, '_> {
    fn is_own(&self) -> bool {
        self.from == self.words.dialect()
    }

    /// Puts a member, or tells that it is lost.
    fn push<'r>(
        &mut self,
        body: &mut Object<'r>,
        name: &'static str,
        value: Option<Value<'r>>,
        lacks: Quirk,
        feature: Feature,
    ) {
        match value {
            Some(_) if self.words.has(lacks) => self.losses.tell(feature),
            Some(value) => body.push(name, value),
            None => {}
        }
    }

    fn messages<'r>(&mut self, request: &'r Request<'_>) -> Vec<Value<'r>> {
        let mut messages: Vec<Value<'r>> = Vec::with_capacity(request.turns.len());
        // What is said after results, until it is known whether it goes on.
        let mut last: Option<(&'r Turn<'_>, Message<'r>)> = None;
        // Pictures that functions gave back, until the last result of a run has been written: results must follow their
        // calls without anything between them.
        let mut given_back: Vec<Value<'r>> = Vec::new();
        for turn in &request.turns {
            let (results, others): (Vec<_>, Vec<_>) =
                turn.parts.iter().partition(|part| matches!(part, Part::ToolResult(_)));
            if let Some((before, message)) = &mut last
                && results.is_empty()
                && self.is_one(before, turn)
            {
                let more = self.message(turn, &others);
                message.carry_on(more);
                continue;
            }
            messages.extend(last.take().map(|(_, message)| self.finish(message)));
            if results.is_empty() {
                flush(&mut given_back, &mut messages);
            }
            for part in &results {
                if let Part::ToolResult(result) = part {
                    messages.push(self.result(result, &mut given_back));
                }
            }
            if others.is_empty() && (turn.role == Role::Tool || !results.is_empty()) {
                continue;
            }
            flush(&mut given_back, &mut messages);
            let message = self.message(turn, &others);
            // Nothing is left of it, and all of that has been told.
            if message.is_empty() && !others.is_empty() && !self.is_own() {
                continue;
            }
            last = Some((turn, message));
        }
        messages.extend(last.map(|(_, message)| self.finish(message)));
        flush(&mut given_back, &mut messages);
        match self.words.is_mistral() {
            true => as_mistral_wants(&mut messages),
            false => self.losses.tell_if(is_prefilled(request), Feature::Prefill),
        }
        messages
    }

    /// Whether two turns are one message.
    fn is_one(&self, before: &Turn<'_>, turn: &Turn<'_>) -> bool {
        let is_said = before.role == turn.role && matches!(turn.role, Role::User | Role::Assistant);
        (carries_on(turn, before) && !matches!(self.from, Dialect::OpenAiChat | Dialect::Mistral))
            || (is_said && self.words.has(Quirk::AlternatingRoles))
    }

    fn message<'r>(&mut self, turn: &'r Turn<'_>, parts: &[&'r Part<'_>]) -> Message<'r> {
        let mut message = Message {
            role: match turn.role {
                Role::System => "system",
                Role::Developer if self.words.has(Quirk::NoDeveloperRole) => "system",
                Role::Developer => "developer",
                Role::User | Role::Tool => "user",
                Role::Assistant => "assistant",
            },
            name: turn.name.clone().filter(|_| !self.words.is_mistral()),
            content: Vec::new(),
            refusal: None,
            thoughts: String::new(),
            calls: Vec::new(),
            rest: Object::default(),
        };
        self.losses.tell_if(turn.name.is_some() && self.words.is_mistral(), Feature::Name);
        for part in parts {
            match part {
                Part::ToolCall(call) => message.calls.push(self.call(call)),
                Part::Refusal(text) if turn.role == Role::Assistant && !self.words.is_mistral() => {
                    message.refusal = Some(text.clone());
                }
                Part::Thought(thought) => self.thought(thought, &mut message),
                part => message.content.extend(self.part(part)),
            }
        }
        match self.is_own() {
            true => {
                for (name, value) in turn.rest.iter() {
                    message.rest.push(name.clone(), value.clone());
                }
            }
            false => tell_rest(&turn.rest, self.from, self.words.dialect(), self.losses),
        }
        message
    }

    /// A thought goes back to those who want it: in a list of parts to Mistral, beside calls to DeepSeek and those after
    /// it. Elsewhere it is refused, and it was said for the reader's eyes only.
    fn thought<'r>(&mut self, thought: &'r Thought<'_>, message: &mut Message<'r>) {
        let is_readable = thought.is_readable(self.from, self.words.dialect());
        let has_signature = self.words.is_mistral() && is_readable;
        self.losses.tell_if(thought.signature.is_some() && !has_signature, Feature::ThinkingSignature);
        self.losses.tell_if(thought.sealed.is_some(), Feature::ThinkingSealed);
        if thought.text.is_empty() {
        } else if self.words.is_mistral() {
            message.content.push(mistral_thought(thought, has_signature));
        } else if self.words.has(Quirk::ReasoningContentBack) {
            message.thoughts.push_str(&thought.text.text());
        }
    }

    fn finish<'r>(&mut self, message: Message<'r>) -> Value<'r> {
        let mut written = Object::default();
        written.push("role", message.role);
        if let Some(name) = message.name {
            written.push("name", name);
        }
        let content = match message.content {
            content if content.is_empty() => match !message.calls.is_empty() || message.refusal.is_some() {
                true if self.words.is_mistral() => Vec::new().into(),
                true => Value::Null,
                false => "".into(),
            },
            content if self.words.has(Quirk::ContentMustBeText) => {
                let texts = content.iter().filter_map(|part| part.get("text").and_then(Value::as_text));
                let text = texts.collect::<Vec<_>>().join("\n");
                let is_text = |part: &Value<'_>| part.get("text").is_some();
                self.losses.tell_if(!content.iter().all(is_text), Feature::Image);
                text.into()
            }
            content => alone(content),
        };
        written.push("content", content);
        if let Some(refusal) = message.refusal {
            written.push("refusal", refusal);
        }
        if !message.thoughts.is_empty() && !message.calls.is_empty() {
            written.push("reasoning_content", message.thoughts);
        }
        if !message.calls.is_empty() {
            written.push("tool_calls", message.calls);
        }
        for (name, value) in message.rest {
            written.push(name, value);
        }
        written.into()
    }

    fn part<'r>(&mut self, part: &'r Part<'_>) -> Option<Value<'r>> {
        match part {
            Part::Text(text) => {
                self.losses.tell_if(text.citations.is_some(), Feature::Citations);
                self.losses.tell_if(text.signature.is_some(), Feature::ThinkingSignature);
                self.losses.tell_if(text.cache.is_some(), Feature::CacheMark);
                Some(text_part(text.text.clone()))
            }
            Part::Refusal(text) => Some(text_part(text.clone())),
            Part::Media(media) => self.media(media),
            Part::Foreign(value) if self.is_own() => Some(value.clone()),
            Part::Foreign(value) => {
                self.losses.tell(foreign(value));
                None
            }
            Part::Thought(_) | Part::ToolCall(_) | Part::ToolResult(_) => None,
        }
    }

    fn media<'r>(&mut self, media: &'r Media<'_>) -> Option<Value<'r>> {
        self.losses.tell_if(media.cache.is_some(), Feature::CacheMark);
        let is_mistral = self.words.is_mistral();
        let mut written = Object::default();
        let mut inner = Object::default();
        match (media.kind, &media.source) {
            (_, MediaSource::Text(text)) => return Some(text_part(text.clone())),
            (MediaKind::Image, MediaSource::Url(_) | MediaSource::Base64(_)) => {
                let url = address(media)?;
                written.push("type", "image_url");
                if is_mistral && media.detail.is_none() {
                    written.push("image_url", url);
                    return Some(written.into());
                }
                inner.push("url", url);
                if let Some(detail) = &media.detail {
                    inner.push("detail", detail.clone());
                }
                written.push("image_url", inner);
            }
            (MediaKind::Audio, MediaSource::Base64(audio) | MediaSource::Url(audio)) if is_mistral => {
                written.push("type", "input_audio");
                written.push("input_audio", audio.clone());
            }
            (MediaKind::Audio, MediaSource::Base64(data)) => {
                inner.push("data", data.clone());
                inner.push("format", audio_format(media));
                written.push("type", "input_audio");
                written.push("input_audio", inner);
            }
            (MediaKind::Document, MediaSource::Base64(_) | MediaSource::Url(_)) if is_mistral => {
                written.push("type", "document_url");
                written.push("document_url", address(media)?);
                if let Some(name) = &media.name {
                    written.push("document_name", name.clone());
                }
            }
            (MediaKind::Document, MediaSource::Base64(_)) => {
                let name = media.name.clone().unwrap_or_else(|| "document.pdf".into());
                inner.push("filename", name);
                inner.push("file_data", address(media)?);
                written.push("type", "file");
                written.push("file", inner);
            }
            // OpenAI's files are the same for its two dialects.
            (_, MediaSource::File(id))
                if self.is_own() || (!is_mistral && self.from == Dialect::OpenAiResponses) =>
            {
                written.push("type", "file");
                if is_mistral {
                    written.push("file_id", id.clone());
                } else {
                    inner.push("file_id", id.clone());
                    written.push("file", inner);
                }
            }
            (_, MediaSource::File(_)) => self.losses.tell(Feature::File),
            (MediaKind::Document, MediaSource::Url(_)) => self.losses.tell(Feature::DocumentUrl),
            (MediaKind::Audio, MediaSource::Url(_)) => self.losses.tell(Feature::Audio),
            (MediaKind::Video, _) => self.losses.tell(Feature::Video),
        }
        (!written.is_empty()).then(|| written.into())
    }

    fn id<'r>(&self, id: &Str<'r>) -> Str<'r> {
        match self.words.has(Quirk::ToolIdsNineAlphanumerics) {
            true => nine_alphanumerics(id),
            false if self.is_own() => id.clone(),
            false => short_id(id, ID_BYTES_MAX),
        }
    }

    fn call<'r>(&mut self, call: &'r ToolCall<'_>) -> Value<'r> {
        self.losses.tell_if(call.signature.is_some(), Feature::ThinkingSignature);
        self.losses.tell_if(call.cache.is_some(), Feature::CacheMark);
        let is_custom = matches!(call.arguments, Arguments::Free(_));
        self.losses.tell_if(is_custom && self.words.is_mistral(), Feature::CustomTools);
        let mut written = write_call(call, self.words.dialect());
        if let Some(id) = &call.id {
            *written.get_mut("id").unwrap_or(&mut Value::Null) = self.id(id).into();
        }
        match self.is_own() {
            true => call.rest.iter().for_each(|(name, value)| written.push(name.clone(), value.clone())),
            false => tell_rest(&call.rest, self.from, self.words.dialect(), self.losses),
        }
        written.into()
    }

    fn result<'r>(&mut self, result: &'r ToolResult<'_>, given_back: &mut Vec<Value<'r>>) -> Value<'r> {
        let mut message = Object::default();
        message.push("role", "tool");
        message.push("tool_call_id", self.id(&result.call));
        if let Some(name) = &result.name
            && (self.is_own() || self.words.is_mistral())
        {
            message.push("name", name.clone());
        }
        self.losses.tell_if(result.cache.is_some(), Feature::CacheMark);
        self.losses.tell_if(result.is_error == Some(true), Feature::ToolResultError);
        match &result.content {
            ResultContent::Value(Value::String(text)) => message.push("content", text.clone()),
            ResultContent::Value(value) => message.push("content", value.to_json()),
            ResultContent::Parts(parts) => {
                let is_within = |part: &Part<'_>| self.words.is_mistral() || !matches!(part, Part::Media(_));
                let (within, beside): (Vec<_>, Vec<_>) = parts.iter().partition(|part| is_within(part));
                let within: Vec<Value<'r>> = within.into_iter().filter_map(|part| self.part(part)).collect();
                let beside: Vec<Value<'r>> = beside.into_iter().filter_map(|part| self.part(part)).collect();
                if !beside.is_empty() {
                    given_back.push(text_part(format!("What {} gave back:", result.call.text()).into()));
                    given_back.extend(beside);
                }
                match within.is_empty() {
                    true => message.push("content", ""),
                    false => message.push("content", alone(within)),
                }
            }
        }
        message.into()
    }

    fn tools<'r>(&mut self, body: &mut Object<'r>, request: &'r Request<'_>) {
        if self.words.has(Quirk::NoTools) {
            self.losses.tell_if(!request.tools.is_empty(), Feature::Tools);
            return;
        }
        let tools: Vec<Value<'_>> = request.tools.iter().filter_map(|tool| self.tool(tool)).collect();
        if tools.is_empty() {
            return; // a choice without tools is refused
        }
        body.push("tools", tools);
        if let Some(choice) = request.tool_choice.as_ref().and_then(|choice| self.choice(choice, request)) {
            body.push("tool_choice", choice);
        }
        let parallel = request.parallel_tool_calls.map(Value::from);
        let lacks = Quirk::NoParallelToolCalls;
        self.push(body, "parallel_tool_calls", parallel, lacks, Feature::ParallelToolCalls);
    }

    fn tool<'r>(&mut self, tool: &'r Tool<'_>) -> Option<Value<'r>> {
        let function = match tool {
            Tool::Function(function) => function,
            Tool::Foreign(value) if self.is_own() => return Some(value.clone()),
            Tool::Foreign(value) => {
                let is_openai = !self.words.is_mistral() && self.from == Dialect::OpenAiResponses;
                let custom = chat::custom_tool_to_chat(value).filter(|_| is_openai);
                if custom.is_none() {
                    self.losses.tell(chat::lost_tool(value));
                }
                return custom;
            }
        };
        self.losses.tell_if(function.cache.is_some(), Feature::CacheMark);
        let mut inner = Object::default();
        inner.push("name", function.name.clone());
        if let Some(description) = &function.description {
            inner.push("description", description.clone());
        }
        match &function.parameters {
            Some(parameters) => inner.push("parameters", parameters.clone()),
            None if self.words.is_mistral() => inner.push("parameters", no_parameters()),
            None => {}
        }
        let strict = function.strict.map(Value::from);
        self.push(&mut inner, "strict", strict, Quirk::NoStrictTools, Feature::ToolStrict);
        write_rest(&mut inner, &function.rest, self.from, self.words.dialect(), self.losses);
        let mut written = Object::default();
        written.push("type", "function");
        written.push("function", inner);
        Some(written.into())
    }

    fn choice<'r>(&mut self, choice: &'r ToolChoice<'_>, request: &'r Request<'_>) -> Option<Value<'r>> {
        let forces = !matches!(choice, ToolChoice::Auto | ToolChoice::None);
        if forces && self.words.has(Quirk::ToolChoiceAutoOnly) {
            self.losses.tell(Feature::ToolChoice);
            return None;
        }
        Some(match choice {
            ToolChoice::Auto => "auto".into(),
            ToolChoice::None => "none".into(),
            ToolChoice::Required if self.words.is_mistral() => "any".into(),
            ToolChoice::Required => "required".into(),
            ToolChoice::Function(name) if has_function(&request.tools, name) => {
                let inner: Object<'_> = [("name", name.clone())].into_iter().collect();
                let mut written = Object::default();
                written.push("type", "function");
                written.push("function", inner);
                written.into()
            }
            // The tool that it names is not among those that are left.
            ToolChoice::Function(_) => {
                self.losses.tell(Feature::ToolChoice);
                return None;
            }
            ToolChoice::Foreign(value) if self.is_own() => value.clone(),
            ToolChoice::Foreign(value) => {
                let is_openai = !self.words.is_mistral() && self.from == Dialect::OpenAiResponses;
                let written = chat::choice_to_chat(value).filter(|_| is_openai);
                if written.is_none() {
                    self.losses.tell(chat::lost_choice(value));
                }
                return written;
            }
        })
    }

    fn output<'r>(&mut self, body: &mut Object<'r>, output: Option<&'r Output<'_>>) {
        let mut written = Object::default();
        match output {
            None | Some(Output::Text) => return,
            Some(Output::Schema { .. }) if self.words.has(Quirk::JsonObjectOnly) => {
                self.losses.tell(Feature::JsonSchema);
                written.push("type", "json_object");
            }
            Some(Output::Json) => written.push("type", "json_object"),
            Some(output) => {
                written.push("type", "json_schema");
                written.push("json_schema", schema_of(output).unwrap_or_default());
            }
        }
        body.push("response_format", written);
    }

    fn thinking<'r>(&mut self, body: &mut Object<'r>, request: &'r Request<'_>) {
        let Some(thinking) = &request.thinking else { return };
        match (&thinking.effort, thinking.budget) {
            (Some(effort), _) => body.push("reasoning_effort", effort.clone()),
            (None, Some(budget)) => body.push("reasoning_effort", effort_of(budget)),
            (None, None) => {}
        }
        self.losses.tell_if(thinking.shown.is_some(), Feature::ThinkingShown);
    }

    fn sampling<'r>(&mut self, body: &mut Object<'r>, request: &'r Request<'_>) {
        let sampling = &request.sampling;
        let number = |number: &Option<Number<'r>>| number.clone().map(Value::Number);
        let highest = match self.words {
            words if words.has(Quirk::TemperatureMaxOne) => "1",
            words if words.is_mistral() => MISTRAL_TEMPERATURE_MAX,
            _ => OPENAI_TEMPERATURE_MAX,
        };
        if let Some(temperature) = &sampling.temperature {
            let is_lost = temperature.as_f64() > Number::literal(highest).as_f64() && !self.is_own();
            self.losses.tell_if(is_lost, Feature::Temperature);
            match is_lost {
                true => body.push("temperature", Value::Number(Number::literal(highest))),
                false => body.push("temperature", Value::Number(temperature.clone())),
            }
        }
        // At temperature 0 there is nothing to choose from, and Mistral refuses to be told how.
        let is_greedy = |number: &Number<'_>| self.words.is_mistral() && number.as_f64() == 0.0;
        if let Some(top_p) = &sampling.top_p
            && (self.is_own() || !sampling.temperature.as_ref().is_some_and(is_greedy))
        {
            body.push("top_p", Value::Number(top_p.clone()));
        }
        match &sampling.top_k {
            Some(top_k) if self.words.is_mistral() => body.push("top_k", Value::Number(top_k.clone())),
            top_k => self.losses.tell_if(top_k.is_some(), Feature::TopK),
        }
        let seed = if self.words.has(Quirk::RandomSeed) { "random_seed" } else { "seed" };
        self.push(body, seed, number(&sampling.seed), Quirk::NoSeed, Feature::Seed);
        let (presence, frequency) = (number(&sampling.presence_penalty), number(&sampling.frequency_penalty));
        self.push(body, "presence_penalty", presence, Quirk::NoPenalties, Feature::PresencePenalty);
        self.push(body, "frequency_penalty", frequency, Quirk::NoPenalties, Feature::FrequencyPenalty);
        let bias = sampling.logit_bias.clone();
        self.push(body, "logit_bias", bias, Quirk::NoLogitBias, Feature::LogitBias);
    }

    fn answers<'r>(&mut self, body: &mut Object<'r>, request: &'r Request<'_>) {
        match request.answers {
            Some(0..=1) if self.words.has(Quirk::NoN) => {}
            answers => self.push(body, "n", answers.map(Value::from), Quirk::NoN, Feature::Answers),
        }
        let Some(beside) = request.logprobs else { return };
        if self.words.has(Quirk::NoLogprobs) {
            return self.losses.tell(Feature::Logprobs);
        }
        body.push("logprobs", true);
        if beside > 0 {
            body.push("top_logprobs", beside);
        }
    }

    /// Who asks, how urgently, and what is noted of it.
    fn about<'r>(&mut self, body: &mut Object<'r>, request: &'r Request<'_>) {
        let is_mistral = self.words.is_mistral();
        for (name, text, feature) in
            [("user", &request.user, Feature::User), ("verbosity", &request.verbosity, Feature::Verbosity)]
        {
            match text {
                Some(_) if is_mistral => self.losses.tell(feature),
                Some(text) => body.push(name, text.clone()),
                None => {}
            }
        }
        if let Some(key) = &request.cache_key {
            body.push("prompt_cache_key", key.clone());
        }
        match &request.service_tier {
            Some(tier) if is_mistral => match tier.text().as_ref() {
                "auto" => body.push("service_tier", "auto"),
                "default" | "standard_only" => body.push("service_tier", "standard_only"),
                _ => self.losses.tell(Feature::ServiceTier),
            },
            Some(tier) => body.push("service_tier", openai_tier(tier)),
            None => {}
        }
        if let Some(metadata) = &request.metadata {
            body.push("metadata", metadata.clone());
        }
    }
}

impl<'r> Message<'r> {
    fn is_empty(&self) -> bool {
        self.content.is_empty() && self.calls.is_empty() && self.refusal.is_none()
    }

    fn carry_on(&mut self, more: Message<'r>) {
        self.content.extend(more.content);
        self.refusal = more.refusal.or(self.refusal.take());
        self.thoughts.push_str(&more.thoughts);
        self.calls.extend(more.calls);
        for (name, value) in more.rest {
            if self.rest.get(&name.text()).is_none() {
                self.rest.push(name, value);
            }
        }
    }
}

/// What functions gave back beside text goes into a turn of the user.
fn flush<'r>(given_back: &mut Vec<Value<'r>>, messages: &mut Vec<Value<'r>>) {
    if !given_back.is_empty() {
        messages.push(said("user", std::mem::take(given_back).into()).into());
    }
}

fn said<'r>(role: &'static str, content: Value<'r>) -> Object<'r> {
    [("role", Value::from(role)), ("content", content)].into_iter().collect()
}

/// Mistral refuses a turn of the user right behind a result, and an answer that has been begun where it is not told that it
/// is one.
fn as_mistral_wants(messages: &mut Vec<Value<'_>>) {
    let role = |message: &Value<'_>, name: &str| message.get("role").is_some_and(|role| role.is(name));
    let mut at = 1;
    while at < messages.len() {
        if role(&messages[at], "user") && role(&messages[at - 1], "tool") {
            messages.insert(at, said("assistant", "OK.".into()).into());
        }
        at += 1;
    }
    if let Some(Value::Object(last)) = messages.last_mut()
        && last.get("role").is_some_and(|role| role.is("assistant"))
        && last.get("tool_calls").is_none()
        && last.get("prefix").and_then(Value::as_bool) != Some(true)
    {
        last.take("prefix");
        last.push("prefix", true);
    }
}

fn text_part(text: Str<'_>) -> Value<'_> {
    [("type", Value::from("text")), ("text", text.into())].into_iter().collect::<Object<'_>>().into()
}

/// A thought as Mistral has it: a list of parts within one.
pub(crate) fn mistral_thought<'r>(thought: &'r Thought<'_>, has_signature: bool) -> Value<'r> {
    let mut written = Object::default();
    written.push("type", "thinking");
    written.push("thinking", vec![text_part(thought.text.clone())]);
    if let Some(signature) = thought.signature.as_ref().filter(|_| has_signature) {
        written.push("signature", signature.clone());
    }
    written.into()
}

/// A call, of a request or of an answer.
pub(crate) fn write_call<'r>(call: &'r ToolCall<'_>, to: Dialect) -> Object<'r> {
    let mut written = Object::default();
    if let Some(id) = &call.id {
        written.push("id", id.clone());
    }
    let mut inner = Object::default();
    inner.push("name", call.name.clone());
    match &call.arguments {
        Arguments::Free(text) if to == Dialect::OpenAiChat => {
            inner.push("input", text.clone());
            written.push("type", "custom");
            written.push("custom", inner);
            return written;
        }
        // Who knows no free text gets it as an object, as Messages does.
        Arguments::Free(text) => {
            let object: Object<'_> = [("arguments", text.clone())].into_iter().collect();
            inner.push("arguments", Value::from(object).to_json());
        }
        Arguments::Text(text) if !text.text().trim().is_empty() => inner.push("arguments", text.clone()),
        arguments => inner.push("arguments", arguments.to_text()),
    }
    written.push("type", "function");
    written.push("function", inner);
    written
}

/// An id of nine letters and digits, always the same for the same id: such a one stays as it is.
fn nine_alphanumerics<'r>(id: &Str<'r>) -> Str<'r> {
    const LEN: usize = 9;
    let text = id.text();
    if text.len() == LEN && text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return id.clone();
    }
    made_id(&text, LEN).into()
}

//! Requests of the form, in the dialect.
//!
//! Google wants the results of all calls of a turn in the turn behind it, as many as there were calls and in their order,
//! and instructions apart from the conversation. The writer sees to that, unless the request came in this dialect.

use super::request::MADE_ID;
use super::schema::{clean, takes_nothing};
use crate::dialect::Dialect;
use crate::form::shape::{Answered, Round, arguments_object, merge, rounds};
use crate::form::write::{foreign, has_function, tell_rest, write_rest};
use crate::form::{
    Arguments, CacheMark, Feature, Function, Losses, Media, MediaKind, MediaSource, Output, Part, Request,
    ResultContent, Role, Text, Thinking, Thought, Tool, ToolCall, ToolChoice, ToolResult, Turn,
};
use crate::json::{Object, Str, Value};

/// Texts that end the answer that a request may have.
pub const STOPS_MAX: usize = 5;

/// What stands for the signature of a call that another model made
/// (<https://ai.google.dev/gemini-api/docs/thought-signatures>).
const NO_SIGNATURE: &str = "skip_thought_signature_validator";

/// Writes a request for `model`, which itself stands in the path; what the dialect has no word for is told in `losses`.
pub fn write_request<'r>(request: &'r Request<'_>, model: &'r str, losses: &mut Losses) -> Object<'r> {
    let is_own = request.from == Dialect::Gemini;
    let mut writer = Writer { from: request.from, is_own, generation: generation(model), losses };
    let mut body = Object::default();
    let leading = if is_own { 1 } else { usize::MAX };
    let is_instruction = |turn: &&Turn<'_>| matches!(turn.role, Role::System | Role::Developer);
    let instructions = request.turns.iter().take(leading).take_while(is_instruction).count();
    let (system, turns) = request.turns.split_at(instructions);
    if !system.is_empty() {
        body.push("systemInstruction", writer.instructions(system));
    }
    body.push("contents", if is_own { writer.turns(turns) } else { writer.rounds(turns) });
    let tools = writer.tools(&request.tools);
    if !tools.is_empty() {
        body.push("tools", tools);
        if let Some(choice) = writer.tool_choice(request) {
            let config = [("functionCallingConfig", Value::from(choice))];
            body.push("toolConfig", config.into_iter().collect::<Object<'_>>());
        }
    }
    let config = writer.config(request, model);
    if !config.is_empty() {
        body.push("generationConfig", config);
    }
    if let Some(tier) = writer.service_tier(request) {
        body.push("serviceTier", tier);
    }
    writer.lost(request);
    match is_own {
        true => merge(&mut body, &request.rest),
        false => write_rest(&mut body, &request.rest, request.from, Dialect::Gemini, writer.losses),
    }
    body
}

/// The generation of a Gemini model by its name: 3 of `gemini-3.1-pro`; none of what has no number. What is called the
/// latest is no older than the third.
fn generation(model: &str) -> Option<u32> {
    let rest = &model[model.find("gemini-")? + "gemini-".len()..];
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    rest[..digits].parse().ok().or_else(|| rest.ends_with("latest").then_some(3))
}

struct Writer<'l> {
    from: Dialect,
    /// Whether the request came in this dialect: then it keeps its shape.
    is_own: bool,
    generation: Option<u32>,
    losses: &'l mut Losses,
}

impl Writer<'_> {
    /// Whether the model is of the third generation or later: those take pictures within results, know levels of thinking
    /// and want each call signed.
    fn is_third(&self) -> bool {
        self.generation.is_some_and(|generation| generation >= 3)
    }

    fn instructions<'r>(&mut self, turns: &'r [Turn<'_>]) -> Object<'r> {
        let mut parts = Vec::new();
        for turn in turns {
            self.tell_turn(turn);
            parts.extend(turn.parts.iter().filter_map(|part| self.part(part)));
        }
        let mut content: Object<'_> = [("parts", Value::from(parts))].into_iter().collect();
        if let [only] = turns
            && self.is_own
        {
            restore(&mut content, &only.rest);
        }
        content
    }

    /// The turns as they came.
    fn turns<'r>(&mut self, turns: &'r [Turn<'_>]) -> Vec<Value<'r>> {
        let turn = |turn: &'r Turn<'_>| {
            let parts: Vec<Value<'_>> = turn.parts.iter().filter_map(|part| self.part(part)).collect();
            let mut content = Object::default();
            content.push(
                "role",
                match turn.role {
                    Role::Assistant => "model",
                    Role::System | Role::Developer => "system",
                    Role::User | Role::Tool => "user",
                },
            );
            content.push("parts", parts);
            restore(&mut content, &turn.rest);
            content.into()
        };
        turns.iter().map(turn).collect()
    }

    fn rounds<'r>(&mut self, turns: &'r [Turn<'_>]) -> Vec<Value<'r>> {
        turns.iter().for_each(|turn| self.tell_turn(turn));
        let mut contents = Vec::new();
        for round in rounds(turns) {
            let parts = if round.is_assistant { self.spoken(&round) } else { self.asked(&round) };
            if parts.is_empty() {
                continue;
            }
            if contents.is_empty() && round.is_assistant {
                contents.push(content("user", vec![text_part(".".into())]));
            }
            contents.push(content(if round.is_assistant { "model" } else { "user" }, parts));
        }
        contents
    }

    fn tell_turn(&mut self, turn: &Turn<'_>) {
        if !self.is_own {
            self.losses.tell_if(turn.name.is_some(), Feature::Name);
            tell_rest(&turn.rest, self.from, Dialect::Gemini, self.losses);
        }
    }

    /// What the model says. The first call must be signed.
    fn spoken<'r>(&mut self, round: &Round<'r, '_>) -> Vec<Value<'r>> {
        let mut parts: Vec<Value<'r>> = round.said.iter().filter_map(|(_, part)| self.part(part)).collect();
        let call = parts.iter_mut().find_map(|part| match part {
            Value::Object(part) if part.get("functionCall").is_some() => Some(part),
            _ => None,
        });
        if let Some(call) = call
            && self.is_third()
            && call.get("thoughtSignature").is_none()
        {
            call.push("thoughtSignature", NO_SIGNATURE);
            self.losses.tell(Feature::ThinkingSignature);
        }
        parts
    }

    /// What the model is told: results first, then what they show, then the rest.
    fn asked<'r>(&mut self, round: &Round<'r, '_>) -> Vec<Value<'r>> {
        let mut parts = Vec::new();
        let mut shown = Vec::new();
        for Answered { call, result } in &round.answered {
            let mut written = Object::default();
            if let Some(id) = call.id.as_ref().filter(|id| !id.text().starts_with(MADE_ID)) {
                written.push("id", id.clone());
            }
            written.push("name", call.name.clone());
            match result {
                Some(result) => self.result(result, &mut written, &mut shown),
                None => {
                    self.losses.tell(Feature::ParallelCalls);
                    let members = [("error", Value::from("There is no result."))];
                    written.push("response", members.into_iter().collect::<Object<'_>>());
                }
            }
            parts.push(wrapped("functionResponse", written));
        }
        // A result without its call is refused as one.
        for stray in &round.strays {
            self.losses.tell(Feature::ParallelCalls);
            self.losses.tell_if(stray.cache.is_some(), Feature::CacheMark);
            shown.push(text_part(format!("What {} gave back:", stray.call.text()).into()));
            match &stray.content {
                ResultContent::Parts(given) => shown.extend(given.iter().filter_map(|part| self.part(part))),
                ResultContent::Value(value) => shown.push(text_part(value.to_json().into())),
            }
        }
        parts.append(&mut shown);
        for (role, part) in &round.said {
            match (role, part) {
                // To hoist it would change what the model has read before; the user's turn is the place that is left.
                (Role::System | Role::Developer, Part::Text(text)) if !text.text.is_empty() => {
                    self.losses.tell(Feature::SystemWithin);
                    self.mark(text.cache);
                    parts.push(text_part(format!("<system>{}</system>", text.text.text()).into()));
                }
                (_, part) => parts.extend(self.part(part)),
            }
        }
        parts
    }

    fn mark(&mut self, mark: Option<CacheMark>) {
        self.losses.tell_if(mark.is_some(), Feature::CacheMark);
    }

    fn part<'r>(&mut self, part: &'r Part<'_>) -> Option<Value<'r>> {
        match part {
            Part::Text(text) => self.text(text),
            Part::Refusal(text) if text.is_empty() => None,
            Part::Refusal(text) => Some(text_part(text.clone())),
            Part::Thought(thought) => self.thought(thought),
            Part::Media(media) => self.media(media),
            Part::ToolCall(call) => {
                self.mark(call.cache);
                self.losses.tell_if(matches!(call.arguments, Arguments::Free(_)), Feature::CustomTools);
                tell_rest(&call.rest, self.from, Dialect::Gemini, self.losses);
                Some(call_part(call, self.is_own).into())
            }
            Part::ToolResult(result) => {
                let mut written = Object::default();
                if !result.call.text().starts_with(MADE_ID) {
                    written.push("id", result.call.clone());
                }
                written.push("name", result.name.clone().unwrap_or_else(|| result.call.clone()));
                let mut shown = Vec::new();
                self.result(result, &mut written, &mut shown);
                Some(wrapped("functionResponse", written))
            }
            Part::Foreign(value) if self.is_own => Some(value.clone()),
            Part::Foreign(value) => {
                self.losses.tell(foreign(value));
                None
            }
        }
    }

    fn text<'r>(&mut self, text: &'r Text<'_>) -> Option<Value<'r>> {
        self.mark(text.cache);
        if !self.is_own {
            self.losses.tell_if(text.citations.is_some(), Feature::Citations);
            if text.text.is_empty() && text.signature.is_none() {
                return None;
            }
        }
        let mut part: Object<'_> = [("text", Value::from(text.text.clone()))].into_iter().collect();
        if let Some(signature) = &text.signature {
            part.push("thoughtSignature", signature.clone());
        }
        Some(part.into())
    }

    fn thought<'r>(&mut self, thought: &'r Thought<'_>) -> Option<Value<'r>> {
        if !thought.is_readable(self.from, Dialect::Gemini) {
            self.losses.tell_if(thought.signature.is_some(), Feature::ThinkingSignature);
            self.losses.tell_if(thought.sealed.is_some(), Feature::ThinkingSealed);
            return None; // it was said for the reader's eyes only
        }
        Some(thought_part(thought, true).into())
    }

    fn media<'r>(&mut self, media: &'r Media<'_>) -> Option<Value<'r>> {
        self.mark(media.cache);
        self.losses.tell_if(media.detail.is_some(), Feature::ImageDetail);
        if let MediaSource::File(_) = media.source
            && !self.is_own
        {
            self.losses.tell(Feature::File);
            return None;
        }
        Some(media_part(media, self.is_own))
    }

    /// Writes what a function gave back; what has no place in the result of an older model goes to `shown`.
    fn result<'r>(
        &mut self,
        result: &'r ToolResult<'_>,
        written: &mut Object<'r>,
        shown: &mut Vec<Value<'r>>,
    ) {
        self.mark(result.cache);
        let member = if result.is_error == Some(true) { "error" } else { "output" };
        let under = |value: Value<'r>| [(member, value)].into_iter().collect::<Object<'_>>();
        let mut media = Vec::new();
        let response = match &result.content {
            ResultContent::Value(value) if !self.is_own && refers(value) => under(value.to_json().into()),
            ResultContent::Value(Value::Object(object)) if member == "output" => object.clone(),
            ResultContent::Value(value) => under(value.clone()),
            ResultContent::Parts(parts) => {
                let mut texts: Vec<&Str<'_>> = Vec::new();
                for part in parts {
                    match part {
                        Part::Text(text) => {
                            self.mark(text.cache);
                            texts.push(&text.text);
                        }
                        Part::Refusal(text) => texts.push(text),
                        part => media.extend(self.part(part)),
                    }
                }
                match texts.as_slice() {
                    [only] => under((*only).clone().into()),
                    texts => under(texts.iter().map(|text| text.text()).collect::<String>().into()),
                }
            }
        };
        written.push("response", response);
        if media.is_empty() {
            return;
        }
        if self.is_own || self.is_third() {
            written.push("parts", media);
        } else {
            let name = written.get("name").and_then(Value::as_text).unwrap_or_default();
            shown.push(text_part(format!("What {name} gave back:").into()));
            shown.append(&mut media);
        }
    }

    fn tools<'r>(&mut self, tools: &'r [Tool<'_>]) -> Vec<Value<'r>> {
        let mut written: Vec<Value<'r>> = Vec::new();
        let mut functions: Vec<Value<'r>> = Vec::new();
        let flush = |functions: &mut Vec<Value<'r>>, written: &mut Vec<Value<'r>>| {
            if !functions.is_empty() {
                let members = [("functionDeclarations", Value::from(std::mem::take(functions)))];
                written.push(members.into_iter().collect::<Object<'_>>().into());
            }
        };
        for tool in tools {
            match tool {
                Tool::Function(function) => functions.push(self.function(function)),
                Tool::Foreign(value) if self.is_own => {
                    flush(&mut functions, &mut written);
                    written.push(value.clone());
                }
                Tool::Foreign(_) => self.losses.tell(Feature::ServerTools),
            }
        }
        flush(&mut functions, &mut written);
        written
    }

    fn function<'r>(&mut self, function: &'r Function<'_>) -> Value<'r> {
        self.mark(function.cache);
        self.losses.tell_if(function.strict == Some(true), Feature::ToolStrict);
        let mut written = Object::default();
        written.push("name", function.name.clone());
        if let Some(description) = &function.description {
            written.push("description", description.clone());
        }
        match &function.parameters {
            Some(schema) if self.is_own => written.push("parametersJsonSchema", schema.clone()),
            Some(schema) if !takes_nothing(schema) => {
                let (mut schema, is_lost) = clean(schema);
                self.losses.tell_if(is_lost, Feature::ToolStrict);
                if let Value::Object(schema) = &mut schema
                    && schema.get("type").is_none()
                    && schema.get("properties").is_some()
                {
                    schema.push("type", "object");
                }
                written.push("parametersJsonSchema", schema);
            }
            Some(_) | None => {}
        }
        write_rest(&mut written, &function.rest, self.from, Dialect::Gemini, self.losses);
        written.into()
    }

    fn tool_choice<'r>(&mut self, request: &'r Request<'_>) -> Option<Object<'r>> {
        let parallel = request.parallel_tool_calls == Some(false);
        self.losses.tell_if(parallel, Feature::ParallelToolCalls);
        let is_there = |name: &Str<'_>| has_function(&request.tools, name);
        let (mode, names) = match request.tool_choice.as_ref()? {
            ToolChoice::Auto => ("AUTO", Vec::new()),
            ToolChoice::None => ("NONE", Vec::new()),
            ToolChoice::Required => ("ANY", Vec::new()),
            ToolChoice::Function(name) if self.is_own || is_there(name) => ("ANY", vec![name.clone()]),
            ToolChoice::Function(_) => {
                self.losses.tell(Feature::ToolChoice);
                return None;
            }
            ToolChoice::Foreign(Value::Object(whole)) if self.is_own => return Some(whole.clone()),
            ToolChoice::Foreign(choice) => match allowed(choice) {
                Some((mode, mut names)) if names.iter().any(is_there) => {
                    names.retain(is_there);
                    (mode, names)
                }
                _ => {
                    self.losses.tell(Feature::AllowedTools);
                    return None;
                }
            },
        };
        let mut written: Object<'_> = [("mode", mode)].into_iter().collect();
        if !names.is_empty() {
            written.push("allowedFunctionNames", names.into_iter().map(Value::String).collect::<Vec<_>>());
        }
        Some(written)
    }

    fn config<'r>(&mut self, request: &'r Request<'_>, model: &str) -> Object<'r> {
        let mut config = Object::default();
        let sampling = &request.sampling;
        for (name, number) in [
            ("temperature", &sampling.temperature),
            ("topP", &sampling.top_p),
            ("topK", &sampling.top_k),
            ("seed", &sampling.seed),
            ("presencePenalty", &sampling.presence_penalty),
            ("frequencyPenalty", &sampling.frequency_penalty),
        ] {
            if let Some(number) = number {
                config.push(name, Value::Number(number.clone()));
            }
        }
        for (name, number) in [("maxOutputTokens", request.max_output), ("candidateCount", request.answers)] {
            if let Some(number) = number {
                config.push(name, number);
            }
        }
        if !request.stop.is_empty() {
            let most = if self.is_own { usize::MAX } else { STOPS_MAX };
            self.losses.tell_if(request.stop.len() > most, Feature::Stop);
            let texts = request.stop.iter().take(most).map(|text| Value::from(text.clone()));
            config.push("stopSequences", texts.collect::<Vec<_>>());
        }
        if let Some(beside) = request.logprobs {
            config.push("responseLogprobs", true);
            if beside > 0 {
                config.push("logprobs", beside);
            }
        }
        match &request.output {
            None => {}
            Some(Output::Text) if self.is_own => config.push("responseMimeType", "text/plain"),
            Some(Output::Text) => {}
            Some(Output::Json) => config.push("responseMimeType", "application/json"),
            Some(Output::Schema { schema, .. }) => {
                config.push("responseMimeType", "application/json");
                let (cleaned, is_lost) = if self.is_own { (schema.clone(), false) } else { clean(schema) };
                self.losses.tell_if(is_lost, Feature::JsonSchema);
                config.push("responseJsonSchema", cleaned);
            }
        }
        if let Some(thinking) = &request.thinking {
            let thinking = self.thinking(thinking, model);
            if !thinking.is_empty() {
                config.push("thinkingConfig", thinking);
            }
        }
        config
    }

    fn thinking<'r>(&mut self, thinking: &'r Thinking<'_>, model: &str) -> Object<'r> {
        let mut config = Object::default();
        if self.is_own {
            if let Some(effort) = &thinking.effort {
                config.push("thinkingLevel", effort.text().to_ascii_uppercase());
            }
            if let Some(budget) = thinking.budget {
                config.push("thinkingBudget", budget);
            }
        } else if self.is_third() {
            let word = match (&thinking.effort, thinking.budget) {
                (Some(effort), _) => Some(effort.text().into_owned()),
                (None, Some(0)) => Some("none".to_owned()),
                (None, _) => None,
            };
            match (word, thinking.budget) {
                (Some(word), _) => {
                    let level = level_of(&word, model);
                    self.losses.tell_if(level != word, Feature::Effort);
                    config.push("thinkingLevel", level.to_ascii_uppercase());
                }
                (None, Some(budget)) => self.budget(budget, model, &mut config),
                (None, None) => {}
            }
        } else {
            match (thinking.budget, &thinking.effort) {
                (Some(budget), _) => self.budget(budget, model, &mut config),
                (None, Some(effort)) => self.budget(budget_of(&effort.text()), model, &mut config),
                (None, None) => {}
            }
        }
        let is_off = thinking.budget == Some(0);
        match thinking.shown.as_ref().map(Str::text).as_deref() {
            Some("omitted" | "none") => config.push("includeThoughts", false),
            Some(_) => config.push("includeThoughts", true),
            // Claude shows its thoughts unless it is told not to.
            None if self.from.reads_thoughts_of(Dialect::Anthropic) && !is_off => {
                config.push("includeThoughts", true);
            }
            None => {}
        }
        config
    }

    /// Writes how many tokens may be thought: as many as the model allows.
    fn budget(&mut self, budget: u64, model: &str, config: &mut Object<'_>) {
        let is_pro = model.contains("pro");
        let (least, most) = if is_pro { (128, 32768) } else { (0, 24576) };
        let allowed = budget.clamp(least, most);
        self.losses.tell_if(allowed != budget, Feature::ThinkingBudget);
        config.push("thinkingBudget", allowed);
    }

    fn service_tier<'r>(&mut self, request: &'r Request<'_>) -> Option<Str<'r>> {
        let tier = request.service_tier.as_ref()?;
        match tier.text().as_ref() {
            _ if self.is_own => Some(tier.clone()),
            "flex" | "priority" | "standard" => Some(tier.clone()),
            "default" | "standard_only" => Some("standard".into()),
            "auto" => None,
            _ => {
                self.losses.tell(Feature::ServiceTier);
                None
            }
        }
    }

    fn lost(&mut self, request: &Request<'_>) {
        for (is_asked, feature) in [
            (request.sampling.logit_bias.is_some(), Feature::LogitBias),
            (request.user.is_some(), Feature::User),
            (request.cache_key.is_some(), Feature::CacheKey),
            (request.verbosity.is_some(), Feature::Verbosity),
            (request.metadata.is_some(), Feature::Metadata),
        ] {
            self.losses.tell_if(is_asked, feature);
        }
    }
}

/// Puts back what was left of a turn and of its parts.
fn restore<'r>(content: &mut Object<'r>, rest: &Object<'r>) {
    if let (Some(Value::Array(parts)), Some(Value::Array(more))) =
        (content.get_mut("parts"), rest.get("parts"))
    {
        for (part, more) in parts.iter_mut().zip(more) {
            if let (Value::Object(part), Value::Object(more)) = (part, more) {
                merge(part, more);
            }
        }
    }
    merge(content, rest);
}

fn content<'r>(role: &'static str, parts: Vec<Value<'r>>) -> Value<'r> {
    [("role", Value::from(role)), ("parts", parts.into())].into_iter().collect::<Object<'_>>().into()
}

fn wrapped<'r>(name: &'static str, inner: Object<'r>) -> Value<'r> {
    [(name, inner)].into_iter().collect::<Object<'_>>().into()
}

/// A part that says this.
pub(super) fn text_part(text: Str<'_>) -> Value<'_> {
    [("text", text)].into_iter().collect::<Object<'_>>().into()
}

/// A part that is a thought, with its signature if that is one of this provider's.
pub(super) fn thought_part<'r>(thought: &'r Thought<'_>, is_readable: bool) -> Object<'r> {
    let mut part: Object<'_> = [("text", thought.text.clone())].into_iter().collect();
    part.push("thought", true);
    if let Some(signature) = thought.signature.as_ref().filter(|_| is_readable) {
        part.push("thoughtSignature", signature.clone());
    }
    part
}

/// A part that is a call. An id that was made here is not written.
pub(super) fn call_part<'r>(call: &'r ToolCall<'_>, is_own: bool) -> Object<'r> {
    let mut inner = Object::default();
    if let Some(id) = call.id.as_ref().filter(|id| !id.text().starts_with(MADE_ID)) {
        inner.push("id", id.clone());
    }
    inner.push("name", call.name.clone());
    inner.push("args", arguments_object(&call.arguments));
    if is_own {
        merge(&mut inner, &call.rest);
    }
    let mut part: Object<'_> = [("functionCall", inner)].into_iter().collect();
    if let Some(signature) = &call.signature {
        part.push("thoughtSignature", signature.clone());
    }
    part
}

/// A part that is a medium.
pub(super) fn media_part<'r>(media: &'r Media<'_>, is_own: bool) -> Value<'r> {
    let mut inner = Object::default();
    let mime_type = |usual: &'static str| media.media_type.clone().unwrap_or_else(|| usual.into());
    let usual = match media.kind {
        MediaKind::Image => "image/png",
        MediaKind::Audio => "audio/wav",
        MediaKind::Video => "video/mp4",
        MediaKind::Document => "application/pdf",
    };
    let name = match &media.source {
        MediaSource::Text(text) => return text_part(text.clone()),
        MediaSource::Base64(data) => {
            inner.push("mimeType", mime_type(usual));
            inner.push("data", data.clone());
            "inlineData"
        }
        MediaSource::Url(uri) | MediaSource::File(uri) => {
            if media.media_type.is_some() || !is_own {
                inner.push("mimeType", mime_type(kind_of(&uri.text()).unwrap_or(usual)));
            }
            inner.push("fileUri", uri.clone());
            "fileData"
        }
    };
    if let Some(label) = media.name.as_ref().filter(|_| is_own) {
        inner.push("displayName", label.clone());
    }
    wrapped(name, inner)
}

/// The media type that the end of an address tells; Google wants one.
fn kind_of(uri: &str) -> Option<&'static str> {
    let path = uri.split(['?', '#']).next()?;
    let (_, end) = path.rsplit_once('.')?;
    Some(match end.to_ascii_lowercase().as_str() {
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "gif" => "image/gif",
        "heic" => "image/heic",
        "pdf" => "application/pdf",
        "txt" => "text/plain",
        "html" | "htm" => "text/html",
        "csv" => "text/csv",
        "mp3" => "audio/mpeg",
        "wav" => "audio/wav",
        "flac" => "audio/flac",
        "ogg" => "audio/ogg",
        "mp4" => "video/mp4",
        "mov" => "video/quicktime",
        "webm" => "video/webm",
        _ => return None,
    })
}

/// Whether some object in it has a member `$ref`, which Google would follow.
fn refers(value: &Value<'_>) -> bool {
    match value {
        Value::Array(values) => values.iter().any(refers),
        Value::Object(object) => object.iter().any(|(name, value)| name.is("$ref") || refers(value)),
        _ => false,
    }
}

/// OpenAI's choice of several functions: whether one of them must be called, and their names.
fn allowed<'r>(choice: &'r Value<'_>) -> Option<(&'static str, Vec<Str<'r>>)> {
    if !choice.get("type")?.is("allowed_tools") {
        return None;
    }
    // Chat has it a level deeper than Responses.
    let inner = choice.get("allowed_tools").unwrap_or(choice);
    let mode = if inner.get("mode")?.is("required") { "ANY" } else { "VALIDATED" };
    let name = |tool: &'r Value<'_>| match tool.get("function").unwrap_or(tool).get("name") {
        Some(Value::String(name)) => Some(name.clone()),
        _ => None,
    };
    Some((mode, inner.get("tools")?.as_array()?.iter().filter_map(name).collect()))
}

/// The level of thinking that a model of the third generation has for a word. None of them can be kept from thinking.
fn level_of(word: &str, model: &str) -> &'static str {
    match word {
        "none" | "minimal" if model.contains("pro") => "low",
        "none" | "minimal" => "minimal",
        "low" => "low",
        "medium" => "medium",
        _ => "high",
    }
}

/// Tokens for a word of effort, as Google itself reads it
/// (<https://ai.google.dev/gemini-api/docs/openai#thinking>).
fn budget_of(effort: &str) -> u64 {
    match effort {
        "none" => 0,
        "minimal" | "low" => 1024,
        "medium" => 8192,
        _ => 24576,
    }
}

//! Requests: of the dialect to the form, and back.

use crate::dialect::Dialect;
use crate::form::read::{At, Fields, read_cache_mark};
use crate::form::write::{alone, write_rest};
use crate::form::{
    Arguments, Feature, Function, Losses, Malformed, Media, MediaKind, MediaSource, Output, Part, Request,
    ResultContent, Role, Sampling, Text, Thinking, Thought, Tool, ToolCall, ToolChoice, ToolResult, Turn,
};
use crate::json::{Object, Str, Value};

/// Reads the body of a request.
///
/// # Errors
/// It is not one of this dialect, and where.
pub fn read_request(body: &[u8]) -> Result<Request<'_>, Malformed> {
    let at = At::Root;
    let mut fields = at.object(Value::parse(body)?)?;
    let mut request = Request::new(Dialect::OpenAiChat);
    request.model = fields.must_string(&at, "model")?;
    request.turns = fields.must_each(&at, "messages", read_message)?;
    request.tools = fields.each(&at, "tools", read_tool)?;
    if let Some(choice) = fields.take("tool_choice") {
        request.tool_choice = Some(read_tool_choice(choice, &at.member("tool_choice"))?);
    }
    request.parallel_tool_calls = fields.truth(&at, "parallel_tool_calls")?;
    if let Some(format) = fields.take("response_format") {
        request.output = Some(read_output(format, &at.member("response_format"))?);
    }
    if let Some(effort) = fields.string(&at, "reasoning_effort")? {
        request.thinking = Some(Thinking { effort: Some(effort), ..Thinking::default() });
    }
    request.verbosity = fields.string(&at, "verbosity")?;
    request.sampling = Sampling {
        temperature: fields.number(&at, "temperature")?,
        top_p: fields.number(&at, "top_p")?,
        top_k: fields.number(&at, "top_k")?,
        seed: fields.number(&at, "seed")?,
        presence_penalty: fields.number(&at, "presence_penalty")?,
        frequency_penalty: fields.number(&at, "frequency_penalty")?,
        logit_bias: fields.take("logit_bias"),
    };
    let older = fields.whole(&at, "max_tokens")?;
    request.max_output = fields.whole(&at, "max_completion_tokens")?.or(older);
    request.stop = read_stop(fields.take("stop"), &at.member("stop"))?;
    request.answers = fields.whole(&at, "n")?;
    let shown = fields.truth(&at, "logprobs")?.unwrap_or(false);
    let beside = fields.whole(&at, "top_logprobs")?;
    request.logprobs = shown.then(|| beside.unwrap_or(0));
    request.stream = fields.truth(&at, "stream")?.unwrap_or(false);
    fields.take("stream_options"); // the usage of a stream is always asked for, and withheld where nobody asked
    request.user = fields.string(&at, "user")?;
    request.cache_key = fields.string(&at, "prompt_cache_key")?;
    request.service_tier = fields.string(&at, "service_tier")?;
    request.metadata = fields.take("metadata");
    request.rest = fields.rest();
    Ok(request)
}

fn read_message<'a>(message: Value<'a>, at: &At<'_>) -> Result<Turn<'a>, Malformed> {
    let mut fields = at.object(message)?;
    let role = fields.must_string(at, "role")?;
    let role = match role.text().as_ref() {
        "system" => Role::System,
        "developer" => Role::Developer,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "tool" => Role::Tool,
        _ => return Err(at.member("role").must_be("system, developer, user, assistant or tool")),
    };
    let mut turn = Turn::new(role, Vec::new());
    turn.name = fields.string(at, "name")?;
    let mut content = read_content(fields.take("content"), &at.member("content"))?;
    match role {
        Role::Tool => {
            let call = fields.must_string(at, "tool_call_id")?;
            let content = ResultContent::Parts(content);
            let result = ToolResult { call, name: turn.name.take(), content, is_error: None, cache: None };
            turn.parts.push(Part::ToolResult(result));
        }
        Role::Assistant => {
            // DeepSeek and those after it.
            if let Some(text) = fields.string(at, "reasoning_content")? {
                turn.parts.push(Part::Thought(Thought { text, ..Thought::default() }));
            }
            turn.parts.append(&mut content);
            if let Some(refusal) = fields.string(at, "refusal")? {
                turn.parts.push(Part::Refusal(refusal));
            }
            turn.parts.extend(read_calls(&mut fields, at)?);
        }
        Role::System | Role::Developer | Role::User => turn.parts = content,
    }
    turn.rest = fields.rest();
    Ok(turn)
}

pub(super) fn read_content<'a>(content: Option<Value<'a>>, at: &At<'_>) -> Result<Vec<Part<'a>>, Malformed> {
    match content {
        None => Ok(Vec::new()),
        Some(Value::String(text)) => Ok(vec![Part::Text(Text::new(text))]),
        Some(Value::Array(parts)) => at.each(parts, read_part),
        Some(_) => Err(at.must_be("a string or an array of parts")),
    }
}

fn read_part<'a>(part: Value<'a>, at: &At<'_>) -> Result<Part<'a>, Malformed> {
    let whole = part.clone();
    let mut fields = at.object(part)?;
    let kind = fields.must_string(at, "type")?;
    let cache = read_cache_mark(&mut fields, at)?;
    let media =
        |kind, source, media_type| Media { kind, source, media_type, name: None, detail: None, cache };
    Ok(match kind.text().as_ref() {
        "text" => {
            let text = fields.must_string(at, "text")?;
            Part::Text(Text { cache, ..Text::new(text) })
        }
        "refusal" => Part::Refusal(fields.must_string(at, "refusal")?),
        // Mistral's thoughts are a list of parts within one.
        "thinking" => {
            let thinking_at = at.member("thinking");
            let pieces = read_content(fields.take("thinking"), &thinking_at)?;
            let texts = pieces.iter().filter_map(|piece| match piece {
                Part::Text(text) => Some(text.text.text()),
                _ => None,
            });
            Part::Thought(Thought { text: texts.collect::<String>().into(), ..Thought::default() })
        }
        "image_url" => {
            let image_at = at.member("image_url");
            let mut image = image_at.object(fields.must(at, "image_url")?)?;
            let (source, media_type) = read_address(image.must_string(&image_at, "url")?);
            let detail = image.string(&image_at, "detail")?;
            Part::Media(Media { detail, ..media(MediaKind::Image, source, media_type) })
        }
        "input_audio" => {
            let audio_at = at.member("input_audio");
            let mut audio = audio_at.object(fields.must(at, "input_audio")?)?;
            let data = audio.must_string(&audio_at, "data")?;
            let format = audio.must_string(&audio_at, "format")?;
            let media_type = Str::from(format!("audio/{}", format.text()));
            Part::Media(media(MediaKind::Audio, MediaSource::Base64(data), Some(media_type)))
        }
        "file" => {
            let file_at = at.member("file");
            let mut file = file_at.object(fields.must(at, "file")?)?;
            let name = file.string(&file_at, "filename")?;
            let (source, media_type) = match file.string(&file_at, "file_id")? {
                Some(id) => (MediaSource::File(id), None),
                None => read_address(file.must_string(&file_at, "file_data")?),
            };
            Part::Media(Media { name, ..media(MediaKind::Document, source, media_type) })
        }
        _ => Part::Foreign(whole),
    })
}

/// An address: what a `data:` one holds (RFC 2397), or the address itself.
fn read_address(url: Str<'_>) -> (MediaSource<'_>, Option<Str<'_>>) {
    match url {
        Str::Plain(url) => match split_data_url(url) {
            Some((media_type, data)) => (MediaSource::Base64(Str::Plain(data)), Some(Str::Plain(media_type))),
            None => (MediaSource::Url(Str::Plain(url)), None),
        },
        url => match split_data_url(&url.text()) {
            Some((media_type, data)) => {
                (MediaSource::Base64(data.to_owned().into()), Some(media_type.to_owned().into()))
            }
            None => (MediaSource::Url(url), None),
        },
    }
}

fn split_data_url(url: &str) -> Option<(&str, &str)> {
    let rest = url.get(..5).filter(|scheme| scheme.eq_ignore_ascii_case("data:")).map(|_| &url[5..])?;
    let (about, data) = rest.split_once(',')?;
    let media_type = about.strip_suffix(";base64")?;
    Some((media_type, data))
}

/// The calls of a message.
pub(super) fn read_calls<'a>(message: &mut Fields<'a>, at: &At<'_>) -> Result<Vec<Part<'a>>, Malformed> {
    message.each(at, "tool_calls", |call, at| read_call(call, at).map(Part::ToolCall))
}

fn read_call<'a>(call: Value<'a>, at: &At<'_>) -> Result<ToolCall<'a>, Malformed> {
    let mut fields = at.object(call)?;
    let id = fields.string(at, "id")?;
    fields.take("index"); // which some tell in whole answers too
    let is_custom = fields.string(at, "type")?.is_some_and(|kind| kind.is("custom"));
    let (member, input) = if is_custom { ("custom", "input") } else { ("function", "arguments") };
    let inner_at = at.member(member);
    let mut inner = inner_at.object(fields.must(at, member)?)?;
    let name = inner.must_string(&inner_at, "name")?;
    let text = inner.string(&inner_at, input)?.unwrap_or_default();
    let arguments = if is_custom { Arguments::Free(text) } else { Arguments::Text(text) };
    Ok(ToolCall { id, name, arguments, signature: None, cache: None, rest: fields.rest() })
}

fn read_tool<'a>(tool: Value<'a>, at: &At<'_>) -> Result<Tool<'a>, Malformed> {
    if !tool.get("type").is_none_or(|kind| kind.is("function")) {
        return Ok(Tool::Foreign(tool));
    }
    let mut fields = at.object(tool)?;
    let cache = read_cache_mark(&mut fields, at)?;
    let function_at = at.member("function");
    let mut function = function_at.object(fields.must(at, "function")?)?;
    Ok(Tool::Function(Function {
        name: function.must_string(&function_at, "name")?,
        description: function.string(&function_at, "description")?,
        parameters: function.take("parameters"),
        strict: function.truth(&function_at, "strict")?,
        cache,
        rest: function.rest(),
    }))
}

fn read_tool_choice<'a>(choice: Value<'a>, at: &At<'_>) -> Result<ToolChoice<'a>, Malformed> {
    match &choice {
        Value::String(word) => match word.text().as_ref() {
            "auto" => Ok(ToolChoice::Auto),
            "none" => Ok(ToolChoice::None),
            "required" | "any" => Ok(ToolChoice::Required),
            _ => Err(at.must_be("none, auto, required or a function")),
        },
        Value::Object(_) if choice.get("type").is_some_and(|kind| kind.is("function")) => {
            let mut fields = at.object(choice)?;
            let function_at = at.member("function");
            let mut function = function_at.object(fields.must(at, "function")?)?;
            Ok(ToolChoice::Function(function.must_string(&function_at, "name")?))
        }
        Value::Object(_) => Ok(ToolChoice::Foreign(choice)),
        _ => Err(at.must_be("none, auto, required or a function")),
    }
}

fn read_output<'a>(format: Value<'a>, at: &At<'_>) -> Result<Output<'a>, Malformed> {
    let mut fields = at.object(format)?;
    let kind = fields.must_string(at, "type")?;
    match kind.text().as_ref() {
        "text" => Ok(Output::Text),
        "json_object" => Ok(Output::Json),
        "json_schema" => {
            let schema_at = at.member("json_schema");
            let mut schema = schema_at.object(fields.must(at, "json_schema")?)?;
            Ok(Output::Schema {
                name: schema.string(&schema_at, "name")?,
                description: schema.string(&schema_at, "description")?,
                schema: schema.take("schema").unwrap_or_else(|| Object::default().into()),
                strict: schema.truth(&schema_at, "strict")?,
            })
        }
        _ => Err(at.member("type").must_be("text, json_object or json_schema")),
    }
}

fn read_stop<'a>(stop: Option<Value<'a>>, at: &At<'_>) -> Result<Vec<Str<'a>>, Malformed> {
    match stop {
        None => Ok(Vec::new()),
        Some(Value::String(text)) => Ok(vec![text]),
        Some(Value::Array(texts)) => at.each(texts, |text, at| at.string(text)),
        Some(_) => Err(at.must_be("a string or an array of strings")),
    }
}

/// Writes a request for `model`; what the dialect has no word for is told in `losses`.
pub fn write_request<'r>(request: &'r Request<'_>, model: &'r str, losses: &mut Losses) -> Object<'r> {
    let mut body = Object::default();
    body.push("model", model);
    body.push("messages", write_messages(&request.turns, losses));
    let tools: Vec<Value<'_>> =
        request.tools.iter().filter_map(|tool| write_tool(tool, request.from, losses)).collect();
    let has_tools = !tools.is_empty();
    if has_tools {
        body.push("tools", tools);
    }
    let choice =
        request.tool_choice.as_ref().and_then(|choice| write_tool_choice(choice, request.from, losses));
    // A choice without tools is refused.
    match choice {
        Some(choice) if has_tools => body.push("tool_choice", choice),
        Some(_) | None => {}
    }
    if has_tools && let Some(parallel) = request.parallel_tool_calls {
        body.push("parallel_tool_calls", parallel);
    }
    match &request.output {
        None | Some(Output::Text) => {}
        Some(output) => body.push("response_format", write_output(output)),
    }
    if let Some(thinking) = &request.thinking {
        match (&thinking.effort, thinking.budget) {
            (Some(effort), _) => body.push("reasoning_effort", effort.clone()),
            (None, Some(budget)) => body.push("reasoning_effort", effort_of(budget)),
            (None, None) => {}
        }
        losses.tell_if(thinking.shown.is_some(), Feature::ThinkingShown);
    }
    let sampling = &request.sampling;
    for (name, number) in [
        ("temperature", &sampling.temperature),
        ("top_p", &sampling.top_p),
        ("seed", &sampling.seed),
        ("presence_penalty", &sampling.presence_penalty),
        ("frequency_penalty", &sampling.frequency_penalty),
    ] {
        if let Some(number) = number {
            body.push(name, Value::Number(number.clone()));
        }
    }
    losses.tell_if(sampling.top_k.is_some(), Feature::TopK);
    if let Some(bias) = &sampling.logit_bias {
        body.push("logit_bias", bias.clone());
    }
    if let Some(max) = request.max_output {
        body.push("max_completion_tokens", max);
    }
    if !request.stop.is_empty() {
        let texts: Vec<Value<'_>> = request.stop.iter().map(|text| Value::String(text.clone())).collect();
        body.push("stop", texts);
    }
    if let Some(answers) = request.answers {
        body.push("n", answers);
    }
    if let Some(beside) = request.logprobs {
        body.push("logprobs", true);
        if beside > 0 {
            body.push("top_logprobs", beside);
        }
    }
    if request.stream {
        body.push("stream", true);
        body.push("stream_options", [("include_usage", true)].into_iter().collect::<Object<'_>>());
    }
    for (name, text) in [
        ("user", &request.user),
        ("prompt_cache_key", &request.cache_key),
        ("service_tier", &request.service_tier),
        ("verbosity", &request.verbosity),
    ] {
        if let Some(text) = text {
            body.push(name, text.clone());
        }
    }
    if let Some(metadata) = &request.metadata {
        body.push("metadata", metadata.clone());
    }
    write_rest(&mut body, &request.rest, request.from, Dialect::OpenAiChat, losses);
    body
}

/// The word for so many tokens of thinking. The borders are those at which Anthropic's and Google's own guides speak of
/// little and of much thinking.
fn effort_of(budget: u64) -> &'static str {
    match budget {
        0 => "none",
        1..=1024 => "minimal",
        1025..=4096 => "low",
        4097..=16384 => "medium",
        _ => "high",
    }
}

fn write_messages<'r>(turns: &'r [Turn<'_>], losses: &mut Losses) -> Vec<Value<'r>> {
    let mut messages = Vec::with_capacity(turns.len());
    // Pictures that functions gave back, until the last result of a run has been written: results must follow their calls
    // without anything between them.
    let mut given_back: Vec<Value<'r>> = Vec::new();
    for turn in turns {
        let (results, others): (Vec<_>, Vec<_>) =
            turn.parts.iter().partition(|part| matches!(part, Part::ToolResult(_)));
        if results.is_empty() {
            flush(&mut given_back, &mut messages);
        }
        for part in results {
            if let Part::ToolResult(result) = part {
                messages.push(write_result(result, &mut given_back, losses));
            }
        }
        let after_result =
            || messages.last().and_then(|last| last.get("role")).is_some_and(|role| role.is("tool"));
        if others.is_empty() && (turn.role == Role::Tool || after_result()) {
            continue;
        }
        flush(&mut given_back, &mut messages);
        messages.push(write_turn(turn, &others, losses));
    }
    flush(&mut given_back, &mut messages);
    messages
}

/// What functions gave back beside text goes into a turn of the user.
fn flush<'r>(given_back: &mut Vec<Value<'r>>, messages: &mut Vec<Value<'r>>) {
    if !given_back.is_empty() {
        let mut message = Object::default();
        message.push("role", "user");
        message.push("content", std::mem::take(given_back));
        messages.push(message.into());
    }
}

fn write_turn<'r>(turn: &'r Turn<'_>, parts: &[&'r Part<'_>], losses: &mut Losses) -> Value<'r> {
    let mut message = Object::default();
    message.push(
        "role",
        match turn.role {
            Role::System => "system",
            Role::Developer => "developer",
            Role::User | Role::Tool => "user",
            Role::Assistant => "assistant",
        },
    );
    if let Some(name) = &turn.name {
        message.push("name", name.clone());
    }
    let mut content = Vec::new();
    let mut calls: Vec<Value<'_>> = Vec::new();
    let mut refusal = None;
    for part in parts {
        match part {
            Part::ToolCall(call) => calls.push(write_call(call)),
            Part::Refusal(text) if turn.role == Role::Assistant => refusal = Some(text.clone()),
            Part::Thought(thought) => {
                losses.tell_if(thought.signature.is_some(), Feature::ThinkingSignature);
                losses.tell_if(thought.sealed.is_some(), Feature::ThinkingSealed);
            }
            part => content.extend(write_part(part, losses)),
        }
    }
    match content.is_empty() {
        true if calls.is_empty() && refusal.is_none() => message.push("content", ""),
        true => message.push("content", Value::Null),
        false => message.push("content", alone(content)),
    }
    if let Some(refusal) = refusal {
        message.push("refusal", refusal);
    }
    if !calls.is_empty() {
        message.push("tool_calls", calls);
    }
    for (name, value) in turn.rest.iter() {
        message.push(name.clone(), value.clone());
    }
    message.into()
}

fn write_part<'r>(part: &'r Part<'_>, losses: &mut Losses) -> Option<Value<'r>> {
    let mut written = Object::default();
    match part {
        Part::Text(text) => {
            written.push("type", "text");
            written.push("text", text.text.clone());
            losses.tell_if(text.citations.is_some(), Feature::Citations);
            losses.tell_if(text.signature.is_some(), Feature::ThinkingSignature);
            losses.tell_if(text.cache.is_some(), Feature::CacheMark);
        }
        Part::Refusal(text) => {
            written.push("type", "text");
            written.push("text", text.clone());
        }
        Part::Media(media) => return write_media(media, losses),
        Part::Foreign(value) => return Some(value.clone()),
        Part::Thought(_) | Part::ToolCall(_) | Part::ToolResult(_) => return None,
    }
    Some(written.into())
}

fn write_media<'r>(media: &'r Media<'_>, losses: &mut Losses) -> Option<Value<'r>> {
    let mut written = Object::default();
    let mut inner = Object::default();
    losses.tell_if(media.cache.is_some(), Feature::CacheMark);
    let address = || -> Option<Str<'r>> {
        match &media.source {
            MediaSource::Url(url) => Some(url.clone()),
            MediaSource::Base64(data) => {
                let kind = media.media_type.as_ref().map_or("application/octet-stream".into(), Str::text);
                Some(format!("data:{kind};base64,{}", data.text()).into())
            }
            MediaSource::File(_) | MediaSource::Text(_) => None,
        }
    };
    match (media.kind, &media.source) {
        (_, MediaSource::Text(text)) => {
            written.push("type", "text");
            written.push("text", text.clone());
            return Some(written.into());
        }
        (MediaKind::Image, MediaSource::Url(_) | MediaSource::Base64(_)) => {
            inner.push("url", address()?);
            if let Some(detail) = &media.detail {
                inner.push("detail", detail.clone());
            }
            written.push("type", "image_url");
            written.push("image_url", inner);
        }
        (MediaKind::Audio, MediaSource::Base64(data)) => {
            let format = match media.media_type.as_ref().map(Str::text).as_deref() {
                Some("audio/mpeg" | "audio/mp3") => "mp3",
                _ => "wav",
            };
            inner.push("data", data.clone());
            inner.push("format", format);
            written.push("type", "input_audio");
            written.push("input_audio", inner);
        }
        (MediaKind::Document, MediaSource::Base64(_)) => {
            let name = media.name.clone().unwrap_or_else(|| "document.pdf".into());
            inner.push("filename", name);
            inner.push("file_data", address()?);
            written.push("type", "file");
            written.push("file", inner);
        }
        (_, MediaSource::File(id)) => {
            inner.push("file_id", id.clone());
            written.push("type", "file");
            written.push("file", inner);
        }
        (MediaKind::Document, MediaSource::Url(_)) => losses.tell(Feature::DocumentUrl),
        (MediaKind::Audio, MediaSource::Url(_)) => losses.tell(Feature::Audio),
        (MediaKind::Video, _) => losses.tell(Feature::Video),
    }
    (!written.is_empty()).then(|| written.into())
}

pub(super) fn write_call<'r>(call: &'r ToolCall<'_>) -> Value<'r> {
    let mut written = Object::default();
    if let Some(id) = &call.id {
        written.push("id", id.clone());
    }
    let mut inner = Object::default();
    inner.push("name", call.name.clone());
    match &call.arguments {
        Arguments::Free(text) => {
            inner.push("input", text.clone());
            written.push("type", "custom");
            written.push("custom", inner);
        }
        Arguments::Text(text) if !text.text().trim().is_empty() => {
            inner.push("arguments", text.clone());
            written.push("type", "function");
            written.push("function", inner);
        }
        arguments => {
            inner.push("arguments", arguments.to_text());
            written.push("type", "function");
            written.push("function", inner);
        }
    }
    written.into()
}

fn write_result<'r>(
    result: &'r ToolResult<'_>,
    given_back: &mut Vec<Value<'r>>,
    losses: &mut Losses,
) -> Value<'r> {
    let mut message = Object::default();
    message.push("role", "tool");
    message.push("tool_call_id", result.call.clone());
    losses.tell_if(result.cache.is_some(), Feature::CacheMark);
    match &result.content {
        ResultContent::Value(Value::String(text)) => message.push("content", text.clone()),
        ResultContent::Value(value) => message.push("content", value.to_json()),
        ResultContent::Parts(parts) => {
            let (texts, media): (Vec<_>, Vec<_>) =
                parts.iter().partition(|part| !matches!(part, Part::Media(_)));
            let texts: Vec<Value<'r>> =
                texts.into_iter().filter_map(|part| write_part(part, losses)).collect();
            let media: Vec<Value<'r>> =
                media.into_iter().filter_map(|part| write_part(part, losses)).collect();
            if !media.is_empty() {
                let mut note = Object::default();
                note.push("type", "text");
                note.push("text", format!("What {} gave back:", result.call.text()));
                given_back.push(note.into());
                given_back.extend(media);
            }
            match texts.is_empty() {
                true => message.push("content", ""),
                false => message.push("content", alone(texts)),
            }
        }
    }
    message.into()
}

fn write_tool<'r>(tool: &'r Tool<'_>, from: Dialect, losses: &mut Losses) -> Option<Value<'r>> {
    let function = match tool {
        Tool::Function(function) => function,
        Tool::Foreign(value) if from == Dialect::OpenAiChat => return Some(value.clone()),
        Tool::Foreign(_) => {
            losses.tell(Feature::ServerTools);
            return None;
        }
    };
    losses.tell_if(function.cache.is_some(), Feature::CacheMark);
    let mut inner = Object::default();
    inner.push("name", function.name.clone());
    if let Some(description) = &function.description {
        inner.push("description", description.clone());
    }
    if let Some(parameters) = &function.parameters {
        inner.push("parameters", parameters.clone());
    }
    if let Some(strict) = function.strict {
        inner.push("strict", strict);
    }
    write_rest(&mut inner, &function.rest, from, Dialect::OpenAiChat, losses);
    let mut written = Object::default();
    written.push("type", "function");
    written.push("function", inner);
    Some(written.into())
}

fn write_tool_choice<'r>(
    choice: &'r ToolChoice<'_>,
    from: Dialect,
    losses: &mut Losses,
) -> Option<Value<'r>> {
    Some(match choice {
        ToolChoice::Auto => "auto".into(),
        ToolChoice::None => "none".into(),
        ToolChoice::Required => "required".into(),
        ToolChoice::Function(name) => {
            let mut inner = Object::default();
            inner.push("name", name.clone());
            let mut written = Object::default();
            written.push("type", "function");
            written.push("function", inner);
            written.into()
        }
        ToolChoice::Foreign(value) if from == Dialect::OpenAiChat => value.clone(),
        ToolChoice::Foreign(_) => {
            losses.tell(Feature::ToolChoice);
            return None;
        }
    })
}

fn write_output<'r>(output: &'r Output<'_>) -> Value<'r> {
    let mut written = Object::default();
    match output {
        Output::Text => written.push("type", "text"),
        Output::Json => written.push("type", "json_object"),
        Output::Schema { name, description, schema, strict } => {
            let mut inner = Object::default();
            inner.push("name", name.clone().unwrap_or_else(|| "answer".into()));
            if let Some(description) = description {
                inner.push("description", description.clone());
            }
            inner.push("schema", schema.clone());
            if let Some(strict) = strict {
                inner.push("strict", *strict);
            }
            written.push("type", "json_schema");
            written.push("json_schema", inner);
        }
    }
    written.into()
}

//! Requests of the dialect, to the form.

use super::format;
use crate::dialect::Dialect;
use crate::form::read::{At, Fields};
use crate::form::{
    Arguments, CacheMark, Function, Malformed, Media, MediaKind, MediaSource, Output, Part, Request,
    ResultContent, Role, Sampling, Text, Thinking, Thought, Tool, ToolCall, ToolChoice, ToolResult, Turn,
};
use crate::json::{Object, Str, Value};

/// Reads the body of a request.
///
/// Members that there is no place for are in [`Request::rest`] where they stood: those of `inferenceConfig` in a member of
/// that name.
///
/// # Errors
/// It is not one of this dialect, and where.
pub fn read_request(body: &[u8]) -> Result<Request<'_>, Malformed> {
    let at = At::Root;
    let mut body = at.object(Value::parse(body)?)?;
    let mut request = Request::new(Dialect::Bedrock);
    let mut rest = Object::default();
    let system = body.array(&at, "system")?;
    if !system.is_empty() {
        let parts = read_blocks(system, &at.member("system"), read_block)?;
        request.turns.push(Turn::new(Role::System, parts));
    }
    request.turns.extend(body.each(&at, "messages", read_message)?);
    let config_at = at.member("toolConfig");
    if let Some(mut config) = body.object(&at, "toolConfig")? {
        request.tools = read_tools(config.array(&config_at, "tools")?, &config_at.member("tools"))?;
        if let Some(choice) = config.take("toolChoice") {
            request.tool_choice = Some(read_tool_choice(choice, &config_at.member("toolChoice"))?);
        }
        push_rest(&mut rest, "toolConfig", config);
    }
    let config_at = at.member("inferenceConfig");
    if let Some(mut config) = body.object(&at, "inferenceConfig")? {
        request.max_output = config.whole(&config_at, "maxTokens")?;
        request.sampling = Sampling {
            temperature: config.number(&config_at, "temperature")?,
            top_p: config.number(&config_at, "topP")?,
            ..Sampling::default()
        };
        request.stop = config.each(&config_at, "stopSequences", |text, at| at.string(text))?;
        push_rest(&mut rest, "inferenceConfig", config);
    }
    let fields_at = at.member("additionalModelRequestFields");
    if let Some(mut fields) = body.object(&at, "additionalModelRequestFields")? {
        request.sampling.top_k = fields.number(&fields_at, "top_k")?;
        request.thinking = read_thinking(&mut fields, &fields_at)?;
        push_rest(&mut rest, "additionalModelRequestFields", fields);
    }
    let config_at = at.member("outputConfig");
    if let Some(mut config) = body.object(&at, "outputConfig")? {
        if let Some(effort) = config.string(&config_at, "effort")? {
            request.thinking.get_or_insert_default().effort = Some(effort);
        }
        if let Some(format) = config.take("textFormat") {
            request.output = Some(read_output(format, &config_at.member("textFormat"))?);
        }
        push_rest(&mut rest, "outputConfig", config);
    }
    request.metadata = body.take("requestMetadata");
    request.service_tier = read_service_tier(&mut body, &at)?;
    for (name, value) in body.rest() {
        rest.push(name, value);
    }
    request.rest = rest;
    Ok(request)
}

/// Keeps what was not read of an object, in a member of its name.
fn push_rest<'a>(into: &mut Object<'a>, name: &'static str, fields: Fields<'a>) {
    let rest = fields.rest();
    if !rest.is_empty() {
        into.push(name, rest);
    }
}

/// How urgent it is, of a request or of an answer.
pub(super) fn read_service_tier<'a>(
    body: &mut Fields<'a>,
    at: &At<'_>,
) -> Result<Option<Str<'a>>, Malformed> {
    match body.object(at, "serviceTier")? {
        Some(mut tier) => tier.string(&at.member("serviceTier"), "type"),
        None => Ok(None),
    }
}

/// How much Claude is to think; other models have other members for it, which stay where they are.
fn read_thinking<'a>(fields: &mut Fields<'a>, at: &At<'_>) -> Result<Option<Thinking<'a>>, Malformed> {
    let thinking_at = at.member("thinking");
    let Some(mut thinking) = fields.object(at, "thinking")? else { return Ok(None) };
    let kind = thinking.must_string(&thinking_at, "type")?;
    let budget = match kind.text().as_ref() {
        "enabled" => thinking.whole(&thinking_at, "budget_tokens")?,
        "disabled" => Some(0),
        "adaptive" => None,
        _ => return Err(thinking_at.member("type").must_be("enabled, disabled or adaptive")),
    };
    let shown = thinking.string(&thinking_at, "display")?;
    Ok(Some(Thinking { effort: None, budget, shown }))
}

fn read_output<'a>(format: Value<'a>, at: &At<'_>) -> Result<Output<'a>, Malformed> {
    let mut format = at.object(format)?;
    let structure_at = at.member("structure");
    let mut structure = structure_at.object(format.must(at, "structure")?)?;
    let schema_at = structure_at.member("jsonSchema");
    let mut definition = schema_at.object(structure.must(&structure_at, "jsonSchema")?)?;
    // A text of JSON, not a value.
    let text = definition.must_string(&schema_at, "schema")?;
    let schema = Value::parse(text.text().as_bytes())
        .map_err(|_| schema_at.member("schema").must_be("a text of JSON"))?
        .into_owned();
    let name = definition.string(&schema_at, "name")?;
    let description = definition.string(&schema_at, "description")?;
    Ok(Output::Schema { name, description, schema, strict: None })
}

fn read_message<'a>(message: Value<'a>, at: &At<'_>) -> Result<Turn<'a>, Malformed> {
    let mut message = at.object(message)?;
    let role = match message.must_string(at, "role")?.text().as_ref() {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "system" => Role::System,
        _ => return Err(at.member("role").must_be("user, assistant or system")),
    };
    let mut turn = Turn::new(role, read_content(&mut message, at)?);
    turn.rest = message.rest();
    Ok(turn)
}

/// The blocks of a message, of a request or of an answer.
pub(super) fn read_content<'a>(message: &mut Fields<'a>, at: &At<'_>) -> Result<Vec<Part<'a>>, Malformed> {
    let content_at = at.member("content");
    let blocks = content_at.array(message.must(at, "content")?)?;
    read_blocks(blocks, &content_at, read_block)
}

/// What `read` makes of blocks; a mark of caching, which is a block of its own, is set at what it stands behind.
fn read_blocks<'a>(
    blocks: Vec<Value<'a>>,
    at: &At<'_>,
    read: impl Fn(Value<'a>, &At<'_>) -> Result<Part<'a>, Malformed>,
) -> Result<Vec<Part<'a>>, Malformed> {
    let mut parts: Vec<Part<'a>> = Vec::with_capacity(blocks.len());
    for (n, block) in blocks.into_iter().enumerate() {
        if let Some(mark) = cache_point(&block)
            && let Some(free) = parts.last_mut().and_then(cache_of).filter(|free| free.is_none())
        {
            *free = Some(mark);
        } else {
            parts.push(read(block, &at.element(n))?);
        }
    }
    Ok(parts)
}

/// The mark that a block is, if it is nothing else.
fn cache_point(block: &Value<'_>) -> Option<CacheMark> {
    let point = block.get("cachePoint")?;
    let is_hour = point.get("ttl").is_some_and(|ttl| ttl.is("1h"));
    Some(if is_hour { CacheMark::Hour } else { CacheMark::Usual })
}

fn cache_of<'p>(part: &'p mut Part<'_>) -> Option<&'p mut Option<CacheMark>> {
    match part {
        Part::Text(text) => Some(&mut text.cache),
        Part::Media(media) => Some(&mut media.cache),
        Part::ToolCall(call) => Some(&mut call.cache),
        Part::ToolResult(result) => Some(&mut result.cache),
        Part::Thought(_) | Part::Refusal(_) | Part::Foreign(_) => None,
    }
}

/// Reads a block: an object with one member, which says of what kind it is.
fn read_block<'a>(block: Value<'a>, at: &At<'_>) -> Result<Part<'a>, Malformed> {
    // What the provider ran itself has no place elsewhere.
    let is_server = |name: &str| block.get(name).is_some_and(|inner| inner.get("type").is_some());
    if is_server("toolUse") || is_server("toolResult") {
        return Ok(Part::Foreign(block));
    }
    let mut block = match read_media(block, at)? {
        Ok(media) => return Ok(Part::Media(media)),
        Err(block) => at.object(block)?,
    };
    if let Some(text) = block.string(at, "text")? {
        return Ok(Part::Text(Text::new(text)));
    }
    if let Some(call) = block.object(at, "toolUse")? {
        return read_call(call, &at.member("toolUse")).map(Part::ToolCall);
    }
    if let Some(result) = block.object(at, "toolResult")? {
        return read_result(result, &at.member("toolResult")).map(Part::ToolResult);
    }
    if let Some(reasoning) = block.object(at, "reasoningContent")? {
        return read_thought(reasoning, &at.member("reasoningContent"));
    }
    if let Some(mut cited) = block.object(at, "citationsContent")? {
        let at = at.member("citationsContent");
        let texts = cited.each(&at, "content", |piece, at| at.object(piece)?.must_string(at, "text"))?;
        let text = match texts.as_slice() {
            [only] => only.clone(),
            texts => texts.iter().map(Str::text).collect::<String>().into(),
        };
        return Ok(Part::Text(Text { citations: cited.take("citations"), ..Text::new(text) }));
    }
    Ok(Part::Foreign(block.rest().into()))
}

/// A medium, if the block is one that has a place in the form.
fn read_media<'a>(block: Value<'a>, at: &At<'_>) -> Result<Result<Media<'a>, Value<'a>>, Malformed> {
    for kind in [MediaKind::Image, MediaKind::Document, MediaKind::Audio, MediaKind::Video] {
        let name = format::member(kind);
        let Some(inner) = block.get(name) else { continue };
        let format = inner.get("format").and_then(Value::as_text);
        let media_type = format.as_deref().and_then(|format| format::media_type(kind, format));
        let source = inner.get("source");
        let has = |of: &Value<'_>, names: &[&str]| names.iter().any(|name| of.get(name).is_some());
        let is_plain = !has(inner, &["context", "citations", "error"])
            && source.is_some_and(|source| {
                has(source, &["bytes", "text"])
                    || source.get("s3Location").is_some_and(|place| !has(place, &["bucketOwner"]))
            });
        let (true, Some(media_type)) = (is_plain, media_type) else { return Ok(Err(block)) };
        let mut block = at.object(block)?;
        let at = at.member(name);
        let mut inner = at.object(block.must(&at, name)?)?;
        let source_at = at.member("source");
        let mut source = source_at.object(inner.must(&at, "source")?)?;
        let source = if let Some(bytes) = source.string(&source_at, "bytes")? {
            MediaSource::Base64(bytes)
        } else if let Some(text) = source.string(&source_at, "text")? {
            MediaSource::Text(text)
        } else {
            let place_at = source_at.member("s3Location");
            let mut place = place_at.object(source.must(&source_at, "s3Location")?)?;
            MediaSource::Url(place.must_string(&place_at, "uri")?)
        };
        let name = inner.string(&at, "name")?;
        let media_type = Some(media_type.into());
        return Ok(Ok(Media { kind, source, media_type, name, detail: None, cache: None }));
    }
    Ok(Err(block))
}

fn read_call<'a>(mut call: Fields<'a>, at: &At<'_>) -> Result<ToolCall<'a>, Malformed> {
    Ok(ToolCall {
        id: Some(call.must_string(at, "toolUseId")?),
        name: call.must_string(at, "name")?,
        arguments: Arguments::Value(call.take("input").unwrap_or_else(|| Object::default().into())),
        signature: None,
        cache: None,
        rest: call.rest(),
    })
}

fn read_result<'a>(mut result: Fields<'a>, at: &At<'_>) -> Result<ToolResult<'a>, Malformed> {
    let content = result.array(at, "content")?;
    let content = match <[Value<'a>; 1]>::try_from(content) {
        Ok([Value::Object(mut only)]) if only.len() == 1 && only.get("json").is_some() => {
            ResultContent::Value(only.take("json").unwrap_or(Value::Null))
        }
        Ok(only) => ResultContent::Parts(read_blocks(only.into(), &at.member("content"), read_block)?),
        Err(content) => ResultContent::Parts(read_blocks(content, &at.member("content"), read_block)?),
    };
    let status = result.string(at, "status")?;
    Ok(ToolResult {
        call: result.must_string(at, "toolUseId")?,
        name: None,
        content,
        is_error: status.map(|status| status.is("error")),
        cache: None,
    })
}

fn read_thought<'a>(mut reasoning: Fields<'a>, at: &At<'_>) -> Result<Part<'a>, Malformed> {
    let text_at = at.member("reasoningText");
    if let Some(mut text) = reasoning.object(at, "reasoningText")? {
        return Ok(Part::Thought(Thought {
            text: text.string(&text_at, "text")?.unwrap_or_default(),
            signature: text.string(&text_at, "signature")?.filter(|signature| !signature.is_empty()),
            ..Thought::default()
        }));
    }
    let sealed = reasoning.must_string(at, "redactedContent")?;
    Ok(Part::Thought(Thought { sealed: Some(sealed), ..Thought::default() }))
}

fn read_tools<'a>(tools: Vec<Value<'a>>, at: &At<'_>) -> Result<Vec<Tool<'a>>, Malformed> {
    let mut read: Vec<Tool<'a>> = Vec::with_capacity(tools.len());
    for (n, tool) in tools.into_iter().enumerate() {
        if let Some(mark) = cache_point(&tool)
            && let Some(Tool::Function(function)) = read.last_mut()
            && function.cache.is_none()
        {
            function.cache = Some(mark);
            continue;
        }
        let at = at.element(n);
        let mut fields = at.object(tool)?;
        let Some(mut spec) = fields.object(&at, "toolSpec")? else {
            read.push(Tool::Foreign(fields.rest().into()));
            continue;
        };
        let at = at.member("toolSpec");
        let mut schema = spec.object(&at, "inputSchema")?;
        read.push(Tool::Function(Function {
            name: spec.must_string(&at, "name")?,
            description: spec.string(&at, "description")?,
            parameters: schema.as_mut().and_then(|schema| schema.take("json")),
            strict: spec.truth(&at, "strict")?,
            cache: None,
            rest: spec.rest(),
        }));
    }
    Ok(read)
}

fn read_tool_choice<'a>(choice: Value<'a>, at: &At<'_>) -> Result<ToolChoice<'a>, Malformed> {
    let mut choice = at.object(choice)?;
    if choice.take("auto").is_some() {
        return Ok(ToolChoice::Auto);
    }
    if choice.take("any").is_some() {
        return Ok(ToolChoice::Required);
    }
    let tool_at = at.member("tool");
    match choice.object(at, "tool")? {
        Some(mut tool) => Ok(ToolChoice::Function(tool.must_string(&tool_at, "name")?)),
        None => Ok(ToolChoice::Foreign(choice.rest().into())),
    }
}

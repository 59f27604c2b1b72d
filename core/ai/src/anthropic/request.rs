//! Requests of the dialect, to the form.

use crate::dialect::Dialect;
use crate::form::read::{At, Fields, read_cache_mark};
use crate::form::{
    Arguments, Function, Malformed, Media, MediaKind, MediaSource, Output, Part, Request, ResultContent,
    Role, Sampling, Text, Thinking, Thought, Tool, ToolCall, ToolChoice, ToolResult, Turn,
};
use crate::json::{Object, Value};

/// Reads the body of a request.
///
/// # Errors
/// It is not one of this dialect, and where.
pub fn read_request(body: &[u8]) -> Result<Request<'_>, Malformed> {
    let at = At::Root;
    let mut fields = at.object(Value::parse(body)?)?;
    let mut request = Request::new(Dialect::Anthropic);
    request.model = fields.must_string(&at, "model")?;
    if let Some(system) = fields.take("system") {
        let parts = read_content(Some(system), &at.member("system"))?;
        request.turns.push(Turn::new(Role::System, parts));
    }
    request.turns.extend(fields.must_each(&at, "messages", read_message)?);
    request.tools = fields.each(&at, "tools", read_tool)?;
    if let Some(choice) = fields.take("tool_choice") {
        read_tool_choice(choice, &at.member("tool_choice"), &mut request)?;
    }
    request.thinking = read_thinking(&mut fields, &at)?;
    if let Some(format) = fields.take("output_format") {
        request.output = Some(read_output(format, &at.member("output_format"))?);
    }
    let config_at = at.member("output_config");
    if let Some(mut config) = fields.object(&at, "output_config")? {
        if let Some(effort) = config.string(&config_at, "effort")? {
            request.thinking.get_or_insert_default().effort = Some(effort);
        }
        if let Some(format) = config.take("format") {
            request.output = Some(read_output(format, &config_at.member("format"))?);
        }
    }
    request.sampling = Sampling {
        temperature: fields.number(&at, "temperature")?,
        top_p: fields.number(&at, "top_p")?,
        top_k: fields.number(&at, "top_k")?,
        ..Sampling::default()
    };
    request.max_output = fields.whole(&at, "max_tokens")?;
    request.stop = fields.each(&at, "stop_sequences", |text, at| at.string(text))?;
    request.stream = fields.truth(&at, "stream")?.unwrap_or(false);
    let metadata_at = at.member("metadata");
    if let Some(mut metadata) = fields.object(&at, "metadata")? {
        request.user = metadata.string(&metadata_at, "user_id")?;
        let rest = metadata.rest();
        request.metadata = (!rest.is_empty()).then(|| rest.into());
    }
    request.service_tier = fields.string(&at, "service_tier")?;
    request.rest = fields.rest();
    Ok(request)
}

fn read_message<'a>(message: Value<'a>, at: &At<'_>) -> Result<Turn<'a>, Malformed> {
    let mut fields = at.object(message)?;
    let role = fields.must_string(at, "role")?;
    let role = match role.text().as_ref() {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "system" => Role::System,
        _ => return Err(at.member("role").must_be("user or assistant")),
    };
    let content = fields.must(at, "content")?;
    let mut turn = Turn::new(role, read_content(Some(content), &at.member("content"))?);
    turn.rest = fields.rest();
    Ok(turn)
}

fn read_content<'a>(content: Option<Value<'a>>, at: &At<'_>) -> Result<Vec<Part<'a>>, Malformed> {
    match content {
        None => Ok(Vec::new()),
        Some(Value::String(text)) => Ok(vec![Part::Text(Text::new(text))]),
        Some(Value::Array(blocks)) => at.each(blocks, read_block),
        Some(_) => Err(at.must_be("a string or an array of blocks")),
    }
}

/// Reads a block of a turn or of an answer.
pub(super) fn read_block<'a>(block: Value<'a>, at: &At<'_>) -> Result<Part<'a>, Malformed> {
    let whole = block.clone();
    let mut fields = at.object(block)?;
    let kind = fields.must_string(at, "type")?;
    let cache = read_cache_mark(&mut fields, at)?;
    Ok(match kind.text().as_ref() {
        "text" => Part::Text(Text {
            text: fields.must_string(at, "text")?,
            cache,
            citations: fields.take("citations"),
            signature: None,
        }),
        "image" => read_media(MediaKind::Image, &mut fields, at)?
            .map_or(Part::Foreign(whole), |media| Part::Media(Media { cache, ..media })),
        // What it wants cited or has been told about a document has no place elsewhere.
        "document" if whole.get("citations").is_none() && whole.get("context").is_none() => {
            let name = fields.string(at, "title")?;
            read_media(MediaKind::Document, &mut fields, at)?
                .map_or(Part::Foreign(whole), |media| Part::Media(Media { cache, name, ..media }))
        }
        "thinking" => Part::Thought(Thought {
            text: fields.must_string(at, "thinking")?,
            signature: fields.string(at, "signature")?.filter(|signature| !signature.is_empty()),
            ..Thought::default()
        }),
        "redacted_thinking" => {
            Part::Thought(Thought { sealed: Some(fields.must_string(at, "data")?), ..Thought::default() })
        }
        "tool_use" => Part::ToolCall(ToolCall {
            id: Some(fields.must_string(at, "id")?),
            name: fields.must_string(at, "name")?,
            arguments: Arguments::Value(fields.take("input").unwrap_or_else(|| Object::default().into())),
            signature: None,
            cache,
            rest: fields.rest(),
        }),
        "tool_result" => Part::ToolResult(ToolResult {
            call: fields.must_string(at, "tool_use_id")?,
            name: None,
            content: ResultContent::Parts(read_content(fields.take("content"), &at.member("content"))?),
            is_error: fields.truth(at, "is_error")?,
            cache,
        }),
        _ => Part::Foreign(whole),
    })
}

/// A medium by its source; none where the source is of a kind that has no place elsewhere.
fn read_media<'a>(
    kind: MediaKind,
    fields: &mut Fields<'a>,
    at: &At<'_>,
) -> Result<Option<Media<'a>>, Malformed> {
    let source_at = at.member("source");
    let mut source = source_at.object(fields.must(at, "source")?)?;
    let how = source.must_string(&source_at, "type")?;
    let media_type = source.string(&source_at, "media_type")?;
    let source = match how.text().as_ref() {
        "base64" => MediaSource::Base64(source.must_string(&source_at, "data")?),
        "url" => MediaSource::Url(source.must_string(&source_at, "url")?),
        "file" => MediaSource::File(source.must_string(&source_at, "file_id")?),
        "text" => MediaSource::Text(source.must_string(&source_at, "data")?),
        _ => return Ok(None),
    };
    Ok(Some(Media { kind, source, media_type, name: None, detail: None, cache: None }))
}

fn read_tool<'a>(tool: Value<'a>, at: &At<'_>) -> Result<Tool<'a>, Malformed> {
    // Anthropic's own have a type with a date; a function's is `custom` or none.
    if !tool.get("type").is_none_or(|kind| kind.is("custom")) {
        return Ok(Tool::Foreign(tool));
    }
    let mut fields = at.object(tool)?;
    fields.take("type");
    Ok(Tool::Function(Function {
        name: fields.must_string(at, "name")?,
        description: fields.string(at, "description")?,
        parameters: fields.take("input_schema"),
        strict: fields.truth(at, "strict")?,
        cache: read_cache_mark(&mut fields, at)?,
        rest: fields.rest(),
    }))
}

fn read_tool_choice<'a>(choice: Value<'a>, at: &At<'_>, request: &mut Request<'a>) -> Result<(), Malformed> {
    let mut fields = at.object(choice)?;
    let kind = fields.must_string(at, "type")?;
    request.tool_choice = Some(match kind.text().as_ref() {
        "auto" => ToolChoice::Auto,
        "any" => ToolChoice::Required,
        "none" => ToolChoice::None,
        "tool" => ToolChoice::Function(fields.must_string(at, "name")?),
        _ => return Err(at.member("type").must_be("auto, any, tool or none")),
    });
    request.parallel_tool_calls = fields.truth(at, "disable_parallel_tool_use")?.map(|disabled| !disabled);
    Ok(())
}

fn read_thinking<'a>(fields: &mut Fields<'a>, at: &At<'_>) -> Result<Option<Thinking<'a>>, Malformed> {
    let thinking_at = at.member("thinking");
    let Some(mut thinking) = fields.object(at, "thinking")? else { return Ok(None) };
    let kind = thinking.must_string(&thinking_at, "type")?;
    let budget = match kind.text().as_ref() {
        "enabled" => Some(thinking.must(&thinking_at, "budget_tokens")?)
            .map(|budget| thinking_at.member("budget_tokens").whole(budget))
            .transpose()?,
        "disabled" => Some(0),
        "adaptive" => None,
        _ => return Err(thinking_at.member("type").must_be("enabled, disabled or adaptive")),
    };
    let shown = thinking.string(&thinking_at, "display")?;
    Ok(Some(Thinking { effort: None, budget, shown }))
}

fn read_output<'a>(format: Value<'a>, at: &At<'_>) -> Result<Output<'a>, Malformed> {
    let mut fields = at.object(format)?;
    let kind = fields.must_string(at, "type")?;
    if !kind.is("json_schema") {
        return Err(at.member("type").must_be("json_schema"));
    }
    let schema = fields.must(at, "schema")?;
    Ok(Output::Schema { name: None, description: None, schema, strict: None })
}

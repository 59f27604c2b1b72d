//! Requests of the dialect, to the form.
//!
//! What the dialect has as items one after another are turns here: thoughts, one message and the calls behind it are one
//! turn of the assistant, each result of a call a turn of its own.

use crate::dialect::Dialect;
use crate::form::read::{At, Fields};
use crate::form::{
    Arguments, Function, Malformed, Media, MediaKind, MediaSource, Output, Part, Request, ResultContent,
    Role, Sampling, Text, Thinking, Thought, Tool, ToolCall, ToolChoice, ToolResult, Turn,
};
use crate::json::{Object, Str, Value};
use crate::openai_chat::request::read_address;

/// What is to be in the answer beside the text: probabilities.
pub(super) const LOGPROBS: &str = "message.output_text.logprobs";

/// Reads the body of a request.
///
/// # Errors
/// It is not one of this dialect, and where.
pub fn read_request(body: &[u8]) -> Result<Request<'_>, Malformed> {
    let at = At::Root;
    let mut fields = at.object(Value::parse(body)?)?;
    let mut request = Request::new(Dialect::OpenAiResponses);
    request.model = fields.must_string(&at, "model")?;
    if let Some(instructions) = fields.take("instructions") {
        let text = at.member("instructions").string(instructions)?;
        if !text.is_empty() {
            request.turns.push(Turn::new(Role::System, vec![Part::Text(Text::new(text))]));
        }
    }
    let input_at = at.member("input");
    match fields.take("input") {
        None => {} // it may be all at the provider
        Some(Value::String(text)) => {
            request.turns.push(Turn::new(Role::User, vec![Part::Text(Text::new(text))]));
        }
        Some(Value::Array(items)) => {
            for (n, item) in items.into_iter().enumerate() {
                read_item(item, &input_at.element(n), &mut request.turns)?;
            }
        }
        Some(_) => return Err(input_at.must_be("a string or an array of items")),
    }
    request.tools = fields.each(&at, "tools", read_tool)?;
    if let Some(choice) = fields.take("tool_choice") {
        request.tool_choice = Some(read_tool_choice(choice, &at.member("tool_choice"))?);
    }
    request.parallel_tool_calls = fields.truth(&at, "parallel_tool_calls")?;
    read_text(&mut fields, &at, &mut request)?;
    read_reasoning(&mut fields, &at, &mut request)?;
    request.sampling = Sampling {
        temperature: fields.number(&at, "temperature")?,
        top_p: fields.number(&at, "top_p")?,
        ..Sampling::default()
    };
    request.max_output = fields.whole(&at, "max_output_tokens")?;
    let beside = fields.whole(&at, "top_logprobs")?;
    let mut include = fields.array(&at, "include")?;
    let wanted = include.len();
    include.retain(|one| !one.is(LOGPROBS));
    let is_wanted = include.len() < wanted || beside.is_some_and(|beside| beside > 0);
    request.logprobs = is_wanted.then(|| beside.unwrap_or(0));
    request.stream = fields.truth(&at, "stream")?.unwrap_or(false);
    request.user = fields.string(&at, "user")?;
    request.cache_key = fields.string(&at, "prompt_cache_key")?;
    request.service_tier = fields.string(&at, "service_tier")?;
    request.metadata = fields.take("metadata");
    if !include.is_empty() {
        request.rest.push("include", include);
    }
    for (name, value) in fields.rest() {
        request.rest.push(name, value);
    }
    Ok(request)
}

/// What is left of an object of settings stays with what is not known.
fn keep_rest<'a>(request: &mut Request<'a>, name: &'static str, rest: Object<'a>) {
    if !rest.is_empty() {
        request.rest.push(name, rest);
    }
}

fn read_text<'a>(fields: &mut Fields<'a>, at: &At<'_>, request: &mut Request<'a>) -> Result<(), Malformed> {
    let text_at = at.member("text");
    let Some(mut text) = fields.object(at, "text")? else { return Ok(()) };
    request.verbosity = text.string(&text_at, "verbosity")?;
    let format_at = text_at.member("format");
    if let Some(mut format) = text.object(&text_at, "format")? {
        let kind = format.must_string(&format_at, "type")?;
        request.output = Some(match kind.text().as_ref() {
            "text" => Output::Text,
            "json_object" => Output::Json,
            "json_schema" => Output::Schema {
                name: format.string(&format_at, "name")?,
                description: format.string(&format_at, "description")?,
                schema: format.take("schema").unwrap_or_else(|| Object::default().into()),
                strict: format.truth(&format_at, "strict")?,
            },
            _ => return Err(format_at.member("type").must_be("text, json_object or json_schema")),
        });
    }
    keep_rest(request, "text", text.rest());
    Ok(())
}

fn read_reasoning<'a>(
    fields: &mut Fields<'a>,
    at: &At<'_>,
    request: &mut Request<'a>,
) -> Result<(), Malformed> {
    let reasoning_at = at.member("reasoning");
    let Some(mut reasoning) = fields.object(at, "reasoning")? else { return Ok(()) };
    let effort = reasoning.string(&reasoning_at, "effort")?;
    let older = reasoning.string(&reasoning_at, "generate_summary")?;
    let shown = reasoning.string(&reasoning_at, "summary")?.or(older);
    if effort.is_some() || shown.is_some() {
        request.thinking = Some(Thinking { effort, budget: None, shown });
    }
    keep_rest(request, "reasoning", reasoning.rest());
    Ok(())
}

/// The turn of the assistant that a further piece of it belongs to: the last one, unless that says already what comes after
/// such a piece.
fn assistant<'t, 'a>(turns: &'t mut Vec<Turn<'a>>, ends: fn(&Part<'_>) -> bool) -> &'t mut Turn<'a> {
    let goes_on =
        turns.last().is_some_and(|turn| turn.role == Role::Assistant && !turn.parts.iter().any(ends));
    if !goes_on {
        turns.push(Turn::new(Role::Assistant, Vec::new()));
    }
    let last = turns.len() - 1;
    &mut turns[last]
}

fn read_item<'a>(item: Value<'a>, at: &At<'_>, turns: &mut Vec<Turn<'a>>) -> Result<(), Malformed> {
    let whole = item.clone();
    let mut fields = at.object(item)?;
    let kind = fields.string(at, "type")?;
    match kind.as_ref().map(Str::text).as_deref() {
        // `type` may be left out of a message, and of nothing else but a reference.
        None if whole.get("role").is_none() => turns.push(foreign(whole)),
        None | Some("message") => read_message(fields, at, turns)?,
        Some("reasoning") => {
            let thoughts = read_thoughts(&mut fields, at)?;
            assistant(turns, |part| !matches!(part, Part::Thought(_))).parts.extend(thoughts);
        }
        Some(kind @ ("function_call" | "custom_tool_call")) => {
            let call = read_call(kind == "custom_tool_call", fields, at)?;
            assistant(turns, |part| matches!(part, Part::Foreign(_))).parts.push(Part::ToolCall(call));
        }
        Some("function_call_output" | "custom_tool_call_output") if whole.get("call_id").is_some() => {
            let call = fields.must_string(at, "call_id")?;
            let name = fields.string(at, "name")?;
            let output = fields.must(at, "output")?;
            let content = ResultContent::Parts(read_content(output, &at.member("output"))?);
            let result = ToolResult { call, name, content, is_error: None, cache: None };
            let mut turn = Turn::new(Role::Tool, vec![Part::ToolResult(result)]);
            turn.rest = fields.rest();
            turn.rest.take("status");
            if kind.is_some_and(|kind| kind.is("custom_tool_call_output")) {
                turn.rest.push("type", "custom_tool_call_output");
            }
            turns.push(turn);
        }
        _ => turns.push(foreign(whole)),
    }
    Ok(())
}

/// An item that only this dialect knows: what the model or its provider did is the assistant's, what is said to that or
/// stands for items at the provider is the user's.
fn foreign(item: Value<'_>) -> Turn<'_> {
    let kind = item.get("type").and_then(Value::as_text).unwrap_or_default();
    let is_said =
        ["_call", "_request", "_tools", "program", "compaction"].iter().any(|end| kind.ends_with(end));
    let role = if is_said { Role::Assistant } else { Role::User };
    // By its type the writer knows it from a part of a message that nobody knows either.
    let kind = item.get("type").cloned().unwrap_or_else(|| "item_reference".into());
    let mut turn = Turn::new(role, vec![Part::Foreign(item)]);
    turn.rest.push("type", kind);
    turn
}

fn read_message<'a>(mut fields: Fields<'a>, at: &At<'_>, turns: &mut Vec<Turn<'a>>) -> Result<(), Malformed> {
    let role = fields.must_string(at, "role")?;
    let role = match role.text().as_ref() {
        "system" => Role::System,
        "developer" => Role::Developer,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        _ => return Err(at.member("role").must_be("system, developer, user or assistant")),
    };
    let content = read_content(fields.must(at, "content")?, &at.member("content"))?;
    fields.take("status");
    let rest = fields.rest();
    // A message goes on with the thoughts before it, and with nothing else.
    let turn = match role {
        Role::Assistant => assistant(turns, |part| !matches!(part, Part::Thought(_))),
        role => {
            turns.push(Turn::new(role, Vec::new()));
            let last = turns.len() - 1;
            &mut turns[last]
        }
    };
    turn.parts.extend(content);
    turn.rest = rest;
    Ok(())
}

/// The thoughts of an item, each summary one of its own, and what only the provider can read behind them.
pub(super) fn read_thoughts<'a>(fields: &mut Fields<'a>, at: &At<'_>) -> Result<Vec<Part<'a>>, Malformed> {
    let id = fields.string(at, "id")?;
    let sealed = fields.string(at, "encrypted_content")?;
    let mut thoughts = Vec::new();
    for name in ["summary", "content"] {
        let text = |part: Value<'a>, at: &At<'_>| at.object(part)?.must_string(at, "text");
        for text in fields.each(at, name, text)? {
            thoughts.push(Thought { text, id: id.clone(), ..Thought::default() });
        }
    }
    if thoughts.is_empty() || sealed.is_some() {
        thoughts.push(Thought { sealed, id, ..Thought::default() });
    }
    Ok(thoughts.into_iter().map(Part::Thought).collect())
}

pub(super) fn read_call<'a>(
    is_free: bool,
    mut fields: Fields<'a>,
    at: &At<'_>,
) -> Result<ToolCall<'a>, Malformed> {
    let id = fields.must_string(at, "call_id")?;
    let name = fields.must_string(at, "name")?;
    let arguments = match is_free {
        true => Arguments::Free(fields.must_string(at, "input")?),
        false => Arguments::Text(fields.must_string(at, "arguments")?),
    };
    fields.take("status");
    Ok(ToolCall { id: Some(id), name, arguments, signature: None, cache: None, rest: fields.rest() })
}

fn read_content<'a>(content: Value<'a>, at: &At<'_>) -> Result<Vec<Part<'a>>, Malformed> {
    match content {
        Value::String(text) => Ok(vec![Part::Text(Text::new(text))]),
        Value::Array(parts) => at.each(parts, read_part),
        _ => Err(at.must_be("a string or an array of parts")),
    }
}

/// A part of a message, of a request or of an answer.
pub(super) fn read_part<'a>(part: Value<'a>, at: &At<'_>) -> Result<Part<'a>, Malformed> {
    let whole = part.clone();
    let mut fields = at.object(part)?;
    let kind = fields.must_string(at, "type")?;
    let media =
        |kind, source, media_type| Media { kind, source, media_type, name: None, detail: None, cache: None };
    Ok(match kind.text().as_ref() {
        "input_text" | "output_text" | "text" => {
            let citations = fields.take("annotations");
            let citations = citations.filter(|told| told.as_array().is_none_or(|told| !told.is_empty()));
            Part::Text(Text { citations, ..Text::new(fields.must_string(at, "text")?) })
        }
        "refusal" => Part::Refusal(fields.must_string(at, "refusal")?),
        "input_image" => {
            let (source, media_type) = match fields.string(at, "image_url")? {
                Some(url) => read_address(url),
                None => (MediaSource::File(fields.must_string(at, "file_id")?), None),
            };
            let detail = fields.string(at, "detail")?;
            Part::Media(Media { detail, ..media(MediaKind::Image, source, media_type) })
        }
        "input_file" => {
            let name = fields.string(at, "filename")?;
            let url = fields.string(at, "file_url")?;
            let (source, media_type) = match (fields.string(at, "file_id")?, url) {
                (Some(id), _) => (MediaSource::File(id), None),
                (None, Some(url)) => (MediaSource::Url(url), None),
                (None, None) => read_address(fields.must_string(at, "file_data")?),
            };
            let detail = fields.string(at, "detail")?;
            Part::Media(Media { name, detail, ..media(MediaKind::Document, source, media_type) })
        }
        "input_audio" => {
            let audio_at = at.member("input_audio");
            let mut audio = audio_at.object(fields.must(at, "input_audio")?)?;
            let data = audio.must_string(&audio_at, "data")?;
            let format = audio.must_string(&audio_at, "format")?;
            let media_type = Str::from(format!("audio/{}", format.text()));
            Part::Media(media(MediaKind::Audio, MediaSource::Base64(data), Some(media_type)))
        }
        _ => Part::Foreign(whole),
    })
}

fn read_tool<'a>(tool: Value<'a>, at: &At<'_>) -> Result<Tool<'a>, Malformed> {
    if !tool.get("type").is_some_and(|kind| kind.is("function")) {
        return Ok(Tool::Foreign(tool));
    }
    let mut fields = at.object(tool)?;
    fields.take("type");
    Ok(Tool::Function(Function {
        name: fields.must_string(at, "name")?,
        description: fields.string(at, "description")?,
        parameters: fields.take("parameters"),
        strict: fields.truth(at, "strict")?,
        cache: None,
        rest: fields.rest(),
    }))
}

fn read_tool_choice<'a>(choice: Value<'a>, at: &At<'_>) -> Result<ToolChoice<'a>, Malformed> {
    match &choice {
        Value::String(word) => match word.text().as_ref() {
            "auto" => Ok(ToolChoice::Auto),
            "none" => Ok(ToolChoice::None),
            "required" => Ok(ToolChoice::Required),
            _ => Err(at.must_be("none, auto, required or a tool")),
        },
        Value::Object(_) if choice.get("type").is_some_and(|kind| kind.is("function")) => {
            let mut fields = at.object(choice)?;
            Ok(ToolChoice::Function(fields.must_string(at, "name")?))
        }
        Value::Object(_) => Ok(ToolChoice::Foreign(choice)),
        _ => Err(at.must_be("none, auto, required or a tool")),
    }
}

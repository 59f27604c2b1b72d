//! Requests of the dialect, to the form.

use crate::dialect::Dialect;
use crate::form::read::{At, Fields};
use crate::form::{
    Function, Malformed, Media, MediaKind, Output, Part, Request, ResultContent, Role, Sampling, Text,
    Thinking, Thought, Tool, ToolChoice, ToolResult, Turn,
};
use crate::json::{Object, Value};
use crate::openai_chat::request::{read_address, read_calls};

/// Reads the body of a request.
///
/// # Errors
/// It is not one of this dialect, and where.
pub fn read_request(body: &[u8]) -> Result<Request<'_>, Malformed> {
    let at = At::Root;
    let mut fields = at.object(Value::parse(body)?)?;
    let mut request = Request::new(Dialect::Cohere);
    request.model = fields.must_string(&at, "model")?;
    request.turns = fields.must_each(&at, "messages", read_message)?;
    let strict = fields.truth(&at, "strict_tools")?;
    request.tools = fields.each(&at, "tools", |tool, at| read_tool(tool, strict, at))?;
    request.tool_choice = match fields.string(&at, "tool_choice")? {
        None => None,
        Some(word) if word.is("REQUIRED") => Some(ToolChoice::Required),
        Some(word) if word.is("NONE") => Some(ToolChoice::None),
        Some(_) => return Err(at.member("tool_choice").must_be("REQUIRED or NONE")),
    };
    request.output = read_output(&mut fields, &at)?;
    request.thinking = read_thinking(&mut fields, &at)?;
    request.sampling = Sampling {
        temperature: fields.number(&at, "temperature")?,
        top_p: fields.number(&at, "p")?,
        top_k: fields.number(&at, "k")?,
        seed: fields.number(&at, "seed")?,
        presence_penalty: fields.number(&at, "presence_penalty")?,
        frequency_penalty: fields.number(&at, "frequency_penalty")?,
        logit_bias: None,
    };
    request.max_output = fields.whole(&at, "max_tokens")?;
    request.stop = fields.each(&at, "stop_sequences", |text, at| at.string(text))?;
    request.logprobs = fields.truth(&at, "logprobs")?.unwrap_or(false).then_some(0);
    request.stream = fields.truth(&at, "stream")?.unwrap_or(false);
    request.rest = fields.rest();
    Ok(request)
}

fn read_message<'a>(message: Value<'a>, at: &At<'_>) -> Result<Turn<'a>, Malformed> {
    let mut fields = at.object(message)?;
    let role = fields.must_string(at, "role")?;
    let role = match role.text().as_ref() {
        "system" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "tool" => Role::Tool,
        _ => return Err(at.member("role").must_be("system, user, assistant or tool")),
    };
    let mut turn = Turn::new(role, Vec::new());
    match role {
        Role::Assistant => turn.parts = read_said(&mut fields, at)?,
        Role::Tool => {
            let call = fields.must_string(at, "tool_call_id")?;
            let content = ResultContent::Parts(read_content(fields.take("content"), &at.member("content"))?);
            let result = ToolResult { call, name: None, content, is_error: None, cache: None };
            turn.parts.push(Part::ToolResult(result));
        }
        _ => turn.parts = read_content(fields.take("content"), &at.member("content"))?,
    }
    turn.rest = fields.rest();
    Ok(turn)
}

/// What the assistant says, in a request or in an answer: the plan, the content with its sources, the calls.
pub(super) fn read_said<'a>(fields: &mut Fields<'a>, at: &At<'_>) -> Result<Vec<Part<'a>>, Malformed> {
    let plan = fields.string(at, "tool_plan")?.filter(|plan| !plan.is_empty());
    let has_plan = plan.is_some();
    let mut parts: Vec<Part<'a>> = plan.map(|plan| Part::Text(Text::new(plan))).into_iter().collect();
    parts.extend(read_content(fields.take("content"), &at.member("content"))?);
    parts.retain(|part| !matches!(part, Part::Text(text) if text.text.is_empty()));
    for source in fields.array(at, "citations")? {
        let block = source.get("content_index").and_then(Value::as_u64).unwrap_or(0);
        let is_of_plan = source.get("type").is_some_and(|kind| kind.is("PLAN"));
        cite(&mut parts, source, if is_of_plan { 0 } else { block + u64::from(has_plan) });
    }
    parts.extend(read_calls(fields, at)?);
    Ok(parts)
}

/// Notes a source at the `n`th part, or at the first text where that is none.
fn cite<'a>(parts: &mut [Part<'a>], source: Value<'a>, n: u64) {
    let is_text = |part: &Part<'_>| matches!(part, Part::Text(_));
    let own = usize::try_from(n).ok().filter(|n| parts.get(*n).is_some_and(is_text));
    let Some(n) = own.or_else(|| parts.iter().position(is_text)) else { return };
    if let Some(Part::Text(text)) = parts.get_mut(n) {
        match &mut text.citations {
            Some(Value::Array(sources)) => sources.push(source),
            citations => *citations = Some(vec![source].into()),
        }
    }
}

fn read_content<'a>(content: Option<Value<'a>>, at: &At<'_>) -> Result<Vec<Part<'a>>, Malformed> {
    match content {
        None => Ok(Vec::new()),
        Some(Value::String(text)) => Ok(vec![Part::Text(Text::new(text))]),
        Some(Value::Array(blocks)) => at.each(blocks, read_block),
        Some(_) => Err(at.must_be("a string or an array of blocks")),
    }
}

fn read_block<'a>(block: Value<'a>, at: &At<'_>) -> Result<Part<'a>, Malformed> {
    let whole = block.clone();
    let mut fields = at.object(block)?;
    Ok(match fields.must_string(at, "type")?.text().as_ref() {
        "text" => Part::Text(Text::new(fields.must_string(at, "text")?)),
        "thinking" => {
            Part::Thought(Thought { text: fields.must_string(at, "thinking")?, ..Thought::default() })
        }
        "image_url" => {
            let image_at = at.member("image_url");
            let mut image = image_at.object(fields.must(at, "image_url")?)?;
            let (source, media_type) = read_address(image.must_string(&image_at, "url")?);
            let detail = image.string(&image_at, "detail")?;
            let (kind, name, cache) = (MediaKind::Image, None, None);
            Part::Media(Media { kind, source, media_type, name, detail, cache })
        }
        _ => Part::Foreign(whole),
    })
}

fn read_tool<'a>(tool: Value<'a>, strict: Option<bool>, at: &At<'_>) -> Result<Tool<'a>, Malformed> {
    if !tool.get("type").is_none_or(|kind| kind.is("function")) {
        return Ok(Tool::Foreign(tool));
    }
    let mut fields = at.object(tool)?;
    let function_at = at.member("function");
    let mut function = function_at.object(fields.must(at, "function")?)?;
    Ok(Tool::Function(Function {
        name: function.must_string(&function_at, "name")?,
        description: function.string(&function_at, "description")?,
        parameters: function.take("parameters"),
        strict,
        cache: None,
        rest: function.rest(),
    }))
}

fn read_output<'a>(fields: &mut Fields<'a>, at: &At<'_>) -> Result<Option<Output<'a>>, Malformed> {
    let format_at = at.member("response_format");
    let Some(mut format) = fields.object(at, "response_format")? else { return Ok(None) };
    let kind = format.must_string(&format_at, "type")?;
    let older = format.take("schema");
    match (kind.text().as_ref(), format.take("json_schema").or(older)) {
        ("text", _) => Ok(Some(Output::Text)),
        ("json_object", None) => Ok(Some(Output::Json)),
        ("json_object", Some(schema)) => {
            Ok(Some(Output::Schema { name: None, description: None, schema, strict: None }))
        }
        _ => Err(format_at.member("type").must_be("text or json_object")),
    }
}

fn read_thinking<'a>(fields: &mut Fields<'a>, at: &At<'_>) -> Result<Option<Thinking<'a>>, Malformed> {
    let thinking_at = at.member("thinking");
    let Some(mut thinking) = fields.object(at, "thinking")? else { return Ok(None) };
    let budget = thinking.whole(&thinking_at, "token_budget")?;
    let budget = match thinking.must_string(&thinking_at, "type")?.text().as_ref() {
        "enabled" => budget,
        "disabled" => Some(0),
        _ => return Err(thinking_at.member("type").must_be("enabled or disabled")),
    };
    Ok(Some(Thinking { budget, ..Thinking::default() }))
}

/// An object of one member.
pub(super) fn only<'a>(name: &'static str, value: impl Into<Value<'a>>) -> Object<'a> {
    let mut object = Object::default();
    object.push(name, value);
    object
}

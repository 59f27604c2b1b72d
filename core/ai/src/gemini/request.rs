//! Requests of the dialect, to the form.

use super::names::{fields, inner};
use super::schema::to_json_schema;
use crate::dialect::Dialect;
use crate::form::read::{At, Fields};
use crate::form::{
    Arguments, Function, Malformed, Media, MediaKind, MediaSource, Output, Part, Request, ResultContent,
    Role, Sampling, Text, Thinking, Thought, Tool, ToolCall, ToolChoice, ToolResult, Turn,
};
use crate::json::{Object, Str, Value};

/// What the ids begin with that calls without one get here. Google gets them back as it gave them: not at all.
pub(super) const MADE_ID: &str = "gcall_";

/// Reads the body of a request.
///
/// Members that there is no place for are in [`Request::rest`] and [`Turn::rest`] where they stood: those of
/// `generationConfig` in a member of that name, and those of a turn's parts in `parts`, an object each.
///
/// # Errors
/// It is not one of this dialect, and where.
pub fn read_request(body: &[u8]) -> Result<Request<'_>, Malformed> {
    let at = At::Root;
    let mut body = fields(&at, Value::parse(body)?)?;
    let mut request = Request::new(Dialect::Gemini);
    let mut rest = Object::default();
    request.model = body.string(&at, "model")?.unwrap_or_default();
    if let Some(system) = body.take("systemInstruction") {
        let mut turn = read_content(system, &at.member("systemInstruction"))?;
        turn.role = Role::System;
        request.turns.push(turn);
    }
    request.turns.extend(body.must_each(&at, "contents", read_content)?);
    name_calls(&mut request.turns);
    for tools in body.each(&at, "tools", read_tool)? {
        request.tools.extend(tools);
    }
    if let Some(mut config) = inner(&mut body, &at, "toolConfig")? {
        if let Some(choice) = config.take("functionCallingConfig") {
            let at = at.member("toolConfig");
            request.tool_choice = Some(read_tool_choice(choice, &at.member("functionCallingConfig"))?);
        }
        push_rest(&mut rest, "toolConfig", config);
    }
    if let Some(config) = inner(&mut body, &at, "generationConfig")? {
        read_config(config, &at.member("generationConfig"), &mut request, &mut rest)?;
    }
    request.service_tier = body.string(&at, "serviceTier")?;
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

fn read_config<'a>(
    mut config: Fields<'a>,
    at: &At<'_>,
    request: &mut Request<'a>,
    rest: &mut Object<'a>,
) -> Result<(), Malformed> {
    request.sampling = Sampling {
        temperature: config.number(at, "temperature")?,
        top_p: config.number(at, "topP")?,
        top_k: config.number(at, "topK")?,
        seed: config.number(at, "seed")?,
        presence_penalty: config.number(at, "presencePenalty")?,
        frequency_penalty: config.number(at, "frequencyPenalty")?,
        logit_bias: None,
    };
    request.max_output = config.whole(at, "maxOutputTokens")?;
    request.answers = config.whole(at, "candidateCount")?;
    request.stop = config.each(at, "stopSequences", |text, at| at.string(text))?;
    let shown = config.truth(at, "responseLogprobs")?.unwrap_or(false);
    let beside = config.whole(at, "logprobs")?;
    request.logprobs = shown.then(|| beside.unwrap_or(0));
    let mut more = Object::default();
    if let Some(mut thinking) = inner(&mut config, at, "thinkingConfig")? {
        request.thinking = read_thinking(&mut thinking, &at.member("thinkingConfig"))?;
        push_rest(&mut more, "thinkingConfig", thinking);
    }
    request.output = read_output(&mut config, at)?;
    for (name, value) in config.rest() {
        more.push(name, value);
    }
    if !more.is_empty() {
        rest.push("generationConfig", more);
    }
    Ok(())
}

/// How much is to be thought. What asks for what is so anyway, a budget of -1, is left where it is.
fn read_thinking<'a>(fields: &mut Fields<'a>, at: &At<'_>) -> Result<Option<Thinking<'a>>, Malformed> {
    let mut thinking = Thinking::default();
    if let Some(level) = fields.string(at, "thinkingLevel")? {
        thinking.effort = Some(lower(level));
    }
    if let Some(budget) = fields.number(at, "thinkingBudget")? {
        match budget.as_u64() {
            Some(budget) => thinking.budget = Some(budget),
            None if budget.as_f64() < 0.0 => fields.put_back("thinkingBudget", Value::Number(budget)),
            None => return Err(at.member("thinkingBudget").must_be("a whole number")),
        }
    }
    // The words are Anthropic's, which mean the same.
    let shown = fields.truth(at, "includeThoughts")?;
    thinking.shown = shown.map(|shown| if shown { "summarized".into() } else { "omitted".into() });
    Ok((thinking != Thinking::default()).then_some(thinking))
}

/// A word of an enum of the dialect in lower case, as the form has such words.
fn lower(word: Str<'_>) -> Str<'_> {
    match word.text() {
        text if text.bytes().any(|byte| byte.is_ascii_uppercase()) => text.to_ascii_lowercase().into(),
        _ => word,
    }
}

fn read_output<'a>(config: &mut Fields<'a>, at: &At<'_>) -> Result<Option<Output<'a>>, Malformed> {
    let mime_type = config.string(at, "responseMimeType")?;
    let schema = config.take("responseJsonSchema");
    let schema = schema.or_else(|| config.take("responseSchema").map(to_json_schema));
    let is_json = mime_type.as_ref().is_none_or(|kind| kind.is("application/json"));
    Ok(match (mime_type, schema) {
        (_, Some(schema)) if is_json => {
            Some(Output::Schema { name: None, description: None, schema, strict: None })
        }
        (Some(_), None) if is_json => Some(Output::Json),
        (Some(kind), None) if kind.is("text/plain") => Some(Output::Text),
        // One word of a list, for instance.
        (kind, schema) => {
            if let Some(kind) = kind {
                config.put_back("responseMimeType", kind);
            }
            if let Some(schema) = schema {
                config.put_back("responseJsonSchema", schema);
            }
            None
        }
    })
}

/// Reads a turn.
fn read_content<'a>(content: Value<'a>, at: &At<'_>) -> Result<Turn<'a>, Malformed> {
    let mut content = fields(at, content)?;
    let role = match content.string(at, "role")?.as_ref().map(Str::text).as_deref() {
        None | Some("user" | "function" | "") => Role::User,
        Some("model") => Role::Assistant,
        Some("system") => Role::System,
        Some(_) => return Err(at.member("role").must_be("user or model")),
    };
    let (parts, rest) = read_parts(&mut content, at)?;
    let mut turn = Turn::new(role, parts);
    turn.rest = content.rest();
    if rest.iter().any(|rest| rest.as_object().is_some_and(|rest| !rest.is_empty())) {
        turn.rest.push("parts", rest);
    }
    Ok(turn)
}

/// The parts of a turn or of an answer, and the members of each that there is no place for.
pub(super) fn read_parts<'a>(
    content: &mut Fields<'a>,
    at: &At<'_>,
) -> Result<(Vec<Part<'a>>, Vec<Value<'a>>), Malformed> {
    let parts = content.each(at, "parts", read_part)?;
    Ok(parts.into_iter().map(|(part, rest)| (part, Value::from(rest))).unzip())
}

/// Reads a part, and what there is no place for in it.
pub(super) fn read_part<'a>(part: Value<'a>, at: &At<'_>) -> Result<(Part<'a>, Object<'a>), Malformed> {
    let mut part = fields(at, part)?;
    let is_thought = part.truth(at, "thought")?.unwrap_or(false);
    if let Some(text) = part.string(at, "text")? {
        let signature = part.string(at, "thoughtSignature")?.filter(|signature| !signature.is_empty());
        let read = if is_thought {
            Part::Thought(Thought { text, signature, ..Thought::default() })
        } else {
            Part::Text(Text { signature, ..Text::new(text) })
        };
        return Ok((read, part.rest()));
    }
    if is_thought {
        // A picture that it thought of is no part of the answer.
        part.put_back("thought", true);
        return Ok((Part::Foreign(part.rest().into()), Object::default()));
    }
    if let Some(call) = inner(&mut part, at, "functionCall")? {
        let signature = part.string(at, "thoughtSignature")?.filter(|signature| !signature.is_empty());
        let call = read_call(call, &at.member("functionCall"), signature)?;
        return Ok((Part::ToolCall(call), part.rest()));
    }
    if let Some(result) = inner(&mut part, at, "functionResponse")? {
        let (result, more) = read_result(result, &at.member("functionResponse"))?;
        let mut rest = part.rest();
        if !more.is_empty() {
            rest.push("functionResponse", more);
        }
        return Ok((Part::ToolResult(result), rest));
    }
    for name in ["inlineData", "fileData"] {
        if let Some(data) = inner(&mut part, at, name)? {
            let (media, more) = read_media(data, &at.member(name))?;
            let mut rest = part.rest();
            if !more.is_empty() {
                rest.push(name, more);
            }
            return Ok((Part::Media(media), rest));
        }
    }
    Ok((Part::Foreign(part.rest().into()), Object::default()))
}

fn read_call<'a>(
    mut call: Fields<'a>,
    at: &At<'_>,
    signature: Option<Str<'a>>,
) -> Result<ToolCall<'a>, Malformed> {
    Ok(ToolCall {
        id: call.string(at, "id")?.filter(|id| !id.is_empty()),
        name: call.must_string(at, "name")?,
        arguments: Arguments::Value(call.take("args").unwrap_or_else(|| Object::default().into())),
        signature,
        cache: None,
        rest: call.rest(),
    })
}

/// Either what a medium's bytes are or where they are.
fn read_media<'a>(mut data: Fields<'a>, at: &At<'_>) -> Result<(Media<'a>, Object<'a>), Malformed> {
    let media_type = data.string(at, "mimeType")?;
    let kind = match media_type.as_ref().map(Str::text).as_deref().and_then(|kind| kind.split('/').next()) {
        Some("image") => MediaKind::Image,
        Some("audio") => MediaKind::Audio,
        Some("video") => MediaKind::Video,
        _ => MediaKind::Document,
    };
    let source = match data.string(at, "fileUri")? {
        // Of Google's own store of files.
        Some(uri) if uri.text().contains("/v1beta/files/") => MediaSource::File(uri),
        Some(uri) => MediaSource::Url(uri),
        None => MediaSource::Base64(data.must_string(at, "data")?),
    };
    let name = data.string(at, "displayName")?;
    Ok((Media { kind, source, media_type, name, detail: None, cache: None }, data.rest()))
}

/// What a function gave back: under `output` if it went well and `error` if it failed, or any other object
/// (<https://ai.google.dev/api/caching#FunctionResponse>).
fn read_result<'a>(mut fields: Fields<'a>, at: &At<'_>) -> Result<(ToolResult<'a>, Object<'a>), Malformed> {
    let call = fields.string(at, "id")?.unwrap_or_default();
    let name = fields.must_string(at, "name")?;
    let mut is_error = None;
    let mut content = match fields.take("response") {
        Some(Value::Object(mut response)) if response.len() == 1 => {
            match (response.take("output"), response.take("error")) {
                (Some(Value::String(text)), _) => ResultContent::Parts(vec![Part::Text(Text::new(text))]),
                (Some(Value::Object(output)), _) => {
                    ResultContent::Value([("output", output)].into_iter().collect::<Object<'_>>().into())
                }
                (Some(output), _) => ResultContent::Value(output),
                (None, Some(Value::String(text))) => {
                    is_error = Some(true);
                    ResultContent::Parts(vec![Part::Text(Text::new(text))])
                }
                (None, Some(error)) => {
                    is_error = Some(true);
                    ResultContent::Value(error)
                }
                (None, None) => ResultContent::Value(response.into()),
            }
        }
        Some(response @ Value::Object(_)) => ResultContent::Value(response),
        Some(_) => return Err(at.member("response").must_be("an object")),
        None => ResultContent::Value(Object::default().into()),
    };
    let media = fields.each(at, "parts", |part, at| read_part(part, at).map(|(part, _)| part))?;
    if !media.is_empty() {
        let mut parts = match content {
            ResultContent::Parts(parts) => parts,
            ResultContent::Value(Value::Object(value)) if value.is_empty() => Vec::new(),
            ResultContent::Value(value) => vec![Part::Text(Text::new(value.to_json()))],
        };
        parts.extend(media);
        content = ResultContent::Parts(parts);
    }
    Ok((ToolResult { call, name: Some(name), content, is_error, cache: None }, fields.rest()))
}

/// Gives an id to each call that has none, and to its result, which is the first of its name that is still free.
fn name_calls(turns: &mut [Turn<'_>]) {
    let mut open: Vec<(String, String)> = Vec::new();
    let mut was_assistant = false;
    for (at, turn) in turns.iter_mut().enumerate() {
        let is_assistant = turn.role == Role::Assistant;
        if is_assistant && !was_assistant {
            open.clear();
        }
        was_assistant = is_assistant;
        for (n, part) in turn.parts.iter_mut().enumerate() {
            match part {
                Part::ToolCall(call) => {
                    let id = call.id.get_or_insert_with(|| format!("{MADE_ID}{at}_{n}").into());
                    open.push((id.text().into_owned(), call.name.text().into_owned()));
                }
                Part::ToolResult(result) => {
                    let name = result.name.as_ref().map(Str::text).unwrap_or_default();
                    let is_nameless = result.call.is_empty();
                    let found = open
                        .iter()
                        .position(|(id, of)| if is_nameless { *of == name } else { result.call.is(id) });
                    match found {
                        Some(found) if is_nameless => result.call = open.remove(found).0.into(),
                        Some(found) => drop(open.remove(found)),
                        None if is_nameless => result.call = format!("{MADE_ID}{at}_{n}").into(),
                        None => {}
                    }
                }
                _ => {}
            }
        }
    }
}

/// Reads an element of `tools`: functions, and what Google runs itself.
fn read_tool<'a>(tool: Value<'a>, at: &At<'_>) -> Result<Vec<Tool<'a>>, Malformed> {
    let mut tool = fields(at, tool)?;
    let mut tools = tool
        .each(at, "functionDeclarations", |function, at| read_function(function, at).map(Tool::Function))?;
    let rest = tool.rest();
    if !rest.is_empty() {
        tools.push(Tool::Foreign(rest.into()));
    }
    Ok(tools)
}

fn read_function<'a>(function: Value<'a>, at: &At<'_>) -> Result<Function<'a>, Malformed> {
    let mut function = fields(at, function)?;
    let schema = function.take("parametersJsonSchema");
    Ok(Function {
        name: function.must_string(at, "name")?,
        description: function.string(at, "description")?,
        parameters: schema.or_else(|| function.take("parameters").map(to_json_schema)),
        strict: None,
        cache: None,
        rest: function.rest(),
    })
}

/// Reads whether and which functions must be called. A choice of several has no place in the form.
fn read_tool_choice<'a>(choice: Value<'a>, at: &At<'_>) -> Result<ToolChoice<'a>, Malformed> {
    let mut choice = fields(at, choice)?;
    let mode = choice.string(at, "mode")?;
    let names = choice.each(at, "allowedFunctionNames", |name, at| at.string(name))?;
    let word = mode.as_ref().map(|mode| mode.text().to_ascii_uppercase()).unwrap_or_default();
    Ok(match (word.as_str(), names.as_slice()) {
        ("" | "AUTO" | "MODE_UNSPECIFIED", []) => ToolChoice::Auto,
        ("NONE", []) => ToolChoice::None,
        ("ANY", []) => ToolChoice::Required,
        ("ANY", [only]) => ToolChoice::Function(only.clone()),
        _ => {
            let mut whole = Object::default();
            if let Some(mode) = mode {
                whole.push("mode", mode);
            }
            if !names.is_empty() {
                let names: Vec<Value<'_>> = names.into_iter().map(Value::String).collect();
                whole.push("allowedFunctionNames", names);
            }
            ToolChoice::Foreign(whole.into())
        }
    })
}

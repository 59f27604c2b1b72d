//! Requests of the dialect, to the form.

use crate::dialect::Dialect;
use crate::form::read::{At, Fields, read_cache_mark};
use crate::form::{
    Arguments, Function, Malformed, Media, MediaKind, MediaSource, Output, Part, Request, ResultContent,
    Role, Sampling, Text, Thinking, Thought, Tool, ToolCall, ToolChoice, ToolResult, Turn,
};
use crate::json::{Object, Str, Value};

/// Reads the body of a request.
///
/// # Errors
/// It is not one of this dialect, and where.
pub fn read_request(body: &[u8]) -> Result<Request<'_>, Malformed> {
    read(body, Dialect::OpenAiChat)
}

/// Reads a request of Chat's or of Mistral's.
pub(crate) fn read(body: &[u8], dialect: Dialect) -> Result<Request<'_>, Malformed> {
    let at = At::Root;
    let mut fields = at.object(Value::parse(body)?)?;
    let mut request = Request::new(dialect);
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
        seed: match dialect {
            Dialect::Mistral => fields.number(&at, "random_seed")?,
            _ => fields.number(&at, "seed")?,
        },
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

pub(crate) fn read_content<'a>(content: Option<Value<'a>>, at: &At<'_>) -> Result<Vec<Part<'a>>, Malformed> {
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
            let pieces = read_content(fields.take("thinking"), &at.member("thinking"))?;
            let texts = pieces.iter().filter_map(|piece| match piece {
                Part::Text(text) => Some(text.text.text()),
                _ => None,
            });
            let signature = fields.string(at, "signature")?;
            Part::Thought(Thought { text: texts.collect::<String>().into(), signature, ..Thought::default() })
        }
        // What has members of its own at OpenAI is a string at Mistral.
        "image_url" => {
            let image_at = at.member("image_url");
            let (url, detail) = match fields.must(at, "image_url")? {
                Value::String(url) => (url, None),
                image => {
                    let mut image = image_at.object(image)?;
                    (image.must_string(&image_at, "url")?, image.string(&image_at, "detail")?)
                }
            };
            let (source, media_type) = read_address(url);
            Part::Media(Media { detail, ..media(MediaKind::Image, source, media_type) })
        }
        "input_audio" => {
            let audio_at = at.member("input_audio");
            match fields.must(at, "input_audio")? {
                Value::String(audio) if is_web_address(&audio) => {
                    Part::Media(media(MediaKind::Audio, MediaSource::Url(audio), None))
                }
                Value::String(audio) => {
                    Part::Media(media(MediaKind::Audio, MediaSource::Base64(audio), None))
                }
                audio => {
                    let mut audio = audio_at.object(audio)?;
                    let data = audio.must_string(&audio_at, "data")?;
                    let format = audio.must_string(&audio_at, "format")?;
                    let media_type = Str::from(format!("audio/{}", format.text()));
                    Part::Media(media(MediaKind::Audio, MediaSource::Base64(data), Some(media_type)))
                }
            }
        }
        "document_url" => {
            let (source, media_type) = read_address(fields.must_string(at, "document_url")?);
            let name = fields.string(at, "document_name")?;
            Part::Media(Media { name, ..media(MediaKind::Document, source, media_type) })
        }
        "file" => {
            let file_at = at.member("file");
            if let Some(id) = fields.string(at, "file_id")? {
                return Ok(Part::Media(media(MediaKind::Document, MediaSource::File(id), None)));
            }
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
pub(crate) fn read_address(url: Str<'_>) -> (MediaSource<'_>, Option<Str<'_>>) {
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

fn is_web_address(text: &Str<'_>) -> bool {
    let text = text.text();
    text.starts_with("https://") || text.starts_with("http://")
}

fn split_data_url(url: &str) -> Option<(&str, &str)> {
    let rest = url.get(..5).filter(|scheme| scheme.eq_ignore_ascii_case("data:")).map(|_| &url[5..])?;
    let (about, data) = rest.split_once(',')?;
    let media_type = about.strip_suffix(";base64")?;
    Some((media_type, data))
}

/// The calls of a message.
pub(crate) fn read_calls<'a>(message: &mut Fields<'a>, at: &At<'_>) -> Result<Vec<Part<'a>>, Malformed> {
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
    let arguments = match inner.take(input) {
        // As some compatible providers, and Mistral in part, have it.
        Some(object @ Value::Object(_)) if !is_custom => Arguments::Value(object),
        Some(text) if is_custom => Arguments::Free(inner_at.member(input).string(text)?),
        Some(text) => Arguments::Text(inner_at.member(input).string(text)?),
        None if is_custom => Arguments::Free(Str::default()),
        None => Arguments::Text(Str::default()),
    };
    Ok(ToolCall { id, name, arguments, signature: None, cache: None, rest: fields.rest() })
}

pub(crate) fn read_tool<'a>(tool: Value<'a>, at: &At<'_>) -> Result<Tool<'a>, Malformed> {
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

pub(crate) fn read_tool_choice<'a>(choice: Value<'a>, at: &At<'_>) -> Result<ToolChoice<'a>, Malformed> {
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

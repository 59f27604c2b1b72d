//! Answers: of the dialect to the form, and back.

use super::request::{read_calls, read_content, write_call};
use crate::dialect::Dialect;
use crate::form::read::{At, Fields};
use crate::form::write::write_rest;
use crate::form::{Answer, Choice, Feature, Losses, Malformed, Part, Stop, Text, Thought};
use crate::json::{Object, Str, Value};
use crate::usage::{Account, Usage};

/// Reads the body of an answer.
///
/// # Errors
/// It is not one of this dialect, and where.
pub fn read_answer(body: &[u8]) -> Result<Answer<'_>, Malformed> {
    let at = At::Root;
    let document = Value::parse(body)?;
    let mut account = Account::default();
    account.take(Dialect::OpenAiChat, &document);
    let mut fields = at.object(document)?;
    let choices = fields.must_each(&at, "choices", read_choice)?;
    fields.take("usage");
    fields.take("object");
    Ok(Answer {
        from: Dialect::OpenAiChat,
        id: fields.string(&at, "id")?.unwrap_or_default(),
        model: fields.string(&at, "model")?.unwrap_or_default(),
        created: fields.take("created").and_then(|created| created.as_u64()),
        choices,
        usage: account.usage,
        service_tier: fields.string(&at, "service_tier")?,
        fingerprint: fields.string(&at, "system_fingerprint")?,
        rest: fields.rest(),
    })
}

fn read_choice<'a>(choice: Value<'a>, at: &At<'_>) -> Result<Choice<'a>, Malformed> {
    let mut fields = at.object(choice)?;
    let message_at = at.member("message");
    let mut message = message_at.object(fields.must(at, "message")?)?;
    let mut parts = Vec::new();
    if let Some(text) = read_thought(&mut message, &message_at)? {
        parts.push(Part::Thought(Thought { text, ..Thought::default() }));
    }
    let mut content = read_content(message.take("content"), &message_at.member("content"))?;
    // Where sources are told, they belong to the text.
    if let Some(annotations) =
        message.take("annotations").filter(|told| told.as_array().is_some_and(|told| !told.is_empty()))
        && let Some(Part::Text(text)) = content.iter_mut().find(|part| matches!(part, Part::Text(_)))
    {
        text.citations = Some(annotations);
    }
    parts.append(&mut content);
    parts.retain(|part| !matches!(part, Part::Text(text) if text.text.is_empty()));
    if let Some(refusal) = message.string(&message_at, "refusal")? {
        parts.push(Part::Refusal(refusal));
    }
    parts.extend(read_calls(&mut message, &message_at)?);
    let stop = fields.string(at, "finish_reason")?.map(|word| read_stop(&word));
    Ok(Choice { parts, stop, stop_sequence: None, logprobs: fields.take("logprobs") })
}

/// Thoughts that compatible providers show, by either of their names.
pub(super) fn read_thought<'a>(message: &mut Fields<'a>, at: &At<'_>) -> Result<Option<Str<'a>>, Malformed> {
    let other = message.take("reasoning").and_then(|told| match told {
        Value::String(text) => Some(text),
        _ => None,
    });
    let text = message.string(at, "reasoning_content")?.or(other);
    Ok(text.filter(|text| !text.is_empty()))
}

/// The reason that a word stands for.
pub(super) fn read_stop<'a>(word: &Str<'a>) -> Stop<'a> {
    match word.text().as_ref() {
        "stop" => Stop::End,
        "length" => Stop::MaxOutput,
        "tool_calls" | "function_call" => Stop::ToolCalls,
        "content_filter" => Stop::Filtered,
        _ => Stop::Other(word.clone()),
    }
}

/// The word for a reason.
pub(super) fn write_stop(stop: &Stop<'_>, losses: &mut Losses) -> &'static str {
    match stop {
        Stop::End | Stop::StopSequence => "stop",
        Stop::MaxOutput | Stop::ContextFull => "length",
        Stop::ToolCalls => "tool_calls",
        Stop::Filtered | Stop::Refused => "content_filter",
        Stop::Paused | Stop::Other(_) => {
            losses.tell(Feature::StopReason);
            "stop"
        }
    }
}

/// Writes an answer that names `model`; what the dialect has no word for is told in `losses`.
pub fn write_answer<'r>(answer: &'r Answer<'_>, model: &'r str, losses: &mut Losses) -> Object<'r> {
    let mut body = Object::default();
    body.push("id", answer.id.clone());
    body.push("object", "chat.completion");
    body.push("created", answer.created.unwrap_or(0));
    body.push("model", model);
    let choices = answer.choices.iter().enumerate();
    let choices: Vec<Value<'_>> = choices.map(|(n, choice)| write_choice(choice, n as u64, losses)).collect();
    body.push("choices", choices);
    if let Some(usage) = &answer.usage {
        body.push("usage", write_usage(usage));
    }
    for (name, text) in [("service_tier", &answer.service_tier), ("system_fingerprint", &answer.fingerprint)]
    {
        if let Some(text) = text {
            body.push(name, text.clone());
        }
    }
    write_rest(&mut body, &answer.rest, answer.from, Dialect::OpenAiChat, losses);
    body
}

fn write_choice<'r>(choice: &'r Choice<'_>, index: u64, losses: &mut Losses) -> Value<'r> {
    let mut message = Object::default();
    message.push("role", "assistant");
    let mut texts: Vec<&Text<'_>> = Vec::new();
    let mut calls: Vec<Value<'_>> = Vec::new();
    let mut thoughts = String::new();
    let (mut refusal, mut citations) = (None, None);
    for part in &choice.parts {
        match part {
            Part::Text(text) => {
                texts.push(text);
                citations = citations.or(text.citations.as_ref());
                losses.tell_if(text.signature.is_some(), Feature::ThinkingSignature);
            }
            Part::Thought(thought) => {
                thoughts.push_str(&thought.text.text());
                losses.tell_if(thought.signature.is_some(), Feature::ThinkingSignature);
                losses.tell_if(thought.sealed.is_some(), Feature::ThinkingSealed);
            }
            Part::ToolCall(call) => {
                losses.tell_if(call.signature.is_some(), Feature::ThinkingSignature);
                calls.push(write_call(call));
            }
            Part::Refusal(text) => refusal = Some(text.clone()),
            Part::Media(_) => losses.tell(Feature::Modalities),
            Part::ToolResult(_) | Part::Foreign(_) => losses.tell(Feature::ServerTools),
        }
    }
    match texts.as_slice() {
        [] => message.push("content", Value::Null),
        [only] => message.push("content", only.text.clone()),
        texts => message.push("content", texts.iter().map(|text| text.text.text()).collect::<String>()),
    }
    message.push("refusal", refusal.map_or(Value::Null, Value::String));
    if !thoughts.is_empty() {
        message.push("reasoning_content", thoughts);
    }
    if !calls.is_empty() {
        message.push("tool_calls", calls);
    }
    if let Some(citations) = citations {
        message.push("annotations", citations.clone());
    }
    let mut written = Object::default();
    written.push("index", index);
    written.push("message", message);
    written.push("logprobs", choice.logprobs.clone().unwrap_or(Value::Null));
    let stop = choice.stop();
    losses.tell_if(choice.stop_sequence.is_some(), Feature::StopSequence);
    written.push("finish_reason", stop.map_or(Value::Null, |stop| write_stop(&stop, losses).into()));
    written.into()
}

/// The usage in the words of the dialect, where cached tokens and audio are a part of the prompt and reasoning is one of
/// the completion.
pub(super) fn write_usage(usage: &Usage) -> Value<'static> {
    let (prompt, completion) = (usage.input_total(), usage.output_total());
    let details = |members: [(&'static str, u64); 2]| members.into_iter().collect::<Object<'_>>();
    let mut written = Object::default();
    written.push("prompt_tokens", prompt);
    written.push("completion_tokens", completion);
    written.push("total_tokens", prompt.saturating_add(completion));
    written.push(
        "prompt_tokens_details",
        details([("cached_tokens", usage.cached_read), ("audio_tokens", usage.audio_input)]),
    );
    written.push(
        "completion_tokens_details",
        details([("reasoning_tokens", usage.reasoning), ("audio_tokens", usage.audio_output)]),
    );
    written.into()
}

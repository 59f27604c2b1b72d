//! Answers: of the dialect to the form, and back.

use super::names::{fields, inner};
use super::request::{MADE_ID, read_parts};
use super::write::{call_part, media_part, text_part, thought_part};
use crate::dialect::Dialect;
use crate::form::read::At;
use crate::form::shape::merge;
use crate::form::write::{foreign, write_answer_rest};
use crate::form::{Answer, Choice, Feature, Losses, Malformed, Part, Stop, Text};
use crate::json::{Object, Str, Value};
use crate::usage::{Account, Usage};

/// Members of a candidate that say where its text is from.
pub(super) const SOURCES: [&str; 2] = ["citationMetadata", "groundingMetadata"];

/// Reads the body of an answer.
///
/// Members of candidates that there is no place for are in [`Answer::rest`] under `candidates`, an object each. A prompt
/// that was blocked has one choice, which says nothing and was filtered.
///
/// # Errors
/// It is not one of this dialect, and where; or the provider says that it failed.
pub fn read_answer(body: &[u8]) -> Result<Answer<'_>, Malformed> {
    let at = At::Root;
    let document = Value::parse(body)?;
    let mut account = Account::default();
    account.take(Dialect::Gemini, &document);
    let mut body = fields(&at, document)?;
    if let Some(error) = body.take("error") {
        let (kind, message) = failure(error);
        let text = |text: Str<'_>| text.text().into_owned();
        return Err(Malformed::Failed { kind: kind.map(text), message: text(message) });
    }
    let id = body.string(&at, "responseId")?.unwrap_or_default();
    let model = body.string(&at, "modelVersion")?.unwrap_or_default();
    let candidates = body.each(&at, "candidates", read_candidate)?;
    let (mut choices, more): (Vec<_>, Vec<_>) = candidates.into_iter().unzip();
    body.take("usageMetadata");
    let mut rest = body.rest();
    let is_blocked = rest.get("promptFeedback").is_some_and(|told| told.get("blockReason").is_some());
    if choices.is_empty() && is_blocked {
        choices.push(Choice { stop: Some(Stop::Filtered), ..Choice::default() });
    }
    if more.iter().any(|more: &Value<'_>| more.as_object().is_some_and(|more| !more.is_empty())) {
        rest.push("candidates", more);
    }
    let mut number = 0;
    for part in choices.iter_mut().flat_map(|choice| &mut choice.parts) {
        if let Part::ToolCall(call) = part {
            call.id.get_or_insert_with(|| made_id(&id, &call.name, number).into());
            number += 1;
        }
    }
    let (service_tier, fingerprint) = (None, None);
    let usage = account.usage;
    let from = Dialect::Gemini;
    Ok(Answer { from, id, model, created: None, choices, usage, service_tier, fingerprint, rest })
}

/// An id for a call that came without one: of the answer's id, which no other answer has, and the number of the call.
pub(super) fn made_id(answer: &Str<'_>, name: &Str<'_>, number: usize) -> String {
    let answer = answer.text();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if (1..=28).contains(&answer.len()) && answer.bytes().all(is_plain) {
        return format!("{MADE_ID}{answer}_{number}");
    }
    // FNV-1a, of 64 bits (RFC 9923).
    let text = name.text();
    let hash = answer.bytes().chain(text.bytes()).fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    });
    format!("{MADE_ID}{hash:016x}_{number}")
}

/// What an error says: its kind and its text.
pub(super) fn failure(error: Value<'_>) -> (Option<Str<'_>>, Str<'_>) {
    match error {
        Value::Object(mut error) => {
            let mut text = |name: &str| match error.take(name) {
                Some(Value::String(text)) => Some(text),
                _ => None,
            };
            let message = text("message").unwrap_or_default();
            (text("status"), message)
        }
        Value::String(message) => (None, message),
        _ => (None, Str::default()),
    }
}

fn read_candidate<'a>(candidate: Value<'a>, at: &At<'_>) -> Result<(Choice<'a>, Value<'a>), Malformed> {
    let mut candidate = fields(at, candidate)?;
    let mut choice = Choice::default();
    let mut more = Vec::new();
    if let Some(mut content) = inner(&mut candidate, at, "content")? {
        (choice.parts, more) = read_parts(&mut content, &at.member("content"))?;
    }
    candidate.take("index");
    let word = candidate.string(at, "finishReason")?;
    choice.stop = word.clone().map(read_stop);
    choice.logprobs = candidate.take("logprobsResult");
    let sources = SOURCES.iter().filter_map(|name| {
        let value = candidate.take(name)?;
        Some([(*name, value)].into_iter().collect::<Object<'_>>().into())
    });
    let sources: Vec<Value<'_>> = sources.collect();
    let mut rest = candidate.rest();
    if more.iter().any(|more| more.as_object().is_some_and(|more| !more.is_empty())) {
        let content: Object<'_> = [("parts", Value::from(more))].into_iter().collect();
        rest.push("content", content);
    } else {
        // The last chunk of a stream that was put together, for instance.
        choice.parts.retain(
            |part| !matches!(part, Part::Text(text) if text.text.is_empty() && text.signature.is_none()),
        );
    }
    if !sources.is_empty() {
        let texts = choice.parts.iter_mut().rev().find_map(|part| match part {
            Part::Text(text) => Some(text),
            _ => None,
        });
        match texts {
            Some(text) => text.citations = Some(sources.into()),
            None => choice.parts.push(Part::Text(Text { citations: Some(sources.into()), ..Text::new("") })),
        }
    }
    // Why exactly it was filtered.
    if let (Some(word), Some(Stop::Filtered)) = (word.filter(|word| !word.is("SAFETY")), &choice.stop) {
        rest.push("finishReason", word);
    }
    Ok((choice, rest.into()))
}

/// The reason that a word stands for.
pub(super) fn read_stop(word: Str<'_>) -> Stop<'_> {
    match word.text().as_ref() {
        "STOP" => Stop::End,
        "MAX_TOKENS" => Stop::MaxOutput,
        "SAFETY"
        | "RECITATION"
        | "BLOCKLIST"
        | "PROHIBITED_CONTENT"
        | "SPII"
        | "IMAGE_SAFETY"
        | "IMAGE_PROHIBITED_CONTENT"
        | "IMAGE_RECITATION"
        | "MODEL_ARMOR" => Stop::Filtered,
        _ => Stop::Other(word),
    }
}

/// The word for a reason.
pub(super) fn write_stop<'r>(stop: &Stop<'r>, from: Dialect, losses: &mut Losses) -> Str<'r> {
    match stop {
        Stop::End | Stop::StopSequence | Stop::ToolCalls => "STOP".into(),
        Stop::MaxOutput | Stop::ContextFull => "MAX_TOKENS".into(),
        Stop::Filtered | Stop::Refused => "SAFETY".into(),
        Stop::Other(word) if from == Dialect::Gemini => word.clone(),
        Stop::Paused | Stop::Other(_) => {
            losses.tell(Feature::StopReason);
            "OTHER".into()
        }
    }
}

/// Writes an answer that names `model`; what the dialect has no word for is told in `losses`.
pub fn write_answer<'r>(answer: &'r Answer<'_>, model: &'r str, losses: &mut Losses) -> Object<'r> {
    let is_own = answer.from == Dialect::Gemini;
    let mut body = Object::default();
    let is_blocked =
        is_own && answer.rest.get("promptFeedback").is_some_and(|told| told.get("blockReason").is_some());
    if !is_blocked || answer.choices.iter().any(|choice| !choice.parts.is_empty()) {
        let candidates = answer.choices.iter().enumerate();
        let mut candidates: Vec<Value<'_>> = candidates
            .map(|(n, choice)| write_candidate(choice, n as u64, answer.from, losses).into())
            .collect();
        if let Some(more) = answer.rest.get("candidates").and_then(Value::as_array).filter(|_| is_own) {
            candidates.iter_mut().zip(more).for_each(|(candidate, more)| put_back(candidate, more));
        }
        body.push("candidates", candidates);
    }
    if let Some(usage) = &answer.usage {
        body.push("usageMetadata", write_usage(usage));
    }
    body.push("modelVersion", model);
    if !answer.id.is_empty() {
        body.push("responseId", answer.id.clone());
    }
    match is_own {
        true => merge(&mut body, &answer.rest),
        false => write_answer_rest(&mut body, &answer.rest, answer.from, Dialect::Gemini, losses),
    }
    losses.tell_if(answer.service_tier.is_some() && !is_own, Feature::ServiceTier);
    body
}

/// Puts back what was left of a candidate and of its parts.
fn put_back<'r>(candidate: &mut Value<'r>, more: &Value<'r>) {
    let (Value::Object(candidate), Value::Object(more)) = (candidate, more) else { return };
    if let Some(reason) = more.get("finishReason")
        && let Some(word) = candidate.get_mut("finishReason")
    {
        *word = reason.clone();
    }
    if let Some(Value::Object(content)) = candidate.get_mut("content")
        && let Some(Value::Array(parts)) = content.get_mut("parts")
        && let Some(Value::Array(more)) = more.get("content").and_then(|content| content.get("parts"))
    {
        for (part, more) in parts.iter_mut().zip(more) {
            if let (Value::Object(part), Value::Object(more)) = (part, more) {
                merge(part, more);
            }
        }
    }
    merge(candidate, more);
}

fn write_candidate<'r>(choice: &'r Choice<'_>, index: u64, from: Dialect, losses: &mut Losses) -> Object<'r> {
    let mut parts = Vec::new();
    let mut sources: Vec<&Value<'_>> = Vec::new();
    for part in &choice.parts {
        if let Part::Text(text) = part
            && let Some(citations) = &text.citations
        {
            sources.push(citations);
        }
        parts.extend(write_part(part, from, losses));
    }
    let mut content: Object<'_> = [("parts", Value::from(parts))].into_iter().collect();
    content.push("role", "model");
    let mut candidate: Object<'_> = [("content", content)].into_iter().collect();
    if let Some(stop) = choice.stop() {
        candidate.push("finishReason", write_stop(&stop, from, losses).into_owned());
    }
    candidate.push("index", index);
    match &choice.logprobs {
        Some(logprobs) if from == Dialect::Gemini => candidate.push("logprobsResult", logprobs.clone()),
        logprobs => losses.tell_if(logprobs.is_some(), Feature::Logprobs),
    }
    losses.tell_if(choice.stop_sequence.is_some(), Feature::StopSequence);
    if from == Dialect::Gemini {
        let members = sources.into_iter().filter_map(|sources| sources.as_array()).flatten();
        members.filter_map(Value::as_object).for_each(|source| merge(&mut candidate, source));
    } else {
        losses.tell_if(!sources.is_empty(), Feature::Citations);
    }
    candidate
}

fn write_part<'r>(part: &'r Part<'_>, from: Dialect, losses: &mut Losses) -> Option<Value<'r>> {
    let is_own = from == Dialect::Gemini;
    match part {
        Part::Text(text) => {
            let mut part: Object<'_> = [("text", text.text.clone())].into_iter().collect();
            if let Some(signature) = &text.signature {
                part.push("thoughtSignature", signature.clone());
            }
            Some(part.into())
        }
        Part::Refusal(text) => Some(text_part(text.clone())),
        Part::Thought(thought) => {
            let is_readable = thought.is_readable(from, Dialect::Gemini);
            losses.tell_if(thought.signature.is_some() && !is_readable, Feature::ThinkingSignature);
            losses.tell_if(thought.sealed.is_some(), Feature::ThinkingSealed);
            let is_empty = thought.text.is_empty() && !(is_readable && thought.signature.is_some());
            (!is_empty).then(|| thought_part(thought, is_readable).into())
        }
        Part::ToolCall(call) => Some(call_part(call, is_own).into()),
        Part::Media(media) => Some(media_part(media, is_own)),
        Part::Foreign(value) if is_own => Some(value.clone()),
        Part::Foreign(value) => {
            losses.tell(foreign(value));
            None
        }
        Part::ToolResult(_) => {
            losses.tell(Feature::ServerTools);
            None
        }
    }
}

/// The usage in the words of the dialect, where cached tokens are a part of the prompt and thoughts stand beside the
/// candidates.
pub(super) fn write_usage(usage: &Usage) -> Value<'static> {
    let prompt = usage.input_total();
    let candidates = usage.output.saturating_add(usage.audio_output);
    let mut written = Object::default();
    let mut count = |name: &'static str, tokens: u64| written.push(name, tokens);
    count("promptTokenCount", prompt);
    count("candidatesTokenCount", candidates);
    if usage.cached_read > 0 {
        count("cachedContentTokenCount", usage.cached_read);
    }
    if usage.reasoning > 0 {
        count("thoughtsTokenCount", usage.reasoning);
    }
    count("totalTokenCount", prompt.saturating_add(candidates).saturating_add(usage.reasoning));
    for (name, all, audio) in [
        ("promptTokensDetails", prompt, usage.audio_input),
        ("candidatesTokensDetails", candidates, usage.audio_output),
    ] {
        if audio > 0 {
            let modality = |modality: &'static str, tokens: u64| -> Value<'static> {
                let members = [("modality", Value::from(modality)), ("tokenCount", tokens.into())];
                members.into_iter().collect::<Object<'_>>().into()
            };
            let text = all.saturating_sub(audio);
            written.push(name, vec![modality("TEXT", text), modality("AUDIO", audio)]);
        }
    }
    written.into()
}

//! Answers: of the dialect to the form, and back.

use super::request::read_block;
use super::write::{cited, input, text_block};
use crate::dialect::Dialect;
use crate::form::read::At;
use crate::form::write::{foreign, tell_rest, write_answer_rest};
use crate::form::{Answer, Choice, Feature, Losses, Malformed, Part, Stop};
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
    account.take(Dialect::Anthropic, &document);
    let mut fields = at.object(document)?;
    let parts = fields.must_each(&at, "content", read_block)?;
    let choice = Choice {
        parts,
        stop: fields.string(&at, "stop_reason")?.map(read_stop),
        stop_sequence: fields.string(&at, "stop_sequence")?,
        logprobs: None,
    };
    let service_tier = match fields.take("usage") {
        Some(Value::Object(mut usage)) => match usage.take("service_tier") {
            Some(Value::String(tier)) => Some(tier),
            _ => None,
        },
        _ => None,
    };
    fields.take("type");
    fields.take("role");
    Ok(Answer {
        from: Dialect::Anthropic,
        id: fields.string(&at, "id")?.unwrap_or_default(),
        model: fields.string(&at, "model")?.unwrap_or_default(),
        created: None,
        choices: vec![choice],
        usage: account.usage,
        service_tier,
        fingerprint: None,
        rest: fields.rest(),
    })
}

/// The reason that a word stands for.
pub(super) fn read_stop(word: Str<'_>) -> Stop<'_> {
    match word.text().as_ref() {
        "end_turn" => Stop::End,
        "stop_sequence" => Stop::StopSequence,
        "max_tokens" => Stop::MaxOutput,
        "tool_use" => Stop::ToolCalls,
        "refusal" => Stop::Refused,
        "pause_turn" => Stop::Paused,
        "model_context_window_exceeded" => Stop::ContextFull,
        _ => Stop::Other(word),
    }
}

/// The word for a reason.
pub(super) fn write_stop(stop: &Stop<'_>, losses: &mut Losses) -> &'static str {
    match stop {
        Stop::End => "end_turn",
        Stop::StopSequence => "stop_sequence",
        Stop::MaxOutput => "max_tokens",
        Stop::ToolCalls => "tool_use",
        Stop::Filtered | Stop::Refused => "refusal",
        Stop::Paused => "pause_turn",
        Stop::ContextFull => "model_context_window_exceeded",
        Stop::Other(_) => {
            losses.tell(Feature::StopReason);
            "end_turn"
        }
    }
}

/// Writes an answer that names `model`; what the dialect has no word for is told in `losses`.
pub fn write_answer<'r>(answer: &'r Answer<'_>, model: &'r str, losses: &mut Losses) -> Object<'r> {
    let mut body = Object::default();
    body.push("id", answer.id.clone());
    body.push("type", "message");
    body.push("role", "assistant");
    body.push("model", model);
    losses.tell_if(answer.choices.len() > 1, Feature::Answers);
    let choice = answer.choices.first();
    let parts = choice.map_or(&[][..], |choice| &choice.parts);
    let blocks: Vec<Value<'_>> =
        parts.iter().filter_map(|part| write_part(part, answer.from, losses)).collect();
    body.push("content", blocks);
    let stop = choice.and_then(Choice::stop);
    body.push("stop_reason", stop.map_or(Value::Null, |stop| write_stop(&stop, losses).into()));
    let sequence = choice.and_then(|choice| choice.stop_sequence.clone());
    body.push("stop_sequence", sequence.map_or(Value::Null, Value::String));
    losses.tell_if(choice.is_some_and(|choice| choice.logprobs.is_some()), Feature::Logprobs);
    let mut usage = write_usage(&answer.usage.unwrap_or_default());
    if let Some(tier) = answer.service_tier.as_ref().filter(|_| answer.from == Dialect::Anthropic) {
        usage.push("service_tier", tier.clone());
    }
    body.push("usage", usage);
    write_answer_rest(&mut body, &answer.rest, answer.from, Dialect::Anthropic, losses);
    body
}

fn write_part<'r>(part: &'r Part<'_>, from: Dialect, losses: &mut Losses) -> Option<Value<'r>> {
    let mut block = Object::default();
    match part {
        Part::Text(text) => return Some(cited(text, from, losses).into()),
        Part::Refusal(text) => return Some(text_block(text.clone())),
        Part::Thought(thought) if !thought.is_readable(from, Dialect::Anthropic) => {
            losses.tell_if(thought.signature.is_some(), Feature::ThinkingSignature);
            losses.tell_if(thought.sealed.is_some(), Feature::ThinkingSealed);
            if thought.text.is_empty() {
                return None;
            }
            block.push("type", "thinking");
            block.push("thinking", thought.text.clone());
            block.push("signature", "");
        }
        Part::Thought(thought) => match &thought.sealed {
            Some(sealed) => {
                block.push("type", "redacted_thinking");
                block.push("data", sealed.clone());
            }
            None => {
                block.push("type", "thinking");
                block.push("thinking", thought.text.clone());
                block.push("signature", thought.signature.clone().unwrap_or_default());
            }
        },
        Part::ToolCall(call) => {
            block.push("type", "tool_use");
            block.push("id", call.id.clone().unwrap_or_else(|| call.name.clone()));
            block.push("name", call.name.clone());
            block.push("input", input(&call.arguments));
            losses.tell_if(call.signature.is_some(), Feature::ThinkingSignature);
            match from {
                Dialect::Anthropic => call.rest.iter().for_each(|(name, value)| {
                    block.push(name.clone(), value.clone());
                }),
                from => tell_rest(&call.rest, from, Dialect::Anthropic, losses),
            }
        }
        Part::Media(_) => {
            losses.tell(Feature::Modalities);
            return None;
        }
        Part::Foreign(value) if from == Dialect::Anthropic => return Some(value.clone()),
        Part::Foreign(value) => {
            losses.tell(foreign(value));
            return None;
        }
        Part::ToolResult(_) => {
            losses.tell(Feature::ServerTools);
            return None;
        }
    }
    Some(block.into())
}

/// The usage in the words of the dialect, where cached tokens stand beside the input.
pub(super) fn write_usage(usage: &Usage) -> Object<'static> {
    let mut written = Object::default();
    written.push("input_tokens", usage.input.saturating_add(usage.audio_input));
    written.push("cache_creation_input_tokens", usage.cache_write.saturating_add(usage.cache_write_1h));
    written.push("cache_read_input_tokens", usage.cached_read);
    let by_time = [
        ("ephemeral_5m_input_tokens", usage.cache_write),
        ("ephemeral_1h_input_tokens", usage.cache_write_1h),
    ];
    written.push("cache_creation", by_time.into_iter().collect::<Object<'_>>());
    written.push("output_tokens", usage.output_total());
    if usage.searches > 0 {
        let searches = [("web_search_requests", usage.searches)];
        written.push("server_tool_use", searches.into_iter().collect::<Object<'_>>());
    }
    written
}

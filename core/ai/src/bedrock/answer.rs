//! Answers: of the dialect to the form, and back.

use super::request::{read_content, read_service_tier};
use super::write::{text_block, thought_block};
use crate::dialect::Dialect;
use crate::form::read::At;
use crate::form::shape::{arguments_object, merge};
use crate::form::write::{foreign, write_answer_rest};
use crate::form::{Answer, Choice, Feature, Losses, Malformed, Part, Stop};
use crate::json::{Object, Str, Value};
use crate::usage::{Account, Usage};

/// Reads the body of an answer. How long the provider took, `metrics`, is no part of it.
///
/// # Errors
/// It is not one of this dialect, and where; or the provider says that it failed.
pub fn read_answer(body: &[u8]) -> Result<Answer<'_>, Malformed> {
    let at = At::Root;
    let document = Value::parse(body)?;
    let mut account = Account::default();
    account.take(Dialect::Bedrock, &document);
    let mut body = at.object(document)?;
    let Some(mut output) = body.object(&at, "output")? else {
        return Err(match failure(&mut body.rest()) {
            Some((kind, message)) => Malformed::Failed { kind, message },
            None => Malformed::Missing { path: "output".into() },
        });
    };
    let output_at = at.member("output");
    let message_at = output_at.member("message");
    let mut message = message_at.object(output.must(&output_at, "message")?)?;
    let choice = Choice {
        parts: read_content(&mut message, &message_at)?,
        stop: body.string(&at, "stopReason")?.map(read_stop),
        stop_sequence: None,
        logprobs: None,
    };
    body.take("usage");
    body.take("metrics");
    Ok(Answer {
        from: Dialect::Bedrock,
        id: Str::default(),
        model: Str::default(),
        created: None,
        choices: vec![choice],
        usage: account.usage,
        service_tier: read_service_tier(&mut body, &at)?,
        fingerprint: None,
        rest: body.rest(),
    })
}

/// What an error says, if the members are those of one.
fn failure(members: &mut Object<'_>) -> Option<(Option<String>, String)> {
    let mut text = |name: &str| match members.take(name) {
        Some(Value::String(text)) => Some(text.text().into_owned()),
        _ => None,
    };
    let message = text("message").or_else(|| text("Message"));
    Some((text("__type"), message?))
}

/// The reason that a word stands for.
pub(super) fn read_stop(word: Str<'_>) -> Stop<'_> {
    match word.text().as_ref() {
        "end_turn" => Stop::End,
        "stop_sequence" => Stop::StopSequence,
        "max_tokens" => Stop::MaxOutput,
        "tool_use" => Stop::ToolCalls,
        "guardrail_intervened" | "content_filtered" => Stop::Filtered,
        "model_context_window_exceeded" => Stop::ContextFull,
        "refusal" => Stop::Refused,
        "pause_turn" => Stop::Paused,
        _ => Stop::Other(word),
    }
}

/// The word for a reason.
pub(super) fn write_stop<'r>(stop: &Stop<'r>, from: Dialect, losses: &mut Losses) -> Str<'r> {
    match stop {
        Stop::End => "end_turn".into(),
        Stop::StopSequence => "stop_sequence".into(),
        Stop::MaxOutput => "max_tokens".into(),
        Stop::ToolCalls => "tool_use".into(),
        Stop::Filtered | Stop::Refused => "content_filtered".into(),
        Stop::ContextFull => "model_context_window_exceeded".into(),
        Stop::Other(word) if from == Dialect::Bedrock => word.clone(),
        Stop::Paused | Stop::Other(_) => {
            losses.tell(Feature::StopReason);
            "end_turn".into()
        }
    }
}

/// Writes an answer, in which no model is named; what the dialect has no word for is told in `losses`.
pub fn write_answer<'r>(answer: &'r Answer<'_>, losses: &mut Losses) -> Object<'r> {
    let is_own = answer.from == Dialect::Bedrock;
    losses.tell_if(answer.choices.len() > 1, Feature::Answers);
    let choice = answer.choices.first();
    let parts = choice.map_or(&[][..], |choice| &choice.parts);
    let blocks: Vec<Value<'_>> =
        parts.iter().filter_map(|part| write_part(part, answer.from, losses)).collect();
    let mut message: Object<'_> = [("role", "assistant")].into_iter().collect();
    message.push("content", blocks);
    let output: Object<'_> = [("message", message)].into_iter().collect();
    let mut body: Object<'_> = [("output", output)].into_iter().collect();
    let stop = choice.and_then(Choice::stop).unwrap_or(Stop::End);
    body.push("stopReason", write_stop(&stop, answer.from, losses).into_owned());
    if let Some(choice) = choice {
        losses.tell_if(choice.stop_sequence.is_some(), Feature::StopSequence);
        losses.tell_if(choice.logprobs.is_some(), Feature::Logprobs);
    }
    body.push("usage", write_usage(&answer.usage.unwrap_or_default()));
    body.push("metrics", [("latencyMs", 0)].into_iter().collect::<Object<'_>>());
    match &answer.service_tier {
        Some(tier) if is_own => {
            body.push("serviceTier", [("type", tier.clone())].into_iter().collect::<Object<'_>>());
        }
        tier => losses.tell_if(tier.is_some(), Feature::ServiceTier),
    }
    match is_own {
        true => merge(&mut body, &answer.rest),
        false => write_answer_rest(&mut body, &answer.rest, answer.from, Dialect::Bedrock, losses),
    }
    body
}

fn write_part<'r>(part: &'r Part<'_>, from: Dialect, losses: &mut Losses) -> Option<Value<'r>> {
    let is_own = from == Dialect::Bedrock;
    match part {
        Part::Text(text) => {
            losses.tell_if(text.signature.is_some(), Feature::ThinkingSignature);
            match &text.citations {
                Some(citations) if is_own => {
                    let content = vec![text_block(text.text.clone())];
                    let mut cited: Object<'_> = [("content", content)].into_iter().collect();
                    cited.push("citations", citations.clone());
                    return Some([("citationsContent", cited)].into_iter().collect::<Object<'_>>().into());
                }
                citations => losses.tell_if(citations.is_some(), Feature::Citations),
            }
            Some(text_block(text.text.clone()))
        }
        Part::Refusal(text) => Some(text_block(text.clone())),
        Part::Thought(thought) => {
            let is_readable = thought.is_readable(from, Dialect::Bedrock);
            losses.tell_if(thought.signature.is_some() && !is_readable, Feature::ThinkingSignature);
            losses.tell_if(thought.sealed.is_some() && !is_readable, Feature::ThinkingSealed);
            if is_readable {
                return Some(thought_block(thought));
            }
            let text: Object<'_> = [("text", thought.text.clone())].into_iter().collect();
            let inner: Object<'_> = [("reasoningText", text)].into_iter().collect();
            (!thought.text.is_empty())
                .then(|| [("reasoningContent", inner)].into_iter().collect::<Object<'_>>().into())
        }
        Part::ToolCall(call) => {
            losses.tell_if(call.signature.is_some(), Feature::ThinkingSignature);
            let mut inner = Object::default();
            inner.push("toolUseId", call.id.clone().unwrap_or_else(|| call.name.clone()));
            inner.push("name", call.name.clone());
            inner.push("input", arguments_object(&call.arguments));
            if is_own {
                merge(&mut inner, &call.rest);
            }
            Some([("toolUse", inner)].into_iter().collect::<Object<'_>>().into())
        }
        Part::Media(_) => {
            losses.tell(Feature::Modalities);
            None
        }
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

/// The usage in the words of the dialect, where cached tokens stand beside the input.
pub(super) fn write_usage(usage: &Usage) -> Object<'static> {
    let written = usage.cache_write.saturating_add(usage.cache_write_1h);
    let input = usage.input.saturating_add(usage.audio_input);
    let output = usage.output_total();
    let total = [usage.cached_read, written, output].into_iter().fold(input, u64::saturating_add);
    let mut told: Object<'_> =
        [("inputTokens", input), ("outputTokens", output), ("totalTokens", total)].into_iter().collect();
    for (name, tokens) in [("cacheReadInputTokens", usage.cached_read), ("cacheWriteInputTokens", written)] {
        if tokens > 0 {
            told.push(name, tokens);
        }
    }
    if usage.cache_write_1h > 0 {
        let detail = |ttl: &'static str, tokens: u64| -> Value<'static> {
            let members = [("ttl", Value::from(ttl)), ("inputTokens", tokens.into())];
            members.into_iter().collect::<Object<'_>>().into()
        };
        told.push("cacheDetails", vec![detail("1h", usage.cache_write_1h), detail("5m", usage.cache_write)]);
    }
    told
}

//! Answers: of the dialect to the form, and back.

use super::request::{only, read_said};
use super::write::{text_block, thinking_block};
use crate::dialect::Dialect;
use crate::form::read::At;
use crate::form::write::{foreign, tell_rest, write_answer_rest};
use crate::form::{Answer, Choice, Feature, Losses, Malformed, Part, Stop};
use crate::json::{Object, Str, Value};
use crate::openai_chat::write::write_call;
use crate::usage::{Account, Usage};

const OWN: Dialect = Dialect::Cohere;

/// Reads the body of an answer.
///
/// # Errors
/// It is not one of this dialect, and where; or it says that the provider failed.
pub fn read_answer(body: &[u8]) -> Result<Answer<'_>, Malformed> {
    let at = At::Root;
    let document = Value::parse(body)?;
    let mut account = Account::default();
    account.take(OWN, &document);
    let mut fields = at.object(document)?;
    let word = fields.string(&at, "finish_reason")?;
    if let Some(word) = word.as_ref().filter(|word| is_failure(word)) {
        let message = fields.string(&at, "error")?.unwrap_or_default();
        let owned = |text: &Str<'_>| text.text().into_owned();
        return Err(Malformed::Failed { kind: Some(owned(word)), message: owned(&message) });
    }
    let message_at = at.member("message");
    let mut message = match fields.must(&at, "message")? {
        // The form of its errors, whatever the status.
        Value::String(text) => {
            return Err(Malformed::Failed { kind: None, message: text.into_text().into_owned() });
        }
        message => message_at.object(message)?,
    };
    let parts = read_said(&mut message, &message_at)?;
    let choice =
        Choice { parts, stop: word.map(read_stop), stop_sequence: None, logprobs: fields.take("logprobs") };
    fields.take("usage");
    Ok(Answer {
        from: OWN,
        id: fields.string(&at, "id")?.unwrap_or_default(),
        model: Str::default(), // it does not say
        created: None,
        choices: vec![choice],
        usage: account.usage,
        service_tier: None,
        fingerprint: None,
        rest: fields.rest(),
    })
}

/// Whether a word is no reason of an end but a failure.
pub(super) fn is_failure(word: &Str<'_>) -> bool {
    word.is("ERROR") || word.is("TIMEOUT")
}

/// The reason that a word stands for.
pub(super) fn read_stop(word: Str<'_>) -> Stop<'_> {
    match word.text().as_ref() {
        "COMPLETE" => Stop::End,
        "STOP_SEQUENCE" => Stop::StopSequence,
        "MAX_TOKENS" => Stop::MaxOutput,
        "TOOL_CALL" => Stop::ToolCalls,
        _ => Stop::Other(word),
    }
}

/// The word for a reason.
pub(super) fn write_stop<'r>(stop: &Stop<'r>, from: Dialect, losses: &mut Losses) -> Str<'r> {
    match stop {
        Stop::End => "COMPLETE".into(),
        Stop::StopSequence => "STOP_SEQUENCE".into(),
        Stop::MaxOutput | Stop::ContextFull => "MAX_TOKENS".into(),
        Stop::ToolCalls => "TOOL_CALL".into(),
        Stop::Other(word) if from == OWN => word.clone(),
        Stop::Filtered | Stop::Refused | Stop::Paused | Stop::Other(_) => {
            losses.tell(Feature::StopReason);
            "COMPLETE".into()
        }
    }
}

/// Writes an answer; what the dialect has no word for, the name of the model among it, is told in `losses`.
pub fn write_answer<'r>(answer: &'r Answer<'_>, losses: &mut Losses) -> Object<'r> {
    let mut body = only("id", answer.id.clone());
    losses.tell_if(answer.choices.len() > 1, Feature::Answers);
    if let Some(choice) = answer.choices.first() {
        if let Some(stop) = choice.stop() {
            body.push("finish_reason", write_stop(&stop, answer.from, losses).into_owned());
        }
        losses.tell_if(choice.stop_sequence.is_some(), Feature::StopSequence);
        body.push("message", write_message(choice, answer.from, losses));
        match &choice.logprobs {
            Some(logprobs) if answer.from == OWN => body.push("logprobs", logprobs.clone()),
            logprobs => losses.tell_if(logprobs.is_some(), Feature::Logprobs),
        }
    }
    if let Some(usage) = &answer.usage {
        body.push("usage", write_usage(usage));
    }
    losses.tell_if(answer.service_tier.is_some(), Feature::ServiceTier);
    write_answer_rest(&mut body, &answer.rest, answer.from, OWN, losses);
    body
}

fn write_message<'r>(choice: &'r Choice<'_>, from: Dialect, losses: &mut Losses) -> Object<'r> {
    let is_own = from == OWN;
    let mut content: Vec<Value<'r>> = Vec::new();
    let mut calls: Vec<Value<'r>> = Vec::new();
    let mut sources: Vec<Value<'r>> = Vec::new();
    for part in &choice.parts {
        match part {
            Part::Text(text) => {
                losses.tell_if(text.signature.is_some(), Feature::ThinkingSignature);
                match &text.citations {
                    Some(Value::Array(told)) if is_own => sources.extend(told.iter().cloned()),
                    citations => losses.tell_if(citations.is_some(), Feature::Citations),
                }
                content.push(text_block(text.text.clone()));
            }
            Part::Refusal(text) => content.push(text_block(text.clone())),
            Part::Thought(thought) => {
                losses.tell_if(thought.signature.is_some(), Feature::ThinkingSignature);
                losses.tell_if(thought.sealed.is_some(), Feature::ThinkingSealed);
                if !thought.text.is_empty() {
                    content.push(thinking_block(thought.text.clone()));
                }
            }
            Part::ToolCall(call) => {
                losses.tell_if(call.signature.is_some(), Feature::ThinkingSignature);
                let mut written = write_call(call, OWN);
                match is_own {
                    true => call.rest.iter().for_each(|(name, value)| {
                        written.push(name.clone(), value.clone());
                    }),
                    false => tell_rest(&call.rest, from, OWN, losses),
                }
                calls.push(written.into());
            }
            Part::Foreign(value) if is_own => content.push(value.clone()),
            Part::Foreign(value) => losses.tell(foreign(value)),
            Part::Media(_) => losses.tell(Feature::Modalities),
            Part::ToolResult(_) => losses.tell(Feature::ServerTools),
        }
    }
    let mut message = only("role", "assistant");
    if !calls.is_empty() {
        let is_text = |block: &Value<'_>| block.get("type").is_some_and(|kind| kind.is("text"));
        if let Some(at) = content.iter().position(is_text)
            && let Value::Object(mut plan) = content.remove(at)
        {
            message.push("tool_plan", plan.take("text").unwrap_or(Value::Null));
        }
        message.push("tool_calls", calls);
    }
    if !content.is_empty() {
        message.push("content", content);
    }
    if !sources.is_empty() {
        message.push("citations", sources);
    }
    message
}

/// The usage in the words of the dialect: what is billed, and what was read and written.
pub(super) fn write_usage(usage: &Usage) -> Object<'static> {
    let mut tokens = only("input_tokens", usage.input_total());
    tokens.push("output_tokens", usage.output_total());
    let mut billed = tokens.clone();
    if usage.searches > 0 {
        billed.push("search_units", usage.searches);
    }
    let mut written = only("billed_units", billed);
    written.push("tokens", tokens);
    written
}

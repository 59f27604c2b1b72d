//! Answers: of the dialect to the form, and back.

use super::request::{read_calls, read_content};
use super::write::{mistral_thought, write_call};
use crate::dialect::Dialect;
use crate::form::cite::annotations;
use crate::form::read::{At, Fields};
use crate::form::write::{alone, foreign, openai_tier, tell_rest, write_answer_rest};
use crate::form::{Answer, Choice, Feature, Losses, Malformed, Part, Stop, Thought};
use crate::json::{Object, Str, Value};
use crate::usage::{Account, Usage};

/// Reads the body of an answer.
///
/// # Errors
/// It is not one of this dialect, and where; or it says that the provider failed.
pub fn read_answer(body: &[u8]) -> Result<Answer<'_>, Malformed> {
    read(body, Dialect::OpenAiChat)
}

/// Reads an answer of Chat's or of Mistral's.
pub(crate) fn read(body: &[u8], dialect: Dialect) -> Result<Answer<'_>, Malformed> {
    let at = At::Root;
    let document = Value::parse(body)?;
    let mut account = Account::default();
    account.take(dialect, &document);
    let mut fields = at.object(document)?;
    if let Some(error) = fields.take("error") {
        let (kind, message) = told_failure(error);
        let owned = |text: Str<'_>| text.into_text().into_owned();
        return Err(Malformed::Failed { kind: kind.map(owned), message: owned(message) });
    }
    let choices = fields.must_each(&at, "choices", read_choice)?;
    fields.take("usage");
    fields.take("object");
    Ok(Answer {
        from: dialect,
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

/// Its own kind of a failure, and what it says.
pub(crate) fn told_failure(error: Value<'_>) -> (Option<Str<'_>>, Str<'_>) {
    match error {
        Value::Object(mut error) => {
            let mut text = |name: &str| match error.take(name) {
                Some(Value::String(text)) => Some(text),
                _ => None,
            };
            let message = text("message").unwrap_or_default();
            (text("type").or_else(|| text("code")), message)
        }
        Value::String(message) => (None, message),
        _ => (None, Str::default()),
    }
}

fn read_choice<'a>(choice: Value<'a>, at: &At<'_>) -> Result<Choice<'a>, Malformed> {
    let mut fields = at.object(choice)?;
    let word = fields.string(at, "finish_reason")?;
    if word.as_ref().is_some_and(|word| word.is("error")) {
        let (kind, message) = told_failure(fields.take("error").unwrap_or(Value::Null));
        let kind = kind.map(|kind| kind.into_text().into_owned());
        return Err(Malformed::Failed { kind, message: message.into_text().into_owned() });
    }
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
    let stop = word.map(|word| read_stop(&word));
    Ok(Choice { parts, stop, stop_sequence: None, logprobs: fields.take("logprobs") })
}

/// Thoughts that compatible providers show, by either of their names.
pub(crate) fn read_thought<'a>(message: &mut Fields<'a>, at: &At<'_>) -> Result<Option<Str<'a>>, Malformed> {
    let other = message.take("reasoning").and_then(|told| match told {
        Value::String(text) => Some(text),
        _ => None,
    });
    let text = message.string(at, "reasoning_content")?.or(other);
    Ok(text.filter(|text| !text.is_empty()))
}

/// The reason that a word stands for.
pub(crate) fn read_stop<'a>(word: &Str<'a>) -> Stop<'a> {
    match word.text().as_ref() {
        "stop" => Stop::End,
        "length" => Stop::MaxOutput,
        "model_length" => Stop::ContextFull, // Mistral's
        "tool_calls" | "function_call" => Stop::ToolCalls,
        "content_filter" => Stop::Filtered,
        _ => Stop::Other(word.clone()),
    }
}

/// The word for a reason.
pub(crate) fn write_stop(stop: &Stop<'_>, to: Dialect, losses: &mut Losses) -> &'static str {
    match stop {
        Stop::End | Stop::StopSequence => "stop",
        Stop::ContextFull if to == Dialect::Mistral => "model_length",
        Stop::MaxOutput | Stop::ContextFull => "length",
        Stop::ToolCalls => "tool_calls",
        Stop::Filtered | Stop::Refused if to == Dialect::OpenAiChat => "content_filter",
        Stop::Filtered | Stop::Refused | Stop::Paused | Stop::Other(_) => {
            losses.tell(Feature::StopReason);
            "stop"
        }
    }
}

/// Writes an answer that names `model`; what the dialect has no word for is told in `losses`.
pub fn write_answer<'r>(answer: &'r Answer<'_>, model: &'r str, losses: &mut Losses) -> Object<'r> {
    write(answer, model, Dialect::OpenAiChat, losses)
}

/// Writes an answer of Chat's or of Mistral's.
pub(crate) fn write<'r>(
    answer: &'r Answer<'_>,
    model: &'r str,
    to: Dialect,
    losses: &mut Losses,
) -> Object<'r> {
    let mut body = Object::default();
    body.push("id", answer.id.clone());
    body.push("object", "chat.completion");
    body.push("created", answer.created.unwrap_or(0));
    body.push("model", model);
    let choices = answer.choices.iter().enumerate();
    let mut writer = Writer { from: answer.from, to, losses };
    let choices: Vec<Value<'_>> = choices.map(|(n, choice)| writer.choice(choice, n as u64)).collect();
    body.push("choices", choices);
    if let Some(usage) = &answer.usage {
        body.push("usage", write_usage(usage));
    }
    if let Some(tier) = &answer.service_tier {
        body.push("service_tier", openai_tier(tier));
    }
    if let Some(fingerprint) = &answer.fingerprint {
        body.push("system_fingerprint", fingerprint.clone());
    }
    write_answer_rest(&mut body, &answer.rest, answer.from, to, losses);
    body
}

struct Writer<'l> {
    from: Dialect,
    to: Dialect,
    losses: &'l mut Losses,
}

impl Writer<'_> {
    fn choice<'r>(&mut self, choice: &'r Choice<'_>, index: u64) -> Value<'r> {
        let mut message = Object::default();
        message.push("role", "assistant");
        let mut content: Vec<Value<'r>> = Vec::new();
        let mut calls: Vec<Value<'r>> = Vec::new();
        let mut sources: Vec<Value<'r>> = Vec::new();
        let mut thoughts = String::new();
        let mut refusal = None;
        let mut length = 0;
        for part in &choice.parts {
            match part {
                Part::Text(text) => {
                    self.losses.tell_if(text.signature.is_some(), Feature::ThinkingSignature);
                    let len = text.text.text().chars().count() as u64;
                    if let Some(citations) = &text.citations {
                        let (written, is_lost) = annotations(citations, self.from, self.to, length, len);
                        self.losses.tell_if(is_lost, Feature::Citations);
                        sources.extend(written);
                    }
                    length += len;
                    content.push(text_part(text.text.clone()));
                }
                Part::Thought(thought) => {
                    let is_kept =
                        self.to == Dialect::Mistral && thought.is_readable(self.from, Dialect::Mistral);
                    self.losses.tell_if(thought.signature.is_some() && !is_kept, Feature::ThinkingSignature);
                    self.losses.tell_if(thought.sealed.is_some(), Feature::ThinkingSealed);
                    match self.to {
                        Dialect::Mistral if thought.text.is_empty() => {}
                        Dialect::Mistral => content.push(mistral_thought(thought, is_kept)),
                        _ => {
                            let is_next = !thoughts.is_empty() && !thought.text.is_empty();
                            thoughts.push_str(if is_next { "\n\n" } else { "" });
                            thoughts.push_str(&thought.text.text());
                        }
                    }
                }
                Part::ToolCall(call) => {
                    self.losses.tell_if(call.signature.is_some(), Feature::ThinkingSignature);
                    let mut written = write_call(call, self.to);
                    match self.from == self.to {
                        true => call.rest.iter().for_each(|(name, value)| {
                            written.push(name.clone(), value.clone());
                        }),
                        false => tell_rest(&call.rest, self.from, self.to, self.losses),
                    }
                    calls.push(written.into());
                }
                Part::Refusal(text) if self.to == Dialect::Mistral => content.push(text_part(text.clone())),
                Part::Refusal(text) => refusal = Some(text.clone()),
                Part::Foreign(value) if self.from == self.to => content.push(value.clone()),
                Part::Foreign(value) => self.losses.tell(foreign(value)),
                Part::Media(_) => self.losses.tell(Feature::Modalities),
                Part::ToolResult(_) => self.losses.tell(Feature::ServerTools),
            }
        }
        message.push("content", self.content(content));
        if self.to == Dialect::OpenAiChat {
            message.push("refusal", refusal.map_or(Value::Null, Value::String));
        }
        if !thoughts.is_empty() {
            message.push("reasoning_content", thoughts);
        }
        if !calls.is_empty() {
            message.push("tool_calls", calls);
        }
        if !sources.is_empty() && self.to == Dialect::OpenAiChat {
            message.push("annotations", sources);
        }
        let mut written = Object::default();
        written.push("index", index);
        written.push("message", message);
        written.push("logprobs", self.logprobs(choice).unwrap_or(Value::Null));
        let stop = choice.stop();
        self.losses.tell_if(choice.stop_sequence.is_some(), Feature::StopSequence);
        let word = stop.map(|stop| write_stop(&stop, self.to, self.losses));
        written.push("finish_reason", word.map_or(Value::Null, Value::from));
        written.into()
    }

    /// What is said, as one text where it is text only.
    fn content<'r>(&self, content: Vec<Value<'r>>) -> Value<'r> {
        let is_text = |part: &Value<'_>| part.get("type").is_some_and(|kind| kind.is("text"));
        match content.as_slice() {
            [] if self.to == Dialect::Mistral => "".into(),
            [] => Value::Null,
            [_] => alone(content),
            parts if self.to == Dialect::OpenAiChat && parts.iter().all(is_text) => {
                let texts = parts.iter().filter_map(|part| part.get("text").and_then(Value::as_text));
                texts.collect::<String>().into()
            }
            _ => content.into(),
        }
    }

    fn logprobs<'r>(&mut self, choice: &'r Choice<'_>) -> Option<Value<'r>> {
        let logprobs = choice.logprobs.as_ref()?;
        let is_openai_s = has_openai_logprobs(self.from);
        self.losses.tell_if(!is_openai_s, Feature::Logprobs);
        is_openai_s.then(|| logprobs.clone())
    }
}

/// Whether a dialect tells probabilities as Chat does.
pub(crate) fn has_openai_logprobs(dialect: Dialect) -> bool {
    matches!(dialect, Dialect::OpenAiChat | Dialect::OpenAiResponses | Dialect::Mistral)
}

fn text_part(text: Str<'_>) -> Value<'_> {
    [("type", Value::from("text")), ("text", text.into())].into_iter().collect::<Object<'_>>().into()
}

/// The usage in the words of the dialect, where cached tokens and audio are a part of the prompt and reasoning is one of
/// the completion.
pub(crate) fn write_usage(usage: &Usage) -> Value<'static> {
    let (prompt, completion) = (usage.input_total(), usage.output_total());
    let details = |members: [(&'static str, u64); 2]| members.into_iter().collect::<Object<'_>>();
    let mut of_prompt = details([("cached_tokens", usage.cached_read), ("audio_tokens", usage.audio_input)]);
    let cache_write = usage.cache_write.saturating_add(usage.cache_write_1h);
    if cache_write > 0 {
        of_prompt.push("cache_write_tokens", cache_write);
    }
    let mut written = Object::default();
    written.push("prompt_tokens", prompt);
    written.push("completion_tokens", completion);
    written.push("total_tokens", prompt.saturating_add(completion));
    written.push("prompt_tokens_details", of_prompt);
    written.push(
        "completion_tokens_details",
        details([("reasoning_tokens", usage.reasoning), ("audio_tokens", usage.audio_output)]),
    );
    written.into()
}

//! What writers of dialects share.

use super::{Feature, Losses, Media, MediaSource, Output, Part, Request, Role, Tool, Turn};
use crate::dialect::Dialect;
use crate::json::{Object, Str, Value};
use crate::openai_responses::is_no_loss;

/// Writes the members that a reader had no place for: in its own dialect, and where the other has the same member, as they
/// came; elsewhere they are lost, and told.
pub(crate) fn write_rest<'r>(
    body: &mut Object<'r>,
    rest: &'r Object<'_>,
    from: Dialect,
    to: Dialect,
    losses: &mut Losses,
) {
    for (name, value) in rest.iter() {
        if from == to || is_shared(&name.text(), from, to) {
            body.push(name.clone(), value.clone());
        } else if let Some(feature) = lost(&name.text(), value) {
            losses.tell(feature);
        }
    }
}

/// [`write_rest`], of an answer: what it repeats of its request is no loss.
pub(crate) fn write_answer_rest<'r>(
    body: &mut Object<'r>,
    rest: &'r Object<'_>,
    from: Dialect,
    to: Dialect,
    losses: &mut Losses,
) {
    for (name, value) in rest.iter() {
        if from == to {
            body.push(name.clone(), value.clone());
        } else if !(from == Dialect::OpenAiResponses && is_no_loss(name)) {
            losses.tell(Feature::Unknown);
        }
    }
}

/// Tells members of a turn, of a call or of a function that have no place in `to`.
pub(crate) fn tell_rest(rest: &Object<'_>, from: Dialect, to: Dialect, losses: &mut Losses) {
    if from == to {
        return;
    }
    for (name, value) in rest.iter() {
        // Ids and states of items are of no use elsewhere.
        if !["id", "status", "type"].iter().any(|known| name.is(known))
            && let Some(feature) = lost(&name.text(), value)
        {
            losses.tell(feature);
        }
    }
}

/// Whether both dialects have this member of a request, with one meaning.
fn is_shared(name: &str, from: Dialect, to: Dialect) -> bool {
    use Dialect::{Mistral, OpenAiChat, OpenAiResponses};
    let between = |one, other| (from, to) == (one, other) || (from, to) == (other, one);
    match name {
        "store" | "safety_identifier" | "prompt_cache_retention" | "prompt_cache_options" | "moderation" => {
            between(OpenAiChat, OpenAiResponses)
        }
        "prediction" => between(OpenAiChat, Mistral),
        _ => false,
    }
}

/// The feature that is lost with a member of a request; none where its value says what is so anyway.
fn lost(name: &str, value: &Value<'_>) -> Option<Feature> {
    let is_set = value.as_bool() != Some(false);
    match name {
        "store" | "background" => is_set.then_some(Feature::Stored),
        "previous_response_id" | "conversation" | "prompt" => Some(Feature::Stored),
        "max_tool_calls" => Some(Feature::ServerTools),
        "prefix" => is_set.then_some(Feature::Prefill),
        "safe_prompt" => is_set.then_some(Feature::Safety),
        "safety_mode" | "safety_identifier" | "guardrails" | "moderation" => Some(Feature::Safety),
        "web_search_options" => Some(Feature::WebSearch),
        "modalities" | "audio" => Some(Feature::Modalities),
        "prediction" => Some(Feature::Prediction),
        "documents" | "citation_options" => Some(Feature::Citations),
        "truncation" if value.is("disabled") => None,
        // Whether sealed thoughts are wanted: they are lost where there are some, and told then.
        "include" => {
            let wanted = value.as_array().unwrap_or_default();
            let is_sealed = |one: &Value<'_>| one.is("reasoning.encrypted_content");
            (!wanted.iter().all(is_sealed)).then_some(Feature::Unknown)
        }
        "stream_options" => None, // how a stream is padded
        _ => Some(Feature::Unknown),
    }
}

/// The feature that is lost with a part that only its own dialect knows.
pub(crate) fn foreign(part: &Value<'_>) -> Feature {
    match part.get("type").and_then(Value::as_text).as_deref() {
        Some("item_reference") => Feature::Stored,
        Some("reference" | "tool_reference") => Feature::Citations,
        Some("document" | "search_result") => Feature::Document,
        _ => Feature::ServerTools,
    }
}

/// Parts as content: one plain text as a string, as every provider takes it.
pub(crate) fn alone(mut parts: Vec<Value<'_>>) -> Value<'_> {
    match parts.as_mut_slice() {
        [Value::Object(only)] if only.len() == 2 && only.get("type").is_some_and(|kind| kind.is("text")) => {
            only.take("text").unwrap_or(Value::Null)
        }
        _ => parts.into(),
    }
}

/// An address: the medium's own, or a `data:` one with its bytes (RFC 2397).
pub(crate) fn address<'r>(media: &'r Media<'_>) -> Option<Str<'r>> {
    match &media.source {
        MediaSource::Url(url) => Some(url.clone()),
        MediaSource::Base64(data) => {
            let kind = media.media_type.as_ref().map_or("application/octet-stream".into(), Str::text);
            Some(format!("data:{kind};base64,{}", data.text()).into())
        }
        MediaSource::File(_) | MediaSource::Text(_) => None,
    }
}

/// The name of an audio format, of the two that the dialects know.
pub(crate) fn audio_format(media: &Media<'_>) -> &'static str {
    match media.media_type.as_ref().map(Str::text).as_deref() {
        Some("audio/mpeg" | "audio/mp3") => "mp3",
        _ => "wav",
    }
}

/// The word for so many tokens of thinking. The borders are those at which Anthropic's and Google's own guides speak of
/// little and of much thinking.
pub(crate) fn effort_of(budget: u64) -> &'static str {
    match budget {
        0 => "none",
        1..=1024 => "minimal",
        1025..=4096 => "low",
        4097..=16384 => "medium",
        _ => "high",
    }
}

/// Tokens for a word of effort.
pub(crate) fn budget_of(effort: &str) -> u64 {
    match effort {
        "none" => 0,
        "minimal" => 1024,
        "low" => 4096,
        "medium" => 16384,
        _ => 32768,
    }
}

/// Whether the request begins the answer that is to come, which the model goes on with.
pub(crate) fn is_prefilled(request: &Request<'_>) -> bool {
    request.from != Dialect::OpenAiChat
        && request.from != Dialect::OpenAiResponses
        && request.turns.last().is_some_and(|turn| {
            turn.role == Role::Assistant && turn.parts.iter().all(|part| matches!(part, Part::Text(_)))
        })
}

/// Whether a turn carries on what the assistant's turn before it says: some dialects tell one turn in several pieces.
pub(crate) fn carries_on(turn: &Turn<'_>, before: &Turn<'_>) -> bool {
    turn.role == Role::Assistant && before.role == Role::Assistant
}

/// How urgent a request is, as OpenAI says it. Anthropic's and Mistral's `standard_only` is its `default`.
pub(crate) fn openai_tier<'r>(tier: &Str<'r>) -> Str<'r> {
    if tier.is("standard_only") || tier.is("standard") { "default".into() } else { tier.clone() }
}

/// An id of `len` letters and digits that is always the same for the same id: FNV-1a in 64 bits
/// (<http://www.isthe.com/chongo/tech/comp/fnv/>), of which eleven letters hold all and nine hold 53.
pub(crate) fn made_id(id: &str, len: usize) -> String {
    const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in id.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    let mut made = String::with_capacity(len);
    for _ in 0..len {
        made.push(char::from(LETTERS[(hash % 62) as usize]));
        hash /= 62;
    }
    made
}

/// An id of a call of at most `max` bytes, always the same for the same id: one that fits stays as it is.
pub(crate) fn short_id<'r>(id: &Str<'r>, max: usize) -> Str<'r> {
    match id.text() {
        text if text.len() > max => format!("call_{}", made_id(&text, 11)).into(),
        _ => id.clone(),
    }
}

/// Whether a function of this name is among the tools that are written.
pub(crate) fn has_function(tools: &[Tool<'_>], name: &Str<'_>) -> bool {
    tools.iter().any(|tool| matches!(tool, Tool::Function(function) if function.name == *name))
}

/// The JSON Schema of a function that takes nothing.
pub(crate) fn no_parameters() -> Value<'static> {
    let members = [("type", Value::from("object")), ("properties", Object::default().into())];
    members.into_iter().collect::<Object<'_>>().into()
}

/// Structured output as Chat, Responses and Mistral name it, its schema's name always there.
pub(crate) fn schema_of<'r>(output: &'r Output<'_>) -> Option<Object<'r>> {
    let Output::Schema { name, description, schema, strict } = output else { return None };
    let mut written = Object::default();
    written.push("name", name.clone().unwrap_or_else(|| "answer".into()));
    if let Some(description) = description {
        written.push("description", description.clone());
    }
    written.push("schema", schema.clone());
    if let Some(strict) = strict {
        written.push("strict", *strict);
    }
    Some(written)
}

//! Answers: of the dialect to the form, and back.

use super::request::{read_call, read_part, read_thoughts};
use super::write::{write_call, write_request, write_thoughts};
use crate::dialect::Dialect;
use crate::form::cite::annotations;
use crate::form::read::{At, Fields};
use crate::form::write::{foreign, openai_tier, tell_rest, write_answer_rest};
use crate::form::{Answer, Choice, Feature, Losses, Malformed, Part, Request, Stop, Text, Thought};
use crate::json::{Object, Str, Value};
use crate::openai_chat::answer::{has_openai_logprobs, told_failure};
use crate::usage::{Account, Usage};

const OWN: Dialect = Dialect::OpenAiResponses;

/// What an answer repeats of its request, and what it says where nothing is known of that.
const ECHOED: [(&str, &str); 15] = [
    ("background", "false"),
    ("instructions", "null"),
    ("max_output_tokens", "null"),
    ("max_tool_calls", "null"),
    ("parallel_tool_calls", "true"),
    ("previous_response_id", "null"),
    ("prompt_cache_key", "null"),
    ("reasoning", r#"{"effort":null,"summary":null}"#),
    ("temperature", "null"),
    ("text", r#"{"format":{"type":"text"}}"#),
    ("tool_choice", r#""auto""#),
    ("tools", "[]"),
    ("top_p", "null"),
    ("truncation", r#""disabled""#),
    ("user", "null"),
];

/// Members of an answer that say nothing of it, or what its request says: no loss where they cannot be said.
const NO_LOSS: [&str; 12] = [
    "billing",
    "completed_at",
    "conversation",
    "metadata",
    "moderation",
    "prompt",
    "prompt_cache_options",
    "prompt_cache_retention",
    "safety_identifier",
    "status_details",
    "store",
    "top_logprobs",
];

/// What an answer repeats of its request. Callers are told what they asked for, whoever answers.
#[derive(Debug, Clone, Default)]
pub struct Echo(Object<'static>);

impl Echo {
    /// Of a request.
    pub fn of(request: &Request<'_>) -> Self {
        let written = write_request(request, "", &mut Losses::default());
        let is_echoed = |name: &Str<'_>| name.is("metadata") || ECHOED.iter().any(|(own, _)| name.is(own));
        let members = written.into_iter().filter(|(name, _)| is_echoed(name));
        Self(members.map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
    }

    pub(super) fn members(&self) -> &Object<'static> {
        &self.0
    }
}

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
    let status = fields.string(&at, "status")?.unwrap_or_default();
    let error = fields.take("error");
    if error.is_some() || status.is("failed") || status.is("cancelled") {
        let (kind, message) = failure(error, &status);
        let owned = |text: Str<'_>| text.into_text().into_owned();
        return Err(Malformed::Failed { kind: kind.map(owned), message: owned(message) });
    }
    let mut logprobs = Vec::new();
    let mut parts = Vec::new();
    for item in fields.must_each(&at, "output", |item, at| read_item(item, at, &mut logprobs))? {
        parts.extend(item);
    }
    let stop = read_stop(&status, fields.object(&at, "incomplete_details")?)?;
    let logprobs: Option<Value<'_>> = (!logprobs.is_empty())
        .then(|| [("content", Value::from(logprobs))].into_iter().collect::<Object<'_>>().into());
    fields.take("usage");
    fields.take("object");
    Ok(Answer {
        from: OWN,
        id: fields.string(&at, "id")?.unwrap_or_default(),
        model: fields.string(&at, "model")?.unwrap_or_default(),
        created: fields.take("created_at").and_then(|created| seconds(&created)),
        choices: vec![Choice { parts, stop, stop_sequence: None, logprobs }],
        usage: account.usage,
        service_tier: fields.string(&at, "service_tier")?,
        fingerprint: None,
        rest: fields.rest(),
    })
}

/// A time, which some write with a fraction.
pub(super) fn seconds(time: &Value<'_>) -> Option<u64> {
    let number = time.as_number()?;
    number.as_u64().or_else(|| (number.as_f64() >= 0.0).then(|| number.as_f64() as u64))
}

/// Its own kind of a failure, and what it says. The code tells more than the type, if there is one.
pub(super) fn failure<'a>(error: Option<Value<'a>>, status: &Str<'a>) -> (Option<Str<'a>>, Str<'a>) {
    match error {
        Some(Value::Object(mut error)) => {
            let code = match error.take("code") {
                Some(Value::String(code)) => Some(code),
                _ => None,
            };
            let (kind, message) = told_failure(error.into());
            (code.or(kind), message)
        }
        Some(error) => told_failure(error),
        None => (Some(status.clone()), Str::default()),
    }
}

/// The parts that an item of the output is.
fn read_item<'a>(
    item: Value<'a>,
    at: &At<'_>,
    logprobs: &mut Vec<Value<'a>>,
) -> Result<Vec<Part<'a>>, Malformed> {
    let whole = item.clone();
    let mut fields = at.object(item)?;
    match fields.must_string(at, "type")?.text().as_ref() {
        "message" => fields.each(at, "content", |part, at| {
            if let Some(Value::Array(tokens)) = part.get("logprobs") {
                logprobs.extend(tokens.iter().cloned());
            }
            read_part(part, at)
        }),
        "reasoning" => read_thoughts(&mut fields, at),
        kind @ ("function_call" | "custom_tool_call") => {
            Ok(vec![Part::ToolCall(read_call(kind == "custom_tool_call", fields, at)?)])
        }
        _ => Ok(vec![Part::Foreign(whole)]),
    }
}

/// Why it ended, by its state.
pub(super) fn read_stop<'a>(
    status: &Str<'a>,
    details: Option<Fields<'a>>,
) -> Result<Option<Stop<'a>>, Malformed> {
    let at = At::Root;
    let reason = match details {
        Some(mut details) => details.string(&at.member("incomplete_details"), "reason")?,
        None => None,
    };
    Ok(match (status.text().as_ref(), reason) {
        ("in_progress" | "queued", _) => None,
        (_, Some(reason)) => Some(match reason.text().as_ref() {
            "max_output_tokens" => Stop::MaxOutput,
            "content_filter" => Stop::Filtered,
            _ => Stop::Other(reason),
        }),
        ("incomplete", None) => Some(Stop::Other(status.clone())),
        (_, None) => Some(Stop::End),
    })
}

/// Writes an answer that names `model`; what the dialect has no word for is told in `losses`.
pub fn write_answer<'r>(answer: &'r Answer<'_>, model: &'r str, losses: &mut Losses) -> Object<'r> {
    write(answer, model, Object::default(), losses)
}

/// [`write_answer`], with what it repeats of its request.
pub fn write_answer_to<'r>(
    echo: &'r Echo,
    answer: &'r Answer<'_>,
    model: &'r str,
    losses: &mut Losses,
) -> Object<'r> {
    write(answer, model, echo.0.clone(), losses)
}

fn write<'r>(answer: &'r Answer<'_>, model: &'r str, echo: Object<'r>, losses: &mut Losses) -> Object<'r> {
    losses.tell_if(answer.choices.len() > 1, Feature::Answers);
    let is_own = answer.from == OWN;
    let mut writer =
        Writer { from: answer.from, id: answer.id.text().into_owned(), items: Vec::new(), losses };
    let choice = answer.choices.first();
    let stop = choice.and_then(Choice::stop);
    let ending = Ending::of(stop.as_ref(), is_own, writer.losses);
    if let Some(choice) = choice {
        writer.losses.tell_if(choice.stop_sequence.is_some(), Feature::StopSequence);
        writer.output(choice, ending.status);
    }
    let mut echo = echo;
    let mut rest = Object::default();
    if is_own {
        for (name, value) in answer.rest.iter() {
            let of_echo = name.is("metadata") || ECHOED.iter().any(|(own, _)| name.is(own));
            if of_echo { &mut echo } else { &mut rest }.push(name.clone(), value.clone());
        }
    } else {
        write_answer_rest(&mut rest, &answer.rest, answer.from, OWN, writer.losses);
    }
    Whole {
        id: answer.id.clone(),
        created: answer.created.unwrap_or(0),
        model,
        ending,
        error: None,
        output: writer.items,
        usage: answer.usage.as_ref(),
        tier: answer.service_tier.as_ref().map(openai_tier),
        echo,
        rest,
    }
    .write()
}

/// Tells the members of an answer of this dialect that another has no place for.
pub(crate) fn is_no_loss(name: &Str<'_>) -> bool {
    ECHOED.iter().any(|(own, _)| name.is(own)) || NO_LOSS.iter().any(|own| name.is(own))
}

/// How an answer ended, as the dialect tells that.
#[derive(Debug, Clone)]
pub(super) struct Ending {
    pub(super) status: &'static str,
    pub(super) reason: Option<Str<'static>>,
}

impl Ending {
    pub(super) fn new(status: &'static str) -> Self {
        Self { status, reason: None }
    }

    /// By the reason of the end; none: it goes on.
    pub(super) fn of(stop: Option<&Stop<'_>>, is_own: bool, losses: &mut Losses) -> Self {
        let incomplete = |reason: Str<'static>| Self { status: "incomplete", reason: Some(reason) };
        match stop {
            None => Self::new("in_progress"),
            Some(Stop::End | Stop::ToolCalls | Stop::StopSequence) => Self::new("completed"),
            Some(Stop::MaxOutput | Stop::ContextFull) => incomplete("max_output_tokens".into()),
            Some(Stop::Filtered | Stop::Refused) => incomplete("content_filter".into()),
            Some(Stop::Other(reason)) if is_own => incomplete(reason.clone().into_owned()),
            Some(Stop::Paused | Stop::Other(_)) => {
                losses.tell(Feature::StopReason);
                Self::new("completed")
            }
        }
    }
}

/// A response, whole.
pub(super) struct Whole<'r> {
    pub(super) id: Str<'r>,
    pub(super) created: u64,
    pub(super) model: &'r str,
    pub(super) ending: Ending,
    pub(super) error: Option<Object<'r>>,
    pub(super) output: Vec<Value<'r>>,
    pub(super) usage: Option<&'r Usage>,
    pub(super) tier: Option<Str<'r>>,
    pub(super) echo: Object<'r>,
    pub(super) rest: Object<'r>,
}

impl<'r> Whole<'r> {
    pub(super) fn write(mut self) -> Object<'r> {
        let mut body = Object::default();
        body.push("id", self.id);
        body.push("object", "response");
        body.push("created_at", self.created);
        body.push("status", self.ending.status);
        body.push("error", self.error.map_or(Value::Null, Value::from));
        let reason = self.ending.reason.map(|reason| [("reason", Value::from(reason))]);
        let details = reason.map(|reason| reason.into_iter().collect::<Object<'_>>());
        body.push("incomplete_details", details.map_or(Value::Null, Value::from));
        body.push("model", self.model);
        body.push("output", self.output);
        for (name, default) in ECHOED {
            let default = || Value::parse(default.as_bytes()).unwrap_or(Value::Null);
            body.push(name, self.echo.take(name).unwrap_or_else(default));
        }
        let metadata = self.echo.take("metadata");
        body.push("metadata", metadata.unwrap_or_else(|| Object::default().into()));
        if let Some(tier) = self.tier {
            body.push("service_tier", tier);
        }
        body.push("usage", self.usage.map_or(Value::Null, |usage| write_usage(usage).into()));
        self.rest.into_iter().for_each(|(name, value)| body.push(name, value));
        body
    }
}

/// The usage in the words of the dialect.
pub(super) fn write_usage(usage: &Usage) -> Object<'static> {
    let (input, output) = (usage.input_total(), usage.output_total());
    let mut written = Object::default();
    written.push("input_tokens", input);
    let details = [
        ("cached_tokens", usage.cached_read),
        ("cache_write_tokens", usage.cache_write.saturating_add(usage.cache_write_1h)),
    ];
    written.push("input_tokens_details", details.into_iter().collect::<Object<'_>>());
    written.push("output_tokens", output);
    let details = [("reasoning_tokens", usage.reasoning)];
    written.push("output_tokens_details", details.into_iter().collect::<Object<'_>>());
    written.push("total_tokens", input.saturating_add(output));
    written
}

/// The id of the `n`th item of an answer, where its own has none that fits here: with the prefix that the dialect wants.
pub(super) fn item_id(prefix: &str, answer: &str, n: usize) -> String {
    const TAIL_BYTES: usize = 40;
    let is_valid = |letter: &char| letter.is_ascii_alphanumeric() || *letter == '_' || *letter == '-';
    let valid: String = answer.chars().filter(is_valid).collect();
    let own = valid.split_once('_').map_or(valid.as_str(), |(_, own)| own);
    format!("{prefix}_{}_{n}", &own[own.len().saturating_sub(TAIL_BYTES)..])
}

struct Writer<'l, 'r> {
    from: Dialect,
    id: String,
    items: Vec<Value<'r>>,
    losses: &'l mut Losses,
}

impl<'r> Writer<'_, 'r> {
    fn is_own(&self) -> bool {
        self.from == OWN
    }

    fn next_id(&self, prefix: &str) -> String {
        item_id(prefix, &self.id, self.items.len())
    }

    fn output(&mut self, choice: &'r Choice<'_>, status: &'static str) {
        let is_openai_s = has_openai_logprobs(self.from);
        self.losses.tell_if(choice.logprobs.is_some() && !is_openai_s, Feature::Logprobs);
        let logprobs = choice.logprobs.as_ref().filter(|_| is_openai_s);
        let mut logprobs = logprobs.and_then(|logprobs| logprobs.get("content")).cloned();
        let mut message: Vec<Value<'r>> = Vec::new();
        let mut thoughts: Vec<&'r Thought<'r>> = Vec::new();
        for part in &choice.parts {
            match part {
                Part::Thought(thought) => {
                    self.end_message(&mut message);
                    let Some(thought) = self.thought(thought) else { continue };
                    if thoughts.last().is_some_and(|last| last.id.is_none() || last.id != thought.id) {
                        self.end_thoughts(&mut thoughts);
                    }
                    thoughts.push(thought);
                    continue;
                }
                Part::Text(text) => {
                    let text = self.text(text, logprobs.take());
                    message.push(text);
                }
                Part::Refusal(text) => {
                    let members = [("type", Value::from("refusal")), ("refusal", text.clone().into())];
                    message.push(members.into_iter().collect::<Object<'_>>().into());
                }
                Part::ToolCall(call) => {
                    self.end_thoughts(&mut thoughts);
                    self.end_message(&mut message);
                    self.losses.tell_if(call.signature.is_some(), Feature::ThinkingSignature);
                    let mut written = write_call(call);
                    let is_free = written.get("type").is_some_and(|kind| kind.is("custom_tool_call"));
                    let prefix = if is_free { "ctc" } else { "fc" };
                    match self.is_own() {
                        true => call.rest.iter().for_each(|(name, value)| {
                            written.push(name.clone(), value.clone());
                        }),
                        false => tell_rest(&call.rest, self.from, OWN, self.losses),
                    }
                    // Ids of calls must differ, also where the model gave none.
                    if call.id.is_none() {
                        *written.get_mut("call_id").unwrap_or(&mut Value::Null) = self.next_id("call").into();
                    }
                    if written.get("id").is_none() {
                        written.push("id", self.next_id(prefix));
                    }
                    if !is_free {
                        written.push("status", "completed");
                    }
                    self.items.push(written.into());
                }
                Part::Foreign(value) if self.is_own() => {
                    self.end_thoughts(&mut thoughts);
                    self.end_message(&mut message);
                    self.items.push(value.clone());
                }
                Part::Foreign(value) => self.losses.tell(foreign(value)),
                Part::Media(_) => self.losses.tell(Feature::Modalities),
                Part::ToolResult(_) => self.losses.tell(Feature::ServerTools),
            }
            self.end_thoughts(&mut thoughts);
        }
        self.end_thoughts(&mut thoughts);
        self.end_message(&mut message);
        // What was cut is the last item.
        if status == "incomplete"
            && let Some(Value::Object(last)) = self.items.last_mut()
            && let Some(state) = last.get_mut("status")
        {
            *state = status.into();
        }
    }

    fn thought(&mut self, thought: &'r Thought<'r>) -> Option<&'r Thought<'r>> {
        let is_readable = thought.is_readable(self.from, OWN);
        self.losses.tell_if(thought.signature.is_some(), Feature::ThinkingSignature);
        self.losses.tell_if(thought.sealed.is_some() && !is_readable, Feature::ThinkingSealed);
        Some(thought).filter(|thought| is_readable || !thought.text.is_empty())
    }

    fn end_thoughts(&mut self, thoughts: &mut Vec<&'r Thought<'r>>) {
        let Some(first) = thoughts.first() else { return };
        let is_readable = first.is_readable(self.from, OWN);
        let id = first.id.clone().filter(|_| is_readable).unwrap_or_else(|| self.next_id("rs").into());
        let mut written = write_thoughts(Some(id), std::mem::take(thoughts));
        if !is_readable {
            written.take("encrypted_content");
        }
        self.items.push(written.into());
    }

    fn end_message(&mut self, message: &mut Vec<Value<'r>>) {
        if message.is_empty() {
            return;
        }
        let mut written = Object::default();
        written.push("id", self.next_id("msg"));
        written.push("type", "message");
        written.push("status", "completed");
        written.push("role", "assistant");
        written.push("content", std::mem::take(message));
        self.items.push(written.into());
    }

    fn text(&mut self, text: &'r Text<'_>, logprobs: Option<Value<'r>>) -> Value<'r> {
        self.losses.tell_if(text.signature.is_some(), Feature::ThinkingSignature);
        let mut sources = Vec::new();
        if let Some(citations) = &text.citations {
            let len = text.text.text().chars().count() as u64;
            let (written, is_lost) = annotations(citations, self.from, OWN, 0, len);
            self.losses.tell_if(is_lost, Feature::Citations);
            sources = written;
        }
        let mut written = Object::default();
        written.push("type", "output_text");
        written.push("text", text.text.clone());
        written.push("annotations", sources);
        written.push("logprobs", logprobs.unwrap_or_else(|| Vec::new().into()));
        written.into()
    }
}

//! What a request asks of its provider that a gateway has to know, and where that stands in the body.
//!
//! For a request that stays in its dialect: the body is walked once, a few members are noted, and what must be changed is
//! changed in place ([`Edits`]); all the rest goes through as it came. A member that is acted on may stand once only:
//! two readers of a body in which `model` stands twice may serve two models.

use std::ops::Range;

use crate::dialect::Dialect;
use crate::json::{self, Edits, Member, Members, Str, Value, write_escaped};

/// Why a body is no request of its dialect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// It is no JSON object.
    #[error("the body is not a JSON object: {0}")]
    Json(#[from] json::Error),
    /// A member that decides what is done stands twice.
    #[error("`{0}` stands twice")]
    Repeated(&'static str),
    /// A member has a value of a wrong kind.
    #[error("`{name}` must be {expected}")]
    Kind {
        /// Which member.
        name: &'static str,
        /// What its value must be, in words.
        expected: &'static str,
    },
    /// It names no model, and its dialect has it there.
    #[error("`model` is missing")]
    NoModel,
}

/// What is noted of one member.
#[derive(Debug, Clone, PartialEq)]
struct Noted<T> {
    value: T,
    at: Range<usize>,
}

/// What a body asks.
#[derive(Debug, Clone, PartialEq)]
pub struct Ask<'a> {
    dialect: Dialect,
    model: Option<Noted<Str<'a>>>,
    /// What goes if the member `model` goes.
    model_member: Range<usize>,
    stream: Option<bool>,
    max_output: Vec<(&'static str, Noted<Option<u64>>)>,
    answers: Option<u64>,
    /// Chat's `stream_options`: where it stands, where its inside begins, whether it has members, and the usage asked for.
    stream_options: Option<StreamOptions>,
    /// Behind the opening bracket of the body.
    inside: usize,
    is_empty: bool,
}

#[derive(Debug, Clone, PartialEq)]
struct StreamOptions {
    at: Range<usize>,
    inside: usize,
    is_empty: bool,
    is_null: bool,
    include_usage: Option<Noted<bool>>,
}

/// The members by which a dialect bounds its output, at the top or within the object of the first name.
fn max_output_names(dialect: Dialect) -> (Option<&'static str>, &'static [&'static str]) {
    match dialect {
        Dialect::OpenAiChat => (None, &["max_completion_tokens", "max_tokens"]),
        Dialect::OpenAiResponses => (None, &["max_output_tokens"]),
        Dialect::Anthropic | Dialect::Cohere | Dialect::Mistral => (None, &["max_tokens"]),
        Dialect::Gemini => (Some("generationConfig"), &["maxOutputTokens"]),
        Dialect::Bedrock => (Some("inferenceConfig"), &["maxTokens"]),
    }
}

impl<'a> Ask<'a> {
    /// Reads a body.
    ///
    /// # Errors
    /// It is not one of this dialect's, as far as that is looked at.
    pub fn read(dialect: Dialect, body: &'a [u8]) -> Result<Self, AskError> {
        let mut members = Members::new(body)?;
        let mut ask = Self {
            dialect,
            model: None,
            model_member: 0..0,
            stream: None,
            max_output: Vec::new(),
            answers: None,
            stream_options: None,
            inside: members.inside(),
            is_empty: true,
        };
        let mut seen = Seen::default();
        while let Some(member) = members.next()? {
            ask.is_empty = false;
            ask.note(body, &member, &mut seen)?;
        }
        if ask.model.is_none() && ask.names_model() {
            return Err(AskError::NoModel);
        }
        Ok(ask)
    }

    /// Whether the model is named in the body; elsewhere it is in the path.
    fn names_model(&self) -> bool {
        !matches!(self.dialect, Dialect::Gemini | Dialect::Bedrock)
    }

    fn note(&mut self, body: &'a [u8], member: &Member<'a>, seen: &mut Seen) -> Result<(), AskError> {
        let (within, bounds) = max_output_names(self.dialect);
        let text = &body[member.value.clone()];
        let known = |name: &'static str| member.name.is(name);
        if self.names_model() && known("model") {
            seen.once("model")?;
            let value = match Value::parse(text)? {
                Value::String(name) if !name.is_empty() => name,
                _ => return Err(AskError::Kind { name: "model", expected: "the name of a model" }),
            };
            self.model = Some(Noted { value, at: member.value.clone() });
            self.model_member = member.whole.clone();
        } else if self.names_model() && known("stream") {
            seen.once("stream")?;
            self.stream = truth("stream", text)?;
        } else if known("n") && matches!(self.dialect, Dialect::OpenAiChat | Dialect::Mistral) {
            seen.once("n")?;
            self.answers = whole("n", text)?;
        } else if known("stream_options") && self.dialect == Dialect::OpenAiChat {
            seen.once("stream_options")?;
            self.stream_options = Some(StreamOptions::read(body, member)?);
        } else if within.is_some_and(known) {
            let name = within.unwrap_or_default();
            seen.once(name)?;
            if text == b"null" {
                return Ok(());
            }
            let start = member.value.start;
            let mut members =
                Members::new(text).map_err(|_| AskError::Kind { name, expected: "an object" })?;
            while let Some(inner) = members.next()? {
                if let Some(bound) = bounds.iter().find(|bound| inner.name.is(bound)) {
                    seen.once(bound)?;
                    let at = start + inner.value.start..start + inner.value.end;
                    let value = whole(bound, &body[at.clone()])?;
                    self.max_output.push((bound, Noted { value, at }));
                }
            }
        } else if within.is_none()
            && let Some(bound) = bounds.iter().find(|bound| member.name.is(bound))
        {
            seen.once(bound)?;
            let value = whole(bound, text)?;
            self.max_output.push((bound, Noted { value, at: member.value.clone() }));
        }
        Ok(())
    }

    /// The model that is asked for; none where the dialect has it in the path.
    pub fn model(&self) -> Option<&Str<'a>> {
        self.model.as_ref().map(|model| &model.value)
    }

    /// Whether the answer is to be a stream; false where the dialect says so in the path.
    pub fn stream(&self) -> bool {
        self.stream.unwrap_or(false)
    }

    /// Tokens of output that the caller allows at most, for each answer; the least where a dialect has two names for it.
    pub fn max_output(&self) -> Option<u64> {
        self.max_output.iter().filter_map(|(_, noted)| noted.value).min()
    }

    /// How many answers are asked for.
    pub fn answers(&self) -> u64 {
        self.answers.unwrap_or(1)
    }

    /// Puts another model in its place. Where the dialect has it in the path, there is nothing to do.
    pub fn set_model(&self, model: &str, edits: &mut Edits) {
        if let Some(noted) = &self.model
            && !noted.value.is(model)
        {
            let mut text = Vec::with_capacity(model.len() + 2);
            write_escaped(&mut text, model);
            edits.replace(noted.at.clone(), &text);
        }
    }

    /// Takes the model out, for an API that has it in the path.
    pub fn drop_model(&self, edits: &mut Edits) {
        if self.model.is_some() {
            edits.replace(self.model_member.clone(), b"");
        }
    }

    /// Puts a member before all others: its name, and its value as JSON. For a document that has others.
    pub fn add(&self, name: &str, value: &str, edits: &mut Edits) {
        let mut member = Vec::with_capacity(name.len() + value.len() + 4);
        write_escaped(&mut member, name);
        member.push(b':');
        member.extend_from_slice(value.as_bytes());
        if !self.is_empty {
            member.push(b',');
        }
        edits.replace(self.inside..self.inside, &member);
    }

    /// Whether the provider has to be asked for the usage of a stream, which the caller did not do: what it then tells is
    /// to be kept from the caller.
    pub fn lacks_usage(&self) -> bool {
        let asked = self.stream_options.as_ref().and_then(|options| options.include_usage.as_ref());
        self.dialect == Dialect::OpenAiChat && self.stream() && !asked.is_some_and(|asked| asked.value)
    }

    /// Asks the provider for the usage of a stream, if the caller did not. Once for a set of edits.
    pub fn ask_for_usage(&self, edits: &mut Edits) {
        if !self.lacks_usage() {
            return;
        }
        match &self.stream_options {
            None => {
                let member: &[u8] = b"\"stream_options\":{\"include_usage\":true},";
                let end = member.len() - usize::from(self.is_empty);
                edits.replace(self.inside..self.inside, &member[..end]);
            }
            Some(options) if options.is_null => {
                edits.replace(options.at.clone(), b"{\"include_usage\":true}");
            }
            Some(StreamOptions { include_usage: Some(noted), .. }) => {
                edits.replace(noted.at.clone(), b"true");
            }
            Some(options) => {
                let member: &[u8] = b"\"include_usage\":true,";
                let end = member.len() - usize::from(options.is_empty);
                edits.replace(options.inside..options.inside, &member[..end]);
            }
        }
    }
}

impl StreamOptions {
    fn read(body: &[u8], member: &Member<'_>) -> Result<Self, AskError> {
        let at = member.value.clone();
        let text = &body[at.clone()];
        let is_null = text == b"null";
        let mut options =
            Self { at: at.clone(), inside: at.start, is_empty: true, is_null, include_usage: None };
        if is_null {
            return Ok(options);
        }
        let mut members = Members::new(text)
            .map_err(|_| AskError::Kind { name: "stream_options", expected: "an object" })?;
        options.inside = at.start + members.inside();
        while let Some(inner) = members.next()? {
            options.is_empty = false;
            if inner.name.is("include_usage") {
                if options.include_usage.is_some() {
                    return Err(AskError::Repeated("include_usage"));
                }
                let range = at.start + inner.value.start..at.start + inner.value.end;
                let value = truth("include_usage", &body[range.clone()])?.unwrap_or(false);
                options.include_usage = Some(Noted { value, at: range });
            }
        }
        Ok(options)
    }
}

/// Which members have been seen.
#[derive(Default)]
struct Seen(Vec<&'static str>);

impl Seen {
    fn once(&mut self, name: &'static str) -> Result<(), AskError> {
        if self.0.contains(&name) {
            return Err(AskError::Repeated(name));
        }
        self.0.push(name);
        Ok(())
    }
}

/// A truth value, or `null` for none.
fn truth(name: &'static str, text: &[u8]) -> Result<Option<bool>, AskError> {
    match text {
        b"true" => Ok(Some(true)),
        b"false" => Ok(Some(false)),
        b"null" => Ok(None),
        _ => Err(AskError::Kind { name, expected: "true or false" }),
    }
}

/// A whole number from 1, or `null` for none.
fn whole(name: &'static str, text: &[u8]) -> Result<Option<u64>, AskError> {
    let value = Value::parse(text)?;
    match value.as_u64() {
        Some(number @ 1..) => Ok(Some(number)),
        None if value.is_null() => Ok(None),
        _ => Err(AskError::Kind { name, expected: "a whole number from 1" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Dialect::*;

    fn edited(dialect: Dialect, body: &str, edit: impl FnOnce(&Ask<'_>, &mut Edits)) -> String {
        let mut edits = Edits::default();
        edit(&Ask::read(dialect, body.as_bytes()).unwrap(), &mut edits);
        let text = edits.pieces(body.as_bytes()).collect::<Vec<_>>().concat();
        Value::parse(&text).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn what_is_asked_is_read() {
        for (dialect, body, model, stream, max, answers) in [
            (OpenAiChat, r#"{"model":"m"}"#, Some("m"), false, None, 1),
            (
                OpenAiChat,
                r#"{"n":3,"stream":true,"m\u006fdel":"a\/b","max_tokens":9}"#,
                Some("a/b"),
                true,
                Some(9),
                3,
            ),
            (
                OpenAiChat,
                r#"{"model":"m","max_tokens":9,"max_completion_tokens":7,"n":null}"#,
                Some("m"),
                false,
                Some(7),
                1,
            ),
            (
                OpenAiResponses,
                r#"{"model":"m","max_output_tokens":5,"stream":null}"#,
                Some("m"),
                false,
                Some(5),
                1,
            ),
            (
                Anthropic,
                r#"{"max_tokens":1024,"model":"c","stream":true,"n":"x"}"#,
                Some("c"),
                true,
                Some(1024),
                1,
            ),
            (
                Gemini,
                r#"{"contents":[],"generationConfig":{"a":1,"maxOutputTokens":6.0}}"#,
                None,
                false,
                Some(6),
                1,
            ),
            (Gemini, r#"{"model":7,"generationConfig":null}"#, None, false, None, 1),
            (Bedrock, r#"{"inferenceConfig":{"maxTokens":8}}"#, None, false, Some(8), 1),
            (Cohere, r#"{"model":"c","max_tokens":2}"#, Some("c"), false, Some(2), 1),
            (Mistral, r#"{"model":"c","max_tokens":2,"n":2}"#, Some("c"), false, Some(2), 2),
        ] {
            let ask = Ask::read(dialect, body.as_bytes()).unwrap();
            let read = (ask.model().map(Str::text), ask.stream(), ask.max_output(), ask.answers());
            assert_eq!(read, (model.map(Into::into), stream, max, answers), "{body}");
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for (dialect, body, error) in [
            (OpenAiChat, r#"{"model":"a","model":"b"}"#, "`model` stands twice"),
            (OpenAiChat, r#"{"model":"a","\u006dodel":"a"}"#, "`model` stands twice"),
            (OpenAiChat, r#"{"model":"a","stream":true,"stream":false}"#, "`stream` stands twice"),
            (
                OpenAiChat,
                r#"{"model":"a","stream_options":{"include_usage":true,"include_usage":false}}"#,
                "`include_usage` stands twice",
            ),
            (
                Gemini,
                r#"{"generationConfig":{"maxOutputTokens":1,"maxOutputTokens":2}}"#,
                "`maxOutputTokens` stands twice",
            ),
            (Gemini, r#"{"generationConfig":{},"generationConfig":{}}"#, "`generationConfig` stands twice"),
            (Anthropic, r#"{"max_tokens":1}"#, "`model` is missing"),
            (Anthropic, r#"{"model":""}"#, "`model` must be the name of a model"),
            (Anthropic, r#"{"model":["a"]}"#, "`model` must be the name of a model"),
            (OpenAiChat, r#"{"model":"a","stream":"true"}"#, "`stream` must be true or false"),
            (OpenAiChat, r#"{"model":"a","max_tokens":0}"#, "`max_tokens` must be a whole number from 1"),
            (OpenAiChat, r#"{"model":"a","max_tokens":1.5}"#, "`max_tokens` must be a whole number from 1"),
            (OpenAiChat, r#"{"model":"a","n":"2"}"#, "`n` must be a whole number from 1"),
            (OpenAiChat, r#"{"model":"a","stream_options":[]}"#, "`stream_options` must be an object"),
            (Bedrock, r#"{"inferenceConfig":7}"#, "`inferenceConfig` must be an object"),
            (OpenAiChat, r#"["model"]"#, "the body is not a JSON object: an object was expected at byte 0"),
            (
                OpenAiChat,
                r#"{"model":"a""#,
                "the body is not a JSON object: the text ends too early at byte 12",
            ),
            (
                OpenAiChat,
                r#"{"model":"a"}}"#,
                "the body is not a JSON object: something stands behind the end of the document at byte 13",
            ),
        ] {
            let refused = Ask::read(dialect, body.as_bytes()).map(|_| ()).map_err(|error| error.to_string());
            assert_eq!(refused, Err(error.to_owned()), "{body}");
        }
    }

    #[test]
    fn only_what_must_be_changed_is() {
        let set = |model: &'static str| move |ask: &Ask<'_>, edits: &mut Edits| ask.set_model(model, edits);
        assert_eq!(
            edited(OpenAiChat, r#"{ "a":1.0,"model" : "fast" , "a":2}"#, set("x\"y")),
            r#"{ "a":1.0,"model" : "x\"y" , "a":2}"#
        );
        assert_eq!(edited(OpenAiChat, r#"{"model":"f\u0061st"}"#, set("fast")), r#"{"model":"f\u0061st"}"#);
        assert_eq!(edited(Gemini, r#"{"model":"a"}"#, set("b")), r#"{"model":"a"}"#);
        let usage = |ask: &Ask<'_>, edits: &mut Edits| {
            ask.set_model("m", edits);
            ask.ask_for_usage(edits);
        };
        for (body, after) in [
            (r#"{"model":"m"}"#, r#"{"model":"m"}"#),
            (
                r#"{"model":"m","stream":true}"#,
                r#"{"stream_options":{"include_usage":true},"model":"m","stream":true}"#,
            ),
            (
                r#"{"model":"m","stream":true,"stream_options":null}"#,
                r#"{"model":"m","stream":true,"stream_options":{"include_usage":true}}"#,
            ),
            (
                r#"{"model":"n","stream":true,"stream_options":{ }}"#,
                r#"{"model":"m","stream":true,"stream_options":{"include_usage":true }}"#,
            ),
            (
                r#"{"model":"m","stream":true,"stream_options":{"x":1}}"#,
                r#"{"model":"m","stream":true,"stream_options":{"include_usage":true,"x":1}}"#,
            ),
            (
                r#"{"stream_options":{"include_usage":false},"model":"m","stream":true}"#,
                r#"{"stream_options":{"include_usage":true},"model":"m","stream":true}"#,
            ),
            (
                r#"{"stream_options":{"include_usage":true},"model":"m","stream":true}"#,
                r#"{"stream_options":{"include_usage":true},"model":"m","stream":true}"#,
            ),
        ] {
            assert_eq!(edited(OpenAiChat, body, usage), after);
        }
        let body = r#"{"model":"m","stream":true}"#;
        assert_eq!(edited(Mistral, body, usage), body);
    }
}

//! The form between two dialects: a conversation with everything that any of them can say.
//!
//! A reader of a dialect makes one of a document, a writer of another makes a document of it. It is rich rather than
//! small: what two dialects share has one place here, what only one knows has a place too, and what none of the readers
//! understands is kept as it came ([`Request::rest`], [`Part::Foreign`]) for a writer of the same dialect. Strings and
//! values borrow from the document.
//!
//! What a writer has no word for it does not drop in silence: it tells the [`Feature`].

mod answer;
pub(crate) mod cite;
mod event;
mod feature;
pub(crate) mod read;
pub(crate) mod write;

pub use answer::{Answer, Choice, Stop};
pub use event::{COLLECTED_MAX, Collected, Event, Note, Opening};
pub use feature::{Feature, Losses};
pub use read::Malformed;

use crate::dialect::Dialect;
use crate::json::{Number, Object, Str, Value};

/// A request for an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Request<'a> {
    /// The dialect that it was read from: whose [`Request::rest`] and [`Part::Foreign`] it holds.
    pub from: Dialect,
    /// The model; empty where the dialect has it in the path.
    pub model: Str<'a>,
    /// The conversation so far, oldest first, instructions included, each where it stood.
    pub turns: Vec<Turn<'a>>,
    /// Functions that the model may call.
    pub tools: Vec<Tool<'a>>,
    /// Whether and which it must call.
    pub tool_choice: Option<ToolChoice<'a>>,
    /// Whether it may call several at once.
    pub parallel_tool_calls: Option<bool>,
    /// What the text of the answer must look like.
    pub output: Option<Output<'a>>,
    /// How much it is to think, and whether that is shown.
    pub thinking: Option<Thinking<'a>>,
    /// How the next token is chosen.
    pub sampling: Sampling<'a>,
    /// Tokens of output at most.
    pub max_output: Option<u64>,
    /// Texts that end the answer when they come.
    pub stop: Vec<Str<'a>>,
    /// How many answers are wanted.
    pub answers: Option<u64>,
    /// Probabilities of tokens: none, those chosen, or that many beside each.
    pub logprobs: Option<u64>,
    /// Whether the answer is to come as a stream.
    pub stream: bool,
    /// Who asks, in the caller's own words.
    pub user: Option<Str<'a>>,
    /// Requests with one key are likely to begin alike.
    pub cache_key: Option<Str<'a>>,
    /// How urgent it is.
    pub service_tier: Option<Str<'a>>,
    /// How wordy the answer is to be (`low`, `medium`, `high`).
    pub verbosity: Option<Str<'a>>,
    /// What the caller notes at the request.
    pub metadata: Option<Value<'a>>,
    /// Members that its reader has no place for, as they came.
    pub rest: Object<'a>,
}

impl Request<'_> {
    /// A request that says nothing.
    pub fn new(from: Dialect) -> Self {
        Self {
            from,
            model: Str::Plain(""),
            turns: Vec::new(),
            tools: Vec::new(),
            tool_choice: None,
            parallel_tool_calls: None,
            output: None,
            thinking: None,
            sampling: Sampling::default(),
            max_output: None,
            stop: Vec::new(),
            answers: None,
            logprobs: None,
            stream: false,
            user: None,
            cache_key: None,
            service_tier: None,
            verbosity: None,
            metadata: None,
            rest: Object::default(),
        }
    }
}

impl<'a> Request<'a> {
    /// Whether it needs what a provider keeps: an earlier answer, a conversation, items of either. Such a request means
    /// little anywhere else.
    pub fn is_stateful(&self) -> bool {
        let kept = ["previous_response_id", "conversation", "prompt"];
        let is_reference = |part: &Part<'_>| match part {
            Part::Foreign(value) => write::foreign(value) == Feature::Stored,
            _ => false,
        };
        kept.iter().any(|name| self.rest.get(name).is_some())
            || self.turns.iter().flat_map(|turn| &turn.parts).any(is_reference)
    }

    /// Whether it holds thoughts that only the deployment which made them can read. It is best asked again.
    pub fn is_bound(&self) -> bool {
        let parts = self.turns.iter().flat_map(|turn| &turn.parts);
        parts.into_iter().any(|part| matches!(part, Part::Thought(thought) if thought.is_bound()))
    }

    /// Takes out what only the deployment that made it can read, for another one: thoughts that are signed or sealed, and
    /// ids of items. The thoughts are told.
    pub fn unbind(&mut self, losses: &mut Losses) {
        for turn in &mut self.turns {
            turn.parts.retain(|part| match part {
                Part::Thought(thought) => {
                    losses.tell_if(thought.signature.is_some(), Feature::ThinkingSignature);
                    losses.tell_if(thought.sealed.is_some(), Feature::ThinkingSealed);
                    !thought.is_bound() && thought.id.is_none()
                }
                _ => true,
            });
            turn.rest.take("id");
            for part in &mut turn.parts {
                if let Part::ToolCall(call) = part {
                    call.rest.take("id");
                }
            }
        }
        self.turns.retain(|turn| turn.role != Role::Assistant || !turn.parts.is_empty());
    }
}

/// How the next token is chosen. Numbers are kept as they were written.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Sampling<'a> {
    /// How far it may stray from the likeliest one.
    pub temperature: Option<Number<'a>>,
    /// The share of probability to choose from.
    pub top_p: Option<Number<'a>>,
    /// The number of tokens to choose from.
    pub top_k: Option<Number<'a>>,
    /// The same seed is to give the same answer.
    pub seed: Option<Number<'a>>,
    /// Less of what was said at all.
    pub presence_penalty: Option<Number<'a>>,
    /// Less of what was said often.
    pub frequency_penalty: Option<Number<'a>>,
    /// More or less of single tokens.
    pub logit_bias: Option<Value<'a>>,
}

/// Who speaks in a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Whoever runs the application, above all others.
    System,
    /// The same, as OpenAI's newer models call it.
    Developer,
    /// The person, or what speaks for it.
    User,
    /// The model.
    Assistant,
    /// A function that was called. Its parts are [`Part::ToolResult`] only.
    Tool,
}

/// A turn of the conversation.
#[derive(Debug, Clone, PartialEq)]
pub struct Turn<'a> {
    /// Who speaks.
    pub role: Role,
    /// The name of who speaks, where there are several.
    pub name: Option<Str<'a>>,
    /// What is said.
    pub parts: Vec<Part<'a>>,
    /// Members of the turn that its reader has no place for.
    pub rest: Object<'a>,
}

impl<'a> Turn<'a> {
    /// A turn of one that has no name.
    pub fn new(role: Role, parts: Vec<Part<'a>>) -> Self {
        Self { role, name: None, parts, rest: Object::default() }
    }
}

/// A mark behind which a provider is asked to keep what it has read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheMark {
    /// For its usual time.
    Usual,
    /// For an hour.
    Hour,
}

/// A piece of a turn.
#[derive(Debug, Clone, PartialEq)]
pub enum Part<'a> {
    /// Text.
    Text(Text<'a>),
    /// A picture, a sound, a film or a document.
    Media(Media<'a>),
    /// What the model thought before it spoke.
    Thought(Thought<'a>),
    /// The model calls a function.
    ToolCall(ToolCall<'a>),
    /// What a function gave back.
    ToolResult(ToolResult<'a>),
    /// The model says why it does not answer.
    Refusal(Str<'a>),
    /// What only [`Request::from`]'s dialect knows, as it came.
    Foreign(Value<'a>),
}

/// Text of a turn.
#[derive(Debug, Clone, PartialEq)]
pub struct Text<'a> {
    /// What it says.
    pub text: Str<'a>,
    /// Whether what was read up to here is to be kept.
    pub cache: Option<CacheMark>,
    /// Where it is from, in the words of its dialect.
    pub citations: Option<Value<'a>>,
    /// What Gemini's thinking left behind at it.
    pub signature: Option<Str<'a>>,
}

impl<'a> Text<'a> {
    /// Text and nothing else.
    pub fn new(text: impl Into<Str<'a>>) -> Self {
        Self { text: text.into(), cache: None, citations: None, signature: None }
    }
}

/// What a medium is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaKind {
    /// A picture.
    Image,
    /// A sound.
    Audio,
    /// A film.
    Video,
    /// A document to read, for instance a PDF.
    Document,
}

/// Where a medium's bytes are.
#[derive(Debug, Clone, PartialEq)]
pub enum MediaSource<'a> {
    /// At an address that the provider fetches.
    Url(Str<'a>),
    /// Here, in base64 (RFC 4648 section 4).
    Base64(Str<'a>),
    /// At the provider, under this id.
    File(Str<'a>),
    /// Here, as plain text.
    Text(Str<'a>),
}

/// A picture, a sound, a film or a document.
#[derive(Debug, Clone, PartialEq)]
pub struct Media<'a> {
    /// What it is.
    pub kind: MediaKind,
    /// Where its bytes are.
    pub source: MediaSource<'a>,
    /// Its media type (RFC 6838), where it is told.
    pub media_type: Option<Str<'a>>,
    /// The name of its file, or its title.
    pub name: Option<Str<'a>>,
    /// How closely a picture is to be looked at (`low`, `high`, `auto`).
    pub detail: Option<Str<'a>>,
    /// Whether what was read up to here is to be kept.
    pub cache: Option<CacheMark>,
}

/// What the model thought.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Thought<'a> {
    /// The text of it, or a summary; empty where it is not shown.
    pub text: Str<'a>,
    /// What proves to its provider that it is unchanged.
    pub signature: Option<Str<'a>>,
    /// What only its provider can read, instead of the text or beside it.
    pub sealed: Option<Str<'a>>,
    /// Its id at the provider. Thoughts one after another with the same id are one there.
    pub id: Option<Str<'a>>,
    /// In which dialect its signature, its id and what is sealed mean something; none: in the one that it was read from.
    pub of: Option<Dialect>,
}

impl Thought<'_> {
    /// Whether a provider of `to` can read its signature and what is sealed, where it was read from `from`.
    pub fn is_readable(&self, from: Dialect, to: Dialect) -> bool {
        to.reads_thoughts_of(self.of.unwrap_or(from))
    }

    /// Whether only one provider can read it.
    pub fn is_bound(&self) -> bool {
        self.signature.is_some() || self.sealed.is_some()
    }
}

/// A call of a function.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolCall<'a> {
    /// The id that its result is to name; none from models that give none.
    pub id: Option<Str<'a>>,
    /// The function.
    pub name: Str<'a>,
    /// What it is called with.
    pub arguments: Arguments<'a>,
    /// What thinking left behind at it.
    pub signature: Option<Str<'a>>,
    /// Whether what was read up to here is to be kept.
    pub cache: Option<CacheMark>,
    /// Members that its reader has no place for; `id` is its own as an item of the conversation, beside the one for its
    /// result.
    pub rest: Object<'a>,
}

/// What a function is called with.
#[derive(Debug, Clone, PartialEq)]
pub enum Arguments<'a> {
    /// A text that ought to be a JSON object; a model may have written something else.
    Text(Str<'a>),
    /// A JSON value.
    Value(Value<'a>),
    /// Free text, of a function that takes no JSON.
    Free(Str<'a>),
}

impl Arguments<'_> {
    /// As a text of JSON. No text at all, as some models call a function without arguments, is an empty object.
    pub fn to_text(&self) -> String {
        match self {
            Arguments::Text(text) | Arguments::Free(text) => match text.text() {
                text if text.trim().is_empty() => "{}".to_owned(),
                text => text.into_owned(),
            },
            Arguments::Value(value) => value.to_json(),
        }
    }
}

/// What a function gave back.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolResult<'a> {
    /// The id of the call.
    pub call: Str<'a>,
    /// The function, where the dialect names it here.
    pub name: Option<Str<'a>>,
    /// What it gave back.
    pub content: ResultContent<'a>,
    /// Whether it failed; none where the dialect cannot say.
    pub is_error: Option<bool>,
    /// Whether what was read up to here is to be kept.
    pub cache: Option<CacheMark>,
}

/// What a function gave back.
#[derive(Debug, Clone, PartialEq)]
pub enum ResultContent<'a> {
    /// Texts, media and documents.
    Parts(Vec<Part<'a>>),
    /// A JSON value.
    Value(Value<'a>),
}

/// A function that the model may call.
#[derive(Debug, Clone, PartialEq)]
pub enum Tool<'a> {
    /// One that takes JSON.
    Function(Function<'a>),
    /// One that the provider runs itself or that only its dialect knows, as it came.
    Foreign(Value<'a>),
}

/// A function that takes JSON.
#[derive(Debug, Clone, PartialEq)]
pub struct Function<'a> {
    /// Its name.
    pub name: Str<'a>,
    /// What it is for.
    pub description: Option<Str<'a>>,
    /// The JSON Schema of what it takes.
    pub parameters: Option<Value<'a>>,
    /// Whether calls must follow the schema exactly.
    pub strict: Option<bool>,
    /// Whether what was read up to here is to be kept.
    pub cache: Option<CacheMark>,
    /// Members that its reader has no place for. They never become a part of the schema.
    pub rest: Object<'a>,
}

/// Whether and which function must be called.
#[derive(Debug, Clone, PartialEq)]
pub enum ToolChoice<'a> {
    /// As the model likes.
    Auto,
    /// None.
    None,
    /// Any one.
    Required,
    /// This one.
    Function(Str<'a>),
    /// What only its dialect knows, as it came.
    Foreign(Value<'a>),
}

/// What the text of the answer must look like.
#[derive(Debug, Clone, PartialEq)]
pub enum Output<'a> {
    /// Anything.
    Text,
    /// A JSON object.
    Json,
    /// JSON of this schema.
    Schema {
        /// The schema's name.
        name: Option<Str<'a>>,
        /// What it is for.
        description: Option<Str<'a>>,
        /// The JSON Schema.
        schema: Value<'a>,
        /// Whether it must be followed exactly.
        strict: Option<bool>,
    },
}

/// How much the model is to think.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Thinking<'a> {
    /// In words (`none`, `minimal`, `low`, `medium`, `high` ...).
    pub effort: Option<Str<'a>>,
    /// In tokens; 0: not at all.
    pub budget: Option<u64>,
    /// Whether and how thoughts are shown, in the words of the dialect.
    pub shown: Option<Str<'a>>,
}

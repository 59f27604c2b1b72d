//! An answer as it comes, piece by piece.
//!
//! A choice has parts, numbered from 0 in the order in which they open. A part opens, gets pieces and closes; parts may
//! overlap, as some dialects number calls and send their arguments in any order. Whoever writes a dialect in which they
//! must not sees to that.

use super::{Answer, Arguments, Choice, Feature, Part, Stop, Text, Thought, ToolCall};
use crate::dialect::Dialect;
use crate::json::{Object, Str, Value};
use crate::usage::Usage;

/// What happens in a stream.
#[derive(Debug, Clone, PartialEq)]
pub enum Event<'a> {
    /// It begins. Once, before all else.
    Start {
        /// The answer's id at the provider; empty where it gives none.
        id: Str<'a>,
        /// The model that answers.
        model: Str<'a>,
        /// When, in seconds since 1970.
        created: Option<u64>,
    },
    /// A part begins.
    Open {
        /// Of which choice.
        choice: u32,
        /// Its number.
        part: u32,
        /// What it is.
        opening: Opening<'a>,
    },
    /// A part goes on by this text: of what it says, or of the arguments of its call.
    Piece {
        /// Of which choice.
        choice: u32,
        /// Of which part.
        part: u32,
        /// The text.
        text: Str<'a>,
    },
    /// What proves a thought, or what thinking left behind at a call.
    Signature {
        /// Of which choice.
        choice: u32,
        /// Of which part.
        part: u32,
        /// The signature.
        signature: Str<'a>,
    },
    /// Something beside the text of a part, while it is open.
    Note {
        /// Of which choice.
        choice: u32,
        /// Of which part.
        part: u32,
        /// What it is.
        note: Note<'a>,
    },
    /// A part is complete.
    Close {
        /// Of which choice.
        choice: u32,
        /// Which part.
        part: u32,
    },
    /// A choice has ended.
    Stop {
        /// Which.
        choice: u32,
        /// Why.
        stop: Stop<'a>,
        /// The text that ended it.
        sequence: Option<Str<'a>>,
    },
    /// What has been used so far; a later one counts instead of an earlier one.
    Usage(Usage),
    /// How urgently it is served.
    ServiceTier(Str<'a>),
    /// The provider failed. Nothing follows but the end.
    Failed {
        /// Its own kind of the failure.
        kind: Option<Str<'a>>,
        /// What it says.
        message: Str<'a>,
    },
    /// It is over, as its dialect says that. A stream that ends without it was cut.
    End,
}

/// What is told beside the text of a part.
#[derive(Debug, Clone, PartialEq)]
pub enum Note<'a> {
    /// The id of a thought or of a call as an item at its provider. Right behind the opening.
    Id(Str<'a>),
    /// Where text is from, in the words of the dialect: one source.
    Citation(Value<'a>),
    /// Probabilities of the tokens of the last piece, in the words of the dialect: an array.
    Logprobs(Value<'a>),
}

impl Note<'_> {
    /// What is lost where it cannot be said. An id is of no use elsewhere.
    pub fn feature(&self) -> Option<Feature> {
        match self {
            Note::Id(_) => None,
            Note::Citation(_) => Some(Feature::Citations),
            Note::Logprobs(_) => Some(Feature::Logprobs),
        }
    }
}

/// What a part is that begins.
#[derive(Debug, Clone, PartialEq)]
pub enum Opening<'a> {
    /// Text.
    Text,
    /// A thought.
    Thought,
    /// A thought that only its provider can read.
    Sealed(Str<'a>),
    /// Why it does not answer.
    Refusal,
    /// A call of a function.
    ToolCall {
        /// The id that its result is to name.
        id: Option<Str<'a>>,
        /// The function.
        name: Str<'a>,
        /// It takes free text, not JSON.
        is_free: bool,
    },
    /// What only its dialect knows, as it came.
    Foreign(Value<'a>),
}

/// Puts a stream together to the answer that it is.
#[derive(Debug)]
pub struct Collected {
    answer: Answer<'static>,
    /// By choice: by part: what has come of it.
    parts: Vec<Vec<Open>>,
}

#[derive(Debug)]
struct Open {
    opening: Opening<'static>,
    text: String,
    signature: Option<Str<'static>>,
    id: Option<Str<'static>>,
    citations: Vec<Value<'static>>,
    logprobs: Vec<Value<'static>>,
}

/// Choices and parts that a collected answer may have, each: more than any provider gives.
pub const COLLECTED_MAX: usize = 4096;

impl Collected {
    /// Of nothing yet.
    pub fn new(from: Dialect) -> Self {
        let answer = Answer {
            from,
            id: Str::default(),
            model: Str::default(),
            created: None,
            choices: Vec::new(),
            usage: None,
            service_tier: None,
            fingerprint: None,
            rest: Default::default(),
        };
        Self { answer, parts: Vec::new() }
    }

    /// Takes an event in.
    pub fn take(&mut self, event: &Event<'_>) {
        match event {
            Event::Start { id, model, created } => {
                self.answer.id = id.clone().into_owned();
                self.answer.model = model.clone().into_owned();
                self.answer.created = *created;
            }
            Event::Open { choice, opening, .. } => {
                let opening = opening.clone().into_owned();
                if let Some(parts) = self.choice(*choice)
                    && parts.len() < COLLECTED_MAX
                {
                    parts.push(Open::new(opening));
                }
            }
            Event::Piece { choice, part, text } => {
                if let Some(open) = self.part(*choice, *part) {
                    open.text.push_str(&text.text());
                }
            }
            Event::Signature { choice, part, signature } => {
                if let Some(open) = self.part(*choice, *part) {
                    open.signature = Some(signature.clone().into_owned());
                }
            }
            Event::Note { choice, part, note } => {
                let Some(open) = self.part(*choice, *part) else { return };
                match note {
                    Note::Id(id) => open.id = Some(id.clone().into_owned()),
                    Note::Citation(citation) if open.citations.len() < COLLECTED_MAX => {
                        open.citations.push(citation.clone().into_owned());
                    }
                    Note::Logprobs(Value::Array(tokens)) => {
                        open.logprobs.extend(tokens.iter().map(|token| token.clone().into_owned()));
                    }
                    Note::Citation(_) | Note::Logprobs(_) => {}
                }
            }
            Event::Stop { choice, stop, sequence } => {
                if self.choice(*choice).is_some() {
                    let choice = &mut self.answer.choices[*choice as usize];
                    choice.stop = Some(stop.clone().into_owned());
                    choice.stop_sequence = sequence.clone().map(Str::into_owned);
                }
            }
            Event::Usage(usage) => self.answer.usage = Some(*usage),
            Event::ServiceTier(tier) => self.answer.service_tier = Some(tier.clone().into_owned()),
            Event::Close { .. } | Event::Failed { .. } | Event::End => {}
        }
    }

    fn choice(&mut self, choice: u32) -> Option<&mut Vec<Open>> {
        let choice = choice as usize;
        if choice >= COLLECTED_MAX {
            return None;
        }
        while self.parts.len() <= choice {
            self.parts.push(Vec::new());
            self.answer.choices.push(Choice::default());
        }
        self.parts.get_mut(choice)
    }

    fn part(&mut self, choice: u32, part: u32) -> Option<&mut Open> {
        self.choice(choice)?.get_mut(part as usize)
    }

    /// The answer.
    pub fn finish(mut self) -> Answer<'static> {
        for (choice, parts) in self.answer.choices.iter_mut().zip(self.parts) {
            choice.logprobs = logprobs(self.answer.from, &parts);
            choice.parts = parts.into_iter().map(Open::into_part).collect();
        }
        self.answer
    }
}

/// The probabilities of all parts, as a whole answer of the dialect has them.
fn logprobs(from: Dialect, parts: &[Open]) -> Option<Value<'static>> {
    let of = |is_refusal: bool| -> Vec<Value<'static>> {
        let parts = parts.iter().filter(|part| (part.opening == Opening::Refusal) == is_refusal);
        parts.flat_map(|part| part.logprobs.iter().cloned()).collect()
    };
    let (content, refusal) = (of(false), of(true));
    match (content.is_empty(), refusal.is_empty()) {
        (true, true) => None,
        (_, true) if from == Dialect::Cohere => Some(content.into()),
        (_, true) => Some([("content", Value::from(content))].into_iter().collect::<Object<'_>>().into()),
        (is_empty, false) => {
            let content = if is_empty { Value::Null } else { content.into() };
            let members = [("content", content), ("refusal", refusal.into())];
            Some(members.into_iter().collect::<Object<'_>>().into())
        }
    }
}

impl Open {
    fn new(opening: Opening<'static>) -> Self {
        let (citations, logprobs) = (Vec::new(), Vec::new());
        Self { opening, text: String::new(), signature: None, id: None, citations, logprobs }
    }

    fn into_part(self) -> Part<'static> {
        let text = Str::from(self.text);
        match self.opening {
            Opening::Text => {
                let citations = (!self.citations.is_empty()).then(|| self.citations.into());
                Part::Text(Text { signature: self.signature, citations, ..Text::new(text) })
            }
            Opening::Thought => {
                Part::Thought(Thought { text, signature: self.signature, id: self.id, ..Thought::default() })
            }
            Opening::Sealed(sealed) => {
                Part::Thought(Thought { text, sealed: Some(sealed), id: self.id, ..Thought::default() })
            }
            Opening::Refusal => Part::Refusal(text),
            Opening::ToolCall { id, name, is_free } => {
                let arguments = if is_free { Arguments::Free(text) } else { Arguments::Text(text) };
                let rest = self.id.map(|id| ("id", id)).into_iter().collect();
                Part::ToolCall(ToolCall { id, name, arguments, signature: self.signature, cache: None, rest })
            }
            Opening::Foreign(value) => Part::Foreign(value),
        }
    }
}

impl Opening<'_> {
    /// The same, borrowing nothing.
    pub fn into_owned(self) -> Opening<'static> {
        match self {
            Opening::Text => Opening::Text,
            Opening::Thought => Opening::Thought,
            Opening::Sealed(sealed) => Opening::Sealed(sealed.into_owned()),
            Opening::Refusal => Opening::Refusal,
            Opening::ToolCall { id, name, is_free } => {
                Opening::ToolCall { id: id.map(Str::into_owned), name: name.into_owned(), is_free }
            }
            Opening::Foreign(value) => Opening::Foreign(value.into_owned()),
        }
    }
}

//! An answer as it comes, piece by piece.
//!
//! A choice has parts, numbered from 0 in the order in which they open. A part opens, gets pieces and closes; parts may
//! overlap, as some dialects number calls and send their arguments in any order. Whoever writes a dialect in which they
//! must not sees to that.

use super::{Answer, Arguments, Choice, Part, Stop, Text, Thought, ToolCall};
use crate::dialect::Dialect;
use crate::json::{Str, Value};
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
                    parts.push(Open { opening, text: String::new(), signature: None });
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
            Event::Stop { choice, stop, sequence } => {
                if self.choice(*choice).is_some() {
                    let choice = &mut self.answer.choices[*choice as usize];
                    choice.stop = Some(stop.clone().into_owned());
                    choice.stop_sequence = sequence.clone().map(Str::into_owned);
                }
            }
            Event::Usage(usage) => self.answer.usage = Some(*usage),
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
            choice.parts = parts.into_iter().map(Open::into_part).collect();
        }
        self.answer
    }
}

impl Open {
    fn into_part(self) -> Part<'static> {
        let text = Str::from(self.text);
        match self.opening {
            Opening::Text => Part::Text(Text { signature: self.signature, ..Text::new(text) }),
            Opening::Thought => {
                Part::Thought(Thought { text, signature: self.signature, ..Thought::default() })
            }
            Opening::Sealed(sealed) => {
                Part::Thought(Thought { text, sealed: Some(sealed), ..Thought::default() })
            }
            Opening::Refusal => Part::Refusal(text),
            Opening::ToolCall { id, name, is_free } => {
                let arguments = if is_free { Arguments::Free(text) } else { Arguments::Text(text) };
                Part::ToolCall(ToolCall { id, name, arguments, signature: self.signature, cache: None })
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

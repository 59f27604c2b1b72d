//! An answer, whole.

use super::Part;
use crate::dialect::Dialect;
use crate::json::{Object, Str, Value};
use crate::usage::Usage;

/// An answer to a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer<'a> {
    /// The dialect that it was read from.
    pub from: Dialect,
    /// Its id at the provider; empty where the provider gives none.
    pub id: Str<'a>,
    /// The model that answered.
    pub model: Str<'a>,
    /// When, in seconds since 1970.
    pub created: Option<u64>,
    /// What it says; several where several answers were asked for.
    pub choices: Vec<Choice<'a>>,
    /// What was used.
    pub usage: Option<Usage>,
    /// How urgently it was served.
    pub service_tier: Option<Str<'a>>,
    /// What the provider calls the configuration that it ran on. Of no use elsewhere, so that it is no loss there.
    pub fingerprint: Option<Str<'a>>,
    /// Members that its reader has no place for.
    pub rest: Object<'a>,
}

/// One of the answers to a request.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Choice<'a> {
    /// What it says.
    pub parts: Vec<Part<'a>>,
    /// Why it ended; none if it did not.
    pub stop: Option<Stop<'a>>,
    /// The text that ended it.
    pub stop_sequence: Option<Str<'a>>,
    /// Probabilities, in the words of the dialect.
    pub logprobs: Option<Value<'a>>,
}

impl Choice<'_> {
    /// Why it ended, as callers need it: models that call functions do not all say so.
    pub fn stop(&self) -> Option<Stop<'_>> {
        let calls = || self.parts.iter().any(|part| matches!(part, Part::ToolCall(_)));
        match &self.stop {
            Some(Stop::End) if calls() => Some(Stop::ToolCalls),
            stop => stop.clone(),
        }
    }
}

/// Why an answer ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Stop<'a> {
    /// It was complete.
    End,
    /// A text came at which it was to stop.
    StopSequence,
    /// It was as long as it may be.
    MaxOutput,
    /// Functions are to be called.
    ToolCalls,
    /// The provider did not let it pass.
    Filtered,
    /// The model would not.
    Refused,
    /// The provider wants to be asked to go on.
    Paused,
    /// The conversation fills what the model can read.
    ContextFull,
    /// Something else, in the words of the dialect.
    Other(Str<'a>),
}

impl Stop<'_> {
    /// The same reason, borrowing nothing.
    pub fn into_owned(self) -> Stop<'static> {
        match self {
            Stop::End => Stop::End,
            Stop::StopSequence => Stop::StopSequence,
            Stop::MaxOutput => Stop::MaxOutput,
            Stop::ToolCalls => Stop::ToolCalls,
            Stop::Filtered => Stop::Filtered,
            Stop::Refused => Stop::Refused,
            Stop::Paused => Stop::Paused,
            Stop::ContextFull => Stop::ContextFull,
            Stop::Other(word) => Stop::Other(word.into_owned()),
        }
    }
}

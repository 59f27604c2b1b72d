//! Guards of prompts and answers of language models: what is looked for in a text, and what is done with what is found.
//!
//! Rules are plain data ([`Rules`]), checked and made ready once ([`Compiled`]). [`Check`] looks at the whole texts of a
//! document, [`StreamGuard`] at a text that comes in pieces; [`walk`] finds the texts of requests, answers and events.
//! What was masked in a request is kept in [`Masks`] and put back in its answer by [`Restore`] and [`Restorer`].
//!
//! Texts go in, texts and verdicts come out; nothing here knows a socket or a clock. What was found is counted and named,
//! never told.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

mod arguments;
mod check;
mod compiled;
mod detect;
mod injection;
mod kind;
mod mask;
mod pattern;
mod prefilter;
mod rule;
mod scan;
mod stream;
mod verdict;
pub mod walk;
pub mod webhook;
mod words;

pub use arguments::ArgumentsGuard;
pub use check::{Check, Place, Restore, Texts, Then, check};
pub use compiled::{Compiled, Direction};
pub use injection::{Heuristic, Injection, Score};
pub use kind::{Detector, Kind};
pub use mask::{MASKS_MAX, MaskKey, Masks, PLACEHOLDER_BYTES_MAX, Restorer};
pub use rule::{
    Action, Fault, Finds, INJECTION_THRESHOLD_DEFAULT, Overlong, PATTERN_BYTES_MAX, PATTERN_DFA_BYTES_MAX,
    PATTERN_NFA_BYTES_MAX, PATTERNS_MAX, Problem, RULES_MAX, Rule, Rules, WINDOW_BYTES_DEFAULT,
    WINDOW_BYTES_MAX, WINDOW_BYTES_MIN, WORD_BYTES_MAX, WORDS_MAX,
};
pub use scan::{SPANS_MAX, Span};
pub use stream::{Flow, StreamGuard};
pub use verdict::{Count, Tally, Verdict};

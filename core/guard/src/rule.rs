//! Rules as plain data, and what can be wrong with them.

use crate::kind::Detector;

/// Bytes that a stream may hold back, where nothing else is said.
pub const WINDOW_BYTES_DEFAULT: usize = 256;
/// Bytes that a stream may hold back, at least: no number or address that is looked for is longer than about as much.
pub const WINDOW_BYTES_MIN: usize = 128;
/// And at most.
pub const WINDOW_BYTES_MAX: usize = 4096;
/// Rules of one set.
pub const RULES_MAX: usize = 64;
/// Words of one rule.
pub const WORDS_MAX: usize = 10_000;
/// Bytes of one word.
pub const WORD_BYTES_MAX: usize = 128;
/// Regular expressions of one rule.
pub const PATTERNS_MAX: usize = 64;
/// Bytes of one regular expression as it is written.
pub const PATTERN_BYTES_MAX: usize = 1024;
/// Bytes of its automaton without states.
pub const PATTERN_NFA_BYTES_MAX: usize = 512 << 10;
/// Bytes of its automaton with states, which streams need.
pub const PATTERN_DFA_BYTES_MAX: usize = 4 << 20;
/// The score from which a text counts as an injection, where nothing else is said.
pub const INJECTION_THRESHOLD_DEFAULT: u32 = 60;

/// The guards of a route, in the order in which they are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// The rules.
    pub rules: Vec<Rule>,
    /// Bytes of text that a stream may hold back, [`WINDOW_BYTES_MIN`] to [`WINDOW_BYTES_MAX`].
    pub window_bytes: usize,
    /// What happens to the beginning of a match that does not end within the window.
    pub overlong: Overlong,
}

impl Default for Rules {
    fn default() -> Self {
        Self { rules: Vec::new(), window_bytes: WINDOW_BYTES_DEFAULT, overlong: Overlong::Mask }
    }
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// What it looks for.
    pub finds: Finds,
    /// In what is sent to the model.
    pub on_input: bool,
    /// In what the model answers.
    pub on_output: bool,
    /// What is done with what it finds.
    pub action: Action,
    /// Whether the caller gets back in the answer what was masked in its request.
    pub restore: bool,
}

/// What a rule looks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finds {
    /// Personal data and secrets.
    Pii(Vec<Detector>),
    /// Words and phrases. White space in one stands for any white space; case is folded.
    Words {
        /// The words.
        words: Vec<String>,
        /// Whether a word counts only where no letter or digit stands next to it. Scripts without spaces between words
        /// have no such borders.
        whole: bool,
    },
    /// Regular expressions in the syntax of the crate `regex`. `\b` and its kin mean ASCII's words.
    Regex(Vec<String>),
    /// What reads like an attempt to take over the model. On input only.
    Injection {
        /// The score from which it counts, 1 to 1000.
        threshold: u32,
    },
    /// More bytes of text in a request than these. On input only.
    Size {
        /// Bytes of all texts together.
        bytes_max: usize,
    },
}

/// What is done with what is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// It is told and left as it is.
    Flag,
    /// It is replaced by a placeholder.
    Mask,
    /// The call is refused, or its answer ended.
    Block,
}

/// What happens to the beginning of a match that does not end within the window of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overlong {
    /// What is held back is masked. Of a key the rest is hidden too; of anything else it goes on as other text does.
    Mask,
    /// The answer ends.
    Block,
}

/// What is wrong with a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{fault}", self.place())]
pub struct Problem {
    /// Which rule, from 0; none where it is the set of rules.
    pub rule: Option<usize>,
    /// Which word, expression or name within it, from 0.
    pub item: Option<usize>,
    /// What is wrong.
    pub fault: Fault,
}

impl Problem {
    fn place(&self) -> String {
        match (self.rule, self.item) {
            (Some(rule), Some(item)) => format!("guards[{rule}], item {item}: "),
            (Some(rule), None) => format!("guards[{rule}]: "),
            (None, _) => "guards: ".to_owned(),
        }
    }
}

/// What can be wrong with a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// [`RULES_MAX`].
    #[error("there are {0} rules; at most {RULES_MAX} are allowed")]
    TooManyRules(usize),
    /// Outside of its bounds.
    #[error("the window is {0} bytes; it must be {WINDOW_BYTES_MIN} to {WINDOW_BYTES_MAX}")]
    Window(usize),
    /// Neither on input nor on output.
    #[error("the rule is on neither input nor output")]
    OnNothing,
    /// It names nothing to look for.
    #[error("the rule names nothing to look for")]
    Empty,
    /// [`WORDS_MAX`].
    #[error("there are {0} words; at most {WORDS_MAX} are allowed in a rule")]
    TooManyWords(usize),
    /// It has no letter, digit or sign, or is longer than [`WORD_BYTES_MAX`].
    #[error("a word must have 1 to {WORD_BYTES_MAX} bytes and more than white space; this one has {0}")]
    Word(usize),
    /// [`PATTERNS_MAX`].
    #[error("there are {0} regular expressions; at most {PATTERNS_MAX} are allowed in a rule")]
    TooManyPatterns(usize),
    /// [`PATTERN_BYTES_MAX`].
    #[error("the regular expression has {0} bytes; at most {PATTERN_BYTES_MAX} are allowed")]
    PatternLong(usize),
    /// It is none, or too large; what its parser says.
    #[error("the regular expression is not accepted: {0}")]
    Pattern(String),
    /// It matches the empty text, so everywhere.
    #[error("the regular expression matches the empty text, so it would match everywhere")]
    PatternEmpty,
    /// Its automaton without states would have more bytes than [`PATTERN_NFA_BYTES_MAX`].
    #[error(
        "the regular expression is too large (more than {PATTERN_NFA_BYTES_MAX} bytes): shorten its repetitions"
    )]
    PatternNfaLarge,
    /// Its automaton would have more bytes than [`PATTERN_DFA_BYTES_MAX`].
    #[error(
        "the regular expression is too large for streams (more than {PATTERN_DFA_BYTES_MAX} bytes): shorten its \
         repetitions, or write (?-u:\\w) and (?-u:\\d) for ASCII's letters and digits"
    )]
    PatternLarge,
    /// An action that makes no sense there.
    #[error("{0} cannot be masked; use block or flag")]
    NoMask(&'static str),
    /// It looks at whole requests.
    #[error("{0} is looked for on input only")]
    InputOnly(&'static str),
    /// 0 or more than 1000.
    #[error("the threshold is {0}; it must be 1 to 1000")]
    Threshold(u32),
    /// Restoring what is not masked on input.
    #[error("restore needs action mask on input")]
    Restore,
}

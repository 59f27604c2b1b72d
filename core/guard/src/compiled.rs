//! Rules, checked and made ready: by direction, what acts on a text and what only tells.

use crate::injection::Injection;
use crate::kind::Detector;
use crate::pattern::Pattern;
use crate::prefilter::Prefilter;
use crate::rule::{
    Action, Fault, Finds, Overlong, PATTERNS_MAX, Problem, RULES_MAX, Rule, Rules, WINDOW_BYTES_MAX,
    WINDOW_BYTES_MIN, WORD_BYTES_MAX, WORDS_MAX,
};
use crate::words::Words;

/// Which way a text goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// To the model.
    Input,
    /// From the model.
    Output,
}

impl Direction {
    /// Its name in documents.
    pub const fn name(self) -> &'static str {
        match self {
            Direction::Input => "input",
            Direction::Output => "output",
        }
    }
}

/// Rules that are ready. Shared by all calls and workers; nothing in it changes.
#[derive(Debug)]
pub struct Compiled {
    input: Side,
    output: Side,
    pub(crate) window_bytes: usize,
    pub(crate) overlong: Overlong,
    /// By the number of the rule, a bit each: whether what it masks is restored.
    restores: u64,
}

/// The rules of a direction.
#[derive(Debug, Default)]
pub(crate) struct Side {
    /// What masks and blocks.
    pub(crate) acting: Plan,
    /// What only tells.
    pub(crate) flagging: Plan,
    pub(crate) injection: Option<Whole<(Injection, u32)>>,
    pub(crate) size: Option<Whole<usize>>,
}

/// What is looked for in whole requests.
#[derive(Debug)]
pub(crate) struct Whole<T> {
    pub(crate) what: T,
    pub(crate) rule: u16,
    pub(crate) action: Action,
}

/// What is looked for in a text.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// By the number of the detector.
    pub(crate) detectors: [Option<Acts>; Detector::COUNT],
    pub(crate) prefilter: Option<Box<Prefilter>>,
    pub(crate) words: Vec<(Words, Acts)>,
    pub(crate) patterns: Vec<(Pattern, Acts)>,
}

/// By which rule what is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Acts {
    pub(crate) rule: u16,
    pub(crate) action: Action,
}

impl Plan {
    pub(crate) fn is_empty(&self) -> bool {
        self.prefilter.is_none() && self.words.is_empty() && self.patterns.is_empty()
    }

    pub(crate) fn acts(&self, detector: Detector) -> Option<Acts> {
        self.detectors[detector as usize]
    }
}

impl Side {
    fn is_empty(&self) -> bool {
        self.acting.is_empty() && self.flagging.is_empty() && self.injection.is_none() && self.size.is_none()
    }
}

impl Compiled {
    /// Checks rules and makes them ready.
    ///
    /// # Errors
    /// All that is wrong with them.
    pub fn new(rules: &Rules) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut of_set = |fault| problems.push(Problem { rule: None, item: None, fault });
        if rules.rules.len() > RULES_MAX {
            of_set(Fault::TooManyRules(rules.rules.len()));
        }
        if !(WINDOW_BYTES_MIN..=WINDOW_BYTES_MAX).contains(&rules.window_bytes) {
            of_set(Fault::Window(rules.window_bytes));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let mut compiled = Self {
            input: Side::default(),
            output: Side::default(),
            window_bytes: rules.window_bytes,
            overlong: rules.overlong,
            restores: (rules.rules.iter().enumerate())
                .fold(0, |bits, (n, rule)| bits | u64::from(rule.restore) << n),
        };
        for (n, rule) in rules.rules.iter().enumerate() {
            let mut tell = |item, fault| problems.push(Problem { rule: Some(n), item, fault });
            check(rule, &mut tell);
            compiled.add(rule, n as u16, &mut tell);
        }
        for side in [&mut compiled.input, &mut compiled.output] {
            for plan in [&mut side.acting, &mut side.flagging] {
                plan.prefilter = Prefilter::new(&plan.detectors).map(Box::new);
            }
        }
        if problems.is_empty() { Ok(compiled) } else { Err(problems) }
    }

    fn add(&mut self, rule: &Rule, n: u16, tell: &mut impl FnMut(Option<usize>, Fault)) {
        let Self { input, output, .. } = self;
        let acts = Acts { rule: n, action: rule.action };
        let mut each = |add: &mut dyn FnMut(&mut Plan, bool)| {
            for (side, is_on, is_output) in
                [(&mut *input, rule.on_input, false), (&mut *output, rule.on_output, true)]
            {
                if is_on {
                    let is_flag = rule.action == Action::Flag;
                    add(if is_flag { &mut side.flagging } else { &mut side.acting }, is_output);
                }
            }
        };
        match &rule.finds {
            Finds::Pii(detectors) => each(&mut |plan, _| {
                for detector in detectors {
                    let own = &mut plan.detectors[*detector as usize];
                    // Of two rules for the same the stricter one acts.
                    if own.is_none_or(|own| own.action < acts.action) {
                        *own = Some(acts);
                    }
                }
            }),
            Finds::Words { words, whole } => {
                each(&mut |plan, _| plan.words.push((Words::new(words, *whole), acts)));
            }
            Finds::Regex(patterns) => {
                for (item, pattern) in patterns.iter().enumerate() {
                    match Pattern::new(pattern, rule.on_output) {
                        Ok(pattern) => each(&mut |plan, _| plan.patterns.push((pattern.clone(), acts))),
                        Err(fault) => tell(Some(item), fault),
                    }
                }
            }
            Finds::Injection { threshold } => {
                let what = (Injection::default(), *threshold);
                input.injection = Some(Whole { what, rule: n, action: rule.action });
            }
            Finds::Size { bytes_max } => {
                input.size = Some(Whole { what: *bytes_max, rule: n, action: rule.action });
            }
        }
    }

    pub(crate) fn side(&self, direction: Direction) -> &Side {
        match direction {
            Direction::Input => &self.input,
            Direction::Output => &self.output,
        }
    }

    /// Whether there is nothing to do in a direction.
    pub fn is_empty(&self, direction: Direction) -> bool {
        self.side(direction).is_empty()
    }

    /// Whether what is masked on input is restored in the answer.
    pub fn restores(&self) -> bool {
        self.restores != 0
    }

    /// Whether what a rule masks is restored.
    pub(crate) fn restores_of(&self, rule: u16) -> bool {
        self.restores >> rule & 1 == 1
    }
}

/// What is wrong with a rule by itself.
fn check(rule: &Rule, tell: &mut impl FnMut(Option<usize>, Fault)) {
    if !rule.on_input && !rule.on_output {
        tell(None, Fault::OnNothing);
    }
    if rule.restore && !(rule.on_input && rule.action == Action::Mask) {
        tell(None, Fault::Restore);
    }
    let whole = match &rule.finds {
        Finds::Injection { .. } => Some("an injection"),
        Finds::Size { .. } => Some("the size of a request"),
        _ => None,
    };
    if let Some(name) = whole {
        if rule.on_output {
            tell(None, Fault::InputOnly(name));
        }
        if rule.action == Action::Mask {
            tell(None, Fault::NoMask(name));
        }
    }
    match &rule.finds {
        Finds::Pii(detectors) if detectors.is_empty() => tell(None, Fault::Empty),
        Finds::Words { words, .. } if words.is_empty() => tell(None, Fault::Empty),
        Finds::Words { words, .. } if words.len() > WORDS_MAX => tell(None, Fault::TooManyWords(words.len())),
        Finds::Words { words, .. } => {
            for (item, word) in words.iter().enumerate() {
                let len = word.trim().len();
                if !(1..=WORD_BYTES_MAX).contains(&len) {
                    tell(Some(item), Fault::Word(len));
                }
            }
        }
        Finds::Regex(patterns) if patterns.is_empty() => tell(None, Fault::Empty),
        Finds::Regex(patterns) if patterns.len() > PATTERNS_MAX => {
            tell(None, Fault::TooManyPatterns(patterns.len()));
        }
        Finds::Injection { threshold } if !(1..=1000).contains(threshold) => {
            tell(None, Fault::Threshold(*threshold));
        }
        _ => {}
    }
}

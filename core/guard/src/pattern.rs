//! Regular expressions of rules: matched in linear time, over whole texts and, as automata that can be asked at any byte
//! whether a match is still possible, over streams.

use regex_automata::dfa::{Automaton, StartKind, dense};
use regex_automata::nfa::thompson;
use regex_automata::util::start;
use regex_automata::{Anchored, MatchKind, meta};
use regex_syntax::hir::{Capture, Hir, HirKind, Look, Repetition};

use crate::detect::{Found, Text};
use crate::rule::{Fault, PATTERN_BYTES_MAX, PATTERN_DFA_BYTES_MAX, PATTERN_NFA_BYTES_MAX};

/// Nesting of a regular expression.
const NEST_MAX: u32 = 64;
/// Bytes of the states that a search over a whole text builds as it goes; beyond them it begins anew.
const CACHE_BYTES: usize = 2 << 20;

/// A regular expression.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    whole: meta::Regex,
    /// For streams.
    anchored: Option<dense::DFA<Vec<u32>>>,
}

impl Pattern {
    pub(crate) fn new(pattern: &str, for_streams: bool) -> Result<Self, Fault> {
        if pattern.len() > PATTERN_BYTES_MAX {
            return Err(Fault::PatternLong(pattern.len()));
        }
        let parsed = regex_syntax::ParserBuilder::new().nest_limit(NEST_MAX).build().parse(pattern);
        let hir = in_ascii_words(&parsed.map_err(|error| Fault::Pattern(short(&error.to_string())))?);
        if hir.properties().minimum_len() == Some(0) {
            return Err(Fault::PatternEmpty);
        }
        let config = meta::Config::new()
            .nfa_size_limit(Some(PATTERN_NFA_BYTES_MAX))
            .onepass_size_limit(Some(PATTERN_NFA_BYTES_MAX))
            .dfa_size_limit(Some(PATTERN_NFA_BYTES_MAX))
            .hybrid_cache_capacity(CACHE_BYTES);
        let whole =
            meta::Builder::new().configure(config).build_from_hir(&hir).map_err(|error| {
                match error.size_limit() {
                    Some(_) => Fault::PatternNfaLarge,
                    None => Fault::Pattern(short(&error.to_string())),
                }
            })?;
        let anchored = if for_streams { Some(anchored(&hir)?) } else { None };
        Ok(Self { whole, anchored })
    }

    /// All matches in a whole text, in order.
    pub(crate) fn all<'t>(&'t self, text: &'t str) -> impl Iterator<Item = std::ops::Range<usize>> + 't {
        self.whole.find_iter(text).map(|found| found.range())
    }

    /// Whether a match begins at `at`, the beginning of a character. Only where it was made for streams.
    pub(crate) fn find(&self, text: &Text<'_>, at: usize) -> Found {
        let Some(dfa) = &self.anchored else { return Found::No };
        let config = start::Config::new().look_behind(text.before(at)).anchored(Anchored::Yes);
        let Ok(mut state) = dfa.start_state(&config) else { return Found::No };
        let mut end = None;
        for (n, byte) in text.bytes[at..].iter().enumerate() {
            state = dfa.next_state(state, *byte);
            if dfa.is_special_state(state) {
                if dfa.is_match_state(state) {
                    end = Some(at + n); // a match is known a byte later
                } else if dfa.is_dead_state(state) || dfa.is_quit_state(state) {
                    return end.map_or(Found::No, |end| Found::Yes(at..end));
                }
            }
        }
        if !text.is_end {
            return Found::Wait { sure: end.map(|_| at) };
        }
        if dfa.is_match_state(dfa.next_eoi_state(state)) {
            end = Some(text.bytes.len());
        }
        end.map_or(Found::No, |end| Found::Yes(at..end))
    }
}

fn anchored(hir: &Hir) -> Result<dense::DFA<Vec<u32>>, Fault> {
    let config = thompson::Config::new().nfa_size_limit(Some(PATTERN_NFA_BYTES_MAX));
    let nfa = thompson::Compiler::new()
        .configure(config.which_captures(thompson::WhichCaptures::None))
        .build_from_hir(hir)
        .map_err(|error| Fault::Pattern(short(&error.to_string())))?;
    let config = dense::Config::new()
        .start_kind(StartKind::Anchored)
        .match_kind(MatchKind::LeftmostFirst)
        .dfa_size_limit(Some(PATTERN_DFA_BYTES_MAX))
        .determinize_size_limit(Some(PATTERN_DFA_BYTES_MAX));
    dense::Builder::new().configure(config).build_from_nfa(&nfa).map_err(|_| Fault::PatternLarge)
}

/// What a parser says, on one line.
fn short(text: &str) -> String {
    let line = text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

/// The same expression with the borders of words as ASCII has them: those of Unicode cannot be decided byte by byte.
fn in_ascii_words(hir: &Hir) -> Hir {
    match hir.kind() {
        HirKind::Look(look) => Hir::look(match look {
            Look::WordUnicode => Look::WordAscii,
            Look::WordUnicodeNegate => Look::WordAsciiNegate,
            Look::WordStartUnicode => Look::WordStartAscii,
            Look::WordEndUnicode => Look::WordEndAscii,
            Look::WordStartHalfUnicode => Look::WordStartHalfAscii,
            Look::WordEndHalfUnicode => Look::WordEndHalfAscii,
            other => *other,
        }),
        HirKind::Repetition(repetition) => Hir::repetition(Repetition {
            min: repetition.min,
            max: repetition.max,
            greedy: repetition.greedy,
            sub: Box::new(in_ascii_words(&repetition.sub)),
        }),
        HirKind::Capture(capture) => Hir::capture(Capture {
            index: capture.index,
            name: capture.name.clone(),
            sub: Box::new(in_ascii_words(&capture.sub)),
        }),
        HirKind::Concat(parts) => Hir::concat(parts.iter().map(in_ascii_words).collect()),
        HirKind::Alternation(parts) => Hir::alternation(parts.iter().map(in_ascii_words).collect()),
        HirKind::Empty | HirKind::Literal(_) | HirKind::Class(_) => hir.clone(),
    }
}

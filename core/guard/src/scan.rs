//! Looks for everything of a plan in a text, of which the end may not have come yet.

use std::ops::Range;

use crate::compiled::{Acts, Plan};
use crate::detect::secret::Rest;
use crate::detect::text::Digits;
use crate::detect::{Found, Text, card, iban, mail, national, phone, secret};
use crate::kind::{Detector, Kind};
use crate::rule::Action;

/// Findings in one text; what has more is blocked.
pub const SPANS_MAX: usize = 65_536;
/// Bytes before the first digit of an id in which its letters may stand, separators included.
const LETTERS_BEFORE: usize = 20;

/// Digits at the beginning of anything that begins with one: a French number has five before it may have a letter.
const DIGITS_MIN: usize = 5;

/// A finding in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// Which bytes.
    pub range: Range<usize>,
    /// What it is.
    pub kind: Kind,
    /// By which rule, from 0.
    pub rule: u16,
    /// What is done with it.
    pub action: Action,
    /// Where begins what it is known by, for instance the name of a setting whose value it is.
    pub(crate) begun: usize,
}

/// Something that may begin in a text and of which the end has not come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wait {
    /// Where it begins.
    pub(crate) start: usize,
    /// From where on it is a match already, if it is.
    pub(crate) sure: Option<usize>,
    /// What goes on, of a key.
    pub(crate) rest: Option<Rest>,
    pub(crate) kind: Kind,
    pub(crate) acts: Acts,
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    /// Ascending, apart from each other: those that overlapped are one.
    pub(crate) spans: Vec<Span>,
    /// The first thing that may begin in the text and is not decided.
    pub(crate) wait: Option<Wait>,
    /// There were more than [`SPANS_MAX`].
    pub(crate) is_flooded: bool,
}

/// Looks from the byte `from` on, where what stands before it is context.
pub(crate) fn scan(plan: &Plan, text: &Text<'_>, from: usize) -> Scan {
    let mut scanner = Scanner { plan, text, from, done: [from; Detector::COUNT], scan: Scan::default() };
    if plan.prefilter.is_some() {
        // A text of which more comes may end in the beginning of anything, so it is looked at place by place.
        if text.is_end { scanner.search() } else { scanner.walk() }
    }
    scanner.words();
    scanner.patterns();
    let mut scan = scanner.scan;
    scan.spans = merged(scan.spans);
    scan
}

struct Scanner<'s, 't> {
    plan: &'s Plan,
    text: &'s Text<'t>,
    from: usize,
    /// By detector: behind its last match.
    done: [usize; Detector::COUNT],
    scan: Scan,
}

const WITH_DIGITS: [Detector; 11] = [
    Detector::UsSsn,
    Detector::DeSteuerId,
    Detector::NlBsn,
    Detector::PlPesel,
    Detector::BeNumber,
    Detector::SePersonnummer,
    Detector::NoFodselsnummer,
    Detector::ChAhv,
    Detector::BrCpf,
    Detector::TrKimlik,
    Detector::InAadhaar,
];
const DIGITS_AND_LETTERS: [Detector; 4] =
    [Detector::EsDni, Detector::FrNir, Detector::FiHetu, Detector::CnResidentId];
const LETTERS_FIRST: [Detector; 3] = [Detector::UkNino, Detector::EsDni, Detector::ItCodiceFiscale];

impl Scanner<'_, '_> {
    /// Asks the detectors at the places that the prefilter gives.
    fn search(&mut self) {
        let Some(prefilter) = self.plan.prefilter.as_deref() else { return };
        let bytes = self.text.bytes;
        let mut at = self.from;
        let mut letters_done = self.from;
        while let Some(place) = prefilter.next(bytes, at) {
            at = place + 1;
            match bytes[place] {
                b'@' => {
                    if let Some(start) = mail::begin_before(self.text, place) {
                        self.mail(start);
                    }
                }
                b'0'..=b'9' => {
                    // Each letter once, however many digits stand behind it.
                    let from = place.saturating_sub(LETTERS_BEFORE).max(letters_done);
                    letters_done = place;
                    for (n, byte) in bytes[from..place].iter().enumerate() {
                        if byte.is_ascii_alphabetic() {
                            self.letters_first(from + n);
                        }
                    }
                    // The earlier place first, as a text is read.
                    let before = self.text.before(place);
                    if before == Some(b'(') && self.text.before(place - 1) == Some(b'+') {
                        self.phone(place - 2);
                    }
                    if matches!(before, Some(b'+' | b'(')) {
                        self.phone(place - 1);
                    }
                    self.digits(place);
                }
                _ => {}
            }
            for start in prefilter.keys(bytes, place) {
                self.key(start);
            }
        }
    }

    /// Asks the detectors at every place.
    fn walk(&mut self) {
        for at in self.from..self.text.bytes.len() {
            let byte = self.text.bytes[at];
            match byte {
                b'0'..=b'9' => {
                    self.digits(at);
                    self.mail(at);
                }
                b'+' | b'(' => self.phone(at),
                b'-' => self.key(at),
                b'a'..=b'z' | b'A'..=b'Z' => {
                    self.letters_first(at);
                    self.mail(at);
                    self.key(at);
                }
                0xc3..=0xd4 => self.mail(at),
                _ => {}
            }
        }
    }

    /// What a detector is to do at a place, if it has not passed it.
    fn acts(&self, detector: Detector, at: usize) -> Option<Acts> {
        self.plan.acts(detector).filter(|_| at >= self.done[detector as usize])
    }

    fn note(&mut self, detector: Detector, acts: Acts, at: usize, found: Found, rest: Option<Rest>) {
        match found {
            Found::No => {}
            Found::Yes(range) => {
                self.done[detector as usize] = range.end;
                self.span(at, range, detector.kind(), acts);
            }
            Found::Wait { sure } => self.wait(Wait { start: at, sure, rest, kind: detector.kind(), acts }),
        }
    }

    fn span(&mut self, begun: usize, range: Range<usize>, kind: Kind, acts: Acts) {
        if self.scan.spans.len() == SPANS_MAX {
            self.scan.is_flooded = true;
        } else {
            self.scan.spans.push(Span { range, kind, rule: acts.rule, action: acts.action, begun });
        }
    }

    /// Keeps the first; of several at one place one that is sure.
    fn wait(&mut self, wait: Wait) {
        let rank = |wait: &Wait| (wait.start, wait.sure.is_none());
        if self.scan.wait.as_ref().is_none_or(|own| rank(&wait) < rank(own)) {
            self.scan.wait = Some(wait);
        }
    }

    fn mail(&mut self, at: usize) {
        if let Some(acts) = self.acts(Detector::Email, at) {
            self.note(Detector::Email, acts, at, mail::find(self.text, at), None);
        }
    }

    fn key(&mut self, at: usize) {
        if let Some(acts) = self.acts(Detector::Key, at) {
            let (found, rest) = secret::find(self.text, at);
            self.note(Detector::Key, acts, at, found, rest);
        }
    }

    fn phone(&mut self, at: usize) {
        if let Some(acts) = self.acts(Detector::Phone, at) {
            self.note(Detector::Phone, acts, at, phone::find(self.text, at, None), None);
        }
    }

    /// What begins with a letter and has digits.
    fn letters_first(&mut self, at: usize) {
        if !self.text.begins_loosely(at) {
            return;
        }
        // Each has its own number of letters at its beginning.
        let letters =
            self.text.bytes[at..].iter().take(6).take_while(|byte| byte.is_ascii_alphabetic()).count();
        if (letters == 2 || self.text.is_open(at + letters))
            && let Some(acts) = self.acts(Detector::Iban, at)
        {
            self.note(Detector::Iban, acts, at, iban::find(self.text, at), None);
        }
        match letters {
            _ if self.text.is_open(at + letters) => self.letters(&LETTERS_FIRST, at),
            1 => self.letters(&[Detector::EsDni], at),
            2 => self.letters(&[Detector::UkNino], at),
            3 | 6 => self.letters(&[Detector::ItCodiceFiscale], at),
            _ => {}
        }
    }

    fn letters(&mut self, detectors: &[Detector], at: usize) {
        for detector in detectors {
            if let Some(acts) = self.acts(*detector, at) {
                self.note(*detector, acts, at, national::find_letters(*detector, self.text, at), None);
            }
        }
    }

    /// What begins with a digit, at the first digit of a group.
    fn digits(&mut self, at: usize) {
        let text = self.text;
        if text.before(at).is_some_and(|byte| byte.is_ascii_digit()) || !text.begins_loosely(at) {
            return;
        }
        if !Digits::are_ahead(text, at, DIGITS_MIN) {
            return;
        }
        let digits = Digits::read(text, at);
        if let Some(acts) = self.acts(Detector::Card, at) {
            self.note(Detector::Card, acts, at, card::find(text, at, &digits), None);
        }
        if let Some(acts) = self.acts(Detector::Phone, at) {
            self.note(Detector::Phone, acts, at, phone::find(text, at, Some(&digits)), None);
        }
        if text.begins(at) {
            self.numbers(at, &digits);
        }
        self.letters(&DIGITS_AND_LETTERS, at);
    }

    /// What is made of digits alone.
    fn numbers(&mut self, at: usize, digits: &Digits) {
        if digits.is_open {
            let mut enabled =
                WITH_DIGITS.into_iter().filter_map(|detector| Some((detector, self.acts(detector, at)?)));
            if let Some((detector, acts)) = enabled.next() {
                self.note(detector, acts, at, Found::Wait { sure: None }, None);
            }
            return;
        }
        for number in digits.beginnings() {
            for detector in national::of_digits(number.digits.len()) {
                if let Some(acts) = self.acts(*detector, at) {
                    let found = national::find_number(*detector, self.text, at, &number);
                    self.note(*detector, acts, at, found, None);
                }
            }
        }
    }

    fn words(&mut self) {
        let (plan, text) = (self.plan, self.text);
        for (words, acts) in &plan.words {
            let find = |at: usize| {
                if words.may_begin(text.bytes[at]) && text.text.is_char_boundary(at) {
                    words.find(text, at)
                } else {
                    Found::No
                }
            };
            self.each(Kind::Word, *acts, find);
        }
    }

    fn patterns(&mut self) {
        let (plan, text, from) = (self.plan, self.text, self.from);
        for (pattern, acts) in &plan.patterns {
            if text.is_end && from == 0 {
                for range in pattern.all(text.text) {
                    if self.scan.is_flooded {
                        break;
                    }
                    self.span(range.start, range, Kind::Regex, *acts);
                }
            } else {
                let find = |at: usize| {
                    if text.text.is_char_boundary(at) { pattern.find(text, at) } else { Found::No }
                };
                self.each(Kind::Regex, *acts, find);
            }
        }
    }

    fn each(&mut self, kind: Kind, acts: Acts, find: impl Fn(usize) -> Found) {
        let mut at = self.from;
        while at < self.text.bytes.len() {
            match find(at) {
                Found::No => at += 1,
                Found::Yes(range) => {
                    let begun = at;
                    at = range.end;
                    self.span(begun, range, kind, acts);
                }
                // What begins later is decided together with it.
                Found::Wait { sure } => {
                    return self.wait(Wait { start: at, sure, rest: None, kind, acts });
                }
            }
        }
    }
}

/// How much a kind says of what was found: it names findings that two detectors share.
fn rank(kind: Kind) -> u8 {
    match kind {
        Kind::Key => 7,
        Kind::Iban => 6,
        Kind::Card => 5,
        Kind::NationalId => 4,
        Kind::Email => 3,
        Kind::Phone => 2,
        _ => 1,
    }
}

/// Findings that overlap as one: over all their bytes, of the kind of the longest, with the strictest action.
fn merged(mut spans: Vec<Span>) -> Vec<Span> {
    if spans.len() < 2 {
        return spans;
    }
    spans.sort_unstable_by_key(|span| {
        (span.range.start, std::cmp::Reverse((span.range.end, rank(span.kind))))
    });
    let mut merged: Vec<Span> = Vec::with_capacity(spans.len());
    let mut longest = 0;
    for span in spans {
        match merged.last_mut() {
            Some(last) if span.range.start < last.range.end => {
                if span.range.len() > longest {
                    longest = span.range.len();
                    last.kind = span.kind;
                }
                if span.action > last.action {
                    (last.action, last.rule) = (span.action, span.rule);
                }
                last.range.end = last.range.end.max(span.range.end);
                last.begun = last.begun.min(span.begun);
            }
            _ => {
                longest = span.range.len();
                merged.push(span);
            }
        }
    }
    merged
}

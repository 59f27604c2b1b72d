//! The guards of one direction of a call over its whole texts.

use crate::compiled::{Compiled, Direction, Side};
use crate::detect::Text;
use crate::injection::Score;
use crate::kind::Kind;
use crate::mask::{MaskKey, Masks};
use crate::rule::Action;
use crate::scan::{Scan, Span, scan};
use crate::verdict::{Tally, Verdict};

/// What may be done with a text, and whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// It may be changed: neither signed nor sealed together with something that is.
    pub is_editable: bool,
    /// It is of whoever runs the application. It is not looked at for injections.
    pub is_instruction: bool,
}

impl Place {
    /// A text like any other.
    pub const ORDINARY: Place = Place { is_editable: true, is_instruction: false };
}

/// Whoever looks at the texts of a document one by one.
pub trait Texts {
    /// Looks at a text; what is to stand in its place, if something is. Not used where the place is not editable.
    fn text(&mut self, text: &str, place: Place) -> Option<String>;
}

/// The guards of one direction of one call. Looks at all its texts and adds up what it finds.
///
/// ```
/// use penstock_guard::{Action, Check, Compiled, Detector, Direction, Finds, MaskKey, Place, Rule, Rules, Texts, Verdict};
///
/// let rule = Rule {
///     finds: Finds::Pii(vec![Detector::Email]),
///     on_input: true,
///     on_output: true,
///     action: Action::Mask,
///     restore: true,
/// };
/// let compiled = Compiled::new(&Rules { rules: vec![rule], ..Rules::default() }).map_err(|all| all[0].to_string())?;
/// let key = MaskKey::new([7; 32]);
/// let mut check = Check::new(&compiled, Direction::Input, &key);
/// let masked = check.text("Write to ada@example.org.", Place::ORDINARY).ok_or("nothing found")?;
/// assert!(masked.starts_with("Write to [EMAIL_") && !masked.contains("ada"));
/// let (tally, masks) = check.finish();
/// assert_eq!(tally.verdict(), Verdict::Masked);
/// assert_eq!(masks.restore(&masked).as_deref(), Some("Write to ada@example.org."));
/// # Ok::<(), String>(())
/// ```
#[derive(Debug)]
pub struct Check<'c> {
    compiled: &'c Compiled,
    side: &'c Side,
    key: &'c MaskKey,
    masks: Masks,
    tally: Tally,
    score: Score,
    bytes: usize,
}

impl<'c> Check<'c> {
    /// Of nothing yet.
    pub fn new(compiled: &'c Compiled, direction: Direction, key: &'c MaskKey) -> Self {
        let mut tally = Tally::default();
        if !compiled.is_empty(direction) {
            tally.raise(Verdict::Passed);
        }
        let (masks, score) = (Masks::default(), Score::default());
        Self { compiled, side: compiled.side(direction), key, masks, tally, score, bytes: 0 }
    }

    /// What all texts come to, and what was masked in them.
    pub fn finish(mut self) -> (Tally, Masks) {
        if let Some(size) = &self.side.size
            && self.bytes > size.what
        {
            self.tally.count(Kind::Size, size.rule, 1);
            self.tally.raise(of_action(size.action));
        }
        if let Some(injection) = &self.side.injection {
            // What adds up to less is told to nobody: single heuristics hit harmless texts.
            if self.score.total() >= injection.what.1 {
                self.tally.count(Kind::Injection, injection.rule, 1);
                self.tally.hit(self.score.hits());
                self.tally.raise(of_action(injection.action));
            }
        }
        (self.tally, self.masks)
    }

    fn masked(&mut self, text: &str, spans: &[Span]) -> String {
        let mut masked = String::with_capacity(text.len());
        let mut from = 0;
        for span in spans {
            masked.push_str(&text[from..span.range.start]);
            let restores = self.compiled.restores_of(span.rule);
            self.masks.mask(self.key, span.kind, &text[span.range.clone()], restores, &mut masked);
            from = span.range.end;
        }
        masked.push_str(&text[from..]);
        masked
    }

    /// Whether something was found already for which the call is refused.
    pub fn is_blocked(&self) -> bool {
        self.tally.verdict() == Verdict::Blocked
    }
}

impl Texts for Check<'_> {
    fn text(&mut self, text: &str, place: Place) -> Option<String> {
        self.bytes = self.bytes.saturating_add(text.len());
        let side = self.side;
        if let Some(injection) = side.injection.as_ref().filter(|_| !place.is_instruction) {
            injection.what.0.read(text, &mut self.score);
        }
        let whole = Text::new(text, true);
        if !side.flagging.is_empty() {
            tell(&scan(&side.flagging, &whole, 0), &mut self.tally, place);
        }
        if side.acting.is_empty() {
            return None;
        }
        let found = scan(&side.acting, &whole, 0);
        tell(&found, &mut self.tally, place);
        if found.spans.is_empty() || !place.is_editable || self.is_blocked() {
            return None;
        }
        Some(self.masked(text, &found.spans))
    }
}

/// What is told of a finding by what is done with it.
pub(crate) fn of_action(action: Action) -> Verdict {
    match action {
        Action::Flag => Verdict::Flagged,
        Action::Mask => Verdict::Masked,
        Action::Block => Verdict::Blocked,
    }
}

fn tell(found: &Scan, tally: &mut Tally, place: Place) {
    for span in &found.spans {
        tell_span(span, tally, place.is_editable);
    }
    if found.is_flooded {
        tally.raise(Verdict::Blocked);
    }
}

pub(crate) fn tell_span(span: &Span, tally: &mut Tally, is_editable: bool) {
    tally.count(span.kind, span.rule, 1);
    tally.raise(match span.action {
        Action::Mask if !is_editable => Verdict::Unmasked,
        action => of_action(action),
    });
}

/// What is found in one text, without changing it: spans in order, those that are only told among them.
pub fn check(compiled: &Compiled, direction: Direction, text: &str) -> Vec<Span> {
    let side = compiled.side(direction);
    let whole = Text::new(text, true);
    let mut spans = Vec::new();
    for plan in [&side.acting, &side.flagging] {
        if !plan.is_empty() {
            spans.append(&mut scan(plan, &whole, 0).spans);
        }
    }
    spans.sort_by_key(|span| (span.range.start, span.range.end));
    spans
}

/// Puts the values back in whole texts.
#[derive(Debug)]
pub struct Restore<'m>(pub &'m Masks);

impl Texts for Restore<'_> {
    fn text(&mut self, text: &str, _: Place) -> Option<String> {
        self.0.restore(text)
    }
}

/// Two that look at each text one after the other, in one walk: the second at what the first makes of it. For an answer
/// that is checked and then restored.
pub struct Then<'t>(pub &'t mut dyn Texts, pub &'t mut dyn Texts);

impl Texts for Then<'_> {
    fn text(&mut self, text: &str, place: Place) -> Option<String> {
        let first = self.0.text(text, place).filter(|_| place.is_editable);
        let second = self.1.text(first.as_deref().unwrap_or(text), place);
        second.or(first)
    }
}

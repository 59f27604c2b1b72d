//! A text that comes in pieces and is let go as soon as nothing in it can be the beginning of a match any more.

use std::sync::Arc;

use crate::check::{of_action, tell_span};
use crate::compiled::{Compiled, Direction, Plan};
use crate::detect::secret::{self, Rest};
use crate::detect::{CONTEXT_BYTES, Text};
use crate::mask::{MaskKey, Masks};
use crate::rule::{Action, Overlong};
use crate::scan::{Span, scan};
use crate::verdict::{Tally, Verdict};

/// Bytes of a piece that are looked at at once.
const STEP_BYTES: usize = 256;

/// Whether a stream may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Flow {
    /// It goes on.
    Goes,
    /// Something was found for which the answer ends here. Nothing more comes out.
    Blocked,
}

/// The guards of one text of an answer, such as a part of a choice, while it comes.
///
/// What is let go at once and what is held back: bytes that stand before the first place at which something that is looked
/// for may have begun and is not decided. At most [`crate::Rules::window_bytes`] are held when a piece has been taken; what
/// is longer is decided by [`crate::Overlong`]. The same text is found the same however it is cut.
///
/// A text that must not be changed (a thought that its provider signs) is passed as it came, and what was to be masked in
/// it is told as [`Verdict::Unmasked`].
#[derive(Debug)]
pub struct StreamGuard {
    compiled: Arc<Compiled>,
    direction: Direction,
    key: MaskKey,
    is_editable: bool,
    /// Context, then what has not been let go or not been looked at for what is only told.
    text: String,
    /// Where in it begins what has not been let go.
    acting_from: usize,
    /// Where in it begins what is only told and not decided.
    flagging_from: usize,
    /// What a key goes on with of which the beginning was hidden.
    rest: Option<Rest>,
    masks: Masks,
    tally: Tally,
    is_blocked: bool,
}

impl StreamGuard {
    /// At the beginning of a text.
    pub fn new(compiled: Arc<Compiled>, direction: Direction, key: MaskKey, is_editable: bool) -> Self {
        let mut tally = Tally::default();
        if !compiled.is_empty(direction) {
            tally.raise(Verdict::Passed);
        }
        Self {
            compiled,
            direction,
            key,
            is_editable,
            text: String::new(),
            acting_from: 0,
            flagging_from: 0,
            rest: None,
            masks: Masks::default(),
            tally,
            is_blocked: false,
        }
    }

    /// Takes a piece and appends what may go on.
    pub fn push(&mut self, piece: &str, out: &mut String) -> Flow {
        let mut rest = piece;
        while !rest.is_empty() && !self.is_blocked {
            let (now, later) = rest.split_at(rest.ceil_char_boundary(STEP_BYTES));
            rest = later;
            self.text.push_str(now);
            self.step(false, out);
        }
        self.flow()
    }

    /// Ends the text; appends what was held back. What follows is another text, of the same call.
    pub fn finish(&mut self, out: &mut String) -> Flow {
        if !self.is_blocked {
            self.step(true, out);
        }
        self.text.clear();
        (self.acting_from, self.flagging_from, self.rest) = (0, 0, None);
        self.flow()
    }

    /// What was found so far.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Bytes that are held back.
    pub fn held_bytes(&self) -> usize {
        self.text.len() - self.acting_from
    }

    fn flow(&self) -> Flow {
        if self.is_blocked { Flow::Blocked } else { Flow::Goes }
    }

    fn step(&mut self, is_end: bool, out: &mut String) {
        let compiled = Arc::clone(&self.compiled);
        let side = compiled.side(self.direction);
        self.act(&side.acting, is_end, out);
        if self.is_blocked {
            return;
        }
        self.flag(&side.flagging, is_end);
        self.forget();
    }

    /// Lets go what is decided.
    fn act(&mut self, plan: &Plan, is_end: bool, out: &mut String) {
        if self.rest.is_some() && !self.pass_rest(is_end, out) {
            return;
        }
        if plan.is_empty() {
            out.push_str(&self.text[self.acting_from..]);
            self.acting_from = self.text.len();
            return;
        }
        let mut found = scan(plan, &Text::new(&self.text, is_end), self.acting_from);
        let mut limit = found.wait.as_ref().map_or(self.text.len(), |wait| wait.start);
        limit = held_with(&found.spans, limit);
        let decided = found.spans.partition_point(|span| span.range.end <= limit);
        for span in found.spans.drain(..decided) {
            self.settle(&span, out);
            if self.is_blocked {
                return;
            }
        }
        self.let_go(limit, out);
        let held = self.text.len() - limit;
        if let Some(wait) = found.wait
            && held > self.window_bytes()
        {
            // What is hidden begins where a match is sure, or else where it may have begun.
            let sure = wait.sure.filter(|_| limit == wait.start);
            self.let_go(sure.unwrap_or(limit), out);
            let action = match self.compiled.overlong {
                Overlong::Block => Action::Block,
                Overlong::Mask => wait.acts.action,
            };
            let range = self.acting_from..self.text.len();
            let begun = range.start;
            self.settle(&Span { range, kind: wait.kind, rule: wait.acts.rule, action, begun }, out);
            self.rest = if wait.sure.is_some() { wait.rest } else { None };
        }
    }

    fn window_bytes(&self) -> usize {
        self.compiled.window_bytes
    }

    fn let_go(&mut self, to: usize, out: &mut String) {
        out.push_str(&self.text[self.acting_from..to]);
        self.acting_from = to;
    }

    /// Lets go what stands before a finding, and what stands for it.
    fn settle(&mut self, span: &Span, out: &mut String) {
        self.let_go(span.range.start, out);
        tell_span(span, &mut self.tally, self.is_editable);
        match span.action {
            Action::Block => {
                self.is_blocked = true;
                self.tally.raise(of_action(Action::Block));
            }
            Action::Mask if self.is_editable => {
                self.masks.mask(&self.key, span.kind, &self.text[span.range.clone()], false, out);
                self.acting_from = span.range.end;
            }
            Action::Mask | Action::Flag => self.let_go(span.range.end, out),
        }
    }

    /// Hides what a key goes on with; whether that has ended.
    fn pass_rest(&mut self, is_end: bool, out: &mut String) -> bool {
        let Some(rest) = self.rest else { return true };
        let from = self.acting_from;
        let (mut to, mut has_ended) = secret::go_on(rest, &Text::new(&self.text, is_end), from);
        if !has_ended && self.text.len() - to > self.window_bytes() {
            (to, has_ended) = (self.text.len(), true);
        }
        if self.is_editable {
            self.acting_from = to;
        } else {
            self.let_go(to, out);
        }
        if has_ended {
            self.rest = None;
        }
        has_ended
    }

    /// Counts what is only told. Nothing is held back for it.
    fn flag(&mut self, plan: &Plan, is_end: bool) {
        let mut limit = self.text.len();
        if !plan.is_empty() {
            let found = scan(plan, &Text::new(&self.text, is_end), self.flagging_from);
            limit = found.wait.as_ref().map_or(limit, |wait| wait.start);
            limit = held_with(&found.spans, limit);
            for span in found.spans.iter().filter(|span| span.range.end <= limit) {
                tell_span(span, &mut self.tally, self.is_editable);
            }
            if let Some(wait) = found.wait
                && self.text.len() - limit > self.window_bytes()
            {
                if wait.sure.is_some() {
                    self.tally.count(wait.kind, wait.acts.rule, 1);
                    self.tally.raise(Verdict::Flagged);
                }
                limit = self.text.len();
            }
        }
        self.flagging_from = limit;
    }

    /// Drops what is let go and no context any more.
    fn forget(&mut self) {
        let done = self.acting_from.min(self.flagging_from);
        if done > 2 * CONTEXT_BYTES {
            let from = self.text.floor_char_boundary(done - CONTEXT_BYTES);
            self.text.drain(..from);
            self.acting_from -= from;
            self.flagging_from -= from;
        }
    }
}

/// Where begins what is held if all from `limit` on is: a match that what is not decided may become a part of waits too.
fn held_with(spans: &[Span], limit: usize) -> usize {
    spans
        .iter()
        .rev()
        .fold(limit, |limit, span| if span.range.end > limit { limit.min(span.begun) } else { limit })
}

//! The texts of a stream, as events of the form.

use std::collections::HashMap;
use std::sync::Arc;

use penstock_ai::dialect::Dialect;
use penstock_ai::form::{Event, Note, Opening};
use penstock_ai::json::Str;

use crate::arguments::ArgumentsGuard;
use crate::compiled::{Compiled, Direction};
use crate::mask::{MaskKey, Masks, Restorer};
use crate::stream::{Flow, StreamGuard};
use crate::verdict::{Tally, Verdict};

/// The guards of an answer that comes as events: of each part its own, and what was masked in the request put back.
///
/// Events come out as they went in, with other pieces: fewer, later, of another text. What a part holds back comes out
/// before the part is closed, its choice stops or the answer ends. A signature of a part that was changed is left out, as
/// it proves nothing any more.
#[derive(Debug)]
pub struct EventsGuard {
    compiled: Arc<Compiled>,
    key: MaskKey,
    /// What was masked in the request, if it is to be restored.
    masks: Masks,
    from: Dialect,
    parts: HashMap<(u32, u32), Part>,
    /// Of parts that are closed.
    closed: Tally,
    is_blocked: bool,
}

/// Parts that may be open at once: more than any provider opens. With more the answer ends, as no text passes unseen.
const PARTS_MAX: usize = 4096;

#[derive(Debug)]
struct Part {
    guard: Guard,
    /// None where the text must not be changed.
    restorer: Option<Restorer>,
}

impl Part {
    fn restore(&mut self, masks: &Masks, guarded: String) -> String {
        let Some(restorer) = &mut self.restorer else { return guarded };
        let mut restored = String::with_capacity(guarded.len());
        restorer.push(masks, &guarded, &mut restored);
        restored
    }
}

#[derive(Debug)]
enum Guard {
    Text(StreamGuard),
    Arguments(ArgumentsGuard),
}

impl Guard {
    fn push(&mut self, piece: &str, out: &mut String) -> Flow {
        match self {
            Guard::Text(guard) => guard.push(piece, out),
            Guard::Arguments(guard) => guard.push(piece, out),
        }
    }

    fn finish(&mut self, out: &mut String) -> Flow {
        match self {
            Guard::Text(guard) => guard.finish(out),
            Guard::Arguments(guard) => guard.finish(out),
        }
    }

    fn tally(&self) -> &Tally {
        match self {
            Guard::Text(guard) => guard.tally(),
            Guard::Arguments(guard) => guard.tally(),
        }
    }
}

impl EventsGuard {
    /// Of a stream that its provider sends in the dialect `from`. `masks`: what is put back in it; empty for nothing.
    pub fn new(compiled: Arc<Compiled>, key: MaskKey, masks: Masks, from: Dialect) -> Self {
        Self {
            compiled,
            key,
            masks,
            from,
            parts: HashMap::new(),
            closed: Tally::default(),
            is_blocked: false,
        }
    }

    /// Takes an event; what comes of it goes to `events`. After [`Flow::Blocked`] nothing comes any more: the answer is
    /// ended with an error, and what was to come from the provider is not wanted.
    pub fn take<'a>(&mut self, event: Event<'a>, events: &mut Vec<Event<'a>>) -> Flow {
        if self.is_blocked {
            return Flow::Blocked;
        }
        match event {
            Event::Open { choice, part, opening } => {
                if let Some(guard) = self.guard(&opening) {
                    if self.parts.len() == PARTS_MAX {
                        self.is_blocked = true;
                        return Flow::Blocked;
                    }
                    let restorer = match &guard {
                        _ if !self.is_editable(&opening) => None,
                        Guard::Text(_) => Some(Restorer::default()),
                        Guard::Arguments(_) => Some(Restorer::in_json()),
                    };
                    self.parts.insert((choice, part), Part { guard, restorer });
                }
                events.push(Event::Open { choice, part, opening });
            }
            Event::Piece { choice, part, text } => match self.parts.get_mut(&(choice, part)) {
                Some(own) => {
                    let mut guarded = String::new();
                    let flow = own.guard.push(&text.text(), &mut guarded);
                    push_piece(choice, part, own.restore(&self.masks, guarded), events);
                    self.note(flow);
                }
                None => events.push(Event::Piece { choice, part, text }),
            },
            Event::Signature { choice, part, signature } => {
                let was_changed = self
                    .parts
                    .get(&(choice, part))
                    .is_some_and(|own| own.guard.tally().verdict() == Verdict::Masked);
                if !was_changed {
                    events.push(Event::Signature { choice, part, signature });
                }
            }
            Event::Close { choice, part } => {
                self.close(choice, part, events);
                self.push_unless_blocked(Event::Close { choice, part }, events);
            }
            Event::Stop { choice, stop, sequence } => {
                self.close_all(|own| own == choice, events);
                self.push_unless_blocked(Event::Stop { choice, stop, sequence }, events);
            }
            Event::Failed { .. } | Event::End => {
                self.close_all(|_| true, events);
                self.push_unless_blocked(event, events);
            }
            // Probabilities and citations repeat the text, before anybody knows what of it is masked.
            Event::Note { choice, part, note: Note::Logprobs(_) | Note::Citation(_) }
                if self.parts.contains_key(&(choice, part)) => {}
            Event::Note { .. } | Event::ServiceTier(_) | Event::Start { .. } | Event::Usage(_) => {
                events.push(event);
            }
        }
        if self.is_blocked { Flow::Blocked } else { Flow::Goes }
    }

    /// What was found so far.
    pub fn tally(&self) -> Tally {
        let mut tally = self.closed.clone();
        self.parts.values().for_each(|part| tally.add(part.guard.tally()));
        tally
    }

    /// Providers of some dialects sign thoughts behind them.
    fn is_editable(&self, opening: &Opening<'_>) -> bool {
        let signs = matches!(self.from, Dialect::Anthropic | Dialect::Gemini | Dialect::Bedrock);
        !(signs && matches!(opening, Opening::Thought))
    }

    fn guard(&self, opening: &Opening<'_>) -> Option<Guard> {
        let is_editable = self.is_editable(opening);
        let (compiled, key) = (Arc::clone(&self.compiled), self.key.clone());
        match opening {
            Opening::Text | Opening::Thought | Opening::Refusal | Opening::ToolCall { is_free: true, .. } => {
                Some(Guard::Text(StreamGuard::new(compiled, Direction::Output, key, is_editable)))
            }
            Opening::ToolCall { is_free: false, .. } => {
                Some(Guard::Arguments(ArgumentsGuard::new(compiled, Direction::Output, key, is_editable)))
            }
            Opening::Sealed(_) | Opening::Foreign(_) => None,
        }
    }

    fn note(&mut self, flow: Flow) {
        self.is_blocked |= flow == Flow::Blocked;
    }

    fn push_unless_blocked<'a>(&self, event: Event<'a>, events: &mut Vec<Event<'a>>) {
        if !self.is_blocked {
            events.push(event);
        }
    }

    fn close(&mut self, choice: u32, part: u32, events: &mut Vec<Event<'_>>) {
        let Some(mut own) = self.parts.remove(&(choice, part)) else { return };
        let mut guarded = String::new();
        let flow = own.guard.finish(&mut guarded);
        let mut restored = own.restore(&self.masks, guarded);
        if let Some(restorer) = &mut own.restorer {
            restorer.finish(&mut restored);
        }
        push_piece(choice, part, restored, events);
        self.closed.add(own.guard.tally());
        self.note(flow);
    }

    fn close_all(&mut self, is_meant: impl Fn(u32) -> bool, events: &mut Vec<Event<'_>>) {
        let mut open: Vec<_> = self.parts.keys().filter(|(choice, _)| is_meant(*choice)).copied().collect();
        open.sort_unstable();
        for (choice, part) in open {
            self.close(choice, part, events);
        }
    }
}

fn push_piece(choice: u32, part: u32, text: String, events: &mut Vec<Event<'_>>) {
    if !text.is_empty() {
        events.push(Event::Piece { choice, part, text: Str::from(text) });
    }
}

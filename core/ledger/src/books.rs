//! Puts intents and settlements together: every attempt comes out once, when it is settled or when its journal ends.
//!
//! Knows lines. Must not know files or where the result goes.

use std::collections::HashMap;

use crate::intent::{Intent, IntentLine};
use crate::line::{Kind, Line};
use crate::segment::Position;
use crate::settlement::{Rule, Settlement, SettlementLine, flag};

/// The open attempts of one journal.
#[derive(Debug, Default)]
pub struct Books {
    open: HashMap<Position, Box<[u8]>>,
}

/// An attempt that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Booked<'a> {
    /// Where its intent stands.
    pub intent_at: Position,
    /// What it said before. One whose intent is lost to damage has its request id and attempt only, and
    /// [`Booked::is_orphan`].
    pub intent: Intent<'a>,
    /// What became of it.
    pub settlement: Settlement<'a>,
    /// Bits of [`flag`] of both lines.
    pub flags: u8,
    /// Its intent is lost.
    pub is_orphan: bool,
}

impl<'a> Booked<'a> {
    /// The settlement with all that is needed to keep it apart from its intent.
    pub fn line(&self) -> SettlementLine<'a> {
        SettlementLine {
            intent_at: self.intent_at,
            request_id: self.intent.request_id,
            attempt: self.intent.attempt,
            settlement: Settlement { flags: self.flags, ..self.settlement },
        }
    }

    /// The model whose price counts: the one that answered if it is known, else the one that was asked.
    pub fn model(&self) -> &'a str {
        if self.settlement.model.is_empty() { self.intent.model } else { self.settlement.model }
    }
}

impl Books {
    /// Attempts that are open.
    pub fn open_attempts(&self) -> usize {
        self.open.len()
    }

    /// Takes in a line. `take` hears of the attempt that it ends.
    ///
    /// Returns whether the line means anything; a whole line always does, unless a later version wrote it.
    pub fn take(&mut self, line: &Line<'_>, take: impl FnOnce(&Booked<'_>)) -> bool {
        match line.kind {
            Kind::Intent => {
                let readable = IntentLine::decode(line.payload).is_some();
                if readable {
                    self.open.insert(line.at, line.payload.into());
                }
                readable
            }
            Kind::Settlement => {
                let Some(settled) = SettlementLine::decode(line.payload) else { return false };
                let payload = self.open.remove(&settled.intent_at);
                let intent = payload.as_deref().and_then(IntentLine::decode);
                let lost = Intent {
                    request_id: settled.request_id,
                    attempt: settled.attempt,
                    time_ns: settled.settlement.time_ns,
                    ..Intent::default()
                };
                let settlement = settled.settlement;
                take(&Booked {
                    intent_at: settled.intent_at,
                    intent: intent.map_or(lost, |line| line.intent),
                    settlement,
                    flags: settlement.flags | intent.map_or(0, |line| line.flags),
                    is_orphan: intent.is_none(),
                });
                true
            }
        }
    }

    /// Takes in an intent that was kept elsewhere ([`Books::open_of`]); returns whether it means anything.
    pub fn restore(&mut self, at: Position, payload: &[u8]) -> bool {
        let readable = IntentLine::decode(payload).is_some();
        if readable {
            self.open.insert(at, payload.into());
        }
        readable
    }

    /// The open attempts, in the order of their intents: where each stands, its payload and what it says.
    pub fn open_of(&self) -> impl Iterator<Item = (Position, &[u8], IntentLine<'_>)> {
        let mut open: Vec<_> = self.open.iter().collect();
        open.sort_unstable_by_key(|(at, _)| **at);
        open.into_iter().filter_map(|(at, payload)| Some((*at, &**payload, IntentLine::decode(payload)?)))
    }

    /// The open attempts of a journal that nobody writes any more: each is booked at its whole reservation.
    pub fn crashed(&self) -> impl Iterator<Item = Booked<'_>> {
        self.open_of().map(|(intent_at, _, line)| {
            let unpriced = if line.intent.price.is_none() { flag::PRICE_UNKNOWN } else { 0 };
            Booked {
                intent_at,
                intent: line.intent,
                settlement: Settlement {
                    price: line.intent.price,
                    ..Settlement::estimated(line.intent.time_ns, Rule::CRASH, line.intent.reserved())
                },
                flags: line.flags | unpriced,
                is_orphan: false,
            }
        })
    }
}

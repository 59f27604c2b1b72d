//! What became of an attempt: what it used and what it costs.

use std::fmt;

use penstock_ai::catalogue::{Billed, NanoUsd, PriceId, Service};
use penstock_ai::usage::Usage;

use crate::TEXT_BYTES_MAX;
use crate::codec::{Reader, VARINT_BYTES_MAX, Writer, cut};
use crate::segment::Position;

/// The most that one attempt reserves or costs: a million USD. What is more is booked as this and flagged. It keeps sums
/// within 64 bits.
pub const AMOUNT_MAX: NanoUsd = NanoUsd(1_000_000_000_000_000);

/// Bits that stand beside a line.
pub mod flag {
    /// It cost more than was reserved.
    pub const OVER_RESERVATION: u8 = 1;
    /// The model that answered is another than the one that was asked for.
    pub const MODEL_DIFFERS: u8 = 2;
    /// No price was known for what was used.
    pub const PRICE_UNKNOWN: u8 = 4;
    /// A text was longer than its bound and is cut.
    pub const TEXT_CUT: u8 = 8;
    /// An amount was larger than [`super::AMOUNT_MAX`] and is booked as that.
    pub const AMOUNT_CAPPED: u8 = 16;
}

/// How sure the cost is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// The provider told what was used, or what it bills.
    Settled,
    /// It did not; the cost follows a [`Rule`] and can be corrected.
    Estimated,
}

impl State {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            State::Settled => "settled",
            State::Estimated => "estimated",
        }
    }
}

/// By which rule a cost was estimated. Numbers never change their meaning; one of a later version is kept as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rule(pub u8);

impl Rule {
    /// Nothing was estimated.
    pub const NONE: Rule = Rule(0);
    /// The process ended while the attempt was open: the whole reservation.
    pub const CRASH: Rule = Rule(1);
    /// Usage never came: output counted from what was received, input as it was estimated for the reservation.
    pub const COUNTED: Rule = Rule(2);
    /// No byte of an answer came, and the provider does not bill that: nothing.
    pub const NO_ANSWER: Rule = Rule(3);
    /// Usage never came and nothing could be counted: the whole reservation.
    pub const RESERVATION: Rule = Rule(4);
    /// Nothing was sent to the provider: nothing.
    pub const NOT_SENT: Rule = Rule(5);
    /// What was used is known and its price is not.
    pub const NO_PRICE: Rule = Rule(6);
    /// The results of a batch were not seen before it expired.
    pub const EXPIRED: Rule = Rule(7);

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Rule::NONE => "none",
            Rule::CRASH => "crash",
            Rule::COUNTED => "counted",
            Rule::NO_ANSWER => "no_answer",
            Rule::RESERVATION => "reservation",
            Rule::NOT_SENT => "not_sent",
            Rule::NO_PRICE => "no_price",
            Rule::EXPIRED => "expired",
            Rule(_) => "unknown",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Whether the provider's usage was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was; the cost is what the provider bills.
    Settled,
    /// It was not; the cost follows a rule and is at most the reservation.
    Estimated(Rule),
}

impl Outcome {
    /// How sure the cost is.
    pub fn state(self) -> State {
        match self {
            Outcome::Settled => State::Settled,
            Outcome::Estimated(_) => State::Estimated,
        }
    }

    /// By which rule it was estimated.
    pub fn rule(self) -> Rule {
        match self {
            Outcome::Settled => Rule::NONE,
            Outcome::Estimated(rule) => rule,
        }
    }
}

/// What became of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settlement<'a> {
    /// When it ended, in ns since 1970 (UTC).
    pub time_ns: u64,
    /// Whether usage was seen.
    pub outcome: Outcome,
    /// What was used, as far as it is known.
    pub billed: Billed,
    /// What it costs. An estimate that is larger than the reservation is booked as the reservation.
    pub cost: NanoUsd,
    /// The price that the cost was computed with; none where it is not known.
    pub price: Option<PriceId>,
    /// The model that the answer names; empty if it names none.
    pub model: &'a str,
    /// The provider's id of its answer; empty if it gave none. A provider's export names it.
    pub response_id: &'a str,
    /// [`flag::MODEL_DIFFERS`] and [`flag::PRICE_UNKNOWN`] where they hold; the journal adds the others.
    pub flags: u8,
}

impl<'a> Settlement<'a> {
    /// An estimate without any usage: the whole `cost` by `rule`.
    pub fn estimated(time_ns: u64, rule: Rule, cost: NanoUsd) -> Settlement<'a> {
        Settlement {
            time_ns,
            outcome: Outcome::Estimated(rule),
            billed: Billed::default(),
            cost,
            price: None,
            model: "",
            response_id: "",
            flags: 0,
        }
    }
}

/// A settlement as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SettlementLine<'a> {
    /// Where the intent stands.
    pub intent_at: Position,
    /// The request's id, as in the intent.
    pub request_id: u128,
    /// The attempt, as in the intent.
    pub attempt: u16,
    /// What was written; the flags are complete.
    pub settlement: Settlement<'a>,
}

const COUNTS: usize = 19;
/// Intent's place, request id, attempt, time, cost, price, state, rule, service, flags, which counts there are, two lengths.
const FIXED_BYTES: usize = 12 + 16 + 2 + 8 + 8 + 8 + 1 + 1 + 1 + 1 + 4 + 2;

/// Bytes of the longest settlement's payload.
pub const SETTLEMENT_BYTES_MAX: usize = FIXED_BYTES + COUNTS * VARINT_BYTES_MAX + 2 * TEXT_BYTES_MAX;

/// What is counted, in the order in which it is written; more may follow, none may move.
fn counts(billed: &Billed) -> [u64; COUNTS] {
    let usage = &billed.usage;
    [
        usage.input,
        usage.output,
        usage.cached_read,
        usage.cache_write,
        usage.cache_write_1h,
        usage.reasoning,
        usage.audio_input,
        usage.audio_output,
        usage.searches,
        billed.audio_cached_read,
        billed.image_input,
        billed.image_cached_read,
        billed.image_output,
        billed.video_input,
        billed.video_output,
        billed.characters,
        billed.images,
        billed.duration_ms,
        billed.pages,
    ]
}

fn billed(counts: [u64; COUNTS], service: Service) -> Billed {
    let [
        input,
        output,
        cached_read,
        cache_write,
        cache_write_1h,
        reasoning,
        audio_input,
        audio_output,
        searches,
        audio_cached_read,
        image_input,
        image_cached_read,
        image_output,
        video_input,
        video_output,
        characters,
        images,
        duration_ms,
        pages,
    ] = counts;
    Billed {
        usage: Usage {
            input,
            cached_read,
            cache_write,
            cache_write_1h,
            audio_input,
            output,
            reasoning,
            audio_output,
            searches,
        },
        audio_cached_read,
        image_input,
        image_cached_read,
        image_output,
        video_input,
        video_output,
        characters,
        images,
        duration_ms,
        pages,
        service,
    }
}

impl<'a> SettlementLine<'a> {
    /// The settlement of an attempt that reserved `reservation`, as it is written: the cost within its bounds and flagged.
    #[inline]
    pub(crate) fn new(
        intent_at: Position,
        request_id: u128,
        attempt: u16,
        reservation: NanoUsd,
        settlement: &Settlement<'a>,
    ) -> SettlementLine<'a> {
        let mut line = SettlementLine { intent_at, request_id, attempt, settlement: *settlement };
        let told = &mut line.settlement;
        told.flags &= flag::MODEL_DIFFERS | flag::PRICE_UNKNOWN;
        if told.cost > AMOUNT_MAX {
            told.cost = AMOUNT_MAX;
            told.flags |= flag::AMOUNT_CAPPED;
        }
        match told.outcome {
            Outcome::Settled if told.cost > reservation => told.flags |= flag::OVER_RESERVATION,
            Outcome::Settled => {}
            Outcome::Estimated(_) => told.cost = told.cost.min(reservation),
        }
        for text in [&mut told.model, &mut told.response_id] {
            let (kept, was_cut) = cut(text, TEXT_BYTES_MAX);
            *text = kept;
            if was_cut {
                told.flags |= flag::TEXT_CUT;
            }
        }
        line
    }

    /// Writes the payload into `out`, which has [`SETTLEMENT_BYTES_MAX`] bytes, and returns its length.
    #[inline]
    pub(crate) fn encode(&self, out: &mut [u8]) -> usize {
        let told = &self.settlement;
        let counts = counts(&told.billed);
        let there = (0u32..).zip(counts).fold(0u32, |there, (at, count)| there | u32::from(count > 0) << at);
        let mut writer = Writer::new(out);
        writer.put(self.intent_at.sequence.to_le_bytes());
        writer.put(self.intent_at.offset.to_le_bytes());
        writer.put(self.request_id.to_le_bytes());
        writer.put(self.attempt.to_le_bytes());
        writer.put(told.time_ns.to_le_bytes());
        writer.put(told.cost.0.to_le_bytes());
        writer.put(told.price.map_or(0, |price| price.0).to_le_bytes());
        let state = u8::from(told.outcome.state() == State::Estimated);
        writer.put([state, told.outcome.rule().0, told.billed.service as u8, told.flags]);
        writer.put(there.to_le_bytes());
        writer.put([told.model.len() as u8, told.response_id.len() as u8]);
        for count in counts.into_iter().filter(|count| *count > 0) {
            writer.varint(count);
        }
        writer.bytes(told.model.as_bytes());
        writer.bytes(told.response_id.as_bytes());
        writer.len()
    }

    /// Appends the payload to `out`: for whoever keeps settlements elsewhere. [`SettlementLine::decode`] reads it.
    ///
    /// # Panics
    /// If a text is longer than its bound, which no line that was read has.
    pub fn append_to(&self, out: &mut Vec<u8>) {
        let from = out.len();
        out.resize(from + SETTLEMENT_BYTES_MAX, 0);
        let bytes = self.encode(&mut out[from..]);
        out.truncate(from + bytes);
    }

    /// Reads a payload; what stands behind the last text is padding, or of a later version.
    pub fn decode(payload: &'a [u8]) -> Option<SettlementLine<'a>> {
        let mut reader = Reader(payload);
        let sequence = reader.u64()?;
        let offset = u32::from_le_bytes(reader.take()?);
        let request_id = u128::from_le_bytes(reader.take()?);
        let attempt = u16::from_le_bytes(reader.take()?);
        let time_ns = reader.u64()?;
        let cost = NanoUsd(reader.u64()?);
        let price = Some(PriceId(reader.u64()?)).filter(|price| price.0 != 0);
        let [state, rule, service, flags] = reader.take()?;
        let outcome = match (state, rule) {
            (0, 0) => Outcome::Settled,
            (1, 1..) => Outcome::Estimated(Rule(rule)),
            _ => return None,
        };
        let service = *Service::ALL.get(usize::from(service))?;
        let there = u32::from_le_bytes(reader.take()?);
        let [model, response_id] = reader.take()?;
        if there >> COUNTS != 0 {
            return None;
        }
        let mut counts = [0; COUNTS];
        for (at, count) in counts.iter_mut().enumerate() {
            if there >> at & 1 == 1 {
                *count = reader.varint()?;
            }
        }
        let settlement = Settlement {
            time_ns,
            outcome,
            billed: billed(counts, service),
            cost,
            price,
            model: reader.text(model.into())?,
            response_id: reader.text(response_id.into())?,
            flags,
        };
        Some(SettlementLine { intent_at: Position { sequence, offset }, request_id, attempt, settlement })
    }
}

//! Sums: what attempts used and cost together.

use std::collections::HashMap;

use penstock_ai::catalogue::Billed;
use penstock_ledger::{State, flag};
use rusqlite::{Row, Transaction};

use crate::error::StoreError;

/// The most of one thing that an attempt adds to a sum, so that sums fit 64 bits. Its line has what was told.
const COUNT_MAX: u64 = 1_000_000_000_000;

const FIELDS: usize = 15;

/// The columns of [`Totals`] in their order.
pub(crate) const TOTALS_COLUMNS: [&str; FIELDS] = [
    "attempts",
    "nano_usd",
    "input_tokens",
    "cached_read_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
    "searches",
    "images",
    "characters",
    "duration_ms",
    "pages",
    "over_reservation",
    "model_differs",
    "price_unknown",
];

/// What attempts used and cost together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// How many.
    pub attempts: i64,
    /// What they cost, in 10^-9 USD.
    pub nano_usd: i64,
    /// Tokens of the input, cached ones included.
    pub input_tokens: i64,
    /// Of these, read from a provider's cache.
    pub cached_read_tokens: i64,
    /// Of these, written to a provider's cache.
    pub cache_write_tokens: i64,
    /// Tokens of the output, reasoning included.
    pub output_tokens: i64,
    /// Of these, reasoning.
    pub reasoning_tokens: i64,
    /// Searches that were billed.
    pub searches: i64,
    /// Images that were made, or embedded.
    pub images: i64,
    /// Characters that were spoken.
    pub characters: i64,
    /// Audio and video that was heard or made, in milliseconds.
    pub duration_ms: i64,
    /// Pages that were read.
    pub pages: i64,
    /// Attempts that cost more than was reserved.
    pub over_reservation: i64,
    /// Attempts that another model answered than the one asked.
    pub model_differs: i64,
    /// Attempts without a known price.
    pub price_unknown: i64,
}

impl Totals {
    /// One attempt.
    pub(crate) fn of(billed: &Billed, nano_usd: u64, flags: u8) -> Totals {
        let count = |counts: &[u64]| {
            let sum = counts.iter().fold(0, |sum: u64, count| sum.saturating_add(*count));
            sum.min(COUNT_MAX).cast_signed()
        };
        let usage = &billed.usage;
        let flagged = |bit: u8| i64::from(flags & bit != 0);
        Totals {
            attempts: 1,
            nano_usd: crate::store::int(nano_usd),
            input_tokens: count(&[billed.input_total()]),
            cached_read_tokens: count(&[
                usage.cached_read,
                billed.audio_cached_read,
                billed.image_cached_read,
            ]),
            cache_write_tokens: count(&[usage.cache_write, usage.cache_write_1h]),
            output_tokens: count(&[usage.output_total(), billed.image_output, billed.video_output]),
            reasoning_tokens: count(&[usage.reasoning]),
            searches: count(&[usage.searches]),
            images: count(&[billed.images]),
            characters: count(&[billed.characters]),
            duration_ms: count(&[billed.duration_ms]),
            pages: count(&[billed.pages]),
            over_reservation: flagged(flag::OVER_RESERVATION),
            model_differs: flagged(flag::MODEL_DIFFERS),
            price_unknown: flagged(flag::PRICE_UNKNOWN),
        }
    }

    fn fields(&self) -> [i64; FIELDS] {
        [
            self.attempts,
            self.nano_usd,
            self.input_tokens,
            self.cached_read_tokens,
            self.cache_write_tokens,
            self.output_tokens,
            self.reasoning_tokens,
            self.searches,
            self.images,
            self.characters,
            self.duration_ms,
            self.pages,
            self.over_reservation,
            self.model_differs,
            self.price_unknown,
        ]
    }

    fn fields_mut(&mut self) -> [&mut i64; FIELDS] {
        [
            &mut self.attempts,
            &mut self.nano_usd,
            &mut self.input_tokens,
            &mut self.cached_read_tokens,
            &mut self.cache_write_tokens,
            &mut self.output_tokens,
            &mut self.reasoning_tokens,
            &mut self.searches,
            &mut self.images,
            &mut self.characters,
            &mut self.duration_ms,
            &mut self.pages,
            &mut self.over_reservation,
            &mut self.model_differs,
            &mut self.price_unknown,
        ]
    }

    /// Adds others.
    ///
    /// # Errors
    /// [`StoreError::Overflow`], rather than to tell a wrong sum; it means nothing then.
    pub fn add(&mut self, other: &Totals) -> Result<(), StoreError> {
        for (to, from) in self.fields_mut().into_iter().zip(other.fields()) {
            *to = to.checked_add(from).ok_or(StoreError::Overflow)?;
        }
        Ok(())
    }

    /// The same, to be taken away.
    pub(crate) fn negative(&self) -> Totals {
        let mut negative = *self;
        for field in negative.fields_mut() {
            *field = -*field;
        }
        negative
    }

    /// Reads [`TOTALS_COLUMNS`], which begin at column `first`.
    pub(crate) fn read(row: &Row<'_>, first: usize) -> rusqlite::Result<Totals> {
        let mut totals = Totals::default();
        for (at, field) in totals.fields_mut().into_iter().enumerate() {
            *field = row.get(first + at)?;
        }
        Ok(totals)
    }
}

pub(crate) fn state_code(state: State) -> i64 {
    match state {
        State::Settled => 0,
        State::Estimated => 1,
    }
}

pub(crate) fn state_of(code: i64) -> Result<State, StoreError> {
    match code {
        0 => Ok(State::Settled),
        1 => Ok(State::Estimated),
        _ => Err(StoreError::Damaged("a state that is neither settled nor estimated")),
    }
}

/// Which sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SumId {
    pub hour: i64,
    pub key_id: i64,
    pub state: State,
}

impl SumId {
    pub(crate) fn is_there(&self, transaction: &Transaction<'_>) -> Result<bool, StoreError> {
        let mut statement = transaction
            .prepare_cached("SELECT 1 FROM ledger_sum WHERE hour = ?1 AND key_id = ?2 AND state = ?3")?;
        Ok(statement.exists((self.hour, self.key_id, state_code(self.state)))?)
    }
}

/// Changes of sums that are collected and written together.
#[derive(Debug, Default)]
pub(crate) struct SumChanges {
    changes: HashMap<SumId, Totals>,
}

impl SumChanges {
    pub(crate) fn add(&mut self, id: SumId, totals: &Totals) -> Result<(), StoreError> {
        self.changes.entry(id).or_default().add(totals)
    }

    pub(crate) fn has(&self, id: &SumId) -> bool {
        self.changes.contains_key(id)
    }

    /// Writes them and is empty after. A sum that would not fit 64 bits is an error, and nothing of the transaction may be
    /// completed then.
    pub(crate) fn write(&mut self, transaction: &Transaction<'_>) -> Result<(), StoreError> {
        if self.changes.is_empty() {
            return Ok(());
        }
        let columns = TOTALS_COLUMNS;
        let added: Vec<String> =
            (4..).zip(columns).map(|(at, column)| format!("{column} = {column} + ?{at}")).collect();
        let update = format!(
            "UPDATE ledger_sum SET {} WHERE hour = ?1 AND key_id = ?2 AND state = ?3",
            added.join(", ")
        );
        let places: Vec<String> = (4..4 + columns.len()).map(|at| format!("?{at}")).collect();
        let insert = format!(
            "INSERT INTO ledger_sum (hour, key_id, state, {}) VALUES (?1, ?2, ?3, {})",
            columns.join(", "),
            places.join(", ")
        );
        let mut update = transaction.prepare_cached(&update)?;
        let mut insert = transaction.prepare_cached(&insert)?;
        for (id, totals) in self.changes.drain() {
            let values = [id.hour, id.key_id, state_code(id.state)].into_iter().chain(totals.fields());
            let values = rusqlite::params_from_iter(values);
            if update.execute(values.clone())? == 0 {
                insert.execute(values)?;
            }
        }
        Ok(())
    }
}

//! What one transaction books: sums, settled lines in blocks, estimated lines one by one.

use std::collections::{HashMap, HashSet};

use penstock_ledger::{Booked, State};
use rusqlite::Transaction;

use super::event::LedgerEvent;
use super::key::{Key, KeyIds, OTHER};
use super::line::{KeptLine, hour};
use super::sums::{SumChanges, SumId, Totals};
use crate::error::StoreError;
use crate::store::int;

/// Different sums of one hour. Beyond it, end users and tags, which callers choose, are summed as `(other)`.
pub(crate) const SUMS_PER_HOUR_MAX: u64 = 100_000;

/// Bytes of lines in one block.
const BLOCK_BYTES: usize = 256 << 10;
/// Sums that are remembered as known.
const SEEN_MAX: usize = 500_000;

/// Books attempts. Lives on between transactions for what it remembers; see [`Bookkeeper::forget`].
#[derive(Debug)]
pub(crate) struct Bookkeeper {
    keys: KeyIds,
    sums: SumChanges,
    /// Sums that are in the table, or in `sums`.
    seen: HashSet<SumId>,
    /// How many sums an hour has.
    per_hour: HashMap<i64, u64>,
    sums_per_hour_max: u64,
    block: Block,
    /// Attempts of this transaction.
    booked: u64,
    /// The last hour that was told to be crowded.
    crowded: Option<i64>,
}

#[derive(Debug, Default)]
struct Block {
    lines: Vec<u8>,
    first_ns: u64,
    last_ns: u64,
}

impl Default for Bookkeeper {
    fn default() -> Self {
        Bookkeeper::new(SUMS_PER_HOUR_MAX)
    }
}

impl Bookkeeper {
    pub(crate) fn new(sums_per_hour_max: u64) -> Bookkeeper {
        Bookkeeper {
            keys: KeyIds::default(),
            sums: SumChanges::default(),
            seen: HashSet::new(),
            per_hour: HashMap::new(),
            sums_per_hour_max,
            block: Block::default(),
            booked: 0,
            crowded: None,
        }
    }

    /// Forgets what it knows of the tables and what it was about to write: a transaction was not completed.
    pub(crate) fn forget(&mut self) {
        *self = Bookkeeper::new(self.sums_per_hour_max);
    }

    /// Books an attempt.
    pub(crate) fn book(
        &mut self,
        transaction: &Transaction<'_>,
        booked: &Booked<'_>,
        tell: &mut dyn FnMut(LedgerEvent),
    ) -> Result<(), StoreError> {
        if booked.is_orphan {
            let (request_id, attempt) = (booked.intent.request_id, booked.intent.attempt);
            tell(LedgerEvent::Orphan { request_id, attempt });
        }
        let state = booked.settlement.outcome.state();
        let id = self.sum_id(transaction, &Key::of(booked), booked.intent.time_ns, state, tell)?;
        let settlement = &booked.settlement;
        self.sums.add(id, &Totals::of(&settlement.billed, settlement.cost.0, booked.flags))?;
        let kept = KeptLine::of(booked, id.key_id);
        match state {
            State::Settled => self.keep_settled(transaction, &kept)?,
            State::Estimated => keep_estimated(transaction, &kept)?,
        }
        self.booked += 1;
        Ok(())
    }

    /// The sum that an attempt belongs to.
    fn sum_id(
        &mut self,
        transaction: &Transaction<'_>,
        key: &Key<'_>,
        time_ns: u64,
        state: State,
        tell: &mut dyn FnMut(LedgerEvent),
    ) -> Result<SumId, StoreError> {
        let hour = hour(time_ns);
        let id = SumId { hour, key_id: self.keys.id(transaction, key)?, state };
        if self.is_known(transaction, &id)? {
            return Ok(id);
        }
        let there = self.count(transaction, hour)?;
        let chosen_by_callers = !key.end_user.is_empty() || !key.tags.is_empty();
        if there >= self.sums_per_hour_max && chosen_by_callers {
            if self.crowded.replace(hour) != Some(hour) {
                tell(LedgerEvent::Crowded { hour: hour.cast_unsigned() });
            }
            let other = |text: &str| if text.is_empty() { "" } else { OTHER };
            let key = Key { end_user: other(key.end_user), tags: other(key.tags), ..*key };
            let id = SumId { key_id: self.keys.id(transaction, &key)?, ..id };
            if !self.is_known(transaction, &id)? {
                self.add_known(id);
            }
            return Ok(id);
        }
        self.add_known(id);
        Ok(id)
    }

    fn is_known(&mut self, transaction: &Transaction<'_>, id: &SumId) -> Result<bool, StoreError> {
        if self.seen.contains(id) || self.sums.has(id) {
            return Ok(true);
        }
        let there = id.is_there(transaction)?;
        if there {
            self.see(*id);
        }
        Ok(there)
    }

    fn see(&mut self, id: SumId) {
        if self.seen.len() >= SEEN_MAX {
            self.seen.clear();
            self.per_hour.clear();
        }
        self.seen.insert(id);
    }

    fn add_known(&mut self, id: SumId) {
        self.see(id);
        *self.per_hour.entry(id.hour).or_default() += 1;
    }

    fn count(&mut self, transaction: &Transaction<'_>, hour: i64) -> Result<u64, StoreError> {
        if let Some(count) = self.per_hour.get(&hour) {
            return Ok(*count);
        }
        let mut statement = transaction.prepare_cached("SELECT COUNT(*) FROM ledger_sum WHERE hour = ?1")?;
        let count = statement.query_row([hour], |row| row.get::<_, i64>(0))?.cast_unsigned();
        self.per_hour.insert(hour, count);
        Ok(count)
    }

    /// Keeps a settled line.
    pub(crate) fn keep_settled(
        &mut self,
        transaction: &Transaction<'_>,
        kept: &KeptLine<'_>,
    ) -> Result<(), StoreError> {
        let block = &mut self.block;
        if block.lines.is_empty() {
            (block.first_ns, block.last_ns) = (kept.time_ns, kept.time_ns);
        }
        block.first_ns = block.first_ns.min(kept.time_ns);
        block.last_ns = block.last_ns.max(kept.time_ns);
        kept.append_to(&mut block.lines);
        if block.lines.len() >= BLOCK_BYTES { block.write(transaction) } else { Ok(()) }
    }

    /// Changes a sum beside the attempts that are booked.
    pub(crate) fn change(&mut self, id: SumId, totals: &Totals) -> Result<(), StoreError> {
        self.sums.add(id, totals)
    }

    /// The id of a key.
    pub(crate) fn key_id(&mut self, transaction: &Transaction<'_>, key: &Key<'_>) -> Result<i64, StoreError> {
        self.keys.id(transaction, key)
    }

    /// Writes what is collected: before the transaction is completed. Returns how many attempts were booked in it.
    pub(crate) fn finish(&mut self, transaction: &Transaction<'_>) -> Result<u64, StoreError> {
        self.sums.write(transaction)?;
        self.block.write(transaction)?;
        Ok(std::mem::take(&mut self.booked))
    }
}

impl Block {
    fn write(&mut self, transaction: &Transaction<'_>) -> Result<(), StoreError> {
        if self.lines.is_empty() {
            return Ok(());
        }
        let mut statement = transaction.prepare_cached(
            "INSERT INTO ledger_block (id, first_ns, last_ns, lines) \
             VALUES ((SELECT COALESCE(MAX(id), 0) + 1 FROM ledger_block), ?1, ?2, ?3)",
        )?;
        statement.execute((int(self.first_ns), int(self.last_ns), &self.lines))?;
        self.lines.clear();
        Ok(())
    }
}

fn keep_estimated(transaction: &Transaction<'_>, kept: &KeptLine<'_>) -> Result<(), StoreError> {
    let mut statement = transaction.prepare_cached(
        "INSERT INTO ledger_estimated (id, request_id, attempt, response_id, time_ns, line) \
         VALUES ((SELECT COALESCE(MAX(id), 0) + 1 FROM ledger_estimated), ?1, ?2, ?3, ?4, ?5)",
    )?;
    let line = &kept.line;
    let request_id = line.request_id.to_be_bytes();
    let response_id = line.settlement.response_id;
    statement.execute((
        &request_id[..],
        i64::from(line.attempt),
        response_id,
        int(kept.time_ns),
        kept.to_vec(),
    ))?;
    Ok(())
}

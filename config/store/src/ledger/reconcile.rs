//! Turns estimated lines into settled ones, by what the provider says of them.
//!
//! A line that was booked is not changed: an adjustment says what it cost before and since, the sums move, and the settled line
//! is kept among the settled ones.

use penstock_ai::catalogue::{Catalogue, NanoUsd, PriceId};
use penstock_ledger::{AMOUNT_MAX, Outcome, Settlement, SettlementLine, State, flag};
use rusqlite::Transaction;

use super::batch::Bookkeeper;
use super::export::ExportRow;
use super::key::{Key, OwnedKey};
use super::line::{KeptLine, next_line};
use super::sums::{SumId, Totals};
use crate::error::StoreError;
use crate::store::{Store, int};

/// Rows that are applied in one transaction, so that the fold does not wait for long.
const ROWS_AT_ONCE: usize = 1000;
/// Rows that are told one by one.
const TOLD_MAX: usize = 100;

/// What came of an export.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reconciled {
    /// Lines that are settled now.
    pub settled: u64,
    /// What they were booked at, in 10^-9 USD.
    pub nano_usd_before: u64,
    /// What they cost.
    pub nano_usd_after: u64,
    /// Rows that changed nothing.
    pub left: u64,
    /// The first of these, by line of the file.
    pub told: Vec<(u64, Left)>,
}

/// Why a row changed nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// No estimated line is meant: it is settled, too old, of another gateway, or not folded yet.
    Unknown,
    /// Several estimated lines are meant: name the attempt or the response.
    Ambiguous,
    /// It says tokens, and the catalogue has no price for them.
    Unpriced,
}

impl Left {
    /// For people.
    pub fn why(self) -> &'static str {
        match self {
            Left::Unknown => "no estimated line has this id",
            Left::Ambiguous => "several estimated lines have this id; name the attempt or the response",
            Left::Unpriced => "the catalogue has no price for this model and these tokens",
        }
    }
}

/// Applies an export. With `dry_run` it is only told what would come of it.
///
/// # Errors
/// The database; rows before are applied then, and applying the file again goes on from there.
pub fn reconcile(
    store: &mut Store,
    rows: &[ExportRow],
    catalogue: &Catalogue,
    now_ns: u64,
    dry_run: bool,
) -> Result<Reconciled, StoreError> {
    let mut reconciled = Reconciled::default();
    for rows in rows.chunks(ROWS_AT_ONCE) {
        let transaction = store.write()?;
        let mut applying = Applying { bookkeeper: Bookkeeper::default(), catalogue, now_ns };
        for row in rows {
            match applying.apply(&transaction, row)? {
                Ok((before, after)) => {
                    reconciled.settled += 1;
                    reconciled.nano_usd_before += before;
                    reconciled.nano_usd_after += after;
                }
                Err(left) => {
                    reconciled.left += 1;
                    if reconciled.told.len() < TOLD_MAX {
                        reconciled.told.push((row.line, left));
                    }
                }
            }
        }
        applying.bookkeeper.finish(&transaction)?;
        if !dry_run {
            transaction.commit()?;
        }
    }
    Ok(reconciled)
}

struct Applying<'a> {
    bookkeeper: Bookkeeper,
    catalogue: &'a Catalogue,
    now_ns: u64,
}

impl Applying<'_> {
    /// What the line was booked at and what it costs, or why it stays.
    fn apply(
        &mut self,
        transaction: &Transaction<'_>,
        row: &ExportRow,
    ) -> Result<Result<(u64, u64), Left>, StoreError> {
        let (id, bytes) = match find(transaction, row)? {
            Ok(found) => found,
            Err(left) => return Ok(Err(left)),
        };
        let before =
            next_line(&mut &bytes[..])?.ok_or(StoreError::Damaged("an estimated line without bytes"))?;
        let owned = OwnedKey::find(transaction, before.key_id)?;
        let key = Key { model: row.model.as_deref().unwrap_or(owned.key().model), ..owned.key() };
        let Some(after) = self.settle(row, &before, &key) else { return Ok(Err(Left::Unpriced)) };
        let after = KeptLine { key_id: self.bookkeeper.key_id(transaction, &key)?, line: after, ..before };
        for (kept, state) in [(&before, State::Estimated), (&after, State::Settled)] {
            let told = &kept.line.settlement;
            let totals = Totals::of(&told.billed, told.cost.0, told.flags);
            let totals = if state == State::Estimated { totals.negative() } else { totals };
            self.bookkeeper.change(SumId { hour: kept.hour(), key_id: kept.key_id, state }, &totals)?;
        }
        self.bookkeeper.keep_settled(transaction, &after)?;
        transaction.prepare_cached("DELETE FROM ledger_estimated WHERE id = ?1")?.execute([id])?;
        let adjustment = Adjustment {
            kind: "reconcile",
            place: None,
            before: (before.line.settlement.cost, before.line.settlement.price),
            after: (after.line.settlement.cost, after.line.settlement.price),
        };
        adjustment.write(transaction, &before, self.now_ns)?;
        Ok(Ok((before.line.settlement.cost.0, after.line.settlement.cost.0)))
    }

    /// The line as the provider settles it; `None` where its cost is not known.
    fn settle<'l>(
        &self,
        row: &'l ExportRow,
        before: &KeptLine<'l>,
        key: &Key<'_>,
    ) -> Option<SettlementLine<'l>> {
        let was = &before.line.settlement;
        let mut billed = was.billed;
        billed.usage = row.usage.unwrap_or(billed.usage);
        let (cost, price) = match row.cost {
            Some(cost) => (cost, None),
            None => {
                let found = self.catalogue.row_in(key.provider_kind, key.region, key.model)?;
                let timed = found.timed_price_at(before.time_ns / 1_000_000_000)?;
                (timed.price().cost(&billed).ok()?.min(AMOUNT_MAX), Some(timed.id()))
            }
        };
        let over = if cost.0 > before.reservation { flag::OVER_RESERVATION } else { 0 };
        let settlement = Settlement {
            outcome: Outcome::Settled,
            billed,
            cost,
            price,
            model: row.model.as_deref().unwrap_or(was.model),
            response_id: row.response_id.as_deref().unwrap_or(was.response_id),
            flags: was.flags & !(flag::PRICE_UNKNOWN | flag::OVER_RESERVATION) | over,
            ..*was
        };
        Some(SettlementLine { settlement, ..before.line })
    }
}

type Found = Result<(i64, Vec<u8>), Left>;

/// The one estimated line that a row means: by the provider's id, else by the gateway's.
fn find(transaction: &Transaction<'_>, row: &ExportRow) -> Result<Found, StoreError> {
    const BY_RESPONSE: &str = "SELECT id, attempt, line FROM ledger_estimated WHERE response_id = ?1";
    const BY_REQUEST: &str = "SELECT id, attempt, line FROM ledger_estimated WHERE request_id = ?1";
    let mut found = Vec::new();
    if let Some(response_id) = &row.response_id {
        found = lines(transaction, BY_RESPONSE, response_id, row.attempt)?;
    }
    if found.is_empty()
        && let Some(request_id) = row.request_id
    {
        found = lines(transaction, BY_REQUEST, &request_id.to_be_bytes()[..], row.attempt)?;
    }
    Ok(match (found.pop(), found.is_empty()) {
        (None, _) => Err(Left::Unknown),
        (Some(line), true) => Ok(line),
        (Some(_), false) => Err(Left::Ambiguous),
    })
}

fn lines(
    transaction: &Transaction<'_>,
    text: &str,
    id: impl rusqlite::ToSql,
    attempt: Option<u16>,
) -> Result<Vec<(i64, Vec<u8>)>, StoreError> {
    let mut statement = transaction.prepare_cached(text)?;
    let mut rows = statement.query([id])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        // Two are enough to know that it is not the one.
        if found.len() < 2 && attempt.is_none_or(|attempt| row.get(1) == Ok(i64::from(attempt))) {
            found.push((row.get(0)?, row.get(2)?));
        }
    }
    Ok(found)
}

/// What a correction changed.
pub(crate) struct Adjustment {
    /// Why.
    pub kind: &'static str,
    /// Block and line that it is for, if a settled one.
    pub place: Option<(i64, i64)>,
    pub before: (NanoUsd, Option<PriceId>),
    pub after: (NanoUsd, Option<PriceId>),
}

impl Adjustment {
    pub(crate) fn write(
        &self,
        transaction: &Transaction<'_>,
        line: &KeptLine<'_>,
        now_ns: u64,
    ) -> Result<(), StoreError> {
        let mut insert = transaction.prepare_cached(
            "INSERT INTO ledger_adjustment (id, kind, made_ns, time_ns, request_id, attempt, block_id, line, \
             nano_usd_before, nano_usd_after, price_before, price_after) \
             VALUES ((SELECT COALESCE(MAX(id), 0) + 1 FROM ledger_adjustment), \
             ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?;
        let price = |price: Option<PriceId>| price.map_or(0, |price| price.0.cast_signed());
        let (block_id, at) = self.place.unwrap_or_default();
        insert.execute((
            self.kind,
            int(now_ns),
            int(line.time_ns),
            &line.line.request_id.to_be_bytes()[..],
            line.line.attempt,
            block_id,
            at,
            int(self.before.0.0),
            int(self.after.0.0),
            price(self.before.1),
            price(self.after.1),
        ))?;
        Ok(())
    }
}

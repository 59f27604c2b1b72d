//! Applies a corrected price to what was settled before, by adjustments.
//!
//! Every settled line since a day is computed anew with the price that the catalogue has for its time; where it differs, an
//! adjustment says so and the sums move. A line whose cost the provider told itself is left alone. Doing it twice changes
//! nothing the second time.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use penstock_ai::catalogue::{Catalogue, NanoUsd, PriceId};
use penstock_ledger::{AMOUNT_MAX, State, flag};
use rusqlite::{OptionalExtension, Transaction};

use super::batch::Bookkeeper;
use super::key::OwnedKey;
use super::line::{KeptLine, next_line};
use super::reconcile::Adjustment;
use super::sums::{SumId, Totals};
use crate::error::StoreError;
use crate::store::{Store, int};

/// What came of a corrected price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rerated {
    /// Settled lines that were looked at.
    pub lines: u64,
    /// Lines that cost something else now.
    pub changed: u64,
    /// What these cost before, in 10^-9 USD.
    pub nano_usd_before: u64,
    /// What they cost since.
    pub nano_usd_after: u64,
    /// Lines that the catalogue has no price for; they are left as they are.
    pub unpriced: u64,
    /// The time of the oldest line that is kept, in ns since 1970: what is older cannot be computed anew.
    pub oldest_ns: Option<u64>,
}

/// Computes the lines since `since_ns` (ns since 1970) anew. With `dry_run` it is only told what would come of it.
///
/// # Errors
/// The database; what was done before holds then, and doing it again goes on from there.
pub fn rerate(
    store: &mut Store,
    catalogue: &Catalogue,
    since_ns: u64,
    now_ns: u64,
    dry_run: bool,
) -> Result<Rerated, StoreError> {
    let mut rerating = Rerating {
        catalogue,
        since_ns,
        now_ns,
        keys: HashMap::new(),
        rerated: Rerated { oldest_ns: oldest(&store.read()?)?, ..Rerated::default() },
    };
    let mut last = 0;
    loop {
        let transaction = store.write()?;
        let Some((id, lines)) = next_block(&transaction, last, since_ns)? else {
            return Ok(rerating.rerated);
        };
        rerating.block(&transaction, id, &lines)?;
        if !dry_run {
            transaction.commit()?;
        }
        last = id;
    }
}

fn oldest(transaction: &Transaction<'_>) -> Result<Option<u64>, StoreError> {
    let first: Option<i64> =
        transaction.query_row("SELECT MIN(first_ns) FROM ledger_block", [], |row| row.get(0))?;
    Ok(first.map(i64::cast_unsigned))
}

fn next_block(
    transaction: &Transaction<'_>,
    after: i64,
    since_ns: u64,
) -> Result<Option<(i64, Vec<u8>)>, StoreError> {
    let mut statement = transaction.prepare_cached(
        "SELECT id, lines FROM ledger_block WHERE id > ?1 AND last_ns >= ?2 ORDER BY id LIMIT 1",
    )?;
    Ok(statement.query_row((after, int(since_ns)), |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
}

struct Rerating<'a> {
    catalogue: &'a Catalogue,
    since_ns: u64,
    now_ns: u64,
    keys: HashMap<i64, OwnedKey>,
    rerated: Rerated,
}

impl Rerating<'_> {
    fn block(&mut self, transaction: &Transaction<'_>, id: i64, lines: &[u8]) -> Result<(), StoreError> {
        let mut bookkeeper = Bookkeeper::default();
        let adjusted = adjusted(transaction, id)?;
        let mut rest = lines;
        let mut at = 0;
        while let Some(line) = next_line(&mut rest)? {
            if line.time_ns >= self.since_ns {
                self.rerated.lines += 1;
                self.line(transaction, &mut bookkeeper, (id, at), &line, adjusted.get(&at))?;
            }
            at += 1;
        }
        bookkeeper.finish(transaction)?;
        Ok(())
    }

    fn line(
        &mut self,
        transaction: &Transaction<'_>,
        bookkeeper: &mut Bookkeeper,
        place: (i64, i64),
        line: &KeptLine<'_>,
        adjusted: Option<&(NanoUsd, Option<PriceId>)>,
    ) -> Result<(), StoreError> {
        let told = &line.line.settlement;
        let had_no_price = told.flags & flag::PRICE_UNKNOWN != 0 && adjusted.is_none();
        if told.price.is_none() && told.flags & flag::PRICE_UNKNOWN == 0 {
            return Ok(()); // The provider told the cost itself.
        }
        let Some((cost, price)) = self.price(transaction, line)? else {
            self.rerated.unpriced += 1;
            return Ok(());
        };
        let before = adjusted.copied().unwrap_or((told.cost, told.price));
        if cost == before.0 && !had_no_price {
            return Ok(());
        }
        let delta = Totals {
            nano_usd: int(cost.0) - int(before.0.0),
            price_unknown: -i64::from(had_no_price),
            ..Totals::default()
        };
        bookkeeper.change(SumId { hour: line.hour(), key_id: line.key_id, state: State::Settled }, &delta)?;
        let adjustment =
            Adjustment { kind: "rerate", place: Some(place), before, after: (cost, Some(price)) };
        adjustment.write(transaction, line, self.now_ns)?;
        self.rerated.changed += 1;
        self.rerated.nano_usd_before += before.0.0;
        self.rerated.nano_usd_after += cost.0;
        Ok(())
    }

    /// What the line costs by the catalogue.
    fn price(
        &mut self,
        transaction: &Transaction<'_>,
        line: &KeptLine<'_>,
    ) -> Result<Option<(NanoUsd, PriceId)>, StoreError> {
        let key = match self.keys.entry(line.key_id) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => place.insert(OwnedKey::find(transaction, line.key_id)?),
        }
        .key();
        let row = self.catalogue.row_in(key.provider_kind, key.region, key.model);
        let timed = row.and_then(|row| row.timed_price_at(line.time_ns / 1_000_000_000));
        Ok(timed.and_then(|timed| {
            let cost = timed.price().cost(&line.line.settlement.billed).ok()?;
            Some((cost.min(AMOUNT_MAX), timed.id()))
        }))
    }
}

type Adjusted = HashMap<i64, (NanoUsd, Option<PriceId>)>;

/// What lines of a block cost since they were adjusted, by their place in it.
fn adjusted(transaction: &Transaction<'_>, block_id: i64) -> Result<Adjusted, StoreError> {
    let mut statement = transaction.prepare_cached(
        "SELECT line, nano_usd_after, price_after FROM ledger_adjustment WHERE block_id = ?1 ORDER BY id",
    )?;
    let mut rows = statement.query([block_id])?;
    let mut adjusted = HashMap::new();
    while let Some(row) = rows.next()? {
        let price = Some(PriceId(row.get::<_, i64>(2)?.cast_unsigned())).filter(|price| price.0 != 0);
        adjusted.insert(row.get(0)?, (NanoUsd(row.get::<_, i64>(1)?.cast_unsigned()), price));
    }
    Ok(adjusted)
}

//! The model catalogue: what each provider asks for each model, since when, and what the model can do.
//!
//! A catalogue is read once, on the control side, from a file of JSON lines ([`Catalogue::read`]) and never changes after.
//! The file that `tools/catalogue/import` builds is bundled ([`Catalogue::bundled`]); an operator may put another in its
//! place. Prices are integers and time is a parameter, so that a price once found can be found again.
//!
//! ```
//! use penstock_ai::catalogue::{Billed, Catalogue};
//! use penstock_ai::usage::Usage;
//!
//! let line = br#"{"provider":"acme","model":"a-1","maker":"acme","name":"a-1","mode":"chat",
//!     "prices":[{"input":"3","output":"15","above":{"200000":{"input":"6"}}}]}"#;
//! let line: Vec<u8> = line.iter().copied().filter(|byte| *byte != b'\n').collect();
//! let catalogue = Catalogue::read(&line)?;
//! let price = catalogue.price("acme", "a-1", 1_800_000_000).ok_or("no price")?;
//! let billed = Billed::from(Usage { input: 1_000, output: 10, ..Usage::default() });
//! assert_eq!(price.cost(&billed)?.0, 3_150_000); // 0.00315 USD
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod decimal;
mod period;
mod price;
mod read;
mod row;
mod search;

pub use decimal::{DecimalError, FemtoUsd, RATE_MAX};
pub use period::{Period, PeriodError, WINDOWS_MAX};
pub use price::{
    Billed, Dimension, NanoUsd, Price, PriceError, PriceId, PriceSpec, Service, Slot, TIERS_MAX, Unpriced,
};
pub use read::{Fault, LINE_BYTES_MAX, PERIODS_MAX, ROWS_MAX, ReadError, TOTAL_BYTES_MAX};
pub use row::{Capability, Modality, Mode, Row, TimedPrice};
pub use search::{Hit, QUERY_WORDS_MAX};

/// The catalogue that the program brings along, as JSON lines.
pub const BUNDLED: &[u8] = include_bytes!("../data/catalogue.jsonl");

/// Models and their prices, by provider kind and model id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalogue {
    /// In the order of provider, region and model.
    rows: Box<[Row]>,
    /// (bare name, index of row), in that order; a row stands under its name and its model id.
    names: Box<[(Box<str>, u32)]>,
}

impl Catalogue {
    /// Reads a file of JSON lines, one row a line; empty lines count for nothing.
    ///
    /// Members of a row that this program does not know are passed over, so that a newer file can be read; an unknown
    /// member of a price is an error, as leaving it out would make calls too cheap.
    ///
    /// # Errors
    /// The first line that is not a row or goes beyond a bound, and why.
    pub fn read(bytes: &[u8]) -> Result<Catalogue, ReadError> {
        let rows = read::rows(bytes)?;
        let mut names = Vec::with_capacity(rows.len() * 2);
        for (at, row) in (0u32..).zip(&rows) {
            names.push((Box::from(row.name()), at));
            if row.model() != row.name() {
                names.push((Box::from(row.model()), at));
            }
        }
        names.sort_unstable();
        Ok(Catalogue { rows: rows.into(), names: names.into() })
    }

    /// The catalogue that the program brings along.
    ///
    /// # Errors
    /// None in a released program: a test reads it.
    pub fn bundled() -> Result<Catalogue, ReadError> {
        Catalogue::read(BUNDLED)
    }

    /// All rows, in the order of provider, region and model.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The row of a model at a provider kind, as that provider names it, outside of any region that has a row of its own.
    pub fn row(&self, provider: &str, model: &str) -> Option<&Row> {
        self.find(provider, "", model)
    }

    /// The row of a model in a region (`eu-central-1`) or data zone (`eu`): the region's own if its prices differ, else
    /// the common one.
    pub fn row_in(&self, provider: &str, region: &str, model: &str) -> Option<&Row> {
        self.find(provider, region, model).or_else(|| self.row(provider, model))
    }

    /// The price of a model at a provider kind at a time, in seconds since 1970 (UTC).
    pub fn price(&self, provider: &str, model: &str, unix_s: u64) -> Option<&Price> {
        self.row(provider, model)?.price_at(unix_s)
    }

    /// The rows that a bare name may mean, the makers' own providers first, then by maker and provider. A name is the
    /// maker's canonical one or a provider's id.
    pub fn candidates(&self, name: &str) -> Vec<&Row> {
        let from = self.names.partition_point(|(known, _)| &**known < name);
        let found =
            self.names.get(from..).unwrap_or_default().iter().take_while(|(known, _)| &**known == name);
        let mut rows: Vec<&Row> = found.filter_map(|(_, at)| self.rows.get(*at as usize)).collect();
        rows.sort_by_key(|row| (!row.is_own(), row.maker(), row.provider(), row.region(), row.model()));
        rows
    }

    fn find(&self, provider: &str, region: &str, model: &str) -> Option<&Row> {
        let wanted = (provider, region, model);
        let at = self.rows.binary_search_by(|row| row.key().cmp(&wanted)).ok()?;
        self.rows.get(at)
    }
}

#[cfg(test)]
mod tests;

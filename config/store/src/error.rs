//! What can go wrong with the store.

use std::path::PathBuf;

use penstock_ledger::LedgerError;

/// Why something was not kept, or not found.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database refused.
    #[error("the store: {0}")]
    Database(#[from] rusqlite::Error),
    /// A journal cannot be read or made.
    #[error("the ledger: {0}")]
    Ledger(#[from] LedgerError),
    /// There is no store.
    #[error("{0}: there is no store here; no gateway has written a ledger in this data directory")]
    Missing(PathBuf),
    /// The store was made by another version.
    #[error("the store has {found} migrations, this program knows {known}: {hint}")]
    Version {
        /// Migrations that were applied.
        found: i64,
        /// Migrations that this program has.
        known: i64,
        /// What helps.
        hint: &'static str,
    },
    /// The operating system refused.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: std::io::Error,
    },
    /// What stands in the store cannot be understood.
    #[error("the store is damaged: {0}")]
    Damaged(&'static str),
    /// A sum is larger than 64 bits hold: some nine thousand million USD.
    #[error("a sum of the ledger does not fit 64 bits")]
    Overflow,
    /// Segments are freed faster than they can be read.
    #[error("the ledger changes too fast to be read; try again")]
    Busy,
}

//! What the gateway remembers in tables: at present the folded ledger; SQLite in the data directory.
//!
//! [`ledger::LedgerThread`] replays journals before traffic comes, hands journals to workers, and folds what they write into
//! hourly sums. [`ledger::report`] reads sums and what is not folded yet, [`ledger::reconcile`] and [`ledger::rerate`] correct
//! what was booked, by adjustments.
//!
//! Knows the database, files and threads of its own. Must not know HTTP, the configuration's files or the workers.
#![forbid(unsafe_code)]

mod error;
pub mod ledger;
mod schema;
mod store;

pub use error::StoreError;
pub use store::{STORE_FILE, Store};

//! The ledger's tables, and all that is done with them.

mod batch;
mod event;
mod export;
mod fold;
mod key;
mod line;
pub mod reconcile;
pub mod report;
pub mod rerate;
mod sums;
mod thread;

#[cfg(test)]
mod tests;

pub use event::{LedgerEvent, Replayed};
pub use export::{EXPORT_BYTES_MAX, EXPORT_ROWS_MAX, ExportError, ExportRow, read_export};
pub use sums::Totals;
pub use thread::{JOURNALS_MAX, LedgerOptions, LedgerThread};

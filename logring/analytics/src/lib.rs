//! Analytics: from call records to live windows and metrics.
//!
//! A [`DrainThread`] reads the rings of this process's workers and of ended runs, counts what it
//! reads into windows of seconds and into counters, and answers with plain values for JSON and with
//! the text of a Prometheus scrape. Whoever has a socket serves them. A [`Call`] names a record's
//! fields as users see them.
//!
//! May know `logring/ring`, threads and the wall clock (in `thread` only). Must not know sockets,
//! workers, configuration or the store.
#![forbid(unsafe_code)]

pub mod call;
pub mod cells;
pub mod collect;
pub mod histogram;
pub mod metrics;
pub mod thread;
pub mod time;
pub mod view;
pub mod windows;

pub use call::{Call, FIELDS, Field};
pub use collect::{Collector, Drainage};
pub use thread::{DrainOptions, DrainThread};
pub use view::{Live, RingView};

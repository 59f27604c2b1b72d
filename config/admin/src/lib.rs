//! The admin address: health, live windows, metrics and the state of the process, all read-only.
//!
//! May know `logring/analytics` and what it is told through [`Source`]. Must not know workers, configuration or
//! how anything is changed: there is no sign-in yet, so nothing here changes anything.
#![forbid(unsafe_code)]

mod host;
mod problem;
mod router;
mod server;
mod status;
mod stream;

pub use host::AllowedHosts;
pub use router::router;
pub use server::{Bound, CONNECTIONS_MAX, Place, bind, serve};
pub use status::{ListenerStatus, Readiness, Source, Status, WorkerStatus};
pub use stream::STREAMS_MAX;

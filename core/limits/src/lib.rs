//! Rate limits, quotas and concurrency: exact whatever the number of workers, without a lock on a call's way.
//!
//! A limit is written as a [`LimitSpec`], registered at the [`NodePool`] of the node and then decided by the
//! [`Shard`] of each worker:
//!
//! ```
//! use std::{sync::Arc, time::Duration};
//! use penstock_limits::*;
//!
//! let config = NodeConfig { keys_max: 1000, rolling_keys_max: 10, workers_max: 2, ..NodeConfig::new(1, 7) };
//! let now = Now { mono_ns: 5_000_000_000, wall_ns: 1_800_000_000_000_000_000 };
//! let region = Region::memory(config.region_words());
//! let pool = Arc::new(NodePool::open(region, &config, now, &[])?);
//! let spec = LimitSpec::new(1, "rate", Kind::Requests, 2, Window::Duration(Duration::from_secs(60)));
//! let limit = pool.register(&spec)?;
//!
//! let mut shard = Shard::new(pool)?;
//! let mut permits = Permits::new();
//! let call = [Applied::one(&limit, Key(0x1234))];
//! assert!(shard.admit(now, &call, &mut permits).is_admitted());
//! assert!(shard.admit(now, &call, &mut permits).is_admitted());
//! let Verdict::Refused(refusal) = shard.admit(now, &call, &mut permits) else { panic!() };
//! assert_eq!(refusal.kind, RefusalKind::RateLimited);
//! assert_eq!(refusal.retry_after_ns, 30_000_000_000);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Counters live in a [`Region`], a mapped file that outlives a crash and that the two processes of an upgrade
//! share. Workers lease ahead only while a counter has plenty; what is leased is written to the region first and
//! counts as spent if the worker dies. Time comes in with every call as a [`Now`].
//!
//! LLM tokens and money are not admitted but reserved, as what a call costs is known only when it is over:
//! [`Shard::reserve`] holds what an attempt may use, [`Shard::settle_attempt`] puts in its place what it did use. Both
//! work at the node pool, and the sum of reservations and use never passes a hard limit. [`NodePool::book`] corrects
//! counters by a ledger that knows better, [`NodePool::usage`] reads them.
//!
//! Not here yet, with its place kept: the cluster pool above the node pool.
#![deny(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test may panic"))]

mod alerts;
mod blocks;
mod cache;
mod calendar;
mod clock;
mod concurrent;
mod gcra;
mod headers;
mod key;
mod layout;
mod limit;
mod permits;
mod pool;
mod recovery;
mod region;
mod reserve;
mod rolling;
mod shard;
mod spec;
mod store;
mod table;
mod taking;
mod usage;
mod verdict;
mod wide;
mod window;

pub use alerts::{ALERTS_KEPT_MAX, Alert, AlertKind};
pub use calendar::{CalendarError, CalendarUnit, CalendarWindows, time_zone};
pub use clock::{Now, POWER_CUT_WINDOW_NS};
pub use headers::{ITEM_BYTES_MAX, write_policy, write_rate_limit, write_retry_after};
pub use key::Key;
pub use layout::{LEASES_MAX, PERMITS_WORKER_MAX};
pub use limit::{Limit, LimitId};
pub use permits::{BYTES_HELD_MAX, BytesMoved, CONCURRENT_HELD_MAX, Permits, RESERVATIONS_HELD_MAX, Spend};
pub use pool::{NodeConfig, NodePool, OpenError, RegisterError};
pub use recovery::WorkerSeat;
pub use region::Region;
pub use reserve::Settled;
pub use shard::{Applied, NoSeat, Shard};
pub use spec::{
    ALERTS_MAX, Algorithm, CONCURRENT_MAX, Direction, KEYS_MAX_DEFAULT, Kind, LimitSpec, Mode,
    NAME_BYTES_MAX, PER_MAX, PER_MIN, SpecError, TokenKind, WINDOW_AMOUNT_MAX, Window, default_name,
};
pub use usage::{Booking, Usage};
pub use verdict::{APPLIED_MAX, Admitted, Refusal, RefusalKind, Standing, Verdict};

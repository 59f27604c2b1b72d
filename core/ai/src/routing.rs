//! Where a call of a model goes: which provider, which model there, which key; and where next when that fails.
//!
//! Plain data in ([`Spec`]), decisions out. A [`Plan`] is made of a configuration, on the control side, and never changes;
//! what is learned about providers and keys is kept beside it, in a [`Registry`] that all workers share and that outlives
//! plans. A [`Call`] is one call's way through the plan: attempts, pauses, and the end. Nothing here knows a socket or a
//! clock: every step is told the time, in nanoseconds of any steady clock that all workers of the node share, and chance
//! comes from the worker's seeded [`Random`].
//!
//! ```
//! use penstock_ai::catalogue::Catalogue;
//! use penstock_ai::provider::Providers;
//! use penstock_ai::routing::*;
//! use std::sync::Arc;
//!
//! let spec = Spec {
//!     providers: vec![ProviderSpec {
//!         keys: vec![KeySpec::new(KeyUid(11), "main", 3), KeySpec::new(KeyUid(12), "spare", 1)],
//!         ..ProviderSpec::new(ProviderUid(1), "openai", "openai")
//!     }],
//!     models: vec![ModelSpec {
//!         targets: vec![TargetSpec::new("openai", "gpt-4.1-mini", 1)],
//!         ..ModelSpec::new(ModelUid(1), "fast")
//!     }],
//! };
//! let registry = Registry::default();
//! let catalogue = Arc::new(Catalogue::bundled()?);
//! let plan = Plan::compile(&spec, &catalogue, Providers::shared(), &registry).map_err(|all| format!("{all:?}"))?;
//!
//! let everything = Allowed::everything();
//! let caller = Caller { tenant: TenantId(0), service: &everything, app: None };
//! let resolved = plan.resolve(&caller, "fast")?;
//! let (mut random, now_ns) = (Random::new(7), 1_000);
//! let mut call = plan.begin(resolved, Need { input_tokens: 900, output_tokens: 200, ..Need::default() }, now_ns);
//! let Step::Attempt(attempt) = call.next(now_ns, &mut random) else { panic!() };
//! assert_eq!((attempt.provider, attempt.model), ("openai", "gpt-4.1-mini"));
//! attempt.first_token(now_ns + 300_000_000);
//! let alert = call.ended(now_ns + 900_000_000, attempt, &Report::new(End::Answered));
//! assert!(alert.is_none());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod call;
mod chain;
mod direct;
mod end;
mod latency;
mod near;
mod pick;
mod plan;
mod prefix;
mod problem;
mod registry;
mod resolve;
mod rest;
mod room;
mod spec;

pub use call::{AffinityKept, Attempt, Call, GiveUp, Step, Why};
pub use end::{Alert, Cause, Causes, End, Report, Resting};
pub use penstock_balance::{Random, RetrySpec};
pub use plan::{Affinity, Need, Plan, Resolved, Strictness, TargetView, problems};
pub use prefix::{PREFIX_BYTES_MAX, prefix_hash};
pub use problem::Problem;
pub use registry::{DeploymentId, Registry};
pub use resolve::{Allowed, CANDIDATES_MAX, Caller, NAME_BYTES_MAX, PATTERNS_MAX, PatternError, Unresolved};
pub use spec::*;

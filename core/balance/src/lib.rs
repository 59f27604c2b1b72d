//! Balancing over an upstream's targets: who gets a call, who is left out, when nobody is asked at all.
//!
//! One [`Balancer`] per worker and upstream. It does no IO and reads no clock: the worker asks it for a target
//! ([`Balancer::pick`]), says that an attempt began ([`Balancer::started`]) and how it ended
//! ([`Balancer::finished`]), and brings what others know (active checks, other workers' ejections).
//!
//! ```
//! use penstock_balance::*;
//!
//! let target = |id| TargetSpec { id: TargetId(id), weight: 1, backup: false };
//! let spec = UpstreamSpec::new(vec![target(1), target(2)], Policy::LeastRequest);
//! let mut balancer = Balancer::new(&spec, 42)?;
//! let mut tried = TargetSet::EMPTY;
//! let Pick::Target(first) = balancer.pick(1_000, None, &tried) else { panic!() };
//! let attempt = balancer.started(first);
//! balancer.finished(2_000, attempt, Outcome::Failure, 1_000);
//! tried.insert(first);
//! let Pick::Target(second) = balancer.pick(2_000, None, &tried) else { panic!() };
//! assert_ne!(first, second);
//! # Ok::<(), SpecError>(())
//! ```
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test may panic"))]

mod balancer;
mod breaker;
mod budget;
mod decay;
mod errors;
mod random;
mod ring;
mod set;
mod spec;
mod target;

pub use balancer::{Attempt, Balancer, Ejection, NoTarget, Outcome, Pick, TargetRef};
pub use breaker::BreakerState;
pub use decay::fading;
pub use random::{Random, mix};
pub use ring::Ring;
pub use set::TargetSet;
pub use spec::{
    BreakerSpec, EjectionSpec, Policy, RetrySpec, SpecError, TARGETS_MAX, TargetId, TargetSpec, UpstreamSpec,
    WEIGHT_MAX,
};

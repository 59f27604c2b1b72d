//! The gate: what is served, to whom, and under which conditions.
//!
//! Plain data ([`spec`]) is compiled into an immutable snapshot that every worker reads; the chain of
//! stages takes a borrowed view of one request and answers with a verdict. The crate knows no socket,
//! clock, runtime or database: time and everything random come in as parameters.
#![forbid(unsafe_code)]

pub mod callers;
mod chain;
#[cfg(test)]
mod chain_tests;
pub mod cidr;
mod client;
mod cors;
mod error;
mod fold_hash;
pub mod identity;
pub mod limits;
mod plan;
mod request;
mod router;
mod snapshot;
pub mod spec;
mod spend;
#[cfg(test)]
mod spend_tests;
mod trace;
mod value;

pub use chain::Gate;
pub use client::{HOPS_MAX, LINES_MAX};
pub use error::{Place, Problem, SpecError};
pub use plan::{
    Answer, CallPlan, Caller, Forward, LimitAnswer, Outcome, STAGES, Stage, Stages, Verdict, lines,
};
pub use request::{ClientCertificate, Request, SAN_MAX, Tls};
pub use router::{
    CAPTURES_MAX, FieldName, FieldSource, HOST_BYTES_MAX, HostError, METHODS_MAX, Once, PathTemplate,
    SEGMENTS_MAX, Segment, TEMPLATE_BYTES_MAX, TemplateError,
};
pub use snapshot::{Backend, Drops, RouteFound, RouteRule, Snapshot, compile};
pub use spend::{Attempt, SpendLimit};
pub use trace::{IdSource, REQUEST_ID_BYTES_MAX, RequestId, Trace};
pub use value::{Fact, VALUE_BYTES_MAX, ValueError};

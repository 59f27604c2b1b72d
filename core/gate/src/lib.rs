//! The gate: what is served, to whom, and under which conditions.
//!
//! Plain data ([`spec`]) is compiled into an immutable snapshot that every worker reads; the chain of
//! stages takes a borrowed view of one request and answers with a verdict. The crate knows no socket,
//! clock, runtime or database: time and everything random come in as parameters.
#![forbid(unsafe_code)]

pub mod callers;
pub mod cidr;
mod error;
mod fold_hash;
pub mod identity;
pub mod limits;
mod request;
mod router;
pub mod spec;
mod value;

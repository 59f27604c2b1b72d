//! Mock upstreams: a `server` reads requests, an `answer` is shaped by options and request headers, a `fault` turns
//! it into a script of raw writes, `record` keeps what arrived.

mod answer;
pub(crate) mod args;
mod connection;
mod control;
mod delay;
mod fault;
mod record;
pub(crate) mod server;

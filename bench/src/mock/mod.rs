//! Mock upstreams: a `server` reads requests, an `answer` is shaped by options and request headers, a `fault` turns
//! it into a script of raw writes, `record` keeps what arrived.

mod answer;
pub(crate) mod args;
mod connection;
mod control;
mod delay;
mod fault;
mod listener;
mod record;
pub(crate) mod server;

pub(crate) use connection::expects_continue;
pub(crate) use control::whole_milliseconds;
pub(crate) use delay::Delay;
pub(crate) use listener::{ListenArgs, run as listen};
pub(crate) use record::{Recorder, raw_fields};

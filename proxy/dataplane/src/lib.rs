//! Workers: pinned threads that accept, read, decide, forward and record. Imports `core` and the ring; holds no
//! business rule of its own.
#![deny(unsafe_code)]

pub mod ai;
pub mod answer;
pub mod buf;
pub mod call;
pub mod cancel;
pub mod client;
pub mod deadline;
pub mod downlink;
pub mod driver;
pub mod event;
pub mod exchange;
pub mod half;
pub mod listen;
pub mod mailbox;
pub mod port;
pub mod record;
pub mod shape;
pub mod stream;
pub mod supervise;
pub mod sys;
pub mod tls;
pub mod uplink;
pub mod upstream;
pub mod worker;

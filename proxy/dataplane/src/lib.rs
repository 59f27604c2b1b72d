//! Workers: pinned threads that accept, read, decide, forward and record. Imports `core` and the ring; holds no
//! business rule of its own.
#![deny(unsafe_code)]

pub mod buf;
pub mod deadline;
pub mod driver;
pub mod port;
pub mod stream;
pub mod sys;
pub mod tls;

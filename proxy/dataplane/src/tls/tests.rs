//! Both ends of this module against each other over socket pairs, on both drivers: what a connection carries,
//! and how it ends.

pub(in crate::tls) mod ends;
mod handshakes;
pub(in crate::tls) mod oracle;
mod traffic;

//! Both ends of this module against each other over socket pairs, on both drivers: what a connection carries,
//! and how it ends.

mod ends;
mod handshakes;
mod traffic;

//! TLS at both ends: certificates and settings (control side), handshakes, and the protected byte stream that a
//! worker reads and writes like any other socket. rustls makes every decision of the handshake (versions, keys,
//! certificates, tickets); after it, `record` protects records in the worker's own buffers with the keys that
//! rustls hands out, so that a warm connection allocates nothing and an idle one holds no buffer of its own.
//! Knows nothing of HTTP beyond recognising a plain request that came to a TLS port.

mod bufs;
pub mod certs;
pub mod client;
mod error;
mod files;
#[doc(hidden)]
pub mod fuzz;
mod handshake;
pub mod hello;
mod port;
mod provider;
mod record;
mod resolver;
pub mod server;
mod session;
mod sets;
mod writer;
mod x509;

#[cfg(test)]
mod tests;

pub use bufs::TlsBufs;
pub use client::{ClientTls, connect};
pub use error::{ConfigError, TlsError};
pub use server::{ServerTls, TlsFacts, accept};
pub use sets::TlsSets;
pub use writer::TlsWriter;
pub use x509::{SubjectAltName, X509Error};

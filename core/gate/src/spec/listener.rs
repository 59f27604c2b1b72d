//! Listeners as data: where workers accept, with what TLS, and how patient they are.

use super::Id;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// An address that every worker accepts on.
#[derive(Clone, Debug)]
pub struct Listener {
    /// Dictionary id.
    pub id: Id,
    /// Name; the address as written where none was given.
    pub name: String,
    /// Where it listens.
    pub address: Address,
    /// TLS, if it is spoken.
    pub tls: Option<ListenerTls>,
    /// What is spoken; with TLS it is chosen by ALPN.
    pub protocols: Vec<Protocol>,
    /// Every request is answered with 308 to the same place under `https`, at this port.
    pub redirect_https: Option<u16>,
    /// `Strict-Transport-Security` on every answer (only with TLS).
    pub hsts: Option<Hsts>,
    /// How long it waits.
    pub timeouts: ListenerTimeouts,
    /// How much it takes.
    pub limits: ListenerLimits,
    /// A PROXY protocol header (v1 or v2) is expected from trusted proxies before anything else.
    pub proxy_protocol: bool,
}

/// Where a listener listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// TCP.
    Tcp(SocketAddr),
    /// A Unix stream socket at this path.
    Unix(PathBuf),
}

/// Application protocols of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1 and 1.0.
    Http1,
    /// HTTP/2 (by ALPN under TLS, by prior knowledge without).
    Http2,
}

/// TLS of a listener.
#[derive(Clone, Debug)]
pub struct ListenerTls {
    /// Certificates; the first is shown when no SNI name fits.
    pub certificates: Vec<Certificate>,
    /// Oldest version accepted.
    pub version_min: TlsVersion,
    /// Client certificates, if they are asked for.
    pub client: Option<ClientTls>,
}

/// A certificate chain with its key.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// Chain, leaf first.
    pub chain: PemSource,
    /// Private key.
    pub key: PemSource,
    /// SNI names it is shown for (`api.example.com`, `*.example.com`); empty: the names of the leaf.
    pub names: Vec<String>,
}

/// Where a PEM text comes from. The gate never reads it.
#[derive(Clone, PartialEq, Eq)]
pub enum PemSource {
    /// A file, absolute or relative to the working directory.
    File(PathBuf),
    /// The text itself.
    Text(String),
}

impl std::fmt::Debug for PemSource {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => out.debug_tuple("File").field(path).finish(),
            Self::Text(_) => out.write_str("Text(..)"),
        }
    }
}

/// Versions of TLS that can be spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// RFC 5246.
    #[default]
    Tls12,
    /// RFC 8446.
    Tls13,
}

/// How client certificates are treated.
#[derive(Clone, Debug)]
pub struct ClientTls {
    /// Authorities a client certificate must chain to.
    pub ca: PemSource,
    /// Whether a handshake without one fails.
    pub mode: CertificateClientMode,
}

/// Whether a client must show a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CertificateClientMode {
    /// Asked for; a route may insist.
    #[default]
    Optional,
    /// No handshake without.
    Required,
}

/// `Strict-Transport-Security` (RFC 6797).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hsts {
    /// `max-age`, whole seconds.
    pub age_max: Duration,
    /// `includeSubDomains`.
    pub subdomains: bool,
    /// `preload`.
    pub preload: bool,
}

/// Patience of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenerTimeouts {
    /// From a head's first byte (or the connection's begin) to its last.
    pub head: Duration,
    /// Between requests on a connection.
    pub keepalive: Duration,
    /// For a write to make any progress.
    pub write: Duration,
}

impl ListenerTimeouts {
    /// Default of [`Self::head`].
    pub const HEAD: Duration = Duration::from_secs(10);
    /// Default of [`Self::keepalive`].
    pub const KEEPALIVE: Duration = Duration::from_secs(75);
    /// Default of [`Self::write`].
    pub const WRITE: Duration = Duration::from_secs(30);
}

impl Default for ListenerTimeouts {
    fn default() -> Self {
        Self { head: Self::HEAD, keepalive: Self::KEEPALIVE, write: Self::WRITE }
    }
}

/// Bounds of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenerLimits {
    /// Connections open at once, over all workers of the node; beyond it new ones are closed at once.
    pub connections_max: u32,
    /// Connections open at once from one client address, at each worker; `None`: as many as there are.
    pub connections_per_client_max: Option<u32>,
    /// Requests answered on one connection before it is closed; `None`: any number.
    pub requests_per_connection_max: Option<u64>,
}

impl ListenerLimits {
    /// Default of [`Self::connections_max`].
    pub const CONNECTIONS: u32 = 65_536;
}

impl Default for ListenerLimits {
    fn default() -> Self {
        Self {
            connections_max: Self::CONNECTIONS,
            connections_per_client_max: None,
            requests_per_connection_max: None,
        }
    }
}

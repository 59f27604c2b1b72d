//! Listeners: where the workers accept, with what TLS, how patient they are.

use crate::place::At;
use crate::read::network::ListenAddress;
use crate::read::object::{choice, object};
use crate::read::text::{FilePath, HostPattern, Name};
use crate::read::units::{Int, Span};

object! {
    /// An address that every worker accepts connections on.
    Listener {
        /// IP address and port, or `unix:/path`.
        required address: ListenAddress,
        /// Name in call records.
        optional name: Name = "the address",
        /// TLS, if it is spoken here.
        optional tls: ListenerTls = "plain HTTP",
        /// What is spoken.
        default protocols: Vec<At<Protocol>> = "[ http1 ]",
        /// Answer every request with 308 to `https` at this port.
        optional redirect_https: Int<1, 65535> = "requests are served",
        /// `Strict-Transport-Security` on every answer; only with `tls`.
        optional hsts: Hsts = "off",
        /// How long it waits.
        default timeouts: ListenerTimeouts = "{}",
        /// Connections open at once, over all workers; beyond it new ones are closed at once.
        default max_connections: Int<1, 16_777_216> = "65536",
        /// Connections open at once from one client address, for each worker.
        optional max_connections_per_client: Int<1, 16_777_216> = "no bound of its own",
        /// Requests answered on one connection before it is closed.
        optional max_requests_per_connection: Int<1, 4_294_967_295> = "any number",
    }
    later {
        "health": "`/healthz` and `/readyz` stand on the admin address",
        "proxy_protocol": "client addresses come from trusted Forwarded and X-Forwarded-For fields",
        "acme": "certificates come from files: tls.certificates",
        "http2": "only HTTP/1.1 is served yet",
        "h2": "only HTTP/1.1 is served yet",
    }
}

choice! {
    /// Application protocol.
    Protocol {
        /// HTTP/1.1 and 1.0
        Http1 = "http1",
    }
    later {
        "http2": "only HTTP/1.1 is served yet: write http1",
        "h2": "only HTTP/1.1 is served yet: write http1",
        "h2c": "only HTTP/1.1 is served yet: write http1",
        "http3": "only HTTP/1.1 is served yet: write http1",
    }
}

object! {
    /// TLS of a listener.
    ListenerTls {
        /// Certificates; the first is shown when no name fits.
        required certificates: Vec<At<Certificate>>,
        /// Client certificates, if they are asked for.
        optional client: ClientTls = "not asked for",
        /// Oldest version of TLS.
        default min_version: TlsVersion = "\"1.2\"",
    }
    later {
        "acme": "certificates come from files: write certificates: [ { cert: ..., key: ... } ]",
        "alpn": "only HTTP/1.1 is served yet",
    }
}

object! {
    /// A certificate chain with its key.
    Certificate {
        /// PEM file of the chain, leaf first.
        required cert: FilePath,
        /// PEM file of the private key.
        required key: FilePath,
        /// Names (SNI) it is shown for.
        default names: Vec<At<HostPattern>> = "[]",
    }
}

object! {
    /// Client certificates.
    ClientTls {
        /// PEM file of the authorities that client certificates must chain to.
        required ca: FilePath,
        /// Whether a connection without one is refused.
        default mode: ClientMode = "required",
    }
}

choice! {
    /// Whether a client must show a certificate.
    ClientMode {
        /// asked for; routes may insist by `auth: mtls`
        Optional = "optional",
        /// no connection without one
        Required = "required",
    }
}

choice! {
    /// Version of TLS.
    TlsVersion {
        /// TLS 1.2 (RFC 5246)
        V12 = "1.2",
        /// TLS 1.3 (RFC 8446)
        V13 = "1.3",
    }
}

object! {
    /// `Strict-Transport-Security` (RFC 6797).
    Hsts {
        /// How long a browser remembers it.
        default max_age: Span<0, 315_360_000_000> = "8760h",
        /// For all subdomains too.
        default subdomains: bool = "false",
        /// Ask for a place in the browsers' lists.
        default preload: bool = "false",
    }
}

object! {
    /// Patience of a listener.
    ListenerTimeouts {
        /// From the first byte of a request's head to its last.
        default head: Span<100, 600_000> = "10s",
        /// Between two requests on a connection.
        default keepalive: Span<100, 86_400_000> = "75s",
        /// For a write to make any progress.
        default write: Span<100, 3_600_000> = "30s",
    }
}

//! What can go wrong: in a handshake or on a connection ([`TlsError`]), and when certificates and settings are
//! loaded ([`ConfigError`]).

use std::io;
use std::path::PathBuf;

/// Why a handshake or a protected connection failed.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The socket failed.
    #[error("socket: {0}")]
    Io(#[from] io::Error),
    /// The stream's read deadline passed before the handshake was done.
    #[error("the handshake did not end within its deadline")]
    TimedOut,
    /// The peer ended within the handshake.
    #[error("the peer ended within the handshake")]
    Ended,
    /// A plain HTTP request came to the TLS port; it was answered with 400 in the clear.
    #[error("a plain HTTP request came to a TLS port")]
    PlainHttp,
    /// The first bytes are no ClientHello.
    #[error("not a TLS ClientHello: {0}")]
    Hello(#[from] super::hello::HelloError),
    /// The name asked for has no certificate here, and names that are not known are refused.
    #[error("no certificate for the name that the client asked for")]
    UnknownName,
    /// The handshake is larger than its bound.
    #[error("the handshake exceeds {0} bytes")]
    TooLarge(usize),
    /// The peer broke the protocol, or its certificate was refused.
    #[error("{0}")]
    Protocol(#[from] rustls::Error),
    /// The name of the upstream is neither a host name nor an address.
    #[error("`{0}` is not a name that a certificate can be checked against")]
    Name(String),
}

/// Why certificates or settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("{path}: {error}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A file is larger than any certificate or key file.
    #[error("{path}: larger than {max} bytes", path = path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The bound.
        max: u64,
    },
    /// A file holds no PEM block of the kind that is needed.
    #[error("{path}: {reason}", path = path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is missing or broken.
        reason: String,
    },
    /// The key is not the one that the certificate is for.
    #[error("{key}: this key does not fit the certificate in {cert}", key = key.display(), cert = cert.display())]
    KeyMismatch {
        /// The certificate file.
        cert: PathBuf,
        /// The key file.
        key: PathBuf,
    },
    /// The certificate cannot be understood.
    #[error("{path}: {error}", path = path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Where it is broken.
        error: super::x509::X509Error,
    },
    /// A set without any certificate, or a default that is not in it.
    #[error("a set of certificates needs at least one, and its default must be one of them")]
    NoCertificate,
    /// No trusted root was found.
    #[error("no trusted root certificate was found{0}")]
    NoRoots(String),
    /// A name cannot be used.
    #[error("`{0}` is not a host name")]
    Name(String),
    /// rustls refused the settings.
    #[error("{0}")]
    Rustls(#[from] rustls::Error),
    /// rustls refused the CA file of client certificates.
    #[error("client certificates: {0}")]
    ClientAuth(#[from] rustls::server::VerifierBuilderError),
}

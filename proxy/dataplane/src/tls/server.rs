//! TLS towards callers: the settings of a listener (control side, immutable, shared by all workers), and the
//! handshake of one connection (worker).

use std::fmt;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::{
    NoServerSessionStorage, ProducesTickets, UnbufferedServerConnection, WebPkiClientVerifier,
};
use rustls::{HandshakeKind, ProtocolVersion, ServerConfig};

use super::bufs::TlsBufs;
use super::certs::CertResolver;
use super::error::{ConfigError, TlsError};
use super::files;
use super::handshake::Handshake;
use super::hello::{self, First};
pub use super::provider::MinVersion;
use super::provider::provider;
use super::x509::{self, SubjectAltName};
use crate::stream::Stream;
use crate::sys::Side;

/// Tickets that a full TLS 1.3 handshake gives the client; a browser uses one a connection.
pub const TICKETS_PER_HANDSHAKE: usize = 1;

/// What a plain HTTP request to a TLS port is answered with, in the clear.
pub const PLAIN_HTTP_ANSWER: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
content-type: application/problem+json\r\ncontent-length: 104\r\nconnection: close\r\n\r\n\
{\"title\":\"Bad Request\",\"status\":400,\"code\":\"plain_http\",\"detail\":\"this port speaks HTTPS; use https://\"}";

/// Whether clients show a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ClientAuth {
    /// None is asked for.
    #[default]
    None,
    /// Asked for; a client without one is let in and has no identity from it. One that is shown must be valid.
    Optional {
        /// PEM file of the CAs that issue client certificates.
        ca: PathBuf,
    },
    /// A handshake without a valid one fails.
    Required {
        /// PEM file of the CAs that issue client certificates.
        ca: PathBuf,
    },
}

/// The TLS settings of a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSettings {
    /// The oldest version accepted.
    pub min_version: MinVersion,
    /// Client certificates.
    pub client_auth: ClientAuth,
    /// Application protocols (RFC 7301), most wanted first. A client that offers only others is refused.
    pub alpn: Vec<String>,
}

impl Default for ServerSettings {
    fn default() -> Self {
        let alpn = vec!["http/1.1".to_owned()];
        Self { min_version: MinVersion::default(), client_auth: ClientAuth::default(), alpn }
    }
}

/// The keys that seal tickets, rotated every six hours (a ticket lives for twelve at most). One for a listener,
/// shared by its workers and kept across changes of its certificates. A change of `client_auth` needs a new one,
/// so that nobody resumes past it.
#[derive(Debug, Clone)]
pub struct TicketKeys(Arc<dyn ProducesTickets>);

impl TicketKeys {
    /// Fresh random keys.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn new() -> Result<Self, ConfigError> {
        Ok(Self(Ticketer::new()?))
    }
}

/// A listener's TLS, ready for handshakes. Cheap to clone; shared by all workers.
#[derive(Debug, Clone)]
pub struct ServerTls {
    config: Arc<ServerConfig>,
    certs: Arc<CertResolver>,
}

impl ServerTls {
    /// Checks the settings and reads the CA file of client certificates. Certificates can be swapped later in
    /// `certs` without a new `ServerTls`.
    ///
    /// # Errors
    /// A CA file that cannot be read or holds no usable CA.
    pub fn new(
        settings: &ServerSettings,
        certs: Arc<CertResolver>,
        tickets: &TicketKeys,
    ) -> Result<Self, ConfigError> {
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(settings.min_version.versions())?;
        let verifier = |ca: &PathBuf, required: bool| {
            let roots = Arc::new(files::roots(ca)?);
            let builder = WebPkiClientVerifier::builder_with_provider(roots, provider());
            let builder = if required { builder } else { builder.allow_unauthenticated() };
            Ok::<_, ConfigError>(builder.build()?)
        };
        let builder = match &settings.client_auth {
            ClientAuth::None => builder.with_no_client_auth(),
            ClientAuth::Optional { ca } => builder.with_client_cert_verifier(verifier(ca, false)?),
            ClientAuth::Required { ca } => builder.with_client_cert_verifier(verifier(ca, true)?),
        };
        let mut config = builder.with_cert_resolver(certs.clone());
        config.alpn_protocols = settings.alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = tickets.0.clone();
        config.send_tls13_tickets = TICKETS_PER_HANDSHAKE;
        config.max_early_data_size = 0;
        config.enable_secret_extraction = true; // the session protects records itself
        Ok(Self { config: Arc::new(config), certs })
    }

    /// The certificates, to be swapped or looked at.
    pub fn certs(&self) -> &Arc<CertResolver> {
        &self.certs
    }
}

/// What a client's certificate says; verified against the listener's CAs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCert {
    /// Subject in RFC 4514 form.
    pub subject: String,
    /// Subject alternative names.
    pub sans: Vec<SubjectAltName>,
    /// The SPIFFE id, when the only URI among the names is one.
    pub spiffe: Option<String>,
    /// SHA-256 of the DER form (the `x5t#S256` of RFC 8705).
    pub fingerprint: [u8; 32],
    /// Last second of validity, Unix time.
    pub not_after_unix_s: i64,
    /// The certificate.
    pub der: Vec<u8>,
}

impl ClientCert {
    fn new(der: &[u8]) -> Result<Self, TlsError> {
        let fields = x509::fields(der)
            .map_err(|_| rustls::Error::InvalidCertificate(rustls::CertificateError::BadEncoding))?;
        let mut uris = fields.sans.iter().filter_map(|san| match san {
            SubjectAltName::Uri(uri) => Some(uri),
            _ => None,
        });
        let spiffe = match (uris.next(), uris.next()) {
            (Some(uri), None) if uri.starts_with("spiffe://") => Some(uri.clone()),
            _ => None,
        };
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(digest(&SHA256, der).as_ref());
        let (subject, sans, not_after_unix_s) = (fields.subject, fields.sans, fields.not_after_unix_s);
        Ok(Self { subject, sans, spiffe, fingerprint, not_after_unix_s, der: der.to_vec() })
    }
}

/// What a handshake agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFacts {
    /// TLS 1.2 or 1.3.
    pub version: Version,
    /// The suite's name as IANA registers it.
    pub cipher: &'static str,
    /// The host name that the client asked for, lower case.
    pub sni: Option<String>,
    /// The application protocol, if one was agreed on.
    pub alpn: Option<String>,
    /// Whether a ticket was used.
    pub resumed: bool,
    /// The client's certificate, if it showed one (now, or in the handshake that gave it the ticket).
    pub client_cert: Option<ClientCert>,
}

/// A protocol version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Version::Tls12 => "TLSv1.2",
            Version::Tls13 => "TLSv1.3",
        })
    }
}

impl TlsFacts {
    fn of(connection: &UnbufferedServerConnection, sni: Option<String>) -> Result<Self, TlsError> {
        let version = match connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => Version::Tls13,
            _ => Version::Tls12,
        };
        let suite = connection.negotiated_cipher_suite();
        Ok(Self {
            version,
            cipher: suite.and_then(|s| s.suite().as_str()).unwrap_or("unknown"),
            sni,
            alpn: connection.alpn_protocol().map(|p| String::from_utf8_lossy(p).into_owned()),
            resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
            client_cert: match connection.peer_certificates() {
                Some([leaf, ..]) => Some(ClientCert::new(leaf)?),
                _ => None,
            },
        })
    }
}

/// Takes a client's handshake and gives the protected stream back, with the same timers. The caller arms
/// `stream.read_timer` before (with a shutdown of both sides) and arms it anew after. Holds one small buffer while
/// it waits. On an error the peer has been told, and the socket is closed when this returns.
///
/// # Errors
/// See [`TlsError`]; a plain HTTP request is answered here with [`PLAIN_HTTP_ANSWER`].
pub async fn accept(
    stream: Stream,
    tls: &ServerTls,
    bufs: &Rc<TlsBufs>,
) -> Result<(Stream, TlsFacts), TlsError> {
    let mut handshake = Handshake::new(stream, bufs);
    let sni = check_hello(&mut handshake, &tls.certs).await?;
    let mut connection = UnbufferedServerConnection::new(tls.config.clone())?;
    handshake.run(&mut connection).await?;
    let facts = TlsFacts::of(&connection, sni)?;
    Ok((handshake.into_stream(connection).await?, facts))
}

/// Reads until the ClientHello is whole, refuses what rustls need not see, and returns the name asked for.
async fn check_hello(handshake: &mut Handshake, certs: &CertResolver) -> Result<Option<String>, TlsError> {
    loop {
        match hello::read_first(handshake.incoming()) {
            Ok(First::Incomplete) => handshake.read_more().await?,
            Ok(First::PlainHttp) => {
                handshake.send_plain(PLAIN_HTTP_ANSWER).await;
                handshake.stream().shutdown(Side::Write);
                return Err(TlsError::PlainHttp);
            }
            Ok(First::Hello(hello)) => {
                if certs.current().serves(hello.server_name()) {
                    return Ok(hello.server_name().map(str::to_ascii_lowercase));
                }
                drop(hello);
                handshake.send_plain(&fatal_alert(UNRECOGNIZED_NAME)).await;
                return Err(TlsError::UnknownName);
            }
            Err(error) => {
                handshake.send_plain(&fatal_alert(error.alert())).await;
                return Err(error.into());
            }
        }
    }
}

/// The alert of RFC 6066 section 3.
const UNRECOGNIZED_NAME: u8 = 112;

/// A fatal alert ahead of any key.
fn fatal_alert(description: u8) -> [u8; 7] {
    [21, 3, 3, 0, 2, 2, description]
}

#[cfg(test)]
mod tests {
    use super::PLAIN_HTTP_ANSWER;

    #[test]
    fn the_plain_answer_says_its_own_length() {
        let text = std::str::from_utf8(PLAIN_HTTP_ANSWER).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let said = head.split("content-length: ").nth(1).unwrap().split("\r\n").next().unwrap();
        assert_eq!(said.parse::<usize>().unwrap(), body.len());
    }
}

//! TLS towards upstreams: the settings of a pool (control side), and the handshake of one connection (worker).

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, UnbufferedClientConnection, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme, SupportedProtocolVersion};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::bufs::TlsBufs;
use super::error::{ConfigError, TlsError};
use super::files;
use super::handshake::Handshake;
pub use super::provider::MinVersion;
use super::provider::provider;
use crate::stream::Stream;

/// Upstream names whose tickets a worker keeps, a pool.
pub const RESUMED_NAMES_MAX: usize = 64;

/// Whom we trust to vouch for an upstream.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Roots {
    /// The system's store.
    #[default]
    System,
    /// The CAs of a PEM file, and no others.
    File(PathBuf),
}

/// A client certificate with its chain, and its key, as PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The chain, leaf first.
    pub cert: PathBuf,
    /// The key.
    pub key: PathBuf,
}

/// The TLS settings of an upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientSettings {
    /// The oldest version accepted.
    pub min_version: MinVersion,
    /// Trusted roots.
    pub roots: Roots,
    /// The name sent and checked instead of the target's own.
    pub sni: Option<String>,
    /// Our certificate, when the upstream asks for one.
    pub identity: Option<Identity>,
    /// Whether the upstream's certificate is checked. `false` leaves the connection open to anyone in between.
    pub verify: bool,
    /// Application protocols (RFC 7301), most wanted first.
    pub alpn: Vec<String>,
}

impl Default for ClientSettings {
    fn default() -> Self {
        Self {
            min_version: MinVersion::default(),
            roots: Roots::default(),
            sni: None,
            identity: None,
            verify: true,
            alpn: vec!["http/1.1".to_owned()],
        }
    }
}

/// An upstream's TLS, ready for handshakes.
#[derive(Debug, Clone)]
pub struct ClientTls {
    config: Arc<ClientConfig>,
    sni: Option<ServerName<'static>>,
}

impl ClientTls {
    /// Checks the settings, reads roots and identity. May block: control side.
    ///
    /// # Errors
    /// Files that cannot be read, a key that does not fit, no root at all, an `sni` that is no name.
    pub fn new(settings: &ClientSettings) -> Result<Self, ConfigError> {
        Self::with_versions(settings, settings.min_version.versions())
    }

    pub(super) fn with_versions(
        settings: &ClientSettings,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Result<Self, ConfigError> {
        let builder = ClientConfig::builder_with_provider(provider()).with_protocol_versions(versions)?;
        let builder = if settings.verify {
            let roots = match &settings.roots {
                Roots::System => system_roots()?,
                Roots::File(path) => files::roots(path)?,
            };
            builder.with_webpki_verifier(
                WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
                    .build()
                    .map_err(|error| ConfigError::NoRoots(format!(": {error}")))?,
            )
        } else {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Unverified(provider())))
        };
        let mut config = match &settings.identity {
            None => builder.with_no_client_auth(),
            Some(Identity { cert, key }) => {
                // Checks that key and certificate belong together, with the files named in the error.
                super::certs::Certificate::load(cert, key)?;
                builder.with_client_auth_cert(files::certificates(cert)?, files::private_key(key)?)?
            }
        };
        config.alpn_protocols = settings.alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        config.resumption = Resumption::disabled();
        config.enable_secret_extraction = true; // the session protects records itself
        let name =
            |name: &String| ServerName::try_from(name.clone()).map_err(|_| ConfigError::Name(name.clone()));
        let sni = settings.sni.as_ref().map(name).transpose()?;
        Ok(Self { config: Arc::new(config), sni })
    }

    /// The same with a store for tickets of its own: once a worker, so that no lock is shared. Without it nothing
    /// is resumed.
    pub fn for_worker(&self) -> Self {
        let mut config = (*self.config).clone();
        config.resumption = Resumption::in_memory_sessions(RESUMED_NAMES_MAX);
        Self { config: Arc::new(config), sni: self.sni.clone() }
    }
}

fn system_roots() -> Result<RootCertStore, ConfigError> {
    let found = rustls_native_certs::load_native_certs();
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(found.certs);
    if store.is_empty() {
        let reasons: String = found.errors.iter().map(|error| format!("; {error}")).collect();
        return Err(ConfigError::NoRoots(reasons));
    }
    Ok(store)
}

/// Takes any certificate. The handshake's signature is still checked, so the peer holds the certificate's key.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Makes a handshake with the upstream `name` (a host name, or an address in text) and gives the protected
/// stream back. In TLS 1.3 our Finished goes out with the first request. The caller arms `stream.read_timer` before
/// and arms it anew after. On an error the peer has been told, and the socket is closed when this returns.
///
/// # Errors
/// See [`TlsError`]; a certificate that is not trusted is [`TlsError::Protocol`].
pub async fn connect(
    stream: Stream,
    tls: &ClientTls,
    name: &str,
    bufs: &Rc<TlsBufs>,
) -> Result<Stream, TlsError> {
    let name = match &tls.sni {
        Some(name) => name.clone(),
        None => ServerName::try_from(name.to_owned()).map_err(|_| TlsError::Name(name.to_owned()))?,
    };
    let mut handshake = Handshake::new(stream, bufs);
    let mut connection = UnbufferedClientConnection::new(tls.config.clone(), name)?;
    handshake.run(&mut connection).await?;
    handshake.into_stream(connection).await
}

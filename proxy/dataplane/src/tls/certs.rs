//! Certificates of a listener: loaded from files and checked on the control side, then an immutable set that is
//! looked up by the name a client asks for. Knows nothing of sockets or of who swaps the set, and when.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::sign::CertifiedKey;

pub use super::error::ConfigError;
use super::files;
use super::provider::provider;
pub use super::resolver::CertResolver;
use super::x509::{self, SubjectAltName};

/// Certificates of one name (one a key type is of use).
const CERTS_PER_NAME_MAX: usize = 4;

/// A certificate with its chain and key, ready for use.
#[derive(Debug, Clone)]
pub struct Certificate {
    key: Arc<CertifiedKey>,
    names: Vec<String>,
    /// The subject, in RFC 4514 form.
    pub subject: String,
    /// First second of validity, Unix time.
    pub not_before_unix_s: i64,
    /// Last second of validity, Unix time; the caller warns ahead of it.
    pub not_after_unix_s: i64,
}

impl Certificate {
    /// Reads a chain (leaf first) and its key (ECDSA, RSA or Ed25519) from PEM files, and checks that they fit.
    ///
    /// # Errors
    /// A file that is missing, too large or not PEM; a key of another certificate; a certificate that cannot be
    /// read.
    pub fn load(cert: &Path, key: &Path) -> Result<Self, ConfigError> {
        let chain = files::certificates(cert)?;
        let private = files::private_key(key)?;
        let certified = CertifiedKey::from_der(chain, private, &provider()).map_err(|error| match error {
            rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch) => {
                ConfigError::KeyMismatch { cert: cert.into(), key: key.into() }
            }
            other => ConfigError::Pem { path: key.into(), reason: other.to_string() },
        })?;
        Self::new(certified, cert.to_path_buf())
    }

    fn new(key: CertifiedKey, path: PathBuf) -> Result<Self, ConfigError> {
        let fields = x509::fields(&key.cert[0]).map_err(|error| ConfigError::Certificate { path, error })?;
        let names = fields.sans.into_iter().filter_map(|san| match san {
            SubjectAltName::Dns(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        });
        Ok(Self {
            key: Arc::new(key),
            names: names.collect(),
            subject: fields.subject,
            not_before_unix_s: fields.not_before_unix_s,
            not_after_unix_s: fields.not_after_unix_s,
        })
    }

    /// The host names that the certificate is for, lower case; a wildcard as `*.example.com`.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    pub(super) fn key(&self) -> Arc<CertifiedKey> {
        self.key.clone()
    }
}

/// What a client gets that asks for a name without a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UnknownName {
    /// The default certificate.
    #[default]
    Default,
    /// The alert unrecognized_name. (A client that asks for no name gets the default certificate.)
    Refuse,
}

type Keys = Vec<Arc<CertifiedKey>>;

/// The certificates of one listener. Immutable; a change makes a new one ([`CertResolver::swap`]).
#[derive(Debug)]
pub struct CertSet {
    exact: HashMap<String, Keys>,
    /// By what follows the first label: `example.com` for `*.example.com`.
    wildcard: HashMap<String, Keys>,
    default: Keys,
    unknown: UnknownName,
}

impl CertSet {
    /// A set of `certificates`, each under the host names it is for. Clients
    /// without a name get number `default`. Of two certificates of a name the one given first is preferred, if the
    /// client can use its key type.
    ///
    /// # Errors
    /// [`ConfigError::NoCertificate`] when there is none, or no number `default`.
    pub fn new(
        certificates: &[Certificate],
        default: usize,
        unknown: UnknownName,
    ) -> Result<Self, ConfigError> {
        let chosen = certificates.get(default).ok_or(ConfigError::NoCertificate)?;
        let (mut exact, mut wildcard) = (HashMap::<_, Keys>::new(), HashMap::<_, Keys>::new());
        for certificate in certificates {
            for name in certificate.names() {
                let keys = match name.strip_prefix("*.") {
                    Some(parent) => wildcard.entry(parent.to_owned()).or_default(),
                    None => exact.entry(name.clone()).or_default(),
                };
                if keys.len() < CERTS_PER_NAME_MAX {
                    keys.push(certificate.key());
                }
            }
        }
        // The certificates that share the default's names serve clients of other key types.
        let mut all = vec![chosen.key()];
        for other in certificates {
            let shares = other.names().iter().any(|name| chosen.names().contains(name));
            if shares && all.len() < CERTS_PER_NAME_MAX && !Arc::ptr_eq(&other.key, &chosen.key) {
                all.push(other.key());
            }
        }
        Ok(Self { exact, wildcard, default: all, unknown })
    }

    /// Whether a client that asks for `name` gets a certificate.
    pub fn serves(&self, name: Option<&str>) -> bool {
        self.keys(name).is_some()
    }

    /// An exact name goes before a wildcard, which stands for one label (RFC 6125 section 6.4.3).
    fn keys(&self, name: Option<&str>) -> Option<&Keys> {
        let Some(name) = name else {
            return Some(&self.default);
        };
        let lower = name.to_ascii_lowercase();
        let by_wildcard = || {
            let (label, parent) = lower.split_once('.')?;
            if label.is_empty() { None } else { self.wildcard.get(parent) }
        };
        let otherwise = match self.unknown {
            UnknownName::Default => Some(&self.default),
            UnknownName::Refuse => None,
        };
        self.exact.get(&lower).or_else(by_wildcard).or(otherwise)
    }

    /// The certificate for `name` whose key can sign in one of the client's `schemes`.
    pub(super) fn choose(
        &self,
        name: Option<&str>,
        schemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        let keys = self.keys(name)?;
        keys.iter().find(|k| k.key.choose_scheme(schemes).is_some()).or_else(|| keys.first()).cloned()
    }
}

//! Hands a listener's certificates to handshakes, and lets the control side change them at any time. A
//! handshake keeps the certificate that it began with.

use std::sync::{Arc, PoisonError, RwLock};

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::certs::CertSet;

/// The current set of a listener, shared by all workers. One uncontended read lock a handshake.
#[derive(Debug)]
pub struct CertResolver(RwLock<Arc<CertSet>>);

impl CertResolver {
    /// Begins with `set`.
    pub fn new(set: CertSet) -> Arc<Self> {
        Arc::new(Self(RwLock::new(Arc::new(set))))
    }

    /// Every handshake from now on uses `set`.
    pub fn swap(&self, set: CertSet) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(set);
    }

    /// The set in use.
    pub fn current(&self) -> Arc<CertSet> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ResolvesServerCert for CertResolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.current().choose(hello.server_name(), hello.signature_schemes())
    }
}

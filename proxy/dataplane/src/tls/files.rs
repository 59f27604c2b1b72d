//! Reads PEM files: certificate chains, private keys, CA bundles. Control side; may block.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use rustls::RootCertStore;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::error::ConfigError;

/// Bytes of the largest PEM file that is read (a system's CA bundle has about 220 KiB).
pub(super) const PEM_BYTES_MAX: u64 = 1024 * 1024;

fn read(path: &Path) -> Result<Vec<u8>, ConfigError> {
    let fail = |error| ConfigError::Read { path: path.into(), error };
    let mut bytes = Vec::new();
    File::open(path).map_err(fail)?.take(PEM_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(fail)?;
    if bytes.len() as u64 > PEM_BYTES_MAX {
        return Err(ConfigError::TooLarge { path: path.into(), max: PEM_BYTES_MAX });
    }
    Ok(bytes)
}

/// The certificates of a file, in its order; at least one.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let fail = |reason: String| ConfigError::Pem { path: path.into(), reason };
    let bytes = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match found {
        Ok(chain) if chain.is_empty() => Err(fail("no certificate in the file".into())),
        Ok(chain) => Ok(chain),
        Err(error) => Err(fail(format!("a broken certificate block: {error}"))),
    }
}

/// The first private key of a file (PKCS#8, PKCS#1 or SEC1).
pub(super) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, ConfigError> {
    let bytes = read(path)?;
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| ConfigError::Pem {
        path: path.into(),
        reason: format!("no usable private key (encrypted keys are not read): {error}"),
    })
}

/// The certificates of a file as trusted roots.
pub(super) fn roots(path: &Path) -> Result<RootCertStore, ConfigError> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(path)? {
        store.add(certificate)?;
    }
    Ok(store)
}

//! How credentials are found: by kind and tenant, then by what is shown.

use crate::fold_hash::FoldMap;
use crate::spec::{ApiKeyLookup, CredentialKind, Id, MtlsMatch};

/// Where a credential is looked for. Tenants share nothing: what one knows another does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Space {
    kind: u32,
    tenant: Id,
    issuer: Id,
}

const API_KEY_ID: u32 = 0;
const API_KEY_HASH: u32 = 1;
const BASIC: u32 = 2;
const JWT: u32 = 3;
const HMAC: u32 = 4;
const MTLS_SUBJECT: u32 = 5;
const MTLS_DNS: u32 = 6;
const MTLS_URI: u32 = 7;
const MTLS_EMAIL: u32 = 8;
const MTLS_FINGERPRINT: u32 = 9;

impl Space {
    const fn new(kind: u32, tenant: Id) -> Self {
        Self { kind, tenant, issuer: Id(0) }
    }
    /// API keys by the id in them.
    pub(crate) const fn api_key_id(tenant: Id) -> Self {
        Self::new(API_KEY_ID, tenant)
    }
    /// API keys by their keyed hash.
    pub(crate) const fn api_key_hash(tenant: Id) -> Self {
        Self::new(API_KEY_HASH, tenant)
    }
    /// Users of basic authentication.
    pub(crate) const fn basic(tenant: Id) -> Self {
        Self::new(BASIC, tenant)
    }
    /// Subjects of an issuer's tokens.
    pub(crate) const fn jwt(tenant: Id, issuer: Id) -> Self {
        Self { kind: JWT, tenant, issuer }
    }
    /// Names of signing keys.
    pub(crate) const fn hmac(tenant: Id) -> Self {
        Self::new(HMAC, tenant)
    }
    /// Subjects of certificates.
    pub(crate) const fn mtls_subject(tenant: Id) -> Self {
        Self::new(MTLS_SUBJECT, tenant)
    }
    /// DNS names of certificates, lower case.
    pub(crate) const fn mtls_dns(tenant: Id) -> Self {
        Self::new(MTLS_DNS, tenant)
    }
    /// URIs of certificates.
    pub(crate) const fn mtls_uri(tenant: Id) -> Self {
        Self::new(MTLS_URI, tenant)
    }
    /// Mail addresses of certificates.
    pub(crate) const fn mtls_email(tenant: Id) -> Self {
        Self::new(MTLS_EMAIL, tenant)
    }
    /// Fingerprints of certificates.
    pub(crate) const fn mtls_fingerprint(tenant: Id) -> Self {
        Self::new(MTLS_FINGERPRINT, tenant)
    }

    /// Where a credential of this kind stands, and under which key.
    pub(crate) fn of(kind: &CredentialKind, tenant: Id) -> (Self, Box<[u8]>) {
        let text = |text: &str| text.as_bytes().into();
        match kind {
            CredentialKind::ApiKey(hash) => match &hash.lookup {
                ApiKeyLookup::ById(id) => (Self::api_key_id(tenant), text(id)),
                ApiKeyLookup::ByHash => (Self::api_key_hash(tenant), hash.hash.as_slice().into()),
            },
            CredentialKind::Basic { user, .. } => (Self::basic(tenant), text(user)),
            CredentialKind::Jwt { issuer, subject } => (Self::jwt(tenant, *issuer), text(subject)),
            CredentialKind::Hmac { key_id, .. } => (Self::hmac(tenant), text(key_id)),
            CredentialKind::Mtls(by) => match by {
                MtlsMatch::Subject(name) => (Self::mtls_subject(tenant), text(name)),
                MtlsMatch::SanDns(name) => (Self::mtls_dns(tenant), text(&name.to_ascii_lowercase())),
                MtlsMatch::SanUri(uri) => (Self::mtls_uri(tenant), text(uri)),
                MtlsMatch::SanEmail(mail) => (Self::mtls_email(tenant), text(mail)),
                MtlsMatch::FingerprintSha256(print) => {
                    (Self::mtls_fingerprint(tenant), print.as_slice().into())
                }
            },
        }
    }
}

/// The index, to places of credentials. Two hashes and one comparison a look-up.
#[derive(Debug, Default)]
pub(crate) struct Index {
    spaces: FoldMap<Space, FoldMap<Box<[u8]>, u32>>,
}

impl Index {
    #[inline]
    pub(crate) fn get(&self, space: Space, key: &[u8]) -> Option<u32> {
        self.spaces.get(&space)?.get(key).copied()
    }

    pub(crate) fn insert(&mut self, space: Space, key: &[u8], credential: u32) {
        self.spaces.entry(space).or_default().insert(key.into(), credential);
    }

    pub(crate) fn remove(&mut self, space: Space, key: &[u8]) {
        if let Some(keys) = self.spaces.get_mut(&space) {
            keys.remove(key);
            if keys.is_empty() {
                self.spaces.remove(&space);
            }
        }
    }
}

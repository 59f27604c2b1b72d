//! Callers as data: apps, what they show to be known, what they may use.

use super::{Id, Limit, Uid};
use crate::cidr::Cidr;

/// Hash keys that may be in use at once: while one is replaced by the next. Each foreign API key costs one
/// keyed hash for each of them.
pub const HASH_KEYS_MAX: usize = 4;

/// Everything known about callers at one moment of the ordered changes.
#[derive(Clone, Debug, Default)]
pub struct CallerSet {
    /// Number of the last change that is contained.
    pub sequence: u64,
    /// Keys of the keyed hashes, at most [`HASH_KEYS_MAX`].
    pub hash_keys: Vec<HashKey>,
    /// Apps.
    pub apps: Vec<App>,
    /// Credentials of the apps.
    pub credentials: Vec<Credential>,
    /// Which app may use which service.
    pub subscriptions: Vec<Subscription>,
}

/// A key under which secrets are hashed (keyed BLAKE3), with the id that `b3k:<key-id>:<hex>` names.
#[derive(Clone, PartialEq, Eq)]
pub struct HashKey {
    /// Key id: 1 to 32 characters of `[A-Za-z0-9_-]`.
    pub id: String,
    /// The key.
    pub key: [u8; 32],
}

impl std::fmt::Debug for HashKey {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("HashKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Whether something may be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Status {
    /// It may.
    #[default]
    Active,
    /// It may not, for now or for ever.
    Suspended,
}

/// A program that calls services; the unit that is counted, subscribed and blocked.
#[derive(Clone, Debug, Default)]
pub struct App {
    /// Dictionary id.
    pub id: Id,
    /// Stable identity.
    pub uid: Uid,
    /// Name.
    pub name: String,
    /// The tenant it belongs to; its credentials are unknown on other tenants' routes.
    pub tenant: Id,
    /// Its team.
    pub team: Id,
    /// Suspended: every credential answers 403.
    pub status: Status,
    /// What its keys may do. A JWT brings its own scopes.
    pub scopes: Vec<String>,
    /// Networks it may call from; empty: any.
    pub ip_allow: Vec<Cidr>,
    /// Limits that count its requests.
    pub limits: Vec<Limit>,
}

/// Something an app shows to be known.
#[derive(Clone, Debug)]
pub struct Credential {
    /// Dictionary id.
    pub id: Id,
    /// Stable identity.
    pub uid: Uid,
    /// Its app.
    pub app: Id,
    /// Name or shown prefix, for people.
    pub name: String,
    /// What is shown and how it is checked.
    pub kind: CredentialKind,
    /// Suspended or revoked: 401 as if unknown.
    pub status: Status,
    /// First second (Unix time) at which it no longer counts; `None`: never.
    pub expires_unix_s: Option<u64>,
    /// Scopes narrower than the app's; `None`: the app's.
    pub scopes: Option<Vec<String>>,
    /// Limits that count its requests.
    pub limits: Vec<Limit>,
}

/// Kinds of credentials.
#[derive(Clone)]
pub enum CredentialKind {
    /// A secret text. See [`ApiKeyHash`].
    ApiKey(ApiKeyHash),
    /// User and password (RFC 7617). The password is hashed like an API key: it is checked on every request,
    /// so it must be one of high entropy made by a machine.
    Basic {
        /// User name, without `:`.
        user: String,
        /// Keyed hash of `user:password`.
        hash: ApiKeyHash,
    },
    /// Tokens of an issuer with this `sub` belong to the app. Without a subject: with this `azp` or
    /// `client_id`.
    Jwt {
        /// The issuer.
        issuer: Id,
        /// Exact value of `sub` (else of `client_id`, else of `azp`).
        subject: String,
    },
    /// Requests are signed with a shared secret (see `docs/hmac.md`).
    Hmac {
        /// Public name of the key that the signature states.
        key_id: String,
        /// The secret, 16 bytes or more.
        secret: Vec<u8>,
    },
    /// A client certificate.
    Mtls(MtlsMatch),
}

impl std::fmt::Debug for CredentialKind {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::ApiKey(_) => out.write_str("ApiKey(..)"),
            Self::Basic { user, .. } => out.debug_struct("Basic").field("user", user).finish_non_exhaustive(),
            Self::Jwt { issuer, subject } => {
                out.debug_struct("Jwt").field("issuer", issuer).field("subject", subject).finish()
            }
            Self::Hmac { key_id, .. } => {
                out.debug_struct("Hmac").field("key_id", key_id).finish_non_exhaustive()
            }
            Self::Mtls(by) => out.debug_tuple("Mtls").field(by).finish(),
        }
    }
}

/// The keyed hash of a secret text: BLAKE3 in keyed mode over the whole text as it is shown (for API keys of
/// the form `psk_<id>_<secret>` too). In files: `b3k:<key-id>:<64 hex digits>`.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKeyHash {
    /// Which [`HashKey`] made it.
    pub key_id: String,
    /// The hash.
    pub hash: [u8; 32],
    /// How the credential is found.
    pub lookup: ApiKeyLookup,
}

impl std::fmt::Debug for ApiKeyHash {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("ApiKeyHash").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

/// How an API key's credential is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApiKeyLookup {
    /// By the `<id>` in `psk_<id>_<secret>`.
    ById(String),
    /// By the hash itself: keys brought from elsewhere, and hashes whose key's form is not known.
    ByHash,
}

/// What of a client certificate (already verified by TLS) is compared. Exact, case-sensitive except DNS names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MtlsMatch {
    /// The subject's distinguished name, in the form of RFC 4514.
    Subject(String),
    /// A DNS name among the subject alternative names.
    SanDns(String),
    /// A URI among the subject alternative names (SPIFFE ids).
    SanUri(String),
    /// An e-mail address among the subject alternative names.
    SanEmail(String),
    /// SHA-256 of the certificate's DER form.
    FingerprintSha256([u8; 32]),
}

/// Leave of an app to use a service, under a plan.
#[derive(Clone, Debug, Default)]
pub struct Subscription {
    /// Dictionary id.
    pub id: Id,
    /// Stable identity: the plan's counters are kept under it.
    pub uid: Uid,
    /// Who.
    pub app: Id,
    /// What.
    pub service: Id,
    /// Under which plan, if any.
    pub plan: Option<Id>,
    /// Only an active one counts.
    pub status: Status,
    /// First second (Unix time) at which it no longer counts; `None`: never.
    pub expires_unix_s: Option<u64>,
}

//! Ordered changes of the callers' table.

use super::{AppEntry, Callers, CredentialEntry};
use crate::spec::{HASH_KEYS_MAX, HashKey, Id, Subscription};
use std::sync::Arc;

/// One change with its number. Numbers follow one another without a gap.
#[derive(Clone, Debug)]
pub struct Delta {
    /// Number of the change.
    pub sequence: u64,
    /// What changes.
    pub change: Change,
}

/// What changes.
#[derive(Clone, Debug)]
pub enum Change {
    /// Keys of the keyed hashes, all of them.
    HashKeys(Vec<HashKey>),
    /// An app is new or changed.
    PutApp(Arc<AppEntry>),
    /// An app is gone, with its credentials and subscriptions.
    RemoveApp(Id),
    /// A credential is new or changed.
    PutCredential(Arc<CredentialEntry>),
    /// A credential is gone.
    RemoveCredential(Id),
    /// A subscription is new or changed.
    PutSubscription(Subscription),
    /// A subscription is gone.
    RemoveSubscription(Id),
    /// A single token no longer counts.
    Revoke(Revocation),
    /// Nothing that workers know about; keeps the numbers without a gap.
    Nothing,
}

/// A token that no longer counts although its signature and its dates are good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// The token: see [`Revocation::token`].
    pub token: [u8; 16],
    /// The token's own end (Unix seconds); afterwards the entry can be forgotten.
    pub until_unix_s: u64,
}

impl Revocation {
    /// How a token is named: the first 16 bytes of BLAKE3 over the issuer's id (4 bytes, little-endian) and the
    /// claim `jti`.
    #[must_use]
    pub fn token(issuer: Id, jti: &str) -> [u8; 16] {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&issuer.0.to_le_bytes());
        hasher.update(jti.as_bytes());
        let mut token = [0; 16];
        token.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        token
    }
}

/// What became of a delta.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It is in the table now.
    Now,
    /// It was in the table already; nothing changed.
    Before,
}

/// Why a delta or a set was refused. The table is unchanged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeltaError {
    /// Changes before it are missing: the whole set is needed.
    #[error("change {given} came when {wanted} was due")]
    Gap {
        /// Number that was due.
        wanted: u64,
        /// Number that came.
        given: u64,
    },
    /// It belongs to an app that is not in the table.
    #[error("app {} is not known", .0.0)]
    UnknownApp(Id),
    /// It was hashed under a key that is not in the table.
    #[error("hash key `{0}` is not known")]
    UnknownHashKey(String),
    /// Another credential is found by the same key, user, subject or name.
    #[error("credential {} is told apart from another by nothing", .0.0)]
    Taken(Id),
    /// More hash keys than [`HASH_KEYS_MAX`].
    #[error("more than {HASH_KEYS_MAX} hash keys")]
    TooManyHashKeys,
}

impl Callers {
    /// Takes one change. A change that does not fit in (an unknown app, a key that another credential has) is
    /// refused and counted as taken, so that one bad row does not stop those behind it.
    ///
    /// # Errors
    /// [`DeltaError`]; only [`DeltaError::Gap`] leaves the sequence where it was.
    pub fn apply(&mut self, delta: &Delta) -> Result<Applied, DeltaError> {
        let wanted = self.sequence + 1;
        if delta.sequence < wanted {
            return Ok(Applied::Before);
        }
        if delta.sequence > wanted {
            return Err(DeltaError::Gap { wanted, given: delta.sequence });
        }
        self.sequence = delta.sequence;
        self.forget_proven();
        match &delta.change {
            Change::HashKeys(keys) if keys.len() > HASH_KEYS_MAX => return Err(DeltaError::TooManyHashKeys),
            Change::HashKeys(keys) => self.hash_keys = keys.clone(),
            Change::PutApp(app) => self.put_app(Arc::clone(app))?,
            Change::RemoveApp(id) => self.remove_app(*id),
            Change::PutCredential(credential) => self.put_credential(Arc::clone(credential))?,
            Change::RemoveCredential(id) => {
                self.take_credential(*id);
            }
            Change::PutSubscription(subscription) => self.put_subscription(subscription)?,
            Change::RemoveSubscription(id) => self.remove_subscription(*id),
            Change::Revoke(revocation) => self.revoke(revocation),
            Change::Nothing => {}
        }
        Ok(Applied::Now)
    }
}

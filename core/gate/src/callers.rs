//! Who may call: apps, credentials and subscriptions of one worker, fed by ordered deltas.
//!
//! The table is data beside the snapshot: a new key or an approval needs no compilation. Entries are made and
//! bound to their limits on the control side and shared by the workers (`Arc`); applying a delta is a few map
//! operations. Look-ups allocate nothing.

mod delta;
mod index;
mod proven;
mod rows;

#[cfg(test)]
mod tests;

pub use delta::{Applied, Change, Delta, DeltaError, Revocation};

pub(crate) use index::Space;

use crate::fold_hash::FoldMap;
use crate::limits::{BindError, BoundLimits, Register, bind};
use crate::spec::{App, Credential, CredentialKind, HASH_KEYS_MAX, HashKey, Id, Status, Subscription, Uid};
use index::Index;
use proven::ProvenKeys;
use rows::Rows;
use std::sync::Arc;

/// Tokens that may be revoked one by one at the same time; the oldest end goes first beyond it.
pub const REVOCATIONS_MAX: usize = 65_536;

/// An app, ready for workers.
#[derive(Debug)]
pub struct AppEntry {
    /// The app.
    pub app: App,
    pub(crate) limits: BoundLimits,
}

/// A credential, ready for workers.
#[derive(Debug)]
pub struct CredentialEntry {
    /// The credential.
    pub credential: Credential,
    pub(crate) limits: BoundLimits,
}

impl AppEntry {
    /// Binds the app's limits at the node pool. For the control side: registering takes locks.
    ///
    /// # Errors
    /// [`BindError`] when the pool refuses a limit.
    pub fn new(app: App, now_unix_s: i64, register: Register<'_>) -> Result<Self, BindError> {
        Ok(Self { limits: bind(app.uid, &app.limits, now_unix_s, register)?, app })
    }
}

impl CredentialEntry {
    /// Binds the credential's limits at the node pool. For the control side: registering takes locks.
    ///
    /// # Errors
    /// [`BindError`] when the pool refuses a limit.
    pub fn new(credential: Credential, now_unix_s: i64, register: Register<'_>) -> Result<Self, BindError> {
        Ok(Self { limits: bind(credential.uid, &credential.limits, now_unix_s, register)?, credential })
    }
}

/// What is known of an app in the table.
#[derive(Debug)]
pub(crate) struct AppRow {
    pub(crate) entry: Arc<AppEntry>,
    credentials: Vec<Id>,
    /// Sorted by service.
    subscriptions: Vec<Subscription>,
}

impl AppRow {
    /// The app's subscription to a service that counts now.
    #[inline]
    pub(crate) fn subscription(&self, service: Id, now_unix_s: u64) -> Option<&Subscription> {
        if self.subscriptions.is_empty() {
            return None;
        }
        let at = self.subscriptions.partition_point(|one| one.service < service);
        self.subscriptions[at..].iter().take_while(|one| one.service == service).find(|one| {
            one.status == Status::Active && one.expires_unix_s.is_none_or(|expires| now_unix_s < expires)
        })
    }
}

/// A credential in the table. Reads as its entry.
#[derive(Debug)]
pub(crate) struct CredentialRow {
    entry: Arc<CredentialEntry>,
    /// Place of its app.
    app: u32,
    /// Where the index has it.
    space: Space,
    key: Box<[u8]>,
}

impl std::ops::Deref for CredentialRow {
    type Target = CredentialEntry;

    #[inline]
    fn deref(&self) -> &CredentialEntry {
        &self.entry
    }
}

/// The table.
#[derive(Debug, Default)]
pub struct Callers {
    sequence: u64,
    hash_keys: Vec<HashKey>,
    apps: Rows<AppRow>,
    credentials: Rows<CredentialRow>,
    /// The app that a subscription belongs to.
    subscriptions: FoldMap<Id, Id>,
    index: Index,
    revoked: FoldMap<[u8; 16], u64>,
    /// API keys that are known to be good in this very state of the table; `None`: not remembered.
    proven: Option<ProvenKeys>,
}

/// A set of callers, ready for workers: what [`Callers::replace`] takes.
#[derive(Clone, Debug, Default)]
pub struct CallerEntries {
    /// Number of the last change that is contained.
    pub sequence: u64,
    /// Keys of the keyed hashes.
    pub hash_keys: Vec<HashKey>,
    /// Apps.
    pub apps: Vec<Arc<AppEntry>>,
    /// Credentials.
    pub credentials: Vec<Arc<CredentialEntry>>,
    /// Subscriptions.
    pub subscriptions: Vec<Subscription>,
}

impl CallerEntries {
    /// Makes a set ready: binds every limit. For the control side.
    ///
    /// # Errors
    /// [`BindError`] when the pool refuses a limit.
    pub fn new(
        set: crate::spec::CallerSet,
        now_unix_s: i64,
        register: Register<'_>,
    ) -> Result<Self, BindError> {
        let mut entries = Self {
            sequence: set.sequence,
            hash_keys: set.hash_keys,
            subscriptions: set.subscriptions,
            ..Self::default()
        };
        for app in set.apps {
            entries.apps.push(Arc::new(AppEntry::new(app, now_unix_s, register)?));
        }
        for credential in set.credentials {
            entries.credentials.push(Arc::new(CredentialEntry::new(credential, now_unix_s, register)?));
        }
        Ok(entries)
    }
}

impl Callers {
    /// An empty table, before the first set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Remembers API keys that were found good, until the next change. `secret` must be known to nobody outside, and
    /// used for nothing else.
    pub(crate) fn remember_keys(&mut self, secret: [u8; 16]) {
        self.proven = Some(ProvenKeys::new(secret));
    }

    /// Number of the last change that is contained: what a worker acknowledges.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// How many credentials there are.
    #[must_use]
    pub fn credential_count(&self) -> usize {
        self.credentials.len()
    }

    /// Forgets everything and takes this set. Revocations of single tokens stay.
    ///
    /// # Errors
    /// [`DeltaError`] when the set does not hold together; the table is unchanged then.
    pub fn replace(&mut self, set: &CallerEntries) -> Result<(), DeltaError> {
        if set.hash_keys.len() > HASH_KEYS_MAX {
            return Err(DeltaError::TooManyHashKeys);
        }
        let mut fresh = Self { sequence: set.sequence, hash_keys: set.hash_keys.clone(), ..Self::default() };
        for app in &set.apps {
            fresh.put_app(Arc::clone(app))?;
        }
        for credential in &set.credentials {
            fresh.put_credential(Arc::clone(credential))?;
        }
        for subscription in &set.subscriptions {
            fresh.put_subscription(subscription)?;
        }
        fresh.revoked = std::mem::take(&mut self.revoked);
        fresh.proven = self.proven.take();
        fresh.forget_proven();
        *self = fresh;
        Ok(())
    }

    /// Stable identity of an app.
    pub(crate) fn app_uid(&self, app: Id) -> Option<Uid> {
        self.apps.get(app).map(|row| row.entry.app.uid)
    }

    /// Stable identity of a credential.
    pub(crate) fn credential_uid(&self, credential: Id) -> Option<Uid> {
        self.credentials.get(credential).map(|row| row.credential.uid)
    }

    /// The keys under which secrets are hashed.
    pub(crate) fn hash_keys(&self) -> &[HashKey] {
        &self.hash_keys
    }

    pub(crate) fn hash_key(&self, id: &str) -> Option<&HashKey> {
        self.hash_keys.iter().find(|key| key.id == id)
    }

    /// The credential under a key of an index space.
    #[inline]
    pub(crate) fn find(&self, space: Space, key: &[u8]) -> Option<&CredentialRow> {
        self.credentials.at(self.index.get(space, key)?)
    }

    /// The app of a credential.
    #[inline]
    pub(crate) fn app_of(&self, credential: &CredentialRow) -> Option<&AppRow> {
        self.apps.at(credential.app)
    }

    /// The credential behind an API key: as `search` finds it, or as it was found since the last change.
    #[inline]
    pub(crate) fn find_api_key<E>(
        &self,
        tenant: Id,
        text: &[u8],
        search: impl FnOnce() -> Result<u32, E>,
    ) -> Result<Option<&CredentialRow>, E> {
        let Some(proven) = &self.proven else { return Ok(self.credentials.at(search()?)) };
        let tag = proven.tag(text);
        if let Some(place) = proven.find(tenant, tag) {
            return Ok(self.credentials.at(place));
        }
        let place = search()?;
        proven.remember(tenant, tag, place);
        Ok(self.credentials.at(place))
    }

    /// The place of the credential under a key of an index space.
    pub(crate) fn place(&self, space: Space, key: &[u8]) -> Option<u32> {
        self.index.get(space, key)
    }

    /// The credential at a place.
    pub(crate) fn credential_at(&self, place: u32) -> Option<&CredentialRow> {
        self.credentials.at(place)
    }

    /// The app's subscription to a service that counts now.
    #[cfg(test)]
    pub(crate) fn subscription(&self, app: Id, service: Id, now_unix_s: u64) -> Option<&Subscription> {
        self.apps.get(app)?.subscription(service, now_unix_s)
    }

    fn forget_proven(&mut self) {
        if let Some(proven) = &mut self.proven {
            proven.clear();
        }
    }

    /// Whether a token was revoked by itself. `token` is [`Revocation::token`].
    #[inline]
    pub(crate) fn is_revoked(&self, token: &[u8; 16]) -> bool {
        !self.revoked.is_empty() && self.revoked.contains_key(token)
    }

    fn put_app(&mut self, entry: Arc<AppEntry>) -> Result<(), DeltaError> {
        let id = entry.app.id;
        if let Some(row) = self.apps.get(id) {
            let mut moving = Vec::new();
            if row.entry.app.tenant != entry.app.tenant {
                // Index spaces are by tenant. All of them must have room in the new one before any is moved.
                moving.clone_from(&row.credentials);
                for &credential in &moving {
                    let Some(held) = self.credentials.get(credential) else { continue };
                    let (space, key) = Space::of(&held.entry.credential.kind, entry.app.tenant);
                    let holder = self.index.get(space, &key);
                    if holder.is_some_and(|holder| self.credentials.place(credential) != Some(holder)) {
                        return Err(DeltaError::Taken(credential));
                    }
                }
            }
            let moving: Vec<_> = moving.into_iter().filter_map(|id| self.take_credential(id)).collect();
            if let Some(row) = self.apps.get_mut(id) {
                row.entry = entry;
            }
            for row in moving {
                self.put_credential(row.entry)?;
            }
            return Ok(());
        }
        self.apps.insert(id, AppRow { entry, credentials: Vec::new(), subscriptions: Vec::new() });
        Ok(())
    }

    fn remove_app(&mut self, id: Id) {
        let Some(row) = self.apps.get(id) else { return };
        for credential in row.credentials.clone() {
            self.take_credential(credential);
        }
        if let Some(row) = self.apps.remove(id) {
            for subscription in row.subscriptions {
                self.subscriptions.remove(&subscription.id);
            }
        }
    }

    fn put_credential(&mut self, entry: Arc<CredentialEntry>) -> Result<(), DeltaError> {
        let id = entry.credential.id;
        let unknown = DeltaError::UnknownApp(entry.credential.app);
        let Some(app) = self.apps.place(entry.credential.app) else { return Err(unknown) };
        let tenant = self.apps.at(app).ok_or(unknown)?.entry.app.tenant;
        if let CredentialKind::ApiKey(hash) | CredentialKind::Basic { hash, .. } = &entry.credential.kind
            && self.hash_key(&hash.key_id).is_none()
        {
            return Err(DeltaError::UnknownHashKey(hash.key_id.clone()));
        }
        let (space, key) = Space::of(&entry.credential.kind, tenant);
        if self.index.get(space, &key).is_some_and(|holder| self.credentials.place(id) != Some(holder)) {
            return Err(DeltaError::Taken(id));
        }
        self.take_credential(id);
        if let Some(app) = self.apps.get_mut(entry.credential.app) {
            app.credentials.push(id);
        }
        let place = self.credentials.insert(id, CredentialRow { entry, app, space, key: key.clone() });
        self.index.insert(space, &key, place);
        Ok(())
    }

    fn take_credential(&mut self, id: Id) -> Option<CredentialRow> {
        let row = self.credentials.remove(id)?;
        self.index.remove(row.space, &row.key);
        if let Some(app) = self.apps.get_mut(row.entry.credential.app) {
            app.credentials.retain(|&other| other != id);
        }
        Some(row)
    }

    fn put_subscription(&mut self, subscription: &Subscription) -> Result<(), DeltaError> {
        if self.apps.place(subscription.app).is_none() {
            return Err(DeltaError::UnknownApp(subscription.app));
        }
        self.remove_subscription(subscription.id);
        let Some(app) = self.apps.get_mut(subscription.app) else { return Ok(()) };
        let at = app.subscriptions.partition_point(|one| one.service <= subscription.service);
        app.subscriptions.insert(at, subscription.clone());
        self.subscriptions.insert(subscription.id, subscription.app);
        Ok(())
    }

    fn remove_subscription(&mut self, id: Id) {
        if let Some(app) = self.subscriptions.remove(&id).and_then(|app| self.apps.get_mut(app)) {
            app.subscriptions.retain(|one| one.id != id);
        }
    }

    fn revoke(&mut self, revocation: &Revocation) {
        if self.revoked.len() >= REVOCATIONS_MAX {
            let first = self.revoked.iter().min_by_key(|(token, until)| (**until, **token));
            if let Some(token) = first.map(|(token, _)| *token) {
                self.revoked.remove(&token);
            }
        }
        self.revoked.insert(revocation.token, revocation.until_unix_s);
    }

    /// Forgets revocations of tokens that are past their own end.
    pub fn forget_ended(&mut self, now_unix_s: u64) {
        self.revoked.retain(|_, until| *until > now_unix_s);
    }
}

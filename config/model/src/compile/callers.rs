//! Issuers and callers as the gate takes them. Plain secrets of the file end here: from now on there are only
//! keyed hashes.

use std::collections::HashMap;

use penstock_gate::spec::{
    self, ApiKeyHash, ApiKeyLookup, CallerSet, CredentialKind, HASH_KEYS_MAX, HashKey, Id, MtlsMatch,
};

use super::{Compiler, HashKeys, Kind, usable};
use crate::check::resolve;
use crate::grammar::people::{App, Credential, Issuer, MtlsCredential, Status};
use crate::inherit::tenant_of;
use crate::place::{At, Pos};
use crate::problem::quote;
use crate::read::Word;
use crate::read::text::{KeyHash, psk_id};

/// Id of the key that stands in for a node's when a configuration is only checked.
const CHECK_KEY_ID: &str = "check";

/// The keyed hash of a secret: BLAKE3 in keyed mode over the whole text.
pub fn hash_secret(key: &HashKey, secret: &str) -> [u8; 32] {
    *blake3::keyed_hash(&key.key, secret.as_bytes()).as_bytes()
}

/// What `penstock credential hash` prints and files hold: `b3k:<key-id>:<hex>`.
pub fn show_hash(key: &HashKey, secret: &str) -> String {
    let hex: String = hash_secret(key, secret).iter().map(|b| format!("{b:02x}")).collect();
    format!("b3k:{}:{hex}", key.id)
}

/// The keys in use while callers are compiled.
struct Keys {
    all: Vec<HashKey>,
    strict: bool,
}

impl Compiler<'_> {
    pub(super) fn issuer(&mut self, issuer: &At<Issuer>) -> spec::Issuer {
        let name = issuer.name.value.0.as_str();
        let (id, uid) = self.name(Kind::Issuer, &[name], name, issuer.name.pos);
        let path = resolve(&self.configuration.sources, &issuer.jwks.file);
        spec::Issuer {
            id,
            uid,
            name: name.to_owned(),
            issuer: issuer.issuer.value.0.clone(),
            jwks: self.configuration.texts.get(&path).cloned().unwrap_or_default(),
            audiences: issuer.audiences.value.iter().map(|audience| audience.value.0.clone()).collect(),
            algorithms: issuer.algorithms.value.iter().map(|algorithm| algorithm.value.show()).collect(),
            skew: issuer.skew.value.0,
            typ: issuer.typ.as_ref().map(|typ| typ.value.0.clone()),
        }
    }

    pub(super) fn callers(&mut self, keys: &HashKeys) -> CallerSet {
        let configuration = self.configuration;
        let keys = match keys {
            HashKeys::Node(all) if usable(all) => Keys { all: all.clone(), strict: true },
            HashKeys::Node(all) => {
                let message = format!("{} hash keys are given; 1 to {HASH_KEYS_MAX} can be used", all.len());
                self.problems.add(configuration.file.place, message, "");
                return CallerSet::default();
            }
            HashKeys::CheckOnly => {
                Keys { all: vec![HashKey { id: CHECK_KEY_ID.to_owned(), key: [0; 32] }], strict: false }
            }
        };
        let mut set = CallerSet { hash_keys: keys.all.clone(), ..CallerSet::default() };
        let mut handles = HashMap::new();
        for app in &configuration.file.apps.value {
            let compiled = self.app(app);
            for credential in &app.credentials.value {
                let compiled = self.credential(app, compiled.id, credential, &keys, &mut handles);
                set.credentials.extend(compiled);
            }
            for subscription in &app.subscriptions.value {
                let compiled = self.subscription(app, compiled.id, subscription);
                set.subscriptions.push(compiled);
            }
            set.apps.push(compiled);
        }
        set
    }

    fn app(&mut self, app: &App) -> spec::App {
        let (name, team) = (app.name.value.0.as_str(), app.team.value.0.as_str());
        let tenant = tenant_of(&self.configuration.file, team);
        let (id, uid) = self.name(Kind::App, &[tenant, name], name, app.name.pos);
        spec::App {
            id,
            uid,
            name: name.to_owned(),
            tenant: self.refer(Kind::Tenant, &[tenant], tenant),
            team: self.refer(Kind::Team, &[tenant, team], team),
            status: status(app.status.value),
            scopes: app.scopes.value.iter().map(|scope| scope.value.0.clone()).collect(),
            ip_allow: app.ip_allow.value.iter().map(|cidr| cidr.value).collect(),
            limits: self.limits(uid, &app.limits),
        }
    }

    fn subscription(
        &mut self,
        app: &App,
        app_id: Id,
        subscription: &crate::grammar::people::Subscription,
    ) -> spec::Subscription {
        let tenant = tenant_of(&self.configuration.file, &app.team);
        let service = subscription.service.value.0.as_str();
        let shown = format!("{}/{service}", app.name.value.0);
        let names = [tenant, app.name.value.0.as_str(), service];
        let (id, uid) = self.name(Kind::Subscription, &names, &shown, subscription.service.pos);
        spec::Subscription {
            id,
            uid,
            app: app_id,
            service: self.refer(Kind::Service, &[tenant, service], service),
            plan: subscription.plan.as_ref().map(|plan| {
                let plan = plan.value.0.as_str();
                self.refer(Kind::Plan, &[plan], plan)
            }),
            status: status(subscription.status.value),
            expires_unix_s: subscription.expires.as_ref().map(|moment| moment.value.0),
        }
    }

    /// `None` = refused here; told.
    fn credential(
        &mut self,
        app: &App,
        app_id: Id,
        credential: &At<Credential>,
        keys: &Keys,
        handles: &mut HashMap<(String, String), Pos>,
    ) -> Option<spec::Credential> {
        let (kind, handle, pos) = self.credential_kind(credential, keys)?;
        let tenant = tenant_of(&self.configuration.file, &app.team);
        if let Some(first) = handles.insert((tenant.to_owned(), handle.clone()), pos) {
            let hint = format!("the other is at {}", self.configuration.sources.show(first));
            self.problems.add(pos, "two credentials of one tenant cannot be told apart", hint);
            return None;
        }
        let name = credential.name.as_ref().map_or_else(|| handle.clone(), |name| name.value.0.clone());
        let app_name = app.name.value.0.as_str();
        let (id, uid) = self.name(Kind::Credential, &[tenant, app_name, &name], &name, credential.place);
        Some(spec::Credential {
            id,
            uid,
            app: app_id,
            name,
            kind,
            status: status(credential.status.value),
            expires_unix_s: credential.expires.as_ref().map(|moment| moment.value.0),
            scopes: credential
                .scopes
                .as_ref()
                .map(|scopes| scopes.value.iter().map(|scope| scope.value.0.clone()).collect()),
            limits: self.limits(uid, &credential.limits),
        })
    }

    /// The kind, and a handle by which it is found: of its own within a tenant, fit to be shown, and the same
    /// wherever the credential stands in the file.
    fn credential_kind(
        &mut self,
        credential: &Credential,
        keys: &Keys,
    ) -> Option<(CredentialKind, String, Pos)> {
        if let Some(key) = &credential.api_key {
            let (hash, handle, pos) = match (&key.value.value, &key.value.hash) {
                (Some(value), _) => {
                    let secret = value.value.0.as_str();
                    let hash = hash_secret(&keys.all[0], secret);
                    let (lookup, handle) = match psk_id(secret) {
                        Some(id) => (ApiKeyLookup::ById(id.to_owned()), format!("psk_{id}")),
                        None => (ApiKeyLookup::ByHash, format!("key-{}", short(&hash))),
                    };
                    let key_id = keys.all[0].id.clone();
                    (ApiKeyHash { key_id, hash, lookup }, handle, value.pos)
                }
                (None, Some(written)) => {
                    let hash = self.written_hash(written, keys)?;
                    let handle = format!("key-{}", short(&hash.hash));
                    (hash, handle, written.pos)
                }
                (None, None) => return None,
            };
            return Some((CredentialKind::ApiKey(hash), handle, pos));
        }
        if let Some(jwt) = &credential.jwt {
            let issuer = jwt.issuer.value.0.as_str();
            let subject = jwt.subject.value.0.clone();
            let handle = format!("jwt-{issuer}-{subject}");
            let issuer = self.refer(Kind::Issuer, &[issuer], issuer);
            return Some((CredentialKind::Jwt { issuer, subject }, handle, jwt.subject.pos));
        }
        if let Some(basic) = &credential.basic {
            let user = basic.user.value.0.clone();
            let hash = match (&basic.password, &basic.hash) {
                (Some(password), _) => ApiKeyHash {
                    key_id: keys.all[0].id.clone(),
                    hash: hash_secret(&keys.all[0], &format!("{user}:{}", password.value.0)),
                    lookup: ApiKeyLookup::ByHash,
                },
                (None, Some(written)) => self.written_hash(written, keys)?,
                (None, None) => return None,
            };
            let handle = format!("basic-{user}");
            return Some((CredentialKind::Basic { user, hash }, handle, basic.user.pos));
        }
        if let Some(hmac) = &credential.hmac {
            let key_id = hmac.key_id.value.0.clone();
            let secret = hmac.secret.value.0.clone().into_bytes();
            let handle = format!("hmac-{key_id}");
            return Some((CredentialKind::Hmac { key_id, secret }, handle, hmac.key_id.pos));
        }
        let mtls = credential.mtls.as_ref()?;
        let (by, handle) = certificate(mtls)?;
        Some((CredentialKind::Mtls(by), handle, mtls.place))
    }

    fn written_hash(&mut self, written: &At<KeyHash>, keys: &Keys) -> Option<ApiKeyHash> {
        let mut key_id = written.value.key_id.clone();
        if !keys.all.iter().any(|key| key.id == key_id) {
            if keys.strict {
                let known: Vec<&str> = keys.all.iter().map(|key| key.id.as_str()).collect();
                let pos = self.configuration.sources.within(written.pos, &key_id);
                self.problems.add(
                    pos,
                    format!("hash key {} is not on this node", quote(&key_id)),
                    format!("known: {}; hash again by `penstock credential hash`", known.join(", ")),
                );
                return None;
            }
            key_id = CHECK_KEY_ID.to_owned();
        }
        Some(ApiKeyHash { key_id, hash: written.value.hash, lookup: ApiKeyLookup::ByHash })
    }
}

fn certificate(mtls: &MtlsCredential) -> Option<(MtlsMatch, String)> {
    let text = |kind: &str, text: &str| format!("mtls-{kind}-{text}");
    if let Some(subject) = &mtls.subject {
        return Some((MtlsMatch::Subject(subject.value.0.clone()), text("subject", &subject.value)));
    }
    if let Some(name) = &mtls.san_dns {
        return Some((MtlsMatch::SanDns(name.value.0.clone()), text("dns", &name.value)));
    }
    if let Some(uri) = &mtls.san_uri {
        return Some((MtlsMatch::SanUri(uri.value.0.clone()), text("uri", &uri.value)));
    }
    if let Some(mail) = &mtls.san_email {
        return Some((MtlsMatch::SanEmail(mail.value.0.clone()), text("email", &mail.value)));
    }
    let print = mtls.fingerprint.as_ref()?;
    Some((MtlsMatch::FingerprintSha256(print.value.0), text("sha256", &short(&print.value.0))))
}

/// Enough of a hash to tell credentials apart for people (64 bits).
fn short(hash: &[u8; 32]) -> String {
    hash[..8].iter().map(|b| format!("{b:02x}")).collect()
}

fn status(status: Status) -> spec::Status {
    match status {
        Status::Active => spec::Status::Active,
        Status::Suspended => spec::Status::Suspended,
    }
}

//! Who calls: the methods of a route, tried on one request.
//!
//! A credential that is shown and invalid refuses the request, whatever else is there. Several that are shown
//! must name the same app. Nothing here knows limits, scopes or networks.

pub mod api_key;
pub mod hmac;
mod jwt;
mod jwt_cache;
mod replay;

#[cfg(test)]
mod jwt_tests;

pub use jwt::{KEYS_MAX, KEYS_TRIED_MAX, NAME_BYTES_MAX, SCOPES_BYTES_MAX, TOKEN_BYTES_MAX};
pub use jwt_cache::{KEPT_BYTES_MAX, TOKENS_MAX};
pub use replay::{REPLAY_SETS_DEFAULT, ReplayTable};

pub(crate) use jwt::{IssuerKeys, Token};
pub(crate) use jwt_cache::{JwtCache, Place};

use crate::callers::{Callers, CredentialEntry, Space};
use crate::request::{ClientCertificate, Request, SAN_MAX};
use crate::router::{FieldName, Once, decoded, query_once};
use crate::spec::{CredentialKind, Id, Status};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use penstock_http::{Code, FieldId, FieldSet};

/// Longest `user:password` of basic authentication.
pub const BASIC_BYTES_MAX: usize = 512;

/// Who may call a route, compiled.
#[derive(Debug)]
pub(crate) enum AuthRule {
    None,
    Any(Box<[MethodRule]>),
    All(Box<[MethodRule]>),
}

/// A way of being known, compiled.
#[derive(Debug)]
pub(crate) enum MethodRule {
    ApiKey { places: Box<[KeyPlaceRule]> },
    Basic,
    Jwt { issuers: Box<[u32]>, app_optional: bool, leaves_keys: bool },
    Hmac,
    Mtls,
}

/// A place of API keys, compiled.
#[derive(Debug)]
pub(crate) enum KeyPlaceRule {
    Field(FieldName),
    Bearer,
    BearerAnyForm,
    Query(Box<str>),
    Cookie(Box<str>),
}

/// Who calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Who {
    pub(crate) app: Option<Id>,
    pub(crate) credential: Option<Id>,
    pub(crate) token: Option<Place>,
    /// Digest that the body must have, of a signed request.
    pub(crate) body_digest: Option<[u8; 32]>,
    /// Fields that held a secret meant for the gateway alone.
    pub(crate) spent: FieldSet,
}

/// What methods are tried with.
pub(crate) struct Desk<'d> {
    pub(crate) callers: &'d Callers,
    pub(crate) tokens: &'d mut JwtCache,
    pub(crate) replays: &'d ReplayTable,
    pub(crate) issuers: &'d [IssuerKeys],
    /// Set when a token names a key that its issuer's set lacks.
    pub(crate) unknown_key: &'d mut bool,
}

impl AuthRule {
    /// Who calls. `Ok` without app and credential: anybody may.
    pub(crate) fn identify(
        &self,
        desk: &mut Desk<'_>,
        tenant: Id,
        request: &Request<'_>,
    ) -> Result<Who, Code> {
        let (methods, all) = match self {
            Self::None => return Ok(Who::default()),
            Self::Any(methods) => (methods, false),
            Self::All(methods) => (methods, true),
        };
        let mut known: Option<Who> = None;
        let mut missing = false;
        for method in methods {
            match (method.check(desk, tenant, request)?, known.as_mut()) {
                (None, _) => missing = true,
                (Some(who), None) => known = Some(who),
                (Some(who), Some(known)) => known.join(who)?,
            }
        }
        known.filter(|_| !(all && missing)).ok_or_else(|| {
            let certificate_only = methods.iter().all(|method| matches!(method, MethodRule::Mtls));
            if certificate_only { Code::ClientCertificateRequired } else { Code::Unauthenticated }
        })
    }
}

impl Who {
    fn of(entry: &CredentialEntry) -> Self {
        Self { app: Some(entry.credential.app), credential: Some(entry.credential.id), ..Self::default() }
    }

    fn join(&mut self, other: Self) -> Result<(), Code> {
        if let (Some(one), Some(two)) = (self.app, other.app)
            && one != two
        {
            return Err(Code::AmbiguousCredential);
        }
        self.app = self.app.or(other.app);
        self.credential = self.credential.or(other.credential);
        self.token = self.token.or(other.token);
        self.body_digest = self.body_digest.or(other.body_digest);
        self.spent = self.spent.union(other.spent);
        Ok(())
    }
}

impl MethodRule {
    /// `None`: nothing of the kind was shown.
    fn check(&self, desk: &mut Desk<'_>, tenant: Id, request: &Request<'_>) -> Result<Option<Who>, Code> {
        let now = request.now_unix_s();
        let (entry, spent, body_digest) = match self {
            Self::ApiKey { places } => {
                let mut room = [0; api_key::KEY_BYTES_MAX];
                let Some((place, key)) = shown_key(places, request, &mut room)? else { return Ok(None) };
                let spent = match place {
                    KeyPlaceRule::Field(name) if name.id() != FieldId::Other => {
                        FieldSet::EMPTY.with(name.id())
                    }
                    KeyPlaceRule::Bearer | KeyPlaceRule::BearerAnyForm => AUTHORIZATION,
                    _ => FieldSet::EMPTY,
                };
                (api_key::find(desk.callers, tenant, key)?, spent, None)
            }
            Self::Basic => {
                let Some(text) = authorization(request, b"basic")? else { return Ok(None) };
                (basic(desk.callers, tenant, text)?, AUTHORIZATION, None)
            }
            Self::Jwt { issuers, app_optional, leaves_keys } => {
                let Some(token) = authorization(request, b"bearer")? else { return Ok(None) };
                if *leaves_keys && token.starts_with(b"psk_") {
                    return Ok(None);
                }
                return jwt(desk, tenant, token, issuers, *app_optional, now).map(Some);
            }
            Self::Hmac => {
                let Some(text) = authorization(request, hmac::SCHEME.as_bytes())? else { return Ok(None) };
                let (entry, digest) = hmac::find(desk.callers, desk.replays, tenant, request, text)?;
                (entry, AUTHORIZATION, digest)
            }
            Self::Mtls => {
                let Some(certificate) = request.tls.and_then(|tls| tls.client) else { return Ok(None) };
                (by_certificate(desk.callers, tenant, certificate, now)?, FieldSet::EMPTY, None)
            }
        };
        let who = may_be_used(desk.callers, entry, now)?;
        Ok(Some(Who { spent, body_digest, ..who }))
    }
}

const AUTHORIZATION: FieldSet = FieldSet::of(&[FieldId::Authorization]);

/// Whether a credential, known to be the caller's, counts now.
fn may_be_used(callers: &Callers, entry: &CredentialEntry, now: u64) -> Result<Who, Code> {
    let credential = &entry.credential;
    if credential.status != Status::Active {
        return Err(Code::RevokedCredential);
    }
    if credential.expires_unix_s.is_some_and(|expires| now >= expires) {
        return Err(Code::ExpiredCredential);
    }
    match callers.app(credential.app).map(|entry| entry.app.status) {
        Some(Status::Active) => Ok(Who::of(entry)),
        Some(Status::Suspended) => Err(Code::AppSuspended),
        None => Err(Code::InvalidCredential),
    }
}

/// What stands in `Authorization` behind this scheme (lower or any case). Several such fields are refused.
fn authorization<'a>(request: &Request<'a>, scheme: &[u8]) -> Result<Option<&'a [u8]>, Code> {
    let value = match request.known(FieldId::Authorization) {
        Once::Absent => return Ok(None),
        Once::Repeated => return Err(Code::AmbiguousCredential),
        Once::One(value) => value,
    };
    let split = value.iter().position(|&byte| byte == b' ').unwrap_or(value.len());
    let fits = value[..split].eq_ignore_ascii_case(scheme);
    Ok(fits.then(|| value[split..].trim_ascii()))
}

/// The one API key that is shown, in whatever places; two that differ are refused.
fn shown_key<'k>(
    places: &'k [KeyPlaceRule],
    request: &Request<'k>,
    room: &'k mut [u8; api_key::KEY_BYTES_MAX],
) -> Result<Option<(&'k KeyPlaceRule, &'k [u8])>, Code> {
    let mut found: Option<(&KeyPlaceRule, &[u8])> = None;
    for place in places {
        let shown = match place {
            KeyPlaceRule::Field(name) => request.field(name),
            KeyPlaceRule::Cookie(name) => request.cookie(name),
            KeyPlaceRule::Query(name) => query_once(request.query(), name.as_bytes()),
            KeyPlaceRule::Bearer | KeyPlaceRule::BearerAnyForm => {
                let token = authorization(request, b"bearer")?;
                let any = matches!(place, KeyPlaceRule::BearerAnyForm);
                match token.filter(|token| any || token.starts_with(b"psk_")) {
                    Some(token) => Once::One(token),
                    None => Once::Absent,
                }
            }
        };
        match (shown, found) {
            (Once::Absent, _) => {}
            (Once::Repeated, _) => return Err(Code::AmbiguousCredential),
            (Once::One(key), None) => found = Some((place, key)),
            (Once::One(key), Some((_, other))) if key == other => {}
            (Once::One(_), Some(_)) => return Err(Code::AmbiguousCredential),
        }
    }
    let Some((place, key)) = found else { return Ok(None) };
    if !matches!(place, KeyPlaceRule::Query(_)) {
        return Ok(Some((place, key)));
    }
    let mut length = 0;
    for byte in decoded(key) {
        *room.get_mut(length).ok_or(Code::InvalidCredential)? = byte;
        length += 1;
    }
    Ok(Some((place, &room[..length])))
}

fn basic<'c>(callers: &'c Callers, tenant: Id, text: &[u8]) -> Result<&'c CredentialEntry, Code> {
    let mut room = [0; BASIC_BYTES_MAX];
    let length = STANDARD.decode_slice(text, &mut room).map_err(|_| Code::InvalidCredential)?;
    let pair = &room[..length];
    let split = pair.iter().position(|&byte| byte == b':').ok_or(Code::InvalidCredential)?;
    let entry = callers.find(Space::basic(tenant), &pair[..split]).ok_or(Code::InvalidCredential)?;
    match &entry.credential.kind {
        CredentialKind::Basic { hash, .. } if api_key::fits(callers, hash, pair) => Ok(entry),
        _ => Err(Code::InvalidCredential),
    }
}

fn jwt(
    desk: &mut Desk<'_>,
    tenant: Id,
    token: &[u8],
    issuers: &[u32],
    app_optional: bool,
    now: u64,
) -> Result<Who, Code> {
    let all = desk.issuers;
    let accepted = issuers.iter().filter_map(|&at| all.get(at as usize));
    let checked = desk.tokens.check(token, accepted, now);
    *desk.unknown_key |= checked == Err(jwt::Fault::UnknownKey);
    let place = checked.map_err(jwt::Fault::code)?;
    let Some(token) = desk.tokens.get(place) else { return Err(Code::InternalError) };
    if token.revocation.is_some_and(|name| desk.callers.is_revoked(&name)) {
        return Err(Code::RevokedCredential);
    }
    let space = Space::jwt(tenant, token.issuer);
    let entry = [&token.subject, &token.client]
        .into_iter()
        .filter(|name| !name.is_empty())
        .find_map(|name| desk.callers.find(space, name.as_bytes()));
    let who = match entry {
        Some(entry) => may_be_used(desk.callers, entry, now)?,
        None if app_optional => Who::default(),
        None => return Err(Code::UnknownApp),
    };
    Ok(Who { token: Some(place), ..who })
}

/// The credential of a client certificate: by fingerprint, URI, DNS name, mail address, subject, in this order.
fn by_certificate<'c>(
    callers: &'c Callers,
    tenant: Id,
    certificate: &ClientCertificate,
    now: u64,
) -> Result<&'c CredentialEntry, Code> {
    if now >= certificate.expires_unix_s {
        return Err(Code::ExpiredCredential);
    }
    let find = |space: Space, names: &[String]| {
        names.iter().take(SAN_MAX).find_map(|name| callers.find(space, name.as_bytes()))
    };
    callers
        .find(Space::mtls_fingerprint(tenant), &certificate.fingerprint_sha256)
        .or_else(|| find(Space::mtls_uri(tenant), &certificate.san_uri))
        .or_else(|| find(Space::mtls_dns(tenant), &certificate.san_dns))
        .or_else(|| find(Space::mtls_email(tenant), &certificate.san_email))
        .or_else(|| callers.find(Space::mtls_subject(tenant), certificate.subject.as_bytes()))
        .ok_or(Code::InvalidCredential)
}

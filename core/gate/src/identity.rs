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

use crate::callers::{AppRow, Callers, CredentialRow, Space};
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
#[derive(Debug, Default)]
pub(crate) struct Who<'c> {
    pub(crate) app: Option<&'c AppRow>,
    pub(crate) credential: Option<&'c CredentialRow>,
    pub(crate) token: Option<Place>,
    /// Digest that the body must have, of a signed request.
    pub(crate) body_digest: Option<[u8; 32]>,
    /// Fields that held a secret meant for the gateway alone.
    pub(crate) spent: FieldSet,
}

/// What methods are tried with.
pub(crate) struct Desk<'d, 'c> {
    pub(crate) callers: &'c Callers,
    pub(crate) tokens: &'d mut JwtCache,
    pub(crate) replays: &'d ReplayTable,
    pub(crate) issuers: &'d [IssuerKeys],
    /// Set when a token names a key that its issuer's set lacks.
    pub(crate) unknown_key: &'d mut bool,
}

impl AuthRule {
    /// Adds who calls to an empty `who`. `Ok` without app and credential: anybody may.
    pub(crate) fn identify<'c>(
        &self,
        desk: &mut Desk<'_, 'c>,
        tenant: Id,
        request: &Request<'_>,
        who: &mut Who<'c>,
    ) -> Result<(), Code> {
        let (methods, all) = match self {
            Self::None => return Ok(()),
            Self::Any(methods) => (methods, false),
            Self::All(methods) => (methods, true),
        };
        let (mut shown, mut missing) = (false, false);
        for method in methods {
            let has = method.check(desk, tenant, request, who)?;
            shown |= has;
            missing |= !has;
        }
        if !shown || (all && missing) {
            let certificate_only = methods.iter().all(|method| matches!(method, MethodRule::Mtls));
            return Err(if certificate_only {
                Code::ClientCertificateRequired
            } else {
                Code::Unauthenticated
            });
        }
        Ok(())
    }
}

impl<'c> Who<'c> {
    /// Adds a caller that another method tells; it must be the same app.
    #[inline]
    fn join(&mut self, app: Option<&'c AppRow>, credential: Option<&'c CredentialRow>) -> Result<(), Code> {
        if let (Some(one), Some(two)) = (self.app, app)
            && one.entry.app.id != two.entry.app.id
        {
            return Err(Code::AmbiguousCredential);
        }
        self.app = self.app.or(app);
        self.credential = self.credential.or(credential);
        Ok(())
    }
}

impl MethodRule {
    /// Adds to `who` what the request shows; `false`: nothing of the kind.
    fn check<'c>(
        &self,
        desk: &mut Desk<'_, 'c>,
        tenant: Id,
        request: &Request<'_>,
        who: &mut Who<'c>,
    ) -> Result<bool, Code> {
        let now = request.now_unix_s();
        let callers = desk.callers;
        let credential = match self {
            Self::ApiKey { places } => {
                let Some((place, key)) = shown_key(places, request)? else { return Ok(false) };
                let credential = match place {
                    KeyPlaceRule::Query(_) => by_encoded_key(callers, tenant, key)?,
                    _ => api_key::find(callers, tenant, key)?,
                };
                if let Some(id) = place.spends() {
                    who.spent = who.spent.with(id);
                }
                credential
            }
            Self::Basic => {
                let Some(text) = authorization(request, b"basic")? else { return Ok(false) };
                let credential = basic(callers, tenant, text)?;
                who.spent = who.spent.with(FieldId::Authorization);
                credential
            }
            Self::Jwt { issuers, app_optional, leaves_keys } => {
                let Some(token) = authorization(request, b"bearer")? else { return Ok(false) };
                if *leaves_keys && token.starts_with(b"psk_") {
                    return Ok(false);
                }
                let (place, credential) = jwt(desk, tenant, token, issuers, *app_optional, now)?;
                let app = credential.map(|one| may_be_used(callers, one, now)).transpose()?;
                who.join(app, credential)?;
                who.token = who.token.or(Some(place));
                return Ok(true);
            }
            Self::Hmac => {
                let Some(text) = authorization(request, hmac::SCHEME.as_bytes())? else { return Ok(false) };
                let (credential, digest) = hmac::find(callers, desk.replays, tenant, request, text)?;
                who.body_digest = who.body_digest.or(digest);
                who.spent = who.spent.with(FieldId::Authorization);
                credential
            }
            Self::Mtls => {
                let Some(certificate) = request.tls.and_then(|tls| tls.client) else { return Ok(false) };
                by_certificate(callers, tenant, certificate, now)?
            }
        };
        let app = may_be_used(callers, credential, now)?;
        who.join(Some(app), Some(credential))?;
        Ok(true)
    }
}

impl KeyPlaceRule {
    /// The field that held the key; `None` where it has no id or is not spent as a whole.
    fn spends(&self) -> Option<FieldId> {
        match self {
            Self::Field(name) => Some(name.id()).filter(|&id| id != FieldId::Other),
            Self::Bearer | Self::BearerAnyForm => Some(FieldId::Authorization),
            Self::Query(_) | Self::Cookie(_) => None,
        }
    }
}

/// The app of a credential that is known to be the caller's, if both count now.
#[inline]
fn may_be_used<'c>(callers: &'c Callers, row: &CredentialRow, now: u64) -> Result<&'c AppRow, Code> {
    let credential = &row.credential;
    if credential.status != Status::Active {
        return Err(Code::RevokedCredential);
    }
    if credential.expires_unix_s.is_some_and(|expires| now >= expires) {
        return Err(Code::ExpiredCredential);
    }
    let app = callers.app_of(row).ok_or(Code::InvalidCredential)?;
    match app.entry.app.status {
        Status::Active => Ok(app),
        Status::Suspended => Err(Code::AppSuspended),
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

/// The one API key that is shown, in whatever places, as it stands there; two that differ are refused.
#[inline]
fn shown_key<'k>(
    places: &'k [KeyPlaceRule],
    request: &Request<'k>,
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
                    None => continue,
                }
            }
        };
        let key = match shown {
            Once::Absent => continue,
            Once::Repeated => return Err(Code::AmbiguousCredential),
            Once::One(key) => key,
        };
        match found {
            None => found = Some((place, key)),
            Some((_, other)) if key == other => {}
            Some(_) => return Err(Code::AmbiguousCredential),
        }
    }
    Ok(found)
}

/// The credential behind a key that is form-encoded, as a query holds it.
fn by_encoded_key<'c>(callers: &'c Callers, tenant: Id, key: &[u8]) -> Result<&'c CredentialRow, Code> {
    let mut room = [0; api_key::KEY_BYTES_MAX];
    let mut length = 0;
    for byte in decoded(key) {
        *room.get_mut(length).ok_or(Code::InvalidCredential)? = byte;
        length += 1;
    }
    api_key::find(callers, tenant, &room[..length])
}

fn basic<'c>(callers: &'c Callers, tenant: Id, text: &[u8]) -> Result<&'c CredentialRow, Code> {
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

/// Where the token stands in the cache, and the credential that it leads to; none where the app is optional.
fn jwt<'c>(
    desk: &mut Desk<'_, 'c>,
    tenant: Id,
    token: &[u8],
    issuers: &[u32],
    app_optional: bool,
    now: u64,
) -> Result<(Place, Option<&'c CredentialRow>), Code> {
    let (all, callers) = (desk.issuers, desk.callers);
    let accepted = issuers.iter().filter_map(|&at| all.get(at as usize));
    let checked = desk.tokens.check(token, accepted, now);
    *desk.unknown_key |= checked == Err(jwt::Fault::UnknownKey);
    let place = checked.map_err(jwt::Fault::code)?;
    let Some(token) = desk.tokens.get(place) else { return Err(Code::InternalError) };
    if token.revocation.is_some_and(|name| callers.is_revoked(&name)) {
        return Err(Code::RevokedCredential);
    }
    let space = Space::jwt(tenant, token.issuer);
    let credential = [&token.subject, &token.client]
        .into_iter()
        .filter(|name| !name.is_empty())
        .find_map(|name| callers.find(space, name.as_bytes()));
    if credential.is_none() && !app_optional {
        return Err(Code::UnknownApp);
    }
    Ok((place, credential))
}

/// The credential of a client certificate: by fingerprint, URI, DNS name, mail address, subject, in this order.
fn by_certificate<'c>(
    callers: &'c Callers,
    tenant: Id,
    certificate: &ClientCertificate,
    now: u64,
) -> Result<&'c CredentialRow, Code> {
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

//! Signed tokens (RFC 7515, 7519; pitfalls of RFC 8725): keys of issuers, and what makes a token good.
//!
//! The library checks signatures only; everything about header and claims is decided here, where it can be
//! read at one place: the algorithm is one that the issuer allows and that the key is for, never `none`, never a
//! shared secret; `crit` refuses; a key that the token brings or points to (`jwk`, `jku`, `x5u`, `x5c`) is not
//! even looked at.

use crate::spec::{Id, Issuer, SKEW_MAX};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use penstock_http::Code;
use serde::Deserialize;

/// Longest token that is looked at.
pub const TOKEN_BYTES_MAX: usize = 8192;
/// Keys that are tried for a token which names none, or whose name several keys bear.
pub const KEYS_TRIED_MAX: usize = 4;
/// Keys that one issuer may have.
pub const KEYS_MAX: usize = 64;
/// Longest subject, client and token id.
pub const NAME_BYTES_MAX: usize = 256;
/// Longest list of scopes.
pub const SCOPES_BYTES_MAX: usize = 4096;
/// Shortest RSA modulus, in bytes.
const RSA_MODULUS_BYTES_MIN: usize = 256;

/// An issuer with its keys, ready to check tokens.
pub(crate) struct IssuerKeys {
    pub(crate) id: Id,
    issuer: Box<str>,
    audiences: Box<[Box<str>]>,
    typ: Option<Box<str>>,
    skew_s: f64,
    keys: Vec<Key>,
    /// Changes with everything that makes a token good: a cached verdict counts only under the same.
    pub(crate) digest: u64,
}

struct Key {
    id: Option<Box<str>>,
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

impl std::fmt::Debug for IssuerKeys {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("IssuerKeys").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

/// What a good token says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Token {
    pub(crate) issuer: Id,
    /// Claim `sub`; empty if there is none.
    pub(crate) subject: Box<str>,
    /// Claims `client_id`, else `azp`; empty if there is none.
    pub(crate) client: Box<str>,
    /// Separated by spaces.
    pub(crate) scopes: Box<str>,
    /// Good from this second (Unix time, skew applied) on ...
    pub(crate) from_unix_s: f64,
    /// ... until before this one.
    pub(crate) until_unix_s: f64,
    /// How a revocation names it.
    pub(crate) revocation: Option<[u8; 16]>,
}

/// Why a token is refused, for tests and records; callers learn the code only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Form,
    Critical,
    Type,
    Algorithm,
    Issuer,
    UnknownKey,
    Signature,
    Claims,
    Audience,
    Ended,
    NotYet,
}

impl Fault {
    pub(crate) fn code(self) -> Code {
        match self {
            Self::Ended | Self::NotYet => Code::ExpiredCredential,
            _ => Code::InvalidCredential,
        }
    }
}

#[derive(Deserialize)]
struct Header<'t> {
    alg: &'t str,
    #[serde(borrow, default)]
    kid: Option<std::borrow::Cow<'t, str>>,
    #[serde(borrow, default)]
    typ: Option<std::borrow::Cow<'t, str>>,
    #[serde(default)]
    crit: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    b64: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct IssuerClaim {
    iss: String,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    exp: f64,
    #[serde(default)]
    nbf: Option<f64>,
    #[serde(default)]
    iat: Option<f64>,
    #[serde(default)]
    aud: Option<OneOrMany>,
    #[serde(default)]
    sub: Option<String>,
    #[serde(default)]
    client_id: Option<String>,
    #[serde(default)]
    azp: Option<String>,
    #[serde(default)]
    jti: Option<String>,
    #[serde(default)]
    scope: Option<OneOrMany>,
    #[serde(default)]
    scp: Option<OneOrMany>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    fn as_slice(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<serde_json::Value>,
}

impl IssuerKeys {
    /// Reads an issuer. The text says what is wrong with which field.
    pub(crate) fn new(issuer: &Issuer) -> Result<Self, Vec<(&'static str, String)>> {
        let mut errors = Vec::new();
        let mut algorithms = Vec::new();
        for name in &issuer.algorithms {
            match name.parse::<Algorithm>() {
                Ok(algorithm) if algorithm.family() != AlgorithmFamily::Hmac => algorithms.push(algorithm),
                _ => errors
                    .push(("algorithms", format!("`{name}` is no signature algorithm with public keys"))),
            }
        }
        if issuer.algorithms.is_empty() {
            errors.push(("algorithms", "at least one algorithm must be allowed".to_owned()));
        }
        if issuer.issuer.is_empty() {
            errors.push(("issuer", "the value of `iss` can't be empty".to_owned()));
        }
        if issuer.skew > SKEW_MAX {
            errors.push(("skew", format!("at most {} s are forgiven", SKEW_MAX.as_secs())));
        }
        let keys = match serde_json::from_str::<KeySet>(&issuer.jwks) {
            Ok(set) if set.keys.len() > KEYS_MAX => {
                errors.push(("jwks", format!("more than {KEYS_MAX} keys")));
                Vec::new()
            }
            Ok(set) => set.keys.iter().filter_map(|jwk| Key::new(jwk, &algorithms)).collect(),
            Err(error) => {
                errors.push(("jwks", format!("not a JSON key set: {error}")));
                Vec::new()
            }
        };
        if keys.is_empty() && errors.is_empty() {
            let text =
                "holds no public signature key for an allowed algorithm (RSA keys have 2048 bits or more)";
            errors.push(("jwks", text.to_owned()));
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let mut digest = blake3::Hasher::new();
        for part in [&issuer.issuer, &issuer.jwks, issuer.typ.as_ref().unwrap_or(&String::new())]
            .into_iter()
            .chain(&issuer.audiences)
            .chain(&issuer.algorithms)
        {
            digest.update(&(part.len() as u64).to_le_bytes());
            digest.update(part.as_bytes());
        }
        digest.update(&issuer.skew.as_nanos().to_le_bytes());
        let mut first = [0; 8];
        first.copy_from_slice(&digest.finalize().as_bytes()[..8]);
        Ok(Self {
            id: issuer.id,
            issuer: issuer.issuer.as_str().into(),
            audiences: issuer.audiences.iter().map(|text| text.as_str().into()).collect(),
            typ: issuer.typ.as_deref().map(Into::into),
            skew_s: issuer.skew.as_secs_f64(),
            keys,
            digest: u64::from_le_bytes(first),
        })
    }

    fn allows_type(&self, typ: Option<&str>) -> bool {
        let strip = |text: &str| {
            let lower = text.to_ascii_lowercase();
            lower.strip_prefix("application/").map(str::to_owned).unwrap_or(lower)
        };
        match (&self.typ, typ.map(strip)) {
            (Some(wanted), given) => given.as_deref() == Some(&strip(wanted)),
            (None, None) => true,
            (None, Some(given)) => given == "jwt" || given == "at+jwt",
        }
    }

    /// Whether one of the keys made the signature.
    fn verifies(&self, header: &Header<'_>, message: &[u8], signature: &str) -> Result<(), Fault> {
        let algorithm: Algorithm = header.alg.parse().map_err(|_| Fault::Algorithm)?;
        if !self.keys.iter().any(|key| key.algorithms.contains(&algorithm)) {
            return Err(Fault::Algorithm);
        }
        let mut tried = 0;
        let fitting = self.keys.iter().filter(|key| {
            key.algorithms.contains(&algorithm)
                && header.kid.as_deref().is_none_or(|kid| key.id.as_deref() == Some(kid))
        });
        for key in fitting.take(KEYS_TRIED_MAX) {
            tried += 1;
            if jsonwebtoken::crypto::verify(signature, message, &key.key, algorithm) == Ok(true) {
                return Ok(());
            }
        }
        Err(if tried == 0 { Fault::UnknownKey } else { Fault::Signature })
    }
}

impl Key {
    /// A public signature key for at least one of the algorithms; anything else in a key set is left out.
    fn new(jwk: &serde_json::Value, allowed: &[Algorithm]) -> Option<Self> {
        let text = |name: &str| jwk.get(name).and_then(serde_json::Value::as_str);
        if text("use").is_some_and(|purpose| purpose != "sig") {
            return None;
        }
        let operations = jwk.get("key_ops").and_then(serde_json::Value::as_array);
        if operations.is_some_and(|all| !all.iter().any(|one| one == "verify")) {
            return None;
        }
        let (fitting, key): (&[Algorithm], _) = match (text("kty")?, text("crv")) {
            ("RSA", _) => {
                let modulus = URL_SAFE_NO_PAD.decode(text("n")?).ok()?;
                let first = modulus.iter().position(|&byte| byte != 0)?;
                if modulus.len() - first < RSA_MODULUS_BYTES_MIN {
                    return None;
                }
                let key = DecodingKey::from_rsa_components(text("n")?, text("e")?).ok()?;
                (AlgorithmFamily::Rsa.algorithms(), key)
            }
            ("EC", Some("P-256")) => {
                (&[Algorithm::ES256], DecodingKey::from_ec_components(text("x")?, text("y")?).ok()?)
            }
            ("EC", Some("P-384")) => {
                (&[Algorithm::ES384], DecodingKey::from_ec_components(text("x")?, text("y")?).ok()?)
            }
            ("OKP", Some("Ed25519")) => {
                (&[Algorithm::EdDSA], DecodingKey::from_ed_components(text("x")?).ok()?)
            }
            _ => return None,
        };
        let named = text("alg").map(|name| name.parse::<Algorithm>().ok());
        let algorithms: Vec<Algorithm> = fitting
            .iter()
            .copied()
            .filter(|one| allowed.contains(one) && named.is_none_or(|named| named == Some(*one)))
            .collect();
        let id = text("kid").map(Into::into);
        (!algorithms.is_empty()).then_some(Self { id, algorithms, key })
    }
}

/// Checks a token against the issuers that are accepted. One signature check; allocates. Not for the warm path:
/// see the cache.
pub(crate) fn verify<'i>(
    token: &[u8],
    issuers: impl Iterator<Item = &'i IssuerKeys>,
    now_unix_s: f64,
) -> Result<(&'i IssuerKeys, Token), Fault> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(Fault::Form);
    }
    let text = std::str::from_utf8(token).map_err(|_| Fault::Form)?;
    let mut parts = text.split('.');
    let (Some(head), Some(body), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Fault::Form);
    };
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| Fault::Form);
    let head_json = decode(head)?;
    let body_json = decode(body)?;
    let header: Header<'_> = serde_json::from_slice(&head_json).map_err(|_| Fault::Form)?;
    if header.crit.is_some() || header.b64.is_some() {
        return Err(Fault::Critical);
    }
    // Unverified until the signature is: it only chooses among keys that are trusted anyway.
    let claimed: IssuerClaim = serde_json::from_slice(&body_json).map_err(|_| Fault::Issuer)?;
    let mut issuers = issuers.filter(|issuer| *issuer.issuer == *claimed.iss);
    let issuer = issuers.next().ok_or(Fault::Issuer)?;
    if !issuer.allows_type(header.typ.as_deref()) {
        return Err(Fault::Type);
    }
    issuer.verifies(&header, &token[..head.len() + 1 + body.len()], signature)?;
    let claims: Claims = serde_json::from_slice(&body_json).map_err(|_| Fault::Claims)?;
    Ok((issuer, check_claims(issuer, claims, now_unix_s)?))
}

fn check_claims(issuer: &IssuerKeys, claims: Claims, now_unix_s: f64) -> Result<Token, Fault> {
    if *claims.iss != *issuer.issuer {
        return Err(Fault::Issuer);
    }
    if !issuer.audiences.is_empty() {
        let given = claims.aud.as_ref().map_or(&[][..], OneOrMany::as_slice);
        if !given.iter().any(|one| issuer.audiences.iter().any(|wanted| **wanted == **one)) {
            return Err(Fault::Audience);
        }
    }
    let until = claims.exp + issuer.skew_s;
    let from = [claims.nbf, claims.iat].into_iter().flatten().fold(0.0, f64::max) - issuer.skew_s;
    let all_finite = [Some(claims.exp), claims.nbf, claims.iat].into_iter().flatten().all(f64::is_finite);
    if !all_finite || until < 0.0 {
        return Err(Fault::Claims);
    }
    if now_unix_s >= until {
        return Err(Fault::Ended);
    }
    if now_unix_s < from {
        return Err(Fault::NotYet);
    }
    let name = |claim: Option<String>| -> Result<Box<str>, Fault> {
        let text = claim.unwrap_or_default();
        let good = text.len() <= NAME_BYTES_MAX && !text.chars().any(char::is_control);
        if good { Ok(text.into()) } else { Err(Fault::Claims) }
    };
    let scopes = match (&claims.scope, &claims.scp) {
        (Some(scopes), _) | (None, Some(scopes)) => scopes.as_slice().join(" "),
        (None, None) => String::new(),
    };
    if scopes.len() > SCOPES_BYTES_MAX || scopes.chars().any(char::is_control) {
        return Err(Fault::Claims);
    }
    let jti = name(claims.jti)?;
    let revocation = (!jti.is_empty()).then(|| crate::callers::Revocation::token(issuer.id, &jti));
    Ok(Token {
        issuer: issuer.id,
        subject: name(claims.sub)?,
        client: name(claims.client_id.or(claims.azp))?,
        scopes: scopes.into(),
        from_unix_s: from,
        until_unix_s: until,
        revocation,
    })
}

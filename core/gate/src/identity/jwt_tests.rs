//! Tokens, good ones and every known way to forge one; then the cache, the app behind a token, and signatures.

use super::hmac::WINDOW_S;
use super::jwt::{Fault, IssuerKeys, verify};
use crate::chain_tests::{Bench, NOW_S};
use crate::identity::{JwtCache, KEPT_BYTES_MAX, TOKEN_BYTES_MAX};
use crate::snapshot::tests::*;
use crate::spec::*;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256,
};
use aws_lc_rs::{digest, hmac};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use penstock_http::Code;
use serde_json::{Value, json};
use std::sync::LazyLock;

struct Keys {
    rsa: RsaKeyPair,
    ec: EcdsaKeyPair,
    ed: Ed25519KeyPair,
}

static KEYS: LazyLock<Keys> = LazyLock::new(|| Keys {
    rsa: RsaKeyPair::generate(KeySize::Rsa2048).expect("key"),
    ec: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("key"),
    ed: Ed25519KeyPair::generate().expect("key"),
});

fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn modulus() -> Vec<u8> {
    KEYS.rsa.public_key().modulus().big_endian_without_leading_zero().to_vec()
}

fn jwks() -> Value {
    let ec = KEYS.ec.public_key().as_ref();
    json!({ "keys": [
        { "kty": "RSA", "kid": "r1", "use": "sig", "n": b64(modulus()), "e": "AQAB" },
        { "kty": "EC", "kid": "e1", "crv": "P-256", "x": b64(&ec[1..33]), "y": b64(&ec[33..]) },
        { "kty": "OKP", "kid": "d1", "crv": "Ed25519", "x": b64(KEYS.ed.public_key()) },
        { "kty": "oct", "kid": "o1", "k": b64(b"a shared secret that must never count") },
        { "kty": "RSA", "kid": "enc", "use": "enc", "n": b64(modulus()), "e": "AQAB" },
        { "kty": "RSA", "kid": "weak", "n": b64(&modulus()[..128]), "e": "AQAB" },
        { "kty": "EC", "kid": "odd", "crv": "secp256k1", "x": "AA", "y": "AA" },
    ] })
}

fn issuer() -> Issuer {
    Issuer {
        id: Id(30),
        uid: Uid(30),
        name: "corp".into(),
        issuer: "https://id.t".into(),
        jwks: jwks().to_string(),
        audiences: vec!["orders".into()],
        algorithms: ["RS256", "PS256", "ES256", "EdDSA"].map(str::to_owned).to_vec(),
        skew: SKEW_DEFAULT,
        typ: None,
    }
}

fn claims() -> Value {
    json!({ "iss": "https://id.t", "aud": "orders", "sub": "ann", "exp": NOW_S + 100, "scope": "orders.read x" })
}

fn with(mut base: Value, changes: Value) -> Value {
    for (name, value) in changes.as_object().expect("object") {
        if value.is_null() {
            base.as_object_mut().expect("object").remove(name);
        } else {
            base[name] = value.clone();
        }
    }
    base
}

fn sign(alg: &str, message: &[u8]) -> Vec<u8> {
    let random = SystemRandom::new();
    let mut rsa = vec![0; 256];
    match alg {
        "RS256" => KEYS.rsa.sign(&RSA_PKCS1_SHA256, &random, message, &mut rsa).expect("signs"),
        "PS256" => KEYS.rsa.sign(&RSA_PSS_SHA256, &random, message, &mut rsa).expect("signs"),
        "ES256" => return KEYS.ec.sign(&random, message).expect("signs").as_ref().to_vec(),
        "EdDSA" => return KEYS.ed.sign(message).as_ref().to_vec(),
        other => panic!("{other}"),
    }
    rsa
}

fn message(header: &Value, claims: &Value) -> String {
    format!("{}.{}", b64(header.to_string()), b64(claims.to_string()))
}

/// A token signed as `alg` says, whatever the header says.
fn token_as(alg: &str, header: &Value, claims: &Value) -> String {
    let message = message(header, claims);
    let signature = b64(sign(alg, message.as_bytes()));
    format!("{message}.{signature}")
}

fn rs256(header: Value, claims: &Value) -> String {
    token_as("RS256", &with(json!({ "alg": "RS256", "kid": "r1" }), header), claims)
}

fn check(issuer: &Issuer, token: &str) -> Result<String, Fault> {
    let keys = IssuerKeys::new(issuer).expect("good issuer");
    verify(token.as_bytes(), std::iter::once(&keys), NOW_S as f64).map(|(_, token)| token.subject.into())
}

#[test]
fn good_tokens_of_every_algorithm() {
    for (alg, kid) in [("RS256", "r1"), ("PS256", "r1"), ("ES256", "e1"), ("EdDSA", "d1")] {
        for header in
            [json!({ "alg": alg, "kid": kid }), json!({ "alg": alg }), json!({ "alg": alg, "typ": "JWT" })]
        {
            let token = token_as(alg, &header, &claims());
            assert_eq!(check(&issuer(), &token), Ok("ann".to_owned()), "{header}");
        }
    }
}

#[test]
fn forged_headers() {
    let none = |alg: &str| format!("{}.", message(&json!({ "alg": alg }), &claims()));
    let public = hmac::Key::new(hmac::HMAC_SHA256, &modulus());
    let pem = hmac::Key::new(hmac::HMAC_SHA256, issuer().jwks.as_bytes());
    let secret = hmac::Key::new(hmac::HMAC_SHA256, b"a shared secret that must never count");
    let hs256 = |key: &hmac::Key, kid: &str| {
        let message = message(&json!({ "alg": "HS256", "kid": kid }), &claims());
        format!("{message}.{}", b64(hmac::sign(key, message.as_bytes())))
    };
    let attacker = RsaKeyPair::generate(KeySize::Rsa2048).expect("key");
    let own = |header: Value| {
        let message = message(&header, &claims());
        let mut signature = vec![0; 256];
        let random = SystemRandom::new();
        attacker.sign(&RSA_PKCS1_SHA256, &random, message.as_bytes(), &mut signature).expect("signs");
        format!("{message}.{}", b64(signature))
    };
    let embedded = json!({
        "kty": "RSA", "kid": "r1", "e": "AQAB",
        "n": b64(attacker.public_key().modulus().big_endian_without_leading_zero()),
    });
    let good = rs256(json!({}), &claims());
    let parts: Vec<&str> = good.split('.').collect();
    let cases = [
        (none("none"), Fault::Algorithm),
        (none("None"), Fault::Algorithm),
        (none("nOnE"), Fault::Algorithm),
        (none("RS256"), Fault::Signature),
        (none(""), Fault::Algorithm),
        (hs256(&public, "r1"), Fault::Algorithm),
        (hs256(&pem, "r1"), Fault::Algorithm),
        (hs256(&secret, "o1"), Fault::Algorithm),
        (own(json!({ "alg": "RS256", "jwk": embedded })), Fault::Signature),
        (own(json!({ "alg": "RS256", "kid": "r1", "jwk": embedded })), Fault::Signature),
        (own(json!({ "alg": "RS256", "kid": "r1", "jku": "https://evil.t/jwks" })), Fault::Signature),
        (own(json!({ "alg": "RS256", "x5u": "https://evil.t/x", "x5c": ["AA=="] })), Fault::Signature),
        (rs256(json!({ "kid": "e1" }), &claims()), Fault::UnknownKey),
        (rs256(json!({ "kid": "enc" }), &claims()), Fault::UnknownKey),
        (rs256(json!({ "kid": "weak" }), &claims()), Fault::UnknownKey),
        (rs256(json!({ "kid": "../r1" }), &claims()), Fault::UnknownKey),
        (rs256(json!({ "kid": "' OR 1=1" }), &claims()), Fault::UnknownKey),
        (rs256(json!({ "kid": 1 }), &claims()), Fault::Form),
        (rs256(json!({ "crit": ["exp"] }), &claims()), Fault::Critical),
        (rs256(json!({ "b64": false }), &claims()), Fault::Critical),
        (rs256(json!({ "typ": "secevent+jwt" }), &claims()), Fault::Type),
        (token_as("RS256", &json!({ "alg": "PS256", "kid": "r1" }), &claims()), Fault::Signature),
        (token_as("RS256", &json!({ "alg": "RS512", "kid": "r1" }), &claims()), Fault::Algorithm),
        (token_as("ES256", &json!({ "alg": "RS256", "kid": "r1" }), &claims()), Fault::Signature),
        (format!("{}.{}", parts[0], parts[1]), Fault::Form),
        (format!("{good}.x"), Fault::Form),
        (format!("{}..{}", parts[0], parts[2]), Fault::Form.min_issuer()),
        (format!("{good}="), Fault::Signature),
        (good.replace('.', "=."), Fault::Form),
        (
            format!(
                "{}.{}.{}",
                parts[0],
                b64(with(claims(), json!({ "sub": "root" })).to_string()),
                parts[2]
            ),
            Fault::Signature,
        ),
        (format!("{}.{}.{}A", parts[0], parts[1], parts[2]), Fault::Signature),
        (String::new(), Fault::Form),
        (
            format!("{}.{}.{}", b64(r#"{"alg":"none","alg":"RS256","kid":"r1"}"#), parts[1], parts[2]),
            Fault::Form,
        ),
        ("x".repeat(TOKEN_BYTES_MAX + 1), Fault::Form),
    ];
    for (token, expected) in cases {
        assert_eq!(check(&issuer(), &token), Err(expected), "{token}");
    }
}

impl Fault {
    /// An empty payload is valid base64 and names no issuer.
    fn min_issuer(self) -> Self {
        assert_eq!(self, Self::Form);
        Self::Issuer
    }
}

#[test]
fn claims_that_are_missing_or_wrong() {
    let skew = SKEW_DEFAULT.as_secs();
    let cases = [
        (json!({}), Ok(())),
        (json!({ "aud": ["x", "orders"] }), Ok(())),
        (json!({ "aud": "other" }), Err(Fault::Audience)),
        (json!({ "aud": null }), Err(Fault::Audience)),
        (json!({ "aud": ["order", "ordersx"] }), Err(Fault::Audience)),
        (json!({ "iss": "https://id.t/" }), Err(Fault::Issuer)),
        (json!({ "iss": "https://evil.t" }), Err(Fault::Issuer)),
        (json!({ "iss": null }), Err(Fault::Issuer)),
        (json!({ "iss": ["https://id.t"] }), Err(Fault::Issuer)),
        (json!({ "exp": null }), Err(Fault::Claims)),
        (json!({ "exp": "1" }), Err(Fault::Claims)),
        (json!({ "exp": NOW_S - skew + 1 }), Ok(())),
        (json!({ "exp": NOW_S - skew }), Err(Fault::Ended)),
        (json!({ "exp": -1e30 }), Err(Fault::Claims)),
        (json!({ "exp": 1e300 }), Ok(())),
        (json!({ "exp": NOW_S as f64 + 0.5 }), Ok(())),
        (json!({ "nbf": NOW_S + skew }), Ok(())),
        (json!({ "nbf": NOW_S + skew + 1 }), Err(Fault::NotYet)),
        (json!({ "iat": NOW_S + skew + 1 }), Err(Fault::NotYet)),
        (json!({ "iat": NOW_S - 5 }), Ok(())),
        (json!({ "sub": "a\r\nx-admin: 1" }), Err(Fault::Claims)),
        (json!({ "sub": "x".repeat(super::NAME_BYTES_MAX) }), Ok(())),
        (json!({ "sub": "x".repeat(super::NAME_BYTES_MAX + 1) }), Err(Fault::Claims)),
        (json!({ "sub": 7 }), Err(Fault::Claims)),
        (json!({ "scope": "x".repeat(super::SCOPES_BYTES_MAX + 1) }), Err(Fault::Claims)),
    ];
    for (changes, expected) in cases {
        let token = rs256(json!({}), &with(claims(), changes.clone()));
        assert_eq!(check(&issuer(), &token).map(|_| ()), expected, "{changes}");
    }
}

#[test]
fn types_and_algorithms_are_the_issuers() {
    let typed = Issuer { typ: Some("at+jwt".into()), ..issuer() };
    for (typ, expected) in [
        (json!("at+jwt"), Ok(())),
        (json!("application/AT+JWT"), Ok(())),
        (json!("JWT"), Err(Fault::Type)),
        (json!(null), Err(Fault::Type)),
    ] {
        let header = if typ.is_null() { json!({}) } else { json!({ "typ": typ }) };
        assert_eq!(check(&typed, &rs256(header, &claims())).map(|_| ()), expected, "{typ}");
    }
    let narrow = Issuer { algorithms: vec!["ES256".into()], ..issuer() };
    assert_eq!(check(&narrow, &rs256(json!({}), &claims())), Err(Fault::Algorithm));
}

#[test]
fn the_cache_forgets_with_time_issuer_and_room() {
    let keys = IssuerKeys::new(&issuer()).expect("good");
    let other = IssuerKeys::new(&Issuer { audiences: vec!["else".into()], ..issuer() }).expect("good");
    let mut cache = JwtCache::new(1);
    let token = rs256(json!({}), &claims());
    let until = NOW_S + 100 + SKEW_DEFAULT.as_secs();
    let mut ask = |token: &str, keys: &IssuerKeys, now| {
        let place = cache.check(token.as_bytes(), std::iter::once(keys), now);
        place.map(|place| cache.get(place).map(|token| token.subject.to_string()))
    };
    assert_eq!(ask(&token, &keys, NOW_S), Ok(Some("ann".to_owned())));
    assert_eq!(ask(&token, &keys, until - 1), Ok(Some("ann".to_owned())));
    assert_eq!(ask(&token, &keys, until), Err(Fault::Ended));
    assert_eq!(ask(&token, &keys, NOW_S), Ok(Some("ann".to_owned())));
    assert_eq!(
        ask(&token, &other, NOW_S),
        Err(Fault::Audience),
        "what was good under other rules is checked again"
    );
    let none = cache.check(token.as_bytes(), std::iter::empty::<&IssuerKeys>(), NOW_S);
    assert_eq!(none, Err(Fault::Issuer));
    let padded = with(claims(), json!({ "pad": "x".repeat(KEPT_BYTES_MAX) }));
    let long = rs256(json!({}), &padded);
    let place = cache.check(long.as_bytes(), std::iter::once(&keys), NOW_S).expect("good, only not kept");
    assert!(cache.get(place).is_some());
}

fn protected(app: AppRule) -> Bench {
    let jwt = AuthMethod::Jwt { issuers: vec![Id(30)], app };
    let key = AuthMethod::ApiKey { places: KeyPlace::defaults() };
    let mut route = Route { auth: Auth::Any(vec![key, jwt]), ..open_route(50, "/a") };
    route.authorize.scopes = vec!["orders.read".into()];
    let mut spec = spec(vec![route]);
    spec.issuers = vec![issuer()];
    let kind = CredentialKind::Jwt { issuer: Id(30), subject: "ann".into() };
    let client = CredentialKind::Jwt { issuer: Id(30), subject: "robot".into() };
    spec.callers.credentials = vec![credential(70, APP, kind), credential(71, OTHER_APP, client)];
    Bench::new(spec)
}

#[test]
fn a_token_belongs_to_an_app_and_brings_its_scopes() {
    let mut bench = protected(AppRule::Required);
    let bearer = |token: &str| format!("GET /a HTTP/1.1\nHost: x\nAuthorization: Bearer {token}");
    let cases = [
        (json!({}), Ok(Some(APP))),
        (json!({ "sub": "nobody" }), Err(Code::UnknownApp)),
        (json!({ "sub": "nobody", "client_id": "robot" }), Ok(Some(OTHER_APP))),
        (json!({ "sub": null, "azp": "robot" }), Ok(Some(OTHER_APP))),
        (json!({ "scope": "orders.write" }), Err(Code::ForbiddenScope)),
        (json!({ "scope": "orders.readx xorders.read" }), Err(Code::ForbiddenScope)),
        (json!({ "scope": null, "scp": ["a", "orders.read"] }), Ok(Some(APP))),
        (json!({ "exp": 1 }), Err(Code::ExpiredCredential)),
        (json!({ "aud": "other" }), Err(Code::InvalidCredential)),
    ];
    for (changes, expected) in cases {
        let token = rs256(json!({}), &with(claims(), changes.clone()));
        let got = bench.code(&bearer(&token)).map(|_| bench.plan.caller.app);
        assert_eq!(got, expected, "{changes}");
    }
    let rotated = rs256(json!({ "kid": "r2" }), &claims());
    assert_eq!(bench.code(&bearer(&rotated)), Err(Code::InvalidCredential));
    assert!(bench.plan.unknown_key, "time to look for new keys");
    assert_eq!(bench.code(&bearer("junk")), Err(Code::InvalidCredential));
    assert!(!bench.plan.unknown_key);
    assert!(bench.response().contains("www-authenticate: Bearer realm=\"orders\", error=\"invalid_token\""));
    let scopes = rs256(json!({}), &with(claims(), json!({ "scope": "" })));
    assert_eq!(bench.code(&bearer(&scopes)), Err(Code::ForbiddenScope));
    assert!(bench.response().contains("error=\"insufficient_scope\", scope=\"orders.read\""));
    let good = rs256(json!({}), &claims());
    let twice = format!("{}\nAuthorization: Bearer {good}", bearer(&good));
    assert_eq!(bench.code(&twice), Err(Code::AmbiguousCredential));
    let beside = format!("{}\nx-api-key: an-unknown-api-key-1", bearer(&good));
    assert_eq!(bench.code(&beside), Err(Code::InvalidCredential), "whatever else is there");
    let mut optional = protected(AppRule::Optional);
    let stranger = rs256(json!({}), &with(claims(), json!({ "sub": "nobody" })));
    assert_eq!(optional.code(&bearer(&stranger)), Ok(0));
    assert_eq!((optional.plan.caller.app, optional.plan.caller.subject.as_str()), (None, "nobody"));
}

#[test]
fn a_revoked_token_is_refused_from_the_cache_too() {
    use crate::callers::{Change, Delta, Revocation};
    let mut bench = protected(AppRule::Required);
    let token = rs256(json!({}), &with(claims(), json!({ "jti": "t-1" })));
    let head = format!("GET /a HTTP/1.1\nHost: x\nAuthorization: Bearer {token}");
    assert_eq!(bench.code(&head), Ok(0));
    let revocation = Revocation { token: Revocation::token(Id(30), "t-1"), until_unix_s: NOW_S + 1000 };
    let delta = Delta { sequence: 2, change: Change::Revoke(revocation) };
    bench.gate.callers.apply(&delta).expect("fits");
    assert_eq!(bench.code(&head), Err(Code::RevokedCredential));
}

// === signed requests ===

const SECRET: &[u8] = b"sixteen bytes or more";

struct Signed<'s> {
    method: &'s str,
    target: &'s str,
    host: &'s str,
    date: u64,
    nonce: &'s str,
    digest: &'s str,
}

impl Signed<'_> {
    fn authorization(&self) -> String {
        let Self { method, target, host, date, nonce, digest } = self;
        let text = format!("penstock-hmac-sha256\n{method}\n{host}\n{target}\n{date}\n{nonce}\n{digest}\n");
        let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET), text.as_bytes());
        let nonce = if nonce.is_empty() { String::new() } else { format!(", nonce=\"{nonce}\"") };
        let signature = STANDARD.encode(signature);
        format!("Penstock-HMAC-SHA256 key=\"k1\", date=\"{date}\"{nonce}, signature=\"{signature}\"")
    }
}

#[test]
fn signed_requests_count_once_within_the_window() {
    let mut spec = spec(vec![Route { auth: Auth::Any(vec![AuthMethod::Hmac]), ..open_route(50, "/a/*") }]);
    let kind = CredentialKind::Hmac { key_id: "k1".into(), secret: SECRET.to_vec() };
    spec.callers.credentials = vec![credential(70, APP, kind)];
    let mut bench = Bench::new(spec);
    let body = digest::digest(&digest::SHA256, b"hello");
    let body_digest = format!("sha-256=:{}:", STANDARD.encode(body));
    let of =
        |date, nonce| Signed { method: "GET", target: "/a/b?c=d", host: "api.t", date, nonce, digest: "" };
    let get = |target: &str, host: &str, signed: &Signed<'_>| {
        format!("GET {target} HTTP/1.1\nHost: {host}\nAuthorization: {}", signed.authorization())
    };
    let post = |signed: &Signed<'_>, fields: &str| {
        format!("POST /a/b?c=d HTTP/1.1\nHost: api.t\nAuthorization: {}\n{fields}", signed.authorization())
    };
    let bodied = |nonce, digest| Signed { method: "POST", digest, ..of(NOW_S, nonce) };
    let with_digest = format!("Content-Length: 5\nContent-Digest: {body_digest}");
    let cases = [
        (get("/a/b?c=d", "api.t", &of(NOW_S, "")), Ok(0)),
        (get("/a/b?c=d", "api.t", &of(NOW_S, "")), Err(Code::InvalidCredential)),
        (get("/a/b?c=d", "API.t:443", &of(NOW_S, "2")), Ok(0)),
        (get("/a/b?c=e", "api.t", &of(NOW_S, "3")), Err(Code::InvalidCredential)),
        (get("/a/./b?c=d", "api.t", &of(NOW_S, "3")), Err(Code::InvalidCredential)),
        (get("/a/b?c=d", "other.t", &of(NOW_S, "3")), Err(Code::InvalidCredential)),
        (get("/a/b?c=d", "api.t", &of(NOW_S - WINDOW_S, "")), Ok(0)),
        (get("/a/b?c=d", "api.t", &of(NOW_S + WINDOW_S, "")), Ok(0)),
        (get("/a/b?c=d", "api.t", &of(NOW_S - WINDOW_S - 1, "")), Err(Code::ExpiredCredential)),
        (get("/a/b?c=d", "api.t", &of(NOW_S + WINDOW_S + 1, "")), Err(Code::ExpiredCredential)),
        (
            get("/a/b?c=d", "api.t", &of(NOW_S, "4")).replace("nonce=\"4\"", "nonce=\"5\""),
            Err(Code::InvalidCredential),
        ),
        (get("/a/b?c=d", "api.t", &of(NOW_S, "6")).replace("k1", "k2"), Err(Code::InvalidCredential)),
        (get("/a/b?c=d", "api.t", &of(NOW_S, "7")).replace("GET", "PUT"), Err(Code::InvalidCredential)),
        (post(&bodied("8", &body_digest), &with_digest), Ok(0)),
        (post(&bodied("9", ""), &with_digest), Err(Code::InvalidCredential)),
        (post(&bodied("10", ""), "Content-Length: 5"), Err(Code::InvalidCredential)),
        (post(&bodied("11", ""), "Transfer-Encoding: chunked"), Err(Code::InvalidCredential)),
        (post(&bodied("12", ""), "Content-Length: 0"), Ok(0)),
        (
            post(&bodied("13", "md5=:AA==:"), "Content-Length: 5\nContent-Digest: md5=:AA==:"),
            Err(Code::InvalidCredential),
        ),
    ];
    for (head, expected) in cases {
        assert_eq!(bench.code(&head), expected, "{head}");
    }
    let crate::Verdict::Forward(forward) = bench.send(&post(&bodied("14", &body_digest), &with_digest))
    else {
        panic!("good")
    };
    assert_eq!(forward.body_digest.as_ref().map(<[u8; 32]>::as_slice), Some(body.as_ref()));
}

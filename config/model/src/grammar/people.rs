//! Who owns and who calls: tenants, teams, plans, apps with their credentials, issuers of tokens.

use penstock_gate::cidr::Cidr;

use super::limit::Limit;
use super::policy::{Auth, Authorize, Body, Cors, HeaderEdits, Ip, TimeoutsOverride};
use crate::place::At;
use crate::read::object::{choice, object};
use crate::read::text::{FilePath, KeyHash, Name, Scope, Secret, Text};
use crate::read::units::{Moment, Span};

object! {
    /// An independent owner of services and apps. Its policies hold for all of its routes.
    Tenant {
        /// Name.
        required name: Name,
        /// Who may call.
        optional auth: Auth = "not said here",
        /// What a caller must be allowed.
        optional authorize: Authorize = "not said here",
        /// From where.
        optional ip: Ip = "from anywhere",
        /// Cross-origin rules.
        optional cors: Cors = "not said here",
        /// Patience towards upstreams.
        optional timeouts: TimeoutsOverride = "not said here",
        /// Bounds of request bodies.
        optional body: Body = "not said here",
        /// Edits of headers.
        optional headers: HeaderEdits = "not said here",
        /// Limits over all requests to its routes.
        default limits: Vec<At<Limit>> = "[]",
    }
    later {
        "quotas": "write limits",
        "security_policy": "tenant floors come later: write auth and ip",
        "status": "tenants are suspended in the console, which comes later",
        "identity": "the authorization server comes later",
        "portal": "the portal comes later",
    }
}

object! {
    /// People of a tenant who own services and apps.
    Team {
        /// Name, of its own in all files.
        required name: Name,
        /// The tenant it belongs to.
        default tenant: Name = "default",
        /// Limits over all requests to its services.
        default limits: Vec<At<Limit>> = "[]",
    }
    later {
        "members": "people sign in to the console, which comes later",
    }
}

object! {
    /// What a subscription allows. Its limits are counted for each subscription on its own.
    Plan {
        /// Name, of its own in all files.
        required name: Name,
        /// Its limits.
        default limits: Vec<At<Limit>> = "[]",
    }
    later {
        "price": "prices of plans come later",
    }
}

object! {
    /// A program that calls services.
    App {
        /// Name, of its own in all files.
        required name: Name,
        /// Its team.
        default team: Name = "default",
        /// What it shows to be known.
        default credentials: Vec<At<Credential>> = "[]",
        /// What its keys may do. A JWT brings its own in `scope` or `scp`.
        default scopes: Vec<At<Scope>> = "[]",
        /// Services it may use, approved by standing in the file.
        default subscriptions: Vec<At<Subscription>> = "[]",
        /// Networks it may call from; empty: any.
        default ip_allow: Vec<At<Cidr>> = "[]",
        /// Whether it may call at all.
        default status: Status = "active",
        /// Limits over its requests.
        default limits: Vec<At<Limit>> = "[]",
    }
}

choice! {
    /// Whether something may be used.
    Status {
        /// it may
        Active = "active",
        /// it may not
        Suspended = "suspended",
    }
}

object! {
    /// Something an app shows to be known: exactly one of `api_key`, `jwt`, `basic`, `hmac`, `mtls`.
    Credential {
        /// Name for people.
        optional name: Name = "its kind and number",
        /// An API key.
        optional api_key: ApiKey = "not of this kind",
        /// Tokens of an issuer.
        optional jwt: JwtCredential = "not of this kind",
        /// User and password (RFC 7617).
        optional basic: BasicCredential = "not of this kind",
        /// Signed requests.
        optional hmac: HmacCredential = "not of this kind",
        /// A client certificate.
        optional mtls: MtlsCredential = "not of this kind",
        /// Whether it may be used.
        default status: Status = "active",
        /// When it ends.
        optional expires: Moment = "never",
        /// Scopes narrower than the app's.
        optional scopes: Vec<At<Scope>> = "the app's",
        /// Limits over its requests.
        default limits: Vec<At<Limit>> = "[]",
    }
    later {
        "oauth_client": "the authorization server comes later",
    }
}

object! {
    /// An API key: `value` or `hash`.
    ApiKey {
        /// The key itself, 16 to 128 characters; better from `${ENV}`.
        optional value: Secret = "see hash",
        /// Its keyed hash, as `penstock credential hash` prints it.
        optional hash: KeyHash = "see value",
    }
}

object! {
    /// Tokens of an issuer that belong to the app.
    JwtCredential {
        /// Name of the issuer.
        required issuer: Name,
        /// Exact value of `sub` (else of `client_id`, else of `azp`).
        required subject: Text,
    }
}

object! {
    /// User and password (RFC 7617): `password` or `hash`.
    BasicCredential {
        /// User name, without `:`.
        required user: Text,
        /// The password, made by a machine; better from `${ENV}`.
        optional password: Secret = "see hash",
        /// Keyed hash of `user:password`.
        optional hash: KeyHash = "see password",
    }
}

object! {
    /// A shared secret that requests are signed with.
    HmacCredential {
        /// Public name of the key that signatures state.
        required key_id: Name,
        /// The secret, 16 to 128 characters; better from `${ENV}`.
        required secret: Secret,
    }
}

object! {
    /// What of a client certificate is compared: exactly one of these.
    MtlsCredential {
        /// Distinguished name of the subject, in the form of RFC 4514.
        optional subject: Text = "not compared",
        /// A DNS name among the subject alternative names.
        optional san_dns: Text = "not compared",
        /// A URI among the subject alternative names (SPIFFE ids).
        optional san_uri: Text = "not compared",
        /// An e-mail address among the subject alternative names.
        optional san_email: Text = "not compared",
        /// SHA-256 of the certificate in DER form, 64 hexadecimal digits in lower case.
        optional fingerprint: Fingerprint = "not compared",
    }
}

/// SHA-256 of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 32]);

impl crate::read::Word for Fingerprint {
    const WHAT: &'static str = "a SHA-256 fingerprint";
    const FORM: &'static str = "64 hexadecimal digits in lower case, without colons";
    const PATTERN: &'static str = r"^([0-9a-f]{64}|.*\$\{.*)$";

    fn parse(text: &str) -> Result<Self, crate::read::Fault> {
        crate::read::text::parse_hex(text).map(Fingerprint).ok_or_else(crate::read::Fault::plain)
    }

    fn show(&self) -> String {
        self.0.iter().map(|b| format!("{b:02x}")).collect()
    }
}

object! {
    /// Leave to use a service.
    Subscription {
        /// The service.
        required service: Name,
        /// The plan.
        optional plan: Name = "no plan",
        /// Whether it counts.
        default status: Status = "active",
        /// When it ends.
        optional expires: Moment = "never",
    }
}

object! {
    /// Somebody who may sign JWTs (RFC 7519).
    Issuer {
        /// Name by which routes and credentials refer to it.
        required name: Name,
        /// Exact value of the claim `iss`.
        required issuer: Text,
        /// Where its keys come from.
        required jwks: Jwks,
        /// Values of which `aud` must hold at least one; empty: not looked at.
        default audiences: Vec<At<Text>> = "[]",
        /// Signature algorithms that are accepted.
        required algorithms: Vec<At<JwtAlgorithm>>,
        /// Clock difference that is forgiven.
        default skew: Span<0, 300_000> = "30s",
        /// Media type asked of the header `typ`, as `at+jwt` (RFC 9068).
        optional typ: Text = "absent, JWT and at+jwt are accepted",
    }
    later {
        "discovery": "keys come from a file: jwks: { file: ... }",
        "introspection": "token introspection (RFC 7662) comes later",
    }
}

object! {
    /// A key set (RFC 7517).
    Jwks {
        /// JSON file of the key set.
        required file: FilePath,
    }
    later {
        "url": "key sets come from files in this build: write file:",
        "discovery": "key sets come from files in this build: write file:",
    }
}

choice! {
    /// Signature algorithm (RFC 7518). Never `none`, never a shared secret.
    JwtAlgorithm {
        /// RSA PKCS#1 v1.5, SHA-256
        Rs256 = "RS256",
        /// RSA PKCS#1 v1.5, SHA-384
        Rs384 = "RS384",
        /// RSA PKCS#1 v1.5, SHA-512
        Rs512 = "RS512",
        /// RSA PSS, SHA-256
        Ps256 = "PS256",
        /// RSA PSS, SHA-384
        Ps384 = "PS384",
        /// RSA PSS, SHA-512
        Ps512 = "PS512",
        /// ECDSA P-256
        Es256 = "ES256",
        /// ECDSA P-384
        Es384 = "ES384",
        /// Ed25519
        EdDsa = "EdDSA",
    }
    later {
        "none": "unsigned tokens are never accepted",
        "HS256": "shared secrets are never accepted for tokens: use RS256 or ES256",
        "HS384": "shared secrets are never accepted for tokens: use RS256 or ES256",
        "HS512": "shared secrets are never accepted for tokens: use RS256 or ES256",
    }
}

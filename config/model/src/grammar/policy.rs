//! Policies that stand on tenant, service, version and route: who, from where, what may be sent.

use crate::document::{Node, NodeKind};
use crate::place::{At, Pos};
use crate::read::object::{choice, object};
use crate::read::text::{HeaderName, Method, Name, Origin, ParameterName, Scope, Template};
use crate::read::units::{RateBound, SizeBound, Span};
use crate::read::{Cx, Effective, Pairs, Read, Shape, wrong_kind};
use penstock_gate::cidr::Cidr;

/// Who may call.
#[derive(Debug, Clone)]
pub enum Auth {
    /// Anybody.
    None,
    /// Whoever shows one of these.
    Any(Vec<At<Way>>),
    /// Whoever shows all of these.
    All(Vec<At<Way>>),
}

/// A way of being known.
#[derive(Debug, Clone)]
pub enum Way {
    /// An API key, read from these places (empty: the usual ones).
    ApiKey(Vec<KeyPlace>),
    /// `Authorization: Basic`.
    Basic,
    /// A signed token of one of these issuers (empty: all).
    Jwt {
        /// Names of issuers.
        issuers: Vec<At<Name>>,
        /// Whether the token must belong to an app.
        app: AppRule,
    },
    /// A signed request.
    Hmac,
    /// A client certificate.
    Mtls,
}

/// A place an API key is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyPlace {
    /// A header.
    Header(String),
    /// A query parameter.
    Query(String),
    /// A cookie.
    Cookie(String),
}

const METHODS: &[(&str, &str)] = &[
    ("api_key", "an API key in `x-api-key`, or `Authorization: Bearer psk_...`"),
    ("jwt", "a token of any of the issuers"),
    ("basic", "`Authorization: Basic` (RFC 7617)"),
    ("hmac", "a signed request"),
    ("mtls", "a client certificate"),
];

const METHODS_LATER: &[(&str, &str)] = &[
    ("oauth2", "write jwt; token introspection comes later"),
    ("dpop", "DPoP (RFC 9449) comes later"),
    ("mfa", "step-up comes later"),
];

object! {
    /// Who may call: the word `none`, one of the two keys here, or one method by itself.
    AuthRule {
        /// Whoever shows one of these. One that is shown and invalid is 401, whatever else is there.
        optional any: Vec<At<Way>> = "see all",
        /// Whoever shows all of these, for the same app.
        optional all: Vec<At<Way>> = "see any",
    }
}

object! {
    /// A method with its options: exactly one of these keys; without options the word alone will do.
    AuthMethod {
        /// An API key.
        optional api_key: KeyPlaces = "not this method",
        /// A signed token.
        optional jwt: JwtRule = "not this method",
    }
    later {
        "oauth2": "write jwt; token introspection comes later",
        "dpop": "DPoP (RFC 9449) comes later",
    }
}

object! {
    /// Where an API key is read from; `x-api-key` and `Authorization: Bearer psk_...` if nothing is written.
    KeyPlaces {
        /// A header.
        optional header: HeaderName = "not read from a header of your choice",
        /// A query parameter; it is taken out before the query goes upstream.
        optional query: ParameterName = "not read from the query",
        /// A cookie.
        optional cookie: ParameterName = "not read from a cookie",
    }
}

object! {
    /// Which tokens are accepted.
    JwtRule {
        /// Names of issuers; empty: all that are configured.
        default issuers: Vec<At<Name>> = "[]",
        /// Whether a token must belong to a known app; without: 403 `unknown_app`.
        default app: AppRule = "required",
    }
}

choice! {
    /// Whether a valid token must belong to a known app.
    AppRule {
        /// it must
        Required = "required",
        /// it may come from anybody whom the issuer knows
        Optional = "optional",
    }
}

fn method_word(word: &str) -> Option<Way> {
    match word {
        "api_key" => Some(Way::ApiKey(Vec::new())),
        "jwt" => Some(Way::Jwt { issuers: Vec::new(), app: AppRule::Required }),
        "basic" => Some(Way::Basic),
        "hmac" => Some(Way::Hmac),
        "mtls" => Some(Way::Mtls),
        _ => None,
    }
}

impl Read for Way {
    fn shape() -> Shape {
        Shape::Either(vec![Shape::Choice(METHODS), AuthMethod::shape()])
    }

    fn read(node: &Node, cx: &mut Cx<'_>) -> Option<Self> {
        match &node.kind {
            NodeKind::Scalar(scalar) => method_word(&scalar.text).or_else(|| {
                let known: Vec<&str> = METHODS.iter().map(|(word, _)| *word).collect();
                let fault = crate::read::object::unknown_word(&scalar.raw, &known, METHODS_LATER);
                cx.problems.add(node.pos, fault.message.unwrap_or_default(), fault.hint.unwrap_or_default());
                None
            }),
            NodeKind::Map(_) => {
                let rule = AuthMethod::read(node, cx)?;
                match (rule.api_key, rule.jwt) {
                    (Some(places), None) => Some(Way::ApiKey(key_places(places.value))),
                    (None, Some(jwt)) => {
                        Some(Way::Jwt { issuers: jwt.value.issuers.value, app: jwt.value.app.value })
                    }
                    (Some(_), Some(jwt)) => {
                        cx.problems.add(
                            jwt.pos,
                            "two methods in one item",
                            "write one item each: [ api_key, jwt ]",
                        );
                        None
                    }
                    (None, None) => {
                        let empty = matches!(&node.kind, NodeKind::Map(entries) if entries.is_empty());
                        if empty {
                            cx.problems.add(
                                node.pos,
                                "no method in this item",
                                "api_key, jwt, basic, hmac or mtls",
                            );
                        }
                        None
                    }
                }
            }
            _ => wrong_kind(node, "a method of authentication", "api_key, jwt, basic, hmac or mtls", cx),
        }
    }

    fn explain(&self, path: &str, pos: Pos, out: &mut Vec<Effective>) {
        out.push(Effective { path: path.to_owned(), value: self.words(), pos });
    }
}

fn key_places(places: KeyPlaces) -> Vec<KeyPlace> {
    let header = places.header.map(|name| KeyPlace::Header(name.value.0));
    let query = places.query.map(|name| KeyPlace::Query(name.value.0));
    let cookie = places.cookie.map(|name| KeyPlace::Cookie(name.value.0));
    [header, query, cookie].into_iter().flatten().collect()
}

impl Way {
    fn words(&self) -> String {
        match self {
            Way::ApiKey(places) if places.is_empty() => "api_key".to_owned(),
            Way::ApiKey(places) => {
                let places: Vec<String> = places
                    .iter()
                    .map(|place| match place {
                        KeyPlace::Header(name) => format!("header {name}"),
                        KeyPlace::Query(name) => format!("query {name}"),
                        KeyPlace::Cookie(name) => format!("cookie {name}"),
                    })
                    .collect();
                format!("api_key ({})", places.join(", "))
            }
            Way::Jwt { issuers, .. } if issuers.is_empty() => "jwt (all issuers)".to_owned(),
            Way::Jwt { issuers, .. } => {
                let names: Vec<&str> = issuers.iter().map(|name| &*name.value.0).collect();
                format!("jwt ({})", names.join(", "))
            }
            Way::Basic => "basic".to_owned(),
            Way::Hmac => "hmac".to_owned(),
            Way::Mtls => "mtls".to_owned(),
        }
    }
}

impl Auth {
    /// In a few words, for the listing of what is in force.
    pub(crate) fn words(&self) -> String {
        let list = |methods: &[At<Way>]| {
            methods.iter().map(|method| method.value.words()).collect::<Vec<_>>().join(", ")
        };
        match self {
            Auth::None => "none".to_owned(),
            Auth::Any(methods) => format!("any of {}", list(methods)),
            Auth::All(methods) => format!("all of {}", list(methods)),
        }
    }
}

impl Read for Auth {
    fn shape() -> Shape {
        Shape::Either(vec![
            Shape::Choice(&[("none", "anybody; must be written out")]),
            AuthRule::shape(),
            Way::shape(),
        ])
    }

    fn read(node: &Node, cx: &mut Cx<'_>) -> Option<Self> {
        let hint = "none, api_key, jwt, { any: [api_key, jwt] } or { all: [...] }";
        match &node.kind {
            NodeKind::Scalar(scalar) if scalar.text == "none" => Some(Auth::None),
            NodeKind::Map(entries)
                if !entries.iter().any(|(key, _)| matches!(key.text.as_str(), "api_key" | "jwt")) =>
            {
                let rule = AuthRule::read(node, cx)?;
                match (rule.any, rule.all) {
                    (Some(methods), None) => methods_of(methods, cx).map(Auth::Any),
                    (None, Some(methods)) => methods_of(methods, cx).map(Auth::All),
                    (Some(_), Some(all)) => {
                        cx.problems.add(all.pos, "`any` and `all` exclude each other", "write one of them");
                        None
                    }
                    (None, None) => {
                        if entries.is_empty() {
                            cx.problems.add(node.pos, "says nothing about who may call", hint);
                        }
                        None
                    }
                }
            }
            NodeKind::Scalar(_) | NodeKind::Map(_) => {
                At::<Way>::read(node, cx).map(|method| Auth::Any(vec![method]))
            }
            NodeKind::List(_) | NodeKind::Empty | NodeKind::Broken(_) => {
                wrong_kind(node, "who may call", hint, cx)
            }
        }
    }

    fn explain(&self, path: &str, pos: Pos, out: &mut Vec<Effective>) {
        out.push(Effective { path: path.to_owned(), value: self.words(), pos });
    }
}

fn methods_of(methods: At<Vec<At<Way>>>, cx: &mut Cx<'_>) -> Option<Vec<At<Way>>> {
    if methods.value.is_empty() && !cx.wounded.contains(&methods.pos) {
        cx.problems.add(methods.pos, "an empty list lets nobody in", "write none if anybody may call");
    }
    let mut kinds: Vec<std::mem::Discriminant<Way>> = Vec::new();
    for method in &methods.value {
        let kind = std::mem::discriminant(&method.value);
        if kinds.contains(&kind) {
            cx.problems.add(method.pos, "a method stands twice", "put issuers or places into one item");
            return None;
        }
        kinds.push(kind);
    }
    (!methods.value.is_empty()).then_some(methods.value)
}

object! {
    /// What a caller must be allowed.
    Authorize {
        /// Scopes, all of them.
        default scopes: Vec<At<Scope>> = "[]",
        /// Whether the app must have subscribed to the service.
        default subscription: SubscriptionRule = "none",
    }
}

choice! {
    /// Whether a subscription is needed.
    SubscriptionRule {
        /// no
        None = "none",
        /// yes
        Required = "required",
    }
}

object! {
    /// Networks that may call; `deny` goes before `allow`.
    Ip {
        /// Only these; empty: everybody. The nearest level wins.
        default allow: Vec<At<Cidr>> = "[]",
        /// Not these. Lists of all levels add up.
        default deny: Vec<At<Cidr>> = "[]",
    }
}

object! {
    /// Cross-origin rules (CORS protocol of the Fetch standard).
    Cors {
        /// Origins, as `https://app.example.com`, `https://*.example.com` or `"*"`.
        required origins: Vec<At<Origin>>,
        /// Methods allowed; empty: the route's.
        default methods: Vec<At<Method>> = "[]",
        /// Request headers allowed; empty: those that are asked for.
        default headers: Vec<At<HeaderName>> = "[]",
        /// Answer headers that scripts may read.
        default expose: Vec<At<HeaderName>> = "[]",
        /// Cookies and credentials; not with origin `"*"`.
        default credentials: bool = "false",
        /// How long a preflight answer may be kept.
        default max_age: Span<0, 86_400_000> = "600s",
    }
}

object! {
    /// Patience towards an upstream, instead of the upstream's own.
    TimeoutsOverride {
        /// For a connection, TLS included.
        optional connect: Span<1, 600_000> = "the upstream's",
        /// From the request's last byte to the answer's first.
        optional first_byte: Span<1, 86_400_000> = "the upstream's",
        /// Between two bytes of a body, either way.
        optional idle: Span<1, 86_400_000> = "the upstream's",
        /// For everything.
        optional total: Span<1, 86_400_000> = "the upstream's",
    }
}

object! {
    /// Bounds of a request body.
    Body {
        /// Bytes; more is 413. A signed body is held whole, so `unlimited` means 10 MiB there.
        default max: SizeBound = "10MiB",
        /// Slower senders are given up (408).
        default min_rate: RateBound = "1KiB/s",
    }
}

object! {
    /// Edits of headers, both ways.
    HeaderEdits {
        /// On the way up.
        default request: Edits = "{}",
        /// On the way back.
        default response: Edits = "{}",
    }
}

object! {
    /// Edits of headers one way: first `remove`, then `set`, then `add`.
    Edits {
        /// Headers that replace those of the same name.
        default set: Pairs<HeaderName, Template> = "{}",
        /// Headers that are sent beside those of the same name.
        default add: Pairs<HeaderName, Template> = "{}",
        /// Headers that are taken out.
        default remove: Vec<At<HeaderName>> = "[]",
    }
}

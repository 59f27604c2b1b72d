//! Cross-origin rules (the CORS protocol of the Fetch standard): which answers scripts of other origins may
//! read, and the gateway's own answers to preflights.
//!
//! A request from an origin that is not allowed is not refused (same-origin requests send `Origin` too): its
//! answer merely carries no leave to read it. A preflight from such an origin is refused.

use crate::request::Request;
use crate::router::Once;
use crate::spec::Cors;
use penstock_http::{FieldId, FieldSet};

/// Fields of an upstream's answer that the gateway's own replace.
pub(crate) const ANSWER_FIELDS: FieldSet = FieldSet::of(&[
    FieldId::AccessControlAllowOrigin,
    FieldId::AccessControlAllowMethods,
    FieldId::AccessControlAllowHeaders,
    FieldId::AccessControlAllowCredentials,
    FieldId::AccessControlExposeHeaders,
    FieldId::AccessControlMaxAge,
]);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Origin {
    Any,
    Exact(Box<str>),
    /// One or more labels between the two.
    Wildcard {
        scheme: Box<str>,
        suffix: Box<str>,
    },
}

/// Cross-origin rules, compiled.
#[derive(Debug)]
pub(crate) struct CorsRule {
    origins: Vec<Origin>,
    /// Empty: the method that is asked for.
    methods: Vec<u8>,
    method_list: Vec<Box<str>>,
    /// Empty: the fields that are asked for.
    headers: Vec<u8>,
    header_list: Vec<Box<str>>,
    expose: Vec<u8>,
    credentials: bool,
    age_max_s: u64,
}

/// What a preflight asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Preflight<'a> {
    pub(crate) origin: &'a [u8],
    pub(crate) method: &'a [u8],
    headers: Option<&'a [u8]>,
}

impl<'a> Preflight<'a> {
    /// The preflight that a request is, if it is one: OPTIONS with an origin and a method that is asked for.
    pub(crate) fn of(request: &Request<'a>) -> Option<Self> {
        if request.head.method != penstock_http::Method::Options {
            return None;
        }
        let (Once::One(origin), Once::One(method)) =
            (request.known(FieldId::Origin), request.known(FieldId::AccessControlRequestMethod))
        else {
            return None;
        };
        let headers = match request.known(FieldId::AccessControlRequestHeaders) {
            Once::Absent => None,
            Once::One(value) => Some(value),
            Once::Repeated => return None,
        };
        Some(Self { origin, method, headers })
    }
}

impl CorsRule {
    /// Reads the rules; `route_methods` stand in where no methods are written.
    pub(crate) fn new(cors: &Cors, route_methods: &[String]) -> Result<Self, Vec<(String, String)>> {
        let mut errors = Vec::new();
        let mut origins = Vec::new();
        for (index, text) in cors.origins.iter().enumerate() {
            match Origin::parse(text) {
                Some(origin) => origins.push(origin),
                None => errors.push((
                    format!("cors.origins[{index}]"),
                    format!("`{text}` is not `*`, `scheme://host[:port]` or `scheme://*.host[:port]` in lower case"),
                )),
            }
        }
        if cors.origins.is_empty() {
            errors.push(("cors.origins".to_owned(), "at least one origin must be allowed".to_owned()));
        }
        if cors.credentials && origins.contains(&Origin::Any) {
            let text = "credentials can't be allowed to every origin; list the origins";
            errors.push(("cors.credentials".to_owned(), text.to_owned()));
        }
        let methods = if cors.methods.is_empty() { route_methods } else { &cors.methods };
        for (field, list) in [("methods", methods), ("headers", &cors.headers), ("expose", &cors.expose)] {
            for (index, text) in list.iter().enumerate().filter(|(_, text)| !is_token(text.as_bytes())) {
                errors.push((format!("cors.{field}[{index}]"), format!("`{text}` is not a name")));
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let own = |list: &[String]| list.iter().map(|text| text.as_str().into()).collect();
        Ok(Self {
            origins,
            methods: methods.join(", ").into_bytes(),
            method_list: own(methods),
            headers: cors.headers.join(", ").into_bytes(),
            header_list: own(&cors.headers),
            expose: cors.expose.join(", ").into_bytes(),
            credentials: cors.credentials,
            age_max_s: cors.age_max.as_secs(),
        })
    }

    fn allows(&self, origin: &[u8]) -> bool {
        self.origins.iter().any(|allowed| allowed.allows(origin))
    }

    /// Appends the fields of an answer to a request from this origin. False: it may not be read.
    pub(crate) fn write_answer(&self, origin: &[u8], out: &mut Vec<u8>) -> bool {
        let allowed = self.allows(origin);
        if allowed {
            self.write_origin(origin, out);
            line(out, b"access-control-expose-headers", &self.expose);
        }
        if !self.origins.contains(&Origin::Any) {
            line(out, b"vary", b"Origin");
        }
        allowed
    }

    /// Appends the fields of the answer to a preflight. False: it is refused.
    pub(crate) fn write_preflight(&self, asked: &Preflight<'_>, out: &mut Vec<u8>) -> bool {
        let method_allowed =
            self.method_list.is_empty() || self.method_list.iter().any(|one| one.as_bytes() == asked.method);
        let header_allowed = |name: &[u8]| {
            is_token(name)
                && (self.header_list.is_empty()
                    || self.header_list.iter().any(|one| one.as_bytes().eq_ignore_ascii_case(name)))
        };
        let names = asked.headers.unwrap_or(b"");
        let headers_allowed = names
            .split(|&byte| byte == b',')
            .map(<[u8]>::trim_ascii)
            .filter(|name| !name.is_empty())
            .all(header_allowed);
        if !self.allows(asked.origin) || !method_allowed || !is_token(asked.method) || !headers_allowed {
            return false;
        }
        self.write_origin(asked.origin, out);
        line(
            out,
            b"access-control-allow-methods",
            if self.methods.is_empty() { asked.method } else { &self.methods },
        );
        line(
            out,
            b"access-control-allow-headers",
            if self.headers.is_empty() { names } else { &self.headers },
        );
        out.extend_from_slice(b"access-control-max-age: ");
        penstock_http::write::decimal(out, self.age_max_s);
        out.extend_from_slice(b"\r\n");
        line(out, b"vary", b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers");
        true
    }

    fn write_origin(&self, origin: &[u8], out: &mut Vec<u8>) {
        let any = self.origins.contains(&Origin::Any);
        line(out, b"access-control-allow-origin", if any { b"*" } else { origin });
        if self.credentials {
            line(out, b"access-control-allow-credentials", b"true");
        }
    }
}

impl Origin {
    fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::Any);
        }
        let (scheme, host) = text.split_once("://")?;
        let plain = |part: &str, signs: &[u8]| {
            let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || signs.contains(&byte);
            !part.is_empty() && part.bytes().all(good)
        };
        if !plain(scheme, b"+-.") {
            return None;
        }
        match host.strip_prefix("*.") {
            Some(rest) if plain(rest, b"-.:") => Some(Self::Wildcard {
                scheme: format!("{scheme}://").into(),
                suffix: format!(".{rest}").into(),
            }),
            Some(_) => None,
            None => plain(host, b"-.:[]").then(|| Self::Exact(text.into())),
        }
    }

    fn allows(&self, origin: &[u8]) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(text) => text.as_bytes() == origin,
            Self::Wildcard { scheme, suffix } => origin
                .strip_prefix(scheme.as_bytes())
                .and_then(|rest| rest.strip_suffix(suffix.as_bytes()))
                .is_some_and(|labels| {
                    let good =
                        |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-';
                    labels
                        .split(|&byte| byte == b'.')
                        .all(|label| !label.is_empty() && label.iter().all(good))
                }),
        }
    }
}

fn line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    if !value.is_empty() {
        out.extend_from_slice(name);
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
}

fn is_token(name: &[u8]) -> bool {
    penstock_http::FieldName::new(name).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn rule(origins: &[&str], credentials: bool) -> CorsRule {
        let cors = Cors {
            origins: origins.iter().map(|&text| text.to_owned()).collect(),
            methods: vec![],
            headers: vec!["x-a".into(), "content-type".into()],
            expose: vec!["x-b".into()],
            credentials,
            age_max: Duration::from_secs(60),
        };
        CorsRule::new(&cors, &["GET".into(), "PUT".into()]).expect("good")
    }

    #[test]
    fn origins_are_compared_exactly_or_by_whole_labels() {
        let cases = [
            ("*", "https://anything", true),
            ("https://app.example.com", "https://app.example.com", true),
            ("https://app.example.com", "http://app.example.com", false),
            ("https://app.example.com", "https://app.example.com:8443", false),
            ("https://app.example.com", "https://app.example.com.evil", false),
            ("https://app.example.com", "null", false),
            ("https://*.example.com", "https://a.example.com", true),
            ("https://*.example.com", "https://a.b.example.com", true),
            ("https://*.example.com", "https://example.com", false),
            ("https://*.example.com", "https://.example.com", false),
            ("https://*.example.com", "https://evil.com/.example.com", false),
            ("https://*.example.com", "https://evil.com:1.example.com", false),
            ("https://*.example.com", "https://aexample.com", false),
            ("http://*.local:8080", "http://a.local:8080", true),
        ];
        for (allowed, origin, expected) in cases {
            assert_eq!(rule(&[allowed], false).allows(origin.as_bytes()), expected, "{allowed} {origin}");
        }
    }

    #[test]
    fn answers_carry_leave_to_read_them() {
        let ask = |rule: &CorsRule, origin: &str| {
            let mut out = Vec::new();
            let allowed = rule.write_answer(origin.as_bytes(), &mut out);
            (allowed, String::from_utf8(out).expect("text"))
        };
        let one = rule(&["https://a.t"], true);
        let leave = "access-control-allow-origin: https://a.t\r\naccess-control-allow-credentials: true\r\naccess-control-expose-headers: x-b\r\nvary: Origin\r\n";
        assert_eq!(ask(&one, "https://a.t"), (true, leave.to_owned()));
        assert_eq!(ask(&one, "https://b.t"), (false, "vary: Origin\r\n".to_owned()));
        let any = rule(&["*"], false);
        let leave = "access-control-allow-origin: *\r\naccess-control-expose-headers: x-b\r\n";
        assert_eq!(ask(&any, "https://b.t"), (true, leave.to_owned()));
    }

    #[test]
    fn preflights_are_answered_or_refused() {
        let cases: &[(&str, &str, Option<&str>, bool)] = &[
            ("https://a.t", "GET", None, true),
            ("https://a.t", "PUT", Some("X-A,content-type"), true),
            ("https://a.t", "PUT", Some(""), true),
            ("https://a.t", "DELETE", None, false),
            ("https://a.t", "PUT", Some("x-a, x-z"), false),
            ("https://b.t", "GET", None, false),
            ("https://a.t", "GET", Some("x-a\u{7f}"), false),
        ];
        let rule = rule(&["https://a.t"], false);
        for (origin, method, headers, expected) in cases {
            let asked = Preflight {
                origin: origin.as_bytes(),
                method: method.as_bytes(),
                headers: headers.map(str::as_bytes),
            };
            let mut out = Vec::new();
            assert_eq!(rule.write_preflight(&asked, &mut out), *expected, "{origin} {method} {headers:?}");
            let text = String::from_utf8(out).expect("text");
            assert_eq!(text.contains("access-control-allow-methods: GET, PUT\r\n"), *expected);
            assert_eq!(text.contains("access-control-max-age: 60\r\n"), *expected);
        }
    }

    #[test]
    fn bad_rules_are_told() {
        let cors = |origins: &[&str], credentials| Cors {
            origins: origins.iter().map(|&text| text.to_owned()).collect(),
            methods: vec![],
            headers: vec![],
            expose: vec![],
            credentials,
            age_max: Cors::AGE_MAX,
        };
        let cases = [
            (cors(&[], false), "cors.origins"),
            (cors(&["example.com"], false), "cors.origins[0]"),
            (cors(&["https://a.t/"], false), "cors.origins[0]"),
            (cors(&["https://*"], false), "cors.origins[0]"),
            (cors(&["*"], true), "cors.credentials"),
            (Cors { headers: vec!["a b".into()], ..cors(&["*"], false) }, "cors.headers[0]"),
        ];
        for (cors, field) in cases {
            let errors = CorsRule::new(&cors, &[]).expect_err(field);
            assert_eq!(errors.iter().map(|error| error.0.as_str()).collect::<Vec<_>>(), [field]);
        }
    }
}

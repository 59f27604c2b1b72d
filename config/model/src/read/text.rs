//! Texts with a form: names, header fields, methods, hosts, paths, templates, files, secrets.

use std::path::PathBuf;

use super::network::is_dns_name;
use super::{Fault, Word};
use crate::problem::quote;

/// Longest name of a resource.
pub const NAME_BYTES_MAX: usize = 64;
/// Longest text without a form of its own.
pub const TEXT_BYTES_MAX: usize = 8 * 1024;

macro_rules! text_word {
    ($(#[doc = $doc:literal])+ $name:ident, $what:literal, $form:literal, $pattern:literal, $parse:expr) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub String);

        impl Word for $name {
            const WHAT: &'static str = $what;
            const FORM: &'static str = $form;
            const PATTERN: &'static str = $pattern;

            fn parse(text: &str) -> Result<Self, Fault> {
                let parse: fn(&str) -> Result<String, Fault> = $parse;
                parse(text).map($name)
            }

            fn show(&self) -> String {
                self.0.clone()
            }
        }

        impl std::ops::Deref for $name {
            type Target = str;

            fn deref(&self) -> &str {
                &self.0
            }
        }
    };
}

fn when(good: bool, text: &str) -> Result<String, Fault> {
    if good { Ok(text.to_owned()) } else { Err(Fault::plain()) }
}

/// RFC 9110 section 5.6.2.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

text_word!(
    /// Name of a resource: up to 64 letters, digits, `.`, `_` and `-`, beginning with a letter or digit.
    Name,
    "a name",
    "letters, digits, `.`, `_` and `-`, at most 64, beginning with a letter or digit",
    "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
    |text| when(
        text.len() <= NAME_BYTES_MAX
            && text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)),
        text
    )
);

text_word!(
    /// Name of a limit: a name that may also hold `/`.
    LimitName,
    "a name of a limit",
    "letters, digits, `.`, `_`, `-` and `/`, at most 64",
    "^[A-Za-z0-9][A-Za-z0-9._/-]{0,63}$",
    |text| when(
        text.len() <= NAME_BYTES_MAX
            && text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-/".contains(&b)),
        text
    )
);

text_word!(
    /// Any text that is not empty and holds no control characters.
    Text,
    "a text",
    "a text without control characters, at most 8192 bytes",
    "",
    |text| when(
        !text.is_empty() && text.len() <= TEXT_BYTES_MAX && !text.chars().any(char::is_control),
        text
    )
);

text_word!(
    /// Name of a header field, kept in lower case (RFC 9110 section 5.1).
    HeaderName,
    "a header name",
    "letters, digits and `-`, as in x-request-source",
    "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$",
    |text| when(is_token(text) && text.len() <= 256, text).map(|text| text.to_ascii_lowercase())
);

text_word!(
    /// Name of a cookie or of a query parameter, as it stands there.
    ParameterName,
    "a parameter name",
    "letters, digits, `-` and `_`",
    "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$",
    |text| when(is_token(text) && text.len() <= 256, text)
);

text_word!(
    /// Request method, upper case (RFC 9110 section 9).
    Method,
    "a method",
    "upper case, as in GET or POST",
    "^[A-Z][A-Z-]*$",
    |text| {
        if is_token(text) && text.len() <= 32 && !text.bytes().any(|b| b.is_ascii_lowercase()) {
            Ok(text.to_owned())
        } else if is_token(text) && text.len() <= 32 {
            Err(Fault::plain().hint(format!("write {}", text.to_ascii_uppercase())))
        } else {
            Err(Fault::plain())
        }
    }
);

text_word!(
    /// Host that a route answers for: exact, `*.example.com`, or `*`.
    HostPattern,
    "a host",
    "a name without port, as in api.example.com or \"*.example.com\"",
    "",
    |text| {
        let lower = text.to_ascii_lowercase();
        if lower == "*" {
            return Ok(lower);
        }
        let plain = lower.strip_prefix("*.").unwrap_or(&lower);
        if let Some((_, port)) = lower.rsplit_once(':')
            && !lower.starts_with('[')
            && port.bytes().all(|b| b.is_ascii_digit())
        {
            return Err(Fault::message(format!("{} has a port", quote(text)))
                .part(format!(":{port}"))
                .hint("hosts are compared without their port: leave it out"));
        }
        let address = lower.parse::<std::net::Ipv4Addr>().is_ok()
            || lower
                .strip_prefix('[')
                .and_then(|rest| rest.strip_suffix(']'))
                .is_some_and(|host| host.parse::<std::net::Ipv6Addr>().is_ok());
        if plain.contains('*') {
            return Err(Fault::message(format!("{} has a `*` in the wrong place", quote(text)))
                .hint("`*` stands for the first labels only, as in \"*.example.com\""));
        }
        if address || is_dns_name(plain) { Ok(lower) } else { Err(Fault::plain()) }
    }
);

/// Longest path pattern.
const PATTERN_BYTES_MAX: usize = 2048;

text_word!(
    /// Path that a route matches: literal segments, `{parameter}` for one whole segment, `*` for the rest.
    PathPattern,
    "a path pattern",
    "as in /orders/{id} or /files/*",
    "^/",
    |text| path_pattern(text).map(|()| text.to_owned())
);

fn path_pattern(text: &str) -> Result<(), Fault> {
    if !text.starts_with('/') {
        return Err(
            Fault::message(format!("{} does not begin with `/`", quote(text))).hint(format!("write /{text}"))
        );
    }
    if text.len() > PATTERN_BYTES_MAX {
        return Err(Fault::message(format!("the path is over {PATTERN_BYTES_MAX} bytes")));
    }
    if let Some(at) = text.find(['?', '#']) {
        return Err(Fault::message(format!("{} does not belong into a path", quote(&text[at..])))
            .part(&text[at..])
            .hint("conditions on the query stand in `match: { query: ... }`"));
    }
    let segments: Vec<&str> = text[1..].split('/').collect();
    let mut names: Vec<&str> = Vec::new();
    for (index, segment) in segments.iter().enumerate() {
        let last = index + 1 == segments.len();
        if segment.is_empty() && !last {
            return Err(Fault::message("the path has an empty segment").part("//").hint("write one `/`"));
        }
        if matches!(*segment, "." | "..") {
            return Err(Fault::message(format!("{} is resolved before matching", quote(segment)))
                .part(format!("/{segment}"))
                .hint("write the path that it leads to"));
        }
        if *segment == "*" {
            if last {
                continue;
            }
            return Err(Fault::message("`*` stands before the end of the path")
                .part("*")
                .hint("`*` is the last segment and stands for the rest; one segment is {name}"));
        }
        if let Some(name) = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            if name.is_empty()
                || name.len() > NAME_BYTES_MAX
                || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            {
                return Err(Fault::message(format!("{} is not a parameter", quote(segment)))
                    .part(*segment)
                    .hint("letters, digits and underscores in braces, as in {order_id}"));
            }
            if names.contains(&name) {
                return Err(Fault::message(format!("parameter {} stands twice", quote(segment)))
                    .part(*segment)
                    .hint("each parameter of a path has a name of its own"));
            }
            names.push(name);
            continue;
        }
        if segment.contains(['{', '}', '*']) {
            return Err(Fault::message(format!("{} mixes text with a parameter", quote(segment)))
                .part(*segment)
                .hint("a parameter is one whole segment, as in /orders/{id}"));
        }
        literal_segment(segment)?;
    }
    Ok(())
}

fn literal_segment(segment: &str) -> Result<(), Fault> {
    let bytes = segment.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let b = bytes[at];
        if b == b'%' {
            let hex = bytes.get(at + 1..at + 3).is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit));
            if !hex {
                return Err(Fault::message(format!("{} has a bad percent-encoding", quote(segment)))
                    .part(segment)
                    .hint("`%` and two hexadecimal digits"));
            }
            at += 3;
            continue;
        }
        if !(b.is_ascii_alphanumeric() || b"-._~!$&'()+,;=:@".contains(&b)) {
            return Err(Fault::message(format!("{} has a character that paths do not", quote(segment)))
                .part(segment)
                .hint("percent-encode it (RFC 3986 section 3.3)"));
        }
        at += 1;
    }
    Ok(())
}

/// Names in braces of a template, as `id` in `/x/{id}`; doubled braces are literal. `Err` = a brace is open.
pub(crate) fn braces(text: &str) -> Result<Vec<&str>, ()> {
    let bytes = text.as_bytes();
    let mut names = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'{' if bytes.get(at + 1) == Some(&b'{') => at += 2,
            b'}' if bytes.get(at + 1) == Some(&b'}') => at += 2,
            b'{' => {
                let end = text[at..].find('}').ok_or(())?;
                names.push(&text[at + 1..at + end]);
                at += end + 1;
            }
            b'}' => return Err(()),
            _ => at += 1,
        }
    }
    Ok(names)
}

text_word!(
    /// Path sent upstream, with captures of the path pattern.
    Rewrite,
    "a path to send upstream",
    "as in /internal/orders/{id}, or /files/{*} for what `*` matched",
    "^/",
    |text| {
        if !text.starts_with('/') {
            return Err(Fault::message(format!("{} does not begin with `/`", quote(text)))
                .hint(format!("write /{text}")));
        }
        if let Some(at) = text.find(['?', '#']) {
            return Err(Fault::message(format!("{} does not belong into a path", quote(&text[at..])))
                .part(&text[at..])
                .hint("the query is kept as it came"));
        }
        braces(text).map_err(|()| {
            Fault::message(format!("{} has a brace without its partner", quote(text)))
                .hint("a brace that is meant is doubled: {{ or }}")
        })?;
        when(text.len() <= PATTERN_BYTES_MAX && text.bytes().all(|b| (0x21..0x7f).contains(&b)), text)
    }
);

text_word!(
    /// Value of a header field with `{...}` for what is known of the call.
    Template,
    "a header value",
    "visible text; {app.name} and its like stand for what is known of the call",
    "",
    |text| {
        if text.chars().any(char::is_control) || text.len() > TEXT_BYTES_MAX {
            return Err(Fault::message("a header value holds no control characters"));
        }
        braces(text).map_err(|()| {
            Fault::message(format!("{} has a brace without its partner", quote(text)))
                .hint("a brace that is meant is doubled: {{ or }}")
        })?;
        Ok(text.to_owned())
    }
);

text_word!(
    /// Origin of scripts (RFC 6454): scheme and host, `https://*.example.com`, or `*`.
    Origin,
    "an origin",
    "scheme and host without a path, as in https://app.example.com",
    "",
    |text| {
        if text == "*" {
            return Ok(text.to_owned());
        }
        let Some((scheme, host)) = text.split_once("://") else {
            return Err(Fault::plain());
        };
        if let Some(at) = host.find('/') {
            return Err(Fault::message(format!("{} has a path", quote(text)))
                .part(&host[at..])
                .hint("an origin is scheme, host and port only"));
        }
        let (name, port) = match host.rsplit_once(':') {
            Some((name, port)) if !host.ends_with(']') => (name, Some(port)),
            _ => (host, None),
        };
        let plain = name.strip_prefix("*.").unwrap_or(name);
        let address = plain.parse::<std::net::Ipv4Addr>().is_ok()
            || plain
                .strip_prefix('[')
                .and_then(|rest| rest.strip_suffix(']'))
                .is_some_and(|host| host.parse::<std::net::Ipv6Addr>().is_ok());
        when(
            !scheme.is_empty()
                && scheme.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')
                && (address || is_dns_name(plain))
                && port.is_none_or(|port| port.parse::<u16>().is_ok()),
            text,
        )
    }
);

text_word!(
    /// One scope (RFC 6749 section 3.3).
    Scope,
    "a scope",
    "visible characters without spaces, quotes and backslashes",
    "",
    |text| when(
        !text.is_empty()
            && text.len() <= 256
            && text.bytes().all(|b| (0x21..0x7f).contains(&b) && b != b'"' && b != b'\\'),
        text
    )
);

text_word!(
    /// Time zone by its IANA name, as the bundled table knows it.
    Timezone,
    "a time zone",
    "an IANA name, as in UTC or Europe/Zurich",
    "",
    |text| when(text.len() <= 64 && penstock_limits::time_zone(text).is_ok(), text)
);

text_word!(
    /// Form of a version, with `{version}` exactly once.
    VersionPattern,
    "a pattern of versions",
    "text with {version} in it exactly once",
    r"\{version\}",
    |text| when(text.matches("{version}").count() == 1 && text.len() <= 256, text)
);

text_word!(
    /// Path of a health check.
    CheckPath,
    "a path",
    "as in /healthz",
    "^/",
    |text| when(text.starts_with('/') && text.bytes().all(|b| (0x21..0x7f).contains(&b)), text)
);

/// A file, relative to the folder of the configuration file that names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePath(pub PathBuf);

impl Word for FilePath {
    const WHAT: &'static str = "a file";
    const FORM: &'static str = "a path, as in certs/api.pem";

    fn parse(text: &str) -> Result<Self, Fault> {
        when(!text.is_empty() && !text.contains('\0') && text.len() <= 4096, text)
            .map(|text| FilePath(PathBuf::from(text)))
    }

    fn show(&self) -> String {
        self.0.display().to_string()
    }
}

/// A secret written in the file (better: by `${ENV}`). Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Fewest characters of a secret.
pub const SECRET_CHARS_MIN: usize = 16;
/// Most characters of a secret.
pub const SECRET_CHARS_MAX: usize = 128;

impl Word for Secret {
    const WHAT: &'static str = "a key";
    const FORM: &'static str =
        "16 to 128 visible characters without spaces; better from ${ENV} than from the file";

    fn parse(text: &str) -> Result<Self, Fault> {
        if !text.bytes().all(|b| (0x21..0x7f).contains(&b)) {
            return Err(Fault::message("the key has a space or a character outside of visible ASCII"));
        }
        if !(SECRET_CHARS_MIN..=SECRET_CHARS_MAX).contains(&text.len()) {
            return Err(Fault::message(format!("the key has {} characters", text.len())));
        }
        if text.starts_with("psk_") && psk_id(text).is_none() {
            return Err(Fault::message("a key that begins with `psk_` has the form psk_<id>_<secret>")
                .hint("an id of 1 to 32 letters and digits, `_`, and a secret of 8 characters or more"));
        }
        Ok(Secret(text.to_owned()))
    }

    fn show(&self) -> String {
        "(secret)".to_owned()
    }
}

/// The `<id>` of `psk_<id>_<secret>`.
pub(crate) fn psk_id(key: &str) -> Option<&str> {
    let (id, secret) = key.strip_prefix("psk_")?.split_once('_')?;
    let good =
        (1..=32).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric()) && secret.len() >= 8;
    good.then_some(id)
}

/// The keyed hash of a key: `b3k:<key-id>:<64 hexadecimal digits>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyHash {
    /// Which hash key made it.
    pub key_id: String,
    /// The hash.
    pub hash: [u8; 32],
}

impl Word for KeyHash {
    const WHAT: &'static str = "a key's hash";
    const FORM: &'static str =
        "b3k:<key-id>:<64 hexadecimal digits>, as `penstock credential hash` prints it";
    const PATTERN: &'static str = r"^(b3k:[A-Za-z0-9_-]{1,32}:[0-9a-f]{64}|.*\$\{.*)$";

    fn parse(text: &str) -> Result<Self, Fault> {
        let mut parts = text.split(':');
        let (Some("b3k"), Some(key_id), Some(hex), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Fault::plain());
        };
        let id_good = (1..=32).contains(&key_id.len())
            && key_id.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
        let hash = parse_hex(hex);
        match (id_good, hash) {
            (true, Some(hash)) => Ok(KeyHash { key_id: key_id.to_owned(), hash }),
            (true, None) => Err(Fault::message(format!("the hash has {} characters", hex.len()))
                .part(hex)
                .hint("64 hexadecimal digits in lower case")),
            (false, _) => Err(Fault::plain()),
        }
    }

    fn show(&self) -> String {
        format!("b3k:{}:…", self.key_id)
    }
}

/// 32 bytes from 64 hexadecimal digits in lower case.
pub(crate) fn parse_hex(hex: &str) -> Option<[u8; 32]> {
    let digits = hex.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    let digit = |b: u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        _ => None,
    };
    let mut out = [0; 32];
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_patterns() {
        for good in ["/", "/*", "/a/b", "/orders/{id}", "/a/{x}/b/*", "/a/", "/a%20b", "/v1:go"] {
            assert!(PathPattern::parse(good).is_ok(), "{good}");
        }
        for (bad, part) in [
            ("orders", None),
            ("/a//b", Some("//")),
            ("/a/../b", Some("/..")),
            ("/*/a", Some("*")),
            ("/{}", Some("{}")),
            ("/{a-b}", Some("{a-b}")),
            ("/{a}/{a}", Some("{a}")),
            ("/x{a}", Some("x{a}")),
            ("/a?b", Some("?b")),
            ("/a b", Some("a b")),
            ("/%zz", Some("%zz")),
        ] {
            let fault = PathPattern::parse(bad).expect_err(bad);
            assert_eq!(fault.part.as_deref(), part, "{bad}");
        }
    }

    #[test]
    fn hosts() {
        for good in ["api.example.com", "*.local", "*", "127.0.0.1", "[::1]", "API.example.com"] {
            assert!(HostPattern::parse(good).is_ok(), "{good}");
        }
        for bad in ["a.*.com", "*a.com", "x:80", "", "a b", "http://x"] {
            assert!(HostPattern::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn secrets_at_the_bound() {
        for (key, good) in [
            ("x".repeat(SECRET_CHARS_MIN - 1), false),
            ("x".repeat(SECRET_CHARS_MIN), true),
            ("x".repeat(SECRET_CHARS_MAX), true),
            ("x".repeat(SECRET_CHARS_MAX + 1), false),
            ("psk_abc_0123456789".to_owned(), true),
            ("psk_abc0123456789x".to_owned(), false),
            ("has a space in it!".to_owned(), false),
        ] {
            assert_eq!(Secret::parse(&key).is_ok(), good, "{key}");
        }
        assert_eq!(psk_id("psk_abc_0123456789"), Some("abc"));
        assert_eq!(format!("{:?}", Secret("visible".into())), "Secret(..)");
    }

    #[test]
    fn hashes() {
        let hex = "0f".repeat(32);
        assert_eq!(KeyHash::parse(&format!("b3k:n1:{hex}")).map(|h| h.hash), Ok([15; 32]));
        for bad in ["b3k:n1:00", "b3k::00", "n1:00", "b3k:n 1:00"] {
            assert!(KeyHash::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn templates() {
        assert_eq!(braces("/a/{id}/{{x}}/{*}"), Ok(vec!["id", "*"]));
        assert_eq!(braces("{a"), Err(()));
        assert_eq!(braces("a}"), Err(()));
    }
}

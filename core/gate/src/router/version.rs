//! Which version of a service a request asks for: read from path, field, query, media type or host.
//!
//! A version in the path or the host becomes part of what the trie matches; the other three are conditions
//! on the leaf, resolved once for each service that is met.

use super::values::{FieldName, FieldSource, Once, decoded_equals, query_once};
use crate::spec::{UnknownVersion, VersionIn};

/// A text with `{version}` in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    before: Box<str>,
    after: Box<str>,
}

impl Pattern {
    /// Reads a pattern; `None` unless `{version}` stands in it exactly once.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (before, after) = text.split_once("{version}")?;
        let plain = |part: &str| !part.contains(['{', '}']);
        (plain(before) && plain(after)).then(|| Self { before: before.into(), after: after.into() })
    }

    /// The text for a version.
    pub(crate) fn fill(&self, version: &str) -> String {
        format!("{}{version}{}", self.before, self.after)
    }

    /// What stands for the version in a text of this form.
    fn read<'t>(&self, text: &'t [u8]) -> Option<&'t [u8]> {
        let version = text.strip_prefix(self.before.as_bytes())?.strip_suffix(self.after.as_bytes())?;
        (!version.is_empty()).then_some(version)
    }

    /// As [`Self::read`], without regard to the case of letters.
    fn read_any_case<'t>(&self, text: &'t [u8]) -> Option<&'t [u8]> {
        let (before, after) = (self.before.as_bytes(), self.after.as_bytes());
        let end = text.len().checked_sub(after.len()).filter(|&end| end > before.len())?;
        let fits =
            text[..before.len()].eq_ignore_ascii_case(before) && text[end..].eq_ignore_ascii_case(after);
        fits.then(|| &text[before.len()..end])
    }
}

/// Whether bytes look like the name of a version: a digit, or `v` and a digit, then letters, digits, `.`,
/// `-` and `_`.
fn looks_like_version(bytes: &[u8]) -> bool {
    let number = bytes.strip_prefix(b"v").unwrap_or(bytes);
    number.first().is_some_and(u8::is_ascii_digit)
        && number.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
}

/// Where the version of one service is read from, and what there is.
#[derive(Debug)]
pub(crate) struct Selector {
    pub(crate) from: Source,
    /// Names of the versions; the index is the version's number.
    pub(crate) names: Vec<Box<str>>,
    pub(crate) default: Option<u16>,
    pub(crate) unknown: UnknownVersion,
}

/// Where a version is read from.
#[derive(Debug)]
pub(crate) enum Source {
    Path { pattern: Pattern, keep: bool },
    Host { pattern: Pattern },
    Header { name: FieldName },
    Query { key: Box<str> },
    MediaType { pattern: Option<Pattern>, parameter: Option<Box<str>>, accept: FieldName },
}

/// What a request states about its version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stated<'a> {
    Nothing,
    Version(&'a [u8]),
    /// Stated more than once: as good as unknown.
    Unclear,
}

/// What a selector makes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resolved {
    /// This version.
    Version(u16),
    /// None that exists, and none is served instead.
    Unknown,
}

impl Source {
    /// Reads where a version stands; `None` for a bad pattern or a media type without either rule.
    pub(crate) fn new(from: &VersionIn) -> Option<Self> {
        Some(match from {
            VersionIn::Path { pattern, keep } => {
                let pattern = Pattern::parse(pattern)
                    .filter(|pattern| !pattern.before.contains('/') && !pattern.after.contains('/'))?;
                Self::Path { pattern, keep: *keep }
            }
            VersionIn::Host { pattern } => Self::Host { pattern: Pattern::parse(pattern)? },
            VersionIn::Header { name } => Self::Header { name: FieldName::new(name) },
            VersionIn::Query { name } => Self::Query { key: name.as_str().into() },
            VersionIn::MediaType { pattern, name } => {
                let parsed = match pattern {
                    Some(text) => Some(Pattern::parse(text)?),
                    None => None,
                };
                if parsed.is_none() && name.is_none() {
                    return None;
                }
                let parameter = name.as_deref().map(Into::into);
                Self::MediaType { pattern: parsed, parameter, accept: FieldName::new("accept") }
            }
        })
    }

    /// Whether the version is a condition on the leaf (and not part of path or host).
    pub(crate) fn is_condition(&self) -> bool {
        !matches!(self, Self::Path { .. } | Self::Host { .. })
    }

    /// Whether the version stands in a field, which a CORS preflight does not carry.
    pub(crate) fn is_field(&self) -> bool {
        matches!(self, Self::Header { .. } | Self::MediaType { .. })
    }
}

impl Selector {
    /// The number of the version that a request gets, for sources that are conditions.
    pub(crate) fn resolve(&self, fields: &impl FieldSource, query: &[u8]) -> Resolved {
        let stated = match &self.from {
            Source::Header { name } => once(fields.once(name)),
            Source::Query { key } => once(query_once(query, key.as_bytes())),
            Source::MediaType { pattern, parameter, accept } => match fields.once(accept) {
                Once::Absent => Stated::Nothing,
                Once::Repeated => Stated::Unclear,
                Once::One(value) => media_type(value, pattern.as_ref(), parameter.as_deref()),
            },
            Source::Path { .. } | Source::Host { .. } => Stated::Nothing,
        };
        let is_query = matches!(self.from, Source::Query { .. });
        let known = |value: &[u8]| {
            let same = |name: &str| {
                if is_query { decoded_equals(value, name.as_bytes()) } else { name.as_bytes() == value }
            };
            self.names.iter().position(|name| same(name)).map(|at| at as u16)
        };
        let fallback = match (stated, self.unknown) {
            (Stated::Version(value), _) if known(value).is_some() => known(value),
            (Stated::Nothing, _) | (_, UnknownVersion::Default) => self.default,
            (_, UnknownVersion::Reject) => None,
        };
        fallback.map_or(Resolved::Unknown, Resolved::Version)
    }

    /// Whether a path segment has the form of a version of this service; then whether it exists.
    pub(crate) fn path_version(&self, segment: &[u8]) -> Option<bool> {
        let Source::Path { pattern, .. } = &self.from else { return None };
        let version = pattern.read(segment)?;
        let exists = self.names.iter().any(|name| name.as_bytes() == version);
        (exists || looks_like_version(version)).then_some(exists)
    }

    /// Whether a host names a version of this service that does not exist.
    pub(crate) fn is_unknown_host(&self, host: &[u8]) -> bool {
        let Source::Host { pattern } = &self.from else { return false };
        pattern.read(host).is_some_and(|version| {
            looks_like_version(version) && !self.names.iter().any(|name| name.as_bytes() == version)
        })
    }
}

fn once(found: Once<'_>) -> Stated<'_> {
    match found {
        Once::Absent => Stated::Nothing,
        Once::One(value) => Stated::Version(value),
        Once::Repeated => Stated::Unclear,
    }
}

/// The version in an `Accept` value (RFC 9110 section 12.5.1): of the first range that states one.
fn media_type<'v>(value: &'v [u8], pattern: Option<&Pattern>, parameter: Option<&str>) -> Stated<'v> {
    for range in value.split(|&byte| byte == b',') {
        let mut parts = range.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
        let kind = parts.next().unwrap_or(b"");
        if let Some(version) = pattern.and_then(|pattern| pattern.read_any_case(kind)) {
            return Stated::Version(version);
        }
        let Some(wanted) = parameter else { continue };
        for part in parts {
            let Some(split) = part.iter().position(|&byte| byte == b'=') else { continue };
            if part[..split].trim_ascii().eq_ignore_ascii_case(wanted.as_bytes()) {
                let version = part[split + 1..].trim_ascii();
                let bare = version.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
                return Stated::Version(bare.unwrap_or(version));
            }
        }
    }
    Stated::Nothing
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_told_from_words() {
        for text in ["v1", "1", "v10", "2026-01", "v1.2", "1beta1", "v2_rc"] {
            assert!(looks_like_version(text.as_bytes()), "{text}");
        }
        for text in ["", "v", "orders", "vendor", "v1/2", "-1", "1%20"] {
            assert!(!looks_like_version(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn media_types_state_a_version_by_form_or_parameter() {
        let pattern = Pattern::parse("application/vnd.acme.{version}+json");
        let cases: &[(&str, Stated<'_>)] = &[
            ("application/vnd.acme.v2+json", Stated::Version(b"v2")),
            ("Application/Vnd.Acme.v2+JSON; q=0.5", Stated::Version(b"v2")),
            ("text/html, application/vnd.acme.v3+json", Stated::Version(b"v3")),
            ("application/json;version=2", Stated::Version(b"2")),
            ("application/json; charset=utf-8; Version = \"2\"", Stated::Version(b"2")),
            ("application/json", Stated::Nothing),
            ("application/vnd.acme.+json", Stated::Nothing),
            ("*/*", Stated::Nothing),
            ("", Stated::Nothing),
        ];
        for (value, expected) in cases {
            assert_eq!(media_type(value.as_bytes(), pattern.as_ref(), Some("version")), *expected, "{value}");
        }
    }

    #[test]
    fn patterns_hold_the_version_once() {
        for text in ["v{version}", "{version}", "{version}.api.example.com"] {
            assert!(Pattern::parse(text).is_some(), "{text}");
        }
        for text in ["", "v1", "{version}{version}", "{version}{x}", "{Version}"] {
            assert_eq!(Pattern::parse(text), None, "{text}");
        }
    }
}

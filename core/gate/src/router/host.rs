//! Host patterns: exact names, wildcards over one or more labels, any.

use super::bytes_table::BytesTable;

/// Longest host name (RFC 1035 section 2.3.4).
pub const HOST_BYTES_MAX: usize = 253;

const EXACT: u32 = 0;
const WILDCARD: u32 = 1;

/// Which hosts a route is for. Ordered as the router looks: exact names, wildcards, any.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum HostPattern {
    /// This name, lower case (or an address as it stands in `Host`).
    Exact(Box<str>),
    /// One or more labels before this suffix, which begins with a dot.
    Wildcard(Box<str>),
    /// Whatever stands in `Host`, also nothing.
    Any,
}

/// Why a text is no host pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// Not a name, an address, `*` or `*.name`.
    #[error("`{0}` is not a host name, `*.` and a name, or `*`")]
    Malformed(String),
    /// A port does not belong here.
    #[error("`{0}` names a port; routes match hosts without it")]
    Port(String),
}

impl HostPattern {
    /// Reads a pattern.
    pub(crate) fn parse(text: &str) -> Result<Self, HostError> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let lower = text.to_ascii_lowercase();
        if let Some(inner) = lower.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            return match inner.parse::<std::net::Ipv6Addr>() {
                Ok(_) => Ok(Self::Exact(lower.into())),
                Err(_) => Err(HostError::Malformed(text.to_owned())),
            };
        }
        if lower.contains(':') {
            return Err(HostError::Port(text.to_owned()));
        }
        let (name, wildcard) = match lower.strip_prefix("*.") {
            Some(name) => (name, true),
            None => (lower.as_str(), false),
        };
        let label = |label: &str| {
            !label.is_empty()
                && label.len() <= 63
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        };
        if name.len() > HOST_BYTES_MAX || !name.split('.').all(label) {
            return Err(HostError::Malformed(text.to_owned()));
        }
        Ok(if wildcard { Self::Wildcard(format!(".{name}").into()) } else { Self::Exact(name.into()) })
    }
}

/// Roots of tries by host.
#[derive(Debug, Default)]
pub(crate) struct HostTable {
    names: BytesTable,
    /// There are names, exact ones or wildcards.
    named: bool,
    wildcards: bool,
    any: Option<u32>,
}

impl HostTable {
    /// The table of these patterns and roots.
    pub(crate) fn new(roots: &[(HostPattern, u32)]) -> Self {
        let keys: Vec<(u32, &[u8], u32)> = roots
            .iter()
            .filter_map(|(pattern, root)| match pattern {
                HostPattern::Exact(name) => Some((EXACT, name.as_bytes(), *root)),
                HostPattern::Wildcard(suffix) => Some((WILDCARD, suffix.as_bytes(), *root)),
                HostPattern::Any => None,
            })
            .collect();
        Self {
            named: !keys.is_empty(),
            wildcards: keys.iter().any(|key| key.0 == WILDCARD),
            names: BytesTable::new(keys.into_iter()),
            any: roots.iter().find(|(pattern, _)| *pattern == HostPattern::Any).map(|(_, root)| *root),
        }
    }

    /// Whether it matters which host is asked for.
    pub(crate) fn tells_hosts_apart(&self) -> bool {
        self.named
    }

    /// The one root of a table that tells no hosts apart.
    #[inline]
    pub(crate) fn any(&self) -> Option<u32> {
        self.any
    }

    /// Roots that are for this host, the most specific first. `host` is in lower case and without port.
    #[inline]
    pub(crate) fn roots<'t>(&'t self, host: &'t [u8]) -> impl Iterator<Item = u32> + 't {
        let exact = self.names.get(EXACT, host);
        let dots = if self.wildcards { host } else { b"" };
        let wildcards = dots
            .iter()
            .enumerate()
            .filter(|&(at, &byte)| byte == b'.' && at > 0)
            .filter_map(|(at, _)| self.names.get(WILDCARD, &host[at..]));
        exact.into_iter().chain(wildcards).chain(self.any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_patterns() {
        let exact = |name: &str| Ok(HostPattern::Exact(name.into()));
        let cases = [
            ("API.example.com", exact("api.example.com")),
            ("*.example.com", Ok(HostPattern::Wildcard(".example.com".into()))),
            ("*", Ok(HostPattern::Any)),
            ("192.0.2.1", exact("192.0.2.1")),
            ("[2001:db8::1]", exact("[2001:db8::1]")),
            ("localhost", exact("localhost")),
            ("a:80", Err(HostError::Port("a:80".into()))),
            ("", Err(HostError::Malformed(String::new()))),
            ("a..b", Err(HostError::Malformed("a..b".into()))),
            ("*a.b", Err(HostError::Malformed("*a.b".into()))),
            ("a.*.b", Err(HostError::Malformed("a.*.b".into()))),
            ("[::g]", Err(HostError::Malformed("[::g]".into()))),
            ("a.", Err(HostError::Malformed("a.".into()))),
        ];
        for (text, expected) in cases {
            assert_eq!(HostPattern::parse(text), expected, "{text}");
        }
    }

    #[test]
    fn looks_from_the_most_specific_to_any() {
        let parse = |text: &str| HostPattern::parse(text).expect(text);
        let table =
            HostTable::new(&[(parse("a.b.c"), 1), (parse("*.b.c"), 2), (parse("*.c"), 3), (parse("*"), 4)]);
        let cases: &[(&str, &[u32])] = &[
            ("a.b.c", &[1, 2, 3, 4]),
            ("x.b.c", &[2, 3, 4]),
            ("x.y.b.c", &[2, 3, 4]),
            ("b.c", &[3, 4]),
            ("c", &[4]),
            (".c", &[4]),
            ("", &[4]),
            ("xb.c", &[3, 4]),
        ];
        for (host, expected) in cases {
            assert_eq!(table.roots(host.as_bytes()).collect::<Vec<_>>(), *expected, "{host}");
        }
    }
}

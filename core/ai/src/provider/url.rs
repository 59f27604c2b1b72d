//! URLs with placeholders, and what they are filled with.

use thiserror::Error;

use super::Operation;

/// Bytes that a value of a placeholder may have.
const VALUE_BYTES_MAX: usize = 2048;

/// What fills the placeholders of a URL.
#[derive(Debug, Clone, Copy, Default)]
pub struct Values<'a> {
    /// Takes the place of the provider's own base URL: `http` or `https`, without query and fragment.
    pub base_url: Option<&'a str>,
    /// Placeholders with their values, from the configuration (`region`) and from the call (`model`).
    pub given: &'a [(&'a str, &'a str)],
}

impl<'a> Values<'a> {
    pub(super) fn get(&self, name: &str) -> Option<&'a str> {
        self.given.iter().find(|(own, _)| *own == name).map(|(_, value)| *value)
    }
}

/// Why there is no URL.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum UrlError {
    /// The provider has no path for it.
    #[error("the provider has no `{operation}`")]
    NoOperation {
        /// What was asked for.
        operation: Operation,
    },
    /// The provider has no base URL of its own, and none was given.
    #[error("the provider needs a base_url")]
    NoBaseUrl,
    /// The base URL that was given is none.
    #[error(
        "base_url `{url}` is not http:// or https:// with a host and without query, fragment, user or spaces"
    )]
    BadBaseUrl {
        /// As it was given.
        url: String,
    },
    /// A placeholder has no value.
    #[error("no value for `{name}`")]
    Missing {
        /// The placeholder.
        name: String,
    },
    /// The value of a placeholder does not fit where it stands.
    #[error("the value of `{name}` {why}")]
    BadValue {
        /// The placeholder.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The provider has base URLs by region, but none for this one.
    #[error("the provider knows no region `{region}`")]
    UnknownRegion {
        /// As it was given.
        region: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Hole(String),
}

/// A piece of a URL with placeholders in braces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template {
    text: String,
    parts: Vec<Part>,
}

impl Template {
    /// Reads a text; the error says what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, behind) = after.split_once('}').ok_or("has `{` without `}`")?;
            let fits = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
            if name.is_empty() || !name.bytes().all(fits) {
                return Err("has a placeholder that is not a name in lower case");
            }
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            parts.push(Part::Hole(name.to_owned()));
            rest = behind;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        // RFC 3986 section 2, without the escapes, which the table does not need.
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/?=&@".contains(&byte);
        if !parts.iter().all(|part| {
            matches!(part, Part::Hole(_)) || matches!(part, Part::Text(text) if text.bytes().all(fits))
        }) {
            return Err("has bytes that do not belong in a URL");
        }
        Ok(Self { text: text.to_owned(), parts })
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    pub(super) fn holes(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Hole(name) => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }

    fn fill(&self, values: &Values<'_>, out: &mut String) -> Result<(), UrlError> {
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Hole(name) => {
                    let value = values.get(name).ok_or_else(|| UrlError::Missing { name: name.clone() })?;
                    let bad = |why| UrlError::BadValue { name: name.clone(), why };
                    if value.is_empty() || value.len() > VALUE_BYTES_MAX {
                        return Err(bad("is empty or too long"));
                    }
                    if in_host(out) {
                        push_host(value, out).map_err(bad)?;
                    } else {
                        push_segment(value, out).map_err(bad)?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Whether what is written next belongs to the host.
fn in_host(written: &str) -> bool {
    written.split_once("://").is_some_and(|(_, rest)| !rest.contains('/'))
}

/// A label or labels of a host name (RFC 1123 section 2.1): what else is in a value could name another host.
fn push_host(value: &str, out: &mut String) -> Result<(), &'static str> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.' || byte == b'_';
    if !value.bytes().all(fits) || value.len() > 253 || value.starts_with('.') || value.ends_with('.') {
        return Err("is no part of a host name");
    }
    out.push_str(value);
    Ok(())
}

/// A segment of a path, or a value of a query: everything is escaped that is not unreserved (RFC 3986 section 2.3), so that
/// a name of a model cannot lead to another path.
fn push_segment(value: &str, out: &mut String) -> Result<(), &'static str> {
    if value == "." || value == ".." {
        return Err("is a step to another path");
    }
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            const HEX: &[u8; 16] = b"0123456789ABCDEF";
            out.extend([
                '%',
                char::from(HEX[usize::from(byte >> 4)]),
                char::from(HEX[usize::from(byte & 15)]),
            ]);
        }
    }
    Ok(())
}

/// What a path is put behind.
#[derive(Debug, Clone, Copy)]
pub(super) enum Base<'a> {
    Given(&'a str),
    Template(&'a Template),
}

/// A path behind a base URL. One that begins with `/` stands behind the host, another one behind the whole.
pub(super) fn join(base: Base<'_>, path: &Template, values: &Values<'_>) -> Result<String, UrlError> {
    let mut url = String::with_capacity(128);
    match base {
        Base::Given(given) => url.push_str(checked(given)?),
        Base::Template(base) => base.fill(values, &mut url)?,
    }
    if path.as_str().starts_with('/') {
        let host = url.find("://").map_or(0, |at| at + 3);
        let end = url[host..].find('/').map_or(url.len(), |at| host + at);
        url.truncate(end);
    } else {
        url.push('/');
    }
    path.fill(values, &mut url)?;
    Ok(url)
}

/// A base URL from a configuration, without slashes at its end.
fn checked(given: &str) -> Result<&str, UrlError> {
    let bad = || UrlError::BadBaseUrl { url: given.to_owned() };
    let rest = given.strip_prefix("https://").or_else(|| given.strip_prefix("http://")).ok_or_else(bad)?;
    let host = rest.split('/').next().unwrap_or_default();
    let fits = |byte: u8| byte.is_ascii_graphic() && !b"?#\\\"<>{}|^`".contains(&byte);
    if host.is_empty() || host.contains('@') || !given.bytes().all(fits) {
        return Err(bad());
    }
    Ok(given.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(base: &str, path: &str, given: &[(&str, &str)]) -> Result<String, UrlError> {
        let (base, path) = (Template::parse(base).unwrap(), Template::parse(path).unwrap());
        join(Base::Template(&base), &path, &Values { base_url: None, given })
    }

    #[test]
    fn values_stand_where_they_belong_and_nowhere_else() {
        for (base, path, given, expected) in [
            ("https://a.example/v1", "chat/completions", &[][..], "https://a.example/v1/chat/completions"),
            (
                "https://a.example/v1",
                "/anthropic/v1/messages",
                &[],
                "https://a.example/anthropic/v1/messages",
            ),
            ("https://a.example", "/x", &[], "https://a.example/x"),
            (
                "https://{region}.a.example",
                "model/{model}/converse",
                &[("region", "eu-west-1"), ("model", "arn:aws:x/y z%")],
                "https://eu-west-1.a.example/model/arn%3Aaws%3Ax%2Fy%20z%25/converse",
            ),
            (
                "https://a.example",
                "m/{model}:go?v={v}",
                &[("model", "..a"), ("v", "1&b=2")],
                "https://a.example/m/..a:go?v=1%26b%3D2",
            ),
        ] {
            assert_eq!(joined(base, path, given).as_deref(), Ok(expected));
        }
        for value in ["", "evil.example/", "a@b", "a:80", "a?b", ".a", "a.", "ä", &"a".repeat(254)] {
            let told = joined("https://{resource}.a.example", "x", &[("resource", value)]);
            assert!(
                matches!(&told, Err(UrlError::BadValue { name, .. }) if name == "resource"),
                "{value}: {told:?}"
            );
        }
        for value in [".", "..", "", &"a".repeat(VALUE_BYTES_MAX + 1)] {
            let told = joined("https://a.example", "m/{model}", &[("model", value)]);
            assert!(matches!(told, Err(UrlError::BadValue { .. })), "{value}");
        }
        let told = joined("https://a.example", "m/{model}", &[("modal", "x")]);
        assert_eq!(told, Err(UrlError::Missing { name: "model".into() }));
    }

    #[test]
    fn a_base_url_from_outside_is_looked_at() {
        let path = Template::parse("chat").unwrap();
        let with = |base| join(Base::Given(base), &path, &Values::default());
        assert_eq!(with("http://127.0.0.1:9000/v1//").as_deref(), Ok("http://127.0.0.1:9000/v1/chat"));
        for bad in [
            "",
            "ftp://a",
            "https://",
            "https:///x",
            "//a",
            "https://u:p@a/",
            "https://a/?b",
            "https://a/#b",
            "https://a/ b",
            "https://a/\n",
            "https://a/{x}",
            "HTTPS://a",
        ] {
            assert_eq!(with(bad), Err(UrlError::BadBaseUrl { url: bad.into() }));
        }
    }

    #[test]
    fn templates_are_read_strictly() {
        for bad in ["a{", "a{}", "a{B}", "a{b", "a b", "a%20", "a}", "ä", "a#b", "{a}}"] {
            assert!(Template::parse(bad).is_err(), "{bad}");
        }
        let template = Template::parse("{a}/x/{b_c}").unwrap();
        assert_eq!(template.holes().collect::<Vec<_>>(), ["a", "b_c"]);
    }
}

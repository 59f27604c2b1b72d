//! Value templates: `Bearer of {app.name}`, `/internal/orders/{id}`.
//!
//! Read once, when a configuration is compiled; what is known then becomes plain text. Writing one appends to
//! a buffer of the caller and allocates nothing else. A value with a part that is unknown, or that holds a
//! byte no field value may hold (RFC 9110 section 5.5), is not written at all.

/// Bytes one template may have.
pub const VALUE_BYTES_MAX: usize = 4096;

/// What a template can say about a call, beyond what its route knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact {
    /// Name of the caller's app.
    AppName,
    /// Uid of the caller's app, 16 hex digits.
    AppId,
    /// Uid of the credential that was shown, 16 hex digits.
    CredentialId,
    /// Subject of the token, user or certificate.
    Subject,
    /// Scopes of the caller, separated by spaces.
    Scopes,
    /// Client address.
    ClientIp,
    /// Request id.
    RequestId,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(Box<str>),
    Fact(Fact),
    Capture(u8),
}

/// A template, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ValueTemplate {
    pieces: Vec<Piece>,
}

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// A brace is open, or closed without being open.
    #[error("a brace is not closed or not open; write `{{{{` and `}}}}` for braces that are meant")]
    Brace,
    /// Unknown name.
    #[error(
        "`{{{0}}}` is not known here; known are the captures of the path, app.name, app.id, credential.id, subject, scopes, client.ip, request.id, tenant.name, team.name, service.name, version and route.name"
    )]
    Name(String),
    /// Only captures may stand here.
    #[error("`{{{0}}}` can't stand in a path; only captures can")]
    OnlyCaptures(String),
    /// A byte that can't stand in the value.
    #[error("the value holds the character {0:?}, which can't stand there")]
    Byte(char),
    /// Longer than [`VALUE_BYTES_MAX`].
    #[error("the value is longer than {VALUE_BYTES_MAX} bytes")]
    TooLong,
}

/// Where the parts of a value come from when it is written.
pub(crate) trait Facts {
    /// Appends what is known of a fact; false if nothing is.
    fn write(&self, fact: Fact, out: &mut Vec<u8>) -> bool;
    /// What a capture matched.
    fn capture(&self, index: u8) -> Option<&[u8]>;
}

impl ValueTemplate {
    /// Reads a field's value. `captures` are the names of the path's captures; `known` tells names whose
    /// value is known already.
    ///
    /// # Errors
    /// [`ValueError`]
    pub(crate) fn parse<'k>(
        text: &str,
        captures: &[&str],
        known: impl Fn(&str) -> Option<&'k str>,
    ) -> Result<Self, ValueError> {
        if let Some(bad) = text.chars().find(|&c| c.is_control() && c != '\t') {
            return Err(ValueError::Byte(bad));
        }
        read(text, |name| {
            if let Some(at) = captures.iter().position(|&capture| capture == name) {
                return Ok(Piece::Capture(at as u8));
            }
            if let Some(value) = known(name) {
                return Ok(Piece::Text(value.into()));
            }
            Ok(Piece::Fact(match name {
                "app.name" => Fact::AppName,
                "app.id" => Fact::AppId,
                "credential.id" => Fact::CredentialId,
                "subject" => Fact::Subject,
                "scopes" => Fact::Scopes,
                "client.ip" => Fact::ClientIp,
                "request.id" => Fact::RequestId,
                _ => return Err(ValueError::Name(name.to_owned())),
            }))
        })
    }

    /// Reads a path to send upstream: text and captures only.
    ///
    /// # Errors
    /// [`ValueError`]
    pub(crate) fn parse_path(text: &str, captures: &[&str]) -> Result<Self, ValueError> {
        let allowed = |c: char| c.is_ascii_graphic() && !"\"<>\\^`|?#".contains(c);
        if let Some(bad) = text.chars().find(|&c| !allowed(c)) {
            return Err(ValueError::Byte(bad));
        }
        read(text, |name| match captures.iter().position(|&capture| capture == name) {
            Some(at) => Ok(Piece::Capture(at as u8)),
            None => Err(ValueError::OnlyCaptures(name.to_owned())),
        })
    }

    /// Appends the value; false, and `out` as before, when a part is unknown or can't stand in a field.
    pub(crate) fn write(&self, facts: &impl Facts, out: &mut Vec<u8>) -> bool {
        let start = out.len();
        for piece in &self.pieces {
            let written = match piece {
                Piece::Text(text) => {
                    out.extend_from_slice(text.as_bytes());
                    true
                }
                Piece::Fact(fact) => facts.write(*fact, out),
                Piece::Capture(index) => match facts.capture(*index) {
                    Some(bytes) => {
                        out.extend_from_slice(bytes);
                        true
                    }
                    None => false,
                },
            };
            if !written {
                out.truncate(start);
                return false;
            }
        }
        let good = out[start..].iter().all(|&byte| (byte >= b' ' && byte != 0x7f) || byte == b'\t');
        if !good {
            out.truncate(start);
        }
        good
    }
}

fn read(
    text: &str,
    mut name_to_piece: impl FnMut(&str) -> Result<Piece, ValueError>,
) -> Result<ValueTemplate, ValueError> {
    if text.len() > VALUE_BYTES_MAX {
        return Err(ValueError::TooLong);
    }
    let mut pieces: Vec<Piece> = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        plain.push_str(&rest[..at]);
        let brace = &rest[at..at + 1];
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix(brace) {
            plain.push_str(brace);
            rest = after;
            continue;
        }
        let end = rest.find(['{', '}']).filter(|&end| brace == "{" && rest.as_bytes()[end] == b'}');
        let name = &rest[..end.ok_or(ValueError::Brace)?];
        rest = &rest[name.len() + 1..];
        match name_to_piece(name)? {
            Piece::Text(text) => plain.push_str(&text),
            piece => {
                if !plain.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut plain).into()));
                }
                pieces.push(piece);
            }
        }
    }
    plain.push_str(rest);
    if !plain.is_empty() {
        pieces.push(Piece::Text(plain.into()));
    }
    Ok(ValueTemplate { pieces })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Known<'k>(&'k str);

    impl Facts for Known<'_> {
        fn write(&self, fact: Fact, out: &mut Vec<u8>) -> bool {
            match fact {
                Fact::AppName => out.extend_from_slice(b"mobile"),
                Fact::Subject => out.extend_from_slice(self.0.as_bytes()),
                _ => return false,
            }
            true
        }
        fn capture(&self, index: u8) -> Option<&[u8]> {
            [&b"42"[..], b"a%2Fb"].get(usize::from(index)).copied()
        }
    }

    #[test]
    fn writes_what_is_known() {
        let cases: &[(&str, &str, Option<&str>)] = &[
            ("plain", "", Some("plain")),
            ("", "", Some("")),
            ("{app.name}", "", Some("mobile")),
            ("a {app.name}/{id}/{*} z", "", Some("a mobile/42/a%2Fb z")),
            ("{tenant.name}-{app.name}", "", Some("acme-mobile")),
            ("{{id}} {{{id}}}", "", Some("{id} {42}")),
            ("{subject}", "ann", Some("ann")),
            ("{subject}", "ann\r\nx-admin: 1", None),
            ("{subject}", "ann\u{7f}", None),
            ("x {scopes}", "", None),
        ];
        for (text, subject, expected) in cases {
            let template =
                ValueTemplate::parse(text, &["id", "*"], |name| (name == "tenant.name").then_some("acme"));
            let mut out = b"before".to_vec();
            let written = template.expect(text).write(&Known(subject), &mut out);
            assert_eq!(written.then(|| &out[6..]), expected.map(str::as_bytes), "{text}");
            assert!(written || out == b"before");
        }
    }

    #[test]
    fn refuses_what_does_not_read() {
        let cases = [
            ("{", ValueError::Brace),
            ("}", ValueError::Brace),
            ("{app.name", ValueError::Brace),
            ("{a{b}", ValueError::Brace),
            ("{app}", ValueError::Name("app".into())),
            ("{}", ValueError::Name(String::new())),
            ("a\r\nb", ValueError::Byte('\r')),
        ];
        for (text, expected) in cases {
            assert_eq!(ValueTemplate::parse(text, &["id"], |_| None), Err(expected), "{text}");
        }
        let path = |text| ValueTemplate::parse_path(text, &["id"]);
        assert!(path("/a/{id}").is_ok());
        assert_eq!(path("/a/{app.name}"), Err(ValueError::OnlyCaptures("app.name".into())));
        assert_eq!(path("/a?b"), Err(ValueError::Byte('?')));
        let longest = "a".repeat(VALUE_BYTES_MAX);
        assert!(ValueTemplate::parse(&longest, &[], |_| None).is_ok());
        assert_eq!(ValueTemplate::parse(&format!("{longest}a"), &[], |_| None), Err(ValueError::TooLong));
    }
}

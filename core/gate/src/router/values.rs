//! How routes look at the fields and the query of a request: by name, once or not at all.

/// What a request holds under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Once<'a> {
    /// Nothing.
    Absent,
    /// One value.
    One(&'a [u8]),
    /// Several; they equal nothing.
    Repeated,
}

/// Whatever holds the fields of a request.
pub trait FieldSource {
    /// What stands under this name (lower case).
    fn once(&self, name: &FieldName) -> Once<'_>;
}

/// The name of a field, in lower case, with its id if it is a known one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FieldName {
    pub(crate) id: penstock_http::FieldId,
    pub(crate) lower: Box<str>,
}

impl FieldName {
    /// The name, whatever its case.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self { id: penstock_http::FieldId::lookup(name.as_bytes()), lower: name.to_ascii_lowercase().into() }
    }

    /// Lower-case text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.lower
    }

    /// Its id; [`penstock_http::FieldId::Other`] for names without one.
    #[must_use]
    pub fn id(&self) -> penstock_http::FieldId {
        self.id
    }
}

/// What a query (without `?`) holds under a key. Keys are compared decoded, so that no spelling of a key
/// slips by a rule; the value is as it stands. Walks the query once, allocates nothing.
pub(crate) fn query_once<'q>(query: &'q [u8], key: &[u8]) -> Once<'q> {
    let mut found = Once::Absent;
    for pair in query.split(|&byte| byte == b'&') {
        let split = pair.iter().position(|&byte| byte == b'=').unwrap_or(pair.len());
        if !pair.is_empty() && decoded_equals(&pair[..split], key) {
            found = match found {
                Once::Absent => Once::One(pair.get(split + 1..).unwrap_or(b"")),
                _ => return Once::Repeated,
            };
        }
    }
    found
}

/// Whether form-encoded bytes (`%41`, `+`) stand for these plain ones.
pub(crate) fn decoded_equals(encoded: &[u8], plain: &[u8]) -> bool {
    decoded(encoded).eq(plain.iter().copied())
}

/// The plain bytes of form-encoded ones. A broken escape stands for itself.
pub(crate) fn decoded(encoded: &[u8]) -> impl Iterator<Item = u8> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        let &byte = encoded.get(at)?;
        at += 1;
        match byte {
            b'+' => Some(b' '),
            b'%' => {
                let digit = |offset: usize| {
                    encoded.get(at + offset).and_then(|&digit| char::from(digit).to_digit(16))
                };
                match (digit(0), digit(1)) {
                    (Some(high), Some(low)) => {
                        at += 2;
                        Some((high * 16 + low) as u8)
                    }
                    _ => Some(b'%'),
                }
            }
            plain => Some(plain),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_keys_are_found_in_every_spelling() {
        let cases: &[(&str, &str, Once<'_>)] = &[
            ("a=1&b=2", "b", Once::One(b"2")),
            ("a=1&b", "b", Once::One(b"")),
            ("a=1&b=", "b", Once::One(b"")),
            ("a=1&%62=3", "b", Once::One(b"3")),
            ("b=1&%62=3", "b", Once::Repeated),
            ("b=1=2", "b", Once::One(b"1=2")),
            ("a+b=1", "a b", Once::One(b"1")),
            ("a%2=1", "a%2", Once::One(b"1")),
            ("", "b", Once::Absent),
            ("&&", "", Once::Absent),
            ("bb=1", "b", Once::Absent),
        ];
        for (query, key, expected) in cases {
            assert_eq!(query_once(query.as_bytes(), key.as_bytes()), *expected, "{query} {key}");
        }
    }
}

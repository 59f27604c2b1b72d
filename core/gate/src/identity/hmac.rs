//! Signed requests: `Authorization: Penstock-HMAC-SHA256 key="...", date="...", signature="..."`.
//!
//! The scheme, also told to callers in `docs/hmac.md`. The signature is HMAC-SHA-256 (RFC 2104) under the
//! credential's secret over these seven lines, each ended by a line feed:
//!
//! ```text
//! penstock-hmac-sha256
//! METHOD
//! host                     lower case, without port
//! /path?query              byte for byte as it is sent
//! 1767225600               the parameter `date`: seconds since 1970
//! nonce                    the parameter `nonce`; an empty line if there is none
//! sha-256=:...:            the field Content-Digest (RFC 9530); an empty line if there is none
//! ```
//!
//! A request with a body must have a Content-Digest with `sha-256`. The digest is signed up front and the body is
//! checked as it streams: the data plane holds the last bytes back until they prove to be what was signed.
//! A date more than [`WINDOW_S`] away from now refuses; within the window a signature counts once on the node.

use super::replay::{ReplayTable, Seen};
use crate::callers::{Callers, CredentialRow, Space};
use crate::request::Request;
use crate::router::Once;
use crate::spec::{CredentialKind, Id};
use aws_lc_rs::{constant_time, digest, hmac};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use penstock_http::{Authority, Code, FieldId};

/// The scheme in `Authorization`.
pub const SCHEME: &str = "Penstock-HMAC-SHA256";
/// Seconds that a signed date may be away from now, before or after.
pub const WINDOW_S: u64 = 300;
/// Shortest secret.
pub const SECRET_BYTES_MIN: usize = 16;
/// Longest nonce.
pub const NONCE_BYTES_MAX: usize = 64;

const SHA256_BYTES: usize = 32;

/// A body's digest, checked as the bytes pass.
pub struct BodyDigest {
    context: digest::Context,
    expected: [u8; SHA256_BYTES],
}

impl std::fmt::Debug for BodyDigest {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("BodyDigest(..)")
    }
}

impl BodyDigest {
    /// Begins to check a body against what was signed.
    #[must_use]
    pub fn new(expected: [u8; SHA256_BYTES]) -> Self {
        Self { context: digest::Context::new(&digest::SHA256), expected }
    }

    /// Takes the next bytes of the body.
    pub fn update(&mut self, bytes: &[u8]) {
        self.context.update(bytes);
    }

    /// Whether the whole body was what was signed.
    #[must_use]
    pub fn is_good(self) -> bool {
        let digest = self.context.finish();
        constant_time::verify_slices_are_equal(digest.as_ref(), &self.expected).is_ok()
    }
}

#[derive(Default)]
struct Parameters<'p> {
    key: &'p [u8],
    date: &'p [u8],
    nonce: &'p [u8],
    signature: &'p [u8],
}

/// Reads `name="value"` pairs separated by commas; each name once, none unknown.
fn parameters(text: &[u8]) -> Option<Parameters<'_>> {
    let mut found = Parameters::default();
    for pair in text.split(|&byte| byte == b',') {
        let pair = pair.trim_ascii();
        let split = pair.iter().position(|&byte| byte == b'=')?;
        let value = pair[split + 1..].strip_prefix(b"\"")?.strip_suffix(b"\"")?;
        let place = match &pair[..split] {
            b"key" => &mut found.key,
            b"date" => &mut found.date,
            b"nonce" => &mut found.nonce,
            b"signature" => &mut found.signature,
            _ => return None,
        };
        let good = !value.is_empty() && value.iter().all(|&byte| byte.is_ascii_graphic() && byte != b'"');
        if !place.is_empty() || !good {
            return None;
        }
        *place = value;
    }
    let whole = !found.key.is_empty() && !found.date.is_empty() && !found.signature.is_empty();
    (whole && found.nonce.len() <= NONCE_BYTES_MAX).then_some(found)
}

/// The value of `sha-256` in a Content-Digest field (RFC 9530 section 2).
fn content_digest(value: &[u8]) -> Option<[u8; SHA256_BYTES]> {
    let member = value
        .split(|&byte| byte == b',')
        .map(<[u8]>::trim_ascii)
        .find_map(|member| member.strip_prefix(b"sha-256=:").and_then(|rest| rest.strip_suffix(b":")))?;
    decode(member)
}

fn decode(text: &[u8]) -> Option<[u8; SHA256_BYTES]> {
    // Room as the decoder wants it, more than 32 bytes need.
    let mut bytes = [0; SHA256_BYTES + 4];
    let length = STANDARD.decode_slice(text, &mut bytes).ok()?;
    bytes[..length].try_into().ok()
}

fn number(text: &[u8]) -> Option<u64> {
    let digits = !text.is_empty() && text.len() <= 12 && text.iter().all(u8::is_ascii_digit);
    digits.then(|| text.iter().fold(0, |sum, &digit| sum * 10 + u64::from(digit - b'0')))
}

/// The credential that signed, and the digest that the body must have.
pub(crate) fn find<'c>(
    callers: &'c Callers,
    replays: &ReplayTable,
    tenant: Id,
    request: &Request<'_>,
    text: &[u8],
) -> Result<(&'c CredentialRow, Option<[u8; SHA256_BYTES]>), Code> {
    let given = parameters(text).ok_or(Code::InvalidCredential)?;
    let date = number(given.date).ok_or(Code::InvalidCredential)?;
    let signature = decode(given.signature).ok_or(Code::InvalidCredential)?;
    let digest_field = match request.known(FieldId::ContentDigest) {
        Once::Absent => None,
        Once::One(value) => Some(value),
        Once::Repeated => return Err(Code::InvalidCredential),
    };
    let body_digest = digest_field.and_then(content_digest);
    if body_digest.is_none() && (request.head.framing.has_body() || digest_field.is_some()) {
        return Err(Code::InvalidCredential);
    }
    let entry = callers.find(Space::hmac(tenant), given.key).ok_or(Code::InvalidCredential)?;
    let CredentialKind::Hmac { secret, .. } = &entry.credential.kind else {
        return Err(Code::InvalidCredential);
    };
    let expected = sign(secret, request, given.date, given.nonce, digest_field.unwrap_or(b""));
    if constant_time::verify_slices_are_equal(expected.as_ref(), &signature).is_err() {
        return Err(Code::InvalidCredential);
    }
    let now = request.now_unix_s();
    if date.abs_diff(now) > WINDOW_S {
        return Err(Code::ExpiredCredential);
    }
    match replays.note(&signature, now, date + WINDOW_S + 1) {
        Seen::First => Ok((entry, body_digest)),
        Seen::Before => Err(Code::InvalidCredential),
        Seen::Full => Err(Code::Overloaded),
    }
}

fn sign(secret: &[u8], request: &Request<'_>, date: &[u8], nonce: &[u8], digest: &[u8]) -> hmac::Tag {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let mut context = hmac::Context::with_key(&key);
    let authority = request.head.host.of(request.buf);
    let host = Authority::parse(authority).map_or(authority, |authority| authority.host);
    let path = request.head.path.of(request.buf);
    context.update(b"penstock-hmac-sha256\n");
    context.update(request.method());
    context.update(b"\n");
    for &byte in host {
        context.update(&[byte.to_ascii_lowercase()]);
    }
    context.update(b"\n");
    context.update(if path.is_empty() { b"/" } else { path });
    if let Some(query) = request.head.query {
        context.update(b"?");
        context.update(query.of(request.buf));
    }
    for part in [date, nonce, digest] {
        context.update(b"\n");
        context.update(part);
    }
    context.update(b"\n");
    context.sign()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_strictly() {
        let good = r#"key="k", date="1", signature="s""#;
        assert!(parameters(good.as_bytes()).is_some());
        assert!(
            parameters(format!(r#"{good}, nonce="{}""#, "n".repeat(NONCE_BYTES_MAX)).as_bytes()).is_some()
        );
        let bad = [
            String::new(),
            r#"key="k", date="1""#.into(),
            format!(r#"{good}, key="l""#),
            format!(r#"{good}, other="l""#),
            format!("{good},"),
            r#"key=k, date="1", signature="s""#.into(),
            r#"key="", date="1", signature="s""#.into(),
            r#"key="a b", date="1", signature="s""#.into(),
            format!(r#"{good}, nonce="{}""#, "n".repeat(NONCE_BYTES_MAX + 1)),
        ];
        for text in bad {
            assert!(parameters(text.as_bytes()).is_none(), "{text}");
        }
    }

    #[test]
    fn a_body_is_what_was_signed_or_not() {
        let of = |text: &[u8]| -> [u8; 32] {
            digest::digest(&digest::SHA256, text).as_ref().try_into().expect("32")
        };
        for (pieces, good) in [(vec!["he", "llo"], true), (vec!["hello!"], false), (vec![], false)] {
            let mut body = BodyDigest::new(of(b"hello"));
            for piece in &pieces {
                body.update(piece.as_bytes());
            }
            assert_eq!(body.is_good(), good, "{pieces:?}");
        }
    }
}

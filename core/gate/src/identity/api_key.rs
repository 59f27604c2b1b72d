//! API keys: their forms, their keyed hash, and how the credential behind one is found.

use crate::callers::{Callers, CredentialRow, Space};
use crate::spec::{ApiKeyHash, ApiKeyLookup, CredentialKind, HashKey, Id};
use penstock_http::Code;

/// Shortest key.
pub const KEY_BYTES_MIN: usize = 16;
/// Longest key.
pub const KEY_BYTES_MAX: usize = 128;

const PREFIX: &[u8] = b"psk_";
const ID_BYTES_MIN: usize = 4;
const ID_BYTES_MAX: usize = 32;
const SECRET_BYTES_MIN: usize = 16;

/// Why a `b3k:` text does not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashTextError {
    /// Not of the form `b3k:<key-id>:<hex>`.
    #[error("a hash is written `b3k:<key-id>:<64 hex digits>`")]
    Form,
    /// The key id is not 1 to 32 letters, digits, `_` or `-`.
    #[error("the key id is 1 to 32 letters, digits, `_` or `-`")]
    KeyId,
    /// The hash is not 64 hex digits.
    #[error("the hash is 64 hex digits")]
    Hex,
}

/// Why a text is no API key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyTextError {
    /// Too short or too long.
    #[error("an API key has {KEY_BYTES_MIN} to {KEY_BYTES_MAX} characters")]
    Length,
    /// A byte that cannot be sent in a field.
    #[error("an API key holds visible ASCII characters only")]
    Byte,
}

/// Whether a text can be an API key: 16 to 128 visible ASCII characters.
///
/// # Errors
/// [`KeyTextError`]
pub fn check_key_text(text: &str) -> Result<(), KeyTextError> {
    if text.len() < KEY_BYTES_MIN || text.len() > KEY_BYTES_MAX {
        return Err(KeyTextError::Length);
    }
    if text.bytes().all(|byte| byte.is_ascii_graphic()) { Ok(()) } else { Err(KeyTextError::Byte) }
}

/// The id in `psk_<id>_<secret>`.
#[must_use]
pub fn key_id(text: &[u8]) -> Option<&[u8]> {
    let rest = text.strip_prefix(PREFIX)?;
    let split = rest.iter().position(|&byte| byte == b'_')?;
    let (id, secret) = (&rest[..split], &rest[split + 1..]);
    let good = (ID_BYTES_MIN..=ID_BYTES_MAX).contains(&id.len())
        && id.iter().all(u8::is_ascii_alphanumeric)
        && secret.len() >= SECRET_BYTES_MIN;
    good.then_some(id)
}

/// The keyed hash of a text: of an API key, or of `user:password`.
#[must_use]
pub fn keyed_hash(key: &HashKey, text: &[u8]) -> [u8; 32] {
    *blake3::keyed_hash(&key.key, text).as_bytes()
}

/// What is stored of an API key.
#[must_use]
pub fn hash_api_key(key: &HashKey, text: &str) -> ApiKeyHash {
    let lookup = match key_id(text.as_bytes()) {
        Some(id) => ApiKeyLookup::ById(String::from_utf8_lossy(id).into_owned()),
        None => ApiKeyLookup::ByHash,
    };
    ApiKeyHash { key_id: key.id.clone(), hash: keyed_hash(key, text.as_bytes()), lookup }
}

/// What is stored of a user of basic authentication.
#[must_use]
pub fn hash_basic(key: &HashKey, user: &str, password: &str) -> ApiKeyHash {
    let hash = keyed_hash(key, format!("{user}:{password}").as_bytes());
    ApiKeyHash { key_id: key.id.clone(), hash, lookup: ApiKeyLookup::ByHash }
}

/// Reads `b3k:<key-id>:<hex>`. The form of the key behind it is not known, so it is found by its hash.
///
/// # Errors
/// [`HashTextError`]
pub fn read_hash(text: &str) -> Result<ApiKeyHash, HashTextError> {
    let (id, hex) =
        text.strip_prefix("b3k:").and_then(|rest| rest.split_once(':')).ok_or(HashTextError::Form)?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if id.is_empty() || id.len() > 32 || !id.bytes().all(plain) {
        return Err(HashTextError::KeyId);
    }
    let hash = blake3::Hash::from_hex(hex).map_err(|_| HashTextError::Hex)?;
    Ok(ApiKeyHash { key_id: id.to_owned(), hash: *hash.as_bytes(), lookup: ApiKeyLookup::ByHash })
}

/// Writes `b3k:<key-id>:<hex>`.
#[must_use]
pub fn write_hash(hash: &ApiKeyHash) -> String {
    format!("b3k:{}:{}", hash.key_id, blake3::Hash::from_bytes(hash.hash).to_hex())
}

/// Whether a text hashes to what is stored, compared in constant time. One keyed hash (BLAKE3).
pub(crate) fn fits(callers: &Callers, stored: &ApiKeyHash, text: &[u8]) -> bool {
    callers
        .hash_key(&stored.key_id)
        .is_some_and(|key| blake3::keyed_hash(&key.key, text) == blake3::Hash::from_bytes(stored.hash))
}

/// The credential behind a key. One that was found good since the callers changed last costs one short hash; else a
/// generated key costs one keyed hash (BLAKE3), any other one for each hash key.
pub(crate) fn find<'c>(callers: &'c Callers, tenant: Id, text: &[u8]) -> Result<&'c CredentialRow, Code> {
    if text.len() < KEY_BYTES_MIN || text.len() > KEY_BYTES_MAX {
        return Err(Code::InvalidCredential);
    }
    let search = || search(callers, tenant, text).ok_or(Code::InvalidCredential);
    callers.find_api_key(tenant, text, search)?.ok_or(Code::InvalidCredential)
}

/// The place of the credential behind a key, by the key's own hash.
fn search(callers: &Callers, tenant: Id, text: &[u8]) -> Option<u32> {
    let stored = |place: u32| match &callers.credential_at(place)?.credential.kind {
        CredentialKind::ApiKey(stored) => Some(stored),
        _ => None,
    };
    if let Some(place) = key_id(text).and_then(|id| callers.place(Space::api_key_id(tenant), id)) {
        return stored(place).is_some_and(|stored| fits(callers, stored, text)).then_some(place);
    }
    // The hash is keyed: who does not know the key learns nothing from how long the look-up takes.
    callers.hash_keys().iter().find_map(|key| {
        let place = callers.place(Space::api_key_hash(tenant), &keyed_hash(key, text))?;
        stored(place).is_some_and(|stored| stored.key_id == key.id).then_some(place)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_generated_keys_from_others() {
        let cases: &[(&str, Option<&str>)] = &[
            ("psk_ab12_0123456789abcdef", Some("ab12")),
            ("psk_ab12_0123_456789abcdef", Some("ab12")),
            ("psk_ab12_0123456789abcde", None),
            ("psk_ab1_0123456789abcdef", None),
            ("psk_ab-12_0123456789abcdef", None),
            ("psk_0123456789abcdef0123456789", None),
            ("sk_live_0123456789abcdef", None),
            ("psk_", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(key_id(text.as_bytes()), expected.map(str::as_bytes), "{text}");
        }
    }

    #[test]
    fn the_text_form_of_a_hash_leads_back() {
        let key = HashKey { id: "k1".into(), key: [3; 32] };
        let hash = hash_api_key(&key, "a-key-from-elsewhere");
        let text = write_hash(&hash);
        assert_eq!(read_hash(&text), Ok(hash));
        let cases = [
            ("", HashTextError::Form),
            ("b3k:k1", HashTextError::Form),
            ("b3k::00", HashTextError::KeyId),
            ("b3k:k 1:00", HashTextError::KeyId),
            ("b3k:k1:00", HashTextError::Hex),
            (&text[..text.len() - 1], HashTextError::Hex),
        ];
        for (text, expected) in cases {
            assert_eq!(read_hash(text), Err(expected), "{text}");
        }
    }

    #[test]
    fn key_texts_have_bounds() {
        let of = |length: usize| "x".repeat(length);
        assert_eq!(check_key_text(&of(KEY_BYTES_MIN - 1)), Err(KeyTextError::Length));
        assert_eq!(check_key_text(&of(KEY_BYTES_MIN)), Ok(()));
        assert_eq!(check_key_text(&of(KEY_BYTES_MAX)), Ok(()));
        assert_eq!(check_key_text(&of(KEY_BYTES_MAX + 1)), Err(KeyTextError::Length));
        assert_eq!(check_key_text("sixteen chars ok"), Err(KeyTextError::Byte));
    }
}

//! The secrets of a node, in its data directory, made once: the keys under which credentials are hashed, the key
//! under which limit keys are, and the key of the demo app.

use std::path::Path;

use anyhow::{Context, bail};
use penstock_dataplane::sys;
use penstock_gate::spec::{HASH_KEYS_MAX, HashKey};

use crate::data_dir::read_or_make;

/// Keys of credentials' hashes: `<key-id> <64 hexadecimal digits>` a line, the one in use first.
pub(crate) const HASH_KEY_FILE: &str = "hash.key";
/// Key of the limits' keys: 32 hexadecimal digits.
pub(crate) const LIMIT_KEY_FILE: &str = "limit.key";
/// Key of the demo app.
pub(crate) const DEMO_KEY_FILE: &str = "demo.key";

/// The keys of hashes, newest first.
///
/// # Errors
/// When the file cannot be read or made, or holds anything else.
pub(crate) fn hash_keys(dir: &Path) -> anyhow::Result<Vec<HashKey>> {
    let path = dir.join(HASH_KEY_FILE);
    let text = read_or_make(&path, || {
        let (a, b, id) = (sys::random(), sys::random(), sys::random());
        format!("k{} {}{}\n", &hex(&id)[..8], hex(&a), hex(&b))
    })?;
    parse_hash_keys(&text).with_context(|| format!("{} is damaged", path.display()))
}

/// The key of the limits' keys.
///
/// # Errors
/// As [`hash_keys`].
pub(crate) fn limit_key(dir: &Path) -> anyhow::Result<[u8; 16]> {
    let path = dir.join(LIMIT_KEY_FILE);
    let text = read_or_make(&path, || format!("{}\n", hex(&sys::random())))?;
    unhex(text.trim())
        .with_context(|| format!("{} is damaged: 32 hexadecimal digits are due", path.display()))
}

/// The key of the demo app.
///
/// # Errors
/// When the file cannot be read or made.
pub(crate) fn demo_key(dir: &Path) -> anyhow::Result<String> {
    Ok(read_or_make(&dir.join(DEMO_KEY_FILE), || format!("psk_demo_{}\n", hex(&sys::random())))?
        .trim()
        .to_owned())
}

/// A new API key, of the form that is known by its beginning.
pub(crate) fn new_api_key() -> String {
    let (id, a, b) = (sys::random(), sys::random(), sys::random());
    format!("psk_{}_{}{}", &hex(&id)[..8], hex(&a), hex(&b[..8]))
}

fn parse_hash_keys(text: &str) -> anyhow::Result<Vec<HashKey>> {
    let mut keys = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (id, key) = line.split_once(' ').context("a line is `<key-id> <64 hexadecimal digits>`")?;
        let good = (1..=32).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        if !good {
            bail!("a key id is 1 to 32 of A-Z a-z 0-9 _ -");
        }
        keys.push(HashKey { id: id.to_owned(), key: unhex(key).context("a key is 64 hexadecimal digits")? });
    }
    if !(1..=HASH_KEYS_MAX).contains(&keys.len()) {
        bail!("it holds {} keys, 1 to {HASH_KEYS_MAX} are due", keys.len());
    }
    Ok(keys)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if text.len() != 2 * N || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_keys() {
        let key = "0f".repeat(32);
        let good = parse_hash_keys(&format!("k1 {key}\n\nold_2 {key}\n")).unwrap();
        assert_eq!(good.len(), 2);
        assert_eq!((good[1].id.as_str(), good[1].key), ("old_2", [15; 32]));
        let five = format!("k {key}\n").repeat(HASH_KEYS_MAX + 1);
        for bad in ["", "k1", "k1 00", &format!("k:1 {key}"), &five, &format!("k1 {}", "é".repeat(32))] {
            assert!(parse_hash_keys(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn new_keys_are_known_by_their_beginning_and_differ() {
        let (one, two) = (new_api_key(), new_api_key());
        assert!(one.starts_with("psk_") && one.len() == 4 + 8 + 1 + 48);
        assert_ne!(one, two);
    }
}

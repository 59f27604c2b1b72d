//! Placeholders for what is masked, and what they stand for.
//!
//! A placeholder is `[EMAIL_3f9a]`: a word that tells the model what was there, and a few digits of a keyed hash of the
//! value. The same value of the same key has the same placeholder in every request, so that the beginning of a
//! conversation stays as it was and a provider's prompt cache goes on serving it. Who does not have the key cannot tell
//! the value by trying values, nor make up a placeholder that will be restored: only placeholders of values that stand in
//! the request itself are.

use std::collections::HashMap;

use crate::kind::Kind;

/// Digits of the hash in a placeholder. Two values of a request that would share one get more.
const DIGITS_MIN: usize = 4;
/// Digits of the hash at most.
const DIGITS_MAX: usize = 16;
/// Bytes of a placeholder, at most.
pub const PLACEHOLDER_BYTES_MAX: usize = 1 + LABEL_BYTES_MAX + 1 + DIGITS_MAX + 1;
/// Bytes of the word in a placeholder, at most.
const LABEL_BYTES_MAX: usize = 5;
/// Values that a request remembers; beyond them a value is masked all the same, but not restored.
pub const MASKS_MAX: usize = 65_536;

/// The secret from which placeholders are made.
#[derive(Clone)]
pub struct MaskKey([u8; 32]);

impl std::fmt::Debug for MaskKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MaskKey")
    }
}

impl MaskKey {
    /// Of a tenant's secret of 32 random bytes.
    pub const fn new(secret: [u8; 32]) -> Self {
        Self(secret)
    }

    /// The key of a part of the tenant, for instance an app, so that equal values of two parts do not look equal.
    pub fn of_scope(&self, scope: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(b"scope\0");
        hasher.update(scope);
        Self(*hasher.finalize().as_bytes())
    }

    /// Digits of the hash of a value.
    fn digits(&self, kind: Kind, value: &str) -> [u8; DIGITS_MAX] {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(kind.label().as_bytes());
        hasher.update(b"\0");
        hasher.update(value.as_bytes());
        let hash = hasher.finalize();
        let mut digits = [0; DIGITS_MAX];
        for (n, digit) in digits.iter_mut().enumerate() {
            let half = hash.as_bytes()[n / 2] >> (4 * (1 - n % 2)) & 15;
            *digit = b"0123456789abcdef"[usize::from(half)];
        }
        digits
    }
}

/// What was masked in a request, and by which placeholder.
#[derive(Clone, Default)]
pub struct Masks {
    by_value: HashMap<(&'static str, String), String>,
    /// None for what is not to be restored.
    by_placeholder: HashMap<String, Option<String>>,
}

impl std::fmt::Debug for Masks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Masks({})", self.by_placeholder.len()) // never what was masked
    }
}

impl Masks {
    /// How many values are masked.
    pub fn len(&self) -> usize {
        self.by_placeholder.len()
    }

    /// Whether nothing is masked.
    pub fn is_empty(&self) -> bool {
        self.by_placeholder.is_empty()
    }

    /// Appends the placeholder of a value, which may be put back in its place later, or never.
    pub(crate) fn mask(&mut self, key: &MaskKey, kind: Kind, value: &str, restores: bool, out: &mut String) {
        let name = (kind.label(), value.to_owned());
        if let Some(placeholder) = self.by_value.get(&name) {
            out.push_str(placeholder);
            return;
        }
        let digits = key.digits(kind, value);
        let digits = std::str::from_utf8(&digits).unwrap_or_default(); // hexadecimal digits
        let with = |len: usize| format!("[{}_{}]", kind.label(), &digits[..len]);
        let is_free = |placeholder: &String| !self.by_placeholder.contains_key(placeholder);
        let placeholder = (DIGITS_MIN..=DIGITS_MAX).step_by(2).map(with).find(is_free);
        // Two values with one hash of 64 bits: masked, and not restored.
        let placeholder = placeholder.unwrap_or_else(|| with(DIGITS_MAX));
        out.push_str(&placeholder);
        if self.by_value.len() < MASKS_MAX {
            self.by_placeholder
                .entry(placeholder.clone())
                .or_insert_with(|| restores.then(|| value.to_owned()));
            self.by_value.insert(name, placeholder);
        }
    }

    /// What a placeholder stands for, if it is to be restored.
    pub fn value(&self, placeholder: &str) -> Option<&str> {
        self.by_placeholder.get(placeholder)?.as_deref()
    }

    /// The text with the values instead of their placeholders; none if it has none of them.
    pub fn restore(&self, text: &str) -> Option<String> {
        if self.is_empty() || !text.contains('[') {
            return None;
        }
        let mut restored = String::with_capacity(text.len());
        let mut restorer = Restorer::default();
        restorer.push(self, text, &mut restored);
        restorer.finish(&mut restored);
        (restored != text).then_some(restored)
    }
}

/// Restores a text that comes in pieces, as the text is itself or as text of JSON.
///
/// Holds back no more than the beginning of a placeholder.
#[derive(Debug, Clone, Default)]
pub struct Restorer {
    held: String,
    in_json: bool,
}

/// How far a text goes as a placeholder.
enum Placeholder {
    No,
    Open,
    Whole(usize),
}

impl Restorer {
    /// For pieces of a JSON text, such as the arguments of a call: values are written with the escapes of a string.
    pub fn in_json() -> Self {
        Self { held: String::new(), in_json: true }
    }

    /// Takes a piece and appends what is sure.
    pub fn push(&mut self, masks: &Masks, piece: &str, out: &mut String) {
        if masks.is_empty() {
            out.push_str(piece);
            return;
        }
        let joined;
        let mut rest = piece;
        if !self.held.is_empty() {
            self.held.push_str(piece);
            joined = std::mem::take(&mut self.held);
            rest = &joined;
        }
        while let Some(at) = rest.find('[') {
            out.push_str(&rest[..at]);
            rest = &rest[at..];
            match placeholder(rest) {
                Placeholder::No => {
                    out.push('[');
                    rest = &rest[1..];
                }
                Placeholder::Open => {
                    self.held.push_str(rest);
                    return;
                }
                Placeholder::Whole(len) => {
                    match masks.value(&rest[..len]) {
                        Some(value) if self.in_json => push_escaped(value, out),
                        value => out.push_str(value.unwrap_or(&rest[..len])),
                    }
                    rest = &rest[len..];
                }
            }
        }
        out.push_str(rest);
    }

    /// Ends the text; appends what was held back.
    pub fn finish(&mut self, out: &mut String) {
        out.push_str(&std::mem::take(&mut self.held));
    }
}

/// A value with the escapes of a JSON string.
fn push_escaped(value: &str, out: &mut String) {
    let mut escaped = Vec::with_capacity(value.len() + 2);
    penstock_ai::json::write_escaped(&mut escaped, value);
    out.push_str(&String::from_utf8_lossy(&escaped[1..escaped.len() - 1]));
}

/// Reads `[`, capitals, `_`, hexadecimal digits, `]`.
fn placeholder(text: &str) -> Placeholder {
    let bytes = text.as_bytes();
    let run = |from: usize, max: usize, is_part: fn(&u8) -> bool| {
        bytes[from..].iter().take(max + 1).take_while(|byte| is_part(byte)).count()
    };
    let label = run(1, LABEL_BYTES_MAX, u8::is_ascii_uppercase);
    let line = 1 + label;
    if label > LABEL_BYTES_MAX {
        return Placeholder::No;
    }
    match bytes.get(line) {
        None => return Placeholder::Open,
        Some(b'_') if label > 0 => {}
        Some(_) => return Placeholder::No,
    }
    let digits = run(line + 1, DIGITS_MAX, |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let end = line + 1 + digits;
    if digits > DIGITS_MAX {
        return Placeholder::No;
    }
    match bytes.get(end) {
        None => Placeholder::Open,
        Some(b']') if digits >= DIGITS_MIN => Placeholder::Whole(end + 1),
        Some(_) => Placeholder::No,
    }
}

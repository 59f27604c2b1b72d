//! Addresses of mail as people write them: the dot-atoms of RFC 5322 section 3.4.1 without the signs that stand around
//! addresses more often than in them, with letters of Latin, Greek and Cyrillic (RFC 6531).

use super::text::{Found, Text};

/// Bytes before the `@` (RFC 5321 section 4.5.3.1.1).
pub(crate) const LOCAL_BYTES_MAX: usize = 64;
/// Bytes of the domain (RFC 1035 section 2.3.4).
const DOMAIN_BYTES_MAX: usize = 253;

/// A letter or digit; of scripts beyond ASCII those whose words have spaces between them (U+00C0 to U+053F).
fn is_alnum(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || is_letter_byte(byte)
}

/// The first or the second byte of such a letter. The second byte of another character does not come alone: its first one
/// is none of these, so the run has ended there.
fn is_letter_byte(byte: u8) -> bool {
    matches!(byte, 0xc3..=0xd4 | 0x80..=0xbf)
}

/// What may stand before the `@`.
pub(crate) fn is_local(byte: u8) -> bool {
    is_alnum(byte) || matches!(byte, b'.' | b'_' | b'%' | b'+' | b'-' | b'\'')
}

/// Where the part before the `@` at `at` begins, if one can end there.
pub(crate) fn begin_before(text: &Text<'_>, at: usize) -> Option<usize> {
    let from = at.saturating_sub(LOCAL_BYTES_MAX);
    let mut first = None;
    for place in (from..at).rev() {
        let byte = text.bytes[place];
        if !is_local(byte) {
            break;
        }
        if is_alnum(byte) && text.text.is_char_boundary(place) {
            first = Some(place);
        }
    }
    first
}

pub(crate) fn find(text: &Text<'_>, at: usize) -> Found {
    let bytes = text.bytes;
    if text.before(at).is_some_and(|byte| byte.is_ascii_alphanumeric()) {
        return Found::No;
    }
    if !bytes.get(at).is_some_and(|byte| is_alnum(*byte)) || begin_before(text, at).is_some() {
        return Found::No;
    }
    let local_end = at + run(&bytes[at..], LOCAL_BYTES_MAX + 1, is_local);
    if local_end - at > LOCAL_BYTES_MAX {
        return Found::No;
    }
    if text.is_open(local_end) {
        return Found::Wait { sure: None };
    }
    let local = &bytes[at..local_end];
    if bytes.get(local_end) != Some(&b'@')
        || local.ends_with(b".")
        || local.windows(2).any(|two| two == b"..")
    {
        return Found::No;
    }
    let domain = local_end + 1;
    let run = run(&bytes[domain.min(bytes.len())..], DOMAIN_BYTES_MAX + 1, |byte| {
        is_alnum(byte) || byte == b'.' || byte == b'-'
    });
    if run <= DOMAIN_BYTES_MAX && text.is_open(domain + run) {
        return Found::Wait { sure: None };
    }
    let domain_end = text.text.floor_char_boundary(domain + run.min(DOMAIN_BYTES_MAX));
    match domain_len(&text.text[domain..domain_end]) {
        // The address that code is fetched from over SSH.
        Some(len) if !(local == b"git" && bytes.get(domain + len) == Some(&b':')) => {
            Found::Yes(at..domain + len)
        }
        _ => Found::No,
    }
}

fn run(bytes: &[u8], max: usize, is_part: impl Fn(u8) -> bool) -> usize {
    bytes.iter().take(max).take_while(|byte| is_part(**byte)).count()
}

/// How much of it is the name of a domain: labels up to the last that can be a top one.
fn domain_len(text: &str) -> Option<usize> {
    let mut len = None;
    let mut at = 0;
    for (n, label) in text.split('.').enumerate() {
        if label.is_empty() || label.len() > 63 || label.starts_with('-') {
            break;
        }
        // A dash behind the last label may be one between words.
        let first = label.split('-').next().unwrap_or_default();
        if let Some(top) = [label, first].into_iter().find(|top| n > 0 && is_top(top)) {
            len = Some(at + top.len());
        }
        if label.ends_with('-') {
            break;
        }
        at += label.len() + 1;
    }
    len
}

/// Ends of names of files that follow an `@` in names of pictures and packages.
const FILES: [&str; 15] = [
    "png", "jpg", "jpeg", "gif", "svg", "webp", "avif", "css", "js", "mjs", "json", "html", "tgz", "zip",
    "webm",
];

fn is_top(label: &str) -> bool {
    let is_idn = label.len() > 4 && label.as_bytes()[..4].eq_ignore_ascii_case(b"xn--");
    let is_letters = label.chars().count() >= 2 && label.chars().all(char::is_alphabetic);
    (is_idn || is_letters) && !FILES.iter().any(|file| label.eq_ignore_ascii_case(file))
}

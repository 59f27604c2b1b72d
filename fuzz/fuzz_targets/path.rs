//! A path under any policy: one spelling, no dot segment left, nothing that a second decoding would change.
#![no_main]

use libfuzzer_sys::fuzz_target;
use penstock_http::{PathPolicy, path};

fuzz_target!(|input: (u8, &[u8])| {
    let (bits, bytes) = input;
    let policy = PathPolicy {
        double_slash: bits & 1 != 0,
        backslash: bits & 2 != 0,
        encoded_slash: bits & 4 != 0,
        encoded_backslash: bits & 8 != 0,
        encoded_controls: bits & 16 != 0,
        malformed_escapes: bits & 32 != 0,
        dot_parameters: bits & 64 != 0,
    };
    let mut out = Vec::new();
    let Ok(normal) = path::normalise(bytes, &policy, &mut out) else { return };
    let mut again = Vec::new();
    assert_eq!(path::normalise(normal, &policy, &mut again), Ok(normal));
    if normal == b"*" {
        return;
    }
    assert!(normal.starts_with(b"/") && normal.iter().all(|b| b.is_ascii_graphic()));
    // as an upstream would see it that decodes first and takes backslashes for slashes
    let decoded = decode(normal);
    let dots = |segment: &[u8]| segment == b"." || segment == b"..";
    let separators = |b: &u8| *b == b'/' || *b == b'\\';
    assert!(!decoded.split(separators).any(dots), "{:?}", normal.escape_ascii().to_string());
    if !policy.double_slash && !policy.encoded_slash {
        assert!(!decoded.windows(2).any(|pair| pair == b"//"));
    }
});

fn decode(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some((&b, behind)) = rest.split_first() {
        let escaped =
            (b == b'%').then(|| behind.get(..2)).flatten().and_then(|hex| std::str::from_utf8(hex).ok());
        match escaped.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = &behind[2..];
            }
            None => {
                out.push(b);
                rest = behind;
            }
        }
    }
    out
}

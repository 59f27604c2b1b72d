//! Path normalisation: once, before a route is matched, and the same bytes are forwarded.
//!
//! A path has one spelling here, so what was matched, what was authorised and what the upstream sees cannot differ:
//! - dot segments are resolved (RFC 3986 section 5.2.4), also when the dots are escaped; climbing above the root is
//!   refused instead of being cut off;
//! - escapes of unreserved characters (`%41`, `%7e`) are decoded and the hex digits of all others are upper case
//!   (RFC 3986 section 6.2.2: both spellings mean the same, and an upstream would decode them after us);
//! - what upstreams disagree about is refused unless the route's [`PathPolicy`] allows it, and then kept as it is.
//!
//! Knows paths only: the query is never touched.

use crate::code::Code;
use crate::request::is_target_byte;
use crate::scan::{Refusal, refuse};
use crate::word;

/// What a route lets pass. All off by default; each is an ambiguity that some upstream resolves its own way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathPolicy {
    /// `//`, kept (not merged).
    pub double_slash: bool,
    /// A raw `\`, kept.
    pub backslash: bool,
    /// `%2F`, kept escaped.
    pub encoded_slash: bool,
    /// `%5C`, kept escaped.
    pub encoded_backslash: bool,
    /// `%00` and the other control bytes (`%01` to `%1F`, `%7F`), kept escaped.
    pub encoded_controls: bool,
    /// A `%` without two hex digits behind it, forwarded as `%25`.
    pub malformed_escapes: bool,
    /// `/.;x` and `/..;x`, kept: some Java servers take them for dot segments.
    pub dot_parameters: bool,
}

/// Brings a path into its one spelling.
///
/// A path that is normal already, as nearly all are, is returned as it is after one scan; else the result is written
/// into `out` (cleared first; at most three times the length of the path). An empty path is `/`. `*` is returned as
/// it is.
///
/// # Errors
/// [`Code::BadPath`] for what the policy does not allow, [`Code::BadTarget`] for bytes that no path holds (which only
/// HTTP/2 can still bring here).
#[inline]
pub fn normalise<'a>(path: &'a [u8], policy: &PathPolicy, out: &'a mut Vec<u8>) -> Result<&'a [u8], Refusal> {
    if path.first() == Some(&b'/') && is_plain(path) { Ok(path) } else { judge(path, policy, out) }
}

/// [`normalise`] for a path that is not plain.
fn judge<'a>(path: &'a [u8], policy: &PathPolicy, out: &'a mut Vec<u8>) -> Result<&'a [u8], Refusal> {
    match path {
        [] => return Ok(b"/"),
        b"*" => return Ok(path),
        [b'/', ..] => {}
        _ => return refuse(Code::BadTarget, "the path does not begin with a slash", 0),
    }
    if is_normal(path)? {
        return Ok(path);
    }
    out.clear();
    rewrite(path, policy, out)?;
    Ok(out)
}

const SLASH: u8 = 1;
/// Suspect behind a slash only.
const DOT: u8 = 2;
const SUSPECT: u8 = 4;
const ILLEGAL: u8 = 8;

const CLASSES: [u8; 256] = {
    let mut table = [ILLEGAL; 256];
    let mut b = 0;
    while b < 256 {
        table[b] = match b as u8 {
            b'/' => SLASH,
            b'.' => DOT,
            b'%' | b'\\' => SUSPECT,
            b'?' => ILLEGAL,
            byte if is_target_byte(byte) => 0,
            _ => ILLEGAL,
        };
        b += 1;
    }
    table
};

/// Whether a path is beyond doubt normal: the first look, which nearly all paths pass.
#[inline]
fn is_plain(path: &[u8]) -> bool {
    let (words, rest) = path.as_chunks();
    let mut behind_slash = false;
    if !words.iter().all(|&bytes| word::is_plain_path(u64::from_le_bytes(bytes), &mut behind_slash)) {
        return false;
    }
    if rest.is_empty() {
        return true;
    }
    let fill = u64::from_le_bytes([b'a'; 8]) << (rest.len() * 8);
    word::is_plain_path(word::last_word(path, rest.len()) | fill, &mut behind_slash)
}

/// One scan without branches: true if the path needs no second look. Judges the bytes of the whole path in any case.
#[inline]
fn is_normal(path: &[u8]) -> Result<bool, Refusal> {
    let mut seen = 0;
    let mut behind_slash = 0;
    let mut before = 0;
    for &b in path {
        let class = CLASSES[usize::from(b)];
        seen |= class;
        // a slash or a dot behind a slash leaves the SLASH bit here
        behind_slash |= (class | class >> 1) & before;
        before = class;
    }
    if seen & ILLEGAL != 0 {
        let at = path.iter().position(|&b| CLASSES[usize::from(b)] == ILLEGAL).unwrap_or_default();
        return refuse(Code::BadTarget, "the path holds a byte that no URI holds", at);
    }
    Ok(seen & SUSPECT == 0 && behind_slash & SLASH == 0)
}

fn rewrite(path: &[u8], policy: &PathPolicy, out: &mut Vec<u8>) -> Result<(), Refusal> {
    let mut at = 1;
    loop {
        let end = memchr::memchr(b'/', &path[at..]).map_or(path.len(), |len| at + len);
        let is_last = end == path.len();
        let slash = out.len();
        out.push(b'/');
        write_segment(&path[at..end], at, policy, out)?;
        match &out[slash + 1..] {
            b"." => out.truncate(slash),
            b".." => {
                out.truncate(slash);
                match out.iter().rposition(|&b| b == b'/') {
                    Some(parent) => out.truncate(parent),
                    None => return refuse(Code::BadPath, "the path climbs above the root", at),
                }
            }
            b"" if !is_last && !policy.double_slash => return refuse(Code::BadPath, "`//` in the path", at),
            segment => {
                check_segment(segment, at, policy)?;
                if is_last {
                    return Ok(());
                }
                at = end + 1;
                continue;
            }
        }
        if is_last {
            // a dot segment at the end leaves its folder
            out.push(b'/');
            return Ok(());
        }
        at = end + 1;
    }
}

/// Writes a segment with its escapes in their one spelling.
fn write_segment(
    segment: &[u8],
    offset: usize,
    policy: &PathPolicy,
    out: &mut Vec<u8>,
) -> Result<(), Refusal> {
    let mut at = 0;
    while let Some(&b) = segment.get(at) {
        match b {
            b'\\' if !policy.backslash => {
                return refuse(Code::BadPath, "a backslash in the path", offset + at);
            }
            b'%' => match segment.get(at + 1..at + 3).and_then(|digits| unescape(digits[0], digits[1])) {
                Some(byte) => {
                    write_escape(byte, offset + at, policy, out)?;
                    at += 3;
                    continue;
                }
                None if policy.malformed_escapes => out.extend_from_slice(b"%25"),
                None => return refuse(Code::BadPath, "a malformed escape in the path", offset + at),
            },
            _ => out.push(b),
        }
        at += 1;
    }
    Ok(())
}

fn write_escape(byte: u8, at: usize, policy: &PathPolicy, out: &mut Vec<u8>) -> Result<(), Refusal> {
    match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            out.push(byte);
            return Ok(());
        }
        b'/' if !policy.encoded_slash => return refuse(Code::BadPath, "%2F in the path", at),
        b'\\' if !policy.encoded_backslash => return refuse(Code::BadPath, "%5C in the path", at),
        0..=0x1f | 0x7f if !policy.encoded_controls => {
            return refuse(Code::BadPath, "an escaped control byte in the path", at);
        }
        _ => {}
    }
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    out.extend_from_slice(&[b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
    Ok(())
}

/// Refuses dots that an upstream could take for a dot segment although RFC 3986 does not.
fn check_segment(segment: &[u8], at: usize, policy: &PathPolicy) -> Result<(), Refusal> {
    if !policy.dot_parameters && (segment.starts_with(b".;") || segment.starts_with(b"..;")) {
        return refuse(Code::BadPath, "a dot segment with parameters", at);
    }
    // where the policy lets separators in disguise pass, dots between them are still refused
    let mut rest = segment;
    let mut in_disguise = false;
    loop {
        let found = (0..rest.len()).find_map(|i| separator_len(&rest[i..]).map(|len| (i, len)));
        let piece = &rest[..found.map_or(rest.len(), |(i, _)| i)];
        in_disguise |= found.is_some();
        if in_disguise && (piece == b"." || piece == b"..") {
            return refuse(Code::BadPath, "dots beside an escaped slash or a backslash", at);
        }
        match found {
            Some((i, len)) => rest = &rest[i + len..],
            None => return Ok(()),
        }
    }
}

fn separator_len(text: &[u8]) -> Option<usize> {
    match text {
        [b'\\', ..] => Some(1),
        [b'%', b'2', b'F', ..] | [b'%', b'5', b'C', ..] => Some(3),
        _ => None,
    }
}

fn unescape(high: u8, low: u8) -> Option<u8> {
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(high)? << 4 | digit(low)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRICT: PathPolicy = PathPolicy {
        double_slash: false,
        backslash: false,
        encoded_slash: false,
        encoded_backslash: false,
        encoded_controls: false,
        malformed_escapes: false,
        dot_parameters: false,
    };
    const LAX: PathPolicy = PathPolicy {
        double_slash: true,
        backslash: true,
        encoded_slash: true,
        encoded_backslash: true,
        encoded_controls: true,
        malformed_escapes: true,
        dot_parameters: true,
    };

    fn run(path: &str, policy: &PathPolicy) -> Result<String, Code> {
        let mut out = Vec::new();
        match normalise(path.as_bytes(), policy, &mut out) {
            Ok(path) => Ok(String::from_utf8(path.to_vec()).unwrap()),
            Err(refusal) => Err(refusal.code),
        }
    }

    #[test]
    fn the_first_look_agrees_with_the_second() {
        const BYTES: &[u8] = b"/.%\\?a\x80";
        for number in 0..BYTES.len().pow(4) {
            let tail = [0, 1, 2, 3].map(|place| BYTES[number / BYTES.len().pow(place) % BYTES.len()]);
            // so that the four bytes stand at every place of a word and across two
            for before in 0..9 {
                let path = [b"/", &b"aaaaaaaa"[..before], &tail, &b"aaaaaaa"[before / 2..]].concat();
                let is_normal = is_normal(&path).unwrap_or(false);
                assert_eq!(is_plain(&path), is_normal, "{}", path.escape_ascii());
            }
        }
    }

    #[test]
    fn strict_table() {
        let cases: &[(&str, Result<&str, Code>)] = &[
            ("", Ok("/")),
            ("/", Ok("/")),
            ("*", Ok("*")),
            ("/a/b.c/d", Ok("/a/b.c/d")),
            ("/a/", Ok("/a/")),
            ("/a/./b", Ok("/a/b")),
            ("/a/../b", Ok("/b")),
            ("/a/b/..", Ok("/a/")),
            ("/a/b/.", Ok("/a/b/")),
            ("/.", Ok("/")),
            ("/a/%2e%2E/b", Ok("/b")),
            ("/a/.%2e/b", Ok("/b")),
            ("/a/%2e/b", Ok("/a/b")),
            ("/%61dmin", Ok("/admin")),
            ("/a%7e%3a", Ok("/a~%3A")),
            ("/.well-known/x", Ok("/.well-known/x")),
            ("/...", Ok("/...")),
            ("/..a/.b", Ok("/..a/.b")),
            ("/a%20b", Ok("/a%20b")),
            ("/%252e%252e/", Ok("/%252e%252e/")),
            ("/caf%c3%a9", Ok("/caf%C3%A9")),
            ("/a;b=c/d", Ok("/a;b=c/d")),
            ("/..", Err(Code::BadPath)),
            ("/a/../../b", Err(Code::BadPath)),
            ("/%2e%2e/etc", Err(Code::BadPath)),
            ("//", Err(Code::BadPath)),
            ("/a//b", Err(Code::BadPath)),
            ("/a/..//b", Err(Code::BadPath)),
            ("/a\\b", Err(Code::BadPath)),
            ("/a%2fb", Err(Code::BadPath)),
            ("/a%2Fb", Err(Code::BadPath)),
            ("/a%5cb", Err(Code::BadPath)),
            ("/a%00", Err(Code::BadPath)),
            ("/a%0d%0ab", Err(Code::BadPath)),
            ("/a%", Err(Code::BadPath)),
            ("/a%4", Err(Code::BadPath)),
            ("/a%zz", Err(Code::BadPath)),
            ("/a/..;/b", Err(Code::BadPath)),
            ("/a/.;x/b", Err(Code::BadPath)),
            ("/a b", Err(Code::BadTarget)),
            ("/a?b", Err(Code::BadTarget)),
            ("/a\u{e9}", Err(Code::BadTarget)),
            ("a", Err(Code::BadTarget)),
        ];
        for &(path, expected) in cases {
            assert_eq!(run(path, &STRICT), expected.map(str::to_string), "{path}");
        }
        assert_eq!(PathPolicy::default(), STRICT);
    }

    #[test]
    fn each_policy_allows_its_own_ambiguity_only() {
        let cases: &[(&str, PathPolicy, &str)] = &[
            ("/a//b", PathPolicy { double_slash: true, ..STRICT }, "/a//b"),
            ("/a\\b", PathPolicy { backslash: true, ..STRICT }, "/a\\b"),
            ("/a%2fb", PathPolicy { encoded_slash: true, ..STRICT }, "/a%2Fb"),
            ("/a%5cb", PathPolicy { encoded_backslash: true, ..STRICT }, "/a%5Cb"),
            ("/a%00b", PathPolicy { encoded_controls: true, ..STRICT }, "/a%00b"),
            ("/a%zz", PathPolicy { malformed_escapes: true, ..STRICT }, "/a%25zz"),
            ("/a/..;/b", PathPolicy { dot_parameters: true, ..STRICT }, "/a/..;/b"),
        ];
        for (index, (path, policy, expected)) in cases.iter().enumerate() {
            assert_eq!(run(path, policy), Ok(expected.to_string()), "{path}");
            for (other, (other_path, ..)) in cases.iter().enumerate() {
                if other != index {
                    assert_eq!(
                        run(other_path, policy),
                        Err(Code::BadPath),
                        "{other_path} with the policy of {path}"
                    );
                }
            }
        }
    }

    #[test]
    fn lax_paths_cannot_hide_dots() {
        assert_eq!(run("/a//../b", &LAX), Ok("/a/b".to_string()));
        assert_eq!(run("/%%32e%%32e/b", &LAX), Ok("/%252e%252e/b".to_string()));
        for path in ["/a/..%2fb", "/a%2f..", "/a%5c.%2eb/..\\", "/a\\..\\b", "/.%5Cb", "/a%2f%2e"] {
            assert_eq!(run(path, &LAX), Err(Code::BadPath), "{path}");
        }
    }
}

//! Host and port as they stand in a Host field or in the authority of a target (RFC 3986 section 3.2.2).
//!
//! Narrower than the RFC, as only what a certificate and DNS can name is routed: letters, digits, `-`, `_` and `.` in
//! labels of 1 to 63, IPv4, or an IPv6 literal in brackets. No user information, no zone, no percent-encoding.

use core::net::Ipv6Addr;

/// The longest host name without its trailing dot.
pub const HOST_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

/// Why an authority is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostFault {
    /// There is no host.
    #[error("the host is empty")]
    Empty,
    /// Longer than [`HOST_BYTES_MAX`], or a label longer than 63 bytes.
    #[error("the host or one of its labels is too long")]
    TooLong,
    /// A label is empty.
    #[error("the host has an empty label")]
    EmptyLabel,
    /// A byte that no host name holds: user information, a path, white space, percent-encoding.
    #[error("the host holds a byte that no host name holds")]
    BadByte,
    /// Not an IPv6 address in brackets.
    #[error("the host is not an IPv6 address in brackets")]
    BadIpv6,
    /// Not a decimal number from 1 to 65535.
    #[error("the port is not a number from 1 to 65535")]
    BadPort,
}

impl HostFault {
    /// The fault in words, for a refusal.
    pub const fn detail(self) -> &'static str {
        match self {
            HostFault::Empty => "the host is empty",
            HostFault::TooLong => "the host or one of its labels is too long",
            HostFault::EmptyLabel => "the host has an empty label",
            HostFault::BadByte => "the host holds a byte that no host name holds",
            HostFault::BadIpv6 => "the host is not an IPv6 address in brackets",
            HostFault::BadPort => "the port is not a number from 1 to 65535",
        }
    }
}

/// A checked host with its port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Authority<'a> {
    /// The host in the case of the sender, brackets of an IPv6 literal included, one trailing dot taken off.
    pub host: &'a [u8],
    /// The port, if one is named.
    pub port: Option<u16>,
}

impl<'a> Authority<'a> {
    /// Checks `host[:port]`. One pass, no allocation.
    pub fn parse(text: &'a [u8]) -> Result<Authority<'a>, HostFault> {
        let (host, port) = if text.first() == Some(&b'[') {
            let close = text.iter().position(|&b| b == b']').ok_or(HostFault::BadIpv6)?;
            let inner = core::str::from_utf8(&text[1..close]).map_err(|_| HostFault::BadIpv6)?;
            inner.parse::<Ipv6Addr>().map_err(|_| HostFault::BadIpv6)?;
            (&text[..=close], &text[close + 1..])
        } else {
            let end = check_name(text)?;
            (text[..end].strip_suffix(b".").unwrap_or(&text[..end]), &text[end..])
        };
        let port = match port {
            [] => None,
            [b':', digits @ ..] => Some(parse_port(digits)?),
            _ => return Err(HostFault::BadByte),
        };
        Ok(Authority { host, port })
    }

    /// The parts of a text that [`Authority::parse`] has accepted before, without looking at its bytes again. For
    /// the host of a parsed head.
    pub fn of_checked(text: &'a [u8]) -> Authority<'a> {
        const PORT_BYTES_MAX: usize = 6;
        let from = text.len().saturating_sub(PORT_BYTES_MAX);
        let colon = text[from..].iter().rposition(|&b| b == b':').map(|at| from + at);
        // In an IPv6 literal a colon before the bracket is part of the address.
        let colon = colon.filter(|&at| text[0] != b'[' || text[at - 1] == b']');
        let (host, port) = colon.map_or((text, None), |at| (&text[..at], Some(&text[at + 1..])));
        Authority {
            host: host.strip_suffix(b".").unwrap_or(host),
            port: port.and_then(|p| parse_port(p).ok()),
        }
    }

    /// The host in lower case. Borrows when it is so already, else writes into `scratch` (cleared first).
    pub fn lower<'s>(&'s self, scratch: &'s mut Vec<u8>) -> &'s [u8] {
        if !self.host.iter().any(u8::is_ascii_uppercase) {
            return self.host;
        }
        scratch.clear();
        scratch.extend(self.host.iter().map(u8::to_ascii_lowercase));
        scratch
    }

    /// Whether two authorities name the same place, ports left out being the default port of the scheme.
    pub fn same_place(&self, other: &Authority<'_>, port_default: u16) -> bool {
        self.host.eq_ignore_ascii_case(other.host)
            && self.port.unwrap_or(port_default) == other.port.unwrap_or(port_default)
    }
}

/// The bytes that a label may hold.
const IN_LABEL: [bool; 256] = {
    let mut table = [false; 256];
    let mut b = 0;
    while b < 256 {
        table[b] = (b as u8).is_ascii_alphanumeric() || b as u8 == b'-' || b as u8 == b'_';
        b += 1;
    }
    table
};

/// Checks the labels up to a colon or the end and returns where the name ends.
#[inline]
fn check_name(text: &[u8]) -> Result<usize, HostFault> {
    let mut label_start = 0;
    let mut at = 0;
    let end = loop {
        let stop = text.get(at);
        if let Some(&b) = stop
            && IN_LABEL[usize::from(b)]
        {
            at += 1;
            continue;
        }
        if at - label_start > LABEL_BYTES_MAX {
            return Err(HostFault::TooLong);
        }
        match stop {
            None | Some(b':') => break at,
            Some(b'.') if at > label_start => at += 1,
            Some(b'.') => return Err(HostFault::EmptyLabel),
            Some(_) => return Err(HostFault::BadByte),
        }
        label_start = at;
    };
    match end {
        0 => Err(HostFault::Empty),
        // a trailing dot may stand beyond the limit
        _ if end > HOST_BYTES_MAX + usize::from(label_start == end) => Err(HostFault::TooLong),
        _ => Ok(end),
    }
}

fn parse_port(digits: &[u8]) -> Result<u16, HostFault> {
    const PORT_DIGITS_MAX: usize = 5;
    if digits.is_empty() || digits.len() > PORT_DIGITS_MAX || !digits.iter().all(u8::is_ascii_digit) {
        return Err(HostFault::BadPort);
    }
    let number = digits.iter().fold(0_u32, |sum, &b| sum * 10 + u32::from(b - b'0'));
    u16::try_from(number).ok().filter(|&port| port != 0).ok_or(HostFault::BadPort)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_names_and_literals() {
        let cases: &[(&str, &str, Option<u16>)] = &[
            ("example.com", "example.com", None),
            ("Example.COM:8080", "Example.COM", Some(8080)),
            ("example.com.", "example.com", None),
            ("example.com.:443", "example.com", Some(443)),
            ("10.0.0.1:80", "10.0.0.1", Some(80)),
            ("[::1]", "[::1]", None),
            ("[2001:db8::A]:65535", "[2001:db8::A]", Some(65535)),
            ("a_b-c", "a_b-c", None),
        ];
        for &(text, host, port) in cases {
            let checked = Authority::of_checked(text.as_bytes());
            assert_eq!((checked.host, checked.port), (host.as_bytes(), port), "{text}");
            let authority = Authority::parse(text.as_bytes()).unwrap();
            assert_eq!((authority.host, authority.port), (host.as_bytes(), port), "{text}");
        }
    }

    #[test]
    fn refuses_the_rest() {
        use HostFault::*;
        let long_label = "a".repeat(64);
        let cases: &[(&str, HostFault)] = &[
            ("", Empty),
            (":80", Empty),
            (".", EmptyLabel),
            ("a..b", EmptyLabel),
            (".a", EmptyLabel),
            ("user@host", BadByte),
            ("host/path", BadByte),
            ("host name", BadByte),
            ("host%41", BadByte),
            ("h\u{f6}st", BadByte),
            ("a,b", BadByte),
            ("host:", BadPort),
            ("host:0", BadPort),
            ("host:65536", BadPort),
            ("host:+80", BadPort),
            ("host:80:80", BadPort),
            ("host:000080", BadPort),
            ("[::1", BadIpv6),
            ("[]", BadIpv6),
            ("[fe80::1%25eth0]", BadIpv6),
            ("[v1.x]", BadIpv6),
            ("[::1]x", BadByte),
            (&long_label, TooLong),
        ];
        for &(text, fault) in cases {
            assert_eq!(Authority::parse(text.as_bytes()), Err(fault), "{text}");
        }
    }

    #[test]
    fn length_holds_at_the_bound() {
        let longest =
            format!("{}.{}", ["a".repeat(63), "b".repeat(63), "c".repeat(63)].join("."), "d".repeat(61));
        assert_eq!(longest.len(), HOST_BYTES_MAX);
        assert!(Authority::parse(longest.as_bytes()).is_ok());
        assert!(Authority::parse(format!("{longest}.").as_bytes()).is_ok());
        assert_eq!(Authority::parse(format!("{longest}e").as_bytes()), Err(HostFault::TooLong));
    }

    #[test]
    fn lower_case_borrows_when_it_can() {
        let mut scratch = Vec::new();
        let plain = Authority::parse(b"a.b").unwrap();
        assert_eq!(plain.lower(&mut scratch), b"a.b");
        let mixed = Authority::parse(b"A.b:1").unwrap();
        assert_eq!(mixed.lower(&mut scratch), b"a.b");
        let with_port = Authority::parse(b"a.B:80").unwrap();
        assert!(with_port.same_place(&Authority::parse(b"A.b").unwrap(), 80));
        assert!(!with_port.same_place(&Authority::parse(b"A.b").unwrap(), 443));
    }
}

//! Which address a request comes from, and what the upstream is told about its way.
//!
//! `X-Forwarded-For` and `Forwarded` (RFC 7239) are believed from trusted proxies only, from right to left: the
//! first address that is no trusted proxy is the client. Whatever does not read as an address ends the walk;
//! what stands left of it could be anybody's invention. Where both fields are there and name different clients,
//! the request is refused: one of them was not written by the proxy.

use crate::cidr::{Cidr, canonical};
use crate::request::Request;
use penstock_http::{Code, FieldId};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Lines of one field that are read; more are malformed.
pub const LINES_MAX: usize = 16;
/// Addresses that are walked over; what stands left of them is not looked at.
pub const HOPS_MAX: usize = 32;

/// Where a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Client {
    /// The client; `0.0.0.0` on a Unix socket that nothing is known behind.
    pub(crate) address: IpAddr,
    /// The peer is a trusted proxy: what it says of the way is kept and added to.
    pub(crate) by_trusted: bool,
}

/// The client of a request.
#[inline]
pub(crate) fn find(trusted: &[Cidr], request: &Request<'_>) -> Result<Client, Code> {
    let peer = canonical(request.peer.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)));
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    if trusted.is_empty() || !is_trusted(peer) {
        return Ok(Client { address: peer, by_trusted: false });
    }
    let walk = |id: FieldId, read: fn(&[u8]) -> Option<IpAddr>| -> Result<Option<IpAddr>, Code> {
        let mut lines = arrayvec::ArrayVec::<&[u8], LINES_MAX>::new();
        for field in request.head.fields.all(id) {
            lines.try_push(field.value.of(request.buf)).map_err(|_| Code::BadHeader)?;
        }
        if lines.is_empty() {
            return Ok(None);
        }
        let mut client = peer;
        for element in lines.iter().rev().flat_map(|line| elements_from_right(line)).take(HOPS_MAX) {
            let Some(address) = read(element.trim_ascii()) else { break };
            client = canonical(address);
            if !is_trusted(client) {
                break;
            }
        }
        Ok(Some(client))
    };
    let address = match (walk(FieldId::XForwardedFor, node)?, walk(FieldId::Forwarded, forwarded_for)?) {
        (Some(one), Some(other)) if one != other => return Err(Code::BadHeader),
        (Some(one), _) | (None, Some(one)) => one,
        (None, None) => peer,
    };
    Ok(Client { address, by_trusted: true })
}

/// The comma-separated elements of a line, the last first. A comma inside quotes does not occur in an address,
/// so an element cut by one does not read as an address and ends the walk.
fn elements_from_right(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.rsplit(|&byte| byte == b',')
}

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`.
fn node(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address);
    }
    if let Some(inner) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return inner.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    }
    text.parse::<SocketAddr>().ok().map(|address| address.ip())
}

/// The `for` of one element of Forwarded; `None` also for `unknown` and obfuscated names.
fn forwarded_for(element: &[u8]) -> Option<IpAddr> {
    let mut found = None;
    for pair in element.split(|&byte| byte == b';') {
        let pair = pair.trim_ascii();
        let split = pair.iter().position(|&byte| byte == b'=')?;
        if !pair[..split].eq_ignore_ascii_case(b"for") {
            continue;
        }
        let value = &pair[split + 1..];
        let bare = match value.strip_prefix(b"\"") {
            Some(rest) => rest.strip_suffix(b"\"")?,
            // Only IPv4 without a port is a token.
            None if value.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.') => value,
            None => return None,
        };
        if found.is_some() || (bare.contains(&b':') && !bare.starts_with(b"[") && !is_v4_with_port(bare)) {
            return None;
        }
        found = Some(node(bare)?);
    }
    found
}

fn is_v4_with_port(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| text.parse::<std::net::SocketAddrV4>().is_ok())
}

/// Appends the fields that tell an upstream the way: `X-Forwarded-For`, `-Proto` and `-Host`, and `Forwarded`
/// where a trusted proxy already wrote one. What an untrusted peer wrote is gone by then.
#[inline]
pub(crate) fn write_way(request: &Request<'_>, client: &Client, out: &mut Vec<u8>) {
    if client.by_trusted {
        return write_way_on(request, out);
    }
    if request.peer.is_some() {
        // Without a proxy that is trusted, the client is the peer.
        out.extend_from_slice(b"x-forwarded-for: ");
        write_address(client.address, out);
        out.extend_from_slice(b"\r\n");
    }
    let host = request.head.host.of(request.buf);
    match (request.tls.is_some(), host.is_empty()) {
        (false, true) => out.extend_from_slice(b"x-forwarded-proto: http\r\n"),
        (true, true) => out.extend_from_slice(b"x-forwarded-proto: https\r\n"),
        (false, false) => out.extend_from_slice(b"x-forwarded-proto: http\r\nx-forwarded-host: "),
        (true, false) => out.extend_from_slice(b"x-forwarded-proto: https\r\nx-forwarded-host: "),
    }
    if !host.is_empty() {
        out.extend_from_slice(host);
        out.extend_from_slice(b"\r\n");
    }
}

/// As [`write_way`], behind a proxy that is trusted: what it wrote is kept and added to.
fn write_way_on(request: &Request<'_>, out: &mut Vec<u8>) {
    let peer = canonical(request.peer.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)));
    let kept = |id: FieldId| {
        let values = request.head.fields.all(id).map(|field| field.value.of(request.buf));
        values.filter(|value| !value.is_empty())
    };
    let scheme: &[u8] = if request.tls.is_some() { b"https" } else { b"http" };
    let host = request.head.host.of(request.buf);
    let list = |out: &mut Vec<u8>, id: FieldId| {
        for value in kept(id) {
            out.extend_from_slice(value);
            out.extend_from_slice(b", ");
        }
    };
    if request.peer.is_some() {
        out.extend_from_slice(b"x-forwarded-for: ");
        list(out, FieldId::XForwardedFor);
        write_address(peer, out);
        out.extend_from_slice(b"\r\n");
    }
    for (name, id, own) in [
        (&b"x-forwarded-proto: "[..], FieldId::XForwardedProto, scheme),
        (b"x-forwarded-host: ", FieldId::XForwardedHost, host),
    ] {
        let value = kept(id).next().unwrap_or(own);
        if !value.is_empty() {
            out.extend_from_slice(name);
            out.extend_from_slice(value);
            out.extend_from_slice(b"\r\n");
        }
    }
    if request.head.fields.has(FieldId::Forwarded) {
        out.extend_from_slice(b"forwarded: ");
        list(out, FieldId::Forwarded);
        out.extend_from_slice(if peer.is_ipv6() { b"for=\"[" } else { b"for=" });
        write_address(peer, out);
        out.extend_from_slice(if peer.is_ipv6() { b"]\";proto=" } else { b";proto=" });
        out.extend_from_slice(scheme);
        out.extend_from_slice(b"\r\n");
    }
}

/// The decimal digits of each octet with a dot behind them, and how many bytes that is.
const OCTETS: [([u8; 4], u8); 256] = {
    let mut table = [([0; 4], 0); 256];
    let mut octet = 0;
    while octet < 256 {
        let digits = [b'0' + (octet / 100) as u8, b'0' + (octet / 10 % 10) as u8, b'0' + (octet % 10) as u8];
        table[octet] = match octet {
            0..10 => ([digits[2], b'.', 0, 0], 2),
            10..100 => ([digits[1], digits[2], b'.', 0], 3),
            _ => ([digits[0], digits[1], digits[2], b'.'], 4),
        };
        octet += 1;
    }
    table
};

/// Appends an address as text, without allocating.
#[inline]
pub(crate) fn write_address(address: IpAddr, out: &mut Vec<u8>) {
    match address {
        IpAddr::V4(address) => {
            let mut text = [0; 16];
            let mut at = 0;
            for octet in address.octets() {
                let (bytes, length) = OCTETS[usize::from(octet)];
                // At most 12 bytes stand before the last octet.
                text[at..at + 4].copy_from_slice(&bytes);
                at += usize::from(length);
            }
            out.extend_from_slice(&text[..at - 1]);
        }
        IpAddr::V6(address) => {
            use std::io::Write;
            // Writing to a vector does not fail.
            let _ = write!(out, "{address}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use penstock_http::RequestHead;
    use penstock_limits::Now;

    fn run(peer: &str, fields: &[(&str, &str)]) -> (Result<String, Code>, String) {
        let trusted: Vec<Cidr> =
            ["10.0.0.0/8", "2001:db8:f::/48"].iter().map(|text| text.parse().expect(text)).collect();
        let mut text = "GET / HTTP/1.1\r\nHost: api.t\r\n".to_owned();
        for (name, value) in fields {
            text += &format!("{name}: {value}\r\n");
        }
        text += "\r\n";
        let mut head = RequestHead::new();
        let parsed = head.parse(text.as_bytes(), &penstock_http::HeadLimits::default());
        assert!(matches!(parsed, Ok(penstock_http::Parsed::Complete)), "{text}");
        let request = Request {
            head: &head,
            buf: text.as_bytes(),
            peer: Some(peer.parse().expect(peer)),
            listener: 0,
            tls: None,
            now: Now::default(),
        };
        match find(&trusted, &request) {
            Err(code) => (Err(code), String::new()),
            Ok(client) => {
                let mut out = Vec::new();
                write_way(&request, &client, &mut out);
                (Ok(client.address.to_string()), String::from_utf8(out).expect("text"))
            }
        }
    }

    #[test]
    fn the_first_address_from_the_right_that_is_no_trusted_proxy_is_the_client() {
        const XFF: &str = "x-forwarded-for";
        type Case = (&'static str, &'static [(&'static str, &'static str)], Result<&'static str, Code>);
        let cases: &[Case] = &[
            ("192.0.2.1", &[], Ok("192.0.2.1")),
            ("192.0.2.1", &[(XFF, "198.51.100.1")], Ok("192.0.2.1")),
            ("10.0.0.1", &[], Ok("10.0.0.1")),
            ("10.0.0.1", &[(XFF, "198.51.100.1")], Ok("198.51.100.1")),
            ("::ffff:10.0.0.1", &[(XFF, "198.51.100.1")], Ok("198.51.100.1")),
            ("2001:db8:f::1", &[(XFF, "2001:db8::9")], Ok("2001:db8::9")),
            ("10.0.0.1", &[(XFF, "203.0.113.9, 198.51.100.1")], Ok("198.51.100.1")),
            ("10.0.0.1", &[(XFF, "198.51.100.1,10.1.1.1 , 10.2.2.2")], Ok("198.51.100.1")),
            ("10.0.0.1", &[(XFF, "10.1.1.1, 10.2.2.2")], Ok("10.1.1.1")),
            ("10.0.0.1", &[(XFF, "198.51.100.1"), (XFF, "10.2.2.2")], Ok("198.51.100.1")),
            ("10.0.0.1", &[(XFF, "198.51.100.1:4711")], Ok("198.51.100.1")),
            ("10.0.0.1", &[(XFF, "[2001:db8::9]:80")], Ok("2001:db8::9")),
            ("10.0.0.1", &[(XFF, "::ffff:198.51.100.1")], Ok("198.51.100.1")),
            ("10.0.0.1", &[(XFF, "198.51.100.1, junk, 10.2.2.2")], Ok("10.2.2.2")),
            ("10.0.0.1", &[(XFF, "198.51.100.1, ")], Ok("10.0.0.1")),
            ("10.0.0.1", &[(XFF, "0x7f.1")], Ok("10.0.0.1")),
            ("10.0.0.1", &[(XFF, "198.51.100.001")], Ok("10.0.0.1")),
            ("10.0.0.1", &[("forwarded", "for=198.51.100.1;proto=https")], Ok("198.51.100.1")),
            ("10.0.0.1", &[("forwarded", "For=\"[2001:db8::9]:80\"")], Ok("2001:db8::9")),
            ("10.0.0.1", &[("forwarded", "for=\"198.51.100.1:80\"; by=10.0.0.1")], Ok("198.51.100.1")),
            ("10.0.0.1", &[("forwarded", "for=203.0.113.9, for=10.3.3.3")], Ok("203.0.113.9")),
            ("10.0.0.1", &[("forwarded", "for=unknown")], Ok("10.0.0.1")),
            ("10.0.0.1", &[("forwarded", "for=_hidden, for=10.3.3.3")], Ok("10.3.3.3")),
            ("10.0.0.1", &[("forwarded", "for=2001:db8::9")], Ok("10.0.0.1")),
            ("10.0.0.1", &[("forwarded", "for=198.51.100.1;for=203.0.113.9")], Ok("10.0.0.1")),
            ("10.0.0.1", &[(XFF, "198.51.100.1"), ("forwarded", "for=198.51.100.1")], Ok("198.51.100.1")),
            ("10.0.0.1", &[(XFF, "198.51.100.1"), ("forwarded", "for=203.0.113.9")], Err(Code::BadHeader)),
            ("192.0.2.1", &[(XFF, "198.51.100.1"), ("forwarded", "for=203.0.113.9")], Ok("192.0.2.1")),
        ];
        for (peer, fields, expected) in cases {
            assert_eq!(run(peer, fields).0, expected.map(str::to_owned), "{peer} {fields:?}");
        }
    }

    #[test]
    fn lines_are_bounded() {
        let fields = vec![("x-forwarded-for", "10.1.1.1"); LINES_MAX + 1];
        assert_eq!(run("10.0.0.1", &fields).0, Err(Code::BadHeader));
        assert_eq!(run("10.0.0.1", &fields[1..]).0, Ok("10.1.1.1".to_owned()));
        let many = vec!["10.1.1.1"; HOPS_MAX].join(", ");
        let beyond = format!("198.51.100.1, {many}");
        assert_eq!(run("10.0.0.1", &[("x-forwarded-for", &beyond)]).0, Ok("10.1.1.1".to_owned()));
    }

    #[test]
    fn upstreams_are_told_the_way() {
        let own = "x-forwarded-for: 192.0.2.1\r\nx-forwarded-proto: http\r\nx-forwarded-host: api.t\r\n";
        let spoofed =
            [("x-forwarded-for", "1.1.1.1"), ("x-forwarded-proto", "https"), ("forwarded", "for=1.1.1.1")];
        assert_eq!(run("192.0.2.1", &spoofed).1, own);
        let trusted =
            [("x-forwarded-for", "1.1.1.1"), ("x-forwarded-proto", "https"), ("forwarded", "for=1.1.1.1")];
        let added = "x-forwarded-for: 1.1.1.1, 10.0.0.1\r\nx-forwarded-proto: https\r\nx-forwarded-host: api.t\r\nforwarded: for=1.1.1.1, for=10.0.0.1;proto=http\r\n";
        assert_eq!(run("10.0.0.1", &trusted).1, added);
    }
}

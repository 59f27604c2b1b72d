//! Filling a [`RequestHead`] from HTTP/2 (RFC 9113 section 8.3), so that the rest of the gateway sees one kind of head.
//!
//! The HTTP/2 stack has decoded and checked the fields; here the pseudo-fields are judged by the same rules as a
//! request line and Host, and everything is laid out in one buffer as HTTP/1 would have it:
//! [`RequestHead::begin_http2`], then [`FieldTable::push_line`](crate::head::FieldTable::push_line) for each field, then
//! [`RequestHead::finish_http2`].

use crate::code::Code;
use crate::field::{FieldId, FieldSet};
use crate::head::{HeadLimits, Span, Upgrade, Version};
use crate::host::Authority;
use crate::method::Method;
use crate::request::{Framing, METHOD_BYTES_MAX, RequestHead, is_target_byte};
use crate::scan::{Refusal, is_token_byte, refuse};

/// The pseudo-fields of a request.
#[derive(Clone, Copy, Debug)]
pub struct PseudoFields<'a> {
    /// `:method`
    pub method: &'a [u8],
    /// Whether `:scheme` is `https`.
    pub https: bool,
    /// `:authority`; empty when it is not there.
    pub authority: &'a [u8],
    /// `:path`
    pub path: &'a [u8],
    /// `:protocol` of an extended CONNECT (RFC 8441); only `websocket` is known.
    pub protocol: Option<&'a [u8]>,
}

/// Fields that HTTP/2 forbids, as they speak of an HTTP/1 connection (RFC 9113 section 8.2.2).
const FORBIDDEN: FieldSet = FieldSet::of(&[
    FieldId::Connection,
    FieldId::ProxyConnection,
    FieldId::KeepAlive,
    FieldId::TransferEncoding,
    FieldId::Upgrade,
    FieldId::Http2Settings,
]);

impl RequestHead {
    /// Begins a head in `buf` (cleared first): the pseudo-fields, whose bytes stand before the field lines.
    ///
    /// # Errors
    /// As for a request line; the stream is to be answered, the connection lives on.
    pub fn begin_http2(
        &mut self,
        buf: &mut Vec<u8>,
        pseudo: &PseudoFields<'_>,
        limits: &HeadLimits,
    ) -> Result<(), Refusal> {
        self.reset();
        buf.clear();
        let limits = limits.clamped();
        let method = pseudo.method;
        if method.is_empty() || method.len() > METHOD_BYTES_MAX || !method.iter().all(|&b| is_token_byte(b)) {
            return refuse(Code::BadMethod, "the method is not a token of fitting length", 0);
        }
        if pseudo.path.len() > limits.target_bytes_max {
            return refuse(Code::TargetTooLong, "the request target is longer than the limit", 0);
        }
        if !pseudo.path.iter().all(|&b| is_target_byte(b)) {
            return refuse(Code::BadTarget, "the request target holds a byte that no URI holds", 0);
        }
        self.version = Version::Http2;
        self.method = Method::lookup(method);
        self.method_text = append(buf, method)?;
        self.upgrade = match (self.method, pseudo.protocol) {
            (Method::Connect, Some(b"websocket")) => Some(Upgrade::WebSocket),
            (Method::Connect, _) => return refuse(Code::ConnectNotSupported, "CONNECT is not served", 0),
            (_, Some(_)) => return refuse(Code::BadHeader, ":protocol without CONNECT", 0),
            (_, None) => None,
        };
        if !matches!(pseudo.path, [b'/', ..] | [b'*']) {
            return refuse(Code::BadTarget, ":path does not begin with a slash", 0);
        }
        self.target = append(buf, pseudo.path)?;
        self.split_target(buf)?;
        self.host = append(buf, pseudo.authority)?;
        Ok(())
    }

    /// Judges the fields, once all are pushed. `end_stream` says that no body follows.
    ///
    /// # Errors
    /// As for an HTTP/1.1 head.
    pub fn finish_http2(
        &mut self,
        buf: &[u8],
        pseudo: &PseudoFields<'_>,
        end_stream: bool,
        limits: &HeadLimits,
    ) -> Result<(), Refusal> {
        let limits = limits.clamped();
        if buf.len() > limits.head_bytes_max {
            return refuse(Code::HeadTooLarge, "the head is larger than the limit", limits.head_bytes_max);
        }
        if self.fields.len() > limits.fields_max {
            return refuse(Code::TooManyFields, "too many header fields", 0);
        }
        if !self.fields.present().intersection(FORBIDDEN).is_empty() {
            return refuse(Code::BadHeader, "a field of HTTP/1 connections in HTTP/2", 0);
        }
        if self.fields.all(FieldId::Te).any(|te| !te.value.of(buf).eq_ignore_ascii_case(b"trailers")) {
            return refuse(Code::BadHeader, "TE is not `trailers`", 0);
        }
        self.head_len = buf.len();
        self.keep_alive = true;
        self.check_authority(buf, pseudo.https)?;
        self.framing = match (self.request_framing(buf)?, end_stream) {
            (Framing::Length(length), true) if length > 0 => {
                return refuse(Code::BadContentLength, "a length is announced and no body follows", 0);
            }
            (framing, true) => framing,
            (Framing::Length(length), false) => Framing::Length(length),
            (_, false) => Framing::Chunked,
        };
        self.check_expect(buf)
    }

    fn check_authority(&mut self, buf: &[u8], https: bool) -> Result<(), Refusal> {
        let check = |span: Span| {
            Authority::parse(span.of(buf))
                .map_err(|fault| Refusal::new(Code::BadHost, fault.detail(), usize::from(span.start)))
        };
        if self.fields.is_repeated(FieldId::Host) {
            return refuse(Code::BadHost, "Host is repeated", 0);
        }
        match self.fields.get(FieldId::Host).map(|field| field.value) {
            None if self.host.is_empty() => {
                return refuse(Code::MissingHost, "neither :authority nor Host", 0);
            }
            None => {
                check(self.host)?;
            }
            Some(host) if self.host.is_empty() => {
                check(host)?;
                self.host = host;
            }
            Some(host) => {
                if !check(self.host)?.same_place(&check(host)?, if https { 443 } else { 80 }) {
                    return refuse(Code::BadHost, "Host differs from :authority", usize::from(host.start));
                }
            }
        }
        Ok(())
    }
}

fn append(buf: &mut Vec<u8>, bytes: &[u8]) -> Result<Span, Refusal> {
    let start = buf.len();
    buf.extend_from_slice(bytes);
    match Span::between(start, buf.len()) {
        Some(span) => Ok(span),
        None => refuse(Code::HeadTooLarge, "the head is larger than a span reaches", start),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write::copy_fields;

    const GET: PseudoFields<'_> =
        PseudoFields { method: b"GET", https: true, authority: b"a", path: b"/b?c", protocol: None };

    fn fill(
        pseudo: &PseudoFields<'_>,
        fields: &[(&str, &str)],
        end_stream: bool,
    ) -> Result<(RequestHead, Vec<u8>), Code> {
        let limits = HeadLimits::default();
        let mut head = RequestHead::new();
        let mut buf = Vec::new();
        head.begin_http2(&mut buf, pseudo, &limits).map_err(|refusal| refusal.code)?;
        for (name, value) in fields {
            head.fields.push_line(&mut buf, name.as_bytes(), value.as_bytes()).unwrap();
        }
        head.finish_http2(&buf, pseudo, end_stream, &limits).map_err(|refusal| refusal.code)?;
        Ok((head, buf))
    }

    #[test]
    fn a_head_looks_as_one_of_http1() {
        let fields = [("accept", "*/*"), ("te", "trailers"), ("cookie", "a=b"), ("x", "y")];
        let (head, buf) = fill(&GET, &fields, true).unwrap();
        assert_eq!((head.method, head.version, head.framing), (Method::Get, Version::Http2, Framing::None));
        assert_eq!((head.path.of(&buf), head.query.unwrap().of(&buf)), (&b"/b"[..], &b"c"[..]));
        assert_eq!(head.host.of(&buf), b"a");
        let mut out = Vec::new();
        copy_fields(&mut out, &buf, &head.fields, FieldSet::EMPTY);
        assert_eq!(out, b"accept: */*\r\ncookie: a=b\r\nx: y\r\n");
    }

    #[test]
    fn framing_follows_end_stream_and_length() {
        let length = |text| [("content-length", text)];
        assert_eq!(fill(&GET, &[], false).unwrap().0.framing, Framing::Chunked);
        assert_eq!(fill(&GET, &length("5"), false).unwrap().0.framing, Framing::Length(5));
        assert_eq!(fill(&GET, &length("0"), true).unwrap().0.framing, Framing::Length(0));
        assert_eq!(fill(&GET, &length("5"), true).unwrap_err(), Code::BadContentLength);
        assert_eq!(fill(&GET, &length("+5"), false).unwrap_err(), Code::BadContentLength);
    }

    #[test]
    fn pseudo_fields_are_judged_as_a_request_line() {
        let long = vec![b'a'; METHOD_BYTES_MAX + 1];
        let far = [b"/", &[b'a'; 16 * 1024][..]].concat();
        let cases: &[(PseudoFields<'_>, Code)] = &[
            (PseudoFields { method: b"", ..GET }, Code::BadMethod),
            (PseudoFields { method: b"G T", ..GET }, Code::BadMethod),
            (PseudoFields { method: &long, ..GET }, Code::BadMethod),
            (PseudoFields { method: b"CONNECT", ..GET }, Code::ConnectNotSupported),
            (PseudoFields { method: b"CONNECT", protocol: Some(b"x"), ..GET }, Code::ConnectNotSupported),
            (PseudoFields { protocol: Some(b"websocket"), ..GET }, Code::BadHeader),
            (PseudoFields { path: b"", ..GET }, Code::BadTarget),
            (PseudoFields { path: b"*", ..GET }, Code::BadTarget),
            (PseudoFields { path: b"http://a/", ..GET }, Code::BadTarget),
            (PseudoFields { path: b"/a b", ..GET }, Code::BadTarget),
            (PseudoFields { path: b"/a#b", ..GET }, Code::BadTarget),
            (PseudoFields { path: &far, ..GET }, Code::TargetTooLong),
            (PseudoFields { authority: b"", ..GET }, Code::MissingHost),
            (PseudoFields { authority: b"u@a", ..GET }, Code::BadHost),
        ];
        for (pseudo, code) in cases {
            assert_eq!(fill(pseudo, &[], true).unwrap_err(), *code, "{pseudo:?}");
        }
        let websocket = PseudoFields { method: b"CONNECT", protocol: Some(b"websocket"), ..GET };
        assert_eq!(fill(&websocket, &[], false).unwrap().0.upgrade, Some(Upgrade::WebSocket));
    }

    #[test]
    fn fields_of_http1_connections_are_refused() {
        for name in ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"] {
            assert_eq!(fill(&GET, &[(name, "x")], true).unwrap_err(), Code::BadHeader, "{name}");
        }
        assert_eq!(fill(&GET, &[("te", "gzip")], true).unwrap_err(), Code::BadHeader);
        assert_eq!(fill(&GET, &[("expect", "x")], false).unwrap_err(), Code::ExpectationFailed);
        assert_eq!(fill(&GET, &[("host", "b")], true).unwrap_err(), Code::BadHost);
        assert_eq!(fill(&GET, &[("host", "a"), ("host", "a")], true).unwrap_err(), Code::BadHost);
        assert!(fill(&GET, &[("host", "A:443")], true).is_ok());
        let no_authority = PseudoFields { authority: b"", ..GET };
        let (head, buf) = fill(&no_authority, &[("host", "h")], true).unwrap();
        assert_eq!(head.host.of(&buf), b"h");
    }

    #[test]
    fn size_holds_at_the_bound() {
        let text = "x".repeat(32 * 1024);
        assert_eq!(fill(&GET, &[("x", &text)], true).unwrap_err(), Code::HeadTooLarge);
    }
}

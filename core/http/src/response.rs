//! The head of an upstream's response: the strict HTTP/1.1 parser and the structure that HTTP/2 fills too.
//!
//! As strict as for requests: what is framed ambiguously is a fault, for a response that two readers end at different
//! places poisons the pooled connection. Follows RFC 9112 sections 4 and 6.3.

use crate::code::Code;
use crate::connection;
use crate::field::FieldId;
use crate::head::{FieldTable, HeadLimits, Parsed, Span, Upgrade, Version};
use crate::method::Method;
use crate::scan::{LineScan, Refusal, fill, needs_more, parse_fields, parse_length, refuse};
use crate::word;
use core::ops::ControlFlow::{self, Break, Continue};

/// How the body of a response is framed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BodyFraming {
    /// There is no body: HEAD, 1xx, 204 and 304.
    #[default]
    None,
    /// So many bytes follow; may be 0.
    Length(u64),
    /// Chunks follow (in HTTP/2: DATA frames of unknown number).
    Chunked,
    /// The body ends where the connection ends.
    UntilClose,
}

/// What the request asked for, as far as it changes how its response is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// The method of the request.
    pub method: Method,
    /// What an upgrade was asked for, and sent to the upstream; a 101 is a fault without it.
    pub upgrade: Option<Upgrade>,
}

impl From<Method> for Asked {
    fn from(method: Method) -> Asked {
        Asked { method, upgrade: None }
    }
}

/// A response that must not be relayed: answer 502 and close the upstream's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("upstream response at byte {offset}: {detail}")]
pub struct ResponseFault {
    /// [`Code::UpstreamBadResponse`], or [`Code::UpstreamTooLarge`] for a head over the limits.
    pub code: Code,
    /// What exactly is wrong, for records and logs; not for the caller.
    pub detail: &'static str,
    /// Index of the offending byte in the buffer, as near as it is known.
    pub offset: u32,
}

impl From<Refusal> for ResponseFault {
    fn from(refusal: Refusal) -> ResponseFault {
        let code = match refusal.code {
            Code::HeadTooLarge | Code::TooManyFields => Code::UpstreamTooLarge,
            _ => Code::UpstreamBadResponse,
        };
        ResponseFault { code, detail: refusal.detail, offset: refusal.offset }
    }
}

/// The head of a response. About 1.6 KiB, made once per connection and reused; parsing allocates nothing.
#[derive(Clone, Debug, Default)]
pub struct ResponseHead {
    /// The status, 100 to 599.
    pub status: u16,
    /// The reason phrase, often empty.
    pub reason: Span,
    /// The version the response came in.
    pub version: Version,
    /// The field lines.
    pub fields: FieldTable,
    /// How the body is framed.
    pub framing: BodyFraming,
    /// The checked Content-Length, also where there is no body (HEAD and 304 tell the length of what a GET would get).
    pub content_length: Option<u64>,
    /// Whether the connection may be used again once the body is read.
    pub keep_alive: bool,
    /// A 1xx other than 101: the final response follows.
    pub interim: bool,
    /// Bytes of the head; the body begins here.
    pub head_len: usize,
    scan: Scan,
}

#[derive(Clone, Copy, Debug, Default)]
enum Scan {
    #[default]
    Fresh,
    /// Within the fixed part of the status line, `HTTP/1.1 200`.
    Status,
    Reason {
        pos: usize,
    },
    Fields {
        from: usize,
        lines: LineScan,
    },
}

/// Bytes of `HTTP/1.1 200`.
const STATUS_PART_LEN: usize = 12;

impl ResponseHead {
    /// A head with nothing in it.
    pub fn new() -> ResponseHead {
        ResponseHead::default()
    }

    /// Forgets everything, a half-read head too. Needed only when a head is given up before it is complete.
    pub fn reset(&mut self) {
        self.scan = Scan::Fresh;
        self.clear();
    }

    fn clear(&mut self) {
        self.fields.clear();
        self.status = 0;
        self.reason = Span::default();
        self.version = Version::Http11;
        self.framing = BodyFraming::None;
        self.content_length = None;
        self.keep_alive = false;
        self.interim = false;
        self.head_len = 0;
    }

    /// Parses a head at the start of `buf`; after [`Parsed::Partial`] call again with more bytes behind the same ones.
    ///
    /// # Errors
    /// A [`ResponseFault`] as soon as the prefix cannot become a head that is relayed.
    pub fn parse(
        &mut self,
        buf: &[u8],
        limits: &HeadLimits,
        asked: impl Into<Asked>,
    ) -> Result<Parsed, ResponseFault> {
        let (limits, asked) = (limits.clamped(), asked.into());
        if let Scan::Fresh = self.scan {
            self.clear();
            if let Some(end) = self.take_whole(&buf[..buf.len().min(limits.head_bytes_max)], &limits) {
                return Ok(self.finish(buf, end, asked).map(|()| Parsed::Complete)?);
            }
        }
        let result = self.advance(buf, &limits, asked);
        if !matches!(result, Ok(Parsed::Partial)) {
            self.scan = Scan::Fresh;
        }
        result.map_err(ResponseFault::from)
    }

    #[inline(never)]
    fn advance(&mut self, buf: &[u8], limits: &HeadLimits, asked: Asked) -> Result<Parsed, Refusal> {
        let window = &buf[..buf.len().min(limits.head_bytes_max)];
        let mut scan = self.scan;
        loop {
            let step = match scan {
                Scan::Fresh => Continue(Scan::Status),
                Scan::Status => match status_part(window)? {
                    None => Break(scan),
                    Some((version, status)) => {
                        (self.version, self.status) = (version, status);
                        Continue(Scan::Reason { pos: STATUS_PART_LEN })
                    }
                },
                Scan::Reason { pos } => match self.scan_reason(window, pos)? {
                    Break(pos) => Break(Scan::Reason { pos }),
                    Continue(from) => Continue(Scan::Fields { from, lines: LineScan::from(from) }),
                },
                Scan::Fields { from, mut lines } => {
                    let Some(end) = lines.advance(buf, limits)? else {
                        self.scan = Scan::Fields { from, lines };
                        return Ok(Parsed::Partial);
                    };
                    parse_fields(buf, from, end, &mut self.fields)?;
                    self.finish(buf, end, asked)?;
                    return Ok(Parsed::Complete);
                }
            };
            match step {
                Continue(next) => scan = next,
                Break(stands) => {
                    self.scan = stands;
                    return needs_more(buf, limits);
                }
            }
        }
    }

    /// Reads a head that is there as a whole and clean and without a tab in its reason, as nearly all are,
    /// without keeping account of where it stands; tells where the head ends. Any other is left to the states, which
    /// give the verdicts.
    #[inline]
    fn take_whole(&mut self, buf: &[u8], limits: &HeadLimits) -> Option<usize> {
        let (version, status) = well_formed_status(buf.first_chunk()?)?;
        let behind_space = buf[STATUS_PART_LEN..].strip_prefix(b" ")?;
        let reason_len = word::find(behind_space, word::control);
        let lines = behind_space[reason_len..].strip_prefix(b"\r\n")?;
        let end = fill(buf, buf.len() - lines.len(), limits.fields_max, &mut self.fields)?;
        (self.version, self.status) = (version, status);
        self.reason = Span::within(STATUS_PART_LEN + 1, reason_len);
        Some(end)
    }

    /// Reads ` reason CRLF`; some servers leave out the space with the reason, which nobody can misread. Tells where
    /// the field lines begin, or where the scan stands until more bytes come.
    #[inline]
    fn scan_reason(&mut self, buf: &[u8], pos: usize) -> Result<ControlFlow<usize, usize>, Refusal> {
        let mut end = pos + word::find(&buf[pos..], word::control);
        while let [b'\t', more @ ..] = &buf[end..] {
            end += 1 + word::find(more, word::control);
        }
        if let Some(&b) = buf[..end].get(STATUS_PART_LEN).filter(|&&b| b != b' ') {
            return refuse(Code::UpstreamBadResponse, after_status(b), STATUS_PART_LEN);
        }
        match buf[end..] {
            [b'\r', b'\n', ..] => {}
            [] | [b'\r'] => return Ok(Break(end)),
            [b'\r' | b'\n', ..] => {
                return refuse(Code::UpstreamBadResponse, "a bare CR or LF in the status line", end);
            }
            _ => return refuse(Code::UpstreamBadResponse, "a control byte in the status line", end),
        }
        let start = end.min(STATUS_PART_LEN + 1);
        let Some(reason) = Span::between(start, end) else {
            return refuse(Code::HeadTooLarge, "the head is larger than a span reaches", end);
        };
        self.reason = reason;
        Ok(Continue(end + 2))
    }

    /// Judges the head as a whole; its field lines stand in the table.
    fn finish(&mut self, buf: &[u8], end: usize, asked: Asked) -> Result<(), Refusal> {
        self.head_len = end;
        let options = connection::resolve(buf, &mut self.fields)?;
        self.framing = self.body_framing(buf, asked)?;
        self.interim = self.status < 200 && self.status != 101;
        self.keep_alive = match self.version {
            Version::Http10 => options.keep_alive && !options.close,
            _ => !options.close,
        } && self.framing != BodyFraming::UntilClose
            && self.status != 101;
        if self.status == 101 {
            let answer = connection::upgrade_offer(buf, &self.fields);
            if asked.upgrade.is_none() || answer != asked.upgrade || !options.upgrade {
                return refuse(Code::UpstreamBadResponse, "101 to an upgrade that was not asked for", 9);
            }
        }
        Ok(())
    }

    fn body_framing(&mut self, buf: &[u8], asked: Asked) -> Result<BodyFraming, Refusal> {
        let chunked = self.chunked(buf)?;
        self.content_length = self.length(buf)?;
        if chunked && self.content_length.is_some() {
            return refuse(Code::UpstreamBadResponse, "Transfer-Encoding beside Content-Length", 0);
        }
        if self.status < 200 || self.status == 204 {
            // RFC 9112 section 6.1 and RFC 9110 section 8.6 forbid both here; a zero length is common and harmless
            if chunked || self.content_length.is_some_and(|length| length > 0) {
                return refuse(Code::UpstreamBadResponse, "a body is announced where none may be", 0);
            }
            self.content_length = None;
            return Ok(BodyFraming::None);
        }
        if asked.method == Method::Head || self.status == 304 {
            return Ok(BodyFraming::None);
        }
        Ok(match (chunked, self.content_length) {
            (true, _) => BodyFraming::Chunked,
            (false, Some(length)) => BodyFraming::Length(length),
            (false, None) => BodyFraming::UntilClose,
        })
    }

    fn chunked(&self, buf: &[u8]) -> Result<bool, Refusal> {
        let Some(coding) = self.fields.get(FieldId::TransferEncoding) else { return Ok(false) };
        let at = usize::from(coding.name.start);
        if self.version == Version::Http10 {
            return refuse(Code::UpstreamBadResponse, "Transfer-Encoding in HTTP/1.0", at);
        }
        if self.fields.is_repeated(FieldId::TransferEncoding) {
            return refuse(Code::UpstreamBadResponse, "Transfer-Encoding is repeated", at);
        }
        if !coding.value.of(buf).eq_ignore_ascii_case(b"chunked") {
            return refuse(Code::UpstreamBadResponse, "Transfer-Encoding is not `chunked`", at);
        }
        Ok(true)
    }

    fn length(&self, buf: &[u8]) -> Result<Option<u64>, Refusal> {
        let Some(field) = self.fields.get(FieldId::ContentLength) else { return Ok(None) };
        let at = usize::from(field.value.start);
        if self.fields.is_repeated(FieldId::ContentLength) {
            return refuse(Code::UpstreamBadResponse, "Content-Length is repeated", at);
        }
        match parse_length(field.value.of(buf)) {
            Some(length) => Ok(Some(length)),
            None => refuse(Code::UpstreamBadResponse, "Content-Length is not a plain number", at),
        }
    }
}

/// Reads `HTTP/1.1 200`; `None` when it has not come whole.
#[inline]
fn status_part(buf: &[u8]) -> Result<Option<(Version, u16)>, Refusal> {
    if let Some(part) = buf.first_chunk()
        && let Some(found) = well_formed_status(part)
    {
        return Ok(Some(found));
    }
    for (index, &b) in buf.iter().take(STATUS_PART_LEN).enumerate() {
        let fits = match index {
            0..=6 => b == b"HTTP/1."[index],
            7 => b == b'0' || b == b'1',
            8 => b == b' ',
            9 => (b'1'..=b'5').contains(&b),
            _ => b.is_ascii_digit(),
        };
        if !fits {
            return refuse(Code::UpstreamBadResponse, "the status line is malformed", index);
        }
    }
    Ok(None)
}

#[inline]
fn well_formed_status(part: &[u8; STATUS_PART_LEN]) -> Option<(Version, u16)> {
    let (protocol, [b' ', hundreds @ b'1'..=b'5', tens @ b'0'..=b'9', ones @ b'0'..=b'9']) =
        part.split_first_chunk::<8>()?
    else {
        return None;
    };
    let version = if protocol == b"HTTP/1.1" {
        Version::Http11
    } else if protocol == b"HTTP/1.0" {
        Version::Http10
    } else {
        return None;
    };
    let digit = |b: u8| u16::from(b - b'0');
    Some((version, digit(*hundreds) * 100 + digit(*tens) * 10 + digit(*ones)))
}

fn after_status(b: u8) -> &'static str {
    if b.is_ascii_digit() { "the status has more than three digits" } else { "the status line is malformed" }
}

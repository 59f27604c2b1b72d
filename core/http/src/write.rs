//! Writing heads: what is copied of a parsed head goes over in long runs, what is added is checked when it is made.
//!
//! Nothing here can write a CR, LF or NUL that came from outside, so no message can be split. Knows bytes; a caller
//! gives it the target to use, the fields to leave out and the date.

use crate::field::{FieldId, FieldSet};
use crate::head::{Field, FieldTable, Version};
use crate::request::{Framing, is_target_byte};
use crate::response::BodyFraming;
use crate::scan::is_token_byte;

/// Bytes that must not stand where they were put.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadText {
    /// A field name that is not a token.
    #[error("the field name is not a token")]
    Name,
    /// A field value with control bytes, or with white space at its ends.
    #[error("the field value holds control bytes or begins or ends with white space")]
    Value,
    /// A method that is not a token.
    #[error("the method is not a token")]
    Method,
    /// A target that is empty or holds bytes that no URI holds.
    #[error("the request target holds bytes that no URI holds")]
    Target,
}

/// A checked field name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldName<'a>(&'a [u8]);

impl<'a> FieldName<'a> {
    /// Checks that the name is a token.
    pub fn new(name: &'a [u8]) -> Result<FieldName<'a>, BadText> {
        if name.is_empty() || !name.iter().all(|&b| is_token_byte(b)) {
            return Err(BadText::Name);
        }
        Ok(FieldName(name))
    }

    /// The name of a known field; not for [`FieldId::Other`], which has none.
    pub const fn known(id: FieldId) -> FieldName<'static> {
        assert!(!matches!(id, FieldId::Other), "a field that is `Other` has no name of its own");
        FieldName(id.name().as_bytes())
    }

    /// The bytes of the name.
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.0
    }
}

/// A checked field value: no control bytes but tabs inside, no white space at its ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldValue<'a>(&'a [u8]);

impl<'a> FieldValue<'a> {
    /// Checks the bytes of a value (RFC 9110 section 5.5).
    pub fn new(value: &'a [u8]) -> Result<FieldValue<'a>, BadText> {
        let is_blank = |b: Option<&u8>| matches!(b, Some(b' ' | b'\t'));
        let clean = value.iter().all(|&b| b == b'\t' || (b >= b' ' && b != 0x7f));
        if !clean || is_blank(value.first()) || is_blank(value.last()) {
            return Err(BadText::Value);
        }
        Ok(FieldValue(value))
    }

    /// The bytes of the value.
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.0
    }
}

/// Writes `METHOD path?query HTTP/1.1 CRLF`. An empty path is written as `/`.
///
/// # Errors
/// [`BadText`] when a part holds bytes that would end the line or the target early; nothing is written then.
pub fn request_line(
    out: &mut Vec<u8>,
    method: &[u8],
    path: &[u8],
    query: Option<&[u8]>,
) -> Result<(), BadText> {
    if method.is_empty() || !method.iter().all(|&b| is_token_byte(b)) {
        return Err(BadText::Method);
    }
    if !is_target(path) || !query.is_none_or(is_target) || memchr::memchr(b'?', path).is_some() {
        return Err(BadText::Target);
    }
    out.extend_from_slice(method);
    out.push(b' ');
    out.extend_from_slice(if path.is_empty() { b"/" } else { path });
    if let Some(query) = query {
        out.push(b'?');
        out.extend_from_slice(query);
    }
    out.extend_from_slice(b" HTTP/1.1\r\n");
    Ok(())
}

/// Without an early end, so that it costs a fraction of a nanosecond a byte; a bad target is the rare case.
fn is_target(text: &[u8]) -> bool {
    text.iter().fold(true, |good, &b| good & is_target_byte(b))
}

/// Writes `HTTP/1.1 200 OK CRLF` with the registered phrase of the status. Responses are written as HTTP/1.1 also to
/// HTTP/1.0 clients (RFC 9110 section 6.2).
pub fn status_line(out: &mut Vec<u8>, status: u16) {
    if let Some(line) = registered_line(status) {
        return out.extend_from_slice(line.as_bytes());
    }
    out.extend_from_slice(b"HTTP/1.1 ");
    decimal(out, u64::from(status));
    out.extend_from_slice(b" \r\n");
}

/// Writes one field line.
pub fn field(out: &mut Vec<u8>, name: FieldName<'_>, value: FieldValue<'_>) {
    out.extend_from_slice(name.0);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value.0);
    out.extend_from_slice(b"\r\n");
}

/// Copies the field lines of a head as they are, without those in `drop`, those marked as dropped, and those that
/// every hop writes anew: [`FieldSet::HOP_BY_HOP`] and Content-Length. Neighbours that stay go over in one copy.
///
/// The framing must then be written by [`request_framing`] or [`response_framing`].
pub fn copy_fields(out: &mut Vec<u8>, buf: &[u8], fields: &FieldTable, drop: FieldSet) {
    const ALWAYS: FieldSet = FieldSet::HOP_BY_HOP.with(FieldId::ContentLength);
    let drop = drop.union(ALWAYS);
    let stays = |field: &&Field| !field.dropped && !drop.contains(field.id);
    let mut rest = fields.as_slice().iter();
    while let Some(first) = rest.find(stays) {
        let from = usize::from(first.name.start);
        let to = rest
            .find(|field| !stays(field))
            .map_or(fields.lines_end(), |field| usize::from(field.name.start));
        if let Some(run) = buf.get(from..to) {
            out.extend_from_slice(run);
        }
    }
}

/// Writes the framing of a request body.
pub fn request_framing(out: &mut Vec<u8>, framing: Framing) {
    match framing {
        Framing::None => {}
        Framing::Length(length) => content_length(out, length),
        Framing::Chunked => out.extend_from_slice(CHUNKED_LINE),
    }
}

/// Writes the framing of a response body. `told` is the length to tell where there is no body (HEAD, 304).
///
/// A body that ends with its connection has no line: write `Connection: close`, or write it in chunks.
pub fn response_framing(out: &mut Vec<u8>, framing: BodyFraming, told: Option<u64>) {
    match framing {
        BodyFraming::None => {
            if let Some(length) = told {
                content_length(out, length);
            }
        }
        BodyFraming::Length(length) => content_length(out, length),
        BodyFraming::Chunked => out.extend_from_slice(CHUNKED_LINE),
        BodyFraming::UntilClose => {}
    }
}

const CHUNKED_LINE: &[u8] = b"Transfer-Encoding: chunked\r\n";

/// Writes `Content-Length: n`.
pub fn content_length(out: &mut Vec<u8>, length: u64) {
    const NAME: &[u8; 16] = b"Content-Length: ";
    // put together from the end, for one copy
    let mut line = *b"Content-Length: 00000000000000000000\r\n";
    let digits_end = line.len() - 2;
    let start = digits(length, &mut line[..digits_end]) - NAME.len();
    line[start..start + NAME.len()].copy_from_slice(NAME);
    out.extend_from_slice(&line[start..]);
}

/// Writes what has to be said about the life of the connection: `close` where it ends, `keep-alive` where an HTTP/1.0
/// client asked to keep it, nothing where HTTP/1.1 keeps it anyway.
pub fn connection(out: &mut Vec<u8>, keep_alive: bool, client: Version) {
    match (keep_alive, client) {
        (false, _) => out.extend_from_slice(b"Connection: close\r\n"),
        (true, Version::Http10) => out.extend_from_slice(b"Connection: keep-alive\r\n"),
        (true, _) => {}
    }
}

/// Writes a `Date` line.
pub fn date(out: &mut Vec<u8>, date: &crate::date::HttpDate) {
    out.extend_from_slice(b"Date: ");
    out.extend_from_slice(date.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Ends a head.
pub fn end(out: &mut Vec<u8>) {
    out.extend_from_slice(b"\r\n");
}

/// Digits of the largest 64-bit number.
pub(crate) const DIGITS_MAX: usize = 20;

/// Writes a number in decimal digits.
pub fn decimal(out: &mut Vec<u8>, number: u64) {
    let mut room = [0; DIGITS_MAX];
    let start = digits(number, &mut room);
    out.extend_from_slice(&room[start..]);
}

/// Puts the decimal digits of a number at the end of the given room, which has [`DIGITS_MAX`] bytes or more; tells
/// where they start.
pub(crate) fn digits(number: u64, room: &mut [u8]) -> usize {
    let mut start = room.len();
    let mut rest = number;
    loop {
        start -= 1;
        room[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            return start;
        }
    }
}

macro_rules! phrases {
    ($($status:literal = $phrase:literal;)+) => {
        /// The registered phrase of a status; empty for one that is not registered.
        pub const fn reason_phrase(status: u16) -> &'static str {
            match status {
                $($status => $phrase,)+
                _ => "",
            }
        }

        /// The status line of a registered status.
        const fn registered_line(status: u16) -> Option<&'static str> {
            match status {
                $($status => Some(concat!("HTTP/1.1 ", $status, " ", $phrase, "\r\n")),)+
                _ => None,
            }
        }
    };
}

phrases! {
    100 = "Continue";
    101 = "Switching Protocols";
    103 = "Early Hints";
    200 = "OK";
    201 = "Created";
    202 = "Accepted";
    203 = "Non-Authoritative Information";
    204 = "No Content";
    205 = "Reset Content";
    206 = "Partial Content";
    207 = "Multi-Status";
    300 = "Multiple Choices";
    301 = "Moved Permanently";
    302 = "Found";
    303 = "See Other";
    304 = "Not Modified";
    307 = "Temporary Redirect";
    308 = "Permanent Redirect";
    400 = "Bad Request";
    401 = "Unauthorized";
    402 = "Payment Required";
    403 = "Forbidden";
    404 = "Not Found";
    405 = "Method Not Allowed";
    406 = "Not Acceptable";
    407 = "Proxy Authentication Required";
    408 = "Request Timeout";
    409 = "Conflict";
    410 = "Gone";
    411 = "Length Required";
    412 = "Precondition Failed";
    413 = "Content Too Large";
    414 = "URI Too Long";
    415 = "Unsupported Media Type";
    416 = "Range Not Satisfiable";
    417 = "Expectation Failed";
    421 = "Misdirected Request";
    422 = "Unprocessable Content";
    425 = "Too Early";
    426 = "Upgrade Required";
    428 = "Precondition Required";
    429 = "Too Many Requests";
    431 = "Request Header Fields Too Large";
    451 = "Unavailable For Legal Reasons";
    499 = "Client Closed Request";
    500 = "Internal Server Error";
    501 = "Not Implemented";
    502 = "Bad Gateway";
    503 = "Service Unavailable";
    504 = "Gateway Timeout";
    505 = "HTTP Version Not Supported";
    507 = "Insufficient Storage";
    511 = "Network Authentication Required";
}

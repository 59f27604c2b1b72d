//! HTTP/1.1 on a trusted wire, for both ends of a test: fills a buffer, decodes heads with monoio-http's codecs,
//! finds how a body is framed, and skims bodies without keeping them.
//!
//! The body side is ours because the codecs buffer a fixed-length body whole and know neither chunk extensions
//! nor trailers. This is not a parser for an edge: it is as strict as a measurement needs and no stricter.

use std::io;

use bytes::{Buf, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, Method, StatusCode, Version};
use monoio::buf::IoBufMut;
use monoio::io::AsyncReadRent;
use monoio_codec::{Decoded, Decoder};
use monoio_http::h1::codec::decoder::{RequestHeadDecoder, ResponseHeadDecoder};

use crate::chunks::ChunkScanner;

/// A head longer than this is an error.
pub(crate) const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Room made for each read.
const READ_BYTES: usize = 16 * 1024;
/// Room made for each read of a large body.
const READ_BYTES_LARGE: usize = 128 * 1024;

/// Why a message could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WireError {
    /// The peer closed before the first byte of a message.
    #[error("closed before a message")]
    Closed,
    /// The peer closed within a message.
    #[error("closed within a message")]
    Truncated,
    /// The bytes are not HTTP/1.
    #[error("malformed: {0}")]
    Malformed(String),
    /// The socket failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// How the end of a body is found (RFC 9112 section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// A known number of bytes, zero included.
    Length(u64),
    /// Chunked transfer coding.
    Chunked,
    /// All up to the end of the connection.
    UntilClose,
}

/// Head of an answer, as far as a generator needs it.
#[derive(Debug)]
pub(crate) struct AnswerHead {
    /// Status code.
    pub(crate) status: StatusCode,
    /// How its body ends.
    pub(crate) framing: Framing,
    /// Whether the server will close after it.
    pub(crate) close: bool,
    /// Header fields, names in lower case.
    pub(crate) headers: HeaderMap,
}

/// Reads more bytes behind those already in the buffer; returns their number, 0 at the end of the stream.
pub(crate) async fn fill<R>(reader: &mut R, buffer: &mut BytesMut, large: bool) -> io::Result<usize>
where
    R: AsyncReadRent,
{
    buffer.reserve(if large { READ_BYTES_LARGE } else { READ_BYTES });
    let owned = std::mem::take(buffer);
    let (begin, end) = (owned.len(), owned.capacity());
    let (result, slice) = reader.read(owned.slice_mut(begin..end)).await;
    *buffer = slice.into_inner();
    result
}

/// Takes one response head from the front of the buffer; `None` if it is not complete.
///
/// # Errors
/// `Malformed` if it is not a response head or is longer than [`HEAD_BYTES_MAX`].
pub(crate) fn take_answer_head(
    buffer: &mut BytesMut,
    to_head: bool,
) -> Result<Option<AnswerHead>, WireError> {
    bound_head(buffer)?;
    match ResponseHeadDecoder.decode(buffer) {
        Ok(Decoded::Some(head)) => {
            let framing = answer_framing(head.status, &head.headers, to_head)?;
            let close = framing == Framing::UntilClose || closes(head.version, &head.headers);
            Ok(Some(AnswerHead { status: head.status, framing, close, headers: head.headers }))
        }
        Ok(_) => Ok(None),
        Err(error) => Err(WireError::Malformed(error.to_string())),
    }
}

/// Head of a request with the bytes it came in.
#[derive(Debug)]
pub(crate) struct RequestHead {
    /// The bytes from the request line to the empty line.
    pub(crate) raw: Vec<u8>,
    /// Method.
    pub(crate) method: Method,
    /// Target as it came.
    pub(crate) target: String,
    /// Version.
    pub(crate) version: Version,
    /// Header fields, names in lower case.
    pub(crate) headers: HeaderMap,
    /// How the body ends.
    pub(crate) framing: Framing,
    /// Whether the client asked to close after the answer.
    pub(crate) close: bool,
}

/// Takes one request head from the front of the buffer; `None` if it is not complete. With `keep_raw`, the bytes
/// are copied before they are decoded.
///
/// # Errors
/// `Malformed` if it is not a request head or is longer than [`HEAD_BYTES_MAX`].
pub(crate) fn take_request_head(
    buffer: &mut BytesMut,
    keep_raw: bool,
) -> Result<Option<RequestHead>, WireError> {
    bound_head(buffer)?;
    let raw = if keep_raw { buffer.to_vec() } else { Vec::new() };
    let before = buffer.len();
    match RequestHeadDecoder.decode(buffer) {
        Ok(Decoded::Some(head)) => {
            let mut raw = raw;
            raw.truncate(before - buffer.len());
            let framing = body_framing(&head.headers)?.unwrap_or(Framing::Length(0));
            let close = closes(head.version, &head.headers);
            Ok(Some(RequestHead {
                raw,
                target: head.uri.to_string(),
                method: head.method,
                version: head.version,
                headers: head.headers,
                framing,
                close,
            }))
        }
        Ok(_) => Ok(None),
        Err(error) => Err(WireError::Malformed(error.to_string())),
    }
}

/// Refuses a head over the bound before the codec sees it: the codec has no bound and panics on names over 64 KiB.
fn bound_head(buffer: &BytesMut) -> Result<(), WireError> {
    if buffer.len() > HEAD_BYTES_MAX && !buffer[..HEAD_BYTES_MAX].windows(4).any(|end| end == b"\r\n\r\n") {
        return Err(WireError::Malformed("head is too long".into()));
    }
    Ok(())
}

/// Reads a body to its end and hands each piece to `piece`; returns the number of bytes of content.
///
/// # Errors
/// `Truncated` if the stream ends inside it, `Malformed` if its chunks are not chunks, `Io` from the socket.
pub(crate) async fn skim_body<R>(
    reader: &mut R,
    buffer: &mut BytesMut,
    framing: Framing,
    mut piece: impl FnMut(&[u8]),
) -> Result<u64, WireError>
where
    R: AsyncReadRent,
{
    let mut content = 0u64;
    match framing {
        Framing::Length(length) => {
            let large = length > READ_BYTES as u64;
            loop {
                let take = buffer.len().min(usize::try_from(length - content).unwrap_or(usize::MAX));
                piece(&buffer[..take]);
                buffer.advance(take);
                content += take as u64;
                if content == length {
                    return Ok(content);
                }
                if fill(reader, buffer, large).await? == 0 {
                    return Err(WireError::Truncated);
                }
            }
        }
        Framing::Chunked => {
            let mut scanner = ChunkScanner::default();
            loop {
                let progress =
                    scanner.scan(buffer, &mut piece).map_err(|m| WireError::Malformed(m.to_string()))?;
                buffer.advance(progress.consumed);
                content += progress.content;
                if progress.ended {
                    return Ok(content);
                }
                if fill(reader, buffer, content > READ_BYTES as u64).await? == 0 {
                    return Err(WireError::Truncated);
                }
            }
        }
        Framing::UntilClose => loop {
            piece(buffer);
            content += buffer.len() as u64;
            buffer.clear();
            if fill(reader, buffer, content > READ_BYTES as u64).await? == 0 {
                return Ok(content);
            }
        },
    }
}

fn answer_framing(status: StatusCode, headers: &HeaderMap, to_head: bool) -> Result<Framing, WireError> {
    if to_head
        || status.is_informational()
        || status == StatusCode::NO_CONTENT
        || status == StatusCode::NOT_MODIFIED
    {
        return Ok(Framing::Length(0));
    }
    Ok(body_framing(headers)?.unwrap_or(Framing::UntilClose))
}

fn body_framing(headers: &HeaderMap) -> Result<Option<Framing>, WireError> {
    let mut length = None;
    for value in headers.get_all(CONTENT_LENGTH) {
        let text = value.to_str().unwrap_or("");
        let parsed = (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()))
            .then(|| text.parse::<u64>().ok())
            .flatten()
            .ok_or_else(|| WireError::Malformed("content-length is not a number".into()))?;
        if length.is_some_and(|earlier| earlier != parsed) {
            return Err(WireError::Malformed("content-lengths differ".into()));
        }
        length = Some(parsed);
    }
    let mut codings = headers.get_all(TRANSFER_ENCODING).into_iter().peekable();
    if codings.peek().is_none() {
        return Ok(length.map(Framing::Length));
    }
    if length.is_some() {
        return Err(WireError::Malformed("content-length beside transfer-encoding".into()));
    }
    let chunked_last = codings
        .last()
        .and_then(|value| value.to_str().ok())
        .is_some_and(|text| text.rsplit(',').next().unwrap_or("").trim().eq_ignore_ascii_case("chunked"));
    if chunked_last {
        Ok(Some(Framing::Chunked))
    } else {
        Err(WireError::Malformed("transfer-encoding does not end in chunked".into()))
    }
}

fn closes(version: Version, headers: &HeaderMap) -> bool {
    let mut keep_alive = version == Version::HTTP_11;
    for value in headers.get_all(CONNECTION) {
        for token in value.to_str().unwrap_or("").split(',') {
            let token = token.trim();
            if token.eq_ignore_ascii_case("close") {
                return true;
            }
            keep_alive |= token.eq_ignore_ascii_case("keep-alive");
        }
    }
    !keep_alive
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &str) -> Result<Option<AnswerHead>, WireError> {
        take_answer_head(&mut BytesMut::from(text), false)
    }

    #[test]
    fn framing_of_answers() {
        for (text, framing, close) in [
            ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", Framing::Length(5), false),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", Framing::Length(5), false),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", Framing::Chunked, false),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, Chunked\r\n\r\n", Framing::Chunked, false),
            ("HTTP/1.1 200 OK\r\n\r\n", Framing::UntilClose, true),
            ("HTTP/1.1 204 No Content\r\n\r\n", Framing::Length(0), false),
            ("HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n", Framing::Length(0), false),
            (
                "HTTP/1.1 200 OK\r\nconnection: x, Close\r\ncontent-length: 0\r\n\r\n",
                Framing::Length(0),
                true,
            ),
            ("HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n", Framing::Length(0), true),
            (
                "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 0\r\n\r\n",
                Framing::Length(0),
                false,
            ),
        ] {
            let head = answer(text).unwrap().unwrap();
            assert_eq!((head.framing, head.close), (framing, close), "{text}");
        }
    }

    #[test]
    fn malformed_answers() {
        for text in [
            "garbage\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: +5\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n",
        ] {
            assert!(matches!(answer(text), Err(WireError::Malformed(_))), "{text}");
        }
    }

    #[test]
    fn an_incomplete_head_is_awaited_up_to_the_bound() {
        assert!(answer("HTTP/1.1 200 OK\r\ncontent").unwrap().is_none());
        let at_bound = format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(HEAD_BYTES_MAX - 20));
        assert_eq!(at_bound.len(), HEAD_BYTES_MAX);
        assert!(answer(&at_bound).unwrap().is_none());
        assert!(answer(&format!("{at_bound}y")).is_err());
    }

    #[test]
    fn request_heads_keep_their_bytes_and_leave_the_rest() {
        let text = "POST /a?b=1 HTTP/1.1\r\nHost: x\r\nX-Mixed: Yes\r\nContent-Length: 3\r\n\r\n";
        let mut buffer = BytesMut::from(format!("{text}abc").as_str());
        let head = take_request_head(&mut buffer, true).unwrap().unwrap();
        assert_eq!(head.raw, text.as_bytes());
        assert_eq!((head.target.as_str(), head.framing), ("/a?b=1", Framing::Length(3)));
        assert_eq!(&buffer[..], b"abc");
    }
}

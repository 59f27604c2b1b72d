//! Reading and writing `application/vnd.amazon.eventstream`, the binary frames in which AWS answers streams (Smithy 2.0,
//! "Amazon Event Stream Specification").
//!
//! Knows frames, checksums and headers. Must not know what a payload means.
//!
//! A frame, which the specification calls a message, is, in network byte order:
//!
//! | bytes | what |
//! | --- | --- |
//! | 4 | length of the frame, these bytes and the last checksum included |
//! | 4 | length of the headers |
//! | 4 | CRC-32 (ISO-HDLC) of the eight bytes before |
//! | | headers: length of the name (1 byte), name, type (1 byte), value |
//! | | payload |
//! | 4 | CRC-32 of everything before |

use std::fmt;

/// Bytes of a payload, the largest that the specification allows.
pub const PAYLOAD_BYTES_MAX: usize = 24 * 1024 * 1024;
/// Bytes of all headers of a frame, the largest that the specification allows.
pub const HEADERS_BYTES_MAX: usize = 128 * 1024;
/// Bytes of a whole frame, by default.
pub const FRAME_BYTES_MAX: usize = OVERHEAD_BYTES + HEADERS_BYTES_MAX + PAYLOAD_BYTES_MAX;
/// Headers of a frame, by default. The specification sets no bound; what is known to be sent has three to six.
pub const HEADERS_MAX: usize = 64;
/// Bytes of the name of a header, as one byte counts them.
pub const HEADER_NAME_BYTES_MAX: usize = 255;
/// Bytes of a text or of bytes in a header.
pub const HEADER_VALUE_BYTES_MAX: usize = 32_767;
/// Bytes of the buffer that [`FrameReader::reset`] leaves to the next stream.
pub const BUFFER_BYTES_KEPT_MAX: usize = 64 * 1024;

/// The type of a text.
const TEXT: u8 = 7;
/// Two lengths and their checksum.
const PRELUDE_BYTES: usize = 12;
const CHECKSUM_BYTES: usize = 4;
/// What a frame of no headers and no payload takes.
const OVERHEAD_BYTES: usize = PRELUDE_BYTES + CHECKSUM_BYTES;

/// How large the parts of a stream may be. What is held in memory is at most one frame, and never more than came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameLimits {
    /// Bytes of a whole frame.
    pub frame_bytes_max: usize,
    /// Bytes of the headers of a frame.
    pub headers_bytes_max: usize,
    /// Headers of a frame.
    pub headers_max: usize,
}

impl Default for FrameLimits {
    fn default() -> FrameLimits {
        FrameLimits {
            frame_bytes_max: FRAME_BYTES_MAX,
            headers_bytes_max: HEADERS_BYTES_MAX,
            headers_max: HEADERS_MAX,
        }
    }
}

/// What is wrong with a frame that came, or that was to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The checksum of the lengths does not fit, nearly always as the bytes are no frame at all.
    #[error("the checksum of a frame's lengths does not fit")]
    PreludeChecksum,
    /// The length of the frame has no room for its headers and checksums.
    #[error("a frame of {frame} bytes cannot hold headers of {headers} bytes")]
    TooShort {
        /// Bytes of the frame, as it says.
        frame: usize,
        /// Bytes of its headers, as it says.
        headers: usize,
    },
    /// The frame is longer than [`FrameLimits::frame_bytes_max`], or its payload than [`PAYLOAD_BYTES_MAX`] when written.
    #[error("a frame of {frame} bytes is over the limit")]
    TooLong {
        /// Bytes of the frame.
        frame: usize,
    },
    /// The headers are longer than [`FrameLimits::headers_bytes_max`].
    #[error("frame headers of {headers} bytes are over the limit")]
    HeadersTooLong {
        /// Bytes of the headers.
        headers: usize,
    },
    /// The checksum of the frame does not fit.
    #[error("the checksum of a frame does not fit")]
    FrameChecksum,
    /// A header breaks the format.
    #[error("a frame header is malformed: {0}")]
    Header(#[from] HeaderFault),
}

/// What is wrong with a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderFault {
    /// It ends behind the headers.
    #[error("it ends behind the headers")]
    Truncated,
    /// Its name is empty.
    #[error("its name is empty")]
    NameEmpty,
    /// Its name is longer than [`HEADER_NAME_BYTES_MAX`]; only when written.
    #[error("its name is longer than 255 bytes")]
    NameTooLong,
    /// Its name is not UTF-8.
    #[error("its name is not UTF-8")]
    NameNotUtf8,
    /// Its type is none of the ten.
    #[error("its type {0} is unknown")]
    UnknownType(u8),
    /// Its value is empty where the specification wants a byte or more. Told only when written: readers take it.
    #[error("its value is empty")]
    ValueEmpty,
    /// Its value is longer than [`HEADER_VALUE_BYTES_MAX`].
    #[error("its value is longer than 32,767 bytes")]
    ValueTooLong,
    /// Its value is a text and not UTF-8.
    #[error("its text is not UTF-8")]
    ValueNotUtf8,
    /// Its name came before; which of the two counts would be anyone's guess.
    #[error("its name came before")]
    Repeated,
    /// There are more than [`FrameLimits::headers_max`].
    #[error("there are too many")]
    TooMany,
}

/// The value of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderValue<'a> {
    /// Types 0 and 1
    Bool(bool),
    /// Type 2
    Byte(i8),
    /// Type 3
    Short(i16),
    /// Type 4
    Int(i32),
    /// Type 5
    Long(i64),
    /// Type 6, at most [`HEADER_VALUE_BYTES_MAX`]
    Bytes(&'a [u8]),
    /// Type 7, at most [`HEADER_VALUE_BYTES_MAX`]
    Text(&'a str),
    /// Type 8: milliseconds since 1970-01-01 00:00 UTC
    Timestamp(i64),
    /// Type 9 (RFC 9562)
    Uuid([u8; 16]),
}

/// A header: its name and its value.
pub type Header<'a> = (&'a str, HeaderValue<'a>);

/// One frame whose checksums fit and whose headers are well-formed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    raw: &'a [u8],
    headers_len: usize,
}

impl<'a> Frame<'a> {
    /// The bytes as they came, from the length to the checksum.
    #[inline]
    pub fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// What the frame carries.
    #[inline]
    pub fn payload(&self) -> &'a [u8] {
        &self.raw[PRELUDE_BYTES + self.headers_len..self.raw.len() - CHECKSUM_BYTES]
    }

    /// The headers in their order; no name comes twice.
    #[inline]
    pub fn headers(&self) -> Headers<'a> {
        Headers { rest: &self.raw[PRELUDE_BYTES..PRELUDE_BYTES + self.headers_len] }
    }

    /// The value of a header. Names are compared byte by byte.
    pub fn header(&self, name: &str) -> Option<HeaderValue<'a>> {
        let mut headers = self.headers();
        loop {
            let part = headers.part().ok()?;
            if part.name == name.as_bytes() {
                return part.checked().ok().map(|header| header.1);
            }
        }
    }

    /// The value of a header if it is a text.
    pub fn text(&self, name: &str) -> Option<&'a str> {
        match self.header(name)? {
            HeaderValue::Text(text) => Some(text),
            _ => None,
        }
    }

    /// `:message-type`: `event`, `exception` (an error of the service's model) or `error` (any other).
    pub fn message_type(&self) -> Option<&'a str> {
        self.text(":message-type")
    }

    /// `:event-type`, which of the service's events the payload is.
    pub fn event_type(&self) -> Option<&'a str> {
        self.text(":event-type")
    }

    /// `:exception-type`, which of the service's errors the payload is.
    pub fn exception_type(&self) -> Option<&'a str> {
        self.text(":exception-type")
    }

    /// `:content-type`, the media type of the payload.
    pub fn content_type(&self) -> Option<&'a str> {
        self.text(":content-type")
    }

    /// `:error-code` of a frame whose `:message-type` is `error`.
    pub fn error_code(&self) -> Option<&'a str> {
        self.text(":error-code")
    }

    /// `:error-message` of such a frame, in words.
    pub fn error_message(&self) -> Option<&'a str> {
        self.text(":error-message")
    }

    /// Judges the bytes of a frame whose prelude was judged.
    fn verify(raw: &'a [u8], limits: &FrameLimits) -> Result<Frame<'a>, FrameError> {
        let (summed, checksum) = raw.split_at(raw.len() - CHECKSUM_BYTES);
        if crc32fast::hash(summed).to_be_bytes() != checksum {
            return Err(FrameError::FrameChecksum);
        }
        let frame = Frame { raw, headers_len: be32(&raw[4..8]) };
        let all = frame.headers();
        let mut rest = all;
        let mut count = 0;
        while !rest.rest.is_empty() {
            let mut before = Headers { rest: &all.rest[..all.rest.len() - rest.rest.len()] };
            let part = rest.part()?;
            part.checked()?;
            count += 1;
            if count > limits.headers_max {
                return Err(HeaderFault::TooMany.into());
            }
            while let Ok(other) = before.part() {
                if other.name == part.name {
                    return Err(HeaderFault::Repeated.into());
                }
            }
        }
        Ok(frame)
    }
}

impl fmt::Debug for Frame<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame")
            .field("headers", &self.headers().collect::<Vec<_>>())
            .field("payload", &self.payload().escape_ascii().to_string())
            .finish()
    }
}

/// The headers of a frame, in their order.
#[derive(Clone, Copy, Debug)]
pub struct Headers<'a> {
    rest: &'a [u8],
}

/// A header whose name, and value if it is a text, may not be UTF-8.
#[derive(Clone, Copy)]
struct Part<'a> {
    name: &'a [u8],
    value: HeaderValue<'a>,
    is_text: bool,
}

impl<'a> Part<'a> {
    #[inline]
    fn checked(self) -> Result<Header<'a>, HeaderFault> {
        let name = std::str::from_utf8(self.name).map_err(|_| HeaderFault::NameNotUtf8)?;
        match self.value {
            HeaderValue::Bytes(bytes) if self.is_text => {
                let text = std::str::from_utf8(bytes).map_err(|_| HeaderFault::ValueNotUtf8)?;
                Ok((name, HeaderValue::Text(text)))
            }
            value => Ok((name, value)),
        }
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = Header<'a>;

    #[inline]
    fn next(&mut self) -> Option<Header<'a>> {
        self.part().and_then(Part::checked).ok()
    }
}

impl<'a> Headers<'a> {
    /// The next header, its texts not looked at.
    #[inline]
    fn part(&mut self) -> Result<Part<'a>, HeaderFault> {
        let name_len = usize::from(self.take::<1>()?[0]);
        if name_len == 0 {
            return Err(HeaderFault::NameEmpty);
        }
        let name = self.take_slice(name_len)?;
        let kind = self.take::<1>()?[0];
        let value = match kind {
            0 => HeaderValue::Bool(true),
            1 => HeaderValue::Bool(false),
            2 => HeaderValue::Byte(i8::from_be_bytes(self.take()?)),
            3 => HeaderValue::Short(i16::from_be_bytes(self.take()?)),
            4 => HeaderValue::Int(i32::from_be_bytes(self.take()?)),
            5 => HeaderValue::Long(i64::from_be_bytes(self.take()?)),
            6 | TEXT => HeaderValue::Bytes(self.take_value()?),
            8 => HeaderValue::Timestamp(i64::from_be_bytes(self.take()?)),
            9 => HeaderValue::Uuid(self.take()?),
            unknown => return Err(HeaderFault::UnknownType(unknown)),
        };
        Ok(Part { name, value, is_text: kind == TEXT })
    }

    fn take_value(&mut self) -> Result<&'a [u8], HeaderFault> {
        let len = usize::from(u16::from_be_bytes(self.take()?));
        if len > HEADER_VALUE_BYTES_MAX {
            return Err(HeaderFault::ValueTooLong);
        }
        self.take_slice(len)
    }

    fn take_slice(&mut self, len: usize) -> Result<&'a [u8], HeaderFault> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(HeaderFault::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn take<const LEN: usize>(&mut self) -> Result<[u8; LEN], HeaderFault> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(HeaderFault::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }
}

/// The number in four bytes.
fn be32(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte))
}

/// Judges the prelude; the length of the frame.
fn frame_len(prelude: &[u8], limits: &FrameLimits) -> Result<usize, FrameError> {
    if crc32fast::hash(&prelude[..8]).to_be_bytes() != prelude[8..PRELUDE_BYTES] {
        return Err(FrameError::PreludeChecksum);
    }
    let (frame, headers) = (be32(&prelude[..4]), be32(&prelude[4..8]));
    if frame < OVERHEAD_BYTES.saturating_add(headers) {
        return Err(FrameError::TooShort { frame, headers });
    }
    if frame > limits.frame_bytes_max {
        return Err(FrameError::TooLong { frame });
    }
    if headers > limits.headers_bytes_max {
        return Err(FrameError::HeadersTooLong { headers });
    }
    Ok(frame)
}

/// What [`FrameReader::step`] took from its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step<'a> {
    /// So many bytes from the start of the input are done with; all of them when there is no frame.
    pub len: usize,
    /// What they completed; `None` when more bytes are needed.
    pub frame: Option<Frame<'a>>,
}

/// Reads one stream from pieces that are cut anywhere.
///
/// Call [`FrameReader::step`] with a piece, then with what it left of the piece, until it has taken all of it, and
/// [`FrameReader::finish`] when the stream ends. A frame that is whole in its piece is borrowed from there without a
/// copy; what crosses pieces is put together in one buffer that is reused.
///
/// ```
/// use penstock_ai::event_stream::{FrameReader, HeaderValue, write_frame};
///
/// let mut stream = Vec::new();
/// let headers = [
///     (":event-type", HeaderValue::Text("messageStop")),
///     (":content-type", HeaderValue::Text("application/json")),
///     (":message-type", HeaderValue::Text("event")),
/// ];
/// write_frame(&mut stream, &headers, br#"{"stopReason":"end_turn"}"#)?;
///
/// let mut reader = FrameReader::default();
/// assert_eq!(reader.step(&stream[..20])?.frame, None);
/// let step = reader.step(&stream[20..])?;
/// assert_eq!(step.len, stream.len() - 20);
/// let frame = step.frame.expect("the frame is complete");
/// assert_eq!(frame.event_type(), Some("messageStop"));
/// assert_eq!(frame.raw(), stream);
/// # Ok::<(), penstock_ai::event_stream::FrameError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct FrameReader {
    limits: FrameLimits,
    /// The bytes of the frame that came in earlier pieces.
    held: Vec<u8>,
    /// The length of that frame, once its prelude is there.
    frame_len: Option<usize>,
    /// The bytes in `held` were given out as a frame and go before the next byte is read.
    given: bool,
    error: Option<FrameError>,
}

impl FrameReader {
    /// A reader at the start of a stream.
    pub fn new(limits: FrameLimits) -> FrameReader {
        FrameReader { limits, ..FrameReader::default() }
    }

    /// Begins a new stream, and keeps the buffer if it is not large.
    pub fn reset(&mut self) {
        self.held.clear();
        self.held.shrink_to(BUFFER_BYTES_KEPT_MAX);
        self.frame_len = None;
        self.given = false;
        self.error = None;
    }

    /// Reads the next frame from the start of the input. Call it again with the rest.
    ///
    /// # Errors
    /// [`FrameError`], as soon as the bytes show it; the stream cannot be read on (the specification has it ended), and
    /// every further call says the same.
    #[inline]
    pub fn step<'a>(&'a mut self, input: &'a [u8]) -> Result<Step<'a>, FrameError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        self.drop_given();
        let limits = self.limits;
        let (len, raw) = match self.take(input) {
            Ok((len, Place::Nowhere)) => return Ok(Step { len, frame: None }),
            Ok((len, Place::Input)) => (len, &input[..len]),
            Ok((len, Place::Held)) => {
                self.given = true;
                (len, &self.held[..])
            }
            Err(error) => {
                self.error = Some(error);
                return Err(error);
            }
        };
        match Frame::verify(raw, &limits) {
            Ok(frame) => Ok(Step { len, frame: Some(frame) }),
            Err(error) => {
                self.error = Some(error);
                Err(error)
            }
        }
    }

    /// Ends the stream: the bytes of a frame that is not complete, if there are any. After an error there are none.
    pub fn finish(&mut self) -> Option<&[u8]> {
        self.drop_given();
        if self.error.is_some() || self.held.is_empty() {
            return None;
        }
        self.given = true;
        self.frame_len = None;
        Some(&self.held)
    }

    #[inline]
    fn drop_given(&mut self) {
        if self.given {
            self.held.clear();
            self.given = false;
        }
    }

    /// Takes the bytes of a frame from the start of the input; says how many, and where the frame is if it is complete.
    fn take(&mut self, input: &[u8]) -> Result<(usize, Place), FrameError> {
        if self.held.is_empty() && input.len() >= PRELUDE_BYTES {
            let len = frame_len(&input[..PRELUDE_BYTES], &self.limits)?;
            if len <= input.len() {
                return Ok((len, Place::Input));
            }
            self.frame_len = Some(len);
        }
        let mut at = 0;
        loop {
            let wanted = self.frame_len.unwrap_or(PRELUDE_BYTES) - self.held.len();
            let taken = wanted.min(input.len() - at);
            self.held.extend_from_slice(&input[at..at + taken]);
            at += taken;
            if taken < wanted {
                return Ok((at, Place::Nowhere));
            }
            if self.frame_len.take().is_some() {
                return Ok((at, Place::Held));
            }
            self.frame_len = Some(frame_len(&self.held, &self.limits)?);
        }
    }
}

/// Where a complete frame is.
enum Place {
    Nowhere,
    Input,
    Held,
}

/// Writes one frame.
///
/// # Errors
/// [`FrameError`] for what the specification does not allow, or a reader with the limits by default would refuse;
/// nothing is written then.
pub fn write_frame(out: &mut Vec<u8>, headers: &[Header<'_>], payload: &[u8]) -> Result<(), FrameError> {
    let start = out.len();
    let written = write_parts(out, headers, payload);
    if written.is_err() {
        out.truncate(start);
    }
    written
}

fn write_parts(out: &mut Vec<u8>, headers: &[Header<'_>], payload: &[u8]) -> Result<(), FrameError> {
    if headers.len() > HEADERS_MAX {
        return Err(HeaderFault::TooMany.into());
    }
    let start = out.len();
    out.extend_from_slice(&[0; PRELUDE_BYTES]);
    for (index, header) in headers.iter().enumerate() {
        if headers[..index].iter().any(|before| before.0 == header.0) {
            return Err(HeaderFault::Repeated.into());
        }
        write_header(out, header)?;
    }
    let headers_len = out.len() - start - PRELUDE_BYTES;
    let frame_len = OVERHEAD_BYTES + headers_len + payload.len();
    if headers_len > HEADERS_BYTES_MAX {
        return Err(FrameError::HeadersTooLong { headers: headers_len });
    }
    if payload.len() > PAYLOAD_BYTES_MAX {
        return Err(FrameError::TooLong { frame: frame_len });
    }
    out.extend_from_slice(payload);
    // both are far below 4 GiB here
    out[start..start + 4].copy_from_slice(&(frame_len as u32).to_be_bytes());
    out[start + 4..start + 8].copy_from_slice(&(headers_len as u32).to_be_bytes());
    let checksum = crc32fast::hash(&out[start..start + 8]);
    out[start + 8..start + PRELUDE_BYTES].copy_from_slice(&checksum.to_be_bytes());
    let checksum = crc32fast::hash(&out[start..]);
    out.extend_from_slice(&checksum.to_be_bytes());
    Ok(())
}

fn write_header(out: &mut Vec<u8>, (name, value): &Header<'_>) -> Result<(), HeaderFault> {
    if name.is_empty() {
        return Err(HeaderFault::NameEmpty);
    }
    out.push(u8::try_from(name.len()).map_err(|_| HeaderFault::NameTooLong)?);
    out.extend_from_slice(name.as_bytes());
    let mut fixed = |kind: u8, bytes: &[u8]| {
        out.push(kind);
        out.extend_from_slice(bytes);
    };
    match value {
        HeaderValue::Bool(true) => fixed(0, &[]),
        HeaderValue::Bool(false) => fixed(1, &[]),
        HeaderValue::Byte(number) => fixed(2, &number.to_be_bytes()),
        HeaderValue::Short(number) => fixed(3, &number.to_be_bytes()),
        HeaderValue::Int(number) => fixed(4, &number.to_be_bytes()),
        HeaderValue::Long(number) => fixed(5, &number.to_be_bytes()),
        HeaderValue::Bytes(bytes) => write_value(out, 6, bytes)?,
        HeaderValue::Text(text) => write_value(out, TEXT, text.as_bytes())?,
        HeaderValue::Timestamp(milliseconds) => fixed(8, &milliseconds.to_be_bytes()),
        HeaderValue::Uuid(bytes) => fixed(9, bytes),
    }
    Ok(())
}

fn write_value(out: &mut Vec<u8>, kind: u8, bytes: &[u8]) -> Result<(), HeaderFault> {
    if bytes.is_empty() {
        return Err(HeaderFault::ValueEmpty);
    }
    if bytes.len() > HEADER_VALUE_BYTES_MAX {
        return Err(HeaderFault::ValueTooLong);
    }
    out.push(kind);
    out.extend_from_slice(&(bytes.len() as u16).to_be_bytes());
    out.extend_from_slice(bytes);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reset_gives_a_large_buffer_back() {
        let mut frame = Vec::new();
        assert_eq!(write_frame(&mut frame, &[], &[b'p'; BUFFER_BYTES_KEPT_MAX]), Ok(()));
        let mut reader = FrameReader::default();
        let part = &frame[..frame.len() - 1];
        assert_eq!(reader.step(part), Ok(Step { len: part.len(), frame: None }));
        assert!(reader.held.capacity() > BUFFER_BYTES_KEPT_MAX);
        reader.reset();
        assert_eq!(reader.held.capacity(), BUFFER_BYTES_KEPT_MAX);
    }

    #[test]
    fn a_frame_takes_no_more_memory_than_came() {
        let mut frame = Vec::new();
        assert_eq!(write_frame(&mut frame, &[], &[b'p'; 1 << 20]), Ok(()));
        let mut reader = FrameReader::default();
        assert_eq!(reader.step(&frame[..100]), Ok(Step { len: 100, frame: None }));
        assert!(reader.held.capacity() < 1000, "its length alone reserves nothing");
    }
}

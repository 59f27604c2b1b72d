//! The frames of AWS's event streams (Smithy 2.0, "Amazon Event Stream Specification"), as far as Converse needs them:
//! headers whose values are texts, written by the mock and read by the generator. Bytes in, bytes out.

/// Two lengths and their checksum.
const PRELUDE_BYTES: usize = 12;
const CHECKSUM_BYTES: usize = 4;
/// Type of a header whose value is a text.
const TEXT: u8 = 7;
/// A frame longer than this is an error; the specification allows 24 MiB of payload.
const FRAME_BYTES_MAX: usize = 25 << 20;

/// Appends a frame whose `:message-type` is `event`.
pub(crate) fn push_event(out: &mut Vec<u8>, event_type: &str, payload: &[u8]) {
    let headers =
        [(":event-type", event_type), (":content-type", "application/json"), (":message-type", "event")];
    push(out, &headers, payload);
}

/// Appends a frame whose `:message-type` is `exception`.
pub(crate) fn push_exception(out: &mut Vec<u8>, exception_type: &str, payload: &[u8]) {
    let headers = [
        (":exception-type", exception_type),
        (":content-type", "application/json"),
        (":message-type", "exception"),
    ];
    push(out, &headers, payload);
}

fn push(out: &mut Vec<u8>, headers: &[(&str, &str)], payload: &[u8]) {
    let begin = out.len();
    let headers_length: usize = headers.iter().map(|(name, value)| 4 + name.len() + value.len()).sum();
    let length = PRELUDE_BYTES + headers_length + payload.len() + CHECKSUM_BYTES;
    out.extend_from_slice(&be32(length));
    out.extend_from_slice(&be32(headers_length));
    let prelude = crc32fast::hash(&out[begin..]);
    out.extend_from_slice(&prelude.to_be_bytes());
    for (name, value) in headers {
        // Names and values are this file's own and short.
        out.push(name.len() as u8);
        out.extend_from_slice(name.as_bytes());
        out.push(TEXT);
        out.extend_from_slice(&(value.len() as u16).to_be_bytes());
        out.extend_from_slice(value.as_bytes());
    }
    out.extend_from_slice(payload);
    let whole = crc32fast::hash(&out[begin..]);
    out.extend_from_slice(&whole.to_be_bytes());
}

/// Makes the checksum at the end of one whole frame fit its bytes.
pub(crate) fn reseal(frame: &mut [u8]) {
    let end = frame.len() - CHECKSUM_BYTES;
    let whole = crc32fast::hash(&frame[..end]);
    frame[end..].copy_from_slice(&whole.to_be_bytes());
}

fn be32(value: usize) -> [u8; 4] {
    // A mock's frames are far below 4 GiB.
    (value as u32).to_be_bytes()
}

/// One frame that was read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    /// `event`, `exception` or `error`.
    pub(crate) message_type: &'a str,
    /// `:event-type` or `:exception-type`.
    pub(crate) kind: &'a str,
    pub(crate) payload: &'a [u8],
}

/// Reads the frame at the front of the bytes and says how long it is; `None` if it is not complete.
///
/// # Errors
/// A sentence if the bytes are not a frame.
pub(crate) fn read(bytes: &[u8]) -> Result<Option<(usize, Frame<'_>)>, &'static str> {
    if bytes.len() < PRELUDE_BYTES {
        return Ok(None);
    }
    let word = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let (length, headers_length) = (word(0) as usize, word(4) as usize);
    if crc32fast::hash(&bytes[..8]) != word(8) {
        return Err("the checksum of a frame's lengths does not fit");
    }
    let payload = PRELUDE_BYTES.saturating_add(headers_length);
    if length > FRAME_BYTES_MAX || payload.saturating_add(CHECKSUM_BYTES) > length {
        return Err("the lengths of a frame do not fit");
    }
    if bytes.len() < length {
        return Ok(None);
    }
    let end = length - CHECKSUM_BYTES;
    if crc32fast::hash(&bytes[..end]) != word(end) {
        return Err("the checksum of a frame does not fit");
    }
    let mut frame = Frame { message_type: "", kind: "", payload: &bytes[payload..end] };
    let mut rest = &bytes[PRELUDE_BYTES..payload];
    while !rest.is_empty() {
        let (name, value, left) = header(rest).ok_or("a header of a frame is malformed")?;
        match name {
            ":message-type" => frame.message_type = value,
            ":event-type" | ":exception-type" => frame.kind = value,
            _ => {}
        }
        rest = left;
    }
    Ok(Some((length, frame)))
}

fn header(bytes: &[u8]) -> Option<(&str, &str, &[u8])> {
    let (length, rest) = bytes.split_first()?;
    let (name, rest) = rest.split_at_checked(usize::from(*length))?;
    let (kind, rest) = rest.split_first()?;
    if *kind != TEXT {
        return None;
    }
    let (length, rest) = rest.split_at_checked(2)?;
    let (value, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([length[0], length[1]])))?;
    Some((std::str::from_utf8(name).ok()?, std::str::from_utf8(value).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read_back_from_any_cut() {
        let mut bytes = Vec::new();
        push_event(&mut bytes, "messageStop", br#"{"stopReason":"end_turn"}"#);
        for cut in 0..bytes.len() {
            assert_eq!(read(&bytes[..cut]), Ok(None), "{cut}");
        }
        let (length, frame) = read(&bytes).unwrap().unwrap();
        assert_eq!(length, bytes.len());
        assert_eq!((frame.message_type, frame.kind), ("event", "messageStop"));
        assert_eq!(frame.payload, br#"{"stopReason":"end_turn"}"#);
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let mut bytes = Vec::new();
        push_exception(&mut bytes, "throttlingException", b"{}");
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0x10;
            assert!(read(&changed).is_err(), "{at}");
        }
        let end = bytes.len() - 5;
        bytes[end] = b']';
        assert!(read(&bytes).is_err());
        reseal(&mut bytes);
        assert_eq!(read(&bytes).unwrap().unwrap().1.payload, b"{]");
    }

    /// CRC-32s of another implementation (Python's zlib).
    #[test]
    fn a_frame_without_headers_and_payload() {
        let empty = [0, 0, 0, 16, 0, 0, 0, 0, 0x05, 0xc2, 0x48, 0xeb, 0x7d, 0x98, 0xc8, 0xff];
        let (length, frame) = read(&empty).unwrap().unwrap();
        assert_eq!((length, frame.payload.len(), frame.kind), (16, 0, ""));
    }
}

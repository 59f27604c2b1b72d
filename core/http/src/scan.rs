//! What request and response heads share: finding where a head ends without reading a byte twice, and turning its
//! field lines into a [`FieldTable`].
//!
//! The scan refuses what `httparse` would let pass (a bare LF) or would name badly (folded lines), in the order of
//! the bytes, so that a head gives the same verdict however it was cut into reads.

use crate::code::Code;
use crate::field::FieldId;
use crate::head::{FIELDS_MAX, FieldTable, HeadLimits, Parsed, Span};
use memchr::memchr;

/// A head that must not be served: why, in words for the caller, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code} at byte {offset}: {detail}")]
pub struct Refusal {
    /// The answer to give.
    pub code: Code,
    /// What exactly is wrong; never holds bytes of the caller.
    pub detail: &'static str,
    /// Index of the offending byte in the buffer, as near as it is known.
    pub offset: u32,
}

impl Refusal {
    /// A refusal at an index of the buffer.
    #[cold]
    pub fn new(code: Code, detail: &'static str, offset: usize) -> Refusal {
        Refusal { code, detail, offset: u32::try_from(offset).unwrap_or(u32::MAX) }
    }
}

/// Shorthand for a refusal as an error.
#[cold]
pub(crate) fn refuse<T>(code: Code, detail: &'static str, offset: usize) -> Result<T, Refusal> {
    Err(Refusal::new(code, detail, offset))
}

/// What a scan that has used up its input answers: more is needed, unless the limit is reached.
pub(crate) fn needs_more(buf: &[u8], limits: &HeadLimits) -> Result<Parsed, Refusal> {
    if buf.len() >= limits.head_bytes_max {
        return refuse(Code::HeadTooLarge, "the head is larger than the limit", limits.head_bytes_max);
    }
    Ok(Parsed::Partial)
}

/// Where the scan of the field lines stands.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LineScan {
    /// Index of the first byte not looked at.
    pos: usize,
    /// Index of the first byte of the line that `pos` is in.
    line_start: usize,
    /// Complete field lines so far.
    lines: usize,
}

impl LineScan {
    /// Begins after the first line of a head.
    pub(crate) fn from(pos: usize) -> LineScan {
        LineScan { pos, line_start: pos, lines: 0 }
    }

    /// Complete field lines so far.
    pub(crate) fn lines(&self) -> usize {
        self.lines
    }

    /// Looks at the bytes that are new. `Some(end)` is the index after the empty line that ends the head.
    #[inline]
    pub(crate) fn advance(&mut self, buf: &[u8], limits: &HeadLimits) -> Result<Option<usize>, Refusal> {
        let window = &buf[..buf.len().min(limits.head_bytes_max)];
        while let Some(found) = window.get(self.pos..).and_then(|rest| memchr(b'\n', rest)) {
            let lf = self.pos + found;
            let begins = window[self.line_start];
            if begins == b' ' || begins == b'\t' {
                return refuse(Code::ObsFold, "a field line begins with white space", self.line_start);
            }
            if lf == self.line_start || window[lf - 1] != b'\r' {
                return refuse(Code::BadLineEnd, "a line ends in LF without CR", lf);
            }
            if lf - 1 == self.line_start {
                return Ok(Some(lf + 1));
            }
            self.lines += 1;
            if self.lines > limits.fields_max {
                return refuse(Code::TooManyFields, "too many header fields", self.line_start);
            }
            self.pos = lf + 1;
            self.line_start = self.pos;
        }
        self.pos = self.pos.max(window.len());
        needs_more(buf, limits).map(|_| None)
    }
}

/// Parses the complete field lines `buf[from..end]` (the empty line included) into the table.
///
/// `lines` is the count that the scan found; it chooses how much room is prepared for `httparse`.
pub(crate) fn parse_fields(
    buf: &[u8],
    from: usize,
    end: usize,
    lines: usize,
    table: &mut FieldTable,
) -> Result<(), Refusal> {
    match lines {
        0..=16 => parse_lines::<16>(buf, from, end, table),
        17..=32 => parse_lines::<32>(buf, from, end, table),
        _ => parse_lines::<FIELDS_MAX>(buf, from, end, table),
    }
}

fn parse_lines<const N: usize>(
    buf: &[u8],
    from: usize,
    end: usize,
    table: &mut FieldTable,
) -> Result<(), Refusal> {
    let block = &buf[from..end];
    let mut headers = [httparse::EMPTY_HEADER; N];
    let fields = match httparse::parse_headers(block, &mut headers) {
        Ok(httparse::Status::Complete((consumed, fields))) if consumed == block.len() => fields,
        Ok(_) => return refuse(Code::BadHeader, "the header block is malformed", from),
        Err(_) => return Err(diagnose(buf, from, end)),
    };
    let base = buf.as_ptr().addr();
    for (index, header) in fields.iter().enumerate() {
        let name = header.name.as_bytes();
        let name_start = name.as_ptr().addr() - base;
        let name_end = name_start + name.len();
        let (value_start, value_end) = if header.value.is_empty() {
            (name_end + 1, name_end + 1)
        } else {
            let start = header.value.as_ptr().addr() - base;
            (start, start + header.value.len())
        };
        let line_end = match fields.get(index + 1) {
            Some(next) => next.name.as_ptr().addr() - base,
            None => end - 2,
        };
        let (Some(name_span), Some(value_span)) =
            (Span::between(name_start, name_end), Span::between(value_start, value_end))
        else {
            return refuse(Code::HeadTooLarge, "the head is larger than a span reaches", name_start);
        };
        let id = FieldId::lookup(name);
        if table.push(name_span, value_span, id, line_end).is_err() {
            return refuse(Code::TooManyFields, "too many header fields", name_start);
        }
        if id == FieldId::Other && FieldId::is_imitated(name) {
            table.drop_at(index);
        }
    }
    Ok(())
}

/// Says what is wrong with a block that `httparse` refused. Only walked for messages that are refused anyway.
#[cold]
fn diagnose(buf: &[u8], from: usize, end: usize) -> Refusal {
    let mut start = from;
    while let Some(found) = memchr(b'\n', &buf[start..end]) {
        let line_end = start + found;
        let line = buf[start..line_end].strip_suffix(b"\r").unwrap_or(&buf[start..line_end]);
        if let Some((detail, code, at)) = line_fault(line) {
            return Refusal::new(code, detail, start + at);
        }
        start = line_end + 1;
    }
    Refusal::new(Code::BadHeader, "the header block is malformed", from)
}

fn line_fault(line: &[u8]) -> Option<(&'static str, Code, usize)> {
    if let Some(at) = memchr(b'\r', line) {
        return Some(("CR without LF", Code::BadLineEnd, at));
    }
    if let Some(at) = line.iter().position(|&b| (b < b' ' && b != b'\t') || b == 0x7f) {
        return Some(("a control byte in a field", Code::BadHeader, at));
    }
    if line.is_empty() {
        return None;
    }
    let Some(colon) = memchr(b':', line) else {
        return Some(("a field line without a colon", Code::BadHeader, 0));
    };
    if colon == 0 {
        return Some(("an empty field name", Code::BadHeader, 0));
    }
    if line[colon - 1] == b' ' || line[colon - 1] == b'\t' {
        return Some(("white space before the colon", Code::BadHeader, colon - 1));
    }
    let bad = line[..colon].iter().position(|&b| !is_token_byte(b))?;
    Some(("a field name that is not a token", Code::BadHeader, bad))
}

/// Whether a byte may stand in a token: a method, a field name, a connection option (RFC 9110 section 5.6.2).
#[inline]
pub(crate) const fn is_token_byte(b: u8) -> bool {
    const TOKEN: [bool; 256] = {
        let mut table = [false; 256];
        let mut b = 0;
        while b < 256 {
            let byte = b as u8;
            table[b] = byte.is_ascii_alphanumeric()
                || matches!(
                    byte,
                    b'!' | b'#'
                        | b'$'
                        | b'%'
                        | b'&'
                        | b'\''
                        | b'*'
                        | b'+'
                        | b'-'
                        | b'.'
                        | b'^'
                        | b'_'
                        | b'`'
                        | b'|'
                        | b'~'
                );
            b += 1;
        }
        table
    };
    TOKEN[b as usize]
}

/// The elements of a comma list with white space trimmed, empty ones left out (RFC 9110 section 5.6.1).
pub(crate) fn list_items(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&b| b == b',').map(<[u8]>::trim_ascii).filter(|item| !item.is_empty())
}

/// A Content-Length: plain digits, no sign, no list, no overflow (RFC 9110 section 8.6).
pub(crate) fn parse_length(value: &[u8]) -> Option<u64> {
    /// Digits of the largest 64-bit number.
    const DIGITS_MAX: usize = 20;
    if value.is_empty() || value.len() > DIGITS_MAX {
        return None;
    }
    value.iter().try_fold(0_u64, |sum, &b| {
        if !b.is_ascii_digit() {
            return None;
        }
        sum.checked_mul(10)?.checked_add(u64::from(b - b'0'))
    })
}

//! What request and response heads share: finding where a head ends, and turning its field lines into a
//! [`FieldTable`].
//!
//! A head that is there as a whole and clean, as nearly all are, is read in one pass ([`fill`]). Any other goes the
//! long way: a scan for line ends that refuses bare LF and folded lines in the order of the bytes and takes up where it
//! stood when more bytes come ([`LineScan`]), then the pass over the complete lines ([`parse_fields`]). So a head gives
//! the same verdict however it was cut into reads.

use crate::code::Code;
use crate::field::FieldId;
use crate::head::{FIELDS_MAX, FieldTable, HeadLimits, Parsed, Span};
use crate::word;
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

/// Reads the field lines from `from` to the empty line that ends the head into the table, in one pass.
///
/// `Some(end)` is the index after the empty line. `None` says that the lines are not all there, or that one of them
/// is to be refused; the table is empty then. Which it is, and what the verdict is, [`LineScan`] and [`parse_fields`]
/// tell, whose order of verdicts does not depend on how the head was cut.
#[inline]
pub(crate) fn fill(buf: &[u8], from: usize, fields_max: usize, table: &mut FieldTable) -> Option<usize> {
    let end = fill_lines(buf, from, fields_max, table);
    if end.is_none() {
        table.clear();
    }
    end
}

fn fill_lines(buf: &[u8], from: usize, fields_max: usize, table: &mut FieldTable) -> Option<usize> {
    if buf.len() > usize::from(u16::MAX) {
        return None; // beyond what a span reaches
    }
    let mut start = from;
    loop {
        let rest = buf.get(start..)?;
        if let [b'\r', b'\n', ..] = rest {
            table.end_lines(start);
            return Some(start + 2);
        }
        let (name_len, id) = FieldId::lookup_line(rest);
        // the known names are tokens
        let imitates = id == FieldId::Other && judge_name(&rest[..name_len])?;
        if table.len() == fields_max {
            return None;
        }
        let value = table.begin(Span::within(start, name_len), id, imitates).ok()?;
        let text = rest.get(name_len + 1..)?;
        let text_start = buf.len() - text.len();
        let mut text_len = up_to_control(text);
        let (text, next) = loop {
            match text.split_at_checked(text_len)? {
                (text, [b'\r', b'\n', next @ ..]) => break (text, next),
                (_, [b'\t', more @ ..]) => text_len += 1 + up_to_control(more),
                _ => return None,
            }
        };
        *value = match text {
            // one space and no more, as nearly everybody writes it
            [b' ', b'!'..=0xff, .., b'!'..=0xff] => Span::within(text_start + 1, text.len() - 1),
            _ => trim(text, text_start),
        };
        start = buf.len() - next.len();
    }
}

/// Bytes before the first control, the tab among those. Apart, as the loop and its caller need all registers each.
#[inline(never)]
fn up_to_control(text: &[u8]) -> usize {
    word::find(text, word::control)
}

/// The span, in the whole buffer, of a text at `start` without the spaces and tabs at its ends. An empty value stands
/// where the text begins.
#[inline(never)]
fn trim(text: &[u8], start: usize) -> Span {
    let is_blank = |&b: &u8| b == b' ' || b == b'\t';
    let blanks = text.iter().take_while(|b| is_blank(b)).count();
    match text.iter().rposition(|b| !is_blank(b)) {
        Some(last) => Span::within(start + blanks, last + 1 - blanks),
        None => Span::within(start, 0),
    }
}

/// Checks that a name is a token; `Some(true)` if it imitates a guarded one.
#[inline(never)]
fn judge_name(name: &[u8]) -> Option<bool> {
    const NOT_TOKEN: u8 = 1;
    const UNDERSCORE: u8 = 2;
    const CLASSES: [u8; 256] = {
        let mut table = [0; 256];
        let mut b = 0;
        while b < 256 {
            table[b] = if is_token_byte(b as u8) { 0 } else { NOT_TOKEN };
            b += 1;
        }
        table[b'_' as usize] = UNDERSCORE;
        table
    };
    let seen = name.iter().fold(0, |seen, &b| seen | CLASSES[usize::from(b)]);
    if name.is_empty() || seen & NOT_TOKEN != 0 {
        return None;
    }
    Some(seen & UNDERSCORE != 0 && FieldId::is_imitated(name))
}

/// Parses the field lines `buf[from..end]` (the empty line included), whose line ends a [`LineScan`] has judged, into
/// the table.
pub(crate) fn parse_fields(
    buf: &[u8],
    from: usize,
    end: usize,
    table: &mut FieldTable,
) -> Result<(), Refusal> {
    match fill(&buf[..end], from, FIELDS_MAX, table) {
        Some(found) if found == end => Ok(()),
        _ => Err(diagnose(buf, from, end)),
    }
}

/// Says what is wrong with a block that [`fill`] gave up. Only walked for messages that are refused anyway.
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A field as the table holds it: spans of name and value, id, dropped.
    type Read = (Span, Span, FieldId, bool);

    const LIMITS: HeadLimits = HeadLimits { head_bytes_max: 65_535, fields_max: 20, target_bytes_max: 0 };

    /// What the lines are by [`LineScan`] and by httparse: the end of the block and its fields.
    fn reference(block: &[u8]) -> Option<(usize, Vec<Read>)> {
        let end = LineScan::from(0).advance(block, &LIMITS).ok()??;
        let mut headers = [httparse::EMPTY_HEADER; LIMITS.fields_max];
        let Ok(httparse::Status::Complete((len, headers))) =
            httparse::parse_headers(&block[..end], &mut headers)
        else {
            return None;
        };
        assert_eq!(len, end, "both end the block at its empty line");
        let place = |part: &[u8]| part.as_ptr().addr() - block.as_ptr().addr();
        let fields = headers.iter().map(|header| {
            let name = header.name.as_bytes();
            let name_end = place(name) + name.len();
            let value_start = if header.value.is_empty() { name_end + 1 } else { place(header.value) };
            let id = FieldId::lookup(name);
            let dropped = id == FieldId::Other && FieldId::is_imitated(name);
            let value = Span::between(value_start, value_start + header.value.len()).unwrap();
            (Span::between(place(name), name_end).unwrap(), value, id, dropped)
        });
        Some((end, fields.collect()))
    }

    fn agrees(block: &[u8]) {
        let shown = block.escape_ascii();
        let expected = reference(block);
        let mut table = FieldTable::default();
        let end = fill(block, 0, LIMITS.fields_max, &mut table);
        let fields: Vec<Read> =
            table.as_slice().iter().map(|field| (field.name, field.value, field.id, field.dropped)).collect();
        match expected {
            None => assert_eq!((end, fields), (None, vec![]), "{shown}"),
            Some((at, expected)) => {
                assert_eq!((end, fields), (Some(at), expected), "{shown}");
                let lines_end = if table.is_empty() { 0 } else { at - 2 };
                assert_eq!(table.lines_end(), lines_end, "{shown}");
                // a block that ends with its buffer, and one in front of other bytes, are the same
                let mut again = FieldTable::default();
                assert_eq!(parse_fields(block, 0, at, &mut again), Ok(()), "{shown}");
                assert_eq!(format!("{again:?}"), format!("{table:?}"), "{shown}");
            }
        }
    }

    #[test]
    fn any_byte_anywhere_is_read_as_httparse_reads_it() {
        let blocks: [&[u8]; 6] = [
            b"Host: a.example\r\nx-api-key: 0123456789abcdef\r\n\r\n",
            b"a:\r\nB: \t \r\nc:d\r\nTe: x \t\r\n\r\nbody",
            b"Access-Control-Request-Headers:  a, b\tc \xff~\x80z\r\nX-Forwarded-Host: h\r\n\r\n",
            b"X_Forwarded_For: 1\r\nsec-ch-ua-platform: \"Linux\"\r\n!#$%&'*+-.^_`|~09azAZ: 1\r\n\r\n",
            b"Content-Length: 12\r\nTransfer-Encoding: chunked\r\ncontent_length: 3\r\n\r\n",
            b"\r\nHost: a\r\n\r\n",
        ];
        for block in blocks {
            agrees(block);
            for at in 0..block.len() {
                let mut changed = block.to_vec();
                for b in 0..=255 {
                    changed[at] = b;
                    agrees(&changed);
                }
                agrees(&block[..at]);
                agrees(&[&block[..at], &block[at + 1..]].concat());
            }
        }
    }

    fn lines() -> impl Strategy<Value = Vec<u8>> {
        let name = prop_oneof![
            prop::sample::select(FieldId::all()).prop_map(|id| id.name().as_bytes().to_vec()),
            prop::sample::select(FieldId::all()).prop_map(|id| id.name().to_lowercase().into_bytes()),
            prop::sample::select(FieldId::all()).prop_map(|id| id.name().replace('-', "_").into_bytes()),
            "[!#$%&'*+.^_`|~0-9A-Za-z-]{1,40}".prop_map(String::into_bytes),
            prop::collection::vec(any::<u8>(), 0..4),
        ];
        let value = prop_oneof![
            "[ \t]{0,3}[ -~\t]{0,40}[ \t]{0,3}".prop_map(String::into_bytes),
            " [!-~]{1,60}".prop_map(String::into_bytes),
            prop::collection::vec(prop::sample::select(b" \t~\x7f\x80\xff\x00\x1fa:\r".to_vec()), 0..12),
            prop::collection::vec(0x80..=0xff_u8, 0..20),
        ];
        let colon = prop::sample::select(vec![&b":"[..], b":", b":", b":", b" :", b""]);
        let end = prop::sample::select(vec![&b"\r\n"[..], b"\r\n", b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r"]);
        (name, colon, value, end).prop_map(|(name, colon, value, end)| [&name, colon, &value, end].concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]

        #[test]
        fn lines_are_read_as_httparse_reads_them(
            lines in prop::collection::vec(lines(), 0..6),
            behind in prop::collection::vec(any::<u8>(), 0..20),
        ) {
            agrees(&[lines.concat(), b"\r\n".to_vec(), behind].concat());
        }
    }

    #[test]
    fn lines_are_counted_as_httparse_counts_them() {
        for lines in [19, 20, 21] {
            agrees(&[b"a: b\r\n".repeat(lines), b"\r\n".to_vec()].concat());
        }
    }
}

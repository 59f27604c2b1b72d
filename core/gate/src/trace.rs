//! Names of a call: the request id and the W3C trace context (`traceparent`, version 00).

use crate::request::Request;
use crate::router::Once;
use crate::spec::RequestIdPolicy;
use penstock_http::FieldId;

/// Longest request id that is kept.
pub const REQUEST_ID_BYTES_MAX: usize = 64;

/// Makes ids that differ: one for each worker, seeded by the worker (xoshiro256++ of Blackman and Vigna). Ids
/// are no secrets.
#[derive(Clone, Debug)]
pub struct IdSource {
    state: [u64; 4],
}

impl IdSource {
    /// From 32 random bytes; all zero would make zeros only and is replaced.
    #[must_use]
    pub fn new(seed: [u64; 4]) -> Self {
        let state = if seed == [0; 4] { [1, 2, 3, 4] } else { seed };
        Self { state }
    }

    pub(crate) fn next(&mut self) -> u64 {
        let [a, b, c, d] = self.state;
        let result = a.wrapping_add(d).rotate_left(23).wrapping_add(a);
        let (c, d) = (c ^ a, d ^ b);
        self.state = [a ^ d, b ^ c, c ^ (b << 17), d.rotate_left(45)];
        result
    }

    fn next_nonzero(&mut self) -> u64 {
        loop {
            let next = self.next();
            if next != 0 {
                return next;
            }
        }
    }
}

/// The id of a request, inline.
#[derive(Clone, Copy)]
pub struct RequestId {
    /// What stands behind `length` is of ids before and means nothing.
    bytes: [u8; REQUEST_ID_BYTES_MAX],
    length: u8,
}

impl PartialEq for RequestId {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for RequestId {}

impl Default for RequestId {
    fn default() -> Self {
        Self { bytes: [0; REQUEST_ID_BYTES_MAX], length: 0 }
    }
}

impl std::fmt::Debug for RequestId {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "RequestId({})", String::from_utf8_lossy(self.as_bytes()))
    }
}

impl RequestId {
    /// Its bytes: letters, digits and a few signs.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    /// Becomes the id of a request: the one that came in if the policy keeps it and it is well formed, else a new
    /// one of 32 hex digits.
    #[inline]
    pub(crate) fn set(
        &mut self,
        request: &Request<'_>,
        policy: RequestIdPolicy,
        by_trusted: bool,
        ids: &mut IdSource,
    ) {
        let keeps = match policy {
            RequestIdPolicy::KeepFromTrusted => by_trusted,
            RequestIdPolicy::Keep => true,
            RequestIdPolicy::Make => false,
        };
        if keeps
            && let Once::One(given) = request.known(FieldId::XRequestId)
            && is_well_formed(given)
        {
            self.length = given.len() as u8;
            self.bytes[..given.len()].copy_from_slice(given);
            return;
        }
        self.make(ids);
    }

    /// Becomes a new id of 32 hex digits.
    pub(crate) fn make(&mut self, ids: &mut IdSource) {
        write_hex(ids.next(), &mut self.bytes[..16]);
        write_hex(ids.next(), &mut self.bytes[16..MADE_BYTES]);
        self.length = MADE_BYTES as u8;
    }

    /// The number that an id of 32 hex digits is; none of another form, which a caller may have given.
    #[must_use]
    pub fn number(&self) -> Option<u128> {
        let text = std::str::from_utf8(self.as_bytes()).ok()?;
        let is_made = text.len() == MADE_BYTES && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        u128::from_str_radix(text, 16).ok().filter(|_| is_made)
    }

    /// Appends the line `x-request-id: ID CRLF`.
    pub fn write_line(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"x-request-id: ");
        out.extend_from_slice(self.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

/// Appends the lines that name a call: `x-request-id` and `traceparent` for the upstream, the former for the client.
#[inline]
pub(crate) fn write_names(id: &RequestId, trace: &Trace, up: &mut Vec<u8>, down: &mut Vec<u8>) {
    let Some(made) = id.as_bytes().as_array::<MADE_BYTES>() else {
        id.write_line(up);
        id.write_line(down);
        up.extend_from_slice(b"traceparent: ");
        trace.write(up);
        return up.extend_from_slice(b"\r\n");
    };
    // Copies of fixed lengths are a few instructions each.
    let mut line = *b"x-request-id: 00000000000000000000000000000000\r\n";
    line[14..46].copy_from_slice(made);
    down.extend_from_slice(&line);
    let mut lines = [0; 118];
    lines[..48].copy_from_slice(&line);
    lines[48..61].copy_from_slice(b"traceparent: ");
    lines[61..116].copy_from_slice(&trace.text());
    lines[116..].copy_from_slice(b"\r\n");
    up.extend_from_slice(&lines);
}

/// Bytes of an id that is made here.
const MADE_BYTES: usize = 32;

fn is_well_formed(id: &[u8]) -> bool {
    (1..=REQUEST_ID_BYTES_MAX).contains(&id.len())
        && id.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/=:@".contains(byte))
}

/// Writes 16 lower-case hex digits, the highest first, into a place of that length.
#[inline]
fn write_hex(number: u64, out: &mut [u8]) {
    out[..8].copy_from_slice(&hex_of((number >> 32) as u32));
    out[8..].copy_from_slice(&hex_of(number as u32));
}

/// Eight digits at once: the nibbles are spread over the bytes of a word, then turned into letters together.
#[inline]
fn hex_of(number: u32) -> [u8; 8] {
    let mut word = u64::from(number);
    word = (word | word << 16) & 0x0000_ffff_0000_ffff;
    word = (word | word << 8) & 0x00ff_00ff_00ff_00ff;
    word = (word | word << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    // No byte carries into the next, so nothing wraps: 0x0f + 0x06 is 0x15, and 0x0f + 0x30 + 0x27 is 0x66.
    let is_letter = word.wrapping_add(0x0606_0606_0606_0606) >> 4 & 0x0101_0101_0101_0101;
    word.wrapping_add(0x3030_3030_3030_3030).wrapping_add(is_letter.wrapping_mul(0x27)).to_be_bytes()
}

/// The trace that a call belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// Trace id.
    pub trace_id: u128,
    /// Our own span, which the upstream gets as parent.
    pub span_id: u64,
    /// The caller's span; 0: the trace begins here.
    pub parent_id: u64,
    /// Flags; bit 0: sampled.
    pub flags: u8,
}

/// Flags that a version 00 receiver may pass on.
const KNOWN_FLAGS: u8 = 0b11;

impl Trace {
    /// Continues the trace of a well-formed `traceparent`, else begins one (sampled, as a root span of an
    /// OpenTelemetry library with its defaults is).
    pub(crate) fn of(request: &Request<'_>, ids: &mut IdSource) -> Self {
        let span_id = ids.next_nonzero();
        if let Once::One(value) = request.known(FieldId::Traceparent)
            && let Some((trace_id, parent_id, flags)) = read(value)
        {
            return Self { trace_id, span_id, parent_id, flags: flags & KNOWN_FLAGS };
        }
        let trace_id = u128::from(ids.next_nonzero()) << 64 | u128::from(ids.next());
        Self { trace_id, span_id, parent_id: 0, flags: 1 }
    }

    /// Appends the value of `traceparent` for the upstream.
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.text());
    }

    /// The value of `traceparent`.
    #[inline]
    fn text(&self) -> [u8; 55] {
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        write_hex((self.trace_id >> 64) as u64, &mut text[3..19]);
        write_hex(self.trace_id as u64, &mut text[19..35]);
        write_hex(self.span_id, &mut text[36..52]);
        // One digit holds the flags that are known.
        text[54] = b'0' + (self.flags & KNOWN_FLAGS);
        text
    }
}

/// Reads a `traceparent` (W3C Trace Context, section 3.2): lower-case hex, ids not zero, version not `ff`; version
/// 00 has nothing behind the flags, later ones may have after a dash.
fn read(value: &[u8]) -> Option<(u128, u64, u8)> {
    let (text, rest) = value.split_at_checked(55)?;
    if [text[2], text[35], text[52]] != *b"---" {
        return None;
    }
    let version = hex(&text[..2])?;
    let trace_id = hex(&text[3..35])?;
    let parent_id = hex(&text[36..52])?;
    let flags = hex(&text[53..])?;
    let tail_fits = rest.is_empty() || (version != 0 && rest[0] == b'-');
    let good = version != 0xff && trace_id != 0 && parent_id != 0 && tail_fits;
    good.then_some((trace_id, parent_id as u64, flags as u8))
}

fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |sum, &digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(sum << 4 | u128::from(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traceparents_are_read_strictly() {
        const T: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
        const P: &str = "00f067aa0ba902b7";
        let good = Some((0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736, 0x00f0_67aa_0ba9_02b7, 1));
        let cases = [
            (format!("00-{T}-{P}-01"), good),
            (format!("cc-{T}-{P}-01"), good),
            (format!("cc-{T}-{P}-01-what-else"), good),
            (format!("cc-{T}-{P}-01what"), None),
            (format!("00-{T}-{P}-01-more"), None),
            (format!("ff-{T}-{P}-01"), None),
            (format!("00-{}-{P}-01", T.to_uppercase()), None),
            (format!("00-{}-{P}-01", "0".repeat(32)), None),
            (format!("00-{T}-{}-01", "0".repeat(16)), None),
            (format!("00-{T}-{P}-0"), None),
            (format!("00-{T}-{P}-0g"), None),
            (format!("00_{T}-{P}-01"), None),
            (format!(" 00-{T}-{P}-01"), None),
            (String::new(), None),
        ];
        for (text, expected) in cases {
            assert_eq!(read(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn a_trace_leads_back() {
        let trace = Trace { trace_id: 0x0123 << 100 | 7, span_id: 0xabc, parent_id: 0, flags: 1 };
        let mut out = Vec::new();
        trace.write(&mut out);
        assert_eq!(read(&out), Some((trace.trace_id, trace.span_id, 1)));
    }

    #[test]
    fn request_ids_are_well_formed_or_made() {
        for id in ["a", "f47ac10b-58cc-4372-a567-0e02b2c3d479", &"x".repeat(REQUEST_ID_BYTES_MAX)] {
            assert!(is_well_formed(id.as_bytes()), "{id}");
        }
        for id in ["", "a b", "a\"b", "a,b", "\u{e4}", &"x".repeat(REQUEST_ID_BYTES_MAX + 1)] {
            assert!(!is_well_formed(id.as_bytes()), "{id}");
        }
    }

    #[test]
    fn hex_is_what_the_formatter_writes() {
        for number in [0, 1, 0x0123_4567_89ab_cdef, u64::MAX, 0xf0e1_d2c3_b4a5_9687] {
            let mut digits = [0; 16];
            write_hex(number, &mut digits);
            assert_eq!(digits.as_slice(), format!("{number:016x}").as_bytes());
        }
    }

    #[test]
    fn ids_differ() {
        let mut ids = IdSource::new([0; 4]);
        let made: std::collections::BTreeSet<u64> = (0..10_000).map(|_| ids.next()).collect();
        assert_eq!(made.len(), 10_000);
    }
}

//! Values of the RateLimit, RateLimit-Policy and Retry-After response fields, written without allocation.
//!
//! Money is told in whole micro-dollars, rounded down: a structured field's integer has 15 digits, too few for
//! nano-dollars. The draft names no unit for tokens or money; `tokens` and `micro-usd` are this gateway's.
//!
//! Knows: structured fields as draft-ietf-httpapi-ratelimit-headers-10 uses them (RFC 9651 strings and integers).
//! Must not: decide when they are sent.

use crate::{clock::SECOND_NS, limit::Limit, spec::Kind, verdict::Standing};

/// Bytes that one item of [`write_rate_limit`] or [`write_policy`] needs at most.
pub const ITEM_BYTES_MAX: usize = 160;

/// Text in a buffer that was given; what does not fit whole is left out.
struct Text<'a> {
    buffer: &'a mut [u8],
    len: usize,
    fits: bool,
}

impl Text<'_> {
    fn put(&mut self, bytes: &[u8]) {
        match self.buffer.get_mut(self.len..self.len + bytes.len()) {
            Some(place) => {
                place.copy_from_slice(bytes);
                self.len += bytes.len();
            }
            None => self.fits = false,
        }
    }

    fn number(&mut self, mut number: u64) {
        // RFC 9651, section 3.3.1: integers have at most 15 digits.
        number = number.min(999_999_999_999_999);
        let mut digits = [0; 15];
        let mut at = digits.len();
        loop {
            at -= 1;
            digits[at] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                break;
            }
        }
        self.put(&digits[at..]);
    }

    fn parameter(&mut self, name: &str, value: u64) {
        self.put(name.as_bytes());
        self.number(value);
    }
}

/// Whole seconds, rounded up: never too early.
fn seconds(ns: u64) -> u64 {
    ns.div_ceil(SECOND_NS)
}

/// An amount in the unit that callers are told.
fn told(limit: &Limit, amount: u64) -> u64 {
    if limit.kind() == Kind::Usd { amount / 1000 } else { amount }
}

/// Writes a RateLimit value: `"name";r=remaining;t=seconds`. Gives its length; 0 if the buffer is too small.
pub fn write_rate_limit(limit: &Limit, standing: &Standing, buffer: &mut [u8]) -> usize {
    let mut text = Text { buffer, len: 0, fits: true };
    text.put(b"\"");
    text.put(limit.name().as_bytes());
    text.put(b"\"");
    text.parameter(";r=", told(limit, standing.remaining));
    if standing.window_ns > 0 {
        text.parameter(";t=", seconds(standing.reset_ns));
    }
    if text.fits { text.len } else { 0 }
}

/// Writes a RateLimit-Policy value: one item `"name";q=quota;w=seconds` per limit, with `qu` where the unit is not
/// requests. Items that do not fit are left out. Gives the length.
pub fn write_policy<'a>(limits: impl IntoIterator<Item = &'a Limit>, buffer: &mut [u8]) -> usize {
    let mut written = 0;
    for limit in limits {
        let mut text = Text { buffer: &mut buffer[written..], len: 0, fits: true };
        if written > 0 {
            text.put(b", ");
        }
        text.put(b"\"");
        text.put(limit.name().as_bytes());
        text.put(b"\"");
        text.parameter(";q=", told(limit, limit.amount()));
        match limit.kind() {
            Kind::Requests => {}
            Kind::Bytes(_) => text.put(b";qu=\"content-bytes\""),
            Kind::Concurrent => text.put(b";qu=\"concurrent-requests\""),
            Kind::Tokens(_) => text.put(b";qu=\"tokens\""),
            Kind::Usd => text.put(b";qu=\"micro-usd\""),
        }
        if limit.window_ns() > 0 {
            text.parameter(";w=", seconds(limit.window_ns()));
        }
        if !text.fits {
            break;
        }
        written += text.len;
    }
    written
}

/// Writes a Retry-After value in seconds (RFC 9110, section 10.2.3), at least 1. Gives its length; 0 if the buffer
/// is too small.
pub fn write_retry_after(retry_after_ns: u64, buffer: &mut [u8]) -> usize {
    let mut text = Text { buffer, len: 0, fits: true };
    text.number(seconds(retry_after_ns).max(1));
    if text.fits { text.len } else { 0 }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        limit::{LimitId, Rule},
        spec::{Direction, LimitSpec, NAME_BYTES_MAX, Window},
    };

    fn limit(name: &str, kind: Kind, amount: u64, seconds: u64) -> Limit {
        let window = match seconds {
            0 => Window::None,
            _ => Window::Duration(Duration::from_secs(seconds)),
        };
        let spec = LimitSpec::new(1, name, kind, amount, window);
        Limit {
            id: LimitId::of(&spec),
            rule: Rule::compile(&spec).unwrap(),
            registration: 0,
            calendar: None,
            name: name.into(),
        }
    }

    #[test]
    fn values_are_as_the_draft_shows_them() {
        let rate = limit("burst", Kind::Requests, 100, 60);
        let volume = limit("down", Kind::Bytes(Direction::Down), 5_000_000, 3600);
        let at_once = limit("now", Kind::Concurrent, 20, 0);
        let mut buffer = [0; 200];
        let standing = Standing {
            index: 0,
            remaining: 50,
            limit: 100,
            reset_ns: 29_000_000_001,
            window_ns: 60 * SECOND_NS,
        };
        let len = write_rate_limit(&rate, &standing, &mut buffer);
        assert_eq!(&buffer[..len], br#""burst";r=50;t=30"#);
        let len = write_rate_limit(&at_once, &Standing { window_ns: 0, ..standing }, &mut buffer);
        assert_eq!(&buffer[..len], br#""now";r=50"#);
        let len = write_policy([&rate, &volume, &at_once], &mut buffer);
        let expected: &[u8] = br#""burst";q=100;w=60, "down";q=5000000;qu="content-bytes";w=3600, "now";q=20;qu="concurrent-requests""#;
        assert_eq!(&buffer[..len], expected);
        for (ns, expected) in
            [(0, "1"), (1, "1"), (SECOND_NS, "1"), (SECOND_NS + 1, "2"), (90 * SECOND_NS, "90")]
        {
            let len = write_retry_after(ns, &mut buffer);
            assert_eq!(&buffer[..len], expected.as_bytes());
        }
    }

    #[test]
    fn what_does_not_fit_is_left_out_whole() {
        let longest = limit(&"n".repeat(NAME_BYTES_MAX), Kind::Bytes(Direction::Up), 1 << 40, 86_400);
        let mut buffer = [0; ITEM_BYTES_MAX];
        let whole = write_policy([&longest], &mut buffer);
        assert!(whole > 0);
        assert_eq!(write_policy([&longest], &mut buffer[..whole - 1]), 0);
        assert_eq!(write_policy([&longest, &longest], &mut buffer), whole);
        let standing = Standing { index: 0, remaining: u64::MAX, limit: 1, reset_ns: u64::MAX, window_ns: 1 };
        let whole = write_rate_limit(&longest, &standing, &mut buffer);
        assert!(whole > 0);
        assert_eq!(write_rate_limit(&longest, &standing, &mut buffer[..whole - 1]), 0);
        assert_eq!(write_retry_after(10 * SECOND_NS, &mut buffer[..1]), 0);
    }
}

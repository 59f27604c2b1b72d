//! International bank account numbers (ISO 13616): the length of their country, remainder 1 modulo 97.

use super::text::{Border, Found, Text};

/// Length by country, from SWIFT's registry.
const LENGTHS: &[(&[u8; 2], usize)] = &[
    (b"AD", 24),
    (b"AE", 23),
    (b"AL", 28),
    (b"AT", 20),
    (b"AZ", 28),
    (b"BA", 20),
    (b"BE", 16),
    (b"BG", 22),
    (b"BH", 22),
    (b"BI", 27),
    (b"BR", 29),
    (b"BY", 28),
    (b"CH", 21),
    (b"CR", 22),
    (b"CY", 28),
    (b"CZ", 24),
    (b"DE", 22),
    (b"DJ", 27),
    (b"DK", 18),
    (b"DO", 28),
    (b"EE", 20),
    (b"EG", 29),
    (b"ES", 24),
    (b"FI", 18),
    (b"FK", 18),
    (b"FO", 18),
    (b"FR", 27),
    (b"GB", 22),
    (b"GE", 22),
    (b"GI", 23),
    (b"GL", 18),
    (b"GR", 27),
    (b"GT", 28),
    (b"HN", 28),
    (b"HR", 21),
    (b"HU", 28),
    (b"IE", 22),
    (b"IL", 23),
    (b"IQ", 23),
    (b"IS", 26),
    (b"IT", 27),
    (b"JO", 30),
    (b"KW", 30),
    (b"KZ", 20),
    (b"LB", 28),
    (b"LC", 32),
    (b"LI", 21),
    (b"LT", 20),
    (b"LU", 20),
    (b"LV", 21),
    (b"LY", 25),
    (b"MC", 27),
    (b"MD", 24),
    (b"ME", 22),
    (b"MK", 19),
    (b"MN", 20),
    (b"MR", 27),
    (b"MT", 31),
    (b"MU", 30),
    (b"NI", 28),
    (b"NL", 18),
    (b"NO", 15),
    (b"OM", 23),
    (b"PK", 24),
    (b"PL", 28),
    (b"PS", 29),
    (b"PT", 25),
    (b"QA", 29),
    (b"RO", 24),
    (b"RS", 22),
    (b"RU", 33),
    (b"SA", 24),
    (b"SC", 31),
    (b"SD", 18),
    (b"SE", 24),
    (b"SI", 19),
    (b"SK", 24),
    (b"SM", 27),
    (b"SO", 23),
    (b"ST", 25),
    (b"SV", 28),
    (b"TL", 23),
    (b"TN", 24),
    (b"TR", 26),
    (b"UA", 29),
    (b"VA", 22),
    (b"VG", 24),
    (b"XK", 20),
    (b"YE", 30),
];
const LEN_MAX: usize = 34;

pub(crate) fn find(text: &Text<'_>, at: usize) -> Found {
    let open = |at: usize| if text.is_open(at) { Found::Wait { sure: None } } else { Found::No };
    let letter =
        |at: usize| text.get(at).filter(u8::is_ascii_alphabetic).map(|byte| byte.to_ascii_uppercase());
    let Some(first) = letter(at) else { return Found::No };
    if !text.begins_loosely(at) {
        return Found::No;
    }
    let Some(second) = letter(at + 1) else { return open(at + 1) };
    let Some((_, length)) = LENGTHS.iter().find(|(country, _)| **country == [first, second]) else {
        return Found::No;
    };
    let mut chars = [0u8; LEN_MAX];
    let mut place = at;
    let mut count = 0;
    while count < *length {
        match text.get(place) {
            Some(byte)
                if byte.is_ascii_digit() || (byte.is_ascii_alphabetic() && !(2..4).contains(&count)) =>
            {
                chars[count] = byte.to_ascii_uppercase();
                count += 1;
                place += 1;
            }
            Some(b' ' | b'-')
                if count >= 4 && count.is_multiple_of(4) && text.before(place).is_some_and(is_part) =>
            {
                place += 1;
            }
            Some(0xc2) if count >= 4 && count.is_multiple_of(4) && text.get(place + 1) == Some(0xa0) => {
                place += 2
            }
            _ => return open(place),
        }
    }
    match text.ends_loosely(place) {
        Border::Unknown => Found::Wait { sure: None },
        Border::Yes if remainder(&chars[..count]) == 1 => Found::Yes(at..place),
        Border::Yes | Border::No => Found::No,
    }
}

fn is_part(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
}

/// Its remainder modulo 97 with the first four characters behind the others and letters as 10 to 35 (ISO 7064).
fn remainder(chars: &[u8]) -> u32 {
    chars[4..].iter().chain(&chars[..4]).fold(0, |remainder, byte| match byte {
        b'0'..=b'9' => (remainder * 10 + u32::from(byte - b'0')) % 97,
        letter => (remainder * 100 + u32::from(letter - b'A') + 10) % 97,
    })
}

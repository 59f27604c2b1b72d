//! Numbers of payment cards (ISO/IEC 7812-1): 13 to 19 digits of an issuer's range whose check digit is right.

use super::text::{Border, Digits, Found, Text, passes_luhn, value};

/// Beginnings, from and to, as wide as they are written, and lengths, from and to. The networks' published ranges.
const ISSUERS: [(u64, u64, usize, usize); 36] = [
    (4, 4, 13, 13),           // Visa
    (4, 4, 16, 16),           // Visa
    (4, 4, 19, 19),           // Visa
    (51, 55, 16, 16),         // Mastercard
    (2221, 2720, 16, 16),     // Mastercard
    (34, 34, 15, 15),         // American Express
    (37, 37, 15, 15),         // American Express
    (36, 36, 14, 19),         // Diners Club
    (38, 39, 16, 19),         // Diners Club
    (300, 305, 14, 19),       // Diners Club
    (3095, 3095, 14, 19),     // Diners Club
    (6011, 6011, 16, 19),     // Discover
    (644, 649, 16, 19),       // Discover
    (65, 65, 16, 19),         // Discover, RuPay
    (622126, 622925, 16, 19), // Discover and UnionPay
    (62, 62, 16, 19),         // UnionPay
    (810, 817, 16, 19),       // UnionPay
    (3528, 3589, 16, 19),     // JCB
    (2200, 2204, 16, 19),     // Mir
    (60, 60, 16, 16),         // RuPay
    (81, 82, 16, 16),         // RuPay
    (508, 508, 16, 16),       // RuPay
    (353, 353, 16, 16),       // RuPay and JCB
    (9792, 9792, 16, 16),     // Troy
    (1, 1, 15, 15),           // UATP
    (5018, 5018, 13, 19),     // Maestro
    (5020, 5020, 13, 19),     // Maestro
    (5038, 5038, 13, 19),     // Maestro
    (5893, 5893, 13, 19),     // Maestro
    (6304, 6304, 13, 19),     // Maestro
    (6759, 6759, 13, 19),     // Maestro
    (6761, 6763, 13, 19),     // Maestro
    (5019, 5019, 16, 16),     // Dankort
    (4571, 4571, 16, 16),     // Dankort
    (6364, 6369, 16, 16),     // Elo
    (5067, 5067, 16, 16),     // Elo
];

/// Digits of any card.
const LENGTHS: std::ops::RangeInclusive<usize> = 13..=19;

fn is_issued(digits: &[u8]) -> bool {
    ISSUERS.iter().any(|(from, to, shortest, longest)| {
        let width = from.ilog10() as usize + 1;
        (*shortest..=*longest).contains(&digits.len()) && (*from..=*to).contains(&value(&digits[..width]))
    })
}

pub(crate) fn find(text: &Text<'_>, at: usize, digits: &Digits) -> Found {
    if !text.begins_loosely(at) {
        return Found::No;
    }
    if digits.is_open {
        return Found::Wait { sure: None };
    }
    for number in digits.beginnings().filter(|number| LENGTHS.contains(&number.digits.len())) {
        let mut lens = number.lens();
        let is_written = number.is_plain(number.digits.len())
            || (number.separator().is_some() && lens.next() == Some(4) && lens.all(|len| len <= 7));
        if is_written && is_issued(number.digits) && passes_luhn(number.digits) {
            match text.ends_loosely(number.end()) {
                Border::Yes => return Found::Yes(at..number.end()),
                Border::Unknown => return Found::Wait { sure: None },
                Border::No => {}
            }
        }
    }
    Found::No
}

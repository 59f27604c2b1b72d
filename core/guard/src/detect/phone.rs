//! Telephone numbers: international ones (ITU-T E.164) and national ones as they are written, where their form or a word
//! before them says that they are no other number.

use super::text::{Border, Digits, Found, Number, Separator, Text, is_day, value};

/// Digits of an international number with its country (E.164 section 6): never more; fewer are in no country's plan that
/// people write with its code.
const INTERNATIONAL: std::ops::RangeInclusive<usize> = 8..=15;
/// Digits of a national number with its leading zero.
const NATIONAL: std::ops::RangeInclusive<usize> = 9..=12;
/// Digits of a number that a word announces.
const ANNOUNCED: std::ops::RangeInclusive<usize> = 7..=12;

/// Words that say that a telephone number follows.
const ANNOUNCEMENTS: [&str; 27] = [
    "tel",
    "phone",
    "telephone",
    "call",
    "mobil",
    "cell",
    "fax",
    "whatsapp",
    "handy",
    "ruf",
    "anruf",
    "sms",
    "telefon",
    "téléphone",
    "portable",
    "appel",
    "teléfono",
    "telefono",
    "telefone",
    "móvil",
    "movil",
    "celular",
    "cellulare",
    "тел",
    "电话",
    "手机",
    "電話",
];

pub(crate) fn find(text: &Text<'_>, at: usize, digits: Option<&Digits>) -> Found {
    if !text.begins(at) {
        return Found::No;
    }
    match (text.get(at), digits) {
        (Some(b'+'), _) => international(text, at, at + 1),
        (Some(b'('), _) => in_brackets(text, at),
        (Some(b'0'), Some(_)) if text.get(at + 1) == Some(b'0') => international(text, at, at + 2),
        (Some(_), Some(digits)) => national(text, at, digits),
        _ => Found::No,
    }
}

/// Digits as they are dialled, with single separators and brackets between them.
#[derive(Debug, Default)]
struct Dialled {
    digits: Vec<u8>,
    /// Behind each group: how many digits there are up to it, and where it ends.
    ends: Vec<(usize, usize)>,
    is_open: bool,
}

impl Dialled {
    fn read(text: &Text<'_>, at: usize) -> Self {
        let mut dialled = Self::default();
        let mut at = at;
        if text.get(at) == Some(b'(') {
            at += 1;
        }
        loop {
            let start = at;
            while let Some(byte @ b'0'..=b'9') = text.get(at) {
                // One digit more shows that a group is too long.
                if dialled.digits.len() > *INTERNATIONAL.end() {
                    return dialled;
                }
                dialled.digits.push(byte - b'0');
                at += 1;
            }
            dialled.is_open = text.is_open(at);
            if at == start {
                return dialled;
            }
            dialled.ends.push((dialled.digits.len(), at));
            // The zero that is not dialled from abroad.
            for zero in [" (0)", "(0)"] {
                if text.bytes[at..].starts_with(zero.as_bytes()) {
                    at += zero.len();
                }
            }
            let mut marks = 0;
            while marks < 2
                && let Some(len) = match text.get(at) {
                    Some(b'(' | b')') => Some(1),
                    _ => Separator::at(text.bytes, at).map(|(_, len)| len),
                }
            {
                let is_bracket = matches!(text.get(at), Some(b'(' | b')'));
                if marks == 1 && !is_bracket && text.before(at) != Some(b')') {
                    break;
                }
                at += len;
                marks += 1;
            }
            dialled.is_open |= text.is_open(at) || (text.get(at) == Some(b'(') && text.is_open(at + 3));
        }
    }
}

fn international(text: &Text<'_>, at: usize, from: usize) -> Found {
    let dialled = Dialled::read(text, from);
    if dialled.is_open || text.is_open(from) {
        return Found::Wait { sure: None };
    }
    let Some(code) = calling_code(&dialled.digits) else { return Found::No };
    for (count, end) in dialled.ends.iter().rev() {
        let digits = &dialled.digits[..*count];
        let is_whole = INTERNATIONAL.contains(count)
            && *count > code
            && (digits[0] != 1 || (*count == 11 && is_north_american(&digits[1..])));
        if is_whole && is_varied(&digits[code..]) {
            match text.ends(*end) {
                Border::Yes => return Found::Yes(at..*end),
                Border::Unknown => return Found::Wait { sure: None },
                Border::No => {}
            }
        }
    }
    Found::No
}

/// `(030) 123456`, `(555) 123-4567`, `(11) 91234-5678`.
fn in_brackets(text: &Text<'_>, at: usize) -> Found {
    let area_len = text.bytes[at + 1..].iter().take(6).take_while(|byte| byte.is_ascii_digit()).count();
    let mut place = at + 1 + area_len;
    if text.is_open(place) && area_len < 6 {
        return Found::Wait { sure: None };
    }
    if !(2..=5).contains(&area_len) || text.get(place) != Some(b')') {
        return Found::No;
    }
    place += 1;
    if let Some((Separator::Space | Separator::Dash, len)) = Separator::at(text.bytes, place) {
        place += len;
    }
    let rest = Digits::read(text, place);
    if rest.is_open || text.is_open(place) {
        return Found::Wait { sure: None };
    }
    let area: Vec<u8> = text.bytes[at + 1..at + 1 + area_len].iter().map(|byte| byte - b'0').collect();
    for number in rest.beginnings() {
        let digits = [&area, number.digits].concat();
        let is_number = match area[0] {
            0 => NATIONAL.contains(&digits.len()) && area[1] != 0,
            _ if area_len == 3 => number.is_grouped(&[3, 4]) && is_north_american(&digits),
            _ => area_len == 2 && (number.is_grouped(&[5, 4]) || number.is_grouped(&[4, 4])),
        };
        if is_number && is_varied(&digits) {
            match text.ends(number.end()) {
                Border::Yes => return Found::Yes(at..number.end()),
                Border::Unknown => return Found::Wait { sure: None },
                Border::No => {}
            }
        }
    }
    Found::No
}

fn national(text: &Text<'_>, at: usize, digits: &Digits) -> Found {
    if digits.is_open {
        return Found::Wait { sure: None };
    }
    let mut is_announced = None;
    // Later columns of a row of numbers.
    let is_later =
        text.before(at) == Some(b' ') && text.before(at - 1).is_some_and(|byte| byte.is_ascii_digit());
    for number in digits.beginnings() {
        let is_column = is_later && number.separator() == Some(Separator::Space);
        let mut announced = || *is_announced.get_or_insert_with(|| text.is_announced(at, &ANNOUNCEMENTS));
        let is_number = (is_national(&number) && !is_column)
            || (ANNOUNCED.contains(&number.digits.len()) && !is_date(&number) && announced());
        if is_number && is_varied(number.digits) {
            match text.ends(number.end()) {
                Border::Yes => return Found::Yes(at..number.end()),
                Border::Unknown => return Found::Wait { sure: None },
                Border::No => {}
            }
        }
    }
    Found::No
}

/// Whether its form alone makes it one.
fn is_national(number: &Number<'_>) -> bool {
    let digits = number.digits;
    let mut lens = number.lens();
    match digits {
        [0, 1..=9, ..] => {
            if number.is_plain(digits.len()) {
                return matches!(digits.len(), 10 | 11);
            }
            let first = lens.next().unwrap_or_default();
            NATIONAL.contains(&digits.len())
                && (2..=6).contains(&first)
                && lens.clone().all(|len| len >= 2)
                && lens.count() <= 5
                && is_separated(number)
                && !is_date(number)
        }
        [1, 3..=9, ..] if number.is_grouped(&[3, 4, 4]) => {
            matches!(number.separator(), Some(Separator::Space | Separator::Dash)) // China's mobile numbers
        }
        [1, rest @ ..] if number.is_grouped(&[1, 3, 3, 4]) => {
            number.separator().is_some_and(|separator| separator != Separator::Slash)
                && is_north_american(rest)
        }
        _ => {
            number.is_grouped(&[3, 3, 4])
                && number.separator().is_some_and(|separator| separator != Separator::Slash)
                && is_north_american(digits)
        }
    }
}

/// Separators as in telephone numbers: one kind, and a slash or a dash of its own behind the area; points between pairs.
fn is_separated(number: &Number<'_>) -> bool {
    let mut separators = number.separators();
    let first = separators.next();
    let mut rest = separators.clone();
    match (first, separators.next()) {
        (Some(Separator::Dot), _) => {
            rest.all(|separator| separator == Separator::Dot) && number.is_grouped(&[2, 2, 2, 2, 2])
        }
        (Some(_), None) => true,
        (Some(_), Some(second)) => {
            !matches!(second, Separator::Dot | Separator::Slash) && rest.all(|separator| separator == second)
        }
        (None, _) => false,
    }
}

/// Whether its first groups are a date.
fn is_date(number: &Number<'_>) -> bool {
    let mut lens = number.lens();
    let digits = number.digits;
    match [lens.next(), lens.next(), lens.next()].map(Option::unwrap_or_default) {
        [2, 2, 4] => {
            let (first, second) = (value(&digits[..2]), value(&digits[2..4]));
            (1900..2100).contains(&value(&digits[4..8])) && (is_day(second, first) || is_day(first, second))
        }
        [4, 2, 2] => {
            (1900..2100).contains(&value(&digits[..4])) && is_day(value(&digits[4..6]), value(&digits[6..8]))
        }
        _ => false,
    }
}

/// Area and exchange begin with 2 to 9 in the North American plan.
fn is_north_american(digits: &[u8]) -> bool {
    digits.len() == 10 && digits[0] >= 2 && digits[3] >= 2
}

/// No row of equal digits, as in examples and rulers.
fn is_varied(digits: &[u8]) -> bool {
    let seen = digits.iter().fold(0u16, |seen, digit| seen | 1 << digit);
    seen.count_ones() >= 3
}

/// The digits of the country's code (ITU-T E.164, list of assigned codes), if it is one.
fn calling_code(digits: &[u8]) -> Option<usize> {
    let code = |len: usize| digits.get(..len).map(value);
    if matches!(code(1)?, 1 | 7) {
        return Some(1);
    }
    let is_two = matches!(
        code(2)?,
        20 | 27 | 30..=34 | 36 | 39..=41 | 43..=49 | 51..=58 | 60..=66 | 81 | 82 | 84 | 86 | 90..=95 | 98
    );
    if is_two {
        return Some(2);
    }
    let is_three = matches!(
        code(3)?,
        211..=213 | 216 | 218 | 220..=258 | 260..=269 | 290 | 291 | 297..=299 | 350..=359 | 370..=378 | 380..=383
            | 385..=387 | 389 | 420 | 421 | 423 | 500..=509 | 590..=599 | 670 | 672..=683 | 685..=692 | 800 | 808
            | 850 | 852 | 853 | 855 | 856 | 870 | 878 | 880..=883 | 886 | 888 | 960..=968 | 970..=977 | 979
            | 992..=996 | 998
    );
    is_three.then_some(3)
}

//! Numbers that states give to people, where a check digit or a fixed form tells them from other numbers.

use super::text::{Border, Found, Number, Separator, Text, is_day, passes_luhn, value, weighted};
use crate::kind::Detector;

/// Words that announce a Dutch citizen service number.
const BSN: [&str; 4] = ["bsn", "burgerservicenummer", "sofi", "burger service nummer"];
/// Words that announce a Swedish personal number.
const SWEDISH: [&str; 4] = ["personnummer", "pnr", "personal number", "samordningsnummer"];
/// Words that announce an American social security number.
const SSN: [&str; 4] = ["ssn", "social security", "social sec", "seguro social"];
/// Words that announce an Indian identity number.
const AADHAAR: [&str; 3] = ["aadhaar", "aadhar", "uidai"];

/// Detectors of numbers of so many digits.
pub(crate) fn of_digits(count: usize) -> &'static [Detector] {
    match count {
        9 => &[Detector::UsSsn, Detector::NlBsn],
        10 => &[Detector::SePersonnummer],
        11 => &[
            Detector::DeSteuerId,
            Detector::PlPesel,
            Detector::BeNumber,
            Detector::NoFodselsnummer,
            Detector::BrCpf,
            Detector::TrKimlik,
        ],
        12 => &[Detector::SePersonnummer, Detector::InAadhaar],
        13 => &[Detector::ChAhv],
        _ => &[],
    }
}

/// Whether a number that begins at `at` is one that a detector of so many digits looks for.
pub(crate) fn find_number(detector: Detector, text: &Text<'_>, at: usize, number: &Number<'_>) -> Found {
    if !is_number(detector, text, at, number) {
        return Found::No;
    }
    match text.ends(number.end()) {
        Border::Yes => Found::Yes(at..number.end()),
        Border::Unknown => Found::Wait { sure: None },
        Border::No => Found::No,
    }
}

fn is_number(detector: Detector, text: &Text<'_>, at: usize, number: &Number<'_>) -> bool {
    use Separator::{Dash, Dot, Space};
    let d = number.digits;
    let announced = |words: &[&str]| text.is_announced(at, words);
    match detector {
        Detector::UsSsn => {
            let is_written = number.is_written(&[3, 2, 4], Dash) || number.is_written(&[3, 2, 4], Space);
            (is_written || (number.is_plain(9) && announced(&SSN))) && is_us_ssn(d)
        }
        Detector::DeSteuerId => {
            (number.is_plain(11) || number.is_written(&[2, 3, 3, 3], Space)) && is_de_steuer_id(d)
        }
        Detector::NlBsn => {
            let is_written = number.is_written(&[4, 2, 3], Dot);
            (is_written || (number.is_plain(9) && announced(&BSN))) && is_nl_bsn(d)
        }
        Detector::PlPesel => number.is_plain(11) && is_pl_pesel(d),
        Detector::BeNumber => {
            let is_written =
                number.is_grouped(&[2, 2, 2, 3, 2]) && number.separators().eq([Dot, Dot, Dash, Dot]);
            (is_written || number.is_plain(11)) && is_be_number(d)
        }
        Detector::SePersonnummer => {
            let is_long = number.is_written(&[8, 4], Dash) || number.is_plain(12);
            let is_short = number.is_written(&[6, 4], Dash) || (number.is_plain(10) && announced(&SWEDISH));
            let ten = if is_long && matches!(value(&d[..2]), 19 | 20) { &d[2..] } else { d };
            (is_long || is_short) && ten.len() == 10 && is_se_personnummer(ten)
        }
        Detector::NoFodselsnummer => {
            (number.is_plain(11) || number.is_written(&[6, 5], Space)) && is_no_fodselsnummer(d)
        }
        Detector::ChAhv => {
            (number.is_plain(13) || number.is_written(&[3, 4, 4, 2], Dot))
                && d.starts_with(&[7, 5, 6])
                && is_ean(d)
        }
        Detector::BrCpf => {
            let is_written = number.is_grouped(&[3, 3, 3, 2]) && number.separators().eq([Dot, Dot, Dash]);
            (is_written || number.is_plain(11)) && is_br_cpf(d)
        }
        Detector::TrKimlik => number.is_plain(11) && is_tr_kimlik(d),
        Detector::InAadhaar => {
            let is_written = number.is_written(&[4, 4, 4], Space) || number.is_written(&[4, 4, 4], Dash);
            (is_written || (number.is_plain(12) && announced(&AADHAAR))) && d[0] >= 2 && passes_verhoeff(d)
        }
        _ => false,
    }
}

/// No area 000, 666 or above 899, no group 00, no serial 0000 (Social Security Administration).
fn is_us_ssn(d: &[u8]) -> bool {
    let (area, group, serial) = (value(&d[..3]), value(&d[3..5]), value(&d[5..]));
    !matches!(area, 0 | 666 | 900..) && group != 0 && serial != 0
}

/// Of the first ten digits one stands twice or thrice and the others once; ISO 7064 MOD 11,10 (section 139b AO).
fn is_de_steuer_id(d: &[u8]) -> bool {
    let times = |digit: u8| d[..10].iter().filter(|other| **other == digit).count();
    let repeated: Vec<usize> = (0..10).map(times).filter(|times| *times > 1).collect();
    let product = d[..10].iter().fold(10, |product, digit| match (product + u32::from(*digit)) % 10 {
        0 => 20 % 11,
        sum => sum * 2 % 11,
    });
    d[0] != 0 && matches!(repeated[..], [2 | 3]) && (11 - product) % 10 == u32::from(d[10])
}

/// Weights 9 to 2, the last digit minus one, divisible by 11.
fn is_nl_bsn(d: &[u8]) -> bool {
    let sum = weighted(&d[..8], &[9, 8, 7, 6, 5, 4, 3, 2]);
    value(d) > 0 && sum % 11 == u32::from(d[8])
}

/// A date whose month tells the century by 20 each, and a check digit.
fn is_pl_pesel(d: &[u8]) -> bool {
    let sum = weighted(&d[..10], &[1, 3, 7, 9, 1, 3, 7, 9, 1, 3]);
    is_day(value(&d[2..4]) % 20, value(&d[4..6])) && (10 - sum % 10) % 10 == u32::from(d[10])
}

/// A date (the month is raised by 20 or 40 in numbers of those who live abroad) and 97 minus the remainder, from 2000 on with a 2 before.
fn is_be_number(d: &[u8]) -> bool {
    let (number, check) = (value(&d[..9]), value(&d[9..]));
    let passes = |number: u64| 97 - number % 97 == check;
    is_day(value(&d[2..4]) % 20, value(&d[4..6])) && (passes(number) || passes(number + 2_000_000_000))
}

/// A date (the day raised by 60 in coordination numbers) and Luhn's check.
fn is_se_personnummer(d: &[u8]) -> bool {
    let day = value(&d[4..6]);
    let day = if day > 60 { day - 60 } else { day };
    is_day(value(&d[2..4]), day) && passes_luhn(d)
}

/// A date (the day raised by 40 in D numbers) and two check digits modulo 11.
fn is_no_fodselsnummer(d: &[u8]) -> bool {
    let day = value(&d[..2]);
    let day = if day > 40 { day - 40 } else { day };
    let first = weighted(&d[..10], &[3, 7, 6, 1, 8, 9, 4, 5, 2, 1]);
    let second = weighted(d, &[5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1]);
    is_day(value(&d[2..4]), day) && first.is_multiple_of(11) && second.is_multiple_of(11)
}

/// The check digit of EAN-13.
fn is_ean(d: &[u8]) -> bool {
    weighted(d, &[1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1]).is_multiple_of(10)
}

/// Two check digits modulo 11; equal digits all through pass the sum and are none.
fn is_br_cpf(d: &[u8]) -> bool {
    let check = |count: usize| {
        let sum: u32 =
            d[..count].iter().rev().zip(2..).map(|(digit, weight)| u32::from(*digit) * weight).sum();
        sum * 10 % 11 % 10 == u32::from(d[count])
    };
    d.iter().any(|digit| *digit != d[0]) && check(9) && check(10)
}

/// Two check digits from the sums of odd and even places.
fn is_tr_kimlik(d: &[u8]) -> bool {
    let sum = |from: usize, to: usize, step: usize| -> u32 {
        d[from..to].iter().step_by(step).map(|digit| u32::from(*digit)).sum()
    };
    let tenth = (sum(0, 9, 2) * 7 + 90 - sum(1, 8, 2)) % 10;
    d[0] != 0 && tenth == u32::from(d[9]) && sum(0, 10, 1) % 10 == u32::from(d[10])
}

/// Verhoeff's check: the dihedral group of order 10.
fn passes_verhoeff(d: &[u8]) -> bool {
    const PERMUTATION: [u8; 10] = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4];
    let multiply = |a: u8, b: u8| match (a < 5, b < 5) {
        (true, true) => (a + b) % 5,
        (true, false) => (a + b) % 5 + 5,
        (false, true) => (a + 5 - b) % 5 + 5,
        (false, false) => (a + 5 - b) % 5,
    };
    let check = d.iter().rev().enumerate().fold(0, |check, (n, digit)| {
        let turned = (0..n % 8).fold(*digit, |digit, _| PERMUTATION[usize::from(digit)]);
        multiply(check, turned)
    });
    check == 0
}

/// Detectors of what has letters. The place may be the first digit or the first letter.
pub(crate) fn find_letters(detector: Detector, text: &Text<'_>, at: usize) -> Found {
    if !text.begins(at) {
        return Found::No;
    }
    let template: &[&[u8]] = match detector {
        Detector::UkNino => &[b"LL DD DD DD L", b"LLDDDDDDL"],
        Detector::EsDni => {
            &[b"DDDDDDDDL", b"DDDDDDDD-L", b"DDDDDDDD L", b"DD.DDD.DDD-L", b"LDDDDDDDL", b"L-DDDDDDD-L"]
        }
        Detector::ItCodiceFiscale => &[b"LLLLLLAALAALAAAL", b"LLL LLL AALAA LAAAL"],
        Detector::FrNir => &[b"DDDDDAADDDDDDDD", b"D DD DD AA DDD DDD DD", b"DDDDDAADDDDDD DD"],
        Detector::FiHetu => &[b"DDDDDDCDDDA"],
        Detector::CnResidentId => &[b"DDDDDDDDDDDDDDDDDA"],
        _ => &[],
    };
    let mut is_open = false;
    for form in template {
        let (chars, end) = match read(text, at, form) {
            Form::No => continue,
            Form::Open => {
                is_open = true;
                continue;
            }
            Form::Whole(chars, end) => (chars, end),
        };
        if is_id(detector, &chars.bytes[..chars.len]) {
            match text.ends(end) {
                Border::Yes => return Found::Yes(at..end),
                Border::Unknown => is_open = true,
                Border::No => {}
            }
        }
    }
    if is_open { Found::Wait { sure: None } } else { Found::No }
}

enum Form {
    No,
    Open,
    /// Without separators, letters in upper case, and where it ends.
    Whole(Chars, usize),
}

/// Characters of an id, without separators.
#[derive(Clone, Copy)]
struct Chars {
    bytes: [u8; CHARS_MAX],
    len: usize,
}

/// Characters of the longest form.
const CHARS_MAX: usize = 18;

/// Reads after a form: `D` a digit, `L` a letter, `A` either, `C` what tells the century in Finland, all else itself.
fn read(text: &Text<'_>, at: usize, form: &[u8]) -> Form {
    let mut chars = Chars { bytes: [0; CHARS_MAX], len: 0 };
    let mut end = at;
    for place in form {
        let Some(byte) = text.get(end) else {
            return if text.is_end { Form::No } else { Form::Open };
        };
        let mut len = 1;
        let is_part = match place {
            b'D' => byte.is_ascii_digit(),
            b'L' => byte.is_ascii_alphabetic(),
            b'A' => byte.is_ascii_alphanumeric(),
            b'C' => matches!(byte, b'-' | b'+' | b'A'..=b'F' | b'U'..=b'Y'),
            b' ' => {
                len = Separator::at(text.bytes, end)
                    .map_or(0, |(kind, len)| if kind == Separator::Space { len } else { 0 });
                len > 0
            }
            other => byte == *other,
        };
        if !is_part {
            return Form::No;
        }
        if matches!(place, b'D' | b'L' | b'A' | b'C') {
            chars.bytes[chars.len] = byte.to_ascii_uppercase();
            chars.len += 1;
        }
        end += len;
    }
    Form::Whole(chars, end)
}

fn number(chars: &[u8]) -> Option<u64> {
    chars
        .iter()
        .try_fold(0u64, |number, byte| byte.is_ascii_digit().then(|| number * 10 + u64::from(byte - b'0')))
}

fn is_id(detector: Detector, chars: &[u8]) -> bool {
    let check = || match detector {
        Detector::UkNino => Some(is_uk_nino(chars)),
        Detector::EsDni => is_es_dni(chars),
        Detector::ItCodiceFiscale => is_it_codice_fiscale(chars),
        Detector::FrNir => is_fr_nir(chars),
        Detector::FiHetu => is_fi_hetu(chars),
        Detector::CnResidentId => is_cn_resident_id(chars),
        _ => None,
    };
    check().unwrap_or(false)
}

/// Letters that stand in no prefix, prefixes that are not given, a suffix of A to D (HMRC, NIM39110).
fn is_uk_nino(chars: &[u8]) -> bool {
    let prefix = &chars[..2];
    !prefix.iter().any(|letter| b"DFIQUV".contains(letter))
        && prefix[1] != b'O'
        && ![b"BG", b"GB", b"KN", b"NK", b"NT", b"TN", b"ZZ"].iter().any(|none| *none == prefix)
        && matches!(chars[8], b'A'..=b'D')
}

/// The letter of the remainder modulo 23; of a foreigner's number X, Y and Z are 0, 1 and 2.
fn is_es_dni(chars: &[u8]) -> Option<bool> {
    const LETTERS: &[u8; 23] = b"TRWAGMYFPDXBNJZSQVHLCKE";
    let (last, rest) = chars.split_last()?;
    let number = match rest.first()? {
        letter @ b'X'..=b'Z' => u64::from(letter - b'X') * 10_000_000 + number(&rest[1..])?,
        _ => number(rest)?,
    };
    Some(LETTERS[(number % 23) as usize] == *last)
}

/// A letter for the month, and the check letter of decree 23/12/1976. Digits may be replaced by letters where two people
/// would have the same.
fn is_it_codice_fiscale(chars: &[u8]) -> Option<bool> {
    const ODD: [u32; 26] =
        [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23];
    let is_digit = |byte: u8| byte.is_ascii_digit() || b"LMNPQRSTUV".contains(&byte);
    let digits = [6, 7, 9, 10, 12, 13, 14];
    if !digits.iter().all(|at| is_digit(chars[*at])) || !b"ABCDEHLMPRST".contains(&chars[8]) {
        return Some(false);
    }
    // Without any digit it is more likely a word.
    if !chars.iter().any(u8::is_ascii_digit) {
        return Some(false);
    }
    let place = |byte: u8| u32::from(if byte.is_ascii_digit() { byte - b'0' } else { byte - b'A' });
    let sum: u32 = chars[..15]
        .iter()
        .enumerate()
        .map(|(n, byte)| if n % 2 == 0 { ODD[place(*byte) as usize] } else { place(*byte) })
        .sum();
    Some(u32::from(chars[15] - b'A') == sum % 26)
}

/// Sex, year, month, department (2A and 2B are Corsica's), and 97 minus the remainder modulo 97 (INSEE).
fn is_fr_nir(chars: &[u8]) -> Option<bool> {
    let mut plain = chars.to_vec();
    let less = match &chars[5..7] {
        b"2A" => 1_000_000,
        b"2B" => 2_000_000,
        _ => 0,
    };
    if less > 0 {
        plain[6] = b'0';
    }
    let (number, key) = (number(&plain[..13])? - less, number(&plain[13..])?);
    let month = value(&[plain[3] - b'0', plain[4] - b'0']);
    let is_month = matches!(month, 1..=12 | 20 | 30..=42 | 50..=99);
    Some(matches!(chars[0], b'1'..=b'4' | b'7' | b'8') && is_month && 97 - number % 97 == key)
}

/// A date and the sign of the remainder modulo 31.
fn is_fi_hetu(chars: &[u8]) -> Option<bool> {
    const SIGNS: &[u8; 31] = b"0123456789ABCDEFHJKLMNPRSTUVWXY";
    let date = number(&chars[..6])?;
    let own = number(&chars[7..10])?;
    let is_date = is_day(date / 100 % 100, date / 10_000);
    Some(is_date && SIGNS[((date * 1000 + own) % 31) as usize] == chars[10])
}

/// A date and a check digit modulo 11 with X for 10 (GB 11643, ISO 7064 MOD 11-2).
fn is_cn_resident_id(chars: &[u8]) -> Option<bool> {
    let sum = chars[..17].iter().fold(0, |sum, byte| (sum + u32::from(byte - b'0')) * 2 % 11);
    let check = (12 - sum) % 11;
    let last = if chars[17] == b'X' { 10 } else { number(&chars[17..])? as u32 };
    let year = number(&chars[6..10])?;
    let is_date = (1800..2100).contains(&year) && is_day(number(&chars[10..12])?, number(&chars[12..14])?);
    Some(is_date && last == check && chars[0] != b'0')
}

//! Rules and texts that tests share.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::sync::Arc;

use penstock_guard::{
    Action, ArgumentsGuard, Check, Compiled, Detector, Direction, Finds, Flow, MaskKey, Place, Rule, Rules,
    StreamGuard, Texts, check,
};

pub(crate) fn rule(finds: Finds, action: Action) -> Rule {
    let is_input_only = matches!(finds, Finds::Injection { .. } | Finds::Size { .. });
    Rule {
        finds,
        on_input: true,
        on_output: !is_input_only,
        action,
        restore: action == Action::Mask && !is_input_only,
    }
}

pub(crate) fn compiled(rules: Vec<Rule>) -> Arc<Compiled> {
    Arc::new(Compiled::new(&Rules { rules, ..Rules::default() }).unwrap_or_else(|all| panic!("{}", all[0])))
}

pub(crate) fn all_pii(action: Action) -> Arc<Compiled> {
    compiled(vec![rule(Finds::Pii(Detector::ALL.to_vec()), action)])
}

pub(crate) fn words(list: &[&str], whole: bool, action: Action) -> Rule {
    rule(Finds::Words { words: list.iter().map(|word| (*word).to_owned()).collect(), whole }, action)
}

pub(crate) fn regex(list: &[&str], action: Action) -> Rule {
    rule(Finds::Regex(list.iter().map(|pattern| (*pattern).to_owned()).collect()), action)
}

pub(crate) const KEY: MaskKey = MaskKey::new([7; 32]);

/// What one detector finds in a text.
pub(crate) fn found(detector: Detector, text: &str) -> Vec<&str> {
    let compiled = compiled(vec![rule(Finds::Pii(vec![detector]), Action::Mask)]);
    matches(&compiled, text)
}

pub(crate) fn matches<'t>(compiled: &Compiled, text: &'t str) -> Vec<&'t str> {
    check(compiled, Direction::Output, text).into_iter().map(|span| &text[span.range]).collect()
}

/// The text as a whole, masked.
pub(crate) fn masked(compiled: &Compiled, text: &str) -> String {
    let mut check = Check::new(compiled, Direction::Output, &KEY);
    check.text(text, Place::ORDINARY).unwrap_or_else(|| text.to_owned())
}

/// The text in pieces that end at these bytes, masked.
pub(crate) fn streamed(compiled: &Arc<Compiled>, pieces: &[&str]) -> String {
    let mut guard = StreamGuard::new(Arc::clone(compiled), Direction::Output, KEY, true);
    let mut out = String::new();
    for piece in pieces {
        assert_eq!(guard.push(piece, &mut out), Flow::Goes);
    }
    assert_eq!(guard.finish(&mut out), Flow::Goes);
    out
}

pub(crate) fn arguments(compiled: &Arc<Compiled>, pieces: &[&str]) -> String {
    let mut guard = ArgumentsGuard::new(Arc::clone(compiled), Direction::Output, KEY, true);
    let mut out = String::new();
    for piece in pieces {
        assert_eq!(guard.push(piece, &mut out), Flow::Goes);
    }
    assert_eq!(guard.finish(&mut out), Flow::Goes);
    out
}

/// Pieces of a text that end at these places, as far as they are borders of characters.
pub(crate) fn cut<'t>(text: &'t str, ends: &[usize]) -> Vec<&'t str> {
    let mut ends: Vec<usize> = ends.iter().map(|end| text.floor_char_boundary(*end)).collect();
    ends.push(text.len());
    ends.sort_unstable();
    let mut from = 0;
    ends.into_iter().map(|end| &text[std::mem::replace(&mut from, end)..end]).collect()
}

/// Digits and the one that makes them pass Luhn's check.
pub(crate) fn with_luhn(digits: &str) -> String {
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(n, byte)| {
            let digit = u32::from(byte - b'0');
            if n % 2 == 0 { digit * 2 / 10 + digit * 2 % 10 } else { digit }
        })
        .sum();
    format!("{digits}{}", (10 - sum % 10) % 10)
}

/// An IBAN of a country and the account behind it.
pub(crate) fn iban(country: &str, account: &str) -> String {
    let value = |text: &str| {
        text.bytes().fold(0u64, |value, byte| match byte {
            b'0'..=b'9' => (value * 10 + u64::from(byte - b'0')) % 97,
            letter => (value * 100 + u64::from(letter - b'A') + 10) % 97,
        })
    };
    format!("{country}{:02}{account}", 98 - value(&format!("{account}{country}00")))
}

/// A text in groups of four.
pub(crate) fn in_fours(text: &str) -> String {
    let groups: Vec<&str> =
        text.as_bytes().chunks(4).map(|group| std::str::from_utf8(group).unwrap()).collect();
    groups.join(" ")
}

/// A key: a prefix and as many characters as are wanted, of many kinds.
pub(crate) fn key(prefix: &str, len: usize) -> String {
    const CHARS: &[u8] = b"a1B2c3D4e5F6g7H8i9J0kLmNoPqRsTuVwXyZ";
    let value = (1..=len).map(|n| char::from(CHARS[(n * n * 31 + n * 17) % 1009 % CHARS.len()]));
    prefix.chars().chain(value).collect()
}

/// Ordinary prose with a few numbers in it, of our own words.
pub(crate) const PROSE: &str = "The harbour opens at six, and by half past the first boats are out. In 2024 the council \
counted 1,250 visitors a day; most of them came for the market, which has stood on the same square since 1873. \
\"It is the bread,\" says the baker, \"and the smell of it.\" Version 2.14.3 of the timetable (see page 12) lists \
forty-one stops. A ticket costs 3.50, or 28.00 for ten; children under 6 ride free. Write the result to \
/var/tmp/report-7.txt and call compute_totals() twice, first with x = 0.25 and then with x = 1e-9. On 24.11.2026 at \
10:30 the ferry leaves from pier 4. Der Zug um 17:05 Uhr fährt heute von Gleis 9. La réunion aura lieu à 14 h 30 dans \
la salle 203. Всего было продано 340 билетов.\n";

//! A text of which the end may not have come yet, and what detectors ask of it.

use std::ops::Range;

/// Bytes before a place that a detector may look at to judge it.
pub(crate) const CONTEXT_BYTES: usize = 80;

/// What a detector says of a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// No match begins here, whatever follows.
    No,
    /// A match begins here; what is to be hidden may begin later.
    Yes(Range<usize>),
    /// What follows decides. `sure`: what has come is a match already, from this byte on, and only its end is open.
    Wait { sure: Option<usize> },
}

/// A text from which bytes may still be missing at the end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Text<'t> {
    pub(crate) text: &'t str,
    pub(crate) bytes: &'t [u8],
    /// Nothing follows.
    pub(crate) is_end: bool,
}

/// Whether a place is a border, or how it is not known yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Border {
    Yes,
    No,
    Unknown,
}

impl<'t> Text<'t> {
    pub(crate) fn new(text: &'t str, is_end: bool) -> Self {
        Self { text, bytes: text.as_bytes(), is_end }
    }

    pub(crate) fn get(&self, at: usize) -> Option<u8> {
        self.bytes.get(at).copied()
    }

    /// Whether the text at `at` is cut off and may go on.
    pub(crate) fn is_open(&self, at: usize) -> bool {
        at >= self.bytes.len() && !self.is_end
    }

    /// The byte before.
    pub(crate) fn before(&self, at: usize) -> Option<u8> {
        at.checked_sub(1).and_then(|before| self.get(before))
    }

    /// No word runs into `at`, and no decimal fraction.
    pub(crate) fn begins_loosely(&self, at: usize) -> bool {
        match self.before(at) {
            None => true,
            Some(b'.') => !self.before(at - 1).is_some_and(|byte| byte.is_ascii_digit()),
            Some(byte) => !is_word(byte),
        }
    }

    /// [`Text::begins_loosely`], and it is not a later piece of something with separators.
    pub(crate) fn begins(&self, at: usize) -> bool {
        match self.before(at) {
            Some(b'-' | b'/' | b'.' | b'+') => !self.before(at - 1).is_some_and(is_word),
            _ => self.begins_loosely(at),
        }
    }

    /// No word goes on at `at`.
    pub(crate) fn ends_loosely(&self, at: usize) -> Border {
        match self.get(at) {
            None if self.is_end => Border::Yes,
            None => Border::Unknown,
            Some(byte) if is_word(byte) => Border::No,
            Some(_) => Border::Yes,
        }
    }

    /// [`Text::ends_loosely`], and no further digits follow behind a separator.
    pub(crate) fn ends(&self, at: usize) -> Border {
        match self.get(at) {
            Some(b'-' | b'.' | b'/') => match self.get(at + 1) {
                None if self.is_end => Border::Yes,
                None => Border::Unknown,
                Some(byte) if byte.is_ascii_digit() => Border::No,
                Some(_) => Border::Yes,
            },
            _ => self.ends_loosely(at),
        }
    }

    /// Whether one of these words begins shortly before `at`. In lower case; letters of other scripts as they are.
    pub(crate) fn is_announced(&self, at: usize, words: &[&str]) -> bool {
        const NEAR: usize = 32;
        let from = at.saturating_sub(NEAR);
        let mut joined = self.before(from).is_some_and(|byte| byte.is_ascii_alphanumeric());
        for (n, byte) in self.bytes[from..at].iter().enumerate() {
            let begins = !std::mem::replace(&mut joined, byte.is_ascii_alphanumeric());
            let near = &self.bytes[from + n..at];
            let is_word = |word: &str| {
                near.get(..word.len()).is_some_and(|near| near.eq_ignore_ascii_case(word.as_bytes()))
            };
            if begins
                && (byte.is_ascii_alphabetic() || !byte.is_ascii())
                && words.iter().any(|word| is_word(word))
            {
                return true;
            }
        }
        false
    }
}

/// A letter or digit of ASCII, or an underscore: what words in code and forms are made of. Other scripts are written next
/// to numbers and addresses without a space.
pub(crate) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// What stands between two groups of digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Separator {
    Space,
    Dash,
    Dot,
    Slash,
}

impl Separator {
    /// The one at a place and its length: the usual ones, spaces that do not break and typographic hyphens.
    pub(crate) fn at(bytes: &[u8], at: usize) -> Option<(Self, usize)> {
        Some(match bytes.get(at)? {
            b' ' => (Self::Space, 1),
            b'-' => (Self::Dash, 1),
            b'.' => (Self::Dot, 1),
            b'/' => (Self::Slash, 1),
            0xc2 if bytes.get(at + 1) == Some(&0xa0) => (Self::Space, 2),
            0xe2 => match bytes.get(at + 1..at + 3)? {
                [0x80, 0xaf] => (Self::Space, 3),
                [0x80, 0x90 | 0x91 | 0x93] => (Self::Dash, 3),
                _ => return None,
            },
            _ => return None,
        })
    }
}

/// Digits that are looked at: more than any number has that is looked for.
pub(crate) const DIGITS_MAX: usize = 24;
/// Groups of digits that are looked at.
const GROUPS_MAX: usize = 12;

/// Digits in groups with single separators between them.
#[derive(Debug, Clone)]
pub(crate) struct Digits {
    values: [u8; DIGITS_MAX],
    count: usize,
    /// Where the first digit stands.
    start: usize,
    groups: [Group; GROUPS_MAX],
    group_count: usize,
    /// What has come ends within it.
    pub(crate) is_open: bool,
}

#[derive(Debug, Clone, Copy)]
struct Group {
    len: u8,
    /// Behind its last digit, from the first digit of all on.
    end: u8,
    /// What stands before it; of the first no meaning.
    separator: Separator,
}

impl Digits {
    /// Those that begin at `at`.
    pub(crate) fn read(text: &Text<'_>, at: usize) -> Self {
        let none = Group { len: 0, end: 0, separator: Separator::Space };
        let first = at;
        let mut digits = Self {
            values: [0; DIGITS_MAX],
            count: 0,
            start: at,
            groups: [none; GROUPS_MAX],
            group_count: 0,
            is_open: false,
        };
        let mut at = at;
        let mut separator = Separator::Space;
        loop {
            let start = at;
            while let Some(byte @ b'0'..=b'9') = text.get(at) {
                if digits.count == DIGITS_MAX {
                    // The last group has no end that is known, so it is none.
                    digits.count -= at - start;
                    return digits;
                }
                digits.values[digits.count] = byte - b'0';
                digits.count += 1;
                at += 1;
            }
            if at == start {
                break;
            }
            digits.groups[digits.group_count] =
                Group { len: (at - start) as u8, end: (at - first) as u8, separator };
            digits.group_count += 1;
            digits.is_open = text.is_open(at);
            if digits.group_count == GROUPS_MAX {
                return digits;
            }
            let Some((next, len)) = Separator::at(text.bytes, at) else { return digits };
            separator = next;
            at += len;
            digits.is_open = text.is_open(at);
        }
        digits
    }

    /// Whether at least `least` digits begin at `at`, or may.
    pub(crate) fn are_ahead(text: &Text<'_>, at: usize, least: usize) -> bool {
        let mut count = 0;
        let mut is_behind_digit = false;
        for byte in &text.bytes[at..] {
            match byte {
                b'0'..=b'9' => {
                    count += 1;
                    if count == least {
                        return true;
                    }
                    is_behind_digit = true;
                }
                b' ' | b'-' | b'.' | b'/' if is_behind_digit => is_behind_digit = false,
                // Perhaps a separator of several bytes.
                0x80.. => return true,
                _ => return false,
            }
        }
        !text.is_end
    }

    /// Its beginnings at the ends of groups, the longest first.
    pub(crate) fn beginnings(&self) -> impl Iterator<Item = Number<'_>> {
        (1..=self.group_count).rev().map(|count| {
            let groups = &self.groups[..count];
            let digits = groups.iter().map(|group| usize::from(group.len)).sum();
            Number { digits: &self.values[..digits], start: self.start, groups }
        })
    }
}

/// Digits, whole groups of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Number<'d> {
    pub(crate) digits: &'d [u8],
    start: usize,
    groups: &'d [Group],
}

impl Number<'_> {
    /// Behind its last digit.
    pub(crate) fn end(&self) -> usize {
        self.start + self.groups.last().map_or(0, |group| usize::from(group.end))
    }

    pub(crate) fn lens(&self) -> impl Iterator<Item = usize> + Clone {
        self.groups.iter().map(|group| usize::from(group.len))
    }

    pub(crate) fn separators(&self) -> impl Iterator<Item = Separator> + Clone {
        self.groups.iter().skip(1).map(|group| group.separator)
    }

    /// Whether the groups are of these lengths.
    pub(crate) fn is_grouped(&self, lens: &[usize]) -> bool {
        self.lens().eq(lens.iter().copied())
    }

    /// Whether it is one group of `len` digits.
    pub(crate) fn is_plain(&self, len: usize) -> bool {
        self.is_grouped(&[len])
    }

    /// The one separator of all groups; none if they differ or there is none.
    pub(crate) fn separator(&self) -> Option<Separator> {
        let first = self.separators().next()?;
        self.separators().all(|other| other == first).then_some(first)
    }

    /// Groups of these lengths with this separator between all of them.
    pub(crate) fn is_written(&self, lens: &[usize], separator: Separator) -> bool {
        self.is_grouped(lens) && self.separator() == Some(separator)
    }
}

/// The number that digits stand for.
pub(crate) fn value(digits: &[u8]) -> u64 {
    digits.iter().fold(0, |value, digit| value * 10 + u64::from(*digit))
}

/// The check of payment cards and others (ISO/IEC 7812-1 annex B).
pub(crate) fn passes_luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(n, digit)| match (n % 2, u32::from(*digit) * 2) {
            (0, double) => double / 2,
            (_, double) if double > 9 => double - 9,
            (_, double) => double,
        })
        .sum();
    sum.is_multiple_of(10)
}

/// The sum of the digits, each times its weight.
pub(crate) fn weighted(digits: &[u8], weights: &[u32]) -> u32 {
    digits.iter().zip(weights).map(|(digit, weight)| u32::from(*digit) * weight).sum()
}

/// Whether a day of that month can be; the year is left out, so that 29 February always can.
pub(crate) fn is_day(month: u64, day: u64) -> bool {
    let days = match month {
        2 => 29,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    };
    (1..=days).contains(&day)
}

//! Finding the first byte of a class eight bytes at a time, in the lanes of a 64-bit word.
//!
//! Knows byte classes, not messages. A class is a function from a word to marks: the highest bit of a lane is set where
//! the byte is of the class. The marks come from subtractions that borrow across lanes, so a lane *above* a marked one
//! may be marked wrongly; the lowest mark is always right, and a word without the class has none.

/// Bytes of a word.
const LEN: usize = 8;
const HIGH: u64 = each(0x80);

/// A word of the same byte in every lane.
const fn each(b: u8) -> u64 {
    u64::from_le_bytes([b; LEN])
}

/// Marks lanes below `bound`, and some of 0x80 and above.
#[inline(always)]
const fn below(word: u64, bound: u8) -> u64 {
    word.wrapping_sub(each(bound))
}

/// Marks lanes equal to `b`, and some of 0x80 and above.
#[inline(always)]
const fn equal(word: u64, b: u8) -> u64 {
    below(word ^ each(b), 1)
}

/// Marks lanes equal to `b` or to the byte that differs from it in `bit` only, and some of 0x80 and above.
#[inline(always)]
const fn equal_but(word: u64, b: u8, bit: u8) -> u64 {
    below((word | each(bit)) ^ each(b | bit), 1)
}

/// The colon.
#[inline(always)]
pub(crate) const fn colon(word: u64) -> u64 {
    equal(word, b':') & !word & HIGH
}

/// Controls, the tab among them: what ends a field value or a reason phrase, unless it is a tab (RFC 9110 section 5.5).
#[inline(always)]
pub(crate) const fn control(word: u64) -> u64 {
    (below(word, b' ') | equal(word, 0x7f)) & !word & HIGH
}

/// What may not stand in a request target, see [`is_target_byte`](crate::request::is_target_byte).
#[inline(always)]
pub(crate) const fn not_target(word: u64) -> u64 {
    (below(word, 0x21)
        | equal(word, 0x7f)
        | equal_but(word, b'<', b'<' ^ b'>')
        | equal_but(word, b'"', b'"' ^ b'#')
        | word)
        & HIGH
}

/// What ends the path of a request target in origin-form: the question mark, and what may not stand in a target.
#[inline(always)]
pub(crate) const fn path_end(word: u64) -> u64 {
    not_target(word) | (equal(word, b'?') & HIGH)
}

/// Whether eight bytes of a path are plain: bytes of a target without `?`, `%` and `\`, and no slash or dot behind a
/// slash. `false` may be wrong, `true` is right. `behind_slash` tells whether a slash stands before the eight bytes,
/// and is brought up to date.
#[inline(always)]
pub(crate) const fn is_plain_path(word: u64, behind_slash: &mut bool) -> bool {
    let suspect = path_end(word) | equal(word, b'%') | equal(word, b'\\');
    let slash = equal(word, b'/');
    let before = (slash & HIGH) << 8 | (*behind_slash as u64) << 7;
    *behind_slash = slash >> 63 != 0;
    (suspect | (before & (slash | equal(word, b'.')))) & HIGH == 0
}

/// Index of the first byte of a class; the length of the text if there is none.
#[inline(always)]
pub(crate) fn find(text: &[u8], class: impl Fn(u64) -> u64) -> usize {
    let (words, tail) = text.as_chunks();
    for (index, bytes) in words.iter().enumerate() {
        let marks = class(u64::from_le_bytes(*bytes));
        if marks != 0 {
            return index << 3 | lane(marks);
        }
    }
    find_in_tail(text, tail.len(), class)
}

/// The same for the last bytes, fewer than a word. Apart, to keep [`find`] small where it is inlined.
#[inline(never)]
fn find_in_tail(text: &[u8], len: usize, class: impl Fn(u64) -> u64) -> usize {
    if len == 0 {
        return text.len();
    }
    // The zeros that fill the word may be of the class; they stand beyond the end.
    let marks = class(last_word(text, len));
    text.len().min(text.len() - len + lane(marks))
}

/// Index of the lowest marked lane.
#[inline(always)]
pub(crate) const fn lane(marks: u64) -> usize {
    (marks.trailing_zeros() >> 3) as usize
}

/// The last `len` bytes, one to seven, filled up with zeros. Of a longer buffer they are cut out of its last word.
#[inline(always)]
pub(crate) fn last_word(text: &[u8], len: usize) -> u64 {
    match text.last_chunk() {
        Some(bytes) => u64::from_le_bytes(*bytes) >> ((LEN - len) * 8),
        None => text[text.len() - len..].iter().rev().fold(0, |word, &b| word << 8 | u64::from(b)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::is_target_byte;

    /// Checks a class against its definition, byte by byte, with neighbours of all kinds below and above.
    fn agrees(class: impl Fn(u64) -> u64, definition: impl Fn(u8) -> bool) {
        for b in 0..=255_u8 {
            for neighbour in (0..=255).filter(|&neighbour| !definition(neighbour)) {
                for at in 0..LEN {
                    let mut bytes = [neighbour; LEN];
                    bytes[at] = b;
                    let marks = class(u64::from_le_bytes(bytes));
                    let expected = if definition(b) { at } else { LEN };
                    assert_eq!(lane(marks), expected, "{b:#x} at {at} among {neighbour:#x}");
                    assert_eq!(marks & !HIGH, 0, "marks are highest bits");
                }
            }
        }
    }

    #[test]
    fn classes_agree_with_their_definitions() {
        agrees(colon, |b| b == b':');
        agrees(control, |b| b.is_ascii_control());
        agrees(not_target, |b| !is_target_byte(b));
        agrees(path_end, |b| !is_target_byte(b) || b == b'?');
    }

    #[test]
    fn the_first_of_the_class_is_found_wherever_it_stands() {
        for len in 0..30 {
            let mut text = vec![b'a'; len];
            assert_eq!((find(&text, colon), find(&text, control)), (len, len));
            for at in (0..len).rev() {
                text[at] = b':'; // and behind it too
                assert_eq!(find(&text, colon), at, "of {len}");
            }
        }
    }
}

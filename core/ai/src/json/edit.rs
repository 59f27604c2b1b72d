//! Changes to a text that leave the rest of it as it came.

use std::ops::Range;

/// What is put in the place of which bytes of a text. Reused from one text to the next.
#[derive(Debug, Clone, Default)]
pub struct Edits {
    /// Bytes of the text that go, and where in `bytes` stands what comes instead; ascending, apart from each other.
    parts: Vec<(Range<usize>, Range<usize>)>,
    bytes: Vec<u8>,
}

impl Edits {
    /// Forgets all of them.
    pub fn clear(&mut self) {
        self.parts.clear();
        self.bytes.clear();
    }

    /// Puts `new` in the place of the bytes in `range`, which is empty to insert.
    ///
    /// # Panics
    /// Where `range` overlaps an earlier one, which is a fault of the caller.
    pub fn replace(&mut self, range: Range<usize>, new: &[u8]) {
        let at = self.parts.partition_point(|(old, _)| old.end <= range.start);
        let apart = self.parts.get(at).is_none_or(|(old, _)| range.end <= old.start);
        assert!(apart && range.start <= range.end, "edits lie apart from each other");
        let start = self.bytes.len();
        self.bytes.extend_from_slice(new);
        self.parts.insert(at, (range, start..self.bytes.len()));
    }

    /// How long a text of `len` bytes becomes.
    pub fn len_after(&self, len: usize) -> usize {
        let gone: usize = self.parts.iter().map(|(old, _)| old.len()).sum();
        len - gone + self.bytes.len()
    }

    /// The pieces that make the changed text, in order; those of `text` are not copied.
    pub fn pieces<'a>(&'a self, text: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let mut from = 0;
        let edited = self.parts.iter().flat_map(move |(old, new)| {
            let kept = &text[std::mem::replace(&mut from, old.end)..old.start];
            [kept, &self.bytes[new.clone()]]
        });
        let last = self.parts.last().map_or(0, |(old, _)| old.end);
        edited.chain([&text[last..]]).filter(|piece| !piece.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edited(text: &str, edits: &[(Range<usize>, &str)]) -> String {
        let mut all = Edits::default();
        edits.iter().for_each(|(range, new)| all.replace(range.clone(), new.as_bytes()));
        let pieces: Vec<_> = all.pieces(text.as_bytes()).collect();
        let text_after = String::from_utf8(pieces.concat()).unwrap();
        assert_eq!(all.len_after(text.len()), text_after.len());
        text_after
    }

    #[test]
    fn the_rest_stays_as_it_came() {
        assert_eq!(edited("abcdef", &[]), "abcdef");
        assert_eq!(edited("abcdef", &[(2..4, "XYZ")]), "abXYZef");
        assert_eq!(edited("abcdef", &[(4..6, ""), (0..1, "-")]), "-bcd");
        assert_eq!(edited("abcdef", &[(3..3, "1"), (3..3, "2"), (6..6, "3")]), "abc12def3");
        assert_eq!(edited("", &[(0..0, "x")]), "x");
    }

    #[test]
    #[should_panic(expected = "apart")]
    fn edits_do_not_overlap() {
        edited("abcdef", &[(1..3, ""), (2..4, "")]);
    }
}

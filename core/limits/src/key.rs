//! The 128-bit key of a counter: what one caller, or one product of callers, is counted under.
//!
//! Knows: hashes that the caller made. Must not: see names, addresses or credentials.

/// A keyed 128-bit hash of what the limit is counted by (`app`, `client`, `[app, client]` ...).
///
/// The hash must be keyed with a secret of the process's data directory: whoever can choose keys could otherwise
/// fill one set of the table. For a product hash all parts, each with its length, into one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Key(pub u128);

impl Key {
    /// The key of a limit without `by`: one counter for its owner.
    pub const OWNER: Key = Key(0);

    /// The words under which this key of limit `ordinal` stands in the table: 104 bits of hash and the ordinal.
    #[inline]
    pub(crate) fn words(self, ordinal: u32) -> KeyWords {
        let low = self.0 as u64;
        let high = (self.0 >> 64) as u64;
        let salt = mix(u64::from(ordinal) + 1);
        // Each word depends on both halves: places in tables are taken from either. The two lowest values mark free and claimed slots.
        let first = mix(low ^ salt).max(FIRST_KEY_WORD);
        let second = (mix(high ^ first.rotate_left(32)) << ORDINAL_BITS) | u64::from(ordinal);
        KeyWords { first, second }
    }
}

/// Bits of the second key word that hold the limit's ordinal.
pub(crate) const ORDINAL_BITS: u32 = 20;
/// Smallest value of a first key word; below it the word says that the slot is free or being claimed.
pub(crate) const FIRST_KEY_WORD: u64 = 2;

/// A key as it stands in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeyWords {
    pub(crate) first: u64,
    pub(crate) second: u64,
}

/// The limit's ordinal in a second key word.
#[inline]
pub(crate) fn ordinal_of(second: u64) -> u32 {
    (second & ((1 << ORDINAL_BITS) - 1)) as u32
}

/// A bijection that spreads every bit over the word (the finaliser of a 64-bit multiply-xorshift hash).
#[inline]
pub(crate) fn mix(mut x: u64) -> u64 {
    x ^= x >> 32;
    x = x.wrapping_mul(0xd6e8_feb8_6659_fd93);
    x ^= x >> 32;
    x = x.wrapping_mul(0xd6e8_feb8_6659_fd93);
    x ^ (x >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_tell_limits_and_keys_apart() {
        let a = Key(7).words(3);
        assert_eq!(ordinal_of(a.second), 3);
        assert_ne!(a, Key(7).words(4));
        assert_ne!(a, Key(8).words(3));
        assert_ne!(a, Key(7 | 1 << 64).words(3));
        let places =
            |shift: u32| (0..256).map(|low| (Key(low).words(3).second >> shift) & 511).collect::<Vec<_>>();
        let mut distinct = places(40);
        distinct.sort_unstable();
        distinct.dedup();
        assert!(distinct.len() > 150, "keys that differ in one half only fall on few places");
        for ordinal in 0..1000 {
            assert!(Key::OWNER.words(ordinal).first >= FIRST_KEY_WORD);
        }
    }
}

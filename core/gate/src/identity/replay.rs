//! Signatures that were seen: a bounded table that all workers of a node share, so that a signed request counts
//! once on the node and not once a worker.
//!
//! Lock-free: a signature is one word (40 bits of it, 24 bits of the second at which it may be forgotten) in one
//! of eight places that it may stand in. Where all eight hold signatures that still count, the request is
//! refused: the table never forgets early.

use std::sync::atomic::{AtomicU64, Ordering};

const WAYS: usize = 8;
const SECOND_BITS: u32 = 24;
const SECOND_MASK: u64 = (1 << SECOND_BITS) - 1;

/// Sets of the default table: half a million signatures in 4 MiB.
pub const REPLAY_SETS_DEFAULT: usize = 65_536;

/// What the table says of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// For the first time.
    First,
    /// Before.
    Before,
    /// No place is free.
    Full,
}

/// The table.
#[derive(Debug)]
pub struct ReplayTable {
    words: Vec<AtomicU64>,
}

impl ReplayTable {
    /// A table of so many sets of eight, rounded up to a power of two.
    #[must_use]
    pub fn new(sets: usize) -> Self {
        let words = sets.max(1).next_power_of_two() * WAYS;
        Self { words: (0..words).map(|_| AtomicU64::new(0)).collect() }
    }

    /// Notes a signature until `until_unix_s`. A few loads and one compare-and-swap.
    pub(crate) fn note(&self, signature: &[u8; 32], now_unix_s: u64, until_unix_s: u64) -> Seen {
        let word = |from: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&signature[from..from + 8]);
            u64::from_le_bytes(bytes)
        };
        let set = (word(0) as usize & (self.words.len() / WAYS - 1)) * WAYS;
        let ways = &self.words[set..set + WAYS];
        let print = (word(8) >> SECOND_BITS).max(1);
        let entry = print << SECOND_BITS | (until_unix_s & SECOND_MASK);
        let lives = |word: u64| {
            // The distance on the ring of 2^24 seconds (194 days): in the future if less than half of it.
            word != 0 && (word.wrapping_sub(now_unix_s) & SECOND_MASK).wrapping_sub(1) < SECOND_MASK / 2
        };
        let is_same = |word: u64| word >> SECOND_BITS == print && lives(word);
        for (at, way) in ways.iter().enumerate() {
            let mut held = way.load(Ordering::SeqCst);
            loop {
                if is_same(held) {
                    return Seen::Before;
                }
                if lives(held) {
                    break;
                }
                match way.compare_exchange(held, entry, Ordering::SeqCst, Ordering::SeqCst) {
                    Ok(_) => {
                        // Another worker may have put the same one into another place meanwhile.
                        let twice = ways
                            .iter()
                            .enumerate()
                            .any(|(other, way)| other != at && is_same(way.load(Ordering::SeqCst)));
                        return if twice { Seen::Before } else { Seen::First };
                    }
                    Err(now_held) => held = now_held,
                }
            }
        }
        Seen::Full
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signature(number: u64) -> [u8; 32] {
        *blake3::hash(&number.to_le_bytes()).as_bytes()
    }

    #[test]
    fn a_signature_counts_once_until_it_ends() {
        let table = ReplayTable::new(4);
        let cases = [
            (1, 1000, 1600, Seen::First),
            (1, 1000, 1600, Seen::Before),
            (1, 1599, 1600, Seen::Before),
            (1, 1600, 2200, Seen::First),
            (2, 1600, 2200, Seen::First),
            (1, 1601, 2200, Seen::Before),
        ];
        for (number, now, until, expected) in cases {
            assert_eq!(table.note(&signature(number), now, until), expected, "{number} {now}");
        }
    }

    #[test]
    fn a_full_table_refuses_and_never_forgets_early() {
        let table = ReplayTable::new(1);
        for number in 0..WAYS as u64 {
            assert_eq!(table.note(&signature(number), 1000, 1600), Seen::First);
        }
        assert_eq!(table.note(&signature(99), 1000, 1600), Seen::Full);
        assert_eq!(table.note(&signature(3), 1000, 1600), Seen::Before);
        assert_eq!(table.note(&signature(99), 1600, 2200), Seen::First);
    }

    #[test]
    fn of_many_at_once_at_most_one_is_first() {
        let table = ReplayTable::new(16);
        for round in 0..200 {
            let firsts: usize = std::thread::scope(|scope| {
                let tries: Vec<_> = (0..4)
                    .map(|_| scope.spawn(|| table.note(&signature(round), 1000, 1600) == Seen::First))
                    .collect();
                tries.into_iter().map(|one| usize::from(one.join().expect("no panic"))).sum()
            });
            assert!(firsts <= 1, "{firsts} in round {round}");
        }
    }
}

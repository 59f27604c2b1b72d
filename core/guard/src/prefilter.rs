//! Finds the places of a text at which detectors are worth asking, by one look at each byte and the one before it.
//!
//! Prose has few of them: an `@`, a digit behind something else, and of each prefix of a key the pair of bytes that is
//! rarest in prose.

use crate::compiled::Acts;
use crate::detect::secret::{JWT, PEM, SECRETS};
use crate::kind::Detector;

/// A bit for each pair of bytes, and where in its prefix a pair of a key stands.
#[derive(Debug)]
pub(crate) struct Prefilter {
    pairs: [u64; 1024],
    /// Ascending by pair: how many bytes before the second byte of the pair the key begins, the earliest first.
    keys: Vec<(u16, u8)>,
}

impl Prefilter {
    /// For these detectors; none where there are none.
    pub(crate) fn new(detectors: &[Option<Acts>; Detector::COUNT]) -> Option<Self> {
        let mut prefilter = Self { pairs: [0; 1024], keys: Vec::new() };
        let has = |detector: Detector| detectors[detector as usize].is_some();
        if !Detector::ALL.into_iter().any(has) {
            return None;
        }
        if has(Detector::Email) {
            (0..=255).for_each(|before| prefilter.mark(before, b'@'));
        }
        if Detector::ALL
            .into_iter()
            .any(|detector| has(detector) && !matches!(detector, Detector::Email | Detector::Key))
        {
            for digit in b'0'..=b'9' {
                let others = (0..=255u8).filter(|before| !before.is_ascii_digit());
                others.for_each(|before| prefilter.mark(before, digit));
            }
        }
        if has(Detector::Key) {
            let prefixes = SECRETS.iter().map(|secret| secret.prefix).chain([JWT, PEM]);
            for prefix in prefixes.map(str::as_bytes) {
                let rarest =
                    (1..prefix.len()).min_by_key(|at| frequency(prefix[at - 1]) * frequency(prefix[*at]));
                let at = rarest.unwrap_or(1);
                prefilter.mark(prefix[at - 1], prefix[at]);
                prefilter.keys.push((pair(prefix[at - 1], prefix[at]), at as u8));
            }
            prefilter.keys.sort_unstable_by_key(|(pair, back)| (*pair, std::cmp::Reverse(*back)));
            prefilter.keys.dedup();
        }
        Some(prefilter)
    }

    fn mark(&mut self, before: u8, byte: u8) {
        let pair = usize::from(pair(before, byte));
        self.pairs[pair / 64] |= 1 << (pair % 64);
    }

    /// The next place from `at` on whose byte makes a marked pair with the one before it. Before the text stands a space.
    pub(crate) fn next(&self, bytes: &[u8], at: usize) -> Option<usize> {
        let mut before = at.checked_sub(1).map_or(b' ', |before| bytes[before]);
        for (n, byte) in bytes.get(at..)?.iter().enumerate() {
            let pair = usize::from(pair(before, *byte));
            if self.pairs[pair / 64] & 1 << (pair % 64) != 0 {
                return Some(at + n);
            }
            before = *byte;
        }
        None
    }

    /// Where keys may begin by the pair that ends at `at`.
    pub(crate) fn keys<'s>(&'s self, bytes: &[u8], at: usize) -> impl Iterator<Item = usize> + 's {
        let pair = at.checked_sub(1).map_or(0, |before| pair(bytes[before], bytes[at]));
        let from = self.keys.partition_point(|(own, _)| *own < pair);
        let own = self.keys[from..].iter().take_while(move |(own, _)| *own == pair);
        own.filter_map(move |(_, back)| at.checked_sub(usize::from(*back)))
    }
}

fn pair(before: u8, byte: u8) -> u16 {
    u16::from(before) << 8 | u16::from(byte)
}

/// How often a byte stands in prose and code, roughly.
fn frequency(byte: u8) -> u32 {
    match byte {
        b'e' | b't' | b'a' | b'o' | b'i' | b'n' | b's' | b'r' | b' ' => 100,
        b'j' | b'q' | b'x' | b'z' => 4,
        b'a'..=b'z' => 40,
        b'A'..=b'Z' => 6,
        b'-' | b'.' => 15,
        b'_' => 5,
        _ => 8,
    }
}

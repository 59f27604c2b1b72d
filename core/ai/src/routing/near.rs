//! The names that may have been meant by one that is not known.
//!
//! Knows: words. Must not: cost much, as anybody can ask for names that do not exist.

/// Names that are looked at.
const LOOKED_MAX: usize = 8192;

/// How much two names have in common: letters at the beginning and at the end, which is all but the place where a name
/// is mistyped. Small and capital letters are equal.
fn common(one: &str, other: &str) -> usize {
    let same = |(a, b): &(u8, u8)| a.eq_ignore_ascii_case(b);
    let begin = one.bytes().zip(other.bytes()).take_while(same).count();
    let end = one.bytes().rev().zip(other.bytes().rev()).take_while(same).count();
    (begin + end).min(one.len()).min(other.len())
}

/// The nearest of `known`, the nearest first, at most `max`: those that have at least half of their letters in common with
/// `name`. Each has something that it is known by.
pub(super) fn nearest<'k, T: Copy + Ord>(
    name: &str,
    known: impl Iterator<Item = (T, &'k str)>,
    max: usize,
) -> Vec<(T, &'k str)> {
    let ranked = known.take(LOOKED_MAX).filter_map(|(of, known)| {
        let longer = known.len().max(name.len());
        let common = common(name, known);
        (common * 2 >= longer && longer > 0).then_some((longer - common, of, known))
    });
    let mut ranked: Vec<(usize, T, &str)> = ranked.collect();
    ranked.sort_unstable();
    ranked.dedup();
    ranked.truncate(max);
    ranked.into_iter().map(|(_, of, known)| (of, known)).collect()
}

/// The nearest one.
pub(super) fn nearest_one<'k>(name: &str, known: impl Iterator<Item = &'k str>) -> Option<String> {
    nearest(name, known.map(|known| ((), known)), 1).first().map(|(_, near)| (*near).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_come_first() {
        let known = ["gpt-4.1", "gpt-4.1-mini", "gpt-4o", "claude-sonnet-4-5", "o3", "fast"];
        for (name, expected) in [
            ("gpt-4.1-mni", &["gpt-4.1-mini", "gpt-4.1"][..]),
            ("GPT-4.1", &["gpt-4.1", "gpt-4o", "gpt-4.1-mini"]),
            ("claud-sonnet-4-5", &["claude-sonnet-4-5"]),
            ("fsat", &["fast"]),
            ("o4", &["o3"]),
            ("zebra", &[]),
            ("", &[]),
        ] {
            let found = nearest(name, known.into_iter().map(|known| ((), known)), 3);
            assert_eq!(found.into_iter().map(|(_, near)| near).collect::<Vec<_>>(), expected, "{name}");
        }
        assert_eq!(nearest_one("gpt-4", known.into_iter()).as_deref(), Some("gpt-4o"));
    }
}

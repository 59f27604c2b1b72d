//! "Did you mean": the nearest known word. May know words only.

/// Longest word that is compared; longer ones are no typing error.
const WORD_CHARS_MAX: usize = 64;

/// Edit distance with neighbouring letters swapped as one step (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().flat_map(char::to_lowercase).collect();
    let b: Vec<char> = b.chars().flat_map(char::to_lowercase).collect();
    let width = b.len() + 1;
    let mut older: Vec<usize> = vec![0; width];
    let mut old: Vec<usize> = (0..width).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; width];
        for j in 1..width {
            let same = usize::from(a[i - 1] != b[j - 1]);
            row[j] = (old[j - 1] + same).min(old[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(older[j - 2] + 1);
            }
        }
        older = std::mem::replace(&mut old, row);
    }
    old[b.len()]
}

/// The known word nearest to `word`, if it is near enough to be what was meant.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = word.chars().count();
    if length == 0 || length > WORD_CHARS_MAX {
        return None;
    }
    let reach = match length {
        1..=2 => 1,
        3..=5 => 2,
        _ => 3,
    };
    known
        .into_iter()
        .filter(|candidate| candidate.chars().count() <= WORD_CHARS_MAX)
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(steps, candidate)| *steps <= reach && *steps < candidate.chars().count())
        .min_by_key(|(steps, _)| *steps)
        .map(|(_, candidate)| candidate)
}

/// Longest list of known words that a hint repeats.
const LISTED_MAX: usize = 12;

/// A hint: the nearest word, else the list of what is known, else `none`.
pub(crate) fn hint<'a>(word: &str, known: impl IntoIterator<Item = &'a str>, none: &str) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    match nearest(word, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => none.to_owned(),
        None if known.len() > LISTED_MAX => {
            format!("known: {} and {} more", known[..LISTED_MAX].join(", "), known.len() - LISTED_MAX)
        }
        None => format!("known: {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        let known = ["timeouts", "targets", "balance", "name"];
        for (word, want) in [
            ("timeout", Some("timeouts")),
            ("tiemouts", Some("timeouts")),
            ("Balance", Some("balance")),
            ("blance", Some("balance")),
            ("nmae", Some("name")),
            ("elephant", None),
            ("", None),
            ("x", None),
        ] {
            assert_eq!(nearest(word, known), want, "{word}");
        }
        assert_eq!(hint("zzzzzz", known, "-"), "known: timeouts, targets, balance, name");
        assert_eq!(hint("zzzzzz", [], "nothing there"), "nothing there");
    }
}

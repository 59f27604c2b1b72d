//! Whether fallbacks end: no cycles, and not too many after one another.
//!
//! Knows: numbers of models and who falls back to whom. Must not: know models.

use super::spec::FALLBACK_DEPTH_MAX;

/// What is wrong with fallbacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// They come back: from a model over others to itself again.
    Cycle(Vec<usize>),
    /// A chain that is longer than it may be.
    Depth(Vec<usize>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    No,
    OnTheWay,
    Done,
}

/// All that is wrong; `falls[n]` are the models that the n-th falls back to. No recursion: chains may be of any length.
pub(super) fn faults(falls: &[Vec<usize>]) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut seen = vec![Seen::No; falls.len()];
    // Fallbacks after one another from here on, and the first of the longest chain.
    let mut longest: Vec<(usize, Option<usize>)> = vec![(0, None); falls.len()];
    for start in 0..falls.len() {
        if seen[start] != Seen::No {
            continue;
        }
        seen[start] = Seen::OnTheWay;
        let mut way = vec![(start, 0)];
        while let Some((at, edge)) = way.last_mut() {
            let Some(to) = falls[*at].get(*edge).copied() else {
                let done = *at;
                seen[done] = Seen::Done;
                if longest[done].0 == FALLBACK_DEPTH_MAX + 1 {
                    faults.push(Fault::Depth(follow(done, &longest)));
                }
                way.pop();
                if let Some((before, _)) = way.last() {
                    lengthen(&mut longest, *before, done);
                }
                continue;
            };
            *edge += 1;
            match seen[to] {
                Seen::No => {
                    seen[to] = Seen::OnTheWay;
                    way.push((to, 0));
                }
                Seen::OnTheWay => {
                    let from = way.iter().position(|(on_it, _)| *on_it == to).unwrap_or(0);
                    let round = way[from..].iter().map(|(on_it, _)| *on_it).chain([to]);
                    faults.push(Fault::Cycle(round.collect()));
                }
                Seen::Done => lengthen(&mut longest, *at, to),
            }
        }
    }
    faults
}

fn lengthen(longest: &mut [(usize, Option<usize>)], at: usize, to: usize) {
    let length = longest[to].0 + 1;
    if length > longest[at].0 {
        longest[at] = (length, Some(to));
    }
}

fn follow(from: usize, longest: &[(usize, Option<usize>)]) -> Vec<usize> {
    std::iter::successors(Some(from), |at| longest[*at].1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cycles_are_told_whole_and_once() {
        for (falls, expected) in [
            (vec![vec![1], vec![]], vec![]),
            (vec![vec![0]], vec![Fault::Cycle(vec![0, 0])]),
            (vec![vec![1], vec![0]], vec![Fault::Cycle(vec![0, 1, 0])]),
            (vec![vec![1], vec![2], vec![1]], vec![Fault::Cycle(vec![1, 2, 1])]),
            (vec![vec![1, 2], vec![2], vec![]], vec![]),
            (
                vec![vec![1], vec![0], vec![3], vec![2]],
                vec![Fault::Cycle(vec![0, 1, 0]), Fault::Cycle(vec![2, 3, 2])],
            ),
        ] {
            assert_eq!(faults(&falls), expected, "{falls:?}");
        }
    }

    #[test]
    fn chains_are_bounded() {
        let chain = |length: usize| -> Vec<Vec<usize>> {
            (0..=length).map(|n| if n < length { vec![n + 1] } else { vec![] }).collect()
        };
        assert_eq!(faults(&chain(FALLBACK_DEPTH_MAX)), []);
        let whole = (0..=FALLBACK_DEPTH_MAX + 1).collect();
        assert_eq!(faults(&chain(FALLBACK_DEPTH_MAX + 1)), [Fault::Depth(whole)]);
        let long = faults(&chain(100_000));
        assert_eq!(long.len(), 1, "a long chain is told once, from where it is too long");
        let mut backwards = chain(FALLBACK_DEPTH_MAX + 1);
        backwards.reverse();
        let last = backwards.len() - 1;
        for falls in &mut backwards {
            falls.iter_mut().for_each(|to| *to = last - *to);
        }
        assert_eq!(faults(&backwards).len(), 1);
    }
}

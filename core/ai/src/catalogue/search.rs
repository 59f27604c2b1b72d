//! Finds rows by words, for people.

use super::row::Row;
use super::{Capability, Catalogue};

/// Words of a query that count; those after them are passed over.
pub const QUERY_WORDS_MAX: usize = 8;

/// A row that a query found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hit<'c> {
    /// The row.
    pub row: &'c Row,
    /// How well it fits: the sum over the words, 0 for an exact name.
    pub rank: u32,
}

/// How a word fits a row.
const EXACT: u32 = 0;
const START: u32 = 1;
const PART: u32 = 2;
const INSIDE: u32 = 4;
const ABOUT: u32 = 5;

impl Catalogue {
    /// The rows that have every word of a query in their id, name, maker, provider, region, mode or capabilities, the
    /// best first: exact names, then names that begin with a word, that have it as a part, that have it inside. Of equal
    /// ones the maker's own provider comes first, deprecated rows last. Small and capital letters are equal.
    ///
    /// At most `hits_max`; all rows for a query without words.
    pub fn search(&self, query: &str, hits_max: usize) -> Vec<Hit<'_>> {
        let query = query.to_lowercase();
        let words: Vec<&str> = query.split_whitespace().take(QUERY_WORDS_MAX).collect();
        let mut hits: Vec<Hit<'_>> = self
            .rows()
            .iter()
            .filter_map(|row| {
                let fields = Fields::of(row);
                let ranks = words.iter().map(|word| fields.rank(word));
                ranks.sum::<Option<u32>>().map(|rank| Hit { row, rank })
            })
            .collect();
        hits.sort_by_key(|hit| {
            let row = hit.row;
            (hit.rank, row.is_deprecated(), !row.is_own(), row.model().len(), row.key())
        });
        hits.truncate(hits_max);
        hits
    }
}

/// What of a row is searched, in small letters.
struct Fields {
    ids: [String; 3],
    about: Vec<String>,
}

impl Fields {
    fn of(row: &Row) -> Fields {
        let model = row.model().to_lowercase();
        let ids = [format!("{}/{model}", row.provider()), model, row.name().to_lowercase()];
        let can = Capability::ALL.iter().filter(|it| row.can(**it) == Some(true)).map(|it| it.name().into());
        let about = [row.provider(), row.region(), row.maker().unwrap_or_default(), row.mode().name()];
        Fields { ids, about: about.into_iter().map(str::to_lowercase).chain(can).collect() }
    }

    fn rank(&self, word: &str) -> Option<u32> {
        let of_ids = self.ids.iter().filter_map(|id| rank(id, word)).min();
        let about = self.about.iter().any(|text| text == word).then_some(ABOUT);
        of_ids.or(about)
    }
}

fn rank(id: &str, word: &str) -> Option<u32> {
    if id == word {
        return Some(EXACT);
    }
    let at = id.find(word)?;
    let parts = |byte: u8| !byte.is_ascii_alphanumeric();
    let bounded = |at: usize| {
        let before = at.checked_sub(1).and_then(|before| id.as_bytes().get(before));
        let after = id.as_bytes().get(at + word.len());
        before.is_none_or(|byte| parts(*byte)) && after.is_none_or(|byte| parts(*byte))
    };
    if at == 0 {
        return Some(START);
    }
    Some(if id.match_indices(word).any(|(at, _)| bounded(at)) { PART } else { INSIDE })
}

//! Lists of words, found without regard to case.

use std::collections::BTreeMap;

use crate::detect::{Found, Text};

/// White space that may stand for the white space of a phrase.
const SPACES_MAX: usize = 8;

/// A list of words as a tree of folded characters.
#[derive(Debug, Clone)]
pub(crate) struct Words {
    nodes: Vec<Node>,
    /// By the first byte of a character: whether a word may begin with it.
    first: [bool; 256],
    whole: bool,
}

#[derive(Debug, Clone, Default)]
struct Node {
    /// Ascending by character.
    next: Vec<(char, u32)>,
    is_word: bool,
}

impl Words {
    /// Of words that are not empty.
    pub(crate) fn new(words: &[String], whole: bool) -> Self {
        let mut building: Vec<(BTreeMap<char, u32>, bool)> = vec![Default::default()];
        let mut first = [false; 256];
        for word in words {
            let mut node = 0usize;
            let mut before = None;
            for char in word.trim().chars().map(fold) {
                let is_more_space = char == ' ' && before == Some(' ');
                before = Some(char);
                if is_more_space {
                    continue;
                }
                if node == 0 {
                    note_first(char, &mut first);
                }
                let fresh = building.len() as u32;
                let next = *building[node].0.entry(char).or_insert(fresh);
                if next == fresh {
                    building.push(Default::default());
                }
                node = next as usize;
            }
            building[node].1 = true;
        }
        let nodes = building
            .into_iter()
            .map(|(next, is_word)| Node { next: next.into_iter().collect(), is_word })
            .collect();
        Self { nodes, first, whole }
    }

    /// The longest word that begins at `at`, the beginning of a character.
    pub(crate) fn find(&self, text: &Text<'_>, at: usize) -> Found {
        let before = || text.text[..at].chars().next_back();
        let rest = &text.text[at..];
        let Some(first) = rest.chars().next() else { return Found::No };
        if self.whole && is_joined(first) && before().is_some_and(is_joined) {
            return Found::No;
        }
        let mut node = &self.nodes[0];
        let mut found = Found::No;
        let mut chars = rest.char_indices().peekable();
        while let Some((_, char)) = chars.next() {
            let folded = fold(char);
            let Ok(next) = node.next.binary_search_by_key(&folded, |(char, _)| *char) else { return found };
            node = &self.nodes[node.next[next].1 as usize];
            if folded == ' ' {
                for _ in 1..SPACES_MAX {
                    chars.next_if(|(_, char)| fold(*char) == ' ');
                }
            }
            if node.is_word {
                let end = chars.peek().map_or(rest.len(), |(end, _)| *end);
                match chars.peek() {
                    None if !text.is_end => {
                        // Without a longer word and without a border nothing that follows can matter.
                        if node.next.is_empty() && !(self.whole && is_joined(char)) {
                            return Found::Yes(at..at + end);
                        }
                    }
                    Some((_, after)) if self.whole && is_joined(char) && is_joined(*after) => {}
                    _ => found = Found::Yes(at..at + end),
                }
            }
        }
        // Every character that has come is the beginning of a word.
        if text.is_end { found } else { Found::Wait { sure: None } }
    }

    /// Whether a word may begin with a character of this first byte.
    pub(crate) fn may_begin(&self, byte: u8) -> bool {
        self.first[usize::from(byte)]
    }
}

/// Notes the first bytes of all characters that fold to this one.
fn note_first(folded: char, first: &mut [bool; 256]) {
    if !folded.is_ascii() {
        first[0xc2..].fill(true);
        return;
    }
    first[folded as usize] = true;
    first[folded.to_ascii_uppercase() as usize] = true;
    // The long s, the Kelvin sign and the dotted I.
    for (ascii, lead) in [('s', 0xc5), ('k', 0xe2), ('i', 0xc4)] {
        first[lead] |= folded == ascii;
    }
}

/// A character without its case; all white space as one. Of the characters whose lower case is several, the first.
pub(crate) fn fold(char: char) -> char {
    match char {
        'A'..='Z' => char.to_ascii_lowercase(),
        '\0'..='\x7f' if !char.is_ascii_whitespace() => char,
        'ſ' => 's',
        'ς' => 'σ',
        char if char.is_whitespace() => ' ',
        char => char.to_lowercase().next().unwrap_or(char),
    }
}

/// Whether a character belongs to a word that it stands next to. In scripts that are written without spaces none does.
fn is_joined(char: char) -> bool {
    if char.is_ascii() {
        return char.is_ascii_alphanumeric() || char == '_';
    }
    let is_unspaced = matches!(char,
        '\u{0e00}'..='\u{0eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' | '\u{2e80}'..='\u{9fff}'
        | '\u{ac00}'..='\u{d7ff}' | '\u{f900}'..='\u{faff}' | '\u{ff00}'..='\u{ffef}' | '\u{20000}'..='\u{3ffff}');
    !is_unspaced
        && (char.is_alphanumeric() || matches!(char, '\u{0300}'..='\u{036f}' | '\u{064b}'..='\u{065f}'))
}

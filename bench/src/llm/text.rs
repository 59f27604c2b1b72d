//! Text that is counted in tokens: the same words in the same order each time, one token a word. Some have letters
//! beyond ASCII, so that a byte is never taken for a character unpunished. No word needs an escape in JSON.

/// The words, each with the space before it.
const WORDS: [&str; 32] = [
    " the", " answer", " größe", " of", " this", " mock", " is", " 東京", " made", " from", " words",
    " naïve", " that", " return", " in", " order", " 🚀", " so", " every", " test", " can", " count",
    " señor", " them", " without", " a", " model", " façade", " and", " know", " their", " end",
];

/// Tokens of the longest text: beyond the output limits of all models that are served today.
pub(crate) const TOKENS_MAX: u32 = 1 << 18;

/// Appends the tokens from `from` up to, not including, `to` of the endless text.
pub(crate) fn push_tokens(out: &mut Vec<u8>, from: u32, to: u32) {
    for token in from..to {
        let word = WORDS[token as usize % WORDS.len()];
        // A text does not begin with a space.
        out.extend_from_slice(if token == 0 { word.trim_start() } else { word }.as_bytes());
    }
}

/// The first `tokens` tokens.
pub(crate) fn text(tokens: u32) -> String {
    let mut out = Vec::new();
    push_tokens(&mut out, 0, tokens);
    String::from_utf8(out).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_make_the_whole_and_words_are_tokens() {
        let whole = text(100);
        assert_eq!(whole.split(' ').count(), 100);
        let mut pieces = Vec::new();
        for from in (0..100).step_by(7) {
            push_tokens(&mut pieces, from, (from + 7).min(100));
        }
        assert_eq!(pieces, whole.as_bytes());
        assert!(!text(4).is_ascii(), "short texts have letters beyond ASCII, too");
    }

    #[test]
    fn no_word_needs_an_escape() {
        assert_eq!(serde_json::to_string(&text(32)).unwrap().len(), text(32).len() + 2);
    }
}

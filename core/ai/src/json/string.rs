//! Strings: as they came, escapes and all, or made here.

use std::borrow::Cow;
use std::fmt;

/// A string of a document. What was read is kept as it was written; [`Str::text`] decodes it.
#[derive(Clone)]
pub enum Str<'a> {
    /// As it stands between its quotes, without an escape: its text is itself.
    Plain(&'a str),
    /// As it stands between its quotes, with escapes, all of them valid.
    Escaped(&'a str),
    /// A text that was made here.
    Made(String),
}

impl<'a> Str<'a> {
    /// The text. A half of a surrogate pair that stands alone, which no text can hold, becomes U+FFFD.
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Str::Plain(raw) => Cow::Borrowed(raw),
            Str::Escaped(raw) => Cow::Owned(decode(raw)),
            Str::Made(text) => Cow::Borrowed(text),
        }
    }

    /// The text of a string that was read, borrowed from the document where it has no escape.
    pub fn into_text(self) -> Cow<'a, str> {
        match self {
            Str::Plain(raw) => Cow::Borrowed(raw),
            Str::Escaped(raw) => Cow::Owned(decode(raw)),
            Str::Made(text) => Cow::Owned(text),
        }
    }

    /// The same text, borrowing nothing.
    pub fn into_owned(self) -> Str<'static> {
        Str::Made(self.into_text().into_owned())
    }

    /// Whether the text is this one; decodes only where there are escapes.
    pub fn is(&self, text: &str) -> bool {
        match self {
            Str::Plain(raw) => *raw == text,
            Str::Made(made) => made == text,
            // An escape is longer than what it stands for.
            Str::Escaped(raw) => raw.len() > text.len() && decode(raw) == text,
        }
    }

    /// Whether the text is empty.
    pub fn is_empty(&self) -> bool {
        match self {
            Str::Plain(raw) | Str::Escaped(raw) => raw.is_empty(),
            Str::Made(text) => text.is_empty(),
        }
    }

    /// Writes it with its quotes: what was read as it came.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Str::Plain(raw) | Str::Escaped(raw) => {
                out.push(b'"');
                out.extend_from_slice(raw.as_bytes());
                out.push(b'"');
            }
            Str::Made(text) => write_escaped(out, text),
        }
    }
}

impl Default for Str<'_> {
    fn default() -> Self {
        Str::Plain("")
    }
}

impl fmt::Debug for Str<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text(), f)
    }
}

impl PartialEq for Str<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

impl<'a> From<&'a str> for Str<'a> {
    fn from(text: &'a str) -> Self {
        if text.bytes().any(needs_escape) { Str::Made(text.to_owned()) } else { Str::Plain(text) }
    }
}

impl From<String> for Str<'_> {
    fn from(text: String) -> Self {
        Str::Made(text)
    }
}

fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// Writes `text` as a JSON string with its quotes; escapes what must be (RFC 8259 section 7) and nothing else.
pub fn write_escaped(out: &mut Vec<u8>, text: &str) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|byte| needs_escape(*byte)) {
        out.extend_from_slice(&rest[..at]);
        match rest[at] {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            control => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                out.extend_from_slice(b"\\u00");
                out.push(HEX[usize::from(control >> 4)]);
                out.push(HEX[usize::from(control & 15)]);
            }
        }
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// The text of a string whose escapes are valid.
fn decode(raw: &str) -> String {
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
        text.push_str(&rest[..at]);
        let escape = &rest[at + 1..];
        let (decoded, len) = match escape.as_bytes().first() {
            Some(b'n') => ('\n', 1),
            Some(b't') => ('\t', 1),
            Some(b'r') => ('\r', 1),
            Some(b'b') => ('\u{8}', 1),
            Some(b'f') => ('\u{c}', 1),
            Some(b'u') => unicode(escape),
            Some(&other) => (char::from(other), 1), // a quote, a slash, a backslash
            None => ('\u{fffd}', 0),
        };
        text.push(decoded);
        rest = &escape[len..];
    }
    text.push_str(rest);
    text
}

/// The character of an escape that begins with `u` and four digits, with its second half where it has one, and how many bytes that took.
fn unicode(escape: &str) -> (char, usize) {
    let unit = |at: usize| escape.get(at..at + 4).and_then(|digits| u32::from_str_radix(digits, 16).ok());
    let Some(first) = unit(1) else { return ('\u{fffd}', 1) };
    if (0xd800..0xdc00).contains(&first)
        && escape.get(5..7) == Some("\\u")
        && let Some(second @ 0xdc00..0xe000) = unit(7)
    {
        let point = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        return (char::from_u32(point).unwrap_or('\u{fffd}'), 11);
    }
    (char::from_u32(first).unwrap_or('\u{fffd}'), 5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_stand_for_what_they_say() {
        for (raw, text) in [
            (r#"a\"b\\c\/d"#, "a\"b\\c/d"),
            (r"\b\f\n\r\t", "\u{8}\u{c}\n\r\t"),
            (r"\u0041\u00e9", "A\u{e9}"),
            (r"\ud83d\ude00!", "\u{1f600}!"),
            (r"\ud83d", "\u{fffd}"),
            (r"\ude00\ud83d", "\u{fffd}\u{fffd}"),
            (r"\ud83d\ud83d\ude00", "\u{fffd}\u{1f600}"),
            (r"\ud83dx", "\u{fffd}x"),
        ] {
            assert_eq!(Str::Escaped(raw).text(), text, "{raw}");
            assert!(Str::Escaped(raw).is(text), "{raw}");
        }
    }

    #[test]
    fn what_is_made_is_escaped_and_what_came_is_not_touched() {
        let mut out = Vec::new();
        Str::Made("a\"\\\n\u{1}\u{7f}\u{e9}".into()).write(&mut out);
        Str::Escaped(r"\u0041\/").write(&mut out);
        assert_eq!(String::from_utf8(out).unwrap(), "\"a\\\"\\\\\\n\\u0001\u{7f}\u{e9}\"\"\\u0041\\/\"");
    }

    #[test]
    fn texts_are_compared_whatever_their_writing() {
        assert_eq!(Str::Escaped(r"mod\u0065l"), Str::Plain("model"));
        assert!(!Str::Escaped(r"\u0061").is("b"));
        assert_eq!(Str::from("a\"b"), Str::Escaped(r#"a\"b"#));
    }
}

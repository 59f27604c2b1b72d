//! Walks a JSON text strictly, without building anything.
//!
//! Every byte is looked at: a text that passes is JSON after RFC 8259, so no two readers of it disagree about where a
//! member ends. Names that stand twice are given as often as they stand; whoever acts on one must see to that.

use std::ops::Range;

use super::error::{Error, ErrorKind};
use super::string::Str;

/// How deep values may be nested: more than any dialect has, tool schemas included.
pub const DEPTH_MAX: u32 = 128;

/// A place in a text.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    /// A reader at the beginning.
    ///
    /// # Errors
    /// [`ErrorKind::NotUtf8`], with the first byte that is not.
    pub fn new(bytes: &'a [u8]) -> Result<Self, Error> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Self { text, at: 0 }),
            Err(error) => Err(Error { kind: ErrorKind::NotUtf8, offset: error.valid_up_to() }),
        }
    }

    /// Passes white space; the byte that follows.
    pub fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while let Some(byte) = bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(*byte);
            }
            self.at += 1;
        }
        None
    }

    /// Passes `byte` if it is the next one.
    pub(super) fn take(&mut self, byte: u8) -> bool {
        let taken = self.peek() == Some(byte);
        self.at += usize::from(taken);
        taken
    }

    pub(super) fn fail<T>(&self, kind: ErrorKind) -> Result<T, Error> {
        let kind = if self.at >= self.text.len() { ErrorKind::Ends } else { kind };
        Err(Error { kind, offset: self.at })
    }

    /// Reads a string, at its opening quote.
    ///
    /// # Errors
    /// No string stands here, or it is malformed.
    pub fn string(&mut self) -> Result<Str<'a>, Error> {
        if self.peek() != Some(b'"') {
            return self.fail(ErrorKind::NameExpected);
        }
        let bytes = self.text.as_bytes();
        let start = self.at + 1;
        let mut at = start;
        let mut escaped = false;
        loop {
            at += ordinary(&bytes[at..]);
            match bytes.get(at) {
                None => {
                    self.at = at;
                    return self.fail(ErrorKind::Ends);
                }
                Some(b'"') => break,
                Some(b'\\') => escaped = true,
                Some(_) => return Err(Error { kind: ErrorKind::Control, offset: at }),
            }
            at += match bytes.get(at + 1) {
                Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
                Some(b'u') if is_hex(bytes.get(at + 2..at + 6)) => 6,
                _ => return Err(Error { kind: ErrorKind::Escape, offset: at }),
            };
        }
        self.at = at + 1;
        let raw = &self.text[start..at];
        Ok(if escaped { Str::Escaped(raw) } else { Str::Plain(raw) })
    }

    /// Reads a number as it is written.
    ///
    /// # Errors
    /// No number stands here, or it is malformed.
    pub fn number(&mut self) -> Result<&'a str, Error> {
        self.peek();
        let bytes = self.text.as_bytes();
        let start = self.at;
        let digits = |mut at: usize| {
            while bytes.get(at).is_some_and(u8::is_ascii_digit) {
                at += 1;
            }
            at
        };
        let whole = start + usize::from(bytes.get(start) == Some(&b'-'));
        let mut end = digits(whole);
        let malformed = Err(Error { kind: ErrorKind::Number, offset: start });
        if end == whole || (bytes[whole] == b'0' && end > whole + 1) {
            return malformed;
        }
        if bytes.get(end) == Some(&b'.') {
            let fraction = end + 1;
            end = digits(fraction);
            if end == fraction {
                return malformed;
            }
        }
        if matches!(bytes.get(end), Some(b'e' | b'E')) {
            let exponent = end + 1 + usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
            end = digits(exponent);
            if end == exponent {
                return malformed;
            }
        }
        self.at = end;
        Ok(&self.text[start..end])
    }

    /// Passes `word` (`true`, `false`, `null`).
    pub(super) fn word(&mut self, word: &str) -> Result<(), Error> {
        if !self.text[self.at..].starts_with(word) {
            return self.fail(ErrorKind::ValueExpected);
        }
        self.at += word.len();
        Ok(())
    }

    /// Passes a member's name and its colon.
    ///
    /// # Errors
    /// They do not stand here.
    pub fn name(&mut self) -> Result<Str<'a>, Error> {
        let name = self.string()?;
        if self.take(b':') { Ok(name) } else { self.fail(ErrorKind::ColonExpected) }
    }

    /// Passes a whole value, of any depth up to [`DEPTH_MAX`]; where it stands.
    ///
    /// # Errors
    /// What follows is not a value.
    pub fn skip(&mut self) -> Result<Range<usize>, Error> {
        self.peek();
        let start = self.at;
        let mut objects = 0u128; // a bit a level: whether it is an object; the lowest is the innermost
        let mut depth = 0;
        loop {
            match self.peek() {
                Some(bracket @ (b'{' | b'[')) => {
                    if depth == DEPTH_MAX {
                        return self.fail(ErrorKind::TooDeep);
                    }
                    self.at += 1;
                    let is_object = bracket == b'{';
                    if !self.take(if is_object { b'}' } else { b']' }) {
                        objects = objects << 1 | u128::from(is_object);
                        depth += 1;
                        if is_object {
                            self.name()?;
                        }
                        continue;
                    }
                }
                Some(b'"') => {
                    self.string()?;
                }
                Some(b'-' | b'0'..=b'9') => {
                    self.number()?;
                }
                Some(b't') => self.word("true")?,
                Some(b'f') => self.word("false")?,
                Some(b'n') => self.word("null")?,
                _ => return self.fail(ErrorKind::ValueExpected),
            }
            // A value has ended; so may those that it is in.
            loop {
                if depth == 0 {
                    return Ok(start..self.at);
                }
                let is_object = objects & 1 == 1;
                match self.peek() {
                    Some(b',') => {
                        self.at += 1;
                        if is_object {
                            self.name()?;
                        }
                        break;
                    }
                    Some(b'}') if is_object => {}
                    Some(b']') if !is_object => {}
                    _ => return self.fail(ErrorKind::CommaExpected),
                }
                self.at += 1;
                objects >>= 1;
                depth -= 1;
            }
        }
    }

    /// Sees to it that nothing but white space follows.
    ///
    /// # Errors
    /// [`ErrorKind::Trailing`].
    pub fn end(&mut self) -> Result<(), Error> {
        match self.peek() {
            None => Ok(()),
            Some(_) => self.fail(ErrorKind::Trailing),
        }
    }
}

/// How many bytes stand before the first that is not simply a part of a string: a quote, a backslash, a control.
fn ordinary(bytes: &[u8]) -> usize {
    const NEAR: usize = 64;
    const BLOCK: usize = 64;
    let special = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\';
    let mut at = 0;
    loop {
        // Most strings are short, or have escapes at short distances: eight bytes at a time.
        let near = at + NEAR;
        while at < near
            && let Some(word) = bytes.get(at..at + 8)
        {
            let found = specials(u64::from_le_bytes(word.try_into().expect("eight bytes")));
            if found != 0 {
                return at + found.trailing_zeros() as usize / 8;
            }
            at += 8;
        }
        if at < near {
            return at + bytes[at..].iter().position(special).unwrap_or(bytes.len() - at);
        }
        // Long ones by vectors, so without an early end within a block.
        while let Some(block) = bytes.get(at..at + BLOCK)
            && !block.iter().fold(false, |any, byte| any | special(byte))
        {
            at += BLOCK;
        }
    }
}

/// The highest bit of each byte that is a quote, a backslash or a control; the lowest of these bits is exact, those above
/// it may be set without reason (a borrow).
fn specials(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    let zero = |word: u64| word.wrapping_sub(ONES) & !word;
    let quote = zero(word ^ (ONES * u64::from(b'"')));
    let backslash = zero(word ^ (ONES * u64::from(b'\\')));
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    (quote | backslash | control) & (ONES << 7)
}

fn is_hex(digits: Option<&[u8]>) -> bool {
    digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
}

/// A member of an object, by where its value stands in the text.
#[derive(Debug, Clone, PartialEq)]
pub struct Member<'a> {
    /// Its name.
    pub name: Str<'a>,
    /// Where its value stands.
    pub value: Range<usize>,
    /// What goes if the member goes: it and the comma on one side of it, if it has any. Of members that stand side by
    /// side only one can be taken out by it.
    pub whole: Range<usize>,
}

/// The members of the object that a text is, one after another, in one pass over it.
#[derive(Debug, Clone)]
pub struct Members<'a> {
    reader: Reader<'a>,
    /// Behind the opening bracket.
    inside: usize,
    /// Behind the last member that was given, or the opening bracket.
    behind: usize,
    over: bool,
}

impl<'a> Members<'a> {
    /// The members of the object in `bytes`.
    ///
    /// # Errors
    /// The bytes are not UTF-8, or no object stands there.
    pub fn new(bytes: &'a [u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(bytes)?;
        if !reader.take(b'{') {
            return reader.fail(ErrorKind::ObjectExpected);
        }
        let inside = reader.at;
        Ok(Self { reader, inside, behind: inside, over: false })
    }

    /// The next member; none after the last one, when the text has been read to its end.
    ///
    /// # Errors
    /// The text is not JSON.
    #[allow(clippy::should_implement_trait, reason = "it can fail, and ends for good then")]
    pub fn next(&mut self) -> Result<Option<Member<'a>>, Error> {
        if self.over {
            return Ok(None);
        }
        if self.reader.take(b'}') {
            self.over = true;
            self.reader.end()?;
            return Ok(None);
        }
        let is_first = self.behind == self.inside;
        if !is_first && !self.reader.take(b',') {
            return self.reader.fail(ErrorKind::CommaExpected);
        }
        let name = self.reader.name()?;
        let value = self.reader.skip()?;
        let mut whole = self.behind..value.end;
        self.behind = value.end;
        if is_first {
            let mut ahead = self.reader.clone();
            if ahead.take(b',') {
                whole.end = ahead.at;
            }
        }
        Ok(Some(Member { name, value, whole }))
    }

    /// Where the first member begins, or would: behind the opening bracket.
    pub fn inside(&self) -> usize {
        self.inside
    }
}

/// The elements of the array that a text is, one after another, in one pass that goes no further than is asked.
#[derive(Debug, Clone)]
pub struct Elements<'a> {
    reader: Reader<'a>,
    is_first: bool,
    over: bool,
}

impl<'a> Elements<'a> {
    /// The elements of the array in `bytes`.
    ///
    /// # Errors
    /// The bytes are not UTF-8, or no array stands there.
    pub fn new(bytes: &'a [u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(bytes)?;
        if !reader.take(b'[') {
            return reader.fail(ErrorKind::ValueExpected);
        }
        Ok(Self { reader, is_first: true, over: false })
    }

    /// Where the next element stands in the text; none after the last one, when the text has been read to its end.
    ///
    /// # Errors
    /// The text is not JSON.
    #[allow(clippy::should_implement_trait, reason = "it can fail, and ends for good then")]
    pub fn next(&mut self) -> Result<Option<Range<usize>>, Error> {
        if self.over {
            return Ok(None);
        }
        if self.reader.take(b']') {
            self.over = true;
            self.reader.end()?;
            return Ok(None);
        }
        if !self.is_first && !self.reader.take(b',') {
            return self.reader.fail(ErrorKind::CommaExpected);
        }
        self.is_first = false;
        self.reader.skip().map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skip(text: &str) -> Result<Range<usize>, ErrorKind> {
        let mut reader = Reader::new(text.as_bytes()).map_err(|error| error.kind)?;
        let range = reader.skip().map_err(|error| error.kind)?;
        reader.end().map_err(|error| error.kind)?;
        Ok(range)
    }

    #[test]
    fn elements_come_one_by_one_and_malformed_arrays_do_not_pass() {
        let elements = |text: &str| {
            let mut elements = Elements::new(text.as_bytes())?;
            let mut found = Vec::new();
            while let Some(at) = elements.next()? {
                found.push(text[at].to_owned());
            }
            assert_eq!(elements.next(), Ok(None));
            Ok::<_, Error>(found)
        };
        let found = |texts: &[&str]| Ok(texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
        assert_eq!(elements("[]"), found(&[]));
        assert_eq!(elements(" [ 1 ,{\"a\":[2]}, \"]\" ] "), found(&["1", "{\"a\":[2]}", "\"]\""]));
        for (text, kind) in [
            ("[1,]", ErrorKind::ValueExpected),
            ("[,1]", ErrorKind::ValueExpected),
            ("[1 2]", ErrorKind::CommaExpected),
            ("[1", ErrorKind::Ends),
            ("[1]]", ErrorKind::Trailing),
            ("{}", ErrorKind::ValueExpected),
            ("", ErrorKind::Ends),
        ] {
            assert_eq!(elements(text).map_err(|error| error.kind), Err(kind), "{text}");
        }
    }

    #[test]
    fn values_of_every_kind_pass() {
        for text in [
            "null",
            "true",
            "false",
            "0",
            "-0.0e+10",
            "12345678901234567890123",
            "1E-2",
            "\"\"",
            r#""a\u00e9\"""#,
            "[]",
            "{}",
            "[[],{}]",
            r#"{"a":[1,{"b":null}],"a":2}"#,
            "[ 1 , 2 ]",
        ] {
            assert_eq!(skip(text), Ok(0..text.len()), "{text}");
        }
        assert_eq!(skip(" \r\n\t[1] "), Ok(4..7));
    }

    #[test]
    fn what_is_no_json_is_told() {
        use ErrorKind::*;
        for (text, kind) in [
            ("", Ends),
            (" ", Ends),
            ("[", Ends),
            ("{\"a\"", Ends),
            ("{\"a\":", Ends),
            ("\"abc", Ends),
            ("[1", Ends),
            ("01", Number),
            ("-", Number),
            ("1.", Number),
            (".5", ValueExpected),
            ("+1", ValueExpected),
            ("1e", Number),
            ("NaN", ValueExpected),
            ("nul", ValueExpected),
            ("truex", Trailing),
            ("[1,]", ValueExpected),
            ("[,1]", ValueExpected),
            ("[1 2]", CommaExpected),
            ("{\"a\":1,}", NameExpected),
            ("{a:1}", NameExpected),
            ("{'a':1}", NameExpected),
            ("{\"a\" 1}", ColonExpected),
            ("{\"a\":1]", CommaExpected),
            ("[1}", CommaExpected),
            ("\"a\nb\"", Control),
            ("\"\\x41\"", Escape),
            ("\"\\u12g4\"", Escape),
            ("\"\\u12", Escape),
            ("1 2", Trailing),
            ("{} {}", Trailing),
            ("[1]/* */", Trailing),
            ("\u{feff}{}", ValueExpected),
        ] {
            assert_eq!(skip(text), Err(kind), "{text:?}");
        }
        assert_eq!(Reader::new(b"\"\xc3\"").unwrap_err(), Error { kind: NotUtf8, offset: 1 });
    }

    #[test]
    fn what_ends_a_run_is_found_wherever_it_stands() {
        for len in 0..300 {
            for fill in [b' ', b'!', b'#', b'[', b']', 0x7f, 0x80, 0xff] {
                let mut bytes = vec![fill; len];
                assert_eq!(ordinary(&bytes), len);
                for at in (0..len).rev().step_by(7) {
                    for special in [b'"', b'\\', 0, 0x0a, 0x1f] {
                        bytes[at] = special;
                        assert_eq!(ordinary(&bytes), at, "{len} {fill} {special}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_depth_is_bounded_at_its_bound() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(skip(&nested(DEPTH_MAX as usize)).is_ok());
        assert_eq!(skip(&nested(DEPTH_MAX as usize + 1)), Err(ErrorKind::TooDeep));
    }

    #[test]
    fn members_are_given_as_they_stand() {
        let text = br#" {"model": "a", "mod\u0065l":"b" ,"n":[1,2]} "#;
        let mut members = Members::new(text).unwrap();
        assert_eq!(members.inside(), 2);
        let mut found = Vec::new();
        while let Some(member) = members.next().unwrap() {
            found.push((member.name.text().into_owned(), &text[member.value]));
        }
        let expected: [(&str, &[u8]); 3] = [("model", b"\"a\""), ("model", b"\"b\""), ("n", b"[1,2]")];
        assert!(found.iter().zip(expected).all(|((name, value), (n, v))| name == n && *value == v));
        assert_eq!(members.next(), Ok(None));
        for (text, name, without) in [
            ("{\"a\":1}", "a", "{}"),
            ("{ \"a\" : 1 , \"b\":2}", "a", "{ \"b\":2}"),
            ("{\"a\":1 , \"b\" : 2 }", "b", "{\"a\":1 }"),
            ("{\"a\":1,\"b\":2,\"c\":3}", "b", "{\"a\":1,\"c\":3}"),
        ] {
            let mut members = Members::new(text.as_bytes()).unwrap();
            let member = std::iter::from_fn(|| members.next().unwrap()).find(|member| member.name.is(name));
            let whole = member.unwrap().whole;
            assert_eq!([&text[..whole.start], &text[whole.end..]].concat(), without);
        }
        assert_eq!(Members::new(b"[]").unwrap_err().kind, ErrorKind::ObjectExpected);
        let mut trailing = Members::new(b"{} x").unwrap();
        assert_eq!(trailing.next().unwrap_err().kind, ErrorKind::Trailing);
    }
}

//! The document: everything that a text says, in its order, in its writing.

use std::borrow::Cow;

use super::error::{Error, ErrorKind};
use super::reader::{DEPTH_MAX, Reader};
use super::string::Str;

/// Values that a document may have: a bound for what a text can make a worker keep, some 50 bytes each.
pub const NODES_MAX: u32 = 1 << 20;

/// A number as it was written, so that no digit of it is lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Number<'a>(Cow<'a, str>);

impl Number<'_> {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its value, if it is a whole number that fits; also where it is written as `1.0` or `1e3`.
    pub fn as_u64(&self) -> Option<u64> {
        self.0.parse().ok().or_else(|| {
            let value = self.as_f64();
            let exact = (0.0..9_007_199_254_740_992.0).contains(&value) && value.fract() == 0.0;
            exact.then_some(value as u64)
        })
    }

    /// The nearest double (RFC 8259 section 6).
    pub fn as_f64(&self) -> f64 {
        self.0.parse().unwrap_or(f64::NAN) // never: JSON's numbers are a part of what Rust reads
    }
}

impl Number<'_> {
    /// A number that the program itself writes, as JSON has it.
    pub(crate) fn literal(text: &'static str) -> Self {
        Self(text.into())
    }
}

impl From<u64> for Number<'_> {
    fn from(value: u64) -> Self {
        Self(value.to_string().into())
    }
}

/// A value of a document.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number.
    Number(Number<'a>),
    /// A string.
    String(Str<'a>),
    /// An array.
    Array(Vec<Value<'a>>),
    /// An object.
    Object(Object<'a>),
}

impl<'a> Value<'a> {
    /// Reads a text.
    ///
    /// # Errors
    /// It is not JSON, or goes beyond [`DEPTH_MAX`] or [`NODES_MAX`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(bytes)?;
        let mut left = NODES_MAX;
        let value = read(&mut reader, DEPTH_MAX, &mut left)?;
        reader.end()?;
        Ok(value)
    }

    /// Writes it without white space; members in order, numbers and strings as they came.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Value::Null => out.extend_from_slice(b"null"),
            Value::Bool(true) => out.extend_from_slice(b"true"),
            Value::Bool(false) => out.extend_from_slice(b"false"),
            Value::Number(number) => out.extend_from_slice(number.0.as_bytes()),
            Value::String(string) => string.write(out),
            Value::Array(values) => {
                out.push(b'[');
                for (n, value) in values.iter().enumerate() {
                    if n > 0 {
                        out.push(b',');
                    }
                    value.write(out);
                }
                out.push(b']');
            }
            Value::Object(object) => object.write(out),
        }
    }

    /// [`Value::write`], as a text.
    pub fn to_json(&self) -> String {
        let mut out = Vec::new();
        self.write(&mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    /// The same document, borrowing nothing.
    pub fn into_owned<'b>(self) -> Value<'b> {
        match self {
            Value::Null => Value::Null,
            Value::Bool(value) => Value::Bool(value),
            Value::Number(number) => Value::Number(Number(number.0.into_owned().into())),
            Value::String(string) => Value::String(string.into_owned()),
            Value::Array(values) => Value::Array(values.into_iter().map(Value::into_owned).collect()),
            Value::Object(object) => {
                let members = object.members.into_iter();
                let owned = members.map(|(name, value)| (name.into_owned(), value.into_owned()));
                Value::Object(Object { members: owned.collect() })
            }
        }
    }

    /// The text of a string.
    pub fn as_text(&self) -> Option<Cow<'_, str>> {
        match self {
            Value::String(string) => Some(string.text()),
            _ => None,
        }
    }

    /// Whether it is the string `text`.
    pub fn is(&self, text: &str) -> bool {
        matches!(self, Value::String(string) if string.is(text))
    }

    /// Whether it is `null`.
    pub fn is_null(&self) -> bool {
        *self == Value::Null
    }

    /// A truth value.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// A number.
    pub fn as_number(&self) -> Option<&Number<'a>> {
        match self {
            Value::Number(number) => Some(number),
            _ => None,
        }
    }

    /// A whole number that is not negative.
    pub fn as_u64(&self) -> Option<u64> {
        self.as_number().and_then(Number::as_u64)
    }

    /// The elements of an array.
    pub fn as_array(&self) -> Option<&[Value<'a>]> {
        match self {
            Value::Array(values) => Some(values),
            _ => None,
        }
    }

    /// An object.
    pub fn as_object(&self) -> Option<&Object<'a>> {
        match self {
            Value::Object(object) => Some(object),
            _ => None,
        }
    }

    /// A member of an object, as [`Object::get`]; none of anything else.
    pub fn get(&self, name: &str) -> Option<&Value<'a>> {
        self.as_object().and_then(|object| object.get(name))
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Value::String(text.into())
    }
}

impl<'a> From<Str<'a>> for Value<'a> {
    fn from(text: Str<'a>) -> Self {
        Value::String(text)
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Value::String(text.into())
    }
}

impl From<u64> for Value<'_> {
    fn from(value: u64) -> Self {
        Value::Number(value.into())
    }
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Value::Bool(value)
    }
}

impl<'a> From<Vec<Value<'a>>> for Value<'a> {
    fn from(values: Vec<Value<'a>>) -> Self {
        Value::Array(values)
    }
}

impl<'a> From<Object<'a>> for Value<'a> {
    fn from(object: Object<'a>) -> Self {
        Value::Object(object)
    }
}

/// An object: its members in the order in which they stand, with names that stand twice.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Object<'a> {
    members: Vec<(Str<'a>, Value<'a>)>,
}

impl<'a> Object<'a> {
    /// Of the members with this name the last, as nearly all readers take it.
    pub fn get(&self, name: &str) -> Option<&Value<'a>> {
        self.members.iter().rev().find(|(own, _)| own.is(name)).map(|(_, value)| value)
    }

    /// [`Object::get`], to be changed.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Value<'a>> {
        self.members.iter_mut().rev().find(|(own, _)| own.is(name)).map(|(_, value)| value)
    }

    /// Takes all members with this name out; the value of the last.
    pub fn take(&mut self, name: &str) -> Option<Value<'a>> {
        let mut taken = None;
        // Most names are not there, and then nothing moves.
        while let Some(at) = self.members.iter().position(|(own, _)| own.is(name)) {
            taken = Some(self.members.remove(at).1);
        }
        taken
    }

    /// Puts a member at the end.
    pub fn push(&mut self, name: impl Into<Str<'a>>, value: impl Into<Value<'a>>) {
        self.members.push((name.into(), value.into()));
    }

    /// The members in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&Str<'a>, &Value<'a>)> + ExactSizeIterator {
        self.members.iter().map(|(name, value)| (name, value))
    }

    /// A name that stands twice, if there is one.
    pub fn repeated(&self) -> Option<&Str<'a>> {
        let names = || self.members.iter().map(|(name, _)| name);
        names()
            .enumerate()
            .find(|(n, name)| names().take(*n).any(|before| before == *name))
            .map(|(_, name)| name)
    }

    /// How many members it has.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// As [`Value::write`].
    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        for (n, (name, value)) in self.members.iter().enumerate() {
            if n > 0 {
                out.push(b',');
            }
            name.write(out);
            out.push(b':');
            value.write(out);
        }
        out.push(b'}');
    }
}

impl<'a> IntoIterator for Object<'a> {
    type Item = (Str<'a>, Value<'a>);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.members.into_iter()
    }
}

impl<'a, N: Into<Str<'a>>, V: Into<Value<'a>>> FromIterator<(N, V)> for Object<'a> {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(members: I) -> Self {
        Self { members: members.into_iter().map(|(name, value)| (name.into(), value.into())).collect() }
    }
}

fn read<'a>(reader: &mut Reader<'a>, depth: u32, left: &mut u32) -> Result<Value<'a>, Error> {
    let Some(less) = left.checked_sub(1) else { return reader.fail(ErrorKind::TooMany) };
    *left = less;
    let deeper = |reader: &Reader<'_>| match depth.checked_sub(1) {
        Some(depth) => Ok(depth),
        None => reader.fail(ErrorKind::TooDeep),
    };
    Ok(match reader.peek() {
        Some(b'{') => {
            let depth = deeper(reader)?;
            reader.take(b'{');
            let mut members = Vec::new();
            if !reader.take(b'}') {
                loop {
                    let name = reader.name()?;
                    members.push((name, read(reader, depth, left)?));
                    if reader.take(b'}') {
                        break;
                    }
                    if !reader.take(b',') {
                        return reader.fail(ErrorKind::CommaExpected);
                    }
                }
            }
            Value::Object(Object { members })
        }
        Some(b'[') => {
            let depth = deeper(reader)?;
            reader.take(b'[');
            let mut values = Vec::new();
            if !reader.take(b']') {
                loop {
                    values.push(read(reader, depth, left)?);
                    if reader.take(b']') {
                        break;
                    }
                    if !reader.take(b',') {
                        return reader.fail(ErrorKind::CommaExpected);
                    }
                }
            }
            Value::Array(values)
        }
        Some(b'"') => Value::String(reader.string()?),
        Some(b'-' | b'0'..=b'9') => Value::Number(Number(reader.number()?.into())),
        Some(b't') => reader.word("true").map(|()| Value::Bool(true))?,
        Some(b'f') => reader.word("false").map(|()| Value::Bool(false))?,
        Some(b'n') => reader.word("null").map(|()| Value::Null)?,
        _ => return reader.fail(ErrorKind::ValueExpected),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(text: &str) -> String {
        let mut out = Vec::new();
        Value::parse(text.as_bytes()).unwrap().write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_is_read_is_written_as_it_came() {
        for text in [
            r#"{"b":1,"a":2,"b":3}"#,
            r#"[1.0,1e3,-0,12345678901234567890.123456789]"#,
            r#""a\u00e9\/\ud83d""#,
            r#"{"":[[],{},null,true,false]}"#,
        ] {
            assert_eq!(printed(text), text);
        }
        assert_eq!(printed(" { \"a\" : [ 1 , 2 ] } "), r#"{"a":[1,2]}"#);
    }

    #[test]
    fn members_are_found_whatever_their_writing() {
        let text = br#"{"a":1,"\u0061":2,"c":null}"#;
        let mut value = Value::parse(text).unwrap();
        assert_eq!(value.get("a").and_then(Value::as_u64), Some(2));
        assert!(value.get("b").is_none() && value.get("c").is_some_and(Value::is_null));
        let Value::Object(object) = &mut value else { panic!() };
        assert_eq!(object.repeated().map(Str::text).as_deref(), Some("a"));
        *object.get_mut("a").unwrap() = 5.into();
        object.push("d", "x\"y");
        assert_eq!(object.take("c"), Some(Value::Null));
        let mut out = Vec::new();
        value.write(&mut out);
        assert_eq!(String::from_utf8(out).unwrap(), r#"{"a":1,"\u0061":5,"d":"x\"y"}"#);
        let Value::Object(object) = &mut value else { panic!() };
        assert_eq!(object.take("a").and_then(|a| a.as_u64()), Some(5));
        assert_eq!((object.len(), object.repeated()), (1, None));
    }

    #[test]
    fn whole_numbers_are_known_in_each_writing() {
        let number = |text: &'static str| Value::parse(text.as_bytes()).unwrap().as_u64();
        for (text, value) in [
            ("0", Some(0)),
            ("-0", Some(0)),
            ("1.0", Some(1)),
            ("2e3", Some(2000)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("1.5", None),
            ("-1", None),
            ("1e300", None),
        ] {
            assert_eq!(number(text), value, "{text}");
        }
    }

    #[test]
    fn both_bounds_hold() {
        let many = format!("[{}0]", "0,".repeat(NODES_MAX as usize - 2));
        assert!(Value::parse(many.as_bytes()).is_ok());
        let more = format!("[{}0]", "0,".repeat(NODES_MAX as usize - 1));
        assert_eq!(Value::parse(more.as_bytes()).unwrap_err().kind, ErrorKind::TooMany);
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(Value::parse(nested(DEPTH_MAX as usize).as_bytes()).is_ok());
        let deeper = nested(DEPTH_MAX as usize + 1);
        assert_eq!(Value::parse(deeper.as_bytes()).unwrap_err().kind, ErrorKind::TooDeep);
    }
}

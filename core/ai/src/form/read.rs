//! What readers of dialects share: typed values out of a document, and where it went wrong if they are not there.

use std::fmt;

use super::CacheMark;
use crate::json::{self, Number, Object, Str, Value};

/// Why a document is not of its dialect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// It is no JSON.
    #[error("the body is not JSON: {0}")]
    Json(#[from] json::Error),
    /// A value is of a wrong kind.
    #[error("`{path}` must be {expected}")]
    Kind {
        /// Where it stands, as `messages[3].content`.
        path: String,
        /// What it must be, in words.
        expected: &'static str,
    },
    /// A member is missing.
    #[error("`{path}` is missing")]
    Missing {
        /// Where it should stand.
        path: String,
    },
    /// A member stands twice.
    #[error("`{path}` stands twice")]
    Repeated {
        /// Where it stands.
        path: String,
    },
    /// It is no answer: the provider says that it failed, whatever the status of HTTP was.
    #[error("the provider failed: {message}")]
    Failed {
        /// Its own kind of the failure.
        kind: Option<String>,
        /// What it says.
        message: String,
    },
}

/// A place in a document.
#[derive(Debug, Clone, Copy)]
pub(crate) enum At<'p> {
    Root,
    Member(&'p At<'p>, &'p str),
    Element(&'p At<'p>, usize),
}

impl At<'_> {
    pub(crate) fn member<'p>(&'p self, name: &'p str) -> At<'p> {
        At::Member(self, name)
    }

    pub(crate) fn element(&self, n: usize) -> At<'_> {
        At::Element(self, n)
    }

    pub(crate) fn must_be(&self, expected: &'static str) -> Malformed {
        Malformed::Kind { path: self.to_string(), expected }
    }

    /// What a value of each kind is, where another one would be malformed.
    pub(crate) fn string<'a>(&self, value: Value<'a>) -> Result<Str<'a>, Malformed> {
        match value {
            Value::String(string) => Ok(string),
            _ => Err(self.must_be("a string")),
        }
    }

    pub(crate) fn object<'a>(&self, value: Value<'a>) -> Result<Fields<'a>, Malformed> {
        match value {
            Value::Object(object) => match object.repeated() {
                Some(name) => Err(Malformed::Repeated { path: self.member(&name.text()).to_string() }),
                None => Ok(Fields(object)),
            },
            _ => Err(self.must_be("an object")),
        }
    }

    pub(crate) fn array<'a>(&self, value: Value<'a>) -> Result<Vec<Value<'a>>, Malformed> {
        match value {
            Value::Array(values) => Ok(values),
            _ => Err(self.must_be("an array")),
        }
    }

    /// What `read` makes of each element.
    pub(crate) fn each<'a, T>(
        &self,
        values: Vec<Value<'a>>,
        mut read: impl FnMut(Value<'a>, &At<'_>) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        values.into_iter().enumerate().map(|(n, value)| read(value, &self.element(n))).collect()
    }

    pub(crate) fn number<'a>(&self, value: Value<'a>) -> Result<Number<'a>, Malformed> {
        match value {
            Value::Number(number) => Ok(number),
            _ => Err(self.must_be("a number")),
        }
    }

    pub(crate) fn whole(&self, value: Value<'_>) -> Result<u64, Malformed> {
        value.as_u64().ok_or_else(|| self.must_be("a whole number"))
    }

    pub(crate) fn truth(&self, value: Value<'_>) -> Result<bool, Malformed> {
        value.as_bool().ok_or_else(|| self.must_be("true or false"))
    }
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            At::Root => f.write_str("body"),
            At::Member(At::Root, name) => f.write_str(name),
            At::Member(of, name) => write!(f, "{of}.{name}"),
            At::Element(of, n) => write!(f, "{of}[{n}]"),
        }
    }
}

/// The members of an object, each once, taken out one by one; what is left is what the reader did not know.
#[derive(Debug)]
pub(crate) struct Fields<'a>(Object<'a>);

impl<'a> Fields<'a> {
    /// A member's value; none if it is not there or `null`.
    pub(crate) fn take(&mut self, name: &str) -> Option<Value<'a>> {
        self.0.take(name).filter(|value| !value.is_null())
    }

    /// A member that must be there.
    pub(crate) fn must(&mut self, at: &At<'_>, name: &str) -> Result<Value<'a>, Malformed> {
        self.take(name).ok_or_else(|| Malformed::Missing { path: at.member(name).to_string() })
    }

    /// A member that is a string.
    pub(crate) fn string(&mut self, at: &At<'_>, name: &str) -> Result<Option<Str<'a>>, Malformed> {
        self.take(name).map(|value| at.member(name).string(value)).transpose()
    }

    /// A member that is a string and must be there.
    pub(crate) fn must_string(&mut self, at: &At<'_>, name: &str) -> Result<Str<'a>, Malformed> {
        let value = self.must(at, name)?;
        at.member(name).string(value)
    }

    /// A member that is a number.
    pub(crate) fn number(&mut self, at: &At<'_>, name: &str) -> Result<Option<Number<'a>>, Malformed> {
        self.take(name).map(|value| at.member(name).number(value)).transpose()
    }

    /// A member that is a whole number.
    pub(crate) fn whole(&mut self, at: &At<'_>, name: &str) -> Result<Option<u64>, Malformed> {
        self.take(name).map(|value| at.member(name).whole(value)).transpose()
    }

    /// A member that is a truth value.
    pub(crate) fn truth(&mut self, at: &At<'_>, name: &str) -> Result<Option<bool>, Malformed> {
        self.take(name).map(|value| at.member(name).truth(value)).transpose()
    }

    /// A member that is an object.
    pub(crate) fn object(&mut self, at: &At<'_>, name: &str) -> Result<Option<Fields<'a>>, Malformed> {
        self.take(name).map(|value| at.member(name).object(value)).transpose()
    }

    /// The elements of a member that is an array; none if it is not there.
    pub(crate) fn array(&mut self, at: &At<'_>, name: &str) -> Result<Vec<Value<'a>>, Malformed> {
        self.take(name).map_or(Ok(Vec::new()), |value| at.member(name).array(value))
    }

    /// What `read` makes of each element of a member that is an array; nothing if it is not there.
    pub(crate) fn each<T>(
        &mut self,
        at: &At<'_>,
        name: &str,
        read: impl FnMut(Value<'a>, &At<'_>) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        let values = self.array(at, name)?;
        at.member(name).each(values, read)
    }

    /// [`Fields::each`], of a member that must be there.
    pub(crate) fn must_each<T>(
        &mut self,
        at: &At<'_>,
        name: &str,
        read: impl FnMut(Value<'a>, &At<'_>) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        let values = self.must(at, name)?;
        let at = at.member(name);
        at.each(at.array(values)?, read)
    }

    /// What was not taken and says something.
    pub(crate) fn rest(self) -> Object<'a> {
        self.0.into_iter().filter(|(_, value)| !value.is_null()).collect()
    }
}

/// Anthropic's mark, which many clients of compatible providers send.
pub(crate) fn read_cache_mark(fields: &mut Fields<'_>, at: &At<'_>) -> Result<Option<CacheMark>, Malformed> {
    let mark_at = at.member("cache_control");
    let Some(mut mark) = fields.object(at, "cache_control")? else { return Ok(None) };
    let ttl = mark.string(&mark_at, "ttl")?;
    Ok(Some(if ttl.is_some_and(|ttl| ttl.is("1h")) { CacheMark::Hour } else { CacheMark::Usual }))
}

//! What an external guard is asked and what it answers: documents only; the call itself is made elsewhere.
//!
//! Asked: `{"direction":"input","request_id":"..","tenant":"..","app":"..","model":"..","texts":["..",".."]}`.
//! Answered: `{"action":"pass"}`, `{"action":"block","reason":".."}` or `{"action":"mask","texts":[null,".."]}`, where
//! `null` leaves a text as it is. `reason` may stand beside any action.

use penstock_ai::json::{self, Object, Value};

use crate::check::{Place, Texts};
use crate::compiled::Direction;

/// Texts of one document that are told to an external guard.
pub const TEXTS_MAX: usize = 10_000;
/// Bytes of an answer beyond twice those of the texts that were told.
pub const ANSWER_BYTES_SPARE: usize = 64 << 10;
/// Bytes of a reason.
pub const REASON_BYTES_MAX: usize = 500;

/// What an external guard is told of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked<'a> {
    /// Which way the texts go.
    pub direction: Direction,
    /// The id of the call.
    pub request_id: &'a str,
    /// The tenant.
    pub tenant: &'a str,
    /// The app.
    pub app: &'a str,
    /// The model that is asked for.
    pub model: &'a str,
    /// The texts, in the order of the document.
    pub texts: &'a [String],
}

impl Asked<'_> {
    /// The document.
    pub fn to_json(&self) -> Vec<u8> {
        let mut document = Object::default();
        document.push("direction", self.direction.name());
        document.push("request_id", self.request_id);
        document.push("tenant", self.tenant);
        document.push("app", self.app);
        document.push("model", self.model);
        let texts: Vec<Value<'_>> = self.texts.iter().map(|text| text.as_str().into()).collect();
        document.push("texts", texts);
        let mut out = Vec::new();
        document.write(&mut out);
        out
    }

    /// Bytes that an answer may have.
    pub fn answer_bytes_max(&self) -> usize {
        2 * self.texts.iter().map(String::len).sum::<usize>() + ANSWER_BYTES_SPARE
    }
}

/// What an external guard decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// What is done.
    pub action: AnsweredAction,
    /// Why, for records; it is not shown to the caller.
    pub reason: Option<String>,
}

/// What an external guard wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnsweredAction {
    /// The texts go on as they are.
    Pass,
    /// The call is refused.
    Block,
    /// Texts in the place of those that were told; none where one stays.
    Mask(Vec<Option<String>>),
}

/// Why an answer of an external guard is none. The call goes on or is refused as its rule says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// It is longer than it may be.
    #[error("the guard's answer has {0} bytes; at most {1} are read")]
    Long(usize, usize),
    /// It is no JSON.
    #[error("the guard's answer is not JSON: {0}")]
    Json(#[from] json::Error),
    /// It is no object.
    #[error("the guard's answer is not an object")]
    NoObject,
    /// A name stands twice.
    #[error("`{0}` stands twice in the guard's answer")]
    Repeated(String),
    /// A member that is not known.
    #[error("`{0}` is not known in a guard's answer")]
    Unknown(String),
    /// It is none of the three.
    #[error("`action` must be pass, block or mask")]
    Action,
    /// No texts where some must be, or texts where none may be.
    #[error("`texts` must stand with action mask, and with no other")]
    Texts,
    /// There must be as many as were told.
    #[error("`texts` has {0} elements; {1} texts were told")]
    Count(usize, usize),
    /// An element is neither a string nor `null`.
    #[error("texts[{0}] must be a string or null")]
    Text(usize),
    /// It is no string, too long or has control characters.
    #[error("`reason` must be a string of at most {REASON_BYTES_MAX} bytes without control characters")]
    Reason,
}

/// Reads an answer to what was asked.
///
/// # Errors
/// It is none, and why.
pub fn read_answer(asked: &Asked<'_>, bytes: &[u8]) -> Result<Answered, AnswerError> {
    let most = asked.answer_bytes_max();
    if bytes.len() > most {
        return Err(AnswerError::Long(bytes.len(), most));
    }
    let Value::Object(mut members) = Value::parse(bytes)? else { return Err(AnswerError::NoObject) };
    if let Some(name) = members.repeated() {
        return Err(AnswerError::Repeated(name.text().into_owned()));
    }
    let action = members.take("action");
    let texts = members.take("texts");
    let reason = members.take("reason").filter(|reason| !reason.is_null()).map(read_reason).transpose()?;
    if let Some((name, _)) = members.iter().next() {
        return Err(AnswerError::Unknown(name.text().into_owned()));
    }
    let action = match (action, texts) {
        (Some(action), None) if action.is("pass") => AnsweredAction::Pass,
        (Some(action), None) if action.is("block") => AnsweredAction::Block,
        (Some(action), Some(texts)) if action.is("mask") => AnsweredAction::Mask(read_texts(asked, texts)?),
        (Some(action), _) if ["pass", "block", "mask"].iter().any(|known| action.is(known)) => {
            return Err(AnswerError::Texts);
        }
        _ => return Err(AnswerError::Action),
    };
    Ok(Answered { action, reason })
}

fn read_texts(asked: &Asked<'_>, texts: Value<'_>) -> Result<Vec<Option<String>>, AnswerError> {
    let Value::Array(texts) = texts else { return Err(AnswerError::Texts) };
    if texts.len() != asked.texts.len() {
        return Err(AnswerError::Count(texts.len(), asked.texts.len()));
    }
    let read = |(n, text): (usize, Value<'_>)| match text {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.into_text().into_owned())),
        _ => Err(AnswerError::Text(n)),
    };
    texts.into_iter().enumerate().map(read).collect()
}

fn read_reason(reason: Value<'_>) -> Result<String, AnswerError> {
    match reason.as_text() {
        Some(text) if text.len() <= REASON_BYTES_MAX && !text.chars().any(char::is_control) => {
            Ok(text.into_owned())
        }
        _ => Err(AnswerError::Reason),
    }
}

/// Collects the texts of a document, to be told.
#[derive(Debug, Default)]
pub struct Collect {
    /// The texts, in order; [`TEXTS_MAX`] of them.
    pub texts: Vec<String>,
    /// There were more: the guard cannot be asked.
    pub is_cut: bool,
}

impl Texts for Collect {
    fn text(&mut self, text: &str, _: Place) -> Option<String> {
        if self.texts.len() == TEXTS_MAX {
            self.is_cut = true;
        } else {
            self.texts.push(text.to_owned());
        }
        None
    }
}

/// Puts the texts that were answered in the places of those that [`Collect`] gave, in the same walk of the same document.
#[derive(Debug)]
pub struct Replace {
    texts: std::vec::IntoIter<Option<String>>,
    /// Texts that were to be changed and must not be, as they are signed.
    pub unmasked: u32,
}

impl Replace {
    /// Of the texts of [`AnsweredAction::Mask`].
    pub fn new(texts: Vec<Option<String>>) -> Self {
        Self { texts: texts.into_iter(), unmasked: 0 }
    }
}

impl Texts for Replace {
    fn text(&mut self, _: &str, place: Place) -> Option<String> {
        let text = self.texts.next().flatten();
        if text.is_some() && !place.is_editable {
            self.unmasked += 1;
        }
        text
    }
}

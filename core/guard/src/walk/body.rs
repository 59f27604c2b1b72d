//! The texts of a body that stays in its dialect: only strings that are texts are changed, all other bytes stay.

use std::ops::Range;

use penstock_ai::dialect::Dialect;
use penstock_ai::json::{self, Edits, Object, Str, Value, write_escaped};

use super::form::Noting;
use super::shape::{As, SEALS, Shape, answer, request};
use crate::check::{Place, Texts};

/// Which document a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// A request.
    Request,
    /// A whole answer.
    Answer,
}

/// Why the texts of a body cannot be told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It is no JSON.
    #[error("the body is not JSON: {0}")]
    Json(#[from] json::Error),
    /// A name stands twice in an object that has texts: of two readers one might read the text that was not looked at.
    #[error("`{0}` stands twice")]
    Repeated(String),
}

/// Looks at all texts of a body and notes what is put in their places; a string that is changed is written anew, with its
/// quotes. In answers the probabilities of tokens, which spell the text once more, become `null` where a text was changed.
///
/// One walk a body: two would change a text twice in one place ([`crate::Then`] makes one of two).
///
/// # Errors
/// It is no JSON, or a name stands twice where texts are. `edits` may then hold a part of the changes.
pub fn edit_body(
    dialect: Dialect,
    body: Body,
    bytes: &[u8],
    texts: &mut dyn Texts,
    edits: &mut Edits,
) -> Result<(), BodyError> {
    let document = Value::parse(bytes)?;
    let shape = match body {
        Body::Request => request(dialect),
        Body::Answer => answer(dialect),
    };
    let mut noting = Noting { texts, has_changed: false };
    let mut walk = Walk { bytes, texts: &mut noting, edits, spelled: Vec::new() };
    walk.value(&document, shape, Place::ORDINARY)?;
    let spelled = walk.spelled;
    if noting.has_changed {
        for name in spelled {
            if let Some(range) = value_behind(bytes, name) {
                edits.replace(range, b"null");
            }
        }
    }
    Ok(())
}

/// Looks at the strings of a JSON text within a text, such as the arguments of a call, or at the text itself where it is
/// none; the changed text.
pub(super) fn json_text(text: &str, place: Place, texts: &mut dyn Texts) -> Option<String> {
    let Ok(document @ (Value::Object(_) | Value::Array(_))) = Value::parse(text.as_bytes()) else {
        return texts.text(text, place).filter(|_| place.is_editable);
    };
    let mut edits = Edits::default();
    let mut noting = Noting { texts, has_changed: false };
    let mut walk =
        Walk { bytes: text.as_bytes(), texts: &mut noting, edits: &mut edits, spelled: Vec::new() };
    walk.strings(&document, place);
    let has_changed = noting.has_changed;
    let changed = || edits.pieces(text.as_bytes()).flatten().copied().collect::<Vec<u8>>();
    has_changed.then(|| String::from_utf8_lossy(&changed()).into_owned())
}

struct Walk<'b, 't, 'n> {
    bytes: &'b [u8],
    texts: &'t mut Noting<'n>,
    edits: &'t mut Edits,
    /// Where names end of members that spell a text once more.
    spelled: Vec<usize>,
}

impl Walk<'_, '_, '_> {
    fn value(&mut self, value: &Value<'_>, shape: &Shape, place: Place) -> Result<(), BodyError> {
        match value {
            Value::String(text) => match shape.string {
                As::Nothing => {}
                As::Text => self.text(text, place),
                As::Json => self.json(text, place),
            },
            Value::Array(values) => {
                for value in values {
                    self.value(value, shape, place)?;
                }
            }
            Value::Object(object) if shape.is_free => {
                object.iter().for_each(|(_, value)| self.strings(value, place));
            }
            Value::Object(object) => self.object(object, shape, place)?,
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
        Ok(())
    }

    fn object(&mut self, object: &Object<'_>, shape: &Shape, place: Place) -> Result<(), BodyError> {
        if shape.members.is_empty() && shape.others.is_none() {
            return Ok(());
        }
        if let Some(name) = object.repeated() {
            return Err(BodyError::Repeated(name.text().into_owned()));
        }
        let place = within(object, place);
        for (name, value) in object.iter() {
            if shape.spelled.iter().any(|spelled| name.is(spelled)) {
                self.spelled.extend(self.range(name).map(|name| name.end));
                continue;
            }
            let member = shape.members.iter().find(|member| name.is(member.name));
            match member {
                Some(member) => {
                    let holds = member
                        .when
                        .is_none_or(|(name, is)| object.get(name).is_some_and(|value| value.is(is)));
                    if holds {
                        let is_instruction = place.is_instruction || member.is_instruction;
                        self.value(value, member.shape, Place { is_instruction, ..place })?;
                    }
                }
                None => {
                    if let Some(others) = shape.others {
                        self.value(value, others, place)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// All strings within a value, names of members left out.
    fn strings(&mut self, value: &Value<'_>, place: Place) {
        match value {
            Value::String(text) => self.text(text, place),
            Value::Array(values) => values.iter().for_each(|value| self.strings(value, place)),
            Value::Object(object) => object.iter().for_each(|(_, value)| self.strings(value, place)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn text(&mut self, text: &Str<'_>, place: Place) {
        if !text.is_empty()
            && let Some(changed) = self.texts.text(&text.text(), place)
        {
            self.replace(text, &changed);
        }
    }

    fn json(&mut self, text: &Str<'_>, place: Place) {
        if let Some(changed) = json_text(&text.text(), place, self.texts) {
            self.replace(text, &changed);
        }
    }

    fn replace(&mut self, text: &Str<'_>, changed: &str) {
        if let Some(inside) = self.range(text) {
            let mut written = Vec::with_capacity(changed.len() + 2);
            write_escaped(&mut written, changed);
            self.edits.replace(inside.start - 1..inside.end + 1, &written);
        }
    }

    /// Where what stands between the quotes of a string that was read from the body stands in it.
    fn range(&self, text: &Str<'_>) -> Option<Range<usize>> {
        let (Str::Plain(raw) | Str::Escaped(raw)) = text else { return None };
        let start = raw.as_ptr().addr().checked_sub(self.bytes.as_ptr().addr())?;
        let range = start..start + raw.len();
        (range.start > 0 && range.end < self.bytes.len()).then_some(range)
    }
}

/// Where the value of a member stands whose name ends at `name`, before its quote.
fn value_behind(bytes: &[u8], name: usize) -> Option<Range<usize>> {
    let colon = name + bytes[name..].iter().position(|byte| *byte == b':')?;
    let value = json::Reader::new(&bytes[colon + 1..]).ok()?.skip().ok()?;
    Some(colon + 1 + value.start..colon + 1 + value.end)
}

/// What is known of the texts within an object: whether it is sealed, and whose it is.
fn within(object: &Object<'_>, place: Place) -> Place {
    let is_sealed = SEALS.iter().any(|seal| {
        object.get(seal).is_some_and(|value| matches!(value, Value::String(text) if !text.is_empty()))
    });
    let is_instruction = object.get("role").is_some_and(|role| role.is("system") || role.is("developer"));
    Place {
        is_editable: place.is_editable && !is_sealed,
        is_instruction: place.is_instruction || is_instruction,
    }
}

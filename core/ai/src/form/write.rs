//! What writers of dialects share.

use super::{Feature, Losses};
use crate::dialect::Dialect;
use crate::json::{Object, Value};

/// Writes the members that a reader had no place for: in its own dialect as they came; elsewhere they are lost, and told.
pub(crate) fn write_rest<'r>(
    body: &mut Object<'r>,
    rest: &'r Object<'_>,
    from: Dialect,
    to: Dialect,
    losses: &mut Losses,
) {
    for (name, value) in rest.iter() {
        if from == to {
            body.push(name.clone(), value.clone());
        } else {
            losses.tell(Feature::Unknown);
        }
    }
}

/// Parts as content: one plain text as a string, as every provider takes it.
pub(crate) fn alone(mut parts: Vec<Value<'_>>) -> Value<'_> {
    match parts.as_mut_slice() {
        [Value::Object(only)] if only.len() == 2 && only.get("type").is_some_and(|kind| kind.is("text")) => {
            only.take("text").unwrap_or(Value::Null)
        }
        _ => parts.into(),
    }
}

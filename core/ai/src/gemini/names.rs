//! Names of members. Google's JSON takes each in two writings, `inlineData` and `inline_data`
//! (<https://protobuf.dev/programming-guides/json/>), and writes the first.

use crate::form::Malformed;
use crate::form::read::{At, Fields};
use crate::json::{Object, Str, Value};

/// The names of two words or more that are read. Others stay as they came.
const NAMES: &[&str] = &[
    "allowedFunctionNames",
    "additionalProperties",
    "anyOf",
    "candidateCount",
    "displayName",
    "fileData",
    "fileUri",
    "frequencyPenalty",
    "functionCall",
    "functionCallingConfig",
    "functionDeclarations",
    "functionResponse",
    "generationConfig",
    "includeThoughts",
    "inlineData",
    "maxItems",
    "maxLength",
    "maxOutputTokens",
    "maxProperties",
    "mimeType",
    "minItems",
    "minLength",
    "minProperties",
    "parametersJsonSchema",
    "prefixItems",
    "presencePenalty",
    "propertyOrdering",
    "responseJsonSchema",
    "responseLogprobs",
    "responseMimeType",
    "responseSchema",
    "serviceTier",
    "stopSequences",
    "systemInstruction",
    "thinkingBudget",
    "thinkingConfig",
    "thinkingLevel",
    "thoughtSignature",
    "toolConfig",
    "topK",
    "topP",
];

/// The members of an object whose names are the dialect's own, each in its first writing.
pub(super) fn fields<'a>(at: &At<'_>, value: Value<'a>) -> Result<Fields<'a>, Malformed> {
    at.object(match value {
        Value::Object(object) => Value::Object(renamed(object)),
        other => other,
    })
}

/// The members of a member that is such an object.
pub(super) fn inner<'a>(
    of: &mut Fields<'a>,
    at: &At<'_>,
    name: &str,
) -> Result<Option<Fields<'a>>, Malformed> {
    of.take(name).map(|value| fields(&at.member(name), value)).transpose()
}

/// The same object, the names that are known in their first writing.
pub(super) fn renamed(object: Object<'_>) -> Object<'_> {
    if object.iter().all(|(name, _)| first_writing(name).is_none()) {
        return object;
    }
    let members = object.into_iter();
    members.map(|(name, value)| (first_writing(&name).map_or(name, Str::Plain), value)).collect()
}

/// The first writing of a name that is known and stands in the second.
fn first_writing(name: &Str<'_>) -> Option<&'static str> {
    let text = name.text();
    if !text.contains('_') {
        return None;
    }
    let second = |known: &&&str| {
        let mut rest = text.as_ref();
        for byte in known.bytes() {
            let lower = byte.to_ascii_lowercase() as char;
            let after = if byte.is_ascii_uppercase() { rest.strip_prefix('_') } else { Some(rest) };
            match after.and_then(|after| after.strip_prefix(lower)) {
                Some(after) => rest = after,
                None => return false,
            }
        }
        rest.is_empty()
    };
    NAMES.iter().find(second).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_writings_of_a_name_are_known() {
        for (name, first) in [
            ("inline_data", Some("inlineData")),
            ("top_p", Some("topP")),
            ("parameters_json_schema", Some("parametersJsonSchema")),
            ("inlineData", None),
            ("inline_data_", None),
            ("inlinedata", None),
            ("not_known", None),
            ("_", None),
        ] {
            assert_eq!(first_writing(&name.into()), first, "{name}");
        }
        let both = Value::parse(br#"{"topP":1,"top_p":2}"#).unwrap();
        assert!(matches!(fields(&At::Root, both), Err(Malformed::Repeated { .. })));
    }
}

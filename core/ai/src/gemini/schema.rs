//! Schemas. Google takes a JSON Schema under names of their own (`parametersJsonSchema`, `responseJsonSchema`), of which it
//! knows these keywords (<https://ai.google.dev/api/generate-content#FIELDS.response_json_schema>). Its older `Schema` is
//! that of OpenAPI 3.0, with types in capitals (<https://ai.google.dev/api/caching#Schema>).

use super::names::renamed;
use crate::json::{Object, Str, Value};

/// Keywords whose value stays as it is.
const KEPT: &[&str] = &[
    "$anchor",
    "$id",
    "default",
    "description",
    "enum",
    "format",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "nullable",
    "pattern",
    "propertyOrdering",
    "required",
    "title",
    "type",
];

/// Keywords that say nothing of the value.
const SILENT: &[&str] = &["$comment", "$schema", "deprecated", "readOnly", "writeOnly"];

/// A JSON Schema of keywords that Google knows, and whether others were lost.
///
/// `const` becomes an `enum` of one, `definitions` are `$defs`, an `allOf` of one is that one, and a `$ref` with other
/// keywords beside it, which must stand alone, becomes an `anyOf` of one.
pub(super) fn clean<'a>(schema: &Value<'a>) -> (Value<'a>, bool) {
    let mut is_lost = false;
    let schema = node(schema, &mut is_lost);
    (schema, is_lost)
}

/// Whether it lets a function take nothing: then it is best left out.
pub(super) fn takes_nothing(schema: &Value<'_>) -> bool {
    let Value::Object(schema) = schema else { return false };
    schema.iter().all(|(name, value)| match name.text().as_ref() {
        "type" => value.is("object"),
        "properties" => value.as_object().is_some_and(Object::is_empty),
        "required" => value.as_array().is_some_and(<[Value<'_>]>::is_empty),
        "additionalProperties" => value.as_bool() == Some(false),
        "title" | "description" => true,
        name => SILENT.contains(&name),
    })
}

fn node<'a>(schema: &Value<'a>, is_lost: &mut bool) -> Value<'a> {
    let Value::Object(schema) = schema else {
        // `true` allows anything; nothing else that is no object is a schema.
        *is_lost |= schema.as_bool() != Some(true);
        return Object::default().into();
    };
    let mut out = Object::default();
    let mut reference = None;
    for (name, value) in schema.iter() {
        let text = name.text();
        match text.as_ref() {
            "properties" | "$defs" | "definitions" => {
                let name = if text == "definitions" { "$defs".into() } else { name.clone() };
                put(&mut out, name, each_member(value, is_lost));
            }
            "additionalProperties" if value.as_bool().is_some() => put(&mut out, name.clone(), value.clone()),
            "items" if value.as_array().is_some() => {
                put(&mut out, "prefixItems".into(), each_element(value, is_lost));
            }
            "items" | "additionalProperties" => put(&mut out, name.clone(), node(value, is_lost)),
            "prefixItems" | "anyOf" | "oneOf" => put(&mut out, name.clone(), each_element(value, is_lost)),
            "allOf" => match value.as_array() {
                Some([only]) => {
                    if let Value::Object(only) = node(only, is_lost) {
                        only.into_iter().for_each(|(name, value)| put(&mut out, name, value));
                    }
                }
                _ => *is_lost = true,
            },
            "const" => put(&mut out, "enum".into(), vec![value.clone()].into()),
            "$ref" => reference = Some(value),
            keyword if KEPT.contains(&keyword) => put(&mut out, name.clone(), value.clone()),
            keyword => *is_lost |= !SILENT.contains(&keyword),
        }
    }
    let Some(reference) = reference else { return out.into() };
    let reference = match reference {
        Value::String(path) => match path.text().strip_prefix("#/definitions/") {
            Some(rest) => Value::from(format!("#/$defs/{rest}")),
            None => path.clone().into(),
        },
        other => other.clone(),
    };
    if out.iter().all(|(name, _)| name.text().starts_with('$')) {
        out.push("$ref", reference);
    } else {
        let alone: Object<'_> = [("$ref", reference)].into_iter().collect();
        put(&mut out, "anyOf".into(), vec![alone.into()].into());
    }
    out.into()
}

/// Puts a keyword where there is none of its name.
fn put<'a>(out: &mut Object<'a>, name: Str<'a>, value: Value<'a>) {
    if out.get(&name.text()).is_none() {
        out.push(name, value);
    }
}

fn each_member<'a>(schemas: &Value<'a>, is_lost: &mut bool) -> Value<'a> {
    let Value::Object(schemas) = schemas else { return Object::default().into() };
    let members = schemas.iter().map(|(name, schema)| (name.clone(), node(schema, is_lost)));
    members.collect::<Object<'_>>().into()
}

fn each_element<'a>(schemas: &Value<'a>, is_lost: &mut bool) -> Value<'a> {
    let schemas = schemas.as_array().unwrap_or_default();
    schemas.iter().map(|schema| node(schema, is_lost)).collect::<Vec<_>>().into()
}

/// A `Schema` of the dialect as a JSON Schema.
pub(super) fn to_json_schema(schema: Value<'_>) -> Value<'_> {
    let Value::Object(schema) = schema else { return schema };
    let mut out = Object::default();
    let mut is_nullable = false;
    for (name, value) in renamed(schema) {
        let text = name.text();
        match text.as_ref() {
            "type" => out.push("type", lower(value)),
            "nullable" => is_nullable = value.as_bool() == Some(true),
            "format" if value.is("enum") => {} // says what `enum` says
            "defs" | "$defs" => out.push("$defs", each_schema(value)),
            "ref" | "$ref" => out.push(
                "$ref",
                match value {
                    Value::String(path) if path.text().starts_with("#/defs/") => {
                        Value::from(path.text().replacen("#/defs/", "#/$defs/", 1))
                    }
                    other => other,
                },
            ),
            "properties" => out.push(name, each_schema(value)),
            "items" | "additionalProperties" => out.push(name, to_json_schema(value)),
            "anyOf" | "prefixItems" => out.push(
                name,
                match value {
                    Value::Array(schemas) => {
                        schemas.into_iter().map(to_json_schema).collect::<Vec<_>>().into()
                    }
                    other => other,
                },
            ),
            // Google's JSON writes whole numbers of 64 bits as strings.
            "minItems" | "maxItems" | "minLength" | "maxLength" | "minProperties" | "maxProperties" => {
                out.push(name, number(value));
            }
            _ => out.push(name, value),
        }
    }
    if is_nullable {
        match out.get_mut("type") {
            Some(kind @ Value::String(_)) => {
                let kinds = vec![std::mem::replace(kind, Value::Null), Value::from("null")];
                *kind = kinds.into();
            }
            _ => out.push("nullable", true),
        }
    }
    out.into()
}

fn each_schema(schemas: Value<'_>) -> Value<'_> {
    let Value::Object(schemas) = schemas else { return schemas };
    let members = schemas.into_iter().map(|(name, schema)| (name, to_json_schema(schema)));
    members.collect::<Object<'_>>().into()
}

fn lower(kind: Value<'_>) -> Value<'_> {
    match kind {
        Value::String(kind) => Value::from(kind.text().to_ascii_lowercase()),
        Value::Array(kinds) => kinds.into_iter().map(lower).collect::<Vec<_>>().into(),
        other => other,
    }
}

fn number(value: Value<'_>) -> Value<'_> {
    match value.as_text().and_then(|text| text.parse::<u64>().ok()) {
        Some(number) => number.into(),
        None => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cleaned(schema: &str) -> (String, bool) {
        let (schema, is_lost) = clean(&Value::parse(schema.as_bytes()).unwrap());
        (schema.to_json(), is_lost)
    }

    #[test]
    fn trap_32_keywords_that_google_does_not_know_are_said_otherwise_or_left_out() {
        for (schema, written, is_lost) in [
            (
                r#"{"$schema":"x","type":"object","properties":{"a":{"type":"string","examples":["x"]}},"additionalProperties":false}"#,
                r#"{"type":"object","properties":{"a":{"type":"string"}},"additionalProperties":false}"#,
                true,
            ),
            (
                r##"{"definitions":{"P":{"const":"a"}},"properties":{"p":{"$ref":"#/definitions/P","description":"d"},"q":{"$ref":"#/definitions/P"}}}"##,
                r##"{"$defs":{"P":{"enum":["a"]}},"properties":{"p":{"description":"d","anyOf":[{"$ref":"#/$defs/P"}]},"q":{"$ref":"#/$defs/P"}}}"##,
                false,
            ),
            // A property may have a keyword's name, and data may look like a schema.
            (
                r##"{"properties":{"$ref":{"type":"string"},"examples":true,"not":{"enum":[{"$ref":"#/x"}]}}}"##,
                r##"{"properties":{"$ref":{"type":"string"},"examples":{},"not":{"enum":[{"$ref":"#/x"}]}}}"##,
                false,
            ),
            (r#"{"allOf":[{"type":"string"}],"$comment":"c"}"#, r#"{"type":"string"}"#, false),
            (r#"{"allOf":[{"type":"string"},{"minLength":1}]}"#, "{}", true),
            (r#"{"type":"integer","exclusiveMinimum":0}"#, r#"{"type":"integer"}"#, true),
            (r#"{"items":[{"type":"string"}]}"#, r#"{"prefixItems":[{"type":"string"}]}"#, false),
            (r#"{"items":{"not":{}},"oneOf":[{"const":1}]}"#, r#"{"items":{},"oneOf":[{"enum":[1]}]}"#, true),
            ("false", "{}", true),
        ] {
            assert_eq!(cleaned(schema), (written.to_owned(), is_lost), "{schema}");
            assert_eq!(cleaned(written), (written.to_owned(), false), "clean is clean");
        }
    }

    #[test]
    fn schemas_of_openapi_become_json_schemas() {
        let schema = r##"{"type":"OBJECT","properties":{"type":{"type":"STRING","nullable":true,"format":"enum","enum":["A"]},
            "n":{"type":"ARRAY","min_items":"3","items":{"ref":"#/defs/X"}},"u":{"any_of":[{"type":"INTEGER"}],"nullable":true}},
            "defs":{"X":{"type":"NUMBER"}}}"##;
        let expected = concat!(
            r##"{"type":"object","properties":{"type":{"type":["string","null"],"enum":["A"]},"##,
            r##""n":{"type":"array","minItems":3,"items":{"$ref":"#/$defs/X"}},"u":{"anyOf":[{"type":"integer"}],"nullable":true}},"##,
            r##""$defs":{"X":{"type":"number"}}}"##
        );
        assert_eq!(to_json_schema(Value::parse(schema.as_bytes()).unwrap()).to_json(), expected);
    }

    #[test]
    fn a_schema_without_properties_takes_nothing() {
        for (schema, expected) in [
            ("{}", true),
            (r#"{"type":"object","properties":{},"additionalProperties":false,"$schema":"s"}"#, true),
            (r#"{"type":"object","additionalProperties":true}"#, false),
            (r#"{"type":"object","properties":{"a":{}}}"#, false),
            (r#"{"anyOf":[]}"#, false),
            ("true", false),
        ] {
            assert_eq!(takes_nothing(&Value::parse(schema.as_bytes()).unwrap()), expected, "{schema}");
        }
    }
}

//! JSON Schema of the grammar, for editors: made from the same rows that reading is driven by.

use serde_json::{Map, Value, json};

use crate::grammar::File;
use crate::read::{Need, Read, Row, Shape, Table};

/// The schema (draft 2020-12), pretty-printed.
pub fn schema() -> String {
    let shape = File::shape();
    let mut tables = Vec::new();
    shape.tables(&mut tables);
    let definitions: Map<String, Value> =
        tables.iter().map(|table| (table.name.to_owned(), object(table))).collect();
    let whole = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Penstock configuration",
        "$ref": "#/$defs/File",
        "$defs": definitions,
    });
    format!("{whole:#}\n")
}

fn object(table: &Table) -> Value {
    let properties: Map<String, Value> =
        table.rows.iter().map(|row| (row.key.to_owned(), property(row))).collect();
    let required: Vec<&str> =
        table.rows.iter().filter(|row| row.need == Need::Required).map(|row| row.key).collect();
    json!({
        "type": "object",
        "description": clean(&table.doc),
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

fn property(row: &Row) -> Value {
    let mut value = of(&row.shape);
    if let Value::Object(map) = &mut value {
        let mut doc = clean(&row.doc);
        match row.need {
            Need::Required => {}
            Need::Optional(absent) => doc.push_str(&format!(" Left out: {absent}.")),
            Need::Default(default) => doc.push_str(&format!(" Default: {default}")),
        }
        map.insert("description".to_owned(), Value::String(doc));
    }
    value
}

/// A scalar may always come from the environment, so its form is only asked of text without `${`.
fn of(shape: &Shape) -> Value {
    match shape {
        Shape::Text { pattern: "", .. } => json!({ "type": ["string", "number", "boolean"] }),
        Shape::Text { pattern, .. } => {
            json!({ "type": ["string", "number"], "anyOf": [{ "pattern": pattern }, from_environment()] })
        }
        Shape::Integer { min, max } => json!({
            "anyOf": [{ "type": "integer", "minimum": min, "maximum": max }, from_environment()]
        }),
        Shape::Boolean => json!({ "anyOf": [{ "type": "boolean" }, from_environment()] }),
        Shape::Choice(words) => {
            let words: Vec<Value> = words
                .iter()
                .map(|(word, meaning)| json!({ "const": word, "description": clean(meaning) }))
                .collect();
            let mut any = words;
            any.push(from_environment());
            json!({ "anyOf": any })
        }
        Shape::List(item) => json!({ "type": "array", "items": of(item) }),
        Shape::Pairs { value, .. } => json!({ "type": "object", "additionalProperties": of(value) }),
        Shape::Object(table) => json!({ "$ref": format!("#/$defs/{}", table.name) }),
        Shape::Either(shapes) => json!({ "anyOf": shapes.iter().map(of).collect::<Vec<_>>() }),
    }
}

fn from_environment() -> Value {
    json!({ "type": "string", "pattern": r"\$\{" })
}

/// Doc comments keep the blank after `///` and their line ends.
pub(crate) fn clean(doc: &str) -> String {
    doc.lines().map(str::trim).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::Sources;
    use crate::problem::Problems;
    use crate::read::Cx;
    use crate::read::object::parse_default;

    fn tables() -> Vec<Table> {
        let mut tables = Vec::new();
        File::shape().tables(&mut tables);
        tables
    }

    #[test]
    fn every_table_is_defined_and_referred_to() {
        let schema: Value = serde_json::from_str(&schema()).expect("JSON");
        let definitions = schema["$defs"].as_object().expect("object");
        assert_eq!(definitions.len(), tables().len());
        assert!(definitions.len() > 40, "{}", definitions.len());
        let text = schema.to_string();
        for name in definitions.keys() {
            assert!(text.contains(&format!("#/$defs/{name}\"")), "{name} is not used");
        }
    }

    #[test]
    fn every_default_is_yaml() {
        for table in tables() {
            for row in &table.rows {
                if let Need::Default(default) = row.need {
                    assert!(parse_default(default).is_some(), "{}.{}: {default}", table.name, row.key);
                }
                assert!(!clean(&row.doc).is_empty(), "{}.{} has no doc", table.name, row.key);
            }
        }
    }

    #[test]
    fn an_empty_file_reads_whole_from_defaults() {
        let sources = Sources::default();
        let mut cx = Cx { sources: &sources, problems: Problems::default(), wounded: Default::default() };
        let node = parse_default("{}").expect("YAML");
        let file = File::read(&node, &mut cx).expect("defaults");
        assert!(cx.problems.is_empty());
        assert_eq!(file.listeners.value.len(), 1);
    }
}

//! What Chat and Responses both have beyond functions, in the writing of either: functions that take free text, and a
//! choice of the tools.

use crate::form::Feature;
use crate::json::{Object, Value};

fn is(value: &Value<'_>, kind: &str) -> bool {
    value.get("type").is_some_and(|own| own.is(kind))
}

/// The feature that is lost with a tool that only its own dialect knows.
pub(crate) fn lost_tool(tool: &Value<'_>) -> Feature {
    if is(tool, "custom") { Feature::CustomTools } else { Feature::ServerTools }
}

/// The feature that is lost with a choice that only its own dialect knows.
pub(crate) fn lost_choice(choice: &Value<'_>) -> Feature {
    if is(choice, "allowed_tools") { Feature::AllowedTools } else { Feature::ToolChoice }
}

/// The members of an object but its type and the one of that name, whose own members take its place.
fn opened<'r>(value: &Value<'r>, kind: &'static str, inner: &str) -> Option<Object<'r>> {
    let mut written = Object::default();
    written.push("type", kind);
    for (name, value) in value.get(inner)?.as_object()?.iter() {
        written.push(name.clone(), value.clone());
    }
    Some(written)
}

/// The members of an object but its type, within one of that name.
fn wrapped<'r>(value: &Value<'r>, kind: &'static str, inner: &'static str) -> Option<Object<'r>> {
    let members = value.as_object()?.iter().filter(|(name, _)| !name.is("type"));
    let within: Object<'r> = members.map(|(name, value)| (name.clone(), value.clone())).collect();
    let mut written = Object::default();
    written.push("type", kind);
    written.push(inner, within);
    Some(written)
}

/// Changes a member in place.
fn change<'r>(object: &mut Object<'r>, name: &str, to: impl FnOnce(&Value<'r>) -> Option<Value<'r>>) {
    if let Some(value) = object.get_mut(name)
        && let Some(changed) = to(value)
    {
        *value = changed;
    }
}

/// A custom tool of Responses, for Chat.
pub(crate) fn custom_tool_to_chat<'r>(tool: &Value<'r>) -> Option<Value<'r>> {
    let mut written = wrapped(tool, "custom", "custom").filter(|_| is(tool, "custom"))?;
    if let Some(Value::Object(inner)) = written.get_mut("custom") {
        let grammar = |format: &Value<'r>| wrapped(format, "grammar", "grammar").map(Value::from);
        change(inner, "format", |format| is(format, "grammar").then(|| grammar(format)).flatten());
    }
    Some(written.into())
}

/// A custom tool of Chat, for Responses.
pub(crate) fn custom_tool_from_chat<'r>(tool: &Value<'r>) -> Option<Value<'r>> {
    let mut written = opened(tool, "custom", "custom").filter(|_| is(tool, "custom"))?;
    let grammar = |format: &Value<'r>| opened(format, "grammar", "grammar").map(Value::from);
    change(&mut written, "format", |format| is(format, "grammar").then(|| grammar(format)).flatten());
    Some(written.into())
}

/// A choice of Responses, for Chat.
pub(crate) fn choice_to_chat<'r>(choice: &Value<'r>) -> Option<Value<'r>> {
    if is(choice, "custom") {
        return wrapped(choice, "custom", "custom").map(Value::from);
    }
    let mut written =
        wrapped(choice, "allowed_tools", "allowed_tools").filter(|_| is(choice, "allowed_tools"))?;
    if let Some(Value::Object(inner)) = written.get_mut("allowed_tools") {
        let tool = |tool: &Value<'r>| match tool.get("type").and_then(Value::as_text).as_deref() {
            Some("function") => wrapped(tool, "function", "function").map(Value::from),
            Some("custom") => wrapped(tool, "custom", "custom").map(Value::from),
            _ => None,
        };
        change(inner, "tools", |tools| all(tools, tool));
    }
    Some(written.into())
}

/// A choice of Chat, for Responses.
pub(crate) fn choice_from_chat<'r>(choice: &Value<'r>) -> Option<Value<'r>> {
    if is(choice, "custom") {
        return opened(choice, "custom", "custom").map(Value::from);
    }
    let mut written =
        opened(choice, "allowed_tools", "allowed_tools").filter(|_| is(choice, "allowed_tools"))?;
    let tool = |tool: &Value<'r>| match tool.get("type").and_then(Value::as_text).as_deref() {
        Some("function") => opened(tool, "function", "function").map(Value::from),
        Some("custom") => opened(tool, "custom", "custom").map(Value::from),
        _ => None,
    };
    change(&mut written, "tools", |tools| all(tools, tool));
    Some(written.into())
}

/// What is made of each element, without those of which nothing can be made.
fn all<'r>(values: &Value<'r>, make: impl Fn(&Value<'r>) -> Option<Value<'r>>) -> Option<Value<'r>> {
    Some(values.as_array()?.iter().filter_map(make).collect::<Vec<_>>().into())
}

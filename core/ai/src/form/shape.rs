//! The shape of a conversation that strict dialects want: its speakers take turns, and what functions gave back stands
//! in the turn behind their calls, one result a call.

use super::{Arguments, Part, Role, ToolCall, ToolResult, Turn};
use crate::json::{Object, Value};

/// What one side says before the other does.
#[derive(Debug)]
pub(crate) struct Round<'r, 'a> {
    /// Whether it is the model that speaks.
    pub(crate) is_assistant: bool,
    /// The calls of the round before, in their order, and what they gave back.
    pub(crate) answered: Vec<Answered<'r, 'a>>,
    /// Results that belong to none of these calls.
    pub(crate) strays: Vec<&'r ToolResult<'a>>,
    /// All else, and who says it.
    pub(crate) said: Vec<(Role, &'r Part<'a>)>,
}

/// A call and its result; none where the conversation has none.
#[derive(Debug)]
pub(crate) struct Answered<'r, 'a> {
    pub(crate) call: &'r ToolCall<'a>,
    pub(crate) result: Option<&'r ToolResult<'a>>,
}

/// The rounds of a conversation. A last round that calls functions is followed by one that has no results for them.
pub(crate) fn rounds<'r, 'a>(turns: &'r [Turn<'a>]) -> Vec<Round<'r, 'a>> {
    let mut rounds: Vec<Round<'r, 'a>> = Vec::new();
    for turn in turns.iter().filter(|turn| !turn.parts.is_empty()) {
        let is_assistant = turn.role == Role::Assistant;
        if rounds.last().is_none_or(|last| last.is_assistant != is_assistant) {
            rounds.push(begin(rounds.last(), is_assistant));
        }
        let Some(round) = rounds.last_mut() else { continue };
        for part in &turn.parts {
            match part {
                Part::ToolResult(result) if !is_assistant => round.take(result),
                part => round.said.push((turn.role, part)),
            }
        }
    }
    if let Some(last) = rounds.last().filter(|last| last.is_assistant) {
        let next = begin(Some(last), false);
        if !next.answered.is_empty() {
            rounds.push(next);
        }
    }
    rounds
}

/// A round that follows `before`, in which nothing has been said yet.
fn begin<'r, 'a>(before: Option<&Round<'r, 'a>>, is_assistant: bool) -> Round<'r, 'a> {
    let said = before.filter(|before| before.is_assistant).map_or(&[][..], |before| &before.said);
    let calls = said.iter().filter_map(|(_, part)| match part {
        Part::ToolCall(call) => Some(Answered { call, result: None }),
        _ => None,
    });
    Round { is_assistant, answered: calls.collect(), strays: Vec::new(), said: Vec::new() }
}

impl<'r, 'a> Round<'r, 'a> {
    /// Gives a result to its call: to that of its id; to a call without one, in order, if their names agree.
    fn take(&mut self, result: &'r ToolResult<'a>) {
        let is_of = |call: &ToolCall<'_>| call.id.as_ref() == Some(&result.call);
        let may_be_of = |call: &ToolCall<'_>| {
            call.id.is_none() && result.name.as_ref().is_none_or(|name| *name == call.name)
        };
        let open = |one: &&mut Answered<'_, '_>| one.result.is_none();
        let by_id = self.answered.iter_mut().filter(open).find(|one| is_of(one.call));
        let found = match by_id {
            Some(found) => Some(found),
            None => self.answered.iter_mut().filter(open).find(|one| may_be_of(one.call)),
        };
        match found {
            Some(found) => found.result = Some(result),
            None => self.strays.push(result),
        }
    }
}

/// What a function is called with, as the object that some dialects want. What is none stands in one under `arguments`.
pub(crate) fn arguments_object<'r>(arguments: &'r Arguments<'_>) -> Value<'r> {
    let other = match arguments {
        Arguments::Value(value @ Value::Object(_)) => return value.clone(),
        Arguments::Value(value) => value.clone(),
        Arguments::Text(text) if text.text().trim().is_empty() => return Object::default().into(),
        Arguments::Text(text) => match Value::parse(text.text().as_bytes()) {
            Ok(object @ Value::Object(_)) => return object.into_owned(),
            _ => text.clone().into(),
        },
        Arguments::Free(text) => text.clone().into(),
    };
    [("arguments", other)].into_iter().collect::<Object<'_>>().into()
}

/// Puts members back where they stood: into objects that are there, beside what is there already.
pub(crate) fn merge<'r>(into: &mut Object<'r>, rest: &Object<'r>) {
    for (name, value) in rest.iter() {
        match (into.get_mut(&name.text()), value) {
            (Some(Value::Object(inner)), Value::Object(more)) => merge(inner, more),
            (Some(_), _) => {}
            (None, value) => into.push(name.clone(), value.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::form::ResultContent;

    fn call<'a>(id: Option<&'a str>, name: &'a str) -> Part<'a> {
        let arguments = Arguments::Text("{}".into());
        let id = id.map(Into::into);
        let rest = Object::default();
        Part::ToolCall(ToolCall { id, name: name.into(), arguments, signature: None, cache: None, rest })
    }

    fn result<'a>(call: &'a str, name: Option<&'a str>, text: &'a str) -> Part<'a> {
        let content = ResultContent::Value(text.into());
        let name = name.map(Into::into);
        Part::ToolResult(ToolResult { call: call.into(), name, content, is_error: None, cache: None })
    }

    /// What each call of the second round got, and the strays.
    fn matched(calls: Vec<Part<'_>>, results: Vec<Turn<'_>>) -> (Vec<Option<String>>, Vec<String>) {
        let mut turns = vec![Turn::new(Role::Assistant, calls)];
        turns.extend(results);
        let rounds = rounds(&turns);
        let text = |result: &ToolResult<'_>| match &result.content {
            ResultContent::Value(value) => value.as_text().unwrap_or_default().into_owned(),
            ResultContent::Parts(_) => String::new(),
        };
        let answered = rounds[1].answered.iter().map(|one| one.result.map(text)).collect();
        (answered, rounds[1].strays.iter().map(|stray| text(stray)).collect())
    }

    #[test]
    fn results_go_to_the_call_of_their_id_or_in_order_of_their_name() {
        let some = |text: &str| Some(text.to_owned());
        let calls = || vec![call(Some("a"), "f"), call(Some("b"), "f")];
        let tool = |parts| Turn::new(Role::Tool, parts);
        assert_eq!(
            matched(calls(), vec![tool(vec![result("b", None, "2")]), tool(vec![result("a", None, "1")])]),
            (vec![some("1"), some("2")], vec![])
        );
        // One is missing, one is of another call, one comes twice.
        let given = vec![result("b", None, "2"), result("c", None, "3"), result("b", None, "4")];
        assert_eq!(
            matched(calls(), vec![tool(given)]),
            (vec![None, some("2")], vec!["3".into(), "4".into()])
        );
        let nameless = vec![call(None, "f"), call(None, "g"), call(None, "f")];
        let given = vec![result("", Some("f"), "1"), result("", Some("f"), "3"), result("", Some("g"), "2")];
        assert_eq!(matched(nameless, vec![tool(given)]), (vec![some("1"), some("2"), some("3")], vec![]));
        assert_eq!(matched(calls(), vec![]), (vec![None, None], vec![]));
    }

    #[test]
    fn speakers_take_turns() {
        let text = |role| Turn::new(role, vec![Part::Refusal("x".into())]);
        let turns = [Role::User, Role::System, Role::Assistant, Role::Assistant, Role::User].map(text);
        let shape: Vec<_> = rounds(&turns).iter().map(|one| (one.is_assistant, one.said.len())).collect();
        assert_eq!(shape, [(false, 2), (true, 2), (false, 1)]);
        assert!(rounds(&[Turn::new(Role::User, vec![])]).is_empty());
    }

    #[test]
    fn members_go_back_where_they_stood() {
        let object = |text: &'static str| match Value::parse(text.as_bytes()) {
            Ok(Value::Object(object)) => object,
            _ => Object::default(),
        };
        let mut body = object(r#"{"a":{"b":1},"c":2}"#);
        merge(&mut body, &object(r#"{"a":{"b":9,"d":3},"c":{"e":4},"f":5}"#));
        let mut text = Vec::new();
        body.write(&mut text);
        assert_eq!(String::from_utf8(text).unwrap(), r#"{"a":{"b":1,"d":3},"c":2,"f":5}"#);
    }
}

//! The texts of the form between dialects, changed in place.

use penstock_ai::form::{
    Answer, Arguments, MediaSource, Part, Request, ResultContent, Role, Text, Thought, Tool, ToolCall,
};
use penstock_ai::json::{Str, Value};

use super::body::json_text;
use crate::check::{Place, Texts};

/// Looks at all texts of a request: what is said, called and given back, and what functions are for.
///
/// [`Part::Foreign`] and [`Request::rest`] are not looked at: only their own dialect has them, and within one dialect
/// bodies are walked as they are ([`super::edit_body`]).
pub fn walk_request(request: &mut Request<'_>, texts: &mut dyn Texts) {
    for turn in &mut request.turns {
        let place =
            Place { is_instruction: matches!(turn.role, Role::System | Role::Developer), ..Place::ORDINARY };
        turn.parts.iter_mut().for_each(|part| walk_part(part, place, texts));
    }
    for tool in &mut request.tools {
        if let Tool::Function(function) = tool
            && let Some(description) = &mut function.description
        {
            walk_str(description, Place { is_instruction: true, ..Place::ORDINARY }, texts);
        }
    }
}

/// Looks at all texts of an answer. Probabilities of tokens, which spell a text once more, go where a text was changed.
pub fn walk_answer(answer: &mut Answer<'_>, texts: &mut dyn Texts) {
    for choice in &mut answer.choices {
        let mut noting = Noting { texts, has_changed: false };
        choice.parts.iter_mut().for_each(|part| walk_part(part, Place::ORDINARY, &mut noting));
        if noting.has_changed {
            choice.logprobs = None;
        }
    }
}

/// Notes whether a text was changed.
pub(super) struct Noting<'t> {
    pub(super) texts: &'t mut dyn Texts,
    pub(super) has_changed: bool,
}

impl Texts for Noting<'_> {
    fn text(&mut self, text: &str, place: Place) -> Option<String> {
        let changed = self.texts.text(text, place).filter(|_| place.is_editable);
        self.has_changed |= changed.is_some();
        changed
    }
}

fn walk_str(text: &mut Str<'_>, place: Place, texts: &mut dyn Texts) {
    if text.is_empty() {
        return;
    }
    if let Some(changed) = texts.text(&text.text(), place).filter(|_| place.is_editable) {
        *text = changed.into();
    }
}

fn walk_part(part: &mut Part<'_>, place: Place, texts: &mut dyn Texts) {
    match part {
        Part::Text(Text { text, citations, signature, .. }) => {
            let place = unless_signed(place, signature);
            walk_str(text, place, texts);
            if let Some(citations) = citations {
                walk_cited(citations, place, texts);
            }
        }
        Part::Thought(Thought { text, signature, sealed, .. }) => {
            walk_str(text, unless_signed(unless_signed(place, signature), sealed), texts);
        }
        Part::Media(media) => {
            if let MediaSource::Text(text) = &mut media.source {
                walk_str(text, place, texts);
            }
        }
        Part::ToolCall(ToolCall { arguments, signature, .. }) => {
            let place = unless_signed(place, signature);
            match arguments {
                Arguments::Text(text) => {
                    if let Some(changed) = json_text(&text.text(), place, texts) {
                        *text = changed.into();
                    }
                }
                Arguments::Free(text) => walk_str(text, place, texts),
                Arguments::Value(value) => walk_value(value, place, texts),
            }
        }
        Part::ToolResult(result) => match &mut result.content {
            ResultContent::Parts(parts) => parts.iter_mut().for_each(|part| walk_part(part, place, texts)),
            ResultContent::Value(value) => walk_value(value, place, texts),
        },
        Part::Refusal(text) => walk_str(text, place, texts),
        Part::Foreign(_) => {}
    }
}

fn unless_signed(place: Place, signature: &Option<Str<'_>>) -> Place {
    let is_signed = signature.as_ref().is_some_and(|signature| !signature.is_empty());
    Place { is_editable: place.is_editable && !is_signed, ..place }
}

/// All strings within a value, names of members left out.
fn walk_value(value: &mut Value<'_>, place: Place, texts: &mut dyn Texts) {
    match value {
        Value::String(text) => walk_str(text, place, texts),
        Value::Array(values) => values.iter_mut().for_each(|value| walk_value(value, place, texts)),
        Value::Object(object) => object.iter_mut().for_each(|(_, value)| walk_value(value, place, texts)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The passages that citations quote.
fn walk_cited(citations: &mut Value<'_>, place: Place, texts: &mut dyn Texts) {
    const QUOTED: [&str; 3] = ["cited_text", "title", "document_title"];
    let Value::Array(citations) = citations else { return };
    for citation in citations {
        let Value::Object(citation) = citation else { continue };
        let is_sealed = citation.get("encrypted_index").is_some();
        let place = Place { is_editable: place.is_editable && !is_sealed, ..place };
        for (name, value) in citation.iter_mut() {
            if let Value::String(text) = value
                && QUOTED.iter().any(|quoted| name.is(quoted))
            {
                walk_str(text, place, texts);
            }
        }
    }
}

//! A hash of how a conversation begins: what stays as it is from turn to turn.
//!
//! That is, in this order of importance: the cache key that the caller names itself; else the tools, the instructions, and
//! the turns up to the first one of the user, that one included. Later turns only add to a conversation, so all its
//! requests have the same hash, and two conversations of one application have different ones, that differ in their first
//! question. Marks of what is to be cached are left out, as clients move them from turn to turn; so is whether a text stands
//! alone or as the only part of a list.
//!
//! Knows: where dialects have these things. Must not: take the hash for more than a hint; requests that differ may share one.

use penstock_balance::mix;

use crate::dialect::Dialect;
use crate::json::{Elements, Error, Members, Str, Value};

/// Bytes of tools, of instructions and of turns that are looked at, each.
pub const PREFIX_BYTES_MAX: usize = 64 * 1024;

/// Members that hold marks of what is to be cached.
const MARKS: [&str; 2] = ["cache_control", "cachePoint"];

/// What a member of a request is to the hash.
enum Part {
    CacheKey,
    Tools,
    Instructions,
    Turns,
}

fn part(dialect: Dialect, name: &Str<'_>) -> Option<Part> {
    let (tools, instructions, turns): (&[&str], &[&str], &str) = match dialect {
        Dialect::OpenAiChat | Dialect::Mistral | Dialect::Cohere => (&["tools"], &[], "messages"),
        Dialect::OpenAiResponses => (&["tools"], &["instructions"], "input"),
        Dialect::Anthropic => (&["tools"], &["system"], "messages"),
        Dialect::Gemini => (&["tools"], &["systemInstruction", "system_instruction"], "contents"),
        Dialect::Bedrock => (&["toolConfig"], &["system"], "messages"),
    };
    let is = |names: &[&str]| names.iter().any(|known| name.is(known));
    if is(tools) {
        Some(Part::Tools)
    } else if is(instructions) {
        Some(Part::Instructions)
    } else if name.is(turns) {
        Some(Part::Turns)
    } else if name.is("prompt_cache_key") {
        Some(Part::CacheKey)
    } else {
        None
    }
}

/// A hash of how the conversation in a request's body begins; none where it has neither turns nor a cache key. Costs a pass
/// over the body, and reads [`PREFIX_BYTES_MAX`] of each of its parts at most.
///
/// # Errors
/// The body is no JSON object.
pub fn prefix_hash(dialect: Dialect, body: &[u8]) -> Result<Option<u64>, Error> {
    let mut members = Members::new(body)?;
    let (mut tools, mut instructions, mut turns) = (Hash::default(), Hash::default(), None);
    let mut cache_key = None;
    while let Some(member) = members.next()? {
        let text = &body[member.value.clone()];
        match part(dialect, &member.name) {
            Some(Part::CacheKey) => {
                if let Value::String(key) = Value::parse(text)?
                    && !key.is_empty()
                {
                    let mut hash = Hash::default();
                    hash.text(&key);
                    cache_key = Some(hash.finish());
                }
            }
            Some(Part::Tools) => tools.document(text)?,
            Some(Part::Instructions) => instructions.document(text)?,
            Some(Part::Turns) => turns = beginning(text)?,
            None => {}
        }
    }
    let whole = turns.map(|turns| mix(mix(turns ^ mix(instructions.finish())) ^ tools.finish()));
    Ok(cache_key.or(whole))
}

/// The turns up to the first of the user.
fn beginning(text: &[u8]) -> Result<Option<u64>, Error> {
    let mut hash = Hash::default();
    if text.first() != Some(&b'[') {
        // Responses takes a text in the place of one turn.
        return Ok(match Value::parse(text)? {
            Value::String(text) => {
                hash.bytes(b"user");
                hash.text(&text);
                Some(hash.finish())
            }
            _ => None,
        });
    }
    let mut elements = Elements::new(text)?;
    let mut any = false;
    while let Some(element) = elements.next()? {
        let turn = &text[element];
        any = true;
        if hash.left < turn.len() {
            hash.raw(turn);
            break;
        }
        let turn = Value::parse(turn)?;
        hash.turn(&turn);
        // Gemini leaves out the role of a conversation that has one turn only.
        let role = turn.get("role").and_then(Value::as_text);
        if role.is_none_or(|role| role == "user") {
            break;
        }
    }
    Ok(any.then(|| hash.finish()))
}

/// A hash, eight bytes at a time, of as many bytes as it may see.
#[derive(Debug)]
struct Hash {
    state: u64,
    left: usize,
}

impl Default for Hash {
    fn default() -> Self {
        Self { state: 0x9e37_79b9_7f4a_7c15, left: PREFIX_BYTES_MAX }
    }
}

impl Hash {
    fn word(&mut self, word: u64) {
        let product = u128::from(self.state ^ word) * u128::from(0xd6e8_feb8_6659_fd93_u64);
        self.state = (product as u64) ^ (product >> 64) as u64 ^ word.rotate_left(23);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        let bytes = &bytes[..bytes.len().min(self.left)];
        self.left -= bytes.len();
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.word(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.word(u64::from_le_bytes(last));
        self.word(bytes.len() as u64);
    }

    fn finish(&self) -> u64 {
        mix(self.state)
    }

    /// A string as it was written: a client that escapes does so in every turn.
    fn text(&mut self, text: &Str<'_>) {
        match text {
            Str::Plain(raw) | Str::Escaped(raw) => self.bytes(raw.as_bytes()),
            Str::Made(text) => self.bytes(text.as_bytes()),
        }
    }

    /// What is too long to be read as a document.
    fn raw(&mut self, text: &[u8]) {
        self.bytes(text);
    }

    fn document(&mut self, text: &[u8]) -> Result<(), Error> {
        if text.len() > self.left {
            self.raw(text);
        } else {
            self.content(&Value::parse(text)?);
        }
        Ok(())
    }

    /// A turn: who speaks, and what.
    fn turn(&mut self, turn: &Value<'_>) {
        let Some(members) = turn.as_object() else { return self.value(turn) };
        for (name, value) in members.iter().filter(|(name, _)| !MARKS.iter().any(|mark| name.is(mark))) {
            self.text(name);
            self.content(value);
        }
    }

    /// A text is as a list of one part that is a text.
    fn content(&mut self, value: &Value<'_>) {
        match value {
            Value::Array(parts) => parts.iter().for_each(|part| self.part(part)),
            other => self.part(other),
        }
    }

    fn part(&mut self, part: &Value<'_>) {
        let text = part.get("text").filter(|_| {
            let kind = part.get("type").and_then(Value::as_text);
            kind.is_none_or(|kind| matches!(&*kind, "text" | "input_text"))
        });
        match (part, text) {
            (Value::String(text), _) | (_, Some(Value::String(text))) => self.text(text),
            _ => self.value(part),
        }
    }

    fn value(&mut self, value: &Value<'_>) {
        match value {
            Value::Object(members) => {
                for (name, value) in members.iter() {
                    if !MARKS.iter().any(|mark| name.is(mark)) {
                        self.text(name);
                        self.value(value);
                    }
                }
            }
            Value::Array(values) => values.iter().for_each(|value| self.value(value)),
            Value::String(text) => self.text(text),
            Value::Number(number) => self.bytes(number.as_str().as_bytes()),
            Value::Bool(true) => self.word(1),
            Value::Bool(false) => self.word(2),
            Value::Null => self.word(3),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(dialect: Dialect, body: &str) -> u64 {
        prefix_hash(dialect, body.as_bytes()).unwrap().unwrap()
    }

    #[test]
    fn a_conversation_keeps_its_hash_from_turn_to_turn() {
        let chat = Dialect::OpenAiChat;
        let messages = Dialect::Anthropic;
        for (dialect, first, later) in [
            (
                chat,
                r#"{"model":"m","messages":[{"role":"system","content":"s"},{"role":"user","content":"q"}]}"#,
                r#"{"messages":[{"role":"system","content":"s"},{"role":"user","content":"q"},{"role":"assistant","content":"a"},{"role":"user","content":"r"}],"model":"m","temperature":1}"#,
            ),
            (
                messages,
                r#"{"system":[{"type":"text","text":"s","cache_control":{"type":"ephemeral"}}],"messages":[{"role":"user","content":[{"type":"text","text":"q","cache_control":{"type":"ephemeral"}}]}]}"#,
                r#"{"system":"s","messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"},{"role":"user","content":[{"type":"text","text":"r","cache_control":{"type":"ephemeral"}}]}]}"#,
            ),
            (
                Dialect::OpenAiResponses,
                r#"{"instructions":"s","input":[{"role":"user","content":[{"type":"input_text","text":"q"}]}]}"#,
                r#"{"instructions":"s","input":[{"role":"user","content":"q"},{"type":"reasoning","id":"rs"},{"role":"user","content":"r"}]}"#,
            ),
            (
                Dialect::Gemini,
                r#"{"systemInstruction":{"parts":[{"text":"s"}]},"contents":[{"role":"user","parts":[{"text":"q"}]}]}"#,
                r#"{"contents":[{"role":"user","parts":[{"text":"q"}]},{"role":"model","parts":[{"text":"a"}]}],"systemInstruction":{"parts":[{"text":"s"}]}}"#,
            ),
            (
                Dialect::Bedrock,
                r#"{"system":[{"text":"s"}],"messages":[{"role":"user","content":[{"text":"q"}]}]}"#,
                r#"{"system":[{"text":"s"}],"messages":[{"role":"user","content":[{"text":"q"}]},{"role":"assistant","content":[]}]}"#,
            ),
            (
                chat,
                r#"{"prompt_cache_key":"k","messages":[]}"#,
                r#"{"messages":[{"role":"user","content":"x"}],"prompt_cache_key":"k"}"#,
            ),
        ] {
            assert_eq!(hash(dialect, first), hash(dialect, later), "{later}");
        }
    }

    #[test]
    fn what_a_provider_would_not_find_in_its_cache_has_another_hash() {
        let base = r#"{"tools":[{"name":"f"}],"system":"s","messages":[{"role":"user","content":"q"}]}"#;
        for other in [
            base.replace("\"q\"", "\"p\""),
            base.replace("\"s\"", "\"t\""),
            base.replace("\"f\"", "\"g\""),
            base.replace("\"tools\":[{\"name\":\"f\"}],", ""),
        ] {
            assert_ne!(hash(Dialect::Anthropic, base), hash(Dialect::Anthropic, &other), "{other}");
        }
        let image =
            r#"{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"a"}}]}]}"#;
        assert_ne!(
            hash(Dialect::OpenAiChat, image),
            hash(Dialect::OpenAiChat, &image.replace("\"a\"", "\"b\""))
        );
    }

    #[test]
    fn what_has_no_beginning_has_no_hash_and_what_is_no_request_is_an_error() {
        for body in [r#"{}"#, r#"{"messages":[]}"#, r#"{"messages":7}"#, r#"{"tools":[]}"#] {
            assert_eq!(prefix_hash(Dialect::OpenAiChat, body.as_bytes()).unwrap(), None, "{body}");
        }
        for body in ["", "[]", "{\"messages\":[}"] {
            assert!(prefix_hash(Dialect::OpenAiChat, body.as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn a_long_beginning_is_cut_and_hashed_all_the_same() {
        let body = |text: &str, later: &str| {
            format!(
                r#"{{"messages":[{{"role":"user","content":"{text}"}},{{"role":"assistant","content":"{later}"}}]}}"#
            )
        };
        let long = "x".repeat(PREFIX_BYTES_MAX * 2);
        let chat = Dialect::OpenAiChat;
        assert_eq!(hash(chat, &body(&long, "a")), hash(chat, &body(&long, "b")));
        assert_ne!(hash(chat, &body(&long, "a")), hash(chat, &body(&format!("y{long}"), "a")));
    }
}

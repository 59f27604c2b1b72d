//! What all dialects have in common: the JSON answer and the stream say the same, and all of it parses.

use serde_json::Value;

use super::super::draft::Draft;
use super::super::orders::{Orders, parse};
use super::super::reply::Reply;
use super::super::reply::tests::ask;
use super::{json, stream};
use crate::llm::{Dialect, Usage, frames, text};

const PROMPT_BYTES: usize = 400;

fn with_reply<T>(dialect: Dialect, orders: &str, then: impl Fn(&Reply<'_>, &Orders) -> T) -> T {
    let (ask, orders) = (ask(None), parse(orders).unwrap());
    then(&Reply::new(dialect, &ask, &orders, PROMPT_BYTES, (0xabc, 7, 1_700_000_000)), &orders)
}

/// The documents of a stream's pieces in order; `[DONE]` and pings are none.
fn documents(dialect: Dialect, draft: &Draft) -> Vec<Value> {
    let mut start = 0;
    let mut found = Vec::new();
    for piece in &draft.pieces {
        let bytes = &draft.content[start..piece.end];
        start = piece.end;
        if dialect == Dialect::Bedrock {
            let (length, frame) = frames::read(bytes).unwrap().unwrap();
            assert_eq!(length, bytes.len(), "one frame a piece");
            found.push(serde_json::from_slice(frame.payload).unwrap());
            continue;
        }
        let event = std::str::from_utf8(bytes).unwrap();
        assert!(event.ends_with(if dialect == Dialect::Gemini { "\r\n\r\n" } else { "\n\n" }), "{event:?}");
        let data = event.split_once("data: ").unwrap().1.trim();
        if data != "[DONE]" {
            found.push(serde_json::from_str(data).unwrap());
        }
    }
    found
}

/// Where the text of a delta stands in each dialect's events.
fn delta(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::OpenAiChat | Dialect::Mistral => "/choices/0/delta/content",
        Dialect::OpenAiResponses => "/delta",
        Dialect::Anthropic => "/delta/text",
        Dialect::Gemini => "/candidates/0/content/parts/0/text",
        Dialect::Bedrock => "/delta/text",
        Dialect::Cohere => "/delta/message/content/text",
    }
}

/// Where the text of a whole answer stands.
fn whole(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::OpenAiChat | Dialect::Mistral => "/choices/0/message/content",
        Dialect::OpenAiResponses => "/output/0/content/0/text",
        Dialect::Anthropic => "/content/0/text",
        Dialect::Gemini => "/candidates/0/content/parts/0/text",
        Dialect::Bedrock => "/output/message/content/0/text",
        Dialect::Cohere => "/message/content/0/text",
    }
}

#[test]
fn streams_say_what_the_json_answers_say() {
    for dialect in Dialect::ALL {
        with_reply(dialect, "answer=50,chunks=8", |reply, _| {
            let answer: Value = serde_json::from_slice(&json(reply).content).unwrap();
            assert_eq!(answer.pointer(whole(dialect)).unwrap(), &text(50), "{dialect:?}");
            let draft = stream(reply, false);
            let pieces: Vec<String> = documents(dialect, &draft)
                .iter()
                .filter_map(|document| document.pointer(delta(dialect))?.as_str().map(str::to_owned))
                .filter(|piece| !piece.is_empty())
                .collect();
            assert_eq!(pieces.len(), 8, "{dialect:?}");
            assert_eq!(pieces.concat(), text(50), "{dialect:?}");
            assert_eq!(draft.pieces.last().unwrap().tokens, 50, "{dialect:?}");
        });
    }
}

/// The usage of a document, as the reader of each dialect counts it.
fn usage(dialect: Dialect, document: &Value) -> Option<Usage> {
    let at = |pointer: &str| document.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
    let none = Usage::default();
    match dialect {
        Dialect::OpenAiChat => document.get("usage").filter(|usage| usage.is_object()).map(|_| {
            let (cached_read, reasoning) = (
                at("/usage/prompt_tokens_details/cached_tokens"),
                at("/usage/completion_tokens_details/reasoning_tokens"),
            );
            let (input, output) = (at("/usage/prompt_tokens"), at("/usage/completion_tokens"));
            assert_eq!(at("/usage/total_tokens"), input + output);
            Usage { input: input - cached_read, cached_read, output: output - reasoning, reasoning, ..none }
        }),
        Dialect::OpenAiResponses => {
            let document = document.get("response").unwrap_or(document);
            let at = |pointer: &str| document.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
            document.get("usage").filter(|usage| usage.is_object()).map(|_| {
                let cached_read = at("/usage/input_tokens_details/cached_tokens");
                let reasoning = at("/usage/output_tokens_details/reasoning_tokens");
                let (input, output) = (at("/usage/input_tokens"), at("/usage/output_tokens"));
                Usage {
                    input: input - cached_read,
                    cached_read,
                    output: output - reasoning,
                    reasoning,
                    ..none
                }
            })
        }
        Dialect::Anthropic => document.get("usage").map(|told| {
            let parts = told.get("cache_creation");
            let hour =
                if parts.is_some() { at("/usage/cache_creation/ephemeral_1h_input_tokens") } else { 40 };
            Usage {
                input: at("/usage/input_tokens"),
                cached_read: at("/usage/cache_read_input_tokens"),
                cache_write: at("/usage/cache_creation_input_tokens") - hour,
                cache_write_1h: hour,
                output: at("/usage/output_tokens"),
                ..none
            }
        }),
        Dialect::Gemini => document.get("usageMetadata").map(|_| {
            let cached_read = at("/usageMetadata/cachedContentTokenCount");
            Usage {
                input: at("/usageMetadata/promptTokenCount") - cached_read,
                cached_read,
                output: at("/usageMetadata/candidatesTokenCount"),
                reasoning: at("/usageMetadata/thoughtsTokenCount"),
                ..none
            }
        }),
        Dialect::Bedrock => document.get("usage").map(|_| Usage {
            input: at("/usage/inputTokens"),
            cached_read: at("/usage/cacheReadInputTokens"),
            cache_write: at("/usage/cacheWriteInputTokens"),
            output: at("/usage/outputTokens"),
            ..none
        }),
        Dialect::Cohere => document.pointer("/delta/usage").or(document.get("usage")).map(|told| {
            let at = |pointer: &str| told.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
            Usage {
                input: at("/billed_units/input_tokens"),
                output: at("/billed_units/output_tokens"),
                ..none
            }
        }),
        Dialect::Mistral => document.get("usage").map(|_| {
            let cached_read = at("/usage/num_cached_tokens");
            Usage {
                input: at("/usage/prompt_tokens") - cached_read,
                cached_read,
                output: at("/usage/completion_tokens"),
                ..none
            }
        }),
    }
}

#[test]
fn what_is_told_is_what_is_billed() {
    let figures =
        "answer=9,thinking=4,input=1000,cached=200,cache-write=30,cache-write-1h=40,output=500,reasoning=60";
    for dialect in Dialect::ALL {
        with_reply(dialect, figures, |reply, orders| {
            let billed = reply.used(orders, PROMPT_BYTES, reply.tokens());
            assert_eq!((billed.prompt(), billed.completion()), (1270, 560), "{dialect:?}");
            let answer: Value = serde_json::from_slice(&json(reply).content).unwrap();
            assert_eq!(usage(dialect, &answer), Some(billed), "{dialect:?} JSON");
            let draft = stream(reply, false);
            let told =
                documents(dialect, &draft).iter().filter_map(|event| usage(dialect, event)).next_back();
            assert_eq!(told, Some(billed), "{dialect:?} stream");
            assert!(draft.usage_at.is_some());
        });
        with_reply(dialect, "usage=no,thinking=4", |reply, _| {
            let answer: Value = serde_json::from_slice(&json(reply).content).unwrap();
            assert_eq!(usage(dialect, &answer), None, "{dialect:?}");
            let draft = stream(reply, false);
            assert_eq!(draft.usage_at, None);
            assert!(
                documents(dialect, &draft).iter().all(|event| usage(dialect, event).is_none()),
                "{dialect:?}"
            );
        });
    }
}

#[test]
fn calls_have_the_same_arguments_in_both_forms() {
    for dialect in Dialect::ALL {
        with_reply(dialect, "tools=2,thinking=3", |reply, _| {
            let answer = String::from_utf8(json(reply).content).unwrap();
            serde_json::from_str::<Value>(&answer).unwrap();
            let draft = stream(reply, false);
            let events = documents(dialect, &draft);
            assert!(!events.is_empty());
            for call in 0..2 {
                let id = reply.call_id(call);
                let ids = events.iter().filter(|event| event.to_string().contains(&id)).count();
                // Gemini's calls have no ids; Responses tells an item when it begins, when it ends and in the whole.
                let expected = match dialect {
                    Dialect::Gemini => 0,
                    Dialect::OpenAiResponses => 3,
                    _ => 1,
                };
                assert_eq!(ids, expected, "{dialect:?}");
                assert_eq!(answer.contains(&id), dialect != Dialect::Gemini, "{dialect:?}");
            }
            assert_eq!(draft.pieces.last().unwrap().tokens, reply.tokens(), "{dialect:?}");
        });
    }
}

#[test]
fn an_array_is_one_document() {
    with_reply(Dialect::Gemini, "answer=20,chunks=5", |reply, _| {
        let array: Value = serde_json::from_slice(&stream(reply, true).content).unwrap();
        assert_eq!(array.as_array().unwrap().len(), 6);
        assert_eq!(array[5]["candidates"][0]["finishReason"], "STOP");
    });
}

#[test]
fn openai_tells_usage_of_streams_only_when_asked() {
    let (mut ask, orders) = (ask(None), Orders::default());
    for include_usage in [true, false] {
        ask.include_usage = include_usage;
        let reply = Reply::new(Dialect::OpenAiChat, &ask, &orders, PROMPT_BYTES, (1, 1, 1));
        let draft = stream(&reply, false);
        let events = documents(Dialect::OpenAiChat, &draft);
        let last = events.last().unwrap();
        assert_eq!(last["choices"].as_array().unwrap().is_empty(), include_usage);
        assert_eq!(events[0].get("usage").is_some_and(Value::is_null), include_usage);
        assert_eq!(draft.usage_at.is_some(), include_usage);
    }
}

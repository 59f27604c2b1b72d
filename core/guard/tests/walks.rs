//! The texts of documents: all of them and nothing else, by the form and in bodies of each dialect.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::sync::Arc;

use common::{KEY, all_pii, compiled, key, rule, words};
use penstock_ai::dialect::Dialect;
use penstock_ai::form::{Collected, Event, Opening, Part, Stop};
use penstock_ai::json::{Edits, Value};
use penstock_ai::translate::{StreamReader, read_answer, read_request};
use penstock_guard::walk::{Body, BodyError, EventsGuard, edit_body, walk_answer, walk_request};
use penstock_guard::webhook::{
    AnswerError, Answered, AnsweredAction, Asked, Collect, Replace, TEXTS_MAX, read_answer as read_webhook,
};
use penstock_guard::{
    Action, Check, Detector, Direction, Finds, Flow, Masks, Place, Restore, Texts, Verdict,
};

/// Puts a text between brackets and notes it.
#[derive(Default)]
struct Bracket(Vec<(String, Place)>);

impl Texts for Bracket {
    fn text(&mut self, text: &str, place: Place) -> Option<String> {
        self.0.push((text.to_owned(), place));
        Some(format!("<{text}>"))
    }
}

fn edited(dialect: Dialect, body: Body, text: &str, texts: &mut dyn Texts) -> String {
    let mut edits = Edits::default();
    edit_body(dialect, body, text.as_bytes(), texts, &mut edits).unwrap();
    String::from_utf8(edits.pieces(text.as_bytes()).flatten().copied().collect()).unwrap()
}

/// In each document a text that is one is written `T..`; these are changed, those written `R..` are read only, and nothing
/// else is touched.
fn only_texts(dialect: Dialect, body: Body, document: &str) {
    let mut texts = Bracket::default();
    let out = edited(dialect, body, document, &mut texts);
    for (text, place) in &texts.0 {
        let first = text.chars().next().unwrap();
        assert!(matches!(first, 'T' | 'R' | 'I'), "{dialect}: {text:?} is no text");
        assert_eq!(place.is_editable, first != 'R', "{dialect}: {text:?}");
        assert_eq!(place.is_instruction, first == 'I', "{dialect}: {text:?}");
    }
    let mut expected = String::new();
    for piece in document.split_inclusive('"') {
        match piece.strip_suffix('"') {
            Some(text) if text.starts_with(['T', 'I']) => expected.push_str(&format!("<{text}>\"")),
            _ => expected.push_str(piece),
        }
    }
    let is_named = |text: &&str| {
        text.strip_prefix(['T', 'R', 'I'])
            .is_some_and(|n| !n.is_empty() && n.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let count = document.split('"').filter(is_named).count();
    assert_eq!(out, expected, "{dialect}");
    assert_eq!(texts.0.len(), count, "{dialect}: {:?}", texts.0);
}

#[test]
fn requests_of_each_dialect() {
    only_texts(
        Dialect::OpenAiChat,
        Body::Request,
        r#"{ "model" : "gpt", "user": "u@example.org", "messages":[{"role":"system","content":"I1"},{"role":"developer","content":[{"type":"text","text":"I2"}]},
        {"role":"user","name":"n","content":[{"type":"text","text":"T3"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AA"}},{"type":"input_audio","input_audio":{"data":"AA","format":"wav"}}]},
        {"role":"assistant","content":null,"reasoning_content":"T4","refusal":"T5","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"T6"}},{"id":"d","type":"custom","custom":{"name":"g","input":"T7"}}]},
        {"role":"tool","tool_call_id":"c","content":"T8"}],"tools":[{"type":"function","function":{"name":"f","description":"I9","parameters":{"type":"object","properties":{"x":{"enum":["a"]}}}}}],
        "prediction":{"type":"content","content":"T10"},"metadata":{"k":"v"},"stop":["s"],"temperature":1.0}"#,
    );
    only_texts(
        Dialect::Mistral,
        Body::Request,
        r#"{"model":"m","messages":[{"role":"assistant","content":[{"type":"thinking","thinking":[{"type":"text","text":"T1"}]},{"type":"text","text":"T2"}]}]}"#,
    );
    only_texts(
        Dialect::OpenAiResponses,
        Body::Request,
        r#"{"model":"m","instructions":"I1","previous_response_id":"r","input":["T2",{"role":"user","content":"T3"},{"type":"message","role":"developer","content":[{"type":"input_text","text":"I4"}]},
        {"type":"reasoning","id":"rs","summary":[{"type":"summary_text","text":"T5"}]},{"type":"reasoning","id":"rs","summary":[{"type":"summary_text","text":"R6"}],"encrypted_content":"x"},
        {"type":"function_call","call_id":"c","name":"f","arguments":"T7"},{"type":"function_call_output","call_id":"c","output":"T8"},{"type":"function_call_output","call_id":"c","output":[{"type":"input_text","text":"T9"},{"type":"input_image","image_url":"u","file_id":"f"}]}],
        "prompt":{"id":"p","version":"1","variables":{"city":"T10","doc":{"type":"input_file","file_id":"f"},"x":{"type":"input_text","text":"T11"}}},"tools":[{"type":"function","name":"f","description":"I12"}]}"#,
    );
    only_texts(
        Dialect::Anthropic,
        Body::Request,
        r#"{"model":"m","system":[{"type":"text","text":"I1","cache_control":{"type":"ephemeral"}}],"messages":[{"role":"user","content":"T2"},{"role":"user","content":[{"type":"text","text":"T3","citations":[{"type":"char_location","cited_text":"T4","document_title":"T5"}]},
        {"type":"image","source":{"type":"base64","media_type":"image/png","data":"AA"}},{"type":"document","title":"T6","context":"T7","source":{"type":"text","media_type":"text/plain","data":"T8"}},{"type":"document","source":{"type":"content","content":[{"type":"text","text":"T9"}]}},
        {"type":"tool_result","tool_use_id":"t","content":[{"type":"text","text":"T10"}]},{"type":"tool_result","tool_use_id":"t","content":"T11"}]},
        {"role":"assistant","content":[{"type":"thinking","thinking":"R12","signature":"s"},{"type":"redacted_thinking","data":"AA"},{"type":"tool_use","id":"t","name":"f","input":{"a":["T13",{"b":"T14","n":7}]}},{"type":"web_search_tool_result","tool_use_id":"w","content":[{"type":"web_search_result","url":"u","title":"R15","encrypted_content":"e"}]}]}],
        "tools":[{"name":"f","description":"I16","input_schema":{"type":"object"}}],"stop_sequences":["s"]}"#,
    );
    only_texts(
        Dialect::Gemini,
        Body::Request,
        r#"{"systemInstruction":{"parts":[{"text":"I1"}]},"contents":[{"role":"user","parts":[{"text":"T2"},{"inlineData":{"mimeType":"image/png","data":"AA"}},{"fileData":{"fileUri":"u"}}]},
        {"role":"model","parts":[{"text":"T3","thought":true},{"functionCall":{"name":"f","id":"i","args":{"x":"T4"}}},{"functionCall":{"name":"f","args":{"x":"R5"}},"thoughtSignature":"s"}]},
        {"role":"user","parts":[{"functionResponse":{"name":"f","response":{"out":["T6"]}}}]}],"tools":[{"functionDeclarations":[{"name":"f","description":"I7","parameters":{"type":"OBJECT"}}]}]}"#,
    );
    only_texts(
        Dialect::Bedrock,
        Body::Request,
        r#"{"system":[{"text":"I1"},{"cachePoint":{"type":"default"}}],"messages":[{"role":"user","content":[{"text":"T2"},{"image":{"format":"png","source":{"bytes":"AA"}}},{"document":{"name":"n","format":"txt","source":{"text":"T3"}}},{"toolResult":{"toolUseId":"t","content":[{"text":"T4"},{"json":{"k":"T5"}}],"status":"success"}}]},
        {"role":"assistant","content":[{"reasoningContent":{"reasoningText":{"text":"R6","signature":"s"}}},{"toolUse":{"toolUseId":"t","name":"f","input":{"q":"T7"}}}]}],"toolConfig":{"tools":[{"toolSpec":{"name":"f","description":"I8","inputSchema":{"json":{"type":"object"}}}}]}}"#,
    );
    only_texts(
        Dialect::Cohere,
        Body::Request,
        r#"{"model":"m","messages":[{"role":"user","content":"T1"},{"role":"assistant","tool_plan":"T2","tool_calls":[{"id":"c","function":{"name":"f","arguments":"T3"}}]},{"role":"tool","tool_call_id":"c","content":[{"type":"document","document":{"data":"T4"}}]}],"documents":["T5",{"id":"d","data":{"text":"T6"}}]}"#,
    );
}

#[test]
fn answers_of_each_dialect() {
    only_texts(
        Dialect::OpenAiChat,
        Body::Answer,
        r#"{"id":"x","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"T1","refusal":null,"audio":{"id":"a","data":"AA","transcript":"T2"},"tool_calls":[{"id":"c","function":{"name":"f","arguments":"T3"}}]},"finish_reason":"stop"}],"usage":{"prompt_tokens":1}}"#,
    );
    only_texts(
        Dialect::OpenAiResponses,
        Body::Answer,
        r#"{"id":"x","instructions":"I1","output":[{"type":"message","id":"m","content":[{"type":"output_text","text":"T2","annotations":[]}]},{"type":"function_call","id":"f","call_id":"c","name":"f","arguments":"T3"},{"type":"code_interpreter_call","code":"T4","outputs":[{"type":"logs","logs":"T5"}]}]}"#,
    );
    only_texts(
        Dialect::Anthropic,
        Body::Answer,
        r#"{"id":"x","type":"message","role":"assistant","content":[{"type":"text","text":"T1"},{"type":"tool_use","id":"t","name":"f","input":{"a":"T2"}}],"stop_reason":"end_turn","stop_sequence":null}"#,
    );
    only_texts(
        Dialect::Gemini,
        Body::Answer,
        r#"{"candidates":[{"content":{"role":"model","parts":[{"text":"T1"}]},"finishReason":"STOP","groundingMetadata":{"groundingSupports":[{"segment":{"startIndex":1,"text":"T2"}}]}}],"modelVersion":"m"}"#,
    );
    only_texts(
        Dialect::Bedrock,
        Body::Answer,
        r#"{"output":{"message":{"role":"assistant","content":[{"text":"T1"},{"toolUse":{"toolUseId":"t","name":"f","input":{"q":"T2"}}}]}},"stopReason":"end_turn"}"#,
    );
    only_texts(
        Dialect::Cohere,
        Body::Answer,
        r#"{"id":"x","message":{"role":"assistant","content":[{"type":"text","text":"T1"}],"citations":[{"start":0,"text":"T2","sources":[{"id":"s"}]}]}}"#,
    );
}

#[test]
fn all_else_stays_byte_by_byte() {
    let guard = all_pii(Action::Mask);
    let text = r#" { "model":"m" ,"messages":[ {"role":"user","content":"a\/b \u0061da@example.org"},{"role":"user","content":"\u00e9\/"} ], "seed":1.50e1 } "#;
    let mut check = Check::new(&guard, Direction::Input, &KEY);
    let out = edited(Dialect::OpenAiChat, Body::Request, text, &mut check);
    let (tally, masks) = check.finish();
    assert_eq!(tally.verdict(), Verdict::Masked);
    let (before, behind) = out.split_once("[EMAIL_").unwrap();
    assert_eq!(before, r#" { "model":"m" ,"messages":[ {"role":"user","content":"a/b "#);
    assert_eq!(&behind[5..], r#""},{"role":"user","content":"\u00e9\/"} ], "seed":1.50e1 } "#);
    let restored = edited(Dialect::OpenAiChat, Body::Request, &out, &mut Restore(&masks));
    assert!(restored.contains(r#""a/b ada@example.org""#));
}

#[test]
fn arguments_that_are_json_in_a_text_are_read_as_json() {
    let guard = all_pii(Action::Mask);
    let body = |arguments: &str| {
        let quoted = String::from_utf8({
            let mut out = Vec::new();
            penstock_ai::json::write_escaped(&mut out, arguments);
            out
        });
        format!(
            r#"{{"choices":[{{"message":{{"tool_calls":[{{"function":{{"name":"f","arguments":{}}}}}]}}}}]}}"#,
            quoted.unwrap()
        )
    };
    let text = body(r#"{"ada@example.org": "\u0061da@example.org", "n": 4111111111111111}"#);
    let mut check = Check::new(&guard, Direction::Output, &KEY);
    let out = edited(Dialect::OpenAiChat, Body::Answer, &text, &mut check);
    let (_, masks) = check.finish();
    assert_eq!(masks.len(), 1);
    let mail = common::masked(&guard, "ada@example.org");
    assert_eq!(out, body(&format!(r#"{{"ada@example.org": "{mail}", "n": 4111111111111111}}"#)));
    // What is put back into JSON gets its escapes.
    let key = "-----BEGIN PRIVATE KEY-----\nabc==\n-----END PRIVATE KEY-----";
    let mut check = Check::new(&guard, Direction::Input, &KEY);
    let placeholder = check.text(key, Place::ORDINARY).unwrap();
    let (_, masks) = check.finish();
    let out = edited(
        Dialect::OpenAiChat,
        Body::Answer,
        &body(&format!(r#"{{"k":"{placeholder}"}}"#)),
        &mut Restore(&masks),
    );
    let document = Value::parse(out.as_bytes()).unwrap();
    let arguments = document
        .get("choices")
        .and_then(|choices| {
            choices.as_array()?[0].get("message")?.get("tool_calls")?.as_array()?[0]
                .get("function")?
                .get("arguments")?
                .as_text()
                .map(String::from)
        })
        .unwrap();
    assert_eq!(Value::parse(arguments.as_bytes()).unwrap().get("k").unwrap().as_text().unwrap(), key);
}

#[test]
fn probabilities_of_tokens_go_with_the_text_that_they_spell() {
    let guard = all_pii(Action::Mask);
    let body = |content: &str, logprobs: &str| {
        format!(
            r#"{{"choices":[{{"message":{{"content":"{content}"}},"logprobs": {logprobs}, "finish_reason":"stop"}}]}}"#
        )
    };
    let spelled = r#"{"content":[{"token":"ada@","bytes":[97]}]}"#;
    let mut check = Check::new(&guard, Direction::Output, &KEY);
    let mail = common::masked(&guard, "ada@example.org");
    let out = edited(Dialect::OpenAiChat, Body::Answer, &body("ada@example.org", spelled), &mut check);
    assert_eq!(out, body(&mail, "null"));
    assert_eq!(
        edited(Dialect::OpenAiChat, Body::Answer, &body("hello", spelled), &mut check),
        body("hello", spelled)
    );
    let text = body("ada@example.org", spelled);
    let mut answer = read_answer(Dialect::OpenAiChat, text.as_bytes()).unwrap();
    walk_answer(&mut answer, &mut check);
    assert_eq!(answer.choices[0].logprobs, None);
}

#[test]
fn a_text_that_could_be_read_in_two_ways_is_refused() {
    let mut edits = Edits::default();
    let mut texts = Bracket::default();
    let mut edit =
        |text: &str| edit_body(Dialect::OpenAiChat, Body::Request, text.as_bytes(), &mut texts, &mut edits);
    let twice = r#"{"messages":[{"role":"user","content":"a","content":"b"}]}"#;
    assert_eq!(edit(twice), Err(BodyError::Repeated("content".into())));
    assert!(matches!(edit("{"), Err(BodyError::Json(_))));
    assert_eq!(edit("[]"), Ok(()));
}

#[test]
fn the_form_has_the_same_texts() {
    for (dialect, text) in [
        (
            Dialect::OpenAiChat,
            r#"{"model":"m","messages":[{"role":"system","content":"I1"},{"role":"user","content":[{"type":"text","text":"T2"}]},{"role":"assistant","content":"T3","reasoning_content":"T4","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{\"a\":\"T5\"}"}}]},{"role":"tool","tool_call_id":"c","content":"T6"}],"tools":[{"type":"function","function":{"name":"f","description":"I7"}}]}"#,
        ),
        (
            Dialect::Anthropic,
            r#"{"model":"m","max_tokens":9,"system":"I1","messages":[{"role":"user","content":"T2"},{"role":"assistant","content":[{"type":"thinking","thinking":"R3","signature":"s"},{"type":"text","text":"T4"},{"type":"tool_use","id":"t","name":"f","input":{"a":["T5"]}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":"T6"},{"type":"document","source":{"type":"text","media_type":"text/plain","data":"T8"}}]}],"tools":[{"name":"f","description":"I7"}]}"#,
        ),
    ] {
        let mut raw = Bracket::default();
        edited(dialect, Body::Request, text, &mut raw);
        let mut request = read_request(dialect, text.as_bytes()).unwrap();
        let mut form = Bracket::default();
        walk_request(&mut request, &mut form);
        let sorted = |mut all: Vec<(String, Place)>| {
            all.sort_by(|one, two| one.0.cmp(&two.0));
            all
        };
        assert_eq!(sorted(form.0), sorted(raw.0), "{dialect}");
        let debug = format!("{request:?}");
        assert!(debug.contains("<T2>") && debug.contains("<I7>") && !debug.contains("<R3>"), "{debug}");
    }
}

fn collect(guard: &mut EventsGuard, from: Dialect, events: Vec<Event<'_>>) -> (Vec<Part<'static>>, Flow) {
    let mut collected = Collected::new(from);
    let mut last = Flow::Goes;
    let mut out = Vec::new();
    for event in events {
        last = guard.take(event, &mut out);
    }
    out.iter().for_each(|event| collected.take(event));
    let answer = collected.finish();
    (answer.choices.into_iter().flat_map(|choice| choice.parts).collect(), last)
}

#[test]
fn streams_are_guarded_and_restored_part_by_part() {
    let guard = all_pii(Action::Mask);
    let mut check = Check::new(&guard, Direction::Input, &KEY);
    let placeholder = check.text("bob@example.org", Place::ORDINARY).unwrap();
    let (_, masks) = check.finish();
    let mut events = vec![Event::Start { id: "i".into(), model: "m".into(), created: None }];
    let arguments = format!(r#"{{"to":"{placeholder}","cc":"eve@example.org"}}"#);
    let thought = format!("I will use eve@example.org and {placeholder}.");
    let text = format!("To {placeholder} and eve@example.org");
    for (part, opening, text) in [
        (0, Opening::Thought, &thought),
        (1, Opening::Text, &text),
        (2, Opening::ToolCall { id: Some("c".into()), name: "f".into(), is_free: false }, &arguments),
    ] {
        events.push(Event::Open { choice: 0, part, opening });
        for char in text.chars() {
            events.push(Event::Piece { choice: 0, part, text: char.to_string().into() });
        }
        if part == 0 {
            events.push(Event::Signature { choice: 0, part, signature: "s".into() });
            events.push(Event::Close { choice: 0, part });
        }
    }
    events.push(Event::Stop { choice: 0, stop: Stop::End, sequence: None });
    events.push(Event::End);
    let mut stream = EventsGuard::new(Arc::clone(&guard), KEY, masks, Dialect::Anthropic);
    let (parts, flow) = collect(&mut stream, Dialect::Anthropic, events);
    assert_eq!(flow, Flow::Goes);
    let mail = common::masked(&guard, "eve@example.org");
    let [Part::Thought(thought_part), Part::Text(text_part), Part::ToolCall(call)] = &parts[..] else {
        panic!("{parts:?}")
    };
    assert_eq!(
        (thought_part.text.text().as_ref(), thought_part.signature.is_some()),
        (thought.as_str(), true)
    );
    assert_eq!(text_part.text.text(), format!("To bob@example.org and {mail}"));
    assert_eq!(call.arguments.to_text(), format!(r#"{{"to":"bob@example.org","cc":"{mail}"}}"#));
    assert_eq!(stream.tally().verdict(), Verdict::Unmasked);
    assert_eq!(stream.tally().counts().iter().map(|count| count.count).sum::<u32>(), 3);
}

#[test]
fn a_signature_of_what_was_changed_is_left_out() {
    for (text, is_kept) in [("ada@example.org.", false), ("hello.", true)] {
        let mut stream = EventsGuard::new(all_pii(Action::Mask), KEY, Masks::default(), Dialect::OpenAiChat);
        let events = vec![
            Event::Open { choice: 0, part: 0, opening: Opening::Thought },
            Event::Piece { choice: 0, part: 0, text: text.into() },
            Event::Piece { choice: 0, part: 0, text: " x ".into() },
            Event::Signature { choice: 0, part: 0, signature: "s".into() },
            Event::Close { choice: 0, part: 0 },
        ];
        let (parts, _) = collect(&mut stream, Dialect::OpenAiChat, events);
        let [Part::Thought(thought)] = &parts[..] else { panic!("{parts:?}") };
        assert_eq!(thought.signature.is_some(), is_kept);
    }
}

#[test]
fn a_blocked_stream_says_nothing_more() {
    let guard = compiled(vec![words(&["falke"], true, Action::Block)]);
    let mut stream = EventsGuard::new(guard, KEY, Masks::default(), Dialect::OpenAiChat);
    let events = vec![
        Event::Open { choice: 0, part: 0, opening: Opening::Text },
        Event::Piece { choice: 0, part: 0, text: "It is Fal".into() },
        Event::Piece { choice: 0, part: 0, text: "ke".into() },
        Event::Close { choice: 0, part: 0 },
        Event::End,
    ];
    let mut out = Vec::new();
    let flows: Vec<Flow> = events.into_iter().map(|event| stream.take(event, &mut out)).collect();
    assert_eq!(flows, [Flow::Goes, Flow::Goes, Flow::Goes, Flow::Blocked, Flow::Blocked]);
    assert_eq!(out.len(), 2, "{out:?}");
    assert_eq!(stream.tally().verdict(), Verdict::Blocked);
}

#[test]
fn a_stream_of_a_provider_comes_out_without_what_is_masked() {
    let guard = compiled(vec![rule(Finds::Pii(vec![Detector::Email, Detector::Key]), Action::Mask)]);
    let secret = key("sk-proj-", 40);
    let mut reader = StreamReader::new(Dialect::OpenAiChat);
    let mut stream = EventsGuard::new(Arc::clone(&guard), KEY, Masks::default(), Dialect::OpenAiChat);
    let mut collected = Collected::new(Dialect::OpenAiChat);
    let content = format!("Use {secret} as ada@example.org");
    let chunks: Vec<String> = content
        .as_bytes()
        .chunks(3)
        .map(|piece| {
            format!(
                r#"{{"id":"i","model":"m","choices":[{{"index":0,"delta":{{"content":"{}"}}}}]}}"#,
                std::str::from_utf8(piece).unwrap()
            )
        })
        .chain([
            r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#.to_owned(),
            "[DONE]".to_owned(),
        ])
        .collect();
    for chunk in &chunks {
        let mut events = Vec::new();
        reader.read(chunk.as_bytes(), &mut events).unwrap();
        let mut out = Vec::new();
        for event in events {
            assert_eq!(stream.take(event, &mut out), Flow::Goes);
        }
        out.iter().for_each(|event| collected.take(event));
    }
    let answer = collected.finish();
    let [Part::Text(text)] = &answer.choices[0].parts[..] else { panic!() };
    assert_eq!(text.text.text(), common::masked(&guard, &content));
    assert!(answer.choices[0].stop.is_some());
}

#[test]
fn an_external_guard_is_asked_and_answers() {
    let body = r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"a\"b"},{"role":"assistant","content":[{"type":"thinking","thinking":"R","signature":"s"},{"type":"text","text":"c"}]}]}"#;
    let mut collect = Collect::default();
    edited(Dialect::Anthropic, Body::Request, body, &mut collect);
    let asked = Asked {
        direction: Direction::Input,
        request_id: "r1",
        tenant: "t",
        app: "a",
        model: "m",
        texts: &collect.texts,
    };
    let document = String::from_utf8(asked.to_json()).unwrap();
    assert_eq!(
        document,
        r#"{"direction":"input","request_id":"r1","tenant":"t","app":"a","model":"m","texts":["a\"b","R","c"]}"#
    );
    let masked =
        read_webhook(&asked, br#"{"action":"mask","texts":["x",  "y", null],"reason":"why"}"#).unwrap();
    assert_eq!(masked.reason.as_deref(), Some("why"));
    let AnsweredAction::Mask(texts) = masked.action else { panic!() };
    let mut replace = Replace::new(texts);
    let out = edited(Dialect::Anthropic, Body::Request, body, &mut replace);
    assert_eq!(out, body.replace(r#""a\"b""#, r#""x""#));
    assert_eq!(replace.unmasked, 1);

    let pass = |action| Ok(Answered { action, reason: None });
    let long = "x".repeat(501);
    for (answer, expected) in [
        (r#"{"action":"pass"}"#.to_owned(), pass(AnsweredAction::Pass)),
        (r#"{"action":"block","reason":null}"#.to_owned(), pass(AnsweredAction::Block)),
        (r#"{"action":"allow"}"#.to_owned(), Err(AnswerError::Action)),
        ("{}".to_owned(), Err(AnswerError::Action)),
        ("[]".to_owned(), Err(AnswerError::NoObject)),
        (r#"{"action":"pass","texts":[]}"#.to_owned(), Err(AnswerError::Texts)),
        (r#"{"action":"mask"}"#.to_owned(), Err(AnswerError::Texts)),
        (r#"{"action":"mask","texts":{}}"#.to_owned(), Err(AnswerError::Texts)),
        (r#"{"action":"mask","texts":["x"]}"#.to_owned(), Err(AnswerError::Count(1, 3))),
        (r#"{"action":"mask","texts":["x",1,"y"]}"#.to_owned(), Err(AnswerError::Text(1))),
        (r#"{"action":"pass","action":"block"}"#.to_owned(), Err(AnswerError::Repeated("action".into()))),
        (r#"{"action":"pass","more":1}"#.to_owned(), Err(AnswerError::Unknown("more".into()))),
        (format!(r#"{{"action":"block","reason":"{long}"}}"#), Err(AnswerError::Reason)),
        (r#"{"action":"block","reason":"a\nb"}"#.to_owned(), Err(AnswerError::Reason)),
        (r#"{"action":"block","reason":7}"#.to_owned(), Err(AnswerError::Reason)),
    ] {
        assert_eq!(read_webhook(&asked, answer.as_bytes()), expected, "{answer}");
    }
    assert!(matches!(read_webhook(&asked, b"{"), Err(AnswerError::Json(_))));
    let most = asked.answer_bytes_max();
    let spaced = |len: usize| format!("{{\"action\":\"pass\"{}}}", " ".repeat(len - 17));
    assert!(read_webhook(&asked, spaced(most).as_bytes()).is_ok());
    assert_eq!(read_webhook(&asked, spaced(most + 1).as_bytes()), Err(AnswerError::Long(most + 1, most)));
    let mut many = Collect::default();
    (0..=TEXTS_MAX).for_each(|_| {
        many.text("x", Place::ORDINARY);
    });
    assert!(many.is_cut && many.texts.len() == TEXTS_MAX);
}

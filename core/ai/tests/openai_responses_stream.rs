//! Streams of Responses: to events and back, and what comes of those of others.
#![allow(clippy::unwrap_used, clippy::panic)]

mod recordings;
mod streams;

use std::collections::BTreeMap;

use penstock_ai::dialect::Dialect;
use penstock_ai::form::{Answer, Arguments, Collected, Event, Feature, Opening, Part, Stop};
use penstock_ai::json::Value;
use penstock_ai::openai_responses::{
    Echo, StreamReader, StreamWriter, WHOLE_BYTES_MAX, read_answer, read_request,
};
use penstock_ai::sse::SseLimits;
use penstock_ai::{anthropic, openai_chat};

fn read<'a>(data: &[&'a [u8]]) -> Vec<Event<'a>> {
    let mut reader = StreamReader::default();
    let mut events = Vec::new();
    data.iter().for_each(|data| reader.read(data, &mut events).unwrap());
    events
}

fn collected(events: &[Event<'_>], from: Dialect) -> Answer<'static> {
    let mut collected = Collected::new(from);
    events.iter().for_each(|event| collected.take(event));
    collected.finish()
}

/// The events that a writer makes of these, by type and data, after a look at their order.
fn written(events: &[Event<'_>], mut writer: StreamWriter) -> (Vec<(String, Value<'static>)>, StreamWriter) {
    let mut told: Vec<(String, Value<'static>)> = Vec::new();
    for event in events {
        writer.write(event, |kind, data| {
            told.push((kind.to_owned(), Value::parse(data.to_vec().leak()).unwrap()));
        });
    }
    holds(&told);
    (told, writer)
}

/// What must hold of the events: they are numbered, an item is added before anything of it and done after all of it, and
/// so is each of its pieces; the last one has the items as they were done, with the texts that came by pieces.
fn holds(told: &[(String, Value<'_>)]) {
    let mut items: Vec<Option<Value<'_>>> = Vec::new();
    let mut ids: Vec<String> = Vec::new();
    let mut open: BTreeMap<(u64, u64), String> = BTreeMap::new();
    for (n, (kind, data)) in told.iter().enumerate() {
        assert!(data.get("type").unwrap().is(kind));
        assert_eq!(data.get("sequence_number").and_then(Value::as_u64), Some(n as u64));
        let number = |name: &str| data.get(name).and_then(Value::as_u64);
        let piece = || {
            (
                number("output_index").unwrap(),
                number("content_index").or(number("summary_index")).unwrap_or(0),
            )
        };
        if let Some(index) = number("output_index") {
            if kind != "response.output_item.added" {
                assert!(items[index as usize].is_none(), "nothing of an item follows its end");
            }
            if let Some(id) = data.get("item_id") {
                assert!(id.is(&ids[index as usize]));
            }
        }
        match kind.as_str() {
            "response.created" => assert_eq!(n, 0),
            "response.in_progress" => assert_eq!(n, 1),
            "response.output_item.added" => {
                assert_eq!(number("output_index"), Some(items.len() as u64));
                items.push(None);
                ids.push(data.get("item").unwrap().get("id").unwrap().as_text().unwrap().into_owned());
            }
            "response.output_item.done" => {
                let item = data.get("item").unwrap();
                assert!(item.get("id").unwrap().is(&ids[number("output_index").unwrap() as usize]));
                assert!(!open.keys().any(|(index, _)| Some(*index) == number("output_index")));
                items[number("output_index").unwrap() as usize] = Some(item.clone());
            }
            "response.content_part.added" | "response.reasoning_summary_part.added" => {
                assert!(open.insert(piece(), String::new()).is_none());
            }
            "response.content_part.done" | "response.reasoning_summary_part.done" => {
                let text = open.remove(&piece()).unwrap();
                let part = data.get("part").unwrap();
                assert!(part.get("text").or(part.get("refusal")).unwrap().is(&text));
            }
            "response.output_text.delta"
            | "response.refusal.delta"
            | "response.reasoning_summary_text.delta" => {
                let text = data.get("delta").unwrap().as_text().unwrap().into_owned();
                open.get_mut(&piece()).unwrap().push_str(&text);
            }
            "response.completed" | "response.incomplete" => {
                assert_eq!(n + 1, told.len());
                let output = data.get("response").unwrap().get("output").unwrap().as_array().unwrap();
                let done: Vec<Value<'_>> = items.iter().map(|item| item.clone().unwrap()).collect();
                assert_eq!(output, done);
            }
            "response.failed" => assert_eq!(n + 1, told.len()),
            _ => {}
        }
    }
}

fn kinds<'t>(told: &'t [(String, Value<'_>)]) -> Vec<&'t str> {
    told.iter().map(|(kind, _)| kind.strip_prefix("response.").unwrap_or(kind)).collect()
}

fn bytes(told: &[(String, Value<'_>)]) -> Vec<Vec<u8>> {
    told.iter().map(|(_, data)| data.to_json().into_bytes()).collect()
}

fn again(told: &[(String, Value<'_>)]) -> Answer<'static> {
    let data = bytes(told);
    let lines: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
    collected(&read(&lines), Dialect::OpenAiResponses)
}

#[test]
fn recorded_streams_mean_the_same_after_a_round_trip() {
    let mut n = 0;
    for (path, stream) in recordings::files(".sse") {
        if !path.to_string_lossy().contains("/openai-responses-") {
            continue;
        }
        n += 1;
        let blocks = streams::read(stream, [stream.len()], SseLimits::default()).blocks;
        let data: Vec<&[u8]> = blocks.iter().map(|block| block.data.as_slice()).collect();
        let events = read(&data);
        // There is no `[DONE]`, and the end is known all the same.
        assert_eq!(events.last(), Some(&Event::End), "{}", path.display());
        let answer = collected(&events, Dialect::OpenAiResponses);
        assert!(answer.choices[0].stop.is_some() && answer.usage.is_some_and(|usage| usage.output > 1));
        let writer = StreamWriter::new(&answer.model.text(), Dialect::OpenAiResponses);
        let (told, writer) = written(&events, writer);
        assert_eq!(again(&told), answer, "{}", path.display());
        assert!(writer.losses().is_empty());
        // The same events in the same order, and the same response at the end.
        let before: Vec<String> = blocks
            .iter()
            .map(|block| String::from_utf8(block.event_type.clone().unwrap()).unwrap())
            .collect();
        let after: Vec<&str> = told.iter().map(|(kind, _)| kind.as_str()).collect();
        assert_eq!(after, before, "{}", path.display());
        let last = Value::parse(data[data.len() - 1]).unwrap().get("response").unwrap().to_json();
        let recorded = read_answer(last.as_bytes()).unwrap();
        let says = |answer: &Answer<'_>| {
            let choice = &answer.choices[0];
            (format!("{:?}", choice.parts), choice.stop().map(Stop::into_owned))
        };
        assert_eq!(says(&recorded), says(&answer), "{}", path.display());
        assert_eq!(recorded.usage, answer.usage);
        let ours = told[told.len() - 1].1.get("response").unwrap().to_json();
        assert_eq!(says(&read_answer(ours.as_bytes()).unwrap()), says(&answer));
    }
    assert!(n >= 2 || recordings::are_absent(), "only {n} streams");
}

#[test]
fn a_done_behind_the_end_is_no_second_end() {
    let events = read(&[
        br#"{"type":"response.created","response":{"id":"r","model":"m","created_at":7.5,"status":"in_progress"}}"#,
        br#"{"type":"response.completed","response":{"id":"r","status":"completed","output":[]}}"#,
        openai_chat::DONE,
    ]);
    assert_eq!(
        events,
        [
            Event::Start { id: "r".into(), model: "m".into(), created: Some(7) },
            Event::Stop { choice: 0, stop: Stop::End, sequence: None },
            Event::End,
        ]
    );
}

#[test]
fn what_did_not_come_in_pieces_is_taken_from_what_is_whole() {
    // Only the ends of parts, and only the end of the stream.
    let by_ends: [&[u8]; 4] = [
        br#"{"type":"response.output_item.done","output_index":0,"item":{"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"s"}],"encrypted_content":"e"}}"#,
        br#"{"type":"response.content_part.done","output_index":1,"content_index":0,"part":{"type":"output_text","text":"a","annotations":[{"type":"file_citation"}]}}"#,
        br#"{"type":"response.output_item.done","output_index":2,"item":{"type":"function_call","id":"fc_1","call_id":"c","name":"f","arguments":"{}"}}"#,
        br#"{"type":"response.completed","response":{"status":"completed","output":[],"service_tier":"flex","usage":{"input_tokens":1,"output_tokens":2}}}"#,
    ];
    let at_the_end = br#"{"type":"response.completed","response":{"status":"completed","service_tier":"flex","usage":{"input_tokens":1,"output_tokens":2},"output":[
        {"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"s"}],"encrypted_content":"e"},
        {"type":"message","content":[{"type":"output_text","text":"a","annotations":[{"type":"file_citation"}]}]},
        {"type":"function_call","id":"fc_1","call_id":"c","name":"f","arguments":"{}"}]}}"#;
    let answer = collected(&read(&by_ends), Dialect::OpenAiResponses);
    assert_eq!(collected(&read(&[at_the_end]), Dialect::OpenAiResponses), answer);
    let parts = &answer.choices[0].parts;
    let Part::Thought(summary) = &parts[0] else { panic!() };
    let Part::Thought(sealed) = &parts[1] else { panic!() };
    assert_eq!((summary.text.text().as_ref(), &summary.id), ("s", &Some("rs_1".into())));
    assert_eq!((&sealed.sealed, &sealed.id), (&Some("e".into()), &Some("rs_1".into())));
    let Part::Text(text) = &parts[2] else { panic!() };
    assert_eq!(text.citations.as_ref().map(Value::to_json).as_deref(), Some(r#"[{"type":"file_citation"}]"#));
    assert!(matches!(&parts[3], Part::ToolCall(call) if call.rest.get("id").is_some_and(|id| id.is("fc_1"))));
    assert_eq!(answer.choices[0].stop, Some(Stop::ToolCalls));
    assert_eq!(answer.service_tier, Some("flex".into()));
}

/// All kinds of parts that the dialect has.
const FAMILY: [&[u8]; 26] = [
    br#"{"type":"response.created","response":{"id":"resp_1","model":"m","created_at":5}}"#,
    br#"{"type":"response.in_progress","response":{"id":"resp_1"}}"#,
    br#"{"type":"response.output_item.added","output_index":0,"item":{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"part"}}"#,
    br#"{"type":"response.reasoning_summary_part.added","output_index":0,"summary_index":0,"part":{"type":"summary_text","text":""}}"#,
    br#"{"type":"response.reasoning_summary_text.delta","output_index":0,"summary_index":0,"delta":"one"}"#,
    br#"{"type":"response.reasoning_summary_text.done","output_index":0,"summary_index":0,"text":"one"}"#,
    br#"{"type":"response.reasoning_summary_part.done","output_index":0,"summary_index":0,"part":{"type":"summary_text","text":"one"}}"#,
    br#"{"type":"response.reasoning_summary_part.added","output_index":0,"summary_index":1,"part":{"type":"summary_text","text":""}}"#,
    br#"{"type":"response.reasoning_summary_text.delta","output_index":0,"summary_index":1,"delta":"two"}"#,
    br#"{"type":"response.reasoning_summary_part.done","output_index":0,"summary_index":1,"part":{"type":"summary_text","text":"two"}}"#,
    br#"{"type":"response.output_item.done","output_index":0,"item":{"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"one"},{"type":"summary_text","text":"two"}],"encrypted_content":"whole"}}"#,
    br#"{"type":"response.output_item.added","output_index":1,"item":{"type":"web_search_call","id":"ws_1","status":"in_progress"}}"#,
    br#"{"type":"response.web_search_call.searching","output_index":1,"item_id":"ws_1"}"#,
    br#"{"type":"response.output_item.done","output_index":1,"item":{"type":"web_search_call","id":"ws_1","status":"completed","action":{"type":"search","query":"q"}}}"#,
    br#"{"type":"response.output_item.added","output_index":2,"item":{"type":"message","id":"msg_1","role":"assistant","content":[]}}"#,
    br#"{"type":"response.content_part.added","output_index":2,"content_index":0,"part":{"type":"output_text","text":""}}"#,
    br#"{"type":"response.output_text.delta","output_index":2,"content_index":0,"delta":"hi","logprobs":[{"token":"hi","logprob":-1}]}"#,
    br#"{"type":"response.output_text.annotation.added","output_index":2,"content_index":0,"annotation_index":0,"annotation":{"type":"url_citation","url":"u","title":"t","start_index":0,"end_index":2}}"#,
    br#"{"type":"response.content_part.done","output_index":2,"content_index":0,"part":{"type":"output_text","text":"hi","annotations":[{"type":"url_citation","url":"u","title":"t","start_index":0,"end_index":2}]}}"#,
    br#"{"type":"response.content_part.added","output_index":2,"content_index":1,"part":{"type":"refusal","refusal":""}}"#,
    br#"{"type":"response.refusal.delta","output_index":2,"content_index":1,"delta":"no"}"#,
    br#"{"type":"response.output_item.done","output_index":2,"item":{"type":"message","id":"msg_1","role":"assistant","content":[{"type":"output_text","text":"hi","annotations":[]},{"type":"refusal","refusal":"no"}]}}"#,
    br#"{"type":"response.output_item.added","output_index":3,"item":{"type":"custom_tool_call","id":"ctc_1","call_id":"c1","name":"g","input":""}}"#,
    br#"{"type":"response.custom_tool_call_input.delta","output_index":3,"delta":"free"}"#,
    br#"{"type":"response.output_item.done","output_index":3,"item":{"type":"custom_tool_call","id":"ctc_1","call_id":"c1","name":"g","input":"free"}}"#,
    br#"{"type":"response.incomplete","response":{"status":"incomplete","incomplete_details":{"reason":"max_output_tokens"},"usage":{"input_tokens":3,"output_tokens":4,"input_tokens_details":{"cached_tokens":1}}}}"#,
];

#[test]
fn the_whole_family_is_read_and_written() {
    let events = read(&FAMILY);
    let answer = collected(&events, Dialect::OpenAiResponses);
    assert_eq!(answer.choices[0].stop, Some(Stop::MaxOutput));
    assert_eq!(answer.choices[0].parts.len(), 7);
    let (told, writer) = written(&events, StreamWriter::new("m", Dialect::OpenAiResponses));
    assert!(writer.losses().is_empty(), "{}", writer.losses());
    assert_eq!(again(&told), answer);
    assert_eq!(
        kinds(&told),
        [
            "created",
            "in_progress",
            "output_item.added",
            "reasoning_summary_part.added",
            "reasoning_summary_text.delta",
            "reasoning_summary_text.done",
            "reasoning_summary_part.done",
            "reasoning_summary_part.added",
            "reasoning_summary_text.delta",
            "reasoning_summary_text.done",
            "reasoning_summary_part.done",
            "output_item.done",
            "output_item.added",
            "output_item.done",
            "output_item.added",
            "content_part.added",
            "output_text.delta",
            "output_text.delta", // the probabilities of the one before
            "output_text.annotation.added",
            "output_text.done",
            "content_part.done",
            "content_part.added",
            "refusal.delta",
            "refusal.done",
            "content_part.done",
            "output_item.done",
            "output_item.added",
            "custom_tool_call_input.delta",
            "custom_tool_call_input.done",
            "output_item.done",
            "incomplete",
        ]
    );
    let response = told[told.len() - 1].1.get("response").unwrap();
    assert!(response.get("status").unwrap().is("incomplete"));
    let output = response.get("output").unwrap().to_json();
    for kept in [
        r#""id":"rs_1","type":"reasoning","summary":[{"type":"summary_text","text":"one"},{"type":"summary_text","text":"two"}],"encrypted_content":"whole""#,
        r#""action":{"type":"search","query":"q"}"#,
        r#""logprobs":[{"token":"hi","logprob":-1}]"#,
        r#""id":"ctc_1","type":"custom_tool_call","call_id":"c1","name":"g","input":"free""#,
    ] {
        assert!(output.contains(kept), "{kept} in {output}");
    }
}

#[test]
fn the_family_goes_to_chat_and_messages() {
    let events = read(&FAMILY);
    let mut writer = openai_chat::StreamWriter::new("fast", true).reading(Dialect::OpenAiResponses);
    let mut data: Vec<Vec<u8>> = Vec::new();
    events.iter().for_each(|event| writer.write(event, |bytes| data.push(bytes.to_vec())));
    assert_eq!(writer.losses().features(), [Feature::ThinkingSealed, Feature::ServerTools]);
    let mut reader = openai_chat::StreamReader::default();
    let mut again = Vec::new();
    data.iter().for_each(|data| reader.read(data, &mut again).unwrap());
    let answer = collected(&again, Dialect::OpenAiChat);
    let choice = &answer.choices[0];
    let Part::Thought(thought) = &choice.parts[0] else { panic!() };
    assert_eq!(thought.text.text(), "one\n\ntwo");
    let Part::Text(text) = &choice.parts[1] else { panic!() };
    assert_eq!(
        text.citations.as_ref().map(Value::to_json).as_deref(),
        Some(
            r#"[{"type":"url_citation","url_citation":{"start_index":0,"end_index":2,"title":"t","url":"u"}}]"#
        )
    );
    assert_eq!(choice.parts[2], Part::Refusal("no".into()));
    assert!(
        matches!(&choice.parts[3], Part::ToolCall(call) if call.arguments == Arguments::Free("free".into()))
    );
    assert_eq!(
        choice.logprobs.as_ref().map(Value::to_json).as_deref(),
        Some(r#"{"content":[{"token":"hi","logprob":-1}]}"#)
    );
    assert_eq!(choice.stop, Some(Stop::MaxOutput));
    assert_eq!(answer.usage.map(|usage| (usage.input, usage.cached_read, usage.output)), Some((2, 1, 4)));
    let mut writer = anthropic::StreamWriter::new("fast", Dialect::OpenAiResponses, 9);
    let mut told = Vec::new();
    events.iter().for_each(|event| writer.write(event, |_, data| told.push(data.to_vec())));
    let lost = [Feature::ThinkingSealed, Feature::ServerTools, Feature::Logprobs, Feature::Citations];
    assert_eq!(writer.losses().features()[..4], lost);
    let text = String::from_utf8(told.concat()).unwrap();
    assert!(
        !text.contains("whole")
            && text.contains(r#""thinking":"one""#)
            && text.contains(r#""thinking":"two""#),
        "{text}"
    );
}

#[test]
fn chunks_of_chat_become_the_events_of_a_response() {
    let chunks: [&[u8]; 8] = [
        br#"{"id":"chatcmpl-1","created":7,"model":"gpt","choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}"#,
        br#"{"choices":[{"index":0,"delta":{"reasoning_content":"hm"}}]}"#,
        br#"{"choices":[{"index":0,"delta":{"content":"a"}}]}"#,
        br#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"x","function":{"name":"f","arguments":"{\"a\""}},{"index":1,"id":"y","function":{"name":"g","arguments":""}}]}}]}"#,
        br#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":":1}"}}]}}]}"#,
        br#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"service_tier":"default"}"#,
        br#"{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":5}}"#,
        openai_chat::DONE,
    ];
    let mut reader = openai_chat::StreamReader::default();
    let mut events = Vec::new();
    chunks.iter().for_each(|data| reader.read(data, &mut events).unwrap());
    let request = read_request(br#"{"model":"m","input":"q","temperature":0.5}"#).unwrap();
    let writer = StreamWriter::new("fast", Dialect::OpenAiChat).echoing(Echo::of(&request));
    let (told, writer) = written(&events, writer);
    assert!(writer.losses().is_empty());
    assert_eq!(
        kinds(&told),
        [
            "created",
            "in_progress",
            "output_item.added",
            "reasoning_summary_part.added",
            "reasoning_summary_text.delta",
            "reasoning_summary_text.done",
            "reasoning_summary_part.done",
            "output_item.done",
            "output_item.added",
            "content_part.added",
            "output_text.delta",
            "output_text.done",
            "content_part.done",
            "output_item.done",
            "output_item.added",
            "function_call_arguments.delta",
            "output_item.added",
            "function_call_arguments.delta",
            "function_call_arguments.done",
            "output_item.done",
            "function_call_arguments.delta",
            "function_call_arguments.done",
            "output_item.done",
            "completed",
        ]
    );
    let response = told[told.len() - 1].1.get("response").unwrap();
    assert_eq!(response.get("temperature").unwrap().to_json(), "0.5");
    assert!(response.get("model").unwrap().is("fast") && response.get("service_tier").unwrap().is("default"));
    let output = response.get("output").unwrap().as_array().unwrap();
    let member = |n: usize, name: &str| output[n].get(name).unwrap().as_text().unwrap().into_owned();
    assert_eq!((member(2, "arguments"), member(2, "call_id")), (r#"{"a":1}"#.into(), "x".into()));
    // A call without arguments has an empty object, not nothing.
    assert_eq!((member(3, "arguments"), member(3, "call_id")), ("{}".into(), "y".into()));
    assert_eq!(response.get("usage").unwrap().get("total_tokens").and_then(Value::as_u64), Some(14));
}

#[test]
fn failures_are_told_by_the_terminal_event_of_the_family() {
    for (data, kind, message) in [
        (&br#"{"type":"response.failed","response":{"status":"failed","error":{"code":"server_error","message":"busy"}}}"#[..], "server_error", "busy"),
        (br#"{"type":"error","code":"rate_limit_exceeded","message":"slow","param":null,"sequence_number":3}"#, "rate_limit_exceeded", "slow"),
        (br#"{"type":"error","error":{"type":"overloaded","message":"full"}}"#, "overloaded", "full"),
        (br#"{"error":{"code":"x","message":"no"}}"#, "x", "no"),
    ] {
        let events = read(&[br#"{"type":"response.created","response":{"id":"r"}}"#, data]);
        let failed = Event::Failed { kind: Some(kind.into()), message: message.into() };
        assert_eq!(events.last(), Some(&failed));
        let (told, _) = written(&events, StreamWriter::new("m", Dialect::OpenAiResponses));
        assert_eq!(kinds(&told), ["created", "in_progress", "failed"]);
        let response = told[2].1.get("response").unwrap();
        assert!(response.get("status").unwrap().is("failed"));
        assert_eq!(
            response.get("error").unwrap().to_json(),
            format!(r#"{{"code":"{kind}","message":"{message}"}}"#)
        );
    }
    // Before anything has begun, and with what was said by then.
    let early = [Event::Failed { kind: None, message: "no".into() }];
    let (told, _) = written(&early, StreamWriter::new("m", Dialect::OpenAiChat));
    assert_eq!(kinds(&told), ["created", "in_progress", "failed"]);
    // A stream that was cut is not given an end.
    let cut = [
        Event::Start { id: "r".into(), model: "m".into(), created: None },
        Event::Open { choice: 0, part: 0, opening: Opening::Text },
        Event::Piece { choice: 0, part: 0, text: "a".into() },
    ];
    let (told, _) = written(&cut, StreamWriter::new("m", Dialect::OpenAiChat));
    assert_eq!(kinds(&told)[2..], ["output_item.added", "content_part.added", "output_text.delta"]);
}

#[test]
fn malformed_events_are_told() {
    for (data, error) in [
        (&br#"{}"#[..], "`error` is missing"),
        (br#"{"type":"response.created"}"#, "`response` is missing"),
        (br#"{"type":"response.output_text.delta","output_index":99999,"delta":"a"}"#, "`output_index` must be a small number"),
        (br#"{"type":"response.output_text.delta","content_index":99999,"delta":"a"}"#, "`content_index` must be a small number"),
        (br#"{"type":"response.function_call_arguments.delta","output_index":0,"delta":"{"}"#, "`output_index` must be that of a call which is open"),
        (br#"{"type":"response.output_item.added","output_index":0,"item":{"type":"function_call","call_id":"c"}}"#, "`item.name` is missing"),
    ] {
        let refused = StreamReader::default().read(data, &mut Vec::new());
        assert_eq!(refused.map_err(|error| error.to_string()), Err(error.into()));
    }
    let mut reader = StreamReader::default();
    let mut events = Vec::new();
    reader
        .read(
            br#"{"type":"response.content_part.done","part":{"type":"output_text","text":"a"}}"#,
            &mut events,
        )
        .unwrap();
    let late = reader.read(br#"{"type":"response.output_text.delta","delta":"b"}"#, &mut Vec::new());
    assert_eq!(
        late.map_err(|error| error.to_string()),
        Err("`output_index` must be that of an item which is open".into())
    );
}

#[test]
fn what_is_kept_for_the_last_event_is_bounded() {
    let mut writer = StreamWriter::new("m", Dialect::OpenAiChat);
    let piece = |len| Event::Piece { choice: 0, part: 0, text: "x".repeat(len).into() };
    let mut last = 0;
    for event in [Event::Open { choice: 0, part: 0, opening: Opening::Text }, piece(WHOLE_BYTES_MAX)] {
        writer.write(&event, |_, data| last = data.len());
    }
    assert!(writer.losses().is_empty());
    writer.write(&piece(5), |kind, data| {
        assert_eq!(kind, "response.output_text.delta");
        last = data.len();
    });
    assert!(last < 300);
    assert_eq!(writer.losses().features(), [Feature::Stream]);
    let mut writer = StreamWriter::new("m", Dialect::OpenAiChat);
    writer.write(&Event::Piece { choice: 1, part: 0, text: "x".into() }, |_, _| panic!());
    assert_eq!(writer.losses().features(), [Feature::Answers]);
}

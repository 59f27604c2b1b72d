//! Streams of Messages: to events and back, and what comes of those of Chat Completions.
#![allow(clippy::unwrap_used, clippy::panic)]

mod recordings;
mod streams;

use penstock_ai::anthropic::{StreamReader, StreamWriter, WAITING_BYTES_MAX};
use penstock_ai::dialect::Dialect;
use penstock_ai::form::{Answer, Collected, Event, Feature, Opening, Stop};
use penstock_ai::json::Value;
use penstock_ai::openai_chat;
use penstock_ai::sse::SseLimits;

fn collected(events: &[Event<'_>]) -> Answer<'static> {
    let mut collected = Collected::new(Dialect::Anthropic);
    events.iter().for_each(|event| collected.take(event));
    collected.finish()
}

fn read<'a>(data: &[&'a [u8]]) -> Vec<Event<'a>> {
    let mut reader = StreamReader::default();
    let mut events = Vec::new();
    data.iter().for_each(|data| reader.read(data, &mut events).unwrap());
    events
}

/// The events of the dialect that a writer makes of these, after a look at their shape: blocks are numbered, and each is
/// closed before the next one opens.
fn written(events: &[Event<'_>], from: Dialect, model: &str) -> (Vec<(String, Vec<u8>)>, StreamWriter) {
    let mut writer = StreamWriter::new(model, from, 77);
    let mut told: Vec<(String, Vec<u8>)> = Vec::new();
    events
        .iter()
        .for_each(|event| writer.write(event, |kind, data| told.push((kind.to_owned(), data.to_vec()))));
    let (mut open, mut next) = (None, 0);
    for (kind, data) in &told {
        let data = Value::parse(data).unwrap();
        assert!(data.get("type").unwrap().is(kind));
        let index = data.get("index").and_then(Value::as_u64);
        match kind.as_str() {
            "content_block_start" => {
                assert_eq!((open, index), (None, Some(next)));
                (open, next) = (index, next + 1);
            }
            "content_block_delta" => assert!(open.is_some() && open == index),
            "content_block_stop" => {
                assert!(open.is_some() && open == index);
                open = None;
            }
            "message_delta" | "message_stop" => assert_eq!(open, None),
            _ => assert_eq!(index, None),
        }
    }
    (told, writer)
}

#[test]
fn recorded_streams_mean_the_same_after_a_round_trip() {
    let mut n = 0;
    for (path, bytes) in recordings::files(".sse") {
        if !path.to_string_lossy().contains("/anthropic-") {
            continue;
        }
        n += 1;
        let blocks = streams::read(bytes, [bytes.len()], SseLimits::default()).blocks;
        let data: Vec<&[u8]> = blocks.iter().map(|block| block.data.as_slice()).collect();
        let events = read(&data);
        assert_eq!(events.last(), Some(&Event::End), "{}", path.display());
        let answer = collected(&events);
        assert!(answer.choices[0].stop.is_some() && answer.usage.is_some_and(|usage| usage.output > 1));
        let (told, writer) = written(&events, Dialect::Anthropic, &answer.model.text());
        let told: Vec<&[u8]> = told.iter().map(|(_, data)| data.as_slice()).collect();
        assert_eq!(collected(&read(&told)), answer, "{}", path.display());
        assert!(writer.losses().is_empty(), "{}: {}", path.display(), writer.losses());
    }
    assert!(n >= 3 || recordings::are_absent(), "only {n} streams");
}

#[test]
fn trap_07_chunks_of_chat_become_blocks_one_after_another() {
    let chunks: [&[u8]; 8] = [
        br#"{"id":"c","model":"gpt","choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}"#,
        br#"{"choices":[{"index":0,"delta":{"reasoning_content":"hm"}}]}"#,
        br#"{"choices":[{"index":0,"delta":{"content":"a"}}]}"#,
        br#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"x","function":{"name":"f","arguments":"{\"a\""}},{"index":1,"id":"y","function":{"name":"g","arguments":"{}"}}]}}]}"#,
        br#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":":1}"}}]}}]}"#,
        br#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
        br#"{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":5}}"#,
        openai_chat::DONE,
    ];
    let mut reader = openai_chat::StreamReader::default();
    let mut events = Vec::new();
    chunks.iter().for_each(|data| reader.read(data, &mut events).unwrap());
    let (told, writer) = written(&events, Dialect::OpenAiChat, "fast");
    let told: Vec<String> = told.iter().map(|(_, data)| String::from_utf8(data.clone()).unwrap()).collect();
    let start = &told[0];
    assert!(start.contains(r#""model":"fast""#) && start.contains(r#""input_tokens":77"#), "{start}");
    assert_eq!(
        told[1..],
        [
            r#"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}"#,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm"}}"#,
            r#"{"type":"content_block_stop","index":0}"#,
            r#"{"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}"#,
            r#"{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"a"}}"#,
            r#"{"type":"content_block_stop","index":1}"#,
            r#"{"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"x","name":"f","input":{}}}"#,
            r#"{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\"a\""}}"#,
            r#"{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":":1}"}}"#,
            r#"{"type":"content_block_stop","index":2}"#,
            r#"{"type":"content_block_start","index":3,"content_block":{"type":"tool_use","id":"y","name":"g","input":{}}}"#,
            r#"{"type":"content_block_delta","index":3,"delta":{"type":"input_json_delta","partial_json":"{}"}}"#,
            r#"{"type":"content_block_stop","index":3}"#,
            concat!(
                r#"{"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"input_tokens":9,"#,
                r#""cache_creation_input_tokens":0,"cache_read_input_tokens":0,"cache_creation":{"ephemeral_5m_input_tokens":0,"#,
                r#""ephemeral_1h_input_tokens":0},"output_tokens":5}}"#
            ),
            r#"{"type":"message_stop"}"#,
        ]
    );
    assert!(writer.losses().is_empty());
}

#[test]
fn trap_23_blocks_of_messages_become_chunks() {
    let events = read(&[
        br#"{"type":"message_start","message":{"id":"msg_1","model":"claude","usage":{"input_tokens":3,"output_tokens":1}}}"#,
        br#"{"type":"ping"}"#,
        br#"{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"t","name":"f","input":{}}}"#,
        br#"{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":""}}"#,
        br#"{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{\"a\":1}"}}"#,
        br#"{"type":"content_block_stop","index":0}"#,
        br#"{"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":8}}"#,
        br#"{"type":"message_stop"}"#,
    ]);
    let mut writer = openai_chat::StreamWriter::new("fast", true);
    let mut data: Vec<Vec<u8>> = Vec::new();
    events.iter().for_each(|event| writer.write(event, |bytes| data.push(bytes.to_vec())));
    let mut reader = openai_chat::StreamReader::default();
    let mut again = Vec::new();
    data.iter().for_each(|data| reader.read(data, &mut again).unwrap());
    let mut collected = Collected::new(Dialect::OpenAiChat);
    again.iter().for_each(|event| collected.take(event));
    let answer = collected.finish();
    assert_eq!(answer.choices[0].stop, Some(Stop::ToolCalls));
    let text = String::from_utf8(data.concat()).unwrap();
    assert!(text.contains(r#""arguments":"{\"a\":1}""#) && !text.contains("{}{"), "{text}");
    assert_eq!(answer.usage.map(|usage| (usage.input, usage.output)), Some((3, 8)));
}

#[test]
fn an_error_within_a_stream_is_one() {
    let events = read(&[br#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#]);
    let (told, _) = written(&events, Dialect::Anthropic, "m");
    assert_eq!(told[0].0, "error");
    assert_eq!(told[0].1, br#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#);
    assert_eq!(told.len(), 1, "no end is made up");
}

#[test]
fn malformed_events_are_told_and_more_than_one_answer_is_lost() {
    for (data, error) in [
        (&br#"{"index":0}"#[..], "`type` is missing"),
        (
            br#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a"}}"#,
            "`index` must be that of a block which is open",
        ),
        (
            br#"{"type":"content_block_start","index":99999,"content_block":{"type":"text"}}"#,
            "`index` must be a small number",
        ),
        (
            br#"{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"a"}}"#,
            "`content_block.name` is missing",
        ),
        (
            br#"{"type":"content_block_start","index":0,"content_block":{"type":"document","title":"t"}}"#,
            "`content_block.source` is missing",
        ),
    ] {
        let refused = StreamReader::default().read(data, &mut Vec::new());
        assert_eq!(refused.map_err(|error| error.to_string()), Err(error.into()));
    }
    let mut writer = StreamWriter::new("m", Dialect::OpenAiChat, 0);
    writer.write(&Event::Piece { choice: 1, part: 0, text: "x".into() }, |_, _| panic!());
    assert_eq!(writer.losses().features(), [Feature::Answers]);
}

#[test]
fn what_waits_is_bounded() {
    let open = |part| Event::Open { choice: 0, part, opening: Opening::Text };
    let piece = |len| Event::Piece { choice: 0, part: 1, text: "x".repeat(len).into() };
    let mut told = Vec::new();
    let mut writer = StreamWriter::new("m", Dialect::OpenAiChat, 0);
    for event in [open(0), open(1), piece(WAITING_BYTES_MAX)] {
        writer.write(&event, |kind, _| told.push(kind));
    }
    assert!(writer.losses().is_empty());
    writer.write(&piece(1), |kind, _| told.push(kind));
    assert_eq!(writer.losses().features(), [Feature::ParallelCalls]);
    assert_eq!(told, ["content_block_start"]);
    writer.write(&Event::Close { choice: 0, part: 0 }, |kind, data| {
        told.push(kind);
        assert!(data.len() < WAITING_BYTES_MAX + 200);
    });
    assert_eq!(told[1..], ["content_block_stop", "content_block_start", "content_block_delta"]);
    // There is room again.
    writer.write(&piece(1), |kind, _| told.push(kind));
    assert_eq!(told.last(), Some(&"content_block_delta"));
}

//! Streams of Converse: to events and back, and what comes of those of Chat Completions and Messages.
#![allow(clippy::unwrap_used, clippy::panic)]

mod recordings;

use penstock_ai::bedrock::{BLOCKS_MAX, StreamReader, StreamWriter};
use penstock_ai::dialect::Dialect;
use penstock_ai::event_stream::{FrameReader, HeaderValue, write_frame};
use penstock_ai::form::{Answer, Collected, Event, Feature, Note, Opening, Part, Stop};
use penstock_ai::usage::Usage;
use penstock_ai::{anthropic, openai_chat};

fn collected(events: &[Event<'_>]) -> Answer<'static> {
    let mut collected = Collected::new(Dialect::Bedrock);
    events.iter().for_each(|event| collected.take(event));
    collected.finish()
}

/// What comes of these events, each with its type.
fn read<'a>(told: &[(&'a str, &'a [u8])]) -> Vec<Event<'a>> {
    let mut reader = StreamReader::default();
    let mut events = Vec::new();
    told.iter().for_each(|(kind, payload)| reader.read(kind, payload, &mut events).unwrap());
    events
}

fn written(events: &[Event<'_>], from: Dialect) -> (Vec<(&'static str, Vec<u8>)>, StreamWriter) {
    let mut writer = StreamWriter::new(from);
    let mut told = Vec::new();
    events.iter().for_each(|event| writer.write(event, |kind, data| told.push((kind, data.to_vec()))));
    (told, writer)
}

/// The frames of a stream.
fn frames(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    let mut reader = FrameReader::default();
    while !bytes.is_empty() {
        let step = reader.step(bytes).unwrap();
        let len = step.len;
        frames.extend(step.frame.map(|frame| frame.raw().to_vec()));
        bytes = &bytes[len..];
    }
    frames
}

/// The events of a stream of frames.
fn events(frames: &[Vec<u8>]) -> Vec<Event<'static>> {
    let mut reader = StreamReader::default();
    let mut all = Vec::new();
    for raw in frames {
        let raw: &'static [u8] = raw.clone().leak();
        let decoder: &'static mut FrameReader = Box::leak(Box::default());
        reader.read_frame(&decoder.step(raw).unwrap().frame.unwrap(), &mut all).unwrap();
    }
    all
}

#[test]
fn recorded_streams_mean_the_same_after_a_round_trip() {
    let mut n = 0;
    for (path, bytes) in recordings::files(".response.eventstream.bin") {
        n += 1;
        let frames = frames(bytes);
        // Each pads itself in a member that says nothing.
        assert!(frames.iter().all(|frame| frame.windows(6).any(|all| all == b"\"p\":\"a")));
        let events = events(&frames);
        // Usage comes last, behind the reason.
        let count = events.len();
        assert!(matches!(events[count - 3..], [Event::Stop { .. }, Event::Usage(_), Event::End]));
        let answer = collected(&events);
        assert!(answer.usage.is_some_and(|usage| usage.input >= 13 && usage.output >= 18));
        let (told, writer) = written(&events, Dialect::Bedrock);
        assert!(writer.losses().is_empty());
        let again: Vec<(&str, &[u8])> = told.iter().map(|(kind, data)| (*kind, data.as_slice())).collect();
        assert_eq!(collected(&read(&again)), answer, "{}", path.display());
        // And through the others.
        let said = |answer: &Answer<'static>| {
            let parts = answer.choices[0].parts.iter().map(|part| match part {
                Part::Text(text) => text.text.text().into_owned(),
                Part::ToolCall(call) => format!("{:?} {:?} {}", call.id, call.name, call.arguments.to_text()),
                other => panic!("{other:?}"),
            });
            (parts.collect::<Vec<_>>(), answer.choices[0].stop.clone(), answer.usage)
        };
        let mut writer = openai_chat::StreamWriter::new("fast", true);
        let mut data: Vec<Vec<u8>> = Vec::new();
        events.iter().for_each(|event| writer.write(event, |bytes| data.push(bytes.to_vec())));
        let mut reader = openai_chat::StreamReader::default();
        let mut chat = Vec::new();
        data.iter().for_each(|data| reader.read(data, &mut chat).unwrap());
        assert_eq!(said(&collected(&chat)), said(&answer), "{}", path.display());
        let mut writer = anthropic::StreamWriter::new("fast", Dialect::Bedrock, 0);
        let mut data: Vec<Vec<u8>> = Vec::new();
        events.iter().for_each(|event| writer.write(event, |_, bytes| data.push(bytes.to_vec())));
        let mut reader = anthropic::StreamReader::default();
        let mut messages = Vec::new();
        data.iter().for_each(|data| reader.read(data, &mut messages).unwrap());
        assert_eq!(said(&collected(&messages)), said(&answer), "{}", path.display());
    }
    assert!(n >= 3 || recordings::are_absent(), "only {n} streams");
}

#[test]
fn blocks_of_each_kind_are_parts() {
    let told: [(&str, &[u8]); 17] = [
        ("messageStart", br#"{"role":"assistant"}"#),
        ("contentBlockDelta", br#"{"contentBlockIndex":0,"delta":{"reasoningContent":{"text":"h"}}}"#),
        ("contentBlockDelta", br#"{"contentBlockIndex":0,"delta":{"reasoningContent":{"text":"m"}}}"#),
        ("contentBlockDelta", br#"{"contentBlockIndex":0,"delta":{"reasoningContent":{"signature":"S"}}}"#),
        ("contentBlockStop", br#"{"contentBlockIndex":0}"#),
        ("contentBlockDelta", br#"{"contentBlockIndex":1,"delta":{"reasoningContent":{"redactedContent":"RR"}}}"#),
        ("contentBlockStop", br#"{"contentBlockIndex":1}"#),
        ("contentBlockDelta", br#"{"contentBlockIndex":2,"delta":{"text":"a"}}"#),
        ("contentBlockDelta", br#"{"contentBlockIndex":2,"delta":{"citation":{"title":"T"}}}"#),
        ("contentBlockStart", br#"{"contentBlockIndex":3,"start":{"toolUse":{"toolUseId":"t","name":"f"}}}"#),
        ("contentBlockDelta", br#"{"contentBlockIndex":3,"delta":{"toolUse":{"input":"{}"}}}"#),
        ("contentBlockStart", br#"{"contentBlockIndex":4,"start":{"toolUse":{"toolUseId":"s","name":"g","type":"server_tool_use"}}}"#),
        ("contentBlockDelta", br#"{"contentBlockIndex":4,"delta":{"toolUse":{"input":"{}"}}}"#),
        ("newEvent", br#"{"x":1}"#),
        ("messageStop", br#"{"stopReason":"tool_use"}"#),
        ("messageStop", br#"{"stopReason":"end_turn"}"#),
        ("metadata", br#"{"usage":{"inputTokens":3,"outputTokens":4},"metrics":{"latencyMs":1},"serviceTier":{"type":"flex"}}"#),
    ];
    let events = read(&told);
    let closes = events.iter().filter(|event| matches!(event, Event::Close { .. })).count();
    assert_eq!(closes, 5, "the reason of the end closes what is open");
    let answer = collected(&events);
    assert_eq!(answer.choices[0].stop, Some(Stop::ToolCalls), "the first reason counts");
    assert_eq!(answer.service_tier.as_ref().map(|tier| tier.text().into_owned()).as_deref(), Some("flex"));
    let Part::Thought(thought) = &answer.choices[0].parts[0] else { panic!() };
    assert!(thought.text.is("hm") && thought.signature.as_ref().unwrap().is("S"));
    let Part::Thought(sealed) = &answer.choices[0].parts[1] else { panic!() };
    assert!(sealed.sealed.as_ref().unwrap().is("RR"));
    let Part::Text(text) = &answer.choices[0].parts[2] else { panic!() };
    assert_eq!(text.citations.as_ref().unwrap().to_json(), r#"[{"title":"T"}]"#);
    let Part::Foreign(server) = &answer.choices[0].parts[4] else { panic!() };
    assert!(server.to_json().contains("server_tool_use"));
    let (again, writer) = written(&events, Dialect::Bedrock);
    assert!(writer.losses().is_empty());
    let again: Vec<(&str, &[u8])> = again.iter().map(|(kind, data)| (*kind, data.as_slice())).collect();
    assert_eq!(collected(&read(&again)), answer);
}

/// A frame with these headers.
fn frame(headers: &[(&str, &str)], payload: &[u8]) -> Vec<u8> {
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, HeaderValue::Text(value))).collect();
    let mut out = Vec::new();
    write_frame(&mut out, &headers, payload).unwrap();
    out
}

#[test]
fn trap_39_frames_that_are_errors_are_told() {
    let delta = br#"{"contentBlockIndex":0,"delta":{"text":"a"}}"#;
    let delta = frame(&[(":message-type", "event"), (":event-type", "contentBlockDelta")], delta);
    let exception = frame(
        &[(":message-type", "exception"), (":exception-type", "throttlingException")],
        br#"{"message":"slow down"}"#,
    );
    let all = events(&[delta.clone(), exception]);
    let failed = |kind: &'static str, message: &'static str| Event::Failed {
        kind: Some(kind.into()),
        message: message.into(),
    };
    assert_eq!(all.last(), Some(&failed("throttlingException", "slow down")));
    let error = frame(
        &[(":message-type", "error"), (":error-code", "InternalError"), (":error-message", "broken")],
        b"",
    );
    let all = events(&[delta, error]);
    assert_eq!(all.last(), Some(&failed("InternalError", "broken")));
    let (told, _) = written(&all, Dialect::Bedrock);
    assert_eq!(told.last().unwrap(), &("modelStreamErrorException", br#"{"message":"broken"}"#.to_vec()));
    assert!(told.iter().all(|(kind, _)| *kind != "messageStop"), "no end is made up");
}

#[test]
fn a_stream_that_was_cut_has_no_end() {
    let all = read(&[
        ("messageStart", br#"{"role":"assistant"}"#),
        ("contentBlockDelta", br#"{"contentBlockIndex":0,"delta":{"text":"a"}}"#),
        ("metadata", br#"{"usage":{"inputTokens":3}}"#),
    ]);
    assert!(!all.contains(&Event::End));
}

#[test]
fn malformed_events_are_told_and_more_than_one_answer_is_lost() {
    let many = format!(r#"{{"contentBlockIndex":{BLOCKS_MAX},"delta":{{"text":"a"}}}}"#);
    for (kind, data, error) in [
        ("messageStart", &b"{"[..], "the body is not JSON: the text ends too early at byte 1"),
        ("messageStop", b"{}", "`stopReason` is missing"),
        ("contentBlockDelta", many.as_bytes(), "`contentBlockIndex` must be a small number"),
        (
            "contentBlockDelta",
            br#"{"contentBlockIndex":0,"delta":{"toolUse":{"input":"{}"}}}"#,
            "`delta.toolUse` must be in a block that began as a call",
        ),
        (
            "contentBlockStart",
            br#"{"contentBlockIndex":0,"start":{"toolUse":{"toolUseId":"a"}}}"#,
            "`start.toolUse.name` is missing",
        ),
    ] {
        let refused = StreamReader::default().read(kind, data, &mut Vec::new());
        assert_eq!(refused.map_err(|error| error.to_string()), Err(error.into()));
    }
    let mut writer = StreamWriter::new(Dialect::OpenAiChat);
    writer.write(&Event::Piece { choice: 1, part: 0, text: "x".into() }, |_, _| panic!());
    assert_eq!(writer.losses().features(), [Feature::Answers]);
}

#[test]
fn events_of_others_become_frames() {
    let events = [
        Event::Start { id: "r".into(), model: "gemini".into(), created: None },
        Event::Open { choice: 0, part: 0, opening: Opening::Thought },
        Event::Piece { choice: 0, part: 0, text: "hm".into() },
        Event::Signature { choice: 0, part: 0, signature: "G".into() },
        Event::Close { choice: 0, part: 0 },
        Event::Open { choice: 0, part: 1, opening: Opening::Sealed("x".into()) },
        Event::Close { choice: 0, part: 1 },
        Event::Open {
            choice: 0,
            part: 2,
            opening: Opening::ToolCall { id: Some("c".into()), name: "f".into(), is_free: false },
        },
        Event::Piece { choice: 0, part: 2, text: "{}".into() },
        Event::Close { choice: 0, part: 2 },
        Event::Open { choice: 0, part: 3, opening: Opening::Text },
        Event::Note { choice: 0, part: 3, note: Note::Logprobs(Vec::new().into()) },
        Event::Close { choice: 0, part: 3 },
        Event::Stop { choice: 0, stop: Stop::End, sequence: None },
        Event::Usage(Usage { input: 5, output: 6, ..Usage::default() }),
        Event::End,
    ];
    let (told, writer) = written(&events, Dialect::Gemini);
    let told: Vec<String> =
        told.into_iter().map(|(kind, data)| format!("{kind} {}", String::from_utf8(data).unwrap())).collect();
    assert_eq!(
        told,
        [
            r#"messageStart {"role":"assistant"}"#,
            r#"contentBlockDelta {"contentBlockIndex":0,"delta":{"reasoningContent":{"text":"hm"}}}"#,
            r#"contentBlockStop {"contentBlockIndex":0}"#,
            r#"contentBlockStart {"contentBlockIndex":2,"start":{"toolUse":{"toolUseId":"c","name":"f"}}}"#,
            r#"contentBlockDelta {"contentBlockIndex":2,"delta":{"toolUse":{"input":"{}"}}}"#,
            r#"contentBlockStop {"contentBlockIndex":2}"#,
            r#"contentBlockStop {"contentBlockIndex":3}"#,
            r#"messageStop {"stopReason":"tool_use"}"#,
            r#"metadata {"usage":{"inputTokens":5,"outputTokens":6,"totalTokens":11},"metrics":{"latencyMs":0}}"#,
        ]
    );
    let told = [Feature::ThinkingSignature, Feature::ThinkingSealed, Feature::Logprobs];
    assert_eq!(writer.losses().features(), told);
}

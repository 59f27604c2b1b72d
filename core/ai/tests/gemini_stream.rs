//! Streams of generateContent: to events and back, and what comes of those of Chat Completions and Messages.
#![allow(clippy::unwrap_used, clippy::panic)]

mod recordings;
mod streams;

use penstock_ai::dialect::Dialect;
use penstock_ai::form::{Answer, Collected, Event, Feature, Note, Opening, Part, Stop};
use penstock_ai::gemini::{ArrayReader, ArrayWriter, StreamReader, StreamWriter, WAITING_BYTES_MAX};
use penstock_ai::json::Value;
use penstock_ai::sse::SseLimits;
use penstock_ai::{anthropic, openai_chat};

/// The events of a stream that ended behind these pieces.
fn read<'a>(data: &[&'a [u8]]) -> Vec<Event<'a>> {
    let mut reader = StreamReader::default();
    let mut events = Vec::new();
    data.iter().for_each(|data| reader.read(data, &mut events).unwrap());
    reader.finish(&mut events);
    reader.finish(&mut events);
    holds(&events);
    events
}

/// Parts open in order, get pieces while they are open and close once, and nothing of a choice follows its end.
fn holds(events: &[Event<'_>]) {
    let mut open: Vec<Vec<bool>> = Vec::new();
    for (n, event) in events.iter().enumerate() {
        match event {
            Event::Start { .. } => assert_eq!(n, 0),
            Event::Open { choice, part, .. } => {
                open.resize(open.len().max(*choice as usize + 1), Vec::new());
                assert_eq!(open[*choice as usize].len(), *part as usize);
                open[*choice as usize].push(true);
            }
            Event::Piece { choice, part, .. }
            | Event::Signature { choice, part, .. }
            | Event::Note { choice, part, .. } => assert!(open[*choice as usize][*part as usize]),
            Event::Close { choice, part } => {
                assert!(std::mem::replace(&mut open[*choice as usize][*part as usize], false));
            }
            Event::Stop { choice, .. } => {
                assert!(open.get(*choice as usize).is_none_or(|parts| parts.iter().all(|is_open| !is_open)));
            }
            _ => {}
        }
    }
}

fn collected(events: &[Event<'_>]) -> Answer<'static> {
    let mut collected = Collected::new(Dialect::Gemini);
    events.iter().for_each(|event| collected.take(event));
    collected.finish()
}

fn written(events: &[Event<'_>], from: Dialect) -> (Vec<Vec<u8>>, StreamWriter) {
    let mut writer = StreamWriter::new("fast", from);
    let mut data = Vec::new();
    events.iter().for_each(|event| writer.write(event, |bytes| data.push(bytes.to_vec())));
    (data, writer)
}

fn lines(data: &[Vec<u8>]) -> Vec<&[u8]> {
    data.iter().map(Vec::as_slice).collect()
}

/// The stream as one of Chat Completions, and its answer there.
fn in_chat(events: &[Event<'_>]) -> (String, Answer<'static>) {
    let mut writer = openai_chat::StreamWriter::new("fast", true);
    let mut data: Vec<Vec<u8>> = Vec::new();
    events.iter().for_each(|event| writer.write(event, |bytes| data.push(bytes.to_vec())));
    let mut reader = openai_chat::StreamReader::default();
    let mut again = Vec::new();
    data.iter().for_each(|data| reader.read(data, &mut again).unwrap());
    (String::from_utf8(data.join(&b'\n')).unwrap(), collected(&again))
}

/// The answer of the stream as one of Messages.
fn in_messages(events: &[Event<'_>]) -> Answer<'static> {
    let mut writer = anthropic::StreamWriter::new("fast", Dialect::Gemini, 0);
    let mut data: Vec<Vec<u8>> = Vec::new();
    events.iter().for_each(|event| writer.write(event, |_, bytes| data.push(bytes.to_vec())));
    let mut reader = anthropic::StreamReader::default();
    let mut again = Vec::new();
    data.iter().for_each(|data| reader.read(data, &mut again).unwrap());
    collected(&again)
}

#[test]
fn recorded_streams_mean_the_same_after_a_round_trip() {
    let mut n = 0;
    for (path, bytes) in recordings::files(".sse") {
        if !path.to_string_lossy().contains("/gemini-") {
            continue;
        }
        n += 1;
        let blocks = streams::read(bytes, [bytes.len()], SseLimits::default()).blocks;
        // Lines end in CRLF, and there is no last event that only says so.
        assert!(bytes.ends_with(b"}\r\n\r\n") && blocks.iter().all(|block| block.data.ends_with(b"}")));
        let data: Vec<&[u8]> = blocks.iter().map(|block| block.data.as_slice()).collect();
        let events = read(&data);
        assert_eq!(events.last(), Some(&Event::End), "{}", path.display());
        let answer = collected(&events);
        assert!(answer.choices[0].stop.is_some() && answer.usage.is_some_and(|usage| usage.output >= 8));
        let mut writer = StreamWriter::new(&answer.model.text(), Dialect::Gemini);
        let mut again = Vec::new();
        events.iter().for_each(|event| writer.write(event, |bytes| again.push(bytes.to_vec())));
        assert_eq!(collected(&read(&lines(&again))), answer, "{}", path.display());
        assert!(writer.losses().is_empty(), "{}", writer.losses());
        let calls = answer.choices[0].parts.iter().filter_map(|part| match part {
            Part::ToolCall(call) => Some(call),
            _ => None,
        });
        for call in calls {
            // An object beside which its signature stands, and no id.
            assert!(call.signature.is_some() && call.arguments.to_text() == "{}");
            assert!(call.id.as_ref().unwrap().text().starts_with("gcall_"));
        }
        let said = |answer: &Answer<'static>| {
            let parts = answer.choices[0].parts.iter().map(|part| match part {
                Part::Text(text) => text.text.text().into_owned(),
                Part::ToolCall(call) => format!("{:?} {:?} {}", call.id, call.name, call.arguments.to_text()),
                other => panic!("{other:?}"),
            });
            (parts.collect::<Vec<_>>(), answer.choices[0].stop.clone(), answer.usage.unwrap().output_total())
        };
        assert_eq!(said(&in_chat(&events).1), said(&answer));
        assert_eq!(said(&in_messages(&events)), said(&answer));
    }
    assert!(n >= 3 || recordings::are_absent(), "only {n} streams");
}

#[test]
fn trap_08_calls_that_come_one_a_piece_are_counted_over_all() {
    let events = read(&[
        br#"{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{"a":1}}}]}}],"responseId":"r"}"#,
        br#"{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{"a":2}}}]}}],"responseId":"r"}"#,
        br#"{"candidates":[{"content":{"parts":[{"functionCall":{"name":"g","args":{}}}]},"finishReason":"STOP"}]}"#,
    ]);
    let (text, answer) = in_chat(&events);
    for call in [
        r#"{"index":0,"id":"gcall_r_0","type":"function","function":{"name":"f","arguments":""}}"#,
        r#"{"index":0,"function":{"arguments":"{\"a\":1}"}}"#,
        r#"{"index":1,"id":"gcall_r_1","type":"function","function":{"name":"f","arguments":""}}"#,
        r#"{"index":1,"function":{"arguments":"{\"a\":2}"}}"#,
        r#"{"index":2,"id":"gcall_r_2","type":"function","function":{"name":"g","arguments":""}}"#,
    ] {
        assert!(text.contains(call), "{call} in {text}");
    }
    assert_eq!(answer.choices[0].stop, Some(Stop::ToolCalls));
}

#[test]
fn trap_12_a_stop_behind_the_call_is_one_for_calls() {
    let pieces: [&[u8]; 2] = [
        br#"{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{}}}]},"index":0}]}"#,
        br#"{"candidates":[{"content":{"parts":[{"text":""}]},"finishReason":"STOP","index":0}]}"#,
    ];
    let events = read(&pieces);
    assert_eq!(collected(&events).choices[0].stop, Some(Stop::ToolCalls));
    assert_eq!(in_messages(&events).choices[0].stop, Some(Stop::ToolCalls));
}

#[test]
fn trap_13_other_reasons_stay_what_they_are() {
    for (word, stop) in [("MAX_TOKENS", Stop::MaxOutput), ("SAFETY", Stop::Filtered)] {
        let last = format!(r#"{{"candidates":[{{"finishReason":"{word}"}}]}}"#);
        let call = br#"{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{}}}]},"finishReason":"STOP"}]}"#;
        // Whichever of the two comes last.
        for pieces in [[&call[..], last.as_bytes()], [last.as_bytes(), &call[..]]] {
            let events = read(&pieces);
            assert_eq!(collected(&events).choices[0].stop, Some(stop.clone()));
            assert_eq!(in_chat(&events).1.choices[0].stop, Some(stop.clone()));
        }
    }
}

#[test]
fn older_models_say_stop_with_every_piece() {
    let events = read(&[
        br#"{"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"STOP"}]}"#,
        br#"{"candidates":[{"content":{"parts":[{"text":"b"}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":1,"candidatesTokenCount":2}}"#,
    ]);
    let stops = events.iter().filter(|event| matches!(event, Event::Stop { .. })).count();
    assert_eq!((stops, events.last()), (1, Some(&Event::End)));
    let Part::Text(text) = &collected(&events).choices[0].parts[0] else { panic!() };
    assert!(text.text.is("ab"));
}

#[test]
fn trap_39_an_error_within_a_stream_is_one() {
    let events = read(&[
        br#"{"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"STOP"}]}"#,
        br#"{"error":{"code":429,"message":"slow down","status":"RESOURCE_EXHAUSTED"}}"#,
    ]);
    let failed = Event::Failed { kind: Some("RESOURCE_EXHAUSTED".into()), message: "slow down".into() };
    assert_eq!(events.last(), Some(&failed));
    let (data, _) = written(&events, Dialect::Gemini);
    assert_eq!(
        data.last().unwrap(),
        br#"{"error":{"code":429,"message":"slow down","status":"RESOURCE_EXHAUSTED"}}"#
    );
    assert!(!in_chat(&events).0.contains("[DONE]"), "no end is made up");
    for (kind, code) in [("overloaded_error", "503"), ("api_error", "500"), ("invalid_request_error", "400")]
    {
        let failed = Event::Failed { kind: Some(kind.into()), message: "m".into() };
        let (data, _) = written(&[failed], Dialect::Anthropic);
        let text = String::from_utf8(data.concat()).unwrap();
        assert!(text.contains(&format!(r#""code":{code}"#)), "{kind}: {text}");
    }
}

#[test]
fn trap_40_an_error_as_bare_json_behind_the_last_event_is_one() {
    let stream = b"data: {\"candidates\": [{\"content\": {\"parts\": [{\"text\": \"a\"}]}}]}\r\n\r\n{\n  \"error\": {\n    \"code\": 503,\n    \"message\": \"shed\",\n    \"status\": \"UNAVAILABLE\"\n  }\n}\n";
    for ends in [vec![stream.len()], (1..=stream.len()).collect()] {
        let blocks = streams::read(stream, ends, SseLimits::default()).blocks;
        let mut reader = StreamReader::default();
        let mut events = Vec::new();
        for block in &blocks {
            let data = if block.stray.is_empty() { &block.data } else { &block.stray };
            reader.read(data, &mut events).unwrap();
        }
        reader.finish(&mut events);
        let failed = Event::Failed { kind: Some("UNAVAILABLE".into()), message: "shed".into() };
        assert_eq!(events.last(), Some(&failed));
    }
}

#[test]
fn a_stream_that_was_cut_has_no_end() {
    let events = read(&[br#"{"candidates":[{"content":{"parts":[{"text":"a"}]}}]}"#]);
    assert!(matches!(events.last(), Some(Event::Close { .. })));
    assert!(read(&[]).is_empty());
}

#[test]
fn a_prompt_that_was_blocked_ends_as_filtered() {
    let events =
        read(&[br#"{"promptFeedback":{"blockReason":"SAFETY"},"usageMetadata":{"promptTokenCount":3}}"#]);
    let stop = Event::Stop { choice: 0, stop: Stop::Filtered, sequence: None };
    assert_eq!(events[events.len() - 2..], [stop, Event::End]);
    assert!(in_chat(&events).0.contains(r#""finish_reason":"content_filter""#));
}

#[test]
fn the_stream_as_an_array_is_the_same() {
    let pieces = [
        r#"{"candidates":[{"content":{"parts":[{"text":"a]"}]},"index":0}],"modelVersion":"m"}"#,
        r#"{"candidates":[{"content":{"parts":[{"text":"b"}]},"index":1,"finishReason":"MAX_TOKENS"},{"finishReason":"STOP"}]}"#,
    ];
    let expected = read(&[pieces[0].as_bytes(), pieces[1].as_bytes()]);
    assert_eq!(expected.last(), Some(&Event::End));
    let text = format!("[{}\n,\r\n{}\n]\n", pieces[0], pieces[1]);
    assert_eq!(read(&[text.as_bytes()]), expected, "whole");
    let mut array = ArrayReader::default();
    let mut elements: Vec<Vec<u8>> = Vec::new();
    for byte in text.bytes() {
        elements.extend(array.step(&[byte]).unwrap().element.map(<[u8]>::to_vec));
    }
    assert_eq!(read(&lines(&elements)), expected, "byte by byte");
    let (data, _) = written(&expected, Dialect::Gemini);
    let mut out = Vec::new();
    let mut writer = ArrayWriter::default();
    data.iter().for_each(|data| writer.element(&mut out, data));
    writer.end(&mut out);
    assert_eq!(collected(&read(&[&out])).choices, collected(&expected).choices);
}

#[test]
fn thoughts_signatures_and_sources_keep_their_place() {
    let events = read(&[
        br#"{"candidates":[{"content":{"parts":[{"text":"h","thought":true}]}}]}"#,
        br#"{"candidates":[{"content":{"parts":[{"text":"m","thought":true},{"text":"a"}]}}]}"#,
        br#"{"candidates":[{"content":{"parts":[{"text":"b"},{"text":"","thoughtSignature":"S1"},{"text":"c","thoughtSignature":"S2"},{"executableCode":{"code":"1"}}]}}]}"#,
        br#"{"candidates":[{"content":{"parts":[{"text":"d"}]},"groundingMetadata":{"webSearchQueries":["q"]},"logprobsResult":{"chosenCandidates":[]},"finishReason":"STOP"}]}"#,
    ]);
    let answer = collected(&events);
    let shape: Vec<_> = answer.choices[0]
        .parts
        .iter()
        .map(|part| match part {
            Part::Thought(thought) => format!("thought {}", thought.text.text()),
            Part::Text(text) => {
                format!("{} {:?} {:?}", text.text.text(), text.signature, text.citations.is_some())
            }
            Part::Foreign(value) => value.to_json(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        shape,
        [
            "thought hm",
            "ab Some(\"S1\") false",
            "c Some(\"S2\") false",
            r#"{"executableCode":{"code":"1"}}"#,
            "d None true"
        ]
    );
    let (data, writer) = written(&events, Dialect::Gemini);
    assert!(writer.losses().is_empty(), "{}", writer.losses());
    assert_eq!(collected(&read(&lines(&data))).choices, answer.choices);
}

#[test]
fn events_of_others_become_pieces() {
    let call = |part, id: &'static str, is_free| Event::Open {
        choice: 0,
        part,
        opening: Opening::ToolCall { id: Some(id.into()), name: "f".into(), is_free },
    };
    let piece = |part, text: &'static str| Event::Piece { choice: 0, part, text: text.into() };
    let events = [
        Event::Start { id: "r".into(), model: "claude".into(), created: None },
        Event::Open { choice: 0, part: 0, opening: Opening::Thought },
        piece(0, "hm"),
        Event::Signature { choice: 0, part: 0, signature: "s".into() },
        Event::Close { choice: 0, part: 0 },
        Event::Open { choice: 0, part: 1, opening: Opening::Sealed("x".into()) },
        Event::Close { choice: 0, part: 1 },
        Event::Open { choice: 0, part: 2, opening: Opening::Text },
        piece(2, "a"),
        Event::Note { choice: 0, part: 2, note: Note::Citation(Value::Null) },
        Event::Close { choice: 0, part: 2 },
        // Two calls at once, as Chat sends them.
        call(3, "c1", false),
        piece(3, "{\"x\""),
        call(4, "c2", true),
        piece(4, "free"),
        piece(3, ":1}"),
        Event::Close { choice: 0, part: 3 },
        Event::Close { choice: 0, part: 4 },
        Event::Stop { choice: 0, stop: Stop::ToolCalls, sequence: None },
        Event::Usage(penstock_ai::usage::Usage { input: 5, cached_read: 2, output: 6, ..Default::default() }),
        Event::End,
    ];
    let (data, writer) = written(&events, Dialect::Anthropic);
    let text: Vec<String> = data.into_iter().map(|data| String::from_utf8(data).unwrap()).collect();
    let piece = |part: &str| {
        format!(
            r#"{{"candidates":[{{"content":{{"parts":[{part}],"role":"model"}},"index":0}}],"modelVersion":"fast","responseId":"r"}}"#
        )
    };
    assert_eq!(
        text,
        [
            piece(r#"{"text":"hm","thought":true}"#),
            piece(r#"{"text":"a"}"#),
            piece(r#"{"functionCall":{"id":"c1","name":"f","args":{"x":1}}}"#),
            piece(r#"{"functionCall":{"id":"c2","name":"f","args":{"arguments":"free"}}}"#),
            concat!(
                r#"{"candidates":[{"content":{"parts":[{"text":""}],"role":"model"},"finishReason":"STOP","index":0}],"#,
                r#""usageMetadata":{"promptTokenCount":7,"candidatesTokenCount":6,"cachedContentTokenCount":2,"totalTokenCount":13},"#,
                r#""modelVersion":"fast","responseId":"r"}"#
            )
            .into(),
        ]
    );
    let told =
        [Feature::ThinkingSignature, Feature::ThinkingSealed, Feature::Citations, Feature::CustomTools];
    assert_eq!(writer.losses().features(), told);
}

#[test]
fn arguments_that_wait_are_bounded() {
    let mut writer = StreamWriter::new("m", Dialect::OpenAiChat);
    let opening = Opening::ToolCall { id: None, name: "f".into(), is_free: false };
    writer.write(&Event::Open { choice: 0, part: 0, opening }, |_| panic!());
    let piece = |len| Event::Piece { choice: 0, part: 0, text: "x".repeat(len).into() };
    writer.write(&piece(WAITING_BYTES_MAX), |_| panic!());
    assert!(writer.losses().is_empty());
    writer.write(&piece(1), |_| panic!());
    assert_eq!(writer.losses().features(), [Feature::ParallelCalls]);
    let mut len = 0;
    writer.write(&Event::Close { choice: 0, part: 0 }, |data| len = data.len());
    assert!((WAITING_BYTES_MAX..WAITING_BYTES_MAX + 200).contains(&len));
    // There is room again.
    let opening = Opening::ToolCall { id: None, name: "f".into(), is_free: false };
    writer.write(&Event::Open { choice: 0, part: 1, opening }, |_| panic!());
    writer.write(&Event::Piece { choice: 0, part: 1, text: "{}".into() }, |_| panic!());
    writer.write(&Event::Close { choice: 0, part: 1 }, |data| {
        assert!(data.windows(9).any(|all| all == b"\"args\":{}"))
    });
}

#[test]
fn malformed_pieces_are_told() {
    for (data, error) in [
        (&b"{"[..], "the body is not JSON: the text ends too early at byte 1"),
        (br#"{"candidates":[{"index":200}]}"#, "`candidates[0].index` must be a small number"),
        (
            br#"{"candidates":[{"content":{"parts":[{"functionCall":{"args":{}}}]}}]}"#,
            "`candidates[0].content.parts[0].functionCall.name` is missing",
        ),
        (b"7", "`body` must be an object"),
    ] {
        let refused = StreamReader::default().read(data, &mut Vec::new());
        assert_eq!(refused.map_err(|error| error.to_string()), Err(error.into()));
    }
}

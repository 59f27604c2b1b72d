//! Streams of Chat Completions: to events and back.
#![allow(clippy::unwrap_used, clippy::panic)]

mod recordings;
mod streams;

use penstock_ai::dialect::Dialect;
use penstock_ai::form::{Answer, Arguments, Choice, Collected, Event, Feature, Opening, Part, Stop};
use penstock_ai::json::{Str, Value};
use penstock_ai::openai_chat::{DONE, StreamReader, StreamWriter};
use penstock_ai::sse::SseLimits;
use penstock_ai::usage::Usage;

/// What comes of the data of a stream's events: the events, and the answer that they make.
fn read<'a>(data: &[&'a [u8]]) -> (Vec<Event<'a>>, Answer<'static>) {
    let mut reader = StreamReader::default();
    let mut events = Vec::new();
    for data in data {
        reader.read(data, &mut events).unwrap();
    }
    let mut collected = Collected::new(Dialect::OpenAiChat);
    events.iter().for_each(|event| collected.take(event));
    holds(&events);
    (events, collected.finish())
}

/// What must hold of any events: they begin once, parts open in order, get pieces while they are open and close once, and
/// nothing of a choice follows its end.
fn holds(events: &[Event<'_>]) {
    let mut open: Vec<Vec<bool>> = Vec::new();
    let mut stopped: Vec<bool> = Vec::new();
    for (n, event) in events.iter().enumerate() {
        if let Event::Open { choice, .. } | Event::Stop { choice, .. } = event {
            open.resize(open.len().max(*choice as usize + 1), Vec::new());
            stopped.resize(open.len(), false);
        }
        match event {
            Event::Start { .. } => assert_eq!(n, 0),
            Event::Open { choice, part, .. } => {
                let parts = &mut open[*choice as usize];
                assert_eq!(parts.len(), *part as usize);
                parts.push(true);
                assert!(!stopped[*choice as usize]);
            }
            Event::Piece { choice, part, .. }
            | Event::Signature { choice, part, .. }
            | Event::Note { choice, part, .. } => {
                assert!(open[*choice as usize][*part as usize]);
            }
            Event::Close { choice, part } => {
                assert!(std::mem::replace(&mut open[*choice as usize][*part as usize], false));
            }
            Event::Stop { choice, .. } => {
                assert!(open[*choice as usize].iter().all(|is_open| !is_open));
                assert!(!std::mem::replace(&mut stopped[*choice as usize], true));
            }
            Event::Usage(_) | Event::ServiceTier(_) | Event::Failed { .. } | Event::End => {}
        }
    }
}

/// The data of the events that a writer makes of these.
fn written(events: &[Event<'_>], tells_usage: bool) -> (Vec<Vec<u8>>, StreamWriter) {
    let mut writer = StreamWriter::new("fast", tells_usage);
    let mut data = Vec::new();
    events.iter().for_each(|event| writer.write(event, |bytes| data.push(bytes.to_vec())));
    (data, writer)
}

fn lines(data: &[Vec<u8>]) -> Vec<&[u8]> {
    data.iter().map(Vec::as_slice).collect()
}

#[test]
fn recorded_streams_mean_the_same_after_a_round_trip() {
    let mut n = 0;
    for (path, bytes) in recordings::files(".sse") {
        let blocks = streams::read(bytes, [bytes.len()], SseLimits::default()).blocks;
        let data: Vec<&[u8]> = blocks.iter().map(|block| block.data.as_slice()).collect();
        let is_chat = |data: &&[u8]| {
            Value::parse(data)
                .is_ok_and(|chunk| chunk.get("object").is_some_and(|kind| kind.is("chat.completion.chunk")))
        };
        if !data.first().is_some_and(is_chat) {
            continue;
        }
        n += 1;
        let (events, answer) = read(&data);
        if let Some(Event::Failed { message, .. }) = events.last() {
            // One of them breaks off: Groq's check of what the model called.
            assert!(
                message.text().contains("Tool call validation failed") && answer.choices[0].stop.is_none()
            );
            continue;
        }
        assert_eq!(events.last(), Some(&Event::End), "{}", path.display());
        assert!(!answer.choices[0].parts.is_empty() && answer.usage.is_some(), "{}", path.display());
        let mut writer = StreamWriter::new(&answer.model.text(), true);
        let mut again = Vec::new();
        events.iter().for_each(|event| writer.write(event, |bytes| again.push(bytes.to_vec())));
        let (_, second) = read(&lines(&again));
        assert_eq!(second, answer, "{}", path.display());
        assert!(writer.losses().is_empty());
    }
    assert!(n >= 2 || recordings::are_absent(), "only {n} streams");
}

fn call(answer: &Answer<'_>, n: usize) -> (Option<String>, String, String) {
    let calls: Vec<_> = answer.choices[0]
        .parts
        .iter()
        .filter_map(|part| match part {
            Part::ToolCall(call) => Some(call),
            _ => None,
        })
        .collect();
    let arguments = match &calls[n].arguments {
        Arguments::Text(text) | Arguments::Free(text) => text.text().into_owned(),
        Arguments::Value(_) => panic!(),
    };
    (calls[n].id.as_ref().map(|id| id.text().into_owned()), calls[n].name.text().into_owned(), arguments)
}

#[test]
fn trap_06_arguments_go_to_the_call_of_their_index() {
    // Without ids, mixed: the second call begins before the first one's arguments are whole.
    let (events, answer) = read(&[
        br#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x\""}}]}}]}"#,
        br#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"id":"b","function":{"name":"g","arguments":"{\"s\":\"}"}}]}}]}"#,
        br#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":":1}"}},{"index":1,"function":{"arguments":"\\\"\"}"}}]}}]}"#,
        br#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
        br#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
        DONE,
        DONE,
    ]);
    assert_eq!(call(&answer, 0), (Some("a".into()), "f".into(), r#"{"x":1}"#.into()));
    assert_eq!(call(&answer, 1), (Some("b".into()), "g".into(), r#"{"s":"}\""}"#.into()));
    // A stop with calls is one for calls, and counts once; so does the end.
    assert_eq!(answer.choices[0].stop, Some(Stop::ToolCalls));
    assert_eq!(events.iter().filter(|event| matches!(event, Event::Stop { .. })).count(), 1);
    assert_eq!(events.iter().filter(|event| matches!(event, Event::End)).count(), 1);
}

#[test]
fn calls_that_are_whole_close_when_the_next_begins() {
    let (events, answer) = read(&[
        br#"{"choices":[{"delta":{"content":"a"}}]}"#,
        br#"{"choices":[{"delta":{"tool_calls":[{"id":"a","function":{"name":"f","arguments":"{\"x\":{}}"}}]}}]}"#,
        br#"{"choices":[{"delta":{"tool_calls":[{"index":1,"id":"b","function":{"name":"f","arguments":""}}]}}]}"#,
        br#"{"choices":[{"delta":{},"finish_reason":"tool_calls"}]}"#,
    ]);
    let order: Vec<String> = events
        .iter()
        .filter_map(|event| match event {
            Event::Open { part, .. } => Some(format!("open {part}")),
            Event::Close { part, .. } => Some(format!("close {part}")),
            Event::Stop { .. } => Some("stop".into()),
            _ => None,
        })
        .collect();
    assert_eq!(order, ["open 0", "close 0", "open 1", "close 1", "open 2", "close 2", "stop"]);
    assert_eq!(call(&answer, 1).2, "");
}

#[test]
fn thoughts_text_and_refusals_are_parts_of_their_own() {
    let (_, answer) = read(&[
        br#"{"id":"x","model":"deepseek","created":7,"choices":[{"index":0,"delta":{"role":"assistant","content":null,"reasoning_content":"h"}}]}"#,
        br#"{"choices":[{"index":0,"delta":{"content":null,"reasoning":"m"}}]}"#,
        br#"{"choices":[{"index":0,"delta":{"content":"a"}},{"index":1,"delta":{"refusal":"no"}}]}"#,
        br#"{"choices":[{"index":0,"delta":{"content":"b"},"finish_reason":"length"}],"usage":null}"#,
        br#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}"#,
        br#"{"choices":[]}"#,
    ]);
    assert_eq!((answer.id.text().as_ref(), answer.created), ("x", Some(7)));
    let Part::Thought(thought) = &answer.choices[0].parts[0] else { panic!() };
    assert_eq!(thought.text, Str::from("hm"));
    let Part::Text(text) = &answer.choices[0].parts[1] else { panic!() };
    assert_eq!((text.text.text().as_ref(), &answer.choices[0].stop), ("ab", &Some(Stop::MaxOutput)));
    assert_eq!(answer.choices[1].parts, [Part::Refusal("no".into())]);
    assert_eq!(answer.usage, Some(Usage { input: 3, output: 4, ..Usage::default() }));
}

#[test]
fn trap_39_an_error_within_a_stream_is_one() {
    let (events, _) = read(&[
        br#"{"choices":[{"delta":{"content":"a"}}]}"#,
        br#"{"error":{"message":"busy","type":"overloaded","code":null}}"#,
    ]);
    let failed = events.last().unwrap();
    assert_eq!(failed, &Event::Failed { kind: Some("overloaded".into()), message: "busy".into() });
    let (data, _) = written(&events, true);
    assert_eq!(
        data.last().unwrap(),
        br#"{"error":{"message":"busy","type":"overloaded","param":null,"code":null}}"#
    );
    // No end is made up for a stream that has none.
    assert!(!data.iter().any(|data| data == DONE));
}

#[test]
fn malformed_chunks_are_told() {
    for (data, error) in [
        (&b"{"[..], "the body is not JSON: the text ends too early at byte 1"),
        (br#"{"choices":[{"index":200,"delta":{}}]}"#, "`choices[0].index` must be a small number"),
        (
            br#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{"}}]}}]}"#,
            "`choices[0].delta.tool_calls[0].function.name` is missing",
        ),
        (
            br#"{"choices":[{"delta":{"content":7}}]}"#,
            "`choices[0].delta.content` must be a string or an array of parts",
        ),
    ] {
        let refused = StreamReader::default().read(data, &mut Vec::new());
        assert_eq!(refused.map_err(|error| error.to_string()), Err(error.into()));
    }
}

#[test]
fn events_of_other_dialects_become_chunks() {
    let events = [
        Event::Start { id: "r".into(), model: "gemini".into(), created: None },
        Event::Open { choice: 0, part: 0, opening: Opening::Sealed("x".into()) },
        Event::Close { choice: 0, part: 0 },
        Event::Open { choice: 0, part: 1, opening: Opening::Text },
        Event::Piece { choice: 0, part: 1, text: "a".into() },
        Event::Close { choice: 0, part: 1 },
        Event::Open {
            choice: 0,
            part: 2,
            opening: Opening::ToolCall { id: Some("c".into()), name: "f".into(), is_free: false },
        },
        Event::Signature { choice: 0, part: 2, signature: "s".into() },
        Event::Piece { choice: 0, part: 2, text: "{}".into() },
        Event::Close { choice: 0, part: 2 },
        Event::Usage(Usage { input: 5, output: 6, ..Usage::default() }),
        Event::Stop { choice: 0, stop: Stop::End, sequence: None },
        Event::Usage(Usage { input: 5, output: 7, ..Usage::default() }),
        Event::End,
    ];
    let (data, writer) = written(&events, true);
    assert_eq!(writer.losses().features(), [Feature::ThinkingSealed, Feature::ThinkingSignature]);
    let (_, answer) = read(&lines(&data));
    assert_eq!(answer.model, Str::from("fast"));
    assert_eq!(answer.choices[0].stop, Some(Stop::ToolCalls));
    assert_eq!(call(&answer, 0), (Some("c".into()), "f".into(), "{}".into()));
    assert_eq!(answer.usage.map(|usage| usage.output), Some(7));
    // The usage is told once, at the end, and only to whoever asked for it.
    let told = |data: &[Vec<u8>]| {
        data.iter().filter(|data| Value::parse(data).is_ok_and(|chunk| chunk.get("usage").is_some())).count()
    };
    assert_eq!(told(&data), 1);
    let (data, _) = written(&events, false);
    assert_eq!(told(&data), 0);
    assert_eq!(data.last().unwrap(), DONE);
    let empty = Choice::default();
    assert_eq!(empty.stop(), None);
}

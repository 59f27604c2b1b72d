//! Cohere's Chat: to the form and back, and what comes of Chat, Messages and Responses in it.
#![allow(clippy::unwrap_used, clippy::panic)]

mod recordings;

use penstock_ai::cohere::{
    StreamReader, StreamWriter, read_answer, read_request, write_answer, write_request,
};
use penstock_ai::dialect::Dialect;
use penstock_ai::form::{Answer, Collected, Event, Feature, Losses, Malformed, Part, Stop};
use penstock_ai::json::{Object, Value};
use penstock_ai::{anthropic, openai_chat, openai_responses};

fn text(object: &Object<'_>) -> String {
    let mut out = Vec::new();
    object.write(&mut out);
    String::from_utf8(out).unwrap()
}

fn member(value: &Value<'_>, name: &str) -> String {
    value.get(name).map_or_else(String::new, Value::to_json)
}

/// A request of Chat as one of Cohere's.
fn from_chat(body: &str) -> (Value<'static>, Losses) {
    let request = openai_chat::read_request(body.as_bytes()).unwrap();
    let mut losses = Losses::default();
    let written = text(&write_request(&request, "m", &mut losses));
    (Value::parse(written.into_bytes().leak()).unwrap(), losses)
}

#[test]
fn recorded_calls_mean_the_same_after_a_round_trip() {
    let mut n = 0;
    for (path, document) in recordings::requests() {
        if !document.get("uri").unwrap().as_text().unwrap().ends_with("cohere.com/v2/chat") {
            continue;
        }
        n += 1;
        let body = document.get("body").unwrap().to_json();
        let request = read_request(body.as_bytes()).unwrap();
        let model = request.model.text().into_owned();
        let mut losses = Losses::default();
        let written = text(&write_request(&request, &model, &mut losses));
        assert_eq!(read_request(written.as_bytes()).unwrap(), request, "{written}");
        let name = path.display().to_string().replace(".request.json", ".response.json");
        let (_, bytes) =
            recordings::files(".response.json").find(|(path, _)| path.display().to_string() == name).unwrap();
        let answer = read_answer(bytes).unwrap();
        assert_eq!(answer.choices[0].stop, Some(Stop::End));
        let written = text(&write_answer(&answer, &mut losses));
        assert_eq!(read_answer(written.as_bytes()).unwrap(), answer, "{written}");
        let chat = text(&openai_chat::write_answer(&answer, &model, &mut losses));
        let chat = openai_chat::read_answer(chat.as_bytes()).unwrap();
        assert_eq!((&chat.choices[0].parts, &chat.id), (&answer.choices[0].parts, &answer.id));
        let messages = text(&anthropic::write_answer(&answer, &model, &mut losses));
        assert_eq!(
            anthropic::read_answer(messages.as_bytes()).unwrap().choices[0].parts,
            answer.choices[0].parts
        );
        assert!(losses.is_empty(), "{losses}");
    }
    assert!(n >= 1 || recordings::are_absent(), "no calls");
}

#[test]
fn everything_that_the_dialect_says_is_kept() {
    let body = r#"{"model":"m","messages":[{"role":"system","content":"s"},
        {"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"https://x/y.png","detail":"low"}},
            {"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}},{"type":"new_kind","x":[1.0]}]},
        {"role":"assistant","tool_plan":"I will look","content":[{"type":"thinking","thinking":"hm"},{"type":"text","text":"t"}],
            "tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}],
            "citations":[{"start":0,"end":1,"text":"t","sources":[],"content_index":1,"type":"TEXT_CONTENT"}]},
        {"role":"tool","tool_call_id":"c1","content":[{"type":"text","text":"r"},{"type":"document","document":{"id":"d","data":{"x":"y"}}}]},
        {"role":"assistant","content":"done"}],
        "tools":[{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object"}}}],
        "strict_tools":true,"tool_choice":"REQUIRED","response_format":{"type":"json_object","json_schema":{"type":"object"}},
        "thinking":{"type":"enabled","token_budget":500},"k":5,"p":0.750,"temperature":0.3,"seed":-1,"presence_penalty":0.5,
        "frequency_penalty":0.25,"max_tokens":9,"stop_sequences":["x"],"logprobs":true,"stream":true,
        "documents":["d1",{"id":"d2","data":{"text":"x"}}],"citation_options":{"mode":"FAST"},"safety_mode":"STRICT","priority":3}"#;
    let request = read_request(body.as_bytes()).unwrap();
    let mut losses = Losses::default();
    let written = text(&write_request(&request, "m", &mut losses));
    assert!(losses.is_empty(), "{losses}");
    assert_eq!(read_request(written.as_bytes()).unwrap(), request, "{written}");
    for kept in [
        r#""tool_plan":"I will look","content":[{"type":"thinking","thinking":"hm"},{"type":"text","text":"t"}]"#,
        r#""citations":[{"start":0,"end":1,"text":"t","sources":[],"content_index":1,"type":"TEXT_CONTENT"}]"#,
        r#"{"type":"document","document":{"id":"d","data":{"x":"y"}}}"#,
        r#""documents":["d1",{"id":"d2","data":{"text":"x"}}]"#,
        r#""strict_tools":true"#,
        r#""p":0.750"#,
        r#""priority":3"#,
        r#""thinking":{"type":"enabled","token_budget":500}"#,
    ] {
        assert!(written.contains(kept), "{kept} in {written}");
    }
    let mut losses = Losses::default();
    openai_chat::write_request(&request, "m", &mut losses);
    use Feature::*;
    let mut told = losses.features().to_vec();
    told.sort();
    let mut expected = vec![ServerTools, Document, Prefill, Citations, TopK, Safety, Unknown];
    expected.sort();
    assert_eq!(told, expected);
}

#[test]
fn chat_is_said_in_the_words_of_cohere() {
    let (body, losses) = from_chat(
        r#"{"model":"m","messages":[{"role":"developer","content":"d"},{"role":"user","content":"q"},
            {"role":"assistant","content":"I will look","tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":""}},
                {"id":"c2","type":"function","function":{"name":"g","arguments":"{}"}}]},
            {"role":"tool","tool_call_id":"c1","content":"r1"},{"role":"tool","tool_call_id":"c2","content":"r2"},
            {"role":"system","content":"within"},{"role":"user","content":"and"}],
            "tools":[{"type":"function","function":{"name":"f","strict":true}},{"type":"function","function":{"name":"g","strict":true}}],
            "tool_choice":{"type":"function","function":{"name":"g"}},"top_p":0.9,"top_k":3,"stop":"x","max_tokens":5,"logprobs":true,
            "reasoning_effort":"low","service_tier":"auto"}"#,
    );
    assert!(losses.is_empty(), "{losses}");
    assert_eq!(
        member(&body, "messages"),
        concat!(
            r#"[{"role":"system","content":"d"},{"role":"user","content":"q"},"#,
            r#"{"role":"assistant","tool_plan":"I will look","tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{}"}},"#,
            r#"{"id":"c2","type":"function","function":{"name":"g","arguments":"{}"}}]},"#,
            r#"{"role":"tool","tool_call_id":"c1","content":"r1"},{"role":"tool","tool_call_id":"c2","content":"r2"},"#,
            r#"{"role":"system","content":"within"},{"role":"user","content":"and"}]"#
        )
    );
    // A certain function is given alone, and a call required.
    assert_eq!(
        member(&body, "tools"),
        r#"[{"type":"function","function":{"name":"g","parameters":{"type":"object","properties":{}}}}]"#
    );
    for (name, said) in [
        ("tool_choice", r#""REQUIRED""#),
        ("strict_tools", "true"),
        ("p", "0.9"),
        ("k", "3"),
        ("stop_sequences", r#"["x"]"#),
        ("max_tokens", "5"),
        ("logprobs", "true"),
        ("thinking", r#"{"type":"enabled","token_budget":4096}"#),
    ] {
        assert_eq!(member(&body, name), said, "{name}");
    }
    for (effort, said) in
        [("none", r#"{"type":"disabled"}"#), ("high", r#"{"type":"enabled","token_budget":32768}"#)]
    {
        let (body, _) = from_chat(&format!(r#"{{"model":"m","messages":[],"reasoning_effort":"{effort}"}}"#));
        assert_eq!(member(&body, "thinking"), said);
    }
    let schema =
        r#""response_format":{"type":"json_schema","json_schema":{"name":"o","schema":{"type":"object"}}}"#;
    let (body, losses) = from_chat(&format!(r#"{{"model":"m","messages":[],{schema}}}"#));
    assert_eq!(member(&body, "response_format"), r#"{"type":"json_object","json_schema":{"type":"object"}}"#);
    assert!(losses.is_empty());
    // Not together with functions, which the provider refuses.
    let tools = r#""tools":[{"type":"function","function":{"name":"f"}}]"#;
    let (body, losses) = from_chat(&format!(r#"{{"model":"m","messages":[],{schema},{tools}}}"#));
    assert!(body.get("response_format").is_none());
    assert_eq!(losses.features(), [Feature::JsonSchema]);
}

#[test]
fn what_the_dialect_has_no_word_for_is_told() {
    let (body, losses) = from_chat(
        r#"{"model":"m","messages":[{"role":"user","name":"n","content":[{"type":"input_audio","input_audio":{"data":"A","format":"wav"}},
                {"type":"file","file":{"file_id":"f"}},{"type":"file","file":{"file_data":"data:application/pdf;base64,A"}},
                {"type":"text","text":"a","cache_control":{"type":"ephemeral"}}]},
            {"role":"assistant","tool_calls":[{"id":"c","type":"custom","custom":{"name":"g","input":"free"}}]},
            {"role":"tool","tool_call_id":"c","content":[{"type":"image_url","image_url":{"url":"u"}}]}],
            "tools":[{"type":"function","function":{"name":"f","strict":true}},{"type":"function","function":{"name":"h"}},
                {"type":"custom","custom":{"name":"g"}}],
            "tool_choice":{"type":"function","function":{"name":"gone"}},"parallel_tool_calls":false,"n":2,"logit_bias":{},
            "top_p":1,"presence_penalty":-1,"frequency_penalty":2,"logprobs":true,"top_logprobs":2,"user":"u","prompt_cache_key":"k",
            "verbosity":"low","metadata":{},"service_tier":"priority","stop":["1","2","3","4","5","6"],"store":true}"#,
    );
    use Feature::*;
    let mut told = losses.features().to_vec();
    told.sort();
    let mut expected = vec![
        Name,
        Audio,
        File,
        Document,
        CacheMark,
        CustomTools,
        ToolResultMedia,
        ToolChoice,
        ToolStrict,
        ParallelToolCalls,
        LogitBias,
        TopP,
        PresencePenalty,
        FrequencyPenalty,
        Stop,
        Logprobs,
        Answers,
        User,
        CacheKey,
        Verbosity,
        Metadata,
        ServiceTier,
        Stored,
    ];
    expected.sort();
    assert_eq!(told, expected);
    assert_eq!((member(&body, "p"), member(&body, "presence_penalty")), ("0.99".into(), "0".into()));
    assert_eq!(member(&body, "frequency_penalty"), "1");
    assert!(body.get("tool_choice").is_none() && body.get("strict_tools").is_none());
    // A text to read stands beside the conversation, where it can be cited.
    let request = anthropic::read_request(
        br#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":[{"type":"text","text":"q"},
            {"type":"document","source":{"type":"text","media_type":"text/plain","data":"d"},"title":"t"}]}]}"#,
    )
    .unwrap();
    let mut losses = Losses::default();
    let written = text(&write_request(&request, "m", &mut losses));
    assert!(written.contains(r#""documents":[{"data":{"title":"t","text":"d"}}]"#), "{written}");
    assert!(losses.is_empty());
}

#[test]
fn what_is_malformed_is_told_with_its_place() {
    for (body, error) in [
        (r#"{"messages":[]}"#, "`model` is missing"),
        (r#"{"model":"m"}"#, "`messages` is missing"),
        (
            r#"{"model":"m","messages":[{"role":"chatbot","content":"a"}]}"#,
            "`messages[0].role` must be system, user, assistant or tool",
        ),
        (
            r#"{"model":"m","messages":[{"role":"tool","content":"a"}]}"#,
            "`messages[0].tool_call_id` is missing",
        ),
        (
            r#"{"model":"m","messages":[{"role":"user","content":[{"type":"text"}]}]}"#,
            "`messages[0].content[0].text` is missing",
        ),
        (r#"{"model":"m","messages":[],"tool_choice":"auto"}"#, "`tool_choice` must be REQUIRED or NONE"),
        (
            r#"{"model":"m","messages":[],"thinking":{"type":"on"}}"#,
            "`thinking.type` must be enabled or disabled",
        ),
        (
            r#"{"model":"m","messages":[],"response_format":{"type":"json_schema"}}"#,
            "`response_format.type` must be text or json_object",
        ),
        (r#"{"model":"m","messages":[],"tools":[{"type":"function"}]}"#, "`tools[0].function` is missing"),
    ] {
        assert_eq!(
            read_request(body.as_bytes()).map_err(|error| error.to_string()),
            Err(error.into()),
            "{body}"
        );
    }
}

/// An answer with all that the dialect says.
const ANSWER: &str = r#"{"id":"a1","finish_reason":"TOOL_CALL","message":{"role":"assistant","tool_plan":"I will look",
    "content":[{"type":"thinking","thinking":"hm"},{"type":"text","text":"at it"}],
    "tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{}"}}],
    "citations":[{"start":3,"end":5,"text":"it","content_index":1,"sources":[{"type":"document","id":"d","document":{"url":"u","title":"t"}}]},
        {"start":0,"end":1,"text":"I","type":"PLAN","sources":[{"type":"tool","id":"x"}]}]},
    "usage":{"billed_units":{"input_tokens":5,"output_tokens":7},"tokens":{"input_tokens":500,"output_tokens":9}},
    "logprobs":[{"text":"at","token_ids":[1],"logprobs":[-0.5]}]}"#;

#[test]
fn answers_keep_their_meaning() {
    let answer = read_answer(ANSWER.as_bytes()).unwrap();
    let mut losses = Losses::default();
    let written = text(&write_answer(&answer, &mut losses));
    assert!(losses.is_empty(), "{losses}");
    assert_eq!(read_answer(written.as_bytes()).unwrap(), answer, "{written}");
    // A source that has an address is one elsewhere, at its place in all of the text.
    let chat = text(&openai_chat::write_answer(&answer, "m", &mut losses));
    assert!(
        chat.contains(
            r#""annotations":[{"type":"url_citation","url_citation":{"start_index":14,"end_index":16,"title":"t","url":"u"}}]"#
        ),
        "{chat}"
    );
    assert!(
        chat.contains(r#""content":"I will lookat it""#) && chat.contains(r#""finish_reason":"tool_calls""#)
    );
    assert_eq!(losses.features(), [Feature::Citations, Feature::Logprobs]);
    let mut losses = Losses::default();
    let responses = text(&openai_responses::write_answer(&answer, "m", &mut losses));
    assert!(
        responses.contains(
            r#""annotations":[{"type":"url_citation","start_index":3,"end_index":5,"title":"t","url":"u"}]"#
        ),
        "{responses}"
    );
    for (word, stop, chat_word, is_lost) in [
        ("COMPLETE", Stop::End, "stop", false),
        ("STOP_SEQUENCE", Stop::StopSequence, "stop", false),
        ("MAX_TOKENS", Stop::MaxOutput, "length", false),
        ("NEW", Stop::Other("NEW".into()), "stop", true),
    ] {
        let body =
            format!(r#"{{"id":"a","finish_reason":"{word}","message":{{"role":"assistant","content":[]}}}}"#);
        let answer = read_answer(body.as_bytes()).unwrap();
        assert_eq!(answer.choices[0].stop, Some(stop));
        let mut losses = Losses::default();
        assert!(text(&write_answer(&answer, &mut losses)).contains(&format!(r#""finish_reason":"{word}""#)));
        assert!(losses.is_empty());
        assert!(text(&openai_chat::write_answer(&answer, "m", &mut losses)).contains(chat_word));
        assert_eq!(!losses.is_empty(), is_lost);
    }
    for (body, kind, message) in [
        (
            r#"{"id":"a","finish_reason":"ERROR","message":{"role":"assistant"},"error":"busy"}"#,
            Some("ERROR"),
            "busy",
        ),
        (r#"{"id":"a","finish_reason":"TIMEOUT","message":{"role":"assistant"}}"#, Some("TIMEOUT"), ""),
        (r#"{"message":"invalid request"}"#, None, "invalid request"),
    ] {
        let failed = Malformed::Failed { kind: kind.map(str::to_owned), message: message.to_owned() };
        assert_eq!(read_answer(body.as_bytes()), Err(failed));
    }
}

fn collected(events: &[Event<'_>], from: Dialect) -> Answer<'static> {
    let mut collected = Collected::new(from);
    events.iter().for_each(|event| collected.take(event));
    collected.finish()
}

fn read<'a>(data: &[&'a [u8]]) -> Vec<Event<'a>> {
    let mut reader = StreamReader::default();
    let mut events = Vec::new();
    data.iter().for_each(|data| reader.read(data, &mut events).unwrap());
    events
}

/// As the provider documents it (<https://docs.cohere.com/docs/tool-use-streaming>), with sources before and behind the end
/// of their text.
const STREAM: [&[u8]; 23] = [
    br#"{"type":"message-start","id":"a1","delta":{"message":{"role":"assistant","content":[],"tool_plan":"","tool_calls":[],"citations":[]}}}"#,
    br#"{"type":"tool-plan-delta","delta":{"message":{"tool_plan":"I "}}}"#,
    br#"{"type":"tool-plan-delta","delta":{"message":{"tool_plan":"look"}}}"#,
    br#"{"type":"tool-call-start","index":0,"delta":{"message":{"tool_calls":{"id":"c1","type":"function","function":{"name":"f","arguments":""}}}}}"#,
    br#"{"type":"tool-call-delta","index":0,"delta":{"message":{"tool_calls":{"function":{"arguments":"{\"a\""}}}}}"#,
    br#"{"type":"tool-call-delta","index":0,"delta":{"message":{"tool_calls":{"function":{"arguments":":1}"}}}}}"#,
    br#"{"type":"tool-call-end","index":0}"#,
    br#"{"type":"tool-call-start","index":1,"delta":{"message":{"tool_calls":{"id":"c2","type":"function","function":{"name":"g","arguments":""}}}}}"#,
    br#"{"type":"tool-call-end","index":1}"#,
    br#"{"type":"content-start","index":0,"delta":{"message":{"content":{"type":"thinking","thinking":""}}}}"#,
    br#"{"type":"content-delta","index":0,"delta":{"message":{"content":{"thinking":"hm"}}}}"#,
    br#"{"type":"content-end","index":0}"#,
    br#"{"type":"content-start","index":1,"delta":{"message":{"content":{"type":"text","text":""}}}}"#,
    br#"{"type":"content-delta","index":1,"delta":{"message":{"content":{"text":"hi"}}},"logprobs":{"text":"hi","token_ids":[1],"logprobs":[-1]}}"#,
    br#"{"type":"citation-start","index":0,"delta":{"message":{"citations":{"start":0,"end":2,"text":"hi","sources":[]}}}}"#,
    br#"{"type":"citation-end","index":0}"#,
    br#"{"type":"content-end","index":1}"#,
    br#"{"type":"citation-start","index":1,"delta":{"message":{"citations":{"start":0,"end":1,"text":"h","sources":[]}}}}"#,
    br#"{"type":"citation-end","index":1}"#,
    br#"{"type":"debug","prompt":"p"}"#,
    br#"{"type":"message-end","id":"a1","delta":{"finish_reason":"COMPLETE","usage":{"billed_units":{"input_tokens":5,"output_tokens":7},"tokens":{"input_tokens":9,"output_tokens":9}}}}"#,
    b"[DONE]",
    b"[DONE]",
];

#[test]
fn streams_mean_the_same_after_a_round_trip() {
    let events = read(&STREAM);
    assert_eq!(events.iter().filter(|event| **event == Event::End).count(), 1);
    let answer = collected(&events, Dialect::Cohere);
    let choice = &answer.choices[0];
    assert_eq!(choice.stop, Some(Stop::ToolCalls));
    assert_eq!(choice.parts.len(), 5);
    let Part::Text(text) = &choice.parts[4] else { panic!() };
    assert_eq!(text.citations.as_ref().and_then(Value::as_array).map(<[_]>::len), Some(2));
    assert_eq!(answer.usage.map(|usage| (usage.input, usage.output)), Some((5, 7)));
    let mut writer = StreamWriter::new(Dialect::Cohere);
    let mut told: Vec<(String, Vec<u8>)> = Vec::new();
    events
        .iter()
        .for_each(|event| writer.write(event, |kind, data| told.push((kind.to_owned(), data.to_vec()))));
    assert!(writer.losses().is_empty(), "{}", writer.losses());
    for (kind, data) in &told {
        assert!(Value::parse(data).unwrap().get("type").unwrap().is(kind));
    }
    let data: Vec<&[u8]> = told.iter().map(|(_, data)| data.as_slice()).collect();
    let again = collected(&read(&data), Dialect::Cohere);
    // A call without arguments has an empty object, not nothing.
    let calls = |answer: &Answer<'_>| -> Vec<String> {
        let call = |part: &Part<'_>| match part {
            Part::ToolCall(call) => Some(call.arguments.to_text()),
            _ => None,
        };
        answer.choices[0].parts.iter().filter_map(call).collect()
    };
    assert_eq!(calls(&again), [r#"{"a":1}"#, "{}"]);
    assert_eq!(calls(&again), calls(&answer));
    let others = |answer: &Answer<'_>| {
        let is_call = |part: &&Part<'_>| matches!(part, Part::ToolCall(_));
        format!("{:?}", answer.choices[0].parts.iter().filter(|part| !is_call(part)).collect::<Vec<_>>())
    };
    assert_eq!(others(&again), others(&answer));
    assert_eq!(
        (again.id, again.usage, &again.choices[0].logprobs),
        (answer.id.clone(), answer.usage, &choice.logprobs)
    );
}

#[test]
fn streams_go_to_chat_and_messages() {
    let events = read(&STREAM);
    let mut writer = anthropic::StreamWriter::new("fast", Dialect::Cohere, 9);
    let mut kinds = Vec::new();
    events.iter().for_each(|event| {
        writer.write(event, |kind, data| {
            let at = Value::parse(data).unwrap().get("index").and_then(Value::as_u64);
            kinds.push(format!("{kind} {}", at.map_or_else(String::new, |at| at.to_string())));
        });
    });
    assert_eq!(writer.losses().features(), [Feature::Logprobs, Feature::Citations]);
    let starts: Vec<&str> =
        kinds.iter().map(String::as_str).filter(|kind| kind.starts_with("content_block_st")).collect();
    assert_eq!(
        starts,
        (0..5)
            .flat_map(|n| [format!("content_block_start {n}"), format!("content_block_stop {n}")])
            .collect::<Vec<_>>()
    );
    let mut writer = openai_chat::StreamWriter::new("fast", true).reading(Dialect::Cohere);
    let mut chat: Vec<u8> = Vec::new();
    events.iter().for_each(|event| writer.write(event, |bytes| chat.extend_from_slice(bytes)));
    let chat = String::from_utf8(chat).unwrap();
    assert!(
        chat.contains(r#""finish_reason":"tool_calls""#) && chat.contains(r#""reasoning_content":"hm""#),
        "{chat}"
    );
}

#[test]
fn failures_and_malformed_events_are_told() {
    for (data, kind, message) in [
        (
            &br#"{"type":"message-end","delta":{"finish_reason":"ERROR","error":"busy"}}"#[..],
            Some("ERROR"),
            "busy",
        ),
        (br#"{"type":"message-end","delta":{"finish_reason":"TIMEOUT"}}"#, Some("TIMEOUT"), ""),
        (br#"{"message":"too many tokens"}"#, None, "too many tokens"),
    ] {
        let events = read(&[data]);
        let failed = Event::Failed { kind: kind.map(Into::into), message: message.into() };
        assert_eq!(events, [failed]);
        let mut told = Vec::new();
        StreamWriter::new(Dialect::Cohere).write(&events[0], |kind, data| told.push((kind, data.to_vec())));
        let (kind, data) = &told[0];
        assert_eq!((*kind, told.len()), ("message-end", 1));
        assert!(String::from_utf8_lossy(data).contains(r#""finish_reason":"ERROR""#));
    }
    for (data, error) in [
        (&br#"{}"#[..], "`message` is missing"),
        (
            br#"{"type":"tool-call-delta","index":0,"delta":{"message":{"tool_calls":{}}}}"#,
            "`index` must be that of a call which is open",
        ),
        (
            br#"{"type":"content-start","index":99999,"delta":{"message":{"content":{"type":"text"}}}}"#,
            "`index` must be a small number",
        ),
        (
            br#"{"type":"tool-call-start","index":0,"delta":{"message":{"tool_calls":{"id":"c","function":{}}}}}"#,
            "`delta.message.tool_calls.function.name` is missing",
        ),
    ] {
        let refused = StreamReader::default().read(data, &mut Vec::new());
        assert_eq!(refused.map_err(|error| error.to_string()), Err(error.into()));
    }
}

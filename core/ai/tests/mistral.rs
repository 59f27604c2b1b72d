//! Mistral's chat completions: to the form and back, and what comes of Chat, Messages and Responses in them.
#![allow(clippy::unwrap_used, clippy::panic)]

mod recordings;

use penstock_ai::dialect::Dialect;
use penstock_ai::form::{Answer, Collected, Event, Feature, Losses, Malformed, Part, Role, Stop};
use penstock_ai::json::{Object, Value};
use penstock_ai::mistral::{
    StreamReader, StreamWriter, read_answer, read_request, write_answer, write_request,
};
use penstock_ai::{anthropic, openai_chat, openai_responses};

fn text(object: &Object<'_>) -> String {
    let mut out = Vec::new();
    object.write(&mut out);
    String::from_utf8(out).unwrap()
}

fn member(value: &Value<'_>, name: &str) -> String {
    value.get(name).map_or_else(String::new, Value::to_json)
}

/// A request of Chat as one of Mistral's.
fn from_chat(body: &str) -> (Value<'static>, Losses) {
    let request = openai_chat::read_request(body.as_bytes()).unwrap();
    let mut losses = Losses::default();
    let written = text(&write_request(&request, "m", &mut losses));
    (Value::parse(written.into_bytes().leak()).unwrap(), losses)
}

fn messages(messages: &str) -> String {
    let (body, _) = from_chat(&format!(r#"{{"model":"m","messages":{messages}}}"#));
    member(&body, "messages")
}

/// The recorded calls to Mistral: their requests and answers.
fn calls() -> impl Iterator<Item = (String, Vec<u8>, &'static [u8])> {
    let is_own = |request: &Value<'_>| {
        request.get("uri").unwrap().as_text().unwrap().contains("mistral.ai")
            && request.get("uri").unwrap().as_text().unwrap().ends_with("/chat/completions")
    };
    recordings::requests().filter(move |(_, request)| is_own(request)).map(|(path, request)| {
        let name = path.display().to_string();
        let answer = name.replace(".request.json", ".response.json");
        let (_, bytes) = recordings::files(".response.json")
            .find(|(path, _)| path.display().to_string() == answer)
            .unwrap();
        (name, request.get("body").unwrap().to_json().into_bytes(), bytes)
    })
}

#[test]
fn recorded_calls_mean_the_same_after_a_round_trip() {
    let (mut n, mut thoughts) = (0, 0);
    for (name, body, bytes) in calls() {
        n += 1;
        let request = read_request(&body).unwrap_or_else(|error| panic!("{name}: {error}"));
        let model = request.model.text().into_owned();
        let mut losses = Losses::default();
        let written = text(&write_request(&request, &model, &mut losses));
        assert_eq!(read_request(written.as_bytes()).unwrap(), request, "{name}: {written}");
        assert!(losses.is_empty(), "{name}: {losses}");
        let answer = read_answer(bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        let model = answer.model.text().into_owned();
        let written = text(&write_answer(&answer, &model, &mut losses));
        assert_eq!(read_answer(written.as_bytes()).unwrap(), answer, "{name}");
        assert!(losses.is_empty(), "{name}: {losses}");
        // Magistral's content is a list, its thoughts a list within that.
        let said = |parts: &[Part<'_>]| parts.iter().filter(|part| matches!(part, Part::Thought(_))).count();
        thoughts += said(&answer.choices[0].parts);
        // Both have what is in it.
        let chat = text(&openai_chat::write_answer(&answer, &model, &mut losses));
        let chat = openai_chat::read_answer(chat.as_bytes()).unwrap();
        assert_eq!(chat.choices[0].parts.len(), answer.choices[0].parts.len(), "{name}");
        let messages = text(&anthropic::write_answer(&answer, &model, &mut losses));
        let messages = anthropic::read_answer(messages.as_bytes()).unwrap();
        assert_eq!(messages.choices[0].parts.len(), answer.choices[0].parts.len(), "{name}");
        assert!(losses.is_empty(), "{name}: {losses}");
    }
    assert!((n >= 3 && thoughts >= 1) || recordings::are_absent(), "only {n} calls, {thoughts} thoughts");
}

#[test]
fn recorded_conversations_keep_their_shape_by_way_of_chat() {
    for (name, body, _) in calls() {
        let request = read_request(&body).unwrap();
        let mut losses = Losses::default();
        let chat = text(&openai_chat::write_request(&request, "m", &mut losses));
        let chat = openai_chat::read_request(chat.as_bytes()).unwrap();
        let back = text(&write_request(&chat, "m", &mut losses));
        let back = read_request(back.as_bytes()).unwrap();
        assert!(losses.is_empty(), "{name}: {losses}");
        let roles =
            |turns: &[penstock_ai::form::Turn<'_>]| turns.iter().map(|turn| turn.role).collect::<Vec<Role>>();
        assert_eq!(roles(&back.turns), roles(&request.turns), "{name}");
        assert_eq!(back.tools, request.tools, "{name}");
    }
}

#[test]
fn everything_that_the_dialect_says_is_kept() {
    let body = r#"{"model":"m","messages":[
        {"role":"system","content":"s"},
        {"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":"https://x/y.png"},
            {"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA","detail":"low"}},
            {"type":"document_url","document_url":"https://x/y.pdf","document_name":"y"},
            {"type":"input_audio","input_audio":"BBBB"},{"type":"input_audio","input_audio":"https://x/y.mp3"},
            {"type":"file","file_id":"f1"},{"type":"new_kind","x":[1.0]}]},
        {"role":"assistant","content":[{"type":"thinking","thinking":[{"type":"text","text":"hm"}],"signature":"sig"},
            {"type":"text","text":"b"},{"type":"reference","reference_ids":[1,2]}],"prefix":false,
            "tool_calls":[{"id":"abcDEF123","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}]},
        {"role":"tool","name":"f","tool_call_id":"abcDEF123","content":[{"type":"text","text":"r"},
            {"type":"image_url","image_url":"https://x/z.png"}]},
        {"role":"assistant","content":"{","prefix":true}],
        "tools":[{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object"},"strict":true}},
            {"type":"web_search"}],
        "tool_choice":"any","parallel_tool_calls":false,"random_seed":7,"safe_prompt":true,"top_k":5,"temperature":0.30,
        "top_p":0.9,"presence_penalty":0.5,"frequency_penalty":0.25,"max_tokens":9,"stop":["x"],"n":2,"logprobs":true,
        "top_logprobs":2,"response_format":{"type":"json_schema","json_schema":{"name":"o","schema":{"type":"object"}}},
        "reasoning_effort":"high","prompt_cache_key":"k","service_tier":"standard_only","metadata":{"a":"b"},
        "prediction":{"type":"content","content":"p"},"prompt_mode":"reasoning","guardrails":[],"stream":true}"#;
    let request = read_request(body.as_bytes()).unwrap();
    let mut losses = Losses::default();
    let written = text(&write_request(&request, "m", &mut losses));
    assert!(losses.is_empty(), "{losses}");
    assert_eq!(read_request(written.as_bytes()).unwrap(), request, "{written}");
    for kept in [
        r#""random_seed":7"#,
        r#""safe_prompt":true"#,
        r#""tool_choice":"any""#,
        r#""image_url":"https://x/y.png""#,
        r#""prediction":{"type":"content","content":"p"}"#,
        r#"{"type":"thinking","thinking":[{"type":"text","text":"hm"}],"signature":"sig"}"#,
        r#""prefix":true"#,
        r#"{"type":"reference","reference_ids":[1,2]}"#,
        r#""temperature":0.30"#,
    ] {
        assert!(written.contains(kept), "{kept} in {written}");
    }
    assert!(!written.contains("stream_options"));
    // In Chat what both have is kept, and the rest is told.
    let mut losses = Losses::default();
    let chat = text(&openai_chat::write_request(&request, "m", &mut losses));
    for kept in
        [r#""seed":7"#, r#""prediction":{"#, r#""tool_choice":"required""#, r#""service_tier":"default""#]
    {
        assert!(chat.contains(kept), "{kept} in {chat}");
    }
    use Feature::*;
    let mut told = losses.features().to_vec();
    told.sort();
    let mut expected = vec![
        Prefill,
        DocumentUrl,
        Audio,
        File,
        ServerTools,
        TopK,
        ThinkingSignature,
        Safety,
        Citations,
        Unknown,
    ];
    expected.sort();
    assert_eq!(told, expected);
}

#[test]
fn a_conversation_gets_the_shape_that_the_dialect_wants() {
    for (given, wanted) in [
        // Instructions of the developer are the system's; nobody has a name.
        (
            r#"[{"role":"developer","content":"d"},{"role":"user","name":"n","content":"a"}]"#,
            r#"[{"role":"system","content":"d"},{"role":"user","content":"a"}]"#,
        ),
        // Behind a result the assistant speaks first; pictures stay in their result.
        (
            r#"[{"role":"assistant","tool_calls":[{"id":"abcdefgh1","function":{"name":"f","arguments":""}}]},
                {"role":"tool","tool_call_id":"abcdefgh1","content":[{"type":"text","text":"r"},{"type":"image_url","image_url":{"url":"https://x"}}]},
                {"role":"user","content":"and"}]"#,
            concat!(
                r#"[{"role":"assistant","content":[],"tool_calls":[{"id":"abcdefgh1","type":"function","function":{"name":"f","arguments":"{}"}}]},"#,
                r#"{"role":"tool","tool_call_id":"abcdefgh1","content":[{"type":"text","text":"r"},{"type":"image_url","image_url":"https://x"}]},"#,
                r#"{"role":"assistant","content":"OK."},{"role":"user","content":"and"}]"#
            ),
        ),
        // An answer that has been begun says so; a turn that calls is none.
        (
            r#"[{"role":"user","content":"a"},{"role":"assistant","content":"{"}]"#,
            r#"[{"role":"user","content":"a"},{"role":"assistant","content":"{","prefix":true}]"#,
        ),
    ] {
        assert_eq!(messages(given), wanted);
    }
}

#[test]
fn ids_have_nine_letters_and_digits_and_the_same_one_each_time() {
    let ids = |id: &str| {
        let said = messages(&format!(
            r#"[{{"role":"assistant","tool_calls":[{{"id":"{id}","function":{{"name":"f","arguments":""}}}}]}},
                {{"role":"tool","tool_call_id":"{id}","content":"r"}}]"#
        ));
        let said = Value::parse(said.as_bytes()).unwrap();
        let messages = said.as_array().unwrap();
        let call = messages[0].get("tool_calls").unwrap().as_array().unwrap()[0].get("id").unwrap();
        let result = messages[1].get("tool_call_id").unwrap();
        assert_eq!(call, result);
        call.as_text().unwrap().into_owned()
    };
    assert_eq!(ids("KikbB849t"), "KikbB849t");
    let mut made = std::collections::BTreeSet::new();
    for id in [
        "call_YfwRsW8sUxDKipwyhWTzOXCA",
        "call_YfwRsW8sUxDKipwyhWTzOXCB",
        "toolu_01",
        "",
        "KikbB849t0",
        "a b",
        "\u{e9}",
    ] {
        let nine = ids(id);
        assert!(nine.len() == 9 && nine.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{id}: {nine}");
        assert_eq!(ids(id), nine);
        made.insert(nine);
    }
    assert_eq!(made.len(), 7);
}

#[test]
fn what_the_dialect_has_no_word_for_is_told() {
    let (body, losses) = from_chat(
        r#"{"model":"m","messages":[{"role":"user","name":"n","content":"a"}],"user":"u","verbosity":"low","logit_bias":{},
            "service_tier":"flex","temperature":1.9,"store":true,"modalities":["text"],"seed":3,"top_k":4,
            "tools":[{"type":"custom","custom":{"name":"g"}},{"type":"function","function":{"name":"f"}}],
            "tool_choice":{"type":"custom","custom":{"name":"g"}}}"#,
    );
    use Feature::*;
    let mut told = losses.features().to_vec();
    told.sort();
    let mut expected = vec![
        Name,
        CustomTools,
        ToolChoice,
        Temperature,
        LogitBias,
        User,
        Verbosity,
        ServiceTier,
        Stored,
        Modalities,
    ];
    expected.sort();
    assert_eq!(told, expected);
    assert_eq!(member(&body, "temperature"), "1.5");
    assert_eq!((member(&body, "random_seed"), member(&body, "top_k")), ("3".into(), "4".into()));
    assert_eq!(
        member(&body, "tools"),
        r#"[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{}}}}]"#
    );
    // At temperature 0 there is nothing to choose from, and it is refused to say how.
    let (body, losses) =
        from_chat(r#"{"model":"m","messages":[],"temperature":0,"top_p":0.5,"service_tier":"default"}"#);
    assert!(losses.is_empty() && body.get("top_p").is_none(), "{losses}");
    assert_eq!(member(&body, "service_tier"), r#""standard_only""#);
}

#[test]
fn thoughts_of_others_are_taken_as_text_without_their_proofs() {
    let responses = br#"{"model":"m","input":[{"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"hm"}],"encrypted_content":"gAAA"},
        {"role":"assistant","content":"a"},{"role":"user","content":"b"}]}"#;
    let request = openai_responses::read_request(responses).unwrap();
    let mut losses = Losses::default();
    let written = text(&write_request(&request, "m", &mut losses));
    assert!(
        written.contains(
            r#"{"role":"assistant","content":[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]},{"type":"text","text":"a"}]}"#
        ),
        "{written}"
    );
    assert!(!written.contains("gAAA"));
    assert_eq!(losses.features(), [Feature::ThinkingSealed]);
}

#[test]
fn an_answer_that_failed_is_no_answer() {
    let failed = |body: &str| read_answer(body.as_bytes()).map(drop);
    assert_eq!(
        failed(
            r#"{"id":"x","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":""},"finish_reason":"error"}]}"#
        ),
        Err(Malformed::Failed { kind: None, message: String::new() })
    );
    let body = r#"{"id":"x","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"a"},"finish_reason":"model_length"}]}"#;
    let answer = read_answer(body.as_bytes()).unwrap();
    assert_eq!(answer.choices[0].stop, Some(Stop::ContextFull));
    let mut losses = Losses::default();
    assert!(text(&write_answer(&answer, "m", &mut losses)).contains("model_length"));
}

fn collected(events: &[Event<'_>], from: Dialect) -> Answer<'static> {
    let mut collected = Collected::new(from);
    events.iter().for_each(|event| collected.take(event));
    collected.finish()
}

#[test]
fn streams_mean_the_same_after_a_round_trip() {
    let chunks: [&[u8]; 8] = [
        br#"{"id":"c","object":"chat.completion.chunk","created":7,"model":"magistral","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#,
        br#"{"choices":[{"index":0,"delta":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"h"}]}]}}]}"#,
        br#"{"choices":[{"index":0,"delta":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"m"}],"closed":true}]}}]}"#,
        br#"{"choices":[{"index":0,"delta":{"content":"a"}}]}"#,
        br#"{"choices":[{"index":0,"delta":{"content":[{"type":"reference","reference_ids":[1]},{"type":"text","text":"b"}]}}]}"#,
        br#"{"choices":[{"index":0,"delta":{"tool_calls":[{"id":"KikbB849t","index":0,"function":{"name":"f","arguments":{"x":1}}},{"id":"KikbB849u","index":1,"function":{"name":"g","arguments":"{}"}}]}}]}"#,
        br#"{"choices":[{"index":0,"delta":{"content":""},"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":9,"completion_tokens":4,"total_tokens":13,"num_cached_tokens":2}}"#,
        b"[DONE]",
    ];
    let mut reader = StreamReader::default();
    let mut events = Vec::new();
    chunks.iter().for_each(|data| reader.read(data, &mut events).unwrap());
    let answer = collected(&events, Dialect::Mistral);
    let kinds: Vec<&str> = answer.choices[0]
        .parts
        .iter()
        .map(|part| match part {
            Part::Thought(thought) => {
                assert_eq!(thought.text.text(), "hm");
                "thought"
            }
            Part::Text(_) => "text",
            Part::Foreign(_) => "reference",
            Part::ToolCall(_) => "call",
            _ => "other",
        })
        .collect();
    assert_eq!(kinds, ["thought", "text", "reference", "text", "call", "call"]);
    assert_eq!(answer.usage.map(|usage| (usage.input, usage.cached_read, usage.output)), Some((7, 2, 4)));
    let mut writer = StreamWriter::new("magistral");
    let mut data: Vec<Vec<u8>> = Vec::new();
    events.iter().for_each(|event| writer.write(event, |bytes| data.push(bytes.to_vec())));
    assert!(writer.losses().is_empty(), "{}", writer.losses());
    let mut reader = StreamReader::default();
    let mut again = Vec::new();
    data.iter().for_each(|data| reader.read(data, &mut again).unwrap());
    assert_eq!(collected(&again, Dialect::Mistral), answer);
    // In Chat the thoughts stand beside the content, and the text goes on.
    let mut writer = openai_chat::StreamWriter::new("fast", true).reading(Dialect::Mistral);
    let mut chat: Vec<Vec<u8>> = Vec::new();
    events.iter().for_each(|event| writer.write(event, |bytes| chat.push(bytes.to_vec())));
    assert_eq!(writer.losses().features(), [Feature::Citations]);
    let chat = String::from_utf8(chat.concat()).unwrap();
    assert!(chat.contains(r#""reasoning_content":"h""#) && !chat.contains("thinking"), "{chat}");
}

#[test]
fn a_stream_that_fails_says_so() {
    for data in [
        &br#"{"choices":[{"index":0,"delta":{"content":""},"finish_reason":"error"}]}"#[..],
        br#"{"error":{"message":"busy"}}"#,
    ] {
        let mut events = Vec::new();
        StreamReader::default().read(data, &mut events).unwrap();
        assert!(matches!(events.last(), Some(Event::Failed { .. })), "{events:?}");
    }
}

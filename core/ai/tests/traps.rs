//! What other gateways got wrong: a test each, by its number in the list of known translation bugs. Those that the tests of
//! a dialect hold stand there under the same names.
#![allow(clippy::unwrap_used, clippy::panic)]

use penstock_ai::dialect::Dialect;
use penstock_ai::form::{Answer, Collected, Event, Feature, Losses, Malformed, Part, Request, Stop};
use penstock_ai::json::{Object, Value};
use penstock_ai::openai_chat::Words;
use penstock_ai::provider::Providers;
use penstock_ai::usage::{Account, Usage};
use penstock_ai::{anthropic, cohere, mistral, openai_chat, openai_responses};

fn text(object: &Object<'_>) -> String {
    let mut out = Vec::new();
    object.write(&mut out);
    String::from_utf8(out).unwrap()
}

fn value(object: &Object<'_>) -> Value<'static> {
    Value::parse(text(object).into_bytes().leak()).unwrap()
}

fn member(value: &Value<'_>, name: &str) -> String {
    value.get(name).map_or_else(String::new, Value::to_json)
}

/// A request in each dialect that is written here.
fn in_all(request: &Request<'_>) -> [(Dialect, Value<'static>, Losses); 5] {
    let mut losses: [Losses; 5] = Default::default();
    let [chat, responses, messages, cohere, mistral] = &mut losses;
    let written = [
        value(&openai_chat::write_request(request, "m", chat)),
        value(&openai_responses::write_request(request, "m", responses)),
        value(&anthropic::write_request(request, "m", 8192, messages)),
        value(&cohere::write_request(request, "m", cohere)),
        value(&mistral::write_request(request, "m", mistral)),
    ];
    use Dialect::*;
    let mut dialects = [OpenAiChat, OpenAiResponses, Anthropic, Cohere, Mistral].into_iter();
    let mut losses = losses.into_iter();
    written.map(|body| (dialects.next().unwrap(), body, losses.next().unwrap()))
}

fn chat_events<'a>(chunks: &[&'a [u8]]) -> Vec<Event<'a>> {
    let mut reader = openai_chat::StreamReader::default();
    let mut events = Vec::new();
    chunks.iter().for_each(|data| reader.read(data, &mut events).unwrap());
    events
}

fn messages_events<'a>(data: &[&'a [u8]]) -> Vec<Event<'a>> {
    let mut reader = anthropic::StreamReader::default();
    let mut events = Vec::new();
    data.iter().for_each(|data| reader.read(data, &mut events).unwrap());
    events
}

fn to_messages(events: &[Event<'_>], from: Dialect) -> Vec<String> {
    let mut writer = anthropic::StreamWriter::new("fast", from, 77);
    let mut told = Vec::new();
    events.iter().for_each(|event| {
        writer.write(event, |_, data| told.push(String::from_utf8(data.to_vec()).unwrap()))
    });
    told
}

fn to_chat(events: &[Event<'_>], from: Dialect) -> Vec<String> {
    let mut writer = openai_chat::StreamWriter::new("fast", true).reading(from);
    let mut told = Vec::new();
    events
        .iter()
        .for_each(|event| writer.write(event, |data| told.push(String::from_utf8(data.to_vec()).unwrap())));
    told
}

fn to_responses(events: &[Event<'_>], from: Dialect) -> Vec<String> {
    let mut writer = openai_responses::StreamWriter::new("fast", from);
    let mut told = Vec::new();
    events.iter().for_each(|event| {
        writer.write(event, |_, data| told.push(String::from_utf8(data.to_vec()).unwrap()))
    });
    told
}

fn collected(events: &[Event<'_>], from: Dialect) -> Answer<'static> {
    let mut collected = Collected::new(from);
    events.iter().for_each(|event| collected.take(event));
    collected.finish()
}

const CALL_AND_RESULT: &str = r#"{"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{}"}}]},
    {"role":"tool","tool_call_id":"c1","content":"r"}"#;

#[test]
fn trap_01_calls_without_their_thoughts_are_not_sent_with_thinking_on() {
    let body = format!(
        r#"{{"model":"m","reasoning_effort":"high","messages":[{{"role":"user","content":"q"}},{CALL_AND_RESULT}]}}"#
    );
    let request = openai_chat::read_request(body.as_bytes()).unwrap();
    let mut losses = Losses::default();
    let written = value(&anthropic::write_request(&request, "c", 8192, &mut losses));
    assert!(written.get("thinking").is_none());
    assert_eq!(losses.features(), [Feature::ThinkingBudget]);
    // With its signed thought before it the call goes back, thought first, and thinking stays on.
    let body = br#"{"model":"m","max_tokens":8192,"thinking":{"type":"enabled","budget_tokens":2000},"messages":[{"role":"user","content":"q"},
        {"role":"assistant","content":[{"type":"thinking","thinking":"t","signature":"s"},{"type":"tool_use","id":"c1","name":"f","input":{}}]},
        {"role":"user","content":[{"type":"tool_result","tool_use_id":"c1","content":"r"}]}]}"#;
    let request = anthropic::read_request(body).unwrap();
    let mut losses = Losses::default();
    let written = text(&anthropic::write_request(&request, "c", 8192, &mut losses));
    assert!(losses.is_empty());
    assert!(
        written
            .contains(r#"[{"type":"thinking","thinking":"t","signature":"s"},{"type":"tool_use","id":"c1""#),
        "{written}"
    );
    assert!(written.contains(r#""thinking":{"type":"enabled""#));
}

/// An answer of Messages with thoughts of all kinds.
const THOUGHTS: &[u8] = br#"{"id":"msg_1","type":"message","role":"assistant","model":"c","content":[
    {"type":"thinking","thinking":"","signature":"s1"},{"type":"thinking","thinking":"more","signature":"s2"},
    {"type":"redacted_thinking","data":"xx"},{"type":"text","text":"a"}],"stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":1}}"#;

#[test]
fn trap_02_a_thought_that_is_only_a_signature_is_kept() {
    let answer = anthropic::read_answer(THOUGHTS).unwrap();
    let mut losses = Losses::default();
    let written = text(&anthropic::write_answer(&answer, "m", &mut losses));
    assert!(written.contains(r#"{"type":"thinking","thinking":"","signature":"s1"}"#), "{written}");
    // So it is in a request and in a stream.
    let body = br#"{"model":"m","max_tokens":9,"messages":[{"role":"assistant","content":[{"type":"thinking","thinking":"","signature":"s1"},
        {"type":"tool_use","id":"c","name":"f","input":{}}]}]}"#;
    let request = anthropic::read_request(body).unwrap();
    let written = text(&anthropic::write_request(&request, "m", 9, &mut losses));
    assert!(written.contains(r#"{"type":"thinking","thinking":"","signature":"s1"}"#), "{written}");
    let events = messages_events(&[
        br#"{"type":"message_start","message":{"id":"m","model":"c"}}"#,
        br#"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}"#,
        br#"{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"s1"}}"#,
        br#"{"type":"content_block_stop","index":0}"#,
    ]);
    let told = to_messages(&events, Dialect::Anthropic).concat();
    assert!(told.contains(r#"{"type":"signature_delta","signature":"s1"}"#), "{told}");
}

#[test]
fn trap_03_thoughts_stay_as_many_as_they_are() {
    let answer = anthropic::read_answer(THOUGHTS).unwrap();
    let mut losses = Losses::default();
    let written = text(&anthropic::write_answer(&answer, "m", &mut losses));
    assert_eq!(anthropic::read_answer(written.as_bytes()).unwrap().choices, answer.choices);
    assert!(losses.is_empty());
    // The summaries of one item of Responses too, and what is sealed once, behind them.
    let body = br#"{"model":"m","input":[{"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"a"},
        {"type":"summary_text","text":"b"}],"encrypted_content":"e"},{"type":"reasoning","id":"rs_2","summary":[]}]}"#;
    let request = openai_responses::read_request(body).unwrap();
    assert_eq!(request.turns[0].parts.len(), 4);
    let written = value(&openai_responses::write_request(&request, "m", &mut losses));
    let input = written.get("input").unwrap().as_array().unwrap();
    assert_eq!(input.len(), 2);
    assert_eq!(member(&input[0], "summary").matches("summary_text").count(), 2);
    assert!(input[0].get("encrypted_content").unwrap().is("e") && input[1].get("id").unwrap().is("rs_2"));
}

#[test]
fn trap_04_a_signature_that_has_no_place_is_told() {
    let answer = anthropic::read_answer(THOUGHTS).unwrap();
    let expected = [Feature::ThinkingSignature, Feature::ThinkingSealed];
    let mut losses = Losses::default();
    let chat = text(&openai_chat::write_answer(&answer, "m", &mut losses));
    assert_eq!(losses.features(), expected);
    assert!(chat.contains(r#""reasoning_content":"more""#) && !chat.contains("s2"), "{chat}");
    let mut losses = Losses::default();
    openai_responses::write_answer(&answer, "m", &mut losses);
    assert_eq!(losses.features(), expected);
    // Nor does it become another provider's.
    let body = br#"{"model":"m","max_tokens":9,"messages":[{"role":"assistant","content":[{"type":"thinking","thinking":"t","signature":"s1"},
        {"type":"redacted_thinking","data":"xx"},{"type":"text","text":"a"}]},{"role":"user","content":"b"}]}"#;
    for (dialect, written, losses) in in_all(&anthropic::read_request(body).unwrap()) {
        let is_own = dialect == Dialect::Anthropic;
        assert_eq!(losses.features() == expected, !is_own, "{dialect}: {losses}");
        assert_eq!(written.to_json().contains("s1"), is_own, "{dialect}");
    }
}

/// Three calls of one function at once, as Chat streams them.
const PARALLEL: [&[u8]; 6] = [
    br#"{"id":"c","model":"gpt","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":""}}]}}]}"#,
    br#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"id":"b","function":{"name":"f","arguments":""}}]}}]}"#,
    br#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"function":{"arguments":"{\"n\":2}"}}]}}]}"#,
    br#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"n\":1}"}}]}}]}"#,
    br#"{"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}"#,
    b"[DONE]",
];

#[test]
fn trap_05_parallel_calls_have_indices_of_their_own() {
    let events = chat_events(&PARALLEL);
    let chat = to_chat(&events, Dialect::OpenAiChat);
    let index = |line: &str| {
        let chunk = Value::parse(line.as_bytes()).ok()?;
        let choice = chunk.get("choices")?.as_array()?.first()?;
        choice.get("delta")?.get("tool_calls")?.as_array()?.first()?.get("index")?.as_u64()
    };
    let indices: Vec<u64> = chat.iter().filter_map(|line| index(line)).collect();
    assert_eq!(indices, [0, 1, 1, 0]);
    let responses = to_responses(&events, Dialect::OpenAiChat);
    let added = |n: u64, id: &str| {
        responses.iter().any(|line| {
            line.contains("output_item.added")
                && line.contains(&format!(r#""output_index":{n}"#))
                && line.contains(id)
        })
    };
    assert!(added(0, r#""call_id":"a""#) && added(1, r#""call_id":"b""#));
    // From Messages, whose blocks count text too.
    let events = messages_events(&[
        br#"{"type":"message_start","message":{"id":"m","model":"c"}}"#,
        br#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":"t"}}"#,
        br#"{"type":"content_block_stop","index":0}"#,
        br#"{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"a","name":"f","input":{}}}"#,
        br#"{"type":"content_block_stop","index":1}"#,
        br#"{"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"b","name":"f","input":{}}}"#,
        br#"{"type":"content_block_stop","index":2}"#,
    ]);
    let chat = to_chat(&events, Dialect::Anthropic);
    let mut indices: Vec<u64> = chat.iter().filter_map(|line| index(line)).collect();
    indices.dedup();
    assert_eq!(indices, [0, 1]);
}

#[test]
fn trap_07_a_stream_of_calls_only_begins_at_block_0_and_closes_each() {
    let told = to_messages(&chat_events(&PARALLEL), Dialect::OpenAiChat);
    let shape: Vec<String> = told
        .iter()
        .map(|line| {
            let data = Value::parse(line.as_bytes()).unwrap();
            let index = data.get("index").map_or_else(String::new, Value::to_json);
            format!("{}{index}", data.get("type").unwrap().as_text().unwrap().replace("content_block_", ""))
        })
        .collect();
    assert_eq!(
        shape,
        [
            "message_start",
            "start0",
            "delta0",
            "stop0",
            "start1",
            "delta1",
            "stop1",
            "message_delta",
            "message_stop"
        ]
    );
}

#[test]
fn trap_14_cached_tokens_stand_beside_the_input_in_messages_and_within_it_in_chat() {
    let usage = Usage { input: 10, cached_read: 90, cache_write: 5, output: 7, ..Usage::default() };
    let body = br#"{"id":"msg_1","type":"message","role":"assistant","model":"c","content":[],"stop_reason":"end_turn",
        "usage":{"input_tokens":10,"cache_read_input_tokens":90,"cache_creation_input_tokens":5,"output_tokens":7}}"#;
    let answer = anthropic::read_answer(body).unwrap();
    assert_eq!(answer.usage, Some(usage));
    let mut losses = Losses::default();
    let chat = value(&openai_chat::write_answer(&answer, "m", &mut losses));
    assert!(member(&chat, "usage").starts_with(r#"{"prompt_tokens":105,"completion_tokens":7,"total_tokens":112,"prompt_tokens_details":{"cached_tokens":90"#));
    let responses = value(&openai_responses::write_answer(&answer, "m", &mut losses));
    assert!(member(&responses, "usage").starts_with(
        r#"{"input_tokens":105,"input_tokens_details":{"cached_tokens":90,"cache_write_tokens":5}"#
    ));
}

#[test]
fn trap_15_cached_tokens_are_counted_once_on_the_way_back() {
    let body = br#"{"id":"c","object":"chat.completion","model":"gpt","choices":[{"index":0,"message":{"role":"assistant","content":"a"},"finish_reason":"stop"}],
        "usage":{"prompt_tokens":100,"completion_tokens":7,"total_tokens":107,"prompt_tokens_details":{"cached_tokens":90}}}"#;
    let answer = openai_chat::read_answer(body).unwrap();
    let mut losses = Losses::default();
    let messages = value(&anthropic::write_answer(&answer, "m", &mut losses));
    let usage = member(&messages, "usage");
    assert!(
        usage.contains(r#""input_tokens":10,"#) && usage.contains(r#""cache_read_input_tokens":90"#),
        "{usage}"
    );
    // And there and back there are no more of them.
    let again = anthropic::read_answer(messages.to_json().leak().as_bytes()).unwrap();
    let chat = value(&openai_chat::write_answer(&again, "m", &mut losses));
    assert!(
        member(&chat, "usage")
            .starts_with(r#"{"prompt_tokens":100,"completion_tokens":7,"total_tokens":107"#)
    );
}

#[test]
fn trap_16_the_way_of_counting_is_the_dialect_s_whatever_is_zero() {
    // Nothing read, something written.
    let told = Value::parse(br#"{"usage":{"input_tokens":100,"cache_creation_input_tokens":50,"cache_read_input_tokens":0,"output_tokens":1}}"#).unwrap();
    let mut account = Account::default();
    account.take(Dialect::Anthropic, &told);
    let expected = Usage { input: 100, cache_write: 50, output: 1, ..Usage::default() };
    assert_eq!(account.usage, Some(expected));
    // The same names in Responses mean a sum that has all of it.
    let told = Value::parse(
        br#"{"usage":{"input_tokens":100,"input_tokens_details":{"cached_tokens":0},"output_tokens":1}}"#,
    )
    .unwrap();
    let mut account = Account::default();
    account.take(Dialect::OpenAiResponses, &told);
    assert_eq!(account.usage, Some(Usage { input: 100, output: 1, ..Usage::default() }));
}

#[test]
fn trap_17_a_stream_of_messages_begins_with_the_input_that_is_expected() {
    let events =
        chat_events(&[br#"{"id":"c","model":"gpt","choices":[{"index":0,"delta":{"content":"a"}}]}"#]);
    assert!(to_messages(&events, Dialect::OpenAiChat)[0].contains(r#""input_tokens":77"#));
}

#[test]
fn trap_18_usage_is_found_under_other_names_and_in_other_events() {
    let events = chat_events(&[
        br#"{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}],"usage":{"input_tokens":13,"output_tokens":16}}"#,
    ]);
    let usage = collected(&events, Dialect::OpenAiChat).usage.unwrap();
    assert_eq!((usage.input, usage.output), (13, 16));
    // No `message_delta` at all: what `message_start` told is what there is.
    let events = messages_events(&[
        br#"{"type":"message_start","message":{"id":"m","model":"c","usage":{"input_tokens":5,"output_tokens":2}}}"#,
        br#"{"type":"message_stop"}"#,
    ]);
    let usage = collected(&events, Dialect::Anthropic).usage.unwrap();
    assert_eq!((usage.input, usage.output), (5, 2));
    // In the end of a response that failed to be whole.
    let mut reader = openai_responses::StreamReader::default();
    let mut events = Vec::new();
    let data = br#"{"type":"response.incomplete","response":{"status":"incomplete","usage":{"prompt_tokens":3,"completion_tokens":4}}}"#;
    reader.read(data, &mut events).unwrap();
    let usage = collected(&events, Dialect::OpenAiResponses).usage.unwrap();
    assert_eq!((usage.input, usage.output), (3, 4));
}

#[test]
fn trap_19_usage_behind_the_reason_of_the_end_counts() {
    let events = chat_events(&[
        br#"{"id":"c","model":"gpt","choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1}}"#,
        br#"{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":5}}"#,
        b"[DONE]",
    ]);
    let messages = to_messages(&events, Dialect::OpenAiChat);
    let delta = &messages[messages.len() - 2];
    assert!(delta.contains("message_delta") && delta.contains(r#""output_tokens":5"#), "{delta}");
    let responses = to_responses(&events, Dialect::OpenAiChat);
    assert!(responses[responses.len() - 1].contains(r#""total_tokens":14"#));
}

#[test]
fn trap_20_a_chunk_without_choices_tells_usage_and_an_empty_one_nothing() {
    let events = chat_events(&[
        br#"{"id":"c","model":"gpt","choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}"#,
        br#"{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":5}}"#,
        br#"{"choices":[]}"#,
        b"[DONE]",
    ]);
    assert_eq!(events.iter().filter(|event| matches!(event, Event::Usage(_))).count(), 1);
    let told = to_chat(&events, Dialect::OpenAiChat);
    let with_usage: Vec<&String> = told.iter().filter(|line| line.contains(r#""usage""#)).collect();
    assert_eq!(with_usage.len(), 1);
    assert!(with_usage[0].contains(r#""choices":[]"#) && told[told.len() - 1] == "[DONE]");
}

#[test]
fn trap_21_usage_of_a_stream_is_asked_for_only_where_that_is_known() {
    let request = openai_chat::read_request(br#"{"model":"m","stream":true,"messages":[]}"#).unwrap();
    for (dialect, written, _) in in_all(&request) {
        assert_eq!(written.get("stream_options").is_some(), dialect == Dialect::OpenAiChat, "{dialect}");
    }
    let table = r#"
        [provider.plain]
        title = "Plain"
        dialect = "openai_chat"
        base_url = "https://plain.example"
        auth = "bearer"
        endpoints = { chat = "chat/completions" }
        docs = "https://plain.example"
        source = "docs"
        checked = 2026-01-01
        stream = { include_usage = "refused" }
        errors = { shape = "openai" }
    "#;
    let quirks = penstock_ai::provider::BUNDLED.split("\n[[sign]]").next().unwrap();
    let providers = Providers::read(&format!("{quirks}{table}")).unwrap();
    let words = Words::of(providers.get("plain").unwrap());
    let written = text(&openai_chat::write_request_for(&request, "m", words, &mut Losses::default()));
    assert!(written.contains(r#""stream":true"#) && !written.contains("stream_options"), "{written}");
}

#[test]
fn trap_22_a_streamed_call_without_arguments_has_an_empty_object() {
    let events = messages_events(&[
        br#"{"type":"message_start","message":{"id":"m","model":"c"}}"#,
        br#"{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"a","name":"f","input":{}}}"#,
        br#"{"type":"content_block_stop","index":0}"#,
        br#"{"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":1}}"#,
        br#"{"type":"message_stop"}"#,
    ]);
    let told = to_chat(&events, Dialect::Anthropic);
    let data: Vec<&[u8]> = told.iter().map(String::as_bytes).collect();
    let answer = collected(&chat_events(&data), Dialect::OpenAiChat);
    let Part::ToolCall(call) = &answer.choices[0].parts[0] else { panic!() };
    assert_eq!(call.arguments, penstock_ai::form::Arguments::Text("{}".into()));
    assert!(
        to_responses(&events, Dialect::Anthropic).iter().any(|line| line.contains(r#""arguments":"{}""#))
    );
}

#[test]
fn trap_24_a_call_that_was_cut_ends_for_its_length() {
    let cut = br#"{"id":"c","object":"chat.completion","model":"gpt","choices":[{"index":0,"message":{"role":"assistant",
        "tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{\"x\":"}}]},"finish_reason":"length"}]}"#;
    let answer = openai_chat::read_answer(cut).unwrap();
    assert_eq!(answer.choices[0].stop(), Some(Stop::MaxOutput));
    let mut losses = Losses::default();
    let responses = value(&openai_responses::write_answer(&answer, "m", &mut losses));
    assert_eq!(member(&responses, "status"), r#""incomplete""#);
    assert_eq!(member(&responses, "incomplete_details"), r#"{"reason":"max_output_tokens"}"#);
    assert!(member(&responses, "output").contains(r#""status":"incomplete""#));
    assert!(text(&cohere::write_answer(&answer, &mut losses)).contains(r#""finish_reason":"MAX_TOKENS""#));
    let events = messages_events(&[
        br#"{"type":"message_start","message":{"id":"m","model":"c"}}"#,
        br#"{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"a","name":"f","input":{}}}"#,
        br#"{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{\"x\":"}}"#,
        br#"{"type":"content_block_stop","index":0}"#,
        br#"{"type":"message_delta","delta":{"stop_reason":"max_tokens"},"usage":{"output_tokens":1}}"#,
        br#"{"type":"message_stop"}"#,
    ]);
    assert!(to_chat(&events, Dialect::Anthropic).concat().contains(r#""finish_reason":"length""#));
    let responses = to_responses(&events, Dialect::Anthropic);
    assert!(responses[responses.len() - 1].contains(r#""type":"response.incomplete""#));
}

#[test]
fn trap_25_two_ends_of_a_choice_call_once() {
    let events = chat_events(&[
        br#"{"id":"c","model":"gpt","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}}]}}]}"#,
        br#"{"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}"#,
        br#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
        b"[DONE]",
    ]);
    assert_eq!(events.iter().filter(|event| matches!(event, Event::Stop { .. })).count(), 1);
    assert_eq!(collected(&events, Dialect::OpenAiChat).choices[0].stop, Some(Stop::ToolCalls));
    let messages = to_messages(&events, Dialect::OpenAiChat).concat();
    assert_eq!(
        (messages.matches(r#""tool_use","id""#).count(), messages.matches("message_delta").count()),
        (1, 1)
    );
}

#[test]
fn trap_26_results_of_parallel_calls_follow_them_without_anything_between() {
    let body = br#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"q"},
        {"role":"assistant","content":[{"type":"tool_use","id":"a","name":"f","input":{}},{"type":"tool_use","id":"b","name":"f","input":{}}]},
        {"role":"user","content":[{"type":"text","text":"and"},{"type":"tool_result","tool_use_id":"a","content":"1"},{"type":"tool_result","tool_use_id":"b","content":"2"}]}]}"#;
    for (dialect, written, _) in in_all(&anthropic::read_request(body).unwrap()) {
        let turns = written.get("messages").or(written.get("input")).unwrap().to_json();
        let at = |text: &str| turns.find(text).unwrap_or_else(|| panic!("{dialect}: {text} in {turns}"));
        let (first, second) = match dialect {
            Dialect::OpenAiResponses => (r#""output":"1""#, r#""output":"2""#),
            _ => (r#""content":"1""#, r#""content":"2""#),
        };
        assert!(at(first) < at(second) && at(second) < at(r#"and"#), "{dialect}: {turns}");
    }
}

#[test]
fn trap_35_a_tool_s_own_members_never_become_a_part_of_its_schema() {
    let schema = r#"{"type":"object","properties":{"type":{"type":"string"}},"additionalProperties":false}"#;
    let messages = format!(
        r#"{{"model":"m","max_tokens":9,"messages":[],"tools":[{{"type":"custom","name":"f","defer_loading":true,"input_schema":{schema},"cache_control":{{"type":"ephemeral"}}}}]}}"#
    );
    let chat = format!(
        r#"{{"model":"m","messages":[],"tools":[{{"type":"function","function":{{"name":"f","strict":false,"x":1,"parameters":{schema}}}}}]}}"#
    );
    let responses = format!(
        r#"{{"model":"m","tools":[{{"type":"function","name":"f","strict":false,"defer_loading":true,"parameters":{schema}}}]}}"#
    );
    let requests = [
        anthropic::read_request(messages.as_bytes()).unwrap(),
        openai_chat::read_request(chat.as_bytes()).unwrap(),
        openai_responses::read_request(responses.as_bytes()).unwrap(),
    ];
    for request in &requests {
        for (dialect, written, losses) in in_all(request) {
            let tool = &written.get("tools").unwrap().as_array().unwrap()[0];
            let function = tool.get("function").unwrap_or(tool);
            let own = function.get("parameters").or(function.get("input_schema")).unwrap();
            assert_eq!(own.to_json(), schema, "{dialect} from {}", request.from);
            // What only its own dialect knows is kept there, and told elsewhere.
            let is_own = dialect == request.from;
            assert_eq!(
                losses.features().contains(&Feature::Unknown),
                !is_own,
                "{dialect} from {}",
                request.from
            );
        }
    }
}

#[test]
fn trap_36_marks_of_caching_stay_on_results_and_are_told_where_there_are_none() {
    let body = br#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":[
        {"type":"tool_result","tool_use_id":"a","content":"r","cache_control":{"type":"ephemeral"}}]}]}"#;
    for (dialect, written, losses) in in_all(&anthropic::read_request(body).unwrap()) {
        let is_own = dialect == Dialect::Anthropic;
        assert_eq!(written.to_json().contains("cache_control"), is_own, "{dialect}");
        assert_eq!(losses.features() == [Feature::CacheMark], !is_own, "{dialect}: {losses}");
    }
    // None is spent on text that is left out: five marks, one of them on nothing.
    let mark = r#""cache_control":{"type":"ephemeral"}"#;
    let part = format!(r#"{{"type":"text","text":"t",{mark}}}"#);
    let body = format!(
        r#"{{"model":"m","messages":[{{"role":"user","content":[{part},{part},{part},{part},{{"type":"text","text":"",{mark}}}]}}]}}"#
    );
    let request = openai_chat::read_request(body.as_bytes()).unwrap();
    let mut losses = Losses::default();
    let written = text(&anthropic::write_request(&request, "c", 9, &mut losses));
    assert_eq!(written.matches("cache_control").count(), 4, "{written}");
    assert!(losses.is_empty(), "{losses}");
}

#[test]
fn trap_39_an_error_in_an_answer_with_status_200_is_no_answer() {
    type Read = fn(&[u8]) -> Result<(), Malformed>;
    let chat: Read = |body| openai_chat::read_answer(body).map(drop);
    let mistral: Read = |body| mistral::read_answer(body).map(drop);
    let responses: Read = |body| openai_responses::read_answer(body).map(drop);
    let cohere: Read = |body| cohere::read_answer(body).map(drop);
    for (read, body) in [
        (chat, r#"{"error":{"message":"busy","type":"overloaded"}}"#),
        (
            chat,
            r#"{"choices":[{"message":{"content":null},"finish_reason":"error","error":{"message":"busy"}}]}"#,
        ),
        (mistral, r#"{"choices":[{"message":{"content":""},"finish_reason":"error"}]}"#),
        (responses, r#"{"error":{"message":"busy"}}"#),
        (
            responses,
            r#"{"id":"r","status":"failed","output":[],"error":{"code":"server_error","message":"busy"}}"#,
        ),
        (cohere, r#"{"message":"busy"}"#),
        (cohere, r#"{"finish_reason":"ERROR","message":{"role":"assistant"}}"#),
    ] {
        assert!(matches!(read(body.as_bytes()), Err(Malformed::Failed { .. })), "{body}");
    }
}

#[test]
fn trap_41_a_stream_that_dies_ends_as_its_family_does() {
    let events = [
        Event::Start { id: "x".into(), model: "m".into(), created: None },
        Event::Failed { kind: Some("overloaded_error".into()), message: "busy".into() },
    ];
    let chat = to_chat(&events, Dialect::Anthropic);
    assert!(chat[chat.len() - 1].starts_with(r#"{"error":{"message":"busy","type":"overloaded_error""#));
    let messages = to_messages(&events, Dialect::OpenAiChat);
    assert_eq!(
        messages[messages.len() - 1],
        r#"{"type":"error","error":{"type":"overloaded_error","message":"busy"}}"#
    );
    let responses = to_responses(&events, Dialect::OpenAiChat);
    assert!(responses[responses.len() - 1].starts_with(r#"{"type":"response.failed","#));
    for told in [&chat, &messages, &responses] {
        let told = told.concat();
        assert!(
            !told.contains("[DONE]")
                && !told.contains("message_stop")
                && !told.contains("response.completed")
        );
    }
    // One that is cut is not given any end.
    let cut = &events[..1];
    assert!(!to_chat(cut, Dialect::Anthropic).concat().contains("DONE"));
    assert_eq!(to_messages(cut, Dialect::OpenAiChat).len(), 1);
    assert_eq!(to_responses(cut, Dialect::OpenAiChat).len(), 2);
}

#[test]
fn trap_42_thoughts_go_back_with_calls_where_the_provider_wants_them_and_nowhere_else() {
    let providers = Providers::bundled().unwrap();
    let body = r#"{"model":"m","messages":[{"role":"user","content":"q"},
        {"role":"assistant","reasoning_content":"why","content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{}"}}]},
        {"role":"tool","tool_call_id":"c1","content":"r"},
        {"role":"assistant","reasoning_content":"so","content":"a"},{"role":"user","content":"and"}]}"#;
    let request = openai_chat::read_request(body.as_bytes()).unwrap();
    for (kind, goes_back) in [("deepseek", true), ("moonshot", true), ("openai", false), ("groq", false)] {
        let words = Words::of(providers.get(kind).unwrap());
        let written = text(&openai_chat::write_request_for(&request, "m", words, &mut Losses::default()));
        assert_eq!(written.contains(r#""reasoning_content":"why""#), goes_back, "{kind}: {written}");
        // Never of a turn that only says something.
        assert!(!written.contains(r#""so""#), "{kind}: {written}");
    }
}

#[test]
fn trap_43_a_conversation_of_responses_keeps_its_calls_and_says_no_thoughts_aloud() {
    let body = br#"{"model":"m","input":[{"role":"user","content":"q"},
        {"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"secret"}],"encrypted_content":"e"},
        {"type":"message","id":"msg_1","role":"assistant","content":[{"type":"output_text","text":"let me see"}]},
        {"type":"function_call","id":"fc_1","call_id":"c1","name":"f","arguments":"{}"},
        {"type":"function_call","id":"fc_2","call_id":"c2","name":"f","arguments":"{}"},
        {"type":"function_call_output","call_id":"c1","output":"1"},{"type":"function_call_output","call_id":"c2","output":"2"},
        {"type":"reasoning","id":"rs_2","summary":[]},
        {"type":"function_call","call_id":"c3","name":"f","arguments":"{}"},{"type":"function_call_output","call_id":"c3","output":"3"}]}"#;
    let request = openai_responses::read_request(body).unwrap();
    for (dialect, written, losses) in in_all(&request) {
        let is_own = dialect == Dialect::OpenAiResponses;
        let said = written.to_json();
        // Mistral has a place for thoughts of its own, apart from what is said.
        if !is_own && dialect != Dialect::Mistral {
            assert!(!said.contains("secret"), "{dialect}: {said}");
        }
        for id in ["c1", "c2", "c3"] {
            let id = if dialect == Dialect::Mistral {
                "\"tool_call_id\":".to_owned()
            } else {
                format!("\"{id}\"")
            };
            assert!(said.matches(&id).count() >= 2, "{dialect}: {id} in {said}");
        }
        assert_eq!(losses.is_empty(), is_own, "{dialect}: {losses}");
    }
    let chat = value(&openai_chat::write_request(&request, "m", &mut Losses::default()));
    let roles: Vec<String> = chat
        .get("messages")
        .unwrap()
        .as_array()
        .unwrap()
        .iter()
        .map(|message| message.get("role").unwrap().as_text().unwrap().into_owned())
        .collect();
    // What is said and both calls are one turn, as their results must follow it.
    assert_eq!(roles, ["user", "assistant", "tool", "tool", "assistant", "tool"]);
}

#[test]
fn trap_44_sealed_thoughts_are_known_to_be_bound_and_can_be_left_behind() {
    let body = br#"{"model":"m","input":[{"role":"user","content":"q"},
        {"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"t"}],"encrypted_content":"e"},
        {"type":"function_call","id":"fc_1","call_id":"c1","name":"f","arguments":"{}"},
        {"type":"function_call_output","call_id":"c1","output":"r"}]}"#;
    let mut request = openai_responses::read_request(body).unwrap();
    assert!(request.is_bound() && !request.is_stateful());
    let mut losses = Losses::default();
    let own = text(&openai_responses::write_request(&request, "m", &mut losses));
    assert!(own.contains(r#""encrypted_content":"e""#) && own.contains("fc_1") && losses.is_empty());
    request.unbind(&mut losses);
    assert_eq!(losses.features(), [Feature::ThinkingSealed]);
    assert!(!request.is_bound());
    let other = text(&openai_responses::write_request(&request, "m", &mut Losses::default()));
    for gone in ["rs_1", "fc_1", "encrypted_content"] {
        assert!(!other.contains(gone), "{other}");
    }
    // The call and its result stay.
    assert_eq!(other.matches(r#""call_id":"c1""#).count(), 2);
    let plain = openai_responses::read_request(br#"{"model":"m","input":"q"}"#).unwrap();
    assert!(!plain.is_bound());
}

#[test]
fn trap_45_instructions_within_a_conversation_stay_there_and_are_not_the_assistant_s() {
    let body = br#"{"model":"m","messages":[{"role":"system","content":"first"},{"role":"user","content":"a"},{"role":"assistant","content":"b"},
        {"role":"system","content":"within"},{"role":"user","content":"c"}]}"#;
    for (dialect, written, losses) in in_all(&openai_chat::read_request(body).unwrap()) {
        let turns = written.get("messages").or(written.get("input")).unwrap();
        let at = turns.as_array().unwrap().iter().position(|turn| turn.to_json().contains("within")).unwrap();
        let turn = &turns.as_array().unwrap()[at];
        let (role, is_lost) = match dialect {
            Dialect::Anthropic => ("user", true),
            _ => ("system", false),
        };
        assert!(turn.get("role").unwrap().is(role), "{dialect}");
        assert!(turns.as_array().unwrap()[at - 1].to_json().contains(r#""b""#), "{dialect}");
        assert_eq!(losses.features().contains(&Feature::SystemWithin), is_lost, "{dialect}");
    }
}

#[test]
fn trap_more_structured_output_is_no_call_so_that_it_streams() {
    let body = br#"{"model":"m","stream":true,"messages":[{"role":"user","content":"q"}],
        "response_format":{"type":"json_schema","json_schema":{"name":"o","schema":{"type":"object"}}}}"#;
    for (dialect, written, losses) in in_all(&openai_chat::read_request(body).unwrap()) {
        assert!(written.get("tools").is_none() && written.get("tool_choice").is_none(), "{dialect}");
        assert!(written.to_json().contains(r#"{"type":"object"}"#) && losses.is_empty(), "{dialect}");
    }
    // The answer is text in each of them.
    let events = chat_events(&[
        br#"{"id":"c","model":"gpt","choices":[{"index":0,"delta":{"content":"{\"a\""}}]}"#,
        br#"{"choices":[{"index":0,"delta":{"content":":1}"},"finish_reason":"stop"}]}"#,
        b"[DONE]",
    ]);
    assert_eq!(to_messages(&events, Dialect::OpenAiChat).concat().matches("text_delta").count(), 2);
    assert_eq!(to_responses(&events, Dialect::OpenAiChat).concat().matches("output_text.delta").count(), 2);
}

#[test]
fn trap_more_each_valid_form_of_response_format_is_taken() {
    for format in [
        r#"{"type":"text"}"#,
        r#"{"type":"json_object"}"#,
        r#"{"type":"json_schema","json_schema":{"schema":{"type":"object"}}}"#,
        r#"{"type":"json_schema","json_schema":{"name":"o","description":"d","strict":null,"schema":{"$defs":{},"anyOf":[{"type":["string","null"]},true]}}}"#,
    ] {
        let body = format!(r#"{{"model":"m","messages":[],"response_format":{format}}}"#);
        let request = openai_chat::read_request(body.as_bytes()).unwrap();
        let (_, chat, _) = &in_all(&request)[0];
        assert_eq!(chat.get("response_format").is_some(), !format.contains(r#""text""#), "{format}");
        if let Some(schema) = format.split(r#""schema":"#).nth(1).filter(|_| format.contains("json_schema")) {
            let schema = &schema[..schema.len() - 2];
            for (dialect, written, _) in in_all(&request) {
                assert!(written.to_json().contains(schema), "{dialect}: {schema}");
            }
        }
    }
}

#[test]
fn trap_more_a_choice_does_not_name_a_tool_that_was_dropped() {
    let body = br#"{"model":"m","max_tokens":9,"messages":[],"tool_choice":{"type":"tool","name":"web_search"},
        "tools":[{"type":"web_search_20250305","name":"web_search"},{"name":"f","input_schema":{"type":"object"}}]}"#;
    for (dialect, written, losses) in in_all(&anthropic::read_request(body).unwrap()) {
        let is_own = dialect == Dialect::Anthropic;
        assert_eq!(written.to_json().contains("web_search"), is_own, "{dialect}");
        assert_eq!(written.get("tool_choice").is_some(), is_own, "{dialect}");
        if !is_own {
            let mut told = losses.features().to_vec();
            told.sort();
            assert_eq!(told, [Feature::ToolChoice, Feature::ServerTools], "{dialect}");
        }
    }
    let body = br#"{"model":"m","messages":[],"tool_choice":{"type":"function","function":{"name":"gone"}},
        "tools":[{"type":"function","function":{"name":"f"}}]}"#;
    let request = openai_chat::read_request(body).unwrap();
    let mut losses = Losses::default();
    let written = anthropic::write_request(&request, "c", 9, &mut losses);
    assert!(written.get("tool_choice").is_none());
    assert_eq!(losses.features(), [Feature::ToolChoice]);
}

#[test]
fn trap_more_what_the_provider_s_own_tools_do_takes_no_index_of_a_call() {
    let events = messages_events(&[
        br#"{"type":"message_start","message":{"id":"m","model":"c"}}"#,
        br#"{"type":"content_block_start","index":0,"content_block":{"type":"server_tool_use","id":"srvtoolu_1","name":"web_search","input":{}}}"#,
        br#"{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{\"query\":\"q\"}"}}"#,
        br#"{"type":"content_block_stop","index":0}"#,
        br#"{"type":"content_block_start","index":1,"content_block":{"type":"web_search_tool_result","tool_use_id":"srvtoolu_1","content":[]}}"#,
        br#"{"type":"content_block_stop","index":1}"#,
        br#"{"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"a","name":"f","input":{}}}"#,
        br#"{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\"x\":1}"}}"#,
        br#"{"type":"content_block_stop","index":2}"#,
        br#"{"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":1}}"#,
        br#"{"type":"message_stop"}"#,
    ]);
    let told = to_chat(&events, Dialect::Anthropic);
    let data: Vec<&[u8]> = told.iter().map(String::as_bytes).collect();
    let answer = collected(&chat_events(&data), Dialect::OpenAiChat);
    let [Part::ToolCall(call)] = answer.choices[0].parts.as_slice() else { panic!("{answer:?}") };
    assert_eq!((call.name.text().as_ref(), call.arguments.to_text().as_str()), ("f", r#"{"x":1}"#));
    assert!(told.concat().contains(r#""tool_calls":[{"index":0,"id":"a""#));
    let responses = to_responses(&events, Dialect::Anthropic).concat();
    assert!(
        responses.contains(r#""output_index":0,"item":{"id":"fc_m_0","type":"function_call""#),
        "{responses}"
    );
}

#[test]
fn trap_more_ids_and_the_tier_of_service_come_through() {
    let body = br#"{"id":"chatcmpl-1","object":"chat.completion","created":7,"model":"gpt","service_tier":"flex","choices":[{"index":0,
        "message":{"role":"assistant","tool_calls":[{"id":"call_1","type":"function","function":{"name":"f","arguments":"{}"}}]},"finish_reason":"tool_calls"}]}"#;
    let answer = openai_chat::read_answer(body).unwrap();
    let mut losses = Losses::default();
    let responses = value(&openai_responses::write_answer(&answer, "m", &mut losses));
    assert_eq!(
        (member(&responses, "id"), member(&responses, "service_tier")),
        (r#""chatcmpl-1""#.into(), r#""flex""#.into())
    );
    assert!(member(&responses, "output").contains(r#""call_id":"call_1""#));
    let again = openai_responses::read_answer(responses.to_json().leak().as_bytes()).unwrap();
    let chat = value(&openai_chat::write_answer(&again, "m", &mut losses));
    assert_eq!(
        (member(&chat, "id"), member(&chat, "service_tier")),
        (r#""chatcmpl-1""#.into(), r#""flex""#.into())
    );
    // A word that another dialect has for it becomes the one that means the same.
    let request = anthropic::read_request(
        br#"{"model":"m","max_tokens":9,"messages":[],"service_tier":"standard_only"}"#,
    )
    .unwrap();
    for (dialect, written, losses) in in_all(&request) {
        let word = match dialect {
            Dialect::OpenAiChat | Dialect::OpenAiResponses => Some("default"),
            Dialect::Anthropic | Dialect::Mistral => Some("standard_only"),
            _ => None,
        };
        assert_eq!(
            written.get("service_tier").map(|tier| tier.as_text().unwrap().into_owned()).as_deref(),
            word,
            "{dialect}"
        );
        assert!(losses.is_empty(), "{dialect}: {losses}");
    }
}

#[test]
fn ids_of_calls_fit_and_are_the_same_each_time() {
    let id = "toolu_".to_owned() + &"x".repeat(60);
    let body = format!(
        r#"{{"model":"m","max_tokens":9,"messages":[{{"role":"user","content":"q"}},
            {{"role":"assistant","content":[{{"type":"tool_use","id":"{id}","name":"f","input":{{}}}},{{"type":"tool_use","id":"short","name":"f","input":{{}}}}]}},
            {{"role":"user","content":[{{"type":"tool_result","tool_use_id":"{id}","content":"1"}},{{"type":"tool_result","tool_use_id":"short","content":"2"}}]}}]}}"#
    );
    let request = anthropic::read_request(body.as_bytes()).unwrap();
    for (dialect, written, _) in in_all(&request) {
        let text = written.to_json();
        let (is_long, is_short) = (text.matches(&id).count() == 2, text.matches(r#""short""#).count() == 2);
        match dialect {
            Dialect::OpenAiChat | Dialect::OpenAiResponses => {
                assert!(!is_long && is_short, "{dialect}: {text}");
                assert_eq!(text.matches(r#":"call_"#).count(), 2, "{dialect}: {text}");
            }
            Dialect::Mistral => assert!(!is_long && !is_short, "{dialect}: {text}"),
            _ => assert!(is_long && is_short, "{dialect}: {text}"),
        }
    }
    // Calls that have none get one each in an answer of Responses, where they are told apart by it.
    let call = r#"{"type":"function","function":{"name":"f","arguments":"{}"}}"#;
    let body = format!(
        r#"{{"id":"c","choices":[{{"index":0,"message":{{"role":"assistant","tool_calls":[{call},{call}]}},"finish_reason":"tool_calls"}}]}}"#
    );
    let answer = openai_chat::read_answer(body.as_bytes()).unwrap();
    let written = value(&openai_responses::write_answer(&answer, "m", &mut Losses::default()));
    let output = written.get("output").unwrap().as_array().unwrap();
    assert_ne!(output[0].get("call_id"), output[1].get("call_id"));
}

#[test]
fn trap_more_the_developer_is_the_system_where_there_is_no_such_role() {
    let request = openai_chat::read_request(
        br#"{"model":"m","messages":[{"role":"developer","content":"d"},{"role":"user","content":"q"}]}"#,
    )
    .unwrap();
    for (dialect, written, losses) in in_all(&request) {
        let said = written.to_json();
        let has_role = matches!(dialect, Dialect::OpenAiChat | Dialect::OpenAiResponses);
        assert_eq!(said.contains(r#""role":"developer""#), has_role, "{dialect}");
        let is_system = match dialect {
            Dialect::Anthropic => said.contains(r#""system":"d""#),
            _ => said.contains(r#""role":"system""#),
        };
        assert_eq!(is_system, !has_role, "{dialect}");
        assert!(losses.is_empty(), "{dialect}: {losses}");
    }
    let providers = Providers::bundled().unwrap();
    let plain = providers
        .iter()
        .find(|one| {
            one.dialect() == Dialect::OpenAiChat && one.has(penstock_ai::provider::Quirk::NoDeveloperRole)
        })
        .unwrap();
    let written =
        text(&openai_chat::write_request_for(&request, "m", Words::of(plain), &mut Losses::default()));
    assert!(written.contains(r#"{"role":"system","content":"d"}"#), "{written}");
}

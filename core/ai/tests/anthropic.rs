//! Requests of Messages: to the form and back, and what comes of Chat Completions in them.
#![allow(clippy::unwrap_used, clippy::panic)]

mod recordings;

use penstock_ai::anthropic::{read_answer, read_request, write_answer, write_request};
use penstock_ai::form::{Feature, Losses};
use penstock_ai::json::Value;
use penstock_ai::openai_chat;

const MAX_OUTPUT: u64 = 4096;

/// A request of Chat Completions as one of Messages.
fn translated(body: &str) -> (Value<'static>, Losses) {
    let request = openai_chat::read_request(body.as_bytes()).unwrap();
    let mut losses = Losses::default();
    let mut text = Vec::new();
    write_request(&request, "claude", MAX_OUTPUT, &mut losses).write(&mut text);
    (Value::parse(text.leak()).unwrap(), losses)
}

/// The same, of messages only: the messages, as text.
fn messages(messages: &str) -> String {
    let (body, _) = translated(&format!(r#"{{"model":"m","messages":{messages}}}"#));
    text(body.get("messages").unwrap())
}

fn text(value: &Value<'_>) -> String {
    let mut out = Vec::new();
    value.write(&mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn recorded_requests_mean_the_same_after_a_round_trip() {
    let mut n = 0;
    for (path, document) in recordings::requests() {
        let uri = document.get("uri").unwrap().as_text().unwrap();
        if !uri.contains("/v1/messages") || uri.contains("count_tokens") {
            continue;
        }
        n += 1;
        let mut body = Vec::new();
        document.get("body").unwrap().write(&mut body);
        let request = read_request(&body).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let model = request.model.text().into_owned();
        let mut losses = Losses::default();
        let mut text = Vec::new();
        write_request(&request, &model, MAX_OUTPUT, &mut losses).write(&mut text);
        assert_eq!(read_request(&text).unwrap(), request, "{}", path.display());
        assert!(losses.is_empty(), "{}: {losses}", path.display());
    }
    assert!(n >= 8 || recordings::are_absent(), "only {n} requests");
}

#[test]
fn everything_that_the_dialect_says_is_kept() {
    let body = r#"{"model":"m","max_tokens":9000,
        "system":[{"type":"text","text":"s","cache_control":{"type":"ephemeral","ttl":"1h"}}],
        "messages":[{"role":"user","content":[
                {"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}},
                {"type":"image","source":{"type":"url","url":"https://x/y.png"}},
                {"type":"document","source":{"type":"file","file_id":"file_1"},"title":"t"},
                {"type":"document","source":{"type":"text","media_type":"text/plain","data":"d"},"citations":{"enabled":true}},
                {"type":"search_result","source":"u","title":"t","content":[]}]},
            {"role":"assistant","content":[{"type":"thinking","thinking":"","signature":"sig"},
                {"type":"thinking","thinking":"more","signature":"sig2"},{"type":"redacted_thinking","data":"xx"},
                {"type":"text","text":"a","citations":[{"type":"char_location"}]},
                {"type":"tool_use","id":"toolu_1","name":"f","input":{"b":1.0,"a":2}},
                {"type":"server_tool_use","id":"srvtoolu_1","name":"web_search","input":{}}]},
            {"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_1","is_error":true,"content":[
                {"type":"text","text":"r"},{"type":"image","source":{"type":"url","url":"u"}}],
                "cache_control":{"type":"ephemeral"}}]}],
        "tools":[{"name":"f","description":"d","input_schema":{"type":"object"},"strict":true,"cache_control":{"type":"ephemeral"}},
            {"type":"web_search_20250305","name":"web_search"}],
        "tool_choice":{"type":"tool","name":"f","disable_parallel_tool_use":true},
        "thinking":{"type":"enabled","budget_tokens":2000,"display":"omitted"},"temperature":1.0,"top_p":0.95,
        "output_config":{"effort":"high","format":{"type":"json_schema","schema":{"type":"object"}}},
        "stop_sequences":["x"],"stream":true,"metadata":{"user_id":"u"},"service_tier":"standard_only","new_member":[2,1]}"#;
    let request = read_request(body.as_bytes()).unwrap();
    let mut losses = Losses::default();
    let mut printed = Vec::new();
    write_request(&request, "m", MAX_OUTPUT, &mut losses).write(&mut printed);
    assert!(losses.is_empty(), "{losses}");
    assert_eq!(read_request(&printed).unwrap(), request, "{}", String::from_utf8_lossy(&printed));
}

#[test]
fn what_is_malformed_is_told_with_its_place() {
    for (body, error) in [
        (r#"{"messages":[]}"#, "`model` is missing"),
        (r#"{"model":"m"}"#, "`messages` is missing"),
        (
            r#"{"model":"m","messages":[{"role":"tool","content":"x"}]}"#,
            "`messages[0].role` must be user or assistant",
        ),
        (r#"{"model":"m","messages":[{"role":"user"}]}"#, "`messages[0].content` is missing"),
        (
            r#"{"model":"m","messages":[{"role":"user","content":[{"type":"tool_result"}]}]}"#,
            "`messages[0].content[0].tool_use_id` is missing",
        ),
        (
            r#"{"model":"m","messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64"}}]}]}"#,
            "`messages[0].content[0].source.data` is missing",
        ),
        (
            r#"{"model":"m","messages":[],"thinking":{"type":"enabled"}}"#,
            "`thinking.budget_tokens` is missing",
        ),
        (r#"{"model":"m","messages":[],"tool_choice":{"type":"tool"}}"#, "`tool_choice.name` is missing"),
        (r#"{"model":"m","messages":[],"stop_sequences":["a",1]}"#, "`stop_sequences[1]` must be a string"),
    ] {
        assert_eq!(
            read_request(body.as_bytes()).map_err(|error| error.to_string()),
            Err(error.into()),
            "{body}"
        );
    }
}

#[test]
fn trap_26_parallel_results_come_first_in_one_turn() {
    let said = messages(
        r#"[{"role":"user","content":"q"},
            {"role":"assistant","content":"","tool_calls":[
                {"id":"a","type":"function","function":{"name":"f","arguments":"{\"x\":1}"}},
                {"id":"b","type":"function","function":{"name":"g","arguments":""}}]},
            {"role":"tool","tool_call_id":"a","content":"1"},{"role":"tool","tool_call_id":"b","content":""},
            {"role":"user","content":"and"}]"#,
    );
    assert_eq!(
        said,
        concat!(
            r#"[{"role":"user","content":"q"},{"role":"assistant","content":["#,
            r#"{"type":"tool_use","id":"a","name":"f","input":{"x":1}},{"type":"tool_use","id":"b","name":"g","input":{}}]},"#,
            r#"{"role":"user","content":[{"type":"tool_result","tool_use_id":"a","content":"1"},"#,
            r#"{"type":"tool_result","tool_use_id":"b"},{"type":"text","text":"and"}]}]"#
        )
    );
}

#[test]
fn a_conversation_gets_the_shape_that_the_dialect_wants() {
    for (given, wanted) in [
        // Turns of one speaker become one; the first is the user's; what is empty is not said.
        (
            r#"[{"role":"assistant","content":"hi"},{"role":"user","content":"a"},{"role":"user","content":"b"}]"#,
            r#"[{"role":"user","content":"."},{"role":"assistant","content":"hi"},{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}]"#,
        ),
        (
            r#"[{"role":"user","content":"a"},{"role":"assistant","content":""},{"role":"user","content":"b"}]"#,
            r#"[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}]"#,
        ),
        // An answer that has been begun does not end with white space.
        (
            r#"[{"role":"user","content":"a"},{"role":"assistant","content":"{ \n"}]"#,
            r#"[{"role":"user","content":"a"},{"role":"assistant","content":"{"}]"#,
        ),
        (
            r#"[{"role":"user","content":"a"},{"role":"assistant","content":" "}]"#,
            r#"[{"role":"user","content":"a"}]"#,
        ),
        // Instructions within stay where they are, and are not the assistant's.
        (
            r#"[{"role":"user","content":"a"},{"role":"assistant","content":"b"},{"role":"system","content":"c"},{"role":"user","content":"d"}]"#,
            r#"[{"role":"user","content":"a"},{"role":"assistant","content":"b"},{"role":"user","content":[{"type":"text","text":"<system>c</system>"},{"type":"text","text":"d"}]}]"#,
        ),
        // Pictures.
        (
            r#"[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/webp;base64,AAAA","detail":"high"}},{"type":"image_url","image_url":{"url":"https://x"}}]}]"#,
            r#"[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/webp","data":"AAAA"}},{"type":"image","source":{"type":"url","url":"https://x"}}]}]"#,
        ),
        // Ids and arguments that the dialect does not take.
        (
            r#"[{"role":"user","content":"a"},{"role":"assistant","tool_calls":[{"id":"a.b_c","function":{"name":"f","arguments":"[1]"}}]},{"role":"tool","tool_call_id":"a.b_c","content":"r"}]"#,
            r#"[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"tool_use","id":"call_a_x2eb__c","name":"f","input":{"arguments":"[1]"}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"call_a_x2eb__c","content":"r"}]}]"#,
        ),
    ] {
        assert_eq!(messages(given), wanted);
    }
}

#[test]
fn instructions_before_the_conversation_are_the_system_s() {
    let (body, losses) = translated(
        r#"{"model":"m","messages":[{"role":"system","content":"a"},{"role":"developer","content":"b"},{"role":"user","content":"q"}]}"#,
    );
    assert_eq!(
        text(body.get("system").unwrap()),
        r#"[{"type":"text","text":"a"},{"type":"text","text":"b"}]"#
    );
    assert_eq!(body.get("max_tokens").and_then(Value::as_u64), Some(MAX_OUTPUT));
    assert!(losses.is_empty());
}

#[test]
fn trap_36_only_the_last_marks_of_caching_are_kept() {
    let part = r#"{"type":"text","text":"t","cache_control":{"type":"ephemeral"}}"#;
    let tool = r#"{"type":"function","function":{"name":"f"},"cache_control":{"type":"ephemeral"}}"#;
    let (body, losses) = translated(&format!(
        r#"{{"model":"m","tools":[{tool}],"messages":[{{"role":"system","content":[{part}]}},{{"role":"user","content":[{part},{part},{part},{part}]}}]}}"#
    ));
    assert_eq!(losses.features(), [Feature::CacheMark]);
    assert!(!text(body.get("tools").unwrap()).contains("cache_control"));
    assert!(!text(body.get("system").unwrap()).contains("cache_control"));
    assert_eq!(text(body.get("messages").unwrap()).matches("cache_control").count(), 4);
}

#[test]
fn thinking_is_asked_for_within_what_the_provider_allows() {
    let thinking = |members: &str, messages: &str| {
        let (body, losses) = translated(&format!(r#"{{"model":"m",{members}"messages":{messages}}}"#));
        let told: Vec<_> = losses.features().to_vec();
        (body.get("thinking").map(text), body.get("temperature").map(text), told)
    };
    let ask = r#"[{"role":"user","content":"q"}]"#;
    let calls = r#"[{"role":"user","content":"q"},{"role":"assistant","tool_calls":[{"id":"a","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"a","content":"r"}]"#;
    let enabled = |budget: u64| Some(format!(r#"{{"type":"enabled","budget_tokens":{budget}}}"#));
    let one = || Some("1".to_owned());
    assert_eq!(
        thinking(r#""reasoning_effort":"low","max_tokens":9000,"#, ask),
        (enabled(4096), None, vec![])
    );
    assert_eq!(
        thinking(r#""reasoning_effort":"high","max_tokens":9000,"#, ask),
        (enabled(8999), None, vec![])
    );
    assert_eq!(
        thinking(r#""reasoning_effort":"none","#, ask),
        (Some(r#"{"type":"disabled"}"#.into()), None, vec![])
    );
    let small = thinking(r#""reasoning_effort":"high","max_tokens":500,"#, ask);
    assert_eq!(small, (None, None, vec![Feature::ThinkingBudget]));
    // Calls whose thoughts were not kept: the provider would refuse.
    assert_eq!(thinking(r#""reasoning_effort":"low","#, calls), (None, None, vec![Feature::ThinkingBudget]));
    let warm = thinking(r#""reasoning_effort":"minimal","temperature":0.5,"#, ask);
    assert_eq!(warm, (enabled(1024), None, vec![Feature::Temperature]));
    assert_eq!(thinking(r#""temperature":1.7,"#, ask), (None, one(), vec![Feature::Temperature]));
}

#[test]
fn what_the_dialect_has_no_word_for_is_told() {
    let (body, losses) = translated(
        r#"{"model":"m","n":2,"seed":1,"presence_penalty":0,"frequency_penalty":0,"logit_bias":{},"logprobs":true,
            "prompt_cache_key":"k","verbosity":"low","metadata":{"a":"b"},"service_tier":"flex","store":true,"not_known":1,
            "response_format":{"type":"json_object"},"stop":[" ","x"],
            "messages":[{"role":"user","name":"n","content":[{"type":"input_audio","input_audio":{"data":"A","format":"wav"}},
                {"type":"file","file":{"file_id":"f"}},{"type":"text","text":"a"}]}]}"#,
    );
    use Feature::*;
    let told = [
        Name,
        Audio,
        File,
        Json,
        Seed,
        PresencePenalty,
        FrequencyPenalty,
        LogitBias,
        Answers,
        Logprobs,
        CacheKey,
        Verbosity,
        Stop,
        ServiceTier,
        Metadata,
        Stored,
        Unknown,
    ];
    assert_eq!(losses.features(), told);
    assert_eq!(
        text(&body),
        r#"{"model":"claude","max_tokens":4096,"messages":[{"role":"user","content":"a"}],"stop_sequences":["x"]}"#
    );
}

#[test]
fn recorded_answers_mean_the_same_after_a_round_trip() {
    let mut n = 0;
    for (path, bytes) in recordings::files(".response.json") {
        if !Value::parse(bytes).unwrap().get("type").is_some_and(|kind| kind.is("message")) {
            continue;
        }
        n += 1;
        let answer = read_answer(bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(answer.usage.is_some_and(|usage| usage.input_total() > 0));
        let model = answer.model.text().into_owned();
        let mut losses = Losses::default();
        let mut text = Vec::new();
        write_answer(&answer, &model, &mut losses).write(&mut text);
        assert_eq!(read_answer(&text).unwrap(), answer, "{}", path.display());
        assert!(losses.is_empty(), "{}: {losses}", path.display());
    }
    assert!(n >= 4 || recordings::are_absent(), "only {n} answers");
}

/// An answer of Chat Completions as one of Messages.
fn answered(message: &str, finish: &str) -> (Value<'static>, Losses) {
    let body = format!(
        r#"{{"id":"c","object":"chat.completion","created":1,"model":"gpt","system_fingerprint":"fp_1","service_tier":null,
            "choices":[{{"index":0,"message":{message},"finish_reason":"{finish}"}}],
            "usage":{{"prompt_tokens":10,"completion_tokens":7,"total_tokens":17,"prompt_tokens_details":{{"cached_tokens":4}},
                "completion_tokens_details":{{"reasoning_tokens":5}}}}}}"#
    );
    let answer = openai_chat::read_answer(body.as_bytes()).unwrap();
    let mut losses = Losses::default();
    let mut text = Vec::new();
    write_answer(&answer, "fast", &mut losses).write(&mut text);
    (Value::parse(text.leak()).unwrap(), losses)
}

#[test]
fn answers_of_chat_become_messages() {
    let (answer, losses) = answered(
        r#"{"role":"assistant","content":"a","refusal":null,"reasoning_content":"hm","tool_calls":[
            {"id":"c1","type":"function","function":{"name":"f","arguments":"{\"x\":[1.50]}"}},
            {"id":"c2","type":"function","function":{"name":"g","arguments":""}}]}"#,
        "tool_calls",
    );
    assert_eq!(
        text(answer.get("content").unwrap()),
        concat!(
            r#"[{"type":"thinking","thinking":"hm","signature":""},{"type":"text","text":"a"},"#,
            r#"{"type":"tool_use","id":"c1","name":"f","input":{"x":[1.50]}},{"type":"tool_use","id":"c2","name":"g","input":{}}]"#
        )
    );
    assert!(answer.get("stop_reason").unwrap().is("tool_use") && answer.get("model").unwrap().is("fast"));
    let usage = answer.get("usage").unwrap();
    let count = |name: &str| usage.get(name).and_then(Value::as_u64);
    assert_eq!(
        (count("input_tokens"), count("cache_read_input_tokens"), count("output_tokens")),
        (Some(6), Some(4), Some(7))
    );
    assert!(losses.is_empty(), "{losses}");
    for (finish, reason) in [("stop", "end_turn"), ("length", "max_tokens"), ("content_filter", "refusal")] {
        let (answer, _) = answered(r#"{"role":"assistant","content":"a"}"#, finish);
        assert!(answer.get("stop_reason").unwrap().is(reason));
    }
    // Cut while it called: still a cut, whatever it called.
    let call =
        r#"{"role":"assistant","tool_calls":[{"id":"c","function":{"name":"f","arguments":"{\"x\":"}}]}"#;
    let (answer, _) = answered(call, "length");
    assert!(answer.get("stop_reason").unwrap().is("max_tokens"));
}

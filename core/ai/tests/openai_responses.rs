//! Requests and answers of Responses: to the form and back, and what comes of them in Chat and Messages.
#![allow(clippy::unwrap_used, clippy::panic)]

mod recordings;

use penstock_ai::form::{Arguments, Feature, Losses, Malformed, Part, Role, Stop, Thought, ToolCall};
use penstock_ai::json::{Object, Value};
use penstock_ai::openai_responses::{
    Echo, read_answer, read_request, write_answer, write_answer_to, write_request,
};
use penstock_ai::{anthropic, openai_chat};

fn text(object: &Object<'_>) -> String {
    let mut out = Vec::new();
    object.write(&mut out);
    String::from_utf8(out).unwrap()
}

fn value(object: &Object<'_>) -> Value<'static> {
    Value::parse(text(object).into_bytes().leak()).unwrap()
}

/// A request of Responses as one of Chat.
fn to_chat(body: &str) -> (Value<'static>, Losses) {
    let request = read_request(body.as_bytes()).unwrap();
    let mut losses = Losses::default();
    let written = value(&openai_chat::write_request(&request, "m", &mut losses));
    (written, losses)
}

/// A request of Chat as one of Responses.
fn from_chat(body: &str) -> (Value<'static>, Losses) {
    let request = openai_chat::read_request(body.as_bytes()).unwrap();
    let mut losses = Losses::default();
    let written = value(&write_request(&request, "m", &mut losses));
    (written, losses)
}

fn member(value: &Value<'_>, name: &str) -> String {
    value.get(name).map_or_else(String::new, Value::to_json)
}

fn responses(end: &str) -> impl Iterator<Item = (&'static std::path::Path, &'static [u8])> {
    recordings::files(end).filter(|(_, bytes)| {
        Value::parse(bytes).is_ok_and(|body| body.get("object").is_some_and(|kind| kind.is("response")))
    })
}

#[test]
fn recorded_requests_mean_the_same_after_a_round_trip() {
    let mut n = 0;
    for (path, document) in recordings::requests() {
        if !document.get("uri").unwrap().as_text().unwrap().ends_with("/v1/responses") {
            continue;
        }
        n += 1;
        let mut body = Vec::new();
        document.get("body").unwrap().write(&mut body);
        let request = read_request(&body).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let model = request.model.text().into_owned();
        let mut losses = Losses::default();
        let written = text(&write_request(&request, &model, &mut losses));
        assert_eq!(read_request(written.as_bytes()).unwrap(), request, "{}: {written}", path.display());
        assert!(losses.is_empty(), "{}: {losses}", path.display());
    }
    assert!(n >= 8 || recordings::are_absent(), "only {n} requests");
}

#[test]
fn recorded_requests_keep_their_meaning_by_way_of_others() {
    for (path, document) in recordings::requests() {
        if !document.get("uri").unwrap().as_text().unwrap().ends_with("/v1/responses") {
            continue;
        }
        let mut body = Vec::new();
        document.get("body").unwrap().write(&mut body);
        let request = read_request(&body).unwrap();
        let mut losses = Losses::default();
        let chat = text(&openai_chat::write_request(&request, "m", &mut losses));
        let chat = openai_chat::read_request(chat.as_bytes()).unwrap();
        let mut back_losses = Losses::default();
        let back = text(&write_request(&chat, "m", &mut back_losses));
        let back = read_request(back.as_bytes()).unwrap();
        assert!(back_losses.is_empty(), "{}: {back_losses}", path.display());
        let says = |request: &penstock_ai::form::Request<'_>| -> Vec<(Role, Vec<Part<'static>>)> {
            let owned = |part: &Part<'_>| match part {
                Part::Text(text) => {
                    Some(Part::Text(penstock_ai::form::Text::new(text.text.text().into_owned())))
                }
                Part::ToolCall(call) => Some(Part::ToolCall(ToolCall {
                    id: None, // Chat takes none of more than 40 bytes
                    name: call.name.clone().into_owned(),
                    arguments: Arguments::Text(call.arguments.to_text().into()),
                    signature: None,
                    cache: None,
                    rest: Object::default(),
                })),
                _ => None,
            };
            request
                .turns
                .iter()
                .map(|turn| (turn.role, turn.parts.iter().filter_map(owned).collect()))
                .collect()
        };
        assert_eq!(says(&back), says(&request), "{}", path.display());
        assert_eq!((&back.tools, &back.tool_choice), (&request.tools, &request.tool_choice));
        let parts = || back.turns.iter().flat_map(|turn| &turn.parts);
        let has_result = |id: &penstock_ai::json::Str<'_>| {
            parts().any(|part| matches!(part, Part::ToolResult(result) if result.call == *id))
        };
        for part in parts() {
            if let Part::ToolCall(call) = part {
                assert!(has_result(call.id.as_ref().unwrap()), "{}", path.display());
            }
        }
        // Elsewhere only what the provider keeps is lost.
        let kept = request.rest.get("previous_response_id").map(|_| Feature::Stored);
        let shown = request.thinking.as_ref().and_then(|thinking| thinking.shown.as_ref());
        let expected: Vec<Feature> = shown.map(|_| Feature::ThinkingShown).into_iter().chain(kept).collect();
        assert_eq!(losses.features(), expected, "{}", path.display());
        let mut losses = Losses::default();
        let messages = text(&anthropic::write_request(&request, "c", 4096, &mut losses));
        let messages = anthropic::read_request(messages.as_bytes()).unwrap();
        assert_eq!(says(&messages).len(), request.turns.len(), "{}", path.display());
        assert_eq!(messages.tools.len(), request.tools.len());
    }
}

/// All that the dialect says.
const EVERYTHING: &str = r#"{"model":"m","instructions":"be brief","input":[
    {"role":"developer","content":"d"},
    {"type":"message","role":"user","content":[{"type":"input_text","text":"a"},
        {"type":"input_image","image_url":"https://x/y.png","detail":"low"},
        {"type":"input_image","image_url":"data:image/png;base64,AAAA","detail":"auto"},
        {"type":"input_image","file_id":"file-0","detail":"auto"},
        {"type":"input_file","file_id":"file-1"},{"type":"input_file","file_url":"https://x/y.pdf"},
        {"type":"input_file","filename":"a.pdf","file_data":"data:application/pdf;base64,BBBB"},
        {"type":"input_audio","input_audio":{"data":"CCCC","format":"mp3"}},{"type":"input_new","x":[1.0]}]},
    {"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"s1"},{"type":"summary_text","text":"s2"}],
        "encrypted_content":"gAAA"},
    {"type":"message","id":"msg_1","role":"assistant","status":"completed","phase":"commentary","content":[
        {"type":"output_text","text":"t","annotations":[{"type":"url_citation","url":"u","title":"w","start_index":0,"end_index":1}]},
        {"type":"refusal","refusal":"no"}]},
    {"type":"function_call","id":"fc_1","call_id":"call_1","name":"f","arguments":"{\"a\":1}","status":"completed","namespace":"n"},
    {"type":"custom_tool_call","id":"ctc_1","call_id":"call_2","name":"g","input":"free"},
    {"type":"function_call_output","call_id":"call_1","output":"r1","status":"completed"},
    {"type":"custom_tool_call_output","call_id":"call_2","output":[{"type":"input_text","text":"r2"},
        {"type":"input_image","image_url":"https://x/z.png","detail":"high"}]},
    {"type":"web_search_call","id":"ws_1","status":"completed","action":{"type":"search","query":"q"}},
    {"type":"item_reference","id":"msg_0"},{"type":"input_file","new":true},
    {"type":"mcp_approval_response","approval_request_id":"a","approve":true},
    {"type":"message","role":"user","content":"and"}],
    "tools":[{"type":"function","name":"f","description":"d","parameters":{"type":"object"},"strict":true,"defer_loading":true},
        {"type":"custom","name":"g","format":{"type":"grammar","syntax":"lark","definition":"x"}},
        {"type":"web_search","search_context_size":"low"},{"type":"mcp","server_label":"l","server_url":"u"}],
    "tool_choice":{"type":"function","name":"f"},"parallel_tool_calls":false,
    "text":{"format":{"type":"json_schema","name":"o","schema":{"type":"object"},"strict":true},"verbosity":"low","new":1},
    "reasoning":{"effort":"high","summary":"detailed","context":"auto"},"temperature":0.10,"top_p":1,"max_output_tokens":99,
    "top_logprobs":3,"include":["message.output_text.logprobs","reasoning.encrypted_content"],"stream":true,"user":"u",
    "prompt_cache_key":"k","service_tier":"flex","metadata":{"a":"b"},"store":false,"truncation":"auto","max_tool_calls":5,
    "previous_response_id":"resp_0","safety_identifier":"s","not_yet_known":{"b":1,"a":2}}"#;

#[test]
fn everything_that_the_dialect_says_is_kept() {
    let request = read_request(EVERYTHING.as_bytes()).unwrap();
    let mut losses = Losses::default();
    let written = text(&write_request(&request, "m", &mut losses));
    assert!(losses.is_empty(), "{losses}");
    assert_eq!(read_request(written.as_bytes()).unwrap(), request, "{written}");
    for kept in [
        r#""temperature":0.10"#,
        r#""not_yet_known":{"b":1,"a":2}"#,
        r#"{"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"s1"},{"type":"summary_text","text":"s2"}],"encrypted_content":"gAAA"}"#,
        r#""id":"fc_1""#,
        r#""namespace":"n""#,
        r#""id":"msg_1","phase":"commentary""#,
        r#""type":"custom_tool_call_output""#,
        r#""include":["reasoning.encrypted_content","message.output_text.logprobs"]"#,
        r#""context":"auto""#,
        r#""defer_loading":true"#,
    ] {
        assert!(written.contains(kept), "{kept} in {written}");
    }
}

#[test]
fn everything_else_where_it_is_lost_is_told() {
    let (body, losses) = to_chat(EVERYTHING);
    use Feature::*;
    let mut told = losses.features().to_vec();
    told.sort();
    let expected = [ServerTools, ThinkingShown, ThinkingSealed, Stored, Citations, Unknown, DocumentUrl];
    let mut expected = expected.to_vec();
    expected.sort();
    assert_eq!(told, expected);
    assert_eq!(
        member(&body, "tools"),
        concat!(
            r#"[{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object"},"strict":true}},"#,
            r#"{"type":"custom","custom":{"name":"g","format":{"type":"grammar","grammar":{"syntax":"lark","definition":"x"}}}}]"#
        )
    );
    // What both have is not lost.
    for (name, said) in [
        ("safety_identifier", r#""s""#),
        ("store", "false"),
        ("logprobs", "true"),
        ("top_logprobs", "3"),
        ("reasoning_effort", r#""high""#),
        ("verbosity", r#""low""#),
        ("prompt_cache_key", r#""k""#),
        ("service_tier", r#""flex""#),
        ("max_completion_tokens", "99"),
    ] {
        assert_eq!(member(&body, name), said, "{name}");
    }
    for gone in ["previous_response_id", "truncation", "include", "max_tool_calls"] {
        assert!(body.get(gone).is_none());
    }
}

#[test]
fn items_become_turns_and_turns_items() {
    let (body, _) = to_chat(EVERYTHING);
    let messages = body.get("messages").unwrap().as_array().unwrap();
    let roles: Vec<String> =
        messages.iter().map(|message| message.get("role").unwrap().as_text().unwrap().into_owned()).collect();
    // The picture that a function gave back comes behind the last result.
    assert_eq!(roles, ["system", "developer", "user", "assistant", "tool", "tool", "user", "user"]);
    assert_eq!(
        messages[3].to_json(),
        concat!(
            r#"{"role":"assistant","content":"t","refusal":"no","tool_calls":["#,
            r#"{"id":"call_1","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}},"#,
            r#"{"id":"call_2","type":"custom","custom":{"name":"g","input":"free"}}]}"#
        )
    );
    let (body, losses) = from_chat(
        r#"{"model":"m","messages":[{"role":"system","content":"s"},{"role":"system","content":"s2"},
            {"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"https://x"}}]},
            {"role":"assistant","content":"t","tool_calls":[
                {"id":"c1","type":"function","function":{"name":"f","arguments":""}},
                {"id":"c2","type":"custom","custom":{"name":"g","input":"free"}}]},
            {"role":"tool","tool_call_id":"c1","content":"r"},{"role":"tool","tool_call_id":"c2","content":"r2"}]}"#,
    );
    assert!(losses.is_empty(), "{losses}");
    assert_eq!(member(&body, "instructions"), r#""s""#);
    assert_eq!(
        member(&body, "input"),
        concat!(
            r#"[{"role":"system","content":"s2"},"#,
            r#"{"role":"user","content":[{"type":"input_text","text":"a"},{"type":"input_image","image_url":"https://x","detail":"auto"}]},"#,
            r#"{"role":"assistant","content":"t"},"#,
            r#"{"type":"function_call","call_id":"c1","name":"f","arguments":"{}"},"#,
            r#"{"type":"custom_tool_call","call_id":"c2","name":"g","input":"free"},"#,
            r#"{"type":"function_call_output","call_id":"c1","output":"r"},"#,
            r#"{"type":"custom_tool_call_output","call_id":"c2","output":"r2"}]"#
        )
    );
    // Nothing is kept for those who did not ask for it.
    assert_eq!(member(&body, "store"), "false");
}

#[test]
fn what_chat_says_is_said_in_the_words_of_responses() {
    let (body, losses) = from_chat(
        r#"{"model":"m","messages":[],"tools":[{"type":"function","function":{"name":"f"}},
                {"type":"custom","custom":{"name":"g","format":{"type":"grammar","grammar":{"syntax":"lark","definition":"x"}}}}],
            "tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"required","tools":[{"type":"function","function":{"name":"f"}}]}},
            "response_format":{"type":"json_schema","json_schema":{"schema":{"type":"object"}}},"reasoning_effort":"low",
            "verbosity":"low","logprobs":true,"max_tokens":5,"store":true,"safety_identifier":"s"}"#,
    );
    assert!(losses.is_empty(), "{losses}");
    for (name, said) in [
        (
            "tools",
            concat!(
                r#"[{"type":"function","name":"f","parameters":{"type":"object","properties":{}},"strict":false},"#,
                r#"{"type":"custom","name":"g","format":{"type":"grammar","syntax":"lark","definition":"x"}}]"#
            ),
        ),
        (
            "tool_choice",
            r#"{"type":"allowed_tools","mode":"required","tools":[{"type":"function","name":"f"}]}"#,
        ),
        (
            "text",
            r#"{"format":{"type":"json_schema","name":"answer","schema":{"type":"object"}},"verbosity":"low"}"#,
        ),
        ("reasoning", r#"{"effort":"low"}"#),
        ("include", r#"["message.output_text.logprobs","reasoning.encrypted_content"]"#),
        ("max_output_tokens", "5"),
        ("store", "true"),
        ("safety_identifier", r#""s""#),
    ] {
        assert_eq!(member(&body, name), said, "{name}");
    }
    let (_, losses) = from_chat(
        r#"{"model":"m","messages":[{"role":"user","name":"n","content":"a"}],"n":2,"seed":1,"presence_penalty":0.5,
            "frequency_penalty":0,"logit_bias":{},"stop":"x","top_k":3,"prediction":{"type":"content","content":"p"},
            "modalities":["audio"],"web_search_options":{}}"#,
    );
    use Feature::*;
    assert_eq!(
        losses.features(),
        [Name, TopK, Seed, PresencePenalty, LogitBias, Answers, Stop, Prediction, Modalities, WebSearch]
    );
}

#[test]
fn what_is_kept_at_the_provider_is_told_when_it_is_left_behind() {
    for (member, is_stateful) in [
        (r#""previous_response_id":"resp_1""#, true),
        (r#""conversation":{"id":"conv_1"}"#, true),
        (r#""input":[{"type":"item_reference","id":"msg_1"}]"#, true),
        (r#""prompt":{"id":"p"}"#, true),
        (r#""store":true"#, false),
        (r#""background":true"#, false),
    ] {
        let body = format!(r#"{{"model":"m",{member}}}"#);
        assert_eq!(read_request(body.as_bytes()).unwrap().is_stateful(), is_stateful, "{member}");
        let (written, mut losses) = to_chat(&body);
        // Chat has `store`, and means the same by it.
        if member.contains("store") {
            assert!(written.get("store").is_some());
            losses.tell(Feature::Stored);
        }
        assert_eq!(losses.features(), [Feature::Stored], "{member}");
        let mut losses = Losses::default();
        let request = read_request(body.as_bytes()).unwrap();
        anthropic::write_request(&request, "c", 9, &mut losses);
        assert_eq!(losses.features(), [Feature::Stored], "{member}");
    }
    for member in [r#""store":false"#, r#""truncation":"disabled""#, r#""background":false"#] {
        let request = format!(r#"{{"model":"m","input":"a",{member}}}"#);
        let request = read_request(request.as_bytes()).unwrap();
        let mut losses = Losses::default();
        anthropic::write_request(&request, "c", 9, &mut losses);
        assert!(losses.is_empty(), "{member}: {losses}");
    }
}

#[test]
fn what_is_malformed_is_told_with_its_place() {
    for (body, error) in [
        ("[]", "`body` must be an object"),
        (r#"{"input":"a"}"#, "`model` is missing"),
        (r#"{"model":"m","input":7}"#, "`input` must be a string or an array of items"),
        (r#"{"model":"m","input":[7]}"#, "`input[0]` must be an object"),
        (
            r#"{"model":"m","input":[{"role":"robot","content":"a"}]}"#,
            "`input[0].role` must be system, developer, user or assistant",
        ),
        (r#"{"model":"m","input":[{"role":"user"}]}"#, "`input[0].content` is missing"),
        (
            r#"{"model":"m","input":[{"role":"user","content":[{"type":"input_text"}]}]}"#,
            "`input[0].content[0].text` is missing",
        ),
        (
            r#"{"model":"m","input":[{"type":"function_call","name":"f","arguments":""}]}"#,
            "`input[0].call_id` is missing",
        ),
        (
            r#"{"model":"m","input":[{"type":"reasoning","summary":[{}]}]}"#,
            "`input[0].summary[0].text` is missing",
        ),
        (
            r#"{"model":"m","text":{"format":{"type":"xml"}}}"#,
            "`text.format.type` must be text, json_object or json_schema",
        ),
        (r#"{"model":"m","tools":[{"type":"function"}]}"#, "`tools[0].name` is missing"),
        (r#"{"model":"m","tool_choice":"any"}"#, "`tool_choice` must be none, auto, required or a tool"),
        (r#"{"model":"m","max_output_tokens":-1}"#, "`max_output_tokens` must be a whole number"),
    ] {
        assert_eq!(
            read_request(body.as_bytes()).map_err(|error| error.to_string()),
            Err(error.into()),
            "{body}"
        );
    }
}

#[test]
fn recorded_answers_mean_the_same_after_a_round_trip() {
    let mut n = 0;
    for (path, bytes) in responses(".response.json") {
        n += 1;
        let answer = read_answer(bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(answer.usage.is_some_and(|usage| usage.input_total() > 0 && usage.output_total() > 0));
        assert_eq!(answer.choices[0].stop, Some(Stop::End), "{}", path.display());
        let model = answer.model.text().into_owned();
        let mut losses = Losses::default();
        let written = text(&write_answer(&answer, &model, &mut losses));
        assert!(losses.is_empty(), "{}: {losses}", path.display());
        let again = read_answer(written.as_bytes()).unwrap();
        // The echo of the request is filled up where it had less.
        let known = |answer: &penstock_ai::form::Answer<'_>| {
            (answer.id.clone().into_owned(), answer.choices.len(), answer.usage, answer.created)
        };
        assert_eq!(known(&again), known(&answer), "{}", path.display());
        assert_eq!(again.choices, answer.choices, "{}: {written}", path.display());
        for (name, value) in answer.rest.iter() {
            assert_eq!(again.rest.get(&name.text()), Some(value), "{}: {name:?}", path.display());
        }
    }
    assert!(n >= 5 || recordings::are_absent(), "only {n} answers");
}

#[test]
fn recorded_answers_go_through_chat_and_messages() {
    for (path, bytes) in responses(".response.json") {
        let answer = read_answer(bytes).unwrap();
        let says = |choice: &penstock_ai::form::Choice<'_>| -> (String, String, Vec<(String, String)>) {
            let (mut said, mut thought, mut calls) = (String::new(), Vec::new(), Vec::new());
            for part in &choice.parts {
                match part {
                    Part::Text(text) => said.push_str(&text.text.text()),
                    Part::Thought(one) if !one.text.is_empty() => thought.push(one.text.text().into_owned()),
                    Part::ToolCall(call) => {
                        calls.push((call.name.text().into_owned(), call.arguments.to_text()));
                    }
                    _ => {}
                }
            }
            (said, thought.join("\n\n"), calls)
        };
        let mut losses = Losses::default();
        let chat = text(&openai_chat::write_answer(&answer, "m", &mut losses));
        let chat = openai_chat::read_answer(chat.as_bytes()).unwrap();
        assert_eq!(says(&chat.choices[0]), says(&answer.choices[0]), "{}", path.display());
        assert_eq!((chat.usage, chat.created), (answer.usage, answer.created));
        let has_sealed = answer.choices[0].parts.iter().any(|part| matches!(part, Part::Thought(_)));
        let mut expected = Vec::from_iter(has_sealed.then_some(Feature::ThinkingSealed));
        // One of them has a member that no response has.
        expected.extend(answer.rest.get("total_tokens").map(|_| Feature::Unknown));
        assert_eq!(losses.features(), expected, "{}", path.display());
        let mut losses = Losses::default();
        let messages = text(&anthropic::write_answer(&answer, "m", &mut losses));
        let messages = anthropic::read_answer(messages.as_bytes()).unwrap();
        assert_eq!(says(&messages.choices[0]), says(&answer.choices[0]), "{}", path.display());
        assert_eq!(losses.features(), expected, "{}", path.display());
    }
}

#[test]
fn states_are_told_apart() {
    let answer = |members: &str| {
        let body = format!(r#"{{"id":"resp_1","object":"response","model":"m","output":[],{members}}}"#);
        let read =
            read_answer(body.as_bytes()).map(|answer| answer.choices[0].stop.clone().map(Stop::into_owned));
        read.map_err(|error| error.to_string())
    };
    for (members, stop) in [
        (r#""status":"completed""#, Some(Stop::End)),
        (r#""status":"in_progress""#, None),
        (r#""status":"queued""#, None),
        (
            r#""status":"incomplete","incomplete_details":{"reason":"max_output_tokens"}"#,
            Some(Stop::MaxOutput),
        ),
        (r#""status":"incomplete","incomplete_details":{"reason":"content_filter"}"#, Some(Stop::Filtered)),
        (
            r#""status":"incomplete","incomplete_details":{"reason":"steered"}"#,
            Some(Stop::Other("steered".into())),
        ),
    ] {
        assert_eq!(answer(members), Ok(stop), "{members}");
    }
    assert_eq!(
        answer(r#""status":"failed","error":{"code":"server_error","message":"busy"}"#),
        Err("the provider failed: busy".into())
    );
    assert_eq!(answer(r#""status":"cancelled""#), Err("the provider failed: ".into()));
    let failed = read_answer(br#"{"error":{"message":"no","type":"invalid_request_error","code":"x"}}"#);
    assert_eq!(failed, Err(Malformed::Failed { kind: Some("x".into()), message: "no".into() }));
}

#[test]
fn answers_of_others_become_responses() {
    let body = r#"{"id":"chatcmpl-1","object":"chat.completion","created":7,"model":"gpt","choices":[{"index":0,"message":{
            "role":"assistant","content":"a","reasoning_content":"hm","annotations":[{"type":"url_citation",
                "url_citation":{"start_index":0,"end_index":1,"title":"t","url":"u"}}],
            "tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":""}},
                {"id":"c2","type":"custom","custom":{"name":"g","input":"free"}}]},
            "logprobs":{"content":[{"token":"a","logprob":-0.1,"bytes":[97],"top_logprobs":[]}]},"finish_reason":"length"}],
        "usage":{"prompt_tokens":10,"completion_tokens":7,"total_tokens":17,"prompt_tokens_details":{"cached_tokens":4},
            "completion_tokens_details":{"reasoning_tokens":5}},"service_tier":"flex"}"#;
    let answer = openai_chat::read_answer(body.as_bytes()).unwrap();
    let request = read_request(
        br#"{"model":"m","instructions":"i","input":"q","tools":[{"type":"function","name":"f"}],
        "temperature":0.5,"metadata":{"k":"v"},"tool_choice":"required"}"#,
    )
    .unwrap();
    let echo = Echo::of(&request);
    let mut losses = Losses::default();
    let written = value(&write_answer_to(&echo, &answer, "fast", &mut losses));
    assert!(losses.is_empty(), "{losses}");
    assert_eq!(
        member(&written, "output"),
        concat!(
            r#"[{"type":"reasoning","id":"rs_chatcmpl-1_0","summary":[{"type":"summary_text","text":"hm"}]},"#,
            r#"{"id":"msg_chatcmpl-1_1","type":"message","status":"completed","role":"assistant","content":["#,
            r#"{"type":"output_text","text":"a","annotations":[{"type":"url_citation","start_index":0,"end_index":1,"title":"t","url":"u"}],"#,
            r#""logprobs":[{"token":"a","logprob":-0.1,"bytes":[97],"top_logprobs":[]}]}]},"#,
            r#"{"type":"function_call","call_id":"c1","name":"f","arguments":"{}","id":"fc_chatcmpl-1_2","status":"completed"},"#,
            r#"{"type":"custom_tool_call","call_id":"c2","name":"g","input":"free","id":"ctc_chatcmpl-1_3"}]"#
        )
    );
    for (name, said) in [
        ("id", r#""chatcmpl-1""#),
        ("object", r#""response""#),
        ("created_at", "7"),
        ("model", r#""fast""#),
        ("status", r#""incomplete""#),
        ("incomplete_details", r#"{"reason":"max_output_tokens"}"#),
        ("instructions", r#""i""#),
        ("tool_choice", r#""required""#),
        ("tools", r#"[{"type":"function","name":"f"}]"#),
        ("temperature", "0.5"),
        ("metadata", r#"{"k":"v"}"#),
        ("parallel_tool_calls", "true"),
        ("service_tier", r#""flex""#),
        (
            "usage",
            concat!(
                r#"{"input_tokens":10,"input_tokens_details":{"cached_tokens":4,"cache_write_tokens":0},"#,
                r#""output_tokens":7,"output_tokens_details":{"reasoning_tokens":5},"total_tokens":17}"#
            ),
        ),
    ] {
        assert_eq!(member(&written, name), said, "{name}");
    }
    // What Claude proves its thoughts by is of no use to a client of Responses, and says so.
    let claude = br#"{"id":"msg_1","type":"message","role":"assistant","model":"c","content":[
        {"type":"thinking","thinking":"t","signature":"sig"},{"type":"redacted_thinking","data":"xx"},
        {"type":"text","text":"a"}],"stop_reason":"refusal","usage":{"input_tokens":1,"output_tokens":1}}"#;
    let answer = anthropic::read_answer(claude).unwrap();
    let mut losses = Losses::default();
    let written = value(&write_answer(&answer, "fast", &mut losses));
    assert_eq!(losses.features(), [Feature::ThinkingSignature, Feature::ThinkingSealed]);
    assert_eq!(member(&written, "incomplete_details"), r#"{"reason":"content_filter"}"#);
    assert_eq!(member(&written, "status"), r#""incomplete""#);
    let output = member(&written, "output");
    assert!(
        output.contains(r#""summary":[{"type":"summary_text","text":"t"}]"#) && !output.contains("xx"),
        "{output}"
    );
}

#[test]
fn thoughts_go_back_where_they_were_made_and_nowhere_else() {
    let body = r#"{"model":"m","input":[{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"gAAA"},
        {"type":"function_call","call_id":"c","name":"f","arguments":"{}"}]}"#;
    let request = read_request(body.as_bytes()).unwrap();
    let mut losses = Losses::default();
    let own = text(&write_request(&request, "m", &mut losses));
    assert!(own.contains(r#""encrypted_content":"gAAA""#) && losses.is_empty());
    let messages = text(&anthropic::write_request(&request, "c", 4096, &mut losses));
    assert!(!messages.contains("gAAA"), "{messages}");
    assert_eq!(losses.features(), [Feature::ThinkingSealed]);
    // Marked as this dialect's, one that came by Messages goes back too.
    let thought = Thought {
        sealed: Some("gAAA".into()),
        id: Some("rs_1".into()),
        of: Some(penstock_ai::dialect::Dialect::OpenAiResponses),
        ..Thought::default()
    };
    let mut request = anthropic::read_request(
        br#"{"model":"m","max_tokens":9,"messages":[{"role":"assistant","content":[{"type":"thinking","thinking":"t","signature":"claude"}]}]}"#,
    )
    .unwrap();
    request.turns[0].parts.push(Part::Thought(thought));
    let mut losses = Losses::default();
    let written = text(&write_request(&request, "m", &mut losses));
    assert!(
        written.contains(r#"{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"gAAA"}"#),
        "{written}"
    );
    assert!(!written.contains("claude"));
    assert_eq!(losses.features(), [Feature::ThinkingSignature]);
}

//! Requests and answers of Converse: to the form and back, and what comes of Chat Completions and Messages in them.
#![allow(clippy::unwrap_used, clippy::panic)]

mod recordings;

use penstock_ai::bedrock::{CACHE_POINTS_MAX, read_answer, read_request, write_answer, write_request};
use penstock_ai::dialect::Dialect;
use penstock_ai::form::{
    CacheMark, Choice, Feature, Losses, Malformed, Media, MediaKind, MediaSource, Part, Request, Role, Stop,
    Text, Tool, Turn,
};
use penstock_ai::json::{Object, Value};
use penstock_ai::{anthropic, gemini, openai_chat};

const CLAUDE: &str = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";
const NOVA: &str = "us.amazon.nova-micro-v1:0";
const LLAMA: &str = "meta.llama3-1-70b-instruct-v1:0";

fn json(object: &Object<'_>) -> String {
    let mut out = Vec::new();
    object.write(&mut out);
    String::from_utf8(out).unwrap()
}

fn written(request: &Request<'_>, model: &str) -> (String, Losses) {
    let mut losses = Losses::default();
    (json(&write_request(request, model, &mut losses)), losses)
}

/// A request of Chat Completions as one of this dialect.
fn from_chat(body: &str, model: &str) -> (Value<'static>, Losses) {
    let request = openai_chat::read_request(body.as_bytes()).unwrap();
    let (text, losses) = written(&request, model);
    (Value::parse(text.leak().as_bytes()).unwrap(), losses)
}

/// A request of Messages as one of this dialect.
fn from_messages(body: &str, model: &str) -> (Value<'static>, Losses) {
    let request = anthropic::read_request(body.as_bytes()).unwrap();
    let (text, losses) = written(&request, model);
    (Value::parse(text.leak().as_bytes()).unwrap(), losses)
}

/// The messages of a conversation of Chat Completions, as text, and what was lost.
fn messages(messages: &str) -> (String, Vec<Feature>) {
    let (body, losses) = from_chat(&format!(r#"{{"model":"m","messages":{messages}}}"#), CLAUDE);
    (body.get("messages").unwrap().to_json(), losses.features().to_vec())
}

/// The bodies of recorded requests of this dialect, and their models.
fn recorded() -> Vec<(String, &'static str, Vec<u8>)> {
    let mut found = Vec::new();
    for (path, document) in recordings::requests() {
        let uri = document.get("uri").unwrap().as_text().unwrap();
        if uri.contains("/converse") {
            let mut body = Vec::new();
            document.get("body").unwrap().write(&mut body);
            let model = if uri.contains("nova") { NOVA } else { CLAUDE };
            found.push((path.display().to_string(), model, body));
        }
    }
    assert!(found.len() >= 5 || recordings::are_absent(), "only {} requests", found.len());
    found
}

#[test]
fn recorded_requests_mean_the_same_after_a_round_trip() {
    for (path, model, body) in recorded() {
        let request = read_request(&body).unwrap_or_else(|error| panic!("{path}: {error}"));
        let (text, losses) = written(&request, model);
        assert_eq!(read_request(text.as_bytes()).unwrap(), request, "{path}");
        assert!(losses.is_empty(), "{path}: {losses}");
        // Nothing of the document is gone either, but for settings that are empty.
        let document = Value::parse(&body).unwrap();
        let text = Value::parse(text.as_bytes()).unwrap();
        for (name, value) in document.as_object().unwrap().iter() {
            if value.as_object().is_none_or(|inner| !inner.is_empty()) {
                assert!(text.get(&name.text()).is_some(), "{path}: {name:?}");
            }
        }
    }
}

#[test]
fn recorded_requests_keep_what_chat_and_messages_say_too() {
    for (path, model, body) in recorded() {
        let request = read_request(&body).unwrap();
        let mut losses = Losses::default();
        let chat = json(&openai_chat::write_request(&request, "m", &mut losses));
        let back = openai_chat::read_request(chat.as_bytes()).unwrap();
        let (again, _) = written(&back, model);
        let again = read_request(again.as_bytes()).unwrap();
        let twice = json(&openai_chat::write_request(&again, "m", &mut losses));
        // A text that is only a line end says nothing.
        assert_eq!(twice, chat.replace(r#"{"type":"text","text":"\n"},"#, ""), "{path}");
        let messages = json(&anthropic::write_request(&request, "m", 4096, &mut losses));
        let back = anthropic::read_request(messages.as_bytes()).unwrap();
        let (again, told) = written(&back, CLAUDE);
        assert!(told.is_empty(), "{path}: {told}");
        let again = read_request(again.as_bytes()).unwrap();
        let twice = json(&anthropic::write_request(&again, "m", 4096, &mut losses));
        let mark = r#","cache_control":{"type":"ephemeral"}"#;
        let plain = messages.replace(&format!(r#"{{"type":"text","text":"\n"{mark}}},"#), "");
        let moved = r#""title":"Document 1"},"#;
        let plain = plain.replace(moved, &format!(r#""title":"Document 1"{mark}}},"#));
        assert_eq!(twice, plain, "{path}");
    }
}

#[test]
fn everything_that_the_dialect_says_is_kept() {
    let body = r#"{"system":[{"text":"s"},{"cachePoint":{"type":"default","ttl":"1h"}},{"guardContent":{"text":{"text":"g"}}}],
        "messages":[{"role":"user","content":[{"text":"a"},{"image":{"format":"png","source":{"bytes":"AAAA"}}},
            {"image":{"format":"jpeg","source":{"s3Location":{"uri":"s3://b/k","bucketOwner":"123456789012"}}}},
            {"document":{"format":"pdf","name":"D 1","source":{"s3Location":{"uri":"s3://b/d.pdf"}}}},
            {"document":{"format":"txt","name":"D 2","source":{"text":"t"}}},
            {"document":{"format":"pdf","name":"D 3","source":{"bytes":"BB"},"citations":{"enabled":true}}},
            {"video":{"format":"mp4","source":{"bytes":"CC"}}},{"audio":{"format":"mp3","source":{"bytes":"DD"}}},
            {"image":{"format":"new","source":{"bytes":"AAAA"}}},{"cachePoint":{"type":"default"}}]},
        {"role":"system","content":[{"text":"within"}]},
        {"role":"assistant","content":[{"reasoningContent":{"reasoningText":{"text":"hm","signature":"S"}}},
            {"reasoningContent":{"redactedContent":"RRRR"}},
            {"citationsContent":{"content":[{"text":"c"}],"citations":[{"title":"T"}]}},
            {"toolUse":{"toolUseId":"t.1","name":"f","input":{"b":1.0,"a":2}}},
            {"toolUse":{"toolUseId":"t2","name":"g","input":{},"type":"server_tool_use"}}]},
        {"role":"user","content":[{"toolResult":{"toolUseId":"t.1","content":[{"json":{"x":1}}],"status":"error"}},
            {"toolResult":{"toolUseId":"t3","content":[{"text":"r"},{"json":[1]},{"image":{"format":"png","source":{"bytes":"AA"}}}]}},
            {"cachePoint":{"type":"default"}},{"newKind":{"x":1}}]},
        {"role":"user","content":[{"text":"again"}]}],
        "inferenceConfig":{"maxTokens":9000,"temperature":0.10,"topP":1,"stopSequences":["x"],"new":1},
        "toolConfig":{"tools":[{"toolSpec":{"name":"f","description":"d","inputSchema":{"json":{"type":"object"}},"strict":true}},
            {"systemTool":{"name":"nova_grounding"}},{"toolSpec":{"name":"g","inputSchema":{"json":{"type":"object"}}}},{"cachePoint":{"type":"default"}}],
            "toolChoice":{"tool":{"name":"f"}}},
        "additionalModelRequestFields":{"thinking":{"type":"enabled","budget_tokens":2000},"top_k":40,"anthropic_beta":["not-known-yet"]},
        "outputConfig":{"effort":"high","textFormat":{"type":"json_schema","structure":{"jsonSchema":{"schema":"{\"type\": \"object\"}","name":"o"}}}},
        "guardrailConfig":{"guardrailIdentifier":"g"},"requestMetadata":{"a":"b"},"performanceConfig":{"latency":"optimized"},
        "serviceTier":{"type":"flex"},"additionalModelResponseFieldPaths":["/stop_sequence"],"notYetKnown":[2,1]}"#;
    let request = read_request(body.as_bytes()).unwrap();
    let (text, losses) = written(&request, CLAUDE);
    assert!(losses.is_empty(), "{losses}");
    assert_eq!(read_request(text.as_bytes()).unwrap(), request, "{text}");
    for kept in [
        r#""temperature":0.10"#,
        r#""input":{"b":1.0,"a":2}"#,
        r#""bucketOwner":"123456789012""#,
        r#"{"cachePoint":{"type":"default","ttl":"1h"}},{"guardContent""#,
        r#"{"citationsContent":{"content":[{"text":"c"}],"citations":[{"title":"T"}]}}"#,
        r#"{"role":"system","content":[{"text":"within"}]}"#,
        r#""anthropic_beta":["not-known-yet"]"#,
        r#""schema":"{\"type\":\"object\"}","name":"o""#,
        r#""notYetKnown":[2,1]"#,
    ] {
        assert!(text.contains(kept), "{kept} in {text}");
    }
}

#[test]
fn what_is_malformed_is_told_with_its_place() {
    for (body, error) in [
        ("[]", "`body` must be an object"),
        (r#"{"messages":{}}"#, "`messages` must be an array"),
        (
            r#"{"messages":[{"role":"tool","content":[]}]}"#,
            "`messages[0].role` must be user, assistant or system",
        ),
        (r#"{"messages":[{"role":"user"}]}"#, "`messages[0].content` is missing"),
        (
            r#"{"messages":[{"role":"user","content":[{"toolResult":{"content":[]}}]}]}"#,
            "`messages[0].content[0].toolResult.toolUseId` is missing",
        ),
        (
            r#"{"messages":[{"role":"assistant","content":[{"reasoningContent":{}}]}]}"#,
            "`messages[0].content[0].reasoningContent.redactedContent` is missing",
        ),
        (
            r#"{"messages":[],"inferenceConfig":{"maxTokens":-1}}"#,
            "`inferenceConfig.maxTokens` must be a whole number",
        ),
        (
            r#"{"messages":[],"outputConfig":{"textFormat":{"structure":{"jsonSchema":{"schema":"{"}}}}}"#,
            "`outputConfig.textFormat.structure.jsonSchema.schema` must be a text of JSON",
        ),
        (
            r#"{"messages":[],"additionalModelRequestFields":{"thinking":{"type":"new"}}}"#,
            "`additionalModelRequestFields.thinking.type` must be enabled, disabled or adaptive",
        ),
    ] {
        assert_eq!(
            read_request(body.as_bytes()).map_err(|error| error.to_string()),
            Err(error.into()),
            "{body}"
        );
    }
}

#[test]
fn trap_28_and_30_each_call_has_one_result_and_none_is_text() {
    let (text, told) = messages(
        r#"[{"role":"user","content":"q"},{"role":"assistant","content":"","tool_calls":[
            {"id":"a","function":{"name":"f","arguments":"{\"x\":1}"}},{"id":"b","function":{"name":"g","arguments":""}}]},
            {"role":"tool","tool_call_id":"b","content":"2"},{"role":"tool","tool_call_id":"a","content":""},{"role":"user","content":"and"}]"#,
    );
    assert_eq!(
        text,
        concat!(
            r#"[{"role":"user","content":[{"text":"q"}]},{"role":"assistant","content":["#,
            r#"{"toolUse":{"toolUseId":"a","name":"f","input":{"x":1}}},{"toolUse":{"toolUseId":"b","name":"g","input":{}}}]},"#,
            r#"{"role":"user","content":[{"toolResult":{"toolUseId":"a","content":[]}},"#,
            r#"{"toolResult":{"toolUseId":"b","content":[{"text":"2"}]}},{"text":"and"}]}]"#
        )
    );
    assert!(told.is_empty());
    // One without a result, one result of no call, one twice.
    let (text, told) = messages(
        r#"[{"role":"user","content":"q"},{"role":"assistant","tool_calls":[
            {"id":"a","function":{"name":"f","arguments":"{}"}},{"id":"b","function":{"name":"g","arguments":"{}"}}]},
            {"role":"tool","tool_call_id":"b","content":"2"},{"role":"tool","tool_call_id":"b","content":"3"}]"#,
    );
    assert!(
        text.ends_with(concat!(
            r#"{"role":"user","content":[{"toolResult":{"toolUseId":"a","content":[{"text":"There is no result."}],"status":"error"}},"#,
            r#"{"toolResult":{"toolUseId":"b","content":[{"text":"2"}]}},{"text":"What b gave back:"},{"text":"3"}]}]"#
        )),
        "{text}"
    );
    assert_eq!(told, [Feature::ParallelCalls]);
    // A conversation that ends with a call.
    let (text, told) = messages(
        r#"[{"role":"user","content":"q"},{"role":"assistant","tool_calls":[{"id":"a","function":{"name":"f","arguments":"{}"}}]}]"#,
    );
    assert!(text.ends_with(
        r#"[{"toolResult":{"toolUseId":"a","content":[{"text":"There is no result."}],"status":"error"}}]}]"#
    ));
    assert_eq!(told, [Feature::ParallelCalls]);
}

#[test]
fn trap_29_calls_in_the_conversation_need_tools() {
    let calls = r#"[{"role":"user","content":"q"},{"role":"assistant","tool_calls":[{"id":"a","function":{"name":"f","arguments":"{}"}},
        {"id":"b","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"a","content":"1"},{"role":"tool","tool_call_id":"b","content":"2"}]"#;
    let config = |members: &str| {
        let (body, losses) = from_chat(&format!(r#"{{"model":"m",{members}"messages":{calls}}}"#), CLAUDE);
        (body.get("toolConfig").unwrap().to_json(), losses.features().to_vec())
    };
    let spec = |description: &str| {
        format!(
            r#"{{"tools":[{{"toolSpec":{{"name":"f"{description},"inputSchema":{{"json":{{"type":"object","properties":{{}}}}}}}}}}]}}"#
        )
    };
    assert_eq!(config(""), (spec(r#","description":"Not available any more.""#), vec![]));
    // Where tools may not be used, they cannot be left out then.
    let tools =
        r#""tools":[{"type":"function","function":{"name":"f","description":" "}}],"tool_choice":"none","#;
    assert_eq!(config(tools), (spec(""), vec![Feature::ToolChoice]));
    // Without calls they can.
    let (body, losses) =
        from_chat(&format!(r#"{{"model":"m",{tools}"messages":[{{"role":"user","content":"q"}}]}}"#), CLAUDE);
    assert!(body.get("toolConfig").is_none() && losses.is_empty());
}

#[test]
fn trap_31_names_descriptions_and_content_are_as_converse_wants_them() {
    let (body, losses) = from_chat(
        r#"{"model":"m","tools":[{"type":"function","function":{"name":"","description":"x"}},
            {"type":"function","function":{"name":"f","description":"","parameters":{"properties":{}}}}],
            "messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":" "},{"type":"text","text":"b"}]},
            {"role":"assistant","content":[{"type":"text","text":"c"}],"tool_calls":[{"id":"a","function":{"name":"","arguments":"{}"}}]},
            {"role":"tool","tool_call_id":"a","content":[{"type":"text","text":"1"},{"type":"text","text":"2"}]}]}"#,
        CLAUDE,
    );
    assert_eq!(
        body.get("toolConfig").unwrap().to_json(),
        r#"{"tools":[{"toolSpec":{"name":"f","inputSchema":{"json":{"properties":{},"type":"object"}}}}]}"#
    );
    assert_eq!(
        body.get("messages").unwrap().to_json(),
        concat!(
            r#"[{"role":"user","content":[{"text":"a"},{"text":"b"}]},{"role":"assistant","content":[{"text":"c"},"#,
            r#"{"toolUse":{"toolUseId":"a","name":"unnamed","input":{}}}]},"#,
            r#"{"role":"user","content":[{"toolResult":{"toolUseId":"a","content":[{"text":"1"},{"text":"2"}]}}]}]"#
        )
    );
    assert_eq!(losses.features(), [Feature::Tools]);
}

#[test]
fn trap_27_pictures_stay_within_the_result_that_shows_them() {
    let body = r#"{"model":"m","max_tokens":5,"tools":[{"name":"f","input_schema":{"type":"object"}}],"messages":[{"role":"user","content":"q"},
        {"role":"assistant","content":[{"type":"tool_use","id":"a","name":"f","input":{}},{"type":"tool_use","id":"b","name":"f","input":{}}]},
        {"role":"user","content":[{"type":"tool_result","tool_use_id":"a","is_error":false,"content":[{"type":"text","text":"1"},
            {"type":"image","source":{"type":"base64","media_type":"image/webp","data":"AA"}}]},{"type":"tool_result","tool_use_id":"b","is_error":true}]}]}"#;
    let results = |model| {
        let (body, losses) = from_messages(body, model);
        let messages = body.get("messages").unwrap().as_array().unwrap()[2].to_json();
        (messages, losses.features().to_vec())
    };
    let (text, told) = results(CLAUDE);
    assert_eq!(
        text,
        concat!(
            r#"{"role":"user","content":[{"toolResult":{"toolUseId":"a","content":[{"text":"1"},"#,
            r#"{"image":{"format":"webp","source":{"bytes":"AA"}}}],"status":"success"}},"#,
            r#"{"toolResult":{"toolUseId":"b","content":[],"status":"error"}}]}"#
        )
    );
    assert!(told.is_empty());
    // Other models cannot be told that it failed.
    let (text, told) = results(LLAMA);
    assert!(!text.contains("status"));
    assert_eq!(told, [Feature::ToolResultError]);
}

#[test]
fn trap_36_only_the_last_marks_are_kept_and_none_is_spent_on_nothing() {
    let mark = r#""cache_control":{"type":"ephemeral"}"#;
    let body = format!(
        r#"{{"model":"m","max_tokens":5,"system":[{{"type":"text","text":"s",{mark}}}],
            "tools":[{{"name":"f","input_schema":{{"type":"object"}},{mark}}}],"messages":[{{"role":"user","content":[{{"type":"text","text":"q",{mark}}}]}},
            {{"role":"assistant","content":[{{"type":"tool_use","id":"a","name":"f","input":{{}},{mark}}}]}},
            {{"role":"user","content":[{{"type":"tool_result","tool_use_id":"a","content":"r",{mark}}},{{"type":"text","text":" ",
                "cache_control":{{"type":"ephemeral","ttl":"1h"}}}}]}}]}}"#
    );
    let (text, losses) = from_messages(&body, CLAUDE);
    assert_eq!(losses.features(), [Feature::CacheMark]);
    let text = text.to_json();
    assert_eq!(text.matches("cachePoint").count(), CACHE_POINTS_MAX, "{text}");
    assert!(text.contains(r#""system":[{"text":"s"}]"#), "the first are left out: {text}");
    // That of the result stands behind it, and that of a text which says nothing too.
    let last = r#"{"toolResult":{"toolUseId":"a","content":[{"text":"r"}]}},{"cachePoint":{"type":"default"}},{"cachePoint":{"type":"default","ttl":"1h"}}]"#;
    assert!(text.contains(last), "{text}");
    // Models that do not cache get none, Nova none behind its tools.
    let (text, losses) = from_messages(&body, LLAMA);
    assert!(!text.to_json().contains("cachePoint"));
    assert_eq!(losses.features(), [Feature::CacheMark]);
    let (text, losses) = from_messages(&body, NOVA);
    let text = text.to_json();
    assert!(text.contains(r#"{"json":{"type":"object"}}}}]}"#), "{text}");
    assert_eq!(losses.features(), [Feature::CacheMark]);
}

#[test]
fn trap_37_a_mark_of_the_whole_request_is_one_behind_its_last_message() {
    let body = r#"{"model":"m","max_tokens":5,"cache_control":{"type":"ephemeral","ttl":"1h"},"messages":[{"role":"user","content":"q"}]}"#;
    let (text, losses) = from_messages(body, CLAUDE);
    assert_eq!(
        text.to_json(),
        r#"{"messages":[{"role":"user","content":[{"text":"q"},{"cachePoint":{"type":"default","ttl":"1h"}}]}],"inferenceConfig":{"maxTokens":5}}"#
    );
    assert!(losses.is_empty());
}

#[test]
fn trap_38_betas_go_where_they_are_allowed() {
    let body = r#"{"model":"m","max_tokens":5,"anthropic_beta":["interleaved-thinking-2025-05-14","claude-code-20250219"],"messages":[{"role":"user","content":"q"}]}"#;
    let fields = |model| {
        let (body, losses) = from_messages(body, model);
        (body.get("additionalModelRequestFields").map(Value::to_json), losses.features().to_vec())
    };
    let kept = r#"{"anthropic_beta":["interleaved-thinking-2025-05-14"]}"#.to_owned();
    assert_eq!(fields(CLAUDE), (Some(kept), vec![Feature::Unknown]));
    assert_eq!(fields(NOVA), (None, vec![Feature::Unknown]));
}

#[test]
fn trap_45_instructions_within_are_neither_hoisted_nor_the_assistant_s() {
    let (body, losses) = from_chat(
        r#"{"model":"m","messages":[{"role":"system","content":"s"},{"role":"developer","content":"d"},{"role":"user","content":"a"},
            {"role":"assistant","content":"b"},{"role":"system","content":"c"},{"role":"user","content":"d"}]}"#,
        CLAUDE,
    );
    assert_eq!(body.get("system").unwrap().to_json(), r#"[{"text":"s"},{"text":"d"}]"#);
    assert_eq!(
        body.get("messages").unwrap().to_json(),
        concat!(
            r#"[{"role":"user","content":[{"text":"a"}]},{"role":"assistant","content":[{"text":"b"}]},"#,
            r#"{"role":"user","content":[{"text":"<system>c</system>"},{"text":"d"}]}]"#
        )
    );
    assert_eq!(losses.features(), [Feature::SystemWithin]);
}

#[test]
fn a_conversation_gets_the_shape_that_the_dialect_wants() {
    for (given, wanted) in [
        // Turns of one speaker become one; the first is the user's; what is empty is not said.
        (
            r#"[{"role":"assistant","content":"hi"},{"role":"user","content":"a"},{"role":"user","content":"b"}]"#,
            r#"[{"role":"user","content":[{"text":"."}]},{"role":"assistant","content":[{"text":"hi"}]},{"role":"user","content":[{"text":"a"},{"text":"b"}]}]"#,
        ),
        (
            r#"[{"role":"user","content":"a"},{"role":"assistant","content":""},{"role":"user","content":"b"}]"#,
            r#"[{"role":"user","content":[{"text":"a"},{"text":"b"}]}]"#,
        ),
        // An answer that has been begun does not end with white space.
        (
            r#"[{"role":"user","content":"a"},{"role":"assistant","content":"{ \n"}]"#,
            r#"[{"role":"user","content":[{"text":"a"}]},{"role":"assistant","content":[{"text":"{"}]}]"#,
        ),
        // Ids and arguments that the dialect does not take.
        (
            r#"[{"role":"user","content":"a"},{"role":"assistant","tool_calls":[{"id":"a.b_c","function":{"name":"f","arguments":"[1]"}}]},{"role":"tool","tool_call_id":"a.b_c","content":"r"}]"#,
            r#"[{"role":"user","content":[{"text":"a"}]},{"role":"assistant","content":[{"toolUse":{"toolUseId":"call_a_x2eb__c","name":"f","input":{"arguments":"[1]"}}}]},{"role":"user","content":[{"toolResult":{"toolUseId":"call_a_x2eb__c","content":[{"text":"r"}]}}]}]"#,
        ),
    ] {
        assert_eq!(messages(given).0, wanted);
    }
    // Ids that are too long stay apart.
    let long = "x".repeat(70);
    let (text, _) = messages(&format!(
        r#"[{{"role":"user","content":"a"}},{{"role":"assistant","tool_calls":[{{"id":"{long}1","function":{{"name":"f","arguments":"{{}}"}}}},
            {{"id":"{long}2","function":{{"name":"f","arguments":"{{}}"}}}}]}}]"#
    ));
    let ids: Vec<&str> = text.split(r#""toolUse":{"toolUseId":""#).skip(1).map(|rest| &rest[..64]).collect();
    assert!(ids.len() == 2 && ids[0] != ids[1] && !ids[0].contains('"'), "{text}");
    assert!(ids.iter().all(|id| text.contains(&format!(r#""toolResult":{{"toolUseId":"{id}""#))), "{text}");
}

#[test]
fn media_are_named_by_their_format() {
    let (text, told) = messages(
        r#"[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/jpg;base64,AA","detail":"low"}},
            {"type":"image_url","image_url":{"url":"https://x"}},{"type":"image_url","image_url":{"url":"data:image/tiff;base64,AA"}},
            {"type":"input_audio","input_audio":{"data":"BB","format":"mp3"}},{"type":"file","file":{"file_id":"f"}}]},
            {"role":"user","content":[{"type":"file","file":{"filename":"my  report_(v1).pdf","file_data":"data:application/pdf;base64,CC"}},
            {"type":"file","file":{"filename":"my report (v1).pdf","file_data":"data:application/pdf;base64,DD"}}]}]"#,
    );
    assert_eq!(
        text,
        concat!(
            r#"[{"role":"user","content":[{"image":{"format":"jpeg","source":{"bytes":"AA"}}},{"audio":{"format":"mp3","source":{"bytes":"BB"}}},"#,
            r#"{"document":{"format":"pdf","name":"my report (v1) pdf","source":{"bytes":"CC"}}},"#,
            r#"{"document":{"format":"pdf","name":"my report (v1) pdf 2","source":{"bytes":"DD"}}},{"text":"."}]}]"#
        )
    );
    assert_eq!(told, [Feature::ImageDetail, Feature::ImageUrl, Feature::Image, Feature::File]);
    let film = Media {
        kind: MediaKind::Video,
        source: MediaSource::Url("s3://b/film.mov".into()),
        media_type: Some("video/quicktime".into()),
        name: None,
        detail: None,
        cache: Some(CacheMark::Usual),
    };
    let note = Media {
        kind: MediaKind::Document,
        source: MediaSource::Text("n".into()),
        media_type: None,
        cache: None,
        ..film.clone()
    };
    let turns = vec![
        Turn::new(Role::User, vec![Part::Media(film.clone()), Part::Media(note)]),
        Turn::new(Role::Assistant, vec![Part::Media(film), Part::Text(Text::new("x"))]),
    ];
    let (text, losses) = written(&Request { turns, ..Request::new(Dialect::Gemini) }, "mine");
    assert_eq!(
        text,
        concat!(
            r#"{"messages":[{"role":"user","content":[{"video":{"format":"mov","source":{"s3Location":{"uri":"s3://b/film.mov"}}}},"#,
            r#"{"cachePoint":{"type":"default"}},{"document":{"format":"txt","name":"Document","source":{"text":"n"}}},{"text":"."}]},"#,
            r#"{"role":"assistant","content":[{"text":"x"}]}]}"#
        )
    );
    assert_eq!(losses.features(), [Feature::Modalities]);
}

#[test]
fn thinking_is_asked_for_in_what_the_model_knows() {
    let ask = r#"[{"role":"user","content":"q"}]"#;
    let thinking = |members: &str, messages: &str, model: &str| {
        let (body, losses) = from_chat(&format!(r#"{{"model":"m",{members}"messages":{messages}}}"#), model);
        let fields = body.get("additionalModelRequestFields").map(Value::to_json).unwrap_or_default();
        (fields, losses.features().to_vec())
    };
    let enabled = |budget: u64| format!(r#"{{"thinking":{{"type":"enabled","budget_tokens":{budget}}}}}"#);
    let low = r#""reasoning_effort":"low","#;
    assert_eq!(thinking(low, ask, CLAUDE), (enabled(4096), vec![]));
    assert_eq!(
        thinking(r#""reasoning_effort":"high","max_tokens":9000,"temperature":0.5,"#, ask, CLAUDE),
        (enabled(8999), vec![Feature::Temperature])
    );
    let small = thinking(r#""reasoning_effort":"high","max_tokens":500,"#, ask, CLAUDE);
    assert_eq!(small, (String::new(), vec![Feature::ThinkingBudget]));
    let none = thinking(r#""reasoning_effort":"none","#, ask, CLAUDE);
    assert_eq!(none, (r#"{"thinking":{"type":"disabled"}}"#.into(), vec![]));
    // Calls whose thoughts were not kept, and calls that are wanted: Claude would refuse.
    let calls = r#"[{"role":"user","content":"q"},{"role":"assistant","tool_calls":[{"id":"a","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"a","content":"r"}]"#;
    assert_eq!(thinking(low, calls, CLAUDE), (String::new(), vec![Feature::ThinkingBudget]));
    let forced = format!(
        r#"{low}"tools":[{{"type":"function","function":{{"name":"f"}}}}],"tool_choice":"required","#
    );
    assert_eq!(thinking(&forced, ask, CLAUDE), (String::new(), vec![Feature::ThinkingBudget]));
    let openai = thinking(low, ask, "openai.gpt-oss-20b-1:0");
    assert_eq!(openai, (r#"{"reasoning_effort":"low"}"#.into(), vec![]));
    let nova = thinking(low, ask, "us.amazon.nova-2-lite-v1:0");
    assert_eq!(nova, (r#"{"reasoningConfig":{"type":"enabled","maxReasoningEffort":"low"}}"#.into(), vec![]));
    assert_eq!(thinking(low, ask, NOVA), (String::new(), vec![Feature::Effort]));
    // Messages' own words are Claude's.
    let (body, losses) = from_messages(
        r#"{"model":"m","max_tokens":9000,"thinking":{"type":"enabled","budget_tokens":2000,"display":"omitted"},"top_k":5,
            "output_config":{"effort":"medium"},"messages":[{"role":"user","content":"q"},
            {"role":"assistant","content":[{"type":"thinking","thinking":"","signature":"S"},{"type":"redacted_thinking","data":"R"},{"type":"text","text":"a"}]},
            {"role":"user","content":"b"}]}"#,
        CLAUDE,
    );
    assert_eq!(
        body.get("additionalModelRequestFields").unwrap().to_json(),
        r#"{"thinking":{"type":"enabled","budget_tokens":2000,"display":"omitted"}}"#
    );
    assert_eq!(body.get("outputConfig").unwrap().to_json(), r#"{"effort":"medium"}"#);
    assert!(body.get("messages").unwrap().to_json().contains(concat!(
        r#"[{"reasoningContent":{"reasoningText":{"text":"","signature":"S"}}},"#,
        r#"{"reasoningContent":{"redactedContent":"R"}},{"text":"a"}]"#
    )));
    assert_eq!(losses.features(), [Feature::TopK]);
}

#[test]
fn a_signature_of_another_provider_proves_nothing_here() {
    let body = br#"{"contents":[{"role":"user","parts":[{"text":"q"}]},{"role":"model","parts":[{"text":"t","thought":true,"thoughtSignature":"G"},
        {"text":"a","thoughtSignature":"H"},{"functionCall":{"id":"i","name":"f"},"thoughtSignature":"I"}]}]}"#;
    let request = gemini::read_request(body).unwrap();
    let (text, losses) = written(&request, CLAUDE);
    assert!(!text.contains("reasoningContent"), "{text}");
    assert_eq!(losses.features(), [Feature::ThinkingSignature, Feature::ParallelCalls]);
}

#[test]
fn settings_of_chat_become_those_of_the_dialect() {
    let (body, losses) = from_chat(
        r#"{"model":"m","messages":[{"role":"user","name":"n","content":"a"}],"temperature":1.7,"top_p":0.5,"max_tokens":9,"stop":[" ","x"],
            "n":2,"seed":1,"presence_penalty":0,"frequency_penalty":0,"logit_bias":{},"logprobs":true,"prompt_cache_key":"k","verbosity":"low",
            "metadata":{"a":"b"},"service_tier":"flex","user":"u","store":true,"top_k":3,"parallel_tool_calls":false,
            "tools":[{"type":"function","function":{"name":"f","strict":true}}],"tool_choice":{"type":"function","function":{"name":"f"}},
            "response_format":{"type":"json_schema","json_schema":{"name":"o","description":"d","schema":{"type":"object"},"strict":true}}}"#,
        NOVA,
    );
    assert_eq!(
        body.to_json(),
        concat!(
            r#"{"messages":[{"role":"user","content":[{"text":"a"}]}],"inferenceConfig":{"maxTokens":9,"temperature":1,"topP":0.5,"stopSequences":["x"]},"#,
            r#""toolConfig":{"tools":[{"toolSpec":{"name":"f","inputSchema":{"json":{"type":"object","properties":{}}},"strict":true}}],"#,
            r#""toolChoice":{"tool":{"name":"f"}}},"additionalModelRequestFields":{"inferenceConfig":{"topK":3}},"#,
            r#""outputConfig":{"textFormat":{"type":"json_schema","structure":{"jsonSchema":{"schema":"{\"type\":\"object\"}","name":"o","description":"d"}}}},"#,
            r#""requestMetadata":{"a":"b"},"serviceTier":{"type":"flex"}}"#
        )
    );
    use Feature::*;
    let told = [
        ParallelToolCalls,
        Name,
        Temperature,
        Stop,
        Seed,
        PresencePenalty,
        FrequencyPenalty,
        LogitBias,
        Answers,
        Logprobs,
        User,
        CacheKey,
        Verbosity,
        Stored,
    ];
    assert_eq!(losses.features(), told);
    let (body, losses) = from_chat(
        r#"{"model":"m","messages":[],"metadata":{"a":"{}"},"service_tier":"scale","response_format":{"type":"json_object"},
            "tools":[{"type":"custom","custom":{"name":"g"}},{"type":"function","function":{"name":"f"}}],
            "tool_choice":{"type":"function","function":{"name":"z"}}}"#,
        LLAMA,
    );
    assert!(
        body.get("requestMetadata").is_none() && body.get("toolConfig").unwrap().get("toolChoice").is_none()
    );
    assert_eq!(losses.features(), [ServerTools, ToolChoice, Json, Metadata, ServiceTier]);
}

#[test]
fn recorded_answers_mean_the_same_after_a_round_trip() {
    let mut n = 0;
    for (path, bytes) in recordings::files(".response.json") {
        if !path.to_string_lossy().contains("/bedrock-") {
            continue;
        }
        n += 1;
        let answer = read_answer(bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let usage = answer.usage.unwrap();
        assert_eq!((usage.input, usage.output), (2, 5));
        assert_eq!(usage.cached_read + usage.cache_write, 1322);
        let mut losses = Losses::default();
        let text = json(&write_answer(&answer, &mut losses));
        assert_eq!(read_answer(text.as_bytes()).unwrap(), answer, "{}", path.display());
        let messages = json(&anthropic::write_answer(&answer, "m", &mut losses));
        let back = anthropic::read_answer(messages.as_bytes()).unwrap();
        assert_eq!((&back.choices, back.usage), (&answer.choices, answer.usage));
        let chat = json(&openai_chat::write_answer(&answer, "m", &mut losses));
        assert_eq!(openai_chat::read_answer(chat.as_bytes()).unwrap().choices, answer.choices);
        assert!(losses.is_empty(), "{}: {losses}", path.display());
    }
    assert!(n >= 2 || recordings::are_absent(), "only {n} answers");
}

#[test]
fn everything_that_an_answer_says_is_kept() {
    let body = r#"{"output":{"message":{"role":"assistant","content":[{"reasoningContent":{"reasoningText":{"text":"hm","signature":"S"}}},
        {"reasoningContent":{"redactedContent":"RR"}},{"citationsContent":{"content":[{"text":"c"}],"citations":[{"title":"T"}]}},
        {"toolUse":{"toolUseId":"t","name":"f","input":{"x":1.50}}},{"toolResult":{"toolUseId":"u","content":[],"type":"server"}}]}},
        "stopReason":"tool_use","usage":{"inputTokens":3,"outputTokens":4,"totalTokens":47,"cacheReadInputTokens":10,"cacheWriteInputTokens":30,
            "cacheDetails":[{"ttl":"1h","inputTokens":20},{"ttl":"5m","inputTokens":10}]},"metrics":{"latencyMs":5},
        "serviceTier":{"type":"priority"},"trace":{"guardrail":{}},"additionalModelResponseFields":{"a":1}}"#;
    let answer = read_answer(body.as_bytes()).unwrap();
    assert_eq!(answer.usage.unwrap().cache_write_1h, 20);
    let mut losses = Losses::default();
    let text = json(&write_answer(&answer, &mut losses));
    assert!(losses.is_empty(), "{losses}");
    assert_eq!(read_answer(text.as_bytes()).unwrap(), answer, "{text}");
    // Claude's thoughts, and what proves them, are Messages' too.
    let messages = json(&anthropic::write_answer(&answer, "m", &mut losses));
    for kept in [
        r#"{"type":"thinking","thinking":"hm","signature":"S"},{"type":"redacted_thinking","data":"RR"}"#,
        r#"{"type":"tool_use","id":"t","name":"f","input":{"x":1.50}}"#,
        r#""cache_creation":{"ephemeral_5m_input_tokens":10,"ephemeral_1h_input_tokens":20}"#,
    ] {
        assert!(messages.contains(kept), "{messages}");
    }
}

#[test]
fn reasons_have_their_words() {
    for (word, chat, messages) in [
        ("end_turn", "stop", "end_turn"),
        ("stop_sequence", "stop", "stop_sequence"),
        ("max_tokens", "length", "max_tokens"),
        ("tool_use", "tool_calls", "tool_use"),
        ("guardrail_intervened", "content_filter", "refusal"),
        ("content_filtered", "content_filter", "refusal"),
        ("model_context_window_exceeded", "length", "model_context_window_exceeded"),
    ] {
        let body = format!(
            r#"{{"output":{{"message":{{"role":"assistant","content":[{{"text":"a"}}]}}}},"stopReason":"{word}","usage":{{}}}}"#
        );
        let answer = read_answer(body.as_bytes()).unwrap();
        let mut losses = Losses::default();
        let text = json(&openai_chat::write_answer(&answer, "m", &mut losses));
        assert!(text.contains(&format!(r#""finish_reason":"{chat}""#)), "{word}: {text}");
        let text = json(&anthropic::write_answer(&answer, "m", &mut losses));
        assert!(text.contains(&format!(r#""stop_reason":"{messages}""#)), "{word}: {text}");
        assert!(losses.is_empty());
    }
}

#[test]
fn an_error_is_no_answer() {
    let failed = |kind: Option<&str>, message: &str| {
        Err(Malformed::Failed { kind: kind.map(str::to_owned), message: message.to_owned() })
    };
    assert_eq!(read_answer(br#"{"message":"slow down"}"#), failed(None, "slow down"));
    assert_eq!(
        read_answer(br#"{"__type":"ThrottlingException","Message":"m"}"#),
        failed(Some("ThrottlingException"), "m")
    );
    assert_eq!(read_answer(b"{}"), Err(Malformed::Missing { path: "output".into() }));
}

#[test]
fn answers_of_others_become_ones_of_the_dialect() {
    let body = r#"{"candidates":[{"content":{"parts":[{"text":"hm","thought":true,"thoughtSignature":"G"},{"text":"a"},
        {"functionCall":{"name":"f","args":{}}}]},"finishReason":"STOP"},{"content":{"parts":[{"text":"b"}]}}],
        "usageMetadata":{"promptTokenCount":5,"candidatesTokenCount":2,"thoughtsTokenCount":3},"responseId":"r"}"#;
    let answer = gemini::read_answer(body.as_bytes()).unwrap();
    let mut losses = Losses::default();
    let text = json(&write_answer(&answer, &mut losses));
    assert_eq!(
        text,
        concat!(
            r#"{"output":{"message":{"role":"assistant","content":[{"reasoningContent":{"reasoningText":{"text":"hm"}}},{"text":"a"},"#,
            r#"{"toolUse":{"toolUseId":"gcall_r_0","name":"f","input":{}}}]}},"stopReason":"tool_use","#,
            r#""usage":{"inputTokens":5,"outputTokens":5,"totalTokens":10},"metrics":{"latencyMs":0}}"#
        )
    );
    assert_eq!(losses.features(), [Feature::Answers, Feature::ThinkingSignature]);
    let choice = Choice { stop: Some(Stop::Paused), ..Choice::default() };
    let answer = penstock_ai::form::Answer { choices: vec![choice], ..answer };
    let mut losses = Losses::default();
    write_answer(&answer, &mut losses);
    assert_eq!(losses.features(), [Feature::StopReason]);
}

#[test]
fn trap_35_members_of_a_function_are_none_of_its_schema() {
    let body = br#"{"messages":[],"toolConfig":{"tools":[{"toolSpec":{"name":"f","type":"custom","inputSchema":{"json":{"type":"object"}}}}]}}"#;
    let request = read_request(body).unwrap();
    let Tool::Function(function) = &request.tools[0] else { panic!() };
    assert_eq!(function.parameters.as_ref().unwrap().to_json(), r#"{"type":"object"}"#);
    assert_eq!(json(&function.rest), r#"{"type":"custom"}"#);
}

#[test]
fn pages_of_the_web_are_cited_in_chat() {
    let body = br#"{"output":{"message":{"role":"assistant","content":[{"citationsContent":{"content":[{"text":"abc"}],
        "citations":[{"title":"T","location":{"web":{"url":"https://x"}}}]}}]}},"stopReason":"end_turn","usage":{}}"#;
    let answer = read_answer(body).unwrap();
    let mut losses = Losses::default();
    let text = json(&openai_chat::write_answer(&answer, "m", &mut losses));
    let page = r#"[{"type":"url_citation","url_citation":{"start_index":0,"end_index":3,"title":"T","url":"https://x"}}]"#;
    assert!(text.contains(&format!(r#""annotations":{page}"#)), "{text}");
    assert!(losses.is_empty(), "{losses}");
}

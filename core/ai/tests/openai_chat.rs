//! Requests of Chat Completions: to the form and back, and what comes of other dialects' words.
#![allow(clippy::unwrap_used, clippy::panic)]

mod recordings;

use penstock_ai::dialect::Dialect;
use penstock_ai::form::{
    Answer, Arguments, CacheMark, Choice, Feature, Losses, Media, MediaKind, MediaSource, Output, Part,
    Request, ResultContent, Role, Stop, Text, Thinking, Thought, Tool, ToolCall, ToolChoice, ToolResult,
    Turn,
};
use penstock_ai::json::Value;
use penstock_ai::openai_chat::{read_answer, read_request, write_answer, write_request};
use penstock_ai::usage::Usage;

fn written(request: &Request<'_>) -> (String, Losses) {
    let mut losses = Losses::default();
    let mut text = Vec::new();
    write_request(request, "m", &mut losses).write(&mut text);
    (String::from_utf8(text).unwrap(), losses)
}

/// A request of another dialect with these turns.
fn foreign<'a>(turns: Vec<Turn<'a>>) -> Request<'a> {
    Request { turns, ..Request::new(Dialect::Anthropic) }
}

fn messages(turns: Vec<Turn<'_>>) -> (String, Losses) {
    let (text, losses) = written(&foreign(turns));
    let text = text.strip_prefix(r#"{"model":"m","messages":"#).and_then(|text| text.strip_suffix('}'));
    (text.unwrap().to_owned(), losses)
}

fn text(text: &str) -> Part<'_> {
    Part::Text(Text::new(text))
}

fn call<'a>(id: &'a str, arguments: Arguments<'a>) -> Part<'a> {
    Part::ToolCall(ToolCall {
        id: Some(id.into()),
        name: "f".into(),
        arguments,
        signature: None,
        cache: None,
        rest: Default::default(),
    })
}

fn result<'a>(call: &'a str, parts: Vec<Part<'a>>) -> Part<'a> {
    let content = ResultContent::Parts(parts);
    Part::ToolResult(ToolResult { call: call.into(), name: None, content, is_error: None, cache: None })
}

fn picture<'a>(source: MediaSource<'a>, media_type: Option<&'a str>) -> Part<'a> {
    let media_type = media_type.map(Into::into);
    Part::Media(Media { kind: MediaKind::Image, source, media_type, name: None, detail: None, cache: None })
}

#[test]
fn recorded_requests_mean_the_same_after_a_round_trip() {
    let mut n = 0;
    for (path, document) in recordings::requests() {
        let uri = document.get("uri").unwrap().as_text().unwrap();
        if !uri.ends_with("/chat/completions") || uri.contains("mistral.ai") {
            continue; // Mistral's has thoughts in its turns
        }
        n += 1;
        let mut body = Vec::new();
        document.get("body").unwrap().write(&mut body);
        let request = read_request(&body).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let model = request.model.text().into_owned();
        let mut losses = Losses::default();
        let mut text = Vec::new();
        write_request(&request, &model, &mut losses).write(&mut text);
        assert_eq!(read_request(&text).unwrap(), request, "{}", path.display());
        assert!(losses.is_empty(), "{}: {losses}", path.display());
    }
    assert!(n >= 10 || recordings::are_absent(), "only {n} requests");
}

#[test]
fn everything_that_the_dialect_says_is_kept() {
    let body = r#"{"model":"m","messages":[
        {"role":"developer","content":"d"},{"role":"system","content":[{"type":"text","text":"s"}],"name":"boss"},
        {"role":"user","content":[{"type":"text","text":"a"},
            {"type":"image_url","image_url":{"url":"https://x/y.png","detail":"low"}},
            {"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}},
            {"type":"input_audio","input_audio":{"data":"BBBB","format":"mp3"}},
            {"type":"file","file":{"file_id":"file-1"}},
            {"type":"file","file":{"filename":"a.pdf","file_data":"data:application/pdf;base64,CCCC"}},
            {"type":"new_kind","x":[1.0]}]},
        {"role":"assistant","content":null,"tool_calls":[
            {"id":"c1","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}},
            {"id":"c2","type":"custom","custom":{"name":"g","input":"free"}}]},
        {"role":"tool","tool_call_id":"c1","content":"r1"},
        {"role":"tool","tool_call_id":"c2","content":[{"type":"text","text":"r2"},{"type":"text","text":"r3"}]},
        {"role":"assistant","content":"no","refusal":"because","audio":{"id":"au"}}],
        "tools":[{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object"},"strict":true}},
            {"type":"custom","custom":{"name":"g"}}],
        "tool_choice":{"type":"function","function":{"name":"f"}},"parallel_tool_calls":false,
        "response_format":{"type":"json_schema","json_schema":{"name":"o","schema":{"type":"object"},"strict":true}},
        "reasoning_effort":"low","verbosity":"high","temperature":0.10,"top_p":1,"seed":-3,"presence_penalty":0.5,
        "frequency_penalty":-0.5,"logit_bias":{"50256":-100},"max_completion_tokens":5,"stop":["x","y"],"n":2,
        "logprobs":true,"top_logprobs":3,"stream":true,"user":"u","prompt_cache_key":"k","service_tier":"flex",
        "metadata":{"a":"b"},"store":true,"not_yet_known":{"b":1,"a":2}}"#;
    let request = read_request(body.as_bytes()).unwrap();
    let (text, losses) = written(&request);
    assert!(losses.is_empty());
    assert_eq!(read_request(text.as_bytes()).unwrap(), request, "{text}");
    // Numbers keep their digits, and what is not known its order.
    for kept in
        [r#""temperature":0.10"#, r#""not_yet_known":{"b":1,"a":2}"#, r#"{"type":"new_kind","x":[1.0]}"#]
    {
        assert!(text.contains(kept), "{text}");
    }
}

#[test]
fn older_and_compatible_words_are_understood() {
    let body = r#"{"model":"m","max_tokens":7,"stop":"x","tool_choice":"any","messages":[
        {"role":"assistant","reasoning_content":"hm","content":"a"},
        {"role":"user","content":[{"type":"text","text":"b","cache_control":{"type":"ephemeral","ttl":"1h"}}]}]}"#;
    let request = read_request(body.as_bytes()).unwrap();
    assert_eq!((request.max_output, request.stop.len()), (Some(7), 1));
    assert_eq!(request.tool_choice, Some(ToolChoice::Required));
    let thought = Part::Thought(Thought { text: "hm".into(), ..Thought::default() });
    assert_eq!(request.turns[0].parts, [thought, text("a")]);
    let Part::Text(marked) = &request.turns[1].parts[0] else { panic!() };
    assert_eq!(marked.cache, Some(CacheMark::Hour));
}

#[test]
fn what_is_malformed_is_told_with_its_place() {
    for (body, error) in [
        ("[]", "`body` must be an object"),
        ("{", "the body is not JSON: the text ends too early at byte 1"),
        (r#"{"messages":[]}"#, "`model` is missing"),
        (r#"{"model":"m"}"#, "`messages` is missing"),
        (r#"{"model":"m","messages":{}}"#, "`messages` must be an array"),
        (r#"{"model":"m","model":"m","messages":[]}"#, "`model` stands twice"),
        (r#"{"model":"m","messages":[{"role":"user","role":"user"}]}"#, "`messages[0].role` stands twice"),
        (r#"{"model":"m","messages":[{"content":"a"}]}"#, "`messages[0].role` is missing"),
        (
            r#"{"model":"m","messages":[{"role":"robot"}]}"#,
            "`messages[0].role` must be system, developer, user, assistant or tool",
        ),
        (
            r#"{"model":"m","messages":[{"role":"user","content":7}]}"#,
            "`messages[0].content` must be a string or an array of parts",
        ),
        (
            r#"{"model":"m","messages":[{"role":"user","content":[{"type":"text"}]}]}"#,
            "`messages[0].content[0].text` is missing",
        ),
        (
            r#"{"model":"m","messages":[{"role":"tool","content":"x"}]}"#,
            "`messages[0].tool_call_id` is missing",
        ),
        (r#"{"model":"m","messages":[],"tools":[{"type":"function"}]}"#, "`tools[0].function` is missing"),
        (r#"{"model":"m","messages":[],"temperature":"hot"}"#, "`temperature` must be a number"),
        (r#"{"model":"m","messages":[],"n":-1}"#, "`n` must be a whole number"),
        (
            r#"{"model":"m","messages":[],"response_format":{"type":"xml"}}"#,
            "`response_format.type` must be text, json_object or json_schema",
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
fn trap_22_a_call_without_arguments_has_an_empty_object() {
    for arguments in [
        Arguments::Text("".into()),
        Arguments::Text(" ".into()),
        Arguments::Value(Value::parse(b"{}").unwrap()),
    ] {
        let (text, _) = messages(vec![Turn::new(Role::Assistant, vec![call("c", arguments)])]);
        let expected = r#"[{"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]}]"#;
        assert_eq!(text, expected);
    }
}

#[test]
fn trap_27_results_follow_their_calls_and_come_before_text_and_pictures() {
    let image = || picture(MediaSource::Base64("AAAA".into()), Some("image/png"));
    let turns = vec![
        Turn::new(
            Role::Assistant,
            vec![call("a", Arguments::Text("{}".into())), call("b", Arguments::Text("{}".into()))],
        ),
        // As Anthropic has it: results and text in one turn of the user.
        Turn::new(
            Role::User,
            vec![text("and now"), result("a", vec![text("1"), image()]), result("b", vec![text("2")])],
        ),
    ];
    let (text, losses) = messages(turns);
    assert!(losses.is_empty());
    let order: Vec<_> = Value::parse(text.as_bytes()).unwrap().as_array().unwrap()[1..]
        .iter()
        .map(|message| {
            let content = message.get("content").unwrap();
            let mut out = Vec::new();
            content.write(&mut out);
            format!("{} {}", message.get("role").unwrap().as_text().unwrap(), String::from_utf8(out).unwrap())
        })
        .collect();
    assert_eq!(
        order,
        [
            r#"tool "1""#,
            r#"tool "2""#,
            r#"user [{"type":"text","text":"What a gave back:"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]"#,
            r#"user "and now""#,
        ]
    );
}

#[test]
fn what_the_dialect_has_no_word_for_is_told() {
    let thought = Thought { text: "t".into(), signature: Some("s".into()), ..Thought::default() };
    let marked = Text { cache: Some(CacheMark::Usual), ..Text::new("x") };
    let film = Media {
        kind: MediaKind::Video,
        source: MediaSource::Url("u".into()),
        media_type: None,
        name: None,
        detail: None,
        cache: None,
    };
    let mut request = foreign(vec![
        Turn::new(Role::Assistant, vec![Part::Thought(thought), text("y")]),
        Turn::new(Role::User, vec![Part::Text(marked), Part::Media(film)]),
    ]);
    request.sampling.top_k = Some(40.into());
    request.tools.push(Tool::Foreign(Value::parse(br#"{"type":"web_search_20250305"}"#).unwrap()));
    request.tool_choice = Some(ToolChoice::Required);
    request.thinking = Some(Thinking { budget: Some(5000), shown: Some("summarized".into()), effort: None });
    request.output = Some(Output::Json);
    request.rest.push("container", "c");
    let (text, losses) = written(&request);
    let told = [
        Feature::ThinkingSignature,
        Feature::CacheMark,
        Feature::Video,
        Feature::ServerTools,
        Feature::ThinkingShown,
        Feature::TopK,
        Feature::Unknown,
    ];
    assert_eq!(losses.features(), told);
    assert!(
        text.contains(r#""reasoning_effort":"medium""#)
            && text.contains(r#""response_format":{"type":"json_object"}"#)
    );
    for gone in ["container", "top_k", "tool_choice", "cache_control", "tools"] {
        assert!(!text.contains(gone), "{text}");
    }
}

#[test]
fn recorded_answers_mean_the_same_after_a_round_trip() {
    let mut n = 0;
    for (path, bytes) in recordings::files(".response.json") {
        if !Value::parse(bytes).unwrap().get("object").is_some_and(|kind| kind.is("chat.completion")) {
            continue;
        }
        n += 1;
        let answer = read_answer(bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(!answer.choices.is_empty() && answer.usage.is_some_and(|usage| usage.input_total() > 0));
        let model = answer.model.text().into_owned();
        let mut losses = Losses::default();
        let mut text = Vec::new();
        write_answer(&answer, &model, &mut losses).write(&mut text);
        assert_eq!(read_answer(&text).unwrap(), answer, "{}", path.display());
        assert!(losses.is_empty(), "{}: {losses}", path.display());
    }
    assert!(n >= 5 || recordings::are_absent(), "only {n} answers");
}

fn answered(choice: Choice<'_>) -> (Value<'static>, Losses) {
    let answer = Answer {
        from: Dialect::Gemini,
        id: "r1".into(),
        model: "gemini-x".into(),
        created: None,
        choices: vec![choice],
        usage: Some(Usage { input: 5, cached_read: 3, output: 2, reasoning: 4, ..Usage::default() }),
        service_tier: None,
        fingerprint: None,
        rest: Default::default(),
    };
    let mut losses = Losses::default();
    let mut text = Vec::new();
    write_answer(&answer, "fast", &mut losses).write(&mut text);
    (Value::parse(text.leak()).unwrap(), losses)
}

#[test]
fn an_answer_that_calls_says_so_unless_it_was_cut_or_kept_back() {
    let f = || call("c", Arguments::Value(Value::parse(b"{}").unwrap()));
    for (stop, said, is_lost) in [
        (Stop::End, "tool_calls", false),
        (Stop::ToolCalls, "tool_calls", false),
        (Stop::MaxOutput, "length", false),
        (Stop::Filtered, "content_filter", false),
        (Stop::Paused, "stop", true),
    ] {
        let (answer, losses) =
            answered(Choice { parts: vec![f()], stop: Some(stop.clone()), ..Choice::default() });
        let choice = &answer.get("choices").unwrap().as_array().unwrap()[0];
        assert!(choice.get("finish_reason").unwrap().is(said), "{stop:?}");
        assert!(choice.get("message").unwrap().get("content").unwrap().is_null());
        assert_eq!(losses.features().contains(&Feature::StopReason), is_lost);
    }
    let (answer, _) =
        answered(Choice { parts: vec![text("a"), text("b")], stop: Some(Stop::End), ..Choice::default() });
    let choice = &answer.get("choices").unwrap().as_array().unwrap()[0];
    assert!(choice.get("finish_reason").unwrap().is("stop"));
    assert!(choice.get("message").unwrap().get("content").unwrap().is("ab"));
    let usage = answer.get("usage").unwrap();
    let count = |name: &str| usage.get(name).and_then(Value::as_u64);
    assert_eq!(
        (count("prompt_tokens"), count("completion_tokens"), count("total_tokens")),
        (Some(8), Some(6), Some(14))
    );
}

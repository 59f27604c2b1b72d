//! Requests and answers of generateContent: to the form and back, and what comes of Chat Completions and Messages in them.
#![allow(clippy::unwrap_used, clippy::panic)]

mod recordings;

use penstock_ai::dialect::Dialect;
use penstock_ai::form::{
    Arguments, Choice, Feature, Function, Losses, Malformed, Media, MediaKind, MediaSource, Output, Part,
    Request, ResultContent, Role, Stop, Text, Thought, Tool, ToolCall, ToolChoice, ToolResult, Turn,
};
use penstock_ai::gemini::{STOPS_MAX, read_answer, read_request, write_answer, write_request};
use penstock_ai::json::{Object, Value};
use penstock_ai::{anthropic, openai_chat};

/// Models of the second and of the third generation.
const SECOND: &str = "gemini-2.5-flash";
const THIRD: &str = "gemini-3-pro-preview";

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

/// The contents of messages of Chat Completions, as text.
fn contents(messages: &str, model: &str) -> (String, Vec<Feature>) {
    let (body, losses) = from_chat(&format!(r#"{{"model":"m","messages":{messages}}}"#), model);
    (body.get("contents").unwrap().to_json(), losses.features().to_vec())
}

/// The bodies of recorded requests of this dialect.
fn recorded() -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for (path, document) in recordings::requests() {
        if document.get("uri").unwrap().as_text().unwrap().contains("enerateContent") {
            let mut body = Vec::new();
            document.get("body").unwrap().write(&mut body);
            found.push((path.display().to_string(), body));
        }
    }
    assert!(found.len() >= 4 || recordings::are_absent(), "only {} requests", found.len());
    found
}

#[test]
fn recorded_requests_mean_the_same_after_a_round_trip() {
    for (path, body) in recorded() {
        let request = read_request(&body).unwrap_or_else(|error| panic!("{path}: {error}"));
        let (text, losses) = written(&request, THIRD);
        assert_eq!(read_request(text.as_bytes()).unwrap(), request, "{path}");
        assert!(losses.is_empty(), "{path}: {losses}");
    }
}

#[test]
fn recorded_requests_keep_what_chat_and_messages_say_too() {
    for (path, body) in recorded() {
        let request = read_request(&body).unwrap();
        let mut losses = Losses::default();
        let chat = json(&openai_chat::write_request(&request, "m", &mut losses));
        let back = openai_chat::read_request(chat.as_bytes()).unwrap();
        let (again, _) = written(&back, SECOND);
        let again = read_request(again.as_bytes()).unwrap();
        let twice = json(&openai_chat::write_request(&again, "m", &mut losses));
        // Functions without parameters have none in this dialect.
        let plain = |text: &str| {
            text.replace(
                r#","parameters":{"additionalProperties":false,"properties":{},"type":"object"}"#,
                "",
            )
        };
        assert_eq!(twice, plain(&chat), "{path}");
        let messages = json(&anthropic::write_request(&request, "m", 4096, &mut losses));
        let back = anthropic::read_request(messages.as_bytes()).unwrap();
        let (again, _) = written(&back, SECOND);
        let again = read_request(again.as_bytes()).unwrap();
        let twice = json(&anthropic::write_request(&again, "m", 4096, &mut losses));
        let plain = messages.replace(
            r#"{"additionalProperties":false,"properties":{},"type":"object"}"#,
            r#"{"type":"object","properties":{}}"#,
        );
        assert_eq!(twice, plain, "{path}");
    }
}

#[test]
fn everything_that_the_dialect_says_is_kept() {
    let body = r#"{"systemInstruction":{"parts":[{"text":"s"}]},"contents":[
        {"role":"user","parts":[{"text":"a"},
            {"inlineData":{"mimeType":"image/png","data":"AAAA"}},
            {"fileData":{"mimeType":"application/pdf","fileUri":"https://x/y.pdf"}},
            {"inlineData":{"mimeType":"audio/mp3","data":"BBBB"}},
            {"fileData":{"fileUri":"https://youtu.be/x","mimeType":"video/mp4"},"videoMetadata":{"fps":2.0}},
            {"fileData":{"fileUri":"https://generativelanguage.googleapis.com/v1beta/files/f"}}]},
        {"role":"model","parts":[{"text":"hm","thought":true},
            {"executableCode":{"language":"PYTHON","code":"1"}},{"codeExecutionResult":{"outcome":"OUTCOME_OK"}},
            {"text":"b","thoughtSignature":"sig0"},
            {"functionCall":{"name":"f","args":{"x":1.50}},"thoughtSignature":"sig1"},
            {"functionCall":{"id":"i2","name":"f","args":{}}},{"functionCall":{"name":"g","args":{}}}]},
        {"role":"user","parts":[{"functionResponse":{"name":"g","response":{"output":"text"}}},
            {"functionResponse":{"name":"f","response":{"error":"no"},"willContinue":false}},
            {"functionResponse":{"id":"i2","name":"f","response":{"a":[1],"b":{"$ref":"x"}}}}]},
        {"role":"user","parts":[{"text":"again"}]}],
        "tools":[{"functionDeclarations":[{"name":"f","description":"d","parametersJsonSchema":{"type":"object",
            "properties":{"x":{"type":"number"}}},"response":{"type":"STRING"}},{"name":"g"}]},
            {"googleSearch":{}},{"functionDeclarations":[{"name":"h"}],"codeExecution":{}}],
        "toolConfig":{"functionCallingConfig":{"mode":"ANY","allowedFunctionNames":["f","g"]},"retrievalConfig":{"languageCode":"de"}},
        "safetySettings":[{"category":"HARM_CATEGORY_HARASSMENT","threshold":"BLOCK_NONE"}],
        "generationConfig":{"temperature":0.10,"topP":1,"topK":40.0,"candidateCount":2,"maxOutputTokens":5,"stopSequences":["x"],
            "presencePenalty":0.5,"frequencyPenalty":-0.5,"seed":-3,"responseLogprobs":true,"logprobs":3,
            "responseMimeType":"application/json","responseJsonSchema":{"type":"object"},
            "thinkingConfig":{"includeThoughts":true,"thinkingLevel":"HIGH"},"responseModalities":["TEXT","IMAGE"],"speechConfig":{}},
        "serviceTier":"flex","cachedContent":"cachedContents/c","labels":{"a":"b"},"notYetKnown":[2,1]}"#;
    let request = read_request(body.as_bytes()).unwrap();
    let (text, losses) = written(&request, THIRD);
    assert!(losses.is_empty(), "{losses}");
    assert_eq!(read_request(text.as_bytes()).unwrap(), request, "{text}");
    for kept in [
        r#""temperature":0.10"#,
        r#"{"functionCall":{"name":"f","args":{"x":1.50}},"thoughtSignature":"sig1"}"#,
        r#""notYetKnown":[2,1]"#,
        r#""videoMetadata":{"fps":2.0}"#,
        r#""responseModalities":["TEXT","IMAGE"]"#,
        r#"{"name":"f","response":{"error":"no"},"willContinue":false}"#,
        r#"{"executableCode":{"language":"PYTHON","code":"1"}}"#,
        r#""retrievalConfig":{"languageCode":"de"}"#,
    ] {
        assert!(text.contains(kept), "{kept} in {text}");
    }
    // Both writings of the names.
    let second = body.replace("inlineData", "inline_data").replace("functionResponse", "function_response");
    let second = second
        .replace("thoughtSignature", "thought_signature")
        .replace("maxOutputTokens", "max_output_tokens");
    assert_eq!(read_request(second.as_bytes()).unwrap(), request);
}

#[test]
fn thinking_is_read_in_all_its_words() {
    let thinking = |config: &str| {
        let body = format!(r#"{{"contents":[],"generationConfig":{{"thinkingConfig":{config}}}}}"#);
        let request = read_request(body.leak().as_bytes()).unwrap();
        let (text, losses) = written(&request, THIRD);
        assert!(losses.is_empty());
        assert_eq!(read_request(text.as_bytes()).unwrap(), request, "{text}");
        let read = request.thinking.clone().unwrap_or_default();
        let word = |word: Option<penstock_ai::json::Str<'_>>| word.map(|word| word.text().into_owned());
        (word(read.effort), read.budget, word(read.shown), request.rest.is_empty())
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(thinking(r#"{"thinkingBudget":0}"#), (None, Some(0), None, true));
    assert_eq!(thinking(r#"{"thinkingLevel":"MINIMAL"}"#), (some("minimal"), None, None, true));
    assert_eq!(thinking(r#"{"includeThoughts":false}"#), (None, None, some("omitted"), true));
    // As much as it likes, which is so anyway.
    assert_eq!(thinking(r#"{"thinkingBudget":-1}"#), (None, None, None, false));
}

#[test]
fn output_and_choices_are_read_in_all_their_words() {
    let config = |config: &str| {
        let body = format!(r#"{{"contents":[],"generationConfig":{{{config}}}}}"#);
        let request = read_request(body.leak().as_bytes()).unwrap();
        let (text, _) = written(&request, THIRD);
        assert_eq!(read_request(text.as_bytes()).unwrap(), request, "{text}");
        request.output
    };
    assert_eq!(config(r#""responseMimeType":"text/plain""#), Some(Output::Text));
    assert_eq!(config(r#""responseMimeType":"application/json""#), Some(Output::Json));
    assert_eq!(
        config(r#""responseMimeType":"text/x.enum","responseSchema":{"type":"STRING","enum":["a"]}"#),
        None
    );
    let Some(Output::Schema { schema, .. }) = config(r#""responseSchema":{"type":"OBJECT"}"#) else {
        panic!()
    };
    assert_eq!(schema.to_json(), r#"{"type":"object"}"#);
    let choice = |config: &str| {
        let body = format!(
            r#"{{"contents":[],"tools":[{{"functionDeclarations":[{{"name":"f"}}]}}],"toolConfig":{{"functionCallingConfig":{config}}}}}"#
        );
        let request = read_request(body.leak().as_bytes()).unwrap();
        let (text, losses) = written(&request, THIRD);
        assert!(losses.is_empty());
        assert_eq!(read_request(text.as_bytes()).unwrap(), request, "{text}");
        request.tool_choice.unwrap()
    };
    assert_eq!(choice(r#"{"mode":"auto"}"#), ToolChoice::Auto);
    assert_eq!(choice(r#"{"mode":"NONE"}"#), ToolChoice::None);
    assert_eq!(choice(r#"{"mode":"ANY"}"#), ToolChoice::Required);
    assert_eq!(choice(r#"{"mode":"ANY","allowedFunctionNames":["f"]}"#), ToolChoice::Function("f".into()));
    assert!(matches!(choice(r#"{"mode":"VALIDATED"}"#), ToolChoice::Foreign(_)));
}

#[test]
fn what_is_malformed_is_told_with_its_place() {
    for (body, error) in [
        ("[]", "`body` must be an object"),
        ("{}", "`contents` is missing"),
        (r#"{"contents":[{"role":"robot","parts":[]}]}"#, "`contents[0].role` must be user or model"),
        (r#"{"contents":[{"parts":[{"text":7}]}]}"#, "`contents[0].parts[0].text` must be a string"),
        (
            r#"{"contents":[{"parts":[{"functionCall":{}}]}]}"#,
            "`contents[0].parts[0].functionCall.name` is missing",
        ),
        (
            r#"{"contents":[{"parts":[{"functionResponse":{"name":"f","response":[]}}]}]}"#,
            "`contents[0].parts[0].functionResponse.response` must be an object",
        ),
        (
            r#"{"contents":[{"parts":[{"inline_data":{"mime_type":"image/png"}}]}]}"#,
            "`contents[0].parts[0].inlineData.data` is missing",
        ),
        (
            r#"{"contents":[],"generationConfig":{"topP":1,"top_p":2}}"#,
            "`generationConfig.topP` stands twice",
        ),
        (
            r#"{"contents":[],"generationConfig":{"thinkingConfig":{"thinkingBudget":1.5}}}"#,
            "`generationConfig.thinkingConfig.thinkingBudget` must be a whole number",
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
fn calls_without_ids_are_matched_by_order_and_name() {
    let body = br#"{"contents":[
        {"role":"model","parts":[{"functionCall":{"name":"f","args":{"n":1}}},{"functionCall":{"name":"g"}},{"functionCall":{"name":"f","args":{"n":2}}}]},
        {"role":"function","parts":[{"functionResponse":{"name":"g","response":{"output":"G"}}},
            {"functionResponse":{"name":"f","response":{"output":"F1"}}},{"functionResponse":{"name":"f","response":{"output":"F2"}}}]}]}"#;
    let request = read_request(body).unwrap();
    let calls = request.turns[0].parts.iter().map(|part| match part {
        Part::ToolCall(call) => call.id.as_ref().unwrap().text().into_owned(),
        _ => panic!(),
    });
    let calls: Vec<_> = calls.collect();
    let results = request.turns[1].parts.iter().map(|part| match part {
        Part::ToolResult(result) => result.call.text().into_owned(),
        _ => panic!(),
    });
    let results: Vec<_> = results.collect();
    assert_eq!(results, [calls[1].clone(), calls[0].clone(), calls[2].clone()]);
    // Google gets none back, another provider gets them.
    let (text, _) = written(&request, SECOND);
    assert!(!text.contains(r#""id""#), "{text}");
    let mut losses = Losses::default();
    let chat = json(&openai_chat::write_request(&request, "m", &mut losses));
    assert!(chat.contains(&format!(r#""tool_call_id":"{}","content":"F1""#, calls[0])), "{chat}");
    // And what comes back from a client with them.
    let (back, _) = from_chat(&chat, SECOND);
    assert_eq!(
        back.get("contents").unwrap().to_json(),
        concat!(
            r#"[{"role":"user","parts":[{"text":"."}]},{"role":"model","parts":[{"functionCall":{"name":"f","args":{"n":1}}},"#,
            r#"{"functionCall":{"name":"g","args":{}}},{"functionCall":{"name":"f","args":{"n":2}}}]},{"role":"user","parts":["#,
            r#"{"functionResponse":{"name":"f","response":{"output":"F1"}}},{"functionResponse":{"name":"g","response":{"output":"G"}}},"#,
            r#"{"functionResponse":{"name":"f","response":{"output":"F2"}}}]}]"#
        )
    );
}

#[test]
fn trap_10_a_signature_goes_back_where_it_came_from() {
    let answer = read_answer(
        br#"{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{}},"thoughtSignature":"S1"},
            {"text":"t","thoughtSignature":"S2"},{"text":"hm","thought":true,"thoughtSignature":"S3"}],"role":"model"},"finishReason":"STOP"}],"responseId":"r"}"#,
    )
    .unwrap();
    let turns = vec![Turn::new(Role::Assistant, answer.choices[0].parts.clone())];
    let request = Request { turns, ..Request::new(Dialect::Gemini) };
    let (text, losses) = written(&request, THIRD);
    assert!(losses.is_empty());
    assert_eq!(
        text,
        concat!(
            r#"{"contents":[{"role":"model","parts":[{"functionCall":{"name":"f","args":{}},"thoughtSignature":"S1"},"#,
            r#"{"text":"t","thoughtSignature":"S2"},{"text":"hm","thought":true,"thoughtSignature":"S3"}]}]}"#
        )
    );
    // A client that cannot carry it: the provider's own word for that, once a step, and told.
    let calls = r#"[{"role":"user","content":"q"},{"role":"assistant","tool_calls":[
        {"id":"a","function":{"name":"f","arguments":"{}"}},{"id":"b","function":{"name":"g","arguments":"{}"}}]},
        {"role":"tool","tool_call_id":"a","content":"1"},{"role":"tool","tool_call_id":"b","content":"2"}]"#;
    let (text, told) = contents(calls, THIRD);
    assert_eq!(told, [Feature::ThinkingSignature]);
    assert_eq!(text.matches("skip_thought_signature_validator").count(), 1, "{text}");
    assert!(text.contains(r#""args":{}},"thoughtSignature":"skip_"#), "{text}");
    for (model, is_signed) in
        [(SECOND, false), ("gemini-flash-latest", true), ("models/gemini-3.1-pro", true), ("gemma", false)]
    {
        assert_eq!(contents(calls, model).0.contains("thoughtSignature"), is_signed, "{model}");
    }
    // Another provider's signature is none of Google's.
    let claude = r#"{"model":"m","messages":[{"role":"user","content":"q"},
        {"role":"assistant","content":[{"type":"thinking","thinking":"t","signature":"C"},{"type":"redacted_thinking","data":"R"},{"type":"text","text":"a"}]}]}"#;
    let (body, losses) = from_messages(claude, THIRD);
    assert_eq!(losses.features(), [Feature::ThinkingSignature, Feature::ThinkingSealed]);
    assert_eq!(
        body.get("contents").unwrap().to_json(),
        r#"[{"role":"user","parts":[{"text":"q"}]},{"role":"model","parts":[{"text":"a"}]}]"#
    );
}

#[test]
fn trap_33_data_that_a_function_gave_back_is_never_a_reference() {
    let result = |content: ResultContent<'static>| {
        let call = ToolCall {
            id: Some("a".into()),
            name: "f".into(),
            arguments: Arguments::Text("{}".into()),
            signature: None,
            cache: None,
            rest: Object::default(),
        };
        let result = ToolResult { call: "a".into(), name: None, content, is_error: None, cache: None };
        let turns = vec![
            Turn::new(Role::Assistant, vec![Part::ToolCall(call)]),
            Turn::new(Role::Tool, vec![Part::ToolResult(result)]),
        ];
        let (text, losses) = written(&Request { turns, ..Request::new(Dialect::Bedrock) }, SECOND);
        assert!(losses.is_empty());
        let at = text.find(r#""response":"#).unwrap();
        text[at + 11..text.len() - 6].to_owned()
    };
    let value = |text: &'static str| ResultContent::Value(Value::parse(text.as_bytes()).unwrap());
    assert_eq!(
        result(value(r##"{"schema":[{"$ref":"#/x"}]}"##)),
        r##"{"output":"{\"schema\":[{\"$ref\":\"#/x\"}]}"}"##
    );
    assert_eq!(result(value(r##"{"ref":"#/x","s":"$ref"}"##)), r##"{"ref":"#/x","s":"$ref"}"##);
    assert_eq!(result(value("[1,2]")), r#"{"output":[1,2]}"#);
    let text = Part::Text(Text::new(r##"{"$ref":"#/x"}"##));
    assert_eq!(result(ResultContent::Parts(vec![text])), r##"{"output":"{\"$ref\":\"#/x\"}"}"##);
}

#[test]
fn trap_34_a_function_that_takes_nothing_has_no_parameters_or_those_of_an_object() {
    let tools = r#"[{"type":"function","function":{"name":"a"}},
        {"type":"function","function":{"name":"b","parameters":{}}},
        {"type":"function","function":{"name":"c","parameters":{"type":"object","properties":{},"additionalProperties":false}}},
        {"type":"function","function":{"name":"d","parameters":{"properties":{"x":{}}}}},
        {"type":"function","function":{"name":"e","parameters":{"type":"object","additionalProperties":{"type":"string"}}}}]"#;
    let (body, losses) = from_chat(&format!(r#"{{"model":"m","messages":[],"tools":{tools}}}"#), SECOND);
    assert_eq!(
        body.get("tools").unwrap().to_json(),
        concat!(
            r#"[{"functionDeclarations":[{"name":"a"},{"name":"b"},{"name":"c"},"#,
            r#"{"name":"d","parametersJsonSchema":{"properties":{"x":{}},"type":"object"}},"#,
            r#"{"name":"e","parametersJsonSchema":{"type":"object","additionalProperties":{"type":"string"}}}]}]"#
        )
    );
    assert!(losses.is_empty());
}

#[test]
fn trap_32_schemas_have_only_keywords_that_google_knows() {
    let schema =
        r#"{"type":"object","properties":{"a":{"const":1,"examples":[1]}},"patternProperties":{"x":{}}}"#;
    let (body, losses) = from_chat(
        &format!(
            r#"{{"model":"m","messages":[],"tools":[{{"type":"function","function":{{"name":"f","parameters":{schema},"strict":true}}}}],
            "response_format":{{"type":"json_schema","json_schema":{{"name":"o","schema":{schema}}}}}}}"#
        ),
        SECOND,
    );
    let cleaned = r#"{"type":"object","properties":{"a":{"enum":[1]}}}"#;
    assert_eq!(
        body.get("tools").unwrap().to_json(),
        format!(r#"[{{"functionDeclarations":[{{"name":"f","parametersJsonSchema":{cleaned}}}]}}]"#)
    );
    assert_eq!(
        body.get("generationConfig").unwrap().to_json(),
        format!(r#"{{"responseMimeType":"application/json","responseJsonSchema":{cleaned}}}"#)
    );
    assert_eq!(losses.features(), [Feature::ToolStrict, Feature::JsonSchema]);
}

#[test]
fn trap_35_members_of_a_function_are_none_of_its_schema() {
    let body = br#"{"contents":[],"tools":[{"functionDeclarations":[{"name":"f","type":"custom","behavior":"BLOCKING",
        "parametersJsonSchema":{"type":"object","properties":{"a":{}}}}]}]}"#;
    let request = read_request(body).unwrap();
    let Tool::Function(Function { parameters, rest, .. }) = &request.tools[0] else { panic!() };
    assert_eq!(parameters.as_ref().unwrap().to_json(), r#"{"type":"object","properties":{"a":{}}}"#);
    assert_eq!(json(rest), r#"{"type":"custom","behavior":"BLOCKING"}"#);
}

#[test]
fn trap_45_instructions_within_are_neither_hoisted_nor_the_model_s() {
    let (body, losses) = from_chat(
        r#"{"model":"m","messages":[{"role":"system","content":"s"},{"role":"developer","content":"d"},{"role":"user","content":"a"},
            {"role":"assistant","content":"b"},{"role":"system","content":"c"},{"role":"user","content":"d"}]}"#,
        SECOND,
    );
    assert_eq!(body.get("systemInstruction").unwrap().to_json(), r#"{"parts":[{"text":"s"},{"text":"d"}]}"#);
    assert_eq!(
        body.get("contents").unwrap().to_json(),
        concat!(
            r#"[{"role":"user","parts":[{"text":"a"}]},{"role":"model","parts":[{"text":"b"}]},"#,
            r#"{"role":"user","parts":[{"text":"<system>c</system>"},{"text":"d"}]}]"#
        )
    );
    assert_eq!(losses.features(), [Feature::SystemWithin]);
}

#[test]
fn trap_27_pictures_that_functions_gave_back_do_not_part_their_results() {
    let picture = r#"{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}}"#;
    let body = format!(
        r#"{{"model":"m","messages":[{{"role":"user","content":"q"}},{{"role":"assistant","content":[
            {{"type":"tool_use","id":"a","name":"f","input":{{}}}},{{"type":"tool_use","id":"b","name":"g","input":{{}}}}]}},
            {{"role":"user","content":[{{"type":"tool_result","tool_use_id":"b","content":[{{"type":"text","text":"2"}}]}},
            {{"type":"tool_result","tool_use_id":"a","is_error":true,"content":[{{"type":"text","text":"1"}},{picture}]}},{{"type":"text","text":"and"}}]}}]}}"#
    );
    let results = |model| {
        let (body, losses) = from_messages(&body, model);
        let contents = body.get("contents").unwrap().as_array().unwrap()[2].to_json();
        (contents, losses.features().to_vec())
    };
    assert_eq!(
        results(SECOND),
        (
            concat!(
                r#"{"role":"user","parts":[{"functionResponse":{"id":"a","name":"f","response":{"error":"1"}}},"#,
                r#"{"functionResponse":{"id":"b","name":"g","response":{"output":"2"}}},{"text":"What f gave back:"},"#,
                r#"{"inlineData":{"mimeType":"image/png","data":"AAAA"}},{"text":"and"}]}"#
            )
            .into(),
            vec![]
        )
    );
    let (third, _) = results(THIRD);
    assert!(
        third.contains(
            r#""response":{"error":"1"},"parts":[{"inlineData":{"mimeType":"image/png","data":"AAAA"}}]}}"#
        ),
        "{third}"
    );
}

#[test]
fn every_call_has_its_result() {
    let (text, told) = contents(
        r#"[{"role":"user","content":"q"},{"role":"assistant","content":"","tool_calls":[
            {"id":"a","function":{"name":"f","arguments":"[1]"}},{"id":"b","function":{"name":"g","arguments":""}}]},
            {"role":"tool","tool_call_id":"b","content":"2"},{"role":"tool","tool_call_id":"x","content":"3"},{"role":"user","content":"and"}]"#,
        SECOND,
    );
    assert_eq!(
        text,
        concat!(
            r#"[{"role":"user","parts":[{"text":"q"}]},{"role":"model","parts":[{"functionCall":{"id":"a","name":"f","args":{"arguments":"[1]"}}},"#,
            r#"{"functionCall":{"id":"b","name":"g","args":{}}}]},{"role":"user","parts":["#,
            r#"{"functionResponse":{"id":"a","name":"f","response":{"error":"There is no result."}}},"#,
            r#"{"functionResponse":{"id":"b","name":"g","response":{"output":"2"}}},{"text":"What x gave back:"},{"text":"3"},{"text":"and"}]}]"#
        )
    );
    assert_eq!(told, [Feature::ParallelCalls]);
}

#[test]
fn media_of_chat_and_messages_have_their_type() {
    let (text, told) = contents(
        r#"[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://x/y.webp?z=1","detail":"low"}},
            {"type":"image_url","image_url":{"url":"https://x/y"}},{"type":"image_url","image_url":{"url":"data:image/gif;base64,AA"}},
            {"type":"input_audio","input_audio":{"data":"BB","format":"wav"}},{"type":"file","file":{"file_id":"f"}},
            {"type":"file","file":{"filename":"a.pdf","file_data":"data:application/pdf;base64,CC"}}]}]"#,
        SECOND,
    );
    assert_eq!(
        text,
        concat!(
            r#"[{"role":"user","parts":[{"fileData":{"mimeType":"image/webp","fileUri":"https://x/y.webp?z=1"}},"#,
            r#"{"fileData":{"mimeType":"image/png","fileUri":"https://x/y"}},{"inlineData":{"mimeType":"image/gif","data":"AA"}},"#,
            r#"{"inlineData":{"mimeType":"audio/wav","data":"BB"}},{"inlineData":{"mimeType":"application/pdf","data":"CC"}}]}]"#
        )
    );
    assert_eq!(told, [Feature::ImageDetail, Feature::File]);
    let film = Media {
        kind: MediaKind::Video,
        source: MediaSource::Url("gs://b/film.mov".into()),
        media_type: None,
        name: None,
        detail: None,
        cache: None,
    };
    let note = Media { kind: MediaKind::Document, source: MediaSource::Text("n".into()), ..film.clone() };
    let turns = vec![Turn::new(Role::User, vec![Part::Media(film), Part::Media(note)])];
    let (text, _) = written(&Request { turns, ..Request::new(Dialect::Bedrock) }, SECOND);
    assert_eq!(
        text,
        r#"{"contents":[{"role":"user","parts":[{"fileData":{"mimeType":"video/quicktime","fileUri":"gs://b/film.mov"}},{"text":"n"}]}]}"#
    );
}

#[test]
fn settings_of_chat_become_those_of_the_dialect() {
    let (body, losses) = from_chat(
        r#"{"model":"m","messages":[{"role":"user","name":"n","content":"a"}],"temperature":1.7,"top_p":0.5,"seed":7,"presence_penalty":1,
            "frequency_penalty":2,"max_tokens":9,"stop":["a","b","c","d","e","f"],"n":2,"logprobs":true,"top_logprobs":2,"logit_bias":{},
            "service_tier":"default","user":"u","prompt_cache_key":"k","verbosity":"low","metadata":{"a":"b"},"store":true,
            "parallel_tool_calls":false,"tools":[{"type":"function","function":{"name":"f"}},{"type":"function","function":{"name":"g"}}],
            "tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"required","tools":[{"type":"function","function":{"name":"g"}},{"type":"function","function":{"name":"z"}}]}},
            "response_format":{"type":"json_object"}}"#,
        SECOND,
    );
    assert_eq!(
        body.get("generationConfig").unwrap().to_json(),
        concat!(
            r#"{"temperature":1.7,"topP":0.5,"seed":7,"presencePenalty":1,"frequencyPenalty":2,"maxOutputTokens":9,"candidateCount":2,"#,
            r#""stopSequences":["a","b","c","d","e"],"responseLogprobs":true,"logprobs":2,"responseMimeType":"application/json"}"#
        )
    );
    assert_eq!(STOPS_MAX, 5);
    assert_eq!(
        body.get("toolConfig").unwrap().to_json(),
        r#"{"functionCallingConfig":{"mode":"ANY","allowedFunctionNames":["g"]}}"#
    );
    assert!(body.get("serviceTier").unwrap().is("standard"));
    use Feature::*;
    let told = [Name, ParallelToolCalls, Stop, LogitBias, User, CacheKey, Verbosity, Metadata, Stored];
    assert_eq!(losses.features(), told);
}

#[test]
fn a_choice_of_a_function_that_is_not_there_is_told() {
    let choice = |choice: &str| {
        let (body, losses) = from_chat(
            &format!(
                r#"{{"model":"m","messages":[],"tools":[{{"type":"function","function":{{"name":"f"}}}}],"tool_choice":{choice}}}"#
            ),
            SECOND,
        );
        (body.get("toolConfig").map(Value::to_json), losses.features().to_vec())
    };
    let config = |inner: &str| Some(format!(r#"{{"functionCallingConfig":{inner}}}"#));
    assert_eq!(choice(r#""auto""#), (config(r#"{"mode":"AUTO"}"#), vec![]));
    assert_eq!(choice(r#""none""#), (config(r#"{"mode":"NONE"}"#), vec![]));
    assert_eq!(choice(r#""required""#), (config(r#"{"mode":"ANY"}"#), vec![]));
    assert_eq!(
        choice(r#"{"type":"function","function":{"name":"f"}}"#),
        (config(r#"{"mode":"ANY","allowedFunctionNames":["f"]}"#), vec![])
    );
    assert_eq!(choice(r#"{"type":"function","function":{"name":"z"}}"#), (None, vec![Feature::ToolChoice]));
    let auto = r#"{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[{"type":"function","function":{"name":"f"}}]}}"#;
    assert_eq!(choice(auto), (config(r#"{"mode":"VALIDATED","allowedFunctionNames":["f"]}"#), vec![]));
    let none = r#"{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[]}}"#;
    assert_eq!(choice(none), (None, vec![Feature::AllowedTools]));
}

#[test]
fn thinking_is_asked_for_in_what_the_model_knows() {
    let thinking = |effort: &str, model: &str| {
        let body = format!(r#"{{"model":"m","messages":[],"reasoning_effort":"{effort}"}}"#);
        let (body, losses) = from_chat(&body, model);
        let config = body.get("generationConfig").unwrap().get("thinkingConfig").unwrap().to_json();
        (config, losses.features().to_vec())
    };
    let budget = |tokens: u64| format!(r#"{{"thinkingBudget":{tokens}}}"#);
    let level = |word: &str| format!(r#"{{"thinkingLevel":"{word}"}}"#);
    assert_eq!(thinking("low", SECOND), (budget(1024), vec![]));
    assert_eq!(thinking("medium", SECOND), (budget(8192), vec![]));
    assert_eq!(thinking("high", SECOND), (budget(24576), vec![]));
    assert_eq!(thinking("none", SECOND), (budget(0), vec![]));
    assert_eq!(thinking("none", "gemini-2.5-pro"), (budget(128), vec![Feature::ThinkingBudget]));
    assert_eq!(thinking("high", THIRD), (level("HIGH"), vec![]));
    assert_eq!(thinking("none", THIRD), (level("LOW"), vec![Feature::Effort]));
    assert_eq!(thinking("minimal", "gemini-3-flash"), (level("MINIMAL"), vec![]));
    assert_eq!(thinking("xhigh", "gemini-3-flash"), (level("HIGH"), vec![Feature::Effort]));
    // Claude's callers see its thoughts unless they say otherwise.
    let claude = |thinking: &str, model: &str| {
        let body = format!(r#"{{"model":"m","max_tokens":9000,"messages":[],"thinking":{thinking}}}"#);
        let (body, losses) = from_messages(&body, model);
        let config = body.get("generationConfig").unwrap().get("thinkingConfig").map(Value::to_json);
        (config.unwrap_or_default(), losses.features().to_vec())
    };
    let shown = r#"{"thinkingBudget":2000,"includeThoughts":true}"#.to_owned();
    assert_eq!(claude(r#"{"type":"enabled","budget_tokens":2000}"#, THIRD), (shown, vec![]));
    let hidden = r#"{"thinkingBudget":24576,"includeThoughts":false}"#.to_owned();
    assert_eq!(
        claude(r#"{"type":"enabled","budget_tokens":30000,"display":"omitted"}"#, SECOND),
        (hidden, vec![Feature::ThinkingBudget])
    );
    assert_eq!(claude(r#"{"type":"disabled"}"#, SECOND), (budget(0), vec![]));
    assert_eq!(claude(r#"{"type":"adaptive"}"#, SECOND), (r#"{"includeThoughts":true}"#.into(), vec![]));
}

#[test]
fn what_the_dialect_has_no_word_for_is_told() {
    let (body, losses) = from_messages(
        r#"{"model":"m","max_tokens":5,"system":[{"type":"text","text":"s","cache_control":{"type":"ephemeral"}}],
            "tools":[{"type":"web_search_20250305","name":"web_search"}],"container":"c","service_tier":"auto",
            "messages":[{"role":"user","content":[{"type":"search_result","source":"u","title":"t","content":[]},{"type":"text","text":"a"}]},
            {"role":"assistant","content":[{"type":"text","text":"b","citations":[{"type":"char_location"}]}]}]}"#,
        SECOND,
    );
    assert_eq!(
        losses.features(),
        [Feature::CacheMark, Feature::Document, Feature::Citations, Feature::ServerTools, Feature::Unknown]
    );
    assert_eq!(
        body.to_json(),
        concat!(
            r#"{"systemInstruction":{"parts":[{"text":"s"}]},"contents":[{"role":"user","parts":[{"text":"a"}]},"#,
            r#"{"role":"model","parts":[{"text":"b"}]}],"generationConfig":{"maxOutputTokens":5}}"#
        )
    );
}

#[test]
fn recorded_answers_mean_the_same_after_a_round_trip() {
    let mut n = 0;
    for (path, bytes) in recordings::files(".response.json") {
        if !path.to_string_lossy().contains("/gemini-") {
            continue;
        }
        n += 1;
        let answer = read_answer(bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let usage = answer.usage.unwrap();
        assert_eq!((usage.input, usage.output, usage.reasoning), (15, 8, 275));
        let model = answer.model.text().into_owned();
        let mut losses = Losses::default();
        let text = json(&write_answer(&answer, &model, &mut losses));
        assert_eq!(read_answer(text.as_bytes()).unwrap(), answer, "{}", path.display());
        assert!(losses.is_empty(), "{}: {losses}", path.display());
        // And through the others.
        let chat = json(&openai_chat::write_answer(&answer, &model, &mut losses));
        let back = openai_chat::read_answer(chat.as_bytes()).unwrap();
        assert_eq!((&back.choices, back.usage), (&answer.choices, answer.usage));
        let messages = json(&anthropic::write_answer(&answer, &model, &mut losses));
        let back = anthropic::read_answer(messages.as_bytes()).unwrap();
        assert_eq!(back.choices, answer.choices);
        assert!(losses.is_empty(), "{losses}");
    }
    assert!(n >= 1 || recordings::are_absent(), "only {n} answers");
}

#[test]
fn everything_that_an_answer_says_is_kept() {
    let body = r#"{"candidates":[{"content":{"parts":[{"text":"hm","thought":true},{"text":"a","partMetadata":{"k":1}},
            {"inlineData":{"mimeType":"image/png","data":"AA"},"thoughtSignature":"S"},
            {"functionCall":{"id":"i","name":"f","args":{"x":1.0}},"thoughtSignature":"T"}],"role":"model"},
            "finishReason":"RECITATION","finishMessage":"m","index":0,"safetyRatings":[{"category":"c","probability":"LOW"}],
            "citationMetadata":{"citationSources":[]},"groundingMetadata":{"webSearchQueries":["q"]},"avgLogprobs":-0.5,
            "logprobsResult":{"chosenCandidates":[]}},
            {"content":{"parts":[{"text":"b"}],"role":"model"},"finishReason":"MAX_TOKENS","index":1}],
        "usageMetadata":{"promptTokenCount":30,"cachedContentTokenCount":10,"candidatesTokenCount":8,"thoughtsTokenCount":7,"totalTokenCount":45,
            "promptTokensDetails":[{"modality":"AUDIO","tokenCount":5}],"candidatesTokensDetails":[{"modality":"AUDIO","tokenCount":3}]},
        "modelVersion":"gemini-x","responseId":"r","createTime":"2026-01-01T00:00:00Z","notYetKnown":1}"#;
    let answer = read_answer(body.as_bytes()).unwrap();
    assert_eq!(answer.choices[0].stop, Some(Stop::Filtered));
    let mut losses = Losses::default();
    let text = json(&write_answer(&answer, "gemini-x", &mut losses));
    assert!(losses.is_empty(), "{losses}");
    assert_eq!(read_answer(text.as_bytes()).unwrap(), answer, "{text}");
    for kept in [
        r#""finishReason":"RECITATION""#,
        r#""groundingMetadata":{"webSearchQueries":["q"]}"#,
        r#""safetyRatings":[{"category":"c","probability":"LOW"}]"#,
        r#""partMetadata":{"k":1}"#,
        r#""notYetKnown":1"#,
        r#""logprobsResult":{"chosenCandidates":[]}"#,
    ] {
        assert!(text.contains(kept), "{kept} in {text}");
    }
}

#[test]
fn a_prompt_that_was_blocked_is_an_answer_that_was_filtered() {
    let body = br#"{"promptFeedback":{"blockReason":"PROHIBITED_CONTENT"},"usageMetadata":{"promptTokenCount":9,"totalTokenCount":9},"modelVersion":"m"}"#;
    let answer = read_answer(body).unwrap();
    assert_eq!(answer.choices, [Choice { stop: Some(Stop::Filtered), ..Choice::default() }]);
    let mut losses = Losses::default();
    let text = json(&write_answer(&answer, "m", &mut losses));
    assert!(!text.contains("candidates\""), "{text}");
    assert_eq!(read_answer(text.as_bytes()).unwrap(), answer);
    let chat = json(&openai_chat::write_answer(&answer, "m", &mut losses));
    assert!(chat.contains(r#""finish_reason":"content_filter""#), "{chat}");
}

#[test]
fn an_error_is_no_answer() {
    let body = br#"{"error":{"code":503,"message":"busy","status":"UNAVAILABLE"}}"#;
    let failed = Malformed::Failed { kind: Some("UNAVAILABLE".into()), message: "busy".into() };
    assert_eq!(read_answer(body), Err(failed));
}

#[test]
fn trap_11_and_13_only_a_stop_becomes_one_for_calls() {
    for (word, chat, messages) in [
        ("STOP", "tool_calls", "tool_use"),
        ("MAX_TOKENS", "length", "max_tokens"),
        ("SAFETY", "content_filter", "refusal"),
        ("PROHIBITED_CONTENT", "content_filter", "refusal"),
    ] {
        let body = format!(
            r#"{{"candidates":[{{"content":{{"parts":[{{"functionCall":{{"name":"f","args":{{}}}}}}]}},"finishReason":"{word}"}}]}}"#
        );
        let answer = read_answer(body.as_bytes()).unwrap();
        let mut losses = Losses::default();
        let text = json(&openai_chat::write_answer(&answer, "m", &mut losses));
        assert!(text.contains(&format!(r#""finish_reason":"{chat}""#)), "{word}: {text}");
        let text = json(&anthropic::write_answer(&answer, "m", &mut losses));
        assert!(text.contains(&format!(r#""stop_reason":"{messages}""#)), "{word}: {text}");
    }
}

#[test]
fn trap_09_calls_of_one_function_keep_apart() {
    let body = br#"{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{"a":1}}},{"functionCall":{"name":"f","args":{"a":2}}}]},"finishReason":"STOP"}],"responseId":"QUVVadTSNJ6_qtsPvN7J8Q0"}"#;
    let answer = read_answer(body).unwrap();
    let mut losses = Losses::default();
    let text = json(&openai_chat::write_answer(&answer, "m", &mut losses));
    let calls: Vec<_> = text.match_indices(r#""id":"gcall_QUVVadTSNJ6_qtsPvN7J8Q0_"#).collect();
    assert_eq!(calls.len(), 2, "{text}");
    assert!(text.contains(r#"_0","type":"function""#) && text.contains(r#"_1","type":"function""#), "{text}");
    // An answer without an id of its own.
    let body = br#"{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f"}},{"functionCall":{"name":"f"}}]}}]}"#;
    let answer = read_answer(body).unwrap();
    let ids = answer.choices[0].parts.iter().map(|part| match part {
        Part::ToolCall(call) => call.id.as_ref().unwrap().text().into_owned(),
        _ => panic!(),
    });
    let ids: Vec<_> = ids.collect();
    assert!(ids[0] != ids[1] && ids.iter().all(|id| id.len() <= 40));
}

#[test]
fn answers_of_others_become_ones_of_the_dialect() {
    let body = r#"{"id":"c","object":"chat.completion","created":1,"model":"gpt","service_tier":"default",
        "choices":[{"index":0,"message":{"role":"assistant","content":"a","reasoning_content":"hm","refusal":"no","tool_calls":[
            {"id":"c1","type":"function","function":{"name":"f","arguments":"{\"x\":[1.50]}"}},
            {"id":"c2","type":"function","function":{"name":"g","arguments":"{\"x\":"}}]},"logprobs":{"content":[]},"finish_reason":"length"}],
        "usage":{"prompt_tokens":10,"completion_tokens":7,"total_tokens":17,"prompt_tokens_details":{"cached_tokens":4},
            "completion_tokens_details":{"reasoning_tokens":5}}}"#;
    let answer = openai_chat::read_answer(body.as_bytes()).unwrap();
    let mut losses = Losses::default();
    let text = json(&write_answer(&answer, "fast", &mut losses));
    assert_eq!(
        text,
        concat!(
            r#"{"candidates":[{"content":{"parts":[{"text":"hm","thought":true},{"text":"a"},{"text":"no"},"#,
            r#"{"functionCall":{"id":"c1","name":"f","args":{"x":[1.50]}}},{"functionCall":{"id":"c2","name":"g","args":{"arguments":"{\"x\":"}}}],"#,
            r#""role":"model"},"finishReason":"MAX_TOKENS","index":0}],"usageMetadata":{"promptTokenCount":10,"candidatesTokenCount":2,"#,
            r#""cachedContentTokenCount":4,"thoughtsTokenCount":5,"totalTokenCount":17},"modelVersion":"fast","responseId":"c"}"#
        )
    );
    assert_eq!(losses.features(), [Feature::Logprobs, Feature::ServiceTier]);
    // Claude's signatures are nothing to Google's clients, and its refusal is a stop for safety.
    let thought = Thought { text: "t".into(), signature: Some("s".into()), ..Thought::default() };
    let sealed = Thought { sealed: Some("x".into()), ..Thought::default() };
    let choice = Choice {
        parts: vec![Part::Thought(thought), Part::Thought(sealed)],
        stop: Some(Stop::Refused),
        ..Choice::default()
    };
    let answer = penstock_ai::form::Answer {
        from: Dialect::Anthropic,
        choices: vec![choice],
        service_tier: None,
        usage: None,
        ..answer
    };
    let mut losses = Losses::default();
    let text = json(&write_answer(&answer, "m", &mut losses));
    assert!(text.contains(r#""parts":[{"text":"t","thought":true}]"#), "{text}");
    assert!(text.contains(r#""finishReason":"SAFETY""#), "{text}");
    assert_eq!(losses.features(), [Feature::ThinkingSignature, Feature::ThinkingSealed]);
}

#[test]
fn pages_of_the_web_are_cited_in_chat() {
    let body = br#"{"candidates":[{"content":{"parts":[{"text":"abc"}]},"finishReason":"STOP","groundingMetadata":{
        "groundingChunks":[{"web":{"uri":"https://x","title":"T"}},{"retrievedContext":{"uri":"gs://b"}}]}}]}"#;
    let answer = read_answer(body).unwrap();
    let mut losses = Losses::default();
    let text = json(&openai_chat::write_answer(&answer, "m", &mut losses));
    let page = r#"[{"type":"url_citation","url_citation":{"start_index":0,"end_index":3,"title":"T","url":"https://x"}}]"#;
    assert!(text.contains(&format!(r#""annotations":{page}"#)), "{text}");
    assert!(losses.is_empty(), "{losses}");
}

#[test]
fn settings_that_only_google_has_are_told_by_their_name_elsewhere() {
    let body = br#"{"contents":[],"safetySettings":[],"cachedContent":"c","labels":{"a":"b"}}"#;
    let request = read_request(body).unwrap();
    let mut losses = Losses::default();
    anthropic::write_request(&request, "m", 9, &mut losses);
    assert_eq!(losses.features(), [Feature::Safety, Feature::Stored, Feature::Unknown]);
}

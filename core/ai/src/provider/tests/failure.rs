//! What errors mean, in each shape.

use super::bundled;
use crate::json::{Object, Value};
use crate::provider::failure::Sign;
use crate::provider::*;

/// A body in a shape that shows a sign.
fn body_of(shape: Shape, sign: &Sign) -> Value<'static> {
    let text = |text: &Option<String>, or: &str| Value::from(text.clone().unwrap_or_else(|| or.to_owned()));
    let (message, kind, code) =
        (text(&sign.message, "oh"), text(&sign.kind, "some"), text(&sign.code, "some"));
    let object = |members: Vec<(&'static str, Value<'static>)>| -> Value<'static> {
        Value::Object(members.into_iter().collect::<Object<'static>>())
    };
    let flat = vec![("message", message.clone()), ("type", kind.clone()), ("code", code.clone())];
    match shape {
        Shape::OpenAi => object(vec![("error", object(flat))]),
        Shape::Anthropic => object(vec![
            ("type", "error".into()),
            ("error", object(vec![("type", kind), ("message", message)])),
        ]),
        Shape::Google => {
            let details = Value::Array(vec![object(vec![("reason", code)])]);
            object(vec![(
                "error",
                object(vec![("message", message), ("status", kind), ("details", details)]),
            )])
        }
        Shape::Aws => object(vec![("message", message), ("__type", kind)]),
        Shape::Flat => object(flat),
        Shape::FastApiDetail => object(vec![("detail", object(flat))]),
        Shape::ErrorText => object(vec![("error", message), ("type", kind), ("code", code)]),
        Shape::ErrorList => {
            object(vec![("errors", Value::Array(vec![object(vec![("code", code), ("message", message)])]))])
        }
        Shape::BaseResp => {
            object(vec![("base_resp", object(vec![("status_code", code), ("status_msg", message)]))])
        }
    }
}

#[test]
fn every_sign_of_every_provider_can_be_met() {
    for provider in bundled().iter() {
        let shape = provider.errors.shape;
        for (sign, class) in &provider.errors.signs {
            let status = sign.status.unwrap_or(400);
            let told = provider.errors.classify(status, &body_of(shape, sign));
            assert_eq!(told, *class, "{}: {sign:?}", provider.kind);
        }
        // Those that go with a shape: the provider's own may be more exact.
        let shared = provider.errors.shared.iter().filter(|_| provider.errors.signs.is_empty());
        for (_, sign, class) in shared.filter(|(of, ..)| *of == shape) {
            let told = provider.errors.classify(400, &body_of(shape, sign));
            assert_eq!(told, *class, "{}: {sign:?}", provider.kind);
        }
        for (status, class) in [
            (400, ErrorClass::BadRequest),
            (401, ErrorClass::Authentication),
            (402, ErrorClass::InsufficientQuota),
            (404, ErrorClass::NotFound),
            (408, ErrorClass::Timeout),
            (422, ErrorClass::BadRequest),
            (429, ErrorClass::RateLimit),
            (500, ErrorClass::ServerError),
            (502, ErrorClass::ServerError),
            (503, ErrorClass::Overloaded),
            (504, ErrorClass::Timeout),
            (529, ErrorClass::Overloaded),
        ] {
            assert_eq!(provider.errors.classify(status, &Value::Null), class, "{} {status}", provider.kind);
        }
    }
}

#[test]
fn another_form_than_the_providers_own_is_met_too() {
    let providers = bundled();
    let errors = &providers.get("openai_compatible").unwrap().errors;
    // AWS's form has nothing of its own, and nobody else answers in it.
    for (shape, sign, class) in errors.shared.iter().filter(|(shape, ..)| *shape != Shape::Aws) {
        assert_eq!(errors.classify(400, &body_of(*shape, sign)), *class, "{shape}: {sign:?}");
    }
}

#[test]
fn bodies_of_each_shape_are_read() {
    use ErrorClass::*;
    let providers = bundled();
    for (kind, status, body, class, message, id) in [
        (
            "openai",
            400,
            r#"{"error":{"message":"This model's maximum context length is 128000 tokens.","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}"#,
            ContextWindow,
            Some("This model's maximum context length is 128000 tokens."),
            None,
        ),
        (
            "openai",
            429,
            r#"{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}"#,
            InsufficientQuota,
            Some("You exceeded your current quota"),
            None,
        ),
        (
            "openai",
            429,
            r#"{"error":{"message":"Rate limit reached for gpt-x","type":"tokens","param":null,"code":"rate_limit_exceeded"}}"#,
            RateLimit,
            Some("Rate limit reached for gpt-x"),
            None,
        ),
        (
            "azure_openai",
            400,
            r#"{"error":{"message":"The response was filtered","type":null,"param":"prompt","code":"content_filter","status":400,"innererror":{"code":"ResponsibleAIPolicyViolation"}}}"#,
            ContentPolicy,
            Some("The response was filtered"),
            None,
        ),
        (
            "anthropic",
            529,
            r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},"request_id":"req_1"}"#,
            Overloaded,
            Some("Overloaded"),
            Some("req_1"),
        ),
        // The same in a stream, whose status is 200.
        (
            "anthropic",
            200,
            r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
            Overloaded,
            Some("Overloaded"),
            None,
        ),
        (
            "anthropic",
            400,
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 208310 tokens > 200000 maximum"}}"#,
            ContextWindow,
            Some("prompt is too long: 208310 tokens > 200000 maximum"),
            None,
        ),
        (
            "anthropic",
            400,
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"max_tokens: Field required"}}"#,
            BadRequest,
            Some("max_tokens: Field required"),
            None,
        ),
        (
            "gemini",
            400,
            r#"{"error":{"code":400,"message":"API key not valid.","status":"INVALID_ARGUMENT","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID"}]}}"#,
            Authentication,
            Some("API key not valid."),
            None,
        ),
        (
            "gemini",
            503,
            r#"[{"error":{"code":503,"message":"The model is overloaded.","status":"UNAVAILABLE"}}]"#,
            Overloaded,
            Some("The model is overloaded."),
            None,
        ),
        (
            "gemini",
            400,
            r#"{"error":{"code":400,"message":"The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).","status":"INVALID_ARGUMENT"}}"#,
            ContextWindow,
            Some("The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."),
            None,
        ),
        (
            "bedrock",
            400,
            r#"{"__type":"com.amazon.coral.service#ThrottlingException","message":"Too many tokens, please wait"}"#,
            RateLimit,
            Some("Too many tokens, please wait"),
            None,
        ),
        ("bedrock", 500, r#"{"Message":"oops"}"#, ServerError, Some("oops"), None),
        (
            "cohere",
            400,
            r#"{"id":"c-1","message":"too many tokens: total number of tokens in the prompt cannot exceed 4081"}"#,
            ContextWindow,
            Some("too many tokens: total number of tokens in the prompt cannot exceed 4081"),
            Some("c-1"),
        ),
        (
            "mistral",
            422,
            r#"{"detail":[{"type":"missing","loc":["body","messages"],"msg":"Field required","input":{}}]}"#,
            BadRequest,
            Some("body.messages: Field required"),
            None,
        ),
        (
            "mistral",
            400,
            r#"{"object":"error","message":"Invalid model: x","type":"invalid_model","param":null,"code":"1500"}"#,
            BadRequest,
            Some("Invalid model: x"),
            None,
        ),
        (
            "voyage",
            401,
            r#"{"detail":"Provided API key is invalid."}"#,
            Authentication,
            Some("Provided API key is invalid."),
            None,
        ),
        (
            "xai",
            400,
            r#"{"code":"Client specified an invalid argument","error":"Incorrect API key provided: xa***"}"#,
            Authentication,
            Some("Incorrect API key provided: xa***"),
            None,
        ),
        (
            "tgi",
            422,
            r#"{"error":"Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000","error_type":"validation"}"#,
            ContextWindow,
            Some("Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000"),
            None,
        ),
        (
            "cloudflare",
            429,
            r#"{"result":null,"success":false,"errors":[{"code":3036,"message":"you have used up your daily free allocation"}],"messages":[]}"#,
            InsufficientQuota,
            Some("you have used up your daily free allocation"),
            None,
        ),
        (
            "writer",
            400,
            r#"{"tpe":"fail.input","errors":[{"description":"bad","key":"fail.x","extras":{}}],"extras":{}}"#,
            BadRequest,
            Some("bad"),
            None,
        ),
        (
            "minimax",
            200,
            r#"{"base_resp":{"status_code":1008,"status_msg":"insufficient balance"}}"#,
            InsufficientQuota,
            Some("insufficient balance"),
            None,
        ),
        (
            "minimax",
            422,
            r#"{"error":{"message":"input new_sensitive (1026)"}}"#,
            ContentPolicy,
            Some("input new_sensitive (1026)"),
            None,
        ),
        (
            "sambanova",
            400,
            r#"{"error":{"message":"too long","type":"invalid_request_error","param":null,"code":"context_length_exceeded"},"request_id":"2a8b"}"#,
            ContextWindow,
            Some("too long"),
            Some("2a8b"),
        ),
        // An upstream's status inside an answer.
        (
            "openrouter",
            200,
            r#"{"error":{"code":502,"message":"Provider returned error","metadata":{"provider_name":"x"}}}"#,
            ServerError,
            Some("Provider returned error"),
            None,
        ),
        ("openrouter", 200, r#"{"error":{"code":429,"message":"slower"}}"#, RateLimit, Some("slower"), None),
        (
            "qianfan",
            400,
            r#"{"error":{"code":"tokens_too_long","message":"Prompt tokens too long","type":"invalid_request_error"},"id":"as-1"}"#,
            ContextWindow,
            Some("Prompt tokens too long"),
            Some("as-1"),
        ),
        (
            "moonshot",
            429,
            r#"{"error":{"type":"engine_overloaded_error","message":"The engine is currently overloaded"}}"#,
            Overloaded,
            Some("The engine is currently overloaded"),
            None,
        ),
        (
            "mistral",
            400,
            r#"{"object":"error","message":"Prompt contains 65673 tokens, too large for model with 32768 maximum context length","type":"invalid_request_prompt","code":"3051"}"#,
            ContextWindow,
            Some("Prompt contains 65673 tokens, too large for model with 32768 maximum context length"),
            None,
        ),
        // The provider's other dialect.
        (
            "deepseek",
            200,
            r#"{"type":"error","error":{"type":"overloaded_error","message":"busy"}}"#,
            Overloaded,
            Some("busy"),
            None,
        ),
        // Somebody in front of the provider, with errors of another form.
        (
            "nvidia_nim",
            400,
            r#"{"error":{"message":"too long","code":"context_length_exceeded"}}"#,
            ContextWindow,
            Some("too long"),
            None,
        ),
        (
            "anthropic",
            503,
            r#"{"message":"no healthy upstream"}"#,
            Overloaded,
            Some("no healthy upstream"),
            None,
        ),
        ("groq", 413, r#"{"error":{"message":7}}"#, BadRequest, None, None),
        ("openai", 500, "[]", ServerError, None, None),
        ("openai", 200, r#"{"error":{"message":"x"}}"#, ServerError, Some("x"), None),
    ] {
        let errors = &providers.get(kind).unwrap().errors;
        let body = Value::parse(body.as_bytes()).unwrap();
        let told = errors.read(status, |_| None, &body);
        assert_eq!(
            (told.class, told.message.as_deref(), told.request_id.as_deref()),
            (class, message, id),
            "{kind}"
        );
        assert_eq!(errors.classify(status, &body), class, "{kind}");
    }
}

#[test]
fn headers_say_what_the_body_does_not() {
    let providers = bundled();
    let read = |kind: &str, headers: &[(&str, &'static str)], body: &str| {
        let find = |name: &str| headers.iter().find(|(own, _)| *own == name).map(|(_, value)| *value);
        providers.get(kind).unwrap().errors.read(400, find, &Value::parse(body.as_bytes()).unwrap())
    };
    let kind = ("x-amzn-errortype", "ThrottlingException:http://internal.amazon.com/coral/");
    let told = read("bedrock", &[kind, ("x-amzn-requestid", "r-1")], r#"{"message":"slow"}"#);
    assert_eq!((told.class, told.request_id.as_deref()), (ErrorClass::RateLimit, Some("r-1")));
    assert_eq!(told.kind.as_deref(), Some("ThrottlingException"));
    // As a stream names it.
    let told = read("bedrock", &[("x-amzn-errortype", "modelStreamErrorException")], "{}");
    assert_eq!(told.class, ErrorClass::ServerError);
    let told = read(
        "anthropic",
        &[("request-id", "req_2")],
        r#"{"type":"error","request_id":"req_1","error":{"type":"api_error"}}"#,
    );
    assert_eq!((told.class, told.request_id.as_deref()), (ErrorClass::ServerError, Some("req_2")));
    let delay = |delay: &str| {
        let body = format!(
            r#"{{"error":{{"status":"RESOURCE_EXHAUSTED","details":[{{"retryDelay":"{delay}"}}]}}}}"#
        );
        let told = read("gemini", &[], &body);
        assert_eq!(told.class, ErrorClass::RateLimit);
        told.retry_after_ms
    };
    assert_eq!((delay("34.07s"), delay("-1s"), delay("99999999s")), (Some(34_070), None, None));
}

#[test]
fn errors_are_bounded() {
    let providers = bundled();
    let errors = &providers.get("openai").unwrap().errors;
    let long = "ä".repeat(MESSAGE_BYTES_MAX);
    let body = format!(
        r#"{{"error":{{"message":"{long}","type":"{long}","code":"{long}"}},"request_id":"{long}"}}"#
    );
    let told = errors.read(400, |_| Some(&long), &Value::parse(body.as_bytes()).unwrap());
    assert_eq!(told.message.map(|message| message.len()), Some(MESSAGE_BYTES_MAX));
    assert_eq!((told.kind, told.code, told.request_id), (None, None, None));
}

#[test]
fn errors_in_answers_are_known() {
    let providers = bundled();
    for (kind, document, expected) in [
        ("openai", r#"{"choices":[]}"#, false),
        ("openai", r#"{"error":null,"output":[]}"#, false),
        ("openai", r#"{"error":{"message":"x"}}"#, true),
        ("xai", r#"{"error":"x"}"#, true),
        ("anthropic", r#"{"type":"error","error":{"type":"overloaded_error"}}"#, true),
        ("anthropic", r#"{"type":"message_stop"}"#, false),
        ("gemini", r#"[{"error":{"code":503}}]"#, true),
        ("gemini", r#"[{"candidates":[]}]"#, false),
        ("minimax", r#"{"choices":[],"base_resp":{"status_code":0,"status_msg":""}}"#, false),
        ("minimax", r#"{"base_resp":{"status_code":1002,"status_msg":"rate limit"}}"#, true),
        ("minimax", r#"{"choices":[]}"#, false),
    ] {
        let errors = &providers.get(kind).unwrap().errors;
        assert_eq!(
            errors.in_answer(&Value::parse(document.as_bytes()).unwrap()),
            expected,
            "{kind} {document}"
        );
    }
}

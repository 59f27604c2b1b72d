//! The bundled table, entry by entry, and tables that are wrong.

use super::failure::Sign;
use super::*;
use crate::catalogue::Catalogue;
use crate::json::{Object, Value};

fn bundled() -> Providers {
    Providers::bundled().unwrap_or_else(|faults| panic!("data/providers.toml:\n{faults}"))
}

fn fill(provider: &Provider) -> Vec<(&str, &str)> {
    let needs = provider.needs.iter().map(|need| (need.as_str(), "place-1"));
    needs.chain([("model", "maker/model:1"), ("deployment", "deploy-1")]).collect()
}

#[test]
fn the_bundled_table_has_no_fault_and_the_kinds_that_are_promised() {
    let providers = bundled();
    assert!(providers.iter().len() >= 60, "{}", providers.iter().len());
    for kind in [
        "openai",
        "azure_openai",
        "anthropic",
        "gemini",
        "vertex",
        "bedrock",
        "mistral",
        "cohere",
        "deepseek",
        "xai",
        "groq",
        "together",
        "fireworks",
        "openrouter",
        "perplexity",
        "cerebras",
        "nvidia_nim",
        "huggingface",
        "sambanova",
        "dashscope",
        "zhipu",
        "moonshot",
        "minimax",
        "qianfan",
        "volcengine",
        "hunyuan",
        "siliconflow",
        "stepfun",
        "lingyiwanwu",
        "ai21",
        "databricks",
        "cloudflare",
        "ollama",
        "vllm",
        "lm_studio",
        "tgi",
        "llama_cpp",
        "openai_compatible",
    ] {
        assert!(providers.get(kind).is_some(), "{kind}");
    }
    for quirk in Quirk::ALL {
        assert!(providers.explain(*quirk).ends_with('.'), "{quirk}");
        assert!(providers.iter().any(|provider| provider.has(*quirk)), "no provider has `{quirk}`");
    }
}

#[test]
fn the_catalogue_knows_the_kinds_that_are_said_to_stand_in_it() {
    let catalogue = Catalogue::bundled().unwrap();
    let in_catalogue = |kind: &str| catalogue.rows().iter().any(|row| row.provider() == kind);
    let providers = bundled();
    for provider in providers.iter().filter(|provider| provider.catalogue != provider.kind) {
        assert!(in_catalogue(&provider.catalogue), "{}: {}", provider.kind, provider.catalogue);
        assert!(!in_catalogue(&provider.kind), "{} stands in the catalogue itself", provider.kind);
    }
    let priced = providers.iter().filter(|provider| in_catalogue(&provider.catalogue)).count();
    assert!(priced >= 55, "{priced}");
}

#[test]
fn every_operation_of_every_provider_has_a_url() {
    for provider in bundled().iter() {
        let given = fill(provider);
        let own = Values { base_url: None, given: &given };
        let mock = Values { base_url: Some("http://127.0.0.1:9/mock"), given: &given };
        assert!(provider.base_url().is_some() || provider.kind.ends_with("_compatible"), "{}", provider.kind);
        for api in &provider.apis {
            for operation in api.operations() {
                let kind = &provider.kind;
                let path = api.path(operation).unwrap();
                let expected =
                    if path.starts_with('/') { "http://127.0.0.1:9/" } else { "http://127.0.0.1:9/mock/" };
                let url = provider.fill(api.template(operation), operation, &mock).unwrap();
                assert!(url.starts_with(expected) && !url.contains(['{', '}']), "{kind} {operation}: {url}");
                if provider.base_url().is_some() {
                    let url = provider.fill(api.template(operation), operation, &own).unwrap();
                    let (scheme, rest) = url.split_once("://").unwrap();
                    assert!(scheme == "https" || rest.starts_with("127.0.0.1:"), "{kind} {operation}: {url}");
                    assert!(!rest.contains("//") && !rest.contains(['{', '}']), "{kind} {operation}: {url}");
                    assert_eq!(
                        path.contains("{model}"),
                        url.contains("maker%2Fmodel%3A1"),
                        "{kind} {operation}"
                    );
                }
            }
            for stream in [false, true] {
                let url = provider.conversation_url(api.dialect, stream, &mock);
                let converses =
                    api.operations().any(|one| one == Operation::conversation(api.dialect, false));
                assert_eq!(url.is_ok(), converses, "{} {}", provider.kind, api.dialect);
            }
        }
        // Each placeholder that a configuration must give is missed when it does not.
        for need in &provider.needs {
            let without: Vec<_> = given.iter().copied().filter(|(name, _)| name != need).collect();
            let values = Values { base_url: None, given: &without };
            let missed = provider.apis[0].operations().any(|operation| {
                matches!(provider.url(operation, &values), Err(UrlError::Missing { name }) if name == *need)
            });
            assert!(missed, "{} {need}", provider.kind);
        }
    }
}

#[test]
fn known_urls_come_out_as_they_are_documented() {
    use Dialect::*;
    let providers = bundled();
    let none: &[(&str, &str)] = &[];
    for (kind, dialect, stream, given, expected) in [
        ("openai", OpenAiChat, true, none, "https://api.openai.com/v1/chat/completions"),
        ("openai", OpenAiResponses, false, none, "https://api.openai.com/v1/responses"),
        ("anthropic", Anthropic, true, none, "https://api.anthropic.com/v1/messages"),
        (
            "azure_openai",
            OpenAiChat,
            false,
            &[("resource", "acme")],
            "https://acme.openai.azure.com/openai/v1/chat/completions",
        ),
        (
            "azure_openai_dated",
            OpenAiChat,
            false,
            &[("resource", "acme"), ("deployment", "prod mini"), ("api_version", "2024-10-21")],
            "https://acme.openai.azure.com/openai/deployments/prod%20mini/chat/completions?api-version=2024-10-21",
        ),
        (
            "azure_foundry",
            Anthropic,
            false,
            &[("resource", "acme")],
            "https://acme.services.ai.azure.com/anthropic/v1/messages",
        ),
        (
            "gemini",
            Gemini,
            true,
            &[("model", "gemini-flash-latest")],
            "https://generativelanguage.googleapis.com/v1beta/models/gemini-flash-latest:streamGenerateContent?alt=sse",
        ),
        (
            "gemini",
            OpenAiChat,
            false,
            none,
            "https://generativelanguage.googleapis.com/v1beta/openai/chat/completions",
        ),
        (
            "vertex",
            Gemini,
            false,
            &[("project", "p"), ("location", "europe-west4"), ("model", "gemini-flash-latest")],
            "https://europe-west4-aiplatform.googleapis.com/v1/projects/p/locations/europe-west4/publishers/google/models/gemini-flash-latest:generateContent",
        ),
        (
            "vertex",
            Anthropic,
            true,
            &[("project", "p"), ("location", "global"), ("model", "claude-x@1")],
            "https://aiplatform.googleapis.com/v1/projects/p/locations/global/publishers/anthropic/models/claude-x%401:streamRawPredict",
        ),
        (
            "bedrock",
            Bedrock,
            true,
            &[("region", "us-east-1"), ("model", "arn:aws:bedrock:x/y")],
            "https://bedrock-runtime.us-east-1.amazonaws.com/model/arn%3Aaws%3Abedrock%3Ax%2Fy/converse-stream",
        ),
        ("deepseek", OpenAiChat, true, none, "https://api.deepseek.com/chat/completions"),
        ("deepseek", Anthropic, true, none, "https://api.deepseek.com/anthropic/v1/messages"),
        ("zhipu", Anthropic, false, none, "https://api.z.ai/api/anthropic/v1/messages"),
        ("moonshot", OpenAiChat, false, &[("region", "cn")], "https://api.moonshot.cn/v1/chat/completions"),
        ("moonshot", Anthropic, false, &[("region", "cn")], "https://api.moonshot.cn/anthropic/v1/messages"),
        ("cohere", Cohere, false, none, "https://api.cohere.com/v2/chat"),
        ("mistral", Mistral, false, none, "https://api.mistral.ai/v1/chat/completions"),
        (
            "databricks",
            OpenAiChat,
            false,
            &[("host", "dbc-1.cloud.databricks.com")],
            "https://dbc-1.cloud.databricks.com/serving-endpoints/chat/completions",
        ),
        (
            "cloudflare",
            OpenAiChat,
            false,
            &[("account", "0a1b")],
            "https://api.cloudflare.com/client/v4/accounts/0a1b/ai/v1/chat/completions",
        ),
    ] {
        let url =
            providers.get(kind).unwrap().conversation_url(dialect, stream, &Values { base_url: None, given });
        assert_eq!(url.as_deref(), Ok(expected), "{kind}");
    }
    let of = |kind: &str, operation, given: &[(&str, &str)]| {
        providers.get(kind).unwrap().url(operation, &Values { base_url: None, given })
    };
    let told = of("moonshot", Operation::Chat, &[("region", "mars")]);
    assert_eq!(told, Err(UrlError::UnknownRegion { region: "mars".into() }));
    assert_eq!(of("openai_compatible", Operation::Chat, &[]), Err(UrlError::NoBaseUrl));
    let told = of("anthropic", Operation::Speech, &[]);
    assert_eq!(told, Err(UrlError::NoOperation { operation: Operation::Speech }));
    assert_eq!(
        of("dashscope", Operation::Rerank, &[]).unwrap(),
        "https://dashscope-intl.aliyuncs.com/compatible-api/v1/reranks"
    );
}

#[test]
fn every_provider_says_who_calls_and_how_it_streams() {
    for provider in bundled().iter() {
        for api in &provider.apis {
            let kind = &provider.kind;
            assert!(!api.auth.is_empty(), "{kind}");
            for auth in &api.auth {
                if let Auth::Header { name, prefix } = auth {
                    assert_eq!(*name, name.to_ascii_lowercase(), "{kind}");
                    assert!(prefix.is_empty() || prefix.ends_with(' '), "{kind}: `{prefix}`");
                }
            }
            let binary = api.stream.media == Media::AwsEventStream;
            assert_eq!(
                binary,
                kind == "bedrock" && api.dialect != Dialect::OpenAiChat,
                "{kind} {}",
                api.dialect
            );
            assert!(!binary || !api.stream.done, "{kind}: no text ends a binary stream");
            assert!(api.stream.media.media_type().contains('/'));
        }
    }
    let providers = bundled();
    let auth = |kind: &str| providers.get(kind).unwrap().apis[0].auth.clone();
    let bearer = Auth::Header { name: "authorization".into(), prefix: "Bearer ".into() };
    assert_eq!(auth("openai"), std::slice::from_ref(&bearer));
    assert_eq!(auth("anthropic")[0], Auth::Header { name: "x-api-key".into(), prefix: String::new() });
    assert_eq!(auth("bedrock"), [Auth::SigV4 { service: "bedrock".into() }, bearer.clone()]);
    assert_eq!(auth("azure_openai"), [Auth::AzureKey, bearer]);
    assert_eq!(auth("gemini")[1], Auth::Query { name: "key".into() });
    assert!(
        matches!(&auth("vertex")[..], [Auth::GoogleServiceAccount { scope }] if scope.starts_with("https://"))
    );
    assert_eq!(
        providers.get("anthropic").unwrap().apis[0].headers,
        [("anthropic-version".into(), "2023-06-01".into())]
    );
    let vertex = providers.get("vertex").unwrap().api(Dialect::Anthropic).unwrap();
    assert_eq!(vertex.body, [("anthropic_version".into(), "vertex-2023-10-16".into())]);
}

#[test]
fn every_limit_that_a_provider_tells_is_read() {
    /// 2025-08-21T12:40:00Z
    const NOW: u64 = 1_755_780_000_000;
    let in_a_minute = |form| match form {
        ResetForm::Seconds => "60",
        ResetForm::Duration => "1m0s",
        ResetForm::Rfc3339 => "2025-08-21T12:41:00Z",
        ResetForm::UnixSeconds => "1755780060",
        ResetForm::UnixMillis => "1755780060000",
    };
    let mut with_limits = 0;
    for provider in bundled().iter() {
        let limits = &provider.rate_limit;
        let told = limits.read(
            |name| {
                let is = |header: &Option<String>| header.as_deref() == Some(name);
                let window = limits
                    .windows()
                    .find(|names| is(&names.limit) || is(&names.remaining) || is(&names.reset))?;
                Some(match () {
                    () if is(&window.limit) => "100",
                    () if is(&window.remaining) => "7",
                    () => in_a_minute(window.form.or(limits.reset)?),
                })
            },
            NOW,
        );
        let pairs = [
            (&limits.requests, told.requests),
            (&limits.tokens, told.tokens),
            (&limits.input_tokens, told.input_tokens),
            (&limits.output_tokens, told.output_tokens),
        ];
        for (names, window) in pairs {
            let has = |member: fn(&rate_limit::WindowNames) -> &Option<String>| {
                names.first().is_some_and(|names| member(names).is_some())
            };
            let expected = Window {
                limit: has(|names| &names.limit).then_some(100),
                remaining: has(|names| &names.remaining).then_some(7),
                reset_ms: has(|names| &names.reset).then_some(60_000),
            };
            assert_eq!(window, expected, "{}", provider.kind);
        }
        with_limits += usize::from(limits.headers().next().is_some());
        // What stands in two windows would be read for the wrong one.
        let mut names: Vec<_> = limits.headers().collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), limits.headers().count(), "{}", provider.kind);
    }
    assert!(with_limits >= 8, "{with_limits}");
}

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

/// A table with the explanations that each needs, and the rest as given.
fn table(rest: &str) -> String {
    let quirks: String = Quirk::ALL.iter().map(|quirk| format!("{quirk} = \"x\"\n")).collect();
    format!("[quirks]\n{quirks}{rest}")
}

/// An entry with a member of it taken out or others put in its place.
fn entry(without: &str, with: &str) -> String {
    let members = [
        ("title", "title = \"T\""),
        ("dialect", "dialect = \"openai_chat\""),
        ("base_url", "base_url = \"https://t.example/v1\""),
        ("auth", "auth = \"bearer\""),
        ("endpoints", "endpoints = { chat = \"chat/completions\" }"),
        ("errors", "errors = { shape = \"openai\" }"),
        ("docs", "docs = \"https://t.example\""),
        ("source", "source = \"docs\""),
        ("checked", "checked = 2026-01-01"),
    ];
    let kept = members.iter().filter(|(name, _)| *name != without).map(|(_, text)| format!("{text}\n"));
    table(&format!("[provider.t]\n{}{with}\n", kept.collect::<String>()))
}

#[test]
fn a_whole_entry_is_read() {
    let providers = Providers::read(&entry("", "quirks = [\"no_n\", \"no_seed\"]")).unwrap();
    let provider = providers.get("t").unwrap();
    assert_eq!((provider.title.as_str(), provider.dialect()), ("T", Dialect::OpenAiChat));
    assert!(provider.has(Quirk::NoN) && provider.has(Quirk::NoSeed) && !provider.has(Quirk::NoTools));
    assert_eq!(provider.checked, "2026-01-01");
    assert_eq!(provider.apis[0].stream, Stream::of(Dialect::OpenAiChat));
}

#[test]
fn whatever_has_no_meaning_is_a_fault_with_its_place() {
    for (without, with, path, why) in [
        ("title", "", "provider.t.title", "is missing"),
        ("title", "title = 7", "provider.t.title", "must be a text"),
        ("title", "title = \" \"", "provider.t.title", "must be a text"),
        ("dialect", "", "provider.t.dialect", "is missing"),
        ("dialect", "dialect = \"klingon\"", "provider.t.dialect", "no known name"),
        ("", "colour = \"red\"", "provider.t.colour", "no such member"),
        ("base_url", "base_url = \"http://t.example\"", "provider.t.base_url", "must be https://"),
        ("base_url", "base_url = \"https://t.example/\"", "provider.t.base_url", "slash at its end"),
        ("base_url", "base_url = \"https://t.example/?a\"", "provider.t.base_url", "must be https://"),
        (
            "base_url",
            "base_url = \"https://{region}.t.example\"",
            "provider.t.base_url",
            "{region} is not in `needs`",
        ),
        ("base_url", "base_url = \"https://{Region}.example\"", "provider.t.base_url", "name in lower case"),
        ("", "needs = [\"region\"]", "provider.t.needs", "no URL has {region}"),
        ("", "needs = [\"model\"]", "provider.t.needs", "comes with the call"),
        ("", "needs = [\"a\", \"a\"]", "provider.t.needs", "stands twice"),
        ("", "bases = { cn = \"t.example\" }", "provider.t.bases.cn", "must be https://"),
        ("auth", "", "provider.t.auth", "is missing"),
        ("auth", "auth = []", "provider.t.auth", "at least one"),
        ("auth", "auth = \"cookie\"", "provider.t.auth", "no known way"),
        ("auth", "auth = { header = \"X-Key\" }", "provider.t.auth.header", "lower case"),
        ("auth", "auth = { header = \"x-key\", query = \"key\" }", "provider.t.auth", "must have one of"),
        ("auth", "auth = { prefix = \"Key\" }", "provider.t.auth", "must have one of"),
        ("auth", "auth = { query = \"key\", prefix = \"Key\" }", "provider.t.auth.prefix", "header only"),
        ("", "headers = { \"X-A\" = \"b\" }", "provider.t.headers", "no header"),
        ("", "headers = { \"x-a\" = \"b\\nc\" }", "provider.t.headers", "no header"),
        ("endpoints", "", "provider.t.endpoints", "has no path"),
        ("endpoints", "endpoints = { sing = \"x\" }", "provider.t.endpoints.sing", "no known operation"),
        ("endpoints", "endpoints = { chat = \"a//b\" }", "provider.t.endpoints.chat", "empty parts"),
        ("endpoints", "endpoints = { chat = \"a b\" }", "provider.t.endpoints.chat", "do not belong"),
        ("endpoints", "endpoints = { chat = \"a/{x}\" }", "provider.t.endpoints", "{x} is not in `needs`"),
        ("endpoints", "endpoints = { messages = \"a\" }", "provider.t.endpoints", "it goes to `also`"),
        ("", "stream = { ask = \"path\" }", "provider.t.endpoints", "does not fit its paths"),
        ("", "stream = { ask = \"nicely\" }", "provider.t.stream.ask", "no known name"),
        ("", "stream = { done = \"yes\" }", "provider.t.stream.done", "true or false"),
        ("", "stream = { usage = true }", "provider.t.stream.usage", "no such member"),
        ("", "also = { klingon = \"x\" }", "provider.t.also.klingon", "no known dialect"),
        ("", "also = { openai_chat = \"x\" }", "provider.t.also.openai_chat", "dialect already"),
        ("", "also = { anthropic = { endpoints = {} } }", "provider.t.endpoints", "`anthropic` has no path"),
        (
            "",
            "also.anthropic = { endpoints = { messages = \"x\" }, stream = { include_usage = \"known\" } }",
            "provider.t.also.anthropic.stream.include_usage",
            "Chat Completions only",
        ),
        (
            "",
            "rate_limit = { requests = { left = \"x\" } }",
            "provider.t.rate_limit.requests.left",
            "no such member",
        ),
        ("", "rate_limit = { requests = {} }", "provider.t.rate_limit.requests", "names no header"),
        (
            "",
            "rate_limit = { requests = { reset = \"x-r\" } }",
            "provider.t.rate_limit.reset",
            "goes with one",
        ),
        (
            "",
            "rate_limit = { reset = \"seconds\", requests = { limit = \"x-l\" } }",
            "provider.t.rate_limit.reset",
            "goes with one",
        ),
        (
            "",
            "rate_limit = { requests = { limit = \"x-l\", form = \"seconds\" } }",
            "provider.t.rate_limit.requests.form",
            "goes with a `reset`",
        ),
        (
            "",
            "rate_limit = { reset = \"moons\", requests = { reset = \"x-r\" } }",
            "provider.t.rate_limit.reset",
            "no known name",
        ),
        ("errors", "", "provider.t.errors", "is missing"),
        ("errors", "errors = {}", "provider.t.errors.shape", "is missing"),
        ("errors", "errors = { shape = \"round\" }", "provider.t.errors.shape", "no known name"),
        (
            "errors",
            "errors = { shape = \"openai\", signs = [{ class = \"timeout\" }] }",
            "provider.t.errors.signs",
            "says nothing",
        ),
        (
            "errors",
            "errors = { shape = \"openai\", signs = [{ code = \"x\" }] }",
            "provider.t.errors.signs.class",
            "is missing",
        ),
        (
            "errors",
            "errors = { shape = \"openai\", signs = [{ code = \"x\", class = \"bad\" }] }",
            "provider.t.errors.signs.class",
            "no known name",
        ),
        (
            "errors",
            "errors = { shape = \"openai\", signs = [{ status = 99, class = \"timeout\" }] }",
            "provider.t.errors.signs.status",
            "status of HTTP",
        ),
        (
            "errors",
            "errors = { shape = \"openai\", request_id = \"X\" }",
            "provider.t.errors.request_id",
            "lower case",
        ),
        ("", "quirks = [\"odd\"]", "provider.t.quirks", "no known quirk"),
        ("", "quirks = \"no_n\"", "provider.t.quirks", "must be a list"),
        (
            "",
            "quirks = [\"max_tokens\", \"max_completion_tokens\"]",
            "provider.t.quirks",
            "exclude each other",
        ),
        ("docs", "docs = \"t.example\"", "provider.t.docs", "must be an https:// URL"),
        ("source", "", "provider.t.source", "is missing"),
        ("source", "source = \"hearsay\"", "provider.t.source", "no known name"),
        ("checked", "", "provider.t.checked", "is missing"),
        ("checked", "checked = \"2026-01-01\"", "provider.t.checked", "must be a date"),
        ("checked", "checked = 2026-01-01T00:00:00Z", "provider.t.checked", "must be a date"),
        ("", "[provider.U]", "provider.U", "lower case"),
        ("", "[provider]\nv = 1", "provider.v", "not a table"),
        ("", "title = \"again\"", "the table", "duplicate key"),
        ("", "[[sign]]\ncode = \"x\"\nclass = \"timeout\"", "sign.shape", "is missing"),
        ("", "[quirks.odd]", "quirks.odd", "must be a text"),
        ("", "[planet]", "planet", "no such member"),
    ] {
        let faults =
            Providers::read(&entry(without, with)).err().unwrap_or_else(|| panic!("{with} is taken")).0;
        let found = faults.iter().any(|fault| fault.path == path && fault.why.contains(why));
        assert!(found, "{with}: {faults:?}");
    }
}

#[test]
fn quirks_are_explained_each_and_no_other() {
    let told = Providers::read(&table("odd = \"x\"\n")).unwrap_err().0;
    assert_eq!((told[0].path.as_str(), told[0].why.as_str()), ("quirks.odd", "is no known quirk"));
    let told = Providers::read("[quirks]\n").unwrap_err().0;
    assert_eq!(told.len(), Quirk::ALL.len());
}

#[test]
fn a_fault_says_where_it_is() {
    let text = entry("", "stream = { done = \"ä\", ask = 7 }");
    let line = text.lines().position(|line| line.starts_with("stream")).unwrap() + 1;
    let told = Providers::read(&text).unwrap_err();
    let places: Vec<_> = told.0.iter().map(|fault| (fault.line, fault.column)).collect();
    assert!(places.contains(&(line, 19)) && places.contains(&(line, 30)), "{told}");
    assert!(
        told.to_string().contains(&format!("{line}:19: provider.t.stream.done: must be true or false")),
        "{told}"
    );
    let told = Providers::read("[quirks\n").unwrap_err();
    assert_eq!((told.0.len(), told.0[0].path.as_str()), (1, "the table"));
}

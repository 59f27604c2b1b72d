//! The bundled table, entry by entry.

mod failure;
mod table;

use super::*;
use crate::catalogue::Catalogue;

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

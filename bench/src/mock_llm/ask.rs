//! What a request's body says, as far as it decides how the answer looks. Refuses what every provider of the dialect
//! refuses, so that a translator that forgets a required member is noticed.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::llm::Dialect;

/// The members that matter, of all dialects.
#[derive(Debug, Default, Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    model: Option<Cow<'a, str>>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    max_tokens: Option<u64>,
    max_completion_tokens: Option<u64>,
    max_output_tokens: Option<u64>,
    #[serde(rename = "generationConfig", alias = "generation_config")]
    generation_config: Option<GenerationConfig>,
    #[serde(rename = "inferenceConfig")]
    inference_config: Option<InferenceConfig>,
    messages: Option<Vec<IgnoredAny>>,
    contents: Option<Vec<IgnoredAny>>,
    input: Option<IgnoredAny>,
    previous_response_id: Option<IgnoredAny>,
    #[serde(borrow)]
    tools: Option<Vec<Tool<'a>>>,
    #[serde(borrow, rename = "toolConfig")]
    tool_config: Option<ToolConfig<'a>>,
}

#[derive(Debug, Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

#[derive(Debug, Deserialize)]
struct GenerationConfig {
    #[serde(rename = "maxOutputTokens", alias = "max_output_tokens")]
    max_output_tokens: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct InferenceConfig {
    #[serde(rename = "maxTokens")]
    max_tokens: Option<u64>,
}

/// Gemini's `toolConfig` has other members and Bedrock's has the tools.
#[derive(Debug, Deserialize)]
struct ToolConfig<'a> {
    #[serde(borrow)]
    tools: Option<Vec<Tool<'a>>>,
}

/// A tool in any dialect's form.
#[derive(Debug, Deserialize)]
struct Tool<'a> {
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    function: Option<Named<'a>>,
    #[serde(borrow, rename = "functionDeclarations", alias = "function_declarations")]
    declarations: Option<Vec<Named<'a>>>,
    #[serde(borrow, rename = "toolSpec")]
    spec: Option<Named<'a>>,
}

#[derive(Debug, Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
}

/// What was asked.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ask {
    pub(super) model: String,
    pub(super) stream: bool,
    /// OpenAI: a stream ends with a chunk that tells usage.
    pub(super) include_usage: bool,
    /// Most tokens of the answer.
    pub(super) tokens_max: Option<u64>,
    /// The first tool.
    pub(super) tool: Option<String>,
}

/// Reads a body; `model` and `stream` are those of the path, where it has them.
///
/// # Errors
/// The words of the refusal.
pub(super) fn read(
    dialect: Dialect,
    body: &[u8],
    model: Option<String>,
    stream: Option<bool>,
) -> Result<Ask, String> {
    let body: Body<'_> = serde_json::from_slice(body)
        .map_err(|error| format!("We could not parse the JSON body of your request: {error}"))?;
    let model = model
        .or_else(|| body.model.as_ref().map(|model| model.to_string()))
        .filter(|model| !model.is_empty())
        .ok_or("you must provide a model parameter")?;
    let told = match dialect {
        Dialect::OpenAiResponses => body.input.is_some() || body.previous_response_id.is_some(),
        Dialect::Gemini => body.contents.as_ref().is_some_and(|contents| !contents.is_empty()),
        _ => body.messages.as_ref().is_some_and(|messages| !messages.is_empty()),
    };
    if !told {
        let name = match dialect {
            Dialect::OpenAiResponses => "input",
            Dialect::Gemini => "contents",
            _ => "messages",
        };
        return Err(format!("Missing required parameter: '{name}'."));
    }
    if dialect == Dialect::Anthropic && body.max_tokens.is_none() {
        return Err("max_tokens: Field required".into());
    }
    let tokens_max = body
        .max_completion_tokens
        .or(body.max_tokens)
        .or(body.max_output_tokens)
        .or_else(|| body.generation_config.as_ref().and_then(|config| config.max_output_tokens))
        .or_else(|| body.inference_config.as_ref().and_then(|config| config.max_tokens));
    if tokens_max == Some(0) {
        return Err("max_tokens: must be greater than or equal to 1".into());
    }
    Ok(Ask {
        model,
        stream: stream.or(body.stream).unwrap_or(false),
        include_usage: body
            .stream_options
            .as_ref()
            .and_then(|options| options.include_usage)
            .unwrap_or(false),
        tokens_max,
        tool: tool(&body),
    })
}

/// The model that a body names, for endpoints of which nothing else matters.
pub(super) fn model(body: &[u8]) -> Option<String> {
    let body: Body<'_> = serde_json::from_slice(body).ok()?;
    body.model.map(Cow::into_owned)
}

fn tool(body: &Body<'_>) -> Option<String> {
    let tools = body.tools.as_deref().or_else(|| body.tool_config.as_ref()?.tools.as_deref())?;
    tools
        .iter()
        .find_map(|tool| {
            let named =
                tool.function.as_ref().or(tool.spec.as_ref()).or_else(|| tool.declarations.as_ref()?.first());
            named.map(|named| &named.name).or(tool.name.as_ref())
        })
        .map(|name| name.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_of(dialect: Dialect, body: &str) -> Result<Ask, String> {
        read(dialect, body.as_bytes(), None, None)
    }

    #[test]
    fn limits_and_tools_of_each_form() {
        let messages = r#""model":"m","messages":[{"role":"user","content":"hi"}]"#;
        for (dialect, rest, tokens_max, tool) in [
            (Dialect::OpenAiChat, r#""max_completion_tokens":5,"max_tokens":9"#, Some(5), None),
            (
                Dialect::OpenAiChat,
                r#""tools":[{"type":"function","function":{"name":"f","parameters":{}}}]"#,
                None,
                Some("f"),
            ),
            (
                Dialect::Anthropic,
                r#""max_tokens":7,"tools":[{"name":"g","input_schema":{}}]"#,
                Some(7),
                Some("g"),
            ),
            (
                Dialect::Bedrock,
                r#""inferenceConfig":{"maxTokens":3},"toolConfig":{"tools":[{"toolSpec":{"name":"h"}}]}"#,
                Some(3),
                Some("h"),
            ),
        ] {
            let ask = read_of(dialect, &format!("{{{messages},{rest}}}")).unwrap();
            assert_eq!((ask.tokens_max, ask.tool.as_deref()), (tokens_max, tool), "{rest}");
        }
        let gemini = r#"{"contents":[{}],"generationConfig":{"maxOutputTokens":4},"tools":[{"functionDeclarations":[{"name":"d"}]}]}"#;
        let ask = read(Dialect::Gemini, gemini.as_bytes(), Some("m".into()), Some(true)).unwrap();
        assert_eq!((ask.tokens_max, ask.tool.as_deref(), ask.stream), (Some(4), Some("d"), true));
    }

    #[test]
    fn what_a_provider_refuses() {
        for (dialect, body, words) in [
            (Dialect::OpenAiChat, "{", "could not parse"),
            (Dialect::OpenAiChat, r#"{"messages":[{}]}"#, "model"),
            (Dialect::OpenAiChat, r#"{"model":"m","model":"n","messages":[{}]}"#, "duplicate"),
            (Dialect::OpenAiChat, r#"{"model":"m","messages":[]}"#, "'messages'"),
            (Dialect::OpenAiResponses, r#"{"model":"m"}"#, "'input'"),
            (Dialect::Gemini, r#"{"model":"m"}"#, "'contents'"),
            (Dialect::Anthropic, r#"{"model":"m","messages":[{}]}"#, "max_tokens"),
            (Dialect::Mistral, r#"{"model":"m","messages":[{}],"max_tokens":0}"#, "max_tokens"),
        ] {
            let error = read_of(dialect, body).unwrap_err();
            assert!(error.contains(words), "{body}: {error}");
        }
        let usage = r#"{"model":"m","messages":[{}],"stream":true,"stream_options":{"include_usage":true}}"#;
        let ask = read_of(Dialect::OpenAiChat, usage).unwrap();
        assert!(ask.stream && ask.include_usage);
    }
}

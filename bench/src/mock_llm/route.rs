//! What a path asks for. Method and target in, endpoint out.

use http::Method;

use crate::llm::Dialect;

/// What a request wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Endpoint {
    /// An answer of a model.
    Generate {
        dialect: Dialect,
        /// Whether the path says that it is streamed; `None` leaves it to the body.
        stream: Option<bool>,
        /// Gemini: a stream is an array of JSON instead of events.
        array: bool,
    },
    /// A count of tokens, billed to nobody.
    CountTokens(Dialect),
    /// Vectors.
    Embed(Embed),
    /// The list of models, or one of them.
    Models(ModelList),
}

/// Forms of embeddings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Embed {
    OpenAi,
    Gemini,
    GeminiBatch,
    Cohere,
}

/// Forms of lists of models.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ModelList {
    OpenAi,
    Anthropic,
    Gemini,
}

/// An endpoint with the model that its path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) endpoint: Endpoint,
    pub(super) model: Option<String>,
}

/// Finds the endpoint of a target; any prefix may stand before what the provider's own path is. `to_anthropic` says that the
/// request carries Anthropic's version header. `None` if it is none of the known ones.
pub(super) fn route(method: &Method, target: &str, to_anthropic: bool) -> Option<Route> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    if *method == Method::GET {
        return models(path, to_anthropic);
    }
    if *method != Method::POST {
        return None;
    }
    let generate = |dialect| Endpoint::Generate { dialect, stream: None, array: false };
    let found = |endpoint| Some(Route { endpoint, model: None });
    if let Some((_, rest)) = path.rsplit_once("/models/")
        && let Some((model, action)) = rest.rsplit_once(':')
    {
        return google(model, action, query);
    }
    if let Some((_, rest)) = path.rsplit_once("/model/")
        && let Some((model, action)) = rest.rsplit_once('/')
    {
        let stream = match action {
            "converse" => false,
            "converse-stream" => true,
            _ => return None,
        };
        let endpoint = Endpoint::Generate { dialect: Dialect::Bedrock, stream: Some(stream), array: false };
        return Some(Route { endpoint, model: Some(decoded(model)) });
    }
    if path.ends_with("/chat/completions") {
        let mistral = path.split('/').any(|part| part == "mistral");
        let endpoint = generate(if mistral { Dialect::Mistral } else { Dialect::OpenAiChat });
        let model =
            path.split_once("/deployments/").and_then(|(_, rest)| rest.split('/').next()).map(decoded);
        return Some(Route { endpoint, model });
    }
    if path.ends_with("/messages/count_tokens") {
        return found(Endpoint::CountTokens(Dialect::Anthropic));
    }
    if path.ends_with("/v2/embed") {
        return found(Endpoint::Embed(Embed::Cohere));
    }
    for (end, endpoint) in [
        ("/responses", generate(Dialect::OpenAiResponses)),
        ("/messages", generate(Dialect::Anthropic)),
        ("/v2/chat", generate(Dialect::Cohere)),
        ("/embeddings", Endpoint::Embed(Embed::OpenAi)),
    ] {
        if path.ends_with(end) {
            return found(endpoint);
        }
    }
    None
}

/// Methods of Google's models, and Anthropic's models at Vertex AI.
fn google(model: &str, action: &str, query: &str) -> Option<Route> {
    let sse = query.split('&').any(|pair| pair == "alt=sse");
    let gemini =
        |stream| Endpoint::Generate { dialect: Dialect::Gemini, stream: Some(stream), array: stream && !sse };
    let anthropic =
        |stream| Endpoint::Generate { dialect: Dialect::Anthropic, stream: Some(stream), array: false };
    let endpoint = match action {
        "generateContent" => gemini(false),
        "streamGenerateContent" => gemini(true),
        "countTokens" => Endpoint::CountTokens(Dialect::Gemini),
        "embedContent" => Endpoint::Embed(Embed::Gemini),
        "batchEmbedContents" => Endpoint::Embed(Embed::GeminiBatch),
        "rawPredict" => anthropic(false),
        "streamRawPredict" => anthropic(true),
        _ => return None,
    };
    Some(Route { endpoint, model: Some(decoded(model)) })
}

fn models(path: &str, to_anthropic: bool) -> Option<Route> {
    let gemini = path.contains("/v1beta/");
    let list = match (gemini, to_anthropic) {
        (true, _) => ModelList::Gemini,
        (_, true) => ModelList::Anthropic,
        _ => ModelList::OpenAi,
    };
    if path.ends_with("/models") {
        return Some(Route { endpoint: Endpoint::Models(list), model: None });
    }
    let (_, model) = path.split_once("/models/")?;
    Some(Route { endpoint: Endpoint::Models(list), model: Some(decoded(model)) })
}

/// A part of a path without its percent-encoding (RFC 3986 section 2.1).
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let code = after.get(..2).filter(|hex| hex.iter().all(u8::is_ascii_hexdigit));
        let code = code.and_then(|hex| std::str::from_utf8(hex).ok());
        match code.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) if *first == b'%' => {
                bytes.push(byte);
                rest = &after[2..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_all_dialects() {
        let generate = |dialect, stream, array| Endpoint::Generate { dialect, stream, array };
        use Dialect::*;
        for (target, endpoint, model) in [
            ("/v1/chat/completions", generate(OpenAiChat, None, false), None),
            ("/openai/v1/chat/completions", generate(OpenAiChat, None, false), None),
            (
                "/openai/deployments/my%20gpt/chat/completions?api-version=1",
                generate(OpenAiChat, None, false),
                Some("my gpt"),
            ),
            ("/mistral/v1/chat/completions", generate(Mistral, None, false), None),
            ("/v1/responses", generate(OpenAiResponses, None, false), None),
            ("/v1/messages?beta=true", generate(Anthropic, None, false), None),
            ("/v1/messages/count_tokens?beta=true", Endpoint::CountTokens(Anthropic), None),
            ("/v1beta/models/m-1:generateContent", generate(Gemini, Some(false), false), Some("m-1")),
            ("/v1beta/models/m:streamGenerateContent", generate(Gemini, Some(true), true), Some("m")),
            (
                "/v1beta/models/m:streamGenerateContent?alt=sse",
                generate(Gemini, Some(true), false),
                Some("m"),
            ),
            (
                "/v1/projects/p/locations/l/publishers/anthropic/models/c@1:streamRawPredict",
                generate(Anthropic, Some(true), false),
                Some("c@1"),
            ),
            ("/v1beta/models/m:countTokens", Endpoint::CountTokens(Gemini), Some("m")),
            ("/v1beta/models/m:embedContent", Endpoint::Embed(Embed::Gemini), Some("m")),
            ("/v1beta/models/m:batchEmbedContents", Endpoint::Embed(Embed::GeminiBatch), Some("m")),
            ("/model/us.a-v1%3A0/converse", generate(Bedrock, Some(false), false), Some("us.a-v1:0")),
            ("/model/a/converse-stream", generate(Bedrock, Some(true), false), Some("a")),
            ("/v2/chat", generate(Cohere, None, false), None),
            ("/v2/embed", Endpoint::Embed(Embed::Cohere), None),
            ("/v1/embeddings", Endpoint::Embed(Embed::OpenAi), None),
        ] {
            let found = route(&Method::POST, target, false).unwrap_or_else(|| panic!("{target}"));
            assert_eq!((found.endpoint, found.model.as_deref()), (endpoint, model), "{target}");
        }
        for (target, anthropic, list, model) in [
            ("/v1/models", false, ModelList::OpenAi, None),
            ("/v1/models", true, ModelList::Anthropic, None),
            ("/v1beta/models", false, ModelList::Gemini, None),
            ("/v1/models/org/m", false, ModelList::OpenAi, Some("org/m")),
        ] {
            let found = route(&Method::GET, target, anthropic).unwrap();
            assert_eq!((found.endpoint, found.model.as_deref()), (Endpoint::Models(list), model), "{target}");
        }
        for target in ["/", "/v1/what", "/v1beta/models/m:what", "/model/a/what"] {
            assert_eq!(route(&Method::POST, target, false), None, "{target}");
        }
        assert_eq!(route(&Method::PUT, "/v1/responses", false), None);
    }

    #[test]
    fn percent_encoding() {
        for (text, plain) in
            [("a%3Ab", "a:b"), ("%2", "%2"), ("%zz", "%zz"), ("100%25", "100%"), ("%+1", "%+1")]
        {
            assert_eq!(decoded(text), plain, "{text}");
        }
    }
}

//! Requests of all dialects, encoded before the run. Options in, a mix and fields of keys out.

use bytes::Bytes;

use super::super::plan::{MIX_REQUESTS_MAX, header, keys, split_url};
use super::super::request::{Mix, Request, RequestParts, key_field};
use super::answer::Expects;
use super::args::{LoadLlmArgs, Weighted};
use crate::llm::{Dialect, Quoted, text};
use crate::rng::Rng;

/// Sizes that are drawn for each dialect, model and form where they are not fixed: a run repeats these.
const DRAWS: usize = 32;
/// Bytes of all requests of a run.
const BYTES_MAX: usize = 1 << 30;
/// Tokens that an answer may have where a request must say it.
const ANSWER_TOKENS: u32 = 1024;
/// Parts into which the share of streams is rounded.
const SHARES: f64 = 1000.0;
/// Ways in which clients send their keys.
const KEY_HEADERS: [(&str, &str); 3] =
    [("authorization", "Bearer "), ("x-api-key", ""), ("x-goog-api-key", "")];

/// Makes the requests of a run: the host, the mix, and the keys in every style.
///
/// # Errors
/// A sentence that names the option.
pub(super) fn build(args: &LoadLlmArgs) -> Result<(String, Mix, Vec<Vec<Bytes>>), String> {
    let (host, prefix) = split_url(&args.url)?;
    let prefix = prefix.trim_end_matches('/');
    let shared = args.headers.iter().map(|field| header(field)).collect::<Result<Vec<_>, _>>()?;
    let default = [Weighted { dialect: Dialect::OpenAiChat, weight: 1 }];
    let dialects = if args.dialects.is_empty() { &default[..] } else { &args.dialects };
    let fixed = args.prompt.is_fixed() && args.answer.is_none_or(|answer| answer.is_fixed());
    let draws = if fixed { 1 } else { DRAWS };
    let mut rng = Rng::new(args.run.seed ^ 0xA5C);
    let streamed = (args.streams * SHARES).round() as u32;
    let mut requests = Vec::new();
    let mut bytes = 0;
    for Weighted { dialect, weight } in dialects {
        for model in &args.models {
            for (stream, share) in [(true, streamed), (false, SHARES as u32 - streamed)] {
                for _ in 0..if share > 0 { draws } else { 0 } {
                    let ask = Ask {
                        dialect: *dialect,
                        model,
                        stream,
                        prompt: args.prompt.draw(&mut rng),
                        answer: args.answer.map(|answer| answer.draw(&mut rng)),
                    };
                    let path =
                        args.paths.iter().rev().find(|(of, _)| of == dialect).map(|(_, path)| &path[..]);
                    let (path, body) = (ask.path(prefix, path), ask.body());
                    bytes += body.len();
                    if bytes > BYTES_MAX || requests.len() >= MIX_REQUESTS_MAX {
                        return Err(format!(
                            "the profile needs more than 1 GiB or {MIX_REQUESTS_MAX} requests; ask fewer models or smaller prompts"
                        ));
                    }
                    let mut headers = shared.clone();
                    headers.push(("content-type".into(), "application/json".into()));
                    if *dialect == Dialect::Anthropic {
                        headers.push(("anthropic-version".into(), "2023-06-01".into()));
                    }
                    let request = Request::encode(&RequestParts {
                        method: "POST",
                        path: &path,
                        host,
                        headers: &headers,
                        body: Some(body.as_bytes()),
                        chunked: None,
                        weight: weight * share,
                    })?;
                    requests
                        .push(request.of_model(Expects { dialect: *dialect, stream }, key_style(*dialect)));
                }
            }
        }
    }
    let mix = Mix::new(requests).ok_or("there is nothing to ask")?;
    let fields = KEY_HEADERS
        .iter()
        .map(|(name, scheme)| {
            let field = |key: &str| key_field(name, &format!("{scheme}{key}"));
            match &args.keys {
                Some(file) => keys(file, &field),
                None => field(&args.key).map(|field| vec![field]),
            }
        })
        .collect::<Result<_, _>>()?;
    Ok((host.to_owned(), mix, fields))
}

/// Place in [`KEY_HEADERS`].
fn key_style(dialect: Dialect) -> usize {
    match dialect {
        Dialect::Anthropic => 1,
        Dialect::Gemini => 2,
        _ => 0,
    }
}

/// One question.
#[derive(Debug)]
struct Ask<'a> {
    dialect: Dialect,
    model: &'a str,
    stream: bool,
    /// Tokens.
    prompt: u32,
    answer: Option<u32>,
}

impl Ask<'_> {
    fn path(&self, prefix: &str, given: Option<&str>) -> String {
        let model = encoded(self.model);
        if let Some(path) = given {
            return format!("{prefix}{}", path.replace("{model}", &model));
        }
        match (self.dialect, self.stream) {
            (Dialect::OpenAiChat, _) => format!("{prefix}/v1/chat/completions"),
            (Dialect::OpenAiResponses, _) => format!("{prefix}/v1/responses"),
            (Dialect::Anthropic, _) => format!("{prefix}/v1/messages"),
            (Dialect::Gemini, false) => format!("{prefix}/v1beta/models/{model}:generateContent"),
            (Dialect::Gemini, true) => {
                format!("{prefix}/v1beta/models/{model}:streamGenerateContent?alt=sse")
            }
            (Dialect::Bedrock, false) => format!("{prefix}/model/{model}/converse"),
            (Dialect::Bedrock, true) => format!("{prefix}/model/{model}/converse-stream"),
            (Dialect::Cohere, _) => format!("{prefix}/v2/chat"),
            // Where the mock knows the dialect by.
            (Dialect::Mistral, _) => format!("{prefix}/mistral/v1/chat/completions"),
        }
    }

    fn body(&self) -> String {
        let prompt = text(self.prompt);
        let (model, stream) = (Quoted(self.model), self.stream);
        let limit = |name: &str, answer: Option<u32>| {
            answer.map_or_else(String::new, |tokens| format!(r#","{name}":{tokens}"#))
        };
        let of_chat = |name: &str| {
            let limit = limit(name, self.answer);
            format!(
                r#"{{"model":{model},"messages":[{{"role":"user","content":"{prompt}"}}]{limit},"stream":{stream}"#
            )
        };
        let bare =
            |limit: String| if limit.is_empty() { String::new() } else { format!("{{{}}}", &limit[1..]) };
        match self.dialect {
            Dialect::OpenAiChat if stream => {
                format!(r#"{},"stream_options":{{"include_usage":true}}}}"#, of_chat("max_completion_tokens"))
            }
            Dialect::OpenAiChat => format!("{}}}", of_chat("max_completion_tokens")),
            Dialect::Cohere | Dialect::Mistral => format!("{}}}", of_chat("max_tokens")),
            Dialect::OpenAiResponses => {
                let limit = limit("max_output_tokens", self.answer);
                format!(r#"{{"model":{model},"input":"{prompt}"{limit},"stream":{stream}}}"#)
            }
            Dialect::Anthropic => {
                let tokens = self.answer.unwrap_or(ANSWER_TOKENS);
                format!(
                    r#"{{"model":{model},"max_tokens":{tokens},"messages":[{{"role":"user","content":"{prompt}"}}],"stream":{stream}}}"#
                )
            }
            Dialect::Gemini => {
                let config = bare(limit("maxOutputTokens", self.answer));
                let config =
                    if config.is_empty() { config } else { format!(r#","generationConfig":{config}"#) };
                format!(r#"{{"contents":[{{"role":"user","parts":[{{"text":"{prompt}"}}]}}]{config}}}"#)
            }
            Dialect::Bedrock => {
                let config = bare(limit("maxTokens", self.answer));
                let config =
                    if config.is_empty() { config } else { format!(r#","inferenceConfig":{config}"#) };
                format!(r#"{{"messages":[{{"role":"user","content":[{{"text":"{prompt}"}}]}}]{config}}}"#)
            }
        }
    }
}

/// A model's name as a part of a path (RFC 3986 section 3.3).
fn encoded(name: &str) -> String {
    name.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'=' | b',' | b'@' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_json_and_say_what_they_should() {
        for dialect in Dialect::ALL {
            for (stream, answer) in [(true, Some(77)), (false, None)] {
                let ask = Ask { dialect, model: "a\"b", stream, prompt: 12, answer };
                let body: serde_json::Value = serde_json::from_str(&ask.body()).unwrap();
                let told = body.to_string();
                assert!(told.contains(&text(12)), "{dialect:?}: {told}");
                assert_eq!(told.contains(":77"), answer.is_some(), "{dialect:?}: {told}");
                let by_path = matches!(dialect, Dialect::Gemini | Dialect::Bedrock);
                assert_eq!(body.get("stream").is_some(), !by_path, "{dialect:?}");
            }
        }
    }

    #[test]
    fn models_in_paths() {
        let ask = Ask { dialect: Dialect::Gemini, model: "a:b/c", stream: true, prompt: 1, answer: None };
        assert_eq!(ask.path("/p", None), "/p/v1beta/models/a%3Ab%2Fc:streamGenerateContent?alt=sse");
        assert_eq!(ask.path("", Some("/x/{model}")), "/x/a%3Ab%2Fc");
    }
}

//! What recorded answers say of their use, against the sums that the providers tell themselves.
#![allow(clippy::unwrap_used, clippy::panic)]

mod recordings;
mod streams;

use std::path::Path;

use penstock_ai::dialect::Dialect;
use penstock_ai::event_stream::{FrameLimits, FrameReader};
use penstock_ai::json::Value;
use penstock_ai::sse::SseLimits;
use penstock_ai::usage::Account;

/// The dialect of a call, if it is one that is billed by tokens of a conversation.
fn dialect(uri: &str) -> Option<Dialect> {
    let has = |part: &str| uri.contains(part);
    Some(match () {
        () if has("count_tokens") => return None,
        () if has("mistral.ai") && has("/chat/completions") => Dialect::Mistral,
        () if has("/chat/completions") => Dialect::OpenAiChat,
        () if has("/v1/responses") => Dialect::OpenAiResponses,
        () if has("/v1/messages") => Dialect::Anthropic,
        () if has("enerateContent") => Dialect::Gemini,
        () if has("/converse") => Dialect::Bedrock,
        () if has("cohere.com/v2/chat") => Dialect::Cohere,
        () => return None,
    })
}

/// The documents of an answer: one, or those of its events.
fn documents(request: &Path) -> Vec<Vec<u8>> {
    let stem = request.to_string_lossy().replace(".request.json", ".response.");
    let (path, bytes) = recordings::files("")
        .find(|(path, _)| {
            let path = path.to_string_lossy();
            path.starts_with(&stem) && !path.ends_with(".meta.json")
        })
        .unwrap();
    match path.extension().and_then(|end| end.to_str()) {
        Some("sse") => {
            let read = streams::read(bytes, [bytes.len()], SseLimits::default());
            read.blocks.into_iter().map(|block| block.data).collect()
        }
        Some("bin") => {
            let mut reader = FrameReader::new(FrameLimits::default());
            let (mut at, mut payloads) = (0, Vec::new());
            while at < bytes.len() {
                let step = reader.step(&bytes[at..]).unwrap();
                at += step.len;
                payloads.extend(step.frame.map(|frame| frame.payload().to_vec()));
            }
            payloads
        }
        _ => vec![bytes.to_vec()],
    }
}

/// The sum of all tokens that the provider tells, wherever it does.
fn told_total(document: &Value<'_>) -> Option<u64> {
    let usage = [
        document.get("usage"),
        document.get("usageMetadata"),
        document.get("response").and_then(|r| r.get("usage")),
    ];
    let usage = usage.into_iter().flatten().next()?;
    ["total_tokens", "totalTokens", "totalTokenCount"]
        .iter()
        .find_map(|name| usage.get(name))
        .and_then(Value::as_u64)
}

#[test]
fn recorded_answers_account_for_what_they_used() {
    let (mut accounted, mut compared) = (0, 0);
    for (path, request) in recordings::requests() {
        let Some(dialect) = dialect(&request.get("uri").unwrap().as_text().unwrap()) else { continue };
        let mut account = Account::default();
        let mut total = None;
        let mut is_error = false;
        for bytes in documents(path) {
            // The end mark of some streams is no document.
            let Ok(document) = Value::parse(&bytes) else { continue };
            is_error |= document.get("error").is_some_and(|error| !error.is_null());
            account.take(dialect, &document);
            total = told_total(&document).or(total);
        }
        if is_error {
            continue;
        }
        let usage = account.usage.unwrap_or_else(|| panic!("{}: nothing was told", path.display()));
        assert!(usage.input_total() > 0 && usage.output_total() > 0, "{}: {usage:?}", path.display());
        assert!(
            account.model.is_some() || matches!(dialect, Dialect::Bedrock | Dialect::Cohere),
            "{}",
            path.display()
        );
        accounted += 1;
        if let Some(total) = total {
            assert_eq!(usage.input_total() + usage.output_total(), total, "{}: {usage:?}", path.display());
            compared += 1;
        }
    }
    assert!(
        (accounted >= 35 && compared >= 20) || recordings::are_absent(),
        "only {accounted}, {compared} of them by sums"
    );
}

//! What providers answer beside the models' words: vectors, lists of models, counts of tokens. Bytes in, JSON out.

use serde::Deserialize;
use serde_json::{Value, json};

use super::route::{Embed, ModelList};
use crate::llm::Dialect;

/// Components of a vector when the request says nothing.
const DIMENSIONS: usize = 256;
/// Most components that a request can have.
const DIMENSIONS_MAX: usize = 4096;
/// Most texts of a request.
const TEXTS_MAX: usize = 2048;
/// Models that are listed: any name is served.
const MODELS: [&str; 3] = ["mock-large", "mock-small", "mock-embed"];

/// A JSON answer and the tokens of the prompt that it is billed for.
#[derive(Debug)]
pub(super) struct Extra {
    pub(super) body: String,
    pub(super) input: u64,
}

/// Tokens by their bytes, four a token, as in the usage of answers.
fn tokens(bytes: usize) -> u64 {
    (bytes as u64).div_ceil(4)
}

/// Counts the tokens of a request.
pub(super) fn count_tokens(dialect: Dialect, body: &[u8]) -> Extra {
    let count = tokens(body.len());
    let body = match dialect {
        Dialect::Gemini => json!({
            "totalTokens": count,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": count}],
        }),
        _ => json!({ "input_tokens": count }),
    };
    Extra { body: body.to_string(), input: 0 }
}

/// Lists models, or describes one.
pub(super) fn models(list: ModelList, model: Option<&str>, created_s: u64) -> Extra {
    let one = |name: &str| match list {
        ModelList::OpenAi => json!({"id": name, "object": "model", "created": created_s, "owned_by": "mock"}),
        ModelList::Anthropic => {
            json!({"type": "model", "id": name, "display_name": name, "created_at": "2026-01-01T00:00:00Z"})
        }
        ModelList::Gemini => json!({
            "name": format!("models/{name}"),
            "baseModelId": name,
            "version": "1",
            "displayName": name,
            "description": "A model of the mock",
            "inputTokenLimit": 1_048_576,
            "outputTokenLimit": 65_536,
            "supportedGenerationMethods": ["generateContent", "countTokens"],
        }),
    };
    let body = match (model, list) {
        (Some(model), _) => one(model),
        (None, ModelList::OpenAi) => json!({"object": "list", "data": MODELS.map(one)}),
        (None, ModelList::Anthropic) => json!({
            "data": MODELS.map(one),
            "has_more": false,
            "first_id": MODELS[0],
            "last_id": MODELS[MODELS.len() - 1],
        }),
        (None, ModelList::Gemini) => json!({ "models": MODELS.map(one) }),
    };
    Extra { body: body.to_string(), input: 0 }
}

#[derive(Debug, Deserialize)]
struct EmbedBody {
    model: Option<String>,
    /// OpenAI: a text, texts, tokens or lists of tokens.
    input: Option<Value>,
    /// Cohere.
    texts: Option<Vec<String>>,
    /// Gemini: one content, or many requests.
    content: Option<Value>,
    requests: Option<Vec<Value>>,
    encoding_format: Option<String>,
    dimensions: Option<usize>,
    output_dimension: Option<usize>,
    #[serde(rename = "outputDimensionality", alias = "output_dimensionality")]
    output_dimensionality: Option<usize>,
}

/// Makes vectors.
///
/// # Errors
/// The words of the refusal.
pub(super) fn embed(form: Embed, body: &[u8]) -> Result<Extra, String> {
    let request: EmbedBody = serde_json::from_slice(body)
        .map_err(|error| format!("We could not parse the JSON body of your request: {error}"))?;
    let of_first = request.requests.as_ref().and_then(|requests| requests.first());
    let batch_dimensions = of_first
        .and_then(|first| first.get("outputDimensionality"))
        .and_then(Value::as_u64)
        .and_then(|dimensions| usize::try_from(dimensions).ok());
    let dimensions = request
        .dimensions
        .or(request.output_dimension)
        .or(request.output_dimensionality)
        .or(batch_dimensions)
        .unwrap_or(DIMENSIONS);
    if !(1..=DIMENSIONS_MAX).contains(&dimensions) {
        return Err(format!("dimensions must be between 1 and {DIMENSIONS_MAX}"));
    }
    let texts = match form {
        Embed::Cohere => request.texts.as_ref().map_or(0, Vec::len),
        Embed::Gemini => usize::from(request.content.is_some()),
        Embed::GeminiBatch => request.requests.as_ref().map_or(0, Vec::len),
        Embed::OpenAi => match &request.input {
            Some(Value::Array(texts)) if texts.first().is_some_and(|first| !first.is_number()) => texts.len(),
            Some(Value::Array(tokens)) => usize::from(!tokens.is_empty()),
            Some(Value::String(_)) => 1,
            _ => 0,
        },
    };
    if texts == 0 || texts > TEXTS_MAX {
        return Err(format!("there must be 1 to {TEXTS_MAX} texts"));
    }
    let input = tokens(body.len());
    let model = request.model.as_deref().unwrap_or_default();
    let vectors = (0..texts).map(|text| vector(text, dimensions));
    let body = match form {
        Embed::OpenAi => {
            let encoded = request.encoding_format.as_deref() == Some("base64");
            let data: Vec<Value> = vectors
                .enumerate()
                .map(|(index, vector)| {
                    let embedding = if encoded { json!(base64(&vector)) } else { json!(vector) };
                    json!({"object": "embedding", "index": index, "embedding": embedding})
                })
                .collect();
            let usage = json!({"prompt_tokens": input, "total_tokens": input});
            json!({"object": "list", "data": data, "model": model, "usage": usage})
        }
        Embed::Gemini => json!({"embedding": {"values": vector(0, dimensions)}}),
        Embed::GeminiBatch => {
            json!({"embeddings": vectors.map(|values| json!({"values": values})).collect::<Vec<_>>()})
        }
        Embed::Cohere => json!({
            "id": "mock",
            "embeddings": {"float": vectors.collect::<Vec<_>>()},
            "texts": request.texts,
            "meta": {"api_version": {"version": "2"}, "billed_units": {"input_tokens": input}},
            "response_type": "embeddings_by_type",
        }),
    };
    Ok(Extra { body: body.to_string(), input })
}

/// A vector of length 1 that is the same each time for the same place.
fn vector(text: usize, dimensions: usize) -> Vec<f32> {
    let raw: Vec<f32> = (0..dimensions).map(|at| (((text + 1) * (at + 3)) as f32).sin()).collect();
    let length = raw.iter().map(|component| component * component).sum::<f32>().sqrt();
    raw.into_iter().map(|component| component / length).collect()
}

/// Little-endian floats in base64 (RFC 4648 section 4), as OpenAI's clients ask for them.
fn base64(vector: &[f32]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bytes: Vec<u8> = vector.iter().flat_map(|component| component.to_le_bytes()).collect();
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let word = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let index = (word >> (18 - 6 * digit)) & 63;
            out.push(if digit <= group.len() { char::from(DIGITS[index as usize]) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_floats() {
        // python3: base64.b64encode(struct.pack('<2f', 1.0, -2.5))
        for (vector, text) in
            [(&[1.0, -2.5][..], "AACAPwAAIMA="), (&[1.0], "AACAPw=="), (&[1.0; 3], "AACAPwAAgD8AAIA/")]
        {
            assert_eq!(base64(vector), text);
        }
    }

    #[test]
    fn vectors_of_every_form() {
        for (form, body, pointer, count) in [
            (Embed::OpenAi, r#"{"model":"m","input":"a","dimensions":3}"#, "/data/0/embedding", 3),
            (Embed::OpenAi, r#"{"model":"m","input":["a","b"]}"#, "/data", 2),
            (Embed::OpenAi, r#"{"model":"m","input":[1,2,3]}"#, "/data", 1),
            (Embed::Gemini, r#"{"content":{},"outputDimensionality":5}"#, "/embedding/values", 5),
            (Embed::GeminiBatch, r#"{"requests":[{},{}]}"#, "/embeddings", 2),
            (Embed::Cohere, r#"{"texts":["a"]}"#, "/embeddings/float/0", DIMENSIONS),
        ] {
            let extra = embed(form, body.as_bytes()).unwrap();
            let value: Value = serde_json::from_str(&extra.body).unwrap();
            assert_eq!(value.pointer(pointer).unwrap().as_array().unwrap().len(), count, "{body}");
            assert_eq!(extra.input, (body.len() as u64).div_ceil(4));
        }
        for body in ["{", "{}", r#"{"input":[]}"#, r#"{"input":"a","dimensions":0}"#] {
            assert!(embed(Embed::OpenAi, body.as_bytes()).is_err(), "{body}");
        }
    }
}

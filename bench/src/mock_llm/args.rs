//! Options of `penstock-bench mock-llm`, as typed.

use std::path::PathBuf;

use clap::Args;

use super::orders::{self, Chance};
use crate::mock::ListenArgs;

/// Serves language-model providers that answer as told: seven dialects at one address, and a bill of what they used.
#[derive(Debug, Args)]
#[command(after_help = after_help(), after_long_help = after_help())]
pub(crate) struct MockLlmArgs {
    #[command(flatten)]
    pub(super) at: ListenArgs,
    /// Orders for every request, as ttft=200ms,tps=80; may be repeated, see below
    #[arg(short, long = "orders")]
    pub(super) orders: Vec<String>,
    /// Orders for a share of the requests, as 0.01:status=429; may be repeated, shares lie side by side
    #[arg(long = "chance")]
    pub(super) chances: Vec<Chance>,
    /// Orders for the requests of one API key, as KEY:status=401; may be repeated
    #[arg(long = "for-key", value_parser = for_key)]
    pub(super) for_keys: Vec<(String, String)>,
    /// Requests a minute that a key may make; more are answered 429
    #[arg(long, default_value_t = 1_000_000_000)]
    pub(super) rpm: u64,
    /// Tokens a minute that a key may use; then it is answered 429
    #[arg(long, default_value_t = 1_000_000_000_000)]
    pub(super) tpm: u64,
    /// Header of a request whose value stands in its line of the bill
    #[arg(long, default_value = "x-request-id")]
    pub(super) id_header: String,
    /// Lines of the bill that are kept, the newest; totals count all
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub(super) bill_lines: u32,
    /// Append every request to this file, one JSON object a line: target, headers, body
    #[arg(long)]
    pub(super) record: Option<PathBuf>,
    /// Take no orders from requests (x-mock, names of models)
    #[arg(long)]
    pub(super) no_control: bool,
    /// Seed of all random draws
    #[arg(long, default_value_t = 1)]
    pub(super) seed: u64,
}

fn for_key(text: &str) -> Result<(String, String), String> {
    let (key, orders) = text.split_once(':').ok_or("write a key and orders as KEY:status=401")?;
    orders::parse(orders)?;
    Ok((key.to_owned(), orders.to_owned()))
}

fn after_help() -> String {
    format!(
        "\
Paths, each behind any prefix:
  /v1/chat/completions (Mistral's dialect if a part of the path is `mistral`), /v1/responses, /v1/messages,
  /v1/messages/count_tokens, /v2/chat, /v1/embeddings, /v2/embed, /v1/models[/MODEL],
  /v1beta/models/MODEL:generateContent, :streamGenerateContent (an array, or events with alt=sse), :countTokens,
  :embedContent, :batchEmbedContents, /model/MODEL/converse, /model/MODEL/converse-stream,
  and Anthropic at Vertex AI: .../models/MODEL:rawPredict, :streamRawPredict

Orders stand in --orders, --chance and --for-key, in the name of the model after `mock-` (mock-status=429,retry-after=2s)
and in the request header x-mock; of two for the same thing the one that stands later in this list counts.

{}
Control (not counted, not billed):
  GET /__bill      a line of JSON for every request that has ended, then one with the totals
  GET /__totals    the totals: calls and usage by key and model, requests in flight now and at most
  POST /__mark     begins to tell, for each request in flight, the time and the bytes of its body after this moment
  POST /__orders   the body goes before --orders from now on; an empty one takes that back
  POST /__reset    forgets the bill and the orders of /__orders

Bill: an answer is billed by what it told, or would have told; a stream that was cut, or whose client left, for its whole
prompt and for the tokens that were written; an error, or an answer of which no byte of the body was written, for nothing.
",
        orders::help()
    )
}

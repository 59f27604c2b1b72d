//! Options of `penstock-bench load-llm`, as typed.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;

use super::super::args::RunArgs;
use super::sizes::Sizes;
use crate::llm::Dialect;

/// Loads language models (a provider's mock, or a gateway before it) and measures their answers token by token.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  penstock-bench load-llm http://127.0.0.1:8080 -c 64 -d 10s --prompt 250 --streams 0
  penstock-bench load-llm http://127.0.0.1:8080 --dialect openai_chat=3 --dialect anthropic --model a --model b
  penstock-bench load-llm http://127.0.0.1:8080 --prompt lognormal:2000/1.2 --answer uniform:50..400 --rate 200 -d 60s

Dialects: openai_chat, openai_responses, anthropic, gemini, bedrock, cohere, mistral.
Sizes in tokens: 250, uniform:100..1000, exp:300 (mean), lognormal:500/1.2 (median, sigma); at most 100,000. A prompt's
token is a word of about five bytes. The size of an answer is what a request allows; a mock with the orders answer=max
answers with as much.

An answer is an error unless it is what its dialect promises to the last byte: a stream that is cut, malformed or without
its last event, JSON that is none, an error inside a 200. First-token times and gaps count pieces of text, thinking and
tool calls, and are taken when their bytes are read. With --rate, times count from the planned start.

Exit: as `load`.")]
pub(crate) struct LoadLlmArgs {
    /// Address, with a path that goes before those of the dialects, as http://127.0.0.1:8080
    pub(super) url: String,
    #[command(flatten)]
    pub(super) run: RunArgs,
    /// Dialect as NAME or NAME=WEIGHT, may be repeated [default: openai_chat]
    #[arg(long = "dialect")]
    pub(super) dialects: Vec<Weighted>,
    /// Model; may be repeated, and each is asked as often as it is named
    #[arg(long = "model", default_value = "mock")]
    pub(super) models: Vec<String>,
    /// Tokens of a prompt
    #[arg(long, default_value = "250")]
    pub(super) prompt: Sizes,
    /// Tokens that an answer may have [default: the request does not say; 1024 where it must]
    #[arg(long)]
    pub(super) answer: Option<Sizes>,
    /// Share of requests whose answer is streamed
    #[arg(long, default_value_t = 1.0, value_parser = share)]
    pub(super) streams: f64,
    /// API key of all requests, sent as each provider's client sends it
    #[arg(long, default_value = "mock-key", conflicts_with = "keys")]
    pub(super) key: String,
    /// File with one API key a line; each request carries one, drawn at random
    #[arg(long)]
    pub(super) keys: Option<PathBuf>,
    /// Path of a dialect as DIALECT=/path ({model} stands for the model), may be repeated
    #[arg(long = "path", value_parser = path)]
    pub(super) paths: Vec<(Dialect, String)>,
    /// Header field as "name: value", may be repeated
    #[arg(short = 'H', long = "header")]
    pub(super) headers: Vec<String>,
}

/// A dialect and its weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Weighted {
    pub(super) dialect: Dialect,
    pub(super) weight: u32,
}

impl FromStr for Weighted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, weight) = text.split_once('=').unwrap_or((text, "1"));
        let weight = weight
            .parse()
            .ok()
            .filter(|weight| (1..=1000).contains(weight))
            .ok_or_else(|| format!("`{weight}` is not a weight from 1 to 1000"))?;
        Ok(Self { dialect: name.parse()?, weight })
    }
}

fn share(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|share| (0.0..=1.0).contains(share))
        .ok_or_else(|| "use a number from 0 to 1".to_owned())
}

fn path(text: &str) -> Result<(Dialect, String), String> {
    let (dialect, path) = text.split_once('=').ok_or("write DIALECT=/path")?;
    Ok((dialect.parse()?, path.to_owned()))
}

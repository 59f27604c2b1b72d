//! How a request is to be answered, as orders of the form `key=value,key=value`. The same words serve as options, in
//! the header `x-mock`, in names of models and at the control address. Text in, settings out.

use std::time::Duration;

use crate::llm::{Dialect, TOKENS_MAX};
use crate::mock::Delay;
use crate::units;

/// Header of a request that holds orders.
pub(super) const HEADER: &str = "x-mock";
/// A model whose name begins so and holds a `=` is a list of orders.
pub(super) const MODEL_PREFIX: &str = "mock-";
/// Most tool calls of an answer.
const CALLS_MAX: u32 = 64;
/// Most tokens that a count may name: figures of usage stay where sums of many calls cannot overflow.
const COUNT_MAX: u64 = 1 << 40;
/// Largest factor of `over`.
const OVER_MAX: f64 = 1000.0;

/// A way to misbehave. Places are bytes of content, without the framing of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Closes after so many bytes of the body.
    Cut(usize),
    /// Resets after so many bytes of the body.
    Reset(usize),
    /// Ends the body after so many bytes, as HTTP has it: no error but for those who read what it says.
    End(usize),
    /// Stops after so many bytes of the body and keeps the connection.
    Stall(usize),
    /// Closes instead of an answer.
    Close,
    /// Resets instead of an answer.
    ResetBeforeHead,
    /// Never answers.
    StallBeforeHead,
    /// Sends the head and everything before the first token, then nothing more.
    StallBeforeToken,
    /// Ends the body within a character, as HTTP has it.
    HalfCharacter,
    /// Parts a write within a character; nothing is lost.
    SplitCharacter,
    /// Sends JSON that is none.
    JunkJson,
    /// Answers 200 with an error, in a stream after half of its pieces.
    ErrorIn200,
    /// Leaves out the event that ends a stream.
    NoTerminal,
}

/// An error in the words of the dialect that is not told by its status alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// The conversation does not fit the model.
    ContextWindow,
    /// The provider does not want to answer this.
    ContentPolicy,
    /// Nothing is left of what was paid for.
    Quota,
}

/// Text of an answer in tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Length {
    /// So many, or as many as the request allows if that is less.
    Tokens(u32),
    /// As many as the request allows.
    Max,
}

/// All settings of an answer.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Orders {
    pub(super) head: Option<Delay>,
    pub(super) ttft: Option<Delay>,
    /// Tokens a second; 0 sends all at once.
    pub(super) tps: f64,
    /// Each pause is drawn between 1 - jitter and 1 + jitter of its length.
    pub(super) jitter: f64,
    pub(super) answer: Option<Length>,
    pub(super) chunks: Option<u32>,
    pub(super) chunk_tokens: u32,
    pub(super) coalesce: bool,
    pub(super) tools: u32,
    pub(super) thinking: u32,
    pub(super) input: Option<u64>,
    pub(super) cached: u64,
    pub(super) cache_write: u64,
    pub(super) cache_write_1h: u64,
    pub(super) output: Option<u64>,
    pub(super) reasoning: Option<u64>,
    pub(super) over: f64,
    pub(super) usage: bool,
    pub(super) dialect: Option<Dialect>,
    /// The model that the answer names.
    pub(super) model: Option<String>,
    pub(super) status: Option<u16>,
    pub(super) error: Option<Told>,
    pub(super) retry_after: Option<Duration>,
    pub(super) fault: Option<Fault>,
}

impl Default for Orders {
    fn default() -> Self {
        Self {
            head: None,
            ttft: None,
            tps: 0.0,
            jitter: 0.0,
            answer: None,
            chunks: None,
            chunk_tokens: 4,
            coalesce: false,
            tools: 0,
            thinking: 0,
            input: None,
            cached: 0,
            cache_write: 0,
            cache_write_1h: 0,
            output: None,
            reasoning: None,
            over: 1.0,
            usage: true,
            dialect: None,
            model: None,
            status: None,
            error: None,
            retry_after: None,
            fault: None,
        }
    }
}

/// Keys and what they do, for the help.
const KEYS: &[(&str, &str)] = &[
    ("ttft=DELAY", "time to the first token: 200ms, uniform:1ms..9ms, exp:5ms, lognormal:5ms/0.8"),
    ("head=DELAY", "time to the head of the answer"),
    ("tps=N", "tokens a second after the first; 0 sends them all at once (0)"),
    ("jitter=SHARE", "each pause between tokens is drawn from 1 - SHARE to 1 + SHARE of its length (0)"),
    ("answer=N|max", "tokens of text, cut by what the request allows; max: all that it allows (32)"),
    ("chunks=N", "pieces of a streamed text; else chunk-tokens=N tokens a piece (4)"),
    ("coalesce=yes", "a stream in one write instead of one an event"),
    ("tools=N", "call the request's first tool N times; then no text unless answer is given"),
    ("thinking=N", "tokens of thinking before the text"),
    ("input=N", "usage: prompt beside the cached tokens (a quarter of the body's bytes)"),
    ("cached=N", "usage: prompt tokens that were read from a cache"),
    ("cache-write=N", "usage: prompt tokens that were written to one; cache-write-1h=N for an hour"),
    ("output=N", "usage: tokens of the answer beside reasoning (those that were sent)"),
    ("reasoning=N", "usage: tokens of reasoning (those of thinking)"),
    ("over=FACTOR", "usage: all figures times FACTOR, rounded up"),
    ("usage=no", "tell no usage; the bill counts all the same"),
    ("dialect=NAME", "the answer's dialect where the path leaves it open: openai_chat, mistral"),
    ("model=NAME", "the model that the answer names and that is billed (the one that was asked)"),
    ("status=N", "answer with this error, in the words of the dialect"),
    (
        "error=KIND",
        "context-window, content-policy or quota, with the status and in the words of the dialect",
    ),
    ("retry-after=TIME", "Retry-After, and its kin in bodies: 2s"),
    ("fault=KIND", "misbehave, see below"),
];

/// Faults and what they do, for the help.
const FAULTS: &[(&str, &str)] = &[
    ("cut@N", "close after N bytes of the body (framing of HTTP not counted)"),
    ("reset@N", "reset after N bytes of the body"),
    ("end@N", "end the body after N bytes, well-formed for HTTP"),
    ("stall@N", "stop after N bytes of the body and keep the connection"),
    ("close", "close instead of an answer"),
    ("reset", "reset instead of an answer"),
    ("stall", "never answer"),
    ("stall-before-token", "send the head and what comes before the first token, nothing more"),
    ("half-character", "end the body within a character, well-formed for HTTP"),
    ("split-character", "part a write within a character; all of it arrives"),
    ("junk-json", "send JSON that is none"),
    ("error-in-200", "200 with an error; in a stream after half of its events"),
    ("no-terminal", "leave out the event that ends a stream"),
];

/// The keys and faults as a help text.
pub(super) fn help() -> String {
    let mut help = String::from("Orders (defaults in brackets):\n");
    for (key, does) in KEYS {
        help.push_str(&format!("  {key:<18} {does}\n"));
    }
    help.push_str("\nFaults:\n");
    for (fault, does) in FAULTS {
        help.push_str(&format!("  {fault:<18} {does}\n"));
    }
    help
}

impl Orders {
    /// Changes these settings by a list of orders.
    ///
    /// # Errors
    /// A sentence about the order that makes no sense.
    pub(super) fn apply(&mut self, text: &str) -> Result<(), String> {
        for order in text.split(',').map(str::trim).filter(|order| !order.is_empty()) {
            let (key, value) = order
                .split_once('=')
                .ok_or_else(|| format!("order `{order}` must be written as key=value"))?;
            self.apply_one(key, value).map_err(|error| format!("order `{order}`: {error}"))?;
        }
        Ok(())
    }

    fn apply_one(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "head" => self.head = Some(value.parse()?),
            "ttft" => self.ttft = Some(value.parse()?),
            "tps" => self.tps = within(value, 0.0, 1e6)?,
            "jitter" => self.jitter = within(value, 0.0, 1.0)?,
            "answer" if value == "max" => self.answer = Some(Length::Max),
            "answer" => self.answer = Some(Length::Tokens(whole(value, TOKENS_MAX)?)),
            "chunks" => self.chunks = Some(whole(value, TOKENS_MAX)?.max(1)),
            "chunk-tokens" => self.chunk_tokens = whole(value, TOKENS_MAX)?.max(1),
            "coalesce" => self.coalesce = yes(value)?,
            "tools" => self.tools = whole(value, CALLS_MAX)?,
            "thinking" => self.thinking = whole(value, TOKENS_MAX)?,
            "input" => self.input = Some(count(value)?),
            "cached" => self.cached = count(value)?,
            "cache-write" => self.cache_write = count(value)?,
            "cache-write-1h" => self.cache_write_1h = count(value)?,
            "output" => self.output = Some(count(value)?),
            "reasoning" => self.reasoning = Some(count(value)?),
            "over" => self.over = within(value, 0.0, OVER_MAX)?,
            "usage" => self.usage = yes(value)?,
            "dialect" => self.dialect = Some(value.parse()?),
            "model" if value.is_empty() => return Err("a model has a name".into()),
            "model" => self.model = Some(value.to_owned()),
            "status" => {
                let status = whole(value, 599)?;
                self.status = match status {
                    200 => None,
                    400..=599 => u16::try_from(status).ok(),
                    _ => return Err("use 200 or an error from 400 to 599".into()),
                };
            }
            "error" => {
                self.error = Some(match value {
                    "context-window" => Told::ContextWindow,
                    "content-policy" => Told::ContentPolicy,
                    "quota" => Told::Quota,
                    _ => return Err("use context-window, content-policy or quota".into()),
                });
            }
            "retry-after" => self.retry_after = Some(units::duration(value)?),
            "fault" => self.fault = Some(fault(value)?),
            _ => return Err("unknown key; `penstock-bench mock-llm --help` lists them".into()),
        }
        Ok(())
    }
}

/// Reads a list of orders that stands by itself.
///
/// # Errors
/// As [`Orders::apply`].
pub(super) fn parse(text: &str) -> Result<Orders, String> {
    let mut orders = Orders::default();
    orders.apply(text).map(|()| orders)
}

/// The orders in a model's name, if it holds any.
pub(super) fn of_model(model: &str) -> Option<&str> {
    // Behind a provider's prefix, too: `openai/mock-status=429`.
    let at = model.find(MODEL_PREFIX).filter(|at| *at == 0 || model.as_bytes()[at - 1] == b'/')?;
    Some(&model[at + MODEL_PREFIX.len()..]).filter(|orders| orders.contains('='))
}

fn fault(text: &str) -> Result<Fault, String> {
    if let Some((kind, at)) = text.split_once('@') {
        let at = at.parse().map_err(|_| format!("`{at}` is not a number of bytes"))?;
        return match kind {
            "cut" => Ok(Fault::Cut(at)),
            "reset" => Ok(Fault::Reset(at)),
            "end" => Ok(Fault::End(at)),
            "stall" => Ok(Fault::Stall(at)),
            _ => Err("only cut, reset, end and stall take a place".into()),
        };
    }
    match text {
        "close" => Ok(Fault::Close),
        "reset" => Ok(Fault::ResetBeforeHead),
        "stall" => Ok(Fault::StallBeforeHead),
        "stall-before-token" => Ok(Fault::StallBeforeToken),
        "half-character" => Ok(Fault::HalfCharacter),
        "split-character" => Ok(Fault::SplitCharacter),
        "junk-json" => Ok(Fault::JunkJson),
        "error-in-200" => Ok(Fault::ErrorIn200),
        "no-terminal" => Ok(Fault::NoTerminal),
        _ => Err("unknown fault; `penstock-bench mock-llm --help` lists them".into()),
    }
}

fn whole(text: &str, max: u32) -> Result<u32, String> {
    text.parse().ok().filter(|value| *value <= max).ok_or_else(|| format!("use a number from 0 to {max}"))
}

fn count(text: &str) -> Result<u64, String> {
    text.parse()
        .ok()
        .filter(|value| *value <= COUNT_MAX)
        .ok_or_else(|| format!("use a number from 0 to {COUNT_MAX}"))
}

fn within(text: &str, min: f64, max: f64) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|value| (min..=max).contains(value))
        .ok_or_else(|| format!("use a number from {min} to {max}"))
}

fn yes(text: &str) -> Result<bool, String> {
    match text {
        "yes" | "1" => Ok(true),
        "no" | "0" => Ok(false),
        _ => Err("use yes or no".into()),
    }
}

/// Orders that meet a share of the requests.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Chance {
    pub(super) share: f64,
    pub(super) orders: String,
}

impl std::str::FromStr for Chance {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (share, orders) = text.split_once(':').ok_or("write a share and orders as 0.01:status=429")?;
        parse(orders)?;
        Ok(Self { share: within(share, 0.0, 1.0)?, orders: orders.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_orders_go_before_earlier_ones() {
        let mut orders = parse("ttft=20ms, tps=100,answer=9").unwrap();
        orders.apply("answer=max,status=503").unwrap();
        assert_eq!((orders.answer, orders.status, orders.tps), (Some(Length::Max), Some(503), 100.0));
        orders.apply("status=200").unwrap();
        assert_eq!(orders.status, None);
    }

    #[test]
    fn every_key_and_fault_of_the_help_is_read() {
        for (key, _) in KEYS {
            let (name, value) = key.split_once('=').unwrap();
            let value = match value {
                "DELAY" => "lognormal:5ms/0.8",
                "TIME" => "2s",
                "SHARE" => "0.5",
                "FACTOR" => "1.5",
                "NAME" if name == "dialect" => "mistral",
                "NAME" => "m",
                "KIND" if name == "fault" => "cut@7",
                "KIND" => "quota",
                "N" if name == "status" => "429",
                "N" | "N|max" => "5",
                other => other,
            };
            assert_ne!(parse(&format!("{name}={value}")).unwrap(), Orders::default(), "{key}");
        }
        for (name, _) in FAULTS {
            assert!(fault(&name.replace('N', "5")).is_ok(), "{name}");
        }
    }

    #[test]
    fn orders_that_make_no_sense() {
        for text in [
            "ttft",
            "ttft=5",
            "status=200x",
            "status=302",
            "jitter=2",
            "answer=-1",
            "answer=262145",
            "tools=65",
            "fault=cut",
            "fault=close@5",
            "fault=cut@x",
            "error=what",
            "usage=maybe",
            "model=",
            "explode=yes",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn models_hold_orders() {
        for (model, orders) in [
            ("mock-status=429", Some("status=429")),
            ("openai/mock-ttft=5ms,tps=9", Some("ttft=5ms,tps=9")),
            ("mock-gpt-4o", None),
            ("hammock-status=429", None),
            ("gpt-4o", None),
        ] {
            assert_eq!(of_model(model), orders, "{model}");
        }
    }

    #[test]
    fn chances() {
        let chance: Chance = "0.25:status=429,retry-after=1s".parse().unwrap();
        assert_eq!(chance, Chance { share: 0.25, orders: "status=429,retry-after=1s".into() });
        for text in ["0.5", "2:status=429", "0.5:status=9"] {
            assert!(text.parse::<Chance>().is_err(), "{text}");
        }
    }
}

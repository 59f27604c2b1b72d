//! What an answer says, before a dialect gives it its form.

use super::ask::Ask;
use super::orders::{Length, Orders};
use crate::llm::{Dialect, TOKENS_MAX, Usage, push_tokens};

/// Tokens of text when nothing was ordered.
const TEXT_TOKENS: u32 = 32;
/// Tokens of one tool call.
const CALL_TOKENS: u32 = ARGUMENTS.len() as u32;
/// Arguments of a call in the pieces in which they are streamed; the first ends in the name of a city.
const ARGUMENTS: [&str; 4] = ["{\"city\":", " \"", "\", \"unit\":", " \"C\"}"];
const CITIES: [&str; 6] = ["Paris", "Kraków", "Tokyo", "São Paulo", "Lagos", "Oslo"];
/// What stands for a provider's signature of its thinking.
pub(super) const SIGNATURE: &str = "bW9jay1zaWduYXR1cmUtb2YtdGhpbmtpbmc=";
/// Name of a tool that nobody declared.
const TOOL: &str = "get_weather";

/// Why an answer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    End,
    /// At the most tokens that the request allows.
    Length,
    Tools,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Reply<'a> {
    pub(super) dialect: Dialect,
    /// Told from all others of this mock.
    pub(super) number: u64,
    /// Told from those of mocks that ran before.
    pub(super) epoch: u64,
    pub(super) created_s: u64,
    pub(super) model: &'a str,
    /// Tokens of thinking.
    pub(super) thinking: u32,
    /// Tokens of text.
    pub(super) text: u32,
    pub(super) calls: u32,
    pub(super) tool: &'a str,
    pub(super) stop: Stop,
    /// Usage that is told; none is.
    pub(super) usage: Option<Usage>,
    /// OpenAI: whether a stream was asked to tell it.
    pub(super) include_usage: bool,
    chunks: Option<u32>,
    chunk_tokens: u32,
}

impl<'a> Reply<'a> {
    /// What is answered to an ask under these orders; `prompt_bytes` are those of the request's body.
    pub(super) fn new(
        dialect: Dialect,
        ask: &'a Ask,
        orders: &'a Orders,
        prompt_bytes: usize,
        (epoch, number, created_s): (u64, u64, u64),
    ) -> Self {
        let allowed = ask.tokens_max.map_or(u32::MAX, |max| u32::try_from(max).unwrap_or(u32::MAX));
        let wanted = match orders.answer {
            Some(Length::Tokens(tokens)) => tokens,
            Some(Length::Max) if ask.tokens_max.is_some() => allowed,
            None if orders.tools > 0 => 0,
            None | Some(Length::Max) => TEXT_TOKENS,
        };
        // Thinking counts, too; calls are never cut.
        let thinking = orders.thinking.min(allowed);
        let text = wanted.min(allowed - thinking).min(TOKENS_MAX);
        let stop = match () {
            () if orders.tools > 0 => Stop::Tools,
            () if wanted > text || orders.thinking > thinking => Stop::Length,
            () => Stop::End,
        };
        let mut reply = Self {
            dialect,
            number,
            epoch,
            created_s,
            model: orders.model.as_deref().unwrap_or(&ask.model),
            thinking,
            text,
            calls: orders.tools,
            tool: ask.tool.as_deref().unwrap_or(TOOL),
            stop,
            usage: None,
            include_usage: ask.include_usage,
            chunks: orders.chunks,
            chunk_tokens: orders.chunk_tokens,
        };
        let told = reply.used(orders, prompt_bytes, reply.tokens());
        reply.usage = orders.usage.then_some(told);
        reply
    }

    /// Tokens of the whole answer.
    pub(super) fn tokens(&self) -> u32 {
        self.thinking + self.text + self.calls * CALL_TOKENS
    }

    /// What is billed when so many tokens of the answer are out. Thinking comes first.
    pub(super) fn used(&self, orders: &Orders, prompt_bytes: usize, tokens: u32) -> Usage {
        // Four bytes a token is how providers explain a token to people.
        let input = orders.input.unwrap_or_else(|| (prompt_bytes as u64).div_ceil(4));
        let part = |figure: Option<u64>, out: u32, all: u32| match figure {
            None => u64::from(out),
            Some(figure) if all == 0 => figure,
            Some(figure) => (figure * u64::from(out)).div_ceil(u64::from(all)),
        };
        let thought = tokens.min(self.thinking);
        let usage = Usage {
            input,
            cached_read: orders.cached,
            cache_write: orders.cache_write,
            cache_write_1h: orders.cache_write_1h,
            output: part(orders.output, tokens - thought, self.tokens() - self.thinking),
            reasoning: part(orders.reasoning, thought, self.thinking),
        };
        usage.times(orders.over).as_told_by(self.dialect)
    }

    /// An id that no other answer has.
    pub(super) fn id(&self) -> String {
        format!("{:x}{:08x}", self.epoch, self.number)
    }

    /// The id of a call, of the nine letters and digits that Mistral wants, which all others take.
    pub(super) fn call_id(&self, call: u32) -> String {
        const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
        // The epoch steps with time, the rest with each call; what overflows nine digits does not matter to a test.
        let mut left = self.epoch.wrapping_mul(31).wrapping_add(self.number * 64 + u64::from(call));
        let digits: Vec<u8> = (0..9)
            .map(|_| {
                let digit = DIGITS[(left % 36) as usize];
                left /= 36;
                digit
            })
            .collect();
        String::from_utf8_lossy(&digits).into_owned()
    }

    /// The arguments of a call in pieces of a token each.
    pub(super) fn arguments(&self, call: u32) -> [String; CALL_TOKENS as usize] {
        let city = CITIES[call as usize % CITIES.len()];
        std::array::from_fn(|piece| match piece {
            1 => format!("{}{city}", ARGUMENTS[1]),
            _ => ARGUMENTS[piece].to_owned(),
        })
    }

    /// The text of thinking.
    pub(super) fn thoughts(&self) -> String {
        crate::llm::text(self.thinking)
    }

    /// The text.
    pub(super) fn words(&self) -> String {
        crate::llm::text(self.text)
    }

    /// The ranges of tokens in which thinking is streamed.
    pub(super) fn thinking_chunks(&self) -> impl Iterator<Item = (u32, u32)> + use<> {
        ranges(self.thinking, self.thinking.div_ceil(self.chunk_tokens))
    }

    /// The ranges of tokens in which text is streamed.
    pub(super) fn text_chunks(&self) -> impl Iterator<Item = (u32, u32)> + use<> {
        ranges(self.text, self.chunks.unwrap_or_else(|| self.text.div_ceil(self.chunk_tokens)))
    }
}

/// Parts `tokens` into at most `chunks` ranges of nearly equal length.
fn ranges(tokens: u32, chunks: u32) -> impl Iterator<Item = (u32, u32)> {
    let chunks = chunks.min(tokens);
    let at = move |chunk: u32| (u64::from(tokens) * u64::from(chunk) / u64::from(chunks.max(1))) as u32;
    (0..chunks).map(move |chunk| (at(chunk), at(chunk + 1)))
}

/// Appends tokens of the text to a draft's content.
pub(super) fn push_words(content: &mut Vec<u8>, (from, to): (u32, u32)) {
    push_tokens(content, from, to);
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::orders::parse;
    use super::*;

    pub(in super::super) fn ask(tokens_max: Option<u64>) -> Ask {
        Ask { model: "m".into(), stream: true, include_usage: true, tokens_max, tool: Some("f".into()) }
    }

    fn reply(orders: &str, tokens_max: Option<u64>) -> (u32, u32, Stop) {
        let ask = ask(tokens_max);
        let orders = parse(orders).unwrap();
        let reply = Reply::new(Dialect::OpenAiChat, &ask, &orders, 40, (1, 2, 3));
        (reply.thinking, reply.text, reply.stop)
    }

    #[test]
    fn lengths_and_why_they_end() {
        for (orders, tokens_max, expected) in [
            ("", None, (0, 32, Stop::End)),
            ("answer=10", Some(10), (0, 10, Stop::End)),
            ("answer=10", Some(9), (0, 9, Stop::Length)),
            ("answer=max", Some(50), (0, 50, Stop::End)),
            ("answer=max", None, (0, 32, Stop::End)),
            ("thinking=20,answer=10", Some(25), (20, 5, Stop::Length)),
            ("thinking=20,answer=10", Some(15), (15, 0, Stop::Length)),
            ("tools=2", None, (0, 0, Stop::Tools)),
            ("tools=2,answer=3", None, (0, 3, Stop::Tools)),
        ] {
            assert_eq!(reply(orders, tokens_max), expected, "{orders} {tokens_max:?}");
        }
    }

    #[test]
    fn usage_follows_the_answer_or_the_figures() {
        let ask = ask(None);
        let used = |orders: &str, tokens| {
            let orders = parse(orders).unwrap();
            Reply::new(Dialect::OpenAiChat, &ask, &orders, 41, (1, 2, 3)).used(&orders, 41, tokens)
        };
        let none = Usage::default();
        for (orders, tokens, expected) in [
            ("answer=10", 10, Usage { input: 11, output: 10, ..none }),
            ("answer=10,thinking=4", 3, Usage { input: 11, reasoning: 3, ..none }),
            ("answer=10,thinking=4", 9, Usage { input: 11, output: 5, reasoning: 4, ..none }),
            ("answer=10,output=1000", 5, Usage { input: 11, output: 500, ..none }),
            (
                "answer=10,output=1000,reasoning=70",
                10,
                Usage { input: 11, output: 1000, reasoning: 70, ..none },
            ),
            ("answer=3,input=5,cached=7,over=1.5", 3, Usage { input: 8, cached_read: 11, output: 5, ..none }),
        ] {
            assert_eq!(used(orders, tokens), expected, "{orders}");
        }
    }

    #[test]
    fn chunks_cover_the_text() {
        for (tokens, chunks, lengths) in
            [(10, 3, vec![3, 3, 4]), (8, 8, vec![1; 8]), (3, 8, vec![1; 3]), (0, 4, vec![])]
        {
            let ranges: Vec<_> = ranges(tokens, chunks).collect();
            assert_eq!(ranges.iter().map(|(from, to)| to - from).collect::<Vec<_>>(), lengths);
            assert!(ranges.windows(2).all(|pair| pair[0].1 == pair[1].0));
            assert_eq!(ranges.last().map_or(0, |last| last.1), tokens);
        }
    }

    #[test]
    fn arguments_are_json_and_ids_differ() {
        let ask = ask(None);
        let orders = parse("tools=2").unwrap();
        let reply = Reply::new(Dialect::Mistral, &ask, &orders, 40, (77, 2, 3));
        for call in 0..8 {
            let value: serde_json::Value = serde_json::from_str(&reply.arguments(call).concat()).unwrap();
            assert!(value["city"].is_string() && value["unit"] == "C");
            assert!(reply.call_id(call).len() == 9 && reply.call_id(call) != reply.call_id(call + 1));
        }
    }
}

//! Anthropic's Messages (<https://docs.claude.com/en/api/messages>).

mod answer;
mod request;
mod stream;
mod write;

pub use answer::{read_answer, write_answer};
pub use request::read_request;
pub use stream::{BLOCKS_MAX, StreamReader, StreamWriter, WAITING_BYTES_MAX};
pub use write::{CACHE_MARKS_MAX, THINKING_TOKENS_MIN, write_request};

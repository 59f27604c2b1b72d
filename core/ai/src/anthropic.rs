//! Anthropic's Messages (<https://docs.claude.com/en/api/messages>).

mod answer;
mod request;
mod write;

pub use answer::{read_answer, write_answer};
pub use request::read_request;
pub use write::{CACHE_MARKS_MAX, THINKING_TOKENS_MIN, write_request};

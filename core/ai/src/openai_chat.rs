//! OpenAI's Chat Completions (<https://platform.openai.com/docs/api-reference/chat>), as OpenAI has it and as the many who
//! are compatible with it take it.

mod answer;
mod request;

pub use answer::{read_answer, write_answer};
pub use request::{read_request, write_request};

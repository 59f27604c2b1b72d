//! OpenAI's Chat Completions (<https://platform.openai.com/docs/api-reference/chat>), as OpenAI has it and as the many who
//! are compatible with it take it.

mod request;

pub use request::{read_request, write_request};

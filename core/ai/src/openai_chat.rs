//! OpenAI's Chat Completions (<https://platform.openai.com/docs/api-reference/chat>), as OpenAI has it and as the many who
//! are compatible with it take it; and what Mistral's dialect has of it.

pub(crate) mod answer;
pub(crate) mod request;
pub(crate) mod stream;
mod words;
pub(crate) mod write;

pub use answer::{read_answer, write_answer};
pub use request::read_request;
pub use stream::{CALLS_MAX, CHOICES_MAX, DONE, StreamReader, StreamWriter};
pub use words::Words;
pub use write::{write_request, write_request_for};

//! OpenAI's Chat Completions (<https://platform.openai.com/docs/api-reference/chat>), as OpenAI has it and as the many who
//! are compatible with it take it.

mod answer;
mod request;
mod stream;

pub use answer::{read_answer, write_answer};
pub use request::{read_request, write_request};
pub use stream::{CALLS_MAX, CHOICES_MAX, DONE, StreamReader, StreamWriter};

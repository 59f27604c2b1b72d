//! OpenAI's Responses (<https://platform.openai.com/docs/api-reference/responses>).

mod answer;
pub(crate) mod chat;
mod request;
mod stream;
mod write;

pub(crate) use answer::is_no_loss;
pub use answer::{Echo, read_answer, write_answer, write_answer_to};
pub use request::read_request;
pub use stream::{ITEMS_MAX, PARTS_MAX, StreamReader, StreamWriter, WHOLE_BYTES_MAX};
pub use write::write_request;

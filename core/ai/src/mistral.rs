//! Mistral's chat completions (<https://docs.mistral.ai/api/#tag/chat>): Chat's, with content in parts, thoughts among
//! them, ids of nine letters and digits, and some words of its own. What is the same is read and written by
//! [`crate::openai_chat`].

mod answer;
mod request;
mod stream;

pub use answer::{read_answer, write_answer};
pub use request::{read_request, write_request};
pub use stream::{StreamReader, StreamWriter};

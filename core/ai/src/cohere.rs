//! Cohere's Chat, version 2 (<https://docs.cohere.com/reference/chat>).
//!
//! What a model says before it calls functions (`tool_plan`) is text here, as it is what other models say in that place:
//! "I will look that up". What it thinks has a block of its own.

mod answer;
mod request;
mod stream;
mod write;

pub use answer::{read_answer, write_answer};
pub use request::read_request;
pub use stream::{BLOCKS_MAX, StreamReader, StreamWriter};
pub use write::write_request;

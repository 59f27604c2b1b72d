//! Amazon Bedrock's Converse and ConverseStream
//! (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html>).
//!
//! The model and whether a stream is wanted stand in the path, not in the document. A stream is one of frames
//! ([`crate::event_stream`]), whose headers say of which type an event is.

mod answer;
mod format;
mod model;
mod request;
mod stream;
mod write;

pub use answer::{read_answer, write_answer};
pub use model::{BETAS, allowed_betas};
pub use request::read_request;
pub use stream::{BLOCKS_MAX, StreamReader, StreamWriter};
pub use write::{CACHE_POINTS_MAX, THINKING_TOKENS_MIN, write_request};

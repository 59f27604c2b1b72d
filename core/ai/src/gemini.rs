//! Google's generateContent and streamGenerateContent (<https://ai.google.dev/api/generate-content>).
//!
//! The model and whether a stream is wanted stand in the path, not in the document.

mod answer;
mod array;
mod names;
mod request;
mod schema;
mod stream;
mod write;

pub use answer::{read_answer, write_answer};
pub use array::{ArrayError, ArrayReader, ArrayStep, ArrayWriter, ELEMENT_BYTES_MAX};
pub use request::read_request;
pub use stream::{CHOICES_MAX, PARTS_MAX, StreamReader, StreamWriter, WAITING_BYTES_MAX};
pub use write::{STOPS_MAX, write_request};

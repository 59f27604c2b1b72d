//! Streams: events of the dialect to events of the form, and back.

mod read;
mod write;

pub use read::{ITEMS_MAX, PARTS_MAX, StreamReader};
pub use write::{StreamWriter, WHOLE_BYTES_MAX};

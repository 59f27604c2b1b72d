//! Streams: chunks of the dialect to events of the form, and back.

use crate::dialect::Dialect;
use crate::form::{Event, Losses, Malformed};
use crate::openai_chat::stream;

/// Reads a stream, an event's data at a time.
#[derive(Debug)]
pub struct StreamReader(stream::StreamReader);

impl Default for StreamReader {
    fn default() -> Self {
        Self(stream::StreamReader::of(Dialect::Mistral))
    }
}

impl StreamReader {
    /// Reads the data of an event; what happens by it goes to `events`.
    ///
    /// # Errors
    /// The data are not of this dialect, and where.
    pub fn read<'a>(&mut self, data: &'a [u8], events: &mut Vec<Event<'a>>) -> Result<(), Malformed> {
        self.0.read(data, events)
    }
}

/// Writes a stream, an event of the form at a time.
#[derive(Debug)]
pub struct StreamWriter(stream::StreamWriter);

impl StreamWriter {
    /// A writer of an answer that names `model`.
    pub fn new(model: &str) -> Self {
        Self(stream::StreamWriter::of(Dialect::Mistral, model, true))
    }

    /// Of a stream that was read from `from`, whose words its probabilities are in.
    pub fn reading(self, from: Dialect) -> Self {
        Self(self.0.reading(from))
    }

    /// What the dialect had no word for so far.
    pub fn losses(&self) -> &Losses {
        self.0.losses()
    }

    /// Writes the data of the events that stand for this one, each by `write`.
    pub fn write(&mut self, event: &Event<'_>, write: impl FnMut(&[u8])) {
        self.0.write(event, write);
    }
}

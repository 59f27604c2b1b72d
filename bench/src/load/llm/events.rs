//! Parts a stream into its events: lines of `text/event-stream` (WHATWG HTML, section 9.2) as providers write them, or
//! AWS's frames. Stricter than a browser: a line that is no field, or an end within an event, is an error.

use crate::llm::frames;

/// Longest event.
const EVENT_BYTES_MAX: usize = 16 << 20;

/// Why a stream is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// One event: its name (empty if it has none), whether it is an exception, and its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Event<'a> {
    pub(super) name: &'a str,
    pub(super) exception: bool,
    pub(super) data: &'a [u8],
}

/// Reads lines of events from pieces that are cut anywhere.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// A line whose end has not come.
    held: Vec<u8>,
    name: String,
    data: Vec<u8>,
    /// The event that is being read has a field.
    begun: bool,
    /// It has data.
    has_data: bool,
}

impl Lines {
    /// Forgets a stream.
    pub(super) fn reset(&mut self) {
        self.held.clear();
        self.next();
    }

    /// Reads a piece and hands on every event that it ends.
    pub(super) fn take(
        &mut self,
        mut piece: &[u8],
        each: &mut impl FnMut(Event<'_>) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        while let Some(end) = piece.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = piece.split_at(end);
            piece = &rest[1..];
            if self.held.is_empty() {
                self.line(line, each)?;
            } else {
                let mut whole = std::mem::take(&mut self.held);
                whole.extend_from_slice(line);
                self.line(&whole, each)?;
                whole.clear();
                self.held = whole;
            }
        }
        self.held.extend_from_slice(piece);
        if self.held.len() + self.data.len() > EVENT_BYTES_MAX { Err(Malformed) } else { Ok(()) }
    }

    /// Whether the stream may end here.
    pub(super) fn is_between_events(&self) -> bool {
        self.held.is_empty() && !self.begun
    }

    fn line(
        &mut self,
        line: &[u8],
        each: &mut impl FnMut(Event<'_>) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            if self.has_data {
                each(Event { name: &self.name, exception: false, data: &self.data })?;
            }
            self.next();
            return Ok(());
        }
        if line[0] == b':' {
            return Ok(());
        }
        self.begun = true;
        let colon = line.iter().position(|byte| *byte == b':').ok_or(Malformed)?;
        let (field, value) = (&line[..colon], &line[colon + 1..]);
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"data" => {
                if self.has_data {
                    self.data.push(b'\n');
                }
                self.has_data = true;
                self.data.extend_from_slice(value);
            }
            b"event" => {
                self.name.clear();
                self.name.push_str(std::str::from_utf8(value).map_err(|_| Malformed)?);
            }
            b"id" | b"retry" => {}
            _ => return Err(Malformed),
        }
        Ok(())
    }

    fn next(&mut self) {
        self.name.clear();
        self.data.clear();
        (self.begun, self.has_data) = (false, false);
    }
}

/// Reads frames from pieces that are cut anywhere.
#[derive(Debug, Default)]
pub(super) struct Frames(Vec<u8>);

impl Frames {
    /// Forgets a stream.
    pub(super) fn reset(&mut self) {
        self.0.clear();
    }

    /// Reads a piece and hands on every frame that it ends.
    pub(super) fn take(
        &mut self,
        piece: &[u8],
        each: &mut impl FnMut(Event<'_>) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        self.0.extend_from_slice(piece);
        let mut at = 0;
        while let Some((length, frame)) = frames::read(&self.0[at..]).map_err(|_| Malformed)? {
            let exception = frame.message_type != "event";
            each(Event { name: frame.kind, exception, data: frame.payload })?;
            at += length;
        }
        self.0.drain(..at);
        Ok(())
    }

    /// Whether the stream may end here.
    pub(super) fn is_between_events(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], step: usize) -> Result<(Vec<(String, String)>, bool), Malformed> {
        let (mut lines, mut events) = (Lines::default(), Vec::new());
        for piece in bytes.chunks(step) {
            lines.take(piece, &mut |event| {
                events.push((event.name.to_owned(), String::from_utf8_lossy(event.data).into_owned()));
                Ok(())
            })?;
        }
        Ok((events, lines.is_between_events()))
    }

    #[test]
    fn events_from_any_cut() {
        let stream = b": hi\n\ndata: {\"a\":1}\n\nevent: x\r\ndata:b\r\ndata: c\r\nid: 7\r\n\r\nevent: none\n\ndata: [DONE]\n\n";
        let expected = [("", "{\"a\":1}"), ("x", "b\nc"), ("", "[DONE]")];
        let expected: Vec<_> = expected.map(|(name, data)| (name.to_owned(), data.to_owned())).to_vec();
        for step in 1..=stream.len() {
            assert_eq!(read(stream, step).unwrap(), (expected.clone(), true), "{step}");
        }
    }

    #[test]
    fn ends_within_an_event_and_lines_that_are_none() {
        for stream in ["data: a\n\nd", "data: a\n\ndata: b\n", "data: a\n\ndata: b", "event: x\n"] {
            assert!(!read(stream.as_bytes(), 3).unwrap().1, "{stream:?}");
        }
        for stream in ["{\"error\":1}\n", "dta: x\n", "junk\n"] {
            assert_eq!(read(stream.as_bytes(), 2), Err(Malformed), "{stream:?}");
        }
    }
}

//! The stream as a JSON array, which Google sends where nobody asks for server-sent events by `alt=sse`: an element as soon
//! as there is one.

/// Bytes that an element may have; those of an event of a stream of the other form.
pub const ELEMENT_BYTES_MAX: usize = crate::sse::EVENT_BYTES_MAX;

/// Why an array cannot be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ArrayError {
    /// Between the elements stands something that belongs into no array of objects.
    #[error("byte {0:#04x} stands between the elements of the array")]
    Between(u8),
    /// An element is longer than [`ELEMENT_BYTES_MAX`].
    #[error("an element of the array is longer than {ELEMENT_BYTES_MAX} bytes")]
    Long,
}

/// What [`ArrayReader::step`] took from its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArrayStep<'a> {
    /// So many bytes from the start of the input are done with; all of them when there is no element.
    pub len: usize,
    /// The element that they completed; `None` when more bytes are needed.
    pub element: Option<&'a [u8]>,
}

/// Reads one array of objects from pieces that are cut anywhere, an element at a time. An object that stands alone, as an
/// error does, is an element too.
///
/// Call [`ArrayReader::step`] with a piece, then with what it left of the piece, until it has taken all of it.
#[derive(Debug, Default)]
pub struct ArrayReader {
    /// The bytes of the element that came in earlier pieces.
    held: Vec<u8>,
    /// The bytes in `held` were given out and go before the next byte is read.
    is_given: bool,
    depth: u32,
    in_string: bool,
    is_escaped: bool,
}

impl ArrayReader {
    /// Whether the stream may end here: no element has begun.
    pub fn is_between(&self) -> bool {
        self.depth == 0
    }

    /// Reads the next element from the start of the input. Call it again with the rest.
    ///
    /// # Errors
    /// [`ArrayError`], as soon as the bytes show it; the stream cannot be read on.
    pub fn step<'a>(&'a mut self, input: &'a [u8]) -> Result<ArrayStep<'a>, ArrayError> {
        if std::mem::take(&mut self.is_given) {
            self.held.clear();
        }
        let mut start = 0;
        if self.depth == 0 {
            let is_between = |byte: &u8| matches!(byte, b'[' | b',' | b']' | b' ' | b'\t' | b'\r' | b'\n');
            start = input.iter().take_while(|byte| is_between(byte)).count();
            match input.get(start) {
                None => return Ok(ArrayStep { len: input.len(), element: None }),
                Some(b'{') => {}
                Some(other) => return Err(ArrayError::Between(*other)),
            }
        }
        let end = self.end_of(&input[start..]).map(|len| start + len);
        let piece = &input[start..end.unwrap_or(input.len())];
        if self.held.len() + piece.len() > ELEMENT_BYTES_MAX {
            return Err(ArrayError::Long);
        }
        match end {
            Some(len) if self.held.is_empty() => Ok(ArrayStep { len, element: Some(piece) }),
            Some(len) => {
                self.held.extend_from_slice(piece);
                self.is_given = true;
                Ok(ArrayStep { len, element: Some(&self.held) })
            }
            None => {
                self.held.extend_from_slice(piece);
                Ok(ArrayStep { len: input.len(), element: None })
            }
        }
    }

    /// Where the element ends that has begun or begins here, if it does.
    fn end_of(&mut self, piece: &[u8]) -> Option<usize> {
        for (at, byte) in piece.iter().enumerate() {
            match byte {
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' if self.in_string => self.is_escaped = true,
                b'"' => self.in_string = !self.in_string,
                _ if self.in_string => {}
                b'{' | b'[' => self.depth = self.depth.saturating_add(1),
                b'}' | b']' => {
                    self.depth -= 1; // it is 1 at least: outside of an element nothing is read
                    if self.depth == 0 {
                        return Some(at + 1);
                    }
                }
                _ => {}
            }
        }
        None
    }
}

/// Writes an array, an element at a time.
#[derive(Debug, Default)]
pub struct ArrayWriter {
    is_begun: bool,
}

impl ArrayWriter {
    /// Appends an element.
    pub fn element(&mut self, out: &mut Vec<u8>, element: &[u8]) {
        out.extend_from_slice(if std::mem::replace(&mut self.is_begun, true) { b",\n" } else { b"[" });
        out.extend_from_slice(element);
    }

    /// Appends the end of the array.
    pub fn end(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(if self.is_begun { b"]" } else { b"[]" });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], ends: impl Iterator<Item = usize>) -> Result<Vec<String>, ArrayError> {
        let mut reader = ArrayReader::default();
        let (mut elements, mut at) = (Vec::new(), 0);
        for end in ends {
            while at < end {
                let step = reader.step(&bytes[at..end])?;
                at += step.len;
                elements.extend(step.element.map(|bytes| String::from_utf8_lossy(bytes).into_owned()));
            }
        }
        assert!(reader.is_between());
        Ok(elements)
    }

    #[test]
    fn elements_are_found_however_the_array_is_cut() {
        let text = br#"[{"a":"}\"]\\"}
,
{"b":[{},[]]},{}]
"#;
        let expected = [r#"{"a":"}\"]\\"}"#, r#"{"b":[{},[]]}"#, "{}"];
        assert_eq!(read(text, [text.len()].into_iter()).unwrap(), expected);
        assert_eq!(read(text, 1..=text.len()).unwrap(), expected);
        for cut in 1..text.len() {
            assert_eq!(read(text, [cut, text.len()].into_iter()).unwrap(), expected, "cut at {cut}");
        }
        let error = br#"{"error":{"code":503}}"#;
        assert_eq!(read(error, [error.len()].into_iter()).unwrap(), [r#"{"error":{"code":503}}"#]);
        let mut reader = ArrayReader::default();
        reader.step(b"[{").unwrap();
        assert!(!reader.is_between());
    }

    #[test]
    fn what_is_no_array_of_objects_is_told_and_what_is_held_is_bounded() {
        assert_eq!(read(b"[7]", [3].into_iter()), Err(ArrayError::Between(b'7')));
        let mut reader = ArrayReader::default();
        reader.step(b"[{\"a\":\"").unwrap();
        let held = 6;
        assert!(reader.step(&vec![b'x'; ELEMENT_BYTES_MAX - held]).is_ok());
        assert_eq!(reader.step(b"x"), Err(ArrayError::Long));
    }

    #[test]
    fn what_is_written_reads_back() {
        let mut out = Vec::new();
        let mut writer = ArrayWriter::default();
        writer.element(&mut out, br#"{"a":1}"#);
        writer.element(&mut out, b"{}");
        writer.end(&mut out);
        assert_eq!(read(&out, [out.len()].into_iter()).unwrap(), [r#"{"a":1}"#, "{}"]);
        let mut empty = Vec::new();
        ArrayWriter::default().end(&mut empty);
        assert_eq!(empty, b"[]");
    }
}

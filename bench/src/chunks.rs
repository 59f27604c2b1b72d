//! Scans a chunked body (RFC 9112 section 7.1) as it streams by: extensions and trailers are passed over, content
//! is handed on in pieces, nothing is kept. Bytes in, progress out.

/// Longest line (size with extensions, or one trailer field) that is accepted.
pub(crate) const LINE_BYTES_MAX: usize = 8 * 1024;

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    SizeLine,
    Content(u64),
    ContentEnd,
    Trailer,
    Ended,
}

/// What one call found.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Bytes that the caller may drop from the front of the buffer.
    pub(crate) consumed: usize,
    /// Bytes of content among them.
    pub(crate) content: u64,
    /// Whether the last chunk and the trailers have been seen.
    pub(crate) ended: bool,
}

/// Position within a chunked body.
#[derive(Debug, Default)]
pub(crate) struct ChunkScanner {
    state: State,
}

impl ChunkScanner {
    /// Scans what is there. The caller drops `consumed` bytes and calls again with more.
    ///
    /// # Errors
    /// A sentence if the bytes are not a chunked body.
    pub(crate) fn scan(
        &mut self,
        bytes: &[u8],
        piece: &mut impl FnMut(&[u8]),
    ) -> Result<Progress, &'static str> {
        let mut progress = Progress::default();
        loop {
            let rest = &bytes[progress.consumed..];
            match self.state {
                State::SizeLine => {
                    let Some(line) = line(rest)? else { return Ok(progress) };
                    let size = chunk_size(line)?;
                    self.state = if size == 0 { State::Trailer } else { State::Content(size) };
                    progress.consumed += line.len() + 2;
                }
                State::Content(left) => {
                    let take = rest.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    if take == 0 {
                        return Ok(progress);
                    }
                    piece(&rest[..take]);
                    progress.consumed += take;
                    progress.content += take as u64;
                    let left = left - take as u64;
                    self.state = if left == 0 { State::ContentEnd } else { State::Content(left) };
                }
                State::ContentEnd => {
                    if rest.len() < 2 {
                        return Ok(progress);
                    }
                    if &rest[..2] != b"\r\n" {
                        return Err("a chunk is longer than its size");
                    }
                    progress.consumed += 2;
                    self.state = State::SizeLine;
                }
                State::Trailer => {
                    let Some(line) = line(rest)? else { return Ok(progress) };
                    progress.consumed += line.len() + 2;
                    if line.is_empty() {
                        self.state = State::Ended;
                    }
                }
                State::Ended => {
                    progress.ended = true;
                    return Ok(progress);
                }
            }
        }
    }
}

fn line(bytes: &[u8]) -> Result<Option<&[u8]>, &'static str> {
    match bytes.windows(2).take(LINE_BYTES_MAX).position(|pair| pair == b"\r\n") {
        Some(end) => Ok(Some(&bytes[..end])),
        None if bytes.len() > LINE_BYTES_MAX => Err("a chunk line or trailer is too long"),
        None => Ok(None),
    }
}

fn chunk_size(line: &[u8]) -> Result<u64, &'static str> {
    const DIGITS_MAX: usize = 15;
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    if digits == 0 || digits > DIGITS_MAX {
        return Err("a chunk size is not a hexadecimal number");
    }
    match line.get(digits) {
        None | Some(b';' | b' ' | b'\t') => {}
        Some(_) => return Err("junk behind a chunk size"),
    }
    std::str::from_utf8(&line[..digits])
        .ok()
        .and_then(|text| u64::from_str_radix(text, 16).ok())
        .ok_or("a chunk size is not a hexadecimal number")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `bytes` in steps of `step`; returns content, bytes left over, or the error.
    fn run(bytes: &[u8], step: usize) -> Result<(Vec<u8>, usize, bool), &'static str> {
        let (mut scanner, mut content, mut pending, mut fed) =
            (ChunkScanner::default(), Vec::new(), Vec::new(), 0);
        loop {
            let progress = scanner.scan(&pending, &mut |piece: &[u8]| content.extend_from_slice(piece))?;
            pending.drain(..progress.consumed);
            if progress.ended || fed == bytes.len() {
                return Ok((content, pending.len() + bytes.len() - fed, progress.ended));
            }
            let next = (fed + step).min(bytes.len());
            pending.extend_from_slice(&bytes[fed..next]);
            fed = next;
        }
    }

    #[test]
    fn bodies_in_steps_of_every_size() {
        let body = b"5;ext=\"a\"\r\nhello\r\nA\r\n0123456789\r\n0\r\nx-sum: 1\r\ny: 2\r\n\r\nNEXT";
        for step in 1..=body.len() {
            assert_eq!(run(body, step).unwrap(), (b"hello0123456789".to_vec(), 4, true), "step {step}");
        }
    }

    #[test]
    fn bodies_that_are_none() {
        for body in
            [&b"x\r\n"[..], b"5junk\r\nhello\r\n", b"5\r\nhelloo\r\n", b"\r\n", b"1234567890abcdef0\r\n"]
        {
            assert!(run(body, 3).is_err(), "{}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn a_body_that_stops_early_has_not_ended() {
        assert_eq!(run(b"5\r\nhel", 2).unwrap(), (b"hel".to_vec(), 0, false));
    }

    #[test]
    fn lines_have_a_bound() {
        let line =
            |length: usize| [b"1;".to_vec(), vec![b'e'; length - 2], b"\r\nx\r\n0\r\n\r\n".to_vec()].concat();
        assert!(run(&line(LINE_BYTES_MAX - 1), 64).is_ok());
        assert!(run(&line(LINE_BYTES_MAX + 1), 64).is_err());
    }
}

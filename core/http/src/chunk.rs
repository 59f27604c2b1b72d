//! The chunked transfer coding (RFC 9112 section 7.1): reading it strictly, and writing it.
//!
//! Knows sizes, line ends and bounds. The trailer section is collected here and judged in `trailer`.

use crate::body::{Kind, Step};
use crate::code::Code;
use crate::scan::{Refusal, refuse};
use crate::trailer::Trailers;

/// Hex digits of a chunk size.
pub const CHUNK_SIZE_DIGITS_MAX: usize = 16;
/// Bytes of the extensions of one chunk, from the first semicolon on.
pub const CHUNK_EXTENSION_BYTES_MAX: usize = 256;
/// Bytes of all chunk extensions of one body; a body of tiny chunks with large extensions is an attack.
pub const CHUNK_EXTENSIONS_BYTES_MAX: usize = 16 * 1024;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Size,
    Extension,
    SizeCr,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// At the start of a line of the trailer section, which may be the empty one.
    TrailerStart,
    TrailerLine,
    /// All trailer lines are in; the fields to relay are told before the empty line is.
    TrailersReady,
    FinalCr,
    FinalLf,
    Done,
}

/// Reads a chunked body.
///
/// Strict: hex digits only, CRLF only, no white space after the size, a bound on everything. Data costs nothing per
/// byte. Reuse it with [`ChunkScanner::reset`]; it allocates only when a trailer section comes.
#[derive(Clone, Debug, Default)]
pub struct ChunkScanner {
    state: State,
    /// The size being read, then the data of the chunk that has not come yet.
    remaining: u64,
    digits: usize,
    extension_bytes: usize,
    extensions_bytes: usize,
    announced: u64,
    trailers: Option<Box<Trailers>>,
}

impl ChunkScanner {
    /// A scanner at the start of a body.
    pub fn new() -> ChunkScanner {
        ChunkScanner::default()
    }

    /// Begins a new body and keeps the memory.
    pub fn reset(&mut self) {
        let mut trailers = self.trailers.take();
        if let Some(trailers) = &mut trailers {
            trailers.clear();
        }
        *self = ChunkScanner { trailers, ..ChunkScanner::default() };
    }

    /// Whether the body is complete.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Content bytes that the chunk sizes announced so far, for a limit on the body that need not wait for the bytes.
    pub fn announced(&self) -> u64 {
        self.announced
    }

    /// The trailer fields that may be relayed, once a [`Kind::Trailers`] step has come.
    pub fn trailers(&self) -> Option<&Trailers> {
        self.trailers.as_deref().filter(|trailers| trailers.has_relayed())
    }

    /// Reads the next bytes of one kind from the start of the input. Call it again with the rest.
    ///
    /// # Errors
    /// [`Code::BadChunk`] or [`Code::BadTrailer`]; the body cannot be read on and both connections must be closed.
    pub fn step(&mut self, input: &[u8]) -> Result<Step, Refusal> {
        match self.state {
            State::Done => Ok(Step { len: 0, kind: Kind::End }),
            State::TrailersReady => {
                self.state = State::FinalCr;
                Ok(Step { len: 0, kind: Kind::Trailers })
            }
            _ if input.is_empty() => Ok(Step { len: 0, kind: Kind::NeedMore }),
            State::Data => {
                let len = usize::try_from(self.remaining).unwrap_or(usize::MAX).min(input.len());
                self.remaining -= len as u64;
                if self.remaining == 0 {
                    self.state = State::DataCr;
                }
                Ok(Step { len, kind: Kind::Data })
            }
            State::Extension => self.extension(input),
            State::TrailerLine => self.trailer_line(input),
            _ => match self.framing(input)? {
                // the first byte was found to begin another kind
                0 => self.step(input),
                len => Ok(Step { len, kind: Kind::Framing }),
            },
        }
    }

    /// Counts the framing bytes up to where another kind begins.
    fn framing(&mut self, input: &[u8]) -> Result<usize, Refusal> {
        for (at, &b) in input.iter().enumerate() {
            match (self.state, b) {
                (State::Size, b'\r') if self.digits > 0 => self.state = State::SizeLf,
                (State::Size, b';') if self.digits > 0 => {
                    self.state = State::Extension;
                    return Ok(at);
                }
                (State::Size, _) => self.size_digit(b, at)?,
                (State::SizeCr, b'\r') => self.state = State::SizeLf,
                (State::SizeLf, b'\n') => {
                    self.begin_chunk(at)?;
                    if self.state == State::Data {
                        return Ok(at + 1);
                    }
                }
                (State::DataCr, b'\r') => self.state = State::DataLf,
                (State::DataLf, b'\n') => self.state = State::Size,
                (State::TrailerStart, b'\r') if self.trailers_end()? => return Ok(at),
                (State::TrailerStart, b'\r') => self.state = State::FinalLf,
                (State::TrailerStart, _) => {
                    self.state = State::TrailerLine;
                    return Ok(at);
                }
                (State::FinalCr, b'\r') => self.state = State::FinalLf,
                (State::FinalLf, b'\n') => {
                    self.state = State::Done;
                    return Ok(at + 1);
                }
                (State::DataCr, _) => {
                    return refuse(Code::BadChunk, "chunk data is longer than its size", at);
                }
                _ => return refuse(Code::BadChunk, "a line of the chunked body does not end in CRLF", at),
            }
        }
        Ok(input.len())
    }

    fn size_digit(&mut self, b: u8, at: usize) -> Result<(), Refusal> {
        let digit = match b {
            b'0'..=b'9' => b - b'0',
            b'a'..=b'f' => b - b'a' + 10,
            b'A'..=b'F' => b - b'A' + 10,
            _ => return refuse(Code::BadChunk, "a chunk size is not a hex number", at),
        };
        if self.digits == CHUNK_SIZE_DIGITS_MAX {
            return refuse(Code::BadChunk, "a chunk size has too many digits", at);
        }
        self.digits += 1;
        self.remaining = self.remaining << 4 | u64::from(digit);
        Ok(())
    }

    fn begin_chunk(&mut self, at: usize) -> Result<(), Refusal> {
        self.digits = 0;
        self.extension_bytes = 0;
        match self.announced.checked_add(self.remaining) {
            Some(announced) => self.announced = announced,
            None => return refuse(Code::BadChunk, "the body is longer than 64 bits can count", at),
        }
        self.state = if self.remaining == 0 { State::TrailerStart } else { State::Data };
        Ok(())
    }

    fn extension(&mut self, input: &[u8]) -> Result<Step, Refusal> {
        let allowed = |b: u8| b == b'\t' || (b' '..=b'~').contains(&b);
        let len = input.iter().position(|&b| !allowed(b)).unwrap_or(input.len());
        self.extension_bytes += len;
        self.extensions_bytes += len;
        if self.extension_bytes > CHUNK_EXTENSION_BYTES_MAX {
            return refuse(Code::BadChunk, "the extensions of a chunk are too long", len);
        }
        if self.extensions_bytes > CHUNK_EXTENSIONS_BYTES_MAX {
            return refuse(Code::BadChunk, "the chunk extensions of the body are too long", len);
        }
        match input.get(len) {
            None => {}
            Some(b'\r') => self.state = State::SizeCr,
            Some(_) => return refuse(Code::BadChunk, "a chunk extension holds a control byte", len),
        }
        if len == 0 { self.step(input) } else { Ok(Step { len, kind: Kind::Dropped }) }
    }

    fn trailer_line(&mut self, input: &[u8]) -> Result<Step, Refusal> {
        let len = memchr::memchr(b'\n', input).map_or(input.len(), |lf| lf + 1);
        self.trailers.get_or_insert_default().collect(&input[..len])?;
        if input[len - 1] == b'\n' {
            self.state = State::TrailerStart;
        }
        Ok(Step { len, kind: Kind::Dropped })
    }

    /// Judges the trailer section at its empty line; true if there are fields to relay.
    fn trailers_end(&mut self) -> Result<bool, Refusal> {
        let Some(trailers) = &mut self.trailers else { return Ok(false) };
        let relayed = trailers.judge()?;
        if relayed {
            self.state = State::TrailersReady;
        }
        Ok(relayed)
    }
}

/// Writes the chunked coding around content that came without it, two short writes a chunk: the head, then the data.
#[derive(Clone, Copy, Debug, Default)]
pub struct ChunkWriter {
    /// The CRLF behind the data of the chunk before is still owed.
    open: bool,
}

/// The bytes before the data of a chunk: the line end of the chunk before, the size, its line end.
#[derive(Clone, Copy, Debug)]
pub struct ChunkHead {
    bytes: [u8; Self::LEN_MAX],
    start: usize,
}

impl ChunkHead {
    /// CRLF, 16 digits, CRLF.
    pub const LEN_MAX: usize = 20;

    /// The bytes to write.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

impl ChunkWriter {
    /// A writer at the start of a body.
    pub const fn new() -> ChunkWriter {
        ChunkWriter { open: false }
    }

    /// What to write before `len` bytes of content; `None` for no bytes, as an empty chunk would end the body.
    pub fn head(&mut self, len: usize) -> Option<ChunkHead> {
        if len == 0 {
            return None;
        }
        let mut bytes = [0; ChunkHead::LEN_MAX];
        bytes[ChunkHead::LEN_MAX - 2..].copy_from_slice(b"\r\n");
        let mut start = ChunkHead::LEN_MAX - 2;
        let mut rest = len;
        while rest > 0 {
            start -= 1;
            bytes[start] = b"0123456789abcdef"[rest & 15];
            rest >>= 4;
        }
        if self.open {
            start -= 2;
            bytes[start..start + 2].copy_from_slice(b"\r\n");
        }
        self.open = true;
        Some(ChunkHead { bytes, start })
    }

    /// What ends the body: the last chunk, trailer fields if there are any, and the empty line.
    pub fn finish(&mut self, trailers: Option<&Trailers>, out: &mut Vec<u8>) {
        if self.open {
            out.extend_from_slice(b"\r\n");
        }
        self.open = false;
        out.extend_from_slice(b"0\r\n");
        if let Some(trailers) = trailers {
            trailers.write(out);
        }
        out.extend_from_slice(b"\r\n");
    }
}

//! Bodies: how many of the bytes at hand belong to one, and which of them may be relayed as they are.
//!
//! The scanners take slices of the relay's own buffer and answer with lengths, so that a large body is forwarded
//! without a copy. They know framing (RFC 9112 section 7) and nothing of where bytes come from or go to.

use crate::chunk::ChunkScanner;
use crate::request::Framing;
use crate::response::BodyFraming;
use crate::scan::Refusal;
use crate::trailer::Trailers;

/// What the bytes of a step are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Bytes of the content.
    Data,
    /// Chunk sizes and line ends; relayed as they are to an HTTP/1.1 peer, left out for others.
    Framing,
    /// Chunk extensions and the trailer section as it came: never relayed.
    Dropped,
    /// No bytes (`len` is 0): here the trailer fields that [`ChunkScanner::trailers`] holds are to be written.
    Trailers,
    /// No bytes (`len` is 0): the body is complete, what follows in the input is not part of it.
    End,
    /// No bytes (`len` is 0): all input is used up and the body goes on.
    NeedMore,
}

/// The next bytes of the input that are of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// How many bytes from the start of the input on.
    pub len: usize,
    /// What they are.
    pub kind: Kind,
}

impl Step {
    /// What a relay does with it; `with_framing` if its peer gets the framing as it came.
    #[inline]
    pub fn relay(self, with_framing: bool) -> Relay {
        let mut relay = Relay::default();
        match self.kind {
            Kind::Data => (relay.forward, relay.content) = (self.len, self.len),
            Kind::Framing if with_framing => relay.forward = self.len,
            Kind::Framing | Kind::Dropped => relay.skip = self.len,
            Kind::Trailers => relay.then = Then::Trailers,
            Kind::NeedMore => relay.then = Then::NeedMore,
            Kind::End => relay.then = Then::End,
        }
        relay
    }
}

/// A body whose length is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LengthBody {
    remaining: u64,
}

impl LengthBody {
    /// A body of so many bytes.
    pub const fn new(length: u64) -> LengthBody {
        LengthBody { remaining: length }
    }

    /// Bytes that have not come yet.
    pub const fn remaining(&self) -> u64 {
        self.remaining
    }

    /// Takes what belongs to the body from the start of the input.
    #[inline]
    pub fn step(&mut self, input: &[u8]) -> Step {
        if self.remaining == 0 {
            return Step { len: 0, kind: Kind::End };
        }
        if input.is_empty() {
            return Step { len: 0, kind: Kind::NeedMore };
        }
        let len = usize::try_from(self.remaining).unwrap_or(usize::MAX).min(input.len());
        self.remaining -= len as u64;
        Step { len, kind: Kind::Data }
    }
}

/// What a relay does with the input after one call of [`BodyReader::relay`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Relay {
    /// So many bytes from the start of the input are relayed as they are.
    pub forward: usize,
    /// How many of those are content, for counters and limits.
    pub content: usize,
    /// So many bytes behind them are thrown away.
    pub skip: usize,
    /// What comes then.
    pub then: Then,
}

/// What follows the bytes of a [`Relay`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Then {
    /// Call again with the rest of the input.
    #[default]
    Again,
    /// The input is used up and the body goes on.
    NeedMore,
    /// Write the trailer fields of [`BodyReader::trailers`], then call again with the rest of the input.
    Trailers,
    /// The body is complete.
    End,
}

/// Reads a body of any framing. Made once per connection and reused.
#[derive(Clone, Debug, Default)]
pub struct BodyReader {
    framing: BodyFraming,
    length: LengthBody,
    chunks: ChunkScanner,
}

impl BodyReader {
    /// A reader of no body.
    pub fn new() -> BodyReader {
        BodyReader::default()
    }

    /// Begins the body of a request.
    pub fn begin_request(&mut self, framing: Framing) {
        self.begin_response(match framing {
            Framing::None => BodyFraming::None,
            Framing::Length(length) => BodyFraming::Length(length),
            Framing::Chunked => BodyFraming::Chunked,
        });
    }

    /// Begins the body of a response.
    pub fn begin_response(&mut self, framing: BodyFraming) {
        self.framing = framing;
        match framing {
            BodyFraming::None => self.length = LengthBody::new(0),
            BodyFraming::Length(length) => self.length = LengthBody::new(length),
            BodyFraming::Chunked => self.chunks.reset(),
            BodyFraming::UntilClose => {}
        }
    }

    /// Whether the body is complete without another byte. Never true of a body that ends with its connection.
    pub fn is_done(&self) -> bool {
        match self.framing {
            BodyFraming::None => true,
            BodyFraming::Length(_) => self.length.remaining() == 0,
            BodyFraming::Chunked => self.chunks.is_done(),
            BodyFraming::UntilClose => false,
        }
    }

    /// Whether the body is complete if the connection ends here (without an error: a reset is never an end).
    pub fn is_done_at_eof(&self) -> bool {
        self.framing == BodyFraming::UntilClose || self.is_done()
    }

    /// Content bytes that the framing has announced so far, those already read among them, for a limit on the body;
    /// `None` where only the end of the connection tells.
    pub fn announced(&self) -> Option<u64> {
        match self.framing {
            BodyFraming::None => Some(0),
            BodyFraming::Length(length) => Some(length),
            BodyFraming::Chunked => Some(self.chunks.announced()),
            BodyFraming::UntilClose => None,
        }
    }

    /// The trailer fields that may be relayed.
    pub fn trailers(&self) -> Option<&Trailers> {
        match self.framing {
            BodyFraming::Chunked => self.chunks.trailers(),
            _ => None,
        }
    }

    /// The next bytes of one kind from the start of the input; for peers that take content without its framing.
    ///
    /// # Errors
    /// As [`ChunkScanner::step`].
    #[inline]
    pub fn step(&mut self, input: &[u8]) -> Result<Step, Refusal> {
        match self.framing {
            BodyFraming::None | BodyFraming::Length(_) => Ok(self.length.step(input)),
            BodyFraming::Chunked => self.chunks.step(input),
            BodyFraming::UntilClose if input.is_empty() => Ok(Step { len: 0, kind: Kind::NeedMore }),
            BodyFraming::UntilClose => Ok(Step { len: input.len(), kind: Kind::Data }),
        }
    }

    /// The longest run of the input that goes to an HTTP/1.1 peer as it is, content and framing together. A chunked
    /// body without extensions is one run per read, whatever the size of its chunks.
    ///
    /// # Errors
    /// As [`ChunkScanner::step`].
    #[inline]
    pub fn relay(&mut self, input: &[u8]) -> Result<Relay, Refusal> {
        let (len, then) = match self.framing {
            BodyFraming::None | BodyFraming::Length(_) => {
                let len = self.length.step(input).len;
                (len, if self.length.remaining() == 0 { Then::End } else { Then::NeedMore })
            }
            BodyFraming::UntilClose => (input.len(), Then::NeedMore),
            BodyFraming::Chunked => return self.relay_chunks(input),
        };
        Ok(Relay { forward: len, content: len, skip: 0, then })
    }

    fn relay_chunks(&mut self, input: &[u8]) -> Result<Relay, Refusal> {
        let mut relay = Relay::default();
        loop {
            let step = self.chunks.step(&input[relay.forward..])?;
            match step.kind {
                Kind::Data => {
                    relay.forward += step.len;
                    relay.content += step.len;
                }
                Kind::Framing => relay.forward += step.len,
                Kind::Dropped => {
                    relay.skip = step.len;
                    return Ok(relay);
                }
                Kind::Trailers => relay.then = Then::Trailers,
                Kind::End => relay.then = Then::End,
                Kind::NeedMore => relay.then = Then::NeedMore,
            }
            if relay.then != Then::Again {
                return Ok(relay);
            }
        }
    }
}

//! Reading and writing `text/event-stream` (WHATWG HTML living standard, section 9.2, "Server-sent events").
//!
//! Knows lines, fields and blocks. Must not know what stands in the data of an event, nor decode it: values are bytes as
//! they came, of which a client makes UTF-8.
//!
//! Every byte of a stream comes out again in the `raw` bytes of exactly one [`Item`], in order, so that a relay of the
//! same dialect writes item by item what came, and a translator reads the fields. Events do not depend on how the stream
//! was cut into pieces.

use memchr::{memchr, memchr2};

/// Bytes of one line without its end, by default. A base64 image comes in one data line.
pub const LINE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Bytes of one event with its blank line, by default.
pub const EVENT_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Bytes of each buffer that [`SseReader::reset`] leaves to the next stream.
pub const BUFFER_BYTES_KEPT_MAX: usize = 64 * 1024;

/// The byte order mark in UTF-8; it is no part of the text, at the beginning of a stream only.
const BOM: &[u8] = b"\xef\xbb\xbf";

/// How large the parts of a stream may be. A reader holds at most `event_bytes_max` bytes, and once more so many for the
/// data of an event of several data lines; buffers that grow may reserve up to twice that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SseLimits {
    /// Bytes of one line without its end.
    pub line_bytes_max: usize,
    /// Bytes of one event, from its first field to the end of its blank line; of a comment, its line with its end.
    pub event_bytes_max: usize,
}

impl Default for SseLimits {
    fn default() -> SseLimits {
        SseLimits { line_bytes_max: LINE_BYTES_MAX, event_bytes_max: EVENT_BYTES_MAX }
    }
}

impl SseLimits {
    /// Judges a block of `end` bytes whose last line is the bytes from `line` to `content`. Of two limits that are
    /// passed, the one that is passed at the earlier byte is told, so that the verdict does not depend on the cuts.
    #[inline]
    fn check(&self, line: usize, content: usize, end: usize) -> Result<(), SseError> {
        if content - line <= self.line_bytes_max && end <= self.event_bytes_max {
            return Ok(());
        }
        let line_passed = content - line > self.line_bytes_max;
        if line_passed && line.saturating_add(self.line_bytes_max) <= self.event_bytes_max {
            return Err(SseError::LineTooLong { line_bytes_max: self.line_bytes_max });
        }
        Err(SseError::EventTooLong { event_bytes_max: self.event_bytes_max })
    }
}

/// Why a stream cannot be read on. Nothing else makes a stream unreadable: the standard gives every text a meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SseError {
    /// A line is longer than [`SseLimits::line_bytes_max`].
    #[error("a line of the event stream is longer than {line_bytes_max} bytes")]
    LineTooLong {
        /// The limit.
        line_bytes_max: usize,
    },
    /// An event is longer than [`SseLimits::event_bytes_max`].
    #[error("an event of the event stream is longer than {event_bytes_max} bytes")]
    EventTooLong {
        /// The limit.
        event_bytes_max: usize,
    },
}

/// What [`SseReader::step`] took from its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step<'a> {
    /// So many bytes from the start of the input are done with; all of them when there is no item. With one it may be
    /// none, when the first byte shows that a CR before it was a whole line end.
    pub len: usize,
    /// What they completed; `None` when more bytes are needed.
    pub item: Option<Item<'a>>,
}

/// The next part of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// An event with data and its blank line, which a client dispatches.
    Event(Event<'a>),
    /// Fields and a blank line, but no `data` among them. A client dispatches nothing, and takes `id` and `retry`.
    Dataless(Event<'a>),
    /// What stands at the end of the stream without a blank line behind it, only from [`SseReader::finish`]. A client
    /// drops it, and its last line may be cut off. An error that a provider writes behind its last event as bare JSON
    /// is [`Event::stray`] here.
    Incomplete(Event<'a>),
    /// Comments and blank lines before the fields of a block (keep-alives), one or more of them as they came together,
    /// or the byte order mark.
    Filler(&'a [u8]),
}

impl<'a> Item<'a> {
    /// The bytes as they came. Those of all items of a stream, one after the other, are the stream.
    #[inline]
    pub fn raw(&self) -> &'a [u8] {
        match self {
            Item::Event(event) | Item::Dataless(event) | Item::Incomplete(event) => event.raw,
            Item::Filler(raw) => raw,
        }
    }
}

/// One block of fields. Where a field comes more than once, the last one counts, as the standard says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Event<'a> {
    /// The bytes as they came, comments between the fields and the blank line included.
    pub raw: &'a [u8],
    /// The value of `event`; `None`, also for an empty one, means `message`.
    pub event_type: Option<&'a [u8]>,
    /// The values of the `data` fields, joined by LF.
    pub data: &'a [u8],
    /// The value of `id`, unless it holds a NUL, with which the standard ignores it. An empty one is a value.
    pub id: Option<&'a [u8]>,
    /// The value of `retry` in milliseconds, unless it is anything else than ASCII digits.
    pub retry: Option<u64>,
    /// The end of `raw` from the first line on that is neither a comment nor one of the four fields, else empty. A
    /// client ignores such lines; a provider's error may stand in them.
    pub stray: &'a [u8],
}

/// A range of bytes in a block.
#[derive(Clone, Copy, Debug, Default)]
struct Span {
    start: usize,
    end: usize,
}

impl Span {
    #[inline]
    fn of(self, block: &[u8]) -> &[u8] {
        &block[self.start..self.end]
    }
}

/// What is known of the block that is being read. All places are counted from its first byte.
#[derive(Clone, Copy, Debug, Default)]
struct Block {
    /// Where the line that is being read begins.
    line: usize,
    /// The last byte at hand is a CR, and an LF that belongs to it may come.
    cr_waits: bool,
    /// The line before ended in a CR alone.
    after_cr: bool,
    /// A line with a field has come.
    begun: bool,
    event_type: Span,
    /// The value of the first `data` field.
    data: Span,
    data_lines: usize,
    id: Option<Span>,
    retry: Option<u64>,
    stray: Option<usize>,
}

/// What a complete line means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    /// The block goes on.
    Part,
    /// A comment or a blank line where no block has begun.
    Filler,
    /// The blank line that ends a block with data.
    EndOfEvent,
    /// The blank line that ends a block without data.
    EndOfDataless,
}

impl Block {
    /// The next block of the same stream.
    fn next(&mut self) -> Block {
        let after_cr = self.after_cr;
        std::mem::replace(self, Block { after_cr, ..Block::default() })
    }

    /// Reads the line that ends the block's bytes, of which those from `content` on are its line end.
    #[inline]
    fn take_line(&mut self, block: &[u8], content: usize, lone_cr: bool) -> Meaning {
        let start = self.line;
        self.line = block.len();
        self.cr_waits = false;
        self.after_cr = lone_cr;
        match &block[start..content] {
            [] if self.data_lines > 0 => Meaning::EndOfEvent,
            [] if self.begun => Meaning::EndOfDataless,
            [] => Meaning::Filler,
            [b':', ..] if self.begun => Meaning::Part,
            [b':', ..] => Meaning::Filler,
            line => {
                self.begun = true;
                self.take_field(line, start);
                Meaning::Part
            }
        }
    }

    #[inline]
    fn take_field(&mut self, line: &[u8], start: usize) {
        let span = |value: usize| Span { start: start + value, end: start + line.len() };
        if let Some(value) = value_of(line, b"data") {
            if self.data_lines == 0 {
                self.data = span(value);
            }
            self.data_lines += 1;
        } else if let Some(value) = value_of(line, b"event") {
            self.event_type = span(value);
        } else if let Some(value) = value_of(line, b"id") {
            if memchr(0, &line[value..]).is_none() {
                self.id = Some(span(value));
            }
        } else if let Some(value) = value_of(line, b"retry") {
            self.retry = milliseconds(&line[value..]).or(self.retry);
        } else {
            self.stray.get_or_insert(start);
        }
    }

    /// The block's fields, given all of its bytes and room to join data lines in.
    #[inline]
    fn event<'a>(&self, raw: &'a [u8], joined: &'a mut Vec<u8>) -> Event<'a> {
        let data = if self.data_lines > 1 {
            join_data(raw, joined);
            joined
        } else {
            self.data.of(raw)
        };
        Event {
            raw,
            event_type: Some(self.event_type.of(raw)).filter(|value| !value.is_empty()),
            data,
            id: self.id.map(|id| id.of(raw)),
            retry: self.retry,
            stray: self.stray.map_or(&[], |stray| &raw[stray..]),
        }
    }
}

/// Where the value begins in a line of the named field, behind the colon and one space.
#[inline]
fn value_of(line: &[u8], name: &[u8]) -> Option<usize> {
    match line.strip_prefix(name)? {
        [] => Some(name.len()),
        [b':', b' ', ..] => Some(name.len() + 2),
        [b':', ..] => Some(name.len() + 1),
        _ => None,
    }
}

/// A reconnection time; one that 64 bits cannot hold is the longest that they can.
fn milliseconds(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |sum, digit| match digit {
        b'0'..=b'9' => Some(sum.saturating_mul(10).saturating_add(u64::from(digit - b'0'))),
        _ => None,
    })
}

/// Joins the values of all data lines of a block.
fn join_data(raw: &[u8], joined: &mut Vec<u8>) {
    joined.clear();
    let mut rest = raw;
    while !rest.is_empty() {
        let content = memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
        if let Some(value) = value_of(&rest[..content], b"data") {
            joined.extend_from_slice(&rest[value..content]);
            joined.push(b'\n');
        }
        // the LF of a CRLF is read as a blank line here, which makes no difference to the data
        rest = rest.get(content + 1..).unwrap_or_default();
    }
    joined.pop();
}

/// Reads one stream from pieces that are cut anywhere.
///
/// Call [`SseReader::step`] with a piece, then with what it left of the piece, until it has taken all of it, and
/// [`SseReader::finish`] when the stream ends. An event that is whole in its piece is borrowed from there without a copy;
/// what crosses pieces is put together in one buffer that is reused. The work is linear in the bytes, however small the
/// pieces are: a search for a line end goes on where it stood.
///
/// An item is given out as soon as its last byte is there. Only a CR at the end of a piece waits for the byte after it,
/// as an LF there is the same line end, unless it ends a blank line and the line before ended in a CR alone: such a
/// stream ends its lines so, and an LF behind the CR is passed on as [`Item::Filler`].
///
/// ```
/// use penstock_ai::sse::{Item, SseReader};
///
/// let mut reader = SseReader::default();
/// let (mut relayed, mut texts) = (Vec::new(), Vec::new());
/// for piece in [&b"event: delta\r\ndata: {\"a\":1}\r"[..], b"\n\r\n: ping\n\ndata: [DO", b"NE]\n\n"] {
///     let mut at = 0;
///     while at < piece.len() {
///         let step = reader.step(&piece[at..])?;
///         at += step.len;
///         if let Some(item) = step.item {
///             relayed.extend_from_slice(item.raw());
///             if let Item::Event(event) = item {
///                 texts.push(String::from_utf8_lossy(event.data).into_owned());
///             }
///         }
///     }
/// }
/// assert_eq!(reader.finish(), None, "the stream ends behind a blank line");
/// assert_eq!(texts, ["{\"a\":1}", "[DONE]"]);
/// assert!(relayed.ends_with(b"\n\r\n: ping\n\ndata: [DONE]\n\n"));
/// # Ok::<(), penstock_ai::sse::SseError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct SseReader {
    limits: SseLimits,
    block: Block,
    /// The bytes of the block that came in earlier pieces.
    held: Vec<u8>,
    /// The bytes in `held` were given out as an item and go before the next byte is read.
    given: bool,
    /// The data of an event of several data lines.
    joined: Vec<u8>,
    /// The first bytes were judged: no byte order mark can come any more.
    begun: bool,
    error: Option<SseError>,
}

/// A complete item: its meaning, and where its bytes are.
struct Found {
    meaning: Meaning,
    place: Place,
}

enum Place {
    /// So many bytes from the start of the input.
    Input(usize),
    Held,
}

impl SseReader {
    /// A reader at the start of a stream.
    pub fn new(limits: SseLimits) -> SseReader {
        SseReader { limits, ..SseReader::default() }
    }

    /// Begins a new stream, and keeps the buffers if they are not large.
    pub fn reset(&mut self) {
        for buffer in [&mut self.held, &mut self.joined] {
            buffer.clear();
            buffer.shrink_to(BUFFER_BYTES_KEPT_MAX);
        }
        self.block = Block::default();
        self.given = false;
        self.begun = false;
        self.error = None;
    }

    /// Reads the next item from the start of the input. Call it again with the rest.
    ///
    /// # Errors
    /// [`SseError`] when a limit is passed; the stream cannot be read on, and every further call says the same.
    #[inline]
    pub fn step<'a>(&'a mut self, input: &'a [u8]) -> Result<Step<'a>, SseError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        if input.is_empty() {
            return Ok(Step { len: 0, item: None });
        }
        self.drop_given();
        match self.read(input) {
            Ok((len, None)) => Ok(Step { len, item: None }),
            Ok((len, Some(found))) => Ok(Step { len, item: Some(self.item(&found, input)) }),
            Err(error) => {
                self.error = Some(error);
                Err(error)
            }
        }
    }

    /// Ends the stream: what is left of it, if anything is. It is [`Item::Incomplete`] unless only the LF of a last CRLF
    /// was awaited, or it is a comment.
    ///
    /// After an error nothing is left. Call [`SseReader::reset`] before another stream.
    pub fn finish(&mut self) -> Option<Item<'_>> {
        self.drop_given();
        if self.error.is_some() || self.held.is_empty() {
            return None;
        }
        let lone_cr = self.block.cr_waits;
        let content = self.held.len() - usize::from(lone_cr);
        let mut meaning = Meaning::Part;
        if self.block.line < self.held.len() {
            meaning = self.block.take_line(&self.held, content, lone_cr);
        }
        Some(self.item(&Found { meaning, place: Place::Held }, &[]))
    }

    #[inline]
    fn drop_given(&mut self) {
        if self.given {
            self.held.clear();
            self.given = false;
        }
    }

    fn read(&mut self, input: &[u8]) -> Result<(usize, Option<Found>), SseError> {
        if !self.begun
            && let Some(read) = self.read_bom(input)
        {
            return Ok(read);
        }
        if self.held.is_empty() { self.read_in_place(input) } else { self.read_held(input) }
    }

    /// Reads a byte order mark, or what may become one; `None` if the stream has none.
    #[cold]
    fn read_bom(&mut self, input: &[u8]) -> Option<(usize, Option<Found>)> {
        let missing = &BOM[self.held.len()..];
        let len = missing.len().min(input.len());
        if input[..len] != missing[..len] {
            self.begun = true;
            return None;
        }
        let place = if len == BOM.len() {
            Place::Input(len)
        } else {
            self.held.extend_from_slice(&input[..len]);
            Place::Held
        };
        if len < missing.len() {
            return Some((len, None));
        }
        self.begun = true;
        Some((len, Some(Found { meaning: Meaning::Filler, place })))
    }

    /// Reads a block that begins with the input.
    fn read_in_place(&mut self, input: &[u8]) -> Result<(usize, Option<Found>), SseError> {
        let mut filler = 0;
        let mut at = 0;
        let found = |meaning, len| Ok((len, Some(Found { meaning, place: Place::Input(len) })));
        loop {
            let line = at - filler;
            let Some(LineEnd { content, end, lone_cr }) = line_end(&input[at..], self.block.after_cr) else {
                break;
            };
            let block = &input[filler..at + end];
            let content = line + content;
            if let Err(error) = self.limits.check(line, content, block.len()) {
                if filler > 0 {
                    break; // first what stands before it
                }
                return Err(error);
            }
            at += end;
            match self.block.take_line(block, content, lone_cr) {
                Meaning::Part => {}
                Meaning::Filler => {
                    filler = at;
                    self.block.next();
                    if !matches!(input.get(at), Some(b':' | b'\r' | b'\n')) {
                        break;
                    }
                }
                meaning => return found(meaning, at),
            }
        }
        if filler > 0 {
            return found(Meaning::Filler, filler);
        }
        self.hold(input)?;
        Ok((input.len(), None))
    }

    /// Reads on in a block that began in an earlier piece. Each line is added to what is held, then read there.
    fn read_held(&mut self, input: &[u8]) -> Result<(usize, Option<Found>), SseError> {
        let mut at = 0;
        loop {
            let held = self.held.len();
            let rest = &input[at..];
            let (content, end, lone_cr) = if self.block.cr_waits {
                let lone_cr = !rest.starts_with(b"\n");
                (held - 1, usize::from(!lone_cr), lone_cr)
            } else if let Some(found) = line_end(rest, self.block.after_cr && held == self.block.line) {
                (held + found.content, found.end, found.lone_cr)
            } else {
                self.hold(rest)?;
                return Ok((input.len(), None));
            };
            self.limits.check(self.block.line, content, held + end)?;
            self.held.extend_from_slice(&input[at..at + end]);
            at += end;
            match self.block.take_line(&self.held, content, lone_cr) {
                Meaning::Part => {}
                meaning => return Ok((at, Some(Found { meaning, place: Place::Held }))),
            }
        }
    }

    /// Keeps the last bytes of a piece, which end in no complete line or in a block that goes on.
    fn hold(&mut self, input: &[u8]) -> Result<(), SseError> {
        let end = self.held.len() + input.len();
        let cr_waits = input.last() == Some(&b'\r');
        self.limits.check(self.block.line, end - usize::from(cr_waits), end)?;
        self.held.extend_from_slice(input);
        self.block.cr_waits = cr_waits;
        Ok(())
    }

    #[inline]
    fn item<'a>(&'a mut self, found: &Found, input: &'a [u8]) -> Item<'a> {
        let block = self.block.next();
        let raw = match found.place {
            Place::Input(len) => &input[..len],
            Place::Held => {
                self.given = true;
                &self.held[..]
            }
        };
        match found.meaning {
            Meaning::Filler => Item::Filler(raw),
            Meaning::EndOfEvent => Item::Event(block.event(raw, &mut self.joined)),
            Meaning::EndOfDataless => Item::Dataless(block.event(raw, &mut self.joined)),
            Meaning::Part => Item::Incomplete(block.event(raw, &mut self.joined)),
        }
    }
}

/// Where a line ends, counted from where the search began.
struct LineEnd {
    /// The length of the line.
    content: usize,
    /// The length of the line with its line end.
    end: usize,
    lone_cr: bool,
}

/// Finds the end of a line: LF, CRLF or CR. `None` if it is not there, or is a CR that an LF may follow.
/// `blank_ends_at_cr`: a CR at the very start is the whole line end.
#[inline]
fn line_end(rest: &[u8], blank_ends_at_cr: bool) -> Option<LineEnd> {
    let content = match rest.first()? {
        b'\n' | b'\r' => 0,
        _ => memchr2(b'\r', b'\n', rest)?,
    };
    if rest[content] == b'\n' {
        return Some(LineEnd { content, end: content + 1, lone_cr: false });
    }
    if content == 0 && blank_ends_at_cr {
        return Some(LineEnd { content, end: 1, lone_cr: true });
    }
    let lone_cr = *rest.get(content + 1)? != b'\n';
    Some(LineEnd { content, end: content + if lone_cr { 1 } else { 2 }, lone_cr })
}

/// The value of an `event` field that stays on its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventType<'a>(&'a str);

impl<'a> EventType<'a> {
    /// `None` for a text that is empty, which would mean `message`, or holds a line end.
    pub const fn new(text: &'a str) -> Option<EventType<'a>> {
        let bytes = text.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            if bytes[at] == b'\r' || bytes[at] == b'\n' {
                return None;
            }
            at += 1;
        }
        if bytes.is_empty() { None } else { Some(EventType(text)) }
    }
}

/// Writes one event. Each line of the data, ended by LF, CR or CRLF, becomes a `data` field, so that no data can end the
/// event or add a field to it; the reader gets LF for every line end.
///
/// The colon is followed by a space, which some clients insist on, and lines end in LF.
pub fn write_event(out: &mut Vec<u8>, event_type: Option<EventType<'_>>, data: &[u8]) {
    if let Some(EventType(event_type)) = event_type {
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(event_type.as_bytes());
        out.push(b'\n');
    }
    let mut rest = data;
    loop {
        out.extend_from_slice(b"data: ");
        let Some(content) = memchr2(b'\r', b'\n', rest) else {
            out.extend_from_slice(rest);
            out.extend_from_slice(b"\n\n");
            return;
        };
        out.extend_from_slice(&rest[..content]);
        out.push(b'\n');
        let end = if rest[content..].starts_with(b"\r\n") { 2 } else { 1 };
        rest = &rest[content + end..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reset_gives_large_buffers_back() {
        let mut reader = SseReader::default();
        let line = [b"data: ", &[b'x'; BUFFER_BYTES_KEPT_MAX][..], b"\n"].concat();
        assert_eq!(reader.step(&line), Ok(Step { len: line.len(), item: None }));
        assert!(reader.step(b"data: y\n\n").is_ok_and(|step| step.item.is_some()));
        assert!(
            reader.held.capacity() > BUFFER_BYTES_KEPT_MAX
                && reader.joined.capacity() > BUFFER_BYTES_KEPT_MAX
        );
        reader.reset();
        assert_eq!(reader.held.capacity(), BUFFER_BYTES_KEPT_MAX);
        assert_eq!(reader.joined.capacity(), BUFFER_BYTES_KEPT_MAX);
    }
}

//! The flat block of header fields that every version of HTTP fills: ranges into a buffer, in the order and
//! case of the sender.
//!
//! Knows fields and buffers. Must not know how a head is parsed, nor any rule that holds for HTTP/1 only:
//! an HTTP/2 layer writes its fields with [`FieldTable::push_line`] and the rest of the gateway sees no difference.

use crate::field::{FieldId, FieldSet};

/// The largest number of fields that a table holds, whatever the limits say.
pub const FIELDS_MAX: usize = 128;

/// How large a head may be. Every value has a ceiling that the structures impose; [`HeadLimits::clamped`] applies it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes of the whole head, line ends and leading empty lines included; at most 65,535.
    pub head_bytes_max: usize,
    /// Fields in the head; at most [`FIELDS_MAX`].
    pub fields_max: usize,
    /// Bytes of the request target.
    pub target_bytes_max: usize,
}

impl Default for HeadLimits {
    fn default() -> HeadLimits {
        HeadLimits { head_bytes_max: 32 * 1024, fields_max: FIELDS_MAX, target_bytes_max: 16 * 1024 }
    }
}

impl HeadLimits {
    /// These limits, none above what [`Span`] and [`FieldTable`] can hold.
    #[must_use]
    pub fn clamped(self) -> HeadLimits {
        HeadLimits {
            head_bytes_max: self.head_bytes_max.min(usize::from(u16::MAX)),
            fields_max: self.fields_max.min(FIELDS_MAX),
            target_bytes_max: self.target_bytes_max.min(usize::from(u16::MAX)),
        }
    }
}

/// Whether a head is there as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// The head is complete; `head_len` says where it ends.
    Complete,
    /// More bytes are needed. Call again with the same buffer, longer.
    Partial,
}

/// The version of HTTP that a message came in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    #[default]
    Http11,
    /// HTTP/2
    Http2,
}

impl Version {
    /// As it stands in a record or a Via field: `1.0`, `1.1` or `2`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Version::Http10 => "1.0",
            Version::Http11 => "1.1",
            Version::Http2 => "2",
        }
    }
}

/// What an `Upgrade` field asks for. Only [`Upgrade::WebSocket`] is ever served; the others are dropped and the
/// call is served as if they were not there (RFC 9110 section 7.8 lets a server ignore them).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upgrade {
    /// `websocket` (RFC 6455)
    WebSocket,
    /// `h2c`, obsolete since RFC 9113
    H2c,
    /// Any other protocol
    Other,
}

/// A range of bytes in the buffer that a head was parsed from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Index of the first byte.
    pub start: u16,
    /// Number of bytes.
    pub len: u16,
}

impl Span {
    /// The span from one index to another, if it fits.
    #[inline]
    pub fn between(start: usize, end: usize) -> Option<Span> {
        let len = end.checked_sub(start)?;
        Some(Span { start: u16::try_from(start).ok()?, len: u16::try_from(len).ok()? })
    }

    /// The span of so many bytes in a buffer that is known to be no longer than a span reaches.
    #[inline(always)]
    pub(crate) fn within(start: usize, len: usize) -> Span {
        debug_assert!(start + len <= usize::from(u16::MAX), "the buffer's length is checked");
        Span { start: start as u16, len: len as u16 }
    }

    /// The bytes of the span; empty when the buffer is shorter than the span (which is a fault of the caller).
    #[inline]
    pub fn of(self, buf: &[u8]) -> &[u8] {
        buf.get(self.range()).unwrap_or_default()
    }

    /// The span as a range of indices.
    #[inline]
    pub fn range(self) -> core::ops::Range<usize> {
        usize::from(self.start)..self.end()
    }

    /// Index after the last byte.
    #[inline]
    pub fn end(self) -> usize {
        usize::from(self.start) + usize::from(self.len)
    }

    /// Whether it holds no byte.
    #[inline]
    pub fn is_empty(self) -> bool {
        self.len == 0
    }
}

/// One field line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// The name, in the case of the sender.
    pub name: Span,
    /// The value without white space around it.
    pub value: Span,
    /// The id of the name.
    pub id: FieldId,
    /// Not to be relayed: named in `Connection`, imitating a guarded name ([`FieldId::is_imitated`]), or marked by
    /// [`FieldTable::drop_name`].
    pub dropped: bool,
}

/// No room for one more field, or the buffer is longer than a [`Span`] reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the header block is full")]
pub struct TableFull;

/// The fields of one head. About 1.5 KiB, reused from request to request, never allocates.
#[derive(Clone)]
pub struct FieldTable {
    fields: [Field; FIELDS_MAX],
    len: u8,
    /// Index of the first field of each id; meaningful only for ids in `present`.
    first: [u8; FieldId::COUNT],
    present: FieldSet,
    repeated: FieldSet,
    /// Index after the CRLF of the last field line.
    lines_end: u16,
}

impl Default for FieldTable {
    fn default() -> FieldTable {
        const UNUSED: Field = Field {
            name: Span { start: 0, len: 0 },
            value: Span { start: 0, len: 0 },
            id: FieldId::Other,
            dropped: false,
        };
        FieldTable {
            fields: [UNUSED; FIELDS_MAX],
            len: 0,
            first: [0; FieldId::COUNT],
            present: FieldSet::EMPTY,
            repeated: FieldSet::EMPTY,
            lines_end: 0,
        }
    }
}

impl FieldTable {
    /// Forgets all fields.
    #[inline]
    pub fn clear(&mut self) {
        self.len = 0;
        self.present = FieldSet::EMPTY;
        self.repeated = FieldSet::EMPTY;
        self.lines_end = 0;
    }

    /// How many fields there are.
    #[inline]
    pub fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// Whether there is none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All fields in the order of the sender, the dropped ones too.
    #[inline]
    pub fn as_slice(&self) -> &[Field] {
        &self.fields[..self.len()]
    }

    /// The ids that are there.
    #[inline]
    pub fn present(&self) -> FieldSet {
        self.present
    }

    /// Whether a field with this id is there.
    #[inline]
    pub fn has(&self, id: FieldId) -> bool {
        self.present.contains(id)
    }

    /// Whether an id stands there more than once. Meant for fields where that is a fault, such as credentials.
    #[inline]
    pub fn is_repeated(&self, id: FieldId) -> bool {
        self.repeated.contains(id)
    }

    /// The first field with this id. O(1).
    #[inline]
    pub fn get(&self, id: FieldId) -> Option<&Field> {
        if self.present.contains(id) { self.fields.get(usize::from(self.first[id as usize])) } else { None }
    }

    /// The value of the first field with this id. O(1).
    #[inline]
    pub fn value<'b>(&self, buf: &'b [u8], id: FieldId) -> Option<&'b [u8]> {
        self.get(id).map(|field| field.value.of(buf))
    }

    /// All fields with this id, in order. Walks the table from the first of them on.
    pub fn all(&self, id: FieldId) -> impl Iterator<Item = &Field> {
        let from = if self.present.contains(id) { usize::from(self.first[id as usize]) } else { self.len() };
        self.fields[from..self.len()].iter().filter(move |field| field.id == id)
    }

    /// The first field with this name, in any case. O(1) for a known name, else it walks the table.
    pub fn find_name(&self, buf: &[u8], name: &[u8]) -> Option<&Field> {
        match FieldId::lookup(name) {
            FieldId::Other => {
                self.all(FieldId::Other).find(|field| field.name.of(buf).eq_ignore_ascii_case(name))
            }
            id => self.get(id),
        }
    }

    /// All fields with this name, in any case and in order.
    pub fn all_named<'a>(&'a self, buf: &'a [u8], name: &'a [u8]) -> impl Iterator<Item = &'a Field> {
        let id = FieldId::lookup(name);
        self.all(id)
            .filter(move |field| id != FieldId::Other || field.name.of(buf).eq_ignore_ascii_case(name))
    }

    /// Marks every field of this name as not to be relayed. Cost as [`FieldTable::all_named`].
    pub fn drop_name(&mut self, buf: &[u8], name: &[u8]) {
        let id = FieldId::lookup(name);
        if !self.present.contains(id) {
            return;
        }
        for field in &mut self.fields[usize::from(self.first[id as usize])..usize::from(self.len)] {
            if field.id == id && (id != FieldId::Other || field.name.of(buf).eq_ignore_ascii_case(name)) {
                field.dropped = true;
            }
        }
    }

    /// Marks the field at an index as not to be relayed.
    pub fn drop_at(&mut self, index: usize) {
        if let Some(field) = self.fields[..usize::from(self.len)].get_mut(index) {
            field.dropped = true;
        }
    }

    /// Adds a field whose bytes stand in the head's buffer already as a line `name: value CRLF`.
    ///
    /// Lines must follow one another without a gap, or [`crate::write::copy_fields`] would copy what lies between.
    #[inline]
    pub fn push(&mut self, name: Span, value: Span, id: FieldId, line_end: usize) -> Result<(), TableFull> {
        let line_end = u16::try_from(line_end).map_err(|_| TableFull)?;
        *self.begin(name, id, false)? = value;
        self.lines_end = line_end;
        Ok(())
    }

    /// Adds a field whose line ends where the next one begins, or where [`FieldTable::end_lines`] will say. The place
    /// of its value is to be filled in.
    #[inline]
    pub(crate) fn begin(&mut self, name: Span, id: FieldId, dropped: bool) -> Result<&mut Span, TableFull> {
        let field = self.fields.get_mut(usize::from(self.len)).ok_or(TableFull)?;
        (field.name, field.id, field.dropped) = (name, id, dropped);
        if self.present.insert(id) {
            self.first[id as usize] = self.len;
        } else {
            self.repeated.insert(id);
        }
        self.len += 1;
        Ok(&mut field.value)
    }

    /// Tells the index after the CRLF of the last line, at most 65,535; stays 0 without a line.
    #[inline]
    pub(crate) fn end_lines(&mut self, index: usize) {
        debug_assert!(index <= usize::from(u16::MAX), "a head is no longer than a span reaches");
        self.lines_end = if self.is_empty() { 0 } else { index as u16 };
    }

    /// Writes a field as a line at the end of `buf` and adds it: the way in for HTTP/2 and for tests.
    ///
    /// The caller vouches that name and value hold no CR, LF or NUL (HTTP/2 stacks check that); lines written one
    /// after another follow without a gap, as [`FieldTable::push`] asks.
    pub fn push_line(&mut self, buf: &mut Vec<u8>, name: &[u8], value: &[u8]) -> Result<(), TableFull> {
        let start = buf.len();
        let value_start = start + name.len() + 2;
        let value_end = value_start + value.len();
        let name_span = Span::between(start, start + name.len()).ok_or(TableFull)?;
        let value_span = Span::between(value_start, value_end).ok_or(TableFull)?;
        let id = FieldId::lookup(name);
        self.push(name_span, value_span, id, value_end + 2)?;
        if id == FieldId::Other && FieldId::is_imitated(name) {
            self.drop_at(self.len() - 1);
        }
        buf.extend_from_slice(name);
        buf.extend_from_slice(b": ");
        buf.extend_from_slice(value);
        buf.extend_from_slice(b"\r\n");
        Ok(())
    }

    /// Index in the buffer after the last field line.
    #[inline]
    pub fn lines_end(&self) -> usize {
        usize::from(self.lines_end)
    }
}

impl core::fmt::Debug for FieldTable {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.as_slice()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_order_and_finds_by_id_and_name() {
        let mut buf = Vec::new();
        let mut table = FieldTable::default();
        for (name, value) in [("X-a", "1"), ("Cookie", "a=b"), ("x-A", "2"), ("cookie", "c=d"), ("Via", "")] {
            table.push_line(&mut buf, name.as_bytes(), value.as_bytes()).unwrap();
        }
        assert_eq!(table.len(), 5);
        assert_eq!(table.value(&buf, FieldId::Cookie), Some(&b"a=b"[..]));
        assert_eq!(table.all(FieldId::Cookie).count(), 2);
        assert!(table.is_repeated(FieldId::Cookie) && !table.is_repeated(FieldId::Via));
        let values: Vec<_> = table.all_named(&buf, b"X-A").map(|f| f.value.of(&buf)).collect();
        assert_eq!(values, [b"1", b"2"]);
        assert_eq!(table.find_name(&buf, b"x-b"), None);
        assert_eq!(table.value(&buf, FieldId::Via), Some(&b""[..]));
        table.drop_name(&buf, b"x-a");
        assert_eq!(table.as_slice().iter().filter(|f| f.dropped).count(), 2);
        table.clear();
        assert!(table.is_empty() && table.get(FieldId::Cookie).is_none());
    }

    #[test]
    fn is_full_at_the_bound() {
        let mut buf = Vec::new();
        let mut table = FieldTable::default();
        for _ in 0..FIELDS_MAX {
            table.push_line(&mut buf, b"a", b"b").unwrap();
        }
        assert_eq!(table.push_line(&mut buf, b"a", b"b"), Err(TableFull));
        assert_eq!(table.len(), FIELDS_MAX);
    }

    #[test]
    fn refuses_what_a_span_cannot_reach() {
        let mut buf = vec![0; 65_530];
        assert_eq!(FieldTable::default().push_line(&mut buf, b"name", b"value"), Err(TableFull));
        assert_eq!(Span::between(70_000, 70_001), None);
        assert_eq!(Span::between(2, 1), None);
    }
}

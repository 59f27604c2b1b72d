//! Reads an event stream in pieces and keeps what came out.

use penstock_ai::sse::{Event, Item, SseError, SseLimits, SseReader};

/// A block of fields as the reader gave it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) kind: &'static str,
    pub(crate) raw: Vec<u8>,
    pub(crate) event_type: Option<Vec<u8>>,
    pub(crate) data: Vec<u8>,
    pub(crate) id: Option<Vec<u8>>,
    pub(crate) retry: Option<u64>,
    pub(crate) stray: Vec<u8>,
}

/// All that came of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) blocks: Vec<Seen>,
    /// The bytes of all items, one after the other.
    pub(crate) raw: Vec<u8>,
    pub(crate) error: Option<SseError>,
}

impl Read {
    fn see(&mut self, item: Item<'_>) {
        self.raw.extend_from_slice(item.raw());
        let (kind, event) = match item {
            Item::Event(event) => ("event", event),
            Item::Dataless(event) => ("dataless", event),
            Item::Incomplete(event) => ("incomplete", event),
            Item::Filler(_) => return,
        };
        let Event { raw, event_type, data, id, retry, stray } = event;
        self.blocks.push(Seen {
            kind,
            raw: raw.to_vec(),
            event_type: event_type.map(<[u8]>::to_vec),
            data: data.to_vec(),
            id: id.map(<[u8]>::to_vec),
            retry,
            stray: stray.to_vec(),
        });
    }
}

/// Reads a stream whose pieces end at the given places, the last of them at its end.
pub(crate) fn read(bytes: &[u8], ends: impl IntoIterator<Item = usize>, limits: SseLimits) -> Read {
    let mut reader = SseReader::new(limits);
    let mut read = Read::default();
    let mut at = 0;
    for end in ends {
        while at < end {
            match reader.step(&bytes[at..end]) {
                Ok(step) => {
                    assert!(step.item.is_some() || step.len == end - at, "all is taken until an item comes");
                    at += step.len;
                    if let Some(item) = step.item {
                        read.see(item);
                    }
                }
                Err(error) => {
                    assert_eq!(reader.step(&bytes[at..end]), Err(error), "an error lasts");
                    assert_eq!(reader.finish(), None);
                    read.error = Some(error);
                    return read;
                }
            }
        }
    }
    if let Some(item) = reader.finish() {
        read.see(item);
    }
    assert_eq!(reader.finish(), None);
    assert_eq!(read.raw, bytes, "every byte comes out again");
    read
}

/// Reads a stream whole, byte by byte and cut in two at every place; all must be the same.
#[allow(dead_code, reason = "not every test cuts")]
pub(crate) fn read_however_cut(bytes: &[u8], limits: SseLimits) -> Read {
    let whole = read(bytes, [bytes.len()], limits);
    assert_eq!(read(bytes, 1..=bytes.len(), limits), whole, "byte by byte");
    for cut in 1..bytes.len() {
        assert_eq!(read(bytes, [cut, bytes.len()], limits), whole, "cut at {cut}");
    }
    whole
}

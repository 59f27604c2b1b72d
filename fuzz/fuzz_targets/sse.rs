//! An event stream in one piece, in two, and byte by byte; every byte comes out again, the bytes of an event alone are
//! that event, and an event that is written reads back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use penstock_ai::sse::{Event, EventType, Item, SseError, SseLimits, SseReader, write_event};

fuzz_target!(|input: (u16, bool, &[u8])| {
    let (cut, narrow, bytes) = input;
    let limits =
        if narrow { SseLimits { line_bytes_max: 30, event_bytes_max: 90 } } else { SseLimits::default() };
    let whole = read(bytes, [bytes.len()].into_iter(), limits);
    let cut = usize::from(cut) % (bytes.len() + 1);
    assert_eq!(whole, read(bytes, [cut, bytes.len()].into_iter(), limits));
    assert_eq!(whole, read(bytes, 0..=bytes.len(), limits));
    assert!(bytes.starts_with(&whole.raw) && (whole.error.is_some() || bytes.len() == whole.raw.len()));
    let mut written = Vec::new();
    for seen in &whole.seen {
        // a blank line before, as a byte order mark is none within a stream
        let alone = [b"\n", &seen.raw[..]].concat();
        assert_eq!(read(&alone, [alone.len()].into_iter(), limits).seen, [seen.clone()]);
        let event_type = seen.event_type.as_deref().and_then(|text| std::str::from_utf8(text).ok());
        written.clear();
        write_event(&mut written, event_type.and_then(EventType::new), &seen.data);
        let again = read(&written, [written.len()].into_iter(), SseLimits::default());
        let [event] = &again.seen[..] else { panic!("one event is written as one event") };
        assert_eq!((event.kind, &event.data), (Kind::Event, &seen.data));
        assert_eq!(event.event_type.as_deref(), event_type.map(str::as_bytes));
    }
});

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Event,
    Dataless,
    Incomplete,
}

#[derive(Clone, Debug, PartialEq)]
struct Seen {
    kind: Kind,
    raw: Vec<u8>,
    event_type: Option<Vec<u8>>,
    data: Vec<u8>,
    id: Option<Vec<u8>>,
    retry: Option<u64>,
    stray: Vec<u8>,
}

#[derive(Debug, Default, PartialEq)]
struct Read {
    seen: Vec<Seen>,
    raw: Vec<u8>,
    error: Option<SseError>,
}

impl Read {
    fn see(&mut self, item: Item<'_>) {
        self.raw.extend_from_slice(item.raw());
        let (kind, event) = match item {
            Item::Event(event) => (Kind::Event, event),
            Item::Dataless(event) => (Kind::Dataless, event),
            Item::Incomplete(event) => (Kind::Incomplete, event),
            Item::Filler(_) => return,
        };
        let Event { raw, event_type, data, id, retry, stray } = event;
        self.seen.push(Seen {
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

fn read(bytes: &[u8], ends: impl Iterator<Item = usize>, limits: SseLimits) -> Read {
    let mut reader = SseReader::new(limits);
    let mut read = Read::default();
    let mut at = 0;
    for end in ends {
        while at < end {
            match reader.step(&bytes[at..end]) {
                Ok(step) => {
                    at += step.len;
                    if let Some(item) = step.item {
                        read.see(item);
                    }
                }
                Err(error) => {
                    read.error = Some(error);
                    return read;
                }
            }
        }
    }
    if let Some(item) = reader.finish() {
        read.see(item);
    }
    read
}

//! Properties of the stream readers that hold for any bytes: cuts change nothing, every byte comes out again, the reading
//! is the standard's, what is written reads back.
#![allow(clippy::unwrap_used)]

mod frames;
mod streams;

use penstock_ai::event_stream::{FrameLimits, FrameReader, Header, HeaderValue, write_frame};
use penstock_ai::sse::{EventType, SseLimits, write_event};
use proptest::prelude::*;

const NARROW: SseLimits = SseLimits { line_bytes_max: 12, event_bytes_max: 40 };

/// Text made of the pieces that a stream is made of, whole or broken.
fn stream_like() -> impl Strategy<Value = Vec<u8>> {
    let pieces: Vec<&'static [u8]> = vec![
        b"data: a\n",
        b"data: a\n\n",
        b"data:b\r\n",
        b"data: c\r",
        b"data",
        b"data: ",
        b"event: x\n",
        b"event:\r\n",
        b"id: 1\r",
        b"id: \0\n",
        b"retry: 5\n",
        b"retry: x\n",
        b": c\n",
        b":",
        b"foo: d\n",
        b"\n",
        b"\n",
        b"\r\n",
        b"\r\n\r\n",
        b"\r",
        b"\r",
        b" ",
        b"\xef\xbb\xbf",
        b"\xef",
        b"\xbb",
        b"\xe2\x82\xac",
        b"{\"error\": 1}",
    ];
    prop::collection::vec(prop::sample::select(pieces), 0..14).prop_map(|parts| parts.concat())
}

fn cuts() -> impl Strategy<Value = Vec<prop::sample::Index>> {
    prop::collection::vec(any::<prop::sample::Index>(), 0..6)
}

/// The ends of the pieces of a stream of `len` bytes.
fn ends(cuts: &[prop::sample::Index], len: usize) -> Vec<usize> {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(len + 1)).collect();
    ends.push(len);
    ends.sort_unstable();
    ends
}

/// The standard's "interpreting an event stream" in the plainest way: type, data and id of what is dispatched. An id
/// that was set stays for the events that follow.
fn dispatched(stream: &[u8]) -> Vec<(Vec<u8>, Vec<u8>, Vec<u8>)> {
    let stream = stream.strip_prefix(b"\xef\xbb\xbf").unwrap_or(stream);
    let mut lines = vec![Vec::new()];
    let mut at = 0;
    while at < stream.len() {
        match stream[at] {
            b'\r' | b'\n' => {
                lines.push(Vec::new());
                at += usize::from(stream[at..].starts_with(b"\r\n"));
            }
            byte => lines.last_mut().unwrap().push(byte),
        }
        at += 1;
    }
    lines.pop(); // has no end
    let (mut all, mut event_type, mut data, mut id) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for line in lines {
        let colon = line.iter().position(|&byte| byte == b':').unwrap_or(line.len());
        let value = line.get(colon + 1..).unwrap_or_default();
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match &line[..colon] {
            b"" if line.is_empty() => {
                if data.pop().is_some() {
                    let name = if event_type.is_empty() { b"message".to_vec() } else { event_type };
                    all.push((name, data, id.clone()));
                }
                (event_type, data) = (Vec::new(), Vec::new());
            }
            b"event" => event_type = value.to_vec(),
            b"data" => {
                data.extend_from_slice(value);
                data.push(b'\n');
            }
            b"id" if !value.contains(&0) => id = value.to_vec(),
            _ => {}
        }
    }
    all
}

/// The value of a header that owns what it holds.
fn header_value() -> impl Strategy<Value = Owned> {
    prop_oneof![
        any::<bool>().prop_map(Owned::Bool),
        any::<i8>().prop_map(Owned::Byte),
        any::<i16>().prop_map(Owned::Short),
        any::<i32>().prop_map(Owned::Int),
        any::<i64>().prop_map(Owned::Long),
        prop::collection::vec(any::<u8>(), 1..20).prop_map(Owned::Bytes),
        "\\PC{1,10}".prop_map(Owned::Text),
        any::<i64>().prop_map(Owned::Timestamp),
        any::<[u8; 16]>().prop_map(Owned::Uuid),
    ]
}

#[derive(Clone, Debug)]
enum Owned {
    Bool(bool),
    Byte(i8),
    Short(i16),
    Int(i32),
    Long(i64),
    Bytes(Vec<u8>),
    Text(String),
    Timestamp(i64),
    Uuid([u8; 16]),
}

impl Owned {
    fn value(&self) -> HeaderValue<'_> {
        match self {
            Owned::Bool(value) => HeaderValue::Bool(*value),
            Owned::Byte(value) => HeaderValue::Byte(*value),
            Owned::Short(value) => HeaderValue::Short(*value),
            Owned::Int(value) => HeaderValue::Int(*value),
            Owned::Long(value) => HeaderValue::Long(*value),
            Owned::Bytes(value) => HeaderValue::Bytes(value),
            Owned::Text(value) => HeaderValue::Text(value),
            Owned::Timestamp(value) => HeaderValue::Timestamp(*value),
            Owned::Uuid(value) => HeaderValue::Uuid(*value),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn a_cut_changes_no_event(stream in stream_like(), cuts in cuts(), narrow: bool) {
        let limits = if narrow { NARROW } else { SseLimits::default() };
        let whole = streams::read_however_cut(&stream, limits);
        prop_assert_eq!(&streams::read(&stream, ends(&cuts, stream.len()), limits), &whole);
        prop_assert!(stream.starts_with(&whole.raw));
        prop_assert!(whole.error.is_none() || narrow);
    }

    #[test]
    fn the_reading_is_the_standards(stream in stream_like(), cuts in cuts()) {
        let read = streams::read(&stream, ends(&cuts, stream.len()), SseLimits::default());
        let mut id = Vec::new();
        let mut seen = Vec::new();
        for block in read.blocks.iter().filter(|block| block.kind != "incomplete") {
            id = block.id.clone().unwrap_or(id);
            if block.kind == "event" {
                let event_type = block.event_type.clone().unwrap_or_else(|| b"message".to_vec());
                seen.push((event_type, block.data.clone(), id.clone()));
            }
        }
        prop_assert_eq!(seen, dispatched(&stream));
    }

    #[test]
    fn the_bytes_of_an_event_alone_are_that_event(stream in stream_like()) {
        for block in streams::read(&stream, [stream.len()], SseLimits::default()).blocks {
            // a blank line before, as a byte order mark is none within a stream
            let alone = [b"\n", &block.raw[..]].concat();
            let read = streams::read(&alone, [alone.len()], SseLimits::default());
            prop_assert_eq!(read.blocks, [block]);
        }
    }

    #[test]
    fn an_event_that_is_written_reads_back(event_type in "[^\r\n]{0,12}", data in stream_like(), cuts in cuts()) {
        let event_type = EventType::new(&event_type).map(|checked| (event_type.as_bytes(), checked));
        let mut stream = Vec::new();
        for _ in 0..2 {
            write_event(&mut stream, event_type.map(|(_, checked)| checked), &data);
        }
        let read = streams::read(&stream, ends(&cuts, stream.len()), SseLimits::default());
        let ends_in_crlf = |at: usize| at > 0 && data[at - 1] == b'\r';
        let lines: Vec<u8> = (0..data.len())
            .filter(|&at| data[at] != b'\n' || !ends_in_crlf(at))
            .map(|at| if data[at] == b'\r' { b'\n' } else { data[at] })
            .collect();
        prop_assert_eq!(read.blocks.len(), 2);
        for block in read.blocks {
            prop_assert_eq!(block.kind, "event");
            prop_assert_eq!(block.event_type.as_deref(), event_type.map(|(text, _)| text));
            prop_assert_eq!(&block.data, &lines);
        }
    }

    #[test]
    fn a_cut_changes_no_frame(
        frames in prop::collection::vec((prop::collection::btree_map("\\PC{1,8}", header_value(), 0..4),
            prop::collection::vec(any::<u8>(), 0..30)), 0..4),
        damage in prop::option::of((any::<prop::sample::Index>(), 1..=255_u8)),
        cuts in cuts(),
    ) {
        let mut stream = Vec::new();
        for (headers, payload) in &frames {
            let headers: Vec<Header<'_>> =
                headers.iter().map(|(name, value)| (name.as_str(), value.value())).collect();
            let start = stream.len();
            write_frame(&mut stream, &headers, payload).unwrap();
            let mut reader = FrameReader::default();
            let frame = reader.step(&stream[start..]).unwrap().frame.unwrap();
            prop_assert_eq!(frame.headers().collect::<Vec<_>>(), headers);
            prop_assert_eq!(frame.payload(), payload);
        }
        let damaged = damage.filter(|_| !stream.is_empty());
        if let Some((at, bits)) = damaged {
            let at = at.index(stream.len());
            stream[at] ^= bits;
        }
        let whole = frames::read(&stream, [stream.len()], FrameLimits::default());
        prop_assert_eq!(&frames::read(&stream, ends(&cuts, stream.len()), FrameLimits::default()), &whole);
        prop_assert_eq!(&frames::read(&stream, 1..=stream.len(), FrameLimits::default()), &whole);
        prop_assert_eq!(whole.error.is_some(), damaged.is_some());
    }

    #[test]
    fn no_bytes_make_anything_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let read = streams::read(&bytes, [bytes.len()], SseLimits::default());
        prop_assert_eq!(&read.raw, &bytes);
        let read = frames::read_however_cut(&bytes, FrameLimits::default());
        prop_assert!(read.error.is_some() || bytes.len() < 12 + read.frames.concat().len());
    }
}

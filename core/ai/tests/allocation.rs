//! A warm stream allocates nothing: a counting allocator says so.
#![allow(clippy::unwrap_used)]
#![allow(unsafe_code)] // a global allocator cannot be written without; it only counts and passes on

use penstock_ai::event_stream::{FrameReader, HeaderValue, write_frame};
use penstock_ai::sse::{EventType, Item, SseReader, write_event};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call is passed on to the system allocator unchanged; counting touches a thread-local cell only.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps the contract of `GlobalAlloc::alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `GlobalAlloc::dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn counted(operation: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.with(Cell::get);
    operation();
    ALLOCATIONS.with(Cell::get) - before
}

const STREAM: &[u8] =
    b"\xef\xbb\xbf: c\n\nevent: x\ndata: {\"a\":1}\n\ndata: a\r\ndata: b\r\n\r\nretry: 5\n\ndata: [DONE]";

/// Reads a stream in pieces of a length, and how many items it has.
fn read_sse(reader: &mut SseReader, piece: usize) -> usize {
    reader.reset();
    let mut items = 0;
    for piece in STREAM.chunks(piece) {
        let mut at = 0;
        while at < piece.len() {
            let step = reader.step(&piece[at..]).unwrap();
            at += step.len;
            items += usize::from(step.item.is_some());
        }
    }
    assert!(matches!(reader.finish(), Some(Item::Incomplete(event)) if event.data == b"[DONE]"));
    items
}

fn read_frames(reader: &mut FrameReader, stream: &[u8], piece: usize) -> usize {
    reader.reset();
    let mut payloads = 0;
    for piece in stream.chunks(piece) {
        let mut at = 0;
        while at < piece.len() {
            let step = reader.step(&piece[at..]).unwrap();
            at += step.len;
            if let Some(frame) = step.frame {
                assert_eq!(frame.event_type(), Some("messageStop"));
                payloads += frame.payload().len();
            }
        }
    }
    payloads
}

#[test]
fn a_warm_event_stream_allocates_nothing() {
    let mut reader = SseReader::default();
    let first = counted(|| assert_eq!(read_sse(&mut reader, 7), 6));
    assert!(first > 0, "the counter counts: buffers grow in the first stream");
    for piece in [1, 2, 7, 30, STREAM.len()] {
        let again = counted(|| assert!(read_sse(&mut reader, piece) >= 5));
        assert_eq!(again, 0, "pieces of {piece} bytes");
    }
}

#[test]
fn events_whole_in_their_piece_allocate_nothing_ever() {
    let stream = b"event: x\ndata: {\"a\":1}\n\n: c\n\ndata: {\"b\":2}\n\n";
    let count = counted(|| {
        let mut reader = SseReader::default();
        let mut at = 0;
        while at < stream.len() {
            at += reader.step(&stream[at..]).unwrap().len;
        }
        assert_eq!(reader.finish(), None);
    });
    assert_eq!(count, 0);
}

#[test]
fn warm_frames_allocate_nothing() {
    let headers = [
        (":event-type", HeaderValue::Text("messageStop")),
        (":content-type", HeaderValue::Text("application/json")),
        (":message-type", HeaderValue::Text("event")),
    ];
    let mut stream = Vec::new();
    for _ in 0..3 {
        write_frame(&mut stream, &headers, br#"{"stopReason":"end_turn"}"#).unwrap();
    }
    let mut cold = FrameReader::default();
    let whole = counted(|| assert_eq!(read_frames(&mut cold, &stream, stream.len()), 75));
    assert_eq!(whole, 0, "frames whole in their piece");
    let mut reader = FrameReader::default();
    let first = counted(|| assert_eq!(read_frames(&mut reader, &stream, 7), 75));
    assert!(first > 0, "the counter counts: the buffer grows in the first stream");
    for piece in [1, 7, 100] {
        assert_eq!(
            counted(|| assert_eq!(read_frames(&mut reader, &stream, piece), 75)),
            0,
            "pieces of {piece}"
        );
    }
}

#[test]
fn warm_writers_allocate_nothing() {
    let headers = [(":event-type", HeaderValue::Text("messageStop"))];
    let mut out = Vec::new();
    let mut counts = [0; 3];
    for count in &mut counts {
        *count = counted(|| {
            out.clear();
            write_event(&mut out, EventType::new("message_stop"), b"a\nb");
            write_frame(&mut out, &headers, b"{}").unwrap();
        });
    }
    assert!(counts[0] > 0);
    assert_eq!(counts[1..], [0, 0]);
}

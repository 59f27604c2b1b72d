//! Nanoseconds an event and bytes a second of the stream readers and writers: `cargo bench -p penstock-ai --bench streams`.
//!
//! Each figure is the best of several rounds, which on a shared machine tells most about the code itself.
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#![allow(clippy::unwrap_used)]

use penstock_ai::event_stream::{FrameReader, HeaderValue, write_frame};
use penstock_ai::sse::{EventType, Item, SseReader, write_event};
use std::hint::black_box;
use std::time::Instant;

const ROUNDS: usize = 9;
/// Bytes of the streams, about what one read of a socket brings.
const STREAM_BYTES: usize = 64 * 1024;

/// Runs an operation on `events` events of `bytes` bytes together.
fn measure(name: &str, events: usize, bytes: usize, mut operation: impl FnMut()) {
    let times = (40_000_000 / bytes).max(1) as u32;
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        for _ in 0..times {
            operation();
        }
        best = best.min(begun.elapsed().as_nanos() as f64 / f64::from(times));
    }
    println!("{name:<56} {:>8.1} ns an event {:>7.2} GB/s", best / events as f64, bytes as f64 / best);
}

/// Reads a stream piece by piece; how many events it has.
fn read_sse(reader: &mut SseReader, stream: &[u8], piece: usize) -> usize {
    let mut events = 0;
    for piece in stream.chunks(piece) {
        let mut at = 0;
        while at < piece.len() {
            let step = reader.step(&piece[at..]).unwrap();
            at += step.len;
            if let Some(Item::Event(event)) = step.item {
                black_box(event);
                events += 1;
            }
        }
    }
    events
}

fn read_frames(reader: &mut FrameReader, stream: &[u8], piece: usize) -> usize {
    let mut frames = 0;
    for piece in stream.chunks(piece) {
        let mut at = 0;
        while at < piece.len() {
            let step = reader.step(&piece[at..]).unwrap();
            at += step.len;
            if let Some(frame) = step.frame {
                black_box((frame.event_type(), frame.payload()));
                frames += 1;
            }
        }
    }
    frames
}

/// A stream to read: its name, one event of it with a text of some length, that length, and the bytes of a piece.
type Kind<'a> = (&'a str, &'a dyn Fn(usize) -> String, usize, usize);

fn main() {
    let text = |len: usize| format!("{{\"delta\":\"{}\"}}", "x".repeat(len));
    let anthropic = |len| format!("event: content_block_delta\ndata: {}\n\n", text(len));
    let openai = |len| format!("data: {}\n\n", text(len));
    let gemini = |len| format!("data: {}\r\n\r\n", text(len));
    let lines =
        |len| format!("data: {}\ndata: {}\ndata: {}\n\n", text(len / 3), text(len / 3), text(len / 3));
    let keep_alive = |_| ": keep-alive\n\ndata: 1\n\n".to_string();
    let kinds: [Kind<'_>; 9] = [
        ("data of 1 kB, 64 KiB a piece", &openai, 1000, STREAM_BYTES),
        ("event and data of 1 kB, 64 KiB a piece", &anthropic, 960, STREAM_BYTES),
        ("data of 1 kB with CRLF, 64 KiB a piece", &gemini, 1000, STREAM_BYTES),
        ("data of 1 kB in three lines, 64 KiB a piece", &lines, 970, STREAM_BYTES),
        ("data of 1 kB, 1,460 bytes a piece", &openai, 1000, 1460),
        ("data of 200 bytes, 64 KiB a piece", &openai, 180, STREAM_BYTES),
        ("event and data of 100 bytes, 64 KiB a piece", &anthropic, 50, STREAM_BYTES),
        ("comment and data of 10 bytes, 64 KiB a piece", &keep_alive, 0, STREAM_BYTES),
        ("data of 1 MB, 16 KiB a piece", &openai, 1_000_000, 16 * 1024),
    ];
    println!("text/event-stream");
    let mut reader = SseReader::default();
    for (name, make, len, piece) in kinds {
        let event = make(len);
        let events = (STREAM_BYTES / event.len()).max(1);
        let stream = event.repeat(events).into_bytes();
        reader.reset();
        assert!(read_sse(&mut reader, &stream, piece) == events);
        measure(name, events, stream.len(), || {
            black_box(read_sse(&mut reader, black_box(&stream), piece));
        });
    }
    let event_type = EventType::new("content_block_delta");
    let mut out = Vec::with_capacity(4096);
    for len in [50, 960] {
        let data = text(len);
        out.clear();
        write_event(&mut out, event_type, data.as_bytes());
        measure(&format!("write {} bytes", out.len()), 1, out.len(), || {
            out.clear();
            write_event(&mut out, black_box(event_type), black_box(data.as_bytes()));
            black_box(&out);
        });
    }

    println!("application/vnd.amazon.eventstream");
    let headers = [
        (":event-type", HeaderValue::Text("contentBlockDelta")),
        (":content-type", HeaderValue::Text("application/json")),
        (":message-type", HeaderValue::Text("event")),
    ];
    let mut reader = FrameReader::default();
    for (len, piece) in [(60, STREAM_BYTES), (840, STREAM_BYTES), (840, 1460)] {
        let mut frame = Vec::new();
        write_frame(&mut frame, &headers, text(len).as_bytes()).unwrap();
        let frames = STREAM_BYTES / frame.len();
        let stream = frame.repeat(frames);
        reader.reset();
        assert!(read_frames(&mut reader, &stream, piece) == frames);
        let name = format!("frames of {} bytes, {piece} bytes a piece", frame.len());
        measure(&name, frames, stream.len(), || {
            black_box(read_frames(&mut reader, black_box(&stream), piece));
        });
    }
    let data = text(60);
    out.clear();
    write_frame(&mut out, &headers, data.as_bytes()).unwrap();
    measure(&format!("write a frame of {} bytes", out.len()), 1, out.len(), || {
        out.clear();
        write_frame(&mut out, black_box(&headers), black_box(data.as_bytes())).unwrap();
        black_box(&out);
    });
}

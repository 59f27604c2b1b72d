//! Streams of providers as they were recorded, replayed whole, byte by byte and cut in two at every place.
#![allow(clippy::unwrap_used)]

mod frames;
mod recordings;
mod streams;

use penstock_ai::event_stream::{FrameLimits, FrameReader, write_frame};
use penstock_ai::sse::SseLimits;
use std::path::Path;
use streams::read_however_cut;

/// The recorded streams of a kind, by the name of their folder.
fn replays(end: &str) -> Vec<(&'static str, &'static [u8])> {
    let folder = |path: &'static Path| path.parent().unwrap().file_name().unwrap().to_str().unwrap();
    let found: Vec<_> = recordings::files(end).map(|(path, stream)| (folder(path), stream)).collect();
    assert!(recordings::are_absent() || !found.is_empty(), "no {end} among the recordings");
    found
}

#[test]
fn recorded_event_streams_are_read_however_cut() {
    for (name, stream) in replays(".response.sse") {
        let read = read_however_cut(stream, SseLimits::default());
        let crlf = stream.windows(4).filter(|bytes| bytes == b"\r\n\r\n").count();
        let lf = stream.windows(2).filter(|bytes| bytes == b"\n\n").count();
        assert_eq!(read.blocks.len(), crlf + lf, "{name}: one event a blank line");
        assert_eq!(crlf > 0, name.starts_with("gemini"), "{name}: lines end in CRLF");
        for block in &read.blocks {
            assert_eq!((block.kind, block.stray.as_slice()), ("event", &b""[..]), "{name}");
            assert!(
                block.raw.ends_with(if crlf > 0 { b"\r\n\r\n" } else { b"}\n\n" }) || block.data == b"[DONE]"
            );
        }
        let raws: Vec<u8> = read.blocks.iter().flat_map(|block| block.raw.clone()).collect();
        assert_eq!(raws, stream, "{name}: nothing stands between the events");
        let last = &read.blocks.last().unwrap().data;
        let ends_done = name.starts_with("openai-chat")
            || (name.starts_with("groq") && !last.starts_with(br#"{"error":"#));
        assert_eq!(last == b"[DONE]", ends_done, "{name}");
        let typed = name.starts_with("anthropic") || name.starts_with("openai-responses");
        for block in &read.blocks {
            let json = std::str::from_utf8(&block.data).unwrap();
            match &block.event_type {
                Some(event_type) if typed => {
                    let event_type = std::str::from_utf8(event_type).unwrap();
                    let json = json.replacen("\": \"", "\":\"", 1);
                    assert!(json.contains(&format!(r#""type":"{event_type}""#)), "{name}: {event_type}");
                }
                event_type => {
                    assert!(!typed && event_type.is_none() || event_type.as_deref() == Some(b"error"))
                }
            }
        }
    }
}

#[test]
fn recorded_frames_are_read_however_cut() {
    for (name, stream) in replays(".response.eventstream.bin") {
        let read = frames::read_however_cut(stream, FrameLimits::default());
        assert_eq!((read.error, read.rest.len()), (None, 0), "{name}");
        let mut types = Vec::new();
        for raw in &read.frames {
            let mut reader = FrameReader::default();
            let frame = reader.step(raw).unwrap().frame.unwrap();
            assert_eq!(
                (frame.message_type(), frame.content_type()),
                (Some("event"), Some("application/json"))
            );
            assert!(frame.payload().starts_with(b"{") && frame.payload().ends_with(b"}"), "{name}");
            types.push(frame.event_type().unwrap().to_string());
            let mut written = Vec::new();
            write_frame(&mut written, &frame.headers().collect::<Vec<_>>(), frame.payload()).unwrap();
            assert_eq!(&written, raw, "{name}: what is written of it is the same");
        }
        assert_eq!(types[0], "messageStart", "{name}");
        assert_eq!(types[types.len() - 2..], ["messageStop", "metadata"], "{name}: usage comes last");
    }
}

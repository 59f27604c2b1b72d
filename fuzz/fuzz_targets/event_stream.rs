//! Frames of any headers and payloads, their checksums right, and any bytes behind them, in one piece, in two, and byte
//! by byte; a frame that passes is written as the same bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use penstock_ai::event_stream::{
    FrameError, FrameLimits, FrameReader, HeaderFault, HeaderValue, write_frame,
};

fuzz_target!(|input: (u16, Vec<(&[u8], &[u8])>, &[u8])| {
    let (cut, frames, tail) = input;
    let mut bytes = Vec::new();
    for (headers, payload) in frames {
        frame(&mut bytes, headers, payload);
    }
    bytes.extend_from_slice(tail);
    let whole = read(&bytes, [bytes.len()].into_iter());
    let cut = usize::from(cut) % (bytes.len() + 1);
    assert_eq!(whole, read(&bytes, [cut, bytes.len()].into_iter()));
    assert_eq!(whole, read(&bytes, 0..=bytes.len()));
    let raw = [whole.frames.concat(), whole.rest].concat();
    assert!(bytes.starts_with(&raw) && (whole.error.is_some() || bytes.len() == raw.len()));
    for raw in &whole.frames {
        let mut reader = FrameReader::default();
        let frame = reader.step(raw).expect("it was read before").frame.expect("it is complete");
        let headers: Vec<_> = frame.headers().collect();
        let empty =
            |value: &HeaderValue<'_>| matches!(value, HeaderValue::Text("") | HeaderValue::Bytes(b""));
        let mut written = Vec::new();
        let result = write_frame(&mut written, &headers, frame.payload());
        if headers.iter().any(|(_, value)| empty(value)) {
            assert_eq!(result, Err(FrameError::Header(HeaderFault::ValueEmpty)));
        } else {
            assert_eq!(result, Ok(()));
            assert_eq!(&written, raw);
        }
    }
});

/// A frame whose lengths and checksums fit what it holds.
fn frame(out: &mut Vec<u8>, headers: &[u8], payload: &[u8]) {
    let start = out.len();
    for len in [16 + headers.len() + payload.len(), headers.len()] {
        out.extend_from_slice(&u32::try_from(len).expect("inputs are short").to_be_bytes());
    }
    out.extend_from_slice(&crc32fast::hash(&out[start..]).to_be_bytes());
    out.extend_from_slice(headers);
    out.extend_from_slice(payload);
    out.extend_from_slice(&crc32fast::hash(&out[start..]).to_be_bytes());
}

#[derive(Debug, Default, PartialEq)]
struct Read {
    frames: Vec<Vec<u8>>,
    rest: Vec<u8>,
    error: Option<FrameError>,
}

fn read(bytes: &[u8], ends: impl Iterator<Item = usize>) -> Read {
    let limits = FrameLimits { frame_bytes_max: 400, headers_bytes_max: 200, headers_max: 5 };
    let mut reader = FrameReader::new(limits);
    let mut read = Read::default();
    let mut at = 0;
    for end in ends {
        while at < end {
            match reader.step(&bytes[at..end]) {
                Ok(step) => {
                    at += step.len;
                    read.frames.extend(step.frame.map(|frame| frame.raw().to_vec()));
                }
                Err(error) => {
                    read.error = Some(error);
                    return read;
                }
            }
        }
    }
    read.rest = reader.finish().unwrap_or_default().to_vec();
    read
}

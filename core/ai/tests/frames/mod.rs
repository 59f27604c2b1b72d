//! Reads a stream of frames in pieces and keeps what came out.

use penstock_ai::event_stream::{FrameError, FrameLimits, FrameReader};

/// All that came of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Read {
    /// The bytes of each frame.
    pub(crate) frames: Vec<Vec<u8>>,
    /// Each frame as text.
    pub(crate) shown: Vec<String>,
    /// The bytes of a last frame that is not complete.
    pub(crate) rest: Vec<u8>,
    pub(crate) error: Option<FrameError>,
}

/// Reads a stream whose pieces end at the given places, the last of them at its end.
pub(crate) fn read(bytes: &[u8], ends: impl IntoIterator<Item = usize>, limits: FrameLimits) -> Read {
    let mut reader = FrameReader::new(limits);
    let mut read = Read::default();
    let mut at = 0;
    for end in ends {
        while at < end {
            match reader.step(&bytes[at..end]) {
                Ok(step) => {
                    assert!(step.frame.is_some() || step.len == end - at, "all is taken until a frame comes");
                    at += step.len;
                    if let Some(frame) = step.frame {
                        read.frames.push(frame.raw().to_vec());
                        read.shown.push(format!("{frame:?}"));
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
    read.rest = reader.finish().unwrap_or_default().to_vec();
    assert_eq!(reader.finish(), None);
    assert_eq!([read.frames.concat(), read.rest.clone()].concat(), bytes, "every byte comes out again");
    read
}

/// Reads a stream whole, byte by byte and cut in two at every place; all must be the same.
pub(crate) fn read_however_cut(bytes: &[u8], limits: FrameLimits) -> Read {
    let whole = read(bytes, [bytes.len()], limits);
    assert_eq!(read(bytes, 1..=bytes.len(), limits), whole, "byte by byte");
    for cut in 1..bytes.len() {
        assert_eq!(read(bytes, [cut, bytes.len()], limits), whole, "cut at {cut}");
    }
    whole
}

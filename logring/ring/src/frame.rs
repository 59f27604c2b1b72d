//! The frame around a payload: magic, checksum, absolute position, length, kind.
//!
//! Knows how frames tile the ring: each starts at a multiple of eight, none crosses a 64 KiB
//! boundary, and one starts at every such boundary. Must not know payloads or memory.

use crate::payload::PAYLOAD_BYTES_MAX;

/// First four bytes of every frame.
pub const FRAME_MAGIC: [u8; 4] = *b"pCal";
/// Bytes before the payload.
pub const FRAME_HEAD_BYTES: usize = 24;
/// A frame starts at every multiple of this, so that a reader finds its feet after damage.
pub const BLOCK_BYTES: u64 = 64 * 1024;
/// The longest frame, padded to eight.
pub const FRAME_BYTES_MAX: usize = (FRAME_HEAD_BYTES + PAYLOAD_BYTES_MAX).next_multiple_of(8);

const _: () = assert!(FRAME_BYTES_MAX <= 8192, "the bound that docs/ring-format.md names");

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// One call.
    Call = 1,
    /// An amendment to an earlier call of this ring.
    Amend = 2,
    /// Nothing: the rest of a block. The one that ends at the ring's end is the wrap marker.
    Fill = 3,
}

/// A frame's head, its magic and checksum already checked or still to be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) position: u64,
    /// Payload length in bytes.
    pub(crate) length: u32,
    pub(crate) kind: Kind,
}

/// Why bytes at a position are no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// No magic: never written, or overwritten by something else.
    #[error("no frame")]
    Magic,
    /// A frame of another lap or another place.
    #[error("frame of position {0}")]
    Position(u64),
    /// A length that no frame may have here.
    #[error("length {0} out of bounds")]
    Length(u32),
    /// An unknown kind.
    #[error("unknown kind {0}")]
    Kind(u8),
    /// The checksum differs.
    #[error("checksum differs")]
    Checksum,
}

impl Head {
    /// Bytes from the frame's start to its padded end.
    pub(crate) fn frame_bytes(&self) -> u64 {
        (FRAME_HEAD_BYTES as u64 + u64::from(self.length)).next_multiple_of(8)
    }

    /// Writes the head in front of the payload and padding that already stand in `frame`, with the
    /// checksum.
    #[inline]
    pub(crate) fn seal(&self, frame: &mut [u8]) {
        frame[8..16].copy_from_slice(&self.position.to_le_bytes());
        let last = u64::from(self.length) | (self.kind as u64) << 32;
        frame[16..24].copy_from_slice(&last.to_le_bytes());
        let covered = self.covered();
        let first =
            u64::from(u32::from_le_bytes(FRAME_MAGIC)) | u64::from(checksum(&frame[8..covered])) << 32;
        frame[0..8].copy_from_slice(&first.to_le_bytes());
    }

    /// End of the bytes under the checksum: the padding too, as whole words are faster; but not a
    /// fill's content, which is whatever stood there before.
    fn covered(&self) -> usize {
        match self.kind {
            Kind::Fill => FRAME_HEAD_BYTES,
            Kind::Call | Kind::Amend => self.frame_bytes() as usize,
        }
    }

    /// Reads the first [`FRAME_HEAD_BYTES`] at `position`; the checksum is left to [`Head::verify`].
    pub(crate) fn parse(bytes: &[u8; FRAME_HEAD_BYTES], position: u64) -> Result<Head, FrameError> {
        let word = |at: usize| {
            let mut four = [0; 4];
            four.copy_from_slice(&bytes[at..at + 4]);
            u32::from_le_bytes(four)
        };
        if bytes[0..4] != FRAME_MAGIC {
            return Err(FrameError::Magic);
        }
        let held = u64::from(word(8)) | u64::from(word(12)) << 32;
        if held != position {
            return Err(FrameError::Position(held));
        }
        let length = word(16);
        let kind = match bytes[20] {
            1 => Kind::Call,
            2 => Kind::Amend,
            3 => Kind::Fill,
            other => return Err(FrameError::Kind(other)),
        };
        let head = Head { position, length, kind };
        let room = block_end(position) - position;
        let fits = match kind {
            Kind::Fill => FRAME_HEAD_BYTES as u64 + u64::from(length) == room,
            Kind::Call | Kind::Amend => length as usize <= PAYLOAD_BYTES_MAX && head.frame_bytes() <= room,
        };
        if fits { Ok(head) } else { Err(FrameError::Length(length)) }
    }

    /// Checks the checksum of a whole copied frame.
    pub(crate) fn verify(&self, frame: &[u8]) -> Result<(), FrameError> {
        let mut held = [0; 4];
        held.copy_from_slice(&frame[4..8]);
        if checksum(&frame[8..self.covered()]) == u32::from_le_bytes(held) {
            Ok(())
        } else {
            Err(FrameError::Checksum)
        }
    }
}

/// CRC-32C over the magic and the bytes that follow the checksum field.
#[inline]
fn checksum(rest: &[u8]) -> u32 {
    crate::checksum::append(MAGIC_CHECKSUM, rest)
}

/// CRC-32C of [`FRAME_MAGIC`]; a test computes it.
const MAGIC_CHECKSUM: u32 = 0x4f70_10ff;

/// End of the block that holds `position`.
#[inline]
pub(crate) fn block_end(position: u64) -> u64 {
    (position / BLOCK_BYTES + 1) * BLOCK_BYTES
}

/// Where the next frame starts after one of `bytes` at `position`: right behind it, or at the next
/// block if no head would fit before it.
#[inline]
pub(crate) fn next_start(position: u64, bytes: u64) -> u64 {
    let end = position + bytes;
    let room = BLOCK_BYTES - end % BLOCK_BYTES;
    if room < FRAME_HEAD_BYTES as u64 { end + room } else { end }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_magic_checksum_constant_is_right() {
        assert_eq!(crc32c::crc32c(&FRAME_MAGIC), MAGIC_CHECKSUM);
    }

    #[test]
    fn a_rest_too_small_for_a_head_belongs_to_the_frame_before_it() {
        for (position, bytes, next) in [
            (0, 24, 24),
            (0, BLOCK_BYTES, BLOCK_BYTES),
            (0, BLOCK_BYTES - 24, BLOCK_BYTES - 24),
            (0, BLOCK_BYTES - 16, BLOCK_BYTES),
            (BLOCK_BYTES, BLOCK_BYTES - 8, 2 * BLOCK_BYTES),
        ] {
            assert_eq!(next_start(position, bytes), next);
        }
    }

    #[test]
    fn every_flipped_bit_is_seen() {
        let mut frame = vec![0xA5u8; FRAME_BYTES_MAX];
        let head = Head { position: 128, length: 40, kind: Kind::Call };
        head.seal(&mut frame);
        for bit in 0..64 * 8 {
            let mut damaged = frame.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let mut first = [0; FRAME_HEAD_BYTES];
            first.copy_from_slice(&damaged[..FRAME_HEAD_BYTES]);
            let seen = Head::parse(&first, 128).and_then(|head| head.verify(&damaged));
            assert!(seen.is_err(), "bit {bit}");
        }
    }
}

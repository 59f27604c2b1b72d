//! Where a ring ends, after the process or the machine died.
//!
//! Same boot: the kernel kept every page, so `written` is the truth. Another boot: pages reached
//! the disk in any order or not at all, so the frames themselves are asked, by position and
//! checksum. Must not know files.

use crate::frame::BLOCK_BYTES;
use crate::header::Ring;
use crate::reader::{Cursor, Item};

/// The readable part of a ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Position of the oldest frame that can be read.
    pub oldest: u64,
    /// Position of the first frame that the drain has not committed.
    pub read: u64,
    /// End of what was published.
    pub end: u64,
    /// Whether the end was found by scanning, because the machine has started again since.
    pub scanned: bool,
}

/// Finds the readable part. Reads the header only in the same boot, the first frame of every block
/// and the newest block else. Writes nothing.
pub fn extent(ring: &Ring, boot_id: [u8; 16]) -> Extent {
    if ring.identity().boot_id == boot_id {
        let end = ring.written();
        return Extent { oldest: ring.oldest(), read: ring.read(), end, scanned: false };
    }
    let capacity = ring.identity().capacity;
    let end = scan_end(ring);
    let floor = end.saturating_sub(capacity).next_multiple_of(BLOCK_BYTES);
    let oldest = ring.oldest().min(end).max(floor);
    Extent { oldest, read: ring.read().min(end).max(oldest), end, scanned: true }
}

/// Brings the header in line with [`extent`] and the present boot. Only for the holder of the run's
/// lock, with no writer alive.
pub fn recover(ring: &Ring, boot_id: [u8; 16]) -> Extent {
    let found = extent(ring, boot_id);
    if found.scanned {
        ring.set_reserved(found.end);
        ring.set_written(found.end);
        ring.set_oldest(found.oldest);
        ring.set_read(found.read);
        ring.set_boot_id(boot_id);
    }
    found
}

/// The newest block whose first frame is whole, walked to its last whole frame.
fn scan_end(ring: &Ring) -> u64 {
    let capacity = ring.identity().capacity;
    let newest =
        (0..capacity / BLOCK_BYTES).filter_map(|block| block_position(ring, block * BLOCK_BYTES)).max();
    let Some(start) = newest else {
        return 0;
    };
    let mut cursor = Cursor::at(ring.clone(), start);
    let mut end = start;
    loop {
        match cursor.next_unpublished(start + BLOCK_BYTES) {
            Item::Call(_) | Item::Amend(_) => end = cursor.position(),
            Item::End => return cursor.position().max(end),
            Item::Damage { .. } | Item::Lapped { .. } => return end,
        }
    }
}

/// Position of the whole frame that starts the block at `offset`, `None` if there is none.
fn block_position(ring: &Ring, offset: u64) -> Option<u64> {
    let position = Cursor::position_at(ring, offset)?;
    if position % ring.identity().capacity != offset {
        return None;
    }
    Cursor::at(ring.clone(), position).is_whole().then_some(position)
}

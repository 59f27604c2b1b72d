//! The ring's header of 4 KiB and the words behind it.
//!
//! Knows where each field stands; the fields that change stand 128 bytes apart (two cache lines,
//! as processors fetch pairs). Must not know frames' contents.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::frame::BLOCK_BYTES;
use crate::memory::Memory;

/// First eight bytes of a ring file.
pub const RING_MAGIC: [u8; 8] = *b"PENSTRNG";
/// Version of the format in `docs/ring-format.md`.
pub const FORMAT_VERSION: u32 = 1;
/// Bytes before the frames.
pub const HEADER_BYTES: u64 = 4096;
/// Smallest capacity: four blocks.
pub const CAPACITY_BYTES_MIN: u64 = 4 * BLOCK_BYTES;
/// Capacity where none is configured: 64 MiB, about two seconds of a busy worker.
pub const CAPACITY_BYTES_DEFAULT: u64 = 64 << 20;
/// Largest capacity: 4 GiB.
pub const CAPACITY_BYTES_MAX: u64 = 4 << 30;

const MAGIC: usize = 0;
const VERSION: usize = 1; // low half version, high half header bytes
const CAPACITY: usize = 2;
const RUN: usize = 3;
const WORKER: usize = 4;
const CREATED: usize = 5;
const BOOT: usize = 6; // and 7
const RESERVED: usize = 256 / 8;
const WRITTEN: usize = 384 / 8;
const READ: usize = 512 / 8;
const OLDEST: usize = 640 / 8;
const DROPPED: usize = 768 / 8;
const HEARTBEAT: usize = 896 / 8;

/// Why a file is no ring that this version can read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// The first bytes are not a ring's.
    #[error("not a ring: the first eight bytes differ")]
    Magic,
    /// Another format version.
    #[error("ring format version {0}, this program reads version {FORMAT_VERSION}")]
    Version(u32),
    /// A capacity out of bounds, or not a multiple of 64 KiB.
    #[error("capacity of {0} bytes is not valid")]
    Capacity(u64),
    /// The file is shorter than its capacity says.
    #[error("file of {file} bytes is cut: header and frames take {whole}")]
    Cut {
        /// Bytes that are there.
        file: u64,
        /// Bytes that the header promises.
        whole: u64,
    },
}

/// What is fixed when a ring is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// Bytes of the frames' area.
    pub capacity: u64,
    /// The run (one process).
    pub run: u64,
    /// The worker's number.
    pub worker: u32,
    /// Wall clock at creation, ns since 1970.
    pub created_ns: u64,
    /// The kernel's boot id, in binary.
    pub boot_id: [u8; 16],
}

/// A ring: memory with a checked header.
#[derive(Clone, Debug)]
pub struct Ring {
    memory: Memory,
    identity: Identity,
    /// Bytes of the frames' area that are really there: less than the capacity in a cut file.
    present: u64,
}

/// Checks a capacity against its bounds.
pub fn check_capacity(capacity: u64) -> Result<(), HeaderError> {
    let fits = (CAPACITY_BYTES_MIN..=CAPACITY_BYTES_MAX).contains(&capacity);
    if fits && capacity.is_multiple_of(BLOCK_BYTES) { Ok(()) } else { Err(HeaderError::Capacity(capacity)) }
}

impl Ring {
    /// Writes a fresh header into zeroed memory, which must hold header and capacity.
    pub fn format(memory: Memory, identity: Identity) -> Result<Ring, HeaderError> {
        check_capacity(identity.capacity)?;
        let whole = HEADER_BYTES + identity.capacity;
        let file = memory.words().len() as u64 * 8;
        if file < whole {
            return Err(HeaderError::Cut { file, whole });
        }
        let words = memory.words();
        let set = |index: usize, value: u64| words[index].store(value.to_le(), Ordering::Relaxed);
        set(VERSION, u64::from(FORMAT_VERSION) | HEADER_BYTES << 32);
        set(CAPACITY, identity.capacity);
        set(RUN, identity.run);
        set(WORKER, u64::from(identity.worker));
        set(CREATED, identity.created_ns);
        let ring = Ring { memory, identity, present: identity.capacity };
        ring.set_boot_id(identity.boot_id);
        // The magic comes last: a half-made ring is no ring.
        ring.memory.words()[MAGIC].store(u64::from_ne_bytes(RING_MAGIC), Ordering::Release);
        Ok(ring)
    }

    /// Reads and checks the header of existing memory.
    pub fn open(memory: Memory) -> Result<Ring, HeaderError> {
        let ring = Ring::open_damaged(memory)?;
        let whole = HEADER_BYTES + ring.identity.capacity;
        if ring.present < ring.identity.capacity {
            return Err(HeaderError::Cut { file: HEADER_BYTES + ring.present, whole });
        }
        Ok(ring)
    }

    /// As [`Ring::open`], but a file cut short is opened for reading what is left of it.
    pub fn open_damaged(memory: Memory) -> Result<Ring, HeaderError> {
        let words = memory.words();
        let file = words.len() as u64 * 8;
        if file < HEADER_BYTES {
            return Err(HeaderError::Cut { file, whole: HEADER_BYTES });
        }
        if words[MAGIC].load(Ordering::Acquire) != u64::from_ne_bytes(RING_MAGIC) {
            return Err(HeaderError::Magic);
        }
        let get = |index: usize| u64::from_le(words[index].load(Ordering::Relaxed));
        let version = get(VERSION) as u32;
        if version != FORMAT_VERSION {
            return Err(HeaderError::Version(version));
        }
        let capacity = get(CAPACITY);
        check_capacity(capacity)?;
        let mut boot_id = [0; 16];
        boot_id[..8].copy_from_slice(&words[BOOT].load(Ordering::Relaxed).to_ne_bytes());
        boot_id[8..].copy_from_slice(&words[BOOT + 1].load(Ordering::Relaxed).to_ne_bytes());
        let identity = Identity {
            capacity,
            run: get(RUN),
            worker: get(WORKER) as u32,
            created_ns: get(CREATED),
            boot_id,
        };
        let present = (file - HEADER_BYTES).min(capacity);
        Ok(Ring { memory, identity, present })
    }

    /// What was fixed when the ring was made.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Bytes of the frames' area that are really there.
    pub fn present(&self) -> u64 {
        self.present
    }

    /// Writes dirty pages back to disk and waits for it. Costs a disk write: never on a worker.
    pub fn sync(&self) -> std::io::Result<()> {
        self.memory.sync()
    }

    pub(crate) fn set_boot_id(&self, boot_id: [u8; 16]) {
        let words = self.memory.words();
        let (mut low, mut high) = ([0; 8], [0; 8]);
        low.copy_from_slice(&boot_id[..8]);
        high.copy_from_slice(&boot_id[8..]);
        words[BOOT].store(u64::from_ne_bytes(low), Ordering::Relaxed);
        words[BOOT + 1].store(u64::from_ne_bytes(high), Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn frames(&self) -> &[AtomicU64] {
        &self.memory.words()[HEADER_BYTES as usize / 8..]
    }

    #[inline]
    fn get(&self, index: usize, order: Ordering) -> u64 {
        u64::from_le(self.memory.words()[index].load(order))
    }

    #[inline]
    fn set(&self, index: usize, value: u64, order: Ordering) {
        self.memory.words()[index].store(value.to_le(), order);
    }

    /// Position up to which the writer may be writing.
    #[inline]
    pub fn reserved(&self) -> u64 {
        self.get(RESERVED, Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn set_reserved(&self, position: u64) {
        self.set(RESERVED, position, Ordering::Relaxed);
    }

    /// Position up to which frames are published.
    #[inline]
    pub fn written(&self) -> u64 {
        self.get(WRITTEN, Ordering::Acquire)
    }

    #[inline]
    pub(crate) fn set_written(&self, position: u64) {
        self.set(WRITTEN, position, Ordering::Release);
    }

    /// Position up to which the drain has read.
    #[inline]
    pub fn read(&self) -> u64 {
        self.get(READ, Ordering::Acquire)
    }

    #[inline]
    pub(crate) fn set_read(&self, position: u64) {
        self.set(READ, position, Ordering::Release);
    }

    /// Position of the oldest frame that is still readable.
    #[inline]
    pub fn oldest(&self) -> u64 {
        self.get(OLDEST, Ordering::Acquire)
    }

    #[inline]
    pub(crate) fn set_oldest(&self, position: u64) {
        self.set(OLDEST, position, Ordering::Relaxed);
    }

    /// Calls and amendments that found the ring full.
    #[inline]
    pub fn dropped(&self) -> u64 {
        self.get(DROPPED, Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn set_dropped(&self, count: u64) {
        self.set(DROPPED, count, Ordering::Relaxed);
    }

    /// When the worker last said that it lives, ns since 1970.
    #[inline]
    pub fn heartbeat_ns(&self) -> u64 {
        self.get(HEARTBEAT, Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn set_heartbeat_ns(&self, now_ns: u64) {
        self.set(HEARTBEAT, now_ns, Ordering::Relaxed);
    }
}

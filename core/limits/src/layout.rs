//! Where things stand in the region: header, directory of limits, seats of workers, locks, slots, what is reserved in
//! each slot, rolling blocks, wide blocks.
//!
//! Knows: offsets in words. Must not: read or write them.

/// First word of a region of ours. Its last character is the version of this layout and of the words' meaning: a region
/// of another version is not read.
pub(crate) const MAGIC: u64 = u64::from_be_bytes(*b"penslim2");

/// Words of the header.
pub(crate) const HEADER_WORDS: usize = 64;
pub(crate) mod header {
    pub(crate) const MAGIC: usize = 0;
    pub(crate) const SHAPE: usize = 1;
    pub(crate) const SHAPE_MORE: usize = 2;
    pub(crate) const BOOT_LOW: usize = 3;
    pub(crate) const BOOT_HIGH: usize = 4;
    pub(crate) const MONO_BASE: usize = 5;
    pub(crate) const POOL_BASE: usize = 6;
    pub(crate) const ALIGN: usize = 7;
    /// Pool time of the opening after a power cut, plus one; 0: none.
    pub(crate) const CUT: usize = 8;
    pub(crate) const SHAPE_WIDE: usize = 9;
    /// Latest pool time anybody told.
    pub(crate) const HEARTBEAT: usize = 16;
    /// Number of seats taken.
    pub(crate) const WORKERS: usize = 24;
    /// Free rolling blocks: tag in the high half, block + 1 in the low half.
    pub(crate) const FREE_BLOCK: usize = 32;
    /// Free wide blocks, in the same form.
    pub(crate) const FREE_WIDE: usize = 40;
}

/// Words of one limit in the directory.
pub(crate) const ENTRY_WORDS: usize = 16;
pub(crate) mod entry {
    pub(crate) const ID_LOW: usize = 0;
    pub(crate) const ID_HIGH: usize = 1;
    /// Method as a number, plus one.
    pub(crate) const METHOD: usize = 2;
    pub(crate) const INTERVAL: usize = 3;
    /// Set while a configuration holds the limit.
    pub(crate) const IN_USE: usize = 4;
    /// Latest window index that any worker saw.
    pub(crate) const LATEST: usize = 5;
    pub(crate) const KEYS: usize = 8;
    /// Decisions that fell to the overflow bucket.
    pub(crate) const OVERFLOWED: usize = 9;
}

/// Leases one worker can hold at once: the size of its cache of keys.
pub const LEASES_MAX: usize = 2048;
/// Concurrency permits one worker can hold at once.
pub const PERMITS_WORKER_MAX: usize = 16_384;
/// Words of one seat: state and run on one line, then lease records, then permit records.
pub(crate) const SEAT_WORDS: usize = 8 + LEASES_MAX + PERMITS_WORKER_MAX;
pub(crate) mod seat {
    /// Generation in the high half, 1 in the low half while taken.
    pub(crate) const STATE: usize = 0;
    pub(crate) const RUN: usize = 1;
    pub(crate) const LEASES: usize = 8;
    pub(crate) const PERMITS: usize = 8 + super::LEASES_MAX;
}

/// Locks that serialise the first appearance of keys.
pub(crate) const LOCKS: usize = 256;

/// Words of one slot: two of key, two of state.
pub(crate) const SLOT_WORDS: usize = 4;
/// Slots in one set of the table; a key stands in one of two sets.
pub(crate) const SET_SLOTS: usize = 8;
/// Words of one rolling block: state, index, 60 halves.
pub(crate) const BLOCK_WORDS: usize = 32;
/// Words of one wide block: sum, index, what is reserved, marks and holder, 60 sub-buckets.
pub(crate) const WIDE_WORDS: usize = 64;

/// Sizes of a region, in things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) limits: usize,
    pub(crate) seats: usize,
    pub(crate) sets: usize,
    pub(crate) blocks: usize,
    pub(crate) wide: usize,
}

impl Layout {
    /// The table is made for `keys` at 3/4 of its slots, which two choices of sets of eight bear with room.
    pub(crate) fn new(
        limits: usize,
        seats: usize,
        keys: usize,
        rolling_keys: usize,
        wide_keys: usize,
    ) -> Self {
        let sets = (keys + keys / 3).div_ceil(SET_SLOTS).max(2);
        Self { limits, seats, sets, blocks: rolling_keys, wide: wide_keys }
    }

    /// Three words that say whether a file has this layout.
    pub(crate) fn shape(&self) -> [u64; 3] {
        [
            (self.limits as u64) << 32 | self.seats as u64,
            (self.sets as u64) << 32 | self.blocks as u64,
            self.wide as u64,
        ]
    }

    #[inline]
    pub(crate) fn entry(&self, ordinal: u32) -> usize {
        HEADER_WORDS + ordinal as usize * ENTRY_WORDS
    }

    #[inline]
    pub(crate) fn seat(&self, seat: u32) -> usize {
        HEADER_WORDS + self.limits * ENTRY_WORDS + seat as usize * SEAT_WORDS
    }

    pub(crate) fn lock(&self, lock: usize) -> usize {
        self.seat(self.seats as u32) + lock
    }

    #[inline]
    pub(crate) fn slot(&self, slot: u32) -> usize {
        self.seat(self.seats as u32) + LOCKS + slot as usize * SLOT_WORDS
    }

    /// Slots: an overflow bucket and an owner's counter per limit, then the sets.
    pub(crate) fn slots(&self) -> usize {
        2 * self.limits + self.sets * SET_SLOTS
    }

    pub(crate) fn overflow_slot(&self, ordinal: u32) -> u32 {
        ordinal
    }

    pub(crate) fn owner_slot(&self, ordinal: u32) -> u32 {
        self.limits as u32 + ordinal
    }

    /// Whether the slot belongs to one limit for good.
    #[inline]
    pub(crate) fn is_reserved(&self, slot: u32) -> bool {
        (slot as usize) < 2 * self.limits
    }

    /// First slot of a set.
    #[inline]
    pub(crate) fn set(&self, set: usize) -> u32 {
        (2 * self.limits + set * SET_SLOTS) as u32
    }

    /// The word that tells how much of a slot's count is reserved and not yet settled.
    #[inline]
    pub(crate) fn reserved(&self, slot: u32) -> usize {
        self.slot(self.slots() as u32) + slot as usize
    }

    #[inline]
    pub(crate) fn block(&self, block: u32) -> usize {
        self.reserved(self.slots() as u32) + block as usize * BLOCK_WORDS
    }

    #[inline]
    pub(crate) fn wide(&self, block: u32) -> usize {
        self.block(self.blocks as u32) + block as usize * WIDE_WORDS
    }

    /// Words of the whole region.
    pub(crate) fn words(&self) -> usize {
        self.wide(self.wide as u32)
    }
}

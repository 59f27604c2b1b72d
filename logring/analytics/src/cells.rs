//! One second of counting: the cell of a key, and a bounded table of keys with an `other` cell.
//!
//! Knows what is counted. Must not know windows, names or clocks.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use penstock_ring::CallRecord;

use crate::histogram::{Histogram, Sealed};

/// Keys of one dimension (route, service, app) that have a cell of their own at a time.
pub const KEYS_MAX: usize = 256;

/// The key of what has no cell of its own.
pub const OTHER: u32 = u32::MAX;

/// Sums that are kept by key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    /// Calls.
    pub calls: u64,
    /// Calls by status class: none or 1xx, 2xx, 3xx, 4xx, 5xx.
    pub classes: [u64; CLASSES],
    /// Calls that the gateway answered by itself.
    pub refused: u64,
    /// Bytes from clients.
    pub bytes_in: u64,
    /// Bytes to clients.
    pub bytes_out: u64,
    /// Sum of durations, us.
    pub duration_us: u64,
}

/// How many status classes are told apart.
pub const CLASSES: usize = 5;
/// Their names.
pub const CLASS_NAMES: [&str; CLASSES] = ["none", "2xx", "3xx", "4xx", "5xx"];

impl Counts {
    #[inline]
    fn count(&mut self, record: &CallRecord) {
        self.calls += 1;
        self.classes[class_of(record.status)] += 1;
        self.refused += u64::from(record.code != 0);
        self.bytes_in = self.bytes_in.wrapping_add(record.bytes_in);
        self.bytes_out = self.bytes_out.wrapping_add(record.bytes_out);
        self.duration_us = self.duration_us.wrapping_add(record.duration_us);
    }

    /// Adds another cell's sums.
    pub fn add(&mut self, other: &Counts) {
        self.calls += other.calls;
        for (sum, more) in self.classes.iter_mut().zip(other.classes) {
            *sum += more;
        }
        self.refused += other.refused;
        self.bytes_in = self.bytes_in.wrapping_add(other.bytes_in);
        self.bytes_out = self.bytes_out.wrapping_add(other.bytes_out);
        self.duration_us = self.duration_us.wrapping_add(other.duration_us);
    }
}

/// The class of a status.
#[inline]
pub fn class_of(status: u16) -> usize {
    match status / 100 {
        class @ 2..=5 => usize::from(class) - 1,
        _ => 0,
    }
}

/// A key's counting in the open second.
#[derive(Clone, Debug, Default)]
pub struct Cell {
    /// Sums.
    pub counts: Counts,
    /// Durations.
    pub histogram: Histogram,
    key: u32,
    /// Seconds since it last counted anything.
    idle: u32,
}

impl Cell {
    /// Counts one call.
    #[inline]
    pub fn count(&mut self, record: &CallRecord) {
        self.counts.count(record);
        self.histogram.record(record.duration_us);
    }

    /// Takes what was counted and starts again.
    pub fn seal(&mut self) -> SealedCell {
        let sealed = SealedCell { key: self.key, counts: self.counts, histogram: self.histogram.seal() };
        self.counts = Counts::default();
        self.histogram.clear();
        sealed
    }
}

/// A key's counting in a second that is over.
#[derive(Clone, Debug)]
pub struct SealedCell {
    /// The dictionary id, or [`OTHER`].
    pub key: u32,
    /// Sums.
    pub counts: Counts,
    /// Durations.
    pub histogram: Sealed,
}

impl SealedCell {
    /// Bytes it takes.
    pub fn bytes(&self) -> usize {
        size_of::<SealedCell>() + size_of_val(self.histogram.buckets())
    }
}

/// Dictionary ids count up from one: a multiplication spreads them well enough.
#[derive(Default)]
pub(crate) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u32(u32::from(byte));
        }
    }
    #[inline]
    fn write_u32(&mut self, id: u32) {
        self.0 = (self.0 ^ u64::from(id)).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(26);
    }
}

/// A map keyed by dictionary ids.
pub(crate) type IdMap<V> = HashMap<u32, V, BuildHasherDefault<IdHasher>>;

/// The cells of one dimension. At most [`KEYS_MAX`] keys and one `other`; a key that was idle for a
/// minute gives its cell to a new one.
#[derive(Debug)]
pub struct Table {
    places: IdMap<u16>,
    cells: Vec<Cell>,
    free: Vec<u16>,
    other: Cell,
    /// Calls counted under `other` since the start.
    other_calls: u64,
}

impl Default for Table {
    fn default() -> Self {
        let other = Cell { key: OTHER, ..Cell::default() };
        Table { places: IdMap::default(), cells: Vec::new(), free: Vec::new(), other, other_calls: 0 }
    }
}

/// Seconds without a call after which a key gives up its cell.
const IDLE_SECONDS_MAX: u32 = 60;

impl Table {
    /// Counts one call under a dictionary id; zero (none) is not counted. Costs a look-up, and for
    /// a new key an allocation.
    #[inline]
    pub fn count(&mut self, key: u32, record: &CallRecord) {
        if key == 0 {
            return;
        }
        match self.places.get(&key) {
            Some(&place) => self.cells[usize::from(place)].count(record),
            None => self.count_new(key, record),
        }
    }

    #[cold]
    fn count_new(&mut self, key: u32, record: &CallRecord) {
        let place = match self.free.pop() {
            Some(place) => place,
            None if self.cells.len() < KEYS_MAX => {
                self.cells.push(Cell::default());
                (self.cells.len() - 1) as u16
            }
            None => {
                self.other.count(record);
                self.other_calls += 1;
                return;
            }
        };
        let cell = &mut self.cells[usize::from(place)];
        (cell.key, cell.idle) = (key, 0);
        cell.count(record);
        self.places.insert(key, place);
    }

    /// Takes the cells that counted something, and frees those that were idle too long.
    pub fn seal(&mut self) -> Vec<SealedCell> {
        let mut sealed = Vec::new();
        for (place, cell) in self.cells.iter_mut().enumerate() {
            if cell.counts.calls > 0 {
                cell.idle = 0;
                sealed.push(cell.seal());
            } else if cell.key != 0 {
                cell.idle += 1;
                if cell.idle > IDLE_SECONDS_MAX {
                    self.places.remove(&cell.key);
                    self.free.push(place as u16);
                    cell.key = 0;
                }
            }
        }
        if self.other.counts.calls > 0 {
            sealed.push(self.other.seal());
        }
        sealed
    }

    /// Calls that had no cell of their own since the start: above zero, the bound bites.
    pub fn other_calls(&self) -> u64 {
        self.other_calls
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(status: u16) -> CallRecord {
        CallRecord { status, duration_us: 5, bytes_out: 2, ..CallRecord::EMPTY }
    }

    #[test]
    fn the_257th_key_goes_to_other_and_an_idle_key_makes_room() {
        let mut table = Table::default();
        for key in 1..=KEYS_MAX as u32 + 3 {
            table.count(key, &call(200));
        }
        table.count(0, &call(200));
        let sealed = table.seal();
        assert_eq!((sealed.len(), table.other_calls()), (KEYS_MAX + 1, 3));
        assert_eq!(sealed.last().map(|cell| (cell.key, cell.counts.calls)), Some((OTHER, 3)));
        for _ in 0..=IDLE_SECONDS_MAX {
            table.count(1, &call(503));
            table.seal();
        }
        table.count(9_999, &call(404));
        let keys: Vec<u32> = table.seal().iter().map(|cell| cell.key).collect();
        assert_eq!(keys, [9_999], "the new key has a cell of its own");
        assert_eq!(table.other_calls(), 3);
    }

    #[test]
    fn classes_of_statuses() {
        for (status, class) in [
            (0, "none"),
            (101, "none"),
            (200, "2xx"),
            (304, "3xx"),
            (499, "4xx"),
            (599, "5xx"),
            (700, "none"),
        ] {
            assert_eq!(CLASS_NAMES[class_of(status)], class, "{status}");
        }
    }
}

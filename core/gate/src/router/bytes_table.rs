//! A frozen hash table from (owner, bytes) to a number: the literal edges of the trie and the host names.
//!
//! All keys come from configuration; what callers send is only looked up, so the hash needs no secret seed.
//! A look-up is one hash, usually one slot and one comparison; it allocates nothing.

use crate::fold_hash::hash;

/// Marks an empty slot.
const EMPTY: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Slot {
    owner: u32,
    value: u32,
    start: u32,
    length: u32,
}

/// The table. Built once, then only read.
#[derive(Debug, Default)]
pub(crate) struct BytesTable {
    slots: Vec<Slot>,
    bytes: Vec<u8>,
}

impl BytesTable {
    /// A table of these keys. Of two equal keys the first wins.
    pub(crate) fn new<'k>(keys: impl ExactSizeIterator<Item = (u32, &'k [u8], u32)>) -> Self {
        let empty = Slot { owner: 0, value: EMPTY, start: 0, length: 0 };
        let mut table =
            Self { slots: vec![empty; (keys.len() * 2).next_power_of_two().max(2)], bytes: Vec::new() };
        for (owner, key, value) in keys {
            assert!(value != EMPTY, "a table of that size was refused when it was compiled");
            if table.get(owner, key).is_some() {
                continue;
            }
            let mask = table.slots.len() - 1;
            let mut at = hash(u64::from(owner), key) as usize & mask;
            while table.slots[at].value != EMPTY {
                at = (at + 1) & mask;
            }
            let start = u32::try_from(table.bytes.len()).expect("configurations are far below 4 GiB");
            table.bytes.extend_from_slice(key);
            table.slots[at] = Slot { owner, value, start, length: key.len() as u32 };
        }
        table
    }

    /// The number under this key.
    #[inline]
    pub(crate) fn get(&self, owner: u32, key: &[u8]) -> Option<u32> {
        let mask = self.slots.len().checked_sub(1)?;
        let mut at = hash(u64::from(owner), key) as usize & mask;
        loop {
            let slot = self.slots[at];
            if slot.value == EMPTY {
                return None;
            }
            if slot.owner == owner && slot.length as usize == key.len() {
                let start = slot.start as usize;
                if &self.bytes[start..start + key.len()] == key {
                    return Some(slot.value);
                }
            }
            at = (at + 1) & mask;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_it_was_given_and_nothing_else() {
        let keys: Vec<(u32, String)> =
            (0..500u32).map(|number| (number % 7, format!("segment-{}", number / 7))).collect();
        let table = BytesTable::new(
            keys.iter().enumerate().map(|(index, (owner, key))| (*owner, key.as_bytes(), index as u32)),
        );
        for (index, (owner, key)) in keys.iter().enumerate() {
            assert_eq!(table.get(*owner, key.as_bytes()), Some(index as u32));
            assert_eq!(table.get(owner + 7, key.as_bytes()), None);
        }
        assert_eq!(table.get(0, b""), None);
        assert_eq!(BytesTable::default().get(0, b"x"), None);
    }
}

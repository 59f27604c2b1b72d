//! Rows that are found by their id and, between two changes, by their place.
//!
//! Knows ids and places only. A place is good until the next change of the table.

use crate::fold_hash::FoldMap;
use crate::spec::Id;

/// Rows by id. A look-up by place is one index, a look-up by id one hash more.
#[derive(Debug)]
pub(crate) struct Rows<T> {
    rows: Vec<Option<T>>,
    places: FoldMap<Id, u32>,
    free: Vec<u32>,
}

impl<T> Default for Rows<T> {
    fn default() -> Self {
        Self { rows: Vec::new(), places: FoldMap::default(), free: Vec::new() }
    }
}

impl<T> Rows<T> {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// Where a row stands.
    pub(crate) fn place(&self, id: Id) -> Option<u32> {
        self.places.get(&id).copied()
    }

    /// The row at a place.
    #[inline]
    pub(crate) fn at(&self, place: u32) -> Option<&T> {
        self.rows.get(place as usize)?.as_ref()
    }

    /// The row of an id.
    pub(crate) fn get(&self, id: Id) -> Option<&T> {
        self.at(self.place(id)?)
    }

    /// The row of an id, to change it.
    pub(crate) fn get_mut(&mut self, id: Id) -> Option<&mut T> {
        let place = self.place(id)?;
        self.rows.get_mut(place as usize)?.as_mut()
    }

    /// Puts a row in, in place of one of the same id, and tells where.
    pub(crate) fn insert(&mut self, id: Id, row: T) -> u32 {
        let place = self.place(id).or_else(|| self.free.pop()).unwrap_or(self.rows.len() as u32);
        match self.rows.get_mut(place as usize) {
            Some(held) => *held = Some(row),
            None => self.rows.push(Some(row)),
        }
        self.places.insert(id, place);
        place
    }

    /// Takes a row out.
    pub(crate) fn remove(&mut self, id: Id) -> Option<T> {
        let place = self.places.remove(&id)?;
        self.free.push(place);
        self.rows.get_mut(place as usize)?.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_used_again_and_rows_keep_theirs() {
        let mut rows = Rows::default();
        assert_eq!((rows.insert(Id(7), "a"), rows.insert(Id(9), "b")), (0, 1));
        assert_eq!((rows.insert(Id(7), "c"), rows.get(Id(7)), rows.len()), (0, Some(&"c"), 2));
        assert_eq!((rows.remove(Id(7)), rows.remove(Id(7)), rows.at(0)), (Some("c"), None, None));
        assert_eq!((rows.insert(Id(1), "d"), rows.at(0), rows.at(1)), (0, Some(&"d"), Some(&"b")));
        assert_eq!((rows.get(Id(7)), rows.at(2), rows.len()), (None, None, 2));
    }
}

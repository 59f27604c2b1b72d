//! Folds the lines of one journal into sums: each line once, whatever is killed when.
//!
//! The position of every segment is written in the transaction that books its lines, so both are there or neither is. What
//! cannot be booked yet, an intent whose attempt is open, is in memory and found again in its segment; when its segment is
//! done it is carried over into a table, so that a call of hours keeps no segment. A segment is removed after the transaction
//! in which it was done; its row goes after its file.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use penstock_ledger::{
    Books, Cursor, HeldJournal, Item, JournalSegment, LedgerError, Position, Segment, SegmentError, SegmentId,
};
use rusqlite::Transaction;

use super::batch::Bookkeeper;
use super::event::{LedgerEvent, Replayed};
use crate::error::StoreError;
use crate::store::{Store, int};

/// How far one journal is folded.
#[derive(Debug)]
pub(crate) struct Fold {
    journal: u32,
    books: Books,
    /// Open intents that are in the table, too.
    carried: HashSet<Position>,
    segments: BTreeMap<u64, Folding>,
}

#[derive(Debug)]
struct Folding {
    cursor: Cursor,
    /// It has a row.
    kept: bool,
    done: bool,
}

impl Fold {
    /// Finds out how far a journal is folded. Reads what is in its segments up to there, for the attempts that are open.
    pub(crate) fn load(
        transaction: &Transaction<'_>,
        journal: u32,
        segments: &[Arc<Segment>],
    ) -> Result<Fold, StoreError> {
        let (books, carried) = carried(transaction, journal)?;
        let mut fold = Fold { journal, books, carried, segments: BTreeMap::new() };
        for segment in segments {
            let folding = fold.begin(transaction, segment)?;
            fold.segments.insert(segment.id().sequence, folding);
        }
        Ok(fold)
    }

    /// Finds out how far a segment is folded.
    fn begin(
        &mut self,
        transaction: &Transaction<'_>,
        segment: &Arc<Segment>,
    ) -> Result<Folding, StoreError> {
        let row = SegmentRow::find(transaction, segment.id())?;
        let mut cursor = Cursor::at(segment.clone(), 0);
        if let Some(row) = row.filter(|row| !row.done) {
            skip(&mut self.books, &mut cursor, row.folded_bytes);
        }
        Ok(Folding { cursor, kept: row.is_some(), done: row.is_some_and(|row| row.done) })
    }

    /// Whether there is something to fold in the segments of a journal that this process writes.
    pub(crate) fn is_behind(&self, segments: &[Arc<Segment>]) -> bool {
        segments.iter().any(|segment| match self.segments.get(&segment.id().sequence) {
            Some(folding) => {
                !folding.done && (folding.cursor.offset() < segment.written() || segment.is_ended())
            }
            None => segment.written() > penstock_ledger::SEGMENT_HEAD_BYTES || segment.is_ended(),
        })
    }

    /// Books what was written since the last time, and returns the segments that are done.
    pub(crate) fn run(
        &mut self,
        transaction: &Transaction<'_>,
        bookkeeper: &mut Bookkeeper,
        segments: &[Arc<Segment>],
        tell: &mut dyn FnMut(LedgerEvent),
    ) -> Result<Vec<u64>, StoreError> {
        let mut done = Vec::new();
        for segment in segments {
            let sequence = segment.id().sequence;
            let mut folding = match self.segments.remove(&sequence) {
                Some(folding) => folding,
                None => self.begin(transaction, segment)?,
            };
            // Asked first: what is read after is then all that there is.
            let ended = segment.is_ended();
            if !folding.done {
                let from = folding.cursor.offset();
                self.read(transaction, bookkeeper, &mut folding.cursor, tell)?;
                if ended {
                    self.carry(transaction, sequence)?;
                    folding.done = true;
                    count_done(transaction)?;
                }
                if ended || from != folding.cursor.offset() {
                    let row = SegmentRow { folded_bytes: folding.cursor.offset(), done: folding.done };
                    row.write(transaction, segment.id(), folding.kept)?;
                    folding.kept = true;
                }
            }
            if folding.done {
                done.push(sequence);
            }
            self.segments.insert(sequence, folding);
            if !ended {
                // Whatever stands in a later one was begun after this one had ended.
                break;
            }
        }
        Ok(done)
    }

    fn read(
        &mut self,
        transaction: &Transaction<'_>,
        bookkeeper: &mut Bookkeeper,
        cursor: &mut Cursor,
        tell: &mut dyn FnMut(LedgerEvent),
    ) -> Result<(), StoreError> {
        let (journal, sequence) = (self.journal, cursor.segment().id().sequence);
        loop {
            match cursor.read_next() {
                Item::End => return Ok(()),
                Item::Tear { from, to } => tell(LedgerEvent::Tear { journal, sequence, from, to }),
                Item::Line(line) => {
                    let mut ended = None;
                    let readable = self.books.take(&line, |booked| {
                        let result = bookkeeper.book(transaction, booked, tell);
                        ended = Some(result.map(|()| booked.intent_at));
                    });
                    if !readable {
                        tell(LedgerEvent::Unreadable { journal, sequence, at: line.at.offset });
                    }
                    if let Some(at) = ended.transpose()?
                        && self.carried.remove(&at)
                    {
                        uncarry(transaction, journal, at)?;
                    }
                }
            }
        }
    }

    /// Keeps the open intents of a segment elsewhere.
    fn carry(&mut self, transaction: &Transaction<'_>, sequence: u64) -> Result<(), StoreError> {
        let mut insert = transaction.prepare_cached(
            "INSERT INTO ledger_open (journal, sequence, at, payload) VALUES (?1, ?2, ?3, ?4)",
        )?;
        for (at, payload, _) in self.books.open_of() {
            if at.sequence == sequence && self.carried.insert(at) {
                insert.execute((self.journal, int(at.sequence), at.offset, payload))?;
            }
        }
        Ok(())
    }

    /// Books every attempt that is open at its whole reservation: the journal's writer has gone. Returns how many.
    fn crash(
        &mut self,
        transaction: &Transaction<'_>,
        bookkeeper: &mut Bookkeeper,
        tell: &mut dyn FnMut(LedgerEvent),
    ) -> Result<u64, StoreError> {
        let mut crashed = 0;
        for booked in self.books.crashed() {
            bookkeeper.book(transaction, &booked, tell)?;
            crashed += 1;
        }
        transaction.execute("DELETE FROM ledger_open WHERE journal = ?1", [self.journal])?;
        self.books = Books::default();
        self.carried.clear();
        Ok(crashed)
    }

    /// Forgets segments whose files are gone.
    pub(crate) fn forget(&mut self, sequences: &[u64]) {
        for sequence in sequences {
            self.segments.remove(sequence);
        }
    }
}

/// Takes in what was booked before, up to byte `to`.
pub(crate) fn skip(books: &mut Books, cursor: &mut Cursor, to: u32) {
    while cursor.offset() < to {
        match cursor.read_next() {
            Item::Line(line) => {
                books.take(&line, |_| ());
            }
            Item::Tear { .. } => {}
            Item::End => return,
        }
    }
}

/// Folds a journal whose writer has gone to its end: what is open is booked, all segments are removed.
///
/// # Errors
/// The database, and a segment of a later version; nothing is removed that is not booked then.
pub(crate) fn replay(
    store: &mut Store,
    held: &HeldJournal,
    bookkeeper: &mut Bookkeeper,
    tell: &mut dyn FnMut(LedgerEvent),
) -> Result<Replayed, StoreError> {
    let segments = open_all(held, tell)?;
    let replayed = book_all(store, held, &segments, bookkeeper, tell);
    if replayed.is_err() {
        bookkeeper.forget();
    }
    let replayed = replayed?;
    for segment in &segments {
        held.remove(segment.id().sequence)?;
    }
    remove_rows(store, held.number(), &held.segments()?)?;
    Ok(replayed)
}

fn book_all(
    store: &mut Store,
    held: &HeldJournal,
    segments: &[Arc<Segment>],
    bookkeeper: &mut Bookkeeper,
    tell: &mut dyn FnMut(LedgerEvent),
) -> Result<Replayed, StoreError> {
    let transaction = store.write()?;
    let mut fold = Fold::load(&transaction, held.number(), segments)?;
    fold.run(&transaction, bookkeeper, segments, tell)?;
    let crashed = fold.crash(&transaction, bookkeeper, tell)?;
    let attempts = bookkeeper.finish(&transaction)?;
    transaction.commit()?;
    Ok(Replayed { journals: u32::from(attempts > 0), attempts, crashed })
}

fn open_all(held: &HeldJournal, tell: &mut dyn FnMut(LedgerEvent)) -> Result<Vec<Arc<Segment>>, StoreError> {
    let mut segments = Vec::new();
    for file in held.segments()? {
        match Segment::open(&file.path) {
            Ok(segment) => {
                segment.end();
                segments.push(Arc::new(segment));
            }
            Err(LedgerError::Segment { source: SegmentError::Header, .. }) => {
                tell(LedgerEvent::PutAside(held.put_aside(file.sequence)?));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(segments)
}

/// Journals that have open intents in the table.
pub(crate) fn journals_with_open(store: &mut Store) -> Result<Vec<u32>, StoreError> {
    let transaction = store.read()?;
    let mut statement = transaction.prepare_cached("SELECT DISTINCT journal FROM ledger_open")?;
    let journals = statement.query_map([], |row| row.get(0))?;
    Ok(journals.collect::<Result<_, _>>()?)
}

/// Removes the rows of done segments of a journal whose files are gone. `present` has the sequences of those that are there:
/// without its row such a file would be booked again.
pub(crate) fn remove_rows(
    store: &mut Store,
    journal: u32,
    present: &[JournalSegment],
) -> Result<(), StoreError> {
    let transaction = store.write()?;
    let mut gone = Vec::new();
    {
        let mut statement = transaction.prepare_cached(
            "SELECT sequence, created_ns FROM ledger_segment WHERE journal = ?1 AND done = 1",
        )?;
        let rows =
            statement.query_map([journal], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))?;
        for row in rows {
            let (sequence, created_ns) = row?;
            if !present.iter().any(|file| int(file.sequence) == sequence) {
                gone.push((sequence, created_ns));
            }
        }
        let mut delete = transaction.prepare_cached(
            "DELETE FROM ledger_segment WHERE journal = ?1 AND sequence = ?2 AND created_ns = ?3",
        )?;
        for (sequence, created_ns) in gone {
            delete.execute((journal, sequence, created_ns))?;
        }
    }
    Ok(transaction.commit()?)
}

/// The open attempts of a journal that are in the table.
pub(crate) fn carried(
    transaction: &Transaction<'_>,
    journal: u32,
) -> Result<(Books, HashSet<Position>), StoreError> {
    let (mut books, mut carried) = (Books::default(), HashSet::new());
    let mut statement =
        transaction.prepare_cached("SELECT sequence, at, payload FROM ledger_open WHERE journal = ?1")?;
    let mut rows = statement.query([journal])?;
    while let Some(row) = rows.next()? {
        let sequence = row.get::<_, i64>(0)?.cast_unsigned();
        let at = Position { sequence, offset: row.get(1)? };
        let payload: Vec<u8> = row.get(2)?;
        if !books.restore(at, &payload) {
            return Err(StoreError::Damaged("an open attempt that cannot be read"));
        }
        carried.insert(at);
    }
    Ok((books, carried))
}

fn uncarry(transaction: &Transaction<'_>, journal: u32, at: Position) -> Result<(), StoreError> {
    let mut delete = transaction
        .prepare_cached("DELETE FROM ledger_open WHERE journal = ?1 AND sequence = ?2 AND at = ?3")?;
    delete.execute((journal, int(at.sequence), at.offset))?;
    Ok(())
}

fn count_done(transaction: &Transaction<'_>) -> Result<(), StoreError> {
    transaction
        .prepare_cached("UPDATE ledger_state SET value = value + 1 WHERE name = 'segments_done'")?
        .execute([])?;
    Ok(())
}

/// How many segments were ever done.
pub(crate) fn segments_done(transaction: &Transaction<'_>) -> Result<i64, StoreError> {
    Ok(transaction
        .prepare_cached("SELECT value FROM ledger_state WHERE name = 'segments_done'")?
        .query_row([], |row| row.get(0))?)
}

/// How far a segment is folded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentRow {
    pub folded_bytes: u32,
    pub done: bool,
}

impl SegmentRow {
    pub(crate) fn find(
        transaction: &Transaction<'_>,
        id: SegmentId,
    ) -> Result<Option<SegmentRow>, StoreError> {
        let mut statement = transaction.prepare_cached(
            "SELECT folded_bytes, done FROM ledger_segment WHERE journal = ?1 AND sequence = ?2 AND created_ns = ?3",
        )?;
        let mut rows = statement.query((id.journal, int(id.sequence), int(id.created_ns)))?;
        match rows.next()? {
            Some(row) => Ok(Some(SegmentRow { folded_bytes: row.get(0)?, done: row.get::<_, i64>(1)? != 0 })),
            None => Ok(None),
        }
    }

    fn write(&self, transaction: &Transaction<'_>, id: SegmentId, kept: bool) -> Result<(), StoreError> {
        let text = if kept {
            "UPDATE ledger_segment SET folded_bytes = ?4, done = ?5 \
             WHERE journal = ?1 AND sequence = ?2 AND created_ns = ?3"
        } else {
            "INSERT INTO ledger_segment (journal, sequence, created_ns, folded_bytes, done) VALUES (?1, ?2, ?3, ?4, ?5)"
        };
        transaction.prepare_cached(text)?.execute((
            id.journal,
            int(id.sequence),
            int(id.created_ns),
            self.folded_bytes,
            i64::from(self.done),
        ))?;
        Ok(())
    }
}

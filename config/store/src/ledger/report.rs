//! What was spent: the store's sums, and what stands in the journals and is not folded yet.
//!
//! Works beside a running gateway and writes nothing. Sums and positions are read in one transaction and the journals after
//! it, from those positions on; if a segment was done meanwhile, it is begun anew.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use jiff::Timestamp;
use penstock_ledger::{
    Books, Cursor, Item, LEDGER_FOLDER, LedgerError, Segment, SegmentError, State, journal_numbers,
    readable_segments,
};
use rusqlite::Transaction;

use super::fold::{SegmentRow, carried, segments_done, skip};
use super::key::{KEY_COLUMNS, Key, OwnedKey};
use super::line::hour;
use super::sums::{TOTALS_COLUMNS, Totals, state_of};
use crate::error::StoreError;
use crate::store::Store;

/// How often it is begun anew while segments are freed.
const TRIES: u32 = 50;

/// What spending is told by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum By {
    /// The tenant.
    Tenant,
    /// The team of the app.
    Team,
    /// The app.
    App,
    /// The app's user.
    EndUser,
    /// All tags together.
    Tags,
    /// The value of one tag.
    Tag(String),
    /// The service.
    Service,
    /// The prompt that is published as an API.
    Prompt,
    /// The model that answered, or was asked where none did.
    Model,
    /// The provider.
    Provider,
    /// The provider's key.
    Key,
    /// The day (UTC).
    Day,
    /// Settled or estimated.
    State,
}

impl By {
    /// Its name in command lines and results.
    pub fn name(&self) -> String {
        let name = match self {
            By::Tenant => "tenant",
            By::Team => "team",
            By::App => "app",
            By::EndUser => "end-user",
            By::Tags => "tag",
            By::Tag(name) => return format!("tag.{name}"),
            By::Service => "service",
            By::Prompt => "prompt",
            By::Model => "model",
            By::Provider => "provider",
            By::Key => "key",
            By::Day => "day",
            By::State => "state",
        };
        name.to_owned()
    }

    fn value(&self, key: &Key<'_>, hour: i64, state: State) -> String {
        let text = match self {
            By::Tenant => key.tenant,
            By::Team => key.team,
            By::App => key.app,
            By::EndUser => key.end_user,
            By::Tags => key.tags,
            By::Tag(name) => tag(key.tags, name),
            By::Service => key.service,
            By::Prompt => key.prompt,
            By::Model => key.model,
            By::Provider => key.provider,
            By::Key => key.provider_key,
            By::Day => return day(hour),
            By::State => state.name(),
        };
        text.to_owned()
    }
}

impl FromStr for By {
    type Err = String;

    fn from_str(text: &str) -> Result<By, String> {
        const PLAIN: [By; 12] = [
            By::Tenant,
            By::Team,
            By::App,
            By::EndUser,
            By::Tags,
            By::Service,
            By::Prompt,
            By::Model,
            By::Provider,
            By::Key,
            By::Day,
            By::State,
        ];
        if let Some(name) = text.strip_prefix("tag.").filter(|name| !name.is_empty()) {
            return Ok(By::Tag(name.to_owned()));
        }
        PLAIN.into_iter().find(|by| by.name() == text).ok_or_else(|| {
            let names: Vec<String> = PLAIN.iter().map(By::name).collect();
            format!("it is one of {}, tag.NAME", names.join(", "))
        })
    }
}

/// The value of a tag; empty where it is not set.
fn tag<'a>(tags: &'a str, name: &str) -> &'a str {
    tags.split(',').find_map(|tag| tag.strip_prefix(name)?.strip_prefix('=')).unwrap_or_default()
}

/// `YYYY-MM-DD`.
fn day(hour: i64) -> String {
    let time = hour.checked_mul(3600).and_then(|second| Timestamp::from_second(second).ok());
    time.map_or_else(|| "-".to_owned(), |time| time.strftime("%Y-%m-%d").to_string())
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Query {
    /// What a row is made of, in this order; nothing for one row of all.
    pub by: Vec<By>,
    /// Only what has these values.
    pub only: Vec<(By, String)>,
    /// From this hour on, in hours since 1970.
    pub since_hour: Option<i64>,
    /// Before this hour.
    pub until_hour: Option<i64>,
}

/// One row.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Row {
    /// The values that [`Query::by`] asks for.
    pub values: Vec<String>,
    /// All attempts.
    pub all: Totals,
    /// Of these, those whose cost is estimated.
    pub estimated: Totals,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// In the order of their values.
    pub rows: Vec<Row>,
    /// Attempts under way; they are in no row.
    pub open_attempts: u64,
    /// What they have reserved, in 10^-9 USD.
    pub open_nano_usd: u64,
    /// Attempts that were read from the journals, as they are not folded yet.
    pub unfolded_attempts: u64,
}

/// Reads what was spent by the ledger of a data directory.
///
/// # Errors
/// When there is no store, it cannot be read, or it changes too fast.
pub fn report(data_dir: &Path, query: &Query) -> Result<Report, StoreError> {
    let mut store = Store::open_existing(data_dir)?;
    for _ in 0..TRIES {
        let mut asked = Asked::new(query);
        let before = store.read()?;
        let done = segments_done(&before)?;
        asked.sums(&before)?;
        let read = asked.journals(&before, &data_dir.join(LEDGER_FOLDER));
        drop(before);
        match read {
            Ok(()) if segments_done(&store.read()?)? == done => return Ok(asked.finish()),
            Ok(()) | Err(StoreError::Busy) => {}
            Err(error) => return Err(error),
        }
    }
    Err(StoreError::Busy)
}

struct Asked<'q> {
    query: &'q Query,
    groups: BTreeMap<Vec<String>, (Totals, Totals)>,
    report: Report,
}

impl<'q> Asked<'q> {
    fn new(query: &'q Query) -> Asked<'q> {
        Asked { query, groups: BTreeMap::new(), report: Report::default() }
    }

    fn wants(&self, key: &Key<'_>, hour: i64, state: State) -> bool {
        self.query.since_hour.is_none_or(|since| hour >= since)
            && self.query.until_hour.is_none_or(|until| hour < until)
            && self.query.only.iter().all(|(by, value)| by.value(key, hour, state) == *value)
    }

    fn add(&mut self, key: &Key<'_>, hour: i64, state: State, totals: &Totals) -> Result<(), StoreError> {
        if !self.wants(key, hour, state) {
            return Ok(());
        }
        let values = self.query.by.iter().map(|by| by.value(key, hour, state)).collect();
        let (all, estimated) = self.groups.entry(values).or_default();
        all.add(totals)?;
        if state == State::Estimated { estimated.add(totals) } else { Ok(()) }
    }

    fn sums(&mut self, transaction: &Transaction<'_>) -> Result<(), StoreError> {
        let sums: Vec<String> = TOTALS_COLUMNS.iter().map(|column| format!("SUM({column})")).collect();
        // A day's hours are told together; borders are hours.
        let text = format!(
            "SELECT {KEY_COLUMNS}, first_hour, state, {sums} FROM ( \
                SELECT key_id, state, MIN(hour) AS first_hour, {inner} FROM ledger_sum \
                WHERE hour >= ?1 AND hour < ?2 GROUP BY key_id, state, hour / 24 \
            ) AS days JOIN ledger_key ON ledger_key.id = days.key_id \
            GROUP BY key_id, state, first_hour",
            sums = sums.join(", "),
            inner = TOTALS_COLUMNS.map(|column| format!("SUM({column}) AS {column}")).join(", "),
        );
        let mut statement = transaction.prepare(&text)?;
        let since = self.query.since_hour.unwrap_or(i64::MIN);
        let until = self.query.until_hour.unwrap_or(i64::MAX);
        let mut rows = statement.query((since, until))?;
        while let Some(row) = rows.next()? {
            let key = OwnedKey::read(row, 0)?;
            let (hour, state) = (row.get(super::key::PARTS)?, state_of(row.get(super::key::PARTS + 1)?)?);
            self.add(&key.key(), hour, state, &Totals::read(row, super::key::PARTS + 2)?)?;
        }
        Ok(())
    }

    fn journals(&mut self, transaction: &Transaction<'_>, folder: &Path) -> Result<(), StoreError> {
        let mut numbers = journal_numbers(folder)?;
        let mut statement = transaction.prepare("SELECT DISTINCT journal FROM ledger_open")?;
        for number in statement.query_map([], |row| row.get(0))? {
            numbers.push(number?);
        }
        numbers.sort_unstable();
        numbers.dedup();
        for number in numbers {
            self.journal(transaction, folder, number)?;
        }
        Ok(())
    }

    fn journal(
        &mut self,
        transaction: &Transaction<'_>,
        folder: &Path,
        number: u32,
    ) -> Result<(), StoreError> {
        let (mut books, _) = carried(transaction, number)?;
        let segments = open_all(folder, number)?;
        // Asked before a line is read: what a later segment has was written after all of those before it.
        let last = segments.iter().rposition(|segment| segment.is_begun()).unwrap_or(0);
        for segment in segments.iter().take(last) {
            segment.end();
        }
        for segment in segments {
            let row = SegmentRow::find(transaction, segment.id())?;
            if row.is_some_and(|row| row.done) {
                continue;
            }
            let mut cursor = Cursor::at(segment, 0);
            if let Some(row) = row {
                skip(&mut books, &mut cursor, row.folded_bytes);
            }
            self.tail(&mut books, &mut cursor)?;
        }
        for (_, _, line) in books.open_of() {
            let intent = &line.intent;
            let key = Key::of_intent(intent);
            if self.wants(&key, hour(intent.time_ns), State::Estimated) {
                self.report.open_attempts += 1;
                self.report.open_nano_usd = self.report.open_nano_usd.saturating_add(intent.reservation.0);
            }
        }
        Ok(())
    }

    fn tail(&mut self, books: &mut Books, cursor: &mut Cursor) -> Result<(), StoreError> {
        loop {
            match cursor.read_next() {
                Item::End => return Ok(()),
                Item::Tear { .. } => {}
                Item::Line(line) => {
                    let mut added = Ok(());
                    books.take(&line, |booked| {
                        let settlement = &booked.settlement;
                        let totals = Totals::of(&settlement.billed, settlement.cost.0, booked.flags);
                        let state = settlement.outcome.state();
                        added = self.add(&Key::of(booked), hour(booked.intent.time_ns), state, &totals);
                        self.report.unfolded_attempts += 1;
                    });
                    added?;
                }
            }
        }
    }

    fn finish(self) -> Report {
        let rows = self
            .groups
            .into_iter()
            .map(|(values, (all, estimated))| Row { values, all, estimated })
            .filter(|row| row.all != Totals::default())
            .collect();
        Report { rows, ..self.report }
    }
}

/// The segments of a journal. One that was freed since the folder was listed has changed what is folded.
fn open_all(folder: &Path, number: u32) -> Result<Vec<Arc<Segment>>, StoreError> {
    let mut segments = Vec::new();
    for file in readable_segments(folder, number)? {
        match Segment::open(&file.path) {
            Ok(segment) => segments.push(Arc::new(segment)),
            Err(LedgerError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Err(StoreError::Busy);
            }
            // The next start of the gateway puts it aside and tells it.
            Err(LedgerError::Segment { source: SegmentError::Header, .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(segments)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_read_and_others_are_told() {
        for text in ["tenant", "end-user", "tag", "tag.env", "key", "day", "state"] {
            assert_eq!(text.parse::<By>().unwrap().name(), text);
        }
        for text in ["", "tag.", "hour", "Tenant"] {
            assert!(text.parse::<By>().unwrap_err().contains("tenant, team"), "{text}");
        }
    }

    #[test]
    fn a_tag_is_found_by_its_whole_name() {
        for (tags, name, value) in [
            ("env=prod,feature=x", "env", "prod"),
            ("env=prod,feature=x", "feature", "x"),
            ("environment=prod", "env", ""),
            ("env=a=b", "env", "a=b"),
            ("", "env", ""),
        ] {
            assert_eq!(tag(tags, name), value, "{name} in {tags}");
        }
    }

    #[test]
    fn days_are_those_of_utc() {
        assert_eq!(day(0), "1970-01-01");
        assert_eq!(day(20_781 * 24 + 23), "2026-11-24");
        assert_eq!(day(i64::MAX), "-");
    }
}

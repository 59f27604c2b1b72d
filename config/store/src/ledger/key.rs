//! What attempts are summed by.

use std::collections::HashMap;

use penstock_ledger::{Booked, Intent};
use rusqlite::{OptionalExtension, Row, Transaction};

use crate::error::StoreError;

/// Stands for end users and tags beyond [`super::batch::SUMS_PER_HOUR_MAX`].
pub(crate) const OTHER: &str = "(other)";

/// Keys that are remembered between two folds.
const CACHE_MAX: usize = 100_000;

/// Texts of a key.
pub(crate) const PARTS: usize = 12;

/// What attempts are summed by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key<'a> {
    pub tenant: &'a str,
    pub team: &'a str,
    pub app: &'a str,
    pub end_user: &'a str,
    pub tags: &'a str,
    pub service: &'a str,
    pub prompt: &'a str,
    pub model: &'a str,
    pub provider: &'a str,
    pub provider_kind: &'a str,
    pub region: &'a str,
    pub provider_key: &'a str,
}

impl<'a> Key<'a> {
    /// Of an attempt that has ended.
    pub(crate) fn of(booked: &Booked<'a>) -> Key<'a> {
        Key { model: booked.model(), ..Key::of_intent(&booked.intent) }
    }

    /// Of an attempt that is open: with the model that was asked.
    pub(crate) fn of_intent(intent: &Intent<'a>) -> Key<'a> {
        Key {
            tenant: intent.tenant,
            team: intent.team,
            app: intent.app,
            end_user: intent.end_user,
            tags: intent.tags,
            service: intent.service,
            prompt: intent.prompt,
            model: intent.model,
            provider: intent.provider,
            provider_kind: intent.provider_kind,
            region: intent.region,
            provider_key: intent.provider_key,
        }
    }

    /// In the order of the table.
    pub(crate) fn parts(&self) -> [&'a str; PARTS] {
        [
            self.tenant,
            self.team,
            self.app,
            self.end_user,
            self.tags,
            self.service,
            self.prompt,
            self.model,
            self.provider,
            self.provider_kind,
            self.region,
            self.provider_key,
        ]
    }

    fn from_parts(parts: [&'a str; PARTS]) -> Key<'a> {
        let [
            tenant,
            team,
            app,
            end_user,
            tags,
            service,
            prompt,
            model,
            provider,
            provider_kind,
            region,
            provider_key,
        ] = parts;
        Key {
            tenant,
            team,
            app,
            end_user,
            tags,
            service,
            prompt,
            model,
            provider,
            provider_kind,
            region,
            provider_key,
        }
    }
}

/// A key as the store has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OwnedKey([String; PARTS]);

/// The columns of a key, in the order of [`Key::parts`].
pub(crate) const KEY_COLUMNS: &str = "tenant, team, app, end_user, tags, service, prompt, model, provider, provider_kind, region, provider_key";

impl OwnedKey {
    /// Reads [`KEY_COLUMNS`], which begin at column `first`.
    pub(crate) fn read(row: &Row<'_>, first: usize) -> rusqlite::Result<OwnedKey> {
        let mut parts: [String; PARTS] = Default::default();
        for (at, part) in parts.iter_mut().enumerate() {
            *part = row.get(first + at)?;
        }
        Ok(OwnedKey(parts))
    }

    /// The key of an id.
    pub(crate) fn find(transaction: &Transaction<'_>, id: i64) -> Result<OwnedKey, StoreError> {
        let text = format!("SELECT {KEY_COLUMNS} FROM ledger_key WHERE id = ?1");
        Ok(transaction.prepare_cached(&text)?.query_row([id], |row| OwnedKey::read(row, 0))?)
    }

    pub(crate) fn key(&self) -> Key<'_> {
        Key::from_parts(self.0.each_ref().map(String::as_str))
    }
}

/// Ids of keys, as far as they are known. Must be forgotten when a transaction that made some is not completed.
#[derive(Debug, Default)]
pub(crate) struct KeyIds {
    known: HashMap<Box<str>, i64>,
    wanted: String,
}

impl KeyIds {
    /// The id of a key, which is made if it is not there.
    pub(crate) fn id(&mut self, transaction: &Transaction<'_>, key: &Key<'_>) -> Result<i64, StoreError> {
        self.wanted.clear();
        for part in key.parts() {
            self.wanted.push_str(part);
            self.wanted.push('\0');
        }
        // A NUL inside of a text could make two keys look alike; such a one is looked up each time.
        let plain = self.wanted.bytes().filter(|byte| *byte == 0).count() == PARTS;
        if plain && let Some(id) = self.known.get(&*self.wanted) {
            return Ok(*id);
        }
        let id = find_or_make(transaction, key)?;
        if plain {
            if self.known.len() >= CACHE_MAX {
                self.known.clear();
            }
            self.known.insert(self.wanted.as_str().into(), id);
        }
        Ok(id)
    }
}

fn find_or_make(transaction: &Transaction<'_>, key: &Key<'_>) -> Result<i64, StoreError> {
    const MAKE: &str = "INSERT INTO ledger_key (id, tenant, team, app, end_user, tags, service, prompt, model, provider, \
        provider_kind, region, provider_key) \
        VALUES ((SELECT COALESCE(MAX(id), 0) + 1 FROM ledger_key), ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
    const FIND: &str = "SELECT id FROM ledger_key WHERE tenant = ?1 AND team = ?2 AND app = ?3 AND end_user = ?4 AND \
        tags = ?5 AND service = ?6 AND prompt = ?7 AND model = ?8 AND provider = ?9 AND provider_kind = ?10 AND \
        region = ?11 AND provider_key = ?12";
    let parts = key.parts();
    let mut find = transaction.prepare_cached(FIND)?;
    if let Some(id) = find.query_row(parts, |row| row.get(0)).optional()? {
        return Ok(id);
    }
    transaction.prepare_cached(MAKE)?.execute(parts)?;
    Ok(find.query_row(parts, |row| row.get(0))?)
}

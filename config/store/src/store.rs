//! The database file: opened, brought to the present tables, and asked in transactions.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use crate::error::StoreError;
use crate::schema::{MIGRATIONS, MIGRATIONS_TABLE};

/// Name of the database inside the data directory.
pub const STORE_FILE: &str = "store.sqlite";

/// How long a transaction waits for that of another process.
const BUSY: Duration = Duration::from_secs(5);
/// Prepared statements that are kept.
const STATEMENTS: usize = 64;
const FILE_MODE: u32 = 0o600;

/// The database of a data directory.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
}

impl Store {
    /// Opens the store of a data directory, made if it is not there (mode 0600), and brings its tables up to date.
    ///
    /// # Errors
    /// A file that cannot be opened, is damaged, or is of a later version.
    pub fn open(data_dir: &Path) -> Result<Store, StoreError> {
        let path = data_dir.join(STORE_FILE);
        OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(FILE_MODE)
            .open(&path)
            .map_err(|source| StoreError::Io { path: path.clone(), source })?;
        let mut store = Store::connect(&path)?;
        // A transaction that has ended outlives a power cut: segments are removed after it.
        store.connection.pragma_update(None, "journal_mode", "WAL")?;
        store.connection.pragma_update(None, "synchronous", "FULL")?;
        store.migrate()?;
        Ok(store)
    }

    /// Opens the store of a data directory as it is, beside a gateway that may be running.
    ///
    /// # Errors
    /// When there is none, or it is of another version.
    pub fn open_existing(data_dir: &Path) -> Result<Store, StoreError> {
        let path = data_dir.join(STORE_FILE);
        if !path.exists() {
            return Err(StoreError::Missing(path));
        }
        let store = Store::connect(&path)?;
        store.connection.pragma_update(None, "synchronous", "FULL")?;
        match applied(&store.connection)? {
            found if found < known() => Err(StoreError::Version {
                found,
                known: known(),
                hint: "a start of this version's gateway brings it up to date",
            }),
            _ => Ok(store),
        }
    }

    fn connect(path: &Path) -> Result<Store, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        Ok(Store { connection })
    }

    fn migrate(&mut self) -> Result<(), StoreError> {
        let transaction = self.write()?;
        transaction.execute(MIGRATIONS_TABLE, [])?;
        let found = applied(&transaction)?;
        for (number, migration) in (1i64..).zip(MIGRATIONS).filter(|(number, _)| *number > found) {
            for statement in migration.statements() {
                transaction.execute(&statement, [])?;
            }
            transaction
                .execute("INSERT INTO migration (number, name) VALUES (?1, ?2)", (number, migration.name))?;
        }
        Ok(transaction.commit()?)
    }

    /// A transaction that writes; others wait for it.
    pub(crate) fn write(&mut self) -> Result<Transaction<'_>, StoreError> {
        Ok(self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?)
    }

    /// A transaction that sees one moment.
    pub(crate) fn read(&mut self) -> Result<Transaction<'_>, StoreError> {
        Ok(self.connection.transaction_with_behavior(TransactionBehavior::Deferred)?)
    }
}

fn known() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

/// Migrations that were applied.
fn applied(connection: &Connection) -> Result<i64, StoreError> {
    let there =
        connection.query_row("SELECT COUNT(*) FROM sqlite_schema WHERE name = 'migration'", [], |row| {
            row.get::<_, i64>(0)
        })?;
    if there == 0 {
        return Ok(0);
    }
    let found: i64 =
        connection.query_row("SELECT COALESCE(MAX(number), 0) FROM migration", [], |row| row.get(0))?;
    if found > known() {
        let hint = "it was written by a later version";
        return Err(StoreError::Version { found, known: known(), hint });
    }
    Ok(found)
}

/// An unsigned number as the database holds it; what is too large is its largest.
pub(crate) fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn it_is_private_made_once_and_refuses_what_is_newer() {
        let dir = std::env::temp_dir().join(format!("penstock-store-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        assert!(matches!(Store::open_existing(&dir), Err(StoreError::Missing(_))));
        drop(Store::open(&dir).unwrap());
        let mode = std::fs::metadata(dir.join(STORE_FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let store = Store::open(&dir).unwrap();
        store.connection.execute("INSERT INTO migration VALUES (99, 'later')", []).unwrap();
        drop(store);
        for opened in [Store::open(&dir), Store::open_existing(&dir)] {
            assert!(matches!(opened, Err(StoreError::Version { found: 99, .. })));
        }
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_store_without_tables_is_older() {
        let dir = std::env::temp_dir().join(format!("penstock-store-old-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join(STORE_FILE), b"").unwrap();
        assert!(matches!(Store::open_existing(&dir), Err(StoreError::Version { found: 0, .. })));
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_sum_that_does_not_fit_is_an_error_and_no_float() {
        let dir = std::env::temp_dir().join(format!("penstock-store-sum-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let mut store = Store::open(&dir).unwrap();
        let transaction = store.write().unwrap();
        transaction.execute("UPDATE ledger_state SET value = ?1", [i64::MAX]).unwrap();
        assert!(transaction.execute("UPDATE ledger_state SET value = value + 1", []).is_err());
        drop(transaction);
        std::fs::remove_dir_all(dir).unwrap();
    }
}

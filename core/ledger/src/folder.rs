//! The ledger's folder: a folder for each journal, its lock and its segments.
//!
//! `ledger/w0.journal/lock` is held by the process that writes or folds the journal, for as long as it lives; the numbered
//! files beside it are segments. Two processes (an upgrade) never share a journal: each takes numbers whose lock is free.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::error::{LedgerError, io_error};
use crate::segment::DRAFT_ENDING;

/// Name of the ledger's folder inside the data directory.
pub const LEDGER_FOLDER: &str = "ledger";

const LOCK_FILE: &str = "lock";
const SEGMENT_ENDING: &str = "segment";
const DAMAGED_ENDING: &str = "damaged";
const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// A journal whose lock this process holds and that nobody writes.
#[derive(Debug)]
pub struct HeldJournal {
    folder: PathBuf,
    number: u32,
    _lock: File,
}

/// A segment's file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct JournalSegment {
    /// Its place in the journal.
    pub sequence: u64,
    /// Where it is.
    pub path: PathBuf,
}

/// The numbers of all journals in `folder`, in order; none if there is no such folder.
///
/// # Errors
/// When the folder cannot be read.
pub fn journal_numbers(folder: &Path) -> Result<Vec<u32>, LedgerError> {
    let number = |name: &str| name.strip_prefix('w')?.strip_suffix(".journal")?.parse().ok();
    let mut numbers: Vec<u32> = names(folder)?.iter().filter_map(|name| number(name)).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// The segments of a journal that somebody else may be writing, in order. One may be freed at any time.
///
/// # Errors
/// When the journal's folder cannot be read.
pub fn readable_segments(folder: &Path, number: u32) -> Result<Vec<JournalSegment>, LedgerError> {
    segments(&journal_folder(folder, number))
}

/// Takes the lock of a journal, whose folder is made if it is not there; `None` while somebody else holds it.
///
/// # Errors
/// When the folder or the lock cannot be made.
pub fn lock(folder: &Path, number: u32) -> Result<Option<HeldJournal>, LedgerError> {
    let folder = journal_folder(folder, number);
    fs::DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(&folder).map_err(io_error(&folder))?;
    let path = folder.join(LOCK_FILE);
    let lock = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(FILE_MODE)
        .open(&path)
        .map_err(io_error(&path))?;
    match lock.try_lock() {
        Ok(()) => Ok(Some(HeldJournal { folder, number, _lock: lock })),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(source)) => Err(LedgerError::Io { path, source }),
    }
}

impl HeldJournal {
    /// The journal's number.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Its segments in order. Drafts that a killed process has left are removed.
    ///
    /// # Errors
    /// When the folder cannot be read, or a draft not removed.
    pub fn segments(&self) -> Result<Vec<JournalSegment>, LedgerError> {
        for name in names(&self.folder)? {
            let path = self.folder.join(name);
            if path.extension().is_some_and(|ending| ending == DRAFT_ENDING) {
                fs::remove_file(&path).map_err(io_error(&path))?;
            }
        }
        segments(&self.folder)
    }

    /// Removes a segment: for one whose lines are all folded.
    ///
    /// # Errors
    /// When it is there and cannot be removed.
    pub fn remove(&self, sequence: u64) -> Result<(), LedgerError> {
        let path = self.path(sequence);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(LedgerError::Io { path, source: error })
            }
            _ => Ok(()),
        }
    }

    /// Puts a file that is no segment aside, under a name that nobody reads; returns the name.
    ///
    /// # Errors
    /// When it cannot be renamed.
    pub fn put_aside(&self, sequence: u64) -> Result<PathBuf, LedgerError> {
        let (path, aside) = (self.path(sequence), self.path(sequence).with_extension(DAMAGED_ENDING));
        fs::rename(&path, &aside).map_err(io_error(&path))?;
        Ok(aside)
    }

    pub(crate) fn path(&self, sequence: u64) -> PathBuf {
        self.folder.join(format!("{sequence:010}.{SEGMENT_ENDING}"))
    }
}

pub(crate) fn journal_folder(folder: &Path, number: u32) -> PathBuf {
    folder.join(format!("w{number}.journal"))
}

fn segments(folder: &Path) -> Result<Vec<JournalSegment>, LedgerError> {
    let sequence = |name: &str| name.strip_suffix(SEGMENT_ENDING)?.strip_suffix('.')?.parse().ok();
    let mut found: Vec<JournalSegment> = names(folder)?
        .into_iter()
        .filter_map(|name| Some(JournalSegment { sequence: sequence(&name)?, path: folder.join(name) }))
        .collect();
    found.sort_unstable();
    Ok(found)
}

fn names(folder: &Path) -> Result<Vec<String>, LedgerError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(io_error(folder))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry.map_err(io_error(folder))?.file_name().into_string());
    }
    Ok(names)
}

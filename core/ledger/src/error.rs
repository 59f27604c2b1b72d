//! What can go wrong with a journal.

use std::io;
use std::path::{Path, PathBuf};

use crate::segment::SegmentError;

/// Why an intent was not taken, or a journal not opened.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// No room for the intent and its settlement: the fold or the disk is behind. The call is refused (503 `ledger_full`).
    #[error("the journal of money is full")]
    Full,
    /// `sync: always`, and the disk did not take the intent. The call is refused; the attempt is booked as never sent.
    #[error("the journal of money does not reach the disk: {0}")]
    Sync(io::Error),
    /// Another process, or another part of this one, has the journal.
    #[error("{path}: the journal is held by another process")]
    Held {
        /// The journal's folder.
        path: PathBuf,
    },
    /// A bound that cannot be.
    #[error("{0}")]
    Options(&'static str),
    /// The disk has no room for a segment.
    #[error("{path}: no room on disk for a segment of {bytes} bytes")]
    NoSpace {
        /// The segment's file.
        path: PathBuf,
        /// Bytes it would take.
        bytes: u64,
    },
    /// A file is no segment that this version reads.
    #[error("{path}: {source}")]
    Segment {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: SegmentError,
    },
    /// The operating system refused.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

pub(crate) fn io_error(path: &Path) -> impl FnOnce(io::Error) -> LedgerError + '_ {
    move |source| LedgerError::Io { path: path.to_owned(), source }
}

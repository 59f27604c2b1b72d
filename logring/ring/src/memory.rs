//! The words a ring lives in: a mapped file, or plain memory for tests and for a worker without a
//! disk.
//!
//! Knows nothing of frames or headers.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::map::Map;

/// Shared words. Cloning shares them.
#[derive(Clone, Debug)]
pub struct Memory(Arc<Backing>);

#[derive(Debug)]
enum Backing {
    Mapped(Map),
    Plain(Box<[AtomicU64]>),
}

impl Memory {
    pub(crate) fn mapped(map: Map) -> Memory {
        Memory(Arc::new(Backing::Mapped(map)))
    }

    /// Zeroed plain memory of `bytes`, a multiple of eight.
    pub fn plain(bytes: usize) -> Memory {
        let words = std::iter::repeat_with(|| AtomicU64::new(0)).take(bytes / 8).collect();
        Memory(Arc::new(Backing::Plain(words)))
    }

    /// The words.
    #[inline]
    pub fn words(&self) -> &[AtomicU64] {
        match &*self.0 {
            Backing::Mapped(map) => map.words(),
            Backing::Plain(words) => words,
        }
    }

    /// Writes dirty pages back to disk and waits for it. Costs a disk write: never on a worker.
    pub fn sync(&self) -> io::Result<()> {
        match &*self.0 {
            Backing::Mapped(map) => map.sync(),
            Backing::Plain(_) => Ok(()),
        }
    }
}

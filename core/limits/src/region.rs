//! The memory that node counters live in: a mapped file that processes share, or plain memory.
//!
//! Knows: bytes and their mapping. Must not: know what a word means. The only module with `unsafe`.
#![allow(unsafe_code)]

use std::{
    fs::File, io, os::unix::fs::FileExt, ptr::NonNull, sync::Arc, sync::atomic::AtomicU64,
    sync::atomic::Ordering,
};

use memmap2::MmapRaw;

/// Bytes written at once while a new file is filled.
const FILL_BYTES: usize = 1 << 20;

/// Words shared by all who hold a clone: threads of this process, and other processes if it is a file.
///
/// All access goes through atomics, so what another process writes can be wrong but never undefined.
#[derive(Debug, Clone)]
pub struct Region {
    words: NonNull<AtomicU64>,
    len: usize,
    backing: Arc<Backing>,
}

#[derive(Debug)]
enum Backing {
    File(MmapRaw),
    /// Held only to keep the words alive.
    #[allow(dead_code, reason = "owns the memory that `Region::words` points into")]
    Memory(Box<[AtomicU64]>),
}

// SAFETY: the words are only ever reached as atomics, and `backing` keeps them alive and in place.
unsafe impl Send for Region {}
// SAFETY: as above; shared access is atomic access.
unsafe impl Sync for Region {}

impl Region {
    /// Zeroed memory of `len` words: for tests and for a gateway without a data directory. A restart loses it.
    pub fn memory(len: usize) -> Self {
        let mut memory: Box<[AtomicU64]> = (0..len).map(|_| AtomicU64::new(0)).collect();
        let words = NonNull::new(memory.as_mut_ptr()).unwrap_or(NonNull::dangling());
        Self { words, len, backing: Arc::new(Backing::Memory(memory)) }
    }

    /// Maps `file`, which must be open for reading and writing, as `len` words; a shorter file is extended.
    ///
    /// New bytes are written, not left sparse: a full disk is an error here and not a SIGBUS in a worker. Nobody
    /// may shorten the file while it is mapped.
    pub fn file(file: &File, len: usize) -> io::Result<Self> {
        let bytes = len as u64 * 8;
        let mut at = file.metadata()?.len();
        let zeros = vec![0u8; FILL_BYTES];
        while at < bytes {
            let chunk = (bytes - at).min(FILL_BYTES as u64);
            file.write_all_at(&zeros[..chunk as usize], at)?;
            at += chunk;
        }
        let map = memmap2::MmapOptions::new().len(bytes as usize).map_raw(file)?;
        let words = NonNull::new(map.as_mut_ptr().cast::<AtomicU64>())
            .ok_or_else(|| io::Error::other("mapping at address zero"))?;
        Ok(Self { words, len, backing: Arc::new(Backing::File(map)) })
    }

    /// A copy in plain memory of what the words hold now: what a disk would hold after a sync.
    pub fn snapshot(&self) -> Self {
        let copy = Self::memory(self.len);
        for (to, from) in copy.words().iter().zip(self.words()) {
            to.store(from.load(Ordering::Acquire), Ordering::Relaxed);
        }
        copy
    }

    /// The words.
    #[inline]
    pub(crate) fn words(&self) -> &[AtomicU64] {
        // SAFETY: `words` points at `len` aligned words that `backing` owns (a mapping is page-aligned) and that
        // do not move or shrink while it lives; any bit pattern is an AtomicU64; all writers use atomics.
        unsafe { std::slice::from_raw_parts(self.words.as_ptr(), self.len) }
    }

    /// Writes a mapped file's changed pages to disk (msync). For a control thread: it blocks. Without effect on
    /// plain memory.
    pub fn sync(&self) -> io::Result<()> {
        match &*self.backing {
            Backing::File(map) => map.flush(),
            Backing::Memory(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_mappings_of_a_file_share_words_and_extension_keeps_them() {
        let path = std::env::temp_dir().join(format!("penstock-limits-region-{}", std::process::id()));
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
        let first = Region::file(&file, 1000).unwrap();
        first.words()[999].store(42, Ordering::Relaxed);
        let second = Region::file(&file, 300_000).unwrap();
        assert_eq!(second.words()[999].load(Ordering::Relaxed), 42);
        second.words()[5].store(7, Ordering::Relaxed);
        assert_eq!(first.words()[5].load(Ordering::Relaxed), 7);
        second.sync().unwrap();
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn clones_of_memory_share_words() {
        let region = Region::memory(8);
        region.clone().words()[3].store(9, Ordering::Relaxed);
        assert_eq!(region.words()[3].load(Ordering::Relaxed), 9);
    }
}

//! The one module with `unsafe`: a segment's file mapped into memory, seen as atomic words.
//!
//! Knows `mmap`, `posix_fallocate` and `msync`. Must not know what the words mean.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::atomic::AtomicU64;

use memmap2::MmapRaw;

/// A shared mapping of a whole file.
#[derive(Debug)]
pub(crate) struct Map {
    map: MmapRaw,
}

impl Map {
    /// Maps `file` for reading and writing. Its blocks must have room on disk (see [`reserve`]), or a write ends the process
    /// with SIGBUS.
    pub(crate) fn writable(file: &File) -> io::Result<Map> {
        Ok(Map { map: memmap2::MmapOptions::new().map_raw(file)? })
    }

    /// Maps `file` for reading: loads work, a store would fault.
    pub(crate) fn readable(file: &File) -> io::Result<Map> {
        Ok(Map { map: memmap2::MmapOptions::new().map_raw_read_only(file)? })
    }

    /// The mapping as words. Its last bytes beyond a multiple of eight are left out.
    #[inline]
    pub(crate) fn words(&self) -> &[AtomicU64] {
        // SAFETY: the mapping starts at a page boundary, so it is aligned for u64; it is `len` bytes long and lives as long
        // as `self`; all access, of this process and of others, goes through atomics. A file cut short by somebody else
        // makes an access fault, which the files' mode (0600) guards against; the ledger itself unlinks and never truncates.
        unsafe {
            std::slice::from_raw_parts(
                self.map.as_mut_ptr().cast::<AtomicU64>().cast_const(),
                self.map.len() / size_of::<AtomicU64>(),
            )
        }
    }

    /// Writes a range of bytes to disk and waits for it.
    pub(crate) fn sync(&self, from: usize, to: usize) -> io::Result<()> {
        self.map.flush_range(from, to.saturating_sub(from))
    }
}

/// Gives every block of the file's first `bytes` room on disk.
pub(crate) fn reserve(file: &File, bytes: u64) -> io::Result<()> {
    let bytes = libc::off_t::try_from(bytes).map_err(io::Error::other)?;
    // SAFETY: a plain call on an open descriptor that outlives it; it touches no memory of ours.
    match unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, bytes) } {
        0 => Ok(()),
        code => Err(io::Error::from_raw_os_error(code)),
    }
}

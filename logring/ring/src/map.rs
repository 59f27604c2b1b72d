//! The one module with `unsafe`: a ring file mapped into memory, seen as atomic words.
//!
//! Knows `mmap`, `posix_fallocate` and `msync`. Must not know what the words mean. Everything above
//! it is safe code over `&[AtomicU64]`, so it runs on plain memory in tests too.
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
    /// Maps `file` for reading and writing. The caller must have given its blocks room on disk
    /// first (see [`reserve`]), or a later write may end the process with SIGBUS.
    pub(crate) fn writable(file: &File) -> io::Result<Map> {
        Ok(Map { map: memmap2::MmapOptions::new().map_raw(file)? })
    }

    /// Maps `file` for reading only: loads work, a store would fault.
    pub(crate) fn readable(file: &File) -> io::Result<Map> {
        Ok(Map { map: memmap2::MmapOptions::new().map_raw_read_only(file)? })
    }

    /// The mapping as words. Its last bytes beyond a multiple of eight are left out.
    #[inline]
    pub(crate) fn words(&self) -> &[AtomicU64] {
        // SAFETY: the mapping starts at a page boundary, so it is aligned for u64; it is `len`
        // bytes long and lives as long as `self`; every access from this process goes through
        // these atomics, so there is no data race within it. Other processes write to the same
        // file only through atomics as well (the ring's protocol); a file cut short by somebody
        // else makes the access fault, which the file's mode (0600) and its lock guard against.
        unsafe {
            std::slice::from_raw_parts(
                self.map.as_mut_ptr().cast::<AtomicU64>().cast_const(),
                self.map.len() / size_of::<AtomicU64>(),
            )
        }
    }

    /// Starts or awaits the write-back of all dirty pages.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.map.flush()
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

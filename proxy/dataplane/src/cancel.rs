//! Takes a posted read of a socket back, so that a connection that idles can let go of its buffer.
//!
//! The runtime's own way needs an entry in a set for each read, whether it is ever cancelled or not (about 1,000
//! instructions a request). Under io_uring a read costs nothing here: the worker's ring is told by the socket
//! (`IORING_REGISTER_SYNC_CANCEL`, kernel 6.0). Under epoll the runtime's way is used. The read, still awaited, ends by
//! itself in both cases, and gives its buffer back.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::fs;
use std::io;
use std::os::fd::RawFd;
use std::sync::{Mutex, PoisonError};

/// How posted reads of the calling thread are taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// They cannot be: no runtime of ours runs here, or its ring cannot be told.
    None,
    /// By a handle of the runtime's, given to each.
    Handle,
    /// By telling the ring with this descriptor.
    Tell(RawFd),
}

/// What came of asking a posted read to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// It will end soon.
    Ends,
    /// The kernel does not have it, not yet or no more: it may be on its way there, or have ended in this moment.
    /// Unless it ends, ask again after a turn of the ring.
    NotThere,
    /// It cannot be asked here.
    Cannot,
}

thread_local! {
    static WAY: Cell<Way> = const { Cell::new(Way::None) };
}

/// The way of the calling thread.
pub fn way() -> Way {
    WAY.get()
}

/// Notes that the calling thread runs on epoll.
pub fn on_epoll() {
    WAY.set(Way::Handle);
}

/// Makes a ring for the calling thread and notes its descriptor, which the runtime keeps to itself: the one that is
/// there after and was not before. One thread at a time, so that there is one such.
pub fn with_ring<T>(make: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let before = rings();
    let made = make()?;
    let after = rings();
    drop(guard);
    let mut new = after.iter().filter(|ring| !before.contains(ring));
    let ring = new.next().filter(|_| new.next().is_none());
    WAY.set(ring.map_or(Way::None, |ring| Way::Tell(*ring)));
    Ok(made)
}

/// The rings among the descriptors of this process.
fn rings() -> Vec<RawFd> {
    let Ok(entries) = fs::read_dir("/proc/self/fd") else { return Vec::new() };
    let is_ring = |entry: &fs::DirEntry| {
        fs::read_link(entry.path()).is_ok_and(|to| to.to_string_lossy().contains("[io_uring]"))
    };
    let number = |entry: fs::DirEntry| entry.file_name().to_str()?.parse().ok();
    entries.flatten().filter(is_ring).filter_map(number).collect()
}

/// Tells the ring to end the one operation that is posted on the socket `fd`.
pub fn tell(ring: RawFd, fd: RawFd) -> Asked {
    /// `struct io_uring_sync_cancel_reg`.
    #[repr(C)]
    struct Cancel {
        addr: u64,
        fd: i32,
        flags: u32,
        timeout: [i64; 2],
        pad: [u64; 4],
    }
    const SYNC_CANCEL: libc::c_uint = 24;
    const BY_DESCRIPTOR: u32 = 1 << 1;
    let cancel = Cancel {
        addr: 0,
        fd,
        flags: BY_DESCRIPTOR,
        timeout: [0, 0], // no waiting: what does not end at once is awaited by its task
        pad: [0; 4],
    };
    // SAFETY: `cancel` is one valid structure of the kernel's layout, which the call only reads.
    let result = unsafe { libc::syscall(libc::SYS_io_uring_register, ring, SYNC_CANCEL, &cancel, 1u32) };
    if result >= 0 {
        return Asked::Ends;
    }
    match io::Error::last_os_error().raw_os_error() {
        Some(libc::ENOENT) => Asked::NotThere,
        Some(libc::EALREADY | libc::ETIME) => Asked::Ends, // it is just being done
        _ => {
            WAY.set(Way::None); // an older kernel, or a filter: it will say the same again
            Asked::Cannot
        }
    }
}

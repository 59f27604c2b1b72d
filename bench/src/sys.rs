//! The few calls to the system that neither the standard library nor monoio offers: pinning a thread, CPU time
//! of a thread, closing a socket with a reset, seeing that a peer has left. Knows no protocol.
#![allow(unsafe_code)] // borrows of raw descriptors, argued below

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::thread::CpuSet;

/// Pins the calling thread to one core.
///
/// # Errors
/// If the core does not exist or is outside the process's allowed set.
pub(crate) fn pin_thread(core: usize) -> io::Result<()> {
    if core >= CpuSet::MAX_CPU {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("core {core} is out of range")));
    }
    let mut set = CpuSet::new();
    set.set(core);
    rustix::thread::sched_setaffinity(None, &set).map_err(|error| {
        io::Error::new(io::Error::from(error).kind(), format!("cannot pin to core {core}: {error}"))
    })
}

/// CPU time (user and system) that the calling thread has used so far.
pub(crate) fn thread_cpu_time() -> Duration {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let seconds = u64::try_from(spent.tv_sec).unwrap_or(0);
    let nanoseconds = u32::try_from(spent.tv_nsec).unwrap_or(0);
    Duration::new(seconds, nanoseconds)
}

/// Raises the soft limit of open descriptors to the hard one and returns it.
pub(crate) fn raise_descriptor_limit() -> u64 {
    let resource = rustix::process::Resource::Nofile;
    let mut limit = rustix::process::getrlimit(resource);
    let hard = limit.maximum;
    if limit.current != hard {
        limit.current = hard;
        if rustix::process::setrlimit(resource, limit).is_err() {
            limit = rustix::process::getrlimit(resource);
        }
    }
    limit.current.unwrap_or(u64::MAX)
}

/// Makes the next close of this socket send a reset instead of a FIN.
///
/// # Errors
/// As `setsockopt`.
pub(crate) fn reset_on_close(socket: &impl AsRawFd) -> io::Result<()> {
    // SAFETY: the descriptor is open for as long as `socket` is borrowed, and the borrow ends before it.
    let borrowed = unsafe { BorrowedFd::borrow_raw(socket.as_raw_fd()) };
    rustix::net::sockopt::set_socket_linger(borrowed, Some(Duration::ZERO)).map_err(io::Error::from)
}

/// Another descriptor of the same socket, for a wait beside the socket's own reads and writes.
///
/// # Errors
/// As `dup`.
pub(crate) fn duplicate(socket: &impl AsRawFd) -> io::Result<OwnedFd> {
    // SAFETY: the descriptor is open for as long as `socket` is borrowed, and the borrow ends before it.
    let borrowed = unsafe { BorrowedFd::borrow_raw(socket.as_raw_fd()) };
    borrowed.try_clone_to_owned()
}

/// Whether the peer of a connection has ended its direction or is gone. Takes no byte that waits to be read.
pub(crate) fn peer_has_left(socket: &impl AsRawFd) -> bool {
    use rustix::net::RecvFlags;
    // SAFETY: the descriptor is open for as long as `socket` is borrowed, and the borrow ends before it.
    let borrowed = unsafe { BorrowedFd::borrow_raw(socket.as_raw_fd()) };
    let mut byte = [0; 1];
    match rustix::net::recv(borrowed, &mut byte[..], RecvFlags::PEEK | RecvFlags::DONTWAIT) {
        Ok((_, length)) => length == 0,
        Err(error) => error != rustix::io::Errno::AGAIN && error != rustix::io::Errno::INTR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_of_a_thread_grows_with_work() {
        let before = thread_cpu_time();
        let mut sum = 0u64;
        while thread_cpu_time() == before {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(thread_cpu_time() > before);
    }

    #[test]
    fn a_core_that_cannot_be_is_an_error() {
        assert!(pin_thread(CpuSet::MAX_CPU).is_err());
    }
}

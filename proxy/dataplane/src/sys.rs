//! The few calls to the operating system that neither std nor the runtime offers: clocks, affinity, socket
//! options, `shutdown` by descriptor. Knows nothing of requests. All `unsafe` of calls to libc stands here.
#![allow(unsafe_code)]

use std::io;
use std::mem;
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// Which side of a socket [`shutdown`] ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The read side: a pending read ends with 0 bytes, writes go on.
    Read,
    /// The write side: the peer sees the end of our bytes.
    Write,
    /// Both: every pending operation ends.
    Both,
}

/// Ends one or both sides of the socket `fd`. Errors are of no use to any caller (the peer may be gone).
pub fn shutdown(fd: RawFd, side: Side) {
    let how = match side {
        Side::Read => libc::SHUT_RD,
        Side::Write => libc::SHUT_WR,
        Side::Both => libc::SHUT_RDWR,
    };
    // SAFETY: shutdown(2) takes a plain integer and touches no memory of ours; a stale descriptor gives EBADF.
    unsafe {
        libc::shutdown(fd, how);
    }
}

/// Whether bytes, the peer's end or an error wait at the socket `fd`. Takes nothing of them, and does not wait.
pub fn has_come(fd: RawFd) -> bool {
    let mut byte = 0u8;
    // SAFETY: `byte` is valid for writes of the one byte that is asked for; a stale descriptor gives EBADF.
    let n = unsafe { libc::recv(fd, (&raw mut byte).cast(), 1, libc::MSG_PEEK | libc::MSG_DONTWAIT) };
    n >= 0 || io::Error::last_os_error().kind() != io::ErrorKind::WouldBlock
}

/// Makes the next `close` of `fd` send a reset instead of a FIN: the peer must not take a cut answer for a
/// whole one.
pub fn reset_on_close(fd: RawFd) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    set_option(fd, libc::SOL_SOCKET, libc::SO_LINGER, &linger).ok();
}

fn clock_ns(id: libc::clockid_t) -> u64 {
    let mut ts = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `ts` is a valid, writable timespec; both clocks used here exist on every supported kernel.
    unsafe {
        libc::clock_gettime(id, &mut ts);
    }
    ts.tv_sec as u64 * 1_000_000_000 + ts.tv_nsec as u64
}

/// Nanoseconds of `CLOCK_MONOTONIC`, which all processes of one boot share. About 20 ns through the vDSO.
pub fn monotonic_ns() -> u64 {
    clock_ns(libc::CLOCK_MONOTONIC)
}

/// [`monotonic_ns`] as of the kernel's last tick, so up to 10 ms behind: for deadlines, which fire on a slot anyway.
/// About 5 ns.
pub fn tick_ns() -> u64 {
    clock_ns(libc::CLOCK_MONOTONIC_COARSE)
}

/// Nanoseconds since the Unix epoch.
pub fn wall_ns() -> u64 {
    clock_ns(libc::CLOCK_REALTIME)
}

/// 16 bytes from the kernel's random generator.
pub fn random() -> [u8; 16] {
    let mut bytes = [0u8; 16];
    // SAFETY: `bytes` is valid for writes of its length. Short reads cannot happen below 256 bytes once the
    // generator is seeded, which it is long before a server starts.
    unsafe {
        libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0);
    }
    bytes
}

/// The allocator that a program with workers should have. Its pages hold allocations of one size, so what connections
/// give back when they go idle leaves whole pages free.
pub use mimalloc::MiMalloc as Allocator;

/// Gives free pages of [`Allocator`] back to the system, whichever thread freed them; by itself it does so only when
/// more is allocated. For a control thread.
pub fn release_memory() {
    // SAFETY: the call touches memory of the allocator's that nobody uses, under its own locks.
    unsafe {
        libmimalloc_sys::mi_collect(true);
    }
}

/// The CPUs that this process may run on, ascending.
pub fn allowed_cpus() -> Vec<usize> {
    // SAFETY: an all-zero cpu_set_t is a valid empty set.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    // SAFETY: `set` is valid for writes of the size that is passed.
    let r = unsafe { libc::sched_getaffinity(0, mem::size_of::<libc::cpu_set_t>(), &mut set) };
    if r != 0 {
        return vec![0];
    }
    // SAFETY: the index stays below CPU_SETSIZE and `set` was filled by the kernel.
    (0..libc::CPU_SETSIZE as usize).filter(|&cpu| unsafe { libc::CPU_ISSET(cpu, &set) }).collect()
}

/// Pins the calling thread to `cpu`.
///
/// # Errors
/// What `sched_setaffinity(2)` says, for instance EINVAL for a CPU outside the cgroup's set.
pub fn pin_to_cpu(cpu: usize) -> io::Result<()> {
    if cpu >= libc::CPU_SETSIZE as usize {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    // SAFETY: as above; CPU_SET is given an index below CPU_SETSIZE.
    let set = unsafe {
        let mut set: libc::cpu_set_t = mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        set
    };
    // SAFETY: `set` is valid for reads of the size that is passed; 0 is the calling thread.
    match unsafe { libc::sched_setaffinity(0, mem::size_of::<libc::cpu_set_t>(), &set) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Gives the calling thread a lower priority (`nice` 0 to 19), for threads beside the workers.
pub fn lower_priority(nice: i32) {
    // SAFETY: gettid and setpriority take plain integers.
    unsafe {
        let tid = libc::syscall(libc::SYS_gettid) as libc::id_t;
        libc::setpriority(libc::PRIO_PROCESS, tid, nice);
    }
}

/// Raises the soft limit of open descriptors to the hard one and returns what is in force.
pub fn raise_descriptor_limit() -> u64 {
    let mut lim = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `lim` is valid for the reads and writes of both calls.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut lim) == 0 && lim.rlim_cur < lim.rlim_max {
            lim.rlim_cur = lim.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &lim);
            libc::getrlimit(libc::RLIMIT_NOFILE, &mut lim);
        }
    }
    lim.rlim_cur
}

/// Whether this process or system has run out of descriptors or memory: no peer is to blame. Local ports are not among
/// them: they run out for one peer, and the same error means that there is no way to an address of IPv6.
pub fn is_exhausted(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::ENOBUFS))
}

fn set_option<T>(fd: RawFd, level: i32, name: i32, value: &T) -> io::Result<()> {
    // SAFETY: `value` is valid for reads of size_of::<T>() bytes; the kernel copies them.
    let r = unsafe {
        libc::setsockopt(fd, level, name, (value as *const T).cast(), mem::size_of::<T>() as libc::socklen_t)
    };
    if r == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Switches Nagle's algorithm off.
pub fn set_nodelay(fd: RawFd) {
    set_option(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, &1i32).ok();
}

/// Opens a listening TCP socket with SO_REUSEADDR, SO_REUSEPORT and TCP_NODELAY (accepted sockets inherit it).
/// It is blocking, as io_uring wants it; the epoll driver changes that by itself.
///
/// # Errors
/// What socket(2), bind(2) or listen(2) says.
pub fn listen_tcp(addr: SocketAddr, backlog: i32) -> io::Result<OwnedFd> {
    let family = if addr.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    // SAFETY: plain integers in, a new descriptor out.
    let raw = unsafe { libc::socket(family, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) };
    if raw < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `raw` is a descriptor that we have just been given and that nobody else owns.
    let fd = unsafe { OwnedFd::from_raw_fd(raw) };
    set_option(raw, libc::SOL_SOCKET, libc::SO_REUSEADDR, &1i32)?;
    set_option(raw, libc::SOL_SOCKET, libc::SO_REUSEPORT, &1i32)?;
    set_nodelay(raw);
    let bound = match addr {
        SocketAddr::V4(a) => bind(raw, &sockaddr_v4(a)),
        SocketAddr::V6(a) => {
            set_option(raw, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, &1i32)?;
            bind(raw, &sockaddr_v6(a))
        }
    };
    bound?;
    bound_accept(raw)?;
    // SAFETY: plain integers.
    if unsafe { libc::listen(raw, backlog) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(fd)
}

fn bind<T>(fd: RawFd, addr: &T) -> io::Result<()> {
    // SAFETY: `addr` is a socket address structure of size_of::<T>() bytes, read by the kernel only.
    let r = unsafe { libc::bind(fd, (addr as *const T).cast(), mem::size_of::<T>() as libc::socklen_t) };
    if r == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn sockaddr_v4(a: SocketAddrV4) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: a.port().to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(a.ip().octets()) },
        sin_zero: [0; 8],
    }
}

fn sockaddr_v6(a: SocketAddrV6) -> libc::sockaddr_in6 {
    libc::sockaddr_in6 {
        sin6_family: libc::AF_INET6 as libc::sa_family_t,
        sin6_port: a.port().to_be(),
        sin6_flowinfo: a.flowinfo(),
        sin6_addr: libc::in6_addr { s6_addr: a.ip().octets() },
        sin6_scope_id: a.scope_id(),
    }
}

/// Lets no accept(2) on this listening socket wait, however it came to be blocking: what poll(2) has shown may be
/// gone by then, taken by another thread. Accepts of a ring and of epoll do not wait in that call and are not touched.
///
/// # Errors
/// What setsockopt(2) says.
pub fn bound_accept(fd: RawFd) -> io::Result<()> {
    let wait = libc::timeval { tv_sec: 0, tv_usec: 1000 };
    set_option(fd, libc::SOL_SOCKET, libc::SO_RCVTIMEO, &wait)
}

/// Has a listening TCP socket pass over new connections from now on: their first segment (SYN) is dropped, as if it had
/// been lost, while handshakes that have begun go on. Who is passed over tries again by itself a second later.
pub fn refuse_new(listener: std::os::fd::BorrowedFd<'_>) {
    const FLAGS_AT: u32 = 13; // of a TCP header, where a filter's data begins (RFC 9293 section 3.1)
    const SYN: u32 = 0x02;
    const ACK: u32 = 0x10;
    let step = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let mut program = [
        step(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, 0, 0, FLAGS_AT),
        step(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, 0, 0, SYN | ACK),
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, SYN),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, 0),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, u32::MAX),
    ];
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // Without the filter a call can be lost in the moment of closing, as it always could: no reason not to close.
    set_option(listener.as_raw_fd(), libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &filter).ok();
}

/// Takes a connection that waits at a listening socket, without waiting for one (see [`bound_accept`]).
pub fn accept_waiting(fd: std::os::fd::BorrowedFd<'_>) -> Option<OwnedFd> {
    let mut poll = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: `poll` is one valid pollfd; a timeout of 0 returns at once.
    if unsafe { libc::poll(&mut poll, 1, 0) } != 1 || poll.revents & libc::POLLIN == 0 {
        return None;
    }
    // SAFETY: null is allowed for the address and its length.
    let raw = unsafe {
        libc::accept4(fd.as_raw_fd(), std::ptr::null_mut(), std::ptr::null_mut(), libc::SOCK_CLOEXEC)
    };
    // SAFETY: a descriptor that we have just been given and that nobody else owns.
    (raw >= 0).then(|| unsafe { OwnedFd::from_raw_fd(raw) })
}

/// The address that a TCP socket is bound to.
///
/// # Errors
/// What getsockname(2) says.
pub fn local_address(fd: std::os::fd::BorrowedFd<'_>) -> io::Result<SocketAddr> {
    std::net::TcpListener::from(fd.try_clone_to_owned()?).local_addr()
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_socket_tells_what_has_come_and_keeps_it() {
        let (a, mut b) = std::os::unix::net::UnixStream::pair().unwrap();
        let fd = a.as_raw_fd();
        assert!(!has_come(fd));
        b.write_all(b"x").unwrap();
        assert!(has_come(fd) && has_come(fd));
        let mut byte = [0];
        (&a).read_exact(&mut byte).unwrap();
        assert!(&byte == b"x" && !has_come(fd));
        drop(b);
        assert!(has_come(fd));
    }

    #[test]
    fn a_listener_that_refuses_new_ones_keeps_those_it_has() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let mut waiting = TcpStream::connect(addr).unwrap();
        refuse_new(listener.as_fd());
        let refused = TcpStream::connect_timeout(&addr, Duration::from_millis(100)).map(drop);
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::TimedOut);
        waiting.write_all(b"x").unwrap();
        let mut taken = listener.accept().unwrap().0;
        let mut byte = [0];
        taken.read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"x");
    }
}

//! Listening sockets. The control side opens and owns them, one per worker and address; a worker serves a
//! duplicate. So a worker that is replaced loses no connection that waits in its accept queue.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener as StdUnixListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use penstock_gate::spec::Address;

use crate::sys;

/// Connections that may wait to be accepted, per worker and address; the kernel caps it at `somaxconn`.
pub const BACKLOG: i32 = 4096;

/// Connections open at one listener, over all workers of the node. Touched when one opens or closes.
#[derive(Debug, Clone, Default)]
pub struct OpenCount(Arc<AtomicU32>);

impl OpenCount {
    /// Takes the place of one connection if fewer than `open_max` are open.
    pub fn enter(&self, open_max: u32) -> Option<Place> {
        let taken = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| (open < open_max).then_some(open + 1));
        taken.ok().map(|_| Place(self.0.clone()))
    }
}

/// The place of one open connection, given back when dropped.
#[derive(Debug)]
pub struct Place(Arc<AtomicU32>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The sockets of one address.
#[derive(Debug)]
pub struct ListenerSockets {
    /// Where they listen.
    pub address: Address,
    /// The connections that came in by them and are open.
    pub open: OpenCount,
    /// One a worker; a Unix socket has one that all share (SO_REUSEPORT does not spread it).
    sockets: Vec<OwnedFd>,
}

impl ListenerSockets {
    /// Opens the sockets of `address` for `workers` workers. Port 0 takes a free port, the same for all.
    ///
    /// # Errors
    /// What the operating system says, for instance that the address is in use.
    pub fn open(address: &Address, workers: usize) -> io::Result<Self> {
        match address {
            Address::Tcp(addr) => {
                let first = sys::listen_tcp(*addr, BACKLOG)?;
                let bound = sys::local_address(first.as_fd())?;
                let mut sockets = vec![first];
                for _ in 1..workers {
                    sockets.push(sys::listen_tcp(bound, BACKLOG)?);
                }
                Ok(Self { address: Address::Tcp(bound), open: OpenCount::default(), sockets })
            }
            Address::Unix(path) => {
                remove_stale(path)?;
                let listener = StdUnixListener::bind(path)?;
                sys::bound_accept(listener.as_raw_fd())?;
                let sockets = vec![listener.into()];
                Ok(Self { address: address.clone(), open: OpenCount::default(), sockets })
            }
        }
    }

    /// Stops accepting, in every process that has a duplicate. Connections that were not yet accepted are reset.
    pub fn close(&self) {
        for socket in &self.sockets {
            sys::shutdown(socket.as_raw_fd(), sys::Side::Both);
        }
        if let Address::Unix(path) = &self.address {
            std::fs::remove_file(path).ok();
        }
    }

    /// The socket that worker `worker` serves a duplicate of.
    pub fn of_worker(&self, worker: usize) -> BorrowedFd<'_> {
        self.sockets[worker % self.sockets.len()].as_fd()
    }
}

/// Removes the socket file of a process that is gone; one that still answers is left alone.
fn remove_stale(path: &Path) -> io::Result<()> {
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err(io::ErrorKind::AddrInUse.into()),
        Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path),
        Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;

    #[test]
    fn all_workers_share_a_port() {
        let sockets = ListenerSockets::open(&Address::Tcp("127.0.0.1:0".parse().unwrap()), 3).unwrap();
        let Address::Tcp(addr) = sockets.address else { panic!("a TCP address") };
        assert_ne!(addr.port(), 0);
        TcpStream::connect(addr).unwrap();
    }

    #[test]
    fn a_stale_unix_socket_is_replaced_and_a_live_one_is_not() {
        let path = std::env::temp_dir().join(format!("penstock-listen-{}.sock", std::process::id()));
        drop(StdUnixListener::bind(&path).unwrap());
        let address = Address::Unix(path.clone());
        let live = ListenerSockets::open(&address, 2).unwrap();
        assert_eq!(ListenerSockets::open(&address, 1).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(live);
        std::fs::remove_file(path).unwrap();
    }
}

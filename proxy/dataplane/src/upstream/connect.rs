//! Opening a connection to a target within a deadline. A connect is never cancelled (the runtime would lose its
//! descriptor): past the deadline it runs to its end in a task of its own and its socket is closed.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use monoio::net::{TcpStream, UnixStream};
use penstock_gate::spec::TargetAddress;

use crate::deadline::Wheel;
use crate::stream::Stream;
use crate::sys;
use crate::upstream::node::{NodeTarget, OpenPlace};

/// Why no connection came about.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The name of the target has not been resolved.
    #[error("the target's name has no address")]
    Unresolved,
    /// It took too long.
    #[error("connecting took longer than allowed")]
    Timeout,
    /// The operating system refused.
    #[error("connecting failed: {0}")]
    Io(#[from] io::Error),
}

/// Opens connections to one target; takes the resolved addresses by turns.
#[derive(Debug, Default)]
pub struct Connector {
    turn: Cell<usize>,
}

impl Connector {
    /// Opens one. `place` is freed when the attempt ends, even if that is after the deadline; on success it is
    /// given back with the stream.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn connect(
        &self,
        address: &TargetAddress,
        node: &NodeTarget,
        place: OpenPlace,
        limit: Duration,
        wheel: &Rc<Wheel>,
    ) -> Result<(Stream, OpenPlace), ConnectError> {
        match address {
            TargetAddress::Unix(path) => {
                let path = path.clone();
                let opened = within(limit, place, async move { UnixStream::connect(path).await }).await?;
                Ok((Stream::unix(opened.0, wheel), opened.1))
            }
            TargetAddress::Ip(_) | TargetAddress::Dns(..) => {
                let addr = self.next_address(node).ok_or(ConnectError::Unresolved)?;
                let (stream, place) = within(limit, place, TcpStream::connect_addr(addr)).await?;
                sys::set_nodelay(std::os::fd::AsRawFd::as_raw_fd(&stream));
                Ok((Stream::tcp(stream, wheel), place))
            }
        }
    }

    fn next_address(&self, node: &NodeTarget) -> Option<SocketAddr> {
        let addresses = node.addresses();
        let turn = self.turn.get();
        self.turn.set(turn.wrapping_add(1));
        addresses.get(turn % addresses.len().max(1)).copied()
    }
}

async fn within<S: 'static>(
    limit: Duration,
    place: OpenPlace,
    attempt: impl Future<Output = io::Result<S>> + 'static,
) -> Result<(S, OpenPlace), ConnectError> {
    let task = monoio::spawn(async move { attempt.await.map(|stream| (stream, place)) });
    match monoio::time::timeout(limit, task).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(ConnectError::Timeout),
    }
}

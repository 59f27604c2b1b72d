//! A connected socket as the worker holds it: a read port, a writer and their deadlines. TCP, Unix and TLS look
//! alike from here on.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::rc::Rc;

use monoio::io::{AsyncWriteRent, OwnedWriteHalf, Splitable};
use monoio::net::{TcpStream, UnixStream};

use crate::buf::Buf;
use crate::deadline::{Timer, Wheel};
use crate::port::{ReadPort, socket_port};
use crate::sys::{self, Side};
use crate::tls::TlsWriter;

/// The write side of a socket.
#[derive(Debug)]
pub enum Writer {
    /// Over TCP.
    Tcp(OwnedWriteHalf<TcpStream>),
    /// Over a Unix socket.
    Unix(OwnedWriteHalf<UnixStream>),
    /// Over TLS, itself over one of the others.
    Tls(Box<TlsWriter>),
}

impl Writer {
    /// Writes the readable bytes of `buf` whole and gives it back, empty on success.
    ///
    /// # Errors
    /// What send(2) says; then an unknown part is on the wire and the socket must be closed.
    pub async fn write_all(&mut self, buf: Buf) -> (io::Result<()>, Buf) {
        match self {
            Writer::Tls(tls) => tls.write_all(buf).await,
            _ => self.send_all(buf).await,
        }
    }

    /// Writes the first `n` readable bytes of `buf` and gives it back without them.
    ///
    /// # Errors
    /// As [`Writer::write_all`].
    pub async fn write(&mut self, mut buf: Buf, n: usize) -> (io::Result<()>, Buf) {
        buf.hide_after(n);
        let (result, mut buf) = self.write_all(buf).await;
        buf.unhide();
        (result, buf)
    }

    /// Ends our side of the protocol above the socket: over TLS sends close_notify, or the alert that tells the
    /// peer what broke; elsewhere there is nothing to send. Called before the write side is shut or closed.
    ///
    /// # Errors
    /// What send(2) says.
    pub async fn finish(&mut self) -> io::Result<()> {
        match self {
            Writer::Tls(tls) => tls.finish().await,
            _ => Ok(()),
        }
    }

    /// [`Writer::write_all`] on the socket itself. TLS is not carried within TLS.
    pub(crate) async fn send_all(&mut self, mut buf: Buf) -> (io::Result<()>, Buf) {
        while !buf.is_empty() {
            let (result, back) = match self {
                Writer::Tcp(half) => half.write(buf).await,
                Writer::Unix(half) => half.write(buf).await,
                Writer::Tls(_) => (Err(io::ErrorKind::Unsupported.into()), buf),
            };
            buf = back;
            match result {
                Ok(0) => return (Err(io::ErrorKind::WriteZero.into()), buf),
                Ok(n) => buf.consume(n),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return (Err(e), buf),
            }
        }
        (Ok(()), buf)
    }
}

/// A connected socket.
pub struct Stream {
    // The timers stand first: they must be dropped before the descriptor is closed.
    /// Deadline of reads, and of the whole socket where one suffices.
    pub read_timer: Timer,
    /// Deadline of writes.
    pub write_timer: Timer,
    /// The read side.
    pub reader: Box<dyn ReadPort>,
    /// The write side.
    pub writer: Writer,
    fd: RawFd,
}

impl Stream {
    /// Takes a TCP socket.
    pub fn tcp(stream: TcpStream, wheel: &Rc<Wheel>) -> Self {
        let fd = stream.as_raw_fd();
        let (read, write) = stream.into_split();
        Self::new(fd, wheel, socket_port(read), Writer::Tcp(write))
    }

    /// Takes a Unix socket.
    pub fn unix(stream: UnixStream, wheel: &Rc<Wheel>) -> Self {
        let fd = stream.as_raw_fd();
        let (read, write) = stream.into_split();
        Self::new(fd, wheel, socket_port(read), Writer::Unix(write))
    }

    fn new(fd: RawFd, wheel: &Rc<Wheel>, reader: Box<dyn ReadPort>, writer: Writer) -> Self {
        Self { read_timer: wheel.timer(fd), write_timer: wheel.timer(fd), reader, writer, fd }
    }

    /// The same socket with its two sides wrapped.
    pub(crate) fn wrap(
        self,
        wrap: impl FnOnce(Box<dyn ReadPort>, Writer) -> (Box<dyn ReadPort>, Writer),
    ) -> Self {
        let Self { read_timer, write_timer, reader, writer, fd } = self;
        let (reader, writer) = wrap(reader, writer);
        Self { read_timer, write_timer, reader, writer, fd }
    }

    /// Ends one side, or both.
    pub fn shutdown(&self, side: Side) {
        sys::shutdown(self.fd, side);
    }

    /// Makes closing send a reset, so that the peer does not take what it has for a whole message.
    pub fn reset_on_close(&self) {
        sys::reset_on_close(self.fd);
    }
}

//! A connected socket as the worker holds it: a read port, a writer and their deadlines. TCP, Unix and TLS look
//! alike from here on.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::rc::Rc;

use monoio::io::Splitable;
use monoio::net::{TcpStream, UnixStream};

use crate::buf::Buf;
use crate::deadline::{Timer, Wheel};
use crate::half::WriteHalf;
use crate::port::{ReadPort, socket_port};
use crate::sys::{self, Side};
use crate::tls::TlsWriter;

/// The write side of a socket, without anything above it.
#[derive(Debug)]
pub enum Socket {
    /// TCP.
    Tcp(WriteHalf<TcpStream>),
    /// A Unix socket.
    Unix(WriteHalf<UnixStream>),
}

impl Socket {
    /// Sends the readable bytes of `buf` whole and gives it back, empty on success.
    ///
    /// # Errors
    /// What send(2) says; then an unknown part is on the wire and the socket must be closed.
    pub async fn send_all(&mut self, mut buf: Buf) -> (io::Result<()>, Buf) {
        while !buf.is_empty() {
            let (result, back) = match self {
                Socket::Tcp(half) => half.write(buf).await,
                Socket::Unix(half) => half.write(buf).await,
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

/// The write side of a connection.
#[derive(Debug)]
pub enum Writer {
    /// In the clear.
    Plain(Socket),
    /// Over TLS.
    Tls(Box<TlsWriter>),
}

impl Writer {
    /// Writes the readable bytes of `buf` whole and gives it back, empty on success.
    ///
    /// # Errors
    /// As [`Socket::send_all`].
    pub fn write_all(&mut self, buf: Buf) -> impl Future<Output = (io::Result<()>, Buf)> {
        let n = buf.len();
        self.write(buf, n)
    }

    /// Writes the first `n` readable bytes of `buf` and gives it back without them.
    ///
    /// # Errors
    /// As [`Socket::send_all`].
    pub async fn write(&mut self, mut buf: Buf, n: usize) -> (io::Result<()>, Buf) {
        buf.hide_after(n);
        let (result, mut buf) = match self {
            Writer::Plain(socket) => socket.send_all(buf).await,
            Writer::Tls(tls) => tls.write_all(buf).await,
        };
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
            Writer::Plain(_) => Ok(()),
            Writer::Tls(tls) => tls.finish().await,
        }
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
        Self::new(fd, wheel, socket_port(read, fd), Writer::Plain(Socket::Tcp(WriteHalf::new(write))))
    }

    /// Takes a Unix socket.
    pub fn unix(stream: UnixStream, wheel: &Rc<Wheel>) -> Self {
        let fd = stream.as_raw_fd();
        let (read, write) = stream.into_split();
        Self::new(fd, wheel, socket_port(read, fd), Writer::Plain(Socket::Unix(WriteHalf::new(write))))
    }

    fn new(fd: RawFd, wheel: &Rc<Wheel>, reader: Box<dyn ReadPort>, writer: Writer) -> Self {
        Self { read_timer: wheel.timer(fd), write_timer: wheel.timer(fd), reader, writer, fd }
    }

    /// The same socket with TLS above it: `secure` makes the two sides of it of those of the socket.
    pub(crate) fn secured(
        self,
        secure: impl FnOnce(Box<dyn ReadPort>, Socket) -> (Box<dyn ReadPort>, TlsWriter),
    ) -> Self {
        let Self { read_timer, write_timer, reader, writer, fd } = self;
        let Writer::Plain(socket) = writer else { unreachable!("TLS is not carried within TLS") };
        let (reader, writer) = secure(reader, socket);
        Self { read_timer, write_timer, reader, writer: Writer::Tls(Box::new(writer)), fd }
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

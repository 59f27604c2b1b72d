//! The admin socket: a bounded number of connections, TCP or Unix, served by the router.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

/// Connections at once; further ones wait in the backlog.
pub const CONNECTIONS_MAX: usize = 128;
/// Pause after a failed accept (no descriptors, above all).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where to listen.
#[derive(Debug, Clone)]
pub enum Place {
    /// A socket address.
    Tcp(SocketAddr),
    /// A path for a Unix socket (mode 0600).
    Unix(PathBuf),
}

/// A bound socket.
#[derive(Debug)]
pub enum Bound {
    /// TCP.
    Tcp(TcpListener),
    /// Unix, with its path.
    Unix(UnixListener, PathBuf),
}

impl Bound {
    /// The address that is bound; none for a Unix socket.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Bound::Tcp(listener) => listener.local_addr().ok().map(|address| address.ip()),
            Bound::Unix(..) => None,
        }
    }

    /// The address for people: `127.0.0.1:9080` or `unix:/run/x.sock`.
    pub fn shown(&self) -> String {
        match self {
            Bound::Tcp(listener) => listener.local_addr().map(|a| a.to_string()).unwrap_or_default(),
            Bound::Unix(_, path) => format!("unix:{}", path.display()),
        }
    }
}

/// Binds.
///
/// # Errors
/// What the operating system says.
pub async fn bind(place: Place) -> io::Result<Bound> {
    match place {
        Place::Tcp(address) => Ok(Bound::Tcp(TcpListener::bind(address).await?)),
        Place::Unix(path) => {
            if tokio::net::UnixStream::connect(&path).await.is_ok() {
                return Err(io::ErrorKind::AddrInUse.into());
            }
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let listener = UnixListener::bind(&path)?;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
            Ok(Bound::Unix(listener, path))
        }
    }
}

/// Serves until the process ends.
///
/// # Errors
/// Never in practice: failed accepts are tried again.
pub async fn serve(bound: Bound, router: Router) -> io::Result<()> {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    match bound {
        Bound::Tcp(listener) => axum::serve(Bounded { listener, places }, router).await,
        Bound::Unix(listener, _) => axum::serve(Bounded { listener, places }, router).await,
    }
}

struct Bounded<L> {
    listener: L,
    places: Arc<Semaphore>,
}

/// A connection that frees its place when it ends.
struct Placed<S> {
    stream: S,
    _place: OwnedSemaphorePermit,
}

/// What the two kinds of sockets have in common.
trait Accept: Send + 'static {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;
    fn accept(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

impl Accept for TcpListener {
    type Stream = tokio::net::TcpStream;
    async fn accept(&self) -> io::Result<Self::Stream> {
        let (stream, _) = TcpListener::accept(self).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

impl Accept for UnixListener {
    type Stream = tokio::net::UnixStream;
    async fn accept(&self) -> io::Result<Self::Stream> {
        Ok(UnixListener::accept(self).await?.0)
    }
}

impl<L: Accept> Listener for Bounded<L> {
    type Io = Placed<L::Stream>;
    type Addr = ();

    async fn accept(&mut self) -> (Self::Io, ()) {
        loop {
            let place = self.places.clone().acquire_owned().await;
            match (place, Accept::accept(&self.listener).await) {
                (Ok(place), Ok(stream)) => return (Placed { stream, _place: place }, ()),
                _ => sleep(ACCEPT_PAUSE).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<()> {
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Placed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Placed<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

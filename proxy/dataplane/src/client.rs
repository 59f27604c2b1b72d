//! A client's connection from accept to close: its heads are read here, its requests served in turn, and while it
//! is idle it holds next to nothing.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::task::Poll;

use penstock_gate::spec::Listener;
use penstock_gate::{ClientCertificate, Tls};
use penstock_http::{HeadLimits, Parsed, Refusal};

use crate::buf::Buf;
use crate::cancel::Asked;
use crate::deadline::Action;
use crate::exchange::{self, After, Lease};
use crate::stream::Stream;
use crate::sys::{self, Side};
use crate::tls::{self, SubjectAltName, TlsFacts};
use crate::worker::Worker;

/// How long a connection without a request keeps its buffer, in nanoseconds; then it parks.
pub const IDLE_RELEASE_NS: u64 = 2_000_000_000;
/// After what time a read that the kernel did not have is asked to end once more, in nanoseconds.
pub const CANCEL_AGAIN_NS: u64 = 10_000_000;
/// Bytes of the buffer of a parked connection.
pub const PARKED_BYTES: usize = 64;
/// Bytes that are read and thrown away after an answer that ends a connection, so that the answer is not lost to
/// a reset.
pub const LINGER_BYTES_MAX: usize = 256 * 1024;
/// How long that may take, in nanoseconds.
pub const LINGER_NS: u64 = 1_000_000_000;

/// What is known of a connection for as long as it lives.
pub struct Peer {
    /// The client's address; none of a Unix socket.
    pub addr: Option<SocketAddr>,
    /// The listener it came in by.
    pub listener: Rc<Listener>,
    /// What its TLS handshake agreed on.
    pub tls: Option<Secured>,
}

/// A connection's TLS, as calls and their records see it.
pub struct Secured {
    /// The record's code of the version.
    pub version: penstock_ring::Tls,
    /// The client's certificate.
    pub certificate: Option<ClientCertificate>,
}

impl From<TlsFacts> for Secured {
    fn from(facts: TlsFacts) -> Self {
        let version = match facts.version {
            tls::server::Version::Tls12 => penstock_ring::Tls::V12,
            tls::server::Version::Tls13 => penstock_ring::Tls::V13,
        };
        let certificate = facts.client_cert.map(|shown| {
            let mut certificate = ClientCertificate {
                subject: shown.subject,
                fingerprint_sha256: shown.fingerprint,
                expires_unix_s: u64::try_from(shown.not_after_unix_s).unwrap_or(0),
                ..ClientCertificate::default()
            };
            for san in shown.sans {
                match san {
                    SubjectAltName::Dns(name) => certificate.san_dns.push(name.to_ascii_lowercase()),
                    SubjectAltName::Uri(uri) => certificate.san_uri.push(uri),
                    SubjectAltName::Email(mail) => certificate.san_email.push(mail),
                    SubjectAltName::Ip(_) => {}
                }
            }
            certificate
        });
        Self { version, certificate }
    }
}

impl Peer {
    /// The address without the port.
    pub fn ip(&self) -> Option<IpAddr> {
        self.addr.map(|addr| addr.ip())
    }

    /// What the gate needs to know of TLS.
    pub fn tls(&self) -> Option<Tls<'_>> {
        self.tls.as_ref().map(|secured| Tls { client: secured.certificate.as_ref() })
    }
}

/// A client's connection.
pub struct Client {
    /// The socket.
    pub stream: Stream,
    /// Bytes that were read and not consumed.
    pub pending: Buf,
    /// Who it is.
    pub peer: Peer,
    /// Requests begun on it.
    pub requests: u64,
    /// When it was accepted, monotonic ns.
    pub opened_ns: u64,
    /// When the first byte of the request at hand came, monotonic ns; 0 before that, and until it is served if its
    /// head came whole.
    pub began_ns: u64,
}

impl Client {
    /// Whether its listener takes no request after the one at hand.
    pub fn is_used_up(&self) -> bool {
        self.peer.listener.limits.requests_per_connection_max.is_some_and(|max| self.requests >= max)
    }
}

/// A head that is to be answered.
enum Head {
    Complete,
    Refused(Refusal),
    TooSlow,
}

/// Serves a connection to its end. Its state is boxed, as a task holds an argument twice.
pub async fn serve(worker: Rc<Worker>, mut client: Box<Client>) {
    poll_fn(|cx| {
        client.stream.read_timer.wakes(cx.waker().clone());
        Poll::Ready(())
    })
    .await;
    loop {
        // Boxed, so that the task of a parked connection stays small.
        match Box::pin(active(&worker, &mut client)).await {
            Phase::Closed => return,
            Phase::Ended => break,
            Phase::Parked => {
                worker.stats.parked.fetch_add(1, Ordering::Relaxed);
            }
        }
        let timeouts = client.peer.listener.timeouts;
        let keepalive_ns = timeouts.keepalive.as_nanos() as u64;
        let until_ns = sys::monotonic_ns() + keepalive_ns.saturating_sub(IDLE_RELEASE_NS);
        client.stream.read_timer.arm(until_ns, Action::Wake);
        let Stream { reader, read_timer, .. } = &mut client.stream;
        reader.post(Buf::with_capacity(PARKED_BYTES));
        let read = poll_fn(|cx| match reader.poll_read(cx) {
            Poll::Pending if worker.closing_idle.get() || read_timer.fired() => Poll::Ready(None),
            read => read.map(Some),
        });
        let Some((Ok(1..), buf)) = read.await else { break };
        let mut pending = worker.bufs.small();
        pending.push(buf.bytes());
        client.pending = pending;
        client.began_ns = sys::monotonic_ns();
    }
    if client.peer.tls.is_some() {
        Box::pin(farewell(&mut client)).await;
    }
    if client.stream.reader.is_posted() {
        client.stream.shutdown(Side::Both); // the read ends, and with it the last hold of the descriptor
    }
}

enum Phase {
    /// All that the client is to have has been sent.
    Closed,
    /// The connection ended between two requests, by the client, a deadline or a drain.
    Ended,
    /// It is idle.
    Parked,
}

async fn active(worker: &Rc<Worker>, client: &mut Client) -> Phase {
    let phase = requests(worker, client).await;
    worker.bufs.put(std::mem::take(&mut client.pending));
    phase
}

async fn requests(worker: &Rc<Worker>, client: &mut Client) -> Phase {
    loop {
        // Taken with the first byte of a request and given back with its answer, so that there are no more sets
        // than requests under way, and the one used last, still in the cache, comes first.
        let mut lease = None;
        let head = match read_head(worker, client, &mut lease).await {
            Ok(head) => head,
            Err(phase) => return phase,
        };
        let scratch = lease.get_or_insert_with(|| Lease::take(worker));
        let after = match head {
            Head::Complete => exchange::serve(worker, client, scratch).await,
            Head::Refused(refusal) => exchange::refuse_head(worker, client, scratch, refusal).await,
            Head::TooSlow => exchange::refuse_slow_head(worker, client, scratch).await,
        };
        client.began_ns = 0;
        client.stream.write_timer.disarm();
        match after {
            After::Next => {}
            After::Close => return Phase::Closed,
            After::Finish => {
                farewell(client).await;
                return Phase::Closed;
            }
            After::Linger => {
                linger(worker, client).await;
                return Phase::Closed;
            }
        }
    }
}

/// Reads until a head is complete or has failed; an error where there is none to answer, as the connection ended or
/// is idle. One read stays posted from answer to head; it is cancelled only when the connection parks.
async fn read_head<'w>(
    worker: &'w Worker,
    client: &mut Client,
    lease: &mut Option<Lease<'w>>,
) -> Result<Head, Phase> {
    let timeouts = client.peer.listener.timeouts;
    let limits = HeadLimits::default();
    let mut idle_until_ns = 0;
    loop {
        if !client.pending.is_empty() {
            let scratch = lease.get_or_insert_with(|| Lease::take(worker));
            match scratch.head.parse(client.pending.bytes(), &limits) {
                Ok(Parsed::Complete) => {
                    client.stream.read_timer.disarm();
                    return Ok(Head::Complete);
                }
                Ok(Parsed::Partial) => {}
                Err(refusal) => return Ok(Head::Refused(refusal)),
            }
            if client.began_ns == 0 {
                client.began_ns = sys::monotonic_ns();
            }
            if client.pending.room() == 0 {
                client.pending = worker.bufs.grow(std::mem::take(&mut client.pending));
            }
            let until_ns = client.began_ns + timeouts.head.as_nanos() as u64;
            client.stream.read_timer.arm(until_ns, Action::Shutdown(Side::Read));
        } else if worker.closing_idle.get() && client.requests > 0 {
            return Err(Phase::Ended);
        } else if client.requests == 0 {
            // A connection that has brought nothing yet is not worth parking; it ends with its first head's time.
            let until_ns = client.opened_ns + timeouts.head.as_nanos() as u64;
            client.stream.read_timer.arm(until_ns, Action::Wake);
        } else if idle_until_ns == 0 {
            let keepalive_ns = timeouts.keepalive.as_nanos() as u64;
            idle_until_ns = sys::tick_ns() + IDLE_RELEASE_NS.min(keepalive_ns);
            client.stream.read_timer.arm(idle_until_ns, Action::Wake);
        }
        let Stream { reader, read_timer, .. } = &mut client.stream;
        if !reader.is_posted() {
            let pending = std::mem::take(&mut client.pending);
            reader.post(if pending.capacity() == 0 { worker.bufs.small() } else { pending });
        }
        let (mut cancelled, mut kept) = (false, false);
        let read = poll_fn(|cx| {
            if let Poll::Ready(read) = reader.poll_read(cx) {
                return Poll::Ready(Some(read));
            }
            let (closing, idle) = (worker.closing_idle.get(), client.began_ns == 0);
            if idle && client.requests == 0 && (worker.closing_fresh.get() || read_timer.fired()) {
                return Poll::Ready(None); // nothing has come, and nothing is waited for any more
            }
            if idle && client.requests > 0 && (closing || read_timer.fired()) && !cancelled {
                let again_ns = match reader.cancel() {
                    Asked::Ends => {
                        cancelled = true;
                        return reader.poll_read(cx).map(Some);
                    }
                    Asked::NotThere => CANCEL_AGAIN_NS,
                    Asked::Cannot if closing || kept => return Poll::Ready(None),
                    Asked::Cannot => {
                        kept = true; // with its buffer, until its time is over
                        (timeouts.keepalive.as_nanos() as u64).saturating_sub(IDLE_RELEASE_NS)
                    }
                };
                read_timer.arm(sys::tick_ns() + again_ns, Action::Wake);
            }
            Poll::Pending
        });
        let Some((result, buf)) = read.await else { return Err(Phase::Ended) };
        client.pending = buf;
        match result {
            Ok(0) if client.pending.is_empty() => return Err(Phase::Ended),
            Ok(0) if client.stream.read_timer.fired() => return Ok(Head::TooSlow),
            Ok(0) => return Err(Phase::Ended),
            Ok(_) => {}
            Err(_) if cancelled && client.pending.is_empty() => {
                return Err(if worker.closing_idle.get() { Phase::Ended } else { Phase::Parked });
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            // Under TLS the end that our own deadline made is an error, as no farewell came with it.
            Err(_) if client.stream.read_timer.fired() && !client.pending.is_empty() => {
                return Ok(Head::TooSlow);
            }
            Err(_) => return Err(Phase::Ended),
        }
    }
}

/// Ends our side of TLS, if there is any: with close_notify, so that the client can tell this end from one that
/// somebody cut (RFC 8446 section 6.1).
async fn farewell(client: &mut Client) {
    if client.peer.tls.is_some() {
        client.stream.write_timer.arm(sys::monotonic_ns() + LINGER_NS, Action::Shutdown(Side::Both));
        client.stream.writer.finish().await.ok();
    }
}

/// Reads what the client still sends after its last answer, so that the answer reaches it.
async fn linger(worker: &Worker, client: &mut Client) {
    farewell(client).await;
    client.stream.shutdown(Side::Write);
    client.stream.read_timer.arm(sys::monotonic_ns() + LINGER_NS, Action::Shutdown(Side::Both));
    let mut left = LINGER_BYTES_MAX;
    loop {
        let (result, buf) = client.stream.reader.read(|| worker.bufs.small()).await;
        worker.bufs.put(buf);
        match result {
            Ok(n) if n > 0 && n < left => left -= n,
            _ => return,
        }
    }
}

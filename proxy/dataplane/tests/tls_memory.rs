//! What a protected connection holds and allocates: nothing for a warm request, and little when it is idle.
//! One test, because the counters are the process's.
#![allow(unsafe_code, missing_docs, clippy::unwrap_used)]

mod counting;

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;

use counting::ALLOCATIONS;
use monoio::net::UnixStream;
use penstock_dataplane::buf::Buf;
use penstock_dataplane::client::PARKED_BYTES;
use penstock_dataplane::deadline::Wheel;
use penstock_dataplane::driver::{self, Driver};
use penstock_dataplane::stream::Stream;
use penstock_dataplane::tls::TlsBufs;
use penstock_dataplane::tls::certs::{CertResolver, CertSet, Certificate, UnknownName};
use penstock_dataplane::tls::client::{ClientSettings, ClientTls, Roots, connect};
use penstock_dataplane::tls::server::{ServerSettings, ServerTls, TicketKeys, accept};

/// Heap bytes that the parked server end of a protected connection may hold.
const PARKED_BYTES_MAX: usize = 6 * 1024;
/// The same for both ends of an idle one.
const IDLE_BYTES_MAX: usize = 12 * 1024;

/// Bytes that the C side of the cryptography and ours hold together, by the allocator's own account.
fn heap_bytes() -> usize {
    // SAFETY: mallinfo2 takes nothing and returns a plain structure.
    unsafe { libc::mallinfo2() }.uordblks
}

fn configs() -> (ServerTls, ClientTls) {
    let dir = std::env::temp_dir().join(format!("penstock-tls-memory-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let (cert, key) = (dir.join("cert.pem"), dir.join("key.pem"));
    let made = rcgen::generate_simple_self_signed(vec!["a.example".into()]).unwrap();
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let set = CertSet::new(&[Certificate::load(&cert, &key).unwrap()], 0, UnknownName::Default).unwrap();
    let tickets = TicketKeys::new().unwrap();
    let server = ServerTls::new(&ServerSettings::default(), CertResolver::new(set), &tickets).unwrap();
    let settings = ClientSettings { roots: Roots::File(cert), ..ClientSettings::default() };
    let client = ClientTls::new(&settings).unwrap().for_worker();
    std::fs::remove_dir_all(&dir).unwrap();
    (server, client)
}

/// Both ends of a connection over which `size` bytes have gone both ways.
async fn connected(
    server: &ServerTls,
    client: &ClientTls,
    bufs: &Rc<TlsBufs>,
    wheel: &Rc<Wheel>,
) -> (Stream, Stream) {
    let (a, b) = std::os::unix::net::UnixStream::pair().unwrap();
    let stream = |s: std::os::unix::net::UnixStream| {
        s.set_nonblocking(true).unwrap();
        Stream::unix(UnixStream::from_std(s).unwrap(), wheel)
    };
    let (a, b) = (stream(a), stream(b));
    let call = async {
        let mut b = connect(b, client, "a.example", bufs).await.unwrap();
        let mut buf = bufs.pool().small();
        buf.push(b"hello");
        let (result, buf) = b.writer.write_all(buf).await;
        result.unwrap();
        bufs.pool().put(buf);
        b
    };
    let (accepted, mut b) = monoio::join!(accept(a, server, bufs), call);
    let mut a = accepted.unwrap().0;
    exchange(&mut a, &mut b, bufs, true).await;
    (a, b)
}

/// A message from `b` to `a` (unless it is on its way) and its echo.
async fn exchange(a: &mut Stream, b: &mut Stream, bufs: &TlsBufs, sent: bool) {
    if !sent {
        let mut buf = bufs.pool().small();
        buf.push(&[7; 300]);
        let (result, buf) = b.writer.write_all(buf).await;
        result.unwrap();
        bufs.pool().put(buf);
    }
    let (result, buf) = a.reader.read(|| bufs.pool().small()).await;
    result.unwrap();
    let (result, buf) = a.writer.write_all(buf).await;
    result.unwrap();
    bufs.pool().put(buf);
    let (result, buf) = b.reader.read(|| bufs.pool().small()).await;
    assert!(result.unwrap() > 0);
    bufs.pool().put(buf);
}

#[test]
fn warm_requests_allocate_nothing_and_idle_connections_hold_little() {
    const CONNECTIONS: usize = 64;
    let (server, client) = configs();
    let test = async {
        let (bufs, wheel) = (TlsBufs::new(Rc::default()), Wheel::new(0));
        let (mut a, mut b) = connected(&server, &client, &bufs, &wheel).await;
        for _ in 0..100 {
            exchange(&mut a, &mut b, &bufs, false).await;
        }
        let before = ALLOCATIONS.load(Relaxed);
        for _ in 0..1000 {
            exchange(&mut a, &mut b, &bufs, false).await;
        }
        assert_eq!(ALLOCATIONS.load(Relaxed) - before, 0, "a warm request allocates");

        let (mut servers, mut clients) = (Vec::with_capacity(CONNECTIONS), Vec::with_capacity(CONNECTIONS));
        let park = async |servers: &mut Vec<Stream>, clients: &mut Vec<Stream>| {
            let (mut a, b) = connected(&server, &client, &bufs, &wheel).await;
            a.reader.post(Buf::with_capacity(PARKED_BYTES));
            assert!(poll_fn(|cx| Poll::Ready(a.reader.poll_read(cx).is_pending())).await);
            servers.push(a);
            clients.push(b);
        };
        park(&mut servers, &mut clients).await;
        let first = heap_bytes();
        for _ in 1..CONNECTIONS {
            park(&mut servers, &mut clients).await;
        }
        let pairs = CONNECTIONS - 1;
        let both = heap_bytes().saturating_sub(first) / pairs;
        clients.truncate(1);
        let parked = heap_bytes().saturating_sub(first) / pairs;
        println!("bytes of heap: {parked} a parked server end, {} an idle client end", both - parked);
        assert!(parked <= PARKED_BYTES_MAX && both <= IDLE_BYTES_MAX, "{parked} {both}");
        assert_ne!(parked, 0);
        // It wakes up.
        exchange(&mut servers[0], &mut clients[0], &bufs, false).await;
    };
    driver::run(Driver::Epoll, |_| test).unwrap();
}

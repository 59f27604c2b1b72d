//! Upstreams and listeners on Unix sockets: reused, replaced, and told apart from TCP only by their address.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test may wait and may panic")]

mod support;

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use penstock_dataplane::driver::Choice;
use penstock_gate::spec;
use support::{
    DRIVERS, Gateway, PATIENCE, Setup, TempDir, Upstream, eventually, find, nowhere, upstream_spec,
};

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// An upstream on a Unix socket that answers each request with the length of its body.
struct UnixUpstream {
    connections: Arc<AtomicUsize>,
    heads: Arc<Mutex<Vec<String>>>,
}

impl UnixUpstream {
    /// Serves at `path`; closes each connection after `requests` of them.
    fn start(path: &Path, requests: usize) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let heads = Arc::new(Mutex::new(Vec::new()));
        let (counted, kept) = (connections.clone(), heads.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                counted.fetch_add(1, Ordering::SeqCst);
                let kept = kept.clone();
                thread::spawn(move || (0..requests).all(|_| serve(&stream, &kept)));
            }
        });
        Self { connections, heads }
    }
}

/// Answers one request; false at the end of the connection.
fn serve(mut stream: &UnixStream, kept: &Mutex<Vec<String>>) -> bool {
    let (mut bytes, mut buf) = (Vec::new(), vec![0; 65536]);
    loop {
        let Some(end) = find(&bytes, b"\r\n\r\n") else {
            match stream.read(&mut buf) {
                Ok(n) if n > 0 => bytes.extend_from_slice(&buf[..n]),
                _ => return false,
            }
            continue;
        };
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let length = head.to_ascii_lowercase();
        let length = length.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
        let mut left = length.map_or(0, |length| length.parse::<usize>().unwrap()) - (bytes.len() - end - 4);
        let body = left + bytes.len() - end - 4;
        while left > 0 {
            match stream.read(&mut buf) {
                Ok(n) if n > 0 => left -= n,
                _ => return false,
            }
        }
        kept.lock().unwrap().push(head);
        let said = body.to_string();
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{said}", said.len());
        return stream.write_all(answer.as_bytes()).is_ok();
    }
}

fn gateway(driver: Choice, path: PathBuf, change: impl FnOnce(&mut Setup)) -> Gateway {
    let mut up = upstream_spec(nowhere());
    up.targets[0].address = spec::TargetAddress::Unix(path);
    let mut setup = Setup::new(driver, up);
    setup.rings = true;
    change(&mut setup);
    setup.start()
}

#[test]
fn a_unix_upstream_serves_on_one_connection_and_is_recorded() {
    for driver in DRIVERS {
        let folder = TempDir::new();
        let path = folder.0.join("up.sock");
        let upstream = UnixUpstream::start(&path, usize::MAX);
        let gateway = gateway(driver, path.clone(), |setup| setup.route().body.max = None);
        let mut client = gateway.client();
        for length in [0, 5, 100_000, 3_000_000] {
            client.send(format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n"));
            client.send(vec![b'x'; length]);
            let answer = client.answer().unwrap();
            assert_eq!((answer.status(), answer.body), (200, length.to_string().into_bytes()));
        }
        assert_eq!(upstream.connections.load(Ordering::SeqCst), 1);
        let records = gateway.recorded(4);
        let target = format!("unix:{}", path.display());
        assert!(records.iter().all(|record| record.target == target), "{records:?}");
        assert_eq!(gateway.dataplane.nodes().open_in_all(), 1);
    }
}

#[test]
fn a_host_of_its_own_is_one_that_may_stand_there() {
    for driver in DRIVERS {
        let folder = TempDir::new();
        let path = folder.0.join("up.sock");
        let upstream = UnixUpstream::start(&path, usize::MAX);
        let gateway = gateway(driver, path, |setup| {
            setup.spec.upstreams[0].host_header = spec::HostHeader::Target;
        });
        assert_eq!(gateway.client().send(GET).answer().unwrap().status(), 200);
        let heads = upstream.heads.lock().unwrap();
        assert!(heads[0].contains("\r\nHost: localhost\r\n"), "{}", heads[0]);
    }
}

#[test]
fn a_unix_upstream_that_closes_and_comes_back_costs_what_is_true() {
    for driver in DRIVERS {
        let folder = TempDir::new();
        let path = folder.0.join("up.sock");
        let gateway = gateway(driver, path.clone(), |_| {});
        let mut client = gateway.client();
        let missing = client.send(GET).answer().unwrap();
        assert_eq!((missing.status(), missing.code().as_str()), (502, "upstream_connect_failed"));
        // A socket file whose owner is gone.
        drop(UnixListener::bind(&path).unwrap());
        let refused = client.send(GET).answer().unwrap();
        assert_eq!((refused.status(), refused.code().as_str()), (502, "upstream_connect_failed"));
        std::fs::remove_file(&path).unwrap();
        let upstream = UnixUpstream::start(&path, 1);
        for _ in 0..10 {
            assert_eq!(client.send(GET).answer().unwrap().status(), 200);
        }
        assert_eq!(upstream.connections.load(Ordering::SeqCst), 10);
        eventually("the places", || gateway.dataplane.nodes().open_in_all() <= 1);
    }
}

#[test]
fn a_unix_listener_serves_every_worker_and_goes_with_the_drain() {
    for driver in DRIVERS {
        let folder = TempDir::new();
        let path = folder.0.join("in.sock");
        let upstream = Upstream::fixed(OK);
        let mut setup = Setup::new(driver, upstream_spec(upstream.addr));
        setup.workers = 2;
        setup.spec.listeners[0].address = spec::Address::Unix(path.clone());
        let gateway = setup.start();
        let ask = || {
            let mut stream = UnixStream::connect(&path).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream.write_all(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).unwrap();
            assert!(answer.starts_with(b"HTTP/1.1 200 ") && answer.ends_with(b"ok"), "{answer:?}");
        };
        (0..20).for_each(|_| ask());
        let accepted = || {
            let stats = gateway.dataplane.stats();
            stats.iter().map(|worker| worker.accepted.load(Ordering::Relaxed)).sum::<u64>()
        };
        assert_eq!(accepted(), 20);
        assert_eq!(gateway.dataplane.drain(PATIENCE), 0);
        assert!(!path.exists(), "the socket file stays");
    }
}

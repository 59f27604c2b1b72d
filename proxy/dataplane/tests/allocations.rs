//! The whole gateway under a counting allocator: a worker allocates nothing for a warm request with an API key, two
//! limits and a call record, on both drivers. One test, because the counters are the process's.
#![allow(missing_docs, clippy::unwrap_used)]

mod counting;
mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

use counting::{ALLOCATIONS, THREAD};
use penstock_gate::spec::{self, Id, Uid};
use support::{DRIVERS, Setup, eventually, limit_spec, upstream_spec};

const WARM: usize = 300;
const COUNTED: usize = 3000;
const KEY: &str = "psk_0123456789abcdef0123456789abcdef";
const REQUEST: &[u8] =
    b"GET /items/42?page=3 HTTP/1.1\r\nHost: h\r\nX-Api-Key: psk_0123456789abcdef0123456789abcdef\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok";

/// The worker's thread, found by its name.
fn worker_thread() -> i32 {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().path());
    let named = tasks.filter(|task| {
        std::fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim() == "penstock-w0")
    });
    let threads: Vec<i32> =
        named.map(|task| task.file_name().unwrap().to_str().unwrap().parse().unwrap()).collect();
    assert_eq!(threads.len(), 1, "one gateway runs at a time");
    threads[0]
}

fn setup(driver: penstock_dataplane::driver::Choice, upstream: std::net::SocketAddr) -> Setup {
    let mut setup = Setup::new(driver, upstream_spec(upstream));
    setup.rings = true;
    let hash_key = spec::HashKey { id: "k1".into(), key: [9; 32] };
    let kind = spec::CredentialKind::ApiKey(penstock_gate::identity::api_key::hash_api_key(&hash_key, KEY));
    let tenant = setup.spec.services[0].tenant;
    let app = spec::App { id: Id(20), uid: Uid(20), name: "app".into(), tenant, ..spec::App::default() };
    setup.spec.callers = spec::CallerSet {
        hash_keys: vec![hash_key],
        credentials: vec![spec::Credential {
            id: Id(30),
            uid: Uid(30),
            app: app.id,
            name: "key".into(),
            kind,
            status: spec::Status::default(),
            expires_unix_s: None,
            scopes: None,
            limits: Vec::new(),
        }],
        apps: vec![app],
        ..spec::CallerSet::default()
    };
    let by_app =
        |id| spec::Limit { by: vec![spec::KeyPart::App], ..limit_spec(id, spec::Measure::Requests(1 << 40)) };
    let mut rate = by_app(61);
    rate.algorithm = spec::Algorithm::Gcra;
    rate.per = Some(spec::Period::Span(Duration::from_secs(1)));
    rate.measure = spec::Measure::Requests(1_000_000);
    let route = setup.route();
    route.auth = spec::Auth::Any(vec![spec::AuthMethod::ApiKey { places: spec::KeyPlace::defaults() }]);
    route.limits = vec![rate, by_app(62)];
    setup
}

/// Answers every request of every connection; a request comes in one piece.
fn upstream() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || {
                let mut buf = [0; 4096];
                while stream.read(&mut buf).is_ok_and(|n| n > 0) {
                    stream.write_all(ANSWER).unwrap();
                }
            });
        }
    });
    addr
}

fn ask(client: &mut TcpStream) {
    client.write_all(REQUEST).unwrap();
    let mut buf = [0; 1024];
    let mut len = 0;
    while !buf[..len].ends_with(b"\r\n\r\nok") {
        let n = client.read(&mut buf[len..]).unwrap();
        assert_ne!(n, 0, "{}", String::from_utf8_lossy(&buf[..len]));
        len += n;
    }
    assert!(buf.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&buf[..len]));
}

#[test]
fn a_warm_request_allocates_nothing() {
    for driver in DRIVERS {
        let gateway = setup(driver, upstream()).start();
        let mut client = TcpStream::connect(gateway.addr).unwrap();
        (0..WARM).for_each(|_| ask(&mut client));
        THREAD.store(worker_thread(), Relaxed);
        ALLOCATIONS.store(0, Relaxed);
        (0..COUNTED).for_each(|_| ask(&mut client));
        let allocations = ALLOCATIONS.load(Relaxed);
        assert_eq!(allocations, 0, "{driver:?}, {COUNTED} requests");
        // That the counter sees the worker: a new connection costs it something.
        ask(&mut TcpStream::connect(gateway.addr).unwrap());
        assert_ne!(ALLOCATIONS.load(Relaxed), 0);
        THREAD.store(0, Relaxed);
        assert_eq!(gateway.recorded(WARM + COUNTED + 1).len(), WARM + COUNTED + 1);
        drop(gateway);
        eventually("the worker's end", || {
            std::fs::read_dir("/proc/self/task").unwrap().all(|task| {
                std::fs::read_to_string(task.unwrap().path().join("comm"))
                    .is_ok_and(|name| name.trim() != "penstock-w0")
            })
        });
    }
}

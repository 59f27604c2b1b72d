//! What a connection to an upstream over TLS is worth after an answer, with more bytes behind that answer. They were
//! read with it, so the socket tells nothing of them.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test may read the clock and may panic")]

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};

use penstock_gate::spec;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, ServerConnection, SupportedProtocolVersion};
use support::{DRIVERS, Gateway, PATIENCE, Setup, Upstream, eventually, find, upstream_spec};

const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const EVIL: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";

/// The upstream's end of a connection over TLS.
struct Session {
    tls: ServerConnection,
    socket: TcpStream,
}

impl Session {
    /// Reads the head of the next request.
    fn request(&mut self) -> Option<Vec<u8>> {
        let mut head = Vec::new();
        while find(&head, b"\r\n\r\n").is_none() {
            let mut buf = [0; 4096];
            match rustls::Stream::new(&mut self.tls, &mut self.socket).read(&mut buf) {
                Ok(n) if n > 0 => head.extend_from_slice(&buf[..n]),
                _ => return None,
            }
        }
        Some(head)
    }

    fn seal(&mut self, plain: &[u8]) {
        self.tls.writer().write_all(plain).unwrap();
    }

    /// Sends all that was sealed at once.
    fn send(&mut self) {
        let mut bytes = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut bytes).unwrap();
        }
        self.socket.write_all(&bytes).ok();
    }
}

/// One connection at most, over TLS, to an upstream that answers the first request on its first connection by `first`,
/// once a second request waits for that connection; all others get [`OK`]. Gives both answers' bodies, and how many
/// connections there were.
fn second_answer(
    driver: penstock_dataplane::driver::Choice,
    version: &'static SupportedProtocolVersion,
    first: impl Fn(&mut Session) + Send + Sync + 'static,
) -> (Vec<u8>, usize) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    let (go, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let (asked, requests) = (Arc::new(AtomicUsize::new(0)), AtomicUsize::new(0));
    let seen = asked.clone();
    let upstream = Upstream::start(move |conn| {
        let socket = conn.stream.try_clone().unwrap();
        let mut session = Session { tls: ServerConnection::new(config.clone()).unwrap(), socket };
        while session.request().is_some() {
            seen.fetch_add(1, Ordering::SeqCst);
            if requests.fetch_add(1, Ordering::SeqCst) == 0 {
                gate.lock().unwrap().recv().unwrap();
                first(&mut session);
            } else {
                session.seal(OK);
            }
            session.send();
        }
    });
    let mut up = upstream_spec(upstream.addr);
    up.targets[0].scheme = spec::Scheme::Https;
    up.tls.verify = spec::Verify::Off;
    up.pool = spec::Pool { per_target_max: 1, wait: PATIENCE, ..Default::default() };
    let gateway: Gateway = Setup::new(driver, up).start();
    let nodes = gateway.dataplane.nodes().clone();
    let (mut one, mut other) = (gateway.client(), gateway.client());
    one.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    eventually("the first", || asked.load(Ordering::SeqCst) == 1);
    // No method that may be repeated.
    other.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
    eventually("its place in the queue", || nodes.wanted_in_all() == 1);
    go.send(()).unwrap();
    assert_eq!(one.answer().unwrap().status(), 200);
    (other.answer().unwrap().body, upstream.connections())
}

fn for_all(
    test: impl Fn(penstock_dataplane::driver::Choice, &'static SupportedProtocolVersion, &str) + Sync,
) {
    std::thread::scope(|scope| {
        for driver in DRIVERS {
            for version in VERSIONS {
                let test = &test;
                scope.spawn(move || test(driver, version, &format!("{version:?} on {driver:?}")));
            }
        }
    });
}

/// An answer of `len` bytes in all.
fn answer_of(len: usize) -> Vec<u8> {
    let head = |body: usize| format!("HTTP/1.1 200 OK\r\nContent-Length: {body}\r\n\r\n");
    let body = len - head(len).len();
    let answer = [head(body).into_bytes(), vec![b'x'; body]].concat();
    assert_eq!(answer.len(), len);
    answer
}

/// Bytes of an answer that just fits the buffer of a first read; what protects it does not, so it is opened with
/// whatever came behind it, for which there is no room then.
fn just_fits() -> usize {
    penstock_dataplane::buf::SMALL - penstock_dataplane::buf::HEADROOM - 10
}

#[test]
fn an_end_that_came_with_an_answer_costs_the_next_request_nothing() {
    for_all(|driver, version, what| {
        let (body, connections) = second_answer(driver, version, |session| {
            session.seal(OK);
            session.tls.send_close_notify();
        });
        assert_eq!((body.as_slice(), connections), (&b"ok"[..], 2), "{what}");
    });
}

#[test]
fn a_stray_record_that_came_with_an_answer_is_nobodys_answer() {
    for_all(|driver, version, what| {
        let (body, connections) = second_answer(driver, version, |session| {
            session.seal(&answer_of(just_fits()));
            session.seal(EVIL);
        });
        assert_eq!((body.as_slice(), connections), (&b"ok"[..], 2), "{what}");
    });
}

#[test]
fn a_message_of_tls_that_came_with_an_answer_costs_no_connection() {
    for driver in DRIVERS {
        let (body, connections) = second_answer(driver, &TLS13, |session| {
            session.seal(&answer_of(just_fits()));
            session.tls.refresh_traffic_keys().unwrap();
        });
        assert_eq!((body.as_slice(), connections), (&b"ok"[..], 1), "{driver:?}");
    }
}

//! How connections over TLS end. Wherever the gateway ends one in order, close_notify comes before the end and soon,
//! so that nobody can pass a cut off as an end (RFC 8446 section 6.1); where an answer broke off, it must not come.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test may read the clock and may panic")]

mod support;

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use penstock_dataplane::driver::Choice;
use penstock_gate::spec;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};
use support::{DRIVERS, Gateway, PATIENCE, Setup, TempDir, Upstream, eventually, upstream_spec};

const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];
const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
/// How much later than it is due an end may come.
const LATE_MAX: Duration = Duration::from_secs(2);

/// An authority, and a listener's part with a leaf of it, whose files stand in `folder`.
fn certificates(folder: &Path) -> (CertificateDer<'static>, spec::ListenerTls) {
    let authority_key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "test authority");
    let root = params.self_signed(&authority_key).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let leaf = leaf.signed_by(&key, &Issuer::new(params, authority_key)).unwrap();
    let file = |name: &str, text: String| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        spec::PemSource::File(path)
    };
    let certificate = spec::Certificate {
        chain: file("leaf.pem", leaf.pem()),
        key: file("leaf.key", key.serialize_pem()),
        names: Vec::new(),
    };
    let tls = spec::ListenerTls {
        certificates: vec![certificate],
        version_min: spec::TlsVersion::Tls12,
        client: None,
    };
    (root.der().clone(), tls)
}

/// How a connection ended, as its client sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// By close_notify.
    Told,
    /// Without.
    Cut,
}

struct Client {
    stream: StreamOwned<ClientConnection, TcpStream>,
}

impl Client {
    fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Reads an answer whose body has two bytes.
    fn answer(&mut self) -> String {
        let mut answer = String::new();
        while !answer.ends_with("ok") {
            let mut buf = [0; 4096];
            let n = self.stream.read(&mut buf).unwrap();
            assert!(n > 0, "the end after {answer:?}");
            answer.push_str(std::str::from_utf8(&buf[..n]).unwrap());
        }
        answer
    }

    /// Reads to the end.
    fn end(&mut self) -> End {
        match io::copy(&mut self.stream, &mut io::sink()) {
            Ok(_) => End::Told,
            Err(e) if matches!(e.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => End::Cut,
            Err(e) => panic!("neither end nor cut: {e}"),
        }
    }

    /// The end must be told, not before `due` and not much later.
    fn is_told_the_end(&mut self, due: Duration, what: &str) {
        let begun = Instant::now();
        assert_eq!(self.end(), End::Told, "{what}");
        let took = begun.elapsed();
        assert!(took < due + LATE_MAX, "{what}: {took:?} for {due:?}");
    }
}

/// A gateway over TLS and how to connect to it.
struct Secured {
    gateway: Gateway,
    root: CertificateDer<'static>,
}

impl Secured {
    fn start(driver: Choice, upstream: &Upstream, change: impl FnOnce(&mut Setup)) -> Self {
        let folder = TempDir::new();
        let (root, tls) = certificates(&folder.0);
        let mut setup = Setup::new(driver, upstream_spec(upstream.addr));
        setup.spec.listeners[0].tls = Some(tls);
        change(&mut setup);
        Self { gateway: setup.start(), root }
    }

    /// A client of one version, its handshake done.
    fn client(&self, version: &'static SupportedProtocolVersion) -> Client {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        let mut session = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut socket = TcpStream::connect(self.gateway.addr).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        session.complete_io(&mut socket).unwrap();
        Client { stream: StreamOwned::new(session, socket) }
    }
}

fn for_all(test: impl Fn(Choice, &'static SupportedProtocolVersion, &str) + Sync) {
    std::thread::scope(|scope| {
        for driver in DRIVERS {
            for version in VERSIONS {
                let test = &test;
                scope.spawn(move || test(driver, version, &format!("{version:?} on {driver:?}")));
            }
        }
    });
}

#[test]
fn an_idle_connection_is_told_its_end() {
    // The longer time is one in which it parks and holds no buffer.
    for keepalive in [Duration::from_millis(200), Duration::from_millis(2300)] {
        for_all(|driver, version, what| {
            let upstream = Upstream::fixed(OK);
            let secured = Secured::start(driver, &upstream, |setup| {
                setup.spec.listeners[0].timeouts.keepalive = keepalive;
            });
            let mut client = secured.client(version);
            client.send(GET);
            client.answer();
            client.is_told_the_end(keepalive, what);
            eventually("the connection", || secured.gateway.connections() == 0);
        });
    }
}

#[test]
fn a_connection_without_a_request_is_told_its_end() {
    let head = Duration::from_millis(300);
    for_all(|driver, version, what| {
        let upstream = Upstream::fixed(OK);
        let secured = Secured::start(driver, &upstream, |setup| setup.spec.listeners[0].timeouts.head = head);
        secured.client(version).is_told_the_end(head, what);
    });
}

#[test]
fn the_last_of_its_requests_is_followed_by_the_end() {
    for_all(|driver, version, what| {
        let upstream = Upstream::fixed(OK);
        let secured = Secured::start(driver, &upstream, |setup| {
            setup.spec.listeners[0].limits.requests_per_connection_max = Some(2);
        });
        let mut client = secured.client(version);
        client.send(GET);
        assert!(!client.answer().contains("Connection: close"), "{what}");
        client.send(GET);
        assert!(client.answer().contains("Connection: close"), "{what}");
        client.is_told_the_end(Duration::ZERO, what);
    });
}

#[test]
fn a_drain_tells_every_connection_its_end() {
    for_all(|driver, version, what| {
        let upstream = Upstream::fixed(OK);
        let secured = Secured::start(driver, &upstream, |_| {});
        let (mut fresh, mut idle, mut parked) =
            (secured.client(version), secured.client(version), secured.client(version));
        parked.send(GET);
        parked.answer();
        eventually("it parks", || {
            secured.gateway.dataplane.stats()[0].parked.load(std::sync::atomic::Ordering::Relaxed) == 1
        });
        idle.send(GET);
        idle.answer();
        let dataplane = secured.gateway.dataplane.clone();
        let draining = std::thread::spawn(move || dataplane.drain(PATIENCE));
        // Each of the stages of a drain may take its time.
        let due = 3 * penstock_dataplane::worker::DRAIN_IDLE;
        for (client, which) in [(&mut idle, "idle"), (&mut parked, "parked"), (&mut fresh, "fresh")] {
            client.is_told_the_end(due, &format!("{which}, {what}"));
        }
        assert_eq!(draining.join().unwrap(), 0, "{what}");
    });
}

#[test]
fn a_client_that_says_goodbye_is_answered() {
    for_all(|driver, version, what| {
        let upstream = Upstream::fixed(OK);
        let secured = Secured::start(driver, &upstream, |_| {});
        let mut client = secured.client(version);
        client.send(GET);
        client.answer();
        client.stream.conn.send_close_notify();
        client.stream.flush().unwrap();
        client.is_told_the_end(Duration::ZERO, what);
    });
}

#[test]
fn a_refused_request_is_followed_by_the_end() {
    for_all(|driver, version, what| {
        let upstream = Upstream::fixed(OK);
        let secured = Secured::start(driver, &upstream, |_| {});
        let mut client = secured.client(version);
        client.send(b"GET / HTTP/1.1\r\nHost : localhost\r\n\r\n");
        client.is_told_the_end(Duration::ZERO, what);
    });
}

#[test]
fn an_answer_that_broke_off_has_no_end() {
    for_all(|driver, version, what| {
        let upstream = Upstream::start(|conn| {
            conn.request();
            conn.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n");
            conn.write(b"abc");
            // The part has gone out once the client has it.
            conn.request();
        });
        let secured = Secured::start(driver, &upstream, |setup| {
            setup.spec.upstreams[0].timeouts.idle = Duration::from_millis(300);
        });
        let mut client = secured.client(version);
        client.send(GET);
        assert_eq!(client.end(), End::Cut, "{what}");
    });
}

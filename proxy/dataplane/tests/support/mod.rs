//! A gateway in the test's own process, upstreams that do what a closure says, and a client that shows raw bytes.
#![allow(dead_code, missing_docs, unreachable_pub)]

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use penstock_dataplane::driver::{Choice, choose};
use penstock_dataplane::event::Events;
use penstock_dataplane::supervise::{Dataplane, Options};
use penstock_dataplane::worker::{Equipment, Served};
use penstock_gate::spec;

/// How long a test waits for bytes that must come.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Every way of I/O that a worker can have.
pub const DRIVERS: [Choice; 2] = [Choice::Auto, Choice::Epoll];

/// A scripted upstream. Each connection runs the script on a thread of its own; what it reads is kept.
pub struct Upstream {
    pub addr: SocketAddr,
    pub connections: Arc<AtomicUsize>,
    pub received: Arc<Mutex<Vec<u8>>>,
}

pub struct Conn {
    pub stream: TcpStream,
    received: Arc<Mutex<Vec<u8>>>,
    pending: Vec<u8>,
}

impl Upstream {
    pub fn start(script: impl Fn(&mut Conn) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = listener.local_addr().expect("an address");
        let connections = Arc::new(AtomicUsize::new(0));
        let received = Arc::new(Mutex::new(Vec::new()));
        let script = Arc::new(script);
        let (counter, kept) = (connections.clone(), received.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                counter.fetch_add(1, Ordering::SeqCst);
                stream.set_nodelay(true).ok();
                let (script, received) = (script.clone(), kept.clone());
                thread::spawn(move || script(&mut Conn { stream, received, pending: Vec::new() }));
            }
        });
        Self { addr, connections, received }
    }

    /// Answers every request with `answer`, whatever it is.
    pub fn fixed(answer: &'static [u8]) -> Self {
        Self::start(move |conn| while conn.request().is_some() && conn.write(answer) {})
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.received.lock().expect("no panic")).into_owned()
    }
}

impl Conn {
    /// More bytes of the peer; false at its end.
    pub fn read_more(&mut self) -> bool {
        let mut buf = [0; 65536];
        match self.stream.read(&mut buf) {
            Ok(n) if n > 0 => {
                self.pending.extend_from_slice(&buf[..n]);
                self.received.lock().expect("no panic").extend_from_slice(&buf[..n]);
                true
            }
            _ => false,
        }
    }

    /// The head of the next request.
    pub fn head(&mut self) -> Option<String> {
        loop {
            if let Some(end) = find(&self.pending, b"\r\n\r\n") {
                let head: Vec<u8> = self.pending.drain(..end + 4).collect();
                return Some(String::from_utf8(head).expect("a head in ASCII"));
            }
            if !self.read_more() {
                return None;
            }
        }
    }

    /// Reads `n` bytes of a body.
    pub fn body(&mut self, n: usize) -> Option<Vec<u8>> {
        while self.pending.len() < n {
            if !self.read_more() {
                return None;
            }
        }
        Some(self.pending.drain(..n).collect())
    }

    /// The next request, head and body (by Content-Length, or chunks to their end).
    pub fn request(&mut self) -> Option<(String, Vec<u8>)> {
        let head = self.head()?;
        let lower = head.to_ascii_lowercase();
        let body = if let Some(length) = lower.split("content-length: ").nth(1) {
            let n = length.split("\r\n").next()?.parse().ok()?;
            self.body(n)?
        } else if lower.contains("transfer-encoding: chunked") {
            self.until(b"0\r\n\r\n")?
        } else {
            Vec::new()
        };
        Some((head, body))
    }

    pub fn until(&mut self, mark: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = find(&self.pending, mark) {
                return Some(self.pending.drain(..at + mark.len()).collect());
            }
            if !self.read_more() {
                return None;
            }
        }
    }

    pub fn write(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// Closes so that the peer sees a reset.
    pub fn reset(&self) {
        use std::os::fd::AsRawFd;
        penstock_dataplane::sys::reset_on_close(self.stream.as_raw_fd());
    }

    /// Whether the peer closes within the patience of a test.
    pub fn sees_end(&mut self) -> bool {
        self.stream.set_read_timeout(Some(PATIENCE)).ok();
        let mut buf = [0; 4096];
        loop {
            match self.stream.read(&mut buf) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(e) => return e.kind() == ErrorKind::ConnectionReset,
            }
        }
    }
}

pub fn find(bytes: &[u8], mark: &[u8]) -> Option<usize> {
    bytes.windows(mark.len()).position(|window| window == mark)
}

/// A running gateway with one route to one upstream.
pub struct Gateway {
    pub addr: SocketAddr,
    pub dataplane: Arc<Dataplane>,
}

pub fn upstream_spec(addr: SocketAddr) -> spec::Upstream {
    spec::Upstream {
        id: spec::Id(1),
        uid: spec::Uid(1),
        name: "up".into(),
        targets: vec![spec::Target {
            id: spec::Id(2),
            uid: spec::Uid(u64::from(addr.port())),
            name: "target".into(),
            scheme: spec::Scheme::Http,
            address: spec::TargetAddress::Ip(addr),
            weight: 1,
            backup: false,
        }],
        balance: spec::Balance::default(),
        health: None,
        passive_health: None,
        timeouts: spec::Timeouts::default(),
        pool: spec::Pool::default(),
        retries: spec::Retries::default(),
        breaker: None,
        tls: spec::UpstreamTls::default(),
        host_header: spec::HostHeader::default(),
    }
}

pub fn listener_spec() -> spec::Listener {
    spec::Listener {
        id: spec::Id(3),
        name: "test".into(),
        address: spec::Address::Tcp("127.0.0.1:0".parse().expect("an address")),
        tls: None,
        protocols: vec![spec::Protocol::Http1],
        redirect_https: None,
        hsts: None,
        timeouts: spec::ListenerTimeouts::default(),
        limits: spec::ListenerLimits::default(),
        proxy_protocol: false,
    }
}

/// One route for everything, open to everybody.
pub fn open_spec(upstream: spec::Upstream, listener: spec::Listener) -> spec::Spec {
    let id = spec::Id;
    spec::Spec {
        revision: 1,
        listeners: vec![listener],
        tenants: vec![spec::Tenant {
            id: id(10),
            uid: spec::Uid(10),
            name: "t".into(),
            ..Default::default()
        }],
        teams: vec![spec::Team {
            id: id(11),
            uid: spec::Uid(11),
            tenant: id(10),
            name: "m".into(),
            ..Default::default()
        }],
        services: vec![spec::Service {
            id: id(12),
            uid: spec::Uid(12),
            name: "s".into(),
            tenant: id(10),
            team: id(11),
            versions: vec![spec::Version { id: id(13), uid: spec::Uid(13), ..Default::default() }],
            ..Default::default()
        }],
        routes: vec![spec::Route {
            id: id(14),
            uid: spec::Uid(14),
            name: "all".into(),
            service: id(12),
            version: id(13),
            matches: spec::Match { path: "/*".into(), ..Default::default() },
            path_policy: spec::PathPolicy::default(),
            upstream: upstream.id,
            rewrite: None,
            headers: spec::RouteHeaders::default(),
            body: spec::Body::default(),
            auth: spec::Auth::None,
            authorize: spec::Authorize::default(),
            ip: spec::IpRules::default(),
            cors: None,
            limits: Vec::new(),
            timeouts: spec::TimeoutsOverride::default(),
            identity_headers: Vec::new(),
            ratelimit_headers: false,
            expose_revision: false,
        }],
        upstreams: vec![upstream],
        ..Default::default()
    }
}

fn gate() -> penstock_gate::Gate {
    let config = penstock_limits::NodeConfig {
        keys_max: 1000,
        rolling_keys_max: 10,
        workers_max: 4,
        ..penstock_limits::NodeConfig::new(1, 7)
    };
    let now = penstock_limits::Now { mono_ns: 1, wall_ns: 1 };
    let region = penstock_limits::Region::memory(config.region_words());
    let pool = penstock_limits::NodePool::open(region, &config, now, &[]).expect("a pool");
    let shard = penstock_limits::Shard::new(Arc::new(pool)).expect("a seat");
    let replays = Arc::new(penstock_gate::identity::ReplayTable::new(16));
    let secret = penstock_gate::limits::KeySecret::new([1; 16]);
    penstock_gate::Gate::new(shard, replays, secret, penstock_gate::IdSource::new([1, 2, 3, 4]))
}

impl Gateway {
    pub fn start(driver: Choice, upstream: &Upstream) -> Self {
        Self::with(driver, upstream_spec(upstream.addr), listener_spec())
    }

    pub fn with(driver: Choice, upstream: spec::Upstream, listener: spec::Listener) -> Self {
        let spec = open_spec(upstream, listener);
        let snapshot = penstock_gate::compile(spec).expect("a valid configuration");
        let (events, told) = Events::channel();
        thread::spawn(move || told.iter().for_each(|event| eprintln!("{event}")));
        let options = Options {
            cpus: vec![None],
            driver: choose(driver).expect("a driver"),
            equip: Box::new(|_| Equipment { ring: None, gate: gate() }),
            events,
        };
        let dataplane = Dataplane::start(
            options,
            Served { snapshot: Arc::new(snapshot), callers: Arc::default(), tls: Arc::default() },
        )
        .expect("a start");
        let spec::Address::Tcp(addr) = dataplane.addresses()[0].1.clone() else { panic!("a TCP listener") };
        Self { addr, dataplane }
    }

    pub fn client(&self) -> Client {
        let stream = TcpStream::connect(self.addr).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_nodelay(true).expect("nodelay");
        Client { stream, pending: Vec::new() }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.dataplane.drain(Duration::from_millis(1));
    }
}

pub struct Client {
    pub stream: TcpStream,
    pending: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn status(&self) -> u16 {
        self.head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    pub fn code(&self) -> String {
        let body = String::from_utf8_lossy(&self.body);
        body.split("\"code\":\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or("").to_owned()
    }
}

impl Client {
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        // A gateway that refuses early may have closed already; what it answered is what counts.
        self.stream.write_all(bytes.as_ref()).ok();
        self
    }

    fn more(&mut self) -> bool {
        let mut buf = [0; 65536];
        match self.stream.read(&mut buf) {
            Ok(n) if n > 0 => {
                self.pending.extend_from_slice(&buf[..n]);
                true
            }
            Ok(_) => false,
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("nothing came; so far: {:?}", String::from_utf8_lossy(&self.pending))
            }
            Err(_) => false,
        }
    }

    fn head(&mut self) -> Option<String> {
        loop {
            if let Some(end) = find(&self.pending, b"\r\n\r\n") {
                let head: Vec<u8> = self.pending.drain(..end + 4).collect();
                return Some(String::from_utf8(head).expect("a head in ASCII"));
            }
            if !self.more() {
                return None;
            }
        }
    }

    /// The next answer; `None` if the connection ends first.
    pub fn answer(&mut self) -> Option<Answer> {
        self.answer_to(false)
    }

    pub fn answer_to(&mut self, head_method: bool) -> Option<Answer> {
        let head = self.head()?;
        let lower = head.to_ascii_lowercase();
        let status: u16 = head.split(' ').nth(1)?.parse().ok()?;
        let mut body = Vec::new();
        if head_method || status < 200 || status == 204 || status == 304 {
        } else if let Some(length) = lower.split("content-length: ").nth(1) {
            let n: usize = length.split("\r\n").next()?.parse().ok()?;
            while self.pending.len() < n {
                if !self.more() {
                    return None;
                }
            }
            body = self.pending.drain(..n).collect();
        } else if lower.contains("transfer-encoding: chunked") {
            body = self.chunks()?;
        } else {
            while self.more() {}
            body = std::mem::take(&mut self.pending);
        }
        Some(Answer { head, body })
    }

    fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = find(&self.pending, b"\r\n") {
                let line: Vec<u8> = self.pending.drain(..end + 2).collect();
                return Some(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            if !self.more() {
                return None;
            }
        }
    }

    fn chunks(&mut self) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let n = usize::from_str_radix(&self.line()?, 16).expect("a chunk size without extension");
            if n == 0 {
                while !self.line()?.is_empty() {}
                return Some(body);
            }
            while self.pending.len() < n + 2 {
                if !self.more() {
                    return None;
                }
            }
            body.extend(self.pending.drain(..n));
            self.pending.drain(..2);
        }
    }

    /// Whether the gateway closes the connection without another byte.
    pub fn is_closed(&mut self) -> bool {
        self.pending.is_empty() && !self.more()
    }
}

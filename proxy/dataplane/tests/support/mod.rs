//! A gateway in the test's own process, upstreams that do what a closure says, and a client that shows raw bytes.
#![allow(clippy::disallowed_methods, reason = "a test may read the clock and the environment")]
#![allow(dead_code, missing_docs, unreachable_pub)]

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use penstock_dataplane::driver::{Choice, choose};
use penstock_dataplane::event::Events;
use penstock_dataplane::supervise::{Dataplane, Options};
use penstock_dataplane::sys;
use penstock_dataplane::tls::TlsSets;
use penstock_dataplane::worker::{Equipment, Served};
use penstock_gate::callers::CallerEntries;
use penstock_gate::spec;
use penstock_ring::CallRecord;

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
    pool: Arc<penstock_limits::NodePool>,
    folder: Option<TempDir>,
    heard: Arc<Mutex<Vec<String>>>,
}

/// What a specification serves.
pub fn served(spec: spec::Spec, pool: &penstock_limits::NodePool, before: Option<&TlsSets>) -> Served {
    let now_unix_s = (sys::wall_ns() / 1_000_000_000) as i64;
    let mut register =
        |spec: &penstock_limits::LimitSpec| pool.register(spec).map_err(|error| error.to_string());
    let callers = CallerEntries::new(spec.callers.clone(), now_unix_s, &mut register).expect("callers");
    let mut snapshot = penstock_gate::compile(spec).expect("a valid configuration");
    snapshot.bind_limits(now_unix_s, &mut register).expect("limits");
    let tls = TlsSets::build(&snapshot, before).expect("certificates");
    let ai = (!snapshot.ai.providers.is_empty()).then(|| {
        let catalogue = Arc::new(penstock_ai::catalogue::Catalogue::read(b"").expect("an empty one"));
        let registry = penstock_ai::routing::Registry::default();
        Arc::new(
            penstock_dataplane::ai::directory::Directory::new(&snapshot, catalogue, &registry).expect("good"),
        )
    });
    Served {
        snapshot: Arc::new(snapshot),
        callers: Arc::new(callers),
        tls: Arc::new(tls),
        ai,
        journals: None,
    }
}

/// Waits for a condition that must come true.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        thread::yield_now();
    }
}

pub fn target_spec(addr: SocketAddr) -> spec::Target {
    spec::Target {
        id: spec::Id(u32::from(addr.port()) + 1000),
        uid: spec::Uid(u64::from(addr.port())),
        name: addr.to_string(),
        scheme: spec::Scheme::Http,
        address: spec::TargetAddress::Ip(addr),
        weight: 1,
        backup: false,
    }
}

/// An address at which nobody listens.
pub fn nowhere() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("an address")
}

/// A limit of this measure, without a key, counted in a window of an hour where it needs one.
pub fn limit_spec(id: u32, measure: spec::Measure) -> spec::Limit {
    let concurrent = matches!(measure, spec::Measure::Concurrent(_));
    spec::Limit {
        id: spec::Id(id),
        uid: spec::Uid(u64::from(id)),
        name: format!("limit{id}"),
        measure,
        per: (!concurrent).then_some(spec::Period::Span(Duration::from_secs(3600))),
        algorithm: if concurrent { spec::Algorithm::Concurrency } else { spec::Algorithm::Fixed },
        burst: None,
        mode: spec::Mode::Hard,
        alert_at_percent: Vec::new(),
        reserve: spec::Reserve::Estimate,
        keys_max: 100,
        by: Vec::new(),
    }
}

pub fn upstream_spec(addr: SocketAddr) -> spec::Upstream {
    spec::Upstream {
        id: spec::Id(1),
        uid: spec::Uid(1),
        name: "up".into(),
        targets: vec![target_spec(addr)],
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
            to: spec::To::Upstream(upstream.id),
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

/// What a gateway of a test is made of. The routes, listeners and callers stand in `spec`.
pub struct Setup {
    pub driver: Choice,
    pub workers: usize,
    pub spec: spec::Spec,
    /// Whether calls are recorded; see [`Gateway::records`].
    pub rings: bool,
}

impl Setup {
    pub fn new(driver: Choice, upstream: spec::Upstream) -> Self {
        Self { driver, workers: 1, spec: open_spec(upstream, listener_spec()), rings: false }
    }

    pub fn route(&mut self) -> &mut spec::Route {
        &mut self.spec.routes[0]
    }

    pub fn start(self) -> Gateway {
        Gateway::build(self)
    }
}

/// Limits of the whole node, shared by its workers.
fn node_pool() -> Arc<penstock_limits::NodePool> {
    let config = penstock_limits::NodeConfig {
        keys_max: 1000,
        rolling_keys_max: 10,
        workers_max: 16,
        ..penstock_limits::NodeConfig::new(1, 7)
    };
    let now = penstock_limits::Now { mono_ns: sys::monotonic_ns(), wall_ns: sys::wall_ns() };
    let region = penstock_limits::Region::memory(config.region_words());
    Arc::new(penstock_limits::NodePool::open(region, &config, now, &[]).expect("a pool"))
}

fn gate(pool: &Arc<penstock_limits::NodePool>) -> penstock_gate::Gate {
    let shard = penstock_limits::Shard::new(pool.clone()).expect("a seat");
    let replays = Arc::new(penstock_gate::identity::ReplayTable::new(16));
    let secret = penstock_gate::limits::KeySecret::new([1; 16]);
    penstock_gate::Gate::new(shard, replays, secret, penstock_gate::IdSource::new([1, 2, 3, 4]))
}

/// A folder that goes away with its owner.
pub struct TempDir(pub PathBuf);

impl TempDir {
    pub fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("penstock-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

/// A call as its record tells it, amendments applied.
#[derive(Debug, Clone)]
pub struct Recorded {
    pub call: CallRecord,
    pub path: String,
    pub target: String,
    pub amended: usize,
    /// Of an AI call: its block, and the models asked for and served.
    pub ai: Option<(penstock_ring::AiCall, String, String)>,
}

impl Recorded {
    pub fn code(&self) -> &'static str {
        penstock_http::Code::from_id(self.call.code).map_or("", |code| code.as_str())
    }
}

impl Gateway {
    pub fn start(driver: Choice, upstream: &Upstream) -> Self {
        Self::with(driver, upstream_spec(upstream.addr), listener_spec())
    }

    pub fn with(driver: Choice, upstream: spec::Upstream, listener: spec::Listener) -> Self {
        Setup { driver, workers: 1, spec: open_spec(upstream, listener), rings: false }.start()
    }

    pub fn build(setup: Setup) -> Self {
        let pool = node_pool();
        let (events, told) = Events::channel();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let kept = heard.clone();
        thread::spawn(move || {
            told.iter().for_each(|event| {
                let text = event.to_string();
                eprintln!("{text}");
                kept.lock().expect("no panic").push(text);
            });
        });
        let folder = setup.rings.then(TempDir::new);
        let run = folder.as_ref().map(|folder| penstock_ring::Run::begin(&folder.0).expect("a run"));
        let made = AtomicUsize::new(0);
        let gates = pool.clone();
        let options = Options {
            cpus: vec![None; setup.workers],
            driver: choose(setup.driver).expect("a driver"),
            equip: Box::new(move |_| Equipment {
                ring: run.as_ref().map(|run| {
                    let number = made.fetch_add(1, Ordering::Relaxed) as u32;
                    let capacity = 16 * penstock_ring::CAPACITY_BYTES_MIN;
                    penstock_ring::RingWriter::new(run.create_ring(number, capacity, 1).expect("a ring"))
                }),
                gate: gate(&gates),
            }),
            events,
        };
        let served = served(setup.spec, &pool, None);
        let dataplane = Dataplane::start(options, served).expect("a start");
        let addr = match dataplane.addresses().first().map(|(_, address)| address.clone()) {
            Some(spec::Address::Tcp(addr)) => addr,
            _ => SocketAddr::from(([127, 0, 0, 1], 0)),
        };
        Self { addr, dataplane, pool, folder, heard }
    }

    /// Serves another configuration.
    pub fn reload(&self, spec: spec::Spec) -> Result<(), penstock_dataplane::supervise::SuperviseError> {
        let before = self.dataplane.served();
        self.dataplane.configure(served(spec, &self.pool, Some(&before.tls)))
    }

    /// The calls recorded so far, in the order of their rings.
    pub fn records(&self) -> Vec<Recorded> {
        let folder = &self.folder.as_ref().expect("a gateway with rings").0;
        let mut calls: Vec<Recorded> = Vec::new();
        for file in penstock_ring::ring_files(folder).expect("a folder") {
            let ring = penstock_ring::open_readable(&file.path).expect("a ring");
            let mut cursor = penstock_ring::Cursor::oldest(ring);
            let first = calls.len();
            loop {
                match cursor.read_next() {
                    penstock_ring::Item::Call(view) => calls.push(Recorded {
                        call: view.record.clone(),
                        path: String::from_utf8_lossy(view.string(penstock_ring::Slot::Path)).into_owned(),
                        target: String::from_utf8_lossy(view.string(penstock_ring::Slot::Target))
                            .into_owned(),
                        amended: 0,
                        ai: view.ai().map(|ai| {
                            let text = |slot| String::from_utf8_lossy(view.string(slot)).into_owned();
                            let asked = text(penstock_ring::Slot::ModelAsked);
                            (ai.clone(), asked, text(penstock_ring::Slot::ModelServed))
                        }),
                    }),
                    penstock_ring::Item::Amend(amend) => {
                        let of = calls[first..].iter_mut().find(|c| c.call.sequence == amend.sequence);
                        let of = of.expect("an amendment of a call that is there");
                        amend.apply(&mut of.call);
                        of.amended += 1;
                    }
                    penstock_ring::Item::End => break,
                    other => panic!("{other:?}"),
                }
            }
        }
        calls
    }

    /// Waits until `n` calls are recorded, and makes sure that no more are.
    pub fn recorded(&self, n: usize) -> Vec<Recorded> {
        eventually("the records", || self.records().len() >= n);
        let records = self.records();
        assert_eq!(records.len(), n, "{records:#?}");
        records
    }

    /// Whether an event with this text was told.
    pub fn was_told(&self, text: &str) -> bool {
        self.heard.lock().expect("no panic").iter().any(|event| event.contains(text))
    }

    /// Client connections that are open, over all workers.
    pub fn connections(&self) -> u32 {
        self.dataplane.stats().iter().map(|stats| stats.connections.load(Ordering::Relaxed)).sum()
    }

    /// Requests that are under way, over all workers.
    pub fn requests(&self) -> u32 {
        self.dataplane.stats().iter().map(|stats| stats.requests.load(Ordering::Relaxed)).sum()
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
    pub fn over(stream: TcpStream) -> Self {
        Self { stream, pending: Vec::new() }
    }

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

    /// Reads until this text has come.
    pub fn wait_for(&mut self, text: &str) {
        while find(&self.pending, text.as_bytes()).is_none() {
            assert!(self.more(), "the end came before {text:?}");
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

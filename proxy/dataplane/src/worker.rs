//! A worker: one pinned thread with its own runtime, listeners, pools, buffers and ring. What is here is what its
//! tasks share; nothing of it is shared with another thread but counters.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::net::{IpAddr, SocketAddr, TcpListener as StdTcpListener, TcpStream as StdTcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener as StdUnixListener, UnixStream as StdUnixStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use crossbeam_channel::Sender;
use monoio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use penstock_ai::routing::Random;
use penstock_gate::callers::CallerEntries;
use penstock_gate::spec::{Address, Id, Listener, Uid};
use penstock_gate::{Gate, Snapshot};
use penstock_http::HttpDate;
use penstock_ledger::Journal;
use penstock_limits::Now;
use penstock_ring::{AiCall, Amend, CallRecord, CallStrings, RingWriter};

use crate::ai::directory::Directory;
use crate::buf::{Buf, BufPool};
use crate::client::{self, Client, Peer, Secured};
use crate::deadline::{Action, Wheel};
use crate::driver::{self, Driver};
use crate::event::{Event, Events};
use crate::exchange::Scratch;
use crate::listen::{OpenCount, Place};
use crate::mailbox::Inbox;
use crate::stream::Stream;
use crate::sys::{self, Side};
use crate::tls::{self, TlsBufs, TlsSets};
use crate::upstream::Upstream;
use crate::upstream::node::NodeTargets;
use crate::upstream::pool::Keeper;

/// Scratch sets (about 8 KiB each) that a worker keeps for reuse; one a request under way.
pub const SCRATCH_KEPT_MAX: usize = 1024;
/// Accepts that a worker has posted at once on a TCP socket, so that one turn of its ring can take several.
pub const ACCEPTS_POSTED: usize = 4;
/// How long a worker waits after a failed accept.
pub const ACCEPT_BACKOFF: Duration = Duration::from_millis(20);
/// Without a failed accept for so long, accepting works again.
pub const ACCEPT_CALM: Duration = Duration::from_secs(1);
/// How often a worker looks after its limits: idle leases go back, alerts are told, the wall clock is read.
pub const TICK: Duration = Duration::from_millis(10);
/// Ticks after which it says that it lives and sweeps its pools.
pub const SWEEP_TICKS: u32 = 10;
/// Ticks between two looks for buffers that nobody needs.
pub const SHRINK_TICKS: u32 = 100;
/// While draining, how long an idle connection may still bring a request, which is answered with
/// `Connection: close`.
pub const DRAIN_IDLE: Duration = Duration::from_millis(1000);

/// How long TCP handshakes that had begun when a draining worker stopped taking new ones may take to end.
const HANDSHAKES_END: Duration = Duration::from_millis(50);
/// How long the last accepts of a draining worker may take to come out of its ring.
const ACCEPTS_END: Duration = Duration::from_millis(500);

/// Counters of one worker that other threads read. On cache lines of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct WorkerStats {
    /// Monotonic ns of the last sign of life.
    pub heartbeat_ns: AtomicU64,
    /// Client connections open.
    pub connections: AtomicU32,
    /// Requests under way, from their first byte to the end of their answer.
    pub requests: AtomicU32,
    /// Client connections accepted in all.
    pub accepted: AtomicU64,
    /// Accepts that failed for want of descriptors or memory, in all.
    pub accept_failures: AtomicU64,
    /// Connections that went idle and gave their memory back, in all.
    pub parked: AtomicU64,
    /// Requests that panicked.
    pub panics: AtomicU64,
}

/// What the control side tells a worker.
pub enum Command {
    /// Serve this configuration from the next request on, and say so.
    Configure(Served, Sender<Acknowledged>),
    /// Serve a listener, whose connections are counted there.
    Listen(Arc<Listener>, OwnedFd, OpenCount),
    /// Serve a connection that came in at this address and was accepted outside.
    Adopt(OwnedFd, Address),
    /// Record calls into this ring.
    Record(Box<RingWriter>),
    /// Finish what is under way, answer with `Connection: close`, and end.
    Drain,
}

/// A worker serves this revision; the configuration before it comes back to be freed by the control side.
pub struct Acknowledged {
    /// Which worker.
    pub worker: usize,
    /// The revision that it serves now.
    pub revision: u64,
}

/// What a worker is started with.
pub struct Start {
    /// Its number, from 0.
    pub index: usize,
    /// The CPU to pin it to.
    pub cpu: Option<usize>,
    /// The driver to run on.
    pub driver: Driver,
    /// The configuration to begin with.
    pub served: Served,
    /// What all workers share about targets.
    pub nodes: Arc<NodeTargets>,
    /// Commands.
    pub inbox: Inbox<Command>,
    /// Where it tells events.
    pub events: Events,
    /// Its counters.
    pub stats: Arc<WorkerStats>,
    /// What is its own.
    pub equipment: Equipment,
}

/// What a worker owns and gets from outside.
pub struct Equipment {
    /// Callers, limits, tokens.
    pub gate: Gate,
    /// Where it records calls; without one it serves on and records nothing.
    pub ring: Option<RingWriter>,
}

/// What is served, and to whom.
#[derive(Clone)]
pub struct Served {
    /// Routes, policies, upstreams.
    pub snapshot: Arc<Snapshot>,
    /// Apps, credentials, subscriptions.
    pub callers: Arc<CallerEntries>,
    /// Certificates and roots.
    pub tls: Arc<TlsSets>,
    /// Providers, models and prices, if there are AI services.
    pub ai: Option<Arc<Directory>>,
    /// Opens a journal of money for a worker; none where nothing is booked.
    pub journals: Option<Journals>,
}

/// Opens a journal of money for a worker, or says why there is none.
pub type Journals = Arc<dyn Fn() -> Result<Journal, String> + Send + Sync>;

/// The configuration in force with what this worker keeps for its upstreams.
pub struct Current {
    /// What is served.
    pub snapshot: Arc<Snapshot>,
    /// This worker's side of the snapshot's upstreams, in the same order.
    pub upstreams: Vec<Rc<Upstream>>,
    /// Providers, models and prices, if there are AI services.
    pub ai: Option<Arc<Directory>>,
    listeners: Vec<Id>,
}

impl Current {
    /// The place of a listener in the snapshot; beyond its end for one that is gone.
    pub fn listener(&self, id: Id) -> u32 {
        self.listeners.iter().position(|&listener| listener == id).map_or(u32::MAX, |at| at as u32)
    }
}

/// What the tasks of a worker share.
pub struct Worker {
    /// Its number.
    pub index: usize,
    /// What it runs on.
    pub driver: Driver,
    /// Buffers.
    pub bufs: Rc<BufPool>,
    /// Buffers for TLS.
    pub tls_bufs: Rc<TlsBufs>,
    /// Deadlines.
    pub wheel: Rc<Wheel>,
    /// Upstream connections that came back.
    pub keeper: Keeper,
    /// Events.
    pub events: Events,
    /// Counters.
    pub stats: Arc<WorkerStats>,
    /// Decides about requests.
    pub gate: RefCell<Gate>,
    /// Where it books what calls of models cost.
    pub journal: RefCell<Option<Journal>>,
    /// Chance, for the routing of models.
    pub random: RefCell<Random>,
    /// Answers say `Connection: close`; the worker is about to end.
    pub draining: Cell<bool>,
    /// Connections between two requests are closed.
    pub closing_idle: Cell<bool>,
    /// So are those that never had one.
    pub closing_fresh: Cell<bool>,
    /// Duplicates of the listening sockets, to empty their queues at the end.
    listening: RefCell<Vec<(OwnedFd, Rc<Entrance>)>>,
    nodes: Arc<NodeTargets>,
    current: RefCell<Rc<Current>>,
    upstreams: RefCell<HashMap<Uid, Rc<Upstream>>>,
    #[allow(
        clippy::vec_box,
        reason = "moved out and back with each request: eight bytes instead of hundreds"
    )]
    scratch: RefCell<Vec<Box<Scratch>>>,
    connections: Cell<u32>,
    /// Requests under way: scratch sets that are out.
    requests: Cell<u32>,
    /// Another worker serves in its place: what is still accepted is served, and nothing after that. An accept that
    /// is posted is not given up, as it may have taken a connection.
    replaced: Cell<bool>,
    /// Tasks that accept connections.
    accepting: Cell<u32>,
    /// Accepting fails at present.
    pause: Cell<Option<AcceptPause>>,
    /// The listeners as they are configured now, by their address.
    listeners: RefCell<HashMap<Address, Rc<Listener>>>,
    /// Connections open by address, of listeners that bound them.
    clients: RefCell<HashMap<IpAddr, u32>>,
    ring: RefCell<Option<RingWriter>>,
    date: Cell<(u64, HttpDate)>,
    served: RefCell<Served>,
    wall_offset_ns: Cell<u64>,
}

/// Runs a worker on the calling thread until it has drained or its mailbox is closed.
///
/// # Errors
/// When no runtime can be made.
pub fn run(mut start: Start) -> std::io::Result<()> {
    let pinned = match start.cpu {
        None => Err("not asked for".to_owned()),
        Some(cpu) => sys::pin_to_cpu(cpu).map(|()| cpu).map_err(|e| e.to_string()),
    };
    driver::run_or(start.driver, |driver, refused| {
        start.driver = driver;
        let refused = refused.map(|error| error.to_string());
        start.events.tell(Event::Started { worker: start.index, driver, refused, pinned });
        async move {
            let (worker, inbox) = Worker::new(start);
            Rc::new(worker).live(inbox).await;
        }
    })
}

impl Worker {
    fn new(start: Start) -> (Self, Inbox<Command>) {
        let Equipment { gate, ring } = start.equipment;
        let bufs = Rc::new(BufPool::default());
        let worker = Self {
            index: start.index,
            driver: start.driver,
            tls_bufs: TlsBufs::new(bufs.clone()),
            bufs,
            wheel: Wheel::new(sys::monotonic_ns()),
            keeper: Keeper::default(),
            events: start.events.clone(),
            stats: start.stats.clone(),
            draining: Cell::new(false),
            closing_idle: Cell::new(false),
            closing_fresh: Cell::new(false),
            listening: RefCell::new(Vec::new()),
            nodes: start.nodes.clone(),
            current: RefCell::new(Rc::new(Current {
                snapshot: start.served.snapshot.clone(),
                upstreams: Vec::new(),
                ai: start.served.ai.clone(),
                listeners: Vec::new(),
            })),
            upstreams: RefCell::new(HashMap::new()),
            scratch: RefCell::new(Vec::new()),
            connections: Cell::new(0),
            requests: Cell::new(0),
            replaced: Cell::new(false),
            accepting: Cell::new(0),
            pause: Cell::new(None),
            listeners: RefCell::new(HashMap::new()),
            clients: RefCell::new(HashMap::new()),
            ring: RefCell::new(ring),
            date: Cell::new((0, HttpDate::from_unix_seconds(0))),
            served: RefCell::new(start.served.clone()),
            wall_offset_ns: Cell::new(sys::wall_ns().wrapping_sub(sys::monotonic_ns())),
            gate: RefCell::new(gate),
            journal: RefCell::new(None),
            random: RefCell::new(Random::new(sys::monotonic_ns() ^ (start.index as u64) << 48)),
        };
        worker.configure(start.served);
        (worker, start.inbox)
    }

    /// Takes commands until told to end, then waits for what is under way.
    async fn live(self: Rc<Self>, inbox: Inbox<Command>) {
        monoio::spawn(self.wheel.clone().run());
        monoio::spawn(self.clone().tick());
        let worker = self.clone();
        monoio::spawn(async move { worker.keeper.run(&worker.bufs).await });
        let worker = self.clone();
        let ordered = Rc::new(Cell::new(false));
        let drained = ordered.clone();
        inbox
            .run(self.driver, move |command| match command {
                Command::Configure(served, acknowledge) => {
                    let revision = served.snapshot.revision;
                    worker.configure(served);
                    acknowledge.send(Acknowledged { worker: worker.index, revision }).ok();
                    true
                }
                Command::Listen(listener, socket, open) => {
                    worker.clone().listen(listener, socket, open);
                    true
                }
                Command::Adopt(socket, address) => {
                    worker.clone().adopt_from(socket, &address);
                    true
                }
                Command::Record(ring) => {
                    *worker.ring.borrow_mut() = Some(*ring);
                    true
                }
                Command::Drain => {
                    drained.set(true);
                    false
                }
            })
            .await;
        if ordered.get() {
            return self.drain().await;
        }
        // Another has this worker's sockets and mailbox now. Each accept that is still posted takes one more.
        self.replaced.set(true);
        self.draining.set(true);
        while self.connections.get() > 0 || self.accepting.get() > 0 {
            monoio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Ends without losing a call: whoever comes is served for a while and told to close, then the accept queues
    /// are emptied and closed, then connections without a request end, those that never had one last.
    async fn drain(self: &Rc<Self>) {
        self.draining.set(true);
        self.all_gone(DRAIN_IDLE).await;
        // A connection that is complete between the last look at a queue and the end of its socket would be reset.
        for (socket, entrance) in self.listening.borrow().iter() {
            if matches!(entrance.listener.address, Address::Tcp(_)) {
                sys::refuse_new(socket.as_fd());
            }
        }
        monoio::time::sleep(HANDSHAKES_END).await;
        self.stop_accepting();
        // What the ring had accepted by then comes to light before the accepts end.
        let accepts = async {
            while self.accepting.get() > 0 {
                monoio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        monoio::time::timeout(ACCEPTS_END, accepts).await.ok();
        self.closing_idle.set(true);
        self.wheel.wake_all();
        if self.all_gone(DRAIN_IDLE).await {
            return;
        }
        self.closing_fresh.set(true);
        self.wheel.wake_all();
        while !self.all_gone(Duration::from_secs(3600)).await {}
    }

    /// Waits until no connection is open, for at most `patience`.
    async fn all_gone(&self, patience: Duration) -> bool {
        let gone = async {
            while self.connections.get() > 0 {
                monoio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        monoio::time::timeout(patience, gone).await.is_ok()
    }

    /// Takes in what waits at the listening sockets and closes them; see [`sys::refuse_new`].
    fn stop_accepting(self: &Rc<Self>) {
        for (socket, entrance) in self.listening.borrow_mut().drain(..) {
            while let Some(waiting) = sys::accept_waiting(socket.as_fd()) {
                self.clone().adopt(waiting, &entrance);
            }
            sys::shutdown(socket.as_raw_fd(), Side::Both);
        }
    }

    /// Serves a connection of the listener at `address`; one that is gone serves no more.
    fn adopt_from(self: Rc<Self>, socket: OwnedFd, address: &Address) {
        let listening = self.listening.borrow();
        let found = listening.iter().find(|(_, entrance)| entrance.listener.address == *address);
        let entrance = found.map(|(_, entrance)| entrance.clone());
        drop(listening);
        if let Some(entrance) = entrance {
            self.adopt(socket, &entrance);
        }
    }

    /// Serves a connection that was accepted outside the runtime.
    fn adopt(self: Rc<Self>, socket: OwnedFd, entrance: &Entrance) {
        let nonblocking = self.driver.wants_nonblocking();
        match entrance.listener.address {
            Address::Tcp(_) => {
                let socket = StdTcpStream::from(socket);
                let addr = socket.peer_addr().ok();
                socket.set_nonblocking(nonblocking).ok();
                if let Ok(stream) = TcpStream::from_std(socket) {
                    let stream = Stream::tcp(stream, &self.wheel);
                    self.admit(stream, addr, entrance);
                }
            }
            Address::Unix(_) => {
                let socket = StdUnixStream::from(socket);
                socket.set_nonblocking(nonblocking).ok();
                if let Ok(stream) = UnixStream::from_std(socket) {
                    let stream = Stream::unix(stream, &self.wheel);
                    self.admit(stream, None, entrance);
                }
            }
        }
    }

    fn configure(&self, served: Served) {
        let snapshot = served.snapshot.clone();
        let mut known = self.upstreams.borrow_mut();
        let upstreams = snapshot.upstreams().iter().map(|spec| {
            let tls = served.tls.upstream(spec.uid);
            match known.get(&spec.uid) {
                Some(upstream) => {
                    upstream.reconfigure(spec, &self.nodes, tls);
                    upstream.clone()
                }
                None => Rc::new(Upstream::new(spec, &self.nodes, tls, self.index as u64 + 1)),
            }
        });
        let upstreams: Vec<_> = upstreams.collect();
        *known = snapshot.upstreams().iter().map(|spec| spec.uid).zip(upstreams.iter().cloned()).collect();
        let listeners = snapshot.listeners().map(|listener| listener.id).collect();
        *self.listeners.borrow_mut() = snapshot
            .listeners()
            .map(|listener| (listener.address.clone(), Rc::new(Listener::clone(listener))))
            .collect();
        let mut gate = self.gate.borrow_mut();
        // A set that does not hold together was refused on the control side; the table is unchanged then.
        gate.callers.replace(&served.callers).ok();
        drop(gate);
        let served_on = |address: &Address| snapshot.listeners().any(|listener| listener.address == *address);
        self.listening.borrow_mut().retain(|(_, entrance)| served_on(&entrance.listener.address));
        *self.current.borrow_mut() =
            Rc::new(Current { snapshot, upstreams, ai: served.ai.clone(), listeners });
        *self.served.borrow_mut() = served;
        self.open_journal();
    }

    /// Whether what calls of models cost is booked.
    pub fn books(&self) -> bool {
        self.served.borrow().journals.is_some()
    }

    /// Opens the journal if there is to be one and it is not open yet.
    fn open_journal(&self) {
        let journals = self.served.borrow().journals.clone();
        if let Some(open) = journals
            && self.journal.borrow().is_none()
        {
            match open() {
                Ok(journal) => *self.journal.borrow_mut() = Some(journal),
                Err(why) => self.events.tell(Event::JournalFailed { worker: self.index, why }),
            }
        }
    }

    /// Wall clock of a monotonic moment of now, ns. The offset is looked up anew at each tick, so a step of the
    /// clock is seen within [`TICK`].
    pub fn wall_ns(&self, mono_ns: u64) -> u64 {
        mono_ns.wrapping_add(self.wall_offset_ns.get())
    }

    /// Both clocks of a monotonic moment of now.
    pub fn both(&self, mono_ns: u64) -> Now {
        Now { mono_ns, wall_ns: self.wall_ns(mono_ns) }
    }

    /// The date of now, formatted once a second.
    pub fn date(&self) -> HttpDate {
        let second = sys::wall_ns() / 1_000_000_000;
        let (known, date) = self.date.get();
        if known == second {
            return date;
        }
        let date = HttpDate::from_unix_seconds(second);
        self.date.set((second, date));
        date
    }

    /// The configuration in force; a request keeps the one it began with.
    pub fn current(&self) -> Rc<Current> {
        self.current.borrow().clone()
    }

    /// A scratch set for a connection with a request under way.
    pub fn scratch(&self) -> Box<Scratch> {
        self.count_requests(self.requests.get() + 1);
        self.scratch.borrow_mut().pop().unwrap_or_default()
    }

    /// Publishes a record and returns its sequence; `None` when there is no ring or it is full.
    pub fn record(
        &self,
        record: &mut CallRecord,
        strings: &CallStrings<'_>,
        ai: Option<&AiCall>,
    ) -> Option<u64> {
        let mut ring = self.ring.borrow_mut();
        let ring = ring.as_mut()?;
        match ai {
            None => ring.append(record, strings).ok(),
            Some(ai) => ring.append_ai(record, strings, ai).ok(),
        }
    }

    /// Publishes what became of a call after its record.
    pub fn amend(&self, amend: &Amend) {
        if let Some(ring) = self.ring.borrow_mut().as_mut() {
            ring.amend(amend).ok(); // a full ring counts what it drops
        }
    }

    /// Gives a scratch set back.
    pub fn put_scratch(&self, scratch: Box<Scratch>) {
        self.count_requests(self.requests.get() - 1);
        let mut kept = self.scratch.borrow_mut();
        if kept.len() < SCRATCH_KEPT_MAX {
            kept.push(scratch);
        }
    }

    fn count_requests(&self, n: u32) {
        self.requests.set(n);
        self.stats.requests.store(n, Ordering::Relaxed);
    }

    async fn tick(self: Rc<Self>) {
        let mut ticks = 0;
        loop {
            let now_ns = sys::monotonic_ns();
            self.wall_offset_ns.set(sys::wall_ns().wrapping_sub(now_ns));
            {
                let shard = &mut self.gate.borrow_mut().shard;
                shard.tick(self.both(now_ns));
                let worker = self.index;
                shard.take_alerts(|alert| self.events.tell(Event::LimitAlert { worker, alert }));
            }
            if ticks % SWEEP_TICKS == 0 {
                self.sweep(now_ns);
            }
            if ticks % SHRINK_TICKS == 0 {
                self.bufs.shrink();
                self.open_journal();
            }
            ticks = ticks.wrapping_add(1);
            monoio::time::sleep(TICK).await;
        }
    }

    fn sweep(&self, now_ns: u64) {
        self.stats.heartbeat_ns.store(now_ns, Ordering::Relaxed);
        if let Some(pause) = self.pause.get()
            && now_ns.saturating_sub(pause.last_ns) > ACCEPT_CALM.as_nanos() as u64
        {
            self.pause.set(None);
            let paused = Duration::from_nanos(pause.last_ns - pause.began_ns);
            self.events.tell(Event::AcceptResumed { worker: self.index, paused, failures: pause.failures });
        }
        if let Some(ring) = self.ring.borrow_mut().as_mut() {
            ring.heartbeat(self.wall_ns(now_ns));
        }
        for upstream in self.upstreams.borrow().values() {
            upstream.sweep(now_ns);
        }
    }

    fn listen(self: Rc<Self>, listener: Arc<Listener>, socket: OwnedFd, open: OpenCount) {
        let entrance = Rc::new(Entrance { listener: Rc::new(Listener::clone(&listener)), open });
        let nonblocking = self.driver.wants_nonblocking();
        if let Ok(duplicate) = socket.try_clone() {
            self.listening.borrow_mut().push((duplicate, entrance.clone()));
        }
        match &listener.address {
            Address::Tcp(_) => {
                let socket = StdTcpListener::from(socket);
                socket.set_nonblocking(nonblocking).ok();
                if let Ok(socket) = TcpListener::from_std(socket) {
                    let socket = Rc::new(socket);
                    // The runtime's epoll driver knows one task a socket and direction.
                    let posted = if nonblocking { 1 } else { ACCEPTS_POSTED };
                    for _ in 0..posted {
                        monoio::spawn(self.clone().accept_tcp(entrance.clone(), socket.clone()));
                    }
                }
            }
            Address::Unix(_) => {
                let socket = StdUnixListener::from(socket);
                socket.set_nonblocking(nonblocking).ok();
                if let Ok(socket) = UnixListener::from_std(socket) {
                    monoio::spawn(self.accept_unix(entrance, socket));
                }
            }
        }
    }

    async fn accept_tcp(self: Rc<Self>, entrance: Rc<Entrance>, socket: Rc<TcpListener>) {
        let _accepting = Accepting::new(&self);
        while !self.replaced.get() {
            match socket.accept().await {
                Ok((stream, addr)) => {
                    let stream = Stream::tcp(stream, &self.wheel);
                    self.clone().admit(stream, Some(addr), &entrance);
                }
                Err(error) if self.may_accept_again(&error).await => {}
                Err(_) => return,
            }
        }
    }

    async fn accept_unix(self: Rc<Self>, entrance: Rc<Entrance>, socket: UnixListener) {
        let _accepting = Accepting::new(&self);
        while !self.replaced.get() {
            match socket.accept().await {
                Ok((stream, _)) => {
                    let stream = Stream::unix(stream, &self.wheel);
                    self.clone().admit(stream, None, &entrance);
                }
                Err(error) if self.may_accept_again(&error).await => {}
                Err(_) => return,
            }
        }
    }

    /// Whether a failed accept may be tried again: yes, but for a listening socket that was shut down.
    async fn may_accept_again(&self, error: &std::io::Error) -> bool {
        match error.raw_os_error() {
            Some(libc::EINVAL | libc::EBADF) => return false,
            Some(libc::ECONNABORTED | libc::EINTR) => return true,
            _ => {}
        }
        self.accept_failed(error);
        monoio::time::sleep(ACCEPT_BACKOFF).await;
        true
    }

    /// Counts a failed accept; the first one of a pause is told, and later its end.
    fn accept_failed(&self, error: &std::io::Error) {
        self.stats.accept_failures.fetch_add(1, Ordering::Relaxed);
        let now_ns = sys::monotonic_ns();
        let pause = self.pause.get().unwrap_or_else(|| {
            self.events.tell(Event::AcceptFailed { worker: self.index, why: error.to_string() });
            AcceptPause { began_ns: now_ns, last_ns: now_ns, failures: 0 }
        });
        self.pause.set(Some(AcceptPause { last_ns: now_ns, failures: pause.failures + 1, ..pause }));
    }

    fn admit(self: Rc<Self>, stream: Stream, addr: Option<SocketAddr>, entrance: &Entrance) {
        // Its settings may have changed since it was opened.
        let known = self.listeners.borrow().get(&entrance.listener.address).cloned();
        let listener = known.unwrap_or_else(|| entrance.listener.clone());
        let connections_max = listener.limits.connections_max;
        let Some(place) = entrance.open.enter(connections_max) else {
            self.events.tell(Event::ConnectionsFull {
                worker: self.index,
                listener: listener.name.clone(),
                connections_max,
            });
            return;
        };
        let from = listener.limits.connections_per_client_max.and(addr).map(|addr| addr.ip());
        let open = OpenConnection::new(self.clone(), place, from);
        if let Some((ip, max)) = from.zip(listener.limits.connections_per_client_max)
            && self.clients.borrow().get(&ip).is_some_and(|&open| open > max)
        {
            return;
        }
        self.stats.accepted.fetch_add(1, Ordering::Relaxed);
        monoio::spawn(async move {
            {
                let worker = open.worker.clone();
                // Pinned here, as an argument would be held twice.
                let conversation = pin!(worker.clone().converse(stream, addr, listener));
                contained(&worker, conversation).await;
            }
            drop(open);
        });
    }

    /// A connection from its first byte to its last.
    async fn converse(self: Rc<Self>, stream: Stream, addr: Option<SocketAddr>, listener: Rc<Listener>) {
        let (stream, tls) = match &listener.tls {
            None => (stream, None),
            Some(_) => match self.handshake(stream, &listener).await {
                Some((stream, secured)) => (stream, Some(secured)),
                None => return,
            },
        };
        let peer = Peer { addr, listener, tls };
        let client = Box::new(Client {
            stream,
            pending: Buf::default(),
            peer,
            requests: 0,
            opened_ns: sys::monotonic_ns(),
            began_ns: 0,
        });
        client::serve(self, client).await;
    }

    async fn handshake(&self, stream: Stream, listener: &Listener) -> Option<(Stream, Secured)> {
        let tls = self.served.borrow().tls.listener(&listener.address).cloned()?;
        let until_ns = sys::monotonic_ns() + listener.timeouts.head.as_nanos() as u64;
        stream.read_timer.arm(until_ns, Action::Shutdown(Side::Both));
        // Boxed, so that the task of a connection stays small once this is over.
        match Box::pin(tls::accept(stream, &tls, &self.tls_bufs)).await {
            Ok((stream, facts)) => {
                stream.read_timer.disarm();
                Some((stream, facts.into()))
            }
            Err(error) => {
                self.events.tell(Event::HandshakeFailed { worker: self.index, why: error.to_string() });
                None
            }
        }
    }
}

/// A time in which accepts fail.
#[derive(Debug, Clone, Copy)]
struct AcceptPause {
    /// Of the first failure, monotonic ns.
    began_ns: u64,
    /// Of the last one, monotonic ns.
    last_ns: u64,
    failures: u64,
}

/// Counts a task that accepts for as long as it does.
struct Accepting(Rc<Worker>);

impl Accepting {
    fn new(worker: &Rc<Worker>) -> Self {
        worker.accepting.set(worker.accepting.get() + 1);
        Self(worker.clone())
    }
}

impl Drop for Accepting {
    fn drop(&mut self) {
        self.0.accepting.set(self.0.accepting.get() - 1);
    }
}

/// Where connections come in.
struct Entrance {
    /// As it was configured when it was opened.
    listener: Rc<Listener>,
    open: OpenCount,
}

/// Counts a connection for as long as it lives, on its worker, at its listener, and by its address where the listener
/// bounds that.
struct OpenConnection {
    worker: Rc<Worker>,
    _place: Place,
    from: Option<IpAddr>,
}

impl OpenConnection {
    fn new(worker: Rc<Worker>, place: Place, from: Option<IpAddr>) -> Self {
        worker.connections.set(worker.connections.get() + 1);
        worker.stats.connections.store(worker.connections.get(), Ordering::Relaxed);
        if let Some(ip) = from {
            *worker.clients.borrow_mut().entry(ip).or_insert(0) += 1;
        }
        Self { worker, _place: place, from }
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        let worker = &self.worker;
        worker.connections.set(worker.connections.get() - 1);
        worker.stats.connections.store(worker.connections.get(), Ordering::Relaxed);
        if let Some(ip) = self.from {
            let mut clients = worker.clients.borrow_mut();
            if let Some(open) = clients.get_mut(&ip) {
                *open -= 1;
                if *open == 0 {
                    clients.remove(&ip);
                }
            }
        }
    }
}

/// Runs a connection's task; a panic in it ends that connection and nothing else.
async fn contained(worker: &Worker, mut task: Pin<&mut impl Future<Output = ()>>) {
    let caught = std::future::poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(cx))) {
        Ok(poll) => poll.map(|()| None),
        Err(panic) => Poll::Ready(Some(panic)),
    })
    .await;
    if let Some(panic) = caught {
        worker.stats.panics.fetch_add(1, Ordering::Relaxed);
        worker.events.tell(Event::Panicked { worker: worker.index, why: panic_message(&*panic) });
    }
}

/// What a panic said.
pub fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text =
        panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message").to_owned()
}

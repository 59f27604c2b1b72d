//! `penstock run`: starts everything in its order, then steers until there is nothing left to serve.
//!
//! The order: configuration, data directory and its lock, keys, rings and dictionary, counters, snapshot with its
//! certificates and limits, workers; from then on traffic is served, and what follows may fail: names, checks,
//! admin address, control socket.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use crossbeam_channel::{Receiver, Sender, bounded, select, tick};
use penstock_ai::routing::Registry;
use penstock_dataplane::driver::{self, Choice, Chosen, Driver, Unusable};
use penstock_dataplane::event::{Event, Events};
use penstock_dataplane::supervise::{Dataplane, Options, SuperviseError};
use penstock_dataplane::sys;
use penstock_dataplane::worker::Equipment;
use penstock_gate::identity::{REPLAY_SETS_DEFAULT, ReplayTable};
use penstock_gate::{Gate, IdSource};
use penstock_model::{Problem, Process};
use penstock_ring::{DictionaryWriter, RINGS_FOLDER};

use crate::access_log::AccessLogThread;
use crate::args::{DriverChoice, RunArgs};
use crate::banner::Banner;
use crate::commands;
use crate::control::{self, Reply, Request};
use crate::counters::Counters;
use crate::data_dir::DataDir;
use crate::gateway::{ChangeError, Compiler, Fixed, Gateway};
use crate::names::{CompileError, Names};
use crate::rings::Rings;
use crate::source::{Demo, Source, process_of};
use crate::{keys, notices, ports, resolve, side, state, workers};

/// Exit code when the configuration is wrong.
const EXIT_CONFIGURATION: u8 = commands::EXIT_REFUSED;
/// Exit code when the start failed.
const EXIT_START: u8 = 2;
/// Orders that may wait.
const ORDERS_MAX: usize = 64;
/// How long an answer to `penstock drain` may take on its way before the process ends.
const REPLY_MAX: Duration = Duration::from_secs(1);
/// Open descriptors below which it is told that they may not suffice.
const DESCRIPTORS_WANTED: u64 = 65_536;

/// What the control side is told to do; the sender hears what came of it.
pub(crate) enum Order {
    /// Serve the configuration as it is now.
    Reload(Option<Sender<Reply>>),
    /// Finish and end; a second one ends at once.
    Drain(Option<Sender<Reply>>),
}

/// Why it did not start.
enum StartError {
    Configuration(Vec<Problem>),
    Refused(String),
    Other(anyhow::Error),
}

impl From<Vec<Problem>> for StartError {
    fn from(problems: Vec<Problem>) -> Self {
        Self::Configuration(problems)
    }
}

impl From<anyhow::Error> for StartError {
    fn from(error: anyhow::Error) -> Self {
        Self::Other(error)
    }
}

impl From<ChangeError> for StartError {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::Compile(CompileError::Problems(problems)) => Self::Configuration(problems),
            error @ (ChangeError::Tls(_) | ChangeError::Limit(_)) => Self::Refused(error.to_string()),
            error => Self::Other(error.into()),
        }
    }
}

/// Runs until drained.
pub(crate) fn run(args: &RunArgs) -> ExitCode {
    // Before anything that may take a while, so that a signal is never lost.
    let (orders, inbox) = bounded(ORDERS_MAX);
    let started = side::signals(orders.clone()).context("cannot handle signals").map_err(StartError::from);
    match started.and_then(|()| start(args, &orders)) {
        Ok(running) => running.steer(&inbox),
        Err(StartError::Configuration(problems)) => commands::refuse(&problems),
        Err(StartError::Refused(why)) => said(&why, EXIT_CONFIGURATION),
        Err(StartError::Other(error)) => said(&format!("{error:#}"), EXIT_START),
    }
}

fn said(why: &str, code: u8) -> ExitCode {
    // Nobody can be told that stderr does not work.
    let _ = writeln!(io::stderr(), "penstock: {why}");
    ExitCode::from(code)
}

/// The gateway and what must live as long as it does.
struct Running {
    gateway: Arc<Gateway>,
    events: Receiver<Event>,
    access_log: Option<AccessLogThread>,
    patience: Duration,
    /// Answers on the control socket that are on their way.
    replies: Arc<AtomicUsize>,
    _data_dir: DataDir,
}

fn start(args: &RunArgs, orders: &Sender<Order>) -> Result<Running, StartError> {
    let started_ns = sys::wall_ns();
    let descriptors = sys::raise_descriptor_limit();
    let mut source = Source::of(&args.config);
    let data_dir = DataDir::open(&source.process()?.data_dir)?;
    if matches!(source, Source::Defaults(_)) {
        let upstream = side::demo().context("cannot start the demo upstream")?;
        source = Source::Defaults(Some(Demo { upstream, key: keys::demo_key(data_dir.path())? }));
    }
    let configuration = source.check()?;
    let process = process_of(&configuration)?;

    let rings = rings(data_dir.path(), &process);
    let run = rings.as_ref().map_or_else(|_| started_ns, |(rings, _)| rings.run_number());
    let (rings, names) = match rings {
        Ok((rings, names)) => (Ok(Arc::new(rings)), names),
        Err(error) => {
            let why = format!("{error:#}");
            if process.records_calls {
                notices::error(format!("calls are not recorded: {why}"));
            }
            (Err(why), Names::new(None).context("cannot count ids")?)
        }
    };
    let counters = Counters::open(data_dir.path(), run, keys::limit_key(data_dir.path())?)?;
    let hash_keys = keys::hash_keys(data_dir.path())?;
    let mut compiler = Compiler {
        names,
        keys: hash_keys,
        counters: counters.clone(),
        catalogue: None,
        registry: Registry::default(),
        ledger: None,
        data_dir: data_dir.path().to_owned(),
    };
    let revision = 1;
    let prepared = compiler.prepare(&configuration, revision, None)?;
    for listener in prepared.served.snapshot.listeners() {
        ports::free(&listener.address, "listeners[].address")
            .map_err(|why| StartError::Other(anyhow!(why)))?;
    }

    let choice = match args.driver {
        DriverChoice::Auto => Choice::Auto,
        DriverChoice::IoUring => Choice::Uring,
        DriverChoice::Epoll => Choice::Epoll,
    };
    let Chosen { driver, refused } =
        driver::find(choice).context("io_uring does not work here (try --driver auto)")?;
    if let Some(why) = &refused {
        notices::warn(format!("io_uring does not work here, the workers run on epoll: {why}"));
    }
    let parallel = thread::available_parallelism().map_or(1, usize::from);
    let cpus =
        workers::cpus(&process.workers, &sys::allowed_cpus(), parallel).map_err(StartError::Refused)?;
    let (events, event_inbox) = Events::channel();
    let equip = equip(rings.clone(), counters.clone());
    let options = Options { cpus: cpus.clone(), driver, equip, events };
    let dataplane = Dataplane::start(options, prepared.served).map_err(listen_error)?;
    let fixed = Fixed { source, process, driver, cpus, started_ns, rings };
    let gateway = Gateway::new(fixed, dataplane, compiler, revision);
    for name in resolve::resolve(&gateway.dataplane) {
        notices::warn(format!("a target's name cannot be resolved: {name}"));
    }
    if descriptors < DESCRIPTORS_WANTED {
        notices::warn(format!("only {descriptors} descriptors may be open: that many connections at most"));
    }

    let replies = Arc::new(AtomicUsize::new(0));
    let admin = beside(&gateway, args, orders, &replies);
    let access_log = access_log(&gateway);
    print_banner(&gateway, admin, refused.as_ref());
    Ok(Running {
        gateway,
        events: event_inbox,
        access_log,
        patience: Duration::from_secs(args.drain_seconds),
        replies,
        _data_dir: data_dir,
    })
}

fn listen_error(error: SuperviseError) -> StartError {
    StartError::Other(error.into())
}

/// Where the rings are.
fn ring_folder(data_dir: &std::path::Path, process: &Process) -> std::path::PathBuf {
    process.ring_dir.clone().unwrap_or_else(|| data_dir.join(RINGS_FOLDER))
}

/// The rings of this run, and the names that stand in their dictionary.
fn rings(data_dir: &std::path::Path, process: &Process) -> anyhow::Result<(Rings, Names)> {
    anyhow::ensure!(process.records_calls, "switched off (rings.calls: none)");
    let folder = ring_folder(data_dir, process);
    let rings = Rings::begin(&folder, process.ring_bytes, process.ring_sync)?;
    let names = Names::new(Some(DictionaryWriter::open(&folder)?))?;
    Ok((rings, names))
}

/// Makes what a worker owns.
fn equip(
    rings: Result<Arc<Rings>, String>,
    counters: Arc<Counters>,
) -> Box<dyn Fn(usize) -> Equipment + Send + Sync> {
    let replays = Arc::new(ReplayTable::new(REPLAY_SETS_DEFAULT));
    Box::new(move |worker| {
        let seed = [sys::random(), sys::random()].map(u128::from_ne_bytes);
        let ids =
            IdSource::new([seed[0] as u64, (seed[0] >> 64) as u64, seed[1] as u64, (seed[1] >> 64) as u64]);
        Equipment {
            ring: rings.as_ref().ok().and_then(|rings| rings.writer(worker)),
            gate: Gate::new(counters.shard(worker), replays.clone(), counters.secret(), ids),
        }
    })
}

/// Starts what traffic does not need; whatever fails is told. Returns the admin address.
fn beside(
    gateway: &Arc<Gateway>,
    args: &RunArgs,
    orders: &Sender<Order>,
    replies: &Arc<AtomicUsize>,
) -> Option<String> {
    let begun = |what: &str, result: io::Result<()>| {
        if let Err(error) = result {
            notices::error(format!("{what}: {error}"));
        }
    };
    begun("rings go to disk only when the kernel sees fit", gateway.keep_rings_synced());
    begun("counters go to disk only at the end", gateway.counters.keep_synced());
    begun(
        "names of targets are not refreshed",
        resolve::keep_fresh(gateway.dataplane.clone(), notices::warn),
    );
    begun("targets are not checked", side::health_checks(gateway.clone()));
    if args.watch {
        begun("files are not watched", side::watch(gateway.clone(), orders.clone()));
    }
    let handle = answer(gateway.clone(), orders.clone());
    begun(
        "`penstock reload` and `drain` do not work, signals do",
        control::serve(gateway.data_dir(), replies.clone(), handle).map(drop),
    );
    let address = &gateway.fixed.process.admin;
    let free = ports::free(address, "admin.address");
    match free.and_then(|()| {
        side::admin(gateway.clone(), address)
            .map_err(|error| ports::refused(address, "admin.address", &error))
    }) {
        Ok(shown) => Some(shown),
        Err(why) => {
            notices::error(format!("there is no admin address; traffic is served. {why}"));
            None
        }
    }
}

fn access_log(gateway: &Gateway) -> Option<AccessLogThread> {
    let rings = gateway.fixed.rings.as_ref().ok()?;
    let folder = ring_folder(gateway.data_dir(), &gateway.fixed.process);
    match AccessLogThread::start(&gateway.fixed.process, rings.clone(), &folder) {
        Ok(log) => log,
        Err(error) => {
            notices::error(format!("there is no access log: {error}"));
            None
        }
    }
}

/// Answers the control socket.
fn answer(gateway: Arc<Gateway>, orders: Sender<Order>) -> impl Fn(Request) -> Reply + Send + Sync {
    move |request| {
        let (reply, replied) = bounded(1);
        let order = match request {
            Request::Status => {
                let status = serde_json::to_string_pretty(&state::status(&gateway));
                return match status {
                    Ok(message) => Reply { ok: true, message },
                    Err(error) => Reply { ok: false, message: error.to_string() },
                };
            }
            Request::Reload => Order::Reload(Some(reply)),
            Request::Drain => Order::Drain(Some(reply)),
        };
        let ended = || Reply { ok: false, message: "the gateway is ending".to_owned() };
        match orders.send(order) {
            Ok(()) => replied.recv().unwrap_or_else(|_| ended()),
            Err(_) => ended(),
        }
    }
}

fn print_banner(gateway: &Gateway, admin: Option<String>, refused: Option<&Unusable>) {
    let fixed = &gateway.fixed;
    let addresses = gateway.dataplane.addresses();
    let served = gateway.dataplane.served();
    let tls = |name: &str| served.snapshot.listeners().any(|l| l.name == name && l.tls.is_some());
    let scheme = |name: &str| if tls(name) { "https" } else { "http" };
    let gateway_shown = addresses.iter().map(|(name, at)| match ports::shown(at) {
        path if path.starts_with("unix:") => path,
        address => format!("{}://{address}", scheme(name)),
    });
    let (demo_key, calls) = match (&fixed.source, addresses.first()) {
        (Source::Defaults(Some(demo)), Some((_, address))) => {
            let calls = penstock_model::demo_calls(&ports::shown(address), &demo.key);
            (Some(demo.key.clone()), calls.to_vec())
        }
        _ => (None, Vec::new()),
    };
    let banner = Banner {
        driver: refused
            .map_or_else(|| fixed.driver.to_string(), |why| format!("{} (no io_uring: {why})", fixed.driver)),
        workers: workers::shown(&fixed.cpus),
        gateway: gateway_shown.collect(),
        admin: admin.map(|at| if at.starts_with("unix:") { at } else { format!("http://{at}") }),
        config: fixed.source.shown(),
        data: gateway.data_dir().display().to_string(),
        demo_key,
        calls,
    };
    let mut stdout = io::stdout().lock();
    let text = banner.text(stdout.is_terminal());
    // Whoever closed stdout does not want to know.
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

impl Running {
    /// Does what it is told, tells what happens, replaces dead workers; ends when the last call has.
    fn steer(self, inbox: &Receiver<Order>) -> ExitCode {
        let seconds = tick(Duration::from_secs(1));
        let (done, drained) = bounded::<usize>(1);
        let mut waiting: Vec<Sender<Reply>> = Vec::new();
        let left = loop {
            select! {
                recv(self.events) -> event => if let Ok(event) = event { self.tell(&event) },
                recv(seconds) -> _ => {
                    self.gateway.dataplane.watch();
                    self.gateway.give_rings();
                    // A failure has been told at the start; a later one is tried again each second.
                    self.gateway.keep_rings_synced().ok();
                    self.gateway.counters.sweep();
                },
                recv(inbox) -> order => match order {
                    Ok(Order::Reload(reply)) => self.reload(reply),
                    Ok(Order::Drain(reply)) => {
                        let again = self.gateway.is_draining();
                        let by_signal = reply.is_none();
                        waiting.extend(reply);
                        if again && by_signal {
                            notices::warn("told to end twice: calls under way are cut");
                            break 0;
                        }
                        if !again {
                            self.begin_drain(done.clone());
                        }
                    }
                    Err(_) => break 0,
                },
                recv(drained) -> left => break left.unwrap_or(0),
            }
        };
        self.end(left, waiting)
    }

    fn tell(&self, event: &Event) {
        match event {
            Event::Started { driver, pinned: Ok(_), .. } if *driver == self.gateway.fixed.driver => {}
            // Not asked for: there are more workers than CPUs.
            Event::Started { worker, driver, .. }
                if self.gateway.fixed.cpus.get(*worker) == Some(&None) && *driver == self.driver() => {}
            Event::Started { .. } | Event::ConnectionsFull { .. } | Event::HandshakeFailed { .. } => {
                notices::warn(event.to_string());
            }
            Event::AcceptResumed { .. } => notices::info(event.to_string()),
            _ => notices::error(event.to_string()),
        }
    }

    fn driver(&self) -> Driver {
        self.gateway.fixed.driver
    }

    fn reload(&self, reply: Option<Sender<Reply>>) {
        let outcome = if self.gateway.is_draining() {
            Err("the gateway is draining".to_owned())
        } else {
            self.gateway.reload()
        };
        match &outcome {
            Ok(told) => notices::info(format!("configuration taken: {told}")),
            Err(why) => {
                let revision = self.gateway.revision();
                notices::error(format!("configuration refused, revision {revision} is served on: {why}"));
            }
        }
        if let Some(reply) = reply {
            let (ok, message) = match outcome {
                Ok(told) => (true, told),
                Err(why) => (false, why),
            };
            reply.send(Reply { ok, message }).ok();
        }
    }

    fn begin_drain(&self, done: Sender<usize>) {
        self.gateway.set_draining();
        let patience = self.patience;
        notices::info(format!("draining: calls under way have {} s to end", patience.as_secs()));
        let gateway = self.gateway.clone();
        let begun = thread::Builder::new().name("penstock-end".into()).spawn(move || {
            done.send(gateway.dataplane.drain(patience)).ok();
        });
        if let Err(error) = begun {
            notices::error(format!("no thread to drain on, calls under way are cut: {error}"));
        }
    }

    fn end(self, left: usize, waiting: Vec<Sender<Reply>>) -> ExitCode {
        for event in self.events.try_iter() {
            self.tell(&event);
        }
        drop(self.access_log);
        if let Ok(rings) = &self.gateway.fixed.rings {
            rings.end();
        }
        if let Err(error) = self.gateway.counters.sync() {
            notices::warn(format!("the counters of limits did not reach the disk: {error}"));
        }
        let message = match left {
            0 => "drained: every call that was under way has ended".to_owned(),
            left => format!("ended with {left} workers still busy: their calls were cut"),
        };
        notices::info(&message);
        for reply in waiting {
            reply.send(Reply { ok: left == 0, message: message.clone() }).ok();
        }
        control::remove(self.gateway.data_dir());
        let until = deadline();
        while self.replies.load(Ordering::Acquire) > 0 && now() < until {
            thread::yield_now();
        }
        ExitCode::SUCCESS
    }
}

#[allow(clippy::disallowed_methods, reason = "the end of the process, beside the workers")]
fn now() -> Instant {
    Instant::now()
}

fn deadline() -> Instant {
    now() + REPLY_MAX
}

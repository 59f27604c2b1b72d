//! The control side of the workers: starts them, tells them things, notices when one dies or hangs, and replaces it
//! on the same listening sockets.
#![allow(clippy::disallowed_methods, reason = "the control side has a clock of its own and may wait")]

use std::collections::HashMap;
use std::io;
use std::panic;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, bounded};
use penstock_gate::spec::{Address, Listener};
use penstock_ring::RingWriter;

use crate::driver::Driver;
use crate::event::{Event, Events};
use crate::listen::ListenerSockets;
use crate::mailbox::{COMMANDS_MAX, Outbox, mailbox};
use crate::sys;
use crate::upstream::node::NodeTargets;
use crate::worker::{self, Command, Equipment, Served, Start, WorkerStats, panic_message};

/// A worker that has not said for this long that it lives is replaced.
pub const HEARTBEAT_MAX: Duration = Duration::from_secs(5);
/// How long a new configuration may take to be acknowledged by every worker.
pub const ACKNOWLEDGE_MAX: Duration = Duration::from_secs(10);
/// Replacements of one worker within [`REPLACED_WINDOW`]; beyond that it stays down and is told.
pub const REPLACED_MAX: usize = 8;
/// See [`REPLACED_MAX`].
pub const REPLACED_WINDOW: Duration = Duration::from_secs(60);

/// Connections that are taken from the queue of a hung worker at one look. A mailbox holds those of as many looks as
/// it takes to notice that the successor hangs, too.
pub const ADOPTED_MAX: usize = 128;

const _: () = assert!(ADOPTED_MAX * (HEARTBEAT_MAX.as_secs() as usize + 2) < COMMANDS_MAX);

/// Connections that go idle before the memory they held is given back to the system.
pub const PARKED_TRIM: u64 = 100;

/// Why the workers could not be started or changed.
#[derive(Debug, thiserror::Error)]
pub enum SuperviseError {
    /// A listening socket could not be opened.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// A thread or its mailbox could not be made.
    #[error("cannot start a worker: {0}")]
    Thread(#[from] io::Error),
    /// Some workers did not take the new configuration in time; they do as soon as they can.
    #[error("workers {workers:?} have not acknowledged within {ACKNOWLEDGE_MAX:?}")]
    Unacknowledged {
        /// Which.
        workers: Vec<usize>,
    },
}

/// What a worker gets that is its own: made anew when it is replaced.
pub type Equip = Box<dyn Fn(usize) -> Equipment + Send + Sync>;

/// How to start.
pub struct Options {
    /// The CPU of each worker, or none.
    pub cpus: Vec<Option<usize>>,
    /// The driver to run on.
    pub driver: Driver,
    /// Makes what a worker owns.
    pub equip: Equip,
    /// Where events go.
    pub events: Events,
}

struct Seat {
    outbox: Outbox<Command>,
    thread: JoinHandle<()>,
    stats: Arc<WorkerStats>,
    replaced: Vec<Instant>,
    /// Threads that hung in this place and have not ended.
    hung: Vec<JoinHandle<()>>,
}

struct State {
    seats: Vec<Seat>,
    listeners: Vec<(Arc<Listener>, ListenerSockets)>,
    served: Served,
    draining: bool,
}

/// The running workers.
pub struct Dataplane {
    options: Options,
    nodes: Arc<NodeTargets>,
    state: Mutex<State>,
    /// Connections that had gone idle when memory was last given back.
    trimmed: AtomicU64,
}

impl Dataplane {
    /// Opens the listeners and starts the workers.
    ///
    /// # Errors
    /// See [`SuperviseError`]; nothing is left running then.
    pub fn start(options: Options, served: Served) -> Result<Arc<Self>, SuperviseError> {
        let mut listeners = Vec::new();
        for listener in served.snapshot.listeners() {
            listeners.push((Arc::new(listener.clone()), open(listener, options.cpus.len())?));
        }
        let workers = options.cpus.len();
        let nodes = Arc::new(NodeTargets::default());
        let state = State { seats: Vec::new(), listeners, served, draining: false };
        let dataplane =
            Arc::new(Self { options, nodes, state: Mutex::new(state), trimmed: AtomicU64::new(0) });
        let mut state = dataplane.lock();
        for index in 0..workers {
            let seat = dataplane.seat(index, &state, Vec::new())?;
            state.seats.push(seat);
        }
        drop(state);
        Ok(dataplane)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn seat(&self, index: usize, state: &State, replaced: Vec<Instant>) -> io::Result<Seat> {
        let (outbox, inbox) = mailbox()?;
        let stats = Arc::new(WorkerStats::default());
        stats.heartbeat_ns.store(sys::monotonic_ns(), Ordering::Relaxed);
        let start = Start {
            index,
            cpu: self.options.cpus[index],
            driver: self.options.driver,
            served: state.served.clone(),
            nodes: self.nodes.clone(),
            inbox,
            events: self.options.events.clone(),
            stats: stats.clone(),
            equipment: (self.options.equip)(index),
        };
        for (listener, sockets) in &state.listeners {
            let socket = sockets.of_worker(index).try_clone_to_owned()?;
            outbox.send(Command::Listen(listener.clone(), socket, sockets.open.clone())).ok();
        }
        let events = self.options.events.clone();
        let thread = thread::Builder::new().name(format!("penstock-w{index}")).spawn(move || {
            let why = match panic::catch_unwind(panic::AssertUnwindSafe(|| worker::run(start))) {
                Ok(Ok(())) => return,
                Ok(Err(error)) => error.to_string(),
                Err(panic) => panic_message(&*panic),
            };
            events.tell(Event::Ended { worker: index, why });
        })?;
        Ok(Seat { outbox, thread, stats, replaced, hung: Vec::new() })
    }

    /// Addresses that are listened on, with the ports that were given for port 0.
    pub fn addresses(&self) -> Vec<(String, Address)> {
        let state = self.lock();
        state
            .listeners
            .iter()
            .map(|(listener, sockets)| (listener.name.clone(), sockets.address.clone()))
            .collect()
    }

    /// What all workers share about targets.
    pub fn nodes(&self) -> &Arc<NodeTargets> {
        &self.nodes
    }

    /// The counters of each worker.
    pub fn stats(&self) -> Vec<Arc<WorkerStats>> {
        self.lock().seats.iter().map(|seat| seat.stats.clone()).collect()
    }

    /// Has a worker that records nothing record calls into this ring from now on. A worker that has ended does
    /// not take it; the one in its place brings its own.
    pub fn give_ring(&self, worker: usize, ring: RingWriter) {
        if let Some(seat) = self.lock().seats.get(worker) {
            seat.outbox.send(Command::Record(Box::new(ring))).ok();
        }
    }

    /// What is served now.
    pub fn served(&self) -> Served {
        self.lock().served.clone()
    }

    /// Serves a new configuration. Listeners that are new are opened first (if one cannot be, nothing changes);
    /// those that are gone stop accepting. Returns when every worker has acknowledged.
    ///
    /// # Errors
    /// See [`SuperviseError`].
    pub fn configure(&self, served: Served) -> Result<(), SuperviseError> {
        let mut state = self.lock();
        let mut old: HashMap<Address, (Arc<Listener>, ListenerSockets)> =
            state.listeners.drain(..).map(|entry| (entry.0.address.clone(), entry)).collect();
        let mut listeners = Vec::new();
        let mut fresh = Vec::new();
        for listener in served.snapshot.listeners() {
            let listener = Arc::new(listener.clone());
            match old.remove(&listener.address) {
                Some((_, sockets)) => listeners.push((listener, sockets)),
                None => match open(&listener, self.options.cpus.len()) {
                    Ok(sockets) => {
                        fresh.push(listeners.len());
                        listeners.push((listener, sockets));
                    }
                    Err(error) => {
                        let kept = listeners.into_iter().enumerate().filter(|(at, _)| !fresh.contains(at));
                        state.listeners = kept.map(|(_, entry)| entry).chain(old.into_values()).collect();
                        return Err(error);
                    }
                },
            }
        }
        for (_, (_, sockets)) in old {
            sockets.close();
        }
        state.listeners = listeners;
        state.served = served.clone();
        let (acknowledge, acknowledged) = bounded(state.seats.len());
        for (index, seat) in state.seats.iter().enumerate() {
            for &at in &fresh {
                let (listener, sockets) = &state.listeners[at];
                let socket = sockets.of_worker(index).try_clone_to_owned()?;
                seat.outbox.send(Command::Listen(listener.clone(), socket, sockets.open.clone())).ok();
            }
            seat.outbox.send(Command::Configure(served.clone(), acknowledge.clone())).ok();
        }
        let mut missing: Vec<usize> = (0..state.seats.len()).collect();
        drop((state, acknowledge));
        let deadline = Instant::now() + ACKNOWLEDGE_MAX;
        while !missing.is_empty() {
            match acknowledged.recv_deadline(deadline) {
                Ok(done) => missing.retain(|&worker| worker != done.worker),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    return Err(SuperviseError::Unacknowledged { workers: missing });
                }
            }
        }
        let uids: std::collections::HashSet<_> =
            served.snapshot.upstreams().iter().flat_map(|up| up.targets.iter().map(|t| t.uid)).collect();
        self.nodes.retain(|uid| uids.contains(&uid));
        Ok(())
    }

    /// Replaces workers that have ended or hang; to be called about once a second.
    pub fn watch(&self) {
        let mut state = self.lock();
        if state.draining {
            return;
        }
        let parked = state.seats.iter().map(|seat| seat.stats.parked.load(Ordering::Relaxed)).sum::<u64>();
        if parked.saturating_sub(self.trimmed.load(Ordering::Relaxed)) >= PARKED_TRIM {
            self.trimmed.store(parked, Ordering::Relaxed);
            sys::release_memory();
        }
        let now_ns = sys::monotonic_ns();
        for index in 0..state.seats.len() {
            let seat = &state.seats[index];
            let silent_ns = now_ns.saturating_sub(seat.stats.heartbeat_ns.load(Ordering::Relaxed));
            let hangs = silent_ns > HEARTBEAT_MAX.as_nanos() as u64;
            if !seat.thread.is_finished() && !hangs {
                continue;
            }
            let mut replaced = seat.replaced.clone();
            replaced.retain(|at| at.elapsed() < REPLACED_WINDOW);
            if replaced.len() >= REPLACED_MAX {
                continue;
            }
            replaced.push(Instant::now());
            let why = if hangs { "it hangs and is replaced" } else { "it is replaced" };
            self.options.events.tell(Event::Ended { worker: index, why: why.to_owned() });
            // A hung thread cannot be ended; without its mailbox and socket it does no harm if it wakes.
            if let Ok(seat) = self.seat(index, &state, replaced) {
                let mut before = std::mem::replace(&mut state.seats[index], seat);
                before.hung.push(before.thread);
                state.seats[index].hung = before.hung;
            }
        }
        Self::adopt_waiting(&mut state);
    }

    /// Takes what waits at the sockets of workers that hang to their successors. The kernel wakes whoever asked first
    /// for a connection, which is a worker that hangs: its successor would not hear of that one until others follow.
    fn adopt_waiting(state: &mut State) {
        for (index, seat) in state.seats.iter_mut().enumerate() {
            seat.hung.retain(|thread| !thread.is_finished());
            if seat.hung.is_empty() {
                continue;
            }
            let sockets =
                state.listeners.iter().map(|(listener, sockets)| (listener, sockets.of_worker(index)));
            let waiting = sockets.flat_map(|(listener, socket)| {
                std::iter::from_fn(move || sys::accept_waiting(socket))
                    .map(|connection| Command::Adopt(connection, listener.address.clone()))
            });
            for command in waiting.take(ADOPTED_MAX) {
                seat.outbox.send(command).ok();
            }
        }
    }

    /// Lets the workers finish what is under way, for at most `patience`. Says how many were left then.
    pub fn drain(&self, patience: Duration) -> usize {
        let mut state = self.lock();
        state.draining = true;
        let mut left: Vec<Seat> = state.seats.drain(..).collect();
        let listeners = std::mem::take(&mut state.listeners);
        drop(state);
        for seat in &left {
            seat.outbox.send(Command::Drain).ok();
        }
        let mut wait_until = |until: Instant| {
            while !left.is_empty() && Instant::now() < until {
                left.retain(|seat| !seat.thread.is_finished());
                thread::sleep(Duration::from_millis(5));
            }
            left.len()
        };
        let begun = Instant::now();
        // Whoever connects meanwhile is still served, and told to close. The workers empty and close the accept
        // queues themselves; this is for those that hang.
        wait_until(begun + (2 * worker::DRAIN_IDLE).min(patience));
        for (_, sockets) in &listeners {
            sockets.close();
        }
        wait_until(begun + patience)
    }
}

fn open(listener: &Listener, workers: usize) -> Result<ListenerSockets, SuperviseError> {
    ListenerSockets::open(&listener.address, workers).map_err(|source| {
        let address = match &listener.address {
            Address::Tcp(addr) => addr.to_string(),
            Address::Unix(path) => format!("unix:{}", path.display()),
        };
        SuperviseError::Listen { address, source }
    })
}

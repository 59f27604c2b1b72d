//! What workers tell people: rare events, sent to the control side, which prints them at a bounded rate.

use std::fmt;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::driver::Driver;
use penstock_ai::routing::End;
use penstock_limits::Alert;

/// Events that may wait to be told; beyond that they are dropped.
pub const EVENTS_MAX: usize = 4096;

/// Something worth telling.
#[derive(Debug)]
pub enum Event {
    /// A worker runs.
    Started {
        /// Which one.
        worker: usize,
        /// The driver it got.
        driver: Driver,
        /// Why it did not get the ring that it was to run on.
        refused: Option<String>,
        /// The CPU it is pinned to, or why it is not.
        pinned: Result<usize, String>,
    },
    /// A worker could not go on and has ended.
    Ended {
        /// Which one.
        worker: usize,
        /// Why.
        why: String,
    },
    /// A provider, a key of it or a model there failed so that it is not asked for a while.
    ProviderRests {
        /// Which worker noticed.
        worker: usize,
        /// Where the last attempt went.
        shown: String,
        /// How it ended.
        why: End,
        /// For how long.
        rests: Duration,
    },
    /// A worker has no journal of money: it refuses calls of models until it has.
    JournalFailed {
        /// Which worker.
        worker: usize,
        /// Why.
        why: String,
    },
    /// Accepting failed, for want of descriptors or memory; it is tried again. Told once, until it works again.
    AcceptFailed {
        /// Which worker.
        worker: usize,
        /// What the operating system said.
        why: String,
    },
    /// Accepting works again.
    AcceptResumed {
        /// Which worker.
        worker: usize,
        /// From the first failure to the last.
        paused: Duration,
        /// How often it failed.
        failures: u64,
    },
    /// A listener has as many connections as it may.
    ConnectionsFull {
        /// Which worker.
        worker: usize,
        /// The listener's name.
        listener: String,
        /// The bound.
        connections_max: u32,
    },
    /// A request made the code panic; its connection was closed.
    Panicked {
        /// Which worker.
        worker: usize,
        /// The panic's message.
        why: String,
    },
    /// A limit has something to say.
    LimitAlert {
        /// Which worker.
        worker: usize,
        /// What.
        alert: Alert,
    },
    /// A TLS handshake failed.
    HandshakeFailed {
        /// Which worker.
        worker: usize,
        /// Why.
        why: String,
    },
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Started { worker, driver, refused, pinned } => {
                write!(f, "worker {worker}: {driver}")?;
                if let Some(why) = refused {
                    write!(f, " (no ring of its own: {why})")?;
                }
                match pinned {
                    Ok(cpu) => write!(f, ", cpu {cpu}"),
                    Err(why) => write!(f, ", not pinned ({why})"),
                }
            }
            Event::ProviderRests { worker, shown, why, rests } => {
                let (why, rests) = (why.told(), rests.as_secs());
                write!(f, "worker {worker}: {shown} is not asked for {rests} s: {why}")
            }
            Event::JournalFailed { worker, why } => {
                write!(f, "worker {worker}: calls of models are refused, as they cannot be booked: {why}")
            }
            Event::Ended { worker, why } => write!(f, "worker {worker} ended: {why}"),
            Event::AcceptFailed { worker, why } => {
                write!(f, "worker {worker}: accepting pauses, as it fails: {why}")
            }
            Event::AcceptResumed { worker, paused, failures } => write!(
                f,
                "worker {worker}: accepting works again; it failed {failures} times in {:.1} s",
                paused.as_secs_f64()
            ),
            Event::ConnectionsFull { worker, listener, connections_max } => write!(
                f,
                "worker {worker}: {connections_max} connections are open at listener {listener} \
                 (max_connections); new ones are closed"
            ),
            Event::Panicked { worker, why } => {
                write!(f, "worker {worker}: a request panicked, its connection was closed: {why}")
            }
            Event::LimitAlert { worker, alert } => write!(f, "worker {worker}: limit alert: {alert:?}"),
            Event::HandshakeFailed { worker, why } => {
                write!(f, "worker {worker}: TLS handshake failed: {why}")
            }
        }
    }
}

/// The workers' end.
#[derive(Debug, Clone)]
pub struct Events(Sender<Event>);

impl Events {
    /// Both ends.
    pub fn channel() -> (Events, Receiver<Event>) {
        let (sender, receiver) = bounded(EVENTS_MAX);
        (Events(sender), receiver)
    }

    /// Tells an event; never waits.
    pub fn tell(&self, event: Event) {
        self.0.try_send(event).ok();
    }
}

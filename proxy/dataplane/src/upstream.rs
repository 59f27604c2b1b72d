//! Upstreams of one worker: which target a request goes to and over which connection.

pub mod connect;
pub mod node;
pub mod pool;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use penstock_gate::spec;
use penstock_http::Code;

use crate::buf::BufPool;
use crate::deadline::Wheel;
use connect::{ConnectError, Connector};
use node::{NodeTarget, NodeTargets};
use pool::{Connection, Pool};

/// A target as one worker sees it.
pub struct Target {
    /// What is configured.
    pub spec: spec::Target,
    /// What all workers share.
    pub node: Arc<NodeTarget>,
    /// This worker's connections.
    pub pool: Pool,
    connector: Connector,
    label: String,
}

fn label(address: &spec::TargetAddress) -> String {
    match address {
        spec::TargetAddress::Ip(addr) => addr.to_string(),
        spec::TargetAddress::Dns(name, port) => format!("{name}:{port}"),
        spec::TargetAddress::Unix(path) => format!("unix:{}", path.display()),
    }
}

/// An upstream as one worker sees it.
pub struct Upstream {
    /// What is configured.
    pub spec: RefCell<Rc<spec::Upstream>>,
    /// Its targets, in the order of the configuration.
    pub targets: RefCell<Vec<Rc<Target>>>,
    turn: Cell<usize>,
}

impl Upstream {
    /// An upstream without history.
    pub fn new(spec: &spec::Upstream, nodes: &NodeTargets, turn: usize) -> Self {
        let upstream = Self {
            spec: RefCell::new(Rc::new(spec.clone())),
            targets: RefCell::new(Vec::new()),
            turn: Cell::new(turn),
        };
        upstream.reconfigure(spec, nodes);
        upstream
    }

    /// Takes a new configuration; targets that stay keep their connections.
    pub fn reconfigure(&self, spec: &spec::Upstream, nodes: &NodeTargets) {
        let old = std::mem::take(&mut *self.targets.borrow_mut());
        let targets = spec.targets.iter().map(|target| {
            let same = old.iter().find(|t| t.spec.uid == target.uid && t.spec.address == target.address);
            match same {
                Some(kept) if kept.spec.scheme == target.scheme => kept.clone(),
                _ => Rc::new(Target {
                    spec: target.clone(),
                    node: nodes.get(target),
                    pool: Pool::default(),
                    connector: Connector::default(),
                    label: label(&target.address),
                }),
            }
        });
        *self.targets.borrow_mut() = targets.collect();
        *self.spec.borrow_mut() = Rc::new(spec.clone());
    }

    /// Closes idle connections that are dead or have been idle for too long.
    pub fn sweep(&self, now_ns: u64) {
        let before_ns = now_ns.saturating_sub(self.spec.borrow().pool.idle.as_nanos() as u64);
        for target in self.targets.borrow().iter() {
            target.pool.sweep(before_ns);
        }
    }

    /// The target for the next try.
    ///
    /// # Errors
    /// `no_healthy_target` when there is none.
    pub fn pick(&self) -> Result<Rc<Target>, Code> {
        let targets = self.targets.borrow();
        let n = targets.len();
        let turn = self.turn.get();
        self.turn.set((turn + 1) % n.max(1));
        (0..n)
            .map(|i| &targets[(turn + i) % n])
            .find(|t| t.node.healthy() && !t.spec.backup)
            .or_else(|| targets.iter().find(|t| t.node.healthy()))
            .cloned()
            .ok_or(Code::NoHealthyTarget)
    }
}

/// What acquiring a connection may take.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For opening one.
    pub connect: Duration,
    /// For one to become free when all are taken.
    pub wait: Duration,
    /// Connections to the target on the whole node.
    pub open_max: u32,
}

/// How often a waiting request looks whether another worker freed a place under the node's cap.
const CAP_LOOK: Duration = Duration::from_millis(20);

impl Target {
    /// Its address, for the record.
    pub fn label(&self) -> &[u8] {
        self.label.as_bytes()
    }

    /// A connection to this target that is free: pooled, new, or waited for. A pooled one costs one poll.
    ///
    /// # Errors
    /// The code of the answer to give.
    pub async fn acquire(&self, patience: Patience, wheel: &Rc<Wheel>) -> Result<Connection, Code> {
        if let Some(connection) = self.pool.take() {
            return Ok(connection);
        }
        if let Some(place) = self.node.reserve(patience.open_max) {
            return self.open(place, patience, wheel).await;
        }
        let waiter = self.pool.wait().ok_or(Code::PoolExhausted)?;
        let mut left = patience.wait;
        loop {
            let step = left.min(CAP_LOOK);
            match monoio::time::timeout(step, poll_fn(|cx| waiter.poll(cx))).await {
                Ok(Some(connection)) => return Ok(connection),
                Ok(None) | Err(_) => {
                    if let Some(place) = self.node.reserve(patience.open_max) {
                        return self.open(place, patience, wheel).await;
                    }
                }
            }
            left = left.saturating_sub(step);
            if left.is_zero() {
                return Err(Code::PoolExhausted);
            }
        }
    }

    async fn open(
        &self,
        place: node::OpenPlace,
        patience: Patience,
        wheel: &Rc<Wheel>,
    ) -> Result<Connection, Code> {
        let opened =
            self.connector.connect(&self.spec.address, &self.node, place, patience.connect, wheel).await;
        match opened {
            Ok((stream, place)) => Ok(Connection::new(stream, place)),
            Err(error) => {
                self.pool.closed();
                Err(match error {
                    ConnectError::Timeout => Code::UpstreamConnectTimeout,
                    ConnectError::Unresolved | ConnectError::Io(_) => Code::UpstreamConnectFailed,
                })
            }
        }
    }

    /// Takes a connection back after an answer that left it clean.
    pub fn release(&self, connection: Connection, bufs: &BufPool, now_ns: u64) {
        self.pool.put(connection, bufs, now_ns);
    }

    /// Closes a connection that is of no further use.
    pub fn discard(&self, connection: Connection) {
        drop(connection);
        self.pool.closed();
    }
}

//! Upstreams of one worker: which target a request goes to and over which connection.

pub mod connect;
pub mod node;
pub mod pool;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use penstock_balance::{
    Attempt, Balancer, BreakerSpec, EjectionSpec, NoTarget, Outcome, Pick, Policy, RetrySpec, TargetId,
    TargetSet, TargetSpec, UpstreamSpec,
};
use penstock_gate::spec::{self, RetryOn};
use penstock_http::Code;

use crate::stream::Stream;
use crate::sys;
use crate::tls;
use crate::worker::Worker;
use connect::{ConnectError, Connector};
use node::{NodeTarget, NodeTargets, OpenPlace};
use pool::{Connection, Keeper, Pool};

/// Time over which a target that is new or has recovered is given its whole share.
pub const SLOW_START: Duration = Duration::from_secs(10);
/// Calls on one target at a time: not bounded here, as the bound on its pool's connections does that.
const TARGET_CALLS_MAX: u32 = u32::MAX;

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
    /// What the balancer was told last; nothing yet of a target that is new or has moved.
    told_healthy: Cell<Option<bool>>,
    taken_ejection_ns: Cell<u64>,
}

impl Target {
    fn new(spec: &spec::Target, node: Arc<NodeTarget>) -> Rc<Self> {
        let label = match &spec.address {
            spec::TargetAddress::Ip(addr) => addr.to_string(),
            spec::TargetAddress::Dns(name, port) => format!("{name}:{port}"),
            spec::TargetAddress::Unix(path) => format!("unix:{}", path.display()),
        };
        Rc::new(Self {
            spec: spec.clone(),
            node,
            pool: Pool::default(),
            connector: Connector::default(),
            label,
            told_healthy: Cell::new(None),
            taken_ejection_ns: Cell::new(0),
        })
    }

    /// Its address, for records.
    pub fn label(&self) -> &[u8] {
        self.label.as_bytes()
    }

    /// Its address as a `Host` of its own (RFC 9112 section 3.2); a Unix socket has none that could stand there.
    pub fn host(&self) -> &[u8] {
        match &self.spec.address {
            spec::TargetAddress::Unix(_) => b"localhost",
            spec::TargetAddress::Ip(_) | spec::TargetAddress::Dns(..) => self.label.as_bytes(),
        }
    }

    fn id(&self) -> TargetId {
        TargetId(self.spec.uid.0)
    }
}

/// An upstream as one worker sees it.
pub struct Upstream {
    spec: RefCell<Rc<spec::Upstream>>,
    targets: RefCell<Vec<Rc<Target>>>,
    retry_statuses: RefCell<Rc<[u16]>>,
    balancer: RefCell<Balancer>,
    tls: RefCell<Option<tls::ClientTls>>,
}

impl Upstream {
    /// An upstream without history.
    pub fn new(spec: &spec::Upstream, nodes: &NodeTargets, tls: Option<&tls::ClientTls>, seed: u64) -> Self {
        let balancer = Balancer::new(&balance(spec), seed).or_else(|_| {
            // Checked when it was compiled; without targets nothing is ever picked.
            Balancer::new(&UpstreamSpec::new(Vec::new(), Policy::RoundRobin), seed)
        });
        let upstream = Self {
            spec: RefCell::new(Rc::new(spec.clone())),
            targets: RefCell::new(Vec::new()),
            retry_statuses: RefCell::new(Rc::from([])),
            balancer: RefCell::new(balancer.expect("an upstream without targets is valid")),
            tls: RefCell::new(None),
        };
        upstream.reconfigure(spec, nodes, tls);
        upstream
    }

    /// Takes a new configuration; targets that stay keep their connections and what was learned of them.
    pub fn reconfigure(&self, spec: &spec::Upstream, nodes: &NodeTargets, tls: Option<&tls::ClientTls>) {
        let old = std::mem::take(&mut *self.targets.borrow_mut());
        let same_tls = self.spec.borrow().tls == spec.tls;
        let targets = spec.targets.iter().map(|target| {
            let same = old.iter().find(|t| t.spec.uid == target.uid && t.spec.address == target.address);
            match same {
                Some(kept) if kept.spec.scheme == target.scheme && same_tls => kept.clone(),
                _ => Target::new(target, nodes.get(target)),
            }
        });
        *self.targets.borrow_mut() = targets.collect();
        self.balancer.borrow_mut().reconfigure(&balance(spec), sys::monotonic_ns()).ok();
        *self.retry_statuses.borrow_mut() = spec
            .retries
            .retry_on
            .iter()
            .filter_map(|reason| match reason {
                RetryOn::Status(status) => Some(*status),
                _ => None,
            })
            .collect();
        if !same_tls || self.tls.borrow().is_none() {
            *self.tls.borrow_mut() = tls.map(tls::ClientTls::for_worker);
        }
        *self.spec.borrow_mut() = Rc::new(spec.clone());
    }

    /// What is configured.
    pub fn spec(&self) -> Rc<spec::Upstream> {
        self.spec.borrow().clone()
    }

    /// Statuses that are tried again.
    pub fn retry_statuses(&self) -> Rc<[u16]> {
        self.retry_statuses.borrow().clone()
    }

    /// Closes idle connections that are dead or have been idle for too long, and takes in what the active checks
    /// and the other workers found out.
    pub fn sweep(&self, now_ns: u64) {
        let before_ns = now_ns.saturating_sub(self.spec.borrow().pool.idle.as_nanos() as u64);
        for target in self.targets.borrow().iter() {
            target.pool.sweep(before_ns);
            target.pool.shed(target.node.wanted() as usize);
            let healthy = target.node.healthy();
            if target.told_healthy.replace(Some(healthy)) != Some(healthy) {
                self.balancer.borrow_mut().set_healthy(now_ns, target.id(), healthy);
            }
            let until_ns = target.node.ejected_until_ns();
            if until_ns > now_ns && target.taken_ejection_ns.replace(until_ns) != until_ns {
                let ejection = penstock_balance::Ejection { target: target.id(), until_ns };
                self.balancer.borrow_mut().eject(now_ns, ejection);
            }
        }
    }
}

fn balance(spec: &spec::Upstream) -> UpstreamSpec {
    let targets = spec.targets.iter().map(|target| TargetSpec {
        id: TargetId(target.uid.0),
        weight: u16::try_from(target.weight).unwrap_or(penstock_balance::WEIGHT_MAX),
        backup: target.backup,
    });
    let policy = match spec.balance {
        spec::Balance::RoundRobin => Policy::RoundRobin,
        spec::Balance::LeastRequest => Policy::LeastRequest,
        spec::Balance::Ewma => Policy::Ewma,
        spec::Balance::Hash(_) => Policy::Hash,
    };
    let ns = |duration: Duration| duration.as_nanos() as u64;
    UpstreamSpec {
        ejection: spec.passive_health.map(|passive| EjectionSpec {
            consecutive_failures: passive.failures,
            base_ns: ns(passive.ejection),
            ejected_percent_max: passive.ejected_percent_max,
            ..EjectionSpec::default()
        }),
        breaker: spec.breaker.map(|breaker| BreakerSpec {
            errors_percent: breaker.errors_percent,
            requests_min: breaker.requests_min,
            window_ns: ns(breaker.window),
            open_ns: ns(breaker.open),
            ..BreakerSpec::default()
        }),
        retries: RetrySpec { percent: spec.retries.budget_percent, ..RetrySpec::default() },
        slow_start_ns: ns(SLOW_START),
        target_calls_max: TARGET_CALLS_MAX,
        ..UpstreamSpec::new(targets.collect(), policy)
    }
}

/// A call on an upstream: its tries, counted so that the balancer hears of each end exactly once, whatever becomes
/// of the task.
pub struct Tries {
    upstream: Rc<Upstream>,
    tried: TargetSet,
    attempt: Option<Attempt>,
    began_ns: u64,
    retried: bool,
}

impl Tries {
    /// A call begins.
    pub fn begin(upstream: &Rc<Upstream>) -> Self {
        upstream.balancer.borrow_mut().call_started();
        let upstream = upstream.clone();
        Self { upstream, tried: TargetSet::EMPTY, attempt: None, began_ns: 0, retried: false }
    }

    /// The target of the next try.
    ///
    /// # Errors
    /// The code of the answer to give.
    pub fn next(&mut self, now_ns: u64, hash: u64) -> Result<Rc<Target>, Code> {
        let mut balancer = self.upstream.balancer.borrow_mut();
        let picked = match balancer.pick(now_ns, Some(hash), &self.tried) {
            Pick::Target(picked) => picked,
            // With every target tried once, a further try may go to any of them again.
            Pick::Refused(NoTarget::AllTried) => {
                self.tried = TargetSet::EMPTY;
                match balancer.pick(now_ns, Some(hash), &self.tried) {
                    Pick::Target(picked) => picked,
                    _ => return Err(Code::NoHealthyTarget),
                }
            }
            Pick::Refused(NoTarget::BreakerOpen { .. }) => return Err(Code::BreakerOpen),
            Pick::Refused(NoTarget::Unhealthy) | Pick::Full => return Err(Code::NoHealthyTarget),
        };
        self.attempt = Some(balancer.started(picked));
        drop(balancer);
        self.began_ns = now_ns;
        self.tried.insert(picked);
        let targets = self.upstream.targets.borrow();
        targets.iter().find(|target| target.id() == picked.id).cloned().ok_or(Code::NoHealthyTarget)
    }

    /// Whether the budget lets this call try again.
    pub fn may_retry(&mut self) -> bool {
        self.retried = self.retried || self.upstream.balancer.borrow_mut().take_retry();
        self.retried
    }

    /// How the try at hand ended, at `now_ns` and after `latency_ns` (0: since it began).
    pub fn ended(&mut self, outcome: Outcome, now_ns: u64, latency_ns: u64) {
        let Some(attempt) = self.attempt.take() else { return };
        let latency_ns = if latency_ns == 0 { now_ns.saturating_sub(self.began_ns) } else { latency_ns };
        let ejection = self.upstream.balancer.borrow_mut().finished(now_ns, attempt, outcome, latency_ns);
        if let Some(ejection) = ejection {
            let targets = self.upstream.targets.borrow();
            if let Some(target) = targets.iter().find(|target| target.id() == ejection.target) {
                target.taken_ejection_ns.set(ejection.until_ns);
                target.node.eject(ejection.until_ns);
            }
        }
    }
}

impl Drop for Tries {
    fn drop(&mut self) {
        if self.attempt.is_some() {
            self.ended(Outcome::Unknown, sys::monotonic_ns(), 0);
        }
        self.upstream.balancer.borrow_mut().call_finished(self.retried);
    }
}

/// What acquiring a connection may take.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For opening one, TLS included.
    pub connect: Duration,
    /// For one to become free when all are taken.
    pub wait: Duration,
    /// Connections to the target on the whole node.
    pub open_max: u32,
}

/// How often a waiting request looks whether another worker freed a place under the node's cap.
const CAP_LOOK: Duration = Duration::from_millis(20);

impl Target {
    /// A connection to this target that is free, opened or waited for; for when the pool has none.
    ///
    /// # Errors
    /// The code of the answer to give.
    pub async fn acquire(
        &self,
        patience: Patience,
        worker: &Worker,
        upstream: &Upstream,
    ) -> Result<Connection, Code> {
        if !self.pool.is_waited_for()
            && let Some(place) = self.node.reserve(patience.open_max)
        {
            return self.open(place, patience, worker, upstream).await;
        }
        let waiter = self.pool.wait().ok_or(Code::PoolExhausted)?;
        let wanted = self.node.want();
        let until_ns = sys::monotonic_ns().saturating_add(patience.wait.as_nanos() as u64);
        loop {
            let left = Duration::from_nanos(until_ns.saturating_sub(sys::monotonic_ns()));
            let handed = monoio::time::timeout(left.min(CAP_LOOK), poll_fn(|cx| waiter.poll(cx))).await;
            if let Ok(Some(mut connection)) = handed {
                if connection.is_quiet() {
                    return Ok(connection);
                }
                // The peer closed it in the same moment; its place is free for the first in the queue.
                self.pool.rejoin(&waiter);
            }
            if self.pool.is_first(&waiter)
                && let Some(place) = self.node.reserve(patience.open_max)
            {
                self.pool.leave(&waiter);
                drop((waiter, wanted));
                self.pool.closed(); // there may be room for the next one too
                return self.open(place, patience, worker, upstream).await;
            }
            if left.is_zero() {
                return Err(Code::PoolExhausted);
            }
        }
    }

    async fn open(
        &self,
        place: OpenPlace,
        patience: Patience,
        worker: &Worker,
        upstream: &Upstream,
    ) -> Result<Connection, Code> {
        let began_ns = sys::monotonic_ns();
        let opened = self
            .connector
            .connect(&self.spec.address, &self.node, place, patience.connect, &worker.wheel)
            .await;
        let opened = match opened {
            Ok((stream, place)) if self.spec.scheme == spec::Scheme::Https => {
                self.secure(stream, began_ns, patience, worker, upstream).await.map(|stream| (stream, place))
            }
            Ok(opened) => Ok(opened),
            Err(ConnectError::Timeout) => Err(Code::UpstreamConnectTimeout),
            Err(ConnectError::Unresolved) => Err(Code::UpstreamUnresolved),
            Err(ConnectError::Io(error)) if sys::is_exhausted(&error) => Err(Code::Overloaded),
            Err(ConnectError::Io(_)) => Err(Code::UpstreamConnectFailed),
        };
        match opened {
            Ok((stream, place)) => Ok(Connection::new(stream, place)),
            Err(code) => {
                self.pool.closed();
                Err(code)
            }
        }
    }

    async fn secure(
        &self,
        stream: Stream,
        began_ns: u64,
        patience: Patience,
        worker: &Worker,
        upstream: &Upstream,
    ) -> Result<Stream, Code> {
        let tls = upstream.tls.borrow().clone().ok_or(Code::UpstreamTls)?;
        let host = match &self.spec.address {
            spec::TargetAddress::Dns(name, _) => name.clone(),
            spec::TargetAddress::Ip(addr) => addr.ip().to_string(),
            spec::TargetAddress::Unix(_) => "localhost".to_owned(),
        };
        let until_ns = began_ns + patience.connect.as_nanos() as u64;
        stream.read_timer.arm(until_ns, crate::deadline::Action::Shutdown(sys::Side::Both));
        let secured = tls::connect(stream, &tls, &host, &worker.tls_bufs).await;
        match secured {
            Ok(stream) => {
                stream.read_timer.disarm();
                Ok(stream)
            }
            Err(_) if sys::monotonic_ns() >= until_ns => Err(Code::UpstreamConnectTimeout),
            Err(_) => Err(Code::UpstreamTls),
        }
    }

    /// Takes a connection back after an answer that left it clean.
    pub fn release(self: &Rc<Self>, connection: Connection, keeper: &Keeper, now_ns: u64) {
        if self.node.wanted() > 0 && !self.pool.is_waited_for() {
            return drop(connection); // another worker waits for its place under the node's cap
        }
        keeper.put(self, connection, now_ns);
    }

    /// Closes a connection that is of no further use.
    pub fn discard(&self, connection: Connection) {
        drop(connection);
        self.pool.closed();
    }
}

//! One generator thread during one round: its connections as tasks of one runtime, started together, ended by time,
//! by number, or when the drain is over.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::{Arc, Barrier, OnceLock, mpsc};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use super::connection::{Connection, connect};
use super::deadline::Deadline;
use super::llm;
use super::pace::Pace;
use super::plan::Plan;
use super::run::{Event, Share};
use super::schedule::Arrivals;
use super::tally::{Answered, Failure, Progress, Tally};
use crate::driver::{self, Driver};
use crate::rng::Rng;
use crate::sys;

/// Connects that are under way at once, so that the server's backlog does not overflow.
const CONNECTS_AT_ONCE: usize = 128;
/// Pause of a connection after a failed connect in a closed loop.
const CONNECT_PAUSE: Duration = Duration::from_millis(10);

/// What a thread brings back.
pub(crate) struct WorkerReport {
    pub(crate) tally: Tally,
    /// CPU time since the first measured answer.
    pub(crate) cpu: Duration,
}

/// What all threads of a round share.
pub(crate) struct Round {
    pub(crate) plan: Arc<Plan>,
    pub(crate) driver: Driver,
    /// Everyone waits here when connected.
    pub(crate) gate: Barrier,
    /// When the round starts; set before the gate opens.
    pub(crate) start: OnceLock<Instant>,
    pub(crate) log: bool,
}

/// State that the tasks of one thread share.
struct Shared {
    plan: Arc<Plan>,
    pace: Pace,
    tally: RefCell<Tally>,
    rng: RefCell<Rng>,
    running: Cell<usize>,
    all_done: RefCell<Option<Waker>>,
}

/// Runs one thread's share of a round.
///
/// # Errors
/// A sentence if the thread cannot be pinned or its runtime cannot be built.
pub(crate) fn run(
    round: &Round,
    share: &Share,
    progress: Arc<Progress>,
    events: &mpsc::Sender<Event>,
) -> Result<WorkerReport, String> {
    if let Some(core) = share.core {
        sys::pin_thread(core).map_err(|error| error.to_string())?;
    }
    driver::block_on(round.driver, drive(round, share, progress, events))
        .map_err(|error| format!("cannot build a runtime on {}: {error}", round.driver))?
}

async fn drive(
    round: &Round,
    share: &Share,
    progress: Arc<Progress>,
    events: &mpsc::Sender<Event>,
) -> Result<WorkerReport, String> {
    let plan = &round.plan;
    let early =
        if plan.per_connection.is_some() { Vec::new() } else { connect_all(plan, share.connections).await };
    // The run has been given up if nobody listens; then the gate will not open either, and the process ends.
    let _ = events.send(Event::Ready);
    round.gate.wait();
    let start = round.start.get().copied().ok_or("the round has no start")?;
    let measure_from = start + plan.warmup;
    let end = plan.duration.map(|duration| measure_from + duration);
    let pace = match plan.open {
        None => Pace::closed(share.budget, end),
        Some(open) => {
            let poisson = open.poisson.then(|| Rng::new(share.seed ^ 0x5EED));
            let until = end.map(|end| end - start);
            let arrivals = Arrivals::new(open.rate, open.ramp, (share.index, plan.threads), poisson, until);
            Pace::open(share.budget, start, arrivals)
                .map_err(|error| format!("cannot make a timer: {error}"))?
        }
    };
    let log = round.log.then(|| events.clone());
    let mut tally = Tally::new(pace.is_open(), measure_from, end, progress, log);
    tally.llm = plan.llm.then(llm::Tally::new);
    let shared = Rc::new(Shared {
        plan: plan.clone(),
        tally: RefCell::new(tally),
        pace,
        rng: RefCell::new(Rng::new(share.seed)),
        running: Cell::new(share.connections),
        all_done: RefCell::new(None),
    });
    shared.tally.borrow_mut().connects += early.iter().flatten().count() as u64;
    monoio::time::sleep_until(start.into()).await;
    let mut early = early.into_iter();
    for _ in 0..share.connections {
        monoio::spawn(serve_connection(shared.clone(), early.next().flatten()));
    }
    let stop = end.map(|end| if shared.pace.is_open() { end + plan.drain } else { end });
    match stop {
        None => shared.wait_all_done().await,
        Some(stop) => {
            // Requests that are under way at the stop are given up with their connections.
            let _ = monoio::time::timeout_at(stop.into(), shared.wait_all_done()).await;
        }
    }
    let now = Instant::now();
    let mut tally = shared.tally.borrow_mut();
    let due_by = end.map_or(now, |end| end.min(now));
    while let Some(planned) = shared.pace.take_unstarted(due_by) {
        tally.unstarted(planned, now);
    }
    let cpu = tally.finish();
    let blank = Tally::new(false, now, None, Arc::default(), None);
    Ok(WorkerReport { cpu, tally: std::mem::replace(&mut tally, blank) })
}

/// Opens connections in batches; one that fails is left to its task to open and to count.
async fn connect_all(plan: &Arc<Plan>, connections: usize) -> Vec<Option<Connection>> {
    let mut opened = Vec::with_capacity(connections);
    while opened.len() < connections {
        let batch: Vec<_> = (opened.len()..connections)
            .take(CONNECTS_AT_ONCE)
            .map(|_| {
                let plan = plan.clone();
                monoio::spawn(
                    async move { connect(plan.address, &mut Deadline::new(plan.timeout)).await.ok() },
                )
            })
            .collect();
        for task in batch {
            opened.push(task.await);
        }
    }
    opened
}

async fn serve_connection(shared: Rc<Shared>, mut open: Option<Connection>) {
    let mut deadline = Deadline::new(shared.plan.timeout);
    while let Some(planned) = shared.pace.next().await {
        if let Err(failure) = one_request(&shared, &mut open, &mut deadline, planned).await {
            open = None;
            shared.tally.borrow_mut().failure(planned, failure);
            if failure == Failure::Connect && !shared.pace.is_open() {
                monoio::time::sleep(CONNECT_PAUSE).await;
            }
        }
    }
    shared.running.set(shared.running.get() - 1);
    if shared.running.get() == 0
        && let Some(waker) = shared.all_done.borrow_mut().take()
    {
        waker.wake();
    }
}

async fn one_request(
    shared: &Shared,
    open: &mut Option<Connection>,
    deadline: &mut Deadline,
    planned: Instant,
) -> Result<(), Failure> {
    let plan = &shared.plan;
    let mut sent = planned;
    let fresh = match open.take() {
        Some(connection) => connection,
        None => {
            let connection = connect(plan.address, deadline).await?;
            shared.tally.borrow_mut().connected();
            connection
        }
    };
    let reused = fresh.sent > 0;
    if shared.pace.is_open() || !reused {
        sent = Instant::now();
    }
    let connection = open.insert(fresh);
    let (request, key_field) = {
        let mut rng = shared.rng.borrow_mut();
        // Every style has the same number of keys.
        let key = match plan.key_fields.first().map_or(0, Vec::len) {
            0 => None,
            count => Some(rng.below(count)),
        };
        let request = plan.mix.draw(&mut rng);
        (request, key.map(|key| &plan.key_fields[request.key_style][key][..]))
    };
    let last = plan.per_connection == Some(connection.sent + 1);
    let exchange = connection.exchange(request, key_field, last, sent, deadline).await?;
    let answered = Answered {
        planned,
        sent,
        done: Instant::now(),
        status: exchange.status,
        interim: exchange.interim,
        body_bytes: exchange.body_bytes,
        sent_bytes: exchange.sent_bytes,
    };
    {
        let mut tally = shared.tally.borrow_mut();
        if tally.answer(&answered)
            && let (Some(of_models), Some(facts)) = (&mut tally.llm, exchange.facts)
        {
            of_models.take(planned, &facts, connection.answers.gaps());
        }
    }
    if exchange.close {
        if last && exchange.server_closes {
            connection.await_close(deadline).await;
        }
        *open = None;
    }
    Ok(())
}

impl Shared {
    async fn wait_all_done(&self) {
        poll_fn(|context| {
            if self.running.get() == 0 {
                return Poll::Ready(());
            }
            *self.all_done.borrow_mut() = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

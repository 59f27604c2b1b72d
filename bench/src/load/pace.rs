//! Hands each connection its next start: at once in a closed loop, at the planned time in an open one.
//!
//! The runtime's timers count in milliseconds, which would add up to one to every latency of an open loop, so
//! planned starts wait on a timerfd (nanoseconds): one a thread, armed for the earliest start that a connection
//! waits for.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use monoio::net::UnixStream;
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};

use super::schedule::Arrivals;

/// Source of starts of one thread's connections.
pub(crate) struct Pace {
    /// Requests that may still start; `u64::MAX` if they are not counted.
    budget: Cell<u64>,
    kind: Kind,
}

enum Kind {
    Closed { end: Option<Instant> },
    Open(Rc<OpenPace>),
}

struct OpenPace {
    start: Instant,
    arrivals: RefCell<Arrivals>,
    /// Connections that wait, earliest start first: starts are handed out in order, so this is a queue.
    waiting: RefCell<VecDeque<(Instant, Waker)>>,
    /// The pacer, while nobody waits.
    idle_pacer: RefCell<Option<Waker>>,
}

impl Pace {
    /// Starts at once until `end`, at most `budget` times.
    pub(crate) fn closed(budget: Option<u64>, end: Option<Instant>) -> Self {
        Self { budget: Cell::new(budget.unwrap_or(u64::MAX)), kind: Kind::Closed { end } }
    }

    /// Starts when `arrivals` say, counted from `start`. Spawns the pacer on this thread's runtime.
    ///
    /// # Errors
    /// If the system has no timerfd left.
    pub(crate) fn open(budget: Option<u64>, start: Instant, arrivals: Arrivals) -> io::Result<Self> {
        let descriptor = rustix::time::timerfd_create(
            TimerfdClockId::Monotonic,
            TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK,
        )?;
        let open = Rc::new(OpenPace {
            start,
            arrivals: RefCell::new(arrivals),
            waiting: RefCell::new(VecDeque::new()),
            idle_pacer: RefCell::new(None),
        });
        let timer = Timer::new(descriptor)?;
        let paced = open.clone();
        monoio::spawn(async move {
            // An error of the timer ends the pacing, and the run reports its planned requests as unstarted.
            let _ = paced.run(&timer).await;
        });
        Ok(Self { budget: Cell::new(budget.unwrap_or(u64::MAX)), kind: Kind::Open(open) })
    }

    /// Whether starts are planned.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.kind, Kind::Open(_))
    }

    /// Waits for the next start and returns the time for which it was planned; `None` when the run is over.
    pub(crate) async fn next(&self) -> Option<Instant> {
        match &self.kind {
            Kind::Closed { end } => {
                let now = Instant::now();
                if end.is_some_and(|end| now >= end) || !self.take_budget() {
                    return None;
                }
                Some(now)
            }
            Kind::Open(open) => {
                let planned = self.take_planned(open)?;
                open.wait_until(planned).await;
                Some(planned)
            }
        }
    }

    /// Takes the next start that was due by `now` and that no connection was free for.
    pub(crate) fn take_unstarted(&self, now: Instant) -> Option<Instant> {
        let Kind::Open(open) = &self.kind else { return None };
        self.take_planned(open).filter(|planned| *planned <= now)
    }

    fn take_planned(&self, open: &OpenPace) -> Option<Instant> {
        if !self.take_budget() {
            return None;
        }
        open.arrivals.borrow_mut().next().map(|after| open.start + after)
    }

    fn take_budget(&self) -> bool {
        let left = self.budget.get();
        if left == 0 {
            return false;
        }
        if left != u64::MAX {
            self.budget.set(left - 1);
        }
        true
    }
}

impl OpenPace {
    async fn wait_until(&self, planned: Instant) {
        if planned <= Instant::now() {
            return;
        }
        let mut queued = false;
        poll_fn(|context| {
            if queued {
                // Woken by the pacer and by nobody else.
                return Poll::Ready(());
            }
            queued = true;
            self.waiting.borrow_mut().push_back((planned, context.waker().clone()));
            if let Some(pacer) = self.idle_pacer.borrow_mut().take() {
                pacer.wake();
            }
            Poll::Pending
        })
        .await;
    }

    async fn run(&self, timer: &Timer) -> io::Result<()> {
        loop {
            let Some(earliest) = self.earliest() else {
                poll_fn(|context| {
                    if self.earliest().is_some() {
                        return Poll::Ready(());
                    }
                    *self.idle_pacer.borrow_mut() = Some(context.waker().clone());
                    Poll::Pending
                })
                .await;
                continue;
            };
            let now = Instant::now();
            if earliest > now {
                timer.wait(earliest - now).await?;
                continue;
            }
            let due = self.waiting.borrow_mut().pop_front();
            if let Some((_, waker)) = due {
                waker.wake();
            }
        }
    }

    fn earliest(&self) -> Option<Instant> {
        self.waiting.borrow().front().map(|(planned, _)| *planned)
    }
}

/// A timerfd that the runtime can wait for. monoio waits for readiness of sockets only, and its stream type is
/// nothing but an owned descriptor with that wait, so the timer lives in one; nothing is read from it, as arming
/// it again clears it.
struct Timer {
    descriptor: OwnedFd,
    readiness: UnixStream,
}

impl Timer {
    fn new(descriptor: OwnedFd) -> io::Result<Self> {
        let twin = std::os::unix::net::UnixStream::from(descriptor.try_clone()?);
        Ok(Self { descriptor, readiness: UnixStream::from_std(twin)? })
    }

    async fn wait(&self, after: Duration) -> io::Result<()> {
        let after = after.max(Duration::from_nanos(1)); // zero would disarm it
        let value = Timespec {
            tv_sec: i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(after.subsec_nanos()),
        };
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
        rustix::time::timerfd_settime(&self.descriptor, TimerfdTimerFlags::empty(), &once)?;
        self.readiness.readable(false).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::{DriverChoice, block_on, pick};
    use crate::units::Rate;

    #[test]
    fn open_starts_are_all_made_and_never_early() {
        for choice in [DriverChoice::Auto, DriverChoice::Epoll] {
            let starts = block_on(pick(choice).unwrap(), async {
                let start = Instant::now();
                let rate = Rate { from: 2000.0, to: 2000.0 };
                let arrivals =
                    Arrivals::new(rate, Duration::ZERO, (0, 1), None, Some(Duration::from_millis(100)));
                let pace = Rc::new(Pace::open(None, start, arrivals).unwrap());
                let starts = Rc::new(RefCell::new(Vec::new()));
                let tasks: Vec<_> = (0..4)
                    .map(|_| {
                        let (pace, starts) = (pace.clone(), starts.clone());
                        monoio::spawn(async move {
                            while let Some(planned) = pace.next().await {
                                assert!(Instant::now() >= planned);
                                starts.borrow_mut().push(planned);
                            }
                        })
                    })
                    .collect();
                for task in tasks {
                    task.await;
                }
                starts.take()
            })
            .unwrap();
            // A connection that is free may overtake one that is being woken, so only the set is fixed.
            let mut starts = starts;
            starts.sort();
            assert_eq!(starts.len(), 200);
            assert!(starts.windows(2).all(|pair| pair[1] - pair[0] == Duration::from_micros(500)));
        }
    }

    #[test]
    fn budgets_bound_both_kinds() {
        let counts = block_on(pick(DriverChoice::Epoll).unwrap(), async {
            let closed = Pace::closed(Some(3), None);
            let rate = Rate { from: 1e6, to: 1e6 };
            let arrivals = Arrivals::new(rate, Duration::ZERO, (0, 1), None, None);
            let open = Pace::open(Some(5), Instant::now(), arrivals).unwrap();
            let mut counts = [0, 0];
            for (pace, count) in [(&closed, 0), (&open, 1)] {
                while pace.next().await.is_some() {
                    counts[count] += 1;
                }
            }
            counts
        });
        assert_eq!(counts.unwrap(), [3, 5]);
    }
}

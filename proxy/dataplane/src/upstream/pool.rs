//! One worker's connections to one target: the idle ones, kept with a read posted (it becomes the read of the
//! next answer and tells of an end or of stray bytes in between), and the requests that wait for one.
//!
//! The read is posted at the end of the turn in which a connection came back, by [`Keeper`]. One that is taken again in
//! the same turn goes without: io_uring could have read nothing between the two, and a read that is posted only after the
//! request was sent often finds the answer, which costs the kernel less than to wait for it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::buf::{Buf, BufPool, HEADROOM};
use crate::stream::Stream;
use crate::upstream::Target;
use crate::upstream::node::OpenPlace;

/// Requests of one worker that may wait for a connection to one target.
pub const WAITERS_MAX: usize = 1024;

/// Idle connections of one pool that may wait with a large buffer, because their last answer was large.
pub const LARGE_IDLE_MAX: u32 = 16;

/// A connection to a target, with no request on it or with exactly one.
pub struct Connection {
    /// The socket. While pooled, a read is posted by the end of the turn.
    pub stream: Stream,
    /// Requests that it has carried.
    pub requests: u64,
    /// Its last answer did not fit a small buffer; the next may not either.
    pub answers_large: bool,
    holds_large: bool,
    /// When it became idle, monotonic.
    idle_since_ns: u64,
    _place: OpenPlace,
}

impl Connection {
    /// A new connection that holds a place under the target's cap.
    pub fn new(stream: Stream, place: OpenPlace) -> Self {
        Self {
            stream,
            requests: 0,
            answers_large: false,
            holds_large: false,
            idle_since_ns: 0,
            _place: place,
        }
    }

    /// A buffer for the read of an answer.
    pub fn answer_buf(large: bool, bufs: &BufPool) -> Buf {
        let mut buf = if large { bufs.large() } else { bufs.small() };
        buf.reserve_front(HEADROOM);
        buf
    }

    /// Whether nothing has come from the peer since its last answer. One poll of the posted read, no syscall
    /// under io_uring.
    pub fn is_quiet(&mut self) -> bool {
        if !self.stream.reader.is_posted() {
            return !self.stream.reader.has_more(); // it came back in this very turn
        }
        let mut cx = Context::from_waker(Waker::noop());
        matches!(self.stream.reader.poll_read(&mut cx), Poll::Pending)
    }
}

/// A request that waits for a connection.
#[derive(Default)]
pub struct Waiter {
    waker: RefCell<Option<Waker>>,
    given: RefCell<Option<Connection>>,
    woken: Cell<bool>,
}

impl Waiter {
    /// Ready when a connection was handed over, or when one was closed and a new one may be tried (`None`).
    pub fn poll(&self, cx: &mut Context<'_>) -> Poll<Option<Connection>> {
        if let Some(connection) = self.given.borrow_mut().take() {
            return Poll::Ready(Some(connection));
        }
        if self.woken.replace(false) {
            return Poll::Ready(None);
        }
        *self.waker.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }

    fn wake(&self) {
        self.woken.set(true);
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }
}

/// Sees to it that connections which came back and were not taken again are watched by the end of the turn.
#[derive(Default)]
pub struct Keeper {
    targets: RefCell<Vec<Rc<Target>>>,
    waker: RefCell<Option<Waker>>,
}

impl Keeper {
    /// Gives a clean connection back to its target's pool.
    pub fn put(&self, target: &Rc<Target>, connection: Connection, now_ns: u64) {
        if target.pool.put(connection, now_ns) {
            self.targets.borrow_mut().push(target.clone());
            if let Some(waker) = self.waker.borrow_mut().take() {
                waker.wake(); // it is polled behind all whom the same turn has woken
            }
        }
    }

    /// Posts the reads, for as long as the worker lives; one task a worker.
    pub async fn run(&self, bufs: &BufPool) {
        poll_fn(|cx| {
            for target in self.targets.borrow_mut().drain(..) {
                target.pool.watch(bufs);
            }
            *self.waker.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }
}

/// The pool.
#[derive(Default)]
pub struct Pool {
    idle: RefCell<Vec<Connection>>,
    waiters: RefCell<VecDeque<Rc<Waiter>>>,
    large_idle: Cell<u32>,
    /// Some idle connection is not watched yet.
    unwatched: Cell<bool>,
}

impl Pool {
    /// The connection used last that is still alive.
    pub fn take(&self) -> Option<Connection> {
        loop {
            let mut connection = self.idle.borrow_mut().pop()?;
            self.leaves_idle(&mut connection);
            if connection.is_quiet() {
                return Some(connection);
            }
        }
    }

    /// Gives a clean connection back: to the one who waits longest, else to the idle ones; then `true` if it is the
    /// first of these that [`Pool::watch`] is to be called for.
    fn put(&self, mut connection: Connection, now_ns: u64) -> bool {
        connection.stream.read_timer.disarm();
        connection.idle_since_ns = now_ns;
        while let Some(waiter) = self.waiters.borrow_mut().pop_front() {
            if Rc::strong_count(&waiter) == 1 {
                continue; // whoever waited has gone
            }
            *waiter.given.borrow_mut() = Some(connection);
            waiter.wake();
            return false;
        }
        self.idle.borrow_mut().push(connection);
        !self.unwatched.replace(true)
    }

    /// Posts the reads of idle connections that have none.
    fn watch(&self, bufs: &BufPool) {
        self.unwatched.set(false);
        let mut idle = self.idle.borrow_mut();
        // Whoever came last lies last, and whoever lies before a watched one is watched.
        let mut at = idle.len();
        while at > 0 && !idle[at - 1].stream.reader.is_posted() {
            at -= 1;
            let connection = &mut idle[at];
            let large = connection.answers_large && self.large_idle.get() < LARGE_IDLE_MAX;
            if large {
                self.large_idle.set(self.large_idle.get() + 1);
            }
            connection.holds_large = large;
            connection.stream.reader.post(Connection::answer_buf(large, bufs));
            if !connection.is_quiet() {
                self.leaves_idle(connection);
                idle.remove(at);
            }
        }
    }

    fn leaves_idle(&self, connection: &mut Connection) {
        if std::mem::take(&mut connection.holds_large) {
            self.large_idle.set(self.large_idle.get() - 1);
        }
    }

    /// A connection was closed: whoever waits longest may try to open one. It keeps its place in the queue until it
    /// leaves, as the place may be gone before its turn comes.
    pub fn closed(&self) {
        let mut waiters = self.waiters.borrow_mut();
        while waiters.front().is_some_and(|waiter| Rc::strong_count(waiter) == 1) {
            waiters.pop_front();
        }
        if let Some(waiter) = waiters.front() {
            waiter.wake();
        }
    }

    /// Whether anyone waits; who comes later must not overtake.
    pub fn is_waited_for(&self) -> bool {
        self.waiters.borrow().iter().any(|waiter| Rc::strong_count(waiter) > 1)
    }

    /// Whether nobody has waited longer than this one.
    pub fn is_first(&self, waiter: &Rc<Waiter>) -> bool {
        let waiters = self.waiters.borrow();
        waiters.iter().find(|w| Rc::strong_count(w) > 1).is_some_and(|first| Rc::ptr_eq(first, waiter))
    }

    /// Takes the first place again, after what was handed over proved dead.
    pub fn rejoin(&self, waiter: &Rc<Waiter>) {
        self.waiters.borrow_mut().push_front(waiter.clone());
        waiter.woken.set(false);
    }

    /// Leaves the queue, so that no connection is handed to one who no longer looks.
    pub fn leave(&self, waiter: &Rc<Waiter>) {
        self.waiters.borrow_mut().retain(|other| !Rc::ptr_eq(other, waiter));
    }

    /// Closes up to `n` idle connections, those unused for longest first.
    pub fn shed(&self, n: usize) {
        let mut idle = self.idle.borrow_mut();
        let n = n.min(idle.len());
        let mut shed: Vec<Connection> = idle.drain(..n).collect();
        drop(idle);
        shed.iter_mut().for_each(|connection| self.leaves_idle(connection));
    }

    /// Joins the queue for a connection, unless it is full.
    pub fn wait(&self) -> Option<Rc<Waiter>> {
        let mut waiters = self.waiters.borrow_mut();
        waiters.retain(|waiter| Rc::strong_count(waiter) > 1);
        if waiters.len() >= WAITERS_MAX {
            return None;
        }
        let waiter = Rc::new(Waiter::default());
        waiters.push_back(waiter.clone());
        Some(waiter)
    }

    /// Closes the idle connections that are dead or were idle since before `before_ns`.
    pub fn sweep(&self, before_ns: u64) {
        let mut kept = std::mem::take(&mut *self.idle.borrow_mut());
        kept.retain_mut(|connection| {
            let stays = connection.idle_since_ns >= before_ns && connection.is_quiet();
            if !stays {
                self.leaves_idle(connection);
            }
            stays
        });
        let mut idle = self.idle.borrow_mut();
        kept.append(&mut idle);
        *idle = kept;
    }

    /// Connections that lie idle.
    pub fn idle_len(&self) -> usize {
        self.idle.borrow().len()
    }
}

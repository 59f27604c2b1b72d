//! Deadlines of sockets, at no cost to a request that keeps them.
//!
//! A task never drops a read or write to give up on it (under io_uring that loses bytes). When a deadline
//! passes, the wheel shuts the *socket* down, one side or both; the operation then ends by itself and the task
//! reads [`Timer::fired`]. Where nothing is to be ended ([`Action::Wake`]) it only wakes the task. Moving a deadline later only stores a number: the wheel looks at it when the entry's
//! slot comes up and puts the entry where it belongs by then.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::os::fd::RawFd;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use crate::sys::{self, Side};

/// Milliseconds of a slot: how late a deadline may fire.
pub const SLOT_MS: u64 = 8;
const SLOTS: usize = 1024;
const NEVER: u64 = u64::MAX;

/// What a deadline does when it passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Shut this side of the socket down.
    Shutdown(Side),
    /// Wake the task that [`Timer::wakes`] named.
    Wake,
}

#[derive(Debug)]
struct Entry {
    /// When to fire, in ms of the wheel; [`NEVER`] when disarmed.
    deadline_ms: u64,
    /// The slot tick under which the wheel holds the entry; [`NEVER`] when it holds it nowhere.
    scheduled: u64,
    fd: RawFd,
    action: Action,
    waker: Option<Waker>,
    fired: bool,
    generation: u32,
}

#[derive(Debug)]
struct Inner {
    entries: Vec<Entry>,
    free: Vec<u32>,
    slots: Vec<Vec<(u32, u32)>>,
    /// The last tick whose slot has been looked at.
    done: u64,
    held: usize,
}

/// One worker's deadlines.
#[derive(Debug)]
pub struct Wheel {
    inner: RefCell<Inner>,
    start_ns: u64,
    sleeping_until: Cell<u64>,
    sleeper: RefCell<Option<Waker>>,
}

impl Wheel {
    /// An empty wheel whose time begins at `now_ns`.
    pub fn new(now_ns: u64) -> Rc<Self> {
        let slots = (0..SLOTS).map(|_| Vec::new()).collect();
        Rc::new(Self {
            inner: RefCell::new(Inner { entries: Vec::new(), free: Vec::new(), slots, done: 0, held: 0 }),
            start_ns: now_ns,
            sleeping_until: Cell::new(NEVER),
            sleeper: RefCell::new(None),
        })
    }

    /// A timer for the socket `fd`. It must be dropped before the socket is closed.
    pub fn timer(self: &Rc<Self>, fd: RawFd) -> Timer {
        let mut inner = self.inner.borrow_mut();
        let mut entry = Entry {
            deadline_ms: NEVER,
            scheduled: NEVER,
            fd,
            action: Action::Wake,
            waker: None,
            fired: false,
            generation: 0,
        };
        let index = match inner.free.pop() {
            Some(index) => {
                let place = &mut inner.entries[index as usize];
                entry.generation = place.generation;
                *place = entry;
                index
            }
            None => {
                inner.entries.push(entry);
                (inner.entries.len() - 1) as u32
            }
        };
        Timer { wheel: self.clone(), index }
    }

    fn ms(&self, at_ns: u64) -> u64 {
        at_ns.saturating_sub(self.start_ns).div_ceil(1_000_000)
    }

    /// Fires what is due at `now_ns` and returns the tick of the next slot that holds anything.
    fn turn(&self, now_ns: u64) -> u64 {
        let now_ms = self.ms(now_ns);
        let now_tick = now_ms / SLOT_MS;
        let mut inner = self.inner.borrow_mut();
        let inner = &mut *inner;
        let first = inner.done + 1;
        let last = now_tick.min(inner.done + SLOTS as u64);
        let mut moved: Vec<(u32, u32)> = Vec::new();
        for tick in first..=last {
            let slot = &mut inner.slots[tick as usize % SLOTS];
            inner.held -= slot.len();
            moved.append(slot);
        }
        inner.done = inner.done.max(now_tick);
        for (index, generation) in moved {
            let entry = &mut inner.entries[index as usize];
            if entry.generation != generation || entry.scheduled > now_tick {
                continue; // the timer is gone, or it was put under an earlier slot that came up already
            }
            entry.scheduled = NEVER;
            if entry.deadline_ms <= now_ms {
                entry.deadline_ms = NEVER;
                entry.fired = true;
                match entry.action {
                    Action::Shutdown(side) => sys::shutdown(entry.fd, side),
                    Action::Wake => {
                        if let Some(waker) = &entry.waker {
                            waker.wake_by_ref();
                        }
                    }
                }
            } else if entry.deadline_ms != NEVER {
                Self::put(inner, index);
            }
        }
        if inner.held == 0 {
            return NEVER;
        }
        (1..=SLOTS as u64)
            .map(|d| inner.done + d)
            .find(|t| !inner.slots[*t as usize % SLOTS].is_empty())
            .unwrap_or(NEVER)
    }

    /// Puts an entry under the slot of its deadline, or the farthest one if it lies beyond a turn.
    fn put(inner: &mut Inner, index: u32) -> u64 {
        let (done, entry) = (inner.done, &mut inner.entries[index as usize]);
        let tick = entry.deadline_ms.div_ceil(SLOT_MS).clamp(done + 1, done + SLOTS as u64 - 1);
        entry.scheduled = tick;
        let key = (index, entry.generation);
        inner.slots[tick as usize % SLOTS].push(key);
        inner.held += 1;
        tick
    }

    /// Wakes every task that named itself by [`Timer::wakes`].
    pub fn wake_all(&self) {
        self.inner
            .borrow()
            .entries
            .iter()
            .filter_map(|entry| entry.waker.as_ref())
            .for_each(Waker::wake_by_ref);
    }

    /// Turns the wheel for as long as the worker lives; one task a worker.
    pub async fn run(self: Rc<Self>) {
        loop {
            let next = self.turn(sys::monotonic_ns());
            self.sleeping_until.set(next);
            let wait = match next {
                NEVER => Duration::from_secs(3600),
                tick => {
                    let at_ns = self.start_ns + tick * SLOT_MS * 1_000_000;
                    Duration::from_nanos(at_ns.saturating_sub(sys::monotonic_ns()))
                }
            };
            let mut sleep = pin!(monoio::time::sleep(wait));
            poll_fn(|cx| {
                if self.sleeping_until.get() < next {
                    return Poll::Ready(());
                }
                *self.sleeper.borrow_mut() = Some(cx.waker().clone());
                sleep.as_mut().poll(cx)
            })
            .await;
        }
    }
}

/// The deadline of one socket.
#[derive(Debug)]
pub struct Timer {
    wheel: Rc<Wheel>,
    index: u32,
}

impl Timer {
    /// Sets the deadline to `at_ns` (monotonic clock) and what happens when it passes. A store, unless the
    /// deadline is earlier than any that the wheel knows of this socket.
    pub fn arm(&self, at_ns: u64, action: Action) {
        let deadline_ms = self.wheel.ms(at_ns);
        let mut inner = self.wheel.inner.borrow_mut();
        let entry = &mut inner.entries[self.index as usize];
        entry.deadline_ms = deadline_ms;
        entry.action = action;
        entry.fired = false;
        if entry.scheduled <= deadline_ms.div_ceil(SLOT_MS) {
            return;
        }
        let tick = Wheel::put(&mut inner, self.index);
        drop(inner);
        if tick < self.wheel.sleeping_until.get() {
            self.wheel.sleeping_until.set(tick);
            if let Some(waker) = self.wheel.sleeper.borrow_mut().take() {
                waker.wake();
            }
        }
    }

    /// Takes the deadline back.
    pub fn disarm(&self) {
        self.wheel.inner.borrow_mut().entries[self.index as usize].deadline_ms = NEVER;
    }

    /// Names the task that [`Action::Wake`] wakes.
    pub fn wakes(&self, waker: Waker) {
        self.wheel.inner.borrow_mut().entries[self.index as usize].waker = Some(waker);
    }

    /// Whether the last deadline that was set has passed.
    pub fn fired(&self) -> bool {
        self.wheel.inner.borrow().entries[self.index as usize].fired
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        let mut inner = self.wheel.inner.borrow_mut();
        let entry = &mut inner.entries[self.index as usize];
        entry.deadline_ms = NEVER;
        entry.waker = None;
        entry.generation = entry.generation.wrapping_add(1);
        inner.free.push(self.index);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    const MS: u64 = 1_000_000;

    fn closed(peer: &mut UnixStream) -> bool {
        peer.set_nonblocking(true).unwrap();
        matches!(peer.read(&mut [0; 1]), Ok(0))
    }

    #[test]
    fn fires_once_its_time_has_come_and_not_before() {
        let wheel = Wheel::new(0);
        let (a, mut b) = UnixStream::pair().unwrap();
        let timer = wheel.timer(a.as_raw_fd());
        timer.arm(100 * MS, Action::Shutdown(Side::Both));
        wheel.turn(99 * MS);
        assert!(!timer.fired() && !closed(&mut b));
        wheel.turn((100 + SLOT_MS) * MS);
        assert!(timer.fired() && closed(&mut b));
    }

    #[test]
    fn later_earlier_disarmed_and_far_deadlines() {
        let wheel = Wheel::new(0);
        let (a, _b) = UnixStream::pair().unwrap();
        for (steps, fires_at_ms) in [
            (vec![Some(50), Some(500)], Some(500)),
            (vec![Some(500), Some(50)], Some(50)),
            (vec![Some(500), None], None),
            (vec![Some(100_000)], Some(100_000)),
            (vec![Some(100_000), Some(70), Some(20_000)], Some(20_000)),
        ] {
            let base = wheel.inner.borrow().done * SLOT_MS;
            let timer = wheel.timer(a.as_raw_fd());
            for step in &steps {
                match step {
                    Some(ms) => timer.arm((base + ms) * MS, Action::Shutdown(Side::Both)),
                    None => timer.disarm(),
                }
            }
            let mut fired_at = None;
            for ms in (0..120_000).step_by(4) {
                wheel.turn((base + ms) * MS);
                if timer.fired() && fired_at.is_none() {
                    fired_at = Some(ms);
                }
            }
            match (fires_at_ms, fired_at) {
                (None, None) => {}
                (Some(want), Some(got)) => {
                    assert!(got >= want && got <= want + 2 * SLOT_MS, "{steps:?}: {got}")
                }
                other => panic!("{steps:?}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_dropped_timer_never_touches_the_next_owner_of_its_place() {
        let wheel = Wheel::new(0);
        let (a, mut b) = UnixStream::pair().unwrap();
        let first = wheel.timer(a.as_raw_fd());
        first.arm(50 * MS, Action::Shutdown(Side::Both));
        drop(first);
        let second = wheel.timer(a.as_raw_fd());
        wheel.turn(1000 * MS);
        assert!(!second.fired() && !closed(&mut b));
    }
}

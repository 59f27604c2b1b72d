//! Deadlines of sockets, at no cost to a request that keeps them.
//!
//! A task never drops a read or write to give up on it (under io_uring that loses bytes). When a deadline
//! passes, the wheel shuts the *socket* down, one side or both; the operation then ends by itself and the task
//! reads [`Timer::fired`]. Where nothing is to be ended ([`Action::Wake`]) it only wakes the task. Moving a deadline
//! later only stores a number: the wheel looks at it when the entry's slot comes up and puts the entry where it
//! belongs by then. The lists of the slots run through the entries, so nothing is allocated after a timer was made.

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
/// No entry.
const NIL: u32 = u32::MAX;

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
    /// Its neighbours in the list of its slot.
    previous: u32,
    next: u32,
}

#[derive(Debug)]
struct Inner {
    entries: Vec<Entry>,
    free: Vec<u32>,
    /// The first entry of each slot's list.
    slots: Box<[u32; SLOTS]>,
    /// The last tick whose slot has been looked at.
    done: u64,
}

impl Inner {
    /// Puts an entry that is in no list under the slot of its deadline, or the farthest one if it lies beyond a turn.
    fn link(&mut self, index: u32) -> u64 {
        let (done, entry) = (self.done, &mut self.entries[index as usize]);
        let tick = entry.deadline_ms.div_ceil(SLOT_MS).clamp(done + 1, done + SLOTS as u64 - 1);
        let first = &mut self.slots[tick as usize % SLOTS];
        (entry.scheduled, entry.previous, entry.next) = (tick, NIL, *first);
        let second = std::mem::replace(first, index);
        if second != NIL {
            self.entries[second as usize].previous = index;
        }
        tick
    }

    /// Takes an entry out of its list, if it is in one.
    fn unlink(&mut self, index: u32) {
        let entry = &mut self.entries[index as usize];
        let tick = std::mem::replace(&mut entry.scheduled, NEVER);
        if tick == NEVER {
            return;
        }
        let (previous, next) = (entry.previous, entry.next);
        match previous {
            NIL => self.slots[tick as usize % SLOTS] = next,
            previous => self.entries[previous as usize].next = next,
        }
        if next != NIL {
            self.entries[next as usize].previous = previous;
        }
    }
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
        let slots = Box::new([NIL; SLOTS]);
        Rc::new(Self {
            inner: RefCell::new(Inner { entries: Vec::new(), free: Vec::new(), slots, done: 0 }),
            start_ns: now_ns,
            sleeping_until: Cell::new(NEVER),
            sleeper: RefCell::new(None),
        })
    }

    /// A timer for the socket `fd`. It must be dropped before the socket is closed.
    pub fn timer(self: &Rc<Self>, fd: RawFd) -> Timer {
        let mut inner = self.inner.borrow_mut();
        let entry = Entry {
            deadline_ms: NEVER,
            scheduled: NEVER,
            fd,
            action: Action::Wake,
            waker: None,
            fired: false,
            previous: NIL,
            next: NIL,
        };
        let index = match inner.free.pop() {
            Some(index) => {
                inner.entries[index as usize] = entry;
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
        inner.done = inner.done.max(now_tick);
        for tick in first..=last {
            // Taken whole, as an entry that is due later may go back under this very slot, for its next turn.
            let mut index = std::mem::replace(&mut inner.slots[tick as usize % SLOTS], NIL);
            while index != NIL {
                let entry = &mut inner.entries[index as usize];
                let next = entry.next;
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
                    inner.link(index);
                }
                index = next;
            }
        }
        (1..SLOTS as u64)
            .map(|ticks| inner.done + ticks)
            .find(|tick| inner.slots[*tick as usize % SLOTS] != NIL)
            .unwrap_or(NEVER)
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
        inner.unlink(self.index);
        let tick = inner.link(self.index);
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
        inner.unlink(self.index);
        inner.entries[self.index as usize].waker = None;
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

    #[test]
    fn many_timers_in_any_order_fire_in_their_slot() {
        let mut random = 1u64;
        let mut below = |n: u64| {
            random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (random >> 33) % n
        };
        let wheel = Wheel::new(0);
        let mut timers: Vec<Option<(Timer, Option<u64>)>> = (0..50).map(|_| None).collect();
        let mut now_ms = 0;
        for _ in 0..200_000 {
            let place = &mut timers[below(50) as usize];
            match (below(8), place.take()) {
                (0, _) => {} // gone
                (1, Some((timer, _))) => {
                    timer.disarm();
                    *place = Some((timer, None));
                }
                (_, held) => {
                    let timer = held.map_or_else(|| wheel.timer(-1), |(timer, _)| timer);
                    let range_ms = [20, 300, 30_000][below(3) as usize];
                    let at_ms = now_ms + 1 + below(range_ms);
                    timer.arm(at_ms * MS, Action::Wake);
                    *place = Some((timer, Some(at_ms)));
                }
            }
            if below(4) > 0 {
                continue;
            }
            now_ms += if below(1000) == 0 { 20_000 } else { below(12) };
            wheel.turn(now_ms * MS);
            for (timer, at_ms) in timers.iter_mut().flatten() {
                match *at_ms {
                    Some(due_ms) if timer.fired() => {
                        assert!(due_ms <= now_ms, "{due_ms} at {now_ms}");
                        *at_ms = None;
                    }
                    Some(due_ms) => assert!(due_ms + 2 * SLOT_MS > now_ms, "{due_ms} not yet at {now_ms}"),
                    None => {}
                }
            }
        }
    }
}

//! Which monoio driver a thread runs on: io_uring with as many of the flags that make it cheap as the kernel
//! takes, else epoll. Knows the kernel's io_uring interface and nothing of what runs on it.
//!
//! The probe builds a ring with each set of flags in turn and pushes one no-op through it, because a kernel may
//! accept `io_uring_setup` and still refuse `io_uring_enter` (seccomp filters of containers do).
#![allow(unsafe_code)] // pushing an entry to a submission queue is unsafe; see the one block below

use std::future::Future;
use std::io;

use io_uring::{IoUring, Probe, opcode};
use monoio::{IoUringDriver, LegacyDriver, RuntimeBuilder};

/// Entries of each thread's submission queue; the completion queue is twice as long.
const RING_ENTRIES: u32 = 4096;
/// Marks the probe's no-op, so that no other completion can be taken for it.
const PROBE_MARK: u64 = 7;

/// Set-up flags tried from the cheapest to none at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RingFlags {
    single_issuer: bool,
    coop_taskrun: bool,
    defer_taskrun: bool,
}

const FLAG_SETS: [RingFlags; 4] = [
    RingFlags { single_issuer: true, coop_taskrun: true, defer_taskrun: true },
    RingFlags { single_issuer: true, coop_taskrun: true, defer_taskrun: false },
    RingFlags { single_issuer: false, coop_taskrun: true, defer_taskrun: false },
    RingFlags { single_issuer: false, coop_taskrun: false, defer_taskrun: false },
];

/// What the process runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Driver {
    /// io_uring with these flags.
    Uring(RingFlags),
    /// epoll.
    Epoll,
}

/// What the user asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum DriverChoice {
    /// io_uring where the kernel allows it, else epoll.
    Auto,
    /// io_uring or an error.
    Uring,
    /// epoll.
    Epoll,
}

impl std::fmt::Display for Driver {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Epoll => out.write_str("epoll"),
            Self::Uring(flags) => {
                out.write_str("io_uring")?;
                for (set, name) in [
                    (flags.single_issuer, "+single_issuer"),
                    (flags.coop_taskrun, "+coop_taskrun"),
                    (flags.defer_taskrun, "+defer_taskrun"),
                ] {
                    if set {
                        out.write_str(name)?;
                    }
                }
                Ok(())
            }
        }
    }
}

/// Picks the driver once per process; every thread then builds its own runtime from the result.
///
/// # Errors
/// Only if io_uring was demanded and the kernel refuses it in every form.
pub(crate) fn pick(choice: DriverChoice) -> io::Result<Driver> {
    if choice == DriverChoice::Epoll {
        return Ok(Driver::Epoll);
    }
    // SINGLE_ISSUER binds a ring to its thread, so the probe has one of its own.
    let probed = std::thread::spawn(|| FLAG_SETS.into_iter().find(|flags| probe(*flags).unwrap_or(false)))
        .join()
        .unwrap_or(None);
    match (probed, choice) {
        (Some(flags), _) => Ok(Driver::Uring(flags)),
        (None, DriverChoice::Uring) => {
            Err(io::Error::other("io_uring is not allowed here (kernel, sysctl or seccomp)"))
        }
        (None, _) => Ok(Driver::Epoll),
    }
}

fn ring_builder(flags: RingFlags) -> io_uring::Builder {
    let mut builder = IoUring::builder();
    if flags.single_issuer {
        builder.setup_single_issuer();
    }
    if flags.coop_taskrun {
        builder.setup_coop_taskrun();
    }
    if flags.defer_taskrun {
        builder.setup_defer_taskrun();
    }
    builder
}

fn probe(flags: RingFlags) -> io::Result<bool> {
    let mut ring = ring_builder(flags).build(RING_ENTRIES)?;
    let mut known = Probe::new();
    ring.submitter().register_probe(&mut known)?;
    let needed = [
        opcode::Accept::CODE,
        opcode::Connect::CODE,
        opcode::Recv::CODE,
        opcode::Send::CODE,
        opcode::PollAdd::CODE,
        opcode::AsyncCancel::CODE,
        opcode::Close::CODE,
    ];
    if !needed.into_iter().all(|code| known.is_supported(code)) {
        return Ok(false);
    }
    let entry = opcode::Nop::new().build().user_data(PROBE_MARK);
    // SAFETY: a no-op carries no pointer, so nothing has to outlive the call.
    unsafe { ring.submission().push(&entry) }.map_err(io::Error::other)?;
    ring.submit_and_wait(1)?;
    Ok(ring.completion().next().is_some_and(|done| done.user_data() == PROBE_MARK))
}

/// Runs a future to its end on this thread with the driver that was picked.
///
/// # Errors
/// If the runtime cannot be built (memory lock or descriptor limits).
pub(crate) fn block_on<F>(driver: Driver, future: F) -> io::Result<F::Output>
where
    F: Future,
{
    match driver {
        Driver::Uring(flags) => {
            let mut runtime = RuntimeBuilder::<IoUringDriver>::new()
                .uring_builder(ring_builder(flags))
                .with_entries(RING_ENTRIES)
                .enable_timer()
                .build()?;
            Ok(runtime.block_on(future))
        }
        Driver::Epoll => {
            let mut runtime = RuntimeBuilder::<LegacyDriver>::new().enable_timer().build()?;
            Ok(runtime.block_on(future))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epoll_is_taken_when_asked_for() {
        assert_eq!(pick(DriverChoice::Epoll).unwrap(), Driver::Epoll);
    }

    #[test]
    fn whatever_is_picked_runs_a_future_with_a_timer() {
        for choice in [DriverChoice::Auto, DriverChoice::Epoll] {
            let driver = pick(choice).unwrap();
            let answer = block_on(driver, async {
                monoio::time::sleep(std::time::Duration::from_millis(1)).await;
                42
            });
            assert_eq!(answer.unwrap(), 42, "{driver}");
        }
    }

    #[test]
    fn names_tell_the_flags() {
        assert_eq!(Driver::Epoll.to_string(), "epoll");
        assert_eq!(
            Driver::Uring(FLAG_SETS[0]).to_string(),
            "io_uring+single_issuer+coop_taskrun+defer_taskrun"
        );
        assert_eq!(Driver::Uring(FLAG_SETS[3]).to_string(), "io_uring");
    }
}

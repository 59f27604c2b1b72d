//! Which way of I/O a worker uses: io_uring with the best flags that this kernel and its sandbox allow, else
//! epoll. The probe submits a real operation, because a sandbox may allow `io_uring_setup` and forbid
//! `io_uring_enter`, which the runtime's own detection does not see.

use std::fmt;
use std::future::Future;
use std::io;
use std::thread;

use io_uring::{IoUring, Probe, opcode};
use monoio::{IoUringDriver, LegacyDriver, RuntimeBuilder};

/// Entries of a worker's submission queue.
pub const RING_ENTRIES: u32 = 4096;

/// What the configuration asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Choice {
    /// io_uring where it works, else epoll.
    #[default]
    Auto,
    /// io_uring or no start.
    Uring,
    /// epoll.
    Epoll,
}

/// Setup flags of a ring, in the order in which they are given up (kernel 6.1, 6.0, 5.19, older).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flags {
    /// SINGLE_ISSUER, DEFER_TASKRUN and COOP_TASKRUN.
    Deferred,
    /// SINGLE_ISSUER and COOP_TASKRUN.
    SingleIssuer,
    /// COOP_TASKRUN.
    Cooperative,
    /// None.
    Plain,
}

impl Flags {
    const ALL: [Flags; 4] = [Flags::Deferred, Flags::SingleIssuer, Flags::Cooperative, Flags::Plain];

    fn builder(self) -> io_uring::Builder {
        let mut builder = IoUring::builder();
        match self {
            Flags::Deferred => {
                builder.setup_single_issuer().setup_defer_taskrun().setup_coop_taskrun();
            }
            Flags::SingleIssuer => {
                builder.setup_single_issuer().setup_coop_taskrun();
            }
            Flags::Cooperative => {
                builder.setup_coop_taskrun();
            }
            Flags::Plain => {}
        }
        builder
    }
}

impl Driver {
    /// Whether sockets from outside the runtime must be non-blocking. Under io_uring they must not be: it would
    /// give back EAGAIN instead of waiting.
    pub fn wants_nonblocking(self) -> bool {
        self == Driver::Epoll
    }
}

/// The driver that the workers run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Driver {
    /// io_uring with these flags.
    Uring(Flags),
    /// epoll.
    Epoll,
}

impl fmt::Display for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Driver::Uring(Flags::Deferred) => "io_uring (single_issuer, defer_taskrun, coop_taskrun)",
            Driver::Uring(Flags::SingleIssuer) => "io_uring (single_issuer, coop_taskrun)",
            Driver::Uring(Flags::Cooperative) => "io_uring (coop_taskrun)",
            Driver::Uring(Flags::Plain) => "io_uring",
            Driver::Epoll => "epoll",
        })
    }
}

/// Finds the driver to use; once per process, on a thread of its own (a single-issuer ring belongs to the
/// thread that made it).
///
/// # Errors
/// When io_uring was asked for and no set of flags works: why the plainest one did not.
pub fn choose(choice: Choice) -> io::Result<Driver> {
    if choice == Choice::Epoll {
        return Ok(Driver::Epoll);
    }
    let probed = thread::Builder::new().name("penstock-probe".into()).spawn(|| {
        let mut last = io::Error::from(io::ErrorKind::Unsupported);
        for flags in Flags::ALL {
            match probe(flags) {
                Ok(()) => return Ok(Driver::Uring(flags)),
                Err(e) => last = e,
            }
        }
        Err(last)
    })?;
    match probed.join().unwrap_or_else(|_| Err(io::Error::other("the io_uring probe panicked"))) {
        Ok(driver) => Ok(driver),
        Err(_) if choice == Choice::Auto => Ok(Driver::Epoll),
        Err(e) => Err(e),
    }
}

fn probe(flags: Flags) -> io::Result<()> {
    const TOKEN: u64 = 7;
    let mut ring: IoUring = flags.builder().build(RING_ENTRIES)?;
    let mut ops = Probe::new();
    ring.submitter().register_probe(&mut ops)?;
    let needed = [
        opcode::Accept::CODE,
        opcode::AsyncCancel::CODE,
        opcode::Close::CODE,
        opcode::Connect::CODE,
        opcode::PollAdd::CODE,
        opcode::Recv::CODE,
        opcode::Send::CODE,
    ];
    if !needed.iter().all(|&code| ops.is_supported(code)) {
        return Err(io::ErrorKind::Unsupported.into());
    }
    submit_nop(&mut ring, TOKEN)?;
    ring.submit_and_wait(1)?;
    match ring.completion().next() {
        Some(entry) if entry.user_data() == TOKEN => Ok(()),
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}

#[allow(unsafe_code)]
fn submit_nop(ring: &mut IoUring, token: u64) -> io::Result<()> {
    // SAFETY: a no-op refers to no memory and no descriptor.
    unsafe { ring.submission().push(&opcode::Nop::new().build().user_data(token)) }.map_err(io::Error::other)
}

/// Runs the future that `make` gives to its end on the calling thread with `driver`. If this thread's ring cannot
/// be made (memory lock or descriptor limit), it runs on epoll; `make` hears which one it became.
///
/// # Errors
/// When not even the epoll runtime can be made.
pub fn run<F: Future>(driver: Driver, make: impl FnOnce(Driver) -> F) -> io::Result<F::Output> {
    if let Driver::Uring(flags) = driver {
        let built = RuntimeBuilder::<IoUringDriver>::new()
            .uring_builder(flags.builder())
            .with_entries(RING_ENTRIES)
            .enable_timer()
            .build();
        if let Ok(mut runtime) = built {
            return Ok(runtime.block_on(make(driver)));
        }
    }
    let mut runtime =
        RuntimeBuilder::<LegacyDriver>::new().with_entries(RING_ENTRIES).enable_timer().build()?;
    Ok(runtime.block_on(make(Driver::Epoll)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epoll_can_be_asked_for() {
        assert_eq!(choose(Choice::Epoll).unwrap(), Driver::Epoll);
    }

    #[test]
    fn whatever_is_chosen_runs() {
        let driver = choose(Choice::Auto).unwrap();
        assert_eq!(run(driver, |ran_on| async move { ran_on }).unwrap(), driver);
    }
}

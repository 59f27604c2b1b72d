//! Which way of I/O a worker uses: io_uring with the best flags that this kernel and its sandbox allow, else
//! epoll. The probe submits a real operation, because a sandbox may allow `io_uring_setup` and forbid
//! `io_uring_enter`, which the runtime's own detection does not see.

use std::fmt;
use std::future::Future;
use std::io;
use std::thread;

use io_uring::{IoUring, Probe, opcode};
use monoio::{IoUringDriver, LegacyDriver, RuntimeBuilder};

use crate::cancel;

/// Entries of a worker's submission queue. It is gone through in a circle, so a small one stays in the cache; when it
/// is full, it is handed to the kernel early.
pub const RING_ENTRIES: u32 = 256;
/// Entries of its completion queue: what can end at once before the kernel has to keep a list.
pub const COMPLETIONS: u32 = 8192;

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
        builder.setup_cqsize(COMPLETIONS);
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

/// Why io_uring cannot be used: the call that failed for the plainest set of flags, and how.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// No ring can be made.
    #[error("io_uring_setup: {0}")]
    Setup(#[source] io::Error),
    /// A ring can be made, but it cannot be asked what it can do.
    #[error("io_uring_register: {0}")]
    Register(#[source] io::Error),
    /// What is handed to a ring is never done.
    #[error("io_uring_enter: {0}")]
    Enter(#[source] io::Error),
    /// The kernel lacks an operation that workers need.
    #[error("the kernel's io_uring lacks an operation that is needed")]
    Operations,
    /// The probe had no thread to run on, or panicked.
    #[error("the probe did not run: {0}")]
    Probe(#[source] io::Error),
}

/// What was chosen.
#[derive(Debug)]
pub struct Chosen {
    /// The driver to run on.
    pub driver: Driver,
    /// Why it is not io_uring, where that was tried.
    pub refused: Option<Unusable>,
}

/// Finds the driver to use; once per process, on a thread of its own (a single-issuer ring belongs to the
/// thread that made it).
///
/// # Errors
/// When io_uring was asked for and no set of flags works: why the plainest one did not.
pub fn find(choice: Choice) -> Result<Chosen, Unusable> {
    if choice == Choice::Epoll {
        return Ok(Chosen { driver: Driver::Epoll, refused: None });
    }
    let probed = thread::Builder::new().name("penstock-probe".into()).spawn(|| {
        let mut last = Unusable::Operations;
        for flags in Flags::ALL {
            match probe(flags) {
                Ok(()) => return Ok(flags),
                Err(why) => last = why,
            }
        }
        Err(last)
    });
    let flags = probed.map_err(Unusable::Probe).and_then(|thread| {
        thread.join().unwrap_or_else(|_| Err(Unusable::Probe(io::Error::other("it panicked"))))
    });
    match flags {
        Ok(flags) => Ok(Chosen { driver: Driver::Uring(flags), refused: None }),
        Err(why) if choice == Choice::Auto => Ok(Chosen { driver: Driver::Epoll, refused: Some(why) }),
        Err(why) => Err(why),
    }
}

/// [`find`], for whom the driver is enough.
///
/// # Errors
/// As [`find`].
pub fn choose(choice: Choice) -> io::Result<Driver> {
    find(choice).map(|chosen| chosen.driver).map_err(io::Error::other)
}

fn probe(flags: Flags) -> Result<(), Unusable> {
    const TOKEN: u64 = 7;
    let mut ring: IoUring = flags.builder().build(RING_ENTRIES).map_err(Unusable::Setup)?;
    let mut ops = Probe::new();
    ring.submitter().register_probe(&mut ops).map_err(Unusable::Register)?;
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
        return Err(Unusable::Operations);
    }
    submit_nop(&mut ring, TOKEN).map_err(Unusable::Enter)?;
    ring.submit_and_wait(1).map_err(Unusable::Enter)?;
    match ring.completion().next() {
        Some(entry) if entry.user_data() == TOKEN => Ok(()),
        _ => Err(Unusable::Enter(io::Error::other("nothing came of it"))),
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
    run_or(driver, |driver, _| make(driver))
}

/// [`run`]; `make` also hears why it became epoll instead of io_uring.
///
/// # Errors
/// As [`run`].
pub fn run_or<F: Future>(
    driver: Driver,
    make: impl FnOnce(Driver, Option<io::Error>) -> F,
) -> io::Result<F::Output> {
    let mut refused = None;
    if let Driver::Uring(flags) = driver {
        let built = cancel::with_ring(|| {
            RuntimeBuilder::<IoUringDriver>::new()
                .uring_builder(flags.builder())
                .with_entries(RING_ENTRIES)
                .enable_timer()
                .build()
        });
        match built {
            Ok(mut runtime) => return Ok(runtime.block_on(make(driver, None))),
            Err(error) => refused = Some(error),
        }
    }
    cancel::on_epoll();
    let mut runtime =
        RuntimeBuilder::<LegacyDriver>::new().with_entries(RING_ENTRIES).enable_timer().build()?;
    Ok(runtime.block_on(make(Driver::Epoll, refused)))
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

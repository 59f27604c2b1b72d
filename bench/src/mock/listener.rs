//! Threads that listen: one listener and one runtime each, all at the same address.

use std::future::Future;
use std::io::Write;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::mpsc;

use clap::Args;
use monoio::net::{ListenerOpts, TcpListener, TcpStream};

use crate::driver::{self, Driver, DriverChoice};
use crate::{sys, units};

/// Connections that may wait to be accepted, as far as the system's own bound allows.
const BACKLOG: i32 = 4096;
/// Pause after a failed accept: the cause (no descriptors left) does not go away at once.
const ACCEPT_PAUSE: std::time::Duration = std::time::Duration::from_millis(50);

/// Serves one connection to its end.
type Serve<S, F> = fn(TcpStream, Rc<S>) -> F;

/// Where and how a mock listens.
#[derive(Debug, Args)]
pub(crate) struct ListenArgs {
    /// Address; port 0 takes a free one, which the first line of output names
    #[arg(short, long, default_value = "127.0.0.1:9000")]
    listen: SocketAddr,
    /// Threads, each with its own SO_REUSEPORT listener
    #[arg(short, long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: u16,
    /// Pin threads to these cores in turn (0,2-3)
    #[arg(long, value_parser = units::cores)]
    cores: Option<std::vec::Vec<usize>>,
    /// I/O driver
    #[arg(long, value_enum, default_value_t = DriverChoice::Auto)]
    driver: DriverChoice,
}

/// Serves until the process is ended from outside. `make` is called once for each thread, by its number, and gives what
/// makes that thread's state on the thread itself.
///
/// # Errors
/// A sentence for the user if the threads could not be started.
pub(crate) fn run<S, M, F>(
    args: &ListenArgs,
    make: impl Fn(usize) -> M,
    serve: Serve<S, F>,
) -> Result<u8, String>
where
    S: 'static,
    M: FnOnce() -> S + Send + 'static,
    F: Future<Output = ()> + 'static,
{
    let driver = driver::pick(args.driver).map_err(|error| error.to_string())?;
    sys::raise_descriptor_limit();
    let mut address = args.listen;
    let mut threads = Vec::new();
    for index in 0..usize::from(args.threads) {
        let make = make(index);
        let core = args.cores.as_ref().map(|cores| cores[index % cores.len()]);
        let shared_port = args.threads > 1;
        let (sender, bound) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name(format!("mock-{index}"))
            .spawn(move || serve_thread(driver, core, (address, shared_port), (make, serve), &sender))
            .map_err(|error| format!("cannot start a thread: {error}"))?;
        // The first thread's port is everyone's, when a free one was asked for.
        address = bound.recv().map_err(|_| "a mock thread ended before it listened")??;
        threads.push(thread);
    }
    println!("listening on {address} ({driver})");
    std::io::stdout().flush().map_err(|error| error.to_string())?;
    for thread in threads {
        thread.join().map_err(|_| "a mock thread panicked")??;
    }
    Ok(0)
}

fn serve_thread<S, F>(
    driver: Driver,
    core: Option<usize>,
    (address, shared_port): (SocketAddr, bool),
    (make, serve): (impl FnOnce() -> S, Serve<S, F>),
    bound: &mpsc::Sender<Result<SocketAddr, String>>,
) -> Result<(), String>
where
    F: Future<Output = ()> + 'static,
{
    if let Some(core) = core
        && let Err(error) = sys::pin_thread(core)
    {
        let _ = bound.send(Err(error.to_string()));
        return Ok(());
    }
    let served = driver::block_on(driver, async {
        let options = ListenerOpts::new().backlog(BACKLOG).reuse_addr(true).reuse_port(shared_port);
        let listening = TcpListener::bind_with_config(address, &options)
            .and_then(|listener| Ok((listener.local_addr()?, listener)));
        match listening {
            Ok((address, listener)) => {
                // Sent while the starter waits; it waits for nothing else.
                let _ = bound.send(Ok(address));
                accept(&listener, &Rc::new(make()), serve).await;
            }
            Err(error) => {
                let _ = bound.send(Err(format!("cannot listen on {address}: {error}")));
            }
        }
    });
    served.map_err(|error| format!("cannot build a runtime on {driver}: {error}"))
}

async fn accept<S, F>(listener: &TcpListener, state: &Rc<S>, serve: Serve<S, F>)
where
    F: Future<Output = ()> + 'static,
{
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Without it answers in two writes wait for the peer's delayed acknowledgement.
                if stream.set_nodelay(true).is_ok() {
                    monoio::spawn(serve(stream, state.clone()));
                }
            }
            Err(_) => monoio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

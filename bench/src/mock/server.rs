//! Starts a mock: one listener and one runtime a thread, all with the same answer, counters and record.

use std::cell::RefCell;
use std::io::Write;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, mpsc};

use bytes::Bytes;
use http::StatusCode;
use monoio::net::{ListenerOpts, TcpListener};

use super::answer::{Answer, field};
use super::args::MockArgs;
use super::connection::{Mock, serve};
use super::record::{Counters, Recorder};
use crate::driver::{self, Driver};
use crate::rng::Rng;
use crate::sys;

/// Connections that may wait to be accepted, as far as the system's own bound allows.
const BACKLOG: i32 = 4096;
/// Pause after a failed accept: the cause (no descriptors left) does not go away at once.
const ACCEPT_PAUSE: std::time::Duration = std::time::Duration::from_millis(50);

/// Serves until the process is ended from outside.
///
/// # Errors
/// A sentence for the user if the mock could not be started.
pub(crate) fn run(args: &MockArgs) -> Result<u8, String> {
    let answer = answer(args)?;
    let driver = driver::pick(args.driver).map_err(|error| error.to_string())?;
    sys::raise_descriptor_limit();
    let counters = Arc::new(Counters::default());
    let recorder = args.record.as_deref().map(Recorder::open).transpose()?.map(Arc::new);
    let mut address = args.listen;
    let mut threads = Vec::new();
    for index in 0..usize::from(args.threads) {
        let (answer, counters, recorder) = (answer.clone(), counters.clone(), recorder.clone());
        let make = {
            let (delay, faults, drip, echo) = (args.delay, args.faults.clone(), args.drip, args.echo);
            let (takes_orders, seed) = (!args.no_control, args.seed.wrapping_add(index as u64));
            move || Mock {
                plain: answer.encode(false, false).whole(),
                answer,
                delay,
                faults,
                drip,
                echo,
                takes_orders,
                counters,
                recorder,
                rng: RefCell::new(Rng::new(seed)),
            }
        };
        let core = args.cores.as_ref().map(|cores| cores[index % cores.len()]);
        let shared_port = args.threads > 1;
        let (sender, bound) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name(format!("mock-{index}"))
            .spawn(move || serve_thread(driver, core, (address, shared_port), make, &sender))
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

fn serve_thread(
    driver: Driver,
    core: Option<usize>,
    (address, shared_port): (SocketAddr, bool),
    make: impl FnOnce() -> Mock,
    bound: &mpsc::Sender<Result<SocketAddr, String>>,
) -> Result<(), String> {
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
                accept(&listener, &Rc::new(make())).await;
            }
            Err(error) => {
                let _ = bound.send(Err(format!("cannot listen on {address}: {error}")));
            }
        }
    });
    served.map_err(|error| format!("cannot build a runtime on {driver}: {error}"))
}

async fn accept(listener: &TcpListener, mock: &Rc<Mock>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Without it answers in two writes wait for the peer's delayed acknowledgement.
                if stream.set_nodelay(true).is_ok() {
                    monoio::spawn(serve(stream, mock.clone()));
                }
            }
            Err(_) => monoio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

fn answer(args: &MockArgs) -> Result<Answer, String> {
    if args.interim.contains(&101) {
        return Err("101 is final for HTTP and cannot be an interim answer".into());
    }
    if args.chunked == Some(0) {
        return Err("a chunk must have at least 1 byte".into());
    }
    let fields = |texts: &[String]| texts.iter().map(|text| field(text)).collect::<Result<Vec<_>, _>>();
    let body = match (&args.body_text, &args.body_file) {
        (Some(text), _) => Bytes::from(text.clone().into_bytes()),
        (None, Some(file)) => {
            std::fs::read(file).map_err(|error| format!("cannot read {}: {error}", file.display()))?.into()
        }
        (None, None) => Bytes::from(vec![b'x'; args.body]),
    };
    Ok(Answer {
        status: StatusCode::from_u16(args.status).map_err(|error| error.to_string())?,
        fields: fields(&args.headers)?,
        body,
        chunk_bytes: args.chunked,
        trailers: fields(&args.trailers)?,
        interim: args.interim.clone(),
    })
}

//! What runs beside the workers on small runtimes: signals, health checks, file watch; the admin address; the
//! demo upstream. Each has a thread of lower priority, and none of them is needed for traffic.

use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;

use crossbeam_channel::Sender;
use penstock_admin::{AllowedHosts, Place};
use penstock_dataplane::sys;
use penstock_gate::spec::Address;
use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};

use crate::gateway::Gateway;
use crate::run::Order;
use crate::state::State;
use crate::watch::{self, Watch};
use crate::{demo, health, notices};

/// How much less these threads matter than traffic (`nice`).
const SIDE_NICE: i32 = 10;

/// Runs a future on a thread and a runtime of its own.
fn spawn<F: Future<Output = ()>>(name: &str, make: impl FnOnce() -> F + Send + 'static) -> io::Result<()> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    thread::Builder::new().name(name.into()).spawn(move || {
        sys::lower_priority(SIDE_NICE);
        runtime.block_on(make());
    })?;
    Ok(())
}

/// Turns signals into orders: SIGTERM and SIGINT drain (a second one ends at once), SIGHUP reloads.
///
/// # Errors
/// When no thread or handler can be had.
pub(crate) fn signals(orders: Sender<Order>) -> io::Result<()> {
    spawn("penstock-signal", move || async move {
        let handlers =
            (signal(SignalKind::terminate()), signal(SignalKind::interrupt()), signal(SignalKind::hangup()));
        let (Ok(mut terminate), Ok(mut interrupt), Ok(mut hangup)) = handlers else {
            notices::error("signals cannot be handled; use `penstock drain` and `penstock reload`");
            return;
        };
        loop {
            let order = tokio::select! {
                _ = terminate.recv() => Order::Drain(None),
                _ = interrupt.recv() => Order::Drain(None),
                _ = hangup.recv() => Order::Reload(None),
            };
            if orders.send(order).is_err() {
                return;
            }
        }
    })
}

/// Runs the active health checks.
///
/// # Errors
/// When no thread can be started.
pub(crate) fn health_checks(gateway: Arc<Gateway>) -> io::Result<()> {
    spawn("penstock-health", move || health::run(gateway.dataplane.clone(), notices::warn))
}

/// Watches the configuration's files.
///
/// # Errors
/// When no thread can be started.
pub(crate) fn watch(gateway: Arc<Gateway>, orders: Sender<Order>) -> io::Result<()> {
    spawn("penstock-watch", move || async move {
        let mut watch = Watch::new(&gateway.fixed.source, &gateway.dataplane.served().snapshot);
        loop {
            tokio::time::sleep(watch::LOOK).await;
            let changed = watch.changed(&gateway.fixed.source, &gateway.dataplane.served().snapshot);
            if changed && orders.send(Order::Reload(None)).is_err() {
                return;
            }
        }
    })
}

/// Serves the admin address. Returns the address for people.
///
/// # Errors
/// When it cannot be listened on; traffic does not need it.
pub(crate) fn admin(gateway: Arc<Gateway>, address: &Address) -> io::Result<String> {
    let (sender, bound) = std::sync::mpsc::sync_channel(1);
    let place = match address {
        Address::Tcp(addr) => Place::Tcp(*addr),
        Address::Unix(path) => Place::Unix(path.clone()),
    };
    spawn("penstock-admin", move || async move {
        match penstock_admin::bind(place).await {
            Err(error) => {
                sender.send(Err(error)).ok();
            }
            Ok(socket) => {
                sender.send(Ok(socket.shown())).ok();
                let hosts = AllowedHosts::new(socket.ip(), Vec::new());
                let router = penstock_admin::router(Arc::new(State(gateway)), hosts);
                if let Err(error) = penstock_admin::serve(socket, router).await {
                    notices::error(format!("the admin address has ended: {error}"));
                }
            }
        }
    })?;
    bound.recv().unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()))
}

/// Serves the demo upstream. Returns its address.
///
/// # Errors
/// When loopback has no free port.
pub(crate) fn demo() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    spawn("penstock-demo", move || async move {
        if let Ok(listener) = tokio::net::TcpListener::from_std(listener) {
            demo::serve(listener).await;
        }
    })?;
    Ok(address)
}

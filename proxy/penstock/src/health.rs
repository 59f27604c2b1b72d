//! Active health checks, once per node and beside the workers: each target with a check is asked for its health
//! path, and what comes of it is written where all workers read it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use penstock_dataplane::supervise::Dataplane;
use penstock_dataplane::sys;
use penstock_gate::spec::{ActiveHealth, Scheme, Target, TargetAddress, Uid};
use penstock_http::{HeadLimits, Method, Parsed, ResponseHead};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, timeout};

/// Checks under way at once.
pub(crate) const CHECKS_MAX: usize = 64;
/// How often it is looked which checks are due.
const LOOK: Duration = Duration::from_millis(100);
/// Bytes of an answer's head that are read.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Why a check brought no answer that is good.
#[derive(Debug)]
enum Fault {
    /// The target is at fault.
    Target(String),
    /// This process lacks what a check needs, which says nothing about the target.
    Here(String),
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        let why = error.to_string();
        if sys::is_exhausted(&error) { Fault::Here(why) } else { Fault::Target(why) }
    }
}

struct Watched {
    due: Instant,
    failures: u32,
    successes: u32,
    healthy: bool,
    /// It has been told that it cannot be checked.
    unchecked: bool,
    seen: u64,
}

/// Runs the checks for as long as the process lives. `told` hears of each target that changes sides.
pub(crate) async fn run(dataplane: Arc<Dataplane>, told: impl Fn(String)) {
    let mut watched: HashMap<Uid, Watched> = HashMap::new();
    let places = Arc::new(Semaphore::new(CHECKS_MAX));
    let (sender, mut results) = mpsc::channel::<(Uid, Result<(), Fault>)>(CHECKS_MAX);
    let mut round = 0;
    loop {
        round += 1;
        let served = dataplane.served();
        for upstream in served.snapshot.upstreams() {
            let Some(check) = &upstream.health else { continue };
            for target in &upstream.targets {
                let state = watched.entry(target.uid).or_insert_with(Watched::new);
                state.seen = round;
                if state.due > Instant::now() {
                    continue;
                }
                let Ok(place) = places.clone().try_acquire_owned() else { continue };
                state.due = Instant::now() + check.interval;
                let (target, check, sender) = (target.clone(), check.clone(), sender.clone());
                let addresses = dataplane.nodes().get(&target).addresses();
                tokio::spawn(async move {
                    let result = timeout(check.timeout, ask(&target, &addresses, &check)).await;
                    let result =
                        result.unwrap_or_else(|_| Err(Fault::Target("no answer in time".to_owned())));
                    drop(place);
                    sender.send((target.uid, result)).await.ok();
                });
            }
        }
        watched.retain(|_, state| state.seen == round);
        while let Ok((uid, result)) = results.try_recv() {
            let found = served.snapshot.upstreams().iter().find_map(|up| {
                Some((up.health.as_ref()?, up.targets.iter().find(|target| target.uid == uid)?))
            });
            let (Some((check, target)), Some(state)) = (found, watched.get_mut(&uid)) else { continue };
            let result = match result {
                Ok(()) => Ok(()),
                Err(Fault::Target(why)) => Err(why),
                Err(Fault::Here(why)) => {
                    if !std::mem::replace(&mut state.unchecked, true) {
                        told(format!("target {} cannot be checked, its health stays: {why}", target.name));
                    }
                    continue;
                }
            };
            state.unchecked = false;
            if let Some(change) = state.learn(&result, check) {
                dataplane.nodes().get(target).set_healthy(state.healthy);
                told(format!("target {}: {change}", target.name));
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

impl Watched {
    /// A target that was not asked yet: due now, and taken for healthy.
    fn new() -> Self {
        Self { due: Instant::now(), failures: 0, successes: 0, healthy: true, unchecked: false, seen: 0 }
    }

    /// Takes a result in; says what to tell if the target changes sides.
    fn learn(&mut self, result: &Result<(), String>, check: &ActiveHealth) -> Option<String> {
        match result {
            Ok(()) => {
                self.failures = 0;
                self.successes = self.successes.saturating_add(1);
                if !self.healthy && self.successes >= check.healthy_after {
                    self.healthy = true;
                    return Some("healthy again".to_owned());
                }
            }
            Err(why) => {
                self.successes = 0;
                self.failures = self.failures.saturating_add(1);
                if self.healthy && self.failures >= check.unhealthy_after {
                    self.healthy = false;
                    return Some(format!("unhealthy after {} failed checks: {why}", self.failures));
                }
            }
        }
        None
    }
}

async fn ask(target: &Target, addresses: &[std::net::SocketAddr], check: &ActiveHealth) -> Result<(), Fault> {
    if let TargetAddress::Unix(path) = &target.address {
        return over(UnixStream::connect(path).await?, "localhost", check).await;
    }
    let host = match &target.address {
        TargetAddress::Dns(name, port) => format!("{name}:{port}"),
        TargetAddress::Ip(addr) => addr.to_string(),
        TargetAddress::Unix(_) => String::new(),
    };
    let address = addresses.first().ok_or_else(|| Fault::Target("its name has no address".to_owned()))?;
    let stream = TcpStream::connect(address).await?;
    match target.scheme {
        Scheme::Http => over(stream, &host, check).await,
        // That it takes a connection is all that is asked of a target behind TLS.
        Scheme::Https | Scheme::H2c => Ok(()),
    }
}

async fn over<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    host: &str,
    check: &ActiveHealth,
) -> Result<(), Fault> {
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: penstock-health\r\nConnection: close\r\n\r\n",
        check.path
    );
    stream.write_all(request.as_bytes()).await?;
    let mut buf = Vec::with_capacity(1024);
    let mut head = ResponseHead::new();
    loop {
        let n = stream.read_buf(&mut buf).await?;
        let parsed = head.parse(&buf, &HeadLimits::default(), Method::Get);
        match parsed.map_err(|fault| Fault::Target(fault.to_string()))? {
            Parsed::Complete if (200..400).contains(&head.status) => return Ok(()),
            Parsed::Complete => return Err(Fault::Target(format!("status {}", head.status))),
            Parsed::Partial if n == 0 || buf.len() > HEAD_BYTES_MAX => {
                return Err(Fault::Target("no whole answer".to_owned()));
            }
            Parsed::Partial => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check() -> ActiveHealth {
        ActiveHealth {
            path: "/healthz".into(),
            interval: ActiveHealth::INTERVAL,
            timeout: ActiveHealth::TIMEOUT,
            unhealthy_after: 3,
            healthy_after: 2,
        }
    }

    #[test]
    fn a_target_changes_sides_after_so_many_in_a_row() {
        let mut state = Watched::new();
        let bad = Err("x".to_owned());
        let mut sides = Vec::new();
        for result in [&bad, &bad, &Ok(()), &bad, &bad, &bad, &bad, &Ok(()), &bad, &Ok(()), &Ok(())] {
            state.learn(result, &check());
            sides.push(state.healthy);
        }
        let want = [true, true, true, true, true, false, false, false, false, false, true];
        assert_eq!(sides, want);
    }
}

//! Second tries, pools and the choice of targets through running workers.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test may wait and may panic")]

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use penstock_gate::spec::{self, RetryOn};
use support::{DRIVERS, Setup, Upstream, eventually, nowhere, target_spec, upstream_spec};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy";
const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab";

fn retries(max: u8, retry_on: Vec<RetryOn>) -> spec::Retries {
    spec::Retries { max, retry_on, ..Default::default() }
}

/// An upstream over these addresses, taken by turns.
fn over(addresses: &[std::net::SocketAddr]) -> spec::Upstream {
    let mut up = upstream_spec(addresses[0]);
    up.targets = addresses.iter().map(|&addr| target_spec(addr)).collect();
    up.balance = spec::Balance::RoundRobin;
    up
}

#[test]
fn a_failed_connect_goes_to_the_second_target_whatever_the_method() {
    for driver in DRIVERS {
        let upstream = Upstream::fixed(OK);
        let mut up = over(&[nowhere(), upstream.addr]);
        up.retries = retries(1, vec![RetryOn::ConnectFailure]);
        let mut setup = Setup::new(driver, up);
        setup.rings = true;
        let gateway = setup.start();
        let mut client = gateway.client();
        for _ in 0..4 {
            for request in [GET, POST] {
                assert_eq!(client.send(request).answer().unwrap().status(), 200);
            }
        }
        let records = gateway.recorded(8);
        assert!(records.iter().all(|r| r.target == upstream.addr.to_string() && r.call.code == 0));
        assert!(records.iter().any(|r| r.call.retries == 1));
    }
}

#[test]
fn a_reset_is_tried_again_only_where_that_is_safe_and_asked_for() {
    for driver in DRIVERS {
        for (request, retry_on, served) in [
            (GET, vec![RetryOn::Reset], true),
            (GET, vec![RetryOn::ConnectFailure], false),
            (POST, vec![RetryOn::Reset], false),
        ] {
            let seen = Arc::new(AtomicUsize::new(0));
            let count = seen.clone();
            let upstream = Upstream::start(move |conn| {
                if conn.request().is_some() {
                    if count.fetch_add(1, Ordering::SeqCst) == 0 {
                        return conn.reset();
                    }
                    conn.write(OK);
                }
            });
            let mut up = upstream_spec(upstream.addr);
            up.retries = retries(1, retry_on);
            let gateway = Setup::new(driver, up).start();
            let answer = gateway.client().send(request).answer().unwrap();
            assert_eq!(answer.status(), if served { 200 } else { 502 }, "{request}");
            assert_eq!(seen.load(Ordering::SeqCst), if served { 2 } else { 1 }, "{request}");
        }
    }
}

#[test]
fn a_post_on_a_pooled_connection_that_breaks_is_never_repeated() {
    for driver in DRIVERS {
        let posts = Arc::new(AtomicUsize::new(0));
        let count = posts.clone();
        let upstream = Upstream::start(move |conn| {
            while let Some((head, _)) = conn.request() {
                if head.starts_with("POST") {
                    count.fetch_add(1, Ordering::SeqCst);
                    return conn.reset();
                }
                conn.write(OK);
            }
        });
        let mut up = upstream_spec(upstream.addr);
        up.retries = retries(3, vec![RetryOn::Reset, RetryOn::ConnectFailure]);
        let gateway = Setup::new(driver, up).start();
        let mut client = gateway.client();
        assert_eq!(client.send(GET).answer().unwrap().status(), 200);
        assert_eq!(client.send(POST).answer().unwrap().status(), 502);
        assert_eq!(posts.load(Ordering::SeqCst), 1);
    }
}

#[test]
fn statuses_are_tried_again_within_the_budget_on_pooled_connections_too() {
    const CLIENTS: usize = 12;
    for driver in DRIVERS {
        // Holds the first answers back until all clients are there, so that they are live at the same time.
        let seen = Arc::new(AtomicUsize::new(0));
        let (count, warm) = (seen.clone(), Arc::new(AtomicUsize::new(0)));
        let (begun, answered) = (warm.clone(), Arc::new(AtomicUsize::new(0)));
        let told = answered.clone();
        let upstream = Upstream::start(move |conn| {
            while let Some((head, _)) = conn.request() {
                if head.starts_with("GET /warm") {
                    begun.fetch_add(1, Ordering::SeqCst);
                    eventually("all warm", || begun.load(Ordering::SeqCst) >= CLIENTS);
                    conn.write(OK);
                    continue;
                }
                let at = count.fetch_add(1, Ordering::SeqCst);
                if at < CLIENTS {
                    eventually("all live", || count.load(Ordering::SeqCst) >= CLIENTS);
                } else {
                    // A second try keeps its part of the budget until all those without one have their answer.
                    eventually("the others", || told.load(Ordering::SeqCst) >= CLIENTS - 3);
                }
                conn.write(BUSY);
            }
        });
        let mut up = upstream_spec(upstream.addr);
        up.retries = retries(1, vec![RetryOn::Status(503)]);
        let gateway = Setup::new(driver, up).start();
        let mut clients: Vec<_> = (0..CLIENTS).map(|_| gateway.client()).collect();
        for path in ["/warm", "/"] {
            for client in &mut clients {
                client.send(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n"));
            }
            std::thread::scope(|scope| {
                for client in &mut clients {
                    scope.spawn(|| {
                        let status = client.answer().unwrap().status();
                        assert_eq!(status, if path == "/" { 503 } else { 200 });
                        answered.fetch_add(usize::from(path == "/"), Ordering::SeqCst);
                    });
                }
            });
        }
        // The budget is the larger of three and a fifth of the live calls.
        let tries = seen.load(Ordering::SeqCst);
        assert_eq!(tries, CLIENTS + 3);
    }
}

#[test]
fn an_upstream_that_is_late_is_not_asked_twice() {
    for driver in DRIVERS {
        let seen = Arc::new(AtomicUsize::new(0));
        let count = seen.clone();
        let upstream = Upstream::start(move |conn| {
            while let Some((head, _)) = conn.request() {
                if head.starts_with("GET /late") {
                    count.fetch_add(1, Ordering::SeqCst);
                    conn.sees_end();
                    return;
                }
                conn.write(OK);
            }
        });
        let mut up = upstream_spec(upstream.addr);
        up.timeouts.first_byte = Duration::from_millis(200);
        up.retries = retries(2, vec![RetryOn::Reset]);
        let gateway = Setup::new(driver, up).start();
        let mut client = gateway.client();
        client.send(GET).answer().unwrap();
        let answer = client.send("GET /late HTTP/1.1\r\nHost: h\r\n\r\n").answer().unwrap();
        assert_eq!(answer.code(), "upstream_first_byte_timeout");
        assert_eq!(seen.load(Ordering::SeqCst), 1);
    }
}

#[test]
fn those_who_wait_get_connections_in_order() {
    for driver in DRIVERS {
        let (go, gate) = mpsc::channel::<()>();
        let (gate, order) = (Mutex::new(gate), Arc::new(Mutex::new(Vec::new())));
        let seen = order.clone();
        let upstream = Upstream::start(move |conn| {
            while let Some((head, _)) = conn.request() {
                seen.lock().unwrap().push(head.split(' ').nth(1).unwrap().to_owned());
                gate.lock().unwrap().recv().unwrap();
                // Every other answer ends its connection, so that places are handed on both ways.
                let last = seen.lock().unwrap().len() % 2 == 0;
                if last {
                    conn.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
                    return;
                }
                conn.write(OK);
            }
        });
        let mut up = upstream_spec(upstream.addr);
        up.pool = spec::Pool { per_target_max: 1, wait: support::PATIENCE, ..Default::default() };
        let gateway = Setup::new(driver, up).start();
        let nodes = gateway.dataplane.nodes().clone();
        let mut clients = Vec::new();
        for n in 0..6 {
            let mut client = gateway.client();
            client.send(format!("GET /{n} HTTP/1.1\r\nHost: h\r\n\r\n"));
            if n == 0 {
                eventually("the first", || !order.lock().unwrap().is_empty());
            } else {
                eventually("its place in the queue", || nodes.wanted_in_all() == n);
            }
            clients.push(client);
        }
        (0..6).for_each(|_| go.send(()).unwrap());
        for client in &mut clients {
            assert_eq!(client.answer().unwrap().status(), 200);
        }
        assert_eq!(*order.lock().unwrap(), ["/0", "/1", "/2", "/3", "/4", "/5"]);
        assert_eq!(nodes.wanted_in_all(), 0);
    }
}

#[test]
fn a_cap_of_the_node_does_not_starve_the_other_worker() {
    for driver in DRIVERS {
        let upstream = Upstream::fixed(OK);
        let mut up = upstream_spec(upstream.addr);
        up.pool = spec::Pool { per_target_max: 1, wait: support::PATIENCE, ..Default::default() };
        let mut setup = Setup::new(driver, up);
        setup.workers = 2;
        let gateway = setup.start();
        let accepted = |worker: usize| gateway.dataplane.stats()[worker].accepted.load(Ordering::Relaxed);
        let mut clients = Vec::new();
        while (0..2).any(|worker| accepted(worker) == 0) {
            let mut client = gateway.client();
            assert_eq!(client.send(GET).answer().unwrap().status(), 200);
            clients.push(client);
        }
        for _ in 0..3 {
            for client in &mut clients {
                assert_eq!(client.send(GET).answer().unwrap().status(), 200);
            }
        }
        assert!(gateway.dataplane.nodes().open_in_all() <= 1);
    }
}

#[test]
fn backups_serve_only_while_the_others_are_out_and_ejected_targets_come_back() {
    for driver in DRIVERS {
        let ill = Arc::new(std::sync::atomic::AtomicBool::new(true));
        let state = ill.clone();
        let main = Upstream::start(move |conn| {
            while conn.request().is_some() {
                conn.write(if state.load(Ordering::SeqCst) { BUSY } else { OK });
            }
        });
        let backup = Upstream::fixed(OK);
        let mut up = over(&[main.addr, backup.addr]);
        up.targets[1].backup = true;
        up.passive_health = Some(spec::PassiveHealth {
            failures: 2,
            ejection: Duration::from_millis(200),
            ejected_percent_max: 100,
        });
        let mut setup = Setup::new(driver, up);
        setup.rings = true;
        let gateway = setup.start();
        let mut client = gateway.client();
        let mut target = || {
            client.send(GET).answer().unwrap();
            gateway.records().last().unwrap().target.clone()
        };
        let (main, backup) = (main.addr.to_string(), backup.addr.to_string());
        assert_eq!([target(), target(), target()], [main.clone(), main.clone(), backup]);
        ill.store(false, Ordering::SeqCst);
        eventually("the target is back", || target() == main);
    }
}

#[test]
fn active_health_is_respected() {
    for driver in DRIVERS {
        let (a, b) = (Upstream::fixed(OK), Upstream::fixed(OK));
        let up = over(&[a.addr, b.addr]);
        let first = up.targets[0].clone();
        let gateway = Setup::new(driver, up).start();
        gateway.dataplane.nodes().get(&first).set_healthy(false);
        let mut client = gateway.client();
        let mut hits = |n: usize| {
            let before = a.text().len();
            (0..n).for_each(|_| drop(client.send(GET).answer().unwrap()));
            a.text().len() - before
        };
        eventually("it is taken out", || hits(4) == 0);
        gateway.dataplane.nodes().get(&first).set_healthy(true);
        eventually("it is back", || hits(4) > 0);
    }
}

#[test]
fn an_open_breaker_refuses_and_closes_again() {
    for driver in DRIVERS {
        let ill = Arc::new(std::sync::atomic::AtomicBool::new(true));
        let state = ill.clone();
        let upstream = Upstream::start(move |conn| {
            while conn.request().is_some() {
                conn.write(if state.load(Ordering::SeqCst) { BUSY } else { OK });
            }
        });
        let mut up = upstream_spec(upstream.addr);
        up.breaker = Some(spec::Breaker {
            errors_percent: 50,
            window: Duration::from_secs(10),
            open: Duration::from_millis(200),
            requests_min: 4,
        });
        let gateway = Setup::new(driver, up).start();
        let mut client = gateway.client();
        let mut ask = || client.send(GET).answer().unwrap().code();
        eventually("it opens", || ask() == "breaker_open");
        ill.store(false, Ordering::SeqCst);
        eventually("it closes", || ask().is_empty());
        assert!((0..20).all(|_| ask().is_empty()), "it stays closed");
    }
}

#[test]
fn a_target_that_moves_is_found_at_its_new_address() {
    for driver in DRIVERS {
        let (old, new) = (Upstream::fixed(OK), Upstream::fixed(OK));
        let setup = Setup::new(driver, upstream_spec(old.addr));
        let mut moved = setup.spec.clone();
        let gateway = setup.start();
        let mut client = gateway.client();
        client.send(GET).answer().unwrap();
        moved.upstreams[0].targets[0].address = spec::TargetAddress::Ip(new.addr);
        gateway.reload(moved).unwrap();
        assert_eq!(client.send(GET).answer().unwrap().status(), 200);
        assert_eq!((old.text().len(), new.connections()), (new.text().len(), 1));
    }
}

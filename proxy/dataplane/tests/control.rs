//! What the control side does while calls are under way: reloads, drains, replacements; and limits and panics.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test may wait and may panic")]

mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use penstock_gate::spec::Measure;
use support::{DRIVERS, PATIENCE, Setup, Upstream, eventually, limit_spec, upstream_spec};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

#[test]
fn settings_of_a_listener_change_with_a_reload() {
    for driver in DRIVERS {
        let upstream = Upstream::fixed(OK);
        let setup = Setup::new(driver, upstream_spec(upstream.addr));
        let mut changed = setup.spec.clone();
        let gateway = setup.start();
        assert_eq!(gateway.client().send(GET).answer().unwrap().status(), 200);
        changed.listeners[0].limits.requests_per_connection_max = Some(1);
        gateway.reload(changed).unwrap();
        let mut client = gateway.client();
        assert!(client.send(GET).answer().unwrap().head.contains("Connection: close"));
        assert!(client.is_closed());
    }
}

#[test]
fn two_hundred_reloads_under_load_fail_no_request() {
    for driver in DRIVERS {
        let upstream = Upstream::start(|conn| {
            while let Some((head, _)) = conn.request() {
                let said = head.split(' ').nth(1).unwrap();
                conn.write(
                    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{said}", said.len()).as_bytes(),
                );
            }
        });
        let mut setup = Setup::new(driver, upstream_spec(upstream.addr));
        setup.workers = 2;
        setup.route().expose_revision = true;
        setup.route().rewrite = Some("/r1".into());
        let spec = setup.spec.clone();
        let gateway = setup.start();
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut client = gateway.client();
                    while !stop.load(Ordering::Relaxed) {
                        let answer = client.send(GET).answer().expect("an answer");
                        let revision = answer.head.split("x-penstock-revision: ").nth(1).unwrap();
                        let revision = revision.split("\r\n").next().unwrap();
                        assert_eq!(String::from_utf8(answer.body).unwrap(), format!("/r{revision}"));
                    }
                });
            }
            for revision in 2..202 {
                let mut spec = spec.clone();
                spec.revision = revision;
                spec.routes[0].rewrite = Some(format!("/r{revision}"));
                gateway.reload(spec).expect("acknowledged");
            }
            stop.store(true, Ordering::Relaxed);
        });
    }
}

#[test]
fn a_drain_serves_whoever_connects_until_the_sockets_close() {
    for driver in DRIVERS {
        let upstream = Upstream::start(|conn| {
            while let Some((head, _)) = conn.request() {
                if head.starts_with("GET /slow") {
                    std::thread::sleep(Duration::from_millis(600)); // an upstream that takes its time
                }
                conn.write(OK);
            }
        });
        let mut setup = Setup::new(driver, upstream_spec(upstream.addr));
        setup.workers = 2;
        let gateway = setup.start();
        let mut slow = gateway.client();
        slow.send("GET /slow HTTP/1.1\r\nHost: h\r\n\r\n");
        eventually("the slow call", || !upstream.text().is_empty());
        let dataplane = gateway.dataplane.clone();
        let draining = std::thread::spawn(move || dataplane.drain(PATIENCE));
        // One of the workers has no connection. It must go on to accept while its socket is open.
        let mut served = 0;
        while let Ok(stream) = std::net::TcpStream::connect(gateway.addr) {
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut client = support::Client::over(stream);
            match client.send(GET).answer() {
                Some(answer) => assert_eq!(answer.status(), 200),
                None => break, // the sockets were closed between the two
            }
            served += 1;
            if served >= 40 {
                break;
            }
        }
        assert!(served > 0, "nobody was served");
        assert_eq!(slow.answer().unwrap().status(), 200);
        assert_eq!(draining.join().unwrap(), 0);
    }
}

#[test]
fn a_panic_ends_only_its_connection_and_gives_back_what_it_held() {
    for driver in DRIVERS {
        let upstream = Upstream::fixed(OK);
        let mut setup = Setup::new(driver, upstream_spec(upstream.addr));
        setup.rings = true;
        let concurrent = limit_spec(90, Measure::Concurrent(1));
        setup.route().limits = vec![concurrent];
        // No configuration can say so long a time; adding it to the clock overflows.
        setup.route().timeouts.idle = Some(Duration::from_nanos(u64::MAX));
        let gateway = setup.start();
        let mut other = gateway.client();
        assert_eq!(other.send(GET).answer().unwrap().status(), 200);
        let mut client = gateway.client();
        client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nab");
        assert!(client.answer().is_none());
        eventually("the panic is told", || gateway.was_told("panicked"));
        assert_eq!(other.send(GET).answer().unwrap().status(), 200);
        assert_eq!(gateway.dataplane.stats()[0].panics.load(Ordering::Relaxed), 1);
        let records = gateway.recorded(3);
        assert_eq!((records[1].code(), records[1].call.status), ("internal_error", 500));
        eventually("the connection", || gateway.connections() == 1);
        eventually("no request", || gateway.requests() == 0);
    }
}

#[test]
fn permits_come_back_however_a_call_ends() {
    for driver in DRIVERS {
        let upstream = Upstream::start(|conn| {
            while let Some((head, _)) = conn.request() {
                if head.starts_with("GET /hang") {
                    conn.sees_end();
                    return;
                }
                if head.starts_with("GET /break") {
                    return conn.reset();
                }
                conn.write(OK);
            }
        });
        let mut setup = Setup::new(driver, upstream_spec(upstream.addr));
        setup.route().limits = vec![limit_spec(90, Measure::Concurrent(1))];
        let gateway = setup.start();
        let ask = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n");
        let mut hanging = gateway.client();
        hanging.send(ask("/hang"));
        eventually("it hangs", || upstream.text().contains("/hang"));
        let answer = gateway.client().send(GET).answer().unwrap();
        assert_eq!((answer.status(), answer.code().as_str()), (429, "too_many_concurrent"));
        drop(hanging);
        eventually("the permit", || gateway.client().send(GET).answer().unwrap().status() == 200);
        for _ in 0..3 {
            assert_eq!(gateway.client().send(ask("/break")).answer().unwrap().status(), 502);
            assert_eq!(gateway.client().send(GET).answer().unwrap().status(), 200);
        }
    }
}

#[test]
fn a_worker_that_ends_is_replaced_on_the_same_port() {
    for driver in DRIVERS {
        let upstream = Upstream::fixed(OK);
        let gateway = Setup::new(driver, upstream_spec(upstream.addr)).start();
        gateway.dataplane.stats()[0].heartbeat_ns.store(0, Ordering::Relaxed);
        let first = gateway.dataplane.stats()[0].clone();
        // As if it hung: its heartbeat is old at the moment of the look.
        eventually("it is replaced", || {
            first.heartbeat_ns.store(0, Ordering::Relaxed);
            gateway.dataplane.watch();
            gateway.was_told("replaced")
        });
        for _ in 0..5 {
            assert_eq!(gateway.client().send(GET).answer().unwrap().status(), 200);
        }
    }
}

/// A client whose connection is served, or none if it is closed instead.
fn served(addr: std::net::SocketAddr) -> Option<support::Client> {
    let stream = std::net::TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut client = support::Client::over(stream);
    let answer = client.send(GET).answer()?;
    assert_eq!(answer.status(), 200);
    Some(client)
}

#[test]
fn connections_are_bounded_by_listener_over_all_workers() {
    for driver in DRIVERS {
        let upstream = Upstream::fixed(OK);
        let mut setup = Setup::new(driver, upstream_spec(upstream.addr));
        setup.workers = 2;
        setup.spec.listeners[0].limits.connections_max = 5;
        let mut other = support::listener_spec();
        (other.id, other.name) = (penstock_gate::spec::Id(4), "other".into());
        // The address of port 0 stands for itself in a configuration, so the second one needs a port.
        other.address = penstock_gate::spec::Address::Tcp(support::nowhere());
        other.limits.connections_max = 2;
        let penstock_gate::spec::Address::Tcp(second) = other.address else { unreachable!() };
        setup.spec.listeners.push(other);
        let mut changed = setup.spec.clone();
        let gateway = setup.start();
        let mut open: Vec<_> = (0..5).map(|_| served(gateway.addr).expect("within the bound")).collect();
        // So many that both workers get some of them.
        assert!((0..20).all(|_| served(gateway.addr).is_none()), "beyond the bound");
        eventually("the notice", || gateway.was_told("5 connections are open at listener test"));
        let others: Vec<_> = (0..2).map(|_| served(second).expect("a bound of its own")).collect();
        assert!((0..20).all(|_| served(second).is_none()), "beyond its bound");
        assert_eq!(gateway.connections(), 7);
        open.pop();
        let mut again = None;
        eventually("a place", || {
            again = served(gateway.addr);
            again.is_some()
        });
        // A reload changes the bound, and what is open goes on to count.
        changed.revision = 2;
        changed.listeners[0].limits.connections_max = 7;
        gateway.reload(changed).unwrap();
        open.extend((0..2).map(|_| served(gateway.addr).expect("within the new bound")));
        assert!((0..20).all(|_| served(gateway.addr).is_none()), "beyond the new bound");
        drop((open, others, again));
        eventually("no connection", || gateway.connections() == 0);
        assert!((0..5).map(|_| served(gateway.addr)).collect::<Vec<_>>().iter().all(Option::is_some));
    }
}

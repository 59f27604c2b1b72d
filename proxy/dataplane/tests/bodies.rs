//! Bodies at their bounds, and clients that are slow, stall or leave: who is to blame is told right, and nothing of
//! a body is ever taken for the next request.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test may wait and may panic")]

mod support;

use std::io::Read;
use std::time::Duration;

use penstock_dataplane::driver::Choice;
use penstock_dataplane::uplink::RATE_GRACE_NS;
use penstock_gate::spec::{self, Direction, Measure};
use support::{DRIVERS, Gateway, Setup, Upstream, eventually, find, limit_spec, upstream_spec};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn a_body_that_is_refused_is_never_taken_for_the_next_request() {
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n";
    let length = smuggled.len();
    for driver in DRIVERS {
        for body in [
            format!("Content-Length: {length}\r\n\r\n{smuggled}"),
            format!("Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{smuggled}\r\n0\r\n\r\n"),
        ] {
            let upstream = Upstream::fixed(OK);
            let mut setup = Setup::new(driver, upstream_spec(upstream.addr));
            setup.route().body.max = Some(4);
            let gateway = setup.start();
            let mut client = gateway.client();
            client.send(format!("POST / HTTP/1.1\r\nHost: h\r\n{body}"));
            assert_eq!(client.answer().unwrap().code(), "body_too_large");
            assert!(client.is_closed(), "the refused body was read as a request");
            assert_eq!(upstream.text(), "");
        }
    }
}

#[test]
fn an_answer_that_fails_while_the_last_piece_goes_up_loses_no_byte_of_what_follows() {
    for driver in DRIVERS {
        // Takes the head, leaves the body lying in its socket until the write up stalls, then answers nonsense.
        let upstream = Upstream::start(|conn| {
            while let Some(head) = conn.head() {
                if head.starts_with("POST") {
                    conn.write(b"nonsense\r\n\r\n");
                    conn.sees_end();
                    return;
                }
                conn.write(OK);
            }
        });
        let mut setup = Setup::new(driver, upstream_spec(upstream.addr));
        setup.route().body.max = None;
        let gateway = setup.start();
        for length in [200_000, 3_000_000] {
            let mut client = gateway.client();
            let mut message =
                format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n").into_bytes();
            message.extend(vec![b'x'; length]);
            message.extend(b"GET /next HTTP/1.1\r\nHost: h\r\n\r\n");
            let mut writer = client.stream.try_clone().unwrap();
            let sending = std::thread::spawn(move || std::io::Write::write_all(&mut writer, &message).ok());
            // Whatever of the answer survives the reset, what is answered next is the next request, whole, or nothing.
            let first = client.answer();
            assert!(first.is_none_or(|answer| answer.code() == "upstream_bad_response"));
            assert!(client.answer().is_none_or(|answer| answer.status() == 200));
            drop(client);
            sending.join().unwrap();
        }
    }
}

/// A client that stalls in its body.
fn stalled(driver: penstock_dataplane::driver::Choice, change: impl FnOnce(&mut spec::Upstream)) -> String {
    let upstream = Upstream::fixed(OK);
    let mut up = upstream_spec(upstream.addr);
    up.passive_health = Some(spec::PassiveHealth { failures: 1, ..Default::default() });
    change(&mut up);
    let gateway = Setup::new(driver, up).start();
    let mut client = gateway.client();
    client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nab");
    let code = client.answer().map(|answer| answer.code()).unwrap_or_default();
    // The target is not to blame: it still serves.
    let after = gateway.client().send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").answer().expect("an answer");
    assert_eq!(after.status(), 200, "after {code}: {}", after.code());
    code
}

#[test]
fn a_client_that_stalls_is_told_so_and_the_target_is_not_blamed() {
    let ms = Duration::from_millis;
    for driver in DRIVERS {
        let idle = stalled(driver, |up| (up.timeouts.idle, up.timeouts.first_byte) = (ms(300), ms(5000)));
        assert_eq!(idle, "body_timeout");
        let first = stalled(driver, |up| (up.timeouts.idle, up.timeouts.first_byte) = (ms(500), ms(100)));
        assert_eq!(first, "body_timeout");
        let total = stalled(driver, |up| up.timeouts.total = Some(ms(300)));
        assert_eq!(total, "total_timeout");
    }
}

#[test]
fn the_first_byte_is_waited_for_from_the_last_byte_of_the_request_on() {
    let ms = Duration::from_millis;
    for driver in DRIVERS {
        let upstream = Upstream::start(|conn| {
            conn.request();
            conn.sees_end();
        });
        let mut up = upstream_spec(upstream.addr);
        (up.timeouts.first_byte, up.timeouts.idle) = (ms(200), Duration::from_secs(60));
        let gateway = Setup::new(driver, up).start();
        let mut client = gateway.client();
        client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nab");
        eventually("the first half", || upstream.text().ends_with("ab"));
        client.send("cd");
        assert_eq!(client.answer().unwrap().code(), "upstream_first_byte_timeout");
    }
}

#[test]
fn the_total_timeout_bounds_uploads_answers_and_waiting() {
    let ms = Duration::from_millis;
    for driver in DRIVERS {
        let trickle = Upstream::start(move |conn| {
            conn.request();
            conn.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
            while conn.write(b"x") {
                std::thread::sleep(ms(20)); // the pace of a slow upstream
            }
        });
        let mut up = upstream_spec(trickle.addr);
        up.timeouts.total = Some(ms(300));
        let mut setup = Setup::new(driver, up);
        setup.rings = true;
        let gateway = setup.start();
        let mut client = gateway.client();
        assert!(client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").answer().is_none());
        assert_eq!(gateway.recorded(1)[0].code(), "total_timeout");

        // All connections are taken: waiting for one is bounded by the total as well.
        let holds = Upstream::start(|conn| {
            conn.request();
            conn.sees_end();
        });
        let mut up = upstream_spec(holds.addr);
        up.pool = spec::Pool { per_target_max: 1, wait: Duration::from_secs(60), ..Default::default() };
        up.timeouts.total = Some(ms(300));
        let gateway = Setup::new(driver, up).start();
        let (mut a, mut b) = (gateway.client(), gateway.client());
        a.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        b.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        for client in [&mut a, &mut b] {
            assert_eq!(client.answer().unwrap().code(), "total_timeout");
        }
    }
}

#[test]
fn a_client_that_reads_slowly_is_not_taken_for_a_stalled_upstream() {
    const BODY: usize = 12_000_000;
    for driver in DRIVERS {
        let upstream = Upstream::start(|conn| {
            conn.request();
            conn.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {BODY}\r\n\r\n").as_bytes());
            conn.write(&vec![b'x'; BODY]);
            conn.sees_end();
        });
        let mut up = upstream_spec(upstream.addr);
        up.timeouts.idle = Duration::from_millis(100);
        up.timeouts.first_byte = Duration::from_millis(100);
        let gateway = Setup::new(driver, up).start();
        let mut client = gateway.client();
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        std::thread::sleep(Duration::from_millis(500)); // a client that is busy with something else
        assert_eq!(client.answer().unwrap().body.len(), BODY);
    }
}

#[test]
fn a_client_that_does_not_read_is_cut_off() {
    for driver in DRIVERS {
        let upstream = Upstream::start(|conn| {
            conn.request();
            conn.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            let piece = [&b"10000\r\n"[..], &[b'x'; 0x10000], b"\r\n"].concat();
            while conn.write(&piece) {}
        });
        let mut setup = Setup::new(driver, upstream_spec(upstream.addr));
        setup.spec.listeners[0].timeouts.write = Duration::from_millis(200);
        setup.rings = true;
        let gateway = setup.start();
        let mut client = gateway.client();
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        let records = gateway.recorded(1);
        assert_eq!((records[0].code(), records[0].call.status), ("client_gone", 200));
        assert_ne!(records[0].call.flags & penstock_ring::flag::CLIENT_GONE, 0);
        eventually("the end", || gateway.connections() == 0);
        assert_eq!(gateway.requests(), 0);
        drop(client);
    }
}

#[test]
fn peers_that_send_one_byte_at_a_time() {
    for driver in DRIVERS {
        let upstream = Upstream::start(|conn| {
            while let Some((_, body)) = conn.request() {
                let answer = [&b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n"[..], &body[..5], b"\r\n0\r\nX-T: 1\r\n\r\n"].concat();
                for byte in answer {
                    conn.write(&[byte]);
                    std::thread::yield_now();
                }
            }
        });
        let gateway = Setup::new(driver, upstream_spec(upstream.addr)).start();
        let mut client = gateway.client();
        for framed in
            ["Content-Length: 5\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"]
        {
            for byte in format!("POST / HTTP/1.1\r\nHost: h\r\n{framed}").bytes() {
                client.send([byte]);
                std::thread::yield_now();
            }
            assert_eq!(client.answer().unwrap().status(), 100);
            let answer = client.answer().unwrap();
            assert!(answer.body == b"hello" || answer.body == b"5\r\nhe", "{answer:?}");
        }
        assert_eq!(upstream.connections(), 1);
    }
}

#[test]
fn a_client_that_closes_its_side_gives_its_call_up() {
    // Documented in `uplink`: the end of the client's bytes is taken for its leaving, as a client that is gone looks
    // the same. What it gets is the end of the connection, without an answer.
    for driver in DRIVERS {
        let upstream = Upstream::start(|conn| {
            conn.request();
            conn.sees_end();
        });
        let mut setup = Setup::new(driver, upstream_spec(upstream.addr));
        setup.rings = true;
        let gateway = setup.start();
        let mut client = gateway.client();
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        eventually("the request", || upstream.text().ends_with("\r\n\r\n"));
        client.stream.shutdown(std::net::Shutdown::Write).unwrap();
        assert!(client.stream.read(&mut [0; 1]).is_ok_and(|n| n == 0) || client.is_closed());
        let records = gateway.recorded(1);
        assert_eq!((records[0].code(), records[0].call.status), ("client_gone", 499));
        eventually("the place", || gateway.dataplane.nodes().open_in_all() == 0);
    }
}

#[test]
fn an_upstream_that_closes_its_side_after_its_answer_ends_only_its_connection() {
    for driver in DRIVERS {
        let upstream = Upstream::start(|conn| {
            conn.request();
            conn.write(OK);
            conn.stream.shutdown(std::net::Shutdown::Write).ok();
            conn.sees_end();
        });
        let gateway = Setup::new(driver, upstream_spec(upstream.addr)).start();
        let mut client = gateway.client();
        for _ in 0..5 {
            assert_eq!(client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").answer().unwrap().status(), 200);
        }
    }
}

/// A gateway whose route has one limit of bytes, in a window of an hour.
fn with_bytes(driver: Choice, upstream: &Upstream, bytes: u64, direction: Direction) -> Gateway {
    let mut setup = Setup::new(driver, upstream_spec(upstream.addr));
    setup.route().limits = vec![limit_spec(90, Measure::Bytes(bytes, direction))];
    setup.rings = true;
    setup.start()
}

fn post(length: usize) -> String {
    format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n{}", "x".repeat(length))
}

/// The status, and the code of one that the gateway made.
fn outcome(client: &mut support::Client, request: impl AsRef<[u8]>) -> (u16, String) {
    let answer = client.send(request).answer().expect("an answer");
    (answer.status(), answer.code())
}

#[test]
fn bytes_on_the_way_up_are_those_of_bodies_however_they_come() {
    let limited = (429, "rate_limited".to_owned());
    for driver in DRIVERS {
        // In one read with its head.
        let upstream = Upstream::fixed(OK);
        let gateway = with_bytes(driver, &upstream, 1000, Direction::Up);
        let mut client = gateway.client();
        assert_eq!(outcome(&mut client, post(600)).0, 200);
        assert_eq!(outcome(&mut client, post(401)), limited);
        assert_eq!(outcome(&mut gateway.client(), post(400)).0, 200);
        assert_eq!(outcome(&mut gateway.client(), post(1)), limited);

        // Behind its head, with more than the request read at once; what follows is not counted to it.
        let gateway = with_bytes(driver, &upstream, 1000, Direction::Up);
        let mut client = gateway.client();
        client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 600\r\n\r\n");
        let after = format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "y".repeat(900));
        client.send("x".repeat(600) + &after);
        assert_eq!(client.answer().unwrap().status(), 200);
        assert_eq!(client.answer().unwrap().status(), 200);
        assert_eq!(outcome(&mut client, post(400)).0, 200);
        let lengths: Vec<u64> = gateway.recorded(3).iter().map(|record| record.call.bytes_in).collect();
        let head = |request: &str| request.find("\r\n\r\n").unwrap() as u64 + 4;
        let posted = head(&post(600));
        assert_eq!(lengths, [posted + 600, after.len() as u64, posted + 400]);

        // In chunks, whose sum is known at the end only; then the limit is passed, and closed for the next.
        let gateway = with_bytes(driver, &upstream, 1000, Direction::Up);
        let mut client = gateway.client();
        let chunk = format!("5dc\r\n{}\r\n", "x".repeat(1500));
        let chunks =
            format!("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}0\r\n\r\n");
        assert_eq!(outcome(&mut client, &chunks).0, 200);
        assert_eq!(outcome(&mut client, post(1)), limited);
        assert_eq!(gateway.recorded(2)[0].call.bytes_in, chunks.len() as u64);
    }
}

#[test]
fn bytes_of_heads_are_not_counted() {
    for driver in DRIVERS {
        let upstream = Upstream::fixed(
            b"HTTP/1.1 200 OK\r\nX-Long: 0123456789012345678901234567890123456789\r\nContent-Length: 0\r\n\r\n",
        );
        let gateway = with_bytes(driver, &upstream, 1000, Direction::Both);
        let mut client = gateway.client();
        for _ in 0..20 {
            let get = format!("GET / HTTP/1.1\r\nHost: h\r\nX-Long: {}\r\n\r\n", "y".repeat(500));
            assert_eq!(outcome(&mut client, get).0, 200);
        }
        assert_eq!(outcome(&mut client, post(1000)).0, 200);
        assert_eq!(outcome(&mut client, post(1)).0, 429);
    }
}

#[test]
fn bytes_on_the_way_down_close_the_limit_once_they_have_gone() {
    let get = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    let chunked: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n258\r\n{600}\r\n0\r\n\r\n";
    let body = [b'z'; 600];
    let with = |head: &[u8], tail: &[u8]| [head, &body[..], tail].concat();
    let split = find(chunked, b"{600}").unwrap();
    for driver in DRIVERS {
        for answer in [
            with(b"HTTP/1.1 200 OK\r\nContent-Length: 600\r\n\r\n", b""),
            with(&chunked[..split], &chunked[split + 5..]),
            with(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", b""),
        ] {
            let until_close = find(&answer, b"Connection: close").is_some();
            let upstream =
                Upstream::start(
                    move |conn| {
                        while conn.request().is_some() && conn.write(&answer) && !until_close {}
                    },
                );
            let gateway = with_bytes(driver, &upstream, 1000, Direction::Down);
            let mut client = gateway.client();
            assert_eq!(outcome(&mut client, get).0, 200);
            assert_eq!(outcome(&mut client, get).0, 200);
            assert_eq!(outcome(&mut client, get).0, 429);
        }
    }
}

#[test]
fn bytes_that_were_announced_and_never_came_are_given_back() {
    for driver in DRIVERS {
        let upstream = Upstream::fixed(OK);
        let gateway = with_bytes(driver, &upstream, 1000, Direction::Up);
        let mut leaves = gateway.client();
        leaves.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n0123456789");
        eventually("the first bytes", || upstream.text().ends_with("0123456789"));
        assert_eq!(outcome(&mut gateway.client(), post(1)).0, 429, "all of it is reserved");
        drop(leaves);
        eventually("the rest", || gateway.requests() == 0);
        assert_eq!(outcome(&mut gateway.client(), post(990)).0, 200);
        assert_eq!(outcome(&mut gateway.client(), post(1)).0, 429);
    }
}

/// Sends `piece` every 100 ms until the gateway answers or `pieces` have been sent.
fn drip(client: &mut support::Client, piece: &[u8], pieces: usize) -> Duration {
    let begun = std::time::Instant::now();
    client.stream.set_nonblocking(true).unwrap();
    for _ in 0..pieces {
        client.send(piece);
        std::thread::sleep(Duration::from_millis(100)); // the pace of the client
        if client.stream.peek(&mut [0]).is_ok() {
            break;
        }
    }
    client.stream.set_nonblocking(false).unwrap();
    begun.elapsed()
}

#[test]
fn a_body_below_the_floor_rate_is_given_up_after_the_grace() {
    let grace = Duration::from_nanos(RATE_GRACE_NS);
    std::thread::scope(|scope| {
        for driver in DRIVERS {
            let gateway = move |upstream: &Upstream, rate| {
                let mut setup = Setup::new(driver, upstream_spec(upstream.addr));
                setup.route().body = spec::Body { max: None, rate_min: Some(rate) };
                setup.start()
            };
            scope.spawn(move || {
                let upstream = Upstream::fixed(OK);
                let gateway = gateway(&upstream, 1000);
                let mut client = gateway.client();
                client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n");
                // Never idle, but ten times too slow.
                let took = drip(&mut client, &[b'x'; 10], 300);
                assert_eq!(client.answer().unwrap().code(), "body_too_slow", "{driver:?}");
                assert!(took >= grace && took < grace + Duration::from_secs(5), "{took:?} on {driver:?}");
                assert!(client.is_closed());
            });
            scope.spawn(move || {
                let upstream = Upstream::fixed(OK);
                let gateway = gateway(&upstream, 1000);
                let mut client = gateway.client();
                client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 48000\r\n\r\n");
                // Longer than the grace, and above the floor even on a busy machine.
                drip(&mut client, &[b'x'; 400], 120);
                assert_eq!(client.answer().unwrap().status(), 200, "{driver:?}");
            });
            scope.spawn(move || {
                const LENGTH: usize = 32 << 20;
                // The client is fast; it is the upstream that takes nothing for longer than the grace.
                let upstream = Upstream::start(move |conn| {
                    conn.head();
                    std::thread::sleep(grace + Duration::from_secs(2));
                    conn.body(LENGTH);
                    conn.write(OK);
                });
                let gateway = gateway(&upstream, LENGTH as u64);
                let mut client = gateway.client();
                client.send(format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {LENGTH}\r\n\r\n"));
                client.send(vec![b'x'; LENGTH]);
                let answer = client.answer().unwrap();
                assert_eq!(answer.status(), 200, "{} on {driver:?}", answer.code());
            });
        }
    });
}

#[test]
fn a_pause_longer_than_a_write_may_take_is_no_fault_of_the_client() {
    let pause = Duration::from_millis(300);
    let pieces: [(&str, [&'static [u8]; 2]); 4] = [
        ("body", [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no", b"k"]),
        (
            "chunks",
            [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n", b"1\r\nk\r\n0\r\n\r\n"],
        ),
        ("head", [b"HTTP/1.1 200 OK\r\n", b"Content-Length: 2\r\n\r\nok"]),
        ("hints", [b"HTTP/1.1 103 Early Hints\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"]),
    ];
    for driver in DRIVERS {
        for (name, pieces) in pieces {
            let upstream = Upstream::start(move |conn| {
                while conn.request().is_some() {
                    conn.write(pieces[0]);
                    std::thread::sleep(pause);
                    conn.write(pieces[1]);
                }
            });
            let mut setup = Setup::new(driver, upstream_spec(upstream.addr));
            setup.spec.listeners[0].timeouts.write = pause / 3;
            setup.rings = true;
            let gateway = setup.start();
            let mut client = gateway.client();
            for _ in 0..2 {
                client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
                let mut answer = client.answer().unwrap_or_else(|| panic!("{driver:?} {name}: no answer"));
                if answer.status() == 103 {
                    answer = client.answer().unwrap();
                }
                assert_eq!((answer.status(), &answer.body[..]), (200, &b"ok"[..]), "{driver:?} {name}");
            }
            for record in gateway.recorded(2) {
                assert_eq!(
                    (record.code(), record.amended, record.call.write_us),
                    ("", 0, 0),
                    "{driver:?} {name}"
                );
            }
        }
    }
}

#[test]
fn an_upload_that_we_asked_for_may_take_longer_than_a_write() {
    for driver in DRIVERS {
        let upstream = Upstream::start(|conn| {
            while conn.request().is_some() {
                conn.write(b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok");
            }
        });
        let mut setup = Setup::new(driver, upstream_spec(upstream.addr));
        setup.spec.listeners[0].timeouts.write = Duration::from_millis(100);
        let gateway = setup.start();
        let mut client = gateway.client();
        client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\nExpect: 100-continue\r\n\r\n");
        assert_eq!(client.answer().expect("100 Continue").status(), 100);
        for _ in 0..6 {
            std::thread::sleep(Duration::from_millis(60)); // a slow client
            client.send("x");
        }
        assert_eq!(client.answer().expect("an answer").status(), 201, "{driver:?}");
    }
}

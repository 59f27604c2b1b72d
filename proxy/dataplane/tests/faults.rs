//! Upstreams that fail in every way, and what the client gets: a defined answer, or a reset where one has begun.
#![allow(unsafe_code)]
#![allow(clippy::disallowed_methods, reason = "a test may read the clock and wait")]

mod support;

use std::time::Duration;

use penstock_dataplane::driver::Choice;
use support::{Answer, Conn, DRIVERS, Gateway, Upstream, listener_spec, upstream_spec};

fn ask(driver: Choice, script: impl Fn(&mut Conn) + Send + Sync + 'static) -> Option<Answer> {
    let upstream = Upstream::start(script);
    let mut spec = upstream_spec(upstream.addr);
    spec.timeouts.first_byte = Duration::from_millis(1000);
    spec.timeouts.idle = Duration::from_millis(1000);
    let gateway = Gateway::with(driver, spec, listener_spec());
    let mut client = gateway.client();
    client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n").answer()
}

#[test]
fn before_the_answer_has_begun_each_fault_has_its_code() {
    type Script = fn(&mut Conn);
    let cases: [(&str, u16, Script); 9] = [
        ("upstream_closed_early", 502, |conn| drop(conn.request())),
        ("upstream_reset", 502, |conn| {
            conn.request();
            conn.reset();
        }),
        ("upstream_closed_early", 502, |conn| {
            conn.request();
            conn.write(b"HTTP/1.1 200 OK\r\nConte");
        }),
        ("upstream_bad_response", 502, |conn| {
            conn.request();
            conn.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n");
        }),
        ("upstream_bad_response", 502, |conn| {
            conn.request();
            conn.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab");
        }),
        ("upstream_bad_response", 502, |conn| {
            conn.request();
            conn.write(
                b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            );
        }),
        ("upstream_first_byte_timeout", 504, |conn| {
            conn.request();
            conn.sees_end();
        }),
        ("upstream_first_byte_timeout", 504, |conn| {
            conn.request();
            conn.write(b"HTTP/1.1 200 OK\r\n");
            conn.sees_end();
        }),
        ("upstream_head_too_large", 502, |conn| {
            conn.request();
            conn.write(b"HTTP/1.1 200 OK\r\nX: ");
            while conn.write(&[b'x'; 1000]) {}
        }),
    ];
    for driver in DRIVERS {
        for (n, (code, status, script)) in cases.iter().enumerate() {
            let answer = ask(driver, *script).unwrap_or_else(|| panic!("case {n}: no answer"));
            assert_eq!((answer.code().as_str(), answer.status()), (*code, *status), "case {n} on {driver:?}");
        }
    }
}

#[test]
fn after_it_has_begun_the_client_never_takes_a_part_for_the_whole() {
    type Script = fn(&mut Conn);
    let cases: [Script; 4] = [
        |conn| {
            conn.request();
            conn.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
        },
        |conn| {
            conn.request();
            conn.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
        },
        |conn| {
            conn.request();
            conn.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
            conn.write(b"zz\r\n");
            conn.sees_end();
        },
        |conn| {
            conn.request();
            conn.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
            conn.sees_end();
        },
    ];
    for driver in DRIVERS {
        for (n, script) in cases.iter().enumerate() {
            // A fault that is seen before the first byte has gone out still gets its answer.
            let answer = ask(driver, *script);
            assert!(answer.as_ref().is_none_or(|a| a.status() == 502), "case {n} on {driver:?}: {answer:?}");
        }
    }
}

#[test]
fn a_head_that_broke_off_leaves_nothing_for_the_next_answer() {
    for driver in DRIVERS {
        for part in ["HTTP/1.1 2", "HTTP/1.1 200 O", "HTTP/1.1 200 OK\r\nX-Of: another\r\n"] {
            let upstream = Upstream::start(move |conn| {
                let Some((head, _)) = conn.request() else { return };
                if head.starts_with("GET /part") {
                    conn.write(part.as_bytes());
                } else {
                    conn.write(
                        b"HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 4\r\n\r\nnone",
                    );
                }
            });
            let gateway = Gateway::start(driver, &upstream);
            let mut client = gateway.client();
            for _ in 0..3 {
                let broken = client.send("GET /part HTTP/1.1\r\nHost: h\r\n\r\n").answer().unwrap();
                assert_eq!(broken.code(), "upstream_closed_early", "{part:?} on {driver:?}");
                let next = client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").answer().unwrap();
                assert_eq!((next.status(), &next.body[..]), (404, &b"none"[..]), "{part:?}: {}", next.head);
                assert!(!next.head.contains("another"), "{}", next.head);
            }
        }
    }
}

#[test]
fn an_upstream_that_does_not_listen() {
    for driver in DRIVERS {
        let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let gateway = Gateway::with(driver, upstream_spec(gone), listener_spec());
        let mut client = gateway.client();
        for _ in 0..3 {
            let answer = client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").answer().unwrap();
            assert_eq!(answer.code(), "upstream_connect_failed");
        }
    }
}

#[test]
fn a_pooled_connection_that_died_costs_no_request() {
    for driver in DRIVERS {
        // Closes each connection after its first answer.
        let upstream = Upstream::start(|conn| {
            conn.request();
            conn.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        });
        let gateway = Gateway::start(driver, &upstream);
        let mut client = gateway.client();
        for n in 0..20 {
            let answer = client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").answer().unwrap();
            assert_eq!(answer.status(), 200, "request {n} on {driver:?}");
        }
    }
}

#[test]
fn a_whole_pool_that_died_costs_no_request() {
    const POOLED: usize = 4;
    for driver in DRIVERS {
        // Takes one request a connection, the first ones all at the same time; closes with the second one's arrival.
        let together = std::sync::Barrier::new(POOLED);
        let accepted = std::sync::atomic::AtomicUsize::new(0);
        let upstream = Upstream::start(move |conn| {
            conn.request();
            if accepted.fetch_add(1, std::sync::atomic::Ordering::SeqCst) < POOLED {
                together.wait();
            }
            conn.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            conn.request();
        });
        let gateway = Gateway::start(driver, &upstream);
        let mut clients: Vec<_> = (0..POOLED).map(|_| gateway.client()).collect();
        for client in &mut clients {
            client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        }
        for client in &mut clients {
            assert_eq!(client.answer().unwrap().status(), 200);
        }
        for n in 0..POOLED {
            let answer = clients[0].send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").answer().unwrap();
            assert_eq!(answer.status(), 200, "request {n} on {driver:?}");
        }
    }
}

#[test]
fn stray_bytes_after_an_answer_poison_the_connection() {
    for driver in DRIVERS {
        let upstream = Upstream::start(|conn| {
            while conn.request().is_some() {
                conn.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
            }
        });
        let gateway = Gateway::start(driver, &upstream);
        let mut client = gateway.client();
        for _ in 0..5 {
            let answer = client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").answer().unwrap();
            assert_eq!(answer.body, b"ok");
        }
    }
}

#[test]
fn stray_bytes_that_come_later_poison_the_connection_too() {
    for driver in DRIVERS {
        let (told, strayed) = std::sync::mpsc::channel();
        let (answered, is_answered) = std::sync::mpsc::channel::<()>();
        let is_answered = std::sync::Mutex::new(is_answered);
        let upstream = Upstream::start(move |conn| {
            while conn.request().is_some() {
                conn.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
                if is_answered.lock().unwrap().recv().is_err() {
                    return;
                }
                conn.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
                told.send(()).ok();
            }
        });
        let gateway = Gateway::start(driver, &upstream);
        let mut client = gateway.client();
        for _ in 0..5 {
            let answer = client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").answer().unwrap();
            assert_eq!(answer.body, b"ok");
            answered.send(()).unwrap();
            strayed.recv().unwrap();
        }
        assert_eq!(upstream.connections(), 5, "{driver:?}");
    }
}

#[test]
fn stray_bytes_behind_an_answer_that_filled_its_buffer_are_nobodys_answer() {
    let head = |body: usize| format!("HTTP/1.1 200 OK\r\nContent-Length: {body}\r\n\r\n");
    let room = penstock_dataplane::buf::SMALL - penstock_dataplane::buf::HEADROOM;
    let body = room - head(room).len();
    let answer = [head(body).into_bytes(), vec![b'x'; body]].concat();
    assert_eq!(answer.len(), room);
    let with_stray = [&answer[..], b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"].concat();
    for driver in DRIVERS {
        let with_stray = with_stray.clone();
        let (one, other, connections) = second_answer(driver, move |conn| {
            conn.write(&with_stray);
            true
        });
        assert_eq!(one.len(), body, "{driver:?}");
        assert_eq!(other, b"ok", "{driver:?}");
        assert_eq!(connections, 2, "{driver:?}");
    }
}

#[test]
fn an_end_that_came_with_an_answer_costs_the_next_request_nothing_on_epoll() {
    // io_uring would have to make a system call to know, and leaves that to the retry of what may be repeated.
    let (one, other, connections) = second_answer(Choice::Epoll, |conn| {
        cork(&conn.stream);
        conn.write(SHORT);
        false
    });
    assert_eq!(one, b"ok");
    assert_eq!(other, b"ok");
    assert_eq!(connections, 2);
}

const SHORT: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// One connection at most, to an upstream that answers the first request by `first`, which says whether that connection
/// goes on, once a second request waits for it; all others get [`SHORT`]. Gives both answers' bodies, and how many
/// connections there were.
fn second_answer(
    driver: Choice,
    first: impl Fn(&mut Conn) -> bool + Send + Sync + 'static,
) -> (Vec<u8>, Vec<u8>, usize) {
    let (go, gate) = std::sync::mpsc::channel::<()>();
    let (gate, is_first) = (std::sync::Mutex::new(gate), std::sync::atomic::AtomicBool::new(true));
    let upstream = Upstream::start(move |conn| {
        while conn.request().is_some() {
            if !is_first.swap(false, std::sync::atomic::Ordering::SeqCst) {
                conn.write(SHORT);
                continue;
            }
            gate.lock().expect("the gate").recv().expect("a sign");
            if !first(conn) {
                return;
            }
        }
    });
    let mut spec = upstream_spec(upstream.addr);
    spec.pool.per_target_max = 1;
    spec.pool.wait = support::PATIENCE;
    let gateway = Gateway::with(driver, spec, listener_spec());
    let nodes = gateway.dataplane.nodes().clone();
    let (mut one, mut other) = (gateway.client(), gateway.client());
    one.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    support::eventually("the first", || upstream.text().ends_with("\r\n\r\n"));
    // No method that may be repeated.
    other.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
    support::eventually("its place in the queue", || nodes.wanted_in_all() == 1);
    go.send(()).expect("the upstream");
    let body = |client: &mut support::Client| client.answer().expect("an answer").body;
    (body(&mut one), body(&mut other), upstream.connections())
}

/// Has the socket send what is written to it together with its end.
fn cork(stream: &std::net::TcpStream) {
    let on = 1i32;
    // SAFETY: `on` is valid for reads of its size, which the kernel copies.
    let result = unsafe {
        libc::setsockopt(
            std::os::fd::AsRawFd::as_raw_fd(stream),
            libc::IPPROTO_TCP,
            libc::TCP_CORK,
            (&raw const on).cast(),
            size_of::<i32>() as libc::socklen_t,
        )
    };
    assert_eq!(result, 0);
}

#[test]
fn waiting_for_a_connection_is_bounded() {
    for driver in DRIVERS {
        let upstream = Upstream::start(|conn| {
            conn.request();
            conn.sees_end();
        });
        let mut spec = upstream_spec(upstream.addr);
        spec.pool.per_target_max = 1;
        spec.pool.wait = Duration::from_millis(100);
        let gateway = Gateway::with(driver, spec, listener_spec());
        let mut first = gateway.client();
        first.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        while upstream.connections() == 0 {
            std::thread::yield_now();
        }
        let answer = gateway.client().send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").answer().unwrap();
        assert_eq!(answer.code(), "pool_exhausted");
    }
}

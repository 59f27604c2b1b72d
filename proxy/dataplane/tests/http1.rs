//! HTTP/1.1 through a running worker, on every driver: what passes, how it is framed, and what becomes of
//! connections.
#![allow(clippy::disallowed_methods, reason = "a test may read the clock and the environment")]

mod support;

use std::io::Write;
use std::time::Duration;

use support::{DRIVERS, Gateway, Upstream, eventually, find, listener_spec, upstream_spec};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn a_request_passes_with_its_fields_and_without_those_of_the_hop() {
    for driver in DRIVERS {
        let upstream =
            Upstream::fixed(b"HTTP/1.1 200 OK\r\nX-A: b\r\nKeep-Alive: x\r\nContent-Length: 2\r\n\r\nok");
        let gateway = Gateway::start(driver, &upstream);
        let mut client = gateway.client();
        client.send("GET /a?b=c HTTP/1.1\r\nHost: h\r\nX-Mixed-Case: v\r\nConnection: x-hop\r\nX-Hop: 1\r\nTE: trailers\r\n\r\n");
        let answer = client.answer().unwrap();
        assert_eq!((answer.status(), answer.body.as_slice()), (200, &b"ok"[..]));
        assert!(answer.head.contains("X-A: b\r\n") && !answer.head.contains("Keep-Alive"), "{}", answer.head);
        let seen = upstream.text();
        assert!(
            seen.starts_with("GET /a?b=c HTTP/1.1\r\n") && seen.contains("X-Mixed-Case: v\r\n"),
            "{seen}"
        );
        for gone in ["X-Hop", "TE:", "Connection"] {
            assert!(!seen.contains(gone), "{gone} in {seen}");
        }
    }
}

#[test]
fn connections_are_kept_and_pooled() {
    for driver in DRIVERS {
        let upstream = Upstream::fixed(OK);
        let gateway = Gateway::start(driver, &upstream);
        let mut client = gateway.client();
        for _ in 0..20 {
            assert_eq!(client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").answer().unwrap().status(), 200);
        }
        assert_eq!(upstream.connections(), 1);
        let answer = client.send("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").answer().unwrap();
        assert!(answer.head.contains("Connection: close\r\n"));
        assert!(client.is_closed());
    }
}

#[test]
fn requests_are_counted_while_they_are_under_way() {
    for driver in DRIVERS {
        let upstream = Upstream::fixed(OK);
        let gateway = Gateway::start(driver, &upstream);
        let (mut whole, mut begun) = (gateway.client(), gateway.client());
        begun.send("GET");
        eventually("a head that has begun", || gateway.requests() == 1);
        whole.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
        eventually("two requests", || gateway.requests() == 2);
        drop(begun);
        eventually("one request", || gateway.requests() == 1);
        whole.send("2\r\nhi\r\n0\r\n\r\n");
        assert_eq!(whole.answer().unwrap().status(), 200);
        eventually("no request", || gateway.requests() == 0);
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    for driver in DRIVERS {
        let upstream = Upstream::start(|conn| {
            while let Some((head, body)) = conn.request() {
                let path = head.split(' ').nth(1).unwrap().to_owned();
                let said = format!("{path}{}", body.len());
                conn.write(
                    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{said}", said.len()).as_bytes(),
                );
            }
        });
        let gateway = Gateway::start(driver, &upstream);
        let mut client = gateway.client();
        client.send(concat!(
            "GET /1 HTTP/1.1\r\nHost: h\r\n\r\n",
            "POST /2 HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc",
            "GET /3 HTTP/1.1\r\nHost: h\r\n\r\nGET /4 HTTP/1.1\r\nHo"
        ));
        for want in ["/10", "/23", "/30"] {
            assert_eq!(String::from_utf8(client.answer().unwrap().body).unwrap(), want);
        }
        assert_eq!(client.send("st: h\r\n\r\n").answer().unwrap().body, b"/40");
    }
}

#[test]
fn bodies_pass_both_ways_byte_for_byte() {
    let big: Vec<u8> = (0..5_000_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for driver in DRIVERS {
        // An echo that answers while the request is still coming.
        let upstream = Upstream::start(|conn| {
            let Some(head) = conn.head() else { return };
            let length: usize = head
                .to_ascii_lowercase()
                .split("content-length: ")
                .nth(1)
                .unwrap()
                .split("\r\n")
                .next()
                .unwrap()
                .parse()
                .unwrap();
            conn.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").as_bytes());
            let mut left = length;
            while left > 0 {
                let Some(piece) = conn.body(left.min(10_000)) else { return };
                left -= piece.len();
                conn.write(&piece);
            }
        });
        let gateway = Gateway::start(driver, &upstream);
        let mut client = gateway.client();
        let mut sender = client.stream.try_clone().unwrap();
        let (head, body) =
            (format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n", big.len()), big.clone());
        let sending = std::thread::spawn(move || {
            sender.write_all(head.as_bytes()).unwrap();
            for piece in body.chunks(77_777) {
                sender.write_all(piece).unwrap();
            }
        });
        assert!(client.answer().unwrap().body == big);
        sending.join().unwrap();
    }
}

#[test]
fn chunked_requests_pass_without_extensions() {
    for driver in DRIVERS {
        let upstream = Upstream::fixed(OK);
        let gateway = Gateway::start(driver, &upstream);
        let mut client = gateway.client();
        for piece in [
            "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5;evil=1\r\nhel",
            "lo\r\n1\r\n!\r",
            "\n0\r\n\r\n",
        ] {
            client.send(piece);
        }
        assert_eq!(client.answer().unwrap().status(), 200);
        let seen = upstream.text();
        assert!(seen.ends_with("\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n"), "{seen}");
        assert_eq!(client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").answer().unwrap().status(), 200);
    }
}

#[test]
fn trailers_pass_and_dangerous_ones_do_not() {
    for driver in DRIVERS {
        let upstream = Upstream::start(|conn| {
            conn.head();
            conn.until(b"0\r\n");
            conn.until(b"\r\n\r\n");
            conn.write(OK);
        });
        let gateway = Gateway::start(driver, &upstream);
        let mut client = gateway.client();
        client.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Sum: 5\r\nContent-Length: 9\r\n\r\n");
        assert_eq!(client.answer().unwrap().status(), 200);
        let seen = upstream.text();
        assert!(seen.ends_with("0\r\nX-Sum: 5\r\n\r\n"), "{seen}");
    }
}

#[test]
fn answers_are_framed_for_whoever_asked() {
    let chunked: &[u8] =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    let until_close: &[u8] = b"HTTP/1.1 200 OK\r\n\r\nabcde";
    for driver in DRIVERS {
        for raw in [chunked, until_close] {
            let upstream = Upstream::start(move |conn| {
                conn.request();
                conn.write(raw);
            });
            let gateway = Gateway::start(driver, &upstream);
            let mut new = gateway.client();
            let answer = new.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").answer().unwrap();
            assert_eq!(answer.body, b"abcde");
            assert!(answer.head.contains("Transfer-Encoding: chunked\r\n"), "{}", answer.head);
            let again = new.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").answer().unwrap();
            assert_eq!(again.body, b"abcde", "the client's connection lives on");
            let mut old = gateway.client();
            let answer = old.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").answer().unwrap();
            assert_eq!(answer.body, b"abcde");
            assert!(
                !answer.head.contains("chunked") && answer.head.contains("Connection: close"),
                "{}",
                answer.head
            );
        }
    }
}

#[test]
fn answers_without_body_keep_what_they_say_of_it() {
    for driver in DRIVERS {
        for (request, raw) in [
            ("HEAD", &b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"[..]),
            ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\n\r\n"),
            ("GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
        ] {
            let upstream = Upstream::fixed(raw);
            let gateway = Gateway::start(driver, &upstream);
            let mut client = gateway.client();
            for _ in 0..3 {
                client.send(format!("{request} / HTTP/1.1\r\nHost: h\r\n\r\n"));
                let answer = client.answer_to(request == "HEAD").unwrap();
                let told = answer.head.contains("Content-Length: 1000");
                assert_eq!(told, answer.status() != 204, "{}", answer.head);
            }
            assert_eq!(upstream.connections(), 1);
        }
    }
}

#[test]
fn interim_answers_pass_to_new_clients_and_are_bounded() {
    for driver in DRIVERS {
        let upstream = Upstream::start(|conn| {
            while conn.request().is_some() {
                conn.write(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
                conn.write(OK);
            }
        });
        let gateway = Gateway::start(driver, &upstream);
        let mut client = gateway.client();
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        let hints = client.answer().unwrap();
        assert!(hints.status() == 103 && hints.head.contains("Link: </a>"));
        assert_eq!(client.answer().unwrap().status(), 200);
        let old = gateway.client().send("GET / HTTP/1.0\r\n\r\n").answer().unwrap();
        assert_eq!(old.status(), 200);

        let endless = Upstream::start(|conn| {
            conn.request();
            while conn.write(b"HTTP/1.1 102 Processing\r\n\r\n") {}
        });
        let gateway = Gateway::start(driver, &endless);
        let mut client = gateway.client();
        client.send("GET / HTTP/1.0\r\n\r\n");
        assert_eq!(client.answer().unwrap().code(), "upstream_too_many_interim");
    }
}

#[test]
fn expect_continue_is_relayed_or_answered_by_us() {
    for driver in DRIVERS {
        for upstream_says in [true, false] {
            let upstream = Upstream::start(move |conn| {
                let Some(head) = conn.head() else { return };
                assert!(head.to_ascii_lowercase().contains("expect: 100-continue"));
                if upstream_says {
                    conn.write(b"HTTP/1.1 100 Continue\r\n\r\n");
                }
                conn.body(5);
                conn.write(OK);
            });
            let gateway = Gateway::start(driver, &upstream);
            let mut client = gateway.client();
            client.send("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
            assert_eq!(client.answer().unwrap().status(), 100);
            assert_eq!(client.send("hello").answer().unwrap().status(), 200);
        }
        let refuses = Upstream::start(|conn| {
            conn.head();
            conn.write(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n");
            conn.sees_end();
        });
        let gateway = Gateway::start(driver, &refuses);
        let mut client = gateway.client();
        client.send("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
        assert_eq!(client.answer().unwrap().status(), 401);
        assert!(client.is_closed(), "a body that was not read ends the connection");
    }
}

#[test]
fn an_early_answer_ends_the_upload() {
    for driver in DRIVERS {
        let upstream = Upstream::start(|conn| {
            conn.head();
            conn.body(1000);
            conn.write(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n");
            conn.sees_end();
        });
        let gateway = Gateway::start(driver, &upstream);
        let mut client = gateway.client();
        client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n").send(vec![b'x'; 2000]);
        assert_eq!(client.answer().unwrap().status(), 413);
        assert!(client.is_closed());
    }
}

#[test]
fn a_body_over_the_limit_is_refused_before_it_is_read() {
    for driver in DRIVERS {
        let upstream = Upstream::fixed(OK);
        let gateway = Gateway::start(driver, &upstream);
        for head in ["Content-Length: 99999999", "Transfer-Encoding: chunked"] {
            let mut client = gateway.client();
            client.send(format!("POST / HTTP/1.1\r\nHost: h\r\n{head}\r\n\r\n5f5e0ff\r\nabc"));
            assert_eq!(client.answer().unwrap().code(), "body_too_large");
        }
    }
}

#[test]
fn a_client_that_leaves_takes_its_upstream_request_along() {
    for driver in DRIVERS {
        let (told, heard) = std::sync::mpsc::channel();
        let told = std::sync::Mutex::new(told);
        let upstream = Upstream::start(move |conn| {
            conn.request();
            told.lock().unwrap().send(()).unwrap();
            let ended = conn.sees_end();
            told.lock().unwrap().send(()).unwrap();
            assert!(ended);
        });
        let gateway = Gateway::start(driver, &upstream);
        let mut client = gateway.client();
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        heard.recv_timeout(support::PATIENCE).unwrap();
        drop(client);
        heard.recv_timeout(support::PATIENCE).expect("the upstream saw the end");
    }
}

#[test]
fn a_request_behind_the_last_one_makes_no_reset_of_its_answer() {
    // The client does not know that it was the last one.
    for driver in DRIVERS {
        let (go, gate) = std::sync::mpsc::channel::<()>();
        let gate = std::sync::Mutex::new(gate);
        let upstream = Upstream::start(move |conn| {
            while conn.request().is_some() && gate.lock().unwrap().recv().is_ok() {
                conn.write(OK);
            }
        });
        let mut listener = listener_spec();
        listener.limits.requests_per_connection_max = Some(1);
        let gateway = Gateway::with(driver, upstream_spec(upstream.addr), listener);
        for n in 1..=5 {
            let mut client = gateway.client();
            client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
            support::eventually("the request", || upstream.text().matches("GET").count() == n);
            client.send("GET /next HTTP/1.1\r\nHost: h\r\n\r\n");
            go.send(()).unwrap();
            assert_eq!(client.answer().unwrap().status(), 200);
            let end = std::io::Read::read(&mut client.stream, &mut [0; 1]);
            assert!(matches!(end, Ok(0)), "{driver:?}: {end:?}");
        }
    }
}

#[test]
fn a_parked_connection_serves_again() {
    for driver in DRIVERS {
        let upstream = Upstream::fixed(OK);
        let gateway = Gateway::start(driver, &upstream);
        let mut client = gateway.client();
        for pause_ms in [0, 2_300, 0] {
            std::thread::sleep(Duration::from_millis(pause_ms)); // past the release of idle buffers
            let long = "x".repeat(300);
            client.send(format!("GET /{long} HTTP/1.1\r\nHost: h\r\n\r\n"));
            assert_eq!(client.answer().unwrap().status(), 200);
        }
    }
}

#[test]
fn slow_heads_and_idle_connections_end_in_time() {
    for driver in DRIVERS {
        let upstream = Upstream::fixed(OK);
        let mut listener = listener_spec();
        listener.timeouts.head = Duration::from_millis(200);
        listener.timeouts.keepalive = Duration::from_millis(300);
        let gateway = Gateway::with(driver, upstream_spec(upstream.addr), listener);
        let mut slow = gateway.client();
        slow.send("GET / HT");
        assert_eq!(slow.answer().unwrap().code(), "head_timeout");
        assert!(slow.is_closed());
        let mut idle = gateway.client();
        assert_eq!(idle.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").answer().unwrap().status(), 200);
        assert!(idle.is_closed());
        assert!(gateway.client().is_closed());
    }
}

#[test]
fn draining_finishes_what_is_under_way_and_says_close() {
    for driver in DRIVERS {
        let upstream = Upstream::start(|conn| {
            while let Some((head, _)) = conn.request() {
                if head.starts_with("GET /slow") {
                    std::thread::sleep(Duration::from_millis(300)); // an upstream that takes its time
                }
                conn.write(OK);
            }
        });
        let gateway = Gateway::start(driver, &upstream);
        let mut slow = gateway.client();
        slow.send("GET /slow HTTP/1.1\r\nHost: h\r\n\r\n");
        let mut idle = gateway.client();
        idle.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").answer().unwrap();
        let dataplane = gateway.dataplane.clone();
        let draining = std::thread::spawn(move || dataplane.drain(Duration::from_secs(10)));
        let answer = slow.answer().unwrap();
        assert_eq!(answer.status(), 200);
        assert!(slow.is_closed() && idle.is_closed());
        assert_eq!(draining.join().unwrap(), 0);
        assert!(find(answer.head.as_bytes(), b"Connection: close").is_some(), "{}", answer.head);
    }
}

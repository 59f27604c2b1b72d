//! Every way a call can end leaves exactly one record, read back from the ring, that says what happened.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test may wait and may panic")]

mod support;

use std::time::Duration;

use penstock_dataplane::driver::Choice;
use penstock_gate::spec::{self, Measure};
use penstock_ring::{Stage, Verdict, flag};
use support::{
    Conn, DRIVERS, Gateway, Recorded, Setup, Upstream, eventually, limit_spec, nowhere, upstream_spec,
};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn gateway(driver: Choice, upstream: &Upstream, change: impl FnOnce(&mut Setup)) -> Gateway {
    let mut up = upstream_spec(upstream.addr);
    up.timeouts.first_byte = Duration::from_millis(1500);
    up.timeouts.idle = Duration::from_millis(1500);
    let mut setup = Setup::new(driver, up);
    setup.rings = true;
    change(&mut setup);
    setup.start()
}

/// What one request leaves behind, its answer read as far as it comes.
fn one(driver: Choice, request: &str, script: impl Fn(&mut Conn) + Send + Sync + 'static) -> Recorded {
    let upstream = Upstream::start(script);
    let gateway = gateway(driver, &upstream, |_| {});
    let mut client = gateway.client();
    let head_only = request.starts_with("HEAD");
    let _ = client.send(request).answer_to(head_only);
    gateway.recorded(1).remove(0)
}

#[test]
fn answers_that_pass_are_recorded_whole_however_they_are_framed() {
    let get = "GET /p HTTP/1.1\r\nHost: h\r\n\r\n";
    let old = "GET /p HTTP/1.0\r\n\r\n";
    let head = "HEAD /p HTTP/1.1\r\nHost: h\r\n\r\n";
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let cases: [(&str, &str, &'static [u8], bool); 8] = [
        ("length", get, OK, false),
        ("chunked", get, chunked, false),
        ("chunked, byte by byte", get, chunked, true),
        ("chunked for 1.0", old, chunked, false),
        ("chunked for 1.0, byte by byte", old, chunked, true),
        ("until close", get, b"HTTP/1.1 200 OK\r\n\r\nhello", false),
        ("until close for 1.0", old, b"HTTP/1.1 200 OK\r\n\r\nhello", false),
        ("head", head, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", false),
    ];
    for driver in DRIVERS {
        for (name, request, answer, split) in cases {
            let record = one(driver, request, move |conn| {
                if conn.request().is_some() {
                    if split {
                        for byte in answer {
                            conn.write(&[*byte]);
                            std::thread::yield_now();
                        }
                    } else {
                        conn.write(answer);
                    }
                }
            });
            let call = &record.call;
            assert_eq!((call.status, call.upstream_status, call.code), (200, 200, 0), "{name}");
            assert_eq!(call.bytes_in, request.len() as u64, "{name}");
            assert_eq!(call.upstream_bytes_in, answer.len() as u64, "{name}");
            assert_eq!(record.path, "/p", "{name}");
            assert!(call.bytes_out > 15 && call.upstream == 1 && call.target > 0, "{name}: {call:?}");
            assert_eq!(call.verdict(Stage::Route), Some(Verdict::Allowed), "{name}");
        }
    }
}

#[test]
fn upstream_faults_are_recorded_once_with_their_code() {
    type Script = fn(&mut Conn);
    let cases: [(&str, u16, Script); 6] = [
        ("upstream_closed_early", 502, |conn| drop(conn.request())),
        ("upstream_bad_response", 502, |conn| {
            conn.request();
            conn.write(b"nonsense\r\n\r\n");
        }),
        ("upstream_first_byte_timeout", 504, |conn| {
            conn.request();
            conn.sees_end();
        }),
        ("upstream_closed_early", 200, |conn| {
            conn.request();
            conn.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
        }),
        ("upstream_idle_timeout", 200, |conn| {
            conn.request();
            conn.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
            conn.sees_end();
        }),
        ("upstream_bad_response", 200, |conn| {
            conn.request();
            conn.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
            std::thread::yield_now();
            while conn.write(b"zz\r\n") {}
        }),
    ];
    for driver in DRIVERS {
        for (n, (code, status, script)) in cases.iter().enumerate() {
            let record = one(driver, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx", *script);
            assert_eq!(record.code(), *code, "case {n}");
            // What has not begun to go out yet is answered with 502 instead.
            assert!(
                record.call.status == *status || (*status == 200 && record.call.status == 502),
                "case {n}"
            );
        }
    }
}

#[test]
fn what_the_gateway_answers_itself_is_recorded_too() {
    for driver in DRIVERS {
        let upstream = Upstream::fixed(OK);
        let gateway = gateway(driver, &upstream, |setup| {
            setup.route().limits = vec![limit_spec(90, Measure::Requests(1))];
            setup.spec.upstreams[0].targets[0].address = spec::TargetAddress::Ip(nowhere());
            setup.spec.listeners[0].timeouts.head = Duration::from_millis(100);
        });
        let asks = [
            ("GET / HTTP/1.1\r\nHost: h\r\n\r\n", "upstream_connect_failed", 502),
            ("GET / HTTP/1.1\r\nHost: h\r\n\r\n", "rate_limited", 429),
            ("GET / HTTP/1.1\r\n\r\n", "", 400),
            ("GET / HT", "head_timeout", 408),
        ];
        for (n, (request, code, status)) in asks.into_iter().enumerate() {
            let answer = gateway.client().send(request).answer().unwrap();
            let record = gateway.recorded(n + 1).remove(n);
            assert_eq!((answer.status(), record.call.status), (status, status));
            assert_eq!(record.code(), answer.code());
            assert!(code.is_empty() || record.code() == code, "{}", record.code());
            let sent = answer.head.len() + answer.body.len();
            assert_eq!(record.call.bytes_out, sent as u64, "{code}");
            assert_eq!(record.call.bytes_in, request.len() as u64, "{code}");
        }
        let records = gateway.records();
        assert_eq!(records[0].call.verdict(Stage::Connect), Some(Verdict::Failed));
        assert_eq!(records[1].call.verdict(Stage::Limit), Some(Verdict::Refused));
        assert_eq!(records[1].call.limit, 90);
        assert_eq!(records[2].call.verdict(Stage::Parse), Some(Verdict::Refused));
    }
}

#[test]
fn clients_that_leave_are_recorded_wherever_they_left() {
    for driver in DRIVERS {
        let upstream = Upstream::start(|conn| {
            conn.head();
            conn.sees_end();
        });
        let gateway = gateway(driver, &upstream, |setup| {
            setup.spec.upstreams[0].timeouts = spec::Timeouts::default();
        });
        for request in [
            "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhalf",
        ] {
            let seen = upstream.connections();
            let mut client = gateway.client();
            client.send(request);
            eventually("the request", || upstream.connections() > seen);
        }
        for record in gateway.recorded(2) {
            assert_eq!((record.code(), record.call.status), ("client_gone", 499));
            assert_ne!(record.call.flags & flag::CLIENT_GONE, 0);
        }
    }
}

#[test]
fn a_client_that_vanishes_in_the_last_send_amends_its_record() {
    const BODY: usize = 8_000_000;
    for driver in DRIVERS {
        let upstream = Upstream::start(|conn| {
            while conn.request().is_some() {
                conn.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {BODY}\r\n\r\n").as_bytes());
                conn.write(&vec![b'x'; BODY]);
            }
        });
        let gateway = gateway(driver, &upstream, |setup| {
            setup.spec.upstreams[0].timeouts = spec::Timeouts::default();
        });
        // Reads all but what the sockets between them and the last send hold, and leaves; where exactly is decided
        // by the sizes of the socket buffers, so it is tried at several places.
        let mut amended = 0;
        let places = [200_000, 500_000, 1_000_000, 2_000_000, 3_000_000, 4_000_000, 5_000_000, 6_000_000];
        for (n, left) in places.into_iter().enumerate() {
            let mut client = gateway.client();
            client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
            let mut bytes = vec![0; BODY - left];
            std::io::Read::read_exact(&mut client.stream, &mut bytes).unwrap();
            drop(client);
            let records = gateway.recorded(n + 1);
            eventually("the end", || gateway.connections() == 0);
            assert_eq!(records[n].call.status, 200);
            let record = gateway.records().remove(n);
            assert!(record.amended <= 1);
            amended += record.amended;
            if record.amended == 1 && record.code() == "client_gone" {
                assert!(record.call.bytes_out < BODY as u64 + 100);
                assert_ne!(record.call.flags & flag::CLIENT_GONE, 0);
            }
        }
        println!("{driver:?}: {amended} of {} were amended", places.len());
    }
}

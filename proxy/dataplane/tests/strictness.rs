//! Every row of the codec's strictness table once more, through a running gateway: the right code comes back, the
//! connection ends, and nothing of a refused request reaches the upstream.
#![allow(clippy::disallowed_methods, reason = "a test may read the clock and wait")]

mod support;

use std::io::Read;
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use penstock_dataplane::buf::SMALL;
use support::{DRIVERS, Gateway, Upstream, eventually, listener_spec, upstream_spec};

const ROWS: &str = include_str!("../../../core/http/tests/data/strictness.txt");

/// The bytes of a row: see the head of the file.
fn bytes(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if c == '{' {
            let (repeated, after) = rest[1..].split_once('}').expect("a closing brace");
            let (unit, times) = repeated.rsplit_once('*').expect("a count");
            let unit = bytes(unit);
            (0..times.parse::<usize>().expect("a number")).for_each(|_| out.extend_from_slice(&unit));
            rest = after;
            continue;
        }
        if c != '\\' {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            rest = &rest[c.len_utf8()..];
            continue;
        }
        let code = rest.as_bytes()[1];
        rest = &rest[2..];
        out.push(match code {
            b'r' => b'\r',
            b'n' => b'\n',
            b't' => b'\t',
            b'0' => 0,
            b'\\' => b'\\',
            b'x' => {
                let (hex, after) = rest.split_at(2);
                rest = after;
                u8::from_str_radix(hex, 16).expect("two hex digits")
            }
            other => panic!("unknown escape {}", char::from(other)),
        });
    }
    out
}

#[test]
fn every_refused_row_is_refused_and_never_arrives() {
    let rows: Vec<_> = ROWS
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let mut parts = line.splitn(3, " | ");
            let mut next = || parts.next().expect("three parts");
            (next(), next(), bytes(next()))
        })
        .filter(|(_, expected, _)| *expected != "ok")
        .collect();
    assert!(rows.len() > 100, "the table holds {} refusals", rows.len());
    // What is judged before anything goes upstream, and what is found on the way of a longer body.
    let (at_once, on_the_way): (Vec<_>, Vec<_>) = rows
        .into_iter()
        .partition(|(_, expected, message)| message.len() <= SMALL && *expected != "bad_trailer");
    for driver in DRIVERS {
        for (rows, may_arrive) in [(&at_once, false), (&on_the_way, true)] {
            // What arrived, each connection by itself: pieces of two of them side by side may look like an end.
            let ended = Arc::new(AtomicUsize::new(0));
            let whole = Arc::new(Mutex::new(Vec::new()));
            let (counted, kept) = (ended.clone(), whole.clone());
            let upstream = Upstream::start(move |conn| {
                let mut arrived = Vec::new();
                conn.stream.read_to_end(&mut arrived).ok();
                let arrived = String::from_utf8_lossy(&arrived).into_owned();
                if arrived.contains("\r\n0\r\n\r\n") {
                    kept.lock().expect("no panic").push(arrived);
                }
                counted.fetch_add(1, Ordering::SeqCst);
            });
            let gateway = Gateway::with(driver, upstream_spec(upstream.addr), listener_spec());
            for (name, expected, message) in rows {
                let mut client = gateway.client();
                client.send(message);
                let answer = client.answer().unwrap_or_else(|| panic!("{name}: no answer on {driver:?}"));
                assert_eq!(answer.code(), *expected, "{name} on {driver:?}");
                assert!(client.is_closed(), "{name}: the connection lives on");
            }
            // Connections are accepted in their order: once this one has ended, all of the gateway's are known.
            let mut last = TcpStream::connect(upstream.addr).expect("a connection");
            last.shutdown(Shutdown::Write).expect("an open socket");
            assert_eq!(last.read(&mut [0]).expect("an end"), 0);
            if may_arrive {
                eventually("the ends of all connections", || {
                    ended.load(Ordering::SeqCst) == upstream.connections()
                });
                let whole = whole.lock().expect("no panic");
                assert!(whole.is_empty(), "one of them arrived whole: {whole:?}");
            } else {
                assert_eq!(upstream.connections(), 1, "something of a refused request arrived");
            }
        }
    }
}

//! What a protected connection carries after its handshake: bodies in odd sizes, key updates, tickets, ends and
//! breaks. The session of one end is reached into to play a peer that misbehaves.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::ErrorKind;
use std::rc::Rc;
use std::task::Poll;

use super::ends::*;
use crate::buf::{Buf, LARGE, SMALL};
use crate::stream::{Stream, Writer};
use crate::sys::Side;
use crate::tls::client::{ClientTls, connect};
use crate::tls::server::{ServerSettings, ServerTls, accept};
use crate::tls::session::{QUIET_RECORDS_MAX, Session};

async fn joined(server: &ServerTls, client: &ClientTls) -> (Stream, Stream) {
    let (a, b, bufs) = pair();
    let (served, called) = monoio::join!(accept(a, server, &bufs), connect_and_say(b, client, &bufs));
    let (mut served, called) = (served.unwrap().0, called);
    assert_eq!(read_exact(&mut served, 2, 100).await, b"hi");
    (served, called)
}

/// The client's Finished goes out with its first bytes.
async fn connect_and_say(stream: Stream, client: &ClientTls, bufs: &Rc<crate::tls::TlsBufs>) -> Stream {
    let mut stream = connect(stream, client, "a.example", bufs).await.unwrap();
    send(&mut stream, b"hi").await.unwrap();
    stream
}

fn session(stream: &Stream) -> Rc<RefCell<Session>> {
    match &stream.writer {
        Writer::Tls(tls) => tls.session(),
        _ => panic!("not a TLS stream"),
    }
}

/// Sends bytes past the session, as they are.
async fn send_raw(stream: &mut Stream, buf: Buf) {
    match &mut stream.writer {
        Writer::Tls(tls) => tls.inner().send_all(buf).await.0.unwrap(),
        _ => panic!("not a TLS stream"),
    }
}

/// Runs `test` with connected ends of both versions on both drivers.
fn with_ends<F: Future<Output = ()>>(test: impl Fn(Stream, Stream, bool) -> F) {
    let files = Files::new();
    let server = files.server(&ServerSettings::default(), &["a.example"]);
    on_drivers(|| async {
        for tls13 in [true, false] {
            let client = if tls13 { files.client(|_| {}) } else { files.client12(|_| {}) };
            let (served, called) = joined(&server, &client).await;
            test(served, called, tls13).await;
        }
    });
}

#[test]
fn large_bodies_both_ways_in_odd_sizes() {
    const BODY: usize = 1024 * 1024;
    with_ends(|mut served, mut called, _| async move {
        let body = pattern(BODY);
        for (piece, capacity) in
            [(LARGE, LARGE), (1, 1), (777, 100), (16_385, SMALL), (60_001, 5_000), (LARGE, 600)]
        {
            let body = if piece == 1 { &body[..2_000] } else { &body[..] };
            let up = async {
                for part in body.chunks(piece) {
                    send(&mut called, part).await.unwrap();
                }
                let back = read_exact(&mut called, body.len(), capacity).await;
                assert!(back == body, "{piece} {capacity}: the body changed on its way back");
            };
            let down = async {
                let got = read_exact(&mut served, body.len(), capacity).await;
                assert!(got == body, "{piece} {capacity}: the body changed");
                for part in got.chunks(piece) {
                    send(&mut served, part).await.unwrap();
                }
            };
            monoio::join!(up, down);
        }
    });
}

#[test]
fn a_read_appends_behind_what_the_buffer_holds() {
    with_ends(|mut served, mut called, _| async move {
        send(&mut called, b"world").await.unwrap();
        let mut buf = Buf::with_capacity(SMALL);
        buf.push(b"xhello ");
        buf.consume(1);
        let (result, buf) = served.reader.read(|| buf).await;
        assert_eq!((result.unwrap(), buf.bytes()), (5, &b"hello world"[..]));
    });
}

#[test]
fn a_close_notify_is_an_end_and_nothing_else_is() {
    with_ends(|mut served, mut called, _| async move {
        send(&mut called, b"last").await.unwrap();
        called.writer.finish().await.unwrap();
        called.writer.finish().await.unwrap();
        assert_eq!(send(&mut called, b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
        assert_eq!(read_exact(&mut served, 4, 100).await, b"last");
        for _ in 0..2 {
            assert_eq!(read(&mut served, 100).await.0.unwrap(), 0);
        }
        // The other direction goes on, and ends without close_notify.
        send(&mut served, b"more").await.unwrap();
        served.shutdown(Side::Write);
        assert_eq!(read_exact(&mut called, 4, 100).await, b"more");
        assert_eq!(read(&mut called, 100).await.0.unwrap_err().kind(), ErrorKind::UnexpectedEof);
    });
}

#[test]
fn an_end_within_a_record_is_a_truncation() {
    with_ends(|mut served, mut called, _| async move {
        let mut buf = Buf::with_capacity(SMALL);
        session(&called).borrow_mut().seal_raw(23, &[7; 1000], &mut buf);
        buf.truncate(900);
        send_raw(&mut called, buf).await;
        called.shutdown(Side::Write);
        assert_eq!(read(&mut served, SMALL).await.0.unwrap_err().kind(), ErrorKind::UnexpectedEof);
    });
}

#[test]
fn a_broken_record_breaks_the_connection_and_is_told() {
    with_ends(|mut served, mut called, _| async move {
        let mut buf = Buf::with_capacity(SMALL);
        session(&called).borrow_mut().seal_raw(23, b"good", &mut buf);
        let good = buf.len();
        session(&called).borrow_mut().seal_raw(23, b"bad", &mut buf);
        buf.bytes_mut()[good + 16] ^= 1;
        send_raw(&mut called, buf).await;
        assert_eq!(read_exact(&mut served, 4, SMALL).await, b"good");
        for _ in 0..2 {
            assert_eq!(read(&mut served, SMALL).await.0.unwrap_err().kind(), ErrorKind::InvalidData);
        }
        assert!(send(&mut served, b"x").await.is_err());
        served.writer.finish().await.unwrap();
        let error = read(&mut called, SMALL).await.0.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
        assert_eq!(error.to_string(), "the peer sent the fatal alert 20");
    });
}

#[test]
fn keys_change_when_asked_and_when_spent() {
    with_ends(|mut served, mut called, tls13| async move {
        for stream in [&served, &called] {
            session(stream).borrow_mut().set_tx_limit(3);
        }
        if !tls13 {
            let result = async {
                for _ in 0..5 {
                    send(&mut called, b"x").await?;
                }
                std::io::Result::Ok(())
            };
            assert_eq!(result.await.unwrap_err().kind(), ErrorKind::InvalidData);
            return;
        }
        for round in 0..50u8 {
            send(&mut called, &[round; 10]).await.unwrap();
            assert_eq!(read_exact(&mut served, 10, 100).await, [round; 10]);
            if round % 7 == 0 {
                let mut buf = Buf::with_capacity(SMALL);
                session(&called).borrow_mut().ask_for_key_update(&mut buf);
                send_raw(&mut called, buf).await;
            }
            send(&mut served, &[round; 20_000]).await.unwrap();
            assert_eq!(read_exact(&mut called, 20_000, 700).await, [round; 20_000]);
        }
    });
}

#[test]
fn control_messages_out_of_place_are_refused() {
    const HELLO: &[u8] = &[1, 0, 0, 2, 3, 3];
    const REQUEST: &[u8] = &[0, 0, 0, 0];
    for (name, kind, content, tls13, tls12) in [
        ("renegotiation", 22, HELLO, Some(10), Some(100)),
        ("a hello request to a server", 22, REQUEST, Some(10), Some(10)),
        ("a ticket to a server", 22, &[4, 0, 0, 0], Some(10), Some(10)),
        ("an empty handshake record", 22, &[], Some(10), Some(10)),
        ("a key update that is none", 22, &[24, 0, 0, 1, 2], Some(50), Some(10)),
        ("bytes behind a key update", 22, &[24, 0, 0, 1, 0, 24], Some(10), Some(10)),
        ("a message that is too long", 22, &[24, 0, 0x50, 0], Some(50), Some(50)),
        ("a short alert", 21, &[1], Some(50), Some(50)),
        ("user_canceled", 21, &[1, 90], None, None),
        ("a warning", 21, &[1, 100], None, None),
    ] {
        with_ends(|mut served, mut called, is13| async move {
            let mut buf = Buf::with_capacity(SMALL);
            session(&called).borrow_mut().seal_raw(kind, content, &mut buf);
            session(&called).borrow_mut().seal_raw(23, b"data", &mut buf);
            send_raw(&mut called, buf).await;
            let (result, _) = read(&mut served, SMALL).await;
            let want = if is13 { tls13 } else { tls12 };
            let alone = is13 && name == "a warning";
            match want {
                _ if alone => assert_eq!(result.unwrap_err().kind(), ErrorKind::ConnectionAborted),
                None => assert_eq!(result.unwrap(), 4, "{name}"),
                Some(alert) => {
                    assert_eq!(result.unwrap_err().kind(), ErrorKind::InvalidData, "{name}");
                    served.writer.finish().await.unwrap();
                    let told = read(&mut called, SMALL).await.0.unwrap_err();
                    assert_eq!(told.to_string(), format!("the peer sent the fatal alert {alert}"), "{name}");
                }
            }
        });
    }
}

#[test]
fn records_without_data_are_bounded() {
    with_ends(|mut served, mut called, _| async move {
        for (empty, refused) in [(QUIET_RECORDS_MAX, false), (QUIET_RECORDS_MAX + 1, true)] {
            let mut buf = Buf::with_capacity(SMALL);
            for _ in 0..empty {
                session(&called).borrow_mut().seal_raw(23, b"", &mut buf);
            }
            session(&called).borrow_mut().seal_raw(23, b"data", &mut buf);
            send_raw(&mut called, buf).await;
            assert_eq!(read(&mut served, SMALL).await.0.is_err(), refused);
        }
    });
}

#[test]
fn a_read_can_be_cancelled_and_the_connection_used_on() {
    with_ends(|mut served, mut called, _| async move {
        served.reader.allow_cancel();
        for round in 0..3 {
            served.reader.post(Buf::with_capacity(SMALL));
            let pending = poll_fn(|cx| Poll::Ready(served.reader.poll_read(cx).is_pending())).await;
            assert!(pending, "{round}");
            served.reader.cancel();
            let (result, buf) = poll_fn(|cx| served.reader.poll_read(cx)).await;
            assert!(result.is_err() && buf.capacity() == SMALL, "{round}");
            // Part of a record, and a read given up with it held.
            let mut part = Buf::with_capacity(SMALL);
            session(&called).borrow_mut().seal_raw(23, b"hello", &mut part);
            let mut rest = Buf::with_capacity(SMALL);
            rest.push(&part.bytes()[9..]);
            part.truncate(9);
            send_raw(&mut called, part).await;
            served.reader.post(Buf::with_capacity(SMALL));
            let pending = poll_fn(|cx| Poll::Ready(served.reader.poll_read(cx).is_pending())).await;
            served.reader.cancel();
            if pending {
                assert!(poll_fn(|cx| served.reader.poll_read(cx)).await.0.is_err(), "{round}");
            }
            send_raw(&mut called, rest).await;
            assert_eq!(read_exact(&mut served, 5, 100).await, b"hello");
        }
    });
}

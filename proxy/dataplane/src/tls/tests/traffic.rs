//! What a protected connection carries after its handshake: bodies in odd sizes, key updates, tickets, ends and
//! breaks. The session of one end is reached into to play a peer that misbehaves.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::ErrorKind;
use std::rc::Rc;
use std::task::Poll;

use super::ends::*;
use crate::buf::{Buf, LARGE, SMALL};
use crate::cancel::Asked;
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
        ("a key update that is none", 22, &[24, 0, 0, 1, 2], Some(47), Some(10)),
        ("a key update of the wrong size", 22, &[24, 0, 0, 2, 0, 0], Some(50), Some(10)),
        ("a certificate request", 22, &[13, 0, 0, 3, 0, 0, 0], Some(10), Some(10)),
        ("a finished", 22, &[20, 0, 0, 1, 0], Some(10), Some(10)),
        ("a change of ciphers", 20, &[1], Some(10), Some(10)),
        ("a heartbeat", 24, &[1, 0x40, 0], Some(10), Some(10)),
        ("bytes behind a key update", 22, &[24, 0, 0, 1, 0, 24], Some(10), Some(10)),
        ("a message that is too long", 22, &[24, 0, 0x50, 0], Some(50), Some(50)),
        ("a short alert", 21, &[1], Some(50), Some(50)),
        ("two alerts", 21, &[1, 90, 1, 90], Some(50), Some(50)),
        ("an empty alert", 21, &[], Some(10), Some(10)),
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

/// Seals the records of `make` one after another into one buffer, and sends it.
async fn send_records(stream: &mut Stream, make: impl FnOnce(&mut Session, &mut Buf)) {
    let mut buf = Buf::with_capacity(LARGE);
    make(&mut session(stream).borrow_mut(), &mut buf);
    send_raw(stream, buf).await;
}

#[test]
fn nothing_behind_a_broken_record_is_delivered() {
    for held_first in [false, true] {
        with_ends(|mut served, mut called, _| async move {
            let mut end = 0;
            send_records(&mut called, |session, buf| {
                session.seal_raw(23, b"good", buf);
                let mut forged = vec![23, 3, 3, 0, 40];
                forged.resize(45, 7);
                buf.push(&forged);
                session.seal_raw(23, b"later", buf);
                session.seal_raw(21, &[1, 0], buf);
                end = buf.len();
            })
            .await;
            // A small buffer is filled from the held one, a larger one in place.
            let capacity = if held_first { 4 } else { SMALL };
            assert_eq!(read_exact(&mut served, 4, capacity).await, b"good");
            for _ in 0..4 {
                let error = read(&mut served, capacity).await.0.unwrap_err();
                assert_eq!(error.to_string(), "a record failed authentication", "{end}");
            }
        });
    }
}

#[test]
fn what_follows_a_close_notify_is_ignored() {
    for (capacity, more) in [(4, true), (4, false), (SMALL, true), (SMALL, false)] {
        with_ends(|mut served, mut called, _| async move {
            send_records(&mut called, |session, buf| {
                session.seal_raw(23, b"last", buf);
                session.seal_raw(21, &[1, 0], buf);
                if more {
                    session.seal_raw(23, b"more", buf);
                }
                buf.push(b"no record");
            })
            .await;
            assert_eq!(read_exact(&mut served, 4, capacity).await, b"last");
            for _ in 0..3 {
                assert_eq!(read(&mut served, capacity).await.0.unwrap(), 0);
            }
        });
    }
}

#[test]
fn a_read_without_room_is_an_error_and_loses_nothing() {
    with_ends(|mut served, mut called, _| async move {
        send(&mut called, b"hello").await.unwrap();
        for _ in 0..3 {
            assert_eq!(read(&mut served, 0).await.0.unwrap_err().kind(), ErrorKind::InvalidInput);
        }
        assert_eq!(read_exact(&mut served, 2, 2).await, b"he");
        assert_eq!(read(&mut served, 0).await.0.unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(read_exact(&mut served, 3, 1).await, b"llo");
    });
}

#[test]
fn only_tls13_takes_user_canceled_at_any_level() {
    with_ends(|mut served, mut called, tls13| async move {
        send_records(&mut called, |session, buf| {
            session.seal_raw(21, &[2, 90], buf);
            session.seal_raw(23, b"data", buf);
        })
        .await;
        match read(&mut served, SMALL).await.0 {
            Ok(n) => assert!(tls13 && n == 4),
            Err(error) => assert!(!tls13 && error.kind() == ErrorKind::ConnectionAborted),
        }
    });
}

#[test]
fn keys_change_at_the_very_end_of_a_buffer() {
    with_ends(|called, _served, tls13| async move {
        let session = session(&called);
        let mut session = session.borrow_mut();
        for room in 0..200 {
            // The first record leaves `room` bytes, and spends the key.
            let (mut plain, mut out) = (Buf::with_capacity(LARGE), Buf::with_capacity(SMALL));
            let overhead = if tls13 { 22 } else { 29 };
            out.push(&[0; SMALL - 1000]);
            session.seal_raw(23, &vec![0; 1000 - overhead - room], &mut out);
            session.set_tx_limit(0);
            plain.push(&[7; 300]);
            let before = out.len();
            let result = session.seal(&mut plain, &mut out);
            if !tls13 {
                assert_eq!(result, Ok(()));
                assert!(out.len() == before, "sent as it is, the fault comes next");
                out.clear();
                assert!(session.seal(&mut plain, &mut out).is_err());
                return;
            }
            result.unwrap();
            session.set_tx_limit(u64::MAX);
            // Either the key was changed in this buffer, or it is in the next one.
            let changed = out.len() > before;
            assert_eq!(changed, room >= 27, "{room}");
            out.clear();
            session.seal(&mut plain, &mut out).unwrap();
            assert!(plain.is_empty());
        }
    });
}

#[test]
fn tickets_may_come_together_and_in_pieces() {
    with_ends(|mut served, mut called, tls13| async move {
        if !tls13 {
            return;
        }
        // Our own ticket goes first.
        send(&mut served, b"x").await.unwrap();
        assert_eq!(read_exact(&mut called, 1, SMALL).await, b"x");
        // lifetime, age_add, nonce, a ticket of 5,000 bytes, no extensions
        let mut ticket = vec![4, 0, 0x13, 0x96, 0, 0, 1, 0, 1, 2, 3, 4, 1, 9, 0x13, 0x88];
        ticket.resize(ticket.len() + 5000, 5);
        ticket.extend_from_slice(&[0, 0]);
        assert_eq!(ticket.len(), 4 + 0x1396);
        let all = ticket.repeat(7);
        for piece in [1700, 4096, 5003, 16_384] {
            send_records(&mut served, |session, buf| {
                for part in all.chunks(piece) {
                    session.seal_raw(22, part, buf);
                }
                session.seal_raw(23, b"data", buf);
            })
            .await;
            assert_eq!(read_exact(&mut called, 4, LARGE).await, b"data", "{piece}");
        }
        // Data within a message is refused.
        send_records(&mut served, |session, buf| {
            session.seal_raw(22, &ticket[..100], buf);
            session.seal_raw(23, b"data", buf);
        })
        .await;
        assert!(read(&mut called, LARGE).await.0.is_err());
    });
}

#[test]
fn key_updates_in_a_row_are_answered_once() {
    with_ends(|mut served, mut called, tls13| async move {
        if !tls13 {
            return;
        }
        for asked in [1, 5, u32::from(QUIET_RECORDS_MAX)] {
            send_records(&mut called, |session, buf| {
                for _ in 0..asked {
                    session.ask_for_key_update(buf);
                }
                session.seal_raw(23, b"now", buf);
            })
            .await;
            assert_eq!(read_exact(&mut served, 3, SMALL).await, b"now");
            let owed = session(&served).borrow().sealed_len(0);
            assert!(owed > 0, "one answer is owed");
            send(&mut served, b"x").await.unwrap();
            assert_eq!(session(&served).borrow().sealed_len(0), 0);
            assert_eq!(read_exact(&mut called, 1, SMALL).await, b"x");
        }
    });
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

/// Cancels the posted read.
async fn cancelled(stream: &mut Stream) -> crate::port::ReadResult {
    loop {
        let asked = stream.reader.cancel();
        assert_ne!(asked, Asked::Cannot);
        let mut turn = std::pin::pin!(monoio::time::sleep(std::time::Duration::from_millis(1)));
        let ended = poll_fn(|cx| match stream.reader.poll_read(cx) {
            Poll::Pending if asked == Asked::NotThere => turn.as_mut().poll(cx).map(|()| None),
            read => read.map(Some),
        });
        if let Some(read) = ended.await {
            return read;
        }
    }
}

#[test]
fn a_read_can_be_cancelled_and_the_connection_used_on() {
    with_ends(|mut served, mut called, _| async move {
        for round in 0..3 {
            served.reader.post(Buf::with_capacity(SMALL));
            let pending = poll_fn(|cx| Poll::Ready(served.reader.poll_read(cx).is_pending())).await;
            assert!(pending, "{round}");
            let (result, buf) = cancelled(&mut served).await;
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
            if pending {
                assert!(cancelled(&mut served).await.0.is_err(), "{round}");
            }
            send_raw(&mut called, rest).await;
            assert_eq!(read_exact(&mut served, 5, 100).await, b"hello");
        }
    });
}

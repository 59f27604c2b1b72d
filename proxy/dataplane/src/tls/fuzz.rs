//! Entries for the fuzz targets: what reads bytes of a peer, with the checks that must hold for any of them. Not an
//! interface; nothing else calls this.
#![allow(clippy::unwrap_used, reason = "a target fails by a panic")]

use std::sync::Arc;

use rustls::client::UnbufferedClientConnection;
use rustls::crypto::cipher::{AeadKey, Iv};
use rustls::server::UnbufferedServerConnection;
use rustls::{ClientConfig, ConnectionTrafficSecrets, ProtocolVersion, ServerConfig};

use super::handshake::{Side, Step};
use super::record::{APPLICATION_DATA, Cipher, HEADER, PLAIN_MAX, RECORD_MAX, record_len};
use super::session::{Content, Session};
use super::x509;
use crate::buf::{Buf, LARGE};

/// Reads a certificate; what is read is bounded and printable.
pub fn certificate(der: &[u8]) {
    if let Ok(fields) = x509::fields(der) {
        assert!(fields.sans.len() <= x509::NAMES_MAX);
        assert!(!fields.subject.chars().any(|c| c.is_ascii_control()));
        assert!(fields.not_before_unix_s.abs() < 1 << 40 && fields.not_after_unix_s.abs() < 1 << 40);
    }
}

fn cipher(which: u8) -> Cipher {
    let (key, iv) = (AeadKey::from([7; 32]), Iv::new([9; 12]));
    let version = if which & 1 == 0 { ProtocolVersion::TLSv1_3 } else { ProtocolVersion::TLSv1_2 };
    let secrets = match which & 2 {
        0 => ConnectionTrafficSecrets::Aes256Gcm { key, iv },
        _ => ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv },
    };
    Cipher::new(version, (1, secrets), 1 << 24).unwrap()
}

/// Opens `bytes` as records under a fixed key of any suite: in place and out of place are one verdict. What is sealed
/// opens, and opens no more when one bit is changed.
pub fn records(which: u8, bytes: &[u8]) {
    let (mut in_place, mut apart) = (cipher(which), cipher(which));
    let mut rest = bytes;
    while let Ok(Some(len)) = record_len(rest) {
        assert!((HEADER..=RECORD_MAX).contains(&len));
        let Some((record, after)) = rest.split_at_checked(len) else { break };
        let (mut copy, mut out) = (record.to_vec(), vec![0; apart.room_needed(len)]);
        match (in_place.open(&mut copy), apart.open_to(record, &mut out)) {
            (Ok(a), Ok(b)) => {
                assert!(a.kind == b.kind && a.len <= PLAIN_MAX);
                assert!(copy[a.start..a.start + a.len] == out[b.start..b.start + b.len]);
            }
            (a, b) => assert_eq!(a.err(), b.err()),
        }
        rest = after;
    }
    let (mut tx, mut rx) = (cipher(which), cipher(which));
    let plain = &bytes[..bytes.len().min(PLAIN_MAX)];
    let mut out = vec![0; plain.len() + tx.overhead()];
    assert_eq!(tx.seal(APPLICATION_DATA, plain, &mut out), Ok(out.len()));
    let at = HEADER + bytes.len() * 31 % (out.len() - HEADER);
    out[at] ^= 1 << (which >> 5);
    assert!(rx.open(&mut out.clone()).is_err());
    out[at] ^= 1 << (which >> 5);
    let opened = rx.open(&mut out).unwrap();
    assert!(opened.kind == APPLICATION_DATA && &out[opened.start..opened.start + opened.len] == plain);
}

/// One end of a handshake without a socket.
struct End<S> {
    side: S,
    incoming: Vec<u8>,
    offered: usize,
    out: Buf,
}

impl<S: Side> End<S> {
    fn new(side: S) -> Self {
        Self { side, incoming: Vec::new(), offered: 0, out: Buf::with_capacity(LARGE) }
    }

    /// Goes on with what came in; true when the handshake is done.
    fn go_on(&mut self, bytes: &[u8]) -> bool {
        self.incoming.extend_from_slice(bytes);
        loop {
            let (discard, step) = self.side.process(&mut self.incoming[..self.offered], &mut self.out);
            self.incoming.drain(..discard);
            self.offered -= discard;
            match step.unwrap() {
                Step::Ready if !self.side.is_handshaking() => return true,
                Step::Ready | Step::Blocked => match record_len_any(&self.incoming[self.offered..]) {
                    Some(len) => self.offered += len,
                    None => return false,
                },
                Step::More => {}
                Step::Ended => panic!("ended within the handshake"),
            }
        }
    }

    fn into_session(self) -> Session {
        assert!(self.incoming.is_empty());
        let (secrets, keys) = self.side.into_keys().unwrap();
        Session::new(secrets, keys, self.out.bytes()).unwrap()
    }
}

fn record_len_any(bytes: &[u8]) -> Option<usize> {
    let header = bytes.first_chunk::<HEADER>()?;
    let len = HEADER + usize::from(u16::from_be_bytes([header[3], header[4]]));
    (bytes.len() >= len).then_some(len)
}

fn ends(server: &Arc<ServerConfig>, client: &Arc<ClientConfig>) -> (Session, Session) {
    let mut served = End::new(UnbufferedServerConnection::new(server.clone()).unwrap());
    let name = "a.example".try_into().unwrap();
    let mut called = End::new(UnbufferedClientConnection::new(client.clone(), name).unwrap());
    loop {
        let called_done = called.go_on(served.out.bytes());
        served.out.clear();
        let served_done = served.go_on(called.out.bytes());
        called.out.clear();
        // A server of TLS 1.3 keeps its ticket for its first bytes.
        if called_done && served_done {
            break;
        }
    }
    (served.into_session(), called.into_session())
}

/// A peer that sends what it likes under good keys, against our session (a server's, or a client's). Each step of
/// `script` is an operation, a content type, a length and that many bytes. Whatever comes: a broken session
/// opens nothing more, an ended one delivers nothing, data arrives as it was sent, and answers can be read.
pub fn session(server: &Arc<ServerConfig>, client: &Arc<ClientConfig>, we_serve: bool, script: &[u8]) {
    let (mut ours, mut peer) = match (ends(server, client), we_serve) {
        ((served, called), true) => (served, called),
        ((served, called), false) => (called, served),
    };
    // Whatever its handshake left unsent.
    let mut wire = seal(&mut peer, b"hello").unwrap();
    open_all(&mut ours, wire.bytes_mut(), b"hello");
    let mut rest = script;
    while let Some((&[operation, kind, hi, lo], after)) = rest.split_first_chunk::<4>() {
        let (content, after) = after.split_at(after.len().min(usize::from(u16::from_be_bytes([hi, lo]))));
        rest = after;
        let content = &content[..content.len().min(PLAIN_MAX)];
        let mut out = Buf::with_capacity(LARGE);
        match operation % 8 {
            0 => {
                if let Some(mut answer) = seal(&mut ours, b"answer") {
                    open_all(&mut peer, answer.bytes_mut(), b"answer");
                }
                continue;
            }
            1 => {
                let header = [kind, 3, 3, (content.len() >> 8) as u8, content.len() as u8];
                out.push(&header);
                out.push(content);
            }
            2 if peer.is_tls13() => peer.ask_for_key_update(&mut out),
            _ => peer.seal_raw(kind, content, &mut out),
        }
        let (before, ended) = (ours.fault(), ours.has_ended());
        let record = out.bytes_mut();
        let (result, from) = if operation & 128 == 0 {
            let result = ours.open(record);
            (result, record.to_vec())
        } else {
            let mut to = vec![0; ours.room_needed(record.len())];
            (ours.open_to(record, &mut to), to)
        };
        match result {
            Ok(Content::Data { start, len }) => {
                assert!(before.is_none() && !ended && operation % 8 > 1);
                // A type of zero is padding to TLS 1.3, and the type is in what was meant for content.
                if kind != 0 {
                    assert!(kind == APPLICATION_DATA && &from[start..start + len] == content);
                }
            }
            Ok(Content::End) => assert!(ours.has_ended()),
            Ok(Content::Control) => assert!(before.is_none() && !ended),
            Err(fault) => assert_eq!(ours.fault(), Some(fault)),
        }
        assert!(before.is_none() || ours.fault() == before);
    }
    let mut last = Buf::with_capacity(LARGE);
    ours.seal_end(&mut last).unwrap();
    assert!(seal(&mut ours, b"x").is_none(), "nothing is sealed behind the last record");
}

/// What `session` makes of `plain`, unless it is broken or ended.
fn seal(session: &mut Session, plain: &[u8]) -> Option<Buf> {
    let (mut buf, mut out) = (Buf::with_capacity(plain.len()), Buf::with_capacity(2 * LARGE));
    buf.push(plain);
    let result = session.seal(&mut buf, &mut out);
    assert!(result.is_err() || buf.is_empty());
    result.ok().map(|()| out)
}

fn open_all(session: &mut Session, mut bytes: &mut [u8], want: &[u8]) {
    let mut got = Vec::new();
    while let Some(len) = record_len(bytes).unwrap() {
        let (record, rest) = bytes.split_at_mut(len);
        bytes = rest;
        if let Content::Data { start, len } = session.open(record).unwrap() {
            got.extend_from_slice(&record[start..start + len]);
        }
    }
    assert_eq!(got, want);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::tests::oracle;

    #[test]
    fn the_entries_run() {
        certificate(b"no certificate");
        for which in 0..=255 {
            records(which, &[&[23, 3, 3, 0, 30][..], &[7; 60]].concat());
        }
        let script = [
            &[3, 23, 0, 4][..],
            b"data",
            &[131, 23, 0, 4],
            b"more",
            &[2, 0, 0, 0],
            &[0, 0, 0, 0],
            &[3, 23, 0, 1, 1],
            &[1, 23, 0, 30],
            &[5; 30],
            &[3, 23, 0, 1, 1],
        ]
        .concat();
        for configs in oracle::configs_once() {
            for we_serve in [false, true] {
                session(&configs.server, &configs.client, we_serve, &script);
                session(&configs.server, &configs.client, we_serve, &[3, 21, 0, 2, 1, 0, 3, 23, 0, 1, 1]);
            }
        }
    }
}

//! Drives a handshake of rustls over a stream's own buffers, either end, and makes the protected stream that
//! follows. Records are handed to rustls one at a time, so that application data which comes in the same
//! segment as the end of the handshake stays unopened for the session.

use std::cell::RefCell;
use std::rc::Rc;

use rustls::client::UnbufferedClientConnection;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, UnbufferedStatus};
use rustls::{ExtractedSecrets, PeerMisbehaved, ProtocolVersion};

use super::bufs::{SEALED, TlsBufs};
use super::error::TlsError;
use super::port::TlsPort;
use super::session::{Keys, Session};
use super::writer::TlsWriter;
use crate::buf::{Buf, LARGE};
use crate::stream::Stream;

/// Bytes that a peer may send before its handshake is done (a client's chain is the largest part).
pub(super) const HANDSHAKE_BYTES_MAX: usize = 128 * 1024;

/// Room that one record of a handshake may need.
const RECORD_ROOM: usize = 18 * 1024;
const RECORD_HEADER: usize = 5;

const _: () = assert!(SEALED > RECORD_ROOM, "a record of a handshake fits in a buffer for sealed records");

/// What a step of the handshake asks for.
pub(super) enum Step {
    /// Go on.
    More,
    /// The next record is needed, and what was encoded must be sent before waiting for it.
    Blocked,
    /// Nothing more to do, unless the handshake says that it is not done.
    Ready,
    /// The peer ended.
    Ended,
}

fn step<D>(status: UnbufferedStatus<'_, '_, D>, out: &mut Buf) -> (usize, Result<Step, rustls::Error>) {
    let discard = status.discard;
    let step = match status.state {
        Err(error) => Err(error),
        Ok(ConnectionState::EncodeTlsData(mut data)) => match data.encode(out.room_mut()) {
            Ok(n) => {
                out.advance(n);
                Ok(Step::More)
            }
            Err(error) => Err(rustls::Error::General(error.to_string())),
        },
        Ok(ConnectionState::TransmitTlsData(data)) => {
            data.done();
            Ok(Step::More)
        }
        Ok(ConnectionState::BlockedHandshake) => Ok(Step::Blocked),
        Ok(ConnectionState::WriteTraffic(_)) => Ok(Step::Ready),
        Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => Ok(Step::Ended),
        // Early data is not enabled, and records behind the handshake are not handed over.
        Ok(_) => Err(rustls::Error::General("application data within the handshake".into())),
    };
    (discard, step)
}

/// Either end of a handshake.
pub(super) trait Side {
    fn process(&mut self, incoming: &mut [u8], out: &mut Buf) -> (usize, Result<Step, rustls::Error>);
    fn is_handshaking(&self) -> bool;
    fn version(&self) -> Option<ProtocolVersion>;
    fn into_keys(self) -> Result<(ExtractedSecrets, Keys), rustls::Error>;
}

impl Side for UnbufferedServerConnection {
    fn process(&mut self, incoming: &mut [u8], out: &mut Buf) -> (usize, Result<Step, rustls::Error>) {
        step(self.process_tls_records(incoming), out)
    }

    fn is_handshaking(&self) -> bool {
        (**self).is_handshaking()
    }

    fn version(&self) -> Option<ProtocolVersion> {
        self.protocol_version()
    }

    fn into_keys(self) -> Result<(ExtractedSecrets, Keys), rustls::Error> {
        self.dangerous_into_kernel_connection().map(|(secrets, keys)| (secrets, Keys::Server(keys)))
    }
}

impl Side for UnbufferedClientConnection {
    fn process(&mut self, incoming: &mut [u8], out: &mut Buf) -> (usize, Result<Step, rustls::Error>) {
        step(self.process_tls_records(incoming), out)
    }

    fn is_handshaking(&self) -> bool {
        (**self).is_handshaking()
    }

    fn version(&self) -> Option<ProtocolVersion> {
        self.protocol_version()
    }

    fn into_keys(self) -> Result<(ExtractedSecrets, Keys), rustls::Error> {
        self.dangerous_into_kernel_connection().map(|(secrets, keys)| (secrets, Keys::Client(keys)))
    }
}

/// A handshake under way: the stream, what came and is not used yet, what is to be sent.
pub(super) struct Handshake {
    stream: Stream,
    incoming: Buf,
    outgoing: Option<Buf>,
    received: usize,
    bufs: Rc<TlsBufs>,
}

impl Handshake {
    pub(super) fn new(stream: Stream, bufs: &Rc<TlsBufs>) -> Self {
        let incoming = bufs.pool().small();
        Self { stream, incoming, outgoing: None, received: 0, bufs: bufs.clone() }
    }

    /// What came and is not used yet.
    pub(super) fn incoming(&self) -> &[u8] {
        self.incoming.bytes()
    }

    /// Waits for more bytes of the peer.
    pub(super) async fn read_more(&mut self) -> Result<(), TlsError> {
        if self.incoming.room() == 0 {
            self.incoming.compact();
        }
        if self.incoming.room() == 0 {
            if self.incoming.capacity() >= LARGE {
                return Err(TlsError::TooLarge(HANDSHAKE_BYTES_MAX));
            }
            self.incoming = self.bufs.pool().grow(std::mem::take(&mut self.incoming));
        }
        let buf = std::mem::take(&mut self.incoming);
        let (result, buf) = self.stream.reader.read(|| buf).await;
        self.incoming = buf;
        match result {
            Ok(n) if n > 0 => {
                self.received += n;
                if self.received > HANDSHAKE_BYTES_MAX {
                    return Err(TlsError::TooLarge(HANDSHAKE_BYTES_MAX));
                }
                Ok(())
            }
            _ if self.stream.read_timer.fired() => Err(TlsError::TimedOut),
            Ok(_) => Err(TlsError::Ended),
            Err(error) => Err(error.into()),
        }
    }

    /// Sends `bytes` in the clear; for alerts and answers ahead of the handshake.
    pub(super) async fn send_plain(&mut self, bytes: &[u8]) {
        let mut buf = self.bufs.pool().small();
        buf.push(bytes);
        // The connection is given up in any case.
        let (_, buf) = self.stream.writer.write_all(buf).await;
        self.bufs.put(buf);
    }

    /// The stream, to be closed.
    pub(super) fn stream(&self) -> &Stream {
        &self.stream
    }

    async fn flush(&mut self) -> Result<(), TlsError> {
        if let Some(out) = self.outgoing.take() {
            let (result, out) = self.stream.writer.write_all(out).await;
            self.bufs.put(out);
            result?;
        }
        Ok(())
    }

    /// Runs `side` until its handshake is done. On an error the peer is told by an alert.
    pub(super) async fn run<S: Side>(&mut self, side: &mut S) -> Result<(), TlsError> {
        let mut offered = 0;
        loop {
            if self.outgoing.as_ref().is_some_and(|out| out.room() < RECORD_ROOM) {
                self.flush().await?;
            }
            let mut out = self.outgoing.take().unwrap_or_else(|| self.bufs.outgoing(SEALED));
            let (discard, result) = side.process(&mut self.incoming.bytes_mut()[..offered], &mut out);
            self.outgoing = Some(out);
            self.incoming.consume(discard);
            offered -= discard;
            match result {
                Ok(Step::More) => {}
                Ok(Step::Ended) => return Err(TlsError::Ended),
                // What is left of the last record was opened with keys that are no more (RFC 8446 section 5.1).
                Ok(Step::Ready) if !side.is_handshaking() && offered > 0 => {
                    return Err(rustls::Error::from(PeerMisbehaved::KeyEpochWithPendingFragment).into());
                }
                Ok(Step::Ready) if !side.is_handshaking() => return Ok(()),
                Ok(Step::Blocked | Step::Ready) => {
                    offered += self.next_record(offered).await?;
                }
                Err(error) => {
                    self.send_alert(side, offered).await;
                    return Err(error.into());
                }
            }
        }
    }

    /// The length of the record behind the first `offered` bytes, once it is there whole.
    async fn next_record(&mut self, offered: usize) -> Result<usize, TlsError> {
        loop {
            let rest = &self.incoming.bytes()[offered..];
            if let Some(&[_, _, _, hi, lo]) = rest.first_chunk::<RECORD_HEADER>() {
                let len = RECORD_HEADER + usize::from(u16::from_be_bytes([hi, lo]));
                // What cannot be a record is handed over as it is: rustls says what is wrong with it.
                if len > RECORD_ROOM || rest.len() >= len {
                    return Ok(len.min(rest.len()));
                }
            }
            self.flush().await?;
            self.read_more().await?;
        }
    }

    /// Sends what `side` has to say of its failure. It must see the same `offered` bytes again: it may still
    /// refer to messages in them.
    async fn send_alert<S: Side>(&mut self, side: &mut S, mut offered: usize) {
        let mut out = self.outgoing.take().unwrap_or_else(|| self.bufs.outgoing(SEALED));
        while out.room() >= RECORD_ROOM {
            let (discard, result) = side.process(&mut self.incoming.bytes_mut()[..offered], &mut out);
            self.incoming.consume(discard);
            offered -= discard;
            if !matches!(result, Ok(Step::More)) {
                break;
            }
        }
        self.outgoing = Some(out);
        // The connection is given up in any case.
        self.flush().await.ok();
    }

    /// The protected stream, when `side` is done. In TLS 1.3 the last flight (a server's ticket, a client's
    /// Finished) goes out with our first bytes.
    pub(super) async fn into_stream<S: Side>(mut self, side: S) -> Result<Stream, TlsError> {
        if side.version() != Some(ProtocolVersion::TLSv1_3) {
            self.flush().await?;
        }
        let (secrets, keys) = side.into_keys()?;
        let Self { stream, mut incoming, outgoing, bufs, .. } = self;
        let unsent = outgoing.as_ref().map_or(&[][..], Buf::bytes);
        let session = Session::new(secrets, keys, unsent)
            .map_err(|fault| TlsError::Protocol(rustls::Error::General(fault.to_string())))?;
        if let Some(out) = outgoing {
            bufs.put(out);
        }
        let held = if incoming.is_empty() {
            bufs.put(incoming);
            None
        } else {
            incoming.compact();
            Some(incoming)
        };
        let session = Rc::new(RefCell::new(session));
        Ok(stream.secured(|reader, socket| {
            let port = TlsPort::new(reader, session.clone(), bufs.clone(), held);
            (Box::new(port), TlsWriter::new(socket, session, bufs))
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::tests::ends::{on_drivers, pair, send};

    /// Says that it is done before it has used the whole of the record it was given.
    struct Early;

    impl Side for Early {
        fn process(&mut self, incoming: &mut [u8], _: &mut Buf) -> (usize, Result<Step, rustls::Error>) {
            match incoming.len() {
                0 => (0, Ok(Step::Blocked)),
                n => (n - 1, Ok(Step::Ready)),
            }
        }

        fn is_handshaking(&self) -> bool {
            false
        }

        fn version(&self) -> Option<ProtocolVersion> {
            None
        }

        fn into_keys(self) -> Result<(ExtractedSecrets, Keys), rustls::Error> {
            Err(rustls::Error::HandshakeNotComplete)
        }
    }

    #[test]
    fn bytes_behind_the_last_message_of_a_handshake_are_refused() {
        on_drivers(|| async {
            let (a, mut b, bufs) = pair();
            send(&mut b, &[22, 3, 3, 0, 2, 20, 0]).await.unwrap();
            let error = Handshake::new(a, &bufs).run(&mut Early).await.unwrap_err();
            assert!(matches!(
                error,
                TlsError::Protocol(rustls::Error::PeerMisbehaved(
                    PeerMisbehaved::KeyEpochWithPendingFragment
                ))
            ));
        });
    }
}

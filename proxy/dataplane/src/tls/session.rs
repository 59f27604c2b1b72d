//! A protected connection after its handshake: both directions' keys, what control messages change, and what
//! is owed to the peer. Sans-IO; shared by the port that reads and the writer, on one thread.

use std::io;

use rustls::client::ClientConnectionData;
use rustls::kernel::KernelConnection;
use rustls::server::ServerConnectionData;
use rustls::{ExtractedSecrets, ProtocolVersion, SupportedCipherSuite};

use super::record::{self, ALERT, APPLICATION_DATA, Cipher, HANDSHAKE, Opened, PLAIN_MAX, RecordError};
use crate::buf::Buf;

/// Records without application data (empty ones, tickets, key updates) that a peer may send in a row.
pub(super) const QUIET_RECORDS_MAX: u8 = 32;
/// Bytes of a handshake message after the handshake (a ticket that carries a client's chain is the largest).
pub(super) const POST_HANDSHAKE_MAX: usize = 16 * 1024;

/// Alert descriptions that we send (RFC 8446 section 6).
mod alert {
    pub(super) const CLOSE_NOTIFY: u8 = 0;
    pub(super) const UNEXPECTED_MESSAGE: u8 = 10;
    pub(super) const BAD_RECORD_MAC: u8 = 20;
    pub(super) const RECORD_OVERFLOW: u8 = 22;
    pub(super) const ILLEGAL_PARAMETER: u8 = 47;
    pub(super) const DECODE_ERROR: u8 = 50;
    pub(super) const INTERNAL_ERROR: u8 = 80;
    pub(super) const USER_CANCELED: u8 = 90;
    pub(super) const NO_RENEGOTIATION: u8 = 100;
}

const HELLO_REQUEST: u8 = 0;
const CLIENT_HELLO: u8 = 1;
const NEW_SESSION_TICKET: u8 = 4;
const KEY_UPDATE: u8 = 24;
const KEY_UPDATE_NOT_REQUESTED: [u8; 5] = [KEY_UPDATE, 0, 0, 1, 0];

/// Why a protected connection broke; it ends every later read and write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    /// A record could not be opened or sealed.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The peer sent a message that has no place here.
    #[error("an unexpected message after the handshake")]
    Unexpected,
    /// A control message is malformed or too long.
    #[error("a malformed message after the handshake")]
    Malformed,
    /// A control message says what it must not.
    #[error("an illegal value in a message after the handshake")]
    Illegal,
    /// The peer asked for renegotiation.
    #[error("renegotiation is refused")]
    Renegotiation,
    /// Too many records without application data.
    #[error("too many records without application data")]
    Flood,
    /// The peer sent this fatal alert.
    #[error("the peer sent the fatal alert {0}")]
    Alert(u8),
    /// The keys could not be changed.
    #[error("the keys could not be changed")]
    Keys,
    /// A write after our close_notify.
    #[error("this side is closed")]
    Closed,
}

impl Fault {
    /// The alert that tells the peer; none in answer to an alert.
    fn alert(self) -> Option<u8> {
        Some(match self {
            Fault::Record(RecordError::BadMac) => alert::BAD_RECORD_MAC,
            Fault::Record(RecordError::Overflow) => alert::RECORD_OVERFLOW,
            Fault::Record(RecordError::Unexpected) | Fault::Unexpected | Fault::Flood => {
                alert::UNEXPECTED_MESSAGE
            }
            Fault::Record(RecordError::Exhausted) | Fault::Keys => alert::INTERNAL_ERROR,
            Fault::Malformed => alert::DECODE_ERROR,
            Fault::Illegal => alert::ILLEGAL_PARAMETER,
            Fault::Renegotiation => alert::NO_RENEGOTIATION,
            Fault::Alert(_) | Fault::Closed => return None,
        })
    }
}

impl From<Fault> for io::Error {
    fn from(fault: Fault) -> Self {
        let kind = match fault {
            Fault::Alert(_) => io::ErrorKind::ConnectionAborted,
            Fault::Closed => io::ErrorKind::BrokenPipe,
            _ => io::ErrorKind::InvalidData,
        };
        io::Error::new(kind, fault)
    }
}

/// What an opened record brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// Application data, at this place of what it was opened into.
    Data {
        /// First byte.
        start: usize,
        /// Number of bytes.
        len: usize,
    },
    /// Something that has been dealt with.
    Control,
    /// The peer's close_notify: no more data comes.
    End,
}

/// The end of the connection that we are, with what rustls keeps for key updates and tickets.
pub(super) enum Keys {
    Server(KernelConnection<ServerConnectionData>),
    Client(KernelConnection<ClientConnectionData>),
}

impl Keys {
    fn suite(&self) -> SupportedCipherSuite {
        match self {
            Keys::Server(k) => k.negotiated_cipher_suite(),
            Keys::Client(k) => k.negotiated_cipher_suite(),
        }
    }

    fn version(&self) -> ProtocolVersion {
        match self {
            Keys::Server(k) => k.protocol_version(),
            Keys::Client(k) => k.protocol_version(),
        }
    }
}

/// See the module's head.
pub(super) struct Session {
    rx: Cipher,
    tx: Cipher,
    keys: Keys,
    limit: u64,
    tls13: bool,
    /// Part of a handshake message that goes on in the next record.
    joined: Vec<u8>,
    /// The end of our handshake (a ticket, or a client's Finished), sent ahead of the first bytes.
    unsent: Vec<u8>,
    key_update_owed: bool,
    quiet_records: u8,
    fault: Option<Fault>,
    received_end: bool,
    sent_end: bool,
}

impl Session {
    /// The session that follows a handshake. `unsent` goes out ahead of the first bytes.
    pub(super) fn new(secrets: ExtractedSecrets, keys: Keys, unsent: &[u8]) -> Result<Self, Fault> {
        let version = keys.version();
        let limit = match keys.suite() {
            SupportedCipherSuite::Tls13(suite) => suite.common.confidentiality_limit,
            SupportedCipherSuite::Tls12(suite) => suite.common.confidentiality_limit,
        };
        Ok(Self {
            rx: Cipher::new(version, secrets.rx, limit)?,
            tx: Cipher::new(version, secrets.tx, limit)?,
            keys,
            limit,
            tls13: version == ProtocolVersion::TLSv1_3,
            joined: Vec::new(),
            unsent: unsent.to_vec(),
            key_update_owed: false,
            quiet_records: 0,
            fault: None,
            received_end: false,
            sent_end: false,
        })
    }

    /// Why the connection broke, if it did.
    pub(super) fn fault(&self) -> Option<Fault> {
        self.fault
    }

    /// Whether the peer's close_notify has come.
    pub(super) fn has_ended(&self) -> bool {
        self.received_end
    }

    /// Breaks the connection.
    pub(super) fn fail(&mut self, fault: Fault) -> Fault {
        *self.fault.get_or_insert(fault)
    }

    /// Bytes that [`Session::open_to`] needs for a record of `total` bytes.
    pub(super) fn room_needed(&self, total: usize) -> usize {
        self.rx.room_needed(total)
    }

    /// Opens a whole record in place. A broken connection opens nothing more, and what follows close_notify is
    /// ignored (RFC 8446 section 6.1).
    pub(super) fn open(&mut self, record: &mut [u8]) -> Result<Content, Fault> {
        if let Some(done) = self.done() {
            return done;
        }
        let opened = self.rx.open(record);
        self.take(opened, record)
    }

    /// [`Session::open`] into `out`, which must have the room for it.
    pub(super) fn open_to(&mut self, record: &[u8], out: &mut [u8]) -> Result<Content, Fault> {
        if let Some(done) = self.done() {
            return done;
        }
        let opened = self.rx.open_to(record, out);
        self.take(opened, out)
    }

    fn done(&self) -> Option<Result<Content, Fault>> {
        match self.fault {
            Some(fault) => Some(Err(fault)),
            None => self.received_end.then_some(Ok(Content::End)),
        }
    }

    fn take(&mut self, opened: Result<Opened, RecordError>, bytes: &[u8]) -> Result<Content, Fault> {
        let result = opened.map_err(Fault::from).and_then(|opened| self.dispatch(opened, bytes));
        result.map_err(|fault| self.fail(fault))
    }

    fn dispatch(&mut self, Opened { kind, start, len }: Opened, bytes: &[u8]) -> Result<Content, Fault> {
        if kind != HANDSHAKE && !self.joined.is_empty() {
            return Err(Fault::Unexpected);
        }
        if kind == APPLICATION_DATA && len > 0 {
            self.quiet_records = 0;
            return Ok(Content::Data { start, len });
        }
        self.quiet_records += 1;
        if self.quiet_records > QUIET_RECORDS_MAX {
            return Err(Fault::Flood);
        }
        let content = &bytes[start..start + len];
        match kind {
            APPLICATION_DATA => Ok(Content::Control),
            ALERT if !content.is_empty() => self.on_alert(content),
            HANDSHAKE if !content.is_empty() => self.on_handshake(content).map(|()| Content::Control),
            _ => Err(Fault::Unexpected),
        }
    }

    fn on_alert(&mut self, content: &[u8]) -> Result<Content, Fault> {
        let &[level, description] = content else {
            return Err(Fault::Malformed);
        };
        match (level, description) {
            (_, alert::CLOSE_NOTIFY) => {
                self.received_end = true;
                Ok(Content::End)
            }
            // TLS 1.3 has no levels, and only this alert besides close_notify that is no error.
            (_, alert::USER_CANCELED) if self.tls13 => Ok(Content::Control),
            (1, _) if !self.tls13 => Ok(Content::Control),
            _ => Err(Fault::Alert(description)),
        }
    }

    fn on_handshake(&mut self, content: &[u8]) -> Result<(), Fault> {
        // What is joined is the beginning of one message, which `first_message` bounds.
        let mut joined = std::mem::take(&mut self.joined);
        let mut rest = content;
        if !joined.is_empty() {
            joined.extend_from_slice(content);
            rest = &joined;
        }
        while let Some((kind, body, after)) = first_message(rest)? {
            self.on_message(kind, body, after.is_empty())?;
            rest = after;
        }
        self.joined = rest.to_vec();
        Ok(())
    }

    fn on_message(&mut self, kind: u8, body: &[u8], is_last: bool) -> Result<(), Fault> {
        match (kind, &mut self.keys) {
            (KEY_UPDATE, _) if self.tls13 => {
                // A message must not be protected by two keys (RFC 8446 section 5.1).
                if !is_last {
                    return Err(Fault::Unexpected);
                }
                self.on_key_update(body)
            }
            (NEW_SESSION_TICKET, Keys::Client(keys)) if self.tls13 => {
                keys.handle_new_session_ticket(body).map_err(|_| Fault::Malformed)
            }
            // A client may ignore this (RFC 5246 section 7.4.1.1); we never renegotiate.
            (HELLO_REQUEST, Keys::Client(_)) if !self.tls13 && body.is_empty() => Ok(()),
            (CLIENT_HELLO, Keys::Server(_)) if !self.tls13 => Err(Fault::Renegotiation),
            _ => Err(Fault::Unexpected),
        }
    }

    fn on_key_update(&mut self, body: &[u8]) -> Result<(), Fault> {
        let asked = match body {
            [0] => false,
            [1] => true,
            [_] => return Err(Fault::Illegal),
            _ => return Err(Fault::Malformed),
        };
        let next = match &mut self.keys {
            Keys::Server(keys) => keys.update_rx_secret(),
            Keys::Client(keys) => keys.update_rx_secret(),
        };
        let next = next.map_err(|_| Fault::Keys)?;
        self.rx = Cipher::new(ProtocolVersion::TLSv1_3, next, self.limit)?;
        self.key_update_owed |= asked;
        Ok(())
    }

    /// Bytes that `plain` bytes become on the wire, with all that is owed ahead of them.
    pub(super) fn sealed_len(&self, plain: usize) -> usize {
        let records = plain.div_ceil(PLAIN_MAX) + usize::from(self.key_update_owed);
        self.unsent.len() + plain + records * (self.tx.overhead() + 8)
    }

    /// Appends to `out` what is owed to the peer and then as much of `plain` as fits, in records of the full
    /// size; consumes what it took.
    ///
    /// # Errors
    /// Why the connection broke, or [`Fault::Closed`] after [`Session::seal_end`].
    pub(super) fn seal(&mut self, plain: &mut Buf, out: &mut Buf) -> Result<(), Fault> {
        match self.fault {
            Some(fault) => Err(fault),
            None if self.sent_end => Err(Fault::Closed),
            None => match self.seal_data(plain, out).map_err(|fault| self.fail(fault)) {
                // What was sealed is sent, or the alert behind it would be out of sequence.
                Err(_) if !out.is_empty() => Ok(()),
                result => result,
            },
        }
    }

    fn seal_data(&mut self, plain: &mut Buf, out: &mut Buf) -> Result<(), Fault> {
        self.seal_lead(out)?;
        while !plain.is_empty() && self.unsent.is_empty() && !self.key_update_owed {
            if self.tx.is_spent() {
                if !self.has_room_for_key_update(out) {
                    break;
                }
                self.change_tx_keys(out)?;
            }
            let fits = out.room().saturating_sub(self.tx.overhead());
            let n = plain.len().min(PLAIN_MAX).min(fits);
            if n == 0 {
                break;
            }
            let sealed = self.tx.seal(APPLICATION_DATA, &plain.bytes()[..n], out.room_mut())?;
            out.advance(sealed);
            plain.consume(n);
        }
        Ok(())
    }

    fn seal_lead(&mut self, out: &mut Buf) -> Result<(), Fault> {
        if !self.unsent.is_empty() {
            let n = out.push(&self.unsent);
            self.unsent.drain(..n);
            if self.unsent.is_empty() {
                self.unsent = Vec::new();
            }
        }
        if self.key_update_owed && self.unsent.is_empty() && self.has_room_for_key_update(out) {
            self.change_tx_keys(out)?;
        }
        Ok(())
    }

    fn has_room_for_key_update(&self, out: &Buf) -> bool {
        out.room() >= KEY_UPDATE_NOT_REQUESTED.len() + self.tx.overhead()
    }

    /// Tells the peer that our key changes, and changes it (RFC 8446 section 4.6.3). TLS 1.2 has no such message.
    fn change_tx_keys(&mut self, out: &mut Buf) -> Result<(), Fault> {
        if !self.tls13 {
            return Err(RecordError::Exhausted.into());
        }
        let n = self.tx.seal(HANDSHAKE, &KEY_UPDATE_NOT_REQUESTED, out.room_mut())?;
        out.advance(n);
        let next = match &mut self.keys {
            Keys::Server(keys) => keys.update_tx_secret(),
            Keys::Client(keys) => keys.update_tx_secret(),
        };
        self.tx = Cipher::new(ProtocolVersion::TLSv1_3, next.map_err(|_| Fault::Keys)?, self.limit)?;
        self.key_update_owed = false;
        Ok(())
    }

    /// Appends the last record that we send: close_notify, or the alert that says what broke. Nothing if it has
    /// been sent or the peer has broken the connection.
    pub(super) fn seal_end(&mut self, out: &mut Buf) -> Result<(), Fault> {
        if std::mem::replace(&mut self.sent_end, true) {
            return Ok(());
        }
        let message = match self.fault {
            None => [1, alert::CLOSE_NOTIFY],
            Some(fault) => match fault.alert() {
                None => return Ok(()),
                Some(description) => [2, description],
            },
        };
        self.seal_lead(out)?;
        if self.unsent.is_empty() {
            let n = self.tx.seal(ALERT, &message, out.room_mut())?;
            out.advance(n);
        }
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn set_tx_limit(&mut self, limit: u64) {
        self.limit = limit;
        self.tx.set_limit(limit);
    }

    /// Whether the connection speaks TLS 1.3.
    pub(super) fn is_tls13(&self) -> bool {
        self.tls13
    }

    /// Changes our key and asks the peer to change its own. For tests and fuzzing, and panics.
    #[allow(clippy::unwrap_used)]
    pub(super) fn ask_for_key_update(&mut self, out: &mut Buf) {
        self.seal_raw(HANDSHAKE, &[KEY_UPDATE, 0, 0, 1, 1], out);
        let next = match &mut self.keys {
            Keys::Server(keys) => keys.update_tx_secret(),
            Keys::Client(keys) => keys.update_tx_secret(),
        };
        self.tx = Cipher::new(ProtocolVersion::TLSv1_3, next.unwrap(), self.limit).unwrap();
    }

    /// Seals one record of any type, for a peer that misbehaves in tests and fuzzing, and panics.
    #[allow(clippy::unwrap_used)]
    pub(super) fn seal_raw(&mut self, kind: u8, content: &[u8], out: &mut Buf) {
        let n = self.tx.seal(kind, content, out.room_mut()).unwrap();
        out.advance(n);
    }
}

/// A handshake message (type, body) and what follows it.
type Message<'a> = (u8, &'a [u8], &'a [u8]);

/// The first handshake message of `bytes`, when it is there whole.
fn first_message(bytes: &[u8]) -> Result<Option<Message<'_>>, Fault> {
    let Some((&[kind, a, b, c], rest)) = bytes.split_first_chunk::<4>() else {
        return Ok(None);
    };
    let len = u32::from_be_bytes([0, a, b, c]) as usize;
    if len > POST_HANDSHAKE_MAX {
        return Err(Fault::Malformed);
    }
    Ok(rest.split_at_checked(len).map(|(body, after)| (kind, body, after)))
}

/// The whole length of the record that `bytes` begins with, when its header is there.
pub(super) fn record_len(bytes: &[u8]) -> Result<Option<usize>, Fault> {
    record::record_len(bytes).map_err(Fault::from)
}

//! The write side of a protected connection: seals what it is given into one pooled buffer a send.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::rc::Rc;

use super::bufs::TlsBufs;
use super::session::Session;
use crate::buf::{Buf, SMALL};
use crate::stream::Socket;

/// Writes over TLS. A small message is one record and one send; a large one goes out in full records, in sends
/// of at most [`super::bufs`]' bound.
pub struct TlsWriter {
    inner: Socket,
    session: Rc<RefCell<Session>>,
    bufs: Rc<TlsBufs>,
}

impl fmt::Debug for TlsWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TlsWriter").field(&self.inner).finish()
    }
}

impl TlsWriter {
    pub(super) fn new(inner: Socket, session: Rc<RefCell<Session>>, bufs: Rc<TlsBufs>) -> Self {
        Self { inner, session, bufs }
    }

    #[cfg(test)]
    pub(super) fn session(&self) -> Rc<RefCell<Session>> {
        self.session.clone()
    }

    #[cfg(test)]
    pub(super) fn inner(&mut self) -> &mut Socket {
        &mut self.inner
    }

    /// Writes the readable bytes of `buf` whole and gives it back, empty on success.
    ///
    /// # Errors
    /// What the socket says, or why the connection broke.
    pub async fn write_all(&mut self, mut buf: Buf) -> (io::Result<()>, Buf) {
        while !buf.is_empty() {
            let needed = self.session.borrow().sealed_len(buf.len());
            let mut out = self.bufs.outgoing(needed);
            let sealed = self.session.borrow_mut().seal(&mut buf, &mut out);
            if let Err(fault) = sealed {
                self.bufs.put(out);
                return (Err(fault.into()), buf);
            }
            let (result, out) = self.inner.send_all(out).await;
            self.bufs.put(out);
            if let Err(error) = result {
                return (Err(error), buf);
            }
        }
        (Ok(()), buf)
    }

    /// Sends the last record, once: close_notify, or the alert that tells the peer what broke.
    ///
    /// # Errors
    /// What the socket says.
    pub async fn finish(&mut self) -> io::Result<()> {
        let needed = self.session.borrow().sealed_len(SMALL / 2);
        let mut out = self.bufs.outgoing(needed);
        let sealed = self.session.borrow_mut().seal_end(&mut out);
        let (result, out) = match sealed {
            Ok(()) => self.inner.send_all(out).await,
            Err(fault) => (Err(fault.into()), out),
        };
        self.bufs.put(out);
        result
    }
}

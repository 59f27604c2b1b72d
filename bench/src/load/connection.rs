//! One connection of the generator: connects, sends a request, reads its answer to the end, tells both apart from
//! every way in which that can fail.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::task::Poll;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use monoio::io::{AsyncWriteRentExt, OwnedReadHalf, OwnedWriteHalf, Splitable};
use monoio::net::TcpStream;

use super::deadline::{Deadline, Late};
use super::llm::{AnswerReader, Facts};
use super::request::Request;
use super::tally::Failure;
use crate::wire::{self, WireError};

/// Interim answers before a final one; more are malformed.
const INTERIM_MAX: u64 = 32;

/// An open connection.
pub(crate) struct Connection {
    reader: OwnedReadHalf<TcpStream>,
    writer: OwnedWriteHalf<TcpStream>,
    buffer: BytesMut,
    /// Reads answers of language models.
    pub(crate) answers: AnswerReader,
    /// Requests sent on it.
    pub(crate) sent: u64,
}

/// What one exchange brought.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Exchange {
    pub(crate) status: u16,
    pub(crate) interim: u64,
    pub(crate) body_bytes: u64,
    pub(crate) sent_bytes: u64,
    /// The connection must not carry another request.
    pub(crate) close: bool,
    /// The server said that it will close.
    pub(crate) server_closes: bool,
    /// What an answer of a language model says of itself.
    pub(crate) facts: Option<Facts>,
}

/// Opens a connection.
///
/// # Errors
/// `Connect` or `ConnectTimeout`.
pub(crate) async fn connect(address: SocketAddr, deadline: &mut Deadline) -> Result<Connection, Failure> {
    // A dropped connect may leak its descriptor, so a late one runs to its end in a task of its own.
    let connecting = monoio::spawn(TcpStream::connect_addr(address));
    let stream = match deadline.guard(Instant::now(), connecting).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(_)) => return Err(Failure::Connect),
        Err(Late) => return Err(Failure::ConnectTimeout),
    };
    stream.set_nodelay(true).map_err(|_| Failure::Connect)?;
    let (reader, writer) = stream.into_split();
    Ok(Connection { reader, writer, buffer: BytesMut::new(), answers: AnswerReader::default(), sent: 0 })
}

impl Connection {
    /// Sends a request and reads its answer. After an error the connection must be dropped.
    ///
    /// # Errors
    /// The way in which the exchange failed.
    pub(crate) async fn exchange(
        &mut self,
        request: &Request,
        key_field: Option<&[u8]>,
        last: bool,
        since: Instant,
        deadline: &mut Deadline,
    ) -> Result<Exchange, Failure> {
        self.sent += 1;
        let first = request.first_write(key_field, last);
        let sent_bytes = (first.len() + request.large_body.len()) as u64;
        let Self { reader, writer, buffer, answers, .. } = self;
        let mut observer = request.expects.map(|expects| {
            answers.expect(expects);
            answers
        });
        let observed = observer.as_deref_mut();
        let exchange = async {
            if request.large_body.is_empty() {
                let (written, _) = writer.write_all(first).await;
                let read = read_answer(reader, buffer, request.is_head, observed).await;
                // A server may answer and close before it has read everything: its answer counts.
                match (written, read) {
                    (_, Ok(exchange)) => Ok(exchange),
                    (Err(error), Err(_)) => Err(Failure::of_io(&error)),
                    (Ok(_), Err(error)) => Err(Failure::of(&error)),
                }
            } else {
                send_large(
                    writer,
                    first,
                    request.large_body.clone(),
                    read_answer(reader, buffer, request.is_head, observed),
                )
                .await
            }
        };
        let exchange = match deadline.guard(since, exchange).await {
            Ok(outcome) => outcome?,
            Err(Late) => return Err(Failure::Timeout),
        };
        let facts = match observer {
            Some(answers) => answers.finish().map_err(Failure::Answer)?,
            None => None,
        };
        Ok(Exchange { sent_bytes, close: exchange.close || last, facts, ..exchange })
    }

    /// Waits for the server's end of the stream, so that the server is the one that keeps the closed address pair.
    pub(crate) async fn await_close(&mut self, deadline: &mut Deadline) {
        let ended = async {
            while wire::fill(&mut self.reader, &mut self.buffer, false).await.is_ok_and(|n| n > 0) {
                self.buffer.clear();
            }
        };
        // Whether it ended or was late, the connection is dropped next.
        let _ = deadline.guard(Instant::now(), ended).await;
    }
}

/// Writes head and body while the answer is already awaited; an answer that overtakes the body ends the exchange.
async fn send_large(
    writer: &mut OwnedWriteHalf<TcpStream>,
    first: Bytes,
    body: Bytes,
    read: impl Future<Output = Result<Exchange, WireError>>,
) -> Result<Exchange, Failure> {
    let mut read = pin!(read);
    let mut write = pin!(async {
        let (head, _) = writer.write_all(first).await;
        head?;
        let (body, _) = writer.write_all(body).await;
        body.map(|_| ())
    });
    let mut written: Option<std::io::Result<()>> = None;
    poll_fn(|context| {
        if written.is_none()
            && let Poll::Ready(result) = write.as_mut().poll(context)
        {
            written = Some(result);
        }
        let Poll::Ready(answer) = read.as_mut().poll(context) else { return Poll::Pending };
        Poll::Ready(match (answer, &written) {
            (Ok(exchange), Some(Ok(()))) => Ok(exchange),
            (Ok(exchange), _) => Ok(Exchange { close: true, ..exchange }),
            (Err(_), Some(Err(error))) => Err(Failure::of_io(error)),
            (Err(error), _) => Err(Failure::of(&error)),
        })
    })
    .await
}

async fn read_answer(
    reader: &mut OwnedReadHalf<TcpStream>,
    buffer: &mut BytesMut,
    to_head: bool,
    mut observer: Option<&mut AnswerReader>,
) -> Result<Exchange, WireError> {
    let mut interim = 0;
    loop {
        let Some(head) = wire::take_answer_head(buffer, to_head)? else {
            if wire::fill(reader, buffer, false).await? == 0 {
                let nothing = buffer.is_empty() && interim == 0;
                return Err(if nothing { WireError::Closed } else { WireError::Truncated });
            }
            continue;
        };
        let switches = head.status == http::StatusCode::SWITCHING_PROTOCOLS;
        if head.status.is_informational() && !switches {
            interim += 1;
            if interim > INTERIM_MAX {
                return Err(WireError::Malformed("too many interim answers".into()));
            }
            continue;
        }
        let body_bytes = match &mut observer {
            None => wire::skim_body(reader, buffer, head.framing, |_| ()).await?,
            Some(answers) => {
                answers.begin(head.status, &head.headers);
                wire::skim_body(reader, buffer, head.framing, |piece| answers.take(piece, Instant::now()))
                    .await?
            }
        };
        // Bytes behind an answer that nobody asked for: the framing of this connection can't be trusted further.
        let close = head.close || switches || !buffer.is_empty();
        return Ok(Exchange {
            status: head.status.as_u16(),
            interim,
            body_bytes,
            sent_bytes: 0,
            close,
            server_closes: head.close,
            facts: None,
        });
    }
}

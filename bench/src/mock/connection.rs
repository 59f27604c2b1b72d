//! One connection of a mock: reads requests one after another, answers each as ordered.

use std::borrow::Cow;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, StatusCode};
use monoio::io::{AsyncWriteRent, AsyncWriteRentExt};
use monoio::net::TcpStream;
use sha2::{Digest, Sha256};

use super::answer::{Answer, Encoded};
use super::control::{Orders, whole_milliseconds};
use super::delay::Delay;
use super::fault::{self, Fault, FaultRate, Step};
use super::record::{Counters, Received, Recorder, count, latin1, raw_fields};
use crate::rng::Rng;
use crate::sys;
use crate::wire::{self, RequestHead, WireError};

/// What all connections of a thread share.
pub(crate) struct Mock {
    pub(crate) answer: Answer,
    /// The answer to an ordinary request in one piece.
    pub(crate) plain: Bytes,
    pub(crate) delay: Option<Delay>,
    pub(crate) faults: Vec<FaultRate>,
    pub(crate) drip: Duration,
    pub(crate) echo: bool,
    pub(crate) takes_orders: bool,
    pub(crate) counters: Arc<Counters>,
    pub(crate) recorder: Option<Arc<Recorder>>,
    pub(crate) rng: RefCell<Rng>,
}

/// What is to be done about one request.
struct Task<'a> {
    answer: Cow<'a, Answer>,
    delay: Option<Delay>,
    fault: Option<Fault>,
    echo: bool,
    /// The plain answer will do.
    plain: bool,
}

/// Whether the connection can carry another request.
#[derive(Debug, PartialEq, Eq)]
enum After {
    Goes,
    Ends,
}

/// Serves a connection to its end; failures of the peer end it in silence, as this is a mock.
pub(crate) async fn serve(mut stream: TcpStream, mock: Rc<Mock>) {
    let number = count(&mock.counters.connections);
    let mut buffer = BytesMut::new();
    loop {
        let head = match read_head(&mut stream, &mut buffer, &mock).await {
            Ok(head) => head,
            Err(error) => {
                leave(&mut stream, &buffer, &mock, number, &error).await;
                return;
            }
        };
        if !matches!(one_request(&mut stream, &mut buffer, &mock, number, head).await, Ok(After::Goes)) {
            return;
        }
    }
}

async fn read_head(
    stream: &mut TcpStream,
    buffer: &mut BytesMut,
    mock: &Mock,
) -> Result<RequestHead, WireError> {
    let keep_raw = mock.echo || mock.takes_orders || mock.recorder.is_some();
    loop {
        if let Some(head) = wire::take_request_head(buffer, keep_raw)? {
            return Ok(head);
        }
        if wire::fill(stream, buffer, false).await? == 0 {
            return Err(if buffer.is_empty() { WireError::Closed } else { WireError::Truncated });
        }
    }
}

/// Notes what was left over when a connection ended outside a request.
async fn leave(stream: &mut TcpStream, left: &[u8], mock: &Mock, number: u64, error: &WireError) {
    let malformed = matches!(error, WireError::Malformed(_));
    if malformed || !left.is_empty() {
        count(&mock.counters.incomplete);
        if let Some(recorder) = &mock.recorder {
            recorder.incomplete(number, left);
        }
    }
    if malformed {
        let refusal =
            Bytes::from_static(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
        // The peer may be gone; either way the connection ends here.
        let _ = stream.write_all(refusal).await;
    }
}

async fn one_request(
    stream: &mut TcpStream,
    buffer: &mut BytesMut,
    mock: &Mock,
    connection: u64,
    head: RequestHead,
) -> Result<After, WireError> {
    if let Some(reply) = housekeeping(mock, &head) {
        wire::skim_body(stream, buffer, head.framing, |_| ()).await?;
        stream.write_all(reply).await.0?;
        return Ok(if head.close { After::Ends } else { After::Goes });
    }
    let request = count(&mock.counters.requests);
    let mut task = task(mock, &head);
    if task.fault.is_some() {
        count(&mock.counters.faults);
    }
    let early = task.fault.is_some_and(Fault::is_early);
    if !early {
        let received = receive(stream, buffer, mock, (connection, request), &head, &task).await?;
        if let (true, Some(received)) = (task.echo, received) {
            let answer = task.answer.to_mut();
            answer.body = serde_json::to_vec(&received).map_err(std::io::Error::other)?.into();
            answer.fields.push(("content-type".into(), "application/json".into()));
        }
    }
    if let Some(delay) = task.delay {
        let drawn = whole_milliseconds(delay.draw(&mut mock.rng.borrow_mut()));
        monoio::time::sleep(drawn).await;
    }
    if task.plain && task.fault.is_none() && !head.close && head.method != Method::HEAD {
        stream.write_all(mock.plain.clone()).await.0?;
        return Ok(After::Goes);
    }
    let encoded = task.answer.encode(head.method == Method::HEAD, head.close);
    let steps = match task.fault {
        Some(fault) => fault.script(&task.answer, &encoded),
        None => plain_steps(&encoded),
    };
    for step in steps {
        if perform(stream, buffer, mock, step).await? == After::Ends {
            return Ok(After::Ends);
        }
    }
    if early {
        receive(stream, buffer, mock, (connection, request), &head, &task).await?;
    }
    Ok(if head.close { After::Ends } else { After::Goes })
}

/// Small answers in one write, large bodies by themselves without a copy.
fn plain_steps(encoded: &Encoded) -> Vec<Step> {
    const JOINED_BODY_BYTES_MAX: usize = 64 * 1024;
    if encoded.body.len() <= JOINED_BODY_BYTES_MAX {
        return vec![Step::Write(encoded.whole())];
    }
    let head = Step::Write([&encoded.interim[..], &encoded.head].concat().into());
    vec![head, Step::Write(encoded.body.clone())]
}

/// Answers to the mock's own paths.
fn housekeeping(mock: &Mock, head: &RequestHead) -> Option<Bytes> {
    let body = match (&head.method, head.target.as_str()) {
        (&Method::GET, "/__count") => mock.counters.json(),
        (&Method::POST, "/__reset") => {
            mock.counters.reset();
            mock.counters.json()
        }
        _ => return None,
    };
    let length = body.len();
    Some(
        format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        )
        .into(),
    )
}

fn task<'a>(mock: &'a Mock, head: &RequestHead) -> Task<'a> {
    let orders = if mock.takes_orders { Orders::read(&head.headers) } else { Ok(None) };
    let drawn = fault::draw(&mock.faults, &mut mock.rng.borrow_mut());
    let mut task = Task {
        answer: Cow::Borrowed(&mock.answer),
        delay: mock.delay,
        fault: drawn,
        echo: mock.echo,
        plain: !mock.echo,
    };
    match orders {
        Ok(None) => {}
        Ok(Some(orders)) => {
            orders.apply(task.answer.to_mut());
            task.delay = orders.delay.or(task.delay);
            task.fault = orders.fault.or(task.fault);
            task.echo |= orders.echo;
            task.plain &= orders.only_waits();
        }
        Err(error) => {
            let answer = task.answer.to_mut();
            answer.status = StatusCode::BAD_REQUEST;
            answer.body = format!("{error}\n").into();
            (task.plain, task.echo, task.fault) = (false, false, None);
        }
    }
    task
}

/// Reads the body and notes the request where someone wants to know.
async fn receive(
    stream: &mut TcpStream,
    buffer: &mut BytesMut,
    mock: &Mock,
    (connection, request): (u64, u64),
    head: &RequestHead,
    task: &Task<'_>,
) -> Result<Option<Received>, WireError> {
    if expects_continue(&head.headers) {
        stream.write_all(Bytes::from_static(b"HTTP/1.1 100 Continue\r\n\r\n")).await.0?;
    }
    if !task.echo && mock.recorder.is_none() {
        wire::skim_body(stream, buffer, head.framing, |_| ()).await?;
        return Ok(None);
    }
    let mut hash = Sha256::new();
    let outcome = wire::skim_body(stream, buffer, head.framing, |piece| hash.update(piece)).await;
    let mut received = Received {
        connection,
        request,
        method: head.method.to_string(),
        target: head.target.clone(),
        version: format!("{:?}", head.version),
        headers: raw_fields(&head.raw),
        body_bytes: *outcome.as_ref().unwrap_or(&0),
        body_sha256: hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect(),
        head: Some(latin1(&head.raw)),
    };
    if let Some(recorder) = &mock.recorder {
        recorder.request(&received);
    }
    outcome?;
    received.head = None;
    Ok(Some(received))
}

/// Whether the client waits to be asked for its body (RFC 9110 section 10.1.1).
pub(crate) fn expects_continue(headers: &HeaderMap) -> bool {
    headers
        .get(http::header::EXPECT)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

async fn perform(
    stream: &mut TcpStream,
    buffer: &mut BytesMut,
    mock: &Mock,
    step: Step,
) -> Result<After, WireError> {
    match step {
        Step::Write(bytes) => {
            stream.write_all(bytes).await.0?;
            Ok(After::Goes)
        }
        Step::Drip(bytes) => {
            for at in 0..bytes.len() {
                stream.write_all(bytes.slice(at..=at)).await.0?;
                monoio::time::sleep(mock.drip).await;
            }
            Ok(After::Goes)
        }
        Step::Reset => {
            sys::reset_on_close(stream)?;
            Ok(After::Ends)
        }
        Step::Close => Ok(After::Ends),
        Step::HalfClose => {
            stream.shutdown().await?;
            read_to_end(stream, buffer).await;
            Ok(After::Ends)
        }
        Step::Stall => {
            read_to_end(stream, buffer).await;
            Ok(After::Ends)
        }
    }
}

async fn read_to_end(stream: &mut TcpStream, buffer: &mut BytesMut) {
    while wire::fill(stream, buffer, false).await.is_ok_and(|count| count > 0) {
        buffer.clear();
    }
}

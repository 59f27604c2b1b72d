//! One connection of the mock: reads requests one after another, answers each, watches for a client that leaves, and
//! tells the ledger.

use std::cell::RefCell;
use std::future::{Future, pending, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use http::{HeaderMap, StatusCode};
use monoio::io::AsyncWriteRentExt;
use monoio::net::TcpStream;
use serde::Serialize;

use super::ask;
use super::control;
use super::dialect;
use super::draft::Draft;
use super::extras::{self, Extra};
use super::ledger::{Call, Ledger, Outcome, State, Who, unix_us};
use super::limits::{self, Allowance, Left};
use super::orders::{Fault, Orders};
use super::refusal::{self, Refusal, Why};
use super::reply::Reply;
use super::route::{self, Embed, Endpoint, ModelList, Route};
use super::script::{Ending, Script};
use super::server::Settings;
use crate::llm::{Dialect, Usage};
use crate::mock::{Delay, Recorder, expects_continue, raw_fields, whole_milliseconds};
use crate::rng::Rng;
use crate::sys;
use crate::wire::{self, RequestHead, WireError};

/// Largest body of a request.
const BODY_BYTES_MAX: usize = 64 << 20;
/// Room for bodies that a connection keeps between requests.
const BODY_BYTES_KEPT: usize = 256 << 10;

/// What all connections of a thread share.
pub(super) struct Mock {
    pub(super) settings: Arc<Settings>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) recorder: Option<Arc<Recorder>>,
    /// Header with the id that the bill tells, in lower case.
    pub(super) id_header: String,
    pub(super) allowed: Allowance,
    /// Microseconds of Unix time at which this mock was started.
    pub(super) epoch: u64,
    pub(super) rng: RefCell<Rng>,
}

/// A line of the record.
#[derive(Debug, Serialize)]
struct Received<'a> {
    method: &'a str,
    target: &'a str,
    headers: Vec<(String, String)>,
    body: std::borrow::Cow<'a, str>,
}

/// Whether the connection can carry another request.
#[derive(Debug, PartialEq, Eq)]
enum After {
    Goes,
    Ends,
}

/// One connection.
struct Peer {
    stream: TcpStream,
    /// The same socket, to wait for its end beside what the stream does.
    watch: TcpStream,
    buffer: BytesMut,
    /// Body of the request.
    body: Vec<u8>,
    /// What is written next.
    out: Vec<u8>,
}

/// Serves a connection to its end; failures of the peer end it in silence, as this is a mock.
pub(super) async fn serve(stream: TcpStream, mock: Rc<Mock>) {
    let Ok(watch) = sys::duplicate(&stream).map(std::net::TcpStream::from).and_then(TcpStream::from_std)
    else {
        return;
    };
    let mut peer = Peer { stream, watch, buffer: BytesMut::new(), body: Vec::new(), out: Vec::new() };
    while let Ok(Some(head)) = peer.read_head(mock.recorder.is_some()).await {
        if !matches!(peer.one_request(&mock, head).await, Ok(After::Goes)) {
            return;
        }
    }
}

impl Peer {
    async fn read_head(&mut self, keep_raw: bool) -> Result<Option<RequestHead>, WireError> {
        loop {
            if let Some(head) = wire::take_request_head(&mut self.buffer, keep_raw)? {
                return Ok(Some(head));
            }
            if wire::fill(&mut self.stream, &mut self.buffer, false).await? == 0 {
                return Ok(None);
            }
        }
    }

    async fn one_request(&mut self, mock: &Mock, head: RequestHead) -> Result<After, WireError> {
        if !self.read_body(&head).await? {
            self.out.clear();
            self.out.extend_from_slice(
                b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
            );
            self.flush().await?;
            return Ok(After::Ends);
        }
        if control::is_own(&head.target) {
            let told = control::answer(mock, &head.method, &head.target, &self.body);
            self.out.clear();
            push_status(&mut self.out, told.status.as_u16());
            self.out.extend_from_slice(
                format!(
                    "content-type: {}\r\ncontent-length: {}\r\n\r\n{}",
                    told.media_type,
                    told.body.len(),
                    told.body
                )
                .as_bytes(),
            );
            self.flush().await?;
            return Ok(after(&head));
        }
        if let Some(recorder) = &mock.recorder {
            recorder.line(&Received {
                method: head.method.as_str(),
                target: &head.target,
                headers: raw_fields(&head.raw),
                body: String::from_utf8_lossy(&self.body),
            });
        }
        let to_anthropic = head.headers.contains_key("anthropic-version");
        match route::route(&head.method, &head.target, to_anthropic) {
            Some(Route { endpoint: Endpoint::Generate { dialect, stream, array }, model }) => {
                self.generate(mock, &head, (dialect, stream, array), model).await
            }
            Some(route) => self.extra(mock, &head, route).await,
            None => {
                self.out.clear();
                push_status(&mut self.out, 404);
                self.out.extend_from_slice(b"content-type: application/json\r\ncontent-length: 41\r\n\r\n");
                self.out.extend_from_slice(br#"{"error":{"message":"Unknown path here"}}"#);
                self.flush().await?;
                Ok(after(&head))
            }
        }
    }

    /// Reads the body; says whether it was short enough to be kept.
    async fn read_body(&mut self, head: &RequestHead) -> Result<bool, WireError> {
        if expects_continue(&head.headers) {
            self.out.clear();
            self.out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
            self.flush().await?;
        }
        self.body.clear();
        self.body.shrink_to(BODY_BYTES_KEPT);
        let body = &mut self.body;
        let mut fits = true;
        wire::skim_body(&mut self.stream, &mut self.buffer, head.framing, |piece| {
            fits &= body.len() + piece.len() <= BODY_BYTES_MAX;
            if fits {
                body.extend_from_slice(piece);
            }
        })
        .await?;
        Ok(fits)
    }

    async fn generate(
        &mut self,
        mock: &Mock,
        head: &RequestHead,
        (dialect, stream, array): (Dialect, Option<bool>, bool),
        model: Option<String>,
    ) -> Result<After, WireError> {
        let asked = ask::read(dialect, &self.body, model, stream);
        let key = api_key(head);
        let (name, stream) = asked.as_ref().map_or(("", false), |ask| (&ask.model, ask.stream));
        let (orders, wrong) =
            match mock.settings.orders(&key, name, &head.headers, &mut mock.rng.borrow_mut()) {
                Ok(orders) => (orders, None),
                Err(words) => (Orders::default(), Some(words)),
            };
        let dialect = orders.dialect.unwrap_or(dialect);
        let form = Form { dialect, stream, array };
        let who = Who {
            key: &key,
            model: orders.model.as_deref().unwrap_or(name),
            asked: name,
            id: text(&head.headers, &mock.id_header),
        };
        let (call, left) = mock.ledger.begin(&who, (dialect, stream), mock.allowed);
        let now_s = unix_us() / 1_000_000;
        let ask = match (&asked, wrong) {
            (Err(words), _) => Err(Why::Invalid(words.clone())),
            (Ok(_), Some(words)) => Err(Why::Invalid(words)),
            (Ok(ask), None) => match (orders.error, orders.status) {
                (Some(told), _) => Err(Why::Told(told)),
                (None, Some(status)) => Err(Why::Status(status)),
                (None, None) if left.exceeded => Err(Why::Limited),
                (None, None) => Ok(ask),
            },
        };
        let prepared = match ask {
            Ok(ask) => {
                let place = (mock.epoch, call.number, now_s);
                accept(form, Reply::new(dialect, ask, &orders, self.body.len(), place), &orders)
            }
            Err(why) => refuse(form, &why, &orders, left, call.number),
        };
        let Prepared { mut answer, reply } = prepared;
        push_own_fields(&mut answer.head, dialect, mock.epoch, call.number);
        limits::push_fields(&mut answer.head, dialect, mock.allowed, left, now_s);
        let prompt_bytes = self.body.len();
        let (written, call, then) = self.write(mock, call, &answer, &orders, head.close).await;
        let tokens = written.pieces.checked_sub(1).map_or(0, |last| answer.script.draft.pieces[last].tokens);
        let usage = match reply {
            Some(reply) if answer.script.billed && written.body_bytes > 0 => {
                reply.used(&orders, prompt_bytes, tokens)
            }
            _ => Usage::default(),
        };
        mock.ledger.end(call, outcome(&answer, written, usage));
        Ok(then)
    }

    /// Answers what is not an answer of a model: at once, without faults.
    async fn extra(&mut self, mock: &Mock, head: &RequestHead, route: Route) -> Result<After, WireError> {
        let model = route.model.clone().or_else(|| ask::model(&self.body)).unwrap_or_default();
        let dialect = dialect_of(&route.endpoint);
        let key = api_key(head);
        let orders = mock.settings.orders(&key, &model, &head.headers, &mut mock.rng.borrow_mut());
        let id = text(&head.headers, &mock.id_header);
        let who = Who { key: &key, model: &model, asked: &model, id };
        let (call, left) = mock.ledger.begin(&who, (dialect, false), mock.allowed);
        let now_s = unix_us() / 1_000_000;
        let form = Form { dialect, stream: false, array: false };
        let made = match &orders {
            Err(words) => Err(Why::Invalid(words.clone())),
            Ok(Orders { status: Some(status), .. }) => Err(Why::Status(*status)),
            Ok(_) if left.exceeded => Err(Why::Limited),
            Ok(_) => match &route.endpoint {
                Endpoint::Embed(embed) => extras::embed(*embed, &self.body).map_err(Why::Invalid),
                Endpoint::Models(list) => Ok(extras::models(*list, route.model.as_deref(), now_s)),
                _ => Ok(extras::count_tokens(dialect, &self.body)),
            },
        };
        let orders = orders.unwrap_or_default();
        let (mut answer, input) = match made {
            Ok(Extra { body, input }) => {
                let script = Script::plain(Draft::whole(body.into_bytes(), 0, input > 0));
                (Answer::new(200, "application/json", false, script), input)
            }
            Err(why) => (refuse(form, &why, &orders, left, call.number).answer, 0),
        };
        push_own_fields(&mut answer.head, dialect, mock.epoch, call.number);
        limits::push_fields(&mut answer.head, dialect, mock.allowed, left, now_s);
        let (written, call, then) = self.write(mock, call, &answer, &orders, head.close).await;
        let usage = Usage { input, ..Usage::default() };
        mock.ledger.end(call, outcome(&answer, written, usage));
        Ok(then)
    }

    /// Writes an answer in its time, up to its end or the client's.
    async fn write(
        &mut self,
        mock: &Mock,
        mut call: Call,
        answer: &Answer,
        orders: &Orders,
        close: bool,
    ) -> (Written, Call, After) {
        let script = &answer.script;
        let at_once = orders.head.is_none() && orders.ttft.is_none() && orders.tps == 0.0;
        let early = orders.fault.filter(|_| answer.status == 200);
        let watched =
            !at_once || script.draft.pieces.len() > 1 || script.ending == Ending::Stall || early.is_some();
        let Self { stream, watch, out, .. } = self;
        let mut gone = pin!(async { if watched { until_left(watch).await } else { pending().await } });
        let mut written = Written { pieces: 0, body_bytes: 0, client_left: false };
        let ended =
            write_script(mock, &mut call, answer, orders, (stream, out, close), gone.as_mut(), &mut written);
        let then = match ended.await {
            Some(Ending::Finish) if !close => After::Goes,
            Some(Ending::Finish | Ending::Close) => After::Ends,
            Some(Ending::Reset) => {
                // A socket that is gone already needs no reset.
                let _ = sys::reset_on_close(stream);
                After::Ends
            }
            Some(Ending::Stall) => {
                gone.await;
                written.client_left = true;
                After::Ends
            }
            None => {
                written.client_left = true;
                After::Ends
            }
        };
        (written, call, then)
    }

    async fn flush(&mut self) -> std::io::Result<()> {
        flush(&mut self.stream, &mut self.out).await
    }
}

/// The form in which an answer was asked for.
#[derive(Debug, Clone, Copy)]
struct Form {
    dialect: Dialect,
    stream: bool,
    array: bool,
}

/// An answer on its way.
struct Answer {
    /// Status line and fields but for those of framing.
    head: Vec<u8>,
    status: u16,
    chunked: bool,
    script: Script,
}

impl Answer {
    fn new(status: u16, media_type: &str, chunked: bool, script: Script) -> Self {
        let mut head = Vec::with_capacity(1024);
        push_status(&mut head, status);
        push_field(&mut head, "content-type", media_type);
        Self { head, status, chunked, script }
    }
}

/// An answer, and what it is billed by if it is one of a model.
struct Prepared<'a> {
    answer: Answer,
    reply: Option<Reply<'a>>,
}

fn accept<'a>(form: Form, reply: Reply<'a>, orders: &Orders) -> Prepared<'a> {
    let Form { dialect, stream, array } = form;
    let draft = if stream { dialect::stream(&reply, array) } else { dialect::json(&reply) };
    let mut script = Script::plain(draft);
    if let Some(fault) = orders.fault {
        script.misbehave(fault, dialect, stream, array, reply.number);
    }
    if orders.coalesce {
        script.coalesce();
    }
    let media_type = if stream { dialect::stream_type(dialect, array) } else { "application/json" };
    Prepared { answer: Answer::new(200, media_type, stream, script), reply: Some(reply) }
}

fn refuse(form: Form, why: &Why, orders: &Orders, left: Left, number: u64) -> Prepared<'static> {
    let wait = orders.retry_after.or((*why == Why::Limited).then_some(Duration::from_secs(left.reset_s)));
    let Refusal { status, body, fields } = refusal::refusal(form.dialect, why, wait, number);
    // What Google refuses with 200 has the form that was asked for.
    let events = status == 200 && form.stream && !form.array;
    let (body, media_type) = if events {
        (format!("data: {body}\r\n\r\n"), "text/event-stream")
    } else {
        (body, "application/json")
    };
    let mut script = Script::plain(Draft::whole(body.into_bytes(), 0, false));
    script.billed = false;
    let mut answer = Answer::new(status, media_type, events, script);
    for (name, value) in &fields {
        push_field(&mut answer.head, name, value);
    }
    Prepared { answer, reply: None }
}

/// How the writes of an answer went.
#[derive(Debug, Clone, Copy)]
struct Written {
    /// Pieces that were written.
    pieces: usize,
    body_bytes: u64,
    client_left: bool,
}

fn outcome(answer: &Answer, written: Written, usage: Usage) -> Outcome {
    let script = &answer.script;
    let state = match () {
        () if written.body_bytes == 0 => State::Nothing,
        () if !script.billed => State::Refused,
        () if script.whole
            && script.ending == Ending::Finish
            && written.pieces == script.draft.pieces.len() =>
        {
            State::Complete
        }
        () => State::Partial,
    };
    Outcome {
        status: answer.status,
        state,
        usage,
        told: script.draft.usage_at.is_some_and(|at| at < written.pieces),
        body_bytes: written.body_bytes,
        client_left: written.client_left,
    }
}

/// Writes head and pieces; gives the ending that is still to be made, or `None` if the client left.
async fn write_script(
    mock: &Mock,
    call: &mut Call,
    answer: &Answer,
    orders: &Orders,
    (stream, out, close): (&mut TcpStream, &mut Vec<u8>, bool),
    mut gone: Pin<&mut impl Future<Output = ()>>,
    written: &mut Written,
) -> Option<Ending> {
    let Answer { script, chunked, .. } = answer;
    match orders.fault.filter(|_| answer.status == 200) {
        Some(Fault::Close) => return Some(Ending::Close),
        Some(Fault::ResetBeforeHead) => return Some(Ending::Reset),
        Some(Fault::StallBeforeHead) => return Some(Ending::Stall),
        _ => {}
    }
    let mut pacing = Pacing::new(orders, mock);
    if let Some(head_at) = pacing.head_at {
        unless(gone.as_mut(), monoio::time::sleep_until(head_at.into())).await?;
    }
    out.clear();
    out.extend_from_slice(&answer.head);
    match chunked {
        true => push_field(out, "transfer-encoding", "chunked"),
        false => push_field(out, "content-length", &script.promised.to_string()),
    }
    if close {
        push_field(out, "connection", "close");
    }
    out.extend_from_slice(b"\r\n");
    let draft = &script.draft;
    let (mut start, mut tokens) = (0, 0);
    for (index, piece) in draft.pieces.iter().enumerate() {
        if let Some(due) = pacing.due(piece.tokens - tokens, *chunked, mock) {
            // A stream's head does not wait for its first token; an answer in one piece is made before its head.
            if *chunked && !out.is_empty() {
                mock.ledger.look_at_mark(call, written.body_bytes);
                unless(gone.as_mut(), flush(stream, out)).await?.ok()?;
            }
            unless(gone.as_mut(), monoio::time::sleep_until(due.into())).await?;
        }
        let bytes = &draft.content[start..piece.end];
        if *chunked {
            push_chunk(out, bytes);
            if index + 1 == draft.pieces.len() && script.ending == Ending::Finish {
                out.extend_from_slice(b"0\r\n\r\n");
            }
        } else {
            out.extend_from_slice(bytes);
        }
        mock.ledger.look_at_mark(call, written.body_bytes);
        unless(gone.as_mut(), flush(stream, out)).await?.ok()?;
        (start, tokens) = (piece.end, piece.tokens);
        (written.pieces, written.body_bytes) = (index + 1, piece.end as u64);
    }
    if draft.pieces.is_empty() {
        if *chunked && script.ending == Ending::Finish {
            out.extend_from_slice(b"0\r\n\r\n");
        }
        unless(gone.as_mut(), flush(stream, out)).await?.ok()?;
    }
    Some(script.ending)
}

/// When the parts of an answer are due.
struct Pacing {
    begun: Instant,
    head_at: Option<Instant>,
    /// The time of the next token; none before the first.
    next: Option<Instant>,
    ttft: Duration,
    seconds_per_token: f64,
    jitter: f64,
}

impl Pacing {
    fn new(orders: &Orders, mock: &Mock) -> Self {
        let begun = Instant::now();
        let mut rng = mock.rng.borrow_mut();
        let mut draw = |delay: Option<Delay>| delay.map(|delay| whole_milliseconds(delay.draw(&mut rng)));
        Self {
            begun,
            head_at: draw(orders.head).map(|delay| begun + delay),
            next: None,
            ttft: draw(orders.ttft).unwrap_or_default(),
            seconds_per_token: if orders.tps > 0.0 { 1.0 / orders.tps } else { 0.0 },
            jitter: orders.jitter,
        }
    }

    /// When a piece of so many new tokens is due, if that is later than now. A stream's first token comes after the time to
    /// the first token and each other after its pause; without a stream all have been made before.
    fn due(&mut self, new_tokens: u32, streamed: bool, mock: &Mock) -> Option<Instant> {
        if new_tokens == 0 || (self.ttft.is_zero() && self.seconds_per_token == 0.0) {
            return None;
        }
        let factor = 1.0 + self.jitter * (2.0 * mock.rng.borrow_mut().unit() - 1.0);
        let pause = Duration::from_secs_f64(self.seconds_per_token * f64::from(new_tokens) * factor);
        let due = match self.next {
            None => self.begun + self.ttft + if streamed { Duration::ZERO } else { pause },
            Some(next) => next + pause,
        };
        self.next = Some(due);
        Some(due).filter(|due| *due > Instant::now())
    }
}

/// Waits until the client has ended its direction or is gone. What it sends meanwhile stays where it is.
async fn until_left(watch: &TcpStream) {
    if watch.readable(false).await.is_ok() && !sys::peer_has_left(watch) {
        // Bytes of a next request: behind them nothing can be seen without taking them.
        pending::<()>().await;
    }
}

/// The future's output, or `None` if the client left first.
async fn unless<F: Future>(mut gone: Pin<&mut impl Future<Output = ()>>, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|context| {
        if gone.as_mut().poll(context).is_ready() {
            return Poll::Ready(None);
        }
        future.as_mut().poll(context).map(Some)
    })
    .await
}

async fn flush(stream: &mut TcpStream, out: &mut Vec<u8>) -> std::io::Result<()> {
    let (result, mut bytes) = stream.write_all(std::mem::take(out)).await;
    bytes.clear();
    *out = bytes;
    result.map(|_| ())
}

fn after(head: &RequestHead) -> After {
    if head.close { After::Ends } else { After::Goes }
}

fn dialect_of(endpoint: &Endpoint) -> Dialect {
    match endpoint {
        Endpoint::Generate { dialect, .. } | Endpoint::CountTokens(dialect) => *dialect,
        Endpoint::Embed(Embed::OpenAi) | Endpoint::Models(ModelList::OpenAi) => Dialect::OpenAiChat,
        Endpoint::Embed(Embed::Gemini | Embed::GeminiBatch) | Endpoint::Models(ModelList::Gemini) => {
            Dialect::Gemini
        }
        Endpoint::Embed(Embed::Cohere) => Dialect::Cohere,
        Endpoint::Models(ModelList::Anthropic) => Dialect::Anthropic,
    }
}

/// The key of a request, wherever providers look for it. Of a signature by AWS, the id of the key.
fn api_key(head: &RequestHead) -> String {
    for name in ["x-api-key", "x-goog-api-key", "api-key"] {
        if let Some(key) = text(&head.headers, name) {
            return key.to_owned();
        }
    }
    if let Some(authorization) = text(&head.headers, "authorization") {
        let signed = authorization.split_once("Credential=").and_then(|(_, rest)| rest.split('/').next());
        let bare = authorization.split_once(' ').map_or(authorization, |(_, key)| key.trim());
        return signed.unwrap_or(bare).to_owned();
    }
    let query = head.target.split_once('?').map_or("", |(_, query)| query);
    query.split('&').find_map(|pair| pair.strip_prefix("key=")).unwrap_or_default().to_owned()
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn push_status(out: &mut Vec<u8>, status: u16) {
    // 529 has no name in the registry.
    let reason = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("");
    out.extend_from_slice(format!("HTTP/1.1 {status} {reason}\r\n").as_bytes());
}

fn push_field(out: &mut Vec<u8>, name: &str, value: &str) {
    for part in [name, ": ", value, "\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
}

fn push_chunk(out: &mut Vec<u8>, bytes: &[u8]) {
    if !bytes.is_empty() {
        out.extend_from_slice(format!("{:x}\r\n", bytes.len()).as_bytes());
        out.extend_from_slice(bytes);
        out.extend_from_slice(b"\r\n");
    }
}

/// The fields that a provider adds to every answer: an id, and what its clients look at.
fn push_own_fields(out: &mut Vec<u8>, dialect: Dialect, epoch: u64, number: u64) {
    let id = format!("{epoch:x}{number:08x}");
    let name = match dialect {
        Dialect::OpenAiChat | Dialect::OpenAiResponses => "x-request-id",
        Dialect::Anthropic => "request-id",
        Dialect::Gemini => "x-gemini-request-id",
        Dialect::Bedrock => "x-amzn-requestid",
        Dialect::Cohere => "x-debug-trace-id",
        Dialect::Mistral => "mistral-correlation-id",
    };
    push_field(out, name, &id);
    if matches!(dialect, Dialect::OpenAiChat | Dialect::OpenAiResponses) {
        push_field(out, "openai-version", "2020-10-01");
        push_field(out, "openai-processing-ms", "1");
    }
}

//! Calls of language models: the body is read whole, the model's name leads to a deployment, the answer goes back in the
//! caller's dialect, and what it used is told and paid.

pub mod account;
pub mod answering;
pub mod attempt;
pub mod directory;
mod list;
pub mod sigv4;

use std::borrow::Cow;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use penstock_ai::ask::Ask;
use penstock_ai::dialect::Dialect;
use penstock_ai::endpoint::{Endpoint, GeminiCall};
use penstock_ai::form::Losses;
use penstock_ai::glance::Glance;
use penstock_ai::json::{Edits, Value};
use penstock_ai::provider::{Api, ErrorClass, Failure, Operation};
use penstock_ai::relay::{RelayPlan, StreamRelay};
use penstock_ai::translate::{self, Destination, StreamPlan};
use penstock_ai::usage::Account;
use penstock_balance::Outcome as Told;
use penstock_gate::spec::{AiRoute, OnLoss, OnUnknownPrice};
use penstock_gate::{Forward, RouteRule};
use penstock_http::{Code, HeadLimits, Method, Parsed, ResponseHead};
use penstock_ring::ai_flag;

use self::account::Outcome;
use self::answering::{Answering, Got, Streamed, Whole, named};
use self::attempt::{Attempt, Sending, is_encoded};
use self::directory::{Deployment, Directory, ProviderRule, Unresolved};
use crate::answer::{self, Refused};
use crate::buf::Buf;
use crate::client::Client;
use crate::deadline::Action;
use crate::downlink::{Downlink, Failed};
use crate::exchange::{After, Attempting, Scratch, hold_body};
use crate::record;
use crate::shape::ResponseShape;
use crate::sys::{self, Side};
use crate::uplink::{BodyRules, Stop, Uplink};
use crate::upstream::Tries;
use crate::upstream::pool::Connection;
use crate::worker::{Current, Worker};

/// Bytes of a request's body where the route sets no bound.
pub const BODY_BYTES_MAX: u64 = 32 << 20;

/// A request of an AI route.
pub struct Serving<'a> {
    /// The worker.
    pub worker: &'a Rc<Worker>,
    /// The configuration in force.
    pub current: &'a Rc<Current>,
    /// The route.
    pub route: &'a RouteRule,
    /// What it is of its service.
    pub ai: &'a AiRoute,
    /// The bytes of its head.
    pub request: &'a Buf,
}

/// What a request asks for.
struct Asked<'b> {
    dialect: Dialect,
    model: String,
    stream: bool,
    /// What is noted of the body.
    ask: Ask<'b>,
    body: &'b [u8],
}

/// Why a call gets no answer of a model.
enum Denied {
    /// For a reason of our own, in these words.
    Own(Code, Option<String>),
    /// As the provider says.
    Provider(Failure, u16),
}

impl Denied {
    fn own(code: Code, why: impl ToString) -> Self {
        Denied::Own(code, Some(why.to_string()))
    }
}

impl From<Code> for Denied {
    fn from(code: Code) -> Self {
        Denied::Own(code, None)
    }
}

/// How an attempt ended.
enum Ended {
    Came(Result<Got, Failed>),
    Stopped(Stop),
}

/// What becomes of the call after an attempt.
enum Next {
    /// The client has its answer, or is gone.
    After(After),
    /// Another deployment may be tried; else this is the answer.
    Elsewhere(Denied),
    /// This is the answer.
    Deny(Denied),
}

impl Serving<'_> {
    /// Serves it.
    pub async fn run(&self, client: &mut Client, scratch: &mut Scratch, forward: Forward) -> After {
        if !self.ai.endpoint.is_conversation() {
            return list::serve(self, client, scratch).await;
        }
        if is_encoded(&scratch.head, self.request.bytes()) {
            let why = "a request's body must not be compressed";
            return self.deny(client, scratch, Denied::own(Code::UnsupportedMediaType, why), false).await;
        }
        let bytes_max = self.route.body.max.unwrap_or(BODY_BYTES_MAX);
        let held = hold_body(self.worker, self.route, client, scratch, forward, bytes_max);
        if let Err(code) = Box::pin(held).await {
            return self.deny(client, scratch, code.into(), false).await;
        }
        let body = std::mem::take(&mut scratch.first.bytes);
        let after = match self.converse(client, scratch, &body).await {
            Ok(after) => after,
            Err(denied) => self.deny(client, scratch, denied, true).await,
        };
        scratch.first.bytes = body;
        scratch.first.bytes.clear();
        after
    }

    /// What the data plane does with any upstream, with this one.
    fn exchange<'u>(&'u self, upstream: &'u Rc<crate::upstream::Upstream>) -> Attempting<'u> {
        Attempting { worker: self.worker, route: self.route, upstream, request: self.request }
    }

    /// Reads what is asked for.
    fn asked<'b>(&self, scratch: &Scratch, body: &'b [u8]) -> Result<Asked<'b>, Denied> {
        let dialect = self.ai.endpoint.dialect();
        let ask = Ask::read(dialect, body).map_err(|why| Denied::own(Code::BodyInvalid, why))?;
        let (model, stream) = match self.ai.endpoint {
            Endpoint::Generate => {
                let target = &scratch.plan.target;
                let path = target.split(|&byte| byte == b'?').next().unwrap_or_default();
                let rest = &path[(self.ai.service.prefix.len() + "/v1beta/models/".len()).min(path.len())..];
                let rest = String::from_utf8_lossy(rest).replace("%2F", "/").replace("%3A", ":");
                match GeminiCall::parse(&rest) {
                    Some(GeminiCall::Generate { model, stream }) => (model.to_owned(), stream),
                    _ => return Err(Denied::own(Code::NotFound, format!("no such operation: {rest}"))),
                }
            }
            _ => (ask.model().map_or_else(String::new, |model| model.text().into_owned()), ask.stream()),
        };
        Ok(Asked { dialect, model, stream, ask, body })
    }

    fn resolve<'d>(
        &self,
        directory: &'d Directory,
        asked: &'d Asked<'_>,
    ) -> Result<Vec<Deployment<'d>>, Denied> {
        let name = asked.model.as_str();
        let allowed = |pattern: &String| match pattern.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => pattern == name,
        };
        if !self.ai.service.models.iter().any(allowed) {
            return Err(Denied::own(Code::UnknownModel, format!("the model `{name}` is not served here")));
        }
        directory.resolve(name).map_err(|unresolved| match unresolved {
            Unresolved::Unknown(near) if near.is_empty() => {
                Denied::own(Code::UnknownModel, format!("no model `{name}`: write provider/model"))
            }
            Unresolved::Unknown(near) => {
                Denied::own(Code::UnknownModel, format!("no model `{name}`; there are {}", near.join(", ")))
            }
            Unresolved::Ambiguous(all) => Denied::own(
                Code::AmbiguousModel,
                format!("several have `{name}`: write {}", all.join(" or ")),
            ),
        })
    }

    async fn converse(
        &self,
        client: &mut Client,
        scratch: &mut Scratch,
        body: &[u8],
    ) -> Result<After, Denied> {
        let asked = self.asked(scratch, body)?;
        let told = scratch.call.ai.get_or_insert_default();
        told.block.head.dialect_in = asked.dialect.id();
        told.block.head.flags |= if asked.stream { ai_flag::STREAM } else { 0 };
        told.model_asked.clone_from(&asked.model);
        let directory = self.current.ai.clone();
        let unix_s = self.worker.wall_ns(scratch.call.head_ns) / 1_000_000_000;
        let mut denied = Denied::from(Code::ProviderError);
        for to in self.resolve(&directory, &asked)? {
            if self.ai.service.on_unknown_price != OnUnknownPrice::Flag && !directory.is_priced(&to, unix_s) {
                let why = format!("no price is known for `{}` of {}", to.model, to.provider.spec.name);
                denied = Denied::own(Code::UnboundedCost, why);
                continue;
            }
            match self.attempt(client, scratch, &asked, &directory, to, unix_s).await {
                Next::After(after) => return Ok(after),
                Next::Elsewhere(why) => denied = why,
                Next::Deny(why) => return Err(why),
            }
        }
        Err(denied)
    }

    /// The document for a deployment, and what was lost on the way.
    fn document<'b>(
        &self,
        asked: &Asked<'b>,
        to: &Deployment<'_>,
        api: &Api,
        max_output: Option<u64>,
    ) -> Result<(Cow<'b, [u8]>, Edits, Losses), Denied> {
        let mut edits = Edits::default();
        let mut losses = Losses::default();
        if api.dialect == asked.dialect {
            let operation = Operation::conversation(api.dialect, asked.stream);
            if api.path(operation).is_some_and(|path| path.contains("{model}")) {
                asked.ask.drop_model(&mut edits);
            } else {
                asked.ask.set_model(to.model, &mut edits);
            }
            asked.ask.ask_for_usage(&mut edits);
            for (name, value) in &api.body {
                asked.ask.add(name, &Value::from(value.as_str()).to_json(), &mut edits);
            }
            return Ok((Cow::Borrowed(asked.body), edits, losses));
        }
        let mut request = translate::read_request(asked.dialect, asked.body)
            .map_err(|why| Denied::own(Code::BodyInvalid, why))?;
        request.stream = asked.stream;
        let destination = Destination { dialect: api.dialect, model: to.model, max_output };
        let mut document = translate::write_request(&request, &destination, &mut losses)
            .map_err(|why| Denied::own(Code::UnsupportedFeature, why))?;
        for (name, value) in &api.body {
            document.push(name.as_str(), value.as_str());
        }
        let mut text = Vec::with_capacity(asked.body.len() + 256);
        document.write(&mut text);
        drop(document);
        if !losses.is_empty() && self.ai.service.on_loss == OnLoss::Refuse {
            return Err(Denied::own(
                Code::UnsupportedFeature,
                format!("{} has no {losses}", to.provider.kind.title),
            ));
        }
        Ok((Cow::Owned(text), edits, losses))
    }

    async fn attempt(
        &self,
        client: &mut Client,
        scratch: &mut Scratch,
        asked: &Asked<'_>,
        directory: &Directory,
        to: Deployment<'_>,
        unix_s: u64,
    ) -> Next {
        let (at, api) = to.api(asked.dialect);
        let (document, edits, losses) = match self.document(asked, &to, api, directory.max_output(&to)) {
            Ok(made) => made,
            Err(denied) => return Next::Deny(denied),
        };
        let path = match to.path(api, asked.stream) {
            Ok(path) => path,
            Err(why) => return Next::Deny(Denied::own(Code::UnknownModel, why)),
        };
        let told = scratch.call.ai.get_or_insert_default();
        told.degraded = translate::told(&losses).into_owned();
        told.block.head.dialect_out = api.dialect.id();
        let (key, shown) = to.key(at);
        let mut relay = None;
        if asked.stream {
            let plan = RelayPlan {
                to: asked.dialect,
                media: api.stream.media,
                withholds_usage: asked.dialect == api.dialect && asked.ask.lacks_usage(),
                stream: StreamPlan {
                    from: api.dialect,
                    model: to.model,
                    tells_usage: !asked.ask.lacks_usage(),
                    input: account::estimate(asked.body.len()),
                },
            };
            match StreamRelay::new(&plan) {
                Ok(made) => relay = Some(made),
                Err(why) => return Next::Deny(Denied::own(Code::UnsupportedFeature, why)),
            }
        }
        let upstream = &self.current.upstreams[to.provider.upstream];
        let began_ns = sys::monotonic_ns();
        let timeouts = to.timeouts;
        let total_until_ns = scratch.call.head_ns.saturating_add(timeouts.total.as_nanos() as u64);
        let mut attempt = Attempt::new(directory, to, key, (began_ns, unix_s), asked.body.len());
        let mut tries = Tries::begin(upstream);
        let mut pooled = true;
        loop {
            let target = match tries.next(began_ns, 0) {
                Ok(target) => target,
                Err(code) => return self.unanswered(scratch, &mut attempt, code),
            };
            let exchange = self.exchange(upstream);
            let connected =
                exchange.connect(scratch, &upstream.spec(), &target, pooled, total_until_ns).await;
            let (mut connection, fresh) = match connected {
                Ok(connection) => connection,
                Err(code) => {
                    tries.ended(Told::Unknown, sys::monotonic_ns(), 0);
                    return self.unanswered(scratch, &mut attempt, code);
                }
            };
            connection.requests += 1;
            let sending = Sending {
                path: &path,
                host: target.host(),
                shown,
                unix_s,
                body: (&document, &edits),
                client: (api.dialect == asked.dialect).then_some((&*scratch.head, self.request.bytes())),
                accept: if asked.stream { api.stream.media.media_type() } else { "application/json" },
            };
            sending.write(&mut scratch.out);
            let ended = self
                .exchanged(
                    client,
                    scratch,
                    &mut connection,
                    &mut relay,
                    &mut attempt,
                    Sent { asked, label: target.label(), api, pieces: (&document, &edits), total_until_ns },
                )
                .await;
            let now_ns = sys::monotonic_ns();
            tries.ended(Told::Unknown, now_ns, 0); // what providers answer is judged by their models
            match ended {
                Ended::Came(Err(failed)) if !fresh && !failed.heard && pooled => {
                    target.discard(connection);
                    pooled = false; // it had died in the pool: nothing was read there
                    scratch.call.record.retries += 1;
                }
                Ended::Came(Ok(Got::Streamed(Streamed { clean, client_keeps, code }))) => {
                    if clean {
                        target.release(connection, &self.worker.keeper, now_ns)
                    } else {
                        target.discard(connection)
                    }
                    let after = if client_keeps && code.is_none() { After::Next } else { After::Linger };
                    return Next::After(after);
                }
                Ended::Came(Ok(Got::Whole(whole))) => {
                    if whole.clean {
                        target.release(connection, &self.worker.keeper, now_ns)
                    } else {
                        target.discard(connection)
                    }
                    return self.judge(client, scratch, asked, &mut attempt, api, whole).await;
                }
                Ended::Came(Err(failed)) => {
                    target.discard(connection);
                    let noted = relay.as_ref().map(StreamRelay::noted);
                    if failed.begun {
                        if let Some(noted) = noted {
                            attempt.settle_stream(&mut scratch.call, noted, Some(failed.code));
                        }
                        client.stream.reset_on_close();
                        record::broken_off(self.worker, scratch, self.request.bytes(), &target, failed.code);
                        return Next::After(After::Close);
                    }
                    if let Some(failure) = noted.and_then(|noted| noted.failure.clone()) {
                        let outcome = failure.class.into();
                        attempt.settle(&mut scratch.call, &Account::default(), 0, 0, outcome);
                        return after_failure(attempt.to.provider, failure, 200);
                    }
                    return self.unanswered(scratch, &mut attempt, failed.code);
                }
                Ended::Stopped(stop) => {
                    target.discard(connection); // which tells the provider at once
                    let code = match stop {
                        Stop::ClientGone => Code::ClientGone,
                        Stop::Refused(code) => code,
                    };
                    match relay.as_ref().map(StreamRelay::noted) {
                        Some(noted) => attempt.settle_stream(&mut scratch.call, noted, Some(code)),
                        None => drop(attempt.settle(
                            &mut scratch.call,
                            &Account::default(),
                            0,
                            0,
                            Outcome::ClientGone,
                        )),
                    }
                    client.stream.reset_on_close();
                    record::broken_off(self.worker, scratch, self.request.bytes(), &target, code);
                    return Next::After(After::Close);
                }
            }
        }
    }

    /// An attempt of which nothing came.
    fn unanswered(&self, scratch: &mut Scratch, attempt: &mut Attempt<'_>, code: Code) -> Next {
        let outcome = match code {
            Code::UpstreamFirstByteTimeout | Code::UpstreamConnectTimeout | Code::TotalTimeout => {
                Outcome::TimedOut
            }
            Code::UpstreamIdleTimeout => Outcome::TimedOut,
            _ => Outcome::ServerError,
        };
        attempt.settle(&mut scratch.call, &Account::default(), 0, 0, outcome);
        if code == Code::TotalTimeout { Next::Deny(code.into()) } else { Next::Elsewhere(code.into()) }
    }

    async fn exchanged(
        &self,
        client: &mut Client,
        scratch: &mut Scratch,
        connection: &mut Connection,
        relay: &mut Option<StreamRelay>,
        attempt: &mut Attempt<'_>,
        sent: Sent<'_, '_>,
    ) -> Ended {
        let worker = self.worker;
        let timeouts = attempt.to.timeouts;
        scratch.call.counters.answering.set(false);
        let Scratch { head, plan, response, call, request_body, response_body, first, out, .. } = scratch;
        let sent_ns = sys::monotonic_ns();
        let first_ns = if sent.asked.stream { timeouts.first_token } else { timeouts.total };
        let first_token_until_ns =
            sent_ns.saturating_add(first_ns.as_nanos() as u64).min(sent.total_until_ns);
        let upstream = &mut connection.stream;
        upstream.read_timer.arm(first_token_until_ns, Action::Shutdown(Side::Both));
        let (document, edits) = sent.pieces;
        let mut parts: Vec<&[u8]> = Vec::with_capacity(8);
        parts.push(out);
        parts.extend(edits.pieces(document));
        let buf = worker.bufs.filled(&parts);
        call.counters.upstream_out.set(call.counters.upstream_out.get() + buf.len() as u64);
        let (written, buf) = upstream.writer.write_all(buf).await;
        worker.bufs.put(buf);
        // A provider that no longer reads may have answered all the same: what it sent decides below.
        drop(written);
        call.counters.sent.set(true);
        {
            let counters = call.counters.clone();
            let mut up = Uplink {
                reader: &mut *client.stream.reader,
                read_timer: &client.stream.read_timer,
                pending: &mut client.pending,
                writer: &mut upstream.writer,
                upstream_timer: &upstream.read_timer,
                body: request_body,
                bufs: &worker.bufs,
                counters: &counters,
                content: first.content,
                last: !head.keep_alive,
                rules: BodyRules {
                    bytes_max: self.route.body.max,
                    rate_min: self.route.body.rate_min,
                    idle: timeouts.idle,
                    first_byte: first_ns,
                    total_until_ns: sent.total_until_ns,
                },
            };
            let down = Downlink {
                reader: &mut *upstream.reader,
                upstream_timer: &upstream.read_timer,
                writer: &mut client.stream.writer,
                write_timer: &client.stream.write_timer,
                head: response,
                body: response_body,
                out,
                call,
                strings: record::strings(head, self.request.bytes(), plan, sent.label),
                shape: ResponseShape {
                    method: Method::Post,
                    client: head.version,
                    keep_alive: head.keep_alive,
                    expects_continue: false,
                    retry_statuses: &[],
                    drops: &self.route.response_drops,
                    fields: &plan.response_fields,
                    write_timeout: client.peer.listener.timeouts.write,
                    idle: timeouts.idle,
                    total_until_ns: sent.total_until_ns,
                },
                came_ns: 0,
                expects_large: connection.answers_large,
                worker,
            };
            let mut answering = Answering {
                down,
                relay: relay.as_mut(),
                media: sent.api.stream.media,
                errors: &attempt.to.provider.kind.errors,
                to: sent.asked.dialect,
                first_token_until_ns,
                sent_ns,
                attempt,
            };
            let (mut up, mut answering) = (pin!(up.run()), pin!(answering.run()));
            poll_fn(|cx| {
                if let Poll::Ready(came) = answering.as_mut().poll(cx) {
                    return Poll::Ready(Ended::Came(came));
                }
                up.as_mut().poll(cx).map(Ended::Stopped)
            })
            .await
        }
    }

    /// What a whole answer is worth: the client's answer, a failure to tell, or one to try elsewhere.
    async fn judge(
        &self,
        client: &mut Client,
        scratch: &mut Scratch,
        asked: &Asked<'_>,
        attempt: &mut Attempt<'_>,
        api: &Api,
        whole: Whole,
    ) -> Next {
        attempt.status = whole.status;
        let kind = attempt.to.provider.kind;
        let parsed = Value::parse(&whole.body);
        let document = parsed.as_ref().unwrap_or(&Value::Null);
        let is_error = !(200..300).contains(&whole.status) || kind.errors.in_answer(document);
        if is_error {
            let failure = read_failure(kind, &whole, document);
            attempt.settle(&mut scratch.call, &Account::default(), 0, 0, failure.class.into());
            return after_failure(attempt.to.provider, failure, whole.status);
        }
        if parsed.is_err() || asked.stream {
            // No JSON, or one answer where a stream was asked for.
            attempt.settle(&mut scratch.call, &Account::default(), whole.body.len(), 6, Outcome::ServerError);
            return Next::Elsewhere(Denied::own(
                Code::UpstreamBadResponse,
                "the provider's answer is not what was asked for",
            ));
        }
        let mut account = Account::default();
        account.take(api.dialect, document);
        let seen = Glance::at_answer(api.dialect, document);
        let cost = attempt.settle(&mut scratch.call, &account, seen.said, seen.finish, Outcome::Answered);
        let mut lines = whole.lines;
        if let Some(cost) = cost {
            lines.extend_from_slice(format!("x-penstock-cost-usd: {}\r\n", account::usd(cost)).as_bytes());
        }
        let mut body = Cow::Borrowed(&whole.body[..]);
        if api.dialect != asked.dialect {
            match self.translated(scratch, asked, attempt.to.model, api, &whole.body) {
                Ok(text) => body = Cow::Owned(text),
                Err(denied) => return Next::Deny(denied),
            }
        }
        if let Some(told) = &scratch.call.ai {
            told.write_degraded(&mut lines);
        }
        Next::After(answer::document(self.worker, client, scratch, self.request, 200, &lines, &body).await)
    }

    fn translated(
        &self,
        scratch: &mut Scratch,
        asked: &Asked<'_>,
        model: &str,
        api: &Api,
        body: &[u8],
    ) -> Result<Vec<u8>, Denied> {
        let bad = |why: translate::TranslateError| Denied::own(Code::UpstreamBadResponse, why);
        let answer = translate::read_answer(api.dialect, body).map_err(bad)?;
        let mut losses = Losses::default();
        let document = translate::write_answer(asked.dialect, &answer, model, &mut losses).map_err(bad)?;
        let mut text = Vec::with_capacity(body.len() + 256);
        document.write(&mut text);
        if let Some(told) = scratch.call.ai.as_mut()
            && !losses.is_empty()
        {
            if !told.degraded.is_empty() {
                told.degraded.push(',');
            }
            told.degraded.push_str(&translate::told(&losses));
        }
        Ok(text)
    }

    /// Answers without a model's answer, in the client's dialect.
    async fn deny(&self, client: &mut Client, scratch: &mut Scratch, denied: Denied, read: bool) -> After {
        match denied {
            Denied::Own(code, detail) => {
                answer::problem(self.worker, client, scratch, self.request, code, detail.as_deref(), read)
                    .await
            }
            Denied::Provider(failure, status) => {
                let (code, status) = shown_as(&failure, status);
                let message = failure.message.as_deref().unwrap_or(code.title());
                let told = failure.code.as_deref().or(failure.kind.as_deref()).unwrap_or(code.as_str());
                let refused = Refused {
                    code,
                    status,
                    told,
                    message,
                    retry_after_ms: failure.retry_after_ms,
                    provider_request_id: failure.request_id.as_deref(),
                };
                answer::refused(self.worker, client, scratch, self.request, &refused).await
            }
        }
    }
}

/// What is sent.
struct Sent<'s, 'b> {
    asked: &'s Asked<'b>,
    /// Where, for the record.
    label: &'s [u8],
    api: &'s Api,
    pieces: (&'s [u8], &'s Edits),
    total_until_ns: u64,
}

/// Reads a provider's error out of an answer.
fn read_failure(kind: &penstock_ai::provider::Provider, whole: &Whole, document: &Value<'_>) -> Failure {
    let mut head = Box::new(ResponseHead::new());
    let asked = penstock_http::Asked { method: Method::Post, upgrade: None };
    let parsed = head.parse(&whole.head, &HeadLimits::default(), asked);
    let fields = matches!(parsed, Ok(Parsed::Complete)).then_some(&head.fields);
    let value = |name: &str| fields.and_then(|fields| named(fields, &whole.head, name));
    let mut failure = kind.errors.read(whole.status, value, document);
    let headroom = kind.rate_limit.read(value, sys::wall_ns() / 1_000_000);
    failure.retry_after_ms = failure.retry_after_ms.or(headroom.retry_after_ms);
    failure
}

/// Whether a failure may be none elsewhere. What concerns our account at the provider is not for callers.
fn after_failure(provider: &ProviderRule, mut failure: Failure, status: u16) -> Next {
    let own = match failure.class {
        ErrorClass::Authentication => Some("the provider refuses the gateway's key"),
        ErrorClass::InsufficientQuota => Some("the gateway's account at the provider has no quota left"),
        _ => None,
    };
    if let Some(own) = own {
        return Next::Elsewhere(Denied::own(Code::ProviderError, own));
    }
    for told in [&mut failure.message, &mut failure.code, &mut failure.kind, &mut failure.request_id] {
        if told.as_ref().is_some_and(|told| provider.is_secret_in(told)) {
            *told = None;
        }
    }
    match failure.class {
        ErrorClass::BadRequest => Next::Deny(Denied::Provider(failure, status)),
        _ => Next::Elsewhere(Denied::Provider(failure, status)),
    }
}

/// Our code of a provider's failure, and the status that the client gets. That the provider refuses our key is no fault of
/// the client's.
fn shown_as(failure: &Failure, status: u16) -> (Code, u16) {
    match failure.class {
        ErrorClass::RateLimit => (Code::ProviderRateLimited, 429),
        ErrorClass::BadRequest | ErrorClass::ContextWindow | ErrorClass::ContentPolicy => {
            let status =
                if (400..500).contains(&status) && status != 401 && status != 403 { status } else { 400 };
            (Code::ProviderError, status)
        }
        ErrorClass::NotFound => (Code::UnknownModel, 404),
        ErrorClass::Overloaded => (Code::ProviderError, 503),
        ErrorClass::Timeout => (Code::ProviderError, 504),
        ErrorClass::Authentication | ErrorClass::InsufficientQuota | ErrorClass::ServerError => {
            (Code::ProviderError, 502)
        }
    }
}

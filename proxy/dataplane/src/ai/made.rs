//! An attempt of a call, from its document to what came of it.

use std::borrow::Cow;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use penstock_ai::catalogue::{Billed, NanoUsd};
use penstock_ai::form::Losses;
use penstock_ai::glance::Glance;
use penstock_ai::json::{Edits, Value};
use penstock_ai::openai_responses::Echo;
use penstock_ai::provider::{Api, Failure, Headroom};
use penstock_ai::relay::{RelayPlan, StreamRelay};
use penstock_ai::routing::{self, End, Need, Report};
use penstock_ai::translate::{self, StreamPlan};
use penstock_ai::usage::{Account, Usage};
use penstock_balance::Outcome as Told;
use penstock_gate::spec::OnUnknownPrice;
use penstock_http::{Code, HeadLimits, Method, Parsed, ResponseHead};
use penstock_ledger::Intent;
use penstock_limits::Spend;

use super::account::{self, Outcome};
use super::answering::{Answering, Got, Streamed, Whole, named};
use super::attempt::{Attempt, Sending};
use super::booking::Booking;
use super::denied::{Denied, told_to_callers};
use super::directory::Deployment;
use super::{Asked, Serving};
use crate::answer;
use crate::client::Client;
use crate::deadline::Action;
use crate::downlink::{Downlink, Failed};
use crate::exchange::{After, Attempting, Scratch};
use crate::record;
use crate::shape::ResponseShape;
use crate::sys::{self, Side};
use crate::uplink::{BodyRules, Stop, Uplink};
use crate::upstream::pool::Connection;
use crate::upstream::{Target, Tries, Upstream};

/// What became of an attempt.
pub(super) struct Made {
    /// The client has its answer or is gone; or why it has none.
    pub(super) came: Result<After, Denied>,
    /// What routing is told.
    pub(super) report: Report,
}

impl Made {
    fn answered(after: After, end: End) -> Self {
        Self { came: Ok(after), report: Report::new(end) }
    }

    fn denied(why: impl Into<Denied>, end: End) -> Self {
        Self { came: Err(why.into()), report: Report::new(end) }
    }
}

/// How the exchange with a provider ended.
enum Ended {
    Came(Result<Got, Failed>),
    Stopped(Stop),
}

impl Serving<'_> {
    /// What the data plane does with any upstream, with this one.
    fn exchange<'u>(&'u self, upstream: &'u Rc<Upstream>) -> Attempting<'u> {
        Attempting { worker: self.worker, route: self.route, upstream, request: self.request }
    }

    /// Makes an attempt where routing says; what limits hold for it is settled when this returns.
    pub(super) async fn attempt(
        &self,
        client: &mut Client,
        scratch: &mut Scratch,
        asked: &Asked<'_>,
        routed: &routing::Attempt<'_>,
        need: &Need,
    ) -> Made {
        let Some(to) = self.directory.deployment(routed) else {
            return Made::denied(Code::InternalError, End::ClientError);
        };
        if self.ai.service.on_unknown_price != OnUnknownPrice::Flag
            && !self.directory.is_priced(&to, need.unix_s)
        {
            let (model, provider) = (to.model, &to.provider.spec.name);
            let why = format!("no price is known for `{model}` of {provider}: write prices: on a model");
            return Made::denied(Denied::own(Code::UnboundedCost, why), End::ClientError);
        }
        let number = routed.number;
        let booking = match self.reserve(scratch, asked, &to, routed, need) {
            Ok(booking) => booking,
            Err(denied) => return Made::denied(denied, End::ClientError),
        };
        let now = (sys::monotonic_ns(), need.unix_s);
        let mut attempt = Attempt::new(&self.directory, to, now, asked.body.len(), booking);
        let made = self.send(client, scratch, asked, routed, &mut attempt).await;
        let now = self.worker.both(sys::monotonic_ns());
        let permits = &mut scratch.plan.permits;
        let settled =
            self.worker.gate.borrow_mut().shard.settle_attempt(now, number, permits, attempt.used());
        let _ = settled.over_reservation; // told by the limit's own alert
        made
    }

    /// Reserves what the attempt may use at the limits of tokens and money, and opens it in the ledger.
    fn reserve(
        &self,
        scratch: &mut Scratch,
        asked: &Asked<'_>,
        to: &Deployment<'_>,
        routed: &routing::Attempt<'_>,
        need: &Need,
    ) -> Result<Booking, Denied> {
        let output = match asked.ask.max_output() {
            Some(most) => most.min(self.directory.max_output(to).unwrap_or(u64::MAX)),
            None => account::OUTPUT_USUAL.min(self.directory.max_output(to).unwrap_or(u64::MAX)),
        };
        let output = output.saturating_mul(asked.ask.answers());
        let usage = Usage { input: need.input_tokens, output, ..Usage::default() };
        let cost = self.directory.cost(to, &Billed::from(usage), need.unix_s).ok();
        let estimate = Spend {
            input_tokens: usage.input,
            output_tokens: usage.output,
            usd_nano: cost.map_or(0, |cost| cost.nano.0),
        };
        let attempt = penstock_gate::Attempt {
            number: routed.number,
            route: self.route_index,
            model: self.directory.model_uid(&asked.model),
            target: [self.directory.no_limits(), self.directory.no_limits()],
            estimate,
            bound: None,
        };
        let now = self.worker.both(sys::monotonic_ns());
        let mut gate = self.worker.gate.borrow_mut();
        let plan = &mut scratch.plan;
        gate.reserve(now, &self.current.snapshot, &attempt, plan).map_err(Denied::Limit)?;
        let (names, provider) = (&self.route.names, to.provider);
        let app = plan.caller.app.and_then(|app| gate.callers.app_name(app));
        let team = app.and_then(|(_, team)| self.current.snapshot.team_name(team));
        let credential = plan.caller.credential.and_then(|id| gate.callers.credential_name(id));
        let intent = Intent {
            request_id: plan.request_id.number().unwrap_or_else(|| {
                let random = &mut self.worker.random.borrow_mut();
                (u128::from(random.bits()) << 64) | u128::from(random.bits())
            }),
            attempt: u16::from(routed.number.saturating_sub(1)),
            time_ns: now.wall_ns,
            reservation: NanoUsd(estimate.usd_nano),
            price: cost.map(|cost| cost.price),
            tenant: &names.tenant,
            team: team.unwrap_or(&names.team),
            app: app.map_or("", |(name, _)| name),
            credential: credential.unwrap_or_default(),
            service: &names.service,
            model: to.model,
            provider: &provider.spec.name,
            provider_kind: &provider.kind.catalogue,
            region: provider.region().unwrap_or_default(),
            provider_key: routed.key_name,
            dialect: to.api(asked.dialect).1.dialect.name(),
            ..Intent::default()
        };
        let booking = Booking::open(self.worker, &intent);
        drop(gate);
        booking.map_err(|_| {
            let permits = &mut scratch.plan.permits;
            let mut gate = self.worker.gate.borrow_mut();
            let _ = gate.shard.settle_attempt(now, routed.number, permits, Spend::default());
            Denied::from(Code::LedgerFull)
        })
    }

    async fn send(
        &self,
        client: &mut Client,
        scratch: &mut Scratch,
        asked: &Asked<'_>,
        routed: &routing::Attempt<'_>,
        attempt: &mut Attempt<'_>,
    ) -> Made {
        let (at, api) = attempt.to.api(asked.dialect);
        let max_output = self.directory.max_output(&attempt.to);
        let (document, edits, losses) = match self.document(asked, &attempt.to, api, max_output) {
            Ok(made) => made,
            Err(denied) => return Made::denied(denied, End::ClientError),
        };
        let path = match attempt.to.path(api, asked.stream) {
            Ok(path) => path,
            Err(why) => return Made::denied(Denied::own(Code::UnknownModel, why), End::NoModel),
        };
        let mut relay = match self.relay(asked, attempt.to.model, api) {
            Ok(relay) => relay,
            Err(denied) => return Made::denied(denied, End::ClientError),
        };
        let told = scratch.call.ai.get_or_insert_default();
        told.degraded = translate::told(&losses).into_owned();
        told.block.head.dialect_out = api.dialect.id();
        let upstream = &self.current.upstreams[attempt.to.provider.upstream];
        let mut tries = Tries::begin(upstream);
        let mut pooled = true;
        loop {
            let target = match tries.next(sys::monotonic_ns(), 0) {
                Ok(target) => target,
                Err(code) => return unanswered(scratch, attempt, code),
            };
            let exchange = self.exchange(upstream);
            let spec = upstream.spec();
            let connected = exchange.connect(scratch, &spec, &target, pooled, routed.deadline_ns).await;
            let (mut connection, fresh) = match connected {
                Ok(connection) => connection,
                Err(code) => {
                    tries.ended(Told::Unknown, sys::monotonic_ns(), 0);
                    return unanswered(scratch, attempt, code);
                }
            };
            connection.requests += 1;
            let sending = Sending {
                path: &path,
                host: target.host(),
                shown: attempt.to.shown(at),
                unix_s: attempt.unix_s,
                body: (&document, &edits),
                client: (api.dialect == asked.dialect).then_some((&*scratch.head, self.request.bytes())),
                accept: if asked.stream { api.stream.media.media_type() } else { "application/json" },
            };
            sending.write(&mut scratch.out);
            let sent = Sent { asked, label: target.label(), api, pieces: (&document, &edits), routed };
            let ended = self.exchanged(client, scratch, &mut connection, &mut relay, attempt, sent).await;
            let now_ns = sys::monotonic_ns();
            tries.ended(Told::Unknown, now_ns, 0); // what providers answer is judged by their models
            match ended {
                Ended::Came(Err(failed)) if !fresh && !failed.heard && pooled => {
                    target.discard(connection);
                    pooled = false; // it had died in the pool: nothing was read there
                    scratch.call.record.retries += 1;
                }
                Ended::Came(Ok(got)) => {
                    let clean = match &got {
                        Got::Streamed(streamed) => streamed.clean,
                        Got::Whole(whole) => whole.clean,
                    };
                    match clean {
                        true => target.release(connection, &self.worker.keeper, now_ns),
                        false => target.discard(connection),
                    }
                    return match got {
                        Got::Streamed(streamed) => after_stream(&streamed),
                        Got::Whole(whole) => self.judge(client, scratch, asked, attempt, api, whole).await,
                    };
                }
                Ended::Came(Err(failed)) => {
                    target.discard(connection);
                    return self.broken(client, scratch, attempt, relay.as_ref(), &target, failed);
                }
                Ended::Stopped(stop) => {
                    target.discard(connection); // which tells the provider at once
                    let code = match stop {
                        Stop::ClientGone => Code::ClientGone,
                        Stop::Refused(code) => code,
                    };
                    let failed = Failed { code, begun: true, heard: true, status: None };
                    return self.broken(client, scratch, attempt, relay.as_ref(), &target, failed);
                }
            }
        }
    }

    /// A relay for the stream, if one was asked for.
    fn relay(&self, asked: &Asked<'_>, model: &str, api: &Api) -> Result<Option<StreamRelay>, Denied> {
        if !asked.stream {
            return Ok(None);
        }
        let plan = RelayPlan {
            to: asked.dialect,
            media: api.stream.media,
            withholds_usage: asked.dialect == api.dialect && asked.ask.lacks_usage(),
            stream: StreamPlan {
                from: api.dialect,
                model,
                tells_usage: !asked.ask.lacks_usage(),
                input: account::estimate(asked.body.len()),
                echo: if api.dialect == asked.dialect { Echo::default() } else { asked.echo() },
            },
        };
        StreamRelay::new(&plan).map(Some).map_err(|why| Denied::own(Code::UnsupportedFeature, why))
    }

    /// The answer did not come whole. What of it the client has must not pass for a whole one.
    fn broken(
        &self,
        client: &mut Client,
        scratch: &mut Scratch,
        attempt: &mut Attempt<'_>,
        relay: Option<&StreamRelay>,
        target: &Target,
        failed: Failed,
    ) -> Made {
        let noted = relay.map(StreamRelay::noted);
        if failed.begun {
            match noted {
                Some(noted) => attempt.settle_stream(&mut scratch.call, noted, Some(failed.code)),
                None => attempt.settle_unanswered(&mut scratch.call, Outcome::ClientGone),
            }
            client.stream.reset_on_close();
            record::broken_off(self.worker, scratch, self.request.bytes(), target, failed.code);
            let end = if failed.code == Code::ClientGone { End::ClientGone } else { End::BrokenStream };
            return Made::answered(After::Close, end);
        }
        match noted.and_then(|noted| noted.failure.clone()) {
            Some(failure) => self.failed(scratch, attempt, failure, 200, Headroom::default()),
            None => unanswered(scratch, attempt, failed.code),
        }
    }

    /// The provider told that it failed.
    fn failed(
        &self,
        scratch: &mut Scratch,
        attempt: &mut Attempt<'_>,
        failure: Failure,
        status: u16,
        headroom: Headroom,
    ) -> Made {
        attempt.settle_unanswered(&mut scratch.call, failure.class.into());
        let report = Report::of_failure(&failure, status, headroom);
        Made { came: Err(told_to_callers(attempt.to.provider, failure, status)), report }
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
        let idle = Duration::from_nanos(sent.routed.idle_ns);
        scratch.call.counters.answering.set(false);
        let Scratch { head, plan, response, call, request_body, response_body, first, out, .. } = scratch;
        let sent_ns = sys::monotonic_ns();
        let total_until_ns = sent.routed.deadline_ns;
        // One answer comes when it is whole: only the call's own time bounds that.
        let first_ns = if sent.asked.stream { sent.routed.first_token_ns } else { u64::MAX };
        let first_token_until_ns = sent_ns.saturating_add(first_ns).min(total_until_ns);
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
                    idle,
                    first_byte: Duration::from_nanos(first_ns),
                    total_until_ns,
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
                    idle,
                    total_until_ns,
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
                routed: sent.routed,
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

    /// What a whole answer is worth: the client's answer, or a failure.
    async fn judge(
        &self,
        client: &mut Client,
        scratch: &mut Scratch,
        asked: &Asked<'_>,
        attempt: &mut Attempt<'_>,
        api: &Api,
        whole: Whole,
    ) -> Made {
        attempt.status = whole.status;
        let kind = attempt.to.provider.kind;
        let parsed = Value::parse(&whole.body);
        let document = parsed.as_ref().unwrap_or(&Value::Null);
        if !(200..300).contains(&whole.status) || kind.errors.in_answer(document) {
            let (failure, headroom) = read_failure(kind, &whole, document);
            return self.failed(scratch, attempt, failure, whole.status, headroom);
        }
        if parsed.is_err() || asked.stream {
            // No JSON, or one answer where a stream was asked for.
            let said = whole.body.len();
            attempt.settle(&mut scratch.call, &Account::default(), said, 6, Outcome::ServerError);
            let why = "the provider's answer is not what was asked for";
            return Made::denied(Denied::own(Code::UpstreamBadResponse, why), End::ServerError);
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
                Err(denied) => return Made::denied(denied, End::ServerError),
            }
        }
        if let Some(told) = &scratch.call.ai {
            told.write_degraded(&mut lines);
        }
        let after = answer::document(self.worker, client, scratch, self.request, 200, &lines, &body).await;
        Made::answered(after, End::Answered)
    }

    fn translated(
        &self,
        scratch: &mut Scratch,
        asked: &Asked<'_>,
        model: &str,
        api: &Api,
        body: &[u8],
    ) -> Result<Vec<u8>, Denied> {
        let answer = translate::read_answer(api.dialect, body)
            .map_err(|why| Denied::own(Code::UpstreamBadResponse, why))?;
        let echo = asked.echo();
        let mut losses = Losses::default();
        let document = translate::write_answer(asked.dialect, &answer, model, &echo, &mut losses);
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
}

/// What is sent.
struct Sent<'s, 'b> {
    asked: &'s Asked<'b>,
    /// Where, for the record.
    label: &'s [u8],
    api: &'s Api,
    pieces: (&'s [u8], &'s Edits),
    routed: &'s routing::Attempt<'s>,
}

/// A stream has gone to the client, as far as it came.
fn after_stream(streamed: &Streamed) -> Made {
    let after = if streamed.client_keeps && streamed.code.is_none() { After::Next } else { After::Linger };
    let end = match streamed.code {
        None => End::Answered,
        Some(Code::UpstreamIdleTimeout | Code::UpstreamFirstByteTimeout) => End::IdleTimeout,
        Some(Code::TotalTimeout) => End::TotalTimeout,
        Some(_) => End::BrokenStream,
    };
    Made::answered(after, end)
}

/// An attempt of which nothing came.
fn unanswered(scratch: &mut Scratch, attempt: &mut Attempt<'_>, code: Code) -> Made {
    let (outcome, end) = match code {
        Code::UpstreamFirstByteTimeout => (Outcome::TimedOut, End::FirstTokenTimeout),
        Code::UpstreamIdleTimeout => (Outcome::TimedOut, End::IdleTimeout),
        Code::TotalTimeout => (Outcome::TimedOut, End::TotalTimeout),
        Code::UpstreamConnectTimeout => (Outcome::TimedOut, End::ConnectFailure),
        Code::UpstreamConnectFailed
        | Code::UpstreamUnresolved
        | Code::UpstreamTls
        | Code::PoolExhausted
        | Code::Overloaded
        | Code::NoHealthyTarget => (Outcome::ServerError, End::ConnectFailure),
        Code::ClientGone => (Outcome::ClientGone, End::ClientGone),
        _ => (Outcome::ServerError, End::BrokenStream),
    };
    attempt.settle_unanswered(&mut scratch.call, outcome);
    Made::denied(code, end)
}

/// Reads a provider's error out of an answer, and what its head says of limits.
fn read_failure(
    kind: &penstock_ai::provider::Provider,
    whole: &Whole,
    document: &Value<'_>,
) -> (Failure, Headroom) {
    let mut head = Box::new(ResponseHead::new());
    let asked = penstock_http::Asked { method: Method::Post, upgrade: None };
    let parsed = head.parse(&whole.head, &HeadLimits::default(), asked);
    let fields = matches!(parsed, Ok(Parsed::Complete)).then_some(&head.fields);
    let value = |name: &str| fields.and_then(|fields| named(fields, &whole.head, name));
    let mut failure = kind.errors.read(whole.status, value, document);
    let headroom = kind.rate_limit.read(value, sys::wall_ns() / 1_000_000);
    failure.retry_after_ms = failure.retry_after_ms.or(headroom.retry_after_ms);
    (failure, headroom)
}

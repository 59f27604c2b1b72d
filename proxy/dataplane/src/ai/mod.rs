//! Calls of language models: the body is read whole, the model's name leads to a deployment, the answer goes back in the
//! caller's dialect, and what it used is told and paid.

pub mod account;
pub mod answering;
pub mod attempt;
pub mod booking;
mod denied;
pub mod directory;
mod list;
mod made;
pub mod sigv4;

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use penstock_ai::ask::Ask;
use penstock_ai::dialect::Dialect;
use penstock_ai::endpoint::{Endpoint, GeminiCall};
use penstock_ai::form::Losses;
use penstock_ai::json::{Edits, Value};
use penstock_ai::openai_responses::Echo;
use penstock_ai::provider::{Api, Operation};
use penstock_ai::routing::{Caller, Need, Step, TenantId, Unresolved, prefix_hash};
use penstock_ai::translate::{self, Destination};
use penstock_gate::spec::{AiRoute, OnLoss};
use penstock_gate::{Forward, RouteRule};
use penstock_http::Code;
use penstock_ring::ai_flag;

use self::attempt::is_encoded;
use self::denied::Denied;
use self::directory::{Deployment, Directory};
use self::made::Made;
use crate::buf::Buf;
use crate::client::Client;
use crate::event::Event;
use crate::exchange::{After, Scratch, hold_body};
use crate::sys;
use crate::worker::{Current, Worker};

/// Bytes of a request's body where the route sets no bound.
pub const BODY_BYTES_MAX: u64 = 32 << 20;

/// A request of an AI route.
pub struct Serving<'a> {
    /// The worker.
    pub worker: &'a Rc<Worker>,
    /// The configuration in force.
    pub current: &'a Rc<Current>,
    /// Providers, models and prices.
    pub directory: Arc<Directory>,
    /// The route.
    pub route: &'a RouteRule,
    /// Its number.
    pub route_index: u32,
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

impl Asked<'_> {
    /// What an answer repeats of the request, in a dialect whose answers do.
    fn echo(&self) -> Echo {
        if self.dialect != Dialect::OpenAiResponses {
            return Echo::default();
        }
        translate::read_request(self.dialect, self.body)
            .map_or_else(|_| Echo::default(), |request| Echo::of(&request))
    }
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

    /// Whom routing knows as the caller.
    fn caller(&self) -> Caller<'_> {
        Caller { tenant: TenantId(self.route.tenant.0), service: &self.ai.service.models, app: None }
    }

    /// Reads what is asked for.
    fn asked<'b>(&self, scratch: &Scratch, body: &'b [u8]) -> Result<Asked<'b>, Denied> {
        let dialect = self.ai.endpoint.dialect();
        let ask = Ask::read(dialect, body).map_err(|why| Denied::own(Code::BodyInvalid, why))?;
        let (model, stream) = match self.ai.endpoint {
            Endpoint::Generate | Endpoint::GenerateV1 => {
                let target = &scratch.plan.target;
                let path = target.split(|&byte| byte == b'?').next().unwrap_or_default();
                let before = self.ai.service.prefix.len() + self.ai.endpoint.path().len() - 1;
                let rest = &path[before.min(path.len())..];
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
        let plan = &self.directory.plan;
        let resolved = plan.resolve(&self.caller(), &asked.model).map_err(|why| match why {
            Unresolved::Unknown { .. } => Denied::own(Code::UnknownModel, why),
            Unresolved::Ambiguous { .. } => Denied::own(Code::AmbiguousModel, why),
        })?;
        let need = Need {
            input_tokens: account::estimate(body.len()),
            output_tokens: asked.ask.max_output().unwrap_or(account::OUTPUT_USUAL),
            unix_s: self.worker.wall_ns(scratch.call.head_ns) / 1_000_000_000,
            prefix: match resolved.wants_prefix() {
                true => prefix_hash(asked.dialect, body).ok().flatten(),
                false => None,
            },
            affinity: None,
        };
        let mut call = plan.begin(resolved, need, sys::monotonic_ns());
        let mut denied = None;
        loop {
            let step = call.next(sys::monotonic_ns(), &mut self.worker.random.borrow_mut());
            match step {
                Step::Attempt(routed) => {
                    let Made { came, report } = self.attempt(client, scratch, &asked, &routed, &need).await;
                    if came.is_ok() {
                        call.is_answering();
                    }
                    let now_ns = sys::monotonic_ns();
                    let shown = format!("{}/{} with key {}", routed.provider, routed.model, routed.key_name);
                    if let Some(alert) = call.ended(now_ns, routed, &report) {
                        let rests = Duration::from_nanos(alert.until_ns.saturating_sub(now_ns));
                        let (worker, why) = (self.worker.index, alert.end);
                        self.worker.events.tell(Event::ProviderRests { worker, shown, why, rests });
                    }
                    match came {
                        Ok(after) => return Ok(after),
                        Err(why) => denied = Some(why),
                    }
                }
                Step::WaitUntil(until_ns) => {
                    let pause = until_ns.saturating_sub(sys::monotonic_ns());
                    monoio::time::sleep(Duration::from_nanos(pause)).await;
                }
                Step::GiveUp(give_up) => {
                    return Err(denied.unwrap_or_else(|| Denied::untried(&give_up)));
                }
            }
        }
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
        if request.is_stateful() {
            // Answered without what it goes on from, it would be another conversation.
            let why = format!(
                "{} does not have the conversation that this request goes on from",
                to.provider.kind.title
            );
            return Err(Denied::own(Code::UnsupportedFeature, why));
        }
        let destination = Destination { dialect: api.dialect, model: to.model, max_output };
        let mut document = translate::write_request(&request, &destination, &mut losses);
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
}

//! What the chain leaves for the data plane: texts in reused buffers, and a verdict of plain numbers.
//!
//! A [`CallPlan`] belongs to one connection (or stream) and is reused; once its buffers have grown to what a route
//! needs, nothing is allocated. It holds everything that outlives the chain, so a stream keeps neither the gate
//! nor the callers' table.

use crate::spec::Id;
use crate::spend::SpendLimit;
use crate::trace::{RequestId, Trace};
use penstock_http::{Code, FieldSet};
use penstock_limits::Permits;
use std::net::{IpAddr, Ipv4Addr};

/// Texts and marks of one request, reused from request to request.
#[derive(Debug)]
pub struct CallPlan {
    /// Request target for the upstream: path and query.
    pub target: Vec<u8>,
    /// Whole lines (`name: value CRLF`) to add to the head that goes upstream.
    pub request_fields: Vec<u8>,
    /// Whole lines to add to the head that goes back, whoever makes the answer.
    pub response_fields: Vec<u8>,
    /// Fields of the request, beside those of the route, that don't go upstream: they held a credential.
    pub spent_fields: FieldSet,
    /// What must be given back to the shard when the call ends.
    pub permits: Permits,
    /// Limits of tokens and money that the caller and the route have, for when the model is known.
    pub(crate) spend: Vec<SpendLimit>,
    /// How the call stands with them is among the response's fields.
    pub(crate) spend_told: bool,
    /// Names of the call.
    pub request_id: RequestId,
    /// The trace that the call belongs to.
    pub trace: Trace,
    /// A token named a key that its issuer's set lacks: the set may have to be fetched anew (rarely: anybody can
    /// send such a token).
    pub unknown_key: bool,
    /// Who calls, for the record.
    pub caller: Caller,
    /// What each stage said, for the record.
    pub stages: Stages,
    pub(crate) rooms: Option<Box<Rooms>>,
}

/// Where a path and a host are written that did not come in the form in which routes know them.
#[derive(Debug, Default)]
pub(crate) struct Rooms {
    pub(crate) path: Vec<u8>,
    pub(crate) host: Vec<u8>,
}

impl Default for CallPlan {
    fn default() -> Self {
        Self {
            target: Vec::new(),
            request_fields: Vec::new(),
            response_fields: Vec::new(),
            spent_fields: FieldSet::EMPTY,
            permits: Permits::new(),
            spend: Vec::new(),
            spend_told: false,
            request_id: RequestId::default(),
            trace: Trace::default(),
            unknown_key: false,
            caller: Caller::default(),
            stages: Stages::default(),
            rooms: None,
        }
    }
}

impl CallPlan {
    /// An empty plan.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    #[cold]
    fn forget_spend(&mut self) {
        self.spend.clear();
        self.spend_told = false;
    }

    /// Forgets the request before. Permits must have been given back.
    #[inline]
    pub(crate) fn clear(&mut self) {
        self.target.clear();
        self.request_fields.clear();
        self.response_fields.clear();
        self.spent_fields = FieldSet::EMPTY;
        self.unknown_key = false;
        if !self.spend.is_empty() {
            self.forget_spend();
        }
        self.caller.clear();
        self.stages = Stages::default();
    }
}

/// Names and values of whole lines, for heads that are not made of lines (HTTP/2).
pub fn lines(fields: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    fields.split(|&byte| byte == b'\n').filter_map(|line| {
        let line = line.strip_suffix(b"\r")?;
        let split = line.iter().position(|&byte| byte == b':')?;
        Some((&line[..split], line[split + 1..].trim_ascii()))
    })
}

/// Who calls.
#[derive(Debug)]
pub struct Caller {
    /// Client address.
    pub address: IpAddr,
    /// App.
    pub app: Option<Id>,
    /// Credential.
    pub credential: Option<Id>,
    /// Subscription that the call is made under.
    pub subscription: Option<Id>,
    /// Subject of the token, user or certificate.
    pub subject: String,
}

impl Default for Caller {
    fn default() -> Self {
        Self {
            address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            app: None,
            credential: None,
            subscription: None,
            subject: String::new(),
        }
    }
}

impl Caller {
    fn clear(&mut self) {
        self.app = None;
        self.credential = None;
        self.subscription = None;
        self.subject.clear();
    }
}

/// The stages of the chain, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Stage {
    /// Host, path, method and version lead to a route.
    Route,
    /// The network is let in by the route.
    Ip,
    /// Cross-origin rules.
    Cors,
    /// Who calls.
    Identify,
    /// Whether they may.
    Authorise,
    /// Whether there is room.
    Limit,
    /// What goes upstream.
    Shape,
}

/// Number of stages.
pub const STAGES: usize = 7;

/// What a stage said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Outcome {
    /// It did not run.
    #[default]
    Skipped,
    /// It had nothing against it.
    Allowed,
    /// It changed something.
    Changed,
    /// It refused.
    Refused,
}

/// What each stage said, and by which rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stages {
    outcomes: [Outcome; STAGES],
    rules: [Id; STAGES],
}

impl Stages {
    pub(crate) fn set(&mut self, stage: Stage, outcome: Outcome, rule: Id) {
        self.outcomes[stage as usize] = outcome;
        self.rules[stage as usize] = rule;
    }

    /// What a stage said, and the dictionary id of the rule (route, credential, limit ...) by which it did; id 0 if
    /// there is none.
    #[must_use]
    pub fn get(&self, stage: Stage) -> (Outcome, Id) {
        (self.outcomes[stage as usize], self.rules[stage as usize])
    }
}

/// What is to be done with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Send it upstream.
    Forward(Forward),
    /// Answer it: with a problem document of this code and the lines in [`CallPlan::response_fields`].
    Answer(Answer),
    /// Answer a CORS preflight: 204 with the lines in [`CallPlan::response_fields`].
    Preflight,
    /// Answer 308 with the lines in [`CallPlan::response_fields`] (Location among them).
    Redirect,
}

/// A request that goes upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forward {
    /// Index of the route in the snapshot: its upstream, timeouts, body bounds and drops hold.
    pub route: u32,
    /// SHA-256 that the request's body must have: check it with [`crate::identity::hmac::BodyDigest`] and hold its
    /// last bytes back until it proves good.
    pub body_digest: Option<[u8; 32]>,
    /// What an upstream that chooses by hash chooses by.
    pub balance_hash: u64,
}

/// A request that the gateway answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Why.
    pub code: Code,
    /// Which stage says so.
    pub stage: Stage,
    /// Index of the route, if one was found.
    pub route: Option<u32>,
    /// The limit that refused.
    pub limit: Option<LimitAnswer>,
}

/// A limit that refused, for the answer's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitAnswer {
    /// Dictionary id of the limit.
    pub id: Id,
    /// What it counts: the unit of the numbers.
    pub kind: penstock_limits::Kind,
    /// What the node pool says of it.
    pub refusal: penstock_limits::Refusal,
}

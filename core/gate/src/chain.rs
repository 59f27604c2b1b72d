//! The chain of stages, in one place and in order:
//!
//! route and version -> network -> preflight -> identify -> authorise -> limit -> shape
//!
//! Each stage is one function: the request's state in, the next state or an answer out. Two things stand
//! elsewhere than in the overview's line "identify, authorise, limit, shape":
//! - The route's networks are checked before the caller is identified: it is cheaper, and a network that is denied
//!   learns nothing about which credentials are good. The app's own networks are checked after, being known then.
//! - A preflight is answered before identification: browsers send it without credentials. The fields of the actual
//!   answer are written before the limits, so that scripts can read a 429 too.
//!
//! The known length of a body is checked before the limits take anything: what can never pass costs no quota.

use crate::callers::{AppEntry, Callers, CredentialEntry};
use crate::client::{self, Client};
use crate::cors::Preflight;
use crate::fold_hash;
use crate::identity::{Desk, JwtCache, ReplayTable, Token, Who};
use crate::limits::{BoundLimit, BoundLimits, Counted, KeySecret};
use crate::plan::{Answer, CallPlan, Forward, LimitAnswer, Outcome, Rooms, Stage, Verdict};
use crate::request::Request;
use crate::router::{Found, Matched, MethodSet, Once, Probe, decoded_equals};
use crate::snapshot::{Backend, BalanceBy, ListenerRule, RouteRule, Snapshot};
use crate::spec::{CredentialKind, Id, Subscription, Uid};
use crate::spend::SpendLimit;
use crate::trace::{self, IdSource, RequestId, Trace};
use crate::value::{Fact, Facts};
use arrayvec::ArrayVec;
use penstock_http::{Authority, Code, FieldId, Framing, TargetForm};
use penstock_limits::{APPLIED_MAX, Applied, ITEM_BYTES_MAX, Refusal, RefusalKind, Shard, Standing};
use std::net::IpAddr;
use std::sync::Arc;

/// The gate of one worker: what it keeps between requests beside the snapshot.
#[derive(Debug)]
pub struct Gate {
    /// Who may call; fed by deltas.
    pub callers: Callers,
    /// The worker's share of the limits.
    pub shard: Shard,
    tokens: JwtCache,
    replays: Arc<ReplayTable>,
    ids: IdSource,
    pub(crate) secret: KeySecret,
}

/// A request that has a route.
struct Routed<'f, 's> {
    found: &'f Matched,
    route: &'s RouteRule,
    client: &'f IpAddr,
}

/// ... and whose caller is known.
struct Identified<'r, 's, 'c> {
    routed: &'r Routed<'r, 's>,
    body_digest: &'r Option<[u8; 32]>,
    app: Option<&'c AppEntry>,
    credential: Option<&'c CredentialEntry>,
    token: Option<&'c Token>,
    subject: &'c str,
    subscription: Option<&'c Subscription>,
}

/// ... and that the limits admit.
struct Admitted<'i, 'r, 's, 'c>(&'i Identified<'r, 's, 'c>);

impl Gate {
    /// A gate. `secret` keys the limits and is the same for all workers, as is `replays`; `ids` is the worker's own.
    #[must_use]
    pub fn new(shard: Shard, replays: Arc<ReplayTable>, secret: KeySecret, ids: IdSource) -> Self {
        let mut callers = Callers::new();
        callers.remember_keys(secret.derive("penstock gate: tags of proven API keys"));
        let seed = secret.derive("penstock gate: places of kept tokens");
        let tokens = JwtCache::new(u64::from_le_bytes(std::array::from_fn(|at| seed[at])));
        Self { callers, shard, tokens, replays, ids, secret }
    }

    /// Names a call whose head cannot be read, for its answer and its record.
    pub fn name_unread(&mut self, plan: &mut CallPlan) {
        plan.clear();
        plan.request_id.make(&mut self.ids);
    }

    /// Decides about one request. What is to be sent is left in `plan`, whose permits must be empty. Warm, and
    /// without signatures to check, it allocates nothing, locks nothing and asks nobody.
    pub fn decide(&mut self, snapshot: &Snapshot, request: &Request<'_>, plan: &mut CallPlan) -> Verdict {
        plan.clear();
        // The rooms are taken out so that what is borrowed from them does not hold the plan.
        let mut rooms = plan.rooms.take().unwrap_or_default();
        let verdict = self.run(snapshot, request, plan, &mut rooms);
        plan.rooms = Some(rooms);
        match verdict {
            Ok(verdict) => verdict,
            Err(answer) => Verdict::Answer(answer),
        }
    }

    #[inline]
    fn run(
        &mut self,
        snapshot: &Snapshot,
        request: &Request<'_>,
        plan: &mut CallPlan,
        rooms: &mut Rooms,
    ) -> Result<Verdict, Answer> {
        let Self { callers, shard, tokens, replays, ids, secret } = self;
        let callers: &Callers = callers;
        let listener = snapshot.listeners.get(request.listener as usize);
        let client = name_the_call(snapshot, listener, request, ids, plan)?;
        if let Some(port) = listener.and_then(|rule| rule.listener.redirect_https)
            && redirect(port, request, plan)
        {
            return Ok(Verdict::Redirect);
        }
        // Every head that is parsed, of either version of HTTP, has had its host checked.
        let authority;
        let host = if snapshot.router.looks_at_hosts() {
            authority = Authority::of_checked(request.head.host.of(request.buf));
            authority.lower(&mut rooms.host)
        } else {
            b""
        };
        let path = normal_path(snapshot, request, &mut rooms.path, plan)?;
        if let Some(verdict) = preflight(snapshot, request, host, path, &client, plan)? {
            return Ok(verdict);
        }
        let (query, method) = (request.query(), request.method());
        let probe = Probe { host, path, query, method, fields: request, preflight: false };
        let found = snapshot.router.find(&probe);
        let routed = route(snapshot, request, &found, &client, plan)?;
        network(&routed, plan)?;
        let mut unknown_key = false;
        let issuers = &snapshot.issuers;
        let mut desk = Desk { callers, tokens, replays, issuers, unknown_key: &mut unknown_key };
        let mut who = Who::default();
        let known_who = identify(&routed, &mut desk, request, &mut who, plan);
        plan.unknown_key = unknown_key;
        known_who?;
        let identified = known(&routed, &who, tokens, request, plan);
        authorise(&identified, plan)?;
        cross_origin(&identified, request, plan);
        bound_body(&identified, request, plan)?;
        let admitted = limit(&identified, snapshot, shard, secret, request, plan)?;
        shape(&admitted, snapshot, request, &client, path, plan)
    }
}

/// Client address, request id, trace: what every answer and record needs.
#[inline]
fn name_the_call(
    snapshot: &Snapshot,
    listener: Option<&ListenerRule>,
    request: &Request<'_>,
    ids: &mut IdSource,
    plan: &mut CallPlan,
) -> Result<Client, Answer> {
    let client = client::find(&snapshot.trusted_proxies, request);
    let by_trusted = client.is_ok_and(|client| client.by_trusted);
    plan.request_id.set(request, snapshot.request_id, by_trusted, ids);
    plan.trace = Trace::of(request, ids);
    if let Some(rule) = listener.filter(|rule| !rule.hsts.is_empty()) {
        plan.response_fields.extend_from_slice(&rule.hsts);
    }
    let client = client.map_err(|code| refuse(plan, Stage::Route, code, None))?;
    plan.caller.address = client.address;
    Ok(client)
}

/// Whether the request is sent to `https` at this port, as its listener wants it.
fn redirect(port: u16, request: &Request<'_>, plan: &mut CallPlan) -> bool {
    let Ok(authority) = Authority::parse(request.head.host.of(request.buf)) else { return false };
    if request.tls.is_some() || request.head.form == TargetForm::Asterisk {
        return false;
    }
    let out = &mut plan.response_fields;
    out.extend_from_slice(b"location: https://");
    out.extend_from_slice(authority.host);
    if port != 443 {
        out.push(b':');
        penstock_http::write::decimal(out, u64::from(port));
    }
    let path = request.head.path.of(request.buf);
    out.extend_from_slice(if path.is_empty() { b"/" } else { path });
    write_query(request, &[], out);
    out.extend_from_slice(b"\r\n");
    request_id_line(plan);
    true
}

/// The path in its one spelling. What at least one route lets pass is let pass here; the route that is found
/// decides for itself.
fn normal_path<'p>(
    snapshot: &Snapshot,
    request: &Request<'p>,
    room: &'p mut Vec<u8>,
    plan: &mut CallPlan,
) -> Result<&'p [u8], Answer> {
    if request.head.form == TargetForm::Asterisk {
        return Err(refuse(plan, Stage::Route, Code::NoRoute, None));
    }
    let path = request.head.path.of(request.buf);
    penstock_http::path::normalise(path, &snapshot.path_policy, room)
        .map_err(|refusal| refuse(plan, Stage::Route, refusal.code, None))
}

/// Answers a CORS preflight for a route that has cross-origin rules; `None`: there is none, go on.
fn preflight(
    snapshot: &Snapshot,
    request: &Request<'_>,
    host: &[u8],
    path: &[u8],
    client: &Client,
    plan: &mut CallPlan,
) -> Result<Option<Verdict>, Answer> {
    let Some(asked) = Preflight::of(request) else { return Ok(None) };
    let query = request.query();
    let probe = Probe { host, path, query, method: asked.method, fields: request, preflight: true };
    let Found::Route(found) = snapshot.router.find(&probe) else { return Ok(None) };
    let route = &snapshot.routes[found.route as usize];
    let Some(cors) = &route.cors else { return Ok(None) };
    plan.stages.set(Stage::Route, Outcome::Allowed, route.id);
    let routed = Routed { found: &found, route, client: &client.address };
    network(&routed, plan)?;
    if !cors.write_preflight(&asked, &mut plan.response_fields) {
        return Err(refuse(plan, Stage::Cors, Code::CorsDenied, Some(&routed)));
    }
    plan.stages.set(Stage::Cors, Outcome::Allowed, route.id);
    request_id_line(plan);
    Ok(Some(Verdict::Preflight))
}

// === route and version ===

#[inline]
fn route<'f, 's>(
    snapshot: &'s Snapshot,
    request: &Request<'_>,
    found: &'f Found,
    client: &'f Client,
    plan: &mut CallPlan,
) -> Result<Routed<'f, 's>, Answer> {
    let found = match found {
        Found::Route(found) => found,
        Found::Nothing => return Err(refuse(plan, Stage::Route, Code::NoRoute, None)),
        Found::UnknownVersion => return Err(refuse(plan, Stage::Route, Code::UnknownVersion, None)),
        Found::MethodNotAllowed(allowed) => {
            write_allow(snapshot, *allowed, &mut plan.response_fields);
            return Err(refuse(plan, Stage::Route, Code::MethodNotAllowed, None));
        }
    };
    let route = &snapshot.routes[found.route as usize];
    let routed = Routed { found, route, client: &client.address };
    if route.narrows_paths {
        let raw = request.head.path.of(request.buf);
        if let Err(refusal) = penstock_http::path::normalise(raw, &route.path_policy, &mut plan.target) {
            return Err(refuse(plan, Stage::Route, refusal.code, Some(&routed)));
        }
    }
    plan.stages.set(Stage::Route, Outcome::Allowed, route.id);
    Ok(routed)
}

fn write_allow(snapshot: &Snapshot, allowed: MethodSet, out: &mut Vec<u8>) {
    out.extend_from_slice(b"allow: ");
    for (at, name) in snapshot.router.method_names(allowed).enumerate() {
        out.extend_from_slice(if at > 0 { b", " } else { b"" });
        out.extend_from_slice(name.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

// === network ===

fn network(routed: &Routed<'_, '_>, plan: &mut CallPlan) -> Result<(), Answer> {
    let rules = &routed.route.ip;
    if rules.deny.is_empty() && rules.allow.is_empty() {
        return Ok(());
    }
    let is_in = |list: &[crate::cidr::Cidr]| list.iter().any(|network| network.contains(*routed.client));
    if is_in(&rules.deny) || (!rules.allow.is_empty() && !is_in(&rules.allow)) {
        return Err(refuse(plan, Stage::Ip, Code::IpDenied, Some(routed)));
    }
    plan.stages.set(Stage::Ip, Outcome::Allowed, routed.route.id);
    Ok(())
}

// === identify ===

fn identify<'c>(
    routed: &Routed<'_, '_>,
    desk: &mut Desk<'_, 'c>,
    request: &Request<'_>,
    who: &mut Who<'c>,
    plan: &mut CallPlan,
) -> Result<(), Answer> {
    let route = routed.route;
    route.auth.identify(desk, route.tenant, request, who).map_err(|code| {
        if code.status() == 401 {
            let challenge =
                if code == Code::Unauthenticated { &route.challenge } else { &route.challenge_invalid };
            plan.response_fields.extend_from_slice(challenge);
        }
        refuse(plan, Stage::Identify, code, Some(routed))
    })
}

/// Everything that is known of the caller, borrowed from where it stands.
#[inline]
fn known<'r, 's, 'c>(
    routed: &'r Routed<'r, 's>,
    who: &'r Who<'c>,
    tokens: &'c JwtCache,
    request: &Request<'c>,
    plan: &mut CallPlan,
) -> Identified<'r, 's, 'c> {
    let app = who.app.map(|row| &*row.entry);
    let credential = who.credential.map(|row| &**row);
    let token = who.token.and_then(|place| tokens.get(place));
    let subject = match (token, credential.map(|entry| &entry.credential.kind)) {
        (Some(token), _) if token.subject.is_empty() => &*token.client,
        (Some(token), _) => &*token.subject,
        (None, Some(CredentialKind::Basic { user, .. })) => user.as_str(),
        (None, Some(CredentialKind::Hmac { key_id, .. })) => key_id.as_str(),
        (None, Some(CredentialKind::Mtls(_))) => {
            request.tls.and_then(|tls| tls.client).map_or("", |certificate| certificate.subject.as_str())
        }
        _ => "",
    };
    let service = routed.route.service;
    let subscription = who.app.and_then(|app| app.subscription(service, request.now_unix_s()));
    plan.spent_fields = who.spent;
    plan.caller.app = app.map(|entry| entry.app.id);
    plan.caller.credential = credential.map(|entry| entry.credential.id);
    plan.caller.subscription = subscription.map(|subscription| subscription.id);
    if !subject.is_empty() {
        plan.caller.subject.push_str(subject);
    }
    if let Some(rule) = plan.caller.credential.or(token.map(|token| token.issuer)) {
        plan.stages.set(Stage::Identify, Outcome::Allowed, rule);
    }
    Identified { routed, body_digest: &who.body_digest, app, credential, token, subject, subscription }
}

// === authorise ===

fn authorise(caller: &Identified<'_, '_, '_>, plan: &mut CallPlan) -> Result<(), Answer> {
    let route = caller.routed.route;
    let networks = caller.app.map_or(&[][..], |entry| &entry.app.ip_allow);
    if !networks.is_empty() && !networks.iter().any(|network| network.contains(*caller.routed.client)) {
        return Err(refuse(plan, Stage::Authorise, Code::IpDenied, Some(caller.routed)));
    }
    if !route.scopes.iter().all(|scope| caller.has_scope(scope)) {
        if caller.token.is_some() {
            plan.response_fields.extend_from_slice(&route.challenge_scope);
        }
        return Err(refuse(plan, Stage::Authorise, Code::ForbiddenScope, Some(caller.routed)));
    }
    if route.subscription_required && caller.subscription.is_none() {
        return Err(refuse(plan, Stage::Authorise, Code::SubscriptionRequired, Some(caller.routed)));
    }
    if let Some(subscription) = caller.subscription {
        plan.stages.set(Stage::Authorise, Outcome::Allowed, subscription.id);
    } else if !route.scopes.is_empty() || !networks.is_empty() {
        plan.stages.set(Stage::Authorise, Outcome::Allowed, route.id);
    }
    Ok(())
}

impl Identified<'_, '_, '_> {
    /// Who is counted by limits.
    #[inline]
    fn counted<'q>(&'q self, request: &'q Request<'_>) -> Counted<'q, Request<'q>> {
        let route = self.routed.route;
        Counted {
            app: self.app.map(|entry| entry.app.uid),
            credential: self.credential.map(|entry| entry.credential.uid),
            subject: self.subject,
            tenant: route.tenant_uid,
            service: route.service_uid,
            route: route.uid,
            client: self.routed.client,
            fields: request,
        }
    }

    /// A token brings its own scopes; every other credential has its own or the app's.
    fn has_scope(&self, wanted: &str) -> bool {
        if let Some(token) = self.token {
            return token.scopes.split(' ').any(|scope| scope == wanted);
        }
        self.own_scopes().iter().any(|scope| scope == wanted)
    }

    fn own_scopes(&self) -> &[String] {
        let narrower = self.credential.and_then(|entry| entry.credential.scopes.as_deref());
        narrower.or(self.app.map(|entry| &*entry.app.scopes)).unwrap_or(&[])
    }
}

// === cross-origin ===

fn cross_origin(caller: &Identified<'_, '_, '_>, request: &Request<'_>, plan: &mut CallPlan) {
    let route = caller.routed.route;
    if let Some(cors) = &route.cors {
        let origin = match request.known(FieldId::Origin) {
            Once::One(origin) => origin,
            _ => b"",
        };
        let allowed = cors.write_answer(origin, &mut plan.response_fields);
        let outcome = if allowed { Outcome::Changed } else { Outcome::Allowed };
        plan.stages.set(Stage::Cors, outcome, route.id);
    }
}

// === limit ===

fn bound_body(
    caller: &Identified<'_, '_, '_>,
    request: &Request<'_>,
    plan: &mut CallPlan,
) -> Result<(), Answer> {
    match (request.head.framing, caller.routed.route.body.max) {
        (Framing::Length(length), Some(max)) if length > max => {
            Err(refuse(plan, Stage::Shape, Code::BodyTooLarge, Some(caller.routed)))
        }
        _ => Ok(()),
    }
}

/// The limits of a call: of its route, its app, its credential and its plan, which each subscription has for itself.
struct Chosen<'l> {
    lists: [&'l [BoundLimit]; 4],
    subscription: Option<Uid>,
    of_plan: Option<&'l BoundLimits>,
}

impl<'l> Chosen<'l> {
    const OF_PLAN: usize = 3;

    #[inline]
    fn of(caller: &Identified<'_, 'l, 'l>, snapshot: &'l Snapshot) -> Self {
        let rule = caller.subscription.and_then(|one| Some((one.uid, snapshot.plans.get(&one.plan?)?)));
        let of_app = caller.app.map_or(&[][..], |entry| &entry.limits.admit);
        let of_credential = caller.credential.map_or(&[][..], |entry| &entry.limits.admit);
        let of_plan = rule.map_or(&[][..], |(_, rule)| &rule.limits.admit);
        Self {
            lists: [&caller.routed.route.limits.admit, of_app, of_credential, of_plan],
            subscription: rule.map(|(uid, _)| uid),
            of_plan: rule.map(|(_, rule)| &rule.limits),
        }
    }

    fn len(&self) -> usize {
        self.lists.iter().map(|list| list.len()).sum()
    }

    fn iter(&self) -> impl Iterator<Item = &'l BoundLimit> + use<'l> {
        self.lists.into_iter().flatten()
    }

    /// The same owners' limits of tokens and money, in the same order.
    fn spend(&self, caller: &Identified<'_, 'l, 'l>) -> [&'l [BoundLimit]; 4] {
        [
            &caller.routed.route.limits.spend,
            caller.app.map_or(&[][..], |entry| &entry.limits.spend),
            caller.credential.map_or(&[][..], |entry| &entry.limits.spend),
            self.of_plan.map_or(&[][..], |limits| &limits.spend),
        ]
    }

    /// Whether the call asks a model, and there are any of them.
    #[inline]
    fn spends(&self, caller: &Identified<'_, 'l, 'l>) -> bool {
        matches!(caller.routed.route.to, Backend::Ai(_)) && self.has_spend(caller)
    }

    fn has_spend(&self, caller: &Identified<'_, 'l, 'l>) -> bool {
        !caller.routed.route.limits.spend.is_empty()
            || caller.app.is_some_and(|entry| !entry.limits.spend.is_empty())
            || caller.credential.is_some_and(|entry| !entry.limits.spend.is_empty())
            || self.of_plan.is_some_and(|limits| !limits.spend.is_empty())
    }

    /// The subscription that the limits of an owner are counted for.
    #[inline]
    fn within(&self, owner: usize) -> Option<Uid> {
        self.subscription.filter(|_| owner == Self::OF_PLAN)
    }

    /// The limit at a place in [`Self::iter`].
    #[inline]
    fn get(&self, index: u8) -> Option<&'l BoundLimit> {
        let mut index = usize::from(index);
        for list in &self.lists {
            match list.get(index) {
                Some(limit) => return Some(limit),
                None => index -= list.len(),
            }
        }
        None
    }
}

#[inline]
fn limit<'i, 'r, 's, 'c>(
    caller: &'i Identified<'r, 's, 'c>,
    snapshot: &Snapshot,
    shard: &mut Shard,
    secret: &KeySecret,
    request: &Request<'_>,
    plan: &mut CallPlan,
) -> Result<Admitted<'i, 'r, 's, 'c>, Answer> {
    let route = caller.routed.route;
    let chosen = Chosen::of(caller, snapshot);
    match chosen.len() {
        0 if !chosen.spends(caller) => return Ok(Admitted(caller)),
        0..=APPLIED_MAX => {}
        _ => return Err(refuse(plan, Stage::Limit, Code::LimitsUnavailable, Some(caller.routed))),
    }
    let counted = caller.counted(request);
    let body_bytes = match request.head.framing {
        Framing::Length(length) => length,
        Framing::None | Framing::Chunked => 0,
    };
    let mut applied = ArrayVec::<Applied<'_>, APPLIED_MAX>::new();
    for (at, list) in chosen.lists.iter().enumerate() {
        let within = chosen.within(at);
        for limit in *list {
            applied.push(Applied {
                limit: &limit.handle,
                key: limit.key(secret, within, &counted),
                amount: limit.amount(body_bytes),
            });
        }
    }
    match shard.admit(request.now, &applied, &mut plan.permits) {
        penstock_limits::Verdict::Admitted(admitted) => {
            let tightest = admitted.tightest.map_or(0, |standing| standing.index);
            let rule = chosen.get(tightest).map_or(Id(0), |limit| limit.id);
            plan.stages.set(Stage::Limit, Outcome::Allowed, rule);
            if let Some(standing) = admitted.tightest.filter(|_| route.ratelimit_headers) {
                write_standing(&chosen, &standing, &mut plan.response_fields);
            }
            if chosen.spends(caller) {
                hold_spend_limits(caller, &chosen, secret, request, plan);
            }
            Ok(Admitted(caller))
        }
        penstock_limits::Verdict::Refused(refusal) => {
            Err(refuse_by_limit(&chosen, refusal, caller.routed, plan))
        }
    }
}

/// Keeps the limits of tokens and money for when the model is known: the call outlives what they are borrowed from.
#[inline(never)]
fn hold_spend_limits<'l>(
    caller: &Identified<'_, 'l, 'l>,
    chosen: &Chosen<'l>,
    secret: &KeySecret,
    request: &Request<'_>,
    plan: &mut CallPlan,
) {
    let counted = caller.counted(request);
    for (at, list) in chosen.spend(caller).into_iter().enumerate() {
        let within = chosen.within(at);
        plan.spend.extend(list.iter().map(|limit| SpendLimit::new(limit, secret, within, &counted)));
    }
}

#[cold]
fn refuse_by_limit(
    chosen: &Chosen<'_>,
    refusal: Refusal,
    routed: &Routed<'_, '_>,
    plan: &mut CallPlan,
) -> Answer {
    write_retry_after(&refusal, &mut plan.response_fields);
    if refusal.kind != RefusalKind::Unavailable {
        write_standing(chosen, &refusal.standing(), &mut plan.response_fields);
    }
    let mut answer = refuse(plan, Stage::Limit, code_of(refusal.kind), Some(routed));
    if let Some(limit) = chosen.get(refusal.index) {
        plan.stages.set(Stage::Limit, Outcome::Refused, limit.id);
        answer.limit = Some(LimitAnswer { id: limit.id, kind: limit.handle.kind(), refusal });
    }
    answer
}

/// The code of an answer to a call that a limit refuses.
pub(crate) fn code_of(kind: RefusalKind) -> Code {
    match kind {
        RefusalKind::RateLimited => Code::RateLimited,
        RefusalKind::QuotaExhausted => Code::QuotaExhausted,
        RefusalKind::BudgetExhausted => Code::BudgetExhausted,
        RefusalKind::ExceedsLimit => Code::ExceedsLimit,
        RefusalKind::TooManyConcurrent => Code::TooManyConcurrent,
        RefusalKind::Unavailable => Code::LimitsUnavailable,
    }
}

/// Says when the same call may pass, if it ever may.
pub(crate) fn write_retry_after(refusal: &Refusal, out: &mut Vec<u8>) {
    if refusal.kind == RefusalKind::ExceedsLimit {
        return;
    }
    let mut text = [0; ITEM_BYTES_MAX];
    let length = penstock_limits::write_retry_after(refusal.retry_after_ns, &mut text);
    field_line(b"retry-after", &text[..length], out);
}

fn write_standing(chosen: &Chosen<'_>, standing: &Standing, out: &mut Vec<u8>) {
    if let Some(limit) = chosen.get(standing.index) {
        write_limit_fields(&limit.handle, standing, chosen.iter().map(|limit| &*limit.handle), out);
    }
}

/// Says how a caller stands with a limit, and what all limits are that were decided on.
pub(crate) fn write_limit_fields<'l>(
    limit: &penstock_limits::Limit,
    standing: &Standing,
    all: impl Iterator<Item = &'l penstock_limits::Limit>,
    out: &mut Vec<u8>,
) {
    let mut text = [0; ITEM_BYTES_MAX];
    let length = penstock_limits::write_rate_limit(limit, standing, &mut text);
    field_line(b"ratelimit", &text[..length], out);
    let mut text = [0; ITEM_BYTES_MAX * 4];
    let length = penstock_limits::write_policy(all, &mut text);
    field_line(b"ratelimit-policy", &text[..length], out);
}

// === shape ===

#[inline]
fn shape(
    admitted: &Admitted<'_, '_, '_, '_>,
    snapshot: &Snapshot,
    request: &Request<'_>,
    client: &Client,
    path: &[u8],
    plan: &mut CallPlan,
) -> Result<Verdict, Answer> {
    let caller = admitted.0;
    let route = caller.routed.route;
    let CallPlan { request_id, trace, target, request_fields: up, response_fields: down, stages, .. } = plan;
    let facts = CallFacts { caller, request_id, path };
    target.clear();
    let stripped = &path[usize::from(caller.routed.found.strip)..];
    match &route.rewrite {
        // Captures are bytes of a path, so a rewrite can always be written.
        Some(rewrite) => {
            if !rewrite.write(&facts, target) {
                return Err(refuse(plan, Stage::Shape, Code::PolicyFailed, Some(caller.routed)));
            }
        }
        None if stripped.is_empty() => target.push(b'/'),
        None => target.extend_from_slice(stripped),
    }
    write_query(request, &route.query_secrets, target);
    if !route.response_fields.is_empty() {
        write_fields(&route.response_fields, &facts, down);
    }
    if route.expose_revision {
        down.extend_from_slice(b"x-penstock-revision: ");
        penstock_http::write::decimal(down, snapshot.revision);
        down.extend_from_slice(b"\r\n");
    }
    trace::write_names(request_id, trace, up, down);
    client::write_way(request, client, up);
    if !route.request_fields.is_empty() {
        write_fields(&route.request_fields, &facts, up);
    }
    stages.set(Stage::Shape, Outcome::Changed, route.id);
    Ok(Verdict::Forward(Forward {
        route: caller.routed.found.route,
        body_digest: *caller.body_digest,
        balance_hash: balance_hash(caller, request),
    }))
}

fn write_fields(
    fields: &[(Box<[u8]>, crate::value::ValueTemplate)],
    facts: &CallFacts<'_>,
    out: &mut Vec<u8>,
) {
    for (name, value) in fields {
        let start = out.len();
        out.extend_from_slice(name);
        if value.write(facts, out) {
            out.extend_from_slice(b"\r\n");
        } else {
            out.truncate(start);
        }
    }
}

/// Appends the query with its question mark, less the pairs whose (decoded) key holds a secret.
fn write_query(request: &Request<'_>, secrets: &[Box<str>], out: &mut Vec<u8>) {
    let Some(query) = request.head.query.map(|query| query.of(request.buf)) else { return };
    if secrets.is_empty() {
        out.push(b'?');
        out.extend_from_slice(query);
        return;
    }
    let mut mark = b'?';
    for pair in query.split(|&byte| byte == b'&') {
        let key = pair.split(|&byte| byte == b'=').next().unwrap_or(b"");
        if !secrets.iter().any(|secret| decoded_equals(key, secret.as_bytes())) {
            out.push(mark);
            out.extend_from_slice(pair);
            mark = b'&';
        }
    }
}

fn balance_hash(caller: &Identified<'_, '_, '_>, request: &Request<'_>) -> u64 {
    let of_client = || match caller.routed.client {
        IpAddr::V4(address) => fold_hash::hash(4, &address.octets()),
        IpAddr::V6(address) => fold_hash::hash(6, &address.octets()),
    };
    let of = |found: Once<'_>| match found {
        Once::One(value) => fold_hash::hash(1, value),
        Once::Absent | Once::Repeated => of_client(),
    };
    match &caller.routed.route.balance_by {
        None => 0,
        Some(BalanceBy::Client) => of_client(),
        Some(BalanceBy::Caller) => {
            caller.app.map_or_else(of_client, |entry| fold_hash::hash(2, &entry.app.uid.0.to_le_bytes()))
        }
        Some(BalanceBy::Field(name)) => of(request.field(name)),
        Some(BalanceBy::Cookie(name)) => of(request.cookie(name)),
    }
}

/// What templates can say about a call.
struct CallFacts<'f> {
    caller: &'f Identified<'f, 'f, 'f>,
    request_id: &'f RequestId,
    path: &'f [u8],
}

impl Facts for CallFacts<'_> {
    fn write(&self, fact: Fact, out: &mut Vec<u8>) -> bool {
        let text = |text: &str, out: &mut Vec<u8>| {
            out.extend_from_slice(text.as_bytes());
            !text.is_empty()
        };
        let uid = |uid: Option<Uid>, out: &mut Vec<u8>| {
            use std::io::Write;
            uid.is_some_and(|uid| write!(out, "{:016x}", uid.0).is_ok())
        };
        match fact {
            Fact::AppName => self.caller.app.is_some_and(|entry| text(&entry.app.name, out)),
            Fact::AppId => uid(self.caller.app.map(|entry| entry.app.uid), out),
            Fact::CredentialId => uid(self.caller.credential.map(|entry| entry.credential.uid), out),
            Fact::Subject => text(self.caller.subject, out),
            Fact::Scopes => {
                if let Some(token) = self.caller.token {
                    return text(&token.scopes, out);
                }
                for (at, scope) in self.caller.own_scopes().iter().enumerate() {
                    out.extend_from_slice(if at > 0 { b" " } else { b"" });
                    out.extend_from_slice(scope.as_bytes());
                }
                !self.caller.own_scopes().is_empty()
            }
            Fact::ClientIp => {
                client::write_address(*self.caller.routed.client, out);
                true
            }
            Fact::RequestId => {
                out.extend_from_slice(self.request_id.as_bytes());
                true
            }
        }
    }

    fn capture(&self, index: u8) -> Option<&[u8]> {
        let range = self.caller.routed.found.captures.as_slice().get(usize::from(index))?;
        self.path.get(usize::from(range.start)..usize::from(range.end))
    }
}

// === small things ===

fn field_line(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Problem documents bring their own.
fn request_id_line(plan: &mut CallPlan) {
    plan.request_id.write_line(&mut plan.response_fields);
}

#[cold]
fn refuse(plan: &mut CallPlan, stage: Stage, code: Code, routed: Option<&Routed<'_, '_>>) -> Answer {
    plan.stages.set(stage, Outcome::Refused, routed.map_or(Id(0), |routed| routed.route.id));
    Answer { code, stage, route: routed.map(|routed| routed.found.route), limit: None }
}

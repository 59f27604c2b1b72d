//! Tokens and money of a call: the second step of its limits, when the body has been read.
//!
//! The chain decides about a head, and then neither the model nor the cost of the call is known. It leaves the limits of
//! tokens and money of the caller and the route in the call's plan; here the limits of the model and of the provider key
//! join them, and each attempt reserves at all of them what it may use. What it did use is settled by
//! [`penstock_limits::Shard::settle_attempt`], for which the plan's permits are enough.

use crate::chain::{Gate, code_of, write_limit_fields, write_retry_after};
use crate::limits::{BoundLimit, BoundLimits, Counted, KeySecret, key_of_model};
use crate::plan::{Answer, CallPlan, LimitAnswer, Outcome, Stage};
use crate::router::{FieldName, FieldSource, Once};
use crate::snapshot::{RouteRule, Snapshot};
use crate::spec::{Id, Reserve, Uid};
use arrayvec::ArrayVec;
use penstock_http::Code;
use penstock_limits::{
    APPLIED_MAX, Admitted, Applied, Key, Limit, Now, Refusal, RefusalKind, Spend, Usage, Verdict,
};
use std::sync::Arc;

/// A limit of tokens or money that a call is counted by, kept from the head until the call's end.
#[derive(Clone, Debug)]
pub struct SpendLimit {
    /// Dictionary id, for records.
    pub id: Id,
    /// The handle.
    pub handle: Arc<Limit>,
    /// How much is reserved.
    pub reserve: Reserve,
    /// The key but for the model.
    key: Key,
    by_model: bool,
}

impl SpendLimit {
    pub(crate) fn new<F: FieldSource>(
        limit: &BoundLimit,
        secret: &KeySecret,
        within: Option<Uid>,
        counted: &Counted<'_, F>,
    ) -> Self {
        Self {
            id: limit.id,
            handle: Arc::clone(&limit.handle),
            reserve: limit.reserve,
            key: limit.key(secret, within, counted),
            by_model: limit.is_by_model(),
        }
    }

    fn key(&self, secret: &KeySecret, model: Uid) -> Key {
        if self.by_model { key_of_model(secret, self.key, model) } else { self.key }
    }
}

/// One attempt of a call: where it goes and what it may use.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'t> {
    /// Its number within the call: what it is settled by.
    pub number: u8,
    /// Index of the call's route in the snapshot.
    pub route: u32,
    /// Stable identity of the model that was asked for: what `by: model` counts by.
    pub model: Uid,
    /// Limits of the model and of the provider key.
    pub target: [&'t BoundLimits; 2],
    /// What it will probably use.
    pub estimate: Spend,
    /// What it cannot use more than; none if that cannot be told.
    pub bound: Option<Spend>,
}

/// One limit that applies to an attempt.
#[derive(Clone, Copy, Debug)]
struct Owed<'l> {
    id: Id,
    limit: &'l Limit,
    reserve: Reserve,
    key: Key,
}

/// Everything that applies, at most [`APPLIED_MAX`].
type Owing<'l> = ArrayVec<Owed<'l>, APPLIED_MAX>;

/// Fields of a head that is no longer there.
struct NoFields;

impl FieldSource for NoFields {
    fn once(&self, _: &FieldName) -> Once<'_> {
        Once::Absent
    }
}

impl Gate {
    /// Reserves what an attempt may use at every limit of tokens and money that applies to it: those that the chain left
    /// in `plan` (tenant, team, service, version, route, app, credential, plan) and those of its target (model, provider
    /// key). All agree, or nothing is taken.
    ///
    /// If the route says so, the call's answer tells how the caller stands with the tightest of them.
    ///
    /// # Errors
    /// The answer, with its lines in [`CallPlan::response_fields`]: 429 `budget_exhausted`, `rate_limited` or
    /// `quota_exhausted`, 400 `exceeds_limit` if the attempt is larger than a whole limit, 400 `unbounded_cost` if a
    /// limit wants a bound and there is none, 503 `limits_unavailable`.
    pub fn reserve(
        &mut self,
        now: Now,
        snapshot: &Snapshot,
        attempt: &Attempt<'_>,
        plan: &mut CallPlan,
    ) -> Result<Admitted, Answer> {
        // Taken out so that what is borrowed from it does not hold the plan.
        let held = std::mem::take(&mut plan.spend);
        let reserved = snapshot
            .route(attempt.route)
            .and_then(|route| Some((route, self.owing(route, attempt, &held, plan)?)))
            .ok_or_else(|| refuse(attempt, plan, Code::LimitsUnavailable, Id(0)))
            .and_then(|(route, owing)| self.reserve_at(now, route, attempt, &owing, plan));
        plan.spend = held;
        reserved
    }

    fn reserve_at(
        &mut self,
        now: Now,
        route: &RouteRule,
        attempt: &Attempt<'_>,
        owing: &Owing<'_>,
        plan: &mut CallPlan,
    ) -> Result<Admitted, Answer> {
        let mut applied = ArrayVec::<Applied<'_>, APPLIED_MAX>::new();
        for owed in owing {
            let spend = match owed.reserve {
                Reserve::Estimate => attempt.estimate,
                Reserve::Bound => {
                    attempt.bound.ok_or_else(|| refuse(attempt, plan, Code::UnboundedCost, owed.id))?
                }
            };
            applied.push(Applied { limit: owed.limit, key: owed.key, amount: spend.of(owed.limit.kind()) });
        }
        match self.shard.reserve(now, attempt.number, &applied, &mut plan.permits) {
            Verdict::Admitted(admitted) => {
                let tightest = admitted.tightest.as_ref();
                let owed = tightest.and_then(|standing| owing.get(usize::from(standing.index)));
                if let (Some(owed), Some(standing)) = (owed, tightest) {
                    plan.stages.set(Stage::Limit, Outcome::Allowed, owed.id);
                    if route.ratelimit_headers && !plan.spend_told {
                        plan.spend_told = true;
                        write_limit_fields(owed.limit, standing, all(owing), &mut plan.response_fields);
                    }
                }
                Ok(admitted)
            }
            Verdict::Refused(refusal) => Err(refuse_by(attempt, owing, refusal, plan)),
        }
    }

    /// How the caller stands with each limit of tokens and money that the chain left in `plan`: what a caller is told of
    /// its own budget. Those that are counted by model are left out without one. Takes nothing.
    pub fn spent<'p>(
        &'p self,
        now: Now,
        model: Option<Uid>,
        plan: &'p CallPlan,
    ) -> impl Iterator<Item = (&'p SpendLimit, Usage)> {
        plan.spend.iter().filter_map(move |held| {
            let key = if held.by_model { held.key(&self.secret, model?) } else { held.key };
            Some((held, self.shard.usage(now, &held.handle, key)))
        })
    }

    /// The limits of tokens and money that apply to a call of this plan's caller, on this route, to this target; none if
    /// they are more than [`APPLIED_MAX`].
    fn owing<'l>(
        &self,
        route: &RouteRule,
        attempt: &Attempt<'l>,
        held: &'l [SpendLimit],
        plan: &CallPlan,
    ) -> Option<Owing<'l>> {
        let of_target = attempt.target.into_iter().flat_map(|limits| &limits.spend);
        if held.len() + of_target.clone().count() > APPLIED_MAX {
            return None;
        }
        let of_caller = held.iter().map(|held| Owed {
            id: held.id,
            limit: &held.handle,
            reserve: held.reserve,
            key: held.key(&self.secret, attempt.model),
        });
        let caller = &plan.caller;
        let counted = Counted {
            app: caller.app.and_then(|app| self.callers.app_uid(app)),
            credential: caller.credential.and_then(|credential| self.callers.credential_uid(credential)),
            subject: &caller.subject,
            tenant: route.tenant_uid,
            service: route.service_uid,
            route: route.uid,
            client: &caller.address,
            fields: &NoFields,
        };
        let of_target = of_target.map(|limit| {
            let held = SpendLimit::new(limit, &self.secret, None, &counted);
            let key = held.key(&self.secret, attempt.model);
            Owed { id: limit.id, limit: &limit.handle, reserve: limit.reserve, key }
        });
        Some(of_caller.chain(of_target).collect())
    }
}

fn all<'o>(owing: &'o Owing<'_>) -> impl Iterator<Item = &'o Limit> {
    owing.iter().map(|owed| owed.limit)
}

#[cold]
fn refuse_by(attempt: &Attempt<'_>, owing: &Owing<'_>, refusal: Refusal, plan: &mut CallPlan) -> Answer {
    write_retry_after(&refusal, &mut plan.response_fields);
    let code = code_of(refusal.kind);
    let Some(owed) = owing.get(usize::from(refusal.index)) else {
        return refuse(attempt, plan, code, Id(0));
    };
    if refusal.kind != RefusalKind::Unavailable {
        write_limit_fields(owed.limit, &refusal.standing(), all(owing), &mut plan.response_fields);
    }
    let limit = Some(LimitAnswer { id: owed.id, kind: owed.limit.kind(), refusal });
    Answer { limit, ..refuse(attempt, plan, code, owed.id) }
}

#[cold]
fn refuse(attempt: &Attempt<'_>, plan: &mut CallPlan, code: Code, rule: Id) -> Answer {
    plan.stages.set(Stage::Limit, Outcome::Refused, rule);
    Answer { code, stage: Stage::Limit, route: Some(attempt.route), limit: None }
}

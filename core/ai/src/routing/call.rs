//! The life of one call: attempts, pauses, fallbacks, the end.
//!
//! Knows: what happened to the call, and what its model's configuration says of that. Must not: do what it decides.

use std::cell::Cell;
use std::sync::atomic::Ordering::Relaxed;

use penstock_balance::Random;

use super::end::{Alert, Cause, End, Report, Resting};
use super::pick::{Blocked, Choice, Leave, Picked, Trials, Tried, home};
use super::plan::{Need, Plan, PoolKey, Provider, Resolved, Route, Strictness, Target};
use super::registry::{DeploymentId, Lane};
use super::room::Share;
use super::spec::*;
use crate::provider::{Headroom, LimitScope};

const MS_NS: u64 = 1_000_000;

/// What to do next.
#[derive(Debug)]
#[must_use]
pub enum Step<'a> {
    /// Make an attempt, and tell its end by [`Call::ended`].
    Attempt(Attempt<'a>),
    /// Do nothing until this time, on the callers' clock, and ask again.
    WaitUntil(u64),
    /// It is over.
    GiveUp(GiveUp),
}

/// The end of a call, as far as routing goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GiveUp {
    /// Why.
    pub why: Why,
    /// How the last attempt ended; none if there was none.
    pub last: Option<End>,
    /// Nanoseconds after which the client may come back; none where nothing says so.
    pub retry_after_ns: Option<u64>,
}

/// Why a call is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It was answered, wholly or in part, or the client is gone.
    Done,
    /// The last attempt's end is worth no further try, or there is nothing left to try.
    Failed,
    /// The call had all its attempts.
    Attempts,
    /// Too many retries of the model are under way.
    Budget,
    /// The call's total time is over.
    Time,
    /// Nothing could be asked: all that could be rest.
    Resting(Cause),
    /// What the call belongs to is not among the model's targets and keys any more.
    HomeLost,
}

/// What became of a call's affinity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AffinityKept {
    /// It has none.
    None,
    /// The attempt goes where the call belongs.
    Kept,
    /// The attempt goes elsewhere: what only the other place can read must be left out.
    Lost,
}

/// An attempt under way. Give it to [`Call::ended`]; one that is dropped gives back its place, nothing learned, and its call
/// counts as one whose client is gone.
#[derive(Debug)]
#[must_use]
pub struct Attempt<'a> {
    /// The model as configured that the attempt is for: the one that was asked for, or a fallback.
    pub route: &'a str,
    /// The provider's name.
    pub provider: &'a str,
    /// The provider.
    pub provider_uid: ProviderUid,
    /// The model there.
    pub model: &'a str,
    /// Both together.
    pub deployment: DeploymentId,
    /// The key.
    pub key: KeyUid,
    /// Its name.
    pub key_name: &'a str,
    /// The key's own limits, to be asked before anything is sent; if they refuse, the attempt ends with [`End::OwnLimit`].
    pub limits: Option<LimitsId>,
    /// Nanoseconds until the first token at most.
    pub first_token_ns: u64,
    /// Nanoseconds between two pieces of the answer at most.
    pub idle_ns: u64,
    /// When it must be over, on the callers' clock.
    pub deadline_ns: u64,
    /// Whether it goes where the call belongs.
    pub affinity: AffinityKept,
    /// Counts the attempts of the call, from 1.
    pub number: u8,
    /// Fallbacks up to here.
    pub fallbacks: u8,
    place: Place<'a>,
}

impl Attempt<'_> {
    /// Notes the first token, as soon as it came: long answers must not keep others from learning how soon they begin.
    pub fn first_token(&self, now_ns: u64) {
        self.place.first_token(now_ns, now_ns.saturating_sub(self.place.began_ns));
    }

    /// Notes what the answer's headers say of limits, as soon as they came.
    pub fn headroom(&self, now_ns: u64, told: &Headroom) {
        self.place.lane.room.note(now_ns, told);
    }
}

/// The place that an attempt has among the busy ones, and those that it tries for all others.
#[derive(Debug)]
struct Place<'a> {
    number: usize,
    target: &'a Target,
    provider: &'a Provider,
    key: &'a PoolKey,
    lane: &'a Lane,
    trials: Trials,
    began_ns: u64,
    is_first_token_noted: Cell<bool>,
}

impl Place<'_> {
    fn first_token(&self, now_ns: u64, latency_ns: u64) {
        if !self.is_first_token_noted.replace(true) {
            self.target.deployment.latency.note(now_ns, latency_ns);
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.target.deployment.busy.fetch_sub(1, Relaxed);
        self.target.deployment.rest.leave(self.trials.deployment);
        self.key.state.rest.leave(self.trials.key);
        self.lane.rest.leave(self.trials.lane);
    }
}

#[derive(Debug, Clone, Copy)]
struct Failed {
    end: End,
    cause: Cause,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Ready,
    Running,
    Over(GiveUp),
}

/// One call's way. Dropping it gives back its place in the retry budget.
#[derive(Debug)]
pub struct Call<'a> {
    plan: &'a Plan,
    route: &'a Route,
    unlisted: Option<&'a str>,
    need: Need,
    /// A context of so many tokens was too small.
    beyond: u64,
    home: Option<(usize, usize)>,
    deadline_ns: u64,
    not_before_ns: u64,
    tried: Tried,
    /// Attempts on this route, and in all.
    here: u8,
    attempts: u8,
    /// Pauses on this route.
    pauses: u8,
    fallbacks: u8,
    /// Attempts that ended before anything was sent.
    unsent: u8,
    /// It has a place in the route's retry budget.
    retried: bool,
    /// The failure on this route that is to be answered.
    failed: Option<Failed>,
    /// A pause was made: what was tried may be tried again.
    paused: bool,
    last: Option<End>,
    state: State,
    is_answering: bool,
}

impl Plan {
    /// Begins a call of a name.
    pub fn begin<'a>(&'a self, resolved: Resolved<'a>, need: Need, now_ns: u64) -> Call<'a> {
        let route = resolved.route;
        route.calls.enter();
        let home = need.affinity.and_then(|affinity| home(self, route, &affinity));
        Call {
            plan: self,
            route,
            unlisted: resolved.unlisted,
            need,
            beyond: 0,
            home,
            deadline_ns: now_ns.saturating_add(route.timeouts.total_ns),
            not_before_ns: 0,
            tried: Tried::default(),
            here: 0,
            attempts: 0,
            pauses: 0,
            fallbacks: 0,
            unsent: 0,
            retried: false,
            failed: None,
            paused: false,
            last: None,
            state: State::Ready,
            is_answering: false,
        }
    }
}

impl<'a> Call<'a> {
    /// What to do now. An attempt that was handed out before and whose end was not told counts as one that was dropped: the
    /// client is gone.
    pub fn next(&mut self, now_ns: u64, random: &mut Random) -> Step<'a> {
        loop {
            match self.state {
                State::Over(give_up) => return Step::GiveUp(give_up),
                State::Running => {
                    self.last = Some(End::ClientGone);
                    self.over(Why::Done, None);
                    continue;
                }
                State::Ready => {}
            }
            if now_ns >= self.deadline_ns {
                self.over(Why::Time, None);
                continue;
            }
            if now_ns < self.not_before_ns {
                return Step::WaitUntil(self.not_before_ns);
            }
            if self.must() && self.home.is_none() {
                self.over(Why::HomeLost, None);
                continue;
            }
            if self.attempts >= CALL_ATTEMPTS_MAX {
                self.over(Why::Attempts, None);
                continue;
            }
            let again = self.failed.filter(|_| !self.paused);
            if let Some(failed) = again
                && let Err(why) = self.may_retry(failed.cause)
            {
                self.fall_back_or(failed.cause, why, now_ns);
                continue;
            }
            let leave = match again {
                None => Leave::Nothing,
                Some(failed) if failed.end.is_of_the_key() => Leave::TriedLanes,
                Some(_) => Leave::TriedTargets,
            };
            // After a pause anything may be tried again, but what was not tried yet comes first.
            let fresh = self.paused.then(|| self.choice(Leave::TriedLanes, now_ns).pick(random)).flatten();
            let picked = fresh.or_else(|| self.choice(leave, now_ns).pick(random));
            match (picked, again) {
                (Some(picked), _) => return Step::Attempt(self.start(picked, now_ns)),
                (None, Some(failed)) => self.pause(failed.cause, now_ns, random),
                (None, None) => self.all_rest(now_ns, random),
            }
        }
    }

    /// Notes that the client has a part of the answer: from now on nothing is tried again.
    pub fn is_answering(&mut self) {
        self.is_answering = true;
    }

    /// Attempts so far, those that were not sent left out.
    pub fn attempts(&self) -> u8 {
        self.attempts
    }

    /// Notes how an attempt ended. Gives what people should know of it.
    pub fn ended(&mut self, now_ns: u64, attempt: Attempt<'a>, report: &Report) -> Option<Alert> {
        let end = report.end;
        let place = attempt.place;
        let (number, context) = (place.number, place.target.context_tokens);
        let alert = self.learn(now_ns, place, report);
        self.last = Some(end);
        self.failed = None;
        self.paused = false;
        if self.is_answering || !matches!(self.state, State::Running) {
            self.over(Why::Done, None);
            return alert;
        }
        self.state = State::Ready;
        if end == End::OwnLimit && usize::from(self.unsent) < KEYS_MAX {
            // The key rests, so that the next choice is another, or the call waits for it as for any that rests.
            self.unsent += 1;
            self.here -= 1;
            self.attempts -= 1;
            return alert;
        }
        if end.is_of_the_request() {
            self.tried.never_again(number);
        }
        if end == End::ContextWindow {
            self.beyond = self.beyond.max(context.unwrap_or(0));
        }
        match (end, end.cause(self.route.is_direct)) {
            (_, Some(cause)) => self.failed = Some(Failed { end, cause }),
            (End::TotalTimeout, None) => self.over(Why::Time, None),
            (End::Answered | End::ClientGone, None) => self.over(Why::Done, None),
            (_, None) => self.over(Why::Failed, None),
        }
        alert
    }

    fn over(&mut self, why: Why, retry_after_ns: Option<u64>) {
        self.state = State::Over(GiveUp { why, last: self.last, retry_after_ns });
    }

    fn must(&self) -> bool {
        self.need.affinity.is_some_and(|affinity| affinity.strictness == Strictness::Must)
    }

    fn choice(&self, leave: Leave, now_ns: u64) -> Choice<'_> {
        Choice {
            plan: self.plan,
            route: self.route,
            need: &self.need,
            beyond: self.beyond,
            tried: &self.tried,
            leave,
            home: self.home,
            only_home: self.must(),
            now_ns,
        }
    }

    /// Whether the route lets a call try again that failed so.
    fn may_retry(&mut self, cause: Cause) -> Result<(), Why> {
        let retries = &self.route.retries;
        if !retries.on.has(cause) {
            return Err(Why::Failed);
        }
        if self.here >= retries.attempts {
            return Err(Why::Attempts);
        }
        if self.take_retry() { Ok(()) } else { Err(Why::Budget) }
    }

    fn take_retry(&mut self) -> bool {
        self.retried = self.retried || self.route.calls.take_retry(&self.route.budget);
        self.retried
    }

    fn has_fallback(&self, cause: Cause) -> bool {
        !self.must() && self.route.fallbacks.iter().any(|(on, _)| on.has(cause))
    }

    /// Goes to the model that is there for this cause, or ends.
    fn fall_back_or(&mut self, cause: Cause, why: Why, now_ns: u64) {
        let found = self.route.fallbacks.iter().find(|(on, _)| on.has(cause)).filter(|_| !self.must());
        let Some((_, number)) = found else {
            let blocked = self.choice(Leave::Nothing, now_ns).blocked();
            let rest_ns = blocked.map(|blocked| blocked.until_ns.saturating_sub(now_ns)).filter(|ns| *ns > 0);
            self.over(why, rest_ns);
            return;
        };
        self.route.calls.leave(self.retried);
        self.route = &self.plan.routes[*number as usize];
        self.route.calls.enter();
        self.unlisted = None;
        self.home = self.need.affinity.and_then(|affinity| home(self.plan, self.route, &affinity));
        self.tried = Tried::default();
        (self.here, self.pauses, self.retried, self.paused) = (0, 0, false, false);
        self.failed = None;
        self.not_before_ns = 0;
        self.fallbacks += 1;
    }

    /// Nothing that is untried can be called: pauses before it tries again what it tried, or goes on elsewhere.
    fn pause(&mut self, cause: Cause, now_ns: u64, random: &mut Random) {
        match self.choice(Leave::Nothing, now_ns).blocked() {
            None => self.fall_back_or(cause, Why::Failed, now_ns),
            Some(blocked) => self.wait(blocked, cause, Why::Failed, now_ns, random),
        }
    }

    /// Nothing can be called at all: what a call does that has not been tried yet, or that paused and finds nothing still.
    fn all_rest(&mut self, now_ns: u64, random: &mut Random) {
        let Some(blocked) = self.choice(Leave::Nothing, now_ns).blocked() else {
            let cause = self.failed.map_or(Cause::ServerError, |failed| failed.cause);
            return self.fall_back_or(cause, Why::Failed, now_ns);
        };
        let why = Why::Resting(blocked.cause);
        // Only a rate limit is worth a wait: what failed is left alone, and its callers know at once.
        let retries = &self.route.retries;
        let worth =
            blocked.cause == Cause::RateLimit && retries.on.has(Cause::RateLimit) && retries.attempts > 1;
        if !worth || self.has_fallback(blocked.cause) || !self.take_retry() {
            return self.fall_back_or(blocked.cause, why, now_ns);
        }
        self.wait(blocked, blocked.cause, why, now_ns, random);
    }

    /// Pauses until something can be called, and some time more that chance decides; or goes on elsewhere, if that is too
    /// long.
    fn wait(&mut self, blocked: Blocked, cause: Cause, why: Why, now_ns: u64, random: &mut Random) {
        let doubled = BACKOFF_BASE_NS.saturating_mul(1 << self.here.saturating_sub(1).min(20));
        let until_ns = blocked.until_ns.max(now_ns);
        let at_ns = until_ns.saturating_add(1 + random.below(doubled.min(BACKOFF_NS_MAX)));
        let rests = until_ns > now_ns;
        let longest_ns = if self.has_fallback(cause) { BACKOFF_NS_MAX } else { RETRY_AFTER_WAIT_NS_MAX };
        let too_long = at_ns - now_ns > longest_ns || at_ns >= self.deadline_ns;
        let unwanted = rests && !self.route.retries.honour_retry_after;
        if too_long || unwanted || self.pauses >= self.route.retries.attempts {
            return self.fall_back_or(cause, why, now_ns);
        }
        self.pauses += 1;
        self.paused = true;
        self.not_before_ns = at_ns;
    }

    fn start(&mut self, picked: Picked, now_ns: u64) -> Attempt<'a> {
        let route = self.route;
        let target = &route.targets[picked.target];
        let provider = self.plan.provider(target);
        let key = &provider.keys[picked.key];
        let lane: &Lane = &target.lanes[picked.key];
        target.deployment.busy.fetch_add(1, Relaxed);
        let (input_tokens, output_tokens) = (self.need.input_tokens, self.need.output_tokens);
        if route.strategy == Strategy::Headroom {
            lane.room.take(Share { input_tokens, output_tokens });
        }
        self.tried.add(picked.target, picked.key);
        self.here += 1;
        self.attempts += 1;
        self.failed = None;
        self.paused = false;
        self.state = State::Running;
        Attempt {
            route: &route.name,
            provider: &provider.name,
            provider_uid: provider.uid,
            model: self.unlisted.unwrap_or(&target.model),
            deployment: target.deployment.id,
            key: key.uid,
            key_name: &key.name,
            limits: key.limits,
            first_token_ns: route.timeouts.first_token_ns.min(self.deadline_ns - now_ns),
            idle_ns: route.timeouts.idle_ns,
            deadline_ns: self.deadline_ns,
            affinity: match (self.need.affinity, picked.at_home) {
                (None, _) => AffinityKept::None,
                (Some(_), true) => AffinityKept::Kept,
                (Some(_), false) => AffinityKept::Lost,
            },
            number: self.attempts,
            fallbacks: self.fallbacks,
            place: Place {
                number: picked.target,
                target,
                provider,
                key,
                lane,
                trials: picked.trials,
                began_ns: now_ns,
                is_first_token_noted: Cell::new(false),
            },
        }
    }

    /// Lets all others know what the end of an attempt says of its deployment and key.
    fn learn(&self, now_ns: u64, mut place: Place<'a>, report: &Report) -> Option<Alert> {
        let end = report.end;
        let trials = std::mem::take(&mut place.trials);
        let (deployment, key, lane) = (&place.target.deployment, place.key, place.lane);
        if let Some(headroom) = &report.headroom {
            lane.room.note(now_ns, headroom);
        }
        match report.first_token_ns {
            Some(latency_ns) => place.first_token(now_ns, latency_ns),
            None if end == End::FirstTokenTimeout => {
                place.first_token(now_ns, now_ns.saturating_sub(place.began_ns));
            }
            None => {}
        }
        let alert = |what, until_ns| Alert { what, end, until_ns };
        let at = Resting::KeyAt(key.uid, deployment.id);
        let told_ns = told_rest_ns(report);
        let refused_ns = now_ns.saturating_add(REFUSED_REST_NS);
        let cause = end.cause(false).unwrap_or(Cause::ServerError);

        let mut told = None;
        match end.works(self.route.is_direct) {
            Some(true) => {
                deployment.rest.succeeded(now_ns, trials.deployment);
                key.state.rest.succeeded(now_ns, trials.key);
                lane.rest.succeeded(now_ns, trials.lane);
            }
            Some(false) => {
                let cooldown = &self.route.cooldown;
                let lane_until = lane.rest.failed(now_ns, trials.lane, cause, cooldown);
                // Failures of one key among several may be the key's own.
                let witness = (place.provider.keys.len() > 1).then_some(key.uid.0);
                let until =
                    deployment.rest.failed_before(now_ns, trials.deployment, cause, cooldown, witness);
                key.state.rest.leave(trials.key);
                told = lane_until.map(|until_ns| alert(at, until_ns));
                told = until.map(|until_ns| alert(Resting::Deployment(deployment.id), until_ns)).or(told);
                if let Some(ns) = told_ns.filter(|_| end == End::ServerError) {
                    let until_ns = now_ns.saturating_add(ns.min(RETRY_AFTER_WAIT_NS_MAX));
                    deployment.rest.rest(now_ns, false, until_ns, cause);
                }
            }
            None => {
                deployment.rest.leave(trials.deployment);
                let (of_key, of_lane) = (&key.state.rest, &lane.rest);
                let rests_key = matches!(end, End::Unauthenticated | End::NoQuota);
                // A name that nobody listed shares its state with others: it must not take the key from them.
                let rests_lane = end == End::Forbidden && self.unlisted.is_none();
                if rests_key && of_key.rest(now_ns, trials.key, refused_ns, cause) {
                    told = Some(alert(Resting::Key(key.uid), refused_ns));
                }
                if rests_lane && of_lane.rest(now_ns, trials.lane, refused_ns, cause) {
                    told = Some(alert(at, refused_ns));
                }
                if !rests_key {
                    of_key.leave(trials.key);
                }
                if !rests_lane {
                    of_lane.leave(trials.lane);
                }
            }
        }
        let until_ns =
            now_ns.saturating_add(told_ns.unwrap_or(RATE_LIMIT_REST_NS).clamp(MS_NS, TOLD_REST_NS_MAX));
        match (end, place.provider.scope) {
            (End::RateLimit, LimitScope::Key) | (End::OwnLimit, _) => {
                key.state.rest.rest(now_ns, false, until_ns, Cause::RateLimit);
            }
            (End::RateLimit, LimitScope::Model) => {
                lane.rest.rest(now_ns, false, until_ns, Cause::RateLimit);
            }
            _ => {}
        }
        told
    }
}

/// How long a provider wants to be left alone: as it said, or until a limit is whole again of which nothing is left.
fn told_rest_ns(report: &Report) -> Option<u64> {
    let said_ms = report.retry_after_ms;
    let empty_ms = report.headroom.and_then(|told| {
        let windows = [told.requests, told.tokens, told.input_tokens, told.output_tokens];
        windows.iter().filter(|window| window.remaining == Some(0)).filter_map(|window| window.reset_ms).max()
    });
    said_ms.or(empty_ms).map(|ms| ms.saturating_mul(MS_NS))
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.route.calls.leave(self.retried);
    }
}

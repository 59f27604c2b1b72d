//! Limits: one thing counted, over a time that goes with it, by an algorithm that can; names of their own.

use std::collections::HashMap;

use super::Check;
use crate::grammar::limit::{Algorithm, By, Limit, Per};
use crate::place::{At, Pos};
use crate::problem::quote;
use crate::read::Word;

/// Most limits of one owner.
pub const LIMITS_PER_OWNER_MAX: usize = 32;

/// What a limit stands on, as far as it matters to what it can count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// Those who call, of routes of any kind.
    Caller,
    /// What is served from upstreams, where no model is called.
    Upstream,
}

/// What only calls of models use.
const SPENT: &[&str] = &["tokens", "input_tokens", "output_tokens", "usd"];

/// The things a limit may count, in the order of the grammar, with the place where each is written.
fn counted(limit: &Limit) -> Vec<(&'static str, Pos)> {
    [
        ("requests", limit.requests.as_ref().map(|at| at.pos)),
        ("tokens", limit.tokens.as_ref().map(|at| at.pos)),
        ("input_tokens", limit.input_tokens.as_ref().map(|at| at.pos)),
        ("output_tokens", limit.output_tokens.as_ref().map(|at| at.pos)),
        ("usd", limit.usd.as_ref().map(|at| at.pos)),
        ("bytes", limit.bytes.as_ref().map(|at| at.pos)),
        ("concurrent", limit.concurrent.as_ref().map(|at| at.pos)),
    ]
    .into_iter()
    .filter_map(|(word, pos)| pos.map(|pos| (word, pos)))
    .collect()
}

/// The written name, else kind/by/per with what is not written left out.
pub(crate) fn limit_name(limit: &Limit) -> String {
    if let Some(name) = &limit.name {
        return name.value.0.clone();
    }
    let kind = counted(limit).first().map_or("?", |(word, _)| word);
    let by = limit.by.as_ref().map(|by| By::words(by));
    let per = limit.per.as_ref().map(|per| per.value.show());
    [Some(kind.to_owned()), by, per].into_iter().flatten().collect::<Vec<_>>().join("/")
}

impl Check<'_> {
    pub(super) fn all_limits(&mut self) {
        let file = self.file;
        for item in &file.tenants.value {
            self.limits(&item.limits, Owner::Caller);
        }
        for item in &file.teams.value {
            self.limits(&item.limits, Owner::Caller);
        }
        for item in &file.plans.value {
            self.limits(&item.limits, Owner::Caller);
        }
        for item in &file.apps.value {
            self.limits(&item.limits, Owner::Caller);
            for credential in &item.credentials.value {
                self.limits(&credential.limits, Owner::Caller);
            }
        }
        for item in &file.services.value {
            let owner = if item.ai.is_some() { Owner::Caller } else { Owner::Upstream };
            self.limits(&item.limits, owner);
            if let Some(ai) = &item.ai {
                self.limits(&ai.limits, Owner::Caller);
            }
            for version in &item.versions.value {
                self.limits(&version.limits, Owner::Upstream);
                for route in &version.routes.value {
                    self.limits(&route.limits, Owner::Upstream);
                }
            }
            for route in &item.routes.value {
                self.limits(&route.limits, Owner::Upstream);
            }
        }
    }

    fn limits(&mut self, limits: &At<Vec<At<Limit>>>, owner: Owner) {
        if limits.value.len() > LIMITS_PER_OWNER_MAX {
            let message = format!("{} limits on one owner", limits.value.len());
            self.add(limits.pos, message, format!("at most {LIMITS_PER_OWNER_MAX}"));
        }
        let mut names: HashMap<String, Pos> = HashMap::new();
        for limit in &limits.value {
            if !self.is_whole(limit.place) {
                continue;
            }
            self.limit(limit, owner);
            let pos = limit.name.as_ref().map_or(limit.pos, |name| name.pos);
            let name = limit_name(limit);
            if let Some(first) = names.get(&name) {
                let at = self.sources.show(*first);
                self.add(
                    pos,
                    format!("limit {} stands twice on one owner", quote(&name)),
                    format!("the other is at {at}; give each a `name` of its own"),
                );
            } else {
                names.insert(name, pos);
            }
        }
    }

    fn limit(&mut self, limit: &At<Limit>, owner: Owner) {
        let counted = counted(limit);
        let (kind, kind_pos) = match counted.as_slice() {
            [one] => *one,
            [] => {
                self.add(
                    limit.pos,
                    "the limit counts nothing",
                    "add requests, tokens, input_tokens, output_tokens, usd, bytes or concurrent",
                );
                return;
            }
            [_, (word, pos), ..] => {
                let message = format!("a limit counts one thing; `{word}` is its second");
                self.add(*pos, message, "write one limit each");
                return;
            }
        };
        if kind == "concurrent" {
            self.concurrent(limit);
            return;
        }
        if owner == Owner::Upstream && SPENT.contains(&kind) {
            self.add(
                kind_pos,
                format!("`{kind}` would count nothing: what this serves goes to an upstream, not to a model"),
                "write requests, bytes or concurrent; tokens and usd count where models are called",
            );
        }
        let Some(per) = &limit.per else {
            self.add(kind_pos, format!("`{kind}` over what time?"), "add per: 1s, or per: day, month ...");
            return;
        };
        let calendar = !matches!(per.value, Per::Span(_));
        self.algorithm(limit, kind, calendar);
        if let (Some(zone), false) = (&limit.timezone, calendar) {
            self.add(zone.pos, "`timezone` goes with calendar windows", "per: hour, day or month");
        }
        if let (Some(direction), true) = (&limit.direction, kind != "bytes") {
            let message = format!("`direction` goes with `bytes`, not with `{kind}`");
            self.add(direction.pos, message, "leave it out");
        }
        if let (Some(reserve), true) = (&limit.reserve, matches!(kind, "requests" | "bytes")) {
            let message = format!("`reserve` goes with tokens and usd, not with `{kind}`");
            self.add(reserve.pos, message, "leave it out");
        }
    }

    fn algorithm(&mut self, limit: &At<Limit>, kind: &str, calendar: bool) {
        let gcra_kind = matches!(kind, "requests" | "bytes");
        if let Some(algorithm) = &limit.algorithm {
            let name = algorithm.value.show();
            match algorithm.value {
                Algorithm::Calendar if !calendar => self.add(
                    algorithm.pos,
                    "`calendar` goes with calendar windows",
                    "per: hour, day or month; or algorithm: fixed",
                ),
                Algorithm::Gcra | Algorithm::Fixed | Algorithm::Rolling if calendar => self.add(
                    algorithm.pos,
                    format!("`{name}` goes with a duration, not with a calendar window"),
                    "leave the algorithm out, or write per: 24h and its like",
                ),
                Algorithm::Gcra if !gcra_kind => self.add(
                    algorithm.pos,
                    format!("`gcra` counts requests and bytes, not `{kind}`"),
                    "write rolling or fixed",
                ),
                _ => {}
            }
        }
        let gcra = match &limit.algorithm {
            Some(algorithm) => algorithm.value == Algorithm::Gcra,
            None => gcra_kind && !calendar,
        };
        if let (Some(burst), false) = (&limit.burst, gcra) {
            self.add(
                burst.pos,
                "`burst` goes with algorithm gcra",
                "leave it out, or count requests over a duration",
            );
        }
    }

    fn concurrent(&mut self, limit: &At<Limit>) {
        let strangers = [
            ("per", limit.per.as_ref().map(|at| at.pos)),
            ("burst", limit.burst.as_ref().map(|at| at.pos)),
            ("algorithm", limit.algorithm.as_ref().map(|at| at.pos)),
            ("timezone", limit.timezone.as_ref().map(|at| at.pos)),
            ("direction", limit.direction.as_ref().map(|at| at.pos)),
            ("reserve", limit.reserve.as_ref().map(|at| at.pos)),
        ];
        for (word, pos) in strangers {
            if let Some(pos) = pos {
                let message = format!("`{word}` does not go with `concurrent`");
                self.add(pos, message, "it counts what is under way now: leave it out");
            }
        }
    }
}

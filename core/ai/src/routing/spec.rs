//! What routing is configured with: providers, their keys, models, and the bounds and defaults of all that.
//!
//! Knows: data. Must not: judge it beyond single numbers; `plan` sees how it fits together.

use penstock_balance::RetrySpec;

use super::end::{Cause, Causes};
use crate::catalogue::Price;

const SECOND_NS: u64 = 1_000_000_000;

/// Providers at most.
pub const PROVIDERS_MAX: usize = 1024;
/// Models at most, those of all tenants together.
pub const MODELS_MAX: usize = 65_536;
/// Targets of a model at most.
pub const TARGETS_MAX: usize = 64;
/// Keys of a provider at most.
pub const KEYS_MAX: usize = 64;
/// Fallbacks of a model at most: there is no more than one for a cause.
pub const FALLBACKS_MAX: usize = Cause::ALL.len();
/// Fallbacks after one another at most.
pub const FALLBACK_DEPTH_MAX: usize = 5;
/// Attempts on one model at most, the first included.
pub const ATTEMPTS_MAX: u8 = 10;
/// Attempts of one call at most, those on models that it fell back to included.
pub const CALL_ATTEMPTS_MAX: u8 = 16;
/// Longest time for anything that a model waits for.
pub const TIMEOUT_NS_MAX: u64 = 24 * 3600 * SECOND_NS;
/// Longest cooldown.
pub const COOLDOWN_NS_MAX: u64 = 24 * 3600 * SECOND_NS;
/// Longest pause of a call for a `Retry-After`; a longer one ends the call, or makes it fall back.
pub const RETRY_AFTER_WAIT_NS_MAX: u64 = 60 * SECOND_NS;
/// Longest rest of a key that a provider's word brings; after it the key is tried again.
pub const TOLD_REST_NS_MAX: u64 = 3600 * SECOND_NS;
/// Rest after a rate limit that came without a time.
pub const RATE_LIMIT_REST_NS: u64 = SECOND_NS;
/// Rest of a key that its provider does not accept, or that has no money left.
pub const REFUSED_REST_NS: u64 = 600 * SECOND_NS;
/// The pause before the n-th retry is drawn from between nothing and this, doubled n - 1 times (full jitter).
pub const BACKOFF_BASE_NS: u64 = SECOND_NS / 4;
/// What the pause before a retry is drawn from is never longer.
pub const BACKOFF_NS_MAX: u64 = 4 * SECOND_NS;
/// One call in so many goes to a target drawn by weight although it is not the fastest ([`Strategy::LowestLatency`]).
pub const EXPLORE_ONE_IN: u64 = 32;
/// Targets count as equally fast within this percentage of the fastest.
pub const LATENCY_BAND_PERCENT: u64 = 10;
/// A target may have this percentage of its share of the calls under way before a prefix goes elsewhere
/// ([`Strategy::PrefixHash`]).
pub const LOAD_BOUND_PERCENT: u64 = 125;
/// And this many calls in any case: with few calls, a share says little.
pub const LOAD_BOUND_MIN: u64 = 8;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);
    };
}

id! {
    /// Stable identity of a provider: state follows it over a reconfiguration.
    ProviderUid(u64)
}
id! {
    /// Stable identity of a key, over all providers.
    KeyUid(u64)
}
id! {
    /// Stable identity of a model.
    ModelUid(u64)
}
id! {
    /// A tenant.
    TenantId(u32)
}
id! {
    /// Names a key's own limits to whoever counts them; means nothing here.
    LimitsId(u32)
}

/// All that is configured.
#[derive(Debug, Clone, Default)]
pub struct Spec {
    /// Providers.
    pub providers: Vec<ProviderSpec>,
    /// Models.
    pub models: Vec<ModelSpec>,
}

/// An account at a provider.
#[derive(Debug, Clone)]
pub struct ProviderSpec {
    /// Identity.
    pub uid: ProviderUid,
    /// The name before the slash in `provider/model`; has none itself.
    pub name: String,
    /// Its kind, in the table of providers.
    pub kind: String,
    /// Its region, where its prices differ by region.
    pub region: Option<String>,
    /// Its keys, 1 to [`KEYS_MAX`]; a provider that asks for none has one that stands for that.
    pub keys: Vec<KeySpec>,
}

impl ProviderSpec {
    /// One without keys yet.
    pub fn new(uid: ProviderUid, name: &str, kind: &str) -> Self {
        Self { uid, name: name.to_owned(), kind: kind.to_owned(), region: None, keys: Vec::new() }
    }
}

/// A key of a provider. The key itself is none of routing's business.
#[derive(Debug, Clone)]
pub struct KeySpec {
    /// Identity.
    pub uid: KeyUid,
    /// Name, for records.
    pub name: String,
    /// Share of the calls against the other keys', from 1.
    pub weight: u16,
    /// Its own limits, where it has any.
    pub limits: Option<LimitsId>,
}

impl KeySpec {
    /// One without own limits.
    pub fn new(uid: KeyUid, name: &str, weight: u16) -> Self {
        Self { uid, name: name.to_owned(), weight, limits: None }
    }
}

/// Who may use a model.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Tenants {
    /// Everybody.
    #[default]
    All,
    /// These.
    Only(Vec<TenantId>),
}

impl Tenants {
    /// Whether a tenant is among them.
    pub fn has(&self, tenant: TenantId) -> bool {
        match self {
            Tenants::All => true,
            Tenants::Only(all) => all.contains(&tenant),
        }
    }

    /// Whether all of `others` are among them.
    pub(super) fn covers(&self, others: &Tenants) -> bool {
        match (self, others) {
            (Tenants::All, _) => true,
            (Tenants::Only(_), Tenants::All) => false,
            (Tenants::Only(_), Tenants::Only(others)) => others.iter().all(|tenant| self.has(*tenant)),
        }
    }

    /// Whether any tenant is in both.
    pub(super) fn meets(&self, others: &Tenants) -> bool {
        match (self, others) {
            (Tenants::All, Tenants::All) => true,
            (Tenants::All, Tenants::Only(some)) | (Tenants::Only(some), Tenants::All) => !some.is_empty(),
            (Tenants::Only(_), Tenants::Only(others)) => others.iter().any(|tenant| self.has(*tenant)),
        }
    }
}

/// A name that callers write, and where its calls go.
#[derive(Debug, Clone)]
pub struct ModelSpec {
    /// Identity.
    pub uid: ModelUid,
    /// The name, unique for each tenant.
    pub name: String,
    /// Who may use it.
    pub tenants: Tenants,
    /// Where its calls go, 1 to [`TARGETS_MAX`].
    pub targets: Vec<TargetSpec>,
    /// How one of them is chosen.
    pub strategy: Strategy,
    /// Where a call goes that failed here, by why it failed.
    pub fallbacks: Vec<FallbackSpec>,
    /// Patience.
    pub timeouts: Timeouts,
    /// What is tried again here.
    pub retries: Retries,
    /// How many retries of this model may be under way.
    pub budget: RetrySpec,
    /// When a key or a deployment that keeps failing rests, and for how long.
    pub cooldown: Cooldown,
    /// A price that takes the place of the catalogue's, for all of its targets.
    pub price: Option<Price>,
}

impl ModelSpec {
    /// One with the defaults, without targets yet.
    pub fn new(uid: ModelUid, name: &str) -> Self {
        Self {
            uid,
            name: name.to_owned(),
            tenants: Tenants::All,
            targets: Vec::new(),
            strategy: Strategy::default(),
            fallbacks: Vec::new(),
            timeouts: Timeouts::default(),
            retries: Retries::default(),
            budget: RetrySpec::default(),
            cooldown: Cooldown::default(),
            price: None,
        }
    }
}

/// A model at a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetSpec {
    /// The provider's name.
    pub provider: String,
    /// The model, as the provider names it.
    pub model: String,
    /// Share against the other targets', from 1.
    pub weight: u16,
}

impl TargetSpec {
    /// A target.
    pub fn new(provider: &str, model: &str, weight: u16) -> Self {
        Self { provider: provider.to_owned(), model: model.to_owned(), weight }
    }
}

/// How a target is chosen among those that may be used. Ties are drawn by weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Strategy {
    /// Drawn by weight.
    #[default]
    Weighted,
    /// The first, in the order in which they are written.
    Primary,
    /// The one with the fewest calls under way by weight, on the whole node.
    LeastBusy,
    /// The one whose first token came soonest of late.
    LowestLatency,
    /// The one that is cheapest for the estimated input and output.
    LowestCost,
    /// The one whose provider has the largest share of its rate limit left.
    Headroom,
    /// By a hash of how the conversation begins, so that its turns find the provider's prompt cache warm.
    PrefixHash,
}

impl Strategy {
    /// All of them.
    pub const ALL: [Strategy; 7] = [
        Strategy::Weighted,
        Strategy::Primary,
        Strategy::LeastBusy,
        Strategy::LowestLatency,
        Strategy::LowestCost,
        Strategy::Headroom,
        Strategy::PrefixHash,
    ];

    /// Its name in configurations.
    pub const fn name(self) -> &'static str {
        match self {
            Strategy::Weighted => "weighted",
            Strategy::Primary => "primary",
            Strategy::LeastBusy => "least_busy",
            Strategy::LowestLatency => "lowest_latency",
            Strategy::LowestCost => "lowest_cost",
            Strategy::Headroom => "headroom",
            Strategy::PrefixHash => "prefix_hash",
        }
    }

    /// The one with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == name)
    }
}

/// Where a call goes that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FallbackSpec {
    /// Why it must have failed.
    pub on: Causes,
    /// The model's name, or `provider/model`.
    pub to: String,
}

/// Patience towards a model, in nanoseconds. 1 to [`TIMEOUT_NS_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// From the request's last byte to the first piece of the answer.
    pub first_token_ns: u64,
    /// Between two pieces of it.
    pub idle_ns: u64,
    /// For the whole call: attempts, pauses and fallbacks. That of the model that the caller named counts.
    pub total_ns: u64,
}

impl Default for Timeouts {
    fn default() -> Self {
        // Models that think may be silent for minutes.
        Self { first_token_ns: 300 * SECOND_NS, idle_ns: 120 * SECOND_NS, total_ns: 1800 * SECOND_NS }
    }
}

/// What is tried again on the same model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retries {
    /// Attempts in all, the first included: 1 to [`ATTEMPTS_MAX`]; 1: no retry.
    pub attempts: u8,
    /// Why an attempt must have failed.
    pub on: Causes,
    /// Whether a call pauses until the time that a provider named, where that is within the call's time and
    /// [`RETRY_AFTER_WAIT_NS_MAX`]. Otherwise it pauses for the backoff only, and rests are not waited for.
    pub honour_retry_after: bool,
}

impl Default for Retries {
    fn default() -> Self {
        use Cause::{Authentication, ConnectFailure, RateLimit, ServerError};
        let on = Causes::of(&[ConnectFailure, RateLimit, ServerError, Authentication]);
        Self { attempts: 2, on, honour_retry_after: true }
    }
}

/// When a deployment, or a key at one, rests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cooldown {
    /// Failures in a row, from 1.
    pub after: u32,
    /// How long it rests; then one call tries it, and the others wait for how that ends. 1 to [`COOLDOWN_NS_MAX`].
    pub for_ns: u64,
}

impl Default for Cooldown {
    fn default() -> Self {
        Self { after: 5, for_ns: 30 * SECOND_NS }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenants_cover_and_meet() {
        let only = |ids: &[u32]| Tenants::Only(ids.iter().copied().map(TenantId).collect());
        for (one, other, covers, meets) in [
            (Tenants::All, Tenants::All, true, true),
            (Tenants::All, only(&[1]), true, true),
            (only(&[1]), Tenants::All, false, true),
            (only(&[1, 2]), only(&[2]), true, true),
            (only(&[1]), only(&[1, 2]), false, true),
            (only(&[1]), only(&[2]), false, false),
            (Tenants::All, only(&[]), true, false),
        ] {
            assert_eq!((one.covers(&other), one.meets(&other)), (covers, meets), "{one:?} and {other:?}");
        }
    }

    #[test]
    fn strategies_have_names() {
        for strategy in Strategy::ALL {
            assert_eq!(Strategy::from_name(strategy.name()), Some(strategy));
        }
        assert_eq!(Strategy::from_name("random"), None);
    }
}

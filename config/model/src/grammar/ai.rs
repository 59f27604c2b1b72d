//! The AI half: providers with their keys, names of models, services that speak the dialects.

use penstock_ai::provider::Providers;

use super::limit::Limit;
use super::policy::{Auth, Authorize, Body, Cors, Ip};
use super::upstream::UpstreamTls;
use crate::place::At;
use crate::problem::quote;
use crate::read::network::TargetUrl;
use crate::read::object::{choice, object};
use crate::read::text::{HostPattern, Name, Text};
use crate::read::units::{Int, Span};
use crate::read::{Fault, Pairs, Word};
use crate::suggest;

object! {
    /// An account at a provider of models.
    Provider {
        /// Name, of its own in all files; callers may write `name/model`.
        required name: Name,
        /// Its kind, as listed in `docs/providers.md`: dialect, URLs, authentication and quirks come with it.
        required kind: ProviderKind,
        /// Takes the place of the kind's own base URL.
        optional base_url: BaseUrl = "the kind's own",
        /// Region, for kinds that have regions.
        optional region: Text = "none",
        /// Name of the resource, for kinds that have resources.
        optional resource: Text = "none",
        /// Project, for kinds that have projects.
        optional project: Text = "none",
        /// Location, for kinds that have locations.
        optional location: Text = "none",
        /// Account, for kinds that have accounts.
        optional account: Text = "none",
        /// Host, for kinds that are reached at a host of the customer's.
        optional host: Text = "none",
        /// Version of the API, for kinds that ask for one.
        optional api_version: Text = "none",
        /// Names of deployments by model, for kinds that have deployments.
        default deployments: Pairs<Text, Text> = "{}",
        /// Its keys. Several are a pool.
        default keys: Vec<At<ProviderKey>> = "[]",
        /// TLS towards it.
        default tls: UpstreamTls = "{}",
        /// Connections to it, over all workers.
        default max_connections: Int<1, 100_000> = "1000",
    }
    later {
        "headers": "fixed headers of a provider come later",
    }
}

object! {
    /// A key of a provider: `value`, or an AWS account's `access_key_id` and `secret_access_key`.
    ProviderKey {
        /// Name for records and listings.
        optional name: Name = "its number, from 1",
        /// What is shown to the provider; `none` for one that asks for no key. Better from `${ENV}`.
        optional value: ProviderSecret = "see access_key_id",
        /// Names the secret key of an AWS account.
        optional access_key_id: ProviderSecret = "see value",
        /// The secret key, with which requests are signed.
        optional secret_access_key: ProviderSecret = "see value",
        /// The session's token, of keys that are lent for a while.
        optional session_token: ProviderSecret = "none",
        /// Share of calls.
        default weight: Int<1, 65535> = "1",
    }
    later {
        "limits": "limits of provider keys come later",
        "profile": "AWS profiles come later: write access_key_id and secret_access_key",
        "service_account": "service accounts come later",
        "metadata_server": "the metadata server comes later",
    }
}

object! {
    /// A name of a model that callers may write.
    Model {
        /// Name.
        required name: ModelName,
        /// Where its calls go.
        required targets: Vec<At<ModelTarget>>,
        /// How one of them is chosen.
        default strategy: Strategy = "weighted",
        /// Where a call goes that failed here, by why it failed.
        default fallbacks: Vec<At<Fallback>> = "[]",
        /// What is tried again here.
        default retries: ModelRetries = "{}",
        /// When a key or a deployment that keeps failing rests.
        default cooldown: Cooldown = "{}",
        /// Patience.
        default timeouts: ModelTimeouts = "{}",
        /// Prices that take the place of the catalogue's.
        optional prices: ModelPrices = "the catalogue's",
    }
    later {
        "tenants": "models are shared by all tenants; others come later",
    }
}

object! {
    /// A model at a provider.
    ModelTarget {
        /// Name of the provider.
        required provider: Name,
        /// The model, as the provider names it.
        required model: Text,
        /// Share of calls.
        default weight: Int<1, 65535> = "1",
    }
}

choice! {
    /// How a target is chosen among those that may be used.
    Strategy {
        /// drawn by weight
        Weighted = "weighted",
        /// the first, in the order in which they are written
        Primary = "primary",
        /// the one with the fewest calls under way
        LeastBusy = "least_busy",
        /// the one whose first token came soonest of late
        LowestLatency = "lowest_latency",
        /// the one that is cheapest for what the call is likely to use
        LowestCost = "lowest_cost",
        /// the one whose provider has the largest share of its rate limit left
        Headroom = "headroom",
        /// by how the conversation begins, so that its turns find the provider's prompt cache warm
        PrefixHash = "prefix_hash",
    }
}

choice! {
    /// Why a call is tried again or falls back.
    Cause {
        /// no connection came about
        ConnectFailure = "connect_failure",
        /// too many requests or tokens, or no money left
        RateLimit = "rate_limit",
        /// the provider failed, or its answer broke off before the client had any of it
        ServerError = "server_error",
        /// the first token, or the next, did not come in time
        Timeout = "timeout",
        /// the conversation does not fit the model
        ContextWindow = "context_window",
        /// the provider does not want to answer this
        ContentPolicy = "content_policy",
        /// the key is not accepted
        Authentication = "authentication",
    }
}

object! {
    /// Where a call goes that failed.
    Fallback {
        /// Why it must have failed.
        required on: Vec<At<Cause>>,
        /// The model, or `provider/model`.
        required to: Text,
    }
}

object! {
    /// What is tried again on the same model.
    ModelRetries {
        /// Attempts in all, the first included.
        default attempts: Int<1, 10> = "2",
        /// Why an attempt must have failed.
        default on: Vec<At<Cause>> = "[ connect_failure, rate_limit, server_error, authentication ]",
        /// Whether a call pauses until the time that a provider named.
        default honour_retry_after: bool = "true",
    }
}

object! {
    /// When a deployment, or a key at one, rests.
    Cooldown {
        /// Failures in a row.
        default after: Int<1, 1_000_000> = "5",
        /// For how long.
        default r#for: Span<1, 86_400_000> = "30s",
    }
}

object! {
    /// Patience towards a model.
    ModelTimeouts {
        /// From the request's last byte to the first piece of the answer.
        default first_token: Span<100, 3_600_000> = "5m",
        /// Between two pieces of it.
        default idle: Span<100, 3_600_000> = "2m",
        /// For everything.
        default total: Span<1_000, 86_400_000> = "30m",
    }
}

object! {
    /// Prices in USD per million tokens (of images and pages: each; of seconds: each). What is not written costs what
    /// stands for it in the catalogue's rules: a cached token as one that was read, reasoning as output.
    ModelPrices {
        /// Input.
        required input: Rate,
        /// Output.
        required output: Rate,
        /// Input that is read from the provider's cache.
        optional cached_read: Rate = "as input",
        /// Input that is written to the provider's cache.
        optional cache_write: Rate = "as input",
        /// Input that is written there for an hour.
        optional cache_write_1h: Rate = "as cache_write",
        /// Thinking.
        optional reasoning: Rate = "as output",
        /// Sound that is heard.
        optional audio_input: Rate = "not priced",
        /// Sound that is made.
        optional audio_output: Rate = "not priced",
        /// A picture that is made.
        optional image: Rate = "not priced",
        /// Each call.
        optional request: Rate = "nothing",
        /// Input of batches.
        optional batch_input: Rate = "as input",
        /// Output of batches.
        optional batch_output: Rate = "as output",
        /// What it costs beyond so many tokens of input, as `{ 200000: { input: 6, output: 22.5 } }`.
        default above: Pairs<Tokens, TierPrices> = "{}",
    }
}

object! {
    /// Prices of calls whose input is larger than a size. What is not written costs what it costs below.
    TierPrices {
        /// Input.
        optional input: Rate = "as below",
        /// Output.
        optional output: Rate = "as below",
        /// Input that is read from the provider's cache.
        optional cached_read: Rate = "as below",
        /// Input that is written to the provider's cache.
        optional cache_write: Rate = "as below",
        /// Input that is written there for an hour.
        optional cache_write_1h: Rate = "as below",
        /// Thinking.
        optional reasoning: Rate = "as below",
    }
}

impl ModelPrices {
    /// Every price: the tokens of input above which it holds, its name in the catalogue, and the number as written.
    pub(crate) fn rates(&self) -> Vec<(u64, &'static str, &At<Rate>)> {
        let mut rates = vec![(0, "input", &self.input), (0, "output", &self.output)];
        let base = [
            ("cached_read", &self.cached_read),
            ("cache_write", &self.cache_write),
            ("cache_write_1h", &self.cache_write_1h),
            ("reasoning", &self.reasoning),
            ("audio_input", &self.audio_input),
            ("audio_output", &self.audio_output),
            ("image", &self.image),
            ("request", &self.request),
            ("batch_input", &self.batch_input),
            ("batch_output", &self.batch_output),
        ];
        rates.extend(base.into_iter().filter_map(|(name, rate)| Some((0, name, rate.as_ref()?))));
        for (above, tier) in &self.above.value.0 {
            let tier = &tier.value;
            let named = [
                ("input", &tier.input),
                ("output", &tier.output),
                ("cached_read", &tier.cached_read),
                ("cache_write", &tier.cache_write),
                ("cache_write_1h", &tier.cache_write_1h),
                ("reasoning", &tier.reasoning),
            ];
            rates.extend(
                named.into_iter().filter_map(|(name, rate)| Some((above.value.0, name, rate.as_ref()?))),
            );
        }
        rates
    }
}

object! {
    /// An AI service: under its prefix it answers the SDKs of four dialects, `/v1/chat/completions`, `/v1/responses`,
    /// `/v1/messages`, `/v1beta/models/...` and lists of models.
    AiService {
        /// Hosts; empty: any.
        default hosts: Vec<At<HostPattern>> = "[]",
        /// Path before that of each endpoint.
        default prefix: Prefix = "/",
        /// Names that may be asked for: whole names, `gpt-*`, or `*`.
        default models: Vec<At<ModelPattern>> = "[ \"*\" ]",
        /// Who may call. An API key is read wherever a dialect's SDK puts it.
        optional auth: Auth = "inherited",
        /// What a caller must be allowed.
        optional authorize: Authorize = "inherited",
        /// From where; denied networks of all levels add up.
        optional ip: Ip = "from anywhere",
        /// Cross-origin rules.
        optional cors: Cors = "inherited",
        /// Bounds of request bodies.
        default body: Body = "{ max: 32MiB }",
        /// What becomes of a request that a translation cannot carry whole.
        default on_loss: OnLoss = "tell",
        /// What becomes of a call whose price is not known.
        default on_unknown_price: OnUnknownPrice = "deny",
        /// Limits over its calls.
        default limits: Vec<At<Limit>> = "[]",
    }
    later {
        "guards": "guards come later",
        "cache": "the cache of answers comes later",
    }
}

choice! {
    /// What becomes of a request that a translation cannot carry whole.
    OnLoss {
        /// it goes on without, and `x-penstock-degraded` names what was lost
        Tell = "tell",
        /// it is refused with 400, which names it
        Refuse = "refuse",
    }
}

choice! {
    /// What becomes of a call whose price is not known.
    OnUnknownPrice {
        /// it is refused
        Deny = "deny",
        /// it is booked at the dearest price that is known of the model's maker, flagged
        Estimate = "estimate",
        /// it is served, booked at nothing and flagged
        Flag = "flag",
    }
}

/// A kind of provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderKind(pub String);

impl Word for ProviderKind {
    const WHAT: &'static str = "a kind of provider";
    const FORM: &'static str = "one of docs/providers.md, as openai, anthropic or openai_compatible";

    fn parse(text: &str) -> Result<Self, Fault> {
        if Providers::shared().get(text).is_some() {
            return Ok(Self(text.to_owned()));
        }
        let names = Providers::shared().iter().map(|kind| kind.kind.as_str());
        let hint = suggest::hint(
            text,
            names,
            "whatever speaks Chat Completions is kind: openai_compatible with a base_url:",
        );
        Err(Fault::message(format!("unknown kind of provider {}", quote(text))).hint(hint))
    }

    fn show(&self) -> String {
        self.0.clone()
    }
}

/// A base URL: scheme, host and perhaps a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl(pub String);

impl Word for BaseUrl {
    const WHAT: &'static str = "a base URL";
    const FORM: &'static str = "as in https://api.example.com/v1 or http://127.0.0.1:11434/v1";
    const PATTERN: &'static str = r"^(https?://.+|.*\$\{.*)$";

    fn parse(text: &str) -> Result<Self, Fault> {
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let Some(rest) = rest else { return Err(Fault::plain()) };
        let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/%[]".contains(&byte);
        if !rest.bytes().all(good) {
            return Err(Fault::message(format!(
                "{} has bytes that do not belong in a base URL",
                quote(text)
            ))
            .hint("scheme, host, port and path; no query, fragment or user"));
        }
        let origin = &text[..text.len() - rest.len() + rest.find('/').unwrap_or(rest.len())];
        TargetUrl::parse(origin).map(|_| Self(text.trim_end_matches('/').to_owned()))
    }

    fn show(&self) -> String {
        self.0.clone()
    }
}

/// Most characters of a provider's key.
pub const PROVIDER_SECRET_CHARS_MAX: usize = 4096;

/// What is shown to a provider. Never shown to anybody else.
#[derive(Clone, PartialEq, Eq)]
pub struct ProviderSecret(pub Option<String>);

impl std::fmt::Debug for ProviderSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ProviderSecret(..)")
    }
}

impl Word for ProviderSecret {
    const WHAT: &'static str = "a provider's key";
    const FORM: &'static str =
        "visible characters without spaces, better from ${ENV} than from the file; or none";

    fn parse(text: &str) -> Result<Self, Fault> {
        if text == "none" {
            return Ok(Self(None));
        }
        if text.is_empty() || !text.bytes().all(|b| (0x21..0x7f).contains(&b)) {
            return Err(Fault::message(
                "the key is empty, or has a space or a character outside of visible ASCII",
            ));
        }
        if text.len() > PROVIDER_SECRET_CHARS_MAX {
            return Err(Fault::message(format!("the key has {} characters", text.len())));
        }
        Ok(Self(Some(text.to_owned())))
    }

    fn show(&self) -> String {
        if self.0.is_some() { "(secret)" } else { "none" }.to_owned()
    }
}

/// Longest name of a model.
pub const MODEL_BYTES_MAX: usize = 128;

fn is_model_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= MODEL_BYTES_MAX
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._:/@+-".contains(&b))
}

/// A name of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelName(pub String);

impl Word for ModelName {
    const WHAT: &'static str = "a name of a model";
    const FORM: &'static str =
        "letters, digits and any of ._:@+-, at most 128; `/` stands between a provider and its model";

    fn parse(text: &str) -> Result<Self, Fault> {
        if is_model_name(text) && !text.contains('/') {
            Ok(Self(text.to_owned()))
        } else {
            Err(Fault::plain())
        }
    }

    fn show(&self) -> String {
        self.0.clone()
    }
}

/// Names of models: one, or all that begin alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelPattern(pub String);

impl Word for ModelPattern {
    const WHAT: &'static str = "a pattern of models";
    const FORM: &'static str = "a whole name, one with `*` at its end, or `*`";

    fn parse(text: &str) -> Result<Self, Fault> {
        let plain = text.strip_suffix('*').unwrap_or(text);
        if text == "*" || is_model_name(plain) { Ok(Self(text.to_owned())) } else { Err(Fault::plain()) }
    }

    fn show(&self) -> String {
        self.0.clone()
    }
}

/// The path before that of each endpoint, without a slash at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix(pub String);

impl Word for Prefix {
    const WHAT: &'static str = "a prefix of paths";
    const FORM: &'static str = "as in / or /llm";
    const PATTERN: &'static str = "^/";

    fn parse(text: &str) -> Result<Self, Fault> {
        let plain = text.trim_end_matches('/');
        let segments = plain.split('/').skip(1);
        let good = |segment: &str| {
            !segment.is_empty()
                && !segment.starts_with('.')
                && segment.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b))
        };
        if text.starts_with('/') && (plain.is_empty() || segments.into_iter().all(good)) && text.len() <= 256
        {
            Ok(Self(plain.to_owned()))
        } else {
            Err(Fault::plain())
        }
    }

    fn show(&self) -> String {
        if self.0.is_empty() { "/".to_owned() } else { self.0.clone() }
    }
}

/// A number of tokens.
pub type Tokens = Int<1, 100_000_000>;

/// A price: a decimal number of USD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rate(pub String);

impl Word for Rate {
    const WHAT: &'static str = "a price";
    const FORM: &'static str = "a number of USD, as in 0.15 or 3";
    const PATTERN: &'static str = r"^([0-9]+(\.[0-9]+)?|.*\$\{.*)$";
    const QUOTABLE: bool = false;

    fn parse(text: &str) -> Result<Self, Fault> {
        match penstock_ai::catalogue::FemtoUsd::parse(text, 6) {
            Ok(_) => Ok(Self(text.to_owned())),
            Err(why) => Err(Fault::message(format!("{}: {why}", quote(text)))),
        }
    }

    fn show(&self) -> String {
        self.0.clone()
    }
}

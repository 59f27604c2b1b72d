//! The AI half as data: providers with their keys, names of models, what a service lets be asked.

use super::{Id, Uid};
use std::sync::Arc;

pub use penstock_ai::endpoint::Endpoint;
pub use penstock_ai::routing::{Allowed, ModelSpec};

/// Everything that AI services refer to.
#[derive(Clone, Debug, Default)]
pub struct Ai {
    /// Providers, in the order in which they were written.
    pub providers: Vec<Provider>,
    /// Names of models that callers may write.
    pub models: Vec<Model>,
}

/// An account at a provider of models.
#[derive(Clone, Debug)]
pub struct Provider {
    /// Dictionary id.
    pub id: Id,
    /// Stable identity.
    pub uid: Uid,
    /// Name, by which `provider/model` and the models refer to it.
    pub name: String,
    /// Its kind: an entry of the bundled table of providers.
    pub kind: String,
    /// Where its calls go: an upstream with one target.
    pub upstream: Id,
    /// Takes the place of the kind's own base URL.
    pub base_url: Option<String>,
    /// What fills the placeholders of the kind's URLs: `region`, `resource`, `project`, `location`, `api_version` ...
    pub values: Vec<(String, String)>,
    /// Names of deployments by model; the model's own name where there is none.
    pub deployments: Vec<(String, String)>,
    /// Its keys, at least one.
    pub keys: Vec<ProviderKey>,
}

/// A key of a provider.
#[derive(Clone, Debug)]
pub struct ProviderKey {
    /// Dictionary id.
    pub id: Id,
    /// Stable identity.
    pub uid: Uid,
    /// Name, unique within the provider.
    pub name: String,
    /// Share of calls, at least 1.
    pub weight: u32,
    /// What is shown to the provider.
    pub secret: ProviderSecret,
}

/// What is shown to a provider.
#[derive(Clone, PartialEq, Eq)]
pub enum ProviderSecret {
    /// Nothing: it asks for no key.
    None,
    /// A key as it goes into a header or the query.
    Key(String),
    /// Keys of an AWS account, with which requests are signed.
    Aws {
        /// Names the secret key.
        access_key_id: String,
        /// Signs.
        secret_access_key: String,
        /// Of keys that are lent for a while.
        session_token: Option<String>,
    },
}

impl std::fmt::Debug for ProviderSecret {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::None => "None",
            Self::Key(_) => "Key(..)",
            Self::Aws { .. } => "Aws(..)",
        })
    }
}

/// A name of a model, and where its calls go.
#[derive(Clone, Debug)]
pub struct Model {
    /// Dictionary id.
    pub id: Id,
    /// Stable identity.
    pub uid: Uid,
    /// Its name, its targets, and how calls are routed to them.
    pub spec: ModelSpec,
}

/// What an AI service lets be asked, and how.
#[derive(Clone, Debug)]
pub struct AiService {
    /// Path before that of each endpoint, without a slash at its end.
    pub prefix: String,
    /// Names that may be asked for.
    pub models: Allowed,
    /// What becomes of a request that a translation cannot carry whole.
    pub on_loss: OnLoss,
    /// What becomes of a call whose price is not known.
    pub on_unknown_price: OnUnknownPrice,
}

/// What becomes of a request that a translation cannot carry whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnLoss {
    /// It goes on without, and the answer says so.
    #[default]
    Tell,
    /// It is refused.
    Refuse,
}

/// What becomes of a call whose price is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnUnknownPrice {
    /// It is refused.
    #[default]
    Deny,
    /// It is booked at the dearest price that is known of the model's maker, flagged.
    Estimate,
    /// It is served, booked at nothing and flagged.
    Flag,
}

/// Where a route sends requests.
#[derive(Clone, Debug)]
pub enum To {
    /// To an upstream.
    Upstream(Id),
    /// To the models of an AI service.
    Ai(AiRoute),
}

/// A route of an AI service.
#[derive(Clone, Debug)]
pub struct AiRoute {
    /// What is asked there.
    pub endpoint: Endpoint,
    /// The service's rules.
    pub service: Arc<AiService>,
}

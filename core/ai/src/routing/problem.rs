//! What is wrong with a configuration of routing, in words.

use thiserror::Error;

use super::spec::{
    ATTEMPTS_MAX, FALLBACK_DEPTH_MAX, KEYS_MAX, MODELS_MAX, PROVIDERS_MAX, TARGETS_MAX, TenantId,
};

/// One thing that is wrong. Whoever shows it knows the place in the file by the names in it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Problem {
    /// Too many providers.
    #[error("{0} providers; there may be {PROVIDERS_MAX}")]
    Providers(usize),
    /// Too many models.
    #[error("{0} models; there may be {MODELS_MAX}")]
    Models(usize),
    /// A provider's name cannot stand before a slash.
    #[error("provider `{0}`: a name is not empty and has no slash")]
    ProviderName(String),
    /// A provider's name stands twice.
    #[error("provider `{0}` stands twice")]
    ProviderTwice(String),
    /// A kind that the table does not have.
    #[error("provider `{provider}`: there is no kind `{kind}`")]
    UnknownKind {
        /// The provider.
        provider: String,
        /// Its kind.
        kind: String,
    },
    /// No keys, or too many.
    #[error("provider `{provider}` has {keys} keys; there must be 1 to {KEYS_MAX}")]
    Keys {
        /// The provider.
        provider: String,
        /// How many it has.
        keys: usize,
    },
    /// The same identity twice.
    #[error("key `{key}` of provider `{provider}` stands twice")]
    KeyTwice {
        /// The provider.
        provider: String,
        /// The key's name.
        key: String,
    },
    /// A weight of 0.
    #[error("{of}: a weight is at least 1; take it out to give it no calls")]
    Weight {
        /// What has it: a key of a provider or a target of a model.
        of: String,
    },
    /// A model's name cannot be written.
    #[error("a model's name is empty or too long: `{0}`")]
    ModelName(String),
    /// A model's name means a provider's model.
    #[error("model `{model}`: the name means a model of provider `{provider}`")]
    ModelNameOfProvider {
        /// The model.
        model: String,
        /// The provider.
        provider: String,
    },
    /// A tenant has the same name twice.
    #[error("model `{0}` stands twice for the same tenant")]
    ModelTwice(String),
    /// No targets, or too many.
    #[error("model `{model}` has {targets} targets; there must be 1 to {TARGETS_MAX}")]
    Targets {
        /// The model.
        model: String,
        /// How many it has.
        targets: usize,
    },
    /// The same target twice.
    #[error("model `{model}`: target `{target}` stands twice; give it more weight")]
    TargetTwice {
        /// The model.
        model: String,
        /// `provider/model`.
        target: String,
    },
    /// A target without a model.
    #[error("model `{model}`: a target at `{provider}` names no model")]
    TargetWithoutModel {
        /// The model.
        model: String,
        /// The provider.
        provider: String,
    },
    /// There is no such provider.
    #[error("model `{model}`: there is no provider `{provider}`{}", hint(.near))]
    UnknownProvider {
        /// The model.
        model: String,
        /// What it names.
        provider: String,
        /// The one that may be meant.
        near: Option<String>,
    },
    /// There is no such model to fall back to.
    #[error("model `{model}`: there is no model `{to}` to fall back to{}", hint(.near))]
    UnknownModel {
        /// The model.
        model: String,
        /// What it names.
        to: String,
        /// The one that may be meant.
        near: Option<String>,
    },
    /// A fallback to a model that not all may use.
    #[error("model `{model}` falls back to `{to}`, which {}", who(.tenant))]
    Hidden {
        /// The model.
        model: String,
        /// What it falls back to.
        to: String,
        /// One of its tenants that may not; none: it is shared by all, and the other is not.
        tenant: Option<TenantId>,
    },
    /// Fallbacks that come back to where they began.
    #[error("fallbacks go round: {}", .0.join(" -> "))]
    Cycle(Vec<String>),
    /// Too many fallbacks after one another.
    #[error("more than {FALLBACK_DEPTH_MAX} fallbacks after one another: {}", .0.join(" -> "))]
    Depth(Vec<String>),
    /// Two fallbacks for one cause.
    #[error("model `{model}` has two fallbacks on {cause}; the second would never be taken")]
    FallbackTwice {
        /// The model.
        model: String,
        /// The cause.
        cause: &'static str,
    },
    /// A fallback on nothing.
    #[error("model `{model}`: the fallback to `{to}` names no cause")]
    FallbackOnNothing {
        /// The model.
        model: String,
        /// What it falls back to.
        to: String,
    },
    /// A number of attempts out of range.
    #[error("model `{0}`: attempts must be 1 to {ATTEMPTS_MAX}")]
    Attempts(String),
    /// A time out of range.
    #[error("model `{model}`: {what} must be longer than nothing and at most a day")]
    Timeout {
        /// The model.
        model: String,
        /// Which.
        what: &'static str,
    },
    /// A cooldown out of range.
    #[error("model `{0}`: a cooldown comes after 1 failure or more and takes at most a day")]
    Cooldown(String),
    /// A share of retries above 100 %.
    #[error("model `{0}`: the retry budget is at most 100 percent")]
    Budget(String),
}

impl Problem {
    /// The model that it is about; none where it is about a provider or the whole.
    pub fn model(&self) -> Option<&str> {
        match self {
            Problem::ModelName(model)
            | Problem::ModelTwice(model)
            | Problem::Attempts(model)
            | Problem::Cooldown(model)
            | Problem::Budget(model)
            | Problem::ModelNameOfProvider { model, .. }
            | Problem::Targets { model, .. }
            | Problem::TargetTwice { model, .. }
            | Problem::TargetWithoutModel { model, .. }
            | Problem::UnknownProvider { model, .. }
            | Problem::UnknownModel { model, .. }
            | Problem::Hidden { model, .. }
            | Problem::FallbackTwice { model, .. }
            | Problem::FallbackOnNothing { model, .. }
            | Problem::Timeout { model, .. } => Some(model),
            Problem::Cycle(models) | Problem::Depth(models) => models.first().map(String::as_str),
            Problem::Providers(_)
            | Problem::Models(_)
            | Problem::ProviderName(_)
            | Problem::ProviderTwice(_)
            | Problem::UnknownKind { .. }
            | Problem::Keys { .. }
            | Problem::KeyTwice { .. }
            | Problem::Weight { .. } => None,
        }
    }
}

fn hint(near: &Option<String>) -> String {
    near.as_ref().map_or_else(String::new, |near| format!("; did you mean `{near}`?"))
}

fn who(tenant: &Option<TenantId>) -> String {
    match tenant {
        Some(tenant) => format!("tenant {} may not use", tenant.0),
        None => "is not for all tenants".to_owned(),
    }
}

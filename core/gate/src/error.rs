//! What can be wrong with a [`crate::spec::Spec`], and where.

use crate::router::{HostError, TemplateError};
use crate::spec::Id;

/// The resource that is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    /// The configuration as a whole.
    Whole,
    /// A listener.
    Listener(Id),
    /// An issuer.
    Issuer(Id),
    /// A tenant.
    Tenant(Id),
    /// A team.
    Team(Id),
    /// A plan.
    Plan(Id),
    /// An upstream.
    Upstream(Id),
    /// A service.
    Service(Id),
    /// A version of a service.
    Version(Id),
    /// A route.
    Route(Id),
    /// An app.
    App(Id),
    /// A credential.
    Credential(Id),
    /// A subscription.
    Subscription(Id),
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct SpecError {
    /// In which resource.
    pub place: Place,
    /// In which field of it, as a path in the grammar: `match.path`, `auth.any[1].jwt.issuers[0]`.
    pub field: String,
    /// What.
    pub problem: Problem,
}

impl SpecError {
    pub(crate) fn new(place: Place, field: impl Into<String>, problem: impl Into<Problem>) -> Self {
        Self { place, field: field.into(), problem: problem.into() }
    }
}

/// Kinds of things that can be wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A path template does not read.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// A host pattern does not read.
    #[error(transparent)]
    Host(#[from] HostError),
    /// A value template does not read.
    #[error(transparent)]
    Value(#[from] crate::value::ValueError),
    /// Two routes of equal rank that one request can match.
    #[error(
        "conflicts with route `{name}`: a request for host {host} and path {path} can match both, and neither is more specific"
    )]
    Conflict {
        /// The other route.
        with: Id,
        /// Its name.
        name: String,
        /// Hosts on which they meet.
        host: String,
        /// Paths on which they meet, as a template.
        path: String,
    },
    /// Nothing can ever reach it.
    #[error("can never be reached: {0}")]
    Unreachable(String),
    /// It refers to what does not exist.
    #[error("refers to {what} {}, which does not exist", id.0)]
    Missing {
        /// Kind of what it refers to.
        what: &'static str,
        /// The id.
        id: Id,
    },
    /// The same id, name or value twice.
    #[error("{what} `{value}` stands twice")]
    Twice {
        /// What it is.
        what: &'static str,
        /// The value.
        value: String,
    },
    /// A bound is passed.
    #[error("{what}: {given} is more than {max}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        given: usize,
        /// How many there may be.
        max: usize,
    },
    /// Anything else, in a sentence.
    #[error("{0}")]
    Other(String),
}

impl From<&str> for Problem {
    fn from(text: &str) -> Self {
        Self::Other(text.to_owned())
    }
}

impl From<String> for Problem {
    fn from(text: String) -> Self {
        Self::Other(text)
    }
}

//! How attempts end, and what that means: for the call, and for what was called.
//!
//! Knows: classes of errors. Must not: know states or times.

use super::registry::DeploymentId;
use super::spec::KeyUid;
use crate::provider::{ErrorClass, Failure, Headroom};

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum End {
    /// An answer came, whole.
    Answered,
    /// Too many requests or tokens for now.
    RateLimit,
    /// The key has no money left.
    NoQuota,
    /// The key's own limits, counted here, let nothing through: nothing was sent.
    OwnLimit,
    /// The provider failed, or has no room.
    ServerError,
    /// The first token did not come in time, or the provider gave up waiting.
    FirstTokenTimeout,
    /// The answer stopped in its middle.
    IdleTimeout,
    /// No connection came about; nothing was sent.
    ConnectFailure,
    /// The conversation does not fit the model.
    ContextWindow,
    /// The provider does not want to answer this.
    ContentPolicy,
    /// The key is not accepted (401).
    Unauthenticated,
    /// The key is accepted, but not for this (403).
    Forbidden,
    /// There is no such model there (404).
    NoModel,
    /// The request is wrong; it would be wrong again.
    ClientError,
    /// The client went away.
    ClientGone,
    /// The connection broke, or the stream ended or became senseless before its end.
    BrokenStream,
    /// The call's total time ran out.
    TotalTimeout,
}

impl End {
    /// All of them.
    pub const ALL: [End; 17] = [
        End::Answered,
        End::RateLimit,
        End::NoQuota,
        End::OwnLimit,
        End::ServerError,
        End::FirstTokenTimeout,
        End::IdleTimeout,
        End::ConnectFailure,
        End::ContextWindow,
        End::ContentPolicy,
        End::Unauthenticated,
        End::Forbidden,
        End::NoModel,
        End::ClientError,
        End::ClientGone,
        End::BrokenStream,
        End::TotalTimeout,
    ];

    /// What happened, for people.
    pub const fn told(self) -> &'static str {
        match self {
            End::Answered => "it answered",
            End::RateLimit => "its rate limit is reached",
            End::NoQuota => "the account has no quota left",
            End::OwnLimit => "the key's own limit is reached",
            End::ServerError => "it fails",
            End::FirstTokenTimeout => "its first token does not come in time",
            End::IdleTimeout => "its answers stop in their middle",
            End::ConnectFailure => "it cannot be reached",
            End::ContextWindow => "the conversation does not fit",
            End::ContentPolicy => "it does not want to answer",
            End::Unauthenticated => "it does not accept the key",
            End::Forbidden => "the key may not ask this",
            End::NoModel => "it has no such model",
            End::ClientError => "the request is wrong",
            End::ClientGone => "the client left",
            End::BrokenStream => "its answers break off",
            End::TotalTimeout => "time is over",
        }
    }

    /// What an error of a provider is, by its class and the status of the answer.
    pub fn of_class(class: ErrorClass, status: u16) -> Self {
        match class {
            ErrorClass::RateLimit => End::RateLimit,
            ErrorClass::InsufficientQuota => End::NoQuota,
            ErrorClass::ServerError | ErrorClass::Overloaded => End::ServerError,
            ErrorClass::Timeout => End::FirstTokenTimeout,
            ErrorClass::ContextWindow => End::ContextWindow,
            ErrorClass::ContentPolicy => End::ContentPolicy,
            // What a key may not do with one model says nothing about the others.
            ErrorClass::Authentication if status == 403 => End::Forbidden,
            ErrorClass::Authentication => End::Unauthenticated,
            ErrorClass::NotFound => End::NoModel,
            ErrorClass::BadRequest => End::ClientError,
        }
    }

    /// Why the call may go on elsewhere; none where it may not. `named`: the caller named the model at the provider
    /// itself, so that a model that is not there is the caller's error.
    pub(super) fn cause(self, named: bool) -> Option<Cause> {
        match self {
            End::RateLimit | End::NoQuota | End::OwnLimit => Some(Cause::RateLimit),
            End::ServerError | End::BrokenStream => Some(Cause::ServerError),
            End::NoModel => (!named).then_some(Cause::ServerError),
            End::FirstTokenTimeout | End::IdleTimeout => Some(Cause::Timeout),
            End::ConnectFailure => Some(Cause::ConnectFailure),
            End::ContextWindow => Some(Cause::ContextWindow),
            End::ContentPolicy => Some(Cause::ContentPolicy),
            End::Unauthenticated | End::Forbidden => Some(Cause::Authentication),
            End::Answered | End::ClientError | End::ClientGone | End::TotalTimeout => None,
        }
    }

    /// Whether the deployment works: false, it failed; none, this says nothing.
    pub(super) fn works(self, named: bool) -> Option<bool> {
        match self {
            End::Answered | End::RateLimit | End::ContextWindow | End::ContentPolicy | End::ClientError => {
                Some(true)
            }
            End::NoModel => Some(named),
            End::ServerError
            | End::FirstTokenTimeout
            | End::IdleTimeout
            | End::ConnectFailure
            | End::BrokenStream => Some(false),
            End::NoQuota
            | End::OwnLimit
            | End::Unauthenticated
            | End::Forbidden
            | End::ClientGone
            | End::TotalTimeout => None,
        }
    }

    /// Whether another key of the same deployment may do better at once.
    pub(super) fn is_of_the_key(self) -> bool {
        matches!(self, End::RateLimit | End::NoQuota | End::OwnLimit | End::Unauthenticated | End::Forbidden)
    }

    /// Whether the same deployment would say the same again.
    pub(super) fn is_of_the_request(self) -> bool {
        matches!(self, End::ContextWindow | End::ContentPolicy | End::NoModel)
    }
}

/// Why a call is tried again or falls back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Cause {
    /// No connection came about.
    ConnectFailure,
    /// Too many requests or tokens, or no money left.
    RateLimit,
    /// The provider failed, or its answer broke off before the client had any of it.
    ServerError,
    /// The first token, or the next, did not come in time.
    Timeout,
    /// The conversation does not fit the model.
    ContextWindow,
    /// The provider does not want to answer this.
    ContentPolicy,
    /// The key is not accepted.
    Authentication,
}

impl Cause {
    /// All of them.
    pub const ALL: [Cause; 7] = [
        Cause::ConnectFailure,
        Cause::RateLimit,
        Cause::ServerError,
        Cause::Timeout,
        Cause::ContextWindow,
        Cause::ContentPolicy,
        Cause::Authentication,
    ];

    /// Its name in configurations.
    pub const fn name(self) -> &'static str {
        match self {
            Cause::ConnectFailure => "connect_failure",
            Cause::RateLimit => "rate_limit",
            Cause::ServerError => "server_error",
            Cause::Timeout => "timeout",
            Cause::ContextWindow => "context_window",
            Cause::ContentPolicy => "content_policy",
            Cause::Authentication => "authentication",
        }
    }

    /// The one with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == name)
    }

    pub(super) fn of_number(number: u8) -> Self {
        Self::ALL.get(usize::from(number)).copied().unwrap_or(Cause::ServerError)
    }
}

/// A set of causes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Causes(u8);

impl Causes {
    /// None.
    pub const NONE: Causes = Causes(0);

    /// These.
    pub fn of(causes: &[Cause]) -> Self {
        Self(causes.iter().fold(0, |set, cause| set | 1 << *cause as u8))
    }

    /// Whether a cause is among them.
    pub fn has(self, cause: Cause) -> bool {
        self.0 >> cause as u8 & 1 == 1
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those that are in both.
    pub fn both(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Those that are in any of the two.
    pub fn either(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Each of them.
    pub fn iter(self) -> impl Iterator<Item = Cause> {
        Cause::ALL.into_iter().filter(move |cause| self.has(*cause))
    }
}

/// What is told of an attempt's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// How it ended.
    pub end: End,
    /// Milliseconds from now before which the provider wants no further try: of the header or of the body, the longer.
    pub retry_after_ms: Option<u64>,
    /// Nanoseconds from the attempt's beginning to the first token, if there was one and
    /// [`super::Attempt::first_token`] was not told.
    pub first_token_ns: Option<u64>,
    /// What the answer's headers said of limits, if [`super::Attempt::headroom`] was not told.
    pub headroom: Option<Headroom>,
}

impl Report {
    /// An end of which nothing else is known.
    pub fn new(end: End) -> Self {
        Self { end, retry_after_ms: None, first_token_ns: None, headroom: None }
    }

    /// The end of an attempt that the provider answered with an error: what was read of its body, the status of the
    /// answer, and what its headers said of limits.
    pub fn of_failure(failure: &Failure, status: u16, headroom: Headroom) -> Self {
        Self {
            end: End::of_class(failure.class, status),
            retry_after_ms: failure.retry_after_ms.max(headroom.retry_after_ms),
            first_token_ns: None,
            headroom: Some(headroom),
        }
    }
}

/// What rests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resting {
    /// A key, for all models.
    Key(KeyUid),
    /// A key at one deployment.
    KeyAt(KeyUid, DeploymentId),
    /// A deployment, with all keys.
    Deployment(DeploymentId),
}

/// Something that people should know: a rest began that is more than a passing rate limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alert {
    /// What rests.
    pub what: Resting,
    /// How the attempt ended that led to it.
    pub end: End,
    /// Until when, on the callers' clock.
    pub until_ns: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_have_names_and_sets() {
        for cause in Cause::ALL {
            assert_eq!(Cause::from_name(cause.name()), Some(cause));
            assert_eq!(Cause::of_number(cause as u8), cause);
            let set = Causes::of(&[cause, Cause::Timeout]);
            assert!(set.has(cause) && set.has(Cause::Timeout) && !set.is_empty());
            assert_eq!(set.iter().count(), if cause == Cause::Timeout { 1 } else { 2 });
            assert_eq!(set.both(Causes::of(&[cause])), Causes::of(&[cause]));
            assert_eq!(Causes::of(&[cause]).either(Causes::of(&[Cause::Timeout])), set);
        }
        assert!(Causes::NONE.is_empty() && Causes::NONE.iter().next().is_none());
    }

    #[test]
    fn every_class_of_error_has_its_end() {
        for (class, status, end, cause) in [
            (ErrorClass::RateLimit, 429, End::RateLimit, Some(Cause::RateLimit)),
            (ErrorClass::InsufficientQuota, 429, End::NoQuota, Some(Cause::RateLimit)),
            (ErrorClass::ServerError, 500, End::ServerError, Some(Cause::ServerError)),
            (ErrorClass::Overloaded, 529, End::ServerError, Some(Cause::ServerError)),
            (ErrorClass::Timeout, 504, End::FirstTokenTimeout, Some(Cause::Timeout)),
            (ErrorClass::ContextWindow, 400, End::ContextWindow, Some(Cause::ContextWindow)),
            (ErrorClass::ContentPolicy, 400, End::ContentPolicy, Some(Cause::ContentPolicy)),
            (ErrorClass::Authentication, 401, End::Unauthenticated, Some(Cause::Authentication)),
            (ErrorClass::Authentication, 403, End::Forbidden, Some(Cause::Authentication)),
            (ErrorClass::NotFound, 404, End::NoModel, Some(Cause::ServerError)),
            (ErrorClass::BadRequest, 400, End::ClientError, None),
        ] {
            assert_eq!(End::of_class(class, status), end);
            assert_eq!(end.cause(false), cause, "{class}");
        }
        assert_eq!(End::NoModel.cause(true), None);
        assert_eq!((End::NoModel.works(true), End::NoModel.works(false)), (Some(true), Some(false)));
    }

    #[test]
    fn the_longer_of_two_pauses_counts() {
        let failure = |retry_after_ms| Failure {
            class: ErrorClass::RateLimit,
            message: None,
            kind: None,
            code: None,
            request_id: None,
            retry_after_ms,
        };
        let headroom = |retry_after_ms| Headroom { retry_after_ms, ..Headroom::default() };
        for (body, header, expected) in [
            (Some(5), Some(7), Some(7)),
            (Some(5), None, Some(5)),
            (None, Some(3), Some(3)),
            (None, None, None),
        ] {
            let report = Report::of_failure(&failure(body), 429, headroom(header));
            assert_eq!((report.end, report.retry_after_ms), (End::RateLimit, expected));
        }
    }
}

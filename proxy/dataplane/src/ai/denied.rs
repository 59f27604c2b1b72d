//! Why a call gets no answer of a model, and how that is told: in the caller's dialect, without a word about our keys.

use penstock_ai::provider::{ErrorClass, Failure};
use penstock_ai::routing::{Cause, GiveUp, Why};
use penstock_http::Code;

use super::Serving;
use super::directory::ProviderRule;
use crate::answer::{self, Refused};
use crate::client::Client;
use crate::exchange::{After, Scratch};

/// Why a call gets no answer of a model.
pub(super) enum Denied {
    /// For a reason of our own, in these words.
    Own(Code, Option<String>),
    /// A limit says so.
    Limit(penstock_gate::Answer),
    /// As the provider says, with the status of its answer.
    Provider(Failure, u16),
}

impl Denied {
    pub(super) fn own(code: Code, why: impl ToString) -> Self {
        Denied::Own(code, Some(why.to_string()))
    }

    /// Nothing was asked at all.
    pub(super) fn untried(give_up: &GiveUp) -> Self {
        match give_up.why {
            Why::Time => Code::TotalTimeout.into(),
            Why::Resting(Cause::RateLimit) => Code::ProviderRateLimited.into(),
            Why::Resting(_) => {
                Denied::own(Code::ProviderError, "all that could be asked failed of late and rests")
            }
            Why::HomeLost => {
                Denied::own(Code::ProviderError, "what the call belongs to is not configured any more")
            }
            Why::Done | Why::Failed | Why::Attempts | Why::Budget => Code::ProviderError.into(),
        }
    }
}

impl From<Code> for Denied {
    fn from(code: Code) -> Self {
        Denied::Own(code, None)
    }
}

impl Serving<'_> {
    /// Answers without a model's answer, in the client's dialect.
    pub(super) async fn deny(
        &self,
        client: &mut Client,
        scratch: &mut Scratch,
        denied: Denied,
        read: bool,
    ) -> After {
        let (worker, request) = (self.worker, self.request);
        match denied {
            Denied::Own(code, detail) => {
                answer::problem(worker, client, scratch, request, code, detail.as_deref(), read).await
            }
            Denied::Limit(refused) => answer::refusal(worker, client, scratch, request, refused, read).await,
            Denied::Provider(failure, status) => {
                let (code, status) = shown_as(&failure, status);
                let message = failure.message.as_deref().unwrap_or(code.title());
                let told = failure.code.as_deref().or(failure.kind.as_deref()).unwrap_or(code.as_str());
                let refused = Refused {
                    code,
                    status,
                    told,
                    message,
                    retry_after_ms: failure.retry_after_ms,
                    provider_request_id: failure.request_id.as_deref(),
                };
                answer::refused(worker, client, scratch, request, &refused).await
            }
        }
    }
}

/// What callers are told of a provider's failure. What concerns our account there is not for them.
pub(super) fn told_to_callers(provider: &ProviderRule, mut failure: Failure, status: u16) -> Denied {
    match failure.class {
        ErrorClass::Authentication => {
            return Denied::own(Code::ProviderError, "the provider refuses the gateway's key");
        }
        ErrorClass::InsufficientQuota => {
            return Denied::own(
                Code::ProviderError,
                "the gateway's account at the provider has no quota left",
            );
        }
        _ => {}
    }
    for told in [&mut failure.message, &mut failure.code, &mut failure.kind, &mut failure.request_id] {
        if told.as_ref().is_some_and(|told| provider.is_secret_in(told)) {
            *told = None;
        }
    }
    Denied::Provider(failure, status)
}

/// Our code of a provider's failure, and the status that the client gets. That the provider refuses our key is no fault of
/// the client's.
fn shown_as(failure: &Failure, status: u16) -> (Code, u16) {
    match failure.class {
        ErrorClass::RateLimit => (Code::ProviderRateLimited, 429),
        ErrorClass::BadRequest | ErrorClass::ContextWindow | ErrorClass::ContentPolicy => {
            let status =
                if (400..500).contains(&status) && status != 401 && status != 403 { status } else { 400 };
            (Code::ProviderError, status)
        }
        ErrorClass::NotFound => (Code::UnknownModel, 404),
        ErrorClass::Overloaded => (Code::ProviderError, 503),
        ErrorClass::Timeout => (Code::ProviderError, 504),
        ErrorClass::Authentication | ErrorClass::InsufficientQuota | ErrorClass::ServerError => {
            (Code::ProviderError, 502)
        }
    }
}

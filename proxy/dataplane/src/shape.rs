//! What is asked of an answer and changed in it on its way to the client.

use std::time::Duration;

use penstock_http::write::{self, FieldName, FieldValue};
use penstock_http::{Code, FieldId, FieldSet, Method, Version};

use crate::sys;

/// How an answer goes to the client.
#[derive(Debug, Clone, Copy)]
pub struct ResponseShape<'a> {
    /// The method of the request.
    pub method: Method,
    /// The version of the client.
    pub client: Version,
    /// The client's connection may live on.
    pub keep_alive: bool,
    /// The client waits for a 100 before it sends its body.
    pub expects_continue: bool,
    /// Statuses that are not relayed but tried again.
    pub retry_statuses: &'a [u16],
    /// Fields that are not relayed.
    pub drop: FieldSet,
    /// For a write to the client to make progress.
    pub write_timeout: Duration,
    /// Between two bytes of the body.
    pub idle: Duration,
    /// When the call as a whole has taken too long, monotonic ns; [`u64::MAX`]: never.
    pub total_until_ns: u64,
}

impl ResponseShape<'_> {
    /// `patience` from now on, or the end of the whole call if that comes first.
    pub fn until(&self, now_ns: u64, patience: Duration) -> u64 {
        now_ns.saturating_add(patience.as_nanos() as u64).min(self.total_until_ns)
    }

    /// The code of a deadline that has passed.
    pub fn late(&self, code: Code) -> Code {
        if sys::monotonic_ns() >= self.total_until_ns { Code::TotalTimeout } else { code }
    }

    /// Writes the fields that we add to an answer.
    pub fn write_fields(&self, out: &mut Vec<u8>, request_id: &[u8]) {
        if let Ok(value) = FieldValue::new(request_id)
            && !request_id.is_empty()
        {
            write::field(out, FieldName::known(FieldId::XRequestId), value);
        }
    }
}

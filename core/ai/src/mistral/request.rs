//! Requests: of the dialect to the form, and back.

use crate::dialect::Dialect;
use crate::form::{Losses, Malformed, Request};
use crate::json::Object;
use crate::openai_chat::{Words, request, write_request_for};

/// Reads the body of a request.
///
/// # Errors
/// It is not one of this dialect, and where.
pub fn read_request(body: &[u8]) -> Result<Request<'_>, Malformed> {
    request::read(body, Dialect::Mistral)
}

/// Writes a request for `model`; what the dialect has no word for is told in `losses`.
pub fn write_request<'r>(request: &'r Request<'_>, model: &'r str, losses: &mut Losses) -> Object<'r> {
    write_request_for(request, model, Words::MISTRAL, losses)
}

//! Answers: of the dialect to the form, and back.

use crate::dialect::Dialect;
use crate::form::{Answer, Losses, Malformed};
use crate::json::Object;
use crate::openai_chat::answer;

/// Reads the body of an answer.
///
/// # Errors
/// It is not one of this dialect, and where; or it says that the provider failed.
pub fn read_answer(body: &[u8]) -> Result<Answer<'_>, Malformed> {
    answer::read(body, Dialect::Mistral)
}

/// Writes an answer that names `model`; what the dialect has no word for is told in `losses`.
pub fn write_answer<'r>(answer: &'r Answer<'_>, model: &'r str, losses: &mut Losses) -> Object<'r> {
    answer::write(answer, model, Dialect::Mistral, losses)
}

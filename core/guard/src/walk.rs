//! Where the texts of documents are: of the form between dialects, of bodies that stay in their dialect, of streams.
//!
//! Texts are what people and models say and what functions are called with and give back. Names, ids, addresses, signatures,
//! what is sealed and what is in base64 are none. What is signed is looked at and not changed.

mod body;
mod events;
mod form;
mod shape;

pub use body::{Body, BodyError, edit_body};
pub use events::EventsGuard;
pub use form::{walk_answer, walk_request};

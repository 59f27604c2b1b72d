//! HTTP messages and the strict HTTP/1.1 codec of the gateway: bytes in, events and refusals out.
//!
//! Heads are parsed by `httparse` into flat ranges over the read buffer ([`RequestHead`], [`ResponseHead`]), framed
//! strictly after RFC 9112, and written in long runs ([`write`]). Bodies are scanned in place ([`body`], [`chunk`]).
//! Everything that two readers could understand in two ways is refused with a stable [`Code`].
//!
//! The crate has no sockets, no clock and no runtime, and nothing in the message model is HTTP/1 only.
#![forbid(unsafe_code)]

pub mod body;
pub mod chunk;
pub mod code;
pub mod connection;
pub mod date;
pub mod field;
pub mod head;
pub mod host;
pub mod method;
pub mod path;
pub mod problem;
pub mod request;
pub mod response;
mod scan;
pub mod trailer;
pub mod write;

pub use body::{BodyReader, Kind, LengthBody, Relay, Step, Then};
pub use chunk::{ChunkScanner, ChunkWriter};
pub use code::Code;
pub use date::HttpDate;
pub use field::{FieldId, FieldSet};
pub use head::{Field, FieldTable, HeadLimits, Parsed, Span, Upgrade, Version};
pub use host::Authority;
pub use method::Method;
pub use path::PathPolicy;
pub use problem::Problem;
pub use request::{Framing, RequestHead, TargetForm};
pub use response::{Asked, BodyFraming, ResponseFault, ResponseHead};
pub use scan::Refusal;
pub use write::{FieldName, FieldValue};

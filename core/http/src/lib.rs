//! HTTP messages and the strict HTTP/1.1 codec of the gateway: bytes in, events and refusals out.
//!
//! Heads are parsed in one pass into flat ranges over the read buffer ([`RequestHead`], [`ResponseHead`]), framed
//! strictly after RFC 9112, and written in long runs ([`mod@write`]). Bodies are scanned in place ([`body`], [`chunk`]).
//! Everything that two readers could understand in two ways is refused with a stable [`Code`].
//!
//! ```
//! use penstock_http::{FieldSet, HeadLimits, Parsed, PathPolicy, RequestHead, path, write};
//!
//! let mut head = RequestHead::new(); // one per connection, reused
//! let (mut scratch, mut out) = (Vec::new(), Vec::new());
//! let buf = b"GET /a/../b?c HTTP/1.1\r\nHost: example.com\r\nConnection: keep-alive\r\n\r\n";
//! assert_eq!(head.parse(buf, &HeadLimits::default())?, Parsed::Complete);
//! let path = path::normalise(head.path.of(buf), &PathPolicy::default(), &mut scratch)?;
//! // route by `path`, judge, choose an upstream; then forward the same bytes
//! write::request_line(&mut out, head.method_text.of(buf), path, head.query.map(|query| query.of(buf)))?;
//! write::copy_fields(&mut out, buf, &head.fields, FieldSet::FORWARDING);
//! write::request_framing(&mut out, head.framing);
//! write::end(&mut out);
//! assert_eq!(out, b"GET /b?c HTTP/1.1\r\nHost: example.com\r\n\r\n");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The crate has no sockets, no clock and no runtime, and nothing in the message model is HTTP/1 only.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod body;
pub mod chunk;
pub mod code;
pub mod connection;
pub mod date;
pub mod field;
pub mod head;
pub mod host;
pub mod http2;
pub mod method;
pub mod path;
pub mod problem;
pub mod request;
pub mod response;
mod scan;
pub mod trailer;
mod word;
pub mod write;

pub use body::{BodyReader, Kind, LengthBody, Relay, Step, Then};
pub use chunk::{ChunkScanner, ChunkWriter};
pub use code::Code;
pub use date::HttpDate;
pub use field::{FieldId, FieldSet};
pub use head::{Field, FieldTable, HeadLimits, Parsed, Span, Upgrade, Version};
pub use host::Authority;
pub use http2::PseudoFields;
pub use method::Method;
pub use path::PathPolicy;
pub use problem::Problem;
pub use request::{Framing, RequestHead, TargetForm};
pub use response::{Asked, BodyFraming, ResponseFault, ResponseHead};
pub use scan::Refusal;
pub use write::{FieldName, FieldValue};

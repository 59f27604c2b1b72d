//! JSON (RFC 8259) as a gateway needs it: read strictly, kept as it came.
//!
//! [`Reader`] walks a text without building anything: for the same dialect on both sides, where a few members are looked
//! at and the rest goes through untouched ([`Members`], [`Edits`]). [`Value`] is the document for translation: it keeps
//! the order of members, members that stand twice, the digits of numbers and the escapes of strings, so that what is not
//! understood is not changed. Both borrow from the text; a prompt of any size is not copied to be read.

mod edit;
mod error;
mod reader;
mod string;
mod value;

pub use edit::Edits;
pub use error::{Error, ErrorKind};
pub use reader::{DEPTH_MAX, Elements, Member, Members, Reader};
pub use string::{Str, write_escaped};
pub use value::{NODES_MAX, Number, Object, Value};

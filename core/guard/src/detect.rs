//! Detectors of personal data and secrets, each by itself: whether what it looks for begins at a place of a text.
//!
//! A detector looks at up to [`CONTEXT_BYTES`] before the place and as far behind it as it needs. Where the text may go
//! on and that would matter it says so, so that the same detectors serve whole texts and streams.

pub(crate) mod card;
pub(crate) mod iban;
pub(crate) mod mail;
pub(crate) mod national;
pub(crate) mod phone;
pub(crate) mod secret;
pub(crate) mod text;

pub(crate) use text::{CONTEXT_BYTES, Found, Text};

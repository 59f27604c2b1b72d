//! APIs of language models: their documents and streams, translation between them, what a call used and what it costs.
//!
//! Bytes and times go in, bytes and facts come out; nothing here knows a socket or a clock, and nothing here decides who
//! may call what.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

pub mod anthropic;
pub mod ask;
pub mod catalogue;
pub mod cohere;
pub mod dialect;
pub mod endpoint;
pub mod event_stream;
pub mod form;
pub mod glance;
pub mod json;
pub mod mistral;
pub mod openai_chat;
pub mod openai_responses;
pub mod provider;
pub mod refusal;
pub mod relay;
pub mod routing;
pub mod sse;
pub mod translate;
pub mod usage;

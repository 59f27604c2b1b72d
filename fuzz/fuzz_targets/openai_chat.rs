//! Any bytes as a request, an answer and a stream of Chat Completions, written in every dialect.
#![no_main]

mod dialects;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| dialects::check(&dialects::OPENAI_CHAT, bytes));

//! Any bytes as a request, an answer and a stream of Responses, written in every dialect.
#![no_main]

mod dialects;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| dialects::check(&dialects::RESPONSES, bytes));

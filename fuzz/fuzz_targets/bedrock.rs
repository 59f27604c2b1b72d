//! Any bytes as a request, an answer and a stream of Converse, written in every dialect. Each line of a stream begins with a
//! byte for the type of its event.
#![no_main]

mod dialects;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| dialects::check(&dialects::BEDROCK, bytes));

//! Any bytes as a request, an answer and a stream of generateContent, written in every dialect; and as the array that is the
//! other form of its stream.
#![no_main]

mod dialects;

use libfuzzer_sys::fuzz_target;
use penstock_ai::gemini::ArrayReader;

fuzz_target!(|bytes: &[u8]| {
    dialects::check(&dialects::GEMINI, bytes);
    let (mut array, mut at) = (ArrayReader::default(), 0);
    while at < bytes.len() {
        let Ok(step) = array.step(&bytes[at..]) else { break };
        assert!(step.len > 0 && step.element.is_none_or(|element| element.starts_with(b"{")));
        at += step.len;
    }
});

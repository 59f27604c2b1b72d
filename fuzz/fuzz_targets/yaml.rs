//! Any text as a configuration file.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| penstock_model::fuzz_entry(text));
